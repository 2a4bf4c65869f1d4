//! The kinds that `explain` shows, decoded by type: this is not a hot path. [`super::schema`] says
//! which fields there are; here they become what is shown.

use super::schema;
use super::view::{Frontend, Port, State, TrafficPolicy};
use crate::config::Hub;
use crate::object::endpoint_slice::HOSTNAME;
use crate::object::outline::SERVICE_NAME_LABEL;
use crate::object::service::{DISCARD_ANNOTATION, LISTEN_ANNOTATION};
use crate::rewrite::ServiceFields;
use crate::topology::fallback::Condition;

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Service {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) r#type: String,
    cluster_ips: Vec<String>,
    external_ips: Vec<String>,
    /// The addresses of its load balancer that proxies serve.
    ingress_ips: Vec<String>,
    ports: Vec<ServicePort>,
    internal_policy: TrafficPolicy,
    external_policy: TrafficPolicy,
    /// Annotations that may hide it, where it has them.
    pub(super) listen: Option<String>,
    pub(super) discard: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct ServicePort {
    name: String,
    protocol: String,
    port: i32,
    node_port: i32,
}

impl Service {
    /// Returns the fields that rules use.
    pub(super) fn fields(&self) -> ServiceFields<'_> {
        ServiceFields {
            namespace: self.namespace.as_bytes(),
            name: self.name.as_bytes(),
            r#type: self.r#type.as_bytes(),
            listen: self.listen.as_deref().map(str::as_bytes),
            discard: self.discard.as_deref().map(str::as_bytes),
        }
    }

    /// Returns this Service redirected to an address on the node.
    pub(super) fn redirected(&self, hub: Hub) -> Service {
        let mut led = Service { cluster_ips: vec![hub.host.to_string()], ..self.clone() };
        if let Some(port) = led.ports.iter_mut().find(|port| port.name == "https") {
            port.port = hub.port.into();
        }
        led
    }

    /// Returns the addresses at which proxies and DNS serve the Service, port by port.
    pub(super) fn frontends(&self) -> Vec<Frontend> {
        // Proxies have no rows for such Services: names lead elsewhere, and clients of a headless
        // one use its endpoints' addresses.
        if self.r#type == "ExternalName" {
            return Vec::new();
        }
        if self.cluster_ips.iter().any(|ip| ip == "None") {
            return self.headless();
        }
        let mut frontends = Vec::new();
        for port in &self.ports {
            let mut add = |address: String, r#type, ipv6| {
                let is_internal = r#type == "ClusterIP";
                let policy = if is_internal { self.internal_policy } else { self.external_policy };
                frontends.push(Frontend {
                    address: format!("{address}/{}", port.protocol),
                    r#type,
                    port_name: port.name.clone(),
                    protocol: port.protocol.clone(),
                    ipv6,
                    traffic_policy: Some(policy),
                });
            };
            let at = |ip: &str| host_port(ip, port.port);
            for ip in &self.cluster_ips {
                add(at(ip), "ClusterIP", ip.contains(':'));
            }
            for ip in &self.external_ips {
                add(at(ip), "ExternalIP", ip.contains(':'));
            }
            if port.node_port != 0 {
                add(format!("*:{}", port.node_port), "NodePort", false);
            }
            for ip in &self.ingress_ips {
                add(at(ip), "LoadBalancer", ip.contains(':'));
            }
        }
        frontends
    }

    /// Returns one frontend for each port, or one for the addresses alone.
    fn headless(&self) -> Vec<Frontend> {
        let alone = ServicePort::default();
        let ports = if self.ports.is_empty() { std::slice::from_ref(&alone) } else { &self.ports };
        let frontend = |port: &ServicePort| Frontend {
            address: "None".to_owned(),
            r#type: "Headless",
            port_name: port.name.clone(),
            protocol: port.protocol.clone(),
            ipv6: false,
            traffic_policy: None,
        };
        ports.iter().map(frontend).collect()
    }
}

/// `10.0.0.1:80` or `[fd00::1]:80`.
pub(super) fn host_port(ip: &str, port: i32) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// An EndpointSlice, or one subset of core/v1 Endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Slice {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) service: String,
    /// `IPv4`, `IPv6` or `FQDN`; empty for Endpoints, which have but one family.
    pub(super) address_type: String,
    pub(super) ports: Vec<Port>,
    pub(super) endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) addresses: Vec<String>,
    pub(super) node: Option<String>,
    pub(super) state: State,
}

/// One object of a kind that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Object {
    Service(Service),
    Slice(Slice),
    Endpoints { namespace: String, name: String, subsets: Vec<Slice> },
}

impl Object {
    /// Decodes a JSON object; `None` if the kind is not shown. Errors: what the decoder says.
    pub(super) fn of_json(
        kind: &str,
        api_version: &str,
        value: serde_json::Value,
    ) -> Option<Result<Object, String>> {
        let object = Kind::of(kind, api_version)?.read(Source::Json(schema::without_nulls(value)));
        Some(object)
    }

    /// Decodes a protobuf object; `None` if the kind is not shown. Errors: what the decoder says.
    pub(super) fn of_protobuf(
        kind: &str,
        api_version: &str,
        bytes: &[u8],
    ) -> Option<Result<Object, String>> {
        Some(Kind::of(kind, api_version)?.read(Source::Protobuf(bytes)))
    }
}

/// A kind that is shown.
#[derive(Clone, Copy)]
enum Kind {
    Service,
    Slice,
    /// `v1beta1`: the node is a topology entry.
    SliceBeta,
    Endpoints,
}

enum Source<'a> {
    Json(serde_json::Value),
    Protobuf(&'a [u8]),
}

impl Source<'_> {
    fn decode<T>(self) -> Result<T, String>
    where
        T: serde::de::DeserializeOwned + prost::Message + Default,
    {
        match self {
            Source::Json(value) => serde_json::from_value(value).map_err(|error| error.to_string()),
            Source::Protobuf(bytes) => T::decode(bytes).map_err(|error| error.to_string()),
        }
    }
}

impl Kind {
    fn of(kind: &str, api_version: &str) -> Option<Kind> {
        Some(match (kind, api_version) {
            ("Service", "v1") => Kind::Service,
            ("EndpointSlice", "discovery.k8s.io/v1") => Kind::Slice,
            ("EndpointSlice", "discovery.k8s.io/v1beta1") => Kind::SliceBeta,
            ("Endpoints", "v1") => Kind::Endpoints,
            _ => return None,
        })
    }

    fn read(self, source: Source<'_>) -> Result<Object, String> {
        Ok(match self {
            Kind::Service => Object::Service(service(source.decode()?)),
            Kind::Slice => Object::Slice(slice(source.decode()?, |endpoint| endpoint.node_name)),
            Kind::SliceBeta => Object::Slice(slice(source.decode()?, |mut endpoint| {
                endpoint.topology.remove(HOSTNAME)
            })),
            Kind::Endpoints => endpoints(source.decode()?),
        })
    }
}

fn service(service: schema::Service) -> Service {
    let mut metadata = service.metadata.unwrap_or_default();
    let spec = service.spec.unwrap_or_default();
    let load_balancer = service.status.unwrap_or_default().load_balancer.unwrap_or_default();
    // With another mode the load balancer sends to node ports, and proxies serve no such address.
    let is_served = |ingress: &schema::Ingress| {
        matches!(&*ingress.ip_mode, "" | "VIP") && !ingress.ip.is_empty()
    };
    let ingress_ips =
        load_balancer.ingress.into_iter().filter(is_served).map(|ingress| ingress.ip).collect();
    // Objects written before dual stack have the one address only.
    let alone = Some(spec.cluster_ip).filter(|ip| !ip.is_empty() && spec.cluster_ips.is_empty());
    let port = |port: schema::ServicePort| ServicePort {
        name: port.name,
        protocol: tcp_unless_named(port.protocol),
        port: port.port,
        node_port: port.node_port,
    };
    Service {
        namespace: metadata.namespace,
        name: metadata.name,
        r#type: spec.r#type,
        cluster_ips: spec.cluster_ips.into_iter().chain(alone).collect(),
        external_ips: spec.external_ips,
        ingress_ips,
        ports: spec.ports.into_iter().map(port).collect(),
        internal_policy: TrafficPolicy::of(&spec.internal_traffic_policy),
        external_policy: TrafficPolicy::of(&spec.external_traffic_policy),
        listen: metadata.annotations.remove(LISTEN_ANNOTATION),
        discard: metadata.annotations.remove(DISCARD_ANNOTATION),
    }
}

fn slice(slice: schema::EndpointSlice, node: impl Fn(schema::Endpoint) -> Option<String>) -> Slice {
    let mut metadata = slice.metadata.unwrap_or_default();
    let port = |each: schema::SlicePort| port(each.name, each.port, each.protocol);
    let endpoint = |mut endpoint: schema::Endpoint| {
        let conditions = endpoint.conditions.take().unwrap_or_default();
        Endpoint {
            addresses: std::mem::take(&mut endpoint.addresses),
            node: node(endpoint),
            state: Condition::of(conditions.ready, conditions.serving, conditions.terminating)
                .into(),
        }
    };
    Slice {
        namespace: metadata.namespace,
        name: metadata.name,
        service: metadata.labels.remove(SERVICE_NAME_LABEL).unwrap_or_default(),
        address_type: slice.address_type,
        ports: slice.ports.into_iter().map(port).collect(),
        endpoints: slice.endpoints.into_iter().map(endpoint).collect(),
    }
}

fn endpoints(endpoints: schema::Endpoints) -> Object {
    let schema::Metadata { name, namespace, .. } = endpoints.metadata.unwrap_or_default();
    let address = |address: schema::EndpointAddress, state| Endpoint {
        addresses: Some(address.ip).filter(|ip| !ip.is_empty()).into_iter().collect(),
        node: address.node_name,
        state,
    };
    let port = |each: schema::EndpointPort| port(each.name, each.port, each.protocol);
    let subset = |subset: schema::EndpointSubset| {
        let ready = subset.addresses.into_iter().map(|each| address(each, State::Active));
        let others =
            subset.not_ready_addresses.into_iter().map(|each| address(each, State::NotReady));
        Slice {
            namespace: namespace.clone(),
            name: name.clone(),
            service: name.clone(),
            address_type: String::new(),
            ports: subset.ports.into_iter().map(port).collect(),
            endpoints: ready.chain(others).collect(),
        }
    };
    let subsets = endpoints.subsets.into_iter().map(subset).collect();
    Object::Endpoints { namespace, name, subsets }
}

fn port(name: String, port: i32, protocol: String) -> Port {
    Port { name, port, protocol: tcp_unless_named(protocol) }
}

/// `TCP` is the API's default protocol.
fn tcp_unless_named(protocol: String) -> String {
    if protocol.is_empty() { "TCP".to_owned() } else { protocol }
}

impl From<Condition> for State {
    fn from(condition: Condition) -> State {
        match condition {
            Condition::Ready => State::Active,
            Condition::Terminating => State::Terminating,
            Condition::Unusable => State::NotReady,
        }
    }
}

impl State {
    pub(super) fn condition(self) -> Condition {
        match self {
            State::Active => Condition::Ready,
            State::Terminating => Condition::Terminating,
            State::NotReady => Condition::Unusable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of wire type 2 of a protobuf message.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let tag = u32::from(number) << 3 | 2;
        let (low, high) = ((tag & 0x7f) as u8, (tag >> 7) as u8);
        let tag = if high == 0 { vec![low] } else { vec![low | 0x80, high] };
        [&tag[..], &[content.len() as u8], content].concat()
    }

    /// The numbers are those of the API's `generated.proto`.
    #[test]
    fn a_service_is_the_same_in_both_encodings() {
        let metadata = [field(1, b"front"), field(3, b"web")].concat();
        let port = [field(1, b"http"), field(2, b"TCP"), vec![3 << 3, 80]].concat();
        let spec = [
            field(1, &port),
            field(3, b"10.0.0.1"),
            field(4, b"LoadBalancer"),
            field(5, b"192.0.2.1"),
            field(11, b"Local"),
            field(18, b"10.0.0.1"),
            field(22, b"Local"),
        ];
        let ingress = [field(1, b"192.0.2.2"), field(2, b"a.example"), field(3, b"VIP")].concat();
        let elsewhere = [field(1, b"192.0.2.3"), field(3, b"Proxy")].concat();
        let status = field(1, &[field(1, &ingress), field(1, &elsewhere)].concat());
        let bytes = [field(1, &metadata), field(2, &spec.concat()), field(3, &status)].concat();
        let json = serde_json::json!({
            "metadata": {"name": "front", "namespace": "web"},
            "spec": {
                "type": "LoadBalancer", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
                "externalIPs": ["192.0.2.1"], "externalTrafficPolicy": "Local",
                "internalTrafficPolicy": "Local",
                "ports": [{"name": "http", "protocol": "TCP", "port": 80}],
            },
            "status": {"loadBalancer": {"ingress": [
                {"ip": "192.0.2.2", "hostname": "a.example", "ipMode": "VIP"},
                {"ip": "192.0.2.3", "ipMode": "Proxy"},
            ]}},
        });
        let Some(Ok(Object::Service(decoded))) = Object::of_protobuf("Service", "v1", &bytes)
        else {
            panic!("not decoded")
        };
        assert_eq!(
            Object::of_json("Service", "v1", json),
            Some(Ok(Object::Service(decoded.clone())))
        );
        let rows = decoded.frontends().into_iter();
        let rows: Vec<_> = rows.map(|row| (row.address, row.r#type, row.traffic_policy)).collect();
        let local = Some(TrafficPolicy::Local);
        assert_eq!(
            rows,
            [
                ("10.0.0.1:80/TCP".to_owned(), "ClusterIP", local),
                ("192.0.2.1:80/TCP".to_owned(), "ExternalIP", local),
                ("192.0.2.2:80/TCP".to_owned(), "LoadBalancer", local),
            ]
        );
    }
}

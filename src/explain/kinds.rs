//! The kinds that people look at, decoded by type: this is not a hot path. JSON by serde, protobuf
//! by prost, each with the few fields that are shown.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Frontend, Port, State};
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
    ports: Vec<ServicePort>,
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

    pub(super) fn frontends(&self) -> Vec<Frontend> {
        let mut frontends = Vec::new();
        for port in &self.ports {
            let mut add = |address: String, r#type, ipv6| {
                frontends.push(Frontend { address, r#type, port_name: port.name.clone(), ipv6 });
            };
            for ip in &self.cluster_ips {
                match ip.as_str() {
                    "None" => add("None".to_owned(), "Headless", false),
                    ip => add(
                        format!("{}/{}", host_port(ip, port.port), port.protocol),
                        "ClusterIP",
                        ip.contains(':'),
                    ),
                }
            }
            for ip in &self.external_ips {
                add(
                    format!("{}/{}", host_port(ip, port.port), port.protocol),
                    "ExternalIP",
                    ip.contains(':'),
                );
            }
            if port.node_port != 0 {
                add(format!("*:{}/{}", port.node_port, port.protocol), "NodePort", false);
            }
        }
        frontends
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
    /// Decodes an object; `None` if the kind is not shown. Errors: what a decoder says.
    pub(super) fn of_json(
        kind: &str,
        api_version: &str,
        value: serde_json::Value,
    ) -> Option<Result<Object, String>> {
        Some(match (kind, api_version) {
            ("Service", "v1") => {
                typed::<JsonService>(value).map(|service| Object::Service(service.into()))
            }
            ("EndpointSlice", "discovery.k8s.io/v1" | "discovery.k8s.io/v1beta1") => {
                typed::<JsonSlice>(value)
                    .map(|slice| Object::Slice(slice.slice(api_version.ends_with("beta1"))))
            }
            ("Endpoints", "v1") => typed::<JsonEndpoints>(value).map(JsonEndpoints::object),
            _ => return None,
        })
    }

    /// Reads the object from protobuf.
    pub(super) fn of_protobuf(
        kind: &str,
        api_version: &str,
        bytes: &[u8],
    ) -> Option<Result<Object, String>> {
        Some(match (kind, api_version) {
            ("Service", "v1") => {
                decode::<PbService>(bytes).map(|service| Object::Service(service.into()))
            }
            ("EndpointSlice", "discovery.k8s.io/v1" | "discovery.k8s.io/v1beta1") => {
                decode::<PbSlice>(bytes)
                    .map(|slice| Object::Slice(slice.slice(api_version.ends_with("beta1"))))
            }
            ("Endpoints", "v1") => decode::<PbEndpoints>(bytes).map(PbEndpoints::object),
            _ => return None,
        })
    }
}

fn typed<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn decode<T: prost::Message + Default>(bytes: &[u8]) -> Result<T, String> {
    T::decode(bytes).map_err(|error| error.to_string())
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

#[derive(Deserialize)]
struct JsonMetadata {
    name: Option<String>,
    namespace: Option<String>,
    labels: Option<HashMap<String, Option<String>>>,
    annotations: Option<HashMap<String, Option<String>>>,
}

#[derive(Deserialize)]
struct JsonService {
    metadata: JsonMetadata,
    spec: Option<JsonServiceSpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonServiceSpec {
    r#type: Option<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    #[serde(rename = "externalIPs")]
    external_ips: Option<Vec<String>>,
    ports: Option<Vec<JsonServicePort>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonServicePort {
    name: Option<String>,
    protocol: Option<String>,
    port: Option<i32>,
    node_port: Option<i32>,
}

impl From<JsonService> for Service {
    fn from(service: JsonService) -> Service {
        let (namespace, name) = (
            service.metadata.namespace.unwrap_or_default(),
            service.metadata.name.unwrap_or_default(),
        );
        let mut annotations = service.metadata.annotations.unwrap_or_default();
        let mut annotation = |key: &str| annotations.remove(key).map(Option::unwrap_or_default);
        let (listen, discard) = (annotation(LISTEN_ANNOTATION), annotation(DISCARD_ANNOTATION));
        let Some(spec) = service.spec else {
            return Service { namespace, name, listen, discard, ..Service::default() };
        };
        let ports = spec.ports.unwrap_or_default().into_iter().map(|port| ServicePort {
            name: port.name.unwrap_or_default(),
            protocol: port.protocol.unwrap_or_else(|| "TCP".to_owned()),
            port: port.port.unwrap_or_default(),
            node_port: port.node_port.unwrap_or_default(),
        });
        Service {
            namespace,
            name,
            r#type: spec.r#type.unwrap_or_default(),
            // Objects written before dual stack have the one address only.
            cluster_ips: spec.cluster_ips.unwrap_or_else(|| {
                spec.cluster_ip.filter(|ip| !ip.is_empty()).into_iter().collect()
            }),
            external_ips: spec.external_ips.unwrap_or_default(),
            ports: ports.collect(),
            listen,
            discard,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonSlice {
    metadata: JsonMetadata,
    address_type: Option<String>,
    endpoints: Option<Vec<JsonEndpoint>>,
    ports: Option<Vec<JsonPort>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonEndpoint {
    addresses: Option<Vec<String>>,
    conditions: Option<JsonConditions>,
    node_name: Option<String>,
    topology: Option<HashMap<String, String>>,
}

#[derive(Deserialize, Default)]
struct JsonConditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Deserialize)]
struct JsonPort {
    name: Option<String>,
    port: Option<i32>,
    protocol: Option<String>,
}

impl From<JsonPort> for Port {
    fn from(port: JsonPort) -> Port {
        Port {
            name: port.name.unwrap_or_default(),
            port: port.port.unwrap_or_default(),
            protocol: port.protocol.unwrap_or_else(|| "TCP".to_owned()),
        }
    }
}

impl JsonSlice {
    fn slice(self, beta: bool) -> Slice {
        let endpoint = |endpoint: JsonEndpoint| {
            let conditions = endpoint.conditions.unwrap_or_default();
            Endpoint {
                addresses: endpoint.addresses.unwrap_or_default(),
                node: if beta {
                    endpoint.topology.and_then(|mut topology| topology.remove(HOSTNAME))
                } else {
                    endpoint.node_name
                },
                state: Condition::of(conditions.ready, conditions.serving, conditions.terminating)
                    .into(),
            }
        };
        Slice {
            namespace: self.metadata.namespace.unwrap_or_default(),
            name: self.metadata.name.unwrap_or_default(),
            service: self
                .metadata
                .labels
                .and_then(|mut labels| labels.remove(SERVICE_NAME_LABEL)?)
                .unwrap_or_default(),
            address_type: self.address_type.unwrap_or_default(),
            ports: self.ports.unwrap_or_default().into_iter().map(Port::from).collect(),
            endpoints: self.endpoints.unwrap_or_default().into_iter().map(endpoint).collect(),
        }
    }
}

#[derive(Deserialize)]
struct JsonEndpoints {
    metadata: JsonMetadata,
    subsets: Option<Vec<JsonSubset>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonSubset {
    addresses: Option<Vec<JsonAddress>>,
    not_ready_addresses: Option<Vec<JsonAddress>>,
    ports: Option<Vec<JsonPort>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonAddress {
    ip: Option<String>,
    node_name: Option<String>,
}

impl JsonEndpoints {
    fn object(self) -> Object {
        let (name, namespace) =
            (self.metadata.name.unwrap_or_default(), self.metadata.namespace.unwrap_or_default());
        let subsets = self.subsets.unwrap_or_default().into_iter().map(|subset| {
            let endpoint = |address: JsonAddress, state| Endpoint {
                addresses: address.ip.into_iter().collect(),
                node: address.node_name,
                state,
            };
            let ready = subset
                .addresses
                .unwrap_or_default()
                .into_iter()
                .map(|address| endpoint(address, State::Active));
            let others = subset
                .not_ready_addresses
                .unwrap_or_default()
                .into_iter()
                .map(|address| endpoint(address, State::NotReady));
            Slice {
                namespace: namespace.clone(),
                name: name.clone(),
                service: name.clone(),
                address_type: String::new(),
                ports: subset.ports.unwrap_or_default().into_iter().map(Port::from).collect(),
                endpoints: ready.chain(others).collect(),
            }
        });
        let subsets = subsets.collect();
        Object::Endpoints { namespace, name, subsets }
    }
}

#[derive(prost::Message)]
struct PbMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(map = "string, string", tag = "11")]
    labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "12")]
    annotations: HashMap<String, String>,
}

#[derive(prost::Message)]
struct PbService {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PbMetadata>,
    #[prost(message, optional, tag = "2")]
    spec: Option<PbServiceSpec>,
}

#[derive(prost::Message)]
struct PbServiceSpec {
    #[prost(message, repeated, tag = "1")]
    ports: Vec<PbServicePort>,
    #[prost(string, tag = "3")]
    cluster_ip: String,
    #[prost(string, tag = "4")]
    r#type: String,
    #[prost(string, repeated, tag = "5")]
    external_ips: Vec<String>,
    #[prost(string, repeated, tag = "18")]
    cluster_ips: Vec<String>,
}

#[derive(prost::Message)]
struct PbServicePort {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    protocol: String,
    #[prost(int32, tag = "3")]
    port: i32,
    #[prost(int32, tag = "5")]
    node_port: i32,
}

impl From<PbService> for Service {
    fn from(service: PbService) -> Service {
        let mut metadata = service.metadata.unwrap_or_default();
        let spec = service.spec.unwrap_or_default();
        let alone =
            Some(spec.cluster_ip).filter(|ip| !ip.is_empty() && spec.cluster_ips.is_empty());
        Service {
            namespace: metadata.namespace,
            name: metadata.name,
            r#type: spec.r#type,
            cluster_ips: spec.cluster_ips.into_iter().chain(alone).collect(),
            external_ips: spec.external_ips,
            ports: spec
                .ports
                .into_iter()
                .map(|PbServicePort { name, protocol, port, node_port }| ServicePort {
                    name,
                    protocol,
                    port,
                    node_port,
                })
                .collect(),
            listen: metadata.annotations.remove(LISTEN_ANNOTATION),
            discard: metadata.annotations.remove(DISCARD_ANNOTATION),
        }
    }
}

#[derive(prost::Message)]
struct PbSlice {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PbMetadata>,
    #[prost(message, repeated, tag = "2")]
    endpoints: Vec<PbEndpoint>,
    #[prost(message, repeated, tag = "3")]
    ports: Vec<PbPort>,
    #[prost(string, tag = "4")]
    address_type: String,
}

#[derive(prost::Message)]
struct PbEndpoint {
    #[prost(string, repeated, tag = "1")]
    addresses: Vec<String>,
    #[prost(message, optional, tag = "2")]
    conditions: Option<PbConditions>,
    #[prost(map = "string, string", tag = "5")]
    topology: HashMap<String, String>,
    #[prost(string, optional, tag = "6")]
    node_name: Option<String>,
}

#[derive(prost::Message)]
struct PbConditions {
    #[prost(bool, optional, tag = "1")]
    ready: Option<bool>,
    #[prost(bool, optional, tag = "2")]
    serving: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    terminating: Option<bool>,
}

#[derive(prost::Message)]
struct PbPort {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    protocol: String,
    #[prost(int32, tag = "3")]
    port: i32,
}

impl PbSlice {
    fn slice(self, beta: bool) -> Slice {
        let mut metadata = self.metadata.unwrap_or_default();
        let endpoint = |mut endpoint: PbEndpoint| {
            let conditions = endpoint.conditions.unwrap_or_default();
            Endpoint {
                addresses: endpoint.addresses,
                node: if beta { endpoint.topology.remove(HOSTNAME) } else { endpoint.node_name },
                state: Condition::of(conditions.ready, conditions.serving, conditions.terminating)
                    .into(),
            }
        };
        Slice {
            namespace: metadata.namespace,
            name: metadata.name,
            service: metadata.labels.remove(SERVICE_NAME_LABEL).unwrap_or_default(),
            address_type: self.address_type,
            ports: self
                .ports
                .into_iter()
                .map(|PbPort { name, protocol, port }| Port { name, port, protocol })
                .collect(),
            endpoints: self.endpoints.into_iter().map(endpoint).collect(),
        }
    }
}

#[derive(prost::Message)]
struct PbEndpoints {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PbMetadata>,
    #[prost(message, repeated, tag = "2")]
    subsets: Vec<PbSubset>,
}

#[derive(prost::Message)]
struct PbSubset {
    #[prost(message, repeated, tag = "1")]
    addresses: Vec<PbAddress>,
    #[prost(message, repeated, tag = "2")]
    not_ready_addresses: Vec<PbAddress>,
    #[prost(message, repeated, tag = "3")]
    ports: Vec<PbEndpointsPort>,
}

#[derive(prost::Message)]
struct PbAddress {
    #[prost(string, tag = "1")]
    ip: String,
    #[prost(string, optional, tag = "4")]
    node_name: Option<String>,
}

/// Port and protocol are the other way round than in a slice.
#[derive(prost::Message)]
struct PbEndpointsPort {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    port: i32,
    #[prost(string, tag = "3")]
    protocol: String,
}

impl PbEndpoints {
    fn object(self) -> Object {
        let PbMetadata { name, namespace, .. } = self.metadata.unwrap_or_default();
        let subsets = self.subsets.into_iter().map(|subset| {
            let endpoint = |address: PbAddress, state| Endpoint {
                addresses: vec![address.ip],
                node: address.node_name,
                state,
            };
            let ready =
                subset.addresses.into_iter().map(|address| endpoint(address, State::Active));
            let others = subset
                .not_ready_addresses
                .into_iter()
                .map(|address| endpoint(address, State::NotReady));
            Slice {
                namespace: namespace.clone(),
                name: name.clone(),
                service: name.clone(),
                address_type: String::new(),
                ports: subset
                    .ports
                    .into_iter()
                    .map(|PbEndpointsPort { name, port, protocol }| Port { name, port, protocol })
                    .collect(),
                endpoints: ready.chain(others).collect(),
            }
        });
        let subsets = subsets.collect();
        Object::Endpoints { namespace, name, subsets }
    }
}

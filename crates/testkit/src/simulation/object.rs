//! The objects of the model: what the server stores and what a client reads back, with their bytes
//! on either wire.

use std::collections::BTreeMap;
use std::rc::Rc;

use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::wire::{number, record};
use crate::schema;

pub const KEYS: &str = "openyurt.io/topologyKeys";
pub const POOL_LABEL: &str = "apps.openyurt.io/nodepool";
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";
pub const LISTEN: &str = "nodeport.openyurt.io/listen";
pub const DISCARD: &str = "svc.openyurt.io/discard";
pub const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";
const CREATED: &str = "2026-11-23T08:00:00Z";
/// The time as a protobuf Time: seconds, and nanos of 0.
const CREATED_SECONDS: i64 = 1_795_420_800;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Service,
    Node,
    Pool,
    Slice,
}

pub const FACTS: [Kind; 3] = [Kind::Service, Kind::Node, Kind::Pool];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Protobuf,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Service => "Service",
            Kind::Node => "Node",
            Kind::Pool => "NodePool",
            Kind::Slice => "EndpointSlice",
        }
    }

    pub fn api_version(self) -> &'static str {
        match self {
            Kind::Service | Kind::Node => "v1",
            Kind::Pool => "apps.openyurt.io/v1beta2",
            Kind::Slice => "discovery.k8s.io/v1",
        }
    }

    pub fn path(self, namespace: Option<&str>) -> String {
        let (root, plural) = match self {
            Kind::Service => ("/api/v1", "services"),
            Kind::Node => ("/api/v1", "nodes"),
            Kind::Pool => ("/apis/apps.openyurt.io/v1beta2", "nodepools"),
            Kind::Slice => ("/apis/discovery.k8s.io/v1", "endpointslices"),
        };
        match namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
            None => format!("{root}/{plural}"),
        }
    }
}

/// One version of one object.
#[derive(Debug, PartialEq)]
pub struct Object {
    pub kind: Kind,
    /// `namespace/name`, or the name of a kind without namespaces.
    pub key: String,
    pub rv: u64,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A Service in the shape of a slice: its type is the addressType, and it has no endpoints.
    Service(Rc<Slice>),
    /// The value of the pool label.
    Node(Option<String>),
    /// The nodes in the status; `None`: it has no status yet.
    Pool(Option<Vec<String>>),
    /// Its metadata's resourceVersion is [`Object::rv`].
    Slice(Rc<Slice>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slice {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    pub metadata: Metadata,
    pub address_type: String,
    #[serde(with = "nullable")]
    pub endpoints: Vec<Endpoint>,
    #[serde(with = "nullable")]
    pub ports: Vec<Port>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    pub name: String,
    pub generate_name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub generation: i64,
    pub creation_timestamp: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managed_fields: Vec<Manager>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manager {
    pub manager: String,
    pub operation: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    pub addresses: Vec<String>,
    pub conditions: Conditions,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<Target>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, prost::Message)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    #[prost(bool, optional, tag = "1")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    #[prost(bool, optional, tag = "2")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminating: Option<bool>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, prost::Message)]
#[serde(deny_unknown_fields)]
pub struct Target {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(string, tag = "3")]
    pub name: String,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, prost::Message)]
#[serde(deny_unknown_fields)]
pub struct Port {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub protocol: String,
    #[prost(int32, tag = "3")]
    pub port: i32,
}

/// The API server writes an empty array of these as null; both mean the same to every decoder.
mod nullable {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        items: &[T],
        out: S,
    ) -> Result<S::Ok, S::Error> {
        Some(items).filter(|items| !items.is_empty()).serialize(out)
    }

    pub(super) fn deserialize<'a, T: Deserialize<'a>, D: Deserializer<'a>>(
        input: D,
    ) -> Result<Vec<T>, D::Error> {
        Option::<Vec<T>>::deserialize(input).map(Option::unwrap_or_default)
    }
}

impl Metadata {
    pub fn new(namespace: &str, name: &str, uid: u64) -> Metadata {
        Metadata {
            name: name.to_owned(),
            generate_name: format!("{}-", name.rsplit_once('-').map_or(name, |(front, _)| front)),
            namespace: namespace.to_owned(),
            uid: format!("5d3b3f00-0000-4000-8000-{uid:012}"),
            generation: 1,
            creation_timestamp: CREATED.to_owned(),
            ..Metadata::default()
        }
    }

    /// As the API server writes it: what is no pointer is there even if it is empty, in the order
    /// of the numbers.
    fn protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, text) in [
            (1, &self.name),
            (2, &self.generate_name),
            (3, &self.namespace),
            (4, &String::new()),
            (5, &self.uid),
        ] {
            record(&mut out, number, text.as_bytes());
        }
        record(&mut out, 6, self.resource_version.as_bytes());
        number(&mut out, 7, self.generation as u64);
        let mut created = Vec::new();
        number(&mut created, 1, CREATED_SECONDS as u64);
        number(&mut created, 2, 0);
        record(&mut out, 8, &created);
        for (field, map) in [(11, &self.labels), (12, &self.annotations)] {
            for (key, value) in map {
                let mut entry = Vec::new();
                record(&mut entry, 1, key.as_bytes());
                record(&mut entry, 2, value.as_bytes());
                record(&mut out, field, &entry);
            }
        }
        for manager in &self.managed_fields {
            let mut entry = Vec::new();
            record(&mut entry, 1, manager.manager.as_bytes());
            record(&mut entry, 2, manager.operation.as_bytes());
            record(&mut out, 17, &entry);
        }
        out
    }

    fn of_protobuf(meta: schema::ObjectMeta) -> Result<Metadata, String> {
        let strings = |bytes: &Vec<u8>| {
            let entry = ManagerMessage::decode(&**bytes)
                .map_err(|error| format!("managedFields: {error}"))?;
            Ok(Manager { manager: entry.manager, operation: entry.operation })
        };
        let created = meta.creation_timestamp.as_slice();
        let mut expected = Vec::new();
        number(&mut expected, 1, CREATED_SECONDS as u64);
        number(&mut expected, 2, 0);
        if created != expected || !meta.owner_references.is_empty() {
            return Err("metadata that the server never wrote".to_owned());
        }
        Ok(Metadata {
            name: meta.name,
            generate_name: meta.generate_name,
            namespace: meta.namespace,
            uid: meta.uid,
            resource_version: meta.resource_version,
            generation: meta.generation,
            creation_timestamp: CREATED.to_owned(),
            labels: meta.labels,
            annotations: meta.annotations,
            managed_fields: meta
                .managed_fields
                .iter()
                .map(strings)
                .collect::<Result<_, String>>()?,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct ManagerMessage {
    #[prost(string, tag = "1")]
    manager: String,
    #[prost(string, tag = "2")]
    operation: String,
}

/// A Service as a client reads it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JsonService {
    kind: Option<String>,
    api_version: Option<String>,
    metadata: Metadata,
    spec: Value,
    status: Value,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ServiceMessage {
    #[prost(message, optional, tag = "1")]
    metadata: Option<schema::ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    spec: Option<SpecMessage>,
    #[prost(bytes = "vec", tag = "3")]
    status: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SpecMessage {
    #[prost(string, tag = "3")]
    cluster_ip: String,
    #[prost(string, tag = "4")]
    r#type: String,
}

impl Slice {
    /// A Service of these annotations.
    pub fn of_service(
        namespace: &str,
        name: &str,
        r#type: &str,
        annotations: BTreeMap<String, String>,
    ) -> Slice {
        let metadata = Metadata { annotations, ..Metadata::new(namespace, name, 1) };
        Slice {
            kind: None,
            api_version: None,
            metadata,
            address_type: r#type.to_owned(),
            endpoints: Vec::new(),
            ports: Vec::new(),
        }
    }

    /// It stands for a Service.
    pub fn is_service(&self) -> bool {
        matches!(&*self.address_type, "ClusterIP" | "NodePort" | "LoadBalancer")
    }

    /// Reads an object of a kind from JSON.
    pub fn of_json(kind: Kind, value: Value) -> Result<Slice, String> {
        if kind == Kind::Slice {
            return Slice::deserialize(value).map_err(|error| error.to_string());
        }
        let service = JsonService::deserialize(value).map_err(|error| error.to_string())?;
        let JsonService { kind, api_version, metadata, spec, status } = service;
        if spec["clusterIP"] != "10.96.0.1"
            || spec["ports"][0]["port"] != 80
            || status != json!({ "loadBalancer": {} })
        {
            return Err("a Service that the server never wrote".to_owned());
        }
        let address_type = spec["type"].as_str().unwrap_or_default().to_owned();
        Ok(Slice {
            kind,
            api_version,
            metadata,
            address_type,
            endpoints: Vec::new(),
            ports: Vec::new(),
        })
    }

    /// Reads protobuf.
    pub fn of_message(kind: Kind, bytes: &[u8]) -> Result<Slice, String> {
        if kind == Kind::Slice {
            return Slice::of_protobuf(bytes);
        }
        let service = ServiceMessage::decode(bytes).map_err(|error| error.to_string())?;
        let spec = service.spec.unwrap_or_default();
        if spec.cluster_ip != "10.96.0.1" || service.status != b"\x0a\x00" {
            return Err("a Service that the server never wrote".to_owned());
        }
        let metadata = Metadata::of_protobuf(service.metadata.unwrap_or_default())?;
        Ok(Slice {
            kind: None,
            api_version: None,
            metadata,
            address_type: spec.r#type,
            endpoints: Vec::new(),
            ports: Vec::new(),
        })
    }

    pub fn key(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }

    pub fn service(&self) -> Option<&str> {
        self.metadata.labels.get(SERVICE_LABEL).map(String::as_str)
    }

    /// The object without the fields that proxies ignore: the version, and who wrote it when.
    pub fn plain(&self) -> Slice {
        let mut plain = self.clone();
        plain.metadata.resource_version.clear();
        plain.metadata.generation = 0;
        plain.metadata.managed_fields.clear();
        plain.metadata.annotations.remove(TRIGGER);
        plain
    }

    fn protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        record(&mut out, 1, &self.metadata.protobuf());
        for endpoint in &self.endpoints {
            let mut inner = Vec::new();
            for address in &endpoint.addresses {
                record(&mut inner, 1, address.as_bytes());
            }
            record(&mut inner, 2, &endpoint.conditions.encode_to_vec());
            if let Some(target) = &endpoint.target_ref {
                record(&mut inner, 4, &target.encode_to_vec());
            }
            for (field, text) in [(6, &endpoint.node_name), (7, &endpoint.zone)] {
                if let Some(text) = text {
                    record(&mut inner, field, text.as_bytes());
                }
            }
            record(&mut out, 2, &inner);
        }
        for port in &self.ports {
            record(&mut out, 3, &port.encode_to_vec());
        }
        record(&mut out, 4, self.address_type.as_bytes());
        out
    }

    /// Reads a slice back, and refuses what the model never writes.
    pub fn of_protobuf(bytes: &[u8]) -> Result<Slice, String> {
        let wrong = |error: prost::DecodeError| error.to_string();
        let slice = schema::EndpointSlice::decode(bytes).map_err(wrong)?;
        let endpoint = |endpoint: schema::Endpoint| {
            if endpoint.hostname.is_some()
                || !endpoint.topology.is_empty()
                || endpoint.hints.is_some()
            {
                return Err("an endpoint that the server never wrote".to_owned());
            }
            let zone = endpoint
                .seven
                .map(|zone| String::from_utf8(zone).map_err(|error| error.to_string()))
                .transpose()?;
            Ok(Endpoint {
                addresses: endpoint.addresses,
                conditions: Conditions::decode(&*endpoint.conditions).map_err(wrong)?,
                target_ref: endpoint
                    .target_ref
                    .map(|target| Target::decode(&*target))
                    .transpose()
                    .map_err(wrong)?,
                node_name: endpoint.node_name,
                zone,
            })
        };
        Ok(Slice {
            kind: None,
            api_version: None,
            metadata: Metadata::of_protobuf(slice.metadata.unwrap_or_default())?,
            address_type: slice.address_type,
            endpoints: slice.endpoints.into_iter().map(endpoint).collect::<Result<_, String>>()?,
            ports: slice
                .ports
                .iter()
                .map(|port| Port::decode(&**port))
                .collect::<Result<_, _>>()
                .map_err(wrong)?,
        })
    }
}

impl Object {
    fn metadata(&self) -> Metadata {
        let (namespace, name) = self.key.split_once('/').unwrap_or(("", &self.key));
        let mut metadata = Metadata::new(namespace, name, 1);
        metadata.resource_version = self.rv.to_string();
        if let Body::Node(Some(pool)) = &self.body {
            metadata.labels.insert(POOL_LABEL.to_owned(), pool.clone());
        }
        metadata
    }

    /// Compact JSON. Items of built-in lists do not say what they are; everything else does.
    pub fn json(&self, says_kind: bool) -> String {
        let (kind, api_version) = (self.kind.name(), self.kind.api_version());
        let metadata = || serde_json::to_value(self.metadata()).unwrap();
        let text = match &self.body {
            Body::Slice(slice) => serde_json::to_string(&**slice).unwrap(),
            Body::Service(service) => {
                let ports = json!([{ "name": "http", "port": 80, "protocol": "TCP" }]);
                let spec = json!({
                    "clusterIP": "10.96.0.1",
                    "ports": ports,
                    "type": service.address_type,
                });
                json!({
                    "metadata": service.metadata,
                    "spec": spec,
                    "status": { "loadBalancer": {} },
                })
                .to_string()
            }
            Body::Node(_) => json!({
                "metadata": metadata(),
                "spec": {},
                "status": { "nodeInfo": { "architecture": "arm64" } },
            })
            .to_string(),
            Body::Pool(nodes) => {
                let status = nodes.as_ref().map_or(Value::Null, |nodes| {
                    json!({
                        "nodes": nodes,
                        "readyNodeNum": nodes.len(),
                    })
                });
                let mut whole = json!({
                    "apiVersion": api_version,
                    "kind": kind,
                    "metadata": metadata(),
                    "spec": { "type": "Edge" },
                });
                if !status.is_null() {
                    whole["status"] = status;
                }
                return whole.to_string();
            }
        };
        if says_kind {
            format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}",{}"#, &text[1..])
        } else {
            text
        }
    }

    /// The object's own message. NodePools have none.
    pub fn protobuf(&self) -> Vec<u8> {
        match &self.body {
            Body::Slice(slice) => slice.protobuf(),
            Body::Service(service) => {
                let (mut out, mut spec) = (Vec::new(), Vec::new());
                record(&mut spec, 3, b"10.96.0.1");
                record(&mut spec, 4, service.address_type.as_bytes());
                record(&mut out, 1, &service.metadata.protobuf());
                record(&mut out, 2, &spec);
                record(&mut out, 3, b"\x0a\x00");
                out
            }
            _ => {
                let mut out = Vec::new();
                record(&mut out, 1, &self.metadata().protobuf());
                record(&mut out, 2, b"");
                record(&mut out, 3, b"");
                out
            }
        }
    }
}

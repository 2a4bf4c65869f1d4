//! Objects as their authors wrote them: labels, annotations and settings that no view shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prost::Message;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Asked;

/// Namespace and name; the namespace of cluster-wide objects is empty.
pub(crate) type Key = (String, String);

/// Labels or annotations.
pub(crate) type Texts = HashMap<String, String>;

/// The objects of a cluster; the last state of each counts.
#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) services: BTreeMap<Key, Service>,
    /// The labels of each Node.
    pub(crate) nodes: BTreeMap<String, Texts>,
    /// The labels of each CiliumNode.
    pub(crate) cilium_nodes: BTreeMap<String, Texts>,
    /// The names in `status.nodes` of each NodePool.
    pub(crate) pools: BTreeMap<String, Vec<String>>,
    pub(crate) buckets: BTreeMap<String, Bucket>,
    pub(crate) slices: BTreeMap<Key, Slice>,
    pub(crate) endpoints: BTreeSet<Key>,
    /// The Service that each CiliumLocalRedirectPolicy redirects, if it names one.
    pub(crate) redirects: BTreeMap<Key, Option<Key>>,
    /// Kinds of which whole lists were read, with their namespace; empty for all.
    listed: BTreeSet<(&'static str, String)>,
}

#[derive(Default)]
pub(crate) struct Service {
    pub(crate) labels: Texts,
    pub(crate) annotations: Texts,
    /// `None` if only its metadata were read.
    pub(crate) spec: Option<ServiceSpec>,
}

/// A NodeBucket.
pub(crate) struct Bucket {
    /// The pool that its label names.
    pub(crate) pool: Option<String>,
    pub(crate) nodes: Vec<String>,
}

pub(crate) struct Slice {
    /// The Service that its label names, or that the Endpoints object has the name of.
    pub(crate) service: Option<String>,
    /// Endpoints whose node is only in `deprecatedTopology`.
    pub(crate) old_form: usize,
    pub(crate) endpoints: usize,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ServiceSpec {
    #[prost(map = "string, string", tag = "2")]
    pub(crate) selector: HashMap<String, String>,
    #[serde(rename = "clusterIP")]
    #[prost(string, tag = "3")]
    pub(crate) cluster_ip: String,
    #[prost(string, tag = "4")]
    pub(crate) r#type: String,
    #[prost(string, tag = "11")]
    pub(crate) external_traffic_policy: String,
    #[prost(string, tag = "22")]
    pub(crate) internal_traffic_policy: String,
    #[prost(string, tag = "23")]
    pub(crate) traffic_distribution: String,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(map = "string, string", tag = "11")]
    labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "12")]
    annotations: HashMap<String, String>,
}

/// The fields of every kind that both encodings carry; kinds use different ones.
#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
struct Bare {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
struct RawService {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "2")]
    spec: Option<ServiceSpec>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
struct RawSlice {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Metadata>,
    #[prost(message, repeated, tag = "2")]
    endpoints: Vec<RawEndpoint>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawEndpoint {
    #[prost(map = "string, string", tag = "5")]
    deprecated_topology: HashMap<String, String>,
    #[prost(string, tag = "6")]
    node_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TypeMeta {
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RawList {
    #[prost(bytes = "vec", repeated, tag = "2")]
    items: Vec<Vec<u8>>,
}

/// One object of a body.
enum Content {
    Json(Value),
    Protobuf(Vec<u8>),
}

impl Content {
    fn decode<T: DeserializeOwned + Message + Default>(self) -> Result<T, String> {
        match self {
            Content::Json(value) => {
                serde_json::from_value(without_nulls(value)).map_err(|error| error.to_string())
            }
            Content::Protobuf(bytes) => T::decode(&*bytes).map_err(|error| error.to_string()),
        }
    }

    /// A custom resource, which the API server sends as JSON only.
    fn custom(self) -> Value {
        match self {
            Content::Json(value) => value,
            Content::Protobuf(_) => Value::Null,
        }
    }
}

/// A member that is null is absent.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

impl Objects {
    /// Returns `true` if every object of that kind and namespace was read.
    pub(crate) fn has_all(&self, plural: &'static str, namespace: &str) -> bool {
        self.listed.contains(&(plural, String::new()))
            || self.listed.contains(&(plural, namespace.to_owned()))
    }

    /// Adds the objects of a response, and returns `true` if there were any of a kind that is kept.
    /// Watches are not read.
    ///
    /// # Errors
    ///
    /// Returns the decoder's message.
    pub(crate) fn add(&mut self, body: &[u8], asked: &Asked) -> Result<bool, String> {
        if asked.watch {
            return Ok(false);
        }
        let (kind, is_list, objects) = match body.strip_prefix(b"k8s\0") {
            Some(envelope) => protobuf(envelope)?,
            None => json(body)?,
        };
        if is_list && !asked.part {
            self.listed.insert((asked.plural, asked.namespace.clone()));
        }
        let mut added = false;
        for (item_kind, content) in objects {
            let kind = if item_kind.is_empty() { &kind } else { &item_kind };
            added |= self.add_object(kind, asked.plural, content)?;
        }
        Ok(added)
    }

    fn add_object(&mut self, kind: &str, plural: &str, content: Content) -> Result<bool, String> {
        match (kind, plural) {
            ("Service", _) => {
                let raw: RawService = content.decode()?;
                let metadata = raw.metadata.unwrap_or_default();
                self.add_service(metadata, Some(raw.spec.unwrap_or_default()));
            }
            ("PartialObjectMetadata", "services") => {
                let raw: Bare = content.decode()?;
                self.add_service(raw.metadata.unwrap_or_default(), None);
            }
            ("Node", _) | ("PartialObjectMetadata", "nodes") => {
                let metadata = content.decode::<Bare>()?.metadata.unwrap_or_default();
                self.nodes.insert(metadata.name, metadata.labels);
            }
            ("CiliumNode", _) | ("PartialObjectMetadata", "ciliumnodes") => {
                let metadata = content.decode::<Bare>()?.metadata.unwrap_or_default();
                self.cilium_nodes.insert(metadata.name, metadata.labels);
            }
            ("EndpointSlice", _) => {
                let raw: RawSlice = content.decode()?;
                let mut metadata = raw.metadata.unwrap_or_default();
                let service = metadata.labels.remove("kubernetes.io/service-name");
                let is_old = |endpoint: &&RawEndpoint| {
                    endpoint.node_name.is_empty()
                        && endpoint.deprecated_topology.contains_key("kubernetes.io/hostname")
                };
                let slice = Slice {
                    service: service.filter(|name| !name.is_empty()),
                    old_form: raw.endpoints.iter().filter(is_old).count(),
                    endpoints: raw.endpoints.len(),
                };
                self.slices.insert((metadata.namespace, metadata.name), slice);
            }
            ("Endpoints", _) => {
                let metadata = content.decode::<Bare>()?.metadata.unwrap_or_default();
                self.endpoints.insert((metadata.namespace, metadata.name));
            }
            ("NodePool", _) => {
                let pool = content.custom();
                let nodes = pool["status"]["nodes"].as_array();
                let names = nodes.into_iter().flatten().filter_map(Value::as_str);
                self.pools.insert(name_of(&pool), names.map(str::to_owned).collect());
            }
            ("NodeBucket", _) => {
                let bucket = content.custom();
                let nodes = bucket["nodes"].as_array();
                let names = nodes.into_iter().flatten().filter_map(|node| node["name"].as_str());
                let nodes = names.map(str::to_owned).collect();
                let pool = bucket["metadata"]["labels"]["openyurt.io/pool-name"].as_str();
                let pool = pool.filter(|pool| !pool.is_empty()).map(str::to_owned);
                self.buckets.insert(name_of(&bucket), Bucket { pool, nodes });
            }
            ("CiliumLocalRedirectPolicy", _) => {
                let policy = content.custom();
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let frontend = &policy["spec"]["redirectFrontend"]["serviceMatcher"];
                let service = frontend
                    .is_object()
                    .then(|| (text(&frontend["namespace"]), text(&frontend["serviceName"])));
                let namespace = text(&policy["metadata"]["namespace"]);
                self.redirects.insert((namespace, name_of(&policy)), service);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Metadata alone leave a known specification in place.
    fn add_service(&mut self, metadata: Metadata, spec: Option<ServiceSpec>) {
        let Metadata { name, namespace, labels, annotations } = metadata;
        let known = self.services.entry((namespace, name)).or_default();
        let spec = spec.or(known.spec.take());
        *known = Service { labels, annotations, spec };
    }
}

fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// The kind of the objects, whether the body is a list, and each object with its own kind.
type Body = (String, bool, Vec<(String, Content)>);

fn json(body: &[u8]) -> Result<Body, String> {
    let mut value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = text(&value["kind"]);
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => {
            let items = items.into_iter().map(|item| (text(&item["kind"]), Content::Json(item)));
            Ok((kind.strip_suffix("List").unwrap_or_default().to_owned(), true, items.collect()))
        }
        // Written by a Go client that had no objects.
        Some(_) if kind.ends_with("List") => {
            Ok((kind.strip_suffix("List").unwrap_or_default().to_owned(), true, Vec::new()))
        }
        _ => Ok((kind, false, vec![(String::new(), Content::Json(value))])),
    }
}

fn protobuf(envelope: &[u8]) -> Result<Body, String> {
    let fail = |error: prost::DecodeError| error.to_string();
    let envelope = Envelope::decode(envelope).map_err(fail)?;
    let kind = envelope.type_meta.unwrap_or_default().kind;
    match kind.strip_suffix("List") {
        Some(kind) => {
            let list = RawList::decode(&*envelope.raw).map_err(fail)?;
            let items = list.items.into_iter();
            let items = items.map(|item| (String::new(), Content::Protobuf(item)));
            Ok((kind.to_owned(), true, items.collect()))
        }
        None => Ok((kind, false, vec![(String::new(), Content::Protobuf(envelope.raw))])),
    }
}

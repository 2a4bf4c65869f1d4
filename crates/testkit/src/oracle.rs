//! The naive filter: decode everything with types, judge with plain loops, compare. It shares no
//! code with the library.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use prost::Message;
use serde::Deserialize;
use serde_json::Value;

use crate::{Recording, schema};

/// The facts of the naive filter.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// `namespace/name` -> the annotation.
    pub services: BTreeMap<String, Option<String>>,
    /// Node -> its pool label.
    pub labels: BTreeMap<String, String>,
    /// Pool -> its nodes.
    pub pools: BTreeMap<String, BTreeSet<String>>,
    /// Pool topology is switched off.
    pub off: bool,
    /// In doubt nothing passes: of a Service that is not known, of none, of a pool that is not
    /// described.
    pub hides_unknown_service: bool,
    pub hides_no_service: bool,
    pub hides_unknown_pool: bool,
}

impl State {
    /// The recorded cluster in its first (`list`) or last (`after`) state, membership from
    /// NodePools.
    pub fn recorded(folder: &str) -> State {
        State::of(
            ["services", "nodes", "nodepools"]
                .map(|kind| Recording::load(&format!("{folder}/{kind}-json.json")).body),
        )
    }

    /// Reads lists of Services, Nodes and NodePools.
    pub fn of([services, nodes, pools]: [impl AsRef<[u8]>; 3]) -> State {
        let items = |body: &[u8]| {
            let body: Value = serde_json::from_slice(body).unwrap();
            body["items"].as_array().unwrap().clone()
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut state = State::default();
        for item in items(services.as_ref()) {
            let metadata = &item["metadata"];
            let key = format!(
                "{}/{}",
                metadata["namespace"].as_str().unwrap(),
                metadata["name"].as_str().unwrap()
            );
            state.services.insert(key, text(&metadata["annotations"]["openyurt.io/topologyKeys"]));
        }
        for item in items(nodes.as_ref()) {
            if let Some(pool) = text(&item["metadata"]["labels"]["apps.openyurt.io/nodepool"]) {
                state.labels.insert(text(&item["metadata"]["name"]).unwrap(), pool);
            }
        }
        for item in items(pools.as_ref()) {
            let nodes =
                item["status"]["nodes"].as_array().unwrap().iter().map(|node| text(node).unwrap());
            state.pools.insert(text(&item["metadata"]["name"]).unwrap(), nodes.collect());
        }
        state
    }

    /// Whether `node` may use an endpoint on `on`.
    pub fn keeps(
        &self,
        node: &str,
        namespace: &str,
        service: Option<&str>,
        on: Option<&str>,
    ) -> bool {
        let Some(service) = service.filter(|name| !name.is_empty()) else {
            return !self.hides_no_service;
        };
        let keys = match self.services.get(&format!("{namespace}/{service}")) {
            None => return !self.hides_unknown_service,
            Some(None) => return true,
            Some(Some(keys)) => keys,
        };
        match (keys.as_str(), self.labels.get(node)) {
            ("kubernetes.io/hostname", _) => on == Some(node),
            ("openyurt.io/nodepool" | "kubernetes.io/zone", _) if self.off => true,
            ("openyurt.io/nodepool" | "kubernetes.io/zone", None) => on == Some(node),
            ("openyurt.io/nodepool" | "kubernetes.io/zone", Some(pool)) => {
                let Some(nodes) = self.pools.get(pool) else { return !self.hides_unknown_pool };
                on.is_some_and(|on| nodes.contains(on))
            }
            _ => true,
        }
    }
}

/// A decoded object that the naive filter can judge.
pub trait Naive {
    fn filter(&mut self, state: &State, node: &str);
}

impl Naive for discovery::EndpointSlice {
    fn filter(&mut self, state: &State, node: &str) {
        let namespace = self.metadata.namespace.clone().unwrap_or_default();
        let service = self
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get("kubernetes.io/service-name"))
            .cloned();
        self.endpoints.retain(|endpoint| {
            state.keeps(node, &namespace, service.as_deref(), endpoint.node_name.as_deref())
        });
    }
}

impl Naive for core::Endpoints {
    fn filter(&mut self, state: &State, node: &str) {
        let namespace = self.metadata.namespace.clone().unwrap_or_default();
        let name = self.metadata.name.clone();
        let keeps = |on: Option<&str>| state.keeps(node, &namespace, name.as_deref(), on);
        // An object that no rule touches keeps even an empty subset.
        let touched = !keeps(None);
        if let Some(subsets) = &mut self.subsets {
            for subset in &mut *subsets {
                for addresses in
                    [&mut subset.addresses, &mut subset.not_ready_addresses].into_iter().flatten()
                {
                    addresses.retain(|address| keeps(address.node_name.as_deref()));
                }
            }
            if touched {
                subsets.retain(|subset| {
                    !empty(&subset.addresses) || !empty(&subset.not_ready_addresses)
                });
            }
        }
    }
}

fn empty<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}

/// An empty array and none are the same to every reader of these fields.
fn normal(mut endpoints: core::Endpoints) -> core::Endpoints {
    for subset in endpoints.subsets.iter_mut().flatten() {
        for addresses in [&mut subset.addresses, &mut subset.not_ready_addresses] {
            *addresses = addresses.take().filter(|addresses| !addresses.is_empty());
        }
    }
    endpoints.subsets = endpoints.subsets.take().filter(|subsets| !subsets.is_empty());
    endpoints
}

/// A v1beta1 slice as JSON: k8s-openapi no longer has the type.
#[derive(Debug, Clone, PartialEq)]
pub struct BetaSlice(pub Value);

impl Naive for BetaSlice {
    fn filter(&mut self, state: &State, node: &str) {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let namespace = text(&self.0["metadata"]["namespace"]).unwrap_or_default();
        let service = text(&self.0["metadata"]["labels"]["kubernetes.io/service-name"]);
        if let Some(endpoints) = self.0["endpoints"].as_array_mut() {
            endpoints.retain(|endpoint| {
                state.keeps(
                    node,
                    &namespace,
                    service.as_deref(),
                    endpoint["topology"]["kubernetes.io/hostname"].as_str(),
                )
            });
        }
    }
}

impl schema::EndpointSlice {
    pub fn filter(&mut self, state: &State, node: &str, beta: bool) {
        let metadata = self.metadata.clone().unwrap_or_default();
        let service = metadata.labels.get("kubernetes.io/service-name");
        self.endpoints.retain(|endpoint| {
            let on = if beta {
                endpoint.topology.get("kubernetes.io/hostname")
            } else {
                endpoint.node_name.as_ref()
            };
            state.keeps(
                node,
                &metadata.namespace,
                service.map(String::as_str),
                on.map(String::as_str),
            )
        });
    }
}

impl schema::Endpoints {
    pub fn filter(&mut self, state: &State, node: &str) {
        let metadata = self.metadata.clone().unwrap_or_default();
        let keeps =
            |on: Option<&str>| state.keeps(node, &metadata.namespace, Some(&metadata.name), on);
        for subset in &mut self.subsets {
            subset.addresses.retain(|address| keeps(address.node_name.as_deref()));
            subset.not_ready_addresses.retain(|address| keeps(address.node_name.as_deref()));
        }
        if !keeps(None) {
            self.subsets.retain(|subset| {
                !subset.addresses.is_empty() || !subset.not_ready_addresses.is_empty()
            });
        }
    }
}

/// A decoded object of any kind: the kinds that carry endpoints by type, anything else by its
/// bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    Slice(Box<discovery::EndpointSlice>),
    Endpoints(Box<core::Endpoints>),
    Beta(BetaSlice),
    ProtobufSlice { slice: schema::EndpointSlice, beta: bool },
    ProtobufEndpoints(schema::Endpoints),
    Json(Value),
    Bytes(Vec<u8>),
}

/// A decoded body: what stands around the objects, and the objects with their event types.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    pub around: Vec<Value>,
    pub objects: Vec<(String, Object)>,
}

impl Object {
    fn of_json(value: Value, kind: &str, api_version: &str) -> Object {
        match (kind, api_version) {
            ("EndpointSlice", "discovery.k8s.io/v1") => {
                Object::Slice(Box::new(Deserialize::deserialize(value).unwrap()))
            }
            ("EndpointSlice", "discovery.k8s.io/v1beta1") => Object::Beta(BetaSlice(value)),
            ("Endpoints", "v1") => {
                Object::Endpoints(Box::new(normal(Deserialize::deserialize(value).unwrap())))
            }
            _ => Object::Json(value),
        }
    }

    fn of_protobuf(bytes: &[u8], kind: &str, api_version: &str) -> Object {
        match (kind, api_version) {
            ("EndpointSlice", _) => Object::ProtobufSlice {
                slice: Message::decode(bytes).unwrap(),
                beta: api_version == "discovery.k8s.io/v1beta1",
            },
            ("Endpoints", "v1") => Object::ProtobufEndpoints(Message::decode(bytes).unwrap()),
            _ => Object::Bytes(bytes.to_vec()),
        }
    }

    fn filter(&mut self, state: &State, node: &str) {
        match self {
            Object::Slice(slice) => slice.filter(state, node),
            Object::Endpoints(endpoints) => endpoints.filter(state, node),
            Object::Beta(slice) => slice.filter(state, node),
            Object::ProtobufSlice { slice, beta } => slice.filter(state, node, *beta),
            Object::ProtobufEndpoints(endpoints) => endpoints.filter(state, node),
            Object::Json(_) | Object::Bytes(_) => {}
        }
        self.normalize();
    }

    /// An empty array and none are the same to every reader of core/v1 Endpoints.
    pub fn normalize(&mut self) {
        if let Object::Endpoints(endpoints) = self {
            **endpoints = normal(std::mem::take(endpoints));
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Body {
    /// Filters naively.
    pub fn filtered(mut self, state: &State, node: &str) -> Body {
        for (event, object) in &mut self.objects {
            if !matches!(event.as_str(), "BOOKMARK" | "ERROR") {
                object.filter(state, node);
            }
        }
        self
    }

    /// Decodes a whole body.
    pub fn decode(body: &[u8], protobuf: bool, watch: bool) -> Body {
        match (protobuf, watch) {
            (false, false) => Body::json(body),
            (false, true) => Body::json_watch(body),
            (true, false) => Body::protobuf(body),
            (true, true) => Body::protobuf_watch(body),
        }
    }

    fn json(body: &[u8]) -> Body {
        let mut whole: Value = serde_json::from_slice(body).unwrap();
        let (kind, api_version) =
            (text(&whole["kind"]).to_owned(), text(&whole["apiVersion"]).to_owned());
        let Some(items) = whole.get_mut("items").map(Value::take) else {
            return Body {
                around: vec![],
                objects: vec![(String::new(), Object::of_json(whole, &kind, &api_version))],
            };
        };
        let item_kind = kind.strip_suffix("List").unwrap();
        let items = items.as_array().unwrap().iter();
        let objects = items
            .map(|item| (String::new(), Object::of_json(item.clone(), item_kind, &api_version)))
            .collect();
        Body { around: vec![whole], objects }
    }

    fn json_watch(body: &[u8]) -> Body {
        let events = serde_json::Deserializer::from_slice(body).into_iter::<Value>().map(|event| {
            let mut event = event.unwrap();
            let object = event["object"].take();
            let (kind, api_version) =
                (text(&object["kind"]).to_owned(), text(&object["apiVersion"]).to_owned());
            (text(&event["type"]).to_owned(), Object::of_json(object, &kind, &api_version))
        });
        Body { around: vec![], objects: events.collect() }
    }

    fn protobuf(body: &[u8]) -> Body {
        let unknown = schema::Unknown::decode(body.strip_prefix(b"k8s\0").unwrap()).unwrap();
        let meta = unknown.type_meta.unwrap();
        let around = vec![Value::from(meta.kind.clone()), Value::from(meta.api_version.clone())];
        let Some(item_kind) = meta.kind.strip_suffix("List") else {
            return Body {
                around,
                objects: vec![(
                    String::new(),
                    Object::of_protobuf(&unknown.raw, &meta.kind, &meta.api_version),
                )],
            };
        };
        let list = schema::List::decode(&*unknown.raw).unwrap();
        let mut around = around;
        around.push(Value::from(format!("{:?}", list.metadata)));
        let objects = list
            .items
            .iter()
            .map(|item| (String::new(), Object::of_protobuf(item, item_kind, &meta.api_version)))
            .collect();
        Body { around, objects }
    }

    fn protobuf_watch(mut body: &[u8]) -> Body {
        let mut objects = Vec::new();
        while !body.is_empty() {
            let len = u32::from_be_bytes(*body.first_chunk().unwrap()) as usize;
            let event = schema::WatchEvent::decode(&body[4..4 + len]).unwrap();
            body = &body[4 + len..];
            let raw = event.object.unwrap_or_default().raw;
            let unknown = schema::Unknown::decode(raw.strip_prefix(b"k8s\0").unwrap()).unwrap();
            let meta = unknown.type_meta.unwrap_or_default();
            objects.push((
                event.r#type,
                Object::of_protobuf(&unknown.raw, &meta.kind, &meta.api_version),
            ));
        }
        Body { around: vec![], objects }
    }
}

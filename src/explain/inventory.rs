//! The Services and endpoints of a cluster.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use serde_json::Value;

use super::kinds::{Object, Service, Slice};
use super::schema;
use crate::error::{Error, Result};

/// Services, EndpointSlices and Endpoints, loaded from whole bodies.
///
/// ```
/// use poolscope::explain::Inventory;
/// use poolscope::{Cluster, Config};
///
/// let mut inventory = Inventory::new();
/// inventory.load(br#"{"kind":"ServiceList","apiVersion":"v1","metadata":{},"items":[
///     {"metadata":{"name":"cart","namespace":"shop"},"spec":{"clusterIP":"10.96.0.1"}}]}"#)?;
/// let node = Cluster::new(Config::openyurt())?.node("hz-1");
/// let views = inventory.view(&node);
/// assert_eq!((views.len(), &*views[0].name, views[0].visible), (1, "cart", true));
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Inventory {
    services: BTreeMap<(String, String), Service>,
    /// By namespace and name of the slice.
    slices: BTreeMap<(String, String), Slice>,
    /// By namespace and name of the Service: the names of its slices.
    slices_of: BTreeMap<(String, String), BTreeSet<String>>,
    /// By namespace and name; one entry a subset.
    endpoints: BTreeMap<(String, String), Vec<Slice>>,
    /// resourceVersion of the latest list of each kind.
    listed_at: BTreeMap<String, u64>,
}

/// The kind, version and items of a body.
///
/// ```
/// use poolscope::explain::Headline;
///
/// let headline = Headline::of(br#"{"kind":"NodeList","apiVersion":"v1","items":[{}]}"#)?;
/// assert_eq!((&*headline.kind, headline.items), ("NodeList", Some(1)));
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Headline {
    /// Its kind: `EndpointSliceList`, `Service`, ...
    pub kind: String,
    /// Its apiVersion.
    pub api_version: String,
    /// Namespace of a single object.
    pub namespace: String,
    /// Name of a single object.
    pub name: String,
    /// resourceVersion of the list or of the object.
    pub resource_version: String,
    /// Items, if it is a list.
    pub items: Option<usize>,
}

/// A decoded body: its headline, and its objects as kind, apiVersion and bytes or value.
struct Body {
    headline: Headline,
    objects: Vec<(String, String, Content)>,
}

enum Content {
    Json(Value),
    Protobuf(Vec<u8>),
}

impl Content {
    /// Decodes the object; `None` if the kind is not shown. An error names the object.
    fn decode(self, kind: &str, api_version: &str) -> Option<Result<Object>> {
        let undecodable = |encoding, namespace: &str, name: &str, why: String| {
            Error::undecodable(encoding, format!("{kind} {namespace}/{name}").into(), why.into())
        };
        Some(match self {
            Content::Json(value) => {
                let text =
                    |key: &str| value["metadata"][key].as_str().unwrap_or_default().to_owned();
                let (namespace, name) = (text("namespace"), text("name"));
                Object::of_json(kind, api_version, value)?
                    .map_err(|why| undecodable("JSON", &namespace, &name, why))
            }
            Content::Protobuf(bytes) => {
                Object::of_protobuf(kind, api_version, &bytes)?.map_err(|why| {
                    let object = schema::Object::decode(&*bytes).unwrap_or_default();
                    let schema::Metadata { namespace, name, .. } =
                        object.metadata.unwrap_or_default();
                    undecodable("protobuf", &namespace, &name, why)
                })
            }
        })
    }
}

impl Headline {
    /// Reads a whole body, JSON or protobuf: a list or a single object.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed).
    pub fn of(body: &[u8]) -> Result<Headline> {
        Ok(Body::read(body)?.headline)
    }
}

impl Inventory {
    /// Creates an empty inventory.
    pub fn new() -> Inventory {
        Inventory::default()
    }

    /// Adds the objects of a whole body: a list (also kubectl's `List` of several kinds) or a
    /// single object, JSON or protobuf. An object replaces an earlier one of its name, unless it is
    /// a single object that is not newer than a loaded list. Returns the number of Services,
    /// EndpointSlices and Endpoints.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) for a body that cannot be decoded, and
    /// [`ErrorKind::Undecodable`](crate::ErrorKind::Undecodable) for an object in it.
    pub fn load(&mut self, body: &[u8]) -> Result<usize> {
        let body = Body::read(body)?;
        let version = body.headline.resource_version.parse().unwrap_or(u64::MAX);
        let kind =
            body.headline.kind.strip_suffix("List").unwrap_or(&body.headline.kind).to_owned();
        if body.headline.items.is_none()
            && self.listed_at.get(&kind).is_some_and(|&listed_at| version <= listed_at)
        {
            return Ok(0);
        }
        let mut loaded = 0;
        for (kind, api_version, content) in body.objects {
            let Some(object) = content.decode(&kind, &api_version) else { continue };
            let object = object?;
            loaded += 1;
            match object {
                Object::Service(service) => drop(
                    self.services
                        .insert((service.namespace.clone(), service.name.clone()), service),
                ),
                Object::Slice(slice) => self.insert_slice(slice),
                Object::Endpoints { namespace, name, subsets } => {
                    drop(self.endpoints.insert((namespace, name), subsets))
                }
            }
        }
        if loaded > 0 && body.headline.items.is_some() && version != u64::MAX {
            let listed_at = self.listed_at.entry(kind).or_default();
            *listed_at = (*listed_at).max(version);
        }
        Ok(loaded)
    }

    fn insert_slice(&mut self, slice: Slice) {
        let key = (slice.namespace.clone(), slice.name.clone());
        if let Some(earlier) = self.slices.remove(&key) {
            let service = (earlier.namespace, earlier.service);
            if let Some(names) = self.slices_of.get_mut(&service) {
                names.remove(&earlier.name);
                if names.is_empty() {
                    self.slices_of.remove(&service);
                }
            }
        }
        let service = (slice.namespace.clone(), slice.service.clone());
        self.slices_of.entry(service).or_default().insert(slice.name.clone());
        self.slices.insert(key, slice);
    }

    /// Removes the endpoints on a node, as their controllers do when it has failed. Returns how
    /// many there were.
    ///
    /// ```
    /// use poolscope::explain::Inventory;
    ///
    /// let mut inventory = Inventory::new();
    /// inventory.load(br#"{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1",
    ///     "metadata":{"name":"cart-1","namespace":"shop"},"endpoints":[
    ///     {"addresses":["10.1.0.1"],"nodeName":"hz-1"},
    ///     {"addresses":["10.1.0.2"],"nodeName":"hz-2"}]}"#)?;
    /// assert_eq!(inventory.remove_endpoints_on("hz-1"), 1);
    /// assert_eq!(inventory.remove_endpoints_on("hz-1"), 0);
    /// # Ok::<(), poolscope::Error>(())
    /// ```
    pub fn remove_endpoints_on(&mut self, node: &str) -> usize {
        let mut removed = 0;
        for slice in self.slices.values_mut().chain(self.endpoints.values_mut().flatten()) {
            let before = slice.endpoints.len();
            slice.endpoints.retain(|endpoint| endpoint.node.as_deref() != Some(node));
            removed += before - slice.endpoints.len();
        }
        removed
    }

    /// Every Service that is there, or that a slice names. Endpoints alone make no Service: leader
    /// election has them too.
    pub(super) fn names(&self) -> BTreeSet<(String, String)> {
        let named = self.slices_of.keys().filter(|(_, service)| !service.is_empty());
        self.services.keys().chain(named).cloned().collect()
    }

    /// Whether [`Inventory::names`] has it.
    pub(super) fn has(&self, namespace: &str, name: &str) -> bool {
        let key = (namespace.to_owned(), name.to_owned());
        self.services.contains_key(&key) || !name.is_empty() && self.slices_of.contains_key(&key)
    }

    pub(super) fn service_named(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The slices of a Service; its Endpoints only where no slice was loaded at all.
    pub(super) fn slices_of(&self, namespace: &str, name: &str) -> Vec<&Slice> {
        let key = (namespace.to_owned(), name.to_owned());
        if self.slices.is_empty() {
            return self.endpoints.get(&key).into_iter().flatten().collect();
        }
        let named = self.slices_of.get(&key).into_iter().flatten();
        named.filter_map(|slice| self.slices.get(&(namespace.to_owned(), slice.clone()))).collect()
    }
}

impl Body {
    fn read(body: &[u8]) -> Result<Body> {
        match body.strip_prefix(b"k8s\0") {
            Some(envelope) => Body::protobuf(envelope),
            None => Body::json(body),
        }
    }

    fn json(body: &[u8]) -> Result<Body> {
        let refuse = |offset, what| Error::malformed("JSON", offset, None, what);
        let mut value: Value = serde_json::from_slice(body)
            .map_err(|error| refuse(offset_of(body, &error), "not a JSON document"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = |key: &str| text(&value["metadata"][key]);
        let mut headline = Headline {
            kind: text(&value["kind"]),
            api_version: text(&value["apiVersion"]),
            namespace: metadata("namespace"),
            name: metadata("name"),
            resource_version: metadata("resourceVersion"),
            items: value["items"].as_array().map(Vec::len),
        };
        // Go writes an empty list as null.
        let is_empty_list = headline.kind.ends_with("List") && value["items"].is_null();
        if is_empty_list {
            headline.items = Some(0);
        }
        if headline.kind.is_empty() {
            return Err(refuse(0, "a document without `kind`"));
        }
        let objects = match value.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => {
                let item_kind = headline.kind.strip_suffix("List").unwrap_or_default();
                let or = |said: String, default: &str| {
                    if said.is_empty() { default.to_owned() } else { said }
                };
                let object = |item: Value| {
                    let (kind, api_version) = (text(&item["kind"]), text(&item["apiVersion"]));
                    (
                        or(kind, item_kind),
                        or(api_version, &headline.api_version),
                        Content::Json(item),
                    )
                };
                items.into_iter().map(object).collect()
            }
            _ if is_empty_list => Vec::new(),
            _ => vec![(headline.kind.clone(), headline.api_version.clone(), Content::Json(value))],
        };
        Ok(Body { headline, objects })
    }

    fn protobuf(envelope: &[u8]) -> Result<Body> {
        let refuse = |_| Error::malformed("protobuf", 0, None, "not an object in its envelope");
        let unknown = PbUnknown::decode(envelope).map_err(refuse)?;
        let PbTypeMeta { api_version, kind } = unknown.type_meta.unwrap_or_default();
        let mut headline = Headline {
            kind,
            api_version,
            namespace: String::new(),
            name: String::new(),
            resource_version: String::new(),
            items: None,
        };
        let objects = match headline.kind.strip_suffix("List") {
            Some(item_kind) => {
                let list = PbList::decode(&*unknown.raw).map_err(refuse)?;
                let metadata = list.metadata.unwrap_or_default();
                headline.resource_version = metadata.resource_version;
                headline.items = Some(list.items.len());
                let object = |item| {
                    (item_kind.to_owned(), headline.api_version.clone(), Content::Protobuf(item))
                };
                list.items.into_iter().map(object).collect()
            }
            None => {
                let metadata = schema::Object::decode(&*unknown.raw)
                    .map_err(refuse)?
                    .metadata
                    .unwrap_or_default();
                headline.namespace = metadata.namespace;
                headline.name = metadata.name;
                headline.resource_version = metadata.resource_version;
                vec![(
                    headline.kind.clone(),
                    headline.api_version.clone(),
                    Content::Protobuf(unknown.raw),
                )]
            }
        };
        Ok(Body { headline, objects })
    }
}

/// The offset of a fault that serde_json names by line and column.
fn offset_of(body: &[u8], error: &serde_json::Error) -> u64 {
    let before: usize = body
        .split_inclusive(|&byte| byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (before + error.column().saturating_sub(1)) as u64
}

#[derive(prost::Message)]
struct PbUnknown {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<PbTypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

#[derive(prost::Message)]
struct PbTypeMeta {
    #[prost(string, tag = "1")]
    api_version: String,
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(prost::Message)]
struct PbList {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PbListMeta>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    items: Vec<Vec<u8>>,
}

#[derive(prost::Message)]
struct PbListMeta {
    #[prost(string, tag = "2")]
    resource_version: String,
}

//! Which part of the endpoints a response has.

use std::collections::BTreeSet;

use poolscope::explain::ServiceView;
use serde::Deserialize;
use serde_json::Value;

use super::protobuf;

/// The Services whose endpoints were read whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Those of all namespaces.
    whole: bool,
    namespaces: BTreeSet<String>,
    /// Namespace and name.
    services: BTreeSet<(String, String)>,
}

impl Scope {
    /// Returns the scope of a list of all namespaces.
    pub(super) fn whole() -> Scope {
        Scope { whole: true, ..Scope::default() }
    }

    /// Returns the scope of a list of one namespace.
    pub(super) fn of_namespace(namespace: &str) -> Scope {
        Scope { namespaces: [namespace.to_owned()].into(), ..Scope::default() }
    }

    /// Returns the scope of a list without a request, whose objects are of these namespaces. The
    /// API server has slices in several namespaces: those of a single one were asked for by its
    /// name.
    pub(super) fn of_namespaces(namespaces: BTreeSet<String>) -> Scope {
        Scope { whole: namespaces.len() > 1, namespaces, ..Scope::default() }
    }

    /// Returns the Services that the objects of a body name; nothing is known of others. A protobuf
    /// body counts for `namespace`.
    pub(super) fn of_objects(body: &[u8], namespace: &str) -> Scope {
        let Ok(document) = serde_json::from_slice::<Value>(body) else {
            return Scope::of_namespace(namespace);
        };
        let objects = match document["items"].as_array() {
            Some(items) => items.iter().collect(),
            None => vec![&document],
        };
        let services = objects.into_iter().filter_map(service_of).collect();
        Scope { services, ..Scope::default() }
    }

    /// Adds a Service.
    pub(super) fn add_service_of(&mut self, object: &Value) {
        self.services.extend(service_of(object));
    }

    /// Adds another scope.
    pub(super) fn add(&mut self, other: Scope) {
        self.whole |= other.whole;
        self.namespaces.extend(other.namespaces);
        self.services.extend(other.services);
    }

    /// Returns `true` for a part of the namespaces.
    pub(super) fn is_narrow(&self) -> bool {
        !self.whole && !self.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.whole && self.namespaces.is_empty() && self.services.is_empty()
    }

    /// Returns `true` if all endpoints of the Service were read, or it has none by its type.
    pub(super) fn covers(&self, view: &ServiceView) -> bool {
        view.r#type == "ExternalName" || self.has(view)
    }

    /// Returns `true` if the endpoints of a Service of this name were read, if there are any.
    pub(super) fn has(&self, view: &ServiceView) -> bool {
        let name = || (view.namespace.clone(), view.name.clone());
        self.whole || self.namespaces.contains(&view.namespace) || self.services.contains(&name())
    }
}

/// Returns namespace and name of the Service that a slice or an Endpoints object belongs to.
fn service_of(object: &Value) -> Option<(String, String)> {
    let metadata = &object["metadata"];
    let label = &metadata["labels"]["kubernetes.io/service-name"];
    let is_endpoints = object["kind"] == "Endpoints" || object.get("subsets").is_some();
    let name = if is_endpoints { &metadata["name"] } else { label };
    Some((metadata["namespace"].as_str()?.to_owned(), name.as_str()?.to_owned()))
}

/// The pages that follow a list, from its metadata.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ListEnd {
    /// `continue`, which asks for the next page.
    pub(super) token: String,
    /// `remainingItemCount`.
    pub(super) remaining: Option<u64>,
}

impl ListEnd {
    /// Reads the metadata of a list, JSON or protobuf.
    pub(super) fn of(body: &[u8]) -> ListEnd {
        if let Some(envelope) = body.strip_prefix(b"k8s\0") {
            let metadata = protobuf::message(envelope, 2).and_then(|raw| protobuf::message(raw, 1));
            let token = metadata.and_then(|metadata| protobuf::message(metadata, 3));
            return ListEnd {
                token: String::from_utf8_lossy(token.unwrap_or_default()).into(),
                remaining: None,
            };
        }
        #[derive(Deserialize)]
        struct List {
            metadata: Option<Metadata>,
        }
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            r#continue: Option<String>,
            remaining_item_count: Option<u64>,
        }
        let list: Option<List> = serde_json::from_slice(body).ok();
        let metadata = list.and_then(|list| list.metadata).unwrap_or_default();
        ListEnd {
            token: metadata.r#continue.unwrap_or_default(),
            remaining: metadata.remaining_item_count.filter(|&count| count > 0),
        }
    }

    /// Returns `true` if no page follows.
    pub(super) fn is_last(&self) -> bool {
        self.token.is_empty() && self.remaining.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_with_a_token_or_a_remainder_is_a_page() {
        let end = |body: &str| ListEnd::of(body.as_bytes());
        assert!(
            end(r#"{"kind":"NodeList","metadata":{"resourceVersion":"7"},"items":[]}"#).is_last()
        );
        assert!(end(r#"{"kind":"NodeList","metadata":{"continue":""},"items":null}"#).is_last());
        assert!(!end(r#"{"items":[],"metadata":{"continue":"abc"}}"#).is_last());
        let end = end(r#"{"items":[],"metadata":{"remainingItemCount":3}}"#);
        assert_eq!((end.is_last(), end.remaining), (false, Some(3)));
    }

    #[test]
    fn the_token_is_found_in_protobuf() {
        // Unknown{2: List{1: ListMeta{2: "7", 3: "next"}}}
        let meta = [b"\x12\x017\x1a\x04next".as_slice()].concat();
        let list = [&[0x0a, meta.len() as u8][..], &meta].concat();
        let body = [b"k8s\0\x12".as_slice(), &[list.len() as u8], &list].concat();
        assert_eq!(ListEnd::of(&body).token, "next");
        assert!(ListEnd::of(b"k8s\0").is_last());
        assert!(ListEnd::of(b"k8s\0\x12\xff").is_last());
    }
}

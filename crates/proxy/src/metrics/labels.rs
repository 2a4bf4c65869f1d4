//! Label values from requests: short, clean and few.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request};

use crate::request::is_watch;
use crate::route::asks_for_upgrade;

/// The longest value of a label.
const LONGEST: usize = 40;
/// The value that stands for all that found no place.
pub(super) const OTHER: &str = "other";
/// The resource of a path that names none, such as `/version`.
pub(super) const NONE: &str = "none";

/// The values that a label has had. The first ones keep their place.
pub(super) struct BoundedValues {
    at_most: usize,
    known: Mutex<BTreeSet<Arc<str>>>,
    other: Arc<str>,
}

impl BoundedValues {
    pub(super) fn new(at_most: usize) -> BoundedValues {
        BoundedValues { at_most, known: Mutex::default(), other: OTHER.into() }
    }

    /// Returns the value if it is known, or is new, may be added and finds a place; else `other`.
    pub(super) fn get(&self, value: &str, may_add: bool) -> Arc<str> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(value) {
            return value.clone();
        }
        if !may_add || value == OTHER || known.len() >= self.at_most {
            return self.other.clone();
        }
        let value: Arc<str> = value.into();
        known.insert(value.clone());
        value
    }
}

/// Returns the part of a User-Agent before `/`, with `_` for each character that is unusual.
pub(super) fn client(agent: &[u8]) -> String {
    let name = agent.split(|byte| *byte == b'/').next().unwrap_or_default();
    if name.is_empty() {
        return NONE.to_owned();
    }
    let clean = |byte: &u8| {
        let is_usual = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if is_usual { char::from(*byte) } else { '_' }
    };
    name.iter().take(LONGEST).map(clean).collect()
}

/// Returns the segments of a path behind the API group and the namespace: resource, name, ...
fn segments(path: &str) -> Vec<&str> {
    let all: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let rest = match all.as_slice() {
        ["api", _, rest @ ..] => rest,
        ["apis", _, _, rest @ ..] => rest,
        _ => return Vec::new(),
    };
    let rest = rest.strip_prefix(&["watch"]).unwrap_or(rest);
    match rest {
        // The namespace itself, or a part of it.
        ["namespaces", _, "status" | "finalize", ..] | ["namespaces", _] => rest.to_vec(),
        ["namespaces", _, within @ ..] => within.to_vec(),
        _ => rest.to_vec(),
    }
}

/// Returns the plural of the kind that a path names.
pub(super) fn resource(path: &str) -> String {
    match segments(path).first() {
        None | Some(&"") => NONE.to_owned(),
        Some(plural) => {
            let is_plural = plural.len() <= LONGEST
                && plural.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            if is_plural { (*plural).to_owned() } else { OTHER.to_owned() }
        }
    }
}

/// Returns the verb as in Kubernetes' audit log.
pub(super) fn verb<B>(request: &Request<B>) -> &'static str {
    if asks_for_upgrade(request.version(), request.headers()) {
        return "connect";
    }
    let segments = segments(request.uri().path());
    let is_named = segments.get(1).is_some_and(|name| !name.is_empty());
    match *request.method() {
        Method::GET | Method::HEAD if is_watch(request) => "watch",
        Method::GET | Method::HEAD if segments.is_empty() || is_named => "get",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if is_named => "delete",
        Method::DELETE => "deletecollection",
        _ => OTHER,
    }
}

//! Heads of requests and responses on their way through the layer.

use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderName, HeaderValue,
};
use http::{HeaderMap, request, response};
use poolscope::{NodeView, RequestHead, ResponseHead};

/// Changes a request into the one to send to the API server, and returns its head.
pub(crate) fn prepare(node: &NodeView, parts: &mut request::Parts) -> RequestHead {
    let original = RequestHead::from(&*parts);
    let prepared = node.prepare(original.clone());
    if prepared != original {
        // `identity` must reach a decompressing layer below: that of kube reads only the first
        // member of a watch, and an API server of 1.37 sends a member for each event.
        let identity = parts.headers.get(ACCEPT_ENCODING).filter(|value| *value == "identity");
        let identity = identity.cloned();
        apply(&original, &prepared, &mut parts.headers);
        parts.headers.extend(identity.map(|value| (ACCEPT_ENCODING, value)));
    }
    prepared
}

/// Writes the headers that differ. Others keep their values, also those that are not text.
fn apply(original: &RequestHead, prepared: &RequestHead, headers: &mut HeaderMap) {
    let values = |head: &RequestHead, name: &str| -> Vec<String> {
        let of_name = head.headers.iter().filter(|(other, _)| other == name);
        of_name.map(|(_, value)| value.clone()).collect()
    };
    for (name, _) in &original.headers {
        let now = values(prepared, name);
        if now == values(original, name) {
            continue;
        }
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        headers.remove(&name);
        for value in now {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(&name, value);
            }
        }
    }
}

/// Returns the head of a response for the core, and `true` if its body is compressed with gzip. The
/// core reads the decompressed body.
pub(crate) fn readable(parts: &response::Parts) -> (ResponseHead, bool) {
    let mut head = ResponseHead::from(parts);
    let mut encodings = parts.headers.get_all(CONTENT_ENCODING).iter();
    let is_gzip = encodings.next().is_some_and(|value| {
        let name = value.as_bytes().trim_ascii();
        name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip")
    }) && encodings.next().is_none();
    if is_gzip {
        head.headers.retain(|(name, _)| name != CONTENT_ENCODING.as_str());
    }
    (head, is_gzip)
}

/// Removes the headers that describe the bytes of the upstream body.
pub(crate) fn describe_rewritten(headers: &mut HeaderMap, was_gzip: bool) {
    headers.remove(CONTENT_LENGTH);
    headers.remove(ETAG);
    if was_gzip {
        headers.remove(CONTENT_ENCODING);
    }
}

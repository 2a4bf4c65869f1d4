//! Properties of requests.

use http::{Method, Request, Uri};
use http_body::Body;

use crate::request::is_watch;

/// The kind of traffic that an HTTP/2 connection carries. Watches and other requests use separate
/// connections, so that a large list does not delay events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Streams,
    Requests,
}

impl Purpose {
    /// Returns `Streams` for watches and followed logs.
    pub(super) fn of<B>(request: &Request<B>) -> Purpose {
        let query = request.uri().query().unwrap_or_default();
        let follows = || query.split('&').any(|pair| matches!(pair, "follow=true" | "follow=1"));
        if is_watch(request) || follows() { Purpose::Streams } else { Purpose::Requests }
    }
}

/// Returns `true` if a repeated request has no other effect than one, and its body need not be
/// kept for the repetition.
pub(super) fn is_repeatable<B: Body>(request: &Request<B>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD) && request.body().is_end_stream()
}

/// Removes scheme and authority from the URI. Returns `false` if no path is left.
pub(super) fn make_origin_form<B>(request: &mut Request<B>) -> bool {
    let Some(path) = request.uri().path_and_query().cloned() else { return false };
    *request.uri_mut() = Uri::from(path);
    true
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{Empty, Full};

    use super::*;

    #[test]
    fn watches_and_followed_logs_are_long() {
        let purpose = |uri: &str| Purpose::of(&Request::get(uri).body(()).expect("a request"));
        assert_eq!(purpose("/api/v1/pods"), Purpose::Requests);
        assert_eq!(purpose("/api/v1/pods?watch=true&x=1"), Purpose::Streams);
        assert_eq!(purpose("/api/v1/pods?x=1&watch=1"), Purpose::Streams);
        assert_eq!(purpose("/api/v1/pods?watch=false"), Purpose::Requests);
        assert_eq!(purpose("/api/v1/namespaces/a/pods/b/log?follow=true"), Purpose::Streams);
    }

    #[test]
    fn only_bodiless_reads_are_repeatable() {
        let empty = |method| {
            let request = Request::builder().method(method).body(Empty::<Bytes>::new());
            is_repeatable(&request.expect("a request"))
        };
        assert!(empty(Method::GET));
        assert!(empty(Method::HEAD));
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(!empty(method));
        }
        let request = Request::get("/").body(Full::new(Bytes::from_static(b"x")));
        assert!(!is_repeatable(&request.expect("a request")));
    }

    #[test]
    fn absolute_uris_lose_their_authority() {
        let mut request = Request::get("https://a:1/api?x=1").body(()).expect("a request");
        assert!(make_origin_form(&mut request));
        assert_eq!(request.uri(), "/api?x=1");
        let mut request = Request::connect("a:1").body(()).expect("a request");
        assert!(!make_origin_form(&mut request));
    }
}

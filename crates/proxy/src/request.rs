//! Properties of requests, and the headers that go no further than the proxy.

use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, Request};

use crate::route::named_by_connection;

/// Removes headers that are for the next hop alone, and those by which a front proxy would name a
/// user: the API server must never believe a client's own.
pub fn clean(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> =
        named_by_connection(headers).filter_map(|name| name.parse().ok()).collect();
    for name in named {
        headers.remove(name);
    }
    let remote: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-remote-")).cloned().collect();
    for name in remote {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The headers that concern one connection.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Returns `true` if the response to a request is a watch.
pub fn is_watch<B>(request: &Request<B>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let asks = query.split('&').find_map(|pair| match pair.split_once('=') {
        Some(("watch", value)) => Some(value != "0" && !value.eq_ignore_ascii_case("false")),
        None if pair == "watch" => Some(true),
        _ => None,
    });
    asks.unwrap_or_default() || request.uri().path().contains("/watch/")
}

/// Returns the `timeoutSeconds` of a request. Zero means none, as for the API server.
pub fn timeout_seconds<B>(request: &Request<B>) -> Option<Duration> {
    let query = request.uri().query().unwrap_or_default();
    let value = query.split('&').find_map(|pair| pair.strip_prefix("timeoutSeconds="))?;
    // The API server's type is signed, with 64 bits; more than 32 bits are years.
    let seconds: u32 = value.parse().ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_name_a_user_or_reach_past_the_next_hop() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-remote-user", "admin"),
            ("x-remote-extra-scopes", "all"),
            ("connection", "x-own, close"),
            ("x-own", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("authorization", "Bearer t"),
            ("impersonate-user", "jane"),
            ("user-agent", "agent/1"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        clean(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "impersonate-user", "user-agent"]);
    }

    #[test]
    fn watches_are_told_from_other_requests() {
        let get = |uri: &str| Request::get(uri).body(()).unwrap();
        for uri in ["/api/v1/pods?watch=true", "/api/v1/pods?a=b&watch", "/api/v1/watch/pods"] {
            assert!(is_watch(&get(uri)), "{uri}");
        }
        for uri in ["/api/v1/pods", "/api/v1/pods?watch=0", "/api/v1/pods?watch=False"] {
            assert!(!is_watch(&get(uri)), "{uri}");
        }
    }

    #[test]
    fn the_length_of_a_watch_is_read() {
        let length =
            |query: &str| timeout_seconds(&Request::get(format!("/x?{query}")).body(()).unwrap());
        assert_eq!(length("watch=1&timeoutSeconds=424"), Some(Duration::from_secs(424)));
        for query in ["", "timeoutSeconds=", "timeoutSeconds=0", "timeoutSeconds=-1", "timeout=5"] {
            assert_eq!(length(query), None, "{query}");
        }
    }
}

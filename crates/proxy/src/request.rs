//! Changes to a client's request, and the requests that are refused.

use http::header::{CONNECTION, HeaderName, UPGRADE};
use http::{HeaderMap, Request, Version};

/// The plurals of the kinds whose responses are rewritten or read as facts.
const PLURALS: [&str; 3] = ["endpoints", "endpointslices", "services"];

/// Returns `true` if a path may mean another one to the API server than to the proxy, and names a
/// kind that is rewritten: such a response could pass unfiltered.
pub fn is_ambiguous(path: &str) -> bool {
    // Behind the proxy of a Service or pod any form is usual, unless it names such a kind again.
    path.split("/proxy/").any(is_ambiguous_part)
}

fn is_ambiguous_part(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let is_unusual = ["//", "/./", "/../", "%2f", "%2e", "%5c", "%00", "\\", ";"]
        .into_iter()
        .any(|trick| lower.contains(trick))
        || lower.ends_with("/.")
        || lower.ends_with("/..");
    let decoded = decode(&lower);
    let mentions = |plural: &&str| decoded.split(['/', '\\', ';']).any(|part| part == *plural);
    // An escaped letter in the kind's own name is unusual too.
    let is_escaped =
        |plural: &&str| mentions(plural) && !lower.split('/').any(|part| part == *plural);
    PLURALS.iter().any(|plural| is_unusual && mentions(plural) || is_escaped(plural))
}

/// Decodes percent escapes; bytes that make no text become replacement characters.
fn decode(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => {
                let digit = |byte: &u8| (*byte as char).to_digit(16);
                digit(high).zip(digit(low)).map(|(high, low)| (high * 16 + low) as u8)
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { &rest[3..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Removes headers that are for the next hop alone, and those by which a front proxy would name a
/// user: the API server must never believe a client's own.
pub fn clean(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
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

/// Returns `true` if the client asks for another protocol on its connection: exec, attach,
/// port-forward.
pub fn is_upgrade<B>(request: &Request<B>) -> bool {
    let asks = |value: &http::HeaderValue| {
        value.to_str().is_ok_and(|value| {
            value.split(',').any(|name| name.trim().eq_ignore_ascii_case("upgrade"))
        })
    };
    request.version() == Version::HTTP_11
        && request.headers().contains_key(UPGRADE)
        && request.headers().get_all(CONNECTION).iter().any(asks)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_may_mean_a_rewritten_kind_are_refused() {
        for path in [
            "/api//v1/endpoints",
            "/api/v1/./endpoints",
            "/api/v1/x/../endpoints",
            "/api/v1%2fendpoints",
            "/api/v1/%65ndpoints",
            "/apis/discovery.k8s.io/v1/endpointslice%73",
            "/api/v1/namespaces/a/../services",
            "/api\\v1\\services",
            "/api/v1/services/..",
            "/API//v1/Services",
            "/api/v1/endpoints;x=1//",
            "/api/v1/namespaces/a/services/b/proxy/api/v1//endpoints",
            "/api/v1//namespaces/a/services/b/proxy/x",
        ] {
            assert!(is_ambiguous(path), "{path}");
        }
        for path in [
            "/api/v1/endpoints",
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/cart-1",
            "/api/v1/namespaces/a/services/b:80/proxy/x",
            "/api/v1/namespaces/a/services/b:80/proxy/x//y%2fz/../a",
            "/api/v1/namespaces/a/pods/b/proxy/x//y",
            "/healthz//x",
            "/",
        ] {
            assert!(!is_ambiguous(path), "{path}");
        }
    }

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
    fn watches_and_upgrades_are_told_from_other_requests() {
        let get = |uri: &str| Request::get(uri).body(()).unwrap();
        for uri in ["/api/v1/pods?watch=true", "/api/v1/pods?a=b&watch", "/api/v1/watch/pods"] {
            assert!(is_watch(&get(uri)), "{uri}");
        }
        for uri in ["/api/v1/pods", "/api/v1/pods?watch=0", "/api/v1/pods?watch=False"] {
            assert!(!is_watch(&get(uri)), "{uri}");
        }
        let exec = |connection: &str| {
            let request = Request::post("/exec").header("upgrade", "SPDY/3.1");
            request.header("connection", connection).body(()).unwrap()
        };
        assert!(is_upgrade(&exec("keep-alive, Upgrade")));
        assert!(!is_upgrade(&exec("keep-alive")));
        assert!(!is_upgrade(&get("/exec")));
    }
}

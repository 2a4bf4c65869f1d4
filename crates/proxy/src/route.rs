//! Decides how a request is handled, from its head alone.
//!
//! The decision has no state and reads no configuration. Its law, which a fuzz target checks: a
//! request that is piped or tunnelled is no read of a rewritten kind, however the API server
//! normalises the path.

use http::header::{AUTHORIZATION, CONNECTION, HOST, UPGRADE};
use http::{HeaderMap, Method, StatusCode, Uri, Version};

/// The kinds whose responses are rewritten: API group and plural.
const KINDS: [(&str, &str); 3] =
    [("", "endpoints"), ("discovery.k8s.io", "endpointslices"), ("", "services")];

/// The handling of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The response is rewritten for the node.
    Rewritten,
    /// Request and response pass byte for byte.
    Pipe,
    /// Client and API server agree on another protocol, over a connection of their own.
    Tunnel,
    /// The proxy replies, and the API server receives nothing.
    Refused(Refusal),
}

/// The reason why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The request has no `Authorization`, and the listener lends no identity.
    NoCredentials,
    /// The listener lends an identity, and the request names another user.
    Impersonation,
    /// The URI has no path.
    NoPath,
    /// The path may name a rewritten kind, in a form that servers read in different ways.
    UnusualPath,
    /// `Connection` names a header that decides about the request.
    UnusualConnection,
    /// The listener lends an identity, and the request is for another host.
    ForeignHost,
}

impl Refusal {
    /// Returns the status of the reply.
    pub fn status(self) -> StatusCode {
        match self {
            Refusal::NoCredentials => StatusCode::UNAUTHORIZED,
            Refusal::Impersonation => StatusCode::FORBIDDEN,
            Refusal::NoPath | Refusal::UnusualPath | Refusal::UnusualConnection => {
                StatusCode::BAD_REQUEST
            }
            Refusal::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
        }
    }

    /// Returns the reason and the remedy.
    pub fn message(self) -> &'static str {
        match self {
            Refusal::NoCredentials => {
                "send the ServiceAccount token of the client (`tokenFile` in the kubeconfig): \
                 this listener lends no identity"
            }
            Refusal::Impersonation => {
                "this listener lends the proxy's identity and accepts no Impersonate-* headers: \
                 send them to a listener with https"
            }
            Refusal::NoPath => "the request has no path: send one that begins with /",
            Refusal::UnusualPath => {
                "the path names a rewritten kind in an unusual form: send it in the usual one"
            }
            Refusal::UnusualConnection => {
                "the header Connection names Authorization, Host or Impersonate-*: leave them out"
            }
            Refusal::ForeignHost => {
                "this listener lends the proxy's identity to the node alone: ask for 127.0.0.1, \
                 [::1] or localhost"
            }
        }
    }
}

/// Decides how a request is handled. `lends_identity` is `true` on a listener whose requests get
/// the proxy's own token.
pub fn route(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    lends_identity: bool,
) -> Route {
    if !lends_identity && !headers.contains_key(AUTHORIZATION) {
        return Route::Refused(Refusal::NoCredentials);
    }
    if drops_identity(headers) {
        return Route::Refused(Refusal::UnusualConnection);
    }
    if lends_identity && !is_for_loopback(uri, headers) {
        return Route::Refused(Refusal::ForeignHost);
    }
    let impersonates = || headers.keys().any(|name| name.as_str().starts_with("impersonate-"));
    if lends_identity && impersonates() {
        return Route::Refused(Refusal::Impersonation);
    }
    let Some(target) = uri.path_and_query() else { return Route::Refused(Refusal::NoPath) };
    if !target.path().starts_with('/') && target.path() != "*" {
        return Route::Refused(Refusal::NoPath);
    }
    let path = target.path();
    // A proxy subresource without a path takes it from the query.
    let names_query_path = || {
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut keys = target.query().unwrap_or_default().split('&');
        path.ends_with("/proxy") && keys.any(|key| key.split('=').next() == Some("path"))
    };
    if is_ambiguous(path) || names_query_path() {
        return Route::Refused(Refusal::UnusualPath);
    }
    if method == Method::GET && names_kind(&path.split('/').collect::<Vec<_>>()) {
        return Route::Rewritten;
    }
    if asks_for_upgrade(version, headers) { Route::Tunnel } else { Route::Pipe }
}

/// Returns `true` if `Connection` names a header that belongs to the request: it would be removed,
/// and the request be another one's.
fn drops_identity(headers: &HeaderMap) -> bool {
    named_by_connection(headers).any(|name| {
        let name = name.to_ascii_lowercase();
        name == "authorization" || name == "host" || name.starts_with("impersonate-")
    })
}

/// The names in the header `Connection`.
pub(crate) fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// Returns `true` if the request names this machine, as no page of another site can.
fn is_for_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let header = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_loopback = |authority: &str| {
        authority.parse::<http::uri::Authority>().is_ok_and(|authority| {
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            host.eq_ignore_ascii_case("localhost")
                || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    };
    let authority = uri.authority().map(|authority| authority.as_str());
    header.is_none_or(is_loopback)
        && authority.is_none_or(is_loopback)
        && (header.is_some() || authority.is_some())
}

/// Returns `true` if the client asks for another protocol on its connection: exec, attach,
/// port-forward.
pub(crate) fn asks_for_upgrade(version: Version, headers: &HeaderMap) -> bool {
    version == Version::HTTP_11
        && headers.contains_key(UPGRADE)
        && named_by_connection(headers).any(|name| name.eq_ignore_ascii_case("upgrade"))
}

/// Returns `true` if the segments name a collection or an object of a rewritten kind, of any
/// version. A prefix may stand before the API root: the path of an aggregated API, or of a proxy
/// in front of another cluster.
fn names_kind(segments: &[&str]) -> bool {
    let segments: Vec<&str> =
        segments.iter().copied().filter(|segment| !segment.is_empty()).collect();
    (0..segments.len()).any(|root| {
        let (group, rest) = match &segments[root..] {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return false,
        };
        let rest = rest.strip_prefix(&["watch"]).unwrap_or(rest);
        let rest = match rest {
            ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
            rest => rest,
        };
        let plural = match rest {
            [plural] | [plural, _] | [plural, _, "status"] => *plural,
            _ => return false,
        };
        KINDS.contains(&(group, plural))
    })
}

/// Returns `true` if servers may read a path in different ways, and it mentions or means a kind
/// that is rewritten: such a response could pass unfiltered.
fn is_ambiguous(path: &str) -> bool {
    // Behind the proxy of a Service or pod any form is usual, unless it names such a kind again.
    if path.split("/proxy/").any(mentions_kind_unusually) {
        return true;
    }
    let decoded = decode(path);
    let resolved = resolve(&decoded);
    let unresolved: Vec<&str> = decoded.split('/').collect();
    let names_it = names_kind(&resolved) || names_kind(&unresolved);
    names_it && !is_usual(path)
}

/// Returns `true` if all servers read a path in one way. A slash at its end is usual.
fn is_usual(path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    !path.contains(['%', '\\', ';'])
        && !path.split('/').any(|segment| matches!(segment, "" | "." | ".."))
}

fn mentions_kind_unusually(part: &str) -> bool {
    let lower = part.to_ascii_lowercase();
    let is_unusual = ["//", "%2f", "%2e", "%5c", "%00", "\\", ";"]
        .into_iter()
        .any(|trick| lower.contains(trick))
        || lower.split('/').any(|segment| matches!(segment, "." | ".."));
    let decoded = decode(&lower);
    let mentions = |plural: &str| decoded.split(['/', '\\', ';']).any(|part| part == plural);
    // An escaped letter in the kind's own name is unusual too.
    let is_escaped = |plural: &str| !lower.split('/').any(|part| part == plural);
    KINDS.iter().any(|(_, plural)| mentions(plural) && (is_unusual || is_escaped(plural)))
}

/// Resolves `.`, `..` and empty segments.
fn resolve(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    segments
}

/// Decodes percent escapes once; bytes that make no text become replacement characters.
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (http::HeaderName::from_static(name), HeaderValue::from_static(value))
            })
            .collect()
    }

    fn of(method: &str, target: &str, pairs: &[(&'static str, &'static str)]) -> Route {
        let mut headers = headers(pairs);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer t"));
        let uri = target.parse().unwrap();
        route(&method.parse().unwrap(), &uri, Version::HTTP_11, &headers, false)
    }

    const UNUSUAL: Route = Route::Refused(Refusal::UnusualPath);

    #[test]
    fn no_header_that_decides_about_the_request_is_removed() {
        for value in ["authorization", "close, Authorization", "Host", "impersonate-user"] {
            let refused = of("GET", "/version", &[("connection", value)]);
            assert_eq!(refused, Route::Refused(Refusal::UnusualConnection), "{value}");
        }
        for value in ["close", "keep-alive, Upgrade", "x-impersonate"] {
            assert_eq!(of("GET", "/version", &[("connection", value)]), Route::Pipe, "{value}");
        }
    }

    #[test]
    fn an_identity_is_lent_to_requests_for_this_machine() {
        let lending = |target: &str, host: Option<&'static str>| {
            let pairs: Vec<_> = host.map(|host| ("host", host)).into_iter().collect();
            let uri = target.parse().unwrap();
            route(&Method::GET, &uri, Version::HTTP_11, &headers(&pairs), true)
        };
        for host in ["127.0.0.1:10273", "127.0.0.9", "[::1]:10273", "localhost", "LOCALHOST:1"] {
            assert_eq!(lending("/version", Some(host)), Route::Pipe, "{host}");
        }
        let foreign = Route::Refused(Refusal::ForeignHost);
        for host in ["attacker.example", "10.0.0.1", "localhost.attacker.example", "[fe80::1]:1"] {
            assert_eq!(lending("/version", Some(host)), foreign, "{host}");
        }
        assert_eq!(lending("/version", None), foreign);
        assert_eq!(lending("http://localhost/version", None), Route::Pipe);
        assert_eq!(lending("http://attacker.example/version", Some("localhost")), foreign);
    }

    #[test]
    fn a_proxy_subresource_takes_no_path_from_the_query() {
        let service = "/api/v1/namespaces/a/services/b:80/proxy";
        for query in ["?path=api/v1/endpoints", "/?x=1&path=y", "?path"] {
            assert_eq!(of("GET", &format!("{service}{query}"), &[]), UNUSUAL, "{query}");
        }
        assert_eq!(of("GET", &format!("{service}/x?path=y"), &[]), Route::Pipe);
        assert_eq!(of("GET", &format!("{service}?paths=y"), &[]), Route::Pipe);
    }

    #[test]
    fn paths_lead_to_routes() {
        for (expected, targets) in [
            (
                Route::Rewritten,
                &[
                    "/api/v1/endpoints",
                    "/api/v1/endpoints/",
                    "/api/v1/endpoints?watch=1",
                    "/api/v1/services?x=/../%2f//",
                    "/api/v1/watch/services",
                    "/api/v1/watch/namespaces/a/endpoints/b",
                    "/api/v2/endpoints",
                    "/api/v1/namespaces/shop/services/cart",
                    "/api/v1/namespaces/shop/services/cart/status",
                    "/api/v1/namespaces/endpoints/endpoints",
                    "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/cart-1",
                    "/apis/discovery.k8s.io/v1beta1/endpointslices",
                    "https://api:6443/api/v1/endpoints",
                    "/k8s/clusters/c-1/api/v1/endpoints",
                    "/api/v1/namespaces/a/services/b:80/proxy/api/v1/endpoints",
                ][..],
            ),
            (
                Route::Pipe,
                &[
                    "/",
                    "*",
                    "/version",
                    "/healthz//x",
                    "/api/v1/pods",
                    "/api/v1/namespaces/services/pods",
                    "/api/v1/namespaces/services/pods/endpoints",
                    "/api/v1/namespaces/endpoints",
                    "/apis/serving.knative.dev/v1/services",
                    "/apis/apps/v1/endpoints",
                    "/API/v1/Endpoints",
                    "/api/v1/Services",
                    "/api/v1/%45ndpoints",
                    "/api/v1/services%00",
                    "/api/v1/endpoints%3Fwatch=1",
                    "/api/v1/namespaces/a/services/b:80/proxy/x",
                    "/api/v1/namespaces/a/services/b:80/proxy/x//y%2fz/../a",
                    "/api/v1/namespaces/a/pods/b/proxy/x//y",
                    "/api/v1/namespaces/a/pods/b%20c",
                    "/x?a=/api/v1/endpoints",
                ],
            ),
            (
                UNUSUAL,
                &[
                    "/api//v1/endpoints",
                    "//api/v1/endpoints",
                    "/api/v1/endpoints//",
                    "/api/v1/./endpoints",
                    "/api/v1/../v1/endpoints",
                    "/api/v1/x/../endpoints",
                    "/api/v1/proxy/../endpoints",
                    "/api/v1/pods/proxy/../../endpoints",
                    "/api/v1%2fendpoints",
                    "/api/v1%2Fendpoints",
                    "/api/%76%31/endpoints",
                    "/%61pi/v1/endpoints",
                    "/api/v1/%65ndpoints",
                    "/api/v1/x/%2e%2e/endpoints",
                    "/api/v1/x/.%2E/endpoints",
                    "/apis/discovery.k8s.io/v1/endpointslice%73",
                    "/apis/discovery%2ek8s.io/v1/endpointslices",
                    "/api/v1/namespaces/a/../services",
                    "/api\\v1\\services",
                    "/api/v1/services/..",
                    "/api/v1/services/.",
                    "/API//v1/Services",
                    "/api/v1/endpoints;x=1",
                    "/api/v1;x/services",
                    "/api/v1/namespaces/a/services/b/proxy/api/v1//endpoints",
                    "/api/v1/namespaces/a/services/b/proxy/../../../../../endpoints",
                    "/api/v1//namespaces/a/services/b/proxy/x",
                ],
            ),
        ] {
            for target in targets {
                // An absolute path of `http::Uri` has no backslash.
                if target.parse::<Uri>().is_ok() {
                    assert_eq!(of("GET", target, &[]), expected, "{target}");
                } else {
                    assert!(target.contains('\\'), "{target}");
                }
            }
        }
        assert!(is_ambiguous("/api\\v1\\services"));
    }

    #[test]
    fn writes_pass_but_not_by_unusual_paths() {
        for method in ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "get"] {
            assert_eq!(of(method, "/api/v1/services", &[]), Route::Pipe, "{method}");
            assert_eq!(of(method, "/api/v1//services", &[]), UNUSUAL, "{method}");
        }
    }

    #[test]
    fn upgrades_are_tunnels_unless_the_response_is_rewritten() {
        let upgrade = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        for target in [
            "/api/v1/namespaces/services/pods/x/exec",
            "/api/v1/namespaces/a/services/b:80/proxy/socket",
            "/api/v1/namespaces/a/pods/endpoints/portforward",
        ] {
            assert_eq!(of("GET", target, &upgrade), Route::Tunnel, "{target}");
            assert_eq!(of("POST", target, &upgrade), Route::Tunnel, "{target}");
            assert_eq!(of("GET", target, &[("upgrade", "websocket")]), Route::Pipe, "{target}");
        }
        assert_eq!(of("GET", "/api/v1/endpoints?watch=1", &upgrade), Route::Rewritten);
        assert_eq!(of("GET", "/api/v1//endpoints?watch=1", &upgrade), UNUSUAL);
    }

    #[test]
    fn credentials_decide_first() {
        let route = |pairs: &[(&'static str, &'static str)], lends_identity| {
            let uri = Uri::from_static("http://localhost/api/v1//endpoints");
            route(&Method::GET, &uri, Version::HTTP_2, &headers(pairs), lends_identity)
        };
        assert_eq!(route(&[], false), Route::Refused(Refusal::NoCredentials));
        assert_eq!(route(&[], true), UNUSUAL);
        for name in ["impersonate-user", "impersonate-extra-scopes"] {
            let pairs = [(name, "jane"), ("authorization", "Bearer t")];
            assert_eq!(route(&pairs[..1], true), Route::Refused(Refusal::Impersonation));
            assert_eq!(route(&pairs, true), Route::Refused(Refusal::Impersonation));
            assert_eq!(route(&pairs, false), UNUSUAL);
        }
        let statuses = [Refusal::NoCredentials, Refusal::Impersonation, Refusal::NoPath];
        assert_eq!(statuses.map(|refusal| refusal.status().as_u16()), [401, 403, 400]);
    }

    #[test]
    fn an_authority_is_no_path() {
        assert_eq!(of("CONNECT", "api:6443", &[]), Route::Refused(Refusal::NoPath));
    }
}

//! The node proxy's routes: what it pipes is no read of a kind that it rewrites.

use super::world::Looked;

/// How the proxy handles a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// Response bytes reach the client unread.
    Unread,
    /// The response is rewritten.
    Rewritten,
    /// The API server receives nothing.
    Refused,
}

/// A request's head.
#[derive(Debug)]
pub struct Head<'a> {
    /// Such as `GET`.
    pub method: &'a str,
    /// The target, as it is sent.
    pub target: &'a str,
    /// Names and values.
    pub headers: Vec<(&'a str, &'a str)>,
}

/// The first line is the method, the second the target, every other a header. `handle` returns the
/// proxy's decision with the path that it sends on, or `None` for a head that HTTP forbids.
pub fn check(input: &[u8], handle: impl Fn(&Head<'_>) -> Option<(Handling, String)>) -> Looked {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let (Some(method), Some(target)) = (lines.next(), lines.next()) else { return Looked::Refused };
    let headers = lines.filter_map(|line| line.split_once(':')).collect();
    let head = Head { method, target, headers };
    let Some((handling, path)) = handle(&head) else { return Looked::Refused };
    let meanings = meanings(&path);
    let is_read = method == "GET" && meanings.iter().any(|path| is_read(path));
    match handling {
        Handling::Unread => assert!(!is_read, "unread: {path} of {head:?}"),
        Handling::Rewritten => {
            assert!(is_read, "rewritten without need: {path} of {head:?}");
            // Every server sees the path that the proxy saw.
            assert!(meanings.iter().all(|meaning| meaning == &meanings[0]), "{meanings:?}");
        }
        Handling::Refused => {}
    }
    Looked::Compared
}

/// The paths that servers may make of one: decoded once and cleaned, as `net/http` and its mux do,
/// and decoded once without more, as the API server's own router does.
fn meanings(path: &str) -> [String; 2] {
    let mut decoded = Vec::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let pair: Vec<u8> = bytes.clone().take(2).collect();
        let is_hex = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
        if byte == b'%' && is_hex {
            let text = String::from_utf8(pair).unwrap();
            decoded.push(u8::from_str_radix(&text, 16).unwrap());
            bytes.nth(1);
        } else {
            decoded.push(byte);
        }
    }
    let decoded = String::from_utf8_lossy(&decoded).into_owned();
    // Rewrites text until nothing changes: another way than a stack of segments.
    let mut cleaned = format!("{decoded}/");
    loop {
        let mut next = cleaned.replace("/./", "/").replace("//", "/");
        if let Some(at) = next.find("/../") {
            let parent = next[..at].rfind('/').unwrap_or(0);
            next.replace_range(parent..at + 3, "");
        }
        if next == cleaned {
            break;
        }
        cleaned = next;
    }
    let trim = |path: &str| path.trim_matches('/').to_owned();
    [trim(&cleaned), trim(&decoded)]
}

/// Reads a path without slashes at its ends. Any path may precede the API root.
fn is_read(path: &str) -> bool {
    let core = |rest: &str| {
        // The version is any.
        let Some((_, rest)) = rest.split_once('/') else { return false };
        let collection = |rest: &str, plural: &str| {
            let Some(name) = rest.strip_prefix(plural) else { return false };
            let Some(name) = name.strip_prefix('/') else { return name.is_empty() };
            let name = name.strip_suffix("/status").unwrap_or(name);
            !name.contains('/')
        };
        let forms = |plural: &str| {
            let rest = rest.strip_prefix("watch/").unwrap_or(rest);
            let namespaced = rest.strip_prefix("namespaces/").and_then(|rest| rest.split_once('/'));
            collection(rest, plural) || namespaced.is_some_and(|(_, rest)| collection(rest, plural))
        };
        ["endpoints", "services"].into_iter().any(forms)
    };
    let slices = |rest: &str| {
        let rest = rest.split_once('/').map_or("", |(_, rest)| rest);
        let rest = rest.strip_prefix("watch/").unwrap_or(rest);
        let namespaced = rest.strip_prefix("namespaces/").and_then(|rest| rest.split_once('/'));
        [Some(rest), namespaced.map(|(_, rest)| rest)].into_iter().flatten().any(|rest| {
            let parts: Vec<&str> = rest.split('/').collect();
            parts[0] == "endpointslices"
                && (parts.len() <= 2 || parts.len() == 3 && parts[2] == "status")
        })
    };
    let path = format!("/{path}");
    let after = |root: &str, reads: &dyn Fn(&str) -> bool| {
        // Roots may share a slash.
        path.match_indices('/').any(|(at, _)| path[at..].strip_prefix(root).is_some_and(reads))
    };
    after("/api/", &core) || after("/apis/discovery.k8s.io/", &slices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_judge_reads_paths() {
        for path in [
            "/api/v1/endpoints",
            "/api/v1//x/%2e%2e/endpoints/",
            "/a/b/../../api/v1/watch/namespaces/x/services/y",
            "/apis/discovery.k8s.io/v1/namespaces/a/endpointslice%73/b",
            "/p/api/v1/services/x/status",
        ] {
            assert!(meanings(path).iter().any(|path| is_read(path)), "{path}");
        }
        for path in [
            "/api/v1/pods",
            "/api/endpoints",
            "/api/v1/namespaces/services/pods/endpoints",
            "/apis/serving.knative.dev/v1/services",
            "/api/v1/namespaces/a/services/b/proxy/x",
        ] {
            assert!(!meanings(path).iter().any(|path| is_read(path)), "{path}");
        }
        assert_eq!(meanings("/../a/%252e/b/..")[0], "a/%2e");
    }
}

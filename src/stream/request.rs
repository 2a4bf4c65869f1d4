//! From method, target and headers to what a response is about.

use std::collections::{BTreeSet, HashSet};

use crate::object::selection::Selection;
use crate::object::version::Version;
use crate::object::{FactKind, SubjectKind, config_map};

/// An HTTP request to the API server, as far as poolscope looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Request {
    /// `GET`, ...
    pub method: String,
    /// Path and query: `/apis/discovery.k8s.io/v1/endpointslices?watch=true`.
    pub target: String,
    /// Names (in any case) and values.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// A request without headers.
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> Request {
        Request { method: method.into(), target: target.into(), headers: Vec::new() }
    }

    /// `GET target`, without headers.
    pub fn get(target: impl Into<String>) -> Request {
        Request::new("GET", target)
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The values of all headers of that name.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Status and headers of the API server's response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// Names (in any case) and values.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// A response without headers.
    pub fn new(status: u16) -> Head {
        Head { status, headers: Vec::new() }
    }

    /// A 200 response of the given Content-Type.
    pub fn ok(content_type: impl Into<String>) -> Head {
        Head::new(200).header("Content-Type", content_type)
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Head {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The values of all headers of that name.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What kind of objects a response carries, if poolscope cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Subject(SubjectKind),
    Fact(FactKind),
}

/// How the objects come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// One object.
    Get,
    List,
    Watch {
        /// How the stream begins.
        initial: Initial,
    },
}

/// How a watch begins (wire 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Initial {
    /// At a resourceVersion: live events from the first byte.
    Live,
    /// With everything that is there, ended by an annotated bookmark.
    Announced,
    /// With everything that is there (no resourceVersion, or 0), ended by the first event that is not ADDED.
    Legacy,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) resource: Resource,
    pub(crate) verb: Verb,
    pub(crate) selection: Selection,
    /// The token of the page asked for.
    pub(crate) continues: Option<String>,
    pub(crate) resource_version: String,
    /// The client takes bookmarks.
    pub(crate) bookmarks: bool,
    /// Only metadata is asked for.
    pub(crate) metadata_only: bool,
}

impl Target {
    /// `None` for everything that poolscope has nothing to do with: other methods, other kinds, subresources. The target
    /// may be absolute (`https://host/api/...`), and a proxy's prefix may stand before `/api` or `/apis`.
    pub(crate) fn of(request: &Request) -> Option<Target> {
        if request.method != "GET" {
            return None;
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let path = match path.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') => rest.split_once('/').map_or("", |(_, path)| path),
            _ => path,
        };
        let segments = segments(path);
        let root = segments.windows(2).position(|pair| pair[0] == "apis" || pair[0] == "api" && pair[1] == "v1")?;
        let mut parts = segments[root..].iter().map(String::as_str);
        let (group, version) = if parts.next()? == "api" { ("", parts.next()?) } else { (parts.next()?, parts.next()?) };
        let mut parts = parts.peekable();
        // Deprecated since 1.11 and still served: /api/v1/watch/...
        let watch_path = parts.next_if_eq(&"watch").is_some();
        let mut plural = parts.next()?;
        let mut namespace = None;
        if plural == "namespaces"
            && let Some(name) = parts.next()
        {
            namespace = Some(name.to_owned());
            // The namespace object itself is nothing to us.
            plural = parts.next()?;
        }
        let resource = resource(group, version, plural)?;
        let name = parts.next();
        if parts.next().is_some() {
            return None;
        }
        let Query { watch, announced, continues, resource_version, bookmarks, labels, mut fields } = Query::of(query);
        if let Some(name) = name {
            fields.insert(format!("metadata.name={name}"));
        }
        // Only the deprecated path watches one object by its path.
        let verb = match name {
            name if watch_path || watch && name.is_none() => Verb::Watch { initial: Initial::of(announced, bookmarks, &resource_version) },
            Some(_) => Verb::Get,
            None => Verb::List,
        };
        let metadata_only = request.values("accept").any(|value| value.contains("as=PartialObjectMetadata"));
        let selection = Selection { namespace, labels, fields };
        // Of ConfigMaps one matters.
        if resource == Resource::Fact(FactKind::ConfigMap) && !config_map::may_be_in(&selection) {
            return None;
        }
        Some(Target { resource, verb, selection, continues, resource_version, bookmarks, metadata_only })
    }

    /// A watch that starts at whatever is the latest.
    pub(crate) fn is_from_now(&self) -> bool {
        matches!(self.resource_version.as_str(), "" | "0")
    }

    /// The version that a watch starts after; unknown if it starts at whatever is the latest.
    pub(crate) fn start(&self) -> Version {
        if self.is_from_now() { Version::default() } else { Version::parse(&self.resource_version) }
    }
}

/// The segments of a path, percent-decoded. `.` and `..` are resolved, as they may be on the way to the API server.
/// A slash that is escaped separates too: Go's servers see the path decoded.
fn segments(path: &str) -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    for segment in decoded(path).split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment.to_owned()),
        }
    }
    segments
}

/// What the parameters of a query say. Of a repeated one the API server reads the first.
#[derive(Default)]
struct Query {
    watch: bool,
    announced: Option<bool>,
    continues: Option<String>,
    resource_version: String,
    bookmarks: bool,
    labels: BTreeSet<String>,
    fields: BTreeSet<String>,
}

impl Query {
    fn of(query: &str) -> Query {
        let mut read = Query::default();
        let mut seen = HashSet::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if !seen.insert(key.clone()) {
                continue;
            }
            match &*key {
                "watch" => read.watch = truth(&value),
                "sendInitialEvents" => read.announced = Some(truth(&value)),
                "continue" => read.continues = Some(value.into_owned()).filter(|token| !token.is_empty()),
                "resourceVersion" => read.resource_version = value.into_owned(),
                "labelSelector" => read.labels = requirements(&value).collect(),
                "fieldSelector" => read.fields.extend(requirements(&value)),
                "allowWatchBookmarks" => read.bookmarks = truth(&value),
                "limit" | "resourceVersionMatch" | "timeoutSeconds" | "timeout" | "pretty" => {}
                // Such as shardSelector: whatever it is, it may leave something out.
                _ => drop(read.fields.insert(format!("{key}={value}"))),
            }
        }
        read
    }
}

impl Initial {
    fn of(announced: Option<bool>, bookmarks: bool, resource_version: &str) -> Initial {
        match (announced, resource_version) {
            (Some(true), _) if bookmarks => Initial::Announced,
            // It is the bookmark that announces the end.
            (Some(true), _) | (None, "" | "0") => Initial::Legacy,
            _ => Initial::Live,
        }
    }
}

fn resource(group: &str, version: &str, plural: &str) -> Option<Resource> {
    Some(match (group, version, plural) {
        ("discovery.k8s.io", "v1", "endpointslices") => Resource::Subject(SubjectKind::EndpointSlice),
        ("discovery.k8s.io", "v1beta1", "endpointslices") => Resource::Subject(SubjectKind::EndpointSliceBeta),
        ("", "v1", "endpoints") => Resource::Subject(SubjectKind::Endpoints),
        ("", "v1", "services") => Resource::Fact(FactKind::Service),
        ("", "v1", "nodes") => Resource::Fact(FactKind::Node),
        ("", "v1", "configmaps") => Resource::Fact(FactKind::ConfigMap),
        ("cilium.io", _, "ciliumnodes") => Resource::Fact(FactKind::CiliumNode),
        ("apps.openyurt.io", _, "nodepools") => Resource::Fact(FactKind::NodePool),
        ("apps.openyurt.io", _, "nodebuckets") => Resource::Fact(FactKind::NodeBucket),
        _ => return None,
    })
}

/// How the API server reads a boolean of a query: anything but `false` and `0`, so also nothing at all.
fn truth(value: &str) -> bool {
    !(value == "0" || value.eq_ignore_ascii_case("false"))
}

fn decoded(part: &str) -> String {
    // What means something in a query stands for itself in a path.
    let query = part.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(query.as_bytes()).map(|(key, _)| key.into_owned()).next().unwrap_or_default()
}

/// The requirements of a selector: split at commas that are not inside the brackets of a set, blanks taken out.
fn requirements(selector: &str) -> impl Iterator<Item = String> {
    let mut requirements = vec![String::new()];
    let mut depth = 0;
    for letter in selector.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                requirements.push(String::new());
                continue;
            }
            _ => {}
        }
        requirements.last_mut().expect("never empty").push(letter);
    }
    requirements.into_iter().map(|one| one.trim().replace("==", "=")).filter(|one| !one.is_empty())
}

/// The same request with headers that make the answer one that can be read: no compression, neither CBOR nor YAML, no
/// Table, no part of the body, no WebSocket.
pub(crate) fn prepare(mut request: Request) -> Request {
    if Target::of(&request).is_none() {
        return request;
    }
    let unreadable = |name: &str| {
        let name = name.to_ascii_lowercase();
        matches!(&*name, "accept-encoding" | "range" | "if-range" | "upgrade" | "connection") || name.starts_with("sec-websocket-")
    };
    request.headers.retain(|(name, _)| !unreadable(name));
    for (name, value) in &mut request.headers {
        if name.eq_ignore_ascii_case("accept") {
            let readable: Vec<&str> = value.split(',').map(str::trim).filter(|clause| is_readable(clause)).collect();
            *value = if readable.is_empty() { "application/json".to_owned() } else { readable.join(",") };
        }
    }
    request
}

fn is_readable(clause: &str) -> bool {
    let mut parts = clause.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    !matches!(&*media, "application/cbor" | "application/cbor-seq" | "application/yaml" | "")
        && !parts.any(|part| part.eq_ignore_ascii_case("as=Table"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Option<Target> {
        Target::of(&Request::get(text))
    }

    const SLICES: Resource = Resource::Subject(SubjectKind::EndpointSlice);

    #[test]
    fn paths_say_kind_namespace_and_name() {
        let list = target("/apis/discovery.k8s.io/v1/endpointslices").unwrap();
        assert_eq!((list.resource, list.verb, list.selection), (SLICES, Verb::List, Selection::default()));
        let list = target("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices").unwrap();
        assert_eq!((list.verb, list.selection.namespace.as_deref()), (Verb::List, Some("shop")));
        let get = target("/api/v1/namespaces/shop/endpoints/cart").unwrap();
        assert_eq!((get.resource, get.verb), (Resource::Subject(SubjectKind::Endpoints), Verb::Get));
        let node = target("/api/v1/nodes/hz-edge-1").unwrap();
        assert_eq!((node.resource, node.verb), (Resource::Fact(FactKind::Node), Verb::Get));
        assert!(node.selection.fields.contains("metadata.name=hz-edge-1"));
        for path in [FactKind::ConfigMap.list_path(), "/api/v1/configmaps", "/api/v1/namespaces/kube-system/configmaps/yurt-hub-cfg"] {
            assert_eq!(target(path).unwrap().resource, Resource::Fact(FactKind::ConfigMap), "{path}");
        }
        for version in ["v1alpha1", "v1beta1", "v1beta2"] {
            assert_eq!(
                target(&format!("/apis/apps.openyurt.io/{version}/nodepools")).unwrap().resource,
                Resource::Fact(FactKind::NodePool)
            );
        }
    }

    #[test]
    fn paths_are_read_however_they_are_written() {
        for text in [
            "https://10.0.0.1:6443/apis/discovery.k8s.io/v1/endpointslices",
            "/k8s/clusters/c-1/apis/discovery.k8s.io/v1/endpointslices",
            "/apis/discovery%2Ek8s.io/v1/%65ndpointslices",
            "/apis%2Fdiscovery.k8s.io/v1%2fendpointslices",
            "//apis/discovery.k8s.io/v1/endpointslices/",
            "/apis/discovery.k8s.io/v1/pods/../endpointslices",
            // A prefix may look like the root, and a host too.
            "/api/clusters/c-1/apis/discovery.k8s.io/v1/endpointslices",
            "/proxy/v1/apis/discovery.k8s.io/v1/endpointslices",
            "http://apis/apis/discovery.k8s.io/v1/endpointslices",
        ] {
            assert_eq!(target(text).map(|target| (target.resource, target.verb)), Some((SLICES, Verb::List)), "{text}");
        }
    }

    #[test]
    fn of_a_repeated_parameter_the_first_counts() {
        let target = |query: &str| target(&format!("/api/v1/services?{query}")).unwrap();
        assert_eq!(target("labelSelector=&labelSelector=x").selection, Selection::default());
        assert_eq!(target("watch=false&watch=true").verb, Verb::List);
        assert!(target("shardSelector=x").selection != Selection::default());
    }

    #[test]
    fn the_rest_is_nothing_to_us() {
        for text in [
            "/api/v1/pods",
            "/api/v1/namespaces/shop",
            "/api/v1/namespaces/shop/configmaps",
            "/api/v1/namespaces/kube-system/configmaps/kube-proxy",
            "/api/v1/namespaces",
            "/api/v1/namespaces/shop/services/web/proxy/endpoints",
            "/api/v1/nodes/a/status",
            "/apis/discovery.k8s.io/v2/endpointslices",
            "/api/v1/namespaces/shop/services/web/proxy/api/v1/endpoints",
            "/api/v1/nodes/a/proxy/http://b/api/v1/endpoints",
            "/api/v1/namespaces/shop/pods/endpoints",
            "/apis/cilium.io/v2/ciliumendpoints",
            "/api/v1/&services",
            "/api/v1/services=x",
            "/version",
            "/",
            "",
        ] {
            assert_eq!(target(text), None, "{text}");
        }
        assert_eq!(Target::of(&Request::new("POST", "/api/v1/services")), None);
    }

    #[test]
    fn queries_say_how() {
        let verb = |query: &str| target(&format!("/apis/discovery.k8s.io/v1/endpointslices?{query}")).unwrap().verb;
        let watch = |initial| Verb::Watch { initial };
        assert_eq!(verb("watch=false"), Verb::List);
        assert_eq!(verb("watch=0&limit=500"), Verb::List);
        assert_eq!(verb("watch=1&resourceVersion=5"), watch(Initial::Live));
        assert_eq!(verb("watch&resourceVersion=0"), watch(Initial::Legacy));
        assert_eq!(verb("watch=true"), watch(Initial::Legacy));
        assert_eq!(verb("watch=true&sendInitialEvents=false&resourceVersion=0"), watch(Initial::Live));
        assert_eq!(verb("allowWatchBookmarks=true&sendInitialEvents=true&watch=true"), watch(Initial::Announced));
        assert_eq!(target("/apis/discovery.k8s.io/v1/watch/endpointslices?resourceVersion=7").unwrap().verb, watch(Initial::Live));
        let one = target("/api/v1/watch/namespaces/shop/services/web").unwrap();
        assert_eq!(one.verb, watch(Initial::Legacy));
        assert_eq!(target("/api/v1/services?continue=abc%3D").unwrap().continues.as_deref(), Some("abc="));
    }

    #[test]
    fn selectors_are_sets_of_requirements() {
        let labels = |query: &str| target(&format!("/api/v1/services?labelSelector={query}")).unwrap().selection.labels;
        assert_eq!(labels("%21a%2Cb+in+%28c%2Cd%29"), ["!a".to_owned(), "b in (c,d)".to_owned()].into());
        assert_eq!(labels("b in (c,d),e notin (f,g),h"), ["b in (c,d)", "e notin (f,g)", "h"].map(str::to_owned).into());
        assert_eq!(labels("a==b,c=d"), labels("c%3Dd%2Ca%3Db"));
        assert_eq!(labels(""), Default::default());
    }

    #[test]
    fn prepare_leaves_only_what_can_be_read() {
        let prepared = |accept: &str| {
            let request = Request::get("/api/v1/services").header("accept", accept).header("Accept-Encoding", "gzip").header("X", "y");
            prepare(request.header("Upgrade", "websocket").header("Sec-WebSocket-Key", "k").header("Range", "bytes=0-9")).headers
        };
        let kept = |accept: &str| vec![("accept".to_owned(), accept.to_owned()), ("X".to_owned(), "y".to_owned())];
        assert_eq!(prepared("application/vnd.kubernetes.protobuf, */*"), kept("application/vnd.kubernetes.protobuf,*/*"));
        assert_eq!(prepared("application/cbor,application/json"), kept("application/json"));
        assert_eq!(
            prepared("application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"),
            kept("application/json")
        );
        assert_eq!(prepared("application/yaml"), kept("application/json"));
        let partial = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        assert_eq!(prepared(partial), kept(partial));
        let other = Request::get("/api/v1/pods").header("Accept-Encoding", "gzip");
        assert_eq!(prepare(other.clone()), other);
    }
}

//! From method, target and headers to what a response is about.

use crate::cluster::source::Selection;
use crate::object::{FactKind, SubjectKind};

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

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
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
}

impl Target {
    /// `None` for everything that poolscope has nothing to do with: other methods (an answer to a write repeats what
    /// the writer sent), other kinds, subresources.
    pub(crate) fn of(request: &Request) -> Option<Target> {
        if request.method != "GET" {
            return None;
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let (group, version) = match parts.next()? {
            "api" => ("", parts.next()?),
            "apis" => (parts.next()?, parts.next()?),
            _ => return None,
        };
        let mut parts = parts.peekable();
        // Deprecated since 1.11 and still served: /api/v1/watch/...
        let watch_path = parts.next_if_eq(&"watch").is_some();
        let mut first = parts.next()?;
        let mut namespace = None;
        if first == "namespaces"
            && let Some(name) = parts.next()
        {
            namespace = Some(decoded(name));
            // The namespace object itself is nothing to us.
            first = parts.next()?;
        }
        let resource = resource(group, version, first)?;
        let name = parts.next().map(decoded);
        if parts.next().is_some() {
            return None;
        }
        let mut selection = Selection { namespace, ..Selection::default() };
        let (mut watch, mut announced, mut continues, mut resource_version) = (watch_path, false, None, String::new());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "watch" => watch |= truth(&value),
                "sendInitialEvents" => announced = truth(&value),
                "continue" if !value.is_empty() => continues = Some(value.into_owned()),
                "resourceVersion" => resource_version = value.into_owned(),
                "labelSelector" => selection.labels.extend(requirements(&value)),
                "fieldSelector" => selection.fields.extend(requirements(&value)),
                _ => {}
            }
        }
        if let Some(name) = &name {
            selection.fields.insert(format!("metadata.name={name}"));
        }
        let verb = match (watch, name) {
            (true, None) => Verb::Watch { initial: Initial::of(announced, &resource_version) },
            // Only the deprecated path watches one object by its path.
            (true, Some(_)) if watch_path => Verb::Watch { initial: Initial::of(announced, &resource_version) },
            (_, Some(_)) => Verb::Get,
            (false, None) => Verb::List,
        };
        Some(Target { resource, verb, selection, continues, resource_version })
    }
}

impl Initial {
    fn of(announced: bool, resource_version: &str) -> Initial {
        match (announced, resource_version) {
            (true, _) => Initial::Announced,
            (false, "" | "0") => Initial::Legacy,
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
    // A plus is a plus in a path, and a blank only in a query.
    let query = part.replace('+', "%2B");
    form_urlencoded::parse(query.as_bytes()).map(|(key, _)| key.into_owned()).next().unwrap_or_default()
}

/// The requirements of a selector: split at commas that are not inside the brackets of a set, blanks taken out.
fn requirements(selector: &str) -> Vec<String> {
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
    requirements.iter().map(|one| one.trim().replace("==", "=")).filter(|one| !one.is_empty()).collect()
}

/// The same request with headers that make the answer one that can be read: no compression, neither CBOR nor YAML, no
/// Table.
pub(crate) fn prepare(mut request: Request) -> Request {
    if Target::of(&request).is_none() {
        return request;
    }
    request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("accept-encoding"));
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
        for version in ["v1alpha1", "v1beta1", "v1beta2"] {
            assert_eq!(
                target(&format!("/apis/apps.openyurt.io/{version}/nodepools")).unwrap().resource,
                Resource::Fact(FactKind::NodePool)
            );
        }
    }

    #[test]
    fn the_rest_is_nothing_to_us() {
        for text in [
            "/api/v1/pods",
            "/api/v1/namespaces/shop",
            "/api/v1/namespaces",
            "/api/v1/namespaces/shop/services/web/proxy/endpoints",
            "/api/v1/nodes/a/status",
            "/apis/discovery.k8s.io/v2/endpointslices",
            "/apis/cilium.io/v2/ciliumendpoints",
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
        assert_eq!(labels("a==b,c=d"), labels("c%3Dd%2Ca%3Db"));
        assert_eq!(labels(""), Default::default());
    }

    #[test]
    fn prepare_leaves_only_what_can_be_read() {
        let prepared = |accept: &str| {
            let request = Request::get("/api/v1/services").header("accept", accept).header("Accept-Encoding", "gzip").header("X", "y");
            prepare(request).headers
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

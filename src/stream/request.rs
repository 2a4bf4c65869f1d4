//! From method, target and headers to what a response is about.

use std::collections::{BTreeSet, HashSet};

use super::path::{Collection, Resource, path_and_query, segments};
use crate::object::selection::Selection;
use crate::object::version::Version;
use crate::object::{FactKind, config_map};

/// An HTTP request to the API server, as far as poolscope looks at it.
///
/// ```
/// use poolscope::RequestHead;
///
/// let request = RequestHead::get("/api/v1/endpoints?watch=true").header("User-Agent",
/// "agent/1.0"); assert_eq!(request.method, "GET");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RequestHead {
    /// `GET`, ...
    pub method: String,
    /// Path and query: `/apis/discovery.k8s.io/v1/endpointslices?watch=true`.
    pub target: String,
    /// Names (in any case) and values.
    pub headers: Vec<(String, String)>,
}

impl RequestHead {
    /// A request without headers.
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> RequestHead {
        RequestHead { method: method.into(), target: target.into(), headers: Vec::new() }
    }

    /// `GET target`, without headers.
    pub fn get(target: impl Into<String>) -> RequestHead {
        RequestHead::new("GET", target)
    }

    /// Returns this head with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> RequestHead {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The values of all headers of that name.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Status and headers of the API server's response.
///
/// ```
/// use poolscope::ResponseHead;
///
/// let response = ResponseHead::ok("application/json;stream=watch");
/// assert_eq!(response, ResponseHead::new(200).header("Content-Type",
/// "application/json;stream=watch"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ResponseHead {
    /// The HTTP status.
    pub status: u16,
    /// Names (in any case) and values.
    pub headers: Vec<(String, String)>,
}

impl ResponseHead {
    /// A response without headers.
    pub fn new(status: u16) -> ResponseHead {
        ResponseHead { status, headers: Vec::new() }
    }

    /// A 200 response of the given Content-Type.
    pub fn ok(content_type: impl Into<String>) -> ResponseHead {
        ResponseHead::new(200).header("Content-Type", content_type)
    }

    /// Returns this head with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> ResponseHead {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The values of all headers of that name.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
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

/// How a watch begins (B4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Initial {
    /// At a resourceVersion: live events from the first byte.
    Live,
    /// With everything that is there, ended by an annotated bookmark.
    Announced,
    /// With everything that is there (no resourceVersion, or 0), ended by the first event that is
    /// not ADDED.
    Legacy,
}

/// The target of a request.
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
    /// The path before the API root, as `/segment` for each segment: two prefixes are two
    /// clusters.
    pub(crate) prefix: Box<str>,
    /// The prefix holds an API root too: the server behind it is reached through another one, and
    /// is another cluster's.
    pub(crate) is_behind_another_api: bool,
}

impl Target {
    /// `None` for everything that poolscope has nothing to do with: other methods, other kinds,
    /// subresources. The target may be absolute (`https://host/api/...`), and a proxy's prefix may
    /// stand before `/api` or `/apis`.
    pub(crate) fn of(request: &RequestHead) -> Option<Target> {
        if request.method != "GET" {
            return None;
        }
        let (path, query) = path_and_query(&request.target);
        let segments = segments(path);
        let (root, collection) = Collection::find(&segments)?;
        let Collection { resource, namespace, name, is_watch_path } = collection;
        let Query { watch, announced, continues, resource_version, bookmarks, labels, mut fields } =
            Query::of(query);
        if let Some(name) = &name {
            fields.insert(format!("metadata.name={name}"));
        }
        // Only the deprecated path watches one object by its path.
        let verb = match name {
            name if is_watch_path || watch && name.is_none() => {
                Verb::Watch { initial: Initial::of(announced, bookmarks, &resource_version) }
            }
            Some(_) => Verb::Get,
            None => Verb::List,
        };
        let metadata_only =
            request.values("accept").any(|value| value.contains("as=PartialObjectMetadata"));
        let selection = Selection { namespace, labels, fields };
        // Only one ConfigMap matters.
        if resource == Resource::Fact(FactKind::ConfigMap) && !config_map::may_be_in(&selection) {
            return None;
        }
        let (before, _) = segments.split_at(root);
        let prefix = before.iter().flat_map(|segment| ["/", segment]).collect();
        let is_behind_another_api = before.iter().any(|segment| segment == "apis")
            || before.windows(2).any(|pair| pair == ["api", "v1"]);
        Some(Target {
            resource,
            verb,
            selection,
            continues,
            resource_version,
            bookmarks,
            metadata_only,
            prefix,
            is_behind_another_api,
        })
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

/// The parameters of a query. The API server reads the first of a repeated one.
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
                "continue" => {
                    read.continues = Some(value.into_owned()).filter(|token| !token.is_empty())
                }
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

/// How the API server reads a boolean of a query: anything but `false` and `0`, so also nothing at
/// all.
fn truth(value: &str) -> bool {
    !(value == "0" || value.eq_ignore_ascii_case("false"))
}

/// The requirements of a selector: split at commas that are not inside the brackets of a set,
/// blanks taken out.
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

/// Returns the request with headers that make its response readable: no compression, neither CBOR
/// nor YAML, no Table, no part of the body, no WebSocket.
pub(crate) fn prepare(mut request: RequestHead) -> RequestHead {
    if Target::of(&request).is_none() {
        return request;
    }
    let unreadable = |name: &str| {
        let name = name.to_ascii_lowercase();
        matches!(&*name, "accept-encoding" | "range" | "if-range" | "upgrade" | "connection")
            || name.starts_with("sec-websocket-")
    };
    request.headers.retain(|(name, _)| !unreadable(name));
    for (name, value) in &mut request.headers {
        if name.eq_ignore_ascii_case("accept") {
            let readable: Vec<&str> =
                value.split(',').map(str::trim).filter(|clause| is_readable(clause)).collect();
            *value = if readable.is_empty() {
                "application/json".to_owned()
            } else {
                readable.join(",")
            };
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
    use super::super::path::UnreadPath;
    use super::*;
    use crate::object::SubjectKind;

    fn target(text: &str) -> Option<Target> {
        Target::of(&RequestHead::get(text))
    }

    const SLICES: Resource = Resource::Subject(SubjectKind::EndpointSlice);

    #[test]
    fn paths_say_kind_namespace_and_name() {
        let list = target("/apis/discovery.k8s.io/v1/endpointslices").unwrap();
        assert_eq!(
            (list.resource, list.verb, list.selection),
            (SLICES, Verb::List, Selection::default())
        );
        let list = target("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices").unwrap();
        assert_eq!((list.verb, list.selection.namespace.as_deref()), (Verb::List, Some("shop")));
        let get = target("/api/v1/namespaces/shop/endpoints/cart").unwrap();
        assert_eq!(
            (get.resource, get.verb),
            (Resource::Subject(SubjectKind::Endpoints), Verb::Get)
        );
        let node = target("/api/v1/nodes/hz-edge-1").unwrap();
        assert_eq!((node.resource, node.verb), (Resource::Fact(FactKind::Node), Verb::Get));
        assert!(node.selection.fields.contains("metadata.name=hz-edge-1"));
        for path in [
            FactKind::ConfigMap.list_path(),
            "/api/v1/configmaps",
            "/api/v1/namespaces/kube-system/configmaps/yurt-hub-cfg",
        ] {
            assert_eq!(
                target(path).unwrap().resource,
                Resource::Fact(FactKind::ConfigMap),
                "{path}"
            );
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
            assert_eq!(
                target(text).map(|target| (target.resource, target.verb)),
                Some((SLICES, Verb::List)),
                "{text}"
            );
        }
    }

    /// Prefix x root x version x namespace x form x encoding of segments: every one ends as a path
    /// of an API server does, and is read as such.
    #[test]
    fn every_path_that_ends_in_a_known_collection_is_read() {
        let prefixes = [
            "",
            "/",
            "/k8s/clusters/c-m-x7k2",
            "/apis",
            "/api/v1",
            "/gw/api/v1",
            "/api/clusters/c-1",
            "/proxy/v1",
            "/apis/clusters/my-cluster",
            "/apis/cluster.karmada.io/v1alpha1/clusters/m1/proxy",
            "/api/v1/namespaces/hub/services/https:api:443/proxy",
            "/api/v1/namespaces/hub/pods/api-0/proxy",
            "/api/v1/nodes/a/proxy",
            "/services/apiexport/root:org/things/clusters/*",
            "/api/v1/namespaces/apis/services",
            "https://10.0.0.1:6443",
            "https://hub.example/apis/a.example/v1/b/c/proxy",
            "http://apis/apis",
        ];
        let resources = [
            ("/apis/discovery.k8s.io/v1", "endpointslices", SLICES),
            (
                "/apis/discovery.k8s.io/v1beta1",
                "endpointslices",
                Resource::Subject(SubjectKind::EndpointSliceBeta),
            ),
            ("/api/v1", "endpoints", Resource::Subject(SubjectKind::Endpoints)),
            ("/api/v1", "services", Resource::Fact(FactKind::Service)),
        ];
        let encodings: [fn(&str) -> String; 5] = [
            |path| path.to_owned(),
            |path| path.replace("/apis/", "//apis/") + "/",
            |path| path.replace("endpoint", "%65ndpoint").replace("services", "s%65rvices"),
            |path| path.replace("/v1", "%2fv1"),
            |path| path.replace("/v1", "/x/.././v1"),
        ];
        let legacy = Verb::Watch { initial: Initial::Legacy };
        let mut paths = 0;
        for (prefix, (root, plural, resource), encode) in prefixes
            .iter()
            .flat_map(|prefix| resources.iter().map(move |resource| (*prefix, *resource)))
            .flat_map(|(prefix, resource)| {
                encodings.iter().map(move |encode| (prefix, resource, encode))
            })
        {
            let forms = [
                (format!("{root}/{plural}"), None, Verb::List),
                (format!("{root}/namespaces/shop/{plural}"), Some("shop"), Verb::List),
                (format!("{root}/namespaces/api/{plural}/v1"), Some("api"), Verb::Get),
                (format!("{root}/namespaces/apis/{plural}/apis"), Some("apis"), Verb::Get),
                (format!("{root}/watch/{plural}"), None, legacy),
                (format!("{root}/watch/namespaces/shop/{plural}"), Some("shop"), legacy),
                (format!("{root}/watch/namespaces/shop/{plural}/web"), Some("shop"), legacy),
                (format!("{root}/{plural}?watch=1"), None, legacy),
            ];
            for (form, namespace, verb) in forms {
                let (path, query) = form.split_once('?').unwrap_or((&form, ""));
                let text = format!("{prefix}{}?{query}", encode(path));
                let read = target(&text).unwrap_or_else(|| panic!("{text} is not read"));
                assert_eq!(
                    (read.resource, read.verb, read.selection.namespace.as_deref()),
                    (resource, verb, namespace),
                    "{text}"
                );
                assert_eq!(
                    read.prefix.is_empty(),
                    matches!(prefix, "" | "/" | "https://10.0.0.1:6443"),
                    "{text}"
                );
                paths += 1;
            }
        }
        assert_eq!(paths, 18 * 4 * 5 * 8);
    }

    #[test]
    fn a_prefix_that_holds_an_api_root_leads_to_another_cluster() {
        let needs_refresh = |prefix: &str| {
            target(&format!("{prefix}/api/v1/services")).unwrap().is_behind_another_api
        };
        for prefix in
            ["/apis/c.example/v1/clusters/m1/proxy", "/api/v1/nodes/a/proxy", "/apis", "/gw/api/v1"]
        {
            assert!(needs_refresh(prefix), "{prefix}");
        }
        for prefix in ["", "/k8s/clusters/c-1", "/api/clusters/c-1", "/proxy/v1"] {
            assert!(!needs_refresh(prefix), "{prefix}");
        }
    }

    #[test]
    fn a_path_that_names_a_kind_and_is_not_read_says_why() {
        let unread = |text: &str| (target(text).is_none(), UnreadPath::of("GET", text));
        for (text, kind) in [
            ("/endpointslices", SubjectKind::EndpointSlice),
            ("/v1/endpointslices/web-1", SubjectKind::EndpointSlice),
            ("/consul/v1/catalog/services", SubjectKind::Service),
            ("/api/v2/services", SubjectKind::Service),
            ("/apis/c.example/v1/clusters/m1/proxy/v1/endpoints", SubjectKind::Endpoints),
            ("/apis/discovery.k8s.io/endpointslices", SubjectKind::EndpointSlice),
        ] {
            assert_eq!(unread(text), (true, Some(UnreadPath::Path(kind))), "{text}");
        }
        for text in [
            "/apis/discovery.k8s.io/v2/endpointslices",
            "/p/apis/discovery.k8s.io/v2/watch/namespaces/shop/endpointslices/a",
        ] {
            assert_eq!(
                unread(text),
                (true, Some(UnreadPath::Version(SubjectKind::EndpointSlice))),
                "{text}"
            );
        }
        for text in [
            "/api/v1/namespaces/endpoints/pods",
            "/apis/serving.knative.dev/v1/services",
            "/apis/serving.knative.dev/v1/namespaces/shop/services/web",
            "/api/v1/namespaces/shop/services/web/proxy/index.html",
            "/api/v1/pods",
            "/",
        ] {
            assert_eq!(unread(text), (true, None), "{text}");
        }
        assert_eq!(UnreadPath::of("POST", "/endpointslices"), None);
        assert_eq!(target("/api/v1/namespaces/shop/services/web/status").unwrap().verb, Verb::Get);
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
        assert_eq!(Target::of(&RequestHead::new("POST", "/api/v1/services")), None);
    }

    #[test]
    fn queries_say_how() {
        let verb = |query: &str| {
            target(&format!("/apis/discovery.k8s.io/v1/endpointslices?{query}")).unwrap().verb
        };
        let watch = |initial| Verb::Watch { initial };
        assert_eq!(verb("watch=false"), Verb::List);
        assert_eq!(verb("watch=0&limit=500"), Verb::List);
        assert_eq!(verb("watch=1&resourceVersion=5"), watch(Initial::Live));
        assert_eq!(verb("watch&resourceVersion=0"), watch(Initial::Legacy));
        assert_eq!(verb("watch=true"), watch(Initial::Legacy));
        assert_eq!(
            verb("watch=true&sendInitialEvents=false&resourceVersion=0"),
            watch(Initial::Live)
        );
        assert_eq!(
            verb("allowWatchBookmarks=true&sendInitialEvents=true&watch=true"),
            watch(Initial::Announced)
        );
        assert_eq!(
            target("/apis/discovery.k8s.io/v1/watch/endpointslices?resourceVersion=7")
                .unwrap()
                .verb,
            watch(Initial::Live)
        );
        let one = target("/api/v1/watch/namespaces/shop/services/web").unwrap();
        assert_eq!(one.verb, watch(Initial::Legacy));
        assert_eq!(
            target("/api/v1/services?continue=abc%3D").unwrap().continues.as_deref(),
            Some("abc=")
        );
    }

    #[test]
    fn selectors_are_sets_of_requirements() {
        let labels = |query: &str| {
            target(&format!("/api/v1/services?labelSelector={query}")).unwrap().selection.labels
        };
        assert_eq!(
            labels("%21a%2Cb+in+%28c%2Cd%29"),
            ["!a".to_owned(), "b in (c,d)".to_owned()].into()
        );
        assert_eq!(
            labels("b in (c,d),e notin (f,g),h"),
            ["b in (c,d)", "e notin (f,g)", "h"].map(str::to_owned).into()
        );
        assert_eq!(labels("a==b,c=d"), labels("c%3Dd%2Ca%3Db"));
        assert_eq!(labels(""), Default::default());
    }

    #[test]
    fn prepare_leaves_only_what_can_be_read() {
        let prepared = |accept: &str| {
            let request = RequestHead::get("/api/v1/services")
                .header("accept", accept)
                .header("Accept-Encoding", "gzip")
                .header("X", "y");
            prepare(
                request
                    .header("Upgrade", "websocket")
                    .header("Sec-WebSocket-Key", "k")
                    .header("Range", "bytes=0-9"),
            )
            .headers
        };
        let kept = |accept: &str| {
            vec![("accept".to_owned(), accept.to_owned()), ("X".to_owned(), "y".to_owned())]
        };
        assert_eq!(
            prepared("application/vnd.kubernetes.protobuf, */*"),
            kept("application/vnd.kubernetes.protobuf,*/*")
        );
        assert_eq!(prepared("application/cbor,application/json"), kept("application/json"));
        assert_eq!(
            prepared(
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;\
                 g=meta.k8s.io,application/json"
            ),
            kept("application/json")
        );
        assert_eq!(prepared("application/yaml"), kept("application/json"));
        let partial =
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        assert_eq!(prepared(partial), kept(partial));
        let other = RequestHead::get("/api/v1/pods").header("Accept-Encoding", "gzip");
        assert_eq!(prepare(other.clone()), other);
    }
}

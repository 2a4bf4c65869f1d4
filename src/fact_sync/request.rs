//! Requests for facts.

use std::fmt;
use std::time::Duration;

use crate::object::FactKind;
use crate::object::version::Version;
use crate::stream::request::RequestHead;

/// Names one request of a [`FactSync`](super::FactSync).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub(super) u64);

impl FetchId {
    /// Returns the number of the request: 1 for the first one.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns the id of the request with that number, for bindings that carry it as a number.
    pub const fn from_number(number: u64) -> FetchId {
        FetchId(number)
    }
}

/// A GET request to the API server for facts.
///
/// ```
/// use std::time::Duration;
/// use poolscope::{Cluster, Config, FactKind, FactStep, FactSync};
///
/// let mut sync = FactSync::new(Cluster::new(Config::openyurt())?.node("hz-1"), 7);
/// let FactStep::Fetch(request) = sync.next(Duration::ZERO) else { panic!() };
/// assert_eq!(request.kind, FactKind::Service);
/// assert!(request.target.starts_with("/api/v1/services?watch=true&sendInitialEvents=true"));
/// assert!(request.is_watch && request.metadata_only);
/// assert!(request.accept.contains("as=PartialObjectMetadata"));
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FactRequest {
    /// Names the request in the calls that report its response.
    pub id: FetchId,
    /// The kind that it asks for.
    pub kind: FactKind,
    /// Path and query. Put the path of the API server's address before it, if that has one.
    pub target: String,
    /// The value of the header `Accept`.
    pub accept: &'static str,
    /// It is a watch: its body goes on until the API server ends it.
    pub is_watch: bool,
    /// It asks for the metadata of the objects alone, because the facts are there.
    pub metadata_only: bool,
    /// It asks for the own Node or CiliumNode alone.
    pub only_own_node: bool,
}

impl FactRequest {
    /// Returns the request's head.
    pub fn head(&self) -> RequestHead {
        RequestHead::get(&*self.target).header("Accept", self.accept)
    }
}

/// How the objects are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A watch that begins with the objects that there are and announces where they end (WatchList,
    /// B4.1).
    WatchList,
    List,
    /// A watch of what happened after a version.
    Watch(Version),
}

/// As client-go's metadata client asks.
const ACCEPT_METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;\
    g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,\
    application/json";
const ACCEPT_METADATA_LIST: &str = "application/vnd.kubernetes.protobuf;\
    as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;\
    as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
const ACCEPT_OBJECTS: &str = "application/json";

/// Returns the API versions that serve a kind, newest first.
pub(super) fn versions(kind: FactKind) -> &'static [&'static str] {
    match kind {
        FactKind::NodePool => &["v1beta2", "v1beta1", "v1alpha1"],
        FactKind::NodeBucket => &["v1alpha1"],
        FactKind::CiliumNode => &["v2"],
        FactKind::Service | FactKind::Node | FactKind::ConfigMap => &["v1"],
    }
}

/// The objects that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub(super) kind: FactKind,
    /// Only the object of this node.
    pub(super) own_node: Option<&'a str>,
    /// The API version.
    pub(super) version: &'a str,
}

impl Wanted<'_> {
    /// Returns the request. `timeout` is the time after which the API server ends a watch.
    pub(super) fn request(&self, id: FetchId, form: Form, timeout: Duration) -> FactRequest {
        let newest = self.kind.list_path();
        let (path, query) = newest.split_once('?').unwrap_or((newest, ""));
        let path = path.replacen(
            &format!("/{}/", versions(self.kind)[0]),
            &format!("/{}/", self.version),
            1,
        );
        let mut parameters = Vec::new();
        match form {
            Form::List => parameters.push("resourceVersion=0".to_owned()),
            Form::WatchList => parameters.push(
                "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
                 &allowWatchBookmarks=true"
                    .to_owned(),
            ),
            Form::Watch(version) => parameters
                .push(format!("watch=true&allowWatchBookmarks=true&resourceVersion={version}")),
        }
        if form != Form::List {
            parameters.push(format!("timeoutSeconds={}", timeout.as_secs()));
        }
        if !query.is_empty() {
            parameters.push(query.to_owned());
        }
        if let Some(node) = self.own_node {
            let node: String = form_urlencoded::byte_serialize(node.as_bytes()).collect();
            parameters.push(format!("fieldSelector=metadata.name%3D{node}"));
        }
        let metadata_only = self.kind.is_in_metadata();
        FactRequest {
            id,
            kind: self.kind,
            target: format!("{path}?{}", parameters.join("&")),
            accept: match (metadata_only, form) {
                (false, _) => ACCEPT_OBJECTS,
                (true, Form::List) => ACCEPT_METADATA_LIST,
                (true, _) => ACCEPT_METADATA,
            },
            is_watch: form != Form::List,
            metadata_only,
            only_own_node: self.own_node.is_some(),
        }
    }
}

/// The resource as RBAC rules name it: `nodepools.apps.openyurt.io`.
impl fmt::Display for Wanted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self.kind {
            FactKind::Service => "services",
            FactKind::Node => "nodes",
            FactKind::CiliumNode => "ciliumnodes.cilium.io",
            FactKind::NodePool => "nodepools.apps.openyurt.io",
            FactKind::NodeBucket => "nodebuckets.apps.openyurt.io",
            FactKind::ConfigMap => "configmaps in kube-system",
        })
    }
}

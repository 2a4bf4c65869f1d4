//! Where things are in each kind, on either wire.

pub(crate) mod config_map;
pub(crate) mod endpoint_slice;
pub(crate) mod endpoints;
pub(crate) mod envelope;
mod go;
pub(crate) mod key;
pub(crate) mod metadata;
pub(crate) mod outline;
pub(crate) mod pool;
pub(crate) mod selection;
pub(crate) mod service;
pub(crate) mod version;

use std::fmt;

use self::outline::Outline;
use crate::error::Fault;
use crate::wire::Span;
use crate::wire::encoding::Encoding;
use crate::wire::json::{Mark, Scanner, Shape};

/// The kinds that are rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SubjectKind {
    /// `discovery.k8s.io/v1`: the node is `nodeName`.
    EndpointSlice,
    /// `discovery.k8s.io/v1beta1`: the node is `topology["kubernetes.io/hostname"]`.
    EndpointSliceBeta,
    /// core `v1`: the node is `nodeName` of each address.
    Endpoints,
    /// core `v1`: it has no endpoints, and may be filtered out.
    Service,
}

impl SubjectKind {
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            SubjectKind::EndpointSlice | SubjectKind::EndpointSliceBeta => "EndpointSlice",
            SubjectKind::Endpoints => "Endpoints",
            SubjectKind::Service => "Service",
        }
    }

    pub(crate) const fn api_version(self) -> &'static str {
        match self {
            SubjectKind::EndpointSlice => "discovery.k8s.io/v1",
            SubjectKind::EndpointSliceBeta => "discovery.k8s.io/v1beta1",
            SubjectKind::Endpoints | SubjectKind::Service => "v1",
        }
    }

    /// The API group in paths; empty for core.
    pub(crate) const fn group(self) -> &'static str {
        match self {
            SubjectKind::EndpointSlice | SubjectKind::EndpointSliceBeta => "discovery.k8s.io",
            SubjectKind::Endpoints | SubjectKind::Service => "",
        }
    }

    /// The plural in paths.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            SubjectKind::EndpointSlice | SubjectKind::EndpointSliceBeta => "endpointslices",
            SubjectKind::Endpoints => "endpoints",
            SubjectKind::Service => "services",
        }
    }

    /// Returns the fields to find in one JSON object of the kind, with or without those for
    /// topology fallbacks.
    pub(crate) const fn shape(self, topology_fallback: bool) -> Shape {
        match (self, topology_fallback) {
            (SubjectKind::EndpointSlice, false) => endpoint_slice::SHAPE,
            (SubjectKind::EndpointSlice, true) => endpoint_slice::FALLBACK_SHAPE,
            (SubjectKind::EndpointSliceBeta, false) => endpoint_slice::SHAPE_BETA,
            (SubjectKind::EndpointSliceBeta, true) => endpoint_slice::FALLBACK_SHAPE_BETA,
            (SubjectKind::Endpoints, _) => endpoints::SHAPE,
            (SubjectKind::Service, _) => service::SHAPE,
        }
    }

    /// Returns the fields to find in one JSON watch event of the kind.
    pub(crate) const fn event_shape(self, topology_fallback: bool) -> Shape {
        match (self, topology_fallback) {
            (SubjectKind::EndpointSlice, false) => {
                Shape::object(0, outline::event![endpoint_slice::SHAPE])
            }
            (SubjectKind::EndpointSlice, true) => {
                Shape::object(0, outline::event![endpoint_slice::FALLBACK_SHAPE])
            }
            (SubjectKind::EndpointSliceBeta, false) => {
                Shape::object(0, outline::event![endpoint_slice::SHAPE_BETA])
            }
            (SubjectKind::EndpointSliceBeta, true) => {
                Shape::object(0, outline::event![endpoint_slice::FALLBACK_SHAPE_BETA])
            }
            (SubjectKind::Endpoints, _) => Shape::object(0, outline::event![endpoints::SHAPE]),
            (SubjectKind::Service, _) => Shape::object(0, outline::event![service::SHAPE]),
        }
    }
}

/// Reads one whole object, as it stands in a list or an event, into `outline`. `scanner` is one for
/// the kind's shape.
pub(crate) fn outline_object(
    kind: SubjectKind,
    scanner: &mut Scanner,
    object: &[u8],
    encoding: Encoding,
    outline: &mut Outline,
) -> Result<(), Fault> {
    outline.clear(encoding == Encoding::Json);
    match encoding {
        Encoding::Protobuf => outline_protobuf(kind, object, Span::new(0, object.len()), outline),
        Encoding::Json => {
            scanner.reset();
            scanner.scan(object)?.ok_or(Fault::json(object.len(), "the object is not whole"))?;
            outline_json(kind, object, scanner.marks(), outline)
        }
    }
}

/// Reads the marks of a JSON object into `outline`.
pub(crate) fn outline_json(
    kind: SubjectKind,
    buf: &[u8],
    marks: &[Mark],
    outline: &mut Outline,
) -> Result<(), Fault> {
    match kind {
        SubjectKind::EndpointSlice | SubjectKind::EndpointSliceBeta => {
            endpoint_slice::outline_json(buf, marks, outline)
        }
        SubjectKind::Endpoints => endpoints::outline_json(buf, marks, outline),
        SubjectKind::Service => service::outline_json(buf, marks, outline),
    }
}

/// Reads the protobuf object that lies at `object` in `buf` into `outline`.
pub(crate) fn outline_protobuf(
    kind: SubjectKind,
    buf: &[u8],
    object: Span,
    outline: &mut Outline,
) -> Result<(), Fault> {
    match kind {
        SubjectKind::EndpointSlice | SubjectKind::EndpointSliceBeta => {
            endpoint_slice::outline_protobuf(buf, object, kind, outline)
        }
        SubjectKind::Endpoints => endpoints::outline_protobuf(buf, object, outline),
        SubjectKind::Service => service::outline_protobuf(buf, object, outline),
    }
}

/// The kinds of facts.
///
/// ```
/// use poolscope::FactKind;
///
/// assert_eq!(FactKind::Node.list_path(), "/api/v1/nodes");
/// ```
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[non_exhaustive]
pub enum FactKind {
    /// core `v1`: its topology annotation.
    Service,
    /// core `v1`: its pool label.
    Node,
    /// `cilium.io/v2`: its labels, which cilium-agent copies from the Node.
    CiliumNode,
    /// `apps.openyurt.io`, any version: `.status.nodes`.
    NodePool,
    /// `apps.openyurt.io`, any version: `.nodes[].name`, its pool in label `openyurt.io/pool-name`.
    NodeBucket,
    /// core `v1`: only `kube-system/yurt-hub-cfg`, whose `data` says which clients get which
    /// rewrites.
    ConfigMap,
}

impl FactKind {
    pub(crate) const ALL: [FactKind; 6] = [
        FactKind::Service,
        FactKind::Node,
        FactKind::CiliumNode,
        FactKind::NodePool,
        FactKind::NodeBucket,
        FactKind::ConfigMap,
    ];

    /// Returns the kind as objects have it.
    pub const fn kind(self) -> &'static str {
        match self {
            FactKind::Service => "Service",
            FactKind::Node => "Node",
            FactKind::CiliumNode => "CiliumNode",
            FactKind::NodePool => "NodePool",
            FactKind::NodeBucket => "NodeBucket",
            FactKind::ConfigMap => "ConfigMap",
        }
    }

    /// Where lists of the kind are asked for.
    pub const fn list_path(self) -> &'static str {
        match self {
            FactKind::Service => "/api/v1/services",
            FactKind::Node => "/api/v1/nodes",
            FactKind::CiliumNode => "/apis/cilium.io/v2/ciliumnodes",
            FactKind::NodePool => "/apis/apps.openyurt.io/v1beta2/nodepools",
            FactKind::NodeBucket => "/apis/apps.openyurt.io/v1alpha1/nodebuckets",
            // A list, so that an answer says too that there is none.
            FactKind::ConfigMap => {
                "/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%\
                 3Dyurt-hub-cfg"
            }
        }
    }

    /// Returns `true` if the facts of the kind are in the metadata.
    pub(crate) const fn is_in_metadata(self) -> bool {
        !matches!(self, FactKind::NodePool | FactKind::NodeBucket | FactKind::ConfigMap)
    }
}

impl fmt::Display for FactKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.kind())
    }
}

//! One fact: the part of a single object that verdicts depend on.

use super::clients::ListedClients;
use crate::config::{Clients, Config, Membership};
use crate::object::key::ObjectKey;
use crate::object::metadata::{Metadata, PARTIAL_OBJECT_METADATA};
use crate::object::pool;
use crate::object::version::Version;
use crate::object::{FactKind, config_map};
use crate::topology::keys::Keys;
use crate::wire::encoding::Encoding;

/// The fact that a single object states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fact {
    /// `namespace/name` of a Service, the name of anything else.
    pub(crate) key: Box<[u8]>,
    pub(crate) version: Version,
    pub(crate) update: FactUpdate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FactUpdate {
    /// The Service asks for this.
    Service(Keys),
    Node(Node),
    /// The NodePool or NodeBucket puts these nodes into this pool; `None`: it belongs to no
    /// pool.
    Pool(Option<Description>),
    /// These clients get these rewrites too.
    Clients(ListedClients),
}

/// The pools of a Node or CiliumNode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Node {
    /// The pool it is labelled with.
    pub(crate) pool: Option<Box<[u8]>>,
    /// The pools that it puts itself into, where labels are what membership is; sorted.
    pub(crate) describes: Vec<Box<[u8]>>,
    /// The pool of [`DESIRED_POOL_LABEL`] on a Node without the label that counts. No verdict
    /// depends on it; explanations name it.
    pub(crate) desired: Option<Box<[u8]>>,
}

/// The label by which older releases of OpenYurt put a node into a pool. Nothing reads it as the
/// node's pool.
pub(crate) const DESIRED_POOL_LABEL: &str = "apps.openyurt.io/desired-nodepool";

/// The pool of the nodes with this value of a label, where every label makes pools: a key has no
/// `=` in it.
pub(crate) fn label_pool(key: &[u8], value: &[u8]) -> Box<[u8]> {
    [key, b"=", value].concat().into()
}

/// Which nodes one object puts into which pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) pool: Box<[u8]>,
    pub(crate) nodes: Vec<Box<[u8]>>,
}

/// The result of reading an object as a fact.
pub(crate) enum Read {
    Fact(Fact),
    /// It is of another kind: a Table, or the metadata of an object whose metadata is not what
    /// holds.
    NoFacts,
    /// An object that nothing is asked of.
    Other,
    /// No decoder would accept it.
    Undecodable,
}

impl Fact {
    /// Reads an object. `said` is the kind that a protobuf envelope says it is, if it says one.
    pub(crate) fn read(
        kind: FactKind,
        object: &[u8],
        encoding: Encoding,
        said: &[u8],
        config: &Config,
    ) -> Read {
        let Some(metadata) = Metadata::read(object, encoding) else { return Read::Undecodable };
        match metadata.kind.as_deref().map_or(said, str::as_bytes) {
            b"" => {}
            said if said == kind.kind().as_bytes() => {}
            said if said == PARTIAL_OBJECT_METADATA.as_bytes() && kind.is_in_metadata() => {}
            _ => return Read::NoFacts,
        }
        if metadata.name.is_empty() {
            return Read::Undecodable;
        }
        let describe = |pool: &str, nodes: Vec<String>| {
            let nodes = nodes.into_iter().map(|node| node.into_bytes().into()).collect();
            FactUpdate::Pool(
                Some(Description { pool: pool.as_bytes().into(), nodes })
                    .filter(|_| !pool.is_empty()),
            )
        };
        let update = match kind {
            FactKind::Service => {
                let keys = |value: &String| config.dialect.read(value, config.topology_fallback);
                Some(FactUpdate::Service(
                    metadata.annotations.get(config.dialect.annotation()).map_or(Keys::Unset, keys),
                ))
            }
            FactKind::Node | FactKind::CiliumNode => {
                let label =
                    config.membership.own_pool_label().and_then(|key| metadata.labels.get(key));
                // An empty label is no pool: "no pool" never equals "no pool" (K8).
                let pool: Option<Box<[u8]>> =
                    label.filter(|pool| !pool.is_empty()).map(|pool| pool.as_bytes().into());
                let mut describes: Vec<_> = match config.membership {
                    Membership::NodeLabel(_) | Membership::CiliumNodeLabel(_) => {
                        pool.iter().cloned().collect()
                    }
                    Membership::NodeLabels => {
                        let labels = metadata.labels.iter().filter(|(_, value)| !value.is_empty());
                        labels
                            .map(|(key, value)| label_pool(key.as_bytes(), value.as_bytes()))
                            .collect()
                    }
                    Membership::NodePool | Membership::NodeBucket | Membership::Off => Vec::new(),
                };
                describes.sort_unstable();
                let desired = metadata.labels.get(DESIRED_POOL_LABEL).filter(|desired| {
                    pool.is_none() && config.membership.pool_kind().is_some() && !desired.is_empty()
                });
                let desired = desired.map(|desired| desired.as_bytes().into());
                Some(FactUpdate::Node(Node { pool, describes, desired }))
            }
            FactKind::NodePool => {
                pool::nodes_of_pool(object).map(|nodes| describe(&metadata.name, nodes))
            }
            // A bucket without the label belongs to no pool.
            FactKind::NodeBucket => pool::nodes_of_bucket(object).map(|nodes| {
                describe(pool::pool_of_bucket(&metadata.labels).map_or("", String::as_str), nodes)
            }),
            FactKind::ConfigMap
                if (&*metadata.namespace, &*metadata.name)
                    != (config_map::NAMESPACE, config_map::NAME) =>
            {
                return Read::Other;
            }
            FactKind::ConfigMap => config_map::data(object, encoding)
                .map(|data| FactUpdate::Clients(ListedClients::of(&data))),
        };
        let Some(update) = update else { return Read::Undecodable };
        let key = match kind {
            FactKind::Service | FactKind::ConfigMap => {
                ObjectKey::new(metadata.namespace.as_bytes(), metadata.name.as_bytes()).into()
            }
            _ => metadata.name.into_bytes().into(),
        };
        Read::Fact(Fact { key, version: Version::parse(&metadata.resource_version), update })
    }
}

/// Whether facts of a kind matter under a configuration.
pub(crate) fn matters(kind: FactKind, config: &Config) -> bool {
    match kind {
        FactKind::Service => true,
        FactKind::Node => match config.membership {
            Membership::NodePool | Membership::NodeBucket => config.pool.is_none(),
            Membership::NodeLabel(_) | Membership::NodeLabels => true,
            // Whether pools count for endpoints or not, node ports ask for the own one.
            Membership::Off => config.node_port_isolation && config.pool.is_none(),
            Membership::CiliumNodeLabel(_) => false,
        },
        FactKind::ConfigMap => config.clients == Clients::YurtHub,
        FactKind::CiliumNode => matches!(config.membership, Membership::CiliumNodeLabel(_)),
        FactKind::NodePool => config.membership == Membership::NodePool,
        FactKind::NodeBucket => config.membership == Membership::NodeBucket,
    }
}

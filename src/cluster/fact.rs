//! One fact: what a single object teaches.

use crate::config::{Config, Membership};
use crate::object::FactKind;
use crate::object::metadata::{Metadata, PARTIAL_OBJECT_METADATA};
use crate::object::pool;
use crate::object::version::Version;
use crate::topology::keys::{Keys, OPENYURT_TOPOLOGY_KEYS};
use crate::wire::encoding::Encoding;

/// What a single object teaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fact {
    /// `namespace/name` of a Service, the name of anything else.
    pub(crate) key: Box<[u8]>,
    pub(crate) version: Version,
    pub(crate) lesson: Lesson,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// The Service asks for this.
    Service(Keys),
    Node(Node),
    /// The NodePool or NodeBucket says that these nodes are in this pool.
    Pool(Description),
}

/// What a Node or CiliumNode says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// The pool it is labelled with.
    pub(crate) pool: Option<Box<[u8]>>,
    /// The label is what membership is: it puts the node into that pool.
    pub(crate) describes_pool: bool,
}

/// Which nodes one object puts into which pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) pool: Box<[u8]>,
    pub(crate) nodes: Vec<Box<[u8]>>,
}

/// What came of reading an object as a fact.
pub(crate) enum Read {
    Fact(Fact),
    /// It is of another kind: a Table, or the metadata of an object whose metadata is not what teaches.
    SaysNothing,
    /// No decoder would accept it.
    Undecodable,
}

impl Fact {
    /// Reads an object. `said` is the kind that a protobuf envelope says it is, if it says one.
    pub(crate) fn read(kind: FactKind, object: &[u8], encoding: Encoding, said: &[u8], config: &Config) -> Read {
        let Some(metadata) = Metadata::read(object, encoding) else { return Read::Undecodable };
        match metadata.kind.as_deref().map_or(said, str::as_bytes) {
            b"" => {}
            said if said == kind.kind().as_bytes() => {}
            said if said == PARTIAL_OBJECT_METADATA.as_bytes() && kind.taught_by_metadata() => {}
            _ => return Read::SaysNothing,
        }
        if metadata.name.is_empty() {
            return Read::Undecodable;
        }
        let describe = |pool: &str, nodes: Vec<String>| {
            let nodes = nodes.into_iter().map(|node| node.into_bytes().into()).collect();
            Lesson::Pool(Description { pool: pool.as_bytes().into(), nodes })
        };
        let lesson = match kind {
            FactKind::Service => {
                let keys = |value: &String| if config.ladders { Keys::ordered(value) } else { Keys::openyurt(value) };
                Some(Lesson::Service(metadata.annotations.get(OPENYURT_TOPOLOGY_KEYS).map_or(Keys::Unset, keys)))
            }
            FactKind::Node | FactKind::CiliumNode => {
                let label = config.membership.own_pool_label().and_then(|key| metadata.labels.get(key));
                // An empty label is no pool: "no pool" never equals "no pool".
                Some(Lesson::Node(Node {
                    pool: label.filter(|pool| !pool.is_empty()).map(|pool| pool.as_bytes().into()),
                    describes_pool: matches!(config.membership, Membership::NodeLabel(_) | Membership::CiliumNodeLabel(_)),
                }))
            }
            FactKind::NodePool => pool::nodes_of_pool(object).map(|nodes| describe(&metadata.name, nodes)),
            // A bucket without the label belongs to no pool that a node could be in.
            FactKind::NodeBucket => pool::nodes_of_bucket(object)
                .map(|nodes| describe(pool::pool_of_bucket(&metadata.labels).map_or("", String::as_str), nodes)),
        };
        let Some(lesson) = lesson else { return Read::Undecodable };
        let key = match kind {
            FactKind::Service => service_key(metadata.namespace.as_bytes(), metadata.name.as_bytes()),
            _ => metadata.name.into_bytes(),
        };
        Read::Fact(Fact { key: key.into(), version: Version::parse(&metadata.resource_version), lesson })
    }
}

/// `namespace/name`. Neither part can hold a slash.
pub(crate) fn service_key(namespace: &[u8], name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(namespace.len() + 1 + name.len());
    write_service_key(&mut key, namespace, name);
    key
}

/// The same into a buffer that is kept from call to call.
pub(crate) fn write_service_key(key: &mut Vec<u8>, namespace: &[u8], name: &[u8]) {
    key.clear();
    key.extend_from_slice(namespace);
    key.push(b'/');
    key.extend_from_slice(name);
}

/// Whether facts of a kind matter under a configuration.
pub(crate) fn matters(kind: FactKind, config: &Config) -> bool {
    match kind {
        FactKind::Service => true,
        FactKind::Node => match config.membership {
            Membership::NodePool | Membership::NodeBucket => config.pool.is_none(),
            Membership::NodeLabel(_) => true,
            Membership::CiliumNodeLabel(_) | Membership::Off => false,
        },
        FactKind::CiliumNode => matches!(config.membership, Membership::CiliumNodeLabel(_)),
        FactKind::NodePool => config.membership == Membership::NodePool,
        FactKind::NodeBucket => config.membership == Membership::NodeBucket,
    }
}

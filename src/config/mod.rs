//! The configuration: rewrites, membership, behaviour when a fact is missing, limits.

mod check;
mod document;
mod limits;
pub(crate) mod rewrites;

use std::net::IpAddr;

pub use self::limits::Limits;
pub use self::rewrites::Rewrite;
use self::rewrites::Rewrites;
pub use crate::topology::keys::Dialect;
pub use crate::topology::verdict::{MissingFactPolicy, OnMissingFact};

/// The configuration of a [`Cluster`](crate::Cluster).
///
/// Start from a dialect, such as [`Config::openyurt`], and change settings, or read a JSON
/// document, which the page [config](crate::documentation::config) describes; each setting has the
/// same name there. Rule ids are those of the page [openyurt](crate::documentation::openyurt).
///
/// ```
/// use poolscope::{Config, Membership};
///
/// let mut config = Config::openyurt();
/// config.set_membership(Membership::NodeLabel("topology.kubernetes.io/zone".to_owned()));
///
/// let text = r#"{"membership": {"nodeLabel": "topology.kubernetes.io/zone"}}"#;
/// assert_eq!(text.parse::<Config>()?, config);
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub(crate) dialect: Dialect,
    pub(crate) clients: Clients,
    pub(crate) membership: Membership,
    pub(crate) pool: Option<String>,
    pub(crate) service_topology: bool,
    pub(crate) node_port_isolation: bool,
    pub(crate) discard_cloud_service: bool,
    pub(crate) master_service: Option<Hub>,
    pub(crate) forward_kubernetes_service: Option<Hub>,
    pub(crate) topology_fallback: bool,
    pub(crate) on_missing_fact: OnMissingFact,
    pub(crate) retention: Retention,
    pub(crate) suppress_unchanged: bool,
    pub(crate) protobuf_lists: ProtobufLists,
    pub(crate) limits: Limits,
}

/// Declares the getter and the setter of settings that are `Copy`.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident, $set:ident: $type:ty;)*) => {
        impl Config {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> $type {
                    self.$name
                }

                #[doc = concat!("Sets [`Config::", stringify!($name), "`].")]
                pub fn $set(&mut self, value: $type) -> &mut Config {
                    self.$name = value;
                    self
                }
            )*
        }
    };
}

settings! {
    /// Returns which clients get the rewrites.
    clients, set_clients: Clients;
    /// Returns `true` if slices and Endpoints are filtered by the topology keys of their Service.
    service_topology, set_service_topology: bool;
    /// Returns `true` if Services with node ports are filtered out in pools that their annotation
    /// `nodeport.openyurt.io/listen` does not name (N1 to N7).
    node_port_isolation, set_node_port_isolation: bool;
    /// Returns `true` if Services for the cloud alone are filtered out (D1, D2).
    discard_cloud_service, set_discard_cloud_service: bool;
    /// Returns the address that the Service default/kubernetes is redirected to (M1, M2).
    master_service, set_master_service: Option<Hub>;
    /// Returns the address that the slice default/kubernetes is redirected to (F1).
    forward_kubernetes_service, set_forward_kubernetes_service: Option<Hub>;
    /// Returns `true` if a Service may name several topology keys in order
    /// (`kubernetes.io/hostname,openyurt.io/nodepool,*`). The first key with a usable endpoint
    /// counts. If `false`, such a value asks for nothing, as in OpenYurt (O2).
    topology_fallback, set_topology_fallback: bool;
    /// Returns how objects are treated while a fact is missing.
    on_missing_fact, set_on_missing_fact: OnMissingFact;
    /// Returns which originals are kept for each client stream.
    retention, set_retention: Retention;
    /// Returns `true` if watch events that change nothing for the client are suppressed;
    /// `docs/streams.md` has the rule.
    suppress_unchanged, set_suppress_unchanged: bool;
    /// Returns how protobuf lists are cut.
    protobuf_lists, set_protobuf_lists: ProtobufLists;
    /// Returns the bounds on memory.
    limits, set_limits: Limits;
}

impl Config {
    /// Returns the dialect, whose annotations are read.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Returns the source of pool membership.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Sets [`Config::membership`].
    pub fn set_membership(&mut self, value: Membership) -> &mut Config {
        self.membership = value;
        self
    }

    /// Returns the pool of every node view. It wins over the label of the Node.
    pub fn pool(&self) -> Option<&str> {
        self.pool.as_deref()
    }

    /// Sets [`Config::pool`].
    pub fn set_pool(&mut self, value: Option<String>) -> &mut Config {
        self.pool = value;
        self
    }

    /// Returns the bounds on memory, to be changed.
    pub fn limits_mut(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// Returns how objects are treated while a fact is missing, to be changed.
    pub fn on_missing_fact_mut(&mut self) -> &mut OnMissingFact {
        &mut self.on_missing_fact
    }
}

/// [`Config::openyurt`].
impl Default for Config {
    fn default() -> Config {
        Config::openyurt()
    }
}

/// Which clients get the rewrites.
///
/// ```
/// use poolscope::{Clients, Config};
///
/// let config: Config = r#"{"clients":"yurtHub"}"#.parse()?;
/// assert_eq!(config.clients(), Clients::YurtHub);
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Clients {
    /// Every client whose responses the embedder hands over.
    #[default]
    All,
    /// Those that OpenYurt's yurthub would choose: by User-Agent, from its defaults and the
    /// ConfigMap `kube-system/yurt-hub-cfg` (C1 to C4).
    YurtHub,
}

/// An address on the node that stands for the API server.
///
/// ```
/// use poolscope::{Config, Hub};
///
/// let mut config = Config::openyurt();
/// config.set_master_service(Some(Hub { host: "169.254.2.1".parse()?, port: 10268 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hub {
    /// Its IP address. A loopback address leads nowhere for pods, which have a network of their
    /// own.
    pub host: IpAddr,
    /// Its port, 1 to 65535.
    pub port: u16,
}

/// The kind of object that puts nodes into pools.
///
/// ```
/// use poolscope::{Config, Membership};
///
/// let mut config = Config::openyurt();
/// config.set_membership(Membership::NodeLabel("topology.kubernetes.io/zone".to_owned()));
/// assert_eq!(config, Config::node_label("topology.kubernetes.io/zone"));
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Membership {
    /// `.status.nodes` of NodePools; a node's own pool is its label `apps.openyurt.io/nodepool`.
    /// OpenYurt's default.
    NodePool,
    /// `.nodes[].name` of NodeBuckets; a node's own pool is its label `apps.openyurt.io/nodepool`.
    /// For large pools.
    NodeBucket,
    /// The value of this label of the Nodes.
    NodeLabel(String),
    /// Every label of the Nodes. Each Service names the labels that count (SuperEdge). All labels
    /// of all Nodes are kept.
    NodeLabels,
    /// The value of this label of the CiliumNodes, which cilium-agent watches anyway.
    CiliumNodeLabel(String),
    /// There are no pools: Services that ask for the pool pass unchanged (O10).
    Off,
}

impl Membership {
    /// The label of Nodes or CiliumNodes whose value is a node's own pool.
    pub(crate) fn own_pool_label(&self) -> Option<&str> {
        match self {
            // A node has its label where pools are not used for endpoints too: node ports ask for
            // it.
            Membership::NodePool | Membership::NodeBucket | Membership::Off => {
                Some("apps.openyurt.io/nodepool")
            }
            Membership::NodeLabel(key) | Membership::CiliumNodeLabel(key) => Some(key),
            Membership::NodeLabels => None,
        }
    }

    /// The kind of object that lists the nodes of a pool, if it is not a label that makes pools.
    pub(crate) fn pool_kind(&self) -> Option<&'static str> {
        match self {
            Membership::NodePool => Some("NodePool"),
            Membership::NodeBucket => Some("NodeBucket"),
            _ => None,
        }
    }
}

/// Which original objects are kept for each client stream. After a fact change they are needed to
/// emit the client's events.
///
/// ```
/// use poolscope::{Config, Retention};
///
/// let config: Config = r#"{"retention":"topology"}"#.parse()?;
/// assert_eq!(config.retention(), Retention::Topology);
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retention {
    /// All originals: the events after every fact change come from memory.
    #[default]
    Full,
    /// The originals of Services that carry topology keys. When a Service gains keys,
    /// [`BodyRewriter::needed_lists`](crate::BodyRewriter::needed_lists) returns the lists to
    /// request, and [`BodyRewriter::provide_list`](crate::BodyRewriter::provide_list) takes the
    /// responses.
    Topology,
    /// None: a fact change that changes what the client should have ends its watch with 410,
    /// and it relists.
    None,
}

/// How protobuf lists are cut. The length of a protobuf list is written before its items.
///
/// ```
/// use poolscope::{Config, ProtobufLists};
///
/// let config: Config = r#"{"protobufLists":"compact"}"#.parse()?;
/// assert_eq!(config.protobuf_lists(), ProtobufLists::Compact);
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProtobufLists {
    /// In one pass and bounded memory: what is cut from an item is made up for by an unknown field
    /// of the same size at the item's end, so that every length written before stays true. The
    /// body keeps its size.
    #[default]
    Padded,
    /// The whole body is held back and becomes as short as it can be: for lines where bytes cost.
    Compact,
}

impl Config {
    /// OpenYurt's annotations, with membership from the status of NodePools.
    pub fn openyurt() -> Config {
        Config::of(Dialect::OpenYurt)
    }

    /// KubeEdge's annotation, with membership from the label that its NodeGroups write on Nodes.
    pub fn kubeedge() -> Config {
        Config::of(Dialect::KubeEdge)
    }

    /// SuperEdge's annotation, which names labels of the Nodes.
    pub fn superedge() -> Config {
        Config::of(Dialect::SuperEdge)
    }

    /// The annotation `poolscope.io/topology`, with topology fallbacks, and membership from the
    /// Nodes' label `topology.kubernetes.io/zone`.
    pub fn poolscope() -> Config {
        Config::of(Dialect::Poolscope)
    }

    /// A dialect with what goes with it.
    pub(crate) fn of(dialect: Dialect) -> Config {
        let label = |key: &str| Membership::NodeLabel(key.to_owned());
        let membership = match dialect {
            Dialect::OpenYurt => Membership::NodePool,
            Dialect::KubeEdge => label("apps.kubeedge.io/belonging-to"),
            Dialect::SuperEdge => Membership::NodeLabels,
            Dialect::Poolscope => label("topology.kubernetes.io/zone"),
        };
        Config {
            dialect,
            clients: Clients::default(),
            membership,
            pool: None,
            service_topology: true,
            node_port_isolation: false,
            discard_cloud_service: false,
            master_service: None,
            forward_kubernetes_service: None,
            topology_fallback: dialect == Dialect::Poolscope,
            on_missing_fact: OnMissingFact::default(),
            retention: Retention::default(),
            suppress_unchanged: true,
            protobuf_lists: ProtobufLists::default(),
            limits: Limits::default(),
        }
    }

    /// OpenYurt's annotations, with membership from a label of the Nodes, such as
    /// `topology.kubernetes.io/zone`.
    pub fn node_label(key: impl Into<String>) -> Config {
        Config { membership: Membership::NodeLabel(key.into()), ..Config::openyurt() }
    }

    /// The rewrites that are on, for the clients that get them.
    pub(crate) fn rewrites(&self) -> Rewrites {
        let is_on = |rewrite: &Rewrite| match rewrite {
            Rewrite::ServiceTopology => self.service_topology,
            Rewrite::NodePortIsolation => self.node_port_isolation,
            Rewrite::DiscardCloudService => self.discard_cloud_service,
            Rewrite::MasterService => self.master_service.is_some(),
            Rewrite::ForwardKubernetesService => self.forward_kubernetes_service.is_some(),
        };
        Rewrite::ALL.into_iter().filter(is_on).collect()
    }
}

#[cfg(test)]
mod tests;

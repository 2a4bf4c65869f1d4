//! The configuration: rewrites, membership, behaviour when a fact is missing, limits.

mod document;
pub(crate) mod rewrites;

use std::net::IpAddr;

use self::document::Document;
pub use self::rewrites::Rewrite;
use self::rewrites::Rewrites;
use crate::error::{Error, Result};
pub use crate::topology::keys::Dialect;
pub use crate::topology::verdict::{Doubt, InDoubt};

/// How a [`Cluster`](crate::Cluster) learns and decides. Made by [`Config::openyurt`],
/// [`Config::kubeedge`], [`Config::superedge`], [`Config::poolscope`], [`Config::node_label`] or
/// [`Config::from_json`]; fields may be changed before it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Whose annotations are read.
    pub dialect: Dialect,
    /// Which clients get the rewrites.
    pub components: Components,
    /// Where it is written which node is in which pool.
    pub membership: Membership,
    /// The own pool of every node view; wins over what the Node's label says.
    pub pool: Option<String>,
    /// Whether slices and Endpoints are filtered by their Service's topology keys. Off: everything
    /// passes.
    pub service_topology: bool,
    /// Whether Services with node ports are hidden from pools that their annotation
    /// `nodeport.openyurt.io/listen` does not name (N1 to N7).
    pub node_port_isolation: bool,
    /// Whether Services that are for the cloud alone are hidden (D1, D2).
    pub discard_cloud_service: bool,
    /// Where the Service default/kubernetes leads instead (M1, M2).
    pub master_service: Option<Hub>,
    /// Where the slice default/kubernetes leads instead (F1).
    pub forward_kubernetes_service: Option<Hub>,
    /// Whether a Service may name several topology keys in order
    /// (`kubernetes.io/hostname,openyurt.io/nodepool,*`): the first one under which a usable
    /// endpoint exists counts. Off: such a value asks for nothing, as in OpenYurt (O2).
    pub ladders: bool,
    /// How to treat objects when a fact is missing.
    pub in_doubt: InDoubt,
    /// Which originals are kept for each client stream, to answer a change of facts from.
    pub retention: Retention,
    /// Whether watch events are left out that change nothing for this client; see
    /// `docs/streams.md` for the rule.
    pub quiet: bool,
    /// How protobuf lists are cut.
    pub protobuf_lists: ProtobufLists,
    /// Bounds on what is held in memory.
    pub limits: Limits,
}

/// Which clients get the rewrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Components {
    /// Every client whose responses the embedder hands over.
    #[default]
    All,
    /// Those that OpenYurt's yurthub would choose: by User-Agent, from its defaults and the
    /// ConfigMap `kube-system/yurt-hub-cfg` (C1 to C4).
    YurtHub,
}

/// An address on the node that stands for the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hub {
    /// Its IP address. A loopback address leads nowhere for pods, which have a network of their
    /// own.
    pub host: IpAddr,
    /// Its port, 1 to 65535.
    pub port: u16,
}

/// Which objects say what pool a node is in.
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
    /// Every label of the Nodes: which of them count, a Service says (SuperEdge). All labels of all
    /// Nodes are kept.
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
}

/// Which original objects are kept for each client stream. A change of facts owes the client events
/// that only the originals can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retention {
    /// All of them: every change of facts is answered from memory.
    #[default]
    Full,
    /// Those of Services that carry topology keys. When a Service gains keys,
    /// [`Stream::wanted`](crate::Stream::wanted) says what to list, and
    /// [`Stream::supply`](crate::Stream::supply) takes the answer.
    Topology,
    /// None: a change of facts that changes what the client should have ends its watch with 410,
    /// and it lists again.
    None,
}

/// How protobuf lists are cut. The length of a protobuf list is written before its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProtobufLists {
    /// In one pass and bounded memory: what is cut from an item is made up for by an unknown field
    /// of the same size at the item's end, so that every length written before stays true. The
    /// body keeps its size.
    #[default]
    Stream,
    /// The whole body is held back and becomes as short as it can be: for lines where bytes cost.
    Compact,
}

/// Bounds on what is held in memory. Larger input is an [`Error::TooLarge`], [`Error::TooMany`] or
/// [`Error::TooDeep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one watch event; 16 MiB, as client-go has it (wire 6).
    pub frame_bytes: usize,
    /// Bytes of one list item or single object; 16 MiB.
    pub item_bytes: usize,
    /// Bytes of a list that is held back to be compact ([`ProtobufLists::Compact`]); 256 MiB.
    pub list_bytes: usize,
    /// Endpoints of one object; 100,000. The API server allows 1000.
    pub endpoints: usize,
    /// Nesting of JSON values; 512.
    pub depth: usize,
    /// Bytes of originals kept for one client stream; 1 GiB. What comes above is not kept, as
    /// under [`Retention::None`].
    pub ledger_bytes: usize,
    /// Most deleted Services whose keys are held; where more are deleted the longest deleted are
    /// forgotten, and counted.
    pub deleted_services: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            frame_bytes: 16 << 20,
            item_bytes: 16 << 20,
            list_bytes: 256 << 20,
            endpoints: 100_000,
            depth: 512,
            ledger_bytes: 1 << 30,
            deleted_services: 1 << 16,
        }
    }
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

    /// The annotation `poolscope.io/topology`, with ladders, and membership from the Nodes' label
    /// `topology.kubernetes.io/zone`.
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
            components: Components::default(),
            membership,
            pool: None,
            service_topology: true,
            node_port_isolation: false,
            discard_cloud_service: false,
            master_service: None,
            forward_kubernetes_service: None,
            ladders: dialect == Dialect::Poolscope,
            in_doubt: InDoubt::default(),
            retention: Retention::default(),
            quiet: true,
            protobuf_lists: ProtobufLists::default(),
            limits: Limits::default(),
        }
    }

    /// OpenYurt's annotations, with membership from a label of the Nodes, such as
    /// `topology.kubernetes.io/zone`.
    pub fn node_label(key: impl Into<String>) -> Config {
        Config { membership: Membership::NodeLabel(key.into()), ..Config::openyurt() }
    }

    /// Reads a configuration document; `docs/config.md` describes it. A key that does not exist, or
    /// a value that this version cannot honour, is an [`Error::Config`] that names it.
    pub fn from_json(text: &str) -> Result<Config> {
        // serde would read an array as the keys' values in their order.
        if text.trim_start().starts_with('[') {
            return Err(Error::Config("the document is not a JSON object".to_owned()));
        }
        let document: Document =
            serde_json::from_str(text).map_err(|error| Error::Config(error.to_string()))?;
        document.config()
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

    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::Config(why.to_owned()));
        self.check_dialect()?;
        for (key, hub) in [
            ("masterService", &self.master_service),
            ("forwardKubernetesService", &self.forward_kubernetes_service),
        ] {
            if hub.is_some_and(|hub| hub.port == 0) {
                return refuse(&format!(
                    "`rewrites.{key}.port` is 0; it must be between 1 and 65535"
                ));
            }
        }
        match &self.membership {
            Membership::NodeLabel(key) | Membership::CiliumNodeLabel(key) if key.is_empty() => {
                return refuse("the label that `membership` names is empty");
            }
            _ => {}
        }
        if self.pool.as_deref() == Some("") {
            return refuse("`pool` is empty; leave it out to take the Node's label");
        }
        let Limits { frame_bytes, item_bytes, list_bytes, endpoints, deleted_services, .. } =
            self.limits;
        let limits = [
            ("frameBytes", frame_bytes),
            ("itemBytes", item_bytes),
            ("listBytes", list_bytes),
            ("endpoints", endpoints),
            ("deletedServices", deleted_services),
        ];
        for (key, value) in limits {
            if value == 0 || value > 1 << 30 {
                return refuse(&format!(
                    "`limits.{key}` is {value}; it must be between 1 and 1073741824"
                ));
            }
        }
        let ledger_bytes = self.limits.ledger_bytes;
        if ledger_bytes == 0 || ledger_bytes as u64 > 1 << 40 {
            return refuse(&format!(
                "`limits.ledgerBytes` is {ledger_bytes}; it must be between 1 and 1099511627776"
            ));
        }
        if self.limits.depth == 0 {
            return refuse("`limits.depth` is 0; it must be at least 1");
        }
        Ok(())
    }

    /// Refuses combinations of keys that contradict each other.
    fn check_dialect(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::Config(why.to_owned()));
        let (by_labels, dialect) = (self.membership == Membership::NodeLabels, self.dialect.name());
        if self.dialect == Dialect::SuperEdge {
            if matches!(self.membership, Membership::NodePool | Membership::NodeBucket) {
                return refuse(
                    "dialect `superedge` asks for node labels: `membership` must be `nodeLabels` or one label",
                );
            }
            if self.ladders {
                return refuse(
                    "dialect `superedge` takes several keys as alternatives: for keys in order use dialect `poolscope`",
                );
            }
        } else if by_labels {
            return refuse(&format!(
                "`membership` `nodeLabels` is for dialect `superedge`: dialect `{dialect}` asks for one pool; name its label"
            ));
        }
        if by_labels && self.pool.is_some() {
            return refuse(
                "with `membership` `nodeLabels` a node has a pool for each label: `pool` cannot name one",
            );
        }
        if by_labels && self.node_port_isolation {
            return refuse(
                "`rewrites.nodePortIsolation` asks for the node's one pool: name its label as `membership`",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_document_is_openyurt() {
        assert_eq!(Config::from_json("{}"), Ok(Config::openyurt()));
    }

    #[test]
    fn the_whole_document_can_be_written_out() {
        let config = Config::from_json(
            r#"{"dialect":"openyurt","membership":"nodePool","components":"all",
                "rewrites":{"serviceTopology":true,"nodePortIsolation":false,"discardCloudService":false,"masterService":null},
                "ladders":false,"inDoubt":{"unknownService":"pass","unknownPool":"pass"},"retention":"full","quiet":true,
                "protobufLists":"stream","limits":{"frameBytes":16777216,"itemBytes":16777216,"depth":512}}"#,
        );
        assert_eq!(config, Ok(Config::openyurt()));
    }

    #[test]
    fn every_value_is_read() {
        let config = Config::from_json(
            r#"{"membership":{"nodeLabel":"zone"},"pool":"p","rewrites":{"serviceTopology":false},
                "ladders":true,"retention":"topology","quiet":false,
                "inDoubt":{"unknownPool":"hide","noService":"hide"},"protobufLists":"compact",
                "limits":{"itemBytes":5,"ledgerBytes":7,"deletedServices":9}}"#,
        )
        .unwrap();
        assert_eq!(config.membership, Membership::NodeLabel("zone".to_owned()));
        assert_eq!(config.pool.as_deref(), Some("p"));
        assert!(!config.service_topology);
        assert_eq!(
            config.in_doubt,
            InDoubt {
                unknown_service: Doubt::Pass,
                no_service: Doubt::Hide,
                unknown_pool: Doubt::Hide
            }
        );
        assert_eq!(config.protobuf_lists, ProtobufLists::Compact);
        assert_eq!(
            config.limits,
            Limits { item_bytes: 5, ledger_bytes: 7, deleted_services: 9, ..Limits::default() }
        );
        assert_eq!(
            (config.ladders, config.retention, config.quiet),
            (true, Retention::Topology, false)
        );
        assert_eq!(
            Config::from_json(r#"{"retention":"none"}"#).unwrap().retention,
            Retention::None
        );
    }

    #[test]
    fn each_dialect_has_a_constructor_and_a_name() {
        for (name, config) in [
            ("openyurt", Config::openyurt()),
            ("kubeedge", Config::kubeedge()),
            ("superedge", Config::superedge()),
            ("poolscope", Config::poolscope()),
        ] {
            assert_eq!(config.check(), Ok(()));
            assert_eq!(
                Config::from_json(&format!(r#"{{"dialect":"{name}"}}"#)),
                Ok(config.clone())
            );
            assert_eq!(config.dialect.name(), name);
        }
        let zone = Membership::NodeLabel("zone".to_owned());
        assert_eq!(
            Config::from_json(r#"{"dialect":"superedge","membership":{"nodeLabel":"zone"}}"#)
                .unwrap()
                .membership,
            zone
        );
        let poolscope = Config::from_json(r#"{"dialect":"poolscope","ladders":false}"#).unwrap();
        assert_eq!((poolscope.ladders, Config::poolscope().ladders), (false, true));
    }

    #[test]
    fn every_rewrite_can_be_switched() {
        let text = r#"{"components":"yurtHub","rewrites":{"serviceTopology":false,"nodePortIsolation":true,"discardCloudService":true,
            "masterService":{"host":"169.254.2.1","port":10268},"forwardKubernetesService":{"host":"fd00::1","port":443}}}"#;
        let config = Config::from_json(text).unwrap();
        assert_eq!(config.components, Components::YurtHub);
        assert_eq!(
            config.master_service,
            Some(Hub { host: "169.254.2.1".parse().unwrap(), port: 10268 })
        );
        assert_eq!(
            config.forward_kubernetes_service,
            Some(Hub { host: "fd00::1".parse().unwrap(), port: 443 })
        );
        let on: Vec<_> = config.rewrites().iter().map(Rewrite::name).collect();
        assert_eq!(
            on,
            [
                "nodePortIsolation",
                "discardCloudService",
                "masterService",
                "forwardKubernetesService"
            ]
        );
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        assert_eq!(
            Config::from_json("[]"),
            Err(Error::Config("the document is not a JSON object".to_owned()))
        );
        let refused = |text: &str, word: &str| match Config::from_json(text) {
            Err(Error::Config(message)) => assert!(message.contains(word), "{message}"),
            other => panic!("{text}: {other:?}"),
        };
        refused(r#"{"retension":"full"}"#, "retension");
        refused(r#"{"inDoubt":{"unknownNode":"pass"}}"#, "unknownNode");
        refused(r#"{"inDoubt":{"unknownPool":"maybe"}}"#, "maybe");
        refused(r#"{"retention":"some"}"#, "some");
        refused(r#"{"rewrites":{"serviceTopologie":true}}"#, "serviceTopologie");
        refused(r#"{"rewrites":{"nodePortIsolation":null}}"#, "nodePortIsolation");
        refused(r#"{"rewrites":{"masterService":{"host":"hub.local","port":1}}}"#, "masterService");
        refused(
            r#"{"rewrites":{"masterService":{"host":"169.254.2.1","port":0}}}"#,
            "masterService.port",
        );
        refused(
            r#"{"rewrites":{"forwardKubernetesService":{"host":"169.254.2.1","port":65536}}}"#,
            "forwardKubernetesService",
        );
        refused(
            r#"{"rewrites":{"forwardKubernetesService":{"host":"169.254.2.1","port":1,"x":1}}}"#,
            "`x`",
        );
        refused(r#"{"dialect":"kubedge"}"#, "kubedge");
        refused(r#"{"components":"cilium"}"#, "cilium");
        refused(r#"{"dialect":"superedge","ladders":true}"#, "superedge");
        refused(r#"{"dialect":"superedge","membership":"nodePool"}"#, "nodeLabels");
        refused(r#"{"dialect":"superedge","pool":"a"}"#, "pool");
        refused(
            r#"{"dialect":"superedge","rewrites":{"nodePortIsolation":true}}"#,
            "nodePortIsolation",
        );
        refused(r#"{"membership":"nodeLabels"}"#, "openyurt");
        refused(r#"{"membership":"label"}"#, "label");
        refused(r#"{"membership":{"nodeLabel":""}}"#, "empty");
        refused(r#"{"pool":""}"#, "pool");
        refused(r#"{"limits":{"depth":0}}"#, "depth");
        refused(r#"{"limits":{"ledgerBytes":0}}"#, "ledgerBytes");
        refused(r#"{"limits":{"deletedServices":0}}"#, "deletedServices");
        refused("{", "EOF");
    }
}

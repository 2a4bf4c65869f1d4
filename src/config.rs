//! What is filtered, by what, and what to do in doubt.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
pub use crate::topology::verdict::{Doubt, InDoubt};

/// How a [`Cluster`](crate::Cluster) learns and decides. Made by [`Config::openyurt`], [`Config::node_label`] or
/// [`Config::from_json`]; fields may be changed before it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where it is written which node is in which pool.
    pub membership: Membership,
    /// The own pool of every node view; wins over what the Node's label says.
    pub pool: Option<String>,
    /// Whether slices and Endpoints are filtered by their Service's topology keys. Off: everything passes.
    pub service_topology: bool,
    /// Whether a Service may name several topology keys in order (`kubernetes.io/hostname,openyurt.io/nodepool,*`): the
    /// first one under which a usable endpoint exists counts. Off: such a value asks for nothing, as in OpenYurt (O2).
    pub ladders: bool,
    /// What to do where a fact is missing.
    pub in_doubt: InDoubt,
    /// Which originals are kept for each client stream, to answer a change of facts from.
    pub retention: Retention,
    /// Whether watch events are left out that change nothing for this client; see `docs/streams.md` for the rule.
    pub quiet: bool,
    /// How protobuf lists are cut.
    pub protobuf_lists: ProtobufLists,
    /// Bounds on what is held in memory.
    pub limits: Limits,
}

/// Which objects say what pool a node is in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Membership {
    /// `.status.nodes` of NodePools; a node's own pool is its label `apps.openyurt.io/nodepool`. OpenYurt's default.
    NodePool,
    /// `.nodes[].name` of NodeBuckets; a node's own pool is its label `apps.openyurt.io/nodepool`. For large pools.
    NodeBucket,
    /// The value of this label of the Nodes.
    NodeLabel(String),
    /// The value of this label of the CiliumNodes, which cilium-agent watches anyway.
    CiliumNodeLabel(String),
    /// There are no pools: Services that ask for the pool pass unchanged (O10).
    Off,
}

impl Membership {
    /// The label of Nodes or CiliumNodes whose value is a node's own pool.
    pub(crate) fn own_pool_label(&self) -> Option<&str> {
        match self {
            Membership::NodePool | Membership::NodeBucket => Some("apps.openyurt.io/nodepool"),
            Membership::NodeLabel(key) | Membership::CiliumNodeLabel(key) => Some(key),
            Membership::Off => None,
        }
    }
}

/// Which original objects are kept for each client stream. A change of facts owes the client events that only the
/// originals can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retention {
    /// All of them: every change of facts is answered from memory.
    #[default]
    Full,
    /// Those of Services that carry topology keys. When a Service gains keys, [`Stream::wanted`](crate::Stream::wanted)
    /// says what to list, and [`Stream::supply`](crate::Stream::supply) takes the answer.
    Topology,
    /// None: a change of facts that changes what the client should have ends its watch with 410, and it lists again.
    None,
}

/// How protobuf lists are cut. The length of a protobuf list is written before its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProtobufLists {
    /// In one pass and bounded memory: what is cut from an item is made up for by an unknown field of the same size at
    /// the item's end, so that every length written before stays true. The body keeps its size.
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
    /// Bytes of originals kept for one client stream; 1 GiB. What comes above is not kept, as under [`Retention::None`].
    pub ledger_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { frame_bytes: 16 << 20, item_bytes: 16 << 20, list_bytes: 256 << 20, endpoints: 100_000, depth: 512, ledger_bytes: 1 << 30 }
    }
}

impl Config {
    /// OpenYurt's annotations, with membership from the status of NodePools.
    pub fn openyurt() -> Config {
        Config {
            membership: Membership::NodePool,
            pool: None,
            service_topology: true,
            ladders: false,
            in_doubt: InDoubt::default(),
            retention: Retention::default(),
            quiet: true,
            protobuf_lists: ProtobufLists::default(),
            limits: Limits::default(),
        }
    }

    /// OpenYurt's annotations, with membership from a label of the Nodes, such as `topology.kubernetes.io/zone`.
    pub fn node_label(key: impl Into<String>) -> Config {
        Config { membership: Membership::NodeLabel(key.into()), ..Config::openyurt() }
    }

    /// Reads a configuration document; `docs/config.md` describes it. A key that does not exist, or a value that this
    /// version cannot honour, is an [`Error::Config`] that names it.
    pub fn from_json(text: &str) -> Result<Config> {
        // serde would read an array as the keys' values in their order.
        if text.trim_start().starts_with('[') {
            return Err(Error::Config("the document is not a JSON object".to_owned()));
        }
        let document: Document = serde_json::from_str(text).map_err(|error| Error::Config(error.to_string()))?;
        document.config()
    }

    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::Config(why.to_owned()));
        match &self.membership {
            Membership::NodeLabel(key) | Membership::CiliumNodeLabel(key) if key.is_empty() => {
                return refuse("the label that `membership` names is empty");
            }
            _ => {}
        }
        if self.pool.as_deref() == Some("") {
            return refuse("`pool` is empty; leave it out to take the Node's label");
        }
        let Limits { frame_bytes, item_bytes, list_bytes, endpoints, .. } = self.limits;
        let limits = [("frameBytes", frame_bytes), ("itemBytes", item_bytes), ("listBytes", list_bytes), ("endpoints", endpoints)];
        for (key, value) in limits {
            if value == 0 || value > 1 << 30 {
                return refuse(&format!("`limits.{key}` is {value}; it must be between 1 and 1073741824"));
            }
        }
        let ledger_bytes = self.limits.ledger_bytes;
        if ledger_bytes == 0 || ledger_bytes as u64 > 1 << 40 {
            return refuse(&format!("`limits.ledgerBytes` is {ledger_bytes}; it must be between 1 and 1099511627776"));
        }
        if self.limits.depth == 0 {
            return refuse("`limits.depth` is 0; it must be at least 1");
        }
        Ok(())
    }
}

/// The document as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    dialect: Option<String>,
    membership: Option<MembershipDocument>,
    pool: Option<String>,
    components: Option<String>,
    rewrites: Option<BTreeMap<String, Value>>,
    ladders: Option<bool>,
    in_doubt: Option<InDoubtDocument>,
    retention: Option<RetentionDocument>,
    quiet: Option<bool>,
    protobuf_lists: Option<ProtobufListsDocument>,
    limits: Option<LimitsDocument>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum MembershipDocument {
    NodePool,
    NodeBucket,
    NodeLabel(String),
    CiliumNodeLabel(String),
    Off,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InDoubtDocument {
    #[serde(default)]
    unknown_service: DoubtDocument,
    #[serde(default)]
    unknown_pool: DoubtDocument,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum DoubtDocument {
    #[default]
    Pass,
    Hide,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum RetentionDocument {
    Full,
    Topology,
    None,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum ProtobufListsDocument {
    Stream,
    Compact,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LimitsDocument {
    frame_bytes: Option<usize>,
    item_bytes: Option<usize>,
    list_bytes: Option<usize>,
    endpoints: Option<usize>,
    depth: Option<usize>,
    ledger_bytes: Option<usize>,
}

impl Document {
    fn config(self) -> Result<Config> {
        let unavailable = |what: String| Err(Error::Config(format!("{what} is not available in this version")));
        // Keys whose other values belong to later versions: honoured where they say what happens anyway.
        for (key, value, only) in [("dialect", self.dialect.as_deref(), "openyurt"), ("components", self.components.as_deref(), "all")] {
            if let Some(value) = value.filter(|&value| value != only) {
                return unavailable(format!("`{key}`: {value:?}"));
            }
        }
        let mut config = Config::openyurt();
        config.ladders = self.ladders.unwrap_or(config.ladders);
        config.quiet = self.quiet.unwrap_or(config.quiet);
        if let Some(retention) = self.retention {
            config.retention = match retention {
                RetentionDocument::Full => Retention::Full,
                RetentionDocument::Topology => Retention::Topology,
                RetentionDocument::None => Retention::None,
            };
        }
        for (rewrite, value) in self.rewrites.unwrap_or_default() {
            match (rewrite.as_str(), value) {
                ("serviceTopology", Value::Bool(on)) => config.service_topology = on,
                ("serviceTopology", value) => {
                    return Err(Error::Config(format!("`rewrites.serviceTopology` is {value}; it must be true or false")));
                }
                ("nodePortIsolation" | "discardCloudService", Value::Bool(false)) => {}
                ("masterService" | "forwardKubernetesService", Value::Null) => {}
                ("nodePortIsolation" | "discardCloudService" | "masterService" | "forwardKubernetesService", value) => {
                    return unavailable(format!("`rewrites.{rewrite}`: {value}"));
                }
                _ => return Err(Error::Config(format!("unknown rewrite `{rewrite}`"))),
            }
        }
        if let Some(membership) = self.membership {
            config.membership = match membership {
                MembershipDocument::NodePool => Membership::NodePool,
                MembershipDocument::NodeBucket => Membership::NodeBucket,
                MembershipDocument::NodeLabel(key) => Membership::NodeLabel(key),
                MembershipDocument::CiliumNodeLabel(key) => Membership::CiliumNodeLabel(key),
                MembershipDocument::Off => Membership::Off,
            };
        }
        config.pool = self.pool;
        if let Some(in_doubt) = self.in_doubt {
            config.in_doubt = InDoubt { unknown_service: in_doubt.unknown_service.into(), unknown_pool: in_doubt.unknown_pool.into() };
        }
        if let Some(lists) = self.protobuf_lists {
            config.protobuf_lists = match lists {
                ProtobufListsDocument::Stream => ProtobufLists::Stream,
                ProtobufListsDocument::Compact => ProtobufLists::Compact,
            };
        }
        if let Some(limits) = self.limits {
            config.limits.frame_bytes = limits.frame_bytes.unwrap_or(config.limits.frame_bytes);
            config.limits.item_bytes = limits.item_bytes.unwrap_or(config.limits.item_bytes);
            config.limits.list_bytes = limits.list_bytes.unwrap_or(config.limits.list_bytes);
            config.limits.endpoints = limits.endpoints.unwrap_or(config.limits.endpoints);
            config.limits.depth = limits.depth.unwrap_or(config.limits.depth);
            config.limits.ledger_bytes = limits.ledger_bytes.unwrap_or(config.limits.ledger_bytes);
        }
        config.check()?;
        Ok(config)
    }
}

impl From<DoubtDocument> for Doubt {
    fn from(doubt: DoubtDocument) -> Doubt {
        match doubt {
            DoubtDocument::Pass => Doubt::Pass,
            DoubtDocument::Hide => Doubt::Hide,
        }
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
                "inDoubt":{"unknownPool":"hide"},"protobufLists":"compact","limits":{"itemBytes":5,"ledgerBytes":7}}"#,
        )
        .unwrap();
        assert_eq!(config.membership, Membership::NodeLabel("zone".to_owned()));
        assert_eq!(config.pool.as_deref(), Some("p"));
        assert!(!config.service_topology);
        assert_eq!(config.in_doubt, InDoubt { unknown_service: Doubt::Pass, unknown_pool: Doubt::Hide });
        assert_eq!(config.protobuf_lists, ProtobufLists::Compact);
        assert_eq!(config.limits, Limits { item_bytes: 5, ledger_bytes: 7, ..Limits::default() });
        assert_eq!((config.ladders, config.retention, config.quiet), (true, Retention::Topology, false));
        assert_eq!(Config::from_json(r#"{"retention":"none"}"#).unwrap().retention, Retention::None);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        assert_eq!(Config::from_json("[]"), Err(Error::Config("the document is not a JSON object".to_owned())));
        let refused = |text: &str, word: &str| match Config::from_json(text) {
            Err(Error::Config(message)) => assert!(message.contains(word), "{message}"),
            other => panic!("{text}: {other:?}"),
        };
        refused(r#"{"retension":"full"}"#, "retension");
        refused(r#"{"inDoubt":{"unknownNode":"pass"}}"#, "unknownNode");
        refused(r#"{"inDoubt":{"unknownPool":"maybe"}}"#, "maybe");
        refused(r#"{"retention":"some"}"#, "some");
        refused(r#"{"rewrites":{"serviceTopologie":true}}"#, "serviceTopologie");
        refused(r#"{"rewrites":{"nodePortIsolation":true}}"#, "nodePortIsolation");
        refused(r#"{"dialect":"kubeedge"}"#, "kubeedge");
        refused(r#"{"membership":"label"}"#, "label");
        refused(r#"{"membership":{"nodeLabel":""}}"#, "empty");
        refused(r#"{"pool":""}"#, "pool");
        refused(r#"{"limits":{"depth":0}}"#, "depth");
        refused(r#"{"limits":{"ledgerBytes":0}}"#, "ledgerBytes");
        refused("{", "EOF");
    }
}

//! The configuration as it is written: JSON.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{
    Clients, Config, Dialect, Hub, Membership, MissingFactPolicy, OnMissingFact, ProtobufLists,
    Retention,
};
use crate::error::{Error, Result};

impl Config {
    /// Reads a configuration document; `docs/config.md` describes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for an unknown key or a value that cannot be
    /// used; the message names it.
    pub fn from_json(text: &str) -> Result<Config> {
        // serde would read an array as the keys' values in their order.
        if text.trim_start().starts_with('[') {
            return Err(Error::config("the document is not a JSON object"));
        }
        let document: Document =
            serde_json::from_str(text).map_err(|error| Error::config(error.to_string()))?;
        document.config()
    }
}

/// Reads a configuration document.
impl std::str::FromStr for Config {
    type Err = Error;

    fn from_str(text: &str) -> Result<Config> {
        Config::from_json(text)
    }
}

impl<'de> serde::Deserialize<'de> for Config {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Config, D::Error> {
        let document = Document::deserialize(deserializer)?;
        document.config().map_err(serde::de::Error::custom)
    }
}

/// The document as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    dialect: Option<String>,
    membership: Option<MembershipDocument>,
    pool: Option<String>,
    clients: Option<String>,
    rewrites: Option<BTreeMap<String, Value>>,
    topology_fallback: Option<bool>,
    on_missing_fact: Option<OnMissingFactDocument>,
    retention: Option<RetentionDocument>,
    suppress_unchanged: Option<bool>,
    protobuf_lists: Option<ProtobufListsDocument>,
    limits: Option<LimitsDocument>,
}

/// Where a rewrite leads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HubDocument {
    host: String,
    port: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum MembershipDocument {
    NodePool,
    NodeBucket,
    NodeLabel(String),
    NodeLabels,
    CiliumNodeLabel(String),
    Off,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OnMissingFactDocument {
    #[serde(default)]
    unknown_service: MissingFactPolicyDocument,
    #[serde(default)]
    no_service: MissingFactPolicyDocument,
    #[serde(default)]
    unknown_pool: MissingFactPolicyDocument,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum MissingFactPolicyDocument {
    #[default]
    Pass,
    Empty,
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
    Padded,
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
    client_state_bytes: Option<usize>,
    deleted_services: Option<usize>,
}

impl Document {
    fn config(self) -> Result<Config> {
        let known = |dialect: &str| Dialect::ALL.into_iter().find(|known| known.name() == dialect);
        let unknown = |key: &str, value: &str, known: &str| {
            Error::config(format!("`{key}` is {value:?}; it must be {known}"))
        };
        let dialect = match self.dialect.as_deref() {
            None => Dialect::default(),
            Some(name) => known(name).ok_or_else(|| {
                unknown("dialect", name, "openyurt, kubeedge, superedge or poolscope")
            })?,
        };
        let mut config = Config::of(dialect);
        config.topology_fallback = self.topology_fallback.unwrap_or(config.topology_fallback);
        config.suppress_unchanged = self.suppress_unchanged.unwrap_or(config.suppress_unchanged);
        config.clients = match self.clients.as_deref() {
            None | Some("all") => Clients::All,
            Some("yurtHub") => Clients::YurtHub,
            Some(other) => return Err(unknown("clients", other, "all or yurtHub")),
        };
        if let Some(retention) = self.retention {
            config.retention = match retention {
                RetentionDocument::Full => Retention::Full,
                RetentionDocument::Topology => Retention::Topology,
                RetentionDocument::None => Retention::None,
            };
        }
        for (name, value) in self.rewrites.unwrap_or_default() {
            match name.as_str() {
                "serviceTopology" => config.service_topology = switch(&name, value)?,
                "nodePortIsolation" => config.node_port_isolation = switch(&name, value)?,
                "discardCloudService" => config.discard_cloud_service = switch(&name, value)?,
                "masterService" => config.master_service = hub(&name, value)?,
                "forwardKubernetesService" => {
                    config.forward_kubernetes_service = hub(&name, value)?
                }
                _ => return Err(Error::config(format!("unknown rewrite `{name}`"))),
            }
        }
        if let Some(membership) = self.membership {
            config.membership = match membership {
                MembershipDocument::NodePool => Membership::NodePool,
                MembershipDocument::NodeBucket => Membership::NodeBucket,
                MembershipDocument::NodeLabel(key) => Membership::NodeLabel(key),
                MembershipDocument::NodeLabels => Membership::NodeLabels,
                MembershipDocument::CiliumNodeLabel(key) => Membership::CiliumNodeLabel(key),
                MembershipDocument::Off => Membership::Off,
            };
        }
        config.pool = self.pool;
        if let Some(on_missing_fact) = self.on_missing_fact {
            config.on_missing_fact = OnMissingFact {
                unknown_service: on_missing_fact.unknown_service.into(),
                no_service: on_missing_fact.no_service.into(),
                unknown_pool: on_missing_fact.unknown_pool.into(),
            };
        }
        if let Some(lists) = self.protobuf_lists {
            config.protobuf_lists = match lists {
                ProtobufListsDocument::Padded => ProtobufLists::Padded,
                ProtobufListsDocument::Compact => ProtobufLists::Compact,
            };
        }
        if let Some(limits) = self.limits {
            config.limits.frame_bytes = limits.frame_bytes.unwrap_or(config.limits.frame_bytes);
            config.limits.item_bytes = limits.item_bytes.unwrap_or(config.limits.item_bytes);
            config.limits.list_bytes = limits.list_bytes.unwrap_or(config.limits.list_bytes);
            config.limits.endpoints = limits.endpoints.unwrap_or(config.limits.endpoints);
            config.limits.depth = limits.depth.unwrap_or(config.limits.depth);
            config.limits.client_state_bytes =
                limits.client_state_bytes.unwrap_or(config.limits.client_state_bytes);
            config.limits.deleted_services =
                limits.deleted_services.unwrap_or(config.limits.deleted_services);
        }
        config.check()?;
        Ok(config)
    }
}

impl From<MissingFactPolicyDocument> for MissingFactPolicy {
    fn from(doubt: MissingFactPolicyDocument) -> MissingFactPolicy {
        match doubt {
            MissingFactPolicyDocument::Pass => MissingFactPolicy::Pass,
            MissingFactPolicyDocument::Empty => MissingFactPolicy::Empty,
        }
    }
}

fn switch(rewrite: &str, value: Value) -> Result<bool> {
    let wrong =
        || Error::config(format!("`rewrites.{rewrite}` is {value}; it must be true or false"));
    value.as_bool().ok_or_else(wrong)
}

fn hub(rewrite: &str, value: Value) -> Result<Option<Hub>> {
    let refuse = |why: String| Error::config(format!("`rewrites.{rewrite}`: {why}"));
    let Some(HubDocument { host, port }) =
        serde_json::from_value(value).map_err(|error| refuse(error.to_string()))?
    else {
        return Ok(None);
    };
    let host = host
        .parse()
        .map_err(|_| refuse(format!("`host` is {host:?}; it must be an IP address")))?;
    let port = port
        .try_into()
        .map_err(|_| refuse(format!("`port` is {port}; it must be between 1 and 65535")))?;
    Ok(Some(Hub { host, port }))
}

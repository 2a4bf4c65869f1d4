//! Refusing settings that are out of range or contradict each other.

use super::{Config, Dialect, Membership};
use crate::error::{Error, Result};

impl Config {
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::config(why));
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
        self.limits.check()?;
        Ok(())
    }

    /// Refuses combinations of keys that contradict each other.
    fn check_dialect(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::config(why));
        let (by_labels, dialect) = (self.membership == Membership::NodeLabels, self.dialect.name());
        if self.dialect == Dialect::SuperEdge {
            if matches!(self.membership, Membership::NodePool | Membership::NodeBucket) {
                return refuse(
                    "dialect `superedge` asks for node labels: `membership` must be `nodeLabels` \
                     or one label",
                );
            }
            if self.topology_fallback {
                return refuse(
                    "dialect `superedge` takes several keys as alternatives: for keys in order \
                     use dialect `poolscope`",
                );
            }
        } else if by_labels {
            return refuse(&format!(
                "`membership` `nodeLabels` is for dialect `superedge`: dialect `{dialect}` asks \
                 for one pool; name its label"
            ));
        }
        if by_labels && self.pool.is_some() {
            return refuse(
                "with `membership` `nodeLabels` a node has a pool for each label: `pool` cannot \
                 name one",
            );
        }
        if by_labels && self.node_port_isolation {
            return refuse(
                "`rewrites.nodePortIsolation` asks for the node's one pool: name its label as \
                 `membership`",
            );
        }
        Ok(())
    }
}

//! Nodes whose label and whose pools' lists disagree.

use crate::cluster::fact::DESIRED_POOL_LABEL;
use crate::node::NodeView;

impl NodeView {
    /// Returns in words how the label of a node and the lists of the pools disagree. `None` if they
    /// agree, if neither Node nor pools of that name were read, and if labels alone make the pools.
    ///
    /// A pool that no object describes is a missing fact and no contradiction.
    ///
    /// ```
    /// use poolscope::{Cluster, Config, RequestHead, ResponseHead};
    ///
    /// let cluster = Cluster::new(Config::openyurt())?;
    /// for (path, body) in [
    ///     ("/api/v1/nodes", r#"{"items":[{"metadata":{"name":"hz-2",
    ///         "labels":{"apps.openyurt.io/nodepool":"hangzhou"}}}]}"#),
    ///     ("/apis/apps.openyurt.io/v1beta2/nodepools", r#"{"items":[{"metadata":
    ///         {"name":"hangzhou"}, "status":{"nodes":["hz-1"]}}]}"#),
    /// ] {
    ///     let json = ResponseHead::ok("application/json");
    ///     let mut reader = cluster.read_facts(&RequestHead::get(path), &json)?;
    ///     reader.push(body.as_bytes())?;
    ///     reader.finish()?;
    /// }
    /// let node = cluster.node("hz-1");
    /// assert_eq!(
    ///     node.contradiction("hz-2").unwrap(),
    ///     "label says hangzhou, but NodePool hangzhou does not list hz-2"
    /// );
    /// # Ok::<(), poolscope::Error>(())
    /// ```
    pub fn contradiction(&self, node: &str) -> Option<String> {
        let config = self.cluster().config();
        let (kind, key) = (config.membership.pool_kind()?, config.membership.own_pool_label()?);
        let pools = self.pools_of(node);
        let facts = self.cluster().read();
        let known = facts.node(node.as_bytes());
        let configured = config.pool.clone().filter(|_| node == self.name());
        let source = if configured.is_some() { "the configuration" } else { "label" };
        let label = known.and_then(|known| text(known.pool.as_deref()));
        let Some(own) = configured.or(label) else {
            let desired = text(known?.desired.as_deref());
            return without_label(node, key, desired, lists(kind, &pools));
        };
        let is_listed = pools.contains(&own);
        let others: Vec<String> = pools.into_iter().filter(|pool| *pool != own).collect();
        let but = match lists(kind, &others) {
            Some(lists) if is_listed => format!("{lists} {node} too"),
            Some(lists) => format!("{lists} {node}"),
            None if is_listed => return None,
            None => {
                facts.membership().members(own.as_bytes())?;
                match kind {
                    "NodePool" => format!("NodePool {own} does not list {node}"),
                    _ => format!("no {kind} of pool {own} lists {node}"),
                }
            }
        };
        Some(format!("{source} says {own}, but {but}"))
    }

    /// Returns the pool that the label of a node names.
    pub(super) fn label_of(&self, node: &str) -> Option<String> {
        let facts = self.cluster().read();
        facts.node(node.as_bytes()).and_then(|node| text(node.pool.as_deref()))
    }
}

/// The contradiction of a Node without the label `key`.
fn without_label(
    node: &str,
    key: &str,
    desired: Option<String>,
    lists: Option<String>,
) -> Option<String> {
    let desired = desired.map(|pool| format!("only {DESIRED_POOL_LABEL}: {pool}"));
    match (lists, desired) {
        (Some(lists), Some(desired)) => {
            Some(format!("{lists} {node}, but it has no label {key}, {desired}"))
        }
        (Some(lists), None) => Some(format!("{lists} {node}, but it has no label {key}")),
        (None, Some(desired)) => Some(format!("{node} has no label {key}, {desired}")),
        (None, None) => None,
    }
}

/// Returns the lists of these pools as subject with verb; `None` without pools.
fn lists(kind: &str, pools: &[String]) -> Option<String> {
    let names = pools.join(" and ");
    Some(match (kind, pools.len()) {
        (_, 0) => return None,
        ("NodePool", 1) => format!("NodePool {names} lists"),
        ("NodePool", _) => format!("NodePools {names} list"),
        _ => format!("{kind}s of pool {names} list"),
    })
}

fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

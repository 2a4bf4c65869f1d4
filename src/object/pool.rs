//! NodePool and NodeBucket: which nodes a pool has. Custom resources, so JSON only.

use serde::Deserialize;

/// Label of a NodeBucket that names its pool. A pool may have several buckets.
const POOL_NAME_LABEL: &str = "openyurt.io/pool-name";

/// `.status.nodes` of a NodePool, v1alpha1 to v1beta2 alike. `None` if the object cannot be decoded.
pub(crate) fn nodes_of_pool(object: &[u8]) -> Option<Vec<String>> {
    let pool: NodePool = serde_json::from_slice(object).ok()?;
    Some(pool.status.and_then(|status| status.nodes).unwrap_or_default())
}

/// `.nodes[].name` of a NodeBucket (top level, not under spec or status).
pub(crate) fn nodes_of_bucket(object: &[u8]) -> Option<Vec<String>> {
    let bucket: NodeBucket = serde_json::from_slice(object).ok()?;
    Some(bucket.nodes.unwrap_or_default().into_iter().map(|node| node.name).collect())
}

/// The pool that a NodeBucket belongs to.
pub(crate) fn pool_of_bucket(labels: &std::collections::HashMap<String, String>) -> Option<&String> {
    labels.get(POOL_NAME_LABEL).filter(|pool| !pool.is_empty())
}

#[derive(Deserialize)]
struct NodePool {
    status: Option<NodePoolStatus>,
}

#[derive(Deserialize)]
struct NodePoolStatus {
    nodes: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct NodeBucket {
    nodes: Option<Vec<BucketNode>>,
}

#[derive(Deserialize)]
struct BucketNode {
    name: String,
}

//! NodePool and NodeBucket: which nodes a pool has. Custom resources, so JSON only.

use super::go::{go_struct, read_json};
use crate::hash::HashMap;

/// Label of a NodeBucket that names its pool. A pool may have several buckets.
const POOL_NAME_LABEL: &str = "openyurt.io/pool-name";

/// `.status.nodes` of a NodePool, v1alpha1 to v1beta2 alike. `None` if the object cannot be
/// decoded.
pub(crate) fn nodes_of_pool(object: &[u8]) -> Option<Vec<String>> {
    let pool: NodePool = read_json(object)?;
    // A null is an empty string to Go, and no node has that name.
    Some(pool.status.nodes.into_iter().flatten().collect())
}

/// `.nodes[].name` of a NodeBucket (top level, not under spec or status).
pub(crate) fn nodes_of_bucket(object: &[u8]) -> Option<Vec<String>> {
    let bucket: NodeBucket = read_json(object)?;
    Some(bucket.nodes.into_iter().filter_map(|node| node.name).collect())
}

/// The pool that a NodeBucket belongs to.
pub(crate) fn pool_of_bucket(labels: &HashMap<String, String>) -> Option<&String> {
    labels.get(POOL_NAME_LABEL).filter(|pool| !pool.is_empty())
}

go_struct!(NodePool { "status" => status: NodePoolStatus });
go_struct!(NodePoolStatus { "nodes" => nodes: Vec<Option<String>> });
go_struct!(NodeBucket { "nodes" => nodes: Vec<BucketNode> });
go_struct!(BucketNode { "name" => name: Option<String> });

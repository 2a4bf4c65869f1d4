//! Clusters.

use std::ffi::c_char;
use std::ptr;

use serde_json::json;

use super::boundary::{Result, borrow, boundary, free, slot, text, value_or};
use super::failure::{poolscope_error, poolscope_status};
use super::handle::Shared;
use super::node::poolscope_node;
use super::text::poolscope_text;
use poolscope::{Cluster, Config, FactKind};

/// The facts of one cluster. Create one per process. Any thread may use it at any time. Nodes,
/// readers and streams share ownership, so that the cluster may be freed before them.
pub struct poolscope_cluster(pub(super) Shared<Cluster>);

/// Creates a cluster without facts. `config` is the JSON document that docs/config.md describes;
/// `{}` selects OpenYurt's annotations with NodePools. Fails with POOLSCOPE_ERR_CONFIG; the message
/// names the key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_new(
    config: *const c_char,
    config_len: usize,
    cluster: *mut *mut poolscope_cluster,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let cluster = slot(cluster, ptr::null_mut(), "cluster")?;
            let config = Config::from_json(text(config, config_len, "config")?)?;
            cluster.put(poolscope_cluster(Shared::new(Cluster::new(config)?)));
            Ok(())
        })
    }
}

/// Returns the view of the node of that name. The node need not be known yet. Free the view with
/// poolscope_node_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_node(
    cluster: *const poolscope_cluster,
    name: *const c_char,
    name_len: usize,
    node: *mut *mut poolscope_node,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let node = slot(node, ptr::null_mut(), "node")?;
            let cluster = borrow(cluster, "cluster")?.0.enter()?;
            node.put(poolscope_node(Shared::new(cluster.node(text(name, name_len, "name")?))));
            Ok(())
        })
    }
}

/// Returns a number that every fact change raises. When it differs from before, refresh the
/// open watches. Cheap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_generation(cluster: *const poolscope_cluster) -> u64 {
    // SAFETY: the header's contract.
    unsafe { value_or(0, || Ok(borrow(cluster, "cluster")?.0.enter()?.generation())) }
}

/// Returns the changes after `generation` as JSON, oldest first: an array of `{"service":
/// "namespace/name"}`, `{"node": NAME}`, `{"pool": NAME}`, `{"member": {"node": NAME, "pool":
/// NAME}}` and `{"clients": "namespace/name"}`. Returns `null` if more than 4096 changes followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_changes_since(
    cluster: *const poolscope_cluster,
    generation: u64,
    changes: *mut *mut poolscope_text,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let changes = slot(changes, ptr::null_mut(), "changes")?;
            let cluster = borrow(cluster, "cluster")?.0.enter()?;
            changes.put(poolscope_text::json(&cluster.changes_since(generation))?);
            Ok(())
        })
    }
}

/// Returns the counters as JSON: an object of numbers that only grow, such as `{"objects": 12,
/// "passedUnknownService": 0}`. Names never change; new ones may be added.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_counters(
    cluster: *const poolscope_cluster,
    counters: *mut *mut poolscope_text,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let counters = slot(counters, ptr::null_mut(), "counters")?;
            let cluster = borrow(cluster, "cluster")?.0.enter()?;
            counters.put(poolscope_text::json(&cluster.counters())?);
            Ok(())
        })
    }
}

/// Marks the facts of a kind (`Service`, `Node`, `CiliumNode`, `NodePool`, `NodeBucket`,
/// `ConfigMap`) as incomplete and keeps them. The next list of the kind replaces them. Call it when
/// a source has ended for good, or when the API server was restored to an earlier state. Each fact
/// sync of the cluster then reads the kind anew.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_invalidate_source(
    cluster: *const poolscope_cluster,
    kind: *const c_char,
    kind_len: usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let cluster = borrow(cluster, "cluster")?.0.enter()?;
            cluster.invalidate_source(fact_kind(kind, kind_len)?);
            Ok(())
        })
    }
}

/// Reads the name of a kind of facts.
///
/// # Safety
/// As for [`text`].
pub(super) unsafe fn fact_kind(kind: *const c_char, len: usize) -> Result<FactKind> {
    // SAFETY: as this function's.
    let kind = unsafe { text(kind, len, "kind")? };
    serde_json::from_value(json!(kind))
        .map_err(|_| poolscope_error::argument("kind", "is not a kind of facts"))
}

/// Frees a cluster. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_free(cluster: *mut poolscope_cluster) {
    // SAFETY: the header's contract.
    unsafe { free(cluster) }
}

//! Clusters.

use std::ffi::c_char;
use std::ptr;

use serde_json::json;

use super::border::{answer, border, free, given, slot, text};
use super::failure::{poolscope_error, poolscope_status};
use super::feed::poolscope_feed;
use super::handle::{Exclusive, Shared};
use super::head::poolscope_head;
use super::node::poolscope_node;
use super::request::poolscope_request;
use super::text::poolscope_text;
use poolscope::{Cluster, Config, FactKind};

/// What is known about the cluster: one per process. Any thread may use it at any time. Nodes,
/// feeds and streams keep what they need of it: it may be freed before them.
pub struct poolscope_cluster(Shared<Cluster>);

/// Makes a cluster of which nothing is known yet. `config` is a JSON document as docs/config.md
/// describes it; `{}` has OpenYurt's annotations with NodePools. Fails with POOLSCOPE_CONFIG; the
/// message names the key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_new(
    config: *const c_char,
    config_len: usize,
    cluster: *mut *mut poolscope_cluster,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let cluster = slot(cluster, ptr::null_mut(), "cluster")?;
            let config = Config::from_json(text(config, config_len, "config")?)?;
            cluster.put(poolscope_cluster(Shared::new(Cluster::new(config)?)));
            Ok(())
        })
    }
}

/// Opens the response to a request for Services, Nodes, CiliumNodes, NodePools, NodeBuckets or the
/// ConfigMap kube-system/yurt-hub-cfg that the embedder makes itself, to teach the cluster: a list,
/// a watch or a single object, whole or metadata-only. Free the feed with poolscope_feed_free().
/// Fails with POOLSCOPE_NOT_A_FACT for any other request and for a status other than 200, with
/// POOLSCOPE_CONTENT_TYPE and POOLSCOPE_CONTENT_ENCODING.
///
/// A list that is read to its end, all its pages, makes the kind known; so does a watch with
/// initial events, at the bookmark that ends them: ask for bookmarks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_feed(
    cluster: *const poolscope_cluster,
    request: *mut poolscope_request,
    head: *mut poolscope_head,
    feed: *mut *mut poolscope_feed,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let feed = slot(feed, ptr::null_mut(), "feed")?;
            let cluster = given(cluster, "cluster")?.0.enter()?;
            let request = given(request, "request")?.0.enter()?;
            let head = given(head, "head")?.0.enter()?;
            feed.put(poolscope_feed(Exclusive::new(cluster.feed(&request, &head)?)));
            Ok(())
        })
    }
}

/// The view of the node of that name, which need not be known yet. Free it with
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
        border(error, || {
            let node = slot(node, ptr::null_mut(), "node")?;
            let cluster = given(cluster, "cluster")?.0.enter()?;
            node.put(poolscope_node(Shared::new(cluster.node(text(name, name_len, "name")?))));
            Ok(())
        })
    }
}

/// Raised by every change of facts that can change a verdict: when it has moved, refresh the
/// watches that are open. Cheap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_generation(cluster: *const poolscope_cluster) -> u64 {
    // SAFETY: the header's contract.
    unsafe { answer(0, || Ok(given(cluster, "cluster")?.0.enter()?.generation())) }
}

/// What changed after `generation`, oldest first (what changed together, in no order), as JSON: an
/// array of `{"service": "namespace/name"}`, `{"node": NAME}`, `{"pool": NAME}`, `{"member":
/// {"node": NAME, "pool": NAME}}` and `{"components": "namespace/name"}`; `null` if that is too
/// long ago to be remembered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_changes_since(
    cluster: *const poolscope_cluster,
    generation: u64,
    changes: *mut *mut poolscope_text,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let changes = slot(changes, ptr::null_mut(), "changes")?;
            let cluster = given(cluster, "cluster")?.0.enter()?;
            changes.put(poolscope_text::json(&cluster.changes_since(generation))?);
            Ok(())
        })
    }
}

/// What was done so far, and what passed in doubt, as JSON: an object of numbers that only grow,
/// such as `{"objects": 12, "passedUnknownService": 0}`. Names never change; new ones may be added.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_counters(
    cluster: *const poolscope_cluster,
    counters: *mut *mut poolscope_text,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let counters = slot(counters, ptr::null_mut(), "counters")?;
            let cluster = given(cluster, "cluster")?.0.enter()?;
            counters.put(poolscope_text::json(&cluster.counters())?);
            Ok(())
        })
    }
}

/// Forgets where the facts of a kind (`Service`, `Node`, `CiliumNode`, `NodePool`, `NodeBucket`,
/// `ConfigMap`) came from, not the facts: the next list of it replaces them, and until then the
/// kind is missing. For when the source has gone for good, or the API server was restored to an
/// earlier state.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_forget_source(
    cluster: *const poolscope_cluster,
    kind: *const c_char,
    kind_len: usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let cluster = given(cluster, "cluster")?.0.enter()?;
            let kind = serde_json::from_value::<FactKind>(json!(text(kind, kind_len, "kind")?));
            cluster.forget_source(
                kind.map_err(|_| poolscope_error::argument("kind", "is no kind of facts"))?,
            );
            Ok(())
        })
    }
}

/// Frees a cluster. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_free(cluster: *mut poolscope_cluster) {
    // SAFETY: the header's contract.
    unsafe { free(cluster) }
}

//! Node views.

use std::ffi::c_char;
use std::ptr;

use serde_json::json;

use super::boundary::{borrow, boundary, free, slot, text, value_or};
use super::failure::{poolscope_error, poolscope_status};
use super::handle::Shared;
use super::text::poolscope_text;
use poolscope::NodeView;

/// The cluster as one node sees it. Any thread may use it at any time.
pub struct poolscope_node(pub(super) Shared<NodeView>);

/// Returns the view of the same node for a client with that User-Agent: for explanations, and for
/// requests without the header. It matters with the setting `"clients": "yurtHub"`. Free it with
/// poolscope_node_free().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_client(
    node: *const poolscope_node,
    user_agent: *const c_char,
    user_agent_len: usize,
    client: *mut *mut poolscope_node,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let client = slot(client, ptr::null_mut(), "client")?;
            let node = borrow(node, "node")?.0.enter()?;
            client.put(poolscope_node(Shared::new(node.client(text(
                user_agent,
                user_agent_len,
                "user_agent",
            )?))));
            Ok(())
        })
    }
}

/// Returns true if no fact is missing that this node needs for objects of any namespace.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_is_ready(node: *const poolscope_node) -> bool {
    // SAFETY: the header's contract.
    unsafe { value_or(false, || Ok(borrow(node, "node")?.0.enter()?.missing().is_empty())) }
}

/// Returns the facts about the node as JSON: `{"name": NAME, "known": BOOL, "pool": NAME or null,
/// "rewrites": [NAME...], "missing": [...]}`. `rewrites` are those that the client gets by the
/// present facts. Each missing fact is `{"kind": KIND, "path": PATH TO GET, "known": THE LISTS THAT
/// WERE READ or null}`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_describe(
    node: *const poolscope_node,
    description: *mut *mut poolscope_text,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let description = slot(description, ptr::null_mut(), "description")?;
            let node = borrow(node, "node")?.0.enter()?;
            let (name, rewrites) = (node.name(), node.rewrites());
            let facts = json!({
                "name": name,
                "known": node.is_known(),
                "pool": node.pool(),
                "rewrites": rewrites,
                "missing": node.missing(),
            });
            description.put(poolscope_text::json(&facts)?);
            Ok(())
        })
    }
}

/// Returns the verdict on one endpoint by the present facts, for explanations: an endpoint on the
/// node `on` (length 0: the endpoint names no node) of Service `service` (length 0: the slice names
/// no Service) in namespace `ns`. As JSON: `{"kept": BOOL, "reason": NAME, "rule": ROW, "topology":
/// WORD or null, "pools": [NAME...]}`. `topology` is that of the Service; `pools` are those of the
/// endpoint's node. For a topology fallback it takes the last step; poolscope_inventory_view()
/// knows which endpoints the other steps have.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_judge(
    node: *const poolscope_node,
    ns: *const c_char,
    ns_len: usize,
    service: *const c_char,
    service_len: usize,
    on: *const c_char,
    on_len: usize,
    verdict: *mut *mut poolscope_text,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let verdict = slot(verdict, ptr::null_mut(), "verdict")?;
            let node = borrow(node, "node")?.0.enter()?;
            let namespace = text(ns, ns_len, "ns")?;
            let service =
                Some(text(service, service_len, "service")?).filter(|name| !name.is_empty());
            let on = Some(text(on, on_len, "on")?).filter(|name| !name.is_empty());
            let reason = node.judge(namespace, service, on);
            let topology = service.and_then(|service| node.topology_of(namespace, service));
            let pools = on.map(|on| node.pools_of(on)).unwrap_or_default();
            let verdict_json = json!({
                "kept": reason.keeps(),
                "reason": reason.name(),
                "rule": reason.rule(),
                "topology": topology,
                "pools": pools,
            });
            verdict.put(poolscope_text::json(&verdict_json)?);
            Ok(())
        })
    }
}

/// Frees a node. Does nothing for NULL. Streams that it opened continue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_free(node: *mut poolscope_node) {
    // SAFETY: the header's contract.
    unsafe { free(node) }
}

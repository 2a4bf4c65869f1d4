//! Node views.

use std::ffi::c_char;
use std::ptr;

use serde_json::json;

use super::border::{answer, border, free, given, slot, text};
use super::failure::{poolscope_error, poolscope_status};
use super::handle::Shared;
use super::head::poolscope_head;
use super::opened::poolscope_opened;
use super::request::poolscope_request;
use super::text::poolscope_text;
use poolscope::{Error, Head, NodeView, Opened, Request};

/// The cluster as one node sees it. Any thread may use it at any time.
pub struct poolscope_node(pub(super) Shared<NodeView>);

/// The view of the same node for a client of that User-Agent: for explanations, and for requests
/// that do not carry the header. It matters where the configuration says `"components": "yurtHub"`.
/// Free it with poolscope_node_free().
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
        border(error, || {
            let client = slot(client, ptr::null_mut(), "client")?;
            let node = given(node, "node")?.0.enter()?;
            client.put(poolscope_node(Shared::new(node.client(text(
                user_agent,
                user_agent_len,
                "user_agent",
            )?))));
            Ok(())
        })
    }
}

/// Whether enough is known to show this node objects of every namespace.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_is_ready(node: *const poolscope_node) -> bool {
    // SAFETY: the header's contract.
    unsafe { answer(false, || Ok(given(node, "node")?.0.enter()?.missing().is_empty())) }
}

/// What is known of the node, as JSON: `{"name": NAME, "known": BOOL, "pool": NAME or null,
/// "rewrites": [NAME...], "missing": [...]}`, where `rewrites` are those that its client gets as
/// the facts are now. Each thing missing is `{"kind": KIND, "path": WHAT TO GET, "known": WHAT IS
/// KNOWN INSTEAD or null}`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_describe(
    node: *const poolscope_node,
    description: *mut *mut poolscope_text,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let description = slot(description, ptr::null_mut(), "description")?;
            let node = given(node, "node")?.0.enter()?;
            let (name, rewrites) = (node.name(), node.rewrites());
            let facts = json!({"name": name, "known": node.is_known(), "pool": node.pool(), "rewrites": rewrites, "missing": node.missing()});
            description.put(poolscope_text::json(&facts)?);
            Ok(())
        })
    }
}

/// Changes the request into the one that should go to the API server, so that its answer can be
/// read: without the headers Accept-Encoding, Range, If-Range, Upgrade, Connection and
/// Sec-WebSocket-*, and without CBOR, YAML and `as=Table` in Accept. Read its headers back with
/// poolscope_request_header(). Requests for other things stay as they are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_prepare(
    node: *const poolscope_node,
    request: *mut poolscope_request,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || given(request, "request")?.prepare(&*given(node, "node")?.0.enter()?))
    }
}

/// Decides what is to be done with a response for this node's client. Free the answer with
/// poolscope_opened_free().
///
/// Fails with POOLSCOPE_CONTENT_ENCODING, POOLSCOPE_CONTENT_TYPE or POOLSCOPE_HTTP_STATUS for a
/// response that would have to be filtered and cannot be read: never forward it, answer 502.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_open(
    node: *const poolscope_node,
    request: *mut poolscope_request,
    head: *mut poolscope_head,
    opened: *mut *mut poolscope_opened,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe { open(node, request, head, opened, error, NodeView::open) }
}

/// The same for one body by itself, such as a recorded one: of a list nothing is remembered, and a
/// watch need not go on from anything. Each event is judged by what is known when it passes; there
/// is no refresh, and nothing is left out for saying nothing new.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_open_alone(
    node: *const poolscope_node,
    request: *mut poolscope_request,
    head: *mut poolscope_head,
    opened: *mut *mut poolscope_opened,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe { open(node, request, head, opened, error, NodeView::open_alone) }
}

/// # Safety
/// The header's contract.
unsafe fn open(
    node: *const poolscope_node,
    request: *mut poolscope_request,
    head: *mut poolscope_head,
    opened: *mut *mut poolscope_opened,
    error: *mut *mut poolscope_error,
    how: impl FnOnce(&NodeView, &Request, &Head) -> Result<Opened, Error>,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let opened = slot(opened, ptr::null_mut(), "opened")?;
            let node = given(node, "node")?.0.enter()?;
            let request = given(request, "request")?.0.enter()?;
            let head = given(head, "head")?.0.enter()?;
            opened.put(poolscope_opened::new(how(&node, &request, &head)?));
            Ok(())
        })
    }
}

/// The verdict on one endpoint by what is known now, for explanations: an endpoint on the node `on`
/// (length 0: it names none) of Service `service` in the namespace `ns` (length 0: its slice names
/// none). As JSON: `{"kept": BOOL, "reason": NAME, "rule": ROW, "topology": WORD or null, "pools":
/// [NAME...]}`, where `topology` is what the Service asks for and `pools` are those of the node
/// that the endpoint is on. Of a ladder it takes the last rung; poolscope_inventory_view() knows
/// what stands on the others.
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
        border(error, || {
            let verdict = slot(verdict, ptr::null_mut(), "verdict")?;
            let node = given(node, "node")?.0.enter()?;
            let namespace = text(ns, ns_len, "ns")?;
            let service =
                Some(text(service, service_len, "service")?).filter(|name| !name.is_empty());
            let on = Some(text(on, on_len, "on")?).filter(|name| !name.is_empty());
            let reason = node.judge(namespace, service, on);
            let topology = service.and_then(|service| node.topology_of(namespace, service));
            let pools = on.map(|on| node.pools_of(on)).unwrap_or_default();
            let said = json!({"kept": reason.keeps(), "reason": reason.name(), "rule": reason.rule(), "topology": topology, "pools": pools});
            verdict.put(poolscope_text::json(&said)?);
            Ok(())
        })
    }
}

/// Frees a node. NULL is nothing. Streams that it opened go on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_free(node: *mut poolscope_node) {
    // SAFETY: the header's contract.
    unsafe { free(node) }
}

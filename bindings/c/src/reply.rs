//! How to handle a response, and the reply in its place.

use std::ffi::{CString, c_char};
use std::ptr;

use super::boundary::{borrow, boundary, free, slot};
use super::exchange::{poolscope_request, poolscope_response, request_head, response_head};
use super::failure::{c_string, poolscope_error, poolscope_status};
use super::node::poolscope_node;
use super::stream::poolscope_stream;
use poolscope::{Action, Error, NodeView, Reply, ReplyCause, RequestHead, ResponseHead};

/// How to handle a response.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum poolscope_action {
    /// Send the reply in place of the response.
    POOLSCOPE_ACTION_REPLY = 0,
    /// Forward the response unchanged. Nothing in it is rewritten or read as a fact.
    POOLSCOPE_ACTION_FORWARD = 1,
    /// Push the body through the stream. Drop the response's Content-Length and ETag.
    POOLSCOPE_ACTION_REWRITE = 2,
}

/// The reason for a reply. The numbers never change; new ones may be added.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum poolscope_cause {
    /// A reason that a later version added.
    POOLSCOPE_CAUSE_OTHER = 0,
    /// Facts have to be read first (HTTP status 503; to a watch 429). Instead of sending the reply
    /// you may wait for the facts and open the response again.
    POOLSCOPE_CAUSE_MISSING_FACTS = 1,
    /// The watch asks to resume at a resourceVersion that is not known (HTTP status 410). The
    /// client relists.
    POOLSCOPE_CAUSE_UNKNOWN_RESOURCE_VERSION = 2,
}

use poolscope_action::*;
use poolscope_cause::*;

/// A whole response to send in place of the API server's. Free it with poolscope_reply_free(),
/// which also frees the memory that it points to.
#[repr(C)]
#[derive(Debug)]
pub struct poolscope_reply {
    /// The HTTP status: 410, 429 or 503.
    pub http_status: u16,
    /// Seconds for the header Retry-After; 0: send no such header.
    pub retry_after: u32,
    /// The reason.
    pub cause: poolscope_cause,
    /// The header Content-Type, NUL-terminated.
    pub content_type: *const c_char,
    /// The body: a Kubernetes Status that gives the reason.
    pub body: *const u8,
    /// Length of `body` in bytes.
    pub body_len: usize,
    /// The missing facts as JSON, NUL-terminated: an array of `{"kind": KIND, "path": PATH TO GET,
    /// "known": THE LISTS THAT WERE READ or null}`. Empty for other reasons.
    pub missing: *const c_char,
}

/// A [`poolscope_reply`] with the memory that it points to.
#[repr(C)]
struct OwnedReply {
    /// First: C holds a pointer to this field.
    view: poolscope_reply,
    reply: Reply,
    content_type: CString,
    missing: CString,
}

impl OwnedReply {
    fn give(reply: Reply) -> *mut poolscope_reply {
        let (cause, missing) = match &reply.cause {
            ReplyCause::MissingFacts(missing) => {
                (POOLSCOPE_CAUSE_MISSING_FACTS, missing.as_slice())
            }
            ReplyCause::UnknownResourceVersion => {
                (POOLSCOPE_CAUSE_UNKNOWN_RESOURCE_VERSION, &[][..])
            }
            _ => (POOLSCOPE_CAUSE_OTHER, &[][..]),
        };
        let missing = c_string(&serde_json::to_string(missing).unwrap_or_default());
        let content_type = c_string(reply.content_type);
        let view = poolscope_reply {
            http_status: reply.status,
            retry_after: reply.retry_after.unwrap_or_default(),
            cause,
            content_type: content_type.as_ptr(),
            body: reply.body.as_ptr(),
            body_len: reply.body.len(),
            missing: missing.as_ptr(),
        };
        // The view is the first field of a `repr(C)` struct, so that both have one address.
        Box::into_raw(Box::new(OwnedReply { view, reply, content_type, missing })).cast()
    }
}

/// Frees a reply. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_reply_free(reply: *mut poolscope_reply) {
    // SAFETY: the header's contract, and `OwnedReply::give` made the pointer.
    unsafe { free(reply.cast::<OwnedReply>()) }
}

/// Decides how to handle a response for this node's client.
///
/// After POOLSCOPE_ACTION_REWRITE `*stream` is the caller's: free it with poolscope_stream_free().
/// After POOLSCOPE_ACTION_REPLY `*reply` is the caller's: free it with poolscope_reply_free(). The
/// other pointer is NULL. A failure leaves POOLSCOPE_ACTION_REPLY and two NULL pointers.
///
/// Fails with POOLSCOPE_ERR_CONTENT_ENCODING, POOLSCOPE_ERR_CONTENT_TYPE or
/// POOLSCOPE_ERR_HTTP_STATUS if the response has to be rewritten and cannot be read. Never forward
/// such a response: reply with HTTP status 502.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_open(
    node: *const poolscope_node,
    request: *const poolscope_request,
    response: *const poolscope_response,
    action: *mut poolscope_action,
    stream: *mut *mut poolscope_stream,
    reply: *mut *mut poolscope_reply,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe { open(node, request, response, (action, stream, reply), error, NodeView::open) }
}

/// Opens a response without client state, such as a recorded body. A list leaves no state behind,
/// and a watch needs none. Each event is judged by the facts at the moment it passes. There is no
/// refresh, and unchanged events are not suppressed. Otherwise like poolscope_node_open().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_open_stateless(
    node: *const poolscope_node,
    request: *const poolscope_request,
    response: *const poolscope_response,
    action: *mut poolscope_action,
    stream: *mut *mut poolscope_stream,
    reply: *mut *mut poolscope_reply,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    let open_stateless = NodeView::open_stateless;
    // SAFETY: the header's contract.
    unsafe { open(node, request, response, (action, stream, reply), error, open_stateless) }
}

type Places = (*mut poolscope_action, *mut *mut poolscope_stream, *mut *mut poolscope_reply);

/// # Safety
/// The header's contract.
unsafe fn open(
    node: *const poolscope_node,
    request: *const poolscope_request,
    response: *const poolscope_response,
    (action, stream, reply): Places,
    error: *mut *mut poolscope_error,
    how: impl FnOnce(&NodeView, &RequestHead, &ResponseHead) -> Result<Action, Error>,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let action = slot(action, POOLSCOPE_ACTION_REPLY, "action");
            let stream = slot(stream, ptr::null_mut(), "stream");
            let reply = slot(reply, ptr::null_mut(), "reply");
            let (action, stream, reply) = (action?, stream?, reply?);
            let node = borrow(node, "node")?.0.enter()?;
            match how(&node, &request_head(request)?, &response_head(response)?)? {
                Action::Forward => action.set(POOLSCOPE_ACTION_FORWARD),
                Action::Rewrite(rewriter) => {
                    action.set(POOLSCOPE_ACTION_REWRITE);
                    stream.put(poolscope_stream::new(rewriter));
                }
                Action::Reply(instead) => reply.set(OwnedReply::give(instead)),
            }
            Ok(())
        })
    }
}

//! What is to be done with a response.

use std::ffi::{CString, c_char};
use std::ptr;

use super::border::{answer, border, free, given, slot};
use super::failure::{c_string, poolscope_error, poolscope_status};
use super::handle::Exclusive;
use super::stream::poolscope_stream;
use super::text::poolscope_text;
use poolscope::{Answer, Missing, Opened};

/// What is to be done with a response. For one thread at a time.
pub struct poolscope_opened(Exclusive<Decision>);

struct Decision {
    what: poolscope_opening,
    stream: Option<poolscope_stream>,
    missing: Vec<Missing>,
    answer: Option<Answer>,
    content_type: CString,
}

/// What is to be done with a response. The numbers never change; treat one that you do not know as
/// POOLSCOPE_NOT_READY.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum poolscope_opening {
    /// Forward it untouched: it carries no endpoints and teaches nothing.
    POOLSCOPE_PASS_THROUGH = 0,
    /// Push its body through poolscope_opened_take_stream(). Its Content-Length, if it has one, no
    /// longer holds.
    POOLSCOPE_REWRITE = 1,
    /// Facts are not known yet. Give the client poolscope_opened_answer(), or wait for the facts
    /// and ask again: a body that was served unfiltered cannot be called back.
    POOLSCOPE_NOT_READY = 2,
    /// A watch whose past is not known. Give the client poolscope_opened_answer(); it lists again.
    POOLSCOPE_EXPIRED = 3,
}

use poolscope_opening::*;

impl poolscope_opened {
    pub(super) fn new(opened: Opened) -> poolscope_opened {
        let (what, stream, missing, answer) = match opened {
            Opened::PassThrough => (POOLSCOPE_PASS_THROUGH, None, Vec::new(), None),
            Opened::Rewrite(stream) => {
                (POOLSCOPE_REWRITE, Some(poolscope_stream::new(stream)), Vec::new(), None)
            }
            Opened::NotReady(facts) => {
                (POOLSCOPE_NOT_READY, None, facts.missing, Some(facts.answer))
            }
            Opened::Expired(answer) => (POOLSCOPE_EXPIRED, None, Vec::new(), Some(answer)),
            // The two crates are of one version, so that there is no other. Nothing is served.
            _ => (POOLSCOPE_NOT_READY, None, Vec::new(), None),
        };
        let content_type = c_string(answer.as_ref().map_or("", |answer| answer.content_type));
        poolscope_opened(Exclusive::new(Decision { what, stream, missing, answer, content_type }))
    }
}

/// What is to be done. Of NULL, and where the handle is in another call: POOLSCOPE_NOT_READY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_opened_what(opened: *mut poolscope_opened) -> poolscope_opening {
    // SAFETY: the header's contract.
    unsafe { answer(POOLSCOPE_NOT_READY, || Ok(given(opened, "opened")?.0.enter()?.what)) }
}

/// The stream of POOLSCOPE_REWRITE, which is the caller's from now on: free it with
/// poolscope_stream_free(). NULL the second time, where there is none, and where the handle is in
/// another call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_opened_take_stream(
    opened: *mut poolscope_opened,
) -> *mut poolscope_stream {
    // SAFETY: the header's contract.
    unsafe {
        answer(ptr::null_mut(), || {
            let stream = given(opened, "opened")?.0.enter()?.stream.take();
            Ok(stream.map_or(ptr::null_mut(), |stream| Box::into_raw(Box::new(stream))))
        })
    }
}

/// What the client is to be answered in place of the response, for POOLSCOPE_NOT_READY and
/// POOLSCOPE_EXPIRED: the HTTP status (503 or 410); the seconds for the header Retry-After, 0 for
/// no such header; the Content-Type, NUL-terminated; and the body, a Kubernetes Status. Pointers
/// are valid until `opened` is freed. Fails with POOLSCOPE_INVALID_ARGUMENT if the response is to
/// go on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_opened_answer(
    opened: *mut poolscope_opened,
    http_status: *mut u16,
    retry_after: *mut u32,
    content_type: *mut *const c_char,
    body: *mut *const u8,
    body_len: *mut usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let (http_status, retry_after) =
                (slot(http_status, 0, "http_status"), slot(retry_after, 0, "retry_after"));
            let content_type = slot(content_type, ptr::null(), "content_type");
            let (body, body_len) = (slot(body, ptr::null(), "body"), slot(body_len, 0, "body_len"));
            let (http_status, retry_after, content_type) =
                (http_status?, retry_after?, content_type?);
            let (body, body_len) = (body?, body_len?);
            let opened = given(opened, "opened")?.0.enter()?;
            let goes_on =
                || poolscope_error::argument("opened", "has no answer: the response is to go on");
            let answer = opened.answer.as_ref().ok_or_else(goes_on)?;
            http_status.set(answer.status);
            retry_after.set(answer.retry_after.unwrap_or_default());
            content_type.set(opened.content_type.as_ptr());
            body.set(answer.body.as_ptr());
            body_len.set(answer.body.len());
            Ok(())
        })
    }
}

/// What is not known yet, as JSON: the `missing` of poolscope_node_describe(), for this response.
/// Empty unless POOLSCOPE_NOT_READY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_opened_missing(
    opened: *mut poolscope_opened,
    missing: *mut *mut poolscope_text,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let missing = slot(missing, ptr::null_mut(), "missing")?;
            missing.put(poolscope_text::json(&given(opened, "opened")?.0.enter()?.missing)?);
            Ok(())
        })
    }
}

/// Frees it, with its stream if that was not taken. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_opened_free(opened: *mut poolscope_opened) {
    // SAFETY: the header's contract.
    unsafe { free(opened) }
}

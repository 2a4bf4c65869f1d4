//! Fetches facts: which requests to send, and what comes of them.

use std::ffi::c_char;
use std::ptr;
use std::time::Duration;

use super::boundary::{Result, borrow, boundary, bytes, free, slot, text};
use super::cluster::fact_kind;
use super::exchange::{poolscope_response, response_head};
use super::failure::{poolscope_error, poolscope_status};
use super::handle::Exclusive;
use super::node::poolscope_node;
use poolscope::{FactKind, FactStep, FactSync, FetchId};

/// Fetches the facts that a node needs, and keeps them up to date. For one thread at a time.
pub struct poolscope_fact_sync(Exclusive<Sync>);

struct Sync {
    sync: FactSync,
    /// The texts of the last step.
    target: String,
    message: String,
}

/// A step of a fact sync. The numbers never change.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum poolscope_fact_action {
    /// Nothing to do for `millis`.
    POOLSCOPE_FACT_WAIT = 0,
    /// Send GET `target` with the header `Accept: accept`, and report what comes of request `id`.
    POOLSCOPE_FACT_FETCH = 1,
    /// Drop the response to request `id`: it stalled, or its facts are not needed any more.
    POOLSCOPE_FACT_CANCEL = 2,
    /// A request for `kind` failed and will be repeated in `millis`: for logs and metrics.
    POOLSCOPE_FACT_FAILED = 3,
    /// The API server responded with facts of `kind`: an earlier failure is over.
    POOLSCOPE_FACT_ANSWERED = 4,
}

use poolscope_fact_action::*;

/// A step of a fact sync with its fields. The texts are valid until the next call of
/// poolscope_fact_sync_next() with the same fact sync, and until it is freed.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct poolscope_fact_step {
    /// The step. The comment of each names the fields that have a value.
    pub action: poolscope_fact_action,
    /// The number of a request.
    pub id: u64,
    /// Milliseconds; for POOLSCOPE_FACT_WAIT UINT64_MAX means: until something comes.
    pub millis: u64,
    /// The kind, such as `NodePool`; also of POOLSCOPE_FACT_FETCH.
    pub kind: *const c_char,
    /// Length of `kind` in bytes.
    pub kind_len: usize,
    /// Path and query. Put the path of the API server's address before it, if that has one.
    pub target: *const c_char,
    /// Length of `target` in bytes.
    pub target_len: usize,
    /// The value of the header Accept.
    pub accept: *const c_char,
    /// Length of `accept` in bytes.
    pub accept_len: usize,
    /// Request, cause and what to do.
    pub message: *const c_char,
    /// Length of `message` in bytes.
    pub message_len: usize,
}

impl poolscope_fact_step {
    fn new(action: poolscope_fact_action) -> poolscope_fact_step {
        poolscope_fact_step {
            action,
            id: 0,
            millis: 0,
            kind: ptr::null(),
            kind_len: 0,
            target: ptr::null(),
            target_len: 0,
            accept: ptr::null(),
            accept_len: 0,
            message: ptr::null(),
            message_len: 0,
        }
    }

    fn of(mut self, kind: FactKind) -> poolscope_fact_step {
        (self.kind, self.kind_len) = view(kind.kind());
        self
    }
}

fn view(text: &str) -> (*const c_char, usize) {
    (text.as_ptr().cast(), text.len())
}

fn millis(time: Duration) -> u64 {
    // Rounded up: a wait that ends too early would be asked for again.
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// Fetches every kind of facts that the node needs. The seed decides about the random part of the
/// delays: give each process another one. Free it with poolscope_fact_sync_free().
///
/// Call poolscope_fact_sync_next() and do what it returns until it returns POOLSCOPE_FACT_WAIT.
/// Report what comes of each request with poolscope_fact_sync_head(), poolscope_fact_sync_push(),
/// poolscope_fact_sync_end() and poolscope_fact_sync_broke(), then call next again; and call it
/// when the wait is over and when facts changed. `now` is in milliseconds since any fixed moment,
/// by a clock that never goes back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_fact_sync_new(
    node: *const poolscope_node,
    seed: u64,
    sync: *mut *mut poolscope_fact_sync,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let sync = slot(sync, ptr::null_mut(), "sync")?;
            let node = borrow(node, "node")?.0.enter()?;
            sync.put(poolscope_fact_sync(Exclusive::new(Sync {
                sync: FactSync::new(node.clone(), seed),
                target: String::new(),
                message: String::new(),
            })));
            Ok(())
        })
    }
}

/// Leaves a kind to the node's client, whose own requests for it pass through streams. For `Node`
/// this is the own Node: if all Nodes are needed, they are fetched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_fact_sync_leave_to_client(
    sync: *mut poolscope_fact_sync,
    kind: *const c_char,
    kind_len: usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let mut sync = borrow(sync, "sync")?.0.enter()?;
            sync.sync.leave_to_client(fact_kind(kind, kind_len)?);
            Ok(())
        })
    }
}

/// Fetches a kind from now on although it was left to the client, if it is needed: because
/// responses wait for it, and the client reads too little.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_fact_sync_require(
    sync: *mut poolscope_fact_sync,
    kind: *const c_char,
    kind_len: usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            borrow(sync, "sync")?.0.enter()?.sync.require(fact_kind(kind, kind_len)?);
            Ok(())
        })
    }
}

/// Returns what to do next.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_fact_sync_next(
    sync: *mut poolscope_fact_sync,
    now: u64,
    step: *mut poolscope_fact_step,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let step = slot(step, poolscope_fact_step::new(POOLSCOPE_FACT_WAIT), "step")?;
            step.set(borrow(sync, "sync")?.0.enter()?.next(Duration::from_millis(now)));
            Ok(())
        })
    }
}

impl Sync {
    fn next(&mut self, now: Duration) -> poolscope_fact_step {
        match self.sync.next(now) {
            FactStep::Fetch(request) => {
                self.target = request.target;
                let mut step = poolscope_fact_step::new(POOLSCOPE_FACT_FETCH).of(request.kind);
                step.id = request.id.number();
                (step.target, step.target_len) = view(&self.target);
                (step.accept, step.accept_len) = view(request.accept);
                step
            }
            FactStep::Cancel(id) => poolscope_fact_step {
                id: id.number(),
                ..poolscope_fact_step::new(POOLSCOPE_FACT_CANCEL)
            },
            FactStep::Failed { kind, message, again_in, .. } => {
                self.message = message;
                let mut step = poolscope_fact_step::new(POOLSCOPE_FACT_FAILED).of(kind);
                step.millis = millis(again_in);
                (step.message, step.message_len) = view(&self.message);
                step
            }
            FactStep::Answered(kind) => poolscope_fact_step::new(POOLSCOPE_FACT_ANSWERED).of(kind),
            FactStep::Wait(time) => poolscope_fact_step {
                millis: time.map_or(u64::MAX, millis),
                ..poolscope_fact_step::new(POOLSCOPE_FACT_WAIT)
            },
            // A later version of the library wants something that C does not know: ask again.
            _ => poolscope_fact_step::new(POOLSCOPE_FACT_WAIT),
        }
    }
}

/// Calls `call` with the sync, the request and the time.
///
/// # Safety
/// As for [`borrow`].
unsafe fn with<T>(
    sync: *mut poolscope_fact_sync,
    id: u64,
    now: u64,
    call: impl FnOnce(&mut FactSync, FetchId, Duration) -> T,
) -> Result<T> {
    // SAFETY: as this function's.
    let mut sync = unsafe { borrow(sync, "sync")?.0.enter()? };
    Ok(call(&mut sync.sync, FetchId::from_number(id), Duration::from_millis(now)))
}

/// Takes the head of the response to request `id`. Sets `*wanted` to false if its body is not
/// wanted: drop the response.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_fact_sync_head(
    sync: *mut poolscope_fact_sync,
    id: u64,
    response: *const poolscope_response,
    now: u64,
    wanted: *mut bool,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let wanted = slot(wanted, false, "wanted")?;
            let head = response_head(response)?;
            wanted.set(with(sync, id, now, |sync, id, now| sync.head(id, &head, now))?);
            Ok(())
        })
    }
}

/// Takes the next bytes of the body. Sets `*wanted` to false if the rest is not wanted: drop the
/// response.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_fact_sync_push(
    sync: *mut poolscope_fact_sync,
    id: u64,
    data: *const u8,
    len: usize,
    now: u64,
    wanted: *mut bool,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let wanted = slot(wanted, false, "wanted")?;
            let chunk = bytes(data, len, "data")?;
            wanted.set(with(sync, id, now, |sync, id, now| sync.push(id, chunk, now))?);
            Ok(())
        })
    }
}

/// Takes the regular end of the body.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_fact_sync_end(
    sync: *mut poolscope_fact_sync,
    id: u64,
    now: u64,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe { boundary(error, || with(sync, id, now, |sync, id, now| sync.end(id, now))) }
}

/// Takes a failure: no response came, or its body broke off. `why` goes into the message of
/// POOLSCOPE_FACT_FAILED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_fact_sync_broke(
    sync: *mut poolscope_fact_sync,
    id: u64,
    why: *const c_char,
    why_len: usize,
    now: u64,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let why = text(why, why_len, "why")?;
            with(sync, id, now, |sync, id, now| sync.broke(id, why, now))
        })
    }
}

/// Frees a fact sync. Does nothing for NULL. The facts stay, and nobody keeps them up to date.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_fact_sync_free(sync: *mut poolscope_fact_sync) {
    // SAFETY: the header's contract.
    unsafe { free(sync) }
}

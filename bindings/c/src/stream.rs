//! Streams.

use std::ptr;

use super::border::{Result, Slot, answer, border, bytes, free, given, slot};
use super::failure::{poolscope_error, poolscope_status};
use super::handle::Exclusive;
use super::head::poolscope_head;
use super::text::poolscope_text;
use poolscope::{BytesMut, Error, Stream};

/// One response body being rewritten. For one thread at a time.
pub struct poolscope_stream(Exclusive<State>);

struct State {
    stream: Stream,
    /// What the last call gave out.
    out: BytesMut,
}

/// What a large object took is not kept for ever: streams are many, and most of their chunks small.
const KEEP: usize = 1 << 20;

impl poolscope_stream {
    pub(super) fn new(stream: Stream) -> poolscope_stream {
        poolscope_stream(Exclusive::new(State { stream, out: BytesMut::new() }))
    }
}

impl State {
    /// Runs a call that gives bytes out. Those from before an error go out too.
    fn give(
        &mut self,
        (out, out_len): (Slot<'_, *const u8>, Slot<'_, usize>),
        call: impl FnOnce(&mut Stream, &mut BytesMut) -> std::result::Result<(), Error>,
    ) -> Result<()> {
        if self.out.capacity() > KEEP {
            self.out = BytesMut::new();
        }
        self.out.clear();
        let result = call(&mut self.stream, &mut self.out);
        out.set(self.out.as_ptr());
        out_len.set(self.out.len());
        Ok(result?)
    }
}

/// Where what a call gives out is to be said. Both say nothing if either is NULL.
///
/// # Safety
/// As for [`slot`].
unsafe fn given_out<'a>(
    out: *mut *const u8,
    out_len: *mut usize,
) -> Result<(Slot<'a, *const u8>, Slot<'a, usize>)> {
    // SAFETY: as this function's.
    let (out, out_len) = unsafe { (slot(out, ptr::null(), "out"), slot(out_len, 0, "out_len")) };
    Ok((out?, out_len?))
}

/// Takes the next bytes of the body, cut anywhere. What is to be sent to the client comes back as
/// `*out` and `*out_len`; it is the stream's and valid until the next call on it.
///
/// An error closes the stream. There may be bytes in `*out` all the same: they end where the last
/// whole object before the fault ends. Send them, then end the response; a watch client reconnects,
/// a list client retries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_push(
    stream: *mut poolscope_stream,
    data: *const u8,
    len: usize,
    out: *mut *const u8,
    out_len: *mut usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let given_out = given_out(out, out_len)?;
            let data = bytes(data, len, "data")?;
            given(stream, "stream")?
                .0
                .enter()?
                .give(given_out, |stream, out| stream.push(data, out))
        })
    }
}

/// Gives out the events that changes of facts owe this client. Call it whenever
/// poolscope_cluster_generation() moved. What cannot be said yet (inside an event that has begun to
/// come out, before the initial events are over) is said by the push that makes it possible. `*out`
/// and errors as for poolscope_stream_push().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_refresh(
    stream: *mut poolscope_stream,
    out: *mut *const u8,
    out_len: *mut usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let given_out = given_out(out, out_len)?;
            given(stream, "stream")?.0.enter()?.give(given_out, Stream::refresh)
        })
    }
}

/// The body is over: gives out what was held back, and closes the stream. Fails with
/// POOLSCOPE_TRUNCATED if the body was cut: then the response must not look whole to the client.
/// `*out` as for poolscope_stream_push().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_finish(
    stream: *mut poolscope_stream,
    out: *mut *const u8,
    out_len: *mut usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let given_out = given_out(out, out_len)?;
            given(stream, "stream")?.0.enter()?.give(given_out, Stream::finish)
        })
    }
}

/// Whether poolscope_stream_refresh() may have something to say now. Cheap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_is_behind(stream: *mut poolscope_stream) -> bool {
    // SAFETY: the header's contract.
    unsafe { answer(false, || Ok(given(stream, "stream")?.0.enter()?.stream.is_behind())) }
}

/// Whether the stream has ended itself: it said ERROR. End the response; whatever still comes is
/// swallowed. Also true of a stream that a fault has poisoned; not of one that was closed by an
/// error, which the call that failed has said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_is_over(stream: *mut poolscope_stream) -> bool {
    // SAFETY: the header's contract.
    unsafe { answer(true, || Ok(given(stream, "stream")?.0.enter()?.stream.is_over())) }
}

/// What to list, so that the client can be told of Services that gained topology keys, as JSON: an
/// array of `{"namespace": NAME, "service": NAME, "target": WHAT TO GET}`. Empty unless the
/// configuration's `retention` is `topology`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_wanted(
    stream: *mut poolscope_stream,
    wanted: *mut *mut poolscope_text,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let wanted = slot(wanted, ptr::null_mut(), "wanted")?;
            wanted.put(poolscope_text::json(&given(stream, "stream")?.0.enter()?.stream.wanted())?);
            Ok(())
        })
    }
}

/// Takes the whole answer to a request for something wanted, asked for in the encoding of this
/// stream, and gives out the events that it makes possible. `*out` as for poolscope_stream_push().
/// An error says what is wrong with the answer, as for a list that is opened and pushed; the stream
/// goes on as if it had not come.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_supply(
    stream: *mut poolscope_stream,
    head: *mut poolscope_head,
    body: *const u8,
    body_len: usize,
    out: *mut *const u8,
    out_len: *mut usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let given_out = given_out(out, out_len)?;
            let body = bytes(body, body_len, "body")?;
            let head = given(head, "head")?.0.enter()?;
            given(stream, "stream")?
                .0
                .enter()?
                .give(given_out, |stream, out| stream.supply(&head, body, out))
        })
    }
}

/// Bytes of the body that were taken and dealt with, not counting what is held back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_taken(stream: *mut poolscope_stream) -> u64 {
    // SAFETY: the header's contract.
    unsafe { answer(0, || Ok(given(stream, "stream")?.0.enter()?.stream.taken())) }
}

/// Bytes that were given out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_given(stream: *mut poolscope_stream) -> u64 {
    // SAFETY: the header's contract.
    unsafe { answer(0, || Ok(given(stream, "stream")?.0.enter()?.stream.given())) }
}

/// Frees a stream, finished or not. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_free(stream: *mut poolscope_stream) {
    // SAFETY: the header's contract.
    unsafe { free(stream) }
}

//! Streams.

use std::ptr;

use super::boundary::{Result, Slot, borrow, boundary, bytes, free, slot, value_or};
use super::exchange::{poolscope_response, response_head};
use super::failure::{poolscope_error, poolscope_status};
use super::handle::Exclusive;
use super::text::poolscope_text;
use poolscope::{BodyRewriter, BytesMut, Error};

/// Rewrites one response body. For one thread at a time.
pub struct poolscope_stream(Exclusive<State>);

struct State {
    stream: BodyRewriter,
    /// The bytes that the last call returned.
    out: BytesMut,
}

/// A larger buffer is freed before the next call: there are many streams, and most chunks are
/// small.
const KEEP: usize = 1 << 20;

impl poolscope_stream {
    pub(super) fn new(stream: BodyRewriter) -> poolscope_stream {
        poolscope_stream(Exclusive::new(State { stream, out: BytesMut::new() }))
    }
}

impl State {
    /// Runs a call that returns bytes. Bytes from before an error are returned too.
    fn run(
        &mut self,
        (out, out_len): (Slot<'_, *const u8>, Slot<'_, usize>),
        call: impl FnOnce(&mut BodyRewriter, &mut BytesMut) -> std::result::Result<(), Error>,
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

/// The places for the bytes that a call returns. Writes NULL and 0 to both.
///
/// # Safety
/// As for [`slot`].
unsafe fn output<'a>(
    out: *mut *const u8,
    out_len: *mut usize,
) -> Result<(Slot<'a, *const u8>, Slot<'a, usize>)> {
    // SAFETY: as this function's.
    let (out, out_len) = unsafe { (slot(out, ptr::null(), "out"), slot(out_len, 0, "out_len")) };
    Ok((out?, out_len?))
}

/// Takes the next bytes of the body, split anywhere. `*out` and `*out_len` become the bytes to send
/// to the client. The stream owns them; they are valid until the next call on the stream.
///
/// An error closes the stream. `*out` may have bytes all the same, which end where the last whole
/// object before the fault ends. Send them, then end the response: a watch client reconnects and a
/// list client retries.
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
        boundary(error, || {
            let places = output(out, out_len)?;
            let data = bytes(data, len, "data")?;
            borrow(stream, "stream")?.0.enter()?.run(places, |stream, out| stream.push(data, out))
        })
    }
}

/// Returns the watch events that this client needs after facts changed. Call it whenever
/// poolscope_cluster_generation() moved. Inside an event, and before the initial events are over,
/// it returns nothing; the push that reaches the next boundary returns the events. `*out` and
/// errors are as for poolscope_stream_push().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_refresh(
    stream: *mut poolscope_stream,
    out: *mut *const u8,
    out_len: *mut usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let places = output(out, out_len)?;
            borrow(stream, "stream")?.0.enter()?.run(places, BodyRewriter::refresh)
        })
    }
}

/// Ends the body: returns the bytes that were held back, and closes the stream. Fails with
/// POOLSCOPE_ERR_TRUNCATED if the body ended inside a value: abort the response, so that it does
/// not look complete to the client. `*out` is as for poolscope_stream_push().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_finish(
    stream: *mut poolscope_stream,
    out: *mut *const u8,
    out_len: *mut usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let places = output(out, out_len)?;
            borrow(stream, "stream")?.0.enter()?.run(places, BodyRewriter::finish)
        })
    }
}

/// The state of a stream.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct poolscope_stream_state {
    /// Bytes of the body that were processed, without those held back.
    pub bytes_in: u64,
    /// Bytes that were returned.
    pub bytes_out: u64,
    /// The body is a watch. If its upstream breaks, end the response like any other: the client
    /// resumes. A list or an object must not look whole then.
    pub is_watch: bool,
    /// poolscope_stream_refresh() may return events now. Also true right after a watch resumes.
    pub needs_refresh: bool,
    /// The stream ended itself with an ERROR event, or a bug in poolscope stopped an earlier call.
    /// End the response. A stream that an error closed is not ended in this sense: the call that
    /// failed has reported the error.
    pub is_ended: bool,
}

/// Returns the state of a stream. Cheap. For NULL, and while another call uses the stream, it
/// returns zeros with `is_ended` set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_get_state(
    stream: *mut poolscope_stream,
) -> poolscope_stream_state {
    let ended = poolscope_stream_state {
        bytes_in: 0,
        bytes_out: 0,
        is_watch: false,
        needs_refresh: false,
        is_ended: true,
    };
    // SAFETY: the header's contract.
    unsafe {
        value_or(ended, || {
            let stream = &borrow(stream, "stream")?.0.enter()?.stream;
            Ok(poolscope_stream_state {
                bytes_in: stream.bytes_in(),
                bytes_out: stream.bytes_out(),
                is_watch: stream.is_watch(),
                needs_refresh: stream.needs_refresh(),
                is_ended: stream.is_ended(),
            })
        })
    }
}

/// Returns the lists that are needed to emit events for Services that gained topology keys, as
/// JSON: an array of `{"namespace": NAME, "service": NAME, "target": PATH AND QUERY TO GET}`. Empty
/// unless the setting `retention` is `topology`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_needed_lists(
    stream: *mut poolscope_stream,
    lists: *mut *mut poolscope_text,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let lists = slot(lists, ptr::null_mut(), "lists")?;
            lists.put(poolscope_text::json(
                &borrow(stream, "stream")?.0.enter()?.stream.needed_lists(),
            )?);
            Ok(())
        })
    }
}

/// Takes the whole response to a request for a needed list, in the encoding of this stream, and
/// returns the events that it makes possible. `*out` is as for poolscope_stream_push(). Fails if
/// the response cannot be read; the stream then continues as if there had been none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_provide_list(
    stream: *mut poolscope_stream,
    response: *const poolscope_response,
    body: *const u8,
    body_len: usize,
    out: *mut *const u8,
    out_len: *mut usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let places = output(out, out_len)?;
            let body = bytes(body, body_len, "body")?;
            let head = response_head(response)?;
            borrow(stream, "stream")?
                .0
                .enter()?
                .run(places, |stream, out| stream.provide_list(&head, body, out))
        })
    }
}

/// Frees a stream, finished or not. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_stream_free(stream: *mut poolscope_stream) {
    // SAFETY: the header's contract.
    unsafe { free(stream) }
}

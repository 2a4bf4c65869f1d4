//! Allocations of a body: none besides those of the core and its output.

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};
use poolscope::{BodyRewriter, Cluster, Config};
use poolscope_http::RewriteBody;
use poolscope_testkit::corpus::{json_event, open, protobuf_event, slice};
use poolscope_testkit::counting::{ALLOCATIONS, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WATCH: &str = "/apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=1";

thread_local! {
    /// The allocations before the second half of the frames.
    static HALFWAY: Cell<usize> = const { Cell::new(0) };
}

/// An upstream body that notes the allocations halfway.
struct Frames {
    chunks: VecDeque<Bytes>,
    half: usize,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.chunks.len() == self.half {
            HALFWAY.set(ALLOCATIONS.get());
        }
        Poll::Ready(self.chunks.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// Returns the allocations of the core for the last `half` of the chunks.
fn core(mut rewriter: BodyRewriter, chunks: &[Bytes], half: usize) -> usize {
    let mut runs = Vec::new();
    for (at, chunk) in chunks.iter().enumerate() {
        if chunks.len() - at == half {
            HALFWAY.set(ALLOCATIONS.get());
        }
        rewriter.push_bytes(chunk, &mut runs).unwrap();
        runs.clear();
    }
    ALLOCATIONS.get() - HALFWAY.get()
}

/// Returns the allocations of a body for the last `half` of the chunks.
fn body(rewriter: BodyRewriter, chunks: &[Bytes], half: usize) -> usize {
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    let frames = Frames { chunks: chunks.iter().cloned().collect(), half };
    let body = RewriteBody::new(&cluster, rewriter, frames);
    let (mut body, mut context) = (pin!(body), Context::from_waker(Waker::noop()));
    let mut length = 0;
    loop {
        match body.as_mut().poll_frame(&mut context) {
            Poll::Ready(Some(frame)) => length += frame.unwrap().into_data().unwrap().len(),
            Poll::Ready(None) => break,
            // The body yields after many frames without output.
            Poll::Pending => {}
        }
    }
    assert!(length > 0);
    ALLOCATIONS.get() - HALFWAY.get()
}

#[test]
fn a_body_allocates_what_the_core_does() {
    let slices: Vec<_> = (0..200).map(slice).collect();
    let encodings = [
        ("application/json", json_event as fn(&_) -> _),
        ("application/vnd.kubernetes.protobuf", protobuf_event),
    ];
    for (content_type, event) in encodings {
        let bytes = Bytes::from(slices.iter().flat_map(event).collect::<Vec<u8>>());
        for frame in [4 << 10, 16 << 10, 100_000] {
            let chunks: Vec<Bytes> =
                bytes.chunks(frame).map(|chunk| bytes.slice_ref(chunk)).collect();
            let half = chunks.len() / 2;
            let core = core(open(50, content_type, WATCH), &chunks, half);
            println!("{content_type}: {core} allocations for {half} frames of {frame} bytes");
            let body = body(open(50, content_type, WATCH), &chunks, half);
            assert_eq!(body, core, "{content_type}, frames of {frame}");
        }
    }
}

//! The share of `RewriteBody` in the rewrite of a watch: the body with frames of 16 KiB, beside the
//! core's `push_bytes` on the same chunks.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http_body::{Body, Frame};
use poolscope::{Cluster, Config};
use poolscope_http::RewriteBody;
use poolscope_testkit::corpus::{json_event, open, protobuf_event, slice};

const WATCH: &str = "/apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=999999";
const FRAME: usize = 16 << 10;

struct Frames(VecDeque<Bytes>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// Reads a body to its end and returns its length.
fn drain(body: impl Body<Data = Bytes, Error: std::fmt::Debug>) -> usize {
    let (mut body, mut context) = (pin!(body), Context::from_waker(Waker::noop()));
    let mut length = 0;
    loop {
        match body.as_mut().poll_frame(&mut context) {
            Poll::Ready(Some(frame)) => {
                length += black_box(frame.unwrap().into_data().unwrap()).len()
            }
            Poll::Ready(None) => return length,
            // The body yields after many frames without output.
            Poll::Pending => {}
        }
    }
}

fn core(content_type: &str, chunks: &[Bytes]) -> usize {
    let (mut rewriter, mut runs) = (open(50, content_type, WATCH), Vec::new());
    let mut length = 0;
    for chunk in chunks {
        rewriter.push_bytes(chunk, &mut runs).unwrap();
        for run in runs.drain(..) {
            length += black_box(run).len();
        }
    }
    length
}

fn bench(criterion: &mut Criterion) {
    let slices: Vec<_> = (0..500).map(slice).collect();
    // A watch listens for changes of this cluster, of which there are none.
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    for (content_type, name) in
        [("application/json", "json"), ("application/vnd.kubernetes.protobuf", "protobuf")]
    {
        let event = if name == "json" { json_event } else { protobuf_event };
        let bytes = Bytes::from(slices.iter().flat_map(event).collect::<Vec<u8>>());
        let chunks: Vec<Bytes> = bytes.chunks(FRAME).map(|chunk| bytes.slice_ref(chunk)).collect();
        let body = || {
            let frames = Frames(chunks.iter().cloned().collect());
            drain(RewriteBody::new(&cluster, open(50, content_type, WATCH), frames))
        };
        assert_eq!(body(), core(content_type, &chunks));
        let time = |work: &dyn Fn() -> usize| {
            // The least of many rounds: other programs on the machine only add to it.
            let rounds = (0..60).map(|_| {
                let start = Instant::now();
                black_box(work());
                start.elapsed()
            });
            rounds.min().unwrap_or(Duration::ZERO)
        };
        let (plain, whole) = (time(&|| core(content_type, &chunks)), time(&body));
        println!(
            "{name}: the body takes {:.2} of the core's time with frames of {FRAME} bytes",
            whole.as_secs_f64() / plain.as_secs_f64()
        );
        let mut group = criterion.benchmark_group(format!("{name}, frames of 16 KiB"));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("push_bytes", |bencher| bencher.iter(|| core(content_type, &chunks)));
        group.bench_function("RewriteBody", |bencher| bencher.iter(body));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(12)
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500));
    targets = bench
}
criterion_main!(benches);

//! Compares pushing through the C ABI with pushing through Rust: same events, same run.
//!
//! The C functions are called by pointers that the compiler cannot see through, as a C program
//! calls them.

use std::hint::black_box;
use std::ptr;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use poolscope::{RequestHead, ResponseHead};
use poolscope_capi::*;
use serde_json::Value;

#[path = "../tests/rust/c.rs"]
#[allow(dead_code)]
mod c;

use poolscope_testkit::corpus::{NODES, facts, json_event, node, open, protobuf_event, slice};

const EVENTS: usize = 500;
const MEMBERS: usize = 50;
const WATCH: &str = "/apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=1";

type Push = unsafe extern "C" fn(
    *mut poolscope_stream,
    *const u8,
    usize,
    *mut *const u8,
    *mut usize,
    *mut *mut poolscope_error,
) -> poolscope_status;

/// The stream that `corpus::open` opens, through C.
fn open_in_c(content_type: &str) -> c::BodyRewriter {
    let members: Vec<String> = (0..MEMBERS).map(|number| node(number * 7 % NODES)).collect();
    let cluster = c::Cluster::new("{}").unwrap();
    for (path, body) in facts(&members) {
        let mut feed = cluster
            .read_facts(
                &c::RequestHead::of(&RequestHead::get(path)),
                &c::ResponseHead::of(&ResponseHead::ok("application/json")),
            )
            .unwrap();
        feed.push(body.as_bytes()).unwrap();
        feed.finish().unwrap();
    }
    let (request, head) = (
        c::RequestHead::of(&RequestHead::get(WATCH)),
        c::ResponseHead::of(&ResponseHead::ok(content_type)),
    );
    let mut opened = cluster.node(node(0)).unwrap().open_stateless(&request, &head).unwrap();
    opened.take_stream().expect("it is rewritten")
}

fn bench(criterion: &mut Criterion) {
    let push_in_c: Push = black_box(poolscope_stream_push);
    let slices: Vec<Value> = (0..EVENTS).map(slice).collect();
    for (name, content_type, events) in [
        ("json", "application/json", slices.iter().map(json_event).collect::<Vec<_>>()),
        (
            "protobuf",
            "application/vnd.kubernetes.protobuf",
            slices.iter().map(protobuf_event).collect(),
        ),
    ] {
        let body = events.concat();
        let mut group = criterion.benchmark_group(format!("push, {name}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        for chunk in [1 << 10, 16 << 10, 64 << 10] {
            let mut stream = open(MEMBERS, content_type, WATCH);
            let mut out = BytesMut::with_capacity(1 << 20);
            group.bench_function(format!("Rust, {} KiB chunks", chunk >> 10), |bencher| {
                bencher.iter(|| {
                    for chunk in body.chunks(chunk) {
                        out.clear();
                        stream.push(black_box(chunk), &mut out).unwrap();
                        black_box(&out);
                    }
                });
            });
            let stream = open_in_c(content_type);
            group.bench_function(format!("C, {} KiB chunks", chunk >> 10), |bencher| {
                bencher.iter(|| {
                    for chunk in body.chunks(chunk) {
                        let (mut out, mut len) = (ptr::null(), 0);
                        // SAFETY: the stream lives, and so do the chunk and the two places.
                        let status = unsafe {
                            push_in_c(
                                stream.0,
                                chunk.as_ptr(),
                                chunk.len(),
                                &mut out,
                                &mut len,
                                ptr::null_mut(),
                            )
                        };
                        assert_eq!(status, poolscope_status::POOLSCOPE_OK);
                        black_box((out, len));
                    }
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);

//! What it costs to push through the C ABI rather than through Rust: same events, same run.
//!
//! The C functions are called by pointers that the compiler cannot see through, as a C program calls them.

use std::ffi::c_char;
use std::hint::black_box;
use std::ptr;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use poolscope::ffi::*;
use serde_json::Value;

#[path = "../tests/common/corpus.rs"]
mod corpus;
#[path = "../tests/common/schema.rs"]
#[allow(dead_code)]
mod schema;

use corpus::{NODES, facts, json_event, node, open, protobuf_event, slice};

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

/// Runs a call that must not fail and gives what it made.
fn made<T>(call: impl FnOnce(*mut *mut T) -> poolscope_status) -> *mut T {
    let mut handle = ptr::null_mut();
    assert_eq!(call(&mut handle), poolscope_status::POOLSCOPE_OK);
    handle
}

fn text(text: &str) -> (*const c_char, usize) {
    (text.as_ptr().cast(), text.len())
}

/// A GET request, and a 200 response of that type.
unsafe fn exchange(target: &str, content_type: &str) -> (*mut poolscope_request, *mut poolscope_head) {
    let error = ptr::null_mut();
    let ((get, get_len), (target, target_len)) = (text("GET"), text(target));
    let ((name, name_len), (value, value_len)) = (text("Content-Type"), text(content_type));
    // SAFETY: the texts live, and the handles are those just made.
    unsafe {
        let request = made(|out| poolscope_request_new(get, get_len, target, target_len, out, error));
        let head = made(|out| poolscope_head_new(200, out, error));
        assert_eq!(poolscope_head_add_header(head, name, name_len, value, value_len, error), poolscope_status::POOLSCOPE_OK);
        (request, head)
    }
}

/// The stream that `corpus::open` opens, through C. It is not freed: the process ends.
fn open_in_c(content_type: &str) -> *mut poolscope_stream {
    let error = ptr::null_mut();
    let members: Vec<String> = (0..MEMBERS).map(|number| node(number * 7 % NODES)).collect();
    let (own, config) = (node(0), "{}");
    // SAFETY: every pointer is to what lives, and no handle is freed.
    unsafe {
        let (config, config_len) = text(config);
        let cluster = made(|out| poolscope_cluster_new(config, config_len, out, error));
        for (path, body) in facts(&members) {
            let (request, head) = exchange(path, "application/json");
            let feed = made(|out| poolscope_cluster_feed(cluster, request, head, out, error));
            assert_eq!(poolscope_feed_push(feed, body.as_ptr(), body.len(), error), poolscope_status::POOLSCOPE_OK);
            assert_eq!(poolscope_feed_finish(feed, error), poolscope_status::POOLSCOPE_OK);
        }
        let (own, own_len) = text(&own);
        let node = made(|out| poolscope_cluster_node(cluster, own, own_len, out, error));
        let (request, head) = exchange(WATCH, content_type);
        let opened = made(|out| poolscope_node_open_alone(node, request, head, out, error));
        let stream = poolscope_opened_take_stream(opened);
        assert!(!stream.is_null());
        stream
    }
}

fn bench(criterion: &mut Criterion) {
    let push_in_c: Push = black_box(poolscope_stream_push);
    let slices: Vec<Value> = (0..EVENTS).map(slice).collect();
    for (name, content_type, events) in [
        ("json", "application/json", slices.iter().map(json_event).collect::<Vec<_>>()),
        ("protobuf", "application/vnd.kubernetes.protobuf", slices.iter().map(protobuf_event).collect()),
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
                        let status = unsafe { push_in_c(stream, chunk.as_ptr(), chunk.len(), &mut out, &mut len, ptr::null_mut()) };
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

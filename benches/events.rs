//! One watch event of 100 endpoints: how fast endpoints are cut out of it, against what else could be done.
//!
//! Same bytes, same run: memcpy, `serde_json::Value`, `k8s_openapi` types, prost types, and poolscope.

use std::collections::HashSet;
use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[path = "../tests/common/corpus.rs"]
mod corpus;
#[path = "../tests/common/schema.rs"]
#[allow(dead_code)]
mod schema;

use corpus::{NODES, json_event, node, open, protobuf_event, slice};

/// Together larger than any cache, so that memcpy is the memory's speed.
const EVENTS: usize = 2000;
const WATCH: &str = "/apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=1";

fn bench(criterion: &mut Criterion) {
    let slices: Vec<Value> = (0..EVENTS).map(slice).collect();
    for (name, members) in [("drop 90 %", 50), ("drop 10 %", 450)] {
        let keep: HashSet<String> = (0..members).map(|number| node(number * 7 % NODES)).collect();
        let json: Vec<Vec<u8>> = slices.iter().map(json_event).collect();
        let bytes: usize = json.iter().map(Vec::len).sum();
        println!("{} bytes of JSON an event", bytes / EVENTS);
        let mut group = criterion.benchmark_group(format!("json {name}"));
        group.throughput(Throughput::Bytes(bytes as u64));
        let mut out = BytesMut::with_capacity(1 << 20);
        let body = json.concat();
        group.bench_function("memcpy", |bencher| memcpy(bencher, &body));
        group.bench_function("serde_json::Value", |bencher| {
            bencher.iter(|| {
                each(&json, &mut out, |event, out| {
                    let mut event: Value = serde_json::from_slice(event).unwrap();
                    event["object"]["endpoints"]
                        .as_array_mut()
                        .unwrap()
                        .retain(|endpoint| keep.contains(endpoint["nodeName"].as_str().unwrap()));
                    out.extend_from_slice(&serde_json::to_vec(&event).unwrap());
                })
            });
        });
        group.bench_function("k8s-openapi", |bencher| {
            #[derive(Serialize, Deserialize)]
            struct Event {
                r#type: String,
                object: EndpointSlice,
            }
            bencher.iter(|| {
                each(&json, &mut out, |event, out| {
                    let mut event: Event = serde_json::from_slice(event).unwrap();
                    event.object.endpoints.retain(|endpoint| keep.contains(endpoint.node_name.as_deref().unwrap()));
                    out.extend_from_slice(&serde_json::to_vec(&event).unwrap());
                })
            });
        });
        for chunk in [512, 4096, 16384, usize::MAX] {
            let label = if chunk == usize::MAX { "one event".to_owned() } else { format!("{chunk} B") };
            let mut stream = open(members, "application/json", WATCH);
            group.bench_function(format!("poolscope, chunks of {label}"), |bencher| {
                bencher.iter(|| {
                    if chunk == usize::MAX {
                        each(&json, &mut out, |event, out| stream.push(event, out).unwrap());
                    } else {
                        for chunk in body.chunks(chunk) {
                            out.clear();
                            stream.push(black_box(chunk), &mut out).unwrap();
                        }
                    }
                });
            });
        }
        group.finish();

        let protobuf: Vec<Vec<u8>> = slices.iter().map(protobuf_event).collect();
        let bytes: usize = protobuf.iter().map(Vec::len).sum();
        println!("{} bytes of protobuf an event", bytes / EVENTS);
        let mut group = criterion.benchmark_group(format!("protobuf {name}"));
        group.throughput(Throughput::Bytes(bytes as u64));
        let body = protobuf.concat();
        group.bench_function("memcpy", |bencher| memcpy(bencher, &body));
        group.bench_function("prost", |bencher| {
            bencher.iter(|| {
                each(&protobuf, &mut out, |frame, out| {
                    let mut event = schema::WatchEvent::decode(&frame[4..]).unwrap();
                    let object = event.object.as_mut().unwrap();
                    let mut unknown = schema::Unknown::decode(&object.raw[4..]).unwrap();
                    let mut slice = schema::EndpointSlice::decode(&*unknown.raw).unwrap();
                    slice.endpoints.retain(|endpoint| keep.contains(endpoint.node_name.as_deref().unwrap()));
                    unknown.raw = slice.encode_to_vec();
                    object.raw.truncate(4);
                    unknown.encode(&mut object.raw).unwrap();
                    out.extend_from_slice(&(event.encoded_len() as u32).to_be_bytes());
                    event.encode(out).unwrap();
                })
            });
        });
        for chunk in [4096, 16384, usize::MAX] {
            let label = if chunk == usize::MAX { "one event".to_owned() } else { format!("{chunk} B") };
            let mut stream = open(members, "application/vnd.kubernetes.protobuf;stream=watch", WATCH);
            group.bench_function(format!("poolscope, chunks of {label}"), |bencher| {
                bencher.iter(|| {
                    if chunk == usize::MAX {
                        each(&protobuf, &mut out, |event, out| stream.push(event, out).unwrap());
                    } else {
                        for chunk in body.chunks(chunk) {
                            out.clear();
                            stream.push(black_box(chunk), &mut out).unwrap();
                        }
                    }
                });
            });
        }
        group.finish();
    }
}

/// The whole corpus from memory to memory.
fn memcpy(bencher: &mut criterion::Bencher<'_>, body: &[u8]) {
    let mut copy = vec![0; body.len()];
    bencher.iter(|| {
        copy.copy_from_slice(black_box(body));
        black_box(&copy);
    });
}

fn each(events: &[Vec<u8>], out: &mut BytesMut, mut work: impl FnMut(&[u8], &mut BytesMut)) {
    for event in events {
        out.clear();
        work(black_box(event), out);
        black_box(&*out);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(12).measurement_time(std::time::Duration::from_secs(2)).warm_up_time(std::time::Duration::from_millis(500));
    targets = bench
}
criterion_main!(benches);

//! How fast endpoints are cut, against what else could be done: the same bytes, in one run.
//!
//! Every column does the whole job: it reads events or lists, drops the endpoints of other nodes
//! and writes what is left. `src/main.rs` makes `docs/performance.md` of the results.

use std::collections::HashSet;
use std::hint::black_box;
use std::time::Duration;

use bytes::BytesMut;
use cpu_time::ThreadTime;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use k8s_openapi::List;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use prost::Message;
use serde_json::Value;

mod others;

use others::Event;
use poolscope::BodyRewriter;
use poolscope_testkit::corpus::{
    NODES, heavy, json_event, json_list, mixed, moving, node, open, protobuf_event, protobuf_list,
    remembering, slice,
};
use poolscope_testkit::schema;

/// Together larger than any cache, so that memcpy is the memory's speed.
const EVENTS: usize = 2000;
const HEAVY: usize = 6000;
const CHUNKS: [usize; 4] = [512, 4 << 10, 16 << 10, 64 << 10];
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const WATCH: &str = "/apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=1";
const LIST: &str = "/apis/discovery.k8s.io/v1/endpointslices";

/// Time that the thread was running: on a machine that others use too, the clock says how much they
/// leave.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = ThreadTime;
    type Value = Duration;

    fn start(&self) -> ThreadTime {
        ThreadTime::now()
    }

    fn end(&self, start: ThreadTime) -> Duration {
        start.elapsed()
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn events(criterion: &mut Criterion<CpuTime>) {
    let corpora: [(&str, fn(usize) -> Value, usize, usize); 4] = [
        ("drop 90 %", slice, EVENTS, 50),
        ("drop 10 %", slice, EVENTS, 450),
        ("mixed", mixed, EVENTS, 50),
        ("metadata-heavy", heavy, HEAVY, 50),
    ];
    for (name, form, count, members) in corpora {
        let keep: HashSet<String> = (0..members).map(|number| node(number * 7 % NODES)).collect();
        // Every object once, and then again with another endpoint or another readiness.
        let moving = moving(form, count);
        let same: Vec<Value> = (0..count).map(form).collect();
        let of = |event: fn(&Value) -> Vec<u8>, slices: &[Value]| -> Vec<Vec<u8>> {
            slices.iter().map(event).collect()
        };
        let (events, changes) = (of(json_event, &same), of(json_event, &moving));
        json_events(criterion, name, &events, &changes, &keep, members);
        let (events, changes) = (of(protobuf_event, &same), of(protobuf_event, &moving));
        protobuf_events(criterion, name, &events, &changes, &keep, members);
    }
}

fn json_events(
    criterion: &mut Criterion<CpuTime>,
    name: &str,
    events: &[Vec<u8>],
    changes: &[Vec<u8>],
    keep: &HashSet<String>,
    members: usize,
) {
    let body = events.concat();
    let mut group = group(criterion, &format!("json events, {name}"), body.len());
    memcpy(&mut group, &body);
    poolscope(&mut group, &body, events, changes, members, JSON);
    let ways: [(&str, fn(&mut Event<'_>, &HashSet<String>, &mut BytesMut)); 7] = [
        ("serde_json Value", others::serde_value),
        ("serde_json RawValue", others::raw_value),
        ("k8s-openapi", others::typed),
        ("sonic-rs lazy", others::sonic_lazy),
        ("simd-json", others::simd),
        ("jiter", others::jiter),
        ("sonic-rs Value", others::sonic_value),
    ];
    let mut out = BytesMut::with_capacity(1 << 20);
    let mut scratch = Vec::new();
    for (name, way) in ways {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for event in events {
                    out.clear();
                    way(
                        &mut Event { bytes: black_box(event), scratch: &mut scratch },
                        keep,
                        &mut out,
                    );
                    black_box(&out);
                }
            });
        });
    }
}

fn protobuf_events(
    criterion: &mut Criterion<CpuTime>,
    name: &str,
    events: &[Vec<u8>],
    changes: &[Vec<u8>],
    keep: &HashSet<String>,
    members: usize,
) {
    let body = events.concat();
    let mut group = group(criterion, &format!("protobuf events, {name}"), body.len());
    memcpy(&mut group, &body);
    poolscope(&mut group, &body, events, changes, members, PROTOBUF);
    let mut out = BytesMut::with_capacity(1 << 20);
    group.bench_function("prost", |bencher| {
        bencher.iter(|| {
            for frame in events {
                out.clear();
                let mut event = schema::WatchEvent::decode(&black_box(frame)[4..]).unwrap();
                let object = event.object.as_mut().unwrap();
                let mut unknown = schema::Unknown::decode(&object.raw[4..]).unwrap();
                let mut slice = schema::EndpointSlice::decode(&*unknown.raw).unwrap();
                slice
                    .endpoints
                    .retain(|endpoint| keep.contains(endpoint.node_name.as_deref().unwrap()));
                unknown.raw = slice.encode_to_vec();
                object.raw.truncate(4);
                unknown.encode(&mut object.raw).unwrap();
                out.extend_from_slice(&(event.encoded_len() as u32).to_be_bytes());
                event.encode(&mut out).unwrap();
                black_box(&out);
            }
        });
    });
}

/// Lists of 2,000 slices with 100 endpoints each.
fn lists(criterion: &mut Criterion<CpuTime>) {
    let members = 50;
    let keep: HashSet<String> = (0..members).map(|number| node(number * 7 % NODES)).collect();
    let body = json_list(EVENTS);
    let mut json = group(criterion, "json list, drop 90 %", body.len());
    memcpy(&mut json, &body);
    in_chunks(&mut json, &body, members, JSON, LIST);
    json.bench_function("serde_json Value", |bencher| {
        bencher.iter(|| {
            let mut list: Value = serde_json::from_slice(black_box(&body)).unwrap();
            for item in list["items"].as_array_mut().unwrap() {
                let endpoints = item["endpoints"].as_array_mut().unwrap();
                endpoints.retain(|endpoint| keep.contains(endpoint["nodeName"].as_str().unwrap()));
            }
            serde_json::to_vec(&list).unwrap()
        });
    });
    json.bench_function("k8s-openapi", |bencher| {
        bencher.iter(|| {
            let mut list: List<EndpointSlice> = serde_json::from_slice(black_box(&body)).unwrap();
            for item in &mut list.items {
                item.endpoints
                    .retain(|endpoint| keep.contains(endpoint.node_name.as_deref().unwrap()));
            }
            serde_json::to_vec(&list).unwrap()
        });
    });
    json.finish();
    let body = protobuf_list(EVENTS);
    let mut protobuf = group(criterion, "protobuf list, drop 90 %", body.len());
    memcpy(&mut protobuf, &body);
    in_chunks(&mut protobuf, &body, members, PROTOBUF, LIST);
    protobuf.bench_function("prost", |bencher| {
        bencher.iter(|| {
            let mut unknown = schema::Unknown::decode(&black_box(&body)[4..]).unwrap();
            let mut list = schema::List::decode(&*unknown.raw).unwrap();
            for item in &mut list.items {
                let mut slice = schema::EndpointSlice::decode(&**item).unwrap();
                slice
                    .endpoints
                    .retain(|endpoint| keep.contains(endpoint.node_name.as_deref().unwrap()));
                *item = slice.encode_to_vec();
            }
            unknown.raw = list.encode_to_vec();
            unknown.encode_to_vec()
        });
    });
}

fn group<'a>(
    criterion: &'a mut Criterion<CpuTime>,
    name: &str,
    bytes: usize,
) -> BenchmarkGroup<'a, CpuTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(bytes as u64)).sampling_mode(SamplingMode::Flat);
    group
}

/// The whole corpus from memory to memory.
fn memcpy(group: &mut BenchmarkGroup<'_, CpuTime>, body: &[u8]) {
    let mut copy = vec![0; body.len()];
    group.bench_function("memcpy", |bencher| {
        bencher.iter(|| {
            copy.copy_from_slice(black_box(body));
            black_box(&copy);
        });
    });
}

fn poolscope(
    group: &mut BenchmarkGroup<'_, CpuTime>,
    body: &[u8],
    events: &[Vec<u8>],
    changes: &[Vec<u8>],
    members: usize,
    content_type: &str,
) {
    let mut stream = open(members, content_type, WATCH);
    for chunk in CHUNKS {
        pushed(group, &format!("poolscope, {}", size(chunk)), &mut stream, body.chunks(chunk));
    }
    let whole = events.iter().map(Vec::as_slice);
    pushed(group, "poolscope, an event a chunk", &mut stream, whole);
    let mut stream = remembering(members, content_type);
    let changed = changes.concat();
    group.throughput(Throughput::Bytes(changed.len() as u64));
    pushed(group, "poolscope, 16 KiB, with state", &mut stream, changed.chunks(16 << 10));
    let whole = changes.iter().map(Vec::as_slice);
    pushed(group, "poolscope, an event a chunk, with state", &mut stream, whole);
    group.throughput(Throughput::Bytes(body.len() as u64));
}

fn pushed<'a>(
    group: &mut BenchmarkGroup<'_, CpuTime>,
    name: &str,
    stream: &mut BodyRewriter,
    chunks: impl Iterator<Item = &'a [u8]> + Clone,
) {
    let mut out = BytesMut::with_capacity(1 << 20);
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for chunk in chunks.clone() {
                out.clear();
                stream.push(black_box(chunk), &mut out).unwrap();
                black_box(&out);
            }
        });
    });
}

fn in_chunks(
    group: &mut BenchmarkGroup<'_, CpuTime>,
    body: &[u8],
    members: usize,
    content_type: &str,
    target: &str,
) {
    let mut out = BytesMut::with_capacity(1 << 20);
    for chunk in CHUNKS {
        group.bench_function(format!("poolscope, {}", size(chunk)), |bencher| {
            bencher.iter(|| {
                let mut stream = open(members, content_type, target);
                for chunk in body.chunks(chunk) {
                    out.clear();
                    stream.push(black_box(chunk), &mut out).unwrap();
                    black_box(&out);
                }
                stream.finish(&mut out).unwrap();
            });
        });
    }
}

fn size(chunk: usize) -> String {
    if chunk < 1024 { format!("{chunk} B") } else { format!("{} KiB", chunk / 1024) }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(15)
        .measurement_time(Duration::from_millis(1500))
        .warm_up_time(Duration::from_millis(500));
    targets = events, lists
}
criterion_main!(benches);

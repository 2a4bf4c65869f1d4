//! One watch event of 100 endpoints: how fast endpoints are cut out of it, against what else could be done.
//!
//! Same bytes, same run: memcpy, `serde_json::Value`, `k8s_openapi` types, prost types, and poolscope.

use std::collections::HashSet;
use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use poolscope::{Cluster, Config, Head, Opened, Request, Stream};
use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[path = "../tests/common/schema.rs"]
#[allow(dead_code)]
mod schema;

const NODES: usize = 500;
/// Together larger than any cache, so that memcpy is the memory's speed.
const EVENTS: usize = 2000;

fn node(number: usize) -> String {
    format!("edge-node-{number:04}.hangzhou.example")
}

/// The slice of an event: endpoints all over the cluster, as the endpoint slice controller writes them.
fn slice(seed: usize) -> Value {
    let endpoints: Vec<Value> = (0..100)
        .map(|at| {
            let on = (seed * 131 + at * 37 + at / 3) % NODES;
            json!({
                "addresses": [format!("10.{}.{}.{}", on % 250, at, 7)],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": node(on),
                "targetRef": {"kind": "Pod", "name": format!("checkout-frontend-7f9c6d5b8-{at:05}"), "namespace": "shop", "uid": format!("8f14e45f-ceea-467f-a9d0-{:012}", at * 7919)},
                "zone": format!("cn-hangzhou-edge-{}", on % 25),
            })
        })
        .collect();
    json!({
        "addressType": "IPv4",
        "endpoints": endpoints,
        "metadata": {
            "creationTimestamp": "2026-11-23T09:09:22Z",
            "generateName": "checkout-",
            "generation": 17,
            "labels": {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io", "kubernetes.io/service-name": "checkout"},
            "name": format!("checkout-{seed:05}"),
            "namespace": "shop",
            "ownerReferences": [{"apiVersion": "v1", "blockOwnerDeletion": true, "controller": true, "kind": "Service", "name": "checkout", "uid": "1fc0898f-ed24-47ae-ba65-131c09b19b92"}],
            "resourceVersion": format!("{}", 1000 + seed),
            "uid": format!("a4f26246-a67b-41c7-8cbe-{seed:012}"),
        },
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}

/// The event as the API server writes it: `kind`, `apiVersion`, `metadata`, `addressType`, `endpoints`, `ports`.
fn json_event(slice: &Value) -> Vec<u8> {
    let part = |key: &str| slice[key].to_string();
    format!(
        r#"{{"type":"MODIFIED","object":{{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{},"addressType":"IPv4","endpoints":{},"ports":{}}}}}"#,
        part("metadata"),
        part("endpoints"),
        part("ports")
    )
    .into_bytes()
    .into_iter()
    .chain(*b"\n")
    .collect()
}

fn record(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push(number << 3 | 2);
    let mut len = content.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(content);
}

fn protobuf_event(slice: &Value) -> Vec<u8> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let metadata = &slice["metadata"];
    let endpoint = |endpoint: &Value| {
        let target = &endpoint["targetRef"];
        let mut target_ref = Vec::new();
        record(&mut target_ref, 1, b"Pod");
        record(&mut target_ref, 2, b"shop");
        record(&mut target_ref, 3, text(&target["name"]).as_bytes());
        record(&mut target_ref, 4, text(&target["uid"]).as_bytes());
        for number in 5..=7 {
            record(&mut target_ref, number, b"");
        }
        schema::Endpoint {
            addresses: vec![text(&endpoint["addresses"][0])],
            conditions: vec![8, 1, 16, 1, 24, 0],
            target_ref: Some(target_ref),
            node_name: Some(text(&endpoint["nodeName"])),
            seven: Some(text(&endpoint["zone"]).into_bytes()),
            ..Default::default()
        }
    };
    let slice = schema::EndpointSlice {
        metadata: Some(schema::ObjectMeta {
            name: text(&metadata["name"]),
            generate_name: "checkout-".to_owned(),
            namespace: "shop".to_owned(),
            uid: text(&metadata["uid"]),
            resource_version: text(&metadata["resourceVersion"]),
            generation: 17,
            labels: serde_json::from_value(metadata["labels"].clone()).unwrap(),
            ..Default::default()
        }),
        endpoints: slice["endpoints"].as_array().unwrap().iter().map(endpoint).collect(),
        ports: vec![b"\x0a\x04http\x12\x03TCP\x18\x90\x3f".to_vec()],
        address_type: "IPv4".to_owned(),
    };
    let mut raw = b"k8s\0".to_vec();
    let mut type_meta = Vec::new();
    record(&mut type_meta, 1, b"discovery.k8s.io/v1");
    record(&mut type_meta, 2, b"EndpointSlice");
    record(&mut raw, 1, &type_meta);
    record(&mut raw, 2, &slice.encode_to_vec());
    raw.extend_from_slice(b"\x1a\x00\x22\x00");
    let mut extension = Vec::new();
    record(&mut extension, 1, &raw);
    let mut event = Vec::new();
    record(&mut event, 1, b"MODIFIED");
    record(&mut event, 2, &extension);
    let mut frame = (event.len() as u32).to_be_bytes().to_vec();
    frame.append(&mut event);
    frame
}

/// A cluster in which the pool of `edge-node-0000` has this many of the 500 nodes.
fn open(members: usize, content_type: &str) -> Stream {
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    let nodes: Vec<String> = (0..members).map(|number| node(number * 7 % NODES)).collect();
    for (path, items) in [
        ("/api/v1/services", json!([{"metadata": {"name": "checkout", "namespace": "shop", "annotations": {"openyurt.io/topologyKeys": "openyurt.io/nodepool"}}}])),
        ("/api/v1/nodes", json!([{"metadata": {"name": node(0), "labels": {"apps.openyurt.io/nodepool": "here"}}}])),
        ("/apis/apps.openyurt.io/v1beta2/nodepools", json!([{"metadata": {"name": "here"}, "status": {"nodes": nodes}}])),
    ] {
        let mut feed = cluster.feed(&Request::get(path), &Head::ok("application/json")).unwrap();
        feed.push(json!({"metadata": {}, "items": items}).to_string().as_bytes()).unwrap();
        feed.finish().unwrap();
    }
    let request = Request::get("/apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=1");
    match cluster.node(node(0)).open(&request, &Head::ok(content_type)) {
        Ok(Opened::Rewrite(stream)) => stream,
        other => panic!("{other:?}"),
    }
}

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
                    event["object"]["endpoints"].as_array_mut().unwrap().retain(|endpoint| keep.contains(endpoint["nodeName"].as_str().unwrap()));
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
            let mut stream = open(members, "application/json");
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
            let mut stream = open(members, "application/vnd.kubernetes.protobuf;stream=watch");
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

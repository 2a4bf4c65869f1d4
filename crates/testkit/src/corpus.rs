//! Large slices as the endpoint slice controller writes them, for benches and for counting
//! allocations.

use bytes::BytesMut;
use poolscope::{Action, BodyRewriter, Cluster, Config, RequestHead, ResponseHead};
use prost::Message;
use serde_json::{Value, json};

use crate::schema;

/// Nodes of the cluster that the endpoints are on.
pub const NODES: usize = 500;

pub fn node(number: usize) -> String {
    format!("edge-node-{number:04}.hangzhou.example")
}

/// The slice of an event: endpoints all over the cluster, as the endpoint slice controller writes
/// them.
pub fn slice(seed: usize) -> Value {
    let endpoints: Vec<Value> = (0..100)
        .map(|at| {
            let on = (seed * 131 + at * 37 + at / 3) % NODES;
            json!({
                "addresses": [format!("10.{}.{}.{}", on % 250, at, 7)],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": node(on),
                "targetRef": {
                    "kind": "Pod",
                    "name": format!("checkout-frontend-7f9c6d5b8-{at:05}"),
                    "namespace": "shop",
                    "uid": format!("8f14e45f-ceea-467f-a9d0-{:012}", at * 7919),
                },
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
            "labels": {
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": "checkout",
            },
            "name": format!("checkout-{seed:05}"),
            "namespace": "shop",
            "ownerReferences": [{
                "apiVersion": "v1",
                "blockOwnerDeletion": true,
                "controller": true,
                "kind": "Service",
                "name": "checkout",
                "uid": "1fc0898f-ed24-47ae-ba65-131c09b19b92",
            }],
            "resourceVersion": format!("{}", 1000 + seed),
            "uid": format!("a4f26246-a67b-41c7-8cbe-{seed:012}"),
        },
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}

/// The next version of a slice: one endpoint less, and another one not ready.
fn moved(mut slice: Value, seed: usize) -> Value {
    let endpoints = slice["endpoints"].as_array_mut().unwrap();
    endpoints.remove(seed * 7 % endpoints.len());
    let other = seed * 13 % endpoints.len();
    endpoints[other]["conditions"]["ready"] = false.into();
    slice
}

/// Slices of a form that change: the first versions of half of `count`, then the next ones.
pub fn moving(form: fn(usize) -> Value, count: usize) -> Vec<Value> {
    let next = (0..count / 2).map(|seed| moved(form(seed), seed));
    (0..count / 2).map(form).chain(next).collect()
}

/// A slice in which 9 of 100 endpoints are terminating, and 6 have no `targetRef`.
pub fn mixed(seed: usize) -> Value {
    let mut slice = slice(seed);
    for (at, endpoint) in slice["endpoints"].as_array_mut().unwrap().iter_mut().enumerate() {
        match (seed * 17 + at * 7) % 100 {
            0..9 => {
                endpoint["conditions"] =
                    json!({"ready": false, "serving": true, "terminating": true});
            }
            9..15 => drop(endpoint.as_object_mut().unwrap().remove("targetRef")),
            _ => {}
        }
    }
    slice
}

/// A slice whose endpoints never have the form of those right before them: each has a member more,
/// under one of eleven names, after all that they share.
pub fn alternating(seed: usize) -> Value {
    let mut slice = slice(seed);
    for (at, endpoint) in slice["endpoints"].as_array_mut().unwrap().iter_mut().enumerate() {
        endpoint[format!("zz{}", (seed + at * 5) % 11)] = 1.into();
    }
    slice
}

/// The slice of an event that is nearly all metadata: five endpoints, managedFields, and a
/// last-applied annotation full of escapes. About 9 kB of JSON.
pub fn heavy(seed: usize) -> Value {
    let mut slice = slice(seed);
    slice["endpoints"].as_array_mut().unwrap().truncate(5);
    let fields: serde_json::Map<String, Value> = (0..5)
        .map(|at| {
            let uid = format!(r#"k:{{"uid":"{at:08x}-24f1-4a4b-8d6e-0123456789ab"}}"#);
            (
                uid,
                json!({
                    ".": {},
                    "f:apiVersion": {},
                    "f:kind": {},
                    "f:name": {},
                    "f:uid": {},
                    "f:controller": {},
                }),
            )
        })
        .collect();
    let manager = |at: usize| {
        json!({
            "manager": format!("kube-controller-manager-{at}"),
            "operation": "Update",
            "apiVersion": "discovery.k8s.io/v1",
            "time": "2026-11-23T09:09:22Z", "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:addressType": {},
                "f:endpoints": {},
                "f:metadata": {
                    "f:labels": {".": {}, "f:kubernetes.io/service-name": {}},
                    "f:ownerReferences": fields,
                },
                "f:ports": {},
            },
        })
    };
    slice["metadata"]["managedFields"] = (0..4).map(manager).collect();
    let applied = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "endpoints": slice["endpoints"],
        "note": "a \"quoted\" word\n".repeat(20),
    });
    slice["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": applied.to_string()});
    slice
}

/// The event as the API server writes it: `kind`, `apiVersion`, `metadata`, `addressType`,
/// `endpoints`, `ports`.
pub fn json_event(slice: &Value) -> Vec<u8> {
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
    out.push((number << 3) | 2);
    let mut len = content.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(content);
}

/// One of managedFields: fieldsV1 is JSON here too.
fn managed(entry: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, key) in [(1, "manager"), (2, "operation"), (3, "apiVersion"), (6, "fieldsType")] {
        record(&mut out, number, entry[key].as_str().unwrap().as_bytes());
    }
    let mut fields = Vec::new();
    record(&mut fields, 1, entry["fieldsV1"].to_string().as_bytes());
    record(&mut out, 7, &fields);
    out
}

fn protobuf_slice(slice: &Value) -> Vec<u8> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let metadata = &slice["metadata"];
    let endpoint = |endpoint: &Value| {
        let target_ref = endpoint.get("targetRef").map(|target| {
            let mut target_ref = Vec::new();
            record(&mut target_ref, 1, b"Pod");
            record(&mut target_ref, 2, b"shop");
            record(&mut target_ref, 3, text(&target["name"]).as_bytes());
            record(&mut target_ref, 4, text(&target["uid"]).as_bytes());
            for number in 5..=7 {
                record(&mut target_ref, number, b"");
            }
            target_ref
        });
        let condition = |key: &str| u8::from(endpoint["conditions"][key] == true);
        schema::Endpoint {
            addresses: vec![text(&endpoint["addresses"][0])],
            conditions: vec![
                8,
                condition("ready"),
                16,
                condition("serving"),
                24,
                condition("terminating"),
            ],
            target_ref,
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
            annotations: serde_json::from_value(metadata["annotations"].clone())
                .unwrap_or_default(),
            managed_fields: metadata["managedFields"]
                .as_array()
                .into_iter()
                .flatten()
                .map(managed)
                .collect(),
            ..Default::default()
        }),
        endpoints: slice["endpoints"].as_array().unwrap().iter().map(endpoint).collect(),
        ports: vec![b"\x0a\x04http\x12\x03TCP\x18\x90\x3f".to_vec()],
        address_type: "IPv4".to_owned(),
    };
    slice.encode_to_vec()
}

/// `k8s\0` and runtime.Unknown around an object.
fn envelope(kind: &str, object: &[u8]) -> Vec<u8> {
    let mut type_meta = Vec::new();
    record(&mut type_meta, 1, b"discovery.k8s.io/v1");
    record(&mut type_meta, 2, kind.as_bytes());
    let mut envelope = b"k8s\0".to_vec();
    record(&mut envelope, 1, &type_meta);
    record(&mut envelope, 2, object);
    envelope.extend_from_slice(b"\x1a\x00\x22\x00");
    envelope
}

pub fn protobuf_event(slice: &Value) -> Vec<u8> {
    let mut extension = Vec::new();
    record(&mut extension, 1, &envelope("EndpointSlice", &protobuf_slice(slice)));
    let mut event = Vec::new();
    record(&mut event, 1, b"MODIFIED");
    record(&mut event, 2, &extension);
    let mut frame = (event.len() as u32).to_be_bytes().to_vec();
    frame.append(&mut event);
    frame
}

/// A list of so many slices of a hundred endpoints.
pub fn json_list(slices: usize) -> Vec<u8> {
    json_list_of((0..slices).map(slice))
}

/// A list of these slices.
pub fn json_list_of(slices: impl Iterator<Item = Value>) -> Vec<u8> {
    let items: Vec<String> = slices.map(|slice| slice.to_string()).collect();
    let head = r#"{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"999999"},"items":["#;
    format!("{head}{}]}}\n", items.join(",")).into_bytes()
}

/// The slice in protobuf.
pub fn protobuf_list(slices: usize) -> Vec<u8> {
    protobuf_list_of((0..slices).map(slice))
}

/// The slice in protobuf.
pub fn protobuf_list_of(slices: impl Iterator<Item = Value>) -> Vec<u8> {
    let mut list = Vec::new();
    record(&mut list, 1, b"\x0a\x00\x12\x06999999\x1a\x00");
    slices.for_each(|slice| record(&mut list, 2, &protobuf_slice(&slice)));
    envelope("EndpointSliceList", &list)
}

/// A slice whose endpoints are spread over `nodes` nodes so that each node is in as many slices as
/// every other.
pub fn spread(seed: usize, nodes: usize) -> Value {
    let mut slice = slice(seed);
    for (at, endpoint) in slice["endpoints"].as_array_mut().unwrap().iter_mut().enumerate() {
        endpoint["nodeName"] = node((seed + at * nodes / 100) % nodes).into();
    }
    slice
}

/// Lists that say that Service `shop/checkout` asks for the pool, and that these nodes are in the
/// pool of node 0: path, body.
pub fn facts(members: &[String]) -> [(&'static str, String); 3] {
    let list = |items: Value| json!({"metadata": {}, "items": items}).to_string();
    let annotations = json!({"openyurt.io/topologyKeys": "openyurt.io/nodepool"});
    [
        (
            "/api/v1/services",
            list(json!([{
                "metadata": {
                    "name": "checkout",
                    "namespace": "shop",
                    "annotations": annotations,
                },
            }])),
        ),
        (
            "/api/v1/nodes",
            list(json!([{
                "metadata": {"name": node(0), "labels": {"apps.openyurt.io/nodepool": "here"}},
            }])),
        ),
        (
            "/apis/apps.openyurt.io/v1beta2/nodepools",
            list(json!([{"metadata": {"name": "here"}, "status": {"nodes": members}}])),
        ),
    ]
}

/// Reads these facts into a cluster.
pub fn provide_facts(cluster: &Cluster, members: &[String]) {
    for (path, body) in facts(members) {
        let mut feed = cluster
            .read_facts(&RequestHead::get(path), &ResponseHead::ok("application/json"))
            .unwrap();
        feed.push(body.as_bytes()).unwrap();
        feed.finish().unwrap();
    }
}

/// The stream of a response for node 0, as its client's.
pub fn follow(cluster: &Cluster, content_type: &str, target: &str) -> BodyRewriter {
    match cluster.node(node(0)).open(&RequestHead::get(target), &ResponseHead::ok(content_type)) {
        Ok(Action::Rewrite(stream)) => stream,
        other => panic!("{other:?}"),
    }
}

/// The stream of a list, read to its end.
pub fn list(cluster: &Cluster, content_type: &str, target: &str, body: &[u8]) {
    let (mut stream, mut out) = (follow(cluster, content_type, target), BytesMut::new());
    for chunk in body.chunks(16_384) {
        stream.push(chunk, &mut out).unwrap();
        out.clear();
    }
    stream.finish(&mut out).unwrap();
}

/// A cluster in which the pool of `edge-node-0000` has this many of the 500 nodes.
fn cluster_with(members: usize, config: Config) -> Cluster {
    let cluster = Cluster::new(config).unwrap();
    let nodes: Vec<String> = (0..members).map(|number| node(number * 7 % NODES)).collect();
    provide_facts(&cluster, &nodes);
    cluster
}

/// A watch of its slices that keeps every original, and gives every event, new or not.
pub fn remembering(members: usize, content_type: &str) -> BodyRewriter {
    let mut config = Config::openyurt();
    config.set_suppress_unchanged(false);
    follow(
        &cluster_with(members, config),
        content_type,
        "/apis/discovery.k8s.io/v1/endpointslices?watch=true",
    )
}

/// A stream by itself, which remembers nothing.
pub fn open(members: usize, content_type: &str, target: &str) -> BodyRewriter {
    match cluster_with(members, Config::openyurt())
        .node(node(0))
        .open_stateless(&RequestHead::get(target), &ResponseHead::ok(content_type))
    {
        Ok(Action::Rewrite(stream)) => stream,
        other => panic!("{other:?}"),
    }
}

//! Annotations: what a Service asks for, in every dialect, on either wire.

use poolscope::{Cluster, Config, Head, Request};
use serde_json::json;

use super::world::Looked;

/// Every dialect, also those that this version may not have.
const CONFIGS: [&str; 5] =
    ["{}", r#"{"ladders":true}"#, r#"{"dialect":"kubeedge"}"#, r#"{"dialect":"superedge"}"#, r#"{"dialect":"poolscope"}"#];
const ANNOTATIONS: [&str; 3] = ["openyurt.io/topologyKeys", "apps.kubeedge.io/service-topology", "topologyKeys"];

/// The first byte says which dialect, and how the annotation is called; the rest is what it says.
pub fn check(input: &[u8]) -> Looked {
    let Some((&how, value)) = input.split_first() else { return Looked::Refused };
    let how = usize::from(how);
    let (config, annotation) = (CONFIGS[how % CONFIGS.len()], ANNOTATIONS[how / CONFIGS.len() % ANNOTATIONS.len()]);
    let Ok(config) = Config::from_json(config) else { return Looked::Refused };
    let value = String::from_utf8_lossy(value);
    let service = json!({"metadata": {"namespace": "shop", "name": "web", "annotations": {annotation: value}}});
    let in_json = asked(&config, "application/json", format!(r#"{{"kind":"ServiceList","items":[{service}]}}"#).as_bytes());
    let in_protobuf = asked(&config, "application/vnd.kubernetes.protobuf", &protobuf_list(annotation, &value));
    assert_eq!(in_json, in_protobuf, "one says it in JSON, and the other in protobuf");
    assert!(["any", "node", "pool", "ladder"].contains(&in_json), "{in_json}");
    match how % CONFIGS.len() {
        0 if annotation == ANNOTATIONS[0] => assert_eq!(in_json, openyurt(&value)),
        1 if annotation == ANNOTATIONS[0] => assert_eq!(in_json, word(&value)),
        0 | 1 => assert_eq!(in_json, "any", "an annotation of another dialect"),
        _ => return Looked::Refused,
    }
    Looked::Compared
}

/// What a Service asks for by OpenYurt's rules (O2 to O7).
fn openyurt(value: &str) -> &'static str {
    match value {
        "kubernetes.io/hostname" => "node",
        "openyurt.io/nodepool" | "kubernetes.io/zone" => "pool",
        _ => "any",
    }
}

/// The same where ladders are on.
pub fn word(value: &str) -> &'static str {
    let is_rung = |key: &str| key.trim() == "*" || openyurt(key.trim()) != "any";
    if !value.contains(',') {
        openyurt(value)
    } else if value.split(',').any(is_rung) {
        "ladder"
    } else {
        "any"
    }
}

fn asked(config: &Config, content_type: &str, list: &[u8]) -> &'static str {
    let cluster = Cluster::new(config.clone()).unwrap();
    let mut feed = cluster.feed(&Request::get("/api/v1/services"), &Head::ok(content_type)).unwrap();
    feed.push(list).unwrap();
    feed.finish().unwrap();
    cluster.node("node").topology_of("shop", "web").expect("the Service is known")
}

fn protobuf_list(annotation: &str, value: &str) -> Vec<u8> {
    let entry = [record(1, annotation.as_bytes()), record(2, value.as_bytes())].concat();
    let metadata = [record(1, b"web"), record(3, b"shop"), record(12, &entry)].concat();
    let list = [record(1, b""), record(2, &record(1, &metadata))].concat();
    let type_meta = [record(1, b"v1"), record(2, b"ServiceList")].concat();
    [b"k8s\0".to_vec(), record(1, &type_meta), record(2, &list)].concat()
}

fn record(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

//! Annotations: what a Service asks for, in every dialect, on either wire.

use poolscope::{Cluster, Config, RequestHead, ResponseHead};
use serde_json::{Value, json};

use super::world::Looked;

/// The topology of a value by the rules of a dialect.
type Asks = fn(&str) -> &'static str;

/// Configurations, and the annotation that each reads.
const DIALECTS: [(&str, &str, Asks); 5] = [
    ("{}", "openyurt.io/topologyKeys", openyurt),
    (r#"{"topologyFallback":true}"#, "openyurt.io/topologyKeys", word),
    (r#"{"dialect":"kubeedge"}"#, "apps.kubeedge.io/service-topology", kubeedge),
    (r#"{"dialect":"superedge"}"#, "topologyKeys", superedge),
    (r#"{"dialect":"poolscope"}"#, "poolscope.io/topology", poolscope),
];

/// The first byte says which dialect, and how the annotation is called; the rest is what it says.
pub fn check(input: &[u8]) -> Looked {
    let Some((&how, value)) = input.split_first() else { return Looked::Refused };
    let (of, called) =
        (usize::from(how) % DIALECTS.len(), usize::from(how) / DIALECTS.len() % DIALECTS.len());
    let ((config, own, asks), (_, annotation, _)) =
        (DIALECTS[of], DIALECTS[(of + called) % DIALECTS.len()]);
    let config = Config::from_json(config).unwrap();
    let value = String::from_utf8_lossy(value);
    let service = json!({
        "metadata": {"namespace": "shop", "name": "web", "annotations": {annotation: value}},
    });
    let in_json = asked(
        &config,
        "application/json",
        format!(r#"{{"kind":"ServiceList","items":[{service}]}}"#).as_bytes(),
    );
    let in_protobuf =
        asked(&config, "application/vnd.kubernetes.protobuf", &protobuf_list(annotation, &value));
    assert_eq!(in_json, in_protobuf, "one says it in JSON, and the other in protobuf");
    // An annotation of another dialect is not read.
    assert_eq!(
        in_json,
        if annotation == own { asks(&value) } else { "any" },
        "{annotation}: {value}"
    );
    Looked::Compared
}

/// The topology of a Service by OpenYurt's rules (O2 to O7).
fn openyurt(value: &str) -> &'static str {
    match value {
        "kubernetes.io/hostname" => "node",
        "openyurt.io/nodepool" | "kubernetes.io/zone" => "pool",
        _ => "any",
    }
}

/// The topology with topology fallback.
pub fn word(value: &str) -> &'static str {
    fallback(value, openyurt)
}

fn fallback(value: &str, of_word: fn(&str) -> &'static str) -> &'static str {
    let is_rung = |key: &str| key.trim() == "*" || of_word(key.trim()) != "any";
    if !value.contains(',') {
        of_word(value)
    } else if value.split(',').any(is_rung) {
        "fallback"
    } else {
        "any"
    }
}

/// K1, K5.
fn kubeedge(value: &str) -> &'static str {
    if value == "range-nodegroup" { "pool" } else { "any" }
}

/// S1, S3, S9, S10; the node's own label is the node.
fn superedge(value: &str) -> &'static str {
    let Ok(Value::Array(keys)) = serde_json::from_str(value) else { return "any" };
    if !keys.iter().all(Value::is_string) || keys.iter().any(|key| key == "*") {
        return "any";
    }
    let named = |key: &&Value| **key != "" && **key != "kubernetes.io/hostname";
    match (keys.iter().find(named), keys.iter().any(|key| key == "kubernetes.io/hostname")) {
        (Some(_), _) => "labels",
        (None, true) => "node",
        (None, false) => "any",
    }
}

fn poolscope(value: &str) -> &'static str {
    let of_word = |word: &str| match word {
        "node" => "node",
        "pool" => "pool",
        _ => "any",
    };
    fallback(value, of_word)
}

fn asked(config: &Config, content_type: &str, list: &[u8]) -> &'static str {
    let cluster = Cluster::new(config.clone()).unwrap();
    let mut feed = cluster
        .read_facts(&RequestHead::get("/api/v1/services"), &ResponseHead::ok(content_type))
        .unwrap();
    feed.push(list).unwrap();
    feed.finish().unwrap();
    cluster.node("node").topology_of("shop", "web").expect("the Service is known").name()
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

//! Writes the seeds of the corpus from the recordings: small pieces of a real API server's
//! responses.
//! `seeds FOLDER`.
//!
//! A fuzz target in form, because poolscope is built with calls into libFuzzer here; it has ended
//! before there is an input.
#![no_main]

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use poolscope_testkit::fuzzing::forms;
use poolscope_testkit::fuzzing::go::Json;
use poolscope_testkit::schema::{List, Unknown};
use prost::Message;
use serde_json::Value;

/// A piece that is larger adds no coverage and slows it down.
const LARGEST: usize = 3000;

struct Corpus(PathBuf);

impl Corpus {
    fn put(&self, target: &str, how: u8, body: &[u8]) {
        if body.len() > LARGEST {
            return;
        }
        let input = match target {
            "request" | "route" | "json_forms" => body.to_vec(),
            "keys" => [&[how], body].concat(),
            _ => [&[how, how.wrapping_mul(77)], body].concat(),
        };
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let folder = self.0.join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("seed-{:016x}", hasher.finish())), input).unwrap();
    }
}

libfuzzer_sys::fuzz_target!(init: write(), |_input: &[u8]| {});

fn write() {
    let corpus = Corpus(std::env::args_os().nth(1).expect("the folder to write to").into());
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/recorded");
    for (folder, form) in [("get", 0), ("list", 1), ("watch", 2), ("watchlist", 2)] {
        let mut files: Vec<_> = fs::read_dir(recorded.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for meta in files.iter().filter(|file| file.to_string_lossy().ends_with(".meta.json")) {
            let said: Value = serde_json::from_slice(&fs::read(meta).unwrap()).unwrap();
            request(&corpus, &said);
            let stem = meta.to_str().unwrap().strip_suffix(".meta.json").unwrap();
            for (suffix, protobuf) in [("json", false), ("pb", true)] {
                if let Ok(body) = fs::read(format!("{stem}.{suffix}")) {
                    let pieces = pieces(&body, form, protobuf);
                    pieces.iter().for_each(|piece| {
                        seed(&corpus, said["path"].as_str().unwrap(), form, protobuf, piece)
                    });
                }
            }
        }
    }
    for value in [
        "kubernetes.io/hostname",
        "openyurt.io/nodepool",
        "kubernetes.io/zone",
        "kubernetes.io/hostname,openyurt.io/nodepool,*",
        "range-nodegroup",
        r#"["zone"]"#,
        r#"["kubernetes.io/hostname","rack",""]"#,
        "node,pool,*",
    ] {
        (0..20).for_each(|how| corpus.put("keys", how, value.as_bytes()));
    }
    for (form, object) in [
        r#"{"metadata":{"name":"lb","annotations":{"svc.openyurt.io/discard":"true"}},"spec":{"type":"LoadBalancer"}}"#,
        r#"{"metadata":{"name":"np","annotations":{"nodeport.openyurt.io/listen":"-sh,*"}},"spec":{"type":"NodePort"}}"#,
        r#"{"metadata":{"name":"np","annotations":{"nodeport.openyurt.io/listen":"hz"}},"spec":{"type":"NodePort"}}"#,
        r#"{"metadata":{"namespace":"kube-system","name":"x-tunnel-server-internal-svc"}}"#,
    ]
    .iter()
    .flat_map(|object| (0..3).map(move |form| (form, object)))
    {
        let body = match form {
            0 => object.to_string(),
            1 => format!(r#"{{"kind":"ServiceList","items":[{object},{{"metadata":{{"name":"plain"}}}},{object}]}}"#),
            _ => ["ADDED", "MODIFIED", "DELETED"]
                .map(|event| format!(r#"{{"type":"{event}","object":{object}}}"#))
                .join("\n"),
        };
        (0..3).for_each(|node| corpus.put("services", node + 3 * form, body.as_bytes()));
    }
    for input in forms::seeds() {
        corpus.put("json_forms", 0, &input);
    }
    for seed in 0..24u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .take(400)
        .collect();
        corpus.put("life", seed as u8, &bytes);
        corpus.put("objects_json", seed as u8, &bytes[..200]);
        corpus.put("objects_protobuf", seed as u8, &bytes[..200]);
        let read = [
            0, 7, 0, 0, 0, 1, 0, 0, 8, 3, 0, 11, 3, 0, 15, 0, 8, 4, 0, 11, 4, 1, 2, 9, 0, 4, 9, 0,
            14, 1,
        ];
        corpus.put("abi", 0, &[&read, &bytes[..60]].concat());
    }
    std::process::exit(0);
}

/// The request as its target takes it.
fn request(corpus: &Corpus, said: &Value) {
    let mut text =
        format!("{}\n{}", said["method"].as_str().unwrap(), said["path"].as_str().unwrap());
    for (name, value) in said["requestHeaders"].as_object().into_iter().flatten() {
        text += &format!("\n{name}: {}", value.as_str().unwrap_or_default());
    }
    corpus.put("request", 0, text.as_bytes());
    corpus.put("route", 0, text.as_bytes());
}

fn seed(corpus: &Corpus, path: &str, form: usize, protobuf: bool, piece: &[u8]) {
    let encoding = if protobuf { "protobuf" } else { "json" };
    let target = format!("{encoding}_{}", ["get", "list", "watch"][form]);
    for (at, plural) in
        ["endpointslices", "v1beta1/endpointslices", "/endpoints"].iter().enumerate()
    {
        if path.contains(plural) {
            // Every node, and every configuration.
            (0..4).for_each(|node| corpus.put(&target, (node + 4 * at + 12 * node) as u8, piece));
        }
    }
    for (at, plural) in
        ["services", "nodes", "nodepools", "nodebuckets", "ciliumnodes"].iter().enumerate()
    {
        if path.contains(&format!("/{plural}")) {
            corpus.put("facts", (at + 5 * (form + 3 * usize::from(protobuf))) as u8, piece);
        }
    }
    if path.contains("/services") {
        (0..3).for_each(|node| {
            corpus.put("services", (node + 3 * (form + 3 * usize::from(protobuf))) as u8, piece)
        });
    }
}

/// A body in pieces that are bodies themselves: a list with one or two of its items, single events.
fn pieces(body: &[u8], form: usize, protobuf: bool) -> Vec<Vec<u8>> {
    match (form, protobuf) {
        (0, true) => vec![body.to_vec()],
        (0, false) => {
            Json::values(body).into_iter().flatten().map(|object| text(&small(object))).collect()
        }
        (1, false) => {
            let Ok([Json::Object(list)]) = Json::values(body)
                .as_deref()
                .map(|values| <&[Json; 1]>::try_from(values).cloned().unwrap_or([Json::Null]))
            else {
                return Vec::new();
            };
            let items = list
                .iter()
                .find(|(key, _)| key == "items")
                .map(|(_, items)| items.elements().unwrap_or_default().to_vec());
            items
                .unwrap_or_default()
                .chunks(2)
                .map(|chunk| {
                    let with = |(key, value): &(String, Json)| {
                        let value = if key == "items" {
                            Json::Array(chunk.iter().cloned().map(small).collect())
                        } else {
                            value.clone()
                        };
                        (key.clone(), value)
                    };
                    text(&Json::Object(list.iter().map(with).collect()))
                })
                .collect()
        }
        (1, true) => {
            let Some(Ok(unknown)) = body.strip_prefix(b"k8s\0").map(Unknown::decode) else {
                return Vec::new();
            };
            let Ok(list) = List::decode(&*unknown.raw) else { return Vec::new() };
            list.items
                .chunks(2)
                .map(|items| {
                    let list = List { items: items.to_vec(), metadata: list.metadata.clone() };
                    let unknown = Unknown { raw: list.encode_to_vec(), ..unknown.clone() };
                    [b"k8s\0".to_vec(), unknown.encode_to_vec()].concat()
                })
                .collect()
        }
        (_, false) => {
            Json::values(body).into_iter().flatten().map(|event| text(&small(event))).collect()
        }
        (_, true) => {
            let (mut frames, mut rest) = (Vec::new(), body);
            while let Some((len, _)) = rest.split_first_chunk::<4>() {
                let Some((frame, after)) =
                    rest.split_at_checked(4 + u32::from_be_bytes(*len) as usize)
                else {
                    break;
                };
                frames.push(frame.to_vec());
                rest = after;
            }
            frames
        }
    }
}

/// The object with at most three endpoints, and without managedFields.
fn small(value: Json) -> Json {
    match value {
        Json::Object(members) => {
            let plain = |key: &str| !matches!(key, "managedFields" | "ownerReferences" | "uid");
            Json::Object(
                members
                    .into_iter()
                    .filter(|(key, _)| plain(key))
                    .map(|(key, value)| (key, small(value)))
                    .collect(),
            )
        }
        Json::Array(elements) => Json::Array(elements.into_iter().take(3).map(small).collect()),
        other => other,
    }
}

fn text(value: &Json) -> Vec<u8> {
    let quoted = |text: &str| Value::from(text).to_string();
    let joined = |parts: Vec<Vec<u8>>| parts.join(&b","[..]);
    match value {
        Json::Null => b"null".to_vec(),
        Json::Bool(truth) => truth.to_string().into_bytes(),
        Json::Number(number) => number.to_string().into_bytes(),
        Json::Text(words) => quoted(words).into_bytes(),
        Json::Array(elements) => {
            [b"[".to_vec(), joined(elements.iter().map(text).collect()), b"]".to_vec()].concat()
        }
        Json::Object(members) => {
            let member = |(key, value): &(String, Json)| {
                [quoted(key).into_bytes(), b":".to_vec(), text(value)].concat()
            };
            [b"{".to_vec(), joined(members.iter().map(member).collect()), b"}".to_vec()].concat()
        }
    }
}

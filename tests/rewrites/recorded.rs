//! The recordings with every rewrite on, through every chunking, against a naive filter over JSON
//! trees.

use poolscope::{Cluster, Config, ProtobufLists};
use serde_json::Value;

use super::told;
use super::world::{DISCARD, Encoding, LISTEN, everything};
use poolscope_testkit::{NODES, Recording, cluster_with, random_chunks, run};

/// The rules as a naive reader applies them.
fn hides(service: &Value, pool: Option<&str>) -> bool {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (metadata, r#type) =
        (&service["metadata"], text(&service["spec"]["type"]).unwrap_or_default());
    let annotation = |key: &str| text(&metadata["annotations"][key]);
    if r#type == "LoadBalancer" && annotation(DISCARD).as_deref() == Some("true")
        || metadata["name"] == "x-tunnel-server-internal-svc"
    {
        return true;
    }
    let (Some(listen), Some(pool)) = (annotation(LISTEN), pool) else { return false };
    if r#type != "NodePort" && r#type != "LoadBalancer" {
        return false;
    }
    for entry in listen.split(',').map(str::trim) {
        if entry == pool {
            return false;
        }
        if entry.strip_prefix('-') == Some(pool) {
            return true;
        }
    }
    !listen.split(',').any(|entry| entry.trim() == "*")
}

fn pool_of(node: &str) -> Option<&'static str> {
    // hz-edge-9 is not there yet, and sh-edge-4 has not moved.
    match node {
        "hz-edge-9" | "nobody" | "cloud-master-0" => None,
        node if node.starts_with("hz") => Some("hangzhou"),
        node if node.starts_with("sh") => Some("shanghai"),
        _ => Some("beijing"),
    }
}

fn known(lists: ProtobufLists) -> Cluster {
    let mut config: Config = everything();
    config.set_protobuf_lists(lists);
    cluster_with("list", config)
}

fn recordings() -> Vec<Recording> {
    recordings_of("/services")
}

/// The answers of the API server about a kind that can be read.
fn recordings_of(path: &str) -> Vec<Recording> {
    let all = Recording::all().into_iter();
    let ours = all.filter(|recording| {
        recording.request.target.contains(path)
            && recording.head.status == 200
            && recording.request.method == "GET"
    });
    let read = |recording: &Recording| {
        let header = |name: &str| {
            recording
                .head
                .headers
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
        };
        let media = header("content-type").unwrap_or_default();
        let plain = ["application/json", "application/vnd.kubernetes.protobuf"]
            .iter()
            .any(|known| media.starts_with(known));
        plain && header("content-encoding").is_none()
    };
    // Tables and metadata alone have nothing that the rules are about.
    let whole = |body: &[u8]| {
        ![&b"PartialObjectMetadata"[..], b"Table"]
            .iter()
            .any(|kind| body.windows(kind.len()).any(|window| window == *kind))
    };
    ours.filter(read).filter(|recording| whole(&recording.body)).collect()
}

fn lines(recording: &Recording, body: &[u8]) -> Vec<String> {
    let encoding = if recording.is_protobuf() { Encoding::Protobuf } else { Encoding::Json };
    let list = body.windows(11).any(|window| window == b"ServiceList" || window == b"ntSliceList");
    match () {
        () if recording.is_watch() => told::events(encoding, body),
        () if list => told::list(encoding, body),
        () => vec![told::single(encoding, body)],
    }
}

/// The JSON of every object of a recording, with its event's type.
fn objects(recording: &Recording) -> Vec<(String, Value)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if recording.is_watch() {
        let events = serde_json::Deserializer::from_slice(&recording.body)
            .into_iter::<Value>()
            .map(Result::unwrap);
        return events.map(|event| (text(&event["type"]), event["object"].clone())).collect();
    }
    let whole: Value = serde_json::from_slice(&recording.body).unwrap();
    match whole["items"].as_array() {
        Some(items) => items.iter().map(|item| (String::new(), item.clone())).collect(),
        None => vec![(String::new(), whole)],
    }
}

/// The expected objects of a client, from those without poolscope.
fn expected(recording: &Recording, node: &str) -> Vec<String> {
    // The protobuf twin of a recording carries the same objects.
    let twin = match recording.name.strip_suffix("-proto.pb") {
        Some(stem) => Recording::load(&format!("{stem}-json.json")),
        None => recording.clone(),
    };
    let plain = lines(&twin, &twin.body);
    let judged = objects(&twin).into_iter().zip(plain).filter_map(|((event, object), line)| {
        let hidden = hides(&object, pool_of(node)) && !matches!(&*event, "BOOKMARK" | "ERROR");
        let kubernetes = object["metadata"]["name"] == "kubernetes"
            && object["metadata"]["namespace"] == "default";
        match &*event {
            _ if kubernetes => {
                Some(line.replace("10.96.0.1", "169.254.2.1").replace("https=443", "https=10268"))
            }
            "ADDED" if hidden => None,
            "MODIFIED" if hidden => Some(line.replacen("MODIFIED", "DELETED", 1)),
            "" if hidden && plain_is_single(&twin) => Some(format!(
                r#"Status 404 NotFound services "{}" not found"#,
                object["metadata"]["name"].as_str().unwrap()
            )),
            "" if hidden => None,
            _ => Some(line),
        }
    });
    judged.collect()
}

fn plain_is_single(recording: &Recording) -> bool {
    !recording.is_watch() && !recording.body.windows(11).any(|window| window == b"ServiceList")
}

#[test]
fn every_recorded_service_is_shown_or_hidden_as_a_naive_filter_says() {
    let (mut compared, mut hidden, mut files) = (0, 0, 0);
    for recording in recordings() {
        files += 1;
        let names = NODES.into_iter().filter(|node| *node != "sh-edge-4");
        for node in names {
            let wanted = expected(&recording, node);
            for lists in [ProtobufLists::Padded, ProtobufLists::Compact] {
                let cluster = known(lists);
                let told = lines(&recording, &recording.filter(&cluster.node(node)));
                assert_eq!(told, wanted, "{} for {node} {lists:?}", recording.name);
                hidden += cluster.counters().services_filtered_out;
                compared += told.len();
            }
        }
    }
    println!("{files} recordings, {compared} Services and events compared, {hidden} hidden");
    assert!(files >= 20 && compared > 5000 && hidden > 900, "{files} {compared} {hidden}");
}

#[test]
fn every_recording_comes_out_the_same_through_every_chunking() {
    let mut runs = 0;
    for recording in recordings().into_iter().chain(recordings_of("/endpointslices")) {
        for lists in [ProtobufLists::Padded, ProtobufLists::Compact] {
            let cluster = known(lists);
            let node = cluster.node("hz-edge-1");
            let whole = recording.filter(&node);
            let len = recording.body.len();
            let sizes: Vec<usize> =
                if len < 40_000 { vec![1, 2, 3, 7, 64, 1000, 4096] } else { vec![97, 512, 16_384] };
            for size in sizes {
                assert_eq!(
                    run(recording.open(&node), &recording.body, std::iter::repeat(size)).unwrap(),
                    whole,
                    "{} by {size}",
                    recording.name
                );
                runs += 1;
            }
            for seed in 0..if len < 40_000 { 10 } else { 2 } {
                assert_eq!(
                    run(recording.open(&node), &recording.body, random_chunks(seed, 700)).unwrap(),
                    whole,
                    "{} seed {seed}",
                    recording.name
                );
                runs += 1;
            }
        }
    }
    println!("{runs} runs");
    assert!(runs > 500);
}

#[test]
fn what_no_rule_is_about_passes_byte_for_byte() {
    for recording in recordings() {
        let mut config = everything();
        config.set_master_service(None);
        config.set_discard_cloud_service(false);
        let node = "cloud-master-0";
        // In no pool, so that every node port is shown (N2).
        assert_eq!(
            recording.filter(&cluster_with("list", config).node(node)),
            recording.body,
            "{}",
            recording.name
        );
    }
}

#[test]
fn the_recorded_kubernetes_slice_leads_to_the_hub_and_no_other_does() {
    let mut seen = 0;
    for recording in recordings_of("/endpointslices")
        .into_iter()
        .filter(|recording| recording.request.target.contains("/v1/"))
    {
        let (with, mut without) = (known(ProtobufLists::Padded), everything());
        without.set_forward_kubernetes_service(None);
        let before = recording.filter(&cluster_with("list", without).node("hz-edge-1"));
        let (before, after) = (
            lines(&recording, &before),
            lines(&recording, &recording.filter(&with.node("hz-edge-1"))),
        );
        for (before, after) in before.iter().zip(&after) {
            if before.contains("default/kubernetes@") {
                let name = after.split(' ').find(|word| word.contains('@')).unwrap();
                assert!(
                    after.ends_with(&format!("{name} 169.254.2.1 https=10268")),
                    "{}: {after}",
                    recording.name
                );
                seen += 1;
            } else {
                assert_eq!(before, after, "{}", recording.name);
            }
        }
        assert_eq!(before.len(), after.len());
    }
    assert!(seen >= 10, "{seen}");
}

#[test]
fn broken_bodies_are_errors_or_pass_and_never_more_than_that() {
    let names = ["service", "kubernetes-service", "kubernetes-slice"];
    let bodies = names
        .into_iter()
        .flat_map(|name| [format!("get/{name}-json.json"), format!("get/{name}-proto.pb")]);
    let (mut refused, mut passed) = (0, 0);
    for recording in bodies.map(|name| Recording::load(&name)) {
        let cluster = known(ProtobufLists::Padded);
        let node = cluster.node("hz-edge-1");
        let mut random = random_chunks(recording.body.len() as u64, usize::MAX);
        let mut random = move |below: usize| random.next().unwrap() % below;
        for at in 0..3000 {
            let mut body = recording.body.clone();
            for _ in 0..1 + at % 3 {
                let place = random(body.len());
                match random(4) {
                    0 => body.truncate(place.max(1)),
                    1 => body[place] = random(256) as u8,
                    2 => drop(body.remove(place)),
                    _ => body.insert(place, b"{}[]:,0 n\\"[random(10)]),
                }
            }
            match run(recording.open(&node), &body, std::iter::repeat(64)) {
                Ok(_) => passed += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 1000 && passed > 1000, "{refused} {passed}");
}

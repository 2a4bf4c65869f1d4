//! One Cluster, many threads: facts come in on some, streams go through on others, in every order
//! that shuttle thinks of.
//!
//! Safe code has no data races; what it may have is an update that is lost between two locks, a
//! generation that runs ahead of what it stands for, and two threads that wait for each other.
//! Built with `--cfg shuttle` only: `make shuttle`.
#![cfg(all(test, shuttle))]

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use poolscope::{
    Action, BodyRewriter, Clients, Cluster, Config, NodeView, ReplyCause, RequestHead, ResponseHead,
};
use poolscope_testkit::small::{self, small_cluster};
use serde_json::{Value, json};
use shuttle::thread;

const LIST: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const NODES: [&str; 3] = ["me", "friend", "other"];
const SERVICES: [&str; 3] = ["any", "node", "pool"];

/// Random orders, and such as are unlike those before at a few decisive places.
fn in_any_order(run: impl Fn() + Send + Sync + Clone + 'static) {
    let times = std::env::var("POOLSCOPE_ORDERS")
        .map_or(2000, |times| times.parse().expect("POOLSCOPE_ORDERS is a number"));
    shuttle::check_random(run.clone(), times);
    shuttle::check_pct(run, times, 3);
}

fn slice(service: &str, version: usize) -> Value {
    let endpoints: Vec<Value> = NODES
        .iter()
        .map(|node| json!({ "addresses": [format!("10.0.0.{version}")], "nodeName": node }))
        .collect();
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "namespace": "shop",
            "name": format!("{service}-1"),
            "resourceVersion": version.to_string(),
            "labels": { "kubernetes.io/service-name": service },
        },
        "endpoints": endpoints,
    })
}

fn list(version: usize) -> Vec<u8> {
    let items: Vec<Value> = SERVICES.iter().map(|service| slice(service, version)).collect();
    let head = json!({
        "kind": "EndpointSliceList",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": { "resourceVersion": version.to_string() },
        "items": items,
    });
    head.to_string().into_bytes()
}

fn event(object: Value) -> Vec<u8> {
    format!("{}\n", json!({ "type": "MODIFIED", "object": object })).into_bytes()
}

fn view(cluster: &Cluster) -> NodeView {
    cluster.node("me").client("edge-proxy")
}

fn open(cluster: &Cluster, target: &str) -> Option<BodyRewriter> {
    match view(cluster).open(&RequestHead::get(target), &ResponseHead::ok("application/json")) {
        Ok(Action::Rewrite(stream)) => Some(stream),
        Ok(Action::Reply(reply)) if reply.cause == ReplyCause::UnknownResourceVersion => None,
        other => panic!("{other:?}"),
    }
}

/// The objects of a client: slice -> nodes of its endpoints.
type Held = BTreeMap<String, BTreeSet<String>>;

fn note(held: &mut Held, object: &Value) {
    let nodes = object["endpoints"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|endpoint| endpoint["nodeName"].as_str().unwrap().to_owned());
    held.insert(object["metadata"]["name"].as_str().unwrap().to_owned(), nodes.collect());
}

fn read_list(body: &[u8]) -> Held {
    let list: Value = serde_json::from_slice(body).unwrap();
    let mut held = Held::new();
    list["items"].as_array().unwrap().iter().for_each(|item| note(&mut held, item));
    held
}

/// The events that came; false after an ERROR.
fn read_events(held: &mut Held, out: &mut BytesMut) -> bool {
    let came = out.split();
    for line in came[..].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Value = serde_json::from_slice(line).unwrap();
        match event["type"].as_str().unwrap() {
            "BOOKMARK" => {}
            "ERROR" => return false,
            _ => note(held, &event["object"]),
        }
    }
    true
}

/// The objects that the node should have by the present facts.
fn wanted(cluster: &Cluster) -> Held {
    let node = view(cluster);
    let kept = |service: &str| {
        NODES
            .iter()
            .filter(|on| node.judge("shop", Some(service), Some(on)).keeps())
            .map(|on| (*on).to_owned())
            .collect()
    };
    SERVICES.iter().map(|service| (format!("{service}-1"), kept(service))).collect()
}

fn listed(cluster: &Cluster, version: usize) -> Held {
    let (mut stream, mut out) = (open(cluster, LIST).unwrap(), BytesMut::new());
    stream.push(&list(version), &mut out).unwrap();
    stream.finish(&mut out).unwrap();
    read_list(&out)
}

/// The pool loses and gains members, a Service changes what it asks for, and the ConfigMap who gets
/// what.
fn change_facts(cluster: &Cluster, which: usize) {
    let (target, objects) = match which {
        0 => {
            let pool = |nodes: &[&str], version: &str| {
                json!({
                    "metadata": { "name": "hz", "resourceVersion": version },
                    "status": { "nodes": nodes },
                })
            };
            let objects = vec![pool(&["me"], "121"), pool(&["me", "other"], "122")];
            ("/apis/apps.openyurt.io/v1beta2/nodepools?watch=true&resourceVersion=100", objects)
        }
        1 => {
            let service = |name: &str, keys: Option<&str>, version: &str| {
                json!({
                    "metadata": {
                        "namespace": "shop",
                        "name": name,
                        "resourceVersion": version,
                        "annotations": { "openyurt.io/topologyKeys": keys },
                    },
                })
            };
            let objects = vec![
                service("any", Some("openyurt.io/nodepool"), "121"),
                service("node", None, "122"),
            ];
            ("/api/v1/services?watch=true&resourceVersion=100", objects)
        }
        _ => {
            let granted = |data: Value, version: &str| {
                json!({
                    "metadata": {
                        "namespace": "kube-system",
                        "name": "yurt-hub-cfg",
                        "resourceVersion": version,
                    },
                    "data": data,
                })
            };
            let objects = vec![
                granted(json!({}), "121"),
                granted(json!({ "servicetopology": "edge-proxy" }), "122"),
            ];
            (
                "/api/v1/namespaces/kube-system/configmaps?watch=true&resourceVersion=100&\
                 fieldSelector=metadata.name%3Dyurt-hub-cfg",
                objects,
            )
        }
    };
    let mut feed = cluster
        .read_facts(&RequestHead::get(target), &ResponseHead::ok("application/json"))
        .unwrap();
    for object in objects {
        let before = cluster.generation();
        feed.push(&event(object)).unwrap();
        assert!(cluster.generation() > before, "a change of facts raises the generation");
    }
}

/// Follows a watch: upstream events, refreshes whenever the generation moves, and at the end
/// everything that is pending.
fn watch(
    cluster: &Cluster,
    mut stream: BodyRewriter,
    held: &mut Held,
    versions: std::ops::Range<usize>,
) -> bool {
    let mut out = BytesMut::new();
    let mut generation = 0;
    for version in versions {
        stream.push(&event(slice(SERVICES[version % 3], version)), &mut out).unwrap();
        if cluster.generation() != generation {
            generation = cluster.generation();
            stream.refresh(&mut out).unwrap();
        }
        if !read_events(held, &mut out) {
            return false;
        }
    }
    loop {
        let before = cluster.generation();
        stream.refresh(&mut out).unwrap();
        if !read_events(held, &mut out) {
            return false;
        }
        let wanted = wanted(cluster);
        // Nothing has changed meanwhile, so that the client was told of all there is.
        if cluster.generation() == before {
            assert_eq!(*held, wanted, "at generation {before}");
            assert!(!stream.needs_refresh() || cluster.generation() != before);
            return true;
        }
    }
}

#[test]
fn no_change_of_facts_is_lost_to_a_stream() {
    in_any_order(|| {
        let cluster = small_cluster(Config::openyurt());
        let mut held = listed(&cluster, 200);
        let stream = open(&cluster, &format!("{LIST}?watch=true&resourceVersion=200"))
            .expect("its past is known");
        let teachers: Vec<_> = (0..2)
            .map(|which| {
                let cluster = cluster.clone();
                thread::spawn(move || change_facts(&cluster, which))
            })
            .collect();
        let client = {
            let cluster = cluster.clone();
            thread::spawn(move || {
                assert!(
                    watch(&cluster, stream, &mut held, 201..204),
                    "originals are kept, so nothing expires"
                );
                held
            })
        };
        teachers.into_iter().for_each(|teacher| teacher.join().unwrap());
        let held = client.join().unwrap();
        // Changes after the client's refresh are pending for its next watch.
        let generation = cluster.generation();
        let stream = open(&cluster, &format!("{LIST}?watch=true&resourceVersion=203"))
            .expect("its past is known");
        let mut held = held;
        assert!(watch(&cluster, stream, &mut held, 0..0));
        assert_eq!(cluster.generation(), generation);
        assert_eq!(held, wanted(&cluster));
    });
}

#[test]
fn who_gets_what_is_no_older_than_what_was_looked_at() {
    in_any_order(|| {
        let mut config = Config::openyurt();
        config.set_clients(Clients::YurtHub);
        let cluster = small_cluster(config);
        let granted = json!({
            "metadata": {
                "namespace": "kube-system",
                "name": "yurt-hub-cfg",
                "resourceVersion": "1",
            },
            "data": { "servicetopology": "edge-proxy" },
        });
        small::feed(
            &cluster,
            "/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3Dyurt-hub-cfg",
            "ConfigMap",
            &[granted],
        );
        let mut held = listed(&cluster, 200);
        let stream = open(&cluster, &format!("{LIST}?watch=true&resourceVersion=200"))
            .expect("its past is known");
        let teacher = {
            let cluster = cluster.clone();
            thread::spawn(move || change_facts(&cluster, 2))
        };
        assert!(watch(&cluster, stream, &mut held, 201..202));
        teacher.join().unwrap();
    });
}

#[test]
fn clients_of_one_node_do_not_take_each_others_past() {
    in_any_order(|| {
        let cluster = small_cluster(Config::openyurt());
        let teacher = {
            let cluster = cluster.clone();
            thread::spawn(move || change_facts(&cluster, 0))
        };
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let cluster = cluster.clone();
                thread::spawn(move || {
                    // Both list at the same version, so that their client states stand side by side
                    // on the session store.
                    let mut held = listed(&cluster, 200);
                    if let Some(stream) =
                        open(&cluster, &format!("{LIST}?watch=true&resourceVersion=200"))
                    {
                        watch(&cluster, stream, &mut held, 201..202);
                    }
                })
            })
            .collect();
        teacher.join().unwrap();
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}

#[test]
fn a_generation_never_runs_ahead_of_what_changed() {
    in_any_order(|| {
        let cluster = small_cluster(Config::openyurt());
        let from = cluster.generation();
        let teachers: Vec<_> = (0..2)
            .map(|which| {
                let cluster = cluster.clone();
                thread::spawn(move || change_facts(&cluster, which))
            })
            .collect();
        let mut last = from;
        for _ in 0..3 {
            let generation = cluster.generation();
            assert!(generation >= last, "it only grows");
            last = generation;
            let changes = cluster.changes_since(from).expect("few changes");
            assert!(
                changes.is_empty() == (generation == from)
                    || changes.len() as u64 >= generation - from
            );
            drop((cluster.counters(), cluster.missing("me"), cluster.node("me").pool()));
        }
        teachers.into_iter().for_each(|teacher| teacher.join().unwrap());
    });
}

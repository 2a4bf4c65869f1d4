//! One cluster, many threads: what each of their clients holds in the end is what Rust gives where
//! nothing else happens.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use poolscope::{Action, NodeView, RequestHead};
use serde_json::json;

use super::c;
use poolscope_testkit::oracle::{Body, Object};
use poolscope_testkit::{self, FACTS, NODES, Recording, random_chunks, run};

const CLIENTS: usize = 8;

/// One client: node `NODES[at / 2]`, which another thread asks about too, on the other wire.
struct Client {
    node: &'static str,
    list: Recording,
    watch: Recording,
}

impl Client {
    fn new(at: usize) -> Client {
        let suffix = if at.is_multiple_of(2) { "json.json" } else { "proto.pb" };
        let list = Recording::load(&format!("list/endpointslices-{suffix}"));
        let mut watch = Recording::load(&format!("watch/endpointslices-{suffix}"));
        watch.request.target =
            watch.request.target.replace("resourceVersion=242", "resourceVersion=241");
        Client { node: NODES[at / 2], list, watch }
    }

    /// The endpoints of each slice that the client holds after its list and its watch.
    fn holds(&self, list: &[u8], watch: &[u8]) -> BTreeMap<String, String> {
        let read = |object: &Object| match object {
            Object::Slice(slice) => {
                let metadata = &slice.metadata;
                (
                    format!(
                        "{}/{}",
                        metadata.namespace.as_ref().unwrap(),
                        metadata.name.as_ref().unwrap()
                    ),
                    format!("{:?}", slice.endpoints),
                )
            }
            Object::ProtobufSlice { slice, .. } => {
                let metadata = slice.metadata.as_ref().unwrap();
                (
                    format!("{}/{}", metadata.namespace, metadata.name),
                    format!("{:?}", slice.endpoints),
                )
            }
            other => panic!("{other:?}"),
        };
        let protobuf = self.list.is_protobuf();
        let mut held: BTreeMap<_, _> = Body::decode(list, protobuf, false)
            .objects
            .iter()
            .map(|(_, object)| read(object))
            .collect();
        for (event, object) in Body::decode(watch, protobuf, true).objects {
            // A bookmark has no name.
            if event == "BOOKMARK" {
                continue;
            }
            match (event.as_str(), read(&object)) {
                ("ADDED" | "MODIFIED", (name, endpoints)) => drop(held.insert(name, endpoints)),
                ("DELETED", (name, _)) => assert!(held.remove(&name).is_some(), "{name}"),
                (other, _) => panic!("{other}"),
            }
        }
        held
    }

    fn holds_by_rust(&self, node: &NodeView) -> BTreeMap<String, String> {
        let pass = |recording: &Recording| {
            let Ok(Action::Rewrite(stream)) = node.open(&recording.request, &recording.head) else {
                panic!("{}", recording.name)
            };
            run(stream, &recording.body, std::iter::repeat(1 << 20)).unwrap()
        };
        let list = pass(&self.list);
        self.holds(&list, &pass(&self.watch))
    }
}

/// Watches of facts with what they say, and a Service whose keys change to and fro behind that.
fn changes() -> Vec<(Recording, Vec<u8>)> {
    let names = ["services-json.json", "nodes-proto.pb", "nodepools-json.json"];
    let mut lines: Vec<_> = names
        .map(|name| Recording::load(&format!("watch/{name}")))
        .map(|line| (line.clone(), line.body))
        .into();
    for turn in 0..300 {
        let keys = ["openyurt.io/nodepool", "kubernetes.io/hostname", ""][turn % 3];
        let annotations = json!({ "openyurt.io/topologyKeys": keys });
        let metadata = json!({
            "namespace": "shop",
            "name": "cart",
            "resourceVersion": (100_000 + turn).to_string(),
            "annotations": annotations,
        });
        let object = json!({ "kind": "Service", "apiVersion": "v1", "metadata": metadata });
        lines[0]
            .1
            .extend(format!("{}\n", json!({ "type": "MODIFIED", "object": object })).into_bytes());
    }
    lines
}

struct Scene {
    cluster: c::Cluster,
    start: Barrier,
    /// No fact changes any more.
    settled: AtomicBool,
    refreshed: AtomicUsize,
}

impl Scene {
    fn change_facts(&self) {
        let lines = changes();
        let feed = |line: &Recording| {
            self.cluster
                .read_facts(&c::RequestHead::of(&line.request), &c::ResponseHead::of(&line.head))
                .unwrap()
        };
        let mut feeds: Vec<c::FactReader> = lines.iter().map(|(line, _)| feed(line)).collect();
        let mut rest: Vec<&[u8]> = lines.iter().map(|(_, body)| &**body).collect();
        let mut chunks = random_chunks(17, 400);
        self.start.wait();
        while rest.iter().any(|rest| !rest.is_empty()) {
            for (feed, rest) in feeds.iter_mut().zip(&mut rest) {
                let (chunk, after) = rest.split_at(chunks.next().unwrap().min(rest.len()));
                feed.push(chunk).unwrap();
                *rest = after;
            }
            thread::sleep(Duration::from_micros(300));
        }
        feeds.iter_mut().for_each(|feed| feed.finish().unwrap());
        self.settled.store(true, Ordering::Release);
    }

    /// Lives through C's functions, as the header says to.
    fn live(&self, client: &Client, node: &c::Node, seed: u64) -> BTreeMap<String, String> {
        let open = |recording: &Recording| {
            let mut opened = node
                .open(
                    &c::RequestHead::of(&recording.request),
                    &c::ResponseHead::of(&recording.head),
                )
                .unwrap();
            opened.take_stream().expect("everything is known")
        };
        let given = |(result, out): (c::Result<()>, Vec<u8>)| {
            assert_eq!(result, Ok(()));
            out
        };
        self.start.wait();
        let mut stream = open(&client.list);
        let mut list = Vec::new();
        for chunk in client.list.body.chunks(5000) {
            list.extend(given(stream.push(chunk)));
        }
        list.extend(given(stream.finish()));

        let mut stream = open(&client.watch);
        let mut watch = Vec::new();
        let refresh = |stream: &mut c::BodyRewriter, watch: &mut Vec<u8>| {
            let out = given(stream.refresh());
            self.refreshed.fetch_add(usize::from(!out.is_empty()), Ordering::Relaxed);
            watch.extend(out);
        };
        let (mut rest, mut chunks) = (&*client.watch.body, random_chunks(seed, 3000));
        let mut generation = 0;
        loop {
            let settled = self.settled.load(Ordering::Acquire);
            let now = self.cluster.generation();
            if now != generation || stream.state().needs_refresh {
                assert!(now >= generation);
                generation = now;
                refresh(&mut stream, &mut watch);
                assert!(
                    node.describe().contains(client.node)
                        && self.cluster.counters().contains("eventsRefreshed")
                );
            }
            let (chunk, after) = rest.split_at(chunks.next().unwrap().min(rest.len()));
            watch.extend(given(stream.push(chunk)));
            rest = after;
            if settled && rest.is_empty() {
                break;
            }
            thread::yield_now();
        }
        refresh(&mut stream, &mut watch);
        assert!(!stream.state().needs_refresh && !stream.state().is_ended);
        watch.extend(given(stream.finish()));
        assert_eq!(
            (stream.bytes_in(), stream.bytes_out()),
            (client.watch.body.len() as u64, watch.len() as u64)
        );
        client.holds(&list, &watch)
    }
}

#[test]
fn every_thread_ends_where_a_quiet_cluster_does() {
    let rust = poolscope_testkit::cluster("list");
    for (line, body) in changes() {
        let mut feed = rust.read_facts(&line.request, &line.head).unwrap();
        feed.push(&body).unwrap();
        feed.finish().unwrap();
    }
    let scene = Scene {
        cluster: c::Cluster::new("{}").unwrap(),
        start: Barrier::new(CLIENTS + 1),
        settled: AtomicBool::new(false),
        refreshed: AtomicUsize::new(0),
    };
    for kind in FACTS {
        let list = Recording::load(&format!("list/{kind}-json.json"));
        let mut feed = scene
            .cluster
            .read_facts(&c::RequestHead::of(&list.request), &c::ResponseHead::of(&list.head))
            .unwrap();
        feed.push(&list.body).unwrap();
        feed.finish().unwrap();
    }
    let clients: Vec<Client> = (0..CLIENTS).map(Client::new).collect();
    let nodes: Vec<c::Node> =
        (0..CLIENTS / 2).map(|at| scene.cluster.node(NODES[at]).unwrap()).collect();
    let held: Vec<BTreeMap<String, String>> = thread::scope(|scope| {
        let (scene, nodes) = (&scene, &nodes);
        scope.spawn(|| scene.change_facts());
        let lives = clients
            .iter()
            .enumerate()
            .map(|(at, client)| scope.spawn(move || scene.live(client, &nodes[at / 2], at as u64)));
        let lives: Vec<_> = lives.collect();
        lives.into_iter().map(|life| life.join().unwrap()).collect()
    });
    let mut seen = Vec::new();
    for (client, held) in clients.iter().zip(held) {
        let expected = client.holds_by_rust(&rust.node(client.node));
        for (name, endpoints) in &expected {
            assert_eq!(
                held.get(name),
                Some(endpoints),
                "{name} for {} by {}",
                client.node,
                client.list.name
            );
        }
        assert_eq!(held.len(), expected.len());
        seen.push(expected);
    }
    assert!(scene.refreshed.into_inner() > 100, "facts changed while clients watched");
    assert!(seen.iter().skip(2).any(|other| other != &seen[0]), "nodes see different things");
}

#[test]
fn handles_move_between_threads() {
    let list = Recording::load("list/endpointslices-json.json");
    let unlimited = c::Cluster::new(r#"{"membership":"off"}"#).unwrap();
    let services = Recording::load("list/services-json.json");
    let mut feed = unlimited
        .read_facts(&c::RequestHead::of(&services.request), &c::ResponseHead::of(&services.head))
        .unwrap();
    // Each of them is made here, used there, and freed elsewhere.
    let mut feed = thread::spawn(move || {
        feed.push(&services.body).unwrap();
        feed
    })
    .join()
    .unwrap();
    feed.finish().unwrap();
    let (request, head) = (c::RequestHead::of(&list.request), c::ResponseHead::of(&list.head));
    let node = unlimited.node("hz-edge-1").unwrap();
    let mut opened = thread::spawn(move || node.open(&request, &head).unwrap()).join().unwrap();
    let mut stream = opened.take_stream().unwrap();
    let mut out = BytesMut::new();
    for chunk in list.body.chunks(list.body.len() / 5) {
        let chunk = chunk.to_vec();
        let (moved, given) = thread::spawn(move || {
            let (result, given) = stream.push(&chunk);
            assert_eq!(result, Ok(()));
            (stream, given)
        })
        .join()
        .unwrap();
        out.extend_from_slice(&given);
        stream = moved;
    }
    thread::spawn(move || assert_eq!(stream.finish(), (Ok(()), Vec::new()))).join().unwrap();
    drop(thread::spawn(move || drop(unlimited)).join());
    let rust =
        poolscope::Cluster::new(poolscope::Config::from_json(r#"{"membership":"off"}"#).unwrap())
            .unwrap();
    Recording::load("list/services-json.json").read_facts(&rust);
    let request: RequestHead = list.request.clone();
    let Ok(Action::Rewrite(stream)) = rust.node("hz-edge-1").open(&request, &list.head) else {
        panic!()
    };
    assert!(out == run(stream, &list.body, std::iter::repeat(1 << 20)).unwrap()[..]);
}

//! Prints time against size for steps that must be linear: `cargo run --release --example
//! scaling`.
//!
//! Each row is one size; the last column is the time for each slice or stream, which stays about
//! the same from row to row.

use std::hint::black_box;
use std::time::{Duration, Instant};

use poolscope::{
    Action, BodyRewriter, BytesMut, Cluster, Config, NodeView, RequestHead, ResponseHead,
};

const NODES: usize = 50;
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

fn json() -> ResponseHead {
    ResponseHead::ok("application/json")
}

fn feed(cluster: &Cluster, path: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    let mut feed = cluster.read_facts(&RequestHead::get(path), &json()).expect("a list of facts");
    let version = cluster.generation() + 1;
    let body = format!(
        r#"{{"metadata":{{"resourceVersion":"{version}"}},"items":[{}]}}"#,
        items.join(",")
    );
    feed.push(body.as_bytes()).and_then(|()| feed.finish()).expect("a good list");
}

/// A cluster of `services` Services with these keys; node-0 is in a pool with every second node.
fn cluster(services: usize, keys: &str, fallbacks: bool) -> Cluster {
    let mut config = Config::openyurt();
    config.set_topology_fallback(fallbacks);
    let cluster = Cluster::new(config).expect("a valid configuration");
    let label = r#""labels":{"apps.openyurt.io/nodepool":"hangzhou"}"#;
    feed(
        &cluster,
        "/api/v1/nodes",
        (0..NODES).map(|node| format!(r#"{{"metadata":{{"name":"node-{node}",{label}}}}}"#)),
    );
    let members: Vec<String> =
        (0..NODES).step_by(2).map(|node| format!(r#""node-{node}""#)).collect();
    let pool = format!(
        r#"{{"metadata":{{"name":"hangzhou"}},"status":{{"nodes":[{}]}}}}"#,
        members.join(",")
    );
    feed(&cluster, "/apis/apps.openyurt.io/v1beta2/nodepools", std::iter::once(pool));
    annotate(&cluster, services, keys);
    cluster
}

fn annotate(cluster: &Cluster, services: usize, keys: &str) {
    feed(
        cluster,
        "/api/v1/services",
        (0..services).map(|service| {
            let annotations = format!(r#""annotations":{{"openyurt.io/topologyKeys":"{keys}"}}"#);
            format!(r#"{{"metadata":{{"name":"svc-{service}","namespace":"shop",{annotations}}}}}"#)
        }),
    );
}

/// A slice of a Service, at a version, with four endpoints on nodes other than node-0, or with one
/// of them there.
fn slice(number: usize, service: usize, version: usize, on_node: bool) -> String {
    let node = |at: usize| if on_node && at == 0 { 0 } else { 1 + (number + 7 * at) % (NODES - 1) };
    let endpoints: Vec<String> = (0..4)
        .map(|at| {
            format!(
                r#"{{"addresses":["10.0.{at}.1"],"conditions":{{}},"nodeName":"node-{}"}}"#,
                node(at)
            )
        })
        .collect();
    format!(
        r#"{{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{{"name":"s-{number}","namespace":"shop","resourceVersion":"{version}","labels":{{"kubernetes.io/service-name":"svc-{service}"}}}},"addressType":"IPv4","endpoints":[{}],"ports":[]}}"#,
        endpoints.join(",")
    )
}

fn open(view: &NodeView, query: &str) -> BodyRewriter {
    match view.open(&RequestHead::get(format!("{SLICES}?{query}")), &json()) {
        Ok(Action::Rewrite(stream)) => stream,
        other => panic!("{query}: {other:?}"),
    }
}

/// Lists `count` slices, each of the Service that `service` says.
fn list(view: &NodeView, count: usize, service: impl Fn(usize) -> usize) -> Duration {
    let items: Vec<String> =
        (0..count).map(|number| slice(number, service(number), 10, false)).collect();
    let head = r#"{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"90"},"items":["#;
    let body = format!("{head}{}]}}", items.join(","));
    let (mut stream, mut out) = (open(view, ""), BytesMut::new());
    let began = Instant::now();
    for chunk in body.as_bytes().chunks(64 << 10) {
        stream.push(chunk, &mut out).expect("a good list");
        out.clear();
    }
    stream.finish(&mut out).expect("a whole list");
    began.elapsed()
}

/// The list in pages.
fn pages(view: &NodeView, count: usize) -> Duration {
    let (mut out, mut took) = (BytesMut::new(), Duration::ZERO);
    for from in (0..count).step_by(500) {
        let to = count.min(from + 500);
        let items: Vec<String> =
            (from..to).map(|number| slice(number, number / 10, 10, false)).collect();
        let next = if to == count { String::new() } else { format!("page-{to}") };
        let body = format!(
            r#"{{"metadata":{{"resourceVersion":"90","continue":"{next}"}},"items":[{}]}}"#,
            items.join(",")
        );
        let token = if from == 0 { String::new() } else { format!("&continue=page-{from}") };
        let began = Instant::now();
        let mut stream = open(view, &format!("limit=500{token}"));
        stream.push(body.as_bytes(), &mut out).expect("a good page");
        stream.finish(&mut out).expect("a whole page");
        took += began.elapsed();
        out.clear();
    }
    took
}

fn watch(view: &NodeView) -> BodyRewriter {
    open(view, "watch=true&resourceVersion=90&allowWatchBookmarks=true")
}

fn head(title: &str, unit: &str) {
    println!("\n{title}\n{:>9} {:>12} {:>14}", format!("{unit}s"), "time", format!("each {unit}"));
}

fn row(count: usize, time: Duration) {
    println!(
        "{count:>9} {:>9.2} ms {:>11.2} us",
        time.as_secs_f64() * 1e3,
        time.as_secs_f64() * 1e6 / count as f64
    );
}

/// Sizes up to the largest that `POOLSCOPE_LARGEST` allows.
fn sizes<const N: usize>(sizes: [usize; N]) -> impl Iterator<Item = usize> {
    let largest = std::env::var("POOLSCOPE_LARGEST")
        .map_or(usize::MAX, |text| text.parse().expect("POOLSCOPE_LARGEST is a number"));
    sizes.into_iter().filter(move |size| *size <= largest)
}

fn main() {
    head("a refresh when every Service loses its key, and all slices share 50 nodes", "slice");
    for count in sizes([10_000, 20_000, 40_000, 80_000, 160_000]) {
        let services = count / 10;
        let cluster = cluster(services, "openyurt.io/nodepool", false);
        let view = cluster.node("node-0");
        list(&view, count, |number| number / 10);
        let (mut stream, mut out) = (watch(&view), BytesMut::new());
        annotate(&cluster, services, "");
        let began = Instant::now();
        stream.refresh(&mut out).expect("an open stream");
        row(count, began.elapsed());
        assert!(out.len() > 100 * count, "every slice is said again");
    }
    let fallback = "kubernetes.io/hostname,openyurt.io/nodepool,*";
    head("a list of one Service with fallback keys", "slice");
    for count in sizes([250, 1000, 4000, 10_000]) {
        let cluster = cluster(1, fallback, true);
        row(count, list(&cluster.node("node-0"), count, |_| 0));
    }
    head("a list in pages of 500", "slice");
    for count in sizes([10_000, 20_000, 40_000, 80_000]) {
        let cluster = cluster(count / 10, "openyurt.io/nodepool", false);
        row(count, pages(&cluster.node("node-0"), count));
    }
    head("an event that changes which of its keys counts", "slice");
    for count in sizes([250, 1000, 4000, 10_000]) {
        let cluster = cluster(1, fallback, true);
        let view = cluster.node("node-0");
        list(&view, count, |_| 0);
        let (mut stream, mut out) = (watch(&view), BytesMut::new());
        let event = format!("{{\"type\":\"MODIFIED\",\"object\":{}}}\n", slice(0, 0, 95, true));
        let began = Instant::now();
        stream.push(event.as_bytes(), &mut out).expect("a good event");
        row(count, began.elapsed());
        assert!(out.len() > 100 * count, "every slice is said again");
    }
    head("the initial events, unannounced, of one Service with fallback keys", "slice");
    for count in sizes([250, 1000, 4000, 10_000]) {
        let cluster = cluster(1, fallback, true);
        let events: String = (0..count)
            .map(|number| {
                format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", slice(number, 0, 10, false))
            })
            .collect();
        let (mut stream, mut out) = (open(&cluster.node("node-0"), "watch=true"), BytesMut::new());
        let began = Instant::now();
        stream.push(events.as_bytes(), &mut out).expect("good events");
        row(count, began.elapsed());
        black_box(out);
    }
    head("opening watches of one User-Agent, with all before still open", "stream");
    for count in sizes([250, 500, 1000, 2000]) {
        let cluster = cluster(1, "openyurt.io/nodepool", false);
        let view = cluster.node("node-0");
        let (mut streams, mut took) = (Vec::new(), Duration::ZERO);
        for _ in 0..count {
            list(&view, 10, |_| 0);
            let began = Instant::now();
            streams.push(watch(&view));
            took += began.elapsed();
        }
        row(count, took);
        black_box(streams);
    }
}

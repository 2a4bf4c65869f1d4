//! Streams that remember: what a client state takes, what a refresh takes, and what following costs
//! an event.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use poolscope::{BodyRewriter, Cluster, Config, FactReader, RequestHead, ResponseHead};
use serde_json::{Value, json};

use poolscope_testkit::corpus::{
    self, follow, json_event, json_list_of, list, node, protobuf_event, protobuf_list_of,
    provide_facts, slice, spread,
};
use poolscope_testkit::counting::{Counting, LIVE};
use poolscope_testkit::fuzzing::protobuf;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const LIST: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const WATCH: &str = "/apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=999999&\
                     allowWatchBookmarks=true";
/// Endpoints a slice, and the slices that each node is in.
const HUNDRED: usize = 100;

/// A client that has listed so many slices and watches them, and the pool that it is in.
struct Follower {
    cluster: Cluster,
    stream: BodyRewriter,
    pool: FactReader,
    version: usize,
}

impl Follower {
    fn new(content_type: &str, slices: usize) -> Follower {
        let cluster = Cluster::new(Config::openyurt()).unwrap();
        let members: Vec<String> = (0..50).map(node).collect();
        provide_facts(&cluster, &members);
        let spread = (0..slices).map(|seed| spread(seed, slices));
        let body =
            if content_type == JSON { json_list_of(spread) } else { protobuf_list_of(spread) };
        let before = LIVE.get();
        list(&cluster, content_type, LIST, &body);
        let (state, items) = (LIVE.get() - before, body.len());
        println!(
            "{content_type}: {slices} slices, {items} bytes; the client state takes {:.3} of that",
            state as f64 / items as f64
        );
        drop(body);
        let stream = follow(&cluster, content_type, WATCH);
        let watch = "/apis/apps.openyurt.io/v1beta2/nodepools?watch=true&resourceVersion=1";
        let pool = cluster.read_facts(&RequestHead::get(watch), &ResponseHead::ok(JSON)).unwrap();
        Follower { cluster, stream, pool, version: 10 }
    }

    /// One node more or less in the pool.
    fn change(&mut self, with: bool) {
        self.version += 1;
        let members: Vec<String> = (0..if with { 51 } else { 50 }).map(node).collect();
        let metadata = json!({"name": "here", "resourceVersion": self.version.to_string()});
        let event: Value = json!({
            "type": "MODIFIED",
            "object": {"metadata": metadata, "status": {"nodes": members}},
        });
        let before = self.cluster.generation();
        self.pool.push(format!("{event}\n").as_bytes()).unwrap();
        assert_eq!(self.cluster.generation(), before + 1);
    }
}

fn bench(criterion: &mut Criterion) {
    for content_type in [JSON, PROTOBUF] {
        let name = if content_type == JSON { "json" } else { "protobuf" };
        let mut group = criterion
            .benchmark_group(format!("refresh after one node joined or left the pool, {name}"));
        for slices in [1_000, 10_000] {
            let mut follower = Follower::new(content_type, slices);
            let (mut out, mut with) = (BytesMut::new(), false);
            group.bench_function(format!("in {HUNDRED} of {slices} slices"), |bencher| {
                bencher.iter_custom(|rounds| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..rounds {
                        with = !with;
                        follower.change(with);
                        out.clear();
                        let start = Instant::now();
                        follower.stream.refresh(&mut out).unwrap();
                        spent += start.elapsed();
                        let events = match content_type {
                            JSON => out.iter().filter(|&&byte| byte == b'\n').count(),
                            _ => protobuf::events(&out).expect("whole events").len(),
                        };
                        assert_eq!(events, HUNDRED + 1, "each slice of the node, and a bookmark");
                        black_box(&out);
                    }
                    spent
                });
            });
        }
        group.finish();
    }

    let slices: Vec<Value> = (0..2_000).map(slice).collect();
    for (content_type, name) in [(JSON, "json"), (PROTOBUF, "protobuf")] {
        let mut events: Vec<Vec<u8>> = slices
            .iter()
            .map(
                |slice| {
                    if content_type == JSON { json_event(slice) } else { protobuf_event(slice) }
                },
            )
            .collect();
        let mut group = criterion.benchmark_group(format!("{name}, an event a chunk"));
        group.throughput(Throughput::Bytes(events.iter().map(|event| event.len() as u64).sum()));
        for (label, suppress, alone) in [
            ("alone", true, true),
            ("followed, all sent", false, false),
            ("followed, none new", true, false),
        ] {
            let mut config = Config::openyurt();
            config.set_suppress_unchanged(suppress);
            let cluster = Cluster::new(config).unwrap();
            let members: Vec<String> =
                (0..50).map(|number| node(number * 7 % corpus::NODES)).collect();
            provide_facts(&cluster, &members);
            let body = if content_type == JSON {
                json_list_of(slices.iter().cloned())
            } else {
                protobuf_list_of(slices.iter().cloned())
            };
            list(&cluster, content_type, LIST, &body);
            let mut stream = if alone {
                corpus::open(50, content_type, WATCH)
            } else {
                follow(&cluster, content_type, WATCH)
            };
            let mut out = BytesMut::new();
            group.bench_function(label, |bencher| {
                bencher.iter(|| {
                    for event in &mut events {
                        out.clear();
                        stream.push(black_box(event), &mut out).unwrap();
                    }
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(12)
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500));
    targets = bench
}
criterion_main!(benches);

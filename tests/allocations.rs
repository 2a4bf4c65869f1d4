//! Allocations: none per event, and no more for a long list than for a short one.

use bytes::BytesMut;
use poolscope::{BodyRewriter, Cluster, Config};
use poolscope_testkit::corpus::{
    follow, json_event, json_list, list, node, open, protobuf_event, protobuf_list, provide_facts,
    slice,
};
use poolscope_testkit::counting::{ALLOCATIONS, Counting, LIVE, PEAK};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const WATCH: &str = "/apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=1";
const LIST: &str = "/apis/discovery.k8s.io/v1/endpointslices";

/// Allocations while the second half of the events is pushed: the first half brings the buffers to
/// their size.
fn allocations(mut stream: BodyRewriter, body: &[u8], chunk: usize) -> usize {
    let warm = body.len() / chunk / 2;
    let mut out = BytesMut::with_capacity(1 << 20);
    let mut before = 0;
    let mut given = 0;
    for (at, chunk) in body.chunks(chunk).enumerate() {
        if at == warm {
            before = ALLOCATIONS.get();
        }
        out.clear();
        stream.push(chunk, &mut out).unwrap();
        given += out.len();
    }
    assert!(given > body.len() / 20 && given < body.len());
    ALLOCATIONS.get() - before
}

#[test]
fn an_event_allocates_nothing() {
    let slices: Vec<_> = (0..200).map(slice).collect();
    let json: Vec<u8> = slices.iter().flat_map(json_event).collect();
    let protobuf: Vec<u8> = slices.iter().flat_map(protobuf_event).collect();
    for (content_type, body) in [(JSON, &json), (PROTOBUF, &protobuf)] {
        for members in [50, 450] {
            for chunk in [512, 16_384, 100_000] {
                assert_eq!(
                    allocations(open(members, content_type, WATCH), body, chunk),
                    0,
                    "{content_type}, chunks of {chunk}"
                );
            }
        }
    }
}

#[test]
fn an_event_that_is_remembered_allocates_nothing_either() {
    let slices: Vec<_> = (0..200).map(slice).collect();
    let json: Vec<u8> = slices.iter().flat_map(json_event).collect();
    let protobuf: Vec<u8> = slices.iter().flat_map(protobuf_event).collect();
    for (content_type, body, listed) in
        [(JSON, &json, json_list(200)), (PROTOBUF, &protobuf, protobuf_list(200))]
    {
        let mut config = Config::openyurt();
        config.set_suppress_unchanged(false);
        let cluster = Cluster::new(config).unwrap();
        provide_facts(&cluster, &(0..50).map(node).collect::<Vec<_>>());
        list(&cluster, content_type, LIST, &listed);
        let stream = follow(
            &cluster,
            content_type,
            "/apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=999999",
        );
        assert_eq!(allocations(stream, body, 16_384), 0, "{content_type}");
    }
}

/// The size of a client state in proportion to its originals: keys, indexes and all.
#[test]
fn a_ledger_takes_little_more_than_the_originals() {
    for (content_type, list_of) in
        [(JSON, json_list as fn(usize) -> Vec<u8>), (PROTOBUF, protobuf_list)]
    {
        let listed = list_of(500);
        let cluster = Cluster::new(Config::openyurt()).unwrap();
        provide_facts(&cluster, &(0..50).map(node).collect::<Vec<_>>());
        let before = LIVE.get();
        list(&cluster, content_type, LIST, &listed);
        let taken = LIVE.get() - before;
        assert!(
            taken > listed.len() as isize * 9 / 10 && taken * 10 <= listed.len() as isize * 11,
            "{taken} for {}",
            listed.len()
        );
    }
}

/// The most memory that was held at a time while a list was pushed and its output taken away chunk
/// by chunk.
fn peak(content_type: &str, body: &[u8]) -> isize {
    let mut stream = open(50, content_type, LIST);
    let mut out = BytesMut::new();
    let before = LIVE.get();
    PEAK.set(before);
    let mut given = 0;
    for chunk in body.chunks(16_384) {
        stream.push(chunk, &mut out).unwrap();
        given += out.len();
        out.clear();
    }
    stream.finish(&mut out).unwrap();
    assert!(given > body.len() / 20);
    PEAK.get() - before
}

#[test]
fn a_long_list_takes_no_more_memory_than_a_short_one() {
    for (content_type, list) in
        [(JSON, json_list as fn(usize) -> Vec<u8>), (PROTOBUF, protobuf_list)]
    {
        let (short, long) = (list(5), list(500));
        assert!(long.len() > 90 * short.len());
        let (short, long) = (peak(content_type, &short), peak(content_type, &long));
        assert!(
            short > 0 && long <= 2 * short,
            "{content_type}: {long} bytes for 50,000 endpoints, {short} for 500"
        );
        println!("{content_type}: {short} bytes for 500 endpoints, {long} for 50,000");
    }
}

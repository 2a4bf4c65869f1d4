//! Every chunking gives the same bytes, and those of the core.

use http_body::Body;
use poolscope_http::RewriteBody;
use poolscope_testkit::{NODES, Recording, cluster, random_chunks};

use super::scene;
use super::upstream::{Reader, Then, chunked, upstream};

fn recordings() -> Vec<Recording> {
    [
        "list/endpointslices-json.json",
        "list/endpointslices-proto.pb",
        "list/endpoints-json.json",
        "list/services-proto.pb",
        "watch/endpointslices-json.json",
        "watch/endpointslices-proto.pb",
        "watch/services-json.json",
        "watchlist/endpointslices-json.json",
    ]
    .map(Recording::load)
    .into()
}

#[test]
fn every_chunking_gives_the_bytes_of_the_core() {
    let cluster = cluster("list");
    let mut filtered = 0;
    for recording in recordings() {
        for name in [NODES[0], NODES[12]] {
            let node = cluster.node(name);
            let expected = recording.filter(&node);
            filtered += usize::from(expected.len() < recording.body.len());
            for max in [1, 13, 700, 16_384, recording.body.len()] {
                let sizes = random_chunks(max as u64, max);
                let body = RewriteBody::new(
                    &cluster,
                    recording.open(&node),
                    chunked(&recording.body, sizes),
                );
                let (bytes, then) = read_all(&mut Reader::new(body));
                assert!(matches!(then, Then::End), "{}: {then:?}", recording.name);
                assert!(bytes == expected, "{} of {name} in chunks of {max}", recording.name);
            }
        }
    }
    assert_eq!(filtered, 10, "recordings from which something was cut");
}

/// Reads to the end, through the yields of a body that has much to read and nothing to emit.
fn read_all<B>(reader: &mut Reader<B>) -> (Vec<u8>, Then<B::Error>)
where
    B: Body<Data = bytes::Bytes>,
{
    let mut bytes = Vec::new();
    loop {
        let wakes = reader.wakes();
        let (more, then) = reader.read_bytes();
        bytes.extend(more);
        if !matches!(then, Then::Pending) || reader.wakes() == wakes {
            return (bytes, then);
        }
    }
}

#[test]
fn the_length_is_unknown_until_the_end() {
    let cluster = scene::cluster(poolscope::Config::openyurt());
    let node = cluster.node("me");
    let rewriter = scene::open(&node, scene::SLICES);
    let (upstream, feed) = upstream();
    let mut reader = Reader::new(RewriteBody::new(&cluster, rewriter, upstream));
    feed.data(scene::list(&["me", "other"]));
    feed.end();
    assert!(!reader.body.is_end_stream());
    assert_eq!((reader.body.size_hint().lower(), reader.body.size_hint().upper()), (0, None));
    let (text, then) = reader.read();
    assert!(matches!(then, Then::End), "{then:?}");
    assert_eq!(text, scene::list(&["me"]));
    assert!(reader.body.is_end_stream() && feed.is_dropped());
    assert!(matches!(reader.poll(), Err(Then::End)), "a body stays at its end");
}

#[test]
fn trailers_come_after_the_last_byte() {
    for target in [scene::SLICES, scene::WATCH] {
        let cluster = scene::cluster(poolscope::Config::openyurt());
        let rewriter = scene::open(&scene::listed(&cluster), target);
        let (upstream, feed) = upstream();
        let mut reader = Reader::new(RewriteBody::new(&cluster, rewriter, upstream));
        let (body, expected) = if target == scene::SLICES {
            (scene::list(&["me", "other"]), scene::list(&["me"]))
        } else {
            (scene::event(91, &["other"]), scene::event(91, &[]))
        };
        feed.data(body);
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-checksum", "1".parse().unwrap());
        feed.trailers(trailers.clone());
        feed.end();
        let (text, then) = reader.read();
        assert_eq!(text, expected);
        let Then::Trailers(passed) = then else { panic!("{then:?}") };
        assert_eq!(passed, trailers);
        assert!(matches!(reader.poll(), Err(Then::End)));
    }
}

//! Compressed upstream bodies.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use poolscope::Config;
use poolscope_http::{Error, RewriteBody};
use poolscope_testkit::{Recording, cluster, random_chunks};

use super::scene::{self, SLICES, WATCH};
use super::upstream::{Feed, Reader, Then, Upstream, chunked, upstream};

/// Compresses frame by frame, as a server that flushes after each event.
struct Compressor(GzEncoder<Vec<u8>>);

impl Compressor {
    fn new() -> Compressor {
        Compressor(GzEncoder::new(Vec::new(), Compression::default()))
    }

    fn frame(&mut self, text: impl AsRef<[u8]>) -> Vec<u8> {
        self.0.write_all(text.as_ref()).unwrap();
        self.0.flush().unwrap();
        std::mem::take(self.0.get_mut())
    }

    fn end(self) -> Vec<u8> {
        self.0.finish().unwrap()
    }
}

fn compress(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut compressor = Compressor::new();
    let mut whole = compressor.frame(text);
    whole.extend(compressor.end());
    whole
}

fn reader(target: &str) -> (Reader<RewriteBody<Upstream>>, Feed) {
    let cluster = scene::cluster(Config::openyurt());
    let rewriter = scene::open(&scene::listed(&cluster), target);
    let (upstream, feed) = upstream();
    let body = RewriteBody::new(&cluster, rewriter, upstream);
    (Reader::new(body.gzip()), feed)
}

#[test]
fn an_event_that_was_flushed_comes_out_before_the_next_frame() {
    let (mut reader, feed) = reader(WATCH);
    let mut server = Compressor::new();
    for version in 91..94 {
        // The endpoint on `me` goes and comes: unchanged events are suppressed.
        for nodes in [&["x"][..], &["me", "x"]] {
            feed.data(server.frame(scene::event(version, nodes)));
            let (text, then) = reader.read();
            assert_eq!(scene::events_of(&text).len(), 1, "{text}");
            assert!(matches!(then, Then::Pending), "{then:?}");
        }
    }
    feed.data(server.end());
    feed.end();
    assert!(matches!(reader.poll(), Err(Then::End)));
}

#[test]
fn every_chunking_of_a_recorded_body_gives_the_bytes_of_the_core() {
    for (packed, plain) in [
        ("after/endpointslices-gzip-json.json.gz", "after/endpointslices-json.json"),
        ("after/endpointslices-h2-gzip-json.json.gz", "after/endpointslices-json.json"),
        ("after/endpointslices-gzip-proto.pb", "after/endpointslices-proto.pb"),
    ] {
        let cluster = cluster("after");
        let node = cluster.node("hz-edge-1");
        let (packed, plain) = (Recording::load(packed), Recording::load(plain));
        let compressed = packed.body.starts_with(b"\x1f\x8b");
        let expected = plain.filter(&node);
        for max in [1, 100, 100_000] {
            let upstream = chunked(&packed.body, random_chunks(7, max));
            let mut body = RewriteBody::new(&cluster, plain.open(&node), upstream);
            if compressed {
                body = body.gzip();
            }
            let mut reader = Reader::new(body);
            let mut bytes = Vec::new();
            let then = loop {
                let (more, then) = reader.read_bytes();
                bytes.extend(more);
                if !matches!(then, Then::Pending) {
                    break then;
                }
            };
            assert!(matches!(then, Then::End), "{}: {then:?}", packed.name);
            assert!(bytes == expected, "{} in chunks of {max}", packed.name);
        }
    }
}

#[test]
fn a_member_for_each_event_comes_out_at_once() {
    let (mut reader, feed) = reader(WATCH);
    for version in [91, 93, 95] {
        feed.data(compress(scene::event(version, &["x"])));
        let (text, then) = reader.read();
        assert_eq!(scene::events_of(&text), ["MODIFIED web-1"]);
        assert!(matches!(then, Then::Pending), "{then:?}");
        // The next member begins in the frame in which the last ends.
        let next = compress(scene::event(version + 1, &["me"]));
        feed.data(&next[..next.len() - 3]);
        assert_eq!(scene::events_of(&reader.read().0), ["MODIFIED web-1 me"]);
        feed.data(&next[next.len() - 3..]);
        assert_eq!(reader.read().0, "");
    }
    feed.end();
    assert!(matches!(reader.poll(), Err(Then::End)));
}

#[test]
fn several_members_in_a_frame_are_one_body() {
    let (mut reader, feed) = reader(WATCH);
    feed.data([compress(scene::event(91, &["x"])), compress(scene::event(92, &["me"]))].concat());
    feed.end();
    let (text, then) = reader.read();
    assert_eq!(scene::events_of(&text), ["MODIFIED web-1", "MODIFIED web-1 me"]);
    assert!(matches!(then, Then::End), "{then:?}");
}

#[test]
fn a_small_frame_of_a_huge_body_is_emitted_piece_by_piece() {
    let (mut reader, feed) = reader(SLICES);
    let body = scene::list(&["me", "other"]);
    let (items, end) = body.split_at(body.len() - 2);
    let packed = compress(format!("{items}{}{end}", " ".repeat(20 << 20)));
    assert!(packed.len() < 100_000);
    feed.data(packed);
    feed.end();
    let mut length = 0;
    loop {
        match reader.poll() {
            Ok(run) => {
                length += run.len();
                assert!(run.len() <= 64 << 10, "a frame of {} bytes", run.len());
            }
            Err(Then::End) => break,
            Err(then) => panic!("{then:?}"),
        }
    }
    assert_eq!(length, scene::list(&["me"]).len() + (20 << 20));
}

#[test]
fn a_cut_body_ends_a_watch_and_fails_a_list() {
    let whole = compress(scene::event(91, &["other"]));
    for cut in 1..8 {
        let (mut reader, feed) = reader(WATCH);
        feed.data(&whole[..whole.len() - cut]);
        feed.end();
        let (text, then) = reader.read();
        assert_eq!(text, scene::event(91, &[]));
        assert!(matches!(then, Then::End), "{then:?}");
    }
    let whole = compress(scene::list(&["me", "other"]));
    for cut in [1, 8, 20, whole.len() - 1] {
        let (mut reader, feed) = reader(SLICES);
        feed.data(&whole[..whole.len() - cut]);
        feed.end();
        let (_, then) = reader.read();
        assert!(matches!(then, Then::Failed(Error::Gzip(_))), "{cut}: {then:?}");
    }
}

#[test]
fn corrupt_bytes_are_an_error() {
    for target in [SLICES, WATCH] {
        for bytes in [&b"no gzip at all"[..], &[&compress("")[..10], &[0xff; 20]].concat()] {
            let (mut reader, feed) = reader(target);
            feed.data(bytes);
            feed.end();
            let (text, then) = reader.read();
            assert!(matches!(then, Then::Failed(Error::Gzip(_))), "{then:?}");
            assert_eq!(text, "");
        }
    }
}

#[test]
fn a_watch_without_events_may_be_empty() {
    let (mut reader, feed) = reader(WATCH);
    feed.end();
    assert!(matches!(reader.poll(), Err(Then::End)));
}

//! Blocking and asynchronous readers.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};

use poolscope::Config;
use poolscope_http::{BodyReader, Error, RewriteBody, RewriteRead};
use poolscope_testkit::{Recording, cluster};
use tokio::io::AsyncReadExt;

use super::scene::{self, SLICES, WATCH};
use super::upstream::{chunked, upstream};

/// Reads in pieces of `size` bytes.
fn read_all(mut reader: impl Read, size: usize) -> io::Result<Vec<u8>> {
    let (mut out, mut buffer) = (Vec::new(), vec![0; size]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(out),
            count => out.extend_from_slice(&buffer[..count]),
        }
    }
}

#[test]
fn a_blocking_reader_gives_the_bytes_of_the_core() {
    let cluster = cluster("list");
    let node = cluster.node("hz-edge-1");
    for name in ["list/endpointslices-json.json", "watch/endpointslices-proto.pb"] {
        let recording = Recording::load(name);
        let expected = recording.filter(&node);
        for size in [1, 1000, 1 << 20] {
            let upstream = recording.body.as_slice();
            let reader = RewriteRead::new(recording.open(&node), upstream);
            assert!(read_all(reader, size).unwrap() == expected, "{name}, {size} bytes at once");
        }
    }
}

#[test]
fn a_blocking_reader_decompresses() {
    let cluster = scene::cluster(Config::openyurt());
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    io::Write::write_all(&mut packed, scene::list(&["me", "other"]).as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let rewriter = scene::open(&cluster.node("me"), SLICES);
    let reader = RewriteRead::new(rewriter, packed.as_slice()).gzip();
    assert_eq!(read_all(reader, 100).unwrap(), scene::list(&["me"]).as_bytes());
}

/// A connection whose reads were scripted.
struct Connection(VecDeque<io::Result<String>>);

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let text = self.0.pop_front().unwrap_or(Ok(String::new()))?;
        buffer[..text.len()].copy_from_slice(text.as_bytes());
        Ok(text.len())
    }
}

#[test]
fn a_timeout_lets_the_caller_read_events_after_fact_changes() {
    let cluster = scene::cluster(Config::openyurt());
    let rewriter = scene::open(&scene::listed(&cluster), WATCH);
    let connection = Connection(
        [
            Err(ErrorKind::TimedOut.into()),
            Err(ErrorKind::Interrupted.into()),
            Ok(scene::event(91, &["other"])),
            Err(ErrorKind::ConnectionReset.into()),
        ]
        .into(),
    );
    let mut reader = RewriteRead::new(rewriter, connection);
    let mut buffer = [0; 4096];
    assert_eq!(reader.read(&mut []).unwrap(), 0);
    assert_eq!(reader.read(&mut buffer).unwrap_err().kind(), ErrorKind::TimedOut);
    scene::join(&cluster);
    let count = reader.read(&mut buffer).unwrap();
    let text = std::str::from_utf8(&buffer[..count]).unwrap();
    assert_eq!(scene::events_of(text), ["MODIFIED web-1 me other", "BOOKMARK"]);
    let rest = read_all(reader, 4096).unwrap();
    let text = std::str::from_utf8(&rest).unwrap();
    assert_eq!(scene::events_of(text), ["MODIFIED web-1 other"], "a watch ends normally");
}

#[test]
fn a_list_that_is_cut_fails_a_blocking_reader() {
    for end in [Ok(String::new()), Err(ErrorKind::ConnectionReset.into())] {
        let cluster = scene::cluster(Config::openyurt());
        let rewriter = scene::open(&cluster.node("me"), SLICES);
        let fails = end.is_err();
        let connection = Connection([Ok(scene::list(&["me"])[..200].to_owned()), end].into());
        let reader = RewriteRead::new(rewriter, connection);
        let error = read_all(reader, 100).unwrap_err();
        let error = error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
        assert_eq!(matches!(error, Error::Upstream(_)), fails, "{error:?}");
    }
}

#[tokio::test]
async fn a_body_is_read_as_bytes() {
    let cluster = scene::cluster(Config::openyurt());
    let list = scene::list(&["me", "other"]);
    for size in [1, 50, 4096] {
        let rewriter = scene::open(&cluster.node("me"), SLICES);
        let upstream = chunked(list.as_bytes(), std::iter::repeat(40));
        let body = RewriteBody::new(&cluster, rewriter, upstream);
        let (mut reader, mut out) = (BodyReader::new(body), Vec::new());
        let mut buffer = vec![0; size];
        loop {
            match reader.read(&mut buffer).await.unwrap() {
                0 => break,
                count => out.extend_from_slice(&buffer[..count]),
            }
        }
        assert_eq!(String::from_utf8(out).unwrap(), scene::list(&["me"]));
    }
}

#[tokio::test]
async fn a_body_that_fails_fails_its_reader() {
    let cluster = scene::cluster(Config::openyurt());
    let rewriter = scene::open(&cluster.node("me"), SLICES);
    let (upstream, feed) = upstream();
    let mut reader = BodyReader::new(RewriteBody::new(&cluster, rewriter, upstream));
    feed.fail();
    let error = reader.read_to_end(&mut Vec::new()).await.unwrap_err();
    let error = error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
    assert!(matches!(error, Error::Upstream(_)), "{error:?}");
}

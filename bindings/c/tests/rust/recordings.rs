//! Every recording, opened alone, whole and broken: C gives what Rust gives, and fails as Rust
//! fails.

use std::collections::BTreeMap;
use std::iter::repeat;

use poolscope::{Error, ErrorKind, ReplyCause, RequestHead, ResponseHead};

use super::both::{Cluster, Decision};
use poolscope_testkit::{NODES, Recording, random_chunks};

/// Whether it has endpoints in a form that can be read.
fn is_subject(recording: &Recording) -> bool {
    is_about_endpoints(recording)
        && [".json", ".pb"].iter().any(|suffix| recording.name.ends_with(suffix))
}

fn is_about_endpoints(recording: &Recording) -> bool {
    recording.request.target.contains("endpoint") && recording.head.status == 200
}

#[test]
fn every_recording_is_the_same_for_every_node_and_chunking() {
    let cluster = Cluster::of("{}", "list");
    let (mut passed, mut refused, mut cut, mut whole) = (0, 0, 0, 0);
    for (seed, recording) in Recording::all().iter().enumerate() {
        let seed = seed as u64;
        for (at, name) in NODES.into_iter().enumerate() {
            let node = cluster.node(name);
            let mut chunkings: Vec<Box<dyn Iterator<Item = usize>>> = vec![
                Box::new(repeat(recording.body.len().max(1))),
                Box::new(random_chunks(seed, 5000)),
            ];
            // Every push is compared, and small ones are many.
            if at % 3 == seed as usize % 3 {
                chunkings.push(Box::new(random_chunks(seed, 100)));
            }
            if recording.body.len() < 9000 {
                chunkings.push(Box::new(repeat(1)));
            }
            for chunks in chunkings {
                match node.open_stateless(&recording.request, &recording.head) {
                    Ok(Decision::Rewrite(mut stream)) => {
                        let (result, given) = stream.run(&recording.body, chunks);
                        assert_eq!(result, Ok(()), "{}", recording.name);
                        assert_eq!(stream.c.bytes_in(), recording.body.len() as u64);
                        *(if given == recording.body { &mut whole } else { &mut cut }) += 1;
                    }
                    Ok(Decision::Forward) => passed += 1,
                    Ok(_) => panic!("{} is answered", recording.name),
                    Err(_) => refused += 1,
                }
            }
        }
    }
    cluster.check();
    println!("{passed} passed, {refused} refused, {cut} cut, {whole} not cut");
    assert!(passed > 500 && refused > 100 && cut > 1500 && whole > 1500);
}

#[test]
fn who_has_to_wait_is_told_the_same() {
    let unknown = Cluster::new("{}").unwrap();
    let partly = Cluster::new("{}").unwrap();
    for list in ["list/services-cilium-selector-json.json", "list/nodes-one-by-field-json.json"] {
        partly.learn(&Recording::load(list));
    }
    let (mut waits, mut covers) = (0, 0);
    for recording in Recording::all() {
        for cluster in [&unknown, &partly] {
            for node in ["hz-edge-1", "sh-edge-1"].map(|name| cluster.node(name)) {
                for opened in [
                    node.open(&recording.request, &recording.head),
                    node.open_stateless(&recording.request, &recording.head),
                ] {
                    let Ok(Decision::Reply(reply)) = opened else { continue };
                    let ReplyCause::MissingFacts(missing) = reply.cause else { continue };
                    assert!(
                        is_about_endpoints(&recording) && !missing.is_empty(),
                        "{}",
                        recording.name
                    );
                    waits += 1;
                    covers += usize::from(missing.iter().any(|missing| missing.known.is_some()));
                }
            }
        }
    }
    assert!(waits > 300 && covers > 50, "{waits}, {covers}");
}

/// How often which error came, how often bytes came out of the call that failed, how often the
/// object was named, and how often nothing failed.
#[derive(Debug, Default)]
struct Faults {
    seen: BTreeMap<String, usize>,
    gave: usize,
    named: usize,
    nothing: usize,
}

impl Faults {
    fn note(&mut self, result: Result<(), Error>, given: &[u8]) {
        let Err(error) = result else {
            self.nothing += 1;
            return;
        };
        *self.seen.entry(format!("{:?}", error.kind())).or_default() += 1;
        // A body pushed at once is malformed in that call; that it was cut is said by the next.
        self.gave += usize::from(error.kind() == ErrorKind::Malformed && !given.is_empty());
        self.named += usize::from(error.object().is_some());
    }

    fn of(&self, name: &str) -> usize {
        self.seen.get(name).copied().unwrap_or_default()
    }
}

/// Positions in a body, the ends too.
fn positions(body: &[u8], seed: u64) -> impl Iterator<Item = usize> {
    let some = random_chunks(seed, body.len().max(1)).map(|at| at - 1);
    [0, body.len() / 2, body.len().max(1) - 1].into_iter().chain(some).take(if body.is_empty() {
        0
    } else {
        11
    })
}

/// The body, cut or with another byte at a place.
fn broken(body: &[u8], at: usize, by: Option<u8>) -> Vec<u8> {
    let Some(by) = by else { return body[..at].to_vec() };
    let mut body = body.to_vec();
    body[at] = by;
    body
}

const BREAKS: [Option<u8>; 5] = [None, Some(b'}'), Some(b'"'), Some(0xff), Some(0)];

#[test]
fn broken_bodies_fail_the_same_and_what_came_before_comes_out() {
    let cluster = Cluster::of("{}", "list");
    let node = cluster.node("hz-edge-1");
    let mut faults = Faults::default();
    for (seed, recording) in
        Recording::all().iter().enumerate().filter(|(_, recording)| is_subject(recording))
    {
        for (turn, at) in positions(&recording.body, seed as u64).enumerate() {
            for by in BREAKS {
                let body = broken(&recording.body, at, by);
                let open = || match node.open_stateless(&recording.request, &recording.head) {
                    Ok(Decision::Rewrite(stream)) => stream,
                    _ => panic!("{}", recording.name),
                };
                let mut stream = open();
                let (result, given) = stream.run(&body, repeat(body.len().max(1)));
                let is_error = result.is_err();
                faults.note(result, &given);
                for (result, given) in [stream.push(b"more"), stream.refresh(), stream.finish()] {
                    assert!(
                        result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Closed)
                            && given.is_empty(),
                        "{result:?}"
                    );
                }
                // In chunks, bytes precede the error.
                if turn % 4 == 0 {
                    let (result, in_chunks) = open().run(&body, random_chunks(seed as u64, 700));
                    assert!(
                        result.is_err() == is_error && in_chunks == given,
                        "{} at {at}",
                        recording.name
                    );
                }
            }
        }
    }
    cluster.check();
    println!("{faults:?}");
    assert!(
        faults.of("Malformed") > 200 && faults.of("Truncated") > 200 && faults.nothing > 200,
        "{faults:?}"
    );
    assert!(faults.gave > 200 && faults.named > 20, "{faults:?}");
}

#[test]
fn broken_bodies_teach_the_same() {
    let cluster = Cluster::new("{}").unwrap();
    let mut faults = Faults::default();
    for (seed, recording) in Recording::all().iter().enumerate() {
        let Ok(mut feed) = cluster.read_facts(&recording.request, &recording.head) else {
            continue;
        };
        feed.push(b"").unwrap();
        for at in positions(&recording.body, seed as u64).take(5) {
            for by in BREAKS {
                let mut feed = cluster.read_facts(&recording.request, &recording.head).unwrap();
                let result =
                    feed.push(&broken(&recording.body, at, by)).and_then(|()| feed.finish());
                faults.note(result, b"");
                assert!(feed.finish().is_err_and(|error| error.kind() == ErrorKind::Closed));
                assert!(feed.push(b"more").is_err_and(|error| error.kind() == ErrorKind::Closed));
            }
        }
        cluster.check();
    }
    println!("{faults:?}");
    assert!(
        faults.of("Malformed") > 50 && faults.of("Truncated") > 50 && faults.nothing > 50,
        "{faults:?}"
    );
}

#[test]
fn limits_are_passed_at_the_same_byte() {
    for (limits, error) in [
        (r#"{"frameBytes":900,"itemBytes":900}"#, "TooLarge"),
        (r#"{"endpoints":2}"#, "TooMany"),
        (r#"{"depth":4}"#, "TooDeep"),
        (r#"{"listBytes":3000}"#, "TooLarge"),
    ] {
        let lists = if limits.contains("listBytes") { "compact" } else { "padded" };
        // Without pools little has to be known: recorded lists of facts are over these limits, too.
        let cluster = Cluster::new(&format!(
            r#"{{"membership":"off","protobufLists":"{lists}","limits":{limits}}}"#
        ))
        .unwrap();
        let mut services = cluster
            .read_facts(
                &RequestHead::get("/api/v1/services"),
                &ResponseHead::ok("application/json"),
            )
            .unwrap();
        services.push(br#"{"items":[]}"#).unwrap();
        services.finish().unwrap();
        let node = cluster.node("hz-edge-1");
        let mut faults = Faults::default();
        for (seed, recording) in
            Recording::all().iter().enumerate().filter(|(_, recording)| is_subject(recording))
        {
            for chunks in [random_chunks(seed as u64, 1), random_chunks(seed as u64, 1 << 30)]
                .into_iter()
                .skip(usize::from(seed > 9))
            {
                let Ok(Decision::Rewrite(mut stream)) =
                    node.open_stateless(&recording.request, &recording.head)
                else {
                    panic!("{}", recording.name)
                };
                let (result, given) = stream.run(&recording.body, chunks);
                faults.note(result, &given);
            }
        }
        assert!(faults.of(error) > 5, "{limits}: {faults:?}");
        assert_eq!(faults.seen.len(), 1, "{limits}: {faults:?}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_the_same() {
    let cluster = Cluster::of("{}", "list");
    let node = cluster.node("hz-edge-1");
    let slices = RequestHead::get("/apis/discovery.k8s.io/v1/endpointslices");
    let refused = |head: ResponseHead| node.open(&slices, &head).err().unwrap();
    assert!(refused(ResponseHead::ok("application/cbor")).kind() == ErrorKind::ContentType);
    assert!(refused(ResponseHead::new(200)).kind() == ErrorKind::ContentType);
    assert!(
        refused(ResponseHead::ok("application/json").header("content-ENCODING", "gzip")).kind()
            == ErrorKind::ContentEncoding
    );
    for status in [101, 206] {
        assert!(refused(ResponseHead::new(status)).kind() == ErrorKind::Status);
    }
    // A message ends where it ends, not at a NUL that the request brought.
    let nul = RequestHead::get("/apis/discovery.k8s.io/v1/endpointslices?a=\0&b=c");
    assert_eq!(
        node.open(&nul, &ResponseHead::ok("text/plain")).err().unwrap().kind(),
        ErrorKind::ContentType
    );
    for (request, head) in [
        (slices.clone(), ResponseHead::ok("application/json")),
        (RequestHead::get("/api/v1/pods"), ResponseHead::ok("application/json")),
        (RequestHead::new("POST", "/api/v1/services"), ResponseHead::ok("application/json")),
        (RequestHead::get("/api/v1/services"), ResponseHead::new(404)),
    ] {
        assert!(
            cluster
                .read_facts(&request, &head)
                .is_err_and(|error| error.kind() == ErrorKind::NotAFact),
            "{request:?}"
        );
    }
    let services = RequestHead::get("/api/v1/services");
    assert_eq!(
        cluster.read_facts(&services, &ResponseHead::ok("text/plain")).err().unwrap().kind(),
        ErrorKind::ContentType
    );
    let compressed = ResponseHead::ok("application/json").header("Content-Encoding", "br");
    assert!(
        cluster
            .read_facts(&services, &compressed)
            .is_err_and(|error| error.kind() == ErrorKind::ContentEncoding)
    );
}

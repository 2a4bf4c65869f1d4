//! The recorded life of a cluster, and of one client in it, lived behind Rust and behind C at the
//! same time: the same calls in the same order, and every answer compared.

use std::collections::BTreeMap;
use std::ops::Range;

use poolscope::{ErrorKind, RequestHead, ResponseHead};
use serde_json::Value;

use super::both::{BodyRewriter, Cluster, Decision, FactReader, Node};
use poolscope_testkit::{DATA, Recording, random_chunks};

/// The version of the recorded lists, where their watches continue.
const LISTED: &str = "resourceVersion=241";
const TYPES: [&str; 2] = ["application/json", "application/vnd.kubernetes.protobuf"];

fn load(name: &str, protobuf: bool) -> Recording {
    Recording::load(&format!("{name}-{}", if protobuf { "proto.pb" } else { "json.json" }))
}

/// The recorded watch, from another version on.
fn goes_on(mut watch: Recording, from: &str) -> Recording {
    assert!(watch.request.target.contains("resourceVersion=242"));
    watch.request.target = watch.request.target.replace("resourceVersion=242", from);
    watch
}

/// Where each chunk of the API server ended, and when it came.
fn chunks(recording: &Recording) -> Vec<(u64, Range<usize>)> {
    let meta = format!("{DATA}/recorded/{}.meta.json", recording.name.rsplit_once('.').unwrap().0);
    let meta: Value = serde_json::from_str(&std::fs::read_to_string(meta).unwrap()).unwrap();
    let mut start = 0;
    let chunks = meta["chunksBytesAtMs"].as_array().unwrap().iter().map(|chunk| {
        let end = start + chunk[0].as_u64().unwrap() as usize;
        (chunk[1].as_u64().unwrap(), std::mem::replace(&mut start, end)..end)
    });
    let chunks: Vec<_> = chunks.collect();
    assert_eq!(start, recording.body.len());
    chunks
}

/// One life: how it is configured, who lives it, and what happened in it.
struct Life {
    cluster: Cluster,
    node: Node,
    protobuf: bool,
    /// The objects that the client asks for.
    plural: &'static str,
    stream: Option<BodyRewriter>,
    refreshed_at: u64,
    /// How often, or of how many bytes.
    happened: BTreeMap<&'static str, usize>,
}

impl Life {
    fn new(config: &str, node: &str, plural: &'static str, protobuf: bool) -> Life {
        let cluster = Cluster::new(config).unwrap();
        let node = cluster.node(node);
        Life {
            cluster,
            node,
            protobuf,
            plural,
            stream: None,
            refreshed_at: 0,
            happened: BTreeMap::new(),
        }
    }

    fn note(&mut self, what: &'static str, times: usize) {
        *self.happened.entry(what).or_default() += times;
    }

    fn times(&self, what: &str) -> usize {
        self.happened.get(what).copied().unwrap_or_default()
    }

    fn learn_lists(&self) {
        for kind in ["services", "nodes"] {
            self.cluster.learn(&load(&format!("list/{kind}"), self.protobuf));
        }
        self.cluster.learn(&Recording::load("list/nodepools-json.json"));
    }

    fn list(&self, recording: &Recording) {
        let mut list = self.node.rewrite(&recording.request, &recording.head);
        assert_eq!(list.run(&recording.body, random_chunks(9, 3000)).0, Ok(()));
    }

    /// Lists, and watches from there; the facts come from lists and their watches.
    fn list_and_watch(&mut self) {
        self.learn_lists();
        self.list(&load(&format!("list/{}", self.plural), self.protobuf));
        let watch = goes_on(load(&format!("watch/{}", self.plural), self.protobuf), LISTED);
        self.stream = Some(self.node.rewrite(&watch.request, &watch.head));
        let nodepools = Recording::load("watch/nodepools-json.json");
        self.live(&[
            load("watch/services", self.protobuf),
            load("watch/nodes", self.protobuf),
            nodepools,
            watch,
        ]);
    }

    /// Watches with initial events, the client and the facts; the client cannot be served before
    /// enough is known.
    fn watch_list(&mut self) {
        let nodepools = Recording::load("watchlist/nodepools-json.json");
        let watch = load(&format!("watchlist/{}", self.plural), self.protobuf);
        self.live(&[
            load("watchlist/services", self.protobuf),
            load("watchlist/nodes", self.protobuf),
            nodepools,
            watch,
        ]);
    }

    /// Everything that came over these lines, chunk by chunk in the order of its arrival. The last
    /// is the client's.
    fn live(&mut self, lines: &[Recording]) {
        let (client, facts) = lines.split_last().unwrap();
        let open = |line: &Recording| self.cluster.read_facts(&line.request, &line.head).unwrap();
        let mut feeds: Vec<FactReader> = facts.iter().map(open).collect();
        let pieces = lines.iter().enumerate().flat_map(|(line, recording)| {
            chunks(recording).into_iter().map(move |piece| (line, piece))
        });
        let mut pieces: Vec<_> = pieces.collect();
        pieces.sort_by_key(|(_, (at, _))| *at);
        let mut waiting = Vec::new();
        for (line, (_, bytes)) in pieces {
            if let Some(feed) = feeds.get_mut(line) {
                feed.push(&lines[line].body[bytes]).unwrap();
            } else {
                waiting.push(bytes);
            }
            if self.stream.is_none() && !waiting.is_empty() {
                match self.node.open(&client.request, &client.head).unwrap() {
                    Decision::Rewrite(stream) => self.stream = Some(stream),
                    Decision::Reply(reply) if matches!(reply.status, 429 | 503) => {
                        self.note("waited", 1)
                    }
                    _ => panic!("{}", client.name),
                }
            }
            if self.stream.is_some() {
                std::mem::take(&mut waiting)
                    .into_iter()
                    .for_each(|bytes| self.push(&client.body[bytes]));
                self.refresh();
            }
        }
        feeds.iter_mut().for_each(|feed| feed.finish().unwrap());
        self.cluster.check();
    }

    fn stream(&mut self) -> &mut BodyRewriter {
        self.stream.as_mut().unwrap()
    }

    fn push(&mut self, bytes: &[u8]) {
        let (result, given) = self.stream().push(bytes);
        assert_eq!(result, Ok(()));
        self.note("given", given.len());
    }

    /// Refreshes where the header says to, and fetches what is wanted then.
    fn refresh(&mut self) {
        if self.cluster.generation() == self.refreshed_at && !self.stream().rust.needs_refresh() {
            return;
        }
        self.refreshed_at = self.cluster.generation();
        self.note("was behind", usize::from(self.stream.as_ref().unwrap().rust.needs_refresh()));
        let was_over = self.stream().is_ended();
        let (result, given) = self.stream().refresh();
        assert_eq!(result, Ok(()));
        self.note("refreshed", given.len());
        if self.stream().is_ended() && !was_over {
            self.note("expired", 1);
        }
        let wanted = self.stream().needed_lists();
        if !wanted.is_empty() {
            self.note("wanted", wanted.len());
            self.provide_list(&wanted);
        }
    }

    fn provide_list(&mut self, wanted: &[String]) {
        let whole = load(&format!("list/{}", self.plural), self.protobuf);
        let other = ResponseHead::ok(TYPES[usize::from(!self.protobuf)]);
        let cut = &whole.body[..whole.body.len() / 2];
        for (head, body) in [
            (&other, &*whole.body),
            (&ResponseHead::new(404), b""),
            (&ResponseHead::new(200), b""),
            (&whole.head, cut),
            (&whole.head, b"not found"),
        ] {
            let (result, given) = self.stream().provide_list(head, body);
            assert!(result.is_err() && given.is_empty(), "{head:?}");
            assert_eq!(
                self.stream().needed_lists(),
                wanted,
                "the stream goes on as if it had not come"
            );
        }
        let (result, given) = self.stream().provide_list(&whole.head, &whole.body);
        assert_eq!(result, Ok(()));
        self.note("supplied", given.len());
        assert!(self.stream().needed_lists().len() <= wanted.len());
    }

    /// The body ends, and nothing more is taken.
    fn end(&mut self) {
        let (result, given) = self.stream().finish();
        assert_eq!((result, given), (Ok(()), Vec::new()));
        for (result, given) in
            [self.stream().push(b"{"), self.stream().refresh(), self.stream().finish()]
        {
            assert!(
                result.is_err_and(|error| error.kind() == ErrorKind::Closed) && given.is_empty()
            );
        }
        let (result, _) = self.stream().provide_list(&ResponseHead::new(200), b"");
        assert!(result.is_err_and(|error| error.kind() == ErrorKind::Closed));
        self.cluster.check();
    }
}

/// Nodes that stay, move, come and go, and are in no pool.
const LIVES: [&str; 4] = ["hz-edge-1", "sh-edge-4", "hz-edge-9", "cloud-master-0"];

#[test]
fn a_client_that_lists_and_watches_is_told_the_same() {
    for protobuf in [false, true] {
        for (node, config) in LIVES.into_iter().zip([
            r#"{}"#,
            r#"{"suppressUnchanged":false}"#,
            r#"{"retention":"full"}"#,
            r#"{"topologyFallback":true}"#,
        ]) {
            for plural in ["endpointslices", "endpoints"] {
                let mut life = Life::new(config, node, plural, protobuf);
                life.list_and_watch();
                life.end();
                let happened = life.happened;
                assert!(
                    happened["given"] > 600
                        && happened["refreshed"] > 600
                        && happened["was behind"] > 3,
                    "{happened:?}"
                );
                assert!(
                    !happened.contains_key("wanted") && !happened.contains_key("expired"),
                    "{happened:?}"
                );
            }
        }
    }
}

#[test]
fn a_client_that_asks_for_initial_events_waits_and_is_told_the_same() {
    for protobuf in [false, true] {
        for plural in ["endpointslices", "endpoints"] {
            let mut life = Life::new("{}", "hz-edge-1", plural, protobuf);
            // The client's line is the fastest: nothing is known when its first chunk comes.
            let watch = load(&format!("watchlist/{plural}"), protobuf);
            assert!(matches!(life.node.open(&watch.request, &watch.head), Ok(Decision::Reply(_))));
            life.watch_list();
            life.end();
            assert!(
                life.times("waited") > 0
                    && life.times("given") > 3000
                    && life.times("refreshed") > 500,
                "{:?}",
                life.happened
            );
        }
    }
}

#[test]
fn what_a_service_with_new_keys_needs_is_wanted_and_supplied_the_same() {
    for protobuf in [false, true] {
        for node in LIVES {
            let mut life =
                Life::new(r#"{"retention":"topology"}"#, node, "endpointslices", protobuf);
            life.list_and_watch();
            life.end();
            // `shop/frontend` gains keys, and its slice is as it was listed.
            assert!(
                life.times("wanted") > 0 && life.times("supplied") > 500,
                "{node}: {:?}",
                life.happened
            );
            assert_eq!(life.times("expired"), 0);
        }
    }
}

#[test]
fn a_watch_without_originals_ends_itself_and_is_not_continued_the_same() {
    for protobuf in [false, true] {
        let mut life =
            Life::new(r#"{"retention":"none"}"#, "hz-edge-1", "endpointslices", protobuf);
        life.list_and_watch();
        assert_eq!(life.times("expired"), 1);
        assert!(life.stream().is_ended());
        assert_eq!(
            life.stream().push(b"whatever still comes"),
            (Ok(()), Vec::new()),
            "it is swallowed"
        );
        life.end();
        let watch = |from: &str| goes_on(load("watch/endpointslices", protobuf), from);
        let open = |life: &Life, from: &str| {
            let watch = watch(from);
            life.node.open(&watch.request, &watch.head).unwrap()
        };
        let Decision::Reply(answer) = open(&life, LISTED) else {
            panic!("it goes on from what is not known")
        };
        assert_eq!((answer.status, answer.content_type), (410, TYPES[usize::from(protobuf)]));
        // It relists, and resumes there.
        life.list(&load("list/endpointslices", protobuf));
        assert!(matches!(open(&life, LISTED), Decision::Rewrite(_)));
    }
}

#[test]
fn a_watch_with_an_unknown_past_is_answered_the_same() {
    for protobuf in [false, true] {
        let life = Life::new("{}", "hz-edge-1", "endpointslices", protobuf);
        life.learn_lists();
        for plural in ["endpointslices", "endpoints"] {
            let watch = load(&format!("watch/{plural}"), protobuf);
            let Decision::Reply(answer) = life.node.open(&watch.request, &watch.head).unwrap()
            else {
                panic!("{plural}")
            };
            assert_eq!((answer.status, answer.retry_after), (410, None));
            assert!(
                matches!(
                    life.node.open_stateless(&watch.request, &watch.head),
                    Ok(Decision::Rewrite(_))
                ),
                "alone it has no past"
            );
        }
        life.cluster.check();
    }
}

#[test]
fn a_client_goes_on_after_a_broken_connection_the_same() {
    for protobuf in [false, true] {
        let mut life = Life::new("{}", "hz-edge-1", "endpointslices", protobuf);
        life.learn_lists();
        life.list(&load("list/endpointslices", protobuf));
        let watch = goes_on(load("watch/endpointslices", protobuf), LISTED);
        for turn in 0..4 {
            // The line breaks in the middle of something; nobody finishes the stream.
            life.stream = Some(life.node.rewrite(&watch.request, &watch.head));
            life.refresh();
            life.push(&watch.body[..2000 * turn]);
            life.stream = None;
        }
        // Facts changed meanwhile: the new connection says what the old one owed.
        life.cluster.learn(&goes_on(load("watch/services", protobuf), LISTED));
        life.stream = Some(life.node.rewrite(&watch.request, &watch.head));
        life.refresh();
        assert!(life.times("was behind") > 0);
        life.push(&watch.body);
        life.end();
    }
}

#[test]
fn lists_in_pages_are_the_same() {
    for protobuf in [false, true] {
        let life =
            Life::new(r#"{"protobufLists":"compact"}"#, "hz-edge-1", "endpointslices", protobuf);
        life.learn_lists();
        for page in 1..=9 {
            life.list(&load(&format!("list/endpointslices-limit5-p{page:02}"), protobuf));
        }
        let watch = goes_on(load("watch/endpointslices", protobuf), LISTED);
        let mut stream = life.node.rewrite(&watch.request, &watch.head);
        assert_eq!(stream.run(&watch.body, random_chunks(5, 2000)).0, Ok(()));
    }
}

#[test]
fn facts_pass_through_the_streams_of_a_client_and_teach_the_same() {
    let cluster = Cluster::new("{}").unwrap();
    let node = cluster.node("hz-edge-1");
    for name in [
        "list/services-proto.pb",
        "list/nodes-json.json",
        "list/nodepools-json.json",
        "watch/services-proto.pb",
    ] {
        let recording = Recording::load(name);
        let before = cluster.generation();
        let mut stream = node.rewrite(&recording.request, &recording.head);
        let (result, given) = stream.run(&recording.body, random_chunks(3, 800));
        assert!(result.is_ok() && given == recording.body, "{name}");
        assert!(cluster.generation() > before, "{name}");
    }
    let pods = RequestHead::get("/api/v1/pods");
    assert!(matches!(node.open(&pods, &ResponseHead::ok(TYPES[0])), Ok(Decision::Forward)));
}

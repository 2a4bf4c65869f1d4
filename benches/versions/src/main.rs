//! Compares an earlier version of the library with the present one in a single process: in each
//! round memcpy, one version and the other push the same bytes, so that other work on the machine
//! slows all three alike. `poolscope-versions [WORD...]` measures the rows whose names have every
//! word.

use std::hint::black_box;
use std::time::Duration;

use cpu_time::ThreadTime;
use poolscope_testkit::corpus::{
    alternating, heavy, json_event, mixed, moving, protobuf_event, slice,
};
use serde_json::Value;

/// Together larger than the caches, so that memcpy runs at the speed of memory.
const EVENTS: usize = 2000;
const HEAVY: usize = 6000;
const ROUNDS: usize = 12;
const CHUNK: usize = 16 << 10;

/// How long a stream lives, and what it records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    /// One stream without client state.
    Stateless,
    /// One stream that records each object.
    State,
    /// A stream with client state for every 200 events, so that each object is new.
    New,
}

const NEW: usize = 200;

/// One version of the library.
macro_rules! version {
    ($library:ident) => {
        mod $library {
            use std::hint::black_box;
            use std::time::Duration;

            use bytes::BytesMut;
            use cpu_time::ThreadTime;
            use poolscope_testkit::corpus::{NODES, facts, node};
            use $library::{Action, BodyRewriter, Cluster, Config, RequestHead, ResponseHead};

            use super::{Lifetime, NEW};

            /// Streams of one row.
            pub struct Streams {
                pub lifetime: Lifetime,
                pub members: usize,
                pub content_type: &'static str,
                stream: Option<BodyRewriter>,
                out: BytesMut,
            }

            impl Streams {
                pub fn new(
                    lifetime: Lifetime,
                    members: usize,
                    content_type: &'static str,
                ) -> Streams {
                    let out = BytesMut::with_capacity(1 << 20);
                    Streams { lifetime, members, content_type, stream: None, out }
                }

                fn open(&self) -> BodyRewriter {
                    let mut config = Config::openyurt();
                    config.set_suppress_unchanged(false);
                    let cluster = Cluster::new(config).unwrap();
                    let nodes: Vec<String> =
                        (0..self.members).map(|number| node(number * 7 % NODES)).collect();
                    for (path, body) in facts(&nodes) {
                        let head = ResponseHead::ok("application/json");
                        let mut reader =
                            cluster.read_facts(&RequestHead::get(path), &head).unwrap();
                        reader.push(body.as_bytes()).unwrap();
                        reader.finish().unwrap();
                    }
                    let request =
                        RequestHead::get("/apis/discovery.k8s.io/v1/endpointslices?watch=true");
                    let (node, head) = (cluster.node(node(0)), ResponseHead::ok(self.content_type));
                    let action = match self.lifetime {
                        Lifetime::Stateless => node.open_stateless(&request, &head),
                        Lifetime::State | Lifetime::New => node.open(&request, &head),
                    };
                    match action {
                        Ok(Action::Rewrite(stream)) => stream,
                        other => panic!("{other:?}"),
                    }
                }

                /// Pushes the events in chunks of `size`, or an event a chunk, and returns the
                /// processor time. `output` is given each piece of output.
                pub fn pass(
                    &mut self,
                    events: &[Vec<u8>],
                    body: &[u8],
                    size: Option<usize>,
                    mut output: impl FnMut(&[u8]),
                ) -> Duration {
                    let mut stream = self.stream.take().unwrap_or_else(|| self.open());
                    let (mut time, mut at) = (Duration::ZERO, 0);
                    let streams = if self.lifetime == Lifetime::New { NEW } else { events.len() };
                    for (number, events) in events.chunks(streams).enumerate() {
                        if number > 0 {
                            stream = self.open();
                        }
                        let len = events.iter().map(Vec::len).sum::<usize>();
                        let body = &body[at..at + len];
                        at += len;
                        let start = ThreadTime::now();
                        let mut push = |chunk: &[u8]| {
                            self.out.clear();
                            stream.push(black_box(chunk), &mut self.out).unwrap();
                            output(black_box(&self.out));
                        };
                        match size {
                            Some(size) => body.chunks(size).for_each(&mut push),
                            None => events.iter().for_each(|event| push(event)),
                        }
                        time += start.elapsed();
                    }
                    if self.lifetime != Lifetime::New {
                        self.stream = Some(stream);
                    }
                    time
                }
            }
        }
    };
}
version!(before);
version!(after);

/// One row of the table.
struct Row {
    corpus: &'static str,
    lifetime: Lifetime,
    content_type: &'static str,
    members: usize,
    chunk: Option<usize>,
}

impl Row {
    fn name(&self) -> String {
        let encoding = if self.content_type == JSON { "JSON" } else { "protobuf" };
        let lifetime = match self.lifetime {
            Lifetime::Stateless => "stateless",
            Lifetime::State => "state",
            Lifetime::New => "state, new objects",
        };
        let cut = 100 - self.members / 5;
        let chunk = if self.chunk.is_some() { "16 KiB" } else { "event" };
        format!("{encoding}, {}, {lifetime}, {cut} of 100 go, {chunk}", self.corpus)
    }
}

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The slices of a corpus, which are made only if a row needs them.
fn slices(corpus: &str) -> Vec<Value> {
    let of = |form: fn(usize) -> Value, count| (0..count).map(form).collect();
    match corpus {
        "mixed" => of(mixed, EVENTS),
        "metadata-heavy" => of(heavy, HEAVY),
        "forms alternate" => of(alternating, EVENTS),
        "moving" => moving(slice, EVENTS),
        _ => of(slice, EVENTS),
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let all = [50, 450].as_slice();
    let corpora = [
        ("same", [Lifetime::Stateless, Lifetime::State, Lifetime::New].as_slice(), all),
        ("moving", &[Lifetime::State], all),
        ("mixed", &[Lifetime::Stateless, Lifetime::State], all),
        ("metadata-heavy", &[Lifetime::Stateless, Lifetime::State], &all[..1]),
        ("forms alternate", &[Lifetime::Stateless], all),
    ];
    println!("| | memcpy, GB/s | before | after | after / before |\n|---|---|---|---|---|");
    for (corpus, lifetimes, members) in corpora {
        let mut rows = Vec::new();
        for content_type in [JSON, PROTOBUF] {
            for &lifetime in lifetimes {
                for &members in members {
                    for chunk in [None, Some(CHUNK)] {
                        rows.push(Row { corpus, lifetime, content_type, members, chunk });
                    }
                }
            }
        }
        rows.retain(|row| words.iter().all(|word| row.name().contains(word.as_str())));
        for content_type in [JSON, PROTOBUF] {
            let mut rows = rows.iter().filter(|row| row.content_type == content_type).peekable();
            if rows.peek().is_some() {
                let event = if content_type == JSON { json_event } else { protobuf_event };
                let events: Vec<Vec<u8>> = slices(corpus).iter().map(event).collect();
                rows.for_each(|row| measure(row, &events));
            }
        }
    }
}

fn measure(row: &Row, events: &[Vec<u8>]) {
    let Row { lifetime, content_type, members, chunk, .. } = *row;
    let (name, body) = (row.name(), events.concat());
    let mut copy = vec![0; body.len()];
    let mut before = before::Streams::new(lifetime, members, content_type);
    let mut after = after::Streams::new(lifetime, members, content_type);
    // The first pass warms up and compares what the versions write, in any pieces.
    let (mut old, mut new) = (Vec::with_capacity(body.len()), Vec::with_capacity(body.len()));
    before.pass(events, &body, chunk, |bytes| old.extend_from_slice(bytes));
    after.pass(events, &body, chunk, |bytes| new.extend_from_slice(bytes));
    assert!(old == new, "{name}: the versions write different bytes");
    assert!(old.len() > body.len() / 20 && old.len() < body.len(), "{name}: {}", old.len());
    let mut fastest = [Duration::MAX; 3];
    for round in 0..ROUNDS {
        let start = ThreadTime::now();
        copy.copy_from_slice(black_box(&body));
        black_box(&copy);
        let mut times = [start.elapsed(), Duration::ZERO, Duration::ZERO];
        // In the first place now one version, now the other.
        for way in [1 + round % 2, 2 - round % 2] {
            times[way] = match way {
                1 => before.pass(events, &body, chunk, |_| ()),
                _ => after.pass(events, &body, chunk, |_| ()),
            };
        }
        for (fastest, time) in fastest.iter_mut().zip(times) {
            *fastest = time.min(*fastest);
        }
    }
    let [memcpy, old, new] = fastest.map(|time| body.len() as f64 / 1e9 / time.as_secs_f64());
    println!(
        "| {name} | {memcpy:.2} | {old:.2} ({:.3}) | {new:.2} ({:.3}) | {:.2} |",
        old / memcpy,
        new / memcpy,
        new / old
    );
}

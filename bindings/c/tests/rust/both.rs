//! One cluster twice: behind the Rust API, and behind C's. Every answer of the one is compared with
//! that of the other.

use bytes::BytesMut;
use poolscope::{Action, Config, Error, ErrorKind, Reply, ReplyCause, RequestHead, ResponseHead};
use poolscope_capi::{poolscope_action, poolscope_cause, poolscope_status};

use super::c::{self, Failure};
use poolscope_testkit::{FACTS, Recording};

/// A call that can fail, and what Rust says that went wrong.
pub type Result<T> = poolscope::Result<T>;

/// Converts an error into what C must report. The statuses are the header's.
fn failure(error: &Error) -> Failure {
    use poolscope_status::*;
    let status = match error.kind() {
        ErrorKind::Malformed => POOLSCOPE_ERR_MALFORMED,
        ErrorKind::Truncated => POOLSCOPE_ERR_TRUNCATED,
        ErrorKind::TooLarge => POOLSCOPE_ERR_TOO_LARGE,
        ErrorKind::TooDeep => POOLSCOPE_ERR_TOO_DEEP,
        ErrorKind::TooMany => POOLSCOPE_ERR_TOO_MANY,
        ErrorKind::Undecodable => POOLSCOPE_ERR_UNDECODABLE,
        ErrorKind::ContentEncoding => POOLSCOPE_ERR_CONTENT_ENCODING,
        ErrorKind::ContentType => POOLSCOPE_ERR_CONTENT_TYPE,
        ErrorKind::Status => POOLSCOPE_ERR_HTTP_STATUS,
        ErrorKind::NotAFact => POOLSCOPE_ERR_NOT_A_FACT,
        ErrorKind::Config => POOLSCOPE_ERR_CONFIG,
        ErrorKind::Closed => POOLSCOPE_ERR_CLOSED,
        other => panic!("no status is known for {other:?}"),
    };
    // C reads to the first NUL.
    let text = |text: &str| text.replace('\0', "\u{fffd}");
    Failure {
        status,
        message: text(&error.to_string()),
        offset: error.offset(),
        object: error.object().map(text),
    }
}

/// Asserts that both sides failed alike, or that neither did.
pub fn same<T, U>(rust: Result<T>, c: c::Result<U>) -> Result<(T, U)> {
    match (rust, c) {
        (Ok(rust), Ok(c)) => Ok((rust, c)),
        (Err(error), Err(failed)) => {
            assert_eq!(failed, failure(&error));
            Err(error)
        }
        (Ok(_), Err(failed)) => panic!("only C fails: {failed:?}"),
        (Err(error), Ok(_)) => panic!("only Rust fails: {error:?}"),
    }
}

pub struct Cluster {
    pub rust: poolscope::Cluster,
    pub c: c::Cluster,
}

impl Cluster {
    pub fn new(config: &str) -> Result<Cluster> {
        let rust = Config::from_json(config).and_then(poolscope::Cluster::new);
        same(rust, c::Cluster::new(config)).map(|(rust, c)| Cluster { rust, c })
    }

    /// One that knows what the lists of a folder of recordings say.
    pub fn of(config: &str, folder: &str) -> Cluster {
        let cluster = Cluster::new(config).unwrap();
        for kind in FACTS {
            cluster.learn(&Recording::load(&format!("{folder}/{kind}-json.json")));
        }
        cluster
    }

    pub fn read_facts(&self, request: &RequestHead, head: &ResponseHead) -> Result<FactReader> {
        let feeds = same(
            self.rust.read_facts(request, head),
            self.c.read_facts(&c::RequestHead::of(request), &c::ResponseHead::of(head)),
        );
        feeds.map(|(rust, c)| FactReader { rust, c })
    }

    pub fn learn(&self, recording: &Recording) {
        let mut feed = self.read_facts(&recording.request, &recording.head).unwrap();
        feed.push(&recording.body).unwrap();
        feed.finish().unwrap();
        self.check();
    }

    pub fn node(&self, name: &str) -> Node {
        Node { rust: self.rust.node(name), c: self.c.node(name).unwrap() }
    }

    pub fn generation(&self) -> u64 {
        assert_eq!(self.c.generation(), self.rust.generation());
        self.rust.generation()
    }

    /// Compares generation and counters of both sides.
    pub fn check(&self) {
        self.generation();
        assert_eq!(self.c.counters(), serde_json::to_string(&self.rust.counters()).unwrap());
    }
}

pub struct FactReader {
    pub rust: poolscope::FactReader,
    pub c: c::FactReader,
}

impl FactReader {
    pub fn push(&mut self, data: &[u8]) -> Result<()> {
        same(self.rust.push(data), self.c.push(data)).map(drop)
    }

    pub fn finish(&mut self) -> Result<()> {
        same(self.rust.finish(), self.c.finish()).map(drop)
    }
}

pub struct Node {
    pub rust: poolscope::NodeView,
    pub c: c::Node,
}

/// How to handle a response.
pub enum Decision {
    Forward,
    Rewrite(BodyRewriter),
    Reply(Reply),
}

impl Node {
    pub fn open(&self, request: &RequestHead, head: &ResponseHead) -> Result<Decision> {
        let c = self.c.open(&c::RequestHead::of(request), &c::ResponseHead::of(head));
        decision(self.rust.open(request, head), c)
    }

    pub fn open_stateless(&self, request: &RequestHead, head: &ResponseHead) -> Result<Decision> {
        let c = self.c.open_stateless(&c::RequestHead::of(request), &c::ResponseHead::of(head));
        decision(self.rust.open_stateless(request, head), c)
    }

    /// The stream of a response that is rewritten.
    pub fn rewrite(&self, request: &RequestHead, head: &ResponseHead) -> BodyRewriter {
        match self.open(request, head).unwrap() {
            Decision::Rewrite(stream) => stream,
            _ => panic!("{} is not rewritten", request.target),
        }
    }
}

fn decision(rust: Result<Action>, c: c::Result<c::Action>) -> Result<Decision> {
    let (rust, c) = same(rust, c)?;
    let c::Action { what, stream, reply } = c;
    let (decided, expected) = match rust {
        Action::Forward => {
            assert!(stream.is_none() && reply.is_none());
            (Decision::Forward, poolscope_action::POOLSCOPE_ACTION_FORWARD)
        }
        Action::Rewrite(rust) => {
            assert!(reply.is_none());
            let stream = BodyRewriter { rust, c: stream.expect("there is a stream") };
            (Decision::Rewrite(stream), poolscope_action::POOLSCOPE_ACTION_REWRITE)
        }
        Action::Reply(rust) => {
            assert!(stream.is_none());
            let (cause, missing) = match &rust.cause {
                ReplyCause::MissingFacts(missing) => {
                    (poolscope_cause::POOLSCOPE_CAUSE_MISSING_FACTS, missing.clone())
                }
                ReplyCause::UnknownResourceVersion => {
                    (poolscope_cause::POOLSCOPE_CAUSE_UNKNOWN_RESOURCE_VERSION, Vec::new())
                }
                other => panic!("no cause is known for {other:?}"),
            };
            let fields = c::Fields {
                status: rust.status,
                retry_after: rust.retry_after.unwrap_or_default(),
                cause,
                content_type: rust.content_type.to_owned(),
                body: rust.body.to_vec(),
                missing: serde_json::to_string(&missing).unwrap(),
            };
            assert_eq!(reply.expect("there is a reply").read(), fields);
            (Decision::Reply(rust), poolscope_action::POOLSCOPE_ACTION_REPLY)
        }
    };
    assert_eq!(what, expected);
    Ok(decided)
}

pub struct BodyRewriter {
    pub rust: poolscope::BodyRewriter,
    pub c: c::BodyRewriter,
}

/// The result of a call and the bytes that it returned.
pub type Given = (Result<()>, Vec<u8>);

impl BodyRewriter {
    pub fn push(&mut self, chunk: &[u8]) -> Given {
        let c = self.c.push(chunk);
        self.compare(|rust, out| rust.push(chunk, out), c)
    }

    pub fn refresh(&mut self) -> Given {
        let c = self.c.refresh();
        self.compare(|rust, out| rust.refresh(out), c)
    }

    pub fn finish(&mut self) -> Given {
        let c = self.c.finish();
        self.compare(|rust, out| rust.finish(out), c)
    }

    pub fn provide_list(&mut self, head: &ResponseHead, body: &[u8]) -> Given {
        let c = self.c.provide_list(&c::ResponseHead::of(head), body);
        self.compare(|rust, out| rust.provide_list(head, body, out), c)
    }

    fn compare(
        &mut self,
        call: impl FnOnce(&mut poolscope::BodyRewriter, &mut BytesMut) -> Result<()>,
        (c, given): (c::Result<()>, Vec<u8>),
    ) -> Given {
        let mut out = BytesMut::new();
        let result = same(call(&mut self.rust, &mut out), c).map(drop);
        assert!(
            given == *out,
            "other bytes: {:?}, not {:?}",
            String::from_utf8_lossy(&given),
            String::from_utf8_lossy(&out)
        );
        assert_eq!(
            (self.c.bytes_in(), self.c.bytes_out()),
            (self.rust.bytes_in(), self.rust.bytes_out())
        );
        assert_eq!(
            (self.c.state().needs_refresh, self.c.state().is_ended),
            (self.rust.needs_refresh(), self.rust.is_ended())
        );
        (result, given)
    }

    /// The targets of what is wanted.
    pub fn needed_lists(&self) -> Vec<String> {
        let wanted = self.rust.needed_lists();
        assert_eq!(self.c.needed_lists(), serde_json::to_string(&wanted).unwrap());
        wanted.into_iter().map(|wanted| wanted.target).collect()
    }

    pub fn is_ended(&self) -> bool {
        assert_eq!(self.c.state().is_ended, self.rust.is_ended());
        self.rust.is_ended()
    }

    /// Pushes a body in chunks and finishes; stops at an error, with what came until then.
    pub fn run(&mut self, body: &[u8], mut chunks: impl Iterator<Item = usize>) -> Given {
        let (mut given, mut rest) = (Vec::new(), body);
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(chunks.next().unwrap().clamp(1, rest.len()));
            let (result, mut out) = self.push(chunk);
            given.append(&mut out);
            if result.is_err() {
                return (result, given);
            }
            rest = after;
        }
        let (result, mut out) = self.finish();
        given.append(&mut out);
        (result, given)
    }
}

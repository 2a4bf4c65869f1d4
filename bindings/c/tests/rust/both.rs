//! One cluster twice: behind the Rust API, and behind C's. Every answer of the one is compared with
//! that of the other.

use bytes::BytesMut;
use poolscope::{Answer, Config, Error, Head, Missing, Opened, Request};
use poolscope_capi::{poolscope_opening, poolscope_status};

use super::c::{self, Failure};
use poolscope_testkit::{FACTS, Recording};

/// A call that can fail, and what Rust says that went wrong.
pub type Result<T> = poolscope::Result<T>;

/// What C has to say of an error. The statuses are the header's.
fn failure(error: &Error) -> Failure {
    use poolscope_status::*;
    let status = match error {
        Error::Malformed { .. } => POOLSCOPE_MALFORMED,
        Error::Truncated { .. } => POOLSCOPE_TRUNCATED,
        Error::TooLarge { .. } => POOLSCOPE_TOO_LARGE,
        Error::TooDeep { .. } => POOLSCOPE_TOO_DEEP,
        Error::TooMany { .. } => POOLSCOPE_TOO_MANY,
        Error::Undecodable { .. } => POOLSCOPE_UNDECODABLE,
        Error::ContentEncoding(_) => POOLSCOPE_CONTENT_ENCODING,
        Error::ContentType { .. } => POOLSCOPE_CONTENT_TYPE,
        Error::Status { .. } => POOLSCOPE_HTTP_STATUS,
        Error::NotAFact { .. } => POOLSCOPE_NOT_A_FACT,
        Error::Config(_) => POOLSCOPE_CONFIG,
        Error::Closed { .. } => POOLSCOPE_CLOSED,
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

/// The same went wrong, or nothing on either side.
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

    pub fn feed(&self, request: &Request, head: &Head) -> Result<Feed> {
        let feeds = same(
            self.rust.feed(request, head),
            self.c.feed(&c::Request::of(request), &c::Head::of(head)),
        );
        feeds.map(|(rust, c)| Feed { rust, c })
    }

    pub fn learn(&self, recording: &Recording) {
        let mut feed = self.feed(&recording.request, &recording.head).unwrap();
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

    /// What both sides say of themselves.
    pub fn check(&self) {
        self.generation();
        assert_eq!(self.c.counters(), serde_json::to_string(&self.rust.counters()).unwrap());
    }
}

pub struct Feed {
    pub rust: poolscope::Feed,
    pub c: c::Feed,
}

impl Feed {
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

/// What is to be done with a response.
pub enum Decision {
    PassThrough,
    Rewrite(Stream),
    NotReady(Vec<Missing>),
    Expired(Answer),
}

impl Node {
    pub fn open(&self, request: &Request, head: &Head) -> Result<Decision> {
        let c = self.c.open(&c::Request::of(request), &c::Head::of(head));
        decision(self.rust.open(request, head), c)
    }

    pub fn open_alone(&self, request: &Request, head: &Head) -> Result<Decision> {
        let c = self.c.open_alone(&c::Request::of(request), &c::Head::of(head));
        decision(self.rust.open_alone(request, head), c)
    }

    /// The stream of a response that is rewritten.
    pub fn rewrite(&self, request: &Request, head: &Head) -> Stream {
        match self.open(request, head).unwrap() {
            Decision::Rewrite(stream) => stream,
            _ => panic!("{} is not rewritten", request.target),
        }
    }
}

fn decision(rust: Result<Opened>, c: c::Result<c::Opened>) -> Result<Decision> {
    let (rust, mut c) = same(rust, c)?;
    let answer = |c: &c::Opened, answer: &Answer| {
        let expected = (
            answer.status,
            answer.retry_after,
            answer.content_type.to_owned(),
            answer.body.clone(),
        );
        assert_eq!(c.answer(), Ok(expected.clone()));
        assert_eq!(c.answer(), Ok(expected), "it is there as long as `opened` is");
    };
    let (what, missing) = (c.what(), c.missing());
    let stream = c.take_stream();
    assert_eq!(stream.is_some(), what == poolscope_opening::POOLSCOPE_REWRITE);
    assert!(c.take_stream().is_none(), "it was the caller's already");
    assert_eq!(c.what(), what, "taking the stream changes no decision");
    if !matches!(rust, Opened::NotReady(_)) {
        assert_eq!(missing, "[]");
    }
    if let Opened::PassThrough | Opened::Rewrite(_) = rust {
        assert_eq!(c.answer().unwrap_err().status, poolscope_status::POOLSCOPE_INVALID_ARGUMENT);
    }
    let (decided, expected) = match rust {
        Opened::PassThrough => (Decision::PassThrough, poolscope_opening::POOLSCOPE_PASS_THROUGH),
        Opened::Rewrite(rust) => {
            let stream = Stream { rust, c: stream.expect("there is a stream") };
            (Decision::Rewrite(stream), poolscope_opening::POOLSCOPE_REWRITE)
        }
        Opened::NotReady(facts) => {
            assert_eq!(missing, serde_json::to_string(&facts.missing).unwrap());
            answer(&c, &facts.answer);
            (Decision::NotReady(facts.missing), poolscope_opening::POOLSCOPE_NOT_READY)
        }
        Opened::Expired(gone) => {
            answer(&c, &gone);
            (Decision::Expired(gone), poolscope_opening::POOLSCOPE_EXPIRED)
        }
        other => panic!("no opening is known for {other:?}"),
    };
    assert_eq!(what, expected);
    Ok(decided)
}

pub struct Stream {
    pub rust: poolscope::Stream,
    pub c: c::Stream,
}

/// What a call gave out, and how it ended.
pub type Given = (Result<()>, Vec<u8>);

impl Stream {
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

    pub fn supply(&mut self, head: &Head, body: &[u8]) -> Given {
        let c = self.c.supply(&c::Head::of(head), body);
        self.compare(|rust, out| rust.supply(head, body, out), c)
    }

    fn compare(
        &mut self,
        call: impl FnOnce(&mut poolscope::Stream, &mut BytesMut) -> Result<()>,
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
        assert_eq!((self.c.taken(), self.c.given()), (self.rust.taken(), self.rust.given()));
        assert_eq!(
            (self.c.is_behind(), self.c.is_over()),
            (self.rust.is_behind(), self.rust.is_over())
        );
        (result, given)
    }

    /// The targets of what is wanted.
    pub fn wanted(&self) -> Vec<String> {
        let wanted = self.rust.wanted();
        assert_eq!(self.c.wanted(), serde_json::to_string(&wanted).unwrap());
        wanted.into_iter().map(|wanted| wanted.target).collect()
    }

    pub fn is_over(&self) -> bool {
        assert_eq!(self.c.is_over(), self.rust.is_over());
        self.rust.is_over()
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

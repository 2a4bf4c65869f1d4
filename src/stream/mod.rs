//! One response body, from bytes to bytes.

mod body;
mod feed;
mod hold;
mod json_list;
mod json_values;
mod learner;
mod protobuf_frames;
mod protobuf_list;
mod protobuf_object;
pub(crate) mod request;
mod role;
mod unit;

use bytes::BytesMut;

use self::body::{Context, Cursor, Form, Walk};
pub use self::feed::Feed;
use self::hold::Hold;
use self::json_list::JsonList;
use self::json_values::JsonValues;
use self::learner::Learner;
use self::protobuf_frames::ProtobufFrames;
use self::protobuf_list::ProtobufList;
use self::protobuf_object::ProtobufObject;
use self::request::{Head, Request, Resource, Target, Verb};
use self::role::{Filter, Role};
use crate::cluster::fact::matters;
use crate::cluster::{Cluster, Missing};
use crate::config::{Config, Limits};
use crate::error::{Error, Result};
use crate::rewrite::service_topology::ServiceTopology;
use crate::wire::encoding::Encoding;
use crate::wire::splice::Output;

/// What is to be done with a response.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum Opened {
    /// Forward it untouched: it carries no endpoints and teaches nothing.
    PassThrough,
    /// Push its body through this stream.
    Rewrite(Stream),
    /// These facts are not known yet. Answer 503 with Retry-After, or wait for them and ask again: a body that was
    /// served unfiltered cannot be called back.
    NotReady(Vec<Missing>),
}

/// One response body being rewritten: a list, a watch or a single object. It belongs to one caller.
///
/// Push every chunk of the body as it comes, write out what was appended, and call [`Stream::finish`] where the body
/// ends. How the body is cut into chunks makes no difference to what comes out, only to when.
///
/// The answer's `Content-Length`, if it has one, no longer holds; leave it out.
pub struct Stream {
    walk: Box<dyn Walk>,
    role: Role,
    hold: Hold,
    limits: Limits,
    form: Form,
    /// Bytes that the walk has dealt with.
    walked: u64,
    given: u64,
    closed: bool,
}

impl Stream {
    /// Takes the next chunk of the body and appends to `out` what becomes of it.
    ///
    /// An error closes the stream: `out` then ends where the last whole object before the fault ends. End the response
    /// towards the client there.
    pub fn push(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<()> {
        let before = out.len();
        let result = self.take(chunk, &mut Output::to(out));
        self.given += (out.len() - before) as u64;
        result
    }

    /// The body is over. Appends what was held back; an error says that the body was cut short.
    pub fn finish(&mut self, out: &mut BytesMut) -> Result<()> {
        let before = out.len();
        let result = self.end(&mut Output::to(out));
        self.given += (out.len() - before) as u64;
        result
    }

    /// Bytes of the body that were taken and dealt with, not counting what is held back.
    pub fn taken(&self) -> u64 {
        self.walked
    }

    /// Bytes appended to the caller's buffers.
    pub fn given(&self) -> u64 {
        self.given
    }

    fn take(&mut self, chunk: &[u8], out: &mut Output<'_>) -> Result<()> {
        self.check_open()?;
        let mut context = Context { role: &mut self.role, limits: self.limits, base: self.walked, form: self.form };
        let mut result = Ok(());
        let (walk, walked) = (&mut self.walk, &mut self.walked);
        self.hold.with(chunk, |data| {
            let mut cursor = Cursor::default();
            result = walk.walk(data, &mut cursor, &mut context, out);
            out.put(&data[cursor.given..cursor.pos]);
            *walked += cursor.pos as u64;
            cursor.pos
        });
        self.closed = result.is_err();
        result
    }

    fn end(&mut self, out: &mut Output<'_>) -> Result<()> {
        self.check_open()?;
        self.closed = true;
        let mut context = Context { role: &mut self.role, limits: self.limits, base: self.walked, form: self.form };
        self.walk.finish(self.hold.bytes(), &mut context, out)?;
        self.walked += self.hold.len() as u64;
        Ok(())
    }

    fn check_open(&self) -> Result<()> {
        if self.closed { Err(Error::Closed { taken: self.walked, given: self.given }) } else { Ok(()) }
    }

    fn new(verb: Verb, encoding: Encoding, role: Role, config: &Config) -> Stream {
        let limits = config.limits;
        let walk: Box<dyn Walk> = match (verb, encoding) {
            (Verb::Watch { .. }, Encoding::Json) => Box::new(JsonValues::watch(&role, limits)),
            (Verb::Get, Encoding::Json) => Box::new(JsonValues::single(&role, limits)),
            (Verb::List, Encoding::Json) => Box::new(JsonList::new(&role, limits)),
            (Verb::Watch { .. }, Encoding::Protobuf) => Box::new(ProtobufFrames),
            (Verb::Get, Encoding::Protobuf) => Box::new(ProtobufObject),
            (Verb::List, Encoding::Protobuf) => Box::new(ProtobufList::new(&role, config)),
        };
        let form = match verb {
            Verb::Watch { .. } => Form::Watch,
            Verb::List => Form::List,
            Verb::Get => Form::Object,
        };
        Stream { walk, role, hold: Hold::default(), limits, form, walked: 0, given: 0, closed: false }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Stream")
            .field("kind", &self.role.kind())
            .field("form", &self.form)
            .field("taken", &self.walked)
            .field("given", &self.given)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// Opens the stream for a response to `node`'s client.
pub(crate) fn open(cluster: &Cluster, node: &str, request: &Request, head: &Head) -> Result<Opened> {
    let Some(target) = Target::of(request) else { return Ok(Opened::PassThrough) };
    if head.status != 200 {
        // A part of a body, or a WebSocket, would carry endpoints where they cannot be found.
        let has_content = head.status == 101 || (201..300).contains(&head.status);
        return match target.resource {
            Resource::Subject(_) if has_content && cluster.config().service_topology => {
                Err(Error::Status { target: request.target.as_str().into(), status: head.status })
            }
            _ => Ok(Opened::PassThrough),
        };
    }
    let config = cluster.config();
    let role = match target.resource {
        Resource::Fact(kind) if !matters(kind, config) => return Ok(Opened::PassThrough),
        Resource::Subject(_) if !config.service_topology => return Ok(Opened::PassThrough),
        Resource::Fact(kind) => Role::Learn(Box::new(Learner::new(cluster.clone(), kind, &target))),
        Resource::Subject(kind) => {
            let missing = cluster.missing_for(node, &target.selection);
            if !missing.is_empty() {
                return Ok(Opened::NotReady(missing));
            }
            Role::Filter(Box::new(Filter::new(kind, ServiceTopology::new(cluster.clone(), node, kind))))
        }
    };
    let encoding = encoding(request, head)?;
    Ok(Opened::Rewrite(Stream::new(target.verb, encoding, role, config)))
}

fn encoding(request: &Request, head: &Head) -> Result<Encoding> {
    let plain = |value: &str| value.is_empty() || value.eq_ignore_ascii_case("identity");
    if let Some(value) = head.values("content-encoding").find(|value| !plain(value.trim())) {
        return Err(Error::ContentEncoding(value.into()));
    }
    let content_type = head.values("content-type").next().unwrap_or_default();
    Encoding::of_content_type(content_type)
        .ok_or_else(|| Error::ContentType { target: request.target.as_str().into(), content_type: content_type.into() })
}

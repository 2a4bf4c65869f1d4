//! One response body, from bytes to bytes.

mod affected;
mod body;
mod event;
mod feed;
mod follow;
mod hold;
mod json_list;
mod json_values;
mod learner;
mod path;
mod protobuf_frames;
mod protobuf_list;
mod protobuf_object;
mod refresh;
pub(crate) mod request;
mod role;
mod status;
mod unit;

use bytes::BytesMut;

use self::body::{Context, Cursor, Form, Walk};
pub use self::feed::Feed;
use self::follow::Follow;
use self::hold::{Hold, Walked};
use self::json_list::JsonList;
use self::json_values::JsonValues;
use self::learner::Learner;
use self::path::{Resource, Unread};
use self::protobuf_frames::ProtobufFrames;
use self::protobuf_list::ProtobufList;
use self::protobuf_object::ProtobufObject;
use self::request::{Head, Request, Target, Verb};
use self::role::{Filter, Role};
pub use self::status::{Answer, NotReady};
use crate::cluster::Cluster;
use crate::cluster::counters::count;
use crate::cluster::fact::matters;
use crate::config::rewrites::component;
use crate::config::{Components, Config, Limits};
use crate::error::{Error, Result};
use crate::object::outline::SERVICE_NAME_LABEL;
use crate::object::{FactKind, SubjectKind};
use crate::rewrite::{Rules, rewrites_of};
use crate::wire::encoding::Encoding;
use crate::wire::splice::Output;

/// How to handle a response.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum Opened {
    /// Forward it untouched: nothing in it is rewritten, and it teaches nothing.
    PassThrough,
    /// Push its body through this stream.
    Rewrite(Stream),
    /// Facts are not known yet. Give this answer (503 and Retry-After), or wait for the facts and
    /// ask again: a body that was served unfiltered cannot be called back.
    NotReady(NotReady),
    /// Give this answer (410 Gone): a watch whose past this process has not seen. The client lists
    /// again.
    Expired(Answer),
}

/// Objects of a Service whose originals a stream needs and does not have
/// ([`Retention::Topology`](crate::Retention)).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[non_exhaustive]
pub struct Wanted {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Path and query of the list to GET.
    pub target: String,
}

impl Wanted {
    fn of(kind: SubjectKind, service_key: &[u8]) -> Wanted {
        let key = String::from_utf8_lossy(service_key);
        let (namespace, service) = key.split_once('/').unwrap_or_default();
        let encoded =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let (in_namespace, name) = (encoded(namespace), encoded(service));
        let target = match kind {
            SubjectKind::Endpoints | SubjectKind::Service => {
                format!(
                    "/api/v1/namespaces/{in_namespace}/{}?fieldSelector=metadata.name%3D{name}",
                    kind.plural()
                )
            }
            SubjectKind::EndpointSlice | SubjectKind::EndpointSliceBeta => {
                let label = encoded(SERVICE_NAME_LABEL);
                let version = kind.api_version();
                format!(
                    "/apis/{version}/namespaces/{in_namespace}/endpointslices?labelSelector={label}%3D{name}"
                )
            }
        };
        Wanted { namespace: namespace.to_owned(), service: service.to_owned(), target }
    }
}

/// One response body being rewritten: a list, a watch or a single object. It belongs to one caller.
///
/// Push every chunk of the body as it comes, write out what was appended, and call
/// [`Stream::finish`] where the body ends. How the body is cut into chunks makes no difference to
/// what comes out, only to when.
///
/// The answer's `Content-Length`, if it has one, no longer holds; leave it out.
pub struct Stream {
    walk: Box<dyn Walk>,
    role: Role,
    hold: Hold,
    limits: Limits,
    form: Form,
    encoding: Encoding,
    /// Bytes that the walk has dealt with.
    walked: u64,
    given: u64,
    /// The newline that ends the last JSON event given has not come yet.
    mid_line: bool,
    closed: bool,
}

impl Stream {
    /// Takes the next chunk of the body and appends to `out` what becomes of it.
    ///
    /// An error closes the stream: `out` then ends where the last whole object before the fault
    /// ends. End the response towards the client there.
    pub fn push(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<()> {
        let before = out.len();
        let result = self.take(chunk, &mut Output::to(out));
        self.gave(&out[before..]);
        if result.is_ok() {
            self.speak(out);
        }
        result
    }

    /// Ends the body and appends the bytes that were held back. Fails if the body was cut short.
    pub fn finish(&mut self, out: &mut BytesMut) -> Result<()> {
        let before = out.len();
        let result = self.end(&mut Output::to(out));
        self.gave(&out[before..]);
        result
    }

    /// Appends the watch events this client needs after facts changed: MODIFIED for each object
    /// whose filtered form differs from the last sent, ADDED or DELETED for each Service that
    /// became visible or was filtered out, then a BOOKMARK if the client allows them. Call it
    /// whenever [`Cluster::generation`] moved. Inside an event, and before the initial events are
    /// over, it appends nothing; the `push` that reaches the next boundary appends the events.
    ///
    /// Does nothing for lists and single objects.
    pub fn refresh(&mut self, out: &mut BytesMut) -> Result<()> {
        self.check_open()?;
        if let Some(follow) = self.role.follow_mut() {
            follow.ask();
        }
        self.speak(out);
        Ok(())
    }

    /// Returns `true` if [`Stream::refresh`] may emit events. Also `true` right after a watch
    /// resumes, because its client may have missed events. Cheap.
    pub fn is_behind(&self) -> bool {
        match &self.role {
            Role::Filter(filter) => {
                filter.follow.as_ref().is_some_and(|follow| follow.is_behind(filter.rule.cluster()))
            }
            Role::Learn(_) | Role::Collect(_) => false,
        }
    }

    /// Returns the lists that are needed to emit events for Services that gained topology keys.
    /// Empty unless [`Retention::Topology`](crate::Retention) is configured.
    pub fn wanted(&self) -> Vec<Wanted> {
        self.role.follow().map(Follow::wanted).unwrap_or_default()
    }

    /// Takes the whole response to a request for [`Wanted::target`], in the encoding of this
    /// stream, and appends the events that it makes possible. An object counts only at the
    /// resourceVersion that this stream has seen. A newer one is on its way in the watch, an older
    /// one has to be requested again.
    ///
    /// # Errors
    ///
    /// Fails if the response cannot be read. The stream continues as if there had been none.
    pub fn supply(&mut self, head: &Head, body: &[u8], out: &mut BytesMut) -> Result<()> {
        self.check_open()?;
        let Some(Filter { rule, outline, follow: Some(follow), .. }) = self.role.filter() else {
            return Ok(());
        };
        let request = Request::get("the answer to a request for `Wanted::target`");
        if head.status != 200 {
            return Err(Error::Status { target: request.target.into(), status: head.status });
        }
        let content_type = || head.values("content-type").next().unwrap_or_default().into();
        if encoding(&request, head)? != self.encoding {
            return Err(Error::ContentType {
                content_type: content_type(),
                target: request.target.into(),
            });
        }
        let mut list = Stream::new(
            Verb::List,
            self.encoding,
            Role::Collect(Vec::new()),
            rule.cluster().config(),
        );
        list.take(body, &mut Output::nowhere())?;
        list.end(&mut Output::nowhere())?;
        if let Role::Collect(objects) = list.role {
            objects.iter().for_each(|object| follow.supply(object, outline));
        }
        self.speak(out);
        Ok(())
    }

    /// Whether the stream has ended itself: it said ERROR. End the response; whatever still comes
    /// is swallowed.
    pub fn is_over(&self) -> bool {
        self.role.is_expired()
    }

    /// Bytes of the body that were taken and dealt with, not counting what is held back.
    pub fn taken(&self) -> u64 {
        self.walked
    }

    /// Bytes appended to the caller's buffers.
    pub fn given(&self) -> u64 {
        self.given
    }

    /// Bytes that were appended.
    fn gave(&mut self, bytes: &[u8]) {
        self.given += bytes.len() as u64;
        if let Some(&last) = bytes.last() {
            self.mid_line = self.encoding == Encoding::Json && last != b'\n';
        }
    }

    /// Says what is due, where an event may stand (wire 4.5, rule 6). A client that reads lines
    /// must not find two events on one.
    fn speak(&mut self, out: &mut BytesMut) {
        if !self.mid_line && self.role.due(None) {
            let before = out.len();
            self.role.speak(&mut Output::to(out));
            self.gave(&out[before..]);
        }
    }

    fn take(&mut self, chunk: &[u8], out: &mut Output<'_>) -> Result<()> {
        self.check_open()?;
        let Stream { walk, role, limits, form, walked, .. } = self;
        let result = self.hold.with(chunk, |data| {
            // After an ERROR the rest is taken for nothing.
            if role.is_expired() {
                *walked += data.len() as u64;
                return Ok(Walked { used: data.len(), wants: 0 });
            }
            let mut cursor = Cursor::default();
            let mut context = Context { role, limits: *limits, base: *walked, form: *form };
            let result = walk.walk(data, &mut cursor, &mut context, out);
            out.put(&data[cursor.given..cursor.pos]);
            *walked += cursor.pos as u64;
            result.map(|()| Walked { used: cursor.pos, wants: walk.wants(&data[cursor.pos..]) })
        });
        if result.is_err() {
            self.close();
        }
        result
    }

    fn end(&mut self, out: &mut Output<'_>) -> Result<()> {
        self.check_open()?;
        let result = if self.role.is_expired() {
            Ok(())
        } else {
            let mut context = Context {
                role: &mut self.role,
                limits: self.limits,
                base: self.walked,
                form: self.form,
            };
            self.walk.finish(self.hold.bytes(), &mut context, out)
        };
        self.close();
        result?;
        self.walked += self.hold.len() as u64;
        Ok(())
    }

    /// Nothing more is taken or said.
    fn close(&mut self) {
        self.closed = true;
        if let Some(Filter { rule, follow: Some(follow), .. }) = self.role.filter() {
            follow.let_go(rule.cluster());
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.closed {
            Err(Error::Closed { taken: self.walked, given: self.given })
        } else {
            Ok(())
        }
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
        Stream {
            walk,
            role,
            hold: Hold::default(),
            limits,
            form,
            encoding,
            walked: 0,
            given: 0,
            mid_line: false,
            closed: false,
        }
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

/// Opens the stream for a response to `node`'s client, which is `agent` if its request does not
/// say; `alone`: for one body of which nothing is remembered.
pub(crate) fn open(
    cluster: &Cluster,
    node: &str,
    agent: Option<&str>,
    request: &Request,
    head: &Head,
    alone: bool,
) -> Result<Opened> {
    let config = cluster.config();
    let is_rewritten = |kind: SubjectKind| !config.rewrites().and(rewrites_of(kind)).is_empty();
    let Some(target) = Target::of(request) else {
        match Unread::of(&request.method, &request.target) {
            Some(Unread::Path(kind)) if is_rewritten(kind) => {
                count(&cluster.tally().passed_unknown_path, 1)
            }
            Some(Unread::Version(kind)) if is_rewritten(kind) => {
                count(&cluster.tally().passed_unknown_version, 1)
            }
            _ => {}
        }
        return Ok(Opened::PassThrough);
    };
    let subject = match target.resource {
        Resource::Subject(kind) => Some(kind),
        Resource::Fact(FactKind::Service) => Some(SubjectKind::Service),
        Resource::Fact(_) => None,
    };
    let subject = subject.filter(|&kind| is_rewritten(kind));
    if head.status != 200 {
        // A part of a body, or a WebSocket, would carry objects where they cannot be found.
        let has_content = head.status == 101 || (201..300).contains(&head.status);
        return match subject {
            Some(_) if has_content => {
                Err(Error::Status { target: request.target.as_str().into(), status: head.status })
            }
            _ => Ok(Opened::PassThrough),
        };
    }
    let learner = match target.resource {
        // The facts of another cluster are none of this one's.
        Resource::Fact(kind) if matters(kind, config) && !target.is_behind_another_api => {
            Some(Learner::new(cluster.clone(), kind, &target))
        }
        Resource::Fact(_) | Resource::Subject(_) => None,
    };
    let Some(kind) = subject else {
        let Some(learner) = learner else { return Ok(Opened::PassThrough) };
        return Ok(Opened::Rewrite(Stream::new(
            target.verb,
            encoding(request, head)?,
            Role::Learn(Box::new(learner)),
            config,
        )));
    };
    let agent = request.values("user-agent").next().or(agent).unwrap_or_default();
    // Where every client gets the same it does not matter who it is.
    let who = (config.components == Components::YurtHub).then(|| component(agent));
    let missing = cluster.missing_for(
        node,
        &target.selection,
        rewrites_of(kind),
        Some(who.as_deref().unwrap_or_default()),
    );
    if !missing.is_empty() {
        return Ok(Opened::NotReady(NotReady::of(
            missing,
            encoding(request, head).unwrap_or(Encoding::Json),
        )));
    }
    let encoding = encoding(request, head)?;
    let rules = Rules::new(
        cluster.clone(),
        node,
        kind,
        who.unwrap_or_default(),
        target.selection.namespace.as_deref(),
    );
    let follow = match Follow::open(&rules, encoding, &target, agent.into(), alone) {
        Ok(follow) => follow,
        Err(expired) => return Ok(Opened::Expired(expired)),
    };
    let role =
        Role::Filter(Box::new(Filter::new(rules, target.verb == Verb::Get, learner, follow)));
    Ok(Opened::Rewrite(Stream::new(target.verb, encoding, role, config)))
}

fn encoding(request: &Request, head: &Head) -> Result<Encoding> {
    let plain = |value: &str| value.is_empty() || value.eq_ignore_ascii_case("identity");
    if let Some(value) = head.values("content-encoding").find(|value| !plain(value.trim())) {
        return Err(Error::ContentEncoding(value.into()));
    }
    let content_type = head.values("content-type").next().unwrap_or_default();
    Encoding::of_content_type(content_type).ok_or_else(|| Error::ContentType {
        target: request.target.as_str().into(),
        content_type: content_type.into(),
    })
}

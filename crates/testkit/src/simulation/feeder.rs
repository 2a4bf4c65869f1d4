//! How the cluster learns: one small reflector per kind of facts, each over a line of its own with
//! its own delays.

use std::rc::Rc;

use bytes::BytesMut;
use poolscope::{Action, BodyRewriter, Cluster, FactReader, RequestHead, ResponseHead};

use super::judge::Known;
use super::object::{Encoding, Kind, Object};
use super::rng::Rng;
use super::server::{Begin, List, Note, Scope, Server, Upstream};

/// Where the bytes of facts go.
#[derive(Debug)]
enum Sink {
    /// The embedder fetches them itself.
    FactReader(FactReader),
    /// A client asks for them, and they pass through a stream that must not touch them.
    BodyRewriter { stream: Box<BodyRewriter>, taken: Vec<u8>, given: BytesMut },
}

/// Lists a kind and watches it.
#[derive(Debug)]
pub struct Feeder {
    kind: Kind,
    scope: Scope,
    encoding: Encoding,
    /// The node whose client asks, if one does.
    via: Option<String>,
    /// Last resourceVersion seen; `None`: a list is due.
    rv: Option<u64>,
    token: Option<String>,
    pages: Vec<Rc<Object>>,
    line: Option<(Upstream, Sink)>,
}

impl Feeder {
    pub fn new(kind: Kind, scope: Scope, encoding: Encoding, via: Option<String>) -> Feeder {
        Feeder { kind, scope, encoding, via, rv: None, token: None, pages: Vec::new(), line: None }
    }

    pub fn is_wide(&self) -> bool {
        self.scope == Scope::All
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Starts over, as for a cluster that knows nothing.
    pub fn restart(&mut self) {
        *self =
            Feeder::new(self.kind, std::mem::take(&mut self.scope), self.encoding, self.via.take());
    }

    /// The line breaks.
    pub fn cut(&mut self) {
        self.line = None;
    }

    /// One thing that the server does: it writes events, says how far it is, ends the watch or
    /// fails.
    pub fn serve(&mut self, server: &Server, rng: &mut Rng) {
        let Some((upstream, _)) = &mut self.line else { return };
        match rng.below(40) {
            0 => upstream.fail(*rng.of(&[410, 500])),
            1 if server.is_up_to_date(upstream) => upstream.is_ended = true,
            2..=5 => server.bookmark(upstream),
            _ => drop(server.pump(upstream, rng.between(1, 4))),
        }
    }

    /// Asks for a list or a watch, or moves up to `count` bytes. Errors are what the library must
    /// not say.
    pub fn step(
        &mut self,
        cluster: &Cluster,
        server: &Server,
        known: &mut Known,
        count: usize,
        rng: &mut Rng,
    ) -> Result<bool, String> {
        let Some((upstream, sink)) = &mut self.line else {
            self.line = Some(self.open(cluster, server, rng)?);
            return Ok(true);
        };
        let (mut bytes, mut notes) = upstream.read(count);
        if self.rv.is_none() && upstream.waiting() < 16 {
            // Whether a list is known before or after the last bytes, which say nothing, is
            // nobody's business.
            let (rest, more) = upstream.read(16);
            bytes.extend(rest);
            notes.extend(more);
        }
        sink.push(&bytes)?;
        let mut moved = !bytes.is_empty();
        if upstream.is_done() {
            moved = true;
            let (_, sink) = self.line.take().expect("just used");
            sink.finish()?;
        }
        for note in notes {
            self.note(note, known);
        }
        Ok(moved)
    }

    /// Whether the cluster was told everything that happened.
    pub fn is_up_to_date(&self, server: &Server) -> bool {
        let done = |(upstream, _): &(Upstream, Sink)| {
            !upstream.is_ended && upstream.waiting() == 0 && server.is_up_to_date(upstream)
        };
        self.rv.is_some() && self.line.as_ref().is_some_and(done)
    }

    pub fn pump(&mut self, server: &Server) {
        if let Some((upstream, _)) = &mut self.line {
            server.pump(upstream, usize::MAX);
        }
    }

    fn note(&mut self, note: Note, known: &mut Known) {
        match note {
            Note::Page { rv, next, items } => {
                self.pages.extend(items);
                self.token = next;
                if self.token.is_none() {
                    known.list(self.kind, &self.scope, rv, &std::mem::take(&mut self.pages));
                    self.rv = Some(rv);
                }
            }
            Note::Event(event) => {
                known.event(self.kind, &self.scope, &event);
                self.rv = Some(event.object.rv);
            }
            Note::Bookmark(rv) => {
                known.bookmark(self.kind, &self.scope, rv);
                self.rv = Some(rv);
            }
            Note::Error(429) => self.line = None,
            Note::Error(_) => {
                self.line = None;
                (self.rv, self.token) = (None, None);
                self.pages.clear();
            }
        }
    }

    fn open(
        &mut self,
        cluster: &Cluster,
        server: &Server,
        rng: &mut Rng,
    ) -> Result<(Upstream, Sink), String> {
        let (path, selects) = match &self.scope {
            Scope::All => (self.kind.path(None), String::new()),
            Scope::Namespace(namespace) => (self.kind.path(Some(namespace)), String::new()),
            Scope::Name(name) => {
                (self.kind.path(None), format!("&fieldSelector=metadata.name%3D{name}"))
            }
        };
        let encoding = self.encoding;
        let (upstream, target) = match self.rv {
            Some(rv) => {
                let upstream =
                    server.watch(self.kind, self.scope.clone(), Begin::At(rv), true, encoding);
                (
                    upstream,
                    format!(
                        "{path}?allowWatchBookmarks=true&resourceVersion={rv}&watch=true{selects}"
                    ),
                )
            }
            None => {
                let limit = (self.token.is_some() || rng.one_in(2)).then(|| rng.between(1, 5));
                // A cache may be behind when nobody has asked it for anything newer.
                let lag =
                    if self.token.is_none() && rng.one_in(4) { rng.below(6) as u64 } else { 0 };
                let list = List {
                    scope: self.scope.clone(),
                    limit,
                    token: self.token.clone(),
                    ..List::default()
                };
                let mut target =
                    format!("{path}?resourceVersion={}{selects}", if lag > 0 { "0" } else { "" });
                for (key, value) in [
                    ("limit", limit.map(|limit| limit.to_string())),
                    ("continue", self.token.clone()),
                ] {
                    if let Some(value) = value {
                        target += &format!("&{key}={value}");
                    }
                }
                (server.list(self.kind, &list, server.rv - lag, encoding), target)
            }
        };
        if upstream.status != 200 {
            // The first pages are too old to resume.
            (self.token, self.pages) = (None, Vec::new());
            return self.open(cluster, server, rng);
        }
        let request = RequestHead::get(target)
            .header("Accept", encoding.media_type())
            .header("User-Agent", "poolscope-simulation/1");
        let head = ResponseHead::ok(encoding.content_type(self.rv.is_some()));
        let sink = match &self.via {
            None => Sink::FactReader(
                cluster
                    .read_facts(&request, &head)
                    .map_err(|error| format!("feed of {}: {error}", request.target))?,
            ),
            Some(node) => match cluster.node(node.as_str()).open(&request, &head) {
                Ok(Action::Rewrite(stream)) => Sink::BodyRewriter {
                    stream: Box::new(stream),
                    taken: Vec::new(),
                    given: BytesMut::new(),
                },
                other => return Err(format!("{} opened as {other:?}", request.target)),
            },
        };
        Ok((upstream, sink))
    }
}

impl Sink {
    fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        match self {
            Sink::FactReader(feed) => {
                feed.push(bytes).map_err(|error| format!("a feed refused its body: {error}"))
            }
            Sink::BodyRewriter { stream, taken, given } => {
                taken.extend_from_slice(bytes);
                stream
                    .push(bytes, given)
                    .map_err(|error| format!("a stream of facts refused its body: {error}"))?;
                match taken.starts_with(given) {
                    true => Ok(()),
                    false => Err("a stream of facts changed its body".to_owned()),
                }
            }
        }
    }

    fn finish(self) -> Result<(), String> {
        match self {
            Sink::FactReader(mut feed) => feed
                .finish()
                .map_err(|error| format!("a feed refused the end of its body: {error}")),
            Sink::BodyRewriter { mut stream, taken, mut given } => {
                stream.finish(&mut given).map_err(|error| {
                    format!("a stream of facts refused the end of its body: {error}")
                })?;
                match *taken == *given {
                    true => Ok(()),
                    false => Err("a stream of facts held bytes back for good".to_owned()),
                }
            }
        }
    }
}

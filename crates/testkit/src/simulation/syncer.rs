//! The facts that the library fetches itself: a `FactSync` over lines that fail in every way.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use poolscope::{Cluster, FactKind, FactRequest, FactStep, FactSync, FetchId, ResponseHead};

use super::judge::Known;
use super::object::{Encoding, Kind, Object};
use super::rng::Rng;
use super::server::{Begin, List, Note, Scope, Server, Upstream};
use super::wire::Change;

/// A `FactSync`, its clock and its responses.
#[derive(Debug)]
pub struct Syncer {
    node: String,
    encoding: Encoding,
    /// The kinds that it has to fetch.
    kinds: Vec<Kind>,
    sync: FactSync,
    now: Duration,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    id: FetchId,
    kind: Kind,
    scope: Scope,
    upstream: Upstream,
    /// The initial events so far.
    initial: Option<BTreeMap<String, Rc<Object>>>,
    is_list: bool,
}

impl Syncer {
    /// `without_services`: they pass through a client's stream.
    pub fn new(
        cluster: &Cluster,
        node: &str,
        encoding: Encoding,
        without_services: bool,
        seed: u64,
    ) -> Syncer {
        let mut sync = FactSync::new(cluster.node(node), seed);
        let mut kinds = vec![Kind::Node, Kind::Pool];
        if without_services {
            sync.leave_to_client(FactKind::Service);
        } else {
            kinds.push(Kind::Service);
        }
        let (now, lines) = (Duration::ZERO, Vec::new());
        Syncer { node: node.to_owned(), encoding, kinds, sync, now, lines }
    }

    /// Starts over with a cluster without facts.
    pub fn restart(&mut self, cluster: &Cluster) {
        let without_services = !self.kinds.contains(&Kind::Service);
        *self = Syncer::new(cluster, &self.node, self.encoding, without_services, 1);
    }

    /// Lets time pass and takes the library's steps; then one response moves or fails.
    pub fn step(
        &mut self,
        server: &Server,
        known: &mut Known,
        rng: &mut Rng,
    ) -> Result<(), String> {
        self.now += Duration::from_millis(rng.below(4000) as u64);
        self.follow(server, Some(rng))?;
        if self.lines.is_empty() {
            return Ok(());
        }
        let at = rng.below(self.lines.len());
        let upstream = &mut self.lines[at].upstream;
        match rng.below(60) {
            0 => {
                let line = self.lines.swap_remove(at);
                self.sync.broke(line.id, "cut", self.now);
            }
            // It ends, wherever it is.
            1 => {
                let line = self.lines.swap_remove(at);
                self.sync.end(line.id, self.now);
            }
            2 => upstream.fail(*rng.of(&[410, 429, 500])),
            3 if server.is_up_to_date(upstream) => upstream.is_ended = true,
            4..=9 => server.bookmark(upstream),
            10..=20 => drop(server.pump(upstream, rng.between(1, 4))),
            // A silence.
            21 => self.now += Duration::from_secs(rng.below(200) as u64),
            _ => {
                let count = rng.some_of(20_000);
                self.move_bytes(at, count, known)?;
            }
        }
        Ok(())
    }

    /// Everything arrives, and nothing fails.
    pub fn settle(&mut self, server: &Server, known: &mut Known) -> Result<(), String> {
        for _ in 0..1000 {
            let wait = self.follow(server, None)?;
            let mut moved = false;
            for at in (0..self.lines.len()).rev() {
                server.pump(&mut self.lines[at].upstream, usize::MAX);
                moved |= self.move_bytes(at, usize::MAX, known)?;
            }
            if moved {
                continue;
            }
            if self.is_up_to_date(server) {
                return Ok(());
            }
            self.now += wait.ok_or("the facts wait for nothing")?;
        }
        Err(format!("the facts do not come to rest: {:?}", self.sync))
    }

    fn is_up_to_date(&self, server: &Server) -> bool {
        let is_live = |line: &Line| {
            !line.is_list
                && line.initial.is_none()
                && !line.upstream.is_ended
                && server.is_up_to_date(&line.upstream)
        };
        self.lines.iter().all(is_live)
            && self.kinds.iter().all(|kind| self.lines.iter().any(|line| line.kind == *kind))
    }

    /// Takes the library's steps. Returns how long it waits.
    fn follow(
        &mut self,
        server: &Server,
        mut rng: Option<&mut Rng>,
    ) -> Result<Option<Duration>, String> {
        for _ in 0..100 {
            match self.sync.next(self.now) {
                FactStep::Fetch(request) => self.open(&request, server, rng.as_deref_mut())?,
                FactStep::Cancel(id) => {
                    let Some(at) = self.lines.iter().position(|line| line.id == id) else {
                        return Err("a response that is over was cancelled".to_owned());
                    };
                    self.lines.swap_remove(at);
                }
                FactStep::Wait(time) => return Ok(time),
                _ => {}
            }
        }
        Err("the library wants a hundred things at once".to_owned())
    }

    fn open(
        &mut self,
        request: &FactRequest,
        server: &Server,
        rng: Option<&mut Rng>,
    ) -> Result<(), String> {
        let id = request.id;
        match rng.map(|rng| (rng.below(40), *rng.of(&[400, 403, 404, 410, 429, 500, 503]))) {
            Some((0 | 1, _)) => {
                self.sync.broke(id, "refused", self.now);
                return Ok(());
            }
            Some((2..=4, status)) => {
                let head = ResponseHead::new(status).header("Retry-After", "1");
                return match self.sync.head(id, &head, self.now) {
                    false => Ok(()),
                    true => Err(format!("the body of a {status} is wanted")),
                };
            }
            _ => {}
        }
        let line = self.line(request, server)?;
        let head = ResponseHead::ok(line.upstream.encoding.content_type(!line.is_list));
        if !self.sync.head(id, &head, self.now) {
            return Err(format!("{} is not wanted", request.target));
        }
        self.lines.push(line);
        Ok(())
    }

    /// Asks the server what a request asks for, which is read here in its own way.
    fn line(&self, request: &FactRequest, server: &Server) -> Result<Line, String> {
        let wrong = |what: &str| format!("{}: {what}", request.target);
        let (path, query) = request.target.split_once('?').ok_or_else(|| wrong("no query"))?;
        let kind = match path {
            "/api/v1/services" => Kind::Service,
            "/api/v1/nodes" => Kind::Node,
            _ if path.starts_with("/apis/apps.openyurt.io/v1") && path.ends_with("/nodepools") => {
                Kind::Pool
            }
            _ => return Err(wrong("not a kind that is needed")),
        };
        let query: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
        let of = |key: &str| query.get(key).map(|value| &**value);
        let scope = match of("fieldSelector") {
            None => Scope::All,
            Some(field) => Scope::Name(
                field.strip_prefix("metadata.name=").ok_or_else(|| wrong("selector"))?.to_owned(),
            ),
        };
        if (kind == Kind::Node) != (scope == Scope::Name(self.node.clone())) {
            return Err(wrong("the own Node alone is needed, and all of the others"));
        }
        let encoding = if kind == Kind::Pool { Encoding::Json } else { self.encoding };
        let is_list = of("watch").is_none();
        let (upstream, initial) = match (is_list, of("resourceVersion")) {
            (true, Some("0")) => {
                let list = List { scope: scope.clone(), ..List::default() };
                // The watch cache may be behind.
                (server.list(kind, &list, server.rv - server.rv % 3, encoding), None)
            }
            (false, None) if of("sendInitialEvents") == Some("true") => (
                server.watch(kind, scope.clone(), Begin::WatchList, true, encoding),
                Some(BTreeMap::new()),
            ),
            (false, Some(version)) => {
                let version = version.parse().map_err(|_| wrong("version"))?;
                (server.watch(kind, scope.clone(), Begin::At(version), true, encoding), None)
            }
            _ => return Err(wrong("neither a list nor a watch")),
        };
        Ok(Line { id: request.id, kind, scope, upstream, initial, is_list })
    }

    /// Moves up to `count` bytes of a response. Returns whether anything happened.
    fn move_bytes(&mut self, at: usize, count: usize, known: &mut Known) -> Result<bool, String> {
        let line = &mut self.lines[at];
        let (mut bytes, mut notes) = line.upstream.read(count);
        if line.is_list && line.upstream.waiting() < 16 {
            // Whether a list is known before or after its last bytes is nobody's business.
            let (rest, more) = line.upstream.read(16);
            bytes.extend(rest);
            notes.extend(more);
        }
        let has_error = notes.iter().any(|note| matches!(note, Note::Error(_)));
        let is_wanted = bytes.is_empty() || self.sync.push(line.id, &bytes, self.now);
        for note in notes {
            line.note(note, known);
        }
        if !is_wanted {
            self.lines.swap_remove(at);
            return match has_error {
                true => Ok(true),
                false => Err("the rest of a good response is not wanted".to_owned()),
            };
        }
        if has_error {
            return Err("a watch goes on after ERROR".to_owned());
        }
        if line.upstream.is_done() {
            let line = self.lines.swap_remove(at);
            self.sync.end(line.id, self.now);
            return Ok(true);
        }
        Ok(!bytes.is_empty())
    }
}

impl Line {
    /// Tells the model what the library was told.
    fn note(&mut self, note: Note, known: &mut Known) {
        match (note, &mut self.initial) {
            (Note::Page { rv, items, .. }, _) => known.list(self.kind, &self.scope, rv, &items),
            (Note::Event(event), Some(initial)) => match event.change {
                Change::Deleted => drop(initial.remove(&event.object.key)),
                _ => drop(initial.insert(event.object.key.clone(), event.object)),
            },
            (Note::Bookmark(rv), Some(initial)) => {
                let objects: Vec<_> = std::mem::take(initial).into_values().collect();
                known.list(self.kind, &self.scope, rv, &objects);
                self.initial = None;
            }
            (Note::Event(event), None) => known.event(self.kind, &self.scope, &event),
            (Note::Bookmark(rv), None) => known.bookmark(self.kind, &self.scope, rv),
            (Note::Error(_), _) => {}
        }
    }
}

//! The model API server: objects with their history, lists in pages, watches, and a watch cache
//! that forgets.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::object::{Body, Encoding, Kind, Object, SERVICE_LABEL, Slice};
use super::wire::Change;

/// One event of the history. A deleted object is its last version with the resourceVersion of the
/// deletion.
#[derive(Debug, Clone)]
pub struct Event {
    pub change: Change,
    pub object: Rc<Object>,
}

#[derive(Debug, Default)]
struct Log {
    objects: BTreeMap<String, Rc<Object>>,
    events: Vec<Event>,
    /// Events up to here are no longer in the watch cache.
    forgotten: u64,
}

#[derive(Debug)]
pub struct Server {
    /// The latest resourceVersion; one counter for all kinds.
    pub rv: u64,
    logs: [Log; 4],
    /// Every version of every slice, the oldest first.
    versions: BTreeMap<String, Vec<Rc<Object>>>,
    /// Events that the watch cache of one kind holds.
    window: usize,
    /// Slices were made so many times.
    made: u64,
}

/// The content of a part of a response's bytes.
#[derive(Debug, Clone)]
pub enum Note {
    Event(Event),
    Bookmark(u64),
    Error(u16),
    /// The end of a list's page.
    Page {
        rv: u64,
        next: Option<String>,
        items: Vec<Rc<Object>>,
    },
}

/// The server's side of one response: bytes on the line that were not read yet.
#[derive(Debug)]
pub struct Upstream {
    pub status: u16,
    pub encoding: Encoding,
    line: VecDeque<u8>,
    /// The content of the bytes up to an offset of the body.
    notes: VecDeque<(u64, Note)>,
    written: u64,
    read: u64,
    /// Offset where the unit that was last read ended.
    whole: u64,
    /// The server has written everything it will write.
    pub is_ended: bool,
    watch: Option<Watch>,
}

/// How far one watch is.
#[derive(Debug)]
struct Watch {
    kind: Kind,
    scope: Scope,
    initial: VecDeque<Rc<Object>>,
    /// The annotated bookmark that ends the initial events, if it has to come yet.
    end: Option<u64>,
    /// Place in the log.
    next: usize,
    /// Everything up to here was written.
    rv: u64,
    bookmarks: bool,
}

/// Which objects of a kind a list or watch is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    #[default]
    All,
    Namespace(String),
    /// The one of that name, of a kind without namespaces.
    Name(String),
}

impl Scope {
    pub fn has(&self, key: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Namespace(namespace) => {
                key.split_once('/').is_some_and(|(own, _)| own == namespace)
            }
            Scope::Name(name) => key == name,
        }
    }
}

impl From<Option<&str>> for Scope {
    fn from(namespace: Option<&str>) -> Scope {
        namespace.map_or(Scope::All, |namespace| Scope::Namespace(namespace.to_owned()))
    }
}

/// The parameters of a list.
#[derive(Debug, Clone, Default)]
pub struct List {
    pub scope: Scope,
    /// Only slices with this value of the Service's label.
    pub service: Option<String>,
    pub limit: Option<usize>,
    pub token: Option<String>,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    At(u64),
    WatchList,
    Legacy,
}

impl Server {
    pub fn new(window: usize) -> Server {
        Server { rv: 1000, logs: Default::default(), versions: BTreeMap::new(), window, made: 0 }
    }

    fn log(&self, kind: Kind) -> &Log {
        &self.logs[kind as usize]
    }

    pub fn get(&self, kind: Kind, key: &str) -> Option<&Rc<Object>> {
        self.log(kind).objects.get(key)
    }

    pub fn objects(&self, kind: Kind) -> &BTreeMap<String, Rc<Object>> {
        &self.log(kind).objects
    }

    /// A number for a new object's uid.
    pub fn uid(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// Writes an object. A write that changes nothing is none.
    pub fn put(&mut self, kind: Kind, key: &str, body: Body) -> bool {
        let before = self.log(kind).objects.get(key);
        if before.is_some_and(|before| before.body == stamped(body.clone(), before.rv)) {
            return false;
        }
        let change = if before.is_some() { Change::Modified } else { Change::Added };
        self.rv += 1;
        let object = Rc::new(Object {
            kind,
            key: key.to_owned(),
            rv: self.rv,
            body: stamped(body, self.rv),
        });
        self.logs[kind as usize].objects.insert(key.to_owned(), object.clone());
        self.happened(kind, change, object);
        true
    }

    pub fn delete(&mut self, kind: Kind, key: &str) -> bool {
        let Some(last) = self.logs[kind as usize].objects.remove(key) else { return false };
        self.rv += 1;
        let object = Rc::new(Object {
            kind,
            key: key.to_owned(),
            rv: self.rv,
            body: stamped(last.body.clone(), self.rv),
        });
        self.happened(kind, Change::Deleted, object);
        true
    }

    /// Something is written that nobody here looks at: a Lease, an Event.
    pub fn write_elsewhere(&mut self) {
        self.rv += 1;
    }

    fn happened(&mut self, kind: Kind, change: Change, object: Rc<Object>) {
        let window = self.window;
        if matches!(kind, Kind::Slice | Kind::Service) {
            // No Service is called as a slice is: there is no dash in its name.
            self.versions.entry(object.key.clone()).or_default().push(object.clone());
        }
        let log = &mut self.logs[kind as usize];
        log.events.push(Event { change, object });
        if log.events.len() > window {
            log.forgotten = log.events[log.events.len() - window - 1].object.rv;
        }
    }

    /// Every version that a slice or Service ever had, the oldest first.
    pub fn versions(&self, key: &str) -> &[Rc<Object>] {
        self.versions.get(key).map_or(&[], Vec::as_slice)
    }

    /// The objects of a kind as they were at `rv`.
    pub fn at(&self, kind: Kind, scope: impl Into<Scope>, rv: u64) -> BTreeMap<String, Rc<Object>> {
        let mut objects = BTreeMap::new();
        for Event { change, object } in
            self.log(kind).events.iter().take_while(|event| event.object.rv <= rv)
        {
            match change {
                Change::Deleted => drop(objects.remove(&object.key)),
                Change::Added | Change::Modified => {
                    drop(objects.insert(object.key.clone(), object.clone()))
                }
            }
        }
        let scope = scope.into();
        objects.retain(|key, _| scope.has(key));
        objects
    }

    /// The latest event of a selection after `after` and up to `until`.
    pub fn latest(
        &self,
        kind: Kind,
        scope: impl Into<Scope>,
        after: u64,
        until: u64,
    ) -> Option<u64> {
        let scope = scope.into();
        let events = self.log(kind).events.iter().rev().map(|event| &event.object);
        events
            .filter(|object| object.rv <= until && scope.has(&object.key))
            .map(|object| object.rv)
            .next()
            .filter(|&rv| rv > after)
    }

    /// Answers a list as of `rv`, or the page that a token asks for.
    pub fn list(&self, kind: Kind, list: &List, rv: u64, encoding: Encoding) -> Upstream {
        let (rv, after) = match &list.token {
            None => (rv, None),
            Some(token) => {
                let (rv, key) = token.split_once('.').expect("a token of this server");
                (rv.parse().expect("a token of this server"), Some(unhex(key)))
            }
        };
        let mut answer = Upstream::new(encoding, None);
        if list.token.is_some() && rv < self.log(kind).forgotten {
            answer.status = 410;
            answer.write(&encoding.status(410), Note::Error(410));
            answer.is_ended = true;
            return answer;
        }
        let objects = self.at(kind, list.scope.clone(), rv);
        let selected = objects.into_values().filter(|object| match (&list.service, &object.body) {
            (Some(service), Body::Slice(slice)) => slice.service() == Some(service),
            (Some(service), Body::Service(own)) => own.metadata.name == *service,
            _ => true,
        });
        let mut items: Vec<_> = selected
            .filter(|object| after.as_ref().is_none_or(|after| object.key > *after))
            .collect();
        let rest = list.limit.map_or(0, |limit| items.len().saturating_sub(limit));
        items.truncate(items.len() - rest);
        let next = items.last().filter(|_| rest > 0).map(|last| format!("{rv}.{}", hex(&last.key)));
        let body = encoding.list(kind, &items, rv, next.as_deref().unwrap_or(""), rest);
        answer.write(&body, Note::Page { rv, next, items });
        answer.is_ended = true;
        answer
    }

    /// Opens a watch. One that starts too far back is told so in the stream.
    pub fn watch(
        &self,
        kind: Kind,
        scope: impl Into<Scope>,
        begin: Begin,
        bookmarks: bool,
        encoding: Encoding,
    ) -> Upstream {
        let scope = scope.into();
        let rv = if let Begin::At(rv) = begin { rv } else { self.rv };
        let log = self.log(kind);
        // A watch cache that lags begins with an earlier state, and brings what it missed before it
        // says that this was all.
        let lag = if begin == Begin::WatchList && bookmarks { self.rv as usize % 4 } else { 0 };
        let from = if lag == 0 {
            rv
        } else {
            log.events
                .iter()
                .rev()
                .nth(lag - 1)
                .map_or(rv, |event| event.object.rv - 1)
                .max(log.forgotten)
        };
        let initial = match begin {
            Begin::At(_) => VecDeque::new(),
            Begin::WatchList | Begin::Legacy => {
                self.at(kind, scope.clone(), from).into_values().collect()
            }
        };
        let end =
            Some(rv).filter(|_| begin == Begin::WatchList || begin == Begin::Legacy && bookmarks);
        let next = log.events.partition_point(|event| event.object.rv <= from);
        let mut upstream =
            Upstream::new(encoding, Some(Watch { kind, scope, initial, end, next, rv, bookmarks }));
        if rv < log.forgotten {
            upstream.fail(410);
        }
        upstream
    }

    /// Writes up to `count` events to a watch; how many it wrote.
    pub fn pump(&self, upstream: &mut Upstream, count: usize) -> usize {
        let mut written = 0;
        while written < count && !upstream.is_ended {
            let encoding = upstream.encoding;
            let Some(watch) = &mut upstream.watch else { break };
            let (bytes, note) = if let Some(object) = watch.initial.pop_front() {
                (
                    encoding.event(Change::Added, &object),
                    Note::Event(Event { change: Change::Added, object }),
                )
            } else {
                let events = &self.log(watch.kind).events[watch.next..];
                let next = events.iter().position(|event| watch.scope.has(&event.object.key));
                match (
                    watch.end.filter(|&rv| next.is_none_or(|at| events[at].object.rv > rv)),
                    next,
                ) {
                    (Some(rv), _) => {
                        watch.end = None;
                        (encoding.bookmark(watch.kind, rv, true), Note::Bookmark(rv))
                    }
                    (None, Some(at)) => {
                        let event = events[at].clone();
                        watch.next += at + 1;
                        watch.rv = event.object.rv;
                        (encoding.event(event.change, &event.object), Note::Event(event))
                    }
                    (None, None) => break,
                }
            };
            upstream.write(&bytes, note);
            written += 1;
        }
        written
    }

    /// Whether a watch was told everything that happened.
    pub fn is_up_to_date(&self, upstream: &Upstream) -> bool {
        let Some(watch) = &upstream.watch else { return true };
        let news = |event: &Event| watch.scope.has(&event.object.key);
        watch.initial.is_empty()
            && watch.end.is_none()
            && !self.log(watch.kind).events[watch.next..].iter().any(news)
    }

    /// Writes a bookmark to a watch that allows them, if it is past its initial events.
    pub fn bookmark(&self, upstream: &mut Upstream) {
        let up_to_date = self.is_up_to_date(upstream);
        let encoding = upstream.encoding;
        let Some(watch) = &mut upstream.watch else { return };
        if upstream.is_ended || !watch.bookmarks || !watch.initial.is_empty() || watch.end.is_some()
        {
            return;
        }
        if up_to_date {
            watch.rv = self.rv;
            watch.next = self.log(watch.kind).events.len();
        }
        let (kind, rv) = (watch.kind, watch.rv);
        upstream.write(&encoding.bookmark(kind, rv, false), Note::Bookmark(rv));
    }
}

/// The object as it is written at `rv`.
fn stamped(body: Body, rv: u64) -> Body {
    match body {
        Body::Slice(slice) => {
            let mut slice = Slice::clone(&slice);
            slice.metadata.resource_version = rv.to_string();
            Body::Slice(Rc::new(slice))
        }
        Body::Service(service) => {
            let mut service = Slice::clone(&service);
            service.metadata.resource_version = rv.to_string();
            Body::Service(Rc::new(service))
        }
        other => other,
    }
}

/// Tokens carry a key as plain letters, so that they need no escapes in a query.
fn hex(key: &str) -> String {
    key.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> String {
    let bytes = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("a token of this server"));
    String::from_utf8(bytes.collect()).expect("a token of this server")
}

impl List {
    /// Reads path and query of a request for slices; refuses what the model does not
    /// know.
    pub fn of_target(kind: Kind, target: &str) -> Result<List, String> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let all = kind.path(None);
        let (root, plural) = all.rsplit_once('/').expect("a path");
        let namespace = path
            .strip_prefix(&format!("{root}/namespaces/"))
            .and_then(|rest| rest.strip_suffix(&format!("/{plural}")));
        if namespace.is_none() && path != all {
            return Err(format!("{target} is no list of that kind"));
        }
        let mut list = List { scope: namespace.into(), ..List::default() };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*key, value.split_once('=')) {
                ("fieldSelector", Some(("metadata.name", service))) if kind == Kind::Service => {
                    list.service = Some(service.to_owned())
                }
                ("labelSelector", Some((SERVICE_LABEL, service))) if kind == Kind::Slice => {
                    list.service = Some(service.to_owned())
                }
                ("resourceVersion", _) if value.is_empty() => {}
                _ => return Err(format!("{target} asks for {key}={value}")),
            }
        }
        Ok(list)
    }
}

impl Upstream {
    fn new(encoding: Encoding, watch: Option<Watch>) -> Upstream {
        let (line, notes) = (VecDeque::new(), VecDeque::new());
        Upstream {
            status: 200,
            encoding,
            line,
            notes,
            written: 0,
            read: 0,
            whole: 0,
            is_ended: false,
            watch,
        }
    }

    fn write(&mut self, bytes: &[u8], note: Note) {
        self.line.extend(bytes);
        self.written += bytes.len() as u64;
        // A JSON event is complete before the newline.
        self.notes.push_back((self.written - self.newline(), note));
    }

    /// Ends a watch with an ERROR event.
    pub fn fail(&mut self, code: u16) {
        if !self.is_ended {
            self.write(&self.encoding.error(code), Note::Error(code));
            self.is_ended = true;
        }
    }

    /// Reads up to `count` bytes, and what they complete.
    pub fn read(&mut self, count: usize) -> (Vec<u8>, Vec<Note>) {
        let bytes: Vec<u8> = self.line.drain(..count.min(self.line.len())).collect();
        self.read += bytes.len() as u64;
        let mut notes = Vec::new();
        while self.notes.front().is_some_and(|(end, _)| *end <= self.read) {
            let (end, note) = self.notes.pop_front().expect("just seen");
            self.whole = end;
            notes.push(note);
        }
        (bytes, notes)
    }

    /// Bytes that wait to be read.
    pub fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Whether what was read makes whole units.
    pub fn is_whole(&self) -> bool {
        self.read == self.whole || self.whole > 0 && self.read == self.whole + self.newline()
    }

    /// Whether the next byte is the first of a unit.
    pub fn is_between(&self) -> bool {
        self.read == if self.whole > 0 { self.whole + self.newline() } else { 0 }
    }

    fn newline(&self) -> u64 {
        u64::from(self.encoding == Encoding::Json)
    }

    /// Everything was written and read.
    pub fn is_done(&self) -> bool {
        self.is_ended && self.line.is_empty()
    }
}

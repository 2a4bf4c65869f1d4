//! The recorded life: 75 seconds of a real cluster, replayed stream by stream into one [`Cluster`]
//! and one client.
//!
//! The recordings of one life are streams of their own, one a kind. Here they are merged again, in
//! the true order and in others that a network makes of it, while a model client follows what it is
//! given and is compared with the naive filter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::ops::Range;
use std::sync::OnceLock;

use bytes::BytesMut;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use poolscope::{Action, BodyRewriter, Cluster, Config, FactReader, NodeView, ReplyCause};
use poolscope_testkit::oracle::{Body, Object, State};
use poolscope_testkit::{DATA, NODES, Recording, random_chunks, run, schema};
use prost::Message;
use serde_json::Value;

// ---- what is in an object ----

/// Metadata, from whichever form it is in.
fn metadata(object: &Object) -> schema::ObjectMeta {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Anything {
        #[prost(message, optional, tag = "1")]
        metadata: Option<schema::ObjectMeta>,
    }
    let typed = |metadata: &ObjectMeta| schema::ObjectMeta {
        name: metadata.name.clone().unwrap_or_default(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        labels: metadata.labels.clone().unwrap_or_default(),
        annotations: metadata.annotations.clone().unwrap_or_default(),
        ..Default::default()
    };
    match object {
        Object::Slice(slice) => typed(&slice.metadata),
        Object::Endpoints(endpoints) => typed(&endpoints.metadata),
        Object::ProtobufSlice { slice, .. } => slice.metadata.clone().unwrap_or_default(),
        Object::ProtobufEndpoints(endpoints) => endpoints.metadata.clone().unwrap_or_default(),
        Object::Json(value) => typed(&serde_json::from_value(value["metadata"].clone()).unwrap()),
        Object::Bytes(bytes) => Anything::decode(&**bytes).unwrap().metadata.unwrap_or_default(),
        Object::Beta(_) => panic!("not in these streams"),
    }
}

/// `namespace/name`, or the name alone of what is in no namespace; empty for a bookmark.
fn name(metadata: &schema::ObjectMeta) -> String {
    let separator = if metadata.namespace.is_empty() { "" } else { "/" };
    format!("{}{separator}{}", metadata.namespace, metadata.name)
}

/// The object without its version, which a refresh may stamp, and without what the quiet rule lets
/// grow old.
fn plain(mut object: Object, quiet: bool) -> Object {
    const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";
    let typed = |metadata: &mut ObjectMeta| {
        metadata.resource_version = None;
        if quiet {
            (metadata.generation, metadata.managed_fields) = (None, None);
            metadata
                .annotations
                .iter_mut()
                .for_each(|annotations| drop(annotations.remove(LAST_CHANGE)));
        }
        metadata.annotations =
            metadata.annotations.take().filter(|annotations| !annotations.is_empty());
    };
    let message = |metadata: &mut Option<schema::ObjectMeta>| {
        let metadata = metadata.as_mut().unwrap();
        metadata.resource_version.clear();
        if quiet {
            metadata.generation = 0;
            metadata.managed_fields.clear();
            metadata.annotations.remove(LAST_CHANGE);
        }
    };
    match &mut object {
        Object::Slice(slice) => typed(&mut slice.metadata),
        Object::Endpoints(endpoints) => typed(&mut endpoints.metadata),
        Object::ProtobufSlice { slice, .. } => message(&mut slice.metadata),
        Object::ProtobufEndpoints(endpoints) => message(&mut endpoints.metadata),
        other => panic!("{other:?}"),
    }
    object
}

/// The first address of each endpoint.
fn addresses(object: &Object) -> Vec<String> {
    match object {
        Object::Slice(slice) => {
            slice.endpoints.iter().map(|endpoint| endpoint.addresses[0].clone()).collect()
        }
        Object::ProtobufSlice { slice, .. } => {
            slice.endpoints.iter().map(|endpoint| endpoint.addresses[0].clone()).collect()
        }
        Object::Endpoints(endpoints) => {
            let subsets = endpoints.subsets.iter().flatten();
            let lists = subsets.flat_map(|subset| [&subset.addresses, &subset.not_ready_addresses]);
            lists.flatten().flatten().map(|address| address.ip.clone()).collect()
        }
        Object::ProtobufEndpoints(endpoints) => {
            let lists = endpoints
                .subsets
                .iter()
                .flat_map(|subset| [&subset.addresses, &subset.not_ready_addresses]);
            lists.flatten().map(|address| address.ip.clone()).collect()
        }
        other => panic!("{other:?}"),
    }
}

// ---- what is in a stream ----

#[derive(Debug, Clone)]
struct Event {
    event: String,
    name: String,
    version: u64,
    ends_initial_events: bool,
    object: Object,
}

impl Event {
    fn of(event: String, object: Object) -> Event {
        let metadata = metadata(&object);
        Event {
            event,
            name: name(&metadata),
            version: metadata.resource_version.parse().unwrap(),
            ends_initial_events: metadata
                .annotations
                .get("k8s.io/initial-events-end")
                .is_some_and(|value| value == "true"),
            object,
        }
    }

    fn is(&self, event: &str) -> bool {
        self.event == event
    }

    fn same(&self, other: &Event) -> bool {
        (&self.event, &self.name, self.version) == (&other.event, &other.name, other.version)
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}@{}", self.event, self.name, self.version)
    }
}

/// The length of the first whole event.
fn first_event(bytes: &[u8], protobuf: bool) -> Option<usize> {
    let len = match protobuf {
        true => 4 + u32::from_be_bytes(*bytes.first_chunk()?) as usize,
        false => 1 + bytes.iter().position(|&byte| byte == b'\n')?,
    };
    (len <= bytes.len()).then_some(len)
}

/// Decodes the whole events that `bytes` begins with; where each ends.
fn events(bytes: &[u8], protobuf: bool) -> Vec<(usize, Event)> {
    let (mut events, mut at) = (Vec::new(), 0);
    while let Some(len) = first_event(&bytes[at..], protobuf) {
        let (event, object) =
            Body::decode(&bytes[at..at + len], protobuf, true).objects.pop().unwrap();
        at += len;
        events.push((at, Event::of(event, object)));
    }
    events
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Service,
    Node,
    NodePool,
    /// What is filtered: slices, or Endpoints.
    Endpoints,
}

/// One recorded watch.
struct Line {
    of: Of,
    recording: Recording,
    events: Vec<(usize, Event)>,
    /// Where each chunk of the server ended, and when it came.
    chunks: Vec<(usize, u64)>,
}

impl Line {
    fn load(of: Of, name: &str) -> Line {
        let recording = Recording::load(name);
        let meta = format!("{DATA}/recorded/{}.meta.json", name.rsplit_once('.').unwrap().0);
        let meta: Value = serde_json::from_str(&fs::read_to_string(meta).unwrap()).unwrap();
        let mut end = 0;
        let chunks = meta["chunksBytesAtMs"].as_array().unwrap().iter().map(|chunk| {
            end += chunk[0].as_u64().unwrap() as usize;
            (end, chunk[1].as_u64().unwrap())
        });
        let chunks = chunks.collect();
        let events = events(&recording.body, recording.is_protobuf());
        assert_eq!(
            (end, events.last().unwrap().0),
            (recording.body.len(), recording.body.len()),
            "{name}"
        );
        Line { of, recording, events, chunks }
    }

    fn asks(&self, parameter: &str) -> bool {
        self.recording.request.target.contains(parameter)
    }

    /// How many events come first, in the order of their names: the state at the beginning.
    fn initial(&self) -> usize {
        match self.asks("sendInitialEvents=true") {
            true => {
                1 + self.events.iter().position(|(_, event)| event.ends_initial_events).unwrap()
            }
            false if self.asks("resourceVersion=242") => 0,
            false => self.events.iter().position(|(_, event)| !event.is("ADDED")).unwrap(),
        }
    }
}

/// How the client and the facts get their first state, and which endpoints are asked for.
struct Form {
    name: &'static str,
    protobuf: bool,
    /// Bodies that the client lists before it watches.
    lists: Vec<Recording>,
    facts_as_lists: bool,
    /// The last one is the client's own.
    lines: Vec<Line>,
    selects: fn(&schema::ObjectMeta) -> bool,
}

impl Form {
    fn new(
        name: &'static str,
        protobuf: bool,
        lists: &[&str],
        facts: &str,
        watch: &str,
        selects: fn(&schema::ObjectMeta) -> bool,
    ) -> Form {
        let suffix = if protobuf { "proto.pb" } else { "json.json" };
        let lists =
            lists.iter().map(|list| Recording::load(&format!("list/{list}-{suffix}"))).collect();
        let line = |of, watch: &str| Line::load(of, &format!("{watch}-{suffix}"));
        let lines = vec![
            line(Of::Service, &format!("{facts}/services")),
            line(Of::Node, &format!("{facts}/nodes")),
            Line::load(Of::NodePool, &format!("{facts}/nodepools-json.json")),
            line(Of::Endpoints, watch),
        ];
        Form { name, protobuf, lists, facts_as_lists: facts == "watch", lines, selects }
    }

    fn list_then_watch(protobuf: bool) -> Form {
        Form::new(
            "list, then watch",
            protobuf,
            &["endpointslices"],
            "watch",
            "watch/endpointslices",
            |_| true,
        )
    }

    fn pages_then_watch(protobuf: bool) -> Form {
        let pages: Vec<String> =
            (1..=9).map(|page| format!("endpointslices-limit5-p{page:02}")).collect();
        let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
        Form::new("pages, then watch", protobuf, &pages, "watch", "watch/endpointslices", |_| true)
    }

    fn watch_list(protobuf: bool) -> Form {
        Form::new("watch-list", protobuf, &[], "watchlist", "watchlist/endpointslices", |_| true)
    }

    fn not_headless() -> [Form; 2] {
        let selects: fn(&schema::ObjectMeta) -> bool =
            |metadata| !metadata.labels.contains_key("service.kubernetes.io/headless");
        let slices = "endpointslices-not-headless";
        [
            Form::new(
                "selected list, then watch",
                true,
                &[slices],
                "watch",
                &format!("watch/{slices}"),
                selects,
            ),
            Form::new(
                "selected watch-list",
                true,
                &[],
                "watchlist",
                &format!("watchlist/{slices}"),
                selects,
            ),
        ]
    }

    /// Watches of one namespace whose initial events nothing announces; without bookmarks, too.
    fn legacy() -> [Form; 4] {
        [
            ("endpointslices-ns-rv0", false),
            ("endpointslices-ns-rv0", true),
            ("endpointslices-ns-no-rv", false),
            (NO_RV_BOOKMARKS, true),
        ]
        .map(|(watch, protobuf)| {
            Form::new(watch, protobuf, &[], "watch", &format!("watch/{watch}"), |metadata| {
                metadata.namespace == "iot"
            })
        })
    }

    fn endpoints(protobuf: bool) -> [Form; 2] {
        [
            Form::new(
                "Endpoints: list, then watch",
                protobuf,
                &["endpoints"],
                "watch",
                "watch/endpoints",
                |_| true,
            ),
            Form::new(
                "Endpoints: watch-list",
                protobuf,
                &[],
                "watchlist",
                "watchlist/endpoints",
                |_| true,
            ),
        ]
    }

    fn client_line(&self) -> &Line {
        self.lines.last().unwrap()
    }
}

const NO_RV_BOOKMARKS: &str = "endpointslices-ns-no-rv-bookmarks";

// ---- in which order ----

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// As it happened: resourceVersions are one counter for the whole cluster.
    Version,
    /// As it came over the line, chunk by chunk.
    Arrival,
    /// As it happened, but each event about a Service so many events later, or earlier.
    ServicesShifted(isize),
}

/// What is pushed at once: some bytes of a line.
#[derive(Debug, Clone)]
struct Piece {
    line: usize,
    bytes: Range<usize>,
    /// The latest version that is in it, or before it on its line.
    version: u64,
}

fn pieces(lines: &[Line], order: Order) -> Vec<Piece> {
    let mut pieces: Vec<(u64, Piece)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let initial = line.initial();
        let mut version = 0;
        let versions = line.events.iter().enumerate().map(|(at, (end, event))| {
            version = if at < initial { 0 } else { event.version.max(version) };
            (*end, version)
        });
        let ends: Vec<(usize, u64)> =
            if order == Order::Arrival { line.chunks.clone() } else { versions.collect() };
        let starts = [0].into_iter().chain(ends.iter().map(|&(end, _)| end));
        let of_line = starts
            .zip(&ends)
            .map(|(start, &(end, key))| (key, Piece { line: at, bytes: start..end, version: key }));
        pieces.extend(of_line);
    }
    // Stable: of what has the same key the facts come first.
    pieces.sort_by_key(|&(key, _)| key);
    let Order::ServicesShifted(by) = order else {
        return pieces.into_iter().map(|(_, piece)| piece).collect();
    };
    let initial = pieces.iter().filter(|(key, _)| *key == 0).count();
    let mut shifted: Vec<(usize, Piece)> = Vec::new();
    for (at, (key, piece)) in pieces.into_iter().enumerate() {
        let is_service = lines[piece.line].of == Of::Service && key > 0;
        shifted
            .push((if is_service { at.saturating_add_signed(by).max(initial) } else { at }, piece));
    }
    shifted.sort_by_key(|&(at, _)| at);
    shifted.into_iter().map(|(_, piece)| piece).collect()
}

/// When the embedder calls `refresh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Whenever the generation moved.
    Always,
    AtTheEnd,
    /// At moments that have nothing to do with anything.
    Sometimes,
}

// ---- who listens ----

/// What the client was told, and by whom.
#[derive(Debug)]
struct Said {
    event: String,
    name: String,
    version: u64,
    addresses: Vec<String>,
    upstream: bool,
}

impl std::fmt::Display for Said {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Said { event, name, version, addresses, upstream } = self;
        let added = if *upstream { "" } else { "+ " };
        let space = if name.is_empty() { "" } else { " " };
        write!(out, "{added}{event}{space}{name}@{version}")?;
        if event != "BOOKMARK" {
            let short =
                addresses.iter().map(|address| address.strip_prefix("10.244.").unwrap_or(address));
            write!(out, " [{}]", short.collect::<Vec<_>>().join(" "))?;
        }
        Ok(())
    }
}

/// A client that keeps what it is told, and the rules for who tells it (wire 4.5).
struct Client {
    protobuf: bool,
    bookmarks: bool,
    quiet: bool,
    /// Its initial events are announced, or end with the first that is not ADDED.
    announced: bool,
    buffer: Vec<u8>,
    held: BTreeMap<String, (u64, Object)>,
    /// Where it would continue if the connection broke.
    resumes: u64,
    live: bool,
    /// Told again under the version that it had, which some clients take for nothing new: to be
    /// told once more.
    again: BTreeSet<String>,
    /// It may be told what it knows: it went on after a cut.
    forgets: bool,
    /// What it hears may end anywhere.
    cut: bool,
}

impl Client {
    fn list(&mut self, body: &Body) {
        for (_, object) in &body.objects {
            let metadata = metadata(object);
            let version = metadata.resource_version.parse().unwrap();
            let before =
                self.held.insert(name(&metadata), (version, plain(object.clone(), self.quiet)));
            assert!(before.is_none());
        }
    }

    /// Takes some bytes. `passing` are the events of upstream that were pushed whole and not seen
    /// here yet, W was between `low` and `high` meanwhile.
    fn hear(
        &mut self,
        bytes: &[u8],
        passing: &mut VecDeque<Event>,
        low: u64,
        high: u64,
    ) -> Vec<Said> {
        self.buffer.extend_from_slice(bytes);
        let events = events(&self.buffer, self.protobuf);
        self.buffer.drain(..events.last().map_or(0, |(end, _)| *end));
        // The event that ends unannounced initial events may itself be left out, where it says
        // nothing new.
        self.live |= !self.announced && high > 0;
        let mut said = Vec::new();
        let mut unmarked = false;
        for (_, event) in events {
            assert!(!self.live || event.version <= high, "{event} is above {high}");
            let upstream = passing.iter().position(|passing| passing.same(&event));
            if let Some(at) = upstream {
                assert!(!unmarked, "no bookmark before {event}");
                for left_out in passing.drain(..=at).take(at) {
                    assert!(self.may_be_left_out(&left_out), "{left_out}");
                }
                self.again.remove(&event.name);
            } else {
                assert!(self.live, "said before the initial events were over: {event}");
                assert!(low <= event.version, "{event} goes back behind {low}");
                assert!(!event.ends_initial_events);
                match &*event.event {
                    "MODIFIED" => {
                        let (version, held) = &self.held[&event.name];
                        let news = *held != plain(event.object.clone(), self.quiet);
                        let due = self.again.remove(&event.name);
                        assert!(news || due || self.forgets, "{} is told what it is", event.name);
                        if *version == event.version {
                            self.again.insert(event.name.clone());
                        }
                        unmarked = self.bookmarks;
                    }
                    "BOOKMARK" => assert!(
                        std::mem::take(&mut unmarked) || self.forgets,
                        "a bookmark of no use: {event}"
                    ),
                    _ => panic!("only MODIFIED and BOOKMARK may be added: {event}"),
                }
            }
            said.push(self.take(event, upstream.is_some()));
        }
        assert!(!unmarked || self.cut, "no bookmark after what was said");
        said
    }

    fn may_be_left_out(&self, event: &Event) -> bool {
        self.live && self.quiet && event.is("MODIFIED")
    }

    fn take(&mut self, event: Event, upstream: bool) -> Said {
        let addresses = if event.is("BOOKMARK") { Vec::new() } else { addresses(&event.object) };
        self.live |= if self.announced { event.ends_initial_events } else { !event.is("ADDED") };
        // Initial events come in the order of names: none of them is a place to resume.
        if self.live {
            self.resumes = event.version;
        }
        let Event { event, name, version, object, .. } = event;
        match &*event {
            "ADDED" | "MODIFIED" => {
                let before = self.held.insert(name.clone(), (version, plain(object, self.quiet)));
                assert_eq!(before.is_some(), event == "MODIFIED", "{event} {name}");
            }
            "DELETED" => assert!(
                self.held.remove(&name).is_some(),
                "DELETED for {name}, which the client never had"
            ),
            "BOOKMARK" => {}
            _ => panic!("{event} {object:?}"),
        }
        Said { event, name, version, addresses, upstream }
    }
}

// ---- the life ----

struct Life<'a> {
    form: &'a Form,
    cluster: Cluster,
    view: NodeView,
    feeds: Vec<FactReader>,
    /// Bytes and whole events of each line that were pushed.
    pushed: Vec<(usize, usize)>,
    /// Chunks for the client that came before it could be served.
    waiting: Vec<Range<usize>>,
    stream: Option<BodyRewriter>,
    client: Client,
    /// The highest version that upstream has said to the client's stream: W.
    high: u64,
    /// What the naive filter knows.
    state: State,
    /// What upstream has, unfiltered.
    truth: BTreeMap<String, Object>,
    /// What has to be compared again; `None`: everything.
    changed: Option<BTreeSet<String>>,
    refreshed: u64,
    what: String,
}

impl<'a> Life<'a> {
    fn begin(form: &'a Form, node: &str, quiet: bool) -> Life<'a> {
        let mut config = Config::openyurt();
        config.set_suppress_unchanged(quiet);
        let cluster = Cluster::new(config).unwrap();
        let mut state = State::default();
        if form.facts_as_lists {
            let suffix = if form.protobuf { "proto.pb" } else { "json.json" };
            for list in
                [&format!("services-{suffix}"), &format!("nodes-{suffix}"), "nodepools-json.json"]
            {
                Recording::load(&format!("list/{list}")).read_facts(&cluster);
            }
            state = State::recorded("list");
        }
        let facts = form.lines.iter().filter(|line| line.of != Of::Endpoints);
        let feeds = facts
            .map(|line| cluster.read_facts(&line.recording.request, &line.recording.head).unwrap())
            .collect();
        let line = form.client_line();
        let client = Client {
            protobuf: form.protobuf,
            bookmarks: line.asks("allowWatchBookmarks=true"),
            quiet,
            announced: line.asks("sendInitialEvents=true"),
            buffer: Vec::new(),
            held: BTreeMap::new(),
            resumes: 0,
            live: !form.lists.is_empty(),
            again: BTreeSet::new(),
            forgets: false,
            cut: false,
        };
        let mut life = Life {
            view: cluster.node(node),
            cluster,
            form,
            feeds,
            pushed: vec![(0, 0); form.lines.len()],
            waiting: Vec::new(),
            stream: None,
            client,
            high: 0,
            state,
            truth: BTreeMap::new(),
            changed: None,
            refreshed: 0,
            what: format!("{node}, {}, protobuf: {}", form.name, form.protobuf),
        };
        for list in &form.lists {
            let Ok(Action::Rewrite(stream)) = life.view.open(&list.request, &list.head) else {
                panic!("{}", list.name)
            };
            let filtered =
                run(stream, &list.body, random_chunks(list.body.len() as u64, 3000)).unwrap();
            life.client.list(&Body::decode(&filtered, form.protobuf, false));
            for (_, object) in Body::decode(&list.body, form.protobuf, false).objects {
                life.truth.insert(name(&metadata(&object)), plain(object, quiet));
            }
            life.high = list_version(&filtered, form.protobuf);
        }
        life.client.resumes = life.high;
        life.refreshed = life.cluster.generation();
        life.check();
        life
    }

    /// Opens the client's watch, if enough is known. One after a list, or after a cut, continues
    /// where the client stopped: the recorder's began one version later, between which and the
    /// list nothing of these kinds has happened.
    fn open(&mut self) -> bool {
        let recording = &self.form.client_line().recording;
        let mut request = recording.request.clone();
        if self.client.live {
            let (asked, initial) =
                ("resourceVersion=242", "sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
            let goes_on = format!("resourceVersion={}", self.client.resumes);
            request.target = request.target.replace(asked, &goes_on).replace(initial, &goes_on);
            assert!(request.target.contains(&goes_on));
        }
        self.stream = match self.view.open(&request, &recording.head) {
            Ok(Action::Rewrite(stream)) => Some(stream),
            Ok(Action::Reply(reply)) if !self.form.facts_as_lists => {
                let ReplyCause::MissingFacts(missing) = reply.cause else { panic!("{reply:?}") };
                assert!(!missing.is_empty());
                None
            }
            other => panic!("{}: {other:?}", self.what),
        };
        self.stream.is_some()
    }

    /// Pushes a piece. Returns what the client heard of it.
    fn push(&mut self, piece: &Piece) -> Vec<Said> {
        let line = &self.form.lines[piece.line];
        if line.of != Of::Endpoints {
            self.feeds[piece.line].push(&line.recording.body[piece.bytes.clone()]).unwrap();
            let events = whole(line, &mut self.pushed[piece.line], &piece.bytes);
            events.iter().for_each(|(_, event)| learn(&mut self.state, line.of, event));
            if events.iter().any(|(_, event)| !event.is("BOOKMARK")) {
                self.changed = None;
            }
            return Vec::new();
        }
        self.waiting.push(piece.bytes.clone());
        if self.stream.is_none() && !self.open() {
            return Vec::new();
        }
        std::mem::take(&mut self.waiting).into_iter().flat_map(|bytes| self.give(bytes)).collect()
    }

    /// Pushes bytes of the client's own stream.
    fn give(&mut self, bytes: Range<usize>) -> Vec<Said> {
        let line = self.form.client_line();
        let events = whole(line, self.pushed.last_mut().unwrap(), &bytes);
        let before = self.high;
        let mut passing = VecDeque::new();
        for (_, event) in events {
            self.tell(event);
            passing.push_back(event.clone());
        }
        let mut out = BytesMut::new();
        self.stream.as_mut().unwrap().push(&line.recording.body[bytes], &mut out).unwrap();
        let said = self.client.hear(&out, &mut passing, before, self.high);
        said.iter().for_each(|said| self.may_have_changed(&said.name));
        for left_out in &passing {
            assert!(
                self.client.may_be_left_out(left_out),
                "{}: {left_out} was left out",
                self.what
            );
        }
        if self.high > before {
            let said_at_once =
                said.iter().filter(|said| !said.upstream && said.version == self.high);
            let said_at_once: BTreeSet<&str> = said_at_once.map(|said| &*said.name).collect();
            let late = self.client.again.iter().find(|name| !said_at_once.contains(&***name));
            assert!(late.is_none(), "{}: {late:?} was to be told once more", self.what);
        }
        // Whatever was not refreshed: what upstream has just told of is as it should be.
        if let Some((_, event)) = events
            .last()
            .filter(|(_, event)| self.client.live && self.truth.contains_key(&event.name))
        {
            let expected = self
                .filtered(BTreeMap::from([(event.name.clone(), self.truth[&event.name].clone())]));
            assert!(
                self.client.held[&event.name].1 == expected[&event.name],
                "{}: {} after its event",
                self.what,
                event.name
            );
        }
        said
    }

    /// Upstream tells of an object.
    fn tell(&mut self, event: &Event) {
        self.may_have_changed(&event.name);
        match &*event.event {
            "ADDED" | "MODIFIED" => drop(
                self.truth
                    .insert(event.name.clone(), plain(event.object.clone(), self.client.quiet)),
            ),
            "DELETED" => drop(self.truth.remove(&event.name)),
            _ => {}
        }
        let ends =
            if self.client.announced { event.ends_initial_events } else { !event.is("ADDED") };
        if self.high > 0 || ends {
            self.high = self.high.max(event.version);
        }
    }

    fn refresh(&mut self) -> Vec<Said> {
        let said = self.refresh_unchecked();
        let can_speak = self.client.live && self.at_boundary();
        if let Some(stream) = self.stream.as_ref().filter(|_| can_speak) {
            assert!(!stream.needs_refresh(), "{}: still behind", self.what);
        }
        self.check();
        said
    }

    fn refresh_unchecked(&mut self) -> Vec<Said> {
        let Some(stream) = &mut self.stream else { return Vec::new() };
        self.refreshed = self.cluster.generation();
        let mut out = BytesMut::new();
        stream.refresh(&mut out).unwrap();
        let said = self.client.hear(&out, &mut VecDeque::new(), self.high, self.high);
        said.iter().for_each(|said| self.may_have_changed(&said.name));
        said
    }

    /// Pushes a piece and then refreshes, if there is anything to refresh for.
    fn step(&mut self, piece: &Piece) -> Vec<Said> {
        let mut said = self.push(piece);
        if self.cluster.generation() != self.refreshed
            || self.stream.as_ref().is_some_and(BodyRewriter::needs_refresh)
        {
            said.append(&mut self.refresh());
        }
        self.check();
        said
    }

    fn at_boundary(&self) -> bool {
        let (bytes, whole) = *self.pushed.last().unwrap();
        let events = &self.form.client_line().events;
        bytes == if whole == 0 { 0 } else { events[whole - 1].0 }
    }

    /// The client holds exactly what the naive filter shows of what upstream has. Looks at what may
    /// have changed since the last time.
    fn check(&mut self) {
        let watches = self.stream.is_some() || self.cluster.generation() == self.refreshed;
        if !self.client.live || !self.at_boundary() || !watches {
            return;
        }
        assert!(self.client.held.keys().eq(self.truth.keys()), "{}", self.what);
        let changed = self.changed.replace(BTreeSet::new());
        let objects = self
            .truth
            .iter()
            .filter(|(name, _)| changed.as_ref().is_none_or(|changed| changed.contains(*name)));
        let objects = objects.map(|(name, object)| (name.clone(), object.clone())).collect();
        for (name, expected) in &self.filtered(objects) {
            let held = &self.client.held[name].1;
            assert!(
                held == expected,
                "{} at {}: {name} is {held:?}, should be {expected:?}",
                self.what,
                self.high
            );
        }
    }

    fn may_have_changed(&mut self, name: &str) {
        if let Some(changed) = &mut self.changed {
            changed.insert(name.to_owned());
        }
    }

    fn filtered(&self, objects: BTreeMap<String, Object>) -> BTreeMap<String, Object> {
        let (names, objects): (Vec<String>, Vec<Object>) = objects.into_iter().unzip();
        let objects = objects.into_iter().map(|object| (String::new(), object)).collect();
        let filtered = Body { around: Vec::new(), objects }.filtered(&self.state, self.view.name());
        names.into_iter().zip(filtered.objects.into_iter().map(|(_, object)| object)).collect()
    }

    fn replay(&mut self, order: Order, habit: Habit, seed: u64) {
        self.what += &format!(", {order:?}, {habit:?}, seed {seed}");
        let mut dice = random_chunks(seed, 5);
        for piece in pieces(&self.form.lines, order) {
            if habit == Habit::Always {
                self.step(&piece);
            } else {
                self.push(&piece);
                if habit == Habit::Sometimes && dice.next() == Some(1) {
                    self.refresh();
                }
            }
        }
        self.end();
    }

    /// Ends every stream; nothing is pending then.
    fn end(&mut self) {
        self.refresh();
        let mut out = BytesMut::new();
        self.stream.as_mut().unwrap().finish(&mut out).unwrap();
        assert!(out.is_empty() && self.client.buffer.is_empty(), "{}", self.what);
        self.feeds.iter_mut().for_each(|feed| feed.finish().unwrap());
        assert_eq!(self.cluster.counters().streams_expired, 0);
        self.changed = None;
        self.check();
    }

    /// The same life, but the connection breaks now and then; of what was on its way a part is
    /// lost. The client continues where it is, and upstream says again what came after that.
    fn replay_with_cuts(&mut self, seed: u64) {
        self.what += &format!(", cut, seed {seed}");
        let mut dice = random_chunks(seed, 6);
        let client_line = self.form.lines.len() - 1;
        for piece in pieces(&self.form.lines, Order::Version) {
            if self.client.live && self.stream.is_some() && dice.next() == Some(1) {
                // The line breaks with whatever this piece, or a refresh, makes the stream say.
                self.cut(&piece, piece.line == client_line, dice.next().unwrap() - 1);
                let start = self.client.resumes;
                self.high = start;
                self.client.forgets = true;
                self.client.again.clear();
                assert!(self.open());
                if self.stream.as_ref().unwrap().needs_refresh() {
                    self.refresh_unchecked();
                }
                let line = self.form.client_line();
                let seen = line.events[..self.pushed[client_line].1].iter().enumerate();
                let missed = seen
                    .filter(|(at, (_, event))| *at >= line.initial() && event.version > start)
                    .map(|(at, _)| at);
                if let Some(first) = missed.min() {
                    let begin = if first == 0 { 0 } else { line.events[first - 1].0 };
                    let (end, _) = std::mem::replace(&mut self.pushed[client_line], (begin, first));
                    self.give(begin..end);
                }
                self.refresh();
            } else {
                self.step(&piece);
            }
        }
        self.end();
    }

    /// Pushes a piece; of what comes out of that the client gets only the first `arrive` events.
    fn cut(&mut self, piece: &Piece, is_clients: bool, arrive: usize) {
        let mut out = BytesMut::new();
        let mut passing = VecDeque::new();
        let low = self.high;
        let mut stream = self.stream.take().unwrap();
        if is_clients {
            let line = self.form.client_line();
            for (_, event) in whole(line, self.pushed.last_mut().unwrap(), &piece.bytes) {
                self.tell(event);
                passing.push_back(event.clone());
            }
            stream.push(&line.recording.body[piece.bytes.clone()], &mut out).unwrap();
        } else {
            self.push(piece);
            stream.refresh(&mut out).unwrap();
        }
        let ends: Vec<usize> =
            events(&out, self.form.protobuf).into_iter().map(|(end, _)| end).collect();
        let end = if arrive == 0 {
            0
        } else {
            ends.get(arrive - 1).or(ends.last()).copied().unwrap_or(0)
        };
        self.client.cut = true;
        self.client.hear(&out[..end], &mut passing, low, self.high);
        self.changed = None;
        self.client.cut = false;
    }

    fn addresses(&self, name: &str) -> Vec<String> {
        addresses(&self.client.held[name].1)
    }
}

/// Counts `bytes` of a line as pushed. Returns the events that are whole with them.
fn whole<'l>(
    line: &'l Line,
    pushed: &mut (usize, usize),
    bytes: &Range<usize>,
) -> &'l [(usize, Event)] {
    assert_eq!(pushed.0, bytes.start);
    let first = pushed.1;
    let next = line.events[first..].iter().take_while(|(end, _)| *end <= bytes.end).count();
    *pushed = (bytes.end, first + next);
    &line.events[first..first + next]
}

fn list_version(list: &[u8], protobuf: bool) -> u64 {
    let version = if protobuf {
        let unknown = schema::Unknown::decode(list.strip_prefix(b"k8s\0").unwrap()).unwrap();
        schema::List::decode(&*unknown.raw).unwrap().metadata.unwrap().resource_version
    } else {
        serde_json::from_slice::<Value>(list).unwrap()["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    version.parse().unwrap()
}

/// Teaches the naive filter.
fn learn(state: &mut State, of: Of, event: &Event) {
    if event.is("BOOKMARK") {
        return;
    }
    let metadata = metadata(&event.object);
    let gone = event.is("DELETED");
    match of {
        // A deletion must not open a pool: the last known keys hold for the slices that still
        // stand.
        Of::Service if gone => {}
        Of::Service => drop(state.services.insert(
            event.name.clone(),
            metadata.annotations.get("openyurt.io/topologyKeys").cloned(),
        )),
        Of::Node => match metadata.labels.get("apps.openyurt.io/nodepool").filter(|_| !gone) {
            Some(pool) => drop(state.labels.insert(event.name.clone(), pool.clone())),
            None => drop(state.labels.remove(&event.name)),
        },
        Of::NodePool if gone => drop(state.pools.remove(&event.name)),
        Of::NodePool => {
            let Object::Json(pool) = &event.object else { panic!("{event:?}") };
            let nodes = pool["status"]["nodes"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|node| node.as_str().unwrap().to_owned());
            state.pools.insert(event.name.clone(), nodes.collect());
        }
        Of::Endpoints => unreachable!(),
    }
}

// ---- the end of the life, whatever way there ----

/// What a client holds in the end, from the recording of the last state.
struct After {
    expected: Value,
    state: State,
    /// By encoding and kind.
    lists: BTreeMap<(bool, bool), BTreeMap<String, Object>>,
}

impl After {
    fn load() -> After {
        let expected = fs::read_to_string(format!("{DATA}/recorded/expected.json")).unwrap();
        let mut lists = BTreeMap::new();
        for (protobuf, slices, file) in [
            (false, true, "endpointslices-json.json"),
            (true, true, "endpointslices-proto.pb"),
            (false, false, "endpoints-json.json"),
            (true, false, "endpoints-proto.pb"),
        ] {
            let body =
                Body::decode(&Recording::load(&format!("after/{file}")).body, protobuf, false);
            let named =
                body.objects.into_iter().map(|(_, object)| (name(&metadata(&object)), object));
            lists.insert((protobuf, slices), named.collect());
        }
        let expected = serde_json::from_str::<Value>(&expected).unwrap()["after"].take();
        After { expected, state: State::recorded("after"), lists }
    }

    fn check(&self, life: &Life<'_>) {
        let what = &life.what;
        let form = life.form;
        let slices = form.client_line().asks("endpointslices");
        let quiet = life.client.quiet;
        let list = &self.lists[&(form.protobuf, slices)];
        let selected: BTreeMap<&String, &Object> =
            list.iter().filter(|(_, object)| (form.selects)(&metadata(object))).collect();
        assert!(life.client.held.keys().eq(selected.keys().copied()), "{what}");
        assert_eq!(life.state.pools, self.state.pools);
        assert_eq!(life.state.labels, self.state.labels);
        assert_eq!(life.state.services, self.state.services);
        let node = life.view.name();
        let kept = self.expected.get(node).map(|node| &node["slices"]);
        for (name, unfiltered) in selected {
            let held = &life.client.held[name].1;
            let unfiltered = plain(unfiltered.clone(), quiet);
            match kept.filter(|_| slices).map(|kept| kept.get(name)) {
                Some(Some(kept)) => {
                    assert_eq!(Value::from(addresses(held)), *kept, "{what}: {name}")
                }
                Some(None) => assert!(*held == unfiltered, "{what}: {name} is not whole"),
                None => {}
            }
            let naive = Body { around: Vec::new(), objects: vec![(String::new(), unfiltered)] }
                .filtered(&self.state, node);
            assert!(*held == naive.objects[0].1, "{what}: {name}");
        }
    }
}

const ORDERS: [Order; 6] = [
    Order::Version,
    Order::Arrival,
    Order::ServicesShifted(3),
    Order::ServicesShifted(25),
    Order::ServicesShifted(1000),
    Order::ServicesShifted(-1000),
];
const HABITS: [Habit; 3] = [Habit::Always, Habit::AtTheEnd, Habit::Sometimes];

/// Every node lives through every form in every order; the habit is another one from form to form
/// and from node to node.
fn live(forms: &[Form]) {
    let after = After::load();
    let mut lives = 0;
    for (form_at, form) in forms.iter().enumerate() {
        for (node_at, node) in NODES.into_iter().enumerate() {
            for (order_at, order) in ORDERS.into_iter().enumerate() {
                let turn = form_at + node_at + order_at;
                let mut life = Life::begin(form, node, lives % 5 != 0);
                // Some clients take their time between list and watch.
                if !form.lists.is_empty() && lives % 2 == 0 {
                    assert!(life.open());
                }
                life.replay(order, HABITS[turn % HABITS.len()], lives);
                after.check(&life);
                lives += 1;
            }
        }
    }
    println!("{lives} lives");
}

#[test]
fn every_node_ends_up_with_what_it_should_have_in_json() {
    live(&[Form::list_then_watch(false), Form::pages_then_watch(false), Form::watch_list(false)]);
}

#[test]
fn every_node_ends_up_with_what_it_should_have_in_protobuf() {
    live(&[Form::list_then_watch(true), Form::pages_then_watch(true), Form::watch_list(true)]);
}

#[test]
fn selected_and_unannounced_watches_end_up_alike() {
    live(&Form::not_headless());
    live(&Form::legacy());
}

#[test]
fn endpoints_end_up_alike() {
    live(&Form::endpoints(false));
    live(&Form::endpoints(true));
}

#[test]
fn cut_connections_change_nothing() {
    let after = After::load();
    let mut seed = 0;
    for protobuf in [false, true] {
        let [endpoints, ..] = Form::endpoints(protobuf);
        for form in [Form::list_then_watch(protobuf), Form::watch_list(protobuf), endpoints] {
            for node in NODES {
                seed += 1;
                let mut life = Life::begin(&form, node, seed % 5 != 0);
                life.replay_with_cuts(seed);
                after.check(&life);
            }
        }
    }
}

// ---- the ten steps ----

/// The version at which each of the ten steps is over, by what was written down when they were
/// made.
fn steps() -> [u64; 10] {
    let operations = fs::read_to_string(format!("{DATA}/recorded/changes.ops.jsonl")).unwrap();
    let operations: Vec<Value> =
        operations.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let version =
        |operation: &Value| operation["resourceVersion"].as_str().unwrap().parse::<u64>().ok();
    // Deletions are written down without a version, and a Node is made in two writes: so by what
    // comes before or after.
    let after = |note: &str| {
        operations
            .iter()
            .filter(|operation| operation["note"] == note)
            .filter_map(version)
            .max()
            .unwrap()
    };
    let before = |note: &str| {
        operations
            .iter()
            .filter(|operation| operation["note"] == note)
            .filter_map(version)
            .min()
            .unwrap()
            - 1
    };
    [
        after("it is gone"),
        after("no endpoints"),
        after("openyurt.io/topologyKeys = \"\""),
        after("a change after the move"),
        before("340 endpoints, service search"),
        before("becomes headless: leaves a selected watch"),
        after("moves to another service"),
        after("burst"),
        after("4 endpoints, service catalog"),
        u64::MAX,
    ]
}

/// Lives until `step` is over, with a refresh after every fact change. Returns what happened
/// during that step, line by line: facts as `Service MODIFIED shop/cart`, what passed as `MODIFIED
/// shop/cart-1@244 [0.3 0.4]` (without 10.244.), and after `+` what was emitted without upstream
/// having said anything.
fn through(life: &mut Life<'_>, step: usize) -> Vec<String> {
    let ends = steps();
    let begin = if step == 1 { 243 } else { ends[step - 2] };
    let mut happened = Vec::new();
    for piece in pieces(&life.form.lines, Order::Version) {
        if piece.version > ends[step - 1] {
            break;
        }
        let before = life.pushed[piece.line].1;
        let said = life.step(&piece);
        if piece.version <= begin {
            continue;
        }
        let line = &life.form.lines[piece.line];
        let facts = line.events[before..].iter().take(if line.of == Of::Endpoints { 0 } else { 1 });
        let facts = facts.filter(|(_, event)| !event.is("BOOKMARK"));
        happened.extend(
            facts.map(|(_, event)| format!("{:?} {} {}", line.of, event.event, event.name)),
        );
        happened.extend(said.iter().map(Said::to_string));
    }
    happened
}

/// Both encodings, listed and watched as a list.
fn forms() -> &'static [Form] {
    static FORMS: OnceLock<Vec<Form>> = OnceLock::new();
    FORMS.get_or_init(|| {
        [false, true]
            .into_iter()
            .flat_map(|protobuf| [Form::list_then_watch(protobuf), Form::watch_list(protobuf)])
            .collect()
    })
}

/// Lives through a step in every form, and looks at what happened and at what the client holds in
/// the end.
fn in_step(step: usize, node: &str, look: impl Fn(&Life<'_>, &[&str])) {
    for form in forms() {
        let mut life = Life::begin(form, node, true);
        if !form.lists.is_empty() {
            assert!(life.open());
        }
        let happened = through(&mut life, step);
        let happened: Vec<&str> = happened.iter().map(String::as_str).collect();
        look(&life, &happened);
    }
}

fn expect<'e>(step: usize, node: &str, expected: impl AsRef<[&'e str]>) {
    in_step(step, node, |life, happened| assert_eq!(happened, expected.as_ref(), "{}", life.what));
}

/// What `prefix` begins with, without the addresses.
fn names<'h>(happened: &[&'h str], prefix: &str) -> Vec<&'h str> {
    happened
        .iter()
        .filter_map(|line| line.strip_prefix(prefix))
        .map(|line| line.split(" [").next().unwrap())
        .collect()
}

#[test]
fn step_1_an_endpoint_is_born_becomes_ready_terminates_and_goes() {
    expect(
        1,
        "hz-edge-1",
        [
            "MODIFIED shop/cart-fhmwb@244 [0.3 0.4 0.5 0.250]",
            "MODIFIED shop/cart-fhmwb@245 [0.3 0.4 0.5 0.250]",
            "MODIFIED shop/cart-fhmwb@246 [0.3 0.4 0.5 0.250]",
            "MODIFIED shop/cart-fhmwb@247 [0.3 0.4 0.5]",
        ],
    );
    // It is of another pool: of no interest there.
    expect(1, "sh-edge-1", []);
}

#[test]
fn step_2_a_slice_is_made_reordered_deleted_made_again_and_emptied() {
    // None of its first five endpoints is in the pool, so their order says nothing.
    expect(
        2,
        "hz-edge-1",
        [
            "ADDED shop/cart-extra@248 []",
            "DELETED shop/cart-extra@250 []",
            "ADDED shop/cart-extra@251 [1.8]",
            "MODIFIED shop/cart-extra@252 []",
        ],
    );
    in_step(2, "sh-edge-1", |life, happened| {
        let expected = [
            "ADDED shop/cart-extra@248 [1.1 1.4]",
            "MODIFIED shop/cart-extra@249 [1.4 1.1]",
            "DELETED shop/cart-extra@250 [1.4 1.1]",
            "ADDED shop/cart-extra@251 []",
            // What was an empty array is null now, which protobuf cannot say.
            "MODIFIED shop/cart-extra@252 []",
        ];
        assert_eq!(happened, &expected[..if life.form.protobuf { 4 } else { 5 }], "{}", life.what);
    });
}

#[test]
fn step_3_a_service_gets_a_key_another_and_none() {
    expect(
        3,
        "hz-edge-1",
        [
            "Service MODIFIED shop/frontend",
            "+ MODIFIED shop/frontend-jsb9x@252 [0.73]",
            "+ MODIFIED shop/frontend-s5gws@252 [0.81]",
            "+ BOOKMARK@252",
            "MODIFIED shop/frontend-jsb9x@254 [0.73]",
            "Service MODIFIED shop/frontend",
            "+ MODIFIED shop/frontend-jsb9x@254 []",
            // The other slice has hz-edge-1's own endpoint and no other of its pool: nothing to
            // say.
            "+ BOOKMARK@254",
            "Service MODIFIED shop/frontend",
            "+ MODIFIED shop/frontend-jsb9x@254 [0.70 0.71 0.72 0.73 0.74 0.75]",
            "+ MODIFIED shop/frontend-s5gws@254 [0.76 0.77 0.78 0.79 0.80 0.81]",
            "+ BOOKMARK@254",
        ],
    );
    // Here both slices change each time.
    expect(
        3,
        "sh-edge-1",
        [
            "Service MODIFIED shop/frontend",
            "+ MODIFIED shop/frontend-jsb9x@252 [0.71]",
            "+ MODIFIED shop/frontend-s5gws@252 [0.78 0.80]",
            "+ BOOKMARK@252",
            "MODIFIED shop/frontend-jsb9x@254 [0.71]",
            "Service MODIFIED shop/frontend",
            "+ MODIFIED shop/frontend-jsb9x@254 []",
            "+ MODIFIED shop/frontend-s5gws@254 [0.80]",
            "+ BOOKMARK@254",
            "Service MODIFIED shop/frontend",
            "+ MODIFIED shop/frontend-jsb9x@254 [0.70 0.71 0.72 0.73 0.74 0.75]",
            "+ MODIFIED shop/frontend-s5gws@254 [0.76 0.77 0.78 0.79 0.80 0.81]",
            "+ BOOKMARK@254",
        ],
    );
}

#[test]
fn step_4_a_node_moves_to_another_pool() {
    // The pool that it joins is pending its endpoints once the status says so; the label alone does
    // not count for others.
    expect(
        4,
        "hz-edge-1",
        [
            "Node MODIFIED sh-edge-4",
            "NodePool MODIFIED shanghai",
            "NodePool MODIFIED hangzhou",
            "+ MODIFIED iot/mqtt-jlxpg@254 [0.131 0.132 0.133 0.136]",
            "+ MODIFIED shop/cart-fhmwb@254 [0.3 0.4 0.5 0.8 0.9]",
            "+ MODIFIED shop/db-xwxsb@254 [0.107 0.108 0.110]",
            "+ MODIFIED shop/legacy-db-58xpm@254 [0.114 0.117]",
            "+ MODIFIED shop/search-d7qgq@254 [0.56]",
            "+ MODIFIED shop/search-qz4fx@254 [0.65 0.66]",
            "+ BOOKMARK@254",
            "MODIFIED shop/cart-vz8r4@263 [0.10 0.13 0.14 0.15 0.16]",
            // In step 3 it was told under the version that it had: once more, now that there is a
            // newer one.
            "+ MODIFIED shop/frontend-jsb9x@263 [0.70 0.71 0.72 0.73 0.74 0.75]",
            "+ BOOKMARK@263",
        ],
    );
    // The pool that it leaves loses them.
    expect(
        4,
        "sh-edge-1",
        [
            "Node MODIFIED sh-edge-4",
            "NodePool MODIFIED shanghai",
            "+ MODIFIED iot/mqtt-jlxpg@254 [0.135]",
            "+ MODIFIED shop/cart-fhmwb@254 []",
            "+ MODIFIED shop/db-xwxsb@254 []",
            "+ MODIFIED shop/legacy-db-58xpm@254 []",
            "+ MODIFIED shop/search-d7qgq@254 [0.57 0.61]",
            "+ MODIFIED shop/search-qz4fx@254 [0.67 0.69]",
            "+ BOOKMARK@254",
            "NodePool MODIFIED hangzhou",
            // What happens to the moved node's endpoint in cart-vz8r4 is of no interest here.
            "+ MODIFIED shop/frontend-jsb9x@263 [0.70 0.71 0.72 0.73 0.74 0.75]",
            "+ MODIFIED shop/frontend-s5gws@263 [0.76 0.77 0.78 0.79 0.80 0.81]",
            "+ BOOKMARK@263",
        ],
    );
    // The node itself goes by its label: the whole view changes. Until the status follows, it is
    // not in its own pool.
    in_step(4, "sh-edge-4", |life, happened| {
        let at = |fact: &str| happened.iter().position(|line| *line == fact).unwrap();
        let (label, left, joined) = (
            at("Node MODIFIED sh-edge-4"),
            at("NodePool MODIFIED shanghai"),
            at("NodePool MODIFIED hangzhou"),
        );
        assert_eq!((label, left + 1), (0, joined), "{happened:#?}");
        let moved = &happened[1..left];
        assert_eq!(moved.last(), Some(&"+ BOOKMARK@254"));
        assert_eq!(names(moved, "+ MODIFIED ").len(), 24);
        let of_pool = |name: &str| {
            ["iot/collector", "shop/node-cache", "shop/frontend"]
                .iter()
                .all(|other| !name.starts_with(other))
        };
        assert!(names(moved, "+ MODIFIED ").into_iter().all(of_pool));
        assert!(moved.contains(&"+ MODIFIED shop/cart-fhmwb@254 [0.3 0.4 0.5]"));
        let owed = [
            "iot/mqtt-jlxpg",
            "shop/cart-fhmwb",
            "shop/db-xwxsb",
            "shop/legacy-db-58xpm",
            "shop/search-d7qgq",
            "shop/search-qz4fx",
        ];
        assert!(
            names(&happened[joined..joined + 7], "+ MODIFIED ")
                .into_iter()
                .eq(owed.map(|name| format!("{name}@254")))
        );
        assert_eq!(
            life.addresses("shop/cart-fhmwb"),
            ["3", "4", "5", "8", "9"].map(|last| format!("10.244.0.{last}"))
        );
        assert_eq!(life.addresses("shop/node-cache-xsg55"), ["10.244.0.97"]);
    });
}

#[test]
fn step_5_a_node_comes_without_a_pool_joins_leaves_and_goes() {
    expect(
        5,
        "hz-edge-1",
        [
            "Node ADDED hz-edge-9",
            "Node MODIFIED hz-edge-9",
            // cart-vz8r4 gets an endpoint on it, which is hidden: nothing new here.
            "Node MODIFIED hz-edge-9",
            "NodePool MODIFIED hangzhou",
            "+ MODIFIED shop/cart-vz8r4@267 [0.10 0.13 0.14 0.15 0.16 1.9]",
            "+ BOOKMARK@267",
            "NodePool MODIFIED hangzhou",
            "+ MODIFIED shop/cart-vz8r4@267 [0.10 0.13 0.14 0.15 0.16]",
            "+ BOOKMARK@267",
            "Node DELETED hz-edge-9",
        ],
    );
    in_step(5, "hz-edge-9", |life, happened| {
        // Without a pool it has itself; with one, that pool's endpoints, and its own once the pool
        // names it.
        assert_eq!(
            happened[..3],
            [
                "Node ADDED hz-edge-9",
                "Node MODIFIED hz-edge-9",
                "MODIFIED shop/cart-vz8r4@267 [1.9]"
            ]
        );
        assert!(happened.contains(&"+ MODIFIED shop/cart-fhmwb@267 [0.3 0.4 0.5 0.8 0.9]"));
        let mine: Vec<&&str> =
            happened.iter().filter(|line| line.starts_with("+ MODIFIED shop/cart-vz8r4")).collect();
        assert_eq!(
            mine,
            [
                &"+ MODIFIED shop/cart-vz8r4@267 [0.10 0.13 0.14 0.15 0.16]",
                &"+ MODIFIED shop/cart-vz8r4@267 [0.10 0.13 0.14 0.15 0.16 1.9]",
                &"+ MODIFIED shop/cart-vz8r4@267 [0.10 0.13 0.14 0.15 0.16]",
                &"+ MODIFIED shop/cart-vz8r4@267 [1.9]",
            ]
        );
        assert_eq!(life.addresses("shop/cart-vz8r4"), ["10.244.1.9"]);
        assert!(life.addresses("shop/cart-fhmwb").is_empty());
    });
}

#[test]
fn step_6_a_large_slice_comes_changes_and_goes() {
    in_step(6, "hz-edge-1", |_, happened| {
        assert_eq!(
            names(happened, ""),
            [
                "ADDED shop/search-large@275",
                // From step 5, where it was told twice under one version.
                "+ MODIFIED shop/cart-vz8r4@275",
                "+ BOOKMARK@275",
                // 276 was about an endpoint in beijing.
                "DELETED shop/search-large@277",
            ]
        );
        assert_eq!(happened[0].split(' ').count(), 2 + 114, "endpoints in the pool, of 340");
    });
    in_step(6, "bj-edge-2", |_, happened| {
        let large = [
            "ADDED shop/search-large@275",
            "MODIFIED shop/search-large@276",
            "DELETED shop/search-large@277",
        ];
        assert_eq!(names(happened, ""), large);
        assert!(happened[1].contains(" 2.10 "));
    });
}

#[test]
fn step_7_a_slice_becomes_headless_and_back_and_moves_to_another_service() {
    for node in ["hz-edge-1", "bj-edge-4", "cloud-master-0"] {
        expect(
            7,
            node,
            [
                "MODIFIED shop/cart-extra@278 []",
                "MODIFIED shop/cart-extra@279 []",
                "MODIFIED shop/cart-extra@280 []",
            ],
        );
    }
    // Where headless slices are not selected, it leaves and comes back.
    for form in Form::not_headless() {
        let mut life = Life::begin(&form, "hz-edge-1", true);
        let happened = through(&mut life, 7);
        assert_eq!(
            happened,
            [
                "DELETED shop/cart-extra@278 []",
                "ADDED shop/cart-extra@279 []",
                "MODIFIED shop/cart-extra@280 []"
            ]
        );
    }
    // It is the new Service's now: had that one a key, the slice would be filtered by it, and as it
    // is it passes whole.
    in_step(7, "hz-edge-1", |life, _| {
        let metadata = metadata(&life.client.held["shop/cart-extra"].1);
        assert_eq!(metadata.labels["kubernetes.io/service-name"], "frontend");
    });
}

#[test]
fn step_8_a_burst_of_changes() {
    // Twenty-two changes, one endpoint each. Those outside the pool tell nothing.
    let expect_versions = |node: &str, versions: &[u64]| {
        in_step(8, node, |_, happened| {
            let versions: Vec<String> = versions
                .iter()
                .map(|version| format!("MODIFIED shop/cart-fhmwb@{version}"))
                .collect();
            assert_eq!(names(happened, ""), versions, "{node}");
        });
    };
    expect_versions(
        "hz-edge-1",
        &[281, 282, 284, 285, 287, 288, 289, 292, 293, 295, 296, 297, 300, 301],
    );
    expect_versions(
        "sh-edge-4",
        &[281, 282, 284, 285, 287, 288, 289, 292, 293, 295, 296, 297, 300, 301],
    );
    expect_versions("bj-edge-4", &[283, 290, 291, 298, 299]);
    expect_versions("sh-edge-1", &[]);
}

#[test]
fn step_9_a_service_is_deleted_before_its_slices_and_comes_back_without_a_key() {
    // Its last keys hold: nothing is shown that was hidden, not even in the farewell.
    expect(
        9,
        "hz-edge-1",
        [
            "Service MODIFIED iot/gateway",
            "Service MODIFIED iot/lb-cloud",
            "Service DELETED shop/catalog",
            "DELETED shop/catalog-6g2w4@307 [0.37 0.39]",
            "DELETED shop/catalog-pn8gj@308 [0.40]",
            "DELETED shop/catalog-zrb7d@309 [0.31]",
            "Service ADDED shop/catalog",
            "ADDED shop/catalog-again@312 [2.100 2.101 2.102 2.103]",
        ],
    );
    in_step(9, "cloud-master-0", |life, happened| {
        assert!(happened.contains(&"DELETED shop/catalog-pn8gj@308 []"));
        assert!(life.cluster.counters().held_deleted_service >= 3);
    });
}

#[test]
fn step_10_a_pool_is_deleted_while_its_nodes_keep_the_label() {
    in_step(10, "hz-edge-1", |life, happened| {
        // For everyone else nothing changes; then some slices do, and a Service gains a key.
        let shown: Vec<&str> =
            happened.iter().copied().filter(|line| !line.contains("search-large")).collect();
        assert_eq!(
            shown,
            [
                "NodePool DELETED beijing",
                "MODIFIED iot/dash-fm5ft@318 [0.146 0.147 0.148 0.149]",
                "DELETED iot/v6-only-sf98z@319 [fd00:10:244::16]",
                "MODIFIED iot/v6-only-zm972@320 [fd00:10:244::f fd00:10:244::16]",
                "Service MODIFIED iot/nearest",
                "+ MODIFIED iot/nearest-kqs9q@320 [0.184 0.185 0.186]",
                "+ BOOKMARK@320",
                "MODIFIED shop/cart-vz8r4@323 [0.10 0.13 0.14 0.15 0.16]",
                "MODIFIED shop/cart-vz8r4@328 [0.10 0.13 0.14 0.15 0.16]",
                "MODIFIED shop/cart-vz8r4@329 [0.10 0.13 0.14 0.15 0.16]",
                "MODIFIED shop/cart-vz8r4@332 [0.10 0.13 0.14 0.15 0.16]",
                "BOOKMARK@337",
                "BOOKMARK@339",
            ]
        );
        let (all, held) = (&life.truth, &life.client.held);
        assert_eq!(
            (all.len(), all.values().map(|object| addresses(object).len()).sum::<usize>()),
            (42, 530)
        );
        let filtered = all.keys().filter(|name| {
            let metadata = metadata(&all[*name]);
            let service = metadata.labels.get("kubernetes.io/service-name");
            !life.state.keeps("hz-edge-1", &metadata.namespace, service.map(String::as_str), None)
        });
        let (mut slices, mut endpoints, mut kept) = (0, 0, 0);
        for name in filtered {
            slices += 1;
            endpoints += addresses(&all[name]).len();
            kept += addresses(&held[name].1).len();
        }
        assert_eq!((slices, endpoints, kept), (28, 483, 177));
    });
    // Its own nodes do not know who is with them (O9): what asks for the pool passes whole, and is
    // counted.
    in_step(10, "bj-edge-4", |life, happened| {
        assert_eq!(happened[0], "NodePool DELETED beijing");
        assert_eq!(happened[22], "+ BOOKMARK@312");
        let owed = names(&happened[..22], "+ MODIFIED ");
        assert_eq!(owed.len(), 21);
        assert!(owed.iter().all(|name| name.ends_with("@312")));
        assert!(life.cluster.counters().passed_unknown_pool >= 21);
        for (name, whole) in &life.truth {
            let service = metadata(whole)
                .labels
                .get("kubernetes.io/service-name")
                .cloned()
                .unwrap_or_default();
            let of_node = ["collector", "node-cache"].contains(&&*service);
            assert!(of_node || life.client.held[name].1 == *whole, "{name}");
        }
        assert_eq!(life.addresses("shop/node-cache-xsg55"), ["10.244.0.100"]);
        assert_eq!(life.addresses("iot/collector-gwbsm"), ["fd00:10:244::9", "fd00:10:244::a"]);
        // A key gained now changes nothing here.
        assert!(happened.contains(&"Service MODIFIED iot/nearest"));
        assert!(!happened.iter().any(|line| line.contains("iot/nearest-")));
    });
    for form in [Form::endpoints(false), Form::endpoints(true)].iter().flatten() {
        let mut life = Life::begin(form, "hz-edge-1", true);
        let happened = through(&mut life, 10);
        assert!(
            happened
                .iter()
                .any(|line| line == "MODIFIED shop/cart@313 [0.19 0.20 2.104 0.21 0.23 0.26]"),
            "{}: {happened:#?}",
            life.what
        );
    }
}

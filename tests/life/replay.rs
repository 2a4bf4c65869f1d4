//! The replay of a life into a cluster and a client.

use super::*;

pub(crate) struct Life<'a> {
    pub(crate) form: &'a Form,
    pub(crate) cluster: Cluster,
    pub(crate) view: NodeView,
    pub(crate) feeds: Vec<FactReader>,
    /// Bytes and whole events of each line that were pushed.
    pub(crate) pushed: Vec<(usize, usize)>,
    /// Chunks for the client that came before it could be served.
    pub(crate) waiting: Vec<Range<usize>>,
    pub(crate) stream: Option<BodyRewriter>,
    pub(crate) client: Client,
    /// The highest version that upstream has said to the client's stream: W.
    pub(crate) high: u64,
    /// The facts of the naive filter.
    pub(crate) state: State,
    /// The objects of upstream, unfiltered.
    pub(crate) truth: BTreeMap<String, Object>,
    /// The objects to compare again; `None`: all.
    pub(crate) changed: Option<BTreeSet<String>>,
    pub(crate) refreshed: u64,
    pub(crate) what: String,
}

impl<'a> Life<'a> {
    pub(crate) fn begin(form: &'a Form, node: &str, suppress: bool) -> Life<'a> {
        let mut config = Config::openyurt();
        config.set_suppress_unchanged(suppress);
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
            suppress,
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
                life.truth.insert(name(&metadata(&object)), plain(object, suppress));
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
    pub(crate) fn open(&mut self) -> bool {
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
    pub(crate) fn push(&mut self, piece: &Piece) -> Vec<Said> {
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
    pub(crate) fn give(&mut self, bytes: Range<usize>) -> Vec<Said> {
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
        // Objects that upstream has just sent are right without a refresh.
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
    pub(crate) fn tell(&mut self, event: &Event) {
        self.may_have_changed(&event.name);
        match &*event.event {
            "ADDED" | "MODIFIED" => drop(
                self.truth
                    .insert(event.name.clone(), plain(event.object.clone(), self.client.suppress)),
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

    pub(crate) fn refresh(&mut self) -> Vec<Said> {
        let said = self.refresh_unchecked();
        let can_speak = self.client.live && self.at_boundary();
        if let Some(stream) = self.stream.as_ref().filter(|_| can_speak) {
            assert!(!stream.needs_refresh(), "{}: still behind", self.what);
        }
        self.check();
        said
    }

    pub(crate) fn refresh_unchecked(&mut self) -> Vec<Said> {
        let Some(stream) = &mut self.stream else { return Vec::new() };
        self.refreshed = self.cluster.generation();
        let mut out = BytesMut::new();
        stream.refresh(&mut out).unwrap();
        let said = self.client.hear(&out, &mut VecDeque::new(), self.high, self.high);
        said.iter().for_each(|said| self.may_have_changed(&said.name));
        said
    }

    /// Pushes a piece and then refreshes, if there is anything to refresh for.
    pub(crate) fn step(&mut self, piece: &Piece) -> Vec<Said> {
        let mut said = self.push(piece);
        if self.cluster.generation() != self.refreshed
            || self.stream.as_ref().is_some_and(BodyRewriter::needs_refresh)
        {
            said.append(&mut self.refresh());
        }
        self.check();
        said
    }

    pub(crate) fn at_boundary(&self) -> bool {
        let (bytes, whole) = *self.pushed.last().unwrap();
        let events = &self.form.client_line().events;
        bytes == if whole == 0 { 0 } else { events[whole - 1].0 }
    }

    /// The client holds exactly what the naive filter shows of what upstream has. Looks at what may
    /// have changed since the last time.
    pub(crate) fn check(&mut self) {
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

    pub(crate) fn may_have_changed(&mut self, name: &str) {
        if let Some(changed) = &mut self.changed {
            changed.insert(name.to_owned());
        }
    }

    pub(crate) fn filtered(&self, objects: BTreeMap<String, Object>) -> BTreeMap<String, Object> {
        let (names, objects): (Vec<String>, Vec<Object>) = objects.into_iter().unzip();
        let objects = objects.into_iter().map(|object| (String::new(), object)).collect();
        let filtered = Body { around: Vec::new(), objects }.filtered(&self.state, self.view.name());
        names.into_iter().zip(filtered.objects.into_iter().map(|(_, object)| object)).collect()
    }

    pub(crate) fn replay(&mut self, order: Order, habit: Habit, seed: u64) {
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
    pub(crate) fn end(&mut self) {
        self.refresh();
        let mut out = BytesMut::new();
        self.stream.as_mut().unwrap().finish(&mut out).unwrap();
        assert!(out.is_empty() && self.client.buffer.is_empty(), "{}", self.what);
        self.feeds.iter_mut().for_each(|feed| feed.finish().unwrap());
        assert_eq!(self.cluster.counters().streams_expired, 0);
        self.changed = None;
        self.check();
    }

    /// The life with a connection that breaks now and then; a part of the bytes on their way is
    /// lost. The client continues where it is, and upstream says again what came after that.
    pub(crate) fn replay_with_cuts(&mut self, seed: u64) {
        self.what += &format!(", cut, seed {seed}");
        let mut dice = random_chunks(seed, 6);
        let client_line = self.form.lines.len() - 1;
        for piece in pieces(&self.form.lines, Order::Version) {
            if self.client.live && self.stream.is_some() && dice.next() == Some(1) {
                // The connection breaks with the output of this piece or of a refresh.
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
    pub(crate) fn cut(&mut self, piece: &Piece, is_clients: bool, arrive: usize) {
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

    pub(crate) fn addresses(&self, name: &str) -> Vec<String> {
        addresses(&self.client.held[name].1)
    }
}

/// Counts `bytes` of a line as pushed. Returns the events that are whole with them.
pub(crate) fn whole<'l>(
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

pub(crate) fn list_version(list: &[u8], protobuf: bool) -> u64 {
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

/// Gives facts to the naive filter.
pub(crate) fn learn(state: &mut State, of: Of, event: &Event) {
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

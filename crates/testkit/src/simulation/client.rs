//! The model client: client-go's reflector. It lists and watches, remembers the resourceVersion of
//! what it hears, and refuses what no API server would say.

use std::collections::BTreeMap;

use super::decode::{Events, Page, Said};
use super::line::{Asked, Asker, Line};
use super::object::Slice;
use super::rng::Rng;
use super::scene::Scene;
use super::server::{Begin, List};
use super::wire::Change;

/// How a client gets its first state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    List,
    Pages,
    WatchList,
    Legacy,
}

pub const MODES: [Mode; 4] = [Mode::List, Mode::Pages, Mode::WatchList, Mode::Legacy];

/// The next action of a client.
enum Task {
    /// Everything anew.
    Relist,
    /// The next page, after these items.
    Page { token: String, items: BTreeMap<String, Slice> },
    /// Live events.
    Watch,
}

/// The current state of a client.
enum Busy {
    No,
    List { body: Vec<u8>, items: BTreeMap<String, Slice> },
    Watch { events: Events, initial: Option<BTreeMap<String, Slice>>, server: u64 },
}

pub struct Client {
    /// A number and the node: `0:hz-1`.
    pub name: String,
    pub namespace: Option<String>,
    mode: Mode,
    bookmarks: bool,
    agent: String,
    pub store: BTreeMap<String, Slice>,
    /// The objects that its handlers received: some do not receive an object under a version that
    /// they had it at (B4.3, B4.4).
    pub told: BTreeMap<String, Slice>,
    rv: Option<u64>,
    task: Task,
    busy: Busy,
    pub line: Option<Box<Line>>,
    /// Lines that this client has left and the proxy still serves.
    pub left: Vec<Line>,
    /// How often in a row the library told it to relist.
    pub told_to_list: usize,
    /// Nothing in its next list tells the library that it has listed before, in another process.
    pub is_unheard_of: bool,
}

/// The node in a client's name.
pub fn node_of(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, node)| node)
}

impl Client {
    pub fn new(
        name: &str,
        namespace: Option<&str>,
        mode: Mode,
        bookmarks: bool,
        agent: &str,
    ) -> Client {
        Client {
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
            mode,
            bookmarks,
            agent: agent.to_owned(),
            store: BTreeMap::new(),
            told: BTreeMap::new(),
            rv: None,
            task: Task::Relist,
            busy: Busy::No,
            line: None,
            left: Vec::new(),
            told_to_list: 0,
            is_unheard_of: false,
        }
    }

    pub fn brief(&self) -> String {
        format!(
            "{} {} {:?}",
            self.name,
            self.namespace.as_deref().unwrap_or("everywhere"),
            self.mode
        )
    }

    pub fn node(&self) -> &str {
        node_of(&self.name)
    }

    /// Watching, past the initial events.
    pub fn is_settled(&self) -> bool {
        self.line.is_some() && matches!(self.busy, Busy::Watch { initial: None, .. })
    }

    /// Waiting for a first event that is not ADDED.
    pub fn is_stuck(&self) -> bool {
        self.mode == Mode::Legacy && matches!(self.busy, Busy::Watch { initial: Some(_), .. })
    }

    /// Sends the next request.
    pub fn ask(&mut self, scene: &mut Scene, rng: &mut Rng) -> Result<(), String> {
        let list = |token: Option<&String>, limit| List {
            scope: self.namespace.as_deref().into(),
            limit,
            token: token.cloned(),
            ..List::default()
        };
        let asker =
            Asker { name: &self.name, namespace: self.namespace.as_deref(), agent: &self.agent };
        let bookmarks = if self.bookmarks { "&allowWatchBookmarks=true" } else { "" };
        let (asked, busy) = match (&mut self.task, self.mode) {
            (Task::Relist, Mode::List | Mode::Pages) => {
                // A first list takes what a cache has; a later one is not older than what the
                // client had before.
                let (query, rv) = match self.rv {
                    None if rng.one_in(2) => {
                        ("resourceVersion=0".to_owned(), scene.server.rv - rng.below(9) as u64)
                    }
                    Some(rv) if rng.one_in(2) && rv <= scene.server.rv => (
                        format!("resourceVersion={rv}"),
                        rng.between(rv as usize, scene.server.rv as usize) as u64,
                    ),
                    _ => ("resourceVersion=".to_owned(), scene.server.rv),
                };
                let limit = (self.mode == Mode::Pages).then(|| rng.between(1, 6));
                let query = limit.map_or(query.clone(), |limit| format!("limit={limit}&{query}"));
                (
                    Line::list(scene, &asker, &list(None, limit), rv, &query)?,
                    Busy::List { body: Vec::new(), items: BTreeMap::new() },
                )
            }
            (Task::Page { token, items }, _) => {
                let limit = rng.between(1, 6);
                let query = format!("continue={token}&limit={limit}");
                let busy = Busy::List { body: Vec::new(), items: items.clone() };
                (Line::list(scene, &asker, &list(Some(token), Some(limit)), 0, &query)?, busy)
            }
            (Task::Relist, mode) => {
                let (begin, bookmarks, query) = match mode {
                    Mode::WatchList => {
                        let query = "allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&\
                                     sendInitialEvents=true&watch=true";
                        (Begin::WatchList, true, query.to_owned())
                    }
                    _ => (
                        Begin::Legacy,
                        self.bookmarks,
                        format!("watch=1{bookmarks}{}", rng.of(&["", "&resourceVersion=0"])),
                    ),
                };
                let server = scene.server.rv;
                let asked = Line::watch(scene, &asker, begin, bookmarks, &self.store, &query)?;
                (
                    asked,
                    Busy::Watch {
                        events: Events::default(),
                        initial: Some(BTreeMap::new()),
                        server,
                    },
                )
            }
            (Task::Watch, _) => {
                let rv = self.rv.expect("a watch goes on from somewhere");
                let query = format!("resourceVersion={rv}&watch=true{bookmarks}");
                let server = scene.server.rv;
                let asked =
                    Line::watch(scene, &asker, Begin::At(rv), self.bookmarks, &self.store, &query)?;
                (asked, Busy::Watch { events: Events::default(), initial: None, server })
            }
        };
        match asked {
            Asked::Line(line) => {
                match self.task {
                    Task::Relist => scene.stats.relists += 1,
                    Task::Watch => scene.stats.reconnects += 1,
                    Task::Page { .. } => {}
                }
                self.left.iter_mut().for_each(|left| left.is_forsaken = true);
                (self.line, self.busy) = (Some(line), busy);
            }
            Asked::NotReady => {}
            Asked::Expired => {
                self.told_to_list += usize::from(matches!(self.task, Task::Watch));
                self.task = Task::Relist;
            }
        }
        Ok(())
    }

    /// The client reads up to `count` bytes. Whether there was anything to do.
    pub fn read(&mut self, scene: &mut Scene, count: usize) -> Result<bool, String> {
        let Some(line) = &mut self.line else { return Ok(false) };
        let bytes: Vec<u8> = line.pipe.drain(..count.min(line.pipe.len())).collect();
        match &mut self.busy {
            Busy::List { body, .. } => body.extend_from_slice(&bytes),
            Busy::Watch { events, .. } => {
                for said in events.take(&bytes, scene.setup.subject, scene.setup.encoding)? {
                    self.hear(scene, said)?;
                }
            }
            Busy::No => return Err("bytes that nobody asked for".to_owned()),
        }
        let ended = self.line.as_ref().is_some_and(|line| line.is_over && line.pipe.is_empty());
        if ended {
            self.ended(scene)?;
        }
        Ok(ended || !bytes.is_empty())
    }

    /// The response is over.
    fn ended(&mut self, scene: &mut Scene) -> Result<(), String> {
        let Some(line) = self.line.take() else { return Ok(()) };
        match std::mem::replace(&mut self.busy, Busy::No) {
            Busy::List { body, mut items } if line.is_clean => {
                let page = Page::read(&body, scene.setup.subject, scene.setup.encoding)?;
                items.extend(page.items.into_iter().map(|item| (item.key(), item)));
                match page.next {
                    Some(token) => self.task = Task::Page { token, items },
                    None => {
                        self.replace(items);
                        (self.rv, self.task) = (Some(page.rv), Task::Watch);
                    }
                }
            }
            // Repeats the request.
            Busy::List { .. } => {}
            Busy::Watch { events, .. } if !events.is_whole() => {
                return Err("a watch ends inside an event".to_owned());
            }
            busy => self.lost(busy),
        }
        Ok(())
    }

    /// A watch is over, somehow. One that was in its initial events starts anew.
    fn lost(&mut self, busy: Busy) {
        if let Busy::Watch { initial, .. } = busy {
            self.task = if initial.is_some() { Task::Relist } else { Task::Watch };
        }
    }

    /// The client loses the line, and all that is on it. The proxy may not have noticed: the line
    /// is its own then.
    pub fn cut(&mut self) -> Option<Box<Line>> {
        let line = self.line.take();
        let busy = std::mem::replace(&mut self.busy, Busy::No);
        if line.is_some() {
            self.lost(busy);
        }
        line
    }

    /// Forgets everything, as a client that was started anew.
    pub fn restart(&mut self) -> Option<Box<Line>> {
        let line = self.cut();
        (self.rv, self.task) = (None, Task::Relist);
        self.replace(BTreeMap::new());
        line
    }

    /// A new first state. Handlers are told of what went, and of what they have not under the same
    /// version.
    fn replace(&mut self, items: BTreeMap<String, Slice>) {
        self.told.retain(|key, _| items.contains_key(key));
        let is_unheard_of = std::mem::take(&mut self.is_unheard_of);
        for (key, item) in &items {
            let has = self.store.get(key).is_some_and(|held| {
                held.metadata.resource_version == item.metadata.resource_version
            });
            if !has || is_unheard_of {
                self.told.insert(key.clone(), item.clone());
            }
        }
        self.store = items;
    }

    /// The proxy is another process now.
    pub fn lose_proxy(&mut self) {
        drop(self.cut());
        self.left.clear();
        // client-go says by its version that it has listed before, unless it was told that the
        // version is too old.
        self.is_unheard_of = !matches!(self.task, Task::Watch);
    }

    fn hear(&mut self, scene: &mut Scene, said: Said) -> Result<(), String> {
        let Busy::Watch { initial, .. } = &mut self.busy else {
            return Err("an event after the end".to_owned());
        };
        if let Said::Error(code) = said {
            scene.note(format!("{} hears ERROR {code}", self.name));
            let line = self.line.take().expect("it was just read from");
            self.told_to_list += usize::from(line.has_ended_itself());
            // The newline of the event itself may be there.
            if line.pipe.len() > 1 {
                return Err(format!("{} bytes after an ERROR event", line.pipe.len()));
            }
            let is_initial = initial.is_some();
            self.busy = Busy::No;
            self.task = if code == 429 && !is_initial { Task::Watch } else { Task::Relist };
            return Ok(());
        }
        if let Some(items) = initial {
            match (&said, self.mode) {
                (Said::Object(Change::Added, slice), _) => {
                    items.insert(slice.key(), Slice::clone(slice));
                    if self.mode == Mode::Legacy {
                        // Nobody may ever say that this is all.
                        let items = items.clone();
                        self.replace(items);
                    }
                    return Ok(());
                }
                // Where the server's cache lagged. An event of poolscope would have a version
                // that the client has.
                (Said::Object(change, slice), Mode::WatchList) => {
                    let version = |slice: &Slice| {
                        slice
                            .metadata
                            .resource_version
                            .parse::<u64>()
                            .expect("checked when it was read")
                    };
                    let before = items.remove(&slice.key());
                    if before.is_some_and(|before| version(&before) >= version(slice)) {
                        return Err(format!("{} again in the initial events", said.brief()));
                    }
                    if *change == Change::Modified {
                        items.insert(slice.key(), Slice::clone(slice));
                    }
                    return Ok(());
                }
                (Said::Bookmark { end: true, .. }, Mode::WatchList) | (_, Mode::Legacy) => {
                    let items = std::mem::take(items);
                    self.replace(items);
                }
                _ => return Err(format!("{} in the initial events", said.brief())),
            }
        }
        let Busy::Watch { initial, server, .. } = &mut self.busy else {
            return Err("an event after the end".to_owned());
        };
        *initial = None;
        self.rv = said.rv();
        match said {
            Said::Object(Change::Deleted, slice) => {
                let rv = slice
                    .metadata
                    .resource_version
                    .parse::<u64>()
                    .expect("checked when it was read");
                self.told.remove(&slice.key());
                // Whether what was given came through the proxy cannot know; what was never given
                // it does.
                let given =
                    scene.was_given(node_of(&self.name), self.namespace.as_deref(), &slice.key());
                let may_repeat = if slice.is_service() { given } else { rv <= *server };
                if self.store.remove(&slice.key()).is_none() && !may_repeat {
                    return Err(format!(
                        "DELETED {} at {rv}, which the client never had",
                        slice.key()
                    ));
                }
            }
            Said::Object(_, slice) => {
                let key = slice.key();
                let is_told = self.store.get(&key).is_none_or(|before| {
                    before.metadata.resource_version != slice.metadata.resource_version
                });
                if is_told {
                    self.told.insert(key.clone(), Slice::clone(&slice));
                }
                self.store.insert(key, *slice);
            }
            Said::Bookmark { end: true, .. }
                if self.mode != Mode::WatchList && self.mode != Mode::Legacy =>
            {
                return Err("the end of initial events that nobody asked for".to_owned());
            }
            Said::Bookmark { .. } | Said::Error(_) => {}
        }
        Ok(())
    }
}

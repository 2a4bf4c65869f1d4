//! The model client.

use super::*;

/// The events that the client received, with their origins.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) event: String,
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) addresses: Vec<String>,
    pub(crate) upstream: bool,
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

/// A client that keeps what it is told, and the rules for who tells it (B4.5).
pub(crate) struct Client {
    pub(crate) protobuf: bool,
    pub(crate) bookmarks: bool,
    pub(crate) suppress: bool,
    /// Its initial events are announced, or end with the first that is not ADDED.
    pub(crate) announced: bool,
    pub(crate) buffer: Vec<u8>,
    pub(crate) held: BTreeMap<String, (u64, Object)>,
    /// Where it would continue if the connection broke.
    pub(crate) resumes: u64,
    pub(crate) live: bool,
    /// Told again under the version that it had, which some clients take for nothing new: to be
    /// told once more.
    pub(crate) again: BTreeSet<String>,
    /// It may be told what it knows: it went on after a cut.
    pub(crate) forgets: bool,
    /// Its bytes may end anywhere.
    pub(crate) cut: bool,
}

impl Client {
    pub(crate) fn list(&mut self, body: &Body) {
        for (_, object) in &body.objects {
            let metadata = metadata(object);
            let version = metadata.resource_version.parse().unwrap();
            let before =
                self.held.insert(name(&metadata), (version, plain(object.clone(), self.suppress)));
            assert!(before.is_none());
        }
    }

    /// Takes some bytes. `passing` are the events of upstream that were pushed whole and not seen
    /// here yet, W was between `low` and `high` meanwhile.
    pub(crate) fn hear(
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
                        let news = *held != plain(event.object.clone(), self.suppress);
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

    pub(crate) fn may_be_left_out(&self, event: &Event) -> bool {
        self.live && self.suppress && event.is("MODIFIED")
    }

    pub(crate) fn take(&mut self, event: Event, upstream: bool) -> Said {
        let addresses = if event.is("BOOKMARK") { Vec::new() } else { addresses(&event.object) };
        self.live |= if self.announced { event.ends_initial_events } else { !event.is("ADDED") };
        // Initial events come in the order of names: none of them is a place to resume.
        if self.live {
            self.resumes = event.version;
        }
        let Event { event, name, version, object, .. } = event;
        match &*event {
            "ADDED" | "MODIFIED" => {
                let before =
                    self.held.insert(name.clone(), (version, plain(object, self.suppress)));
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

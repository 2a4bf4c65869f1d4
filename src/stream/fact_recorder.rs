//! Reads facts from the items of a body.

use super::item::{Bookmark, Event, Item, ListEnd};
use super::request::{Initial, Target, Verb};
use crate::cluster::counters::count;
use crate::cluster::fact::{Fact, Read, matters};
use crate::cluster::pages::Page;
use crate::cluster::{Cluster, Listing};
use crate::object::FactKind;
use crate::object::metadata::PARTIAL_OBJECT_METADATA;
use crate::object::selection::Selection;
use crate::object::version::Version;

/// Records the facts of one kind from one response.
pub(super) struct FactRecorder {
    cluster: Cluster,
    kind: FactKind,
    selection: Selection,
    phase: ReadPhase,
    /// The facts of the list or the initial events so far.
    listing: Listing,
    /// Something was seen that shows that the listing is not the whole truth.
    incomplete: bool,
}

enum ReadPhase {
    Single,
    /// A list, or the page of one that this token asked for.
    List(Option<String>),
    /// The initial events of a watch; their end is announced, or only told by what comes next.
    Initial {
        announced: bool,
    },
    /// Live events of a watch that started at this version.
    Live(Version),
    /// Nothing more is learned: an error event came, or the kind does not matter under this
    /// configuration.
    Over,
}

impl FactRecorder {
    pub(super) fn new(cluster: Cluster, kind: FactKind, target: &Target) -> FactRecorder {
        let phase = match target.verb {
            // Two sources of membership would mix.
            _ if !matters(kind, cluster.config()) => ReadPhase::Over,
            Verb::Get => ReadPhase::Single,
            Verb::List => ReadPhase::List(target.continues.clone()),
            Verb::Watch { initial: Initial::Live } => ReadPhase::Live(target.start()),
            Verb::Watch { initial } => {
                ReadPhase::Initial { announced: initial == Initial::Announced }
            }
        };
        FactRecorder {
            cluster,
            kind,
            selection: target.selection.clone(),
            phase,
            listing: Listing::default(),
            incomplete: false,
        }
    }

    pub(super) fn kind(&self) -> FactKind {
        self.kind
    }

    pub(super) fn take(&mut self, item: &Item<'_>) {
        if matches!(self.phase, ReadPhase::Over) {
            return;
        }
        match item.event {
            Event::Bookmark => self.bookmark(item),
            Event::Error => self.phase = ReadPhase::Over,
            Event::None | Event::Added | Event::Modified | Event::Deleted => {
                if let Some(fact) = self.fact(item) {
                    self.learn(fact, item.event);
                }
            }
            Event::Unknown => {}
        }
    }

    fn learn(&mut self, fact: Fact, event: Event) {
        if matches!(self.phase, ReadPhase::Initial { announced: false }) && event != Event::Added {
            // A legacy watch ends its initial events by the first event of another type (R5).
            let seen = self.listing.facts.values();
            let version =
                seen.fold(Version::default(), |version, fact| version.later(fact.version));
            self.listing.may_be_later = true;
            self.initial_events_ended(version);
        }
        match self.phase {
            ReadPhase::Single => self.cluster.record_object(self.kind, fact),
            // Live events may come before the initial ones are announced to be over.
            ReadPhase::Initial { .. } if event == Event::Deleted => {
                drop(self.listing.facts.remove(&fact.key))
            }
            ReadPhase::List(_) | ReadPhase::Initial { .. } => {
                drop(self.listing.facts.insert(fact.key.clone(), fact))
            }
            ReadPhase::Live(start) => self.cluster.record_event(
                self.kind,
                &self.selection,
                start,
                fact,
                event == Event::Deleted,
            ),
            ReadPhase::Over => {}
        }
    }

    fn bookmark(&mut self, item: &Item<'_>) {
        let Some(Bookmark { version, ends_initial_events }) = item.bookmark() else { return };
        match self.phase {
            ReadPhase::Initial { announced } => {
                if !announced || ends_initial_events {
                    self.initial_events_ended(version);
                }
            }
            ReadPhase::Live(start) => {
                self.cluster.record_bookmark(self.kind, &self.selection, start, version)
            }
            ReadPhase::Single | ReadPhase::List(_) | ReadPhase::Over => {}
        }
    }

    fn initial_events_ended(&mut self, version: Version) {
        let listing = std::mem::take(&mut self.listing);
        if !self.incomplete {
            self.cluster.record_list(self.kind, &self.selection, version, listing);
        }
        self.phase = ReadPhase::Live(version);
    }

    /// The last item of a list was taken.
    pub(super) fn list_ended(&mut self, end: &ListEnd<'_>) {
        let ReadPhase::List(token) = &mut self.phase else { return };
        let (mut listing, token) = (std::mem::take(&mut self.listing), token.take());
        let version = Version::parse(end.resource_version);
        // A body without items lists nothing, which is not the same as listing that there is
        // nothing.
        if self.incomplete || !end.has_items || !end.kind.is_none_or(|kind| self.is_list(kind)) {
            return;
        }
        let mut pages = self.cluster.pages();
        if let Some(token) = token {
            match pages.resume(self.kind, &self.selection, &token) {
                Some(page) if page.version == version => listing.come_after(page.listing),
                // The first pages went another way, or belong to another state than this one: no
                // whole list.
                _ => return,
            }
        }
        if end.continues.is_empty() {
            drop(pages);
            self.cluster.record_list(self.kind, &self.selection, version, listing);
        } else {
            let (kind, selection) = (self.kind, self.selection.clone());
            pages.keep(Page { kind, selection, token: end.continues.to_owned(), version, listing });
        }
    }

    /// Whether the list's own kind is one that lists what is wanted. A Table or a Status lists
    /// nothing.
    fn is_list(&self, kind: &[u8]) -> bool {
        match kind.strip_suffix(b"List") {
            Some(item) if item == PARTIAL_OBJECT_METADATA.as_bytes() => self.kind.is_in_metadata(),
            Some(item) => item == self.kind.kind().as_bytes(),
            None => false,
        }
    }

    fn fact(&mut self, item: &Item<'_>) -> Option<Fact> {
        match Fact::read(
            self.kind,
            item.object_bytes(),
            item.encoding,
            item.kind,
            self.cluster.config(),
        ) {
            Read::Fact(fact) => return Some(fact),
            Read::NoFacts => self.incomplete = true,
            Read::Other => {}
            Read::Undecodable => {
                count(&self.cluster.live_counters().facts_undecodable, 1);
                self.listing.undecodable += 1;
            }
        }
        None
    }
}

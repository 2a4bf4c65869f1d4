//! Reads facts from the items of a body.

use super::item::{Event, Item, ListEnd};
use super::lifecycle::{InitialEvents, Lifecycle};
use super::request::Target;
use super::status::ReadStatus;
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
    /// [`Lifecycle::Ended`] from the start if the kind does not matter under this configuration.
    lifecycle: Lifecycle,
    /// The token that asked for this page of a list.
    page: Option<String>,
    /// The version at which the live events of a watch start.
    start: Version,
    /// A watch from here misses nothing after what was read; `None` until a list or the initial
    /// events of a watch are over.
    resume_at: Option<Version>,
    /// The Status of the ERROR event that ended the watch.
    error: Option<ReadStatus>,
    /// The facts of the list or the initial events so far.
    listing: Listing,
    /// Something was seen that shows that the listing is not the whole truth.
    incomplete: bool,
}

impl FactRecorder {
    pub(super) fn new(cluster: Cluster, kind: FactKind, target: &Target) -> FactRecorder {
        // Two sources of membership would mix.
        let matters = matters(kind, cluster.config());
        FactRecorder {
            cluster,
            kind,
            selection: target.selection.clone(),
            lifecycle: if matters { Lifecycle::of(target.verb) } else { Lifecycle::Ended },
            page: target.continues.clone(),
            start: target.start(),
            resume_at: (Lifecycle::of(target.verb) == Lifecycle::Live).then(|| target.start()),
            error: None,
            listing: Listing::default(),
            incomplete: false,
        }
    }

    pub(super) fn kind(&self) -> FactKind {
        self.kind
    }

    pub(super) fn resume_at(&self) -> Option<Version> {
        self.resume_at
    }

    pub(super) fn error(&self) -> Option<&ReadStatus> {
        self.error.as_ref()
    }

    pub(super) fn take(&mut self, item: &Item<'_>) {
        if self.lifecycle == Lifecycle::Ended {
            return;
        }
        match item.event {
            Event::Bookmark | Event::Error => self.mark(item),
            Event::None | Event::Added | Event::Modified | Event::Deleted => {
                if let Some(fact) = self.fact(item) {
                    self.record(fact, item);
                }
            }
            Event::Unknown => {}
        }
    }

    fn record(&mut self, fact: Fact, item: &Item<'_>) {
        if self.lifecycle.pass(item.event, None) == InitialEvents::EndBefore {
            let seen = self.listing.facts.values();
            let version =
                seen.fold(Version::default(), |version, fact| version.later(fact.version));
            self.listing.may_be_later = true;
            self.initial_events_ended(version);
        }
        let is_deleted = item.event == Event::Deleted;
        match self.lifecycle {
            Lifecycle::Object => self.cluster.record_object(self.kind, fact),
            // Live events may come before the initial ones are announced to be over.
            Lifecycle::Announced if is_deleted => {
                self.listing.facts.remove(&fact.key);
            }
            Lifecycle::ListPage | Lifecycle::Announced | Lifecycle::Legacy => {
                self.listing.facts.insert(fact.key.clone(), fact);
            }
            Lifecycle::Live => {
                let (kind, start) = (self.kind, self.start);
                self.reach(fact.version);
                self.cluster.record_event(kind, &self.selection, start, fact, is_deleted)
            }
            Lifecycle::Ended => {}
        }
    }

    /// Passes a BOOKMARK or ERROR.
    fn mark(&mut self, item: &Item<'_>) {
        let (was_live, bookmark) = (self.lifecycle == Lifecycle::Live, item.bookmark());
        if item.event == Event::Error {
            self.error = Some(ReadStatus::of(item.object_bytes(), item.encoding));
        }
        if let InitialEvents::EndAt(version) = self.lifecycle.pass(item.event, bookmark) {
            self.initial_events_ended(version);
        } else if was_live && let Some(bookmark) = bookmark {
            let (kind, start) = (self.kind, self.start);
            self.reach(bookmark.version);
            self.cluster.record_bookmark(kind, &self.selection, start, bookmark.version)
        }
    }

    /// Everything up to this version was read, unless the initial events were not usable.
    fn reach(&mut self, version: Version) {
        if !self.incomplete {
            self.resume_at = Some(version);
        }
    }

    fn initial_events_ended(&mut self, version: Version) {
        let listing = std::mem::take(&mut self.listing);
        if !self.incomplete {
            self.resume_at = Some(version);
            self.cluster.record_list(self.kind, &self.selection, version, listing);
        }
        self.start = version;
    }

    /// The last item of a list was taken.
    pub(super) fn list_ended(&mut self, end: &ListEnd<'_>) {
        if self.lifecycle != Lifecycle::ListPage {
            return;
        }
        let (mut listing, token) = (std::mem::take(&mut self.listing), self.page.take());
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
            self.resume_at = Some(version);
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

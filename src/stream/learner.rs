//! Taking facts from the units of a stream.

use super::request::{Initial, Target, Verb};
use super::unit::{Event, Unit};
use crate::cluster::Cluster;
use crate::cluster::counters::count;
use crate::cluster::fact::{Fact, Read, matters};
use crate::cluster::pages::Begun;
use crate::cluster::source::{Selection, Version};
use crate::object::FactKind;
use crate::object::metadata::{Metadata, PARTIAL_OBJECT_METADATA};

/// The annotation of the bookmark that ends the initial events of a watch.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Takes facts of one kind from one response.
pub(super) struct Learner {
    cluster: Cluster,
    kind: FactKind,
    selection: Selection,
    phase: Phase,
    /// Something was seen that shows that the list is not the whole truth.
    incomplete: bool,
}

enum Phase {
    Single,
    /// Facts of the page so far, and the token that asked for it.
    List {
        facts: Vec<Fact>,
        continues: Option<String>,
    },
    /// Facts of the initial events so far.
    Initial {
        facts: Vec<Fact>,
        announced: bool,
    },
    /// Live events of a watch that started at this version.
    Live {
        start: Version,
    },
    /// Nothing more is learned: an error event came, or the kind does not matter under this configuration.
    Over,
}

impl Learner {
    pub(super) fn new(cluster: Cluster, kind: FactKind, target: &Target) -> Learner {
        let phase = match target.verb {
            // Two sources of membership would mix.
            _ if !matters(kind, cluster.config()) => Phase::Over,
            Verb::Get => Phase::Single,
            Verb::List => Phase::List { facts: Vec::new(), continues: target.continues.clone() },
            Verb::Watch { initial: Initial::Live } => Phase::Live { start: Version::parse(&target.resource_version) },
            Verb::Watch { initial } => Phase::Initial { facts: Vec::new(), announced: initial == Initial::Announced },
        };
        Learner { cluster, kind, selection: target.selection.clone(), phase, incomplete: false }
    }

    pub(super) fn kind(&self) -> FactKind {
        self.kind
    }

    pub(super) fn take(&mut self, unit: &Unit<'_>) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        match unit.event {
            Event::Bookmark => self.bookmark(unit),
            Event::Error => self.phase = Phase::Over,
            Event::None | Event::Added | Event::Modified | Event::Deleted => {
                if let Some(fact) = self.fact(unit) {
                    self.learn(fact, unit.event);
                }
            }
            Event::Unknown => {}
        }
    }

    fn learn(&mut self, fact: Fact, event: Event) {
        if let Phase::Initial { facts, announced: false } = &mut self.phase
            && event != Event::Added
        {
            // A legacy watch ends its initial events by the first event of another type (wire 4.5, rule 1).
            let facts = std::mem::take(facts);
            let version = facts.iter().fold(Version::default(), |version, fact| version.later(fact.version));
            self.initial_events_ended(facts, version);
        }
        match &mut self.phase {
            Phase::Single => self.cluster.learn_single(self.kind, fact),
            Phase::List { facts, .. } | Phase::Initial { facts, .. } => facts.push(fact),
            Phase::Live { start } => self.cluster.learn_event(self.kind, &self.selection, *start, fact, event == Event::Deleted),
            Phase::Over => {}
        }
    }

    fn bookmark(&mut self, unit: &Unit<'_>) {
        let Some(metadata) = Metadata::read(unit.object_bytes(), unit.encoding) else { return };
        let version = Version::parse(&metadata.resource_version);
        match &mut self.phase {
            Phase::Initial { facts, announced } => {
                if !*announced || metadata.annotations.get(INITIAL_EVENTS_END).is_some_and(|value| value == "true") {
                    let facts = std::mem::take(facts);
                    self.initial_events_ended(facts, version);
                }
            }
            Phase::Live { start } => self.cluster.learn_bookmark(self.kind, &self.selection, *start, version),
            Phase::Single | Phase::List { .. } | Phase::Over => {}
        }
    }

    fn initial_events_ended(&mut self, facts: Vec<Fact>, version: Version) {
        if !self.incomplete {
            self.cluster.learn_list(self.kind, &self.selection, version, facts);
        }
        self.phase = Phase::Live { start: version };
    }

    /// The last item of a list was taken.
    pub(super) fn list_ended(&mut self, kind: Option<&[u8]>, resource_version: &str, continues: &str) {
        let Phase::List { facts, continues: asked } = &mut self.phase else { return };
        let (mut facts, asked) = (std::mem::take(facts), asked.take());
        let version = Version::parse(resource_version);
        if self.incomplete || !kind.is_none_or(|kind| self.is_list(kind)) {
            return;
        }
        let mut pages = self.cluster.pages();
        if let Some(token) = asked {
            match pages.resume(self.kind, &self.selection, &token) {
                Some(begun) if begun.version == version => {
                    let mut all = begun.facts;
                    all.append(&mut facts);
                    facts = all;
                }
                // The first pages went another way, or belong to another state than this one: no whole list.
                _ => return,
            }
        }
        if continues.is_empty() {
            drop(pages);
            self.cluster.learn_list(self.kind, &self.selection, version, facts);
        } else {
            pages.keep(Begun { kind: self.kind, selection: self.selection.clone(), token: continues.to_owned(), version, facts });
        }
    }

    /// Whether the list's own kind is one that lists what is wanted. A Table or a Status lists nothing.
    fn is_list(&self, kind: &[u8]) -> bool {
        match kind.strip_suffix(b"List") {
            Some(item) if item == PARTIAL_OBJECT_METADATA.as_bytes() => self.kind.taught_by_metadata(),
            Some(item) => item == self.kind.kind().as_bytes(),
            None => false,
        }
    }

    fn fact(&mut self, unit: &Unit<'_>) -> Option<Fact> {
        match Fact::read(self.kind, unit.object_bytes(), unit.encoding, unit.kind, self.cluster.config()) {
            Read::Fact(fact) => Some(fact),
            Read::SaysNothing => {
                self.incomplete = true;
                None
            }
            Read::Undecodable => {
                count(&self.cluster.tally().facts_undecodable, 1);
                None
            }
        }
    }
}

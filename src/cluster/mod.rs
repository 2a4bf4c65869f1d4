//! The facts of a cluster, and the questions that they answer.

mod components;
pub(crate) mod counters;
pub(crate) mod fact;
mod facts;
pub(crate) mod log;
pub(crate) mod membership;
pub(crate) mod pages;
pub(crate) mod source;
mod table;

use std::fmt;

use self::components::defaults;
use self::counters::{Counters, Tally, count};
use self::fact::{Fact, matters};
pub(crate) use self::facts::{Facts, Listing};
use self::log::Change;
use self::pages::Pages;

use crate::config::rewrites::{Rewrite, Rewrites};
use crate::config::{Components, Config, Membership};
use crate::error::Result;
use crate::ledger::shelf::Shelf;
use crate::object::selection::Selection;
use crate::object::version::Version;
use crate::object::{FactKind, config_map};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

/// The facts of one cluster. One per process; clones share it; any thread may use it.
///
/// It is taught by the bodies of lists, watches and single objects: those that the embedder fetches
/// itself ([`Cluster::feed`]) and those of a client that pass through a [`Stream`](crate::Stream).
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    facts: RwLock<Facts>,
    generation: AtomicU64,
    tally: Tally,
    pages: Mutex<Pages>,
    shelf: Arc<Mutex<Shelf>>,
}

/// A kind of facts that has to be known before objects that depend on it may be shown, and is not.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Missing {
    /// The kind.
    pub kind: FactKind,
    /// Where to ask for it. Older versions of OpenYurt serve NodePools as v1beta1 or v1alpha1
    /// only, which do as well.
    pub path: Box<str>,
    /// What is known instead, if the lists seen so far are not enough; several are divided by
    /// semicolons.
    pub known: Option<Box<str>>,
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.known {
            None => write!(out, "no {} seen yet (GET {})", self.kind, self.path),
            Some(known) => {
                write!(out, "the {} list seen covers only {known} (GET {})", self.kind, self.path)
            }
        }
    }
}

/// The lists that were seen, in words.
fn in_words<'a>(known: impl Iterator<Item = &'a Selection>) -> Option<Box<str>> {
    // A source of one object by name covers no other object.
    let known: Vec<String> =
        known.filter(|known| !known.is_by_name_alone()).map(Selection::to_string).collect();
    (!known.is_empty()).then(|| known.join("; ").into())
}

/// How much of a kind has to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    /// The own node's.
    Own,
    All,
}

/// Returns how much of a kind the rewrites that apply need.
fn need(kind: FactKind, rewrites: Rewrites, config: &Config) -> Need {
    let (topology, ports) =
        (rewrites.has(Rewrite::ServiceTopology), rewrites.has(Rewrite::NodePortIsolation));
    let by_label = matches!(config.membership, Membership::NodeLabel(_) | Membership::NodeLabels);
    match kind {
        FactKind::Service | FactKind::NodePool | FactKind::NodeBucket | FactKind::CiliumNode
            if topology =>
        {
            Need::All
        }
        FactKind::Node if topology && by_label => Need::All,
        FactKind::Node if topology => Need::Own,
        // Node ports ask for the name of the own pool and for nothing else.
        FactKind::Node | FactKind::CiliumNode if ports && config.pool.is_none() => Need::Own,
        _ => Need::Nothing,
    }
}

impl Cluster {
    /// A cluster of which nothing is known yet. Errors: [`Error::Config`](crate::Error::Config).
    pub fn new(config: Config) -> Result<Cluster> {
        config.check()?;
        let shelf = Arc::new(Mutex::new(Shelf::new(config.limits.ledger_bytes, config.ladders)));
        let facts = RwLock::new(Facts::new(config.limits.deleted_services));
        Ok(Cluster {
            shared: Arc::new(Shared {
                config,
                facts,
                generation: AtomicU64::new(0),
                tally: Tally::default(),
                pages: Mutex::default(),
                shelf,
            }),
        })
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Raised by every change of facts that can change a verdict. Cheap: one atomic read.
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// What changed after `generation`, oldest first; `None` if that is too long ago to be
    /// remembered (4096 changes).
    pub fn changes_since(&self, generation: u64) -> Option<Vec<Change>> {
        self.read().log().since(generation)
    }

    /// Returns the counters, including objects that were forwarded because a fact is missing.
    pub fn counters(&self) -> Counters {
        self.shared.tally.snapshot()
    }

    /// What still has to be learned before `node` may be shown slices of every namespace; empty
    /// when it is ready.
    pub fn missing(&self, node: &str) -> Vec<Missing> {
        self.missing_for(node, &Selection::default(), self.config().rewrites(), None)
    }

    /// The same before `component` (`None`: any client) may be shown objects of a selection to
    /// which these rewrites may apply.
    pub(crate) fn missing_for(
        &self,
        node: &str,
        selection: &Selection,
        may_apply: Rewrites,
        component: Option<&str>,
    ) -> Vec<Missing> {
        let config = self.config();
        let facts = self.read();
        let on = config.rewrites().and(may_apply);
        let yurt_hub = config.components == Components::YurtHub;
        let now = component.map_or(on, |component| facts.rewrites_of(component, config).and(on));
        // A component keeps its defaults whatever the ConfigMap says.
        let may_get_more = yurt_hub
            && component.is_none_or(|component| defaults(component).and(on) != on)
            && !on.is_empty();
        let everything = Selection::default();
        let mut missing = Vec::new();
        for kind in FactKind::ALL.into_iter().filter(|&kind| matters(kind, config)) {
            let known = |enough: &dyn Fn(&Selection) -> bool| facts.sources(kind).any(enough);
            let need = if kind == FactKind::ConfigMap && may_get_more {
                Need::All
            } else {
                need(kind, now, config)
            };
            let enough = match (kind, need) {
                (_, Need::Nothing) => true,
                (FactKind::Service, _) => known(&|known| known.covers_services_of(selection)),
                (FactKind::ConfigMap, _) => {
                    facts.components().is_some()
                        || known(&|known| known.covers(&config_map::selection()))
                }
                // Only the own Node's label is needed, and one that was read says it whatever list
                // it came from.
                (_, Need::Own) => {
                    facts.has_node(node) || known(&|known| known.must_have(node.as_bytes()))
                }
                (_, Need::All) => known(&|known| known.covers(&everything)),
            };
            if !enough {
                let path = if need == Need::Own {
                    format!("{}/{node}", kind.list_path())
                } else {
                    kind.list_path().to_owned()
                };
                missing.push(Missing {
                    kind,
                    path: path.into(),
                    known: in_words(facts.sources(kind)),
                });
            }
        }
        missing
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.shared.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client states between two responses to one client.
    pub(crate) fn shelf(&self) -> &Arc<Mutex<Shelf>> {
        &self.shared.shelf
    }

    /// The facts as they are now, for as long as the guard is held.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Facts> {
        self.shared.facts.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets where the facts of a kind came from, not the facts: the next list of it, whatever it
    /// selects and however old it is, replaces them, and until then the kind is missing. For
    /// when the source has gone for good, or the API server was restored to an earlier state.
    pub fn forget_source(&self, kind: FactKind) {
        self.learn(|facts| facts.forget_source(kind));
    }

    /// A complete list of `selection` at `version`.
    pub(crate) fn learn_list(
        &self,
        kind: FactKind,
        selection: &Selection,
        version: Version,
        list: Listing,
    ) {
        self.learn(|facts| facts.list(kind, selection, version, list));
    }

    /// ADDED or MODIFIED (`gone` false) or DELETED (`gone` true) on a watch of `selection` that
    /// started at `start`.
    pub(crate) fn learn_event(
        &self,
        kind: FactKind,
        selection: &Selection,
        start: Version,
        fact: Fact,
        gone: bool,
    ) {
        self.learn(|facts| facts.event(kind, selection, start, fact, gone));
    }

    /// A bookmark on a watch of `selection` that started at `start`.
    pub(crate) fn learn_bookmark(
        &self,
        kind: FactKind,
        selection: &Selection,
        start: Version,
        version: Version,
    ) {
        self.learn(|facts| facts.bookmark(kind, selection, start, version));
    }

    /// A single object that was read by name.
    pub(crate) fn learn_single(&self, kind: FactKind, fact: Fact) {
        self.learn(|facts| facts.single(kind, fact));
    }

    fn learn(&self, change: impl FnOnce(&mut Facts)) {
        // Nothing in the room panics half-way through a change, so a poisoned lock still holds
        // whole facts.
        let mut facts = self.shared.facts.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut facts);
        count(&self.shared.tally.deleted_services_forgotten, facts.take_forgotten());
        self.shared.generation.store(facts.generation(), Ordering::Release);
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Cluster")
            .field("config", &self.shared.config)
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

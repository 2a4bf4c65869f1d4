//! What is known about the cluster: facts in, questions out.

pub(crate) mod counters;
pub(crate) mod fact;
pub(crate) mod log;
pub(crate) mod membership;
pub(crate) mod pages;
pub(crate) mod source;
mod table;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::counters::{Counters, Tally};
use self::fact::{Description, Fact, Lesson, matters};
use self::log::{Change, Log};
use self::membership::Membership as Pools;
use self::pages::Pages;
use self::source::{Listed, Selection, Source, Version};
use self::table::{Node, Table};
use crate::config::{Config, Membership};
use crate::error::Result;
use crate::object::FactKind;
use crate::topology::keys::Keys;
use crate::topology::verdict::{OwnPool, Service, View};

/// What is known about the cluster. One per process; clones share it; any thread may use it.
///
/// It is taught by the bodies of lists, watches and single objects: those that the embedder fetches itself
/// ([`Cluster::feed`]) and those of a client that pass through a [`Stream`](crate::Stream).
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
}

/// Everything that verdicts depend on.
pub(crate) struct Facts {
    services: Table<Asked>,
    nodes: Table<Node>,
    pools: Table<Description>,
    membership: Pools,
    sources: [Source; FactKind::ALL.len()],
    log: Log,
    /// Deleted Services whose keys are held, the longest deleted first.
    deleted: VecDeque<(Box<[u8]>, Version)>,
}

/// How many deleted Services are remembered: short-lived ones must not fill the memory.
const MAX_DELETED: usize = 4096;

/// What one list, or the initial events of a watch, taught.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) facts: HashMap<Box<[u8]>, Fact>,
    /// Objects that no decoder would accept.
    pub(crate) undecodable: usize,
}

/// What a Service asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) keys: Keys,
    /// The Service was deleted. Its keys hold for slices that still stand: a deletion must not open a pool.
    pub(crate) deleted: bool,
}

/// A kind of facts that has to be known before anything may be filtered, and is not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missing {
    /// The kind.
    pub kind: FactKind,
    /// Where to ask for it. Older versions of OpenYurt serve NodePools as v1beta1 or v1alpha1 only, which do as well.
    pub path: Box<str>,
    /// What is known instead, if the lists seen so far are not enough.
    pub known: Option<Box<str>>,
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.known {
            None => write!(out, "no {} seen yet (GET {})", self.kind, self.path),
            Some(known) => write!(out, "the {} list seen covers only {known} (GET {})", self.kind, self.path),
        }
    }
}

impl Cluster {
    /// A cluster of which nothing is known yet. Errors: [`Error::Config`](crate::Error::Config).
    pub fn new(config: Config) -> Result<Cluster> {
        config.check()?;
        Ok(Cluster {
            shared: Arc::new(Shared {
                config,
                facts: RwLock::new(Facts {
                    services: Table::default(),
                    nodes: Table::default(),
                    pools: Table::default(),
                    membership: Pools::default(),
                    sources: Default::default(),
                    log: Log::default(),
                    deleted: VecDeque::new(),
                }),
                generation: AtomicU64::new(0),
                tally: Tally::default(),
                pages: Mutex::default(),
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

    /// What changed after `generation`, oldest first; `None` if that is too long ago to be remembered (4096 changes).
    pub fn changes_since(&self, generation: u64) -> Option<Vec<Change>> {
        self.read().log.since(generation)
    }

    /// What was done so far, and how much of it in doubt.
    pub fn counters(&self) -> Counters {
        self.shared.tally.snapshot()
    }

    /// What still has to be learned before `node` may be shown slices of every namespace; empty when it is ready.
    pub fn missing(&self, node: &str) -> Vec<Missing> {
        self.missing_for(node, &Selection::default())
    }

    pub(crate) fn missing_for(&self, node: &str, slices: &Selection) -> Vec<Missing> {
        let config = self.config();
        if !config.service_topology {
            return Vec::new();
        }
        let facts = self.read();
        let everything = Selection::default();
        let mut missing = Vec::new();
        for kind in FactKind::ALL.into_iter().filter(|&kind| matters(kind, config)) {
            let known = facts.sources[kind as usize].selection.as_ref();
            let only_own = kind == FactKind::Node && !matches!(config.membership, Membership::NodeLabel(_));
            let enough = match kind {
                FactKind::Service => known.is_some_and(|known| known.covers_services_of(slices)),
                // Only the own Node's label is needed, and one that was read says it whatever list it came from.
                _ if only_own => facts.nodes.get(node.as_bytes()).is_some() || known.is_some_and(|known| known.covers(&named(node))),
                _ => known.is_some_and(|known| known.covers(&everything)),
            };
            if !enough {
                let path = if only_own { format!("{}/{node}", kind.list_path()) } else { kind.list_path().to_owned() };
                missing.push(Missing { kind, path: path.into(), known: known.map(|known| known.to_string().into()) });
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

    /// The facts as they are now, for as long as the guard is held.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Facts> {
        self.shared.facts.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets where the facts of a kind came from, not the facts: the next list of it, whatever it selects and however old
    /// it is, replaces them, and until then the kind is missing. For when the source has gone for good, or the API server
    /// was restored to an earlier state.
    pub fn forget_source(&self, kind: FactKind) {
        let mut facts = self.write();
        facts.sources[kind as usize] = Source::default();
        match kind {
            FactKind::Service => facts.services.forget_versions(),
            FactKind::Node | FactKind::CiliumNode => facts.nodes.forget_versions(),
            FactKind::NodePool | FactKind::NodeBucket => facts.pools.forget_versions(),
        }
    }

    /// A complete list of `selection` at `version`.
    pub(crate) fn learn_list(&self, kind: FactKind, selection: &Selection, version: Version, list: Listing) {
        if selection.is_of_one_name() {
            list.facts.into_values().for_each(|fact| self.learn_single(kind, fact));
            return;
        }
        self.learn(|facts, config, changes| {
            if facts.sources[kind as usize].listed(selection, version) == Listed::Old {
                return;
            }
            // What could not be decoded may be any of those that seem absent.
            if list.undecodable == 0 {
                for key in facts.keys_absent_from(kind, selection, version, &list.facts) {
                    facts.forget(kind, &key, version, config, changes);
                }
            }
            for fact in list.facts.into_values() {
                if facts.held(kind, &fact.key).is_none_or(|held| !fact.version.is_before(held)) {
                    facts.set(kind, fact, true, config, changes);
                }
            }
        });
    }

    /// ADDED or MODIFIED (`gone` false) or DELETED (`gone` true) on a watch of `selection` that started at `start`.
    pub(crate) fn learn_event(&self, kind: FactKind, selection: &Selection, start: Version, fact: Fact, gone: bool) {
        self.learn(|facts, config, changes| {
            let held = facts.held(kind, &fact.key);
            let news = facts.sources[kind as usize].event(selection, start, fact.version, &fact.key, held);
            if !news.is_news {
                return;
            }
            if !gone {
                facts.set(kind, fact, news.is_own, config, changes);
            } else if news.may_be_gone {
                facts.forget(kind, &fact.key, fact.version, config, changes);
            }
        });
    }

    /// A bookmark on a watch of `selection` that started at `start`.
    pub(crate) fn learn_bookmark(&self, kind: FactKind, selection: &Selection, start: Version, version: Version) {
        self.write().sources[kind as usize].bookmark(selection, start, version);
    }

    /// A single object that was read by name.
    pub(crate) fn learn_single(&self, kind: FactKind, fact: Fact) {
        self.learn(|facts, config, changes| {
            if facts.sources[kind as usize].single(fact.version, &fact.key, facts.held(kind, &fact.key)) {
                facts.set(kind, fact, false, config, changes);
            }
        });
    }

    fn learn(&self, change: impl FnOnce(&mut Facts, &Config, &mut Vec<Change>)) {
        let mut facts = self.write();
        let mut changes = Vec::new();
        change(&mut facts, &self.shared.config, &mut changes);
        facts.log.note(changes);
        self.shared.generation.store(facts.log.generation(), Ordering::Release);
    }

    fn write(&self) -> RwLockWriteGuard<'_, Facts> {
        // Nothing in the room panics half-way through a change, so a poisoned lock still holds whole facts.
        self.shared.facts.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Cluster").field("config", &self.shared.config).field("generation", &self.generation()).finish_non_exhaustive()
    }
}

/// The selection of a single object by name.
fn named(node: &str) -> Selection {
    Selection { fields: [format!("metadata.name={node}")].into(), ..Selection::default() }
}

impl Facts {
    /// What is known of a Service, by the key that [`fact::write_service_key`] writes; and whether it was deleted.
    pub(crate) fn service(&self, key: &[u8]) -> (Service, bool) {
        match self.services.get(key) {
            Some(&Asked { keys, deleted }) => (Service::Known(keys), deleted),
            None => (Service::Unknown, false),
        }
    }

    /// The pool that `node` is in, by configuration or by label.
    pub(crate) fn own_pool_name<'a>(&'a self, node: &[u8], config: &'a Config) -> Option<&'a [u8]> {
        match &config.pool {
            Some(pool) => Some(pool.as_bytes()),
            None => self.nodes.get(node)?.pool.as_deref(),
        }
    }

    fn own_pool<'a>(&'a self, node: &[u8], config: &'a Config) -> OwnPool<'a> {
        if config.membership == Membership::Off {
            return OwnPool::Off;
        }
        match self.own_pool_name(node, config) {
            None => OwnPool::None,
            Some(pool) => self.membership.members(pool).map_or(OwnPool::Unknown, OwnPool::Members),
        }
    }

    /// What `node` may see of an object whose Service is `service`.
    pub(crate) fn view<'a>(&'a self, service: Service, node: &'a [u8], config: &'a Config) -> View<'a> {
        let doubt = config.in_doubt;
        View::settle(service, node, || self.own_pool(node, config), doubt.unknown_service, doubt.unknown_pool)
    }

    pub(crate) fn membership(&self) -> &Pools {
        &self.membership
    }

    fn held(&self, kind: FactKind, key: &[u8]) -> Option<Version> {
        match kind {
            FactKind::Service => self.services.version(key),
            FactKind::Node | FactKind::CiliumNode => self.nodes.version(key),
            FactKind::NodePool | FactKind::NodeBucket => self.pools.version(key),
        }
    }

    fn keys_absent_from(&self, kind: FactKind, selection: &Selection, version: Version, list: &HashMap<Box<[u8]>, Fact>) -> Vec<Box<[u8]>> {
        match kind {
            FactKind::Service => self.services.absent_from(selection, version, list),
            FactKind::Node | FactKind::CiliumNode => self.nodes.absent_from(selection, version, list),
            FactKind::NodePool | FactKind::NodeBucket => self.pools.absent_from(selection, version, list),
        }
    }

    fn set(&mut self, kind: FactKind, fact: Fact, listed: bool, config: &Config, changes: &mut Vec<Change>) {
        let Fact { key, version, lesson } = fact;
        match lesson {
            Lesson::Service(keys) => self.set_service(&key, version, listed, Asked { keys, deleted: false }, changes),
            Lesson::Node { pool } => self.set_node(kind, &key, version, listed, Some(Node { pool }), config, changes),
            Lesson::Pool(pool) => self.set_pool(&key, version, listed, Some(pool), changes),
        }
    }

    fn forget(&mut self, kind: FactKind, key: &[u8], version: Version, config: &Config, changes: &mut Vec<Change>) {
        match kind {
            FactKind::Service => match self.services.get(key) {
                // Asking for nothing is what an unknown Service comes to, so there is nothing to hold on to.
                Some(Asked { keys: Keys::Unset, .. }) => {
                    self.services.remove(key);
                    changes.push(Change::Service(text(key)));
                }
                Some(Asked { deleted: true, .. }) | None => {}
                Some(&asked) => {
                    self.set_service(key, version, false, Asked { deleted: true, ..asked }, changes);
                    self.deleted.push_back((key.into(), version));
                    if self.deleted.len() > MAX_DELETED {
                        self.forget_longest_deleted(changes);
                    }
                }
            },
            FactKind::Node | FactKind::CiliumNode => self.set_node(kind, key, version, false, None, config, changes),
            FactKind::NodePool | FactKind::NodeBucket => self.set_pool(key, version, false, None, changes),
        }
    }

    fn forget_longest_deleted(&mut self, changes: &mut Vec<Change>) {
        let Some((key, version)) = self.deleted.pop_front() else { return };
        // It may have returned since, or been deleted once more.
        if self.services.version(&key) == Some(version) && self.services.get(&key).is_some_and(|asked| asked.deleted) {
            self.services.remove(&key);
            changes.push(Change::Service(text(&key)));
        }
    }

    fn set_service(&mut self, key: &[u8], version: Version, listed: bool, asked: Asked, changes: &mut Vec<Change>) {
        let before = self.services.set(key, version, listed, asked);
        if before.is_none_or(|before| before.keys != asked.keys) {
            changes.push(Change::Service(text(key)));
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn set_node(
        &mut self,
        kind: FactKind,
        key: &[u8],
        version: Version,
        listed: bool,
        node: Option<Node>,
        config: &Config,
        changes: &mut Vec<Change>,
    ) {
        let after = node.as_ref().and_then(|node| node.pool.clone());
        let before = match node {
            Some(node) => self.nodes.set(key, version, listed, node),
            None => self.nodes.remove(key),
        }
        .and_then(|node| node.pool);
        if before == after {
            return;
        }
        changes.push(Change::Node(text(key)));
        // Where the label is the membership, the node itself describes its pool.
        let describes = match config.membership {
            Membership::NodeLabel(_) => kind == FactKind::Node,
            Membership::CiliumNodeLabel(_) => kind == FactKind::CiliumNode,
            _ => false,
        };
        if describes {
            let describe = |pool: Option<Box<[u8]>>| pool.map(|pool| Description { pool, nodes: vec![key.into()] });
            self.describe(describe(after).as_ref(), describe(before).as_ref(), changes);
        }
    }

    fn set_pool(&mut self, key: &[u8], version: Version, listed: bool, pool: Option<Description>, changes: &mut Vec<Change>) {
        let before = match &pool {
            Some(pool) => self.pools.set(key, version, listed, pool.clone()),
            None => self.pools.remove(key),
        };
        if before != pool {
            self.describe(pool.as_ref(), before.as_ref(), changes);
        }
    }

    /// One object says `after` of a pool and its nodes, where it said `before`.
    fn describe(&mut self, after: Option<&Description>, before: Option<&Description>, changes: &mut Vec<Change>) {
        // Up before down, so that a node in both is never seen to leave, nor its pool to go.
        if let Some(Description { pool, nodes }) = after {
            let member = |node: &[u8]| changes.push(Change::Member { node: text(node), pool: text(pool) });
            if self.membership.add(pool, nodes, member) {
                changes.push(Change::Pool(text(pool)));
            }
        }
        if let Some(Description { pool, nodes }) = before {
            let member = |node: &[u8]| changes.push(Change::Member { node: text(node), pool: text(pool) });
            if self.membership.remove(pool, nodes, member) {
                changes.push(Change::Pool(text(pool)));
            }
        }
    }
}

/// Names come from JSON or from protobuf strings, so they are UTF-8.
fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

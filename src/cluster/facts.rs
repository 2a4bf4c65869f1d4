//! Everything that verdicts depend on, and how it changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::clients::{ListedClients, defaults};
use super::fact::{Description, Fact, FactUpdate, Node, label_pool};
use super::log::{Change, Log};
use super::pool_members::PoolMembers;
use super::source::{ListScope, Sources};
use super::table::Table;
use crate::config::rewrites::Rewrites;
use crate::config::{Clients, Config, Membership};
use crate::hash::HashMap;
use crate::object::key::ObjectKey;
use crate::object::selection::Selection;
use crate::object::version::Version;
use crate::object::{FactKind, config_map};
use crate::topology::Members;
use crate::topology::fallback::UsableSteps;
use crate::topology::keys::Keys;
use crate::topology::verdict::{OwnPool, PoolLookup, Service, View};

/// Everything that verdicts depend on.
pub(crate) struct Facts {
    services: Table<Asked>,
    nodes: Table<Node>,
    pools: Table<Option<Description>>,
    /// One at most: the ConfigMap that names components.
    clients: Table<ListedClients>,
    membership: PoolMembers,
    sources: [Sources; FactKind::ALL.len()],
    invalidations: [u64; FactKind::ALL.len()],
    /// How many lists were read to their end.
    lists: u64,
    log: Log,
    /// Deleted Services whose keys are held, by the number of their deletion.
    deleted: BTreeMap<u64, Box<[u8]>>,
    /// The number of the next deletion.
    next_deletion: u64,
    max_deleted: usize,
    /// How many deleted Services were forgotten because there were too many, and not counted yet.
    forgotten: u64,
}

/// The facts of one list, or of the initial events of a watch.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) facts: HashMap<Box<[u8]>, Fact>,
    /// Objects that no decoder would accept.
    pub(crate) undecodable: usize,
    /// It is of the version that it is said to be of, or of a later one.
    pub(crate) may_be_later: bool,
}

impl Listing {
    /// This is a later page than `earlier`.
    pub(crate) fn come_after(&mut self, earlier: Listing) {
        self.undecodable += earlier.undecodable;
        let later = std::mem::replace(&mut self.facts, earlier.facts);
        self.facts.extend(later);
    }
}

/// The topology keys of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    keys: Keys,
    /// The Service was deleted; which deletion that was. Its keys hold for slices that still
    /// stand: a deletion must not open a pool.
    deleted: Option<u64>,
}

impl Facts {
    /// Nothing is known. The keys of at most `max_deleted` deleted Services will be held.
    pub(super) fn new(max_deleted: usize) -> Facts {
        Facts {
            services: Table::default(),
            nodes: Table::default(),
            pools: Table::default(),
            clients: Table::default(),
            membership: PoolMembers::default(),
            sources: Default::default(),
            invalidations: Default::default(),
            lists: 0,
            log: Log::default(),
            deleted: BTreeMap::new(),
            next_deletion: 0,
            max_deleted,
            forgotten: 0,
        }
    }

    /// Returns the topology keys of a Service, and whether it was deleted. `key` is an
    /// [`ObjectKey`].
    pub(crate) fn service(&self, key: &[u8]) -> (Service, bool) {
        match self.services.get(key) {
            Some(Asked { keys, deleted }) => (Service::Known(keys.clone()), deleted.is_some()),
            None => (Service::Unknown, false),
        }
    }

    /// Looks a Service up by name; `Service::None` where an object names none.
    pub(crate) fn service_named(&self, namespace: &str, name: Option<&str>) -> (Service, bool) {
        match name {
            None | Some("") => (Service::None, false),
            Some(name) => self.service(&ObjectKey::new(namespace.as_bytes(), name.as_bytes())),
        }
    }

    /// The pool that `node` is in, by configuration or by label.
    pub(crate) fn own_pool_name<'a>(&'a self, node: &[u8], config: &'a Config) -> Option<&'a [u8]> {
        match &config.pool {
            Some(pool) => Some(pool.as_bytes()),
            None => self.nodes.get(node)?.pool.as_deref(),
        }
    }

    /// Returns the node of that name, if it was read.
    pub(crate) fn node(&self, node: &[u8]) -> Option<&Node> {
        self.nodes.get(node)
    }

    /// Whether `node` is in that pool by its own label.
    pub(crate) fn is_own_pool(&self, node: &[u8], pool: &str, config: &Config) -> bool {
        match config.membership {
            Membership::NodeLabels => self
                .nodes
                .get(node)
                .is_some_and(|node| node.describes.iter().any(|own| **own == *pool.as_bytes())),
            _ => self.own_pool_name(node, config) == Some(pool.as_bytes()),
        }
    }

    /// Returns the components that the ConfigMap names, if it exists.
    pub(crate) fn clients(&self) -> Option<&ListedClients> {
        self.clients
            .get(&ObjectKey::new(config_map::NAMESPACE.as_bytes(), config_map::NAME.as_bytes()))
    }

    /// Returns the rewrites that a client gets among those that are on.
    pub(crate) fn rewrites_of(&self, component: &str, config: &Config) -> Rewrites {
        let on = config.rewrites();
        match config.clients {
            Clients::All => on,
            Clients::YurtHub => {
                let listed =
                    self.clients().map(|listed| listed.rewrites(component)).unwrap_or_default();
                on.and(defaults(component).or(listed))
            }
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

    /// Returns the view that `node` has of an object whose Service is `service`. `usable` tells for
    /// the members of the own pool what stands on which step of a topology fallback.
    pub(crate) fn view<'a>(
        &'a self,
        service: Service,
        node: &'a [u8],
        config: &'a Config,
        usable: impl FnOnce(Option<&Members>) -> UsableSteps,
    ) -> View<'a> {
        View::settle(
            service,
            node,
            &PoolsOf { facts: self, node, config },
            config.on_missing_fact,
            usable,
        )
    }

    pub(crate) fn membership(&self) -> &PoolMembers {
        &self.membership
    }

    /// Returns the selections of a kind whose lists were read.
    pub(super) fn sources(&self, kind: FactKind) -> impl Iterator<Item = &Selection> {
        self.sources[kind as usize].selections()
    }

    /// Returns numbers that change whenever facts may have become complete for a node, or
    /// incomplete.
    pub(super) fn completeness(&self) -> (u64, usize, usize, u64) {
        let invalidations = self.invalidations.iter().sum();
        (self.lists, self.nodes.fresh(), self.clients.fresh(), invalidations)
    }

    /// Returns how often the sources of a kind were invalidated.
    pub(super) fn invalidations(&self, kind: FactKind) -> u64 {
        self.invalidations[kind as usize]
    }

    /// Returns `true` if the Node of that name was read since the last invalidation.
    pub(super) fn has_fresh_node(&self, name: &str) -> bool {
        self.nodes.is_fresh(name.as_bytes())
    }

    /// Returns `true` if the ConfigMap was read since the last invalidation.
    pub(super) fn has_fresh_clients(&self) -> bool {
        self.clients.fresh() > 0
    }

    /// Whether a Node of that name was seen.
    pub(crate) fn has_node(&self, name: &str) -> bool {
        self.nodes.get(name.as_bytes()).is_some()
    }

    /// See [`Cluster::invalidate_source`](super::Cluster::invalidate_source).
    pub(super) fn invalidate_source(&mut self, kind: FactKind) {
        self.sources[kind as usize] = Sources::default();
        self.invalidations[kind as usize] += 1;
        match kind {
            FactKind::Service => self.services.forget_versions(),
            FactKind::Node | FactKind::CiliumNode => self.nodes.forget_versions(),
            FactKind::NodePool | FactKind::NodeBucket => self.pools.forget_versions(),
            FactKind::ConfigMap => self.clients.forget_versions(),
        }
    }

    /// A complete list of `selection` at `version`.
    pub(super) fn list(
        &mut self,
        kind: FactKind,
        selection: &Selection,
        version: Version,
        list: Listing,
    ) {
        self.lists += 1;
        // Another requirement may be the reason why the list lacks the object.
        if selection.is_of_one_name() && !selection.is_by_name_alone() {
            return list.facts.into_values().for_each(|fact| self.single(kind, fact));
        }
        let (mut changes, listed) =
            (Vec::new(), self.sources[kind as usize].listed(selection, version));
        if listed == ListScope::Old && !list.may_be_later {
            return;
        }
        // An undecodable object may be any of those that seem absent. An object that is known
        // from before this version was there at every later one that is known, so that a
        // list without it is newer than all that.
        if list.undecodable == 0 && listed != ListScope::Covered {
            for key in self.absent_from(kind, selection, version, &list.facts) {
                let sources = &self.sources[kind as usize];
                if sources.may_be_gone(selection, &key)
                    && !sources.is_known_better(selection, &key, version)
                {
                    self.forget(kind, &key, version, &mut changes);
                }
            }
        }
        for fact in list.facts.into_values() {
            match &listed {
                ListScope::Replaces(source) => {
                    let is_old =
                        self.sources[kind as usize].is_known_better(selection, &fact.key, version);
                    if !is_old
                        && self
                            .held(kind, &fact.key)
                            .is_none_or(|held| !fact.version.is_before(held))
                    {
                        self.set(fact, Some(source), &mut changes);
                    }
                }
                ListScope::Covered => {
                    self.hear(kind, selection, version, fact, false, &mut changes)
                }
                ListScope::Old => {}
            }
        }
        self.forget_removed(kind);
        self.log.note(changes);
    }

    /// ADDED or MODIFIED (`gone` false) or DELETED (`gone` true) on a watch of `selection` that
    /// started at `start`.
    pub(super) fn event(
        &mut self,
        kind: FactKind,
        selection: &Selection,
        start: Version,
        fact: Fact,
        gone: bool,
    ) {
        let mut changes = Vec::new();
        self.hear(kind, selection, start, fact, gone, &mut changes);
        self.forget_removed(kind);
        self.log.note(changes);
    }

    fn forget_removed(&mut self, kind: FactKind) {
        let sources = &self.sources[kind as usize];
        let mark_relisting = |version: Version| sources.are_all_past(version);
        match kind {
            FactKind::Service => self.services.forget_removed(mark_relisting),
            FactKind::Node | FactKind::CiliumNode => self.nodes.forget_removed(mark_relisting),
            FactKind::NodePool | FactKind::NodeBucket => self.pools.forget_removed(mark_relisting),
            FactKind::ConfigMap => self.clients.forget_removed(mark_relisting),
        }
    }

    fn hear(
        &mut self,
        kind: FactKind,
        selection: &Selection,
        start: Version,
        fact: Fact,
        gone: bool,
        changes: &mut Vec<Change>,
    ) {
        let held = self.held(kind, &fact.key);
        let news =
            self.sources[kind as usize].event(selection, start, fact.version, &fact.key, held);
        if news.is_news && !gone {
            self.set(fact, news.source.as_ref(), changes);
        } else if news.is_news && news.may_be_gone {
            self.forget(kind, &fact.key, fact.version, changes);
        }
    }

    /// A bookmark on a watch of `selection` that started at `start`.
    pub(super) fn bookmark(
        &mut self,
        kind: FactKind,
        selection: &Selection,
        start: Version,
        version: Version,
    ) {
        self.sources[kind as usize].bookmark(selection, start, version);
    }

    /// A single object that was read by name.
    pub(super) fn single(&mut self, kind: FactKind, fact: Fact) {
        if self.sources[kind as usize].single(fact.version, &fact.key, self.held(kind, &fact.key)) {
            let mut changes = Vec::new();
            self.set(fact, None, &mut changes);
            self.log.note(changes);
        }
    }

    fn held(&self, kind: FactKind, key: &[u8]) -> Option<Version> {
        match kind {
            FactKind::Service => self.services.version(key),
            FactKind::Node | FactKind::CiliumNode => self.nodes.version(key),
            FactKind::NodePool | FactKind::NodeBucket => self.pools.version(key),
            FactKind::ConfigMap => self.clients.version(key),
        }
    }

    fn absent_from(
        &self,
        kind: FactKind,
        selection: &Selection,
        version: Version,
        list: &HashMap<Box<[u8]>, Fact>,
    ) -> Vec<Box<[u8]>> {
        match kind {
            FactKind::Service => self.services.absent_from(selection, version, list),
            FactKind::Node | FactKind::CiliumNode => {
                self.nodes.absent_from(selection, version, list)
            }
            FactKind::NodePool | FactKind::NodeBucket => {
                self.pools.absent_from(selection, version, list)
            }
            FactKind::ConfigMap => self.clients.absent_from(selection, version, list),
        }
    }

    fn set(&mut self, fact: Fact, source: Option<&Arc<Selection>>, changes: &mut Vec<Change>) {
        let Fact { key, version, update } = fact;
        match update {
            FactUpdate::Service(keys) => {
                self.set_service(&key, version, source, Asked { keys, deleted: None }, changes)
            }
            FactUpdate::Node(node) => {
                let before = self.nodes.set(&key, version, source, node.clone());
                self.node_changed(&key, Some(node), before, changes);
            }
            FactUpdate::Pool(pool) => {
                let before = self.pools.set(&key, version, source, pool.clone());
                self.pool_changed(pool, before.flatten(), changes);
            }
            FactUpdate::Clients(listed) => {
                let before = self.clients.set(&key, version, source, listed.clone());
                if before.unwrap_or_default() != listed {
                    changes.push(Change::Clients(text(&key)));
                }
            }
        }
    }

    fn forget(&mut self, kind: FactKind, key: &[u8], version: Version, changes: &mut Vec<Change>) {
        match kind {
            FactKind::Service => match self.services.get(key) {
                Some(Asked { deleted: Some(_), .. }) => {}
                None => drop(self.services.remove(key, version)),
                // Asking for nothing is what an unknown Service comes to, so there is nothing to
                // hold on to.
                Some(Asked { keys: Keys::Unset, .. }) => {
                    self.services.remove(key, version);
                    changes.push(Change::Service(text(key)));
                }
                Some(asked) => {
                    let asked = Asked { deleted: Some(self.next_deletion), ..asked.clone() };
                    self.set_service(key, version, None, asked, changes);
                    self.deleted.insert(self.next_deletion, key.into());
                    self.next_deletion += 1;
                    if self.deleted.len() > self.max_deleted {
                        self.forget_longest_deleted(changes);
                    }
                }
            },
            FactKind::Node | FactKind::CiliumNode => {
                let before = self.nodes.remove(key, version);
                self.node_changed(key, None, before, changes);
            }
            FactKind::NodePool | FactKind::NodeBucket => {
                let before = self.pools.remove(key, version);
                self.pool_changed(None, before.flatten(), changes);
            }
            FactKind::ConfigMap => {
                if self
                    .clients
                    .remove(key, version)
                    .is_some_and(|before| before != ListedClients::default())
                {
                    changes.push(Change::Clients(text(key)));
                }
            }
        }
    }

    fn forget_longest_deleted(&mut self, changes: &mut Vec<Change>) {
        let Some((_, key)) = self.deleted.pop_first() else { return };
        self.services.remove(&key, self.services.version(&key).unwrap_or_default());
        self.forgotten += 1;
        changes.push(Change::Service(text(&key)));
    }

    /// How many deleted Services were forgotten since the last call, because there were too many.
    pub(super) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    fn set_service(
        &mut self,
        key: &[u8],
        version: Version,
        source: Option<&Arc<Selection>>,
        asked: Asked,
        changes: &mut Vec<Change>,
    ) {
        let before = self.services.set(key, version, source, asked.clone());
        if let Some(deletion) = before.as_ref().and_then(|before| before.deleted) {
            self.deleted.remove(&deletion);
        }
        if before.is_none_or(|before| before.keys != asked.keys) {
            changes.push(Change::Service(text(key)));
        }
    }

    fn node_changed(
        &mut self,
        key: &[u8],
        after: Option<Node>,
        before: Option<Node>,
        changes: &mut Vec<Change>,
    ) {
        // A node that was not known and one in no pool are seen alike.
        let (after, before) = (after.unwrap_or_default(), before.unwrap_or_default());
        // `desired` decides nothing.
        if (&after.pool, &after.describes) == (&before.pool, &before.describes) {
            return;
        }
        changes.push(Change::Node(text(key)));
        // Where labels are the membership, the node itself describes its pools; up before down.
        let description =
            |pool: &[u8]| Some(Description { pool: pool.into(), nodes: vec![key.into()] });
        for pool in after.describes.iter().filter(|pool| !before.describes.contains(pool)) {
            self.pool_changed(description(pool), None, changes);
        }
        for pool in before.describes.iter().filter(|pool| !after.describes.contains(pool)) {
            self.pool_changed(None, description(pool), changes);
        }
    }

    /// One object says `after` of a pool and its nodes, where it said `before`.
    fn pool_changed(
        &mut self,
        after: Option<Description>,
        before: Option<Description>,
        changes: &mut Vec<Change>,
    ) {
        if after == before {
            return;
        }
        // Up before down, so that a node in both is never seen to leave, nor its pool to go.
        if let Some(Description { pool, nodes }) = after {
            let member =
                |node: &[u8]| changes.push(Change::Member { node: text(node), pool: text(&pool) });
            if self.membership.add(&pool, &nodes, member) {
                changes.push(Change::Pool(text(&pool)));
            }
        }
        if let Some(Description { pool, nodes }) = before {
            let member =
                |node: &[u8]| changes.push(Change::Member { node: text(node), pool: text(&pool) });
            if self.membership.remove(&pool, &nodes, member) {
                changes.push(Change::Pool(text(&pool)));
            }
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.log.generation()
    }

    /// The generation, and what changed after an earlier one; `None` if that is no longer known.
    pub(crate) fn changes_since(&self, generation: u64) -> (u64, Option<Vec<Change>>) {
        (self.generation(), self.log.since(generation))
    }

    /// Client states that have looked at no changes are evaluated whole.
    pub(super) fn begin_log_anew(&mut self) {
        self.log.begin_anew();
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }
}

/// The pools of one node.
struct PoolsOf<'a, 'n> {
    facts: &'a Facts,
    node: &'n [u8],
    config: &'a Config,
}

impl<'a> PoolLookup<'a> for PoolsOf<'a, '_> {
    fn own(&self) -> OwnPool<'a> {
        self.facts.own_pool(self.node, self.config)
    }

    fn sharing(&self, label: &str) -> Option<&'a Members> {
        match &self.config.membership {
            Membership::NodeLabels => {
                let prefix = label_pool(label.as_bytes(), b"");
                let own = self
                    .facts
                    .nodes
                    .get(self.node)?
                    .describes
                    .iter()
                    .find(|pool| pool.starts_with(&prefix))?;
                self.facts.membership.members(own)
            }
            // A Service may ask for the one label that makes pools.
            Membership::NodeLabel(key) | Membership::CiliumNodeLabel(key) if key == label => {
                match self.own() {
                    OwnPool::Members(members) => Some(members),
                    OwnPool::Off | OwnPool::None | OwnPool::Unknown => None,
                }
            }
            _ => None,
        }
    }
}

/// Names come from JSON or from protobuf strings, so they are UTF-8.
fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

//! The facts of a cluster.

pub(crate) mod changes;
mod clients;
pub(crate) mod counters;
pub(crate) mod fact;
mod facts;
pub(crate) mod log;
pub(crate) mod pages;
pub(crate) mod pool_members;
mod saved;
pub(crate) mod source;
mod table;
mod wakers;

use std::fmt;
use std::sync::OnceLock;

use self::clients::defaults;
use self::counters::{AtomicCounters, Counters, count};
use self::fact::{Fact, matters};
pub(crate) use self::facts::{Facts, Listing};
use self::log::Change;
use self::pages::Pages;
use self::wakers::Wakers;

use crate::client_state::store::SessionStore;
use crate::config::rewrites::{Rewrite, Rewrites};
use crate::config::{Clients, Config, Membership};
use crate::error::Result;
use crate::object::selection::Selection;
use crate::object::version::Version;
use crate::object::{FactKind, config_map};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

/// The facts of one cluster.
///
/// Create one per process. Clones share the facts; any thread may use them. Facts come from the
/// bodies of lists, watches and single objects: from those that the embedder fetches
/// ([`Cluster::read_facts`]), and from those of a client that pass through a
/// [`BodyRewriter`](crate::BodyRewriter).
///
/// ```
/// use poolscope::{Cluster, Config};
///
/// let cluster = Cluster::new(Config::openyurt())?;
/// let paths: Vec<_> = cluster.missing("hz-1").into_iter().map(|fact| fact.path).collect();
/// assert_eq!(*paths[0], *"/api/v1/services");
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<ClusterInner>,
}

struct ClusterInner {
    config: Config,
    facts: RwLock<Facts>,
    generation: AtomicU64,
    /// Raised by whatever a [`ChangeListener`](changes::ChangeListener) reports.
    progress: AtomicU64,
    wakers: Wakers,
    counters: AtomicCounters,
    pages: Mutex<Pages>,
    sessions: Arc<Mutex<SessionStore>>,
    /// The hook of [`Cluster::before_change`].
    hook: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// A kind that has to be read before objects that depend on it can be forwarded.
///
/// ```
/// use poolscope::{Cluster, Config, FactKind};
///
/// let missing = Cluster::new(Config::openyurt())?.missing("hz-1");
/// assert_eq!(missing[0].kind, FactKind::Service);
/// assert_eq!(missing[0].to_string(), "no Service was read yet (GET /api/v1/services)");
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct MissingFact {
    /// The kind.
    pub kind: FactKind,
    /// The path to GET. Older versions of OpenYurt serve NodePools only as v1beta1 or v1alpha1,
    /// which may be read as well.
    pub path: Box<str>,
    /// The lists that were read, if they are not enough; separated by semicolons.
    pub known: Option<Box<str>>,
}

impl fmt::Display for MissingFact {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.known {
            None => write!(out, "no {} was read yet (GET {})", self.kind, self.path),
            Some(known) => {
                write!(
                    out,
                    "the {} list that was read covers only {known} (GET {})",
                    self.kind, self.path
                )
            }
        }
    }
}

/// Describes the lists that were read.
fn in_words<'a>(known: impl Iterator<Item = &'a Selection>) -> Option<Box<str>> {
    // A source of one object by name covers no other object.
    let known: Vec<String> =
        known.filter(|known| !known.is_by_name_alone()).map(Selection::to_string).collect();
    (!known.is_empty()).then(|| known.join("; ").into())
}

/// The part of a kind that has to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    /// The object of the own node.
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
        // Node port isolation needs only the name of the own pool.
        FactKind::Node | FactKind::CiliumNode if ports && config.pool.is_none() => Need::Own,
        _ => Need::Nothing,
    }
}

impl Cluster {
    /// Creates a cluster without facts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if settings contradict each other.
    pub fn new(config: Config) -> Result<Cluster> {
        config.check()?;
        let sessions = Arc::new(Mutex::new(SessionStore::new(
            config.limits.client_state_bytes,
            config.topology_fallback,
        )));
        let facts = RwLock::new(Facts::new(config.limits.deleted_services));
        Ok(Cluster {
            inner: Arc::new(ClusterInner {
                config,
                facts,
                generation: AtomicU64::new(0),
                progress: AtomicU64::new(0),
                wakers: Wakers::default(),
                counters: AtomicCounters::default(),
                pages: Mutex::default(),
                sessions,
                hook: OnceLock::new(),
            }),
        })
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Returns a number that every fact change that can change a verdict raises. Cheap: one atomic
    /// read.
    pub fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    /// Returns the changes after `generation`, oldest first; `None` if more than 4096 followed.
    pub fn changes_since(&self, generation: u64) -> Option<Vec<Change>> {
        self.read().log().since(generation)
    }

    /// Returns the counters, including objects that were forwarded because a fact is missing.
    pub fn counters(&self) -> Counters {
        self.inner.counters.snapshot()
    }

    /// Returns the facts that are missing before slices of any namespace can be forwarded to
    /// `node`; empty when the node is ready.
    pub fn missing(&self, node: &str) -> Vec<MissingFact> {
        self.missing_for(node, &Selection::default(), self.config().rewrites(), None)
    }

    /// Returns the facts that are missing before objects of a selection can be forwarded to
    /// `component` (`None`: any client), if only the rewrites `may_apply` can apply.
    pub(crate) fn missing_for(
        &self,
        node: &str,
        selection: &Selection,
        may_apply: Rewrites,
        component: Option<&str>,
    ) -> Vec<MissingFact> {
        let facts = self.read();
        let everything = Selection::default();
        let mut missing = Vec::new();
        for (kind, need) in self.needs(&facts, may_apply, component) {
            let known = |enough: &dyn Fn(&Selection) -> bool| facts.sources(kind).any(enough);
            let enough = match (kind, need) {
                (_, Need::Nothing) => true,
                (FactKind::Service, _) => known(&|known| known.covers_services_of(selection)),
                (FactKind::ConfigMap, _) => {
                    facts.has_fresh_clients()
                        || known(&|known| known.covers(&config_map::selection()))
                }
                // Only the own Node's label is needed, from whatever list the Node came.
                (_, Need::Own) => {
                    facts.has_fresh_node(node) || known(&|known| known.must_have(node.as_bytes()))
                }
                (_, Need::All) => known(&|known| known.covers(&everything)),
            };
            if !enough {
                let path = if need == Need::Own {
                    format!("{}/{node}", kind.list_path())
                } else {
                    kind.list_path().to_owned()
                };
                missing.push(MissingFact {
                    kind,
                    path: path.into(),
                    known: in_words(facts.sources(kind)),
                });
            }
        }
        missing
    }

    /// Returns how much of each kind objects for `component` (`None`: any client) need, if only the
    /// rewrites `may_apply` can apply.
    fn needs(
        &self,
        facts: &Facts,
        may_apply: Rewrites,
        component: Option<&str>,
    ) -> Vec<(FactKind, Need)> {
        let config = self.config();
        let on = config.rewrites().and(may_apply);
        let now = component.map_or(on, |component| facts.rewrites_of(component, config).and(on));
        // The ConfigMap can add to the defaults of a component, never take from them.
        let may_get_more = config.clients == Clients::YurtHub
            && component.is_none_or(|component| defaults(component).and(on) != on)
            && !on.is_empty();
        let matters = FactKind::ALL.into_iter().filter(|&kind| matters(kind, config));
        let needs = matters.map(|kind| {
            let listed = kind == FactKind::ConfigMap && may_get_more;
            (kind, if listed { Need::All } else { need(kind, now, config) })
        });
        needs.collect()
    }

    /// Returns how much of a kind is needed now before objects of any namespace can be forwarded to
    /// `component` (`None`: any client).
    pub(crate) fn needs_now(&self, component: Option<&str>) -> Vec<(FactKind, Need)> {
        self.needs(&self.read(), self.config().rewrites(), component)
    }

    /// Returns how often the sources of a kind were invalidated.
    pub(crate) fn invalidations(&self, kind: FactKind) -> u64 {
        self.read().invalidations(kind)
    }

    pub(crate) fn live_counters(&self) -> &AtomicCounters {
        &self.inner.counters
    }

    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.inner.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client states between two responses to one client.
    pub(crate) fn sessions(&self) -> &Arc<Mutex<SessionStore>> {
        &self.inner.sessions
    }

    /// Locks the facts for reading.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Facts> {
        self.inner.facts.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the facts of a kind as incomplete and keeps them. The next list of the kind replaces
    /// them, whatever it selects and however old it is; until then the kind is missing. Call it
    /// when a source has ended for good, or when the API server was restored to an earlier state.
    /// Each [`FactSync`](crate::FactSync) of the cluster then reads the kind anew.
    pub fn invalidate_source(&self, kind: FactKind) {
        self.update(|facts| facts.invalidate_source(kind));
    }

    /// Records a complete list of `selection` at `version`.
    pub(crate) fn record_list(
        &self,
        kind: FactKind,
        selection: &Selection,
        version: Version,
        list: Listing,
    ) {
        self.update(|facts| facts.list(kind, selection, version, list));
    }

    /// Records ADDED or MODIFIED (`gone` false) or DELETED (`gone` true) on a watch of `selection`
    /// that started at `start`.
    pub(crate) fn record_event(
        &self,
        kind: FactKind,
        selection: &Selection,
        start: Version,
        fact: Fact,
        gone: bool,
    ) {
        self.update(|facts| facts.event(kind, selection, start, fact, gone));
    }

    /// Records a bookmark on a watch of `selection` that started at `start`.
    pub(crate) fn record_bookmark(
        &self,
        kind: FactKind,
        selection: &Selection,
        start: Version,
        version: Version,
    ) {
        self.update(|facts| facts.bookmark(kind, selection, start, version));
    }

    /// Records a single object that was read by name.
    pub(crate) fn record_object(&self, kind: FactKind, fact: Fact) {
        self.update(|facts| facts.single(kind, fact));
    }

    fn update(&self, change: impl FnOnce(&mut Facts)) {
        // No method of `Facts` panics half-way through a change, so a poisoned lock still holds
        // whole facts.
        let mut facts = self.inner.facts.write().unwrap_or_else(PoisonError::into_inner);
        let before = (facts.generation(), facts.completeness());
        change(&mut facts);
        count(&self.inner.counters.deleted_services_forgotten, facts.take_forgotten());
        let after = (facts.generation(), facts.completeness());
        self.inner.generation.store(facts.generation(), Ordering::Release);
        if after.0 != before.0
            && let Some(hook) = self.inner.hook.get()
        {
            // No stream evaluates an object without these facts.
            hook();
        }
        drop(facts);
        if after != before {
            self.inner.progress.fetch_add(1, Ordering::Release);
            self.inner.wakers.wake();
        }
    }

    pub(crate) fn progress(&self) -> u64 {
        self.inner.progress.load(Ordering::Acquire)
    }

    fn wakers(&self) -> &Wakers {
        &self.inner.wakers
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Cluster")
            .field("config", &self.inner.config)
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

//! The facts that the cluster must know, and the objects that a node's client must have: plain
//! loops over decoded objects, sharing nothing with the library.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::object::{Body, DISCARD, Endpoint, KEYS, Kind, LISTEN, Object, Slice};
use super::scene::Setup;
use super::server::{Event, Scope};
use super::wire::Change;
use crate::oracle::State;

/// The facts that were delivered whole. Several streams may deliver one kind, each with its own
/// selection and pace: of what they say of one object the latest counts.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub state: State,
    pub fallbacks: bool,
    /// Per kind: the version of the last word on each object, be it that it is gone.
    versions: [BTreeMap<String, u64>; 3],
    /// Up to where each selection of a kind is known.
    streams: BTreeMap<(Kind, Scope), u64>,
}

/// A step of a topology fallback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Node,
    Pool,
    Any,
}

impl Known {
    pub fn new(setup: &Setup) -> Known {
        let state = State {
            off: setup.off,
            hides_unknown_service: setup.hides[0],
            hides_no_service: setup.hides[1],
            hides_unknown_pool: setup.hides[2],
            ..State::default()
        };
        Known { fallbacks: setup.fallbacks, state, ..Known::default() }
    }

    /// Whether a selection was listed.
    pub fn has(&self, kind: Kind, scope: impl Into<Scope>) -> bool {
        self.streams.contains_key(&(kind, scope.into()))
    }

    /// Whether another selection than `scope` knows a later state of an object than the one at
    /// `rv`.
    fn is_known_better(&self, kind: Kind, scope: &Scope, key: &str, rv: u64) -> bool {
        self.streams.iter().any(|((of, other), high)| {
            *of == kind && other != scope && other.has(key) && *high > rv
        })
    }

    /// A list was delivered to its end. One that is older than what the same selection has come to
    /// says nothing.
    pub fn list(&mut self, kind: Kind, scope: &Scope, rv: u64, objects: &[Rc<Object>]) {
        let high = self.streams.entry((kind, scope.clone())).or_insert(rv);
        if *high > rv {
            return;
        }
        *high = rv;
        let version = |known: &Known, key: &str| known.versions[kind as usize].get(key).copied();
        for object in objects {
            if version(self, &object.key).is_none_or(|held| held <= object.rv)
                && !self.is_known_better(kind, scope, &object.key, rv)
            {
                self.set(object);
            }
        }
        let known: Vec<String> = self.versions[kind as usize].keys().cloned().collect();
        for key in known {
            let is_listed = objects.iter().any(|object| object.key == key);
            let is_old = version(self, &key).is_some_and(|held| held > rv)
                || self.is_known_better(kind, scope, &key, rv);
            if scope.has(&key) && !is_listed && !is_old {
                self.remove(kind, &key, rv);
            }
        }
    }

    /// A watch event was delivered whole. The facts before it do not matter.
    pub fn event(&mut self, kind: Kind, scope: &Scope, event: &Event) {
        let Event { change, object } = event;
        let held = self.versions[kind as usize].get(&object.key).copied();
        let is_covered = |((of, other), high): (&(Kind, Scope), &u64)| {
            *of == kind && other.has(&object.key) && *high >= object.rv
        };
        let is_old =
            held.is_some_and(|held| held >= object.rv) || self.streams.iter().any(is_covered);
        match change {
            _ if is_old => {}
            Change::Added | Change::Modified => self.set(object),
            Change::Deleted => self.remove(kind, &object.key, object.rv),
        }
        self.bookmark(kind, scope, object.rv);
    }

    pub fn bookmark(&mut self, kind: Kind, scope: &Scope, rv: u64) {
        if let Some(high) = self.streams.get_mut(&(kind, scope.clone())) {
            *high = rv.max(*high);
        }
    }

    fn remove(&mut self, kind: Kind, key: &str, rv: u64) {
        self.versions[kind as usize].insert(key.to_owned(), rv);
        match kind {
            // The keys of a deleted Service hold until it returns, if it has any.
            Kind::Service => {
                let asks =
                    self.state.services.get(key).is_some_and(|keys| self.asks(keys.as_deref()));
                if !asks {
                    self.state.services.remove(key);
                }
            }
            Kind::Slice => {}
            Kind::Node => drop(self.state.labels.remove(key)),
            Kind::Pool => drop(self.state.pools.remove(key)),
        }
    }

    /// Whether a Service with this annotation asks for anything.
    fn asks(&self, keys: Option<&str>) -> bool {
        let strict = ["kubernetes.io/hostname", "openyurt.io/nodepool", "kubernetes.io/zone"];
        keys.is_some_and(|keys| {
            strict.contains(&keys) || self.fallbacks && self.steps(keys).is_some()
        })
    }

    fn set(&mut self, object: &Object) {
        let key = object.key.clone();
        self.versions[object.kind as usize].insert(key.clone(), object.rv);
        match &object.body {
            Body::Service(service) => drop(
                self.state.services.insert(key, service.metadata.annotations.get(KEYS).cloned()),
            ),
            // An empty label is none.
            Body::Node(Some(pool)) if !pool.is_empty() => {
                drop(self.state.labels.insert(key, pool.clone()))
            }
            Body::Node(_) => drop(self.state.labels.remove(&key)),
            Body::Pool(nodes) => {
                drop(self.state.pools.insert(key, nodes.iter().flatten().cloned().collect()))
            }
            Body::Slice(_) => {}
        }
    }

    /// The steps that a Service asks for in order; `None` if it asks for one thing or for nothing.
    fn fallback(&self, slice: &Slice) -> Option<Vec<Step>> {
        let service = slice.service().filter(|name| self.fallbacks && !name.is_empty())?;
        self.steps(
            self.state
                .services
                .get(&format!("{}/{service}", slice.metadata.namespace))?
                .as_deref()?,
        )
    }

    fn steps(&self, keys: &str) -> Option<Vec<Step>> {
        let steps = keys.split(',').filter_map(|word| match word {
            "kubernetes.io/hostname" => Some(Step::Node),
            "openyurt.io/nodepool" | "kubernetes.io/zone" => Some(Step::Pool),
            "*" => Some(Step::Any),
            _ => None,
        });
        let steps: Vec<Step> = steps.collect();
        (keys.contains(',') && !steps.is_empty()).then_some(steps)
    }

    /// Whether what a node sees of a slice depends on other slices.
    pub fn is_fallback(&self, slice: &Slice) -> bool {
        self.fallback(slice).is_some()
    }

    /// Whether `node` must not see an object at all: a Service that is for other pools, or for the
    /// cloud.
    pub fn hides(&self, node: &str, object: &Slice) -> bool {
        let annotation = |key: &str| object.metadata.annotations.get(key).map(String::as_str);
        match &*object.address_type {
            "LoadBalancer" if annotation(DISCARD) == Some("true") => return true,
            "LoadBalancer" | "NodePort" => {}
            _ => return false,
        }
        let (Some(listen), Some(pool)) = (annotation(LISTEN), self.state.labels.get(node)) else {
            return false;
        };
        let mut named = listen.split(',').filter_map(|entry| match entry.strip_prefix('-') {
            Some(rest) => (rest == pool).then_some(false),
            None => (entry == pool).then_some(true),
        });
        !named.next().unwrap_or(listen.split(',').any(|entry| entry == "*"))
    }

    /// A slice as `node` must see it; `all` are the slices that there are.
    pub fn filter<'a>(
        &self,
        node: &str,
        slice: &Slice,
        all: impl Iterator<Item = &'a Slice>,
    ) -> Slice {
        let mut seen = slice.clone();
        match self.fallback(slice) {
            None => seen.endpoints.retain(|endpoint| {
                self.state.keeps(
                    node,
                    &slice.metadata.namespace,
                    slice.service(),
                    endpoint.node_name.as_deref(),
                )
            }),
            Some(steps) => {
                let same = |other: &&Slice| {
                    (&other.metadata.namespace, other.service(), &other.address_type)
                        == (&slice.metadata.namespace, slice.service(), &slice.address_type)
                };
                let siblings: Vec<&Endpoint> =
                    all.filter(same).flat_map(|other| &other.endpoints).collect();
                self.climb(node, &steps, &siblings, &mut seen.endpoints);
            }
        }
        seen
    }

    /// Leaves of one slice's endpoints what the steps of its Service leave to a node; `all` are
    /// those of all its slices.
    fn climb(&self, node: &str, steps: &[Step], all: &[&Endpoint], endpoints: &mut Vec<Endpoint>) {
        let pool = self.state.labels.get(node);
        let members = pool.and_then(|pool| self.state.pools.get(pool));
        let is_unknown = !self.state.off && pool.is_some() && members.is_none();
        let holds = |step: Step, endpoint: &Endpoint| match (step, endpoint.node_name.as_deref()) {
            (Step::Any, _) => true,
            (Step::Node, on) => on == Some(node),
            // Everything counts as in the pool where there are no pools, or where doubts let pass.
            (Step::Pool, _) if self.state.off || is_unknown && !self.state.hides_unknown_pool => {
                true
            }
            (Step::Pool, on) => {
                on == Some(node)
                    || members.is_some_and(|nodes| on.is_some_and(|on| nodes.contains(on)))
            }
        };
        for usable in [is_ready, is_leaving] {
            for &step in steps {
                if all.iter().any(|endpoint| holds(step, endpoint) && usable(endpoint)) {
                    return endpoints.retain(|endpoint| holds(step, endpoint));
                }
            }
        }
        let last = *steps.last().expect("a fallback has a step");
        if is_unknown
            && self.state.hides_unknown_pool
            && steps.contains(&Step::Pool)
            && last != Step::Any
        {
            return endpoints.clear();
        }
        endpoints.retain(|endpoint| holds(last, endpoint));
    }

    /// The slices as `node` must have them.
    pub fn view(
        &self,
        node: &str,
        objects: &BTreeMap<String, Rc<Object>>,
    ) -> BTreeMap<String, Slice> {
        let slices = || objects.values().filter_map(|object| slice_of(object));
        slices()
            .filter(|slice| !self.hides(node, slice))
            .map(|slice| (slice.key(), self.filter(node, slice, slices())))
            .collect()
    }
}

pub fn slice_of(object: &Object) -> Option<&Slice> {
    match &object.body {
        Body::Slice(slice) | Body::Service(slice) => Some(slice),
        _ => None,
    }
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.ready.unwrap_or(true)
}

fn is_leaving(endpoint: &Endpoint) -> bool {
    let conditions = &endpoint.conditions;
    !is_ready(endpoint)
        && conditions.serving.unwrap_or(true)
        && conditions.terminating == Some(true)
}

/// The difference of two sets of slices, for messages; `None` if proxies see none.
pub fn difference<'a>(
    held: impl Iterator<Item = (&'a String, &'a Slice)>,
    wanted: &BTreeMap<String, Slice>,
) -> Option<String> {
    let held: BTreeMap<_, _> = held.collect();
    for (key, slice) in &held {
        match wanted.get(*key) {
            None => return Some(format!("{key} is held and does not exist")),
            Some(wanted) if wanted.plain() != slice.plain() => {
                return Some(format!("{key} is held as\n  {slice:?}\nand should be\n  {wanted:?}"));
            }
            Some(_) => {}
        }
    }
    wanted.keys().find(|key| !held.contains_key(key)).map(|key| format!("{key} is missing"))
}

//! What the cluster must know by now, and what a node's client must therefore hold: plain loops over decoded objects,
//! sharing nothing with the library.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::common::oracle::State;
use super::object::{Body, DISCARD, Endpoint, KEYS, Kind, LISTEN, Object, Slice};
use super::server::Event;
use super::wire::Change;

/// The facts that were delivered whole.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub state: State,
    pub ladders: bool,
    /// Per kind: the resourceVersion up to which it is known; `None` before the first list.
    pub high: [Option<u64>; 3],
}

/// A rung of a ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    Node,
    Pool,
    Any,
}

impl Known {
    pub fn new(ladders: bool) -> Known {
        Known { ladders, ..Known::default() }
    }

    /// A list of a kind was delivered to its end. One that is older than what is known says nothing.
    pub fn list(&mut self, kind: Kind, rv: u64, objects: &[Rc<Object>]) -> bool {
        if self.high[kind as usize].is_some_and(|high| rv < high) {
            return false;
        }
        self.high[kind as usize] = Some(rv);
        let has = |key: &str| objects.iter().any(|object| object.key == key);
        match kind {
            // A Service that is not there was deleted: its keys hold.
            Kind::Service | Kind::Slice => {}
            Kind::Node => self.state.labels.retain(|key, _| has(key)),
            Kind::Pool => self.state.pools.retain(|key, _| has(key)),
        }
        objects.iter().for_each(|object| self.set(object));
        true
    }

    /// A watch event was delivered whole. What was known before it came says nothing.
    pub fn event(&mut self, kind: Kind, event: &Event) -> bool {
        let Event { change, object } = event;
        if self.high[kind as usize].is_none_or(|high| object.rv <= high) {
            return false;
        }
        self.high[kind as usize] = Some(object.rv);
        match (change, kind) {
            (Change::Added | Change::Modified, _) => self.set(object),
            // The keys of a deleted Service hold until it returns.
            (Change::Deleted, Kind::Service | Kind::Slice) => {}
            (Change::Deleted, Kind::Node) => drop(self.state.labels.remove(&object.key)),
            (Change::Deleted, Kind::Pool) => drop(self.state.pools.remove(&object.key)),
        }
        true
    }

    pub fn bookmark(&mut self, kind: Kind, rv: u64) {
        if let Some(high) = &mut self.high[kind as usize] {
            *high = rv.max(*high);
        }
    }

    fn set(&mut self, object: &Object) {
        let key = object.key.clone();
        match &object.body {
            Body::Service(service) => drop(self.state.services.insert(key, service.metadata.annotations.get(KEYS).cloned())),
            // An empty label is none.
            Body::Node(Some(pool)) if !pool.is_empty() => drop(self.state.labels.insert(key, pool.clone())),
            Body::Node(_) => drop(self.state.labels.remove(&key)),
            Body::Pool(nodes) => drop(self.state.pools.insert(key, nodes.iter().flatten().cloned().collect())),
            Body::Slice(_) => {}
        }
    }

    /// The rungs that a Service asks for in order; `None` if it asks for one thing or for nothing.
    fn ladder(&self, slice: &Slice) -> Option<Vec<Rung>> {
        let service = slice.service().filter(|name| self.ladders && !name.is_empty())?;
        let keys = self.state.services.get(&format!("{}/{service}", slice.metadata.namespace))?.as_deref()?;
        let rungs = keys.split(',').filter_map(|word| match word {
            "kubernetes.io/hostname" => Some(Rung::Node),
            "openyurt.io/nodepool" | "kubernetes.io/zone" => Some(Rung::Pool),
            "*" => Some(Rung::Any),
            _ => None,
        });
        let rungs: Vec<Rung> = rungs.collect();
        (keys.contains(',') && !rungs.is_empty()).then_some(rungs)
    }

    /// Whether what a node sees of a slice depends on other slices.
    pub fn is_ladder(&self, slice: &Slice) -> bool {
        self.ladder(slice).is_some()
    }

    /// Whether `node` must not see an object at all: a Service that is for other pools, or for the cloud.
    pub fn hides(&self, node: &str, object: &Slice) -> bool {
        let annotation = |key: &str| object.metadata.annotations.get(key).map(String::as_str);
        match &*object.address_type {
            "LoadBalancer" if annotation(DISCARD) == Some("true") => return true,
            "LoadBalancer" | "NodePort" => {}
            _ => return false,
        }
        let (Some(listen), Some(pool)) = (annotation(LISTEN), self.state.labels.get(node)) else { return false };
        let mut named = listen.split(',').filter_map(|entry| match entry.strip_prefix('-') {
            Some(rest) => (rest == pool).then_some(false),
            None => (entry == pool).then_some(true),
        });
        !named.next().unwrap_or(listen.split(',').any(|entry| entry == "*"))
    }

    /// A slice as `node` must see it; `all` are the slices that there are.
    pub fn filter<'a>(&self, node: &str, slice: &Slice, all: impl Iterator<Item = &'a Slice>) -> Slice {
        let mut seen = slice.clone();
        match self.ladder(slice) {
            None => seen
                .endpoints
                .retain(|endpoint| self.state.keeps(node, &slice.metadata.namespace, slice.service(), endpoint.node_name.as_deref())),
            Some(rungs) => {
                let same = |other: &&Slice| {
                    (&other.metadata.namespace, other.service(), &other.address_type)
                        == (&slice.metadata.namespace, slice.service(), &slice.address_type)
                };
                let siblings: Vec<&Endpoint> = all.filter(same).flat_map(|other| &other.endpoints).collect();
                if let Some(rung) = self.winner(node, &rungs, &siblings) {
                    seen.endpoints.retain(|endpoint| self.holds(node, rung, endpoint));
                }
            }
        }
        seen
    }

    /// The rung that counts; `None`: everything passes, because the node's pool is not known.
    fn winner(&self, node: &str, rungs: &[Rung], endpoints: &[&Endpoint]) -> Option<Rung> {
        let in_doubt = self.state.labels.get(node).is_some_and(|pool| !self.state.pools.contains_key(pool));
        for usable in [is_ready, is_leaving] {
            for &rung in rungs {
                if rung == Rung::Pool && in_doubt {
                    return None;
                }
                if endpoints.iter().any(|endpoint| self.holds(node, rung, endpoint) && usable(endpoint)) {
                    return Some(rung);
                }
            }
        }
        rungs.last().copied()
    }

    fn holds(&self, node: &str, rung: Rung, endpoint: &Endpoint) -> bool {
        let on = endpoint.node_name.as_deref();
        match rung {
            Rung::Any => true,
            Rung::Node => on == Some(node),
            Rung::Pool => {
                let members = self.state.labels.get(node).and_then(|pool| self.state.pools.get(pool));
                on == Some(node) || members.is_some_and(|nodes| on.is_some_and(|on| nodes.contains(on)))
            }
        }
    }

    /// What `node` must hold of these slices.
    pub fn view(&self, node: &str, objects: &BTreeMap<String, Rc<Object>>) -> BTreeMap<String, Slice> {
        let slices = || objects.values().filter_map(|object| slice_of(object));
        slices().filter(|slice| !self.hides(node, slice)).map(|slice| (slice.key(), self.filter(node, slice, slices()))).collect()
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
    !is_ready(endpoint) && conditions.serving.unwrap_or(true) && conditions.terminating == Some(true)
}

/// What two sets of slices differ in, for messages; `None` if in nothing that a proxy looks at.
pub fn difference<'a>(held: impl Iterator<Item = (&'a String, &'a Slice)>, wanted: &BTreeMap<String, Slice>) -> Option<String> {
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

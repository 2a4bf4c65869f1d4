//! Every Service judged once for each pool: what the nodes of a pool may use of it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use poolscope::explain::{EndpointView, ServiceView, State};
use poolscope::{Config, Membership, NodeView, Rewrite, Topology};

use crate::failure::Failure;
use crate::source::{Key, Snapshot};

/// All Services, seen from all pools.
pub(crate) struct Survey<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// The client whose responses are rewritten.
    agent: Option<&'a str>,
    /// The frontends that had a backend before nodes failed.
    before: BTreeMap<Key, Lanes>,
    /// The nodes of each pool by the own pool of each node; the group without a name is in no pool.
    pub(crate) pools: Vec<Rc<Group>>,
    pub(crate) services: Vec<Judged>,
}

/// Nodes that see the same endpoints, apart from those on the node itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// A pool, or the labels that its nodes share; empty: in none.
    pub(crate) name: String,
    pub(crate) nodes: Vec<String>,
}

/// A Service as all groups see it.
pub(crate) struct Judged {
    /// The Service without verdicts: every endpoint is kept.
    pub(crate) view: ServiceView,
    /// The endpoints are filtered.
    pub(crate) is_filtered: bool,
    /// A frontend has a backend on some node.
    pub(crate) has_usable: bool,
    /// Frontends that have a backend on some node, or had one before nodes failed.
    pub(crate) lanes: Lanes,
    pub(crate) places: Vec<Place>,
}

/// Frontends that have a backend somewhere, with nodes that have none for it.
pub(crate) type Empty = BTreeMap<String, BTreeSet<String>>;

/// A Service as the nodes of one group see it.
pub(crate) struct Place {
    pub(crate) group: Rc<Group>,
    /// The Service is visible to the nodes of the group.
    pub(crate) is_visible: bool,
    /// Addresses of ready endpoints that nodes of the group may use.
    pub(crate) ready: usize,
    /// The node that has all of them, if there is one.
    pub(crate) only_node: Option<String>,
    /// Those of the group.
    pub(crate) empty: Rc<Empty>,
    /// Nodes that lack a backend for one of `empty`.
    pub(crate) without: BTreeSet<String>,
    /// For each endpoint of the view.
    pub(crate) verdicts: Vec<Verdict>,
}

impl Place {
    /// The group is a pool, and none of its nodes has a backend for any frontend.
    pub(crate) fn is_hole(&self) -> bool {
        !self.group.name.is_empty()
            && self.without.len() == self.group.nodes.len()
            && self.ready == 0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Verdict {
    pub(crate) kept: bool,
    pub(crate) reason: &'static str,
    pub(crate) rule: &'static str,
}

impl Verdict {
    /// The endpoint passes or is dropped because a fact is missing.
    pub(crate) fn is_in_doubt(self) -> bool {
        let name = self.reason.strip_prefix("emptied").unwrap_or(self.reason).to_lowercase();
        matches!(&*name, "unknownservice" | "unknownpool" | "noservice")
    }
}

/// The Services of some topology share their groups.
type Groups = Rc<[Rc<Group>]>;

impl<'a> Survey<'a> {
    /// Judges every Service of the namespace, or of all.
    ///
    /// # Errors
    ///
    /// Fails if the facts are incomplete.
    pub(crate) fn of(
        snapshot: &'a Snapshot,
        agent: Option<&'a str>,
    ) -> Result<Survey<'a>, Failure> {
        Survey::after(snapshot, agent, BTreeMap::new())
    }

    /// [`Survey::of`] after nodes failed, with the frontends that had backends before.
    pub(crate) fn after(
        snapshot: &'a Snapshot,
        agent: Option<&'a str>,
        before: BTreeMap<Key, Lanes>,
    ) -> Result<Survey<'a>, Failure> {
        snapshot.loaded.require_endpoints()?;
        let objects = &snapshot.objects;
        let names = match snapshot.cluster.config().membership() {
            Membership::CiliumNodeLabel(_) => &objects.cilium_nodes,
            _ if objects.nodes.is_empty() => &objects.cilium_nodes,
            _ => &objects.nodes,
        };
        let left = || names.keys().filter(|name| !snapshot.failed.contains(*name));
        let Some(first) = left().next() else {
            let what = match names.is_empty() {
                true => {
                    "the facts have no Nodes, so there is nobody to judge for: add them with \
                     --facts (`kubectl get nodes -o json`)"
                }
                false => "no node is left to judge for; name fewer with --without-node",
            };
            return Err(Failure(what.to_owned()));
        };
        // Checks that the facts are complete.
        let first = snapshot.ready(first, agent)?;
        let mut survey =
            Survey { snapshot, agent, before, pools: Vec::new(), services: Vec::new() };
        let pools = survey.grouped(left(), |node| survey.node(node).pool());
        survey.pools = pools.to_vec();
        let mut by_labels = BTreeMap::new();
        for view in snapshot.inventory.view(&first) {
            if !survey.is_shown(&view.namespace) {
                continue;
            }
            let groups = match view.topology {
                Some(Topology::Labels) => {
                    let keys = survey.label_keys(&view);
                    let made = by_labels.entry(keys).or_insert_with_key(|keys| {
                        survey.grouped(left(), |node| shared_labels(&names[node], keys))
                    });
                    Rc::clone(made)
                }
                _ => Rc::clone(&pools),
            };
            let judged = survey.judge(view, &groups);
            survey.services.push(judged);
        }
        snapshot.require_services(survey.services.len())?;
        Ok(survey)
    }

    /// Returns the frontends that have backends, by Service.
    pub(crate) fn into_lanes(self) -> BTreeMap<Key, Lanes> {
        let lanes = |judged: Judged| ((judged.view.namespace, judged.view.name), judged.lanes);
        self.services.into_iter().map(lanes).collect()
    }

    pub(crate) fn is_shown(&self, namespace: &str) -> bool {
        self.snapshot.is_shown(namespace)
    }

    pub(crate) fn config(&self) -> &Config {
        self.snapshot.cluster.config()
    }

    /// The view of a node's client.
    pub(crate) fn node(&self, name: &str) -> NodeView {
        let node = self.snapshot.cluster.node(name);
        match self.agent {
            Some(agent) => node.client(agent),
            None => node,
        }
    }

    /// Returns `true` if a name that is no Node is known to be none.
    pub(crate) fn knows_all_nodes(&self) -> bool {
        self.snapshot.objects.has_all("nodes", "")
    }

    /// The annotation of a Service that has its topology keys, as it is written.
    pub(crate) fn annotation(&self, namespace: &str, name: &str) -> Option<&str> {
        let key: Key = (namespace.to_owned(), name.to_owned());
        let service = self.snapshot.objects.services.get(&key)?;
        service.annotations.get(self.config().dialect().annotation()).map(String::as_str)
    }

    fn grouped<'b>(
        &self,
        nodes: impl Iterator<Item = &'b String>,
        name: impl Fn(&str) -> Option<String>,
    ) -> Groups {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for node in nodes {
            groups.entry(name(node).unwrap_or_default()).or_default().push(node.clone());
        }
        // The group without a name comes last.
        let none = groups.remove("").map(|nodes| (String::new(), nodes));
        let all = groups.into_iter().chain(none);
        all.map(|(name, nodes)| Rc::new(Group { name, nodes })).collect()
    }

    /// The node labels that a Service of SuperEdge names.
    fn label_keys(&self, view: &ServiceView) -> Vec<String> {
        let value = self.annotation(&view.namespace, &view.name).unwrap_or_default();
        let mut keys: Vec<String> = serde_json::from_str(value).unwrap_or_default();
        keys.retain(|key| !key.is_empty() && key != "kubernetes.io/hostname");
        keys.sort();
        keys.dedup();
        keys
    }

    fn judge(&self, first: ServiceView, groups: &Groups) -> Judged {
        let mut view = first;
        let is_rewritten = match &*view.endpoints {
            [] => self.node("").rewrites().contains(&Rewrite::ServiceTopology),
            some => some.iter().any(|each| each.rewrite == Some(Rewrite::ServiceTopology)),
        };
        let is_filtered = is_rewritten && !matches!(view.topology, None | Some(Topology::Any));
        let hides_by_pool = view.rewrite.is_some();
        let verdicts: Vec<Verdict> = view.endpoints.iter().map(verdict).collect();
        let is_visible = view.visible;
        view.visible |= hides_by_pool;
        for endpoint in &mut view.endpoints {
            endpoint.kept |= is_filtered;
        }
        let own = Lanes::of(&view);
        let has_usable = own.len() > 0;
        let key: Key = (view.namespace.clone(), view.name.clone());
        let lanes = self.before.get(&key).cloned().unwrap_or(own);
        let (active, only_node) = ready(&view, |_| true);
        let open = |group: &Rc<Group>| Place {
            group: Rc::clone(group),
            is_visible,
            ready: active,
            only_node: only_node.clone(),
            empty: Rc::default(),
            without: BTreeSet::new(),
            verdicts: verdicts.clone(),
        };
        let places = groups.iter().map(|group| {
            if is_filtered || hides_by_pool {
                self.place(&view, is_filtered, &lanes, group)
            } else {
                open(group)
            }
        });
        let places = places.collect();
        Judged { view, is_filtered, has_usable, lanes, places }
    }

    /// Judges for one node of the group, which has no endpoint of the Service if there is such a
    /// node.
    fn place(
        &self,
        all: &ServiceView,
        is_filtered: bool,
        unfiltered: &Lanes,
        group: &Rc<Group>,
    ) -> Place {
        let hosts: BTreeSet<&str> =
            all.endpoints.iter().filter_map(|endpoint| endpoint.node.as_deref()).collect();
        let free = group.nodes.iter().find(|node| !hosts.contains(&***node));
        let viewer = self.node(free.unwrap_or(&group.nodes[0]));
        let (namespace, name) = (&all.namespace, &all.name);
        // The Service was in the same inventory a moment ago.
        let found = self.snapshot.inventory.find(&viewer, namespace, name);
        let view = found.unwrap_or_else(|| all.clone());
        let mut verdicts: Vec<Verdict> = view.endpoints.iter().map(verdict).collect();
        // Every node of the group then has only its own endpoints (O4, O8).
        let keeps_to_node = verdicts.iter().any(|verdict| verdict.reason == "otherNode");
        if !keeps_to_node && !group.name.is_empty() && group.nodes.len() > 1 {
            // The viewer's own endpoints are those of its pool for the other nodes.
            for verdict in verdicts.iter_mut().filter(|verdict| verdict.reason == "ownNode") {
                *verdict = Verdict { reason: "ownPool", rule: "O6", ..*verdict };
            }
        }
        let in_group: BTreeSet<&str> = group.nodes.iter().map(String::as_str).collect();
        let (ready, only_node) = if keeps_to_node {
            ready(all, |each| each.node.as_deref().is_some_and(|node| in_group.contains(node)))
        } else {
            ready(&view, |each| each.kept)
        };
        let seen = Lanes::of(&view);
        let mut empty = Empty::new();
        for (lane, nodes) in &unfiltered.0 {
            let is_met = !keeps_to_node && seen.0.contains_key(lane);
            if !is_filtered || !view.visible || is_met {
                continue;
            }
            let missing = group.nodes.iter().filter(|node| !nodes.contains(&Some((*node).clone())));
            let missing: BTreeSet<String> = missing.cloned().collect();
            if !missing.is_empty() {
                empty.insert(lane.clone(), missing);
            }
        }
        Place {
            group: Rc::clone(group),
            is_visible: view.visible,
            ready,
            only_node,
            without: empty.values().flatten().cloned().collect(),
            empty: Rc::new(empty),
            verdicts,
        }
    }
}

fn verdict(endpoint: &EndpointView) -> Verdict {
    Verdict { kept: endpoint.kept, reason: endpoint.reason, rule: endpoint.rule }
}

fn shared_labels(labels: &crate::source::Texts, keys: &[String]) -> Option<String> {
    let shared = keys.iter().filter_map(|key| Some(format!("{key}={}", labels.get(key)?)));
    Some(shared.collect::<Vec<_>>().join(","))
}

/// Counts the addresses that have new connections, of all frontends; without frontends those of
/// DNS. The node is the one that has all of them, if there is one.
fn ready(view: &ServiceView, counts: impl Fn(&EndpointView) -> bool) -> (usize, Option<String>) {
    let is_ready = |each: &&EndpointView| each.state == State::Active && counts(each);
    let used: Vec<&EndpointView> = match &*view.frontends {
        [] => view.endpoints.iter().filter(is_ready).collect(),
        frontends => {
            let backends = frontends.iter().flat_map(|frontend| view.backends(frontend));
            backends.map(|(each, _)| each).filter(is_ready).collect()
        }
    };
    let nodes: BTreeSet<Option<&str>> = used.iter().map(|each| each.node.as_deref()).collect();
    let addresses: BTreeSet<&str> = used.iter().map(|each| &*each.address).collect();
    let only_node = nodes.first().filter(|_| nodes.len() == 1).copied().flatten();
    (addresses.len(), only_node.map(str::to_owned))
}

/// For each frontend that has a backend, the nodes of its backends.
#[derive(Clone)]
pub(crate) struct Lanes(BTreeMap<String, BTreeSet<Option<String>>>);

impl Lanes {
    /// How many frontends there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Reads what the view keeps. Terminating endpoints count beside active ones, because a node
    /// may have only these.
    fn of(view: &ServiceView) -> Lanes {
        let mut lanes: BTreeMap<String, BTreeSet<Option<String>>> = BTreeMap::new();
        let mut add = |view: &ServiceView| {
            for frontend in &view.frontends {
                let lane = format!("{} {}", frontend.address, frontend.port_name);
                for (endpoint, _) in view.backends(frontend) {
                    lanes
                        .entry(lane.trim_end().to_owned())
                        .or_default()
                        .insert(endpoint.node.clone());
                }
            }
        };
        add(view);
        if view.endpoints.iter().any(|endpoint| endpoint.state == State::Terminating) {
            let mut terminating = view.clone();
            terminating.visible = true;
            for endpoint in &mut terminating.endpoints {
                endpoint.kept &= endpoint.state == State::Terminating;
            }
            add(&terminating);
        }
        // A headless Service without ports has addresses only.
        if view.frontends.is_empty() {
            let usable = |each: &&EndpointView| each.kept && each.state != State::NotReady;
            for endpoint in view.endpoints.iter().filter(usable) {
                lanes.entry("None".to_owned()).or_default().insert(endpoint.node.clone());
            }
        }
        Lanes(lanes)
    }
}

//! Services whose topology keys leave some nodes without endpoints.

use std::collections::BTreeSet;

use poolscope::Topology;
use poolscope::explain::State;

use crate::audit::codes;
use crate::audit::finding::{Finding, Object};
use crate::audit::survey::{Judged, Place, Survey};
use crate::phrase::{count, names, plural};

pub(super) fn check(survey: &Survey<'_>, found: &mut Vec<Finding>) {
    let nodes: BTreeSet<&str> =
        survey.pools.iter().flat_map(|pool| &pool.nodes).map(String::as_str).collect();
    for judged in survey.services.iter().filter(|judged| judged.is_filtered) {
        let view = &judged.view;
        if (&*view.namespace, &*view.name) == ("default", "kubernetes") {
            continue;
        }
        let object = Object::service(&view.namespace, &view.name);
        if !judged.has_usable {
            if view.r#type != "ExternalName" {
                let message = match view.endpoints.len() {
                    0 => "it has no endpoints".to_owned(),
                    all => format!("none of its {} is ready", count(all, "endpoint")),
                };
                found.push(Finding::new(codes::NO_ENDPOINT, object, message));
            }
            continue;
        }
        empty(judged, &object, found);
        // A failure changes nothing for the endpoints that are left.
        if survey.snapshot.failed.is_empty() {
            dropped(survey, judged, &object, &nodes, found);
        }
    }
}

/// Nodes without a backend, and pools that lose theirs with one node.
fn empty(judged: &Judged, object: &Object, found: &mut Vec<Finding>) {
    let topology = judged.view.topology;
    let is_empty = |place: &&Place| !place.without.is_empty();
    if topology == Some(Topology::Node) {
        empty_nodes(judged, object, found);
        return;
    }
    let pools = || judged.places.iter().filter(|place| !place.group.name.is_empty());
    let lost: Vec<&Place> = pools().filter(is_empty).collect();
    if !lost.is_empty() {
        // One list of frontends serves all pools, unless they lack different ones.
        let are_alike = lost.windows(2).all(|pair| pair[0].empty.keys().eq(pair[1].empty.keys()));
        let nodes = |place: &&Place| {
            let nodes = count(place.without.len(), "node");
            let own = if are_alike { String::new() } else { lanes(judged, [*place].into_iter()) };
            format!("{} ({nodes}{own})", place.group.name)
        };
        let common = if are_alike { lanes(judged, lost.iter().copied()) } else { String::new() };
        let others: Vec<String> = pools()
            .filter(|place| place.ready > 0 && place.without.is_empty())
            .map(|place| format!("{} ({})", place.group.name, place.ready))
            .collect();
        let elsewhere = match others.len() {
            0 if pools().any(|place| place.ready > 0) => "no pool has one for each".to_owned(),
            0 => "no pool has one".to_owned(),
            _ => format!("ready endpoints: {}", names(others)),
        };
        let message =
            format!("no usable endpoint{common} in {}; {elsewhere}", names(lost.iter().map(nodes)));
        let pools = lost.iter().map(|place| place.group.name.clone()).collect();
        let finding = Finding::new(codes::EMPTY_POOL, object.clone(), message).in_pools(pools);
        found.push(finding.empty_in(&lost));
    }
    let outside = judged.places.iter().filter(|place| place.group.name.is_empty());
    for place in outside.filter(is_empty) {
        let message = format!("{}: {}", count(place.without.len(), "node"), names(&place.without));
        let finding = Finding::new(codes::EMPTY_OUTSIDE, object.clone(), message);
        found.push(finding.empty_in(&[place]));
    }
    // Behind the last step of a fallback there is another one.
    if topology != Some(Topology::Fallback) {
        single(pools().filter(|place| place.without.is_empty()), object, found);
    }
}

/// Pools that one endpoint serves, or several on one node.
fn single<'a>(pools: impl Iterator<Item = &'a Place>, object: &Object, found: &mut Vec<Finding>) {
    let (mut endpoint, mut node, mut both) = (Vec::new(), Vec::new(), BTreeSet::new());
    for Place { group, ready, only_node, .. } in pools {
        match only_node {
            _ if *ready == 1 => endpoint.push(&group.name),
            // A pool of one node has no clients left when the node fails.
            Some(name) if group.nodes.len() > 1 => {
                node.push(format!("{} ({ready} on {name})", group.name));
            }
            _ => continue,
        }
        both.insert(group.name.clone());
    }
    let mut parts = Vec::new();
    if !endpoint.is_empty() {
        parts.push(format!("one ready endpoint in {}", names(&endpoint)));
    }
    if !node.is_empty() {
        parts.push(format!("all ready endpoints on one node in {}", names(&node)));
    }
    if !parts.is_empty() {
        let finding = Finding::new(codes::ONE_ENDPOINT, object.clone(), parts.join("; "));
        found.push(finding.in_pools(both.into_iter().collect()));
    }
}

/// Nodes without a backend of their own, for all frontends or for some.
fn empty_nodes(judged: &Judged, object: &Object, found: &mut Vec<Finding>) {
    let all = judged.places.iter().map(|place| place.group.nodes.len()).sum();
    let all = count(all, "node");
    let (mut none, mut some) = (Vec::new(), Vec::new());
    for place in &judged.places {
        for node in &place.without {
            let lacking = place.empty.values().filter(|nodes| nodes.contains(node)).count();
            if lacking < judged.lanes.len() { some.push(node) } else { none.push(node) }
        }
    }
    let mut parts = Vec::new();
    if !none.is_empty() {
        let number = none.len();
        parts.push(format!("{number} of {all} have no backend on themselves: {}", names(none)));
    }
    if !some.is_empty() {
        let lanes = lanes(judged, judged.places.iter());
        let number = some.len();
        let of = if parts.is_empty() { format!(" of {all}") } else { String::new() };
        parts
            .push(format!("{number}{of} have one for some addresses only{lanes}: {}", names(some)));
    }
    if !parts.is_empty() {
        let finding = Finding::new(codes::EMPTY_NODES, object.clone(), parts.join("; "));
        found.push(finding.empty_in(&judged.places.iter().collect::<Vec<_>>()));
    }
}

/// The frontends that are empty, if others are not.
fn lanes<'a>(judged: &Judged, places: impl Iterator<Item = &'a Place>) -> String {
    let lanes: BTreeSet<&String> = places.flat_map(|place| place.empty.keys()).collect();
    match lanes.len() < judged.lanes.len() {
        true => format!(" for {}", names(lanes)),
        false => String::new(),
    }
}

/// Endpoints that no node, or only the node itself, may use.
fn dropped(
    survey: &Survey<'_>,
    judged: &Judged,
    object: &Object,
    nodes: &BTreeSet<&str>,
    found: &mut Vec<Finding>,
) {
    let is_dropped = |at: usize| judged.places.iter().all(|place| !place.verdicts[at].kept);
    let endpoints = judged.view.endpoints.iter().enumerate();
    let lost = endpoints.filter(|(at, each)| each.state != State::NotReady && is_dropped(*at));
    let (mut nameless, mut gone) = (Vec::new(), BTreeSet::new());
    for (_, endpoint) in lost {
        match endpoint.node.as_deref().filter(|node| !node.is_empty()) {
            None => nameless.push(&*endpoint.address),
            Some(node) if !nodes.contains(node) => drop(gone.insert(node)),
            Some(_) => {}
        }
    }
    if !nameless.is_empty() {
        let slices = &survey.snapshot.objects.slices;
        let of_service =
            |((namespace, _), slice): &(&crate::source::Key, &crate::source::Slice)| {
                *namespace == judged.view.namespace
                    && slice.service.as_deref() == Some(&*judged.view.name)
            };
        let old: usize = slices.iter().filter(of_service).map(|(_, slice)| slice.old_form).sum();
        let old = match old {
            0 => String::new(),
            old => format!("; {old} have a node in the form of v1beta1 only"),
        };
        let message = format!("{}: {}{old}", count(nameless.len(), "endpoint"), names(&nameless));
        found.push(Finding::new(codes::NO_NODE_NAME, object.clone(), message));
    }
    if !gone.is_empty() && survey.knows_all_nodes() {
        let nodes = plural(gone.len(), "node");
        let message = format!("no such {nodes}: {}", names(&gone));
        found.push(Finding::new(codes::GONE_NODE, object.clone(), message));
    }
}

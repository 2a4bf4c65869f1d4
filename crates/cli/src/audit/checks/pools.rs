//! Nodes and pools that contradict each other.

use std::collections::{BTreeMap, BTreeSet};

use poolscope::{Membership, MissingFactPolicy};

use crate::audit::codes::{self, Code, Level};
use crate::audit::finding::{Finding, Object};
use crate::audit::survey::Survey;
use crate::phrase::{count, names};

const LABEL: &str = "apps.openyurt.io/nodepool";
const OLD_LABEL: &str = "apps.openyurt.io/desired-nodepool";

pub(super) fn check(survey: &Survey<'_>, found: &mut Vec<Finding>) {
    let config = survey.config();
    if *config.membership() == Membership::Off {
        return;
    }
    let mut add = |code: &'static Code, kind: &'static str, name: &str, message: String| {
        found.push(Finding::new(code, Object::wide(kind, name), message));
    };
    let outside = survey.pools.iter().find(|pool| pool.name.is_empty());
    // SuperEdge has a pool for each label that a Service names.
    if let Some(outside) = outside
        && *config.membership() != Membership::NodeLabels
    {
        let number = count(outside.nodes.len(), "node");
        add(codes::NO_POOL, "Cluster", "", format!("{number}: {}", names(&outside.nodes)));
    }
    let Some((kind, members)) = members(survey) else { return };
    for (pool, nodes) in &members {
        if nodes.is_empty() {
            add(codes::NO_NODES, kind, pool, "it lists no node".to_owned());
        }
    }
    let mut pools_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (pool, nodes) in &members {
        for node in nodes {
            pools_of.entry(node).or_default().insert(pool);
        }
    }
    for (node, pools) in pools_of.iter().filter(|(_, pools)| pools.len() > 1) {
        add(codes::TWO_POOLS, "Node", node, format!("it is listed by {}", names(pools)));
    }
    let labels = &survey.snapshot.objects.nodes;
    if survey.knows_all_nodes() {
        for (pool, nodes) in &members {
            let gone: Vec<&&str> =
                nodes.iter().filter(|node| !labels.contains_key(**node)).collect();
            if !gone.is_empty() {
                add(codes::GONE_MEMBERS, kind, pool, format!("no such Node: {}", names(gone)));
            }
        }
    }
    // The configuration names the pool of every node.
    if config.pool().is_some() {
        return;
    }
    let (mut not_listed, mut not_labelled, mut old) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut not_described: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (node, labels) in labels {
        let label = labels.get(LABEL).map(String::as_str).filter(|label| !label.is_empty());
        let listed_by = pools_of.get(&**node);
        match (label, listed_by) {
            (Some(pool), _) if !members.contains_key(pool) => {
                not_described.entry(pool).or_default().push(node);
            }
            (Some(pool), listed_by) if !listed_by.is_some_and(|all| all.contains(pool)) => {
                let others = match listed_by {
                    Some(others) => format!("{node} (listed by {})", names(others)),
                    None => node.clone(),
                };
                not_listed.entry(pool).or_insert_with(Vec::new).push(others);
            }
            (None, Some(pools)) => {
                for pool in pools {
                    not_labelled.entry(*pool).or_insert_with(Vec::new).push(&**node);
                }
            }
            _ => {}
        }
        if let (None, Some(pool)) = (label, labels.get(OLD_LABEL)) {
            old.entry(&**pool).or_insert_with(Vec::new).push(&**node);
        }
    }
    for (pool, nodes) in not_listed {
        let message =
            format!("the label of {} names it: {}", count(nodes.len(), "node"), names(nodes));
        add(codes::NOT_LISTED, kind, pool, message);
    }
    for (pool, nodes) in not_labelled {
        add(codes::NOT_LABELLED, kind, pool, format!("no label {LABEL}: {}", names(nodes)));
    }
    for (pool, nodes) in old {
        add(codes::DESIRED, kind, pool, format!("only {OLD_LABEL}: {}", names(nodes)));
    }
    for (pool, nodes) in not_described {
        let message = format!("no {kind} {pool}, but a label of {}", names(nodes));
        let mut finding = Finding::new(codes::NOT_DESCRIBED, Object::wide(kind, pool), message);
        if config.on_missing_fact().unknown_pool == MissingFactPolicy::Empty {
            finding.level = Level::Warning;
        }
        found.push(finding);
    }
}

/// The kind that lists the nodes of pools, with the nodes of each pool.
fn members<'a>(
    survey: &'a Survey<'_>,
) -> Option<(&'static str, BTreeMap<&'a str, BTreeSet<&'a str>>)> {
    let objects = &survey.snapshot.objects;
    let mut members: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    match survey.config().membership() {
        Membership::NodePool => {
            for (pool, nodes) in &objects.pools {
                members.insert(pool, nodes.iter().map(String::as_str).collect());
            }
            Some(("NodePool", members))
        }
        Membership::NodeBucket => {
            for bucket in objects.buckets.values() {
                if let Some(pool) = &bucket.pool {
                    let nodes = bucket.nodes.iter().map(String::as_str);
                    members.entry(pool).or_default().extend(nodes);
                }
            }
            Some(("NodeBucket", members))
        }
        _ => None,
    }
}

/// NodeBuckets that belong to no pool.
pub(super) fn nameless_buckets(survey: &Survey<'_>, found: &mut Vec<Finding>) {
    if *survey.config().membership() != Membership::NodeBucket {
        return;
    }
    for (name, bucket) in &survey.snapshot.objects.buckets {
        if bucket.pool.is_none() {
            let message =
                format!("no label openyurt.io/pool-name; {}", count(bucket.nodes.len(), "node"));
            found.push(Finding::new(
                codes::NO_POOL_NAME,
                Object::wide("NodeBucket", name),
                message,
            ));
        }
    }
}

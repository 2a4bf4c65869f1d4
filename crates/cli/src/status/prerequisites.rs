//! The API server, rights, and the source of pools.

use std::collections::BTreeMap;

use poolscope::{Cluster, Membership};
use serde_json::{Value, json};

use super::Report;
use crate::failure::Failure;
use crate::phrase::{count, names};
use crate::source::Snapshot;
use crate::source::live::{Kind, Live, Refusal, needed_kinds};

/// A node, with the pool that the API server's objects put it into.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) pool: Option<String>,
}

/// Checks that the API server answers. Returns `false` if nothing else can be checked.
pub(super) fn reach(live: &Live, report: &mut Report) -> bool {
    report.begin("kubernetes-api");
    let refusal = match live.get("/version", "application/json") {
        Ok((200, body)) => {
            let version: Value = serde_json::from_slice(&body).unwrap_or_default();
            let version = version["gitVersion"].as_str().unwrap_or("of unknown version");
            report.ok(format!("API server {} answers ({version}, {})", live.server, live.context));
            return true;
        }
        Ok((401, _)) => "it does not know the user (401): the token or certificate of the \
                         kubeconfig's user is wrong or has expired; log in again"
            .to_owned(),
        Ok((code, body)) => Refusal::of(code, &body).to_string(),
        Err(refusal) => refusal.to_string(),
    };
    report.error(format!("API server {} does not answer", live.server), refusal);
    false
}

/// Checks the rights to list what is needed. Returns `false` if one is missing.
pub(super) fn rights(live: &Live, cluster: &Cluster, report: &mut Report) -> bool {
    report.begin("rights");
    let kinds = needed_kinds(cluster);
    let (mut allowed, mut is_complete) = (Vec::new(), true);
    for kind in kinds {
        let (group, resource) = kind.resource();
        let mut wanted = json!({"verb": "list", "group": group, "resource": resource});
        if kind == Kind::YurtHubConfig {
            wanted["namespace"] = "kube-system".into();
            wanted["name"] = "yurt-hub-cfg".into();
        }
        match may(live, &wanted) {
            Some(true) => allowed.push(kind.name()),
            Some(false) => {
                is_complete = false;
                report.error(
                    format!("may not list {}", kind.name()),
                    format!("add to the user's role: {}", kind.rule()),
                );
            }
            None => report.unknown(
                format!("right to list {}: not known", kind.name()),
                "the API server does not answer SelfSubjectAccessReviews",
            ),
        }
    }
    if !allowed.is_empty() {
        report.ok(format!("may list {}", allowed.join(", ")));
    }
    is_complete
}

/// Returns whether the user has a right; `None` if the API server does not tell.
pub(super) fn may(live: &Live, wanted: &Value) -> Option<bool> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": wanted},
    });
    let answer = live
        .post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review)
        .ok()
        .filter(|(code, _)| (200..300).contains(code))?;
    let answer: Value = serde_json::from_slice(&answer.1).ok()?;
    answer["status"]["allowed"].as_bool()
}

/// Checks that pools can be read, and returns the nodes with their pools.
pub(super) fn membership(
    live: &Live,
    cluster: Cluster,
    report: &mut Report,
) -> Result<Vec<Node>, Failure> {
    report.begin("membership");
    let source = match cluster.config().membership() {
        Membership::NodePool => "NodePools",
        Membership::NodeBucket => "NodeBuckets",
        Membership::NodeLabel(_) | Membership::NodeLabels => "labels of Nodes",
        Membership::CiliumNodeLabel(_) => "labels of CiliumNodes",
        _ => "",
    };
    let kinds: Vec<Kind> = needed_kinds(&cluster)
        .into_iter()
        .filter(|kind| !matches!(kind, Kind::Services | Kind::EndpointSlices))
        .collect();
    let found = live.names(Kind::Nodes).unwrap_or_default();
    let mut snapshot = Snapshot::of(cluster);
    match live.lists(&kinds).and_then(|lists| lists.add_to(&mut snapshot)) {
        Ok(()) => {}
        Err(Failure(why)) => {
            report.error(format!("{source} cannot be read"), why);
            return Ok(Vec::new());
        }
    }
    let nodes: Vec<Node> = found
        .into_iter()
        .map(|(_, name)| Node { pool: snapshot.cluster.node(&*name).pool(), name })
        .collect();
    let mut pools: BTreeMap<&str, usize> = BTreeMap::new();
    for pool in nodes.iter().filter_map(|node| node.pool.as_deref()) {
        *pools.entry(pool).or_default() += 1;
    }
    let outside: Vec<&str> =
        nodes.iter().filter(|node| node.pool.is_none()).map(|node| &*node.name).collect();
    let placed = nodes.len() - outside.len();
    match snapshot.cluster.config().membership() {
        Membership::Off => report.ok("the configuration has no pools (membership: off)"),
        Membership::NodeLabels => {
            report.ok("each Service names the label by which its pools are formed");
        }
        _ if placed == 0 => report.warning(
            format!("{source}: no node is in a pool"),
            "a node in no pool receives all endpoints; check `membership` in --config",
        ),
        _ => {
            let rest = match outside.len() {
                0 => String::new(),
                _ => format!("; in none: {}", names(&outside)),
            };
            report.ok(format!(
                "{source}: {placed} of {} are in {}{rest}",
                count(nodes.len(), "node"),
                count(pools.len(), "pool")
            ));
        }
    }
    Ok(nodes)
}

//! Topology keys on Services that nothing filters, or that other settings undo.

use poolscope::{Membership, Rewrite, Topology};

use crate::audit::codes::{self, Code};
use crate::audit::finding::{Finding, Object};
use crate::audit::survey::{Judged, Survey};
use crate::phrase::count;
use crate::source::{Key, Service};

pub(super) fn check(survey: &Survey<'_>, found: &mut Vec<Finding>) {
    let asks = |judged: &&Judged| !matches!(judged.view.topology, None | Some(Topology::Any));
    let asking: Vec<&Judged> = survey.services.iter().filter(asks).collect();
    configuration(survey, &asking, found);
    for judged in asking {
        let view = &judged.view;
        let key: Key = (view.namespace.clone(), view.name.clone());
        let Some(service) = survey.snapshot.objects.services.get(&key) else { continue };
        let mut add = |code, message| {
            found.push(Finding::new(code, Object::service(&key.0, &key.1), message));
        };
        nothing_to_filter(&key, service, &mut add);
        undone(survey, judged, &key, service, &mut add);
    }
}

fn configuration(survey: &Survey<'_>, asking: &[&Judged], found: &mut Vec<Finding>) {
    let is_by_pool = |judged: &&&Judged| judged.view.topology != Some(Topology::Node);
    let by_pool = asking.iter().filter(is_by_pool).count();
    let mut add = |code, message| {
        found.push(Finding::new(code, Object::wide("Configuration", ""), message));
    };
    // The rewrites of a client are the same on every node.
    let rewrites = survey.node("").rewrites();
    if !asking.is_empty() && !rewrites.contains(&Rewrite::ServiceTopology) {
        let why = match survey.config().service_topology() {
            true => "the client is not selected for serviceTopology",
            false => "rewrites.serviceTopology is off",
        };
        add(codes::NOT_FILTERED, format!("{}, and {why}", have_keys(asking.len())));
        return;
    }
    if by_pool > 0 && survey.config().membership() == &Membership::Off {
        add(codes::POOLS_OFF, format!("{}, and membership is off", have_keys(by_pool)));
    }
}

fn have_keys(number: usize) -> String {
    let verb = if number == 1 { "has" } else { "have" };
    format!("{} {verb} topology keys", count(number, "Service"))
}

fn nothing_to_filter(key: &Key, service: &Service, add: &mut impl FnMut(&'static Code, String)) {
    if (&*key.0, &*key.1) == ("default", "kubernetes") {
        add(codes::KUBERNETES, "it stands for the API servers".to_owned());
        return;
    }
    let Some(spec) = &service.spec else { return };
    if spec.r#type == "ExternalName" {
        add(codes::EXTERNAL_NAME, "type ExternalName has no endpoints".to_owned());
        return;
    }
    if spec.cluster_ip == "None" {
        add(codes::HEADLESS, "clusterIP is None".to_owned());
    }
    if spec.selector.is_empty() {
        add(codes::NO_SELECTOR, "spec.selector is empty".to_owned());
    }
}

fn undone(
    survey: &Survey<'_>,
    judged: &Judged,
    key: &Key,
    service: &Service,
    add: &mut impl FnMut(&'static Code, String),
) {
    let annotation = |key: &str| service.annotations.get(key).map(String::as_str);
    let global = ["service.cilium.io/global", "io.cilium/global-service"];
    let is_true = |value: &str| value.eq_ignore_ascii_case("true");
    if let Some(name) = global.into_iter().find(|key| annotation(key).is_some_and(is_true)) {
        let affinity = annotation("service.cilium.io/affinity")
            .or_else(|| annotation("io.cilium/service-affinity"))
            .unwrap_or("none");
        add(codes::GLOBAL, format!("{name} is true, affinity {affinity}"));
    }
    let redirects = survey.snapshot.objects.redirects.iter();
    for ((namespace, policy), _) in redirects.filter(|(_, target)| target.as_ref() == Some(key)) {
        let message = format!("CiliumLocalRedirectPolicy {namespace}/{policy} redirects it");
        add(codes::REDIRECT, message);
    }
    let hints =
        ["service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"]
            .into_iter()
            .filter_map(|key| Some((key, annotation(key)?)))
            .find(|(_, value)| !value.is_empty() && !value.eq_ignore_ascii_case("disabled"));
    let nodes = ["service.cilium.io/node", "service.cilium.io/node-selector"]
        .into_iter()
        .find_map(|key| Some((key, annotation(key)?)));
    if let Some((key, value)) = nodes {
        add(codes::SOME_NODES, format!("{key}: {value}"));
    }
    if let Some((key, value)) = hints {
        add(codes::HINTS, format!("{key}: {value}"));
    }
    let Some(spec) = &service.spec else { return };
    if hints.is_none() && !spec.traffic_distribution.is_empty() {
        add(codes::HINTS, format!("trafficDistribution: {}", spec.traffic_distribution));
    }
    // A Service that keeps to the node is local anyway.
    if judged.view.topology == Some(Topology::Node) {
        return;
    }
    let is_open = matches!(&*spec.r#type, "NodePort" | "LoadBalancer");
    let policies = [
        ("internalTrafficPolicy", spec.internal_traffic_policy == "Local"),
        ("externalTrafficPolicy", is_open && spec.external_traffic_policy == "Local"),
    ];
    let local: Vec<&str> =
        policies.into_iter().filter(|(_, local)| *local).map(|(name, _)| name).collect();
    if !local.is_empty() {
        let verb = if local.len() == 1 { "is" } else { "are" };
        add(codes::LOCAL_POLICY, format!("{} {verb} Local", local.join(" and ")));
    }
}

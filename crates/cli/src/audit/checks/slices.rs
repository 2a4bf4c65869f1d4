//! Slices that belong to no Service, and settings for facts that are missing.

use std::collections::BTreeMap;

use poolscope::MissingFactPolicy;

use crate::audit::codes;
use crate::audit::finding::{Finding, Object};
use crate::audit::survey::Survey;
use crate::phrase::{count, names};
use crate::source::Key;

pub(super) fn check(survey: &Survey<'_>, found: &mut Vec<Finding>) {
    let objects = &survey.snapshot.objects;
    let mut lost: BTreeMap<Key, (usize, usize)> = BTreeMap::new();
    let mut nameless: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    // A slice without endpoints harms nobody.
    let with_endpoints = objects.slices.iter().filter(|(_, slice)| slice.endpoints > 0);
    for ((namespace, name), slice) in with_endpoints.filter(|(key, _)| survey.is_shown(&key.0)) {
        let Some(service) = &slice.service else {
            nameless.entry(namespace).or_default().push(name);
            continue;
        };
        let key = (namespace.clone(), service.clone());
        if objects.has_all("services", namespace) && !objects.services.contains_key(&key) {
            let sum = lost.entry(key).or_default();
            *sum = (sum.0 + 1, sum.1 + slice.endpoints);
        }
    }
    for ((namespace, name), (slices, endpoints)) in lost {
        let message = format!("{} with {}", count(slices, "slice"), count(endpoints, "endpoint"));
        found.push(Finding::new(codes::NO_SERVICE, Object::service(&namespace, &name), message));
    }
    for (namespace, slices) in nameless {
        let message = format!("{}: {}", count(slices.len(), "slice"), names(slices));
        found.push(Finding::new(
            codes::NO_SERVICE_NAME,
            Object::wide("Namespace", namespace),
            message,
        ));
    }
    let filtered = || survey.services.iter().filter(|judged| judged.is_filtered);
    let has_endpoints = filtered().filter(|judged| {
        let view = &judged.view;
        objects.endpoints.contains(&(view.namespace.clone(), view.name.clone()))
    });
    let number = has_endpoints.count();
    if number > 0 && !objects.slices.is_empty() {
        let message = format!("{} with topology keys", count(number, "Service"));
        found.push(Finding::new(codes::ENDPOINTS, Object::wide("Cluster", ""), message));
    }
    let policy = survey.config().on_missing_fact();
    let passing: Vec<&str> =
        [("unknownService", policy.unknown_service), ("unknownPool", policy.unknown_pool)]
            .into_iter()
            .filter(|(_, policy)| *policy == MissingFactPolicy::Pass)
            .map(|(name, _)| name)
            .collect();
    if !passing.is_empty() && filtered().next().is_some() {
        let message = format!("pass for {} in onMissingFact", passing.join(" and "));
        found.push(Finding::new(codes::IN_DOUBT, Object::wide("Configuration", ""), message));
    }
}

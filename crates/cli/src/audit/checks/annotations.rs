//! Annotations of Services that are not read, or that ask for nothing.

use std::collections::{BTreeMap, BTreeSet};

use poolscope::{Dialect, Topology};

use crate::audit::codes;
use crate::audit::finding::{Finding, Object};
use crate::audit::survey::Survey;
use crate::phrase::names;
use crate::source::{Key, Service};

const LISTEN: &str = "nodeport.openyurt.io/listen";
const DISCARD: &str = "svc.openyurt.io/discard";
const DIALECTS: [Dialect; 4] =
    [Dialect::OpenYurt, Dialect::KubeEdge, Dialect::SuperEdge, Dialect::Poolscope];

/// The values that a dialect knows.
fn words(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::OpenYurt => {
            &["kubernetes.io/hostname", "openyurt.io/nodepool", "kubernetes.io/zone"]
        }
        Dialect::KubeEdge => &["range-nodegroup"],
        Dialect::Poolscope => &["node", "pool"],
        _ => &[],
    }
}

pub(super) fn check(survey: &Survey<'_>, found: &mut Vec<Finding>) {
    let topologies: BTreeMap<(&str, &str), Option<Topology>> = survey
        .services
        .iter()
        .map(|judged| &judged.view)
        .map(|view| ((&*view.namespace, &*view.name), view.topology))
        .collect();
    for ((namespace, name), service) in &survey.snapshot.objects.services {
        let Some(&topology) = topologies.get(&(&**namespace, &**name)) else { continue };
        let mut add = |code, message| {
            found.push(Finding::new(code, Object::service(namespace, name), message));
        };
        keys(survey.config().dialect(), service, &mut add);
        value(survey, (namespace.clone(), name.clone()), topology, &mut add);
        node_ports(survey, service, &mut add);
    }
}

/// Keys that look like one that is read.
fn keys(dialect: Dialect, service: &Service, add: &mut impl FnMut(&'static codes::Code, String)) {
    let own = dialect.annotation();
    if service.labels.contains_key(own) {
        add(codes::KEY, format!("{own} is a label; it has to be an annotation"));
    }
    let known: BTreeSet<&str> = DIALECTS.map(Dialect::annotation).into_iter().collect();
    let mut all: Vec<&String> = service.annotations.keys().collect();
    all.sort();
    for key in all {
        match &**key {
            key if key == own || key == LISTEN || key == DISCARD => {}
            // Where the own key is there too, the other one serves another tool.
            key if known.contains(key) => {
                if !service.annotations.contains_key(own) {
                    let message = format!("{key} is not read; the configured dialect reads {own}");
                    add(codes::OTHER_DIALECT, message);
                }
            }
            key => {
                let near = [own, LISTEN, DISCARD].into_iter().find(|meant| is_near(key, meant));
                if let Some(meant) = near {
                    add(codes::KEY, format!("{key:?} is not read; did you mean {meant}?"));
                }
            }
        }
    }
}

/// Returns a text without case and separators, which people mix up.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|letter| !matches!(letter, '-' | '_' | '.' | '/') && !letter.is_whitespace())
        .flat_map(char::to_lowercase)
        .collect()
}

/// Returns `true` if a key is a misspelling of another one: a few letters differ, or the name is
/// the same in another domain of the same owner.
fn is_near(key: &str, meant: &str) -> bool {
    if strsim::damerau_levenshtein(&plain(key), &plain(meant)) <= 2 {
        return true;
    }
    let parts = |key: &str| match key.rsplit_once('/') {
        Some((domain, name)) => (domain.to_owned(), plain(name)),
        None => (String::new(), plain(key)),
    };
    let ((domain, name), (meant_domain, meant_name)) = (parts(key), parts(meant));
    let owner = |domain: &str| {
        let labels: Vec<&str> = domain.rsplit('.').take(2).collect();
        labels.join(".")
    };
    let same_owner = domain.is_empty() || owner(&domain) == owner(&meant_domain);
    // Short names such as `listen` have meanings elsewhere.
    meant_name.len() > 6 && same_owner && strsim::damerau_levenshtein(&name, &meant_name) <= 1
}

/// A value that is not known, in whole or in part.
fn value(
    survey: &Survey<'_>,
    (namespace, name): Key,
    topology: Option<Topology>,
    add: &mut impl FnMut(&'static codes::Code, String),
) {
    let Some(value) = survey.annotation(&namespace, &name) else { return };
    let dialect = survey.config().dialect();
    let words = words(dialect);
    let is_step = |word: &str| word == "*" || words.contains(&word);
    match topology {
        Some(Topology::Any) if dialect == Dialect::SuperEdge => {
            let keys: Result<Vec<String>, _> = serde_json::from_str(value);
            if !keys.is_ok_and(|keys| keys.iter().any(|key| key == "*")) && !value.is_empty() {
                let message =
                    format!("{value:?} is not a JSON array of node labels, such as [\"zone\"]");
                add(codes::VALUE, message);
            }
        }
        // An empty value and `*` are ways to ask for nothing.
        Some(Topology::Any) if matches!(value, "" | "*") => {}
        Some(Topology::Any)
            if !survey.config().topology_fallback()
                && value.contains(',')
                && value.split(',').all(|word| is_step(word.trim())) =>
        {
            add(codes::FALLBACK_OFF, format!("{value:?} has several keys"));
        }
        Some(Topology::Any) => add(codes::VALUE, unknown(value, words)),
        Some(Topology::Fallback) => {
            let odd = value.split(',').map(str::trim).filter(|word| !is_step(word));
            let odd: Vec<String> = odd.map(|word| unknown(word, words)).collect();
            if !odd.is_empty() {
                add(codes::STEP, odd.join("; "));
            }
        }
        Some(Topology::Labels) => {
            let keys: Vec<String> = serde_json::from_str(value).unwrap_or_default();
            let nodes = &survey.snapshot.objects.nodes;
            let is_missing = |key: &&String| {
                !key.is_empty() && !nodes.values().any(|labels| labels.contains_key(*key))
            };
            let missing: Vec<&String> = keys.iter().filter(is_missing).collect();
            if !missing.is_empty() && survey.knows_all_nodes() {
                add(codes::NO_SUCH_LABEL, format!("no Node has {}", names(missing)));
            }
        }
        _ => {}
    }
}

/// A word that is not known, with the one that may be meant.
fn unknown(value: &str, words: &[&str]) -> String {
    let last = |text: &str| plain(text.rsplit('/').next().unwrap_or_default());
    let alias = match &*last(value) {
        "node" | "self" | "host" => {
            words.iter().find(|word| matches!(**word, "node" | "kubernetes.io/hostname"))
        }
        "pool" | "nodegroup" => words
            .iter()
            .find(|word| matches!(**word, "pool" | "openyurt.io/nodepool" | "range-nodegroup")),
        _ => None,
    };
    let distance = |word: &&&str| {
        strsim::damerau_levenshtein(&plain(value), &plain(word))
            .min(strsim::damerau_levenshtein(&last(value), &last(word)))
    };
    let near = words.iter().min_by_key(distance).filter(|word| distance(word) <= 3);
    match alias.or(near) {
        Some(word) => format!("{value:?} is not known; did you mean {word}?"),
        None => format!("{value:?} is not known; known are {}", words.join(", ")),
    }
}

/// The annotations of nodePortIsolation and discardCloudService.
fn node_ports(
    survey: &Survey<'_>,
    service: &Service,
    add: &mut impl FnMut(&'static codes::Code, String),
) {
    let config = survey.config();
    if service.annotations.get(DISCARD).is_some_and(|value| value == "true")
        && !config.discard_cloud_service()
    {
        add(codes::REWRITE_OFF, format!("{DISCARD}, and rewrites.discardCloudService is off"));
    }
    let Some(list) = service.annotations.get(LISTEN) else { return };
    if !config.node_port_isolation() {
        add(codes::REWRITE_OFF, format!("{LISTEN}, and rewrites.nodePortIsolation is off"));
        return;
    }
    if let Some(spec) = &service.spec
        && !matches!(&*spec.r#type, "NodePort" | "LoadBalancer")
    {
        add(codes::LISTEN, format!("type {} has no node ports (N1)", spec.r#type));
        return;
    }
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let entries: Vec<&str> = entries.collect();
    if entries.is_empty() {
        add(codes::LISTEN, "the list is empty, so no pool has the Service (N7)".to_owned());
    }
    let pools: BTreeSet<&str> = survey.pools.iter().map(|pool| &*pool.name).collect();
    let named = entries.iter().map(|entry| entry.strip_prefix('-').unwrap_or(entry));
    let missing: BTreeSet<&str> =
        named.filter(|name| *name != "*" && !pools.contains(name)).collect();
    if !missing.is_empty() && survey.knows_all_nodes() {
        let message = format!("no node is in a pool named {}", names(missing));
        add(codes::LISTEN, message);
    }
}

//! How each node's cilium-agent is filtered: by poolscope's cell, by the node proxy, by yurthub.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::Report;
use super::prerequisites::{Node, may};
use crate::phrase::{count, names};
use crate::source::live::pods::{AGENT, AGENTS, Pod, list, versions};
use crate::source::live::{Kind, Live};

const PROXY: &str = "poolscope-proxy";
/// The port of the proxy's health listener, unless an argument names another.
const HEALTH_PORT: u64 = 10272;

/// How an agent gets its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// The agent has the cell, and believes to be in this pool.
    Cell(Option<String>),
    Proxy,
    YurtHub,
    /// It is to use the proxy after its next start.
    RestartNeeded,
    Unfiltered,
    /// The API server does not tell.
    Unknown,
}

/// A CiliumNodeConfig that leads agents to the proxy.
struct Lead {
    selector: Value,
    created: String,
}

/// Adds what is known of each node's filter.
pub(super) fn check(live: &Live, nodes: &[Node], report: &mut Report) {
    report.begin("filters");
    let agents = match list(live, AGENTS) {
        Ok(agents) => agents,
        Err(refusal) => {
            let hint = "grant list of pods; see docs/live.md";
            return report.unknown(format!("the nodes' filters: not known ({refusal})"), hint);
        }
    };
    let proxies = list(live, "app.kubernetes.io/name=poolscope-proxy").unwrap_or_default();
    check_proxies(&proxies, report);
    let yurthub_filters = check_yurthub(live, !agents.is_empty(), report);
    if agents.is_empty() {
        report.unknown(
            format!("no pods of cilium-agent (label {AGENTS})"),
            "the clients of other proxies are not known to the API server: use `poolscope verify` \
             on the node",
        );
    } else {
        let ways = ways(live, &agents);
        report_ways(&agents, &ways, &proxies, yurthub_filters, report);
        report.begin("generation");
        check_pools(live, nodes, &agents, &ways, &proxies, report);
    }
    report.begin("versions");
    if !agents.is_empty() {
        report.ok(format!("cilium-agent: {}", versions(agents.iter(), AGENT)));
    }
    if !proxies.is_empty() {
        let tags = versions(proxies.iter(), PROXY);
        let own = env!("CARGO_PKG_VERSION");
        match tags.contains(&format!(":{own} ")) && !tags.contains(", ") {
            true => report.ok(format!("poolscope-proxy: {tags}")),
            false => report.warning(
                format!("poolscope-proxy: {tags}; this command: {own}"),
                "rules may differ between versions: use equal ones",
            ),
        }
    }
}

fn check_proxies(proxies: &[Pod], report: &mut Report) {
    let (ready, waiting): (Vec<&Pod>, Vec<&Pod>) = proxies.iter().partition(|pod| pod.is_ready);
    if !ready.is_empty() {
        report.ok(format!("poolscope-proxy is ready on {}", count(ready.len(), "node")));
    }
    for pod in waiting.iter().take(5) {
        report.error(
            format!("poolscope-proxy on {} is not ready: {}", pod.node, pod.reason),
            format!(
                "kubectl -n {} logs {}; on the node: curl 127.0.0.1:{}/readyz",
                pod.namespace,
                pod.name,
                health_port(pod)
            ),
        );
    }
    if let Some(more @ 1..) = waiting.len().checked_sub(5) {
        report.error(format!("poolscope-proxy is not ready on {more} more"), "see above");
    }
}

/// Checks yurthub's line for Cilium. Returns whether it filters for cilium-agent; `None`: there is
/// no yurthub, or it is not known.
fn check_yurthub(live: &Live, has_agents: bool, report: &mut Report) -> Option<bool> {
    let target = "/api/v1/namespaces/kube-system/configmaps/yurt-hub-cfg";
    let body = match live.get(target, "application/json") {
        Ok((200, body)) => body,
        Ok((404, _)) => return None,
        Ok((403, _)) => {
            let hint = "grant get of the ConfigMap kube-system/yurt-hub-cfg";
            report.unknown("yurthub's clients: not known", hint);
            return None;
        }
        _ => return None,
    };
    let document: Value = serde_json::from_slice(&body).unwrap_or_default();
    let line = document["data"]["servicetopology"].as_str().unwrap_or_default();
    let is_listed =
        line.split(',').any(|client| matches!(client.trim(), "cilium" | "cilium-agent"));
    if is_listed {
        report.ok(format!("yurthub filters for Cilium (servicetopology: {line})"));
    } else if has_agents {
        report.warning(
            "yurthub does not filter for Cilium (ConfigMap kube-system/yurt-hub-cfg)",
            "if agents read through yurthub, add `servicetopology: cilium,cilium-agent`",
        );
    }
    Some(is_listed)
}

/// Finds the way of each agent.
fn ways(live: &Live, agents: &[Pod]) -> Vec<Way> {
    let leads = leads(live);
    let labels = if leads.is_empty() { HashMap::new() } else { node_labels(live) };
    let metrics = metrics(live, agents);
    let way = |(agent, metrics): (&Pod, &Option<String>)| {
        if let Some(metrics) = metrics
            && let Some(line) =
                metrics.lines().find(|line| line.starts_with("cilium_poolscope_node_info{"))
        {
            return Way::Cell(label(line, "pool"));
        }
        match agent.variable(AGENT, "KUBERNETES_SERVICE_PORT") {
            Some("10271") => return Way::Proxy,
            // The ports of yurthub's own listeners.
            Some("10261" | "10268") => return Way::YurtHub,
            _ => {}
        }
        let none = json!({});
        let labels = labels.get(&agent.node).unwrap_or(&none);
        match leads.iter().find(|lead| selects(&lead.selector, labels)) {
            Some(lead) if agent.started > lead.created => Way::Proxy,
            Some(_) => Way::RestartNeeded,
            None if metrics.is_some() => Way::Unfiltered,
            None => Way::Unknown,
        }
    };
    agents.iter().zip(&metrics).map(way).collect()
}

/// Reads the metrics of agents that serve them; `None`: they do not, or may not be read.
fn metrics(live: &Live, agents: &[Pod]) -> Vec<Option<String>> {
    let may_proxy = may(live, &json!({"verb": "get", "resource": "pods", "subresource": "proxy"}));
    let targets: Vec<Option<String>> = agents
        .iter()
        .map(|agent| {
            let port = agent.port(AGENT, "prometheus").filter(|_| may_proxy == Some(true))?;
            Some(agent.proxy_path(port, "/metrics"))
        })
        .collect();
    bodies(live, targets)
}

/// Sends GETs; `None` for each that has no target or no response with status 200.
fn bodies(live: &Live, targets: Vec<Option<String>>) -> Vec<Option<String>> {
    let asked: Vec<String> = targets.iter().flatten().cloned().collect();
    let mut responses = live.get_all(&asked, "*/*").into_iter();
    let body = |target: Option<String>| {
        target?;
        match responses.next()? {
            Ok((200, body)) => Some(String::from_utf8_lossy(&body).into_owned()),
            _ => None,
        }
    };
    targets.into_iter().map(body).collect()
}

/// Returns the value of a metric's label.
fn label(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!("{name}=\""))?;
    let value = rest.split('"').next()?;
    (!value.is_empty()).then(|| value.to_owned())
}

/// Returns the CiliumNodeConfigs that lead agents to the proxy.
fn leads(live: &Live) -> Vec<Lead> {
    let read = |version: &str| live.items(&format!("/apis/cilium.io/{version}/ciliumnodeconfigs"));
    let items = read("v2").or_else(|_| read("v2alpha1")).unwrap_or_default();
    let leads = items.iter().filter(|item| {
        let path = item["spec"]["defaults"]["k8s-kubeconfig-path"].as_str();
        path.is_some_and(|path| path.contains("poolscope"))
    });
    leads
        .map(|item| Lead {
            selector: item["spec"]["nodeSelector"].clone(),
            created: item["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned(),
        })
        .collect()
}

fn node_labels(live: &Live) -> HashMap<String, Value> {
    let items = live.metadata(Kind::Nodes).unwrap_or_default();
    let pair = |item: Value| {
        let name = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        (name, item["metadata"]["labels"].clone())
    };
    items.into_iter().map(pair).collect()
}

/// Returns whether a label selector selects labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = |(key, value): (&String, &Value)| labels.get(key) == Some(value);
    let matches = |expression: &Value| {
        let value = labels.get(expression["key"].as_str().unwrap_or_default());
        let is_among = || {
            value.is_some_and(|value| {
                expression["values"].as_array().is_some_and(|all| all.contains(value))
            })
        };
        match expression["operator"].as_str() {
            Some("In") => is_among(),
            Some("NotIn") => !is_among(),
            Some("Exists") => value.is_some(),
            Some("DoesNotExist") => value.is_none(),
            _ => false,
        }
    };
    selector["matchLabels"].as_object().into_iter().flatten().all(equal)
        && selector["matchExpressions"].as_array().into_iter().flatten().all(matches)
}

/// Adds a line for each group of nodes.
fn report_ways(
    agents: &[Pod],
    ways: &[Way],
    proxies: &[Pod],
    yurthub_filters: Option<bool>,
    report: &mut Report,
) {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (agent, way) in agents.iter().zip(ways) {
        let has_proxy = proxies.iter().any(|pod| pod.node == agent.node);
        let group = match way {
            Way::Cell(_) => "cell",
            Way::Proxy if has_proxy => "proxy",
            Way::Proxy => "no proxy",
            Way::YurtHub if yurthub_filters == Some(true) => "yurthub",
            Way::YurtHub | Way::Unfiltered => "unfiltered",
            Way::RestartNeeded => "restart",
            Way::Unknown => "unknown",
        };
        groups.entry(group).or_default().push(&agent.node);
    }
    for (group, nodes) in groups {
        let count = count(nodes.len(), "node");
        match group {
            "cell" => report.ok(format!("{count}: cilium-agent has poolscope's cell")),
            "proxy" => report.ok(format!("{count}: cilium-agent reads through poolscope-proxy")),
            "yurthub" => report.ok(format!("{count}: cilium-agent reads through yurthub")),
            "no proxy" => report.error(
                format!(
                    "{count}: cilium-agent is led to a proxy that is not there: {}",
                    names(&nodes)
                ),
                "such an agent cannot start: run poolscope-proxy on these nodes (docs/deploy.md)",
            ),
            "restart" => report.error(
                format!(
                    "{count}: cilium-agent is older than its CiliumNodeConfig: {}",
                    names(&nodes)
                ),
                "agents read it at their start: restart the agents of these nodes",
            ),
            "unfiltered" => report.warning(
                format!("{count}: cilium-agent is not filtered: {}", names(&nodes)),
                "it uses the endpoints of all pools: docs/cilium.md names four ways to filter",
            ),
            _ => report.unknown(
                format!(
                    "{count}: not known whether cilium-agent has poolscope's cell: {}",
                    names(&nodes)
                ),
                "its metrics would tell: set Cilium's prometheus.enabled and grant get of \
                 pods/proxy; or on the node: cilium-dbg shell -- poolscope/status",
            ),
        }
    }
}

/// Compares the pools in use on the nodes with those of the API server's objects.
fn check_pools(
    live: &Live,
    nodes: &[Node],
    agents: &[Pod],
    ways: &[Way],
    proxies: &[Pod],
    report: &mut Report,
) {
    let mut in_use: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for (agent, way) in agents.iter().zip(ways) {
        if let Way::Cell(pool) = way {
            in_use.insert(&agent.node, pool.clone());
        }
    }
    // The API server forwards no request to a listener on loopback.
    let targets = proxies.iter().map(|pod| {
        let listen = pod.argument(PROXY, "--health-listen")?;
        let is_loopback = listen.starts_with("127.") || listen.starts_with("[::1]");
        (!is_loopback).then(|| pod.proxy_path(health_port(pod), "/debug/view"))
    });
    let views = bodies(live, targets.collect());
    for (pod, view) in proxies.iter().zip(views) {
        let view: Option<Value> = view.and_then(|view| serde_json::from_str(&view).ok());
        if let Some(view) = view {
            in_use.insert(&pod.node, view["pool"].as_str().map(str::to_owned));
        }
    }
    let (mut equal, mut behind) = (0, Vec::new());
    for node in nodes {
        match in_use.get(&*node.name) {
            Some(pool) if *pool == node.pool => equal += 1,
            Some(pool) => {
                let word =
                    |pool: &Option<String>| pool.clone().unwrap_or_else(|| "none".to_owned());
                behind.push(format!("{} ({}, not {})", node.name, word(pool), word(&node.pool)));
            }
            None => {}
        }
    }
    if equal > 0 {
        report.ok(format!("{} in the pool that the API server has", count(equal, "filter")));
    }
    if !behind.is_empty() {
        report.error(
            format!("{} in another pool: {}", count(behind.len(), "filter"), names(&behind)),
            "the node has not received the change: check its link to the API server",
        );
    }
    let silent = nodes.len().saturating_sub(equal + behind.len());
    if silent > 0 {
        report.unknown(
            format!("{}: generation in use not known", count(silent, "node")),
            "the cell's metrics, or a proxy whose health.host is $(NODE_IP), would tell",
        );
    }
}

fn health_port(pod: &Pod) -> u64 {
    let listen = pod.argument(PROXY, "--health-listen").unwrap_or_default();
    listen.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(HEALTH_PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_select_as_kubernetes_does() {
        let labels = json!({"pool": "hz", "arch": "arm64"});
        for (selector, is_selected) in [
            (json!({}), true),
            (json!({"matchLabels": {"pool": "hz"}}), true),
            (json!({"matchLabels": {"pool": "bj"}}), false),
            (json!({"matchExpressions": [{"key": "pool", "operator": "Exists"}]}), true),
            (json!({"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}), false),
            (json!({"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}), true),
            (
                json!({"matchExpressions": [
                    {"key": "arch", "operator": "In", "values": ["arm64"]},
                    {"key": "pool", "operator": "NotIn", "values": ["bj"]},
                ]}),
                true,
            ),
            (json!({"matchExpressions": [{"key": "arch", "operator": "New"}]}), false),
        ] {
            assert_eq!(selects(&selector, &labels), is_selected, "{selector}");
        }
    }

    #[test]
    fn labels_of_metrics_are_read() {
        let line = "cilium_poolscope_node_info{node=\"hz-1\",pool=\"hangzhou\"} 1";
        assert_eq!(label(line, "pool").as_deref(), Some("hangzhou"));
        assert_eq!(label("x{pool=\"\"} 1", "pool"), None);
    }
}

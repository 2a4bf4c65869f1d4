//! A small cluster whose facts change, and the API server's bodies: Service `shop/web` asks for the
//! pool of its clients, and `me` is in pool `hz`.

use poolscope::{Action, BodyRewriter, Cluster, Config, NodeView, RequestHead, ResponseHead};
use serde_json::{Value, json};

pub const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
pub const WATCH: &str = "/apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=90&allowWatchBookmarks=true";
pub const SERVICES: &str = "/api/v1/services";
pub const NODES: &str = "/api/v1/nodes";
pub const POOLS: &str = "/apis/apps.openyurt.io/v1beta2/nodepools";
pub const JSON: &str = "application/json";

/// Reads the list of a kind of facts, at a version.
pub fn read(cluster: &Cluster, path: &str, version: u32, items: &[Value]) {
    let head = ResponseHead::ok(JSON);
    let mut reader = cluster.read_facts(&RequestHead::get(path), &head).unwrap();
    let list = json!({ "metadata": { "resourceVersion": version.to_string() }, "items": items });
    reader.push(list.to_string().as_bytes()).unwrap();
    reader.finish().unwrap();
}

/// A Service that asks for these topology keys; empty for none.
pub fn service(name: &str, keys: &str) -> Value {
    let annotations =
        if keys.is_empty() { json!({}) } else { json!({ "openyurt.io/topologyKeys": keys }) };
    json!({ "metadata": { "namespace": "shop", "name": name, "annotations": annotations } })
}

pub fn services(keys: &str) -> [Value; 1] {
    [service("web", keys)]
}

pub fn nodes() -> [Value; 1] {
    let labels = json!({ "apps.openyurt.io/nodepool": "hz" });
    [json!({ "metadata": { "name": "me", "labels": labels } })]
}

pub fn pools(members: &[&str]) -> [Value; 1] {
    [json!({ "metadata": { "name": "hz" }, "status": { "nodes": members } })]
}

/// A cluster that knows all facts: `me` is alone in its pool.
pub fn cluster(config: Config) -> Cluster {
    let cluster = Cluster::new(config).unwrap();
    read(&cluster, SERVICES, 5, &services("openyurt.io/nodepool"));
    read(&cluster, NODES, 5, &nodes());
    read(&cluster, POOLS, 5, &pools(&["me"]));
    cluster
}

/// Changes the pool: a client of a slice with an endpoint on `other` needs an event.
pub fn join(cluster: &Cluster) {
    read(cluster, POOLS, 6, &pools(&["me", "other"]));
}

fn slice(name: &str, version: u32, nodes: &[&str]) -> Value {
    let endpoints: Vec<Value> = nodes
        .iter()
        .map(|node| json!({ "addresses": [format!("10.0.0.{node}")], "nodeName": node }))
        .collect();
    json!({
        "metadata": {
            "name": name,
            "namespace": "shop",
            "resourceVersion": version.to_string(),
            "labels": { "kubernetes.io/service-name": "web" },
        },
        "endpoints": endpoints,
    })
}

/// A list of slice `web-1` with endpoints on these nodes, at version 90.
pub fn list(nodes: &[&str]) -> String {
    let item = slice("web-1", 70, nodes);
    format!(
        r#"{{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{{"resourceVersion":"90"}},"items":[{item}]}}"#
    )
}

/// A MODIFIED event of slice `web-1`.
pub fn event(version: u32, nodes: &[&str]) -> String {
    let object = slice("web-1", version, nodes).to_string();
    let head = r#"{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","#;
    format!("{{\"type\":\"MODIFIED\",\"object\":{head}{}}}\n", &object[1..])
}

/// The event as node `me` gets it.
pub fn events_of(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            let object = &event["object"];
            let nodes: Vec<&str> = object["endpoints"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|endpoint| endpoint["nodeName"].as_str().unwrap())
                .collect();
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            format!("{} {name} {}", event["type"].as_str().unwrap(), nodes.join(" "))
        })
        .map(|line| line.trim_end().to_owned())
        .collect()
}

pub fn open(node: &NodeView, target: &str) -> BodyRewriter {
    match node.open(&RequestHead::get(target), &ResponseHead::ok(JSON)) {
        Ok(Action::Rewrite(rewriter)) => rewriter,
        other => panic!("{target}: {other:?}"),
    }
}

/// Node `me` after it listed slice `web-1` with endpoints on `me` and `other`.
pub fn listed(cluster: &Cluster) -> NodeView {
    let node = cluster.node("me");
    let (mut rewriter, mut out) = (open(&node, SLICES), poolscope::BytesMut::new());
    rewriter.push(list(&["me", "other"]).as_bytes(), &mut out).unwrap();
    rewriter.finish(&mut out).unwrap();
    node
}

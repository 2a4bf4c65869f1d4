//! A cluster of three nodes, one pool and three Services.

use poolscope::{Cluster, Config, RequestHead, ResponseHead};
use serde_json::{Value, json};

/// Reads a whole list of facts into a cluster.
pub fn feed(cluster: &Cluster, path: &str, kind: &str, items: &[Value]) {
    let list = json!({
        "kind": format!("{kind}List"),
        "apiVersion": "v1",
        "metadata": { "resourceVersion": "100" },
        "items": items,
    });
    let mut feed =
        cluster.read_facts(&RequestHead::get(path), &ResponseHead::ok("application/json")).unwrap();
    feed.push(list.to_string().as_bytes()).unwrap();
    feed.finish().unwrap();
}

/// A cluster of `me` and `friend` in pool `hz` and `other` in none, with Services `shop/any`,
/// `shop/node` and `shop/pool` that ask for what they are called.
pub fn small_cluster(config: Config) -> Cluster {
    let cluster = Cluster::new(config).unwrap();
    let service = |name: &str, keys: Value| {
        json!({
            "metadata": {
                "namespace": "shop",
                "name": name,
                "resourceVersion": "1",
                "annotations": { "openyurt.io/topologyKeys": keys },
            },
        })
    };
    let services = [
        ("any", Value::Null),
        ("node", json!("kubernetes.io/hostname")),
        ("pool", json!("openyurt.io/nodepool")),
    ];
    feed(
        &cluster,
        "/api/v1/services",
        "Service",
        &services.map(|(name, keys)| service(name, keys)),
    );
    let node = |name: &str, labels: Value| {
        json!({
            "metadata": { "name": name, "resourceVersion": "1", "labels": labels },
        })
    };
    let own = json!({ "apps.openyurt.io/nodepool": "hz" });
    feed(
        &cluster,
        "/api/v1/nodes",
        "Node",
        &[node("me", own.clone()), node("friend", own), node("other", Value::Null)],
    );
    let pool = json!({
        "metadata": { "name": "hz", "resourceVersion": "1" },
        "status": { "nodes": ["me", "friend"] },
    });
    feed(&cluster, "/apis/apps.openyurt.io/v1beta2/nodepools", "NodePool", &[pool]);
    cluster
}

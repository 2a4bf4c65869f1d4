//! A small cluster whose facts change: Services `shop/web` and `shop/db`, nodes `me` and `friend`
//! in pool `hz`, `other` in pool `sh`.

use std::collections::BTreeMap;

use poolscope::{Cluster, Config, RequestHead, ResponseHead};
use serde_json::{Value, json};

use super::client::Client;
use super::object::Encoding;

pub const POOL: &str = "openyurt.io/nodepool";
pub const NODE: &str = "kubernetes.io/hostname";

pub struct Facts {
    pub cluster: Cluster,
    /// With their topology keys; empty for none.
    services: BTreeMap<String, String>,
    /// With the pools that they are labelled with; empty for none.
    nodes: BTreeMap<String, String>,
    /// With the nodes that they say they have, `None` for a pool without a status.
    pools: BTreeMap<String, Option<String>>,
    version: u64,
    encoding: Encoding,
}

/// The cluster, and a client of node `me` that asks for all slices. No Service has keys.
pub fn scene(encoding: Encoding) -> (Facts, Client) {
    scene_with(encoding, Config::openyurt())
}

pub fn scene_with(encoding: Encoding, config: Config) -> (Facts, Client) {
    let strings = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let mut facts = Facts {
        cluster: Cluster::new(config).unwrap(),
        services: strings(&[("web", ""), ("db", "")]),
        nodes: strings(&[("me", "hz"), ("friend", "hz"), ("other", "sh")]),
        pools: [
            ("hz".to_owned(), Some("me friend".to_owned())),
            ("sh".to_owned(), Some("other".to_owned())),
        ]
        .into(),
        version: 1000,
        encoding,
    };
    facts.tell_services();
    facts.tell_nodes();
    facts.tell_pools();
    let client = Client::new(facts.cluster.node("me"), encoding);
    (facts, client)
}

impl Facts {
    /// A Service asks for these keys, or with an empty text for none.
    pub fn annotate(&mut self, service: &str, keys: &str) {
        self.services.insert(service.to_owned(), keys.to_owned());
        self.tell_services();
    }

    /// Annotates many Services at once.
    pub fn annotate_all(&mut self, services: impl Iterator<Item = String>, keys: &str) {
        self.services.extend(services.map(|service| (service, keys.to_owned())));
        self.tell_services();
    }

    pub fn delete_service(&mut self, service: &str) {
        self.services.remove(service).unwrap();
        self.tell_services();
    }

    /// A node is labelled with a pool, or with an empty text with none.
    pub fn label(&mut self, node: &str, pool: &str) {
        self.nodes.insert(node.to_owned(), pool.to_owned());
        self.tell_nodes();
    }

    /// A pool, or a bucket of it, says that it has these nodes.
    pub fn pool(&mut self, pool: &str, nodes: &str) {
        self.pools.insert(pool.to_owned(), Some(nodes.to_owned()));
        self.tell_pools();
    }

    pub fn pool_without_status(&mut self, pool: &str) {
        self.pools.insert(pool.to_owned(), None);
        self.tell_pools();
    }

    pub fn delete_pool(&mut self, pool: &str) {
        self.pools.remove(pool).unwrap();
        self.tell_pools();
    }

    /// The counter of that name.
    pub fn count(&self, name: &str) -> u64 {
        self.cluster.counters().iter().find(|(counter, _)| *counter == name).unwrap().1
    }

    fn tell_services(&mut self) {
        let services = self.services.iter().map(|(name, keys)| {
            let annotations = if keys.is_empty() {
                json!({})
            } else {
                json!({ "openyurt.io/topologyKeys": keys })
            };
            json!({ "namespace": "shop", "name": name, "annotations": annotations })
        });
        self.tell(
            "/api/v1/services",
            services.map(|metadata| json!({ "metadata": metadata })).collect(),
        );
    }

    fn tell_nodes(&mut self) {
        let labels = |pool: &String| match pool.as_str() {
            "" => json!({}),
            pool => json!({ "apps.openyurt.io/nodepool": pool, "zone": pool }),
        };
        let nodes = self
            .nodes
            .iter()
            .map(|(name, pool)| json!({ "metadata": { "name": name, "labels": labels(pool) } }));
        self.tell("/api/v1/nodes", nodes.collect());
    }

    fn tell_pools(&mut self) {
        let names = |nodes: &Option<String>| -> Vec<String> {
            nodes.iter().flat_map(|nodes| nodes.split_whitespace()).map(str::to_owned).collect()
        };
        let pools = self.pools.iter().map(|(name, nodes)| match nodes {
            Some(_) => json!({ "metadata": { "name": name }, "status": { "nodes": names(nodes) } }),
            None => json!({ "metadata": { "name": name } }),
        });
        let buckets = self.pools.iter().map(|(name, nodes)| {
            let nodes: Vec<Value> = names(nodes)
                .iter()
                .map(|node| {
                    json!({
                        "name": node,
                    })
                })
                .collect();
            json!({
                "metadata": {
                    "name": format!("{name}-bucket"),
                    "labels": { "openyurt.io/pool-name": name },
                },
                "nodes": nodes,
            })
        });
        let (pools, buckets) = (pools.collect(), buckets.collect());
        self.tell("/apis/apps.openyurt.io/v1beta2/nodepools", pools);
        self.tell("/apis/apps.openyurt.io/v1alpha1/nodebuckets", buckets);
    }

    /// Feeds a list, each item at a version of its own.
    fn tell(&mut self, path: &str, mut items: Vec<Value>) {
        self.version += 1;
        let version = self.version.to_string();
        items
            .iter_mut()
            .for_each(|item| item["metadata"]["resourceVersion"] = version.clone().into());
        let list = json!({ "metadata": { "resourceVersion": version }, "items": items });
        let mut feed = self
            .cluster
            .read_facts(&RequestHead::get(path), &ResponseHead::ok("application/json"))
            .unwrap();
        feed.push(list.to_string().as_bytes()).unwrap();
        feed.finish().unwrap();
    }
}

/// Tests run on both wires: says on which one a test failed.
impl Drop for Facts {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in {:?}", self.encoding);
        }
    }
}

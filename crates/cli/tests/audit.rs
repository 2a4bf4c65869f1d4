//! `poolscope audit`: a healthy cluster, one change for each code, and one that looks like it.

mod command;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::command::{recorded, run};

const KEYS: &str = "openyurt.io/topologyKeys";
const POOL: &str = "openyurt.io/nodepool";
const LABEL: &str = "apps.openyurt.io/nodepool";

/// A cluster without findings: two pools of two nodes, and a Service with an endpoint on each node.
struct World {
    config: Value,
    /// The labels of each node.
    nodes: BTreeMap<String, Value>,
    /// The nodes of each NodePool.
    pools: BTreeMap<String, Vec<String>>,
    service: Value,
    /// Address, node and readiness of each endpoint of the Service.
    endpoints: Vec<(String, Option<String>, bool)>,
    others: Vec<Value>,
}

impl World {
    fn new() -> World {
        let nodes = ["a1", "a2", "b1", "b2"];
        let pool = |node: &str| node[..1].to_owned();
        let mut pools: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for node in nodes {
            pools.entry(pool(node)).or_default().push(node.to_owned());
        }
        World {
            config: json!({"onMissingFact": {"unknownService": "empty", "unknownPool": "empty"}}),
            nodes: nodes.map(|node| (node.to_owned(), json!({LABEL: pool(node)}))).into(),
            pools,
            service: json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"namespace": "shop", "name": "web", "annotations": {KEYS: POOL}},
                "spec": {
                    "type": "ClusterIP",
                    "clusterIP": "10.96.0.1",
                    "clusterIPs": ["10.96.0.1"],
                    "selector": {"app": "web"},
                    "ports": [{"port": 80, "protocol": "TCP"}],
                },
            }),
            endpoints: nodes
                .iter()
                .enumerate()
                .map(|(at, node)| (format!("10.1.0.{at}"), Some((*node).to_owned()), true))
                .collect(),
            others: Vec::new(),
        }
    }

    fn node(&mut self, name: &str, labels: Value) {
        self.nodes.insert(name.to_owned(), labels);
    }

    fn pool(&mut self, name: &str, nodes: &[&str]) {
        self.pools.insert(name.to_owned(), nodes.iter().map(|&node| node.to_owned()).collect());
    }

    fn annotate(&mut self, key: &str, value: &str) {
        self.service["metadata"]["annotations"][key] = value.into();
    }

    fn endpoint(&mut self, node: Option<&str>) {
        let address = format!("10.1.0.{}", self.endpoints.len());
        self.endpoints.push((address, node.map(str::to_owned), true));
    }

    /// Removes the endpoints on these nodes.
    fn stop(&mut self, nodes: &[&str]) {
        self.endpoints
            .retain(|(_, node, _)| !node.as_deref().is_some_and(|node| nodes.contains(&node)));
    }

    /// Runs the audit, and returns its status and output.
    fn audit(&self, options: &[&str]) -> (Option<i32>, String) {
        let folder = tempfile::tempdir().unwrap();
        let (facts, config) = self.write(folder.path());
        let args = [&["audit", "--facts", &facts, "--config", &config], options].concat();
        let output = run(&args, b"");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_ne!(output.stdout, b"", "{stderr}");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    /// Writes the cluster as `kubectl get` prints it.
    fn write(&self, folder: &Path) -> (String, String) {
        let mut items = self.others.clone();
        items.push(self.service.clone());
        for (name, labels) in &self.nodes {
            let metadata = json!({"name": name, "labels": labels});
            items.push(json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata}));
        }
        for (name, nodes) in &self.pools {
            items.push(json!({
                "apiVersion": "apps.openyurt.io/v1beta2",
                "kind": "NodePool",
                "metadata": {"name": name},
                "status": {"nodes": nodes},
            }));
        }
        let endpoints: Vec<Value> = self
            .endpoints
            .iter()
            .map(|(address, node, ready)| endpoint(address, node.as_deref(), *ready))
            .collect();
        items.push(slice("web-1", Some("web"), &endpoints));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        let write = |name: &str, value: &Value| {
            let path = folder.join(name);
            std::fs::write(&path, value.to_string()).unwrap();
            path.to_str().unwrap().to_owned()
        };
        (write("all.json", &list), write("config.json", &self.config))
    }

    /// Runs the audit, and returns its status and its output for programs.
    fn document(&self, options: &[&str]) -> (Option<i32>, Value) {
        let (status, output) = self.audit(&[options, &["-o", "json"]].concat());
        (status, serde_json::from_str(&output).unwrap())
    }

    fn findings(&self) -> Vec<Value> {
        let (_, document) = self.document(&[]);
        document["findings"].as_array().unwrap().clone()
    }
}

#[test]
fn a_failed_node_adds_the_pools_that_it_leaves_without_endpoints() {
    let mut world = World::new();
    world.stop(&["a1"]);
    let audit = |world: &World, options: &[&str]| {
        let (status, document) = world.document(options);
        let found = |finding: &Value| (finding["code"].clone(), finding["pools"].clone());
        let findings = document["findings"].as_array().unwrap().iter().map(found).collect();
        (status, findings, document)
    };
    let found = |all: &[(&str, &[&str])]| -> Vec<(Value, Value)> {
        all.iter().map(|(code, pools)| (json!(code), json!(pools))).collect()
    };
    let (status, findings, document) = audit(&world, &[]);
    assert_eq!((status, findings), (Some(0), found(&[("PS0005", &["a"])])));
    assert_eq!(document["withoutNodes"], json!([]));
    // Other pools are as they were.
    let (status, findings, document) = audit(&world, &["--without-node", "a2"]);
    assert_eq!((status, findings), (Some(1), found(&[("PS0001", &["a"])])));
    assert_eq!(document["withoutNodes"], json!(["a2"]));
    assert_eq!(document["findings"][0]["message"], {
        "no usable endpoint in a (1 node); ready endpoints: b (2)"
    });
    // The finding about the one endpoint is known.
    let (status, findings, _) = audit(&world, &["--without-node", "a1"]);
    assert_eq!((status, findings), (Some(0), found(&[])));
    let (status, findings, _) = audit(&world, &["--without-node", "b1"]);
    assert_eq!((status, findings), (Some(0), found(&[("PS0005", &["a", "b"])])));
    world.stop(&["a2"]);
    let (status, findings, _) = audit(&world, &["--without-node", "b1"]);
    assert_eq!((status, findings), (Some(0), found(&[("PS0005", &["b"])])));
    let both = ["--without-node", "b1", "--without-node", "b2"];
    let (status, findings, _) = audit(&world, &both);
    assert_eq!((status, findings), (Some(1), found(&[("PS0004", &[])])));
}

#[test]
fn several_endpoints_on_one_node_are_one_failure() {
    let mut world = World::new();
    world.endpoint(Some("b1"));
    // A pool of one node has no other clients.
    world.node("c1", json!({"apps.openyurt.io/nodepool": "c"}));
    world.pool("c", &["c1"]);
    world.endpoint(Some("c1"));
    world.endpoint(Some("c1"));
    world.stop(&["b2"]);
    let findings = world.findings();
    assert_eq!((&findings[0]["code"], findings.len()), (&json!("PS0005"), 1));
    assert_eq!(findings[0]["message"], "all ready endpoints on one node in b (2 on b1)");
    assert_eq!(findings[0]["pools"], json!(["b"]));
    // Both kinds are one finding.
    world.stop(&["a2"]);
    let expected = "one ready endpoint in a; all ready endpoints on one node in b (2 on b1)";
    assert_eq!(world.findings()[0]["message"], expected);
    assert_eq!(world.findings()[0]["pools"], json!(["a", "b"]));
}

#[test]
fn the_table_names_the_failed_node() {
    let mut world = World::new();
    world.stop(&["a1"]);
    let (_, output) = world.audit(&["--without-node", "a2"]);
    assert!(output.starts_with("New without node a2:\n\nERROR PS0001: "), "{output}");
    let folder = tempfile::tempdir().unwrap();
    let (facts, _) = world.write(folder.path());
    for (nodes, why) in [
        (&["a9"][..], "no Node a9 in the facts; check --without-node"),
        (&["a1", "a2", "b1", "b2"], "no node is left to judge for"),
    ] {
        let mut args = vec!["audit", "--facts", &facts];
        nodes.iter().for_each(|node| args.extend(["--without-node", node]));
        let output = run(&args, b"");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(why) && output.stdout.is_empty(), "{stderr}");
        assert_eq!(output.status.code(), Some(2));
    }
    let sarif = ["audit", "--facts", &facts, "--without-node", "a2", "-o", "sarif"];
    let output = run(&sarif, b"");
    assert!(String::from_utf8(output.stderr).unwrap().contains("SARIF"));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
}

/// The example of the docs, run as it stands there.
#[test]
fn the_docs_show_what_a_failed_node_changes() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/audit.md");
    let docs = std::fs::read_to_string(docs).unwrap().replace("\\\n", "");
    let (_, example) = docs.split_once("    $ poolscope ").unwrap();
    let (command, rest) = example.split_once('\n').unwrap();
    let (shown, _) = rest.split_once("\n## ").unwrap();
    let lines: Vec<&str> =
        shown.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
    let command = command.replace("tests/data/recorded/list", &recorded("list"));
    let output = run(&command.split_whitespace().collect::<Vec<_>>(), b"");
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), lines.join("\n").trim_end());
}

/// A service keyed by node loses nothing when another node fails.
#[test]
fn a_failed_node_takes_nothing_from_services_of_nodes() {
    let mut world = World::new();
    world.annotate(KEYS, "kubernetes.io/hostname");
    world.stop(&["b2"]);
    assert_eq!(world.findings()[0]["code"], "PS0002");
    let (status, document) = world.document(&["--without-node", "a1"]);
    assert_eq!((status, &document["findings"]), (Some(0), &json!([])), "{document}");
}

fn endpoint(address: &str, node: Option<&str>, ready: bool) -> Value {
    json!({"addresses": [address], "nodeName": node, "conditions": {"ready": ready}})
}

fn slice(name: &str, service: Option<&str>, endpoints: &[Value]) -> Value {
    let labels = service.map(|service| json!({"kubernetes.io/service-name": service}));
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": "shop", "name": name, "labels": labels},
        "addressType": "IPv4",
        "ports": [{"port": 8080, "protocol": "TCP", "name": ""}],
        "endpoints": endpoints,
    })
}

fn kubernetes(annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": "kubernetes", "annotations": annotations},
        "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.2", "ports": [{"port": 443}]},
    })
}

fn bucket(name: &str, labels: Value, nodes: &[&str]) -> Value {
    let nodes: Vec<Value> = nodes.iter().map(|node| json!({"name": node})).collect();
    json!({
        "apiVersion": "apps.openyurt.io/v1alpha1",
        "kind": "NodeBucket",
        "metadata": {"name": name, "labels": labels},
        "nodes": nodes,
    })
}

fn redirect(service: &str) -> Value {
    json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumLocalRedirectPolicy",
        "metadata": {"namespace": "shop", "name": "local"},
        "spec": {
            "redirectFrontend": {
                "serviceMatcher": {"namespace": "shop", "serviceName": service},
            },
        },
    })
}

fn remove_key(world: &mut World) {
    world.service["metadata"]["annotations"] = json!({});
}

fn buckets(world: &mut World, label: &str) {
    world.config["membership"] = "nodeBucket".into();
    let name = "openyurt.io/pool-name";
    world.others.push(bucket("a-1", json!({name: "a"}), &["a1", "a2"]));
    world.others.push(bucket("b-1", json!({name: "b"}), &["b1"]));
    world.others.push(bucket("b-2", json!({label: "b"}), &["b2"]));
}

fn node_ports(world: &mut World, list: &str, is_on: bool) {
    world.service["spec"]["type"] = "NodePort".into();
    world.annotate("nodeport.openyurt.io/listen", list);
    world.config["rewrites"] = json!({"nodePortIsolation": is_on});
}

fn superedge(world: &mut World, keys: &str) {
    remove_key(world);
    world.config["dialect"] = "superedge".into();
    world.annotate("topologyKeys", keys);
}

fn fallback(world: &mut World, value: &str, is_on: bool) {
    world.annotate(KEYS, value);
    world.config["topologyFallback"] = is_on.into();
}

type Change = fn(&mut World);

/// A code, a change that fires it, part of its message, and a change like it that does not.
const CASES: &[(&str, Change, &str, Change)] = &[
    (
        "PS0001",
        |world| world.stop(&["b1", "b2"]),
        "no usable endpoint in b (2 nodes); ready endpoints: a (2)",
        |world| world.stop(&["b1"]),
    ),
    (
        "PS0002",
        |world| {
            world.annotate(KEYS, "kubernetes.io/hostname");
            world.stop(&["b2"]);
        },
        "1 of 4 nodes have no backend on themselves: b2",
        |world| world.annotate(KEYS, "kubernetes.io/hostname"),
    ),
    (
        "PS0003",
        |world| world.node("c1", json!({})),
        "1 node: c1",
        |world| {
            world.node("c1", json!({}));
            world.endpoint(Some("c1"));
        },
    ),
    (
        "PS0004",
        |world| world.endpoints.iter_mut().for_each(|endpoint| endpoint.2 = false),
        "none of its 4 endpoints is ready",
        |world| world.endpoints.iter_mut().skip(1).for_each(|endpoint| endpoint.2 = false),
    ),
    (
        "PS0005",
        |world| world.stop(&["b2"]),
        "one ready endpoint in b",
        |world| {
            world.stop(&["b1", "b2"]);
        },
    ),
    (
        "PS0006",
        |world| world.endpoint(None),
        "1 endpoint: 10.1.0.4",
        |world| {
            world.endpoint(None);
            remove_key(world);
        },
    ),
    (
        "PS0007",
        |world| world.endpoint(Some("gone")),
        "no such node: gone",
        |world| {
            world.endpoint(Some("gone"));
            remove_key(world);
        },
    ),
    (
        "PS0101",
        |world| {
            remove_key(world);
            world.annotate("openyurt.io/topologykeys", POOL);
        },
        "\"openyurt.io/topologykeys\" is not read; did you mean openyurt.io/topologyKeys?",
        |world| {
            world.annotate("openyurt.io/update-trigger", "1700000000");
            world.annotate("openyurt.io/topology", POOL);
            world.annotate("example.com/topology-keys", POOL);
        },
    ),
    (
        "PS0102",
        |world| world.annotate(KEYS, "openyurt.io/node-pool"),
        "did you mean openyurt.io/nodepool?",
        |world| world.annotate(KEYS, "*"),
    ),
    (
        "PS0103",
        |world| {
            remove_key(world);
            world.annotate("apps.kubeedge.io/service-topology", "range-nodegroup");
        },
        "the configured dialect reads openyurt.io/topologyKeys",
        |world| world.annotate("apps.kubeedge.io/service-topology", "range-nodegroup"),
    ),
    (
        "PS0104",
        |world| fallback(world, "openyurt.io/nodepool,*", false),
        "has several keys",
        |world| fallback(world, "openyurt.io/nodepool,*", true),
    ),
    (
        "PS0105",
        |world| fallback(world, "openyurt.io/nodepol,*", true),
        "\"openyurt.io/nodepol\" is not known; did you mean openyurt.io/nodepool?",
        |world| fallback(world, "openyurt.io/nodepool, *", true),
    ),
    (
        "PS0106",
        |world| node_ports(world, "a", false),
        "rewrites.nodePortIsolation is off",
        |world| {
            node_ports(world, "a", true);
            world.annotate("svc.openyurt.io/discard", "false");
        },
    ),
    (
        "PS0107",
        |world| node_ports(world, "a, -x", true),
        "no node is in a pool named x",
        |world| node_ports(world, "a, -b,*", true),
    ),
    (
        "PS0108",
        |world| superedge(world, r#"["zone"]"#),
        "no Node has zone",
        |world| superedge(world, r#"["apps.openyurt.io/nodepool"]"#),
    ),
    (
        "PS0201",
        |world| {
            world.service["spec"] = json!({"type": "ExternalName", "externalName": "example.com"});
            world.endpoints.clear();
        },
        "ExternalName",
        |world| {
            remove_key(world);
            world.service["spec"] = json!({"type": "ExternalName", "externalName": "example.com"});
            world.endpoints.clear();
        },
    ),
    (
        "PS0202",
        |world| world.service["spec"]["selector"] = Value::Null,
        "spec.selector is empty",
        |world| {
            remove_key(world);
            world.service["spec"]["selector"] = Value::Null;
        },
    ),
    (
        "PS0203",
        |world| {
            world.service["spec"]["clusterIP"] = "None".into();
            world.service["spec"]["clusterIPs"] = json!(["None"]);
        },
        "clusterIP is None",
        |world| {
            remove_key(world);
            world.service["spec"]["clusterIP"] = "None".into();
            world.service["spec"]["clusterIPs"] = json!(["None"]);
        },
    ),
    (
        "PS0204",
        |world| world.config["rewrites"] = json!({"serviceTopology": false}),
        "1 Service has topology keys, and rewrites.serviceTopology is off",
        |world| {
            remove_key(world);
            world.config["rewrites"] = json!({"serviceTopology": false});
        },
    ),
    (
        "PS0205",
        |world| world.others.push(kubernetes(&json!({KEYS: POOL}))),
        "API servers",
        |world| world.others.push(kubernetes(&json!({}))),
    ),
    (
        "PS0206",
        |world| world.config["membership"] = "off".into(),
        "1 Service has topology keys, and membership is off",
        |world| {
            world.config["membership"] = "off".into();
            world.annotate(KEYS, "kubernetes.io/hostname");
        },
    ),
    (
        "PS0301",
        |world| world.annotate("service.cilium.io/global", "true"),
        "affinity none",
        |world| world.annotate("service.cilium.io/global", "false"),
    ),
    (
        "PS0302",
        |world| world.others.push(redirect("web")),
        "CiliumLocalRedirectPolicy shop/local redirects it",
        |world| world.others.push(redirect("other")),
    ),
    (
        "PS0303",
        |world| world.service["spec"]["trafficDistribution"] = "PreferClose".into(),
        "trafficDistribution: PreferClose",
        |world| world.annotate("service.kubernetes.io/topology-mode", "Disabled"),
    ),
    (
        "PS0304",
        |world| world.service["spec"]["internalTrafficPolicy"] = "Local".into(),
        "internalTrafficPolicy is Local",
        |world| world.service["spec"]["externalTrafficPolicy"] = "Local".into(),
    ),
    (
        "PS0305",
        |world| world.annotate("service.cilium.io/node", "edge"),
        "service.cilium.io/node: edge",
        |world| world.annotate("service.cilium.io/type", "LoadBalancer"),
    ),
    (
        "PS0401",
        |world| world.node("c1", json!({LABEL: ""})),
        "1 node: c1",
        |world| {
            world.node("c1", json!({LABEL: "a"}));
            world.pool("a", &["a1", "a2", "c1"]);
        },
    ),
    (
        "PS0402",
        |world| world.pool("b", &["b1", "b2", "a1"]),
        "it is listed by a, b",
        |world| world.pool("b", &["b1", "b2", "b2"]),
    ),
    (
        "PS0403",
        |world| world.pool("b", &["b1"]),
        "the label of 1 node names it: b2",
        |world| {
            world.pool("b", &["b1"]);
            world.nodes.remove("b2");
            world.stop(&["b2"]);
        },
    ),
    (
        "PS0404",
        |world| world.node("b2", json!({})),
        "no label apps.openyurt.io/nodepool: b2",
        |world| {
            world.node("b2", json!({}));
            world.pool("b", &["b1"]);
        },
    ),
    (
        "PS0405",
        |world| world.node("b2", json!({"apps.openyurt.io/desired-nodepool": "b"})),
        "only apps.openyurt.io/desired-nodepool: b2",
        |world| {
            world.node("b2", json!({LABEL: "b", "apps.openyurt.io/desired-nodepool": "b"}));
        },
    ),
    (
        "PS0406",
        |world| world.pool("c", &[]),
        "it lists no node",
        |world| {
            world.pool("c", &["a1"]);
        },
    ),
    (
        "PS0407",
        |world| world.node("b2", json!({LABEL: "x"})),
        "no NodePool x, but a label of b2",
        |world| {
            world.node("b2", json!({LABEL: "x"}));
            world.pool("x", &["b2"]);
        },
    ),
    (
        "PS0408",
        |world| world.pool("b", &["b1", "b2", "gone"]),
        "no such Node: gone",
        |world| {
            world.pool("b", &["b1", "b2", "b3"]);
            world.node("b3", json!({LABEL: "b"}));
        },
    ),
    (
        "PS0409",
        |world| buckets(world, "pool-name"),
        "no label openyurt.io/pool-name; 1 node",
        |world| buckets(world, "openyurt.io/pool-name"),
    ),
    (
        "PS0501",
        |world| {
            let endpoints = [endpoint("10.1.0.9", Some("a1"), true)];
            world.others.push(slice("gone-1", Some("gone"), &endpoints));
        },
        "1 slice with 1 endpoint",
        |world| world.others.push(slice("gone-1", Some("gone"), &[])),
    ),
    (
        "PS0502",
        |world| {
            let endpoints = [endpoint("10.1.0.9", Some("a1"), true)];
            world.others.push(slice("lost", None, &endpoints));
        },
        "1 slice: lost",
        |world| world.others.push(slice("lost", None, &[])),
    ),
    (
        "PS0503",
        |world| {
            world.others.push(json!({
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": {"namespace": "shop", "name": "web"},
            }));
        },
        "1 Service with topology keys",
        |world| {
            world.others.push(json!({
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": {"namespace": "shop", "name": "leader"},
            }));
        },
    ),
    (
        "PS0601",
        |world| world.config = json!({"onMissingFact": {"unknownPool": "empty"}}),
        "pass for unknownService in onMissingFact",
        remove_key,
    ),
];

#[test]
fn a_healthy_cluster_has_no_findings() {
    assert_eq!(World::new().findings(), Vec::<Value>::new());
    let (status, output) = World::new().audit(&[]);
    assert_eq!(status, Some(0));
    assert_eq!(
        output,
        "0 errors, 0 warnings, 0 info: 1 Service, 1 with topology keys, in 2 pools.\n"
    );
}

#[test]
fn each_code_has_a_change_that_fires_it_and_one_that_does_not() {
    for (code, change, message, near) in CASES {
        let mut world = World::new();
        change(&mut world);
        let findings = world.findings();
        let fired: Vec<&Value> =
            findings.iter().filter(|finding| finding["code"] == *code).collect();
        assert_eq!(fired.len(), 1, "{code}: {findings:#?}");
        let text = fired[0]["message"].as_str().unwrap();
        assert!(text.contains(message), "{code}: {text}");
        let mut world = World::new();
        near(&mut world);
        let findings = world.findings();
        assert!(findings.iter().all(|finding| finding["code"] != *code), "{code}: {findings:#?}");
    }
}

/// The codes that the command has, with their levels.
fn rules() -> BTreeMap<String, String> {
    let (_, output) = World::new().audit(&["-o", "sarif"]);
    let log: Value = serde_json::from_str(&output).unwrap();
    let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rule = |rule: &Value| (text(&rule["id"]), text(&rule["defaultConfiguration"]["level"]));
    rules.iter().map(rule).collect()
}

#[test]
fn each_code_has_a_case_and_a_section_in_the_docs() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/audit.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let sections: BTreeSet<&str> =
        docs.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let rules = rules();
    let codes: BTreeSet<&str> = rules.keys().map(String::as_str).collect();
    assert_eq!(sections, codes);
    assert_eq!(CASES.iter().map(|(code, ..)| *code).collect::<BTreeSet<_>>(), codes);
    for (code, level) in &rules {
        let level = level.replace("note", "info");
        let row = format!("| [{code}](#{}) | {level} |", code.to_lowercase());
        assert!(docs.contains(&row), "{row}");
    }
}

#[test]
fn thresholds_choose_the_lines_and_the_status() {
    let mut world = World::new();
    // One info and no more.
    world.stop(&["b2"]);
    assert_eq!(world.audit(&[]).0, Some(0));
    assert_eq!(world.audit(&["--failure-threshold", "warning"]).0, Some(0));
    let (status, output) = world.audit(&["--failure-threshold", "info"]);
    assert_eq!(status, Some(1));
    assert!(output.contains("INFO PS0005"), "{output}");
    // Findings that are not printed still count.
    let options = ["--failure-threshold", "info", "--output-threshold", "warning"];
    let (status, output) = world.audit(&options);
    assert_eq!(status, Some(1));
    assert!(!output.contains("PS0005") && output.contains("(1 not shown)"), "{output}");
    world.stop(&["b1"]);
    assert_eq!(world.audit(&[]).0, Some(1));
    assert_eq!(world.audit(&["--failure-threshold", "never"]).0, Some(0));
}

#[test]
fn a_baseline_leaves_out_what_an_earlier_run_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accepted.json");
    let accept = |world: &World, options: &[&str]| {
        let (_, output) = world.audit(&[&["-o", "json"], options].concat());
        std::fs::write(&path, output).unwrap();
    };
    let baseline = ["--baseline", path.to_str().unwrap()];
    let new = |world: &World| {
        let (status, document) = world.document(&baseline);
        let findings = document["findings"].as_array().unwrap().iter();
        let of = |finding: &Value| format!("{} {}", finding["code"], finding["pools"]);
        (status, findings.map(of).collect::<Vec<_>>())
    };
    let mut world = World::new();
    world.node("c1", json!({LABEL: "c"}));
    world.pool("c", &["c1"]);
    world.pool("d", &[]);
    world.stop(&["b1", "b2"]);
    accept(&world, &[]);
    assert_eq!(world.audit(&[]).0, Some(1));
    assert_eq!(new(&world), (Some(0), vec![]));
    let (_, output) = world.audit(&baseline);
    assert!(output.contains("0 info (2 in the baseline): "), "{output}");
    // Other numbers in the message are no news, nor is what is better now.
    world.node("c2", json!({LABEL: "c"}));
    world.pool("c", &["c1", "c2"]);
    assert_eq!(new(&world), (Some(0), vec![]));
    world.endpoint(Some("b1"));
    world.endpoint(Some("b2"));
    assert_eq!(new(&world), (Some(0), vec![]));
    // One more pool and one more object are.
    world.stop(&["a1", "a2"]);
    world.pool("e", &[]);
    let both = [r#""PS0001" ["a","c"]"#, r#""PS0406" []"#].map(str::to_owned);
    assert_eq!(new(&world), (Some(1), both.to_vec()));
    // A finding that is about no pool says in its message what it is about.
    let mut world = World::new();
    world.node("x1", json!({}));
    accept(&world, &[]);
    assert_eq!(new(&world), (Some(0), vec![]));
    world.node("x2", json!({}));
    let both = ["PS0003", "PS0401"].map(|code| format!("\"{code}\" []"));
    assert_eq!(new(&world), (Some(0), both.to_vec()));

    // A pool that has lost one address of a Service may lose another one.
    let mut world = World::new();
    world.service["spec"]["clusterIPs"] = json!(["10.96.0.1", "fd00::1"]);
    let six = [endpoint("fd00:1::1", Some("a1"), true), endpoint("fd00:1::2", Some("a2"), true)];
    let mut six = slice("web-6", Some("web"), &six);
    six["addressType"] = "IPv6".into();
    world.others.push(six);
    let findings = world.findings();
    assert_eq!(findings[0]["frontends"], json!(["[fd00::1]:80/TCP"]));
    accept(&world, &[]);
    assert_eq!(new(&world), (Some(0), vec![]));
    world.stop(&["b1", "b2"]);
    assert_eq!(new(&world), (Some(1), vec![r#""PS0001" ["b"]"#.to_owned()]));

    // The baseline of a failure is of the same nodes.
    let world = World::new();
    accept(&world, &["--without-node", "a1"]);
    let of_failure = |nodes: &[&str]| {
        let mut options = baseline.to_vec();
        nodes.iter().for_each(|node| options.extend(["--without-node", node]));
        let facts = tempfile::tempdir().unwrap();
        let (facts, config) = world.write(facts.path());
        let args = [&["audit", "--facts", &facts, "--config", &config], &*options].concat();
        let output = run(&args, b"");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(of_failure(&["a1", "a1"]).0, Some(0));
    for (nodes, now) in [(&[][..], "no node"), (&["a1", "a2"], "a1, a2")] {
        let (status, stderr) = of_failure(nodes);
        assert_eq!(status, Some(2));
        let what = format!("made --without-node of a1, and this run is of {now}");
        assert!(stderr.contains(&what), "{stderr}");
    }
    std::fs::write(&path, "{}").unwrap();
    let (status, stderr) = of_failure(&[]);
    assert_eq!(status, Some(2));
    assert!(stderr.contains("not the output of `poolscope audit -o json`"), "{stderr}");
}

#[test]
fn a_namespace_limits_services_and_not_pools() {
    let mut world = World::new();
    world.stop(&["b1", "b2"]);
    world.pool("c", &[]);
    let mut other = kubernetes(&json!({}));
    other["metadata"] = json!({"namespace": "other", "name": "api"});
    world.others.push(other);
    let codes = |options: &[&str]| {
        let (_, document) = world.document(options);
        let findings = document["findings"].as_array().unwrap().clone();
        findings.iter().map(|each| each["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes(&["-n", "shop"]), ["PS0001", "PS0406"]);
    assert_eq!(codes(&["-n", "other"]), ["PS0406"]);
    let folder = tempfile::tempdir().unwrap();
    let (facts, _) = world.write(folder.path());
    let verbs = [(&["audit"][..], 2), (&["view", "--node", "a1"], 1), (&["report", "-o", "-"], 1)];
    for (verb, status) in verbs {
        let output = run(&[verb, &["--facts", &facts, "-n", "othr"]].concat(), b"");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{verb:?}");
        assert!(stderr.contains("namespace othr has no Service in the facts"), "{stderr}");
    }
}

#[test]
fn an_outage_that_grows_keeps_its_level_and_gets_other_fingerprints() {
    let results = |world: &World| {
        let (status, output) = world.audit(&["-o", "sarif"]);
        let log: Value = serde_json::from_str(&output).unwrap();
        let results = log["runs"][0]["results"].as_array().unwrap().clone();
        let errors = results.into_iter().filter(|result| result["level"] == "error");
        let prints = errors.map(|result| result["partialFingerprints"].clone()).collect::<Vec<_>>();
        assert_eq!(status, Some(1));
        prints
    };
    let mut world = World::new();
    world.node("c1", json!({LABEL: "c"}));
    world.pool("c", &["c1"]);
    let one = results(&world);
    world.stop(&["b1", "b2"]);
    let two = results(&world);
    assert!(one.len() == 1 && two.len() == 1 && one != two, "{one:?} {two:?}");
    world.stop(&["a1", "a2"]);
    let all = results(&world);
    assert!(all.len() == 1 && all != two, "{all:?}");
    let (_, document) = world.document(&[]);
    assert_eq!(document["summary"]["filteredServices"], 1);
    assert_eq!(document["findings"][0]["message"], "it has no endpoints");
}

/// IPv4 endpoints on a2 and b1, and one of IPv6 on a1.
fn with_two_families() -> World {
    let mut world = World::new();
    world.service["spec"]["clusterIPs"] = json!(["10.96.0.1", "fd00::1"]);
    let mut six = slice("web-6", Some("web"), &[endpoint("fd00:1::1", Some("a1"), true)]);
    six["addressType"] = "IPv6".into();
    world.others.push(six);
    world.stop(&["a1", "b2"]);
    world
}

#[test]
fn findings_tell_some_addresses_from_all() {
    let mut world = with_two_families();
    let message = |world: &World, code: &str| {
        let findings = world.findings();
        let found = findings.iter().find(|finding| finding["code"] == code).cloned();
        found.unwrap_or_else(|| panic!("no {code}: {findings:#?}"))["message"].clone()
    };
    assert_eq!(
        message(&world, "PS0001"),
        "no usable endpoint for [fd00::1]:80/TCP in b (2 nodes); ready endpoints: a (2)"
    );
    world.annotate(KEYS, "kubernetes.io/hostname");
    assert_eq!(
        message(&world, "PS0002"),
        "1 of 4 nodes have no backend on themselves: b2; 3 have one for some addresses only: a1, \
         a2, b1"
    );
    // A node port is as empty as the other frontends.
    world.annotate(KEYS, POOL);
    world.service["spec"]["type"] = "NodePort".into();
    world.service["spec"]["ports"][0]["nodePort"] = 30080.into();
    world.others.clear();
    world.stop(&["b1"]);
    assert_eq!(
        message(&world, "PS0001"),
        "no usable endpoint in b (2 nodes); ready endpoints: a (1)"
    );
}

#[test]
fn a_failed_node_takes_single_addresses_too() {
    let world = with_two_families();
    let messages = |node: &str| -> Vec<Value> {
        let (_, document) = world.document(&["--without-node", node]);
        let findings = document["findings"].as_array().unwrap();
        findings.iter().map(|finding| finding["message"].clone()).collect()
    };
    // The pool lacked one address before, and lacks both now.
    assert_eq!(messages("b1"), ["no usable endpoint in b (1 node); ready endpoints: a (2)"]);
    // The only endpoint of an address goes from all pools.
    assert_eq!(
        messages("a1"),
        ["no usable endpoint for [fd00::1]:80/TCP in a (1 node), b (2 nodes); no pool has one \
         for each"]
    );
    assert_eq!(messages("b2"), [""; 0]);
}

#[test]
fn only_backends_count_as_ready() {
    let mut world = World::new();
    let mut odd = slice("web-2", Some("web"), &[endpoint("10.2.0.1", Some("b1"), true)]);
    odd["ports"] = json!([]);
    world.others.push(odd);
    world.stop(&["b2"]);
    let findings = world.findings();
    assert_eq!(findings[0]["message"], "one ready endpoint in b", "{findings:#?}");
    assert_eq!(findings[0]["pools"], json!(["b"]));
}

#[test]
fn the_same_facts_in_json_and_protobuf_have_the_same_findings() {
    let nodepools = recorded("list/nodepools-json.json");
    let findings = |form: &str| {
        let kinds = ["services", "nodes", "endpointslices"];
        let paths = kinds.map(|kind| recorded(&format!("list/{kind}-{form}")));
        let mut args = vec!["audit", "-o", "json", "--failure-threshold", "never", "--facts"];
        args.extend(paths.iter().map(String::as_str));
        args.push(&nodepools);
        let output = run(&args, b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let json = findings("json.json");
    assert_eq!(json, findings("proto.pb"));
    let codes: BTreeSet<&str> = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect();
    for code in ["PS0001", "PS0002", "PS0006", "PS0401", "PS0601"] {
        assert!(codes.contains(code), "{code} of {codes:?}");
    }
}

#[test]
fn the_output_for_programs_follows_its_schemas() {
    let read = |path: &str| -> Value {
        let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let mut schemas = boon::Schemas::new();
    let mut compile = |name: &str, schema: Value| {
        let mut compiler = boon::Compiler::new();
        compiler.add_resource(name, schema).unwrap();
        compiler.compile(name, &mut schemas).unwrap()
    };
    let own = compile("audit.json", read("../../docs/audit.schema.json"));
    // Its pattern of languages has a bracket too many, which only JavaScript permits.
    let sarif = read("tests/data/sarif/schema-2.1.0.json").to_string().replace("]?$", "$");
    let sarif: Value = serde_json::from_str(&sarif).unwrap();
    let sarif = compile("sarif.json", sarif);
    let mut worlds: Vec<World> = vec![World::new()];
    for (_, change, ..) in CASES {
        let mut world = World::new();
        change(&mut world);
        worlds.push(world);
    }
    for world in worlds {
        for (format, schema) in [("json", own), ("sarif", sarif)] {
            let output: Value = serde_json::from_str(&world.audit(&["-o", format]).1).unwrap();
            if let Err(error) = schemas.validate(&output, schema) {
                panic!("{format}: {error:#} {output:#}");
            }
        }
    }
    // The schemas refuse what is wrong.
    assert!(schemas.validate(&json!({"summary": {}, "findings": []}), own).is_err());
    assert!(schemas.validate(&json!({"version": "2.1.0"}), sarif).is_err());
}

#[test]
fn yaml_has_the_same_findings() {
    let mut world = World::new();
    world.stop(&["b1", "b2"]);
    let (_, output) = world.audit(&["-o", "yaml"]);
    assert!(output.contains("code: PS0001"), "{output}");
    assert!(output.starts_with("summary:") || output.starts_with("findings:"), "{output}");
}

#[test]
fn tables_fit_a_hundred_columns_and_obey_no_control_characters() {
    let mut world = World::new();
    for at in 0..40 {
        world.node(&format!("a-node-with-a-long-name-{at}"), json!({}));
    }
    world.annotate("service.cilium.io/node", "\u{1b}[31mred\u{7}");
    let (_, output) = world.audit(&[]);
    assert!(output.contains("and 35 more"), "{output}");
    assert!(output.contains("\\u{1b}[31mred"), "{output}");
    assert!(output.chars().all(|letter| letter == '\n' || !letter.is_control()), "{output}");
    assert!(output.lines().all(|line| line.chars().count() <= 100), "{output}");
}

#[test]
fn incomplete_facts_are_a_failure_and_no_finding() {
    for (paths, message) in [
        (&["services-json.json", "nodes-json.json", "nodepools-json.json"][..], "EndpointSlices"),
        (&["services-json.json", "nodes-json.json", "endpointslices-json.json"], "NodePool"),
        (&["services-json.json", "nodepools-json.json", "endpointslices-json.json"], "Nodes"),
    ] {
        let paths: Vec<String> =
            paths.iter().map(|path| recorded(&format!("list/{path}"))).collect();
        let mut args = vec!["audit", "--facts"];
        args.extend(paths.iter().map(String::as_str));
        let output = run(&args, b"");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]), "{stderr}");
        assert!(stderr.lines().last().unwrap().contains(message), "{stderr}");
    }
}

#[test]
fn addresses_of_one_family_are_a_black_hole_of_their_own() {
    let mut world = World::new();
    world.service["spec"]["clusterIPs"] = json!(["10.96.0.1", "fd00::1"]);
    let mut six = slice(
        "web-6",
        Some("web"),
        &[endpoint("fd00:1::1", Some("a1"), true), endpoint("fd00:1::2", Some("a2"), true)],
    );
    six["addressType"] = "IPv6".into();
    world.others.push(six);
    let findings = world.findings();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let message = findings[0]["message"].as_str().unwrap();
    assert!(
        message.contains("no usable endpoint for [fd00::1]:80/TCP in b (2 nodes)"),
        "{message}"
    );
}

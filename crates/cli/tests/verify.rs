//! `poolscope verify`: data planes, as real tools print them, against the views of nodes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Cilium's frontends of the Service `cart`, as `cilium-dbg bpf lb list -o json` prints them.
const FILTERED: &str = r#"{
    "10.96.0.10:80/TCP (0)": ["0.0.0.0:0 (3) (0) [ClusterIP, non-routable] "],
    "10.96.0.10:80/TCP (1)": ["10.1.1.1:8080/TCP (3) (1)"],
    "10.96.0.10:80/TCP (2)": ["10.1.1.2:8080/TCP (3) (2)"]
}"#;

struct World {
    folder: TempDir,
}

/// An endpoint: its address, node, and conditions as an EndpointSlice has them.
fn endpoint(address: &str, node: &str, conditions: &Value) -> Value {
    json!({"addresses": [address], "nodeName": node, "conditions": conditions})
}

fn service(name: &str, keys: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec["ports"].is_null() {
        spec["ports"] = json!([{"name": "web", "port": 80, "protocol": "TCP"}]);
    }
    json!({
        "apiVersion": "v1", "kind": "Service", "spec": spec,
        "metadata": {
            "name": name, "namespace": "shop", "annotations": {"openyurt.io/topologyKeys": keys},
        },
    })
}

fn slice(service: &str, family: &str, endpoints: &Value) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
        "metadata": {
            "name": format!("{service}-{family}"), "namespace": "shop",
            "labels": {"kubernetes.io/service-name": service},
        },
        "ports": [{"name": "web", "port": 8080, "protocol": "TCP"}], "endpoints": endpoints,
    })
}

const POOL: &str = "openyurt.io/nodepool";

impl World {
    /// Returns the nodes of [`World::of`], and the Service `cart` that keeps to the pool.
    fn new(objects: &[Value]) -> World {
        let ready = json!({"ready": true});
        let endpoints = json!([
            endpoint("10.1.1.1", "hz-1", &ready),
            endpoint("10.1.1.2", "hz-2", &ready),
            endpoint("10.1.2.1", "bj-1", &ready),
        ]);
        let mut all = vec![
            service("cart", POOL, &json!({"clusterIP": "10.96.0.10"})),
            slice("cart", "IPv4", &endpoints),
        ];
        all.extend(objects.iter().cloned());
        World::of(&all)
    }

    /// Returns two nodes in pool hangzhou, one in beijing and one in none, with other objects.
    fn of(objects: &[Value]) -> World {
        let node = |name: &str, pool: &str| {
            let labels = if pool.is_empty() { json!({}) } else { json!({POOL_LABEL: pool}) };
            let metadata = json!({"name": name, "labels": labels});
            json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata})
        };
        let pool = |name: &str, nodes: &[&str]| {
            json!({
                "apiVersion": "apps.openyurt.io/v1beta2", "kind": "NodePool",
                "metadata": {"name": name}, "status": {"nodes": nodes},
            })
        };
        let mut items = vec![
            node("hz-1", "hangzhou"),
            node("hz-2", "hangzhou"),
            node("bj-1", "beijing"),
            node("cloud-1", ""),
            pool("hangzhou", &["hz-1", "hz-2"]),
            pool("beijing", &["bj-1"]),
        ];
        items.extend(objects.iter().cloned());
        let world = World { folder: TempDir::new().unwrap() };
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        world.write("facts.json", &list.to_string());
        world
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn verify(&self, node: &str, arguments: &[&str]) -> Report {
        verify(&self.folder.path().join("facts.json"), node, arguments)
    }

    /// Compares a data plane with the view of hz-1.
    fn held(&self, text: &str) -> Report {
        let held = self.write("held", text);
        self.verify("hz-1", &["--from", held.to_str().unwrap()])
    }
}

const POOL_LABEL: &str = "apps.openyurt.io/nodepool";

/// The result of a run with `-o json`.
struct Report {
    output: Output,
    document: Value,
}

fn run(facts: &Path, node: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_poolscope"))
        .args(["verify", "--node", node, "--facts"])
        .arg(facts)
        .args(arguments)
        .output()
        .unwrap()
}

fn verify(facts: &Path, node: &str, arguments: &[&str]) -> Report {
    let mut all = vec!["-o", "json"];
    all.extend(arguments);
    let output = run(facts, node, &all);
    let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Report { output, document }
}

impl Report {
    fn status(&self) -> i32 {
        self.output.status.code().unwrap()
    }

    fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    fn plane(&self) -> &Value {
        &self.document["dataPlanes"][0]
    }

    /// The differences as `FRONTEND: VERDICT BACKEND NODE POOLS`.
    fn differences(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let mut lines = Vec::new();
        for plane in self.document["dataPlanes"].as_array().expect("a document") {
            for difference in plane["differences"].as_array().unwrap() {
                for finding in difference["backends"].as_array().unwrap() {
                    let pools = finding["pools"].as_array().unwrap().iter().map(text);
                    lines.push(format!(
                        "{}: {} {} {} {}",
                        text(&difference["frontend"]),
                        text(&finding["verdict"]),
                        text(&finding["backend"]),
                        text(&finding["node"]),
                        pools.collect::<Vec<_>>().join(",")
                    ));
                }
            }
        }
        lines
    }

    #[track_caller]
    fn is_clean(&self, compared: u64) {
        assert_eq!(self.differences(), [] as [&str; 0], "{}", self.stderr());
        assert_eq!((self.status(), &self.document["clean"]), (0, &json!(true)));
        assert_eq!(self.plane()["compared"], compared, "{}", self.plane());
    }

    #[track_caller]
    fn differs(&self, expected: &[&str]) {
        assert_eq!(self.differences(), expected, "{}", self.stderr());
        assert_eq!((self.status(), &self.document["clean"]), (1, &json!(false)));
        let stderr = self.stderr();
        let lines: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("facts: ")).collect();
        assert_eq!(lines.len(), 1, "{stderr}");
        assert!(lines[0].starts_with("poolscope: node "), "{stderr}");
    }
}

/// Cilium's agent names each frontend with its Service and the states of its backends.
fn agent_service(address: [&str; 3], flags: &Value, backends: &[[&str; 3]]) -> Value {
    let [ip, port, protocol] = address;
    let backends: Vec<Value> = backends
        .iter()
        .map(|[ip, state, node]| {
            json!({"ip": ip, "port": 8080, "protocol": "TCP", "state": state, "nodeName": node})
        })
        .collect();
    let spec = json!({
        "frontend-address": {
            "ip": ip, "port": port.parse::<u16>().unwrap(), "protocol": protocol,
            "scope": "external",
        },
        "backend-addresses": backends, "flags": flags,
    });
    json!({"spec": spec, "status": {"realized": spec}})
}

fn cluster_ip(flags: &Value, backends: &[[&str; 3]]) -> String {
    let mut all = json!({"type": "ClusterIP", "namespace": "shop", "name": "cart"});
    for (name, value) in flags.as_object().unwrap() {
        all[name] = value.clone();
    }
    json!([agent_service(["10.96.0.10", "80", "TCP"], &all, backends)]).to_string()
}

const OWN: [[&str; 3]; 2] = [["10.1.1.1", "active", "hz-1"], ["10.1.1.2", "active", "hz-2"]];

#[test]
fn a_filtered_agent_holds_its_nodes_view() {
    let world = World::new(&[]);
    world.held(FILTERED).is_clean(1);
    world.held(&cluster_ip(&json!({}), &OWN)).is_clean(1);
    let table = run(
        &world.folder.path().join("facts.json"),
        "hz-1",
        &["--from", world.write("held", FILTERED).to_str().unwrap()],
    );
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.starts_with("The data plane of node hz-1 (pool hangzhou):\n"), "{table}");
    assert!(table.contains("1 compared, 1 as expected, 0 with 0 leak"), "{table}");
}

#[test]
fn a_leak_is_named_with_its_backend_node_pool_and_cause() {
    let world = World::new(&[]);
    let all =
        FILTERED.replace("\n}", ",\n\"10.96.0.10:80/TCP (3)\": [\"10.1.2.1:8080/TCP (3) (3)\"]\n}");
    let report = world.held(&all);
    report.differs(&["10.96.0.10:80/TCP: leak 10.1.2.1:8080 bj-1 beijing"]);
    assert!(report.stderr().contains("the agent does not go through poolscope"));
    let difference = &report.plane()["differences"][0];
    assert_eq!([&difference["namespace"], &difference["name"]], ["shop", "cart"]);
    assert_eq!(difference["backends"][0]["rule"], "O7");
    let table = run(
        &world.folder.path().join("facts.json"),
        "hz-1",
        &["--from", world.write("held", &all).to_str().unwrap()],
    );
    let table = String::from_utf8(table.stdout).unwrap();
    for part in ["10.96.0.10:80/TCP ClusterIP shop/cart", "10.1.2.1:8080", "bj-1", "beijing"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    // For a node of pool beijing the same map lacks nothing, and two backends are too many.
    let held = world.write("held", &all);
    world.verify("bj-1", &["--from", held.to_str().unwrap()]).differs(&[
        "10.96.0.10:80/TCP: leak 10.1.1.1:8080 hz-1 hangzhou",
        "10.96.0.10:80/TCP: leak 10.1.1.2:8080 hz-2 hangzhou",
    ]);
}

#[test]
fn one_leak_among_filtered_frontends_has_another_cause() {
    let ready = json!({"ready": true});
    let world = World::new(&[
        service("till", POOL, &json!({"clusterIP": "10.96.0.11"})),
        slice(
            "till",
            "IPv4",
            &json!([endpoint("10.1.1.3", "hz-1", &ready), endpoint("10.1.2.3", "bj-1", &ready)]),
        ),
    ]);
    let report = world.held(
        r#"{
        "10.96.0.10:80/TCP (1)": ["10.1.1.1:8080/TCP (3) (1)"],
        "10.96.0.10:80/TCP (2)": ["10.1.1.2:8080/TCP (3) (2)"],
        "10.96.0.10:80/TCP (3)": ["10.1.2.1:8080/TCP (3) (3)"],
        "10.96.0.11:80/TCP (1)": ["10.1.1.3:8080/TCP (4) (1)"]
    }"#,
    );
    report.differs(&["10.96.0.10:80/TCP: leak 10.1.2.1:8080 bj-1 beijing"]);
    assert!(report.stderr().contains("1 of 2 frontends are filtered"), "{}", report.stderr());
}

#[test]
fn missing_and_unknown_backends_and_frontends_are_found() {
    let world = World::new(&[]);
    let one = r#"{"10.96.0.10:80/TCP (1)": ["10.1.1.1:8080/TCP (3) (1)"]}"#;
    world.held(one).differs(&["10.96.0.10:80/TCP: missing 10.1.1.2:8080 hz-2 hangzhou"]);
    let none = r#"{"10.96.0.10:80/TCP (0)": ["0.0.0.0:0 (3) (0) [ClusterIP, non-routable] "]}"#;
    world.held(none).differs(&[
        "10.96.0.10:80/TCP: missing 10.1.1.1:8080 hz-1 hangzhou",
        "10.96.0.10:80/TCP: missing 10.1.1.2:8080 hz-2 hangzhou",
    ]);
    let strange = FILTERED.replace("10.1.1.2:8080", "10.9.9.9:8080");
    world.held(&strange).differs(&[
        "10.96.0.10:80/TCP: unknown 10.9.9.9:8080 - ",
        "10.96.0.10:80/TCP: missing 10.1.1.2:8080 hz-2 hangzhou",
    ]);
    let port = FILTERED.replace("10.1.1.2:8080", "10.1.1.2:9090");
    world.held(&port).differs(&[
        "10.96.0.10:80/TCP: unknown 10.1.1.2:9090 hz-2 hangzhou",
        "10.96.0.10:80/TCP: missing 10.1.1.2:8080 hz-2 hangzhou",
    ]);
    let dangling = FILTERED.replace("10.1.1.2:8080/TCP (3) (2)", "backend 7 not found");
    world.held(&dangling).differs(&[
        "10.96.0.10:80/TCP: unknown backend 7 - ",
        "10.96.0.10:80/TCP: missing 10.1.1.2:8080 hz-2 hangzhou",
    ]);
    // A data plane that has other frontends, and not this one.
    let other = r#"{"10.96.0.99:80/TCP (1)": ["10.1.1.1:8080/TCP (3) (1)"]}"#;
    world.held(other).differs(&[
        "10.96.0.10:80/TCP: missing 10.1.1.1:8080 hz-1 hangzhou",
        "10.96.0.10:80/TCP: missing 10.1.1.2:8080 hz-2 hangzhou",
    ]);
}

#[test]
fn older_and_odd_forms_of_the_maps_are_read() {
    let world = World::new(&[]);
    for text in [
        // Without protocols, and all slots in one list.
        r#"{"10.96.0.10:80": ["0.0.0.0:0 (3) (0) [ClusterIP, non-routable]",
            "10.1.1.1:8080 (3) (1)", "10.1.1.2:8080 (3) (2)"]}"#,
        r#"{"10.96.0.10:80/ANY (1)": ["10.1.1.1:8080/ANY (3) (1)"],
            "10.96.0.10:80/ANY (2)": ["10.1.1.2:8080/ANY (3) (2)   "]}"#,
        "SERVICE ADDRESS        BACKEND ADDRESS (REVNAT_ID) (SLOT)\n\
         10.96.0.10:80          0.0.0.0:0 (3) (0) [ClusterIP, non-routable]     \n\
         \u{20}                      10.1.1.1:8080 (3) (1)     \n\
         \u{20}                      10.1.1.2:8080 (3) (2)     \n",
        "SERVICE ADDRESS             BACKEND ADDRESS (REVNAT_ID) (SLOT)\n\
         10.96.0.10:80/TCP (2)       10.1.1.2:8080/TCP (3) (2)     \n\
         10.96.0.10:80/TCP (1)       10.1.1.1:8080/TCP (3) (1)     \n",
        // As a bug report of Cilium has it.
        "# cilium-dbg bpf lb list\n\n```\nSERVICE ADDRESS         BACKEND ADDRESS\n\
         10.96.0.10:80/TCP (2)   10.1.1.2:8080/TCP (3) (2)\n\
         10.96.0.10:80/TCP (1)   10.1.1.1:8080/TCP (3) (1)\n```\n",
        "ID   Frontend        Service Type   Backend                          \n\
         3    10.96.0.10:80   ClusterIP      1 => 10.1.1.1:8080 (active)      \n\
         \u{20}                                  2 => 10.1.1.2:8080 (active)      \n",
        "ID   Frontend            Service Type   Backend\n\
         3    10.96.0.10:80/TCP   ClusterIP      1 => 10.1.1.1:8080/TCP (active) (preferred)\n\
         \u{20}                                      2 => 10.1.1.2:8080/TCP (active)\n\
         4    10.96.0.77:80/TCP   ClusterIP\n",
    ] {
        world.held(text).is_clean(1);
    }
}

#[test]
fn both_families_and_protocols_are_told_apart() {
    let ready = json!({"ready": true});
    let world = World::new(&[
        service(
            "dns",
            POOL,
            &json!({
                "clusterIP": "10.96.0.53", "clusterIPs": ["10.96.0.53", "fd00::53"],
                "ports": [
                    {"name": "web", "port": 53, "protocol": "UDP"},
                    {"name": "tcp", "port": 53, "protocol": "TCP"},
                ],
            }),
        ),
        {
            let mut slice = slice("dns", "IPv6", &json!([endpoint("fd01::1", "hz-1", &ready)]));
            slice["ports"] = json!([
                {"name": "web", "port": 8053, "protocol": "UDP"},
                {"name": "tcp", "port": 8054, "protocol": "TCP"},
            ]);
            slice
        },
    ]);
    let maps = r#"{
        "10.96.0.10:80/TCP (1)": ["10.1.1.1:8080/TCP (3) (1)"],
        "10.96.0.10:80/TCP (2)": ["10.1.1.2:8080/TCP (3) (2)"],
        "10.96.0.53:53/UDP (0)": ["0.0.0.0:0 (4) (0) [ClusterIP, non-routable] "],
        "[fd00::53]:53/UDP (0)": ["[::]:0 (5) (0) [ClusterIP, non-routable] "],
        "[fd00::53]:53/UDP (1)": ["[fd01::1]:8053/UDP (5) (1)"],
        "[fd00::53]:53/TCP (1)": ["[fd01::1]:8054/TCP (6) (1)"]
    }"#;
    world.held(maps).is_clean(4);
    let swapped = maps.replace("[fd01::1]:8054/TCP", "[fd01::1]:8053/TCP");
    world.held(&swapped).differs(&[
        "[fd00::53]:53/TCP: unknown [fd01::1]:8053 hz-1 hangzhou",
        "[fd00::53]:53/TCP: missing [fd01::1]:8054 hz-1 hangzhou",
    ]);
}

#[test]
fn terminating_and_unhealthy_backends_are_allowed() {
    let terminating = json!({"ready": false, "serving": true, "terminating": true});
    let gone = json!({"ready": false, "serving": false, "terminating": true});
    let world = World::new(&[
        service("till", POOL, &json!({"clusterIP": "10.96.0.11"})),
        slice(
            "till",
            "IPv4",
            &json!([
                endpoint("10.1.1.3", "hz-1", &json!({"ready": true})),
                endpoint("10.1.1.4", "hz-2", &terminating),
                endpoint("10.1.1.5", "hz-2", &gone),
                endpoint("10.1.1.6", "hz-2", &json!({"ready": false})),
                endpoint("10.1.2.3", "bj-1", &terminating),
            ]),
        ),
    ]);
    let till = |backends: &[[&str; 3]]| {
        let flags = json!({"type": "ClusterIP", "namespace": "shop", "name": "till"});
        let cart: Value = serde_json::from_str(&cluster_ip(&json!({}), &OWN)).unwrap();
        json!([cart[0], agent_service(["10.96.0.11", "80", "TCP"], &flags, backends)]).to_string()
    };
    let own = [
        ["10.1.1.3", "active", "hz-1"],
        ["10.1.1.4", "terminating", "hz-2"],
        ["10.1.1.5", "terminating-not-serving", "hz-2"],
        ["10.1.1.6", "maintenance", "hz-2"],
    ];
    let report = world.held(&till(&own));
    report.is_clean(2);
    assert_eq!(report.plane()["allowed"], json!({"the endpoint is terminating or not ready": 3}));
    // The eBPF maps have no states; those in maintenance are not in them.
    let maps = FILTERED.replace(
        "\n}",
        r#", "10.96.0.11:80/TCP (1)": ["10.1.1.3:8080/TCP (4) (1)"],
             "10.96.0.11:80/TCP (2)": ["10.1.1.4:8080/TCP (4) (2)"],
             "10.96.0.11:80/TCP (3)": ["10.1.1.5:8080/TCP (4) (3)"]}"#,
    );
    world.held(&maps).is_clean(2);
    // A backend that failed its health checks is there, and not used.
    let sick = [["10.1.1.3", "quarantined", "hz-1"]];
    world.held(&till(&sick)).is_clean(2);
    // A foreign one is not used while an active one is there. Alone it would be.
    let foreign = ["10.1.2.3", "terminating", "bj-1"];
    let report = world.held(&till(&[own[0], foreign]));
    report.is_clean(2);
    assert_eq!(report.plane()["allowed"], json!({"the backend is not used": 1}));
    world
        .held(&till(&[["10.1.1.3", "quarantined", "hz-1"], foreign]))
        .differs(&["10.96.0.11:80/TCP: leak 10.1.2.3:8080 bj-1 beijing"]);
}

#[test]
fn policies_local_leave_only_the_nodes_own_backends() {
    let world = World::new(&[]);
    let here = [["10.1.1.1", "active", "hz-1"]];
    world.held(&cluster_ip(&json!({"intTrafficPolicy": "Local"}), &here)).is_clean(1);
    world
        .held(&cluster_ip(&json!({}), &here))
        .differs(&["10.96.0.10:80/TCP: missing 10.1.1.2:8080 hz-2 hangzhou"]);
    // The policy of external traffic is none for a ClusterIP.
    world
        .held(&cluster_ip(&json!({"extTrafficPolicy": "Local"}), &here))
        .differs(&["10.96.0.10:80/TCP: missing 10.1.1.2:8080 hz-2 hangzhou"]);
    // It does not open the pool.
    let leak = [["10.1.1.1", "active", "hz-1"], ["10.1.2.1", "active", "bj-1"]];
    world
        .held(&cluster_ip(&json!({"intTrafficPolicy": "Local"}), &leak))
        .differs(&["10.96.0.10:80/TCP: leak 10.1.2.1:8080 bj-1 beijing"]);
    let maps = r#"{
        "10.96.0.10:80/TCP (0)": ["0.0.0.0:0 (3) (0) [ClusterIP, InternalLocal, non-routable] "],
        "10.96.0.10:80/TCP (1)": ["10.1.1.1:8080/TCP (3) (1)"]
    }"#;
    world.held(maps).is_clean(1);
}

#[test]
fn the_policy_of_the_service_counts_where_the_data_plane_does_not_tell_it() {
    let ready = json!({"ready": true});
    let spec = json!({"clusterIP": "10.96.0.13", "internalTrafficPolicy": "Local"});
    let endpoints = |node| json!([endpoint("10.1.1.9", node, &ready)]);
    let world = World::new(&[
        service("inner", "", &spec),
        slice("inner", "IPv4", &endpoints("hz-1")),
        service("outer", "", &json!({"clusterIP": "10.96.0.14", "internalTrafficPolicy": "Local"})),
        slice("outer", "IPv4", &endpoints("hz-2")),
    ]);
    // Nothing of `outer` has to be there.
    world.held(FILTERED).differs(&["10.96.0.13:80/TCP: missing 10.1.1.9:8080 hz-1 hangzhou"]);
    let inner = FILTERED.replace(
        "\n}",
        r#", "10.96.0.13:80/TCP (1)": ["10.1.1.9:8080/TCP (4) (1)"],
             "10.96.0.14:80/TCP (1)": ["10.1.1.9:8080/TCP (5) (1)"]}"#,
    );
    let report = world.held(&inner);
    report.is_clean(3);
    assert_eq!(report.plane()["allowed"], json!({"traffic policy Local": 1}));
}

#[test]
fn node_ports_are_reached_at_any_address_of_the_node() {
    let ready = json!({"ready": true});
    let world = World::new(&[
        service(
            "door",
            POOL,
            &json!({
                "clusterIP": "10.96.0.12", "type": "NodePort", "externalTrafficPolicy": "Local",
                "ports": [{"name": "web", "port": 80, "nodePort": 30080, "protocol": "TCP"}],
            }),
        ),
        slice(
            "door",
            "IPv4",
            &json!([
                endpoint("10.1.1.7", "hz-1", &ready),
                endpoint("10.1.1.8", "hz-2", &ready),
                endpoint("10.1.2.7", "bj-1", &ready),
            ]),
        ),
    ]);
    let entries = |node_port: &str| {
        FILTERED.replace(
            "\n}",
            &format!(
                r#", "10.96.0.12:80/TCP (1)": ["10.1.1.7:8080/TCP (5) (1)"],
                "10.96.0.12:80/TCP (2)": ["10.1.1.8:8080/TCP (5) (2)"], {node_port} }}"#
            ),
        )
    };
    let flags = "[NodePort, Local, two-scopes, non-routable]";
    // The external scope has the node's own backends, the internal one all.
    let scopes: Vec<String> = ["0.0.0.0", "192.168.50.11"]
        .iter()
        .map(|ip| {
            format!(
                r#""{ip}:30080/TCP (0)": ["0.0.0.0:0 (6) (0) {flags} "],
                "{ip}:30080/TCP (1)": ["10.1.1.7:8080/TCP (6) (1)"],
                "{ip}:30080/TCP/i (0)": ["0.0.0.0:0 (7) (0) {flags} "],
                "{ip}:30080/TCP/i (1)": ["10.1.1.7:8080/TCP (7) (1)"],
                "{ip}:30080/TCP/i (2)": ["10.1.1.8:8080/TCP (7) (2)"]"#
            )
        })
        .collect();
    let scopes = scopes.join(", ");
    world.held(&entries(&scopes)).is_clean(6);
    let leak = scopes.replace("10.1.1.8:8080", "10.1.2.7:8080");
    world.held(&entries(&leak)).differs(&[
        "0.0.0.0:30080/TCP: leak 10.1.2.7:8080 bj-1 beijing",
        "0.0.0.0:30080/TCP: missing 10.1.1.8:8080 hz-2 hangzhou",
        "192.168.50.11:30080/TCP: leak 10.1.2.7:8080 bj-1 beijing",
        "192.168.50.11:30080/TCP: missing 10.1.1.8:8080 hz-2 hangzhou",
    ]);
    // The external scope does not show whether an agent is filtered: it has no other node's backends.
    let every = scopes.replace("10.1.1.8:8080", "10.1.2.7:8080")
        + r#", "10.96.0.10:80/TCP (3)": ["10.1.2.1:8080/TCP (3) (3)"],
               "10.96.0.12:80/TCP (3)": ["10.1.2.7:8080/TCP (5) (3)"]"#;
    let report = world.held(&entries(&every));
    assert!(report.stderr().contains("the agent does not go through"), "{}", report.stderr());
    // An agent that leaves node ports to kube-proxy has none of them.
    let none = entries("").replace(",  }", "}");
    let report = world.held(&none);
    report.is_clean(2);
    let why = "the data plane has no frontend of this kind";
    assert_eq!(report.plane()["notCompared"], json!({why: 1}));
}

#[test]
fn frontends_of_other_makers_are_left_out() {
    let world = World::new(&[]);
    let cart: Value = serde_json::from_str(&cluster_ip(&json!({}), &OWN)).unwrap();
    let other = |address: &str, flags: Value, backends: &[[&str; 3]]| {
        let list = json!([cart[0], agent_service([address, "80", "TCP"], &flags, backends)]);
        let report = world.held(&list.to_string());
        report.is_clean(1);
        report.plane()["notCompared"].clone()
    };
    let foreign = [["10.1.2.1", "active", "bj-1"]];
    let flags = json!({"type": "LocalRedirect", "namespace": "shop", "name": "cart"});
    assert_eq!(other("10.96.0.10", flags, &foreign), json!({"LocalRedirect": 1}));
    let flags = json!({"type": "HostPort", "namespace": "shop", "name": "pod/host-port/80"});
    assert_eq!(other("0.0.0.0", flags, &foreign), json!({"HostPort": 1}));
    let flags = json!({"type": "ClusterIP", "namespace": "shop", "name": "cart", "cluster": "b"});
    let why = "another cluster (ClusterMesh)";
    assert_eq!(other("10.97.0.10", flags, &foreign), json!({why: 1}));
    let flags = json!({"type": "ClusterIP", "namespace": "default", "name": "kubernetes"});
    assert_eq!(other("10.96.0.1", flags, &foreign), json!({"default/kubernetes": 1}));
    let flags = json!({"type": "ClusterIP", "namespace": "shop", "name": "new"});
    let why = "the facts do not have the frontend";
    assert_eq!(other("10.96.0.99", flags, &foreign), json!({why: 1}));
}

#[test]
fn frontends_of_other_namespaces_are_left_out() {
    let mut others = [
        service("other", POOL, &json!({"clusterIP": "10.96.0.77"})),
        slice("other", "IPv4", &json!([])),
    ];
    for other in &mut others {
        other["metadata"]["namespace"] = "iot".into();
    }
    let world = World::new(&others);
    let held = world.write("held", &cluster_ip(&json!({}), &OWN));
    let of = |namespace: &str| {
        world.verify("hz-1", &["--from", held.to_str().unwrap(), "-n", namespace])
    };
    let report = of("shop");
    report.is_clean(1);
    assert_eq!(report.plane()["notCompared"], json!({}));
    let report = of("iot");
    assert_eq!(report.plane()["compared"], 0);
    assert_eq!(report.plane()["notCompared"], json!({"another namespace": 1}));
    assert!(report.stderr().contains("check --namespace"), "{}", report.stderr());
}

#[test]
fn backends_of_other_clusters_are_allowed() {
    let world = World::new(&[]);
    let remote =
        |ip: &str, node: &str| cluster_ip(&json!({}), &[OWN[0], OWN[1], [ip, "active", node]]);
    let why = "another cluster (ClusterMesh)";
    for list in [remote("10.200.0.1", "elsewhere-1"), remote("10.200.0.1@3", "")] {
        let report = world.held(&list);
        report.is_clean(1);
        assert_eq!(report.plane()["allowed"], json!({why: 1}));
    }
    let unknown = ["10.96.0.10:80/TCP: unknown 10.200.0.1:8080 bj-1 "];
    world.held(&remote("10.200.0.1", "bj-1")).differs(&unknown);
    let held = world.write("held", &remote("10.200.0.1", "bj-1"));
    let held = held.to_str().unwrap();
    world
        .verify("hz-1", &["--from", held, "--other-clusters", "fd00::/8", "10.200.0.0/16"])
        .is_clean(1);
    // An endpoint of this cluster stays a leak.
    let held = world.write("held", &remote("10.1.2.1", "bj-1"));
    world
        .verify("hz-1", &["--from", held.to_str().unwrap(), "--other-clusters", "10.0.0.0/8"])
        .differs(&["10.96.0.10:80/TCP: leak 10.1.2.1:8080 bj-1 beijing"]);
}

#[test]
fn yurthubs_cache_is_compared_component_by_component() {
    let world = World::new(&[]);
    let ready = json!({"ready": true});
    let own = [endpoint("10.1.1.1", "hz-1", &ready), endpoint("10.1.1.2", "hz-2", &ready)];
    let foreign = endpoint("10.1.2.1", "bj-1", &ready);
    let write = |component: &str, resource: &str, endpoints: Value| {
        let path = format!("cache/{component}/{resource}/shop/cart-IPv4");
        world.write(&path, &slice("cart", "IPv4", &endpoints).to_string());
    };
    let resource = "endpointslices.v1.discovery.k8s.io";
    write("kube-proxy", resource, json!(own));
    world.write(&format!("cache/kube-proxy/{resource}/shop/tmp_cart"), "{");
    world.write("cache/kubelet/pods.v1.core/shop/a", "{");
    let cache = world.folder.path().join("cache");
    let cache = cache.to_str().unwrap();
    world.verify("hz-1", &["--from", cache]).is_clean(1);
    world.verify("hz-1", &["--from", &format!("{cache}/kube-proxy")]).is_clean(1);
    // The older layout, and a component that yurthub does not filter for.
    write("coredns", "endpointslices", json!([own[0], own[1], foreign]));
    let report = world.verify("hz-1", &["--from", cache]);
    report.differs(&["endpointslices: leak 10.1.2.1 bj-1 beijing"]);
    assert!(report.plane()["origin"].as_str().unwrap().contains("/coredns/"));
    assert!(report.stderr().contains("yurthub does not filter for this component"));
    write("coredns", "endpointslices", json!([own[0]]));
    world
        .verify("hz-1", &["--from", cache])
        .differs(&["endpointslices: missing 10.1.1.2 hz-2 hangzhou"]);
}

#[test]
fn inputs_that_cannot_be_read_are_named() {
    let world = World::new(&[]);
    for (text, part) in [
        ("", "is empty"),
        ("hello", "not the output of a known tool"),
        ("<html>", "not the output of a known tool"),
        (r#"{"kind": "ServiceList", "items": []}"#, "name it with --facts"),
        (r#"{"10.96.0.10:80/TCP (1)": ["10.1.1.1"#, "is cut"),
        (r#"{"1": ["ANY://10.1.1.1:8080"]}"#, "leave out options such as --backends"),
        (r#"{"10.96.0.10:80/TCP (1)": ["5 0[0] (3) [0x0 0x0]"]}"#, "leave out options"),
        (r#"[{"spec": {}}]"#, "cilium-dbg service list -o json"),
        ("table inet filter {\n}\n", "nothing of kube-proxy"),
        ("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n", "nothing of kube-proxy"),
    ] {
        let report = world.held(text);
        assert_eq!(report.status(), 2, "{text}");
        let stderr = report.stderr();
        assert!(stderr.contains(part) && stderr.contains("held: "), "{text}: {stderr}");
    }
    // A data plane of another cluster differs; of an empty one nothing is compared.
    let other = r#"{"172.20.0.1:443/TCP (1)": ["172.16.0.1:443/TCP (1) (1)"]}"#;
    for (text, status) in [(other, 1), ("[]", 2), ("null", 2), ("{}", 2)] {
        let report = world.held(text);
        assert_eq!(report.status(), status, "{text}");
        assert!(report.stderr().contains("are both of one cluster?"), "{}", report.stderr());
    }
    let empty = world.folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let report = world.verify("hz-1", &["--from", empty.to_str().unwrap()]);
    assert!(report.stderr().contains("/etc/kubernetes/cache"), "{}", report.stderr());
}

#[test]
fn wrong_arguments_have_their_own_status() {
    let world = World::new(&[]);
    let held = world.write("held", FILTERED);
    let held = held.to_str().unwrap();
    for arguments in [
        &[][..],
        &["--from", held, "--settle", "5"],
        &["--from", held, "--other-clusters", "10.0.0.0/33"],
    ] {
        assert_eq!(world.verify("hz-1", arguments).status(), 2, "{arguments:?}");
    }
}

/// An agent whose Services change with each request.
#[cfg(unix)]
#[test]
fn the_agents_socket_is_read_until_nothing_differs() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    let world = World::new(&[]);
    let leaking = cluster_ip(&json!({}), &[OWN[0], OWN[1], ["10.1.2.1", "active", "bj-1"]]);
    let filtered = cluster_ip(&json!({}), &OWN);
    let serve = |bodies: Vec<String>| {
        let path = world.folder.path().join(format!("{}.sock", bodies.len()));
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            for body in bodies {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let length = stream.read(&mut request).unwrap();
                assert!(request[..length].starts_with(b"GET /v1/service HTTP/1.0\r\n"));
                let status = if body.is_empty() { "500 Internal Server Error" } else { "200 OK" };
                write!(stream, "HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{body}")
                    .unwrap();
            }
        });
        (path, server)
    };
    let leak = ["10.96.0.10:80/TCP: leak 10.1.2.1:8080 bj-1 beijing"];
    let (path, server) = serve(vec![leaking.clone()]);
    world.verify("hz-1", &["--socket", path.to_str().unwrap()]).differs(&leak);
    server.join().unwrap();
    let (path, server) = serve(vec![leaking.clone(), leaking, filtered]);
    world.verify("hz-1", &["--socket", path.to_str().unwrap(), "--settle", "600"]).is_clean(1);
    server.join().unwrap();
    fs::remove_file(world.folder.path().join("1.sock")).unwrap();
    let (path, server) = serve(vec![String::new()]);
    let report = world.verify("hz-1", &["--socket", path.to_str().unwrap()]);
    assert!(report.stderr().contains("500 Internal Server Error"), "{}", report.stderr());
    server.join().unwrap();
    let gone = world.folder.path().join("gone.sock");
    let report = world.verify("hz-1", &["--socket", gone.to_str().unwrap()]);
    assert!(report.stderr().contains("run on the node as root"), "{}", report.stderr());
}

/// The cluster of the rules in `data/verify/kube-proxy`, whose README tells their origin. The
/// annotation and the nodes of the endpoints of svc4 are given.
fn kube_proxys_world(keys: &str, nodes: [&str; 2]) -> World {
    let namespaced = |mut object: Value, number: usize| {
        object["metadata"]["namespace"] = json!(format!("ns{number}"));
        object
    };
    let port = |node_port: u16| {
        let mut port = json!({"name": "p80", "port": 80, "protocol": "TCP"});
        if node_port > 0 {
            port["nodePort"] = json!(node_port);
        }
        json!([port])
    };
    let local = "Local";
    let specs = [
        json!({"clusterIP": "172.30.0.41", "clusterIPs": ["172.30.0.41", "fd00:30::41"],
            "ports": port(0)}),
        json!({"clusterIP": "172.30.0.42", "type": "LoadBalancer", "ports": port(3001),
            "externalIPs": ["192.168.99.22"], "externalTrafficPolicy": local}),
        json!({"clusterIP": "172.30.0.43", "type": "NodePort", "ports": port(3003)}),
        json!({"clusterIP": "172.30.0.44", "type": "NodePort", "ports": port(0),
            "externalIPs": ["192.168.99.33"]}),
        json!({"clusterIP": "172.30.0.45", "type": "LoadBalancer", "ports": port(3002)}),
        json!({"clusterIP": "172.30.0.46", "ports": port(0)}),
    ];
    let ready = json!({"ready": true});
    let endpoints = [
        ("svc1", "IPv4", json!([endpoint("10.180.0.1", "hz-2", &ready)])),
        ("svc1", "IPv6", json!([endpoint("fd00:10:180::1", "hz-2", &ready)])),
        ("svc2", "IPv4", json!([endpoint("10.180.0.2", "hz-2", &ready)])),
        ("svc3", "IPv4", json!([endpoint("10.180.0.3", "hz-2", &ready)])),
        (
            "svc4",
            "IPv4",
            json!([
                endpoint("10.180.0.4", nodes[0], &ready),
                endpoint("10.180.0.5", nodes[1], &ready),
            ]),
        ),
        ("svc5", "IPv4", json!([endpoint("10.180.0.3", "hz-2", &ready)])),
    ];
    let mut objects = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let name = format!("svc{}", index + 1);
        let keys = if name == "svc4" { keys } else { "" };
        let mut service = namespaced(service(&name, keys, spec), index + 1);
        let balancer = match &*name {
            "svc2" => json!([{"ip": "1.2.3.4"}]),
            "svc5" => json!([{"ip": "5.6.7.8"}]),
            _ => json!([]),
        };
        service["status"] = json!({"loadBalancer": {"ingress": balancer}});
        objects.push(service);
    }
    for (name, family, endpoints) in &endpoints {
        let mut slice = slice(name, family, endpoints);
        slice["ports"] = port(0);
        objects.push(namespaced(slice, name[3..].parse().unwrap()));
    }
    World::of(&objects)
}

fn data(name: &str) -> String {
    format!("{}/tests/data/verify/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_lists_of_real_agents_are_compared() {
    for agent in ["cilium-1.19.6", "cilium-1.20.2"] {
        let compare = |list: &str| {
            let [from, facts] = [list, "facts"].map(|name| data(&format!("{agent}/{name}")));
            verify(Path::new(&facts), "edge-hz-1", &["--from", &from])
        };
        // `service list` has no node ports at each address of the node.
        for (list, compared, leaks) in [("maps", 17, 18), ("services", 14, 16)] {
            for form in ["json", "txt"] {
                compare(&format!("{list}-filtered.{form}")).is_clean(compared);
                let report = compare(&format!("{list}-unfiltered.{form}"));
                assert_eq!(report.plane()["leaks"], leaks, "{agent}: {list}, {form}");
                let told = report.stderr();
                assert!(told.contains("the agent does not go through poolscope"), "{told}");
            }
        }
        compare("maps-added.json")
            .differs(&["10.96.0.10:3000/TCP: leak 10.250.2.10:3000 edge-bj-1 beijing"]);
        compare("maps-dangling.json").differs(&["10.96.0.10:3000/TCP: unknown backend 4242 - "]);
        compare("maps-removed.json")
            .differs(&["10.96.0.10:3000/TCP: missing 10.250.1.10:3000 edge-hz-1 hangzhou"]);
    }
}

#[test]
fn kube_proxys_rules_are_read_in_each_form() {
    let nft = [&*data("kube-proxy/nft.json")];
    let nft_text = [&*data("kube-proxy/nft.txt")];
    let iptables =
        [&*data("kube-proxy/iptables-save.txt"), &*data("kube-proxy/ip6tables-save.txt")];
    for files in [&nft[..], &nft_text, &iptables] {
        let arguments: Vec<&str> = ["--from"].iter().chain(files).copied().collect();
        let world = kube_proxys_world("", ["bj-1", "hz-1"]);
        let report = world.verify("hz-1", &arguments);
        report.is_clean(14);
        assert_eq!(report.plane()["notCompared"], json!({}), "{files:?}");
        // With the annotation the Service keeps to its pool.
        let world = kube_proxys_world(POOL, ["bj-1", "hz-1"]);
        let report = world.verify("hz-1", &arguments);
        report.differs(&[
            "172.30.0.44:80/TCP: leak 10.180.0.4:80 bj-1 beijing",
            "192.168.99.33:80/TCP: leak 10.180.0.4:80 bj-1 beijing",
        ]);
        assert!(report.stderr().contains("kube-proxy does not go through"), "{}", report.stderr());
    }
}

#[test]
fn rules_without_one_endpoint_miss_it_at_each_address() {
    let text = fs::read_to_string(data("kube-proxy/nft.txt")).unwrap();
    let world = kube_proxys_world("", ["bj-1", "hz-1"]);
    let without = text
        .replace("{ 0 : goto endpoint-UEIP74TE-ns3/svc3/tcp/p80__10.180.0.3/80 }", "{ 0 : drop }");
    assert_ne!(text, without);
    world.held(&without).differs(&[
        "0.0.0.0:3003/TCP: missing 10.180.0.3:80 hz-2 hangzhou",
        "172.30.0.43:80/TCP: missing 10.180.0.3:80 hz-2 hangzhou",
    ]);
    // A policy `Local`: kube-proxy names the chains of a node's own endpoints so.
    let local = text
        .replace("goto service-LAUZTJTB-ns4", "goto local-LAUZTJTB-ns4")
        .replace("chain service-LAUZTJTB-ns4", "chain local-LAUZTJTB-ns4")
        .replace("0 : goto endpoint-UNZV3OEC-ns4/svc4/tcp/p80__10.180.0.4/80, 1 :", "0 :");
    assert!(!local.contains("goto endpoint-UNZV3OEC"), "{local}");
    world.held(&local).is_clean(14);
    let iptables = fs::read_to_string(data("kube-proxy/iptables-save.txt")).unwrap();
    let iptables: String = iptables
        .replace("KUBE-SVC-4SW47YFZTEDKD3PK", "KUBE-SVL-4SW47YFZTEDKD3PK")
        .lines()
        .filter(|line| !line.contains("-> 10.180.0.4:80"))
        .map(|line| format!("{line}\n"))
        .collect();
    world.held(&iptables).is_clean(13);
}

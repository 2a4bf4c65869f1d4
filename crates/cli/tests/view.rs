//! The answers of `view`, `diff` and `explain`: rows, doubt, contradictions, and their forms.

use std::process::{Command, Output};

use poolscope_testkit::DATA;
use serde_json::{Value, json};
use tempfile::TempDir;

fn poolscope(folder: &TempDir, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolscope"));
    command.current_dir(folder.path()).args(args.split(' ')).env_remove("CLICOLOR_FORCE");
    command
}

fn run(folder: &TempDir, args: &str) -> Output {
    poolscope(folder, args).output().unwrap()
}

/// Standard output of a run that did its work.
fn done(folder: &TempDir, args: &str) -> String {
    let output = run(folder, args);
    assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json_of(folder: &TempDir, args: &str) -> Value {
    serde_json::from_str(&done(folder, &format!("{args} -o json"))).unwrap()
}

/// A folder with `facts.json`, which has these objects.
fn facts(objects: &[Value]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": objects});
    std::fs::write(folder.path().join("facts.json"), list.to_string()).unwrap();
    folder
}

fn node(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
}

fn pool(name: &str, nodes: &[&str]) -> Value {
    json!({"apiVersion": "apps.openyurt.io/v1beta2", "kind": "NodePool",
        "metadata": {"name": name}, "status": {"nodes": nodes}})
}

/// Pool `mill` with nodes m1 and m2, pool `dam` with node d1.
fn two_pools() -> Vec<Value> {
    vec![
        node("m1", &json!({"apps.openyurt.io/nodepool": "mill"})),
        node("m2", &json!({"apps.openyurt.io/nodepool": "mill"})),
        node("d1", &json!({"apps.openyurt.io/nodepool": "dam"})),
        pool("mill", &["m1", "m2"]),
        pool("dam", &["d1"]),
    ]
}

/// A Service of namespace `ops` that keeps to the pool.
fn service(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "spec": spec, "metadata": {
        "namespace": "ops", "name": name,
        "annotations": {"openyurt.io/topologyKeys": "openyurt.io/nodepool"}}})
}

fn slice(service: &str, suffix: &str, ports: &Value, endpoints: &[Value]) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"namespace": "ops", "name": format!("{service}-{suffix}"),
            "labels": {"kubernetes.io/service-name": service}},
        "ports": ports, "endpoints": endpoints})
}

fn endpoint(address: &str, node: &str) -> Value {
    json!({"addresses": [address], "nodeName": node})
}

fn with(mut objects: Vec<Value>, more: impl IntoIterator<Item = Value>) -> Vec<Value> {
    objects.extend(more);
    objects
}

/// The cells of each row of a table, without the blanks.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(cells).collect()
}

fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

/// The backends that `view` prints for each frontend.
fn backends(table: &str) -> Vec<(String, Vec<String>)> {
    let mut frontends: Vec<(String, Vec<String>)> = Vec::new();
    for line in rows(table) {
        match line.as_slice() {
            [id, address, _, backend] if id.parse::<u32>().is_ok() => {
                frontends.push(((*address).to_owned(), vec![(*backend).to_owned()]));
            }
            [backend] if backend.contains(" => ") => {
                frontends.last_mut().unwrap().1.push((*backend).to_owned());
            }
            _ => {}
        }
    }
    frontends
}

#[test]
fn an_address_and_port_of_several_slices_is_one_backend() {
    let ports = json!([{"name": "web", "port": 80}, {"name": "ops", "port": 81}]);
    let port = |name: &str, number: u16| json!([{"name": name, "port": number}]);
    let unready = json!({"addresses": ["10.3.0.1"], "nodeName": "m1",
        "conditions": {"ready": false}});
    let folder = facts(&with(
        two_pools(),
        [
            service("api", &json!({"clusterIP": "10.90.0.1", "ports": ports})),
            slice("api", "1", &port("web", 8080), &[endpoint("10.3.0.1", "m1"), unready]),
            slice("api", "2", &port("web", 8080), &[endpoint("10.3.0.1", "m1")]),
            slice("api", "3", &port("web", 8081), &[endpoint("10.3.0.1", "m2")]),
            slice("api", "4", &port("ops", 9000), &[endpoint("10.3.0.1", "m1")]),
            slice("api", "5", &port("ops", 9000), &[endpoint("10.3.0.1", "m1")]),
        ],
    ));
    let table = done(&folder, "view --node m1 --facts facts.json");
    assert_eq!(
        backends(&table),
        [
            (
                "10.90.0.1:80/TCP".to_owned(),
                vec![
                    "1 => 10.3.0.1:8080/TCP (active) m1".to_owned(),
                    "2 => 10.3.0.1:8081/TCP (active) m2".to_owned()
                ]
            ),
            ("10.90.0.1:81/TCP".to_owned(), vec!["1 => 10.3.0.1:9000/TCP (active) m1".to_owned()]),
        ]
    );
}

#[test]
fn ports_are_paired_by_name_and_protocol_and_have_numbers() {
    let ports = json!([
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53},
        {"name": "any", "port": 54},
        {"name": "web", "port": 80},
    ]);
    let served = json!([
        {"name": "dns", "port": 5300, "protocol": "TCP"},
        {"name": "dns-tcp", "port": 5301, "protocol": "TCP"},
        {"name": "any", "protocol": "TCP"},
        {"name": "web", "port": 8080, "protocol": "UDP"},
        {"name": "web", "port": 8081, "protocol": "TCP"},
    ]);
    let folder = facts(&with(
        two_pools(),
        [
            service("dns", &json!({"clusterIP": "10.90.0.2", "ports": ports})),
            slice("dns", "1", &served, &[endpoint("10.3.0.1", "m1")]),
        ],
    ));
    let table = done(&folder, "view --node m1 --facts facts.json");
    let backends: Vec<String> =
        backends(&table).into_iter().map(|(_, backends)| backends.join("|")).collect();
    assert_eq!(
        backends,
        [
            "no backend",
            "1 => 10.3.0.1:5301/TCP (active) m1",
            "no backend",
            "1 => 10.3.0.1:8081/TCP (active) m1"
        ]
    );
}

#[test]
fn a_headless_service_has_a_row_with_the_addresses_that_dns_answers() {
    let conditions = |conditions: Value| {
        json!({"addresses": ["10.3.0.9"], "nodeName": "m2",
        "conditions": conditions})
    };
    let none = json!({"clusterIP": "None"});
    let ports = json!({"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]});
    let folder = facts(&with(
        two_pools(),
        [
            service("bare", &none),
            slice(
                "bare",
                "1",
                &Value::Null,
                &[
                    endpoint("10.3.0.1", "m1"),
                    endpoint("10.3.0.2", "m2"),
                    endpoint("10.4.0.1", "d1"),
                    conditions(json!({"ready": false, "serving": true, "terminating": true})),
                ],
            ),
            service("named", &ports),
            slice(
                "named",
                "1",
                &json!([{"name": "sql", "port": 5432}]),
                &[endpoint("10.3.0.3", "m1")],
            ),
            slice(
                "named",
                "2",
                &json!([{"name": "old", "port": 5431}]),
                &[endpoint("10.3.0.4", "m1")],
            ),
        ],
    ));
    let table = done(&folder, "view --node m1 --facts facts.json");
    let named =
        |text: &[&str]| ("None".to_owned(), text.iter().map(|&one| one.to_owned()).collect());
    assert_eq!(
        backends(&table),
        [
            named(&["1 => 10.3.0.1 (active) m1", "2 => 10.3.0.2 (active) m2"]),
            named(&["1 => 10.3.0.3:5432/TCP (active) m1", "2 => 10.3.0.4 (active) m1"]),
        ]
    );
    assert!(table.contains("ops/bare (pool): 3 of 4 endpoints kept, 1 dropped"), "{table}");
}

#[test]
fn every_address_that_proxies_serve_has_a_row_in_both_encodings() {
    let spec = json!({"type": "LoadBalancer", "clusterIPs": ["10.90.0.3", "fd00:90::3"],
    "externalIPs": ["198.51.100.4"],
    "ports": [
        {"port": 80, "nodePort": 30080},
        {"name": "tls", "port": 443, "nodePort": 30443},
    ]});
    let mut front = service("front", &spec);
    front["status"] = json!({"loadBalancer": {"ingress": [
        {"ip": "198.51.100.7", "ipMode": "VIP", "ports": null},
        {"ip": "2001:db8::7"},
        {"ip": "198.51.100.8", "ipMode": "Proxy"},
        {"hostname": "front.example"},
    ]}});
    let mut away = service(
        "away",
        &json!({"type": "ExternalName", "externalName": "example.org",
        "externalIPs": ["198.51.100.4"], "ports": [{"port": 80}]}),
    );
    away["status"] = json!({"loadBalancer": null});
    let folder = facts(&with(two_pools(), [front, away, slice("front", "1", &Value::Null, &[])]));
    let view = json_of(&folder, "view --node m1 --facts facts.json");
    let rows = |service: &Value| -> Vec<String> {
        let row = |frontend: &Value| {
            let text = |key: &str| frontend[key].as_str().unwrap_or("-").to_owned();
            [text("address"), text("type"), text("trafficPolicy")].join(" ")
        };
        service["frontends"].as_array().unwrap().iter().map(row).collect()
    };
    assert_eq!(rows(&view["services"][0]), [""; 0]);
    assert_eq!(
        rows(&view["services"][1])[..6],
        [
            "10.90.0.3:80/TCP ClusterIP Cluster",
            "[fd00:90::3]:80/TCP ClusterIP Cluster",
            "198.51.100.4:80/TCP ExternalIP Cluster",
            "*:30080/TCP NodePort Cluster",
            "198.51.100.7:80/TCP LoadBalancer Cluster",
            "[2001:db8::7]:80/TCP LoadBalancer Cluster",
        ]
    );
    assert_eq!(rows(&view["services"][1]).len(), 12);

    // As the API server wrote them.
    let list = |name: &str| format!("{DATA}/recorded/list/{name}");
    let others = ["nodes-json.json", "nodepools-json.json", "endpointslices-json.json"].map(list);
    let view = |services: &str| {
        let args = format!("view --node hz-edge-1 --facts {} {}", list(services), others.join(" "));
        json_of(&folder, &args)
    };
    let (json, protobuf) = (view("services-json.json"), view("services-proto.pb"));
    assert_eq!(json, protobuf);
    let services = json["services"].as_array().unwrap();
    let kept = services.iter().find(|service| service["name"] == "lb-kept").unwrap();
    let expected = "203.0.113.7:80/TCP LoadBalancer Cluster".to_owned();
    assert!(rows(kept).contains(&expected), "{kept}");
}

/// A Service with both policies `Local`: on m1 an endpoint that terminates, and one of another
/// address family; on m2 an active one.
#[test]
fn under_policy_local_the_endpoints_that_are_not_used_are_marked() {
    let spec = |internal: &str, external: &str| {
        json!({"type": "NodePort", "clusterIP": "10.90.0.4", "internalTrafficPolicy": internal,
            "externalTrafficPolicy": external, "ports": [{"port": 80, "nodePort": 30081}]})
    };
    let terminating = json!({"addresses": ["10.3.0.3"], "nodeName": "m2",
        "conditions": {"ready": false, "serving": true, "terminating": true}});
    let ports = json!([{"name": "", "port": 8080}]);
    let endpoints = [endpoint("10.3.0.1", "m1"), terminating, endpoint("10.4.0.1", "d1")];
    let folder = facts(&with(
        two_pools(),
        [
            service("both", &spec("Local", "Local")),
            slice("both", "1", &ports, &endpoints),
            service("outer", &spec("Cluster", "Local")),
            slice("outer", "1", &ports, &endpoints),
            service("inner", &spec("Local", "Cluster")),
            slice("inner", "1", &ports, &endpoints),
        ],
    ));
    let used = "1 => 10.3.0.1:8080/TCP (active) m1";
    let unused = "- => 10.3.0.1:8080/TCP (active, not used: Local) m1";
    let terminating = "1 => 10.3.0.3:8080/TCP (terminating) m2";
    let near = |text: &[&str]| text.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
    let of = |node: &str| -> Vec<Vec<String>> {
        let table = done(&folder, &format!("view --node {node} --facts facts.json"));
        backends(&table).into_iter().map(|(_, backends)| backends).collect()
    };
    // both, inner, outer: the cluster IP, then the node port.
    assert_eq!(of("m1"), [[used]; 6].map(|one| near(&one)));
    let local = near(&[terminating, unused]);
    let all = near(&[used]);
    assert_eq!(
        of("m2"),
        [local.clone(), local.clone(), local.clone(), all.clone(), all, local],
        "a local endpoint that still serves is used before an active one elsewhere"
    );
    let table = done(&folder, "view --node m1 --facts facts.json ops/both");
    assert!(table.contains("ClusterIP Local") && table.contains("NodePort Local"), "{table}");
    let view = json_of(&folder, "view --node m1 --facts facts.json ops/outer");
    let outer = &view["services"][0];
    let policies = [0, 1].map(|at| outer["frontends"][at]["trafficPolicy"].clone());
    assert_eq!(policies, ["Cluster", "Local"]);
    let local = [0, 1, 2].map(|at| outer["endpoints"][at]["local"].clone());
    assert_eq!(local, [true, false, false]);
    // Nothing local: whoever connects here gets no answer.
    let folder = facts(&with(
        two_pools(),
        [
            service("far", &spec("Local", "Cluster")),
            slice("far", "1", &ports, &[endpoint("10.3.0.2", "m2")]),
        ],
    ));
    let table = done(&folder, "view --node m1 --facts facts.json");
    assert!(table.contains("no backend on this node (Local)"), "{table}");
    assert!(table.contains("- => 10.3.0.2:8080/TCP (active, not used: Local) m2"), "{table}");
}

/// A Service that keeps to the pool, with an endpoint on each node.
fn web() -> [Value; 2] {
    let endpoints =
        [endpoint("10.3.0.1", "m1"), endpoint("10.3.0.2", "m2"), endpoint("10.4.0.1", "d1")];
    [
        service("web", &json!({"clusterIP": "10.90.0.5", "ports": [{"port": 80}]})),
        slice("web", "1", &json!([{"name": "", "port": 8080}]), &endpoints),
    ]
}

#[test]
fn a_label_and_a_list_that_disagree_are_both_named() {
    let mill = json!({"apps.openyurt.io/nodepool": "mill"});
    let desired = json!({"apps.openyurt.io/desired-nodepool": "mill"});
    let (m1, d1) = (node("m1", &mill), node("d1", &json!({"apps.openyurt.io/nodepool": "dam"})));
    let objects = |m2: &Value, mill: &[&str], dam: &[&str]| {
        let pools = [pool("mill", mill), pool("dam", dam)];
        facts(&with(vec![m1.clone(), m2.clone(), d1.clone()], pools.into_iter().chain(web())))
    };
    let key = "apps.openyurt.io/nodepool";
    let only = "only apps.openyurt.io/desired-nodepool: mill";
    for (m2, mill, dam, text, kept_at_m1) in [
        // The label without the list.
        (
            &node("m2", &mill),
            &["m1"][..],
            &["d1"][..],
            "label says mill, but NodePool mill does not list m2".to_owned(),
            false,
        ),
        // The list without the label, and with the older one.
        (
            &node("m2", &json!({})),
            &["m1", "m2"],
            &["d1"],
            format!("NodePool mill lists m2, but it has no label {key}"),
            true,
        ),
        (
            &node("m2", &desired),
            &["m1", "m2"],
            &["d1"],
            format!("NodePool mill lists m2, but it has no label {key}, {only}"),
            true,
        ),
        (&node("m2", &desired), &["m1"], &["d1"], format!("m2 has no label {key}, {only}"), false),
        // Another list, and both.
        (
            &node("m2", &mill),
            &["m1"],
            &["d1", "m2"],
            "label says mill, but NodePool dam lists m2".to_owned(),
            false,
        ),
        (
            &node("m2", &mill),
            &["m1", "m2"],
            &["d1", "m2"],
            "label says mill, but NodePool dam lists m2 too".to_owned(),
            true,
        ),
    ] {
        let folder = objects(m2, mill, dam);
        let line = format!("Contradiction: {text}\n");
        for args in [
            "view --node m2 --facts facts.json -o wide",
            "diff --node m2 --node m1 --facts facts.json -o wide",
            "explain --node m2 --facts facts.json -o wide ops/web",
        ] {
            let table = done(&folder, args);
            assert!(table.contains(&line), "{args}: {line}{table}");
            assert!(!table.contains("m2 is in pool mill;"), "{table}");
        }
        let document = json_of(&folder, "view --node m2 --facts facts.json");
        assert_eq!(document["contradiction"], text);
        let diff = json_of(&folder, "diff --node m1 --node m2 --facts facts.json");
        assert_eq!(diff["contradiction"], json!({"left": null, "right": text}));
        // As another node of the pool sees its endpoint.
        let explained = json_of(&folder, "explain --node m1 --facts facts.json ops/web");
        let endpoint = &explained["services"][0]["endpoints"][1];
        assert_eq!(endpoint["kept"], kept_at_m1, "{text}");
        let why = endpoint["why"].as_str().unwrap();
        if kept_at_m1 || text.starts_with("label") {
            assert!(why.contains(&text), "{text}: {why}");
        }
        assert!(!why.contains("no known pool") || !text.starts_with("label"), "{why}");
    }
    // Nodes that agree, and a node that is not known.
    let folder = objects(&node("m2", &mill), &["m1", "m2", "gone"], &["d1"]);
    for name in ["m1", "gone"] {
        let view = json_of(&folder, &format!("view --node {name} --facts facts.json"));
        assert_eq!(view["contradiction"], Value::Null);
        assert_eq!(view["known"], name == "m1");
    }
}

#[test]
fn every_verb_says_what_passes_or_is_dropped_in_doubt() {
    let unlisted = json!({"kind": "NodePoolList", "apiVersion": "apps.openyurt.io/v1beta2",
        "metadata": {"resourceVersion": "7"}, "items": []});
    let nodes = two_pools().into_iter().take(3);
    let folder = facts(&with(nodes.collect(), web()));
    std::fs::write(folder.path().join("pools.json"), unlisted.to_string()).unwrap();
    std::fs::write(
        folder.path().join("empty.json"),
        r#"{"onMissingFact": {"unknownPool": "empty", "unknownService": "empty"}}"#,
    )
    .unwrap();
    for (config, fate, kept) in [("", "pass", 3), (" --config empty.json", "are dropped", 0)] {
        let doubt = |pool: &str| {
            format!("no list of the nodes in pool {pool}, so its endpoints {fate} (O9)")
        };
        let run = |verb: &str| format!("{verb}{config} --facts facts.json pools.json");
        let view = done(&folder, &run("view --node m1"));
        assert!(view.contains(&format!("ops/web (pool): {kept} of 3 endpoints kept")), "{view}");
        assert!(view.contains(&format!("\n    in doubt: {}\n", doubt("mill"))), "{view}");
        let diff = done(&folder, &run("diff --node m1 --node d1"));
        assert!(
            diff.contains(&format!("In doubt on the left, {}: ops/web\n", doubt("mill"))),
            "{diff}"
        );
        assert!(
            diff.contains(&format!("In doubt on the right, {}: ops/web\n", doubt("dam"))),
            "{diff}"
        );
        assert!(diff.ends_with("0 Services differ, 1 are alike, 1 in doubt.\n"), "{diff}");
        let explain = done(&folder, &(run("explain --node m1") + " ops/web"));
        assert!(explain.contains(&format!("In doubt: {}\n", doubt("mill"))), "{explain}");
        let view = json_of(&folder, &run("view --node m1"));
        let service = &view["services"][0];
        assert_eq!(service["doubt"], doubt("mill"));
        assert_eq!(service["endpoints"][2]["inDoubt"], true);
        let diff = json_of(&folder, &run("diff --node m1 --node d1"));
        let service = &diff["services"][0];
        assert_eq!(service["doubt"], json!({"left": doubt("mill"), "right": doubt("dam")}));
        let list = if kept > 0 { &service["both"] } else { &service["neither"] };
        assert_eq!(list[0]["inDoubt"], json!({"left": true, "right": true}));
    }
    // Known for one node only: it differs, and in doubt on one side.
    let folder = facts(&with(two_pools(), web()));
    let diff = done(&folder, "diff --node m1 --node d1 --facts facts.json");
    assert!(diff.ends_with("1 Services differ, 0 are alike.\n"), "{diff}");
    let without = with(two_pools().into_iter().take(4).collect(), web());
    let folder = facts(&without);
    let diff = done(&folder, "diff --node m1 --node d1 --facts facts.json");
    assert!(diff.contains("2 of 3") && diff.contains("3 of 3, in doubt"), "{diff}");
    // A Service that is not listed.
    let folder = facts(&with(two_pools(), [service("other", &json!({})), web()[1].clone()]));
    let view = done(&folder, "view --node m1 --facts facts.json ops/web");
    assert!(
        view.contains("in doubt: the Service is not known, so its endpoints pass (O1)"),
        "{view}"
    );
}

#[test]
fn long_names_never_push_the_answer_out() {
    let long = |number: &str| {
        format!("gke-site-7-europe-default-pool-0a1b2c3d-{number}.c.acme-site-prod.internal")
    };
    let aws = |number: &str| format!("ip-10-20-{number}.eu-central-1.compute.internal");
    let label = |pool: &str| json!({"apps.openyurt.io/nodepool": pool});
    let mills = [long("aaaa"), long("bbbb"), aws("7-1")];
    let dams = [long("cccc"), aws("9-1")];
    let pool = |name: &str, nodes: &[String]| {
        pool(name, &nodes.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let address = |at: usize, node: &String| endpoint(&format!("10.3.{at}.1"), node);
    let nodes = mills
        .iter()
        .map(|name| node(name, &label("mill")))
        .chain(dams.iter().map(|name| node(name, &label("dam"))));
    let endpoints: Vec<Value> =
        mills.iter().chain(&dams).enumerate().map(|(at, node)| address(at, node)).collect();
    let name = "a-service-whose-name-is-as-long-as-the-api-server-lets-it-be-63";
    let folder = facts(&with(
        nodes.collect(),
        [
            pool("mill", &mills),
            pool("dam", &dams),
            service(name, &json!({"clusterIP": "10.90.0.6", "ports": [{"port": 80}]})),
            slice(name, "1", &json!([{"name": "", "port": 8080}]), &endpoints),
        ],
    ));
    let explain = |more: &str| {
        done(&folder, &format!("explain --node {} --facts facts.json ops/{name}{more}", mills[0]))
    };
    let table = explain("");
    let drops: Vec<&str> = table.lines().filter(|line| line.contains("  drop  ")).collect();
    assert_eq!(drops.len(), 2, "{table}");
    assert_eq!(table.lines().filter(|line| line.contains("  keep  ")).count(), 3, "{table}");
    assert!(table.lines().any(|line| line.ends_with("WHY")), "{table}");
    let words: String = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words.matches("not in mill").count(), 2, "{table}");
    // The part that tells nodes apart stays.
    assert!(["-aaaa…", "-bbbb…", "-cccc…"].iter().all(|part| table.contains(part)), "{table}");
    let diff = |more: &str| {
        let nodes = format!("--node {} --node {}", mills[0], dams[0]);
        done(&folder, &format!("diff {nodes} --facts facts.json{more}"))
    };
    let differing = diff("");
    let ends: Vec<[&str; 2]> = rows(&differing)
        .iter()
        .filter(|cells| cells.len() > 3)
        .map(|cells| [cells[cells.len() - 2], cells[cells.len() - 1]])
        .collect();
    assert_eq!(ends[..2], [["LEFT", "RIGHT"], ["3 of 5", "2 of 5"]]);
    let (left, right) = (["sees", "-"], ["-", "sees"]);
    assert_eq!(ends[2..], [left, left, left, right, right], "{differing}");
    let view = done(&folder, &format!("view --node {} --facts facts.json", mills[0]));
    assert!(view.contains("10.3.0.1:8080/TCP (active) gke-"), "{view}");
    for text in [&table, &differing, &view] {
        // Names in sentences are whole; rows fit.
        let rows = text.lines().filter(|line| !line.contains(&*mills[0]) && !line.contains(name));
        assert!(rows.into_iter().all(|line| line.chars().count() <= 100), "{text}");
    }
    for wide in [explain(" -o wide"), diff(" -o wide")] {
        assert!(mills.iter().chain(&dams).all(|name| wide.contains(&**name)), "{wide}");
        assert!(!wide.contains('…'), "{wide}");
    }
}

#[test]
fn documents_are_json_or_yaml_with_the_same_content() {
    let hard =
        ["no", "1.10", "0x1f", "null", "~", "12:30", "1e3", "- a", "a: b", "\"q\" 'r'", "é\n#"];
    let mut objects = with(two_pools(), web());
    for (at, text) in hard.iter().enumerate() {
        let mut endpoint = endpoint("10.3.0.1", "m1");
        endpoint["nodeName"] = (*text).into();
        objects.push(slice(
            "web",
            &format!("hard-{at}"),
            &json!([{"name": text, "port": 1}]),
            &[endpoint],
        ));
    }
    let folder = facts(&objects);
    for args in [
        "view --node m1 --facts facts.json",
        "explain --node m1 --facts facts.json ops/web",
        "diff --node m1 --node d1 --facts facts.json",
    ] {
        let yaml = done(&folder, &format!("{args} -o yaml"));
        let read: Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(read, json_of(&folder, args), "{yaml}");
    }
}

#[test]
fn colours_come_only_when_they_are_asked_for() {
    let folder = facts(&with(two_pools(), web()));
    let (green, red) = ("\u{1b}[32m", "\u{1b}[1m\u{1b}[31m");
    for (args, parts) in [
        ("view --node m1 --facts facts.json", &[green][..]),
        ("explain --node m1 --facts facts.json ops/web", &[green, "\u{1b}[2m"]),
        ("diff --node m1 --node d1 --facts facts.json", &[green, "\u{1b}[2m"]),
    ] {
        let plain = done(&folder, args);
        assert!(!plain.contains('\u{1b}'), "{plain}");
        let forced = |more: &[(&str, &str)]| {
            let mut command = poolscope(&folder, args);
            command.env("CLICOLOR_FORCE", "1").envs(more.iter().copied());
            String::from_utf8(command.output().unwrap().stdout).unwrap()
        };
        let coloured = forced(&[]);
        assert!(parts.iter().all(|part| coloured.contains(part)), "{coloured:?}");
        // Colours change no column.
        let mut stripped = coloured.clone();
        for code in
            ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m"]
        {
            stripped = stripped.replace(code, "");
        }
        assert_eq!(stripped, plain);
        assert_eq!(forced(&[("NO_COLOR", "1")]), plain);
    }
    let empty = facts(&with(
        two_pools(),
        [
            service("web", &json!({"clusterIP": "10.90.0.5", "ports": [{"port": 80}]})),
            slice("web", "1", &Value::Null, &[]),
        ],
    ));
    let mut command = poolscope(&empty, "view --node m1 --facts facts.json");
    let shown = command.env("CLICOLOR_FORCE", "1").output().unwrap().stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains(&format!("{red}no backend")), "{shown:?}");
    // A name with an escape code colours nothing.
    let mut hostile = with(two_pools(), web());
    hostile[6]["endpoints"][2]["nodeName"] = "d1\u{1b}[31m".into();
    let hostile = done(&facts(&hostile), "explain --node m1 --facts facts.json ops/web");
    assert!(!hostile.contains('\u{1b}'), "{hostile:?}");
}

#[test]
fn an_argument_that_is_a_service_and_a_file_is_what_the_verb_needs() {
    let folder = facts(&with(two_pools(), web()));
    std::fs::create_dir(folder.path().join("ops")).unwrap();
    std::fs::copy(folder.path().join("facts.json"), folder.path().join("ops/web")).unwrap();
    let shown = |args: &str| {
        let output = run(&folder, args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        (String::from_utf8(output.stdout).unwrap(), said)
    };
    let (table, said) = shown("explain --node m1 --facts facts.json ops/web");
    assert!(table.starts_with("ops/web keeps to the pool"), "{table}");
    assert!(said.contains("note: ops/web is taken as a Service"), "{said}");
    // It has its Service, so that the other argument is a file.
    std::fs::rename(folder.path().join("ops/web"), folder.path().join("ops/more")).unwrap();
    let (table, said) = shown("explain --node m1 --facts facts.json ops/more ops/web");
    assert!(table.starts_with("ops/web keeps to the pool"), "{table}");
    assert!(said.contains("note: ops/more is read as facts"), "{said}");
    // `view` needs none.
    let (_, said) = shown("view --node m1 --facts facts.json ops/more");
    assert!(said.contains("note: ops/more is read as facts"), "{said}");
    // No note where an argument can be but one of the two.
    let (_, said) = shown("view --node m1 --facts ops/more facts.json ops/web");
    assert!(!said.contains("note: "), "{said}");
}

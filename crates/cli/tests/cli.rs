//! The `poolscope` command, run as users run it.

mod command;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use poolscope_testkit::{Recording, cluster};
use serde_json::{Value, json};

use crate::command::{recorded, run};

/// Standard output of a run that did its work.
fn done(args: &[&str]) -> String {
    let output = run(args, b"");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a run that failed: one line, after the line that tells which facts were read.
fn failed(args: &[&str], stdin: &[u8]) -> String {
    let output = run(args, stdin);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("facts: ")).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    assert!(lines[0].starts_with("poolscope: "), "{stderr}");
    lines[0].to_owned()
}

#[test]
fn filter_gives_what_the_library_gives() {
    let facts = recorded("list");
    for name in [
        "list/endpointslices-json.json",
        "list/endpointslices-proto.pb",
        "watch/endpointslices-proto.pb",
        "watchlist/endpoints-json.json",
        "get/endpointslice-json.json",
    ] {
        let body = recorded(name);
        let recording = Recording::load(name);
        for node in ["hz-edge-1", "cloud-master-0"] {
            let expected = recording.filter(&cluster("list").node(node));
            for chunk in ["1", "97", "1000000"] {
                let output = run(
                    &["filter", "--node", node, "--facts", &facts, "--chunk", chunk, &body],
                    b"",
                );
                assert!(
                    output.status.success() && output.stdout == expected,
                    "{name} for {node} in {chunk}"
                );
            }
            // By standard input, with the meta file named.
            let meta = body.rsplit_once('.').unwrap().0.to_owned() + ".meta.json";
            let output = run(
                &["filter", "--node", node, "--facts", &facts, "--meta", &meta],
                &recording.body,
            );
            assert!(
                output.status.success() && output.stdout == expected,
                "{name} for {node} by standard input"
            );
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(
                stderr.contains(&format!("filtered for {node}")) && stderr.contains("objects"),
                "{stderr}"
            );
        }
    }
}

#[test]
fn filter_passes_what_is_not_to_be_filtered() {
    let facts = recorded("list");
    for name in ["error/unauthorized-proto.pb", "list/configmaps-json.json"] {
        let output =
            run(&["filter", "--node", "hz-edge-1", "--facts", &facts, &recorded(name)], b"");
        assert!(output.status.success());
        assert_eq!(output.stdout, Recording::load(name).body, "{name}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("passed untouched"), "{name}");
    }
}

#[test]
fn view_shows_exactly_what_filter_leaves() {
    for folder in ["list", "after"] {
        for node in ["hz-edge-1", "sh-edge-4", "bj-edge-1", "cloud-master-0"] {
            let facts = recorded(folder);
            let view: Value = serde_json::from_str(&done(&[
                "view", "--node", node, "--facts", &facts, "-o", "json",
            ]))
            .unwrap();
            let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for service in view["services"].as_array().unwrap() {
                for endpoint in service["endpoints"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|endpoint| endpoint["kept"] == json!(true))
                {
                    let object = endpoint["object"].as_str().unwrap().to_owned();
                    seen.entry(object)
                        .or_default()
                        .push(endpoint["address"].as_str().unwrap().to_owned());
                }
            }
            let filtered = Recording::load(&format!("{folder}/endpointslices-json.json"))
                .filter(&cluster(folder).node(node));
            let filtered: Value = serde_json::from_slice(&filtered).unwrap();
            let mut left: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for slice in filtered["items"].as_array().unwrap() {
                let metadata = &slice["metadata"];
                // A slice that names no Service belongs to none that could be shown.
                if metadata["labels"]["kubernetes.io/service-name"].is_null() {
                    continue;
                }
                let name = format!(
                    "{}/{}",
                    metadata["namespace"].as_str().unwrap(),
                    metadata["name"].as_str().unwrap()
                );
                let addresses = slice["endpoints"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|endpoint| endpoint["addresses"][0].as_str().unwrap().to_owned());
                left.insert(name, addresses.collect());
            }
            left.retain(|_, addresses| !addresses.is_empty());
            assert_eq!(seen, left, "{folder}: {node}");
        }
    }
}

#[test]
fn tables_fit_a_hundred_columns_and_name_what_matters() {
    let facts = recorded("list");
    let after = recorded("after");
    let view =
        done(&["view", "--node", "hz-edge-1", "--facts", &facts, "shop/cart", "iot/collector"]);
    assert!(view.starts_with("What node hz-edge-1 sees (pool hangzhou):\n"), "{view}");
    assert!(view.contains("13 of 31 endpoints kept, 18 dropped"), "{view}");
    assert!(view.contains("1 => 10.244.0.5:8080/TCP (active) hz-edge-1"), "{view}");
    assert!(view.contains("[fd00:10:96::e594]:80/TCP"), "{view}");
    let explain = done(&["explain", "--node", "hz-edge-1", "--facts", &facts, "shop/cart"]);
    assert!(
        explain.contains("drop     O7    bj-edge-2 is in beijing, not in hangzhou"),
        "{explain}"
    );
    assert!(explain.contains("drop     O5    it names no node"), "{explain}");
    let doubt =
        done(&["explain", "--node", "bj-edge-1", "--facts", &after, "-o", "table", "shop/cart"]);
    assert!(
        doubt.contains("keep     O9    in doubt: no list of the nodes in pool beijing"),
        "{doubt}"
    );
    let diff =
        done(&["diff", "--node", "hz-edge-1", "--node", "cloud-master-0", "--facts", &facts]);
    assert!(
        diff.starts_with(
            "Left: node hz-edge-1 (pool hangzhou). Right: node cloud-master-0 (no pool).\n"
        ),
        "{diff}"
    );
    assert!(diff.contains("Services differ"), "{diff}");
    let whole = done(&["view", "--node", "sh-edge-1", "--facts", &after]);
    for text in [view, explain, doubt, diff, whole] {
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}

#[test]
fn diff_in_json_accounts_for_every_endpoint() {
    let facts = recorded("list");
    let diff: Value = serde_json::from_str(&done(&[
        "diff",
        "--node",
        "hz-edge-1",
        "--node",
        "sh-edge-1",
        "--facts",
        &facts,
        "-o",
        "json",
    ]))
    .unwrap();
    assert_eq!(
        diff["nodes"],
        json!([
            {"name": "hz-edge-1", "pool": "hangzhou"},
            {"name": "sh-edge-1", "pool": "shanghai"},
        ])
    );
    let services = diff["services"].as_array().unwrap();
    let cart = services
        .iter()
        .find(|service| service["namespace"] == "shop" && service["name"] == "cart")
        .unwrap();
    let count = |key: &str| cart[key].as_array().unwrap().len();
    assert_eq!((count("both"), count("onlyLeft")), (0, 13));
    assert_eq!(count("both") + count("onlyLeft") + count("onlyRight") + count("neither"), 31);
    assert!(
        cart["onlyRight"]
            .as_array()
            .unwrap()
            .iter()
            .all(|endpoint| endpoint["node"].as_str().unwrap().starts_with("sh-edge"))
    );
}

#[test]
fn what_kubectl_prints_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let items = |name: &str, api_version: &str, kind: &str| -> Vec<Value> {
        let list: Value =
            serde_json::from_slice(&Recording::load(&format!("list/{name}-json.json")).body)
                .unwrap();
        let mut items = list["items"].as_array().unwrap().clone();
        for item in &mut items {
            item["apiVersion"] = api_version.into();
            item["kind"] = kind.into();
        }
        items
    };
    let kinds = [
        ("services", "v1", "Service"),
        ("nodes", "v1", "Node"),
        ("nodepools", "apps.openyurt.io/v1beta2", "NodePool"),
        ("endpointslices", "discovery.k8s.io/v1", "EndpointSlice"),
    ];
    // kubectl get -A -o json svc,nodes,nodepools,endpointslices
    let all: Vec<Value> =
        kinds.iter().flat_map(|(name, api_version, kind)| items(name, api_version, kind)).collect();
    let mixed = json!({
        "apiVersion": "v1",
        "kind": "List",
        "metadata": {"resourceVersion": ""},
        "items": all,
    })
    .to_string();
    let write = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mixed = write("all.json", &mixed);
    let expected = done(&["view", "--node", "hz-edge-1", "--facts", &recorded("list")]);
    assert_eq!(
        done(&["view", "--node", "hz-edge-1", "--facts", mixed.to_str().unwrap()]),
        expected
    );
    let by_stdin =
        run(&["view", "--node", "hz-edge-1", "--facts", "-"], &std::fs::read(&mixed).unwrap());
    assert_eq!(String::from_utf8(by_stdin.stdout).unwrap(), expected);
    // kubectl get --raw of each, several after one --facts
    let raw: Vec<PathBuf> = kinds
        .iter()
        .map(|(name, ..)| {
            write(
                &format!("{name}.json"),
                &String::from_utf8(Recording::load(&format!("list/{name}-json.json")).body)
                    .unwrap(),
            )
        })
        .collect();
    let raw: Vec<&str> = raw.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(done(&[&["view", "--node", "hz-edge-1", "--facts"], &raw[..]].concat()), expected);
    // One of them as the body of a filter.
    let body = raw[3];
    let filtered =
        done(&["filter", "--node", "hz-edge-1", "--facts", raw[0], raw[1], raw[2], body]);
    assert_eq!(
        filtered.into_bytes(),
        Recording::load("list/endpointslices-json.json").filter(&cluster("list").node("hz-edge-1"))
    );
    // A folder of them.
    std::fs::remove_file(&mixed).unwrap();
    assert_eq!(
        done(&["view", "--node", "hz-edge-1", "--facts", folder.path().to_str().unwrap()]),
        expected
    );
}

#[test]
fn the_configuration_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let config = |text: &str| {
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let facts = recorded("list");
    let off = config(r#"{"rewrites":{"serviceTopology":false}}"#);
    let view =
        done(&["view", "--node", "hz-edge-1", "--facts", &facts, "--config", &off, "shop/cart"]);
    assert!(view.contains("31 of 31 endpoints kept"), "{view}");
    let wrong = config(r#"{"membership":"nodePools"}"#);
    let error =
        failed(&["view", "--node", "hz-edge-1", "--facts", &facts, "--config", &wrong], b"");
    assert!(error.contains("config.json") && error.contains("nodePools"), "{error}");
}

#[test]
fn failures_are_one_line_and_exit_1() {
    let facts = recorded("list");
    let slices = recorded("list/endpointslices-json.json");
    let error = failed(
        &["view", "--node", "hz-edge-1", "--facts", &recorded("list/services-json.json")],
        b"",
    );
    assert!(
        error.contains("no Node was read yet (GET /api/v1/nodes/hz-edge-1)")
            && error.contains("NodePool"),
        "{error}"
    );
    let error = failed(
        &[
            "filter",
            "--node",
            "hz-edge-1",
            "--facts",
            &recorded("list/services-json.json"),
            &slices,
        ],
        b"",
    );
    assert!(error.contains("facts are incomplete"), "{error}");
    let error = failed(&["view", "--node", "hz-edge-1", "--facts", &facts, "shop/nothing"], b"");
    assert!(error.contains("shop/nothing"), "{error}");
    let error = failed(
        &[
            "filter",
            "--node",
            "hz-edge-1",
            "--facts",
            &facts,
            &recorded("list/endpointslices-yaml.yaml"),
        ],
        b"",
    );
    assert!(error.contains("application/yaml") && error.contains("cannot be read"), "{error}");
    let error =
        failed(&["filter", "--node", "hz-edge-1", "--facts", &facts, "/nowhere/body.json"], b"");
    assert!(error.contains("/nowhere/body.json"), "{error}");
    // A body that ends early: what came out is not the whole answer, and that is said.
    let meta = recorded("list/endpointslices-json.meta.json");
    let body = Recording::load("list/endpointslices-json.json").body;
    let error = failed(
        &["filter", "--node", "hz-edge-1", "--facts", &facts, "--meta", &meta],
        &body[..50_000],
    );
    assert!(
        error.contains("ends at byte 50000 inside a list item")
            && error.contains("not the whole answer"),
        "{error}"
    );
}

#[test]
fn a_node_that_nobody_knows_is_warned_of() {
    let facts = recorded("list");
    let output = run(&["view", "--node", "nosuch", "--facts", &facts, "shop/cart"], b"");
    assert!(output.status.success());
    assert!(
        String::from_utf8(output.stderr).unwrap().contains("warning: no Node nosuch in the facts")
    );
    let output = run(&["view", "--node", "cloud-master-0", "--facts", &facts, "shop/cart"], b"");
    assert!(!String::from_utf8(output.stderr).unwrap().contains("warning"));
}

#[test]
fn a_frontend_falls_back_to_what_terminates_in_its_own_family() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.json");
    let slice = |name: &str, address: &str, conditions: Value| {
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name,
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "endpoints": [{"addresses": [address], "conditions": conditions, "nodeName": "a"}],
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        })
    };
    let all = json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "type": "ClusterIP",
                "clusterIPs": ["10.0.0.1", "fd00::1"],
                "ports": [{"name": null, "port": 80}],
            },
        },
        slice("web-4", "10.1.0.1", json!({"ready": true})),
        slice("web-6", "fd00::2", json!({"ready": false, "serving": true, "terminating": true})),
    ]});
    std::fs::write(&path, all.to_string()).unwrap();
    let config = folder.path().join("config.json");
    std::fs::write(&config, r#"{"membership":"off"}"#).unwrap();
    let view = done(&[
        "view",
        "--node",
        "a",
        "--facts",
        path.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
    ]);
    assert!(view.contains("1 => 10.1.0.1:8080/TCP (active) a"), "{view}");
    assert!(view.contains("1 => [fd00::2]:8080/TCP (terminating) a"), "{view}");
}

#[test]
fn wrong_usage_exits_2() {
    let facts = recorded("list");
    for args in [
        &["view"][..],
        &["view", "--node", "a", "--facts", &facts, "cart"],
        &["explain", "--node", "a", "--facts", &facts],
        &["diff", "--node", "a", "--facts", &facts],
        &["view", "--node", "", "--facts", &facts],
        &["view", "--node", "a", "--facts", "-", "--facts", "-"],
        &["filter", "--node", "a", "--facts", &facts, "--chunk", "0"],
        &["filter", "--node", "a", "--facts", "-", "-"],
        &["nothing"],
    ] {
        let output = run(args, b"");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
    }
}

/// The configuration, and a ConfigMap without the guide's line. The recorded cluster's own has it.
const YURTHUB: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/yurthub/config.json"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/yurthub/before.json"),
];

/// A verb for the recorded cluster and cilium-agent.
fn yurthub<'a>(verb: &'a str, facts: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let head = [verb, "--config", YURTHUB[0], "--user-agent", "cilium-agent", "--facts", facts];
    head.into_iter().chain(rest.iter().copied()).collect()
}

#[test]
fn the_guides_line_is_seen_before_and_after() {
    let facts = recorded("list");
    let view = |more: &[&str]| {
        done(&yurthub(
            "view",
            &facts,
            &[more, &["--node", "hz-edge-1", "shop/cart", "iot/dash"]].concat(),
        ))
    };
    let (before, after) = (view(&[YURTHUB[1]]), view(&[]));
    assert!(
        before.contains("shop/cart (pool): 31 of 31 endpoints kept\n")
            && before.contains("iot/dash (any): "),
        "{before}"
    );
    assert!(after.contains("shop/cart (pool): 13 of 31 endpoints kept, 18 dropped"), "{after}");
    let why = "nodeport.openyurt.io/listen: \"-hangzhou\" excludes pool hangzhou";
    assert!(
        after.contains(&format!("iot/dash: filtered out by nodePortIsolation (N4):\n    {why}\n")),
        "{after}"
    );
    // As it was read by itself, in both encodings.
    let some = ["services", "nodes", "nodepools", "endpointslices"]
        .map(|kind| recorded(&format!("list/{kind}-json.json")));
    let rest = [&*some[1], &some[2], &some[3], "--node", "hz-edge-1", "shop/cart", "iot/dash"];
    for name in ["get/yurt-hub-cfg-json.json", "get/yurt-hub-cfg-proto.pb"] {
        assert_eq!(
            done(&yurthub("view", &some[0], &[&[&*recorded(name)], &rest[..]].concat())),
            after,
            "{name}"
        );
    }
    // Without the ConfigMap it is not known who gets what, and without a client it has to be
    // emitted.
    let line = failed(&yurthub("view", &some[0], &rest), b"");
    assert!(line.contains("ConfigMap") && line.contains("yurt-hub-cfg"), "{line}");
    let output =
        run(&["view", "--config", YURTHUB[0], "--node", "hz-edge-1", "--facts", &facts], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--user-agent"));
}

#[test]
fn explain_names_the_rewrite_the_rule_and_the_fact() {
    let facts = recorded("list");
    let explain =
        |node: &str, service: &str| done(&yurthub("explain", &facts, &["--node", node, service]));
    let text = explain("bj-edge-1", "iot/mqtt");
    let why = "nodeport.openyurt.io/listen: \"hangzhou, shanghai\" does not name pool beijing";
    assert!(
        text.contains(&format!(
            "The Service is filtered out by nodePortIsolation (N6):\n    {why}\n"
        )),
        "{text}"
    );
    assert!(
        text.contains(
            "Its endpoints by serviceTopology, from openyurt.io/topologyKeys: \
             \"openyurt.io/nodepool\":"
        ),
        "{text}"
    );
    let text = explain("hz-edge-1", "iot/lb-cloud");
    assert!(
        text.contains(
            "filtered out by discardCloudService (D1):\n    type LoadBalancer, and \
             svc.openyurt.io/discard: \"true\"\n"
        ),
        "{text}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let json =
        done(&yurthub("explain", &facts, &["--node", "bj-edge-1", "-o", "json", "iot/mqtt"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    let service = &json["services"][0];
    let told = ["visible", "rewrite", "reason", "rule", "why"].map(|key| service[key].clone());
    assert_eq!(
        told,
        [json!(false), json!("nodePortIsolation"), json!("poolNotNamed"), json!("N6"), json!(why)]
    );
    assert_eq!(service["endpoints"][0]["rewrite"], "serviceTopology");
}

#[test]
fn diff_tells_services_that_only_one_node_sees() {
    let facts = recorded("list");
    let text =
        done(&yurthub("diff", &facts, &["--node", "hz-edge-1", "--node", "bj-edge-1", "iot/mqtt"]));
    let line =
        text.lines().find(|line| line.starts_with("iot/mqtt")).unwrap_or_else(|| panic!("{text}"));
    assert!(
        line.contains("2 of 6")
            && line.contains("filtered out")
            && text.ends_with("1 Services differ, 0 are alike.\n"),
        "{text}"
    );
    let json = done(&yurthub(
        "diff",
        &facts,
        &["--node", "hz-edge-1", "--node", "bj-edge-1", "-o", "json", "iot/mqtt"],
    ));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["services"][0]["visible"], json!({"left": true, "right": false}));
    assert_eq!(json["services"][0]["onlyLeft"].as_array().unwrap().len(), 2);
}

#[test]
fn filter_hides_services_from_the_client_that_is_named() {
    let (facts, body) = (recorded("list"), recorded("list/services-json.json"));
    let filter = |agent: &str| {
        let args = [
            "filter",
            "--config",
            YURTHUB[0],
            "--user-agent",
            agent,
            "--node",
            "hz-edge-1",
            "--facts",
            &facts,
            &body,
        ];
        let output = run(&args, b"");
        assert!(output.status.success());
        let summary = String::from_utf8(output.stderr).unwrap();
        (
            serde_json::from_slice::<Value>(&output.stdout).unwrap()["items"]
                .as_array()
                .unwrap()
                .len(),
            summary,
        )
    };
    let ((all, _), (seen, summary)) = (filter("kubectl"), filter("cilium-agent"));
    assert_eq!(all - seen, 3, "iot/dash, iot/lb-cloud and the tunnel");
    assert!(summary.contains("servicesFilteredOut 3"), "{summary}");
}

#[test]
fn the_kubernetes_service_is_shown_where_it_leads() {
    let config = tempfile::NamedTempFile::new().unwrap();
    let hub = json!({"host": "169.254.2.1", "port": 10268});
    let document = json!({"rewrites": {"masterService": hub, "forwardKubernetesService": hub}});
    std::fs::write(config.path(), document.to_string()).unwrap();
    let (facts, config) = (recorded("list"), config.path().to_str().unwrap());
    let text = done(&[
        "view",
        "--config",
        config,
        "--node",
        "hz-edge-1",
        "--facts",
        &facts,
        "default/kubernetes",
    ]);
    assert!(
        text.contains("169.254.2.1:10268/TCP")
            && text.contains("=> 169.254.2.1:10268/TCP (active)"),
        "{text}"
    );
    let text = done(&[
        "explain",
        "--config",
        config,
        "--node",
        "hz-edge-1",
        "--facts",
        &facts,
        "default/kubernetes",
    ]);
    assert!(text.contains("visible by masterService (M1):") && text.contains("F1"), "{text}");
}

/// The facts of node `ap1` in pool `harbor` as kubectl prints them: a Service that keeps to the
/// pool, with an endpoint on the node and one elsewhere.
fn printed() -> Vec<Value> {
    let endpoint = |address: &str, node: &str| json!({"addresses": [address], "nodeName": node});
    let object = |version: &str, kind: &str, metadata: Value, rest: Value| {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": metadata});
        let rest = rest.as_object().unwrap().clone();
        object.as_object_mut().unwrap().extend(rest);
        object
    };
    let annotations = json!({"openyurt.io/topologyKeys": "openyurt.io/nodepool"});
    let ports = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    vec![
        object(
            "v1",
            "Service",
            json!({"namespace": "pay", "name": "web", "annotations": annotations}),
            json!({"spec": {"clusterIP": "10.96.2.1", "type": "ClusterIP", "ports": ports}}),
        ),
        object(
            "v1",
            "Node",
            json!({"name": "ap1", "labels": {"apps.openyurt.io/nodepool": "harbor"}}),
            json!({}),
        ),
        object(
            "apps.openyurt.io/v1beta2",
            "NodePool",
            json!({"name": "harbor"}),
            json!({"status": {"nodes": ["ap1"]}}),
        ),
        object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({"namespace": "pay", "name": "web-1",
                   "labels": {"kubernetes.io/service-name": "web"}}),
            json!({"addressType": "IPv4",
                   "ports": [{"name": "http", "port": 9090, "protocol": "TCP"}],
                   "endpoints": [endpoint("10.8.0.2", "ap1"), endpoint("10.8.9.9", "bj1")]}),
        ),
    ]
}

fn list_of(objects: &[Value]) -> String {
    let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": objects});
    serde_json::to_string_pretty(&list).unwrap()
}

/// Block YAML, as `kubectl get -o yaml` prints it.
fn yaml(value: &Value, indent: usize) -> String {
    let pad = " ".repeat(indent);
    let scalar = |value: &Value| match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                value if scalar(value) => format!("{pad}{key}: {value}\n"),
                Value::Array(_) => format!("{pad}{key}:\n{}", yaml(value, indent)),
                value => format!("{pad}{key}:\n{}", yaml(value, indent + 2)),
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                item if scalar(item) => format!("{pad}- {item}\n"),
                item => format!("{pad}- {}", yaml(item, indent + 2).trim_start()),
            })
            .collect(),
        value => format!("{pad}{value}\n"),
    }
}

/// One YAML document for each object.
fn documents_of(objects: &[Value]) -> String {
    let documents: Vec<String> = objects.iter().map(|object| yaml(object, 0)).collect();
    documents.join("---\n")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn facts_are_read_in_every_form_in_which_kubectl_and_shells_write_them() {
    let objects = printed();
    let list = list_of(&objects);
    let lines: Vec<String> = objects.iter().map(Value::to_string).collect();
    let documents = documents_of(&objects);
    let events: Vec<String> =
        lines.iter().map(|line| format!(r#"{{"type":"ADDED","object":{line}}}"#)).collect();
    let utf16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        format!("\u{feff}{list}").encode_utf16().flat_map(unit).collect()
    };
    let whole: serde_json::Value = serde_json::from_str(&list).unwrap();
    let forms: Vec<(&str, Vec<u8>)> = vec![
        ("plain.json", list.clone().into()),
        ("windows.json", list.replace('\n', "\r\n").into()),
        ("mark.json", format!("\u{feff}{list}").into()),
        ("little.json", utf16(u16::to_le_bytes)),
        ("big.json", utf16(u16::to_be_bytes)),
        ("lines.jsonl", lines.join("\n").into()),
        ("watched.json", objects.iter().map(|one| format!("{one:#}\n")).collect::<String>().into()),
        ("events.json", events.join("\n").into()),
        ("list.yaml", yaml(&whole, 0).into()),
        ("documents.yaml", documents.clone().into()),
        ("windows.yml", documents.replace('\n', "\r\n").into()),
        ("packed.json.gz", gzip(list.as_bytes())),
        ("packed.yaml.gz", gzip(documents.as_bytes())),
    ];
    let expected = "1 of 2 endpoints kept, 1 dropped";
    for (name, bytes) in forms {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        for path in [file.to_str().unwrap(), folder.path().to_str().unwrap()] {
            let table = done(&["view", "--node", "ap1", "--facts", path, "pay/web"]);
            assert!(table.contains(expected) && table.contains("10.8.0.2:9090"), "{name}: {table}");
        }
    }
}

#[test]
fn files_that_are_no_facts_are_named_with_what_to_do() {
    let forbidden = r#"{"kind":"Status","apiVersion":"v1","status":"Failure",
        "message":"nodes is forbidden: User \"eve\" cannot list","reason":"Forbidden","code":403}"#;
    let list = list_of(&printed());
    for (name, bytes, part) in [
        ("empty.json", "".into(), "white space"),
        ("cut.json", list.as_bytes()[..list.len() / 2].to_vec(), "the JSON is cut"),
        ("status.json", forbidden.into(), "nodes is forbidden"),
        ("table.json", r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1"}"#.into(), "-o json"),
        ("login.json", "<!DOCTYPE html>".into(), "HTML"),
        ("columns.yaml", "NAME   STATUS\nap1    Ready\n".into(), "-o json"),
        ("nul.json", list.replacen("harbor", "har\0bor", 1).into_bytes(), "NUL"),
        ("cut.json.gz", gzip(list.as_bytes())[..100].to_vec(), "gzip"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let error = failed(&["view", "--node", "ap1", "--facts", file.to_str().unwrap()], b"");
        assert!(error.contains(part) && error.contains(name), "{name}: {error}");
        // In a folder they are named, and the others are read.
        std::fs::write(folder.path().join("good.json"), list_of(&printed())).unwrap();
        let path = folder.path().to_str().unwrap();
        let output = run(&["view", "--node", "ap1", "--facts", path, "pay/web"], b"");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.contains("not read: "), "{name}: {said}");
        assert!(said.contains(part) && said.contains(name), "{name}: {said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let facts = folder.path().join("facts.json");
    std::fs::write(&facts, &list).unwrap();
    let slices = folder.path().join("slices.yaml");
    std::fs::write(&slices, yaml(&printed()[3], 0)).unwrap();
    let args = ["filter", "--node", "ap1", "--facts"];
    let paths = [facts.to_str().unwrap(), slices.to_str().unwrap()];
    let error = failed(&[&args[..], &paths[..]].concat(), b"");
    assert!(error.contains("YAML") && error.contains("kubectl get --raw"), "{error}");
}

#[test]
fn without_endpoints_no_verb_answers() {
    let folder = tempfile::tempdir().unwrap();
    let facts = folder.path().join("facts.json");
    std::fs::write(&facts, list_of(&printed()[..3])).unwrap();
    let facts = ["--facts", facts.to_str().unwrap()];
    for args in [
        &["view", "--node", "ap1"][..],
        &["explain", "--node", "ap1", "pay/web"],
        &["diff", "--node", "ap1", "--node", "ap2"],
    ] {
        let output = run(&[args, &facts[..]].concat(), b"");
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(output.stdout.is_empty() && error.contains("no EndpointSlices"), "{error}");
    }
    // A node beside itself is no comparison.
    let output = run(&[&["diff", "--node", "ap1", "--node", "ap1"], &facts[..]].concat(), b"");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("both are the same"), "{error}");
}

#[test]
fn a_folder_has_a_file_for_each_namespace_and_the_lists_of_informers() {
    let objects = printed();
    let mut other = [objects[0].clone(), objects[3].clone()];
    for object in &mut other {
        object["metadata"]["namespace"] = "web".into();
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("base.json", list_of(&objects[1..3]));
    write("pay.json", list_of(&[objects[0].clone(), objects[3].clone()]));
    write("web.yaml", documents_of(&other));
    let path = folder.path().to_str().unwrap();
    for service in ["pay/web", "web/web"] {
        let table = done(&["view", "--node", "ap1", "--facts", path, service]);
        assert!(table.contains("1 of 2 endpoints kept"), "{table}");
    }

    // The first page of a list is none, and a list at resourceVersion 0 is whole.
    let recorded = |query: &str, token: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("base.json"), list_of(&objects[..3])).unwrap();
        let list = json!({"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1",
            "metadata": {"resourceVersion": "7", "continue": token}, "items": [objects[3]]});
        std::fs::write(folder.path().join("slices.json"), list.to_string()).unwrap();
        let meta = json!({"method": "GET", "status": 200,
            "path": format!("/apis/discovery.k8s.io/v1/endpointslices?{query}"),
            "responseHeaders": {"Content-Type": ["application/json"]}});
        std::fs::write(folder.path().join("slices.meta.json"), meta.to_string()).unwrap();
        folder
    };
    let whole = recorded("limit=500&resourceVersion=0", "");
    let path = whole.path().to_str().unwrap();
    assert!(done(&["view", "--node", "ap1", "--facts", path]).contains("1 of 2 endpoints kept"));
    let page = recorded("limit=1", "next");
    let path = page.path().to_str().unwrap();
    let error = failed(&["view", "--node", "ap1", "--facts", path], b"");
    assert!(error.contains("no EndpointSlices"), "{error}");
}

#[test]
fn recordings_behind_a_prefix_and_with_whole_urls_are_facts() {
    let objects = printed();
    for prefix in ["", "/k8s/clusters/c-1", "https://rancher.example/k8s/clusters/c-1"] {
        let folder = tempfile::tempdir().unwrap();
        for (object, path, list) in [
            (&objects[0], "/api/v1/services", "ServiceList"),
            (&objects[1], "/api/v1/nodes", "NodeList"),
            (&objects[2], "/apis/apps.openyurt.io/v1beta2/nodepools", "NodePoolList"),
            (&objects[3], "/apis/discovery.k8s.io/v1/endpointslices", "EndpointSliceList"),
        ] {
            let body = json!({"kind": list, "apiVersion": object["apiVersion"],
                "metadata": {"resourceVersion": "7"}, "items": [object]});
            let meta = json!({"method": "GET", "path": format!("{prefix}{path}"), "status": 200,
                "responseHeaders": {"Content-Type": ["application/json"]}});
            let file = |end: &str| folder.path().join(format!("{list}{end}"));
            std::fs::write(file(".json"), body.to_string()).unwrap();
            std::fs::write(file(".meta.json"), meta.to_string()).unwrap();
        }
        let path = folder.path().to_str().unwrap();
        let table = done(&["view", "--node", "ap1", "--facts", path]);
        assert!(table.contains("pay/web (pool): 1 of 2 endpoints kept"), "{prefix}: {table}");
    }
}

#[test]
fn single_objects_are_used_and_said_to_be_not_enough() {
    let folder = tempfile::tempdir().unwrap();
    let mut args = vec!["view".to_owned(), "--node".into(), "ap1".into(), "--facts".into()];
    for (number, object) in printed().iter().enumerate() {
        let file = folder.path().join(format!("{number}.json"));
        std::fs::write(&file, object.to_string()).unwrap();
        args.push(file.to_str().unwrap().to_owned());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = run(&args, b"");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("single Services and pools say nothing of others"), "{said}");
}

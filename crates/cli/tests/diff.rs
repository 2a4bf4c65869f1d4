//! `poolscope diff` with one node at two moments.

mod command;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::command::{recorded, run};

const KEYS: &str = "openyurt.io/topologyKeys";
const POOL: &str = "openyurt.io/nodepool";

/// Runs the command, which has to succeed; returns standard output and standard error.
fn done(args: &[&str]) -> (String, String) {
    let output = run(args, b"");
    let [out, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{args:?}: {errors}");
    (out, errors)
}

fn document(args: &[&str]) -> Value {
    serde_json::from_str(&done(&[args, &["-o", "json"]].concat()).0).unwrap()
}

/// Returns addresses with their number.
fn counted<'a>(endpoints: impl Iterator<Item = &'a Value>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for endpoint in endpoints {
        *counts.entry(endpoint["address"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn each_side_has_what_view_shows_of_its_moment() {
    let moments = ["list", "after"].map(recorded);
    let [before, after] = &moments;
    let diff = document(&["diff", "--node", "hz-edge-1", "--before", before, "--facts", after]);
    for (moment, side, only) in [(before, "left", "onlyLeft"), (after, "right", "onlyRight")] {
        let view = document(&["view", "--node", "hz-edge-1", "--facts", moment]);
        let mut shown = 0;
        for pair in diff["services"].as_array().unwrap() {
            let name = |service: &Value| (service["namespace"].clone(), service["name"].clone());
            let services = view["services"].as_array().unwrap();
            let service = services.iter().find(|service| name(service) == name(pair));
            assert_eq!(pair["visible"][side].is_null(), service.is_none(), "{pair}");
            let Some(service) = service else { continue };
            assert_eq!(pair["topologies"][side], service["topology"]);
            let all = service["endpoints"].as_array().unwrap();
            let of = |key: &str| pair[key].as_array().unwrap();
            let seen = of("both").iter().chain(of(only));
            let kept = all.iter().filter(|endpoint| endpoint["kept"] == true);
            assert_eq!(counted(seen), counted(kept), "{side}: {pair}");
            let there = ["both", "onlyLeft", "onlyRight", "neither"].map(of).into_iter().flatten();
            let there = there.filter(|endpoint| !endpoint["state"][side].is_null());
            assert_eq!(counted(there), counted(all.iter()), "{side}: {pair}");
            shown += 1;
        }
        assert_eq!(shown, view["services"].as_array().unwrap().len());
    }
    // A moment beside itself has no difference.
    let (text, _) = done(&["diff", "--node", "hz-edge-1", "--before", before, "--facts", before]);
    assert!(text.contains("\n0 Services differ, "), "{text}");
}

/// The objects of one moment: two pools of one node, and Services of one slice.
struct Moment(Vec<Value>);

impl Moment {
    fn new() -> Moment {
        let mut objects = Vec::new();
        for pool in ["a", "b"] {
            let node = format!("{pool}1");
            let labels = json!({"apps.openyurt.io/nodepool": pool});
            objects.push(json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": labels},
            }));
            objects.push(json!({
                "apiVersion": "apps.openyurt.io/v1beta2", "kind": "NodePool",
                "metadata": {"name": pool}, "status": {"nodes": [node]},
            }));
        }
        Moment(objects)
    }

    /// Adds a Service with endpoints: address, node and readiness.
    fn service(mut self, path: &str, keys: &str, endpoints: &[(&str, &str, bool)]) -> Moment {
        let (namespace, name) = path.split_once('/').unwrap();
        self.0.push(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"namespace": namespace, "name": name, "annotations": {KEYS: keys}},
            "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
        }));
        let endpoint = |(address, node, ready): &(&str, &str, bool)| json!({"addresses": [address], "nodeName": node, "conditions": {"ready": ready}});
        self.0.push(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": namespace, "name": format!("{name}-{}", self.0.len()),
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4", "ports": [{"port": 8080}],
            "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        }));
        self
    }

    /// Writes the lists, and returns their path.
    fn write(&self, path: &Path) -> String {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": self.0});
        std::fs::write(path, list.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[test]
fn what_changed_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let before = Moment::new()
        .service("shop/gone", POOL, &[("10.1.0.9", "a1", true)])
        .service("shop/same", POOL, &[("10.1.0.8", "a1", true)])
        .service(
            "shop/web",
            POOL,
            &[
                ("10.1.0.1", "a1", true),
                ("10.1.0.2", "b1", true),
                ("10.1.0.3", "a1", true),
                ("10.1.0.4", "a1", true),
            ],
        )
        .service("shop/wide", POOL, &[("10.1.0.7", "b1", true)]);
    // The slice of shop/same has another name now, and an endpoint has changed its node.
    let after = Moment::new()
        .service(
            "shop/web",
            POOL,
            &[
                ("10.1.0.1", "a1", false),
                ("10.1.0.3", "a1", true),
                ("10.1.0.4", "b1", true),
                ("10.1.0.5", "a1", true),
            ],
        )
        .service("shop/new", POOL, &[("10.1.0.6", "a1", true)])
        .service("shop/same", POOL, &[("10.1.0.8", "a1", true)])
        .service("shop/wide", "", &[("10.1.0.7", "b1", true)]);
    let before = before.write(&folder.path().join("before.json"));
    let after = after.write(&folder.path().join("after.json"));
    let args = ["diff", "--node", "a1", "--before", &before, "--facts", &after];
    let (text, _) = done(&args);
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "Before: node a1 (pool a). After: node a1 (pool a).",
            "SERVICE TOPOLOGY ENDPOINT ON NODE BEFORE AFTER",
            "shop/gone pool 1 of 1 absent",
            "10.1.0.9 a1 sees absent",
            "shop/web pool 3 of 4 3 of 4",
            "10.1.0.1 a1 sees sees, not ready",
            "10.1.0.4 a1 sees absent",
            "10.1.0.5 a1 absent sees",
            "shop/wide pool -> any 0 of 1 1 of 1",
            "10.1.0.7 b1 - sees",
            "shop/new pool absent 1 of 1",
            "10.1.0.6 a1 absent sees",
            "4 Services differ, 1 are alike.",
        ]
    );
    // A named Service has to be in one of the moments.
    let (text, _) = done(&[&args[..], &["shop/new"]].concat());
    assert!(text.ends_with("1 Services differ, 0 are alike.\n"), "{text}");
    let output = run(&[&args[..], &["shop/new", "shop/nwe"]].concat(), b"");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{errors}");
    assert!(errors.contains("no Service shop/nwe in the facts of either moment"), "{errors}");
    // One moment may come from standard input, and only one.
    let list = std::fs::read(&before).unwrap();
    let output = run(&["diff", "--node", "a1", "--before", "-", "--facts", &after], &list);
    assert!(output.stdout.ends_with(b"4 Services differ, 1 are alike.\n"));
    for wrong in [
        &["diff", "--node", "a1", "--before", "-", "--facts", "-"][..],
        &["diff", "--node", "a1", "--node", "b1", "--before", &before, "--facts", &after],
    ] {
        assert_eq!(run(wrong, b"").status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn services_of_which_a_moment_says_nothing_are_not_called_new() {
    let folder = tempfile::tempdir().unwrap();
    let web = [("10.1.0.1", "a1", true)];
    let shop = Moment::new().service("shop/web", POOL, &web);
    let both = Moment::new().service("shop/web", POOL, &web).service("pay/web", POOL, &web);
    let shop = shop.write(&folder.path().join("shop.json"));
    let both = both.write(&folder.path().join("both.json"));
    for [before, after] in [[&shop, &both], [&both, &shop]] {
        let args = ["diff", "--node", "a1", "--before", before, "--facts", after];
        let (text, errors) = done(&args);
        assert!(text.ends_with("\n0 Services differ, 1 are alike.\n"), "{text}");
        assert!(errors.contains("warning: not compared: "), "{errors}");
        assert!(errors.contains("no EndpointSlices of pay/web"), "{errors}");
        let output = run(&[&args[..], &["pay/web"]].concat(), b"");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    }
    // Nor is one that has no endpoints by its type.
    let mut named = Moment::new().service("shop/web", POOL, &web);
    named.0.push(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "pay", "name": "out"},
        "spec": {"type": "ExternalName", "externalName": "example.org"},
    }));
    let named = named.write(&folder.path().join("named.json"));
    let (text, errors) = done(&["diff", "--node", "a1", "--before", &shop, "--facts", &named]);
    assert!(text.ends_with("\n0 Services differ, 1 are alike.\n"), "{text}");
    assert!(errors.contains("no EndpointSlices of pay/out"), "{errors}");
    // An error about the earlier moment names it.
    let empty = Moment(Vec::new()).write(&folder.path().join("empty.json"));
    let output = run(&["diff", "--node", "a1", "--before", &empty, "--facts", &shop], b"");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.lines().last().unwrap().starts_with("poolscope: --before: "), "{errors}");
}

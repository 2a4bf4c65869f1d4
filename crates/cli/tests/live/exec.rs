//! `poolscope verify --exec`, with an agent whose maps the test writes.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::server::{Answer, Request, Server, status};

const EXEC: &str = "/api/v1/namespaces/kube-system/pods/cilium-new/exec";
const OWN: &str = "10.1.1.1:8080";
const FOREIGN: &str = "10.1.2.1:8080";

/// Starts a server with two agents on the node, the older of which ends, and the newer's programs.
fn agents(program: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Server {
    let list = json!({"items": [
        agent("cilium-old", "False", "2026-01-01T00:00:00Z"),
        agent("cilium-new", "True", "2026-01-02T00:00:00Z"),
    ]});
    let server = Server::with(move |request, _| match request.path() {
        "/api/v1/namespaces/kube-system/pods" => Some(Some((200, list.clone()))),
        EXEC => Some(program(request)),
        _ => None,
    });
    std::fs::write(server.folder().join("facts.json"), facts().to_string()).unwrap();
    server
}

fn agent(name: &str, ready: &str, started: &str) -> Value {
    json!({
        "metadata": {"namespace": "kube-system", "name": name},
        "spec": {"nodeName": "hz-1", "containers": [{"name": "cilium-agent"}]},
        "status": {
            "startTime": started, "conditions": [{"type": "Ready", "status": ready}],
        },
    })
}

/// Returns a Service that keeps to the pool, with an endpoint in each of two pools.
fn facts() -> Value {
    let endpoint = |address: &str, node: &str| {
        let ready = json!({"ready": true});
        json!({"addresses": [address], "nodeName": node, "conditions": ready})
    };
    let node = |name: &str| {
        let metadata = json!({"name": name, "labels": {}});
        json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata})
    };
    let pool = |name: &str, node: &str| {
        json!({
            "apiVersion": "apps.openyurt.io/v1beta2", "kind": "NodePool",
            "metadata": {"name": name}, "status": {"nodes": [node]},
        })
    };
    json!({"apiVersion": "v1", "kind": "List", "items": [
        node("hz-1"), node("bj-1"), pool("hangzhou", "hz-1"), pool("beijing", "bj-1"),
        {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "cart", "namespace": "shop",
                "annotations": {"openyurt.io/topologyKeys": "openyurt.io/nodepool"},
            },
            "spec": {
                "clusterIP": "10.96.0.10",
                "ports": [{"name": "web", "port": 80, "protocol": "TCP"}],
            },
        },
        {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": "cart-1", "namespace": "shop",
                "labels": {"kubernetes.io/service-name": "cart"},
            },
            "ports": [{"name": "web", "port": 8080, "protocol": "TCP"}],
            "endpoints": [endpoint("10.1.1.1", "hz-1"), endpoint("10.1.2.1", "bj-1")],
        },
    ]})
}

/// Answers with the maps of an agent that holds these backends.
fn maps(backends: &[&str]) -> Answer {
    let slots = backends.iter().enumerate().map(|(index, backend)| {
        let slot = index + 1;
        let value = json!([format!("{backend}/TCP (3) ({slot})")]);
        (format!("10.96.0.10:80/TCP ({slot})"), value)
    });
    let maps: serde_json::Map<String, Value> = slots.collect();
    let stdout = Value::Object(maps).to_string();
    Some((101, json!({"stdout": stdout, "status": {"status": "Success"}})))
}

fn failed(stderr: &str, message: &str) -> Answer {
    let status = json!({"status": "Failure", "message": message});
    Some((101, json!({"stderr": stderr, "status": status})))
}

/// Returns the arguments of a run on the server's facts.
fn args(server: &Server) -> Vec<String> {
    let facts = server.folder().join("facts.json").display().to_string();
    ["verify", "--node", "hz-1", "--facts", &facts, "--exec"].map(str::to_owned).to_vec()
}

fn last_line(server: &Server, status: i32) -> String {
    let args = args(server);
    let output = server.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(status));
    let errors = String::from_utf8(output.stderr).unwrap();
    errors.lines().last().unwrap().to_owned()
}

fn done(server: &Server, more: &[&str]) -> String {
    let args = args(server);
    server.done(&args.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>())
}

#[test]
fn the_maps_are_read_in_the_newest_agents_pod() {
    let server = agents(|_| maps(&[OWN]));
    let printed = done(&server, &[]);
    assert!(
        printed.contains("Cilium's eBPF maps (pod kube-system/cilium-new): 1 compared"),
        "{printed}"
    );
    let requests = server.requests();
    let targets: Vec<String> =
        requests.iter().map(|request| request.target.replace("?&", "?")).collect();
    assert_eq!(
        targets,
        [
            "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dcilium\
             &fieldSelector=spec.nodeName%3Dhz-1",
            "/api/v1/namespaces/kube-system/pods/cilium-new/exec?stdout=true&stderr=true\
             &container=cilium-agent&command=cilium-dbg&command=bpf&command=lb&command=list\
             &command=-o&command=json",
        ]
    );
    assert!(requests.iter().all(|request| request.headers["authorization"] == "Bearer secret"));
}

#[test]
fn a_leak_in_the_maps_is_found() {
    let server = agents(|_| maps(&[OWN, FOREIGN]));
    let why = last_line(&server, 1);
    assert!(why.contains("differs from the node's view by 1 leak,"), "{why}");
}

#[test]
fn the_maps_are_read_again_until_they_settle() {
    let reads = AtomicUsize::new(0);
    let server = agents(move |_| match reads.fetch_add(1, Ordering::Relaxed) {
        0 => maps(&[OWN, FOREIGN]),
        1 => maps(&[]),
        _ => maps(&[OWN]),
    });
    done(&server, &["kube-system", "--settle", "60"]);
    let reads = server.requests().iter().filter(|request| request.path() == EXEC).count();
    assert_eq!(reads, 3);
}

#[test]
fn an_older_image_has_the_tool_under_its_older_name() {
    let server = agents(|request| match request.target.contains("command=cilium-dbg") {
        true => failed("", "exec: \"cilium-dbg\": executable file not found in $PATH"),
        false => maps(&[OWN]),
    });
    done(&server, &[]);
    assert!(server.requests().last().unwrap().target.contains("command=cilium&"));
}

#[test]
fn maps_longer_than_a_message_are_read_whole() {
    let more: Vec<String> = (1..250).map(|each| format!("10.9.9.{each}:8080")).collect();
    let server = agents(move |_| {
        let backends: Vec<&str> = more.iter().map(String::as_str).chain([OWN]).collect();
        maps(&backends)
    });
    let why = last_line(&server, 1);
    assert!(why.contains("0 leaks, 249 unknown and 0 missing"), "{why}");
}

#[test]
fn what_fails_is_named_in_one_line() {
    let forbidden = "pods \"cilium-new\" is forbidden: User \"eve\" cannot get resource \
                     \"pods/exec\" in API group \"\" in the namespace \"kube-system\"";
    let cases = [
        (
            status(403, forbidden).unwrap(),
            "add to a Role in kube-system: {apiGroups: [\"\"], resources: [pods], verbs: [list]}, \
             {apiGroups: [\"\"], resources: [pods/exec], verbs: [create, get]}",
        ),
        (
            failed("maps: permission denied", "command terminated with exit code 1"),
            "cilium-agent's pod: maps: permission denied command terminated with exit code 1",
        ),
        (Some((101, json!({"stdout": "{"}))), "the connection ended before the program"),
        (
            Some((101, json!({"stdout": "", "status": {"status": "Success"}}))),
            "pod kube-system/cilium-new: the file is empty",
        ),
    ];
    for (answer, wanted) in cases {
        let why = last_line(&agents(move |_| answer.clone()), 2);
        assert!(why.contains(wanted), "{why}");
    }
    let server = Server::with(|request, _| match request.path() {
        "/api/v1/namespaces/kube-system/pods" => Some(Some((200, json!({"items": []})))),
        _ => None,
    });
    std::fs::write(server.folder().join("facts.json"), facts().to_string()).unwrap();
    let why = last_line(&server, 2);
    assert!(
        why.contains("node hz-1 has no pod with the label k8s-app=cilium in namespace kube-system"),
        "{why}"
    );
}

//! `poolscope status`, with what each kind of cluster shows.

use serde_json::{Value, json};

use crate::server::{Answer, Request, Server, status};

/// A pod of cilium-agent or of the proxy.
fn pod(app: &str, node: &str, container: Value, is_ready: bool) -> Value {
    let label = if app == "cilium" { "k8s-app" } else { "app.kubernetes.io/name" };
    let ready = if is_ready { "True" } else { "False" };
    json!({
        "metadata": {
            "namespace": "kube-system", "name": format!("{app}-{node}"), "labels": {label: app},
        },
        "spec": {"nodeName": node, "containers": [container]},
        "status": {
            "phase": "Running",
            "startTime": "2026-11-01T10:00:00Z",
            "conditions": [{"type": "Ready", "status": ready, "message": "not yet"}],
        },
    })
}

fn agent(node: &str, container: Value) -> Value {
    let mut container = container;
    container["name"] = "cilium-agent".into();
    container["image"] = "quay.io/cilium/cilium:v1.20.2".into();
    pod("cilium", node, container, true)
}

/// Serves pods by their label, and what their ports answer.
fn serve(request: &Request, pods: &[Value]) -> Option<Answer> {
    if request.path() != "/api/v1/pods" {
        return None;
    }
    let items: Vec<&Value> = pods
        .iter()
        .filter(|pod| {
            let labels = pod["metadata"]["labels"].as_object().unwrap();
            labels.iter().any(|(key, value)| {
                let selector = format!("{key}={}", value.as_str().unwrap());
                let selector: String =
                    form_urlencoded::byte_serialize(selector.as_bytes()).collect();
                request.target.contains(&selector)
            })
        })
        .collect();
    Some(Some((200, json!({"kind": "PodList", "items": items}))))
}

fn checks(server: &Server, code: i32) -> (Value, String) {
    let output = server.run(&["status", "-o", "json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["success"], code == 0);
    let lines = document["checks"].as_array().unwrap().iter().map(|check| {
        format!("{}: {} {}\n", check["result"].as_str().unwrap(), check["category"], check["check"])
    });
    let lines = lines.collect();
    (document, lines)
}

#[test]
fn a_cluster_without_known_filters_is_not_claimed_to_have_them() {
    let server = Server::start();
    let (_, lines) = checks(&server, 0);
    for part in [
        "ok: \"kubernetes-api\" \"API server http://",
        "answers (v1.35.4, site)",
        "ok: \"rights\" \"may list Services, EndpointSlices, Nodes, NodePools\"",
        "ok: \"membership\" \"NodePools: ",
        "of 13 nodes are in ",
        "unknown: \"filters\" \"no pods of cilium-agent",
    ] {
        assert!(lines.contains(part), "{part}: {lines}");
    }
    let table = server.done(&["status"]);
    assert!(table.starts_with("kubernetes-api\n--------------\n√ API server"), "{table}");
    assert!(table.ends_with("\nStatus check results are √\n"), "{table}");
    let short = server.done(&["status", "-o", "short"]);
    assert!(!short.contains("\n√") && short.contains("‼ no pods"), "{short}");
}

#[test]
fn each_way_to_filter_is_told_apart() {
    let metrics = json!([{"name": "prometheus", "containerPort": 9962}]);
    let pods = vec![
        agent("hz-edge-1", json!({"ports": metrics})),
        agent("hz-edge-2", json!({"ports": metrics})),
        agent(
            "bj-edge-1",
            json!({"env": [
                {"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"},
                {"name": "KUBERNETES_SERVICE_PORT", "value": "10271"},
            ]}),
        ),
        agent("sh-edge-1", json!({})),
        pod(
            "poolscope-proxy",
            "bj-edge-1",
            json!({
                "name": "poolscope-proxy",
                "image": "registry.example/poolscope-proxy:0.0.9",
                "args": ["--health-listen=192.0.2.7:10272"],
            }),
            true,
        ),
    ];
    let server = Server::with(move |request, _| match request.path() {
        "/api/v1/namespaces/kube-system/pods/cilium-hz-edge-1:9962/proxy/metrics" => Some(Some((
            200,
            "x 1\ncilium_poolscope_node_info{node=\"hz-edge-1\",pool=\"hangzhou\"} 1\n".into(),
        ))),
        "/api/v1/namespaces/kube-system/pods/cilium-hz-edge-2:9962/proxy/metrics" => {
            Some(Some((200, "cilium_version 1\n".into())))
        }
        "/api/v1/namespaces/kube-system/pods/poolscope-proxy-bj-edge-1:10272/proxy/debug/view" => {
            Some(Some((200, json!({"node": "bj-edge-1", "pool": "hangzhou"}))))
        }
        "/api/v1/namespaces/kube-system/configmaps/yurt-hub-cfg" => {
            Some(Some((200, json!({"data": {"servicetopology": "kubelet"}}))))
        }
        _ => serve(request, &pods),
    });
    let (_, lines) = checks(&server, 1);
    for part in [
        "ok: \"filters\" \"poolscope-proxy is ready on 1 node\"",
        "ok: \"filters\" \"1 node: cilium-agent reads through poolscope-proxy\"",
        "ok: \"filters\" \"1 node: cilium-agent has poolscope's cell\"",
        "warning: \"filters\" \"1 node: cilium-agent is not filtered: hz-edge-2\"",
        "1 node: not known whether cilium-agent has poolscope's cell: sh-edge-1\"",
        "ok: \"generation\" \"1 filter in the pool that the API server has\"",
        "warning: \"filters\" \"yurthub does not filter for Cilium",
        "error: \"generation\" \"1 filter in another pool: bj-edge-1 (hangzhou, not beijing)\"",
        "ok: \"versions\" \"cilium-agent: cilium:v1.20.2 (4)\"",
        "warning: \"versions\" \"poolscope-proxy: poolscope-proxy:0.0.9 (1); this command:",
    ] {
        assert!(lines.contains(part), "{part}: {lines}");
    }
}

#[test]
fn agents_that_must_be_restarted_and_proxies_that_fail_are_errors() {
    let pods = vec![
        agent("hz-edge-1", json!({})),
        agent("bj-edge-1", json!({})),
        pod("poolscope-proxy", "hz-edge-1", json!({"name": "poolscope-proxy"}), false),
    ];
    let server = Server::with(move |request, _| {
        let lead = |pool: &str, created: &str| {
            json!({
                "metadata": {"name": pool, "creationTimestamp": created},
                "spec": {
                    "nodeSelector": {"matchLabels": {"apps.openyurt.io/nodepool": pool}},
                    "defaults": {
                        "k8s-kubeconfig-path": "/var/run/cilium/poolscope/kubeconfig",
                    },
                },
            })
        };
        match request.path() {
            "/apis/cilium.io/v2/ciliumnodeconfigs" => {
                let items = [
                    lead("hangzhou", "2026-11-02T00:00:00Z"),
                    lead("beijing", "2026-10-01T00:00:00Z"),
                ];
                Some(Some((200, json!({"items": items}))))
            }
            _ => serve(request, &pods),
        }
    });
    let (document, lines) = checks(&server, 1);
    for part in [
        "error: \"filters\" \"poolscope-proxy on hz-edge-1 is not ready: not yet\"",
        "error: \"filters\" \"1 node: cilium-agent is older than its CiliumNodeConfig: hz-edge-1\"",
        "1 node: cilium-agent is led to a proxy that is not there: bj-edge-1\"",
    ] {
        assert!(lines.contains(part), "{part}: {lines}");
    }
    let hints = document["checks"].as_array().unwrap().iter();
    assert!(
        hints.filter(|check| check["result"] == "error").all(|check| check["hint"].is_string())
    );
}

#[test]
fn missing_rights_and_a_silent_server_end_the_checks() {
    let server = Server::with(|request, _| {
        let is_review = request.path().ends_with("/selfsubjectaccessreviews");
        let resource = &request.body["spec"]["resourceAttributes"]["resource"];
        let allowed = resource != "nodes";
        is_review.then(|| Some((201, json!({"status": {"allowed": allowed}}))))
    });
    let (_, lines) = checks(&server, 1);
    assert!(lines.contains("error: \"rights\" \"may not list Nodes\""), "{lines}");
    assert!(!lines.contains("membership"), "{lines}");

    let server = Server::with(|_, _| status(401, "Unauthorized"));
    let (document, _) = checks(&server, 1);
    assert_eq!(document["checks"].as_array().unwrap().len(), 1);
    let hint = document["checks"][0]["hint"].as_str().unwrap();
    assert!(hint.contains("log in again"), "{hint}");
}

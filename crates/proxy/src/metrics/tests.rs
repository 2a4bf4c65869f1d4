use http_body_util::BodyExt;
use poolscope::{Cluster, Config};

use super::*;
use crate::upstream::{Server, Settings};
use crate::{Body, empty};

fn request(agent: &[u8], target: &str) -> Request<()> {
    Request::get(target).header(USER_AGENT, agent).body(()).unwrap()
}

fn respond(metrics: &Metrics, request: &Request<()>, status: u16) -> http::Response<Body> {
    let response = http::Response::builder().status(status).body(empty()).unwrap();
    metrics.begin(request).end(response)
}

fn values<'a>(text: &'a str, label: &str) -> std::collections::BTreeSet<&'a str> {
    let start = format!("{label}=\"");
    text.lines()
        .filter(|line| line.starts_with("poolscope_proxy_requests_total{"))
        .filter_map(|line| line.split_once(&*start)?.1.split('"').next())
        .collect()
}

#[test]
fn hostile_user_agents_make_few_clean_values() {
    let metrics = Metrics::new();
    for number in 0..1000 {
        let agent = format!("agent-{number}/1");
        respond(&metrics, &request(agent.as_bytes(), "/api/v1/services"), 200);
    }
    for agent in [&b"a\"} 1\\n/x"[..], b"\xff\xfe/", b"", b"//", &[b'x'; 4000]] {
        respond(&metrics, &request(agent, "/api/v1/services"), 200);
    }
    let text = metrics.text(State::default());
    let clients = values(&text, "client");
    assert_eq!(clients.len(), CLIENTS + 1, "{clients:?}");
    assert!(clients.contains("other") && clients.contains("agent-0"));

    let metrics = Metrics::new();
    for agent in [&b"a\"} 1\\n\t/x"[..], b"\xff\xfe/", b"", b"/", &[b'x'; 4000]] {
        respond(&metrics, &request(agent, "/api/v1/services"), 200);
    }
    let text = metrics.text(State::default());
    let long = "x".repeat(40);
    let expected = ["a___1_n_", "__", "none", &long];
    assert_eq!(values(&text, "client"), expected.into_iter().collect());
}

#[test]
fn refused_responses_add_no_values() {
    let metrics = Metrics::new();
    respond(&metrics, &request(b"stranger/1", "/api/v1/services"), 401);
    respond(&metrics, &request(b"agent/1", "/api/v1/nothing"), 404);
    respond(&metrics, &request(b"agent/1", "/api/v1/services"), 200);
    let text = metrics.text(State::default());
    assert_eq!(values(&text, "client"), ["agent", "other"].into());
    assert_eq!(values(&text, "resource"), ["other", "services"].into());
    for number in 0..1000 {
        respond(&metrics, &request(b"agent/1", &format!("/apis/x.io/v1/kind{number}")), 200);
    }
    let text = metrics.text(State::default());
    assert_eq!(values(&text, "resource").len(), RESOURCES + 1);
}

#[test]
fn paths_have_resources_and_verbs() {
    let of = |method: &str, target: &str| {
        let request = Request::builder().method(method).uri(target).body(()).unwrap();
        (labels::resource(request.uri().path()), labels::verb(&request))
    };
    for (method, target, resource, verb) in [
        ("GET", "/api/v1/services", "services", "list"),
        ("GET", "/api/v1/services?watch=true", "services", "watch"),
        ("GET", "/api/v1/namespaces/a/pods/b", "pods", "get"),
        ("GET", "/api/v1/namespaces/a/pods/b/log", "pods", "get"),
        ("GET", "/api/v1/namespaces/a", "namespaces", "get"),
        ("PUT", "/api/v1/namespaces/a/finalize", "namespaces", "update"),
        ("GET", "/api/v1/namespaces", "namespaces", "list"),
        ("POST", "/apis/cilium.io/v2/ciliumnodes", "ciliumnodes", "create"),
        ("PATCH", "/apis/cilium.io/v2/ciliumnodes/x", "ciliumnodes", "patch"),
        ("DELETE", "/apis/cilium.io/v2/ciliumnodes/x", "ciliumnodes", "delete"),
        ("DELETE", "/apis/cilium.io/v2/ciliumnodes", "ciliumnodes", "deletecollection"),
        ("GET", "/version", "none", "get"),
        ("GET", "/api/v1", "none", "get"),
        ("GET", "/api/v1/Services%20x", "other", "list"),
        ("BREW", "/api/v1/services", "services", "other"),
    ] {
        assert_eq!(of(method, target), (resource.to_owned(), verb), "{method} {target}");
    }
}

#[tokio::test]
async fn an_open_watch_is_counted_until_its_body_is_dropped() {
    let metrics = Metrics::new();
    let watch = request(b"agent/1", "/api/v1/services?watch=true");
    let open = respond(&metrics, &watch, 200);
    let line = "poolscope_proxy_watches{resource=\"services\"} ";
    assert!(metrics.text(State::default()).contains(&format!("{line}1\n")));
    respond(&metrics, &watch, 429);
    assert!(metrics.text(State::default()).contains(&format!("{line}1\n")));
    open.into_body().collect().await.unwrap();
    assert!(metrics.text(State::default()).contains(&format!("{line}0\n")));
}

#[test]
fn the_state_of_a_scrape_is_written() {
    let upstream = Upstream::new(Settings::new(vec![Server::new("a", 1)], None));
    let node = Cluster::new(Config::openyurt()).unwrap().node("hz-1");
    let state = State {
        pools: vec![PoolState { name: "clients", servers: upstream.snapshot() }],
        counters: node.cluster().counters(),
        missing: node.missing().len(),
        expiries: vec![("serving", std::time::UNIX_EPOCH + std::time::Duration::from_secs(7))],
        ..State::default()
    };
    let metrics = Metrics::new();
    metrics.reloaded("configuration", false);
    let text = metrics.text(state);
    for line in [
        "poolscope_proxy_upstream_streams{pool=\"clients\",server=\"a:1\"} 0",
        "poolscope_proxy_upstream_connections{pool=\"clients\",server=\"a:1\"} 0",
        "poolscope_proxy_upstream_up{server=\"a:1\"} 1",
        "poolscope_proxy_tls_expiry_seconds{certificate=\"serving\"} 7",
        "poolscope_proxy_ready 0",
        "poolscope_proxy_facts_missing 3",
        "poolscope_proxy_events_total{verdict=\"endpointsKept\"} 0",
        "poolscope_proxy_reload_total{what=\"configuration\",result=\"failure\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in:\n{text}");
    }
    // Each metric has one type, and its lines stand together.
    let mut seen = std::collections::BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        assert!(seen.insert(line.to_owned()), "twice: {line}");
    }
}

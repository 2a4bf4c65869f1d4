//! Clients: whom the proxy accepts, and how soon it refuses.

use std::time::{Duration, Instant};

use clap::Parser;
use poolscope_proxy::listener::Limits;
use poolscope_proxy::options::Options;
use poolscope_proxy::run::Running;
use poolscope_proxy::upstream::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::chain::{AGENT, Chain, PODS, Plan, next, read_until, soon};
use super::raw_http2::{DATA, GOAWAY, HEADERS, RST_STREAM, RawHttp2, SETTINGS, frame, get};
use super::server::EVENT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_21_paths_that_hide_a_rewritten_kind_are_refused() {
    let chain = Chain::start(Plan::default()).await;
    for path in [
        "/apis/discovery.k8s.io/v1//endpointslices",
        "//apis/discovery.k8s.io/v1/endpointslices",
        "/apis/x/../discovery.k8s.io/v1/endpointslices",
        "/apis/./discovery.k8s.io/v1/endpointslices",
        "/apis/discovery.k8s.io/v1%2fendpointslices",
        "/apis/discovery.k8s.io/v1/endpointslice%73",
        "/api/v1/%65ndpoints",
        "/api/v1/namespaces/shop/services/cart/../cart",
        "/api/v1/pods/%2e%2e/services",
        "/api/v1/nodes/n/proxy/..%2f..%2fendpoints",
        "/api/v1\\endpoints",
    ] {
        let response = chain.get(path).await;
        assert!(response.starts_with("HTTP/1.1 400"), "{path}: {response}");
    }
    let received = chain.server().received("");
    let is_own = |one: &super::server::Received| one.token() == Some("own");
    assert!(received.iter().all(is_own), "{received:?}");
    // The usual form, and an unusual one of a kind that passes.
    for (path, status) in [("/api/v1/services", "200"), ("/api/v1//nothing", "404")] {
        let response = chain.get(path).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {response}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_23_the_proxy_listens_on_loopback_and_wants_tokens() {
    let options = Options::try_parse_from("x --node n --server a:1".split_whitespace()).unwrap();
    assert!(options.listen.iter().all(|address| address.ip().is_loopback()));
    assert!(options.health_listen.ip().is_loopback() && options.lend_identity.is_none());

    let chain = Chain::start(Plan::default()).await;
    assert!(chain.proxy().ip().is_loopback() && chain.scene.proxy.health.ip().is_loopback());
    for target in ["/version", PODS, "/api/v1/services"] {
        let response = chain.request("GET", target, "").await;
        assert!(response.starts_with("HTTP/1.1 401"), "{target}: {response}");
    }
    let received = chain.server().received("");
    assert!(received.iter().all(|one| one.token() == Some("own")), "{received:?}");
    // Nothing is served without TLS.
    let mut plain = TcpStream::connect(chain.proxy()).await.unwrap();
    let request = format!("GET /version HTTP/1.1\r\nhost: x\r\n{AGENT}\r\n");
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let _ = soon(plain.read_to_end(&mut bytes)).await;
    assert!(!bytes.starts_with(b"HTTP"), "{bytes:?}");
    // An identity is lent to the node alone.
    let lending = Some("0.0.0.0:0".parse().unwrap());
    let options = Options { lend_identity: lending, ..chain.scene.options.clone() };
    let error = Running::start(&options).await.err().expect("an error").to_string();
    assert!(error.contains("loopback"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_25_what_cannot_be_served_fails_fast() {
    let mut chain = Chain::start(Plan {
        clients: Limits { connections: 2, refused: 1, ..Limits::default() },
        upstream: |settings| {
            let connect_timeout = Duration::from_millis(500);
            let ping_timeout = Duration::from_millis(500);
            Settings { connect_timeout, ping_interval: ping_timeout, ping_timeout, ..settings }
        },
        ..Plan::default()
    })
    .await;
    let mut client = chain.http2().await;
    // The first connections of all requests of clients are half-open, or refused.
    for is_refused in [false, true] {
        if is_refused {
            chain.relays[0].refuse().await;
        } else {
            chain.relays[0].freeze();
        }
        let started = Instant::now();
        let list = client.send(http::Method::GET, "/version").await.unwrap();
        assert_eq!(list.status(), 503);
        let watch = client.send(http::Method::GET, PODS).await.unwrap();
        assert_eq!(
            (watch.status().as_u16(), watch.headers()["retry-after"].to_str().unwrap()),
            (429, "1")
        );
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
    chain.relays[0].thaw();
    chain.relays[0].accept_again();

    // Above the limit of connections.
    let mut held = chain.http1().await;
    let request = format!("GET {PODS} HTTP/1.1\r\nhost: x\r\n{AGENT}\r\n");
    held.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut held, EVENT).await;
    let response = chain.get("/version").await;
    assert!(response.starts_with("HTTP/1.1 429"), "{response}");
    // One connection holds the place for refused ones. The next is closed, and does not wait. The
    // place may be taken for a moment, so that this is tried again.
    let mut is_closed_at_once = false;
    for _ in 0..3 {
        let _holding = TcpStream::connect(chain.proxy()).await.unwrap();
        let mut closed = TcpStream::connect(chain.proxy()).await.unwrap();
        let started = Instant::now();
        assert!(soon(closed.read_u8()).await.is_err());
        is_closed_at_once |= started.elapsed() < Duration::from_secs(5);
        if is_closed_at_once {
            break;
        }
    }
    assert!(is_closed_at_once);
}

/// Returns the value of a setting in the payload of SETTINGS.
fn setting(payload: &[u8], name: u16) -> Option<u32> {
    payload.chunks(6).find_map(|pair| {
        let is_it = u16::from_be_bytes([pair[0], pair[1]]) == name;
        is_it.then(|| u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_26_an_abusive_http2_client_ends_alone() {
    let chain = Chain::start(Plan::default()).await;
    let mut neighbour = chain.http2().await;
    let mut watch = neighbour.watch(PODS).await;

    let mut raw = RawHttp2::connect(&chain).await;
    let settings = raw.read().await.unwrap();
    assert_eq!(settings.kind, SETTINGS);
    let streams = setting(&settings.payload, 3).expect("a limit of streams");
    let headers = setting(&settings.payload, 6).expect("a limit of headers");
    assert!(streams <= 250 && headers <= 64 << 10, "{streams} {headers}");

    // Headers above the limit reach nobody.
    raw.write(&get(1, &"x".repeat(80 << 10))).await;
    let refused = loop {
        match raw.read().await {
            Some(frame) if matches!(frame.kind, HEADERS | RST_STREAM) => break frame.stream == 1,
            Some(frame) if frame.kind == GOAWAY => break true,
            Some(frame) => assert_ne!(frame.kind, DATA),
            None => break true,
        }
    };
    assert!(refused);
    let of_agent = |target: &str| {
        let received = chain.server().received(target);
        received.iter().filter(|one| one.token() == Some("agent")).count()
    };
    assert_eq!(of_agent("/"), 1, "the watch alone");

    // Rapid reset: streams that are opened and reset at once.
    let mut raw = RawHttp2::connect(&chain).await;
    let mut frames = Vec::new();
    for stream in 0..20_000 {
        frames.extend(get(stream * 2 + 1, ""));
        frames.extend(frame(RST_STREAM, 0, stream * 2 + 1, &8_u32.to_be_bytes()));
    }
    let code = tokio::time::timeout(Duration::from_secs(20), async {
        raw.write(&frames).await;
        loop {
            match raw.read().await {
                Some(frame) if frame.kind == GOAWAY => break frame.payload[7],
                Some(_) => {}
                None => panic!("the connection ended without GOAWAY"),
            }
        }
    })
    .await
    .expect("the connection was not ended");
    assert_eq!(code, 11, "ENHANCE_YOUR_CALM");
    assert!(of_agent("/") < 5_000, "most resets cost the API server nothing");

    chain.server().event(EVENT);
    assert_eq!(next(&mut watch).await, EVENT);
    assert_eq!(neighbour.get("/version").await.0, 200);
}

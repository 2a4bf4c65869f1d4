//! Probes, and the streams of servers that go down or are removed.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;
use poolscope_proxy::upstream::{Error, Server, Settings, Upstream};
use tokio::task::JoinHandle;

use super::server::TestServer;
use super::{get, read, settings, until};

fn probed(settings: Settings) -> (Upstream, JoinHandle<()>) {
    let upstream = Upstream::new(Settings {
        probe_interval: Duration::from_millis(10),
        probe_timeout: Duration::from_secs(5),
        ..settings
    });
    let own = upstream.clone();
    let token = || Some(HeaderValue::from_static("Bearer of-the-proxy"));
    (upstream, tokio::spawn(async move { own.probe(token).await }))
}

fn is_down(upstream: &Upstream, server: &TestServer) -> bool {
    let snapshot = upstream.snapshot();
    snapshot.iter().find(|state| state.server == server.server()).unwrap().is_down
}

fn probes(server: &TestServer) -> usize {
    server.seen().iter().filter(|seen| seen.line == "GET /readyz").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_a_server_that_goes_down_are_closed() {
    let (first, second) = (TestServer::start().await, TestServer::start().await);
    let (upstream, probing) = probed(settings(&[&first, &second]));
    let held = get(&upstream, "/hold?watch=true").await.unwrap();
    assert!(first.seen().iter().any(|seen| seen.line == "GET /hold"));
    first.set_readiness(StatusCode::INTERNAL_SERVER_ERROR);
    let error = held.into_body().collect().await.unwrap_err();
    assert!(matches!(error, Error::Body { .. }), "{error}");
    assert!(is_down(&upstream, &first) && !is_down(&upstream, &second));
    let held = get(&upstream, "/hold?watch=true").await.unwrap();
    assert!(second.seen().iter().any(|seen| seen.line == "GET /hold"));

    // A server that is up again takes no streams away from another.
    first.set_readiness(StatusCode::OK);
    until(|| !is_down(&upstream, &first)).await;
    second.release();
    assert_eq!(read(held).await, "held");
    probing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_server_keeps_its_streams_and_is_still_used() {
    let server = TestServer::start().await;
    let (upstream, probing) = probed(settings(&[&server]));
    let held = get(&upstream, "/hold?watch=true").await.unwrap();
    server.set_readiness(StatusCode::SERVICE_UNAVAILABLE);
    until(|| is_down(&upstream, &server)).await;
    assert_eq!(read(get(&upstream, "/").await.unwrap()).await, "ok");
    server.release();
    assert_eq!(read(held).await, "held");
    probing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_carry_the_proxys_token_and_share_a_connection() {
    let server = TestServer::start().await;
    let (upstream, probing) = probed(settings(&[&server]));
    until(|| probes(&server) >= 5).await;
    assert_eq!(server.accepted(), 1);
    let seen = server.seen();
    let token = Some("Bearer of-the-proxy".to_owned());
    assert!(seen.iter().all(|seen| seen.authorization == token), "{seen:?}");
    assert_eq!(seen[0].host, server.server().to_string());
    // A server that refuses the token, or asks for less load, serves.
    for status in [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS] {
        server.set_readiness(status);
        let before = probes(&server);
        until(|| probes(&server) >= before + 5).await;
        assert!(!is_down(&upstream, &server));
    }
    probing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_is_down_and_comes_back() {
    let server = TestServer::start().await;
    let address = server.address;
    let (upstream, probing) = probed(settings(&[&server]));
    let state = |upstream: &Upstream| upstream.snapshot()[0].is_down;
    until(|| probes(&server) > 0).await;
    server.goaway();
    drop(server);
    until(|| state(&upstream)).await;
    let _server = TestServer::bind(address, 200, None).await;
    until(|| !state(&upstream)).await;
    probing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_a_removed_server_are_closed_after_a_while() {
    let (old, new) = (TestServer::start().await, TestServer::start().await);
    let drain = Duration::from_millis(200);
    let upstream = Upstream::new(Settings { removal_drain: drain, ..settings(&[&old]) });
    let held = get(&upstream, "/hold?watch=true").await.unwrap();
    let listed: Vec<Server> = vec![new.server()];
    let started = std::time::Instant::now();
    upstream.set_servers(listed);
    held.into_body().collect().await.unwrap_err();
    assert!(started.elapsed() >= drain);
    until(|| upstream.snapshot().len() == 1).await;
    assert_eq!(read(get(&upstream, "/").await.unwrap()).await, "ok");
    assert_eq!(new.seen().len(), 1);
}

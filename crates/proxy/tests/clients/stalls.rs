//! Clients that read nothing.

use std::time::Duration;

use http_body_util::BodyExt;
use poolscope_proxy::listener::Limits;
use tokio::io::AsyncReadExt;

use super::scene::{Plan, Scene, TOKEN, read_until, request, until};

fn stalling(stall: Duration) -> Plan {
    Plan { limits: Limits { stall, ..Limits::default() }, ..Plan::default() }
}

fn is_clean(scene: &Scene) -> bool {
    let streams = scene.upstream.snapshot().iter().all(|server| server.open_streams == 0);
    streams && scene.open_at_server() == 0 && scene.gateway.open_requests().watches == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_stream_that_nobody_reads_is_aborted_alone() {
    let scene = Scene::start(stalling(Duration::from_millis(300))).await;
    let mut client = scene.http2().await;
    let neighbour = client.send_request(request("/api/v1/pods?watch=true")).await.unwrap();
    let mut neighbour = neighbour.into_body();
    assert_eq!(neighbour.frame().await.unwrap().unwrap().into_data().unwrap(), "{}\n");

    let stalled = client.send_request(request("/flood?watch=true")).await.unwrap();
    assert_eq!(scene.gateway.open_requests().watches, 2);
    until(|| scene.open_at_server() == 1).await;
    let error = stalled.into_body().collect().await.unwrap_err();
    assert!(format!("{error:?}").contains("Reset"), "{error:?}");

    // The silent neighbour on the same connection waits for events, not for its client.
    assert_eq!(scene.gateway.open_requests().watches, 1);
    let response = client.send_request(request("/version")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "the whole body");
    drop((neighbour, client));
    until(|| is_clean(&scene)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http1_connection_that_nobody_reads_is_closed() {
    let scene = Scene::start(stalling(Duration::from_millis(300))).await;
    let mut stalled = scene.send("GET", "/flood?watch=true", TOKEN).await;
    until(|| scene.open_at_server() == 1).await;
    until(|| is_clean(&scene) && scene.connections.open() == 0).await;
    // The bytes on the way, then the end of the connection.
    let mut rest = Vec::new();
    let _ = stalled.read_to_end(&mut rest).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "an aborted response has no regular end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_keeps_its_stream() {
    let stall = Duration::from_secs(2);
    let scene = Scene::start(stalling(stall)).await;
    let mut client = scene.http2().await;
    let response = client.send_request(request("/flood?watch=true")).await.unwrap();
    let mut body = response.into_body();
    let started = std::time::Instant::now();
    while started.elapsed() < stall * 2 {
        tokio::time::sleep(stall / 20).await;
        // More than a window, so that the proxy can send.
        let mut read = 0;
        while read < 3 << 20 {
            read += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
        }
    }
    assert_eq!(scene.open_at_server(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_small_frames_do_not_break_the_connection_to_the_server() {
    let scene = Scene::start(Plan::default()).await;
    let mut neighbour = scene.send("GET", "/api/v1/pods?watch=true", TOKEN).await;
    read_until(&mut neighbour, "{}\n").await;
    let mut stalled = Vec::new();
    for _ in 0..40 {
        stalled.push(scene.send("GET", "/drops?watch=true", TOKEN).await);
    }
    until(|| scene.open_at_server() == 41).await;
    // Until all windows are full.
    let frames = || *scene.received.frames.lock().unwrap();
    let mut before = 0;
    while before != frames() {
        before = frames();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(scene.open_at_server(), 41);
    let servers = scene.upstream.snapshot();
    assert_eq!((servers[0].connections, servers[0].failures), (1, 0), "{servers:?}");
    drop(stalled);
    until(|| scene.open_at_server() == 1).await;
    assert_eq!(scene.gateway.open_requests().watches, 1);
}

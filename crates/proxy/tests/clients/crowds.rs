//! Connections above the limit, and requests that panic.

use std::time::Duration;

use http_body_util::BodyExt;
use poolscope_proxy::listener::Limits;
use tokio::io::AsyncReadExt;

use super::scene::{Plan, Scene, TOKEN, read_until, request, until};

/// Longer than a test.
const LONG: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn connections_above_the_limit_get_429_or_are_closed() {
    let limits = Limits { connections: 2, refused: 1, ..Limits::default() };
    let scene = Scene::start(Plan { limits, ..Plan::default() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = scene.send("GET", "/api/v1/pods?watch=true", TOKEN).await;
        read_until(&mut stream, "{}\n").await;
        held.push(stream);
    }
    assert_eq!(scene.connections.open(), 2);
    let response = scene.get("/version", TOKEN).await;
    assert!(response.starts_with("HTTP/1.1 429") && response.contains("retry-after: 1"));

    // A connection that is refused, and holds its place.
    until_refused(&scene).await;
    let _refused = tokio::net::TcpStream::connect(scene.proxy).await.unwrap();
    // Closed without a word, at once.
    until_closed(&scene).await;

    drop(held);
    until(|| scene.connections.open() == 0).await;
    assert!(scene.get("/version", TOKEN).await.starts_with("HTTP/1.1 200"));
}

/// Waits until the place for a refused connection is free again.
async fn until_refused(scene: &Scene) {
    while !scene.get("/version", TOKEN).await.starts_with("HTTP/1.1 429") {}
}

/// Waits until a connection is closed unread.
async fn until_closed(scene: &Scene) {
    loop {
        let mut stream = scene.send("GET", "/version", TOKEN).await;
        let mut response = Vec::new();
        let result = stream.read_to_end(&mut response).await;
        if response.is_empty() {
            return drop(result);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_request() {
    let scene = Scene::start(Plan::default()).await;
    let response = scene.get("/panic", TOKEN).await;
    assert!(response.starts_with("HTTP/1.1 500"), "{response}");
    assert!(response.contains(r#""kind":"Status""#), "{response}");

    let mut client = scene.http2().await;
    let watch = client.send_request(request("/api/v1/pods?watch=true")).await.unwrap();
    let response = client.send_request(request("/panic")).await.unwrap();
    assert_eq!(response.status(), 500);
    // A body that panics breaks its stream.
    let broken = match client.send_request(request("/panic-in-body")).await {
        Ok(response) => response.into_body().collect().await.is_err(),
        Err(_) => true,
    };
    assert!(broken);
    let mut watch = watch.into_body();
    assert_eq!(watch.frame().await.unwrap().unwrap().into_data().unwrap(), "{}\n");
    assert!(scene.get("/version", TOKEN).await.starts_with("HTTP/1.1 200"));
    assert!(!scene.serving.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_make_room_for_clients_that_the_api_server_accepts() {
    let limits =
        Limits { connections: 4, strangers: 2, patience: LONG, refused: 1, ..Limits::default() };
    let scene = Scene::start(Plan { limits, ..Plan::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(tokio::net::TcpStream::connect(scene.proxy).await.unwrap());
        let response = scene.get("/version", TOKEN).await;
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    }
    // The first ones were closed, the oldest first.
    let mut byte = [0];
    for stream in &mut silent[..18] {
        assert!(matches!(stream.read(&mut byte).await, Ok(0) | Err(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_has_a_while_and_a_client_has_no_limit() {
    let patience = Duration::from_millis(200);
    let scene =
        Scene::start(Plan { limits: Limits { patience, ..Limits::default() }, ..Plan::default() })
            .await;
    let mut watch = scene.send("GET", "/api/v1/pods?watch=true", TOKEN).await;
    read_until(&mut watch, "{}\n").await;
    // HTTP/1.1 with a token that the API server refuses, and HTTP/2 without a request.
    let mut refused = scene.send("GET", "/refused", TOKEN).await;
    assert!(read_until(&mut refused, "\r\n\r\n").await.starts_with("HTTP/1.1 401"));
    let http2 = scene.http2().await;
    let mut rest = Vec::new();
    let _ = refused.read_to_end(&mut rest).await;
    until(|| http2.is_closed()).await;
    assert_eq!(scene.gateway.open_requests().watches, 1);
}

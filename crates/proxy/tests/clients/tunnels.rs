//! Upgraded connections.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use poolscope_proxy::listener::Limits;

use super::scene::{Plan, Scene, TOKEN, read_until, until};

async fn open(scene: &Scene) -> TcpStream {
    let headers = format!("{TOKEN}connection: Upgrade\r\nupgrade: echo\r\n");
    let mut stream = scene.send("POST", "/echo", &headers).await;
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: echo"), "{head}");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn both_directions_stream_and_end_on_their_own() {
    let scene = Scene::start(Plan::default()).await;
    let tunnel = open(&scene).await;
    assert_eq!(scene.gateway.open_requests().tunnels, 1);
    let (mut read, mut write) = tunnel.into_split();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let copy = sent.clone();
    let writing = tokio::spawn(async move {
        write.write_all(&copy).await.unwrap();
        // The end of the client's half; the server still has something to say.
        write.shutdown().await.unwrap();
        write
    });
    let mut received = Vec::new();
    read.read_to_end(&mut received).await.unwrap();
    let echo = received.strip_suffix(b"bye").expect("the server's words after the client's end");
    assert!(echo == sent, "{} bytes of {}", echo.len(), sent.len());
    writing.await.unwrap();
    until(|| scene.gateway.open_requests().tunnels == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_above_the_limit_get_429() {
    let scene = Scene::start(Plan { max_tunnels: 2, ..Plan::default() }).await;
    let (first, _second) = (open(&scene).await, open(&scene).await);
    let headers = format!("{TOKEN}connection: Upgrade\r\nupgrade: echo\r\n");
    let mut refused = scene.send("POST", "/echo", &headers).await;
    let head = read_until(&mut refused, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 429") && head.contains("retry-after: 1"), "{head}");
    // Other requests have limits of their own.
    assert!(scene.get("/version", TOKEN).await.starts_with("HTTP/1.1 200"));
    drop(first);
    until(|| scene.gateway.open_requests().tunnels == 1).await;
    open(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_is_refused_leaves_no_tunnel() {
    let scene = Scene::start(Plan::default()).await;
    let headers = format!("{TOKEN}connection: Upgrade\r\nupgrade: echo\r\n");
    let mut stream = scene.send("POST", "/version", &headers).await;
    let response = read_until(&mut stream, "the whole body").await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    until(|| scene.gateway.open_requests().tunnels == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_may_stop_the_output_of_a_tunnel() {
    let stall = Duration::from_millis(100);
    let limits = Limits { stall, ..Limits::default() };
    let scene = Scene::start(Plan { limits, ..Plan::default() }).await;
    let (mut read, mut write) = open(&scene).await.into_split();
    // More than the sockets between the two ends hold.
    let writing = tokio::spawn(async move {
        let written = write.write_all(&vec![b'x'; 64 << 20]).await;
        written.and(write.shutdown().await)
    });
    tokio::time::sleep(stall * 5).await;
    assert!(!writing.is_finished(), "the sockets took everything");
    let mut received = Vec::new();
    read.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), (64 << 20) + 3);
    writing.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_end_in_bounded_time_when_the_proxy_stops() {
    let scene = Scene::start(Plan::default()).await;
    let mut tunnel = open(&scene).await;
    scene.stop.send_replace(true);
    // A tunnel has a while to end by itself.
    tunnel.write_all(b"still here").await.unwrap();
    let mut echo = [0; 10];
    tunnel.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"still here");
    until(|| scene.gateway.open_requests().tunnels == 0).await;
    let mut rest = Vec::new();
    let _ = tunnel.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    scene.serving.await.unwrap();
}

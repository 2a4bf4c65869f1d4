//! Deadlines as clients see them.

use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::scene::{Plan, Scene, TOKEN, read_until};

#[tokio::test(flavor = "multi_thread")]
async fn silence_before_the_head_is_429_to_watches_and_504_to_others() {
    let head_timeout = Duration::from_millis(100);
    let scene = Scene::start(Plan { head_timeout, ..Plan::default() }).await;
    let watch = scene.get("/silent?watch=true", TOKEN).await;
    assert!(watch.starts_with("HTTP/1.1 429") && watch.contains("retry-after: 1"), "{watch}");
    let get = scene.get("/silent", TOKEN).await;
    assert!(get.starts_with("HTTP/1.1 504") && !get.contains("retry-after"), "{get}");
    assert!(get.contains(r#""reason":"Timeout""#), "{get}");
    let headers = format!("{TOKEN}content-length: 2\r\n\r\n{{}}");
    let mut post = scene.send("POST", "/silent", &headers).await;
    let head = read_until(&mut post, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 504") && !head.contains("retry-after"), "{head}");
    assert_eq!(scene.received.heads.lock().unwrap().len(), 3, "nothing is repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_lives_as_long_as_it_wants_and_is_counted() {
    let head_timeout = Duration::from_millis(50);
    let scene = Scene::start(Plan { head_timeout, ..Plan::default() }).await;
    let mut watch = scene.send("GET", "/api/v1/pods?watch=true", TOKEN).await;
    read_until(&mut watch, "{}\n").await;
    tokio::time::sleep(head_timeout * 4).await;
    assert_eq!(scene.gateway.open_requests().watches, 1);
    scene.stop.send_replace(true);
    read_until(&mut watch, "0\r\n\r\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_regularly_after_its_time_and_a_margin() {
    let scene = Scene::start(Plan::default()).await;
    let started = std::time::Instant::now();
    let mut watch = scene.send("GET", "/api/v1/pods?watch=true&timeoutSeconds=1", TOKEN).await;
    read_until(&mut watch, "0\r\n\r\n").await;
    assert!(started.elapsed() >= Duration::from_secs(16));
    super::scene::until(|| scene.open_at_server() == 0).await;
}

#[tokio::test]
async fn a_stopping_proxy_opens_no_watch() {
    let scene = Scene::start(Plan::default()).await;
    // A listener that goes on, so that the request arrives after the stop.
    let (listener, address) = super::scene::listen().await;
    let gateway = scene.gateway.clone();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let respond = service_fn(|request| {
            let gateway = gateway.clone();
            async move { Ok::<_, std::convert::Infallible>(gateway.serve(request).await) }
        });
        http1::Builder::new().serve_connection(TokioIo::new(stream), respond).await
    });
    scene.stop.send_replace(true);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /api/v1/pods?watch=true HTTP/1.1\r\nhost: x\r\n{TOKEN}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 429") && head.contains("retry-after: 1"), "{head}");
}

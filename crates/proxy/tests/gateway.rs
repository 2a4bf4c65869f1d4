//! The gateway between a client and an API server, over plain HTTP/1.1.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use poolscope::{Cluster, Config};
use poolscope_http::RewriteLayer;
use poolscope_proxy::gateway::Gateway;
use poolscope_proxy::metrics::Metrics;
use poolscope_proxy::upstream::{Server, Settings, Upstream};
use poolscope_proxy::{Body, BoxError, empty};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy for node `hz-1`, and the API server behind it.
struct Scene {
    proxy: SocketAddr,
    /// The heads that the API server received: method, target, headers.
    received: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    stop: watch::Sender<bool>,
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Responds as the API server.
async fn respond(mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let text = |text: &'static str| {
        Body::new(Full::new(Bytes::from(text)).map_err(|never| match never {}))
    };
    let mut response = Response::new(text("the whole body"));
    match request.uri().path() {
        "/echo" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.unwrap());
                let mut buffer = [0; 5];
                stream.read_exact(&mut buffer).await.unwrap();
                buffer.reverse();
                stream.write_all(&buffer).await.unwrap();
            });
            response = Response::new(empty());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("connection", "Upgrade".parse().unwrap());
            response.headers_mut().insert("upgrade", "echo".parse().unwrap());
        }
        "/api/v1/pods" => *response.body_mut() = Body::new(Stalls { is_sent: false }),
        "/gone" => *response.status_mut() = StatusCode::GONE,
        _ => {}
    }
    response.headers_mut().insert("audit-id", "7".parse().unwrap());
    Ok(response)
}

/// One event, then silence.
struct Stalls {
    is_sent: bool,
}

impl http_body::Body for Stalls {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match std::mem::replace(&mut self.is_sent, true) {
            false => Poll::Ready(Some(Ok(Frame::data(Bytes::from("an event\n"))))),
            true => Poll::Pending,
        }
    }
}

async fn scene() -> Scene {
    let (listener, server) = listen().await;
    let received = Arc::new(Mutex::new(Vec::new()));
    let heads = received.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let heads = heads.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let head = format!("{} {}", request.method(), request.uri());
                heads.lock().unwrap().push((head, request.headers().clone()));
                respond(request)
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection.with_upgrades());
        }
    });
    let (proxy, stop) = proxy_to(server).await;
    Scene { proxy, received, stop }
}

/// Starts a proxy in front of an API server.
async fn proxy_to(server: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let node = Cluster::new(Config::openyurt()).unwrap().node("hz-1");
    let upstream =
        Upstream::new(Settings::new(vec![Server::new("127.0.0.1", server.port())], None));
    let layer = RewriteLayer::new(node, empty);
    let (stop, stopping) = watch::channel(false);
    let gateway = Arc::new(Gateway::new(&layer, upstream, stopping, Metrics::new()));
    let (listener, proxy) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let gateway = gateway.clone();
            let service = service_fn(move |request| {
                let gateway = gateway.clone();
                async move { Ok::<_, Infallible>(gateway.serve(request).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection.with_upgrades());
        }
    });
    (proxy, stop)
}

impl Scene {
    /// Sends a request and returns the connection.
    async fn send(&self, target: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.proxy).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: proxy\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Sends a request on a connection that ends after it, and returns the response.
    async fn get(&self, target: &str, headers: &str) -> String {
        let headers = format!("connection: close\r\n{headers}");
        let mut response = String::new();
        self.send(target, &headers).await.read_to_string(&mut response).await.unwrap();
        response
    }
}

const TOKEN: &str = "authorization: Bearer t\r\n";

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_client_without_credentials_gets_nothing() {
    let scene = scene().await;
    let response = scene.get("/version", "").await;
    assert!(response.starts_with("HTTP/1.1 401"), "{response}");
    assert!(scene.received.lock().unwrap().is_empty());
}

#[tokio::test]
async fn headers_pass_except_those_of_a_hop_and_of_a_front_proxy() {
    let scene = scene().await;
    let headers = format!(
        "{TOKEN}x-remote-user: admin\r\nte: trailers\r\nimpersonate-user: jane\r\n\
         accept: application/json\r\n"
    );
    let response = scene.get("/version?a=b", &headers).await;
    assert!(response.starts_with("HTTP/1.1 200") && response.contains("audit-id: 7"), "{response}");
    assert!(response.ends_with("the whole body"), "{response}");
    let (head, headers) = scene.received.lock().unwrap()[0].clone();
    assert_eq!(head, "GET /version?a=b");
    assert_eq!(headers["authorization"], "Bearer t");
    assert_eq!(headers["impersonate-user"], "jane");
    assert!(!headers.contains_key("x-remote-user") && !headers.contains_key("te"));
    assert_ne!(headers["host"], "proxy");
    let response = scene.get("/gone", TOKEN).await;
    assert!(response.starts_with("HTTP/1.1 410"), "{response}");
}

#[tokio::test]
async fn endpoints_wait_for_facts_and_unusual_paths_reach_nobody() {
    let scene = scene().await;
    let slices = "/apis/discovery.k8s.io/v1/endpointslices";
    for (target, status) in [
        (slices.to_owned(), "503"),
        (format!("{slices}?watch=true"), "429"),
        (slices.replace("/v1/", "/v1//"), "400"),
        (slices.replace("slices", "slice%73"), "400"),
    ] {
        let response = scene.get(&target, TOKEN).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{response}");
        assert!(!response.contains("the whole body"), "{response}");
    }
    assert_eq!(scene.received.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways() {
    let scene = scene().await;
    let headers = format!("{TOKEN}connection: Upgrade\r\nupgrade: echo\r\n");
    let mut stream = scene.send("/echo", &headers).await;
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: echo"), "{head}");
    stream.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"olleh");
    assert_eq!(scene.received.lock().unwrap()[0].1["authorization"], "Bearer t");
}

#[tokio::test]
async fn a_watch_ends_when_the_proxy_stops() {
    let scene = scene().await;
    let mut stream = scene.send("/api/v1/pods?watch=true", TOKEN).await;
    let read = read_until(&mut stream, "an event\n").await;
    assert!(read.starts_with("HTTP/1.1 200"), "{read}");
    scene.stop.send_replace(true);
    // The last chunk: the body ended like any other.
    read_until(&mut stream, "0\r\n\r\n").await;
}

#[tokio::test]
async fn without_an_api_server_a_watch_is_to_be_opened_again() {
    let (listener, address) = listen().await;
    drop(listener);
    let (proxy, stop) = proxy_to(address).await;
    let scene = Scene { proxy, received: Arc::default(), stop };
    let watch = scene.get("/api/v1/pods?watch=true", TOKEN).await;
    assert!(watch.starts_with("HTTP/1.1 429") && watch.contains("retry-after: 1"), "{watch}");
    let list = scene.get("/api/v1/pods", TOKEN).await;
    assert!(list.starts_with("HTTP/1.1 503") && list.contains("retry-after: 1"), "{list}");
}

//! A proxy between clients and an API server on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use poolscope::{Cluster, Config};
use poolscope_http::RewriteLayer;
use poolscope_proxy::gateway::Gateway;
use poolscope_proxy::listener::{self, Connections, Limits};
use poolscope_proxy::metrics::Metrics;
use poolscope_proxy::tunnel::Tunnels;
use poolscope_proxy::upstream::{Server, Settings, Upstream};
use poolscope_proxy::{Body, BoxError, empty};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The header with a client's token.
pub const TOKEN: &str = "authorization: Bearer t\r\n";

/// The API server's side.
#[derive(Default)]
pub struct Received {
    /// Targets and headers.
    pub heads: Mutex<Vec<(String, HeaderMap)>>,
    /// The bodies of watches that are being sent.
    pub open: Mutex<usize>,
    /// The frames of all watches.
    pub frames: Mutex<usize>,
}

/// A proxy for node `hz-1`, and the API server behind it.
pub struct Scene {
    pub proxy: SocketAddr,
    pub received: Arc<Received>,
    pub gateway: Gateway,
    pub connections: Connections,
    pub upstream: Upstream,
    pub stop: watch::Sender<bool>,
    pub serving: JoinHandle<()>,
}

/// The settings that a test changes.
pub struct Plan {
    pub limits: Limits,
    pub head_timeout: Duration,
    pub max_tunnels: usize,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { limits: Limits::default(), head_timeout: Duration::from_secs(30), max_tunnels: 256 }
    }
}

pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

impl Scene {
    pub async fn start(plan: Plan) -> Scene {
        Scene::lending(plan, |gateway| gateway).await
    }

    /// Starts a proxy whose gateway a test changes.
    pub async fn lending(plan: Plan, change: impl Fn(Gateway) -> Gateway) -> Scene {
        let received = Arc::<Received>::default();
        let server = serve_api(received.clone()).await;
        let upstream = Upstream::new(Settings {
            http2_prior_knowledge: true,
            head_timeout: plan.head_timeout,
            long_head_timeout: plan.head_timeout,
            ..Settings::new(vec![Server::new("127.0.0.1", server.port())], None)
        });
        let node = Cluster::new(Config::openyurt()).unwrap().node("hz-1");
        let layer = RewriteLayer::new(node, empty);
        let (stop, stopping) = watch::channel(false);
        let gateway = Gateway::new(&layer, upstream.clone(), stopping.clone(), Metrics::new());
        let gateway =
            change(gateway.with_tunnels(Tunnels::new(plan.max_tunnels, stopping.clone())));
        let connections = Connections::new(plan.limits);
        let (listener, proxy) = listen().await;
        let serve = gateway.clone();
        let respond = move |request: Request<Incoming>| {
            let gateway = serve.clone();
            async move {
                match request.uri().path() {
                    "/panic" => panic!("a request panics"),
                    "/panic-in-body" => Response::new(Body::new(Panics)),
                    _ => gateway.serve(request).await,
                }
            }
        };
        let plain = None::<fn() -> TlsAcceptor>;
        let serving =
            tokio::spawn(listener::serve(listener, plain, connections.clone(), respond, stopping));
        Scene { proxy, received, gateway, connections, upstream, stop, serving }
    }

    /// Sends the head of a request over HTTP/1.1 and returns the connection.
    pub async fn send(&self, method: &str, target: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.proxy).await.unwrap();
        let request = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Sends a request on a connection that ends after it, and returns the response.
    pub async fn get(&self, target: &str, headers: &str) -> String {
        let headers = format!("connection: close\r\n{headers}");
        let mut response = String::new();
        let mut stream = self.send("GET", target, &headers).await;
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    /// Opens an HTTP/2 connection.
    pub async fn http2(&self) -> SendRequest<Body> {
        let stream = TcpStream::connect(self.proxy).await.unwrap();
        let builder = http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Returns how many watches the API server is sending.
    pub fn open_at_server(&self) -> usize {
        *self.received.open.lock().unwrap()
    }
}

/// A request with a token over HTTP/2.
pub fn request(target: &str) -> Request<Body> {
    let request = Request::get(format!("http://proxy{target}"));
    request.header("authorization", "Bearer t").body(empty()).unwrap()
}

pub async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    text
}

/// Waits until the condition holds.
pub async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn serve_api(received: Arc<Received>) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let received = received.clone();
            let service = service_fn(move |request| respond(request, received.clone()));
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
                let _ = serving.await;
            });
        }
    });
    address
}

/// Responds as the API server: `/flood` and, in small frames, `/drops` never end, `/api/v1/pods`
/// sends an event and falls silent, `/silent` never responds, `/echo` upgrades.
async fn respond(
    mut request: Request<Incoming>,
    received: Arc<Received>,
) -> Result<Response<Body>, Infallible> {
    let target = request.uri().path_and_query().unwrap().to_string();
    received.heads.lock().unwrap().push((target, request.headers().clone()));
    let text = |text: &'static str| {
        Body::new(Full::new(Bytes::from(text)).map_err(|never| match never {}))
    };
    let mut response = Response::new(text("the whole body"));
    let sends = |frame: &'static [u8], is_endless| Sends::new(frame, is_endless, received.clone());
    match request.uri().path() {
        "/flood" => *response.body_mut() = Body::new(sends(&FLOOD, true)),
        "/drops" => *response.body_mut() = Body::new(sends(&FLOOD[..64], true)),
        "/api/v1/pods" => *response.body_mut() = Body::new(sends(b"{}\n", false)),
        "/silent" => std::future::pending().await,
        "/refused" => {
            let mut refused = Response::new(empty());
            *refused.status_mut() = StatusCode::UNAUTHORIZED;
            return Ok(refused);
        }
        "/echo" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.unwrap());
                let mut buffer = [0; 4096];
                loop {
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => break,
                        Ok(count) => stream.write_all(&buffer[..count]).await.unwrap(),
                    }
                }
                // After the end of the client's half.
                let _ = stream.write_all(b"bye").await;
                let _ = stream.shutdown().await;
            });
            response = Response::new(empty());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("connection", "Upgrade".parse().unwrap());
            response.headers_mut().insert("upgrade", "echo".parse().unwrap());
        }
        _ => {}
    }
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    Ok(response)
}

static FLOOD: [u8; 1 << 14] = [b'\n'; 1 << 14];

/// One frame and silence, or the same frame for ever.
struct Sends {
    frame: &'static [u8],
    is_endless: bool,
    is_sent: bool,
    received: Arc<Received>,
}

impl Sends {
    fn new(frame: &'static [u8], is_endless: bool, received: Arc<Received>) -> Sends {
        *received.open.lock().unwrap() += 1;
        Sends { frame, is_endless, is_sent: false, received }
    }
}

impl Drop for Sends {
    fn drop(&mut self) {
        *self.received.open.lock().unwrap() -= 1;
    }
}

impl http_body::Body for Sends {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if std::mem::replace(&mut self.is_sent, true) && !self.is_endless {
            return Poll::Pending;
        }
        *self.received.frames.lock().unwrap() += 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.frame)))))
    }
}

/// A body that panics.
struct Panics;

impl http_body::Body for Panics {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        panic!("a body panics")
    }
}

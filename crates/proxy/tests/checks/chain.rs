//! Clients, a whole proxy, a relay for each API server, and the servers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use poolscope_proxy::Body;
use poolscope_proxy::credentials::OwnCredentials;
use poolscope_proxy::listener::Limits;
use poolscope_proxy::upstream::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::relay::Relay;
use super::scene::Scene;
use super::server::ApiServer;

/// The time after which a condition that a check waits for will not come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The setting of a check.
pub struct Plan {
    pub servers: usize,
    pub max_streams: u32,
    pub clients: Limits,
    pub upstream: fn(Settings) -> Settings,
    pub options: &'static str,
    /// Writes a kubeconfig with the first server, which then replaces the options of all servers.
    pub kubeconfig: Option<fn(&Path, SocketAddr)>,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            servers: 1,
            // The API server's default.
            max_streams: 100,
            clients: Limits::default(),
            upstream: |settings| settings,
            options: "",
            kubeconfig: None,
        }
    }
}

pub struct Chain {
    pub scene: Scene,
    pub relays: Vec<Relay>,
    pub servers: Vec<Arc<ApiServer>>,
}

impl Chain {
    /// Starts a chain, and waits until the proxy has its facts.
    pub async fn start(plan: Plan) -> Chain {
        let chain = Chain::starting(plan).await;
        chain.scene.ready().await;
        chain
    }

    /// Starts a chain whose proxy has the token `own`.
    pub async fn starting(plan: Plan) -> Chain {
        let (mut relays, mut servers) = (Vec::new(), Vec::new());
        let scene = Scene::limited(None, plan.clients, plan.upstream, |api, folder, _| {
            for _ in 0..plan.servers {
                let server = ApiServer::start(api, plan.max_streams);
                relays.push(Relay::start(server.address));
                servers.push(server);
            }
            std::fs::write(folder.join("token"), "own").unwrap();
            std::fs::copy(api.join("ca.crt"), folder.join("ca.crt")).unwrap();
            if let Some(write) = plan.kubeconfig {
                write(folder, relays[0].address);
                return format!(
                    "--learn-servers false --kubeconfig DIR/kubeconfig {}",
                    plan.options
                );
            }
            let servers: Vec<String> =
                relays.iter().map(|relay| format!("--server {}", relay.address)).collect();
            format!(
                "--learn-servers false --token-file DIR/token --ca-file DIR/ca.crt {} {}",
                servers.join(" "),
                plan.options
            )
        })
        .await;
        Chain { scene, relays, servers }
    }

    pub fn proxy(&self) -> SocketAddr {
        self.scene.proxy.addresses[0]
    }

    /// Returns the first server.
    pub fn server(&self) -> &ApiServer {
        &self.servers[0]
    }

    /// Opens an HTTP/2 connection to the proxy.
    pub async fn http2(&self) -> Http2 {
        Http2::connect(self.proxy(), &self.scene.path("client")).await
    }

    /// Opens a connection for HTTP/1.1 to the proxy.
    pub async fn http1(&self) -> TlsStream<TcpStream> {
        connect(self.proxy(), &self.scene.path("client"), b"http/1.1").await
    }

    /// Sends a request over a connection of its own, and returns the whole response.
    pub async fn request(&self, method: &str, target: &str, headers: &str) -> String {
        let mut stream = self.http1().await;
        let head = format!("{method} {target} HTTP/1.1\r\nhost: x\r\n{headers}");
        let request = format!("{head}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        soon(super::scene::read_to_end(&mut stream)).await
    }

    /// Sends a GET with the token `agent`, and returns the whole response.
    pub async fn get(&self, target: &str) -> String {
        self.request("GET", target, AGENT).await
    }

    /// Returns the sum of a metric over all its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.scene.health("/metrics", "").await;
        let name = format!("poolscope_proxy_{name}");
        let of_name =
            |line: &&str| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        text.lines().filter(of_name).map(value).sum()
    }

    /// Waits until a metric has a value.
    pub async fn until_metric(&self, name: &str, value: f64) {
        let reached = async {
            while self.metric(name).await != value {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(reached).await;
    }
}

/// The header with the token of an agent.
pub const AGENT: &str = "authorization: Bearer agent\r\n";

/// A client with one HTTP/2 connection.
#[derive(Clone)]
pub struct Http2(SendRequest<Body>);

impl Http2 {
    pub async fn connect(proxy: SocketAddr, client_files: &Path) -> Http2 {
        let stream = connect(proxy, client_files, b"h2").await;
        let builder = http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Http2(sender)
    }

    /// Sends a request, and waits for the head of its response.
    pub async fn send(
        &mut self,
        method: Method,
        target: &str,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let has_body = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
        let body = if has_body { "{}" } else { "" };
        let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
        let request = Request::builder()
            .method(method)
            .uri(format!("https://127.0.0.1{target}"))
            .header("authorization", "Bearer agent")
            .header("user-agent", "agent/1")
            .header("accept", "application/json")
            .body(Body::new(body))
            .unwrap();
        self.0.ready().await?;
        soon(self.0.send_request(request)).await
    }

    /// Opens a watch whose status has to be 200, and reads the first event of pods.
    pub async fn watch(&mut self, target: &str) -> Incoming {
        let response = self.send(Method::GET, target).await.unwrap();
        assert_eq!(response.status(), 200, "{target}");
        let mut body = response.into_body();
        if target.starts_with(PODS) {
            assert_eq!(next(&mut body).await, super::server::EVENT);
        }
        body
    }

    /// Sends a GET, and returns its status and body.
    pub async fn get(&mut self, target: &str) -> (u16, Bytes) {
        let response = self.send(Method::GET, target).await.unwrap();
        let status = response.status().as_u16();
        (status, soon(response.into_body().collect()).await.unwrap().to_bytes())
    }
}

/// A watch that passes byte for byte.
pub const PODS: &str = "/api/v1/pods?watch=true";

/// Connects with the CA that the proxy wrote for its clients.
pub async fn connect(
    proxy: SocketAddr,
    client_files: &Path,
    protocol: &[u8],
) -> TlsStream<TcpStream> {
    let ca = client_files.join("ca.crt");
    let credentials = OwnCredentials::new(client_files.join("none"), ca);
    let mut tls = (*credentials.client_config().unwrap()).clone();
    tls.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(proxy).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = "127.0.0.1".try_into().unwrap();
    TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap()
}

/// Returns the next frame of a body.
pub async fn next(body: &mut Incoming) -> Bytes {
    let frame = soon(body.frame()).await.expect("the body ended").unwrap();
    frame.into_data().unwrap()
}

/// Reads until the end of a body that has to end like any other.
pub async fn until_end(body: Incoming) -> Bytes {
    soon(body.collect()).await.expect("the body broke").to_bytes()
}

/// Reads until a text.
pub async fn read_until(stream: &mut (impl AsyncReadExt + Unpin), end: &str) -> String {
    let mut text = Vec::new();
    let reading = async {
        while !text.ends_with(end.as_bytes()) {
            let byte = stream.read_u8().await;
            text.push(byte.unwrap_or_else(|error| panic!("{error} before {end:?}")));
        }
    };
    soon(reading).await;
    String::from_utf8(text).unwrap()
}

/// Waits until a condition holds.
pub async fn until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(holds).await;
}

/// Waits, and panics if that takes too long.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing came in time")
}

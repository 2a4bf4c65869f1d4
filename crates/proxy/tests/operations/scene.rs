//! A whole proxy on loopback, and an API server behind it that knows one Service.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use clap::Parser;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use poolscope_proxy::authority::{Authority, crypto_provider};
use poolscope_proxy::credentials::OwnCredentials;
use poolscope_proxy::listener::Limits;
use poolscope_proxy::options::Options;
use poolscope_proxy::run::Running;
use poolscope_proxy::upstream::Settings;
use poolscope_proxy::{Body, BoxError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The path of the list of slices.
pub const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
/// Both endpoints of the Service shop/cart, which keeps to the node.
const OWN: &str = "10.0.0.1";
const OTHER: &str = "10.0.0.2";

/// A request that reached the API server.
#[derive(Clone, Debug)]
pub struct Seen {
    pub target: String,
    pub authorization: Option<String>,
    pub has_certificate: bool,
}

/// The behaviour of the API server, and what reached it.
#[derive(Default)]
pub struct Api {
    pub seen: Mutex<Vec<Seen>>,
    /// The statuses of requests for facts, if not 200.
    pub facts_status: Mutex<Option<u16>>,
}

impl Api {
    /// Starts a server with a certificate of the authority in `folder`. It accepts client
    /// certificates of `client_ca`.
    async fn start(folder: &Path, client_ca: Option<RootCertStore>) -> (Arc<Api>, SocketAddr) {
        let acceptor = acceptor(folder, client_ca);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let api = Arc::new(Api::default());
        let shared = api.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, api) = (acceptor.clone(), shared.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let has_certificate = stream.get_ref().1.peer_certificates().is_some();
                    let service = service_fn(move |request: Request<Incoming>| {
                        let response = api.respond(&request, has_certificate);
                        async move { Ok::<_, Infallible>(response) }
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        (api, address)
    }

    /// Responds as an API server with one Service, whose slice has two endpoints.
    pub fn respond(&self, request: &Request<Incoming>, has_certificate: bool) -> Response<Body> {
        let header = request.headers().get("authorization");
        let authorization = header.map(|value| value.to_str().unwrap().to_owned());
        let target = request.uri().path_and_query().unwrap().to_string();
        let seen = Seen { target: target.clone(), authorization, has_certificate };
        let is_stranger = seen.authorization.as_deref() == Some("Bearer stranger");
        self.seen.lock().unwrap().push(seen);
        let path = request.uri().path();
        let is_fact = path == "/api/v1/services";
        if let Some(status) = self.facts_status.lock().unwrap().filter(|_| is_fact) {
            return json(status, "{}");
        }
        if is_stranger {
            return json(403, r#"{"kind":"Status","message":"stranger may not"}"#);
        }
        if target.contains("sendInitialEvents") {
            return json(400, "{}");
        }
        if target.contains("watch=") {
            let mut response = Response::new(silent());
            let content_type = "application/json".parse().unwrap();
            response.headers_mut().insert("content-type", content_type);
            return response;
        }
        let service = r#"{"kind":"Service","apiVersion":"v1","metadata":{"name":"cart",
            "namespace":"shop","resourceVersion":"5","annotations":
            {"openyurt.io/topologyKeys":"kubernetes.io/hostname"}},
            "spec":{"type":"ClusterIP","clusterIP":"10.96.0.1","ports":
            [{"name":"http","port":80,"protocol":"TCP"}]}}"#;
        match path {
            "/api/v1/services" => json(200, &list("ServiceList", "v1", service)),
            "/api/v1/namespaces/shop/services/cart" => json(200, service),
            _ if path.ends_with("/endpointslices") => {
                let endpoint = |address: &str, node: &str| {
                    format!(
                        r#"{{"addresses":["{address}"],"nodeName":"{node}",
                            "conditions":{{"ready":true}}}}"#
                    )
                };
                let slice = format!(
                    r#"{{"metadata":{{"name":"cart-1","namespace":"shop","resourceVersion":"6",
                        "labels":{{"kubernetes.io/service-name":"cart"}}}},"addressType":"IPv4",
                        "ports":[{{"name":"http","port":8080,"protocol":"TCP"}}],
                        "endpoints":[{},{}]}}"#,
                    endpoint(OWN, "hz-1"),
                    endpoint(OTHER, "sh-1")
                );
                json(200, &list("EndpointSliceList", "discovery.k8s.io/v1", &slice))
            }
            _ => json(404, r#"{"kind":"Status","message":"nothing here"}"#),
        }
    }

    /// Returns the requests that `is_it` selects.
    pub fn seen(&self, is_it: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| is_it(seen)).cloned().collect()
    }
}

/// Returns what accepts TLS with a certificate of the authority in `folder`.
pub fn acceptor(folder: &Path, client_ca: Option<RootCertStore>) -> TlsAcceptor {
    let now = SystemTime::now();
    let authority = Authority::open(folder, "api", &[], now).unwrap();
    let provider = crypto_provider();
    let key = authority.leaf(now).unwrap().into_certified_key(&provider).unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .allow_unauthenticated()
                .build()
                .unwrap(),
        ),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

fn list(kind: &str, api_version: &str, item: &str) -> String {
    format!(
        r#"{{"kind":"{kind}","apiVersion":"{api_version}",
            "metadata":{{"resourceVersion":"9"}},"items":[{item}]}}"#
    )
}

/// A body without an event and without an end.
fn silent() -> Body {
    struct Silent;
    impl http_body::Body for Silent {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            std::task::Poll::Pending
        }
    }
    Body::new(Silent)
}

fn json(status: u16, body: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(body.to_owned())).map_err(|never| match never {});
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

/// A proxy for node `hz-1`.
pub struct Scene {
    pub folder: tempfile::TempDir,
    pub api: Arc<Api>,
    pub server: SocketAddr,
    pub proxy: Running,
    pub options: Options,
}

impl Scene {
    /// Starts a proxy whose identity is the token `own`.
    pub async fn start() -> Scene {
        Scene::with(None, |api, folder, server| {
            std::fs::write(folder.join("token"), "own").unwrap();
            std::fs::copy(api.join("ca.crt"), folder.join("ca.crt")).unwrap();
            format!("--server {server} --token-file DIR/token --ca-file DIR/ca.crt")
        })
        .await
    }

    /// Starts a proxy with the options that `identity` returns for the folder of the API server's
    /// CA, the proxy's folder and the address of the API server.
    pub async fn with(
        client_ca: Option<RootCertStore>,
        identity: impl FnOnce(&Path, &Path, SocketAddr) -> String,
    ) -> Scene {
        Scene::limited(client_ca, Limits::default(), |settings| settings, identity).await
    }

    /// Starts a proxy with other limits than the default ones.
    pub async fn limited(
        client_ca: Option<RootCertStore>,
        clients: Limits,
        upstream: impl Fn(Settings) -> Settings,
        identity: impl FnOnce(&Path, &Path, SocketAddr) -> String,
    ) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let api_folder = folder.path().join("api");
        let (api, server) = Api::start(&api_folder, client_ca).await;
        let options = identity(&api_folder, folder.path(), server);
        let config = folder.path().join("config.json");
        std::fs::write(&config, r#"{"membership": "off"}"#).unwrap();
        let options = format!(
            "x --node hz-1 --listen 127.0.0.1:0 --health-listen 127.0.0.1:0 --state-dir DIR/state \
             --client-dir DIR/client --config DIR/config.json {options}"
        );
        let options = options.replace("DIR", &folder.path().display().to_string());
        let options = Options::try_parse_from(options.split_whitespace()).unwrap();
        let proxy = Running::limited(&options, clients, upstream).await.unwrap();
        Scene { folder, api, server, proxy, options }
    }

    /// Stops the proxy, and starts it with the same options after `between`.
    pub async fn restart(self, between: impl FnOnce(&Path)) -> Scene {
        let Scene { folder, api, server, proxy, options } = self;
        proxy.stop().await;
        between(folder.path());
        let proxy = Running::start(&options).await.unwrap();
        Scene { folder, api, server, proxy, options }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file by another one.
    pub fn rename_over(&self, name: &str, content: &str) {
        std::fs::write(self.path("new"), content).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    /// Waits until `/readyz` returns 200.
    pub async fn ready(&self) {
        while !self.health("/readyz", "").await.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
    }

    /// Sends a GET to the health port, and returns the response.
    pub async fn health(&self, target: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.proxy.health).await.unwrap();
        let request =
            format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    /// Sends a GET through the proxy, as an agent with that token.
    pub async fn open(&self, target: &str, token: &str) -> TlsStream<TcpStream> {
        let credentials = OwnCredentials::new(self.path("token"), self.path("client/ca.crt"));
        let mut tls = (*credentials.client_config().unwrap()).clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(self.proxy.addresses[0]).await.unwrap();
        let name = "127.0.0.1".try_into().unwrap();
        let mut stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nuser-agent: agent/1\r\n\
             accept: application/json\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Sends a GET through the proxy, and returns the whole response.
    pub async fn get(&self, target: &str, token: &str) -> String {
        let mut stream = self.open(target, token).await;
        read_to_end(&mut stream).await
    }

    /// Returns the endpoints that an agent sees.
    pub async fn endpoints(&self) -> Vec<&'static str> {
        let response = self.get(SLICES, "agent").await;
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        [OWN, OTHER].into_iter().filter(|address| response.contains(address)).collect()
    }

    /// Returns the value of one line of `/metrics`.
    pub async fn metric(&self, line: &str) -> Option<String> {
        let text = self.health("/metrics", "").await;
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.map(str::to_owned)
    }
}

/// Reads until the connection ends, with or without a farewell of TLS.
pub async fn read_to_end(stream: &mut TlsStream<TcpStream>) -> String {
    let mut response = Vec::new();
    match stream.read_to_end(&mut response).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8(response).unwrap()
}

/// Reads until the head of the response is complete.
pub async fn read_head(stream: &mut TlsStream<TcpStream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

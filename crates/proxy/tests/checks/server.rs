//! An API server whose connections and responses a check controls.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use poolscope_proxy::{Body, BoxError, empty};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio_rustls::TlsAcceptor;

use super::relay::listen;
use super::scene::{Api, acceptor};

/// The first event of a watch of pods.
pub const EVENT: &str = "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Pod\"}}\n";
/// Text that no JSON writer would write like this, with a kind that the proxy does not know.
pub const ODD: &str = "{\"kind\" :\"Odd\",\n \"z\":1.50e3,\"a\":\"\\u0041/\\/\", \"z\":2}\n\n";
/// The headers that clients of the API server read.
pub const KEPT: [(&str, &str); 5] = [
    ("audit-id", "7f3c"),
    ("warning", "299 - \"deprecated\""),
    ("x-kubernetes-pf-flowschema-uid", "f1"),
    ("x-kubernetes-pf-prioritylevel-uid", "p1"),
    ("cache-control", "no-cache, private"),
];

/// A request that reached the server.
#[derive(Clone, Debug)]
pub struct Received {
    pub connection: usize,
    pub version: Version,
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
}

impl Received {
    pub fn token(&self) -> Option<&str> {
        self.headers.get("authorization")?.to_str().unwrap().strip_prefix("Bearer ")
    }
}

/// A running server.
pub struct ApiServer {
    pub address: SocketAddr,
    /// Serves facts and endpoints.
    facts: Api,
    received: Mutex<Vec<Received>>,
    accepted: AtomicUsize,
    acceptor: ArcSwap<TlsAcceptor>,
    /// Raised to send GOAWAY on all connections.
    goaway: watch::Sender<usize>,
    /// The bodies that wait for events.
    watches: Mutex<Vec<mpsc::UnboundedSender<Bytes>>>,
    /// The status of `/readyz`.
    readiness: Mutex<u16>,
    /// The bytes of endless and long bodies.
    pub sent: Arc<AtomicU64>,
}

impl ApiServer {
    /// Starts a server with a certificate of the authority in `folder`.
    pub fn start(folder: &Path, max_streams: u32) -> Arc<ApiServer> {
        let listener = listen("127.0.0.1:0".parse().unwrap());
        let server = Arc::new(ApiServer {
            address: listener.local_addr().unwrap(),
            facts: Api::default(),
            received: Mutex::default(),
            accepted: AtomicUsize::new(0),
            acceptor: ArcSwap::from_pointee(acceptor(folder, None)),
            goaway: watch::channel(0).0,
            watches: Mutex::default(),
            readiness: Mutex::new(200),
            sent: Arc::default(),
        });
        let shared = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = shared.accepted.fetch_add(1, Ordering::Relaxed) + 1;
                tokio::spawn(shared.clone().serve(stream, connection, max_streams));
            }
        });
        server
    }

    /// Serves new connections with a certificate of another authority.
    pub fn swap_authority(&self, folder: &Path) {
        self.acceptor.store(Arc::new(acceptor(folder, None)));
    }

    pub fn set_readiness(&self, status: u16) {
        *self.readiness.lock().unwrap() = status;
    }

    /// Sends GOAWAY on all connections. Their streams go on.
    pub fn goaway(&self) {
        self.goaway.send_modify(|count| *count += 1);
    }

    /// Sends an event to all watches of pods.
    pub fn event(&self, event: &str) {
        let event = Bytes::from(event.to_owned());
        self.watches.lock().unwrap().retain(|watch| watch.send(event.clone()).is_ok());
    }

    /// Returns how many bodies wait for events.
    pub fn open(&self) -> usize {
        self.watches.lock().unwrap().iter().filter(|watch| !watch.is_closed()).count()
    }

    /// Returns the requests of clients with this beginning of a target.
    pub fn received(&self, start: &str) -> Vec<Received> {
        let received = self.received.lock().unwrap();
        received.iter().filter(|one| one.target.starts_with(start)).cloned().collect()
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, connection: usize, max_streams: u32) {
        let mut goaway = self.goaway.subscribe();
        let _ = stream.set_nodelay(true);
        let acceptor = self.acceptor.load_full();
        let Ok(stream) = acceptor.accept(stream).await else { return };
        let die = Arc::new(Notify::new());
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http2().max_concurrent_streams(max_streams);
        let dies = die.clone();
        let service = service_fn(move |request| {
            let (server, die) = (self.clone(), dies.clone());
            async move { Ok::<_, Infallible>(server.respond(request, connection, &die).await) }
        });
        let mut serving =
            pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        loop {
            tokio::select! {
                _ = serving.as_mut() => return,
                () = die.notified() => return,
                Ok(()) = goaway.changed() => serving.as_mut().graceful_shutdown(),
            }
        }
    }

    /// Responds by path. `/die` breaks the connection, `/die-once` only the first time, `/silent`
    /// never responds, `/echo` upgrades, `/status/CODE` has that status. Namespaces of slices:
    /// `zip` is compressed, `odd` has unknown fields, `big-N` has N slices, `gone` and `busy` are
    /// errors.
    async fn respond(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        connection: usize,
        die: &Notify,
    ) -> Response<Body> {
        let target = request.uri().path_and_query().unwrap().to_string();
        let count = {
            let mut received = self.received.lock().unwrap();
            received.push(Received {
                connection,
                version: request.version(),
                method: request.method().clone(),
                target: target.clone(),
                headers: request.headers().clone(),
            });
            received.iter().filter(|one| one.target == target).count()
        };
        let path = request.uri().path().to_owned();
        let path = path.as_str();
        if let Some(code) = path.strip_prefix("/status/") {
            return error(code.parse().unwrap());
        }
        match path {
            "/api/v1/pods" if target.contains("watch=") => json(self.events(EVENT)),
            "/api/v1/configmaps" if target.contains("watch=") => json(self.endless(1 << 14)),
            "/api/v1/secrets" => json(self.events("{\"kind\":\"SecretList\",\"items\":[")),
            "/die" => {
                die.notify_one();
                std::future::pending().await
            }
            "/die-once" if count == 1 => {
                die.notify_one();
                std::future::pending().await
            }
            "/die-once" => json(text("alive")),
            "/silent" => std::future::pending().await,
            "/apis/example.com/v1/namespaces/zip/others" => gzip(ODD.as_bytes()),
            "/odd" => json(text(ODD)),
            "/version" => with_kept(json(text("{\"gitVersion\":\"v1.0.0-check\"}"))),
            "/readyz" => {
                let mut response = json(text("of the API server"));
                let status = *self.readiness.lock().unwrap();
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                response
            }
            "/echo" => echo(&mut request),
            _ => self.slices(&request, path).await,
        }
    }

    async fn slices(&self, request: &Request<Incoming>, path: &str) -> Response<Body> {
        let namespace = path.strip_prefix("/apis/discovery.k8s.io/v1/namespaces/");
        let namespace = namespace.and_then(|rest| rest.strip_suffix("/endpointslices"));
        let response = self.facts.respond(request, false);
        match namespace {
            Some("gone") => error(410),
            Some("busy") => error(429),
            Some("odd") => {
                let (head, body) = response.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                let odd =
                    text.replacen("\"nodeName\"", "\"future\": {\"b\":[1, 2.50]},\"nodeName\"", 1);
                assert_ne!(odd, text);
                Response::from_parts(head, self::text(&odd))
            }
            Some("zip") => {
                let (mut head, body) = response.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                let zipped = gzip(&bytes);
                head.headers.extend(zipped.headers().clone());
                Response::from_parts(head, zipped.into_body())
            }
            Some(big) if big.starts_with("big-") => {
                let slices = big["big-".len()..].parse().unwrap();
                json(Body::new(Big { slices, at: 0, sent: self.sent.clone() }))
            }
            _ => response,
        }
    }

    /// Returns a body with one frame and those of [`event`](Self::event).
    fn events(&self, first: &str) -> Body {
        let (sender, events) = mpsc::unbounded_channel();
        sender.send(Bytes::from(first.to_owned())).unwrap();
        self.watches.lock().unwrap().push(sender);
        Body::new(Events(events))
    }

    fn endless(&self, frame: usize) -> Body {
        Body::new(Endless(Bytes::from(vec![b'\n'; frame]), self.sent.clone()))
    }
}

fn echo(request: &mut Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut *request);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut write).await;
    });
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for name in ["connection", "upgrade"] {
        response.headers_mut().insert(name, request.headers()[name].clone());
    }
    response
}

fn error(code: u16) -> Response<Body> {
    let status =
        format!("{{\"kind\":\"Status\",\"code\":{code},\"message\":\"of the API server\"}}");
    let mut response = with_kept(json(text(&status)));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response.headers_mut().insert(RETRY_AFTER, "17".parse().unwrap());
    response
}

fn with_kept(mut response: Response<Body>) -> Response<Body> {
    for (name, value) in KEPT {
        response.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
    }
    response
}

/// Returns a response whose headers describe its compressed bytes.
fn gzip(bytes: &[u8]) -> Response<Body> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    encoder.write_all(bytes).unwrap();
    let mut response = json(full(encoder.finish().unwrap().into()));
    response.headers_mut().insert(CONTENT_ENCODING, "gzip".parse().unwrap());
    response.headers_mut().insert("etag", "\"of-the-whole\"".parse().unwrap());
    response
}

fn json(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, "application/json".parse().unwrap());
    response
}

fn text(text: &str) -> Body {
    full(Bytes::from(text.to_owned()))
}

fn full(bytes: Bytes) -> Body {
    Body::new(Full::new(bytes).map_err(|never| match never {}))
}

/// The events that a check sends.
struct Events(mpsc::UnboundedReceiver<Bytes>);

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(context).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

/// A body that repeats one frame without end.
struct Endless(Bytes, Arc<AtomicU64>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.1.fetch_add(self.0.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(self.0.clone()))))
    }
}

/// A list of slices, made as it is read.
struct Big {
    slices: usize,
    at: usize,
    sent: Arc<AtomicU64>,
}

impl http_body::Body for Big {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let at = self.at;
        self.at += 1;
        if at > self.slices {
            return Poll::Ready(None);
        }
        let text = match at {
            0 => format!(
                r#"{{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1",
                    "metadata":{{"resourceVersion":"9"}},"items":[{}"#,
                slice(at)
            ),
            _ if at == self.slices => "]}".to_owned(),
            _ => format!(",{}", slice(at)),
        };
        self.sent.fetch_add(text.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(text)))))
    }
}

/// Returns a slice of which every other endpoint is on the node.
fn slice(at: usize) -> String {
    let endpoint = |endpoint: usize| {
        let node = if endpoint.is_multiple_of(2) { "hz-1" } else { "sh-1" };
        format!(
            r#"{{"addresses":["10.1.{}.{endpoint}"],"nodeName":"{node}",
                "conditions":{{"ready":true,"serving":true}},
                "targetRef":{{"kind":"Pod","namespace":"shop","name":"cart-{endpoint}"}}}}"#,
            at % 256
        )
    };
    let endpoints: Vec<String> = (0..100).map(endpoint).collect();
    format!(
        r#"{{"metadata":{{"name":"cart-{at}","namespace":"shop","resourceVersion":"6",
            "labels":{{"kubernetes.io/service-name":"cart"}}}},"addressType":"IPv4",
            "ports":[{{"name":"http","port":8080}}],"endpoints":[{}]}}"#,
        endpoints.join(",")
    )
}

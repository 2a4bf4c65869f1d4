//! Liveness, readiness, metrics and the view of the node, over plain HTTP.
//!
//! The port has no authentication. It serves numbers and the state of the proxy alone. Objects are
//! read from the API server with the credentials of the caller.

mod debug;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::authority::ServerCertificate;
use crate::credentials::OwnCredentials;
use crate::generation::Current;
use crate::listener::is_foreign;
use crate::metrics::{Metrics, PoolState, State};
use crate::response::Stopping;
use crate::strangers::Strangers;
use crate::upstream::Upstream;

const PATHS: &str = "/livez, /readyz, /metrics, /counters, /debug/view, /debug/explain\n";
/// How many connections may be open.
const CONNECTIONS: usize = 64;
/// The longest time for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest time for a request and its response.
const LONGEST: Duration = Duration::from_secs(30);
const LARGEST_HEAD: usize = 64 << 10;
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The state that the health port shows.
pub struct Admin {
    /// The configuration in use.
    pub current: Arc<Current>,
    /// The connections for clients' requests.
    pub upstream: Upstream,
    /// The connections for the proxy's own requests.
    pub own_upstream: Upstream,
    /// The proxy's own identity.
    pub credentials: Arc<OwnCredentials>,
    /// The certificate of the listener.
    pub certificate: Arc<ServerCertificate>,
    /// The metrics.
    pub metrics: Metrics,
    /// The end of the process.
    pub stopping: Stopping,
}

/// Serves requests until the task is aborted.
pub async fn serve(listener: TcpListener, admin: Admin) {
    let admin = Arc::new(admin);
    // The API server accepts none of them. The oldest makes room: silent connections must not fail
    // the probes of the kubelet.
    let strangers = Strangers::new(CONNECTIONS, LONGEST);
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        if is_foreign(&stream, peer) {
            continue;
        }
        let admin = admin.clone();
        let task = tokio::spawn(async move {
            let respond = service_fn(move |request: Request<Incoming>| {
                let (admin, request) = (admin.clone(), request.map(|_| ()));
                async move { Ok::<_, Infallible>(admin.respond(&request, peer).await) }
            });
            let mut server = http1::Builder::new();
            server
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .keep_alive(false)
                .max_buf_size(LARGEST_HEAD);
            let serving = server.serve_connection(TokioIo::new(stream), respond);
            let _ = tokio::time::timeout(LONGEST, serving).await;
        });
        strangers.add(Arc::default(), task.abort_handle());
    }
}

impl Admin {
    async fn respond(&self, request: &Request<()>, peer: SocketAddr) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "send GET\n");
        }
        match request.uri().path() {
            // The process lives whatever the network does.
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(),
            "/metrics" => {
                let mut response = text(StatusCode::OK, self.metrics.text(self.state()));
                let content_type = HeaderValue::from_static(METRICS_TYPE);
                response.headers_mut().insert(CONTENT_TYPE, content_type);
                response
            }
            "/counters" => json(StatusCode::OK, &self.current.get().node.cluster().counters()),
            path @ ("/debug/view" | "/debug/explain") => {
                let is_view = path == "/debug/view";
                debug::respond(self, is_view, request.uri().query(), request.headers(), peer).await
            }
            _ => text(StatusCode::NOT_FOUND, PATHS),
        }
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        let (reasons, warnings) = (self.reasons(), self.warnings());
        let lines = |start: &str, lines: &[String]| -> String {
            lines.iter().map(|line| format!("{start}{line}\n")).collect()
        };
        let warnings = lines("warning: ", &warnings);
        if reasons.is_empty() {
            return text(StatusCode::OK, format!("ok\n{warnings}"));
        }
        text(StatusCode::SERVICE_UNAVAILABLE, lines("", &reasons) + &warnings)
    }

    /// Returns why the proxy is not ready, and what to change.
    fn reasons(&self) -> Vec<String> {
        let mut reasons = self.current.get().reasons();
        if *self.stopping.borrow() {
            reasons.push("the proxy stops".to_owned());
        }
        if self.certificate.not_after() <= SystemTime::now() {
            reasons.push(
                "the serving certificate has expired: renew the files of --tls-cert and \
                 --tls-key, or check the clock"
                    .to_owned(),
            );
        }
        let mut servers = self.upstream.snapshot();
        servers.extend(self.own_upstream.snapshot());
        let is_connected = servers.iter().any(|one| one.connections + one.draining > 0);
        let mut errors: Vec<String> = servers
            .iter()
            .filter(|one| one.is_listed)
            .filter_map(|one| Some(format!("{}: {}", one.server, one.last_error.as_ref()?)))
            .collect();
        errors.sort_unstable();
        errors.dedup();
        if !is_connected && !errors.is_empty() {
            reasons.push(format!("no API server has an open connection: {}", errors.join("; ")));
        }
        reasons
    }

    /// Returns faults that do not stop the proxy yet.
    fn warnings(&self) -> Vec<String> {
        self.credentials.problems().iter().map(ToString::to_string).collect()
    }

    fn state(&self) -> State {
        let node = &self.current.get().node;
        let mut expiries = vec![("serving", self.certificate.not_after())];
        expiries.extend(self.credentials.expiries().unwrap_or_default());
        State {
            pools: vec![
                PoolState { name: "clients", servers: self.upstream.snapshot() },
                PoolState { name: "own", servers: self.own_upstream.snapshot() },
            ],
            counters: node.cluster().counters(),
            generation: node.cluster().generation(),
            missing: node.missing().len(),
            is_ready: self.reasons().is_empty(),
            expiries,
        }
    }
}

/// Returns the credentials of a caller; `None` without any.
fn authorization(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut value = headers.get(AUTHORIZATION)?.clone();
    value.set_sensitive(true);
    Some(value)
}

fn text(status: StatusCode, text: impl Into<String>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text.into())));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string_pretty(value) {
        Ok(body) => {
            let mut response = text(status, body + "\n");
            let content_type = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

//! The pool of connections against servers on loopback.

#[path = "upstream/deadlines.rs"]
mod deadlines;
#[path = "upstream/failures.rs"]
mod failures;
#[path = "upstream/limits.rs"]
mod limits;
#[path = "upstream/probes.rs"]
mod probes;
#[path = "upstream/protocols.rs"]
mod protocols;
#[path = "upstream/server.rs"]
mod server;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use poolscope_proxy::Body;
use poolscope_proxy::upstream::{Error, ServerSnapshot, Settings, Upstream, UpstreamBody};
use tower_service::Service;

use server::TestServer;

fn settings(servers: &[&TestServer]) -> Settings {
    let servers = servers.iter().map(|server| server.server()).collect();
    Settings { http2_prior_knowledge: true, ..Settings::new(servers, None) }
}

async fn send(
    upstream: &Upstream,
    method: Method,
    target: &str,
) -> Result<Response<UpstreamBody>, Error> {
    let body = if method == Method::POST { "{}" } else { "" };
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("authorization", "Bearer of-the-client")
        .header("host", "127.0.0.1:10271")
        .body(boxed(body))
        .unwrap();
    upstream.clone().call(request).await
}

fn boxed(text: &'static str) -> Body {
    Body::new(Full::new(Bytes::from(text)).map_err(|never| match never {}))
}

async fn get(upstream: &Upstream, target: &str) -> Result<Response<UpstreamBody>, Error> {
    send(upstream, Method::GET, target).await
}

async fn read(response: Response<UpstreamBody>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

fn only(upstream: &Upstream) -> ServerSnapshot {
    let mut snapshot = upstream.snapshot();
    assert_eq!(snapshot.len(), 1, "{snapshot:?}");
    snapshot.remove(0)
}

/// Yields until the condition holds.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

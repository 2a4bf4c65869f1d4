//! `/debug/view` and `/debug/explain`: what the node sees of a Service, and why.
//!
//! The proxy keeps no endpoints and may not read those of all namespaces. It therefore reads the
//! Service and its slices with the credentials of the caller.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use poolscope::NodeView;
use poolscope::explain::{Inventory, ServiceView};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tower_service::Service;

use super::{Admin, authorization, json as reply, text};
use crate::{Body, empty};

/// The largest body that is read from the API server.
const LARGEST: usize = 4 << 20;
/// The Services that are read at a time: each one may take some times `LARGEST` of memory.
static READS: Semaphore = Semaphore::const_new(2);
/// The longest time for all requests to the API server.
const PATIENCE: Duration = Duration::from_secs(10);
const AGENT: &str = concat!("poolscope-proxy/", env!("CARGO_PKG_VERSION"), " debug");

/// A reply to a request that cannot be answered.
type Refusal = (StatusCode, String);

/// Responds to `/debug/view` (`is_view`) or `/debug/explain`.
pub(super) async fn respond(
    admin: &Admin,
    is_view: bool,
    query: Option<&str>,
    headers: &HeaderMap,
    peer: SocketAddr,
) -> Response<Full<Bytes>> {
    let parameter = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let Some(service) = parameter("service") else {
        if is_view {
            return reply(StatusCode::OK, &overview(admin));
        }
        return text(StatusCode::BAD_REQUEST, "name a Service: ?service=NAMESPACE/NAME\n");
    };
    let mut node = admin.current.get().node.clone();
    if let Some(client) = parameter("client") {
        node = node.client(client);
    }
    let found = tokio::time::timeout(PATIENCE, find(admin, &node, &service, headers, peer)).await;
    let late =
        || (StatusCode::GATEWAY_TIMEOUT, "the API server did not respond in time".to_owned());
    match found.unwrap_or_else(|_| Err(late())) {
        Ok(found) => {
            let service = if is_view { visible(&found) } else { json!(found) };
            let name = node.name();
            reply(StatusCode::OK, &json!({"node": name, "pool": node.pool(), "service": service}))
        }
        Err((status, message)) => text(status, message + "\n"),
    }
}

/// Returns the state of the proxy, without objects.
fn overview(admin: &Admin) -> Value {
    let generation = admin.current.get();
    let node = &generation.node;
    let pool = |upstream: &crate::upstream::Upstream| -> Vec<Value> {
        let server = |one: crate::upstream::ServerSnapshot| {
            json!({
                "server": one.server.to_string(),
                "listed": one.is_listed,
                "connections": one.connections + one.draining,
                "streams": one.open_streams,
                "failures": one.failures,
                "lastError": one.last_error,
            })
        };
        upstream.snapshot().into_iter().map(server).collect()
    };
    json!({
        "node": node.name(),
        "known": node.is_known(),
        "pool": node.pool(),
        "generation": node.cluster().generation(),
        "notReady": admin.reasons(),
        "warnings": admin.warnings(),
        "configuration": {
            "file": generation.configuration.path,
            "sha256": generation.configuration.sha256,
        },
        "counters": node.cluster().counters(),
        "upstream": {"clients": pool(&admin.upstream), "own": pool(&admin.own_upstream)},
    })
}

/// Returns the frontends of a Service with the backends that the node's clients use.
fn visible(view: &ServiceView) -> Value {
    let visible = if view.visible { view.frontends.as_slice() } else { &[] };
    let frontends: Vec<Value> = visible
        .iter()
        .map(|frontend| {
            let backends = view.backends(frontend);
            let backends: Vec<Value> = backends
                .into_iter()
                .map(|(endpoint, port)| {
                    json!({
                        "address": endpoint.address,
                        "port": port.port,
                        "node": endpoint.node,
                        "state": endpoint.state,
                    })
                })
                .collect();
            json!({"address": frontend.address, "type": frontend.r#type, "backends": backends})
        })
        .collect();
    json!({
        "namespace": view.namespace,
        "name": view.name,
        "visible": view.visible,
        "keptEndpoints": view.kept(),
        "allEndpoints": view.endpoints.len(),
        "frontends": frontends,
    })
}

async fn find(
    admin: &Admin,
    node: &NodeView,
    service: &str,
    headers: &HeaderMap,
    peer: SocketAddr,
) -> Result<ServiceView, Refusal> {
    let refuse = |status, message: &str| Err((status, message.to_owned()));
    // The token would cross the network in clear text.
    if !peer.ip().to_canonical().is_loopback() {
        return refuse(
            StatusCode::FORBIDDEN,
            "ask from the node itself, over the loopback address",
        );
    }
    let Some(authorization) = authorization(headers) else {
        return refuse(
            StatusCode::UNAUTHORIZED,
            "send `Authorization: Bearer TOKEN`: the Service is read with the rights of the caller",
        );
    };
    let name = service
        .split_once('/')
        .filter(|(namespace, name)| [namespace, name].into_iter().all(|part| is_name(part)));
    let Some((namespace, name)) = name else {
        return refuse(StatusCode::BAD_REQUEST, "write ?service=NAMESPACE/NAME");
    };
    let missing = node.missing();
    if !missing.is_empty() {
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        return Err((StatusCode::SERVICE_UNAVAILABLE, missing.join("\n")));
    }
    let Ok(_permit) = READS.try_acquire() else {
        return refuse(StatusCode::TOO_MANY_REQUESTS, "two Services are being read: try again");
    };
    let mut inventory = Inventory::new();
    for target in [
        format!("/api/v1/namespaces/{namespace}/services/{name}"),
        format!(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=\
             kubernetes.io%2Fservice-name%3D{name}"
        ),
    ] {
        let body = get(admin, &target, authorization.clone()).await?;
        let load = inventory.load(&body);
        load.map_err(|error| (StatusCode::BAD_GATEWAY, format!("GET {target}: {error}")))?;
    }
    let nothing = || (StatusCode::NOT_FOUND, format!("no Service {namespace}/{name}"));
    inventory.find(node, namespace, name).ok_or_else(nothing)
}

/// Reads a body from the API server with the credentials of the caller.
async fn get(admin: &Admin, target: &str, caller: HeaderValue) -> Result<Bytes, Refusal> {
    let fail = |status, why: &dyn std::fmt::Display| (status, format!("GET {target}: {why}"));
    let request: Request<Body> = Request::get(target)
        .header(AUTHORIZATION, caller)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, AGENT)
        .body(empty())
        .map_err(|error| fail(StatusCode::BAD_REQUEST, &error))?;
    let response = admin.upstream.clone().call(request).await;
    let response = response.map_err(|error| fail(error.status(), &error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| fail(StatusCode::BAD_GATEWAY, &error))?.to_bytes();
    if status == StatusCode::OK {
        return Ok(body);
    }
    let reply: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = reply["message"].as_str().unwrap_or("no message");
    let shown: String = message.chars().filter(|char| !char.is_control()).take(500).collect();
    Err(fail(status, &format_args!("the API server replied {status}: {shown}")))
}

/// Returns `true` for the names of Services and namespaces: DNS labels.
fn is_name(text: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(is_usual)
}

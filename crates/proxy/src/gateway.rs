//! Serves one request of a client.

use http::header::{AUTHORIZATION, CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use poolscope::{NodeView, RequestHead};
use poolscope_http::{OnMissing, RewriteLayer, RewriteService};
use tower_service::Service;

use crate::reply::failure;
use crate::request::{clean, is_ambiguous, is_upgrade, is_watch};
use crate::response::{Stopping, WatchBody};
use crate::upstream::{self, Upstream};
use crate::{Body, BoxError, empty};

/// Serves the requests of a node's clients.
pub struct Gateway {
    node: NodeView,
    upstream: Upstream,
    rewriting: RewriteService<Upstream, Body>,
    stopping: Stopping,
}

impl Gateway {
    /// Serves clients of the layer's node through `upstream`. Responses lack facts only while the
    /// proxy starts; they get a reply at once, because a client that waits in silence does not
    /// know that it does.
    pub fn new(
        node: NodeView,
        layer: &RewriteLayer<Body>,
        upstream: Upstream,
        stopping: Stopping,
    ) -> Gateway {
        let layer = layer.clone().on_missing(OnMissing::Reply);
        let rewriting = tower_layer::Layer::layer(&layer, upstream.clone());
        Gateway { node, upstream, rewriting, stopping }
    }

    /// Serves one request. The proxy never adds credentials to it.
    pub async fn serve(&self, request: Request<Incoming>) -> Response<Body> {
        if !request.headers().contains_key(AUTHORIZATION) {
            let message = "send the ServiceAccount token of the client (`tokenFile` in the \
                           kubeconfig): this proxy lends no identity";
            return failure(StatusCode::UNAUTHORIZED, message, false);
        }
        if is_ambiguous(request.uri().path()) {
            let message = "the path names a rewritten kind in an unusual form: send it in the \
                           usual one";
            return failure(StatusCode::BAD_REQUEST, message, false);
        }
        if request.uri().path_and_query().is_none() {
            return failure(StatusCode::BAD_REQUEST, "the request has no path", false);
        }
        let is_watch = is_watch(&request);
        let is_bodiless_get = request.method() == http::Method::GET;
        let result = if self.is_tunnel(&request) {
            self.tunnel(request).await
        } else {
            self.forward(request, is_watch).await
        };
        result.unwrap_or_else(|error| failed(&error, is_watch, is_bodiless_get))
    }

    /// Returns `true` if the client asks for another protocol, and no response that is rewritten
    /// could come over it.
    fn is_tunnel(&self, request: &Request<Incoming>) -> bool {
        if !is_upgrade(request) {
            return false;
        }
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let head = RequestHead::new(request.method().as_str(), target).header("upgrade", "1");
        self.node.prepare(head.clone()) == head
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        is_watch: bool,
    ) -> Result<Response<Body>, BoxError> {
        clean(request.headers_mut());
        let request = request.map(|body| Body::new(body.map_err(Into::into)));
        let mut response = self.rewriting.clone().call(request).await?;
        clean(response.headers_mut());
        Ok(response.map(|body| {
            let body = Body::new(body.map_err(Into::into));
            if is_watch { Body::new(WatchBody::new(body, self.stopping.clone())) } else { body }
        }))
    }

    /// Connects the client with the API server byte for byte, once both have agreed on a protocol.
    async fn tunnel(&self, mut request: Request<Incoming>) -> Result<Response<Body>, BoxError> {
        let client = hyper::upgrade::on(&mut request);
        let protocol = request.headers().get(UPGRADE).cloned();
        clean(request.headers_mut());
        switch(request.headers_mut(), protocol);
        let request = request.map(|body| Body::new(body.map_err(Into::into)));
        let mut response = self.upstream.tunnel(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            clean(response.headers_mut());
            return Ok(response.map(|body| Body::new(body.map_err(Into::into))));
        }
        let server = hyper::upgrade::on(&mut response);
        let mut stopping = self.stopping.clone();
        tokio::spawn(async move {
            let (Ok(client), Ok(server)) = tokio::join!(client, server) else { return };
            let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
            tokio::select! {
                result = tokio::io::copy_bidirectional(&mut client, &mut server) => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a tunnel broke");
                    }
                }
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
        let protocol = response.headers().get(UPGRADE).cloned();
        clean(response.headers_mut());
        switch(response.headers_mut(), protocol);
        Ok(response.map(|_| empty()))
    }
}

/// Writes the headers of an upgrade, which `clean` removed.
fn switch(headers: &mut http::HeaderMap, protocol: Option<HeaderValue>) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.extend(protocol.map(|protocol| (UPGRADE, protocol)));
}

/// Replies to a request that failed. A watch gets 429: its client keeps its version and opens the
/// watch again, where after 502 or 503 it would list anew.
fn failed(error: &BoxError, is_watch: bool, is_repeatable: bool) -> Response<Body> {
    let status = match error.downcast_ref::<upstream::Error>() {
        Some(error) => error.status(),
        None => StatusCode::BAD_GATEWAY,
    };
    tracing::warn!(%error, %status, "a request failed");
    if is_watch {
        return failure(StatusCode::TOO_MANY_REQUESTS, &error.to_string(), true);
    }
    let again = is_repeatable || status == StatusCode::TOO_MANY_REQUESTS;
    failure(status, &error.to_string(), again)
}

//! Serves one request of a client.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use poolscope_http::{OnMissing, RewriteLayer, RewriteService};
use tower_service::Service;

use crate::credentials::OwnCredentials;
use crate::event_boundary::EventBoundary;
use crate::metrics::{CountedUpstream, Metrics, Rewritten};
use crate::reply::failure;
use crate::request::{clean, is_watch, timeout_seconds};
use crate::response::{Stopping, WatchBody, WatchCount};
use crate::route::{Route, route};
use crate::strangers::FromApiServer;
use crate::tunnel::{MAX_TUNNELS, Tunnels};
use crate::upstream::{self, Upstream};
use crate::{Body, BoxError, empty, stall};

/// How much longer than its `timeoutSeconds` a watch may live.
const MARGIN: Duration = Duration::from_secs(15);

/// Serves the requests of a node's clients. Clones share their limits and counts.
#[derive(Clone)]
pub struct Gateway {
    upstream: Upstream,
    counted: CountedUpstream,
    rewriting: RewriteService<CountedUpstream, Body>,
    tunnels: Tunnels,
    watches: WatchCount,
    stopping: Stopping,
    metrics: Metrics,
    lent: Option<Arc<OwnCredentials>>,
}

/// The long requests that a [`Gateway`] serves at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRequests {
    /// Watches.
    pub watches: usize,
    /// Upgraded connections, also those that are being opened.
    pub tunnels: usize,
}

impl Gateway {
    /// Serves clients of the layer's node through `upstream`. Responses lack facts only while the
    /// proxy starts; they get a reply at once, because a client that waits in silence does not
    /// know that it does.
    pub fn new(
        layer: &RewriteLayer<Body>,
        upstream: Upstream,
        stopping: Stopping,
        metrics: Metrics,
    ) -> Gateway {
        let layer = layer.clone().on_missing(OnMissing::Reply);
        let counted = metrics.count_upstream(upstream.clone());
        let rewriting = tower_layer::Layer::layer(&layer, counted.clone());
        let tunnels = Tunnels::new(MAX_TUNNELS, stopping.clone());
        Gateway {
            upstream,
            counted,
            rewriting,
            tunnels,
            watches: WatchCount::default(),
            stopping,
            metrics,
            lent: None,
        }
    }

    /// Replaces the tunnels, which may outlive the watches.
    #[must_use]
    pub fn with_tunnels(self, tunnels: Tunnels) -> Gateway {
        Gateway { tunnels, ..self }
    }

    /// Returns a gateway for a listener that lends the proxy's own identity: requests without
    /// `Authorization` get its token.
    #[must_use]
    pub fn lending(&self, credentials: Arc<OwnCredentials>) -> Gateway {
        Gateway { lent: Some(credentials), ..self.clone() }
    }

    /// Returns how many watches and tunnels are open.
    pub fn open_requests(&self) -> OpenRequests {
        OpenRequests { watches: self.watches.open(), tunnels: self.tunnels.open() }
    }

    /// Serves one request, and measures it.
    pub async fn serve(&self, request: Request<Incoming>) -> Response<Body> {
        let measured = self.metrics.begin(&request);
        let response = self.respond(request).await;
        measured.end(response)
    }

    /// Responds to a request. Only a gateway that [lends](Gateway::lending) adds credentials to it.
    async fn respond(&self, mut request: Request<Incoming>) -> Response<Body> {
        let lends = self.lent.is_some();
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let route = route(method, uri, request.version(), headers, lends);
        if let Route::Refused(refusal) = route {
            return failure(refusal.status(), refusal.message(), false);
        }
        let (is_watch, is_get) = (is_watch(&request), request.method() == Method::GET);
        if is_watch && *self.stopping.borrow() {
            // It would end at once, and client-go takes a watch that ends at once for one that
            // failed: it lists anew.
            let message = "the proxy stops: open the watch again";
            return failure(StatusCode::TOO_MANY_REQUESTS, message, true);
        }
        let is_lent = match self.lend(request.headers_mut()) {
            Ok(is_lent) => is_lent,
            Err(error) => return failed(&error, is_watch, is_get),
        };
        let result = if route == Route::Tunnel {
            self.tunnel(request).await
        } else {
            self.forward(request, route, is_watch).await
        };
        let response = result.unwrap_or_else(|error| failed(&error, is_watch, is_get));
        if let (StatusCode::UNAUTHORIZED, true, Some(lent)) =
            (response.status(), is_lent, &self.lent)
        {
            lent.unauthorized();
        }
        response
    }

    /// Adds the proxy's token to a request without credentials, if this gateway lends it. Returns
    /// `true` if it did.
    fn lend(&self, headers: &mut HeaderMap) -> Result<bool, BoxError> {
        match &self.lent {
            Some(lent) if !headers.contains_key(AUTHORIZATION) => {
                let token = lent.token()?.ok_or("the proxy's own identity has no token to lend")?;
                headers.insert(AUTHORIZATION, token.header());
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        route: Route,
        is_watch: bool,
    ) -> Result<Response<Body>, BoxError> {
        clean(request.headers_mut());
        let limit = timeout_seconds(&request).map(|timeout| timeout + MARGIN);
        let request = request.map(|body| Body::new(body.map_err(Into::into)));
        let mut response = if route == Route::Rewritten {
            let response = self.rewriting.clone().call(request).await?;
            let is_rewritten = !response.body().is_forwarded();
            let mut response = response.map(boxed);
            if is_rewritten {
                response.extensions_mut().insert(Rewritten);
            }
            response
        } else {
            self.counted.clone().call(request).await?.map(boxed)
        };
        clean(response.headers_mut());
        response.extensions_mut().insert(FromApiServer);
        if !is_watch {
            return Ok(response);
        }
        let headers = response.headers();
        let is_encoded = headers.contains_key(CONTENT_ENCODING);
        let boundary = EventBoundary::new(headers.get(CONTENT_TYPE), is_encoded);
        let (stopping, counted) = (self.stopping.clone(), self.watches.add());
        Ok(response.map(|body| Body::new(WatchBody::new(body, boundary, limit, stopping, counted))))
    }

    /// Connects the client with the API server byte for byte, once both have agreed on a protocol.
    async fn tunnel(&self, mut request: Request<Incoming>) -> Result<Response<Body>, BoxError> {
        let Some(permit) = self.tunnels.reserve() else {
            let message = "too many exec, attach and port-forward connections are open: try later";
            return Ok(failure(StatusCode::TOO_MANY_REQUESTS, message, true));
        };
        let client = hyper::upgrade::on(&mut request);
        let protocol = request.headers().get(UPGRADE).cloned();
        clean(request.headers_mut());
        switch(request.headers_mut(), protocol);
        let request = request.map(|body| Body::new(body.map_err(Into::into)));
        let mut response = self.upstream.tunnel(request).await?;
        response.extensions_mut().insert(FromApiServer);
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            clean(response.headers_mut());
            return Ok(response.map(boxed));
        }
        stall::exempt_connection();
        self.tunnels.run(permit, client, hyper::upgrade::on(&mut response));
        let protocol = response.headers().get(UPGRADE).cloned();
        clean(response.headers_mut());
        switch(response.headers_mut(), protocol);
        Ok(response.map(|_| empty()))
    }
}

fn boxed<B>(body: B) -> Body
where
    B: HttpBody<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Body::new(body.map_err(Into::into))
}

/// Writes the headers of an upgrade, which `clean` removed.
fn switch(headers: &mut HeaderMap, protocol: Option<HeaderValue>) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.extend(protocol.map(|protocol| (UPGRADE, protocol)));
}

/// Replies to a request that failed. A watch gets 429: its client keeps its version and opens the
/// watch again, where after 502 or 503 it would list anew.
fn failed(error: &BoxError, is_watch: bool, is_repeatable: bool) -> Response<Body> {
    let upstream = error.downcast_ref::<upstream::Error>();
    let status = upstream.map_or(StatusCode::BAD_GATEWAY, upstream::Error::status);
    tracing::warn!(%error, %status, "a request failed");
    if is_watch {
        return failure(StatusCode::TOO_MANY_REQUESTS, &error.to_string(), true);
    }
    // A client that has waited for the timeout need not do so ten times.
    let is_timeout = status == StatusCode::GATEWAY_TIMEOUT;
    let again = is_repeatable && !is_timeout || status == StatusCode::TOO_MANY_REQUESTS;
    failure(status, &error.to_string(), again)
}

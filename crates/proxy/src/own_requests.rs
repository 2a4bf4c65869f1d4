//! The proxy's own requests, which fetch facts under its own identity.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use tower_service::Service;

use crate::AGENT;
use crate::credentials::OwnCredentials;
use crate::upstream::{self, Upstream, UpstreamBody};
use crate::{Body, BoxError};

/// Sends requests with the identity of the proxy. No client's request goes through it.
#[derive(Clone)]
pub struct OwnRequests {
    upstream: Upstream,
    credentials: Arc<OwnCredentials>,
}

impl OwnRequests {
    /// Sends requests through `upstream`, which has the TLS configuration of
    /// [`OwnCredentials::own_config`].
    pub fn new(upstream: Upstream, credentials: Arc<OwnCredentials>) -> OwnRequests {
        OwnRequests { upstream, credentials }
    }
}

impl Service<Request<Body>> for OwnRequests {
    type Response = Response<UpstreamBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<UpstreamBody>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Request<Body>>::poll_ready(&mut self.upstream, context)
            .map_err(|error: upstream::Error| error.into())
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (mut upstream, credentials) = (self.upstream.clone(), self.credentials.clone());
        Box::pin(async move {
            if let Some(token) = credentials.token()? {
                request.headers_mut().insert(AUTHORIZATION, token.header());
            }
            request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
            let response = upstream.call(request).await?;
            if response.status() == StatusCode::UNAUTHORIZED {
                credentials.unauthorized();
            }
            Ok(response)
        })
    }
}

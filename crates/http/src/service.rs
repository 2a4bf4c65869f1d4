//! The service that rewrites responses.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use poolscope::{Action, ReplyCause, RequestHead, ResponseHead, Retention};
use tower_service::Service;

use crate::error::BoxError;
use crate::head::{describe_rewritten, prepare, readable};
use crate::layer::{OnMissing, Settings};
use crate::list_requests::ListRequests;
use crate::response_body::ResponseBody;
use crate::rewrite_body::RewriteBody;
use crate::shared_service::SharedService;

/// The future of a [`RewriteService`].
pub type ResponseFuture<ResB> =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody<ResB>>, BoxError>> + Send>>;

/// A service that rewrites the responses of the API server for a node: the work of
/// [`RewriteLayer`](crate::RewriteLayer).
///
/// Clones share the inner service. `poll_ready` is always ready: each response future waits until
/// the inner service is ready.
///
/// # Errors
///
/// A response fails with the error of the inner service, or with a [`poolscope::Error`] if it
/// carries endpoints and cannot be read.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Empty, Full};
/// use poolscope::{Cluster, Config};
/// use poolscope_http::{OnMissing, RewriteLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// // An API server in the same process.
/// let server = service_fn(|_: Request<Empty<Bytes>>| {
///     let response = Response::builder().header("Content-Type", "application/json");
///     let body = Full::new(Bytes::from(r#"{"kind":"EndpointSliceList","items":[]}"#));
///     std::future::ready(response.body(body))
/// });
/// let node = Cluster::new(Config::openyurt())?.node("hz-1");
/// let layer = RewriteLayer::new(node, Empty::new).on_missing(OnMissing::Reply);
///
/// let request = Request::get("/apis/discovery.k8s.io/v1/endpointslices").body(Empty::new())?;
/// let response = layer.layer(server).oneshot(request).await?;
/// // No facts were read yet.
/// assert_eq!(response.status(), 503);
/// assert!(response.collect().await?.to_bytes().starts_with(br#"{"kind":"Status""#));
/// # Ok::<(), poolscope_http::BoxError>(())
/// # }).unwrap();
/// ```
pub struct RewriteService<S, ReqB> {
    inner: Arc<SharedService<S>>,
    settings: Settings<ReqB>,
}

impl<S, ReqB> RewriteService<S, ReqB> {
    pub(crate) fn new(inner: S, settings: Settings<ReqB>) -> RewriteService<S, ReqB> {
        RewriteService { inner: Arc::new(SharedService::new(inner)), settings }
    }

    /// Returns a copy of a request's head if its stream may need lists.
    fn head_for_lists(&self, parts: &request::Parts) -> Option<request::Parts> {
        let config = self.settings.node.cluster().config();
        (config.retention() == Retention::Topology).then(|| parts.clone())
    }
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for RewriteService<S, ReqB>
where
    S: Service<Request<ReqB>, Response = Response<ResB>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    ReqB: Send + 'static,
    ResB: Body<Data = Bytes> + Send + 'static,
    ResB::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = BoxError;
    type Future = ResponseFuture<ResB>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqB>) -> ResponseFuture<ResB> {
        let (mut parts, body) = request.into_parts();
        let head = prepare(&self.settings.node, &mut parts);
        let for_lists = self.head_for_lists(&parts);
        let service = self.clone();
        Box::pin(async move {
            let request = Request::from_parts(parts, body);
            let response = service.inner.send(request).await.map_err(Into::into)?;
            service.rewrite(&head, for_lists, response).await.map_err(Into::into)
        })
    }
}

impl<S, ReqB, ResB> RewriteService<S, ReqB>
where
    S: Service<Request<ReqB>, Response = Response<ResB>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    ReqB: Send + 'static,
    ResB: Body<Data = Bytes> + Send,
    ResB::Error: Into<BoxError>,
{
    /// Changes a response into the one that the node's client receives.
    async fn rewrite(
        &self,
        request: &RequestHead,
        for_lists: Option<request::Parts>,
        response: Response<ResB>,
    ) -> poolscope::Result<Response<ResponseBody<ResB>>> {
        let (mut parts, upstream) = response.into_parts();
        let (head, is_gzip) = readable(&parts);
        let rewriter = match self.open(request, &head).await? {
            Action::Forward => {
                return Ok(Response::from_parts(parts, ResponseBody::forward(upstream)));
            }
            Action::Reply(reply) => {
                return Ok(Response::from(reply).map(ResponseBody::reply));
            }
            Action::Rewrite(rewriter) => rewriter,
        };
        describe_rewritten(&mut parts.headers, is_gzip);
        let cluster = self.settings.node.cluster();
        let for_lists = for_lists.filter(|_| rewriter.is_watch());
        let mut body = RewriteBody::new(cluster, rewriter, upstream);
        if is_gzip {
            body = body.gzip();
        }
        if let Some(head) = for_lists {
            let source = ListRequests::new(self.inner.clone(), head, self.settings.empty);
            body = body.needed_lists(source, self.settings.timer.clone());
        }
        Ok(Response::from_parts(parts, ResponseBody::rewrite(body)))
    }
}

impl<S, ReqB> RewriteService<S, ReqB> {
    /// Opens a response, and waits for missing facts.
    async fn open(&self, request: &RequestHead, head: &ResponseHead) -> poolscope::Result<Action> {
        let settings = &self.settings;
        // Listens from before the first look at the facts, so that no fact is missed.
        let mut changes = settings.node.cluster().changes();
        let mut wait = None;
        loop {
            let reply = match settings.node.open(request, head)? {
                Action::Reply(reply) => reply,
                action => return Ok(action),
            };
            let ReplyCause::MissingFacts(missing) = &reply.cause else {
                return Ok(Action::Reply(reply));
            };
            settings.waiting.lack(missing, settings.timer.now());
            let OnMissing::Wait(limit) = settings.on_missing else {
                return Ok(Action::Reply(reply));
            };
            let (entry, deadline) = wait.get_or_insert_with(|| {
                let timer = &settings.timer;
                (settings.waiting.add(request.target.clone(), timer.now()), timer.sleep(limit))
            });
            entry.set_missing(missing);
            let changed = poll_fn(|context| {
                if changes.poll_changed(context).is_ready() {
                    return Poll::Ready(true);
                }
                deadline.as_mut().poll(context).map(|()| false)
            });
            if !changed.await {
                return Ok(Action::Reply(reply));
            }
        }
    }
}

// Derived, it would ask for `S: Clone` and `ReqB: Clone`.
impl<S, ReqB> Clone for RewriteService<S, ReqB> {
    fn clone(&self) -> RewriteService<S, ReqB> {
        RewriteService { inner: self.inner.clone(), settings: self.settings.clone() }
    }
}

impl<S, ReqB> fmt::Debug for RewriteService<S, ReqB> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RewriteService")
            .field("node", &self.settings.node.name())
            .field("on_missing", &self.settings.on_missing)
            .finish_non_exhaustive()
    }
}

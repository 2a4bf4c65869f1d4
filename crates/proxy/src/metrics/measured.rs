//! One request, measured from its head to the end of its response.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tower_service::Service;

use super::{Metrics, RequestLabels, ResourceLabels};
use crate::upstream::{self, Upstream, UpstreamBody};
use crate::{Body, BoxError};

/// Marks a response, as an extension, whose body is not that of the API server.
#[derive(Clone, Copy, Debug)]
pub struct Rewritten;

/// A request of a client whose response is awaited.
pub struct MeasuredRequest {
    pub(super) metrics: Metrics,
    pub(super) client: String,
    pub(super) resource: String,
    pub(super) verb: &'static str,
    pub(super) began: Instant,
}

impl MeasuredRequest {
    /// Counts the response, and measures its body until it ends or is dropped.
    pub fn end(self, mut response: Response<Body>) -> Response<Body> {
        let MeasuredRequest { metrics, client, resource, verb, began } = self;
        let status = response.status();
        let (client, resource) = metrics.admit(&client, &resource, status);
        let labels = RequestLabels { client, resource, verb, code: status.as_u16() };
        metrics.0.requests.get_or_create(&labels).inc();
        let watch = (verb == "watch" && status == StatusCode::OK).then(|| {
            let labels = ResourceLabels { resource: labels.resource.clone() };
            OpenWatch::new(metrics.0.watches.get_or_create_owned(&labels))
        });
        let is_rewritten = response.extensions_mut().remove::<Rewritten>().is_some();
        response.map(|body| {
            Body::new(MeasuredBody {
                body,
                sent: metrics.bytes("response", "client"),
                bytes: 0,
                rewriting: is_rewritten.then(|| Rewriting { metrics, labels, began }),
                _watch: watch,
            })
        })
    }
}

/// An open watch in the gauge.
struct OpenWatch(Gauge);

impl OpenWatch {
    fn new(gauge: Gauge) -> OpenWatch {
        gauge.inc();
        OpenWatch(gauge)
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A response that poolscope rewrites.
struct Rewriting {
    metrics: Metrics,
    labels: RequestLabels,
    began: Instant,
}

/// The body of a response on its way to the client.
struct MeasuredBody {
    body: Body,
    sent: Counter,
    bytes: u64,
    rewriting: Option<Rewriting>,
    _watch: Option<OpenWatch>,
}

impl HttpBody for MeasuredBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let before = self.rewriting.is_some().then(Instant::now);
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let (Some(rewriting), Some(before)) = (&self.rewriting, before) {
            rewriting.metrics.0.rewrite_seconds.inc_by(before.elapsed().as_secs_f64());
        }
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.bytes += length;
            self.sent.inc_by(length);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for MeasuredBody {
    fn drop(&mut self) {
        let Some(Rewriting { labels, began, .. }) = &self.rewriting else { return };
        tracing::debug!(
            client = %labels.client,
            resource = %labels.resource,
            verb = labels.verb,
            code = labels.code,
            bytes = self.bytes,
            ms = began.elapsed().as_millis() as u64,
            "a rewritten response ended"
        );
    }
}

/// Counts the bytes of the bodies that pass through an [`Upstream`].
#[derive(Clone)]
pub struct CountedUpstream {
    upstream: Upstream,
    sent: Counter,
    received: Counter,
}

impl CountedUpstream {
    pub(super) fn new(upstream: Upstream, metrics: Metrics) -> CountedUpstream {
        let (sent, received) =
            (metrics.bytes("request", "upstream"), metrics.bytes("response", "upstream"));
        CountedUpstream { upstream, sent, received }
    }
}

impl Service<Request<Body>> for CountedUpstream {
    type Response = Response<CountedBody<UpstreamBody>>;
    type Error = upstream::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, upstream::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), upstream::Error>> {
        Service::<Request<Body>>::poll_ready(&mut self.upstream, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (sent, received) = (self.sent.clone(), self.received.clone());
        let response =
            self.upstream.call(request.map(|body| Body::new(CountedBody { body, counter: sent })));
        Box::pin(
            async move { Ok(response.await?.map(|body| CountedBody { body, counter: received })) },
        )
    }
}

/// A body whose bytes are counted.
pub struct CountedBody<B> {
    body: B,
    counter: Counter,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.counter.inc_by(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

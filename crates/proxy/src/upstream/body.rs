//! Bodies of requests and responses. Both hold the permit of their stream: the stream is open until
//! both have ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::Permit;
use super::deadline::Progress;
use super::error::Error;
use crate::{BoxError, empty};

/// The body of a request of any client.
pub(super) struct RequestBody {
    // Before the permit, so that it is dropped first.
    body: crate::Body,
    permit: Option<Arc<Permit>>,
    progress: Option<Arc<Progress>>,
}

impl RequestBody {
    pub(super) fn new(body: crate::Body) -> RequestBody {
        RequestBody { body, permit: None, progress: None }
    }

    pub(super) fn empty() -> RequestBody {
        RequestBody::new(empty())
    }

    /// Records each frame of the body as progress of its request.
    pub(super) fn record(&mut self, progress: Arc<Progress>) {
        self.progress = Some(progress);
    }

    /// Keeps the stream of `permit` counted until this body is dropped.
    pub(super) fn hold(&mut self, permit: Arc<Permit>) {
        self.permit = Some(permit);
    }

    /// Ends the count of the stream: the request was not sent.
    pub(super) fn release(&mut self) {
        self.permit = None;
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let (Poll::Ready(_), Some(progress)) = (&polled, &self.progress) {
            progress.record();
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

/// The body of a response. Its stream is counted until the body has ended or is dropped.
pub struct UpstreamBody {
    // Before the permit, so that it is dropped first.
    body: Incoming,
    permit: Option<Arc<Permit>>,
}

impl UpstreamBody {
    pub(super) fn new(body: Incoming, permit: Arc<Permit>) -> UpstreamBody {
        UpstreamBody { body, permit: Some(permit) }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(None) => {
                self.permit = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let failed = self.permit.take().map(|permit| Error::Body {
                    server: permit.server().clone(),
                    source: Arc::new(error),
                });
                Poll::Ready(failed.map(Err))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

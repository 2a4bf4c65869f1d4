//! The body of any response that passed the layer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::error::{BoxError, Error};
use crate::rewrite_body::RewriteBody;

pin_project! {
    /// The body of a response that passed a [`RewriteLayer`](crate::RewriteLayer): the upstream
    /// body, the upstream body rewritten, or a reply in place of the response.
    ///
    /// ```
    /// use poolscope_http::ResponseBody;
    ///
    /// /// Counts the responses that poolscope forwarded untouched.
    /// fn count<B>(body: &ResponseBody<B>, forwarded: &mut u64) {
    ///     *forwarded += u64::from(body.is_forwarded());
    /// }
    /// ```
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = Projection]
    #[derive(Debug)]
    enum Kind<B> {
        Forward { #[pin] body: B },
        Rewrite { #[pin] body: RewriteBody<B> },
        Reply { body: Option<Bytes> },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn forward(body: B) -> ResponseBody<B> {
        ResponseBody { kind: Kind::Forward { body } }
    }

    pub(crate) fn rewrite(body: RewriteBody<B>) -> ResponseBody<B> {
        ResponseBody { kind: Kind::Rewrite { body } }
    }

    pub(crate) fn reply(body: Bytes) -> ResponseBody<B> {
        ResponseBody { kind: Kind::Reply { body: Some(body) } }
    }

    /// Returns `true` if this is the upstream body, unchanged.
    pub fn is_forwarded(&self) -> bool {
        matches!(self.kind, Kind::Forward { .. })
    }

    /// Returns `true` if this is the body of a reply in place of the response.
    pub fn is_reply(&self) -> bool {
        matches!(self.kind, Kind::Reply { .. })
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.project().kind.project() {
            Projection::Forward { body } => {
                body.poll_frame(context).map_err(|error| Error::Upstream(error.into()))
            }
            Projection::Rewrite { body } => body.poll_frame(context),
            Projection::Reply { body } => {
                Poll::Ready(body.take().map(|body| Ok(Frame::data(body))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Forward { body } => body.is_end_stream(),
            Kind::Rewrite { body } => body.is_end_stream(),
            Kind::Reply { body } => body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Forward { body } => body.size_hint(),
            Kind::Rewrite { body } => body.size_hint(),
            Kind::Reply { body } => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
        }
    }
}

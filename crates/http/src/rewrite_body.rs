//! A response body that is rewritten while it is read.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use poolscope::{BodyRewriter, ChangeListener, Cluster};

use crate::error::{BoxError, Error};
use crate::needed_lists::{ListSource, NeededLists};
use crate::rewriting::Rewriting;
use crate::timer::Timer;

/// Upstream frames without output after which the body yields to other tasks.
const SILENT_FRAMES: usize = 64;

pin_project! {
    /// A response body as the node's client receives it.
    ///
    /// The body reads upstream and pushes each frame through a [`BodyRewriter`]. A watch also emits
    /// the events that are due after facts changed, even while upstream is silent. Upstream is read
    /// only when the client took all output. Trailers pass.
    ///
    /// The body ends with upstream, or after an ERROR event that the rewriter emitted. If upstream
    /// fails or ends inside a value, a watch ends normally after its last whole event, and its
    /// client resumes. A list or a single object ends with an [`Error`], because it must not look
    /// whole.
    ///
    /// Dropping the body drops the upstream body.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body_util::{BodyExt, Full};
    /// use poolscope::{Action, Cluster, Config, RequestHead, ResponseHead};
    /// use poolscope_http::RewriteBody;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let cluster = Cluster::new(Config::openyurt())?;
    /// let request = RequestHead::get("/api/v1/services");
    /// let action = cluster.node("hz-1").open(&request, &ResponseHead::ok("application/json"))?;
    /// let Action::Rewrite(rewriter) = action else { panic!("{action:?}") };
    ///
    /// let upstream = Full::new(Bytes::from(r#"{"kind":"ServiceList","items":[]}"#));
    /// let body = RewriteBody::new(&cluster, rewriter, upstream);
    /// assert_eq!(body.collect().await?.to_bytes(), r#"{"kind":"ServiceList","items":[]}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use = "a body does nothing until it is polled"]
    pub struct RewriteBody<B> {
        // `None` after the end.
        #[pin]
        upstream: Option<B>,
        rewriting: Rewriting,
        // Only for a watch: nothing else emits events after a fact change.
        changes: Option<ChangeListener>,
        lists: Option<NeededLists>,
        trailers: Option<HeaderMap>,
    }
}

impl<B> RewriteBody<B> {
    /// Rewrites `upstream`, the body of a response, with the rewriter that
    /// [`NodeView::open`](poolscope::NodeView::open) returned for the response. `cluster` is the
    /// cluster of that view.
    pub fn new(cluster: &Cluster, rewriter: BodyRewriter, upstream: B) -> RewriteBody<B> {
        RewriteBody {
            upstream: Some(upstream),
            changes: rewriter.is_watch().then(|| cluster.changes()),
            rewriting: Rewriting::new(rewriter),
            lists: None,
            trailers: None,
        }
    }

    /// Returns this body for an upstream body that is compressed with gzip. Each upstream frame is
    /// decompressed as far as possible, so that an event is emitted as soon as the server flushed
    /// it.
    pub fn gzip(mut self) -> RewriteBody<B> {
        self.rewriting.decompress();
        self
    }

    /// Returns this body with a source for the lists that it needs. They are requested one at a
    /// time; a list that failed is requested again after a second, then after longer delays.
    /// Needed lists exist only with [`Retention::Topology`](poolscope::Retention::Topology).
    pub fn needed_lists(
        mut self,
        source: impl ListSource,
        timer: Arc<dyn Timer>,
    ) -> RewriteBody<B> {
        self.lists = Some(NeededLists::new(Box::new(source), timer));
        self
    }
}

impl<B> Body for RewriteBody<B>
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
        let mut body = self.project();
        let rewriting = body.rewriting;
        for _ in 0..SILENT_FRAMES {
            // A compressed frame has several pieces.
            let run = loop {
                match rewriting.next_run() {
                    None if rewriting.push_piece() => {}
                    run => break run,
                }
            };
            if let Some(run) = run {
                return Poll::Ready(Some(Ok(Frame::data(run))));
            }
            if rewriting.is_closed() {
                body.upstream.set(None);
                *body.changes = None;
                *body.lists = None;
                if let Some(error) = rewriting.take_error() {
                    *body.trailers = None;
                    return Poll::Ready(Some(Err(error)));
                }
                return Poll::Ready(body.trailers.take().map(|fields| Ok(Frame::trailers(fields))));
            }
            if let Some(changes) = body.changes {
                // The last call registers the waker, and precedes the refresh, so that no later
                // change is missed.
                while changes.poll_changed(context).is_ready() {}
                rewriting.refresh();
            }
            if let Some(lists) = body.lists {
                lists.drive(context, rewriting);
            }
            if !rewriting.is_drained() || rewriting.is_closed() {
                continue;
            }
            let Some(upstream) = body.upstream.as_mut().as_pin_mut() else {
                return Poll::Ready(None);
            };
            match ready!(upstream.poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) => rewriting.push(chunk),
                    Err(frame) => *body.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => rewriting.fail(error.into()),
                None => rewriting.finish(),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.rewriting.is_closed() && self.rewriting.is_drained() && self.trailers.is_none()
    }
}

impl<B> fmt::Debug for RewriteBody<B> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RewriteBody")
            .field("rewriter", &self.rewriting.rewriter())
            .finish_non_exhaustive()
    }
}

//! The end of responses: watches end so that their clients resume, all others so that nobody takes
//! half of them for the whole.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::event_boundary::EventBoundary;
use crate::{Body, BoxError};

/// The end of the process, for the bodies of watches.
pub type Stopping = watch::Receiver<bool>;

/// The number of watches that are open. Clones share it.
#[derive(Clone, Default)]
pub struct WatchCount(Arc<AtomicUsize>);

impl WatchCount {
    /// Returns the number.
    pub fn open(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more, until the returned value is dropped.
    pub fn add(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.0.clone())
    }
}

/// A watch that is counted until this value is dropped.
pub struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a watch that is to end waits for the rest of an event.
const REST: Duration = Duration::from_secs(1);

/// The body of a watch. If its upstream breaks, its time is over or the proxy stops, it ends like
/// any other: clients resume where they were, where an error would make them list anew.
pub struct WatchBody {
    upstream: Option<Body>,
    boundary: EventBoundary,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// The end is due, and half an event was sent: the time until which the rest may come.
    rest: Option<Pin<Box<tokio::time::Sleep>>>,
    _counted: Counted,
}

impl WatchBody {
    /// Reads `upstream` until it ends or breaks, until `limit` has passed, or until the proxy
    /// stops. The watch is counted until the body is dropped.
    pub fn new(
        upstream: Body,
        boundary: EventBoundary,
        limit: Option<Duration>,
        mut stopping: Stopping,
        counted: Counted,
    ) -> WatchBody {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let end = Box::pin(async move {
            let over = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender lives as long as the process serves.
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = over => {}
            }
        });
        WatchBody { upstream: Some(upstream), boundary, end, rest: None, _counted: counted }
    }

    /// Returns `true` if the watch ends now.
    fn ends(&mut self, context: &mut Context<'_>) -> bool {
        if self.rest.is_none() {
            if self.end.as_mut().poll(context).is_pending() {
                return false;
            }
            self.rest = Some(Box::pin(tokio::time::sleep(REST)));
        }
        let rest = self.rest.as_mut().map(|rest| rest.as_mut().poll(context).is_ready());
        self.boundary.is_between_events() || rest == Some(true)
    }
}

impl HttpBody for WatchBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // First: a watch that is never silent has to end too.
        if self.upstream.is_none() || self.ends(context) {
            self.upstream = None;
            return Poll::Ready(None);
        }
        let Some(upstream) = &mut self.upstream else { return Poll::Ready(None) };
        match Pin::new(upstream).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(bytes) = frame.data_ref() {
                    self.boundary.read(bytes);
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => tracing::debug!(%error, "upstream broke a watch"),
            Poll::Ready(None) => {}
            Poll::Pending => return Poll::Pending,
        }
        self.upstream = None;
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.upstream.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::BodyExt;

    use super::*;

    /// Frames, then the end, an error or silence.
    struct Scripted(VecDeque<Result<&'static str, &'static str>>, bool);

    impl HttpBody for Scripted {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            match self.0.pop_front() {
                Some(frame) => Poll::Ready(Some(
                    frame.map(|text| Frame::data(Bytes::from(text))).map_err(Into::into),
                )),
                None if self.1 => Poll::Pending,
                None => Poll::Ready(None),
            }
        }
    }

    fn body(frames: &[Result<&'static str, &'static str>], is_silent: bool) -> Body {
        Body::new(Scripted(frames.iter().copied().collect(), is_silent))
    }

    fn lines(body: Body, limit: Option<Duration>, stopping: &Stopping) -> WatchBody {
        let boundary = EventBoundary::Lines { is_between: true };
        WatchBody::new(body, boundary, limit, stopping.clone(), WatchCount::default().add())
    }

    #[tokio::test]
    async fn a_watch_whose_upstream_breaks_ends_like_any_other() {
        let (_stop, stopping) = watch::channel(false);
        for frames in [&[Ok("one"), Err("reset")][..], &[Ok("one")][..]] {
            let body = lines(body(frames, false), None, &stopping);
            assert_eq!(body.collect().await.unwrap().to_bytes(), "one");
        }
    }

    #[tokio::test]
    async fn a_silent_watch_ends_when_the_proxy_stops() {
        let (stop, stopping) = watch::channel(false);
        let body = lines(body(&[Ok("one\n")], true), None, &stopping);
        let reading = tokio::spawn(body.collect());
        tokio::task::yield_now().await;
        stop.send(true).unwrap();
        assert_eq!(reading.await.unwrap().unwrap().to_bytes(), "one\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_ends_after_its_time_between_two_events() {
        let (_stop, stopping) = watch::channel(false);
        for (frames, waits) in [(&[Ok("one\n")][..], 0), (&[Ok("one\n"), Ok("tw")], 1), (&[], 0)] {
            let count = WatchCount::default();
            let limit = Duration::from_secs(20);
            let boundary = EventBoundary::Lines { is_between: true };
            let body = body(frames, true);
            let body = WatchBody::new(body, boundary, Some(limit), stopping.clone(), count.add());
            assert_eq!(count.open(), 1);
            let started = Instant::now();
            body.collect().await.unwrap();
            let passed = started.elapsed().saturating_sub(limit);
            assert_eq!(passed.as_secs(), waits, "{frames:?}");
            assert_eq!(count.open(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_due_to_end_sends_the_rest_of_an_event() {
        let (stop, stopping) = watch::channel(false);
        let frames = body(&[Ok("one\ntw"), Ok("o\n"), Ok("three\n")], true);
        let mut body = lines(frames, None, &stopping);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one\ntw");
        stop.send(true).unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "o\n");
    }
}

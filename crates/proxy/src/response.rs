//! The end of responses: watches end so that their clients resume, all others so that nobody takes
//! half of them for the whole.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;

use crate::{Body, BoxError};

/// The end of the process, for the bodies of watches.
pub type Stopping = watch::Receiver<bool>;

/// The body of a watch. If its upstream breaks or the proxy stops, it ends like any other: clients
/// resume where they were, where an error would make them list anew.
pub struct WatchBody {
    upstream: Option<Body>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl WatchBody {
    /// Reads `upstream` until it ends or breaks, or until the proxy stops.
    pub fn new(upstream: Body, mut stopping: Stopping) -> WatchBody {
        let stopped = Box::pin(async move {
            // The sender lives as long as the process serves.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        });
        WatchBody { upstream: Some(upstream), stopped }
    }
}

impl HttpBody for WatchBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(upstream) = &mut self.upstream else { return Poll::Ready(None) };
        match Pin::new(upstream).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => tracing::debug!(%error, "upstream broke a watch"),
            Poll::Ready(None) => {}
            Poll::Pending => {
                if self.stopped.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
            }
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

    #[tokio::test]
    async fn a_watch_whose_upstream_breaks_ends_like_any_other() {
        let (_stop, stopping) = watch::channel(false);
        for frames in [&[Ok("one"), Err("reset")][..], &[Ok("one")][..]] {
            let body = WatchBody::new(body(frames, false), stopping.clone());
            assert_eq!(body.collect().await.unwrap().to_bytes(), "one");
        }
    }

    #[tokio::test]
    async fn a_silent_watch_ends_when_the_proxy_stops() {
        let (stop, stopping) = watch::channel(false);
        let body = WatchBody::new(body(&[Ok("one")], true), stopping);
        let reading = tokio::spawn(body.collect());
        tokio::task::yield_now().await;
        stop.send(true).unwrap();
        assert_eq!(reading.await.unwrap().unwrap().to_bytes(), "one");
    }
}

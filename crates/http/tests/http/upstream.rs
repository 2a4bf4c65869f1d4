//! A body that a test feeds frame by frame, and a client that polls a body by hand.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};

#[derive(Default)]
struct State {
    steps: VecDeque<Step>,
    waker: Option<Waker>,
    polls: usize,
    dropped: bool,
}

enum Step {
    Frame(Frame<Bytes>),
    Fail,
    End,
}

/// An upstream body.
pub struct Upstream(Arc<Mutex<State>>);

/// Feeds an [`Upstream`].
#[derive(Clone)]
pub struct Feed(Arc<Mutex<State>>);

pub fn upstream() -> (Upstream, Feed) {
    let state = Arc::<Mutex<State>>::default();
    (Upstream(state.clone()), Feed(state))
}

/// A whole body in chunks of the given sizes.
pub fn chunked(body: &[u8], mut sizes: impl Iterator<Item = usize>) -> Upstream {
    let (upstream, feed) = upstream();
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        feed.data(chunk);
        rest = after;
    }
    feed.end();
    upstream
}

impl Feed {
    fn step(&self, step: Step) {
        let mut state = self.0.lock().unwrap();
        state.steps.push_back(step);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    pub fn data(&self, chunk: impl AsRef<[u8]>) {
        self.step(Step::Frame(Frame::data(Bytes::copy_from_slice(chunk.as_ref()))));
    }

    pub fn trailers(&self, trailers: HeaderMap) {
        self.step(Step::Frame(Frame::trailers(trailers)));
    }

    pub fn fail(&self) {
        self.step(Step::Fail);
    }

    pub fn end(&self) {
        self.step(Step::End);
    }

    /// How often the body was polled.
    pub fn polls(&self) -> usize {
        self.0.lock().unwrap().polls
    }

    pub fn is_dropped(&self) -> bool {
        self.0.lock().unwrap().dropped
    }
}

impl Body for Upstream {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let mut state = self.0.lock().unwrap();
        state.polls += 1;
        match state.steps.pop_front() {
            Some(Step::Frame(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Step::Fail) => Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into()))),
            Some(Step::End) => Poll::Ready(None),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let mut state = self.0.lock().unwrap();
        state.dropped = true;
        state.waker = None;
    }
}

/// Counts wakes.
#[derive(Default)]
pub struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Wakes>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a client sees at the end of the bytes that are there.
#[derive(Debug)]
pub enum Then<E> {
    Pending,
    Trailers(HeaderMap),
    Failed(E),
    End,
}

/// A client that polls a body by hand.
pub struct Reader<B> {
    pub body: Pin<Box<B>>,
    wakes: Arc<Wakes>,
}

impl<B: Body<Data = Bytes>> Reader<B> {
    pub fn new(body: B) -> Reader<B> {
        Reader { body: Box::pin(body), wakes: Arc::default() }
    }

    pub fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }

    /// The number of wakers that somebody else keeps.
    pub fn wakers(wakes: &Arc<Wakes>) -> usize {
        Arc::strong_count(wakes) - 1
    }

    /// Drops the body.
    pub fn close(self) -> Arc<Wakes> {
        self.wakes
    }

    pub fn poll(&mut self) -> Result<Bytes, Then<B::Error>> {
        let waker = Waker::from(self.wakes.clone());
        match self.body.as_mut().poll_frame(&mut Context::from_waker(&waker)) {
            Poll::Pending => Err(Then::Pending),
            Poll::Ready(None) => Err(Then::End),
            Poll::Ready(Some(Err(error))) => Err(Then::Failed(error)),
            Poll::Ready(Some(Ok(frame))) => frame.into_data().map_err(|frame| {
                Then::Trailers(frame.into_trailers().unwrap_or_else(|_| panic!("unknown frame")))
            }),
        }
    }

    /// Reads what is there.
    pub fn read(&mut self) -> (String, Then<B::Error>) {
        let (bytes, then) = self.read_bytes();
        (String::from_utf8(bytes).unwrap(), then)
    }

    pub fn read_bytes(&mut self) -> (Vec<u8>, Then<B::Error>) {
        let mut out = Vec::new();
        loop {
            match self.poll() {
                Ok(run) => {
                    assert!(!run.is_empty(), "an empty frame");
                    out.extend_from_slice(&run);
                }
                Err(then) => return (out, then),
            }
        }
    }
}

//! Aborts responses whose client reads nothing while data waits for it.
//!
//! Two clocks run. One belongs to the socket: bytes wait, and the client's kernel takes none. It
//! aborts the connection. The other belongs to an HTTP/2 stream: the client leaves the stream's
//! window full. It aborts that stream alone, because the client may read its others.
//!
//! hyper polls a body only when it can send. A body that returned data and is not polled again
//! therefore waits for its client. [`Watched`] runs the future in which hyper polls the body, and
//! drops it after the limit: the client's stream is reset, and the upstream's is closed.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::{Body, BoxError};

tokio::task_local! {
    /// The clock of the stream or connection that the present task serves.
    static CLOCK: Arc<Clock>;
}

/// The time since which data waits for a client.
#[derive(Default)]
pub struct Clock {
    waits_since: Mutex<Option<Instant>>,
    is_exempt: AtomicBool,
}

impl Clock {
    fn set(&self, since: Option<Instant>) {
        *self.waits_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn waits_since(&self) -> Option<Instant> {
        *self.waits_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Exempts the connection of the present task: it becomes a tunnel, where a person may stop the
/// output for as long as they like.
pub fn exempt_connection() {
    let _ = CLOCK.try_with(|clock| clock.is_exempt.store(true, Ordering::Relaxed));
}

/// Spawns the tasks of HTTP/2 streams, each with a clock of its own.
#[derive(Clone, Copy, Debug)]
pub struct StreamExecutor {
    /// The longest time for a client to read nothing.
    pub limit: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        tokio::spawn(Watched::new(stream, Arc::default(), self.limit));
    }
}

/// A future that is dropped when its client has read nothing for too long.
pub struct Watched<F: Future> {
    inner: Option<Pin<Box<F>>>,
    clock: Arc<Clock>,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Watched<F> {
    /// Runs `inner` with a clock. Bodies that it polls wait at most `limit`.
    pub fn new(inner: F, clock: Arc<Clock>, limit: Duration) -> Watched<F> {
        Watched { inner: Some(Box::pin(inner)), clock, limit, timer: None }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(()) };
        let poll = || inner.as_mut().poll(context).is_ready();
        if CLOCK.sync_scope(this.clock.clone(), poll) {
            this.inner = None;
            return Poll::Ready(());
        }
        let Some(since) = this.clock.waits_since() else { return Poll::Pending };
        let deadline = since + this.limit;
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        ready!(timer.as_mut().poll(context));
        tracing::info!(limit = ?this.limit, "a response was aborted: its client reads nothing");
        this.inner = None;
        Poll::Ready(())
    }
}

/// The body of a response, which sets the clock of the task that polls it.
pub struct ClientBody {
    body: Body,
    clock: Option<Arc<Clock>>,
}

impl ClientBody {
    /// Wraps a body for the client of the present task.
    pub fn new(body: Body) -> ClientBody {
        ClientBody { body, clock: CLOCK.try_with(Arc::clone).ok() }
    }

    fn set_clock(&self, since: Option<Instant>) {
        if let Some(clock) = &self.clock {
            clock.set(since);
        }
    }
}

impl HttpBody for ClientBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let waits = matches!(polled, Poll::Ready(Some(Ok(_))));
        self.set_clock(waits.then(Instant::now));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        self.set_clock(None);
    }
}

/// A socket whose writes fail when the client's kernel takes no bytes for too long.
pub struct ClientSocket<S> {
    socket: S,
    clock: Arc<Clock>,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> ClientSocket<S> {
    /// Wraps the socket of a connection. `clock` tells whether the connection is exempt.
    pub fn new(socket: S, clock: Arc<Clock>, limit: Duration) -> ClientSocket<S> {
        ClientSocket { socket, clock, limit, timer: None }
    }

    /// Passes the result of a write on, and measures how long writes have been pending.
    fn measure<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() || self.clock.is_exempt.load(Ordering::Relaxed) {
            self.timer = None;
            return polled;
        }
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(timer.as_mut().poll(context));
        let message = format!("the client took no bytes for {limit:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.measure(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(context, buffers);
        self.measure(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

//! The futures that read and write a connection.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::body::RequestBody;

/// A TCP or TLS stream.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

pub(super) type Io = TokioIo<Box<dyn Transport>>;

/// The limit of streams before the server sent its settings. h2 replaces it even if the server
/// sets no limit.
pub(super) const UNKNOWN_LIMIT: usize = usize::MAX - 1;

/// The state of a connection that its driver updates.
pub(super) struct Status {
    limit: AtomicUsize,
    is_closed: AtomicBool,
}

impl Status {
    pub(super) fn new(limit: usize) -> Arc<Status> {
        Arc::new(Status { limit: AtomicUsize::new(limit), is_closed: AtomicBool::new(false) })
    }

    /// Returns the server's limit of open streams.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Acquire)
    }

    /// Returns `true` if the connection takes no new requests: the server sent GOAWAY, or the
    /// connection is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs hyper's tasks of an HTTP/2 connection. Tasks of the handshake are collected for the
/// [`Http2Driver`]; later ones, of single requests, are spawned.
#[derive(Clone)]
pub(super) struct Executor(Arc<Mutex<Option<Vec<Task>>>>);

impl Executor {
    pub(super) fn new() -> Executor {
        Executor(Arc::new(Mutex::new(Some(Vec::new()))))
    }

    fn stop_collecting(&self) -> Vec<Task> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, task: F) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(tasks) => tasks.push(Box::pin(task)),
            None => drop(tokio::spawn(task)),
        }
    }
}

/// A question to the driver of a connection. It is answered after the driver has processed all
/// frames that were read before.
pub(super) type Probe = oneshot::Sender<()>;

/// Drives an HTTP/2 connection.
///
/// hyper reads and writes frames in one task, and dispatches requests in another one, which it does
/// not wake for GOAWAY or SETTINGS. This driver polls both, frames first. Therefore `Status` is
/// up to date after each poll.
pub(super) struct Http2Driver {
    frames: Vec<Task>,
    dispatcher: Option<http2::Connection<Io, RequestBody, Executor>>,
    probes: mpsc::UnboundedReceiver<Probe>,
    status: Arc<Status>,
    result: hyper::Result<()>,
}

impl Http2Driver {
    pub(super) fn new(
        dispatcher: http2::Connection<Io, RequestBody, Executor>,
        executor: &Executor,
        status: Arc<Status>,
    ) -> (Http2Driver, mpsc::UnboundedSender<Probe>) {
        let (sender, probes) = mpsc::unbounded_channel();
        let frames = executor.stop_collecting();
        let dispatcher = Some(dispatcher);
        (Http2Driver { frames, dispatcher, probes, status, result: Ok(()) }, sender)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let mut probes = Vec::new();
        while let Poll::Ready(Some(probe)) = self.probes.poll_recv(context) {
            probes.push(probe);
        }
        self.frames.retain_mut(|task| task.as_mut().poll(context).is_pending());
        if let Some(dispatcher) = &mut self.dispatcher {
            let polled = Pin::new(&mut *dispatcher).poll(context);
            self.status.limit.store(dispatcher.current_max_send_streams(), Ordering::Release);
            if let Poll::Ready(result) = polled {
                self.status.close();
                self.result = result;
                self.dispatcher = None;
            }
        }
        for probe in probes {
            // The request may have been dropped.
            let _ = probe.send(());
        }
        if self.dispatcher.is_none() && self.frames.is_empty() {
            return Poll::Ready(std::mem::replace(&mut self.result, Ok(())));
        }
        Poll::Pending
    }

    /// Polls until the server has sent its settings.
    pub(super) fn poll_settings(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Option<hyper::Error>>> {
        match self.poll(context) {
            Poll::Ready(result) => Poll::Ready(Err(result.err())),
            Poll::Pending if self.status.is_closed() => Poll::Ready(Err(None)),
            Poll::Pending if self.status.limit() != UNKNOWN_LIMIT => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Drives a connection until it is closed, and keeps its `Status` up to date.
pub(super) enum Driver {
    Http1(Box<http1::Connection<Io, RequestBody>>, Arc<Status>),
    Http2(Box<Http2Driver>),
}

impl Future for Driver {
    type Output = hyper::Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        match self.get_mut() {
            Driver::Http1(connection, status) => {
                let polled = Pin::new(connection).poll(context);
                if polled.is_ready() {
                    status.close();
                }
                polled
            }
            Driver::Http2(driver) => driver.poll(context),
        }
    }
}

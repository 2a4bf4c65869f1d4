//! One connection of the pool, and the permits that count its open streams.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::sync::{Notify, mpsc, oneshot};

use super::body::RequestBody;
use super::driver::{Probe, Status};
use super::request::Purpose;
use super::settings::Server;

/// Sends requests over a connection.
pub(super) enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>, mpsc::UnboundedSender<Probe>),
}

/// Where a connection leads to and what it is for.
pub(super) struct Target {
    pub(super) server: Server,
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) host: HeaderValue,
    pub(super) purpose: Purpose,
    /// The proxy's own limit of open streams.
    pub(super) max_streams: usize,
}

/// A connection of the pool. A retired connection takes no new requests, and is closed when its
/// last stream has ended.
pub(super) struct Connection {
    target: Target,
    is_http2: bool,
    status: Arc<Status>,
    state: Mutex<State>,
    /// Tells the driver to stop.
    closing: Arc<Notify>,
}

struct State {
    /// `None` after retirement, and while an HTTP/1.1 connection becomes ready for a request.
    sender: Option<Sender>,
    open: usize,
    is_retired: bool,
    idle_since: Instant,
}

impl Connection {
    pub(super) fn new(target: Target, sender: Sender, status: Arc<Status>) -> Arc<Connection> {
        let is_http2 = matches!(sender, Sender::Http2(..));
        let state =
            State { sender: Some(sender), open: 0, is_retired: false, idle_since: Instant::now() };
        let (state, closing) = (Mutex::new(state), Arc::default());
        Arc::new(Connection { target, is_http2, status, state, closing })
    }

    pub(super) fn server(&self) -> &Server {
        &self.target.server
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// Returns the number of streams that may be open at the same time.
    pub(super) fn limit(&self) -> usize {
        self.target.max_streams.min(self.status.limit())
    }

    pub(super) fn open_streams(&self) -> usize {
        self.state().open
    }

    /// Returns `true` if the connection takes new requests now or after others have ended.
    pub(super) fn is_usable(&self) -> bool {
        !self.status.is_closed() && !self.state().is_retired
    }

    pub(super) fn is_idle(&self) -> bool {
        self.is_usable() && self.open_streams() == 0
    }

    /// Returns `true` if the connection suits requests of this purpose. An HTTP/1.1 connection
    /// suits all, because it carries one request at a time.
    pub(super) fn suits(&self, purpose: Purpose) -> bool {
        !self.is_http2 || self.target.purpose == purpose
    }

    /// Reserves a stream if the connection is not full.
    pub(super) fn reserve(self: &Arc<Connection>) -> Option<Arc<Permit>> {
        let mut state = self.state();
        let is_usable = !self.status.is_closed() && !state.is_retired && state.sender.is_some();
        if !is_usable || state.open >= self.limit() {
            return None;
        }
        state.open += 1;
        Some(Arc::new(Permit(self.clone())))
    }

    /// Takes no new requests from now on. Open streams go on.
    pub(super) fn retire(&self) {
        self.state().retire(self.is_http2);
    }

    /// Takes no new requests from now on, and breaks open streams.
    pub(super) fn close(&self) {
        self.retire();
        self.closing.notify_one();
    }

    /// Returns the signal of [`close`](Connection::close).
    pub(super) fn closing(&self) -> Arc<Notify> {
        self.closing.clone()
    }

    /// Marks the connection as closed after its driver has stopped.
    pub(super) fn set_closed(&self) {
        self.status.close();
        self.drop_closed_sender();
    }

    /// Drops the sender of a connection that takes no requests any more.
    ///
    /// hyper returns a request that was queued while its dispatcher ended only after all senders
    /// are dropped. Therefore no sender may outlive the dispatcher.
    pub(super) fn drop_closed_sender(&self) {
        if self.status.is_closed() {
            self.state().sender = None;
        }
    }

    /// Retires the connection if no stream was open for `timeout`.
    pub(super) fn retire_if_idle(&self, timeout: Duration) {
        let mut state = self.state();
        if state.open == 0 && state.idle_since.elapsed() >= timeout {
            state.retire(self.is_http2);
        }
    }

    /// Takes the sender of HTTP/1.1, or clones the sender of HTTP/2.
    fn sender(&self) -> Option<Sender> {
        let mut state = self.state();
        if let Some(Sender::Http2(sender, probes)) = &state.sender {
            return Some(Sender::Http2(sender.clone(), probes.clone()));
        }
        state.sender.take()
    }

    /// Puts the sender of HTTP/1.1 back.
    fn put_back(&self, sender: Sender) {
        let mut state = self.state();
        // Under the lock, as in `drop_closed_sender`.
        if !self.status.is_closed() {
            state.sender = Some(sender);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn retire(&mut self, is_http2: bool) {
        self.is_retired = true;
        // Without senders hyper closes the connection after its last stream.
        if is_http2 || self.open == 0 {
            self.sender = None;
        }
    }
}

/// An open stream of a connection. The stream is counted until the permit is dropped.
pub(super) struct Permit(Arc<Connection>);

/// The reason why a request has no response.
pub(super) enum Unanswered {
    /// The request was certainly not sent.
    Unsent(Box<Request<RequestBody>>),
    /// The request may have been sent.
    Sent(hyper::Error),
}

impl From<TrySendError<Request<RequestBody>>> for Unanswered {
    fn from(mut error: TrySendError<Request<RequestBody>>) -> Unanswered {
        match error.take_message() {
            Some(request) => Unanswered::Unsent(Box::new(request)),
            None => Unanswered::Sent(error.into_error()),
        }
    }
}

impl Permit {
    pub(super) fn server(&self) -> &Server {
        self.0.server()
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.0
    }

    /// Sends a request, and waits for the head of its response.
    pub(super) async fn send(
        self: &Arc<Permit>,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Unanswered> {
        request.body_mut().hold(self.clone());
        match self.0.sender() {
            None => Err(Unanswered::Unsent(Box::new(request))),
            Some(Sender::Http2(mut sender, _)) => {
                self.0.target.address_http2(&mut request);
                let response = sender.try_send_request(request);
                drop(sender);
                Ok(response.await?)
            }
            Some(Sender::Http1(mut sender)) => {
                self.0.target.address_http1(&mut request);
                // Ready as soon as hyper has read the end of the last response.
                if sender.ready().await.is_err() {
                    return Err(Unanswered::Unsent(Box::new(request)));
                }
                let response = sender.try_send_request(request);
                self.0.put_back(Sender::Http1(sender));
                Ok(response.await?)
            }
        }
    }

    /// Returns `true` if a request failed because its connection was closed or received GOAWAY.
    pub(super) async fn is_connection_lost(&self) -> bool {
        if !self.0.is_http2 {
            return true;
        }
        let Some(Sender::Http2(sender, probes)) = self.0.sender() else { return true };
        drop(sender);
        let (probe, answer) = oneshot::channel();
        // The request may fail before the driver has closed `Status`.
        let is_sent = probes.send(probe).is_ok();
        drop(probes);
        !is_sent || answer.await.is_err() || self.0.status.is_closed()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        state.idle_since = Instant::now();
        if state.is_retired && state.open == 0 {
            state.sender = None;
        }
    }
}

impl Target {
    fn address_http2(&self, request: &mut Request<RequestBody>) {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        // Cannot fail: `send` requires a path.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        request.headers_mut().remove(HOST);
        *request.version_mut() = Version::HTTP_2;
    }

    fn address_http1(&self, request: &mut Request<RequestBody>) {
        super::request::make_origin_form(request);
        request.headers_mut().insert(HOST, self.host.clone());
        *request.version_mut() = Version::HTTP_11;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn connection() -> Arc<Connection> {
        let io: super::super::driver::Io =
            hyper_util::rt::TokioIo::new(Box::new(tokio::io::duplex(64).0));
        let (sender, _) = http1::handshake(io).await.expect("no bytes are exchanged");
        let target = Target {
            server: Server::new("a", 1),
            scheme: Scheme::HTTP,
            authority: Authority::from_static("a:1"),
            host: HeaderValue::from_static("a:1"),
            purpose: Purpose::Requests,
            max_streams: 9,
        };
        Connection::new(target, Sender::Http1(sender), Status::new(1))
    }

    #[tokio::test]
    async fn only_idle_connections_are_retired() {
        let connection = connection().await;
        let permit = connection.reserve().expect("a free stream");
        assert!(connection.reserve().is_none());
        connection.retire_if_idle(Duration::ZERO);
        assert!(connection.is_usable());
        drop(permit);
        connection.retire_if_idle(Duration::from_secs(3600));
        assert!(connection.is_idle());
        connection.retire_if_idle(Duration::ZERO);
        assert!(!connection.is_usable() && connection.reserve().is_none());
    }

    #[tokio::test]
    async fn a_closed_connection_holds_no_sender() {
        let connection = connection().await;
        let sender = connection.sender().expect("an idle connection");
        connection.status.close();
        connection.put_back(sender);
        assert!(connection.state().sender.is_none());
    }
}

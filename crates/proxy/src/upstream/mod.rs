//! Connections to the API servers.
//!
//! ```text
//!   request -> send -> pool: a connection with a free stream  -> permit -> response head
//!                        \-- dial: the first server that accepts --/         |
//!                                                      body: holds the permit until it ends
//! ```
//!
//! - A request never queues behind a full HTTP/2 connection: the pool opens another one.
//! - Watches and other requests use separate connections while the limit of connections permits.
//! - Servers that fail are tried later, but never left out.
//! - A request is repeated only if it was certainly not sent, or is a GET or HEAD without body.
//! - A request without a response in time fails, and is not repeated.
//!
//! Headers and bodies appear in no error, log or `Debug` text.

mod body;
mod connect;
mod connection;
mod deadline;
mod dial;
mod driver;
mod error;
mod pool;
mod probe;
mod request;
mod send;
mod servers;
mod settings;
mod snapshot;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio_rustls::rustls::ClientConfig;
use tower_service::Service;

pub use body::UpstreamBody;
pub use error::{Cause, Error, Failure};
pub use settings::{Server, Settings};
pub use snapshot::ServerSnapshot;

use body::RequestBody;
use pool::Pool;

use crate::Body;

/// The future of an [`Upstream`].
pub type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<Response<UpstreamBody>, Error>> + Send>>;

/// Sends requests to the API servers over a pool of connections. Clones share the pool.
///
/// `Upstream` sets the scheme, the authority and the `Host` header of each request, and changes no
/// other header. Callers remove the headers that belong to the client's connection.
///
/// The service is always ready. Its futures run on a tokio runtime with timers and I/O.
///
/// # Errors
///
/// A response fails with an [`Error`]. [`Error::status`] returns the status for the client.
#[derive(Clone)]
pub struct Upstream {
    pool: Arc<Pool>,
}

impl Upstream {
    /// Returns a pool without connections. It connects with the first request.
    pub fn new(settings: Settings) -> Upstream {
        Upstream { pool: Pool::new(settings) }
    }

    /// Sends a request over an HTTP/1.1 connection of its own. If the status of the response is
    /// 101, [`hyper::upgrade::on`] returns the connection. The request is never repeated.
    ///
    /// # Errors
    ///
    /// Returns an error if no server accepts a connection, or if the server sends no response.
    pub async fn tunnel(&self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        send::tunnel(self.pool.clone(), request.map(RequestBody::new)).await
    }

    /// Replaces the servers. Connections to removed servers take no new requests. Their open
    /// streams go on for [`Settings::removal_drain`], and are closed then. An empty list is
    /// ignored.
    pub fn set_servers(&self, servers: Vec<Server>) {
        self.pool.set_servers(servers);
    }

    /// Probes all servers for ever: `GET /readyz` with the `Authorization` that `credentials`
    /// returns, at the interval of the [`Settings`].
    ///
    /// A server is down after three failures in a row, and up after two successes. Servers that
    /// are down are tried last, but never left out. The streams of a server that goes down are
    /// closed if another server is up, so that watches resume there.
    pub async fn probe(&self, credentials: impl Fn() -> Option<HeaderValue> + Send) {
        probe::run(&self.pool, credentials).await;
    }

    /// Replaces the TLS configuration, for example after the CA or the client certificate changed.
    /// Connections with the old one take no new requests, and their open streams go on.
    pub fn set_tls(&self, config: &ClientConfig) {
        self.pool.set_tls(config);
    }

    /// Returns the state of all servers, in order of preference.
    pub fn snapshot(&self) -> Vec<ServerSnapshot> {
        self.pool.snapshot()
    }
}

impl Service<Request<Body>> for Upstream {
    type Response = Response<UpstreamBody>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        Box::pin(send::send(self.pool.clone(), request.map(RequestBody::new)))
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Upstream").field("servers", &self.snapshot()).finish()
    }
}

//! Accepts the connections of clients.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::Body;
use crate::reply::failure;
use crate::response::Stopping;
use crate::stall::{ClientBody, ClientSocket, Clock, StreamExecutor, Watched};
use crate::strangers::{Standing, Strangers};

/// How many streams a client may have on one HTTP/2 connection.
const STREAMS: u32 = 250;
/// The bytes of a request's body that may be on the way. All streams fit into the connection's
/// window, so that a body that the API server does not read delays no other.
const STREAM_WINDOW: u32 = 64 << 10;
/// The longest time for a TLS handshake, and for the head of an HTTP/1.1 request.
const PATIENCE: Duration = Duration::from_secs(10);
/// HTTP/2 clients are pinged after this silence, and have half of it for the response. Other
/// sockets are probed by the kernel.
const SILENCE: Duration = Duration::from_secs(30);
const LARGEST_HEADERS: u32 = 64 << 10;

/// The limits of clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections that are served at a time.
    pub connections: usize,
    /// Connections above the limit whose requests get 429. Others are closed unread.
    pub refused: usize,
    /// Connections whose client the API server has not accepted yet.
    pub strangers: usize,
    /// The longest time for such a client to send a request.
    pub patience: Duration,
    /// The longest time for a client to read nothing while data waits for it.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1000,
            refused: 64,
            strangers: 128,
            patience: PATIENCE,
            stall: Duration::from_secs(60),
        }
    }
}

/// The connections of all listeners. Clones share the limits.
#[derive(Clone, Debug)]
pub struct Connections {
    limits: Limits,
    served: Arc<Semaphore>,
    refused: Arc<Semaphore>,
    strangers: Strangers,
}

/// A connection's place below a limit.
enum Admission {
    Served(OwnedSemaphorePermit),
    Refused(OwnedSemaphorePermit),
}

impl Connections {
    /// Permits connections within `limits`.
    pub fn new(limits: Limits) -> Connections {
        let (served, refused) =
            (Semaphore::new(limits.connections), Semaphore::new(limits.refused));
        let strangers = Strangers::new(limits.strangers, limits.patience);
        Connections { limits, served: Arc::new(served), refused: Arc::new(refused), strangers }
    }

    /// Returns how many connections are served. Tunnels are not among them.
    pub fn open(&self) -> usize {
        self.limits.connections - self.served.available_permits()
    }

    fn admit(&self) -> Option<Admission> {
        let served = self.served.clone().try_acquire_owned().ok().map(Admission::Served);
        let refused = || self.refused.clone().try_acquire_owned().ok().map(Admission::Refused);
        served.or_else(refused)
    }
}

/// Serves connections until `stopping`, then waits until each has sent the rest of its responses.
///
/// `tls` returns what accepts the next connection. A listener without it speaks plain HTTP.
/// `respond` serves a request. If it panics, the client gets 500, and nothing else ends.
pub async fn serve<R, F>(
    listener: TcpListener,
    tls: Option<impl Fn() -> TlsAcceptor>,
    connections: Connections,
    respond: R,
    mut stopping: Stopping,
) where
    R: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let server = Arc::new(server(connections.limits.stall));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        let stream = match accepted {
            Ok((stream, peer)) if is_foreign(&stream, peer) => {
                tracing::debug!(%peer, "a connection was closed: it came to loopback from outside");
                continue;
            }
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, mostly. Connections that end give some back.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Closed at once: a client that is accepted and not served would wait.
        let Some(admission) = connections.admit() else {
            tracing::debug!("a connection was closed: too many are open");
            continue;
        };
        let stall = connections.limits.stall;
        let client = Client { server: server.clone(), watcher: graceful.watcher(), stall };
        let (tls, respond) = (tls.as_ref().map(|tls| tls()), respond.clone());
        let (strangers, standing) = (connections.strangers.clone(), Arc::<Standing>::default());
        let own = standing.clone();
        let task = tokio::spawn(async move {
            match admission {
                Admission::Served(_place) => {
                    let serving = own.clone();
                    let respond = move |request| {
                        let (standing, response) = (serving.clone(), respond(request));
                        async move { standing.respond(response).await }
                    };
                    let expired = strangers.expire(&own);
                    tokio::select! {
                        () = client.accept(stream, tls, respond) => {}
                        () = expired => tracing::debug!("a connection was closed: no request came"),
                    }
                }
                Admission::Refused(_place) => {
                    tracing::warn!("requests of a connection get 429: too many are open");
                    let refuse = |request: Request<Incoming>| async move { full(&request) };
                    let refusing = client.accept(stream, tls, refuse);
                    // Its place is for others too.
                    let _ = tokio::time::timeout(PATIENCE, refusing).await;
                }
            }
        });
        connections.strangers.add(standing, task.abort_handle());
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Returns `true` if a peer that is not of this machine has reached an address of loopback, which
/// a kernel with `route_localnet` permits.
pub(crate) fn is_foreign(stream: &TcpStream, peer: SocketAddr) -> bool {
    let local = stream.local_addr().map(|local| local.ip().to_canonical());
    local.is_ok_and(|local| local.is_loopback()) && !peer.ip().to_canonical().is_loopback()
}

/// Replies on a connection above the limit.
fn full(request: &Request<Incoming>) -> Response<Body> {
    let message = "too many connections to the proxy are open: try later";
    let mut response = failure(StatusCode::TOO_MANY_REQUESTS, message, true);
    if request.version() <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A client whose connection was accepted.
struct Client {
    server: Arc<auto::Builder<StreamExecutor>>,
    watcher: Watcher,
    stall: Duration,
}

impl Client {
    async fn accept<R, F>(self, stream: TcpStream, tls: Option<TlsAcceptor>, respond: R)
    where
        R: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        // A watch has small events: none may wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE / 2);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let clock = Arc::<Clock>::default();
        let stream = ClientSocket::new(stream, clock.clone(), self.stall);
        let Some(tls) = tls else { return self.serve(stream, None, clock, respond).await };
        match tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                // Chosen here, so that the time for a head begins now.
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                self.serve(stream, Some(is_http2), clock, respond).await;
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed: does the client trust ca.crt?");
            }
            Err(_) => tracing::debug!("a TLS handshake took longer than {PATIENCE:?}"),
        }
    }

    /// Serves requests. Without `is_http2` the first bytes of the client tell the protocol.
    async fn serve<S, R, F>(self, stream: S, is_http2: Option<bool>, clock: Arc<Clock>, respond: R)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        R: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let service = service_fn(move |request: Request<Incoming>| {
            let respond = respond.clone();
            async move {
                let response = catch(async move { respond(request).await }).await;
                Ok::<_, Infallible>(response.map(ClientBody::new))
            }
        });
        let server = (*self.server).clone();
        let server = match is_http2 {
            Some(true) => server.http2_only(),
            Some(false) => server.http1_only(),
            None => server,
        };
        let connection =
            server.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let serving = async {
            if let Err(error) = self.watcher.watch(connection).await {
                tracing::debug!(%error, "a client's connection broke");
            }
        };
        Watched::new(serving, clock, self.stall).await;
    }
}

/// Returns the response, or 500 if the future panics.
async fn catch(response: impl Future<Output = Response<Body>>) -> Response<Body> {
    let mut response = pin!(response);
    poll_fn(|context| {
        // After a panic the future is not polled again, so nobody sees what it left unfinished.
        let polled = catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(context)));
        polled.unwrap_or_else(|_| {
            tracing::error!("the proxy panicked while it served a request");
            let message = "the proxy failed on this request: its log tells why";
            Poll::Ready(failure(StatusCode::INTERNAL_SERVER_ERROR, message, false))
        })
    })
    .await
}

fn server(stall: Duration) -> auto::Builder<StreamExecutor> {
    let mut server = auto::Builder::new(StreamExecutor { limit: stall });
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LARGEST_HEADERS as usize);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW * STREAMS)
        .max_header_list_size(LARGEST_HEADERS)
        .keep_alive_interval(SILENCE)
        .keep_alive_timeout(SILENCE / 2);
    server
}

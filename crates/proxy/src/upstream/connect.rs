//! Opens connections: TCP, TLS, HTTP.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::HeaderValue;
use http::uri::{Authority, Scheme};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

use super::body::RequestBody;
use super::connection::{Connection, Sender, Target};
use super::driver::{Driver, Executor, Http2Driver, Io, Status, Transport, UNKNOWN_LIMIT};
use super::error::Cause;
use super::request::Purpose;
use super::settings::{Server, Settings};

/// The flow-control window of a response: the bytes that a slow client may leave unread.
const STREAM_WINDOW: u32 = 1 << 20;
/// The largest flow-control window of a connection.
const MAX_CONNECTION_WINDOW: u32 = 1 << 30;
/// How much larger the window of a connection is than those of its streams. h2 closes a connection
/// when unread frames of less than 256 bytes cost more bookkeeping than half of this window. With
/// this factor clients that read nothing do not cause that, down to frames of about 50 bytes.
const SMALL_FRAMES: u32 = 8;
/// The largest response head. hyper's default of 16 KiB is less than Go's.
const MAX_HEADERS: u32 = 1 << 18;
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Opens connections to servers.
pub(super) struct Connector {
    settings: Settings,
    tls: RwLock<Option<Tls>>,
}

/// A TLS configuration for each list of ALPN protocols.
#[derive(Clone)]
struct Tls {
    any: TlsConnector,
    http1: TlsConnector,
}

impl Tls {
    fn new(config: &ClientConfig) -> Tls {
        let connector = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        };
        Tls { any: connector(&[HTTP2, HTTP1]), http1: connector(&[HTTP1]) }
    }
}

impl Connector {
    pub(super) fn new(settings: Settings) -> Connector {
        let tls = RwLock::new(settings.tls.as_deref().map(Tls::new));
        Connector { settings, tls }
    }

    /// Replaces the TLS configuration of new connections.
    pub(super) fn set_tls(&self, config: &ClientConfig) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(Tls::new(config));
    }

    /// Opens a connection of the pool with the protocol that the server prefers.
    pub(super) async fn connect(
        &self,
        server: Server,
        purpose: Purpose,
    ) -> Result<(Arc<Connection>, Driver), Cause> {
        self.in_time(async {
            let target = self.target(&server, purpose)?;
            let (io, is_http2) = self.open(&server, true).await?;
            let (sender, driver, status) = if is_http2 {
                self.handshake_http2(io).await?
            } else {
                let (sender, driver) = handshake_http1(io).await?;
                let status = Status::new(1);
                (Sender::Http1(sender), Driver::Http1(Box::new(driver), status.clone()), status)
            };
            Ok((Connection::new(target, sender, status), driver))
        })
        .await
    }

    /// Opens an HTTP/1.1 connection outside the pool.
    pub(super) async fn connect_http1(
        &self,
        server: Server,
    ) -> Result<(HttpOne, HeaderValue), Cause> {
        self.in_time(async {
            let target = self.target(&server, Purpose::Requests)?;
            let (io, _) = self.open(&server, false).await?;
            Ok((handshake_http1(io).await?, target.host))
        })
        .await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
        let timeout = self.settings.connect_timeout;
        match tokio::time::timeout(timeout, work).await {
            Ok(result) => result,
            Err(_) => Err(Cause::Timeout(timeout)),
        }
    }

    fn tls(&self) -> Option<Tls> {
        self.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn target(&self, server: &Server, purpose: Purpose) -> Result<Target, Cause> {
        let text = server.to_string();
        let invalid = |_| io::Error::new(io::ErrorKind::InvalidInput, "invalid host name");
        let authority: Authority = text.parse().map_err(invalid).map_err(Cause::Tcp)?;
        let host = HeaderValue::from_str(&text).map_err(io::Error::other).map_err(Cause::Tcp)?;
        let scheme = if self.tls().is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let server = server.clone();
        let max_streams = self.settings.max_streams;
        Ok(Target { server, scheme, authority, host, purpose, max_streams })
    }

    /// Opens a TCP or TLS stream. Returns `true` with it if HTTP/2 is to be used.
    async fn open(&self, server: &Server, may_be_http2: bool) -> Result<(Io, bool), Cause> {
        let tcp = TcpStream::connect((server.host.as_str(), server.port));
        let tcp = tcp.await.map_err(Cause::Tcp)?;
        self.set_options(&tcp).map_err(Cause::Tcp)?;
        let Some(tls) = self.tls() else {
            let is_http2 = may_be_http2 && self.settings.http2_prior_knowledge;
            return Ok((into_io(tcp), is_http2));
        };
        let name = ServerName::try_from(server.host.clone());
        let name = name.map_err(io::Error::other).map_err(Cause::Tls)?;
        let connector = if may_be_http2 { tls.any } else { tls.http1 };
        let stream = connector.connect(name, tcp).await.map_err(Cause::Tls)?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok((into_io(stream), is_http2))
    }

    fn set_options(&self, tcp: &TcpStream) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        let socket = SockRef::from(tcp);
        let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE).with_interval(TCP_KEEPALIVE);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(self.settings.tcp_user_timeout))?;
        Ok(())
    }

    async fn handshake_http2(&self, io: Io) -> Result<(Sender, Driver, Arc<Status>), Cause> {
        let settings = &self.settings;
        let executor = Executor::new();
        let (sender, dispatcher) = http2::Builder::new(executor.clone())
            .timer(TokioTimer::new())
            .initial_max_send_streams(UNKNOWN_LIMIT)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(connection_window(settings.max_streams))
            .max_header_list_size(MAX_HEADERS)
            .keep_alive_interval(settings.ping_interval)
            .keep_alive_timeout(settings.ping_timeout)
            .keep_alive_while_idle(true)
            .handshake(io)
            .await
            .map_err(Cause::Http)?;
        let status = Status::new(UNKNOWN_LIMIT);
        let (mut driver, probes) = Http2Driver::new(dispatcher, &executor, status.clone());
        let settings = poll_fn(|context| driver.poll_settings(context)).await;
        settings.map_err(|error| error.map_or(Cause::Closed, Cause::Http))?;
        Ok((Sender::Http2(sender, probes), Driver::Http2(Box::new(driver)), status))
    }
}

/// The two halves of an HTTP/1.1 connection.
pub(super) type HttpOne = (http1::SendRequest<RequestBody>, http1::Connection<Io, RequestBody>);

async fn handshake_http1(io: Io) -> Result<HttpOne, Cause> {
    http1::Builder::new().handshake(io).await.map_err(Cause::Http)
}

fn into_io(stream: impl Transport + 'static) -> Io {
    TokioIo::new(Box::new(stream))
}

/// Returns the window in which all streams fit: a client that does not read fills only the window
/// of its own stream.
fn connection_window(max_streams: usize) -> u32 {
    let streams = u32::try_from(max_streams).unwrap_or(u32::MAX);
    let window = STREAM_WINDOW.saturating_mul(streams).saturating_mul(SMALL_FRAMES);
    window.clamp(STREAM_WINDOW, MAX_CONNECTION_WINDOW)
}

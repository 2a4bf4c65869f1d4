//! Servers, limits and timeouts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::ClientConfig;

/// The address of an API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// A host name or an IP address, IPv6 without brackets. The server's certificate must name it.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Server {
    /// Returns the address of a server.
    pub fn new(host: impl Into<String>, port: u16) -> Server {
        Server { host: host.into(), port }
    }
}

/// Writes `host:port`, with IPv6 addresses in brackets.
impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}

/// The servers and limits of an [`Upstream`](super::Upstream).
#[derive(Clone)]
pub struct Settings {
    /// The API servers in order of preference.
    pub servers: Vec<Server>,
    /// How to authenticate the servers, and the proxy to them. ALPN protocols are set by
    /// `Upstream`. `None` connects without TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// Open streams per HTTP/2 connection. A server may set a lower limit.
    pub max_streams: usize,
    /// Connections that take new requests. With HTTP/1.1, where a connection carries one request,
    /// the limit is this number times `max_streams`.
    pub max_connections: usize,
    /// The time for one server to accept a connection, TLS and the HTTP/2 settings included.
    pub connect_timeout: Duration,
    /// The time between HTTP/2 pings.
    pub ping_interval: Duration,
    /// The time for a server to reply to an HTTP/2 ping. Then the connection is closed.
    pub ping_timeout: Duration,
    /// The time for a server to acknowledge sent bytes (`TCP_USER_TIMEOUT`).
    pub tcp_user_timeout: Duration,
    /// The time for the head of a response, from the last progress of the request's body on. See
    /// [`Settings::long_head_timeout`] for lists and writes.
    pub head_timeout: Duration,
    /// The time for the head of a response to a list or a write. The API server's own limit is 60
    /// seconds.
    pub long_head_timeout: Duration,
    /// The time between two probes of a server.
    pub probe_interval: Duration,
    /// The time for a server to respond to a probe.
    pub probe_timeout: Duration,
    /// The time until the streams of a removed server are closed.
    pub removal_drain: Duration,
    /// Without TLS: use HTTP/2 (RFC 9113, section 3.3) instead of HTTP/1.1.
    pub http2_prior_knowledge: bool,
}

impl Settings {
    /// Returns the default limits for these servers.
    pub fn new(servers: Vec<Server>, tls: Option<Arc<ClientConfig>>) -> Settings {
        Settings {
            servers,
            tls,
            max_streams: 90,
            max_connections: 16,
            connect_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(10),
            tcp_user_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(30),
            long_head_timeout: Duration::from_secs(65),
            probe_interval: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(5),
            removal_drain: Duration::from_secs(60),
            http2_prior_knowledge: false,
        }
    }
}

//! Errors of connections and requests. No text contains a header or a body.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::settings::Server;

/// The reason why a request or its response failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// All connections are full. The request was not sent.
    #[error(
        "{connections} connections of at most {streams} requests each to the API server are full: \
         repeat the request later, or raise the limits of the proxy"
    )]
    Busy {
        /// The limit of connections.
        connections: usize,
        /// The limit of requests per connection.
        streams: usize,
    },
    /// No server accepted a connection. The request was not sent.
    #[error("connecting to the API server failed ({})", list(failures))]
    Connect {
        /// The failure of each server, in the order of attempts.
        failures: Arc<[Failure]>,
    },
    /// The request failed after it may have reached the server.
    #[error("API server {server} sent no response ({}): the request may have been executed, \
             check its effect before you repeat it", chain(source.as_ref()))]
    Sent {
        /// The server.
        server: Server,
        /// The error of the connection.
        source: Arc<hyper::Error>,
    },
    /// The request may have reached a server, and no response came in time.
    #[error(
        "the API server sent no response within {after:?}: the request may have been executed, \
         check its effect before you repeat it"
    )]
    Silent {
        /// The time without progress.
        after: Duration,
    },
    /// The body of the response ended early.
    #[error("API server {server} broke off its response ({}): repeat the request",
            chain(source.as_ref()))]
    Body {
        /// The server.
        server: Server,
        /// The error of the connection.
        source: Arc<hyper::Error>,
    },
    /// The request cannot be addressed to a server. The request was not sent.
    #[error("the URI of the request has no path: send one in origin form")]
    Uri,
}

impl Error {
    /// Returns `true` if the request was certainly not sent: any request may be repeated then.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Busy { .. } | Error::Connect { .. })
    }

    /// Returns the status of a reply to the client. Status 429 belongs with `Retry-After`.
    pub fn status(&self) -> StatusCode {
        match self {
            Error::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Error::Connect { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Error::Silent { .. } => StatusCode::GATEWAY_TIMEOUT,
            Error::Sent { .. } | Error::Body { .. } | Error::Uri => StatusCode::BAD_GATEWAY,
        }
    }
}

/// The reason why a server accepted no connection.
#[derive(Debug)]
pub struct Failure {
    /// The server.
    pub server: Server,
    /// The step that failed.
    pub cause: Cause,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.server, self.cause)
    }
}

/// The step of opening a connection that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The server did not accept the connection in time.
    #[error("no connection after {0:?}: check the address, routes and firewalls")]
    Timeout(Duration),
    /// The name was not resolved, or the TCP connection was refused.
    #[error("{0}: check the address, and that the API server runs")]
    Tcp(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("TLS handshake: {0}: check the CA file, and that the server's certificate names it")]
    Tls(#[source] io::Error),
    /// The HTTP handshake failed.
    #[error("HTTP handshake: {}: check that this port serves the Kubernetes API", chain(.0))]
    Http(#[source] hyper::Error),
    /// The server closed the connection before the handshake was complete.
    #[error(
        "HTTP handshake: the server closed the connection: check that this port serves the \
             Kubernetes API"
    )]
    Closed,
}

fn list(failures: &[Failure]) -> String {
    if failures.is_empty() {
        return "no server is configured: name at least one".to_owned();
    }
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Returns the text of an error and of its sources: hyper's own text omits them.
pub(super) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

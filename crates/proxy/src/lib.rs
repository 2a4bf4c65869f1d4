//! A proxy on one node in front of the Kubernetes API server: unmodified agents that are pointed at
//! it see only the endpoints that their node may use.
//!
//! ```text
//!   agent --https, its own token--> listener -> gateway -> poolscope-http -> upstream --> API server
//!                                                  \--- everything else, byte for byte ---/
//! ```
//!
//! The proxy's own identity fetches the facts. The proxy adds credentials to no client's request,
//! except on a listener that lends its identity.
#![forbid(unsafe_code)]

pub mod admin;
pub mod authority;
pub mod check;
pub mod client_files;
pub mod credentials;
pub mod event_boundary;
pub mod fact_failures;
pub mod gateway;
pub mod generation;
pub mod kubeconfig;
pub mod learned_servers;
pub mod listener;
pub mod metrics;
pub mod options;
pub mod own_requests;
pub mod reload;
pub mod reply;
pub mod request;
pub mod response;
pub mod route;
pub mod run;
pub mod saved_states;
pub mod stall;
pub mod strangers;
pub mod tunnel;
pub mod upstream;

/// The User-Agent of the proxy's own requests.
pub(crate) const AGENT: &str = concat!("poolscope-proxy/", env!("CARGO_PKG_VERSION"));

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request on its way to the API server, or of a response on its way to the client.
pub type Body = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, BoxError>;

/// Returns an empty body.
pub fn empty() -> Body {
    use http_body_util::{BodyExt, Empty};
    Body::new(Empty::new().map_err(|never| match never {}))
}

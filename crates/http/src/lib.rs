//! Rewrites the Kubernetes API server's responses inside an HTTP client or proxy.
//!
//! [`RewriteLayer`] is a [tower](https://docs.rs/tower) layer over any HTTP client service. It
//! sends each request as poolscope needs it and gives each response the body that the node's client
//! may see. [`RewriteBody`] is that body, for embedders without tower. [`RewriteRead`] is the same
//! for blocking readers. The crate opens no connection and starts no task.
//!
//! # Under a `kube::Client`
//!
//! The layer takes two lines more than a plain client. The example `reflector.rs` is whole.
//!
//! ```no_run
//! use kube::client::{Body, ClientBuilder};
//! use kube::{Client, Config};
//! use poolscope_http::RewriteLayer;
//!
//! # async fn client() -> Result<Client, Box<dyn std::error::Error>> {
//! let node = poolscope::Cluster::new(poolscope::Config::openyurt())?.node("hz-1");
//! let client: Client = ClientBuilder::try_from(Config::infer().await?)?
//!     .with_layer(&RewriteLayer::new(node, Body::empty))
//!     .build();
//! # Ok(client)
//! # }
//! ```
//!
//! # In a reverse proxy
//!
//! The layer wraps the proxy's HTTP client. The example `proxy.rs` is whole.
//!
//! ```no_run
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::combinators::BoxBody;
//! use hyper::body::Incoming;
//! use hyper_util::client::legacy::Client;
//! use hyper_util::rt::TokioExecutor;
//! use poolscope_http::{BoxError, ResponseBody, RewriteLayer};
//! use tower::{Layer, ServiceExt};
//!
//! type RequestBody = BoxBody<Bytes, hyper::Error>;
//!
//! # async fn proxy(
//! #     request: Request<RequestBody>,
//! # ) -> Result<Response<ResponseBody<Incoming>>, BoxError> {
//! let node = poolscope::Cluster::new(poolscope::Config::openyurt())?.node("hz-1");
//! let client = Client::builder(TokioExecutor::new()).build_http();
//! let service = RewriteLayer::new(node, RequestBody::default).layer(client);
//! // For each request of the proxy's clients, with the URI of the API server:
//! let response = service.clone().oneshot(request).await?;
//! # Ok(response)
//! # }
//! ```
//!
//! # Facts
//!
//! [`RewriteLayer::fetch_facts`] returns a future that fetches the facts which the node needs and
//! keeps them up to date: Services, Nodes and pools. Kinds that a client of the layer reads itself
//! may be left to it. While facts are missing, a response with endpoints waits ([`OnMissing`]).
//!
//! # Speed
//!
//! With upstream frames of 16 KiB, events of 100 endpoints pass [`RewriteBody`] at 0.98 (JSON) and
//! 0.99 (protobuf) of the speed of `BodyRewriter::push_bytes` (`cargo bench -p poolscope-http`). The body allocates nothing beyond what the core does.
//!
//! # Features
//!
//! | feature | content |
//! |---|---|
//! | `tokio` | `TokioTimer`, `RewriteLayer::new`, and `BodyReader`, which is an `AsyncRead` |
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

#[cfg(feature = "tokio")]
mod body_reader;
mod error;
mod fact_fetcher;
mod head;
mod inflater;
mod layer;
mod list_requests;
mod needed_lists;
mod response_body;
mod rewrite_body;
mod rewrite_read;
mod rewriting;
mod service;
mod shared_service;
mod timer;
mod waiting;

#[cfg(feature = "tokio")]
pub use body_reader::BodyReader;
pub use error::{BoxError, Error};
pub use fact_fetcher::{FactEvent, FactFetcher};
pub use layer::{OnMissing, RewriteLayer};
pub use needed_lists::{ListFuture, ListSource};
pub use response_body::ResponseBody;
pub use rewrite_body::RewriteBody;
pub use rewrite_read::RewriteRead;
pub use service::{ResponseFuture, RewriteService};
#[cfg(feature = "tokio")]
pub use timer::TokioTimer;
pub use timer::{Sleep, Timer};
pub use waiting::Waiting;

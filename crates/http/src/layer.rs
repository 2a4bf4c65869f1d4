//! The tower layer and its settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use poolscope::NodeView;
use tower_layer::Layer;

use crate::fact_fetcher::FactFetcher;
use crate::service::RewriteService;
use crate::timer::Timer;
use crate::waiting::{Waiting, WaitingList};

/// The handling of a response while facts are missing.
///
/// ```
/// use poolscope_http::OnMissing;
///
/// // Longer than the facts take to arrive, shorter than the client's own timeout.
/// assert_eq!(OnMissing::default(), OnMissing::Wait(std::time::Duration::from_secs(30)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissing {
    /// Send the [`Reply`](poolscope::Reply) at once.
    Reply,
    /// Hold the response back until the facts were read. After this time, send the reply.
    Wait(Duration),
}

impl Default for OnMissing {
    fn default() -> OnMissing {
        OnMissing::Wait(Duration::from_secs(30))
    }
}

/// A layer that rewrites the responses of the API server for a node.
///
/// Responses with endpoints are filtered. Services, Nodes and pools are read as facts when they
/// pass. Watches emit events after facts changed, also while upstream is silent. Compressed bodies
/// are decompressed. Every other response is forwarded unchanged.
///
/// `ReqB` is the type of request bodies. With [`Retention::Topology`](poolscope::Retention) a watch
/// sends requests of its own, for which the layer needs an empty body.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Empty;
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use poolscope::{Cluster, Config};
/// use poolscope_http::{OnMissing, RewriteLayer};
/// use tower::Layer;
///
/// let node = Cluster::new(Config::openyurt())?.node("hz-1");
/// let layer = RewriteLayer::new(node, Empty::<Bytes>::new).on_missing(OnMissing::Reply);
/// let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
/// let service = layer.layer(client);
/// # let _ = service;
/// # Ok::<(), poolscope::Error>(())
/// ```
pub struct RewriteLayer<ReqB> {
    settings: Settings<ReqB>,
}

/// The settings of a layer and of its services.
pub(crate) struct Settings<ReqB> {
    pub(crate) node: NodeView,
    pub(crate) on_missing: OnMissing,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) empty: fn() -> ReqB,
    pub(crate) waiting: Arc<WaitingList>,
}

impl<ReqB> RewriteLayer<ReqB> {
    /// Creates a layer for the clients of `node` on a tokio runtime. `empty` returns an empty
    /// request body, such as `kube::client::Body::empty`.
    #[cfg(feature = "tokio")]
    pub fn new(node: NodeView, empty: fn() -> ReqB) -> RewriteLayer<ReqB> {
        RewriteLayer::with_timer(node, empty, crate::timer::TokioTimer)
    }

    /// Creates a layer for the clients of `node` on any runtime.
    pub fn with_timer(
        node: NodeView,
        empty: fn() -> ReqB,
        timer: impl Timer,
    ) -> RewriteLayer<ReqB> {
        let settings = Settings {
            node,
            on_missing: OnMissing::default(),
            timer: Arc::new(timer),
            empty,
            waiting: Arc::default(),
        };
        RewriteLayer { settings }
    }

    /// Returns this layer with another handling of responses while facts are missing.
    #[must_use]
    pub fn on_missing(mut self, on_missing: OnMissing) -> RewriteLayer<ReqB> {
        self.settings.on_missing = on_missing;
        self
    }

    /// Returns a fetcher of the facts that the node needs, through `service`: the client that this
    /// layer wraps, without the layer.
    pub fn fetch_facts<S>(&self, service: S) -> FactFetcher<S, ReqB> {
        let Settings { node, timer, empty, waiting, .. } = self.settings.clone();
        FactFetcher::new(&node, service, empty, timer, waiting)
    }

    /// Returns the responses of this layer's services that wait for missing facts, the oldest
    /// first: for a status page.
    pub fn waiting(&self) -> Vec<Waiting> {
        self.settings.waiting.list()
    }
}

impl<S, ReqB> Layer<S> for RewriteLayer<ReqB> {
    type Service = RewriteService<S, ReqB>;

    fn layer(&self, inner: S) -> RewriteService<S, ReqB> {
        RewriteService::new(inner, self.settings.clone())
    }
}

// Derived, it would ask for `ReqB: Clone`.
impl<ReqB> Clone for Settings<ReqB> {
    fn clone(&self) -> Settings<ReqB> {
        Settings {
            node: self.node.clone(),
            on_missing: self.on_missing,
            timer: self.timer.clone(),
            empty: self.empty,
            waiting: self.waiting.clone(),
        }
    }
}

impl<ReqB> Clone for RewriteLayer<ReqB> {
    fn clone(&self) -> RewriteLayer<ReqB> {
        RewriteLayer { settings: self.settings.clone() }
    }
}

impl<ReqB> fmt::Debug for RewriteLayer<ReqB> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RewriteLayer")
            .field("node", &self.settings.node.name())
            .field("on_missing", &self.settings.on_missing)
            .finish_non_exhaustive()
    }
}

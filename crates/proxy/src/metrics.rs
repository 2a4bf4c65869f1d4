//! Metrics, in the OpenMetrics text format.
//!
//! Every label has a bounded number of values, whatever clients send.

mod labels;
mod measured;
mod state;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use http::header::USER_AGENT;
use http::{Request, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use self::labels::BoundedValues;
pub use self::measured::{CountedBody, CountedUpstream, MeasuredRequest, Rewritten};
pub use self::state::{PoolState, State};
use crate::upstream::Upstream;

const PREFIX: &str = "poolscope_proxy";
/// The different values of the label `client`, without `other`.
const CLIENTS: usize = 32;
/// The different values of the label `resource`, without `other`.
const RESOURCES: usize = 64;

/// The metrics of the process. Clones share them.
///
/// ```
/// use poolscope_proxy::metrics::{Metrics, State};
///
/// let metrics = Metrics::new();
/// metrics.reloaded("configuration", true);
/// let text = metrics.text(State::default());
/// let line = r#"poolscope_proxy_reload_total{what="configuration",result="success"} 1"#;
/// assert!(text.lines().any(|found| found == line));
/// ```
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    registry: Registry,
    clients: BoundedValues,
    resources: BoundedValues,
    requests: Family<RequestLabels, Counter>,
    watches: Family<ResourceLabels, Gauge>,
    bytes: Family<BytesLabels, Counter>,
    rewrite_seconds: Counter<f64, AtomicU64>,
    reloads: Family<ReloadLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    client: Arc<str>,
    resource: Arc<str>,
    verb: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    resource: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BytesLabels {
    direction: &'static str,
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    what: &'static str,
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// Returns metrics that begin at zero.
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix(PREFIX);
        let requests = Family::default();
        registry.register("requests", "Requests of clients, by response", requests.clone());
        let watches = Family::default();
        registry.register("watches", "Open watches of clients", watches.clone());
        let bytes = Family::default();
        registry.register(
            "bytes",
            "Bytes of bodies, at the stage towards the API server or towards the client",
            bytes.clone(),
        );
        let rewrite_seconds = Counter::default();
        registry.register(
            "rewrite_seconds",
            "Time spent on inflating and filtering responses",
            rewrite_seconds.clone(),
        );
        let reloads = Family::default();
        registry.register(
            "reload",
            "Changed files that were put to use, or could not be",
            reloads.clone(),
        );
        Metrics(Arc::new(Families {
            registry,
            clients: BoundedValues::new(CLIENTS),
            resources: BoundedValues::new(RESOURCES),
            requests,
            watches,
            bytes,
            rewrite_seconds,
            reloads,
        }))
    }

    /// Begins to measure a request. [`MeasuredRequest::end`] takes its response.
    pub fn begin<B>(&self, request: &Request<B>) -> MeasuredRequest {
        let agent = request.headers().get(USER_AGENT).map(|value| value.as_bytes());
        MeasuredRequest {
            metrics: self.clone(),
            client: labels::client(agent.unwrap_or_default()),
            resource: labels::resource(request.uri().path()),
            verb: labels::verb(request),
            began: Instant::now(),
        }
    }

    /// Returns a service that counts the bytes of bodies towards the API server.
    pub fn count_upstream(&self, upstream: Upstream) -> CountedUpstream {
        CountedUpstream::new(upstream, self.clone())
    }

    /// Counts a changed file. `what` is one of a fixed set of names.
    pub fn reloaded(&self, what: &'static str, is_used: bool) {
        let result = if is_used { "success" } else { "failure" };
        self.0.reloads.get_or_create(&ReloadLabels { what, result }).inc();
    }

    /// Returns all metrics as text. `state` is the state of the process at this moment.
    pub fn text(&self, state: State) -> String {
        let mut now = Registry::with_prefix(PREFIX);
        now.register_collector(Box::new(state));
        let mut text = String::new();
        // Writing to a `String` does not fail.
        let _ = encode_registry(&mut text, &self.0.registry)
            .and_then(|()| encode_registry(&mut text, &now))
            .and_then(|()| encode_eof(&mut text));
        text
    }

    fn bytes(&self, direction: &'static str, stage: &'static str) -> Counter {
        self.0.bytes.get_or_create_owned(&BytesLabels { direction, stage })
    }

    /// Returns the bounded values of a request's labels. Only a success adds a value, so that
    /// strangers cannot use up the values.
    fn admit(&self, client: &str, resource: &str, status: StatusCode) -> (Arc<str>, Arc<str>) {
        let client = self.0.clients.get(client, status.is_success());
        let resource = self.0.resources.get(resource, status.is_success());
        (client, resource)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

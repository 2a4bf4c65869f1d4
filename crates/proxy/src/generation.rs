//! One configuration in use: its facts, and the gateway that serves by them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use poolscope::{Cluster, Config, NodeView};
use poolscope_http::RewriteLayer;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::credentials::OwnCredentials;
use crate::fact_failures::FactFailures;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::own_requests::OwnRequests;
use crate::saved_states::SavedStates;
use crate::tunnel::Tunnels;
use crate::upstream::Upstream;
use crate::{Body, BoxError, empty};

/// A configuration that was read and checked.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The file; `None` is the default configuration.
    pub path: Option<PathBuf>,
    /// The SHA-256 of the file's content.
    pub sha256: Option<String>,
    config: Config,
}

impl Configuration {
    /// Reads and checks a file, or returns the default configuration.
    ///
    /// # Errors
    ///
    /// Fails with the file, the position and the cause.
    pub fn read(path: Option<&Path>) -> Result<Configuration, BoxError> {
        let Some(path) = path else {
            return Ok(Configuration { path: None, sha256: None, config: Config::openyurt() });
        };
        let fail = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| fail(&error))?;
        let config: Config = text.parse().map_err(|error: poolscope::Error| fail(&error))?;
        Cluster::new(config.clone()).map_err(|error| fail(&error))?;
        Ok(Configuration { path: Some(path.to_owned()), sha256: Some(sha256(&text)), config })
    }
}

/// Returns the SHA-256 of a text, as `sha256sum` prints it.
fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The parts that all generations share.
#[derive(Clone)]
pub struct Shared {
    /// The node's name.
    pub node: String,
    /// The connections for clients' requests.
    pub upstream: Upstream,
    /// The proxy's own requests.
    pub own: OwnRequests,
    /// The metrics.
    pub metrics: Metrics,
    /// The upgraded connections, which outlive a generation.
    pub tunnels: Tunnels,
    /// The identity that a listener lends, if one does.
    pub lent: Option<Arc<OwnCredentials>>,
    /// The folder for client states.
    pub state_dir: PathBuf,
    /// The node, CA and boot of the client states.
    pub origin: String,
}

/// A configuration in use.
pub struct Generation {
    /// The configuration.
    pub configuration: Configuration,
    /// The node with its facts.
    pub node: NodeView,
    /// The failures of requests for facts.
    pub failures: Arc<FactFailures>,
    states: SavedStates,
    gateway: Gateway,
    lending: Option<Gateway>,
    stop: watch::Sender<bool>,
    facts: AbortHandle,
}

impl Generation {
    /// Starts to fetch the facts that a configuration needs. The first generation of the process
    /// restores the client states of the last process.
    ///
    /// # Errors
    ///
    /// Fails if settings of the configuration contradict each other.
    pub fn start(
        configuration: Configuration,
        shared: &Shared,
        is_first: bool,
    ) -> Result<Generation, BoxError> {
        let cluster = Cluster::new(configuration.config.clone())?;
        let origin = format!("{}\n{:?}", shared.origin, configuration.sha256);
        let states = SavedStates::new(&shared.state_dir, &origin);
        if is_first {
            states.restore(&cluster);
        } else {
            states.begin(&cluster);
        }
        let node = cluster.node(shared.node.as_str());
        let layer = RewriteLayer::new(node.clone(), empty);
        let failures = Arc::new(FactFailures::default());
        let recorded = failures.clone();
        let facts =
            layer.fetch_facts(shared.own.clone()).on_event(move |event| recorded.record(event));
        let facts = tokio::spawn(async move { match facts.run().await {} }).abort_handle();
        let (stop, stopping) = watch::channel(false);
        let (upstream, metrics) = (shared.upstream.clone(), shared.metrics.clone());
        let gateway =
            Gateway::new(&layer, upstream, stopping, metrics).with_tunnels(shared.tunnels.clone());
        let lending = shared.lent.clone().map(|lent| gateway.lending(lent));
        Ok(Generation { configuration, node, failures, states, gateway, lending, stop, facts })
    }

    /// Waits until no fact is missing. Returns `false` if that takes longer than `at_most`.
    pub async fn ready(&self, at_most: Duration) -> bool {
        let mut changes = self.node.cluster().changes();
        let complete = async {
            while !self.node.missing().is_empty() {
                std::future::poll_fn(|context| changes.poll_changed(context)).await;
            }
        };
        tokio::time::timeout(at_most, complete).await.is_ok()
    }

    /// Returns why rewritten responses cannot be served; empty if they can.
    pub fn reasons(&self) -> Vec<String> {
        self.node.missing().iter().map(|missing| self.failures.reason(missing)).collect()
    }

    /// Saves the client states for the next process.
    pub fn save(&self) {
        if let Err(error) = self.states.save(self.node.cluster()) {
            tracing::warn!(%error, "client states were not saved: clients of endpoints list again");
        }
    }

    /// Saves the client states if they have not changed since the last call, so that a crash while
    /// nothing happens costs no client a list.
    pub fn save_if_quiet(&self) {
        if let Err(error) = self.states.save_if_quiet(self.node.cluster()) {
            tracing::warn!(%error, "client states were not saved");
        }
    }

    /// Ends all watches and the requests for facts. Clients open their watches again.
    pub fn retire(&self) {
        self.stop.send_replace(true);
        self.facts.abort();
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.facts.abort();
    }
}

/// The generation that serves requests at the moment.
pub struct Current(ArcSwap<Generation>);

impl Current {
    /// Serves by `generation`.
    pub fn new(generation: Generation) -> Current {
        Current(ArcSwap::from_pointee(generation))
    }

    /// Returns the generation.
    pub fn get(&self) -> Arc<Generation> {
        self.0.load_full()
    }

    /// Serves new requests by `generation`, then ends the watches of the one before.
    pub fn replace(&self, generation: Generation) {
        self.0.swap(Arc::new(generation)).retire();
    }

    /// Serves one request of a client.
    pub async fn serve(&self, request: Request<Incoming>) -> Response<Body> {
        self.get().gateway.serve(request).await
    }

    /// Serves one request that gets the proxy's token if it has none.
    pub async fn serve_lending(&self, request: Request<Incoming>) -> Response<Body> {
        let generation = self.get();
        // Without a lent identity there is no listener that calls this.
        generation.lending.as_ref().unwrap_or(&generation.gateway).serve(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_cannot_be_used_names_its_file_and_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, "{\n  \"membership\": 7\n}").unwrap();
        let error = Configuration::read(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("/config.json: ") && error.contains("line 2"), "{error}");
        std::fs::write(&path, "{}").unwrap();
        let read = Configuration::read(Some(&path)).unwrap();
        let digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(read.sha256.as_deref(), Some(digest));
        let error = Configuration::read(Some(&folder.path().join("none"))).unwrap_err();
        assert!(error.to_string().contains("/none: "), "{error}");
    }
}

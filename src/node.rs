//! The cluster as one node sees it.

#[cfg(feature = "k8s-openapi")]
use crate::cluster::counters::{AtomicCounters, count};
use crate::cluster::{Cluster, Facts, MissingFact, Need};
use crate::config::Rewrite;
use crate::config::rewrites::{Rewrites, component};
use crate::error::Result;
use crate::object::FactKind;
use crate::object::selection::Selection;
use crate::rewrite::{ServiceFields, ServiceReason, judge_service};
use crate::stream::request::{self, RequestHead, ResponseHead};
use crate::stream::{self, Action};
use crate::topology::Members;
use crate::topology::fallback::UsableSteps;
use crate::topology::keys::{Keys, Topology};
#[cfg(feature = "k8s-openapi")]
use crate::topology::verdict::View;
use crate::topology::verdict::{Reason, Service};

/// The [`Cluster`] as one node sees it. Cheap to create and to clone; any thread may use it.
///
/// ```
/// use poolscope::{Cluster, Config, Reason};
///
/// let node = Cluster::new(Config::openyurt())?.node("hz-1");
/// assert!(!node.missing().is_empty());
/// // An endpoint of a Service that no list has named.
/// assert_eq!(node.judge("shop", Some("cart"), Some("sh-1")), Reason::UnknownService);
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct NodeView {
    cluster: Cluster,
    name: Box<str>,
    /// The client's User-Agent, for requests without the header.
    agent: Option<Box<str>>,
}

impl Cluster {
    /// Returns the view of the node of that name. The node need not be known yet.
    pub fn node(&self, name: impl Into<Box<str>>) -> NodeView {
        NodeView { cluster: self.clone(), name: name.into(), agent: None }
    }
}

impl NodeView {
    /// Returns the node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the view for a client with that User-Agent: for explanations, and for requests
    /// without the header. It matters if [`Config::clients`](crate::Config::clients) selects some
    /// clients only.
    #[must_use]
    pub fn client(&self, user_agent: impl Into<Box<str>>) -> NodeView {
        NodeView { agent: Some(user_agent.into()), ..self.clone() }
    }

    /// Returns the rewrites that the view's client gets by the present facts. Without a client it
    /// returns none if only some clients get them.
    pub fn rewrites(&self) -> Vec<Rewrite> {
        self.rewrites_now(&self.cluster.read()).iter().collect()
    }

    fn rewrites_now(&self, facts: &Facts) -> Rewrites {
        facts.rewrites_of(
            &component(self.agent.as_deref().unwrap_or_default()),
            self.cluster.config(),
        )
    }

    /// Returns the cluster of the view.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Returns the node's own pool, from the configuration or its label; `None` if it is not known.
    pub fn pool(&self) -> Option<String> {
        let facts = self.cluster.read();
        facts
            .own_pool_name(self.name.as_bytes(), self.cluster.config())
            .map(|pool| String::from_utf8_lossy(pool).into_owned())
    }

    /// Returns `true` if a Node or CiliumNode of that name was read. An unknown node is treated as
    /// a node in no pool (O8).
    pub fn is_known(&self) -> bool {
        self.cluster.read().has_node(&self.name)
    }

    /// Returns the facts that are missing before this node's client may receive objects of every
    /// namespace; without a client, before any client may.
    pub fn missing(&self) -> Vec<MissingFact> {
        let component = self.agent.as_deref().map(component);
        self.cluster.missing_for(
            &self.name,
            &Selection::default(),
            self.cluster.config().rewrites(),
            component.as_deref(),
        )
    }

    /// Returns how much of each kind this node's client needs by the present facts; without a
    /// client, what any client may need.
    pub(crate) fn needs(&self) -> Vec<(FactKind, Need)> {
        let component = self.agent.as_deref().map(component);
        self.cluster.needs_now(component.as_deref())
    }

    /// Returns the request to send to the API server, so that its response can be read: without
    /// Accept-Encoding, CBOR, YAML and `as=Table`. Other requests are returned unchanged.
    #[must_use]
    pub fn prepare(&self, request: RequestHead) -> RequestHead {
        request::prepare(request)
    }

    /// Decides how to handle a response for this node's client.
    ///
    /// Only responses to GET requests with status 200 are rewritten. A response without content, or
    /// with an error status, passes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ContentEncoding`] and [`ErrorKind::ContentType`] if the response has to be
    /// filtered or read as facts and cannot be read. [`ErrorKind::Status`] if it carries endpoints
    /// in parts or over a WebSocket. Never forward such a response.
    ///
    /// [`ErrorKind::ContentEncoding`]: crate::ErrorKind::ContentEncoding
    /// [`ErrorKind::ContentType`]: crate::ErrorKind::ContentType
    /// [`ErrorKind::Status`]: crate::ErrorKind::Status
    pub fn open(&self, request: &RequestHead, head: &ResponseHead) -> Result<Action> {
        stream::open(&self.cluster, &self.name, self.agent.as_deref(), request, head, false)
    }

    /// Opens a response without client state, such as a recorded body. A list leaves no state
    /// behind, and a watch needs none. Each event is judged by the facts at the moment it passes.
    /// There is no refresh, and unchanged events are not suppressed.
    pub fn open_stateless(&self, request: &RequestHead, head: &ResponseHead) -> Result<Action> {
        stream::open(&self.cluster, &self.name, self.agent.as_deref(), request, head, true)
    }

    /// Evaluates the view of an object, once for all its endpoints, and passes it to `filter`.
    #[cfg(feature = "k8s-openapi")]
    pub(crate) fn settle(
        &self,
        namespace: &str,
        service: Option<&str>,
        usable: impl FnOnce(Option<&Members>) -> UsableSteps,
        filter: impl FnOnce(&View<'_>, &AtomicCounters) -> usize,
    ) -> std::result::Result<usize, Vec<MissingFact>> {
        let config = self.cluster.config();
        if !self.rewrites_now(&self.cluster.read()).has(Rewrite::ServiceTopology) {
            return Ok(0);
        }
        let missing = self.missing();
        if !missing.is_empty() {
            return Err(missing);
        }
        let facts = self.cluster.read();
        let (service, deleted) = facts.service_named(namespace, service);
        let counters = self.cluster.live_counters();
        count(&counters.held_deleted_service, u64::from(deleted));
        Ok(filter(&facts.view(service, self.name.as_bytes(), config, usable), counters))
    }

    /// Returns the verdict on an endpoint by the present facts, for explanations. The endpoint is
    /// on `node` (`None`: it names no node) and belongs to `service` in `namespace` (`None`: its
    /// slice names no Service). No counter changes, and missing facts are not checked. For a
    /// topology fallback it takes the last step, because it does not know the endpoints of the
    /// other steps; [`explain::Inventory`](crate::explain::Inventory) does.
    pub fn judge(&self, namespace: &str, service: Option<&str>, node: Option<&str>) -> Reason {
        self.judge_among(namespace, service, node, |_| UsableSteps::default())
    }

    /// Like [`NodeView::judge`]; `usable` returns, for the members of the own pool, the steps with
    /// a usable endpoint.
    pub(crate) fn judge_among(
        &self,
        namespace: &str,
        service: Option<&str>,
        node: Option<&str>,
        usable: impl FnOnce(Option<&Members>) -> UsableSteps,
    ) -> Reason {
        let config = self.cluster.config();
        let facts = self.cluster.read();
        if !self.rewrites_now(&facts).has(Rewrite::ServiceTopology) {
            return Reason::ServiceTopologyOff;
        }
        let (service, _) = facts.service_named(namespace, service);
        facts.view(service, self.name.as_bytes(), config, usable).judge(node.map(str::as_bytes))
    }

    /// Returns whether a Service is visible to this node's client, with the reason.
    pub(crate) fn judge_service(&self, service: &ServiceFields<'_>) -> ServiceReason {
        let facts = self.cluster.read();
        judge_service(
            service,
            facts.own_pool_name(self.name.as_bytes(), self.cluster.config()),
            self.rewrites_now(&facts),
        )
    }

    /// Returns the topology of a Service; `None` if the Service is not known.
    pub fn topology_of(&self, namespace: &str, service: &str) -> Option<Topology> {
        match self.cluster.read().service_named(namespace, Some(service)).0 {
            Service::Known(keys) => Some(keys.topology()),
            Service::Unknown | Service::None => None,
        }
    }

    /// Returns the node labels that a Service asks for; empty if it asks for none.
    pub(crate) fn labels_of(&self, namespace: &str, service: &str) -> Vec<Box<str>> {
        match self.cluster.read().service_named(namespace, Some(service)).0 {
            Service::Known(Keys::Labels(labels)) => labels.to_vec(),
            _ => Vec::new(),
        }
    }

    /// Returns the pools of a node, by the membership that decides about endpoints, sorted. A node
    /// that moves may be in two pools.
    pub fn pools_of(&self, node: &str) -> Vec<String> {
        let facts = self.cluster.read();
        let mut pools: Vec<_> = facts
            .membership()
            .pools_of(node.as_bytes())
            .map(|pool| String::from_utf8_lossy(pool).into_owned())
            .collect();
        pools.sort_unstable();
        pools
    }
}

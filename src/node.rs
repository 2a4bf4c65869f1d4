//! The cluster as one node sees it.

#[cfg(feature = "k8s-openapi")]
use crate::cluster::counters::{Tally, count};
use crate::cluster::{Cluster, Facts, Missing};
use crate::config::Rewrite;
use crate::config::rewrites::{Rewrites, component};
use crate::error::Result;
use crate::object::selection::Selection;
use crate::rewrite::{ServiceReason, Traits, judge_service};
use crate::stream::request::{self, Head, Request};
use crate::stream::{self, Opened};
use crate::topology::Members;
use crate::topology::keys::Keys;
use crate::topology::ladder::Usable;
#[cfg(feature = "k8s-openapi")]
use crate::topology::verdict::View;
use crate::topology::verdict::{Reason, Service};

/// The [`Cluster`] seen from one node. Cheap to make and to clone; any thread may use it.
#[derive(Debug, Clone)]
pub struct NodeView {
    cluster: Cluster,
    name: Box<str>,
    /// The client's User-Agent, for requests without that header.
    agent: Option<Box<str>>,
}

impl Cluster {
    /// The view of the node of that name. The node need not be known yet.
    pub fn node(&self, name: impl Into<Box<str>>) -> NodeView {
        NodeView { cluster: self.clone(), name: name.into(), agent: None }
    }
}

impl NodeView {
    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same view for a client of that User-Agent: for explanations, and for requests that do
    /// not carry the header. It matters where [`Config::components`] says that not every client
    /// gets the rewrites.
    ///
    /// [`Config::components`]: crate::Config::components
    #[must_use]
    pub fn client(&self, user_agent: impl Into<Box<str>>) -> NodeView {
        NodeView { agent: Some(user_agent.into()), ..self.clone() }
    }

    /// The rewrites that the view's client gets as the facts are now; without a client, where not
    /// every one gets them: none.
    pub fn rewrites(&self) -> Vec<Rewrite> {
        self.rewrites_now(&self.cluster.read()).iter().collect()
    }

    fn rewrites_now(&self, facts: &Facts) -> Rewrites {
        facts.rewrites_of(
            &component(self.agent.as_deref().unwrap_or_default()),
            self.cluster.config(),
        )
    }

    /// The cluster it is a view of.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The pool that the node is in, by the configuration or by its label, as far as is known.
    pub fn pool(&self) -> Option<String> {
        let facts = self.cluster.read();
        facts
            .own_pool_name(self.name.as_bytes(), self.cluster.config())
            .map(|pool| String::from_utf8_lossy(pool).into_owned())
    }

    /// Whether a Node, or CiliumNode, of that name was seen. An unknown node is judged as one in no
    /// pool (O8).
    pub fn is_known(&self) -> bool {
        self.cluster.read().has_node(&self.name)
    }

    /// Returns the facts that are missing before this node's client may receive objects of every
    /// namespace; without a client, before any client may.
    pub fn missing(&self) -> Vec<Missing> {
        let component = self.agent.as_deref().map(component);
        self.cluster.missing_for(
            &self.name,
            &Selection::default(),
            self.cluster.config().rewrites(),
            component.as_deref(),
        )
    }

    /// Returns the request to send to the API server, so that its response can be read: without
    /// Accept-Encoding, CBOR, YAML and `as=Table`. Other requests are returned unchanged.
    #[must_use]
    pub fn prepare(&self, request: Request) -> Request {
        request::prepare(request)
    }

    /// Decides how to handle a response for this node's client.
    ///
    /// Only responses to GET requests with status 200 are rewritten. A response without content, or
    /// with an error status, passes.
    ///
    /// # Errors
    ///
    /// [`Error::ContentEncoding`] and [`Error::ContentType`] if the response has to be filtered or
    /// read as facts and cannot be read. [`Error::Status`] if it carries endpoints in parts or over
    /// a WebSocket. Never forward such a response.
    ///
    /// [`Error::ContentEncoding`]: crate::Error::ContentEncoding
    /// [`Error::ContentType`]: crate::Error::ContentType
    /// [`Error::Status`]: crate::Error::Status
    pub fn open(&self, request: &Request, head: &Head) -> Result<Opened> {
        stream::open(&self.cluster, &self.name, self.agent.as_deref(), request, head, false)
    }

    /// Opens a response without client state, such as a recorded body. A list leaves no state
    /// behind, and a watch needs none. Each event is judged by the facts at the moment it passes.
    /// There is no refresh, and unchanged events are not suppressed.
    pub fn open_alone(&self, request: &Request, head: &Head) -> Result<Opened> {
        stream::open(&self.cluster, &self.name, self.agent.as_deref(), request, head, true)
    }

    /// Settles what this node may see of an object, once for all its endpoints, and shows it to
    /// `filter`.
    #[cfg(feature = "k8s-openapi")]
    pub(crate) fn settle(
        &self,
        namespace: &str,
        service: Option<&str>,
        usable: impl FnOnce(Option<&Members>) -> Usable,
        filter: impl FnOnce(&View<'_>, &Tally) -> usize,
    ) -> std::result::Result<usize, Vec<Missing>> {
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
        let tally = self.cluster.tally();
        count(&tally.held_deleted_service, u64::from(deleted));
        Ok(filter(&facts.view(service, self.name.as_bytes(), config, usable), tally))
    }

    /// The verdict on an endpoint on `node` (`None`: it names none) of `service` in `namespace`
    /// (`None`: its slice names none), by what is known now: for explanations. It counts
    /// nothing, and does not ask whether enough is known. Of a Service whose keys are a ladder
    /// it takes the last rung, since it does not know what stands on the others;
    /// [`explain::Inventory`](crate::explain::Inventory) does.
    pub fn judge(&self, namespace: &str, service: Option<&str>, node: Option<&str>) -> Reason {
        self.judge_among(namespace, service, node, |_| Usable::default())
    }

    /// The same where `usable` tells for the members of the own pool what stands on which rung.
    pub(crate) fn judge_among(
        &self,
        namespace: &str,
        service: Option<&str>,
        node: Option<&str>,
        usable: impl FnOnce(Option<&Members>) -> Usable,
    ) -> Reason {
        let config = self.cluster.config();
        let facts = self.cluster.read();
        if !self.rewrites_now(&facts).has(Rewrite::ServiceTopology) {
            return Reason::ServiceTopologyOff;
        }
        let (service, _) = facts.service_named(namespace, service);
        facts.view(service, self.name.as_bytes(), config, usable).judge(node.map(str::as_bytes))
    }

    /// Whether this node's client may see a Service, and why.
    pub(crate) fn judge_service(&self, service: &Traits<'_>) -> ServiceReason {
        let facts = self.cluster.read();
        judge_service(
            service,
            facts.own_pool_name(self.name.as_bytes(), self.cluster.config()),
            self.rewrites_now(&facts),
        )
    }

    /// What a Service asks for: `any`, `node`, `pool`, `labels` or `ladder`; `None` if it is not
    /// known.
    pub fn topology_of(&self, namespace: &str, service: &str) -> Option<&'static str> {
        match self.cluster.read().service_named(namespace, Some(service)).0 {
            Service::Known(keys) => Some(keys.word()),
            Service::Unknown | Service::None => None,
        }
    }

    /// The node labels that a Service asks for; empty if it asks for none.
    pub(crate) fn labels_of(&self, namespace: &str, service: &str) -> Vec<Box<str>> {
        match self.cluster.read().service_named(namespace, Some(service)).0 {
            Service::Known(Keys::Labels(labels)) => labels.to_vec(),
            _ => Vec::new(),
        }
    }

    /// The pools that a node is in, by what decides about endpoints; sorted. More than one while it
    /// moves.
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

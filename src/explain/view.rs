//! Services and endpoints as a node sees them.

use std::net::IpAddr;

use serde::Serialize;

use crate::config::Rewrite;
use crate::hash::HashSet;
use crate::topology::keys::Topology;

/// One Service as a node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ServiceView {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub name: String,
    /// `ClusterIP`, `NodePort`, ...; empty where only endpoints are known.
    pub r#type: String,
    /// The topology of the Service; `None` if the Service is not known.
    pub topology: Option<Topology>,
    /// `true` if the Service is visible to this node's proxy. Also `true` if the Service is not
    /// known, because the reasons to filter it out are in the Service.
    pub visible: bool,
    /// The rewrite that decided, or that changes the Service; `None` if no rewrite applies.
    pub rewrite: Option<Rewrite>,
    /// The name of the reason: see [`ServiceReason::name`](crate::ServiceReason::name).
    pub reason: &'static str,
    /// The row of the rule: see [`ServiceReason::rule`](crate::ServiceReason::rule).
    pub rule: &'static str,
    /// The reason in words, with the fact behind it.
    pub why: String,
    /// The fact that is missing, and what follows for the endpoints; `None` if no endpoint is
    /// kept or dropped in doubt.
    pub doubt: Option<String>,
    /// Where it is reached: `10.96.57.90:80/TCP`.
    pub frontends: Vec<Frontend>,
    /// All its endpoints, in the order of its slices.
    pub endpoints: Vec<EndpointView>,
}

/// One address and port at which a Service is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Frontend {
    /// `10.96.57.90:80/TCP`, `[fd00::1]:80/TCP`; a node port is `*:30080/TCP`, a headless Service
    /// `None`.
    pub address: String,
    /// `ClusterIP`, `NodePort`, `ExternalIP`, `LoadBalancer` or `Headless`.
    pub r#type: &'static str,
    /// Name of the port, which its endpoints' ports share.
    pub port_name: String,
    /// Protocol of the port, which its endpoints' ports share; empty for a Service without ports.
    pub protocol: String,
    /// The address is an IPv6 address.
    pub ipv6: bool,
    /// The traffic policy that holds for this address; `None` for a headless Service.
    pub traffic_policy: Option<TrafficPolicy>,
}

/// Which of the kept endpoints proxies use for an address: `spec.internalTrafficPolicy` decides
/// for ClusterIPs, `spec.externalTrafficPolicy` for the other addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub enum TrafficPolicy {
    /// All.
    #[default]
    Cluster,
    /// Those on the proxy's own node.
    Local,
}

impl TrafficPolicy {
    pub(super) fn of(text: &str) -> TrafficPolicy {
        if text == "Local" { TrafficPolicy::Local } else { TrafficPolicy::Cluster }
    }
}

/// One endpoint of a Service as a node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct EndpointView {
    /// Its first address, the one that proxies use.
    pub address: String,
    /// The slice or Endpoints object that names it.
    pub object: String,
    /// Its ports.
    pub ports: Vec<Port>,
    /// The node it is on.
    pub node: Option<String>,
    /// The pools of that node, as far as pool membership is known.
    pub pools: Vec<String>,
    /// `true` if that node is the one whose view this is.
    pub local: bool,
    /// Whether it can be used.
    pub state: State,
    /// Whether this node's proxy sees it.
    pub kept: bool,
    /// `true` if it is kept or dropped only because a fact is missing.
    pub in_doubt: bool,
    /// The rewrite that decides: `serviceTopology` or `forwardKubernetesService`; `None`: it is
    /// off, or not for this client.
    pub rewrite: Option<Rewrite>,
    /// Why: see [`Reason::name`](crate::Reason::name).
    pub reason: &'static str,
    /// The row of the rule: see [`Reason::rule`](crate::Reason::rule).
    pub rule: &'static str,
    /// The reason in words.
    pub why: String,
}

/// One port of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Port {
    /// Name, as the Service's port has it.
    pub name: String,
    /// Number; 0: all.
    pub port: i32,
    /// `TCP`, ...
    pub protocol: String,
}

/// Whether an endpoint can be used, from its conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Ready, or without a ready condition.
    Active,
    /// Not ready, terminating, still serving: used when nothing is active.
    Terminating,
    /// Not to be used.
    NotReady,
}

impl State {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Terminating => "terminating",
            State::NotReady => "not ready",
        }
    }
}

type Backend<'a> = (&'a EndpointView, &'a Port);

/// The port of an address that is used with any port.
static ANY_PORT: Port = Port { name: String::new(), port: 0, protocol: String::new() };

impl ServiceView {
    /// Returns the backends of one frontend that this node's proxy knows: kept endpoints of the
    /// frontend's address family, at the ports of its name and protocol, each address and port
    /// once. They are the active endpoints, or the terminating ones if none is active. Proxies use
    /// addresses, not names (addressType FQDN), and ignore ports without a number.
    ///
    /// Those of a headless Service are the addresses with which DNS answers: of active endpoints,
    /// with port 0 where no port has the frontend's name and protocol.
    pub fn backends(&self, frontend: &Frontend) -> Vec<(&EndpointView, &Port)> {
        if frontend.r#type == "Headless" {
            return self.addresses(frontend);
        }
        usable(self.paired(frontend, |_| true))
    }

    /// Returns the backends of one frontend that this node's proxy uses: [`ServiceView::backends`],
    /// and under [`TrafficPolicy::Local`] only endpoints on this node. For addresses other than
    /// ClusterIPs, that policy holds for traffic that enters the cluster.
    pub fn used_backends(&self, frontend: &Frontend) -> Vec<(&EndpointView, &Port)> {
        match frontend.traffic_policy {
            Some(TrafficPolicy::Local) => usable(self.paired(frontend, |endpoint| endpoint.local)),
            _ => self.backends(frontend),
        }
    }

    /// Returns the endpoints that this node's proxy sees and whose address is an IP address.
    fn seen(&self) -> impl Iterator<Item = (&EndpointView, IpAddr)> {
        let seen = self.endpoints.iter().filter(|endpoint| self.visible && endpoint.kept);
        seen.filter_map(|endpoint| Some((endpoint, endpoint.address.parse().ok()?)))
    }

    fn paired<'a>(
        &'a self,
        frontend: &Frontend,
        counts: fn(&EndpointView) -> bool,
    ) -> Vec<Backend<'a>> {
        let is_of_family =
            |ip: IpAddr| frontend.r#type == "NodePort" || ip.is_ipv6() == frontend.ipv6;
        let seen = self.seen().filter(|&(endpoint, ip)| is_of_family(ip) && counts(endpoint));
        let mut pairs = Vec::new();
        for (endpoint, _) in seen {
            let ports = endpoint.ports.iter().filter(|port| frontend.is_served_at(port));
            pairs.extend(ports.filter(|port| port.port != 0).map(|port| (endpoint, port)));
        }
        pairs
    }

    fn addresses(&self, frontend: &Frontend) -> Vec<Backend<'_>> {
        let active = self.seen().filter(|(endpoint, _)| endpoint.state == State::Active);
        once(active.map(|(endpoint, _)| {
            let port = endpoint.ports.iter().find(|port| frontend.is_served_at(port));
            (endpoint, port.unwrap_or(&ANY_PORT))
        }))
    }

    /// Returns the number of endpoints that this node's proxy sees, usable or not.
    pub fn kept(&self) -> usize {
        self.endpoints.iter().filter(|endpoint| endpoint.kept).count()
    }
}

impl Frontend {
    fn is_served_at(&self, port: &Port) -> bool {
        (&port.name, &port.protocol) == (&self.port_name, &self.protocol)
    }
}

/// Returns the active endpoints, or the terminating ones if none is active.
fn usable<'a>(pairs: Vec<Backend<'a>>) -> Vec<Backend<'a>> {
    let is_active = |(endpoint, _): &Backend<'_>| endpoint.state == State::Active;
    let wanted = if pairs.iter().any(is_active) { State::Active } else { State::Terminating };
    once(pairs.into_iter().filter(|(endpoint, _)| endpoint.state == wanted))
}

/// Returns each address and port once: proxies merge those of several slices.
fn once<'a>(pairs: impl Iterator<Item = Backend<'a>>) -> Vec<Backend<'a>> {
    let mut seen = HashSet::default();
    pairs.filter(|(endpoint, port)| seen.insert((&*endpoint.address, port.port))).collect()
}

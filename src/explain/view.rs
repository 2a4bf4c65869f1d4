//! Services and endpoints as a node sees them.

use std::net::IpAddr;

use serde::Serialize;

use crate::config::Rewrite;
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
    /// The address is an IPv6 address.
    pub ipv6: bool,
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
    /// Whether it can be used.
    pub state: State,
    /// Whether this node's proxy sees it.
    pub kept: bool,
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

impl ServiceView {
    /// Returns the backends of one frontend at this node's proxy: kept endpoints of the frontend's
    /// address family, at the port of its name. They are the active endpoints, or the terminating
    /// ones if none is active. Proxies use addresses, not names (addressType FQDN).
    pub fn backends(&self, frontend: &Frontend) -> Vec<(&EndpointView, &Port)> {
        let any_family = matches!(frontend.r#type, "NodePort" | "Headless");
        let seen = self.endpoints.iter().filter(|endpoint| {
            let family = endpoint.address.parse().map(|address: IpAddr| address.is_ipv6());
            self.visible
                && endpoint.kept
                && family.is_ok_and(|ipv6| any_family || ipv6 == frontend.ipv6)
        });
        let port = |endpoint: &'_ EndpointView| {
            endpoint.ports.iter().position(|port| port.name == frontend.port_name)
        };
        let at_port: Vec<_> = seen
            .filter_map(|endpoint| Some((endpoint, &endpoint.ports[port(endpoint)?])))
            .collect();
        let active = at_port.iter().any(|(endpoint, _)| endpoint.state == State::Active);
        let wanted = if active { State::Active } else { State::Terminating };
        at_port.into_iter().filter(|(endpoint, _)| endpoint.state == wanted).collect()
    }

    /// Endpoints that this node's proxy sees, usable or not.
    pub fn kept(&self) -> usize {
        self.endpoints.iter().filter(|endpoint| endpoint.kept).count()
    }
}

//! A node's view for people: Services with their endpoints, each with its verdict and reason.
//!
//! An [`Inventory`] holds what there is, loaded from whole bodies; a [`NodeView`] says what of it
//! the node may use. The verdicts are those of the streams, one function for both.

mod inventory;
mod kinds;
mod schema;

use std::net::IpAddr;

use serde::Serialize;

pub use self::inventory::{Headline, Inventory};
use crate::config::{Hub, Rewrite};
use crate::node::NodeView;
use crate::object::service::{DISCARD_ANNOTATION, LISTEN_ANNOTATION};
use crate::rewrite::{ServiceReason, forward_kubernetes_service};
use crate::topology::Members;
use crate::topology::fallback::UsableSteps;
use crate::topology::keys::Topology;
use crate::topology::verdict::Reason;

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
    /// The name of the reason: see [`ServiceReason::name`].
    pub reason: &'static str,
    /// The row of the rule: see [`ServiceReason::rule`].
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
    /// Why: see [`Reason::name`].
    pub reason: &'static str,
    /// The row of the rule: see [`Reason::rule`].
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

impl Inventory {
    /// Every Service, sorted, as `node` sees it.
    pub fn view(&self, node: &NodeView) -> Vec<ServiceView> {
        self.names()
            .into_iter()
            .map(|(namespace, name)| self.service(node, &namespace, &name))
            .collect()
    }

    /// One Service as `node` sees it; `None` if there are neither it nor endpoints of it.
    pub fn find(&self, node: &NodeView, namespace: &str, name: &str) -> Option<ServiceView> {
        self.has(namespace, name).then(|| self.service(node, namespace, name))
    }

    fn service(&self, node: &NodeView, namespace: &str, name: &str) -> ServiceView {
        let service = self.service_named(namespace, name);
        let config = node.cluster().config();
        let (labels, rewrites) = (node.labels_of(namespace, name), node.rewrites());
        let forwards = rewrites.contains(&Rewrite::ForwardKubernetesService);
        let mut endpoints = Vec::new();
        for slice in self.slices_of(namespace, name) {
            let hub = config.forward_kubernetes_service.filter(|hub| {
                let is_it = (&*slice.namespace, &*slice.name) == ("default", "kubernetes");
                forwards && is_it && slice.address_type == forward_kubernetes_service::family(hub)
            });
            // A topology fallback is decided over all slices of one family.
            let siblings = || {
                self.slices_of(namespace, name)
                    .filter(|sibling| sibling.address_type == slice.address_type)
            };
            let usable = |members: Option<&Members>| {
                siblings().flat_map(|sibling| &sibling.endpoints).fold(
                    UsableSteps::default(),
                    |usable, endpoint| {
                        let on = endpoint.node.as_deref().map(str::as_bytes);
                        usable
                            | UsableSteps::of(
                                endpoint.state.condition(),
                                on,
                                node.name().as_bytes(),
                                members,
                            )
                    },
                )
            };
            for endpoint in &slice.endpoints {
                let reason = match hub {
                    Some(_) => Reason::Forwarded,
                    None => {
                        node.judge_among(namespace, Some(name), endpoint.node.as_deref(), usable)
                    }
                };
                let mut pools =
                    endpoint.node.as_deref().map(|name| node.pools_of(name)).unwrap_or_default();
                // Only pools of labels that the Service names matter.
                pools.retain(|pool| {
                    labels.is_empty() || labels.iter().any(|label| is_of_label(pool, label))
                });
                endpoints.push(EndpointView {
                    address: endpoint.addresses.first().cloned().unwrap_or_default(),
                    object: format!("{}/{}", slice.namespace, slice.name),
                    ports: slice.ports.clone(),
                    why: sentence(reason, node, endpoint.node.as_deref(), &pools),
                    node: endpoint.node.clone(),
                    pools,
                    state: endpoint.state,
                    kept: reason.keeps(),
                    rewrite: rewrite_of(reason),
                    reason: reason.name(),
                    rule: reason.rule(),
                });
            }
            if let Some(hub) = hub {
                endpoints.push(forwarded(slice, hub, node));
            }
        }
        let judged =
            service.map_or(ServiceReason::NoRule, |service| node.judge_service(&service.fields()));
        let led = config.master_service.filter(|_| judged == ServiceReason::Redirected);
        let frontends = |service: &kinds::Service| match led {
            Some(hub) => service.redirected(hub).frontends(),
            None => service.frontends(),
        };
        ServiceView {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            r#type: service.map(|service| service.r#type.clone()).unwrap_or_default(),
            topology: node.topology_of(namespace, name),
            visible: !judged.filters_out(),
            rewrite: judged.rewrite(),
            reason: judged.name(),
            rule: judged.rule(),
            why: service_sentence(
                judged,
                node,
                service.and_then(|service| service.listen.as_deref()),
            ),
            frontends: service.map(frontends).unwrap_or_default(),
            endpoints,
        }
    }
}

/// The address on the node that stands in a slice for the API server.
fn forwarded(slice: &kinds::Slice, hub: Hub, node: &NodeView) -> EndpointView {
    let mut ports = slice.ports.clone();
    if let Some(port) = ports.iter_mut().find(|port| port.name == "https") {
        port.port = hub.port.into();
    }
    EndpointView {
        address: hub.host.to_string(),
        object: format!("{}/{}", slice.namespace, slice.name),
        ports,
        node: None,
        pools: Vec::new(),
        state: State::Active,
        kept: true,
        rewrite: rewrite_of(Reason::Forward),
        reason: Reason::Forward.name(),
        rule: Reason::Forward.rule(),
        why: sentence(Reason::Forward, node, None, &[]),
    }
}

fn rewrite_of(reason: Reason) -> Option<Rewrite> {
    match reason {
        Reason::Forward | Reason::Forwarded => Some(Rewrite::ForwardKubernetesService),
        Reason::ServiceTopologyOff => None,
        _ => Some(Rewrite::ServiceTopology),
    }
}

/// Whether a pool is one that a label makes.
fn is_of_label(pool: &str, label: &str) -> bool {
    pool.split_once('=').is_some_and(|(key, _)| key == label)
}

/// Why a Service is visible, filtered out or changed.
fn service_sentence(reason: ServiceReason, view: &NodeView, listen: Option<&str>) -> String {
    let own_pool = view.pool();
    let own = own_pool.as_deref().unwrap_or("no pool");
    let listen = format!("{LISTEN_ANNOTATION}: {:?}", listen.unwrap_or_default());
    match reason {
        ServiceReason::NoRule => {
            "no rewrite that this client gets has anything to say of it".to_owned()
        }
        ServiceReason::NodeInNoPool => format!("{listen}, and {} is in no pool", view.name()),
        ServiceReason::PoolNamed => format!("{listen} names pool {own}"),
        ServiceReason::AnyPool => {
            format!("{listen} is for every pool that it does not exclude, so for {own}")
        }
        ServiceReason::PoolExcluded => format!("{listen} excludes pool {own}"),
        ServiceReason::PoolNotNamed => format!("{listen} does not name pool {own}"),
        ServiceReason::NoPoolNamed => format!("{listen} names no pool at all"),
        ServiceReason::Discarded => {
            format!("type LoadBalancer, and {DISCARD_ANNOTATION}: \"true\"")
        }
        ServiceReason::CloudTunnel => {
            "it is OpenYurt's tunnel to the cloud, known by its name".to_owned()
        }
        ServiceReason::Redirected => {
            "it stands for the API server, and leads to the address that the configuration names"
                .to_owned()
        }
    }
}

/// Why a verdict is what it is, for an operator who has to change something.
fn sentence(reason: Reason, view: &NodeView, on: Option<&str>, pools: &[String]) -> String {
    let own_pool = view.pool();
    let own = own_pool.as_deref().unwrap_or("no pool");
    let on = on.unwrap_or("none");
    match reason {
        Reason::NoTopologyKeys => "the Service has no topology keys that are known".to_owned(),
        Reason::ServiceTopologyOff => {
            "rewrites.serviceTopology is off, or not for this client".to_owned()
        }
        Reason::NoService => "the slice names no Service".to_owned(),
        Reason::UnknownService => "in doubt: the Service is not known".to_owned(),
        Reason::UnknownPool => format!("in doubt: no list of the nodes in pool {own}"),
        Reason::PoolTopologyOff => "pool topology is off in the configuration".to_owned(),
        Reason::Forward => "it stands for the API server on this node".to_owned(),
        Reason::Forwarded => {
            "rewrites.forwardKubernetesService puts an address on this node in its place".to_owned()
        }
        Reason::AnyStep => "no key before `*` has a usable endpoint".to_owned(),
        Reason::OwnNode => "on this node".to_owned(),
        Reason::OwnPool => format!("{on} is in pool {own}"),
        Reason::OtherNode => format!("only {} itself counts", view.name()),
        Reason::NoNode => "it names no node".to_owned(),
        Reason::OutsidePool if pools.is_empty() => {
            format!("{on} is in no known pool, not in {own}")
        }
        Reason::OutsidePool => format!("{on} is in {}, not in {own}", pools.join(", ")),
        Reason::EmptiedNoService => {
            "the slice names no Service, and inDoubt.noService is `hide`".to_owned()
        }
        Reason::EmptiedUnknownService => "emptied: the Service is not known".to_owned(),
        Reason::EmptiedUnknownPool => {
            format!("emptied: no list of the nodes in pool {own}")
        }
    }
}

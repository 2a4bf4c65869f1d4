//! A node's view for people: Services with their endpoints, each with its verdict and reason.
//!
//! An [`Inventory`] holds what there is, loaded from whole bodies; a [`NodeView`] says what of it
//! the node may use. The verdicts are those of the streams, one function for both.

mod inventory;
mod kinds;
mod schema;
mod view;

pub use self::inventory::{Headline, Inventory};
pub use self::view::{EndpointView, Frontend, Port, ServiceView, State};
use crate::config::{Hub, Rewrite};
use crate::node::NodeView;
use crate::object::service::{DISCARD_ANNOTATION, LISTEN_ANNOTATION};
use crate::rewrite::{ServiceReason, forward_kubernetes_service};
use crate::topology::Members;
use crate::topology::fallback::UsableSteps;
use crate::topology::verdict::Reason;

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

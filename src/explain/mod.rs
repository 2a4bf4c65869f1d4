//! A node's view for people: Services with their endpoints, each with its verdict and reason.
//!
//! An [`Inventory`] holds what there is, loaded from whole bodies; a [`NodeView`] says what of it
//! the node may use. The verdicts are those of the streams, one function for both.

mod contradiction;
mod inventory;
mod kinds;
mod schema;
mod view;
mod words;

pub use self::inventory::{Headline, Inventory};
pub use self::view::{EndpointView, Frontend, Port, ServiceView, State, TrafficPolicy};
use self::words::{doubt, sentence, service_sentence};
use crate::config::{Hub, Rewrite};
use crate::hash::HashMap;
use crate::node::NodeView;
use crate::rewrite::{ServiceReason, forward_kubernetes_service};
use crate::topology::Members;
use crate::topology::fallback::UsableSteps;
use crate::topology::verdict::Reason;

impl Inventory {
    /// Every Service, sorted, as `node` sees it.
    pub fn view(&self, node: &NodeView) -> Vec<ServiceView> {
        let mut viewer = Viewer::new(self, node);
        self.names().iter().map(|(namespace, name)| viewer.service(namespace, name)).collect()
    }

    /// One Service as `node` sees it; `None` if there are neither it nor endpoints of it.
    pub fn find(&self, node: &NodeView, namespace: &str, name: &str) -> Option<ServiceView> {
        self.has(namespace, name).then(|| Viewer::new(self, node).service(namespace, name))
    }
}

/// One node's look at an inventory.
struct Viewer<'a> {
    inventory: &'a Inventory,
    node: &'a NodeView,
    forwards: bool,
    /// The nodes of the endpoints so far.
    nodes: HashMap<&'a str, Membership>,
}

/// The pools of one node, for explanations.
#[derive(Default)]
struct Membership {
    pools: Vec<String>,
    /// See [`NodeView::contradiction`].
    contradiction: Option<String>,
    /// Its label names the pool of the node whose view this is.
    has_own_label: bool,
}

impl<'a> Viewer<'a> {
    fn new(inventory: &'a Inventory, node: &'a NodeView) -> Viewer<'a> {
        let forwards = node.rewrites().contains(&Rewrite::ForwardKubernetesService);
        Viewer { inventory, node, forwards, nodes: HashMap::default() }
    }

    fn service(&mut self, namespace: &str, name: &str) -> ServiceView {
        let (node, config) = (self.node, self.node.cluster().config());
        let service = self.inventory.service_named(namespace, name);
        let endpoints = self.endpoints(namespace, name);
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
            doubt: endpoints.iter().find_map(|(reason, _)| doubt(*reason, node)),
            frontends: service.map(frontends).unwrap_or_default(),
            endpoints: endpoints.into_iter().map(|(_, endpoint)| endpoint).collect(),
        }
    }

    fn endpoints(&mut self, namespace: &str, name: &str) -> Vec<(Reason, EndpointView)> {
        let (node, config) = (self.node, self.node.cluster().config());
        let labels = node.labels_of(namespace, name);
        let slices = self.inventory.slices_of(namespace, name);
        // A topology fallback is decided over all slices of one family.
        let mut usable_steps: HashMap<&str, UsableSteps> = HashMap::default();
        let mut endpoints = Vec::new();
        for slice in &slices {
            let hub = config.forward_kubernetes_service.filter(|hub| {
                let is_it = (&*slice.namespace, &*slice.name) == ("default", "kubernetes");
                self.forwards
                    && is_it
                    && slice.address_type == forward_kubernetes_service::family(hub)
            });
            for endpoint in &slice.endpoints {
                let on = endpoint.node.as_deref();
                let usable = |members: Option<&Members>| {
                    *usable_steps.entry(&*slice.address_type).or_insert_with(|| {
                        let siblings = slices
                            .iter()
                            .filter(|sibling| sibling.address_type == slice.address_type);
                        let steps = |endpoint: &kinds::Endpoint| {
                            let on = endpoint.node.as_deref().map(str::as_bytes);
                            let condition = endpoint.state.condition();
                            UsableSteps::of(condition, on, node.name().as_bytes(), members)
                        };
                        siblings
                            .flat_map(|sibling| &sibling.endpoints)
                            .map(steps)
                            .fold(UsableSteps::default(), |all, steps| all | steps)
                    })
                };
                let reason = match hub {
                    Some(_) => Reason::Forwarded,
                    None => node.judge_among(namespace, Some(name), on, usable),
                };
                let nowhere = Membership::default();
                let membership = match on {
                    Some(on) => self.membership(on),
                    None => &nowhere,
                };
                // Only pools of labels that the Service names matter.
                let matters = |pool: &&String| {
                    labels.is_empty() || labels.iter().any(|label| is_of_label(pool, label))
                };
                let pools: Vec<String> = membership.pools.iter().filter(matters).cloned().collect();
                let view = EndpointView {
                    address: endpoint.addresses.first().cloned().unwrap_or_default(),
                    object: format!("{}/{}", slice.namespace, slice.name),
                    ports: slice.ports.clone(),
                    why: sentence(reason, node, on, &pools, membership),
                    node: endpoint.node.clone(),
                    pools,
                    local: on == Some(node.name()),
                    state: endpoint.state,
                    kept: reason.keeps(),
                    in_doubt: doubt(reason, node).is_some(),
                    rewrite: rewrite_of(reason),
                    reason: reason.name(),
                    rule: reason.rule(),
                };
                endpoints.push((reason, view));
            }
            if let Some(hub) = hub {
                endpoints.push((Reason::Forward, forwarded(slice, hub, node)));
            }
        }
        endpoints
    }

    fn membership(&mut self, of: &'a str) -> &Membership {
        let node = self.node;
        self.nodes.entry(of).or_insert_with(|| Membership {
            pools: node.pools_of(of),
            contradiction: node.contradiction(of),
            has_own_label: node.pool().is_some_and(|own| node.label_of(of) == Some(own)),
        })
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
        local: true,
        state: State::Active,
        kept: true,
        in_doubt: false,
        rewrite: rewrite_of(Reason::Forward),
        reason: Reason::Forward.name(),
        rule: Reason::Forward.rule(),
        why: sentence(Reason::Forward, node, None, &[], &Membership::default()),
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

//! Reasons in words, for an operator who has to change something.

use super::Membership;
use crate::node::NodeView;
use crate::object::service::{DISCARD_ANNOTATION, LISTEN_ANNOTATION};
use crate::rewrite::ServiceReason;
use crate::topology::verdict::Reason;

/// Why a Service is visible, filtered out or changed.
pub(super) fn service_sentence(
    reason: ServiceReason,
    view: &NodeView,
    listen: Option<&str>,
) -> String {
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

/// Returns the missing fact and what follows for the endpoints, if the verdict is one in doubt.
pub(super) fn doubt(reason: Reason, view: &NodeView) -> Option<String> {
    let fact = match reason {
        Reason::UnknownService | Reason::EmptiedUnknownService => {
            "the Service is not known".to_owned()
        }
        Reason::UnknownPool | Reason::EmptiedUnknownPool => {
            format!("no list of the nodes in pool {}", view.pool().unwrap_or_default())
        }
        _ => return None,
    };
    let follows = if reason.keeps() { "pass" } else { "are dropped" };
    Some(format!("{fact}, so its endpoints {follows} ({})", reason.rule()))
}

/// Why a verdict on an endpoint is what it is. `on` is its node, `membership` that node's.
pub(super) fn sentence(
    reason: Reason,
    view: &NodeView,
    on: Option<&str>,
    pools: &[String],
    membership: &Membership,
) -> String {
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
        Reason::OwnPool => match &membership.contradiction {
            Some(contradiction) => format!("{on} is in pool {own}: {contradiction}"),
            None => format!("{on} is in pool {own}"),
        },
        Reason::OtherNode => format!("only {} itself counts", view.name()),
        Reason::NoNode => "it names no node".to_owned(),
        Reason::OutsidePool if membership.has_own_label && membership.contradiction.is_some() => {
            membership.contradiction.clone().unwrap_or_default()
        }
        Reason::OutsidePool if pools.is_empty() => {
            format!("{on} is in no known pool, not in {own}")
        }
        Reason::OutsidePool => format!("{on} is in {}, not in {own}", pools.join(", ")),
        Reason::EmptiedNoService => {
            "the slice names no Service, and onMissingFact.noService is `empty`".to_owned()
        }
        Reason::EmptiedUnknownService => "emptied: the Service is not known".to_owned(),
        Reason::EmptiedUnknownPool => {
            format!("emptied: no list of the nodes in pool {own}")
        }
    }
}

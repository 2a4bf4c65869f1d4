//! Which objects of a client a change may affect: those, and no others, are looked at.

use std::collections::BTreeSet;

use crate::client_state::{ClientState, FAMILIES};
use crate::cluster::Facts;
use crate::cluster::log::Change;
use crate::object::SubjectKind;
use crate::rewrite::{KUBERNETES, Rules};
use crate::topology::Members;
use crate::topology::keys::Keys;
use crate::topology::verdict::{Service, ViewKind};

/// Finds the objects that the fact changes since the last time may have changed for the client.
pub(super) fn collect(client_state: &mut ClientState, rule: &mut Rules) {
    let cluster = rule.cluster().clone();
    let facts = cluster.read();
    // By the same facts whose changes count as looked at from here on.
    rule.choose_by(&facts);
    let rule = &*rule;
    let own = rule.node();
    let (generation, changes) = facts.changes_since(client_state.generation());
    client_state.looked_at(generation);
    if rule.kind() == SubjectKind::Service {
        // A Service's own fields arrive with its own events.
        let decides = |change: &Change| match change {
            Change::Node(node) => node.as_bytes() == own,
            Change::Clients(_) => true,
            Change::Service(_) | Change::Pool(_) | Change::Member { .. } => false,
        };
        if changes.is_none_or(|changes| changes.iter().any(decides)) {
            let depending: Vec<u32> = client_state.depending().collect();
            client_state.invalidate(depending);
        }
        return;
    }
    let is_own_pool = |pool: &str| facts.is_own_pool(own, pool, cluster.config());
    let mut everything = changes.is_none();
    let (mut services, mut touched) = (BTreeSet::new(), BTreeSet::new());
    for change in changes.into_iter().flatten() {
        match change {
            Change::Service(key) => drop(services.insert(key.as_bytes().to_vec())),
            Change::Node(node) => everything |= node.as_bytes() == own,
            Change::Pool(pool) => everything |= is_own_pool(&pool),
            Change::Clients(_) => everything = true,
            Change::Member { node, pool } if is_own_pool(&pool) => {
                touched.extend(client_state.on_node(node.as_bytes()))
            }
            Change::Member { .. } => {}
        }
    }
    if everything {
        services = client_state.services().map(<[u8]>::to_vec).collect();
        // It may be of no Service.
        touched.extend(client_state.find(KUBERNETES));
    } else if cluster.config().topology_fallback {
        // A usable endpoint may decide about siblings that do not name the node.
        services.extend(touched.iter().map(|&id| client_state.service_of(id).to_vec()));
    }
    for service in services {
        reevaluate(client_state, &service, &facts, rule, everything);
    }
    client_state.invalidate(touched);
}

/// Looks how the objects of a Service are seen now. Those that were sent as seen otherwise are
/// owed; with `pool_changed` also those seen through the pool.
pub(super) fn reevaluate(
    client_state: &mut ClientState,
    service: &[u8],
    facts: &Facts,
    rule: &Rules,
    pool_changed: bool,
) {
    let (keys, _) = facts.service(service);
    // The siblings of a topology fallback share one view kind, which the group keeps.
    let is_fallback = matches!(keys, Service::Known(Keys::Fallback(_)));
    let mut objects = None;
    for family in FAMILIES {
        let usable = |members: Option<&Members>| {
            client_state.usable_steps_of(service, family, None, rule.node(), members)
        };
        let view_kind = rule.view(facts, keys.clone(), usable).view_kind();
        if is_fallback
            && !pool_changed
            && client_state.view_kind_of(service, family) == Some(view_kind)
        {
            continue;
        }
        for &id in objects.get_or_insert_with(|| client_state.of_service(service).to_vec()).iter() {
            let entry = client_state.entry(id);
            if entry.family != family {
                continue;
            }
            // Only the slice of default/kubernetes is redirected, and it is examined by itself.
            let same = entry.view_kind == view_kind && view_kind != ViewKind::Pools
                || entry.view_kind == ViewKind::Forwarded;
            if !same || entry.sent.is_none() || pool_changed && view_kind.is_of_pool() {
                client_state.invalidate([id]);
            } else if !view_kind.is_of_pool() {
                // It is seen again as it was when it was sent. Through the pool a member may have
                // changed since.
                client_state.restore(id);
            }
        }
        client_state.set_view_kind_of(service, family, Some(view_kind).filter(|_| is_fallback));
    }
}

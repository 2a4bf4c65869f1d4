//! Which objects of a client a change may affect: those, and no others, are looked at.

use std::collections::BTreeSet;

use crate::cluster::Facts;
use crate::cluster::log::Change;
use crate::ledger::{FAMILIES, Ledger};
use crate::object::SubjectKind;
use crate::rewrite::{KUBERNETES, Rules};
use crate::topology::Members;
use crate::topology::keys::Keys;
use crate::topology::verdict::{Lens, Service};

/// Finds the objects that the changes of facts since the last time may have changed for the client.
pub(super) fn collect(ledger: &mut Ledger, rule: &mut Rules) {
    let cluster = rule.cluster().clone();
    let facts = cluster.read();
    // By the same facts whose changes count as looked at from here on.
    rule.choose_by(&facts);
    let rule = &*rule;
    let own = rule.node();
    let (generation, changes) = facts.changes_since(ledger.generation);
    ledger.generation = generation;
    if rule.kind() == SubjectKind::Service {
        // A Service's own fields arrive with its own events.
        let decides = |change: &Change| match change {
            Change::Node(node) => node.as_bytes() == own,
            Change::Components(_) => true,
            Change::Service(_) | Change::Pool(_) | Change::Member { .. } => false,
        };
        if changes.is_none_or(|changes| changes.iter().any(decides)) {
            let depending: Vec<u32> = ledger.depending().collect();
            ledger.owed.extend(depending);
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
            Change::Components(_) => everything = true,
            Change::Member { node, pool } if is_own_pool(&pool) => {
                touched.extend(ledger.on_node(node.as_bytes()))
            }
            Change::Member { .. } => {}
        }
    }
    if everything {
        services = ledger.services().map(<[u8]>::to_vec).collect();
        // It may be of no Service.
        touched.extend(ledger.find(KUBERNETES));
    } else if cluster.config().ladders {
        // A usable endpoint may decide about siblings that do not name the node.
        services.extend(touched.iter().map(|&id| ledger.service_of(id).to_vec()));
    }
    for service in services {
        relook(ledger, &service, &facts, rule, everything);
    }
    ledger.owed.append(&mut touched);
}

/// Looks how the objects of a Service are seen now. Those that were sent as seen otherwise are
/// owed; with `pool_changed` also those seen through the pool.
pub(super) fn relook(
    ledger: &mut Ledger,
    service: &[u8],
    facts: &Facts,
    rule: &Rules,
    pool_changed: bool,
) {
    let (keys, _) = facts.service(service);
    // The siblings of a ladder share one lens, which the group keeps.
    let is_ladder = matches!(keys, Service::Known(Keys::Ladder(_)));
    let mut objects = None;
    for family in FAMILIES {
        let usable = |members: Option<&Members>| {
            ledger.usable_of(service, family, None, rule.node(), members)
        };
        let lens = rule.view(facts, keys.clone(), usable).lens();
        if is_ladder && !pool_changed && ledger.lens_of(service, family) == Some(lens) {
            continue;
        }
        for &id in objects.get_or_insert_with(|| ledger.of_service(service).to_vec()).iter() {
            let entry = ledger.entry(id);
            if entry.family != family {
                continue;
            }
            // What else is forwarded than the Kubernetes slice, which is looked at by itself, is
            // nothing.
            let same = entry.lens == lens && lens != Lens::Pools || entry.lens == Lens::Forwarded;
            if !same || entry.sent.is_none() || pool_changed && lens.is_of_pool() {
                ledger.owed.insert(id);
            } else if !lens.is_of_pool() {
                // It is seen again as it was when it was sent. Through the pool a member may have
                // changed since.
                ledger.missing.remove(&id);
            }
        }
        ledger.set_lens_of(service, family, Some(lens).filter(|_| is_ladder));
    }
}

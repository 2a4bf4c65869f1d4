//! Endpoints outside what their Service's topology keys allow are cut out (O1 to O13).

use std::borrow::Cow;

use super::cut::cut;
use crate::cluster::Cluster;
use crate::cluster::counters::{Tally, count};
use crate::cluster::fact::write_service_key;
use crate::object::SubjectKind;
use crate::object::outline::Outline;
use crate::sync::atomic::AtomicU64;
use crate::topology::Members;
use crate::topology::keys::Keys;
use crate::topology::ladder::Usable;
use crate::topology::verdict::{Lens, Reason, Service};
use crate::wire::splice::Edit;

/// Judges objects of one kind for one node. Its buffers are kept from object to object.
pub(crate) struct ServiceTopology {
    cluster: Cluster,
    node: Box<[u8]>,
    kind: SubjectKind,
    service_key: Vec<u8>,
    keep: Vec<bool>,
}

impl ServiceTopology {
    pub(crate) fn new(cluster: Cluster, node: &str, kind: SubjectKind) -> ServiceTopology {
        ServiceTopology { cluster, node: node.as_bytes().into(), kind, service_key: Vec::new(), keep: Vec::new() }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The node it judges for.
    pub(crate) fn node(&self) -> &[u8] {
        &self.node
    }

    /// The key of the Service that the object judged last belongs to, as [`write_service_key`] writes it; empty if it names
    /// none.
    pub(crate) fn service_key(&self) -> &[u8] {
        &self.service_key
    }

    /// Judges the object in `buf` whose outline is given. `siblings` tells for the Service, this node and the
    /// members of its pool what the other objects of a ladder's Service have usable.
    pub(crate) fn rewrite(
        &mut self,
        buf: &[u8],
        outline: &Outline,
        edit: &mut Edit,
        siblings: impl FnOnce(&[u8], &[u8], Option<&Members>) -> Usable,
    ) -> Judged {
        edit.clear();
        let config = self.cluster.config();
        let namespace = outline.optional_text(buf, outline.namespace);
        let name = match self.kind {
            // Not by owner and not by its own name: the label is what ties a slice to its Service (wire 5).
            SubjectKind::EndpointSlice | SubjectKind::EndpointSliceBeta => outline.optional_text(buf, outline.service_name),
            SubjectKind::Endpoints => outline.optional_text(buf, outline.name),
        };
        let facts = self.cluster.read();
        let (service, deleted) = if name.is_empty() {
            self.service_key.clear();
            (Service::None, false)
        } else {
            write_service_key(&mut self.service_key, &namespace, &name);
            facts.service(&self.service_key)
        };
        let view = facts.view(service, &self.node, config, |members| {
            outline.endpoints.iter().fold(siblings(&self.service_key, &self.node, members), |usable, endpoint| {
                let node = endpoint.node.map(|node| outline.text(buf, node));
                usable | Usable::of(endpoint.condition, node.as_deref(), &self.node, members)
            })
        });
        self.keep.clear();
        let mut kept = 0;
        for endpoint in &outline.endpoints {
            let node: Option<Cow<'_, [u8]>> = endpoint.node.map(|node| outline.text(buf, node));
            let keep = view.judge(node.as_deref()).keeps();
            kept += usize::from(keep);
            self.keep.push(keep);
        }
        let dropped = outline.endpoints.len() - kept;
        // A subset without addresses goes too, so an object may change that loses no endpoint.
        let judged = !matches!(view.whole_reason(), Some(reason) if reason.keeps());
        let changes = dropped > 0 || judged && outline.has_empty_subset();
        if changes {
            cut(outline, &self.keep, edit);
        }
        let keys = if let Service::Known(keys) = service { keys } else { Keys::Unset };
        Judged { changes, lens: view.lens(), keys, reason: view.whole_reason(), kept, dropped, deleted }
    }

    /// Counts an object that was judged and is given.
    pub(crate) fn tell(&self, judged: &Judged) {
        let tally = self.cluster.tally();
        tell(tally, judged.reason, judged.kept, judged.dropped);
        count(&tally.held_deleted_service, u64::from(judged.deleted));
    }
}

/// How an object was judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged {
    /// Endpoints go, and the edit says which bytes.
    pub(crate) changes: bool,
    /// How this node sees the object.
    pub(crate) lens: Lens,
    /// What its Service asks for.
    pub(crate) keys: Keys,
    /// The reason that holds for the whole object, if there is one.
    reason: Option<Reason>,
    kept: usize,
    dropped: usize,
    /// Its Service was deleted.
    deleted: bool,
}

/// Counts an object; `reason` is the one that holds for the whole of it, if there is one.
pub(crate) fn tell(tally: &Tally, reason: Option<Reason>, kept: usize, dropped: usize) {
    count(&tally.objects, 1);
    count(&tally.endpoints_kept, kept as u64);
    if dropped > 0 {
        count(&tally.objects_cut, 1);
        count(&tally.endpoints_dropped, dropped as u64);
    }
    let doubt: Option<&AtomicU64> = match reason {
        Some(Reason::UnknownService) => Some(&tally.passed_unknown_service),
        Some(Reason::NoService) => Some(&tally.passed_no_service),
        Some(Reason::UnknownPool) => Some(&tally.passed_unknown_pool),
        Some(Reason::HiddenUnknownService) => Some(&tally.hidden_unknown_service),
        Some(Reason::HiddenUnknownPool) => Some(&tally.hidden_unknown_pool),
        _ => None,
    };
    if let Some(counter) = doubt {
        count(counter, 1);
    }
}

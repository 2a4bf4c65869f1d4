//! Endpoints outside what their Service's topology keys allow are cut out (O1 to O13).

use std::borrow::Cow;

use super::cut::cut;
use super::{Counts, Judged, Rules};
use crate::cluster::counters::{AtomicCounters, count};
use crate::object::SubjectKind;
use crate::object::outline::Outline;
use crate::sync::atomic::AtomicU64;
use crate::topology::Members;
use crate::topology::fallback::UsableSteps;
use crate::topology::keys::Keys;
use crate::topology::verdict::{Reason, Service, View};
use crate::wire::splice::Edit;

impl Rules {
    /// Judges the endpoints of the object in `buf` whose outline is given.
    pub(super) fn judge_endpoints(
        &mut self,
        buf: &[u8],
        outline: &Outline,
        edit: &mut Edit,
        siblings: impl FnOnce(&[u8], &[u8], Option<&Members>) -> UsableSteps,
    ) -> Judged {
        let namespace = outline.optional_text(buf, outline.namespace);
        let name = match self.kind {
            // Not by owner and not by its own name: the label is what ties a slice to its Service
            // (B5).
            SubjectKind::EndpointSlice | SubjectKind::EndpointSliceBeta => {
                outline.optional_text(buf, outline.service_name)
            }
            SubjectKind::Endpoints | SubjectKind::Service => {
                outline.optional_text(buf, outline.name)
            }
        };
        let mut keep = std::mem::take(&mut self.keep);
        let facts = self.cluster.read();
        let (service, deleted) = if name.is_empty() {
            self.service_key.clear();
            (Service::None, false)
        } else {
            self.service_key.set(&namespace, &name);
            facts.service(&self.service_key)
        };
        let keys = if let Service::Known(keys) = &service { keys.clone() } else { Keys::Unset };
        let view = self.view(&facts, service, |members| {
            outline.endpoints.iter().fold(
                siblings(&self.service_key, &self.node, members),
                |usable, endpoint| {
                    let node = endpoint.node().map(|node| outline.text(buf, node));
                    usable
                        | UsableSteps::of(endpoint.condition, node.as_deref(), &self.node, members)
                },
            )
        });
        keep.clear();
        let endpoints = outline.endpoints.iter();
        match &view {
            // The common view has a loop of its own.
            &View::Pool { node: me, members, own } => keep.extend(endpoints.map(|endpoint| {
                endpoint.node().is_some_and(|node| {
                    let node = outline.text(buf, node);
                    members.contains(&node) || own && *node == *me
                })
            })),
            view => keep.extend(endpoints.map(|endpoint| {
                let node: Option<Cow<'_, [u8]>> =
                    endpoint.node().map(|node| outline.text(buf, node));
                view.judge(node.as_deref()).keeps()
            })),
        }
        let kept = keep.iter().filter(|&&keeps| keeps).count();
        let dropped = outline.endpoints.len() - kept;
        // A subset without addresses goes too, so an object may change that loses no endpoint.
        let judged = !matches!(view.whole_reason(), Some(reason) if reason.keeps());
        let changes = dropped > 0 || judged && outline.has_empty_subset();
        if changes {
            cut(outline, &keep, edit);
        }
        let counts = Counts::Endpoints { reason: view.whole_reason(), kept, dropped, deleted };
        let judged =
            Judged { changes, filtered_out: false, view_kind: view.view_kind(), keys, counts };
        self.keep = keep;
        judged
    }
}

/// Counts an object; `reason` is the one that holds for the whole of it, if there is one.
pub(crate) fn count_endpoints(
    counters: &AtomicCounters,
    reason: Option<Reason>,
    kept: usize,
    dropped: usize,
) {
    count(&counters.objects, 1);
    count(&counters.endpoints_kept, kept as u64);
    if dropped > 0 {
        count(&counters.objects_cut, 1);
        count(&counters.endpoints_dropped, dropped as u64);
    }
    let doubt: Option<&AtomicU64> = match reason {
        Some(Reason::UnknownService) => Some(&counters.passed_unknown_service),
        Some(Reason::NoService) => Some(&counters.passed_no_service),
        Some(Reason::UnknownPool) => Some(&counters.passed_unknown_pool),
        Some(Reason::EmptiedNoService) => Some(&counters.emptied_no_service),
        Some(Reason::EmptiedUnknownService) => Some(&counters.emptied_unknown_service),
        Some(Reason::EmptiedUnknownPool) => Some(&counters.emptied_unknown_pool),
        _ => None,
    };
    if let Some(counter) = doubt {
        count(counter, 1);
    }
}

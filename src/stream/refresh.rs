//! Emits the events that a client needs after facts changed.

use super::affected::collect;
use super::client_session::ClientSession;
use super::evaluator::Evaluator;
use super::event::{EventType, write_bookmark, write_expired, write_object};
use super::item::Item;
use super::lifecycle::Lifecycle;
use crate::client_state::store::lock;
use crate::client_state::{ClientState, CopyState, Correction, Original, SentForm};
use crate::cluster::Cluster;
use crate::cluster::counters::count;
use crate::config::Retention;
use crate::object::version::Version;
use crate::wire::splice::Output;

/// The message of the ERROR that ends a watch for whose events there are no originals.
const RELIST: &str = "the endpoints that this node may use have changed; list again";

/// An object cannot be emitted, because its original was not kept.
struct OriginalMissing;

/// An event that a client needs, with the object before the evaluator's edit.
struct PendingEvent {
    event_type: EventType,
    original: Original,
}

impl ClientSession {
    /// Requests a refresh at the next boundary of the live events.
    pub(super) fn request_refresh(&mut self) {
        self.refresh_requested = self.key.is_some();
    }

    /// Returns `true` if a refresh may emit events.
    pub(super) fn needs_refresh(&self, cluster: &Cluster) -> bool {
        self.key.is_some()
            && self.lifecycle == Lifecycle::Live
            && (self.is_due(None)
                || lock(self.lease.client_state()).generation() != cluster.generation())
    }

    /// Returns `true` if events have to be emitted before `next`, or now if there is no next item.
    pub(super) fn is_due(&self, next: Option<&Item<'_>>) -> bool {
        match self.lifecycle {
            Lifecycle::Live => self.refresh_requested || lock(self.lease.client_state()).is_due(),
            // Siblings on a topology fallback cannot wait for an end that may never be seen.
            Lifecycle::Legacy => lock(self.lease.client_state()).has_pending(),
            Lifecycle::Announced => {
                let bookmark = next.filter(|_| self.holds()).and_then(Item::bookmark);
                bookmark.is_some_and(|bookmark| bookmark.ends_initial_events)
            }
            Lifecycle::Object | Lifecycle::ListPage | Lifecycle::Ended => false,
        }
    }

    /// Emits the events that are due.
    pub(super) fn emit_due(&mut self, evaluator: &mut Evaluator, out: &mut Output<'_>) {
        let emitted = match self.lifecycle {
            Lifecycle::Announced => self.emit_held(evaluator, out),
            lifecycle => {
                if lifecycle == Lifecycle::Live && std::mem::take(&mut self.refresh_requested) {
                    collect(&mut lock(self.lease.client_state()), evaluator.rules_mut());
                }
                self.emit_pending(evaluator, out)
            }
        };
        if emitted.is_err() {
            self.expire(evaluator.cluster(), out);
        }
    }

    /// Ends the watch with ERROR, so that its client relists.
    fn expire(&mut self, cluster: &Cluster, out: &mut Output<'_>) {
        write_expired(self.encoding, RELIST, out);
        count(&cluster.live_counters().streams_expired, 1);
        self.lifecycle = Lifecycle::Ended;
        self.expired = true;
        self.lease.mark_relisting();
    }

    /// Emits the slices that were held back among the initial events.
    fn emit_held(
        &mut self,
        evaluator: &mut Evaluator,
        out: &mut Output<'_>,
    ) -> Result<(), OriginalMissing> {
        let (kind, encoding) = (evaluator.kind(), self.encoding);
        let released = self.release(evaluator, |object, edit| {
            write_object(EventType::Added, kind, &Item::stored(object, encoding), edit, out);
        });
        released.map_err(|_| OriginalMissing)
    }

    fn emit_pending(
        &mut self,
        evaluator: &mut Evaluator,
        out: &mut Output<'_>,
    ) -> Result<(), OriginalMissing> {
        let shared = self.lease.client_state().clone();
        let mut client_state = lock(&shared);
        let mut emitted = 0;
        for (id, again) in client_state.take_due() {
            let event = self.next_event(&mut client_state, id, again, evaluator)?;
            let Some(PendingEvent { event_type, original }) = event else { continue };
            let item = Item::stored(&original, self.encoding);
            write_object(event_type, evaluator.kind(), &item, evaluator.edit(), out);
            emitted += 1;
        }
        count(&evaluator.cluster().live_counters().events_refreshed, emitted);
        if emitted > 0
            && self.bookmarks
            && self.lifecycle == Lifecycle::Live
            && client_state.high() != Version::default()
        {
            write_bookmark(evaluator.kind(), self.encoding, client_state.high(), out);
        }
        Ok(())
    }

    /// Returns the event for an object if the client has another form, or if `again`, and records
    /// it as emitted. The evaluator has its edit.
    fn next_event(
        &mut self,
        client_state: &mut ClientState,
        id: u32,
        again: bool,
        evaluator: &mut Evaluator,
    ) -> Result<Option<PendingEvent>, OriginalMissing> {
        // The client went on from before this version: upstream has yet to bring it, to a client
        // that may not have it.
        if client_state.is_ahead(id) {
            return Ok(None);
        }
        let Some(original) = client_state.entry(id).original.clone() else {
            // An object without a Service is in no needed list, and an object without a version
            // cannot be recognised in one.
            let can_be_asked_for = !client_state.service_of(id).is_empty()
                && client_state.entry(id).version != Version::default();
            if self.retention != Retention::Topology || !can_be_asked_for {
                return Err(OriginalMissing);
            }
            client_state.request_original(id, again);
            return Ok(None);
        };
        let item = Item::stored(&original, self.encoding);
        evaluator.read_object(&original, self.encoding).map_err(|_| OriginalMissing)?;
        let evaluation =
            evaluator.evaluate(&item, client_state, Some(id)).map_err(|_| OriginalMissing)?;
        evaluator.key(&original);
        let version = client_state.entry(id).version;
        evaluator.observe(&original, version, &evaluation, client_state);
        let whole = evaluator.watch_form(&item);
        let form = evaluator.form(&item, &whole, &evaluation, client_state);
        client_state.set_view_kind(id, evaluation.judged.view_kind);
        let live = self.lifecycle == Lifecycle::Live;
        let correction = client_state.correct(id, form, again, live);
        if let Some(Correction { stamp, .. }) = correction {
            if stamp != version {
                evaluator.stamp(stamp);
            }
            evaluator.count(&evaluation);
        }
        if !self.keeps(client_state, id, original.len(), &evaluation.judged.keys) {
            client_state.release_original(id, correction.is_some() && live);
        }
        let event = |Correction { copy, .. }| {
            let event_type = match copy {
                _ if form == SentForm::Absent => EventType::Deleted,
                CopyState::Absent => EventType::Added,
                _ if live => EventType::Modified,
                _ => EventType::Added,
            };
            PendingEvent { event_type, original }
        };
        Ok(correction.map(event))
    }

    /// Takes an object of a needed list. It counts only at the version that this stream has read.
    pub(super) fn provide_object(&mut self, object: &[u8], evaluator: &mut Evaluator) {
        if evaluator.read_object(object, self.encoding).is_err() || !evaluator.key(object) {
            return;
        }
        let whole = evaluator.watch_form(&Item::stored(object, self.encoding)).concat();
        let mut client_state = lock(self.lease.client_state());
        client_state.provide(evaluator.last_key(), evaluator.version(object), &whole);
    }
}

//! Emits the events that a client needs after facts changed.

use std::collections::BTreeSet;

use super::affected::collect;
use super::client_session::{
    ClientSession, ResponsePhase, WatchForm, digest, judge, observe, version_of,
};
use super::event::{EventType, write_bookmark, write_expired, write_object};
use super::item::{Event, Item};
use crate::client_state::store::lock;
use crate::client_state::{ClientState, CopyState, SentForm};
use crate::cluster::Cluster;
use crate::cluster::counters::count;
use crate::config::Retention;
use crate::object::outline::{Outline, VersionPlace};
use crate::object::outline_object;
use crate::object::version::Version;
use crate::rewrite::Rules;
use crate::wire::Span;
use crate::wire::splice::{Edit, Output};

/// The message of the ERROR that ends a watch for whose events there are no originals.
const RELIST: &str = "the endpoints that this node may use have changed; list again";

/// An object cannot be emitted, because its original was not kept.
struct OriginalMissing;

impl ClientSession {
    /// Requests a refresh at the next boundary.
    pub(super) fn request_refresh(&mut self) {
        self.refresh_requested = self.key.is_some()
            && matches!(self.phase, ResponsePhase::Initial { .. } | ResponsePhase::Live);
    }

    /// Returns `true` if a refresh may emit events.
    pub(super) fn needs_refresh(&self, cluster: &Cluster) -> bool {
        self.key.is_some()
            && self.phase == ResponsePhase::Live
            && (self.is_due(None)
                || lock(self.lease.client_state()).generation != cluster.generation())
    }

    /// Returns `true` if events have to be emitted before `next`, or now if there is no next item.
    pub(super) fn is_due(&self, next: Option<&Item<'_>>) -> bool {
        match self.phase {
            ResponsePhase::Live => {
                let client_state = lock(self.lease.client_state());
                self.refresh_requested
                    || !client_state.pending.is_empty()
                    || !client_state.repeat.is_empty() && client_state.high != self.repeat_at
            }
            // Siblings on a topology fallback cannot wait for an end that may never be seen.
            ResponsePhase::Initial { announced: false } => {
                !lock(self.lease.client_state()).pending.is_empty()
            }
            ResponsePhase::Initial { announced: true } => {
                let bookmark = next
                    .filter(|item| self.holds() && item.event == Event::Bookmark)
                    .and_then(Item::bookmark);
                bookmark.is_some_and(|bookmark| bookmark.ends_initial_events)
            }
            ResponsePhase::List { .. } | ResponsePhase::Over => false,
        }
    }

    /// Emits the events that are due.
    pub(super) fn emit_due(
        &mut self,
        rule: &mut Rules,
        outline: &mut Outline,
        edit: &mut Edit,
        out: &mut Output<'_>,
    ) {
        if self.phase == (ResponsePhase::Initial { announced: true }) {
            let (kind, encoding) = (self.kind, self.encoding);
            let released = self.release(rule, outline, edit, |object, edit| {
                write_object(
                    EventType::Added,
                    kind,
                    encoding,
                    object,
                    Span::new(0, object.len()),
                    edit,
                    out,
                );
            });
            if released.is_err() {
                self.expire(rule, out);
            }
            return;
        }
        if self.phase == ResponsePhase::Live && std::mem::take(&mut self.refresh_requested) {
            collect(&mut lock(self.lease.client_state()), rule);
        }
        if self.emit_pending(rule, outline, edit, out).is_err() {
            self.expire(rule, out);
        }
    }

    /// Ends the watch with ERROR, so that its client relists.
    fn expire(&mut self, rule: &Rules, out: &mut Output<'_>) {
        write_expired(self.encoding, RELIST, out);
        count(&rule.cluster().live_counters().streams_expired, 1);
        self.phase = ResponsePhase::Over;
        self.expired = true;
        self.lease.mark_relisting();
    }

    fn emit_pending(
        &mut self,
        rule: &mut Rules,
        outline: &mut Outline,
        edit: &mut Edit,
        out: &mut Output<'_>,
    ) -> Result<(), OriginalMissing> {
        let shared = self.lease.client_state().clone();
        let mut client_state = lock(&shared);
        client_state.drop_recent();
        let mut again = BTreeSet::new();
        if client_state.high != self.repeat_at {
            again.append(&mut client_state.repeat);
        }
        let mut pending = std::mem::take(&mut client_state.pending);
        pending.append(&mut again.clone());
        let mut emitted = 0;
        for id in pending {
            emitted += u64::from(self.emit_object(
                &mut client_state,
                id,
                again.contains(&id),
                rule,
                outline,
                edit,
                out,
            )?);
        }
        count(&rule.cluster().live_counters().events_refreshed, emitted);
        if emitted > 0
            && self.bookmarks
            && self.phase == ResponsePhase::Live
            && client_state.high != Version::default()
        {
            write_bookmark(self.kind, self.encoding, client_state.high, out);
        }
        Ok(())
    }

    /// Emits an object if the client has another form, or if `again`. Returns `true` if it emitted.
    #[allow(clippy::too_many_arguments)]
    fn emit_object(
        &mut self,
        client_state: &mut ClientState,
        id: u32,
        again: bool,
        rule: &mut Rules,
        outline: &mut Outline,
        edit: &mut Edit,
        out: &mut Output<'_>,
    ) -> Result<bool, OriginalMissing> {
        // The client went on from before this version: upstream has yet to bring it, to a client
        // that may not have it.
        if client_state.high.is_before(client_state.entry(id).version) {
            return Ok(false);
        }
        let Some(original) = client_state.entry(id).original.clone() else {
            // An object without a Service is in no needed list, and an object without a version
            // cannot be recognised in one.
            let can_be_asked_for = !client_state.service_of(id).is_empty()
                && client_state.entry(id).version != Version::default();
            if self.retention != Retention::Topology || !can_be_asked_for {
                return Err(OriginalMissing);
            }
            if again {
                client_state.entry_mut(id).invalidate_copy();
            }
            client_state.missing.insert(id);
            return Ok(false);
        };
        let item = Item::stored(&original, self.encoding);
        outline_object(self.kind, &mut self.scanner, &original, self.encoding, outline)
            .map_err(|_| OriginalMissing)?;
        let (family, version) = (client_state.entry(id).family, client_state.entry(id).version);
        let judged =
            judge(rule, outline, edit, &original, item.object, client_state, Some(id), family)
                .map_err(|_| OriginalMissing)?;
        self.name.set(
            &outline.optional_text(&original, outline.namespace),
            &outline.optional_text(&original, outline.name),
        );
        observe(
            client_state,
            &self.name,
            rule,
            outline,
            &original,
            family,
            version,
            &judged,
            self.topology_fallback,
        );
        let normal = WatchForm::of(self.kind, self.encoding, &original, outline);
        let form = match judged.filtered_out {
            true => SentForm::Absent,
            false => SentForm::Present(digest(
                client_state,
                &mut self.form,
                &normal,
                &item,
                outline,
                edit,
            )),
        };
        let high = client_state.high;
        client_state.set_view_kind(id, judged.view_kind);
        let entry = client_state.entry_mut(id);
        let (has, live) = (entry.has(), self.phase == ResponsePhase::Live);
        // No event is needed for a filtered-out object that the client does not have.
        let emits = entry.sent != Some(form) || again && form != SentForm::Absent;
        if emits {
            // Above W the client would miss what it has not seen; without a W only the object's own
            // version is safe.
            let stamp = if live && high != Version::default() { high } else { version };
            if let Some(place) = outline.version.filter(|_| stamp != version) {
                write_stamp(edit, place, stamp);
            }
            let same = entry.stamp == stamp || entry.stamp == Version::default();
            entry.emitted(form, stamp, true);
            // A client accepts ADDED and DELETED at any resourceVersion, so that only MODIFIED is
            // repeated. Before the initial events are over `high` is not known, so that
            // it moves when they are.
            if same && has != CopyState::Absent && form != SentForm::Absent {
                client_state.repeat.insert(id);
                self.repeat_at = high;
            }
            rule.count(&judged);
            let event_type = match has {
                _ if form == SentForm::Absent => EventType::Deleted,
                CopyState::Absent => EventType::Added,
                _ if live => EventType::Modified,
                _ => EventType::Added,
            };
            write_object(event_type, self.kind, self.encoding, &original, item.object, edit, out);
        }
        if !self.keeps(client_state, id, original.len(), &judged.keys) {
            // Should the connection break before it arrives, the watch that resumes here owes
            // it once more.
            match emits && live && high != Version::default() {
                true => client_state.keep_recent(id),
                false => client_state.keep(id, None),
            }
        }
        Ok(emits)
    }

    /// Takes an object of a needed list. It counts only at the version that this stream has read.
    pub(super) fn provide_object(&mut self, object: &[u8], outline: &mut Outline) {
        if outline_object(self.kind, &mut self.scanner, object, self.encoding, outline).is_err() {
            return;
        }
        self.name.set(
            &outline.optional_text(object, outline.namespace),
            &outline.optional_text(object, outline.name),
        );
        let mut client_state = lock(self.lease.client_state());
        let Some(id) = client_state.find(&self.name).filter(|id| client_state.missing.contains(id))
        else {
            return;
        };
        if client_state.entry(id).version == version_of(outline, object) {
            let normal = WatchForm::of(self.kind, self.encoding, object, outline).concat();
            client_state.keep(id, Some((b"", &normal)));
            client_state.missing.remove(&id);
            client_state.pending.insert(id);
        }
    }
}

/// Writes another version into an object.
fn write_stamp(edit: &mut Edit, place: VersionPlace, stamp: Version) {
    let stamp = stamp.to_string();
    let Some((length, metadata_length, metadata)) = place.lengths else {
        return edit.replace(place.text, stamp.as_bytes());
    };
    let mut text = vec![stamp.len() as u8];
    text.extend_from_slice(stamp.as_bytes());
    let before = Span::new(length.start, place.text.end);
    edit.replace_length(metadata_length, metadata.len() - before.len() + text.len());
    edit.replace(before, &text);
}

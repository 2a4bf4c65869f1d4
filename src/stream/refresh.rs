//! Telling a client what a change of facts makes of objects that it has.

use std::collections::BTreeSet;

use super::affected::collect;
use super::event::{Tells, write_bookmark, write_expired, write_object};
use super::follow::{Follow, Normal, Phase, digest, judge, see, version_of};
use super::unit::{Event, Unit};
use crate::cluster::Cluster;
use crate::cluster::counters::count;
use crate::cluster::fact::write_service_key;
use crate::config::Retention;
use crate::ledger::shelf::lock;
use crate::ledger::{Form, Has, Ledger};
use crate::object::outline::{Outline, VersionPlace};
use crate::object::outline_object;
use crate::object::version::Version;
use crate::rewrite::Rules;
use crate::wire::Span;
use crate::wire::splice::{Edit, Output};

/// The message of the ERROR that ends a watch whose client cannot be told otherwise.
const LIST_AGAIN: &str = "what this node may use has changed: list again";

/// An object cannot be said, because its original was not kept.
struct NotKept;

impl Follow {
    /// A refresh is wanted as soon as it can be done.
    pub(super) fn ask(&mut self) {
        self.asked =
            self.key.is_some() && matches!(self.phase, Phase::Initial { .. } | Phase::Live);
    }

    /// Whether a refresh would have something to look at.
    pub(super) fn is_behind(&self, cluster: &Cluster) -> bool {
        self.key.is_some()
            && self.phase == Phase::Live
            && (self.due(None) || lock(self.lease.ledger()).generation != cluster.generation())
    }

    /// Whether something is to be said before `next` passes, or now if nothing comes.
    pub(super) fn due(&self, next: Option<&Unit<'_>>) -> bool {
        match self.phase {
            Phase::Live => {
                let ledger = lock(self.lease.ledger());
                self.asked
                    || !ledger.owed.is_empty()
                    || !ledger.repeat.is_empty() && ledger.high != self.repeat_at
            }
            // Siblings on a ladder cannot wait for an end that may never be seen.
            Phase::Initial { announced: false } => !lock(self.lease.ledger()).owed.is_empty(),
            Phase::Initial { announced: true } => {
                let bookmark = next
                    .filter(|unit| self.holds() && unit.event == Event::Bookmark)
                    .and_then(Unit::bookmark);
                bookmark.is_some_and(|bookmark| bookmark.ends_initial_events)
            }
            Phase::List { .. } | Phase::Over => false,
        }
    }

    /// Says what is due.
    pub(super) fn speak(
        &mut self,
        rule: &mut Rules,
        outline: &mut Outline,
        edit: &mut Edit,
        out: &mut Output<'_>,
    ) {
        if self.phase == (Phase::Initial { announced: true }) {
            let (kind, encoding) = (self.kind, self.encoding);
            let released = self.release(rule, outline, edit, |object, edit| {
                write_object(
                    Tells::Added,
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
        if self.phase == Phase::Live && std::mem::take(&mut self.asked) {
            collect(&mut lock(self.lease.ledger()), rule);
        }
        if self.say_owed(rule, outline, edit, out).is_err() {
            self.expire(rule, out);
        }
    }

    /// Ends the watch by telling its client to list again.
    fn expire(&mut self, rule: &Rules, out: &mut Output<'_>) {
        write_expired(self.encoding, LIST_AGAIN, out);
        count(&rule.cluster().tally().streams_expired, 1);
        self.phase = Phase::Over;
        self.expired = true;
        self.lease.is_past();
    }

    fn say_owed(
        &mut self,
        rule: &mut Rules,
        outline: &mut Outline,
        edit: &mut Edit,
        out: &mut Output<'_>,
    ) -> Result<(), NotKept> {
        let shared = self.lease.ledger().clone();
        let mut ledger = lock(&shared);
        ledger.drop_recent();
        let mut again = BTreeSet::new();
        if ledger.high != self.repeat_at {
            again.append(&mut ledger.repeat);
        }
        let mut owed = std::mem::take(&mut ledger.owed);
        owed.append(&mut again.clone());
        let mut said = 0;
        for id in owed {
            said += u64::from(self.say(
                &mut ledger,
                id,
                again.contains(&id),
                rule,
                outline,
                edit,
                out,
            )?);
        }
        count(&rule.cluster().tally().events_refreshed, said);
        if said > 0
            && self.bookmarks
            && self.phase == Phase::Live
            && ledger.high != Version::default()
        {
            write_bookmark(self.kind, self.encoding, ledger.high, out);
        }
        Ok(())
    }

    /// Says an object, if the client does not have it so; `again` even if. True if it was said.
    #[allow(clippy::too_many_arguments)]
    fn say(
        &mut self,
        ledger: &mut Ledger,
        id: u32,
        again: bool,
        rule: &mut Rules,
        outline: &mut Outline,
        edit: &mut Edit,
        out: &mut Output<'_>,
    ) -> Result<bool, NotKept> {
        // The client went on from before this version: upstream has yet to bring it, to a client
        // that may not have it.
        if ledger.high.is_before(ledger.entry(id).version) {
            return Ok(false);
        }
        let Some(original) = ledger.entry(id).original.clone() else {
            // What is not of a Service cannot be asked for by one, and of what has no version it
            // cannot be told whether it came.
            let can_be_asked_for =
                !ledger.service_of(id).is_empty() && ledger.entry(id).version != Version::default();
            if self.retention != Retention::Topology || !can_be_asked_for {
                return Err(NotKept);
            }
            if again {
                ledger.entry_mut(id).forget_sent();
            }
            ledger.missing.insert(id);
            return Ok(false);
        };
        let unit = Unit::stored(&original, self.encoding);
        outline_object(self.kind, &mut self.scanner, &original, self.encoding, outline)
            .map_err(|_| NotKept)?;
        let (family, version) = (ledger.entry(id).family, ledger.entry(id).version);
        let judged = judge(rule, outline, edit, &original, unit.object, ledger, Some(id), family)
            .map_err(|_| NotKept)?;
        write_service_key(
            &mut self.name,
            &outline.optional_text(&original, outline.namespace),
            &outline.optional_text(&original, outline.name),
        );
        see(ledger, &self.name, rule, outline, &original, family, version, &judged, self.ladders);
        let normal = Normal::of(self.kind, self.encoding, &original, outline);
        let form = match judged.hidden {
            true => Form::None,
            false => Form::Digest(digest(ledger, &mut self.form, &normal, &unit, outline, edit)),
        };
        let high = ledger.high;
        ledger.set_lens(id, judged.lens);
        let entry = ledger.entry_mut(id);
        let (has, live) = (entry.has(), self.phase == Phase::Live);
        // No event is needed for a hidden object that the client does not have.
        let says = entry.sent != Some(form) || again && form != Form::None;
        if says {
            // Above W the client would miss what it has not seen; without a W only the object's own
            // version is safe.
            let stamp = if live && high != Version::default() { high } else { version };
            if let Some(place) = outline.version.filter(|_| stamp != version) {
                write_stamp(edit, place, stamp);
            }
            let same = entry.stamp == stamp || entry.stamp == Version::default();
            entry.said(form, stamp, true);
            // A client accepts ADDED and DELETED at any resourceVersion, so that only MODIFIED is
            // repeated. Before the initial events are over `high` is not known, so that
            // it moves when they are.
            if same && has != Has::No && form != Form::None {
                ledger.repeat.insert(id);
                self.repeat_at = high;
            }
            rule.tell(&judged);
            let tells = match has {
                _ if form == Form::None => Tells::Deleted,
                Has::No => Tells::Added,
                _ if live => Tells::Modified,
                _ => Tells::Added,
            };
            write_object(tells, self.kind, self.encoding, &original, unit.object, edit, out);
        }
        if !self.keeps(ledger, id, original.len(), &judged.keys) {
            // Should the connection break before it arrives, the watch that goes on from here owes
            // it once more.
            match says && live && high != Version::default() {
                true => ledger.keep_recent(id),
                false => ledger.keep(id, None),
            }
        }
        Ok(says)
    }

    /// Takes an object that was asked for. It counts at the version that upstream was seen to have.
    pub(super) fn supply(&mut self, object: &[u8], outline: &mut Outline) {
        if outline_object(self.kind, &mut self.scanner, object, self.encoding, outline).is_err() {
            return;
        }
        write_service_key(
            &mut self.name,
            &outline.optional_text(object, outline.namespace),
            &outline.optional_text(object, outline.name),
        );
        let mut ledger = lock(self.lease.ledger());
        let Some(id) = ledger.find(&self.name).filter(|id| ledger.missing.contains(id)) else {
            return;
        };
        if ledger.entry(id).version == version_of(outline, object) {
            let normal = Normal::of(self.kind, self.encoding, object, outline).concat();
            ledger.keep(id, Some((b"", &normal)));
            ledger.missing.remove(&id);
            ledger.owed.insert(id);
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

//! The verbs of the protocol: what the client receives, what it lacks, and where it resumes.

use std::collections::BTreeSet;

use super::ClientState;
use super::entry::{CopyState, Correction, Followup, SentForm};
use crate::object::version::Version;

impl ClientState {
    /// The generation of facts up to which changes were looked at.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The changes of facts up to `generation` were looked at.
    pub(crate) fn looked_at(&mut self, generation: u64) {
        self.generation = generation;
    }

    /// The client may hold these objects in another form than it should.
    pub(crate) fn invalidate(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.pending.extend(ids);
    }

    /// The object is seen again as it was when it was sent, so that its original is not needed.
    pub(crate) fn restore(&mut self, id: u32) {
        self.missing.remove(&id);
    }

    /// The client receives an event of the API server at `version`.
    pub(crate) fn advance(&mut self, version: Version) {
        self.high = self.high.later(version);
    }

    /// The initial events are over at `version`: a watch may resume from here on.
    pub(crate) fn begin_at(&mut self, version: Version) {
        (self.floor, self.high) = (version, version);
    }

    /// A list, or a page of one, ended at `version`.
    pub(crate) fn listed_at(&mut self, version: Version, is_first_page: bool) {
        if is_first_page {
            self.floor = version;
        }
        self.high = self.floor;
    }

    /// The version up to which everything was sent or suppressed; unknown before the initial events
    /// are over.
    pub(crate) fn high(&self) -> Version {
        self.high
    }

    /// The list that it begins with may be one of a client of which nothing is known.
    pub(crate) fn doubt_beginning(&mut self, is_in_doubt: bool) {
        self.began_in_doubt |= is_in_doubt;
    }

    /// The client receives this form of an object in an event of the API server at `version`.
    pub(crate) fn received(
        &mut self,
        id: u32,
        form: SentForm,
        version: Version,
        followup: Followup,
    ) {
        self.entry_mut(id).emitted(form, version, false);
        self.settled(id);
        match followup {
            Followup::Nothing => {}
            Followup::Repeat => drop(self.repeat.insert(id)),
            Followup::Check => drop(self.pending.insert(id)),
        }
    }

    /// An event was suppressed: the client's copy is right.
    pub(crate) fn suppressed(&mut self, id: u32) {
        self.pending.remove(&id);
    }

    /// An object is held back.
    pub(crate) fn hold(&mut self, id: u32) {
        self.settled(id);
        self.entry_mut(id).sent = None;
    }

    /// An object that was held back is emitted.
    pub(crate) fn released(&mut self, id: u32, form: SentForm, repeats: bool) {
        let entry = self.entry_mut(id);
        entry.emitted(form, entry.version, false);
        if repeats {
            self.repeat.insert(id);
        }
    }

    /// Returns `true` if the client's copy of an object may be wrong.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Returns `true` if events may be due.
    pub(crate) fn is_due(&self) -> bool {
        self.has_pending() || !self.repeat.is_empty() && self.high != self.repeated_at
    }

    /// Returns the objects whose events may be due, and for each whether its event is due even if
    /// the copy is right. They are no longer pending.
    pub(crate) fn take_due(&mut self) -> Vec<(u32, bool)> {
        self.drop_recent();
        let mut repeated = BTreeSet::new();
        if self.high != self.repeated_at {
            repeated.append(&mut self.repeat);
        }
        let pending = std::mem::take(&mut self.pending);
        pending.union(&repeated).map(|&id| (id, repeated.contains(&id))).collect()
    }

    /// Returns `true` if the client resumed before the version of the object, which the API server
    /// is going to send.
    pub(crate) fn is_ahead(&self, id: u32) -> bool {
        self.high.is_before(self.entry(id).version)
    }

    /// Requests the original of a pending object.
    pub(crate) fn request_original(&mut self, id: u32, repeats: bool) {
        if repeats {
            self.entry_mut(id).invalidate_copy();
        }
        self.missing.insert(id);
    }

    /// Returns the Services with objects whose originals are requested.
    pub(crate) fn requested_services(&self) -> BTreeSet<&[u8]> {
        self.missing.iter().map(|&id| self.service_of(id)).collect()
    }

    /// Takes a requested original. Does nothing if it was not requested, or not at this version.
    pub(crate) fn provide(&mut self, name: &[u8], version: Version, original: &[u8]) {
        let id = self.find(name).filter(|id| self.missing.contains(id));
        let Some(id) = id.filter(|&id| self.entry(id).version == version) else { return };
        self.keep(id, Some((b"", original)));
        self.missing.remove(&id);
        self.pending.insert(id);
    }

    /// Returns `true` if the object is to be emitted again.
    pub(crate) fn is_repeated(&self, id: u32) -> bool {
        self.repeat.contains(&id)
    }

    /// Records the event that gives the client this form of an object; `None` if it needs none.
    /// `live`: the initial events are over.
    pub(crate) fn correct(
        &mut self,
        id: u32,
        form: SentForm,
        repeats: bool,
        live: bool,
    ) -> Option<Correction> {
        let high = self.high;
        let entry = self.entry_mut(id);
        // No event is needed for a filtered-out object that the client does not have.
        if entry.sent == Some(form) && (!repeats || form == SentForm::Absent) {
            return None;
        }
        let copy = entry.has();
        // Above W the client would miss what it has not seen; without a W only the object's own
        // version is safe (R1, R2, R4).
        let stamp = if live && high != Version::default() { high } else { entry.version };
        let same = entry.stamp == stamp || entry.stamp == Version::default();
        entry.emitted(form, stamp, true);
        // A client accepts ADDED and DELETED at any resourceVersion, so that only MODIFIED is
        // repeated. Before the initial events are over `high` is not known, so that it moves when
        // they are.
        if same && copy != CopyState::Absent && form != SentForm::Absent {
            self.repeat.insert(id);
            self.repeated_at = high;
        }
        Some(Correction { copy, stamp })
    }

    /// Lets the original of an object go that was looked at. `emitted`: in a live event, which may
    /// not arrive if the connection breaks; then the watch that resumes here emits it once more, so
    /// that the original stays until `high` moves.
    pub(crate) fn release_original(&mut self, id: u32, emitted: bool) {
        if emitted && self.high != Version::default() {
            self.keep_recent(id);
        } else {
            self.keep(id, None);
        }
    }

    /// The client has the object as the API server sent it: nothing is pending.
    pub(super) fn settled(&mut self, id: u32) {
        self.pending.remove(&id);
        self.repeat.remove(&id);
    }

    /// The object was emitted by a refresh: its original stays until `high` moves.
    fn keep_recent(&mut self, id: u32) {
        self.drop_recent();
        self.recent_at = self.high;
        self.recent.insert(id);
    }

    /// Drops the originals that [`ClientState::keep_recent`] kept, if `high` has moved.
    fn drop_recent(&mut self) {
        if self.recent_at == self.high {
            return;
        }
        for id in std::mem::take(&mut self.recent) {
            // An object that passed since then was kept, or not, at that moment.
            if self.entry(id).synthetic && !self.pending.contains(&id) && !self.repeat.contains(&id)
            {
                self.keep(id, None);
            }
        }
    }

    /// Resumes at `start`: marks copies that may not have arrived as unknown. An object is pending
    /// if the API server will not send it again.
    pub(crate) fn resume_at(&mut self, start: Version) {
        for id in self.names.values() {
            let entry = &mut self.entries[*id];
            if !entry.version.is_covered_by(start) {
                entry.invalidate_copy();
                self.pending.remove(id);
            } else if entry.known_at(start).is_none() {
                entry.invalidate_copy();
                self.pending.insert(*id);
            }
        }
        self.forget_view_kinds();
        (self.floor, self.high, self.repeated_at) = (start, start, Version::default());
    }

    /// The client's copy of every object is unknown, so that every object is pending.
    pub(crate) fn invalidate_copy(&mut self) {
        self.forget_view_kinds();
        for id in self.names.values() {
            self.entries[*id].invalidate_copy();
            self.pending.insert(*id);
        }
    }
}

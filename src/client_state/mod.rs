//! The state of one client: for each object its original, a digest of the form that was sent, and
//! the resourceVersion under which the client has it. It lives across a list, its watch and
//! reconnects.
//!
//! The client's copy of one object, and the verbs that change it:
//!
//! ```text
//!                    received(Present)                     correct(Absent), received(Absent)
//!   +-----------+ ---------------------> +---------+ ------------------------> +--------+
//!   |  unknown  |                        | present |                           | absent |
//!   +-----------+ <--------------------- +---------+ <------------------------ +--------+
//!     ^       ^      resume_at, hold         | ^     received, correct(Present)    |
//!     |       |                   suppressed | | correct(other form)               |
//!     |       |                              +-+                                   |
//!     |       +---- resume_at: the event that made it absent may not have arrived -+
//!     +------------ merge of two states that do not agree
//! ```
//!
//! The verbs are in `protocol.rs`. Beside the copy, an object may be *pending* (its form at the
//! client may be wrong: `invalidate`, `resume_at`), *missing* (it is pending, and its original has
//! to be requested), or due to be *repeated* (the client may have taken its last event for a
//! resync, R3). `take_due` returns the objects whose events are due, and `correct` records each
//! event.

mod entry;
mod group;
mod groups;
mod index;
mod protocol;
mod saved;
mod slots;
pub(crate) mod store;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::hash::BuildHasher;

pub(crate) use self::entry::{CopyState, Correction, EmittedForms, Followup, Original, SentForm};
use self::entry::{ObjectState, OrderSums, Place, bit};
pub(crate) use self::group::FAMILIES;
use self::group::Group;
use self::index::Index;
use self::slots::Slots;
use crate::hash::{HashMap, HashSet};
use crate::object::version::Version;
use crate::topology::fallback::Condition;
use crate::topology::names::{Names, Seeds};

/// Seeded once for a session store, so that digests of two client states can be compared, and so
/// that a process which continues can compare its own with them.
pub(crate) type Digests = foldhash::quality::FixedState;

/// The state of one client.
#[derive(Debug, Clone)]
pub(crate) struct ClientState {
    entries: Slots<ObjectState>,
    names: Names<u32>,
    services: Index,
    /// Only of objects whose Service asks for the pool, and with topology fallbacks of all: for no
    /// other the node matters later.
    nodes: Index,
    /// With topology fallbacks: what the objects of each Service, by its number, have usable in
    /// each family.
    groups: HashMap<(u32, u8), Group>,
    topology_fallback: bool,
    /// Buffers.
    places: Vec<Place>,
    hashes: Vec<u64>,
    /// Bytes of originals.
    retained: usize,
    digests: Digests,
    /// The client's past is known from here on: no watch that begins before can be continued.
    floor: Version,
    /// Everything up to here was sent to the client or suppressed (B4.5). Unknown until the
    /// initial events are over.
    high: Version,
    /// It knows of several clients that have to relist, whose versions may leave gaps.
    is_merged: bool,
    /// The list that it begins with was given to a client of which nothing may be known.
    began_in_doubt: bool,
    /// Changes of facts up to this generation were looked at.
    generation: u64,
    /// Objects of which the client may hold another form than it should.
    pending: BTreeSet<u32>,
    /// Objects that were emitted under the version at which the client had them. Some clients treat
    /// such an event as a resync, so that the object is emitted again when `high` moves (R3).
    repeat: BTreeSet<u32>,
    /// Where `high` stood when a refresh last emitted an object that is to be repeated.
    repeated_at: Version,
    /// Pending objects whose originals have to be requested.
    missing: BTreeSet<u32>,
    /// Objects that were emitted by a refresh at `recent_at`, whose originals are kept until `high`
    /// moves: the connection may break before they arrive, and the watch that resumes
    /// there owes them again.
    recent: BTreeSet<u32>,
    recent_at: Version,
    /// Objects of a kind that may be filtered out which are gone and were given: a client that
    /// continues from before may have them, and is sent their events again.
    gone: HashSet<Box<[u8]>>,
}

/// How many names of objects that are gone are remembered.
const MAX_GONE: usize = 4096;

/// An object as the API server sent it.
pub(crate) struct Observed<'a, I, R> {
    /// `namespace/name`.
    pub(crate) name: &'a [u8],
    /// The key of its Service, empty for none.
    pub(crate) service: &'a [u8],
    pub(crate) family: u8,
    pub(crate) version: Version,
    /// Its endpoints, with the name of the node as it is written; empty if where they are does not
    /// matter.
    pub(crate) endpoints: I,
    /// Returns the name that is written so, borrowed if it is what is written.
    pub(crate) resolve: R,
}

impl ClientState {
    pub(crate) fn new(digests: Digests, generation: u64, topology_fallback: bool) -> ClientState {
        ClientState {
            entries: Slots::default(),
            names: Names::default(),
            services: Index::default(),
            nodes: Index::default(),
            groups: HashMap::default(),
            topology_fallback,
            places: Vec::new(),
            hashes: Vec::new(),
            retained: 0,
            digests,
            floor: Version::default(),
            high: Version::default(),
            is_merged: false,
            began_in_doubt: false,
            generation,
            pending: BTreeSet::new(),
            repeat: BTreeSet::new(),
            repeated_at: Version::default(),
            missing: BTreeSet::new(),
            recent: BTreeSet::new(),
            recent_at: Version::default(),
            gone: HashSet::default(),
        }
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<u32> {
        self.names.get(name).copied()
    }

    pub(crate) fn entry(&self, id: u32) -> &ObjectState {
        &self.entries[id]
    }

    fn entry_mut(&mut self, id: u32) -> &mut ObjectState {
        &mut self.entries[id]
    }

    /// The objects of a Service.
    pub(crate) fn of_service(&mut self, key: &[u8]) -> &[u32] {
        self.services.find(key)
    }

    /// The objects with endpoints on a node, as far as that matters.
    pub(crate) fn on_node(&mut self, node: &[u8]) -> &[u32] {
        self.nodes.find(node)
    }

    /// The key of the Service that an object belongs to; empty for none.
    pub(crate) fn service_of(&self, id: u32) -> &[u8] {
        self.entry(id).service.map_or(&[], |service| self.services.name(service))
    }

    /// The objects of which facts may decide.
    pub(crate) fn depending(&self) -> impl Iterator<Item = u32> {
        self.names.values().copied().filter(|&id| self.entry(id).view_kind.is_of_pool())
    }

    /// Returns whether the client has an object of that name. It cannot have one that was never
    /// sent.
    pub(crate) fn has(&self, name: &[u8]) -> CopyState {
        match self.find(name) {
            Some(id) => self.entry(id).has(),
            None if self.gone.contains(name) => CopyState::Unknown,
            None => CopyState::Absent,
        }
    }

    /// Every Service that an object belongs to.
    pub(crate) fn services(&self) -> impl Iterator<Item = &[u8]> {
        self.services.names()
    }

    /// In which forms its client may have the object of that name under `version`.
    pub(crate) fn forms_under(&self, name: &[u8], version: Version) -> EmittedForms {
        match self.find(name) {
            Some(id) => self.entry(id).forms_under(version),
            // It knew of everything that there was up to `high`, so that this object was there and
            // went, and the list that has it is older.
            None if version.is_covered_by(self.high) => EmittedForms::Any,
            None => EmittedForms::None,
        }
    }

    /// The form in which the object of that name was given last, if it certainly arrived before a
    /// watch that resumes here.
    pub(crate) fn last_form_of(&self, name: &[u8]) -> EmittedForms {
        match self.find(name).map(|id| self.entry(id)) {
            None if self.gone.contains(name) => EmittedForms::Any,
            None => EmittedForms::None,
            Some(ObjectState {
                sent: Some(SentForm::Present(digest)), synthetic: false, ..
            }) => EmittedForms::One(*digest),
            Some(_) => EmittedForms::Any,
        }
    }

    /// Up to which version its client may have come.
    pub(crate) fn reach(&self) -> Version {
        let versions = self.names.values().map(|&id| self.entry(id).version);
        if self.high == Version::default() {
            versions.fold(self.high, Version::later)
        } else {
            self.high
        }
    }

    /// Records an object as the API server sent it, without its original. Returns its number.
    pub(crate) fn observe<'a>(
        &mut self,
        seen: Observed<
            'a,
            impl Iterator<Item = (Option<&'a [u8]>, Condition)> + Clone,
            impl Fn(&'a [u8]) -> Cow<'a, [u8]>,
        >,
    ) -> u32 {
        let id = match self.find(seen.name) {
            Some(id) => id,
            None => self.add(seen.name),
        };
        self.missing.remove(&id);
        self.uncount(id);
        let service = (!seen.service.is_empty()).then(|| self.services.intern(seen.service));
        let before = std::mem::replace(&mut self.entry_mut(id).service, service);
        if before != service {
            // In before out, so that a name that stays mentioned keeps its number.
            if let Some(service) = service {
                self.services.link(service, id);
            }
            if let Some(before) = before {
                self.unlink_service(before, id);
            }
        }
        let (mut order, mut conditions) = (OrderSums::default(), 0);
        let (seeds, mut hashes) = (Seeds::of_process(), std::mem::take(&mut self.hashes));
        hashes.clear();
        for (node, condition) in seen.endpoints.clone() {
            let bit = bit(condition);
            conditions |= bit;
            if let Some(node) = node {
                let hash = seeds.hash(node);
                order.add(hash, bit);
                hashes.push(hash);
            }
        }
        if self.entry(id).order != Some(order) || self.entry(id).places.len() != hashes.len() {
            let nodes = seen
                .endpoints
                .filter_map(|(node, condition)| Some((node?, bit(condition))))
                .zip(&hashes)
                .map(|((node, bit), &hash)| (node, hash, bit));
            self.find_places(id, nodes, seen.resolve);
        }
        self.hashes = hashes;
        let entry = self.entry_mut(id);
        (entry.conditions, entry.order) = (conditions, Some(order));
        entry.family = seen.family;
        entry.seen_at(seen.version);
        if self.topology_fallback {
            self.count_later(id);
        }
        id
    }

    /// Records the places of an object's endpoints, each with its node as it is written and the
    /// hash of that.
    fn find_places<'a>(
        &mut self,
        id: u32,
        nodes: impl Iterator<Item = (&'a [u8], u64, u8)>,
        resolve: impl Fn(&'a [u8]) -> Cow<'a, [u8]>,
    ) {
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        let (before, mut at) = (&self.entries[id].places, 0);
        for (node, hash, bit) in nodes {
            // Most endpoints stand where they stood, or one place on where another was: looking
            // there is cheaper than by name.
            let stood = (at..before.len().min(at + 2))
                .find(|&at| self.nodes.hash(before[at].node()) == hash);
            let number = match stood {
                Some(at) => before[at].node(),
                None => match resolve(node) {
                    Cow::Borrowed(name) => self.nodes.intern_hashed(name, hash),
                    Cow::Owned(name) => self.nodes.intern(&name),
                },
            };
            at = stood.map_or(at, |stood| stood + 1);
            places.push(Place::new(number, bit));
        }
        self.place(id, &places);
        self.places = places;
    }

    /// Keeps the original of an object, `head` and `tail` together, or none.
    pub(crate) fn keep(&mut self, id: u32, original: Option<(&[u8], &[u8])>) {
        let kept = &mut self.entries[id].original;
        self.retained -= kept.as_ref().map_or(0, |kept| kept.len());
        let Some((head, tail)) = original else {
            *kept = None;
            return;
        };
        self.retained += head.len() + tail.len();
        match kept {
            Some(kept) => kept.replace(head, tail),
            None => *kept = Some(Original::of(head, tail)),
        }
    }

    /// Lets the originals go that nothing is to be emitted from when its client comes back. Returns
    /// the bytes of the others.
    pub(crate) fn keep_what_is_due(&mut self) -> usize {
        let due: BTreeSet<u32> = self.pending.union(&self.repeat).copied().collect();
        let kept = |id: &u32| self.entries[*id].original.take().map(|original| (*id, original));
        let originals: Vec<_> = due.iter().filter_map(kept).collect();
        self.keep_no_originals();
        for (id, original) in originals {
            self.retained += original.len();
            self.entries[id].original = Some(original);
        }
        self.retained
    }

    /// Lets all originals go.
    pub(crate) fn keep_no_originals(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.original = None);
        self.retained = 0;
    }

    /// Bytes of originals kept.
    pub(crate) fn retained(&self) -> usize {
        self.retained
    }

    /// Forgets an object, which is gone. `notes`: but not that it was given.
    pub(crate) fn remove(&mut self, name: &[u8], notes: bool) {
        let Some(id) = self.names.remove(name) else { return };
        if notes && self.entry(id).given {
            self.gone.insert(name.into());
            self.bound_gone();
        }
        self.keep(id, None);
        self.uncount(id);
        self.place(id, &[]);
        if let Some(service) = self.entry_mut(id).service.take() {
            self.unlink_service(service, id);
        }
        self.settled(id);
        self.missing.remove(&id);
        self.entries.free(id);
    }

    /// Puts what the client of an older client state may hold beside what this one's may. Nothing
    /// continues from either. Returns whether something had to be forgotten, so that nothing is
    /// known of clients up to [`ClientState::reach`].
    pub(crate) fn merge(&mut self, older: &ClientState) -> bool {
        self.agree(older, self.high);
        self.is_merged = true;
        self.floor = if older.floor.is_before(self.floor) { older.floor } else { self.floor };
        let forgets = self.gone.len() > MAX_GONE;
        if forgets {
            self.gone.clear();
        }
        forgets
    }

    /// How many objects it knows of.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Forgets what is gone if it has become too much: of a client from before it is not known any
    /// more what it has.
    fn bound_gone(&mut self) {
        if self.gone.len() > MAX_GONE {
            self.gone.clear();
            self.floor = self.high;
        }
    }

    /// A digest of a form of an object.
    pub(crate) fn digest(&self, form: &[u8]) -> u64 {
        self.digests.hash_one(form)
    }

    /// The client of a watch that begins at `start` may be that of `other`. On what the two do not
    /// agree is not known, and owed unless upstream is going to bring it.
    pub(crate) fn agree(&mut self, other: &ClientState, start: Version) {
        self.forget_view_kinds();
        self.gone.extend(other.gone.iter().cloned());
        for (name, &id) in &self.names {
            let entry = &mut self.entries[id];
            let their_id = other.find(name);
            let theirs = their_id.map(|id| other.entry(id));
            entry.under_own_version =
                entry.under_own_version.and(other.forms_under(name, entry.version));
            if their_id.is_some_and(|id| other.repeat.contains(&id)) {
                self.repeat.insert(id);
            }
            entry.given |= theirs.map_or(other.gone.contains(name), |theirs| theirs.given);
            match theirs {
                Some(theirs) if theirs.version.is_covered_by(start) => {
                    if entry.sent != theirs.known_at(start) {
                        entry.invalidate_copy();
                        self.pending.insert(id);
                    } else if entry.stamp != theirs.stamp {
                        entry.stamp = Version::default();
                    }
                }
                // It changed since, or went.
                _ => entry.invalidate_copy(),
            }
        }
    }

    fn add(&mut self, name: &[u8]) -> u32 {
        // An earlier object of that name may still be at the client.
        let id = self.entries.add(ObjectState::new(self.gone.remove(name)));
        self.names.insert(name.into(), id);
        id
    }

    /// The object's endpoints are on these nodes.
    fn place(&mut self, id: u32, places: &[Place]) {
        let before = std::mem::take(&mut self.entry_mut(id).places);
        if before.is_empty() {
            for place in places {
                self.nodes.link_once(place.node(), id);
            }
            self.entry_mut(id).places = places.to_vec();
            return;
        }
        // Versions of an object differ little: what they begin and end with is the same.
        let same = |(one, other): (&Place, &Place)| one.node() == other.node();
        let start = before.iter().zip(places).take_while(|pair| same(*pair)).count();
        let (old, new) = (&before[start..], &places[start..]);
        let end = old.iter().rev().zip(new.iter().rev()).take_while(|pair| same(*pair)).count();
        let (old, new) = (nodes(&old[..old.len() - end]), nodes(&new[..new.len() - end]));
        let is_in = |places: &[Place], node: u32| places.iter().any(|place| place.node() == node);
        let ends = [&before[..start], &before[before.len() - end..]];
        // In before out, so that a name that stays mentioned keeps its number.
        for &node in new.iter().filter(|node| old.binary_search(node).is_err()) {
            if !ends.iter().any(|end| is_in(end, node)) {
                self.nodes.link(node, id);
            }
        }
        for &node in old.iter().filter(|node| new.binary_search(node).is_err()) {
            if !ends.iter().any(|end| is_in(end, node)) {
                self.nodes.unlink(node, id);
            }
        }
        let mut kept = if places.is_empty() { Vec::new() } else { before };
        kept.clear();
        kept.extend_from_slice(places);
        self.entry_mut(id).places = kept;
    }
}

/// Every node once, sorted.
fn nodes(places: &[Place]) -> Vec<u32> {
    let mut nodes: Vec<u32> = places.iter().map(|place| place.node()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

#[cfg(test)]
mod tests;

//! Client states between two responses: where the watch that follows a list, or a watch that broke
//! off, finds its own.
//!
//! A stream holds its client state by a [`Lease`], and gives it back by dropping that. Client
//! states are found by their key, so that opening a stream does not look at the streams of other
//! keys, and at no more than [`MAX_COMPARED`] of its own.

pub(crate) mod saved;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use super::{ClientState, Digests, EmittedForms};
use crate::hash::{HashMap, RandomState};
use crate::object::SubjectKind;
use crate::object::selection::Selection;
use crate::object::version::Version;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::wire::encoding::Encoding;

/// A client state in use by one stream, or by none.
pub(crate) type SharedState = Arc<Mutex<ClientState>>;

/// No method of a client state panics half-way through a change, so a poisoned lock still holds a
/// whole one.
pub(crate) fn lock(client_state: &SharedState) -> MutexGuard<'_, ClientState> {
    client_state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks the session store. Locks are taken in this order: session store, client state, facts.
pub(crate) fn lock_sessions(sessions: &Mutex<SessionStore>) -> MutexGuard<'_, SessionStore> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The properties that two responses share if one resumes where the other stopped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) node: Box<[u8]>,
    pub(crate) kind: SubjectKind,
    pub(crate) selection: Selection,
    pub(crate) encoding: Encoding,
    /// Only metadata was asked for: such a client holds nothing that could be pending.
    pub(crate) metadata_only: bool,
    /// The path before the API root, which may lead to another cluster.
    pub(crate) prefix: Box<str>,
    /// The User-Agent: two programs on one node do not resume each other's state.
    pub(crate) client: Box<str>,
}

/// How many unused client states of each stage may be for one key. A client that lists and does not
/// watch leaves one behind each time.
const PER_KEY: usize = 4;

/// How many unused client states may be at all, and how many keys whose clients are in doubt.
const CAPACITY: usize = 1024;

/// How many client states of one key that are in use are looked at. Where more are, nothing is
/// taken for known of a client that cannot be told from theirs.
const MAX_COMPARED: usize = 16;

/// Up to how many objects the client state of a list is copied from page to page.
const MAX_COPIED: usize = 4096;

/// The size of an object without its original, about. The bound on bytes divided by it is that on
/// the objects of unused client states.
const BYTES_PER_OBJECT: usize = 512;

/// The least bound on these objects.
const MIN_OBJECTS: usize = 1 << 16;

/// Bytes of originals that unused client states may keep, whatever the limit, of objects that are
/// due to their clients when these come back.
const MAX_DUE: usize = 64 << 20;

/// How the next response can use a stored client state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A watch may resume it.
    Ready,
    /// The page with this token continues the list.
    Page(String),
    /// Initial events without an announced end: the client keeps them one by one.
    Initial,
    /// Its client has to relist. The state is kept for comparison until the client has listed.
    Past,
}

/// Client states by session key.
#[derive(Debug)]
pub(crate) struct SessionStore {
    slots: HashMap<u64, Slot>,
    /// The client states of each key, the latest last.
    keys: HashMap<Arc<Key>, OfKey>,
    /// Client states that no stream uses, in the order in which they were given back.
    unused: BTreeSet<(u64, u64)>,
    /// Bytes of originals of these.
    retained: usize,
    /// Counts client states, and whatever else comes one after the other.
    next: u64,
    /// Up to which version clients may have come of which nothing is known, by key; and the same
    /// in the order of the last doubt.
    doubts: HashMap<Arc<Key>, Uncertainty>,
    doubted: BTreeMap<u64, Arc<Key>>,
    /// The latest version in doubt of keys that were evicted.
    doubt_of_any: Version,
    digest_seed: u64,
    topology_fallback: bool,
    /// Bytes of originals that unused client states may keep.
    max_retained: usize,
    /// Objects of the unused client states.
    objects: usize,
    /// How many these may be, beside those of the latest one.
    max_objects: usize,
}

/// Clients of one key may come of which nothing is known.
#[derive(Debug, Clone, Copy)]
struct Uncertainty {
    order: u64,
    /// They have come to this version at most.
    version: Version,
    /// It is over when so many lists that began in it have been resumed by a watch.
    lists: usize,
}

/// How many lists a doubt lasts for each reason for it. One would do if it were certain whose list
/// it is.
const LISTS_IN_DOUBT: usize = 4;

/// How many it lasts at most.
const MAX_LISTS_IN_DOUBT: usize = 64;

#[derive(Debug, Default)]
struct OfKey {
    used: BTreeSet<u64>,
    unused: BTreeSet<u64>,
}

#[derive(Debug)]
struct Slot {
    key: Arc<Key>,
    stage: Stage,
    client_state: SharedState,
    /// `None`: a stream uses it.
    unused: Option<Unused>,
    /// Only originals that are due are left.
    is_trimmed: bool,
}

/// A client state that no stream uses.
#[derive(Debug, Clone, Copy)]
struct Unused {
    /// When it was given back.
    order: u64,
    /// The bytes of its originals.
    retained: usize,
    objects: usize,
}

/// A client state that a stream uses. Dropped, it is free for the next stream.
#[derive(Debug)]
pub(crate) struct Lease {
    client_state: SharedState,
    /// Where it stands in the session store, if it does.
    slot: Option<(Arc<Mutex<SessionStore>>, u64)>,
}

impl Lease {
    /// A client state that stands on no session store.
    pub(crate) fn of(client_state: ClientState) -> Lease {
        Lease { client_state: Arc::new(Mutex::new(client_state)), slot: None }
    }

    pub(crate) fn client_state(&self) -> &SharedState {
        &self.client_state
    }

    /// Puts the client state where the response that resumes it will find it.
    pub(crate) fn put(&mut self, sessions: &Arc<Mutex<SessionStore>>, key: &Key, stage: Stage) {
        let mut guard = lock_sessions(sessions);
        match &self.slot {
            Some((_, id)) => guard.set_stage(*id, stage),
            None => {
                let id = guard.add(key, stage, self.client_state.clone());
                self.slot = Some((sessions.clone(), id));
            }
        }
    }

    /// The client has to relist.
    pub(crate) fn mark_relisting(&self) {
        lock(&self.client_state).keep_no_originals();
        if let Some((sessions, id)) = &self.slot {
            lock_sessions(sessions).set_stage(*id, Stage::Past);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((sessions, id)) = self.slot.take() {
            lock_sessions(&sessions).return_lease(id);
        }
    }
}

/// The copies of one object that a client may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EarlierForms {
    /// The forms in which it may have it under the version that the object has now.
    pub(crate) under_version: EmittedForms,
    /// The form in which it was given last, whatever the version.
    pub(crate) last: EmittedForms,
}

/// The copies that the client of a list, or of initial events, may have from before.
#[derive(Debug, Default)]
pub(crate) struct EarlierCopies {
    client_states: Vec<SharedState>,
    /// Up to this version it may hold anything.
    doubt: Version,
    /// It may hold anything.
    pub(crate) anything: bool,
    /// Nothing was ever seen of such a client.
    pub(crate) is_new: bool,
}

impl EarlierCopies {
    /// Returns the forms of an object that the client may have. It locks client states one by one:
    /// call it without a locked client state, or two threads could wait for each other.
    pub(crate) fn look(&self, name: &[u8], version: Version) -> EarlierForms {
        if self.anything || version.is_covered_by(self.doubt) {
            return EarlierForms { under_version: EmittedForms::Any, last: EmittedForms::Any };
        }
        let nothing = EarlierForms { under_version: EmittedForms::None, last: EmittedForms::None };
        self.client_states.iter().map(lock).fold(nothing, |earlier, client_state| EarlierForms {
            under_version: earlier.under_version.and(client_state.forms_under(name, version)),
            last: earlier.last.and(client_state.last_form_of(name)),
        })
    }

    /// Whether the client may be one of which nothing is known.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.anything || self.doubt != Version::default()
    }
}

impl SessionStore {
    pub(crate) fn new(max_retained: usize, topology_fallback: bool) -> SessionStore {
        SessionStore {
            slots: HashMap::default(),
            keys: HashMap::default(),
            unused: BTreeSet::new(),
            retained: 0,
            next: 0,
            doubts: HashMap::default(),
            doubted: BTreeMap::new(),
            doubt_of_any: Version::default(),
            digest_seed: RandomState::default().hash_one(0),
            topology_fallback,
            max_retained,
            objects: 0,
            max_objects: (max_retained / BYTES_PER_OBJECT).max(MIN_OBJECTS),
        }
    }

    /// An empty client state.
    pub(crate) fn begin(&self, generation: u64) -> Lease {
        let digests = Digests::with_seed(self.digest_seed);
        Lease::of(ClientState::new(digests, generation, self.topology_fallback))
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Puts a client state in the session store that a stream uses.
    fn add(&mut self, key: &Key, stage: Stage, client_state: SharedState) -> u64 {
        let id = self.number();
        let key = self
            .keys
            .get_key_value(key)
            .map_or_else(|| Arc::new(key.clone()), |(key, _)| key.clone());
        self.keys.entry(key.clone()).or_default().used.insert(id);
        self.slots.insert(id, Slot { key, stage, client_state, unused: None, is_trimmed: false });
        id
    }

    fn set_stage(&mut self, id: u64, stage: Stage) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.stage = stage;
        }
    }

    fn of_key(&mut self, id: u64) -> Option<&mut OfKey> {
        self.keys.get_mut(&self.slots.get(&id)?.key)
    }

    /// A stream no longer uses a client state.
    fn return_lease(&mut self, id: u64) {
        let order = self.number();
        let Some(of_key) = self.of_key(id) else { return };
        of_key.used.remove(&id);
        of_key.unused.insert(id);
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let client_state = lock(&slot.client_state);
        let (retained, objects) = (client_state.retained(), client_state.len());
        drop(client_state);
        (slot.unused, slot.is_trimmed) = (Some(Unused { order, retained, objects }), false);
        self.unused.insert((order, id));
        self.retained += retained;
        self.objects += objects;
        let (key, stage) = (slot.key.clone(), std::mem::discriminant(&slot.stage));
        let is_alike = |other: &u64| {
            self.slots.get(other).is_some_and(|slot| std::mem::discriminant(&slot.stage) == stage)
        };
        let mut alike: Vec<u64> = self
            .keys
            .get(&key)
            .map(|of_key| of_key.unused.iter().copied().filter(is_alike).collect())
            .unwrap_or_default();
        let order = |id: &u64| self.slots.get(id)?.unused.map(|unused| unused.order);
        alike.sort_unstable_by_key(order);
        let oldest_of_key = alike.first().copied().filter(|_| alike.len() > PER_KEY);
        match (oldest_of_key, alike.get(1)) {
            (Some(older), Some(&newer)) if stage == std::mem::discriminant(&Stage::Past) => {
                self.merge(older, newer)
            }
            (Some(id), _) => self.throw(id),
            (None, _) => {}
        }
        self.bound_unused();
        self.bound_retained();
    }

    /// Removes the oldest client states where they are too many, or know of too many objects
    /// together. The one that was given back last is kept whatever its size: its client is about to
    /// come.
    fn bound_unused(&mut self) {
        while (self.unused.len() > CAPACITY || self.objects > self.max_objects)
            && self.unused.len() > 1
            && let Some(&(_, oldest)) = self.unused.first()
        {
            self.throw(oldest);
        }
    }

    /// Puts what the clients of two client states may hold into one. Their clients were told to
    /// list again, so that no watch resumes either.
    fn merge(&mut self, older: u64, newer: u64) {
        let Some(into) = self.slots.get(&newer).map(|slot| slot.client_state.clone()) else {
            return;
        };
        let Some(from) = self.slots.get(&older).map(|slot| slot.client_state.clone()) else {
            return;
        };
        // Never two locks of client states at once.
        let from = lock(&from).clone();
        let mut into = lock(&into);
        if into.high.is_before(from.high) {
            // It has come further, with objects that the other one never heard of.
            drop(into);
            return self.throw(older);
        }
        let (forgets, reach) = (into.merge(&from), into.reach());
        drop(into);
        self.take_unused(older);
        if let Some(slot) = self.slots.remove(&older).filter(|_| forgets) {
            self.doubt(slot.key, reach);
        }
    }

    /// Lets the oldest originals go where all together are too many.
    fn bound_retained(&mut self) {
        if self.retained <= self.max_retained {
            return;
        }
        let (mut kept, mut due) = (0, 0);
        for (_, id) in self.unused.iter().rev() {
            let Some(slot) = self.slots.get_mut(id) else { continue };
            let Some(Unused { retained, .. }) = slot.unused.as_mut() else { continue };
            // The one that was given back last is kept whatever its size: its client is about to
            // come.
            if !slot.is_trimmed && (kept + due == 0 || kept + *retained <= self.max_retained) {
                kept += *retained;
                continue;
            }
            // Without what is due its client would have to relist, and find others in its
            // way once more.
            if !slot.is_trimmed {
                *retained = lock(&slot.client_state).keep_what_is_due();
                slot.is_trimmed = true;
            }
            if *retained > 0 && due + *retained > self.max_retained.max(MAX_DUE) {
                lock(&slot.client_state).keep_no_originals();
                *retained = 0;
            }
            due += *retained;
        }
        self.retained = kept + due;
    }

    /// A stream uses a client state from now on that none used.
    fn take(&mut self, id: u64) {
        self.take_unused(id);
        if let Some(of_key) = self.of_key(id) {
            of_key.used.insert(id);
        }
    }

    /// Takes a client state that no stream uses off the list of these.
    fn take_unused(&mut self, id: u64) {
        let Some(Unused { order, retained, objects }) =
            self.slots.get_mut(&id).and_then(|slot| slot.unused.take())
        else {
            return;
        };
        self.unused.remove(&(order, id));
        self.retained -= retained;
        self.objects -= objects;
        if let Some(of_key) = self.of_key(id) {
            of_key.unused.remove(&id);
        }
    }

    /// Removes a client state that no stream uses: its client may come back, and is not known then.
    fn throw(&mut self, id: u64) {
        self.take_unused(id);
        let Some(Slot { key, stage, client_state, .. }) = self.slots.remove(&id) else { return };
        if !matches!(stage, Stage::Page(_)) {
            let reach = lock(&client_state).reach();
            self.doubt(key.clone(), reach);
        }
        if self
            .keys
            .get(&key)
            .is_some_and(|of_key| of_key.used.is_empty() && of_key.unused.is_empty())
        {
            self.keys.remove(&key);
        }
    }

    /// A client of which nothing is remembered may come back up to `version`.
    pub(crate) fn doubt(&mut self, key: Arc<Key>, version: Version) {
        let order = self.number();
        let before = self.doubts.get(&key).copied();
        let (version, lists) = before.map_or((version, 0), |before| {
            self.doubted.remove(&before.order);
            (version.later(before.version), before.lists)
        });
        let lists = (lists + LISTS_IN_DOUBT).min(MAX_LISTS_IN_DOUBT);
        self.doubts.insert(key.clone(), Uncertainty { order, version, lists });
        self.doubted.insert(order, key);
        if self.doubted.len() > CAPACITY
            && let Some((_, oldest)) = self.doubted.pop_first()
            && let Some(doubt) = self.doubts.remove(&oldest)
        {
            self.doubt_of_any = self.doubt_of_any.later(doubt.version);
        }
    }

    /// A watch resumes a list that began in doubt: its client has been given everything anew.
    fn listed_in_doubt(&mut self, key: &Key) {
        let Some(doubt) = self.doubts.get_mut(key) else { return };
        doubt.lists -= 1;
        if doubt.lists == 0 {
            let order = doubt.order;
            self.doubted.remove(&order);
            self.doubts.remove(key);
        }
    }

    /// A client has to relist because no client state was found for its watch from `start` on.
    /// Unless it is one that was told so before, it may hold anything.
    pub(crate) fn expired(&mut self, key: &Key, start: Version) {
        let (client_states, _) = self.compared(key);
        let is_known = client_states.iter().any(|(slot, _)| {
            let client_state = lock(&slot.client_state);
            let is_in_range =
                client_state.floor.is_covered_by(start) && start.is_covered_by(client_state.high);
            slot.stage == Stage::Past && !client_state.is_merged && is_in_range
        });
        if !is_known && start != Version::default() {
            self.doubt(Arc::new(key.clone()), start);
        }
    }

    fn doubt_of(&self, key: &Key) -> Version {
        self.doubts.get(key).map_or(self.doubt_of_any, |doubt| doubt.version)
    }

    /// The client states of a key, the latest last: all that no stream uses, and of those in use
    /// the latest. True: there are more.
    fn compared(&self, key: &Key) -> (Vec<(&Slot, u64)>, bool) {
        let Some(of_key) = self.keys.get(key) else { return (Vec::new(), false) };
        let used = of_key.used.iter().rev().take(MAX_COMPARED);
        let mut ids: Vec<u64> = used.chain(&of_key.unused).copied().collect();
        ids.sort_unstable();
        let slots = ids.into_iter().filter_map(|id| Some((self.slots.get(&id)?, id)));
        (slots.collect(), of_key.used.len() > MAX_COMPARED)
    }

    /// Returns the copies that a client which relists may have from before.
    pub(crate) fn before(&self, key: &Key) -> EarlierCopies {
        let (slots, anything) = self.compared(key);
        // The pages of a list are nothing to a client before the last one.
        let client_states = slots
            .iter()
            .filter(|(slot, _)| !matches!(slot.stage, Stage::Page(_)))
            .map(|(slot, _)| slot.client_state.clone());
        let is_new = !self.keys.contains_key(key);
        EarlierCopies {
            client_states: client_states.collect(),
            doubt: self.doubt_of(key),
            anything,
            is_new,
        }
    }

    /// The client state of the pages before the one that `token` asks for. A page may be asked for
    /// again, so that it is a copy, unless the list is so long that copies would take more time
    /// than its items. Where another client reads the same pages a copy knows only what the two
    /// agree on.
    pub(crate) fn page(
        sessions: &Arc<Mutex<SessionStore>>,
        key: &Key,
        token: &str,
    ) -> Option<Lease> {
        let mut guard = lock_sessions(sessions);
        let (slots, _) = guard.compared(key);
        let is_it = |slot: &Slot| matches!(&slot.stage, Stage::Page(own) if own == token);
        let found: Vec<(SharedState, u64, bool)> = slots
            .into_iter()
            .filter(|(slot, _)| is_it(slot))
            .map(|(slot, id)| (slot.client_state.clone(), id, slot.unused.is_some()))
            .collect();
        let ((client_state, id, is_unused), others) = found.split_last()?;
        if others.is_empty() && *is_unused && lock(client_state).len() > MAX_COPIED {
            guard.take(*id);
            return Some(Lease {
                client_state: client_state.clone(),
                slot: Some((sessions.clone(), *id)),
            });
        }
        drop(guard);
        let mut copy = lock(client_state).clone();
        for (other, ..) in others.iter().rev() {
            let floor = copy.floor;
            copy.agree(&lock(other), floor);
        }
        Some(Lease::of(copy))
    }

    /// The client state for a watch that begins at `start`, if its past was seen.
    ///
    /// Several clients may have the same past, and which of them this is cannot be told. If only
    /// one client state fits it is the one. If several do, a copy is made that knows only what they
    /// agree on, and each stays for its own client. Where the client's own client state may be one
    /// that was evicted, or the only one that fits is in use, nothing is known.
    ///
    /// States whose clients have to relist count too, because the ERROR may not have arrived.
    pub(crate) fn resume(
        sessions: &Arc<Mutex<SessionStore>>,
        key: &Key,
        start: Version,
    ) -> Option<Lease> {
        let mut guard = lock_sessions(sessions);
        let (slots, are_more) = guard.compared(key);
        let fits = |slot: &Slot| {
            let client_state = lock(&slot.client_state);
            matches!(slot.stage, Stage::Ready | Stage::Past)
                && client_state.floor.is_covered_by(start)
                && start.is_covered_by(client_state.high)
        };
        // One whose initial events never ended keeps what it was given, and may come back at any of
        // these versions.
        let is_unfinished = |slot: &Slot| {
            slot.stage == Stage::Initial && start.is_covered_by(lock(&slot.client_state).reach())
        };
        let are_unfinished = slots.iter().any(|(slot, _)| is_unfinished(slot));
        let candidates: Vec<(&Slot, u64)> =
            slots.into_iter().filter(|(slot, _)| fits(slot)).collect();
        let mut ready = candidates.iter().rev().filter(|(slot, _)| slot.stage == Stage::Ready);
        let unused = ready.clone().find(|(slot, _)| slot.unused.is_some());
        let &(own, id) = unused.or_else(|| ready.next())?;
        let is_doubtful = unused.is_none()
            || are_more
            || are_unfinished
            || start.is_covered_by(guard.doubt_of(key));
        let client_state = own.client_state.clone();
        let began_in_doubt = std::mem::take(&mut lock(&client_state).began_in_doubt);
        if candidates.len() == 1 && !is_doubtful {
            lock(&client_state).resume_at(start);
            guard.take(id);
            if began_in_doubt {
                guard.listed_in_doubt(key);
            }
            drop(guard);
            return Some(Lease { client_state, slot: Some((sessions.clone(), id)) });
        }
        let mut copy = lock(&client_state).clone();
        for (other, _) in candidates.iter().filter(|(_, other)| *other != id) {
            copy.agree(&lock(&other.client_state), start);
        }
        if is_doubtful {
            copy.invalidate_copy();
        }
        copy.resume_at(start);
        let copy = Arc::new(Mutex::new(copy));
        let id = guard.add(key, Stage::Ready, copy.clone());
        if began_in_doubt {
            guard.listed_in_doubt(key);
        }
        drop(guard);
        Some(Lease { client_state: copy, slot: Some((sessions.clone(), id)) })
    }
}

#[cfg(test)]
mod tests;

//! Ledgers between two responses: where the watch that follows a list, or a watch that broke off,
//! finds its own.
//!
//! A stream holds its ledger by a [`Lease`], and gives it back by dropping that. Ledgers are found
//! by their key, so that opening a stream does not look at the streams of other keys, and at no
//! more than [`MAX_COMPARED`] of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Digests, Forms, Ledger};
use crate::object::SubjectKind;
use crate::object::selection::Selection;
use crate::object::version::Version;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::wire::encoding::Encoding;

/// A ledger in use by one stream, or by none.
pub(crate) type Shared = Arc<Mutex<Ledger>>;

/// Nothing in the room panics half-way through a change, so a poisoned lock still holds a whole
/// ledger.
pub(crate) fn lock(ledger: &Shared) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks the shelf. Locks are taken in this order: shelf, ledger, facts.
pub(crate) fn lock_shelf(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The properties that two responses share if one resumes where the other stopped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) node: Box<[u8]>,
    pub(crate) kind: SubjectKind,
    pub(crate) selection: Selection,
    pub(crate) encoding: Encoding,
    /// Only metadata was asked for: such a client holds nothing that could be owed.
    pub(crate) metadata_only: bool,
    /// The path before the API root, which may lead to another cluster.
    pub(crate) prefix: Box<str>,
    /// The User-Agent: two programs on one node do not resume each other's state.
    pub(crate) client: Box<str>,
}

/// How many unused ledgers of each stage may be for one key. A client that lists and does not watch
/// leaves one behind each time.
const PER_KEY: usize = 4;

/// How many unused ledgers may be at all, and how many keys whose clients are in doubt.
const CAPACITY: usize = 1024;

/// How many ledgers of one key that are in use are looked at. Where more are, nothing is taken for
/// known of a client that cannot be told from theirs.
const MAX_COMPARED: usize = 16;

/// Up to how many objects the ledger of a list is copied from page to page.
const MAX_COPIED: usize = 4096;

/// Bytes of originals that unused ledgers may keep, whatever the limit, of objects that are due to
/// their clients when these come back.
const MAX_DUE: usize = 64 << 20;

/// How a ledger on the shelf can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A watch may go on from it.
    Ready,
    /// The list goes on with the page that this token asks for.
    Page(String),
    /// The initial events of a watch that nothing announces the end of: its client keeps them one
    /// by one.
    Initial,
    /// Its client was told to list again. What that client holds is still worth knowing until it
    /// has.
    Past,
}

/// Ledgers by what they are for.
#[derive(Debug)]
pub(crate) struct Shelf {
    slots: HashMap<u64, Slot>,
    /// The ledgers of each key, the latest last.
    keys: HashMap<Arc<Key>, OfKey>,
    /// Ledgers that no stream uses, in the order in which they were given back.
    unused: BTreeSet<(u64, u64)>,
    /// Bytes of originals of these.
    retained: usize,
    /// Counts ledgers, and whatever else comes one after the other.
    next: u64,
    /// Up to which version clients may have come of which nothing is known, by key; and the same
    /// in the order of the last doubt.
    doubts: HashMap<Arc<Key>, Doubt>,
    doubted: BTreeMap<u64, Arc<Key>>,
    /// The latest version in doubt of keys that were evicted.
    doubt_of_any: Version,
    digests: Digests,
    ladders: bool,
    /// Bytes of originals that unused ledgers may keep.
    max_retained: usize,
}

/// Clients of one key may come of which nothing is known.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    order: u64,
    /// They have come to this version at most.
    version: Version,
    /// It is over when so many lists that began in it have been gone on from by a watch.
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
    ledger: Shared,
    /// When it was given back, and the bytes of its originals; `None`: a stream uses it.
    unused: Option<(u64, usize)>,
    /// Only originals that are due are left.
    is_trimmed: bool,
}

/// A ledger that a stream uses. Dropped, it is free for the next stream.
#[derive(Debug)]
pub(crate) struct Lease {
    ledger: Shared,
    /// Where it stands on the shelf, if it does.
    slot: Option<(Arc<Mutex<Shelf>>, u64)>,
}

impl Lease {
    /// A ledger that stands on no shelf.
    pub(crate) fn of(ledger: Ledger) -> Lease {
        Lease { ledger: Arc::new(Mutex::new(ledger)), slot: None }
    }

    pub(crate) fn ledger(&self) -> &Shared {
        &self.ledger
    }

    /// Puts the ledger where the response that goes on from it will find it.
    pub(crate) fn put(&mut self, shelf: &Arc<Mutex<Shelf>>, key: &Key, stage: Stage) {
        let mut guard = lock_shelf(shelf);
        match &self.slot {
            Some((_, id)) => guard.set_stage(*id, stage),
            None => {
                let id = guard.add(key, stage, self.ledger.clone());
                self.slot = Some((shelf.clone(), id));
            }
        }
    }

    /// The client was told to list again.
    pub(crate) fn is_past(&self) {
        lock(&self.ledger).keep_no_originals();
        if let Some((shelf, id)) = &self.slot {
            lock_shelf(shelf).set_stage(*id, Stage::Past);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((shelf, id)) = self.slot.take() {
            lock_shelf(&shelf).give_back(id);
        }
    }
}

/// The copies of one object that a client may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Earlier {
    /// The forms in which it may have it under the version that the object has now.
    pub(crate) under_version: Forms,
    /// The form in which it was given last, whatever the version.
    pub(crate) last: Forms,
}

/// The copies that the client of a list, or of initial events, may have from before.
#[derive(Debug, Default)]
pub(crate) struct Before {
    ledgers: Vec<Shared>,
    /// Up to this version it may hold anything.
    doubt: Version,
    /// It may hold anything.
    pub(crate) anything: bool,
    /// Nothing was ever seen of such a client.
    pub(crate) is_new: bool,
}

impl Before {
    /// What the client may have of an object. Ledgers are locked one by one: two at once could be
    /// taken the other way round elsewhere, so ask with none locked.
    pub(crate) fn look(&self, name: &[u8], version: Version) -> Earlier {
        if self.anything || version.is_covered_by(self.doubt) {
            return Earlier { under_version: Forms::Any, last: Forms::Any };
        }
        let nothing = Earlier { under_version: Forms::None, last: Forms::None };
        self.ledgers.iter().map(lock).fold(nothing, |earlier, ledger| Earlier {
            under_version: earlier.under_version.and(ledger.forms_under(name, version)),
            last: earlier.last.and(ledger.last_form_of(name)),
        })
    }

    /// Whether the client may be one of which nothing is known.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.anything || self.doubt != Version::default()
    }
}

impl Shelf {
    pub(crate) fn new(max_retained: usize, ladders: bool) -> Shelf {
        Shelf {
            slots: HashMap::new(),
            keys: HashMap::new(),
            unused: BTreeSet::new(),
            retained: 0,
            next: 0,
            doubts: HashMap::new(),
            doubted: BTreeMap::new(),
            doubt_of_any: Version::default(),
            digests: Digests::default(),
            ladders,
            max_retained,
        }
    }

    /// An empty ledger.
    pub(crate) fn begin(&self, generation: u64) -> Lease {
        Lease::of(Ledger::new(self.digests.clone(), generation, self.ladders))
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Puts a ledger on the shelf that a stream uses.
    fn add(&mut self, key: &Key, stage: Stage, ledger: Shared) -> u64 {
        let id = self.number();
        let key = self
            .keys
            .get_key_value(key)
            .map_or_else(|| Arc::new(key.clone()), |(key, _)| key.clone());
        self.keys.entry(key.clone()).or_default().used.insert(id);
        self.slots.insert(id, Slot { key, stage, ledger, unused: None, is_trimmed: false });
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

    /// A stream no longer uses a ledger.
    fn give_back(&mut self, id: u64) {
        let order = self.number();
        let Some(of_key) = self.of_key(id) else { return };
        of_key.used.remove(&id);
        of_key.unused.insert(id);
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let retained = lock(&slot.ledger).retained();
        (slot.unused, slot.is_trimmed) = (Some((order, retained)), false);
        self.unused.insert((order, id));
        self.retained += retained;
        let (key, stage) = (slot.key.clone(), std::mem::discriminant(&slot.stage));
        let is_alike = |other: &u64| {
            self.slots.get(other).is_some_and(|slot| std::mem::discriminant(&slot.stage) == stage)
        };
        let mut alike: Vec<u64> = self
            .keys
            .get(&key)
            .map(|of_key| of_key.unused.iter().copied().filter(is_alike).collect())
            .unwrap_or_default();
        alike.sort_unstable_by_key(|id| self.slots.get(id).and_then(|slot| slot.unused));
        let oldest_of_key = alike.first().copied().filter(|_| alike.len() > PER_KEY);
        let oldest =
            self.unused.first().map(|(_, id)| *id).filter(|_| self.unused.len() > CAPACITY);
        match (oldest_of_key, alike.get(1)) {
            (Some(older), Some(&newer)) if stage == std::mem::discriminant(&Stage::Past) => {
                self.merge(older, newer)
            }
            (Some(id), _) => self.throw(id),
            (None, _) => oldest.into_iter().for_each(|id| self.throw(id)),
        }
        self.bound_retained();
    }

    /// Puts what the clients of two ledgers may hold into one. Their clients were told to list
    /// again, so that no watch goes on from either.
    fn merge(&mut self, older: u64, newer: u64) {
        let Some(into) = self.slots.get(&newer).map(|slot| slot.ledger.clone()) else { return };
        let Some(from) = self.slots.get(&older).map(|slot| slot.ledger.clone()) else { return };
        // Never two locks of ledgers at once.
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
            let Some((_, retained)) = &mut slot.unused else { continue };
            // The one that was given back last is kept whatever its size: its client is about to
            // come.
            if !slot.is_trimmed && (kept + due == 0 || kept + *retained <= self.max_retained) {
                kept += *retained;
                continue;
            }
            // Without what is due its client would be told to list again, and find others in its
            // way once more.
            if !slot.is_trimmed {
                *retained = lock(&slot.ledger).keep_what_is_due();
                slot.is_trimmed = true;
            }
            if *retained > 0 && due + *retained > self.max_retained.max(MAX_DUE) {
                lock(&slot.ledger).keep_no_originals();
                *retained = 0;
            }
            due += *retained;
        }
        self.retained = kept + due;
    }

    /// A stream uses a ledger from now on that none used.
    fn take(&mut self, id: u64) {
        self.take_unused(id);
        if let Some(of_key) = self.of_key(id) {
            of_key.used.insert(id);
        }
    }

    /// Takes a ledger that no stream uses off the list of these.
    fn take_unused(&mut self, id: u64) {
        let Some((order, retained)) = self.slots.get_mut(&id).and_then(|slot| slot.unused.take())
        else {
            return;
        };
        self.unused.remove(&(order, id));
        self.retained -= retained;
        if let Some(of_key) = self.of_key(id) {
            of_key.unused.remove(&id);
        }
    }

    /// Removes a ledger that no stream uses: its client may come back, and is not known then.
    fn throw(&mut self, id: u64) {
        self.take_unused(id);
        let Some(Slot { key, stage, ledger, .. }) = self.slots.remove(&id) else { return };
        if !matches!(stage, Stage::Page(_)) {
            let reach = lock(&ledger).reach();
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
        self.doubts.insert(key.clone(), Doubt { order, version, lists });
        self.doubted.insert(order, key);
        if self.doubted.len() > CAPACITY
            && let Some((_, oldest)) = self.doubted.pop_first()
            && let Some(doubt) = self.doubts.remove(&oldest)
        {
            self.doubt_of_any = self.doubt_of_any.later(doubt.version);
        }
    }

    /// A watch goes on from a list that began in doubt: its client has been given everything anew.
    fn listed_in_doubt(&mut self, key: &Key) {
        let Some(doubt) = self.doubts.get_mut(key) else { return };
        doubt.lists -= 1;
        if doubt.lists == 0 {
            let order = doubt.order;
            self.doubted.remove(&order);
            self.doubts.remove(key);
        }
    }

    /// A client is told to list again because no ledger was found for its watch from `start` on.
    /// Unless it is one that was told so before, it may hold anything.
    pub(crate) fn expired(&mut self, key: &Key, start: Version) {
        let (ledgers, _) = self.compared(key);
        let is_known = ledgers.iter().any(|(slot, _)| {
            let ledger = lock(&slot.ledger);
            let is_in_range = ledger.floor.is_covered_by(start) && start.is_covered_by(ledger.high);
            slot.stage == Stage::Past && !ledger.is_merged && is_in_range
        });
        if !is_known && start != Version::default() {
            self.doubt(Arc::new(key.clone()), start);
        }
    }

    fn doubt_of(&self, key: &Key) -> Version {
        self.doubts.get(key).map_or(self.doubt_of_any, |doubt| doubt.version)
    }

    /// The ledgers of a key, the latest last: all that no stream uses, and of those in use the
    /// latest. True: there are more.
    fn compared(&self, key: &Key) -> (Vec<(&Slot, u64)>, bool) {
        let Some(of_key) = self.keys.get(key) else { return (Vec::new(), false) };
        let used = of_key.used.iter().rev().take(MAX_COMPARED);
        let mut ids: Vec<u64> = used.chain(&of_key.unused).copied().collect();
        ids.sort_unstable();
        let slots = ids.into_iter().filter_map(|id| Some((self.slots.get(&id)?, id)));
        (slots.collect(), of_key.used.len() > MAX_COMPARED)
    }

    /// Returns the copies that a client which relists may have from before.
    pub(crate) fn before(&self, key: &Key) -> Before {
        let (slots, anything) = self.compared(key);
        // The pages of a list are nothing to a client before the last one.
        let ledgers = slots
            .iter()
            .filter(|(slot, _)| !matches!(slot.stage, Stage::Page(_)))
            .map(|(slot, _)| slot.ledger.clone());
        let is_new = !self.keys.contains_key(key);
        Before { ledgers: ledgers.collect(), doubt: self.doubt_of(key), anything, is_new }
    }

    /// The ledger of the pages before the one that `token` asks for. A page may be asked for again,
    /// so that it is a copy, unless the list is so long that copies would take more time than
    /// its items. Where another client reads the same pages a copy knows only what the two
    /// agree on.
    pub(crate) fn page(shelf: &Arc<Mutex<Shelf>>, key: &Key, token: &str) -> Option<Lease> {
        let mut guard = lock_shelf(shelf);
        let (slots, _) = guard.compared(key);
        let is_it = |slot: &Slot| matches!(&slot.stage, Stage::Page(own) if own == token);
        let found: Vec<(Shared, u64, bool)> = slots
            .into_iter()
            .filter(|(slot, _)| is_it(slot))
            .map(|(slot, id)| (slot.ledger.clone(), id, slot.unused.is_some()))
            .collect();
        let ((ledger, id, is_unused), others) = found.split_last()?;
        if others.is_empty() && *is_unused && lock(ledger).len() > MAX_COPIED {
            guard.take(*id);
            return Some(Lease { ledger: ledger.clone(), slot: Some((shelf.clone(), *id)) });
        }
        drop(guard);
        let mut copy = lock(ledger).clone();
        for (other, ..) in others.iter().rev() {
            let floor = copy.floor;
            copy.agree(&lock(other), floor);
        }
        Some(Lease::of(copy))
    }

    /// The ledger for a watch that begins at `start`, if its past was seen.
    ///
    /// Several clients may have the same past, and which of them this is cannot be told. If only
    /// one ledger fits it is the one. If several do, a copy is made that knows only what they
    /// agree on, and each stays for its own client. Where the client's own ledger may be one
    /// that was thrown away, or the only one that fits is in use, nothing is known.
    ///
    /// Of the other ledgers those count too whose clients were told to list again: one that has not
    /// heard it comes back.
    pub(crate) fn resume(shelf: &Arc<Mutex<Shelf>>, key: &Key, start: Version) -> Option<Lease> {
        let mut guard = lock_shelf(shelf);
        let (slots, are_more) = guard.compared(key);
        let fits = |slot: &Slot| {
            let ledger = lock(&slot.ledger);
            matches!(slot.stage, Stage::Ready | Stage::Past)
                && ledger.floor.is_covered_by(start)
                && start.is_covered_by(ledger.high)
        };
        // One whose initial events never ended keeps what it was given, and may come back at any of
        // these versions.
        let is_unfinished = |slot: &Slot| {
            slot.stage == Stage::Initial && start.is_covered_by(lock(&slot.ledger).reach())
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
        let ledger = own.ledger.clone();
        let began_in_doubt = std::mem::take(&mut lock(&ledger).began_in_doubt);
        if candidates.len() == 1 && !is_doubtful {
            lock(&ledger).resume_at(start);
            guard.take(id);
            if began_in_doubt {
                guard.listed_in_doubt(key);
            }
            drop(guard);
            return Some(Lease { ledger, slot: Some((shelf.clone(), id)) });
        }
        let mut copy = lock(&ledger).clone();
        for (other, _) in candidates.iter().filter(|(_, other)| *other != id) {
            copy.agree(&lock(&other.ledger), start);
        }
        if is_doubtful {
            copy.forget_sent();
        }
        copy.resume_at(start);
        let copy = Arc::new(Mutex::new(copy));
        let id = guard.add(key, Stage::Ready, copy.clone());
        if began_in_doubt {
            guard.listed_in_doubt(key);
        }
        drop(guard);
        Some(Lease { ledger: copy, slot: Some((shelf.clone(), id)) })
    }
}

#[cfg(test)]
mod tests;

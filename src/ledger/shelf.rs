//! Ledgers between two responses: where the watch that follows a list, or a watch that broke off, finds its own.

use std::collections::VecDeque;

use super::{Digests, Ledger};
use crate::object::SubjectKind;
use crate::object::selection::Selection;
use crate::object::version::Version;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::wire::encoding::Encoding;

/// A ledger in use by one stream, or by none.
pub(crate) type Shared = Arc<Mutex<Ledger>>;

/// Nothing in the room panics half-way through a change, so a poisoned lock still holds a whole ledger.
pub(crate) fn lock(ledger: &Shared) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What two responses have in common if one goes on where the other stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) node: Box<[u8]>,
    pub(crate) kind: SubjectKind,
    pub(crate) selection: Selection,
    pub(crate) encoding: Encoding,
    /// Only metadata was asked for: such a client holds nothing that could be owed.
    pub(crate) metadata_only: bool,
    /// What the client calls itself: two programs on one node do not take each other's past.
    pub(crate) client: Box<str>,
}

/// How many unused ledgers may be for one key, lists that are half read apart. A client that lists and does not watch leaves
/// one behind each time.
const PER_KEY: usize = 4;

/// How many unused ledgers may be at all.
const CAPACITY: usize = 1024;

/// Ledgers by what they are for, the latest last.
#[derive(Debug)]
pub(crate) struct Shelf {
    slots: VecDeque<Slot>,
    /// Up to which version the ledgers came that were thrown away, by key: a client that comes back at or before it may
    /// be one of theirs. The latest last.
    thrown: VecDeque<(Key, Version)>,
    /// The same for all keys that are no longer there.
    thrown_of_any: Version,
    digests: Digests,
    /// Bytes of originals that unused ledgers may keep.
    max_retained: usize,
}

#[derive(Debug)]
struct Slot {
    key: Key,
    /// The list goes on with the page that this token asks for.
    page: Option<String>,
    ledger: Shared,
}

impl Slot {
    /// A stream still writes to it.
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.ledger) > 1
    }
}

impl Shelf {
    pub(crate) fn new(max_retained: usize) -> Shelf {
        Shelf {
            slots: VecDeque::new(),
            thrown: VecDeque::new(),
            thrown_of_any: Version::default(),
            digests: Digests::default(),
            max_retained,
        }
    }

    /// An empty ledger.
    pub(crate) fn begin(&self, generation: u64) -> Shared {
        Arc::new(Mutex::new(Ledger::new(self.digests.clone(), generation)))
    }

    /// Puts a ledger where the watch that goes on from it will find it, or the next page of its list.
    pub(crate) fn put(&mut self, key: Key, page: Option<String>, ledger: Shared) {
        let (mut alike, mut all, mut retained) = (1, 1, lock(&ledger).retained());
        let mut thrown = Vec::new();
        for (at, slot) in self.slots.iter().enumerate().rev().filter(|(_, slot)| !slot.is_in_use()) {
            let is_alike = slot.key == key && slot.page.is_some() == page.is_some();
            alike += usize::from(is_alike);
            all += 1;
            if is_alike && alike > PER_KEY || all > CAPACITY {
                thrown.push(at);
                continue;
            }
            let mut ledger = lock(&slot.ledger);
            retained += ledger.retained();
            if retained > self.max_retained {
                retained -= ledger.retained();
                ledger.keep_no_originals();
            }
        }
        for at in thrown {
            if let Some(slot) = self.slots.remove(at) {
                self.throw(slot);
            }
        }
        self.slots.push_back(Slot { key, page, ledger });
    }

    /// A copy of the ledger of the pages before the one that `token` asks for: a page may be asked for again. Where another
    /// client reads the same pages it knows only what the two agree on.
    pub(crate) fn page(&mut self, key: &Key, token: &str) -> Option<Shared> {
        let is_it = |slot: &&Slot| slot.page.as_deref() == Some(token) && slot.key == *key;
        let mut found = self.slots.iter().rev().filter(is_it);
        let mut copy = lock(&found.next()?.ledger).clone();
        for other in found {
            let floor = copy.floor;
            copy.agree(&lock(&other.ledger), floor);
        }
        Some(Arc::new(Mutex::new(copy)))
    }

    /// Forgets a ledger whose client has to list again. If others of the key are there, those that no stream uses go with it:
    /// the client may meet them again at the version of its next list, and might not agree with them once more.
    pub(crate) fn forget(&mut self, key: &Key, ledger: &Shared) {
        let is_own = |slot: &Slot| Arc::ptr_eq(&slot.ledger, ledger);
        let is_other = |slot: &Slot| slot.key == *key && slot.page.is_none() && !is_own(slot);
        let is_alone = !self.slots.iter().any(is_other);
        for slot in std::mem::take(&mut self.slots) {
            if is_own(&slot) && is_alone {
                // Whoever comes back at its versions is its own client, which was told.
            } else if is_own(&slot) || is_other(&slot) && !slot.is_in_use() {
                self.throw(slot);
            } else {
                self.slots.push_back(slot);
            }
        }
    }

    fn throw(&mut self, slot: Slot) {
        if slot.page.is_none() {
            let high = lock(&slot.ledger).high;
            self.doubt(slot.key, high);
        }
    }

    /// A client of which nothing is remembered may come back up to `version`.
    pub(crate) fn doubt(&mut self, key: Key, version: Version) {
        let at = self.thrown.iter().position(|(other, _)| *other == key);
        let before = at.and_then(|at| self.thrown.remove(at)).map_or(Version::default(), |(_, version)| version);
        self.thrown.push_back((key, version.later(before)));
        if self.thrown.len() > CAPACITY
            && let Some((_, version)) = self.thrown.pop_front()
        {
            self.thrown_of_any = self.thrown_of_any.later(version);
        }
    }

    /// The ledger for a watch that begins at `start`, if its past was seen. It stays on the shelf, in use.
    ///
    /// Several clients may have the same past, and which of them this is cannot be told. If only one ledger fits it is the
    /// one. If several do, a copy is made that knows only what they agree on, and each stays for its own client. Where the
    /// client's own ledger may be one that was thrown away, or the only one that fits is in use, nothing is known.
    pub(crate) fn resume(&mut self, key: &Key, start: Version) -> Option<Shared> {
        let fits = |slot: &&Slot| {
            slot.page.is_none() && slot.key == *key && {
                let ledger = lock(&slot.ledger);
                ledger.floor.is_covered_by(start) && start.is_covered_by(ledger.high)
            }
        };
        let candidates: Vec<&Slot> = self.slots.iter().filter(fits).collect();
        let thrown = self.thrown.iter().find(|(other, _)| other == key).map_or(self.thrown_of_any, |(_, high)| *high);
        let unused = candidates.iter().rev().find(|slot| !slot.is_in_use());
        let own = unused.or(candidates.last())?;
        let is_doubtful = unused.is_none() || start.is_covered_by(thrown);
        if candidates.len() == 1 && !is_doubtful {
            let ledger = own.ledger.clone();
            lock(&ledger).resume_at(start);
            return Some(ledger);
        }
        let mut copy = lock(&own.ledger).clone();
        for other in candidates.iter().filter(|other| !Arc::ptr_eq(&other.ledger, &own.ledger)) {
            copy.agree(&lock(&other.ledger), start);
        }
        if is_doubtful {
            copy.forget_sent();
        }
        copy.resume_at(start);
        let copy = Arc::new(Mutex::new(copy));
        self.put(key.clone(), None, copy.clone());
        Some(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Seen;
    use super::*;

    fn key(node: &str) -> Key {
        let (kind, encoding) = (SubjectKind::EndpointSlice, Encoding::Json);
        Key { node: node.as_bytes().into(), kind, selection: Selection::default(), encoding, metadata_only: false, client: "".into() }
    }

    fn at(version: u64) -> Version {
        Version(Some(version))
    }

    /// A ledger that came up to a version and keeps an original of so many bytes.
    fn ledger(shelf: &Shelf, high: u64, bytes: usize) -> Shared {
        let shared = shelf.begin(0);
        let mut ledger = lock(&shared);
        let endpoints = std::iter::empty();
        let id = ledger.see(Seen { name: b"shop/cart-1", service: b"", family: 4, version: at(high), endpoints });
        ledger.keep(id, Some((b"", &vec![b'x'; bytes])));
        (ledger.floor, ledger.high) = (at(high), at(high));
        drop(ledger);
        shared
    }

    /// Up to which version the ledgers on the shelf came, the latest last.
    fn highs(shelf: &Shelf) -> Vec<u64> {
        shelf.slots.iter().map(|slot| lock(&slot.ledger).high.0.unwrap()).collect()
    }

    fn retained(shelf: &Shelf) -> Vec<usize> {
        shelf.slots.iter().map(|slot| lock(&slot.ledger).retained()).collect()
    }

    #[test]
    fn of_one_key_the_latest_stay() {
        let mut shelf = Shelf::new(usize::MAX);
        for high in 1..=7 {
            let one = ledger(&shelf, high, 0);
            shelf.put(key("a"), None, one);
            assert_eq!(highs(&shelf), (high.saturating_sub(3).max(1)..=high).collect::<Vec<_>>());
        }
        // Whoever comes back at what was thrown away is not known.
        assert_eq!(shelf.thrown, [(key("a"), at(3))]);
    }

    #[test]
    fn neither_pages_nor_other_keys_nor_what_is_in_use_count_for_a_key() {
        let mut shelf = Shelf::new(usize::MAX);
        let mut in_use = Vec::new();
        for high in 1..=4 {
            let one = ledger(&shelf, 10 + high, 0);
            in_use.push(one.clone());
            shelf.put(key("a"), None, one);
            for (node, page) in [("a", None), ("a", Some("token".to_owned())), ("b", None)] {
                let one = ledger(&shelf, high, 0);
                shelf.put(key(node), page, one);
            }
        }
        assert_eq!(shelf.slots.len(), 16);
        // Four that are not in use are there, and a fifth comes: the oldest of these goes.
        let one = ledger(&shelf, 20, 0);
        shelf.put(key("a"), None, one);
        assert_eq!(highs(&shelf).iter().filter(|high| **high == 1).count(), 2);
        assert_eq!(highs(&shelf).iter().filter(|high| **high > 10).count(), 5);
    }

    #[test]
    fn of_all_keys_only_so_many_stay() {
        let mut shelf = Shelf::new(usize::MAX);
        for number in 0..CAPACITY as u64 + 3 {
            let one = ledger(&shelf, number, 0);
            shelf.put(key(&number.to_string()), None, one);
        }
        assert_eq!((shelf.slots.len(), highs(&shelf)[0]), (CAPACITY, 3));
    }

    #[test]
    fn the_oldest_lose_their_originals_where_all_together_are_too_many() {
        let mut shelf = Shelf::new(100);
        for (bytes, after) in [(50, vec![50]), (50, vec![50, 50]), (30, vec![0, 50, 30]), (90, vec![0, 0, 0, 90]), (10, vec![0, 0, 90, 10])]
        {
            let one = ledger(&shelf, 1, bytes);
            shelf.put(key("a"), None, one);
            assert_eq!(retained(&shelf), after);
        }
        // What is too large is passed over, what is older and fits is not.
        let mut shelf = Shelf::new(100);
        for bytes in [10, 60, 60] {
            let one = ledger(&shelf, 1, bytes);
            shelf.put(key("a"), None, one);
        }
        assert_eq!(retained(&shelf), [10, 0, 60]);
    }

    #[test]
    fn what_a_stream_uses_keeps_its_originals() {
        let mut shelf = Shelf::new(100);
        let used = ledger(&shelf, 1, 80);
        shelf.put(key("a"), None, used.clone());
        let one = ledger(&shelf, 2, 80);
        shelf.put(key("a"), None, one);
        assert_eq!(retained(&shelf), [80, 80]);
    }

    #[test]
    fn the_only_ledger_of_a_key_is_forgotten_without_a_doubt() {
        let mut shelf = Shelf::new(usize::MAX);
        let one = ledger(&shelf, 5, 0);
        for (node, page) in [("a", None), ("b", None), ("a", Some("token".to_owned()))] {
            let one = if node == "a" && page.is_none() { one.clone() } else { ledger(&shelf, 9, 0) };
            shelf.put(key(node), page, one);
        }
        shelf.forget(&key("a"), &one);
        assert_eq!(highs(&shelf), [9, 9]);
        assert!(shelf.thrown.is_empty());
    }

    #[test]
    fn with_a_ledger_its_unused_twins_are_forgotten_and_doubted() {
        let mut shelf = Shelf::new(usize::MAX);
        let (one, used) = (ledger(&shelf, 5, 0), ledger(&shelf, 6, 0));
        let unused = ledger(&shelf, 7, 0);
        for each in [&one, &used] {
            shelf.put(key("a"), None, each.clone());
        }
        shelf.put(key("a"), None, unused);
        let (page, other) = (ledger(&shelf, 8, 0), ledger(&shelf, 9, 0));
        shelf.put(key("a"), Some("token".to_owned()), page);
        shelf.put(key("b"), None, other);
        shelf.forget(&key("a"), &one);
        assert_eq!(highs(&shelf), [6, 8, 9]);
        assert_eq!(shelf.thrown, [(key("a"), at(7))]);
    }

    #[test]
    fn doubts_are_told_apart_by_key_as_long_as_there_are_not_too_many() {
        let mut shelf = Shelf::new(0);
        for (node, version) in [("a", 5), ("b", 9), ("a", 3), ("a", 7)] {
            shelf.doubt(key(node), at(version));
        }
        assert_eq!(shelf.thrown, [(key("b"), at(9)), (key("a"), at(7))]);
        for number in 2..CAPACITY {
            shelf.doubt(key(&number.to_string()), at(1));
        }
        assert_eq!((shelf.thrown.len(), shelf.thrown_of_any), (CAPACITY, Version::default()));
        shelf.doubt(key("one more"), at(1));
        assert_eq!((shelf.thrown.len(), shelf.thrown_of_any), (CAPACITY, at(9)));
    }
}

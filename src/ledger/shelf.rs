//! Ledgers between two responses: where the watch that follows a list, or a watch that broke off, finds its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Digests, Ledger};
use crate::object::SubjectKind;
use crate::object::selection::Selection;
use crate::object::version::Version;
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
}

/// How many unused ledgers may be for one key. A client that lists and does not watch leaves one behind each time.
const PER_KEY: usize = 2;

/// How many unused ledgers may be at all.
const CAPACITY: usize = 64;

/// Ledgers by what they are for, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    slots: VecDeque<Slot>,
    digests: Digests,
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
    /// An empty ledger.
    pub(crate) fn begin(&self, generation: u64) -> Ledger {
        Ledger::new(self.digests.clone(), generation)
    }

    /// Puts a ledger where the watch that goes on from it will find it, or the next page of its list.
    pub(crate) fn put(&mut self, key: Key, page: Option<String>, ledger: Shared) {
        self.slots.push_back(Slot { key, page, ledger });
        let newest = self.slots.len() - 1;
        let key = &self.slots[newest].key;
        let unused: Vec<usize> = (0..newest).filter(|&at| !self.slots[at].is_in_use()).collect();
        let alike = unused.iter().filter(|&&at| self.slots[at].key == *key);
        let alike = alike.rev().skip(PER_KEY - 1).copied();
        let oldest = unused.iter().rev().skip(CAPACITY - 1).copied();
        let mut gone: Vec<usize> = alike.chain(oldest).collect();
        gone.sort_unstable();
        gone.dedup();
        for at in gone.into_iter().rev() {
            self.slots.remove(at);
        }
    }

    /// The ledger of the pages before the one that `token` asks for.
    pub(crate) fn page(&mut self, key: &Key, token: &str) -> Option<Shared> {
        let at = self.slots.iter().position(|slot| slot.key == *key && slot.page.as_deref() == Some(token))?;
        self.slots.remove(at).map(|slot| slot.ledger)
    }

    /// Forgets a ledger whose client has to list again, and those of the key that no stream uses: on a quiet server that list
    /// would meet them at the same version, and might not agree with them once more.
    pub(crate) fn forget(&mut self, key: &Key, ledger: &Shared) {
        self.slots.retain(|slot| !Arc::ptr_eq(&slot.ledger, ledger) && (slot.key != *key || slot.is_in_use()));
    }

    /// The ledger for a watch that begins at `start`, if its past was seen. It stays on the shelf, in use.
    ///
    /// Several clients may have the same past, and which of them this is cannot be told. Where their ledgers do not agree
    /// the client is told again; where the only ledger is still in use, of everything.
    pub(crate) fn resume(&mut self, key: &Key, start: Version) -> Option<Shared> {
        let fits = |slot: &&Slot| {
            let ledger = lock(&slot.ledger);
            slot.page.is_none() && slot.key == *key && ledger.floor.is_covered_by(start) && start.is_covered_by(ledger.high)
        };
        let candidates: Vec<Shared> = self.slots.iter().filter(fits).map(|slot| slot.ledger.clone()).collect();
        // The slot's own handle and the one just made.
        let unused = candidates.iter().rev().find(|ledger| Arc::strong_count(ledger) == 2);
        let Some(ledger) = unused else {
            let mut copy = lock(candidates.last()?).clone();
            copy.forget_sent();
            copy.resume_at(start);
            let ledger = Arc::new(Mutex::new(copy));
            self.put(key.clone(), None, ledger.clone());
            return Some(ledger);
        };
        for other in candidates.iter().filter(|other| !Arc::ptr_eq(other, ledger)) {
            lock(ledger).agree(&mut lock(other));
        }
        lock(ledger).resume_at(start);
        Some(ledger.clone())
    }
}

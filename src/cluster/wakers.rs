//! The wakers of listeners that wait for a fact change.

use std::task::Waker;

use crate::hash::HashMap;
use crate::sync::{Mutex, PoisonError};

/// The wakers of the listeners that wait.
#[derive(Debug, Default)]
pub(super) struct Wakers(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    wakers: HashMap<u64, Waker>,
}

impl Wakers {
    fn change<T>(&self, change: impl FnOnce(&mut Waiting) -> T) -> T {
        // No method panics half-way through a change, so a poisoned lock still holds a whole map.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn id(&self) -> u64 {
        self.change(|waiting| {
            waiting.next += 1;
            waiting.next
        })
    }

    pub(super) fn register(&self, id: u64, waker: &Waker) {
        self.change(|waiting| match waiting.wakers.get_mut(&id) {
            Some(registered) => registered.clone_from(waker),
            None => {
                waiting.wakers.insert(id, waker.clone());
            }
        });
    }

    pub(super) fn remove(&self, id: u64) {
        self.change(|waiting| waiting.wakers.remove(&id));
    }

    /// Wakes all. Call it without locks: a waker may run any code.
    pub(super) fn wake(&self) {
        let wakers = self.change(|waiting| std::mem::take(&mut waiting.wakers));
        wakers.into_values().for_each(Waker::wake);
    }

    /// Returns how many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.change(|waiting| waiting.wakers.len())
    }
}

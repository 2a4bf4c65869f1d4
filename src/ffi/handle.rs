//! What C holds.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread::panicking;

use super::border::Result;
use super::failure::poolscope_error;

/// A thing that any number of threads may use at the same time.
pub(super) struct Shared<T> {
    value: T,
    poisoned: AtomicBool,
}

/// A [`Shared`] thing during a call; a panic meanwhile poisons the handle.
pub(super) struct Entered<'a, T> {
    handle: &'a Shared<T>,
    was_panicking: bool,
}

impl<T> Shared<T> {
    pub(super) fn new(value: T) -> Shared<T> {
        Shared { value, poisoned: AtomicBool::new(false) }
    }

    pub(super) fn enter(&self) -> Result<Entered<'_, T>> {
        if self.poisoned.load(Ordering::Relaxed) {
            return Err(poolscope_error::poisoned());
        }
        Ok(Entered { handle: self, was_panicking: panicking() })
    }
}

impl<T> Deref for Entered<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.handle.value
    }
}

impl<T> Drop for Entered<'_, T> {
    fn drop(&mut self) {
        if panicking() && !self.was_panicking {
            self.handle.poisoned.store(true, Ordering::Relaxed);
        }
    }
}

/// A thing that belongs to one caller. A call while another is in it is refused: C cannot make two of them meet.
pub(super) struct Exclusive<T>(Mutex<T>);

impl<T> Exclusive<T> {
    pub(super) fn new(value: T) -> Exclusive<T> {
        Exclusive(Mutex::new(value))
    }

    pub(super) fn enter(&self) -> Result<MutexGuard<'_, T>> {
        self.0.try_lock().map_err(|refused| match refused {
            TryLockError::WouldBlock => poolscope_error::busy(),
            TryLockError::Poisoned(_) => poolscope_error::poisoned(),
        })
    }
}

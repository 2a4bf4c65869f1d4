//! The values behind handles.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread::panicking;

use super::boundary::Result;
use super::failure::poolscope_error;

/// A value that any number of threads may use at the same time.
pub(super) struct Shared<T> {
    value: T,
    poisoned: AtomicBool,
}

/// A [`Shared`] value during a call. A panic during the call poisons the handle.
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

/// A value for one thread at a time. A second call at the same time is refused.
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

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::ptr;

    use super::super::boundary::{boundary, free};
    use super::super::failure::*;
    use super::*;

    /// A call that C would make; its status and its message.
    fn call(run: impl FnOnce() -> Result<()>) -> (poolscope_status, String) {
        let mut error = ptr::null_mut();
        // SAFETY: `error` is valid for writing, and what is read and freed came from the call.
        unsafe {
            let status = boundary(&mut error, run);
            assert_eq!(poolscope_error_status(error), status);
            let message =
                CStr::from_ptr(poolscope_error_message(error)).to_str().unwrap().to_owned();
            poolscope_error_free(error);
            (status, message)
        }
    }

    #[test]
    fn a_panic_becomes_a_status_and_poisons_what_it_was_in() {
        let (exclusive, shared) = (Exclusive::new(1), Shared::new(1));
        let in_exclusive = || call(|| exclusive.enter().map(|mut one| *one += 1));
        let in_shared = || call(|| shared.enter().map(|one| assert_eq!(*one, 1)));
        assert_eq!(in_exclusive().0, poolscope_status::POOLSCOPE_OK);
        assert_eq!(in_shared().0, poolscope_status::POOLSCOPE_OK);

        let (status, message) =
            call(|| exclusive.enter().map(|one| assert_eq!(*one, 17, "the first fault")));
        assert_eq!(status, poolscope_status::POOLSCOPE_ERR_PANIC);
        assert!(message.contains("the first fault"), "{message}");
        let (status, message) = in_exclusive();
        assert_eq!(status, poolscope_status::POOLSCOPE_ERR_PANIC);
        assert!(message.contains("earlier call"), "{message}");

        assert_eq!(in_shared().0, poolscope_status::POOLSCOPE_OK, "another handle is not");
        assert_eq!(
            call(|| shared.enter().map(|_entered| panic!("the second fault"))).0,
            poolscope_status::POOLSCOPE_ERR_PANIC
        );
        assert!(in_shared().1.contains("earlier call"));
    }

    #[test]
    fn an_error_is_no_panic() {
        let exclusive = Exclusive::new(());
        let refused = || {
            let _entered = exclusive.enter()?;
            Err(poolscope_error::argument("name", "is wrong"))
        };
        assert_eq!(
            call(refused),
            (
                poolscope_status::POOLSCOPE_ERR_INVALID_ARGUMENT,
                "argument `name` is wrong".to_owned()
            )
        );
        assert_eq!(call(refused).0, poolscope_status::POOLSCOPE_ERR_INVALID_ARGUMENT);
    }

    #[test]
    fn a_second_call_at_the_same_time_is_refused() {
        let exclusive = Exclusive::new(());
        let _first = exclusive.enter().ok().unwrap();
        assert_eq!(call(|| exclusive.enter().map(|_| ())).0, poolscope_status::POOLSCOPE_ERR_BUSY);
    }

    #[test]
    fn a_panic_while_something_is_freed_stays_inside() {
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("freed badly");
            }
        }
        // SAFETY: it came from a box, and is used by nobody any more.
        unsafe { free(Box::into_raw(Box::new(Bad))) };
    }
}

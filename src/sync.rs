//! Locks and atomics, in one place so that `make shuttle` can put its own in: it runs threads in
//! every order that it can think of, and finds the one in which something is lost or two wait for
//! each other.

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, atomic};
pub(crate) use std::sync::{Arc, PoisonError};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, atomic};

//! The FFI boundary: converts arguments, and stops errors and panics.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use super::failure::{poolscope_error, poolscope_status};

/// The result of a call. The error is boxed because it leaves as a pointer.
pub(super) type Result<T> = std::result::Result<T, Box<poolscope_error>>;

/// Runs a call that can fail. Writes its error to `error` unless `error` is NULL; without an error
/// `*error` becomes NULL.
///
/// # Safety
/// `error` is NULL or valid for writing.
pub(super) unsafe fn boundary(
    error: *mut *mut poolscope_error,
    run: impl FnOnce() -> Result<()>,
) -> poolscope_status {
    // A panic poisons the handle that the call is in, so that no later call reads its value.
    let result = catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|cause| Err(poolscope_error::panic(&*cause)));
    let (status, failure) = match result {
        Ok(()) => (poolscope_status::POOLSCOPE_OK, ptr::null_mut()),
        Err(failure) if error.is_null() => (failure.status(), ptr::null_mut()),
        Err(failure) => (failure.status(), Box::into_raw(failure)),
    };
    if !error.is_null() {
        // SAFETY: valid for writing, by the contract.
        unsafe { error.write(failure) };
    }
    status
}

/// Runs a call that cannot report an error. Returns `otherwise` if it fails.
pub(super) fn value_or<T>(otherwise: T, run: impl FnOnce() -> Result<T>) -> T {
    catch_unwind(AssertUnwindSafe(run)).map_or_else(|_| None, Result::ok).unwrap_or(otherwise)
}

/// Frees a handle. Does nothing for NULL.
///
/// # Safety
/// `handle` is NULL or a pointer from [`Slot::put`] or [`Box::into_raw`], and no call uses it.
pub(super) unsafe fn free<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: it was a box's.
        let owned = unsafe { Box::from_raw(handle) };
        value_or((), || {
            drop(owned);
            Ok(())
        });
    }
}

/// Returns the value behind a handle. `name` is the name of the argument, for the error.
///
/// # Safety
/// `handle` is NULL or valid for as long as the call lasts.
pub(super) unsafe fn borrow<'a, T>(handle: *const T, name: &'static str) -> Result<&'a T> {
    // SAFETY: valid if it is not NULL.
    unsafe { handle.as_ref() }.ok_or_else(|| poolscope_error::argument(name, "is NULL"))
}

/// Returns the bytes at `data`. NULL is valid if `len` is 0.
///
/// # Safety
/// `data` is NULL or valid for reading `len` bytes, for as long as the call lasts.
pub(super) unsafe fn bytes<'a>(
    data: *const u8,
    len: usize,
    name: &'static str,
) -> Result<&'a [u8]> {
    match (data.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(poolscope_error::argument(name, "is NULL, and its length is not 0")),
        (false, _) if len > isize::MAX as usize => {
            Err(poolscope_error::argument(name, "is longer than memory"))
        }
        // SAFETY: valid for reading so many bytes.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(data, len) }),
    }
}

/// Returns the text at `data`, like [`bytes()`].
///
/// # Safety
/// As for [`bytes()`].
pub(super) unsafe fn text<'a>(
    data: *const c_char,
    len: usize,
    name: &'static str,
) -> Result<&'a str> {
    // SAFETY: as for `bytes`.
    let bytes = unsafe { bytes(data.cast(), len, name) }?;
    std::str::from_utf8(bytes).map_err(|_| poolscope_error::argument(name, "is not UTF-8"))
}

/// A place for a result.
pub(super) struct Slot<'a, T>(&'a mut MaybeUninit<T>);

impl<T> Slot<'_, T> {
    pub(super) fn set(self, value: T) {
        self.0.write(value);
    }
}

impl<T> Slot<'_, *mut T> {
    /// Gives C a handle.
    pub(super) fn put(self, value: T) {
        self.0.write(Box::into_raw(Box::new(value)));
    }
}

/// Returns the place at `out`, and writes `nothing` to it.
///
/// # Safety
/// `out` is NULL or valid for writing, and not read or written by anyone else while the call lasts.
pub(super) unsafe fn slot<'a, T>(
    out: *mut T,
    nothing: T,
    name: &'static str,
) -> Result<Slot<'a, T>> {
    // SAFETY: valid for writing if it is not NULL; what is there before may be anything.
    let place = unsafe { out.cast::<MaybeUninit<T>>().as_mut() }
        .ok_or_else(|| poolscope_error::argument(name, "is NULL"))?;
    place.write(nothing);
    Ok(Slot(place))
}

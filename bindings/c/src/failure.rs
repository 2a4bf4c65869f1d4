//! Statuses and error objects.

use std::any::Any;
use std::ffi::{CString, c_char};
use std::ptr;

use super::border::{answer, free, given};
use poolscope::Error;

/// How a call went. The numbers never change; new ones may be added.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum poolscope_status {
    /// It did what it says.
    POOLSCOPE_OK = 0,
    /// An argument is NULL that must not be, or no UTF-8, or out of range. Nothing was done.
    POOLSCOPE_INVALID_ARGUMENT = 1,
    /// The handle is in another call at this moment. Nothing was done: give each thread its own.
    POOLSCOPE_BUSY = 2,
    /// There was a fault in poolscope, in this call or in an earlier one on the same handle. The
    /// handle can only be freed.
    POOLSCOPE_PANIC = 3,
    /// The bytes are not what the encoding or the object's schema allows.
    POOLSCOPE_MALFORMED = 10,
    /// The body ended inside a value: the transfer was cut.
    POOLSCOPE_TRUNCATED = 11,
    /// One frame or item is larger than the limit.
    POOLSCOPE_TOO_LARGE = 12,
    /// Values are nested deeper than the limit.
    POOLSCOPE_TOO_DEEP = 13,
    /// One object holds more endpoints than the limit.
    POOLSCOPE_TOO_MANY = 14,
    /// An object in a body cannot be decoded.
    POOLSCOPE_UNDECODABLE = 15,
    /// The response is compressed. Never forward it.
    POOLSCOPE_CONTENT_ENCODING = 20,
    /// The response is neither JSON nor protobuf. Never forward it.
    POOLSCOPE_CONTENT_TYPE = 21,
    /// The response has a status under which endpoints cannot be filtered, such as 206. Never
    /// forward it.
    POOLSCOPE_HTTP_STATUS = 22,
    /// The request teaches nothing, so it cannot be a feed.
    POOLSCOPE_NOT_A_FACT = 23,
    /// The configuration cannot be used.
    POOLSCOPE_CONFIG = 30,
    /// The stream or feed was used after an error or after it was finished.
    POOLSCOPE_CLOSED = 31,
}

use poolscope_status::*;

/// What went wrong, where, and what to do about it. Free it with poolscope_error_free().
pub struct poolscope_error {
    status: poolscope_status,
    message: CString,
    offset: Option<u64>,
    object: Option<CString>,
}

/// The offset of an error that is about no byte.
pub const POOLSCOPE_NO_OFFSET: u64 = u64::MAX;

/// Text that C can read to its NUL; one inside becomes a replacement character.
pub(super) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

impl poolscope_error {
    fn new(status: poolscope_status, message: &str) -> Box<poolscope_error> {
        Box::new(poolscope_error { status, message: c_string(message), offset: None, object: None })
    }

    pub(super) fn status(&self) -> poolscope_status {
        self.status
    }

    pub(super) fn argument(name: &'static str, what: &str) -> Box<poolscope_error> {
        poolscope_error::new(POOLSCOPE_INVALID_ARGUMENT, &format!("argument `{name}` {what}"))
    }

    pub(super) fn busy() -> Box<poolscope_error> {
        poolscope_error::new(
            POOLSCOPE_BUSY,
            "the handle is in use by another call: give each thread its own",
        )
    }

    pub(super) fn poisoned() -> Box<poolscope_error> {
        poolscope_error::new(
            POOLSCOPE_PANIC,
            "the handle was left by a fault in poolscope in an earlier call: free it, and open a new one",
        )
    }

    pub(super) fn panic(cause: &(dyn Any + Send)) -> Box<poolscope_error> {
        let text = cause
            .downcast_ref::<&str>()
            .copied()
            .or(cause.downcast_ref::<String>().map(String::as_str));
        let message =
            format!("a fault in poolscope, please report it: {}", text.unwrap_or("no message"));
        poolscope_error::new(POOLSCOPE_PANIC, &message)
    }
}

impl From<Error> for Box<poolscope_error> {
    fn from(error: Error) -> Box<poolscope_error> {
        let status = match &error {
            Error::Malformed { .. } => POOLSCOPE_MALFORMED,
            Error::Truncated { .. } => POOLSCOPE_TRUNCATED,
            Error::TooLarge { .. } => POOLSCOPE_TOO_LARGE,
            Error::TooDeep { .. } => POOLSCOPE_TOO_DEEP,
            Error::TooMany { .. } => POOLSCOPE_TOO_MANY,
            Error::Undecodable { .. } => POOLSCOPE_UNDECODABLE,
            Error::ContentEncoding(_) => POOLSCOPE_CONTENT_ENCODING,
            Error::ContentType { .. } => POOLSCOPE_CONTENT_TYPE,
            Error::Status { .. } => POOLSCOPE_HTTP_STATUS,
            Error::NotAFact { .. } => POOLSCOPE_NOT_A_FACT,
            Error::Config(_) => POOLSCOPE_CONFIG,
            Error::Closed { .. } => POOLSCOPE_CLOSED,
            // The two crates are of one version, so that there is no other. A caller treats it as
            // the end of the handle.
            _ => POOLSCOPE_PANIC,
        };
        let (offset, object) = (error.offset(), error.object().map(c_string));
        Box::new(poolscope_error {
            offset,
            object,
            ..*poolscope_error::new(status, &error.to_string())
        })
    }
}

/// The status that the failed call returned. Of NULL: POOLSCOPE_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_error_status(error: *const poolscope_error) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe { answer(POOLSCOPE_OK, || Ok(given(error, "error")?.status)) }
}

/// A sentence for operators: what, where (offset and object, if they are known, are in it), and
/// what to do. It ends with a NUL and is valid until the error is freed. Of NULL: an empty one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_error_message(error: *const poolscope_error) -> *const c_char {
    // SAFETY: the header's contract.
    unsafe { answer(c"".as_ptr(), || Ok(given(error, "error")?.message.as_ptr())) }
}

/// The byte of the body at fault, counted from 0; POOLSCOPE_NO_OFFSET if the error is about no
/// byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_error_offset(error: *const poolscope_error) -> u64 {
    // SAFETY: the header's contract.
    unsafe {
        answer(POOLSCOPE_NO_OFFSET, || {
            Ok(given(error, "error")?.offset.unwrap_or(POOLSCOPE_NO_OFFSET))
        })
    }
}

/// The object at fault, `namespace/name`, with or without its kind, as far as it was read:
/// NUL-terminated, valid until the error is freed. NULL if it is not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_error_object(error: *const poolscope_error) -> *const c_char {
    // SAFETY: the header's contract.
    unsafe {
        answer(ptr::null(), || {
            Ok(given(error, "error")?.object.as_ref().map_or(ptr::null(), |object| object.as_ptr()))
        })
    }
}

/// Frees an error. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_error_free(error: *mut poolscope_error) {
    // SAFETY: the header's contract.
    unsafe { free(error) }
}

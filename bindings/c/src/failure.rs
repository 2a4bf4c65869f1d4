//! Statuses and error objects.

use std::any::Any;
use std::ffi::{CString, c_char};
use std::ptr;

use super::boundary::{borrow, free, value_or};
use poolscope::{Error, ErrorKind};

/// The status of a call. The numbers never change; new ones may be added.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum poolscope_status {
    /// The call succeeded.
    POOLSCOPE_OK = 0,
    /// A required argument is NULL, a text is not UTF-8, or a value is out of range. The call did
    /// nothing.
    POOLSCOPE_ERR_INVALID_ARGUMENT = 1,
    /// Another call is using the handle. The call did nothing: give each thread its own handle.
    POOLSCOPE_ERR_BUSY = 2,
    /// A bug in poolscope stopped this call, or an earlier call on the same handle. The handle can
    /// only be freed.
    POOLSCOPE_ERR_PANIC = 3,
    /// The bytes are not what the encoding or the schema of the object allows.
    POOLSCOPE_ERR_MALFORMED = 10,
    /// The body ended inside a value: the transfer was cut.
    POOLSCOPE_ERR_TRUNCATED = 11,
    /// One watch event, list item, object or list is larger than its limit.
    POOLSCOPE_ERR_TOO_LARGE = 12,
    /// Values are nested deeper than the limit.
    POOLSCOPE_ERR_TOO_DEEP = 13,
    /// One object holds more endpoints than the limit.
    POOLSCOPE_ERR_TOO_MANY = 14,
    /// An object in a body cannot be decoded.
    POOLSCOPE_ERR_UNDECODABLE = 15,
    /// The response is compressed. Never forward it.
    POOLSCOPE_ERR_CONTENT_ENCODING = 20,
    /// The response is neither JSON nor protobuf. Never forward it.
    POOLSCOPE_ERR_CONTENT_TYPE = 21,
    /// The response has a status under which endpoints cannot be filtered, such as 206. Never
    /// forward it.
    POOLSCOPE_ERR_HTTP_STATUS = 22,
    /// The request cannot be a source of facts.
    POOLSCOPE_ERR_NOT_A_FACT = 23,
    /// The configuration cannot be used.
    POOLSCOPE_ERR_CONFIG = 30,
    /// The stream or reader was used after an error or after it was finished.
    POOLSCOPE_ERR_CLOSED = 31,
}

use poolscope_status::*;

/// An error: what failed, where, and what to do. Free it with poolscope_error_free().
pub struct poolscope_error {
    status: poolscope_status,
    message: CString,
    offset: Option<u64>,
    object: Option<CString>,
}

/// The offset of an error without one.
pub const POOLSCOPE_NO_OFFSET: u64 = u64::MAX;

/// Returns NUL-terminated text. A NUL inside becomes a replacement character.
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
        poolscope_error::new(POOLSCOPE_ERR_INVALID_ARGUMENT, &format!("argument `{name}` {what}"))
    }

    pub(super) fn busy() -> Box<poolscope_error> {
        poolscope_error::new(
            POOLSCOPE_ERR_BUSY,
            "the handle is in use by another call: give each thread its own",
        )
    }

    pub(super) fn poisoned() -> Box<poolscope_error> {
        poolscope_error::new(
            POOLSCOPE_ERR_PANIC,
            "a bug in poolscope stopped an earlier call on this handle: free it and open a new one",
        )
    }

    pub(super) fn panic(cause: &(dyn Any + Send)) -> Box<poolscope_error> {
        let text = cause
            .downcast_ref::<&str>()
            .copied()
            .or(cause.downcast_ref::<String>().map(String::as_str));
        let message =
            format!("a bug in poolscope, please report it: {}", text.unwrap_or("no message"));
        poolscope_error::new(POOLSCOPE_ERR_PANIC, &message)
    }
}

impl From<Error> for Box<poolscope_error> {
    fn from(error: Error) -> Box<poolscope_error> {
        let status = match error.kind() {
            ErrorKind::Malformed => POOLSCOPE_ERR_MALFORMED,
            ErrorKind::Truncated => POOLSCOPE_ERR_TRUNCATED,
            ErrorKind::TooLarge => POOLSCOPE_ERR_TOO_LARGE,
            ErrorKind::TooDeep => POOLSCOPE_ERR_TOO_DEEP,
            ErrorKind::TooMany => POOLSCOPE_ERR_TOO_MANY,
            ErrorKind::Undecodable => POOLSCOPE_ERR_UNDECODABLE,
            ErrorKind::ContentEncoding => POOLSCOPE_ERR_CONTENT_ENCODING,
            ErrorKind::ContentType => POOLSCOPE_ERR_CONTENT_TYPE,
            ErrorKind::Status => POOLSCOPE_ERR_HTTP_STATUS,
            ErrorKind::NotAFact => POOLSCOPE_ERR_NOT_A_FACT,
            ErrorKind::Config => POOLSCOPE_ERR_CONFIG,
            ErrorKind::Closed => POOLSCOPE_ERR_CLOSED,
            // Both crates have one version, so that there is no other kind. Callers treat it as the
            // end of the handle.
            _ => POOLSCOPE_ERR_PANIC,
        };
        let (offset, object) = (error.offset(), error.object().map(c_string));
        Box::new(poolscope_error {
            offset,
            object,
            ..*poolscope_error::new(status, &error.to_string())
        })
    }
}

/// Returns the status that the failed call returned; POOLSCOPE_OK for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_error_status(error: *const poolscope_error) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe { value_or(POOLSCOPE_OK, || Ok(borrow(error, "error")?.status)) }
}

/// Returns a sentence for operators: what failed, where, and what to do. It is NUL-terminated and
/// valid until the error is freed; empty for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_error_message(error: *const poolscope_error) -> *const c_char {
    // SAFETY: the header's contract.
    unsafe { value_or(c"".as_ptr(), || Ok(borrow(error, "error")?.message.as_ptr())) }
}

/// Returns the byte of the body at fault, counted from 0; POOLSCOPE_NO_OFFSET if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_error_offset(error: *const poolscope_error) -> u64 {
    // SAFETY: the header's contract.
    unsafe {
        value_or(POOLSCOPE_NO_OFFSET, || {
            Ok(borrow(error, "error")?.offset.unwrap_or(POOLSCOPE_NO_OFFSET))
        })
    }
}

/// Returns the object at fault as far as it was read, `namespace/name` with or without its kind:
/// NUL-terminated, valid until the error is freed. Returns NULL if it is not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_error_object(error: *const poolscope_error) -> *const c_char {
    // SAFETY: the header's contract.
    unsafe {
        value_or(ptr::null(), || {
            Ok(borrow(error, "error")?
                .object
                .as_ref()
                .map_or(ptr::null(), |object| object.as_ptr()))
        })
    }
}

/// Frees an error. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_error_free(error: *mut poolscope_error) {
    // SAFETY: the header's contract.
    unsafe { free(error) }
}

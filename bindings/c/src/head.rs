//! Response heads.

use std::ffi::c_char;
use std::ptr;

use super::border::{Result, border, bytes, free, given, slot, text};
use super::failure::{poolscope_error, poolscope_status};
use super::handle::Exclusive;
use poolscope::Head;

/// Status and headers of a response of the API server. For one thread at a time.
pub struct poolscope_head(pub(super) Exclusive<Head>);

/// Name and value of a header. HTTP allows bytes in values that are no UTF-8; none that is looked
/// at has any.
///
/// # Safety
/// Name and value as for [`bytes()`].
pub(super) unsafe fn header(
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
) -> Result<(String, String)> {
    // SAFETY: as this function's.
    let (name, value) =
        unsafe { (text(name, name_len, "name")?, bytes(value.cast(), value_len, "value")?) };
    Ok((name.to_owned(), String::from_utf8_lossy(value).into_owned()))
}

/// Makes a response head with an HTTP status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_head_new(
    http_status: u16,
    head: *mut *mut poolscope_head,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            slot(head, ptr::null_mut(), "head")?
                .put(poolscope_head(Exclusive::new(Head::new(http_status))));
            Ok(())
        })
    }
}

/// Adds a header. Names count in any case; only Content-Type and Content-Encoding are looked at, so
/// the others need not be given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_head_add_header(
    head: *mut poolscope_head,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let mut head = given(head, "head")?.0.enter()?;
            head.headers.push(header(name, name_len, value, value_len)?);
            Ok(())
        })
    }
}

/// Frees a response head. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_head_free(head: *mut poolscope_head) {
    // SAFETY: the header's contract.
    unsafe { free(head) }
}

//! Texts that the library returns.

use std::ffi::c_char;

use serde::Serialize;

use super::boundary::{Result, borrow, free, value_or};
use super::failure::poolscope_error;

/// A text, most often a JSON document. Free it with poolscope_text_free().
pub struct poolscope_text {
    /// The text and a NUL.
    bytes: Vec<u8>,
}

impl poolscope_text {
    pub(super) fn json(value: &impl Serialize) -> Result<poolscope_text> {
        let mut bytes =
            serde_json::to_vec(value).map_err(|why| poolscope_error::panic(&why.to_string()))?;
        bytes.push(0);
        Ok(poolscope_text { bytes })
    }
}

/// Returns the text: UTF-8, NUL-terminated, valid until it is freed; empty for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_text_data(text: *const poolscope_text) -> *const c_char {
    // SAFETY: the header's contract.
    unsafe { value_or(c"".as_ptr(), || Ok(borrow(text, "text")?.bytes.as_ptr().cast())) }
}

/// Returns the length in bytes, without the NUL; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_text_len(text: *const poolscope_text) -> usize {
    // SAFETY: the header's contract.
    unsafe { value_or(0, || Ok(borrow(text, "text")?.bytes.len() - 1)) }
}

/// Frees a text. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_text_free(text: *mut poolscope_text) {
    // SAFETY: the header's contract.
    unsafe { free(text) }
}

//! Text that C owns.

use std::ffi::c_char;

use serde::Serialize;

use super::border::{Result, answer, free, given};
use super::failure::poolscope_error;

/// A piece of text, most often a JSON document. Free it with poolscope_text_free().
pub struct poolscope_text {
    /// With a NUL at the end that does not count.
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

/// The text: UTF-8, followed by a NUL, valid until it is freed. Of NULL: an empty one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_text_data(text: *const poolscope_text) -> *const c_char {
    // SAFETY: the header's contract.
    unsafe { answer(c"".as_ptr(), || Ok(given(text, "text")?.bytes.as_ptr().cast())) }
}

/// Its length in bytes, without the NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_text_len(text: *const poolscope_text) -> usize {
    // SAFETY: the header's contract.
    unsafe { answer(0, || Ok(given(text, "text")?.bytes.len() - 1)) }
}

/// Frees a text. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_text_free(text: *mut poolscope_text) {
    // SAFETY: the header's contract.
    unsafe { free(text) }
}

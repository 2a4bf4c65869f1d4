//! The version of the library.

use std::ffi::{CStr, c_char};

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no NUL"),
    };

/// Returns the version of the linked library, such as `0.1.0`: NUL-terminated, valid for ever.
/// POOLSCOPE_VERSION is the version of the header.
#[unsafe(no_mangle)]
pub extern "C" fn poolscope_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Returns the version of the linked library as a number, to be compared with
/// POOLSCOPE_VERSION_NUMBER: `major << 16 | minor << 8 | patch`.
#[unsafe(no_mangle)]
pub extern "C" fn poolscope_version_number() -> u32 {
    const fn number(text: &str) -> u32 {
        let (mut value, mut at) = (0, 0);
        while at < text.len() {
            value = value * 10 + (text.as_bytes()[at] - b'0') as u32;
            at += 1;
        }
        value
    }
    const {
        number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
            | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
            | number(env!("CARGO_PKG_VERSION_PATCH"))
    }
}

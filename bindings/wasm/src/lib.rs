//! The C ABI of `poolscope-capi` for wasm, with the few functions that a host needs besides: memory
//! for its arguments, and a start. `make guest` translates the result to Go.
//!
//! A panic aborts: there is no unwinding. The host reads the message of the panic from the memory of
//! the module, and never calls the module again.
#![cfg(all(target_family = "wasm", target_os = "unknown"))]
// The contract of every function is in its comment; the host is no Rust program.
#![allow(clippy::missing_safety_doc, non_camel_case_types)]
#![deny(clippy::undocumented_unsafe_blocks)]

use std::alloc::{Layout, alloc, dealloc};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

// Exports all of its functions.
pub use poolscope_capi::*;

/// The message of the panic that ended the module; NULL while it lives.
#[repr(C)]
#[derive(Debug)]
pub struct poolscope_panic_message {
    message: AtomicPtr<u8>,
    len: AtomicUsize,
}

static PANIC: poolscope_panic_message = poolscope_panic_message {
    message: AtomicPtr::new(std::ptr::null_mut()),
    len: AtomicUsize::new(0),
};

/// Starts the module: call it once, before every other function. `seed` is a random number. Returns
/// the place where the message of a panic will be.
#[unsafe(no_mangle)]
pub extern "C" fn poolscope_start(seed: u64) -> *const poolscope_panic_message {
    poolscope::seed_hashes(seed);
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.to_string().leak();
        PANIC.len.store(message.len(), Ordering::Relaxed);
        PANIC.message.store(message.as_mut_ptr(), Ordering::Relaxed);
    }));
    &PANIC
}

/// Panics with a message, so that a host can test how it reports one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_panic(message: *const u8, len: usize) {
    // SAFETY: the host gives bytes of its own.
    let message = unsafe { std::slice::from_raw_parts(message, len) };
    panic!("{}", String::from_utf8_lossy(message));
}

/// All memory has the alignment of the largest field of the ABI's structures.
const fn layout(len: usize) -> Option<Layout> {
    match Layout::from_size_align(len, 8) {
        Ok(layout) if len > 0 => Some(layout),
        _ => None,
    }
}

/// Allocates `len` bytes for the host. Returns NULL if `len` is 0 or memory is exhausted.
#[unsafe(no_mangle)]
pub extern "C" fn poolscope_memory_new(len: usize) -> *mut u8 {
    // SAFETY: the size of a layout is not 0.
    layout(len).map_or(std::ptr::null_mut(), |layout| unsafe { alloc(layout) })
}

/// Frees memory of poolscope_memory_new(), with its length. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_memory_free(memory: *mut u8, len: usize) {
    if let (false, Some(layout)) = (memory.is_null(), layout(len)) {
        // SAFETY: poolscope_memory_new() allocated it with this layout.
        unsafe { dealloc(memory, layout) };
    }
}

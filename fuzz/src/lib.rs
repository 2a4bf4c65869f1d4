//! The fuzz target of the C ABI. All other targets are in `poolscope_testkit::fuzzing`.
#![allow(unused, missing_docs)]

// The wrappers around the C functions need `unsafe`, which no crate but `poolscope-capi` and its
// tests may have.
#[path = "../../bindings/c/tests/rust/main.rs"]
pub mod abi;

//! The bodies of the fuzz targets. They are the library's own tests, given the fuzzer's bytes.
#![allow(unused, missing_docs)]

#[path = "../../bindings/c/tests/rust/main.rs"]
pub mod ffi;
#[path = "../../tests/fuzz/main.rs"]
pub mod fuzz;
#[path = "../../tests/properties.rs"]
pub mod properties;
#[path = "../../tests/simulation.rs"]
pub mod simulation;

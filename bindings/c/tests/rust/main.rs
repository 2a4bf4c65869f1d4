//! The C ABI: what `include/poolscope.h` promises, and that every byte which comes out of it is
//! what the Rust API gives.
//!
//! `c` calls the functions as a C program would. `both` is one cluster twice, behind Rust and
//! behind C, asked the same: whatever is asked of it is compared, so that the tests only have to
//! say what happens.

mod both;
mod c;
mod contract;
mod explained;
mod fact_sync;
mod life;
mod nulls;
mod recordings;
pub mod sequences;
mod text;
mod threads;

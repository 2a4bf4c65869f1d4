//! The C ABI, which `include/poolscope.h` declares. The first comment of the header is the contract
//! of every function.
//!
//! Every function runs inside `boundary` or `value_or`: they turn NULL and invalid UTF-8 into a
//! status, an [`Error`](poolscope::Error) into a status and an error object, and stop panics. A
//! handle is a pointer to a `Shared` value, for any thread at any time, or to an `Exclusive` value,
//! for one call at a time. This crate is the only one with `unsafe`: it trusts the caller that
//! pointers are valid, and nothing else.
// The contract of every function is the header's first comment; C reads no Rust headings.
#![allow(clippy::missing_safety_doc)]
// The names are C's.
#![allow(non_camel_case_types)]
#![deny(clippy::undocumented_unsafe_blocks)]

mod boundary;
mod cluster;
mod exchange;
mod fact_reader;
mod fact_sync;
mod failure;
mod handle;
mod inventory;
mod listener;
mod node;
mod reply;
mod stream;
mod text;
mod version;

pub use self::cluster::*;
pub use self::exchange::*;
pub use self::fact_reader::*;
pub use self::fact_sync::*;
pub use self::failure::*;
pub use self::inventory::*;
pub use self::listener::*;
pub use self::node::*;
pub use self::reply::*;
pub use self::stream::*;
pub use self::text::*;
pub use self::version::*;

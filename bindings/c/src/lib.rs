//! The C ABI: what `include/poolscope.h` declares. The header's page has the contract that all of
//! it shares.
//!
//! Every function goes through `border`: it turns NULL and bytes that are no text into a status, an
//! [`Error`](poolscope::Error) into a status and an error object, and stops a panic there. What C
//! holds are pointers to one of two kinds of handle: `Shared`, for any thread at any time, and
//! `Exclusive`, for one call at a time, where a second call at the same time is refused. This crate
//! is the only one with `unsafe`: it trusts the caller that pointers are valid, and nothing else.
// The contract of every function is the header's page; C reads no Rust headings.
#![allow(clippy::missing_safety_doc)]
// C's names.
#![allow(non_camel_case_types)]
#![deny(clippy::undocumented_unsafe_blocks)]

mod border;
mod cluster;
mod failure;
mod feed;
mod handle;
mod head;
mod inventory;
mod node;
mod opened;
mod request;
mod stream;
mod text;
mod version;

pub use self::cluster::*;
pub use self::failure::*;
pub use self::feed::*;
pub use self::head::*;
pub use self::inventory::*;
pub use self::node::*;
pub use self::opened::*;
pub use self::request::*;
pub use self::stream::*;
pub use self::text::*;
pub use self::version::*;

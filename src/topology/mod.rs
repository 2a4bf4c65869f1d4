//! Pure decisions: what a Service asks for, and which endpoints that leaves to one node.
//!
//! Strict keys ([`keys::Keys`]) are decided endpoint by endpoint ([`verdict`]). Ordered keys, where
//! an empty step gives way to the next, need all slices of a Service at once ([`fallback`]).

pub(crate) mod fallback;
pub(crate) mod keys;
mod members;
pub(crate) mod names;
pub(crate) mod verdict;

pub(crate) use self::members::Members;

//! Pure decisions: what a Service asks for, and which endpoints that leaves to one node.
//!
//! Strict keys ([`keys::Keys`]) are decided endpoint by endpoint ([`verdict`]). Ordered keys, where
//! an empty step gives way to the next, need all slices of a Service at once ([`fallback`]).

pub(crate) mod fallback;
pub(crate) mod keys;
mod members;
pub(crate) mod verdict;

use std::collections::HashMap;

pub(crate) use self::members::Members;

/// Names to values, with a hasher that is seeded anew in every process: the names come from the
/// cluster.
pub(crate) type Names<V> = HashMap<Box<[u8]>, V, foldhash::fast::RandomState>;

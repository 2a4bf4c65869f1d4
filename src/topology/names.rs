//! Maps keyed by names of the cluster.

use std::collections::HashMap;

use crate::hash::FastState;

/// Names to values, with a hasher that is seeded anew in every process: the names come from the
/// cluster.
pub(crate) type Names<V> = HashMap<Box<[u8]>, V, FastState>;

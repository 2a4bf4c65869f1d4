//! Objects of one kind by key, each with the version it was seen at.

use std::collections::HashSet;

use super::fact::Fact;
use super::source::Version;
use crate::topology::Names;

#[derive(Debug)]
pub(super) struct Table<V> {
    entries: Names<(Version, V)>,
}

/// What a Node or CiliumNode says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// The pool it is labelled with.
    pub(super) pool: Option<Box<[u8]>>,
}

impl<V> Default for Table<V> {
    fn default() -> Table<V> {
        Table { entries: Names::default() }
    }
}

impl<V> Table<V> {
    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(super) fn version(&self, key: &[u8]) -> Option<Version> {
        self.entries.get(key).map(|&(version, _)| version)
    }

    /// Puts an object in and returns what was there.
    pub(super) fn set(&mut self, key: &[u8], version: Version, value: V) -> Option<V> {
        self.entries.insert(key.into(), (version, value)).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<V> {
        self.entries.remove(key).map(|(_, value)| value)
    }

    /// Keys that a complete list at `version` does not have, and that were not seen later than it.
    pub(super) fn absent_from(&self, version: Version, list: &[Fact]) -> Vec<Box<[u8]>> {
        let listed: HashSet<&[u8]> = list.iter().map(|fact| &*fact.key).collect();
        let absent = |key: &[u8], seen: Version| !listed.contains(key) && !version.is_before(seen);
        self.entries.iter().filter(|(key, (seen, _))| absent(key, *seen)).map(|(key, _)| key.clone()).collect()
    }
}

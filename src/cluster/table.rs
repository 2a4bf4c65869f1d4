//! Objects of one kind by key, each with the version it was seen at.

use std::collections::HashMap;
use std::sync::Arc;

use super::fact::Fact;

use crate::object::selection::Selection;
use crate::object::version::Version;
use crate::topology::Names;

#[derive(Debug)]
pub(super) struct Table<V> {
    entries: Names<Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    version: Version,
    /// The source that has it: the next list of that, or of more, has it too if it still exists.
    source: Option<Arc<Selection>>,
    value: V,
}

impl<V> Default for Table<V> {
    fn default() -> Table<V> {
        Table { entries: Names::default() }
    }
}

impl<V> Table<V> {
    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    pub(super) fn version(&self, key: &[u8]) -> Option<Version> {
        self.entries.get(key).map(|entry| entry.version)
    }

    /// Puts an object in and returns what was there. `source`: the one whose list or watch has it.
    pub(super) fn set(&mut self, key: &[u8], version: Version, source: Option<&Arc<Selection>>, value: V) -> Option<V> {
        let source = source.or_else(|| self.entries.get(key)?.source.as_ref()).cloned();
        self.entries.insert(key.into(), Entry { version, source, value }).map(|entry| entry.value)
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<V> {
        self.entries.remove(key).map(|entry| entry.value)
    }

    /// Keys that a complete list of `selection` at `version` does not have and would have if their objects were there,
    /// unless they were seen later than it.
    pub(super) fn absent_from(&self, selection: &Selection, version: Version, list: &HashMap<Box<[u8]>, Fact>) -> Vec<Box<[u8]>> {
        let absent = |key: &[u8], entry: &Entry<V>| {
            let listed = entry.source.as_ref().is_some_and(|source| selection.covers(source));
            (listed || selection.must_have(key)) && !list.contains_key(key) && !version.is_before(entry.version)
        };
        self.entries.iter().filter(|(key, entry)| absent(key, entry)).map(|(key, _)| key.clone()).collect()
    }

    /// Forgets when things were seen, not what: whatever comes next is newer.
    pub(super) fn forget_versions(&mut self) {
        for entry in self.entries.values_mut() {
            entry.version = Version::default();
        }
    }
}

//! Objects of one kind by key, each with the version it was seen at.

use std::collections::VecDeque;
use std::sync::Arc;

use super::fact::Fact;

use crate::hash::HashMap;
use crate::object::selection::Selection;
use crate::object::version::Version;
use crate::topology::names::Names;

#[derive(Debug)]
pub(super) struct Table<V> {
    entries: Names<Entry<V>>,
    /// The versions at which objects were removed. A slower stream may repeat older events.
    removed: Names<Version>,
    /// The removals in their order. An object that was added again is not in `removed` under that
    /// version.
    order: VecDeque<(Box<[u8]>, Version)>,
    /// How many objects are not stale.
    fresh: usize,
}

#[derive(Debug)]
struct Entry<V> {
    version: Version,
    /// Its source was invalidated, and it was not read since.
    is_stale: bool,
    /// The source that has it: the next list of that, or of more, has it too if it still exists.
    source: Option<Arc<Selection>>,
    value: V,
}

/// How many removals are remembered at least, and while a source has not come to them at most.
const REMOVED: (usize, usize) = (4096, 1 << 16);

impl<V> Default for Table<V> {
    fn default() -> Table<V> {
        Table {
            entries: Names::default(),
            removed: Names::default(),
            order: VecDeque::new(),
            fresh: 0,
        }
    }
}

impl<V> Table<V> {
    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Returns `true` if the object was read since the last invalidation.
    pub(super) fn is_fresh(&self, key: &[u8]) -> bool {
        self.entries.get(key).is_some_and(|entry| !entry.is_stale)
    }

    /// Returns how many objects were read since the last invalidation.
    pub(super) fn fresh(&self) -> usize {
        self.fresh
    }

    /// The version that an object was last seen at, or removed at.
    pub(super) fn version(&self, key: &[u8]) -> Option<Version> {
        self.entries.get(key).map(|entry| entry.version).or_else(|| self.removed.get(key).copied())
    }

    /// Puts an object in and returns what was there. `source`: the one whose list or watch has it.
    pub(super) fn set(
        &mut self,
        key: &[u8],
        version: Version,
        source: Option<&Arc<Selection>>,
        value: V,
    ) -> Option<V> {
        self.removed.remove(key);
        let source = source.or_else(|| self.entries.get(key)?.source.as_ref()).cloned();
        let entry = Entry { version, is_stale: false, source, value };
        let before = self.entries.insert(key.into(), entry);
        self.fresh += usize::from(before.as_ref().is_none_or(|before| before.is_stale));
        before.map(|entry| entry.value)
    }

    /// Removes an object, which was gone at `version`.
    pub(super) fn remove(&mut self, key: &[u8], version: Version) -> Option<V> {
        let before = self.removed.get(key).copied().unwrap_or_default();
        // Also of one that is not here: a slower stream may yet bring it.
        if version != Version::default() && !version.is_covered_by(before) {
            self.removed.insert(key.into(), version);
            self.order.push_back((key.into(), version));
        }
        let before = self.entries.remove(key)?;
        self.fresh -= usize::from(!before.is_stale);
        Some(before.value)
    }

    /// Forgets the oldest removals, if there are many. `mark_relisting`: every source has come to
    /// that version.
    pub(super) fn forget_removed(&mut self, mark_relisting: impl Fn(Version) -> bool) {
        while let Some((key, version)) = self.order.front() {
            let is_stale = self.removed.get(key) != Some(version);
            let goes = self.order.len() > REMOVED.1
                || self.order.len() > REMOVED.0 && mark_relisting(*version);
            if !is_stale && !goes {
                return;
            }
            if !is_stale {
                self.removed.remove(key);
            }
            self.order.pop_front();
        }
    }

    /// Keys that a complete list of `selection` at `version` does not have and would have if their
    /// objects were there, unless they were seen later than it.
    pub(super) fn absent_from(
        &self,
        selection: &Selection,
        version: Version,
        list: &HashMap<Box<[u8]>, Fact>,
    ) -> Vec<Box<[u8]>> {
        let absent = |key: &[u8], entry: &Entry<V>| {
            let listed = entry.source.as_ref().is_some_and(|source| selection.covers(source));
            (listed || selection.must_have(key))
                && !list.contains_key(key)
                && !version.is_before(entry.version)
        };
        self.entries
            .iter()
            .filter(|(key, entry)| absent(key, entry))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Forgets when things were seen, not what: whatever comes next is newer.
    pub(super) fn forget_versions(&mut self) {
        for entry in self.entries.values_mut() {
            (entry.version, entry.is_stale) = (Version::default(), true);
        }
        self.fresh = 0;
        self.removed.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(version: u64) -> Version {
        Version(Some(version))
    }

    #[test]
    fn a_removal_is_remembered_until_the_object_returns() {
        let mut table = Table::default();
        table.set(b"a", at(5), None, ());
        table.remove(b"a", at(20));
        assert_eq!((table.get(b"a"), table.version(b"a")), (None, Some(at(20))));
        table.remove(b"a", at(15));
        assert_eq!(table.version(b"a"), Some(at(20)));
        table.set(b"a", at(21), None, ());
        assert_eq!(table.version(b"a"), Some(at(21)));
        table.forget_removed(|_| true);
        assert!(table.order.is_empty(), "it is there");
    }

    #[test]
    fn an_object_is_stale_from_an_invalidation_until_it_is_read() {
        let mut table = Table::default();
        let state =
            |table: &Table<u8>| (table.is_fresh(b"a"), table.fresh(), table.get(b"a").copied());
        table.set(b"a", at(5), None, 1);
        table.set(b"a", at(6), None, 2);
        table.set(b"b", at(6), None, 3);
        assert_eq!(state(&table), (true, 2, Some(2)));
        table.forget_versions();
        assert_eq!(state(&table), (false, 0, Some(2)));
        table.set(b"a", at(3), None, 4);
        assert_eq!(state(&table), (true, 1, Some(4)));
        table.remove(b"b", at(7));
        table.remove(b"a", at(7));
        assert_eq!(state(&table), (false, 0, None));
    }

    #[test]
    fn removals_are_bounded() {
        let mut table: Table<()> = Table::default();
        let remove = |table: &mut Table<()>, numbers: std::ops::Range<usize>, past: u64| {
            for number in numbers {
                table.remove(number.to_string().as_bytes(), at(number as u64 + 1));
                table.forget_removed(|version| version.is_covered_by(at(past)));
            }
        };
        remove(&mut table, 0..REMOVED.0 + 100, 50);
        // A source has come to 50 only.
        assert_eq!(
            (table.removed.len(), table.version(b"49"), table.version(b"50")),
            (REMOVED.0 + 50, None, Some(at(51)))
        );
        remove(&mut table, REMOVED.0 + 100..REMOVED.1 + 200, 50);
        assert_eq!((table.removed.len(), table.order.len()), (REMOVED.1, REMOVED.1));
        table.forget_versions();
        assert_eq!(table.version(b"70000"), None);
    }
}

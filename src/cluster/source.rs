//! The sources of the facts of one kind.
//!
//! Several streams may carry the same kind: a client's own watch, the embedder's watch, a second
//! client with selectors. A source is a selection whose whole list was read and that no wider
//! source covers. Facts of a source up to its resourceVersion are known, whichever stream repeats
//! them. Later facts are new, whichever stream carries them.

use std::sync::Arc;

use crate::object::selection::Selection;
use crate::object::version::Version;

/// How many sources of one kind there may be; none covers another, so that there are hardly ever
/// two.
const MAX_SOURCES: usize = 8;

/// How many more there may be that ask for one object by its name.
const MAX_NAMED: usize = 256;

/// The sources of one kind, the one that was listed last at the end.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

#[derive(Debug)]
struct Source {
    selection: Arc<Selection>,
    /// Everything in the selection is known up to here.
    high: Version,
}

/// How to apply a complete list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ListScope {
    /// It has nothing new.
    Old,
    /// A wider one is known: its objects may be news, but what it does not have may be there.
    Covered,
    /// It is the state of everything selected.
    Replaces(Arc<Selection>),
}

/// How to apply an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventScope {
    /// It is newer than what is known.
    pub(crate) is_news: bool,
    /// The source that it came from.
    pub(crate) source: Option<Arc<Selection>>,
    /// DELETED means that the object is gone.
    pub(crate) may_be_gone: bool,
}

impl Sources {
    /// Returns the selections whose lists were read to the end.
    pub(crate) fn selections(&self) -> impl Iterator<Item = &Selection> {
        self.0.iter().map(|source| &*source.selection)
    }

    /// Which source has this selection.
    fn own(&self, selection: &Selection) -> Option<usize> {
        self.selections().position(|known| known == selection)
    }

    /// A list of `selection` was read to its end at `version`.
    pub(crate) fn listed(&mut self, selection: &Selection, version: Version) -> ListScope {
        let selection = match self.own(selection) {
            Some(at) if version.is_before(self.0[at].high) => return ListScope::Old,
            Some(at) => self.0.remove(at).selection,
            // One that is ahead of the wider one says what is not there, unless an object can leave
            // it and still be there.
            None if self.covers(selection, version) => return ListScope::Covered,
            None => Arc::new(selection.clone()),
        };
        // One that is ahead still knows better what it has, until the wider one has come as far.
        self.0.retain(|source| {
            !(selection.covers(&source.selection) && source.high.is_covered_by(version))
        });
        let is_named = selection.is_by_name_alone();
        let alike = |source: &Source| source.selection.is_by_name_alone() == is_named;
        if self.0.iter().filter(|source| alike(source)).count()
            == if is_named { MAX_NAMED } else { MAX_SOURCES }
        {
            // Evicting a namespace loses the least.
            let narrow = self
                .0
                .iter()
                .position(|source| alike(source) && source.selection.namespace.is_some());
            let oldest = self.0.iter().position(alike);
            narrow.or(oldest).map(|at| self.0.remove(at));
        }
        self.0.push(Source { selection: selection.clone(), high: version });
        ListScope::Replaces(selection)
    }

    /// Whether a list of `selection` at `version` is covered by a source that knows more.
    fn covers(&self, selection: &Selection, version: Version) -> bool {
        let is_ahead =
            |source: &Source| selection.cannot_be_left() && source.high.is_before(version);
        self.0.iter().any(|source| source.selection.covers(selection) && !is_ahead(source))
    }

    /// Whether another source than that of `selection` knows a later state of the object of that
    /// key than the one at `version`.
    pub(crate) fn is_known_better(
        &self,
        selection: &Selection,
        key: &[u8],
        version: Version,
    ) -> bool {
        let knows =
            |source: &Source| source.selection.must_have(key) && version.is_before(source.high);
        self.0.iter().any(|source| *source.selection != *selection && knows(source))
    }

    /// An event at `version` about the object of key `key` came on a watch of `selection` that
    /// started at `start`. `held` is the version of the object as it is known.
    pub(crate) fn event(
        &mut self,
        selection: &Selection,
        start: Version,
        version: Version,
        key: &[u8],
        held: Option<Version>,
    ) -> EventScope {
        let own = self.own(selection);
        let is_known = own.is_some_and(|own| version.is_covered_by(self.0[own].high))
            || self.must_know(key, version);
        let news = EventScope {
            is_news: !is_known && held.is_none_or(|held| !version.is_covered_by(held)),
            source: own.map(|own| self.0[own].selection.clone()),
            // Where nothing was listed yet what comes is better than nothing.
            may_be_gone: if own.is_some() {
                self.may_be_gone(selection, key)
            } else {
                self.0.is_empty() || selection.cannot_be_left()
            },
        };
        if let Some(own) = own {
            self.progress(own, start, version);
        }
        news
    }

    /// A source came to `version` on a watch that started at `start`. Those that it covers and has
    /// overtaken are none any more.
    fn progress(&mut self, own: usize, start: Version, version: Version) {
        self.0[own].progress(start, version);
        if self.0.len() > 1 {
            let Source { selection, high } = &self.0[own];
            let (selection, high) = (selection.clone(), *high);
            let is_overtaken =
                |source: &Source| source.selection != selection && source.high.is_covered_by(high);
            self.0.retain(|source| !(selection.covers(&source.selection) && is_overtaken(source)));
        }
    }

    /// Whether an object that a source of `selection` has no more is gone. One that leaves a
    /// selection still exists, and where a source must have it that one will say when it goes.
    pub(crate) fn may_be_gone(&self, selection: &Selection, key: &[u8]) -> bool {
        selection.cannot_be_left() || !self.selections().any(|known| known.must_have(key))
    }

    /// A bookmark at `version` came on a watch of `selection` that started at `start`.
    pub(crate) fn bookmark(&mut self, selection: &Selection, start: Version, version: Version) {
        if let Some(own) = self.own(selection) {
            self.progress(own, start, version);
        }
    }

    /// A single object was read; whether it is news.
    pub(crate) fn single(&self, version: Version, key: &[u8], held: Option<Version>) -> bool {
        !self.must_know(key, version) && held.is_none_or(|held| !version.is_covered_by(held))
    }

    /// Whether every source has come to `version`, so that none brings anything older.
    pub(super) fn are_all_past(&self, version: Version) -> bool {
        self.0.iter().all(|source| version.is_covered_by(source.high))
    }

    /// Whether a source has told of the object of that key up to `version`, if it existed.
    fn must_know(&self, key: &[u8], version: Version) -> bool {
        self.0
            .iter()
            .any(|source| source.selection.must_have(key) && version.is_covered_by(source.high))
    }
}

impl Source {
    /// A watch that started above what is known leaves a gap, so what it delivers does not close
    /// it.
    fn progress(&mut self, start: Version, version: Version) {
        if start.is_covered_by(self.high) {
            self.high = self.high.later(version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(namespace: Option<&str>, labels: &[&str], fields: &[&str]) -> Selection {
        let set = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect();
        Selection {
            namespace: namespace.map(str::to_owned),
            labels: set(labels),
            fields: set(fields),
        }
    }

    fn at(version: u64) -> Version {
        Version(Some(version))
    }

    #[test]
    fn the_widest_list_is_the_source() {
        let mut source = Sources::default();
        let (all, shop) = (selection(None, &[], &[]), selection(Some("shop"), &[], &[]));
        let replaces = |selection: &Selection| ListScope::Replaces(Arc::new(selection.clone()));
        assert_eq!(source.listed(&shop, at(10)), replaces(&shop));
        assert_eq!(source.listed(&all, at(15)), replaces(&all));
        assert_eq!(source.listed(&shop, at(15)), ListScope::Covered);
        assert_eq!(source.listed(&all, at(14)), ListScope::Old);
        assert_eq!(source.listed(&all, at(30)), replaces(&all));
        assert_eq!(source.selections().collect::<Vec<_>>(), [&all]);
    }

    #[test]
    fn a_narrow_source_that_is_ahead_knows_better_until_the_wide_one_has_come_as_far() {
        let mut source = Sources::default();
        let (all, shop, labelled) = (
            selection(None, &[], &[]),
            selection(Some("shop"), &[], &[]),
            selection(None, &["a"], &[]),
        );
        source.listed(&all, at(10));
        assert!(matches!(source.listed(&shop, at(20)), ListScope::Replaces(_)));
        assert_eq!(
            source.listed(&labelled, at(20)),
            ListScope::Covered,
            "what it does not have may be there"
        );
        assert!(!is_news(&mut source, &all, 10, 15, None), "gone by then");
        assert!(
            source.is_known_better(&all, b"shop/web", at(19))
                && !source.is_known_better(&all, b"iot/web", at(19))
        );
        assert!(
            !source.is_known_better(&all, b"shop/web", at(20))
                && !source.is_known_better(&shop, b"shop/web", at(15))
        );
        source.listed(&all, at(18));
        assert_eq!(source.selections().collect::<Vec<_>>(), [&shop, &all]);
        source.bookmark(&all, at(18), at(20));
        assert_eq!(source.selections().collect::<Vec<_>>(), [&all]);
    }

    #[test]
    fn lists_of_which_none_covers_another_are_sources_beside_each_other() {
        let mut source = Sources::default();
        let (shop, labelled) = (selection(Some("shop"), &[], &[]), selection(None, &["!a"], &[]));
        source.listed(&shop, at(10));
        source.listed(&labelled, at(20));
        assert_eq!(source.selections().collect::<Vec<_>>(), [&shop, &labelled]);
        // Each knows its own.
        assert!(is_news(&mut source, &shop, 10, 15, None));
        assert!(!is_news(&mut source, &labelled, 20, 15, None));
        // An object that loses the labels is still in the namespace, whose source sees its
        // deletion.
        let mut gone = |selection: &Selection, key: &[u8]| {
            source.event(selection, at(20), at(30), key, None).may_be_gone
        };
        assert_eq!(
            (gone(&labelled, b"shop/web"), gone(&labelled, b"iot/web"), gone(&shop, b"shop/web")),
            (false, true, true)
        );
    }

    #[test]
    fn of_too_many_sources_a_namespace_goes_first() {
        let mut source = Sources::default();
        let labelled = selection(None, &["!a"], &[]);
        source.listed(&labelled, at(1));
        for number in 0..MAX_SOURCES as u64 {
            source.listed(&selection(Some(&format!("n{number}")), &[], &[]), at(2 + number));
        }
        let left = |source: &Sources| -> Vec<String> {
            source.selections().map(|known| known.namespace.clone().unwrap_or_default()).collect()
        };
        let kept = ["", "n1", "n2", "n3", "n4", "n5", "n6", "n7"];
        assert_eq!(left(&source), kept);
        // Names take no place of theirs, and have one of their own.
        for number in 0..MAX_NAMED as u64 + 2 {
            source.listed(
                &selection(None, &[], &[&format!("metadata.name=o{number}")]),
                at(2 + number),
            );
        }
        assert_eq!(left(&source)[..kept.len()], kept);
        let named: Vec<_> = source.selections().skip(kept.len()).collect();
        assert_eq!((named.len(), named[0].must_have(b"o2")), (MAX_NAMED, true));
    }

    fn is_news(
        source: &mut Sources,
        selection: &Selection,
        start: u64,
        version: u64,
        held: Option<Version>,
    ) -> bool {
        source.event(selection, at(start), at(version), b"shop/web", held).is_news
    }

    #[test]
    fn what_is_known_is_no_news_whichever_stream_repeats_it() {
        let mut source = Sources::default();
        let (all, shop) = (selection(None, &[], &[]), selection(Some("shop"), &[], &[]));
        source.listed(&all, at(10));
        assert!(is_news(&mut source, &all, 10, 15, Some(at(9))));
        assert!(!is_news(&mut source, &all, 10, 15, None), "deleted by then, or held");
        assert!(!is_news(&mut source, &all, 10, 12, None));
        source.bookmark(&all, at(10), at(20));
        assert!(!is_news(&mut source, &all, 10, 18, None));
        assert!(!is_news(&mut source, &shop, 10, 18, None));
        assert!(is_news(&mut source, &shop, 10, 30, Some(at(18))), "the narrower watch was faster");
        assert!(is_news(&mut source, &all, 10, 25, None), "and completes nothing");
    }

    #[test]
    fn leaving_a_narrower_selection_is_not_the_end_of_an_object() {
        let mut source = Sources::default();
        source.listed(&selection(None, &[], &[]), at(10));
        let mut gone = |selection: &Selection| {
            source.event(selection, at(10), at(20), b"shop/web", None).may_be_gone
        };
        assert!(!gone(&selection(None, &["a=b"], &[])));
        assert!(gone(&selection(Some("shop"), &[], &["metadata.name=web"])));
        assert!(
            !gone(&selection(Some("shop"), &["a=b"], &["metadata.name=web"])),
            "it may have lost the label"
        );
        assert!(gone(&selection(None, &[], &[])));
    }

    #[test]
    fn a_watch_that_started_above_leaves_the_gap_open() {
        let mut source = Sources::default();
        let all = selection(None, &[], &[]);
        source.listed(&all, at(10));
        assert!(is_news(&mut source, &all, 100, 150, None));
        assert!(
            is_news(&mut source, &all, 10, 120, None),
            "the slower stream still closes the gap"
        );
    }
}

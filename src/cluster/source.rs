//! Where the facts of one kind come from, and which of them are news.
//!
//! Several streams may carry the same kind: a client's own watch, the embedder's feed, a second client with selectors.
//! One of them is the source: the widest list seen. What it has delivered up to a resourceVersion is known, whichever
//! stream repeats it later.

use crate::object::selection::Selection;
use crate::object::version::Version;

/// The source of one kind.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// What was listed to the end, once something was.
    pub(crate) selection: Option<Selection>,
    /// Everything in the selection is known up to here.
    high: Version,
}

/// What to do with a complete list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// It says nothing new.
    Old,
    /// It is the state of everything selected.
    Replaces,
}

/// What an event says that was not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    /// It is newer than what is known.
    pub(crate) is_news: bool,
    /// It came from the source itself.
    pub(crate) is_own: bool,
    /// DELETED means that the object is gone.
    pub(crate) may_be_gone: bool,
}

impl Source {
    /// A list of `selection` was read to its end at `version`.
    pub(crate) fn listed(&mut self, selection: &Selection, version: Version) -> Listed {
        if let Some(known) = &self.selection {
            let same = known == selection;
            if !same && !selection.covers(known) || same && version.is_before(self.high) {
                return Listed::Old;
            }
        }
        self.selection = Some(selection.clone());
        self.high = version;
        Listed::Replaces
    }

    /// An event at `version` about the object of key `key` came on a watch of `selection` that started at `start`. `held`
    /// is the version of the object as it is known.
    pub(crate) fn event(&mut self, selection: &Selection, start: Version, version: Version, key: &[u8], held: Option<Version>) -> News {
        let mut news = News { is_news: held.is_none_or(|held| !version.is_covered_by(held)), is_own: false, may_be_gone: true };
        match &self.selection {
            // Nothing was listed yet: what comes is better than nothing, but completes nothing.
            None => {}
            Some(known) if known == selection => {
                news.is_own = true;
                news.is_news &= !version.is_covered_by(self.high);
                self.progress(start, version);
            }
            Some(known) => {
                news.is_news &= !(known.must_have(key) && version.is_covered_by(self.high));
                // An object that leaves a narrower selection is DELETED there, and still exists.
                news.may_be_gone = selection.is_of_one_name();
            }
        }
        news
    }

    /// A bookmark at `version` came on a watch of `selection` that started at `start`.
    pub(crate) fn bookmark(&mut self, selection: &Selection, start: Version, version: Version) {
        if self.selection.as_ref() == Some(selection) {
            self.progress(start, version);
        }
    }

    /// A single object was read; whether it is news.
    pub(crate) fn single(&self, version: Version, key: &[u8], held: Option<Version>) -> bool {
        let known = self.selection.as_ref().is_some_and(|known| known.must_have(key) && version.is_covered_by(self.high));
        !known && held.is_none_or(|held| !version.is_covered_by(held))
    }

    /// A watch that started above what is known leaves a gap, so what it delivers does not close it.
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
        Selection { namespace: namespace.map(str::to_owned), labels: set(labels), fields: set(fields) }
    }

    fn at(version: u64) -> Version {
        Version(Some(version))
    }

    #[test]
    fn the_widest_list_is_the_source() {
        let mut source = Source::default();
        let (all, shop) = (selection(None, &[], &[]), selection(Some("shop"), &[], &[]));
        assert_eq!(source.listed(&shop, at(10)), Listed::Replaces);
        assert_eq!(source.listed(&all, at(5)), Listed::Replaces);
        assert_eq!(source.listed(&shop, at(20)), Listed::Old);
        assert_eq!(source.listed(&all, at(4)), Listed::Old);
        assert_eq!(source.listed(&all, at(30)), Listed::Replaces);
    }

    fn is_news(source: &mut Source, selection: &Selection, start: u64, version: u64, held: Option<Version>) -> bool {
        source.event(selection, at(start), at(version), b"shop/web", held).is_news
    }

    #[test]
    fn what_is_known_is_no_news_whichever_stream_repeats_it() {
        let mut source = Source::default();
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
        let mut source = Source::default();
        source.listed(&selection(None, &[], &[]), at(10));
        let mut gone = |selection: &Selection| source.event(selection, at(10), at(20), b"shop/web", None).may_be_gone;
        assert!(!gone(&selection(None, &["a=b"], &[])));
        assert!(gone(&selection(Some("shop"), &[], &["metadata.name=web"])));
        assert!(gone(&selection(None, &[], &[])));
    }

    #[test]
    fn a_watch_that_started_above_leaves_the_gap_open() {
        let mut source = Source::default();
        let all = selection(None, &[], &[]);
        source.listed(&all, at(10));
        assert!(is_news(&mut source, &all, 100, 150, None));
        assert!(is_news(&mut source, &all, 10, 120, None), "the slower stream still closes the gap");
    }
}

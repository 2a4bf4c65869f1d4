//! Where the facts of one kind come from, and which of them are news.
//!
//! Several streams may carry the same kind: a client's own watch, the embedder's feed, a second client with selectors.
//! One of them is the source: the widest list seen. What it has delivered up to a resourceVersion is known, whichever
//! stream repeats it later.

use std::collections::BTreeSet;
use std::fmt;

/// A resourceVersion. Servers promise decimal integers that can be compared (KEP-5504); anything else is never older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Version(Option<u64>);

impl Version {
    pub(crate) fn parse(text: &str) -> Version {
        Version(text.parse().ok())
    }

    /// Certainly older than `other`, or the same.
    pub(crate) fn is_covered_by(self, other: Version) -> bool {
        matches!((self.0, other.0), (Some(own), Some(other)) if own <= other)
    }

    /// Certainly older than `other`.
    pub(crate) fn is_before(self, other: Version) -> bool {
        matches!((self.0, other.0), (Some(own), Some(other)) if own < other)
    }

    pub(crate) fn later(self, other: Version) -> Version {
        Version(self.0.max(other.0))
    }
}

/// Which objects of a kind a list or watch asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Selection {
    /// `None`: all namespaces, or a kind that has none.
    pub(crate) namespace: Option<String>,
    /// Requirements of the label selector.
    pub(crate) labels: BTreeSet<String>,
    /// Requirements of the field selector.
    pub(crate) fields: BTreeSet<String>,
}

impl Selection {
    /// Whether every object that `other` asks for is asked for here too.
    pub(crate) fn covers(&self, other: &Selection) -> bool {
        (self.namespace.is_none() || self.namespace == other.namespace)
            && self.labels.is_subset(&other.labels)
            && self.fields.is_subset(&other.fields)
    }

    /// Whether the Service of every slice that `slices` asks for is asked for here. The controllers copy a Service's
    /// labels to its slices, so a selector that slices pass is one that their Services pass; labels that only slices
    /// have say nothing of Services.
    pub(crate) fn covers_services_of(&self, slices: &Selection) -> bool {
        // kube-proxy leaves headless Services out by this field; their slices carry a label instead (wire 5).
        let headless_left_out = slices.labels.contains("!service.kubernetes.io/headless");
        (self.namespace.is_none() || self.namespace == slices.namespace)
            && self.labels.iter().all(|label| slices.labels.contains(label) && !is_of_slices(label))
            && self.fields.iter().all(|field| field == "spec.clusterIP!=None" && headless_left_out)
    }

    /// Whether a list of this selection has the object of that key, if the object exists.
    pub(super) fn must_have(&self, key: &[u8]) -> bool {
        let namespace = key.iter().position(|&byte| byte == b'/').map(|slash| &key[..slash]);
        let in_namespace = self.namespace.as_ref().is_none_or(|own| namespace == Some(own.as_bytes()));
        in_namespace && self.labels.is_empty() && self.fields.is_empty()
    }

    /// Asks for one object by its name. Such a list says all of that object and nothing of any other.
    pub(crate) fn is_of_one_name(&self) -> bool {
        self.fields.iter().any(|field| field.starts_with("metadata.name="))
    }
}

/// Whether a requirement is about a label that the controllers put on slices alone.
fn is_of_slices(requirement: &str) -> bool {
    let label = requirement.trim_start_matches('!');
    ["service.kubernetes.io/headless", "kubernetes.io/service-name", "endpointslice.kubernetes.io/"]
        .iter()
        .any(|own| label.starts_with(own))
}

impl fmt::Display for Selection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(out, "namespace {namespace}")?,
            None => out.write_str("all namespaces")?,
        }
        for (name, requirements) in [("labels", &self.labels), ("fields", &self.fields)] {
            if !requirements.is_empty() {
                write!(out, ", {name} {}", requirements.iter().map(String::as_str).collect::<Vec<_>>().join(","))?;
            }
        }
        Ok(())
    }
}

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
    fn fewer_requirements_cover_more() {
        let all = selection(None, &[], &[]);
        let shop = selection(Some("shop"), &[], &[]);
        let picked = selection(None, &["a=b", "!c"], &[]);
        assert!(all.covers(&shop) && all.covers(&picked) && all.covers(&all));
        assert!(!shop.covers(&all) && !picked.covers(&all) && !shop.covers(&picked));
        assert!(selection(None, &["!c"], &[]).covers(&picked));
    }

    #[test]
    fn services_selected_like_their_slices_are_enough() {
        let services = selection(None, &["!service.kubernetes.io/service-proxy-name"], &[]);
        let alike = selection(None, &["!service.kubernetes.io/headless", "!service.kubernetes.io/service-proxy-name"], &[]);
        assert!(services.covers_services_of(&alike));
        assert!(!services.covers_services_of(&selection(None, &["!service.kubernetes.io/headless"], &[])));
        let kube_proxy = selection(None, &["!service.kubernetes.io/service-proxy-name"], &["spec.clusterIP!=None"]);
        assert!(kube_proxy.covers_services_of(&alike));
        let headless = selection(None, &["service.kubernetes.io/headless"], &[]);
        assert!(!headless.covers_services_of(&headless), "no Service has that label");
        assert!(!kube_proxy.covers_services_of(&services));
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

    #[test]
    fn a_selection_must_have_what_it_cannot_leave_out() {
        assert!(selection(None, &[], &[]).must_have(b"shop/web") && selection(None, &[], &[]).must_have(b"node-1"));
        assert!(selection(Some("shop"), &[], &[]).must_have(b"shop/web"));
        assert!(!selection(Some("sho"), &[], &[]).must_have(b"shop/web"));
        assert!(!selection(None, &["a=b"], &[]).must_have(b"shop/web"));
        assert!(!selection(None, &[], &["metadata.name=b"]).must_have(b"a"));
    }

    #[test]
    fn versions_that_are_no_numbers_are_never_old() {
        assert!(!Version::parse("abc").is_covered_by(at(9)));
        assert!(!at(9).is_covered_by(Version::parse("")));
    }
}

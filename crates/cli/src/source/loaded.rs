//! An account of the files that a source read.

use std::borrow::Borrow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use poolscope::explain::ServiceView;

use super::recording::{Asked, Recording, refusal};
use super::scope::{ListEnd, Scope};
use crate::failure::Failure;

/// The files that were read as facts, and those that were skipped.
#[derive(Default)]
pub(crate) struct Loaded {
    used: BTreeSet<String>,
    skipped: BTreeMap<&'static str, usize>,
    /// Objects of kinds that no verdict depends on.
    others: BTreeMap<String, usize>,
    /// Files that cannot be read, each with the reason.
    unread: Vec<String>,
    /// Responses that are errors, with the plural of their kind.
    refused: Vec<(&'static str, String)>,
    /// The kinds that were read, by their plural.
    kinds: BTreeSet<&'static str>,
    /// Why a kind is absent although there is a file about it, by the plural of the kind.
    absent: BTreeMap<&'static str, Vec<String>>,
    /// The Services whose slices were read, and those whose Endpoints were read.
    slices: Scope,
    endpoints: Scope,
    /// The `continue` tokens of lists of endpoints whose next page was not read yet.
    pages: BTreeMap<String, &'static str>,
    /// Services and pools that were read one by one.
    pub(super) singles: usize,
    /// Endpoints were read from yurthub's cache.
    pub(super) cached: bool,
    /// The lists of each folder: plural, namespace and folder.
    lists: BTreeSet<(&'static str, String, PathBuf)>,
    /// Lists that two folders have: plural and the folders in their order.
    twice: BTreeSet<(&'static str, PathBuf, PathBuf)>,
    /// The operator was told of Services whose endpoints are not known.
    told: Cell<bool>,
}

/// How many unread files, objects or Services are named.
const NAMED: usize = 5;

impl Loaded {
    /// One line for the operator, and one for each file that cannot be read.
    pub(crate) fn summary(&self) -> String {
        let used: Vec<&str> = self.used.iter().map(String::as_str).collect();
        let mut text = format!(
            "facts: {}",
            if used.is_empty() { "nothing of use".to_owned() } else { used.join(", ") }
        );
        if !self.skipped.is_empty() {
            let skipped: Vec<String> =
                self.skipped.iter().map(|(why, count)| format!("{count} {why}")).collect();
            text += &format!("; skipped: {}", skipped.join(", "));
        }
        if !self.others.is_empty() {
            let mut kinds: Vec<String> = self
                .others
                .iter()
                .take(NAMED)
                .map(|(kind, count)| format!("{count} {kind}"))
                .collect();
            let rest: usize = self.others.values().skip(NAMED).sum();
            if rest > 0 {
                kinds.push(format!("{rest} more"));
            }
            text += &format!("; not needed: {}", kinds.join(", "));
        }
        if self.singles > 0 {
            text += "; single Services and pools say nothing of others: add their whole lists";
        }
        if self.cached {
            text += "; yurthub caches endpoints as its own filters left them";
        }
        if let Some((plural, first, last)) = self.twice.first() {
            let more = match self.twice.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more lists"),
            };
            let [first, last] = [first, last].map(|folder| folder.display());
            text += &format!(
                "\nread twice: {plural}{more}: from {last} after {first}; folders of different \
                 moments or clusters give wrong answers, read them one by one"
            );
        }
        // The error about a kind that was read all the same needs no attention.
        let refused = self.refused.iter().filter(|(plural, _)| !self.kinds.contains(plural));
        let unread: Vec<&String> = self.unread.iter().chain(refused.map(|(_, why)| why)).collect();
        for unread in unread.iter().take(NAMED) {
            text += &format!("\nnot read: {}", unread.replace('\n', " "));
        }
        if let Some(more @ 1..) = unread.len().checked_sub(NAMED) {
            text += &format!("\nnot read: {more} more");
        }
        text
    }

    /// Fails if no endpoints were read at all: nobody knows then who answers.
    pub(crate) fn require_endpoints(&self) -> Result<(), Failure> {
        if !self.slices.is_empty() || !self.endpoints.is_empty() {
            return Ok(());
        }
        let what = "the facts have no EndpointSlices: add them with --facts (`kubectl get \
                    endpointslices -A -o json`)";
        Err(Failure(what.to_owned() + &self.reasons(&["endpointslices", "endpoints"])))
    }

    /// Returns `true` if the facts would have a Service of this name if there were one.
    pub(crate) fn tells_of(&self, view: &ServiceView) -> bool {
        self.scope().has(view)
    }

    /// Endpoints objects count only if no slices were read.
    fn scope(&self) -> &Scope {
        if self.slices.is_empty() { &self.endpoints } else { &self.slices }
    }

    /// Returns the views of Services whose endpoints were read; the others are named on standard
    /// error.
    ///
    /// # Errors
    ///
    /// Fails if the endpoints of none of the Services were read.
    pub(super) fn with_endpoints<V: Borrow<ServiceView>>(
        &self,
        views: Vec<V>,
    ) -> Result<Vec<V>, Failure> {
        let has_any = !views.is_empty();
        let (known, unknown): (Vec<_>, Vec<_>) =
            views.into_iter().partition(|view| self.scope().covers(view.borrow()));
        if unknown.is_empty() {
            return Ok(known);
        }
        let mut names: Vec<String> = unknown
            .iter()
            .take(NAMED)
            .map(Borrow::borrow)
            .map(|view| format!("{}/{}", view.namespace, view.name))
            .collect();
        if unknown.len() > NAMED {
            names.push(format!("{} more", unknown.len() - NAMED));
        }
        let what = format!(
            "the facts have no EndpointSlices of {}: add those of its namespace with --facts{}",
            names.join(", "),
            self.reasons(&["endpointslices", "endpoints"])
        );
        if has_any && known.is_empty() {
            return Err(Failure(what));
        }
        // A comparison asks once for each node.
        if !self.told.replace(true) {
            eprintln!("warning: not shown: {what}");
        }
        Ok(known)
    }

    /// Returns why kinds are absent although there are files about them, to be appended to an
    /// error; empty if nothing is known of it.
    pub(super) fn reasons(&self, plurals: &[&str]) -> String {
        let mut reasons: Vec<&str> = plurals
            .iter()
            .filter_map(|plural| self.absent.get(*plural))
            .flatten()
            .map(String::as_str)
            .collect();
        let is_open = |plural: &&str| self.pages.values().any(|open| open == plural);
        if plurals.iter().any(is_open) {
            reasons.push("the last page of a list is missing: add the pages in their order");
        }
        reasons.truncate(NAMED);
        reasons.iter().map(|reason| format!("; {reason}")).collect()
    }

    /// Records the endpoints of a response.
    pub(super) fn read_endpoints(&mut self, recording: &Recording, asked: &Asked) {
        let end = ListEnd::of(&recording.body);
        if asked.list && !asked.token.is_empty() && self.pages.remove(&asked.token).is_none() {
            let path = recording.path.display();
            let why = format!("{path} is a page of a list: add the pages before it");
            return self.lack(asked.plural, why);
        }
        if asked.list && !end.is_last() {
            self.pages.insert(end.token, asked.plural);
            return;
        }
        let scope = asked.scope.clone().unwrap_or_else(|| {
            match (asked.list && !asked.part, asked.namespace.as_str()) {
                (true, "") => Scope::whole(),
                (true, namespace) => Scope::of_namespace(namespace),
                (false, _) => Scope::of_objects(&recording.body, &asked.namespace),
            }
        });
        match asked.plural {
            "endpoints" => self.endpoints.add(scope),
            _ => self.slices.add(scope),
        }
    }

    /// Records a file that was used.
    pub(super) fn used(&mut self, name: String, plural: &'static str) {
        self.used.insert(name);
        self.kinds.insert(plural);
    }

    /// Records a list of a folder; the namespace is empty for all of them.
    pub(super) fn read_list_of(&mut self, folder: &Path, plural: &'static str, namespace: &str) {
        let is_known = |(known, other, from): &&(&str, String, PathBuf)| {
            *known == plural
                && (other.is_empty() || namespace.is_empty() || other == namespace)
                && from != folder
        };
        if let Some((_, _, first)) = self.lists.iter().find(is_known) {
            self.twice.insert((plural, first.clone(), folder.to_owned()));
        }
        self.lists.insert((plural, namespace.to_owned(), folder.to_owned()));
    }

    /// Records a response that is an error.
    pub(super) fn refused(&mut self, recording: &Recording, asked: &Asked) {
        let why = refusal(recording);
        self.refused.push((asked.plural, why.clone()));
        self.lack(asked.plural, why);
    }

    /// Records why a kind is absent although there is a file about it.
    pub(super) fn lack(&mut self, plural: &'static str, why: String) {
        self.absent.entry(plural).or_default().push(why);
    }

    /// Records a list that is only a part.
    pub(super) fn part(&mut self, path: &Path, plural: &'static str, end: &ListEnd) {
        self.skip("parts of lists");
        let path = path.display();
        let what = match end.remaining {
            _ if end.is_last() => "only a part of the list".to_owned(),
            Some(more) => format!("a page of the list, and {more} more objects follow"),
            None => "a page of the list, and more follow".to_owned(),
        };
        self.lack(plural, format!("{path} has {what}: add the whole list"));
    }

    pub(super) fn skip(&mut self, why: &'static str) {
        *self.skipped.entry(why).or_default() += 1;
    }

    /// Counts objects of a kind that no verdict depends on.
    pub(super) fn ignore(&mut self, kind: &str, count: usize) {
        if count > 0 {
            *self.others.entry(kind.to_owned()).or_default() += count;
        }
    }

    /// Records a file that cannot be read.
    pub(super) fn unread(&mut self, why: String) {
        self.unread.push(why);
    }
}

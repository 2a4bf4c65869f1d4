//! An account of the files that a source read.

use std::collections::{BTreeMap, BTreeSet};

use crate::failure::Failure;

/// The files that were read as facts, and those that were skipped.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(super) used: BTreeSet<String>,
    skipped: BTreeMap<&'static str, usize>,
    /// Files of folders that cannot be read, each with the reason.
    pub(super) unread: Vec<String>,
    /// Slices or Endpoints were read.
    pub(super) has_endpoints: bool,
    /// Services and pools that were read one by one.
    pub(super) singles: usize,
}

/// How many unread files are named.
const NAMED: usize = 5;

impl Loaded {
    /// One line for the operator.
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
        if self.singles > 0 {
            text += "; single Services and pools say nothing of others: add their whole lists";
        }
        for unread in self.unread.iter().take(NAMED) {
            text += &format!("\nnot read: {unread}");
        }
        if let Some(more @ 1..) = self.unread.len().checked_sub(NAMED) {
            text += &format!("\nnot read: {more} more");
        }
        text
    }

    /// Fails if no endpoints were read at all: nobody knows then who answers.
    pub(crate) fn require_endpoints(&self) -> Result<(), Failure> {
        if self.has_endpoints {
            return Ok(());
        }
        let what = "the facts have no EndpointSlices: add them with --facts (`kubectl get \
                    endpointslices -A -o json`)";
        Err(Failure(what.to_owned()))
    }

    pub(super) fn skip(&mut self, why: &'static str) {
        *self.skipped.entry(why).or_default() += 1;
    }
}

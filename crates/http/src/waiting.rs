//! The responses that wait for missing facts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use poolscope::{FactKind, MissingFact};

/// A response that waits for missing facts.
///
/// ```
/// use poolscope_http::Waiting;
///
/// /// A line of a status page.
/// fn line(waiting: &Waiting) -> String {
///     let missing: Vec<String> = waiting.missing.iter().map(ToString::to_string).collect();
///     let seconds = waiting.since.elapsed().as_secs();
///     format!("{} waits for {seconds} s: {}", waiting.target, missing.join("; "))
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Waiting {
    /// The path and query of the request.
    pub target: String,
    /// The time at which the response began to wait.
    pub since: Instant,
    /// The facts that it waits for.
    pub missing: Vec<MissingFact>,
}

/// The responses that wait, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct WaitingList(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// Since when responses have lacked facts of a kind, whether they waited or got a reply.
    lacking: BTreeMap<FactKind, Instant>,
}

impl WaitingList {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        // No method panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn list(&self) -> Vec<Waiting> {
        self.lock().waiting.values().cloned().collect()
    }

    /// Notes what a response lacks.
    pub(crate) fn lack(&self, missing: &[MissingFact], now: Instant) {
        let mut entries = self.lock();
        for fact in missing {
            entries.lacking.entry(fact.kind).or_insert(now);
        }
    }

    /// Returns the kinds that responses have lacked since before `then`. Kinds that are not missing
    /// now are forgotten.
    pub(crate) fn lacking(&self, missing: &[MissingFact], then: Instant) -> Vec<FactKind> {
        let mut entries = self.lock();
        entries.lacking.retain(|kind, _| missing.iter().any(|fact| fact.kind == *kind));
        let old = entries.lacking.iter().filter(|(_, since)| **since <= then);
        old.map(|(kind, _)| *kind).collect()
    }

    /// Adds a response that waits until the entry is dropped.
    pub(crate) fn add(self: &Arc<Self>, target: String, since: Instant) -> Entry {
        let mut entries = self.lock();
        let id = entries.next;
        entries.next += 1;
        let waiting = Waiting { target, since, missing: Vec::new() };
        entries.waiting.insert(id, waiting);
        Entry { list: self.clone(), id }
    }
}

/// One response that waits.
pub(crate) struct Entry {
    list: Arc<WaitingList>,
    id: u64,
}

impl Entry {
    pub(crate) fn set_missing(&self, missing: &[MissingFact]) {
        if let Some(waiting) = self.list.lock().waiting.get_mut(&self.id) {
            waiting.missing = missing.to_vec();
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.list.lock().waiting.remove(&self.id);
    }
}

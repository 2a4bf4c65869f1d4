//! The log of changes by generation.

use std::collections::VecDeque;

/// Something that a verdict may depend on has changed.
///
/// ```
/// use poolscope::{Change, Cluster, Config, RequestHead, ResponseHead};
///
/// let cluster = Cluster::new(Config::openyurt())?;
/// let json = ResponseHead::ok("application/json");
/// let mut reader = cluster.read_facts(&RequestHead::get("/api/v1/nodes/hz-1"), &json)?;
/// reader.push(br#"{"metadata":{"name":"hz-1","labels":{"apps.openyurt.io/nodepool":"hangzhou"}}}"#)?;
/// reader.finish()?;
/// assert_eq!(cluster.changes_since(0), Some(vec![Change::Node("hz-1".into())]));
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Change {
    /// A Service, as `namespace/name`, asks for something else, is new or is gone.
    Service(Box<str>),
    /// A node is labelled with another pool: its own view of everything changes.
    Node(Box<str>),
    /// A node joined or left a pool: endpoints on it are seen by others, or no longer.
    Member {
        /// The node.
        node: Box<str>,
        /// The pool that it joined or left.
        pool: Box<str>,
    },
    /// A pool became known or unknown.
    Pool(Box<str>),
    /// This ConfigMap, as `namespace/name`, names other clients for the rewrites.
    Clients(Box<str>),
}

/// How many changes are kept. A client state that is further behind is evaluated whole.
const CAPACITY: usize = 4096;

/// The generation and the changes that led to it.
#[derive(Debug, Default)]
pub(crate) struct Log {
    generation: u64,
    changes: VecDeque<(u64, Change)>,
    /// Changes up to this generation may be forgotten.
    forgotten: u64,
}

impl Log {
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Notes changes that happened together; none leave the generation as it is.
    pub(crate) fn note(&mut self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        self.generation += 1;
        for change in changes {
            if self.changes.len() == CAPACITY {
                self.forgotten =
                    self.changes.pop_front().map_or(self.forgotten, |(generation, _)| generation);
            }
            self.changes.push_back((self.generation, change));
        }
    }

    /// Begins a generation from which on changes are kept: client states that have looked at none
    /// are evaluated whole.
    pub(crate) fn begin_anew(&mut self) {
        self.generation += 1;
        self.forgotten = self.generation;
        self.changes.clear();
    }

    /// Returns the changes after `generation`, or `None` if they are no longer kept.
    pub(crate) fn since(&self, generation: u64) -> Option<Vec<Change>> {
        if generation < self.forgotten {
            return None;
        }
        let first = self.changes.partition_point(|(at, _)| *at <= generation);
        Some(self.changes.iter().skip(first).map(|(_, change)| change.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: usize) -> Change {
        Change::Service(format!("ns/{name}").into())
    }

    #[test]
    fn changes_are_told_since_a_generation() {
        let mut log = Log::default();
        log.note(vec![]);
        assert_eq!(log.generation(), 0);
        log.note(vec![service(1), service(2)]);
        log.note(vec![service(3)]);
        assert_eq!(log.generation(), 2);
        assert_eq!(log.since(0), Some(vec![service(1), service(2), service(3)]));
        assert_eq!(log.since(1), Some(vec![service(3)]));
        assert_eq!(log.since(2), Some(vec![]));
    }

    #[test]
    fn what_is_forgotten_is_said_to_be() {
        let mut log = Log::default();
        for name in 0..CAPACITY + 10 {
            log.note(vec![service(name)]);
        }
        assert_eq!(log.since(9), None);
        assert_eq!(log.since(10).map(|changes| changes.len()), Some(CAPACITY));
    }
}

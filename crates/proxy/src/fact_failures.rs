//! The failures of requests for facts, for the log and for `/readyz`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use poolscope::{FactKind, MissingFact};
use poolscope_http::FactEvent;

/// The last failure of each kind of facts.
#[derive(Debug, Default)]
pub struct FactFailures(Mutex<Vec<(FactKind, String)>>);

impl FactFailures {
    /// Records and logs an event. A failure that repeats is logged once, so that a missing right
    /// is one line of the log.
    pub fn record(&self, event: FactEvent) {
        let mut failures = self.lock();
        match event {
            FactEvent::Failed { kind, message, again_in } => {
                let known = failures.iter_mut().find(|(known, _)| *known == kind);
                if known.as_ref().is_some_and(|(_, known)| *known == message) {
                    tracing::debug!(%kind, ?again_in, "facts: {message}");
                    return;
                }
                tracing::warn!(%kind, ?again_in, "facts: {message}");
                match known {
                    Some((_, known)) => *known = message,
                    None => failures.push((kind, message)),
                }
            }
            FactEvent::Answered(kind) => {
                let before = failures.len();
                failures.retain(|(known, _)| *known != kind);
                if failures.len() < before {
                    tracing::info!(%kind, "facts: the API server responds again");
                } else {
                    tracing::debug!(%kind, "facts: the API server responded");
                }
            }
        }
    }

    /// Returns why a fact is missing: the fact, and the last failure of its request.
    pub fn reason(&self, missing: &MissingFact) -> String {
        let failures = self.lock();
        match failures.iter().find(|(kind, _)| *kind == missing.kind) {
            Some((_, failure)) => format!("{missing}; the last request failed: {failure}"),
            None => format!("{missing}; its request runs"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(FactKind, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use poolscope::{Cluster, Config};

    use super::*;

    #[test]
    fn a_reason_has_the_last_failure_until_the_server_responds() {
        let missing = Cluster::new(Config::openyurt()).unwrap().missing("hz-1").remove(0);
        let failures = FactFailures::default();
        assert!(failures.reason(&missing).ends_with("; its request runs"));
        for message in ["status 503", "status 403: grant the account list"] {
            let again_in = Duration::from_secs(1);
            let message = message.to_owned();
            failures.record(FactEvent::Failed { kind: missing.kind, message, again_in });
        }
        let reason = failures.reason(&missing);
        assert!(reason.ends_with("failed: status 403: grant the account list"), "{reason}");
        failures.record(FactEvent::Answered(missing.kind));
        assert!(failures.reason(&missing).ends_with("; its request runs"));
    }
}

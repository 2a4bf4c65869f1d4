//! A fact sync behind C and behind Rust, told the same: each step of the one is that of the other.

use std::time::Duration;

use poolscope::{Config, FactKind, FactStep, FetchId};
use poolscope_capi::poolscope_fact_action::{self, *};
use poolscope_capi::poolscope_status::POOLSCOPE_ERR_INVALID_ARGUMENT;

use super::c;

const BEGINNING: &str = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
const EXPIRED: &str = r#"{"type":"ERROR","object":{"code":410}}"#;

struct Both {
    rust: poolscope::FactSync,
    c: c::FactSync,
}

impl Both {
    fn new() -> Both {
        let node = poolscope::Cluster::new(Config::openyurt()).unwrap().node("hz-1");
        // Freed before the sync, which keeps its cluster.
        let of_c = c::Cluster::new("{}").unwrap().node("hz-1").unwrap();
        Both { rust: poolscope::FactSync::new(node, 11), c: c::FactSync::new(&of_c, 11).unwrap() }
    }

    /// The next step, which must be the same.
    fn next(&mut self, now: u64) -> FactStep {
        let rust = self.rust.next(Duration::from_millis(now));
        let c = self.c.next(now).unwrap();
        let step = |action: poolscope_fact_action, id: u64, millis: u64| c::FactStep {
            action,
            id,
            millis,
            kind: String::new(),
            target: String::new(),
            accept: String::new(),
            message: String::new(),
        };
        let expected = match &rust {
            FactStep::Fetch(request) => c::FactStep {
                kind: request.kind.to_string(),
                target: request.target.clone(),
                accept: request.accept.to_owned(),
                ..step(POOLSCOPE_FACT_FETCH, request.id.number(), 0)
            },
            FactStep::Cancel(id) => step(POOLSCOPE_FACT_CANCEL, id.number(), 0),
            FactStep::Failed { kind, message, again_in, .. } => c::FactStep {
                kind: kind.to_string(),
                message: message.clone(),
                ..step(POOLSCOPE_FACT_FAILED, 0, again_in.as_millis() as u64)
            },
            FactStep::Answered(kind) => {
                c::FactStep { kind: kind.to_string(), ..step(POOLSCOPE_FACT_ANSWERED, 0, 0) }
            }
            FactStep::Wait(time) => {
                let millis = time.map_or(u64::MAX, |time| time.as_millis() as u64);
                step(POOLSCOPE_FACT_WAIT, 0, millis)
            }
            other => panic!("{other:?} is not known to C"),
        };
        assert_eq!(c, expected);
        rust
    }

    fn head(&mut self, id: FetchId, head: &poolscope::ResponseHead, now: u64) -> bool {
        let rust = self.rust.head(id, head, Duration::from_millis(now));
        let c = self.c.head(id.number(), &c::ResponseHead::of(head), now);
        assert_eq!(c, Ok(rust));
        rust
    }

    fn push(&mut self, id: FetchId, data: &str, now: u64) -> bool {
        let rust = self.rust.push(id, data.as_bytes(), Duration::from_millis(now));
        assert_eq!(self.c.push(id.number(), data.as_bytes(), now), Ok(rust));
        rust
    }

    fn end(&mut self, id: FetchId, now: u64) {
        self.rust.end(id, Duration::from_millis(now));
        self.c.end(id.number(), now).unwrap();
    }

    fn broke(&mut self, id: FetchId, why: &str, now: u64) {
        self.rust.broke(id, why, Duration::from_millis(now));
        self.c.broke(id.number(), why, now).unwrap();
    }
}

#[test]
fn steps_behind_c_are_those_behind_rust() {
    let mut both = Both::new();
    both.rust.leave_to_client(FactKind::Node);
    both.c.leave_to_client("Node").unwrap();
    let json = poolscope::ResponseHead::ok("application/json");
    let (mut now, mut fetches, mut seen) = (0, 0, std::collections::BTreeSet::new());
    while fetches < 40 {
        match both.next(now) {
            FactStep::Fetch(request) => {
                let id = request.id;
                fetches += 1;
                seen.insert(request.kind);
                match fetches % 8 {
                    // The server of this test has only watches.
                    _ if !request.target.contains("watch=true") => both.broke(id, "?", now),
                    0 => both.broke(id, "refused", now),
                    1 => {
                        let busy = poolscope::ResponseHead::new(429).header("Retry-After", "3");
                        assert!(!both.head(id, &busy, now));
                    }
                    2 => {
                        assert!(both.head(id, &json, now));
                        assert!(!both.push(id, EXPIRED, now));
                    }
                    3 => {
                        assert!(both.head(id, &json, now));
                        both.end(id, now);
                    }
                    4 => assert!(both.head(id, &json, now)),
                    _ => {
                        assert!(both.head(id, &json, now));
                        assert!(both.push(id, BEGINNING, now));
                        both.end(id, now + 1);
                    }
                }
            }
            FactStep::Wait(Some(time)) => now += time.as_millis() as u64,
            FactStep::Wait(None) => panic!("nothing is needed"),
            _ => {}
        }
        if fetches == 20 {
            both.rust.require(FactKind::Node);
            both.c.require("Node").unwrap();
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn a_sync_that_needs_nothing_waits_for_good() {
    let node =
        c::Cluster::new(r#"{"rewrites":{"serviceTopology":false}}"#).unwrap().node("hz-1").unwrap();
    let step = c::FactSync::new(&node, 1).unwrap().next(5).unwrap();
    assert_eq!((step.action, step.millis), (POOLSCOPE_FACT_WAIT, u64::MAX));
}

#[test]
fn kinds_and_ids_that_are_not_known_are_refused() {
    let mut both = Both::new();
    for refused in [both.c.leave_to_client("Pod"), both.c.require("")] {
        let failure = refused.unwrap_err();
        assert_eq!(failure.status, POOLSCOPE_ERR_INVALID_ARGUMENT);
        assert!(failure.message.contains("is not a kind of facts"), "{}", failure.message);
    }
    assert_eq!(both.c.push(99, b"{", 0), Ok(false));
    both.c.end(99, 0).unwrap();
    both.c.broke(99, "", 0).unwrap();
    assert!(matches!(both.next(0), FactStep::Fetch(_)));
}

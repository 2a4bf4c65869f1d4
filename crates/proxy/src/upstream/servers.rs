//! The list of servers, and the order in which a new connection tries them.

use std::time::{Duration, Instant};

use super::settings::Server;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Failed probes in a row after which a server is down.
const FAILURES_TO_DOWN: u32 = 3;
/// Successful probes in a row after which a server is up again.
const SUCCESSES_TO_UP: u32 = 2;

/// The known servers. Failures change only their order: a server is never excluded, and the list
/// is never replaced by an empty one.
pub(super) struct Servers {
    known: Vec<Known>,
    /// The server of the last successful connection, which the next one tries first.
    current: Option<Server>,
}

/// A server with its record of failures.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) server: Server,
    /// Failures since the server was listed.
    pub(super) failures: u64,
    pub(super) last_error: Option<String>,
    /// Failures since the last successful connection.
    in_a_row: u32,
    back_off_until: Option<Instant>,
    health: Health,
}

/// The results of a server's probes.
#[derive(Clone, Copy, Default)]
struct Health {
    is_down: bool,
    /// Results in a row that contradict `is_down`.
    contradictions: u32,
}

impl Health {
    /// Records a result. Returns `true` if `is_down` changed.
    fn record(&mut self, is_ready: bool) -> bool {
        if is_ready != self.is_down {
            self.contradictions = 0;
            return false;
        }
        self.contradictions += 1;
        let needed = if self.is_down { SUCCESSES_TO_UP } else { FAILURES_TO_DOWN };
        let changes = self.contradictions >= needed;
        if changes {
            *self = Health { is_down: !self.is_down, contradictions: 0 };
        }
        changes
    }
}

impl Known {
    fn new(server: Server) -> Known {
        Known {
            server,
            failures: 0,
            last_error: None,
            in_a_row: 0,
            back_off_until: None,
            health: Health::default(),
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.health.is_down
    }
}

impl Servers {
    pub(super) fn new(servers: Vec<Server>) -> Servers {
        let mut known = Servers { known: Vec::new(), current: None };
        known.replace(servers);
        known
    }

    /// Returns all servers in the order of attempts: first those that are up and do not back off,
    /// the current one ahead, then the others that are up by the end of their back-off, then those
    /// that are down.
    pub(super) fn order(&self, now: Instant) -> Vec<Server> {
        let mut known: Vec<&Known> = self.known.iter().collect();
        known.sort_by_key(|known| {
            let back_off = known.back_off_until.filter(|until| *until > now);
            (known.is_down(), back_off, self.current.as_ref() != Some(&known.server))
        });
        known.into_iter().map(|known| known.server.clone()).collect()
    }

    /// Records the result of a probe. Returns `Some(is_down)` if the state of the server changed.
    pub(super) fn probed(&mut self, server: &Server, is_ready: bool) -> Option<bool> {
        let known = self.find(server)?;
        known.health.record(is_ready).then_some(known.health.is_down)
    }

    pub(super) fn is_any_up(&self) -> bool {
        self.known.iter().any(|known| !known.is_down())
    }

    pub(super) fn succeeded(&mut self, server: &Server) {
        if let Some(known) = self.find(server) {
            known.in_a_row = 0;
            known.back_off_until = None;
            self.current = Some(server.clone());
        }
    }

    /// Records a failure. Returns the number of failures in a row.
    pub(super) fn failed(&mut self, server: &Server, error: String, now: Instant) -> u32 {
        let Some(known) = self.find(server) else { return 0 };
        let back_off = FIRST_BACKOFF.saturating_mul(1 << known.in_a_row.min(6)).min(MAX_BACKOFF);
        known.failures += 1;
        known.in_a_row = known.in_a_row.saturating_add(1);
        known.back_off_until = Some(now + back_off);
        known.last_error = Some(error);
        known.in_a_row
    }

    /// Replaces the list, and keeps the record of servers that stay. Returns `false` and changes
    /// nothing if the new list is empty.
    pub(super) fn replace(&mut self, servers: Vec<Server>) -> bool {
        let mut new: Vec<Known> = Vec::new();
        for server in servers {
            if !new.iter().any(|known| known.server == server) {
                let known = self.find(&server).map(|known| known.clone());
                new.push(known.unwrap_or_else(|| Known::new(server)));
            }
        }
        if new.is_empty() {
            return false;
        }
        self.known = new;
        true
    }

    pub(super) fn contains(&self, server: &Server) -> bool {
        self.known.iter().any(|known| known.server == *server)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.known.iter()
    }

    fn find(&mut self, server: &Server) -> Option<&mut Known> {
        self.known.iter_mut().find(|known| known.server == *server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(port: u16) -> Server {
        Server::new("192.0.2.1", port)
    }

    fn ports(servers: &Servers, now: Instant) -> Vec<u16> {
        servers.order(now).into_iter().map(|server| server.port).collect()
    }

    #[test]
    fn failures_only_reorder() {
        let now = Instant::now();
        let mut servers = Servers::new(vec![server(1), server(2), server(3)]);
        assert_eq!(ports(&servers, now), [1, 2, 3]);
        servers.failed(&server(1), "refused".into(), now);
        assert_eq!(ports(&servers, now), [2, 3, 1]);
        servers.failed(&server(2), "refused".into(), now);
        servers.failed(&server(2), "refused".into(), now);
        servers.failed(&server(3), "refused".into(), now);
        assert_eq!(ports(&servers, now), [1, 3, 2], "the longest back-off is last");
        assert_eq!(ports(&servers, now + MAX_BACKOFF), [1, 2, 3]);
    }

    #[test]
    fn the_server_of_the_last_connection_stays_first() {
        let now = Instant::now();
        let mut servers = Servers::new(vec![server(1), server(2)]);
        servers.failed(&server(1), "refused".into(), now);
        servers.succeeded(&server(2));
        assert_eq!(ports(&servers, now + MAX_BACKOFF), [2, 1]);
    }

    #[test]
    fn the_list_is_never_emptied() {
        let now = Instant::now();
        let mut servers = Servers::new(vec![server(1), server(2)]);
        servers.failed(&server(1), "refused".into(), now);
        assert!(!servers.replace(Vec::new()));
        assert!(servers.replace(vec![server(3), server(1), server(3)]));
        assert_eq!(ports(&servers, now), [3, 1]);
    }

    #[test]
    fn probes_need_three_failures_and_two_successes() {
        let now = Instant::now();
        let mut servers = Servers::new(vec![server(1), server(2)]);
        let mut probe = |is_ready| servers.probed(&server(1), is_ready);
        assert_eq!([false, false, true, false, false].map(&mut probe), [None; 5]);
        assert_eq!(probe(false), Some(true));
        assert_eq!([false, true, false, true].map(&mut probe), [None; 4]);
        assert_eq!(ports(&servers, now), [2, 1]);
        servers.failed(&server(2), "refused".into(), now);
        assert_eq!(ports(&servers, now), [2, 1], "down is worse than a back-off");
        assert_eq!(servers.probed(&server(1), true), Some(false));
        assert_eq!(ports(&servers, now), [1, 2]);
        assert_eq!(servers.probed(&server(3), true), None);
        for port in [1, 2] {
            for _ in 0..3 {
                servers.probed(&server(port), false);
            }
        }
        assert!(!servers.is_any_up());
        assert_eq!(ports(&servers, now), [1, 2]);
    }

    #[test]
    fn the_back_off_is_bounded() {
        let now = Instant::now();
        let mut servers = Servers::new(vec![server(1), server(2)]);
        for _ in 0..100 {
            servers.failed(&server(1), "refused".into(), now);
        }
        assert_eq!(ports(&servers, now + MAX_BACKOFF), [1, 2]);
    }
}

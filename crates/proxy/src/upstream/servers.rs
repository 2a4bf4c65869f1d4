//! The list of servers, and the order in which a new connection tries them.

use std::time::{Duration, Instant};

use super::settings::Server;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);

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
}

impl Known {
    fn new(server: Server) -> Known {
        Known { server, failures: 0, last_error: None, in_a_row: 0, back_off_until: None }
    }
}

impl Servers {
    pub(super) fn new(servers: Vec<Server>) -> Servers {
        let mut known = Servers { known: Vec::new(), current: None };
        known.replace(servers);
        known
    }

    /// Returns all servers in the order of attempts: first those that do not back off, the current
    /// one ahead, then the others by the end of their back-off.
    pub(super) fn order(&self, now: Instant) -> Vec<Server> {
        let mut known: Vec<&Known> = self.known.iter().collect();
        known.sort_by_key(|known| {
            let back_off = known.back_off_until.filter(|until| *until > now);
            (back_off, self.current.as_ref() != Some(&known.server))
        });
        known.into_iter().map(|known| known.server.clone()).collect()
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
    fn the_back_off_is_bounded() {
        let now = Instant::now();
        let mut servers = Servers::new(vec![server(1), server(2)]);
        for _ in 0..100 {
            servers.failed(&server(1), "refused".into(), now);
        }
        assert_eq!(ports(&servers, now + MAX_BACKOFF), [1, 2]);
    }
}

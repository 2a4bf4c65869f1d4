//! The state of the pool for metrics.

use std::sync::Arc;

use super::connection::Connection;
use super::servers::Servers;
use super::settings::Server;

/// The state of a server's connections.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerSnapshot {
    /// The server.
    pub server: Server,
    /// `false` if the server was removed and its last streams are still open.
    pub is_listed: bool,
    /// `true` after three failed probes, until two succeed.
    pub is_down: bool,
    /// Connections that take new requests.
    pub connections: usize,
    /// Connections that wait for the end of their streams.
    pub draining: usize,
    /// Streams of all connections.
    pub open_streams: usize,
    /// Failed attempts to connect, and connections that broke.
    pub failures: u64,
    /// The text of the last failure.
    pub last_error: Option<String>,
}

impl ServerSnapshot {
    fn new(server: Server, is_listed: bool) -> ServerSnapshot {
        ServerSnapshot {
            server,
            is_listed,
            is_down: false,
            connections: 0,
            draining: 0,
            open_streams: 0,
            failures: 0,
            last_error: None,
        }
    }

    fn add(&mut self, connection: &Connection) {
        if connection.is_usable() {
            self.connections += 1;
        } else {
            self.draining += 1;
        }
        self.open_streams += connection.open_streams();
    }
}

/// Returns the servers in order of preference, then removed ones.
pub(super) fn of(servers: &Servers, connections: &[Arc<Connection>]) -> Vec<ServerSnapshot> {
    let mut snapshots: Vec<ServerSnapshot> = servers
        .iter()
        .map(|known| ServerSnapshot {
            is_down: known.is_down(),
            failures: known.failures,
            last_error: known.last_error.clone(),
            ..ServerSnapshot::new(known.server.clone(), true)
        })
        .collect();
    for connection in connections {
        let server = connection.server();
        match snapshots.iter_mut().find(|snapshot| snapshot.server == *server) {
            Some(snapshot) => snapshot.add(connection),
            None => {
                let mut snapshot = ServerSnapshot::new(server.clone(), false);
                snapshot.add(connection);
                snapshots.push(snapshot);
            }
        }
    }
    snapshots
}

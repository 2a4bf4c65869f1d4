//! The pool: chooses a connection with a free stream, or opens another one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_rustls::rustls::ClientConfig;

use super::connect::Connector;
use super::connection::{Connection, Permit};
use super::deadline::Timeouts;
use super::dial::Dial;
use super::error::{Cause, Error, Failure};
use super::request::Purpose;
use super::servers::Servers;
use super::settings::{Server, Settings};
use super::snapshot::{self, ServerSnapshot};

/// The time after which a connection without streams is closed. The API server's is 90 seconds.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle HTTP/1.1 connections that are kept.
const MAX_IDLE_HTTP1: usize = 16;
/// How often a request waits for a connection that turns out to be full.
const MAX_ROUNDS: usize = 8;

/// The connections to all servers.
pub(super) struct Pool {
    pub(super) connector: Connector,
    pub(super) timeouts: Timeouts,
    max_connections: usize,
    max_streams: usize,
    removal_drain: Duration,
    pub(super) probe_interval: Duration,
    pub(super) probe_timeout: Duration,
    state: Mutex<State>,
}

/// The list of connections. Its lock may be taken before the lock of a connection, never after it.
pub(super) struct State {
    pub(super) servers: Servers,
    /// Connections that are usable or have open streams.
    pub(super) connections: Vec<Arc<Connection>>,
    /// Connections that are being opened.
    pub(super) dials: Vec<Dial>,
    next_dial: u64,
    pub(super) expected: Expected,
}

/// The properties that a new connection is expected to have: those of the last one.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    pub(super) is_http2: bool,
    pub(super) streams: usize,
}

/// The way to a stream for a request.
enum Way {
    Reserved(Arc<Permit>),
    Wait(oneshot::Receiver<Result<Option<Arc<Permit>>, Error>>),
    Busy,
}

impl Pool {
    pub(super) fn new(settings: Settings) -> Arc<Pool> {
        let max_streams = settings.max_streams.max(1);
        let state = State {
            servers: Servers::new(settings.servers.clone()),
            connections: Vec::new(),
            dials: Vec::new(),
            next_dial: 0,
            expected: Expected { is_http2: true, streams: max_streams },
        };
        Arc::new(Pool {
            max_connections: settings.max_connections.max(1),
            max_streams,
            timeouts: Timeouts::new(&settings),
            removal_drain: settings.removal_drain,
            probe_interval: settings.probe_interval,
            probe_timeout: settings.probe_timeout,
            connector: Connector::new(Settings { max_streams, ..settings }),
            state: Mutex::new(state),
        })
    }

    /// Reserves a stream of a connection.
    pub(super) async fn acquire(self: &Arc<Pool>, purpose: Purpose) -> Result<Arc<Permit>, Error> {
        for _ in 0..MAX_ROUNDS {
            match self.find_way(purpose) {
                Way::Reserved(permit) => return Ok(permit),
                Way::Busy => break,
                Way::Wait(dial) => match dial.await {
                    Ok(Ok(Some(permit))) => return Ok(permit),
                    Ok(Err(error)) => return Err(error),
                    // The new connection is full already, or its task was stopped.
                    Ok(Ok(None)) | Err(_) => {}
                },
            }
        }
        Err(self.busy())
    }

    pub(super) fn busy(&self) -> Error {
        Error::Busy { connections: self.max_connections, streams: self.max_streams }
    }

    fn find_way(self: &Arc<Pool>, purpose: Purpose) -> Way {
        let mut state = self.lock();
        state.remove_finished();
        if let Some(permit) = state.reserve(|connection| connection.suits(purpose)) {
            return Way::Reserved(permit);
        }
        if let Some(dial) = state.join(|dial| dial.purpose == purpose) {
            return Way::Wait(dial);
        }
        if state.connections_and_dials() < self.max_connections(&state) {
            return Way::Wait(self.dial(&mut state, purpose));
        }
        // The limit of connections weighs more than separate connections for watches.
        if let Some(permit) = state.reserve(|_| true) {
            return Way::Reserved(permit);
        }
        state.join(|_| true).map_or(Way::Busy, Way::Wait)
    }

    fn max_connections(&self, state: &State) -> usize {
        let per_connection = if state.expected.is_http2 { 1 } else { self.max_streams };
        self.max_connections.saturating_mul(per_connection)
    }

    /// Opens a connection in a task of its own, so that it is of use to others if the first
    /// request is canceled.
    fn dial(
        self: &Arc<Pool>,
        state: &mut State,
        purpose: Purpose,
    ) -> oneshot::Receiver<Result<Option<Arc<Permit>>, Error>> {
        let mut dial = Dial::new(state.next_dial, purpose);
        state.next_dial += 1;
        let waiting = dial.join();
        tokio::spawn(dial.task(self.clone()));
        state.dials.push(dial);
        waiting
    }

    /// Tries the servers in turn until one accepts a connection.
    pub(super) async fn try_servers<T, F>(
        &self,
        connect: impl Fn(Server) -> F,
    ) -> Result<(Server, T), Error>
    where
        F: Future<Output = Result<T, Cause>>,
    {
        let order = self.lock().servers.order(Instant::now());
        let mut failures = Vec::new();
        for server in order {
            match connect(server.clone()).await {
                Ok(connection) => {
                    self.lock().servers.succeeded(&server);
                    return Ok((server, connection));
                }
                Err(cause) => {
                    self.record_failure(&server, &cause.to_string());
                    failures.push(Failure { server, cause });
                }
            }
        }
        Err(Error::Connect { failures: failures.into() })
    }

    pub(super) fn record_failure(&self, server: &Server, error: &str) {
        let in_a_row = self.lock().servers.failed(server, error.to_owned(), Instant::now());
        if in_a_row == 1 {
            tracing::warn!(%server, %error, "API server failed");
        } else {
            tracing::debug!(%server, %error, in_a_row, "API server failed again");
        }
    }

    /// Replaces the servers. Retires connections to removed ones, and closes them later.
    pub(super) fn set_servers(self: &Arc<Pool>, servers: Vec<Server>) {
        let mut state = self.lock();
        if !state.servers.replace(servers) {
            tracing::warn!("an empty list of API servers is ignored");
            return;
        }
        let State { servers, connections, .. } = &*state;
        let removed: Vec<Weak<Connection>> = connections
            .iter()
            .filter(|connection| !servers.contains(connection.server()))
            .inspect(|connection| connection.retire())
            .map(Arc::downgrade)
            .collect();
        drop(state);
        if removed.is_empty() {
            return;
        }
        let drain = self.removal_drain;
        tokio::spawn(async move {
            tokio::time::sleep(drain).await;
            for connection in removed.iter().filter_map(Weak::upgrade) {
                connection.close();
            }
        });
    }

    /// Records the result of a probe. Closes the connections of a server that went down if another
    /// one is up.
    pub(super) fn record_probe(&self, server: &Server, result: Result<(), String>) {
        let mut state = self.lock();
        let Some(is_down) = state.servers.probed(server, result.is_ok()) else { return };
        if !is_down {
            tracing::info!(%server, "API server is up");
            return;
        }
        let error = result.err().unwrap_or_default();
        let can_move = state.servers.is_any_up();
        tracing::warn!(%server, %error, closes_streams = can_move, "API server is down");
        if can_move {
            state.connections.iter().filter(|c| c.server() == server).for_each(|c| c.close());
        }
    }

    /// Replaces the TLS configuration, and retires all connections.
    pub(super) fn set_tls(&self, config: &ClientConfig) {
        // Under the lock: a dial that has the old configuration is marked before it ends.
        let mut state = self.lock();
        self.connector.set_tls(config);
        state.connections.iter().for_each(|connection| connection.retire());
        state.dials.iter_mut().for_each(|dial| dial.is_outdated = true);
    }

    pub(super) fn snapshot(&self) -> Vec<ServerSnapshot> {
        let mut state = self.lock();
        state.remove_finished();
        snapshot::of(&state.servers, &state.connections)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reserve(&self, suits: impl Fn(&Connection) -> bool) -> Option<Arc<Permit>> {
        self.connections.iter().filter(|c| suits(c)).find_map(Connection::reserve)
    }

    /// Waits for a connection that is being opened, if a stream is expected to be free.
    fn join(
        &mut self,
        suits: impl Fn(&Dial) -> bool,
    ) -> Option<oneshot::Receiver<Result<Option<Arc<Permit>>, Error>>> {
        let streams = self.expected.streams;
        let dial = self.dials.iter_mut().find(|dial| suits(dial) && dial.waiting() < streams)?;
        Some(dial.join())
    }

    fn connections_and_dials(&self) -> usize {
        self.connections.iter().filter(|c| c.is_usable()).count() + self.dials.len()
    }

    fn remove_finished(&mut self) {
        self.connections.retain(|c| c.is_usable() || c.open_streams() > 0);
        let idle = self.connections.iter().filter(|c| !c.is_http2() && c.is_idle());
        // The oldest ones are used first; the youngest are surplus.
        idle.skip(MAX_IDLE_HTTP1).for_each(|connection| connection.retire());
    }
}

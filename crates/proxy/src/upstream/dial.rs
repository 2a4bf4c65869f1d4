//! A connection that is being opened, and the requests that wait for it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::connection::{Connection, Permit};
use super::driver::Driver;
use super::error::{Error, chain};
use super::pool::{Expected, IDLE_TIMEOUT, Pool};
use super::request::Purpose;
use super::settings::Server;

/// How often a connection checks whether it is idle.
const IDLE_CHECK: Duration = Duration::from_secs(15);

/// The reservation of a waiting request. `None` means that the connection was full already.
type Outcome = Result<Option<Arc<Permit>>, Error>;

/// The attempt to open a connection.
pub(super) struct Dial {
    id: u64,
    pub(super) purpose: Purpose,
    /// The TLS configuration was replaced since the attempt began.
    pub(super) is_outdated: bool,
    waiting: Vec<oneshot::Sender<Outcome>>,
}

impl Dial {
    pub(super) fn new(id: u64, purpose: Purpose) -> Dial {
        Dial { id, purpose, is_outdated: false, waiting: Vec::new() }
    }

    /// Adds a request that waits.
    pub(super) fn join(&mut self) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.retain(|request| !request.is_closed());
        self.waiting.push(sender);
        receiver
    }

    /// Returns the number of requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().filter(|request| !request.is_closed()).count()
    }

    /// Returns the task that opens the connection.
    pub(super) fn task(&self, pool: Arc<Pool>) -> impl Future<Output = ()> + Send + 'static {
        let (entry, purpose) = (Entry { pool, id: self.id }, self.purpose);
        async move {
            let pool = &entry.pool;
            let connect = |server| pool.connector.connect(server, purpose);
            match pool.try_servers(connect).await {
                Ok((_, (connection, driver))) => entry.finish(&connection, driver),
                Err(error) => {
                    if let Some(dial) = entry.remove() {
                        dial.waiting.into_iter().for_each(|request| {
                            // The request may be canceled.
                            let _ = request.send(Err(error.clone()));
                        });
                    }
                }
            }
        }
    }
}

/// The entry of a dial in the list of its pool. It is removed even if the task is stopped, so that
/// no request waits for ever.
struct Entry {
    pool: Arc<Pool>,
    id: u64,
}

impl Entry {
    fn remove(&self) -> Option<Dial> {
        let mut state = self.pool.lock();
        let index = state.dials.iter().position(|dial| dial.id == self.id)?;
        Some(state.dials.swap_remove(index))
    }

    /// Adds the connection to the pool, and reserves streams for the requests that wait.
    fn finish(&self, connection: &Arc<Connection>, driver: Driver) {
        let (server, is_http2) = (connection.server(), connection.is_http2());
        tracing::debug!(%server, is_http2, streams = connection.limit(), "connected");
        let (held, pool) = (Arc::downgrade(connection), Arc::downgrade(&self.pool));
        tokio::spawn(drive(driver, server.clone(), held, pool, connection.closing()));
        let Some(dial) = self.remove() else { return };
        let mut state = self.pool.lock();
        state.expected = Expected { is_http2, streams: connection.limit().max(1) };
        // Requests wait again for a connection to a server that is listed.
        if dial.is_outdated || !state.servers.contains(server) {
            connection.retire();
        }
        state.connections.push(connection.clone());
        for request in dial.waiting {
            let _ = request.send(Ok(connection.reserve()));
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Drives a connection until it is closed. It is closed when nobody holds it any more.
async fn drive(
    mut driver: Driver,
    server: Server,
    connection: Weak<Connection>,
    pool: Weak<Pool>,
    closing: Arc<Notify>,
) {
    let mut check = tokio::time::interval(IDLE_CHECK);
    let mut drive = Box::pin(poll_fn(|context| {
        let polled = Pin::new(&mut driver).poll(context);
        if let Some(connection) = connection.upgrade() {
            connection.drop_closed_sender();
        }
        polled
    }));
    let result = loop {
        tokio::select! {
            result = &mut drive => break result,
            () = closing.notified() => break Ok(()),
            _ = check.tick() => if let Some(connection) = connection.upgrade() {
                connection.retire_if_idle(IDLE_TIMEOUT);
            },
        }
    };
    // Before the driver, whose end breaks the streams: none of them tries this connection again.
    if let Some(connection) = connection.upgrade() {
        connection.set_closed();
    }
    drop(drive);
    drop(driver);
    match (result, pool.upgrade()) {
        (Err(error), Some(pool)) => {
            pool.record_failure(&server, &format!("connection lost: {}", chain(&error)));
        }
        _ => tracing::debug!(%server, "connection closed"),
    }
}

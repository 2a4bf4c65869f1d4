//! Connections whose client the API server has not accepted yet.
//!
//! Any process that reaches the listener can open connections. A stranger has ten seconds for its
//! first request that the API server accepts, and at most 128 are open: the next one closes the
//! oldest. So silent connections take no place from clients with a token.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Response, StatusCode};
use tokio::task::AbortHandle;

/// Marks a response that came from the API server.
#[derive(Clone, Copy, Debug)]
pub struct FromApiServer;

/// The strangers of all listeners. Clones share them.
#[derive(Clone, Debug)]
pub struct Strangers {
    limit: usize,
    patience: Duration,
    open: Arc<Mutex<VecDeque<Connection>>>,
}

#[derive(Debug)]
struct Connection {
    standing: Arc<Standing>,
    task: AbortHandle,
}

/// The standing of one connection.
#[derive(Debug, Default)]
pub struct Standing {
    is_accepted: AtomicBool,
    requests: AtomicUsize,
}

impl Strangers {
    /// Permits `limit` strangers, each for as long as `patience`.
    pub fn new(limit: usize, patience: Duration) -> Strangers {
        Strangers { limit, patience, open: Arc::default() }
    }

    /// Takes a new connection, whose task is `task`. Ends the oldest stranger if there are too
    /// many.
    pub fn add(&self, standing: Arc<Standing>, task: AbortHandle) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|one| !one.standing.is_accepted() && !one.task.is_finished());
        open.push_back(Connection { standing, task });
        while open.len() > self.limit {
            if let Some(oldest) = open.pop_front() {
                tracing::debug!("a connection was closed: too many strangers are open");
                oldest.task.abort();
            }
        }
    }

    /// Returns when the time of a stranger is over: never, once it is accepted.
    pub async fn expire(&self, standing: &Standing) {
        loop {
            tokio::time::sleep(self.patience).await;
            if standing.is_accepted() {
                std::future::pending::<()>().await;
            }
            if standing.requests.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}

impl Standing {
    fn is_accepted(&self) -> bool {
        self.is_accepted.load(Ordering::Relaxed)
    }

    /// Awaits a response to the connection's client, and accepts the client if the API server did.
    pub async fn respond<B>(&self, response: impl Future<Output = Response<B>>) -> Response<B> {
        let open = OpenRequest::new(&self.requests);
        let response = response.await;
        drop(open);
        let is_from_api_server = response.extensions().get::<FromApiServer>().is_some();
        if is_from_api_server && response.status() != StatusCode::UNAUTHORIZED {
            self.is_accepted.store(true, Ordering::Relaxed);
        }
        response
    }
}

/// A request without a response yet.
struct OpenRequest<'a>(&'a AtomicUsize);

impl OpenRequest<'_> {
    fn new(requests: &AtomicUsize) -> OpenRequest<'_> {
        requests.fetch_add(1, Ordering::Relaxed);
        OpenRequest(requests)
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

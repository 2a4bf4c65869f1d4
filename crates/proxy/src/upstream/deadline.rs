//! The time that a server has for the head of a response.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, Request};
use tokio::time::Instant;

use super::error::Error;
use super::settings::Settings;
use crate::request::is_watch;

/// The timeouts for heads of responses.
pub(super) struct Timeouts {
    head: Duration,
    long_head: Duration,
}

impl Timeouts {
    pub(super) fn new(settings: &Settings) -> Timeouts {
        Timeouts { head: settings.head_timeout, long_head: settings.long_head_timeout }
    }

    /// Returns the timeout of objects, watches and upgrades.
    pub(super) fn head(&self) -> Duration {
        self.head
    }

    /// Returns the timeout of a request. Requests to the proxy of a pod, Service or node have
    /// none: the program behind it decides how long a response takes.
    pub(super) fn of<B>(&self, request: &Request<B>) -> Option<Duration> {
        let path = request.uri().path();
        if path.split('/').any(|segment| segment == "proxy") {
            return None;
        }
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let is_long = !is_read || is_collection(path) && !is_watch(request);
        Some(if is_long { self.long_head } else { self.head })
    }
}

/// Returns `true` if a path names all objects of a kind, of the cluster or of a namespace.
fn is_collection(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let rest = match &segments[..] {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return false,
    };
    matches!(rest, [_] | ["namespaces", _, _])
}

/// The last progress of a request: its start, or the last frame of its body.
pub(super) struct Progress(Mutex<Instant>);

impl Progress {
    pub(super) fn start() -> Arc<Progress> {
        Arc::new(Progress(Mutex::new(Instant::now())))
    }

    pub(super) fn record(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a response until there was no progress for `limit`.
    pub(super) async fn in_time<T>(
        &self,
        limit: Duration,
        response: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut response = std::pin::pin!(response);
        loop {
            let deadline = self.last() + limit;
            tokio::select! {
                response = &mut response => return response,
                () = tokio::time::sleep_until(deadline) => {
                    if self.last() + limit <= Instant::now() {
                        return Err(Error::Silent { after: limit });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_writes_have_more_time() {
        let timeouts = Timeouts { head: Duration::from_secs(1), long_head: Duration::from_secs(2) };
        let of = |method: &str, target: &str| {
            let request = Request::builder().method(method).uri(target).body(()).unwrap();
            timeouts.of(&request).map(|timeout| timeout.as_secs())
        };
        for (method, target, expected) in [
            ("GET", "/api/v1/pods", Some(2)),
            ("GET", "/api/v1/namespaces/a/pods", Some(2)),
            ("GET", "/apis/apps/v1/namespaces/a/deployments?limit=5", Some(2)),
            ("GET", "/api/v1/pods?watch=true", Some(1)),
            ("GET", "/api/v1/watch/pods", Some(1)),
            ("GET", "/api/v1/namespaces/a/pods/b", Some(1)),
            ("GET", "/api/v1/namespaces/a/pods/b/log?follow=true", Some(1)),
            ("GET", "/readyz", Some(1)),
            ("POST", "/api/v1/namespaces/a/pods", Some(2)),
            ("PUT", "/api/v1/namespaces/a/pods/b", Some(2)),
            ("POST", "/api/v1/namespaces/a/services/b:80/proxy/slow", None),
            ("GET", "/api/v1/nodes/a/proxy/stats", None),
        ] {
            assert_eq!(of(method, target), expected, "{method} {target}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn progress_moves_the_deadline() {
        let limit = Duration::from_secs(30);
        let progress = Progress::start();
        let sending = async {
            for _ in 0..4 {
                tokio::time::sleep(limit / 2).await;
                progress.record();
            }
            std::future::pending::<Result<(), Error>>().await
        };
        let started = Instant::now();
        let result = progress.in_time(limit, sending).await;
        assert!(matches!(result, Err(Error::Silent { after }) if after == limit));
        assert_eq!(started.elapsed(), limit * 3);
    }
}

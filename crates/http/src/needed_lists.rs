//! Requests the lists that a stream needs (`Retention::Topology`).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use poolscope::{BodyRewriter, NeededList, ResponseHead};

use crate::error::BoxError;
use crate::rewriting::Rewriting;
use crate::timer::{Sleep, Timer};

/// The response to a request for a needed list: its head and its whole body, decompressed.
pub type ListFuture = Pin<Box<dyn Future<Output = Result<(ResponseHead, Bytes), BoxError>> + Send>>;

/// Requests needed lists from the API server that the stream comes from.
///
/// [`RewriteLayer`](crate::RewriteLayer) has its own. Implement it for a
/// [`RewriteBody`](crate::RewriteBody) without the layer.
///
/// ```
/// use poolscope::{Bytes, ResponseHead};
/// use poolscope_http::{ListFuture, ListSource};
///
/// /// Returns a recorded list.
/// struct Recorded(Bytes);
///
/// impl ListSource for Recorded {
///     fn get(&self, _target: &str) -> ListFuture {
///         let body = self.0.clone();
///         Box::pin(async { Ok((ResponseHead::ok("application/json"), body)) })
///     }
/// }
/// ```
pub trait ListSource: Send + 'static {
    /// Sends `GET target` with the headers of the stream's own request. `target` is a path with a
    /// query.
    fn get(&self, target: &str) -> ListFuture;
}

/// The delay before a list is requested again that failed or brought nothing. It doubles with each
/// failure in a row.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest delay, and the longest time for a response.
const LONGEST: Duration = Duration::from_secs(30);

/// The requests of one stream, one at a time.
pub(crate) struct NeededLists {
    source: Box<dyn ListSource>,
    timer: Arc<dyn Timer>,
    step: Step,
    /// Requests that did not help. The next request is for another list, so that a list that cannot
    /// be read does not keep the others waiting.
    failures: u32,
}

enum Step {
    Idle,
    Requesting(String, ListFuture, Sleep),
    Pausing(Sleep),
}

impl NeededLists {
    pub(crate) fn new(source: Box<dyn ListSource>, timer: Arc<dyn Timer>) -> NeededLists {
        NeededLists { source, timer, step: Step::Idle, failures: 0 }
    }

    /// Drives the requests, and queues the events that a response makes possible.
    pub(crate) fn drive(&mut self, context: &mut Context<'_>, rewriting: &mut Rewriting) {
        while self.poll_step(context, rewriting).is_ready() {}
    }

    /// Ready after each step; pending also if no list is needed.
    fn poll_step(&mut self, context: &mut Context<'_>, rewriting: &mut Rewriting) -> Poll<()> {
        self.step = match &mut self.step {
            Step::Idle => {
                let needed = needed(rewriting);
                if needed.is_empty() {
                    return Poll::Pending;
                }
                let target = needed[self.failures as usize % needed.len()].target.clone();
                let response = self.source.get(&target);
                Step::Requesting(target, response, self.timer.sleep(LONGEST))
            }
            Step::Requesting(target, response, deadline) => {
                let mut helped = false;
                let response = match response.as_mut().poll(context) {
                    Poll::Ready(response) => response.ok(),
                    Poll::Pending => {
                        ready!(deadline.as_mut().poll(context));
                        None
                    }
                };
                if let Some((head, body)) = response {
                    rewriting.call(|rewriter, out| {
                        // After an error the stream continues as if there had been no response,
                        // and still needs the list.
                        helped = rewriter.provide_list(&head, &body, out).is_ok();
                        Ok(())
                    });
                    // An object of another resourceVersion does not count.
                    helped &= needed(rewriting).iter().all(|list| list.target != *target);
                }
                if helped {
                    self.failures = 0;
                    Step::Idle
                } else {
                    let pause = LONGEST.min(AGAIN * (1 << self.failures.min(5)));
                    self.failures += 1;
                    Step::Pausing(self.timer.sleep(pause))
                }
            }
            Step::Pausing(pause) => {
                ready!(pause.as_mut().poll(context));
                Step::Idle
            }
        };
        Poll::Ready(())
    }
}

fn needed(rewriting: &Rewriting) -> Vec<NeededList> {
    rewriting.rewriter().map(BodyRewriter::needed_lists).unwrap_or_default()
}

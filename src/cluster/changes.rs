//! Listeners for fact changes.

use std::fmt;
use std::task::{Context, Poll};

use super::Cluster;
/// Reports changes of the facts of a [`Cluster`] to one task: changes of verdicts, and facts that
/// were missing.
///
/// ```
/// use std::future::poll_fn;
/// # use std::pin::pin;
/// # use std::task::{Context, Poll, Waker};
/// use poolscope::{Cluster, Config, RequestHead, ResponseHead};
///
/// let cluster = Cluster::new(Config::openyurt())?;
/// let mut changes = cluster.changes();
/// # let mut waiting = pin!(async {
/// // In a task: wait for the next change, then refresh the open watches.
/// let generation = poll_fn(|context| changes.poll_changed(context)).await;
/// # generation
/// # });
/// # let mut context = Context::from_waker(Waker::noop());
/// # assert!(waiting.as_mut().poll(&mut context).is_pending());
/// # let request = RequestHead::get("/api/v1/nodes/hz-1");
/// # let mut reader = cluster.read_facts(&request, &ResponseHead::ok("application/json"))?;
/// # reader.push(br#"{"metadata":{"name":"hz-1"}}"#)?;
/// # reader.finish()?;
/// # assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(cluster.generation()));
/// # use std::future::Future;
/// # Ok::<(), poolscope::Error>(())
/// ```
pub struct ChangeListener {
    cluster: Cluster,
    id: u64,
    seen: u64,
}

impl Cluster {
    /// Returns a listener for fact changes after this call.
    pub fn changes(&self) -> ChangeListener {
        let (id, seen) = (self.wakers().id(), self.progress());
        ChangeListener { cluster: self.clone(), id, seen }
    }
}

impl ChangeListener {
    /// Returns the [`Cluster::generation`] after a change that this listener has not reported yet.
    /// Without one it returns `Pending`, and the next change wakes the waker of `context`.
    ///
    /// The generation may be the same as before: then [`Cluster::missing`] may have fewer facts.
    pub fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<u64> {
        // A change between the first look and the registration would be lost without the second.
        if self.cluster.progress() == self.seen {
            self.cluster.wakers().register(self.id, context.waker());
        }
        let progress = self.cluster.progress();
        if progress == self.seen {
            return Poll::Pending;
        }
        self.cluster.wakers().remove(self.id);
        self.seen = progress;
        Poll::Ready(self.cluster.generation())
    }
}

impl Drop for ChangeListener {
    fn drop(&mut self) {
        self.cluster.wakers().remove(self.id);
    }
}

impl fmt::Debug for ChangeListener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ChangeListener").field("seen", &self.seen).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;
    use crate::{Config, RequestHead, ResponseHead};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Count>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read_node(cluster: &Cluster, name: &str) {
        let request = RequestHead::get(format!("/api/v1/nodes/{name}"));
        let head = ResponseHead::ok("application/json");
        let mut reader = cluster.read_facts(&request, &head).unwrap();
        reader
            .push(format!(r#"{{"metadata":{{"name":"{name}","resourceVersion":"5"}}}}"#).as_bytes())
            .unwrap();
        reader.finish().unwrap();
    }

    #[test]
    fn each_listener_is_woken_once_for_each_change_that_it_waits_for() {
        let cluster = Cluster::new(Config::openyurt()).unwrap();
        let (mut first, mut second) = (cluster.changes(), cluster.changes());
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        let wakers = counts.clone().map(Waker::from);
        let woken = || counts.each_ref().map(|count| count.0.load(Ordering::Relaxed));
        let mut contexts = wakers.each_ref().map(Context::from_waker);
        for _ in 0..3 {
            assert_eq!(first.poll_changed(&mut contexts[0]), Poll::Pending);
            assert_eq!(second.poll_changed(&mut contexts[1]), Poll::Pending);
        }
        assert_eq!(cluster.wakers().waiting(), 2);

        read_node(&cluster, "a");
        assert_eq!(woken(), [1, 1]);
        assert_eq!(first.poll_changed(&mut contexts[0]), Poll::Ready(cluster.generation()));
        assert_eq!(first.poll_changed(&mut contexts[0]), Poll::Pending);
        // The second has not looked since, and is not woken again.
        read_node(&cluster, "b");
        assert_eq!(woken(), [2, 1]);
        assert_eq!(second.poll_changed(&mut contexts[1]), Poll::Ready(cluster.generation()));

        // A fact that is known already changes nothing.
        assert_eq!(first.poll_changed(&mut contexts[0]), Poll::Ready(cluster.generation()));
        assert_eq!(first.poll_changed(&mut contexts[0]), Poll::Pending);
        read_node(&cluster, "b");
        assert_eq!(woken(), [2, 1]);

        drop((first, second));
        assert_eq!(cluster.wakers().waiting(), 0);
    }
}

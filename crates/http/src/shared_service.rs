//! One inner service for a client's requests and those of its streams.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tower_service::Service;

/// A service that any task may send requests through. The service need not be `Clone`, as
/// kube's is not.
///
/// A task that finds the service ready calls it before another task can take its place.
pub(crate) struct SharedService<S> {
    service: Mutex<S>,
    tasks: Arc<Tasks>,
}

/// The tasks that wait until the service is ready. A service wakes only the last waker it saw,
/// therefore it gets one that wakes all tasks.
#[derive(Default)]
struct Tasks(Mutex<Vec<Waker>>);

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Tasks {
    fn wake(self: Arc<Tasks>) {
        let tasks = std::mem::take(&mut *self.lock());
        tasks.into_iter().for_each(Waker::wake);
    }
}

impl<S> SharedService<S> {
    pub(crate) fn new(service: S) -> SharedService<S> {
        SharedService { service: Mutex::new(service), tasks: Arc::default() }
    }

    /// Waits until the service is ready, and sends a request.
    pub(crate) async fn send<R>(&self, request: R) -> Result<S::Response, S::Error>
    where
        S: Service<R>,
    {
        let mut request = Some(request);
        let response = poll_fn(|context| self.poll_call(context, &mut request)).await?;
        response.await
    }

    fn poll_call<R>(
        &self,
        context: &mut Context<'_>,
        request: &mut Option<R>,
    ) -> Poll<Result<S::Future, S::Error>>
    where
        S: Service<R>,
    {
        let mut service = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the call, so that a wake in between is not lost.
        let mut tasks = self.tasks.lock();
        if !tasks.iter().any(|task| task.will_wake(context.waker())) {
            tasks.push(context.waker().clone());
        }
        drop(tasks);
        let shared = Waker::from(self.tasks.clone());
        let ready = service.poll_ready(&mut Context::from_waker(&shared));
        if ready.is_ready() {
            self.tasks.lock().retain(|task| !task.will_wake(context.waker()));
        }
        ready.map(|ready| {
            ready.map(|()| service.call(request.take().expect("polled after it was ready")))
        })
    }
}

//! The clock of a runtime.

use std::pin::Pin;
use std::time::{Duration, Instant};

/// A future that is ready after a while.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Creates sleeps. Implement it for the runtime that polls the bodies.
///
/// ```
/// use std::time::Duration;
///
/// use poolscope_http::{Sleep, Timer};
///
/// /// A thread for each sleep, for programs without a runtime.
/// struct ThreadTimer;
///
/// impl Timer for ThreadTimer {
///     fn sleep(&self, duration: Duration) -> Sleep {
///         let (sender, receiver) = tokio::sync::oneshot::channel();
///         std::thread::spawn(move || {
///             std::thread::sleep(duration);
///             sender.send(())
///         });
///         Box::pin(async { receiver.await.unwrap_or_default() })
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # ThreadTimer.sleep(Duration::from_millis(1)).await;
/// # });
/// ```
pub trait Timer: Send + Sync + 'static {
    /// Returns a future that is ready after `duration`.
    fn sleep(&self, duration: Duration) -> Sleep;

    /// Returns the time by the clock of these sleeps.
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// The timer of the tokio runtime.
///
/// ```
/// use std::time::Duration;
///
/// use poolscope_http::{Timer, TokioTimer};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// TokioTimer.sleep(Duration::from_millis(1)).await;
/// # });
/// ```
#[cfg(feature = "tokio")]
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioTimer;

#[cfg(feature = "tokio")]
impl Timer for TokioTimer {
    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

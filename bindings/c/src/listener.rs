//! A callback for fact changes.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::boundary::{borrow, boundary, free, slot};
use super::cluster::poolscope_cluster;
use super::failure::{poolscope_error, poolscope_status};
use poolscope::ChangeListener;

/// A callback that was registered with poolscope_cluster_on_change().
pub struct poolscope_listener(Arc<Callback>);

/// A function that is called after facts changed.
pub type poolscope_changed = Option<unsafe extern "C" fn(context: *mut c_void)>;

struct Callback {
    /// `None` once the listener was freed: it holds the cluster, which holds the waker.
    listener: Mutex<Option<ChangeListener>>,
    function: unsafe extern "C" fn(*mut c_void),
    context: *mut c_void,
    /// Wakes that no call of the function has followed yet.
    wakes: AtomicUsize,
    closed: AtomicBool,
    /// Held while a thread is in the function.
    calling: Mutex<()>,
    /// [`this_thread`] of the thread that is in the function; 0: none.
    caller: AtomicUsize,
}

// SAFETY: by the header's contract the function may be called with its context on any thread.
unsafe impl Send for Callback {}
// SAFETY: the same; `calling` keeps two threads from being in the function at the same time.
unsafe impl Sync for Callback {}

/// Returns a number that no other living thread has. Unlike `std::thread::current` it allocates
/// nothing for threads that Rust did not start.
fn this_thread() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| ptr::from_ref(mark).addr())
}

impl Callback {
    /// Registers for the next change.
    fn arm(self: &Arc<Callback>) {
        let waker = Waker::from(self.clone());
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = &mut *listener {
            while listener.poll_changed(&mut Context::from_waker(&waker)) != Poll::Pending {}
        }
    }

    fn call(&self) {
        let _calling = self.calling.lock().unwrap_or_else(PoisonError::into_inner);
        if self.closed.load(Ordering::SeqCst) {
            return;
        }
        self.caller.store(this_thread(), Ordering::SeqCst);
        // SAFETY: the header's contract; `closed` was not set, so that the listener is not freed.
        unsafe { (self.function)(self.context) };
        self.caller.store(0, Ordering::SeqCst);
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(self.listener.lock().unwrap_or_else(PoisonError::into_inner).take());
        // Waits for a call on another thread. A call on this thread is further up the stack.
        if self.caller.load(Ordering::SeqCst) != this_thread() {
            drop(self.calling.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Wake for Callback {
    fn wake(self: Arc<Callback>) {
        // A wake during a call, on any thread, makes the loop below call once more.
        if self.wakes.fetch_add(1, Ordering::SeqCst) > 0 {
            return;
        }
        loop {
            let seen = self.wakes.load(Ordering::SeqCst);
            if self.closed.load(Ordering::SeqCst) {
                return;
            }
            self.arm();
            self.call();
            if self.wakes.compare_exchange(seen, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return;
            }
        }
    }
}

impl Drop for poolscope_listener {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Calls `changed(context)` after each fact change that can change a verdict. Changes in quick
/// succession may share one call.
///
/// The function runs on the thread that pushed the facts, while no lock of poolscope is held: it
/// may call any function of this header. One call is made at a time. It must not unwind or jump.
/// Free the listener with poolscope_listener_free(); it may outlive the cluster's handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_on_change(
    cluster: *const poolscope_cluster,
    changed: poolscope_changed,
    context: *mut c_void,
    listener: *mut *mut poolscope_listener,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let listener = slot(listener, ptr::null_mut(), "listener")?;
            let function =
                changed.ok_or_else(|| poolscope_error::argument("changed", "is NULL"))?;
            let changes = borrow(cluster, "cluster")?.0.enter()?.changes();
            let callback = Arc::new(Callback {
                listener: Mutex::new(Some(changes)),
                function,
                context,
                wakes: AtomicUsize::new(0),
                closed: AtomicBool::new(false),
                calling: Mutex::new(()),
                caller: AtomicUsize::new(0),
            });
            callback.arm();
            listener.put(poolscope_listener(callback));
            Ok(())
        })
    }
}

/// Ends the calls and frees the listener. When it returns, no call of the function is running and
/// none will start, except that a call which frees its own listener is still running. Does nothing
/// for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_listener_free(listener: *mut poolscope_listener) {
    // SAFETY: the header's contract.
    unsafe { free(listener) }
}

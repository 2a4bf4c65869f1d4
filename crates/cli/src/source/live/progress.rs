//! A line on standard error while lists take their time.

use std::convert::Infallible;
use std::future::pending;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// The time after which the line appears.
const PATIENCE: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(200);

/// Counts what was read.
pub(super) struct Progress {
    kinds: usize,
    read: AtomicUsize,
    objects: AtomicUsize,
    shown: AtomicBool,
}

impl Progress {
    /// Begins with nothing read of so many kinds.
    pub(super) fn of(kinds: usize) -> Progress {
        Progress {
            kinds,
            read: AtomicUsize::new(0),
            objects: AtomicUsize::new(0),
            shown: AtomicBool::new(false),
        }
    }

    pub(super) fn objects_are_read(&self, count: usize) {
        self.objects.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn kind_is_read(&self) {
        self.read.fetch_add(1, Ordering::Relaxed);
    }

    /// Shows the line on a terminal, for ever.
    pub(super) async fn show(&self) -> Infallible {
        if !io::stderr().is_terminal() {
            return pending().await;
        }
        tokio::time::sleep(PATIENCE).await;
        loop {
            let (objects, read) =
                (self.objects.load(Ordering::Relaxed), self.read.load(Ordering::Relaxed));
            let text = format!("reading: {objects} objects, {read} of {} kinds", self.kinds);
            write_line(&text);
            self.shown.store(true, Ordering::Relaxed);
            tokio::time::sleep(STEP).await;
        }
    }

    /// Removes the line.
    pub(super) fn clear(&self) {
        if self.shown.load(Ordering::Relaxed) {
            write_line("");
        }
    }
}

/// Replaces the terminal's line.
fn write_line(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody needs to know that a progress line could not be written.
    let _ = write!(stderr, "\r\x1b[K{text}");
    let _ = stderr.flush();
}

//! The client states of a process for the one that continues its streams.

use super::Cluster;
use crate::client_state::store::saved::{self, RestoreError};

impl Cluster {
    /// Returns the client states as bytes, at most about `max_bytes`, so that another process can
    /// resume the watches of this one's clients: see [`Cluster::restore_client_states`]. Client
    /// states that do not fit are left out, oldest first; their clients have to list again.
    ///
    /// The bytes hold for this configuration and this API server, and until a fact changes or the
    /// clients lose what they hold: [`Cluster::before_change`] tells when to delete them. Streams
    /// may be open, and go on; a client that has received events since cannot be resumed. They
    /// hold endpoints of the cluster: whoever may not read those must not read them.
    ///
    /// ```
    /// use poolscope::{Cluster, Config};
    ///
    /// let cluster = Cluster::new(Config::openyurt())?;
    /// let saved = cluster.save_client_states(64 << 20);
    /// let next_process = Cluster::new(Config::openyurt())?;
    /// assert_eq!(next_process.restore_client_states(saved.into()), Ok(0));
    /// # Ok::<(), poolscope::Error>(())
    /// ```
    pub fn save_client_states(&self, max_bytes: usize) -> Vec<u8> {
        saved::save(self.sessions(), max_bytes)
    }

    /// Restores the client states of [`Cluster::save_client_states`], before the first response.
    /// Returns how many they are. A watch that resumes one is sent the events that its objects need
    /// by the facts of this process.
    ///
    /// The configuration and the API server must be those of the process that saved them. The bytes
    /// are checked for contradictions, but not for damage: keep a checksum with them.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; nothing is restored then, and clients have to list again.
    pub fn restore_client_states(&self, saved: bytes::Bytes) -> Result<usize, RestoreError> {
        let count = saved::restore(self.sessions(), saved)?;
        if count > 0 {
            self.update(|facts| facts.begin_log_anew());
        }
        Ok(count)
    }

    /// Calls `hook` whenever facts have changed so that a verdict can change, before any stream can
    /// emit an event for it. Delete saved client states in the hook.
    ///
    /// The hook runs on the thread that has read the facts, under their lock: it must be quick, and
    /// must not use the cluster. A cluster has one hook; later calls are ignored.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// # use poolscope::{Cluster, Config, RequestHead, ResponseHead};
    ///
    /// # let cluster = Cluster::new(Config::openyurt())?;
    /// let is_valid = Arc::new(AtomicBool::new(true));
    /// let own = is_valid.clone();
    /// cluster.before_change(move || own.store(false, Ordering::Release));
    /// # let request = RequestHead::get("/api/v1/nodes/hz-1");
    /// # let mut reader = cluster.read_facts(&request, &ResponseHead::ok("application/json"))?;
    /// # reader.push(br#"{"metadata":{"name":"hz-1","labels":{"apps.openyurt.io/nodepool":"hz"}}}"#)?;
    /// # reader.finish()?;
    /// // ... a fact changes ...
    /// assert!(!is_valid.load(Ordering::Acquire));
    /// # Ok::<(), poolscope::Error>(())
    /// ```
    pub fn before_change(&self, hook: impl Fn() + Send + Sync + 'static) {
        let _ = self.inner.hook.set(Box::new(hook));
    }
}

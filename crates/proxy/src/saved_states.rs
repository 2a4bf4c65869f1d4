//! The client states on disk, so that a restart of the proxy does not make its clients list again.
//!
//! The file holds until a fact changes: from then on clients may be sent events that it does not
//! know of. It is removed before the first such event ([`Cluster::before_change`]), so that a
//! process that crashes leaves no file that is wrong.
//!
//! ```text
//!   8 bytes  what it is, and the version of this layout
//!   4 bytes  CRC-32 of the rest
//!   4 bytes  length of the identity
//!            the identity: whose client states these are
//!            the bytes of Cluster::save_client_states
//! ```

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes};
use poolscope::Cluster;

use crate::BoxError;
use crate::client_files::fill;

const MAGIC: &[u8; 8] = b"pscope\0\x01";
/// The bytes of the magic number and the checksum.
const HEAD: usize = MAGIC.len() + 4;
const NAME: &str = "client-states";
/// The most bytes of client states that are written.
const MAX_BYTES: usize = 64 << 20;
const LARGEST_FILE: u64 = (MAX_BYTES + MAX_BYTES / 4) as u64;

/// The file with the client states of one cluster.
#[derive(Debug, Clone)]
pub struct SavedStates {
    file: Arc<File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    temporary: PathBuf,
    identity: Vec<u8>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The file exists.
    is_written: bool,
    /// The checksum of what [`SavedStates::save_if_quiet`] saw last.
    seen: Option<u32>,
}

impl SavedStates {
    /// Client states in `folder`. Only a process with the same identity reads them: name all that
    /// they depend on, such as the node, the API servers' CA and the configuration.
    pub fn new(folder: &Path, identity: &str) -> SavedStates {
        let file = File {
            path: folder.join(NAME),
            temporary: folder.join(format!("{NAME}.new")),
            identity: identity.as_bytes().to_vec(),
            state: Mutex::default(),
        };
        SavedStates { file: Arc::new(file) }
    }

    /// Takes over the file for a cluster that continues no other process: what it holds is removed.
    pub fn begin(&self, cluster: &Cluster) {
        let own = self.clone();
        cluster.before_change(move || own.remove());
        self.state().is_written = true;
        self.remove();
    }

    /// Restores what an earlier process has saved, and removes the file. Call it before the first
    /// response. Returns how many clients can resume. A file that is damaged, or is another
    /// cluster's, is ignored with a line in the log.
    pub fn restore(&self, cluster: &Cluster) -> usize {
        let path = self.file.path.display();
        let found = self.read();
        self.begin(cluster);
        let restored = match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return 0,
            Err(error) => Err(error.into()),
            Ok(bytes) => self
                .payload(bytes)
                .and_then(|saved| cluster.restore_client_states(saved).map_err(BoxError::from)),
        };
        match restored {
            Ok(clients) => {
                tracing::info!(clients, "client states were restored: watches can be resumed");
                clients
            }
            Err(error) => {
                tracing::warn!(%path, "saved client states are not used: {error}; clients of \
                    endpoints list again");
                0
            }
        }
    }

    /// Saves the client states, unless a fact changes meanwhile. Returns whether they are saved.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written. An earlier one is gone then.
    pub fn save(&self, cluster: &Cluster) -> io::Result<bool> {
        let generation = cluster.generation();
        let saved = cluster.save_client_states(MAX_BYTES);
        self.write(cluster, generation, &saved)
    }

    /// Saves the client states if they are as they were at the last call, and not saved yet: while
    /// events pass, a file would be of no use a moment later.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written.
    pub fn save_if_quiet(&self, cluster: &Cluster) -> io::Result<bool> {
        let generation = cluster.generation();
        let saved = cluster.save_client_states(MAX_BYTES);
        let checksum = crc32fast::hash(&saved);
        let mut state = self.state();
        let is_quiet = state.seen.replace(checksum) == Some(checksum);
        if !is_quiet {
            // It is behind its clients.
            state.remove(&self.file.path);
        }
        let is_due = is_quiet && !state.is_written;
        drop(state);
        if is_due { self.write(cluster, generation, &saved) } else { Ok(false) }
    }

    fn write(&self, cluster: &Cluster, generation: u64, saved: &[u8]) -> io::Result<bool> {
        let identity = &self.file.identity;
        let mut content = Vec::with_capacity(HEAD + 4 + identity.len() + saved.len());
        content.put_slice(MAGIC);
        // The checksum's place.
        content.put_u32_le(0);
        content.put_u32_le(identity.len() as u32);
        content.put_slice(identity);
        content.put_slice(saved);
        let checksum = crc32fast::hash(&content[HEAD..]);
        content[MAGIC.len()..HEAD].copy_from_slice(&checksum.to_le_bytes());
        // The present file stays until the new one is whole, and goes if that fails.
        let written = write_whole(&self.file.temporary, &content);
        let mut state = self.state();
        if let Err(error) = written {
            state.remove(&self.file.path);
            return Err(error);
        }
        // A change from here on waits for the lock, and removes the file.
        if cluster.generation() != generation {
            state.remove(&self.file.path);
            fs::remove_file(&self.file.temporary)?;
            return Ok(false);
        }
        fs::rename(&self.file.temporary, &self.file.path)?;
        state.is_written = true;
        Ok(true)
    }

    fn read(&self) -> io::Result<Bytes> {
        let found = fs::symlink_metadata(&self.file.path)?;
        // Neither a link nor a pipe, which may have no end.
        if !found.is_file() || found.len() > LARGEST_FILE {
            return Err(io::Error::other(format!("no file of at most {LARGEST_FILE} bytes")));
        }
        let mut bytes = Vec::with_capacity(found.len() as usize);
        fs::File::open(&self.file.path)?.take(LARGEST_FILE).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    /// The bytes of [`Cluster::save_client_states`] in a file.
    fn payload(&self, mut bytes: Bytes) -> Result<Bytes, BoxError> {
        let is_own = bytes.try_get_u64().is_ok_and(|magic| magic == u64::from_be_bytes(*MAGIC));
        if !is_own {
            return Err("the file is not one of this version".into());
        }
        let checksum = bytes.try_get_u32_le()?;
        if crc32fast::hash(&bytes) != checksum {
            return Err("the file is damaged".into());
        }
        let len = bytes.try_get_u32_le()? as usize;
        if bytes.len() < len || bytes.split_to(len) != self.file.identity {
            return Err(
                "the file is of another configuration, API server or node, or of before the last \
                 boot"
                    .into(),
            );
        }
        Ok(bytes)
    }

    fn remove(&self) {
        self.state().remove(&self.file.path);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.file.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, path: &Path) {
        if !std::mem::take(&mut self.is_written) {
            return;
        }
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(path = %path.display(), %error, "old client states were not removed: \
                delete the file before the proxy starts again");
        }
    }
}

/// Writes a file that only this user can read, whatever stands there.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fill(path, content, 0o600),
    }
}

#[cfg(test)]
mod tests;

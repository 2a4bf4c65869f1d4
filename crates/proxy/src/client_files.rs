//! The files that point a client on this node at the proxy: `ca.crt` and `kubeconfig`.
//!
//! The agent reads both files from a directory that the proxy and the agent mount from the host.
//! The kubeconfig names the agent's own ServiceAccount token, so the proxy never holds a credential
//! of the agent.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The default client directory. Cilium's chart mounts `/var/run/cilium` from the host.
pub const CLIENT_DIRECTORY: &str = "/var/run/cilium/poolscope";

/// The file of the ServiceAccount token inside a client's container.
pub const CLIENT_TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

const CA_FILE: &str = "ca.crt";
const KUBECONFIG_FILE: &str = "kubeconfig";
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// An error of the client files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The client directory cannot be named in a kubeconfig.
    #[error(
        "invalid client directory ({}): use an absolute path in UTF-8, as the client sees it",
        .0.display()
    )]
    ClientDirectory(PathBuf),
    /// A file or the directory cannot be written.
    #[error(
        "writing {} failed ({source}): mount the client directory from the host and make it \
         writable for the proxy",
        path.display()
    )]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file cannot be removed.
    #[error(
        "removing {} failed ({source}): delete the file on the node by hand",
        path.display()
    )]
    Remove {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Writes and removes the files of the clients on this node.
///
/// ```
/// use poolscope_proxy::client_files::{CLIENT_DIRECTORY, ClientFiles};
///
/// let files = ClientFiles::new("/host/run/poolscope", CLIENT_DIRECTORY, 10271)?;
/// assert!(files.kubeconfig().contains(r#"server: "https://127.0.0.1:10271""#));
/// # Ok::<(), poolscope_proxy::client_files::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClientFiles {
    directory: PathBuf,
    kubeconfig: String,
}

impl ClientFiles {
    /// Returns a writer for `directory`, the path of the client directory as the proxy sees it.
    ///
    /// `client_directory` is the path of the same directory as the client sees it. `port` is the
    /// port of the proxy on 127.0.0.1. Touches no file.
    ///
    /// # Errors
    ///
    /// Fails if `client_directory` is relative or not UTF-8. A client would resolve a relative
    /// path against its own working directory.
    pub fn new(
        directory: impl Into<PathBuf>,
        client_directory: impl Into<PathBuf>,
        port: u16,
    ) -> Result<Self, Error> {
        let client_directory = client_directory.into();
        let ca = client_directory.join(CA_FILE);
        match ca.to_str().filter(|_| client_directory.is_absolute()) {
            Some(ca) => {
                Ok(Self { directory: directory.into(), kubeconfig: kubeconfig_text(ca, port) })
            }
            None => Err(Error::ClientDirectory(client_directory)),
        }
    }

    /// Returns the path of the kubeconfig as the proxy sees it.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.directory.join(KUBECONFIG_FILE)
    }

    /// Returns the path of the CA file as the proxy sees it.
    pub fn ca_path(&self) -> PathBuf {
        self.directory.join(CA_FILE)
    }

    /// Returns the content of the kubeconfig.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// Writes the files whose content or mode differs. Returns `true` if a file was written.
    ///
    /// A reader sees the old or the new content of a file, never a part. The CA file is written
    /// first, so that it exists when a client finds the kubeconfig. Call this method on a timer:
    /// the default directory is on a tmpfs.
    ///
    /// # Errors
    ///
    /// Fails if the directory cannot be created or a file cannot be written.
    pub fn write(&self, ca_pem: &str) -> Result<bool, Error> {
        create_directory(&self.directory, DIRECTORY_MODE)
            .map_err(|source| Error::Write { path: self.directory.clone(), source })?;
        let ca = update(self.ca_path(), ca_pem)?;
        let kubeconfig = update(self.kubeconfig_path(), &self.kubeconfig)?;
        Ok(ca || kubeconfig)
    }

    /// Removes both files. Does nothing for files that do not exist; the directory stays.
    ///
    /// # Errors
    ///
    /// Fails if a file exists and cannot be removed.
    pub fn remove(&self) -> Result<(), Error> {
        for path in [self.kubeconfig_path(), self.ca_path()] {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::Remove { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns a kubeconfig that works with every client-go. Strings are quoted as in JSON, which is
/// also YAML.
fn kubeconfig_text(ca_file: &str, port: u16) -> String {
    let ca_file = serde_json::Value::from(ca_file);
    format!(
        "\
# Written by poolscope-proxy. Changes are overwritten.
apiVersion: v1
kind: Config
clusters:
- name: poolscope
  cluster:
    server: \"https://127.0.0.1:{port}\"
    certificate-authority: {ca_file}
users:
- name: agent
  user:
    tokenFile: \"{CLIENT_TOKEN_FILE}\"
contexts:
- name: poolscope
  context:
    cluster: poolscope
    user: agent
current-context: poolscope
"
    )
}

/// Writes `content` to `path` unless a regular file with this content and [`FILE_MODE`] is there.
fn update(path: PathBuf, content: &str) -> Result<bool, Error> {
    let is_regular = fs::symlink_metadata(&path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o7777 == FILE_MODE);
    if is_regular && fs::read(&path).is_ok_and(|found| found == content.as_bytes()) {
        return Ok(false);
    }
    match write_atomically(&path, content.as_bytes(), FILE_MODE) {
        Ok(()) => Ok(true),
        Err(source) => Err(Error::Write { path, source }),
    }
}

/// Creates `path` and its parents if missing. A new directory gets exactly `mode`.
pub(crate) fn create_directory(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    // The umask may have removed bits.
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Replaces the file at `path` by `content` with exactly `mode`.
///
/// Writes a temporary file in the same directory, flushes it to the disk and renames it. After a
/// crash `path` holds the old or the new content. The temporary name is unique, so that two
/// processes never write to the same temporary file.
pub(crate) fn write_atomically(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let suffix =
        format!(".{}-{nanos}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(suffix);
    let temporary = path.with_file_name(name);
    let written = fill(&temporary, content, mode).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => fs::File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

/// Writes a new file with exactly `mode` and flushes it to the disk. Fails if something stands
/// there.
pub(crate) fn fill(temporary: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    // `create_new` does not follow a symbolic link. The file is private until it is complete.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests;

//! The proxy's own identity towards the API server: a token and the roots of the cluster.
//!
//! Both are files that the kubelet renews. [`OwnCredentials`] compares their content on a timer and
//! does not watch inodes, because the kubelet replaces a directory by a symbolic link. The proxy
//! uses these credentials only for its own requests. A client's request carries the client's token.
//! There are no client certificates.
//!
//! Files are read with blocking calls. A file is read at most once per [`REREAD_INTERVAL`], except
//! after a 401 (the token) and until the first reading succeeds.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::authority::{ALPN_PROTOCOLS, crypto_provider};

/// The shortest time between two reads of the same file.
pub const REREAD_INTERVAL: Duration = Duration::from_secs(60);

/// An error of the proxy's own credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error(
        "reading {} failed ({source}): mount the ServiceAccount into the proxy's pod",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A token file holds no bearer token.
    #[error(
        "reading a token from {} failed ({source}): the file must hold one bearer token",
        path.display()
    )]
    Token {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: InvalidToken,
    },
    /// A CA file holds no usable certificate.
    #[error(
        "invalid CA file {} ({cause}): the file must hold the cluster's CA certificates in PEM",
        path.display()
    )]
    Ca {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: String,
    },
    /// The cryptography refuses every version of TLS.
    #[error("creating a TLS client failed ({0}): choose a crypto provider with TLS 1.2 or 1.3")]
    Tls(#[source] rustls::Error),
}

/// The reason why a text is not a bearer token. Never shows the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// The text is empty or white space.
    #[error("the token is empty")]
    Empty,
    /// The text holds white space, control characters or other characters than ASCII.
    #[error("the token is not visible ASCII")]
    NotVisibleAscii,
}

/// A bearer token. No format shows it.
///
/// ```
/// use poolscope_proxy::credentials::Token;
///
/// let token: Token = "eyJhbGci".parse().unwrap();
/// assert_eq!(format!("{token} {token:?}"), "[redacted] Token([redacted])");
/// assert!(token.header().is_sensitive());
/// assert_eq!(token.header(), "Bearer eyJhbGci");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

impl std::str::FromStr for Token {
    type Err = InvalidToken;

    /// Reads a token and ignores white space around it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let token = text.trim();
        if token.is_empty() {
            return Err(InvalidToken::Empty);
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken::NotVisibleAscii);
        }
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| InvalidToken::NotVisibleAscii)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Token {
    /// Returns the value of an `Authorization` header, marked as sensitive.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A value from a file with the last good reading.
struct Cached<T> {
    value: Option<T>,
    read_at: Option<Instant>,
    error: Option<Arc<Error>>,
}

impl<T: Clone> Cached<T> {
    const EMPTY: Self = Self { value: None, read_at: None, error: None };

    /// Returns the value. Calls `read` if the value is missing or older than the interval.
    ///
    /// A failed `read` keeps the last good value.
    fn get(
        &mut self,
        now: Instant,
        read: impl FnOnce(Option<&T>) -> Result<T, Error>,
    ) -> Result<T, Arc<Error>> {
        let is_fresh = self
            .read_at
            .is_some_and(|read_at| now.saturating_duration_since(read_at) < REREAD_INTERVAL);
        if let Some(value) = self.value.as_ref().filter(|_| is_fresh) {
            return Ok(value.clone());
        }
        match read(self.value.as_ref()) {
            Ok(value) => {
                self.value = Some(value);
                self.error = None;
            }
            Err(error) => {
                tracing::warn!(%error, kept = self.value.is_some(), "credentials not read");
                self.error = Some(Arc::new(error));
            }
        }
        self.read_at = Some(now);
        match (&self.value, &self.error) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(error)) => Err(Arc::clone(error)),
            (None, None) => unreachable!("a read yields a value or an error"),
        }
    }
}

/// The roots of one content of the CA file.
#[derive(Clone)]
struct Trust {
    pem: Arc<[u8]>,
    roots: Arc<RootCertStore>,
    config: Arc<ClientConfig>,
}

/// The proxy's own token and roots, read again as the kubelet renews the files.
///
/// A file that becomes unreadable or invalid does not end the proxy: the last good reading stays
/// in use, and [`problems`](Self::problems) reports the error until a read succeeds.
pub struct OwnCredentials {
    token_file: PathBuf,
    ca_file: PathBuf,
    token: Mutex<Cached<Token>>,
    trust: Mutex<Cached<Trust>>,
}

impl Default for OwnCredentials {
    /// Returns credentials that read the ServiceAccount files of a pod.
    fn default() -> Self {
        let directory = Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
        Self::new(directory.join("token"), directory.join("ca.crt"))
    }
}

impl OwnCredentials {
    /// Returns credentials that read a bearer token and CA certificates in PEM.
    ///
    /// The files are first read when they are needed.
    pub fn new(token_file: impl Into<PathBuf>, ca_file: impl Into<PathBuf>) -> Self {
        Self {
            token_file: token_file.into(),
            ca_file: ca_file.into(),
            token: Mutex::new(Cached::EMPTY),
            trust: Mutex::new(Cached::EMPTY),
        }
    }

    /// Returns the token. Reads the file if the last reading is older than [`REREAD_INTERVAL`].
    ///
    /// # Errors
    ///
    /// Fails if the token was never read. The next call then reads the file again.
    pub fn token(&self) -> Result<Token, Arc<Error>> {
        self.token_at(Instant::now())
    }

    /// Makes the next [`token`](Self::token) read the file. Call this method after a 401.
    pub fn unauthorized(&self) {
        lock(&self.token).read_at = None;
    }

    /// Returns the roots of the API server, read like [`client_config`](Self::client_config).
    ///
    /// # Errors
    ///
    /// Fails if the CA file was never read.
    pub fn ca(&self) -> Result<Arc<RootCertStore>, Arc<Error>> {
        self.trust_at(Instant::now()).map(|trust| trust.roots)
    }

    /// Returns the TLS client configuration (ALPN `h2` and `http/1.1`, no client certificate).
    ///
    /// Reads the CA file if the last reading is older than [`REREAD_INTERVAL`]. Returns another
    /// `Arc` only if the content of the file changed, so a connection is outdated if `Arc::ptr_eq`
    /// of its configuration and this one is `false`.
    ///
    /// # Errors
    ///
    /// Fails if the CA file was never read.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, Arc<Error>> {
        self.trust_at(Instant::now()).map(|trust| trust.config)
    }

    /// Returns the errors of the last reading of each file. Empty if both readings succeeded.
    pub fn problems(&self) -> Vec<Arc<Error>> {
        let token = lock(&self.token).error.clone();
        let trust = lock(&self.trust).error.clone();
        token.into_iter().chain(trust).collect()
    }

    fn token_at(&self, now: Instant) -> Result<Token, Arc<Error>> {
        let path = &self.token_file;
        lock(&self.token).get(now, |_| {
            let bytes = read(path)?;
            std::str::from_utf8(&bytes)
                .map_err(|_| InvalidToken::NotVisibleAscii)
                .and_then(str::parse)
                .map_err(|source| Error::Token { path: path.clone(), source })
        })
    }

    fn trust_at(&self, now: Instant) -> Result<Trust, Arc<Error>> {
        let path = &self.ca_file;
        lock(&self.trust).get(now, |last| {
            let pem = read(path)?;
            match last {
                Some(last) if *last.pem == *pem => Ok(last.clone()),
                _ => parse_trust(path, pem),
            }
        })
    }
}

impl fmt::Debug for OwnCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCredentials")
            .field("token_file", &self.token_file)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// A panic cannot leave a `Cached` value in a state that later readers must not see.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn parse_trust(path: &Path, pem: Vec<u8>) -> Result<Trust, Error> {
    let invalid = |cause: String| Error::Ca { path: path.to_owned(), cause };
    let mut roots = RootCertStore::empty();
    let mut refused = None;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        // A damaged frame may be a file that is still being written: keep the old roots.
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        // client-go also skips a certificate that it does not understand.
        if let Err(error) = roots.add(certificate) {
            tracing::warn!(path = %path.display(), %error, "CA certificate skipped");
            refused = Some(error.to_string());
        }
    }
    if roots.is_empty() {
        return Err(invalid(refused.unwrap_or_else(|| "no certificate found".to_owned())));
    }
    let roots = Arc::new(roots);
    let mut config = ClientConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_root_certificates(Arc::clone(&roots))
        .with_no_client_auth();
    config.alpn_protocols = ALPN_PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Trust { pem: pem.into(), roots, config: Arc::new(config) })
}

#[cfg(test)]
mod tests;

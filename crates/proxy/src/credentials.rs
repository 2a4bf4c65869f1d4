//! The proxy's own identity towards the API server: a token or a client certificate, and the roots
//! of the cluster.
//!
//! The identity comes from the files of a ServiceAccount or from a kubeconfig, which others renew.
//! [`OwnCredentials`] compares their content on a timer and does not watch inodes, because the
//! kubelet replaces a directory by a symbolic link. The proxy uses these credentials only for its
//! own requests: the client certificate is in [`own_config`](OwnCredentials::own_config), and
//! clients' requests use [`client_config`](OwnCredentials::client_config), which has none.
//!
//! Files are read with blocking calls. A file is read at most once per [`REREAD_INTERVAL`], except
//! after a 401 (the token) and until the first reading succeeds.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::authority::{ALPN_PROTOCOLS, crypto_provider, expiry};
use crate::kubeconfig::{Kubeconfig, Material};
use crate::upstream::Server;

/// The shortest time between two reads of the same file.
pub const REREAD_INTERVAL: Duration = Duration::from_secs(60);

/// An error of the proxy's own credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error(
        "reading {} failed ({source}): mount the ServiceAccount into the proxy's pod, or name the \
         file that holds its identity",
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
    /// A kubeconfig cannot be used.
    #[error("invalid kubeconfig {} ({cause})", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The cause and the remedy. Does not quote the file.
        cause: String,
    },
    /// A client certificate cannot be used.
    #[error(
        "invalid client certificate of {} ({cause}): the certificate and its key must be PEM and \
         belong together",
        path.display()
    )]
    ClientCertificate {
        /// The kubeconfig.
        path: PathBuf,
        /// The cause. Does not quote a file.
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

/// The TLS side of the identity.
#[derive(Clone)]
struct Trust {
    pems: Arc<Pems>,
    roots: Arc<RootCertStore>,
    /// For clients' requests: without a client certificate.
    config: Arc<ClientConfig>,
    /// For the proxy's own requests.
    own_config: Arc<ClientConfig>,
    /// The server that a kubeconfig names.
    server: Option<Server>,
    ca_expiry: Option<SystemTime>,
    client_certificate_expiry: Option<SystemTime>,
}

/// The contents that the TLS side is made of.
#[derive(PartialEq, Eq)]
struct Pems {
    ca: Vec<u8>,
    /// The client certificate and its key.
    client: Option<(Vec<u8>, Vec<u8>)>,
}

/// The files of the identity.
#[derive(Debug, Clone)]
enum Source {
    Files { token: PathBuf, ca: PathBuf },
    Kubeconfig(PathBuf),
}

/// The proxy's own identity, read again as others renew its files.
///
/// A file that becomes unreadable or invalid does not end the proxy: the last good reading stays
/// in use, and [`problems`](Self::problems) reports the error until a read succeeds.
pub struct OwnCredentials {
    source: Source,
    token: Mutex<Cached<Option<Token>>>,
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
        Self::from(Source::Files { token: token_file.into(), ca: ca_file.into() })
    }

    /// Returns credentials that read a kubeconfig and the files that it names.
    ///
    /// The files are first read when they are needed.
    pub fn kubeconfig(path: impl Into<PathBuf>) -> Self {
        Self::from(Source::Kubeconfig(path.into()))
    }

    fn from(source: Source) -> Self {
        Self { source, token: Mutex::new(Cached::EMPTY), trust: Mutex::new(Cached::EMPTY) }
    }

    /// Returns the token; `None` if the identity is a client certificate alone. Reads the file if
    /// the last reading is older than [`REREAD_INTERVAL`].
    ///
    /// # Errors
    ///
    /// Fails if the token was never read. The next call then reads the file again.
    pub fn token(&self) -> Result<Option<Token>, Arc<Error>> {
        self.token_at(Instant::now())
    }

    /// Makes the next [`token`](Self::token) read the file. Call this method after a 401.
    pub fn unauthorized(&self) {
        lock(&self.token).read_at = None;
    }

    /// Makes the next calls read all files.
    pub fn reread(&self) {
        lock(&self.token).read_at = None;
        lock(&self.trust).read_at = None;
    }

    /// Returns the roots of the API server, read like [`client_config`](Self::client_config).
    ///
    /// # Errors
    ///
    /// Fails if the CA file was never read.
    pub fn ca(&self) -> Result<Arc<RootCertStore>, Arc<Error>> {
        self.trust_at(Instant::now()).map(|trust| trust.roots)
    }

    /// Returns the certificates of the API server's CA in PEM.
    ///
    /// # Errors
    ///
    /// Fails if the CA file was never read.
    pub fn ca_pem(&self) -> Result<String, Arc<Error>> {
        let trust = self.trust_at(Instant::now())?;
        Ok(String::from_utf8_lossy(&trust.pems.ca).into_owned())
    }

    /// Returns the TLS configuration for clients' requests (ALPN `h2` and `http/1.1`, never a
    /// client certificate).
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

    /// Returns the TLS configuration for the proxy's own requests, with the client certificate of
    /// a kubeconfig. Otherwise like [`client_config`](Self::client_config).
    ///
    /// # Errors
    ///
    /// Fails if the CA file was never read.
    pub fn own_config(&self) -> Result<Arc<ClientConfig>, Arc<Error>> {
        self.trust_at(Instant::now()).map(|trust| trust.own_config)
    }

    /// Returns the server that a kubeconfig names; `None` without a kubeconfig.
    ///
    /// # Errors
    ///
    /// Fails if the kubeconfig was never read.
    pub fn server(&self) -> Result<Option<Server>, Arc<Error>> {
        self.trust_at(Instant::now()).map(|trust| trust.server)
    }

    /// Returns when the first certificate of the CA, and the client certificate, expire.
    ///
    /// # Errors
    ///
    /// Fails if the CA file was never read.
    pub fn expiries(&self) -> Result<Vec<(&'static str, SystemTime)>, Arc<Error>> {
        let trust = self.trust_at(Instant::now())?;
        let ca = trust.ca_expiry.map(|at| ("api_server_ca", at));
        let client = trust.client_certificate_expiry.map(|at| ("own_client_certificate", at));
        Ok(ca.into_iter().chain(client).collect())
    }

    /// Returns the errors of the last reading of each file. Empty if both readings succeeded.
    pub fn problems(&self) -> Vec<Arc<Error>> {
        let token = lock(&self.token).error.clone();
        let trust = lock(&self.trust).error.clone();
        token.into_iter().chain(trust).collect()
    }

    fn token_at(&self, now: Instant) -> Result<Option<Token>, Arc<Error>> {
        lock(&self.token).get(now, |_| {
            let (path, bytes) = match &self.source {
                Source::Files { token, .. } => (token.clone(), read(token)?),
                Source::Kubeconfig(path) => match read_kubeconfig(path)?.token {
                    None => return Ok(None),
                    Some(Material::Inline(token)) => (path.clone(), token),
                    Some(Material::File(file)) => {
                        let token = read(&file)?;
                        (file, token)
                    }
                },
            };
            let token = std::str::from_utf8(&bytes)
                .map_err(|_| InvalidToken::NotVisibleAscii)
                .and_then(str::parse);
            token.map(Some).map_err(|source| Error::Token { path, source })
        })
    }

    fn trust_at(&self, now: Instant) -> Result<Trust, Arc<Error>> {
        lock(&self.trust).get(now, |last| match &self.source {
            Source::Files { ca, .. } => {
                Trust::new(last, ca, Pems { ca: read(ca)?, client: None }, None)
            }
            Source::Kubeconfig(path) => {
                let config = read_kubeconfig(path)?;
                let client = match config.client_certificate {
                    None => None,
                    Some((certificate, key)) => Some((content(certificate)?, content(key)?)),
                };
                let ca_path = match &config.ca {
                    Material::File(file) => file.clone(),
                    Material::Inline(_) => path.clone(),
                };
                let pems = Pems { ca: content(config.ca)?, client };
                Trust::new(last, &ca_path, pems, Some((path, config.server)))
            }
        })
    }
}

impl Trust {
    /// Returns `last` if nothing changed, and its parts that did not change otherwise.
    fn new(
        last: Option<&Trust>,
        ca_path: &Path,
        pems: Pems,
        kubeconfig: Option<(&Path, Server)>,
    ) -> Result<Trust, Error> {
        let (path, server) = match kubeconfig {
            Some((path, server)) => (path, Some(server)),
            None => (ca_path, None),
        };
        if let Some(last) = last.filter(|last| *last.pems == pems) {
            return Ok(Trust { server, ..last.clone() });
        }
        let (roots, config, ca_expiry) = match last.filter(|last| last.pems.ca == pems.ca) {
            Some(last) => (last.roots.clone(), last.config.clone(), last.ca_expiry),
            None => {
                let (roots, ca_expiry) = parse_roots(ca_path, &pems.ca)?;
                (roots.clone(), tls(&roots, None)?, ca_expiry)
            }
        };
        let mut client_certificate_expiry = None;
        let own_config = match &pems.client {
            None => config.clone(),
            Some((certificate, key)) => {
                let invalid = |cause: String| Error::ClientCertificate { path: path.into(), cause };
                let chain = CertificateDer::pem_slice_iter(certificate)
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|_| invalid("the certificate is not PEM".to_owned()))?;
                client_certificate_expiry = chain.first().and_then(expiry);
                // The error of the PEM reader may quote the file.
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|_| invalid("no private key found".to_owned()))?;
                tls(&roots, Some((chain, key))).map_err(|error| match error {
                    Error::Tls(cause) => invalid(cause.to_string()),
                    other => other,
                })?
            }
        };
        let pems = Arc::new(pems);
        let trust =
            Trust { pems, roots, config, own_config, server, ca_expiry, client_certificate_expiry };
        Ok(trust)
    }
}

impl fmt::Debug for OwnCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCredentials").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A panic cannot leave a `Cached` value in a state that later readers must not see.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// Returns the content, which may be in a file.
fn content(material: Material) -> Result<Vec<u8>, Error> {
    match material {
        Material::Inline(content) => Ok(content),
        Material::File(path) => read(&path),
    }
}

fn read_kubeconfig(path: &Path) -> Result<Kubeconfig, Error> {
    let invalid = |cause: String| Error::Kubeconfig { path: path.to_owned(), cause };
    let text = String::from_utf8(read(path)?)
        .map_err(|_| invalid("invalid UTF-8: write a kubeconfig".to_owned()))?;
    Kubeconfig::parse(&text, path.parent().unwrap_or(Path::new("/"))).map_err(invalid)
}

/// Returns the roots, and when the first of them expires.
fn parse_roots(path: &Path, pem: &[u8]) -> Result<(Arc<RootCertStore>, Option<SystemTime>), Error> {
    let invalid = |cause: String| Error::Ca { path: path.to_owned(), cause };
    let mut roots = RootCertStore::empty();
    let mut refused = None;
    let mut expires: Option<SystemTime> = None;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        // A damaged frame may be a file that is still being written: keep the old roots.
        let certificate =
            certificate.map_err(|_| invalid("a PEM block is damaged or incomplete".to_owned()))?;
        let expiry = expiry(&certificate);
        // client-go also skips a certificate that it does not understand.
        match roots.add(certificate) {
            Ok(()) => expires = expires.into_iter().chain(expiry).min(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "CA certificate skipped");
                refused = Some(error.to_string());
            }
        }
    }
    if roots.is_empty() {
        return Err(invalid(refused.unwrap_or_else(|| "no certificate found".to_owned())));
    }
    Ok((Arc::new(roots), expires))
}

/// Returns a TLS client that trusts `roots`.
fn tls(
    roots: &Arc<RootCertStore>,
    certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_root_certificates(Arc::clone(roots));
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(Error::Tls)?,
    };
    config.alpn_protocols = ALPN_PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;

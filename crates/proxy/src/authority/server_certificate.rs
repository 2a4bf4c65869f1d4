//! The certificate that the listener serves, renewed in the running process.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::ca::{CLOCK_SKEW, not_after};
use super::{ALPN_PROTOCOLS, Authority, Error, crypto_provider};

/// The TLS side of the listener: a configuration whose certificate is replaced before it expires.
///
/// Call [`renew_if_due`](Self::renew_if_due) on a timer, for example every minute. Connections that
/// are open keep the certificate of their handshake.
pub struct ServerCertificate {
    provider: Arc<CryptoProvider>,
    resolver: Arc<Resolver>,
    config: Arc<ServerConfig>,
    state: Mutex<State>,
}

/// The source of the certificate, and the values that decide when to renew it.
struct State {
    source: Source,
    not_after: SystemTime,
}

enum Source {
    Authority { authority: Arc<Authority>, renewed_at: SystemTime, renew_at: SystemTime },
    Files(Files),
}

/// A pair of files with the content that is served. The content is compared, not the inode.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    served: Option<(Vec<u8>, Vec<u8>)>,
}

impl ServerCertificate {
    /// Serves leaf certificates of `authority`.
    ///
    /// # Errors
    ///
    /// Fails if no certificate can be issued or the crypto provider refuses it.
    pub fn from_authority(authority: Arc<Authority>, now: SystemTime) -> Result<Self, Error> {
        let provider = crypto_provider();
        let leaf = authority.leaf(now)?;
        let not_after = leaf.not_after();
        let source = Source::Authority { authority, renewed_at: now, renew_at: leaf.renew_at() };
        let key = leaf.into_certified_key(&provider)?;
        Self::new(provider, key, State { source, not_after })
    }

    /// Serves the certificate chain and the private key in two PEM files.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read, the key does not match, or the certificate has expired.
    pub fn from_files(certificate: &Path, key: &Path, now: SystemTime) -> Result<Self, Error> {
        let provider = crypto_provider();
        let mut files =
            Files { certificate: certificate.to_owned(), key: key.to_owned(), served: None };
        let content = files.read()?;
        let (certified, not_after) = files.parse(&content, &provider, now)?;
        files.served = Some(content);
        Self::new(provider, certified, State { source: Source::Files(files), not_after })
    }

    fn new(provider: Arc<CryptoProvider>, key: CertifiedKey, state: State) -> Result<Self, Error> {
        let resolver = Arc::new(Resolver(RwLock::new(Arc::new(key))));
        let certificates: Arc<dyn ResolvesServerCert> = Arc::<Resolver>::clone(&resolver);
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        config.alpn_protocols = ALPN_PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self { provider, resolver, config: Arc::new(config), state: Mutex::new(state) })
    }

    /// Returns the configuration of the listener. It stays valid when the certificate is renewed.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Returns the time after which clients refuse the served certificate.
    pub fn not_after(&self) -> SystemTime {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).not_after
    }

    /// Replaces the certificate if it is time. Returns `true` if new connections get another one.
    ///
    /// A certificate of an [`Authority`] is replaced when two thirds of its life are over, or when
    /// the clock was set back before its issue. Files are read, with blocking calls, and replace
    /// the certificate if their content differs.
    ///
    /// # Errors
    ///
    /// Fails if the new certificate cannot be used. The old certificate stays in use, and the next
    /// call tries again.
    pub fn renew_if_due(&self, now: SystemTime) -> Result<bool, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let (key, not_after) = match &mut state.source {
            Source::Authority { authority, renewed_at, renew_at } => {
                // The validity begins `CLOCK_SKEW` before the issue.
                if now + CLOCK_SKEW >= *renewed_at && now < *renew_at {
                    return Ok(false);
                }
                let leaf = authority.leaf(now)?;
                let (not_after, next) = (leaf.not_after(), leaf.renew_at());
                let key = leaf.into_certified_key(&self.provider)?;
                (*renewed_at, *renew_at) = (now, next);
                (key, not_after)
            }
            Source::Files(files) => {
                let content = files.read()?;
                if files.served.as_ref() == Some(&content) {
                    return Ok(false);
                }
                let parsed = files.parse(&content, &self.provider, now)?;
                files.served = Some(content);
                parsed
            }
        };
        *self.resolver.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
        state.not_after = not_after;
        Ok(true)
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate")
            .field("not_after", &self.not_after())
            .finish_non_exhaustive()
    }
}

impl Files {
    fn read(&self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })
        };
        Ok((read(&self.certificate)?, read(&self.key)?))
    }

    fn parse(
        &self,
        (certificate, key): &(Vec<u8>, Vec<u8>),
        provider: &CryptoProvider,
        now: SystemTime,
    ) -> Result<(CertifiedKey, SystemTime), Error> {
        let invalid = |cause: String| Error::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            cause,
        };
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| invalid(error.to_string()))?;
        let first = chain.first().ok_or_else(|| invalid("no certificate found".to_owned()))?;
        let not_after = X509Certificate::from_der(first)
            .map(|(_, parsed)| not_after(&parsed))
            .map_err(|error| invalid(error.to_string()))?;
        if now >= not_after {
            return Err(invalid("the certificate has expired".to_owned()));
        }
        // The error of the PEM reader may quote the file.
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| invalid("no private key found".to_owned()))?;
        let certified = CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| invalid(error.to_string()))?;
        Ok((certified, not_after))
    }
}

/// Serves the certificate of the moment to every client, whatever name the client asks for.
struct Resolver(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&key))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

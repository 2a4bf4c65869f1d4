//! The proxy's certificate authority and the certificate of its listener.
//!
//! Clients on the node trust one `ca.crt`, and most clients read it only at their start. The CA is
//! therefore kept in a state directory over restarts and lives for ten years. Leaf certificates
//! live for 30 days and are renewed in the running process ([`ServerCertificate`]).
//!
//! The time is a parameter of every function whose result depends on it.

mod ca;
mod leaf;
mod names;
mod server_certificate;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::CryptoProvider;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

pub(crate) use ca::restrict;
pub use ca::{Authority, Origin};
pub use leaf::Leaf;
pub use names::{LOOPBACK_NAMES, SubjectName};
pub use server_certificate::ServerCertificate;

/// The application protocols of the listener and of upstream connections.
pub const ALPN_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// An error of the proxy's certificates. No error shows a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file exists and cannot be read.
    #[error("reading {} failed ({source}): make the file readable for the proxy", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file or the state directory cannot be written.
    #[error("writing {} failed ({source}): make the state directory writable", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A text is not a subject name.
    #[error("invalid subject name ({0}): use a DNS name or an IP address")]
    Name(String),
    /// A certificate cannot be issued.
    #[error("issuing a certificate failed ({0}): check the names that the certificate shall have")]
    Issue(String),
    /// The CA expired in the running process.
    #[error(
        "the CA in {} has expired: restart the proxy and its clients to get a new CA",
        .0.display()
    )]
    AuthorityExpired(PathBuf),
    /// The files of a certificate given by the user cannot be used.
    #[error(
        "using certificate {} with key {} failed ({cause}): provide a certificate chain that is \
         not expired and its private key, both in PEM",
        certificate.display(), key.display()
    )]
    Pair {
        /// The file of the certificate chain.
        certificate: PathBuf,
        /// The file of the private key.
        key: PathBuf,
        /// The cause.
        cause: String,
    },
    /// The cryptography refuses a certificate or every version of TLS.
    #[error("creating a TLS server failed ({0}): choose a crypto provider with ECDSA P-256")]
    Tls(#[from] rustls::Error),
}

/// Returns the time after which a certificate is refused; `None` if it is not a certificate.
pub fn expiry(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    X509Certificate::from_der(certificate).ok().map(|(_, parsed)| ca::not_after(&parsed))
}

/// Returns the installed default crypto provider, or that of the enabled cargo feature.
///
/// `aws-lc-rs` has precedence over `ring` if both features are enabled.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    if let Some(provider) = CryptoProvider::get_default() {
        return Arc::clone(provider);
    }
    #[cfg(feature = "aws-lc-rs")]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    let provider = rustls::crypto::ring::default_provider();
    Arc::new(provider)
}

#[cfg(test)]
mod tests;

//! The certificate authority and its files.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::names::{constraints, with_loopback_names};
use super::{Error, Leaf, SubjectName, crypto_provider};
use crate::client_files::{create_directory, write_atomically};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The clock of a client may be late by this time.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);
const AUTHORITY_LIFETIME: Duration = DAY.saturating_mul(3650);
/// A CA with less time left is replaced when the proxy starts. A process may run for months.
const AUTHORITY_MARGIN: Duration = DAY.saturating_mul(90);
/// The start of 2026. The clock of a node without a battery is wrong until it is synchronised. A
/// new CA is valid from this time on at the latest, and for `AUTHORITY_LIFETIME` after it.
const RELEASE: Duration = Duration::from_secs(1_767_225_600);
/// The longest common name of X.520.
const COMMON_NAME_LENGTH: usize = 64;

/// The way an [`Authority`] got its pair of certificate and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The state directory held a usable pair.
    Loaded,
    /// The state directory held no pair.
    Created,
    /// The state directory held a pair that cannot be used, for the given reason. Clients have to
    /// reload `ca.crt`.
    Replaced(String),
}

/// The proxy's own certificate authority. `Debug` does not show the key.
///
/// The CA may issue only server certificates (path length 0) for the names of the proxy. The name
/// constraint permits exact DNS names. It permits loopback addresses, and every address if a node
/// address was requested, because a node may get another address and clients keep the CA.
pub struct Authority {
    certificate_file: PathBuf,
    certificate_pem: String,
    not_after: SystemTime,
    issuer: Issuer<'static, KeyPair>,
    names: Vec<SubjectName>,
    origin: Origin,
}

impl Authority {
    /// Loads `ca.crt` and `ca.key` from the directory `dir`, or creates them.
    ///
    /// A pair is replaced, with a warning, if it is damaged, does not match, has expired or expires
    /// within 90 days, or does not permit one of `names`. `node` is the node's name in the
    /// certificate of a new CA. Leaf certificates have `names` and
    /// [`LOOPBACK_NAMES`](super::LOOPBACK_NAMES). The directory gets mode 0700 and the key file
    /// mode 0600. Uses blocking calls.
    ///
    /// # Errors
    ///
    /// Fails if a file exists and cannot be read, or a file cannot be written. A file that cannot
    /// be read is never replaced.
    pub fn open(
        dir: &Path,
        node: &str,
        names: &[SubjectName],
        now: SystemTime,
    ) -> Result<Self, Error> {
        let certificate_file = dir.join("ca.crt");
        let key_file = dir.join("ca.key");
        create_directory(dir, 0o700)
            .map_err(|source| Error::Write { path: dir.to_owned(), source })?;
        restrict(dir, 0o700);
        let names = with_loopback_names(names);

        let found = (read_if_present(&certificate_file)?, read_if_present(&key_file)?);
        let origin = match found {
            (None, None) => Origin::Created,
            (None, Some(_)) => Origin::Replaced("ca.crt is missing".to_owned()),
            (Some(_), None) => Origin::Replaced("ca.key is missing".to_owned()),
            (Some(certificate), Some(key)) => {
                match Self::from_pem(&certificate_file, &certificate, &key, &names, now) {
                    Ok(authority) => {
                        restrict(&key_file, 0o600);
                        return Ok(authority);
                    }
                    Err(reason) => Origin::Replaced(reason),
                }
            }
        };

        let (certificate, key) =
            new_pair(node, &names, now).map_err(|error| Error::Issue(error.to_string()))?;
        let mut authority = Self::from_pem(
            &certificate_file,
            certificate.as_bytes(),
            key.serialize_pem().as_bytes(),
            &names,
            now,
        )
        .map_err(Error::Issue)?;
        // A crash between the two writes leaves a pair that does not match. The next start
        // replaces it, and no client has seen the new `ca.crt` yet.
        for (path, text, mode) in
            [(&key_file, key.serialize_pem(), 0o600), (&certificate_file, certificate, 0o644)]
        {
            write_atomically(path, text.as_bytes(), mode)
                .map_err(|source| Error::Write { path: path.clone(), source })?;
        }
        let path = certificate_file.display();
        match &origin {
            Origin::Replaced(reason) => {
                tracing::warn!(%path, reason, "CA replaced: clients have to reload ca.crt");
            }
            _ => tracing::info!(%path, "CA created"),
        }
        authority.origin = origin;
        Ok(authority)
    }

    /// Returns the content of `ca.crt`.
    pub fn ca_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Returns the time after which clients refuse the CA.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Returns the way this authority got its pair.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the names of leaf certificates.
    pub fn names(&self) -> &[SubjectName] {
        &self.names
    }

    /// Issues a server certificate with a new key. It expires 30 days after `now`, or with the CA.
    ///
    /// # Errors
    ///
    /// Fails if the CA has expired, or if the cryptography fails.
    pub fn leaf(&self, now: SystemTime) -> Result<Leaf, Error> {
        if now >= self.not_after {
            return Err(Error::AuthorityExpired(self.certificate_file.clone()));
        }
        Leaf::issue(&self.issuer, &self.names, self.not_after, now)
            .map_err(|error| Error::Issue(error.to_string()))
    }

    /// Checks a pair. Returns the reason why it cannot be used, without the content of the key.
    fn from_pem(
        certificate_file: &Path,
        certificate: &[u8],
        key: &[u8],
        names: &[SubjectName],
        now: SystemTime,
    ) -> Result<Self, String> {
        let damaged = "ca.crt is not a certificate in PEM";
        let certificate_pem = std::str::from_utf8(certificate).map_err(|_| damaged)?.to_owned();
        let certificate = CertificateDer::from_pem_slice(certificate).map_err(|_| damaged)?;
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| damaged)?;
        let key = std::str::from_utf8(key)
            .ok()
            .and_then(|key| KeyPair::from_pem(key).ok())
            .ok_or("ca.key is not a private key in PEM")?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err("ca.key is not the key of ca.crt".to_owned());
        }
        if !parsed.is_ca() {
            return Err("ca.crt is not the certificate of a CA".to_owned());
        }
        let not_after = not_after(&parsed);
        if now + AUTHORITY_MARGIN >= not_after {
            return Err("ca.crt has expired or expires within 90 days".to_owned());
        }
        // Not a reason for a new CA: the clock of a node may be wrong until it is synchronised.
        if now < system_time(parsed.validity().not_before.timestamp()) {
            tracing::warn!("CA not valid yet: check the clock of this node");
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| damaged)?;
        let authority = Self {
            certificate_file: certificate_file.to_owned(),
            certificate_pem,
            not_after,
            issuer,
            names: names.to_vec(),
            origin: Origin::Loaded,
        };
        authority.check_leaf(certificate, now)?;
        Ok(authority)
    }

    /// Issues a leaf and verifies it as a client does. Finds constraints that forbid a name.
    fn check_leaf(&self, certificate: CertificateDer<'_>, now: SystemTime) -> Result<(), String> {
        let leaf = self.leaf(now).map_err(|error| error.to_string())?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate).map_err(|error| format!("ca.crt is refused: {error}"))?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crypto_provider())
                .build()
                .map_err(|error| error.to_string())?;
        let time = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        for name in &self.names {
            verifier.verify_server_cert(leaf.certificate(), &[], &name.0, &[], time).map_err(
                |error| {
                    let names: Vec<_> = self.names.iter().map(SubjectName::to_string).collect();
                    format!("a leaf for {} is refused: {error}", names.join(", "))
                },
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("certificate_file", &self.certificate_file)
            .field("not_after", &self.not_after)
            .field("names", &self.names)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// Returns a new CA certificate in PEM and its key.
fn new_pair(
    node: &str,
    names: &[SubjectName],
    now: SystemTime,
) -> Result<(String, KeyPair), rcgen::Error> {
    let mut common_name = format!("poolscope-proxy on {node}");
    while common_name.len() > COMMON_NAME_LENGTH {
        common_name.pop();
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let release = UNIX_EPOCH + RELEASE;
    params.not_before = release.min(now - CLOCK_SKEW).into();
    params.not_after = (release.max(now) + AUTHORITY_LIFETIME).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.name_constraints = Some(constraints(names));
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key))
}

/// Returns the end of a certificate's validity.
pub(super) fn not_after(certificate: &X509Certificate<'_>) -> SystemTime {
    system_time(certificate.validity().not_after.timestamp())
}

/// Converts seconds since 1970. An earlier time becomes 1970.
fn system_time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// Returns the content of a file, or `None` if the file does not exist.
fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

/// Sets the mode of a file or directory if it differs. Logs a failure: the file may belong to
/// another user and still be readable.
pub(crate) fn restrict(path: &Path, mode: u32) {
    let found = fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o7777);
    if found.is_ok_and(|found| found == mode) {
        return;
    }
    if let Err(error) = fs::set_permissions(path, Permissions::from_mode(mode)) {
        tracing::warn!(path = %path.display(), %error, "file mode not restricted");
    }
}

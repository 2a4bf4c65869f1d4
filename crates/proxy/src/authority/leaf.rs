//! Leaf certificates.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::sign::CertifiedKey;

use super::ca::{CLOCK_SKEW, DAY};
use super::{Error, SubjectName};

const LEAF_LIFETIME: Duration = DAY.saturating_mul(30);

/// A certificate with its key, issued by an [`Authority`](super::Authority).
///
/// `Debug` does not show the key.
pub struct Leaf {
    certificate: Certificate,
    key: PrivatePkcs8KeyDer<'static>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Leaf {
    /// Issues a certificate with a new key that expires in 30 days, but not after `limit`.
    pub(super) fn issue(
        issuer: &Issuer<'_, KeyPair>,
        names: &[SubjectName],
        limit: SystemTime,
        now: SystemTime,
    ) -> Result<Self, rcgen::Error> {
        let not_before = now - CLOCK_SKEW;
        let not_after = limit.min(now + LEAF_LIFETIME);
        let names: Vec<_> = names.iter().map(SubjectName::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "poolscope-proxy");
        params.not_before = not_before.into();
        params.not_after = not_after.into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(Self { certificate, key, not_before, not_after })
    }

    /// Returns the certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }

    /// Returns the time after which clients refuse the certificate.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Returns the time at which two thirds of the certificate's life are over.
    pub fn renew_at(&self) -> SystemTime {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        self.not_before + life * 2 / 3
    }

    /// Converts the certificate and the key to the form that rustls serves.
    ///
    /// # Errors
    ///
    /// Fails if `provider` does not support ECDSA P-256.
    pub fn into_certified_key(self, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
        let key = PrivateKeyDer::Pkcs8(self.key);
        Ok(CertifiedKey::from_der(vec![self.certificate.into()], key, provider)?)
    }
}

#[cfg(test)]
impl Leaf {
    /// Returns the certificate and the key in PEM.
    pub(super) fn to_pem(&self) -> (String, String) {
        let key = KeyPair::try_from(&self.key).unwrap();
        (self.certificate.pem(), key.serialize_pem())
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

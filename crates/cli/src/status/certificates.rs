//! How long certificates are valid.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Report;
use crate::source::live::Live;

/// A certificate that ends sooner is a warning.
const SOON: i64 = 30 * 86_400;

/// Checks the certificates of the connection.
pub(super) fn check(live: &Live, report: &mut Report) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
    match live.server_certificate() {
        Ok(certificate) => judge("the API server's certificate", &certificate, now, report),
        Err(why) => report.unknown("the API server's certificate: not known", why),
    }
    for authority in live.config.root_cert.iter().flatten() {
        judge("a CA of the kubeconfig", authority, now, report);
    }
    let user = &live.config.auth_info;
    let own = match (&user.client_certificate_data, &user.client_certificate) {
        (Some(data), _) => BASE64_STANDARD.decode(data.trim()).ok(),
        (None, Some(path)) => std::fs::read(path).ok(),
        (None, None) => {
            let how = match (&user.exec, &user.token, &user.token_file) {
                (Some(_), ..) => "a login program",
                (None, Some(_), _) | (None, None, Some(_)) => "a token",
                _ => "no client certificate",
            };
            report.ok(format!("the user has {how}: there is no certificate that could expire"));
            return;
        }
    };
    let first = own.and_then(|pem| Pem::iter_from_buffer(&pem).flatten().next());
    match first {
        Some(certificate) => judge("the client certificate", &certificate.contents, now, report),
        None => report.unknown(
            "the client certificate: not known",
            "the kubeconfig's certificate cannot be read as PEM",
        ),
    }
}

/// Adds a line about one certificate in DER.
fn judge(name: &str, der: &[u8], now: i64, report: &mut Report) {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return report.unknown(format!("{name}: not known"), "it cannot be decoded");
    };
    let end = certificate.validity().not_after;
    let (left, date) = (end.timestamp() - now, end.to_string());
    let days = left / 86_400;
    let text = format!("{name} is valid until {date} ({days} days)");
    if left <= 0 {
        report.error(format!("{name} has expired ({date})"), "renew it");
    } else if left < SOON {
        report.warning(text, "renew it soon");
    } else {
        report.ok(text);
    }
}

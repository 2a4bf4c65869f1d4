use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn open(dir: &Path, now: SystemTime) -> Arc<Authority> {
    Arc::new(Authority::open(dir, "edge-1", &[], now).unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn replaced_because(authority: &Authority, reason: &str) {
    match authority.origin() {
        Origin::Replaced(found) => assert!(found.contains(reason), "{found}"),
        origin => panic!("{origin:?}"),
    }
}

/// Writes a leaf of `authority` and its key as PEM files.
fn write_leaf(dir: &Path, authority: &Authority, now: SystemTime) -> CertificateDer<'static> {
    let leaf = authority.leaf(now).unwrap();
    let (certificate, key) = leaf.to_pem();
    fs::write(dir.join("tls.crt"), certificate).unwrap();
    fs::write(dir.join("tls.key"), key).unwrap();
    leaf.certificate().clone()
}

/// Connects over a pipe with the roots in `ca_pem`. Returns the certificate and the protocol.
async fn handshake(
    server: &ServerCertificate,
    ca_pem: &str,
    name: &str,
) -> io::Result<(CertificateDer<'static>, Vec<u8>)> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = ALPN_PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let (near, far) = tokio::io::duplex(16 * 1024);
    let acceptor = TlsAcceptor::from(server.server_config());
    let connector = TlsConnector::from(Arc::new(config));
    let (client, _server) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
    let client = client?;
    let (_, session) = client.get_ref();
    let certificate = session.peer_certificates().unwrap()[0].clone().into_owned();
    Ok((certificate, session.alpn_protocol().unwrap().to_vec()))
}

#[test]
fn creates_a_constrained_ca_and_loads_it_again() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let now = SystemTime::now();

    let created = open(&dir, now);

    assert_eq!(*created.origin(), Origin::Created);
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("ca.key")), 0o600);
    assert_eq!(mode(&dir.join("ca.crt")), 0o644);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "temporary files are left");
    let der = CertificateDer::from_pem_slice(created.ca_pem().as_bytes()).unwrap();
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(parsed.subject().to_string(), "CN=poolscope-proxy on edge-1");
    let basic = parsed.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca);
    assert_eq!(basic.value.path_len_constraint, Some(0));
    assert!(parsed.name_constraints().unwrap().unwrap().critical);
    let life = created.not_after().duration_since(now).unwrap();
    assert!(life > DAY * 3649 && life <= DAY * 3650, "{life:?}");

    let loaded = open(&dir, now + DAY * 1000);
    assert_eq!(*loaded.origin(), Origin::Loaded);
    assert_eq!(loaded.ca_pem(), created.ca_pem());
    assert_eq!(loaded.not_after(), created.not_after());
}

#[test]
fn loading_restricts_the_modes() {
    let root = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    open(root.path(), now);
    let key = root.path().join("ca.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();

    assert_eq!(*open(root.path(), now).origin(), Origin::Loaded);

    assert_eq!(mode(&key), 0o600);
    assert_eq!(mode(root.path()), 0o700);
}

#[test]
fn a_damaged_or_foreign_pair_is_replaced() {
    let now = SystemTime::now();
    let foreign = tempfile::tempdir().unwrap();
    open(foreign.path(), now);
    let foreign_key = fs::read_to_string(foreign.path().join("ca.key")).unwrap();
    let leaf_dir = tempfile::tempdir().unwrap();
    write_leaf(leaf_dir.path(), &open(foreign.path(), now), now);
    let leaf = |name: &str| fs::read_to_string(leaf_dir.path().join(name)).unwrap();

    type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
    let damages: &[Damage<'_>] = &[
        ("ca.key is not a private key", &|dir| {
            let key = fs::read(dir.join("ca.key")).unwrap();
            fs::write(dir.join("ca.key"), &key[..key.len() / 2]).unwrap();
        }),
        ("ca.key is not a private key", &|dir| fs::write(dir.join("ca.key"), "").unwrap()),
        ("ca.key is not a private key", &|dir| fs::write(dir.join("ca.key"), b"\xff").unwrap()),
        ("ca.key is not the key of ca.crt", &|dir| {
            fs::write(dir.join("ca.key"), &foreign_key).unwrap();
        }),
        ("ca.crt is not a certificate", &|dir| {
            let certificate = fs::read(dir.join("ca.crt")).unwrap();
            fs::write(dir.join("ca.crt"), &certificate[..certificate.len() / 2]).unwrap();
        }),
        ("ca.crt is not the certificate of a CA", &|dir| {
            fs::write(dir.join("ca.crt"), leaf("tls.crt")).unwrap();
            fs::write(dir.join("ca.key"), leaf("tls.key")).unwrap();
        }),
        ("ca.crt is missing", &|dir| fs::remove_file(dir.join("ca.crt")).unwrap()),
        ("ca.key is missing", &|dir| fs::remove_file(dir.join("ca.key")).unwrap()),
    ];
    for (reason, damage) in damages {
        let root = tempfile::tempdir().unwrap();
        let before = open(root.path(), now).ca_pem().to_owned();
        damage(root.path());

        let after = open(root.path(), now);

        replaced_because(&after, reason);
        assert_ne!(after.ca_pem(), before);
        assert_eq!(*open(root.path(), now).origin(), Origin::Loaded);
        assert_eq!(mode(&root.path().join("ca.key")), 0o600);
    }
}

#[test]
fn a_pair_is_replaced_before_it_expires() {
    let root = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let end = open(root.path(), now).not_after();
    assert_eq!(*open(root.path(), end - DAY * 91).origin(), Origin::Loaded);
    assert_eq!(*open(root.path(), now - DAY * 400).origin(), Origin::Loaded, "a late clock");
    replaced_because(&open(root.path(), end - DAY * 89), "expire");
    assert_eq!(*open(root.path(), end).origin(), Origin::Loaded);
}

#[test]
fn a_ca_made_by_a_wrong_clock_stays_valid() {
    for wrong in [SystemTime::UNIX_EPOCH + DAY, SystemTime::now() + DAY * 5000] {
        let root = tempfile::tempdir().unwrap();
        let made = open(root.path(), wrong);
        let der = CertificateDer::from_pem_slice(made.ca_pem().as_bytes()).unwrap();
        assert!(X509Certificate::from_der(&der).unwrap().1.validity().is_valid());
        assert_eq!(*open(root.path(), SystemTime::now()).origin(), Origin::Loaded);
    }
}

#[test]
fn an_unreadable_key_is_an_error_and_nothing_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let before = open(root.path(), now).ca_pem().to_owned();
    fs::remove_file(root.path().join("ca.key")).unwrap();
    fs::create_dir(root.path().join("ca.key")).unwrap();

    let error = Authority::open(root.path(), "edge-1", &[], now).unwrap_err().to_string();

    assert!(error.contains("/ca.key failed (") && error.contains("readable"), "{error}");
    assert_eq!(fs::read_to_string(root.path().join("ca.crt")).unwrap(), before);
}

#[test]
fn a_new_dns_name_needs_a_new_ca_but_a_new_address_does_not() {
    let root = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let open =
        |name: &str| Authority::open(root.path(), "edge-1", &[name.parse().unwrap()], now).unwrap();
    assert_eq!(*open("192.0.2.1").origin(), Origin::Created);
    assert_eq!(*open("192.0.2.2").origin(), Origin::Loaded);
    assert_eq!(*open("2001:db8::1").origin(), Origin::Loaded);
    replaced_because(&open("proxy.example"), "kubernetes.default.svc, proxy.example is refused");
    assert_eq!(*open("proxy.example").origin(), Origin::Loaded);
}

#[test]
fn a_leaf_carries_each_name_once_and_only_server_authentication() {
    let root = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let names = [SubjectName::from(IpAddr::from([127, 0, 0, 1])), "a.example".parse().unwrap()];
    let long_name = "n".repeat(253);
    let authority = Authority::open(root.path(), &long_name, &names, now).unwrap();
    let shown: Vec<_> = authority.names().iter().map(SubjectName::to_string).collect();
    assert_eq!(shown[..5], LOOPBACK_NAMES);
    assert_eq!(shown[5..], ["a.example"]);

    let leaf = authority.leaf(now).unwrap();

    let (_, parsed) = X509Certificate::from_der(leaf.certificate()).unwrap();
    assert_eq!(parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 6);
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
    assert!(!parsed.is_ca());
    assert_eq!(leaf.not_after(), now + DAY * 30);
    assert!("*.example com".parse::<SubjectName>().is_err());
}

#[test]
fn a_leaf_never_outlives_the_ca() {
    let root = tempfile::tempdir().unwrap();
    let authority = open(root.path(), SystemTime::now());
    let end = authority.not_after();
    assert_eq!(authority.leaf(end - DAY).unwrap().not_after(), end);
    let error = authority.leaf(end).unwrap_err().to_string();
    assert!(error.contains("/ca.crt has expired: restart the proxy"), "{error}");
}

#[test]
fn debug_output_shows_no_key() {
    let root = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let authority = open(root.path(), now);
    let leaf = authority.leaf(now).unwrap();
    let (_, leaf_key) = leaf.to_pem();
    let key = fs::read_to_string(root.path().join("ca.key")).unwrap();
    let mut shown = format!("{authority:?} {authority:#?} {leaf:?}");
    let server = ServerCertificate::from_authority(authority, now).unwrap();
    shown += &format!("{server:?} {:?}", server.server_config());

    assert!(!shown.to_lowercase().contains("key:"), "{shown}");
    for line in [&key, &leaf_key].into_iter().flat_map(|pem| pem.lines().skip(1)) {
        assert!(!shown.contains(line), "{shown}");
    }
    assert!(!shown.contains("[48, "), "DER as a derived `Debug` prints it: {shown}");
}

#[tokio::test]
async fn a_renewed_leaf_chains_to_the_same_ca() {
    let root = tempfile::tempdir().unwrap();
    // The TLS client verifies with the real time, so the first leaf is 25 days old.
    let start = SystemTime::now() - DAY * 25;
    let authority = open(root.path(), start);
    let ca = authority.ca_pem();
    let server = ServerCertificate::from_authority(Arc::clone(&authority), start).unwrap();
    let config = server.server_config();
    let (first, protocol) = handshake(&server, ca, "127.0.0.1").await.unwrap();
    assert_eq!(protocol, b"h2");
    let first_end = server.not_after();

    assert!(!server.renew_if_due(start + DAY * 19).unwrap());
    assert_eq!(handshake(&server, ca, "127.0.0.1").await.unwrap().0, first);
    assert!(server.renew_if_due(start + DAY * 20).unwrap());

    for name in LOOPBACK_NAMES {
        let (second, _) = handshake(&server, ca, name).await.unwrap();
        assert_ne!(second, first, "{name}");
    }
    assert!(Arc::ptr_eq(&config, &server.server_config()));
    assert_eq!(server.not_after(), first_end + DAY * 20);
    assert!(!server.renew_if_due(start + DAY * 21).unwrap());
    assert!(handshake(&server, ca, "other.example").await.is_err());
    let foreign = tempfile::tempdir().unwrap();
    let foreign = open(foreign.path(), start);
    assert!(handshake(&server, foreign.ca_pem(), "127.0.0.1").await.is_err());
}

#[test]
fn a_clock_that_was_set_back_renews_the_leaf() {
    let root = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let server = ServerCertificate::from_authority(open(root.path(), now), now).unwrap();
    assert!(!server.renew_if_due(now - Duration::from_secs(60)).unwrap());
    assert!(server.renew_if_due(now - DAY).unwrap());
    assert!(!server.renew_if_due(now - DAY).unwrap());
}

#[tokio::test]
async fn files_are_reloaded_by_content_and_a_bad_pair_keeps_the_old_one() {
    let root = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let authority = open(root.path(), now);
    let ca = authority.ca_pem();
    let first = write_leaf(dir.path(), &authority, now);
    let (certificate, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
    let server = ServerCertificate::from_files(&certificate, &key, now).unwrap();
    assert_eq!(handshake(&server, ca, "::1").await.unwrap().0, first);

    // The same content in another inode is not a change.
    fs::copy(&certificate, dir.path().join("copy")).unwrap();
    fs::rename(dir.path().join("copy"), &certificate).unwrap();
    assert!(!server.renew_if_due(now).unwrap());

    let old_key = fs::read(&key).unwrap();
    let second = write_leaf(dir.path(), &authority, now);
    let new_key = fs::read(&key).unwrap();
    let bad_keys: [(&[u8], &str); 3] = [
        (&old_key, "KeyMismatch"),
        (&new_key[..new_key.len() / 2], "no private key found"),
        (b"", "no private key found"),
    ];
    for (bad, cause) in bad_keys {
        fs::write(&key, bad).unwrap();
        let error = server.renew_if_due(now).unwrap_err().to_string();
        assert!(error.contains(cause) && error.contains("tls.crt with key "), "{error}");
        assert_eq!(handshake(&server, ca, "::1").await.unwrap().0, first);
    }
    fs::remove_file(&key).unwrap();
    assert!(matches!(server.renew_if_due(now), Err(Error::Read { .. })));
    fs::write(&key, new_key).unwrap();
    let late = server.renew_if_due(now + DAY * 31).unwrap_err().to_string();
    assert!(late.contains("the certificate has expired"), "{late}");

    assert!(server.renew_if_due(now).unwrap(), "a repaired pair is taken");
    assert_eq!(handshake(&server, ca, "::1").await.unwrap().0, second);
    assert!(!server.renew_if_due(now).unwrap());
}

#[test]
fn a_bad_pair_of_files_at_the_start_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let (certificate, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
    let start = || ServerCertificate::from_files(&certificate, &key, now).unwrap_err().to_string();
    assert!(start().contains("tls.crt failed ("));
    fs::write(&certificate, "").unwrap();
    fs::write(&key, "").unwrap();
    assert!(start().contains("no certificate found"));
}

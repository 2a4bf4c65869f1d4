use std::fs;
use std::time::SystemTime;

use super::*;
use crate::authority::Authority;

struct Scene {
    root: tempfile::TempDir,
    credentials: OwnCredentials,
    start: Instant,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let credentials =
            OwnCredentials::new(root.path().join("token"), root.path().join("ca.crt"));
        fs::write(&credentials.token_file, "first\n").unwrap();
        fs::write(&credentials.ca_file, ca_pem()).unwrap();
        Self { root, credentials, start: Instant::now() }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn token_at(&self, seconds: u64) -> Token {
        self.credentials.token_at(self.at(seconds)).unwrap()
    }

    fn config_at(&self, seconds: u64) -> Arc<ClientConfig> {
        self.credentials.trust_at(self.at(seconds)).unwrap().config
    }

    fn roots_at(&self, seconds: u64) -> Arc<RootCertStore> {
        self.credentials.trust_at(self.at(seconds)).unwrap().roots
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.root.path().join(name), content).unwrap();
    }
}

/// Returns another CA certificate at each call.
fn ca_pem() -> String {
    let state = tempfile::tempdir().unwrap();
    let authority = Authority::open(state.path(), "node", &[], SystemTime::now()).unwrap();
    authority.ca_pem().to_owned()
}

fn token(text: &str) -> Token {
    text.parse().unwrap()
}

#[test]
fn no_format_shows_a_token() {
    let scene = Scene::new();
    let secret = token("top-secret");
    let header = secret.header();
    scene.write("token", "top-secret");
    scene.token_at(0);

    let shown = format!("{secret} {secret:?} {header:?} {:?}", scene.credentials);

    assert!(!shown.contains("top-secret"), "{shown}");
    assert!(header.is_sensitive());
    assert_eq!(header.as_bytes(), b"Bearer top-secret");
}

#[test]
fn refuses_an_invalid_token_without_showing_it() {
    assert_eq!(" \n".parse::<Token>(), Err(InvalidToken::Empty));
    for text in ["two words", "line\nbreak", "caf\u{e9}"] {
        assert_eq!(text.parse::<Token>(), Err(InvalidToken::NotVisibleAscii));
    }
    let scene = Scene::new();
    scene.write("token", b"secret\xff");
    let error = scene.credentials.token_at(scene.start).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("/token failed (the token is not visible ASCII)"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn reads_the_token_again_after_a_minute() {
    let scene = Scene::new();
    assert_eq!(scene.token_at(0), token("first"));
    scene.write("token", "second");
    assert_eq!(scene.token_at(59), token("first"));
    assert_eq!(scene.token_at(60), token("second"));
    scene.write("token", "third");
    assert_eq!(scene.token_at(119), token("second"), "the minute begins with the last read");
    assert_eq!(scene.token_at(120), token("third"));
}

#[test]
fn reads_the_token_again_after_each_401() {
    let scene = Scene::new();
    scene.token_at(0);
    for text in ["second", "third"] {
        scene.write("token", text);
        scene.credentials.unauthorized();
        assert_eq!(scene.token_at(1), token(text));
    }
}

#[test]
fn keeps_the_last_good_token_and_reports_the_problem() {
    let scene = Scene::new();
    scene.token_at(0);
    fs::remove_file(&scene.credentials.token_file).unwrap();
    assert_eq!(scene.token_at(60), token("first"));
    let problem = scene.credentials.problems()[0].to_string();
    assert!(problem.starts_with("reading ") && problem.contains("mount"), "{problem}");

    scene.write("token", "");
    scene.credentials.unauthorized();
    assert_eq!(scene.token_at(61), token("first"));
    assert!(scene.credentials.problems()[0].to_string().contains("the token is empty"));

    scene.write("token", "second");
    assert_eq!(scene.token_at(120), token("first"), "a failed read also waits for a minute");
    assert_eq!(scene.token_at(121), token("second"));
    assert!(scene.credentials.problems().is_empty());
}

#[test]
fn a_token_that_was_never_read_is_tried_at_each_call() {
    let scene = Scene::new();
    fs::remove_file(&scene.credentials.token_file).unwrap();
    assert!(matches!(*scene.credentials.token_at(scene.start).unwrap_err(), Error::Read { .. }));
    scene.write("token", "late");
    assert_eq!(scene.token_at(1), token("late"));
}

#[test]
fn replaces_the_client_config_only_if_the_content_of_the_ca_file_changes() {
    let scene = Scene::new();
    let first = scene.config_at(0);
    assert_eq!(first.alpn_protocols, ALPN_PROTOCOLS);
    assert!(!first.client_auth_cert_resolver.has_certs());
    assert_eq!(scene.roots_at(0).len(), 1);

    // The same content in another inode.
    let ca_file = scene.credentials.ca_file.clone();
    fs::copy(&ca_file, scene.root.path().join("copy")).unwrap();
    fs::rename(scene.root.path().join("copy"), &ca_file).unwrap();
    assert!(Arc::ptr_eq(&scene.config_at(60), &first));

    let both = fs::read_to_string(&ca_file).unwrap() + &ca_pem();
    scene.write("ca.crt", both);
    assert!(Arc::ptr_eq(&scene.config_at(119), &first));
    let second = scene.config_at(120);
    assert!(!Arc::ptr_eq(&second, &first));
    assert_eq!(scene.roots_at(120).len(), 2);
}

#[test]
fn keeps_the_last_good_roots_and_reports_the_problem() {
    let scene = Scene::new();
    let first = scene.config_at(0);
    let pem = ca_pem();
    for (minute, content) in [(1, &pem[..pem.len() / 2]), (2, "no PEM"), (3, "")] {
        scene.write("ca.crt", content);
        assert!(Arc::ptr_eq(&scene.config_at(60 * minute), &first));
        let problem = scene.credentials.problems()[0].to_string();
        assert!(problem.starts_with("invalid CA file /"), "{problem}");
    }
    scene.write("ca.crt", pem);
    assert!(!Arc::ptr_eq(&scene.config_at(240), &first));
    assert!(scene.credentials.problems().is_empty());
}

#[test]
fn skips_a_certificate_that_is_not_understood() {
    let scene = Scene::new();
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    scene.write("ca.crt", junk.to_owned() + &ca_pem());
    assert_eq!(scene.roots_at(0).len(), 1);
    scene.write("ca.crt", junk);
    scene.config_at(60);
    assert!(scene.credentials.problems()[0].to_string().contains("/ca.crt ("));
}

#[test]
fn the_current_time_is_used_without_a_parameter() {
    let scene = Scene::new();
    assert_eq!(scene.credentials.token().unwrap(), token("first"));
    let config = scene.credentials.client_config().unwrap();
    assert!(Arc::ptr_eq(&config, &scene.credentials.client_config().unwrap()));
    assert_eq!(scene.credentials.ca().unwrap().len(), 1);
}

#[test]
fn the_default_files_are_those_of_a_service_account() {
    let credentials = OwnCredentials::default();
    let directory = Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
    assert_eq!(credentials.token_file, directory.join("token"));
    assert_eq!(credentials.ca_file, directory.join("ca.crt"));
}

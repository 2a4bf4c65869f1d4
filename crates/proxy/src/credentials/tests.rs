use std::fs;
use std::time::SystemTime;

use super::*;
use crate::authority::Authority;

struct Scene {
    root: tempfile::TempDir,
    token_file: PathBuf,
    ca_file: PathBuf,
    credentials: OwnCredentials,
    start: Instant,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (token_file, ca_file) = (root.path().join("token"), root.path().join("ca.crt"));
        let credentials = OwnCredentials::new(&token_file, &ca_file);
        fs::write(&token_file, "first\n").unwrap();
        fs::write(&ca_file, ca_pem()).unwrap();
        Self { root, token_file, ca_file, credentials, start: Instant::now() }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn token_at(&self, seconds: u64) -> Token {
        self.credentials.token_at(self.at(seconds)).unwrap().unwrap()
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
    fs::remove_file(&scene.token_file).unwrap();
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
    fs::remove_file(&scene.token_file).unwrap();
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
    let ca_file = scene.ca_file.clone();
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
    assert_eq!(scene.credentials.token().unwrap(), Some(token("first")));
    let config = scene.credentials.client_config().unwrap();
    assert!(Arc::ptr_eq(&config, &scene.credentials.client_config().unwrap()));
    assert_eq!(scene.credentials.ca().unwrap().len(), 1);
}

#[test]
fn the_default_files_are_those_of_a_service_account() {
    let credentials = OwnCredentials::default();
    let directory = Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
    let Source::Files { token, ca } = credentials.source else { panic!("not files") };
    assert_eq!((token, ca), (directory.join("token"), directory.join("ca.crt")));
}

/// Returns a certificate for a client and its key, signed by itself.
fn client_pair() -> (String, String) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["proxy".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

/// Writes a kubeconfig that is an identity by `user`, and returns credentials that read it.
fn kubeconfig(scene: &Scene, user: &str) -> OwnCredentials {
    let text = format!(
        "current-context: x\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{\n  server: 'https://a:6443',\n  \
         certificate-authority: ca.crt}}}}]\n\
         users: [{{name: u, user: {{{user}}}}}]\n"
    );
    scene.write("kubeconfig", text);
    OwnCredentials::kubeconfig(scene.root.path().join("kubeconfig"))
}

#[test]
fn only_own_requests_have_the_client_certificate() {
    let scene = Scene::new();
    let (certificate, key) = client_pair();
    scene.write("client.crt", &certificate);
    scene.write("client.key", &key);
    let credentials = kubeconfig(&scene, "client-certificate: client.crt, client-key: client.key");
    assert_eq!(credentials.token_at(scene.at(0)).unwrap(), None);
    let first = credentials.trust_at(scene.at(0)).unwrap();
    assert_eq!(first.server, Some(Server::new("a", 6443)));
    assert!(first.own_config.client_auth_cert_resolver.has_certs());
    assert!(!first.config.client_auth_cert_resolver.has_certs());
    assert!(first.client_certificate_expiry.is_some() && first.ca_expiry.is_some());

    // Another certificate concerns own connections alone.
    let (certificate, other_key) = client_pair();
    scene.write("client.crt", certificate);
    let kept = credentials.trust_at(scene.at(60)).unwrap();
    assert!(Arc::ptr_eq(&kept.own_config, &first.own_config), "the key does not belong to it");
    let problem = credentials.problems()[0].to_string();
    assert!(problem.contains("invalid client certificate"), "{problem}");
    scene.write("client.key", other_key);
    let second = credentials.trust_at(scene.at(120)).unwrap();
    assert!(!Arc::ptr_eq(&second.own_config, &first.own_config));
    assert!(Arc::ptr_eq(&second.config, &first.config));
    assert!(credentials.problems().is_empty());
}

#[test]
fn a_kubeconfig_is_read_again_when_its_content_changes() {
    let scene = Scene::new();
    let credentials = kubeconfig(&scene, "token: one");
    assert_eq!(credentials.token_at(scene.at(0)).unwrap(), Some(token("one")));
    let first = credentials.trust_at(scene.at(0)).unwrap();
    kubeconfig(&scene, "tokenFile: token");
    assert_eq!(credentials.token_at(scene.at(59)).unwrap(), Some(token("one")));
    assert_eq!(credentials.token_at(scene.at(60)).unwrap(), Some(token("first")));
    let second = credentials.trust_at(scene.at(60)).unwrap();
    assert!(Arc::ptr_eq(&first.config, &second.config));
    kubeconfig(&scene, "exec: {command: x}");
    assert_eq!(credentials.token_at(scene.at(120)).unwrap(), Some(token("first")));
    let problem = credentials.problems()[0].to_string();
    assert!(problem.contains("/kubeconfig (`exec` is not supported"), "{problem}");
    kubeconfig(&scene, "token: two");
    credentials.reread();
    assert_eq!(credentials.token_at(scene.at(121)).unwrap(), Some(token("two")));
}

#[test]
fn no_format_shows_what_a_kubeconfig_holds() {
    let scene = Scene::new();
    for user in ["token: 'marker secret'", "token: [marker-secret]"] {
        let credentials = kubeconfig(&scene, user);
        let error = credentials.token_at(scene.at(0)).unwrap_err();
        let shown = format!("{error} {error:?} {credentials:?}");
        assert!(!shown.contains("marker"), "{shown}");
    }
}

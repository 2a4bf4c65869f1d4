//! Checks of options and files that need no network, for `--check`.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::authority::ServerCertificate;
use crate::generation::Configuration;
use crate::kubeconfig::Kubeconfig;
use crate::options::Options;
use crate::run::{client_files, credentials};

/// A certificate that expires sooner is reported.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    level: Level,
    subject: &'static str,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    Warning,
    Error,
}

impl Finding {
    /// Returns `false` for an error: the proxy would not start, or not serve.
    pub fn is_usable(&self) -> bool {
        self.level != Level::Error
    }
}

/// Writes `ok`, `warning` or `error`, the subject and the text.
impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(out, "{level:8} {}: {}", self.subject, self.text)
    }
}

/// Checks all that can be checked without a network, and writes nothing.
pub fn check(options: &Options, now: SystemTime) -> Vec<Finding> {
    let mut report = Report { findings: Vec::new(), now };
    report.node(&options.node);
    report.addresses(options);
    match Configuration::read(options.config.as_deref()) {
        Ok(Configuration { path: Some(path), sha256, .. }) => {
            let digest = sha256.unwrap_or_default();
            report.ok("configuration", format!("{} (sha256 {digest})", path.display()));
        }
        Ok(_) => report.ok("configuration", "the default"),
        Err(error) => report.error("configuration", &error),
    }
    report.identity(options);
    report.serving_certificate(options);
    match client_files(options, 1) {
        Ok(_) => report.folder("client folder", &options.client_dir),
        Err(error) => report.error("client folder", &error),
    }
    report.findings
}

struct Report {
    findings: Vec<Finding>,
    now: SystemTime,
}

impl Report {
    fn add(&mut self, level: Level, subject: &'static str, text: impl Into<String>) {
        self.findings.push(Finding { level, subject, text: text.into() });
    }

    fn ok(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(Level::Ok, subject, text);
    }

    fn error(&mut self, subject: &'static str, error: &dyn fmt::Display) {
        self.add(Level::Error, subject, error.to_string());
    }

    fn node(&mut self, node: &str) {
        let is_usual = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        };
        if node.is_empty() || node.len() > 253 || !node.bytes().all(is_usual) {
            let text = format!("{node:?} is not the name of a Node: use that of kubectl get nodes");
            self.error("node", &text);
        } else {
            self.ok("node", node);
        }
    }

    fn addresses(&mut self, options: &Options) {
        let mut all: Vec<_> = options.listen.iter().map(|listen| ("listen", *listen)).collect();
        all.push(("health", options.health_listen));
        match options.lend_identity() {
            Ok(address) => all.extend(address.map(|address| ("lend-identity", address))),
            Err(error) => self.error("lend-identity", &error),
        }
        for (index, (subject, address)) in all.iter().enumerate() {
            if address.port() != 0 && all[..index].iter().any(|(_, other)| other == address) {
                self.error(subject, &format!("{address} is named twice: choose another port"));
            } else {
                self.ok(subject, address.to_string());
            }
        }
    }

    fn identity(&mut self, options: &Options) {
        if let Some(path) = &options.kubeconfig {
            self.kubeconfig(path);
        }
        let credentials = credentials(options);
        match credentials.token() {
            Ok(Some(_)) => self.ok("token", "present"),
            Ok(None) => self.ok("token", "none: the identity is a client certificate"),
            Err(error) => self.error("token", &error),
        }
        match credentials.expiries() {
            Ok(expiries) => {
                for (name, at) in expiries {
                    let subject = match name {
                        "own_client_certificate" => "client certificate",
                        _ => "CA of the API server",
                    };
                    self.expiry(subject, at);
                }
            }
            Err(error) => self.error("CA of the API server", &error),
        }
        let server = credentials.server().ok().flatten();
        match options.servers(server) {
            Ok(servers) => servers.iter().for_each(|one| self.ok("server", one.to_string())),
            Err(error) => self.error("server", &error),
        }
    }

    fn kubeconfig(&mut self, path: &Path) {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        let folder = path.parent().unwrap_or(Path::new("/"));
        match text.and_then(|text| Kubeconfig::parse(&text, folder)) {
            Ok(_) => self.ok("kubeconfig", path.display().to_string()),
            Err(error) => self.error("kubeconfig", &format!("{}: {error}", path.display())),
        }
    }

    fn serving_certificate(&mut self, options: &Options) {
        match (&options.tls_cert, &options.tls_key) {
            (Some(certificate), Some(key)) => {
                match ServerCertificate::from_files(certificate, key, self.now) {
                    Ok(served) => self.expiry("serving certificate", served.not_after()),
                    Err(error) => self.error("serving certificate", &error),
                }
            }
            _ => self.folder("state folder", &options.state_dir),
        }
    }

    fn expiry(&mut self, subject: &'static str, at: SystemTime) {
        match at.duration_since(self.now) {
            Err(_) => self.error(subject, &"expired: renew it, or check the clock"),
            Ok(left) => {
                let level = if left < SOON { Level::Warning } else { Level::Ok };
                let hours = left.as_secs() / 3600;
                self.add(level, subject, format!("expires in {} d {} h", hours / 24, hours % 24));
            }
        }
    }

    /// Checks that a folder, or the first one above it that exists, is a folder.
    fn folder(&mut self, subject: &'static str, path: &Path) {
        let existing = path.ancestors().find(|path| path.exists());
        match existing {
            Some(existing) if existing.is_dir() => {
                let state = if existing == path { "present" } else { "will be created" };
                self.ok(subject, format!("{} ({state})", path.display()));
            }
            _ => self.error(subject, &format!("{}: not a folder: move the file", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::authority::Authority;

    /// Writes the files of an identity, and returns the report of the proxy that has them.
    fn report(folder: &Path, arguments: &str) -> Vec<String> {
        let now = SystemTime::now();
        let authority = Authority::open(&folder.join("ca"), "node", &[], now).unwrap();
        std::fs::write(folder.join("ca.crt"), authority.ca_pem()).unwrap();
        std::fs::write(folder.join("token"), "marker-token").unwrap();
        let arguments = arguments.replace("DIR", &folder.display().to_string());
        let options = Options::try_parse_from(
            format!(
                "x --state-dir {0}/state --client-dir {0}/client {arguments}",
                folder.display()
            )
            .split_whitespace(),
        );
        check(&options.unwrap(), now).iter().map(ToString::to_string).collect()
    }

    const IDENTITY: &str = "--token-file DIR/token --ca-file DIR/ca.crt";

    #[test]
    fn a_usable_proxy_has_only_good_lines() {
        let folder = tempfile::tempdir().unwrap();
        let lines = report(folder.path(), &format!("--node n --server a:1 {IDENTITY}"));
        assert!(lines.iter().all(|line| line.starts_with("ok ")), "{lines:#?}");
        assert!(!lines.concat().contains("marker"), "{lines:#?}");
        assert!(!folder.path().join("state").exists(), "it writes nothing");
    }

    #[test]
    fn each_fault_is_an_error_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        file("config", "{\"membership\": 7}");
        file("kubeconfig", "users: [marker");
        let pair = format!("--node n --server a:1 {IDENTITY} --tls-cert DIR/ca/ca.crt --tls-key");
        for (arguments, expected) in [
            (format!("--node N_1 --server a:1 {IDENTITY}"), "node: \"N_1\""),
            (format!("--node n --server a {IDENTITY}"), "server: --server a: write HOST:PORT"),
            (format!("--node n --server a:1 {IDENTITY} --config DIR/config"), "/config: "),
            ("--node n --server a:1 --token-file DIR/no --ca-file DIR/ca.crt".into(), "token: "),
            ("--node n --server a:1 --token-file DIR/token --ca-file DIR/token".into(), "CA of"),
            ("--node n --kubeconfig DIR/kubeconfig".into(), "/kubeconfig: not a kubeconfig at"),
            (format!("--node n --server a:1 {IDENTITY} --listen 127.0.0.1:10272"), "health: "),
            (format!("--node n --server a:1 {IDENTITY} --client-dir-as-seen x"), "client folder"),
            (format!("{pair} DIR/token"), "serving certificate: "),
        ] {
            let lines = report(folder.path(), &arguments);
            let errors: Vec<&String> =
                lines.iter().filter(|line| line.starts_with("error ")).collect();
            assert!(errors.iter().any(|line| line.contains(expected)), "{lines:#?}");
            assert!(!lines.concat().contains("marker"), "{lines:#?}");
        }
    }
}

//! The connection to an API server: kubeconfig or pod, user and time limit.

use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use kube::client::ConfigExt;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::failure::Failure;

/// The longest time for a connection.
const LONGEST_CONNECT: Duration = Duration::from_secs(30);

/// The heading of these options; one for the whole struct would stand above all later ones, too.
const HEADING: &str = "Live cluster";

/// The options that name a live cluster, as kubectl has them.
#[derive(Args, Clone, Debug)]
pub(crate) struct LiveOptions {
    /// Read a live cluster although --facts names files, which then add to it.
    #[arg(help_heading = HEADING, long)]
    live: bool,
    /// The kubeconfig file; default: KUBECONFIG, ~/.kube/config, or the pod's ServiceAccount.
    #[arg(help_heading = HEADING, long, value_name = "FILE")]
    #[arg(value_hint = clap::ValueHint::FilePath)]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context.
    #[arg(help_heading = HEADING, long, value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig's cluster.
    #[arg(help_heading = HEADING, long, value_name = "NAME")]
    cluster: Option<String>,
    /// The kubeconfig's user.
    #[arg(help_heading = HEADING, long, value_name = "NAME")]
    user: Option<String>,
    /// The user to impersonate.
    #[arg(help_heading = HEADING, long = "as", value_name = "USER")]
    impersonate: Option<String>,
    /// A group to impersonate; may be repeated.
    #[arg(help_heading = HEADING, long = "as-group", value_name = "GROUP")]
    #[arg(requires = "impersonate")]
    impersonate_group: Vec<String>,
    /// The longest time for one request, such as 30s or 2m; 0: no limit.
    #[arg(help_heading = HEADING, long, value_name = "TIME")]
    #[arg(default_value = "60s", value_parser = parse_duration)]
    request_timeout: Duration,
}

/// A client of one API server, and the runtime that drives it.
pub(crate) struct Live {
    pub(crate) client: Client,
    runtime: Runtime,
    /// The address of the API server.
    pub(crate) server: String,
    /// The kubeconfig's context, or the pod.
    pub(crate) context: String,
    pub(crate) config: Config,
    pub(crate) request_timeout: Option<Duration>,
}

impl LiveOptions {
    /// Returns `true` if the cluster is to be read although there are files.
    pub(crate) fn is_asked(&self) -> bool {
        self.live
    }

    /// Returns `true` if there is a kubeconfig, or a pod's ServiceAccount.
    pub(crate) fn has_cluster(&self) -> bool {
        self.kubeconfig.is_some()
            || kubeconfig_paths().iter().any(|path| path.exists())
            || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
    }

    /// Reads the kubeconfig files; `None` if there is none.
    fn kubeconfig(&self) -> Result<Option<Kubeconfig>, Failure> {
        let read = |path: &PathBuf| {
            Kubeconfig::read_from(path).map_err(|error| Failure::at(path, describe(&error)))
        };
        if let Some(path) = &self.kubeconfig {
            return read(path).map(Some);
        }
        // As client-go, which skips files that are not there.
        let mut merged: Option<Kubeconfig> = None;
        for path in kubeconfig_paths().iter().filter(|path| path.exists()) {
            let next = read(path)?;
            merged = Some(match merged {
                Some(before) => {
                    before.merge(next).map_err(|error| Failure::at(path, describe(&error)))?
                }
                None => next,
            });
        }
        Ok(merged)
    }

    /// Returns the client's configuration, and the name of the context.
    async fn config(&self) -> Result<(Config, String), Failure> {
        let Some(kubeconfig) = self.kubeconfig()? else {
            let config = Config::incluster()
                .map_err(|error| Failure(format!("the pod's ServiceAccount: {error}")))?;
            return Ok((config, "this pod's ServiceAccount".to_owned()));
        };
        let names: Vec<String> =
            kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
        let name = self.context.clone().or_else(|| kubeconfig.current_context.clone());
        let options = KubeConfigOptions {
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        if let Some(user) = &self.user
            && !kubeconfig.auth_infos.iter().any(|one| one.name == *user)
        {
            return Err(Failure(format!("the kubeconfig has no user {user:?}: check --user")));
        }
        let has_proxy = kubeconfig.clusters.iter().any(|cluster| {
            cluster.cluster.as_ref().is_some_and(|cluster| cluster.proxy_url.is_some())
        });
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(
            |error| match error {
                KubeconfigError::CurrentContextNotSet => Failure(format!(
                    "the kubeconfig has no current context: name one with --context ({})",
                    names.join(", ")
                )),
                KubeconfigError::LoadContext(name) => Failure(format!(
                    "the kubeconfig has no context {name:?}: it has {}",
                    names.join(", ")
                )),
                KubeconfigError::LoadClusterOfContext(name) => {
                    Failure(format!("the kubeconfig has no cluster {name:?}: check --cluster"))
                }
                error => Failure(format!("the kubeconfig cannot be used: {}", describe(&error))),
            },
        )?;
        if !has_proxy && !is_proxied(&config.cluster_url) {
            // `kube` compares NO_PROXY with the address of the proxy.
            config.proxy_url = None;
        }
        Ok((config, name.unwrap_or_default()))
    }
}

/// Returns where kubeconfigs are looked for.
fn kubeconfig_paths() -> Vec<PathBuf> {
    match std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
        Some(list) => std::env::split_paths(&list).collect(),
        None => std::env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect(),
    }
}

/// Returns `true` if HTTPS_PROXY is to be used for a server, by NO_PROXY and as client-go does.
fn is_proxied(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    !is_loopback && Matcher::from_env().intercept(server).is_some()
}

impl Live {
    /// Prepares a client. Nothing is sent yet.
    pub(crate) fn connect(options: &LiveOptions) -> Result<Live, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure(format!("the runtime cannot start: {error}")))?;
        let (mut config, context) = runtime.block_on(options.config())?;
        if let Some(user) = &options.impersonate {
            config.auth_info.impersonate = Some(user.clone());
            config.auth_info.impersonate_groups = Some(options.impersonate_group.clone());
        }
        let request_timeout = Some(options.request_timeout).filter(|timeout| !timeout.is_zero());
        config.connect_timeout =
            Some(request_timeout.map_or(LONGEST_CONNECT, |limit| limit.min(LONGEST_CONNECT)));
        // A verb says what the API server answered; it does not wait minutes for another answer.
        config.default_retry = false;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client =
            runtime.block_on(async { Client::try_from(config.clone()) }).map_err(|error| {
                Failure(format!("{server}: {}; check the kubeconfig", describe(&error)))
            })?;
        Ok(Live { client, runtime, server, context, config, request_timeout })
    }

    /// Returns the API server's certificate in DER, by a TLS handshake of its own.
    ///
    /// # Errors
    ///
    /// Returns the reason for people.
    pub(crate) fn server_certificate(&self) -> Result<Vec<u8>, String> {
        let server = &self.config.cluster_url;
        if server.scheme_str() != Some("https") {
            return Err("the connection has no TLS".to_owned());
        }
        if self.config.proxy_url.is_some() {
            return Err("there is a proxy in between".to_owned());
        }
        let host = server.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = self.config.tls_server_name.clone().unwrap_or_else(|| host.clone());
        let tls = self.config.rustls_client_config().map_err(|error| describe(&error))?;
        let limit = self.request_timeout.unwrap_or(LONGEST_CONNECT);
        self.block_on(async {
            let handshake = async {
                let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
                let tcp = TcpStream::connect((host, server.port_u16().unwrap_or(443)))
                    .await
                    .map_err(|error| error.to_string())?;
                let connector = TlsConnector::from(Arc::new(tls));
                let stream =
                    connector.connect(name, tcp).await.map_err(|error| error.to_string())?;
                let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
                certificates
                    .first()
                    .map(|certificate| certificate.to_vec())
                    .ok_or_else(|| "it sent none".to_owned())
            };
            tokio::time::timeout(limit, handshake)
                .await
                .unwrap_or_else(|_| Err("no TLS connection in time".to_owned()))
        })
    }

    /// Runs a future to its end.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

/// Returns an error with its causes, each once.
pub(super) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let part = cause.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        source = cause.source();
    }
    text.replace('\n', " ")
}

/// Parses a time as kubectl does: a number with a unit, such as `1m30s`, or a number of seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let wrong = || format!("{text:?} is not a time: write 30s, 2m or 1m30s");
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u32 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(wrong()),
        };
        total =
            unit.checked_mul(number).and_then(|one| total.checked_add(one)).ok_or_else(wrong)?;
        rest = &rest[letters..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_kubectl_reads_them() {
        for (text, millis) in [
            ("0", 0),
            ("30", 30_000),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("250ms", 250),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "5x", "-1s", "1m30x", "99999999999h"] {
            assert!(text.is_empty() || parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_never_reached_through_a_proxy() {
        for server in ["https://127.0.0.1:6443", "https://[::1]:6443", "https://localhost:6443"] {
            assert!(!is_proxied(&server.parse().unwrap()), "{server}");
        }
    }
}

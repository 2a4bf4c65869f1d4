//! From options to a running proxy, and its end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use poolscope::{Cluster, Config};
use poolscope_http::{FactEvent, RewriteLayer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::authority::{Authority, ServerCertificate};
use crate::client_files::ClientFiles;
use crate::credentials::OwnCredentials;
use crate::gateway::Gateway;
use crate::learned_servers::LearnedServers;
use crate::listener::{Connections, Limits};
use crate::options::Options;
use crate::own_requests::OwnRequests;
use crate::response::Stopping;
use crate::upstream::{Server, Settings, Upstream};
use crate::{BoxError, admin, empty, listener};

/// The longest time for responses to end after a stop.
const DRAIN: Duration = Duration::from_secs(10);
/// How often certificates are looked at.
const LOOK: Duration = Duration::from_secs(60);

/// Reads the configuration, and checks the options as far as that needs no network.
pub fn check(options: &Options) -> Result<(Config, Vec<Server>), BoxError> {
    let config: Config = match &options.config {
        None => Config::openyurt(),
        Some(path) => read(path)?
            .parse()
            .map_err(|error: poolscope::Error| format!("{}: {error}", path.display()))?,
    };
    Cluster::new(config.clone())?;
    if let Some(address) = options.lend_identity.filter(|address| !address.ip().is_loopback()) {
        let message = format!(
            "--lend-identity {address}: whoever reaches the address acts as the proxy: name one of \
             loopback, such as 127.0.0.1:10273"
        );
        return Err(message.into());
    }
    let servers: Result<Vec<Server>, BoxError> =
        options.servers.iter().map(|server| parse_server(server)).collect();
    Ok((config, servers?))
}

fn read(path: &Path) -> Result<String, BoxError> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn parse_server(text: &str) -> Result<Server, BoxError> {
    let (host, port) = text
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| format!("--server {text}: write HOST:PORT, such as 192.0.2.10:6443"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Server::new(host, port))
}

/// A running proxy.
pub struct Running {
    /// The addresses that clients connect to.
    pub addresses: Vec<SocketAddr>,
    /// The address that lends the proxy's identity, if there is one.
    pub lending: Option<SocketAddr>,
    /// The address of `/livez` and `/readyz`.
    pub health: SocketAddr,
    stop: watch::Sender<bool>,
    gateway: Gateway,
    serving: Vec<JoinHandle<()>>,
    beside: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts the proxy on the present tokio runtime.
    pub async fn start(options: &Options) -> Result<Running, BoxError> {
        let (config, servers) = check(options)?;
        let node = Cluster::new(config)?.node(options.node.as_str());
        let credentials = Arc::new(OwnCredentials::new(&options.token_file, &options.ca_file));
        let mut trust = credentials.client_config()?;
        let upstream = Upstream::new(Settings::new(servers.clone(), Some(trust.clone())));

        let layer = RewriteLayer::new(node.clone(), empty);
        let own = OwnRequests::new(upstream.clone(), credentials.clone());
        let facts = layer.fetch_facts(own.clone());
        let facts = tokio::spawn(async move { match facts.on_event(log).run().await {} });
        let mut beside = vec![facts, probe(&upstream, &credentials)];
        if options.learn_servers {
            let learned = LearnedServers::new(own, upstream.clone(), servers);
            beside.push(tokio::spawn(learned.run()));
        }

        let (stop, stopping) = watch::channel(false);
        let gateway = Gateway::new(&layer, upstream.clone(), stopping.clone());
        let connections = Connections::new(Limits::default());
        let now = SystemTime::now();
        let (certificate, ca_pem) = certificate(options, now)?;
        let (mut addresses, mut serving) = (Vec::new(), Vec::new());
        for address in &options.listen {
            let listener = bind(*address).await?;
            addresses.push(listener.local_addr()?);
            let certificate = certificate.clone();
            let acceptor = move || certificate.server_config().into();
            serving.push(serve(listener, Some(acceptor), &connections, &gateway, &stopping));
        }
        let mut lending = None;
        if let Some(address) = options.lend_identity {
            let listener = bind(address).await?;
            let address = listener.local_addr()?;
            tracing::warn!(
                %address,
                "--lend-identity: every process on the host network that connects to this address \
                 acts as the proxy's ServiceAccount"
            );
            let gateway = gateway.lending(credentials.clone());
            let plain = None::<fn() -> TlsAcceptor>;
            serving.push(serve(listener, plain, &connections, &gateway, &stopping));
            lending = Some(address);
        }
        let health = bind(options.health_listen).await?;
        let health_address = health.local_addr()?;
        beside.push(tokio::spawn(admin::serve(health, node)));
        // Last: an agent that finds the files finds the proxy too.
        let port = addresses.first().ok_or("--listen: name an address")?.port();
        let seen = options.client_dir_as_seen.as_deref().unwrap_or(&options.client_dir);
        let files = ClientFiles::new(&options.client_dir, seen, port)?;
        files.write(&ca_pem)?;
        beside.push(tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                if let Err(error) = certificate.renew_if_due(SystemTime::now()) {
                    tracing::warn!(%error, "the serving certificate was not renewed");
                }
                match credentials.client_config() {
                    Ok(config) if !Arc::ptr_eq(&config, &trust) => {
                        upstream.set_tls(&config);
                        trust = config;
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "the API server's CA was not read"),
                }
                // The folder is on a tmpfs, mostly, and others may clean it.
                if let Err(error) = files.write(&ca_pem) {
                    tracing::warn!(%error, "the files of the clients were not written");
                }
            }
        }));
        tracing::info!(node = %options.node, ?addresses, "serving");
        Ok(Running { addresses, lending, health: health_address, stop, gateway, serving, beside })
    }

    /// Ends all watches, waits at most ten seconds until the other responses and the tunnels have
    /// ended, and stops. Tunnels end after five seconds at the latest.
    pub async fn stop(self) {
        tracing::info!("stopping");
        self.stop.send_replace(true);
        let serving = async {
            for task in self.serving {
                let _ = task.await;
            }
            self.gateway.tunnels_ended().await;
        };
        if tokio::time::timeout(DRAIN, serving).await.is_err() {
            tracing::warn!("responses were cut: they did not end within {DRAIN:?}");
        }
        self.beside.iter().for_each(JoinHandle::abort);
    }
}

/// Returns the certificate to serve, and the CA that clients have to trust.
fn certificate(
    options: &Options,
    now: SystemTime,
) -> Result<(Arc<ServerCertificate>, String), BoxError> {
    Ok(match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => {
            let served = ServerCertificate::from_files(certificate, key, now)?;
            (Arc::new(served), read(&options.ca_file)?)
        }
        _ => {
            let authority = Arc::new(Authority::open(&options.state_dir, &options.node, &[], now)?);
            let served = ServerCertificate::from_authority(authority.clone(), now)?;
            (Arc::new(served), authority.ca_pem().to_owned())
        }
    })
}

/// Serves the clients of a listener in a task of its own.
fn serve(
    listener: TcpListener,
    tls: Option<impl Fn() -> TlsAcceptor + Send + Sync + 'static>,
    connections: &Connections,
    gateway: &Gateway,
    stopping: &Stopping,
) -> JoinHandle<()> {
    let gateway = Arc::new(gateway.clone());
    let respond = move |request| {
        let gateway = gateway.clone();
        async move { gateway.serve(request).await }
    };
    tokio::spawn(listener::serve(listener, tls, connections.clone(), respond, stopping.clone()))
}

/// Probes the API servers in a task of its own.
fn probe(upstream: &Upstream, credentials: &Arc<OwnCredentials>) -> JoinHandle<()> {
    let (upstream, credentials) = (upstream.clone(), credentials.clone());
    let header = move || credentials.token().ok().map(|token| token.header());
    tokio::spawn(async move { upstream.probe(header).await })
}

async fn bind(address: SocketAddr) -> Result<TcpListener, BoxError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| format!("listening on {address}: {error}").into())
}

fn log(event: FactEvent) {
    match event {
        FactEvent::Failed { kind, message, again_in } => {
            tracing::warn!(%kind, ?again_in, "facts: {message}");
        }
        FactEvent::Answered(kind) => tracing::debug!(%kind, "facts: the API server responded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_hosts_with_ports() {
        for (text, host, port) in
            [("api:6443", "api", 6443), ("192.0.2.1:1", "192.0.2.1", 1), ("[::1]:443", "::1", 443)]
        {
            let server = parse_server(text).unwrap();
            assert_eq!((&*server.host, server.port), (host, port));
        }
        for text in ["api", ":443", "api:", "api:x", "api:70000"] {
            let error = parse_server(text).unwrap_err().to_string();
            assert!(error.contains("HOST:PORT"), "{error}");
        }
    }
}

//! From options to a running proxy, and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::admin::{self, Admin};
use crate::authority::{Authority, ServerCertificate, restrict};
use crate::client_files::{ClientFiles, create_directory};
use crate::credentials::OwnCredentials;
use crate::generation::{Configuration, Current, Generation, Shared};
use crate::learned_servers::LearnedServers;
use crate::listener::{Connections, Limits};
use crate::metrics::Metrics;
use crate::options::Options;
use crate::own_requests::OwnRequests;
use crate::reload::{Identity, Reload};
use crate::response::Stopping;
use crate::tunnel::{MAX_TUNNELS, Tunnels};
use crate::upstream::{Settings, Upstream};
use crate::{Body, BoxError, listener};

/// The longest time for responses to end after a stop.
const DRAIN: Duration = Duration::from_secs(10);

/// A running proxy.
pub struct Running {
    /// The addresses that clients connect to.
    pub addresses: Vec<SocketAddr>,
    /// The address that lends the proxy's identity, if there is one.
    pub lending: Option<SocketAddr>,
    /// The address of `/livez` and `/readyz`.
    pub health: SocketAddr,
    current: Arc<Current>,
    stop: watch::Sender<bool>,
    tunnels: Tunnels,
    reload: mpsc::Sender<oneshot::Sender<()>>,
    serving: Vec<JoinHandle<()>>,
    beside: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts the proxy on the present tokio runtime.
    ///
    /// # Errors
    ///
    /// Fails if a file of the options cannot be used, or an address is not free.
    pub async fn start(options: &Options) -> Result<Running, BoxError> {
        Running::limited(options, Limits::default(), |settings| settings).await
    }

    /// Starts a proxy with other limits than the default ones: those of clients, and those that
    /// `upstream` changes for both pools of connections.
    ///
    /// # Errors
    ///
    /// Fails like [`start`](Self::start).
    pub async fn limited(
        options: &Options,
        clients: Limits,
        upstream: impl Fn(Settings) -> Settings,
    ) -> Result<Running, BoxError> {
        create_directory(&options.state_dir, 0o700)
            .map_err(|error| format!("--state-dir {}: {error}", options.state_dir.display()))?;
        restrict(&options.state_dir, 0o700);
        let (stop, stopping) = watch::channel(false);
        let configuration = Configuration::read(options.config.as_deref())?;
        let credentials = Arc::new(credentials(options));
        let identity = Identity::read(&credentials)?;
        let servers = Arc::new(ArcSwap::from_pointee(options.servers(identity.server.clone())?));
        let pool = |tls| Upstream::new(upstream(Settings::new(servers.load().to_vec(), Some(tls))));
        // Never shared: only the proxy's own connections have its client certificate.
        let (upstream, own_upstream) =
            (pool(identity.client_tls.clone()), pool(identity.own_tls.clone()));
        let lent = options.lend_identity()?;
        let shared = Shared {
            node: options.node.clone(),
            upstream: upstream.clone(),
            own: OwnRequests::new(own_upstream.clone(), credentials.clone()),
            metrics: Metrics::new(),
            tunnels: Tunnels::new(MAX_TUNNELS, stopping.clone()),
            lent: lent.map(|_| credentials.clone()),
            state_dir: options.state_dir.clone(),
            origin: origin(options, &credentials.ca_pem()?),
        };
        let current = Arc::new(Current::new(Generation::start(configuration, &shared, true)?));
        let mut beside = vec![probe(&upstream, &credentials)];
        if options.learn_servers {
            let upstreams = vec![upstream.clone(), own_upstream.clone()];
            let learned = LearnedServers::new(shared.own.clone(), upstreams, servers.clone());
            beside.push(tokio::spawn(learned.run()));
        }

        let (certificate, own_ca) = certificate(options, SystemTime::now())?;
        let listeners = Listeners {
            connections: Connections::new(clients),
            current: current.clone(),
            stopping: stopping.clone(),
        };
        let (addresses, mut serving) = listeners.serve(&options.listen, &certificate).await?;
        let mut lending = None;
        if let Some(address) = lent {
            let (address, task) = listeners.serve_lending(address).await?;
            lending = Some(address);
            serving.push(task);
        }
        let health = bind(options.health_listen).await?;
        let health_address = health.local_addr()?;
        let admin = Admin {
            current: current.clone(),
            upstream,
            own_upstream: own_upstream.clone(),
            credentials,
            certificate: certificate.clone(),
            metrics: shared.metrics.clone(),
            stopping,
        };

        // Last: an agent that finds the files finds the proxy too.
        let port = addresses.first().ok_or("--listen: name an address")?.port();
        let files = client_files(options, port)?;
        let tunnels = shared.tunnels.clone();
        let reload = Reload {
            options: options.clone(),
            shared,
            current: current.clone(),
            identity,
            servers,
            own_upstream,
            certificate,
            files,
            own_ca,
        };
        reload.write_client_files()?;
        let (asking, asked) = mpsc::channel(1);
        tracing::info!(node = %options.node, ?addresses, "serving");
        beside.push(tokio::spawn(admin::serve(health, admin)));
        beside.push(tokio::spawn(reload.run(asked)));
        Ok(Running {
            addresses,
            lending,
            health: health_address,
            current,
            stop,
            tunnels,
            reload: asking,
            serving,
            beside,
        })
    }

    /// Compares all files with their contents in use, and puts changed ones to use. Returns when
    /// that is done, which may take a minute if a new configuration needs facts.
    pub async fn reload(&self) {
        if let Some(done) = self.ask_to_reload() {
            let _ = done.await;
        }
    }

    /// Starts what [`reload`](Self::reload) does. Returns `None` if it runs already, and another
    /// run waits.
    pub fn ask_to_reload(&self) -> Option<oneshot::Receiver<()>> {
        let (done, reply) = oneshot::channel();
        self.reload.try_send(done).is_ok().then_some(reply)
    }

    /// Ends all watches, waits at most ten seconds until the other responses and the tunnels have
    /// ended, and stops. Tunnels end after five seconds at the latest.
    pub async fn stop(self) {
        tracing::info!("stopping");
        self.stop.send_replace(true);
        self.current.get().retire();
        let serving = async {
            for task in self.serving {
                let _ = task.await;
            }
            self.tunnels.ended().await;
        };
        if tokio::time::timeout(DRAIN, serving).await.is_err() {
            tracing::warn!("responses were cut: they did not end within {DRAIN:?}");
        }
        self.current.get().save();
        self.beside.iter().for_each(JoinHandle::abort);
    }
}

/// Returns the proxy's own identity, by a kubeconfig or by the files of a ServiceAccount.
pub(crate) fn credentials(options: &Options) -> OwnCredentials {
    match &options.kubeconfig {
        Some(path) => OwnCredentials::kubeconfig(path),
        None => OwnCredentials::new(&options.token_file, &options.ca_file),
    }
}

/// Returns what client states depend on: the node, the API servers' CA and the clients, none of
/// which survives a boot.
fn origin(options: &Options, ca_pem: &str) -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        // An origin that no other process has.
        .unwrap_or_else(|_| format!("{:?} {}", SystemTime::now(), std::process::id()));
    format!("{}\n{boot}\n{ca_pem}", options.node)
}

/// Returns the certificate to serve, and the proxy's own CA if it signed the certificate.
fn certificate(
    options: &Options,
    now: SystemTime,
) -> Result<(Arc<ServerCertificate>, Option<String>), BoxError> {
    Ok(match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => {
            (Arc::new(ServerCertificate::from_files(certificate, key, now)?), None)
        }
        _ => {
            let authority = Arc::new(Authority::open(&options.state_dir, &options.node, &[], now)?);
            let served = ServerCertificate::from_authority(authority.clone(), now)?;
            (Arc::new(served), Some(authority.ca_pem().to_owned()))
        }
    })
}

/// Probes the API servers in a task of its own.
fn probe(upstream: &Upstream, credentials: &Arc<OwnCredentials>) -> JoinHandle<()> {
    let (upstream, credentials) = (upstream.clone(), credentials.clone());
    let header = move || credentials.token().ok().flatten().map(|token| token.header());
    tokio::spawn(async move { upstream.probe(header).await })
}

/// The parts that all listeners share.
struct Listeners {
    connections: Connections,
    current: Arc<Current>,
    stopping: Stopping,
}

impl Listeners {
    /// Serves clients that send their own tokens, each address in a task of its own.
    async fn serve(
        &self,
        addresses: &[SocketAddr],
        certificate: &Arc<ServerCertificate>,
    ) -> Result<(Vec<SocketAddr>, Vec<JoinHandle<()>>), BoxError> {
        let (mut bound, mut serving) = (Vec::new(), Vec::new());
        for address in addresses {
            let listener = bind(*address).await?;
            bound.push(listener.local_addr()?);
            let certificate = certificate.clone();
            let acceptor = move || certificate.server_config().into();
            let current = self.current.clone();
            let respond = move |request| {
                let current = current.clone();
                async move { current.serve(request).await }
            };
            serving.push(self.spawn(listener, Some(acceptor), respond));
        }
        Ok((bound, serving))
    }

    /// Serves clients without a token, over plain HTTP.
    async fn serve_lending(
        &self,
        address: SocketAddr,
    ) -> Result<(SocketAddr, JoinHandle<()>), BoxError> {
        let listener = bind(address).await?;
        let address = listener.local_addr()?;
        tracing::warn!(
            %address,
            "--lend-identity: every process on the host network that connects to this address \
             acts as the proxy's ServiceAccount"
        );
        let current = self.current.clone();
        let respond = move |request| {
            let current = current.clone();
            async move { current.serve_lending(request).await }
        };
        Ok((address, self.spawn(listener, None::<fn() -> TlsAcceptor>, respond)))
    }

    fn spawn<R, F>(
        &self,
        listener: TcpListener,
        tls: Option<impl Fn() -> TlsAcceptor + Send + Sync + 'static>,
        respond: R,
    ) -> JoinHandle<()>
    where
        R: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let (connections, stopping) = (self.connections.clone(), self.stopping.clone());
        tokio::spawn(listener::serve(listener, tls, connections, respond, stopping))
    }
}

/// Returns the files that lead the clients to `port`.
pub(crate) fn client_files(options: &Options, port: u16) -> Result<ClientFiles, BoxError> {
    let seen = options.client_dir_as_seen.as_deref().unwrap_or(&options.client_dir);
    Ok(ClientFiles::new(&options.client_dir, seen, port)?)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, BoxError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| format!("listening on {address}: {error}").into())
}

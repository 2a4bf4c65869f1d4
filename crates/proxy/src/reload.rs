//! Puts changed files to use in the running process: configuration, identity, certificates.
//!
//! Contents are compared, not inodes or times, because Kubernetes swaps volumes by a symbolic link.
//! A file that cannot be used is logged, and its last good content stays in use.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::rustls::ClientConfig;

use crate::BoxError;
use crate::authority::ServerCertificate;
use crate::client_files::ClientFiles;
use crate::credentials::{OwnCredentials, Token};
use crate::generation::{Configuration, Current, Generation, Shared};
use crate::options::Options;
use crate::upstream::{Server, Upstream};

/// How often files are compared.
const LOOK: Duration = Duration::from_secs(60);
/// How long a new configuration may take to fetch its facts.
const FACTS: Duration = Duration::from_secs(60);

/// The identity in use.
pub struct Identity {
    credentials: Arc<OwnCredentials>,
    token: Option<Token>,
    /// For clients' requests: without a client certificate.
    pub client_tls: Arc<ClientConfig>,
    /// For the proxy's own requests.
    pub own_tls: Arc<ClientConfig>,
    /// The server of a kubeconfig.
    pub server: Option<Server>,
}

impl Identity {
    /// Reads the identity. A token that is missing yet is no error.
    ///
    /// # Errors
    ///
    /// Fails if the CA or the kubeconfig cannot be used.
    pub fn read(credentials: &Arc<OwnCredentials>) -> Result<Identity, BoxError> {
        Ok(Identity {
            credentials: credentials.clone(),
            token: credentials.token().ok().flatten(),
            client_tls: credentials.client_config()?,
            own_tls: credentials.own_config()?,
            server: credentials.server()?,
        })
    }
}

/// The parts of the process that files change.
pub struct Reload {
    /// The options of the process.
    pub options: Options,
    /// The parts that generations share.
    pub shared: Shared,
    /// The configuration in use.
    pub current: Arc<Current>,
    /// The identity in use.
    pub identity: Identity,
    /// The servers of the options, or of the kubeconfig.
    pub servers: Arc<ArcSwap<Vec<Server>>>,
    /// The connections for the proxy's own requests.
    pub own_upstream: Upstream,
    /// The certificate of the listener.
    pub certificate: Arc<ServerCertificate>,
    /// The files of the clients.
    pub files: ClientFiles,
    /// The proxy's own CA; `None` if clients trust the CA of the API server.
    pub own_ca: Option<String>,
}

impl Reload {
    /// Compares all files each minute, and at each request of `asked`, which gets a reply.
    pub async fn run(mut self, mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut refused = None;
        loop {
            let done = tokio::select! {
                () = tokio::time::sleep(LOOK) => None,
                Some(done) = asked.recv() => Some(done),
            };
            self.identity();
            self.serving_certificate();
            self.client_files();
            if done.is_some() {
                refused = None;
            }
            self.configuration(&mut refused).await;
            let current = self.current.get();
            // Files are written with blocking calls.
            let _ = tokio::task::spawn_blocking(move || current.save_if_quiet()).await;
            if let Some(done) = done {
                // The caller may have gone.
                let _ = done.send(());
            }
        }
    }

    /// Writes the files of the clients.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be written.
    pub fn write_client_files(&self) -> Result<(), BoxError> {
        let ca = match &self.own_ca {
            Some(ca) => ca.clone(),
            None => self.identity.credentials.ca_pem()?,
        };
        self.files.write(&ca)?;
        Ok(())
    }

    /// Writes the files again: their folder is on a tmpfs, mostly, and others may clean it.
    fn client_files(&self) {
        if let Err(error) = self.write_client_files() {
            tracing::warn!(%error, "the files of the clients were not written");
        }
    }

    /// Replaces token, CA, client certificate and the kubeconfig's server, if they changed.
    fn identity(&mut self) {
        let credentials = self.identity.credentials.clone();
        credentials.reread();
        let new = match Identity::read(&credentials) {
            Ok(new) => new,
            Err(error) => return self.failed("identity", &error),
        };
        let old = std::mem::replace(&mut self.identity, new);
        let new = &self.identity;
        let mut has_changed = old.token != new.token;
        if !Arc::ptr_eq(&old.client_tls, &new.client_tls) {
            self.shared.upstream.set_tls(&new.client_tls);
            has_changed = true;
        }
        if !Arc::ptr_eq(&old.own_tls, &new.own_tls) {
            self.own_upstream.set_tls(&new.own_tls);
            has_changed = true;
        }
        if let Some(server) = &new.server
            && old.server != new.server
        {
            has_changed = true;
            if self.options.servers.is_empty() {
                self.servers.store(Arc::new(vec![server.clone()]));
                self.shared.upstream.set_servers(vec![server.clone()]);
                self.own_upstream.set_servers(vec![server.clone()]);
            }
        }
        if has_changed {
            self.succeeded("identity");
        }
        for problem in credentials.problems() {
            self.failed("identity", &problem);
        }
    }

    fn serving_certificate(&self) {
        match self.certificate.renew_if_due(SystemTime::now()) {
            Ok(true) => self.succeeded("serving_certificate"),
            Ok(false) => {}
            Err(error) => self.failed("serving_certificate", &error),
        }
    }

    /// Replaces the configuration if its content changed, once its facts are complete. `refused`
    /// is the error that was logged last: the same one is not logged each minute.
    async fn configuration(&self, refused: &mut Option<String>) {
        match self.next_generation().await {
            Ok(None) => *refused = None,
            Ok(Some(generation)) => {
                *refused = None;
                self.current.replace(generation);
                self.succeeded("configuration");
            }
            Err(error) => {
                let error = error.to_string();
                if refused.as_ref() != Some(&error) {
                    self.failed("configuration", &error);
                    *refused = Some(error);
                }
            }
        }
    }

    /// Returns a generation that can serve; `None` if the content has not changed.
    async fn next_generation(&self) -> Result<Option<Generation>, BoxError> {
        let configuration = Configuration::read(self.options.config.as_deref())?;
        let current = self.current.get();
        if configuration.sha256 == current.configuration.sha256 {
            return Ok(None);
        }
        let generation = Generation::start(configuration, &self.shared, false)?;
        // While clients get no endpoints, the new configuration cannot make it worse.
        if current.reasons().is_empty() && !generation.ready(FACTS).await {
            return Err(generation.reasons().join("; ").into());
        }
        Ok(Some(generation))
    }

    fn succeeded(&self, what: &'static str) {
        tracing::info!(what, "a changed file is in use");
        self.shared.metrics.reloaded(what, true);
    }

    fn failed(&self, what: &'static str, error: &dyn std::fmt::Display) {
        tracing::error!(what, %error, "a file cannot be used: its last good content stays in use");
        self.shared.metrics.reloaded(what, false);
    }
}

//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};

/// Serves the Kubernetes API to the agents of one node, with only the endpoints that the node may
/// use.
#[derive(Debug, Clone, Parser)]
#[command(name = "poolscope-proxy", version)]
pub struct Options {
    /// The node's name
    #[arg(long, env = "NODE_NAME")]
    pub node: String,
    /// An API server, HOST:PORT; repeat it for several
    #[arg(long = "server", value_name = "HOST:PORT", required = true)]
    pub servers: Vec<String>,
    /// The address to listen on; repeat it for several
    #[arg(long, default_values = ["127.0.0.1:10271", "[::1]:10271"])]
    pub listen: Vec<SocketAddr>,
    /// Serve plain HTTP on this loopback address, and give requests without a token the proxy's
    /// own: every process on the host network then acts as the proxy's ServiceAccount
    #[arg(long, value_name = "ADDRESS")]
    pub lend_identity: Option<SocketAddr>,
    /// Also use the API servers of the Service default/kubernetes, after those given. Set it to
    /// false if nodes cannot reach their addresses, or if their certificates do not name them
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub learn_servers: bool,
    /// The address of /livez, /readyz and /counters
    #[arg(long, default_value = "127.0.0.1:10272")]
    pub health_listen: SocketAddr,
    /// The folder for ca.crt and the kubeconfig of the node's agents
    #[arg(long, default_value = "/var/run/cilium/poolscope")]
    pub client_dir: PathBuf,
    /// The path of that folder as the agents see it, if it differs
    #[arg(long)]
    pub client_dir_as_seen: Option<PathBuf>,
    /// The folder for the proxy's own CA, which has to outlive the process
    #[arg(long, default_value = "/var/lib/poolscope-proxy")]
    pub state_dir: PathBuf,
    /// The configuration (docs/config.md)
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// The token of the proxy's own identity
    #[arg(long, default_value = "/var/run/secrets/kubernetes.io/serviceaccount/token")]
    pub token_file: PathBuf,
    /// The CA of the API servers
    #[arg(long, default_value = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")]
    pub ca_file: PathBuf,
    /// The certificate to serve, instead of one by the proxy's own CA: one that the CA of
    /// --ca-file signed, for agents that trust only their ServiceAccount's CA
    #[arg(long, requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// The format of the log
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Check options and configuration, and exit
    #[arg(long)]
    pub check: bool,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

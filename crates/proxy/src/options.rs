//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};

use crate::BoxError;
use crate::upstream::Server;

/// Serves the Kubernetes API to the agents of one node, with only the endpoints that the node may
/// use.
#[derive(Debug, Clone, Parser)]
#[command(name = "poolscope-proxy", version)]
pub struct Options {
    /// The node's name
    #[arg(long, env = "NODE_NAME")]
    pub node: String,
    /// An API server, HOST:PORT; repeat it for several. Without it, the kubeconfig's
    #[arg(long = "server", value_name = "HOST:PORT", required_unless_present = "kubeconfig")]
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
    /// The address of /livez, /readyz, /metrics, /counters and /debug
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
    /// The proxy's own identity and the CA of the API servers, instead of --token-file and
    /// --ca-file
    #[arg(long, conflicts_with_all = ["token_file", "ca_file"])]
    pub kubeconfig: Option<PathBuf>,
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
    /// Check options and files without the network, print a line for each, and exit
    #[arg(long)]
    pub check: bool,
}

impl Options {
    /// Returns the API servers; without any, that of the kubeconfig.
    ///
    /// # Errors
    ///
    /// Fails if an address cannot be read.
    pub fn servers(&self, of_kubeconfig: Option<Server>) -> Result<Vec<Server>, BoxError> {
        if self.servers.is_empty() {
            let server = of_kubeconfig.ok_or("--server: name an API server as HOST:PORT")?;
            return Ok(vec![server]);
        }
        self.servers.iter().map(|server| parse_server(server)).collect()
    }

    /// Returns the address that lends the proxy's identity, if there is one.
    ///
    /// # Errors
    ///
    /// Fails if others than the node's processes reach it.
    pub fn lend_identity(&self) -> Result<Option<SocketAddr>, BoxError> {
        match self.lend_identity {
            Some(address) if !address.ip().is_loopback() => Err(format!(
                "--lend-identity {address}: whoever reaches the address acts as the proxy: name \
                 one of loopback, such as 127.0.0.1:10273"
            )
            .into()),
            address => Ok(address),
        }
    }
}

/// Reads `HOST:PORT`.
pub(crate) fn parse_server(text: &str) -> Result<Server, BoxError> {
    let (host, port) = text
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| format!("--server {text}: write HOST:PORT, such as 192.0.2.10:6443"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Server::new(host, port))
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
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

    #[test]
    fn the_identity_is_lent_on_loopback_alone() {
        let parse = |address: &str| {
            let arguments = format!("x --node n --server a:1 --lend-identity {address}");
            Options::try_parse_from(arguments.split_whitespace()).unwrap()
        };
        for address in ["127.0.0.1:10273", "[::1]:1", "127.9.9.9:5"] {
            assert_eq!(parse(address).lend_identity().unwrap(), Some(address.parse().unwrap()));
        }
        for address in ["0.0.0.0:10273", "[::]:1", "192.0.2.1:5", "169.254.2.1:5"] {
            let error = parse(address).lend_identity().unwrap_err().to_string();
            assert!(error.contains(address) && error.contains("loopback"), "{error}");
        }
    }

    #[test]
    fn a_kubeconfig_replaces_the_server_and_the_files() {
        let parse = |arguments: &str| {
            Options::try_parse_from(format!("x --node n {arguments}").split_whitespace())
        };
        let options = parse("--kubeconfig k").unwrap();
        let server = || Server::new("a", 1);
        assert_eq!(options.servers(Some(server())).unwrap(), [server()]);
        assert!(options.servers(None).is_err());
        let options = parse("--kubeconfig k --server b:2").unwrap();
        assert_eq!(options.servers(Some(server())).unwrap(), [Server::new("b", 2)]);
        assert!(parse("").is_err());
        assert!(parse("--kubeconfig k --token-file t").is_err());
    }
}

//! The contents of a data plane: frontends, each with the backends that its traffic goes to.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Serialize;

use super::yurthub::Cache;

/// The contents of one data plane, read at one time.
pub(super) struct Held {
    pub(super) kind: Kind,
    /// The files, socket or pod.
    pub(super) origin: String,
    pub(super) contents: Contents,
}

impl Held {
    /// Returns a data plane of frontends.
    pub(super) fn of(kind: Kind, origin: String, frontends: Vec<Frontend>) -> Held {
        Held { kind, origin, contents: Contents::Frontends(frontends) }
    }
}

pub(super) enum Contents {
    Frontends(Vec<Frontend>),
    /// EndpointSlices, from which a proxy makes its frontends.
    Slices(Cache),
}

/// The tool that printed the contents.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Kind {
    /// The agent's tables, with the state of each backend.
    CiliumServices,
    /// The eBPF maps, without states.
    CiliumMaps,
    Nftables,
    Iptables,
    YurthubCache,
}

impl Kind {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Kind::CiliumServices => "cilium-agent's Services",
            Kind::CiliumMaps => "Cilium's eBPF maps",
            Kind::Nftables => "kube-proxy's nftables rules",
            Kind::Iptables => "kube-proxy's iptables rules",
            Kind::YurthubCache => "yurthub's cache",
        }
    }

    pub(super) const fn is_cilium(self) -> bool {
        matches!(self, Kind::CiliumServices | Kind::CiliumMaps)
    }
}

/// One address at which traffic is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frontend {
    pub(super) address: Address,
    /// Only traffic from the node itself comes here; another entry takes the rest.
    pub(super) internal: bool,
    /// Namespace and name of its Service, where the data plane knows them.
    pub(super) service: Option<(String, String)>,
    /// `ClusterIP`, `NodePort`, `LocalRedirect`, ...; empty if not known.
    pub(super) r#type: String,
    /// Only backends on the node itself are used: a traffic policy is `Local`.
    pub(super) local: bool,
    /// The Service is one of another cluster.
    pub(super) is_remote: bool,
    pub(super) backends: Vec<Backend>,
    /// The identifiers of backends that the data plane refers to and does not have.
    pub(super) dangling: BTreeSet<u32>,
}

/// An address, a port and a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Address {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    /// `None` matches each protocol: older releases of Cilium do not print it.
    pub(super) protocol: Option<Protocol>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backend {
    pub(super) at: SocketAddr,
    pub(super) state: State,
    /// The node it is on, where the data plane knows it.
    pub(super) node: Option<String>,
    /// It belongs to another cluster.
    pub(super) is_remote: bool,
}

/// Whether new connections go to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Active,
    /// Only if there is no active one.
    Terminating,
    /// Quarantined, in maintenance, or no longer serving.
    Unused,
    /// The data plane does not print states.
    Unknown,
}

impl Address {
    /// Returns the parts of `IP:PORT`, `IP:PORT/PROTOCOL` or `[IP]:PORT/PROTOCOL/i`, and whether
    /// the scope is internal.
    pub(super) fn parse(text: &str) -> Option<(Address, bool)> {
        let mut parts = text.trim().split('/');
        let at: SocketAddr = without_cluster(parts.next()?).0.parse().ok()?;
        let (mut protocol, mut internal) = (None, false);
        for part in parts {
            match part {
                "i" => internal = true,
                name => protocol = Protocol::named(name),
            }
        }
        Some((Address { ip: at.ip(), port: at.port(), protocol }, internal))
    }

    pub(super) fn any_of(ipv6: bool, port: u16, protocol: Option<Protocol>) -> Address {
        let ip =
            if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { IpAddr::from(Ipv4Addr::UNSPECIFIED) };
        Address { ip, port, protocol }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", SocketAddr::new(self.ip, self.port))?;
        match self.protocol {
            Some(protocol) => write!(out, "/{}", protocol.name()),
            None => Ok(()),
        }
    }
}

impl Protocol {
    /// Returns `None` for `ANY` and `NONE`, which stand for each protocol.
    pub(super) fn named(name: &str) -> Option<Protocol> {
        Some(match name.to_ascii_uppercase().as_str() {
            "TCP" | "6" => Protocol::Tcp,
            "UDP" | "17" => Protocol::Udp,
            "SCTP" | "132" => Protocol::Sctp,
            _ => return None,
        })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        }
    }
}

impl Frontend {
    pub(super) fn new(address: Address) -> Frontend {
        Frontend {
            address,
            internal: false,
            service: None,
            r#type: String::new(),
            local: false,
            is_remote: false,
            backends: Vec::new(),
            dangling: BTreeSet::new(),
        }
    }

    /// Returns `true` if new connections may go to this backend.
    pub(super) fn uses(&self, backend: &Backend) -> bool {
        match backend.state {
            State::Active | State::Unknown => true,
            State::Unused => false,
            State::Terminating => self.backends.iter().all(|other| other.state != State::Active),
        }
    }
}

impl Backend {
    /// Returns the backend at `IP:PORT`, `IP:PORT/PROTOCOL` or `IP@CLUSTER:PORT`.
    pub(super) fn parse(text: &str, state: State) -> Option<Backend> {
        let (at, is_remote) = without_cluster(text.trim().split('/').next()?);
        Some(Backend { at: at.parse().ok()?, state, node: None, is_remote })
    }
}

/// Cilium appends the number of another cluster to an address: `10.0.0.1@3`.
pub(super) fn without_cluster(address: &str) -> (String, bool) {
    let Some((ip, rest)) = address.split_once('@') else { return (address.to_owned(), false) };
    (format!("{ip}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit())), true)
}

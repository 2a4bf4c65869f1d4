//! The names of a leaf certificate and the constraints that a CA puts on them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};
use rustls_pki_types::ServerName;

use super::Error;

/// The names of every leaf certificate. A client may use any of them to reach the proxy.
pub const LOOPBACK_NAMES: [&str; 5] =
    ["127.0.0.1", "::1", "localhost", "kubernetes", "kubernetes.default.svc"];

/// A DNS name or an IP address in a certificate.
///
/// ```
/// use poolscope_proxy::authority::SubjectName;
///
/// let name: SubjectName = "192.0.2.1".parse()?;
/// assert_eq!(name.to_string(), "192.0.2.1");
/// assert!("not a name".parse::<SubjectName>().is_err());
/// # Ok::<(), poolscope_proxy::authority::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectName(pub(super) ServerName<'static>);

impl FromStr for SubjectName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match ServerName::try_from(text.to_owned()) {
            Ok(name) => Ok(Self(name)),
            Err(_) => Err(Error::Name(text.to_owned())),
        }
    }
}

impl From<IpAddr> for SubjectName {
    fn from(address: IpAddr) -> Self {
        Self(ServerName::from(address))
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_str())
    }
}

/// Returns [`LOOPBACK_NAMES`] and `names`, each name once.
pub(super) fn with_loopback_names(names: &[SubjectName]) -> Vec<SubjectName> {
    let mut all: Vec<SubjectName> = Vec::new();
    let loopback = LOOPBACK_NAMES.iter().filter_map(|name| name.parse().ok());
    for name in loopback.chain(names.iter().cloned()) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// Returns the constraint that permits `names`.
///
/// DNS names are permitted as they are, because only a change of configuration adds one. Addresses
/// are permitted one by one if all are loopback addresses, else all are permitted, because a node
/// may get another address and clients keep the CA.
pub(super) fn constraints(names: &[SubjectName]) -> NameConstraints {
    let addresses = || {
        names.iter().filter_map(|name| match &name.0 {
            ServerName::IpAddress(address) => Some(IpAddr::from(*address)),
            _ => None,
        })
    };
    let dns = names.iter().filter_map(|name| match &name.0 {
        ServerName::DnsName(name) => Some(GeneralSubtree::DnsName(name.as_ref().to_owned())),
        _ => None,
    });
    let mut permitted: Vec<_> = dns.collect();
    if addresses().all(|address| address.is_loopback()) {
        permitted.extend(addresses().map(|address| {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, bits))
        }));
    } else {
        permitted.push(GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([0; 4], 0)));
        permitted.push(GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], 0)));
    }
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() }
}

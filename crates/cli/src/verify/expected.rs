//! The frontends that a node's data plane ought to hold, found by their addresses.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use poolscope::explain::{EndpointView, Frontend, Port, ServiceView, TrafficPolicy};

use super::held::{self, Protocol};

/// The Services of a node's view, by the addresses at which they are reached.
pub(super) struct Expected<'a> {
    pub(super) frontends: Vec<Wanted<'a>>,
    by_address: HashMap<(Option<IpAddr>, u16), Vec<usize>>,
}

/// A frontend of the view.
pub(super) struct Wanted<'a> {
    pub(super) view: &'a ServiceView,
    pub(super) frontend: &'a Frontend,
    /// `None` for each address of the node.
    ip: Option<IpAddr>,
    port: u16,
    pub(super) protocol: Protocol,
}

impl<'a> Expected<'a> {
    pub(super) fn new(views: &'a [ServiceView]) -> Expected<'a> {
        let mut expected = Expected { frontends: Vec::new(), by_address: HashMap::new() };
        for view in views {
            for frontend in &view.frontends {
                let Some(wanted) = Wanted::of(view, frontend) else { continue };
                let at = (wanted.ip, wanted.port);
                expected.by_address.entry(at).or_default().push(expected.frontends.len());
                expected.frontends.push(wanted);
            }
        }
        expected
    }

    /// Returns the indices of the frontends that an entry of the data plane stands for: several
    /// where it does not name the protocol.
    pub(super) fn find(&self, held: &held::Frontend) -> Vec<usize> {
        let of_protocol = |ip: Option<IpAddr>| {
            let indices = self.by_address.get(&(ip, held.address.port)).into_iter().flatten();
            indices
                .copied()
                .filter(|&index| {
                    held.address.protocol.is_none_or(|one| one == self.frontends[index].protocol)
                })
                .collect()
        };
        let may_be_node_port = matches!(&*held.r#type, "NodePort" | "");
        let exact: Vec<usize> =
            if held.r#type == "NodePort" { Vec::new() } else { of_protocol(Some(held.address.ip)) };
        if exact.is_empty() && may_be_node_port { of_protocol(None) } else { exact }
    }
}

impl<'a> Wanted<'a> {
    /// Returns `None` for a headless Service, which no proxy serves.
    fn of(view: &'a ServiceView, frontend: &'a Frontend) -> Option<Wanted<'a>> {
        if frontend.r#type == "Headless" {
            return None;
        }
        let (at, protocol) = frontend.address.rsplit_once('/')?;
        let protocol = Protocol::named(protocol)?;
        let (ip, port) = match at.strip_prefix("*:") {
            Some(port) => (None, port.parse().ok()?),
            None => {
                let at: SocketAddr = at.parse().ok()?;
                (Some(at.ip()), at.port())
            }
        };
        Some(Wanted { view, frontend, ip, port, protocol })
    }

    /// Returns `None` for a node port, which may be of both families.
    pub(super) fn is_ipv6(&self) -> Option<bool> {
        self.ip.map(|ip| ip.is_ipv6())
    }

    /// Returns `true` if only backends on the node are used, by the Service's
    /// `internalTrafficPolicy`. For traffic from outside, the data plane has entries of both kinds.
    pub(super) fn is_local(&self) -> bool {
        self.frontend.r#type == "ClusterIP"
            && self.frontend.traffic_policy == Some(TrafficPolicy::Local)
    }

    /// Returns the backends of one family that the node's proxy ought to use.
    pub(super) fn backends(
        &self,
        ipv6: bool,
    ) -> BTreeMap<SocketAddr, (&'a EndpointView, &'a Port)> {
        let backends = if self.is_local() {
            self.view.used_backends(self.frontend)
        } else {
            self.view.backends(self.frontend)
        };
        backends
            .into_iter()
            .filter_map(|(endpoint, port)| Some((address(endpoint, port)?, (endpoint, port))))
            .filter(|(at, _)| at.is_ipv6() == ipv6)
            .collect()
    }

    /// Returns the endpoints of the Service at an IP address, kept or dropped.
    pub(super) fn endpoints(&self, ip: IpAddr) -> impl Iterator<Item = &'a EndpointView> {
        let endpoints = self.view.endpoints.iter();
        endpoints.filter(move |endpoint| endpoint.address.parse() == Ok(ip))
    }
}

/// Returns `None` for a name in the place of an address, and for a port without a number.
fn address(endpoint: &EndpointView, port: &Port) -> Option<SocketAddr> {
    let number = u16::try_from(port.port).ok().filter(|&number| number != 0)?;
    Some(SocketAddr::new(endpoint.address.parse().ok()?, number))
}

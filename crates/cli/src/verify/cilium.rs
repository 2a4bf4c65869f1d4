//! Cilium's own lists: `cilium-dbg service list` and `cilium-dbg bpf lb list`, each as JSON and as
//! a table. Releases differ in what they print of protocols, scopes and slots.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::Value;

use super::held::{Address, Backend, Frontend, Protocol, State, without_cluster};

/// An item of `GET /v1/service`, which `cilium-dbg service list -o json` prints.
#[derive(Deserialize)]
struct Service {
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    realized: Option<Spec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Spec {
    frontend_address: Endpoint,
    #[serde(default)]
    backend_addresses: Option<Vec<Endpoint>>,
    #[serde(default)]
    flags: Flags,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Flags {
    r#type: String,
    namespace: String,
    name: String,
    cluster: String,
    traffic_policy: String,
    ext_traffic_policy: String,
    int_traffic_policy: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Endpoint {
    ip: String,
    port: u16,
    protocol: String,
    scope: String,
    state: String,
    node_name: String,
}

/// Reads the array of `cilium-dbg service list -o json`.
pub(super) fn services(list: Value) -> Result<Vec<Frontend>, String> {
    let list: Option<Vec<Service>> = serde_json::from_value(list)
        .map_err(|error| format!("not as `cilium-dbg service list -o json` prints it: {error}"))?;
    list.unwrap_or_default().into_iter().map(service).collect()
}

fn service(service: Service) -> Result<Frontend, String> {
    let realized = service.status.and_then(|status| status.realized);
    let spec = realized.or(service.spec).ok_or("a Service without `spec` and `status.realized`")?;
    let Endpoint { ip, port, protocol, scope, .. } = spec.frontend_address;
    let parsed = without_cluster(&ip).0.parse();
    let ip = parsed.map_err(|_| format!("the frontend address {ip:?} is not an IP address"))?;
    let mut frontend = Frontend::new(Address { ip, port, protocol: Protocol::named(&protocol) });
    frontend.internal = scope == "internal";
    let flags = spec.flags;
    // Older releases know one policy, that of external traffic.
    let external = [&flags.ext_traffic_policy, &flags.traffic_policy];
    let external = external.into_iter().find(|policy| !policy.is_empty());
    frontend.local = if frontend.internal || flags.r#type == "ClusterIP" {
        flags.int_traffic_policy == "Local"
    } else {
        external.is_some_and(|policy| policy == "Local")
    };
    if !flags.name.is_empty() {
        frontend.service = Some((flags.namespace, flags.name));
    }
    frontend.is_remote = !flags.cluster.is_empty();
    frontend.r#type = flags.r#type;
    for each in spec.backend_addresses.unwrap_or_default() {
        let (ip, is_remote) = without_cluster(&each.ip);
        let ip = ip.parse().map_err(|_| format!("the backend {ip:?} is not an IP address"))?;
        frontend.backends.push(Backend {
            at: SocketAddr::new(ip, each.port),
            state: state_named(&each.state),
            node: Some(each.node_name).filter(|node| !node.is_empty()),
            is_remote,
        });
    }
    Ok(frontend)
}

fn state_named(name: &str) -> State {
    match name {
        "active" => State::Active,
        "terminating" => State::Terminating,
        "terminating-not-serving" | "quarantined" | "maintenance" => State::Unused,
        _ => State::Unknown,
    }
}

/// Reads the table of `cilium-dbg service list`.
pub(super) fn services_table(text: &str) -> Result<Vec<Frontend>, String> {
    let mut frontends: Vec<Frontend> = Vec::new();
    for line in text.lines().skip_while(|line| !line.trim_start().starts_with("ID ")).skip(1) {
        let cells: Vec<&str> = columns(line).collect();
        let refuse = || format!("not a line of `cilium-dbg service list`: {line:?}");
        let backend = match &cells[..] {
            [] => continue,
            [id, address, rest @ ..] if id.parse::<i64>().is_ok() => {
                let (address, internal) = Address::parse(address).ok_or_else(refuse)?;
                let mut frontend = Frontend::new(address);
                frontend.internal = internal;
                if let Some(name) = rest.first() {
                    frontend.is_remote = name.ends_with("(Remote)");
                    frontend.r#type = name.split(' ').next().unwrap_or_default().to_owned();
                }
                frontends.push(frontend);
                rest.get(1)
            }
            [backend] => Some(backend),
            _ => return Err(refuse()),
        };
        let Some(backend) = backend else { continue };
        // `1 => 10.0.0.1:80/TCP (active) (preferred)`
        let (_, backend) = backend.split_once("=> ").ok_or_else(refuse)?;
        let mut words = backend.split_whitespace();
        let address = words.next().ok_or_else(refuse)?;
        let state = words.next().unwrap_or_default();
        let state = state_named(state.trim_matches(['(', ')']));
        let backend = Backend::parse(address, state).ok_or_else(refuse)?;
        frontends.last_mut().ok_or_else(refuse)?.backends.push(backend);
    }
    Ok(frontends)
}

/// Splits a line at runs of two blanks or more.
fn columns(line: &str) -> impl Iterator<Item = &str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty())
}

/// Reads the object of `cilium-dbg bpf lb list -o json`: addresses to lists of entries.
pub(super) fn maps(entries: Value) -> Result<Vec<Frontend>, String> {
    let entries: BTreeMap<String, Vec<String>> = serde_json::from_value(entries)
        .map_err(|error| format!("not as `cilium-dbg bpf lb list -o json` prints it: {error}"))?;
    let mut maps = Maps::default();
    for (key, values) in &entries {
        for value in values {
            maps.add(key, value)?;
        }
    }
    Ok(maps.frontends())
}

/// Reads the table of `cilium-dbg bpf lb list`.
pub(super) fn maps_table(text: &str) -> Result<Vec<Frontend>, String> {
    let mut maps = Maps::default();
    let mut last = String::new();
    let is_title = |line: &&str| line.trim_start().starts_with("SERVICE ADDRESS");
    for line in text.lines().skip_while(|line| !is_title(line)).skip(1) {
        let value = match columns(line).collect::<Vec<_>>()[..] {
            [] => continue,
            // Further entries of the address above.
            [value] if line.starts_with(' ') => value,
            [key, value] => {
                last = key.to_owned();
                value
            }
            _ => return Err(format!("not a line of `cilium-dbg bpf lb list`: {line:?}")),
        };
        maps.add(&last, value)?;
    }
    Ok(maps.frontends())
}

/// The Service map. Slot 0 of an address holds its flags, each other slot a backend.
#[derive(Default)]
struct Maps(BTreeMap<(Address, bool), Frontend>);

impl Maps {
    /// Adds an entry: `10.96.0.10:53/UDP/i (1)` and `10.0.0.7:53/UDP (4) (1)`.
    fn add(&mut self, key: &str, value: &str) -> Result<(), String> {
        let refuse = || {
            format!(
                "not an entry of `cilium-dbg bpf lb list`: {key:?}: {value:?}; leave out options \
                 such as --backends and --frontends"
            )
        };
        let address = key.split_whitespace().next().ok_or_else(refuse)?;
        let (address, internal) = Address::parse(address).ok_or_else(refuse)?;
        let frontend = self.0.entry((address, internal)).or_insert_with(|| Frontend::new(address));
        frontend.internal = internal;
        let value = value.trim();
        if let Some(id) = value.strip_prefix("backend ") {
            let id = id.strip_suffix(" not found").and_then(|id| id.parse().ok());
            frontend.dangling.insert(id.ok_or_else(refuse)?);
            return Ok(());
        }
        let at = value.split_whitespace().next().ok_or_else(refuse)?;
        let backend = Backend::parse(at, State::Unknown).ok_or_else(refuse)?;
        if !backend.at.ip().is_unspecified() {
            frontend.backends.push(backend);
            return Ok(());
        }
        let flags = value.split_once('[').and_then(|(_, rest)| {
            // An address of IPv6 has brackets, too.
            let rest = rest.rsplit_once('[').map_or(rest, |(_, flags)| flags);
            rest.split_once(']').map(|(flags, _)| flags)
        });
        let flags: Vec<&str> = flags.unwrap_or_default().split(", ").collect();
        frontend.r#type = flags[0].to_owned();
        let external = !internal && flags[0] != "ClusterIP";
        frontend.local = flags.contains(if external { &"Local" } else { &"InternalLocal" });
        Ok(())
    }

    fn frontends(self) -> Vec<Frontend> {
        self.0.into_values().collect()
    }
}

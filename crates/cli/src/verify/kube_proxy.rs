//! kube-proxy's rules: `nft list table ip kube-proxy`, the same with `-j`, and `iptables-save`. In
//! each of them an address leads to chains, and the last chain to an endpoint.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::held::{Address, Backend, Frontend, Protocol, State};

/// Rules as they were read: addresses with their targets, and chains.
#[derive(Default)]
struct Rules {
    entries: Vec<Entry>,
    /// By family and name.
    chains: HashMap<(bool, String), Chain>,
}

struct Entry {
    address: Address,
    r#type: &'static str,
    target: Target,
    /// `NAMESPACE/NAME` of the Service, if a comment or a chain's name has it.
    service: String,
}

enum Target {
    Chain(String),
    /// There is no endpoint at all.
    Reject,
    /// There is no endpoint on this node, and only those count.
    Drop,
}

#[derive(Default)]
struct Chain {
    next: Vec<String>,
    endpoints: Vec<SocketAddr>,
}

impl Rules {
    fn chain(&mut self, ipv6: bool, name: &str) -> &mut Chain {
        self.chains.entry((ipv6, name.to_owned())).or_default()
    }

    fn frontends(&self) -> Vec<Frontend> {
        let mut frontends: BTreeMap<Address, Frontend> = BTreeMap::new();
        let mut drops = Vec::new();
        for Entry { address, r#type, target, service } in &self.entries {
            let frontend = frontends.entry(*address).or_insert_with(|| Frontend::new(*address));
            if !r#type.is_empty() {
                frontend.r#type = (*r#type).to_owned();
            }
            if let Some((namespace, name)) = service.split_once('/') {
                frontend.service = Some((namespace.to_owned(), name.to_owned()));
            }
            match target {
                Target::Chain(first) => {
                    let (endpoints, is_local) = self.endpoints(address.ip.is_ipv6(), first);
                    frontend.local |= is_local;
                    for at in endpoints {
                        let known = frontend.backends.iter().any(|backend| backend.at == at);
                        if !known {
                            let state = State::Unknown;
                            let backend = Backend { at, state, node: None, is_remote: false };
                            frontend.backends.push(backend);
                        }
                    }
                }
                Target::Drop => drops.push(*address),
                Target::Reject => {}
            }
        }
        for address in drops {
            if let Some(frontend) = frontends.get_mut(&address) {
                frontend.local |= frontend.backends.is_empty();
            }
        }
        frontends.into_values().collect()
    }

    /// Returns the endpoints that a chain and those behind it lead to, and whether a policy `Local`
    /// chose all of them. A chain for traffic from outside may have two parts: traffic that begins
    /// on the node goes to every endpoint.
    fn endpoints(&self, ipv6: bool, first: &str) -> (BTreeSet<SocketAddr>, bool) {
        let mut endpoints = BTreeSet::new();
        let mut seen = BTreeSet::from([first]);
        let mut left = vec![first];
        while let Some(name) = left.pop() {
            let Some(chain) = self.chains.get(&(ipv6, name.to_owned())) else { continue };
            endpoints.extend(&chain.endpoints);
            left.extend(chain.next.iter().map(String::as_str).filter(|next| seen.insert(next)));
        }
        let any = |prefixes: [&str; 2]| {
            seen.iter().any(|chain| prefixes.iter().any(|prefix| chain.starts_with(prefix)))
        };
        let is_local = any(["local-", "KUBE-SVL-"]) && !any(["service-", "KUBE-SVC-"]);
        (endpoints, is_local)
    }
}

/// The prefixes of the chains that kube-proxy makes for Services and endpoints in nftables.
const NFT_CHAINS: [&str; 4] = ["service-", "local-", "external-", "endpoint-"];

/// Reads the output of `nft -j list ...`.
pub(super) fn nft_json(document: &Value) -> Result<Vec<Frontend>, String> {
    let objects = document["nftables"].as_array().ok_or("`nftables` is not an array")?;
    let mut rules = Rules::default();
    for object in objects {
        let is_ours = |part: &Value| part["table"] == "kube-proxy";
        if let Some(rule) = object.get("rule").filter(|rule| is_ours(rule)) {
            let ipv6 = rule["family"] == "ip6";
            let chain = rules.chain(ipv6, rule["chain"].as_str().unwrap_or_default());
            nft_statement(&rule["expr"], chain);
        }
        let Some(map) = object.get("map").filter(|map| is_ours(map)) else { continue };
        let (name, ipv6) = (map["name"].as_str().unwrap_or_default(), map["family"] == "ip6");
        for pair in map["elem"].as_array().into_iter().flatten() {
            // An element with a comment is `{"elem": {"val": KEY, "comment": TEXT}}`.
            let (key, verdict) = (&pair[0], &pair[1]);
            let comment = key["elem"]["comment"].as_str().unwrap_or_default();
            let key = key.get("elem").map_or(key, |elem| &elem["val"]);
            let parts = key["concat"].as_array().into_iter().flatten();
            let key: Vec<String> = parts
                .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                .collect();
            let target = match verdict["goto"]["target"].as_str() {
                Some(chain) => chain,
                None if verdict.get("drop").is_some() => "drop",
                None => continue,
            };
            nft_entry(&mut rules, name, ipv6, &key, comment, target)?;
        }
    }
    Ok(rules.frontends())
}

/// Adds the chains and endpoints that a statement leads to.
fn nft_statement(part: &Value, chain: &mut Chain) {
    match part {
        Value::Array(parts) => parts.iter().for_each(|part| nft_statement(part, chain)),
        Value::Object(parts) => {
            if let Some(target) = part["goto"]["target"].as_str() {
                chain.next.push(target.to_owned());
            }
            if let Some(to) = parts.get("dnat") {
                // The address and port, or both as one concatenation.
                let pair = [&to["addr"]["concat"][0], &to["addr"]["concat"][1]];
                for [addr, port] in [[&to["addr"], &to["port"]], pair] {
                    let ip = addr.as_str().and_then(|addr| addr.parse().ok());
                    let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
                    if let Some((ip, port)) = ip.zip(port) {
                        chain.endpoints.push(SocketAddr::new(ip, port));
                    }
                }
            }
            parts.values().for_each(|part| nft_statement(part, chain));
        }
        _ => {}
    }
}

/// Adds an element of one of kube-proxy's maps; elements of others are left out.
fn nft_entry(
    rules: &mut Rules,
    map: &str,
    ipv6: bool,
    key: &[String],
    comment: &str,
    target: &str,
) -> Result<(), String> {
    let refuse = || format!("not an element of kube-proxy's map {map}: {}", key.join(" . "));
    let number = |port: &String| port.parse().map_err(|_| refuse());
    let address = match (map, key) {
        ("service-ips" | "no-endpoint-services", [ip, protocol, port]) => Address {
            ip: ip.parse().map_err(|_| refuse())?,
            port: number(port)?,
            protocol: Protocol::named(protocol),
        },
        ("service-nodeports" | "no-endpoint-nodeports", [protocol, port]) => {
            Address::any_of(ipv6, number(port)?, Protocol::named(protocol))
        }
        ("service-ips" | "no-endpoint-services", _)
        | ("service-nodeports" | "no-endpoint-nodeports", _) => return Err(refuse()),
        _ => return Ok(()),
    };
    // `service-ULMVA6XW-default/cart/tcp/http`, or `default/cart:http` in a comment.
    let named = match target.split_once('-') {
        Some((_, rest)) if NFT_CHAINS.iter().any(|prefix| target.starts_with(prefix)) => {
            rest.split_once('-').map_or("", |(_, service)| service)
        }
        _ => comment.split(':').next().unwrap_or_default(),
    };
    let service = named.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
    let r#type = match (map.ends_with("nodeports"), target.starts_with("external-")) {
        (true, _) => "NodePort",
        (false, true) => "External",
        (false, false) if map == "service-ips" => "ClusterIP",
        (false, false) => "",
    };
    let target = match target {
        "drop" => Target::Drop,
        chain if NFT_CHAINS.iter().any(|prefix| chain.starts_with(prefix)) => {
            Target::Chain(chain.to_owned())
        }
        _ => Target::Reject,
    };
    rules.entries.push(Entry { address, r#type, target, service });
    Ok(())
}

/// Reads the output of `nft list table ip kube-proxy`, or of several tables.
pub(super) fn nft_text(text: &str) -> Result<Vec<Frontend>, String> {
    let mut rules = Rules::default();
    let (mut ipv6, mut is_ours) = (false, false);
    // The map or chain that the lines belong to, and the elements of the map so far.
    let mut block: Option<(&str, &str)> = None;
    let mut elements = String::new();
    for line in text.lines() {
        // `nft -a` appends handles.
        let line = line.split(" # handle ").next().unwrap_or_default().trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["table", family, name, "{"] => {
                (ipv6, is_ours) = (family == "ip6", name == "kube-proxy")
            }
            _ if !is_ours => {}
            [kind @ ("map" | "chain" | "set"), name, "{"] => {
                block = Some((kind, name.trim_matches('"')));
                elements.clear();
            }
            ["}"] => {
                if let Some(("map", name)) = block.take() {
                    nft_elements(&mut rules, name, ipv6, &elements)?;
                }
            }
            _ => match block {
                Some(("map", _)) => {
                    let start = line.strip_prefix("elements = {").unwrap_or(line);
                    if !elements.is_empty() || start != line {
                        elements.push_str(start);
                        elements.push(' ');
                    }
                }
                Some(("chain", name)) => {
                    let chain = rules.chain(ipv6, name);
                    let words = || words.iter().map(|word| word.trim_matches([',', '"']));
                    let mut pairs = words().zip(words().skip(1));
                    chain.next.extend(
                        pairs
                            .clone()
                            .filter(|(word, _)| *word == "goto")
                            .map(|(_, target)| target.to_owned()),
                    );
                    let dnat = pairs.find(|(word, next)| (*word, *next) == ("dnat", "to"));
                    let to = dnat.and_then(|_| pairs.next()).map(|(_, at)| at);
                    chain.endpoints.extend(to.and_then(|at| at.parse::<SocketAddr>().ok()));
                }
                _ => {}
            },
        }
    }
    Ok(rules.frontends())
}

/// Reads the elements of a map, whose brace is open: `KEY comment "TEXT" : VERDICT, ... }`.
fn nft_elements(rules: &mut Rules, map: &str, ipv6: bool, text: &str) -> Result<(), String> {
    let text = text.trim_end().trim_end_matches('}');
    for element in text.split(',').map(str::trim).filter(|element| !element.is_empty()) {
        // Addresses of IPv6 and comments have colons, too.
        let (key, verdict) = element
            .rsplit_once(" : ")
            .ok_or_else(|| format!("not an element of kube-proxy's map {map}: {element}"))?;
        let (key, comment) = key.split_once(" comment ").unwrap_or((key, ""));
        let key: Vec<String> = key.split(" . ").map(|part| part.trim().to_owned()).collect();
        let target = verdict.trim().trim_start_matches("goto ").trim_matches('"');
        nft_entry(rules, map, ipv6, &key, comment.trim().trim_matches('"'), target)?;
    }
    Ok(())
}

/// The prefixes of the chains that kube-proxy makes for Services in iptables. KUBE-XLB- is from
/// before Kubernetes 1.24.
const IPTABLES_CHAINS: [&str; 5] = ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-XLB-"];

/// Reads the output of `iptables-save` and `ip6tables-save`.
pub(super) fn iptables(text: &str) -> Result<Vec<Frontend>, String> {
    let mut rules = Rules::default();
    let mut ipv6 = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("# Generated by ") {
            ipv6 = line.contains("ip6tables");
        }
        let Some(rule) = line.strip_prefix("-A ") else { continue };
        let words = words(rule);
        let chain = words.first().map_or("", String::as_str);
        let option = |name: &str| {
            let at = words.iter().position(|word| word == name)?;
            // `! -s 10.0.0.0/8` is a condition on others.
            (at == 0 || words[at - 1] != "!").then(|| words.get(at + 1)).flatten()
        };
        let target = option("-j").or_else(|| option("-g")).map_or("", String::as_str);
        let is_service = IPTABLES_CHAINS.iter().any(|prefix| target.starts_with(prefix));
        match chain {
            "KUBE-SERVICES" | "KUBE-EXTERNAL-SERVICES" | "KUBE-NODEPORTS" => {
                let Some(port) = option("--dport").and_then(|port| port.parse().ok()) else {
                    continue;
                };
                let target = match target {
                    "REJECT" => Target::Reject,
                    "DROP" => Target::Drop,
                    target if is_service => Target::Chain(target.to_owned()),
                    _ => continue,
                };
                let protocol = option("-p").and_then(|name| Protocol::named(name));
                let comment = option("--comment").map_or("", String::as_str);
                let to = option("-d").and_then(|to| to.split('/').next()?.parse::<IpAddr>().ok());
                // A node port on loopback has a rule of its own.
                let to = to.filter(|_| chain != "KUBE-NODEPORTS");
                let r#type = match to {
                    None => "NodePort",
                    Some(_) if comment.ends_with(" cluster IP") => "ClusterIP",
                    Some(_) if comment.contains(" IP") => "External",
                    Some(_) => "",
                };
                let address = match to {
                    Some(ip) => Address { ip, port, protocol },
                    None => Address::any_of(ipv6, port, protocol),
                };
                let service = comment.split([':', ' ']).next().unwrap_or_default().to_owned();
                rules.entries.push(Entry { address, r#type, target, service });
            }
            _ if chain.starts_with("KUBE-SEP-") => {
                let to = option("--to-destination").and_then(|to| to.parse().ok());
                let ipv6 = to.map_or(ipv6, |to: SocketAddr| to.is_ipv6());
                rules.chain(ipv6, chain).endpoints.extend(to);
            }
            _ if IPTABLES_CHAINS.iter().any(|prefix| chain.starts_with(prefix))
                && (is_service || target.starts_with("KUBE-SEP-")) =>
            {
                rules.chain(ipv6, chain).next.push(target.to_owned());
            }
            _ => {}
        }
    }
    Ok(rules.frontends())
}

/// Splits a rule into words; a quoted comment is one.
fn words(rule: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in rule.split('"').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

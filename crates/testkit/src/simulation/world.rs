//! Changes in the cluster: Services are annotated, slices written, nodes moved. Everything is
//! small, so that things meet often.

use std::rc::Rc;

use super::object::{
    Body, Conditions, DISCARD, Endpoint, KEYS as KEYS_ANNOTATION, Kind, LISTEN, Manager, Metadata,
    Port, SERVICE_LABEL, Slice, TRIGGER, Target,
};
use super::rng::Rng;
use super::server::Server;

pub const NODES: [&str; 8] = ["hz-1", "hz-2", "hz-3", "sh-1", "sh-2", "bj-1", "bj-2", "cloud"];
const POOLS: [&str; 3] = ["hz", "sh", "bj"];
pub const NAMESPACES: [&str; 2] = ["shop", "iot"];
const SERVICES: [&str; 3] = ["web", "db", "api"];
const SLICES: usize = 4;

const KEYS: [Option<&str>; 20] = [
    Some("openyurt.io/nodepool"),
    Some("openyurt.io/nodepool"),
    Some("openyurt.io/nodepool"),
    Some("kubernetes.io/hostname"),
    Some("kubernetes.io/hostname"),
    Some("kubernetes.io/zone"),
    Some("nonsense"),
    Some("*"),
    Some(""),
    None,
    None,
    None,
    Some("kubernetes.io/hostname,openyurt.io/nodepool,*"),
    Some("kubernetes.io/hostname,openyurt.io/nodepool"),
    Some("openyurt.io/nodepool,*"),
    Some("kubernetes.io/hostname,*"),
    Some("openyurt.io/nodepool,kubernetes.io/hostname"),
    Some("nonsense,kubernetes.io/zone,*"),
    Some("openyurt.io/nodepool,nonsense"),
    Some("nonsense,more"),
];

/// The state at the start.
pub fn populate(server: &mut Server, rng: &mut Rng) {
    for node in NODES {
        let pool = POOLS.into_iter().find(|pool| node.starts_with(pool)).map(str::to_owned);
        server.put(Kind::Node, node, Body::Node(pool));
    }
    for pool in POOLS {
        let nodes =
            NODES.into_iter().filter(|node| node.starts_with(pool)).map(str::to_owned).collect();
        server.put(Kind::Pool, pool, Body::Pool(Some(nodes)));
    }
    for namespace in NAMESPACES {
        for service in SERVICES {
            let key = format!("{namespace}/{service}");
            server.put(Kind::Service, &key, a_service(&key, rng));
            for at in 0..SLICES {
                if !rng.one_in(3) {
                    write_slice(server, rng, namespace, &format!("{service}-{at}"));
                }
            }
        }
    }
}

/// One thing happens. `facts`: it may be one that changes what the cluster must know.
pub fn act(server: &mut Server, rng: &mut Rng, facts: bool) -> String {
    let before = server.rv;
    let what = match rng.below(if facts { 100 } else { 62 }) {
        0..=61 => slice(server, rng),
        62..=76 => service(server, rng),
        77..=78 => flap(server, rng),
        79..=85 => move_node(server, rng),
        86..=96 => pool(server, rng),
        _ => node(server, rng),
    };
    match server.rv == before {
        true => format!("{what}: nothing new"),
        false => format!("{what} @{}", server.rv),
    }
}

/// A Service asks for something else for a while, and meanwhile its slices change.
fn flap(server: &mut Server, rng: &mut Rng) -> String {
    let (namespace, name) = (*rng.of(&NAMESPACES), *rng.of(&SERVICES));
    let key = format!("{namespace}/{name}");
    let Some(before) = server.get(Kind::Service, &key).map(|object| object.body.clone()) else {
        return format!("there is no service {key} to flap");
    };
    let meanwhile = a_service(&key, rng);
    server.put(Kind::Service, &key, meanwhile);
    for at in 0..SLICES {
        let conditions = conditions(rng);
        change_slice(server, &format!("{namespace}/{name}-{at}"), |slice, grows| {
            slice
                .endpoints
                .iter_mut()
                .take(1)
                .for_each(|endpoint| endpoint.conditions = conditions.clone());
            *grows = true;
        });
    }
    server.put(Kind::Service, &key, before);
    format!("service {key} flaps")
}

/// One of the facts changes.
pub fn change_facts(server: &mut Server, rng: &mut Rng) -> String {
    match rng.below(5) {
        0 | 1 => service(server, rng),
        2 => move_node(server, rng),
        3 => pool(server, rng),
        _ => node(server, rng),
    }
}

/// An object goes.
pub fn delete(server: &mut Server, rng: &mut Rng) -> String {
    let kind = *rng.of(&[Kind::Slice, Kind::Service, Kind::Node, Kind::Pool]);
    let keys: Vec<String> = server.objects(kind).keys().cloned().collect();
    if keys.is_empty() {
        return format!("there is no {} to delete", kind.name());
    }
    let key = rng.of(&keys);
    server.delete(kind, key);
    format!("{} {key} deleted", kind.name())
}

/// An object of that kind and selection is written, so that its watches say something.
pub fn nudge(server: &mut Server, rng: &mut Rng, kind: Kind, namespace: Option<&str>) {
    let namespace = namespace.unwrap_or(NAMESPACES[0]);
    if kind == Kind::Service {
        // Twice: what is ADDED ends no initial events.
        for _ in 0..2 {
            let annotations = [("nudged".to_owned(), server.rv.to_string())].into();
            let service = Slice::of_service(namespace, "nudge", "ClusterIP", annotations);
            server.put(
                Kind::Service,
                &format!("{namespace}/nudge"),
                Body::Service(Rc::new(service)),
            );
        }
        return;
    }
    let name = "web-0";
    let key = format!("{namespace}/{name}");
    if server.get(Kind::Slice, &key).is_none() {
        write_slice(server, rng, namespace, name);
    }
    change_slice(server, &key, |slice, _| slice.metadata.generation += 1);
}

fn keys(rng: &mut Rng) -> Option<String> {
    rng.of(&KEYS).map(str::to_owned)
}

fn service(server: &mut Server, rng: &mut Rng) -> String {
    let key = format!("{}/{}", rng.of(&NAMESPACES), rng.of(&SERVICES));
    if server.get(Kind::Service, &key).is_some() && rng.one_in(5) {
        server.delete(Kind::Service, &key);
        return format!("service {key} deleted");
    }
    let service = a_service(&key, rng);
    let what = format!("service {key} is {service:?}");
    server.put(Kind::Service, &key, service);
    what
}

/// A Service of some type, with topology keys and pools to listen for.
fn a_service(key: &str, rng: &mut Rng) -> Body {
    let (namespace, name) = key.split_once('/').expect("a namespace");
    let r#type = *rng.of(&["ClusterIP", "NodePort", "NodePort", "LoadBalancer"]);
    let listen = (*rng.of(&[
        None,
        Some("hz"),
        Some("sh"),
        Some("-hz,*"),
        Some("*"),
        Some("bj,sh"),
        Some(""),
        Some("-sh,hz"),
    ]))
    .map(str::to_owned);
    let discard = (*rng.of(&[None, None, Some("true"), Some("false")])).map(str::to_owned);
    let annotations = [(KEYS_ANNOTATION, keys(rng)), (LISTEN, listen), (DISCARD, discard)];
    let annotations =
        annotations.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    Body::Service(Rc::new(Slice::of_service(namespace, name, r#type, annotations)))
}

fn move_node(server: &mut Server, rng: &mut Rng) -> String {
    let node = *rng.of(&NODES);
    let pool = match rng.below(6) {
        0 => None,
        1 => Some((*rng.of(&["", "ghost"])).to_owned()),
        _ => Some((*rng.of(&POOLS)).to_owned()),
    };
    server.put(Kind::Node, node, Body::Node(pool.clone()));
    format!("node {node} labelled {pool:?}")
}

fn node(server: &mut Server, rng: &mut Rng) -> String {
    let node = *rng.of(&NODES);
    server.delete(Kind::Node, node);
    format!("node {node} deleted")
}

fn pool(server: &mut Server, rng: &mut Rng) -> String {
    let pool = *rng.of(&POOLS);
    let Some(object) = server.get(Kind::Pool, pool) else {
        let nodes = NODES.into_iter().filter(|_| rng.one_in(3)).map(str::to_owned).collect();
        server.put(Kind::Pool, pool, Body::Pool(Some(nodes)));
        return format!("pool {pool} made");
    };
    let Body::Pool(nodes) = &object.body else { unreachable!("a pool") };
    let mut nodes = nodes.clone().unwrap_or_default();
    match rng.below(8) {
        0 => {
            server.delete(Kind::Pool, pool);
            return format!("pool {pool} deleted");
        }
        1 => {
            let labelled = |node: &&str| {
                server
                    .get(Kind::Node, node)
                    .is_some_and(|object| object.body == Body::Node(Some(pool.to_owned())))
            };
            nodes = NODES.into_iter().filter(labelled).map(str::to_owned).collect();
        }
        2 => {
            server.put(Kind::Pool, pool, Body::Pool(None));
            return format!("pool {pool} has no status");
        }
        _ => {
            let node = (*rng.of(&NODES)).to_owned();
            match nodes.iter().position(|other| *other == node) {
                Some(at) => drop(nodes.remove(at)),
                None => nodes.push(node),
            }
        }
    }
    let what = format!("pool {pool} has {nodes:?}");
    server.put(Kind::Pool, pool, Body::Pool(Some(nodes)));
    what
}

fn slice(server: &mut Server, rng: &mut Rng) -> String {
    let (namespace, name) =
        (*rng.of(&NAMESPACES), format!("{}-{}", rng.of(&SERVICES), rng.below(SLICES)));
    let key = format!("{namespace}/{name}");
    if server.get(Kind::Slice, &key).is_none() {
        if rng.one_in(2) {
            write_slice(server, rng, namespace, &name);
        }
        return format!("slice {key} made");
    }
    let what = match rng.below(20) {
        0 | 1 => {
            server.delete(Kind::Slice, &key);
            "deleted"
        }
        2 => {
            server.delete(Kind::Slice, &key);
            write_slice(server, rng, namespace, &name);
            "made anew"
        }
        3 => {
            change_slice(server, &key, |slice, _| slice.endpoints.clear());
            "emptied"
        }
        4 => {
            let service =
                [Some("web"), Some("db"), Some("api"), Some("nobody"), None][rng.below(5)];
            change_slice(server, &key, |slice, _| match service {
                Some(service) => {
                    drop(slice.metadata.labels.insert(SERVICE_LABEL.to_owned(), service.to_owned()))
                }
                None => drop(slice.metadata.labels.remove(SERVICE_LABEL)),
            });
            "given to another service"
        }
        5 => {
            let team = rng.below(4).to_string();
            change_slice(server, &key, |slice, _| {
                drop(slice.metadata.labels.insert("team".to_owned(), team))
            });
            "labelled"
        }
        6..=9 => {
            let (number, managers) = (rng.below(60), rng.below(3));
            let which = rng.below(3);
            change_slice(server, &key, |slice, _| match which {
                0 => slice.metadata.generation += 1,
                1 => slice.metadata.managed_fields = (0..managers).map(manager).collect(),
                _ => drop(
                    slice
                        .metadata
                        .annotations
                        .insert(TRIGGER.to_owned(), format!("2026-11-23T09:00:{number:02}Z")),
                ),
            });
            "touched"
        }
        10..=13 => {
            let (at, conditions) = (rng.below(6), conditions(rng));
            change_slice(server, &key, |slice, grows| {
                let count = slice.endpoints.len().max(1);
                if let Some(endpoint) = slice.endpoints.get_mut(at % count) {
                    endpoint.conditions = conditions;
                }
                *grows = true;
            });
            "has other conditions"
        }
        14..=16 => {
            let (at, more) = (rng.below(6), endpoint(rng));
            change_slice(server, &key, |slice, grows| {
                match slice.endpoints.len() > at {
                    true => drop(slice.endpoints.remove(at)),
                    false => slice.endpoints.push(more),
                }
                *grows = true;
            });
            "has an endpoint more or less"
        }
        _ => {
            let endpoints: Vec<_> = (0..rng.below(7)).map(|_| endpoint(rng)).collect();
            change_slice(server, &key, |slice, grows| {
                slice.endpoints = endpoints;
                *grows = true;
            });
            "has other endpoints"
        }
    };
    format!("slice {key} {what}")
}

/// Changes a slice that exists; `true` in the second place: its generation rises.
fn change_slice(server: &mut Server, key: &str, change: impl FnOnce(&mut Slice, &mut bool)) {
    let Some(object) = server.get(Kind::Slice, key) else { return };
    let Body::Slice(slice) = &object.body else { return };
    let mut changed = Slice::clone(slice);
    let mut grows = false;
    change(&mut changed, &mut grows);
    if changed != **slice {
        changed.metadata.generation += i64::from(grows);
        server.put(Kind::Slice, key, Body::Slice(Rc::new(changed)));
    }
}

fn write_slice(server: &mut Server, rng: &mut Rng, namespace: &str, name: &str) {
    let service = name.rsplit_once('-').map_or(name, |(service, _)| service);
    let mut metadata = Metadata::new(namespace, name, server.uid());
    metadata.labels.insert(SERVICE_LABEL.to_owned(), service.to_owned());
    metadata.labels.insert(
        "endpointslice.kubernetes.io/managed-by".to_owned(),
        "endpointslice-controller.k8s.io".to_owned(),
    );
    metadata.managed_fields = (0..rng.below(3)).map(manager).collect();
    if rng.one_in(3) {
        metadata.annotations.insert(TRIGGER.to_owned(), "2026-11-23T08:59:59Z".to_owned());
    }
    let slice = Slice {
        kind: None,
        api_version: None,
        metadata,
        address_type: (*rng.of(&["IPv4", "IPv4", "IPv6"])).to_owned(),
        endpoints: (0..rng.below(7)).map(|_| endpoint(rng)).collect(),
        ports: vec![Port { name: "http".to_owned(), protocol: "TCP".to_owned(), port: 8080 }],
    };
    server.put(Kind::Slice, &format!("{namespace}/{name}"), Body::Slice(Rc::new(slice)));
}

fn manager(at: usize) -> Manager {
    Manager { manager: format!("controller-{at}"), operation: "Update".to_owned() }
}

fn conditions(rng: &mut Rng) -> Conditions {
    let (ready, serving, terminating) = match rng.below(8) {
        0..=2 => (Some(true), Some(true), Some(false)),
        3 => (None, None, None),
        4 => (Some(false), Some(true), Some(true)),
        5 => (Some(false), None, Some(true)),
        6 => (Some(false), Some(false), Some(rng.one_in(2))),
        _ => (Some(false), None, None),
    };
    Conditions { ready, serving, terminating }
}

fn endpoint(rng: &mut Rng) -> Endpoint {
    let number = rng.below(250);
    let node_name = match rng.below(14) {
        0 => None,
        1 => Some("stranger".to_owned()),
        _ => Some((*rng.of(&NODES)).to_owned()),
    };
    Endpoint {
        addresses: vec![format!("10.0.0.{number}")],
        conditions: conditions(rng),
        target_ref: (!rng.one_in(4)).then(|| Target {
            kind: "Pod".to_owned(),
            namespace: "shop".to_owned(),
            name: format!("pod-{number}"),
        }),
        zone: rng.one_in(2).then(|| "cn-hangzhou-edge".to_owned()),
        node_name,
    }
}

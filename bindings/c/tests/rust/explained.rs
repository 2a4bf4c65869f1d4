//! Explanations of a cluster, a node and an inventory through C: the JSON is what serde makes of
//! the Rust values.

use std::ffi::CStr;

use poolscope::{Error, ErrorKind, FactKind, RequestHead, ResponseHead, explain};
use poolscope_capi::{poolscope_status, poolscope_version, poolscope_version_number};
use serde_json::{Value, json};

use super::both::{Cluster, Node, same};
use super::c;
use poolscope_testkit::{NODES, Recording};

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_version_is_the_crates() {
    // SAFETY: it is NUL-terminated and valid for ever.
    let version = unsafe { CStr::from_ptr(poolscope_version()) };
    assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
    let numbers = env!("CARGO_PKG_VERSION").split('.').map(|number| number.parse::<u32>().unwrap());
    let number = numbers.fold(0, |number, next| number << 8 | next);
    assert_eq!(poolscope_version_number(), number);
}

#[test]
fn the_numbers_of_statuses_and_decisions_never_change() {
    use poolscope_capi::poolscope_action::*;
    use poolscope_capi::poolscope_cause::*;
    use poolscope_status::*;
    let statuses = [
        POOLSCOPE_OK,
        POOLSCOPE_ERR_INVALID_ARGUMENT,
        POOLSCOPE_ERR_BUSY,
        POOLSCOPE_ERR_PANIC,
        POOLSCOPE_ERR_MALFORMED,
        POOLSCOPE_ERR_TRUNCATED,
        POOLSCOPE_ERR_TOO_LARGE,
        POOLSCOPE_ERR_TOO_DEEP,
        POOLSCOPE_ERR_TOO_MANY,
        POOLSCOPE_ERR_UNDECODABLE,
        POOLSCOPE_ERR_CONTENT_ENCODING,
        POOLSCOPE_ERR_CONTENT_TYPE,
        POOLSCOPE_ERR_HTTP_STATUS,
        POOLSCOPE_ERR_NOT_A_FACT,
        POOLSCOPE_ERR_CONFIG,
        POOLSCOPE_ERR_CLOSED,
    ];
    assert_eq!(
        statuses.map(|status| status as i32),
        [0, 1, 2, 3, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 30, 31]
    );
    let actions = [POOLSCOPE_ACTION_REPLY, POOLSCOPE_ACTION_FORWARD, POOLSCOPE_ACTION_REWRITE];
    assert_eq!(actions.map(|action| action as i32), [0, 1, 2]);
    let causes = [
        POOLSCOPE_CAUSE_OTHER,
        POOLSCOPE_CAUSE_MISSING_FACTS,
        POOLSCOPE_CAUSE_UNKNOWN_RESOURCE_VERSION,
    ];
    assert_eq!(causes.map(|cause| cause as i32), [0, 1, 2]);
}

#[test]
fn a_prepared_request_has_the_headers_that_rust_leaves() {
    let cluster = Cluster::new("{}").unwrap();
    let node = cluster.node("hz-edge-1");
    let slices = || RequestHead::get("/apis/discovery.k8s.io/v1/endpointslices?watch=true");
    let mut requests: Vec<RequestHead> =
        Recording::all().into_iter().map(|recording| recording.request).collect();
    requests.extend([
        slices(),
        slices()
            .header(
                "ACCEPT",
                "application/cbor;q=1,application/json;as=Table;v=v1,application/json",
            )
            .header("X", ""),
        slices()
            .header("accept", "application/yaml")
            .header("Accept-Encoding", "gzip, br")
            .header("Authorization", "Bearer é"),
        slices()
            .header("Range", "bytes=0-9")
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("", "no name"),
        RequestHead::new("PUT", "/api/v1/namespaces/shop/endpoints/web")
            .header("Accept-Encoding", "gzip"),
        RequestHead::get("/api/v1/pods").header("Accept", "application/yaml"),
    ]);
    let (mut changed, mut same) = (0, 0);
    for request in requests {
        let prepared = node.rust.prepare(request.clone());
        let headers = node.c.prepare(&c::RequestHead::of(&request)).unwrap();
        assert_eq!(headers.read(), prepared.headers);
        *(if prepared == request { &mut same } else { &mut changed }) += 1;
        // Twice is once.
        let c = c::RequestHead::of(&prepared);
        assert_eq!(node.c.prepare(&c).unwrap().read(), prepared.headers);
        // It is still the same request.
        let (rust, c) = (
            cluster.rust.read_facts(&prepared, &ResponseHead::new(404)),
            cluster.c.read_facts(&c, &c::ResponseHead::new(404)),
        );
        assert!(super::both::same(rust, c).is_err());
    }
    assert!(changed > 100 && same > 2, "{changed}, {same}");
}

fn sorted(list: &str) -> Vec<String> {
    let mut items: Vec<String> =
        value(list).as_array().unwrap().iter().map(Value::to_string).collect();
    items.sort_unstable();
    items
}

#[test]
fn changes_are_told_since_every_generation() {
    let cluster = Cluster::of("{}", "list");
    for name in ["watch/services-json.json", "watch/nodes-proto.pb", "watch/nodepools-json.json"] {
        cluster.learn(&Recording::load(name));
    }
    let last = cluster.generation();
    assert!(last > 10);
    for generation in (0..=last + 1).chain([u64::MAX]) {
        let expected =
            serde_json::to_string(&cluster.rust.changes_since(generation).unwrap()).unwrap();
        // Changes of one generation have no order.
        assert_eq!(sorted(&cluster.c.changes_since(generation)), sorted(&expected));
    }
    let all = cluster.c.changes_since(0);
    for form in
        [r#"{"service":"shop/frontend"}"#, r#"{"node":"hz-edge-9"}"#, r#"{"pool":"hangzhou"}"#]
    {
        assert!(all.contains(form), "{form} is not in {all}");
    }
    assert!(all.contains(r#"{"member":{"node":"sh-edge-4","pool":"shanghai"}}"#), "{all}");
    assert_eq!(cluster.c.changes_since(last), "[]");
    let names = Recording::load("list/services-json.json");
    let watch =
        RequestHead::get(format!("{}?watch=true&resourceVersion=300", names.request.target));
    let mut feed = cluster.read_facts(&watch, &names.head).unwrap();
    for (name, version) in [("first", 90_000), ("second", 90_001)] {
        let metadata =
            json!({"namespace": "shop", "name": name, "resourceVersion": version.to_string()});
        feed.push(
            json!({"type": "ADDED", "object": {"metadata": metadata}}).to_string().as_bytes(),
        )
        .unwrap();
    }
    assert_eq!(
        cluster.c.changes_since(last),
        r#"[{"service":"shop/first"},{"service":"shop/second"}]"#,
        "oldest first"
    );
    assert_eq!(cluster.c.changes_since(last + 1), r#"[{"service":"shop/second"}]"#);
}

#[test]
fn changes_of_long_ago_are_null() {
    let cluster = Cluster::new("{}").unwrap();
    let services = |count: usize| {
        let items: Vec<Value> = (0..count)
            .map(|at| json!({"metadata": {"namespace": "shop", "name": format!("s{at}")}}))
            .collect();
        json!({"metadata": {"resourceVersion": count.to_string()}, "items": items}).to_string()
    };
    for count in [1, 5000] {
        let mut feed = cluster
            .read_facts(
                &RequestHead::get("/api/v1/services"),
                &ResponseHead::ok("application/json"),
            )
            .unwrap();
        feed.push(services(count).as_bytes()).unwrap();
        feed.finish().unwrap();
    }
    assert_eq!(cluster.rust.changes_since(0), None);
    assert_eq!(cluster.c.changes_since(0), "null");
}

#[test]
fn counters_have_the_names_of_rust_in_its_order() {
    let cluster = Cluster::of("{}", "list");
    let mut stream = {
        let list = Recording::load("list/endpointslices-json.json");
        let mut stream = cluster.node("hz-edge-1").rewrite(&list.request, &list.head);
        stream.push(&list.body).0.unwrap();
        stream
    };
    stream.finish().0.unwrap();
    let counters = cluster.rust.counters();
    let pairs = counters.iter().map(|(name, count)| format!("{}:{count}", json!(name)));
    assert_eq!(cluster.c.counters(), format!("{{{}}}", pairs.collect::<Vec<_>>().join(",")));
    assert_eq!(value(&cluster.c.counters())["objects"], 43);
}

/// Describes a node by the Rust API.
fn described(node: &Node) -> Value {
    let rust = &node.rust;
    json!({
        "name": rust.name(),
        "known": rust.is_known(),
        "pool": rust.pool(),
        "rewrites": rust.rewrites(),
        "missing": rust.missing(),
    })
}

#[test]
fn a_node_is_described_while_it_becomes_known() {
    let cluster = Cluster::new("{}").unwrap();
    let nodes = NODES.map(|name| cluster.node(name));
    let mut ready = Vec::new();
    for name in ["services-cilium-selector", "nodes-one-by-field", "services", "nodes", "nodepools"]
    {
        cluster.learn(&Recording::load(&format!("list/{name}-json.json")));
        for node in &nodes {
            assert_eq!(value(&node.c.describe()), described(node));
            assert_eq!(node.c.is_ready(), node.rust.missing().is_empty());
        }
        ready.push(nodes.iter().filter(|node| node.c.is_ready()).count());
    }
    assert_eq!(ready, [0, 0, 0, 0, NODES.len()]);
    let known = r#"{"known":true,"missing":[],"name":"hz-edge-1","pool":"hangzhou","rewrites":["serviceTopology"]}"#;
    assert_eq!(value(&nodes[0].c.describe()), value(known));
    let unknown = r#"{"known":false,"missing":[],"name":"nobody","pool":null,"rewrites":["serviceTopology"]}"#;
    assert_eq!(value(&nodes[14].c.describe()), value(unknown));
}

#[test]
fn names_may_be_any_text() {
    let cluster = Cluster::new("{}").unwrap();
    for name in ["", "nöde-節", "a\"b\\c", "line\nbreak", "nul\0inside"] {
        let node = cluster.node(name);
        assert_eq!(value(&node.c.describe()), described(&node));
    }
}

#[test]
fn endpoints_are_judged_by_what_is_known() {
    let known = Cluster::of("{}", "list");
    let clusters = [
        Cluster::new("{}").unwrap(),
        known,
        Cluster::of(r#"{"rewrites":{"serviceTopology":false}}"#, "list"),
    ];
    let services: Value =
        serde_json::from_slice(&Recording::load("list/services-json.json").body).unwrap();
    let services = services["items"].as_array().unwrap().iter().map(|item| &item["metadata"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut services: Vec<(String, String)> =
        services.map(|metadata| (text(&metadata["namespace"]), text(&metadata["name"]))).collect();
    services.extend(
        [("shop", "no such"), ("", "cart"), ("shop", "")]
            .map(|(namespace, name)| (namespace.to_owned(), name.to_owned())),
    );
    let mut reasons = std::collections::BTreeSet::new();
    for cluster in &clusters {
        for node in NODES.iter().step_by(4).map(|name| cluster.node(name)) {
            for (namespace, service) in &services {
                for on in NODES.into_iter().step_by(3).chain([""]) {
                    let named = |name| Some(name).filter(|name: &&str| !name.is_empty());
                    let reason = node.rust.judge(namespace, named(service), named(on));
                    let topology = named(service)
                        .and_then(|service| node.rust.topology_of(namespace, service));
                    let pools = named(on).map(|on| node.rust.pools_of(on)).unwrap_or_default();
                    let expected = json!({
                        "kept": reason.keeps(),
                        "reason": reason.name(),
                        "rule": reason.rule(),
                        "topology": topology,
                        "pools": pools,
                    });
                    assert_eq!(value(&node.c.judge(namespace, service, on).unwrap()), expected);
                    reasons.insert(reason.name());
                }
            }
        }
    }
    assert!(reasons.len() >= 9, "{reasons:?}");
}

/// An inventory behind Rust and behind C.
struct Inventory {
    rust: explain::Inventory,
    c: c::Inventory,
}

impl Inventory {
    fn load(&mut self, body: &[u8]) -> Result<usize, Error> {
        let (rust, c) = same(self.rust.load(body), self.c.load(body))?;
        assert_eq!(rust, c);
        Ok(rust)
    }

    fn check(&self, node: &Node) -> usize {
        let services = self.rust.view(&node.rust);
        assert_eq!(self.c.view(&node.c), serde_json::to_string(&services).unwrap());
        let named = services.iter().map(|service| (&*service.namespace, &*service.name));
        for (namespace, name) in named.chain([("shop", "no such"), ("", ""), ("shop", "")]) {
            let expected =
                serde_json::to_string(&self.rust.find(&node.rust, namespace, name)).unwrap();
            assert_eq!(self.c.find(&node.c, namespace, name), Ok(expected));
        }
        services.len()
    }
}

#[test]
fn an_inventory_says_what_rusts_says() {
    let cluster = Cluster::of("{}", "list");
    let nodes = NODES.map(|name| cluster.node(name));
    let mut inventory = Inventory { rust: explain::Inventory::new(), c: c::Inventory::new() };
    assert_eq!(inventory.check(&nodes[0]), 0);
    assert_eq!(inventory.c.view(&nodes[0].c), "[]");
    assert_eq!(inventory.c.find(&nodes[0].c, "shop", "cart").unwrap(), "null");
    let mut loaded = 0;
    for name in [
        "list/endpoints-proto.pb",
        "list/services-json.json",
        "list/endpointslices-proto.pb",
        "get/service-json.json",
    ] {
        loaded += inventory.load(&Recording::load(name).body).unwrap();
        for node in &nodes {
            inventory.check(node);
        }
    }
    assert!(loaded > 60 && inventory.check(&nodes[0]) > 20, "{loaded}");
    assert_eq!(
        inventory.load(&Recording::load("list/configmaps-json.json").body),
        Ok(0),
        "of no kind that matters"
    );
    // Facts change, and with them what is seen.
    let before = inventory.c.view(&nodes[0].c);
    cluster.learn(&Recording::load("watch/services-json.json"));
    cluster.learn(&Recording::load("watch/nodepools-json.json"));
    inventory.check(&nodes[0]);
    assert_ne!(inventory.c.view(&nodes[0].c), before);
}

#[test]
fn an_inventory_refuses_what_rusts_refuses() {
    let cluster = Cluster::of("{}", "list");
    let node = cluster.node("hz-edge-1");
    let mut inventory = Inventory { rust: explain::Inventory::new(), c: c::Inventory::new() };
    let list = Recording::load("list/services-json.json");
    inventory.load(&list.body).unwrap();
    let before = inventory.c.view(&node.c);
    let undecodable =
        br#"{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"name":"a","namespace":"b"},"endpoints":5}"#;
    assert!(inventory.load(undecodable).is_err_and(|error| error.kind() == ErrorKind::Undecodable));
    for malformed in [&b""[..], b"{}", b"{\n\"kind\": x", b"k8s\0\xff", &list.body[..100]] {
        assert!(inventory.load(malformed).is_err_and(|error| error.kind() == ErrorKind::Malformed));
    }
    inventory.check(&node);
    assert_eq!(inventory.c.view(&node.c), before, "what is refused changes nothing");
}

#[test]
fn a_forgotten_source_is_missing_until_the_next_list() {
    for (kind, config, file) in [
        (FactKind::Service, "{}", "services"),
        (FactKind::Node, r#"{"membership":{"nodeLabel":"apps.openyurt.io/nodepool"}}"#, "nodes"),
        (
            FactKind::CiliumNode,
            r#"{"membership":{"ciliumNodeLabel":"apps.openyurt.io/nodepool"}}"#,
            "ciliumnodes",
        ),
        (FactKind::NodePool, "{}", "nodepools"),
        (FactKind::NodeBucket, r#"{"membership":"nodeBucket"}"#, "nodebuckets"),
    ] {
        let cluster = Cluster::of(config, "list");
        let node = cluster.node("hz-edge-1");
        assert!(node.c.is_ready());
        cluster.rust.invalidate_source(kind);
        cluster.c.invalidate_source(kind.kind()).unwrap();
        assert!(!node.c.is_ready(), "{kind}");
        assert_eq!(value(&node.c.describe()), described(&node));
        assert_eq!(value(&node.c.describe())["missing"][0]["kind"], kind.kind());
        cluster.learn(&Recording::load(&format!("list/{file}-json.json")));
        assert!(node.c.is_ready(), "{kind}");
    }
    let cluster = Cluster::of("{}", "list");
    for kind in ["", "service", "services", "Pod", "NodePool "] {
        let failed = cluster.c.invalidate_source(kind).unwrap_err();
        assert_eq!(failed.status, poolscope_status::POOLSCOPE_ERR_INVALID_ARGUMENT);
        assert!(failed.message.contains("`kind`"), "{failed:?}");
    }
    assert!(cluster.node("hz-edge-1").c.is_ready());
}

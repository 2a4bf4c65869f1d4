//! Which responses are sources of facts, and how long facts are kept.

use poolscope::{
    Action, Change, Cluster, Config, Error, ErrorKind, FactKind, MissingFactPolicy, NodeView,
    RequestHead, ResponseHead,
};
use poolscope_testkit::oracle::{Body, State};
use poolscope_testkit::{DATA, Failed, Recording, random_chunks, run};
use serde_json::{Value, json};

const JSON: &str = "application/json";
const SERVICES: &str = "/api/v1/services";
const NODES: &str = "/api/v1/nodes";
const POOLS: &str = "/apis/apps.openyurt.io/v1beta2/nodepools";

fn service(name: &str, version: u64, keys: Option<&str>) -> Value {
    let annotations = keys.map(|keys| json!({ "openyurt.io/topologyKeys": keys }));
    json!({
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "resourceVersion": version.to_string(),
            "annotations": annotations,
        },
    })
}

fn node(name: &str, version: u64, pool: &str) -> Value {
    json!({
        "metadata": {
            "name": name,
            "resourceVersion": version.to_string(),
            "labels": {"apps.openyurt.io/nodepool": pool},
        },
    })
}

fn pool(name: &str, version: u64, nodes: &[&str]) -> Value {
    json!({
        "kind": "NodePool",
        "metadata": {"name": name, "resourceVersion": version.to_string()},
        "status": {"nodes": nodes},
    })
}

fn list(kind: &str, version: u64, items: &[Value]) -> String {
    json!({
        "kind": format!("{kind}List"),
        "metadata": {"resourceVersion": version.to_string()},
        "items": items,
    })
    .to_string()
}

fn events(events: &[(&str, Value)]) -> String {
    events
        .iter()
        .map(|(r#type, object)| json!({"type": r#type, "object": object}).to_string() + "\n")
        .collect()
}

fn bookmark(kind: &str, version: u64, ends_initial: bool) -> (&'static str, Value) {
    let annotations = ends_initial.then(|| json!({"k8s.io/initial-events-end": "true"}));
    (
        "BOOKMARK",
        json!({
            "kind": kind,
            "metadata": {"resourceVersion": version.to_string(), "annotations": annotations},
        }),
    )
}

fn feed(cluster: &Cluster, target: &str, body: &str) {
    let mut feed = cluster.read_facts(&RequestHead::get(target), &ResponseHead::ok(JSON)).unwrap();
    for chunk in body.as_bytes().chunks(33) {
        feed.push(chunk).unwrap();
    }
    feed.finish().unwrap();
}

const POOL: Option<&str> = Some("openyurt.io/nodepool");
const HOST: Option<&str> = Some("kubernetes.io/hostname");

/// Service shop/cart asks for the pool; pool `p` has nodes a and b; c is in `q`.
fn learned() -> Cluster {
    learned_with(Config::openyurt())
}

fn learned_with(config: Config) -> Cluster {
    let cluster = Cluster::new(config).unwrap();
    feed(&cluster, SERVICES, &list("Service", 10, &[service("cart", 5, POOL)]));
    feed(
        &cluster,
        NODES,
        &list("Node", 10, &[node("a", 1, "p"), node("b", 1, "p"), node("c", 1, "q")]),
    );
    feed(
        &cluster,
        POOLS,
        &list("NodePool", 10, &[pool("p", 2, &["a", "b"]), pool("q", 3, &["c"])]),
    );
    cluster
}

/// The nodes whose endpoints `view` may use, of a slice of `service` with endpoints on a, b and c.
fn sees(view: &NodeView, service: &str) -> String {
    let endpoints: Vec<Value> =
        ["a", "b", "c"].iter().map(|node| json!({"addresses": [node], "nodeName": node})).collect();
    let slice = json!({
        "metadata": {
            "namespace": "shop",
            "name": "s",
            "labels": {"kubernetes.io/service-name": service},
        },
        "endpoints": endpoints,
    })
    .to_string();
    let request = RequestHead::get("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/s");
    let Ok(Action::Rewrite(stream)) = view.open(&request, &ResponseHead::ok(JSON)) else {
        panic!("{:?}", view.missing())
    };
    let out = run(stream, slice.as_bytes(), std::iter::repeat(40)).unwrap();
    let out: Value = serde_json::from_slice(&out).unwrap();
    out["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|endpoint| endpoint["nodeName"].as_str().unwrap())
        .collect()
}

fn member(node: &str, pool: &str) -> Change {
    Change::Member { node: node.into(), pool: pool.into() }
}

#[test]
fn every_change_that_can_matter_raises_the_generation_and_is_told() {
    let cluster = learned();
    let view = cluster.node("a");
    assert_eq!(sees(&view, "cart"), "ab");
    let changes = |target: &str, body: &str| {
        let before = cluster.generation();
        feed(&cluster, target, body);
        let mut changes = cluster.changes_since(before).unwrap();
        changes.sort();
        assert_eq!(cluster.generation() > before, !changes.is_empty());
        changes
    };
    let services = |r#type, object| {
        changes("/api/v1/services?watch=1&resourceVersion=10", &events(&[(r#type, object)]))
    };
    assert_eq!(
        services("MODIFIED", service("cart", 11, HOST)),
        [Change::Service("shop/cart".into())]
    );
    assert_eq!(sees(&view, "cart"), "a");
    // The annotation stays: nothing that a verdict depends on has changed.
    assert_eq!(services("MODIFIED", service("cart", 12, HOST)), []);
    assert_eq!(services("ADDED", service("new", 13, None)), [Change::Service("shop/new".into())]);
    assert_eq!(
        services("MODIFIED", service("cart", 14, POOL)),
        [Change::Service("shop/cart".into())]
    );
    let pools = |r#type, object| {
        changes(&format!("{POOLS}?watch=1&resourceVersion=10"), &events(&[(r#type, object)]))
    };
    assert_eq!(pools("MODIFIED", pool("p", 15, &["a", "c"])), [member("b", "p"), member("c", "p")]);
    assert_eq!(sees(&view, "cart"), "ac");
    assert_eq!(
        pools("DELETED", pool("p", 16, &["a", "c"])),
        [member("a", "p"), member("c", "p"), Change::Pool("p".into())]
    );
    assert_eq!(sees(&view, "cart"), "abc");
    assert_eq!(cluster.counters().passed_unknown_pool, 1);
    let nodes = |r#type, object| {
        changes("/api/v1/nodes?watch=1&resourceVersion=10", &events(&[(r#type, object)]))
    };
    assert_eq!(nodes("MODIFIED", node("a", 17, "q")), [Change::Node("a".into())]);
    assert_eq!(sees(&view, "cart"), "c");
    assert_eq!(nodes("MODIFIED", node("a", 18, "")), [Change::Node("a".into())]);
    assert_eq!(sees(&view, "cart"), "a");
    assert_eq!(view.pool(), None);
}

#[test]
fn a_deleted_service_holds_its_slices_until_it_returns() {
    let cluster = learned();
    let view = cluster.node("a");
    let watch = "/api/v1/services?watch=1&resourceVersion=10";
    feed(&cluster, watch, &events(&[("DELETED", service("cart", 20, POOL))]));
    assert_eq!(sees(&view, "cart"), "ab");
    assert_eq!(cluster.counters().held_deleted_service, 1);
    // Also over a new list, in which it is not.
    feed(&cluster, SERVICES, &list("Service", 30, &[service("other", 25, POOL)]));
    assert_eq!(sees(&view, "cart"), "ab");
    feed(&cluster, watch, &events(&[("ADDED", service("cart", 40, None))]));
    assert_eq!(sees(&view, "cart"), "abc");
    assert_eq!(cluster.counters().held_deleted_service, 2);
    // A Service that asked for nothing is forgotten: what is unknown is what it was.
    feed(&cluster, watch, &events(&[("DELETED", service("cart", 50, None))]));
    assert_eq!(sees(&view, "cart"), "abc");
    assert_eq!(cluster.counters().passed_unknown_service, 1);
}

#[test]
fn what_is_in_doubt_can_be_hidden() {
    let mut config = Config::openyurt();
    config.on_missing_fact_mut().unknown_service = MissingFactPolicy::Empty;
    config.on_missing_fact_mut().unknown_pool = MissingFactPolicy::Empty;
    let cluster = learned_with(config);
    let view = cluster.node("a");
    assert_eq!(sees(&view, "cart"), "ab");
    assert_eq!(sees(&view, "unheard-of"), "");
    assert_eq!(cluster.counters().emptied_unknown_service, 1);
    feed(
        &cluster,
        &format!("{POOLS}?watch=1&resourceVersion=10"),
        &events(&[("DELETED", pool("p", 20, &[]))]),
    );
    assert_eq!(sees(&view, "cart"), "");
    assert_eq!(cluster.counters().emptied_unknown_pool, 1);
    // A slice that names no Service has none that could become known: it has a switch of its own.
    assert_eq!(sees(&view, ""), "abc");
    let mut config = Config::openyurt();
    config.on_missing_fact_mut().no_service = MissingFactPolicy::Empty;
    let cluster = learned_with(config);
    let view = cluster.node("a");
    assert_eq!((sees(&view, "").as_str(), sees(&view, "unheard-of").as_str()), ("", "abc"));
    assert_eq!(
        (cluster.counters().emptied_no_service, cluster.counters().passed_no_service),
        (1, 0)
    );
}

#[test]
fn old_news_is_no_news() {
    let cluster = learned();
    let view = cluster.node("a");
    let watch = "/api/v1/services?watch=1&resourceVersion=10";
    feed(
        &cluster,
        watch,
        &events(&[("MODIFIED", service("cart", 20, HOST)), ("DELETED", service("gone", 22, POOL))]),
    );
    // A second client's slower watch, and an older list.
    feed(
        &cluster,
        watch,
        &events(&[("MODIFIED", service("cart", 15, None)), ("ADDED", service("gone", 16, POOL))]),
    );
    feed(&cluster, SERVICES, &list("Service", 12, &[service("cart", 5, None)]));
    assert_eq!(sees(&view, "cart"), "a");
    assert_eq!(sees(&view, "gone"), "abc");
    // A selected watch is another source: it does not count while the wider one does.
    feed(
        &cluster,
        "/api/v1/services?watch=1&resourceVersion=10&labelSelector=x",
        &events(&[("DELETED", service("cart", 99, None))]),
    );
    assert_eq!(sees(&view, "cart"), "a");
    // By its name, newer.
    feed(&cluster, "/api/v1/namespaces/shop/services/cart", &service("cart", 30, POOL).to_string());
    assert_eq!(sees(&view, "cart"), "ab");
    feed(&cluster, "/api/v1/namespaces/shop/services/cart", &service("cart", 29, None).to_string());
    assert_eq!(sees(&view, "cart"), "ab");
}

#[test]
fn watch_lists_are_complete_at_their_bookmark_and_not_before() {
    let ready = |query: &str, body: &[(&str, Value)]| {
        let cluster = Cluster::new(Config::openyurt()).unwrap();
        feed(&cluster, NODES, &list("Node", 1, &[node("a", 1, "p")]));
        feed(&cluster, POOLS, &list("NodePool", 1, &[pool("p", 1, &["a", "b"])]));
        feed(&cluster, &format!("{SERVICES}?watch=true&{query}"), &events(body));
        let view = cluster.node("a");
        view.missing().is_empty().then(|| sees(&view, "cart"))
    };
    let cart = || ("ADDED", service("cart", 5, POOL));
    let announced = "sendInitialEvents=true&allowWatchBookmarks=true";
    assert_eq!(ready(announced, &[cart()]), None);
    assert_eq!(ready(announced, &[cart(), bookmark("Service", 9, false)]), None);
    assert_eq!(ready(announced, &[cart(), bookmark("Service", 9, true)]).as_deref(), Some("ab"));
    assert_eq!(
        ready(
            announced,
            &[cart(), bookmark("Service", 9, true), ("MODIFIED", service("cart", 12, HOST))]
        )
        .as_deref(),
        Some("a")
    );
    // Without an announced end, the first event that is not ADDED is the end.
    assert_eq!(ready("resourceVersion=0", &[cart()]), None);
    assert_eq!(
        ready("resourceVersion=0", &[cart(), bookmark("Service", 9, false)]).as_deref(),
        Some("ab")
    );
    assert_eq!(
        ready("", &[cart(), ("MODIFIED", service("other", 8, None))]).as_deref(),
        Some("ab")
    );
    assert_eq!(ready("", &[cart(), ("MODIFIED", service("cart", 8, HOST))]).as_deref(), Some("a"));
    // Live events complete nothing.
    assert_eq!(ready("resourceVersion=4", &[cart(), bookmark("Service", 9, false)]), None);
    assert_eq!(
        ready(
            announced,
            &[
                cart(),
                ("ERROR", json!({"kind": "Status", "code": 410})),
                bookmark("Service", 9, true)
            ]
        ),
        None
    );
}

#[test]
fn pages_make_a_list_only_together() {
    let page = |version: u64, items: &[Value], next: &str| {
        json!({
            "kind": "ServiceList",
            "metadata": {"resourceVersion": version.to_string(), "continue": next},
            "items": items,
        })
        .to_string()
    };
    let ready = |pages: &[(&str, String)]| {
        let cluster = Cluster::new(Config::openyurt()).unwrap();
        for (query, body) in pages {
            feed(&cluster, &format!("{SERVICES}?limit=1{query}"), body);
        }
        !cluster.missing("a").iter().any(|missing| missing.kind == FactKind::Service)
    };
    let (first, last) =
        (page(7, &[service("cart", 5, POOL)], "t1"), page(7, &[service("web", 6, None)], ""));
    assert!(ready(&[("", first.clone()), ("&continue=t1", last.clone())]));
    assert!(!ready(&[("", first.clone())]));
    assert!(!ready(&[("&continue=t1", last.clone())]), "the first page went another way");
    assert!(!ready(&[("", first.clone()), ("&continue=t2", last)]));
    // After a 410 the rest may be listed at a later state: pages of two states are no list.
    assert!(!ready(&[("", first), ("&continue=t1", page(8, &[], ""))]));
}

#[test]
fn answers_that_list_nothing_do_not_teach_that_there_is_nothing() {
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    let missing = || cluster.missing("a").iter().map(|missing| missing.kind).collect::<Vec<_>>();
    let all = [FactKind::Service, FactKind::Node, FactKind::NodePool];
    // A Table, a Status, the metadata of NodePools (whose nodes are in their status).
    Recording::load("list/services-table-json.json").read_facts(&cluster);
    feed(&cluster, NODES, r#"{"kind":"Status","metadata":{},"items":[]}"#);
    feed(
        &cluster,
        POOLS,
        r#"{"kind":"PartialObjectMetadataList","metadata":{"resourceVersion":"1"},"items":[]}"#,
    );
    let partial =
        r#"{"metadata":{},"items":[{"kind":"PartialObjectMetadata","metadata":{"name":"p"}}]}"#;
    feed(&cluster, POOLS, partial);
    assert_eq!(missing(), all);
    assert_eq!(cluster.generation(), 0);
    // An empty list of the right kind does.
    feed(&cluster, SERVICES, &list("Service", 1, &[]));
    feed(&cluster, POOLS, &list("NodePool", 1, &[]));
    assert_eq!(missing(), [FactKind::Node]);
}

#[test]
fn what_cannot_be_decoded_is_counted_and_stays_unknown() {
    let cluster = learned();
    let broken = json!({
        "metadata": {
            "name": "broken",
            "namespace": "shop",
            "annotations": {"openyurt.io/topologyKeys": 7},
        },
    });
    let nodeless = json!({"metadata": {"name": "r"}, "status": {"nodes": "all"}});
    feed(&cluster, SERVICES, &list("Service", 20, &[service("cart", 5, POOL), broken]));
    feed(&cluster, POOLS, &list("NodePool", 20, &[pool("p", 2, &["a"]), nodeless]));
    assert_eq!(cluster.counters().facts_undecodable, 2);
    let view = cluster.node("a");
    assert_eq!((sees(&view, "cart").as_str(), sees(&view, "broken").as_str()), ("a", "abc"));
    assert_eq!(cluster.counters().passed_unknown_service, 1);
}

#[test]
fn what_goes_before_the_initial_events_are_over_is_gone() {
    // A server sends live events before the bookmark when its cache lags.
    let cluster = Cluster::new(Config::node_label("apps.openyurt.io/nodepool")).unwrap();
    feed(&cluster, SERVICES, &list("Service", 10, &[service("cart", 5, POOL)]));
    let initial = [
        ("ADDED", node("a", 1, "p")),
        ("ADDED", node("b", 2, "p")),
        ("ADDED", node("c", 3, "p")),
        ("MODIFIED", node("b", 8, "q")),
        ("DELETED", node("c", 9, "p")),
    ];
    let watch = "/api/v1/nodes?watch=1&sendInitialEvents=true&allowWatchBookmarks=true";
    feed(&cluster, watch, &events(&[&initial[..], &[bookmark("Node", 9, true)]].concat()));
    assert_eq!(sees(&cluster.node("a"), "cart"), "a");
}

#[test]
fn a_watch_from_now_on_lists_nothing() {
    let cluster = learned();
    let watch = format!(
        "{POOLS}?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&\
         resourceVersion=0"
    );
    feed(
        &cluster,
        &watch,
        &events(&[("ADDED", pool("z", 20, &["z"])), ("MODIFIED", pool("z", 21, &["y"]))]),
    );
    assert_eq!(sees(&cluster.node("a"), "cart"), "ab");
}

#[test]
fn a_narrower_source_still_brings_news() {
    let cluster = learned();
    let view = cluster.node("a");
    assert_eq!(sees(&view, "web"), "abc");
    // cilium-agent's requests after a full list: a selected watch is all that
    // comes.
    feed(
        &cluster,
        "/api/v1/namespaces/shop/services?watch=1&resourceVersion=10",
        &events(&[("MODIFIED", service("web", 50, POOL))]),
    );
    assert_eq!(sees(&view, "web"), "ab");
    // Leaving the selection is not the end of the Service.
    feed(
        &cluster,
        "/api/v1/services?watch=1&labelSelector=x&resourceVersion=10",
        &events(&[("DELETED", service("web", 60, POOL))]),
    );
    assert_eq!((sees(&view, "web").as_str(), cluster.counters().held_deleted_service), ("ab", 0));
}

#[test]
fn a_narrower_list_brings_news_too() {
    let cluster = learned();
    let view = cluster.node("a");
    assert_eq!(sees(&view, "web"), "abc");
    // An agent that comes back after somebody listed everything once: a list or initial events of
    // what it selects.
    let lists = format!("{SERVICES}?labelSelector=!service.kubernetes.io/headless");
    feed(
        &cluster,
        &lists,
        &list("Service", 60, &[service("web", 50, POOL), service("late", 55, HOST)]),
    );
    assert_eq!((sees(&view, "web").as_str(), sees(&view, "late").as_str()), ("ab", "a"));
    let watch = format!(
        "{SERVICES}?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&labelSelector=!\
         service.kubernetes.io/headless"
    );
    feed(
        &cluster,
        &watch,
        &events(&[
            ("ADDED", service("web", 70, HOST)),
            ("ADDED", service("late", 55, HOST)),
            bookmark("Service", 80, true),
        ]),
    );
    assert_eq!(sees(&view, "web"), "a");
    // Facts of the wider one are known, and objects that the narrower one omits may exist.
    feed(&cluster, &lists, &list("Service", 90, &[service("cart", 5, HOST)]));
    assert_eq!((sees(&view, "cart").as_str(), sees(&view, "web").as_str()), ("ab", "a"));
    assert_eq!(cluster.counters().held_deleted_service, 0);
}

#[test]
fn lists_of_which_none_is_wider_count_beside_each_other() {
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    feed(
        &cluster,
        NODES,
        &list("Node", 10, &[node("a", 1, "p"), node("b", 1, "p"), node("c", 1, "q")]),
    );
    feed(
        &cluster,
        POOLS,
        &list("NodePool", 10, &[pool("p", 2, &["a", "b"]), pool("q", 3, &["c"])]),
    );
    let view = cluster.node("a");
    // Somebody lists one namespace, and then comes the agent with what it selects.
    feed(
        &cluster,
        "/api/v1/namespaces/shop/services",
        &list("Service", 10, &[service("cart", 5, POOL)]),
    );
    assert_eq!(view.missing()[0].known.as_deref(), Some("namespace shop"));
    let selects = "labelSelector=!service.kubernetes.io/headless";
    feed(
        &cluster,
        &format!("{SERVICES}?{selects}"),
        &list("Service", 20, &[service("cart", 5, POOL), service("web", 6, HOST)]),
    );
    let ready = |target: &str| {
        matches!(
            view.open(&RequestHead::get(target), &ResponseHead::ok(JSON)),
            Ok(Action::Rewrite(_))
        )
    };
    let slices = "/apis/discovery.k8s.io/v1/endpointslices";
    assert!(
        ready(&format!("{slices}?{selects}"))
            && ready("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices")
    );
    assert!(!ready(slices), "headless Services may be anywhere");
    assert_eq!(
        view.missing()[0].known.as_deref(),
        Some("namespace shop; all namespaces, labels !service.kubernetes.io/headless")
    );
    let keys = |service: &str| view.judge("shop", Some(service), Some("b")).keeps();
    assert_eq!((keys("cart"), keys("web")), (true, false));
    // One that becomes headless leaves the labels, and is still in its namespace.
    feed(
        &cluster,
        &format!("{SERVICES}?watch=1&resourceVersion=20&{selects}"),
        &events(&[("DELETED", service("web", 30, HOST))]),
    );
    feed(
        &cluster,
        &format!("{SERVICES}?{selects}"),
        &list("Service", 40, &[service("cart", 5, POOL)]),
    );
    assert!(!keys("web"));
    assert_eq!(cluster.counters().held_deleted_service, 0);
    // No source is wider than all namespaces.
    feed(&cluster, SERVICES, &list("Service", 50, &[service("cart", 5, POOL)]));
    assert_eq!((view.missing().len(), keys("web")), (0, false));
}

#[test]
fn a_node_that_leaves_a_selector_is_not_gone() {
    let cluster = learned();
    let watch = format!(
        "{NODES}?watch=1&resourceVersion=10&fieldSelector=metadata.name%3Da&labelSelector=x%3Dy"
    );
    feed(&cluster, &watch, &events(&[("DELETED", node("a", 20, "p"))]));
    assert_eq!(cluster.node("a").pool().as_deref(), Some("p"));
    let watch = format!("{NODES}?watch=1&resourceVersion=10&fieldSelector=metadata.name%3Da");
    feed(&cluster, &watch, &events(&[("DELETED", node("a", 20, "p"))]));
    assert_eq!(cluster.node("a").pool(), None);
}

#[test]
fn a_watch_from_nothing_tells_what_went_while_nobody_watched() {
    let cluster = learned();
    let view = cluster.node("a");
    // The last that was heard is a deletion, so that everything that is left is of earlier
    // versions.
    feed(
        &cluster,
        &format!("{POOLS}?watch=1&resourceVersion=10"),
        &events(&[
            ("ADDED", pool("r", 480, &["r"])),
            ("ADDED", pool("x", 490, &["x"])),
            ("DELETED", pool("x", 500, &["x"])),
        ]),
    );
    assert_eq!(
        (sees(&view, "cart").as_str(), cluster.node("c").pool().as_deref()),
        ("ab", Some("q"))
    );
    // Pool `q` is gone.
    let again = [
        ("ADDED", pool("p", 2, &["a", "b"])),
        ("ADDED", pool("r", 480, &["r"])),
        ("MODIFIED", pool("p", 530, &["a"])),
    ];
    feed(&cluster, &format!("{POOLS}?watch=1&resourceVersion=0"), &events(&again));
    assert_eq!(sees(&view, "cart"), "a");
    assert!(view.pools_of("c").is_empty());
    // Objects after the latest of them may not have existed yet.
    feed(
        &cluster,
        &format!("{POOLS}?watch=1&resourceVersion=530"),
        &events(&[("ADDED", pool("q", 550, &["c"])), ("DELETED", pool("r", 560, &["b"]))]),
    );
    feed(
        &cluster,
        &format!("{POOLS}?watch=1&resourceVersion=0"),
        &events(&[("ADDED", pool("p", 520, &["a"])), ("MODIFIED", pool("p", 570, &["a", "b"]))]),
    );
    assert_eq!((sees(&view, "cart").as_str(), view.pools_of("c")), ("ab", vec!["q".to_owned()]));
}

#[test]
fn a_source_can_be_forgotten() {
    let cluster = learned();
    let view = cluster.node("a");
    // The API server was restored to an earlier state.
    let restored = list("Service", 6, &[service("late", 4, POOL)]);
    feed(&cluster, SERVICES, &restored);
    assert_eq!(sees(&view, "late"), "abc", "an older list says nothing new");
    cluster.invalidate_source(FactKind::Service);
    assert_eq!(view.missing().len(), 1);
    feed(&cluster, SERVICES, &restored);
    assert_eq!((sees(&view, "late").as_str(), sees(&view, "cart").as_str()), ("ab", "ab"));
    assert_eq!(cluster.counters().held_deleted_service, 1, "cart is gone, and held");
}

#[test]
fn nodes_known_one_by_one_do_not_hide_each_other() {
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    feed(&cluster, SERVICES, &list("Service", 10, &[service("cart", 5, POOL)]));
    feed(
        &cluster,
        POOLS,
        &list("NodePool", 10, &[pool("p", 2, &["a", "b"]), pool("q", 3, &["c"])]),
    );
    feed(
        &cluster,
        "/api/v1/nodes?fieldSelector=metadata.name%3Da",
        &list("Node", 10, &[node("a", 1, "p")]),
    );
    feed(
        &cluster,
        "/api/v1/nodes?fieldSelector=metadata.name%3Dc",
        &list("Node", 12, &[node("c", 4, "q")]),
    );
    feed(&cluster, "/api/v1/nodes/b", &node("b", 3, "p").to_string());
    for (name, seen) in [("a", "ab"), ("b", "ab"), ("c", "c")] {
        assert_eq!(sees(&cluster.node(name), "cart"), seen, "{name}");
    }
    // A list that selects others evicts none of them.
    feed(&cluster, "/api/v1/nodes?labelSelector=role%3Dgateway", &list("Node", 20, &[]));
    assert_eq!(cluster.node("a").pool().as_deref(), Some("p"));
    // A list of all does.
    feed(&cluster, NODES, &list("Node", 30, &[node("b", 3, "p")]));
    assert_eq!(cluster.node("a").pool(), None);
}

#[test]
fn what_go_can_decode_is_decoded() {
    let cluster = learned();
    let view = cluster.node("a");
    // A null in a list of strings, a key given twice, invalid UTF-8 in what does not matter.
    feed(
        &cluster,
        POOLS,
        &list(
            "NodePool",
            20,
            &[json!({
                "metadata": {"name": "p", "resourceVersion": "19"},
                "status": {"nodes": ["a", null, "c"]},
            })],
        ),
    );
    assert_eq!(sees(&view, "cart"), "ac");
    let mut twice = list("Service", 20, &[service("web", 19, HOST)])
        .replace("\"name\":\"web\"", "\"name\":\"x\",\"name\":\"web\",\"uid\":\"?\"")
        .into_bytes();
    let broken = twice.iter().position(|&byte| byte == b'?').unwrap();
    twice[broken] = 0xff;
    let mut services =
        cluster.read_facts(&RequestHead::get(SERVICES), &ResponseHead::ok(JSON)).unwrap();
    services.push(&twice).unwrap();
    services.finish().unwrap();
    assert_eq!((sees(&view, "web").as_str(), cluster.counters().facts_undecodable), ("a", 0));
    // Protobuf: list { item { metadata { name, namespace, annotations { key, value } x 2 } } }, one
    // value not UTF-8.
    let record = |number: u8, content: &[u8]| {
        [&[number << 3 | 2, content.len() as u8][..], content].concat()
    };
    let entry = |key: &[u8], value: &[u8]| record(12, &[record(1, key), record(2, value)].concat());
    let metadata = [
        record(1, b"db"),
        record(3, b"shop"),
        entry(b"note", b"\xff"),
        entry(b"openyurt.io/topologyKeys", b"kubernetes.io/hostname"),
    ]
    .concat();
    let items = [record(1, &record(2, b"30")), record(2, &record(1, &metadata))].concat();
    let body =
        [b"k8s\0".to_vec(), vec![0x12, items.len() as u8 | 0x80, (items.len() >> 7) as u8], items]
            .concat();
    let mut services = cluster
        .read_facts(
            &RequestHead::get(SERVICES),
            &ResponseHead::ok("application/vnd.kubernetes.protobuf"),
        )
        .unwrap();
    services.push(&body).unwrap();
    services.finish().unwrap();
    assert_eq!((sees(&view, "db").as_str(), cluster.counters().facts_undecodable), ("a", 0));
}

#[test]
fn what_cannot_be_decoded_does_not_undo_what_is_known() {
    let cluster = learned();
    feed(
        &cluster,
        POOLS,
        &list(
            "NodePool",
            20,
            &[json!({"metadata": {"name": "p", "resourceVersion": "19"}, "status": {"nodes": 7}})],
        ),
    );
    assert_eq!(
        (sees(&cluster.node("a"), "cart").as_str(), cluster.counters().facts_undecodable),
        ("ab", 1)
    );
}

#[test]
fn bodies_that_list_nothing_leave_the_facts_as_they_are() {
    let cluster = learned();
    for (target, body) in [
        (POOLS, "{}"),
        (POOLS, r#"{"kind":"NodePoolList","metadata":{"resourceVersion":"99"}}"#),
        (
            "/apis/apps.openyurt.io/v1beta2/nodepools?shardSelector=x",
            r#"{"items":[],"metadata":{"resourceVersion":"99"}}"#,
        ),
    ] {
        feed(&cluster, target, body);
        assert_eq!(sees(&cluster.node("a"), "cart"), "ab", "{target} {body}");
    }
    let mut empty = cluster
        .read_facts(
            &RequestHead::get(SERVICES),
            &ResponseHead::ok("application/vnd.kubernetes.protobuf"),
        )
        .unwrap();
    empty.push(b"k8s\0\x12\0").unwrap();
    empty.finish().unwrap();
    assert_eq!(sees(&cluster.node("a"), "cart"), "ab");
}

#[test]
fn deleted_services_do_not_fill_the_memory() {
    let mut config = Config::openyurt();
    config.limits_mut().deleted_services = 100;
    let cluster = learned_with(config);
    let view = cluster.node("a");
    let watch = "/api/v1/services?watch=1&resourceVersion=10";
    let lives = |names: std::ops::Range<u64>| {
        let lives = names.flat_map(|at| {
            [
                ("ADDED", service(&format!("s{at}"), 100 + 2 * at, POOL)),
                ("DELETED", service(&format!("s{at}"), 101 + 2 * at, POOL)),
            ]
        });
        events(&lives.collect::<Vec<_>>())
    };
    feed(&cluster, watch, &lives(0..100));
    assert_eq!(
        (sees(&view, "s0").as_str(), cluster.counters().deleted_services_forgotten),
        ("ab", 0)
    );
    feed(&cluster, watch, &lives(100..101));
    assert_eq!((sees(&view, "s0").as_str(), sees(&view, "s1").as_str()), ("abc", "ab"));
    let counters = cluster.counters();
    assert_eq!(
        (
            counters.held_deleted_service,
            counters.passed_unknown_service,
            counters.deleted_services_forgotten
        ),
        (2, 1, 1)
    );
    // One that comes and goes takes the place of no other.
    let flaps = (0..300).flat_map(|at| {
        let service = |version| service("flaps", version, POOL);
        [("ADDED", service(1000 + 2 * at)), ("DELETED", service(1001 + 2 * at))]
    });
    feed(&cluster, watch, &events(&flaps.collect::<Vec<_>>()));
    assert_eq!((sees(&view, "s1").as_str(), sees(&view, "s2").as_str()), ("abc", "ab"));
    // An event older than a forgotten deletion does not bring the Service back.
    feed(
        &cluster,
        "/api/v1/services?watch=1&resourceVersion=10",
        &events(&[("MODIFIED", service("s0", 100, HOST))]),
    );
    assert_eq!(sees(&view, "s0"), "abc");
}

#[test]
fn an_older_event_does_not_undo_a_deletion() {
    let mut config = Config::openyurt();
    config.on_missing_fact_mut().unknown_service = MissingFactPolicy::Empty;
    let cluster = learned_with(config);
    let view = cluster.node("a");
    // A narrow stream is ahead of the wide one, in each kind, and the deletions are of objects that
    // the wide one has yet to say.
    let named = |path: &str, name: &str| {
        format!("{path}?watch=1&resourceVersion=10&fieldSelector=metadata.name%3D{name}")
    };
    let shop = "/api/v1/namespaces/shop/services?watch=1&resourceVersion=10";
    for keys in [None, HOST] {
        let version = if keys.is_none() { 20 } else { 120 };
        feed(
            &cluster,
            shop,
            &events(&[
                ("ADDED", service("web", version - 8, keys)),
                ("DELETED", service("web", version, keys)),
            ]),
        );
        let expected = sees(&view, "web");
        assert_eq!(expected, if keys.is_none() { "" } else { "a" });
        let wide = format!("{SERVICES}?watch=1&resourceVersion=10");
        feed(
            &cluster,
            &wide,
            &events(&[
                ("ADDED", service("web", version - 8, POOL)),
                ("MODIFIED", service("web", version - 5, None)),
            ]),
        );
        assert_eq!(sees(&view, "web"), expected);
        // A list that is older says nothing of it either.
        feed(
            &cluster,
            SERVICES,
            &list(
                "Service",
                version - 2,
                &[service("cart", 5, POOL), service("web", version - 5, None)],
            ),
        );
        assert_eq!(sees(&view, "web"), expected);
        feed(&cluster, &wide, &events(&[("DELETED", service("web", version, None))]));
        assert_eq!(sees(&view, "web"), expected);
    }
    feed(
        &cluster,
        &named(NODES, "d"),
        &events(&[("ADDED", node("d", 12, "p")), ("DELETED", node("d", 20, "p"))]),
    );
    feed(
        &cluster,
        &format!("{NODES}?watch=1&resourceVersion=10"),
        &events(&[("MODIFIED", node("d", 15, "p"))]),
    );
    assert!(!cluster.node("d").is_known());
    feed(&cluster, &named(POOLS, "p"), &events(&[("DELETED", pool("p", 20, &[]))]));
    feed(
        &cluster,
        &format!("{POOLS}?watch=1&resourceVersion=10"),
        &events(&[("MODIFIED", pool("p", 15, &["a", "b", "c"]))]),
    );
    assert_eq!(view.pools_of("c"), ["q"]);
    // A newer event does.
    feed(
        &cluster,
        &format!("{NODES}?watch=1&resourceVersion=10"),
        &events(&[("ADDED", node("d", 25, "p"))]),
    );
    assert!(cluster.node("d").is_known());
}

#[test]
fn a_list_of_one_name_without_the_object_is_its_deletion() {
    let by_name = |name: &str| format!("{NODES}?fieldSelector=metadata.name%3D{name}");
    // The other facts, and no list of all Nodes.
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    feed(&cluster, SERVICES, &list("Service", 10, &[service("cart", 5, POOL)]));
    feed(&cluster, POOLS, &list("NodePool", 10, &[pool("p", 2, &["a", "b"])]));
    let view = cluster.node("a");
    feed(&cluster, &by_name("a"), &list("Node", 10, &[node("a", 1, "p")]));
    assert_eq!((view.missing().len(), sees(&view, "cart").as_str()), (0, "ab"));
    // An older list says nothing, a newer one that it is gone, and in no pool then: the node itself
    // is left.
    feed(&cluster, &by_name("a"), &list("Node", 9, &[]));
    assert_eq!(sees(&view, "cart"), "ab");
    feed(&cluster, &by_name("b"), &list("Node", 30, &[]));
    assert_eq!(sees(&view, "cart"), "ab");
    feed(&cluster, &by_name("a"), &list("Node", 20, &[]));
    assert_eq!(
        (view.is_known(), view.missing().len(), sees(&view, "cart").as_str()),
        (false, 0, "a")
    );
    // One that never was is in no pool either, however that is asked.
    let never = cluster.node("never");
    assert_eq!(never.missing().len(), 1);
    feed(&cluster, &by_name("never"), &list("Node", 20, &[]));
    let by_name = (never.missing().len(), sees(&never, "cart"));
    let cluster = learned();
    let never = cluster.node("never");
    assert_eq!((never.missing().len(), sees(&never, "cart")), by_name);
    assert_eq!(by_name, (0, String::new()));
    // An object that may have left the list for another reason is not deleted. Otherwise the later
    // state counts, whoever says it.
    let in_pool = |cluster: &Cluster| sees(&cluster.node("a"), "cart") == "ab";
    feed(
        &cluster,
        &format!("{NODES}?fieldSelector=metadata.name%3Da&labelSelector=x%3Dy"),
        &list("Node", 40, &[]),
    );
    assert!(in_pool(&cluster));
    feed(&cluster, &format!("{NODES}?fieldSelector=metadata.name%3Da"), &list("Node", 9, &[]));
    assert!(in_pool(&cluster));
    feed(&cluster, &format!("{NODES}?fieldSelector=metadata.name%3Da"), &list("Node", 40, &[]));
    assert!(!in_pool(&cluster));
    let wide = format!("{NODES}?watch=1&resourceVersion=10");
    feed(
        &cluster,
        &wide,
        &events(&[("MODIFIED", node("a", 30, "p")), ("DELETED", node("a", 35, "p"))]),
    );
    feed(&cluster, NODES, &list("Node", 32, &[node("a", 30, "p"), node("b", 1, "p")]));
    assert!(!in_pool(&cluster));
    feed(&cluster, NODES, &list("Node", 50, &[node("a", 45, "p"), node("b", 1, "p")]));
    assert!(in_pool(&cluster));
    // The keys of a deleted Service are kept.
    let cart = "/api/v1/namespaces/shop/services?fieldSelector=metadata.name%3Dcart";
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    feed(&cluster, cart, &list("Service", 10, &[service("cart", 5, HOST)]));
    feed(&cluster, cart, &list("Service", 20, &[]));
    feed(&cluster, SERVICES, &list("Service", 15, &[service("cart", 5, None)]));
    feed(&cluster, NODES, &list("Node", 10, &[]));
    feed(&cluster, POOLS, &list("NodePool", 10, &[]));
    assert_eq!(sees(&cluster.node("a"), "cart"), "a");
}

#[test]
fn a_bucket_without_its_pools_label_makes_no_pool() {
    let mut config = Config::openyurt();
    config.set_membership(poolscope::Membership::NodeBucket);
    let cluster = Cluster::new(config).unwrap();
    let buckets = "/apis/apps.openyurt.io/v1alpha1/nodebuckets";
    let bucket = |version: u64, labels: Value| {
        json!({
            "kind": "NodeBucket",
            "metadata": {"name": "x", "resourceVersion": version.to_string(), "labels": labels},
            "nodes": [{"name": "a"}],
        })
    };
    let pools = |body: String| {
        feed(&cluster, buckets, &body);
        cluster.node("a").pools_of("a")
    };
    for labels in [json!(null), json!({}), json!({"openyurt.io/pool-name": ""})] {
        assert!(pools(list("NodeBucket", 10, &[bucket(5, labels)])).is_empty());
    }
    assert_eq!(
        pools(list("NodeBucket", 20, &[bucket(15, json!({"openyurt.io/pool-name": "p"}))])),
        ["p"]
    );
    assert!(pools(list("NodeBucket", 30, &[bucket(25, json!({}))])).is_empty());
}

#[test]
fn half_a_surrogate_pair_hides_nothing() {
    let cluster = learned();
    let broken = r#"{"items":[{"metadata":{"name":"cart","namespace":"shop","resourceVersion":"30",
        "annotations":{"note":"\ud83d","openyurt.io/topologyKeys":"kubernetes.io/hostname"}}}],"metadata":{"resourceVersion":"40"}}"#;
    feed(&cluster, SERVICES, broken);
    assert_eq!(
        (sees(&cluster.node("a"), "cart").as_str(), cluster.counters().facts_undecodable),
        ("a", 0)
    );
}

#[test]
fn what_is_forwarded_unread_is_counted_by_reason() {
    let view = learned().node("a");
    let open = |target: &str| match view.open(&RequestHead::get(target), &ResponseHead::ok(JSON)) {
        Ok(Action::Forward) => {}
        other => panic!("{target}: {other:?}"),
    };
    for (target, path, version) in [
        ("/v1/endpointslices", 1, 0),
        ("/apis/discovery.k8s.io/v2/endpointslices", 1, 1),
        ("/apis/serving.example/v1/services", 1, 1),
        // Services are not rewritten here.
        ("/catalog/services", 1, 1),
        ("/api/v2/namespaces/shop/endpoints/web", 2, 1),
        ("/api/v1/pods", 2, 1),
    ] {
        open(target);
        let counters = view.cluster().counters();
        assert_eq!(
            (counters.passed_unknown_path, counters.passed_unknown_version),
            (path, version),
            "{target}"
        );
    }
}

#[test]
fn the_facts_of_a_cluster_behind_this_one_are_not_learned() {
    let cluster = learned();
    let view = cluster.node("a");
    let body = list("Service", 90, &[service("cart", 80, None)]);
    let target = "/apis/cluster.example.io/v1alpha1/clusters/m1/proxy/api/v1/services";
    assert!(matches!(
        view.open(&RequestHead::get(target), &ResponseHead::ok(JSON)),
        Ok(Action::Forward)
    ));
    assert_eq!(sees(&view, "cart"), "ab");
    // A caller of `read_facts` declares them as facts of this cluster.
    feed(&cluster, target, &body);
    assert_eq!(sees(&view, "cart"), "abc");
}

fn kind_of<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn endpoints_in_parts_or_over_a_websocket_are_refused() {
    let view = learned().node("a");
    for status in [101, 203, 206] {
        let slices = RequestHead::get("/apis/discovery.k8s.io/v1/endpointslices?watch=1");
        assert!(
            kind_of(view.open(&slices, &ResponseHead::new(status))) == ErrorKind::Status,
            "{status}"
        );
        assert!(matches!(
            view.open(&RequestHead::get("/api/v1/pods"), &ResponseHead::new(status)),
            Ok(Action::Forward)
        ));
    }
    let gzip = ResponseHead::ok(JSON)
        .header("Content-Encoding", "identity")
        .header("content-encoding", "gzip");
    let endpoints = RequestHead::get("/api/v1/endpoints");
    assert_eq!(kind_of(view.open(&endpoints, &gzip)), ErrorKind::ContentEncoding);
    for status in [204, 304, 404, 410, 500] {
        if status != 204 {
            assert!(
                matches!(
                    view.open(&RequestHead::get("/api/v1/endpoints"), &ResponseHead::new(status)),
                    Ok(Action::Forward)
                ),
                "{status}"
            );
        }
    }
}

#[test]
fn what_has_endpoints_is_judged_whatever_it_calls_itself() {
    let view = learned().node("a");
    let item = |kind: &str| {
        format!(
            r#"{{"kind":"{kind}","metadata":{{"namespace":"shop","labels":{{"kubernetes.io/service-name":"cart"}}}},"endpoints":[{{"nodeName":"c"}}]}}"#
        )
    };
    for kind in ["Status", "Table", "PartialObjectMetadata"] {
        let body = format!(r#"{{"kind":"EndpointSliceList","items":[{}]}}"#, item(kind));
        let Ok(Action::Rewrite(stream)) = view.open(
            &RequestHead::get("/apis/discovery.k8s.io/v1/endpointslices"),
            &ResponseHead::ok(JSON),
        ) else {
            panic!()
        };
        let error = run(stream, body.as_bytes(), std::iter::repeat(9)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{kind}");
    }
    // Protobuf: k8s\0, typeMeta { kind PartialObjectMetadata }, object { endpoint }.
    let body = |object: &[u8]| {
        [&b"k8s\0\x0a\x17\x12\x15PartialObjectMetadata\x12"[..], &[object.len() as u8], object]
            .concat()
    };
    let filter = |body: &[u8]| {
        let request =
            RequestHead::get("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/s");
        let Ok(Action::Rewrite(stream)) =
            view.open(&request, &ResponseHead::ok("application/vnd.kubernetes.protobuf"))
        else {
            panic!()
        };
        run(stream, body, std::iter::repeat(9))
    };
    assert_eq!(filter(&body(b"\x0a\x03\x0a\x01s")), Ok(body(b"\x0a\x03\x0a\x01s")));
    let error = filter(&body(b"\x12\x03\x32\x01c")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
}

#[test]
fn an_object_of_too_many_endpoints_is_refused_before_it_fills_the_memory() {
    let mut config = Config::openyurt();
    config.limits_mut().endpoints = 50;
    let view = learned_with(config).node("a");
    let open = |content_type: &str| match view.open(
        &RequestHead::get("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/s"),
        &ResponseHead::ok(content_type),
    ) {
        Ok(Action::Rewrite(stream)) => stream,
        other => panic!("{other:?}"),
    };
    for (count, fits) in [(50, true), (51, false), (100_000, false)] {
        let json = format!(
            r#"{{"metadata":{{"name":"s","namespace":"shop"}},"endpoints":[{}]}}"#,
            vec!["{}"; count].join(",")
        );
        let result = run(open(JSON), json.as_bytes(), std::iter::repeat(1000));
        assert!(
            if fits {
                result.is_ok()
            } else {
                result.is_err_and(|error| {
                    error.kind() == ErrorKind::TooMany
                        && error.to_string().contains("more than 50 endpoints")
                })
            },
            "{count}"
        );
    }
    for (count, fits) in [(50, true), (51, false)] {
        let body = [&b"k8s\0\x12"[..], &[2 * count as u8], &b"\x12\0".repeat(count)].concat();
        let result =
            run(open("application/vnd.kubernetes.protobuf"), &body, std::iter::repeat(1000));
        assert!(
            if fits {
                result.is_ok()
            } else {
                result.is_err_and(|error| {
                    error.kind() == ErrorKind::TooMany
                        && error.to_string().contains("more than 50 endpoints")
                })
            },
            "{count}"
        );
    }
}

#[test]
fn a_list_that_is_held_back_is_bounded() {
    let mut config = Config::openyurt();
    config.set_protobuf_lists(poolscope::ProtobufLists::Compact);
    config.limits_mut().list_bytes = 100;
    let view = learned_with(config).node("a");
    let open = |target: &str| match view
        .open(&RequestHead::get(target), &ResponseHead::ok("application/vnd.kubernetes.protobuf"))
    {
        Ok(Action::Rewrite(stream)) => stream,
        other => panic!("{other:?}"),
    };
    let long = [&b"k8s\0\x12\x65"[..], &b"\x1a\x63"[..], &[0; 99]].concat();
    let error =
        run(open("/apis/discovery.k8s.io/v1/endpointslices"), &long[..20], std::iter::repeat(5))
            .unwrap_err();
    assert_eq!(Failed::from(error), Failed::too_large("a list", 4, 100, "listBytes"));
    // A stream that is only a source of facts is never held back.
    assert_eq!(run(open(SERVICES), &long, std::iter::repeat(5)).unwrap(), long);
}

#[test]
fn an_inventory_holds_the_latest_of_each_object() {
    let mut inventory = poolscope::explain::Inventory::new();
    let view = learned().node("a");
    let endpoints = |version: u64, subsets: Value| {
        json!({
            "kind": "Endpoints",
            "apiVersion": "v1",
            "metadata": {
                "name": "cart",
                "namespace": "shop",
                "resourceVersion": version.to_string(),
            },
            "subsets": subsets,
        })
        .to_string()
    };
    let service = json!({
        "kind": "ServiceList",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "1000"},
        "items": [service("cart", 5, POOL)],
    })
    .to_string();
    assert_eq!(inventory.load(service.as_bytes()), Ok(1));
    // A list of another kind is no reason to think an object old.
    inventory
        .load(endpoints(5, json!([{"addresses": [{"ip": "1", "nodeName": "a"}]}])).as_bytes())
        .unwrap();
    assert_eq!(inventory.find(&view, "shop", "cart").unwrap().kept(), 1);
    inventory.load(endpoints(9, json!([])).as_bytes()).unwrap();
    assert_eq!(inventory.find(&view, "shop", "cart").unwrap().endpoints.len(), 0);
    let broken = json!({
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "2000"},
        "spec": {"ports": 7},
    });
    let error = inventory.load(broken.to_string().as_bytes()).unwrap_err();
    assert!(
        error.to_string().starts_with("Service shop/web cannot be decoded from JSON: "),
        "{error}"
    );
}

#[test]
fn feeds_say_what_they_cannot_use() {
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    let refused = |target: &str, head: ResponseHead| {
        cluster.read_facts(&RequestHead::get(target), &head).unwrap_err()
    };
    assert_eq!(refused("/api/v1/pods", ResponseHead::ok(JSON)).kind(), ErrorKind::NotAFact);
    assert_eq!(refused("/api/v1/endpoints", ResponseHead::ok(JSON)).kind(), ErrorKind::NotAFact);
    assert_eq!(refused(SERVICES, ResponseHead::new(403)).kind(), ErrorKind::NotAFact);
    assert_eq!(
        refused(SERVICES, ResponseHead::ok("application/yaml")).kind(),
        ErrorKind::ContentType
    );
    assert_eq!(
        refused(SERVICES, ResponseHead::ok(JSON).header("content-encoding", "gzip")).kind(),
        ErrorKind::ContentEncoding
    );
    let mut cut = cluster.read_facts(&RequestHead::get(SERVICES), &ResponseHead::ok(JSON)).unwrap();
    cut.push(br#"{"items":[{"metadata":{"name":"x"#).unwrap();
    assert_eq!(cut.finish().unwrap_err().kind(), ErrorKind::Truncated);
    assert_eq!(cluster.missing("a").len(), 3, "half a list changes no facts");
}

#[test]
fn a_moving_node_is_where_the_facts_say() {
    // The recorded move of sh-edge-4: label first, then the statuses one by one.
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    for kind in ["services", "nodes", "nodepools"] {
        Recording::load(&format!("list/{kind}-json.json")).read_facts(&cluster);
    }
    let view = cluster.node("sh-edge-4");
    let slices = Recording::load("list/endpointslices-json.json");
    let mut state = State::recorded("list");
    let mut check = |step: &str, change: &dyn Fn(&mut State)| {
        change(&mut state);
        let expected = Body::decode(&slices.body, false, false).filtered(&state, "sh-edge-4");
        assert!(Body::decode(&slices.filter(&view), false, false) == expected, "{step}");
    };
    check("before", &|_| {});
    feed(
        &cluster,
        "/api/v1/nodes?watch=1&resourceVersion=241",
        &events(&[("MODIFIED", node("sh-edge-4", 255, "hangzhou"))]),
    );
    check("label", &|state| drop(state.labels.insert("sh-edge-4".into(), "hangzhou".into())));
    let watch = format!("{POOLS}?watch=1&resourceVersion=241");
    feed(
        &cluster,
        &watch,
        &events(&[("MODIFIED", pool("shanghai", 258, &["sh-edge-1", "sh-edge-2", "sh-edge-3"]))]),
    );
    check("left", &|state| assert!(state.pools.get_mut("shanghai").unwrap().remove("sh-edge-4")));
    feed(
        &cluster,
        &watch,
        &events(&[(
            "MODIFIED",
            pool(
                "hangzhou",
                259,
                &["hz-edge-1", "hz-edge-2", "hz-edge-3", "hz-edge-4", "sh-edge-4"],
            ),
        )]),
    );
    check("joined", &|state| {
        assert!(state.pools.get_mut("hangzhou").unwrap().insert("sh-edge-4".into()))
    });
}

#[test]
fn the_bytes_of_the_api_servers_own_codecs() {
    // Slices of ns/svc; what is not cut passes as the codecs wrote it.
    let cluster = Cluster::new(Config::node_label("zone")).unwrap();
    let annotated = json!({
        "metadata": {
            "name": "svc",
            "namespace": "ns",
            "annotations": {"openyurt.io/topologyKeys": "kubernetes.io/hostname"},
        },
    });
    feed(&cluster, SERVICES, &list("Service", 1, &[annotated]));
    feed(&cluster, NODES, &list("Node", 1, &[]));
    let mut state = State::default();
    state.services.insert("ns/svc".to_owned(), HOST.map(str::to_owned));
    let mut cut = 0;
    for (name, target) in [
        ("eps-list", "/apis/discovery.k8s.io/v1/endpointslices"),
        ("eps-list-empty", "/apis/discovery.k8s.io/v1/endpointslices"),
        ("endpoints-list", "/api/v1/endpoints"),
        ("watch-added", "/apis/discovery.k8s.io/v1/endpointslices?watch=1"),
        ("watch-bookmark", "/apis/discovery.k8s.io/v1/endpointslices?watch=1"),
        ("watch-error410", "/apis/discovery.k8s.io/v1/endpointslices?watch=1"),
        ("watch-initial-end", "/apis/discovery.k8s.io/v1/endpointslices?watch=1"),
        ("watch-stream", "/apis/discovery.k8s.io/v1/endpointslices?watch=1"),
    ] {
        for (suffix, content_type) in
            [("json", JSON), ("pb", "application/vnd.kubernetes.protobuf")]
        {
            let body = std::fs::read(format!("{DATA}/codec/{name}.{suffix}")).unwrap();
            let (protobuf, watch) = (suffix == "pb", target.contains("watch"));
            let decoded = Body::decode(&body, protobuf, watch);
            for node in ["n1", "n2", "nobody"] {
                let Ok(Action::Rewrite(stream)) = cluster
                    .node(node)
                    .open_stateless(&RequestHead::get(target), &ResponseHead::ok(content_type))
                else {
                    panic!()
                };
                let out = run(stream, &body, random_chunks(3, 50)).unwrap();
                let expected = decoded.clone().filtered(&state, node);
                assert_eq!(Body::decode(&out, protobuf, watch), expected, "{name}.{suffix}");
                assert_eq!(out == body, expected == decoded, "{name}.{suffix}");
                cut += usize::from(out != body);
            }
        }
    }
    assert!(cut > 6, "{cut}");
}

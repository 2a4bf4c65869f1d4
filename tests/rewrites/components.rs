//! Which client gets which rewrite: by its User-Agent, OpenYurt's defaults and the ConfigMap
//! `kube-system/yurt-hub-cfg`.

use bytes::BytesMut;
use poolscope::{Action, Change, Cluster, Config, FactKind, ReplyCause, RequestHead, ResponseHead};
use serde_json::{Value, json};

use super::world::{
    Client, ENCODINGS, Encoding, LISTEN, Object, SERVICES, SLICES, Watch, cluster, everything,
    feed, service, slice,
};
use poolscope_testkit::Recording;
use poolscope_testkit::build::{envelope, event, record};

const CONFIG_MAPS: &str = "/api/v1/namespaces/kube-system/configmaps";
const BY_NAME: &str =
    "/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3Dyurt-hub-cfg";

fn yurt_hub() -> Config {
    let mut config = everything();
    config.set_clients(poolscope::Clients::YurtHub);
    config
}

fn config_map(version: u64, data: &[(&str, &str)]) -> Object {
    let map: serde_json::Map<String, Value> =
        data.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
    let metadata = json!({
        "name": "yurt-hub-cfg",
        "namespace": "kube-system",
        "resourceVersion": version.to_string(),
    });
    let entries =
        data.iter().flat_map(|(key, value)| record(2, [record(1, key), record(2, value)].concat()));
    let protobuf = record(
        1,
        [record(1, "yurt-hub-cfg"), record(3, "kube-system"), record(6, version.to_string())]
            .concat(),
    );
    Object {
        kind: "ConfigMap",
        api_version: "v1",
        json: json!({"metadata": metadata, "data": map}),
        protobuf: protobuf.into_iter().chain(entries).collect(),
    }
}

fn push(cluster: &Cluster, target: &str, encoding: Encoding, body: &[u8]) {
    let mut feed = cluster
        .read_facts(&RequestHead::get(target), &ResponseHead::ok(encoding.media_type()))
        .unwrap();
    feed.push(body).unwrap();
    feed.finish().unwrap();
}

fn config_maps(cluster: &Cluster, version: u64, items: Value) {
    feed(cluster, BY_NAME, "ConfigMap", version, items);
}

/// The pool is `hangzhou`, of `me` and `friend`; Service `shop/cart` asks for it.
fn scene(encoding: Encoding) -> (Cluster, impl Fn(&'static str, &str) -> Client) {
    let cluster = cluster(yurt_hub(), "hangzhou");
    feed(
        &cluster,
        SERVICES,
        "Service",
        2,
        json!([{
            "metadata": {
                "name": "cart",
                "namespace": "shop",
                "annotations": {"openyurt.io/topologyKeys": "openyurt.io/nodepool"},
            },
        }]),
    );
    let view = cluster.node("me");
    (cluster, move |path, agent: &str| Client { view: view.client(agent), path, encoding })
}

fn cart(version: u64) -> Object {
    slice("shop/cart-1", version, "cart", "IPv4", &["me", "far"])
}

const WHOLE: &str = "shop/cart-1@5 10.0.0.0 10.0.0.1 https=6443";
const CUT: &str = "shop/cart-1@5 10.0.0.0 https=6443";
const LINE: (&str, &str) = ("servicetopology", "cilium,cilium-agent");

#[test]
fn the_line_of_the_guide_reaches_a_running_stream() {
    for encoding in ENCODINGS {
        let (cluster, client) = scene(encoding);
        config_maps(&cluster, 10, json!([]));
        let cilium = client(SLICES, "cilium-agent/1.17.4 (linux)");
        assert_eq!(cilium.list(&[cart(5)], 10), [WHOLE]);
        let mut watch = cilium.watch(10);
        // Somebody writes the line.
        let generation = cluster.generation();
        push(
            &cluster,
            &format!(
                "{CONFIG_MAPS}?watch=true&resourceVersion=10&fieldSelector=metadata.name%\
                 3Dyurt-hub-cfg"
            ),
            encoding,
            &config_map(11, &[LINE]).event("ADDED", encoding),
        );
        assert_eq!(
            cluster.changes_since(generation),
            Some(vec![Change::Clients("kube-system/yurt-hub-cfg".into())])
        );
        assert!(watch.stream.needs_refresh());
        assert_eq!(watch.refresh(), ["MODIFIED shop/cart-1@10 10.0.0.0 https=6443", "BOOKMARK 10"]);
        assert_eq!(watch.says("MODIFIED", &cart(12)), [""; 0], "nothing new");
        // And takes it away.
        push(
            &cluster,
            &format!(
                "{CONFIG_MAPS}?watch=true&resourceVersion=11&fieldSelector=metadata.name%\
                 3Dyurt-hub-cfg"
            ),
            encoding,
            &config_map(13, &[]).event("MODIFIED", encoding),
        );
        assert_eq!(
            watch.refresh(),
            ["MODIFIED shop/cart-1@12 10.0.0.0 10.0.0.1 https=6443", "BOOKMARK 12"]
        );
        // A ConfigMap that is gone says what an empty one says.
        push(
            &cluster,
            &format!("{CONFIG_MAPS}/yurt-hub-cfg"),
            encoding,
            &config_map(14, &[LINE]).whole(encoding),
        );
        assert_eq!(watch.refresh().len(), 2);
        push(
            &cluster,
            &format!(
                "{CONFIG_MAPS}?watch=true&resourceVersion=13&fieldSelector=metadata.name%\
                 3Dyurt-hub-cfg"
            ),
            encoding,
            &config_map(15, &[LINE]).event("DELETED", encoding),
        );
        assert_eq!(watch.refresh().len(), 2);
    }
}

#[test]
fn a_list_a_watch_and_an_object_all_teach() {
    for encoding in ENCODINGS {
        let map = config_map(11, &[LINE, ("cache_agents", "*")]);
        let other = Object {
            json: json!({
                "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
                "data": {"servicetopology": "coredns"},
            }),
            protobuf: record(1, [record(1, "kube-proxy"), record(3, "kube-system")].concat()),
            ..map.clone()
        };
        let bodies = [
            (CONFIG_MAPS.to_owned() + "/yurt-hub-cfg", map.whole(encoding)),
            (BY_NAME.to_owned(), super::world::list(std::slice::from_ref(&map), 12, encoding)),
            (
                CONFIG_MAPS.to_owned(),
                super::world::list(&[other.clone(), map.clone()], 12, encoding),
            ),
            (
                "/api/v1/configmaps".to_owned(),
                super::world::list(&[map.clone(), other], 12, encoding),
            ),
            (
                format!("{CONFIG_MAPS}?watch=true&resourceVersion=10"),
                map.event("MODIFIED", encoding),
            ),
        ];
        for (target, body) in bodies {
            let (cluster, client) = scene(encoding);
            push(&cluster, &target, encoding, &body);
            let cilium = client(SLICES, "cilium-agent/1");
            assert_eq!(cilium.view.missing(), [], "{target}");
            assert_eq!(cilium.list(&[cart(5)], 10), [CUT], "{target}");
            assert_eq!(client(SLICES, "cilium-operator/1").list(&[cart(5)], 10), [WHOLE]);
        }
    }
    // As a real API server gave it, in both encodings.
    for name in ["get/yurt-hub-cfg-json.json", "get/yurt-hub-cfg-proto.pb"] {
        let (cluster, client) = scene(Encoding::Json);
        Recording::load(name).read_facts(&cluster);
        let rewrites: Vec<&str> = client(SLICES, "cilium-agent/1")
            .view
            .rewrites()
            .into_iter()
            .map(|rewrite| rewrite.name())
            .collect();
        assert_eq!(
            rewrites,
            ["serviceTopology", "nodePortIsolation", "discardCloudService"],
            "{name}"
        );
    }
}

#[test]
fn before_the_config_map_is_known_only_its_defaults_are_served() {
    let (cluster, client) = scene(Encoding::Json);
    let open = |agent: &str, path: &'static str| {
        client(path, agent)
            .view
            .open(&RequestHead::get(path), &ResponseHead::ok("application/json"))
    };
    // kube-proxy gets its default rewrites whatever the ConfigMap names.
    assert!(matches!(open("kube-proxy/v1.34.0", SLICES), Ok(Action::Rewrite(_))));
    let Ok(Action::Reply(reply)) = open("cilium-agent/1.17", SLICES) else { panic!() };
    let ReplyCause::MissingFacts(missing) = &reply.cause else { panic!("{reply:?}") };
    assert_eq!(
        (missing.len(), missing[0].kind, &*missing[0].path),
        (1, FactKind::ConfigMap, BY_NAME)
    );
    assert_eq!(reply.status, 503);
    // For Services kube-proxy may get one more rewrite: masterService.
    assert!(matches!(open("kube-proxy/v1.34.0", SERVICES), Ok(Action::Reply(_))));
    // A list that has none says so.
    config_maps(&cluster, 10, json!([]));
    assert!(matches!(open("cilium-agent/1.17", SLICES), Ok(Action::Rewrite(_))));
    assert_eq!(cluster.missing("me"), []);
    // A client without rewrites waits for no other fact.
    let other = Cluster::new(yurt_hub()).unwrap();
    config_maps(&other, 10, json!([]));
    let request = |agent: &str| RequestHead::get(SLICES).header("User-Agent", agent);
    assert!(matches!(
        other.node("me").open(&request("kubectl/v1"), &ResponseHead::ok("application/json")),
        Ok(Action::Rewrite(_))
    ));
    assert!(matches!(
        other.node("me").open(&request("coredns/1"), &ResponseHead::ok("application/json")),
        Ok(Action::Reply(_))
    ));
    other.invalidate_source(FactKind::ConfigMap);
    assert!(matches!(
        other.node("me").open(&request("kubectl/v1"), &ResponseHead::ok("application/json")),
        Ok(Action::Reply(_))
    ));
    // Where every client gets the rewrites the ConfigMap does not matter.
    assert_eq!(super::world::cluster(everything(), "hangzhou").missing("me"), []);
}

#[test]
fn a_component_is_the_user_agent_up_to_the_slash_in_lower_case() {
    let (cluster, client) = scene(Encoding::Json);
    config_maps(
        &cluster,
        10,
        json!([config_map(9, &[LINE, ("masterservice", "Kube-Proxy")]).json]),
    );
    for (agent, cut) in [
        ("cilium-agent", true),
        ("Cilium-Agent/1", true),
        ("CILIUM/1.0 (linux)", true),
        ("kube-proxy/v1", true),
        ("coredns", true),
        ("cilium-agent linux", false),
        ("cilium-agent-x/1", false),
        ("", false),
    ] {
        assert_eq!(
            client(SLICES, agent).list(&[cart(5)], 10),
            [if cut { CUT } else { WHOLE }],
            "{agent}"
        );
        // The header of the request counts more than what the view was made for.
        let request = RequestHead::get(SLICES).header("user-agent", agent);
        let Ok(Action::Rewrite(stream)) =
            client(SLICES, "kube-proxy").view.open(&request, &ResponseHead::ok("application/json"))
        else {
            panic!()
        };
        let mut list = Watch { stream, encoding: Encoding::Json };
        let mut out = BytesMut::new();
        list.stream.push(&super::world::list(&[cart(5)], 10, Encoding::Json), &mut out).unwrap();
        assert_eq!(
            super::told::list(Encoding::Json, &out),
            [if cut { CUT } else { WHOLE }],
            "{agent}"
        );
    }
    let names = |agent: &str| {
        client(SLICES, agent)
            .view
            .rewrites()
            .into_iter()
            .map(|rewrite| rewrite.name())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("kube-proxy"),
        ["serviceTopology", "nodePortIsolation", "discardCloudService", "forwardKubernetesService"],
        "the ConfigMap's side keeps its case"
    );
    assert_eq!(names("kubelet/v1"), ["masterService"]);
}

#[test]
fn services_of_a_running_stream_follow_the_config_map() {
    for encoding in ENCODINGS {
        let (cluster, client) = scene(encoding);
        config_maps(&cluster, 10, json!([]));
        let hidden = service("shop/web", 5, "NodePort", &[(LISTEN, "shanghai")]);
        let kubernetes = service("default/kubernetes", 4, "ClusterIP", &[]);
        let mut watch = client(SERVICES, "cilium-agent/1")
            .follow(&[kubernetes, hidden, service("shop/db", 6, "ClusterIP", &[])], 10);
        config_maps(
            &cluster,
            11,
            json!([config_map(
                11,
                &[("nodeportisolation", "cilium-agent"), ("masterservice", "cilium-agent")]
            )
            .json]),
        );
        let mut told = watch.refresh();
        told.sort();
        assert_eq!(
            told,
            [
                "BOOKMARK 10",
                "DELETED shop/web@10 NodePort 10.96.0.1 https=443",
                "MODIFIED default/kubernetes@10 ClusterIP 169.254.2.1 https=10268"
            ]
        );
        config_maps(&cluster, 12, json!([]));
        let mut told = watch.refresh();
        told.sort();
        assert_eq!(
            told,
            [
                "ADDED shop/web@10 NodePort 10.96.0.1 https=443",
                "BOOKMARK 10",
                "MODIFIED default/kubernetes@10 ClusterIP 10.96.0.1 https=443"
            ]
        );
    }
}

#[test]
fn the_kubernetes_slice_of_a_running_stream_follows_the_config_map() {
    for encoding in ENCODINGS {
        let (cluster, client) = scene(encoding);
        config_maps(&cluster, 10, json!([]));
        for service in ["kubernetes", ""] {
            let object = slice("default/kubernetes", 4, service, "IPv4", &["-", "-"]);
            let mut watch = client(SLICES, "cilium-agent/1").follow(&[object, cart(5)], 10);
            config_maps(
                &cluster,
                11,
                json!([config_map(11, &[("forwardkubesvctraffic", "cilium-agent")]).json]),
            );
            assert_eq!(
                watch.refresh(),
                ["MODIFIED default/kubernetes@10 169.254.2.1 https=10268", "BOOKMARK 10"]
            );
            config_maps(&cluster, 12, json!([]));
            assert_eq!(
                watch.refresh(),
                ["MODIFIED default/kubernetes@10 10.0.0.0 10.0.0.1 https=6443", "BOOKMARK 10"]
            );
            cluster.invalidate_source(FactKind::ConfigMap);
            config_maps(&cluster, 10, json!([]));
        }
    }
}

#[test]
fn two_clients_of_one_node_that_get_different_things_are_told_apart() {
    for encoding in ENCODINGS {
        let (cluster, client) = scene(encoding);
        config_maps(&cluster, 10, json!([config_map(9, &[LINE]).json]));
        let (cilium, kubectl) = (client(SLICES, "cilium-agent/1"), client(SLICES, "kubectl/1"));
        assert_eq!(
            (cilium.list(&[cart(5)], 10), kubectl.list(&[cart(5)], 10)),
            (vec![CUT.to_owned()], vec![WHOLE.to_owned()])
        );
        let (mut cilium, mut kubectl) = (cilium.watch(10), kubectl.watch(10));
        assert_eq!((cilium.refresh(), kubectl.refresh()), (vec![], vec![]));
        // Unchanged events are suppressed for the one; the other, which gets no rewrite, gets
        // every event.
        assert_eq!(
            (cilium.says("MODIFIED", &cart(12)).len(), kubectl.says("MODIFIED", &cart(12)).len()),
            (0, 1)
        );
    }
}

#[test]
fn other_config_maps_pass_untouched() {
    let (cluster, _client) = scene(Encoding::Json);
    let view = cluster.node("me");
    for path in [
        "/api/v1/namespaces/shop/configmaps?watch=true",
        "/api/v1/namespaces/kube-system/configmaps/kube-proxy",
    ] {
        assert!(
            matches!(
                view.open(&RequestHead::get(path), &ResponseHead::ok("application/yaml")),
                Ok(Action::Forward)
            ),
            "{path}"
        );
    }
    // The client's own stream is a source of facts, too.
    let Ok(Action::Rewrite(mut stream)) =
        view.open(&RequestHead::get(BY_NAME), &ResponseHead::ok("application/json"))
    else {
        panic!()
    };
    let (body, mut out) =
        (super::world::list(&[config_map(9, &[LINE])], 10, Encoding::Json), BytesMut::new());
    stream.push(&body, &mut out).unwrap();
    stream.finish(&mut out).unwrap();
    assert_eq!((&*out, cluster.missing("me")), (&*body, vec![]));
    // Not one that cannot be read.
    let undecodable = event("ADDED", &envelope("v1", "ConfigMap", &record(1, [0xff])));
    push(
        &cluster,
        &format!("{CONFIG_MAPS}?watch=true&resourceVersion=10"),
        Encoding::Protobuf,
        &undecodable,
    );
    assert_eq!(cluster.counters().facts_undecodable, 1);
}

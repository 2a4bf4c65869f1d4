//! Every row of `docs/dialects.md`: KubeEdge's K1 to K20, SuperEdge's S1 to S20.

use poolscope::{Cluster, Config, Membership, RequestHead, ResponseHead};
use serde_json::json;

use super::world::{
    Client, ENCODINGS, Encoding, Object, SERVICES, SLICES, feed, nodes, service, slice,
};

const KUBEEDGE: &str = "apps.kubeedge.io/service-topology";
const GROUP: &str = "apps.kubeedge.io/belonging-to";

type Labels<'a> = &'a [(&'a str, &'a str)];

/// Node names with labels.
const GROUPED: &[(&str, Labels<'_>)] = &[
    ("a1", &[(GROUP, "a")]),
    ("a2", &[(GROUP, "a")]),
    ("b1", &[(GROUP, "b")]),
    ("u1", &[]),
    ("u2", &[]),
    ("e1", &[(GROUP, "")]),
];

const EVERYWHERE: &[&str] = &["a1", "a2", "b1", "u1", "u2", "e1", "ghost", "-"];

/// A cluster whose Service `shop/web` carries an annotation.
fn learned(
    config: Config,
    annotation: Option<(&str, &str)>,
    known: &[(&str, Labels<'_>)],
) -> Cluster {
    let cluster = Cluster::new(config).unwrap();
    let annotations: serde_json::Map<String, serde_json::Value> =
        annotation.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    feed(
        &cluster,
        SERVICES,
        "Service",
        1,
        json!([{"metadata": {"name": "web", "namespace": "shop", "annotations": annotations}}]),
    );
    nodes(&cluster, 1, known);
    cluster
}

/// The nodes of the endpoints that `node` sees of a slice, in both encodings alike; `-` for none.
fn seen(cluster: &Cluster, node: &str, on: &[&str], service: &str) -> Vec<String> {
    let each = ENCODINGS.map(|encoding| {
        let client = Client { view: cluster.node(node), path: SLICES, encoding };
        let line = client.get(&slice("shop/web-1", 5, service, "IPv4", on));
        let kept =
            line.split(' ').filter_map(|word| word.strip_prefix("10.0.0.")?.parse::<usize>().ok());
        kept.map(|at| on[at].to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(each[0], each[1]);
    each[0].clone()
}

fn kubeedge(value: Option<&str>, node: &str) -> Vec<String> {
    seen(
        &learned(Config::kubeedge(), value.map(|value| (KUBEEDGE, value)), GROUPED),
        node,
        EVERYWHERE,
        "web",
    )
}

#[test]
fn k1_k2_k3_what_asks_for_nothing_passes() {
    for value in [None, Some(""), Some("Range-NodeGroup"), Some("range-nodegroup "), Some("other")]
    {
        assert_eq!(kubeedge(value, "a1"), EVERYWHERE, "K1 {value:?}");
    }
    let cluster = learned(Config::kubeedge(), Some((KUBEEDGE, "range-nodegroup")), GROUPED);
    assert_eq!(seen(&cluster, "a1", EVERYWHERE, "unknown"), EVERYWHERE, "K2");
    assert_eq!(cluster.counters().passed_unknown_service, 2);
    assert_eq!(seen(&cluster, "a1", EVERYWHERE, ""), EVERYWHERE, "K3");
    // OpenYurt's annotation is another dialect's.
    let cluster = learned(
        Config::kubeedge(),
        Some(("openyurt.io/topologyKeys", "openyurt.io/nodepool")),
        GROUPED,
    );
    assert_eq!(seen(&cluster, "a1", EVERYWHERE, "web"), EVERYWHERE);
}

#[test]
fn k4_to_k13_groups() {
    let range = Some("range-nodegroup");
    assert_eq!(kubeedge(range, "a1"), ["a1", "a2"], "K4, K5, K6, K7, K10, K12");
    // Deliberately not K8: nodes without a group are no group.
    assert_eq!(kubeedge(range, "u1"), ["u1"], "K8, K9");
    assert_eq!(kubeedge(range, "e1"), ["e1"], "K8 with an empty label");
    assert_eq!(kubeedge(range, "ghost"), ["ghost"], "K4, K11");
    // The own node counts even where the configured pool does not name it.
    let mut config = Config::kubeedge();
    config.set_pool(Some("b".to_owned()));
    assert_eq!(
        seen(
            &learned(config, Some((KUBEEDGE, "range-nodegroup")), GROUPED),
            "a1",
            EVERYWHERE,
            "web"
        ),
        ["a1", "b1"],
        "K4"
    );
}

#[test]
fn k12_k13_k15_k16_k17_core_endpoints() {
    let cluster = learned(Config::kubeedge(), Some((KUBEEDGE, "range-nodegroup")), GROUPED);
    let client =
        Client { view: cluster.node("a1"), path: "/api/v1/endpoints", encoding: Encoding::Json };
    let get = |subsets: &str| {
        let head = r#"{"kind":"Endpoints","apiVersion":"v1","metadata":{"name":"web","namespace":"shop"},"subsets":"#;
        let (mut open, mut out) = (client.open("/web"), bytes::BytesMut::new());
        open.stream.push(format!("{head}{subsets}}}").as_bytes(), &mut out).unwrap();
        String::from_utf8(out.to_vec())
            .unwrap()
            .strip_prefix(head)
            .unwrap()
            .strip_suffix('}')
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        get(
            r#"[{"addresses":[{"ip":"1","nodeName":"a2"},{"ip":"2"}],"notReadyAddresses":[{"ip":"3","nodeName":"b1"},{"ip":"4","nodeName":"a1"}]}]"#
        ),
        r#"[{"addresses":[{"ip":"1","nodeName":"a2"}],"notReadyAddresses":[{"ip":"4","nodeName":"a1"}]}]"#,
        "K13, K16, K17"
    );
    assert_eq!(
        get(r#"[{"addresses":[{"ip":"1","nodeName":"b1"}],"ports":[{"port":80}]}]"#),
        "[]",
        "K15: a subset of nothing goes"
    );
}

#[test]
fn k14_a_slice_with_nothing_left_stays() {
    let cluster = learned(Config::kubeedge(), Some((KUBEEDGE, "range-nodegroup")), GROUPED);
    let client = Client { view: cluster.node("a1"), path: SLICES, encoding: Encoding::Json };
    assert_eq!(
        client.list(&[slice("shop/web-1", 5, "web", "IPv4", &["b1"])], 9),
        ["shop/web-1@5 https=6443"]
    );
    let body = client.list_bytes(&[slice("shop/web-1", 5, "web", "IPv4", &["b1"])], 9);
    assert!(String::from_utf8(body).unwrap().contains(r#""endpoints":[]"#), "K14");
}

#[test]
fn k18_k19_k20_only_the_kubernetes_slice_leads_elsewhere() {
    let config =
        Config::from_json(r#"{"dialect":"kubeedge","rewrites":{"forwardKubernetesService":{"host":"169.254.30.10","port":10550}}}"#)
            .unwrap();
    let cluster = learned(config, Some((KUBEEDGE, "range-nodegroup")), GROUPED);
    for encoding in ENCODINGS {
        let client = Client { view: cluster.node("a1"), path: SLICES, encoding };
        let items = [
            slice("default/kubernetes", 4, "kubernetes", "IPv4", &["-"]),
            slice("shop/web-1", 5, "web", "IPv4", &["a2"]),
            slice("shop/x-1", 6, "x", "IPv4", &["b1"]),
        ];
        assert_eq!(
            client.list(&items, 9),
            [
                "default/kubernetes@4 169.254.30.10 https=10550",
                "shop/web-1@5 10.0.0.0 https=6443",
                "shop/x-1@6 10.0.0.0 https=6443"
            ],
            "K18, K19"
        );
    }
    let client =
        Client { view: cluster.node("a1"), path: "/api/v1/endpoints", encoding: Encoding::Json };
    let body = r#"{"kind":"Endpoints","apiVersion":"v1","metadata":{"name":"kubernetes","namespace":"default"},"subsets":[{"addresses":[{"ip":"1"}]}]}"#;
    let (mut open, mut out) = (client.open("/kubernetes"), bytes::BytesMut::new());
    open.stream.push(body.as_bytes(), &mut out).unwrap();
    assert_eq!(out, body, "K20");
}

#[test]
fn a_node_that_changes_groups_is_told() {
    for encoding in ENCODINGS {
        let cluster = learned(Config::kubeedge(), Some((KUBEEDGE, "range-nodegroup")), GROUPED);
        let client = Client { view: cluster.node("a1"), path: SLICES, encoding };
        let mut watch = client.follow(&[slice("shop/web-1", 5, "web", "IPv4", &["a2", "b1"])], 9);
        nodes(
            &cluster,
            2,
            &[("a1", &[(GROUP, "b")]), ("a2", &[(GROUP, "a")]), ("b1", &[(GROUP, "b")])],
        );
        assert_eq!(watch.refresh(), ["MODIFIED shop/web-1@9 10.0.0.1 https=6443", "BOOKMARK 9"]);
    }
}

const RACKS: &[(&str, Labels<'_>)] = &[
    ("h", &[("zone", "1"), ("rack", "x")]),
    ("z", &[("zone", "1"), ("rack", "y")]),
    ("r", &[("zone", "2"), ("rack", "x")]),
    ("o", &[("zone", "2"), ("rack", "z")]),
    ("n", &[]),
    ("e", &[("zone", "")]),
];
const ALL: &[&str] = &["h", "z", "r", "o", "n", "e", "ghost", "-"];

fn superedge(value: Option<&str>, node: &str) -> Vec<String> {
    seen(
        &learned(Config::superedge(), value.map(|value| ("topologyKeys", value)), RACKS),
        node,
        ALL,
        "web",
    )
}

#[test]
fn s1_s2_s10_s11_what_asks_for_nothing_passes() {
    for value in [None, Some(""), Some("[]"), Some("zone"), Some(r#"["zone""#), Some(r#"[1]"#)] {
        assert_eq!(superedge(value, "h"), ALL, "S1 {value:?}");
    }
    for value in [r#"["*"]"#, r#"["zone","*"]"#] {
        assert_eq!(
            superedge(Some(value), "h"),
            ALL,
            "S10: `*` is every endpoint, not a label of that name"
        );
    }
    let cluster = learned(Config::superedge(), Some(("topologyKeys", r#"["zone"]"#)), RACKS);
    assert_eq!(seen(&cluster, "h", ALL, "unknown"), ALL, "S2");
    assert_eq!(cluster.counters().passed_unknown_service, 2);
    // By label, never by the slice's own name: this slice is called web-1, and would be of `web` by
    // its name.
    assert_eq!(seen(&cluster, "h", ALL, "web"), ["h", "z"], "S11");
}

#[test]
fn s3_to_s9_labels() {
    assert_eq!(superedge(Some(r#"["zone"]"#), "h"), ["h", "z"], "S3, S4, S7, S8");
    assert_eq!(superedge(Some(r#"["rack"]"#), "h"), ["h", "r"]);
    assert_eq!(superedge(Some(r#"["zone","rack"]"#), "h"), ["h", "z", "r"], "S9");
    // Deliberately not S5 and S6: the node itself always counts.
    for node in ["n", "e", "ghost"] {
        assert_eq!(superedge(Some(r#"["zone"]"#), node), [node], "S5, S6");
    }
    assert_eq!(superedge(Some(r#"["kubernetes.io/hostname"]"#), "h"), ["h"]);
    assert_eq!(superedge(Some(r#"["nobody-has-it"]"#), "h"), ["h"]);
}

#[test]
fn s12_s13_s14_core_endpoints_and_nothing_left() {
    let cluster = learned(Config::superedge(), Some(("topologyKeys", r#"["zone"]"#)), RACKS);
    let client =
        Client { view: cluster.node("h"), path: "/api/v1/endpoints", encoding: Encoding::Json };
    let body = r#"{"kind":"Endpoints","apiVersion":"v1","metadata":{"name":"web","namespace":"shop"},"subsets":[{"addresses":[{"ip":"1","nodeName":"o"}],"notReadyAddresses":[{"ip":"2","nodeName":"z"}]}]}"#;
    let (mut open, mut out) = (client.open("/web"), bytes::BytesMut::new());
    open.stream.push(body.as_bytes(), &mut out).unwrap();
    assert_eq!(out, body.replace(r#"{"ip":"1","nodeName":"o"}"#, ""), "S12, S14");
    let client = Client { path: SLICES, ..client };
    assert_eq!(
        client.list(&[slice("shop/web-1", 5, "web", "IPv4", &["o"])], 9),
        ["shop/web-1@5 https=6443"],
        "S13"
    );
}

#[test]
fn s15_the_address_on_the_node_comes_from_the_configuration() {
    let config =
        Config::from_json(r#"{"dialect":"superedge","rewrites":{"forwardKubernetesService":{"host":"169.254.20.11","port":51003}}}"#)
            .unwrap();
    let cluster = learned(config, None, RACKS);
    for encoding in ENCODINGS {
        let client = Client { view: cluster.node("h"), path: SLICES, encoding };
        assert_eq!(
            client.get(&slice("default/kubernetes", 4, "kubernetes", "IPv4", &["-"])),
            "default/kubernetes@4 169.254.20.11 https=51003"
        );
    }
}

#[test]
fn s16_to_s20_no_health_but_the_api_servers_own_is_asked_for() {
    // Whatever its neighbours report, an endpoint is judged by its node; whether it is
    // ready, its proxy looks at.
    assert_eq!(superedge(Some(r#"["zone"]"#), "h"), ["h", "z"], "S16, S17");
    assert_eq!(superedge(None, "h"), ALL, "S18, S19, S20");
}

#[test]
fn labels_that_change_are_told_of_at_once() {
    for encoding in ENCODINGS {
        let cluster = learned(Config::superedge(), Some(("topologyKeys", r#"["zone"]"#)), RACKS);
        let client = Client { view: cluster.node("h"), path: SLICES, encoding };
        let mut watch =
            client.follow(&[slice("shop/web-1", 5, "web", "IPv4", &["z", "r", "o"])], 9);
        let told =
            |watch: &mut super::world::Watch| watch.refresh().first().cloned().unwrap_or_default();
        // A peer moves in, a label that nobody asks for changes, the node itself moves.
        nodes(
            &cluster,
            2,
            &[
                ("h", &[("zone", "1")]),
                ("z", &[("zone", "1")]),
                ("r", &[("zone", "2")]),
                ("o", &[("zone", "1")]),
            ],
        );
        assert_eq!(told(&mut watch), "MODIFIED shop/web-1@9 10.0.0.0 10.0.0.2 https=6443");
        nodes(
            &cluster,
            3,
            &[
                ("h", &[("zone", "1"), ("x", "y")]),
                ("z", &[("zone", "1")]),
                ("r", &[("zone", "2")]),
                ("o", &[("zone", "1")]),
            ],
        );
        assert_eq!(told(&mut watch), "");
        nodes(
            &cluster,
            4,
            &[
                ("h", &[("zone", "2")]),
                ("z", &[("zone", "1")]),
                ("r", &[("zone", "2")]),
                ("o", &[("zone", "1")]),
            ],
        );
        assert_eq!(told(&mut watch), "MODIFIED shop/web-1@9 10.0.0.1 https=6443");
        // The Service asks for another label.
        let annotate = |version: u64, value: &str| {
            feed(
                &cluster,
                SERVICES,
                "Service",
                version,
                json!([{
                    "metadata": {
                        "name": "web",
                        "namespace": "shop",
                        "annotations": {"topologyKeys": value},
                    },
                }]),
            )
        };
        nodes(
            &cluster,
            5,
            &[
                ("h", &[("zone", "2"), ("rack", "a")]),
                ("z", &[("zone", "1"), ("rack", "a")]),
                ("r", &[("zone", "2")]),
                ("o", &[("zone", "1")]),
            ],
        );
        assert_eq!(told(&mut watch), "");
        annotate(2, r#"["rack"]"#);
        assert_eq!(told(&mut watch), "MODIFIED shop/web-1@9 10.0.0.0 https=6443");
        annotate(3, r#"["rack","zone"]"#);
        assert_eq!(told(&mut watch), "MODIFIED shop/web-1@9 10.0.0.0 10.0.0.1 https=6443");
        annotate(4, "");
        assert_eq!(told(&mut watch), "MODIFIED shop/web-1@9 10.0.0.0 10.0.0.1 10.0.0.2 https=6443");
    }
}

#[test]
fn one_label_is_enough_for_superedge_where_the_configuration_names_it() {
    let mut config = Config::superedge();
    config.set_membership(Membership::NodeLabel("zone".to_owned()));
    for (value, kept) in [
        (r#"["zone"]"#, &["h", "z"][..]),
        (r#"["zone","rack"]"#, &["h", "z"]),
        (r#"["rack"]"#, &["h"]),
    ] {
        assert_eq!(
            seen(&learned(config.clone(), Some(("topologyKeys", value)), RACKS), "h", ALL, "web"),
            kept,
            "{value}"
        );
    }
    config.set_membership(Membership::Off);
    assert_eq!(
        seen(&learned(config, Some(("topologyKeys", r#"["zone"]"#)), &[]), "h", ALL, "web"),
        ALL,
        "O10"
    );
}

#[test]
fn poolscopes_own_annotation() {
    const ZONE: &str = "topology.kubernetes.io/zone";
    let known: &[(&str, Labels<'_>)] =
        &[("a1", &[(ZONE, "a")]), ("a2", &[(ZONE, "a")]), ("b1", &[(ZONE, "b")]), ("u1", &[])];
    let on = &["a1", "a2", "b1", "u1", "-"];
    for (value, node, kept) in [
        ("node", "a1", &["a1"][..]),
        ("pool", "a1", &["a1", "a2"]),
        ("pool", "u1", &["u1"]),
        ("Pool", "a1", on),
        ("node,pool,*", "a2", &["a2"]),
        ("pool, *", "a1", &["a1", "a2"]),
        ("", "a1", on),
    ] {
        let cluster = learned(Config::poolscope(), Some(("poolscope.io/topology", value)), known);
        assert_eq!(seen(&cluster, node, on, "web"), kept, "{value:?} on {node}");
    }
    // With nothing usable near, a topology fallback continues.
    let cluster =
        learned(Config::poolscope(), Some(("poolscope.io/topology", "node,pool,*")), known);
    assert_eq!(seen(&cluster, "a1", &["b1", "u1"], "web"), ["b1", "u1"]);
    assert_eq!(seen(&cluster, "a1", &["b1", "a2"], "web"), ["a2"]);
}

#[test]
fn any_label_of_nodes_or_cilium_nodes_may_be_the_pool() {
    let (zone, keys) =
        ("topology.kubernetes.io/zone", Some(("openyurt.io/topologyKeys", "openyurt.io/nodepool")));
    let known: &[(&str, Labels<'_>)] =
        &[("a1", &[(zone, "a")]), ("a2", &[(zone, "a")]), ("b1", &[(zone, "b")])];
    assert_eq!(
        seen(&learned(Config::node_label(zone), keys, known), "a1", &["a1", "a2", "b1"], "web"),
        ["a1", "a2"]
    );
    let mut config = Config::openyurt();
    config.set_membership(Membership::CiliumNodeLabel(zone.to_owned()));
    let cluster = learned(config, keys, known);
    let label = |name: &str, value: &str| {
        json!({
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumNode",
            "metadata": {"name": name, "labels": {zone: value}},
        })
    };
    feed(
        &cluster,
        "/apis/cilium.io/v2/ciliumnodes",
        "CiliumNode",
        1,
        json!([label("a1", "a"), label("a2", "b"), label("b1", "a")]),
    );
    assert_eq!(seen(&cluster, "a1", &["a1", "a2", "b1"], "web"), ["a1", "b1"]);
}

#[test]
fn node_ports_are_isolated_by_whatever_makes_pools() {
    for (config, label, path) in [
        (Config::kubeedge(), GROUP, "/api/v1/nodes"),
        (Config::node_label("zone"), "zone", "/api/v1/nodes"),
    ] {
        let mut config = config;
        config.set_node_port_isolation(true);
        let cluster = Cluster::new(config).unwrap();
        let missing: Vec<_> = match cluster
            .node("a1")
            .open(&RequestHead::get(SERVICES), &ResponseHead::ok("application/json"))
        {
            Ok(poolscope::Action::Reply(poolscope::Reply {
                cause: poolscope::ReplyCause::MissingFacts(missing),
                ..
            })) => missing,
            other => panic!("{other:?}"),
        };
        assert_eq!(&*missing[0].path, format!("{path}/a1"));
        nodes(&cluster, 1, &[("a1", &[(label, "a")])]);
        let client =
            Client { view: cluster.node("a1"), path: SERVICES, encoding: Encoding::Protobuf };
        let listening = |pools: &str| -> Object {
            service("shop/web", 5, "NodePort", &[(super::world::LISTEN, pools)])
        };
        assert_eq!(
            (client.list(&[listening("b")], 9).len(), client.list(&[listening("b,a")], 9).len()),
            (0, 1)
        );
    }
}

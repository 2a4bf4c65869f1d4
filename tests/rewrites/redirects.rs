//! The Service and the slice default/kubernetes lead to an address on the node.

use bytes::BytesMut;
use poolscope::{Cluster, Config, Hub, ProtobufLists};
use serde_json::json;

use super::told;
use super::world::{
    Client, ENCODINGS, Encoding, Object, SERVICES, SLICES, Watch, cluster, everything, list,
    service, service_at, slice,
};

fn client(encoding: Encoding, path: &'static str, config: Config) -> (Cluster, Client) {
    let cluster = cluster(config, "hangzhou");
    let client = Client { view: cluster.node("me"), path, encoding };
    (cluster, client)
}

fn hub(host: &str, port: u16) -> Config {
    let hub = Some(Hub { host: host.parse().unwrap(), port });
    let mut config = everything();
    config.set_master_service(hub).set_forward_kubernetes_service(hub);
    config
}

const KUBERNETES: &str = "default/kubernetes";

#[test]
fn m1_m2_the_service_leads_to_the_hub() {
    let ports: &[(&str, u16)] = &[("metrics", 9100), ("https", 443), ("https", 6443)];
    for encoding in ENCODINGS {
        for (host, ips) in [
            ("169.254.2.1", &["10.96.0.1"][..]),
            ("127.0.0.1", &["10.96.0.1", "fd00:96::1"]),
            ("fd00:ffff:ffff:ffff:ffff:ffff:ffff:1", &["10.96.0.1"]),
        ] {
            let (cluster, client) = client(encoding, SERVICES, hub(host, 10268));
            let object = service_at(KUBERNETES, 7, "ClusterIP", &[], ips, ports);
            let expected = format!(
                "default/kubernetes@7 ClusterIP {host} metrics=9100 https=10268 https=6443"
            );
            assert_eq!(client.get(&object), expected, "{encoding:?} {host}");
            for lists in [ProtobufLists::Padded, ProtobufLists::Compact] {
                let mut config = hub(host, 10268);
                config.set_protobuf_lists(lists);
                let (_, client) = self::client(encoding, SERVICES, config);
                let items = [
                    service("alpha/x", 1, "ClusterIP", &[]),
                    object.clone(),
                    service("shop/y", 2, "ClusterIP", &[]),
                ];
                let told = client.list(&items, 10);
                assert_eq!(told[1], expected, "{encoding:?} {host} {lists:?}");
                assert_eq!((told.len(), &*told[2]), (3, "shop/y@2 ClusterIP 10.96.0.1 https=443"));
            }
            let mut watch = client.follow(&[], 10);
            assert_eq!(watch.says("ADDED", &object), [format!("ADDED {expected}")]);
            assert_eq!(watch.says("DELETED", &object), [format!("DELETED {expected}")]);
            assert_eq!(cluster.counters().objects_redirected, 3);
        }
    }
}

#[test]
fn m2_a_service_without_a_port_of_that_name_keeps_its_ports() {
    for encoding in ENCODINGS {
        let (_, client) = client(encoding, SERVICES, everything());
        let object = service_at(
            KUBERNETES,
            7,
            "ClusterIP",
            &[],
            &["10.96.0.1"],
            &[("HTTPS", 443), ("", 80)],
        );
        assert_eq!(client.get(&object), "default/kubernetes@7 ClusterIP 169.254.2.1 HTTPS=443 =80");
        for other in ["shop/kubernetes", "default/kubernetes-x"] {
            assert_eq!(
                client.get(&service(other, 7, "ClusterIP", &[])),
                format!("{other}@7 ClusterIP 10.96.0.1 https=443")
            );
        }
    }
}

#[test]
fn everything_else_of_the_service_keeps_its_bytes() {
    let (_, client) = client(Encoding::Json, SERVICES, everything());
    let get = |spec: &str| {
        let body = format!(
            r#"{{"kind":"Service","apiVersion":"v1","metadata":{{"name":"kubernetes","namespace":"default"}} , "spec":{spec},"new":1.50}}"#
        );
        let (mut get, mut out) = (client.open("/kubernetes"), BytesMut::new());
        get.stream.push(body.as_bytes(), &mut out).unwrap();
        get.stream.finish(&mut out).unwrap();
        let text = String::from_utf8(out.to_vec()).unwrap();
        let (head, tail) = body.split_once(spec).unwrap();
        text.strip_prefix(head).unwrap().strip_suffix(tail).unwrap().to_owned()
    };
    assert_eq!(
        get(
            r#"{ "ports" : [ {"name":"https","port": 443 ,"x":[1]} ], "clusterIP" : "10.96.0.1", "clusterIPs":["a" , "b"], "z":null}"#
        ),
        r#"{ "ports" : [ {"name":"https","port": 10268 ,"x":[1]} ], "clusterIP" : "169.254.2.1", "clusterIPs":["169.254.2.1"], "z":null}"#
    );
    // Missing fields are inserted.
    assert_eq!(get("{}"), r#"{"clusterIP":"169.254.2.1","clusterIPs":["169.254.2.1"]}"#);
    assert_eq!(
        get(r#"{ "clusterIP":"1" }"#),
        r#"{"clusterIPs":["169.254.2.1"], "clusterIP":"169.254.2.1" }"#
    );
    assert_eq!(
        get(r#"{"clusterIP":null,"clusterIPs":null,"ports":[{"name":"https"}]}"#),
        r#"{"clusterIP":"169.254.2.1","clusterIPs":["169.254.2.1"],"ports":[{"port":10268,"name":"https"}]}"#
    );
    // Some decoder reads each of two duplicates.
    assert_eq!(
        get(
            r#"{"clusterIP":"1","clusterIP":"2","clusterIPs":[],"ports":[{"name":"https","port":1}],"ports":[{"name":"h\u0074tps","port":2},{"name":"https","port":3}]}"#
        ),
        r#"{"clusterIP":"169.254.2.1","clusterIP":"169.254.2.1","clusterIPs":["169.254.2.1"],"ports":[{"name":"https","port":10268}],"ports":[{"name":"h\u0074tps","port":10268},{"name":"https","port":3}]}"#
    );
}

#[test]
fn f1_the_slice_of_the_hubs_family_leads_to_the_hub() {
    for encoding in ENCODINGS {
        for (host, family, other) in [("169.254.2.1", "IPv4", "IPv6"), ("fd00::1", "IPv6", "IPv4")]
        {
            let (cluster, client) = client(encoding, SLICES, hub(host, 10268));
            let expected = format!("default/kubernetes@7 {host} https=10268");
            for on in [&["-"][..], &["-", "-", "-", "-", "-"], &[]] {
                assert_eq!(
                    client.get(&slice(KUBERNETES, 7, "kubernetes", family, on)),
                    expected,
                    "{encoding:?} {host} {on:?}"
                );
            }
            let (object, six) = (
                slice(KUBERNETES, 7, "kubernetes", family, &["-"]),
                slice(KUBERNETES, 8, "kubernetes", other, &["-"]),
            );
            let ip = if other == "IPv6" { "fd00::0" } else { "10.0.0.0" };
            assert_eq!(client.get(&six), format!("default/kubernetes@8 {ip} https=6443"));
            let mut watch = client.follow(std::slice::from_ref(&object), 10);
            assert_eq!(
                watch.says("MODIFIED", &slice(KUBERNETES, 11, "kubernetes", family, &["-", "-"])),
                [""; 0],
                "the same to the client"
            );
            assert_eq!(
                watch
                    .says(
                        "MODIFIED",
                        &slice("default/kubernetes-x", 12, "kubernetes", family, &["-"])
                    )
                    .len(),
                1
            );
            assert!(cluster.counters().objects_redirected >= 5);
            for lists in [ProtobufLists::Padded, ProtobufLists::Compact] {
                let mut config = hub(host, 10268);
                config.set_protobuf_lists(lists);
                let (_, client) = self::client(encoding, SLICES, config);
                let items = [
                    slice("alpha/x", 1, "x", family, &["a", "b"]),
                    object.clone(),
                    slice("shop/y", 2, "y", family, &["a"]),
                ];
                let told = client.list(&items, 10);
                assert_eq!((told.len(), &told[1]), (3, &expected), "{encoding:?} {lists:?}");
            }
        }
    }
}

#[test]
fn a_slice_that_leads_to_the_hub_is_not_judged_by_its_service() {
    for encoding in ENCODINGS {
        let (cluster, client) = client(encoding, SLICES, everything());
        super::world::feed(
            &cluster,
            "/api/v1/services",
            "Service",
            9,
            json!([{"metadata": {"name": "kubernetes", "namespace": "default",
            "annotations": {"openyurt.io/topologyKeys": "openyurt.io/nodepool"}}}]),
        );
        let object = slice(KUBERNETES, 7, "kubernetes", "IPv4", &["-"]);
        let mut watch = client.follow(std::slice::from_ref(&object), 10);
        assert_eq!(client.get(&object), "default/kubernetes@7 169.254.2.1 https=10268");
        super::world::feed(&cluster, "/api/v1/services", "Service", 10, json!([]));
        assert_eq!(watch.refresh(), [""; 0]);
    }
}

#[test]
fn a_streamed_list_is_held_back_only_until_the_one_has_come() {
    for (path, make) in [
        (
            SERVICES,
            (|name: &str, version| service(name, version, "ClusterIP", &[]))
                as fn(&str, u64) -> Object,
        ),
        (SLICES, |name, version| slice(name, version, "x", "IPv4", &["a"])),
    ] {
        let (_, client) = client(Encoding::Protobuf, path, everything());
        let mut items = vec![make("alpha/x", 1), make(KUBERNETES, 2)];
        items.extend((0..50).map(|at| make(&format!("shop/s{at}"), 10 + at)));
        let body = list(&items, 100, Encoding::Protobuf);
        let behind = body.windows(3).position(|window| window == b"s10").unwrap();
        let (mut open, mut out) = (client.open(""), BytesMut::new());
        open.stream.push(&body[..behind], &mut out).unwrap();
        assert!(out.windows(3).any(|window| window == b"s8\x1a"), "given as it comes");
        open.stream.push(&body[behind..], &mut out).unwrap();
        open.stream.finish(&mut out).unwrap();
        assert_eq!(told::list(Encoding::Protobuf, &out).len(), 52);
        // A slice of another family is not redirected, and no other has that name.
        if path == SLICES {
            items[1] = slice(KUBERNETES, 2, "kubernetes", "IPv6", &["-"]);
            let body = list(&items, 100, Encoding::Protobuf);
            let behind = body.windows(3).position(|window| window == b"s10").unwrap();
            let mut open = client.open("");
            out.clear();
            open.stream.push(&body[..behind], &mut out).unwrap();
            assert!(out.windows(3).any(|window| window == b"s8\x1a"), "given as it comes");
        }
        // A list of another namespace cannot have it.
        let mut open = Watch { stream: open_in(&client, "shop"), encoding: Encoding::Protobuf };
        let items: Vec<Object> = (0..50).map(|at| make(&format!("shop/s{at}"), 10 + at)).collect();
        let body = list(&items, 100, Encoding::Protobuf);
        out.clear();
        open.stream.push(&body[..body.len() - 20], &mut out).unwrap();
        assert!(out.len() > body.len() / 2);
    }
}

/// The stream of a list of one namespace.
pub fn open_in(client: &Client, namespace: &str) -> poolscope::BodyRewriter {
    let (root, plural) = client.path.rsplit_once('/').unwrap();
    let request = poolscope::RequestHead::get(format!("{root}/namespaces/{namespace}/{plural}"));
    match client.view.open(&request, &poolscope::ResponseHead::ok(client.encoding.media_type())) {
        Ok(poolscope::Action::Rewrite(stream)) => stream,
        other => panic!("{other:?}"),
    }
}

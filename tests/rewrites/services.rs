//! Services that a node may not see: lists, watches, single objects, refreshes, reconnects.

use bytes::BytesMut;
use poolscope::{
    Action, Cluster, Config, ProtobufLists, ReplyCause, RequestHead, ResponseHead, Retention,
    Topology,
};

use super::told;
use super::world::{
    Client, DISCARD, ENCODINGS, Encoding, LISTEN, Object, SERVICES, Watch, cluster, everything,
    list, move_me, nodes, service,
};
use poolscope_testkit::random_chunks;

/// A Service with a node port for these pools.
fn listening(name: &str, version: u64, pools: &str) -> Object {
    service(name, version, "NodePort", &[(LISTEN, pools)])
}

fn scene(encoding: Encoding, config: Config, pool: &str) -> (Cluster, Client) {
    let cluster = cluster(config, pool);
    let client = Client { view: cluster.node("me"), path: SERVICES, encoding };
    (cluster, client)
}

fn hangzhou(encoding: Encoding) -> (Cluster, Client) {
    scene(encoding, everything(), "hangzhou")
}

fn all_kinds() -> Vec<Object> {
    vec![
        listening("shop/a-hidden", 1, "shanghai"),
        listening("shop/b-shown", 2, "hangzhou, shanghai"),
        service("shop/c-cloud", 3, "LoadBalancer", &[(DISCARD, "true")]),
        service("shop/d-plain", 4, "ClusterIP", &[(LISTEN, "shanghai"), (DISCARD, "true")]),
        listening("shop/e-hidden", 5, "-hangzhou,*"),
    ]
}

const SHOWN: [&str; 2] =
    ["shop/b-shown@2 NodePort 10.96.0.1 https=443", "shop/d-plain@4 ClusterIP 10.96.0.1 https=443"];

#[test]
fn a_list_leaves_out_what_is_hidden() {
    for encoding in ENCODINGS {
        for lists in [ProtobufLists::Padded, ProtobufLists::Compact] {
            let mut config = everything();
            config.set_protobuf_lists(lists);
            let (cluster, client) = scene(encoding, config, "hangzhou");
            let items = all_kinds();
            assert_eq!(client.list(&items, 10), SHOWN, "{encoding:?} {lists:?}");
            assert_eq!(
                (cluster.counters().services, cluster.counters().services_filtered_out),
                (5, 3)
            );
            // Whichever of them are there, and in whatever order.
            for kept in 0..1 << items.len() {
                let some: Vec<Object> = items
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| kept >> at & 1 == 1)
                    .map(|(_, item)| item.clone())
                    .collect();
                let shown: Vec<&str> = [1, 3]
                    .into_iter()
                    .filter(|at| kept >> at & 1 == 1)
                    .map(|at| SHOWN[at / 2])
                    .collect();
                assert_eq!(client.list(&some, 10), shown);
                let turned: Vec<Object> = some.into_iter().rev().collect();
                assert_eq!(client.list(&turned, 10), shown.into_iter().rev().collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn a_list_in_which_nothing_is_hidden_passes_byte_for_byte() {
    for encoding in ENCODINGS {
        let (_cluster, client) = hangzhou(encoding);
        let items = [listening("shop/b", 2, "*"), service("shop/d", 4, "ClusterIP", &[])];
        assert_eq!(client.list_bytes(&items, 10), list(&items, 10, encoding));
        assert_eq!(client.list_bytes(&[], 10), list(&[], 10, encoding));
    }
}

#[test]
fn a_streamed_protobuf_list_keeps_its_size_and_says_nothing_of_what_is_hidden() {
    let mut config = everything();
    // Nothing that may grow, so nothing is held back.
    config.set_master_service(None);
    let (_cluster, client) = scene(Encoding::Protobuf, config, "hangzhou");
    let (items, body) = (all_kinds(), list(&all_kinds(), 10, Encoding::Protobuf));
    let out = client.list_bytes(&items, 10);
    assert_eq!(out.len(), body.len());
    for hidden in ["a-hidden", "c-cloud", "e-hidden"] {
        assert!(!out.windows(hidden.len()).any(|window| window == hidden.as_bytes()), "{hidden}");
    }
    assert_eq!(told::list(Encoding::Protobuf, &out), SHOWN);
}

#[test]
fn chunking_never_matters() {
    for encoding in ENCODINGS {
        for lists in [ProtobufLists::Padded, ProtobufLists::Compact] {
            let mut config = everything();
            config.set_protobuf_lists(lists);
            let (_cluster, client) = scene(encoding, config, "hangzhou");
            let mut items = all_kinds();
            items.insert(2, service("default/kubernetes", 9, "ClusterIP", &[]));
            let body = list(&items, 10, encoding);
            let whole = client.list_bytes(&items, 10);
            for seed in 0..60 {
                let (mut open, mut out, mut rest) = (client.open(""), BytesMut::new(), &*body);
                let mut sizes = random_chunks(seed, 1 + seed as usize * 7);
                while !rest.is_empty() {
                    let (chunk, after) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                    open.stream.push(chunk, &mut out).unwrap();
                    rest = after;
                }
                open.stream.finish(&mut out).unwrap();
                assert_eq!(out, whole, "{encoding:?} {lists:?} {seed}");
            }
        }
    }
}

#[test]
fn a_single_object_that_is_hidden_is_not_found() {
    for encoding in ENCODINGS {
        let (_cluster, client) = hangzhou(encoding);
        assert_eq!(
            client.get(&listening("shop/web", 5, "shanghai")),
            r#"Status 404 NotFound services "web" not found"#
        );
        assert_eq!(
            client.get(&listening("shop/web", 5, "hangzhou")),
            "shop/web@5 NodePort 10.96.0.1 https=443"
        );
    }
}

#[test]
fn a_service_that_becomes_hidden_is_deleted_and_one_that_becomes_visible_is_added() {
    for encoding in ENCODINGS {
        let (_cluster, client) = hangzhou(encoding);
        let mut watch = client.follow(
            &[listening("shop/web", 5, "hangzhou"), listening("shop/db", 6, "shanghai")],
            10,
        );
        // Its annotation changes, and its type.
        assert_eq!(
            watch.says("MODIFIED", &listening("shop/web", 11, "shanghai")),
            ["DELETED shop/web@11 NodePort 10.96.0.1 https=443"]
        );
        assert_eq!(watch.says("MODIFIED", &listening("shop/web", 12, "beijing")), [""; 0]);
        assert_eq!(
            watch.says("MODIFIED", &service("shop/web", 13, "ClusterIP", &[(LISTEN, "beijing")])),
            ["ADDED shop/web@13 ClusterIP 10.96.0.1 https=443"]
        );
        assert_eq!(
            watch.says("MODIFIED", &service("shop/web", 14, "ClusterIP", &[])),
            ["MODIFIED shop/web@14 ClusterIP 10.96.0.1 https=443"]
        );
        assert_eq!(
            watch.says("MODIFIED", &listening("shop/db", 15, "hangzhou")),
            ["ADDED shop/db@15 NodePort 10.96.0.1 https=443"]
        );
        assert_eq!(
            watch.says("DELETED", &listening("shop/db", 16, "shanghai")),
            ["DELETED shop/db@16 NodePort 10.96.0.1 https=443"]
        );
    }
}

#[test]
fn nothing_is_deleted_that_the_client_never_had() {
    for encoding in ENCODINGS {
        let (_cluster, client) = hangzhou(encoding);
        let mut watch = client.follow(&[listening("shop/db", 6, "shanghai")], 10);
        assert_eq!(watch.says("ADDED", &listening("shop/web", 11, "shanghai")), [""; 0]);
        assert_eq!(watch.says("MODIFIED", &listening("shop/web", 12, "shanghai")), [""; 0]);
        assert_eq!(watch.says("DELETED", &listening("shop/web", 13, "shanghai")), [""; 0]);
        assert_eq!(watch.says("DELETED", &listening("shop/db", 14, "shanghai")), [""; 0]);
        // And made anew, visible.
        assert_eq!(
            watch.says("ADDED", &listening("shop/db", 15, "*")),
            ["ADDED shop/db@15 NodePort 10.96.0.1 https=443"]
        );
    }
}

#[test]
fn initial_events_are_without_what_is_hidden() {
    for encoding in ENCODINGS {
        let (_cluster, client) = hangzhou(encoding);
        let mut watch = client.open(
            "?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&\
             resourceVersionMatch=NotOlderThan",
        );
        assert_eq!(watch.says("ADDED", &listening("shop/db", 6, "shanghai")), [""; 0]);
        assert_eq!(
            watch.says("ADDED", &listening("shop/web", 7, "hangzhou")),
            ["ADDED shop/web@7 NodePort 10.96.0.1 https=443"]
        );
        assert_eq!(watch.bookmark(10, true), ["BOOKMARK 10"]);
        assert_eq!(watch.says("DELETED", &listening("shop/db", 11, "shanghai")), [""; 0]);
        // Without an announcement.
        let mut watch = client.open("?watch=true&resourceVersion=0");
        assert_eq!(watch.says("ADDED", &listening("shop/db", 6, "shanghai")), [""; 0]);
        assert_eq!(
            watch.says("MODIFIED", &listening("shop/db", 8, "*")),
            ["ADDED shop/db@8 NodePort 10.96.0.1 https=443"]
        );
    }
}

#[test]
fn what_becomes_hidden_among_the_initial_events_is_deleted_at_once() {
    // A server whose cache lags brings what it missed before it says that this was all.
    for encoding in ENCODINGS {
        let (cluster, client) = hangzhou(encoding);
        let mut watch = client.open(
            "?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&\
             resourceVersionMatch=NotOlderThan",
        );
        assert_eq!(
            watch.says("ADDED", &listening("shop/web", 7, "hangzhou")),
            ["ADDED shop/web@7 NodePort 10.96.0.1 https=443"]
        );
        assert_eq!(
            watch.says("ADDED", &listening("shop/db", 8, "hangzhou")),
            ["ADDED shop/db@8 NodePort 10.96.0.1 https=443"]
        );
        assert_eq!(
            watch.says("MODIFIED", &listening("shop/web", 11, "shanghai")),
            ["DELETED shop/web@11 NodePort 10.96.0.1 https=443"]
        );
        move_me(&cluster, 2, "shanghai");
        assert_eq!(
            watch.says("MODIFIED", &listening("shop/db", 12, "hangzhou")),
            ["DELETED shop/db@12 NodePort 10.96.0.1 https=443"]
        );
        assert_eq!(watch.says("MODIFIED", &listening("shop/db", 13, "hangzhou")), [""; 0]);
        let told = watch.bookmark(13, true);
        assert_eq!(told, ["BOOKMARK 13"]);
        assert_eq!(
            watch.refresh(),
            ["ADDED shop/web@13 NodePort 10.96.0.1 https=443", "BOOKMARK 13"]
        );
    }
}

fn moving(encoding: Encoding, retention: Retention) -> (Cluster, Client, Watch) {
    let mut config = everything();
    config.set_retention(retention);
    let (cluster, client) = scene(encoding, config, "hangzhou");
    let items = [
        listening("shop/db", 6, "shanghai"),
        listening("shop/web", 5, "hangzhou"),
        service("shop/plain", 4, "NodePort", &[]),
    ];
    let watch = client.follow(&items, 10);
    (cluster, client, watch)
}

#[test]
fn a_node_that_changes_pools_is_told_of_the_services_that_this_shows_and_hides() {
    for encoding in ENCODINGS {
        for retention in [Retention::Full, Retention::Topology] {
            let (cluster, _client, mut watch) = moving(encoding, retention);
            move_me(&cluster, 2, "shanghai");
            assert!(watch.stream.needs_refresh());
            let mut told = watch.refresh();
            assert_eq!(told.pop().unwrap(), "BOOKMARK 10");
            told.sort();
            assert_eq!(
                told,
                [
                    "ADDED shop/db@10 NodePort 10.96.0.1 https=443",
                    "DELETED shop/web@10 NodePort 10.96.0.1 https=443"
                ]
            );
            assert_eq!(watch.refresh(), [""; 0]);
            // Into no pool: everything is shown (N2).
            move_me(&cluster, 3, "");
            assert_eq!(
                watch.refresh(),
                ["ADDED shop/web@10 NodePort 10.96.0.1 https=443", "BOOKMARK 10"]
            );
            // And back.
            move_me(&cluster, 4, "hangzhou");
            assert_eq!(
                watch.refresh(),
                ["DELETED shop/db@10 NodePort 10.96.0.1 https=443", "BOOKMARK 10"]
            );
            assert_eq!(watch.bookmark(20, false), ["BOOKMARK 20"]);
        }
    }
}

#[test]
fn without_originals_the_client_lists_again() {
    for encoding in ENCODINGS {
        let (cluster, client, mut watch) = moving(encoding, Retention::None);
        move_me(&cluster, 2, "shanghai");
        let told = watch.refresh();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("ERROR Status 410 Expired"), "{told:?}");
        assert!(watch.stream.is_ended());
        assert_eq!(
            client
                .list(
                    &[listening("shop/db", 6, "shanghai"), listening("shop/web", 5, "hangzhou")],
                    12
                )
                .len(),
            1
        );
        // Where no pool has a say nothing has changed.
        let mut watch = client.follow(&[service("shop/plain", 15, "NodePort", &[])], 20);
        move_me(&cluster, 3, "hangzhou");
        assert_eq!(watch.refresh(), [""; 0]);
    }
}

#[test]
fn a_client_that_comes_back_is_not_told_of_what_it_never_had() {
    for encoding in ENCODINGS {
        let (_cluster, client) = hangzhou(encoding);
        let mut watch = client.follow(
            &[listening("shop/db", 6, "shanghai"), listening("shop/web", 5, "hangzhou")],
            10,
        );
        assert_eq!(watch.says("ADDED", &listening("shop/new", 11, "shanghai")), [""; 0]);
        assert_eq!(watch.says("MODIFIED", &listening("shop/db", 12, "beijing")), [""; 0]);
        assert_eq!(watch.says("DELETED", &listening("shop/new", 13, "shanghai")), [""; 0]);
        assert_eq!(watch.says("MODIFIED", &listening("shop/web", 14, "shanghai")).len(), 1);
        drop(watch);
        // Nothing of these reached it but the bookmark of its list.
        let mut watch = client.watch(10);
        assert_eq!(watch.refresh(), [""; 0]);
        assert_eq!(watch.says("ADDED", &listening("shop/new", 11, "shanghai")), [""; 0]);
        assert_eq!(watch.says("MODIFIED", &listening("shop/db", 12, "beijing")), [""; 0]);
        assert_eq!(watch.says("DELETED", &listening("shop/new", 13, "shanghai")), [""; 0]);
        // This one it has.
        assert_eq!(
            watch.says("MODIFIED", &listening("shop/web", 14, "shanghai")),
            ["DELETED shop/web@14 NodePort 10.96.0.1 https=443"]
        );
        drop(watch);
        let mut watch = client.watch(12);
        // In the middle of what went by.
        assert_eq!(watch.says("DELETED", &listening("shop/new", 13, "shanghai")), [""; 0]);
    }
}

#[test]
fn a_deletion_that_may_not_have_arrived_is_said_again() {
    for encoding in ENCODINGS {
        let (cluster, client) = hangzhou(encoding);
        let mut watch = client.follow(&[listening("shop/web", 5, "hangzhou")], 10);
        move_me(&cluster, 2, "shanghai");
        assert_eq!(
            watch.refresh(),
            ["DELETED shop/web@10 NodePort 10.96.0.1 https=443", "BOOKMARK 10"]
        );
        drop(watch);
        let mut watch = client.watch(10);
        assert_eq!(
            watch.refresh(),
            ["DELETED shop/web@10 NodePort 10.96.0.1 https=443", "BOOKMARK 10"]
        );
        assert_eq!(watch.bookmark(20, false), ["BOOKMARK 20"]);
        drop(watch);
        let mut watch = client.watch(20);
        assert_eq!(watch.refresh(), [""; 0]);
        // And one that was emitted by an event of upstream is known to have arrived.
        move_me(&cluster, 3, "hangzhou");
        assert_eq!(
            watch.refresh(),
            ["ADDED shop/web@20 NodePort 10.96.0.1 https=443", "BOOKMARK 20"]
        );
        assert_eq!(watch.says("MODIFIED", &listening("shop/web", 21, "shanghai")).len(), 1);
        drop(watch);
        assert_eq!(client.watch(21).refresh(), [""; 0]);
    }
}

#[test]
fn a_body_by_itself_is_judged_event_by_event() {
    for encoding in ENCODINGS {
        let (_cluster, client) = hangzhou(encoding);
        let request = RequestHead::get("/api/v1/services?watch=true&resourceVersion=5");
        let Ok(Action::Rewrite(stream)) =
            client.view.open_stateless(&request, &ResponseHead::ok(encoding.media_type()))
        else {
            panic!()
        };
        let mut watch = Watch { stream, encoding };
        assert_eq!(watch.says("ADDED", &listening("shop/web", 6, "shanghai")), [""; 0]);
        assert_eq!(
            watch.says("MODIFIED", &listening("shop/web", 7, "shanghai")),
            ["DELETED shop/web@7 NodePort 10.96.0.1 https=443"]
        );
        assert_eq!(
            watch.says("DELETED", &listening("shop/web", 8, "shanghai")),
            ["DELETED shop/web@8 NodePort 10.96.0.1 https=443"]
        );
        assert_eq!(
            watch.says("MODIFIED", &listening("shop/web", 9, "*")),
            ["MODIFIED shop/web@9 NodePort 10.96.0.1 https=443"]
        );
    }
}

#[test]
fn nothing_is_shown_before_the_own_pool_is_known() {
    let cluster = Cluster::new(everything()).unwrap();
    let (view, request, head) =
        (cluster.node("me"), RequestHead::get(SERVICES), ResponseHead::ok("application/json"));
    let Ok(Action::Reply(reply)) = view.open(&request, &head) else { panic!() };
    let ReplyCause::MissingFacts(missing) = reply.cause else { panic!("{reply:?}") };
    let missing: Vec<&str> = missing.iter().map(|missing| &*missing.path).collect();
    assert_eq!(missing, ["/api/v1/nodes/me"], "no list of Services is needed to show Services");
    nodes(&cluster, 1, &[("me", &[])]);
    assert!(matches!(view.open(&request, &head), Ok(Action::Rewrite(_))));
    // A configured pool needs no Node.
    let mut config = everything();
    config.set_pool(Some("hangzhou".to_owned()));
    assert!(matches!(
        Cluster::new(config).unwrap().node("me").open(&request, &head),
        Ok(Action::Rewrite(_))
    ));
    // And what asks for no pool needs nothing.
    let mut config = everything();
    config.set_node_port_isolation(false);
    assert!(matches!(
        Cluster::new(config).unwrap().node("me").open(&request, &head),
        Ok(Action::Rewrite(_))
    ));
}

#[test]
fn services_teach_whether_they_are_hidden_or_not() {
    for encoding in ENCODINGS {
        let (cluster, client) = hangzhou(encoding);
        let keys = ("openyurt.io/topologyKeys", "openyurt.io/nodepool");
        let hidden = service("shop/web", 5, "NodePort", &[(LISTEN, "shanghai"), keys]);
        let mut watch = client.follow(std::slice::from_ref(&hidden), 10);
        assert_eq!(client.view.topology_of("shop", "web"), Some(Topology::Pool));
        watch.says("MODIFIED", &listening("shop/web", 11, "shanghai"));
        assert_eq!(client.view.topology_of("shop", "web"), Some(Topology::Any));
        assert_eq!(cluster.counters().services_filtered_out, 2);
    }
}

#[test]
fn metadata_alone_passes_counted_and_parts_of_bodies_do_not() {
    let (cluster, client) = hangzhou(Encoding::Json);
    let request = RequestHead::get(SERVICES)
        .header("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
    let Ok(Action::Rewrite(mut stream)) =
        client.view.open(&request, &ResponseHead::ok("application/json"))
    else {
        panic!()
    };
    let body = r#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"9"},"items":[{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"web","namespace":"shop","annotations":{"nodeport.openyurt.io/listen":"shanghai"}}}]}"#;
    let mut out = BytesMut::new();
    stream.push(body.as_bytes(), &mut out).unwrap();
    stream.finish(&mut out).unwrap();
    assert_eq!((out, cluster.counters().passed_metadata_only), (body.into(), 1));
    assert!(
        client
            .view
            .open(
                &RequestHead::get(SERVICES),
                &ResponseHead::new(206).header("Content-Type", "application/json")
            )
            .is_err()
    );
    // Where no rewrite is about Services nothing is refused.
    let (_cluster, client) = scene(Encoding::Json, Config::openyurt(), "hangzhou");
    let part = client.view.open(
        &RequestHead::get(SERVICES),
        &ResponseHead::new(206).header("Content-Type", "application/json"),
    );
    assert!(matches!(part, Ok(Action::Forward)));
}

//! Several keys in order: the first step with something usable counts, for all slices of a Service
//! together.

use poolscope::{Config, Retention};

use super::client::{Client, NOTHING};
use super::facts::{Facts, POOL, scene_with};
use super::object::{ENCODINGS, Encoding, Object, object};
use super::retention::ALL;
use super::told;
use poolscope_testkit::Failed;
use poolscope_testkit::build::Kind;

const FALLBACK: &str = "kubernetes.io/hostname,openyurt.io/nodepool,*";

fn fallbacks() -> Config {
    let mut config = Config::openyurt();
    config.set_topology_fallback(true);
    config
}

/// Service `web` asks for `keys`.
fn asking(encoding: Encoding, keys: &str) -> (Facts, Client) {
    let (mut facts, client) = scene_with(encoding, fallbacks());
    facts.annotate("web", keys);
    (facts, client)
}

/// The objects that node `me` receives of the slices `web-1`, `web-2`, ... with these endpoints.
fn given(client: &Client, slices: &[&str]) -> Vec<String> {
    let slices =
        slices.iter().zip(1..).map(|(on, number)| object(&format!("web-{number}"), 70, on));
    client.list(90, &slices.collect::<Vec<_>>())
}

// ---- what is held ----

#[test]
fn more_than_may_be_held_of_one_list_is_refused() {
    for encoding in ENCODINGS {
        for (limit, fits) in [(1 << 20, true), (1000, false)] {
            let mut config = fallbacks();
            config.limits_mut().list_bytes = limit;
            let (mut facts, client) = scene_with(encoding, config);
            facts.annotate("web", FALLBACK);
            let items: Vec<Object> =
                (0..9).map(|number| object(&format!("web-{number}"), 70, "me other")).collect();
            let mut body = client.list_body(90, "", &items);
            let mut list = client.open("");
            let mut pushed = list.stream.push(&body, &mut bytes::BytesMut::new());
            assert_eq!(pushed.is_ok(), fits, "{pushed:?}");
            body = items.iter().flat_map(|item| client.event("ADDED", item)).collect();
            pushed = client.watch_list().stream.push(&body, &mut bytes::BytesMut::new());
            match (pushed, fits) {
                (Ok(()), true) => {}
                (Err(error), false) => {
                    let offset = error.offset().unwrap();
                    let expected = Failed::too_large("a list", offset, 1000, "listBytes");
                    assert_eq!(Failed::from(error), expected);
                    assert!(
                        offset > 600 && offset < body.len() as u64,
                        "{offset} of {}",
                        body.len()
                    );
                }
                (other, _) => panic!("{other:?}"),
            }
        }
    }
}

// ---- which step counts ----

#[test]
fn the_first_rung_with_something_usable_counts_for_all_slices() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        assert_eq!(given(&client, &["friend other", "me other"]), ["web-1@70", "web-2@70 me"]);
        assert_eq!(given(&client, &["friend other", "other"]), ["web-1@70 friend", "web-2@70"]);
        assert_eq!(
            given(&client, &["other", "", "other"]),
            ["web-1@70 other", "web-2@70", "web-3@70 other"]
        );
    }
}

#[test]
fn what_is_not_ready_does_not_count() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        assert_eq!(given(&client, &["me! other", "friend"]), ["web-1@70 me", "web-2@70 friend"]);
        assert_eq!(
            given(&client, &["me! other", "friend!"]),
            ["web-1@70 me other", "web-2@70 friend"]
        );
    }
}

#[test]
fn what_serves_while_it_terminates_counts_where_nothing_is_ready() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        assert_eq!(
            given(&client, &["me~", "other"]),
            ["web-1@70 me", "web-2@70 other"],
            "something is ready"
        );
        assert_eq!(given(&client, &["me~", "other!"]), ["web-1@70 me", "web-2@70"]);
        assert_eq!(
            given(&client, &["friend~", "other~ me!"]),
            ["web-1@70 friend", "web-2@70 me"],
            "the pool has the node in it"
        );
    }
}

#[test]
fn where_nothing_is_usable_the_last_rung_counts() {
    for encoding in ENCODINGS {
        let (mut facts, client) = asking(encoding, FALLBACK);
        assert_eq!(given(&client, &["me! other!"]), ["web-1@70 me other"]);
        facts.annotate("web", "kubernetes.io/hostname,openyurt.io/nodepool");
        assert_eq!(given(&client, &["me! friend! other"]), ["web-1@70 me friend"]);
    }
}

#[test]
fn words_that_are_not_known_are_stepped_over() {
    for encoding in ENCODINGS {
        let (mut facts, client) = asking(encoding, "example.com/rack, openyurt.io/nodepool,*");
        assert_eq!(given(&client, &["friend other"]), ["web-1@70 friend"]);
        facts.annotate("web", "example.com/rack,example.com/row");
        assert_eq!(given(&client, &["friend other"]), ["web-1@70 friend other"]);
    }
}

#[test]
fn without_ladders_several_keys_ask_for_nothing() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene_with(encoding, Config::openyurt());
        facts.annotate("web", FALLBACK);
        assert_eq!(given(&client, &["me friend other"]), ["web-1@70 me friend other"]);
    }
}

#[test]
fn families_are_decided_apart() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        let six = |on, version| Object { family: "IPv6", ..object("web-6", version, on) };
        let mut watch = client.follow(90, &[object("web-4", 70, "me other"), six("other", 71)]);
        assert_eq!(
            client.list(90, &[object("web-4", 70, "me other"), six("other", 71)]),
            ["web-4@70 me", "web-6@71 other"]
        );
        assert_eq!(
            watch.modified(&six("me other", 95)),
            ["MODIFIED web-6@95 me"],
            "and no other slice"
        );
    }
}

#[test]
fn names_are_decided_apart_from_addresses() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        for family in ["IPv4", "IPv6"] {
            let slices = [
                Object { family, ..object("web-1", 70, "me other") },
                Object { family: "FQDN", ..object("web-2", 71, "friend other") },
                Object { family: "FQDN", ..object("web-3", 72, "other") },
            ];
            assert_eq!(
                client.list(90, &slices),
                ["web-1@70 me", "web-2@71 friend", "web-3@72"],
                "{family}"
            );
        }
    }
}

#[test]
fn the_node_is_in_its_pool_whatever_the_pool_says() {
    for encoding in ENCODINGS {
        let (mut facts, client) = asking(encoding, "openyurt.io/nodepool,*");
        facts.pool("hz", "friend");
        assert_eq!(given(&client, &["me friend other"]), ["web-1@70 me friend"]);
        assert_eq!(given(&client, &["me other"]), ["web-1@70 me"]);
    }
}

#[test]
fn a_pool_that_nobody_knows_passes_whole() {
    for encoding in ENCODINGS {
        let (mut facts, client) = asking(encoding, FALLBACK);
        facts.delete_pool("hz");
        assert_eq!(
            given(&client, &["friend other", "other"]),
            ["web-1@70 friend other", "web-2@70 other"]
        );
        assert_eq!(facts.count("passedUnknownPool"), 2, "and is counted");
        assert_eq!(given(&client, &["me friend other"]), ["web-1@70 me"], "but for a nearer step");
    }
}

#[test]
fn a_node_in_no_pool_has_only_itself() {
    for encoding in ENCODINGS {
        let (mut facts, client) = asking(encoding, "openyurt.io/nodepool,*");
        facts.label("me", "");
        assert_eq!(given(&client, &["me friend other"]), ["web-1@70 me"]);
        assert_eq!(given(&client, &["friend other"]), ["web-1@70 friend other"]);
    }
}

#[test]
fn an_endpoints_object_is_decided_by_its_ready_addresses() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        let client = client.of(Kind::Endpoints);
        assert_eq!(client.list(90, &[object("web", 70, "me other")]), ["web@70 me"]);
        let mut watch = client.watch(90);
        assert_eq!(
            watch.modified(&object("web", 95, "me! friend other")),
            ["MODIFIED web@95 friend me"]
        );
        assert_eq!(watch.modified(&object("web", 96, "me! other")), ["MODIFIED web@96 other me"]);
    }
}

// ---- lists and initial events ----

#[test]
fn in_lists_slices_of_ladders_come_last() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        let slices = [
            object("web-1", 70, "other"),
            object("db-1", 71, "other"),
            object("web-2", 72, "me"),
            object("db-2", 73, "me"),
        ];
        assert_eq!(
            client.list(90, &slices),
            ["db-1@71 other", "db-2@73 me", "web-1@70", "web-2@72 me"]
        );
        assert_eq!(client.watch(90).refresh(), NOTHING);
    }
}

#[test]
fn whatever_is_held_back_a_list_is_well_formed() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        for count in 0..=4 {
            for pattern in 0..1 << count {
                let is_held = |at: &usize| pattern >> at & 1 == 1;
                let item = |at: usize| {
                    object(
                        &format!("{}-{at}", if is_held(&at) { "web" } else { "db" }),
                        70,
                        "other",
                    )
                };
                let items: Vec<Object> = (0..count).map(item).collect();
                let line = |at: usize| format!("{}@70 other", items[at].name);
                let (held, passed): (Vec<usize>, Vec<usize>) = (0..count).partition(is_held);
                let expected: Vec<String> = passed.into_iter().chain(held).map(line).collect();
                assert_eq!(client.list(90, &items), expected);
                if encoding == Encoding::Json {
                    assert_eq!(given_of_blanks(&client, &items), expected);
                }
            }
        }
    }
}

/// The output of a list with blanks wherever they are allowed, byte for byte.
fn given_of_blanks(client: &Client, items: &[Object]) -> Vec<String> {
    let items: Vec<String> = items
        .iter()
        .map(|item| {
            String::from_utf8(item.item(Kind::Slice, Encoding::Json)).unwrap().replace(':', " :\t")
        })
        .collect();
    let body = format!(
        "{{ \"items\" : [\n {} \n] ,\"metadata\":{{\"resourceVersion\":\"90\"}} }}\n",
        items.join(" \n,\t ")
    );
    let mut list = client.open("");
    let mut out: Vec<u8> = body.as_bytes().chunks(1).flat_map(|byte| list.pass(byte)).collect();
    out.extend(list.finish());
    told::list(Kind::Slice, Encoding::Json, &out).0
}

#[test]
fn a_list_without_ladders_stays_as_it_is() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, POOL);
        let body = client.list_body(
            90,
            "",
            &[
                object("web-1", 70, "me"),
                object("db-1", 71, "other"),
                object("web-2", 72, "friend"),
            ],
        );
        let mut list = client.open("");
        let mut out = list.pass(&body);
        out.extend(list.finish());
        assert_eq!(out, body);
    }
}

#[test]
fn a_list_of_which_nothing_is_held_back_keeps_its_blanks() {
    let (_facts, client) = asking(Encoding::Json, FALLBACK);
    for items in ["[ ]", "[\n]", "[ {\"a\":1}\n, {} ]", "[\t{}\n\n]"] {
        let body = format!("{{ \"items\" : {items} , \"kind\":\"EndpointSliceList\"}}\n");
        for size in [1, body.len()] {
            let mut list = client.open("");
            let out: Vec<u8> =
                body.as_bytes().chunks(size).flat_map(|piece| list.pass(piece)).collect();
            assert_eq!(String::from_utf8(out).unwrap(), body);
        }
    }
}

#[test]
fn a_single_object_is_decided_by_itself() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        client.follow(90, &[object("web-1", 70, "other"), object("web-2", 71, "me")]);
        assert_eq!(client.get(&object("web-1", 70, "me other")), "web-1@70 me");
        assert_eq!(
            client.get(&object("web-1", 70, "other")),
            "web-1@70 other",
            "siblings are not looked for"
        );
    }
}

#[test]
fn a_page_is_decided_by_those_before_and_the_watch_corrects() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        assert_eq!(client.page("", 90, "two", &[object("web-1", 70, "other")]), ["web-1@70 other"]);
        assert_eq!(client.page("two", 90, "three", &[object("web-2", 71, "me")]), ["web-2@71 me"]);
        assert_eq!(client.page("three", 90, "", &[object("web-3", 72, "other")]), ["web-3@72"]);
        assert_eq!(client.watch(90).refresh(), ["MODIFIED web-1@90", "BOOKMARK @90"]);
    }
}

#[test]
fn in_a_watch_list_they_come_right_before_the_bookmark() {
    for encoding in ENCODINGS {
        let (mut facts, client) = asking(encoding, FALLBACK);
        let mut watch = client.watch_list();
        assert_eq!(watch.added(&object("web-1", 70, "other")), NOTHING);
        assert_eq!(watch.added(&object("db-1", 71, "other")), ["ADDED db-1@71 other"]);
        assert_eq!(watch.added(&object("web-2", 72, "me")), NOTHING);
        assert_eq!(watch.bookmark(80), ["BOOKMARK @80"], "another one");
        assert_eq!(watch.refresh(), NOTHING);
        let told = watch.end_of_initial_events(90);
        assert_eq!(
            told,
            ["ADDED web-1@70", "ADDED web-2@72 me", "BOOKMARK @90 ends the initial events"]
        );
        assert_eq!(watch.modified(&object("web-1", 95, "other")), NOTHING);
        facts.annotate("web", "");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@95 other", "BOOKMARK @95"]);
    }
}

#[test]
fn no_annotation_of_a_slice_ends_the_initial_events() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        let mut watch = client.watch_list();
        let mut annotated = object("web-2", 71, "me");
        annotated.annotations.insert("k8s.io/initial-events-end".to_owned(), "true".to_owned());
        for slice in [&object("web-1", 70, "other"), &annotated, &object("web-3", 72, "me")] {
            assert_eq!(watch.added(slice), NOTHING);
        }
        assert_eq!(watch.end_of_initial_events(90).len(), 4);
    }
}

#[test]
fn what_changes_or_goes_while_it_is_held_back_is_given_as_it_is_then() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        let mut watch = client.watch_list();
        watch.added(&object("web-1", 70, "me"));
        watch.added(&object("web-2", 71, "other"));
        watch.added(&object("web-1", 85, "friend"));
        watch.added(&object("web-3", 72, "me"));
        watch.deleted(&object("web-3", 86, "me"));
        let told = watch.end_of_initial_events(90);
        assert_eq!(
            told,
            ["ADDED web-2@71", "ADDED web-1@85 friend", "BOOKMARK @90 ends the initial events"]
        );
    }
}

#[test]
fn initial_events_whose_end_nothing_announces_correct_each_other() {
    for encoding in ENCODINGS {
        let (mut facts, client) = asking(encoding, FALLBACK);
        let mut watch = client.watch_from_nothing();
        assert_eq!(watch.added(&object("web-1", 70, "other")), ["ADDED web-1@70 other"]);
        assert_eq!(watch.added(&object("db-1", 71, "other")), ["ADDED db-1@71 other"]);
        assert_eq!(
            watch.added(&object("web-2", 72, "me")),
            ["ADDED web-2@72 me", "ADDED web-1@70"],
            "under its own version"
        );
        facts.annotate("web", "");
        assert_eq!(watch.refresh(), NOTHING, "a change of facts has to wait");
        assert_eq!(watch.bookmark(90), ["BOOKMARK @90", "MODIFIED web-1@90 other", "BOOKMARK @90"]);
    }
}

#[test]
fn keys_that_go_and_come_back_between_two_refreshes_leave_nothing_as_it_was_without_them() {
    for encoding in ENCODINGS {
        let keys = "kubernetes.io/hostname,*";
        let (mut facts, client) = asking(encoding, keys);
        let mut watch =
            client.follow(90, &[object("web-1", 70, "me other"), object("web-2", 71, "other")]);
        assert_eq!(watch.modified(&object("web-2", 91, "me other")), ["MODIFIED web-2@91 me"]);
        facts.annotate("web", "");
        assert_eq!(
            watch.modified(&object("web-1", 92, "me friend other")),
            ["MODIFIED web-1@92 me friend other"]
        );
        facts.annotate("web", keys);
        assert!(watch.stream.needs_refresh());
        assert_eq!(watch.refresh(), ["MODIFIED web-1@92 me", "BOOKMARK @92"]);
    }
}

#[test]
fn what_initial_events_say_twice_under_one_version_is_said_again_when_they_are_over() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        let mut watch = client.watch_from_nothing();
        watch.added(&object("web-1", 70, "other"));
        assert_eq!(
            watch.added(&object("web-2", 72, "me")),
            ["ADDED web-2@72 me", "ADDED web-1@70"]
        );
        let again = ["BOOKMARK @90", "MODIFIED web-1@90", "BOOKMARK @90"];
        assert_eq!(watch.bookmark(90), again, "informers may have taken the second for the first");
        assert_eq!(watch.bookmark(95), ["BOOKMARK @95"]);
    }
}

#[test]
fn a_watch_list_without_bookmarks_holds_nothing_back() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, "openyurt.io/nodepool,*");
        let mut watch =
            client.open("watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
        assert_eq!(watch.added(&object("web-1", 40, "me other")), ["ADDED web-1@40 me"]);
        assert_eq!(
            watch.modified(&object("web-1", 70, "me friend other")),
            ["MODIFIED web-1@70 me friend"]
        );
    }
}

// ---- events ----

#[test]
fn siblings_follow_in_the_same_push() {
    for retention in ALL {
        for encoding in ENCODINGS {
            let mut config = fallbacks();
            config.set_retention(retention);
            let (mut facts, client) = scene_with(encoding, config);
            facts.annotate("web", FALLBACK);
            let mut watch = client.follow(
                90,
                &[
                    object("web-1", 70, "me"),
                    object("web-2", 71, "other"),
                    object("db-1", 72, "other"),
                ],
            );
            let away = watch.modified(&object("web-1", 95, "me!"));
            assert_eq!(away, ["MODIFIED web-1@95 me", "MODIFIED web-2@95 other", "BOOKMARK @95"]);
            let back = watch.modified(&object("web-1", 96, "me"));
            assert_eq!(back, ["MODIFIED web-1@96 me", "MODIFIED web-2@96", "BOOKMARK @96"]);
            let gone = watch.deleted(&object("web-1", 97, "me"));
            assert_eq!(
                gone,
                ["DELETED web-1@97 me", "MODIFIED web-2@97 other", "BOOKMARK @97"],
                "{retention:?}"
            );
            let new = watch.added(&object("web-3", 98, "me other"));
            assert_eq!(new, ["ADDED web-3@98 me", "MODIFIED web-2@98", "BOOKMARK @98"]);
        }
    }
}

#[test]
fn siblings_follow_before_the_next_event() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        let mut watch =
            client.follow(90, &[object("web-1", 70, "me"), object("web-2", 71, "other")]);
        let both =
            [client.event("MODIFIED", &object("web-1", 95, "me!")), client.bookmark(96, false)]
                .concat();
        assert_eq!(
            watch.push(&both),
            ["MODIFIED web-1@95 me", "MODIFIED web-2@95 other", "BOOKMARK @95", "BOOKMARK @96"]
        );
    }
}

#[test]
fn siblings_wait_for_the_end_of_the_line() {
    let (_facts, client) = asking(Encoding::Json, FALLBACK);
    let mut watch = client.follow(90, &[object("web-1", 70, "me"), object("web-2", 71, "other")]);
    let event = client.event("MODIFIED", &object("web-1", 95, "me!"));
    let (event, newline) = event.split_at(event.len() - 1);
    assert_eq!(watch.pass(event), event);
    let out = watch.pass(newline);
    assert_eq!(
        told::events(Kind::Slice, Encoding::Json, &out[1..]),
        ["MODIFIED web-2@95 other", "BOOKMARK @95"]
    );
}

#[test]
fn siblings_follow_an_event_that_is_left_out() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        let mut watch =
            client.follow(90, &[object("web-1", 70, "friend"), object("web-2", 71, "other me!")]);
        // Seen through the pool it shows the same, but what it shows decides now.
        let told = watch.modified(&object("web-2", 95, "other me"));
        assert_eq!(told, ["MODIFIED web-2@95 me", "MODIFIED web-1@95", "BOOKMARK @95"]);
        // An endpoint outside the near step is not emitted and decides nothing.
        assert_eq!(watch.modified(&object("web-1", 96, "friend friend")), NOTHING);
    }
}

#[test]
fn a_slice_that_changes_its_service_is_missed_there() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        let mut watch =
            client.follow(90, &[object("web-1", 70, "me"), object("web-2", 71, "other")]);
        let moved = Object { service: "db".to_owned(), ..object("web-1", 95, "me") };
        assert_eq!(
            watch.modified(&moved),
            ["MODIFIED web-1@95 me", "MODIFIED web-2@95 other", "BOOKMARK @95"]
        );
    }
}

#[test]
fn a_body_by_itself_is_consistent_too() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        let request = client.request("watch=true&allowWatchBookmarks=true&resourceVersion=90");
        let Ok(poolscope::Action::Rewrite(stream)) =
            client.view.open_stateless(&request, &client.head())
        else {
            panic!()
        };
        let mut watch = super::client::Watch::new(stream, &client);
        assert_eq!(watch.added(&object("web-1", 95, "other")), ["ADDED web-1@95 other"]);
        assert_eq!(
            watch.added(&object("web-2", 96, "me"))[..2],
            ["ADDED web-2@96 me", "MODIFIED web-1@96"]
        );
    }
}

#[test]
fn a_body_by_itself_is_not_told_of_changes() {
    for encoding in ENCODINGS {
        let (mut facts, client) = asking(encoding, FALLBACK);
        let request = client.request("watch=true&allowWatchBookmarks=true&resourceVersion=90");
        let Ok(poolscope::Action::Rewrite(stream)) =
            client.view.open_stateless(&request, &client.head())
        else {
            panic!()
        };
        let mut watch = super::client::Watch::new(stream, &client);
        watch.added(&object("web-1", 95, "me other"));
        watch.added(&object("db-1", 96, "me other"));
        facts.annotate("web", "");
        facts.annotate("db", POOL);
        assert!(!watch.stream.needs_refresh());
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(watch.bookmark(97), ["BOOKMARK @97"]);
        assert_eq!(watch.modified(&object("db-1", 98, "me other")), ["MODIFIED db-1@98 me"]);
    }
}

// ---- facts ----

#[test]
fn a_service_gains_changes_and_loses_its_ladder() {
    for encoding in ENCODINGS {
        let (mut facts, client) = asking(encoding, "");
        let mut watch = client
            .follow(90, &[object("web-1", 70, "me other"), object("web-2", 71, "friend other")]);
        facts.annotate("web", FALLBACK);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me", "MODIFIED web-2@90", "BOOKMARK @90"]);
        watch.bookmark(91);
        facts.annotate("web", "openyurt.io/nodepool,*");
        assert_eq!(watch.refresh(), ["MODIFIED web-2@91 friend", "BOOKMARK @91"]);
        watch.bookmark(92);
        facts.annotate("web", "");
        assert_eq!(
            watch.refresh(),
            ["MODIFIED web-1@92 me other", "MODIFIED web-2@92 friend other", "BOOKMARK @92"]
        );
    }
}

#[test]
fn a_member_decides_about_slices_that_do_not_name_it() {
    for encoding in ENCODINGS {
        let (mut facts, client) = asking(encoding, FALLBACK);
        let mut watch =
            client.follow(90, &[object("web-1", 70, "friend"), object("web-2", 71, "other")]);
        facts.pool("hz", "me");
        assert_eq!(watch.refresh(), ["MODIFIED web-2@90 other", "BOOKMARK @90"]);
        watch.bookmark(91);
        facts.pool("hz", "me other");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@91", "BOOKMARK @91"]);
        watch.bookmark(92);
        facts.delete_pool("hz");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@92 friend", "BOOKMARK @92"]);
        watch.bookmark(93);
        facts.label("me", "");
        assert_eq!(watch.refresh(), NOTHING);
        facts.label("me", "sh");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@93", "BOOKMARK @93"]);
    }
}

#[test]
fn originals_of_ladders_are_kept_whatever_the_room() {
    for encoding in ENCODINGS {
        let mut config = fallbacks();
        config.limits_mut().client_state_bytes = 1;
        config.set_retention(Retention::None);
        let (mut facts, client) = scene_with(encoding, config);
        facts.annotate("web", FALLBACK);
        let mut watch =
            client.follow(90, &[object("web-1", 70, "me"), object("web-2", 71, "friend other")]);
        let told = watch.modified(&object("web-1", 95, "me!"));
        assert_eq!(told, ["MODIFIED web-1@95 me", "MODIFIED web-2@95 friend", "BOOKMARK @95"]);
        facts.pool("hz", "me");
        assert_eq!(watch.refresh(), ["MODIFIED web-2@95 friend other", "BOOKMARK @95"]);
    }
}

#[test]
fn a_client_goes_on_with_its_ladders() {
    for encoding in ENCODINGS {
        let (_facts, client) = asking(encoding, FALLBACK);
        let mut watch =
            client.follow(90, &[object("web-1", 70, "me"), object("web-2", 71, "other")]);
        // The event is lost, and with it what became of the sibling.
        watch.modified(&object("web-1", 95, "me!"));
        drop(watch);
        let mut watch = client.watch(90);
        watch.refresh();
        let told = watch.modified(&object("web-1", 95, "me!"));
        assert_eq!(told[0], "MODIFIED web-1@95 me");
        drop(watch);
        let mut watch = client.watch(95);
        assert_eq!(watch.refresh(), ["MODIFIED web-2@95 other", "BOOKMARK @95"]);
    }
}

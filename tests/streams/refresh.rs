//! The events after a fact change: their types, versions and order (R1 to R11).

use poolscope::{Action, RequestHead};

use super::client::{NOTHING, Watch};
use super::facts::{POOL, scene};
use super::object::{ENCODINGS, Encoding, object};
use super::told;
use poolscope_testkit::build::{KINDS, Kind, envelope};

// ---- how an event is written ----

#[test]
fn an_event_is_one_line_even_if_the_list_was_written_for_people() {
    let (mut facts, client) = scene(Encoding::Json);
    let list: serde_json::Value =
        serde_json::from_slice(&client.list_body(90, "", &[object("web-1", 70, "me other")]))
            .unwrap();
    let pretty = serde_json::to_string_pretty(&list).unwrap().replace('\n', "\r\n");
    let mut open = client.open("pretty=true");
    assert_eq!([open.pass(pretty.as_bytes()), open.finish()].concat(), pretty.as_bytes());
    let mut watch = client.watch(90);
    facts.annotate("web", POOL);
    let told = watch.refreshed();
    assert_eq!(
        told::events(client.kind, client.encoding, &told),
        ["MODIFIED web-1@90 me", "BOOKMARK @90"]
    );
    let lines: Vec<&[u8]> = told.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.ends_with(b"}\n") && !line.contains(&b'\r')));
}

// ---- the version that an event carries ----

#[test]
fn after_a_list_it_is_where_the_watch_began() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
    }
}

#[test]
fn after_an_event_it_is_that_of_the_event() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        watch.added(&object("db-1", 95, "me"));
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@95 me", "BOOKMARK @95"]);
        watch.deleted(&object("db-1", 100, "me"));
        facts.annotate("web", "");
        assert_eq!(
            watch.refresh(),
            ["MODIFIED web-1@100 me other", "BOOKMARK @100"],
            "a longer one"
        );
    }
}

#[test]
fn after_a_bookmark_it_is_that_of_the_bookmark() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        assert_eq!(watch.bookmark(95), ["BOOKMARK @95"]);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@95 me", "BOOKMARK @95"]);
    }
}

#[test]
fn after_an_event_that_was_left_out_it_is_that_of_the_event() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch =
            client.follow(90, &[object("web-1", 70, "me other"), object("db-1", 71, "me")]);
        assert_eq!(watch.modified(&object("db-1", 95, "me")), NOTHING);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@95 me", "BOOKMARK @95"]);
    }
}

#[test]
fn it_never_goes_back() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        watch.bookmark(80);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
    }
}

#[test]
fn it_is_never_above_what_upstream_has_said() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch =
            client.follow(9, &[object("web-1", 7, "me other"), object("web-2", 8, "other")]);
        drop(watch.modified(&object("web-1", 97, "me friend other")));
        drop(watch);
        // The client did not get it, and upstream is going to say it again.
        let mut watch = client.watch(9);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-2@9", "BOOKMARK @9"]);
        assert_eq!(
            watch.modified(&object("web-1", 97, "me friend other")),
            ["MODIFIED web-1@97 me friend"]
        );
    }
}

#[test]
fn where_the_watch_has_no_number_it_is_the_objects_own() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.open("watch=true&sendInitialEvents=false&allowWatchBookmarks=true");
        watch.added(&object("web-1", "seventy", "me other"));
        facts.annotate("web", POOL);
        assert_eq!(
            watch.refresh(),
            ["MODIFIED web-1@seventy me"],
            "and no bookmark, of whatever version"
        );
        watch.bookmark(95);
        facts.annotate("web", "");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@95 me other", "BOOKMARK @95"]);
    }
}

#[test]
fn where_the_initial_events_end_without_a_number_it_is_the_objects_own() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.watch_list();
        watch.added(&object("web-1", 70, "me other"));
        watch.end_of_initial_events("unknown");
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@70 me"]);
    }
}

// ---- an object that the client has under that version already ----

#[test]
fn what_the_client_has_under_this_version_is_said_once_more_at_the_next_event() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 90, "me other")]);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(
            watch.added(&object("db-1", 95, "me")),
            ["ADDED db-1@95 me", "MODIFIED web-1@95 me", "BOOKMARK @95"]
        );
        assert_eq!(watch.bookmark(96), ["BOOKMARK @96"]);
    }
}

#[test]
fn what_the_client_has_under_this_version_is_said_once_more_at_the_next_bookmark() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(80, &[]);
        watch.added(&object("web-1", 90, "me other"));
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
        assert_eq!(watch.bookmark(90), ["BOOKMARK @90"], "nothing has moved");
        assert_eq!(watch.bookmark(95), ["BOOKMARK @95", "MODIFIED web-1@95 me", "BOOKMARK @95"]);
        assert_eq!(watch.bookmark(96), ["BOOKMARK @96"]);
    }
}

#[test]
fn what_the_client_has_under_this_version_is_said_once_more_at_an_event_that_is_left_out() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch =
            client.follow(90, &[object("web-1", 90, "me other"), object("db-1", 71, "me")]);
        facts.annotate("web", POOL);
        watch.refresh();
        assert_eq!(
            watch.modified(&object("db-1", 95, "me")),
            ["MODIFIED web-1@95 me", "BOOKMARK @95"]
        );
    }
}

#[test]
fn it_is_said_once_more_before_the_event_that_follows() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 90, "me other")]);
        facts.annotate("web", POOL);
        watch.refresh();
        let both = [
            client.bookmark(95, false),
            client.event("MODIFIED", &object("web-1", 96, "me friend")),
        ]
        .concat();
        let told = watch.push(&both);
        assert_eq!(
            told,
            ["BOOKMARK @95", "MODIFIED web-1@95 me", "BOOKMARK @95", "MODIFIED web-1@96 me friend"]
        );
    }
}

#[test]
fn a_second_change_at_one_version_is_said_once_more_too() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        facts.annotate("web", POOL);
        watch.refresh();
        facts.annotate("web", "");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me other", "BOOKMARK @90"]);
        assert_eq!(
            watch.bookmark(95),
            ["BOOKMARK @95", "MODIFIED web-1@95 me other", "BOOKMARK @95"]
        );
        assert_eq!(watch.bookmark(96), ["BOOKMARK @96"]);
    }
}

#[test]
fn what_was_said_under_a_version_of_its_own_is_not_said_once_more() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        facts.annotate("web", POOL);
        watch.refresh();
        assert_eq!(watch.bookmark(95), ["BOOKMARK @95"]);
    }
}

#[test]
fn what_upstream_says_meanwhile_is_not_said_once_more() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch =
            client.follow(90, &[object("web-1", 90, "me other"), object("web-2", 90, "me other")]);
        facts.annotate("web", POOL);
        watch.refresh();
        let told = watch.modified(&object("web-1", 95, "me friend"));
        assert_eq!(told, ["MODIFIED web-1@95 me friend", "MODIFIED web-2@95 me", "BOOKMARK @95"]);
    }
}

#[test]
fn what_is_deleted_meanwhile_is_not_said_once_more() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 90, "me other")]);
        facts.annotate("web", POOL);
        watch.refresh();
        assert_eq!(watch.deleted(&object("web-1", 95, "me other")), ["DELETED web-1@95 me"]);
    }
}

// ---- when ----

#[test]
fn nothing_is_said_before_the_bookmark_that_ends_a_watch_list() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.watch_list();
        assert_eq!(watch.added(&object("web-1", 70, "me other")), ["ADDED web-1@70 me other"]);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(watch.bookmark(85), ["BOOKMARK @85"], "another one");
        assert_eq!(watch.added(&object("web-2", 71, "other")), ["ADDED web-2@71"]);
        let told = watch.end_of_initial_events(90);
        assert_eq!(
            told,
            ["BOOKMARK @90 ends the initial events", "MODIFIED web-1@90 me", "BOOKMARK @90"]
        );
        assert_eq!(watch.refresh(), NOTHING);
    }
}

#[test]
fn nothing_is_said_before_the_first_event_of_another_type_on_a_watch_from_nothing() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        for query in ["watch=true&resourceVersion=0", "watch=true"] {
            facts.annotate("web", "");
            let mut watch = client.open(query);
            watch.added(&object("web-1", 70, "me other"));
            facts.annotate("web", POOL);
            assert_eq!(watch.refresh(), NOTHING);
            assert_eq!(watch.added(&object("db-1", 71, "me")), ["ADDED db-1@71 me"]);
            let told = watch.modified(&object("db-1", 95, "friend"));
            assert_eq!(told, ["MODIFIED db-1@95 friend", "MODIFIED web-1@95 me"]);
        }
    }
}

#[test]
fn a_bookmark_ends_the_initial_events_of_a_watch_from_nothing() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.watch_from_nothing();
        watch.added(&object("web-1", 70, "me other"));
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(watch.bookmark(90), ["BOOKMARK @90", "MODIFIED web-1@90 me", "BOOKMARK @90"]);
    }
}

#[test]
fn a_watch_list_without_bookmarks_does_not_wait_for_one() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch =
            client.open("watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
        watch.added(&object("web-1", 40, "me other"));
        watch.modified(&object("web-1", 70, "me friend other"));
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@70 me friend"]);
    }
}

#[test]
fn nothing_is_said_on_a_line_that_has_not_ended() {
    let (mut facts, client) = scene(Encoding::Json);
    let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
    facts.annotate("web", POOL);
    watch.refresh();
    facts.annotate("web", "");
    let event = client.event("ADDED", &object("db-1", 95, "me"));
    let (event, newline) = event.split_at(event.len() - 1);
    assert_eq!(watch.pass(event), event);
    assert_eq!(watch.refreshed(), b"");
    let out = watch.pass(newline);
    assert_eq!(out[0], b'\n');
    assert_eq!(
        told::events(Kind::Slice, Encoding::Json, &out[1..]),
        ["MODIFIED web-1@95 me other", "BOOKMARK @95"]
    );
}

#[test]
fn what_is_said_does_not_cut_an_event_in_two() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        let event = client.event("ADDED", &object("db-1", 95, "me"));
        for cut in 1..event.len() - 1 {
            let (mut facts, client) = scene(encoding);
            let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
            assert_eq!(watch.push(&event[..cut]), NOTHING);
            facts.annotate("web", POOL);
            assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
            assert_eq!(watch.push(&event[cut..]), ["ADDED db-1@95 me"]);
        }
    }
}

#[test]
fn a_watch_says_when_a_refresh_is_needed() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        assert!(watch.stream.needs_refresh(), "facts may have changed since the list");
        assert_eq!(watch.refresh(), NOTHING);
        assert!(!watch.stream.needs_refresh());
        facts.annotate("web", POOL);
        assert!(watch.stream.needs_refresh());
        watch.refresh();
        assert!(!watch.stream.needs_refresh());
    }
}

#[test]
fn what_changed_before_the_watch_was_opened_is_said_by_its_first_refresh() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        client.list(90, &[object("web-1", 70, "me other")]);
        facts.annotate("web", POOL);
        assert_eq!(client.watch(90).refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
    }
}

#[test]
fn a_watch_that_began_with_everything_waits_for_its_first_refresh() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.watch_list();
        watch.added(&object("web-1", 70, "me other"));
        facts.annotate("web", POOL);
        // The embedder chooses when.
        assert_eq!(watch.end_of_initial_events(90), ["BOOKMARK @90 ends the initial events"]);
        assert!(watch.stream.needs_refresh());
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
    }
}

// ---- what ----

#[test]
fn it_is_the_event_that_upstream_would_have_sent() {
    for encoding in ENCODINGS {
        for kind in KINDS {
            let (mut facts, client) = scene(encoding);
            let client = client.of(kind);
            client.list(1000, &[object("web", 70, "me friend other")]);
            let mut watch = client.open("watch=true&resourceVersion=1000");
            facts.annotate("web", POOL);
            let refreshed = watch.refreshed();
            let mut live = client.follow(999, &[]);
            assert_eq!(
                refreshed,
                live.pass(&client.event("MODIFIED", &object("web", 1000, "me friend other")))
            );
        }
    }
}

#[test]
fn only_what_is_seen_otherwise_is_said() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let slices = [
            object("web-1", 70, "me"),
            object("web-2", 71, "me other"),
            object("db-1", 72, "other"),
            object("web-3", 73, ""),
        ];
        let mut watch = client.follow(90, &slices);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-2@90 me", "BOOKMARK @90"]);
        assert_eq!(facts.count("eventsRefreshed"), 1);
    }
}

#[test]
fn a_slice_of_which_nothing_is_left_becomes_empty() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "other")]);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90", "BOOKMARK @90"]);
    }
}

#[test]
fn a_bookmark_comes_only_if_it_was_asked_for() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        for query in [
            "watch=true&resourceVersion=90",
            "watch=true&resourceVersion=90&allowWatchBookmarks=false",
        ] {
            facts.annotate("web", "");
            client.list(90, &[object("web-1", 70, "me other")]);
            let mut watch = client.open(query);
            facts.annotate("web", POOL);
            assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me"]);
        }
    }
}

#[test]
fn a_bookmark_comes_only_if_something_was_said() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me")]);
        assert_eq!(watch.refresh(), NOTHING);
        facts.annotate("web", POOL);
        facts.annotate("db", POOL);
        assert_eq!(watch.refresh(), NOTHING);
        facts.annotate("web", "");
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), NOTHING, "to and fro");
    }
}

#[test]
fn of_a_deleted_object_nothing_is_said() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch =
            client.follow(90, &[object("web-1", 70, "me other"), object("web-2", 71, "other")]);
        watch.deleted(&object("web-1", 95, "me other"));
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-2@95", "BOOKMARK @95"]);
    }
}

#[test]
fn after_an_error_of_upstream_nothing_is_said() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 90, "me other")]);
        facts.annotate("web", POOL);
        watch.refresh();
        assert_eq!(watch.error(), ["ERROR Failure 410 Expired"]);
        facts.annotate("web", "");
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(
            watch.bookmark(95),
            ["BOOKMARK @95"],
            "not what was to be said once more either"
        );
    }
}

#[test]
fn a_list_is_followed_by_nothing() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let body = client.list_body(
            90,
            "",
            &[object("web-1", 70, "me other"), object("web-2", 71, "me other")],
        );
        let second = object("web-2", 71, "me other").item(Kind::Slice, encoding);
        let (first, rest) =
            body.split_at(body.windows(second.len()).position(|bytes| bytes == second).unwrap());
        let mut list = client.open("");
        let mut out = list.pass(first);
        facts.annotate("web", POOL);
        assert_eq!(list.refreshed(), b"");
        out.extend(list.pass(rest));
        assert_eq!(list.refreshed(), b"");
        out.extend(list.finish());
        let (told, _) = told::list(Kind::Slice, encoding, &out);
        assert_eq!(told, ["web-1@70 me other", "web-2@71 me"], "each as it was when it passed");
        assert_eq!(
            client.watch(90).refresh(),
            ["MODIFIED web-1@90 me", "BOOKMARK @90"],
            "and the watch corrects"
        );
    }
}

#[test]
fn a_single_object_is_followed_by_nothing() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let request =
            RequestHead::get("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1");
        let Ok(Action::Rewrite(stream)) = client.view.open(&request, &client.head()) else {
            panic!()
        };
        let mut object = Watch::new(stream, &client);
        let whole = super::object::object("web-1", 70, "me").whole(Kind::Slice, encoding);
        let body = match encoding {
            Encoding::Json => whole,
            Encoding::Protobuf => envelope("discovery.k8s.io/v1", "EndpointSlice", &whole),
        };
        let mut out = object.pass(&body);
        facts.annotate("web", POOL);
        assert!(!object.stream.needs_refresh());
        assert_eq!(object.refreshed(), b"");
        out.extend(object.finish());
        assert_eq!(out, body);
    }
}

#[test]
fn a_body_by_itself_is_followed_by_nothing() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let request = client.request("watch=true&allowWatchBookmarks=true&resourceVersion=90");
        let Ok(Action::Rewrite(stream)) = client.view.open_stateless(&request, &client.head())
        else {
            panic!()
        };
        let mut watch = Watch::new(stream, &client);
        watch.added(&object("web-1", 95, "me other"));
        facts.annotate("web", POOL);
        assert!(!watch.stream.needs_refresh());
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(watch.bookmark(96), ["BOOKMARK @96"]);
        assert_eq!(watch.modified(&object("web-1", 97, "me other")), ["MODIFIED web-1@97 me"]);
        assert!(client.expires(97), "and nothing is remembered");
    }
}

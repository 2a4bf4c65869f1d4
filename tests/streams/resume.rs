//! A client continues where it broke off: what it has is not emitted again, what it may not have
//! is.

use poolscope::Config;

use super::client::{Client, NOTHING};
use super::facts::{NODE, POOL, scene};
use super::object::{ENCODINGS, Encoding, object};
use super::told;
use poolscope_testkit::build::{Kind, envelope, record};

const AGAIN: [&str; 2] = ["MODIFIED web-1@90 me", "BOOKMARK @90"];

// ---- who the client is ----

#[test]
fn another_program_has_another_past() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        let agent = Client { agent: "cilium-agent/1.20", ..client.clone() };
        // Somebody looks at what there is, at the version where the agent broke off that was there
        // before this process.
        client.list(90, &[object("web-1", 70, "me")]);
        assert!(agent.expires(90));
        // The agent's copy under the same version was sent by that process, and may be
        // something else.
        agent.list(90, &[object("web-1", 70, "me")]);
        assert_eq!(agent.watch(90).refresh(), AGAIN);
        assert_eq!(client.watch(90).refresh(), NOTHING);
    }
}

// ---- what the client has ----

#[test]
fn after_a_clean_end_nothing_is_said_again() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch =
            client.follow(90, &[object("web-1", 70, "me other"), object("web-2", 71, "me")]);
        facts.annotate("web", POOL);
        watch.refresh();
        watch.modified(&object("web-2", 95, "me friend"));
        watch.finish();
        let mut watch = client.watch(95);
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(
            watch.modified(&object("web-2", 96, "me friend")),
            NOTHING,
            "suppression continues too"
        );
        facts.annotate("web", "");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@96 me other", "BOOKMARK @96"]);
    }
}

#[test]
fn what_changed_meanwhile_is_said_by_the_next_watch() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(80, &[object("web-1", 70, "me other")]);
        watch.bookmark(90);
        drop(watch);
        facts.annotate("web", POOL);
        assert_eq!(client.watch(90).refresh(), AGAIN);
    }
}

#[test]
fn events_that_were_lost_come_again_and_are_not_left_out() {
    for encoding in ENCODINGS {
        let (facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me"), object("web-2", 71, "me")]);
        watch.modified(&object("web-1", 95, "me other"));
        watch.modified(&object("web-2", 97, "me other"));
        watch.modified(&object("web-1", 99, "me"));
        drop(watch);
        let mut watch = client.watch(95);
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(
            watch.modified(&object("web-2", 97, "me other")),
            ["MODIFIED web-2@97 me other"]
        );
        assert_eq!(watch.modified(&object("web-1", 99, "me")), ["MODIFIED web-1@99 me"]);
        assert_eq!(facts.count("eventsSuppressed"), 0);
    }
}

#[test]
fn a_client_goes_on_from_any_version_between_its_list_and_its_last_event() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me")]);
        watch.modified(&object("web-1", 95, "me other"));
        drop(watch);
        let mut watch = client.watch(93);
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(
            watch.modified(&object("web-1", 95, "me other")),
            ["MODIFIED web-1@95 me other"]
        );
    }
}

#[test]
fn of_a_deletion_that_was_lost_nothing_is_said_until_it_comes_again() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        watch.deleted(&object("web-1", 95, "me other"));
        drop(watch);
        facts.annotate("web", POOL);
        let mut watch = client.watch(90);
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(watch.deleted(&object("web-1", 95, "me other")), ["DELETED web-1@95 me"]);
    }
}

#[test]
fn what_a_refresh_said_at_the_version_of_the_client_is_said_again() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), AGAIN);
        drop(watch);
        let mut watch = client.watch(90);
        assert!(watch.stream.needs_refresh());
        assert_eq!(watch.refresh(), AGAIN);
        assert_eq!(
            watch.bookmark(95),
            ["BOOKMARK @95", "MODIFIED web-1@95 me", "BOOKMARK @95"],
            "it may have had that version"
        );
    }
}

#[test]
fn what_a_refresh_said_before_the_version_of_the_client_is_not() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        facts.annotate("web", POOL);
        watch.refresh();
        watch.bookmark(95);
        drop(watch);
        assert_eq!(client.watch(95).refresh(), NOTHING);
    }
}

#[test]
fn what_is_to_be_said_once_more_is_said_after_a_reconnect() {
    let (mut facts, client) = scene(Encoding::Json);
    let mut watch = client.follow(50, &[object("web-1", 50, "me other")]);
    facts.annotate("web", POOL);
    assert_eq!(watch.refresh(), ["MODIFIED web-1@50 me", "BOOKMARK @50"]);
    // The newline of the bookmark never comes.
    let bookmark = client.bookmark(90, false);
    let bookmark = &bookmark[..bookmark.len() - 1];
    assert_eq!(watch.pass(bookmark), bookmark);
    drop(watch);
    assert_eq!(client.watch(90).refresh(), AGAIN);
}

#[test]
fn a_watch_that_began_with_everything_can_be_continued() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.watch_list();
        watch.added(&object("web-1", 70, "me other"));
        watch.end_of_initial_events(90);
        drop(watch);
        assert_eq!(client.watch(90).refresh(), NOTHING);
        facts.annotate("web", POOL);
        assert_eq!(client.watch(90).refresh(), AGAIN);
    }
}

#[test]
fn a_watch_that_broke_among_its_initial_events_cannot_be_continued() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        for mut watch in [client.watch_list(), client.watch_from_nothing()] {
            watch.added(&object("web-1", 70, "me"));
            drop(watch);
            assert!(client.expires(70));
        }
    }
}

// ---- a past that is not known ----

#[test]
fn an_unknown_past_is_answered_by_410() {
    for encoding in ENCODINGS {
        let (facts, client) = scene(encoding);
        let answer = client.expired(90).unwrap();
        assert_eq!((answer.status, answer.content_type), (410, client.content_type()));
        assert_eq!(told::status(encoding, &answer.body), "Failure 410 Expired");
        assert_eq!(facts.count("streamsExpired"), 1);
    }
}

#[test]
fn a_version_before_or_behind_what_was_seen_is_an_unknown_past() {
    for encoding in ENCODINGS {
        for (version, expires) in
            [("89", true), ("90", false), ("95", false), ("96", true), ("abc", true)]
        {
            let (_facts, client) = scene(encoding);
            client.follow(90, &[object("web-1", 70, "me")]).bookmark(95);
            assert_eq!(client.expires(version), expires, "{version}");
        }
    }
}

#[test]
fn after_410_a_list_helps() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        assert!(client.expires(90));
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), AGAIN);
    }
}

#[test]
fn a_list_that_broke_is_no_past() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        let body =
            client.list_body(90, "", &[object("web-1", 70, "me"), object("web-2", 71, "me")]);
        client.open("").pass(&body[..body.len() - 10]);
        assert!(client.expires(90));
    }
}

#[test]
fn what_asks_for_something_else_has_another_past() {
    for encoding in ENCODINGS {
        let (facts, client) = scene(encoding);
        client.list(90, &[object("web-1", 70, "me")]);
        let other = if encoding == Encoding::Json { Encoding::Protobuf } else { Encoding::Json };
        let others = [
            Client { selects: "labelSelector=team%3Da", ..client.clone() },
            Client { selects: "fieldSelector=metadata.name%3Dweb-1", ..client.clone() },
            Client { namespace: Some("shop"), ..client.clone() },
            Client { view: facts.cluster.node("friend"), ..client.clone() },
            Client { encoding: other, ..client.clone() },
            Client {
                accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                ..client.clone()
            },
            client.clone().of(Kind::Beta),
            client.clone().of(Kind::Endpoints),
        ];
        for other in others {
            assert!(other.expires(90), "{:?}", other.request(""));
        }
        assert!(!client.expires(90));
    }
}

#[test]
fn the_same_selector_written_otherwise_has_the_same_past() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        Client { selects: "labelSelector=team%3Da,x", ..client.clone() }
            .list(90, &[object("web-1", 70, "me")]);
        assert!(!Client { selects: "labelSelector=x,team%3D%3Da", ..client }.expires(90));
    }
}

#[test]
fn metadata_is_listed_and_watched_untouched() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let client = Client {
            accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            ..client
        };
        let (list, event) = metadata_only(encoding);
        assert_eq!(client.open("").pass(&list), list);
        let mut watch = client.watch(90);
        facts.annotate("web", POOL);
        assert_eq!(watch.refreshed(), b"");
        for _ in 0..2 {
            assert_eq!(watch.pass(&event), event);
        }
        facts.annotate("web", NODE);
        assert_eq!(watch.refreshed(), b"");
        drop(watch);
        assert!(!client.expires(95));
    }
}

/// A list at 90 and an event at 95.
fn metadata_only(encoding: Encoding) -> (Vec<u8>, Vec<u8>) {
    const META: &str = "meta.k8s.io/v1";
    let kind = "PartialObjectMetadata";
    match encoding {
        Encoding::Json => {
            let metadata = r#"{"name":"web-1","namespace":"shop","resourceVersion":"95","labels":{"kubernetes.io/service-name":"web"}}"#;
            let object =
                format!(r#"{{"kind":"{kind}","apiVersion":"{META}","metadata":{metadata}}}"#);
            let list = format!(
                r#"{{"kind":"{kind}List","apiVersion":"{META}","metadata":{{"resourceVersion":"90"}},"items":[{object}]}}"#
            );
            (
                list.into_bytes(),
                format!("{{\"type\":\"MODIFIED\",\"object\":{object}}}\n").into_bytes(),
            )
        }
        Encoding::Protobuf => {
            let object =
                record(1, [record(1, "web-1"), record(3, "shop"), record(6, "95")].concat());
            let list = [record(1, record(2, "90")), record(2, &object)].concat();
            let list = envelope(META, &format!("{kind}List"), &list);
            (list, poolscope_testkit::build::event("MODIFIED", &envelope(META, kind, &object)))
        }
    }
}

#[test]
fn a_table_is_listed_and_watched_untouched() {
    let (mut facts, client) = scene(Encoding::Json);
    let client = Client { accept: "application/json;as=Table;g=meta.k8s.io;v=v1", ..client };
    let table = r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"90"},"rows":[{"cells":["web-1"]}]}"#;
    assert_eq!(client.open("").pass(table.as_bytes()), table.as_bytes());
    let mut watch = client.watch(90);
    facts.annotate("web", POOL);
    assert_eq!(watch.refreshed(), b"");
    let event = format!("{{\"type\":\"MODIFIED\",\"object\":{table}}}\n").into_bytes();
    for _ in 0..2 {
        assert_eq!(watch.pass(&event), event);
    }
    assert_eq!(watch.refreshed(), b"");
}

#[test]
fn a_list_that_is_finished_and_not_dropped_is_nobodys_ledger() {
    for retention in super::retention::ALL {
        for encoding in ENCODINGS {
            let mut config = Config::openyurt();
            config.set_retention(retention);
            let (_facts, client) = super::facts::scene_with(encoding, config);
            let slices: Vec<_> =
                (0..9).map(|number| object(&format!("web-{number}"), 70, "me")).collect();
            let mut list = client.open("");
            list.pass(&client.list_body(90, "", &slices));
            list.finish();
            let mut watch = client.watch(90);
            assert_eq!(watch.refresh(), NOTHING, "{retention:?}");
            assert_eq!(watch.needed_lists(), NOTHING);
            drop(list);
        }
    }
}

// ---- pages ----

#[test]
fn a_watch_goes_on_from_all_pages_of_a_list() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        client.page("", 90, "two", &[object("web-1", 40, "me other")]);
        client.page("two", 90, "three", &[object("web-2", 41, "me other")]);
        client.page("three", 90, "", &[object("web-3", 42, "me other")]);
        let mut watch = client.watch(90);
        assert_eq!(watch.refresh(), NOTHING);
        facts.annotate("web", POOL);
        let told = watch.refresh();
        assert_eq!(
            told,
            [
                "MODIFIED web-1@90 me",
                "MODIFIED web-2@90 me",
                "MODIFIED web-3@90 me",
                "BOOKMARK @90"
            ]
        );
    }
}

#[test]
fn a_page_without_those_before_is_no_past() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        client.page("two", 90, "", &[object("web-2", 41, "me")]);
        assert!(client.expires(90));
        client.page("", 91, "more", &[object("web-1", 41, "me")]);
        assert!(client.expires(91), "nor those without the last");
    }
}

#[test]
fn two_readers_of_one_list_are_told_again_what_they_do_not_agree_on() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let (one, two) = ([object("web-1", 40, "me other")], [object("web-2", 41, "me other")]);
        assert_eq!(client.page("", 90, "two", &one), ["web-1@40 me other"]);
        facts.annotate("web", POOL);
        assert_eq!(client.page("", 90, "two", &one), ["web-1@40 me"]);
        for _ in 0..2 {
            client.page("two", 90, "", &two);
            assert_eq!(client.watch(90).refresh(), AGAIN);
        }
    }
}

#[test]
fn three_readers_of_three_lists_go_on() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        for version in [50, 51, 52] {
            client.page("", version, &format!("next{version}"), &[object("web-1", 40, "me")]);
        }
        for version in [50, 51, 52] {
            client.page(&format!("next{version}"), version, "", &[object("web-2", 41, "me")]);
            assert!(!client.expires(version));
        }
    }
}

#[test]
fn a_page_may_be_asked_for_again() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        client.page("", 90, "two", &[object("web-1", 40, "me")]);
        for _ in 0..2 {
            client.page("two", 90, "", &[object("web-2", 41, "me")]);
        }
        assert_eq!(client.watch(90).refresh(), NOTHING);
    }
}

//! Objects without an original: they are requested, or the client lists
//! again.

use std::slice::from_ref;

use poolscope::{BytesMut, Config, ResponseHead, Retention};

use super::client::{Client, NOTHING, Watch};
use super::facts::{Facts, NODE, POOL, scene_with};
use super::object::{ENCODINGS, Encoding, Object, object};
use poolscope_testkit::build::{KINDS, Kind};

pub const ALL: [Retention; 3] = [Retention::Full, Retention::Topology, Retention::None];

const ERROR: [&str; 1] = ["ERROR Failure 410 Expired"];
const TARGET: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?\
                      labelSelector=kubernetes.io%2Fservice-name%3Dweb";

fn keeping(encoding: Encoding, retention: Retention) -> (Facts, Client) {
    let mut config = Config::openyurt();
    config.set_retention(retention);
    scene_with(encoding, config)
}

/// Room for so many bytes of originals.
fn with_room(encoding: Encoding, retention: Retention, bytes: usize) -> (Facts, Client) {
    let mut config = Config::openyurt();
    config.set_retention(retention);
    config.limits_mut().client_state_bytes = bytes;
    scene_with(encoding, config)
}

/// A watch at 90 of a Service that has just gained its keys, and wants its slice.
fn wanting(encoding: Encoding, slice: &Object) -> (Facts, Client, Watch) {
    let (mut facts, client) = keeping(encoding, Retention::Topology);
    let mut watch = client.follow(90, from_ref(slice));
    facts.annotate("web", POOL);
    assert_eq!(watch.refresh(), NOTHING);
    assert_eq!(watch.needed_lists(), [TARGET]);
    (facts, client, watch)
}

// ---- topology ----

#[test]
fn the_originals_of_a_service_with_keys_are_kept() {
    for encoding in ENCODINGS {
        let (mut facts, client) = keeping(encoding, Retention::Topology);
        facts.annotate("web", POOL);
        let mut watch = client.follow(90, &[object("web-1", 70, "me friend other")]);
        facts.annotate("web", NODE);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
        watch.bookmark(91);
        facts.annotate("web", "");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@91 me friend other", "BOOKMARK @91"]);
        watch.bookmark(92);
        assert_eq!(watch.refresh(), NOTHING);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), NOTHING, "it was let go with the keys");
        assert_eq!(watch.needed_lists(), [TARGET]);
    }
}

#[test]
fn what_is_wanted_says_what_to_list() {
    for encoding in ENCODINGS {
        let (_facts, _client, watch) = wanting(encoding, &object("web-1", 70, "me other"));
        let wanted = &watch.stream.needed_lists()[0];
        assert_eq!(
            (&*wanted.namespace, &*wanted.service, &*wanted.target),
            ("shop", "web", TARGET)
        );
        assert!(!watch.stream.needs_refresh(), "a refresh would not help");
    }
}

#[test]
fn what_is_wanted_of_other_kinds() {
    for encoding in ENCODINGS {
        for (kind, target) in KINDS.into_iter().zip([
            TARGET,
            "/apis/discovery.k8s.io/v1beta1/namespaces/shop/endpointslices?\
             labelSelector=kubernetes.io%2Fservice-name%3Dweb",
            "/api/v1/namespaces/shop/endpoints?fieldSelector=metadata.name%3Dweb",
        ]) {
            let (mut facts, client) = keeping(encoding, Retention::Topology);
            let slice = object("web", 70, "me other");
            let mut watch = client.of(kind).follow(90, from_ref(&slice));
            facts.annotate("web", POOL);
            watch.refresh();
            assert_eq!(watch.needed_lists(), [target]);
            assert_eq!(watch.provide_list(&[slice]), ["MODIFIED web@90 me", "BOOKMARK @90"]);
        }
    }
}

#[test]
fn names_are_percent_encoded() {
    for encoding in ENCODINGS {
        let (mut facts, client) = keeping(encoding, Retention::Topology);
        let mut watch = client
            .follow(90, &[Object { service: "wéb&x=1".to_owned(), ..object("s", 70, "me other") }]);
        facts.annotate("wéb&x=1", POOL);
        watch.refresh();
        let path = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";
        assert_eq!(
            watch.needed_lists(),
            [format!("{path}?labelSelector=kubernetes.io%2Fservice-name%3Dw%C3%A9b%26x%3D1")]
        );
    }
}

#[test]
fn what_is_supplied_at_the_version_that_was_seen_counts() {
    for encoding in ENCODINGS {
        let slice = object("web-1", 70, "me other");
        let (facts, _client, mut watch) = wanting(encoding, &slice);
        assert_eq!(
            watch.provide_list(&[object("web-2", 71, "me other"), slice.clone()]),
            ["MODIFIED web-1@90 me", "BOOKMARK @90"]
        );
        assert_eq!(watch.needed_lists(), NOTHING);
        assert_eq!(watch.provide_list(&[slice]), NOTHING, "twice is once");
        assert_eq!(facts.count("eventsRefreshed"), 1);
    }
}

#[test]
fn what_is_supplied_and_seen_as_before_is_not_said() {
    for encoding in ENCODINGS {
        let slice = object("web-1", 70, "me friend");
        let (_facts, _client, mut watch) = wanting(encoding, &slice);
        assert_eq!(watch.provide_list(&[slice]), NOTHING);
        assert_eq!(watch.needed_lists(), NOTHING);
    }
}

#[test]
fn what_is_older_is_still_wanted() {
    for encoding in ENCODINGS {
        let (_facts, _client, mut watch) = wanting(encoding, &object("web-1", 70, "me other"));
        assert_eq!(watch.provide_list(&[object("web-1", 69, "me friend")]), NOTHING);
        assert_eq!(watch.needed_lists(), [TARGET]);
        assert_eq!(
            watch.provide_list(&[object("web-1", 70, "me other")]),
            ["MODIFIED web-1@90 me", "BOOKMARK @90"]
        );
    }
}

#[test]
fn what_is_newer_is_said_when_the_watch_brings_it() {
    for encoding in ENCODINGS {
        let (_facts, _client, mut watch) = wanting(encoding, &object("web-1", 70, "me other"));
        let newer = object("web-1", 95, "me friend other");
        assert_eq!(watch.provide_list(from_ref(&newer)), NOTHING);
        assert_eq!(watch.needed_lists(), [TARGET]);
        assert_eq!(watch.modified(&newer), ["MODIFIED web-1@95 me friend"]);
        assert_eq!(watch.needed_lists(), NOTHING);
        assert_eq!(watch.provide_list(&[newer]), NOTHING);
    }
}

#[test]
fn of_what_has_no_number_as_version_it_cannot_be_told_whether_it_came() {
    for encoding in ENCODINGS {
        let (mut facts, client) = keeping(encoding, Retention::Topology);
        let mut watch = client.follow(90, &[object("web-1", "new", "me other")]);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ERROR);
        assert_eq!(watch.needed_lists(), NOTHING);
        assert_eq!(watch.provide_list(&[object("web-1", "old", "me friend")]), NOTHING);
    }
}

#[test]
fn an_event_satisfies_what_is_wanted() {
    for encoding in ENCODINGS {
        for deleted in [false, true] {
            let slice = object("web-1", 70, "me other");
            let (_facts, _client, mut watch) = wanting(encoding, &slice);
            let later = object("web-1", 95, "me");
            if deleted {
                watch.deleted(&later)
            } else {
                watch.modified(&later)
            };
            assert_eq!(watch.needed_lists(), NOTHING);
            assert_eq!(watch.provide_list(&[slice]), NOTHING);
        }
    }
}

#[test]
fn only_what_is_missing_is_wanted_of_many_slices() {
    for encoding in ENCODINGS {
        let slices = [
            object("web-1", 70, "me other"),
            object("web-2", 71, "other"),
            object("db-1", 72, "me other"),
        ];
        let (mut facts, client) = keeping(encoding, Retention::Topology);
        let mut watch = client.follow(90, &slices);
        facts.annotate("web", POOL);
        facts.annotate("db", POOL);
        watch.refresh();
        assert_eq!(watch.needed_lists().len(), 2, "one list a Service");
        assert_eq!(watch.provide_list(&slices[1..2]), ["MODIFIED web-2@90", "BOOKMARK @90"]);
        assert_eq!(watch.needed_lists().len(), 2);
        assert_eq!(watch.provide_list(&slices[..2]), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
        assert_eq!(watch.provide_list(&slices[2..]), ["MODIFIED db-1@90 me", "BOOKMARK @90"]);
        assert_eq!(watch.needed_lists(), NOTHING);
    }
}

#[test]
fn what_is_supplied_in_the_middle_of_an_event_waits_for_its_end() {
    let slice = object("web-1", 70, "me other");
    let (_facts, client, mut watch) = wanting(Encoding::Json, &slice);
    let bookmark = client.bookmark(95, false);
    watch.pass(&bookmark[..bookmark.len() - 1]);
    assert_eq!(watch.provide_list(&[slice]), NOTHING);
    let out = watch.pass(b"\n");
    assert_eq!(
        super::told::events(Kind::Slice, Encoding::Json, &out[1..]),
        ["MODIFIED web-1@95 me", "BOOKMARK @95"]
    );
}

#[test]
fn a_wrong_answer_is_an_error_and_the_stream_goes_on() {
    for encoding in ENCODINGS {
        let slice = object("web-1", 70, "me other");
        let (_facts, client, mut watch) = wanting(encoding, &slice);
        let body = client.list_body(500, "", from_ref(&slice));
        let other = if encoding == Encoding::Json {
            "application/vnd.kubernetes.protobuf"
        } else {
            "application/json"
        };
        let mut out = BytesMut::new();
        for (head, body) in [
            (ResponseHead::ok(other), &body[..]),
            (ResponseHead::ok("application/cbor"), &body),
            (ResponseHead::new(404).header("Content-Type", client.content_type()), &body),
            (client.head(), &body[..body.len() / 2]),
            (client.head(), b"not found"),
        ] {
            assert!(watch.stream.provide_list(&head, body, &mut out).is_err(), "{head:?}");
            assert!(out.is_empty());
            assert_eq!(watch.needed_lists(), [TARGET]);
        }
        assert_eq!(watch.modified(&object("db-1", 95, "me")), ["MODIFIED db-1@95 me"]);
        assert_eq!(watch.provide_list(&[slice]), ["MODIFIED web-1@95 me", "BOOKMARK @95"]);
    }
}

#[test]
fn a_service_that_loses_its_keys_again_is_not_wanted() {
    for encoding in ENCODINGS {
        let (mut facts, _client, mut watch) = wanting(encoding, &object("web-1", 70, "me other"));
        facts.annotate("web", "");
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(watch.needed_lists(), NOTHING);
        facts.annotate("web", NODE);
        watch.refresh();
        assert_eq!(watch.needed_lists(), [TARGET]);
    }
}

#[test]
fn what_is_missing_because_of_a_member_stays_missing() {
    for encoding in ENCODINGS {
        let (mut facts, client) = with_room(encoding, Retention::Topology, 10);
        facts.annotate("web", POOL);
        let slice = object("web-1", 40, "me friend");
        let mut watch = client.follow(90, from_ref(&slice));
        facts.pool("hz", "me");
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(watch.needed_lists(), [TARGET]);
        // To and fro, and the member is still gone.
        facts.annotate("web", NODE);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(watch.needed_lists(), [TARGET]);
        assert_eq!(watch.provide_list(&[slice]), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
    }
}

#[test]
fn after_an_error_nothing_is_wanted() {
    for encoding in ENCODINGS {
        let slice = object("web-1", 70, "me other");
        let (_facts, _client, mut watch) = wanting(encoding, &slice);
        watch.error();
        assert_eq!(watch.needed_lists(), NOTHING);
        assert_eq!(watch.provide_list(&[slice]), NOTHING);
    }
}

#[test]
fn what_is_wanted_is_wanted_after_a_reconnect() {
    for encoding in ENCODINGS {
        let slice = object("web-1", 70, "me other");
        let (_facts, client, watch) = wanting(encoding, &slice);
        drop(watch);
        let mut watch = client.watch(90);
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(watch.needed_lists(), [TARGET]);
        assert_eq!(watch.provide_list(&[slice]), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
    }
}

#[test]
fn with_other_retentions_nothing_is_wanted() {
    for encoding in ENCODINGS {
        for retention in [Retention::Full, Retention::None] {
            let (mut facts, client) = keeping(encoding, retention);
            let slice = object("web-1", 70, "me other");
            let mut watch = client.follow(90, from_ref(&slice));
            facts.annotate("web", POOL);
            watch.refresh();
            assert_eq!(watch.needed_lists(), NOTHING);
            assert_eq!(watch.provide_list(&[slice]), NOTHING);
        }
    }
}

// ---- none ----

#[test]
fn without_originals_a_change_ends_the_watch() {
    for encoding in ENCODINGS {
        for kind in KINDS {
            let (mut facts, client) = keeping(encoding, Retention::None);
            let client = client.of(kind);
            let mut watch = client.follow(90, &[object("web", 70, "me other")]);
            facts.annotate("web", POOL);
            assert!(!watch.stream.is_ended());
            assert_eq!(watch.refresh(), ERROR);
            assert!(watch.stream.is_ended() && !watch.stream.needs_refresh());
            assert_eq!(facts.count("streamsExpired"), 1);
            // Later bytes are ignored.
            assert_eq!(watch.modified(&object("web", 95, "me")), NOTHING);
            assert_eq!(watch.push(b"anything"), NOTHING);
            facts.annotate("web", "");
            assert_eq!(watch.refresh(), NOTHING);
            assert_eq!(watch.finish(), b"");
            assert!(client.expires(90));
            assert_eq!(client.list(95, &[object("web", 95, "me other")]), ["web@95 me other"]);
            assert!(!client.expires(95));
        }
    }
}

#[test]
fn the_watch_ends_in_the_push_that_makes_it_possible() {
    let (mut facts, client) = keeping(Encoding::Json, Retention::None);
    let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
    let bookmark = client.bookmark(95, false);
    watch.refresh();
    watch.pass(&bookmark[..bookmark.len() - 1]);
    facts.annotate("web", POOL);
    assert_eq!(watch.refreshed(), b"");
    let out = watch.pass(&[b"\n", &*client.bookmark(96, false)].concat());
    assert_eq!(
        super::told::events(Kind::Slice, Encoding::Json, &out[1..]),
        ERROR,
        "and nothing that came with the newline"
    );
    assert!(watch.stream.is_ended());
}

#[test]
fn what_no_object_depends_on_ends_no_watch() {
    for encoding in ENCODINGS {
        let (mut facts, client) = keeping(encoding, Retention::None);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        facts.annotate("db", POOL);
        facts.pool("hz", "me friend other");
        facts.label("friend", "sh");
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(
            watch.modified(&object("web-1", 95, "me other")),
            NOTHING,
            "and events are left out as ever"
        );
    }
}

#[test]
fn a_member_of_another_pool_ends_no_watch() {
    for encoding in ENCODINGS {
        let (mut facts, client) = keeping(encoding, Retention::None);
        facts.annotate("web", POOL);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        // The slice names the node, but what other pools have does not matter here.
        facts.pool("sh", "");
        assert_eq!(watch.refresh(), NOTHING);
        assert!(!watch.stream.is_ended());
        facts.pool("hz", "me friend other");
        assert_eq!(watch.refresh(), ERROR, "what the own pool has does");
    }
}

#[test]
fn what_is_swallowed_after_the_end_is_taken() {
    for encoding in ENCODINGS {
        let (mut facts, client) = keeping(encoding, Retention::None);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        let event = client.event("MODIFIED", &object("web-1", 95, "me friend"));
        watch.pass(&event);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ERROR);
        let given = watch.stream.bytes_out();
        for pushed in 2..4 {
            watch.pass(&event);
            assert_eq!(
                (watch.stream.bytes_in(), watch.stream.bytes_out()),
                (pushed * event.len() as u64, given)
            );
        }
    }
}

#[test]
fn the_list_of_another_client_ends_no_watch() {
    for encoding in ENCODINGS {
        let (_facts, client) = keeping(encoding, Retention::None);
        let slice = object("web-1", 40, "me");
        let mut watch = client.follow(50, from_ref(&slice));
        watch.modified(&object("web-1", 70, "me friend"));
        // It comes from a cache that is behind.
        client.list(60, &[slice]);
        let _other = client.watch(60);
        assert_eq!(watch.refresh(), NOTHING);
        assert!(!watch.stream.is_ended());
    }
}

#[test]
fn an_event_that_brings_the_object_is_judged_by_what_is_known() {
    for encoding in ENCODINGS {
        let (mut facts, client) = keeping(encoding, Retention::None);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        watch.refresh();
        facts.annotate("web", POOL);
        assert_eq!(watch.modified(&object("web-1", 95, "me other")), ["MODIFIED web-1@95 me"]);
        assert_eq!(watch.refresh(), NOTHING);
        assert!(!watch.stream.is_ended());
    }
}

// ---- bounds ----

#[test]
fn what_there_is_no_room_for_is_not_kept() {
    for encoding in ENCODINGS {
        let one = object("web-1", 70, "me other").whole(Kind::Slice, encoding).len();
        let (mut facts, client) = with_room(encoding, Retention::Full, one * 3 / 2);
        let mut watch =
            client.follow(90, &[object("web-1", 70, "me other"), object("db-1", 71, "me other")]);
        facts.annotate("web", POOL);
        assert_eq!(
            watch.refresh(),
            ["MODIFIED web-1@90 me", "BOOKMARK @90"],
            "there was room for one"
        );
        facts.annotate("db", POOL);
        assert_eq!(watch.refresh(), ERROR);
        assert!(watch.stream.is_ended() && client.expires(90));
    }
}

#[test]
fn what_there_is_no_room_for_is_asked_for() {
    for encoding in ENCODINGS {
        let (mut facts, client) = with_room(encoding, Retention::Topology, 1);
        facts.annotate("web", POOL);
        let slice = object("web-1", 70, "me friend other");
        let mut watch = client.follow(90, from_ref(&slice));
        facts.annotate("web", NODE);
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(watch.provide_list(&[slice]), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
    }
}

#[test]
fn what_is_to_be_said_once_more_is_kept_until_it_is() {
    for encoding in ENCODINGS {
        let (mut facts, client) = with_room(encoding, Retention::Topology, 1);
        let slice = object("web-1", 90, "me other");
        let mut watch = client.follow(90, from_ref(&slice));
        facts.annotate("web", POOL);
        watch.refresh();
        assert_eq!(watch.provide_list(from_ref(&slice)), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
        assert_eq!(watch.bookmark(95), ["BOOKMARK @95", "MODIFIED web-1@95 me", "BOOKMARK @95"]);
        // The connection may break before it arrives.
        facts.annotate("web", NODE);
        assert_eq!(watch.refresh(), NOTHING);
        watch.bookmark(96);
        assert_eq!(watch.refresh(), NOTHING);
        facts.annotate("web", "");
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(watch.needed_lists(), [TARGET]);
    }
}

#[test]
fn what_an_object_took_before_it_changed_is_free_again() {
    for encoding in ENCODINGS {
        let one = object("web-1", 70, "me other").whole(Kind::Slice, encoding).len();
        let (mut facts, client) = with_room(encoding, Retention::Full, one * 3 / 2);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        watch.modified(&object("web-1", 95, "other me"));
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@95 me", "BOOKMARK @95"]);
    }
}

#[test]
fn what_a_deleted_object_took_is_free_again() {
    for encoding in ENCODINGS {
        let one = object("web-1", 70, "me other").whole(Kind::Slice, encoding).len();
        let (mut facts, client) = with_room(encoding, Retention::Full, one * 3 / 2);
        let mut watch = client.follow(90, &[object("db-1", 70, "me other")]);
        watch.deleted(&object("db-1", 95, "me other"));
        watch.added(&object("web-1", 96, "me other"));
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@96 me", "BOOKMARK @96"]);
    }
}

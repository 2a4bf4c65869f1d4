//! Events that say nothing are left out.

use poolscope::Config;

use super::client::NOTHING;
use super::facts::{POOL, scene, scene_with};
use super::object::{ENCODINGS, LAST_CHANGE, Object, object};
use poolscope_testkit::build::KINDS;

/// Fields that proxies ignore.
fn silent() -> [Object; 5] {
    let slice = || object("web", 95, "me other");
    let mut last_change = slice();
    last_change.annotations.insert(LAST_CHANGE.to_owned(), "one o'clock".to_owned());
    let mut all = last_change.clone();
    (all.generation, all.manager) = (3, "another controller that is called otherwise");
    [
        slice(),
        Object { generation: 1_000_000, ..slice() },
        Object { manager: "x", ..slice() },
        last_change,
        all,
    ]
}

/// Fields that proxies read, or may read.
fn telling() -> Vec<Object> {
    let slice = || object("web", 95, "me other");
    let mut changed = vec![
        Object { port: 81, ..slice() },
        object("web", 95, "other me"),
        object("web", 95, "me"),
        object("web", 95, "me! other"),
    ];
    for change in [
        |object: &mut Object| drop(object.labels.insert("team".to_owned(), "b".to_owned())),
        |object: &mut Object| object.labels.clear(),
        |object: &mut Object| drop(object.labels.insert("more".to_owned(), String::new())),
        |object: &mut Object| drop(object.annotations.insert("note".to_owned(), "y".to_owned())),
        |object: &mut Object| drop(object.annotations.remove("note")),
    ] {
        let mut object = slice();
        change(&mut object);
        changed.push(object);
    }
    changed
}

#[test]
fn what_tells_a_proxy_nothing_is_left_out() {
    for encoding in ENCODINGS {
        for kind in KINDS {
            for object in silent() {
                let (facts, client) = scene(encoding);
                let client = client.of(kind);
                let mut watch = client.follow(90, &[super::object::object("web", 70, "me other")]);
                assert_eq!(
                    watch.pass(&client.event("MODIFIED", &object)),
                    b"",
                    "not even an empty line: {object:?}"
                );
                assert_eq!(watch.pass(&client.event("ADDED", &object)), b"");
                assert_eq!(facts.count("eventsSuppressed"), 2);
            }
        }
    }
}

#[test]
fn everything_else_is_sent() {
    for encoding in ENCODINGS {
        for kind in KINDS {
            for changed in telling() {
                let (facts, client) = scene(encoding);
                let mut watch = client.of(kind).follow(90, &[object("web", 70, "me other")]);
                assert_eq!(watch.modified(&changed).len(), 1, "{changed:?}");
                assert_eq!(facts.count("eventsSuppressed"), 0);
            }
        }
    }
}

#[test]
fn another_address_family_is_sent() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me")]);
        assert_eq!(
            watch.modified(&Object { family: "IPv6", ..object("web-1", 95, "me") }),
            ["MODIFIED web-1@95 me"]
        );
    }
}

#[test]
fn what_happens_in_another_pool_is_left_out() {
    for encoding in ENCODINGS {
        for kind in KINDS {
            let (mut facts, client) = scene(encoding);
            facts.annotate("web", POOL);
            let mut watch = client.of(kind).follow(90, &[object("web", 70, "me friend other")]);
            for (version, on) in
                [(91, "me friend other other"), (92, "other me friend"), (93, "me friend")]
            {
                assert_eq!(watch.modified(&object("web", version, on)), NOTHING, "{on}");
            }
            assert_eq!(watch.modified(&object("web", 95, "me")), ["MODIFIED web@95 me"]);
            assert_eq!(facts.count("eventsSuppressed"), 3);
        }
    }
}

#[test]
fn a_condition_counts_where_its_endpoint_is_seen() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        facts.annotate("web", POOL);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        assert_eq!(watch.modified(&object("web-1", 91, "me other!")), NOTHING);
        assert_eq!(watch.modified(&object("web-1", 92, "me! other!")), ["MODIFIED web-1@92 me"]);
    }
}

#[test]
fn a_newline_is_left_out_with_its_event_whenever_it_comes() {
    let (_facts, client) = scene(super::object::Encoding::Json);
    let mut watch = client.follow(90, &[object("web-1", 70, "me")]);
    let suppress = client.event("MODIFIED", &object("web-1", 95, "me"));
    let (event, newline) = suppress.split_at(suppress.len() - 1);
    for piece in [event, newline] {
        assert_eq!(watch.pass(piece), b"");
    }
    let telling = client.event("MODIFIED", &object("web-1", 96, "me other"));
    assert_eq!(watch.pass(&telling), telling);
    // Three events in one piece.
    let pieces = [
        client.event("MODIFIED", &object("web-1", 97, "me other")),
        client.bookmark(98, false),
        suppress,
    ]
    .concat();
    assert_eq!(watch.push(&pieces), ["BOOKMARK @98", "MODIFIED web-1@95 me"]);
}

#[test]
fn a_deletion_is_never_left_out() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me")]);
        assert_eq!(watch.deleted(&object("web-1", 95, "me")), ["DELETED web-1@95 me"]);
        assert_eq!(
            watch.deleted(&object("web-2", 96, "me")),
            ["DELETED web-2@96 me"],
            "whatever it was"
        );
        assert_eq!(
            watch.added(&object("web-1", 97, "me")),
            ["ADDED web-1@97 me"],
            "and what comes back is new"
        );
    }
}

#[test]
fn nothing_is_left_out_of_initial_events() {
    for encoding in ENCODINGS {
        let (facts, client) = scene(encoding);
        for mut watch in [client.watch_list(), client.watch_from_nothing()] {
            for version in [70, 71] {
                assert_eq!(watch.added(&object("web-1", version, "me")).len(), 1);
            }
        }
        for _ in 0..2 {
            assert_eq!(client.list(90, &[object("web-1", 70, "me")]), ["web-1@70 me"]);
        }
        assert_eq!(facts.count("eventsSuppressed"), 0);
    }
}

#[test]
fn what_a_refresh_has_said_is_left_out_when_upstream_says_it() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        facts.annotate("web", POOL);
        watch.refresh();
        assert_eq!(watch.modified(&object("web-1", 95, "me other")), NOTHING);
        facts.annotate("web", "");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@95 me other", "BOOKMARK @95"]);
    }
}

#[test]
fn an_event_that_comes_before_the_refresh_makes_it_needless() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        watch.refresh();
        facts.annotate("web", POOL);
        assert_eq!(watch.modified(&object("web-1", 95, "me other")), ["MODIFIED web-1@95 me"]);
        assert_eq!(watch.refresh(), NOTHING);
    }
}

#[test]
fn not_quiet_sends_everything() {
    for encoding in ENCODINGS {
        let mut config = Config::openyurt();
        config.set_suppress_unchanged(false);
        let (mut facts, client) = scene_with(encoding, config);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        assert_eq!(
            watch.modified(&object("web-1", 95, "me other")),
            ["MODIFIED web-1@95 me other"]
        );
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@95 me", "BOOKMARK @95"]);
        assert_eq!(watch.modified(&object("web-1", 96, "me other")), ["MODIFIED web-1@96 me"]);
        assert_eq!(facts.count("eventsSuppressed"), 0);
    }
}

#[test]
fn of_a_body_by_itself_every_event_is_sent() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        let request = client.request("watch=true&resourceVersion=90");
        let Ok(poolscope::Action::Rewrite(stream)) =
            client.view.open_stateless(&request, &client.head())
        else {
            panic!()
        };
        let mut watch = super::client::Watch::new(stream, &client);
        for version in [95, 96] {
            assert_eq!(watch.modified(&object("web-1", version, "me")).len(), 1);
        }
    }
}

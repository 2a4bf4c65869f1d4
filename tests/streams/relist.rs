//! A client that lists anew: what it may hold otherwise under the same version is emitted again
//! when it watches, and one client alone is not told to relist for its own past.

use poolscope::{Config, Retention};

use super::client::{Client, NOTHING, Watch};
use super::facts::{Facts, POOL, scene, scene_with};
use super::object::{ENCODINGS, Encoding, Object, object};
use super::retention::ALL;

/// Every way in which a watch ends so that its client lists anew.
const ENDS: [fn(&Client, Watch); 3] = [
    // Upstream says 410.
    |_, mut watch| assert_eq!(watch.error().len(), 1),
    // The connection breaks, and upstream says 410 to the next watch.
    |client, watch| {
        drop(watch);
        assert_eq!(client.watch(90).error().len(), 1);
    },
    // The client lists of its own accord.
    |_, watch| drop(watch),
];

fn slices() -> [Object; 2] {
    [object("web-1", 70, "me other"), object("web-2", 71, "me")]
}

#[test]
fn what_a_list_says_otherwise_under_the_same_version_is_said_once_more() {
    for encoding in ENCODINGS {
        for end in ENDS {
            let (mut facts, client) = scene(encoding);
            end(&client, client.follow(90, &slices()));
            facts.annotate("web", POOL);
            assert_eq!(client.list(92, &slices()), ["web-1@70 me", "web-2@71 me"]);
            // The version of the list is another than that of the object.
            assert_eq!(client.watch(92).refresh(), ["MODIFIED web-1@92 me", "BOOKMARK @92"]);
        }
    }
}

#[test]
fn initial_events_are_a_list_too() {
    for encoding in ENCODINGS {
        for end in ENDS {
            let (mut facts, client) = scene(encoding);
            end(&client, client.follow(90, &slices()));
            facts.annotate("web", POOL);
            let mut watch = client.watch_list();
            slices().iter().for_each(|slice| drop(watch.added(slice)));
            let told = watch.end_of_initial_events(92);
            assert_eq!(
                told,
                ["BOOKMARK @92 ends the initial events", "MODIFIED web-1@92 me", "BOOKMARK @92"]
            );
        }
    }
}

#[test]
fn at_the_objects_own_version_it_is_said_again_when_the_version_moves() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let slice = object("web-1", 90, "me other");
        assert_eq!(client.follow(90, std::slice::from_ref(&slice)).error().len(), 1);
        facts.annotate("web", POOL);
        client.list(90, &[slice]);
        let mut watch = client.watch(90);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
        assert_eq!(watch.bookmark(95), ["BOOKMARK @95", "MODIFIED web-1@95 me", "BOOKMARK @95"]);
        assert_eq!(watch.bookmark(96), ["BOOKMARK @96"]);
    }
}

#[test]
fn what_the_client_cannot_have_under_that_version_is_not_said_again() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &slices());
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
        // The other one has changed meanwhile, and was never given otherwise than it is.
        assert_eq!(watch.modified(&object("web-2", 95, "me other")), NOTHING);
        drop(watch);
        client.list(
            96,
            &[
                object("web-1", 70, "me other"),
                object("web-2", 95, "me other"),
                object("web-3", 96, "me"),
            ],
        );
        // The refresh may not have arrived, so that the client has web-1 whole under 70.
        assert_eq!(client.watch(96).refresh(), ["MODIFIED web-1@96 me", "BOOKMARK @96"]);
        // Another client was never given anything.
        let other = Client { agent: "kube-proxy/1.37", ..client.clone() };
        assert_eq!(other.follow(96, &slices()).refresh(), NOTHING);
    }
}

#[test]
fn a_ladders_slices_are_said_once_more_too() {
    for encoding in ENCODINGS {
        let mut config = Config::openyurt();
        config.set_topology_fallback(true);
        let (mut facts, client) = scene_with(encoding, config);
        assert_eq!(client.follow(90, &slices()).error().len(), 1);
        facts.annotate("web", "openyurt.io/nodepool,*");
        client.list(92, &slices());
        assert_eq!(client.watch(92).refresh(), ["MODIFIED web-1@92 me", "BOOKMARK @92"]);
    }
}

#[test]
fn who_comes_from_another_process_may_hold_anything_that_is_as_old() {
    for encoding in ENCODINGS {
        for by in ["its watch", "its list"] {
            let (_facts, client) = scene(encoding);
            let items = [object("web-1", 70, "me"), object("web-2", 96, "me")];
            if by == "its watch" {
                assert!(client.expires(90));
                client.list(96, &items);
            } else {
                let list = client.open("resourceVersion=90");
                finish(list, &client, 96, &items);
            }
            assert_eq!(
                client.watch(96).refresh(),
                ["MODIFIED web-1@96 me", "BOOKMARK @96"],
                "{by}"
            );
            // A second one of the same name may come from there too.
            finish(client.open("resourceVersion=90"), &client, 97, &items);
            assert_eq!(
                client.watch(97).refresh(),
                ["MODIFIED web-1@97 me", "BOOKMARK @97"],
                "{by}"
            );
        }
        // A client without a version requests any state.
        for query in ["resourceVersion=0", "resourceVersion=", ""] {
            let (_facts, client) = scene(encoding);
            finish(client.open(query), &client, 96, &slices());
            assert_eq!(client.watch(96).refresh(), NOTHING);
        }
    }
}

fn finish(mut list: Watch, client: &Client, version: u64, items: &[Object]) {
    list.pass(&client.list_body(version, "", items));
    list.finish();
}

#[test]
fn pages_are_in_doubt_together() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        let mut first = client.open("limit=1&resourceVersion=90");
        first.pass(&client.list_body(96, "more", &[object("web-1", 70, "me")]));
        first.finish();
        client.page("more", 96, "", &[object("web-2", 71, "me")]);
        let told = client.watch(96).refresh();
        assert_eq!(told, ["MODIFIED web-1@96 me", "MODIFIED web-2@96 me", "BOOKMARK @96"]);
    }
}

#[test]
fn a_list_of_many_pages_is_followed_as_one() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let slice = |number: usize| object(&format!("web-{number:05}"), 70, "me other");
        // More than are copied from page to page.
        for page in 0..60 {
            let token = if page == 0 { String::new() } else { format!("page-{page}") };
            let next = if page == 59 { String::new() } else { format!("page-{}", page + 1) };
            let items: Vec<Object> = (page * 100..page * 100 + 100).map(slice).collect();
            assert_eq!(client.page(&token, 90, &next, &items).len(), 100);
        }
        let mut watch = client.watch(90);
        assert_eq!(watch.refresh(), NOTHING);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh().len(), 6001, "every slice, and a bookmark");
    }
}

#[test]
fn initial_events_that_never_ended_leave_their_client_in_doubt() {
    for encoding in ENCODINGS {
        for query in ["watch=true", "watch=true&sendInitialEvents=false"] {
            let (mut facts, client) = scene(encoding);
            facts.annotate("web", POOL);
            let mut watch = client.follow(60, &[object("web-1", 50, "me other")]);
            watch.added(&object("web-2", 70, "me other"));
            watch.bookmark(95);
            drop(watch);
            facts.annotate("web", "");
            let mut watch = client.open(query);
            assert_eq!(watch.added(&object("web-1", 50, "me other")), ["ADDED web-1@50 me other"]);
            watch.added(&object("web-2", 70, "me other"));
            drop(watch);
            facts.annotate("web", POOL);
            // It comes back at what it was given last, where another client of the same name was
            // too.
            let told = client.watch(70).refresh();
            assert_eq!(
                told,
                ["MODIFIED web-1@70 me", "MODIFIED web-2@70 me", "BOOKMARK @70"],
                "{query}"
            );
        }
    }
}

/// A client that keeps no originals lists, watches, breaks off and relists; then a fact
/// changes.
fn alone(encoding: Encoding, retention: Retention, room: usize) -> (Facts, Client, Watch) {
    let mut config = Config::openyurt();
    config.set_retention(retention);
    config.limits_mut().client_state_bytes = room;
    let (mut facts, client) = scene_with(encoding, config);
    let mut watch = client.follow(90, &slices());
    watch.bookmark(92);
    drop(watch);
    let mut watch = client.follow(92, &slices());
    facts.annotate("web", POOL);
    assert_eq!(watch.refresh(), ["ERROR Failure 410 Expired"], "it has no original");
    (facts, client, watch)
}

#[test]
fn one_client_alone_is_told_once_to_list_again() {
    for encoding in ENCODINGS {
        for (retention, room) in [(Retention::None, 1 << 30), (Retention::Full, 1)] {
            let (_facts, client, mut watch) = alone(encoding, retention, room);
            for _ in 0..6 {
                drop(watch);
                // The API server has not moved on.
                client.list(92, &slices());
                watch = client.watch(92);
                assert_eq!(watch.refresh()[0], "MODIFIED web-1@92 me");
                // However often its connection breaks.
                for _ in 0..6 {
                    drop(watch);
                    watch = client.watch(92);
                    assert!(!watch.refresh()[0].starts_with("ERROR"));
                }
            }
        }
    }
}

#[test]
fn a_client_that_lists_often_is_not_told_to_list_again_for_it() {
    for encoding in ENCODINGS {
        for retention in ALL {
            let mut config = Config::openyurt();
            config.set_retention(retention);
            let (_facts, client) = scene_with(encoding, config);
            for _ in 0..10 {
                client.list(92, &slices());
            }
            let told = client.watch(92).refresh();
            assert!(told.iter().all(|line| !line.starts_with("ERROR")), "{told:?}");
        }
    }
}

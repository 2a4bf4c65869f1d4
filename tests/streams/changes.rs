//! Every fact change that a client has to be told of.

use poolscope::{Config, Membership};

use super::client::NOTHING;
use super::facts::{NODE, POOL, scene, scene_with};
use super::object::{ENCODINGS, object};
use poolscope_testkit::build::KINDS;

#[test]
fn a_service_gains_changes_and_loses_its_keys() {
    for encoding in ENCODINGS {
        for kind in KINDS {
            let (mut facts, client) = scene(encoding);
            let mut watch = client.of(kind).follow(90, &[object("web", 70, "me friend other")]);
            facts.annotate("web", POOL);
            assert_eq!(watch.refresh(), ["MODIFIED web@90 me friend", "BOOKMARK @90"]);
            watch.bookmark(91);
            facts.annotate("web", NODE);
            assert_eq!(watch.refresh(), ["MODIFIED web@91 me", "BOOKMARK @91"]);
            watch.bookmark(92);
            facts.annotate("web", "");
            assert_eq!(watch.refresh(), ["MODIFIED web@92 me friend other", "BOOKMARK @92"]);
        }
    }
}

#[test]
fn a_deleted_service_keeps_its_keys_until_it_comes_back() {
    for encoding in ENCODINGS {
        for kind in KINDS {
            let (mut facts, client) = scene(encoding);
            facts.annotate("web", POOL);
            let mut watch = client.of(kind).follow(90, &[object("web", 70, "me other")]);
            facts.delete_service("web");
            assert_eq!(watch.refresh(), NOTHING);
            assert_eq!(
                watch.modified(&object("web", 95, "me friend other")),
                ["MODIFIED web@95 me friend"]
            );
            facts.annotate("web", POOL);
            assert_eq!(watch.refresh(), NOTHING, "as it was");
            facts.delete_service("web");
            facts.annotate("web", "");
            assert_eq!(watch.refresh(), ["MODIFIED web@95 me friend other", "BOOKMARK @95"]);
        }
    }
}

#[test]
fn a_service_becomes_known_after_its_slices() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("new-1", 70, "me other")]);
        facts.annotate("new", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED new-1@90 me", "BOOKMARK @90"]);
    }
}

#[test]
fn a_node_joins_and_leaves_the_pool() {
    for encoding in ENCODINGS {
        for kind in KINDS {
            let (mut facts, client) = scene(encoding);
            facts.annotate("web", POOL);
            facts.annotate("db", NODE);
            let mut watch = client.of(kind).follow(
                90,
                &[object("web", 70, "me friend other"), object("db", 71, "me friend other")],
            );
            facts.pool("hz", "me friend other");
            assert_eq!(watch.refresh(), ["MODIFIED web@90 me friend other", "BOOKMARK @90"]);
            watch.bookmark(91);
            facts.pool("hz", "me other");
            assert_eq!(watch.refresh(), ["MODIFIED web@91 me other", "BOOKMARK @91"]);
            facts.pool("sh", "friend");
            assert_eq!(watch.refresh(), NOTHING, "another pool");
        }
    }
}

#[test]
fn a_pool_loses_its_status_and_gets_it_back() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        facts.annotate("web", POOL);
        let mut watch = client.follow(90, &[object("web-1", 70, "me friend other")]);
        facts.pool_without_status("hz");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90", "BOOKMARK @90"], "a pool of no nodes");
        watch.bookmark(91);
        facts.pool("hz", "me friend");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@91 me friend", "BOOKMARK @91"]);
    }
}

#[test]
fn a_pool_goes_and_comes_back() {
    for encoding in ENCODINGS {
        for kind in KINDS {
            let (mut facts, client) = scene(encoding);
            facts.annotate("web", POOL);
            let mut watch = client.of(kind).follow(90, &[object("web", 70, "me friend other")]);
            facts.delete_pool("hz");
            assert_eq!(
                watch.refresh(),
                ["MODIFIED web@90 me friend other", "BOOKMARK @90"],
                "a pool that nobody knows"
            );
            watch.bookmark(91);
            facts.pool("hz", "me friend");
            assert_eq!(watch.refresh(), ["MODIFIED web@91 me friend", "BOOKMARK @91"]);
        }
    }
}

#[test]
fn the_node_itself_gets_another_pool_or_none() {
    for encoding in ENCODINGS {
        for kind in KINDS {
            let (mut facts, client) = scene(encoding);
            facts.annotate("web", POOL);
            let mut watch = client
                .of(kind)
                .follow(90, &[object("web", 70, "me friend other"), object("db", 71, "me other")]);
            facts.label("me", "sh");
            assert_eq!(watch.refresh(), ["MODIFIED web@90 other", "BOOKMARK @90"]);
            watch.bookmark(91);
            facts.label("me", "");
            assert_eq!(watch.refresh(), ["MODIFIED web@91 me", "BOOKMARK @91"]);
            facts.label("friend", "sh");
            assert_eq!(watch.refresh(), NOTHING, "another node");
        }
    }
}

#[test]
fn a_bucket_names_more_nodes_and_fewer() {
    for encoding in ENCODINGS {
        let mut config = Config::openyurt();
        config.set_membership(Membership::NodeBucket);
        let (mut facts, client) = scene_with(encoding, config);
        facts.annotate("web", POOL);
        let mut watch = client.follow(90, &[object("web-1", 70, "me friend other")]);
        facts.pool("hz", "me friend other");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me friend other", "BOOKMARK @90"]);
        watch.bookmark(91);
        facts.pool("hz", "me");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@91 me", "BOOKMARK @91"]);
        watch.bookmark(92);
        facts.delete_pool("hz");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@92 me friend other", "BOOKMARK @92"]);
    }
}

#[test]
fn a_label_puts_nodes_into_a_pool() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene_with(encoding, Config::node_label("zone"));
        facts.annotate("web", POOL);
        let mut watch = client.follow(90, &[object("web-1", 70, "me friend other")]);
        facts.label("other", "hz");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me friend other", "BOOKMARK @90"]);
        watch.bookmark(91);
        facts.label("friend", "sh");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@91 me other", "BOOKMARK @91"]);
        watch.bookmark(92);
        facts.label("me", "sh");
        assert_eq!(watch.refresh(), ["MODIFIED web-1@92 me friend", "BOOKMARK @92"]);
    }
}

#[test]
fn a_slice_changes_its_service() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        let mut slice = object("web-1", 95, "me other");
        slice.service = "db".to_owned();
        watch.modified(&slice);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), NOTHING);
        facts.annotate("db", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@95 me", "BOOKMARK @95"]);
    }
}

#[test]
fn after_more_changes_than_are_remembered_everything_is_looked_at() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        facts.annotate("db", POOL);
        let mut watch = client.follow(
            90,
            &[
                object("web-1", 70, "me other"),
                object("db-1", 71, "me friend other"),
                object("s1-1", 72, "me other"),
            ],
        );
        facts.annotate("web", POOL);
        facts.pool("hz", "me");
        facts.annotate_all((0..5000).map(|number| format!("s{number}")), NODE);
        assert_eq!(
            watch.refresh(),
            ["MODIFIED web-1@90 me", "MODIFIED db-1@90 me", "MODIFIED s1-1@90 me", "BOOKMARK @90"]
        );
        assert_eq!(watch.refresh(), NOTHING);
    }
}

#[test]
fn one_refresh_says_what_many_changes_came_to() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client
            .follow(90, &[object("web-1", 70, "me friend other"), object("db-1", 71, "me other")]);
        facts.annotate("web", NODE);
        facts.annotate("db", POOL);
        facts.pool("hz", "me other");
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me other", "BOOKMARK @90"]);
        assert_eq!(facts.count("eventsRefreshed"), 1);
    }
}

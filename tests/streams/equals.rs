//! Several clients with one past: nobody can tell which of them comes back, so whatever they may
//! not all have is emitted again.

use std::slice::from_ref;

use super::client::NOTHING;
use super::facts::{POOL, scene};
use super::object::{ENCODINGS, object};

const AGAIN: [&str; 2] = ["MODIFIED web-1@90 me", "BOOKMARK @90"];

#[test]
fn two_equal_clients_go_on_and_nothing_is_said_again() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let slices = [object("web-1", 70, "me other"), object("web-2", 71, "me other")];
        client.list(80, &slices);
        client.list(80, &slices);
        for (version, next) in [(80, 85), (85, 89)] {
            let mut watches = [client.watch(version), client.watch(version)];
            for watch in &mut watches {
                assert_eq!(watch.refresh(), NOTHING);
                assert_eq!(watch.bookmark(next).len(), 1);
            }
        }
        facts.annotate("web", POOL);
        for mut watch in [client.watch(89), client.watch(89)] {
            assert_eq!(
                watch.refresh(),
                ["MODIFIED web-1@89 me", "MODIFIED web-2@89 me", "BOOKMARK @89"]
            );
        }
    }
}

#[test]
fn two_clients_are_told_again_what_they_do_not_agree_on() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let slices = [object("web-1", 70, "me other"), object("web-2", 71, "me")];
        client.list(90, &slices);
        facts.annotate("web", POOL);
        client.list(90, &slices);
        for _ in 0..2 {
            assert_eq!(client.watch(90).refresh(), AGAIN);
        }
    }
}

#[test]
fn a_client_whose_past_is_still_in_use_is_told_everything_again() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        let mut first = client.follow(90, &[object("web-1", 70, "me"), object("web-2", 71, "")]);
        let mut second = client.watch(90);
        assert_eq!(second.refresh(), ["MODIFIED web-1@90 me", "MODIFIED web-2@90", "BOOKMARK @90"]);
        assert_eq!(first.refresh(), NOTHING);
        assert_eq!(
            first.modified(&object("web-1", 95, "me other")),
            ["MODIFIED web-1@95 me other"]
        );
        let told = second.modified(&object("web-1", 95, "me other"));
        assert_eq!(
            told,
            ["MODIFIED web-1@95 me other", "MODIFIED web-2@95", "BOOKMARK @95"],
            "it may have had that version"
        );
    }
}

#[test]
fn what_one_of_two_clients_has_under_this_version_is_said_once_more() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        client.list(90, &[object("web-1", 90, "me other")]);
        // The other one has the same form under an older version. Its list is older than one that
        // such a client has had.
        let mut other = client.follow(80, &[object("web-1", 70, "me other")]);
        assert_eq!(other.refresh(), ["MODIFIED web-1@80 me other", "BOOKMARK @80"]);
        assert_eq!(other.modified(&object("web-1", 90, "me other")), NOTHING);
        drop(other);
        let mut watch = client.watch(90);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), AGAIN);
        assert_eq!(watch.bookmark(95), ["BOOKMARK @95", "MODIFIED web-1@95 me", "BOOKMARK @95"]);
    }
}

#[test]
fn a_client_that_goes_on_from_anothers_ledger_is_told_again() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let slice = object("web-1", 40, "me other");
        let mut first = client.follow(50, from_ref(&slice));
        first.bookmark(90);
        facts.annotate("web", POOL);
        // It is told, and does not get it.
        assert_eq!(first.refresh(), AGAIN);
        // Another one has the same form from its list.
        let mut second = client.follow(60, &[slice]);
        second.bookmark(95);
        drop((first, second));
        assert_eq!(client.watch(90).refresh(), AGAIN);
    }
}

#[test]
fn a_form_that_one_has_from_upstream_and_another_from_a_refresh_is_told_again() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut first = client.follow(50, &[object("web-1", 40, "me other")]);
        let slice = object("web-1", 90, "me friend other");
        first.modified(&slice);
        facts.annotate("web", POOL);
        // It is told, and does not get it.
        assert_eq!(first.refresh(), ["MODIFIED web-1@90 me friend", "BOOKMARK @90"]);
        assert_eq!(client.list(90, &[slice]), ["web-1@90 me friend"]);
        drop(first);
        assert_eq!(client.watch(90).refresh(), ["MODIFIED web-1@90 me friend", "BOOKMARK @90"]);
    }
}

#[test]
fn a_client_whose_ledger_was_taken_over_is_told_again() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let slice = object("web-1", 40, "me other");
        let mut first = client.follow(50, from_ref(&slice));
        let mut second = client.follow(50, &[slice]);
        first.bookmark(60);
        second.bookmark(90);
        drop((first, second));
        // The first one may resume either client state.
        let mut first = client.watch(60);
        facts.annotate("web", POOL);
        assert_eq!(first.refresh(), ["MODIFIED web-1@60 me", "BOOKMARK @60"]);
        first.bookmark(100);
        drop(first);
        assert_eq!(client.watch(90).refresh(), AGAIN);
    }
}

#[test]
fn a_client_whose_ledger_was_thrown_away_is_told_again() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let slice = object("web-1", 40, "me other");
        client.follow(50, from_ref(&slice)).bookmark(90);
        facts.annotate("web", POOL);
        // Another one lists over and over, and its last watch goes past the first one's version.
        for _ in 0..20 {
            client.list(60, from_ref(&slice));
        }
        client.watch(60).bookmark(95);
        assert_eq!(client.watch(90).refresh(), AGAIN);
    }
}

#[test]
fn a_client_that_has_left_responses_behind_is_told_again() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        // The client leaves its first watch at once, and nobody has noticed.
        let mut left = client.follow(50, &[object("web-1", 40, "me other")]);
        let mut watch = client.watch(50);
        let slice = object("web-1", 60, "me friend other");
        watch.refresh();
        watch.modified(&slice);
        watch.bookmark(90);
        facts.annotate("web", POOL);
        left.modified(&slice);
        left.bookmark(95);
        // It is told, and does not get it.
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me friend", "BOOKMARK @90"]);
        drop(left);
        assert_eq!(client.watch(90).refresh(), ["MODIFIED web-1@90 me friend", "BOOKMARK @90"]);
    }
}

//! Another process continues with saved client states: watches resume as if it were the same one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use poolscope::{Cluster, Config, RestoreError, Retention};

use super::client::{Client, NOTHING};
use super::facts::{Facts, NODE, POOL, scene, scene_with};
use super::object::{ENCODINGS, Encoding, object};
use super::retention::ALL;

/// Another process with the same facts, which has restored what `facts` saves.
fn next_process(facts: &Facts, encoding: Encoding) -> (Facts, Client) {
    next_process_with(facts.cluster.save_client_states(usize::MAX), encoding)
}

fn next_process_with(saved: Vec<u8>, encoding: Encoding) -> (Facts, Client) {
    scene_after(encoding, Config::openyurt(), |cluster| {
        cluster.restore_client_states(saved.into()).unwrap();
    })
}

fn scene_after(
    encoding: Encoding,
    config: Config,
    prepare: impl FnOnce(&Cluster),
) -> (Facts, Client) {
    let (facts, client) = scene_with(encoding, config);
    prepare(&facts.cluster);
    (facts, client)
}

#[test]
fn a_watch_resumes_and_nothing_is_emitted_again() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        facts.annotate("web", POOL);
        let mut watch =
            client.follow(80, &[object("web-1", 70, "me other"), object("web-2", 71, "me")]);
        watch.modified(&object("web-2", 90, "me friend other"));
        watch.finish();
        let saved = facts.cluster.save_client_states(usize::MAX);
        let (mut facts, client) = scene(encoding);
        facts.annotate("web", POOL);
        assert!(client.expires(90), "without it the client would have to list again");
        let (mut facts, client) = {
            let (mut facts, client) = next_process_with(saved, encoding);
            facts.annotate("web", POOL);
            (facts, client)
        };
        let mut watch = client.watch(90);
        assert_eq!(watch.refresh(), NOTHING);
        assert_eq!(watch.modified(&object("web-2", 91, "me friend")), NOTHING, "suppressed");
        facts.annotate("web", "");
        assert_eq!(
            watch.refresh(),
            ["MODIFIED web-1@91 me other", "BOOKMARK @91"],
            "the other has no more than the client knows of"
        );
    }
}

#[test]
fn what_changed_between_the_processes_is_emitted() {
    for encoding in ENCODINGS {
        for (before, after, event) in [
            ("", POOL, "MODIFIED web-1@90 me friend"),
            ("", NODE, "MODIFIED web-1@90 me"),
            (POOL, NODE, "MODIFIED web-1@90 me"),
            (POOL, "", "MODIFIED web-1@90 me friend other"),
        ] {
            let (mut facts, client) = scene(encoding);
            facts.annotate("web", before);
            client.follow(90, &[object("web-1", 70, "me friend other")]).finish();
            let saved = facts.cluster.save_client_states(usize::MAX);
            let (mut facts, client) = next_process_with(saved, encoding);
            facts.annotate("web", after);
            let told = client.watch(90).refresh();
            assert_eq!(told, [event, "BOOKMARK @90"], "{before} to {after}");
        }
    }
}

#[test]
fn an_original_that_was_not_kept_is_requested() {
    for encoding in ENCODINGS {
        let config = || {
            let mut config = Config::openyurt();
            config.set_retention(Retention::Topology);
            config
        };
        let (facts, client) = scene_with(encoding, config());
        client.follow(90, &[object("web-1", 70, "me friend other")]).finish();
        let saved = facts.cluster.save_client_states(usize::MAX);
        let (mut facts, client) = scene_after(encoding, config(), |cluster| {
            assert_eq!(cluster.restore_client_states(saved.into()), Ok(1));
        });
        facts.annotate("web", POOL);
        let mut watch = client.watch(90);
        assert_eq!(watch.refresh(), NOTHING);
        let told = watch.provide_list(&[object("web-1", 70, "me friend other")]);
        assert_eq!(told, ["MODIFIED web-1@90 me friend", "BOOKMARK @90"]);
    }
}

#[test]
fn a_member_that_left_between_the_processes_is_cut() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        facts.annotate("web", POOL);
        client.follow(90, &[object("web-1", 70, "me friend other")]).finish();
        let saved = facts.cluster.save_client_states(usize::MAX);
        let (mut facts, client) = next_process_with(saved, encoding);
        facts.annotate("web", POOL);
        facts.label("friend", "sh");
        facts.pool("hz", "me");
        facts.pool("sh", "other friend");
        assert_eq!(client.watch(90).refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
    }
}

#[test]
fn events_that_may_not_have_arrived_are_emitted_again() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        facts.annotate("web", POOL);
        assert_eq!(watch.refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
        // The connection broke: the client is at 90, with or without that event.
        drop(watch);
        let (mut facts, client) = next_process(&facts, encoding);
        facts.annotate("web", POOL);
        assert_eq!(client.watch(90).refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
    }
}

#[test]
fn a_client_that_went_on_after_the_save_lists_again() {
    for encoding in ENCODINGS {
        let (facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[object("web-1", 70, "me other")]);
        let saved = facts.cluster.save_client_states(usize::MAX);
        watch.modified(&object("web-1", 95, "me"));
        let (_facts, client) = next_process_with(saved, encoding);
        assert!(client.expires(95));
        assert!(!client.expires(90));
    }
}

#[test]
fn states_that_do_not_fit_are_left_out_and_their_clients_doubted() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        facts.annotate("web", POOL);
        let other = Client { agent: "other/1", ..client.clone() };
        client.follow(90, &[object("web-1", 70, "me other")]).finish();
        other.follow(90, &[object("web-1", 70, "me other")]).finish();
        let whole = facts.cluster.save_client_states(usize::MAX).len();
        let saved = facts.cluster.save_client_states(whole / 2 + 10);
        assert!(saved.len() < whole * 3 / 4, "{} of {whole}", saved.len());
        let (mut facts, view) = next_process_with(saved, encoding);
        facts.annotate("web", POOL);
        let (client, other) =
            (Client { view: view.view.clone(), ..client }, Client { view: view.view, ..other });
        assert!(client.expires(90), "the older one");
        assert_eq!(other.watch(90).refresh(), NOTHING);
        // It may hold anything under that version.
        client.list(90, &[object("web-1", 70, "me other")]);
        assert_eq!(client.watch(90).refresh(), ["MODIFIED web-1@90 me", "BOOKMARK @90"]);
    }
}

#[test]
fn every_retention_can_be_saved() {
    for encoding in ENCODINGS {
        for retention in ALL {
            let config = || {
                let mut config = Config::openyurt();
                config.set_retention(retention);
                config
            };
            let (facts, client) = scene_with(encoding, config());
            client.follow(90, &[object("web-1", 70, "me other")]).finish();
            let saved = facts.cluster.save_client_states(usize::MAX);
            let (_facts, client) = scene_after(encoding, config(), |cluster| {
                assert_eq!(cluster.restore_client_states(saved.into()), Ok(1));
            });
            assert_eq!(client.watch(90).refresh(), NOTHING, "{retention:?}");
        }
    }
}

#[test]
fn saving_again_says_the_same() {
    let (mut facts, client) = scene(Encoding::Json);
    facts.annotate("web", POOL);
    let items: Vec<_> =
        (0..20).map(|n| object(&format!("web-{n}"), 70 + n, "me friend other")).collect();
    client.follow(90, &items).finish();
    let saved = facts.cluster.save_client_states(usize::MAX);
    let next = Cluster::new(Config::openyurt()).unwrap();
    assert_eq!(next.restore_client_states(saved.clone().into()), Ok(1));
    let again = next.save_client_states(usize::MAX);
    // Objects have no order.
    let sorted = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.sort_unstable();
        bytes
    };
    assert_eq!(sorted(&again), sorted(&saved));
}

#[test]
fn what_cannot_be_restored_changes_nothing() {
    let (mut facts, client) = scene(Encoding::Json);
    facts.annotate("web", POOL);
    client.follow(90, &[object("web-1", 70, "me other")]).finish();
    let saved = facts.cluster.save_client_states(usize::MAX);
    let restored = |bytes: &[u8]| {
        let cluster = Cluster::new(Config::openyurt()).unwrap();
        let result = cluster.restore_client_states(Bytes::copy_from_slice(bytes));
        (cluster, result)
    };
    // No bytes cause a panic, and an error leaves the cluster as it was.
    let empty = Cluster::new(Config::openyurt()).unwrap().save_client_states(usize::MAX).len();
    let mut errors = 0;
    for at in 0..saved.len() {
        for bit in 0..8 {
            let mut damaged = saved.clone();
            damaged[at] ^= 1 << bit;
            let (cluster, result) = restored(&damaged);
            if result.is_err() {
                errors += 1;
                assert_eq!(cluster.save_client_states(usize::MAX).len(), empty);
            }
        }
        drop(restored(&saved[..at]));
    }
    assert!(errors > 100, "{errors} of {}", saved.len() * 8);
    assert_eq!(restored(b"not saved").1, Err(RestoreError::Malformed));
    assert_eq!(restored(&[8, 9]).1, Err(RestoreError::Format { found: 9 }));
    assert_eq!(facts.cluster.restore_client_states(saved.into()), Err(RestoreError::InUse));
}

#[test]
fn the_hook_runs_before_each_change_that_can_change_a_verdict() {
    let (mut facts, _client) = scene(Encoding::Json);
    let has_changed = Arc::new(AtomicBool::new(false));
    let set = has_changed.clone();
    facts.cluster.before_change(move || set.store(true, Ordering::Relaxed));
    facts.annotate("web", "");
    assert!(!has_changed.swap(false, Ordering::Relaxed), "nothing changed");
    facts.annotate("web", POOL);
    assert!(has_changed.swap(false, Ordering::Relaxed));
    facts.label("friend", "sh");
    assert!(has_changed.swap(false, Ordering::Relaxed));
}

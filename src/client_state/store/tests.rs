use super::super::{Observed, SentForm};
use super::*;

fn key(node: &str) -> Key {
    let (kind, encoding) = (SubjectKind::EndpointSlice, Encoding::Json);
    Key {
        node: node.as_bytes().into(),
        kind,
        selection: Selection::default(),
        encoding,
        metadata_only: false,
        prefix: "".into(),
        client: "".into(),
    }
}

fn at(version: u64) -> Version {
    Version(Some(version))
}

fn sessions(max_retained: usize) -> Arc<Mutex<SessionStore>> {
    Arc::new(Mutex::new(SessionStore::new(max_retained, false)))
}

const NAME: &[u8] = b"shop/cart-1";

/// A client state in the session store that came up to a version, gave its one object in the form
/// `digest`, and keeps an original of so many bytes.
fn client_state(
    sessions: &Arc<Mutex<SessionStore>>,
    node: &str,
    stage: Stage,
    high: u64,
    digest: u64,
    bytes: usize,
) -> Lease {
    let mut lease = lock_sessions(sessions).begin(0);
    let mut client_state = lock(lease.client_state());
    let endpoints = std::iter::empty();
    let id = client_state.observe(Observed {
        name: NAME,
        service: b"",
        family: 4,
        version: at(1),
        endpoints,
        resolve: std::borrow::Cow::Borrowed,
    });
    client_state.entry_mut(id).emitted(SentForm::Present(digest), at(1), false);
    client_state.keep(id, Some((b"", &vec![b'x'; bytes])));
    (client_state.floor, client_state.high) = (at(high), at(high));
    drop(client_state);
    lease.put(sessions, &key(node), stage);
    lease
}

/// Up to which version the client states came that no stream uses, in the order in which they were
/// given back.
fn unused(sessions: &Arc<Mutex<SessionStore>>) -> Vec<u64> {
    let sessions = lock_sessions(sessions);
    sessions
        .unused
        .iter()
        .map(|(_, id)| lock(&sessions.slots[id].client_state).high.0.unwrap())
        .collect()
}

fn retained(sessions: &Arc<Mutex<SessionStore>>) -> Vec<usize> {
    let sessions = lock_sessions(sessions);
    let each: Vec<usize> = sessions
        .unused
        .iter()
        .map(|(_, id)| lock(&sessions.slots[id].client_state).retained())
        .collect();
    assert_eq!(sessions.retained, each.iter().sum::<usize>());
    each
}

fn doubt(sessions: &Arc<Mutex<SessionStore>>, node: &str) -> Version {
    lock_sessions(sessions).doubt_of(&key(node))
}

#[test]
fn of_one_key_the_latest_stay() {
    let sessions = sessions(usize::MAX);
    for high in 1..=7 {
        drop(client_state(&sessions, "a", Stage::Ready, high, 17, 0));
        assert_eq!(unused(&sessions), (high.saturating_sub(3).max(1)..=high).collect::<Vec<_>>());
    }
    // A client that resumes where a client state was evicted is in doubt.
    assert_eq!((doubt(&sessions, "a"), doubt(&sessions, "b")), (at(3), Version::default()));
    let guard = lock_sessions(&sessions);
    assert_eq!((guard.slots.len(), guard.keys.len()), (4, 1));
}

#[test]
fn neither_other_stages_nor_other_keys_nor_what_is_in_use_count_for_a_key() {
    let sessions = sessions(usize::MAX);
    let mut in_use = Vec::new();
    for high in 1..=4 {
        in_use.push(client_state(&sessions, "a", Stage::Ready, 10 + high, 17, 0));
        for (node, stage) in [
            ("a", Stage::Ready),
            ("a", Stage::Page("token".to_owned())),
            ("b", Stage::Ready),
            ("a", Stage::Past),
        ] {
            drop(client_state(&sessions, node, stage, high, 17, 0));
        }
    }
    assert_eq!(unused(&sessions).len(), 16);
    // Four that are not in use are there, and a fifth comes: the oldest of these goes.
    drop(client_state(&sessions, "a", Stage::Ready, 20, 17, 0));
    assert_eq!(unused(&sessions).iter().filter(|high| **high == 1).count(), 3);
    // Given back, the oldest goes again.
    drop(in_use.remove(0));
    assert_eq!(unused(&sessions).iter().filter(|high| **high == 2).count(), 3);
}

#[test]
fn of_all_keys_only_so_many_stay() {
    let sessions = sessions(usize::MAX);
    for number in 1..CAPACITY as u64 + 3 {
        drop(client_state(&sessions, &number.to_string(), Stage::Ready, number, 17, 0));
    }
    assert_eq!((unused(&sessions).len(), unused(&sessions)[0]), (CAPACITY, 3));
    assert_eq!(
        (doubt(&sessions, "1"), doubt(&sessions, "2"), lock_sessions(&sessions).keys.len()),
        (at(1), at(2), CAPACITY)
    );
}

#[test]
fn the_oldest_lose_their_originals_where_all_together_are_too_many() {
    let of = |bytes: &[usize]| {
        let sessions = sessions(100);
        for (number, bytes) in bytes.iter().enumerate() {
            drop(client_state(&sessions, &number.to_string(), Stage::Ready, 1, 17, *bytes));
        }
        retained(&sessions)
    };
    assert_eq!(of(&[50, 50]), [50, 50]);
    assert_eq!(of(&[50, 50, 30]), [0, 50, 30]);
    assert_eq!(of(&[50, 50, 30, 90, 10]), [0, 0, 0, 90, 10]);
    // A client state that is too large is skipped, an older one that fits is not; the latest stays.
    assert_eq!(of(&[10, 60, 60]), [10, 0, 60]);
    assert_eq!(of(&[10, 160]), [0, 160]);
}

#[test]
fn what_a_stream_uses_keeps_its_originals() {
    let sessions = sessions(100);
    let used = client_state(&sessions, "a", Stage::Ready, 1, 17, 80);
    drop(client_state(&sessions, "a", Stage::Ready, 2, 17, 80));
    assert_eq!((lock(used.client_state()).retained(), retained(&sessions)), (80, vec![80]));
    drop(used);
    assert_eq!(retained(&sessions), [0, 80]);
}

#[test]
fn a_watch_goes_on_from_the_ledger_that_fits() {
    let sessions = sessions(usize::MAX);
    drop(client_state(&sessions, "a", Stage::Ready, 5, 17, 9));
    drop(client_state(&sessions, "b", Stage::Ready, 9, 17, 0));
    let resume = |node: &str, start: u64| SessionStore::resume(&sessions, &key(node), at(start));
    assert!(resume("a", 4).is_none() && resume("a", 6).is_none() && resume("c", 5).is_none());
    let lease = resume("a", 5).unwrap();
    assert_eq!(
        (lock(lease.client_state()).pending.len(), unused(&sessions), retained(&sessions)),
        (0, vec![9], vec![0])
    );
    // While it is in use a second client may be the same one, and nothing is known of either.
    let second = resume("a", 5).unwrap();
    assert!(!Arc::ptr_eq(lease.client_state(), second.client_state()));
    assert_eq!(
        (lock(second.client_state()).pending.len(), lock(lease.client_state()).pending.len()),
        (1, 0)
    );
}

#[test]
fn two_that_fit_know_what_they_agree_on() {
    for (other, pending) in [(17, 0), (18, 1)] {
        for stage in [Stage::Ready, Stage::Past] {
            let sessions = sessions(usize::MAX);
            drop(client_state(&sessions, "a", stage, 5, other, 0));
            drop(client_state(&sessions, "a", Stage::Ready, 5, 17, 0));
            let lease = SessionStore::resume(&sessions, &key("a"), at(5)).unwrap();
            assert_eq!(lock(lease.client_state()).pending.len(), pending);
            assert_eq!(unused(&sessions), [5, 5]);
        }
    }
    // A client that was sent 410 must relist.
    let sessions = sessions(usize::MAX);
    drop(client_state(&sessions, "a", Stage::Past, 5, 17, 0));
    assert!(SessionStore::resume(&sessions, &key("a"), at(5)).is_none());
}

#[test]
fn who_lists_anew_may_hold_what_was_given_before() {
    let sessions = sessions(usize::MAX);
    let forms = || lock_sessions(&sessions).before(&key("a")).look(NAME, at(1)).under_version;
    assert!(lock_sessions(&sessions).before(&key("a")).is_new);
    drop(client_state(&sessions, "b", Stage::Ready, 5, 16, 0));
    assert_eq!(forms(), EmittedForms::None);
    let used = client_state(&sessions, "a", Stage::Ready, 5, 17, 0);
    assert_eq!(forms(), EmittedForms::One(17));
    drop(client_state(&sessions, "a", Stage::Page("token".to_owned()), 5, 18, 0));
    assert_eq!(forms(), EmittedForms::One(17), "no client has a page before it has the last");
    used.mark_relisting();
    drop(used);
    assert_eq!(forms(), EmittedForms::One(17), "it may not have listed yet");
    drop(client_state(&sessions, "a", Stage::Initial, 5, 18, 0));
    assert_eq!(forms(), EmittedForms::Any);
    let before = lock_sessions(&sessions).before(&key("a"));
    assert_eq!(before.look(b"shop/other", at(9)).under_version, EmittedForms::None);
    assert_eq!(
        before.look(b"shop/other", at(5)).under_version,
        EmittedForms::Any,
        "it was there once, and the list is older"
    );
    assert_eq!(before.look(NAME, Version(Some(0))).under_version, EmittedForms::Any);
    assert_eq!(
        (before.look(NAME, at(9)).last, before.look(b"shop/other", at(9)).last),
        (EmittedForms::Any, EmittedForms::None)
    );
    assert!(!before.is_new);
}

#[test]
fn clients_that_were_told_to_list_again_are_remembered_together() {
    let sessions = sessions(usize::MAX);
    for (high, digest) in [(2, 16), (3, 17), (4, 17), (5, 17), (6, 17), (7, 17)] {
        drop(client_state(&sessions, "a", Stage::Past, high, digest, 0));
    }
    assert_eq!((unused(&sessions), doubt(&sessions, "a")), (vec![4, 5, 6, 7], Version::default()));
    assert_eq!(
        lock_sessions(&sessions).before(&key("a")).look(NAME, at(1)).under_version,
        EmittedForms::Any
    );
    // A client that resumes where one of them stopped is known, as long as that state is.
    lock_sessions(&sessions).expired(&key("a"), at(6));
    assert_eq!(doubt(&sessions, "a"), Version::default());
    for version in [3, 8] {
        lock_sessions(&sessions).expired(&key("a"), at(version));
        assert_eq!(doubt(&sessions, "a"), at(version));
    }
}

#[test]
fn one_that_has_come_further_is_not_merged_into_one_that_has_not() {
    let sessions = sessions(usize::MAX);
    for high in [9, 3, 4, 5, 6] {
        drop(client_state(&sessions, "a", Stage::Past, high, 17, 0));
    }
    assert_eq!((unused(&sessions), doubt(&sessions, "a")), (vec![3, 4, 5, 6], at(9)));
}

#[test]
fn what_is_left_of_originals_is_not_looked_at_again() {
    let sessions = sessions(100);
    let due = |node: &str| {
        let lease = client_state(&sessions, node, Stage::Ready, 1, 17, 80);
        let id = lock(lease.client_state()).find(NAME).unwrap();
        lock(lease.client_state()).pending.insert(id);
    };
    due("a");
    due("b");
    // Originals that are due stay, whatever the limit.
    assert_eq!(retained(&sessions), [80, 80]);
    drop(client_state(&sessions, "c", Stage::Ready, 1, 17, 80));
    drop(client_state(&sessions, "d", Stage::Ready, 1, 17, 80));
    assert_eq!(retained(&sessions), [80, 80, 0, 80]);
}

#[test]
fn a_doubt_is_over_when_it_was_answered_often_enough() {
    let sessions = sessions(usize::MAX);
    lock_sessions(&sessions).expired(&key("a"), at(8));
    for list in 0..LISTS_IN_DOUBT as u64 {
        let before = lock_sessions(&sessions).before(&key("a"));
        assert!(before.is_in_doubt());
        assert_eq!(
            (before.look(NAME, at(8)).last, before.look(NAME, at(9)).under_version),
            (EmittedForms::Any, EmittedForms::None)
        );
        let lease = client_state(&sessions, "a", Stage::Ready, 20 + list, 17, 0);
        lock(lease.client_state()).began_in_doubt = true;
        drop(lease);
        // Each list counts once, however often its watch is taken up again.
        for _ in 0..3 {
            assert!(SessionStore::resume(&sessions, &key("a"), at(20 + list)).is_some());
        }
    }
    assert_eq!(doubt(&sessions, "a"), Version::default());
    assert!(lock_sessions(&sessions).doubted.is_empty());
}

#[test]
fn at_the_version_of_a_doubt_nothing_is_known() {
    let sessions = sessions(usize::MAX);
    lock_sessions(&sessions).expired(&key("a"), at(5));
    for (high, pending) in [(5, 1), (6, 0)] {
        drop(client_state(&sessions, "a", Stage::Ready, high, 17, 0));
        let lease = SessionStore::resume(&sessions, &key("a"), at(high)).unwrap();
        assert_eq!(lock(lease.client_state()).pending.len(), pending);
    }
}

#[test]
fn doubts_are_told_apart_by_key_as_long_as_there_are_not_too_many() {
    let sessions = sessions(0);
    let say =
        |node: &str, version: u64| lock_sessions(&sessions).doubt(Arc::new(key(node)), at(version));
    for (node, version) in [("a", 5), ("b", 9), ("a", 3), ("a", 7)] {
        say(node, version);
    }
    assert_eq!((doubt(&sessions, "a"), doubt(&sessions, "b")), (at(7), at(9)));
    for number in 2..CAPACITY {
        say(&number.to_string(), 1);
    }
    assert_eq!(doubt(&sessions, "somebody"), Version::default());
    say("one more", 1);
    assert_eq!((doubt(&sessions, "somebody"), doubt(&sessions, "a")), (at(9), at(7)));
    let guard = lock_sessions(&sessions);
    assert_eq!((guard.doubts.len(), guard.doubted.len()), (CAPACITY, CAPACITY));
}

#[test]
fn of_too_many_in_use_nothing_is_taken_for_known() {
    let sessions = sessions(usize::MAX);
    let in_use: Vec<Lease> =
        (0..=MAX_COMPARED).map(|_| client_state(&sessions, "a", Stage::Ready, 5, 17, 0)).collect();
    drop(client_state(&sessions, "a", Stage::Ready, 5, 17, 0));
    assert_eq!(
        lock_sessions(&sessions).before(&key("a")).look(NAME, at(9)).last,
        EmittedForms::Any
    );
    let lease = SessionStore::resume(&sessions, &key("a"), at(5)).unwrap();
    assert_eq!(lock(lease.client_state()).pending.len(), 1);
    drop((in_use, lease));
    assert_eq!(unused(&sessions).len(), PER_KEY);
}

#[test]
fn unused_states_know_of_a_bounded_number_of_objects() {
    let sessions = sessions(1 << 20);
    assert_eq!(lock_sessions(&sessions).max_objects, MIN_OBJECTS);
    lock_sessions(&sessions).max_objects = 3;
    // One object each, of nodes of their own.
    for node in 0..10 {
        drop(client_state(&sessions, &format!("node-{node}"), Stage::Ready, 5 + node, 1, 0));
    }
    assert_eq!(unused(&sessions), [12, 13, 14]);
    assert_eq!(lock_sessions(&sessions).objects, 3);
    // The clients of the others are in doubt.
    assert!(lock_sessions(&sessions).before(&key("node-0")).is_in_doubt());
    assert!(!lock_sessions(&sessions).before(&key("node-9")).is_in_doubt());
    // One that is taken again counts no longer, and the latest is kept whatever its size.
    let lease = SessionStore::resume(&sessions, &key("node-9"), at(14)).unwrap();
    assert_eq!(lock_sessions(&sessions).objects, 2);
    lock_sessions(&sessions).max_objects = 0;
    drop(lease);
    assert_eq!(unused(&sessions), [14]);
}

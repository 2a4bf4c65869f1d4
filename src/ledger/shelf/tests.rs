use super::super::{Form, Seen};
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

fn shelf(max_retained: usize) -> Arc<Mutex<Shelf>> {
    Arc::new(Mutex::new(Shelf::new(max_retained, false)))
}

const NAME: &[u8] = b"shop/cart-1";

/// A ledger on the shelf that came up to a version, gave its one object in the form `digest`, and
/// keeps an original of so many bytes.
fn ledger(
    shelf: &Arc<Mutex<Shelf>>,
    node: &str,
    stage: Stage,
    high: u64,
    digest: u64,
    bytes: usize,
) -> Lease {
    let mut lease = lock_shelf(shelf).begin(0);
    let mut ledger = lock(lease.ledger());
    let endpoints = std::iter::empty();
    let id = ledger.see(Seen { name: NAME, service: b"", family: 4, version: at(1), endpoints });
    ledger.entry_mut(id).said(Form::Digest(digest), at(1), false);
    ledger.keep(id, Some((b"", &vec![b'x'; bytes])));
    (ledger.floor, ledger.high) = (at(high), at(high));
    drop(ledger);
    lease.put(shelf, &key(node), stage);
    lease
}

/// Up to which version the ledgers came that no stream uses, in the order in which they were given
/// back.
fn unused(shelf: &Arc<Mutex<Shelf>>) -> Vec<u64> {
    let shelf = lock_shelf(shelf);
    shelf.unused.iter().map(|(_, id)| lock(&shelf.slots[id].ledger).high.0.unwrap()).collect()
}

fn retained(shelf: &Arc<Mutex<Shelf>>) -> Vec<usize> {
    let shelf = lock_shelf(shelf);
    let each: Vec<usize> =
        shelf.unused.iter().map(|(_, id)| lock(&shelf.slots[id].ledger).retained()).collect();
    assert_eq!(shelf.retained, each.iter().sum::<usize>());
    each
}

fn doubt(shelf: &Arc<Mutex<Shelf>>, node: &str) -> Version {
    lock_shelf(shelf).doubt_of(&key(node))
}

#[test]
fn of_one_key_the_latest_stay() {
    let shelf = shelf(usize::MAX);
    for high in 1..=7 {
        drop(ledger(&shelf, "a", Stage::Ready, high, 17, 0));
        assert_eq!(unused(&shelf), (high.saturating_sub(3).max(1)..=high).collect::<Vec<_>>());
    }
    // A client that resumes where a ledger was evicted is in doubt.
    assert_eq!((doubt(&shelf, "a"), doubt(&shelf, "b")), (at(3), Version::default()));
    let guard = lock_shelf(&shelf);
    assert_eq!((guard.slots.len(), guard.keys.len()), (4, 1));
}

#[test]
fn neither_other_stages_nor_other_keys_nor_what_is_in_use_count_for_a_key() {
    let shelf = shelf(usize::MAX);
    let mut in_use = Vec::new();
    for high in 1..=4 {
        in_use.push(ledger(&shelf, "a", Stage::Ready, 10 + high, 17, 0));
        for (node, stage) in [
            ("a", Stage::Ready),
            ("a", Stage::Page("token".to_owned())),
            ("b", Stage::Ready),
            ("a", Stage::Past),
        ] {
            drop(ledger(&shelf, node, stage, high, 17, 0));
        }
    }
    assert_eq!(unused(&shelf).len(), 16);
    // Four that are not in use are there, and a fifth comes: the oldest of these goes.
    drop(ledger(&shelf, "a", Stage::Ready, 20, 17, 0));
    assert_eq!(unused(&shelf).iter().filter(|high| **high == 1).count(), 3);
    // Given back, the oldest goes again.
    drop(in_use.remove(0));
    assert_eq!(unused(&shelf).iter().filter(|high| **high == 2).count(), 3);
}

#[test]
fn of_all_keys_only_so_many_stay() {
    let shelf = shelf(usize::MAX);
    for number in 1..CAPACITY as u64 + 3 {
        drop(ledger(&shelf, &number.to_string(), Stage::Ready, number, 17, 0));
    }
    assert_eq!((unused(&shelf).len(), unused(&shelf)[0]), (CAPACITY, 3));
    assert_eq!(
        (doubt(&shelf, "1"), doubt(&shelf, "2"), lock_shelf(&shelf).keys.len()),
        (at(1), at(2), CAPACITY)
    );
}

#[test]
fn the_oldest_lose_their_originals_where_all_together_are_too_many() {
    let of = |bytes: &[usize]| {
        let shelf = shelf(100);
        for (number, bytes) in bytes.iter().enumerate() {
            drop(ledger(&shelf, &number.to_string(), Stage::Ready, 1, 17, *bytes));
        }
        retained(&shelf)
    };
    assert_eq!(of(&[50, 50]), [50, 50]);
    assert_eq!(of(&[50, 50, 30]), [0, 50, 30]);
    assert_eq!(of(&[50, 50, 30, 90, 10]), [0, 0, 0, 90, 10]);
    // A ledger that is too large is skipped, an older one that fits is not; the latest stays.
    assert_eq!(of(&[10, 60, 60]), [10, 0, 60]);
    assert_eq!(of(&[10, 160]), [0, 160]);
}

#[test]
fn what_a_stream_uses_keeps_its_originals() {
    let shelf = shelf(100);
    let used = ledger(&shelf, "a", Stage::Ready, 1, 17, 80);
    drop(ledger(&shelf, "a", Stage::Ready, 2, 17, 80));
    assert_eq!((lock(used.ledger()).retained(), retained(&shelf)), (80, vec![80]));
    drop(used);
    assert_eq!(retained(&shelf), [0, 80]);
}

#[test]
fn a_watch_goes_on_from_the_ledger_that_fits() {
    let shelf = shelf(usize::MAX);
    drop(ledger(&shelf, "a", Stage::Ready, 5, 17, 9));
    drop(ledger(&shelf, "b", Stage::Ready, 9, 17, 0));
    let resume = |node: &str, start: u64| Shelf::resume(&shelf, &key(node), at(start));
    assert!(resume("a", 4).is_none() && resume("a", 6).is_none() && resume("c", 5).is_none());
    let lease = resume("a", 5).unwrap();
    assert_eq!(
        (lock(lease.ledger()).owed.len(), unused(&shelf), retained(&shelf)),
        (0, vec![9], vec![0])
    );
    // While it is in use a second client may be the same one, and nothing is known of either.
    let second = resume("a", 5).unwrap();
    assert!(!Arc::ptr_eq(lease.ledger(), second.ledger()));
    assert_eq!((lock(second.ledger()).owed.len(), lock(lease.ledger()).owed.len()), (1, 0));
}

#[test]
fn two_that_fit_know_what_they_agree_on() {
    for (other, owed) in [(17, 0), (18, 1)] {
        for stage in [Stage::Ready, Stage::Past] {
            let shelf = shelf(usize::MAX);
            drop(ledger(&shelf, "a", stage, 5, other, 0));
            drop(ledger(&shelf, "a", Stage::Ready, 5, 17, 0));
            let lease = Shelf::resume(&shelf, &key("a"), at(5)).unwrap();
            assert_eq!(lock(lease.ledger()).owed.len(), owed);
            assert_eq!(unused(&shelf), [5, 5]);
        }
    }
    // A client that was told to list again has to.
    let shelf = shelf(usize::MAX);
    drop(ledger(&shelf, "a", Stage::Past, 5, 17, 0));
    assert!(Shelf::resume(&shelf, &key("a"), at(5)).is_none());
}

#[test]
fn who_lists_anew_may_hold_what_was_given_before() {
    let shelf = shelf(usize::MAX);
    let forms = || lock_shelf(&shelf).before(&key("a")).look(NAME, at(1)).under_version;
    assert!(lock_shelf(&shelf).before(&key("a")).is_new);
    drop(ledger(&shelf, "b", Stage::Ready, 5, 16, 0));
    assert_eq!(forms(), Forms::None);
    let used = ledger(&shelf, "a", Stage::Ready, 5, 17, 0);
    assert_eq!(forms(), Forms::One(17));
    drop(ledger(&shelf, "a", Stage::Page("token".to_owned()), 5, 18, 0));
    assert_eq!(forms(), Forms::One(17), "no client has a page before it has the last");
    used.is_past();
    drop(used);
    assert_eq!(forms(), Forms::One(17), "it may not have listed yet");
    drop(ledger(&shelf, "a", Stage::Initial, 5, 18, 0));
    assert_eq!(forms(), Forms::Any);
    let before = lock_shelf(&shelf).before(&key("a"));
    assert_eq!(before.look(b"shop/other", at(9)).under_version, Forms::None);
    assert_eq!(
        before.look(b"shop/other", at(5)).under_version,
        Forms::Any,
        "it was there once, and the list is older"
    );
    assert_eq!(before.look(NAME, Version(Some(0))).under_version, Forms::Any);
    assert_eq!(
        (before.look(NAME, at(9)).last, before.look(b"shop/other", at(9)).last),
        (Forms::Any, Forms::None)
    );
    assert!(!before.is_new);
}

#[test]
fn clients_that_were_told_to_list_again_are_remembered_together() {
    let shelf = shelf(usize::MAX);
    for (high, digest) in [(2, 16), (3, 17), (4, 17), (5, 17), (6, 17), (7, 17)] {
        drop(ledger(&shelf, "a", Stage::Past, high, digest, 0));
    }
    assert_eq!((unused(&shelf), doubt(&shelf, "a")), (vec![4, 5, 6, 7], Version::default()));
    assert_eq!(lock_shelf(&shelf).before(&key("a")).look(NAME, at(1)).under_version, Forms::Any);
    // Whoever comes back where one of them was is not doubted for it, unless it is not known any
    // more where that was.
    lock_shelf(&shelf).expired(&key("a"), at(6));
    assert_eq!(doubt(&shelf, "a"), Version::default());
    for version in [3, 8] {
        lock_shelf(&shelf).expired(&key("a"), at(version));
        assert_eq!(doubt(&shelf, "a"), at(version));
    }
}

#[test]
fn one_that_has_come_further_is_not_merged_into_one_that_has_not() {
    let shelf = shelf(usize::MAX);
    for high in [9, 3, 4, 5, 6] {
        drop(ledger(&shelf, "a", Stage::Past, high, 17, 0));
    }
    assert_eq!((unused(&shelf), doubt(&shelf, "a")), (vec![3, 4, 5, 6], at(9)));
}

#[test]
fn what_is_left_of_originals_is_not_looked_at_again() {
    let shelf = shelf(100);
    let due = |node: &str| {
        let lease = ledger(&shelf, node, Stage::Ready, 1, 17, 80);
        let id = lock(lease.ledger()).find(NAME).unwrap();
        lock(lease.ledger()).owed.insert(id);
    };
    due("a");
    due("b");
    // Originals that are due stay, whatever the limit.
    assert_eq!(retained(&shelf), [80, 80]);
    drop(ledger(&shelf, "c", Stage::Ready, 1, 17, 80));
    drop(ledger(&shelf, "d", Stage::Ready, 1, 17, 80));
    assert_eq!(retained(&shelf), [80, 80, 0, 80]);
}

#[test]
fn a_doubt_is_over_when_it_was_answered_often_enough() {
    let shelf = shelf(usize::MAX);
    lock_shelf(&shelf).expired(&key("a"), at(8));
    for list in 0..LISTS_IN_DOUBT as u64 {
        let before = lock_shelf(&shelf).before(&key("a"));
        assert!(before.is_in_doubt());
        assert_eq!(
            (before.look(NAME, at(8)).last, before.look(NAME, at(9)).under_version),
            (Forms::Any, Forms::None)
        );
        let lease = ledger(&shelf, "a", Stage::Ready, 20 + list, 17, 0);
        lock(lease.ledger()).began_in_doubt = true;
        drop(lease);
        // Each list counts once, however often its watch is taken up again.
        for _ in 0..3 {
            assert!(Shelf::resume(&shelf, &key("a"), at(20 + list)).is_some());
        }
    }
    assert_eq!(doubt(&shelf, "a"), Version::default());
    assert!(lock_shelf(&shelf).doubted.is_empty());
}

#[test]
fn at_the_version_of_a_doubt_nothing_is_known() {
    let shelf = shelf(usize::MAX);
    lock_shelf(&shelf).expired(&key("a"), at(5));
    for (high, owed) in [(5, 1), (6, 0)] {
        drop(ledger(&shelf, "a", Stage::Ready, high, 17, 0));
        let lease = Shelf::resume(&shelf, &key("a"), at(high)).unwrap();
        assert_eq!(lock(lease.ledger()).owed.len(), owed);
    }
}

#[test]
fn doubts_are_told_apart_by_key_as_long_as_there_are_not_too_many() {
    let shelf = shelf(0);
    let say = |node: &str, version: u64| lock_shelf(&shelf).doubt(Arc::new(key(node)), at(version));
    for (node, version) in [("a", 5), ("b", 9), ("a", 3), ("a", 7)] {
        say(node, version);
    }
    assert_eq!((doubt(&shelf, "a"), doubt(&shelf, "b")), (at(7), at(9)));
    for number in 2..CAPACITY {
        say(&number.to_string(), 1);
    }
    assert_eq!(doubt(&shelf, "somebody"), Version::default());
    say("one more", 1);
    assert_eq!((doubt(&shelf, "somebody"), doubt(&shelf, "a")), (at(9), at(7)));
    let guard = lock_shelf(&shelf);
    assert_eq!((guard.doubts.len(), guard.doubted.len()), (CAPACITY, CAPACITY));
}

#[test]
fn of_too_many_in_use_nothing_is_taken_for_known() {
    let shelf = shelf(usize::MAX);
    let in_use: Vec<Lease> =
        (0..=MAX_COMPARED).map(|_| ledger(&shelf, "a", Stage::Ready, 5, 17, 0)).collect();
    drop(ledger(&shelf, "a", Stage::Ready, 5, 17, 0));
    assert_eq!(lock_shelf(&shelf).before(&key("a")).look(NAME, at(9)).last, Forms::Any);
    let lease = Shelf::resume(&shelf, &key("a"), at(5)).unwrap();
    assert_eq!(lock(lease.ledger()).owed.len(), 1);
    drop((in_use, lease));
    assert_eq!(unused(&shelf).len(), PER_KEY);
}

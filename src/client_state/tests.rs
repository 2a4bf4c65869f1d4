use std::collections::BTreeMap;

use super::*;
use crate::topology::fallback::UsableSteps;
use crate::wire::random::random;

fn at(version: u64) -> Version {
    Version(Some(version))
}

fn observe(
    client_state: &mut ClientState,
    version: u64,
    endpoints: &[(Option<&str>, Condition)],
) -> u32 {
    let endpoints = endpoints.iter().map(|(node, condition)| (node.map(str::as_bytes), *condition));
    client_state.observe(Observed {
        name: b"shop/cart-1",
        service: b"shop/cart",
        family: 4,
        version: at(version),
        endpoints,
        resolve: Cow::Borrowed,
    })
}

#[test]
fn an_endpoint_that_names_no_node_is_usable_too() {
    let mut client_state = ClientState::new(Digests::with_seed(7), 0, true);
    observe(
        &mut client_state,
        1,
        &[(None, Condition::Ready), (Some("hz-1"), Condition::Terminating)],
    );
    let of = |condition, node: Option<&str>| {
        UsableSteps::of(condition, node.map(str::as_bytes), b"hz-1", None)
    };
    let expected = of(Condition::Ready, None) | of(Condition::Terminating, Some("hz-1"));
    assert_eq!(client_state.usable_steps_of(b"shop/cart", 4, None, b"hz-1", None), expected);
}

#[test]
fn what_changed_since_for_another_client_is_not_owed_to_this_one() {
    let (mut ours, mut theirs) = (
        ClientState::new(Digests::with_seed(7), 0, true),
        ClientState::new(Digests::with_seed(7), 0, true),
    );
    for (client_state, version) in [(&mut ours, 5), (&mut theirs, 8)] {
        let id = observe(client_state, version, &[]);
        client_state.entry_mut(id).emitted(SentForm::Present(17), at(version), false);
    }
    ours.agree(&theirs, at(6));
    let id = ours.find(b"shop/cart-1").unwrap();
    assert_eq!((ours.entry(id).sent, ours.pending.is_empty()), (None, true));
}

#[test]
fn objects_are_found_by_their_nodes_whatever_comes_goes_and_moves() {
    let mut client_state = ClientState::new(Digests::with_seed(7), 0, true);
    let mut random = random();
    let mut on: Vec<usize> = Vec::new();
    for version in 1..500 {
        match (random(4), on.len()) {
            (0 | 1, len) => on.insert(random(len + 1), random(12)),
            (2, len) if len > 0 => drop(on.remove(random(len))),
            (_, len) if len > 0 => on[random(len)] = random(12),
            _ => {}
        }
        let names: Vec<String> = on.iter().map(|node| format!("node-{node}")).collect();
        let endpoints: Vec<_> =
            names.iter().map(|name| (Some(name.as_str()), Condition::Ready)).collect();
        let id = observe(&mut client_state, version, &endpoints);
        for node in 0..12 {
            let expected: &[u32] = if on.contains(&node) { &[id] } else { &[] };
            assert_eq!(client_state.on_node(format!("node-{node}").as_bytes()), expected, "{on:?}");
        }
    }
}

#[test]
fn what_is_gone_is_bounded_even_where_two_pasts_came_together() {
    let gone = |from: usize| {
        let mut client_state = ClientState::new(Digests::with_seed(7), 0, true);
        client_state.gone.extend(
            (from..from + MAX_GONE).map(|number| format!("shop/{number}").into_bytes().into()),
        );
        client_state
    };
    let mut client_state = gone(0);
    client_state.agree(&gone(MAX_GONE), at(5));
    client_state.high = at(9);
    let id = observe(&mut client_state, 9, &[]);
    client_state.entry_mut(id).emitted(SentForm::Present(17), at(9), false);
    client_state.remove(b"shop/cart-1", true);
    assert_eq!((client_state.gone.len(), client_state.floor), (0, at(9)));
    client_state.remove(b"shop/cart-1", true);
    assert_eq!(client_state.has(b"shop/0"), CopyState::Absent);
}

#[test]
fn originals_that_are_let_go_leave_nothing() {
    let mut client_state = ClientState::new(Digests::with_seed(7), 0, true);
    let id = observe(&mut client_state, 1, &[]);
    client_state.keep(id, Some((b"he", b"ad")));
    assert_eq!(
        (client_state.retained(), client_state.entry(id).original.as_deref()),
        (4, Some(&b"head"[..]))
    );
    client_state.keep_no_originals();
    assert_eq!((client_state.retained(), client_state.entry(id).original.as_deref()), (0, None));
}

#[test]
fn an_object_that_is_held_back_is_not_with_the_client_until_it_is_released() {
    let mut state = ClientState::new(Digests::with_seed(7), 0, false);
    let id = observe(&mut state, 3, &[]);
    state.received(id, SentForm::Present(17), at(3), Followup::Repeat);
    assert!(state.is_repeated(id));
    state.invalidate([id]);
    state.hold(id);
    assert_eq!(
        (state.entry(id).sent, state.has_pending(), state.is_repeated(id)),
        (None, false, false)
    );
    state.released(id, SentForm::Present(18), false);
    assert_eq!((state.entry(id).sent, state.is_repeated(id)), (Some(SentForm::Present(18)), false));
    state.released(id, SentForm::Present(18), true);
    assert!(state.is_repeated(id));
}

/// A live event may not arrive; the watch that resumes needs the original again.
#[test]
fn originals_of_emitted_events_stay_until_the_version_moves() {
    let mut state = ClientState::new(Digests::with_seed(7), 0, false);
    let id = observe(&mut state, 3, &[]);
    let emit = |state: &mut ClientState, emitted, high| {
        state.high = high;
        state.keep(id, Some((b"", b"original")));
        state.entry_mut(id).emitted(SentForm::Present(17), at(3), true);
        state.release_original(id, emitted);
        state.entry(id).original.is_some()
    };
    // Nothing was emitted, or there is no version to resume at.
    assert!(!emit(&mut state, false, at(5)));
    assert!(!emit(&mut state, true, Version::default()));
    assert!(emit(&mut state, true, at(5)));
    assert_eq!(state.take_due(), []);
    assert!(state.entry(id).original.is_some(), "the version has not moved");
    state.advance(at(6));
    assert_eq!(state.take_due(), []);
    assert!(state.entry(id).original.is_none());

    // What is emitted again needs it, and so does what may be wrong.
    for due in [true, false] {
        assert!(emit(&mut state, true, at(7)));
        if due {
            state.repeat.insert(id);
            state.repeated_at = at(8);
        } else {
            state.repeat.clear();
            state.pending.insert(id);
        }
        state.advance(at(8));
        state.take_due();
        assert!(state.entry(id).original.is_some());
        state.pending.clear();
    }
    // The API server sent the object meanwhile, and its original was kept or not at that moment.
    assert!(emit(&mut state, true, at(9)));
    state.entry_mut(id).emitted(SentForm::Present(17), at(9), false);
    state.advance(at(10));
    state.take_due();
    assert!(state.entry(id).original.is_some());
}

#[test]
fn a_beginning_in_doubt_stays_in_doubt() {
    let mut state = ClientState::new(Digests::with_seed(7), 0, false);
    state.doubt_beginning(false);
    assert!(!state.began_in_doubt);
    state.doubt_beginning(true);
    state.doubt_beginning(false);
    assert!(state.began_in_doubt);
}

/// A model of one informer and of the API server, against which the type alone is checked.
#[derive(Default)]
struct Model {
    /// The API server's objects: version, and the form that the client should have.
    objects: BTreeMap<u32, (u64, SentForm)>,
    version: u64,
    /// The client's objects: the digest of the form and the version of the last event.
    store: BTreeMap<u32, (u64, u64)>,
    /// The form that handlers were last called with.
    handled: BTreeMap<u32, u64>,
    /// The version that the client resumes at.
    reached: u64,
    /// Events on their way: object, form, version. They arrive in order, or not at all.
    sent: Vec<(u32, SentForm, u64)>,
}

const OBJECTS: usize = 4;

fn name(number: usize) -> Vec<u8> {
    format!("shop/cart-{number}").into_bytes()
}

impl Model {
    /// The first `count` events on their way arrive.
    fn arrive(&mut self, count: usize) {
        for (id, form, version) in self.sent.drain(..count) {
            self.reached = version;
            let SentForm::Present(digest) = form else {
                self.store.remove(&id);
                self.handled.remove(&id);
                continue;
            };
            let before = self.store.insert(id, (digest, version));
            // Handlers may not run for an event with the version that the client has (B4.3).
            if before.is_none_or(|(_, had)| had != version) {
                self.handled.insert(id, digest);
            }
        }
    }

    /// The API server writes an object, and the state records the event.
    fn write(&mut self, state: &mut ClientState, number: usize, form: SentForm) {
        self.version += 1;
        self.pass(state, number, form, self.version);
    }

    fn pass(&mut self, state: &mut ClientState, number: usize, form: SentForm, version: u64) {
        state.advance(at(version));
        let id = state.observe(Observed {
            name: &name(number),
            service: b"shop/cart",
            family: 4,
            version: at(version),
            endpoints: std::iter::empty(),
            resolve: Cow::Borrowed,
        });
        self.objects.insert(id, (version, form));
        let before = state.entry(id).sent;
        if before == Some(form) {
            state.suppressed(id);
            assert!(!state.pending.contains(&id), "a copy that is right needs no event");
            return;
        }
        let absent = form == SentForm::Absent;
        state.received(id, form, at(version), Followup::Nothing);
        // DELETED is emitted only to a client that may have the object.
        if !absent || before != Some(SentForm::Absent) {
            self.sent.push((id, form, version));
        }
    }

    fn refresh(&mut self, state: &mut ClientState) {
        for (id, repeats) in state.take_due() {
            if state.is_ahead(id) {
                continue;
            }
            let (_, form) = self.objects[&id];
            if let Some(Correction { stamp, .. }) = state.correct(id, form, repeats, true) {
                self.sent.push((id, form, stamp.0.expect("a live event has a version")));
            }
        }
    }

    /// The connection breaks after `count` more events, and the client resumes.
    fn resume(&mut self, state: &mut ClientState, count: usize) {
        self.arrive(count);
        self.sent.clear();
        state.resume_at(at(self.reached));
        // The API server sends what is newer, in the order of the versions.
        let mut newer: Vec<(u64, u32, SentForm)> = self
            .objects
            .iter()
            .filter(|(_, (version, _))| *version > self.reached)
            .map(|(&id, &(version, form))| (version, id, form))
            .collect();
        newer.sort_unstable_by_key(|&(version, ..)| version);
        for (version, id, form) in newer {
            let number = (0..OBJECTS).find(|&number| state.find(&name(number)) == Some(id));
            self.pass(state, number.expect("a known object"), form, version);
        }
    }

    /// Every event arrives, also those that are repeated, and the client has what it should.
    fn settle(&mut self, state: &mut ClientState) {
        self.refresh(state);
        self.arrive(self.sent.len());
        let wanted: BTreeMap<u32, u64> = self
            .objects
            .iter()
            .filter_map(|(&id, (_, form))| match form {
                SentForm::Present(digest) => Some((id, *digest)),
                SentForm::Absent => None,
            })
            .collect();
        let stored: BTreeMap<u32, u64> =
            self.store.iter().map(|(&id, (digest, _))| (id, *digest)).collect();
        assert_eq!(stored, wanted, "the store");
        assert!(!state.has_pending());
        // Another version, so that repeated events get one that the client does not have.
        self.version += 1;
        state.advance(at(self.version));
        self.refresh(state);
        self.arrive(self.sent.len());
        self.reached = self.version;
        assert_eq!(self.handled, wanted, "what handlers were called with");
    }
}

/// After writes, fact changes, refreshes and broken connections in any order, a client that
/// receives all events holds what it should, and its handlers have run with it.
#[test]
fn the_client_converges_after_every_order_of_verbs() {
    let mut random = random();
    let mut resumed = 0;
    for life in 0..400 {
        let mut state = ClientState::new(Digests::with_seed(7), 0, false);
        let mut model = Model { version: 1, reached: 1, ..Model::default() };
        state.begin_at(at(1));
        for _ in 0..40 {
            let form = match random(4) {
                0 => SentForm::Absent,
                digest => SentForm::Present(digest as u64),
            };
            match random(6) {
                0 | 1 => model.write(&mut state, random(OBJECTS), form),
                2 => {
                    // Facts change: an object should have another form.
                    let known: Vec<u32> = model.objects.keys().copied().collect();
                    if !known.is_empty() {
                        let id = known[random(known.len())];
                        model.objects.get_mut(&id).unwrap().1 = form;
                        state.invalidate([id]);
                    }
                }
                3 => model.refresh(&mut state),
                4 => model.arrive(random(model.sent.len() + 1)),
                _ => {
                    model.resume(&mut state, random(model.sent.len() + 1));
                    resumed += 1;
                }
            }
            if life % 8 == 0 {
                model.settle(&mut state);
            }
        }
        model.settle(&mut state);
    }
    assert!(resumed > 1000);
}

//! The recorded last state, whatever the way there.

use super::*;

/// The client's last objects, from the recording of the last state.
pub(crate) struct After {
    pub(crate) expected: Value,
    pub(crate) state: State,
    /// By encoding and kind.
    pub(crate) lists: BTreeMap<(bool, bool), BTreeMap<String, Object>>,
}

impl After {
    pub(crate) fn load() -> After {
        let expected = fs::read_to_string(format!("{DATA}/recorded/expected.json")).unwrap();
        let mut lists = BTreeMap::new();
        for (protobuf, slices, file) in [
            (false, true, "endpointslices-json.json"),
            (true, true, "endpointslices-proto.pb"),
            (false, false, "endpoints-json.json"),
            (true, false, "endpoints-proto.pb"),
        ] {
            let body =
                Body::decode(&Recording::load(&format!("after/{file}")).body, protobuf, false);
            let named =
                body.objects.into_iter().map(|(_, object)| (name(&metadata(&object)), object));
            lists.insert((protobuf, slices), named.collect());
        }
        let expected = serde_json::from_str::<Value>(&expected).unwrap()["after"].take();
        After { expected, state: State::recorded("after"), lists }
    }

    pub(crate) fn check(&self, life: &Life<'_>) {
        let what = &life.what;
        let form = life.form;
        let slices = form.client_line().asks("endpointslices");
        let suppress = life.client.suppress;
        let list = &self.lists[&(form.protobuf, slices)];
        let selected: BTreeMap<&String, &Object> =
            list.iter().filter(|(_, object)| (form.selects)(&metadata(object))).collect();
        assert!(life.client.held.keys().eq(selected.keys().copied()), "{what}");
        assert_eq!(life.state.pools, self.state.pools);
        assert_eq!(life.state.labels, self.state.labels);
        assert_eq!(life.state.services, self.state.services);
        let node = life.view.name();
        let kept = self.expected.get(node).map(|node| &node["slices"]);
        for (name, unfiltered) in selected {
            let held = &life.client.held[name].1;
            let unfiltered = plain(unfiltered.clone(), suppress);
            match kept.filter(|_| slices).map(|kept| kept.get(name)) {
                Some(Some(kept)) => {
                    assert_eq!(Value::from(addresses(held)), *kept, "{what}: {name}")
                }
                Some(None) => assert!(*held == unfiltered, "{what}: {name} is not whole"),
                None => {}
            }
            let naive = Body { around: Vec::new(), objects: vec![(String::new(), unfiltered)] }
                .filtered(&self.state, node);
            assert!(*held == naive.objects[0].1, "{what}: {name}");
        }
    }
}

pub(crate) const ORDERS: [Order; 6] = [
    Order::Version,
    Order::Arrival,
    Order::ServicesShifted(3),
    Order::ServicesShifted(25),
    Order::ServicesShifted(1000),
    Order::ServicesShifted(-1000),
];
pub(crate) const HABITS: [Habit; 3] = [Habit::Always, Habit::AtTheEnd, Habit::Sometimes];

/// Every node lives through every form in every order; the habit is another one from form to form
/// and from node to node.
pub(crate) fn live(forms: &[Form]) {
    let after = After::load();
    let mut lives = 0;
    for (form_at, form) in forms.iter().enumerate() {
        for (node_at, node) in NODES.into_iter().enumerate() {
            for (order_at, order) in ORDERS.into_iter().enumerate() {
                let turn = form_at + node_at + order_at;
                let mut life = Life::begin(form, node, lives % 5 != 0);
                // Some clients take their time between list and watch.
                if !form.lists.is_empty() && lives % 2 == 0 {
                    assert!(life.open());
                }
                life.replay(order, HABITS[turn % HABITS.len()], lives);
                after.check(&life);
                lives += 1;
            }
        }
    }
    println!("{lives} lives");
}

#[test]
fn every_node_ends_up_with_what_it_should_have_in_json() {
    live(&[Form::list_then_watch(false), Form::pages_then_watch(false), Form::watch_list(false)]);
}

#[test]
fn every_node_ends_up_with_what_it_should_have_in_protobuf() {
    live(&[Form::list_then_watch(true), Form::pages_then_watch(true), Form::watch_list(true)]);
}

#[test]
fn selected_and_unannounced_watches_end_up_alike() {
    live(&Form::not_headless());
    live(&Form::legacy());
}

#[test]
fn endpoints_end_up_alike() {
    live(&Form::endpoints(false));
    live(&Form::endpoints(true));
}

#[test]
fn cut_connections_change_nothing() {
    let after = After::load();
    let mut seed = 0;
    for protobuf in [false, true] {
        let [endpoints, ..] = Form::endpoints(protobuf);
        for form in [Form::list_then_watch(protobuf), Form::watch_list(protobuf), endpoints] {
            for node in NODES {
                seed += 1;
                let mut life = Life::begin(&form, node, seed % 5 != 0);
                life.replay_with_cuts(seed);
                after.check(&life);
            }
        }
    }
}

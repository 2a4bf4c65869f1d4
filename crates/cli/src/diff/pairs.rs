//! The Services of two views, side by side.

use std::collections::{BTreeMap, HashMap, VecDeque};

use poolscope::Topology;
use poolscope::explain::{EndpointView, ServiceView};
use serde_json::{Value, json};

/// One Service in two views: of two nodes, or of one node at two moments. One of them has it.
pub(super) struct Pair {
    pub(super) left: Option<ServiceView>,
    pub(super) right: Option<ServiceView>,
}

/// One endpoint in two views; one of them has it.
#[derive(Clone, Copy)]
pub(super) struct EndpointPair<'a> {
    pub(super) left: Side<'a>,
    pub(super) right: Side<'a>,
}

/// An endpoint in one view.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) service: Option<&'a ServiceView>,
    pub(super) endpoint: Option<&'a EndpointView>,
}

impl Side<'_> {
    /// A node that does not see a Service sees none of its endpoints.
    pub(super) fn is_seen(&self) -> bool {
        self.service.is_some_and(|service| service.visible)
            && self.endpoint.is_some_and(|endpoint| endpoint.kept)
    }
}

impl<'a> EndpointPair<'a> {
    /// Returns the endpoint as the later view has it, if that has it.
    pub(super) fn any(&self) -> &'a EndpointView {
        self.right.endpoint.or(self.left.endpoint).expect("one view has the endpoint")
    }

    /// Returns `true` if one view uses the endpoint otherwise than the other one.
    pub(super) fn differs(&self) -> bool {
        let state = |side: Side<'_>| side.endpoint.map(|endpoint| endpoint.state);
        let (left, right) = (self.left.is_seen(), self.right.is_seen());
        left != right || left && state(self.left) != state(self.right)
    }
}

impl Pair {
    /// Returns the Services of two views by namespace and name.
    pub(super) fn all(left: Vec<ServiceView>, right: Vec<ServiceView>) -> Vec<Pair> {
        let key = |view: &ServiceView| (view.namespace.clone(), view.name.clone());
        let mut places = HashMap::new();
        let mut pairs = Vec::new();
        for view in left {
            places.insert(key(&view), pairs.len());
            pairs.push(Pair { left: Some(view), right: None });
        }
        for view in right {
            match places.get(&key(&view)) {
                Some(&place) => pairs[place].right = Some(view),
                None => pairs.push(Pair { left: None, right: Some(view) }),
            }
        }
        pairs
    }

    /// Returns the Service as the later view has it, if that has it.
    pub(super) fn any(&self) -> &ServiceView {
        self.right.as_ref().or(self.left.as_ref()).expect("one view has the Service")
    }

    pub(super) fn name(&self) -> String {
        let view = self.any();
        format!("{}/{}", view.namespace, view.name)
    }

    fn topologies(&self) -> [Option<&'static str>; 2] {
        [&self.left, &self.right].map(|view| view.as_ref()?.topology.map(Topology::name))
    }

    /// Returns the topology, or both where they differ.
    pub(super) fn topology(&self) -> String {
        let word = |topology: Option<&'static str>| topology.unwrap_or("unknown");
        match (&self.left, &self.right, self.topologies()) {
            (Some(_), Some(_), [left, right]) if left != right => {
                format!("{} -> {}", word(left), word(right))
            }
            _ => word(self.any().topology.map(Topology::name)).to_owned(),
        }
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        [&self.left, &self.right].into_iter().flatten().any(|view| view.doubt.is_some())
    }

    /// Returns `true` if both views have the same to say of the Service.
    pub(super) fn is_alike(&self, endpoints: &[EndpointPair<'_>]) -> bool {
        let [left, right] = self.topologies();
        let visible = |view: &Option<ServiceView>| view.as_ref().map(|view| view.visible);
        visible(&self.left) == visible(&self.right)
            && left == right
            && !endpoints.iter().any(EndpointPair::differs)
    }

    /// Returns the endpoints in the order of the first view, then those that only the second one
    /// has. An endpoint is known by its first address and its node, so that it may move from one
    /// slice to another.
    pub(super) fn endpoints(&self) -> Vec<EndpointPair<'_>> {
        let of = |view| -> &[EndpointView] {
            Option::map_or(view, &[], |view: &ServiceView| &view.endpoints)
        };
        let (left, right) = (self.left.as_ref(), self.right.as_ref());
        let mut places: BTreeMap<_, VecDeque<usize>> = BTreeMap::new();
        for (place, endpoint) in of(right).iter().enumerate() {
            places.entry((&endpoint.address, &endpoint.node)).or_default().push_back(place);
        }
        let pair = |first, second| EndpointPair {
            left: Side { service: left, endpoint: first },
            right: Side { service: right, endpoint: second },
        };
        let mut is_paired = vec![false; of(right).len()];
        let mut pairs: Vec<EndpointPair<'_>> = Vec::new();
        for endpoint in of(left) {
            let place = places.get_mut(&(&endpoint.address, &endpoint.node));
            let place = place.and_then(VecDeque::pop_front);
            place.into_iter().for_each(|place| is_paired[place] = true);
            pairs.push(pair(Some(endpoint), place.map(|place| &of(right)[place])));
        }
        let more = of(right).iter().zip(is_paired).filter(|(_, is_paired)| !is_paired);
        pairs.extend(more.map(|(endpoint, _)| pair(None, Some(endpoint))));
        pairs
    }

    pub(super) fn document(&self) -> Value {
        let (view, endpoints) = (self.any(), self.endpoints());
        let both = |key: fn(&ServiceView) -> Value| {
            let of = |view: &Option<ServiceView>| view.as_ref().map(key);
            json!({"left": of(&self.left), "right": of(&self.right)})
        };
        let endpoint = |pair: &EndpointPair<'_>| {
            let both = |key: fn(&EndpointView) -> Value| json!({"left": pair.left.endpoint.map(key), "right": pair.right.endpoint.map(key)});
            let any = pair.any();
            json!({
                "address": any.address,
                "node": any.node,
                "object": any.object,
                "state": both(|endpoint| json!(endpoint.state)),
                "inDoubt": both(|endpoint| json!(endpoint.in_doubt)),
            })
        };
        let pick = |left: bool, right: bool| -> Vec<Value> {
            let is_picked = |pair: &&EndpointPair<'_>| {
                (pair.left.is_seen(), pair.right.is_seen()) == (left, right)
            };
            endpoints.iter().filter(is_picked).map(endpoint).collect()
        };
        json!({
            "namespace": view.namespace,
            "name": view.name,
            "topology": view.topology,
            "topologies": both(|view| json!(view.topology)),
            "visible": both(|view| json!(view.visible)),
            "doubt": both(|view| json!(view.doubt)),
            "both": pick(true, true),
            "onlyLeft": pick(true, false),
            "onlyRight": pick(false, true),
            "neither": pick(false, false),
        })
    }
}

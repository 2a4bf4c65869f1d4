//! Verdicts on endpoints, with their reasons (rules O1 to O13 of `docs/openyurt.md`).

use super::Members;
use super::fallback::{Fallback, Step, UsableSteps};
use super::keys::Keys;

/// The reason why an endpoint is kept or dropped. Rule ids are those of the page
/// [openyurt](crate::documentation::openyurt).
///
/// ```
/// use poolscope::Reason;
///
/// assert_eq!((Reason::OutsidePool.keeps(), Reason::OutsidePool.rule()), (false, "O7"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// Kept: the Service has no topology keys, or unknown ones (O2).
    NoTopologyKeys,
    /// Kept: the slice names no Service (O1). Proxies ignore such slices.
    NoService,
    /// Kept, counted: the Service is not known (O1).
    UnknownService,
    /// Kept, counted: the label of the node names a pool, but no object lists the members of that
    /// pool (O9).
    UnknownPool,
    /// Kept: the Service asks for the pool, and pool topology is switched off (O10).
    PoolTopologyOff,
    /// Kept: this rewrite is switched off, or is not for this client.
    ServiceTopologyOff,
    /// Kept: the address that stands for the API server on this node (F1).
    Forward,
    /// Kept: no step of the topology fallback before `*` has a usable endpoint.
    AnyStep,
    /// Kept: on the node itself (O3).
    OwnNode,
    /// Kept: on a node of the own pool (O6).
    OwnPool,
    /// Dropped: on another node (O4).
    OtherNode,
    /// Dropped: it names no node (O5).
    NoNode,
    /// Dropped: its node is in another pool, in none, or unknown (O7).
    OutsidePool,
    /// Dropped: the address that stands for the API server on this node takes its place (F1).
    Forwarded,
    /// Dropped: the slice names no Service, and such slices are emptied (O1).
    EmptiedNoService,
    /// Dropped, counted: the Service is not known, and such slices are emptied.
    EmptiedUnknownService,
    /// Dropped, counted: the own pool is not known, and such slices are emptied.
    EmptiedUnknownPool,
}

impl Reason {
    /// Returns `true` if the endpoint is kept.
    pub const fn keeps(self) -> bool {
        use Reason::*;
        !matches!(
            self,
            OtherNode
                | NoNode
                | OutsidePool
                | Forwarded
                | EmptiedNoService
                | EmptiedUnknownService
                | EmptiedUnknownPool
        )
    }

    /// The row of the rule, as `docs/openyurt.md` numbers them, whatever the dialect; `off` where
    /// no rule is applied, `fallback` for what OpenYurt has no rule for.
    pub const fn rule(self) -> &'static str {
        use Reason::*;
        match self {
            NoService | EmptiedNoService | UnknownService | EmptiedUnknownService => "O1",
            NoTopologyKeys => "O2",
            OwnNode => "O3",
            OtherNode => "O4",
            NoNode => "O5",
            OwnPool => "O6",
            OutsidePool => "O7",
            UnknownPool | EmptiedUnknownPool => "O9",
            PoolTopologyOff => "O10",
            ServiceTopologyOff => "off",
            AnyStep => "fallback",
            Forward | Forwarded => "F1",
        }
    }

    /// Returns the name in JSON output, which never changes.
    pub const fn name(self) -> &'static str {
        use Reason::*;
        match self {
            NoTopologyKeys => "noTopologyKeys",
            NoService => "noService",
            UnknownService => "unknownService",
            UnknownPool => "unknownPool",
            PoolTopologyOff => "poolTopologyOff",
            ServiceTopologyOff => "serviceTopologyOff",
            AnyStep => "anyStep",
            Forward => "forward",
            Forwarded => "forwarded",
            OwnNode => "ownNode",
            OwnPool => "ownPool",
            OtherNode => "otherNode",
            NoNode => "noNode",
            OutsidePool => "outsidePool",
            EmptiedNoService => "emptiedNoService",
            EmptiedUnknownService => "emptiedUnknownService",
            EmptiedUnknownPool => "emptiedUnknownPool",
        }
    }
}

/// How to treat an object while a fact that it depends on is missing.
///
/// ```
/// use poolscope::{Config, MissingFactPolicy};
///
/// let mut config = Config::openyurt();
/// config.on_missing_fact_mut().unknown_pool = MissingFactPolicy::Empty;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingFactPolicy {
    /// Forward it unchanged and count it, as OpenYurt does (O1, O9).
    #[default]
    Pass,
    /// Forward it without endpoints until the fact is known.
    Empty,
}

/// How to treat objects while a fact is missing. Rule ids are those of the page
/// [openyurt](crate::documentation::openyurt).
///
/// ```
/// use poolscope::{Config, MissingFactPolicy, OnMissingFact};
///
/// assert_eq!(Config::openyurt().on_missing_fact(), OnMissingFact::default());
/// assert_eq!(OnMissingFact::default().unknown_service, MissingFactPolicy::Pass);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OnMissingFact {
    /// For slices of a Service that is not known (O1).
    pub unknown_service: MissingFactPolicy,
    /// For slices that name no Service (O1). kube-proxy and Cilium ignore them; Envoy Gateway and
    /// OVN-Kubernetes read them.
    pub no_service: MissingFactPolicy,
    /// For Services that ask for the pool, on a node in a pool that is not known (O9).
    pub unknown_pool: MissingFactPolicy,
}

/// The Service that an object belongs to, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Service {
    /// The object names none.
    None,
    Unknown,
    Known(Keys),
}

/// The node's own pool, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OwnPool<'a> {
    /// Pool topology is switched off.
    Off,
    /// The node is in no pool.
    None,
    /// The node is in a pool that nothing describes.
    Unknown,
    Members(&'a Members),
}

/// The pools that this node is in.
pub(crate) trait PoolLookup<'a> {
    /// Its pool.
    fn own(&self) -> OwnPool<'a>;

    /// The nodes that share its value of a label; `None` if it has no such label.
    fn sharing(&self, label: &str) -> Option<&'a Members>;
}

/// The endpoints of one object that one node may use: evaluated once per object, so that the
/// verdict on an endpoint is one lookup.
#[derive(Debug, Clone)]
pub(crate) enum View<'a> {
    /// Keeps every endpoint.
    Whole(Reason),
    /// Drops every endpoint.
    Nothing(Reason),
    /// Endpoints on this node.
    Node(&'a [u8]),
    /// Endpoints on these nodes, and with `own` on this node whether or not it is one of them.
    Pool { node: &'a [u8], members: &'a Members, own: bool },
    /// Endpoints on nodes that are in one of these pools, and on this node.
    Pools { node: &'a [u8], pools: Vec<&'a Members> },
}

/// A [`View`] without what it depends on: as long as it stays the same for a node and an object,
/// and is not one of a pool, the node sees the same of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ViewKind {
    Whole,
    Nothing,
    Node,
    Pool,
    /// The pool and the node itself.
    PoolAndOwn,
    /// Pools by labels; which labels, is not kept.
    Pools,
    /// Not at all: something else stands in its place.
    Forwarded,
}

impl ViewKind {
    /// Returns `true` if the members of the own pool decide.
    pub(crate) fn is_of_pool(self) -> bool {
        matches!(self, ViewKind::Pool | ViewKind::PoolAndOwn | ViewKind::Pools)
    }
}

impl<'a> View<'a> {
    /// `usable` tells for an own pool what stands on which step; it is asked only for a topology
    /// fallback.
    pub(crate) fn settle(
        service: Service,
        node: &'a [u8],
        pools: &impl PoolLookup<'a>,
        doubt: OnMissingFact,
        usable: impl FnOnce(Option<&Members>) -> UsableSteps,
    ) -> View<'a> {
        let keys = match service {
            Service::None => {
                return match doubt.no_service {
                    MissingFactPolicy::Pass => View::Whole(Reason::NoService),
                    MissingFactPolicy::Empty => View::Nothing(Reason::EmptiedNoService),
                };
            }
            Service::Unknown => {
                return match doubt.unknown_service {
                    MissingFactPolicy::Pass => View::Whole(Reason::UnknownService),
                    MissingFactPolicy::Empty => View::Nothing(Reason::EmptiedUnknownService),
                };
            }
            Service::Known(keys) => keys,
        };
        let (pool, own) = match keys {
            Keys::Unset => return View::Whole(Reason::NoTopologyKeys),
            Keys::Node => return View::Node(node),
            Keys::Pool => (pools.own(), false),
            Keys::PoolAndOwn => (pools.own(), true),
            Keys::Labels(_) if matches!(pools.own(), OwnPool::Off) => {
                return View::Whole(Reason::PoolTopologyOff);
            }
            Keys::Labels(labels) => {
                let pools = labels.iter().filter_map(|label| pools.sharing(label)).collect();
                return View::Pools { node, pools };
            }
            Keys::Fallback(fallback) => {
                return View::settle_fallback(fallback, node, pools.own(), doubt, usable);
            }
        };
        match pool {
            OwnPool::Off => View::Whole(Reason::PoolTopologyOff),
            // "No pool" never equals "no pool": such a node has only itself (O8).
            OwnPool::None => View::Node(node),
            OwnPool::Unknown => match doubt.unknown_pool {
                MissingFactPolicy::Pass => View::Whole(Reason::UnknownPool),
                MissingFactPolicy::Empty => View::Nothing(Reason::EmptiedUnknownPool),
            },
            OwnPool::Members(members) => View::Pool { node, members, own },
        }
    }

    /// Settles an ordered list of keys. Where the own pool cannot be told, the key that asks for it
    /// means:
    ///
    /// | the own pool | the key means | and counts |
    /// |---|---|---|
    /// | is switched off | every endpoint, as alone (O10) | |
    /// | does not exist | the node itself (O8) | |
    /// | is not described, `pass` | every endpoint (O9) | `passedUnknownPool` |
    /// | is not described, `hide` | the node itself, which is in its pool | if `*` is reached `passedUnknownPool`, if no key is met `emptiedUnknownPool` |
    fn settle_fallback(
        fallback: Fallback,
        node: &'a [u8],
        pool: OwnPool<'a>,
        doubt: OnMissingFact,
        usable: impl FnOnce(Option<&Members>) -> UsableSteps,
    ) -> View<'a> {
        let members = if let OwnPool::Members(members) = pool { Some(members) } else { None };
        let means_everything = match pool {
            OwnPool::Off => Some(Reason::PoolTopologyOff),
            OwnPool::Unknown if doubt.unknown_pool == MissingFactPolicy::Pass => {
                Some(Reason::UnknownPool)
            }
            OwnPool::Unknown | OwnPool::None | OwnPool::Members(_) => None,
        };
        let usable = usable(members);
        let usable =
            if means_everything.is_some() { usable.with_everything_in_pool() } else { usable };
        // Whether the pool would have had something is not known.
        let on_missing_fact =
            matches!(pool, OwnPool::Unknown) && fallback.steps().contains(&Step::Pool);
        let found = fallback.climb(usable);
        match (found.unwrap_or(fallback.last()), pool, means_everything) {
            (Step::Any, ..) if on_missing_fact => View::Whole(Reason::UnknownPool),
            (Step::Any, ..) => View::Whole(Reason::AnyStep),
            (Step::Pool, _, Some(reason)) => View::Whole(reason),
            (Step::Node | Step::Pool, OwnPool::Unknown, None)
                if found.is_none() && on_missing_fact =>
            {
                View::Nothing(Reason::EmptiedUnknownPool)
            }
            (Step::Pool, OwnPool::Members(members), _) => View::Pool { node, members, own: true },
            (Step::Pool | Step::Node, ..) => View::Node(node),
        }
    }

    /// The reason that holds for the whole object, if there is one.
    pub(crate) fn whole_reason(&self) -> Option<Reason> {
        match self {
            View::Whole(reason) | View::Nothing(reason) => Some(*reason),
            View::Node(_) | View::Pool { .. } | View::Pools { .. } => None,
        }
    }

    /// Returns the part of the view that can be compared with an earlier one.
    pub(crate) fn view_kind(&self) -> ViewKind {
        match self {
            View::Whole(_) => ViewKind::Whole,
            View::Nothing(_) => ViewKind::Nothing,
            View::Node(_) => ViewKind::Node,
            View::Pool { own: false, .. } => ViewKind::Pool,
            View::Pool { own: true, .. } => ViewKind::PoolAndOwn,
            View::Pools { .. } => ViewKind::Pools,
        }
    }

    /// The verdict on an endpoint on `node`. Conditions, hints and zones are never looked at (O13).
    #[inline(always)]
    pub(crate) fn judge(&self, node: Option<&[u8]>) -> Reason {
        match (self, node) {
            (View::Whole(reason) | View::Nothing(reason), _) => *reason,
            (_, None) => Reason::NoNode,
            (View::Node(own), Some(node)) if *own == node => Reason::OwnNode,
            (View::Node(_), Some(_)) => Reason::OtherNode,
            (View::Pools { node: me, .. }, Some(node)) if *me == node => Reason::OwnNode,
            (View::Pools { pools, .. }, Some(node)) => {
                match pools.iter().any(|pool| pool.contains(node)) {
                    true => Reason::OwnPool,
                    false => Reason::OutsidePool,
                }
            }
            (View::Pool { node: me, members, own }, Some(node)) => match members.contains(node) {
                true if *me == node => Reason::OwnNode,
                true => Reason::OwnPool,
                false if *own && *me == node => Reason::OwnNode,
                // Also for the own node: until the pool's own list names it, it is not in the pool
                // (O7).
                false => Reason::OutsidePool,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::fallback::Condition;
    use crate::topology::keys::Dialect;

    fn members(names: &[&str]) -> Members {
        let mut members = Members::default();
        names.iter().for_each(|name| assert!(members.add(name.as_bytes())));
        members
    }

    /// A node in one pool, or in several by labels.
    struct In<'a>(OwnPool<'a>, &'a [(&'a str, &'a Members)]);

    impl<'a> PoolLookup<'a> for In<'a> {
        fn own(&self) -> OwnPool<'a> {
            self.0
        }

        fn sharing(&self, label: &str) -> Option<&'a Members> {
            self.1.iter().find(|(key, _)| *key == label).map(|(_, members)| *members)
        }
    }

    fn judge(keys: Keys, pool: OwnPool<'_>, node: Option<&str>) -> Reason {
        let doubt = OnMissingFact::default();
        View::settle(Service::Known(keys), b"me", &In(pool, &[]), doubt, |_| UsableSteps::default())
            .judge(node.map(str::as_bytes))
    }

    #[test]
    fn names_never_change() {
        use Reason::*;
        let kept = [
            NoTopologyKeys,
            NoService,
            UnknownService,
            UnknownPool,
            PoolTopologyOff,
            ServiceTopologyOff,
            AnyStep,
            OwnNode,
            OwnPool,
            Forward,
        ];
        let names = "noTopologyKeys noService unknownService unknownPool poolTopologyOff \
                     serviceTopologyOff anyStep ownNode ownPool forward";
        assert_eq!(kept.map(Reason::name).join(" "), names);
        let dropped = [
            OtherNode,
            NoNode,
            OutsidePool,
            Forwarded,
            EmptiedNoService,
            EmptiedUnknownService,
            EmptiedUnknownPool,
        ];
        let names = "otherNode noNode outsidePool forwarded emptiedNoService \
                     emptiedUnknownService emptiedUnknownPool";
        assert_eq!(dropped.map(Reason::name).join(" "), names);
        assert!(
            kept.iter().all(|reason| reason.keeps())
                && !dropped.iter().any(|reason| reason.keeps())
        );
    }

    #[test]
    fn every_row_of_the_table() {
        let pool = members(&["me", "friend"]);
        let of = |service| {
            View::settle(service, b"me", &In(OwnPool::None, &[]), OnMissingFact::default(), |_| {
                UsableSteps::default()
            })
            .judge(None)
        };
        assert_eq!(of(Service::None), Reason::NoService);
        assert_eq!(of(Service::Unknown), Reason::UnknownService);
        assert_eq!(
            judge(Keys::Unset, OwnPool::Members(&pool), Some("other")),
            Reason::NoTopologyKeys
        );
        assert_eq!(judge(Keys::Node, OwnPool::Members(&pool), Some("me")), Reason::OwnNode);
        assert_eq!(judge(Keys::Node, OwnPool::Members(&pool), Some("friend")), Reason::OtherNode);
        for keys in [Keys::Node, Keys::Pool] {
            assert_eq!(judge(keys, OwnPool::Members(&pool), None), Reason::NoNode);
        }
        assert_eq!(judge(Keys::Pool, OwnPool::Members(&pool), Some("me")), Reason::OwnNode);
        assert_eq!(judge(Keys::Pool, OwnPool::Members(&pool), Some("friend")), Reason::OwnPool);
        assert_eq!(judge(Keys::Pool, OwnPool::Members(&pool), Some("other")), Reason::OutsidePool);
        assert_eq!(judge(Keys::Pool, OwnPool::None, Some("me")), Reason::OwnNode);
        assert_eq!(judge(Keys::Pool, OwnPool::None, Some("friend")), Reason::OtherNode);
        assert_eq!(judge(Keys::Pool, OwnPool::Unknown, Some("other")), Reason::UnknownPool);
        assert_eq!(judge(Keys::Pool, OwnPool::Off, None), Reason::PoolTopologyOff);
        assert_eq!(judge(Keys::Node, OwnPool::Off, Some("other")), Reason::OtherNode);
    }

    #[test]
    fn a_pool_that_does_not_name_the_own_node_does_not_hold_it() {
        assert_eq!(
            judge(Keys::Pool, OwnPool::Members(&members(&["friend"])), Some("me")),
            Reason::OutsidePool
        );
        assert_eq!(
            judge(Keys::Pool, OwnPool::Members(&members(&[])), Some("me")),
            Reason::OutsidePool
        );
    }

    #[test]
    fn the_node_itself_may_be_in_its_pool_whatever_the_pool_says() {
        let friends = members(&["friend"]);
        let judge = |pool, node| judge(Keys::PoolAndOwn, pool, Some(node));
        assert_eq!(judge(OwnPool::Members(&friends), "me"), Reason::OwnNode, "K4");
        assert_eq!(judge(OwnPool::Members(&friends), "friend"), Reason::OwnPool, "K5");
        assert_eq!(judge(OwnPool::Members(&friends), "other"), Reason::OutsidePool, "K6, K7, K10");
        assert_eq!(
            (judge(OwnPool::None, "me"), judge(OwnPool::None, "other")),
            (Reason::OwnNode, Reason::OtherNode),
            "K8, K9, K11"
        );
    }

    #[test]
    fn one_label_that_is_shared_is_enough() {
        let (zone, rack) = (members(&["me", "near"]), members(&["me", "beside"]));
        let judge = |shared: &[(&str, &Members)], node: Option<&str>| {
            let keys = Keys::Labels(["rack", "zone"].map(Into::into).into());
            let pools = In(OwnPool::None, shared);
            let view =
                View::settle(Service::Known(keys), b"me", &pools, OnMissingFact::default(), |_| {
                    UsableSteps::default()
                });
            assert_eq!(view.view_kind(), ViewKind::Pools);
            view.judge(node.map(str::as_bytes))
        };
        let both = [("zone", &zone), ("rack", &rack)];
        assert_eq!(
            ["near", "beside", "me"].map(|node| judge(&both, Some(node)).keeps()),
            [true; 3],
            "S3, S9"
        );
        assert_eq!(judge(&both, Some("far")), Reason::OutsidePool, "S4, S7");
        assert_eq!(judge(&both[..1], Some("beside")), Reason::OutsidePool);
        assert_eq!(judge(&both, None), Reason::NoNode, "S8");
        assert_eq!(
            (judge(&[], Some("me")), judge(&[], Some("near"))),
            (Reason::OwnNode, Reason::OutsidePool),
            "S5, S6"
        );
    }

    #[test]
    fn a_fallback_is_seen_through_the_step_that_counts() {
        let fallback =
            Dialect::OpenYurt.read("kubernetes.io/hostname,openyurt.io/nodepool,*", true);
        let pool = members(&["friend"]);
        let see = |pool: OwnPool<'_>, on: &[&str], judged: &str| {
            let doubt = OnMissingFact::default();
            let usable = |members: Option<&Members>| {
                let each = on.iter().map(|node| {
                    UsableSteps::of(Condition::Ready, Some(node.as_bytes()), b"me", members)
                });
                each.fold(UsableSteps::default(), |all, one| all | one)
            };
            View::settle(Service::Known(fallback.clone()), b"me", &In(pool, &[]), doubt, usable)
                .judge(Some(judged.as_bytes()))
        };
        let known = OwnPool::Members(&pool);
        assert_eq!(see(known, &["me", "friend"], "friend"), Reason::OtherNode);
        assert_eq!(
            see(known, &["friend", "other"], "me"),
            Reason::OwnNode,
            "in the own pool, whatever the pool says"
        );
        assert_eq!(see(known, &["friend", "other"], "other"), Reason::OutsidePool);
        assert_eq!(see(known, &["other"], "other"), Reason::AnyStep);
        assert_eq!(see(OwnPool::None, &["other"], "other"), Reason::AnyStep);
        assert_eq!(see(OwnPool::Unknown, &["me"], "other"), Reason::OtherNode);
        assert_eq!(see(OwnPool::Unknown, &["other"], "other"), Reason::UnknownPool);
        assert_eq!(see(OwnPool::Off, &["other"], "other"), Reason::PoolTopologyOff);
    }

    #[test]
    fn doubts_hide_where_the_configuration_says_so() {
        let judge = |service, service_doubt, pool_doubt| {
            let doubt = OnMissingFact {
                unknown_service: service_doubt,
                unknown_pool: pool_doubt,
                ..OnMissingFact::default()
            };
            View::settle(service, b"me", &In(OwnPool::Unknown, &[]), doubt, |_| {
                UsableSteps::default()
            })
            .judge(Some(b"me"))
        };
        assert_eq!(
            judge(Service::Unknown, MissingFactPolicy::Empty, MissingFactPolicy::Pass),
            Reason::EmptiedUnknownService
        );
        assert_eq!(
            judge(Service::Known(Keys::Pool), MissingFactPolicy::Pass, MissingFactPolicy::Empty),
            Reason::EmptiedUnknownPool
        );
        assert_eq!(
            judge(Service::None, MissingFactPolicy::Empty, MissingFactPolicy::Empty),
            Reason::NoService
        );
        assert_eq!(
            judge(Service::Known(Keys::Node), MissingFactPolicy::Empty, MissingFactPolicy::Empty),
            Reason::OwnNode
        );
        let doubt =
            OnMissingFact { no_service: MissingFactPolicy::Empty, ..OnMissingFact::default() };
        let view = View::settle(Service::None, b"me", &In(OwnPool::None, &[]), doubt, |_| {
            UsableSteps::default()
        });
        assert_eq!(view.judge(Some(b"me")), Reason::EmptiedNoService);
    }

    #[test]
    fn a_key_for_a_pool_that_cannot_be_told_means_what_the_table_says() {
        use Condition::{Ready, Terminating};
        let see = |keys: &str,
                   pool: OwnPool<'_>,
                   unknown_pool: MissingFactPolicy,
                   endpoints: &[(&str, Condition)]| {
            let usable = |members: Option<&Members>| {
                let of = |(node, condition): &(&str, Condition)| {
                    UsableSteps::of(*condition, Some(node.as_bytes()), b"me", members)
                };
                endpoints.iter().map(of).fold(UsableSteps::default(), |usable, one| usable | one)
            };
            let doubt = OnMissingFact { unknown_pool, ..OnMissingFact::default() };
            let keys = Service::Known(Dialect::Poolscope.read(keys, true));
            let view = View::settle(keys, b"me", &In(pool, &[]), doubt, usable);
            (
                view.judge(Some(b"me")).keeps(),
                view.judge(Some(b"other")).keeps(),
                view.whole_reason(),
            )
        };
        use MissingFactPolicy::{Empty, Pass};
        let (off, unknown) = (OwnPool::Off, OwnPool::Unknown);
        let own_leaves = [("me", Terminating)];
        let all = |reason| (true, true, Some(reason));
        let own = (true, false, None);
        // Nothing is ready, and only the node itself still serves: whatever the pool is, its
        // endpoint is shown.
        for pool in [off, unknown, OwnPool::None] {
            for doubt in [Pass, Empty] {
                assert_eq!(see("node,pool,*", pool, doubt, &own_leaves), own, "{pool:?} {doubt:?}");
                assert_eq!(see("node,pool", pool, doubt, &[("me", Ready), ("other", Ready)]), own);
            }
        }
        let other = [("other", Ready), ("me", Terminating)];
        assert_eq!(see("node,pool,*", off, Pass, &other), all(Reason::PoolTopologyOff));
        assert_eq!(see("node,pool", off, Empty, &other), all(Reason::PoolTopologyOff));
        assert_eq!(see("pool,node", off, Pass, &[("me", Ready)]), all(Reason::PoolTopologyOff));
        assert_eq!(see("node,pool,*", unknown, Pass, &other), all(Reason::UnknownPool));
        assert_eq!(see("node,pool,*", unknown, Empty, &other), all(Reason::UnknownPool));
        assert_eq!(see("node,pool", unknown, Pass, &other), all(Reason::UnknownPool));
        assert_eq!(
            see("node,pool", unknown, Empty, &other),
            own,
            "what still serves on the node itself"
        );
        let hidden = (false, false, Some(Reason::EmptiedUnknownPool));
        assert_eq!(see("node,pool", unknown, Empty, &other[..1]), hidden);
        assert_eq!(see("pool,node", unknown, Empty, &other[..1]), hidden);
        assert_eq!(see("pool,node", unknown, Empty, &[("me", Ready)]), own);
        assert_eq!(see("node,*", unknown, Empty, &other), all(Reason::AnyStep));
        assert_eq!(see("node,pool,*", unknown, Empty, &[]), all(Reason::UnknownPool));
        assert_eq!(see("node,pool,*", OwnPool::None, Empty, &other), all(Reason::AnyStep));
    }
}

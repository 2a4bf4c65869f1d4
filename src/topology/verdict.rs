//! From what is known to a verdict on each endpoint, with its reason (rules O1 to O13).

use super::Members;
use super::keys::Keys;

/// Why an endpoint is kept or dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// Kept: the Service asks for nothing, or for something unknown (O2).
    NoTopologyKeys,
    /// Kept: the slice names no Service (O1). Proxies ignore such slices.
    NoService,
    /// Kept in doubt: the Service is not known (O1).
    UnknownService,
    /// Kept in doubt: the node says it is in a pool, but nothing says which nodes that pool has (O9).
    UnknownPool,
    /// Kept: the Service asks for the pool, and pool topology is switched off (O10).
    PoolTopologyOff,
    /// Kept: this rewrite is switched off.
    ServiceTopologyOff,
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
    /// Dropped in doubt: the Service is not known and the configuration says to hide then.
    HiddenUnknownService,
    /// Dropped in doubt: the own pool is not known and the configuration says to hide then.
    HiddenUnknownPool,
}

impl Reason {
    /// Whether the endpoint is kept.
    pub const fn keeps(self) -> bool {
        use Reason::*;
        !matches!(self, OtherNode | NoNode | OutsidePool | HiddenUnknownService | HiddenUnknownPool)
    }

    /// The row of the rule, as `docs/openyurt.md` numbers them; `off` where no rule is applied.
    pub const fn rule(self) -> &'static str {
        use Reason::*;
        match self {
            NoService | UnknownService | HiddenUnknownService => "O1",
            NoTopologyKeys => "O2",
            OwnNode => "O3",
            OtherNode => "O4",
            NoNode => "O5",
            OwnPool => "O6",
            OutsidePool => "O7",
            UnknownPool | HiddenUnknownPool => "O9",
            PoolTopologyOff => "O10",
            ServiceTopologyOff => "off",
        }
    }

    /// The name of the reason in JSON output; never changes.
    pub const fn name(self) -> &'static str {
        use Reason::*;
        match self {
            NoTopologyKeys => "noTopologyKeys",
            NoService => "noService",
            UnknownService => "unknownService",
            UnknownPool => "unknownPool",
            PoolTopologyOff => "poolTopologyOff",
            ServiceTopologyOff => "serviceTopologyOff",
            OwnNode => "ownNode",
            OwnPool => "ownPool",
            OtherNode => "otherNode",
            NoNode => "noNode",
            OutsidePool => "outsidePool",
            HiddenUnknownService => "hiddenUnknownService",
            HiddenUnknownPool => "hiddenUnknownPool",
        }
    }
}

/// What to do with an object where a fact it depends on is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Doubt {
    /// Let it pass unchanged, counted; what OpenYurt does (O1, O9).
    #[default]
    Pass,
    /// Take all its endpoints out until the fact is known.
    Hide,
}

/// What is known of the Service that an object belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// The object names none.
    None,
    Unknown,
    Known(Keys),
}

/// What is known of the pool that this node is in.
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

/// What one node may see of one object: settled per object, so that judging an endpoint is one look-up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum View<'a> {
    /// Every endpoint, for this reason.
    Whole(Reason),
    /// No endpoint, for this reason.
    Nothing(Reason),
    /// Endpoints on this node.
    Node(&'a [u8]),
    /// Endpoints on these nodes.
    Pool { node: &'a [u8], members: &'a Members },
}

impl<'a> View<'a> {
    pub(crate) fn settle(
        service: Service,
        node: &'a [u8],
        pool: impl FnOnce() -> OwnPool<'a>,
        unknown_service: Doubt,
        unknown_pool: Doubt,
    ) -> View<'a> {
        let keys = match service {
            Service::None => return View::Whole(Reason::NoService),
            Service::Unknown => {
                return match unknown_service {
                    Doubt::Pass => View::Whole(Reason::UnknownService),
                    Doubt::Hide => View::Nothing(Reason::HiddenUnknownService),
                };
            }
            Service::Known(keys) => keys,
        };
        match keys {
            Keys::Unset => View::Whole(Reason::NoTopologyKeys),
            Keys::Node => View::Node(node),
            Keys::Pool => match pool() {
                OwnPool::Off => View::Whole(Reason::PoolTopologyOff),
                // "No pool" never equals "no pool": such a node has only itself (O8).
                OwnPool::None => View::Node(node),
                OwnPool::Unknown => match unknown_pool {
                    Doubt::Pass => View::Whole(Reason::UnknownPool),
                    Doubt::Hide => View::Nothing(Reason::HiddenUnknownPool),
                },
                OwnPool::Members(members) => View::Pool { node, members },
            },
        }
    }

    /// The verdict on an endpoint on `node`. Conditions, hints and zones are never looked at (O13).
    #[inline]
    pub(crate) fn judge(&self, node: Option<&[u8]>) -> Reason {
        match (*self, node) {
            (View::Whole(reason) | View::Nothing(reason), _) => reason,
            (_, None) => Reason::NoNode,
            (View::Node(own), Some(node)) if own == node => Reason::OwnNode,
            (View::Node(_), Some(_)) => Reason::OtherNode,
            (View::Pool { node: own, members }, Some(node)) => match members.contains_key(node) {
                true if own == node => Reason::OwnNode,
                true => Reason::OwnPool,
                // Also for the own node: until the pool's own list names it, it is not in the pool (O7).
                false => Reason::OutsidePool,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(names: &[&str]) -> Members {
        names.iter().map(|name| (name.as_bytes().into(), 1)).collect()
    }

    fn judge(keys: Keys, pool: OwnPool<'_>, node: Option<&str>) -> Reason {
        View::settle(Service::Known(keys), b"me", || pool, Doubt::Pass, Doubt::Pass).judge(node.map(str::as_bytes))
    }

    #[test]
    fn every_row_of_the_table() {
        let pool = members(&["me", "friend"]);
        let of = |service| View::settle(service, b"me", || OwnPool::None, Doubt::Pass, Doubt::Pass).judge(None);
        assert_eq!(of(Service::None), Reason::NoService);
        assert_eq!(of(Service::Unknown), Reason::UnknownService);
        assert_eq!(judge(Keys::Unset, OwnPool::Members(&pool), Some("other")), Reason::NoTopologyKeys);
        assert_eq!(judge(Keys::Node, OwnPool::Members(&pool), Some("me")), Reason::OwnNode);
        assert_eq!(judge(Keys::Node, OwnPool::Members(&pool), Some("friend")), Reason::OtherNode);
        for keys in [Keys::Node, Keys::Pool] {
            assert_eq!(judge(keys, OwnPool::Members(&pool), None), Reason::NoNode);
        }
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
        assert_eq!(judge(Keys::Pool, OwnPool::Members(&members(&["friend"])), Some("me")), Reason::OutsidePool);
        assert_eq!(judge(Keys::Pool, OwnPool::Members(&members(&[])), Some("me")), Reason::OutsidePool);
    }

    #[test]
    fn doubts_hide_where_the_configuration_says_so() {
        let judge = |service, service_doubt, pool_doubt| {
            View::settle(service, b"me", || OwnPool::Unknown, service_doubt, pool_doubt).judge(Some(b"me"))
        };
        assert_eq!(judge(Service::Unknown, Doubt::Hide, Doubt::Pass), Reason::HiddenUnknownService);
        assert_eq!(judge(Service::Known(Keys::Pool), Doubt::Pass, Doubt::Hide), Reason::HiddenUnknownPool);
        assert_eq!(judge(Service::None, Doubt::Hide, Doubt::Hide), Reason::NoService);
        assert_eq!(judge(Service::Known(Keys::Node), Doubt::Hide, Doubt::Hide), Reason::OwnNode);
    }
}

//! Ordered topology keys: the first rung on which something usable stands is the one that counts.
//!
//! A rung is chosen for a Service and one address family, over all its slices: a slice that showed
//! another rung than its siblings would mix near and far endpoints in one backend set.

use std::ops::BitOr;

use super::Members;

/// One topology key of an ordered list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rung {
    /// The node itself.
    Node,
    /// The own pool, and the node itself whether or not its pool names it.
    Pool,
    /// Everything: `*`.
    Any,
}

/// Rungs in the order they are tried, each once. `*` can only be the last: behind it nothing is
/// ever reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ladder {
    rungs: [Rung; 3],
    len: u8,
}

impl Ladder {
    /// The rungs in their order, without repetitions and what follows `*`; `None` if there is none.
    pub(crate) fn of(rungs: impl Iterator<Item = Rung>) -> Option<Ladder> {
        let mut ladder = Ladder { rungs: [Rung::Any; 3], len: 0 };
        for rung in rungs {
            if !ladder.rungs().contains(&rung) && ladder.rungs().last() != Some(&Rung::Any) {
                ladder.rungs[usize::from(ladder.len)] = rung;
                ladder.len += 1;
            }
        }
        (ladder.len > 0).then_some(ladder)
    }

    /// In the order they are tried.
    pub(crate) fn rungs(&self) -> &[Rung] {
        &self.rungs[..usize::from(self.len)]
    }

    /// The rung that counts where `usable` is what stands on each; `None`: nothing is usable on
    /// any.
    ///
    /// As proxies do: endpoints that still serve while they terminate are used where none is ready.
    pub(crate) fn climb(&self, usable: Usable) -> Option<Rung> {
        let attempts = [Condition::Ready, Condition::Terminating].into_iter();
        let mut steps =
            attempts.flat_map(|condition| self.rungs().iter().map(move |&rung| (rung, condition)));
        steps.find(|&(rung, condition)| usable.has(rung, condition)).map(|(rung, _)| rung)
    }

    /// The last rung, which counts where nothing is usable on any.
    pub(crate) fn last(&self) -> Rung {
        self.rungs()[self.rungs().len() - 1]
    }
}

/// Whether an endpoint can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Ready, or nothing said.
    Ready,
    /// Not ready, terminating, still serving.
    Terminating,
    Unusable,
}

impl Condition {
    /// From the conditions as the API has them: nil ready and nil serving mean true, nil
    /// terminating means false (wire 5).
    pub(crate) fn of(
        ready: Option<bool>,
        serving: Option<bool>,
        terminating: Option<bool>,
    ) -> Condition {
        match (ready.unwrap_or(true), serving.unwrap_or(true), terminating.unwrap_or(false)) {
            (true, ..) => Condition::Ready,
            (false, true, true) => Condition::Terminating,
            _ => Condition::Unusable,
        }
    }
}

/// On which rungs something usable stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usable(u8);

impl Usable {
    /// Returns the steps that an endpoint on `node` makes usable for `own`, whose pool has
    /// `members`.
    pub(crate) fn of(
        condition: Condition,
        node: Option<&[u8]>,
        own: &[u8],
        members: Option<&Members>,
    ) -> Usable {
        let shift = match condition {
            Condition::Ready => 0,
            Condition::Terminating => 3,
            Condition::Unusable => return Usable(0),
        };
        let on_own = node == Some(own);
        let in_pool = on_own
            || node.is_some_and(|node| members.is_some_and(|members| members.contains(node)));
        Usable((u8::from(on_own) | u8::from(in_pool) << 1 | 1 << 2) << shift)
    }

    /// Returns these steps with every endpoint counted as one in the own pool.
    pub(crate) fn with_everything_in_pool(self) -> Usable {
        let any = self.0 >> (Rung::Any as u8) & 0b1001;
        Usable(self.0 | any << (Rung::Pool as u8))
    }

    /// Which of the six things that can be usable are, each as its place in [`Tally`].
    fn places(self) -> impl Iterator<Item = usize> {
        (0..6).filter(move |place| self.0 >> place & 1 != 0)
    }

    fn has(self, rung: Rung, condition: Condition) -> bool {
        self.0 >> (rung as u8) & (if condition == Condition::Ready { 0b1 } else { 0b1000 }) != 0
    }
}

impl BitOr for Usable {
    type Output = Usable;

    fn bitor(self, other: Usable) -> Usable {
        Usable(self.0 | other.0)
    }
}

/// The usable steps of several objects together, kept while objects come, change and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally([u32; 6]);

impl Tally {
    /// One more object, which has this usable.
    pub(crate) fn add(&mut self, usable: Usable) {
        usable.places().for_each(|place| self.0[place] += 1);
    }

    /// An object that was added is no longer one of them.
    pub(crate) fn remove(&mut self, usable: Usable) {
        usable.places().for_each(|place| self.0[place] -= 1);
    }

    /// Returns the steps that are usable.
    pub(crate) fn usable(&self) -> Usable {
        let places = self.0.iter().enumerate().filter(|(_, count)| **count > 0);
        places.fold(Usable::default(), |usable, (place, _)| Usable(usable.0 | 1 << place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Rung::{Any, Node, Pool};

    fn ladder(rungs: &[Rung]) -> Ladder {
        Ladder::of(rungs.iter().copied()).unwrap()
    }

    fn at(node: Option<&str>, condition: Condition) -> Usable {
        let mut members = Members::default();
        members.add(b"friend");
        Usable::of(condition, node.map(str::as_bytes), b"me", Some(&members))
    }

    fn climb(rungs: &[Rung], usable: Usable) -> Rung {
        ladder(rungs).climb(usable).unwrap_or(ladder(rungs).last())
    }

    #[test]
    fn the_first_rung_with_something_ready_counts() {
        let ready = |node| at(Some(node), Condition::Ready);
        assert_eq!(climb(&[Node, Pool, Any], ready("me") | ready("friend") | ready("other")), Node);
        assert_eq!(climb(&[Node, Pool, Any], ready("friend") | ready("other")), Pool);
        assert_eq!(climb(&[Node, Pool, Any], ready("other")), Any);
        assert_eq!(climb(&[Node, Pool, Any], at(None, Condition::Ready)), Any);
        assert_eq!(
            climb(&[Pool, Node], ready("me")),
            Pool,
            "the own node is in its pool, whatever the pool says"
        );
    }

    #[test]
    fn terminating_endpoints_count_where_none_is_ready() {
        let terminating = at(Some("me"), Condition::Terminating);
        assert_eq!(
            climb(&[Node, Pool, Any], terminating | at(Some("other"), Condition::Ready)),
            Any
        );
        assert_eq!(
            climb(&[Node, Pool, Any], terminating | at(Some("other"), Condition::Unusable)),
            Node
        );
        assert_eq!(climb(&[Node, Pool], at(Some("friend"), Condition::Terminating)), Pool);
    }

    #[test]
    fn with_nothing_usable_the_last_rung_counts() {
        assert_eq!(climb(&[Node, Pool], Usable::default()), Pool);
        assert_eq!(climb(&[Node, Pool, Any], at(Some("me"), Condition::Unusable)), Any);
        assert_eq!(climb(&[Pool, Node], at(Some("other"), Condition::Ready)), Node);
    }

    #[test]
    fn everything_may_count_as_in_the_pool() {
        let terminating = at(Some("other"), Condition::Terminating).with_everything_in_pool();
        assert_eq!(climb(&[Node, Pool, Any], terminating), Pool);
        assert_eq!(
            climb(&[Node, Pool, Any], terminating | at(Some("other"), Condition::Ready)),
            Any
        );
        assert_eq!(Usable::default().with_everything_in_pool(), Usable::default());
        assert_eq!(ladder(&[Node, Pool]).climb(at(Some("me"), Condition::Unusable)), None);
    }

    #[test]
    fn a_tally_is_what_its_objects_have_together() {
        let objects = [
            at(Some("me"), Condition::Ready),
            at(Some("friend"), Condition::Terminating),
            at(None, Condition::Ready),
        ];
        let mut tally = Tally::default();
        objects.iter().for_each(|&usable| tally.add(usable));
        assert_eq!(tally.usable(), objects[0] | objects[1] | objects[2]);
        tally.remove(objects[0]);
        assert_eq!(tally.usable(), objects[1] | objects[2]);
        tally.remove(objects[1]);
        tally.remove(objects[2]);
        assert_eq!(tally, Tally::default());
    }

    #[test]
    fn rungs_are_tried_once_and_nothing_follows_any() {
        assert_eq!(ladder(&[Node, Node, Pool]).rungs(), [Node, Pool]);
        assert_eq!(ladder(&[Any, Node]).rungs(), [Any]);
        assert_eq!(Ladder::of([].into_iter()), None);
    }

    #[test]
    fn conditions_not_given_are_the_defaults_of_the_api() {
        assert_eq!(Condition::of(None, None, None), Condition::Ready);
        assert_eq!(Condition::of(Some(true), Some(false), Some(true)), Condition::Ready);
        assert_eq!(Condition::of(Some(false), None, Some(true)), Condition::Terminating);
        assert_eq!(Condition::of(Some(false), Some(true), None), Condition::Unusable);
        assert_eq!(Condition::of(Some(false), Some(false), Some(true)), Condition::Unusable);
    }
}

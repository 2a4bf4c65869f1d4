//! Ordered topology keys: the first step with a usable endpoint counts.
//!
//! A step is chosen for a Service and one address family, over all its slices: a slice that showed
//! another step than its siblings would mix near and far endpoints in one backend set.

use std::ops::BitOr;

use super::Members;

/// One topology key of an ordered list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The node itself.
    Node,
    /// The own pool, and the node itself whether or not its pool names it.
    Pool,
    /// Everything: `*`.
    Any,
}

/// Steps in the order they are tried, each once. `*` can only be the last: behind it nothing is
/// ever reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fallback {
    steps: [Step; 3],
    len: u8,
}

impl Fallback {
    /// The steps in their order, without repetitions and what follows `*`; `None` if there is none.
    pub(crate) fn of(steps: impl Iterator<Item = Step>) -> Option<Fallback> {
        let mut fallback = Fallback { steps: [Step::Any; 3], len: 0 };
        for step in steps {
            if !fallback.steps().contains(&step) && fallback.steps().last() != Some(&Step::Any) {
                fallback.steps[usize::from(fallback.len)] = step;
                fallback.len += 1;
            }
        }
        (fallback.len > 0).then_some(fallback)
    }

    /// In the order they are tried.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps[..usize::from(self.len)]
    }

    /// The step that counts where `usable` is what stands on each; `None`: nothing is usable on
    /// any.
    ///
    /// As proxies do: endpoints that still serve while they terminate are used where none is ready.
    pub(crate) fn climb(&self, usable: UsableSteps) -> Option<Step> {
        let attempts = [Condition::Ready, Condition::Terminating].into_iter();
        let mut steps =
            attempts.flat_map(|condition| self.steps().iter().map(move |&step| (step, condition)));
        steps.find(|&(step, condition)| usable.has(step, condition)).map(|(step, _)| step)
    }

    /// The last step, which counts where nothing is usable on any.
    pub(crate) fn last(&self) -> Step {
        self.steps()[self.steps().len() - 1]
    }
}

/// Whether an endpoint can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Ready, or without a ready condition.
    Ready,
    /// Not ready, terminating, still serving.
    Terminating,
    Unusable,
}

impl Condition {
    /// From the conditions as the API has them: nil ready and nil serving mean true, nil
    /// terminating means false (B5).
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

/// The steps with a usable endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct UsableSteps(u8);

impl UsableSteps {
    /// Returns the steps that an endpoint on `node` makes usable for `own`, whose pool has
    /// `members`.
    pub(crate) fn of(
        condition: Condition,
        node: Option<&[u8]>,
        own: &[u8],
        members: Option<&Members>,
    ) -> UsableSteps {
        let shift = match condition {
            Condition::Ready => 0,
            Condition::Terminating => 3,
            Condition::Unusable => return UsableSteps(0),
        };
        let on_own = node == Some(own);
        let in_pool = on_own
            || node.is_some_and(|node| members.is_some_and(|members| members.contains(node)));
        UsableSteps((u8::from(on_own) | u8::from(in_pool) << 1 | 1 << 2) << shift)
    }

    /// Returns these steps with every endpoint counted as one in the own pool.
    pub(crate) fn with_everything_in_pool(self) -> UsableSteps {
        let any = self.0 >> (Step::Any as u8) & 0b1001;
        UsableSteps(self.0 | any << (Step::Pool as u8))
    }

    /// Which of the six things that can be usable are, each as its place in [`StepCounts`].
    fn places(self) -> impl Iterator<Item = usize> {
        (0..6).filter(move |place| self.0 >> place & 1 != 0)
    }

    fn has(self, step: Step, condition: Condition) -> bool {
        self.0 >> (step as u8) & (if condition == Condition::Ready { 0b1 } else { 0b1000 }) != 0
    }
}

impl BitOr for UsableSteps {
    type Output = UsableSteps;

    fn bitor(self, other: UsableSteps) -> UsableSteps {
        UsableSteps(self.0 | other.0)
    }
}

/// The usable steps of several objects together, kept while objects come, change and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StepCounts([u32; 6]);

impl StepCounts {
    /// One more object, which has this usable.
    pub(crate) fn add(&mut self, usable: UsableSteps) {
        usable.places().for_each(|place| self.0[place] += 1);
    }

    /// An object that was added is no longer one of them.
    pub(crate) fn remove(&mut self, usable: UsableSteps) {
        usable.places().for_each(|place| self.0[place] -= 1);
    }

    /// Returns the steps that are usable.
    pub(crate) fn usable(&self) -> UsableSteps {
        let places = self.0.iter().enumerate().filter(|(_, count)| **count > 0);
        places.fold(UsableSteps::default(), |usable, (place, _)| UsableSteps(usable.0 | 1 << place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Step::{Any, Node, Pool};

    fn fallback(steps: &[Step]) -> Fallback {
        Fallback::of(steps.iter().copied()).unwrap()
    }

    fn at(node: Option<&str>, condition: Condition) -> UsableSteps {
        let mut members = Members::default();
        members.add(b"friend");
        UsableSteps::of(condition, node.map(str::as_bytes), b"me", Some(&members))
    }

    fn climb(steps: &[Step], usable: UsableSteps) -> Step {
        fallback(steps).climb(usable).unwrap_or(fallback(steps).last())
    }

    #[test]
    fn the_first_step_with_something_ready_counts() {
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
        assert_eq!(climb(&[Node, Pool], UsableSteps::default()), Pool);
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
        assert_eq!(UsableSteps::default().with_everything_in_pool(), UsableSteps::default());
        assert_eq!(fallback(&[Node, Pool]).climb(at(Some("me"), Condition::Unusable)), None);
    }

    #[test]
    fn a_tally_is_what_its_objects_have_together() {
        let objects = [
            at(Some("me"), Condition::Ready),
            at(Some("friend"), Condition::Terminating),
            at(None, Condition::Ready),
        ];
        let mut counters = StepCounts::default();
        objects.iter().for_each(|&usable| counters.add(usable));
        assert_eq!(counters.usable(), objects[0] | objects[1] | objects[2]);
        counters.remove(objects[0]);
        assert_eq!(counters.usable(), objects[1] | objects[2]);
        counters.remove(objects[1]);
        counters.remove(objects[2]);
        assert_eq!(counters, StepCounts::default());
    }

    #[test]
    fn rungs_are_tried_once_and_nothing_follows_any() {
        assert_eq!(fallback(&[Node, Node, Pool]).steps(), [Node, Pool]);
        assert_eq!(fallback(&[Any, Node]).steps(), [Any]);
        assert_eq!(Fallback::of([].into_iter()), None);
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

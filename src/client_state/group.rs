//! Siblings of a Service with a topology fallback, and the steps that they can use together.

use crate::topology::fallback::StepCounts;
use crate::topology::verdict::ViewKind;

/// The families that topology fallbacks are decided for.
pub(crate) const FAMILIES: [u8; 3] = [0, 4, 6];

/// The objects of one Service in one family.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    /// Usable steps of the counted objects, by the members of the own pool at `revision`.
    pub(super) counters: StepCounts,
    /// `None` inside: without a pool. `None`: nothing was counted yet.
    pub(super) revision: Option<Option<u64>>,
    /// Objects that are not counted yet, and such as are no longer of the group.
    pub(super) later: Vec<u32>,
    /// Every object of the group is seen so by the client, or pending.
    pub(super) view_kind: Option<ViewKind>,
}

/// How many objects of a group may wait to be counted before all of them are counted anew.
pub(super) const MAX_LATER: usize = 1024;

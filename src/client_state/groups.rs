//! The siblings of a Service with a topology fallback: what they have usable together, and how they
//! are seen.

use super::ClientState;
use super::entry::{Counted, READY, TERMINATING};
use super::group::{FAMILIES, Group, MAX_LATER};
use crate::topology::Members;
use crate::topology::fallback::{Condition, UsableSteps};
use crate::topology::verdict::ViewKind;

impl ClientState {
    /// Returns the usable steps of an object for a node `own` whose pool has `members`.
    fn usable(&self, id: u32, own: &[u8], members: Option<&Members>) -> UsableSteps {
        let entry = self.entry(id);
        let places = entry
            .places
            .iter()
            .map(|place| (Some(self.nodes.name(place.node())), place.conditions()));
        let all = std::iter::once((None, entry.conditions)).chain(places);
        all.fold(UsableSteps::default(), |usable, (node, conditions)| {
            let of = |bit: u8, condition| {
                if conditions & bit == 0 {
                    UsableSteps::default()
                } else {
                    UsableSteps::of(condition, node, own, members)
                }
            };
            usable | of(READY, Condition::Ready) | of(TERMINATING, Condition::Terminating)
        })
    }

    /// Returns the steps with a usable endpoint among the objects of a Service in one family,
    /// without the object `but`. `own` is always the same node.
    ///
    /// Each object is counted once, and anew when it or the pool changes, so that asking for every
    /// object of a Service takes time in the number of objects.
    pub(crate) fn usable_steps_of(
        &mut self,
        service: &[u8],
        family: u8,
        but: Option<u32>,
        own: &[u8],
        members: Option<&Members>,
    ) -> UsableSteps {
        let Some(service) = self.services.id(service) else { return UsableSteps::default() };
        let mut group = self.groups.remove(&(service, family)).unwrap_or_default();
        let revision = Some(members.map(Members::revision));
        if group.revision != revision {
            group = Group {
                revision,
                later: self.services.objects(service).to_vec(),
                view_kind: group.view_kind,
                ..Group::default()
            };
            for &id in &group.later {
                if self.entries[id].family == family {
                    self.entries[id].counted = Counted::Later;
                }
            }
        }
        for id in std::mem::take(&mut group.later) {
            let entry = self.entry(id);
            if (entry.service, entry.family, entry.counted)
                == (Some(service), family, Counted::Later)
            {
                let usable = self.usable(id, own, members);
                group.counters.add(usable);
                self.entry_mut(id).counted = Counted::As(usable);
            }
        }
        let mut counters = group.counters;
        if let Some(entry) = but.map(|id| self.entry(id))
            && (entry.service, entry.family) == (Some(service), family)
            && let Counted::As(usable) = entry.counted
        {
            counters.remove(usable);
        }
        self.groups.insert((service, family), group);
        counters.usable()
    }

    /// Takes an object out of its group.
    pub(super) fn uncount(&mut self, id: u32) {
        let entry = &mut self.entries[id];
        if let (Some(service), Counted::As(usable)) = (entry.service, entry.counted)
            && let Some(group) = self.groups.get_mut(&(service, entry.family))
        {
            group.counters.remove(usable);
        }
        entry.counted = Counted::No;
    }

    /// Puts an object into its group, to be counted when somebody asks.
    pub(super) fn count_later(&mut self, id: u32) {
        let entry = &mut self.entries[id];
        let Some(group) =
            entry.service.and_then(|service| self.groups.get_mut(&(service, entry.family)))
        else {
            return;
        };
        // The first question for a group counts all of its objects.
        if group.revision.is_none() {
            return;
        }
        entry.counted = Counted::Later;
        group.later.push(id);
        if group.later.len() == MAX_LATER {
            (group.revision, group.later) = (None, Vec::new());
        }
    }

    /// How every object of a Service in one family is seen, or pending; `None` if that is not
    /// known.
    pub(crate) fn view_kind_of(&self, service: &[u8], family: u8) -> Option<ViewKind> {
        self.groups.get(&(self.services.id(service)?, family))?.view_kind
    }

    /// An object was judged, and is seen so. If its siblings are seen otherwise, facts have changed
    /// in between: how the group is seen is not known until every one of them was looked at.
    pub(crate) fn set_view_kind(&mut self, id: u32, view_kind: ViewKind) {
        let entry = &mut self.entries[id];
        entry.view_kind = view_kind;
        if let Some(group) =
            entry.service.and_then(|service| self.groups.get_mut(&(service, entry.family)))
        {
            group.view_kind = group.view_kind.filter(|known| *known == view_kind);
        }
    }

    /// From now on every object of a Service in one family is seen so, or pending; `None`: that is
    /// not kept.
    pub(crate) fn set_view_kind_of(
        &mut self,
        service: &[u8],
        family: u8,
        view_kind: Option<ViewKind>,
    ) {
        let group =
            self.services.id(service).and_then(|service| self.groups.get_mut(&(service, family)));
        if let Some(group) = group {
            group.view_kind = view_kind;
        }
    }

    /// An object no longer belongs to the Service of that number.
    pub(super) fn unlink_service(&mut self, service: u32, id: u32) {
        if self.services.unlink(service, id) {
            FAMILIES.iter().for_each(|&family| drop(self.groups.remove(&(service, family))));
        }
    }

    /// Nothing is known any more of how the objects of groups are seen.
    pub(super) fn forget_view_kinds(&mut self) {
        self.groups.values_mut().for_each(|group| group.view_kind = None);
    }
}

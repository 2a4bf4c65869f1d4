//! The output in place of an item.

use bytes::Bytes;

use super::event::EventType;
use super::item::Event;
use crate::client_state::CopyState;

/// The output in place of an object, whatever it stands in. List items have no other output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// The object unchanged.
    Keep,
    /// The edited object.
    Edit,
    /// Nothing, or nothing yet.
    Drop,
}

/// The observation of an object that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Observation {
    pub(super) content: Content,
    /// The client's copy before; `None`: the event keeps its type whatever the copy is.
    pub(super) copy: Option<CopyState>,
    /// The initial events of the watch are over.
    pub(super) live: bool,
}

impl Observation {
    /// An object whose event keeps its type.
    pub(super) fn of(content: Content) -> Observation {
        Observation { content, copy: None, live: true }
    }
}

/// The output in place of a watch event or a single object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Disposition {
    /// The event or body with this object in it; nothing for [`Content::Drop`].
    Object(Content),
    /// An event of another type, with the edited object.
    Emit(EventType),
    /// Another body.
    Substitute(Bytes),
}

impl Disposition {
    /// Returns the disposition of an object that arrives as `event`. Together with a client's copy,
    /// [`Content::Drop`] means that the object is filtered out.
    pub(super) fn of(event: Event, observation: Observation) -> Disposition {
        let Observation { content, copy, live } = observation;
        let Some(copy) = copy else { return Disposition::Object(content) };
        match (event, content) {
            (Event::Deleted, _) if copy == CopyState::Absent => Disposition::Object(Content::Drop),
            // As it was, for a client that has it; what would filter it out now did not then.
            (Event::Deleted, Content::Drop) => Disposition::Object(Content::Keep),
            // An object that the client certainly has goes at once, also among initial events, as
            // upstream's DELETED would.
            (Event::None, Content::Drop) => Disposition::Object(Content::Drop),
            (_, Content::Drop)
                if copy == CopyState::Present || live && copy == CopyState::Unknown =>
            {
                Disposition::Emit(EventType::Deleted)
            }
            // It becomes visible.
            (Event::Modified, Content::Keep | Content::Edit) if copy == CopyState::Absent => {
                Disposition::Emit(EventType::Added)
            }
            (_, content) => Disposition::Object(content),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Content::{Drop, Edit, Keep};
    use super::*;
    use CopyState::{Absent, Present, Unknown};

    #[test]
    fn every_event_has_a_disposition_for_every_copy() {
        let object = Disposition::Object;
        let (added, deleted) =
            (Disposition::Emit(EventType::Added), Disposition::Emit(EventType::Deleted));
        // Event, content, live; then the disposition for an absent, unknown and present copy.
        let table = [
            (Event::None, Keep, true, [object(Keep), object(Keep), object(Keep)]),
            (Event::None, Edit, true, [object(Edit), object(Edit), object(Edit)]),
            (Event::None, Drop, true, [object(Drop), object(Drop), object(Drop)]),
            (Event::Added, Keep, true, [object(Keep), object(Keep), object(Keep)]),
            (Event::Added, Edit, true, [object(Edit), object(Edit), object(Edit)]),
            (Event::Added, Drop, true, [object(Drop), deleted.clone(), deleted.clone()]),
            (Event::Added, Drop, false, [object(Drop), object(Drop), deleted.clone()]),
            (Event::Modified, Keep, true, [added.clone(), object(Keep), object(Keep)]),
            (Event::Modified, Edit, true, [added.clone(), object(Edit), object(Edit)]),
            (Event::Modified, Edit, false, [added, object(Edit), object(Edit)]),
            (Event::Modified, Drop, true, [object(Drop), deleted.clone(), deleted.clone()]),
            (Event::Modified, Drop, false, [object(Drop), object(Drop), deleted]),
            (Event::Deleted, Keep, true, [object(Drop), object(Keep), object(Keep)]),
            (Event::Deleted, Edit, true, [object(Drop), object(Edit), object(Edit)]),
            (Event::Deleted, Drop, true, [object(Drop), object(Keep), object(Keep)]),
        ];
        for (event, content, live, expected) in table {
            let all = [Absent, Unknown, Present].map(|copy| {
                Disposition::of(event, Observation { content, copy: Some(copy), live })
            });
            assert_eq!(all, expected, "{event:?} {content:?} live: {live}");
            let plain = Disposition::of(event, Observation::of(content));
            assert_eq!(plain, object(content), "{event:?} {content:?}");
        }
    }
}

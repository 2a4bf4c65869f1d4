//! How far a response has come, for filtered streams and fact readers alike.
//!
//! ```text
//!   Object                           Announced ---- bookmark with initial-events-end ----+
//!   ListPage                                                                             v
//!                                    Legacy ------- first event that is not ADDED ----> Live
//!   any -- end of list, ERROR --> Ended
//! ```

use super::item::{Bookmark, Event};
use super::request::{Initial, Verb};
use crate::object::version::Version;

/// How far a response has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifecycle {
    /// A single object.
    Object,
    /// A list or a page of one.
    ListPage,
    /// The initial events of a watch; a bookmark ends them.
    Announced,
    /// The initial events of a watch; the first event that is not ADDED ends them (B4.6).
    Legacy,
    /// Live events.
    Live,
    /// Nothing that follows counts: the list was read, or ERROR was emitted or forwarded.
    Ended,
}

/// The end of the initial events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InitialEvents {
    /// They were over before, or are not over.
    Same,
    /// They end before this event, which is a live one.
    EndBefore,
    /// They end with this bookmark, at its version.
    EndAt(Version),
}

impl Lifecycle {
    pub(super) fn of(verb: Verb) -> Lifecycle {
        match verb {
            Verb::Get => Lifecycle::Object,
            Verb::List => Lifecycle::ListPage,
            Verb::Watch { initial: Initial::Announced } => Lifecycle::Announced,
            Verb::Watch { initial: Initial::Legacy } => Lifecycle::Legacy,
            Verb::Watch { initial: Initial::Live } => Lifecycle::Live,
        }
    }

    /// Passes an event, with its content if it is a bookmark that can be read. Returns whether it
    /// ends the initial events.
    pub(super) fn pass(&mut self, event: Event, bookmark: Option<Bookmark>) -> InitialEvents {
        let end = match (*self, event, bookmark) {
            (_, Event::Error, _) => {
                *self = Lifecycle::Ended;
                return InitialEvents::Same;
            }
            (Lifecycle::Announced, _, Some(Bookmark { version, ends_initial_events: true })) => {
                InitialEvents::EndAt(version)
            }
            (Lifecycle::Legacy, _, Some(bookmark)) => InitialEvents::EndAt(bookmark.version),
            (Lifecycle::Legacy, Event::Modified | Event::Deleted, _) => InitialEvents::EndBefore,
            _ => return InitialEvents::Same,
        };
        *self = Lifecycle::Live;
        end
    }
}

#[cfg(test)]
mod tests {
    use super::super::item::Item;
    use super::*;
    use crate::wire::encoding::Encoding;

    const PLAIN: &[u8] = br#"{"metadata":{"resourceVersion":"7"}}"#;
    const END: &[u8] = br#"{"metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}"#;

    fn item(event: Event, object: &[u8]) -> Item<'_> {
        Item { event, ..Item::stored(object, Encoding::Json) }
    }

    #[test]
    fn initial_events_end_once_and_error_ends_all() {
        use Lifecycle::{Announced, Ended, Legacy, ListPage, Live, Object};
        let at = InitialEvents::EndAt(Version(Some(7)));
        let (same, before) = (InitialEvents::Same, InitialEvents::EndBefore);
        let table = [
            (Announced, Event::Added, PLAIN, same, Announced),
            (Announced, Event::Modified, PLAIN, same, Announced),
            (Announced, Event::Bookmark, PLAIN, same, Announced),
            (Announced, Event::Bookmark, END, at, Live),
            (Legacy, Event::Added, PLAIN, same, Legacy),
            (Legacy, Event::Modified, PLAIN, before, Live),
            (Legacy, Event::Deleted, PLAIN, before, Live),
            (Legacy, Event::Unknown, PLAIN, same, Legacy),
            (Legacy, Event::Bookmark, PLAIN, at, Live),
            (Legacy, Event::Bookmark, b"{", same, Legacy),
            (Live, Event::Bookmark, END, same, Live),
            (Live, Event::Modified, PLAIN, same, Live),
            (ListPage, Event::None, PLAIN, same, ListPage),
            (Object, Event::None, PLAIN, same, Object),
            (Ended, Event::Modified, PLAIN, same, Ended),
        ];
        for (before, event, object, expected, after) in table {
            let mut lifecycle = before;
            let end = lifecycle.pass(event, item(event, object).bookmark());
            assert_eq!((end, lifecycle), (expected, after), "{before:?} {event:?}");
            assert_eq!(lifecycle.pass(Event::Error, item(Event::Error, PLAIN).bookmark()), same);
            assert_eq!(lifecycle, Ended);
        }
    }
}

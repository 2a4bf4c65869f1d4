//! One item of a body: a list item, a watch event or a single object; and the end of a list.

use crate::error::Fault;
use crate::object::envelope::{Enveloped, TypeMeta};
use crate::object::metadata::Metadata;
use crate::object::outline::event_parts;
use crate::object::version::Version;
use crate::wire::Span;
use crate::wire::encoding::Encoding;
use crate::wire::json::Mark;
use crate::wire::splice::Enclosure;
use crate::wire::text::string;

/// The type of a watch event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Not in a watch.
    None,
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
    /// A type that no client knows: clients end the stream there.
    Unknown,
}

impl Event {
    fn of(text: &[u8]) -> Event {
        match text {
            b"" => Event::None,
            b"ADDED" => Event::Added,
            b"MODIFIED" => Event::Modified,
            b"DELETED" => Event::Deleted,
            b"BOOKMARK" => Event::Bookmark,
            b"ERROR" => Event::Error,
            _ => Event::Unknown,
        }
    }
}

/// One unit, where its parts are in `buf`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) buf: &'a [u8],
    pub(super) object: Span,
    pub(super) event: Event,
    pub(super) encoding: Encoding,
    /// JSON: what the shape found.
    pub(super) marks: &'a [Mark],
    /// Protobuf: kind and apiVersion from the envelope; empty where it says nothing.
    pub(super) kind: &'a [u8],
    pub(super) api_version: &'a [u8],
    /// Protobuf: the lengths that an edit of the object changes, outermost first.
    pub(super) around: &'a [Enclosure],
}

impl<'a> Item<'a> {
    /// A JSON list item or single object that fills `buf`.
    pub(super) fn json_object(buf: &'a [u8], marks: &'a [Mark]) -> Item<'a> {
        let object = Span::new(0, buf.len());
        Item {
            buf,
            object,
            event: Event::None,
            encoding: Encoding::Json,
            marks,
            kind: b"",
            api_version: b"",
            around: &[],
        }
    }

    /// A JSON watch event that fills `buf`.
    pub(super) fn json_event(buf: &'a [u8], marks: &'a [Mark]) -> Result<Item<'a>, Fault> {
        let (event, object) = event_parts(buf, marks)?;
        let event = string(event.of(buf)).map_or(Event::Unknown, |text| Event::of(&text));
        Ok(Item { object, event, ..Item::json_object(buf, marks) })
    }

    /// A protobuf object in its envelope: a watch frame or a single object that fills `buf`.
    pub(super) fn enveloped(buf: &'a [u8], enveloped: &'a Enveloped) -> Item<'a> {
        let TypeMeta { api_version, kind } = enveloped.type_meta;
        Item {
            buf,
            object: enveloped.object,
            event: Event::of(enveloped.event.of(buf)),
            encoding: Encoding::Protobuf,
            marks: &[],
            kind: kind.of(buf),
            api_version: api_version.of(buf),
            around: enveloped.around(),
        }
    }

    /// A protobuf list item at `object` in `buf`; its kind is from the list.
    pub(super) fn list_item(
        buf: &'a [u8],
        object: Span,
        kind: &'a [u8],
        api_version: &'a [u8],
    ) -> Item<'a> {
        Item {
            buf,
            object,
            event: Event::None,
            encoding: Encoding::Protobuf,
            marks: &[],
            kind,
            api_version,
            around: &[],
        }
    }

    /// One object that fills `buf`, of a known kind.
    pub(super) fn stored(buf: &'a [u8], encoding: Encoding) -> Item<'a> {
        Item { encoding, ..Item::json_object(buf, &[]) }
    }

    /// Reads a bookmark; `None` for another event, and if it cannot be read.
    pub(super) fn bookmark(&self) -> Option<Bookmark> {
        if self.event != Event::Bookmark {
            return None;
        }
        let metadata = Metadata::read(self.object_bytes(), self.encoding)?;
        let ends_initial_events =
            metadata.annotations.get(INITIAL_EVENTS_END).is_some_and(|value| value == "true");
        Some(Bookmark { version: Version::parse(&metadata.resource_version), ends_initial_events })
    }

    /// The object's own bytes.
    pub(super) fn object_bytes(&self) -> &'a [u8] {
        self.object.of(self.buf)
    }
}

/// The annotation of the bookmark that ends the initial events of a watch.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// The content of a bookmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bookmark {
    pub(super) version: Version,
    /// It ends the initial events of a watch.
    pub(super) ends_initial_events: bool,
}

/// The list's own kind and metadata.
pub(super) struct ListEnd<'a> {
    /// Its kind, if it has one.
    pub(super) kind: Option<&'a [u8]>,
    pub(super) resource_version: &'a str,
    /// Asks for the next page.
    pub(super) continues: &'a str,
    /// There were items, if only none.
    pub(super) has_items: bool,
}

//! A JSON list, item by item: at most one item is held back.
//!
//! Built-in lists have their kind first. Lists of custom resources have their keys sorted, so that
//! the items precede the kind and metadata of the list (B3). The kind of an item is therefore
//! taken from the request.

use super::framer::{Context, Cursor, Framer, PIECE};
use super::item::{Item, ListEnd};
use super::processor::Processor;
use crate::config::Limits;
use crate::error::{Error, Fault, Result};
use crate::wire::Span;
use crate::wire::json::{Mark, Scanner, Shape};
use crate::wire::splice::Output;
use crate::wire::text::string;

/// The token that may come next, outside of any value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExpectedPart {
    Start,
    FirstKey,
    Key,
    Colon,
    Value,
    Next,
    FirstItem,
    Item,
    NextItem,
    End,
}

/// The members of the list itself that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Kind,
    Metadata,
    Items,
    Other,
}

const RESOURCE_VERSION: u8 = 1;
const CONTINUE: u8 = 2;
const LIST_METADATA: Shape = Shape::object(
    0,
    &[("resourceVersion", Shape::leaf(RESOURCE_VERSION)), ("continue", Shape::leaf(CONTINUE))],
);

/// The walk over a JSON list.
pub(super) struct JsonList {
    item: Shape,
    expect: ExpectedPart,
    member: Member,
    scanner: Scanner,
    /// A key, value or item has begun.
    inside: bool,
    kind: Option<Vec<u8>>,
    has_items: bool,
    resource_version: String,
    continues: String,
    /// Items may be left out, or held back to the end of the list.
    defers: Option<Deferring>,
}

/// The bytes between items are held until the next item is known to be written.
#[derive(Default)]
struct Deferring {
    separator: Vec<u8>,
    /// An item was written, so that the next one needs its comma.
    written: bool,
}

impl Deferring {
    /// Returns the bytes to write before an item.
    fn take_lead(&mut self) -> Vec<u8> {
        let mut redirect = std::mem::take(&mut self.separator);
        if !self.written {
            redirect.retain(|&byte| byte != b',');
        }
        redirect
    }
}

impl JsonList {
    pub(super) fn new(processor: &Processor, limits: Limits) -> JsonList {
        JsonList {
            item: processor.item_shape(),
            expect: ExpectedPart::Start,
            member: Member::Other,
            scanner: Scanner::new(Shape::SKIP, limits.depth, limits.endpoints),
            inside: false,
            kind: None,
            has_items: false,
            resource_version: String::new(),
            continues: String::new(),
            defers: (processor.holds_back() || processor.may_leave_out()).then(Deferring::default),
        }
    }

    /// Holds back what stands before an item or the end of the items, as long as it is no longer
    /// than an item may be.
    fn defer(&mut self, data: &[u8], cursor: &mut Cursor, context: &Context<'_>) -> Result<()> {
        if let Some(defers) = &mut self.defers
            && matches!(
                self.expect,
                ExpectedPart::FirstItem | ExpectedPart::Item | ExpectedPart::NextItem
            )
        {
            defers.separator.extend_from_slice(&data[cursor.written..cursor.pos]);
            cursor.written = cursor.pos;
            context.check_size(cursor.pos, defers.separator.len() as u64)?;
        }
        Ok(())
    }

    /// The items are over: gives those that were held back.
    fn release(
        &mut self,
        processor: &mut Processor,
        out: &mut Output<'_>,
    ) -> std::result::Result<(), Fault> {
        let Some(defers) = &mut self.defers else { return Ok(()) };
        let blanks = std::mem::take(&mut defers.separator);
        processor.release(|object, edit| {
            if std::mem::replace(&mut defers.written, true) {
                out.put(b",");
            }
            edit.write(object, Span::new(0, object.len()), out);
        })?;
        out.put(&blanks);
        Ok(())
    }

    /// One byte of punctuation: what may come after it, or what is wrong with it. `None`: a value
    /// begins here.
    fn punctuation(&self, byte: u8) -> Option<std::result::Result<ExpectedPart, &'static str>> {
        Some(match (self.expect, byte) {
            (ExpectedPart::Start, b'{') => Ok(ExpectedPart::FirstKey),
            (ExpectedPart::Start, _) => Err("expected a list, which is an object"),
            (ExpectedPart::FirstKey, b'}') | (ExpectedPart::Next, b'}') => Ok(ExpectedPart::End),
            (ExpectedPart::FirstKey | ExpectedPart::Key, b'"') => return None,
            (ExpectedPart::FirstKey | ExpectedPart::Key, _) => {
                Err("expected a key in double quotes")
            }
            (ExpectedPart::Colon, b':') => Ok(ExpectedPart::Value),
            (ExpectedPart::Colon, _) => Err("expected a colon after a key"),
            (ExpectedPart::Value, b'[') if self.member == Member::Items => {
                Ok(ExpectedPart::FirstItem)
            }
            (ExpectedPart::Value, b'n') => return None,
            (ExpectedPart::Value, _) if self.member == Member::Items => {
                Err("expected `items` to be an array")
            }
            (ExpectedPart::Next, b',') => Ok(ExpectedPart::Key),
            (ExpectedPart::Next, _) => Err("expected a comma or the end of the list"),
            (ExpectedPart::FirstItem, b']') | (ExpectedPart::NextItem, b']') => {
                Ok(ExpectedPart::Next)
            }
            (ExpectedPart::FirstItem | ExpectedPart::Item, b'{') => return None,
            (ExpectedPart::FirstItem | ExpectedPart::Item, _) => {
                Err("expected an item, which is an object")
            }
            (ExpectedPart::NextItem, b',') => Ok(ExpectedPart::Item),
            (ExpectedPart::NextItem, _) => Err("expected a comma or the end of the items"),
            (ExpectedPart::End, _) => Err("something follows the list"),
            (ExpectedPart::Value, _) => return None,
        })
    }

    /// Returns the fields to find in the value that begins here.
    fn shape(&self) -> Shape {
        match (self.expect, self.member) {
            (ExpectedPart::FirstItem | ExpectedPart::Item, _) => self.item,
            (ExpectedPart::Value, Member::Metadata) => LIST_METADATA,
            _ => Shape::SKIP,
        }
    }

    fn end(&self) -> ListEnd<'_> {
        let (kind, resource_version, continues) =
            (self.kind.as_deref(), &*self.resource_version, &*self.continues);
        ListEnd { kind, resource_version, continues, has_items: self.has_items }
    }

    /// A key or a value other than an item is whole.
    ///
    /// Go merges the elements of an array that is given twice, slot by slot: no item of such a list
    /// is what it seems.
    fn member_read(&mut self, value: &[u8]) -> std::result::Result<(), &'static str> {
        if matches!(self.expect, ExpectedPart::FirstKey | ExpectedPart::Key) {
            self.member = match &*string(value).unwrap_or_default() {
                b"kind" => Member::Kind,
                b"metadata" => Member::Metadata,
                b"items" => Member::Items,
                _ => Member::Other,
            };
            if self.member == Member::Items && std::mem::replace(&mut self.has_items, true) {
                return Err("`items` is given twice in one list");
            }
            self.expect = ExpectedPart::Colon;
            return Ok(());
        }
        match self.member {
            // A later null leaves a string as it was.
            Member::Kind => {
                self.kind = string(value).map(|kind| kind.into_owned()).or(self.kind.take())
            }
            Member::Metadata => {
                for &Mark { id, span } in self.scanner.marks() {
                    let Some(text) = string(span.of(value)) else { continue };
                    let text = String::from_utf8_lossy(&text).into_owned();
                    match id {
                        RESOURCE_VERSION => self.resource_version = text,
                        _ => self.continues = text,
                    }
                }
            }
            Member::Items | Member::Other => {}
        }
        self.expect = ExpectedPart::Next;
        Ok(())
    }
}

impl Framer for JsonList {
    fn advance(
        &mut self,
        data: &[u8],
        cursor: &mut Cursor,
        context: &mut Context<'_>,
        out: &mut Output<'_>,
    ) -> Result<()> {
        loop {
            if !self.inside {
                let byte = cursor.next_token(data);
                self.defer(data, cursor, context)?;
                let Some(byte) = byte else { return Ok(()) };
                match self.punctuation(byte) {
                    Some(Ok(next)) => {
                        if next == ExpectedPart::End {
                            let ended = context.processor.list_ended(&self.end());
                            ended.map_err(|what| {
                                context.fault(Fault::json(cursor.pos, what), None)
                            })?;
                        }
                        if matches!(self.expect, ExpectedPart::FirstItem | ExpectedPart::NextItem)
                            && next == ExpectedPart::Next
                        {
                            let released = self.release(context.processor, out);
                            released.map_err(|fault| {
                                context.fault(Fault { offset: cursor.pos, ..fault }, None)
                            })?;
                        }
                        cursor.pos += 1;
                        if next == ExpectedPart::FirstItem {
                            // The bracket stands before whatever is held back.
                            cursor.flush(data, out);
                            self.defers.iter_mut().for_each(|defers| defers.written = false);
                        }
                        self.expect = next;
                        continue;
                    }
                    Some(Err(what)) => {
                        return Err(context.fault(Fault::json(cursor.pos, what), None));
                    }
                    None => {
                        self.scanner.reset_to(self.shape());
                        self.inside = true;
                    }
                }
            }
            let Some(end) = context.scan(&mut self.scanner, data, cursor.pos)? else {
                return Ok(());
            };
            let value = &data[cursor.pos..end];
            if matches!(self.expect, ExpectedPart::FirstItem | ExpectedPart::Item) {
                let item = Item::json_object(value, self.scanner.marks());
                let separator = self.defers.as_mut().map(Deferring::take_lead).unwrap_or_default();
                let written = context.take_list_item(&separator, data, end, &item, cursor, out)?;
                if let Some(defers) = &mut self.defers {
                    cursor.flush(data, out);
                    defers.written |= written;
                }
                self.expect = ExpectedPart::NextItem;
            } else {
                self.member_read(value)
                    .map_err(|what| context.fault(Fault::json(cursor.pos, what), None))?;
                cursor.pos = end;
            }
            self.inside = false;
        }
    }

    fn wants(&self, _rest: &[u8]) -> usize {
        PIECE
    }

    fn finish(
        &mut self,
        held: &[u8],
        context: &mut Context<'_>,
        _out: &mut Output<'_>,
    ) -> Result<()> {
        if self.expect == ExpectedPart::End {
            return Ok(());
        }
        let inside =
            if self.inside && matches!(self.expect, ExpectedPart::FirstItem | ExpectedPart::Item) {
                context.form.item()
            } else {
                "a list"
            };
        Err(Error::truncated(context.base + held.len() as u64, inside))
    }
}

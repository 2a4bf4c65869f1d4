//! Parts that the walks over the different bodies share.

use super::disposition::{Content, Disposition};
use super::event::write_object;
use super::item::Item;
use super::processor::Processor;
use crate::config::Limits;
use crate::error::{Error, Fault, Result};
use crate::object::outline::name_in;
use crate::wire::Span;
use crate::wire::json::Scanner;
use crate::wire::splice::{Output, write_enclosed};
use crate::wire::text::peek;

/// The walk over one form of body.
pub(super) trait Framer: Send {
    /// Deals with as much of `data` as is whole. The next call's `data` begins with the rest.
    fn advance(
        &mut self,
        data: &[u8],
        cursor: &mut Cursor,
        context: &mut Context<'_>,
        out: &mut Output<'_>,
    ) -> Result<()>;

    /// How many bytes more are worth another look, where `rest` begins a unit that is not whole.
    fn wants(&self, rest: &[u8]) -> usize;

    /// The body is over; `held` is what the last walk left.
    fn finish(
        &mut self,
        held: &[u8],
        context: &mut Context<'_>,
        out: &mut Output<'_>,
    ) -> Result<()>;
}

/// Where a unit's end is only known when it is seen: little enough that not much is copied behind
/// it, and enough that the unit is not looked at too often.
pub(super) const PIECE: usize = 16 << 10;

/// How far a walk came in the data at hand. After an error too: everything before the unit at fault
/// was dealt with.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Everything before was dealt with.
    pub(super) pos: usize,
    /// Everything before was written; what lies between here and `pos` stays as it is and is yet
    /// to be.
    pub(super) written: usize,
}

impl Cursor {
    /// Writes what is yet to be, up to here.
    pub(super) fn flush(&mut self, data: &[u8], out: &mut Output<'_>) {
        out.put(&data[self.written..self.pos]);
        self.written = self.pos;
    }

    /// Passes the blanks before the next JSON token, and shows the token's first byte.
    pub(super) fn next_token(&mut self, data: &[u8]) -> Option<u8> {
        peek(data, &mut self.pos)
    }
}

/// The context of a walk besides the bytes.
pub(super) struct Context<'a> {
    pub(super) processor: &'a mut Processor,
    pub(super) limits: Limits,
    /// Offset in the body of the first byte of the data at hand.
    pub(super) base: u64,
    pub(super) form: BodyForm,
}

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyForm {
    Watch,
    List,
    Object,
}

impl BodyForm {
    /// A unit, for messages.
    pub(super) const fn item(self) -> &'static str {
        match self {
            BodyForm::Watch => "a watch event",
            BodyForm::List => "a list item",
            BodyForm::Object => "an object",
        }
    }
}

impl Context<'_> {
    /// The error for a fault in the data at hand.
    pub(super) fn fault(&self, fault: Fault, object: Option<Box<str>>) -> Error {
        fault.at(self.base, object)
    }

    /// Returns the limit on the size of an item, and its key in the configuration.
    fn limit(&self) -> (usize, &'static str) {
        match self.form {
            BodyForm::Watch => (self.limits.frame_bytes, "frameBytes"),
            BodyForm::List | BodyForm::Object => (self.limits.item_bytes, "itemBytes"),
        }
    }

    /// Refuses a unit that starts at `start` of the data at hand and has `len` bytes, or at least
    /// that many.
    pub(super) fn check_size(&self, start: usize, len: u64) -> Result<()> {
        let (limit, key) = self.limit();
        if len <= limit as u64 {
            return Ok(());
        }
        Err(Error::too_large(self.form.item(), self.base + start as u64, limit as u64, key))
    }

    /// Refuses to hold back a list that starts at `start` of the data at hand and has `len` bytes.
    pub(super) fn check_held(&self, start: usize, len: u64) -> Result<()> {
        let limit = self.limits.list_bytes as u64;
        if len <= limit {
            return Ok(());
        }
        Err(Error::too_large("a list", self.base + start as u64, limit, "listBytes"))
    }

    /// Processes the event or single object that begins at the cursor and ends at `end` of `data`,
    /// and writes it if it changes. `false`: the framer's own newline must not follow it.
    pub(super) fn take(
        &mut self,
        data: &[u8],
        end: usize,
        item: &Item<'_>,
        cursor: &mut Cursor,
        out: &mut Output<'_>,
    ) -> Result<bool> {
        if self.processor.is_due(Some(item)) {
            cursor.flush(data, out);
            self.processor.emit_due(out);
            if self.processor.is_expired() {
                // Nothing follows an ERROR.
                *cursor = Cursor { pos: data.len(), written: data.len() };
                return Ok(false);
            }
        }
        let disposition =
            self.processor.take(item).map_err(|fault| self.item_fault(fault, cursor, item))?;
        let written = match disposition {
            Disposition::Object(content) => {
                self.write_content(content, data, end, item, cursor, out);
                content != Content::Drop
            }
            Disposition::Emit(event_type) => {
                if let Some(kind) = self.processor.subject() {
                    cursor.flush(data, out);
                    write_object(event_type, kind, item, self.processor.edit(), out);
                }
                cursor.written = end;
                // The event brought its own newline.
                false
            }
            Disposition::Substitute(body) => {
                cursor.flush(data, out);
                out.put(&body);
                cursor.written = end;
                true
            }
        };
        cursor.pos = end;
        Ok(written)
    }

    /// Processes the JSON list item that begins at the cursor and ends at `end` of `data`, and
    /// writes it if it changes, after `separator`. `false`: the item is left out.
    pub(super) fn take_list_item(
        &mut self,
        separator: &[u8],
        data: &[u8],
        end: usize,
        item: &Item<'_>,
        cursor: &mut Cursor,
        out: &mut Output<'_>,
    ) -> Result<bool> {
        let content = self
            .processor
            .take_list_item(item)
            .map_err(|fault| self.item_fault(fault, cursor, item))?;
        if content != Content::Drop && !separator.is_empty() {
            cursor.flush(data, out);
            out.put(separator);
        }
        self.write_content(content, data, end, item, cursor, out);
        cursor.pos = end;
        Ok(content != Content::Drop)
    }

    fn item_fault(&self, fault: Fault, cursor: &Cursor, item: &Item<'_>) -> Error {
        self.fault(fault.after(cursor.pos), self.processor.name_of(item))
    }

    fn write_content(
        &self,
        content: Content,
        data: &[u8],
        end: usize,
        item: &Item<'_>,
        cursor: &mut Cursor,
        out: &mut Output<'_>,
    ) {
        match content {
            Content::Keep => {}
            Content::Edit => {
                cursor.flush(data, out);
                let whole = Span::new(0, item.buf.len());
                let edit = self.processor.edit();
                write_enclosed(item.buf, whole, item.around, item.object, edit, out);
                cursor.written = end;
            }
            Content::Drop => {
                cursor.flush(data, out);
                cursor.written = end;
            }
        }
    }

    /// Scans the value that starts at `start` of `data`; `None` if it is not whole. Never looks
    /// further than the limit, so that the same byte is at fault however the body comes in
    /// pieces.
    pub(super) fn scan(
        &self,
        scanner: &mut Scanner,
        data: &[u8],
        start: usize,
    ) -> Result<Option<usize>> {
        let (limit, _) = self.limit();
        let value = &data[start..];
        // One byte more: what follows a number ends it.
        let seen = &value[..value.len().min(limit + 1)];
        match scanner.scan(seen) {
            Ok(Some(end)) => {
                self.check_size(start, end as u64)?;
                Ok(Some(start + end))
            }
            Ok(None) => {
                self.check_size(start, seen.len() as u64)?;
                Ok(None)
            }
            Err(fault) => {
                let name = name_in(seen, scanner.marks());
                Err(self.fault(fault.after(start), name))
            }
        }
    }
}

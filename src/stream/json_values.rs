//! JSON values one after the other: the events of a watch, or one single object.
//!
//! A server writes one event a line, but nothing here depends on lines: an event ends with its
//! closing brace, and white space between events passes as it is (B1.1).

use super::framer::{Context, Cursor, Framer, PIECE};
use super::item::Item;
use super::processor::Processor;
use crate::config::Limits;
use crate::error::{Error, Fault, Result};
use crate::wire::json::Scanner;
use crate::wire::splice::Output;

/// The walk over a body of JSON values.
pub(super) struct JsonValues {
    scanner: Scanner,
    single: bool,
    /// A value has begun.
    inside: bool,
    /// The single object is over.
    over: bool,
    /// The last event was not given; the newline after it is not either.
    dropped: bool,
}

impl JsonValues {
    pub(super) fn watch(processor: &Processor, limits: Limits) -> JsonValues {
        JsonValues::new(
            Scanner::new(processor.event_shape(), limits.depth, limits.endpoints),
            false,
        )
    }

    pub(super) fn single(processor: &Processor, limits: Limits) -> JsonValues {
        JsonValues::new(Scanner::new(processor.item_shape(), limits.depth, limits.endpoints), true)
    }

    fn new(scanner: Scanner, single: bool) -> JsonValues {
        JsonValues { scanner, single, inside: false, over: false, dropped: false }
    }
}

impl Framer for JsonValues {
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
                if self.dropped {
                    cursor.written = cursor.pos;
                }
                let fault = |what| context.fault(Fault::json(cursor.pos, what), None);
                match byte {
                    None => return Ok(()),
                    Some(b'{') if !self.over => self.inside = true,
                    Some(_) if self.over => return Err(fault("something follows the object")),
                    Some(_) => return Err(fault("expected an object")),
                }
                self.scanner.reset();
            }
            let Some(end) = context.scan(&mut self.scanner, data, cursor.pos)? else {
                return Ok(());
            };
            let (value, marks) = (&data[cursor.pos..end], self.scanner.marks());
            let item = if self.single {
                Ok(Item::json_object(value, marks))
            } else {
                Item::json_event(value, marks)
            };
            let item = item.map_err(|fault| context.fault(fault.after(cursor.pos), None))?;
            self.dropped = !context.take(data, end, &item, cursor, out)?;
            self.inside = false;
            self.over = self.single;
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
        if self.inside || self.single && !self.over {
            return Err(Error::truncated(context.base + held.len() as u64, context.form.item()));
        }
        Ok(())
    }
}

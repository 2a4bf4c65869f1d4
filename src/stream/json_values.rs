//! JSON values one after the other: the events of a watch, or one single object.
//!
//! A server writes one event a line, but nothing here depends on lines: an event ends with its
//! closing brace, and white space between events passes as it is (wire 1.1).

use super::body::{Context, Cursor, PIECE, Walk};
use super::role::Role;
use super::unit::Unit;
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
    pub(super) fn watch(role: &Role, limits: Limits) -> JsonValues {
        JsonValues::new(Scanner::new(role.event_shape(), limits.depth, limits.endpoints), false)
    }

    pub(super) fn single(role: &Role, limits: Limits) -> JsonValues {
        JsonValues::new(Scanner::new(role.item_shape(), limits.depth, limits.endpoints), true)
    }

    fn new(scanner: Scanner, single: bool) -> JsonValues {
        JsonValues { scanner, single, inside: false, over: false, dropped: false }
    }
}

impl Walk for JsonValues {
    fn walk(
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
                    cursor.given = cursor.pos;
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
            let unit = if self.single {
                Ok(Unit::json_object(value, marks))
            } else {
                Unit::json_event(value, marks)
            };
            let unit = unit.map_err(|fault| context.fault(fault.after(cursor.pos), None))?;
            self.dropped = !context.take(data, end, &unit, cursor, out)?;
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
            return Err(Error::Truncated {
                offset: context.base + held.len() as u64,
                inside: context.form.unit(),
            });
        }
        Ok(())
    }
}

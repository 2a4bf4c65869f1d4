//! JSON values one after the other: the events of a watch, or one single object.
//!
//! A server writes one event a line, but nothing here depends on lines: an event ends with its closing brace, and white
//! space between events passes as it is (wire 1.1).

use super::body::{Context, Walk};
use super::unit::{Role, Unit};
use crate::error::{Error, Fault, Result};
use crate::object::outline::name_in;
use crate::wire::Span;
use crate::wire::json::{Scanner, is_blank};
use crate::wire::splice::Output;

/// The walk over a body of JSON values.
pub(super) struct JsonValues {
    scanner: Scanner,
    single: bool,
    /// A value has begun.
    inside: bool,
    /// The single object is over.
    over: bool,
}

impl JsonValues {
    pub(super) fn watch(role: &Role, depth: usize) -> JsonValues {
        JsonValues { scanner: Scanner::new(role.event_shape(), depth), single: false, inside: false, over: false }
    }

    pub(super) fn single(role: &Role, depth: usize) -> JsonValues {
        JsonValues { scanner: Scanner::new(role.item_shape(), depth), single: true, inside: false, over: false }
    }
}

impl Walk for JsonValues {
    fn walk(&mut self, data: &[u8], context: &mut Context<'_>, out: &mut Output<'_>) -> Result<usize> {
        let (mut pos, mut given) = (0, 0);
        loop {
            if !self.inside {
                pos += data[pos..].iter().take_while(|&&byte| is_blank(byte)).count();
                match data.get(pos) {
                    None => break,
                    Some(b'{') if !self.over => self.inside = true,
                    Some(_) if self.over => return Err(context.fault(Fault::json(pos, "something follows the object"), None)),
                    Some(_) => return Err(context.fault(Fault::json(pos, "expected an object"), None)),
                }
                self.scanner.reset();
            }
            let Some(end) = context.scan(&mut self.scanner, data, pos)? else { break };
            self.inside = false;
            self.over = self.single;
            let value = &data[pos..end];
            let marks = self.scanner.marks();
            let unit = if self.single { Ok(Unit::json_object(value, marks)) } else { Unit::json_event(value, marks) };
            let edit = unit.and_then(|unit| context.role.take(&unit));
            match edit {
                Ok(None) => {}
                Ok(Some(edit)) => {
                    out.put(&data[given..pos]);
                    edit.write(value, Span::new(0, value.len()), out);
                    given = end;
                }
                Err(fault) => return Err(context.fault(Fault { offset: pos + fault.offset, ..fault }, name_in(value, marks))),
            }
            pos = end;
        }
        out.put(&data[given..pos]);
        Ok(pos)
    }

    fn finish(&mut self, held: &[u8], context: &mut Context<'_>, _out: &mut Output<'_>) -> Result<()> {
        let offset = context.base + held.len() as u64;
        if self.inside {
            return Err(Error::Truncated { offset, inside: context.what });
        }
        if self.single && !self.over {
            return Err(Error::Truncated { offset, inside: "an empty body" });
        }
        Ok(())
    }
}

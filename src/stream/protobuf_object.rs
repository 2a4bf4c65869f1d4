//! A single protobuf object. Only the end of the body tells where it ends.

use super::framer::{Context, Cursor, Framer};
use super::item::Item;
use crate::error::{Error, Fault, Result};
use crate::object::envelope::{Enveloped, MAGIC};
use crate::wire::protobuf::read_field;
use crate::wire::splice::Output;

/// The walk over one object: it waits for the end.
pub(super) struct ProtobufObject;

impl Framer for ProtobufObject {
    fn advance(
        &mut self,
        data: &[u8],
        _cursor: &mut Cursor,
        context: &mut Context<'_>,
        _out: &mut Output<'_>,
    ) -> Result<()> {
        context.check_size(0, data.len() as u64)
    }

    fn wants(&self, _rest: &[u8]) -> usize {
        usize::MAX
    }

    fn finish(
        &mut self,
        held: &[u8],
        context: &mut Context<'_>,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let cut = Error::truncated(context.base + held.len() as u64, context.form.item());
        let begins = held.starts_with(MAGIC) || MAGIC.starts_with(held);
        if begins && !is_whole(held).map_err(|fault| context.fault(fault, None))? {
            return Err(cut);
        }
        let enveloped = Enveloped::read_object(held).map_err(|fault| context.fault(fault, None))?;
        if enveloped.around().is_empty() {
            return Err(cut);
        }
        let mut cursor = Cursor::default();
        context.take(held, held.len(), &Item::enveloped(held, &enveloped), &mut cursor, out)?;
        out.put(&held[cursor.written..]);
        Ok(())
    }
}

/// Whether the envelope ends where a field of it does, and not before its first one.
fn is_whole(body: &[u8]) -> std::result::Result<bool, Fault> {
    let mut at = MAGIC.len();
    while at < body.len() {
        let Some(field) = read_field(body, at)? else { return Ok(false) };
        at = field.value.end;
    }
    Ok(body.len() > MAGIC.len())
}

//! A single protobuf object. Only the end of the body tells where it ends.

use super::body::{Context, Cursor, Walk};
use super::unit::Unit;
use crate::error::{Error, Result};
use crate::object::envelope::Enveloped;
use crate::wire::splice::Output;

/// The walk over one object: it waits for the end.
pub(super) struct ProtobufObject;

impl Walk for ProtobufObject {
    fn walk(&mut self, data: &[u8], _cursor: &mut Cursor, context: &mut Context<'_>, _out: &mut Output<'_>) -> Result<()> {
        context.check_size(0, data.len() as u64)
    }

    fn finish(&mut self, held: &[u8], context: &mut Context<'_>, out: &mut Output<'_>) -> Result<()> {
        if held.is_empty() {
            return Err(Error::Truncated { offset: context.base, inside: "an empty body" });
        }
        let enveloped = Enveloped::read_object(held).map_err(|fault| context.fault(fault, None))?;
        let mut cursor = Cursor::default();
        context.take(held, held.len(), &Unit::enveloped(held, &enveloped), &mut cursor, out)?;
        out.put(&held[cursor.given..]);
        Ok(())
    }
}

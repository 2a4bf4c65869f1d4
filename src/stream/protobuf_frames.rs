//! A protobuf watch: frames of four length bytes and one event (B1.2). A frame is held until it
//! is whole, since the lengths of everything in it come first.

use super::framer::{Context, Cursor, Framer};
use super::item::Item;
use crate::error::{Error, Fault, Result};
use crate::object::envelope::Enveloped;
use crate::wire::splice::Output;

/// The walk over frames.
pub(super) struct ProtobufFrames;

const PREFIX: usize = 4;

impl Framer for ProtobufFrames {
    fn advance(
        &mut self,
        data: &[u8],
        cursor: &mut Cursor,
        context: &mut Context<'_>,
        out: &mut Output<'_>,
    ) -> Result<()> {
        while let Some(prefix) = data[cursor.pos..].first_chunk::<PREFIX>() {
            let (pos, len) = (cursor.pos, u32::from_be_bytes(*prefix));
            if len == 0 {
                return Err(context.fault(
                    Fault::protobuf(pos, "a frame of no bytes, which clients refuse"),
                    None,
                ));
            }
            context.check_size(pos, u64::from(len))?;
            let end = pos + PREFIX + len as usize;
            let Some(frame) = data.get(pos..end) else { break };
            let enveloped = Enveloped::read_frame(frame)
                .map_err(|fault| context.fault(fault.after(pos), None))?;
            context.take(data, end, &Item::enveloped(frame, &enveloped), cursor, out)?;
        }
        Ok(())
    }

    fn wants(&self, rest: &[u8]) -> usize {
        let len = rest.first_chunk().map_or(0, |prefix| u32::from_be_bytes(*prefix) as usize);
        (PREFIX + len).saturating_sub(rest.len())
    }

    fn finish(
        &mut self,
        held: &[u8],
        context: &mut Context<'_>,
        _out: &mut Output<'_>,
    ) -> Result<()> {
        if held.is_empty() {
            return Ok(());
        }
        Err(Error::truncated(context.base + held.len() as u64, context.form.item()))
    }
}

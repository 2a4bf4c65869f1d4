//! A protobuf watch: frames of four length bytes and one event (wire 1.2). A frame is held until it is whole, since the
//! lengths of everything in it come first.

use super::body::{Context, Walk};
use super::unit::Unit;
use crate::error::{Error, Fault, Result};
use crate::object::envelope::Enveloped;
use crate::wire::Span;
use crate::wire::splice::{Output, write_enclosed};

/// The walk over frames.
pub(super) struct ProtobufFrames;

const PREFIX: usize = 4;

impl Walk for ProtobufFrames {
    fn walk(&mut self, data: &[u8], context: &mut Context<'_>, out: &mut Output<'_>) -> Result<usize> {
        let (mut pos, mut given) = (0, 0);
        while let Some(prefix) = data[pos..].first_chunk::<PREFIX>() {
            let len = u32::from_be_bytes(*prefix);
            if len == 0 {
                return Err(context.fault(Fault::protobuf(pos, "a frame of no bytes, which clients refuse"), None));
            }
            context.check_size(pos, u64::from(len))?;
            let end = pos + PREFIX + len as usize;
            let Some(frame) = data.get(pos..end) else { break };
            let at = |fault: Fault| Fault { offset: pos + fault.offset, ..fault };
            let enveloped = Enveloped::read_frame(frame).map_err(|fault| context.fault(at(fault), None))?;
            let meta = enveloped.type_meta;
            let unit = Unit::protobuf(frame, enveloped.object, enveloped.event.of(frame), meta.kind.of(frame), meta.api_version.of(frame));
            match context.role.take(&unit) {
                Ok(None) => {}
                Ok(Some(edit)) => {
                    out.put(&data[given..pos]);
                    write_enclosed(frame, Span::new(0, frame.len()), enveloped.around(), enveloped.object, edit, out);
                    given = end;
                }
                Err(fault) => return Err(context.fault(at(fault), context.role.object_name(frame))),
            }
            pos = end;
        }
        out.put(&data[given..pos]);
        Ok(pos)
    }

    fn finish(&mut self, held: &[u8], context: &mut Context<'_>, _out: &mut Output<'_>) -> Result<()> {
        if held.is_empty() {
            return Ok(());
        }
        Err(Error::Truncated { offset: context.base + held.len() as u64, inside: context.what })
    }
}

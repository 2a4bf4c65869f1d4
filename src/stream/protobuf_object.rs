//! A single protobuf object. Only the end of the body tells where it ends.

use super::body::{Context, Walk};
use super::unit::Unit;
use crate::error::{Error, Result};
use crate::object::envelope::Enveloped;
use crate::wire::Span;
use crate::wire::splice::{Output, write_enclosed};

/// The walk over one object: it waits for the end.
pub(super) struct ProtobufObject;

impl Walk for ProtobufObject {
    fn walk(&mut self, data: &[u8], context: &mut Context<'_>, _out: &mut Output<'_>) -> Result<usize> {
        context.check_size(0, data.len() as u64)?;
        Ok(0)
    }

    fn finish(&mut self, held: &[u8], context: &mut Context<'_>, out: &mut Output<'_>) -> Result<()> {
        if held.is_empty() {
            return Err(Error::Truncated { offset: context.base, inside: "an empty body" });
        }
        let enveloped = Enveloped::read_object(held).map_err(|fault| context.fault(fault, None))?;
        let meta = enveloped.type_meta;
        let unit = Unit::protobuf(held, enveloped.object, b"", meta.kind.of(held), meta.api_version.of(held));
        match context.role.take(&unit) {
            Ok(None) => out.put(held),
            Ok(Some(edit)) => write_enclosed(held, Span::new(0, held.len()), enveloped.around(), enveloped.object, edit, out),
            Err(fault) => return Err(context.fault(fault, context.role.object_name(held))),
        }
        Ok(())
    }
}

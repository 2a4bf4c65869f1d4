//! core/v1 Service: the fields that decide whether a node may see it.
//!
//! Protobuf numbers (B2): Service 1 metadata, 2 spec; ServiceSpec 4 type.

use super::metadata::{is_map_entry_for, outline_metadata};
use super::outline::{API_VERSION, KIND, Outline, expect, id, is_null, string};
use crate::error::Fault;
use crate::wire::Span;
use crate::wire::json::{Mark, Shape};
use crate::wire::protobuf::Fields;

/// The pools that a Service's node ports are for.
pub(crate) const LISTEN_ANNOTATION: &str = "nodeport.openyurt.io/listen";

/// Says of a load balancer that it is for the cloud alone.
pub(crate) const DISCARD_ANNOTATION: &str = "svc.openyurt.io/discard";

const ANNOTATIONS: Shape = Shape::object(
    id::ANNOTATIONS,
    &[(LISTEN_ANNOTATION, Shape::leaf(id::LISTEN)), (DISCARD_ANNOTATION, Shape::leaf(id::DISCARD))],
);

const METADATA: Shape = Shape::object(
    0,
    &[
        ("name", Shape::leaf(id::NAME)),
        ("namespace", Shape::leaf(id::NAMESPACE)),
        ("resourceVersion", Shape::leaf(id::RESOURCE_VERSION)),
        ("generation", Shape::leaf(id::SILENT)),
        ("managedFields", Shape::leaf(id::SILENT)),
        ("annotations", ANNOTATIONS),
    ],
);

const SPEC: Shape = Shape::object(id::SPEC, &[("type", Shape::leaf(id::SERVICE_TYPE))]);

pub(super) const SHAPE: Shape =
    Shape::object(id::OBJECT, &[KIND, API_VERSION, ("metadata", METADATA), ("spec", SPEC)]);

/// Reads the marks of a JSON Service.
pub(crate) fn outline_json(buf: &[u8], marks: &[Mark], outline: &mut Outline) -> Result<(), Fault> {
    for &mark in marks {
        match mark.id {
            id::ANNOTATIONS if is_null(buf, mark.span) => {
                (outline.listen, outline.discard) = (None, None)
            }
            id::ANNOTATIONS => expect(buf, mark.span, b'{', "expected an object as annotations")?,
            // A null in a map of strings is an empty string.
            id::LISTEN => outline.listen = Some(string(buf, mark.span)?.unwrap_or_default()),
            id::DISCARD => outline.discard = Some(string(buf, mark.span)?.unwrap_or_default()),
            id::SERVICE_TYPE => {
                outline.service_type = string(buf, mark.span)?.or(outline.service_type)
            }
            id::SPEC => expect(buf, mark.span, b'{', "expected an object as spec")?,
            _ => outline.header_mark(buf, mark)?,
        }
    }
    Ok(())
}

/// Reads a protobuf Service that lies at `object` in `buf`.
pub(crate) fn outline_protobuf(
    buf: &[u8],
    object: Span,
    outline: &mut Outline,
) -> Result<(), Fault> {
    let mut fields = Fields::new(buf, object);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => {
                outline_metadata(buf, &field, outline)?;
                let mut metadata = Fields::new(buf, field.value);
                while let Some(entry) = metadata.next()? {
                    if entry.number == 12 {
                        let entry = entry.len_delimited()?;
                        outline.listen =
                            is_map_entry_for(buf, entry, LISTEN_ANNOTATION.as_bytes())?
                                .or(outline.listen);
                        outline.discard =
                            is_map_entry_for(buf, entry, DISCARD_ANNOTATION.as_bytes())?
                                .or(outline.discard);
                    }
                }
            }
            2 => {
                let mut spec = Fields::new(buf, field.len_delimited()?);
                while let Some(member) = spec.next()? {
                    if member.number == 4 {
                        outline.service_type = Some(member.len_delimited()?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

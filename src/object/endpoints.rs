//! core/v1 Endpoints.
//!
//! Protobuf numbers (B2): Endpoints 1 metadata, 2 subsets; EndpointSubset 1 addresses, 2
//! notReadyAddresses, 3 ports; EndpointAddress 4 nodeName.

use super::metadata::outline_metadata;
use super::outline::{Outline, Subset, expect, id, object, string};
use crate::error::Fault;
use crate::topology::fallback::Condition;
use crate::wire::Span;
use crate::wire::json::{Mark, Shape};
use crate::wire::protobuf::{Fields, last_string};

const ADDRESS: Shape = Shape::object(id::ENDPOINT, &[("nodeName", Shape::leaf(id::NODE))]);
const ADDRESSES: Shape = Shape::array(id::ENDPOINTS, &ADDRESS);
const NOT_READY: Shape = Shape::array(id::NOT_READY, &ADDRESS);
const SUBSET: Shape =
    Shape::object(id::SUBSET, &[("addresses", ADDRESSES), ("notReadyAddresses", NOT_READY)]);

pub(super) const SHAPE: Shape = object!("subsets": Shape::array(id::SUBSETS, &SUBSET));

/// Reads the marks of a JSON Endpoints object.
pub(crate) fn outline_json(buf: &[u8], marks: &[Mark], outline: &mut Outline) -> Result<(), Fault> {
    let mut node = None;
    let (mut endpoints, mut arrays, mut subsets) = (0, 0, 0);
    for &mark in marks {
        match mark.id {
            id::NODE => node = string(buf, mark.span)?,
            id::ENDPOINT => {
                expect(buf, mark.span, b'{', "expected an object as address")?;
                outline.push(mark.span, node.take(), Condition::Ready)?;
            }
            id::ENDPOINTS | id::NOT_READY => {
                expect(buf, mark.span, b'[', "expected an array of addresses")?;
                if mark.id == id::NOT_READY {
                    outline.endpoints[endpoints..]
                        .iter_mut()
                        .for_each(|address| address.condition = Condition::Unusable);
                }
                outline.arrays.push((endpoints, outline.endpoints.len()));
                endpoints = outline.endpoints.len();
            }
            id::SUBSET => {
                expect(buf, mark.span, b'{', "expected an object as subset")?;
                outline.push_subset(Subset {
                    span: mark.span,
                    length: None,
                    arrays: (arrays, outline.arrays.len()),
                })?;
                arrays = outline.arrays.len();
            }
            id::SUBSETS => {
                expect(buf, mark.span, b'[', "expected an array of subsets")?;
                outline.subset_arrays.push((subsets, outline.subsets.len()));
                subsets = outline.subsets.len();
            }
            _ => outline.header_mark(buf, mark)?,
        }
    }
    Ok(())
}

/// Reads a protobuf Endpoints object that lies at `object` in `buf`.
pub(crate) fn outline_protobuf(
    buf: &[u8],
    object: Span,
    outline: &mut Outline,
) -> Result<(), Fault> {
    let mut fields = Fields::new(buf, object);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => outline_metadata(buf, &field, outline)?,
            2 => {
                let content = field.len_delimited()?;
                let first = outline.endpoints.len();
                let mut members = Fields::new(buf, content);
                while let Some(member) = members.next()? {
                    if matches!(member.number, 1 | 2) {
                        let node = last_string(buf, member.len_delimited()?, 4)?;
                        let condition =
                            if member.number == 1 { Condition::Ready } else { Condition::Unusable };
                        outline.push(member.record(), node, condition)?;
                    }
                }
                let array = outline.arrays.len();
                outline.arrays.push((first, outline.endpoints.len()));
                let length = Some((field.length(), content));
                outline.push_subset(Subset {
                    span: field.record(),
                    length,
                    arrays: (array, array + 1),
                })?;
            }
            _ => {}
        }
    }
    outline.subset_arrays.push((0, outline.subsets.len()));
    Ok(())
}

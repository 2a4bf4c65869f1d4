//! EndpointSlice, `discovery.k8s.io` v1 and v1beta1.
//!
//! Protobuf numbers (B2): EndpointSlice 1 metadata, 2 endpoints, 4 addressType; Endpoint v1: 2
//! conditions {1 ready, 2 serving, 3 terminating}, 6 nodeName, 7 zone; v1beta1: 5 topology, 7
//! hints. The meaning of 7 and the place of the node depend on the version, never on the bytes.

use super::SubjectKind;
use super::metadata::{is_map_entry_for, outline_metadata};
use super::outline::{Outline, expect, id, is_null, object, string, truth};
use crate::error::Fault;
use crate::topology::fallback::Condition;
use crate::wire::Span;
use crate::wire::json::{Mark, Shape};
use crate::wire::protobuf::{Fields, last_string};

/// Where a v1beta1 endpoint names its node.
pub(crate) const HOSTNAME: &str = "kubernetes.io/hostname";

const ENDPOINT: Shape = Shape::object(id::ENDPOINT, &[("nodeName", Shape::leaf(id::NODE))]);
const ENDPOINT_BETA: Shape = Shape::object(
    id::ENDPOINT,
    &[("topology", Shape::object(id::TOPOLOGY, &[(HOSTNAME, Shape::leaf(id::NODE))]))],
);

pub(super) const SHAPE: Shape = object!("endpoints": Shape::array(id::ENDPOINTS, &ENDPOINT));
pub(super) const SHAPE_BETA: Shape =
    object!("endpoints": Shape::array(id::ENDPOINTS, &ENDPOINT_BETA));

/// The shape with the fields that topology fallbacks need.
const CONDITIONS: (&str, Shape) = (
    "conditions",
    Shape::object(
        id::CONDITIONS,
        &[
            ("ready", Shape::leaf(id::READY)),
            ("serving", Shape::leaf(id::SERVING)),
            ("terminating", Shape::leaf(id::TERMINATING)),
        ],
    ),
);
const JUDGED: Shape =
    Shape::object(id::ENDPOINT, &[("nodeName", Shape::leaf(id::NODE)), CONDITIONS]);
const JUDGED_BETA: Shape = Shape::object(
    id::ENDPOINT,
    &[("topology", Shape::object(id::TOPOLOGY, &[(HOSTNAME, Shape::leaf(id::NODE))])), CONDITIONS],
);
pub(super) const FALLBACK_SHAPE: Shape = object!(
    "addressType": Shape::leaf(id::ADDRESS_TYPE),
    "endpoints": Shape::array(id::ENDPOINTS, &JUDGED)
);
pub(super) const FALLBACK_SHAPE_BETA: Shape = object!(
    "addressType": Shape::leaf(id::ADDRESS_TYPE),
    "endpoints": Shape::array(id::ENDPOINTS, &JUDGED_BETA)
);

/// Reads the marks of a JSON slice. Every array under a repeated `endpoints` key is read, since
/// which of them counts depends on the decoder.
pub(crate) fn outline_json(buf: &[u8], marks: &[Mark], outline: &mut Outline) -> Result<(), Fault> {
    let mut node = None;
    let mut conditions = [None; 3];
    let mut array = 0;
    for &mark in marks {
        match mark.id {
            id::NODE => node = string(buf, mark.span)?,
            id::TOPOLOGY if is_null(buf, mark.span) => node = None,
            id::TOPOLOGY => expect(buf, mark.span, b'{', "expected an object as topology")?,
            id::ENDPOINT => {
                expect(buf, mark.span, b'{', "expected an object as endpoint")?;
                let [ready, serving, terminating] = std::mem::take(&mut conditions);
                outline.push(mark.span, node.take(), Condition::of(ready, serving, terminating))?;
            }
            id::CONDITIONS => expect(buf, mark.span, b'{', "expected an object as conditions")?,
            id::READY | id::SERVING | id::TERMINATING => {
                conditions[usize::from(mark.id - id::READY)] = truth(buf, mark.span)
            }
            id::ENDPOINTS => {
                expect(buf, mark.span, b'[', "expected an array of endpoints")?;
                outline.arrays.push((array, outline.endpoints.len()));
                array = outline.endpoints.len();
            }
            _ => outline.header_mark(buf, mark)?,
        }
    }
    Ok(())
}

/// Reads a protobuf slice that lies at `object` in `buf`.
pub(crate) fn outline_protobuf(
    buf: &[u8],
    object: Span,
    kind: SubjectKind,
    outline: &mut Outline,
) -> Result<(), Fault> {
    let beta = kind == SubjectKind::EndpointSliceBeta;
    let mut fields = Fields::new(buf, object);
    loop {
        // Nearly everything in a slice is an endpoint.
        let (record, content) = match fields.next_repeated(2) {
            Some(endpoint) => endpoint,
            None => {
                let Some(field) = fields.next()? else { break };
                match field.number {
                    2 => (field.record(), field.len_delimited()?),
                    1 => {
                        outline_metadata(buf, &field, outline)?;
                        continue;
                    }
                    4 if outline.wants_conditions() => {
                        outline.address_type = Some(field.len_delimited()?);
                        continue;
                    }
                    _ => continue,
                }
            }
        };
        let node =
            if beta { node_of_topology(buf, content)? } else { last_string(buf, content, 6)? };
        let condition =
            if outline.wants_conditions() { condition(buf, content)? } else { Condition::Ready };
        outline.push(record, node, condition)?;
    }
    outline.arrays.push((0, outline.endpoints.len()));
    Ok(())
}

fn condition(buf: &[u8], endpoint: Span) -> Result<Condition, Fault> {
    let mut given = [None; 3];
    let mut fields = Fields::new(buf, endpoint);
    while let Some(field) = fields.next()? {
        if field.number != 2 {
            continue;
        }
        let mut conditions = Fields::new(buf, field.len_delimited()?);
        while let Some(condition) = conditions.next()? {
            if let number @ 1..=3 = condition.number {
                given[number as usize - 1] = Some(condition.varint(buf)? != 0);
            }
        }
    }
    let [ready, serving, terminating] = given;
    Ok(Condition::of(ready, serving, terminating))
}

fn node_of_topology(buf: &[u8], content: Span) -> Result<Option<Span>, Fault> {
    let mut node = None;
    let mut fields = Fields::new(buf, content);
    while let Some(field) = fields.next()? {
        if field.number == 5 {
            node = is_map_entry_for(buf, field.len_delimited()?, HOSTNAME.as_bytes())?.or(node);
        }
    }
    Ok(node)
}

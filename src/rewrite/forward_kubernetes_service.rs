//! The slice default/kubernetes leads to an address on the node (F1).
//!
//! Protobuf numbers (B2): EndpointSlice 2 endpoints, 3 ports, 4 addressType; Endpoint 1
//! addresses, 2 conditions {1 ready}.

use std::net::IpAddr;

use super::https_port::{FREE, JsonPorts, PORTS_SHAPE, edit_protobuf};
use crate::config::{Hub, Limits};
use crate::error::Fault;
use crate::wire::Span;
use crate::wire::encoding::Encoding;
use crate::wire::json::{Scanner, Shape};
use crate::wire::protobuf::{Fields, put_record};
use crate::wire::splice::Edit;
use crate::wire::text::string;

const ADDRESS_TYPE: u8 = FREE;
const ENDPOINTS: u8 = FREE + 1;
const SHAPE: Shape = Shape::object(
    0,
    &[
        ("addressType", Shape::leaf(ADDRESS_TYPE)),
        ("endpoints", Shape::leaf(ENDPOINTS)),
        ("ports", PORTS_SHAPE),
    ],
);

/// The addressType of slices that may lead to the address.
pub(crate) fn family(hub: &Hub) -> &'static str {
    match hub.host {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

/// Edits the slice at `object` in `buf`, if it is of the address's family; whether it is.
pub(super) fn redirect(
    buf: &[u8],
    object: Span,
    encoding: Encoding,
    hub: Hub,
    limits: &Limits,
    edit: &mut Edit,
) -> Result<bool, Fault> {
    match encoding {
        Encoding::Json => lead_json(object.of(buf), object.start, hub, limits, edit)
            .map_err(|fault| fault.after(object.start)),
        Encoding::Protobuf => lead_protobuf(buf, object, hub, edit),
    }
}

fn lead_json(
    object: &[u8],
    start: usize,
    hub: Hub,
    limits: &Limits,
    edit: &mut Edit,
) -> Result<bool, Fault> {
    let mut scanner = Scanner::new(SHAPE, limits.depth, limits.endpoints);
    scanner.scan(object)?;
    let marks = || scanner.marks().iter().copied();
    let address_type = marks()
        .filter(|mark| mark.id == ADDRESS_TYPE)
        .filter_map(|mark| string(mark.span.of(object)))
        .next_back();
    if address_type.is_none_or(|found| *found != *family(&hub).as_bytes()) {
        return Ok(false);
    }
    let endpoints = format!(r#"[{{"addresses":["{}"],"conditions":{{"ready":true}}}}]"#, hub.host);
    let mut has_endpoints = false;
    let mut ports = JsonPorts::new(hub.port);
    for mark in marks() {
        if mark.id == ENDPOINTS {
            has_endpoints = true;
            edit.replace(mark.span.after(start), endpoints.as_bytes());
        } else {
            ports.take(object, start, mark, edit)?;
        }
    }
    if !has_endpoints {
        // The object has its addressType at least.
        edit.replace(
            Span::new(0, 1).inside().after(start),
            format!(r#""endpoints":{endpoints},"#).as_bytes(),
        );
    }
    Ok(true)
}

fn lead_protobuf(buf: &[u8], object: Span, hub: Hub, edit: &mut Edit) -> Result<bool, Fault> {
    let mut address_type = None;
    let mut fields = Fields::new(buf, object);
    while let Some(field) = fields.next()? {
        if field.number == 4 {
            address_type = Some(field.len_delimited()?);
        }
    }
    if address_type.is_none_or(|found| found.of(buf) != family(&hub).as_bytes()) {
        return Ok(false);
    }
    let mut found = false;
    let mut fields = Fields::new(buf, object);
    while let Some(field) = fields.next()? {
        match field.number {
            2 => edit.replace(field.record(), b""),
            3 if !found => found = edit_protobuf(buf, &field, hub.port, edit)?,
            _ => {}
        }
    }
    let (mut endpoint, mut record) = (Vec::new(), Vec::new());
    put_record(&mut endpoint, 1, hub.host.to_string().as_bytes());
    put_record(&mut endpoint, 2, b"\x08\x01");
    put_record(&mut record, 2, &endpoint);
    edit.replace(Span::new(object.end, object.end), &record);
    Ok(true)
}

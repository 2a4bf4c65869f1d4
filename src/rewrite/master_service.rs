//! The Service default/kubernetes leads to an address on the node (M1, M2).
//!
//! Protobuf numbers (B2): Service 2 spec; ServiceSpec 1 ports, 3 clusterIP, 18 clusterIPs.

use super::https_port::{FREE, JsonPorts, PORTS_SHAPE, edit_protobuf, is_torn};
use crate::config::{Hub, Limits};
use crate::error::Fault;
use crate::wire::Span;
use crate::wire::encoding::Encoding;
use crate::wire::json::{Scanner, Shape};
use crate::wire::protobuf::{Fields, put_record};
use crate::wire::splice::Edit;

const CLUSTER_IP: u8 = FREE;
const CLUSTER_IPS: u8 = FREE + 1;
const SPEC: u8 = FREE + 2;
const SHAPE: Shape = Shape::object(
    0,
    &[(
        "spec",
        Shape::object(
            SPEC,
            &[
                ("clusterIP", Shape::leaf(CLUSTER_IP)),
                ("clusterIPs", Shape::leaf(CLUSTER_IPS)),
                ("ports", PORTS_SHAPE),
            ],
        ),
    )],
);

/// Edits the Service at `object` in `buf`. There is one in a cluster, so it is read once more
/// rather than all others with more care. One without a spec has no address to replace.
pub(super) fn redirect(
    buf: &[u8],
    object: Span,
    encoding: Encoding,
    hub: Hub,
    limits: &Limits,
    edit: &mut Edit,
) -> Result<(), Fault> {
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
) -> Result<(), Fault> {
    let mut scanner = Scanner::new(SHAPE, limits.depth, limits.endpoints);
    scanner.scan(object)?;
    let (ip, ips) = (format!("\"{}\"", hub.host), format!("[\"{}\"]", hub.host));
    let (mut has_ip, mut has_ips, mut spec) = (false, false, None);
    let mut ports = JsonPorts::new(hub.port);
    for &mark in scanner.marks() {
        if matches!(mark.id, CLUSTER_IP | CLUSTER_IPS) && is_torn(mark.span.of(object)) {
            return Err(Fault::json(mark.span.after(start).start, "expected an address in quotes"));
        }
        match mark.id {
            CLUSTER_IP => {
                has_ip = true;
                edit.replace(mark.span.after(start), ip.as_bytes());
            }
            CLUSTER_IPS => {
                has_ips = true;
                edit.replace(mark.span.after(start), ips.as_bytes());
            }
            SPEC => spec = Some(mark.span).filter(|spec| object[spec.start] == b'{').or(spec),
            _ => ports.take(object, start, mark, edit)?,
        }
    }
    let Some(spec) = spec else { return Ok(()) };
    let missing = [(has_ip, "clusterIP", ip), (has_ips, "clusterIPs", ips)]
        .into_iter()
        .filter(|(has, ..)| !has);
    let mut missing =
        missing.map(|(_, key, value)| format!("\"{key}\":{value}")).collect::<Vec<_>>().join(",");
    if !missing.is_empty() {
        let is_empty = object[spec.start + 1..spec.end - 1].trim_ascii().is_empty();
        missing += if is_empty { "" } else { "," };
        edit.replace(spec.inside().after(start), missing.as_bytes());
    }
    Ok(())
}

fn lead_protobuf(buf: &[u8], object: Span, hub: Hub, edit: &mut Edit) -> Result<(), Fault> {
    let host = hub.host.to_string();
    let mut addresses = Vec::new();
    put_record(&mut addresses, 3, host.as_bytes());
    put_record(&mut addresses, 18, host.as_bytes());
    let mut found = false;
    let mut fields = Fields::new(buf, object);
    while let Some(field) = fields.next()? {
        if field.number != 2 {
            continue;
        }
        let content = field.len_delimited()?;
        let reserved = edit.reserve_length(field.length());
        let before = edit.grown();
        let mut members = Fields::new(buf, content);
        while let Some(member) = members.next()? {
            match member.number {
                1 if !found => found = edit_protobuf(buf, &member, hub.port, edit)?,
                3 | 18 => edit.replace(member.record(), b""),
                _ => {}
            }
        }
        // The first part of a spec is enough: decoders merge the parts, and the others have no
        // address left.
        edit.replace(Span::new(content.end, content.end), &std::mem::take(&mut addresses));
        edit.set_length(reserved, content.len().saturating_add_signed(edit.grown() - before));
    }
    Ok(())
}

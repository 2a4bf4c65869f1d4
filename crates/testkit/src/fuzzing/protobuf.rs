//! Protobuf bodies: what prost decodes from them before and after.

use prost::Message;

use super::world::{Case, Form, Kind, Looked, show};
use crate::schema::{self, TypeMeta, Unknown};

/// Filters a body; if it passes, what prost reads from it is what the naive filter leaves of what
/// it read before.
pub fn check(form: Form, input: &[u8]) -> Looked {
    let Some(case) = Case::of(form, "application/vnd.kubernetes.protobuf", input) else {
        return Looked::Refused;
    };
    let (Ok(filtered), Some(before)) = (case.filtered(), decode(&case, case.body)) else {
        return Looked::Refused;
    };
    let Some(after) = decode(&case, &filtered) else {
        panic!("no decoder reads it any more: {}", show(&filtered))
    };
    let expected: Vec<Part> = before.into_iter().map(|part| part.filtered(&case)).collect();
    assert!(after == expected, "not what should be left:\n{expected:?}\n{after:?}");
    Looked::Compared
}

/// One object of a body with what stands around it.
#[derive(Debug, Clone, PartialEq)]
struct Part {
    event: String,
    around: TypeMeta,
    object: Object,
}

#[derive(Debug, Clone, PartialEq)]
enum Object {
    Slice(Box<schema::EndpointSlice>),
    Endpoints(Box<schema::Endpoints>),
    Other(Vec<u8>),
    /// The list itself.
    List(Option<schema::ListMeta>),
}

impl Part {
    fn filtered(mut self, case: &Case<'_>) -> Part {
        if matches!(self.event.as_str(), "BOOKMARK" | "ERROR") {
            return self;
        }
        match &mut self.object {
            Object::Slice(slice) => {
                let metadata = slice.metadata.clone().unwrap_or_default();
                let service = metadata.labels.get("kubernetes.io/service-name").map(String::as_str);
                slice.endpoints.retain(|endpoint| {
                    let hostname = endpoint.topology.get("kubernetes.io/hostname");
                    let on = if case.kind == Kind::Beta {
                        hostname
                    } else {
                        endpoint.node_name.as_ref()
                    };
                    case.keeps(&metadata.namespace, service, on.map(String::as_str))
                });
            }
            Object::Endpoints(endpoints) => {
                let metadata = endpoints.metadata.clone().unwrap_or_default();
                let keeps =
                    |on: Option<&str>| case.keeps(&metadata.namespace, Some(&metadata.name), on);
                for subset in &mut endpoints.subsets {
                    subset.addresses.retain(|address| keeps(address.node_name.as_deref()));
                    subset
                        .not_ready_addresses
                        .retain(|address| keeps(address.node_name.as_deref()));
                }
                let is_empty = |subset: &schema::EndpointSubset| {
                    subset.addresses.is_empty() && subset.not_ready_addresses.is_empty()
                };
                endpoints.subsets.retain(|subset| keeps(None) || !is_empty(subset));
            }
            Object::Other(_) | Object::List(_) => {}
        }
        self
    }
}

fn decode(case: &Case<'_>, body: &[u8]) -> Option<Vec<Part>> {
    match case.form {
        Form::Get => Some(vec![part(case, "", body)?]),
        Form::Watch => {
            events(body)?.into_iter().map(|(event, object)| part(case, &event, &object)).collect()
        }
        Form::List => {
            let Unknown { type_meta, raw, .. } = unknown(body)?;
            let around = type_meta.unwrap_or_default();
            let list = schema::List::decode(&*raw).ok()?;
            let mut parts = vec![Part {
                event: String::new(),
                around: around.clone(),
                object: Object::List(list.metadata),
            }];
            let kind = around.kind.strip_suffix("List").unwrap_or(&around.kind).to_owned();
            let of_item = TypeMeta { kind, ..around };
            for item in list.items {
                parts.push(Part {
                    event: String::new(),
                    around: of_item.clone(),
                    object: object(case, &of_item, item)?,
                });
            }
            Some(parts)
        }
    }
}

/// Types and enveloped objects of the events of a watch.
pub fn events(body: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let (mut events, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk()?;
        let frame;
        (frame, rest) = after.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        let event = schema::WatchEvent::decode(frame).ok()?;
        events.push((event.r#type, event.object.unwrap_or_default().raw));
    }
    Some(events)
}

/// The content of an envelope.
pub fn unknown(body: &[u8]) -> Option<Unknown> {
    // An envelope without anything in it is written as nothing at all.
    Unknown::decode(body.strip_prefix(b"k8s\0").or(body.is_empty().then_some(b""))?).ok()
}

fn part(case: &Case<'_>, event: &str, body: &[u8]) -> Option<Part> {
    let Unknown { type_meta, raw, .. } = unknown(body)?;
    let around = type_meta.unwrap_or_default();
    let object = object(case, &around, raw)?;
    Some(Part { event: event.to_owned(), around, object })
}

fn object(case: &Case<'_>, said: &TypeMeta, bytes: Vec<u8>) -> Option<Object> {
    if !said.kind.is_empty() && said.kind != case.kind.name() {
        return Some(Object::Other(bytes));
    }
    Some(match case.kind {
        Kind::Endpoints => Object::Endpoints(Box::new(Message::decode(&*bytes).ok()?)),
        Kind::Slice | Kind::Beta => Object::Slice(Box::new(Message::decode(&*bytes).ok()?)),
    })
}

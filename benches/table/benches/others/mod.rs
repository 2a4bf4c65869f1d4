//! One JSON event, filtered in other ways. Those that find places copy the rest as it stands; those
//! that decode write it anew.

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::BytesMut;
use jiter::Jiter;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use simd_json::prelude::*;
use sonic_rs::{JsonValueMutTrait, JsonValueTrait};

pub struct Event<'a> {
    pub bytes: &'a [u8],
    /// For parsers that write into what they read.
    pub scratch: &'a mut Vec<u8>,
}

pub fn serde_value(event: &mut Event<'_>, keep: &HashSet<String>, out: &mut BytesMut) {
    let mut value: Value = serde_json::from_slice(event.bytes).unwrap();
    let endpoints = value["object"]["endpoints"].as_array_mut().unwrap();
    endpoints.retain(|endpoint| keep.contains(endpoint["nodeName"].as_str().unwrap()));
    out.extend_from_slice(&serde_json::to_vec(&value).unwrap());
}

pub fn typed(event: &mut Event<'_>, keep: &HashSet<String>, out: &mut BytesMut) {
    #[derive(Serialize, Deserialize)]
    struct Typed {
        r#type: String,
        object: EndpointSlice,
    }
    let mut value: Typed = serde_json::from_slice(event.bytes).unwrap();
    value.object.endpoints.retain(|endpoint| keep.contains(endpoint.node_name.as_deref().unwrap()));
    out.extend_from_slice(&serde_json::to_vec(&value).unwrap());
}

/// Copies an event with the elements that `kept` gives in place of the array that lies at `array`.
fn splice<'a>(
    event: &[u8],
    array: (usize, usize),
    kept: impl Iterator<Item = &'a [u8]>,
    out: &mut BytesMut,
) {
    out.extend_from_slice(&event[..array.0 + 1]);
    for (at, element) in kept.enumerate() {
        if at > 0 {
            out.extend_from_slice(b",");
        }
        out.extend_from_slice(element);
    }
    out.extend_from_slice(&event[array.1 - 1..]);
}

/// Where a part of an event lies in it.
fn place(event: &[u8], part: &str) -> (usize, usize) {
    let start = part.as_ptr() as usize - event.as_ptr() as usize;
    (start, start + part.len())
}

pub fn raw_value(event: &mut Event<'_>, keep: &HashSet<String>, out: &mut BytesMut) {
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        object: Inner<'a>,
    }
    #[derive(Deserialize)]
    struct Inner<'a> {
        #[serde(borrow)]
        endpoints: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Endpoint<'a> {
        #[serde(borrow, rename = "nodeName")]
        node_name: Cow<'a, str>,
    }
    let outer: Outer<'_> = serde_json::from_slice(event.bytes).unwrap();
    let array = outer.object.endpoints.get();
    let elements: Vec<&RawValue> = serde_json::from_str(array).unwrap();
    let kept = elements.into_iter().filter(|element| {
        let endpoint: Endpoint<'_> = serde_json::from_str(element.get()).unwrap();
        keep.contains(&*endpoint.node_name)
    });
    splice(
        event.bytes,
        place(event.bytes, array),
        kept.map(|element| element.get().as_bytes()),
        out,
    );
}

pub fn sonic_lazy(event: &mut Event<'_>, keep: &HashSet<String>, out: &mut BytesMut) {
    let array = sonic_rs::get(event.bytes, ["object", "endpoints"]).unwrap();
    let array = array.as_raw_str();
    let mut kept = Vec::with_capacity(128);
    for element in sonic_rs::to_array_iter(array) {
        let element = element.unwrap();
        if keep.contains(element.get("nodeName").as_str().unwrap()) {
            kept.push(place(event.bytes, element.as_raw_str()));
        }
    }
    splice(
        event.bytes,
        place(event.bytes, array),
        kept.into_iter().map(|(start, end)| &event.bytes[start..end]),
        out,
    );
}

pub fn sonic_value(event: &mut Event<'_>, keep: &HashSet<String>, out: &mut BytesMut) {
    let mut value: sonic_rs::Value = sonic_rs::from_slice(event.bytes).unwrap();
    let endpoints =
        value.get_mut("object").unwrap().get_mut("endpoints").unwrap().as_array_mut().unwrap();
    endpoints.retain(|endpoint| keep.contains(endpoint.get("nodeName").as_str().unwrap()));
    out.extend_from_slice(&sonic_rs::to_vec(&value).unwrap());
}

pub fn simd(event: &mut Event<'_>, keep: &HashSet<String>, out: &mut BytesMut) {
    event.scratch.clear();
    event.scratch.extend_from_slice(event.bytes);
    let mut value = simd_json::to_borrowed_value(event.scratch).unwrap();
    let endpoints =
        value.get_mut("object").unwrap().get_mut("endpoints").unwrap().as_array_mut().unwrap();
    endpoints.retain(|endpoint| keep.contains(endpoint.get_str("nodeName").unwrap()));
    out.extend_from_slice(value.encode().as_bytes());
}

pub fn jiter(event: &mut Event<'_>, keep: &HashSet<String>, out: &mut BytesMut) {
    let mut reader = Jiter::new(event.bytes);
    let mut kept = Vec::with_capacity(128);
    let mut array = (0, 0);
    let mut key = reader.next_object().unwrap().map(|key| key == "object");
    while let Some(is_object) = key {
        if is_object {
            let mut member = reader.next_object().unwrap().map(|key| key == "endpoints");
            while let Some(is_endpoints) = member {
                if is_endpoints {
                    array = endpoints(&mut reader, keep, &mut kept);
                } else {
                    reader.next_skip().unwrap();
                }
                member = reader.next_key().unwrap().map(|key| key == "endpoints");
            }
        } else {
            reader.next_skip().unwrap();
        }
        key = reader.next_key().unwrap().map(|key| key == "object");
    }
    splice(event.bytes, array, kept.into_iter().map(|(start, end)| &event.bytes[start..end]), out);
}

fn endpoints(
    reader: &mut Jiter<'_>,
    keep: &HashSet<String>,
    kept: &mut Vec<(usize, usize)>,
) -> (usize, usize) {
    let start = reader.current_index();
    let mut element = reader.next_array().unwrap();
    while element.is_some() {
        let from = reader.current_index();
        let mut is_kept = false;
        let mut key = reader.next_object().unwrap().map(|key| key == "nodeName");
        while let Some(is_node) = key {
            if is_node {
                is_kept = keep.contains(reader.next_str().unwrap());
            } else {
                reader.next_skip().unwrap();
            }
            key = reader.next_key().unwrap().map(|key| key == "nodeName");
        }
        if is_kept {
            kept.push((from, reader.current_index()));
        }
        element = reader.array_step().unwrap();
    }
    (start, reader.current_index())
}

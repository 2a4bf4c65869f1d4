//! The client's own decoder: from the bytes of a response to slices, and strict about every byte.

use prost::Message;
use serde::Deserialize;
use serde_json::Value;

use super::object::{Encoding, Kind, Slice};
use super::wire::Change;
use crate::schema;

/// One watch event as a client reads it.
#[derive(Debug, Clone)]
pub enum Said {
    Object(Change, Box<Slice>),
    Bookmark { rv: u64, end: bool },
    Error(u16),
}

impl Said {
    /// The resourceVersion that a reflector stores.
    pub fn rv(&self) -> Option<u64> {
        match self {
            Said::Object(_, slice) => slice.metadata.resource_version.parse().ok(),
            Said::Bookmark { rv, .. } => Some(*rv),
            Said::Error(_) => None,
        }
    }

    pub fn brief(&self) -> String {
        match self {
            Said::Object(change, slice) => {
                let nodes: Vec<&str> = slice
                    .endpoints
                    .iter()
                    .map(|endpoint| endpoint.node_name.as_deref().unwrap_or("-"))
                    .collect();
                format!(
                    "{} {}@{} {nodes:?}",
                    change.word(),
                    slice.key(),
                    slice.metadata.resource_version
                )
            }
            Said::Bookmark { rv, end } => {
                format!("BOOKMARK@{rv}{}", if *end { " end" } else { "" })
            }
            Said::Error(code) => format!("ERROR {code}"),
        }
    }
}

/// Reads the events of a watch from bytes that come in pieces.
#[derive(Default)]
pub struct Events {
    held: Vec<u8>,
    over: bool,
    /// JSON: the last event was read before the newline that has to follow it.
    newline_due: bool,
}

impl Events {
    /// Takes more bytes. Errors say what no API server would have sent. An event counts as soon as
    /// it is there: decoders that read value by value do not wait for the newline, those that
    /// read by lines need it.
    pub fn take(
        &mut self,
        bytes: &[u8],
        kind: Kind,
        encoding: Encoding,
    ) -> Result<Vec<Said>, String> {
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let mut bytes = bytes;
        if std::mem::take(&mut self.newline_due) {
            bytes = bytes.strip_prefix(b"\n").ok_or("no newline after an event")?;
        }
        if self.over && !bytes.is_empty() {
            return Err(format!("{} bytes after an ERROR event", bytes.len()));
        }
        self.held.extend_from_slice(bytes);
        let (mut said, mut start) = (Vec::new(), 0);
        while let Some((event, end)) = next(&self.held[start..], kind, encoding)? {
            start += end;
            self.over |= matches!(event, Said::Error(_));
            said.push(event);
            if self.over && start < self.held.len() {
                return Err(format!("{} bytes after an ERROR event", self.held.len() - start));
            }
        }
        self.held.drain(..start);
        if encoding == Encoding::Json
            && self.held.ends_with(b"}")
            && serde_json::from_slice::<Value>(&self.held).is_ok()
        {
            let event = json_event(&std::mem::take(&mut self.held), kind)?;
            self.newline_due = true;
            self.over |= matches!(event, Said::Error(_));
            said.push(event);
        }
        Ok(said)
    }

    /// Whether everything that was taken makes whole events.
    pub fn is_whole(&self) -> bool {
        self.held.is_empty()
    }
}

fn next(bytes: &[u8], kind: Kind, encoding: Encoding) -> Result<Option<(Said, usize)>, String> {
    match encoding {
        Encoding::Json => {
            let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
            if end == 0 {
                return Err("an empty line".to_owned());
            }
            Ok(Some((json_event(&bytes[..end], kind)?, end + 1)))
        }
        Encoding::Protobuf => {
            let Some(len) = bytes.first_chunk() else { return Ok(None) };
            let len = u32::from_be_bytes(*len) as usize;
            if len == 0 {
                return Err("a frame of zero bytes".to_owned());
            }
            let Some(frame) = bytes[4..].get(..len) else { return Ok(None) };
            Ok(Some((protobuf_event(frame, kind)?, 4 + len)))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonEvent {
    r#type: String,
    object: Value,
}

fn json_event(line: &[u8], kind: Kind) -> Result<Said, String> {
    // Refuses a line with two events, and one with half an event, too.
    let event: JsonEvent = serde_json::from_slice(line)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(line)))?;
    let change = match event.r#type.as_str() {
        "BOOKMARK" => {
            let object = &event.object;
            check_kind(
                kind,
                object["kind"].as_str().unwrap_or(""),
                object["apiVersion"].as_str().unwrap_or(""),
            )?;
            let metadata = &object["metadata"];
            let rv = metadata["resourceVersion"]
                .as_str()
                .and_then(|rv| rv.parse().ok())
                .ok_or("a bookmark without resourceVersion")?;
            return Ok(Said::Bookmark {
                rv,
                end: metadata["annotations"]["k8s.io/initial-events-end"] == "true",
            });
        }
        "ERROR" => {
            let code = event.object["code"]
                .as_u64()
                .filter(|_| event.object["kind"] == "Status")
                .ok_or("an ERROR without a Status")?;
            return Ok(Said::Error(code as u16));
        }
        word => change(word)?,
    };
    let mut slice = Slice::of_json(kind, event.object)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(line)))?;
    let (said, api_version) = (slice.kind.take(), slice.api_version.take());
    check_kind(kind, &said.unwrap_or_default(), &api_version.unwrap_or_default())?;
    checked(change, slice)
}

fn protobuf_event(frame: &[u8], kind: Kind) -> Result<Said, String> {
    let wrong = |error: prost::DecodeError| error.to_string();
    let event = schema::WatchEvent::decode(frame).map_err(wrong)?;
    let (said, api_version, raw) = unwrapped(&event.object.unwrap_or_default().raw)?;
    if event.r#type == "ERROR" {
        return match said.as_str() {
            "Status" => Ok(Said::Error(Status::decode(&*raw).map_err(wrong)?.code as u16)),
            _ => Err("an ERROR without a Status".to_owned()),
        };
    }
    check_kind(kind, &said, &api_version)?;
    if event.r#type == "BOOKMARK" {
        // Metadata stands in the same place in every kind.
        let metadata = Bookmark::decode(&*raw).map_err(wrong)?.metadata.unwrap_or_default();
        let rv =
            metadata.resource_version.parse().map_err(|_| "a bookmark without resourceVersion")?;
        return Ok(Said::Bookmark {
            rv,
            end: metadata
                .annotations
                .get("k8s.io/initial-events-end")
                .is_some_and(|value| value == "true"),
        });
    }
    checked(change(&event.r#type)?, Slice::of_message(kind, &raw)?)
}

#[derive(Clone, PartialEq, prost::Message)]
struct Bookmark {
    #[prost(message, optional, tag = "1")]
    metadata: Option<schema::ObjectMeta>,
}

fn checked(change: Change, slice: Slice) -> Result<Said, String> {
    match slice.metadata.resource_version.parse::<u64>() {
        Ok(_) => Ok(Said::Object(change, Box::new(slice))),
        Err(_) => Err(format!(
            "{} has resourceVersion {:?}",
            slice.key(),
            slice.metadata.resource_version
        )),
    }
}

fn change(word: &str) -> Result<Change, String> {
    [Change::Added, Change::Modified, Change::Deleted]
        .into_iter()
        .find(|change| change.word() == word)
        .ok_or_else(|| format!("an event of type {word:?}"))
}

fn check_kind(kind: Kind, said: &str, api_version: &str) -> Result<(), String> {
    if (said, api_version) == (kind.name(), kind.api_version()) {
        return Ok(());
    }
    Err(format!("an object of kind {said:?} and apiVersion {api_version:?}"))
}

/// Kind, apiVersion and content of what stands in an envelope.
fn unwrapped(bytes: &[u8]) -> Result<(String, String, Vec<u8>), String> {
    let bytes = bytes.strip_prefix(b"k8s\0").ok_or("no envelope")?;
    let unknown = schema::Unknown::decode(bytes).map_err(|error| error.to_string())?;
    let meta = unknown.type_meta.unwrap_or_default();
    Ok((meta.kind, meta.api_version, unknown.raw))
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(int32, tag = "6")]
    code: i32,
}

/// The code of a Status that is the body of a response.
pub fn status(body: &[u8], encoding: Encoding) -> Result<u16, String> {
    match encoding {
        Encoding::Json => {
            let status: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
            status["code"]
                .as_u64()
                .filter(|_| status["kind"] == "Status")
                .map(|code| code as u16)
                .ok_or_else(|| "no Status".to_owned())
        }
        Encoding::Protobuf => {
            let (kind, _, raw) = unwrapped(body)?;
            if kind != "Status" {
                return Err(format!("a {kind} and no Status"));
            }
            Ok(Status::decode(&*raw).map_err(|error| error.to_string())?.code as u16)
        }
    }
}

/// A list of slices, or one page of it.
#[derive(Debug)]
pub struct Page {
    pub rv: u64,
    pub next: Option<String>,
    pub items: Vec<Slice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JsonList {
    kind: String,
    api_version: String,
    metadata: JsonListMeta,
    items: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JsonListMeta {
    resource_version: String,
    #[serde(default)]
    r#continue: String,
    #[serde(default)]
    #[allow(dead_code)]
    remaining_item_count: u64,
}

impl Page {
    pub fn read(body: &[u8], kind: Kind, encoding: Encoding) -> Result<Page, String> {
        let (rv, next, items) = match encoding {
            Encoding::Json => {
                let list: JsonList =
                    serde_json::from_slice(body).map_err(|error| error.to_string())?;
                check_kind(kind, list.kind.strip_suffix("List").unwrap_or(""), &list.api_version)?;
                let items = list
                    .items
                    .into_iter()
                    .map(|item| Slice::of_json(kind, item))
                    .collect::<Result<Vec<_>, _>>()?;
                if items.iter().any(|item| item.kind.is_some() || item.api_version.is_some()) {
                    return Err("an item that says what it is".to_owned());
                }
                (list.metadata.resource_version, list.metadata.r#continue, items)
            }
            Encoding::Protobuf => {
                let (said, api_version, raw) = unwrapped(body)?;
                check_kind(kind, said.strip_suffix("List").unwrap_or(""), &api_version)?;
                let list = schema::List::decode(&*raw).map_err(|error| error.to_string())?;
                let metadata = list.metadata.unwrap_or_default();
                let items = list
                    .items
                    .iter()
                    .map(|item| Slice::of_message(kind, item))
                    .collect::<Result<_, _>>()?;
                (metadata.resource_version, metadata.r#continue, items)
            }
        };
        let rv = rv.parse().map_err(|_| format!("a list with resourceVersion {rv:?}"))?;
        Ok(Page { rv, next: Some(next).filter(|next| !next.is_empty()), items })
    }
}

//! Bodies as the API server writes them: lists, watch events and statuses, on either wire.

use std::rc::Rc;

use super::object::{Encoding, Kind, Object};

/// The type of a watch event that carries an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Added,
    Modified,
    Deleted,
}

impl Change {
    pub fn word(self) -> &'static str {
        match self {
            Change::Added => "ADDED",
            Change::Modified => "MODIFIED",
            Change::Deleted => "DELETED",
        }
    }
}

impl Encoding {
    pub fn media_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    pub fn content_type(self, watch: bool) -> String {
        match (self, watch) {
            (Encoding::Protobuf, true) => format!("{};stream=watch", self.media_type()),
            _ => self.media_type().to_owned(),
        }
    }

    /// A list, or one page of it.
    pub fn list(
        self,
        kind: Kind,
        items: &[Rc<Object>],
        rv: u64,
        next: &str,
        rest: usize,
    ) -> Vec<u8> {
        let (name, api_version) = (kind.name(), kind.api_version());
        match self {
            Encoding::Json => {
                let page = match next {
                    "" => String::new(),
                    next => format!(r#","continue":"{next}","remainingItemCount":{rest}"#),
                };
                let metadata = format!(r#""metadata":{{"resourceVersion":"{rv}"{page}}}"#);
                let own = kind == Kind::Pool;
                let items = items.iter().map(|item| item.json(own)).collect::<Vec<_>>().join(",");
                // Lists of custom resources have their keys sorted.
                match kind {
                    Kind::Pool => format!(r#"{{"apiVersion":"{api_version}","items":[{items}],"kind":"{name}List",{metadata}}}"#),
                    _ => format!(r#"{{"kind":"{name}List","apiVersion":"{api_version}",{metadata},"items":[{items}]}}"#),
                }
                .into_bytes()
                .into_iter()
                .chain(*b"\n")
                .collect()
            }
            Encoding::Protobuf => {
                let mut metadata = Vec::new();
                record(&mut metadata, 1, b"");
                record(&mut metadata, 2, rv.to_string().as_bytes());
                record(&mut metadata, 3, next.as_bytes());
                if !next.is_empty() {
                    number(&mut metadata, 4, rest as u64);
                }
                let mut list = Vec::new();
                record(&mut list, 1, &metadata);
                for item in items {
                    record(&mut list, 2, &item.protobuf());
                }
                envelope(api_version, &format!("{name}List"), &list)
            }
        }
    }

    pub fn event(self, change: Change, object: &Object) -> Vec<u8> {
        match self {
            Encoding::Json => line(change.word(), &object.json(true)),
            Encoding::Protobuf => frame(change.word(), object.kind, &object.protobuf()),
        }
    }

    /// A bookmark; `end`: the one that ends the initial events.
    pub fn bookmark(self, kind: Kind, rv: u64, end: bool) -> Vec<u8> {
        let annotation =
            if end { r#","annotations":{"k8s.io/initial-events-end":"true"}"# } else { "" };
        match self {
            Encoding::Json => {
                let (name, api_version) = (kind.name(), kind.api_version());
                let rest = match kind {
                    Kind::Slice => r#","addressType":"","endpoints":null,"ports":null"#,
                    Kind::Service => r#","spec":{},"status":{"loadBalancer":{}}"#,
                    Kind::Node | Kind::Pool => "",
                };
                let metadata = format!(r#""metadata":{{"resourceVersion":"{rv}"{annotation}}}"#);
                line(
                    "BOOKMARK",
                    &format!(
                        r#"{{"kind":"{name}","apiVersion":"{api_version}",{metadata}{rest}}}"#
                    ),
                )
            }
            Encoding::Protobuf => {
                let mut metadata = Vec::new();
                for field in 1..=5 {
                    record(&mut metadata, field, b"");
                }
                record(&mut metadata, 6, rv.to_string().as_bytes());
                number(&mut metadata, 7, 0);
                record(&mut metadata, 8, b"");
                if end {
                    let mut entry = Vec::new();
                    record(&mut entry, 1, b"k8s.io/initial-events-end");
                    record(&mut entry, 2, b"true");
                    record(&mut metadata, 12, &entry);
                }
                let mut object = Vec::new();
                record(&mut object, 1, &metadata);
                match kind {
                    Kind::Slice => record(&mut object, 4, b""),
                    Kind::Service | Kind::Node | Kind::Pool => {
                        record(&mut object, 2, b"");
                        record(&mut object, 3, b"");
                    }
                }
                frame("BOOKMARK", kind, &object)
            }
        }
    }

    /// An ERROR event.
    pub fn error(self, code: u16) -> Vec<u8> {
        match self {
            Encoding::Json => line("ERROR", &json_status(code)),
            Encoding::Protobuf => enclosed("ERROR", &protobuf_status(code)),
        }
    }

    /// The body of an answer that is an error.
    pub fn status(self, code: u16) -> Vec<u8> {
        match self {
            Encoding::Json => format!("{}\n", json_status(code)).into_bytes(),
            Encoding::Protobuf => protobuf_status(code),
        }
    }
}

fn reason(code: u16) -> (&'static str, &'static str) {
    match code {
        410 => ("Expired", "too old resource version: 1 (90)"),
        429 => ("TooManyRequests", "storage is (re)initializing"),
        _ => ("InternalError", "an error on the server has prevented the request from succeeding"),
    }
}

fn json_status(code: u16) -> String {
    let (reason, message) = reason(code);
    format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"{message}","reason":"{reason}","code":{code}}}"#
    )
}

fn protobuf_status(code: u16) -> Vec<u8> {
    let (reason, message) = reason(code);
    let mut status = Vec::new();
    record(&mut status, 1, b"\x0a\x00\x12\x00\x1a\x00");
    record(&mut status, 2, b"Failure");
    record(&mut status, 3, message.as_bytes());
    record(&mut status, 4, reason.as_bytes());
    number(&mut status, 6, u64::from(code));
    envelope("v1", "Status", &status)
}

fn line(word: &str, object: &str) -> Vec<u8> {
    format!("{{\"type\":\"{word}\",\"object\":{object}}}\n").into_bytes()
}

fn envelope(api_version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
    let mut type_meta = Vec::new();
    record(&mut type_meta, 1, api_version.as_bytes());
    record(&mut type_meta, 2, kind.as_bytes());
    let mut out = b"k8s\0".to_vec();
    record(&mut out, 1, &type_meta);
    record(&mut out, 2, object);
    out.extend_from_slice(b"\x1a\x00\x22\x00");
    out
}

fn frame(word: &str, kind: Kind, object: &[u8]) -> Vec<u8> {
    enclosed(word, &envelope(kind.api_version(), kind.name(), object))
}

fn enclosed(word: &str, object: &[u8]) -> Vec<u8> {
    let (mut extension, mut event) = (Vec::new(), Vec::new());
    record(&mut extension, 1, object);
    record(&mut event, 1, word.as_bytes());
    record(&mut event, 2, &extension);
    let mut out = (event.len() as u32).to_be_bytes().to_vec();
    out.append(&mut event);
    out
}

/// A record of wire type 2.
pub fn record(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    prost::encoding::encode_varint(u64::from(number << 3 | 2), out);
    prost::encoding::encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// A record of wire type 0.
pub fn number(out: &mut Vec<u8>, number: u32, value: u64) {
    prost::encoding::encode_varint(u64::from(number << 3), out);
    prost::encoding::encode_varint(value, out);
}

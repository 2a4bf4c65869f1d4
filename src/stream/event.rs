//! Events that poolscope emits itself: MODIFIED for an object that a client needs again, a
//! BOOKMARK, and the ERROR that ends a watch (B1.1, B1.2, B1.7).

use bytes::BytesMut;

use super::item::Item;
use super::status::Status;
use crate::object::SubjectKind;
use crate::object::envelope::MAGIC;
use crate::object::version::Version;
use crate::wire::encoding::Encoding;
use crate::wire::protobuf::{put_head, put_record, varint_width};
use crate::wire::splice::{Edit, Output};

const ADDED: &str = "ADDED";
const MODIFIED: &str = "MODIFIED";

const DELETED: &str = "DELETED";

/// The type of an event that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventType {
    /// The client does not have it, or it is among the initial events of a watch.
    Added,
    Modified,
    /// It may not have it any more.
    Deleted,
}

/// Appends the event for the object of an item with `edit` applied. JSON ends with a
/// newline, as every event of the API server does.
pub(super) fn write_object(
    event_type: EventType,
    kind: SubjectKind,
    item: &Item<'_>,
    edit: &Edit,
    out: &mut Output<'_>,
) {
    let (buf, object) = (item.buf, item.object);
    let event = match event_type {
        EventType::Added => ADDED,
        EventType::Modified => MODIFIED,
        EventType::Deleted => DELETED,
    };
    match item.encoding {
        Encoding::Json => {
            for part in [r#"{"type":""#, event, r#"","object":"#] {
                out.put(part.as_bytes());
            }
            if object.of(buf).contains(&b'\n') {
                // It is from a list that was written for people. An event is a line (B1.1), and
                // inside strings newlines are escaped.
                let mut lines = BytesMut::new();
                edit.write(buf, object, &mut Output::to(&mut lines));
                lines[..]
                    .split(|byte| matches!(byte, b'\n' | b'\r'))
                    .for_each(|part| out.put(part));
            } else {
                edit.write(buf, object, out);
            }
            out.put(b"}\n");
        }
        Encoding::Protobuf => {
            let size = edit.resized(object.len());
            write_frame(event, kind.api_version(), kind.kind(), size, out, |out| {
                edit.write(buf, object, out)
            });
        }
    }
}

/// Appends a bookmark as the API server writes one: an empty object of the watched kind with
/// nothing but the version.
pub(super) fn write_bookmark(
    kind: SubjectKind,
    encoding: Encoding,
    version: Version,
    out: &mut Output<'_>,
) {
    let (api_version, name) = (kind.api_version(), kind.kind());
    let version = version.to_string();
    match encoding {
        Encoding::Json => {
            let rest = match kind {
                SubjectKind::EndpointSlice | SubjectKind::EndpointSliceBeta => {
                    r#","addressType":"","endpoints":null,"ports":null"#
                }
                SubjectKind::Endpoints => "",
                SubjectKind::Service => r#","spec":{},"status":{"loadBalancer":{}}"#,
            };
            let object = format!(
                r#"{{"kind":"{name}","apiVersion":"{api_version}","metadata":{{"resourceVersion":"{version}"}}{rest}}}"#
            );
            out.put(format!("{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n").as_bytes());
        }
        Encoding::Protobuf => {
            // ObjectMeta with every field that is always written (B2).
            let mut metadata = b"\x0a\x00\x12\x00\x1a\x00\x22\x00\x2a\x00".to_vec();
            put_record(&mut metadata, 6, version.as_bytes());
            metadata.extend_from_slice(b"\x38\x00\x42\x00");
            let mut object = Vec::new();
            put_record(&mut object, 1, &metadata);
            match kind {
                SubjectKind::EndpointSlice | SubjectKind::EndpointSliceBeta => {
                    put_record(&mut object, 4, b"")
                }
                SubjectKind::Endpoints => {}
                SubjectKind::Service => {
                    put_record(&mut object, 2, EMPTY_SPEC);
                    put_record(&mut object, 3, b"\x0a\x00");
                }
            }
            write_frame("BOOKMARK", api_version, name, object.len(), out, |out| out.put(&object));
        }
    }
}

/// Appends the event that tells a client to relist.
pub(super) fn write_expired(encoding: Encoding, message: &str, out: &mut Output<'_>) {
    let status = Status::expired(message).object(encoding);
    match encoding {
        Encoding::Json => {
            for part in [&br#"{"type":"ERROR","object":"#[..], &status, b"}\n"] {
                out.put(part);
            }
        }
        Encoding::Protobuf => {
            write_frame("ERROR", "v1", "Status", status.len(), out, |out| out.put(&status))
        }
    }
}

/// A ServiceSpec with every field that is always written (B2).
const EMPTY_SPEC: &[u8] = b"\x1a\x00\x22\x00\x3a\x00\x42\x00\x52\x00\x5a\x00\x60\x00\x68\x00";

/// A watch frame around an object of `size` bytes: length, metav1.WatchEvent, RawExtension,
/// envelope.
fn write_frame(
    event: &str,
    api_version: &str,
    kind: &str,
    size: usize,
    out: &mut Output<'_>,
    object: impl FnOnce(&mut Output<'_>),
) {
    let envelope = envelope_size(api_version, kind, size);
    let raw = record_size(envelope);
    let frame = record_size(event.len()) + record_size(raw);
    out.put(&(frame as u32).to_be_bytes());
    let mut head = Vec::with_capacity(64);
    put_record(&mut head, 1, event.as_bytes());
    put_head(&mut head, 2, raw);
    put_head(&mut head, 1, envelope);
    out.put(&head);
    write_envelope(api_version, kind, size, out, object);
}

/// `k8s\0` and runtime.Unknown around an object of `size` bytes.
pub(super) fn write_envelope(
    api_version: &str,
    kind: &str,
    size: usize,
    out: &mut Output<'_>,
    object: impl FnOnce(&mut Output<'_>),
) {
    let mut head = MAGIC.to_vec();
    put_record(&mut head, 1, &type_meta(api_version, kind));
    put_head(&mut head, 2, size);
    out.put(&head);
    object(out);
    out.put(TRAILER);
}

/// contentEncoding and contentType, which are always written and always empty.
const TRAILER: &[u8] = b"\x1a\x00\x22\x00";

fn envelope_size(api_version: &str, kind: &str, size: usize) -> usize {
    MAGIC.len()
        + record_size(type_meta(api_version, kind).len())
        + record_size(size)
        + TRAILER.len()
}

fn type_meta(api_version: &str, kind: &str) -> Vec<u8> {
    let mut meta = Vec::with_capacity(48);
    put_record(&mut meta, 1, api_version.as_bytes());
    put_record(&mut meta, 2, kind.as_bytes());
    meta
}

/// Bytes of a field with so much content. Every number here takes one byte.
fn record_size(content: usize) -> usize {
    1 + varint_width(content as u64) + content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
        text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    fn written(write: impl FnOnce(&mut Output<'_>)) -> Vec<u8> {
        let mut out = BytesMut::new();
        write(&mut Output::to(&mut out));
        out.to_vec()
    }

    #[test]
    fn frames_are_those_of_the_api_server() {
        let slice = SubjectKind::EndpointSlice;
        let bookmark =
            written(|out| write_bookmark(slice, Encoding::Protobuf, Version(Some(101)), out));
        let golden = "000000550a08424f4f4b4d41524b12490a476b3873000a240a13646973636f766572792e6b38732e696f2f7631120d456e64706f696e74536c6963651217\
                      0a130a0012001a0022002a0032033130313800420022001a002200";
        assert_eq!(bookmark, hex(golden));
        let bookmark = written(|out| {
            write_bookmark(SubjectKind::Service, Encoding::Protobuf, Version(Some(321)), out)
        });
        let golden = "000000520a08424f4f4b4d41524b12460a446b3873000a0d0a0276311207536572766963\
                      65122b0a130a0012001a0022002a0032033332313800420012101a0022003a00420052005a00600068001a020a001a002200";
        assert_eq!(bookmark, hex(golden));
        let error = written(|out| {
            write_expired(Encoding::Protobuf, "too old resource version: 1 (90)", out)
        });
        let golden = "000000620a054552524f5212590a576b3873000a0c0a0276311206537461747573123f0a060a0012001a0012074661696c7572651a20746f6f206f6c64207265\
                      736f757263652076657273696f6e3a20312028393029220745787069726564309a031a002200";
        // Without StatusDetails, which the API server leaves out too.
        assert_eq!(error, hex(golden));
    }

    #[test]
    fn json_is_that_of_the_api_server() {
        let bookmark = written(|out| {
            write_bookmark(SubjectKind::EndpointSlice, Encoding::Json, Version(Some(101)), out)
        });
        let golden = r#"{"type":"BOOKMARK","object":{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"101"},"addressType":"","endpoints":null,"ports":null}}"#;
        assert_eq!(bookmark, format!("{golden}\n").into_bytes());
        let bookmark = written(|out| {
            write_bookmark(SubjectKind::Service, Encoding::Json, Version(Some(321)), out)
        });
        let golden = r#"{"type":"BOOKMARK","object":{"kind":"Service","apiVersion":"v1","metadata":{"resourceVersion":"321"},"spec":{},"status":{"loadBalancer":{}}}}"#;
        assert_eq!(bookmark, format!("{golden}\n").into_bytes());
        let error =
            written(|out| write_expired(Encoding::Json, "too old resource version: 1 (90)", out));
        let golden = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (90)","reason":"Expired","code":410}}"#;
        assert_eq!(error, format!("{golden}\n").into_bytes());
    }
}

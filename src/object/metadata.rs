//! ObjectMeta: as spans for what is rewritten, as values for facts.
//!
//! Protobuf numbers (B2): 1 name, 3 namespace, 6 resourceVersion, 7 generation, 11 labels, 12
//! annotations, 17 managedFields. Maps are repeated entries {1 key, 2 value}.

use super::go::{go_struct, read_json};
use super::outline::{LAST_CHANGE_ANNOTATION, Outline, SERVICE_NAME_LABEL, VersionPlace};
use crate::error::Fault;
use crate::hash::HashMap;
use crate::wire::Span;
use crate::wire::encoding::Encoding;
use crate::wire::protobuf::{Field, Fields};

/// Reads the metadata that is `metadata` into `outline`. Called again for a repeated field, as
/// decoders merge the two.
pub(super) fn outline_metadata(
    buf: &[u8],
    metadata: &Field,
    outline: &mut Outline,
) -> Result<(), Fault> {
    let content = metadata.len_delimited()?;
    outline.silent.push(metadata.length());
    let mut fields = Fields::new(buf, content);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => outline.name = Some(field.len_delimited()?),
            3 => outline.namespace = Some(field.len_delimited()?),
            6 => {
                let text = field.len_delimited()?;
                outline.version = Some(VersionPlace {
                    text,
                    lengths: Some((field.length(), metadata.length(), content)),
                });
                outline.silent.push(field.record());
            }
            7 | 17 => outline.silent.push(field.record()),
            11 => {
                if let Some(value) =
                    is_map_entry_for(buf, field.len_delimited()?, SERVICE_NAME_LABEL.as_bytes())?
                {
                    outline.service_name = Some(value);
                }
            }
            12 if is_map_entry_for(
                buf,
                field.len_delimited()?,
                LAST_CHANGE_ANNOTATION.as_bytes(),
            )?
            .is_some() =>
            {
                outline.silent.push(field.record());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The value of the map entry at `entry` if its key is `key`. A missing value is an empty one.
pub(super) fn is_map_entry_for(buf: &[u8], entry: Span, key: &[u8]) -> Result<Option<Span>, Fault> {
    let mut found = false;
    let mut value = Span::new(entry.end, entry.end);
    let mut fields = Fields::new(buf, entry);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => found = field.len_delimited()?.of(buf) == key,
            2 => value = field.len_delimited()?,
            _ => {}
        }
    }
    Ok(found.then_some(value))
}

/// The metadata that facts need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) resource_version: String,
    pub(crate) labels: HashMap<String, String>,
    pub(crate) annotations: HashMap<String, String>,
    /// The kind that a JSON object says it is; items of built-in lists say none.
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// Reads the metadata of a whole object; `None` if it has none that a decoder would accept.
    pub(crate) fn read(object: &[u8], encoding: Encoding) -> Option<Metadata> {
        match encoding {
            Encoding::Json => {
                let object: JsonObject = read_json(object)?;
                let JsonMetadata { name, namespace, resource_version, labels, annotations } =
                    object.metadata?;
                Some(Metadata {
                    name,
                    namespace,
                    resource_version,
                    labels,
                    annotations,
                    kind: object.kind,
                })
            }
            Encoding::Protobuf => {
                let metadata = <ProtobufObject as prost::Message>::decode(object).ok()?.metadata?;
                Some(Metadata {
                    name: text(metadata.name),
                    namespace: text(metadata.namespace),
                    resource_version: text(metadata.resource_version),
                    labels: entries(metadata.labels),
                    annotations: entries(metadata.annotations),
                    kind: None,
                })
            }
        }
    }
}

/// The kind of a metadata-only object. Its list has this name and `List`.
pub(crate) const PARTIAL_OBJECT_METADATA: &str = "PartialObjectMetadata";

go_struct!(JsonObject {
    "kind" => kind: Option<String>,
    "metadata" => metadata: Option<JsonMetadata>,
});
go_struct!(JsonMetadata {
    "name" => name: String,
    "namespace" => namespace: String,
    "resourceVersion" => resource_version: String,
    "labels" => labels: HashMap<String, String>,
    "annotations" => annotations: HashMap<String, String>,
});

#[derive(prost::Message)]
struct ProtobufObject {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ProtobufMetadata>,
}

/// Strings as bytes: the API server's decoder does not look at UTF-8, and a text that is wrong
/// there must not hide the rest.
#[derive(prost::Message)]
struct ProtobufMetadata {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    namespace: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    resource_version: Vec<u8>,
    #[prost(message, repeated, tag = "11")]
    labels: Vec<Entry>,
    #[prost(message, repeated, tag = "12")]
    annotations: Vec<Entry>,
}

#[derive(prost::Message)]
pub(super) struct Entry {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

pub(super) fn entries(entries: Vec<Entry>) -> HashMap<String, String> {
    entries.into_iter().map(|Entry { key, value }| (text(key), text(value))).collect()
}

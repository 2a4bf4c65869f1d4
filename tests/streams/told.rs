//! The events as a client reads them, one short line per object: `MODIFIED web-1@90 me friend`.

use prost::Message;
use serde_json::Value;

use super::object::Encoding;
use poolscope_testkit::build::Kind;
use poolscope_testkit::schema;

/// The events of a watch, each whole: a client that reads lines reads the same.
pub fn events(kind: Kind, encoding: Encoding, bytes: &[u8]) -> Vec<String> {
    match encoding {
        Encoding::Json => {
            assert!(matches!(bytes.last(), None | Some(b'\n')), "the last event has no newline");
            let text = std::str::from_utf8(bytes).unwrap();
            let event = |line: &str| {
                let event: Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
                format!(
                    "{} {}",
                    event["type"].as_str().unwrap(),
                    of_json(kind, &event["object"], true)
                )
            };
            text.split_terminator('\n').map(event).collect()
        }
        Encoding::Protobuf => {
            let (mut events, mut rest) = (Vec::new(), bytes);
            while !rest.is_empty() {
                let (length, after) = rest.split_at(4);
                let (frame, after) =
                    after.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
                let event = schema::WatchEvent::decode(frame).unwrap();
                events.push(format!(
                    "{} {}",
                    event.r#type,
                    of_envelope(kind, &event.object.unwrap().raw)
                ));
                rest = after;
            }
            events
        }
    }
}

/// The items of a list, and its version.
pub fn list(kind: Kind, encoding: Encoding, bytes: &[u8]) -> (Vec<String>, String) {
    match encoding {
        Encoding::Json => {
            let list: Value = serde_json::from_slice(bytes).unwrap();
            let items =
                list["items"].as_array().unwrap().iter().map(|item| of_json(kind, item, false));
            (items.collect(), list["metadata"]["resourceVersion"].as_str().unwrap().to_owned())
        }
        Encoding::Protobuf => {
            let (kind_of_list, raw) = opened(bytes);
            assert_eq!(kind_of_list, format!("{}List", kind.name()));
            let list = schema::List::decode(&*raw).unwrap();
            (
                list.items.iter().map(|item| of_protobuf(kind, item)).collect(),
                list.metadata.unwrap().resource_version,
            )
        }
    }
}

/// The object that is a whole body.
pub fn single(kind: Kind, encoding: Encoding, bytes: &[u8]) -> String {
    match encoding {
        Encoding::Json => of_json(kind, &serde_json::from_slice(bytes).unwrap(), true),
        Encoding::Protobuf => of_envelope(kind, bytes),
    }
}

/// The Status that is a whole body.
pub fn status(encoding: Encoding, bytes: &[u8]) -> String {
    match encoding {
        Encoding::Json => status_of_json(&serde_json::from_slice(bytes).unwrap()),
        Encoding::Protobuf => of_envelope(Kind::Slice, bytes),
    }
}

fn of_json(kind: Kind, object: &Value, says_kind: bool) -> String {
    if object["kind"] == "Status" {
        return status_of_json(object);
    }
    if says_kind {
        assert_eq!(
            (&object["kind"], &object["apiVersion"]),
            (&kind.name().into(), &kind.api_version().into())
        );
    }
    let endpoints: Vec<&Value> = match kind {
        Kind::Endpoints => {
            let subsets = object["subsets"].as_array().into_iter().flatten();
            let arrays =
                subsets.flat_map(|subset| [&subset["addresses"], &subset["notReadyAddresses"]]);
            arrays.filter_map(Value::as_array).flatten().collect()
        }
        _ => object["endpoints"].as_array().into_iter().flatten().collect(),
    };
    let node = |endpoint: &Value| match kind {
        Kind::Beta => endpoint["topology"]["kubernetes.io/hostname"].as_str().unwrap().to_owned(),
        _ => endpoint["nodeName"].as_str().unwrap().to_owned(),
    };
    let metadata = &object["metadata"];
    let text = |key: &str| metadata[key].as_str().unwrap_or_default();
    let ends = metadata["annotations"]["k8s.io/initial-events-end"] == "true";
    line(text("name"), text("resourceVersion"), ends, endpoints.into_iter().map(node))
}

fn status_of_json(status: &Value) -> String {
    assert_eq!((&status["kind"], &status["apiVersion"]), (&"Status".into(), &"v1".into()));
    let text = |key: &str| status[key].as_str().unwrap();
    format!("{} {} {}", text("status"), status["code"], text("reason"))
}

/// Kind and object of an envelope.
fn opened(bytes: &[u8]) -> (String, Vec<u8>) {
    let unknown = schema::Unknown::decode(bytes.strip_prefix(b"k8s\0").unwrap()).unwrap();
    (unknown.type_meta.unwrap().kind, unknown.raw)
}

fn of_envelope(kind: Kind, bytes: &[u8]) -> String {
    let (said, raw) = opened(bytes);
    if said == "Status" {
        let status = Status::decode(&*raw).unwrap();
        return format!("{} {} {}", status.status, status.code, status.reason);
    }
    assert_eq!(said, kind.name());
    of_protobuf(kind, &raw)
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(string, tag = "2")]
    status: String,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(int32, tag = "6")]
    code: i32,
}

fn of_protobuf(kind: Kind, bytes: &[u8]) -> String {
    let (metadata, nodes): (_, Vec<String>) = match kind {
        Kind::Endpoints => {
            let endpoints = schema::Endpoints::decode(bytes).unwrap();
            let lists = endpoints
                .subsets
                .into_iter()
                .flat_map(|subset| [subset.addresses, subset.not_ready_addresses]);
            (endpoints.metadata, lists.flatten().filter_map(|address| address.node_name).collect())
        }
        _ => {
            let slice = schema::EndpointSlice::decode(bytes).unwrap();
            let node = |endpoint: schema::Endpoint| match kind {
                Kind::Beta => endpoint.topology["kubernetes.io/hostname"].clone(),
                _ => endpoint.node_name.unwrap(),
            };
            (slice.metadata, slice.endpoints.into_iter().map(node).collect())
        }
    };
    let metadata = metadata.unwrap();
    let ends =
        metadata.annotations.get("k8s.io/initial-events-end").is_some_and(|value| value == "true");
    line(&metadata.name, &metadata.resource_version, ends, nodes.into_iter())
}

fn line(name: &str, version: &str, ends: bool, nodes: impl Iterator<Item = String>) -> String {
    let mut line = format!("{name}@{version}");
    if ends {
        line += " ends the initial events";
    }
    nodes.for_each(|node| line += &format!(" {node}"));
    line
}

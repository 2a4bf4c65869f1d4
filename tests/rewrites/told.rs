//! The events as a client reads them, one short line per object: `ADDED shop/web@5 NodePort
//! 10.96.0.1 https=443`, `shop/web-1@5 10.0.0.1 https=6443`. Decoded by types of the tests' own.

use prost::Message;
use serde_json::Value;

use super::world::Encoding;
use poolscope_testkit::schema;

pub fn events(encoding: Encoding, bytes: &[u8]) -> Vec<String> {
    match encoding {
        Encoding::Json => {
            assert!(matches!(bytes.last(), None | Some(b'\n')), "the last event has no newline");
            let text = std::str::from_utf8(bytes).unwrap();
            let event = |line: &str| {
                let event: Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
                line_of(event["type"].as_str().unwrap(), &of_json(&event["object"], ""))
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
                events.push(line_of(&event.r#type, &of_envelope(&event.object.unwrap().raw)));
                rest = after;
            }
            events
        }
    }
}

fn line_of(event: &str, object: &str) -> String {
    if event == "BOOKMARK" {
        format!("BOOKMARK {}", object.split('@').nth(1).unwrap().split(' ').next().unwrap())
    } else {
        format!("{event} {object}")
    }
}

pub fn list(encoding: Encoding, bytes: &[u8]) -> Vec<String> {
    match encoding {
        Encoding::Json => {
            let list: Value = serde_json::from_slice(bytes)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)));
            let kind = list["kind"].as_str().unwrap().strip_suffix("List").unwrap();
            list["items"].as_array().unwrap().iter().map(|item| of_json(item, kind)).collect()
        }
        Encoding::Protobuf => {
            let (kind, raw) = opened(bytes);
            let list = schema::List::decode(&*raw).unwrap();
            list.items
                .iter()
                .map(|item| of_protobuf(item, kind.strip_suffix("List").unwrap()))
                .collect()
        }
    }
}

pub fn single(encoding: Encoding, bytes: &[u8]) -> String {
    match encoding {
        Encoding::Json => of_json(&serde_json::from_slice(bytes).unwrap(), ""),
        Encoding::Protobuf => of_envelope(bytes),
    }
}

fn opened(bytes: &[u8]) -> (String, Vec<u8>) {
    let unknown = schema::Unknown::decode(bytes.strip_prefix(b"k8s\0").unwrap()).unwrap();
    (unknown.type_meta.unwrap().kind, unknown.raw)
}

fn of_envelope(bytes: &[u8]) -> String {
    let (kind, raw) = opened(bytes);
    of_protobuf(&raw, &kind)
}

fn of_json(object: &Value, kind: &str) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = |value: &Value, key: &str| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| if key.is_empty() { text(item) } else { text(&item[key]) })
            .collect()
    };
    let kind = if kind.is_empty() { text(&object["kind"]) } else { kind.to_owned() };
    if kind == "Status" {
        return format!(
            "Status {} {} {}",
            object["code"],
            text(&object["reason"]),
            text(&object["message"])
        );
    }
    let metadata = &object["metadata"];
    let name = format!(
        "{}/{}@{}",
        text(&metadata["namespace"]),
        text(&metadata["name"]),
        text(&metadata["resourceVersion"])
    );
    let ports = |value: &Value| -> Vec<String> {
        let port = |port: &Value| {
            format!(
                "{}={}",
                text(&port["name"]),
                port["port"].as_i64().map_or("-".to_owned(), |port| port.to_string())
            )
        };
        value.as_array().into_iter().flatten().map(port).collect()
    };
    let spec = &object["spec"];
    let words = match &*kind {
        "Service" => {
            let ips = all(&spec["clusterIPs"], "");
            assert!(ips.is_empty() || ips[0] == text(&spec["clusterIP"]));
            [vec![text(&spec["type"])], ips, ports(&spec["ports"])].concat()
        }
        _ => {
            let endpoints = object["endpoints"].as_array().into_iter().flatten();
            [
                endpoints.map(|endpoint| text(&endpoint["addresses"][0])).collect(),
                ports(&object["ports"]),
            ]
            .concat()
        }
    };
    std::iter::once(name).chain(words).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn of_protobuf(bytes: &[u8], kind: &str) -> String {
    let name = |metadata: Option<schema::ObjectMeta>| {
        let metadata = metadata.unwrap_or_default();
        format!("{}/{}@{}", metadata.namespace, metadata.name, metadata.resource_version)
    };
    let port = |port: &Port| {
        format!("{}={}", port.name, port.port.map_or("-".to_owned(), |port| port.to_string()))
    };
    let words = match kind {
        "Status" => {
            let status = Status::decode(bytes).unwrap();
            return format!("Status {} {} {}", status.code, status.reason, status.message);
        }
        "Service" => {
            let service = Service::decode(bytes).unwrap();
            let spec = service.spec.unwrap_or_default();
            assert!(spec.cluster_ips.is_empty() || spec.cluster_ips[0] == spec.cluster_ip);
            let ports = spec.ports.iter().map(port).collect();
            [vec![name(service.metadata), spec.r#type], spec.cluster_ips, ports].concat()
        }
        _ => {
            let slice = schema::EndpointSlice::decode(bytes).unwrap();
            let ports =
                slice.ports.iter().map(|bytes| port(&Port::decode(&**bytes).unwrap())).collect();
            [
                vec![name(slice.metadata)],
                slice.endpoints.iter().map(|endpoint| endpoint.addresses[0].clone()).collect(),
                ports,
            ]
            .concat()
        }
    };
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[derive(Clone, PartialEq, prost::Message)]
struct Service {
    #[prost(message, optional, tag = "1")]
    metadata: Option<schema::ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    spec: Option<Spec>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Spec {
    #[prost(message, repeated, tag = "1")]
    ports: Vec<Port>,
    #[prost(string, tag = "3")]
    cluster_ip: String,
    #[prost(string, tag = "4")]
    r#type: String,
    #[prost(string, repeated, tag = "18")]
    cluster_ips: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Port {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, optional, tag = "3")]
    port: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(string, tag = "3")]
    message: String,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(int32, tag = "6")]
    code: i32,
}

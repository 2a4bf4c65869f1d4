//! Slices and Endpoints, as the API server writes them on either wire.

use std::collections::BTreeMap;
use std::fmt::Display;

use prost::Message;
use serde_json::{Value, json};

use poolscope_testkit::build::{Kind, record};
use poolscope_testkit::schema;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Protobuf,
}

pub const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

/// Fields that proxies ignore.
pub const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// A slice, or the Endpoints of a Service.
#[derive(Debug, Clone)]
pub struct Object {
    pub namespace: String,
    pub name: String,
    pub version: String,
    pub service: String,
    /// The nodes that endpoints are on. `me!` is not ready, `me~` serves while it terminates.
    pub on: String,
    pub family: &'static str,
    pub port: u16,
    pub generation: i64,
    pub manager: &'static str,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// `web-1` is a slice of Service `web`; Endpoints are called as their Service is.
pub fn object(name: &str, version: impl Display, on: &str) -> Object {
    Object {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        version: version.to_string(),
        service: name.split('-').next().unwrap().to_owned(),
        on: on.to_owned(),
        family: "IPv4",
        port: 80,
        generation: 1,
        manager: "controller",
        labels: [("team".to_owned(), "a".to_owned())].into(),
        annotations: [
            (LAST_CHANGE.to_owned(), "noon".to_owned()),
            ("note".to_owned(), "x".to_owned()),
        ]
        .into(),
    }
}

impl Object {
    fn labels(&self, kind: Kind) -> BTreeMap<String, String> {
        let service = (kind != Kind::Endpoints)
            .then(|| ("kubernetes.io/service-name".to_owned(), self.service.clone()));
        self.labels.clone().into_iter().chain(service).collect()
    }

    /// An item of a list.
    pub fn item(&self, kind: Kind, encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::Json => self.json(kind).to_string().into_bytes(),
            Encoding::Protobuf => self.protobuf(kind),
        }
    }

    /// The object of an event, which says what it is.
    pub fn whole(&self, kind: Kind, encoding: Encoding) -> Vec<u8> {
        let item = self.item(kind, encoding);
        if encoding == Encoding::Protobuf {
            return item;
        }
        let head = format!(r#"{{"kind":"{}","apiVersion":"{}","#, kind.name(), kind.api_version());
        [head.as_bytes(), &item[1..]].concat()
    }

    fn json(&self, kind: Kind) -> Value {
        let metadata = json!({
            "namespace": self.namespace,
            "name": self.name,
            "resourceVersion": self.version,
            "generation": self.generation,
            "labels": self.labels(kind),
            "annotations": self.annotations,
            "managedFields": [{ "manager": self.manager }],
        });
        let ports = json!([{ "port": self.port }]);
        if kind == Kind::Endpoints {
            let address = |(node, _): (&str, Condition)| {
                json!({
                    "ip": format!("10.0.0.{node}"),
                    "nodeName": node,
                })
            };
            let of = |ready: bool| -> Vec<Value> {
                self.endpoints().filter(|(_, at)| at.ready == ready).map(address).collect()
            };
            let subsets =
                json!([{ "addresses": of(true), "notReadyAddresses": of(false), "ports": ports }]);
            return json!({ "metadata": metadata, "subsets": subsets });
        }
        let endpoints: Vec<Value> = self
            .endpoints()
            .map(|(node, at)| {
                let conditions = json!({
                    "ready": at.ready,
                    "serving": at.serving,
                    "terminating": at.terminating,
                });
                let mut endpoint = json!({
                    "addresses": [format!("10.0.0.{node}")],
                    "conditions": conditions,
                });
                match kind {
                    Kind::Beta => endpoint["topology"] = json!({ "kubernetes.io/hostname": node }),
                    _ => endpoint["nodeName"] = node.into(),
                }
                endpoint
            })
            .collect();
        json!({
            "metadata": metadata,
            "addressType": self.family,
            "endpoints": endpoints,
            "ports": ports,
        })
    }

    fn protobuf(&self, kind: Kind) -> Vec<u8> {
        let metadata = Some(schema::ObjectMeta {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            resource_version: self.version.clone(),
            generation: self.generation,
            labels: self.labels(kind),
            annotations: self.annotations.clone(),
            managed_fields: vec![record(1, self.manager)],
            ..Default::default()
        });
        let ports = vec![[&[0x18][..], &[self.port as u8]].concat()];
        if kind == Kind::Endpoints {
            let address = |(node, _): (&str, Condition)| schema::EndpointAddress {
                ip: format!("10.0.0.{node}"),
                node_name: Some(node.to_owned()),
                ..Default::default()
            };
            let of = |ready: bool| {
                self.endpoints().filter(|(_, at)| at.ready == ready).map(address).collect()
            };
            let subset = schema::EndpointSubset {
                addresses: of(true),
                not_ready_addresses: of(false),
                ports,
            };
            return schema::Endpoints { metadata, subsets: vec![subset] }.encode_to_vec();
        }
        let endpoint = |(node, at): (&str, Condition)| schema::Endpoint {
            addresses: vec![format!("10.0.0.{node}")],
            conditions: vec![8, at.ready.into(), 16, at.serving.into(), 24, at.terminating.into()],
            topology: (kind == Kind::Beta)
                .then(|| ("kubernetes.io/hostname".to_owned(), node.to_owned()))
                .into_iter()
                .collect(),
            node_name: (kind != Kind::Beta).then(|| node.to_owned()),
            ..Default::default()
        };
        let endpoints = self.endpoints().map(endpoint).collect();
        schema::EndpointSlice { metadata, endpoints, ports, address_type: self.family.to_owned() }
            .encode_to_vec()
    }

    fn endpoints(&self) -> impl Iterator<Item = (&str, Condition)> {
        self.on.split_whitespace().map(|text| {
            let node = text.trim_end_matches(['!', '~']);
            let terminating = text.ends_with('~');
            (
                node,
                Condition {
                    ready: node == text,
                    serving: node == text || terminating,
                    terminating,
                },
            )
        })
    }
}

struct Condition {
    ready: bool,
    serving: bool,
    terminating: bool,
}

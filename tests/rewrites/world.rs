//! Objects as the API server writes them on either wire, a cluster that learns, and the bodies that
//! clients are given.

use bytes::BytesMut;
use poolscope::{Action, BodyRewriter, Cluster, Config, NodeView, RequestHead, ResponseHead};
use serde_json::{Value, json};

use super::told;
use poolscope_testkit::build::{envelope, event, record};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Protobuf,
}

pub const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

pub const LISTEN: &str = "nodeport.openyurt.io/listen";
pub const DISCARD: &str = "svc.openyurt.io/discard";

impl Encoding {
    pub fn media_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

/// An object in both encodings.
#[derive(Debug, Clone)]
pub struct Object {
    pub kind: &'static str,
    pub api_version: &'static str,
    pub json: Value,
    pub protobuf: Vec<u8>,
}

/// A Service `namespace/name` at a version.
pub fn service(name: &str, version: u64, r#type: &str, annotations: &[(&str, &str)]) -> Object {
    service_at(name, version, r#type, annotations, &["10.96.0.1"], &[("https", 443)])
}

pub fn service_at(
    name: &str,
    version: u64,
    r#type: &str,
    annotations: &[(&str, &str)],
    ips: &[&str],
    ports: &[(&str, u16)],
) -> Object {
    let ports_json: Vec<Value> = ports
        .iter()
        .map(|(name, port)| {
            json!({
                "name": name,
                "protocol": "TCP",
                "port": port,
                "targetPort": port,
            })
        })
        .collect();
    let spec = json!({
        "ports": ports_json,
        "clusterIP": ips[0],
        "clusterIPs": ips,
        "type": r#type,
        "sessionAffinity": "None",
    });
    let port = |&(name, port): &(&str, u16)| {
        [
            record(1, name),
            record(2, "TCP"),
            number(3, port.into()),
            record(4, number(2, port.into())),
        ]
        .concat()
    };
    let mut message = record(1, metadata(name, version, annotations, &[]));
    let mut inner: Vec<u8> = ports.iter().flat_map(|each| record(1, port(each))).collect();
    inner.extend([record(3, ips[0]), record(4, r#type), record(7, "None")].concat());
    inner.extend(ips.iter().flat_map(|ip| record(18, ip)));
    message.extend([record(2, inner), record(3, record(1, ""))].concat());
    let json = json!({
        "metadata": metadata_json(name, version, annotations, &[]),
        "spec": spec,
        "status": {"loadBalancer": {}},
    });
    Object { kind: "Service", api_version: "v1", json, protobuf: message }
}

/// A slice `namespace/name` with one endpoint on each of these nodes; `-` for none.
pub fn slice(name: &str, version: u64, service: &str, family: &str, on: &[&str]) -> Object {
    let labels = [("kubernetes.io/service-name", service)];
    let ip =
        |at: usize| if family == "IPv6" { format!("fd00::{at}") } else { format!("10.0.0.{at}") };
    let endpoint_json = |(at, node): (usize, &&str)| match *node {
        "-" => json!({"addresses": [ip(at)], "conditions": {"ready": true}}),
        node => json!({"addresses": [ip(at)], "conditions": {"ready": true}, "nodeName": node}),
    };
    let endpoint = |(at, node): (usize, &&str)| {
        let node = if *node == "-" { Vec::new() } else { record(6, node) };
        record(2, [record(1, ip(at)), record(2, number(1, 1)), node].concat())
    };
    let endpoints: Vec<Value> = on.iter().enumerate().map(endpoint_json).collect();
    let ports = json!([{"name": "https", "port": 6443, "protocol": "TCP"}]);
    let json = json!({
        "metadata": metadata_json(name, version, &[], &labels),
        "addressType": family,
        "endpoints": endpoints,
        "ports": ports,
    });
    let mut message = record(1, metadata(name, version, &[], &labels));
    message.extend(on.iter().enumerate().flat_map(endpoint));
    message.extend(record(3, [record(1, "https"), record(2, "TCP"), number(3, 6443)].concat()));
    message.extend(record(4, family));
    Object { kind: "EndpointSlice", api_version: "discovery.k8s.io/v1", json, protobuf: message }
}

fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap()
}

fn metadata_json(
    name: &str,
    version: u64,
    annotations: &[(&str, &str)],
    labels: &[(&str, &str)],
) -> Value {
    let map = |pairs: &[(&str, &str)]| -> Value {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), Value::from(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let (namespace, name) = split(name);
    json!({
        "name": name,
        "namespace": namespace,
        "resourceVersion": version.to_string(),
        "labels": map(labels),
        "annotations": map(annotations),
    })
}

fn metadata(
    name: &str,
    version: u64,
    annotations: &[(&str, &str)],
    labels: &[(&str, &str)],
) -> Vec<u8> {
    let (namespace, name) = split(name);
    let map = |field: u32, pairs: &[(&str, &str)]| -> Vec<u8> {
        pairs
            .iter()
            .flat_map(|(key, value)| record(field, [record(1, key), record(2, value)].concat()))
            .collect()
    };
    [
        record(1, name),
        record(3, namespace),
        record(6, version.to_string()),
        map(11, labels),
        map(12, annotations),
    ]
    .concat()
}

pub fn number(field: u8, value: u64) -> Vec<u8> {
    let mut out = vec![field << 3];
    poolscope_testkit::build::varint(value, &mut out);
    out
}

impl Object {
    /// The object as it stands in a watch, or by itself.
    pub fn whole(&self, encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::Json => {
                let head =
                    format!(r#"{{"kind":"{}","apiVersion":"{}","#, self.kind, self.api_version);
                format!("{head}{}", &self.json.to_string()[1..]).into_bytes()
            }
            Encoding::Protobuf => envelope(self.api_version, self.kind, &self.protobuf),
        }
    }

    pub fn event(&self, what: &str, encoding: Encoding) -> Vec<u8> {
        let whole = self.whole(encoding);
        match encoding {
            Encoding::Json => {
                [br#"{"type":""#, what.as_bytes(), br#"","object":"#, &whole, b"}\n"].concat()
            }
            Encoding::Protobuf => event(what, &whole),
        }
    }
}

/// A list of objects of one kind.
pub fn list(items: &[Object], version: u64, encoding: Encoding) -> Vec<u8> {
    let (kind, api_version) =
        items.first().map_or(("Service", "v1"), |item| (item.kind, item.api_version));
    match encoding {
        Encoding::Json => {
            let items: Vec<String> = items.iter().map(|item| item.json.to_string()).collect();
            let metadata = json!({"resourceVersion": version.to_string()});
            format!(r#"{{"kind":"{kind}List","apiVersion":"{api_version}","metadata":{metadata},"items":[{}]}}"#, items.join(","))
                .into_bytes()
        }
        Encoding::Protobuf => {
            let metadata = [record(1, ""), record(2, version.to_string()), record(3, "")].concat();
            let items = items.iter().flat_map(|item| record(2, &item.protobuf));
            envelope(
                api_version,
                &format!("{kind}List"),
                &record(1, metadata).into_iter().chain(items).collect::<Vec<u8>>(),
            )
        }
    }
}

/// Reads a list of facts into a cluster.
pub fn feed(cluster: &Cluster, path: &str, kind: &str, version: u64, items: Value) {
    let body = json!({
        "kind": format!("{kind}List"),
        "metadata": {"resourceVersion": version.to_string()},
        "items": items,
    });
    let mut feed =
        cluster.read_facts(&RequestHead::get(path), &ResponseHead::ok("application/json")).unwrap();
    feed.push(body.to_string().as_bytes()).unwrap();
    feed.finish().unwrap();
}

/// Nodes with their labels.
pub fn nodes(cluster: &Cluster, version: u64, nodes: &[(&str, &[(&str, &str)])]) {
    let node = |(name, labels): &(&str, &[(&str, &str)])| {
        let labels: serde_json::Map<String, Value> =
            labels.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
        json!({"metadata": {"name": name, "labels": labels}})
    };
    feed(cluster, "/api/v1/nodes", "Node", version, nodes.iter().map(node).collect());
}

pub const POOL: &str = "apps.openyurt.io/nodepool";

/// A cluster of OpenYurt's with node `me` in a pool, or in none.
pub fn cluster(config: Config, pool: &str) -> Cluster {
    let cluster = Cluster::new(config).unwrap();
    move_me(&cluster, 1, pool);
    feed(
        &cluster,
        "/apis/apps.openyurt.io/v1beta2/nodepools",
        "NodePool",
        1,
        json!([{"metadata": {"name": "hangzhou"}, "status": {"nodes": ["me", "friend"]}}]),
    );
    feed(&cluster, "/api/v1/services", "Service", 1, json!([]));
    cluster
}

/// Node `me` is in another pool now.
pub fn move_me(cluster: &Cluster, version: u64, pool: &str) {
    let labels: &[(&str, &str)] = &[(POOL, pool)];
    nodes(cluster, version, &[("me", if pool.is_empty() { &[] } else { labels })]);
}

/// The configuration with every rewrite on.
pub fn everything() -> Config {
    Config::from_json(
        r#"{"rewrites": {"nodePortIsolation": true, "discardCloudService": true, "masterService": {"host": "169.254.2.1", "port": 10268},
            "forwardKubernetesService": {"host": "169.254.2.1", "port": 10268}}}"#,
    )
    .unwrap()
}

/// A client of one node.
#[derive(Clone)]
pub struct Client {
    pub view: NodeView,
    pub path: &'static str,
    pub encoding: Encoding,
}

pub const SERVICES: &str = "/api/v1/services";
pub const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

impl Client {
    pub fn open(&self, query: &str) -> Watch {
        match self.view.open(
            &RequestHead::get(format!("{}{query}", self.path)),
            &ResponseHead::ok(self.encoding.media_type()),
        ) {
            Ok(Action::Rewrite(stream)) => Watch { stream, encoding: self.encoding },
            other => panic!("{query}: {other:?}"),
        }
    }

    pub fn list(&self, items: &[Object], version: u64) -> Vec<String> {
        told::list(self.encoding, &self.list_bytes(items, version))
    }

    pub fn list_bytes(&self, items: &[Object], version: u64) -> Vec<u8> {
        let mut out = BytesMut::new();
        let mut open = self.open("");
        open.stream.push(&list(items, version, self.encoding), &mut out).unwrap();
        open.stream.finish(&mut out).unwrap();
        out.to_vec()
    }

    pub fn watch(&self, version: u64) -> Watch {
        self.open(&format!("?watch=true&allowWatchBookmarks=true&resourceVersion={version}"))
    }

    /// Lists, and watches from there.
    pub fn follow(&self, items: &[Object], version: u64) -> Watch {
        self.list(items, version);
        self.watch(version)
    }

    /// The response for a single object.
    pub fn get(&self, object: &Object) -> String {
        let name = object.json["metadata"]["name"].as_str().unwrap();
        let (mut get, mut out) =
            (self.open(&format!("/{name}").replace("//", "/")), BytesMut::new());
        get.stream.push(&object.whole(self.encoding), &mut out).unwrap();
        get.stream.finish(&mut out).unwrap();
        told::single(self.encoding, &out)
    }
}

/// A response that is under way.
pub struct Watch {
    pub stream: BodyRewriter,
    pub encoding: Encoding,
}

impl Watch {
    pub fn says(&mut self, what: &str, object: &Object) -> Vec<String> {
        self.push(&object.event(what, self.encoding))
    }

    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut out = BytesMut::new();
        self.stream.push(bytes, &mut out).unwrap();
        told::events(self.encoding, &out)
    }

    pub fn refresh(&mut self) -> Vec<String> {
        let mut out = BytesMut::new();
        self.stream.refresh(&mut out).unwrap();
        told::events(self.encoding, &out)
    }

    pub fn bookmark(&mut self, version: u64, ends_initial_events: bool) -> Vec<String> {
        let note: &[(&str, &str)] =
            if ends_initial_events { &[("k8s.io/initial-events-end", "true")] } else { &[] };
        let (kind, api_version) = ("Service", "v1");
        let mut metadata = metadata_json("/", version, note, &[]);
        metadata
            .as_object_mut()
            .unwrap()
            .retain(|key, _| key == "resourceVersion" || key == "annotations");
        let json = json!({ "metadata": metadata });
        let notes: Vec<u8> = note
            .iter()
            .flat_map(|(key, value)| record(12, [record(1, key), record(2, value)].concat()))
            .collect();
        let protobuf = record(1, [record(6, version.to_string()), notes].concat());
        self.says("BOOKMARK", &Object { kind, api_version, json, protobuf })
    }
}

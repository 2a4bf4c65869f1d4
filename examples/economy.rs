//! Counts the events and bytes that reach a node's proxy, against those that the API
//! server sends.
//!
//!     cargo run --release --example economy
//!
//! A thousand nodes in fifty pools. Two hundred Services ask for `openyurt.io/nodepool`, each with
//! five slices of a hundred endpoints all over the cluster. Ten thousand times an endpoint becomes
//! ready or unready, moves, goes or comes, which the API server sends to every client as one
//! MODIFIED of the whole slice. One node's client lists, then watches: once as it is, once with the
//! other pools' endpoints cut out, and once, as is the default, without the events that then say
//! nothing new.
//!
//! In the end what each client holds is compared with a naive filter, so that nothing is spared
//! that was needed. Protobuf lists keep their size unless `ProtobufLists::Compact` is configured.

use std::collections::BTreeMap;

use poolscope::{
    Action, BodyRewriter, BytesMut, Cluster, Config, NodeView, RequestHead, ResponseHead,
};
use poolscope_testkit::corpus;
use poolscope_testkit::oracle::{Body, Object, State};
use poolscope_testkit::schema;
use prost::Message;
use serde::Deserialize;
use serde_json::{Value, json};

const NODES: usize = 1000;
const POOLS: usize = 50;
const SERVICES: usize = 200;
const SLICES: usize = 5 * SERVICES;
const FULL: usize = 100;
const CHANGES: usize = 10_000;
const OWN_NODE: usize = 7;
const POOL_LABEL: &str = "apps.openyurt.io/nodepool";
const POOL_KEY: &str = "openyurt.io/nodepool";

/// Every slice as it stands.
struct World {
    dice: u64,
    pods: usize,
    template: Value,
    slices: Vec<Value>,
}

impl World {
    fn new() -> World {
        let template = corpus::slice(0)["endpoints"][0].take();
        let mut world =
            World { dice: 0x9e37_79b9_7f4a_7c15, pods: 0, template, slices: Vec::new() };
        for at in 0..SLICES {
            let mut slice = corpus::slice(at);
            slice["metadata"]["labels"]["kubernetes.io/service-name"] = json!(service(at / 5));
            slice["endpoints"] = (0..FULL).map(|_| world.pod()).collect();
            world.slices.push(slice);
            world.write(at, 1);
        }
        world
    }

    /// Repeatable random numbers (xorshift).
    fn below(&mut self, end: usize) -> usize {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 11) as usize % end
    }

    /// The endpoint of a new pod on some node.
    fn pod(&mut self) -> Value {
        self.pods += 1;
        let [.., high, middle, low] = self.pods.to_be_bytes();
        let on = self.below(NODES);
        let mut endpoint = self.template.clone();
        endpoint["addresses"][0] = json!(format!("10.{high}.{middle}.{low}"));
        endpoint["nodeName"] = json!(corpus::node(on));
        endpoint["zone"] = json!(format!("cn-hangzhou-edge-{}", on % POOLS));
        endpoint["targetRef"]["name"] =
            json!(format!("checkout-frontend-7f9c6d5b8-{:05}", self.pods));
        endpoint
    }

    /// Something happens to one endpoint. Returns its slice, written anew.
    fn change(&mut self, version: usize) -> &Value {
        let slice = self.below(SLICES);
        let len = self.slices[slice]["endpoints"].as_array().unwrap().len();
        let (what, at, pod) = (self.below(10), self.below(len), self.pod());
        let endpoints = self.slices[slice]["endpoints"].as_array_mut().unwrap();
        match what {
            0 if len > FULL / 2 => drop(endpoints.remove(at)),
            1 if len < FULL => endpoints.push(pod),
            0..=3 => {
                endpoints.remove(at);
                endpoints.push(pod);
            }
            _ => {
                let conditions = &mut endpoints[at]["conditions"];
                let ready = conditions["ready"] == false;
                *conditions = json!({"ready": ready, "serving": ready, "terminating": false});
            }
        }
        self.write(slice, version);
        &self.slices[slice]
    }

    /// The slice that the endpoint slice controller writes; for every other Service with
    /// managedFields.
    fn write(&mut self, slice: usize, version: usize) {
        let metadata = &mut self.slices[slice]["metadata"];
        let time = format!(
            "2026-11-23T{:02}:{:02}:{:02}Z",
            version / 3600,
            version / 60 % 60,
            version % 60
        );
        metadata["resourceVersion"] = json!(version.to_string());
        metadata["generation"] = json!(metadata["generation"].as_i64().unwrap() + 1);
        if (slice / 5).is_multiple_of(2) {
            metadata["managedFields"] = json!([{
                "manager": "kube-controller-manager",
                "operation": "Update",
                "time": time,
            }]);
        }
        metadata["annotations"] = json!({"endpoints.kubernetes.io/last-change-trigger-time": time});
    }

    fn list(&self, in_protobuf: bool) -> Vec<u8> {
        if in_protobuf {
            let metadata =
                Some(schema::ListMeta { resource_version: "1".to_owned(), ..Default::default() });
            let items = self.slices.iter().map(|slice| protobuf(slice).encode_to_vec()).collect();
            return envelope("EndpointSliceList", schema::List { metadata, items }.encode_to_vec());
        }
        // An item is the object of its event, but does not say of which kind it is.
        const EVENT: &str = r#"{"type":"MODIFIED","object":{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","#;
        let events =
            self.slices.iter().map(|slice| String::from_utf8(corpus::json_event(slice)).unwrap());
        let items: Vec<String> = events
            .map(|event| event.strip_suffix("}\n").unwrap().replacen(EVENT, "{", 1))
            .collect();
        let head = r#"{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"1"},"items":["#;
        format!("{head}{}]}}\n", items.join(",")).into_bytes()
    }
}

fn service(number: usize) -> String {
    format!("checkout-{number:03}")
}

/// The slice in protobuf, with the fields that the builder for benches omits.
fn protobuf(slice: &Value) -> schema::EndpointSlice {
    let frame = schema::WatchEvent::decode(&corpus::protobuf_event(slice)[4..]).unwrap();
    let unknown = schema::Unknown::decode(&frame.object.unwrap().raw[4..]).unwrap();
    let mut message = schema::EndpointSlice::decode(&*unknown.raw).unwrap();
    for (endpoint, value) in
        message.endpoints.iter_mut().zip(slice["endpoints"].as_array().unwrap())
    {
        let ready = u8::from(value["conditions"]["ready"] == true);
        endpoint.conditions = vec![8, ready, 16, ready, 24, 0];
    }
    let (metadata, value) = (message.metadata.as_mut().unwrap(), &slice["metadata"]);
    metadata.generation = value["generation"].as_i64().unwrap();
    metadata.annotations = Deserialize::deserialize(&value["annotations"]).unwrap();
    // An entry with a manager only, whose name is the time.
    let managed = value["managedFields"].as_array().into_iter().flatten();
    metadata.managed_fields = managed
        .map(|entry| [b"\x0a\x14", entry["time"].as_str().unwrap().as_bytes()].concat())
        .collect();
    message
}

fn envelope(kind: &str, raw: Vec<u8>) -> Vec<u8> {
    let type_meta =
        schema::TypeMeta { api_version: "discovery.k8s.io/v1".to_owned(), kind: kind.to_owned() };
    [
        b"k8s\0".to_vec(),
        schema::Unknown { type_meta: Some(type_meta), raw, ..Default::default() }.encode_to_vec(),
    ]
    .concat()
}

fn event(slice: &Value, in_protobuf: bool) -> Vec<u8> {
    if !in_protobuf {
        return corpus::json_event(slice);
    }
    let raw = envelope("EndpointSlice", protobuf(slice).encode_to_vec());
    let event = schema::WatchEvent {
        r#type: "MODIFIED".to_owned(),
        object: Some(schema::RawExtension { raw }),
    };
    [(event.encoded_len() as u32).to_be_bytes().to_vec(), event.encode_to_vec()].concat()
}

/// The naive filter's facts: the Services, the own Node and the pools.
fn facts() -> State {
    let pool = |at: usize| format!("pool-{at:02}");
    let members = |pool: usize| (pool..NODES).step_by(POOLS).map(corpus::node).collect();
    State {
        services: (0..SERVICES)
            .map(|at| (format!("shop/{}", service(at)), Some(POOL_KEY.to_owned())))
            .collect(),
        labels: BTreeMap::from([(corpus::node(OWN_NODE), pool(OWN_NODE % POOLS))]),
        pools: (0..POOLS).map(|at| (pool(at), members(at))).collect(),
        ..State::default()
    }
}

/// The node, of a cluster with the same facts.
fn node(config: Config) -> NodeView {
    let cluster = Cluster::new(config).unwrap();
    let facts = facts();
    let keys = json!({"openyurt.io/topologyKeys": POOL_KEY});
    let services = (0..SERVICES).map(
        |at| json!({"metadata": {"name": service(at), "namespace": "shop", "annotations": keys}}),
    );
    let nodes = facts
        .labels
        .iter()
        .map(|(name, pool)| json!({"metadata": {"name": name, "labels": {POOL_LABEL: pool}}}));
    let pools = facts
        .pools
        .iter()
        .map(|(name, nodes)| json!({"metadata": {"name": name}, "status": {"nodes": nodes}}));
    for (path, items) in [
        ("/api/v1/services", services.collect::<Value>()),
        ("/api/v1/nodes", nodes.collect()),
        ("/apis/apps.openyurt.io/v1beta2/nodepools", pools.collect()),
    ] {
        let mut feed = cluster
            .read_facts(&RequestHead::get(path), &ResponseHead::ok("application/json"))
            .unwrap();
        feed.push(json!({"metadata": {}, "items": items}).to_string().as_bytes()).unwrap();
        feed.finish().unwrap();
    }
    cluster.node(corpus::node(OWN_NODE))
}

/// One client, and what it was sent.
struct Client {
    what: &'static str,
    in_protobuf: bool,
    /// `None`: nothing stands between it and the API server.
    watch: Option<BodyRewriter>,
    held: BTreeMap<String, Object>,
    list_bytes: usize,
    events: usize,
    bytes: usize,
}

impl Client {
    /// Lists, and opens the watch that resumes there.
    fn new(what: &'static str, in_protobuf: bool, config: Option<Config>, list: &[u8]) -> Client {
        let mut client = Client {
            what,
            in_protobuf,
            watch: None,
            held: BTreeMap::new(),
            list_bytes: 0,
            events: 0,
            bytes: 0,
        };
        let mut out = BytesMut::from(list);
        if let Some(config) = config {
            let node = node(config);
            let head = ResponseHead::ok(if in_protobuf {
                "application/vnd.kubernetes.protobuf"
            } else {
                "application/json"
            });
            let open = |query: &str| match node.open(
                &RequestHead::get(format!("/apis/discovery.k8s.io/v1/endpointslices{query}")),
                &head,
            ) {
                Ok(Action::Rewrite(stream)) => stream,
                other => panic!("{other:?}"),
            };
            let mut listed = open("");
            out.clear();
            listed.push(list, &mut out).unwrap();
            listed.finish(&mut out).unwrap();
            drop(listed);
            client.watch = Some(open("?watch=true&allowWatchBookmarks=true&resourceVersion=1"));
        }
        client.list_bytes = out.len();
        client.held = by_name(Body::decode(&out, in_protobuf, false));
        client
    }

    fn hear(&mut self, event: &[u8]) {
        let mut out = BytesMut::from(event);
        if let Some(watch) = &mut self.watch {
            out.clear();
            watch.push(event, &mut out).unwrap();
        }
        let told = Body::decode(&out, self.in_protobuf, true);
        self.events += told.objects.len();
        self.bytes += out.len();
        self.held.extend(by_name(told));
    }
}

/// Slices with nothing of their metadata, which `suppressUnchanged` lets grow old.
fn by_name(body: Body) -> BTreeMap<String, Object> {
    let named = body.objects.into_iter().map(|(_, mut object)| match &mut object {
        Object::Slice(slice) => (std::mem::take(&mut slice.metadata).name.unwrap(), object),
        Object::ProtobufSlice { slice, .. } => (slice.metadata.take().unwrap().name, object),
        other => panic!("{other:?}"),
    });
    named.collect()
}

fn main() {
    let mut world = World::new();
    let mut every_event = Config::openyurt();
    every_event.set_suppress_unchanged(false);
    let mut clients = Vec::new();
    for in_protobuf in [false, true] {
        let list = world.list(in_protobuf);
        for (what, config) in [
            ("unfiltered", None),
            ("cut", Some(every_event.clone())),
            ("cut and suppressed", Some(Config::openyurt())),
        ] {
            clients.push(Client::new(what, in_protobuf, config, &list));
        }
    }
    for version in 2..CHANGES + 2 {
        let slice = world.change(version);
        let events = [false, true].map(|in_protobuf| event(slice, in_protobuf));
        clients.iter_mut().for_each(|client| client.hear(&events[usize::from(client.in_protobuf)]));
    }

    println!("{:24}{:>13}{:>9}{:>8}{:>13}{:>9}", "", "list bytes", "events", "", "watch bytes", "");
    let mut all = (0, 0);
    for Client { what, in_protobuf, watch, held, list_bytes, events, bytes } in clients {
        let upstream = Body::decode(&world.list(in_protobuf), in_protobuf, false);
        let expected = if watch.is_some() {
            upstream.filtered(&facts(), &corpus::node(OWN_NODE))
        } else {
            upstream
        };
        assert!(held == by_name(expected), "{what}: the client does not hold what it should");
        if watch.is_none() {
            all = (events, bytes);
        }
        let what = format!("{}, {what}", if in_protobuf { "protobuf" } else { "JSON" });
        let share = |part: usize, all: usize| format!("1/{:.1}", all as f64 / part as f64);
        let (of_events, of_bytes) = (share(events, all.0), share(bytes, all.1));
        println!("{what:24}{list_bytes:>13}{events:>9}{of_events:>8}{bytes:>13}{of_bytes:>9}");
        assert!(
            !what.ends_with("suppressUnchanged") || events * 20 <= all.0,
            "more than one event in twenty"
        );
    }
}

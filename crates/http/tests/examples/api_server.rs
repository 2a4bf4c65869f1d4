//! A small API server: lists and watches of four collections, in JSON.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedSender};

type Body = BoxBody<Bytes, Infallible>;

pub fn slice(nodes: &[&str]) -> Value {
    let endpoints: Vec<Value> = nodes
        .iter()
        .zip(1..)
        .map(|(node, at)| json!({ "addresses": [format!("10.0.0.{at}")], "nodeName": node }))
        .collect();
    json!({
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": "cart-1",
            "namespace": "shop",
            "labels": { "kubernetes.io/service-name": "cart" },
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
    })
}

pub fn pool(nodes: &[&str]) -> Value {
    json!({
        "kind": "NodePool",
        "apiVersion": "apps.openyurt.io/v1beta2",
        "metadata": { "name": "hangzhou" },
        "status": { "nodes": nodes },
    })
}

pub fn nodes_of(slice: &Value) -> Vec<&str> {
    let endpoints = slice["endpoints"].as_array().unwrap();
    endpoints.iter().map(|endpoint| endpoint["nodeName"].as_str().unwrap()).collect()
}

/// The server, and the state of its cluster.
#[derive(Clone)]
pub struct ApiServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    version: u64,
    /// One object for each path.
    objects: BTreeMap<&'static str, Value>,
    watches: Vec<(&'static str, UnboundedSender<Bytes>)>,
    /// All events with their versions.
    events: Vec<(u64, &'static str, Bytes)>,
}

impl ApiServer {
    /// A server of slice `shop/cart-1` with endpoints on `hz-1`, `hz-2` and `sh-1`. Its Service
    /// asks for the pool, and `hz-1` is alone in pool `hangzhou`.
    pub async fn start() -> ApiServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state =
            State { version: 0, objects: BTreeMap::new(), watches: Vec::new(), events: Vec::new() };
        let address = listener.local_addr().unwrap();
        let server = ApiServer { address, state: Arc::new(Mutex::new(state)) };
        let annotations = json!({ "openyurt.io/topologyKeys": "openyurt.io/nodepool" });
        let service = json!({
            "kind": "Service",
            "apiVersion": "v1",
            "metadata": { "name": "cart", "namespace": "shop", "annotations": annotations },
        });
        let labels = json!({ "apps.openyurt.io/nodepool": "hangzhou" });
        let node = json!({
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": { "name": "hz-1", "labels": labels },
        });
        server.change("/api/v1/services", service);
        server.change("/api/v1/nodes", node);
        server.change(super::POOLS, pool(&["hz-1"]));
        server.change(super::SLICES, slice(&["hz-1", "hz-2", "sh-1"]));
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let server = accepting.clone();
                let respond = service_fn(move |request| {
                    let response = server.respond(&request);
                    async { Ok::<_, Infallible>(response) }
                });
                let connection = TokioIo::new(connection);
                tokio::spawn(http1::Builder::new().serve_connection(connection, respond));
            }
        });
        server
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the object of a path, and sends an event to its watches.
    pub fn change(&self, path: &'static str, mut object: Value) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        let event = line("MODIFIED", &object);
        state
            .watches
            .retain(|(watched, watch)| *watched != path || watch.send(event.clone()).is_ok());
        let version = state.version;
        state.events.push((version, path, event));
        state.objects.insert(path, object);
    }

    fn respond(&self, request: &Request<Incoming>) -> Response<Body> {
        let mut state = self.state.lock().unwrap();
        let path = request.uri().path();
        let Some((&path, object)) = state.objects.get_key_value(path) else {
            let mut response = Response::new(Full::from("no such path").boxed());
            *response.status_mut() = http::StatusCode::NOT_FOUND;
            return response;
        };
        let query = request.uri().query().unwrap_or_default();
        let version = state.version.to_string();
        let (kind, api_version) = (object["kind"].as_str().unwrap(), &object["apiVersion"]);
        let body = if query.contains("watch=true") {
            let (sender, mut events) = mpsc::unbounded_channel();
            if query.contains("sendInitialEvents=true") {
                let annotations = json!({ "k8s.io/initial-events-end": "true" });
                let metadata = json!({ "resourceVersion": version, "annotations": annotations });
                let end = json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata });
                sender.send(line("ADDED", object)).unwrap();
                sender.send(line("BOOKMARK", &end)).unwrap();
            }
            let start = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
            let start: u64 = start.map_or(version.parse().unwrap(), |start| start.parse().unwrap());
            for (version, of, event) in &state.events {
                if *version > start && *of == path {
                    sender.send(event.clone()).unwrap();
                }
            }
            state.watches.push((path, sender));
            let events = futures_util::stream::poll_fn(move |context| events.poll_recv(context));
            let frames = futures_util::StreamExt::map(events, |event| Ok(Frame::data(event)));
            StreamBody::new(frames).boxed()
        } else {
            let list = json!({
                "kind": format!("{kind}List"),
                "apiVersion": api_version,
                "metadata": { "resourceVersion": version },
                "items": [object],
            });
            Full::from(list.to_string()).boxed()
        };
        Response::builder().header("content-type", "application/json").body(body).unwrap()
    }
}

fn line(event: &str, object: &Value) -> Bytes {
    format!("{}\n", json!({ "type": event, "object": object })).into()
}

//! The facts that the fetcher keeps, whatever the API server does. The time of these tests is
//! paused: it passes when every task waits.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, ready};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{Empty, Full, StreamBody};
use poolscope::{Cluster, Config, FactKind, NodeView, Topology};
use poolscope_http::{FactEvent, OnMissing, RewriteLayer};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};

use super::scene::{self, JSON, NODES, POOLS, SERVICES, SLICES};

/// The version of NodePools that the server has.
const OLD_POOLS: &str = "/apis/apps.openyurt.io/v1beta1/nodepools";

type Line = Result<Frame<Bytes>, io::Error>;

/// An API server that fails at random while it is faulty.
#[derive(Clone)]
struct Server(Arc<Mutex<State>>);

struct State {
    random: u64,
    version: u64,
    /// By path and name.
    objects: BTreeMap<&'static str, BTreeMap<String, Value>>,
    events: Vec<(u64, &'static str, String)>,
    watches: Vec<(&'static str, UnboundedSender<Line>)>,
    /// How it behaves.
    mode: Mode,
    /// The times and paths of all requests.
    requests: Vec<(Instant, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Good,
    Faulty,
    /// Every request fails.
    Down,
    /// Every request waits forever.
    Hangs,
}

impl State {
    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) as usize % limit
    }

    fn fails(&mut self, one_in: usize) -> bool {
        self.mode == Mode::Faulty && self.below(one_in) == 0
    }
}

fn line(event: &str, object: &Value) -> String {
    json!({ "type": event, "object": object }).to_string() + "\n"
}

fn data(text: &str) -> Line {
    Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes())))
}

impl Server {
    fn new(seed: u64, mode: Mode) -> Server {
        let (objects, requests) = (BTreeMap::new(), Vec::new());
        let state = State {
            random: seed * 2 + 1,
            version: 10,
            objects,
            events: Vec::new(),
            watches: Vec::new(),
            mode,
            requests,
        };
        let server = Server(Arc::new(Mutex::new(state)));
        server.change(NODES, scene::nodes()[0].clone());
        server.change(OLD_POOLS, scene::pools(&["me"])[0].clone());
        server
    }

    /// Writes an object. Some watches may break over it.
    fn change(&self, path: &'static str, mut object: Value) {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let text = line("MODIFIED", &object);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        state.events.push((version, path, text.clone()));
        state.objects.entry(path).or_default().insert(name, object);
        for (watched, watch) in std::mem::take(&mut state.watches) {
            if watched != path {
                state.watches.push((watched, watch));
            } else if state.fails(8) {
                // The end, a cut inside the event, or an ERROR.
                match state.below(3) {
                    0 => {}
                    1 => {
                        let _ = watch.send(data(&text[..text.len() / 2]));
                        let _ = watch.send(Err(io::ErrorKind::ConnectionReset.into()));
                    }
                    _ => {
                        let code = [410, 429, 500][state.below(3)];
                        let status = json!({ "code": code, "message": "a fault" });
                        let _ = watch.send(data(&line("ERROR", &status)));
                    }
                }
            } else if state.fails(20) {
                // It stays open, and nothing comes any more.
                state.watches.push(("", watch));
            } else if watch.send(data(&text)).is_ok() {
                state.watches.push((watched, watch));
            }
        }
    }

    /// Responds; `None`: never.
    fn respond(&self, request: &Request<Empty<Bytes>>) -> Option<io::Result<Response<Lines>>> {
        let mut state = self.0.lock().unwrap();
        let state = &mut *state;
        state.requests.push((Instant::now(), request.uri().path().to_owned()));
        let status = |status: u16| {
            let response = Response::builder().status(status).header("Retry-After", "1");
            Some(Ok(response.body(body(mpsc::unbounded_channel().1)).unwrap()))
        };
        if state.mode == Mode::Hangs || state.fails(20) {
            return None;
        }
        if state.mode == Mode::Down {
            return status(500);
        }
        if state.fails(5) {
            return Some(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        if state.fails(4) {
            return status([403, 404, 410, 429, 500, 503][state.below(6)]);
        }
        let query = request.uri().query().unwrap();
        let Some((&path, objects)) = state.objects.get_key_value(request.uri().path()) else {
            return status(404);
        };
        let (objects, version) = (objects.values().cloned().collect::<Vec<_>>(), state.version);
        let (sender, lines) = mpsc::unbounded_channel();
        let mut response = Response::builder().header("Content-Type", JSON);
        if !query.contains("watch=true") {
            let metadata = json!({ "resourceVersion": version.to_string() });
            let list = json!({ "metadata": metadata, "items": objects });
            let mut bytes = list.to_string().into_bytes();
            if state.below(2) == 0 {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&bytes).unwrap();
                bytes = encoder.finish().unwrap();
                response = response.header("Content-Encoding", "gzip");
            }
            let end = if state.fails(4) { bytes.len() / 2 } else { bytes.len() };
            sender.send(Ok(Frame::data(Bytes::from(bytes).slice(..end)))).unwrap();
            return Some(Ok(response.body(body(lines)).unwrap()));
        }
        let start = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        let mut start = start.map_or(0, |start| start.parse().unwrap());
        if query.contains("sendInitialEvents=true") {
            if state.below(2) == 0 {
                return status(422);
            }
            objects.iter().for_each(|object| sender.send(data(&line("ADDED", object))).unwrap());
            let annotations = json!({ "k8s.io/initial-events-end": "true" });
            let metadata =
                json!({ "resourceVersion": version.to_string(), "annotations": annotations });
            sender.send(data(&line("BOOKMARK", &json!({ "metadata": metadata })))).unwrap();
            start = version;
        }
        for (version, of, event) in &state.events {
            if *version > start && *of == path {
                sender.send(data(event)).unwrap();
            }
        }
        state.watches.push((path, sender));
        Some(Ok(response.body(body(lines)).unwrap()))
    }

    fn set(&self, mode: Mode) {
        self.0.lock().unwrap().mode = mode;
    }

    fn random(&self, limit: usize) -> usize {
        self.0.lock().unwrap().below(limit)
    }

    /// How many watches have somebody who reads them.
    fn open_watches(&self) -> usize {
        self.0.lock().unwrap().watches.iter().filter(|(_, watch)| !watch.is_closed()).count()
    }

    fn requests(&self) -> Vec<(Instant, String)> {
        self.0.lock().unwrap().requests.clone()
    }

    /// Fetches from this server until the task is aborted.
    fn fetch(&self, layer: &RewriteLayer<Empty<Bytes>>, left: &[FactKind]) -> JoinHandle<()> {
        let server = self.clone();
        let service = service_fn(move |request: Request<Empty<Bytes>>| {
            let response = server.respond(&request);
            async {
                match response {
                    Some(response) => response,
                    None => pending().await,
                }
            }
        });
        let mut facts = layer.fetch_facts(service);
        for kind in left {
            facts = facts.leave_to_client(*kind);
        }
        tokio::spawn(async { match facts.run().await {} })
    }
}

type Lines = StreamBody<Receiving>;

struct Receiving(mpsc::UnboundedReceiver<Line>);

fn body(lines: mpsc::UnboundedReceiver<Line>) -> Lines {
    StreamBody::new(Receiving(lines))
}

impl futures_util::Stream for Receiving {
    type Item = Line;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Line>> {
        self.0.poll_recv(context)
    }
}

fn layer() -> (NodeView, RewriteLayer<Empty<Bytes>>) {
    let node = Cluster::new(Config::openyurt()).unwrap().node("me");
    (node.clone(), RewriteLayer::new(node, Empty::new))
}

#[tokio::test(start_paused = true)]
async fn facts_converge_whatever_the_server_does() {
    for seed in 0..40 {
        let (server, (node, layer)) = (Server::new(seed, Mode::Faulty), layer());
        let fetching = server.fetch(&layer, &[]);
        let (mut asks, mut members) = (BTreeMap::new(), vec!["me"]);
        for _ in 0..150 {
            let (name, keys) =
                (format!("s-{}", server.random(8)), ["", "openyurt.io/nodepool"][server.random(2)]);
            server.change(SERVICES, scene::service(&name, keys));
            asks.insert(name, keys);
            members.truncate(1);
            members.extend(["other"].into_iter().filter(|_| server.random(2) == 0));
            server.change(OLD_POOLS, scene::pools(&members)[0].clone());
            sleep(Duration::from_millis(server.random(2000) as u64)).await;
        }
        server.set(Mode::Good);
        // A watch that fell silent is noticed after 150 s.
        sleep(Duration::from_secs(400)).await;
        assert_eq!(node.missing(), [], "seed {seed}");
        for (name, keys) in asks {
            let topology = node.topology_of("shop", &name);
            let wanted = if keys.is_empty() { Topology::Any } else { Topology::Pool };
            assert_eq!(topology, Some(wanted), "{name}, seed {seed}");
        }
        for name in ["me", "other"] {
            let pools = node.pools_of(name);
            assert_eq!(
                !pools.is_empty(),
                members.contains(&name),
                "{name}: {pools:?}, seed {seed}"
            );
        }
        fetching.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_lasts_makes_few_requests() {
    for mode in [Mode::Down, Mode::Hangs] {
        let (server, (_, layer)) = (Server::new(1, mode), layer());
        let start = Instant::now();
        let fetching = server.fetch(&layer, &[]);
        sleep(Duration::from_secs(300)).await;
        fetching.abort();
        let mut minutes = [0; 5];
        let requests = server.requests();
        for (time, path) in requests {
            if path == SERVICES {
                minutes[((time - start).as_secs() / 60) as usize] += 1;
            }
        }
        assert!((1..=12).contains(&minutes[0]), "{minutes:?}");
        assert!(minutes[1..].iter().all(|count| (1..=5).contains(count)), "{minutes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_client_reads_too_little_of_is_fetched() {
    let (server, (node, layer)) = (Server::new(1, Mode::Good), layer());
    server.change(SERVICES, scene::service("web", "openyurt.io/nodepool"));
    let fetching = server.fetch(&layer, &[FactKind::Service, FactKind::Node]);
    sleep(Duration::from_secs(60)).await;
    let asked =
        || -> BTreeSet<String> { server.requests().into_iter().map(|(_, path)| path).collect() };
    assert_eq!(asked(), BTreeSet::from([POOLS.to_owned(), OLD_POOLS.to_owned()]));

    let upstream = service_fn(|_: Request<Empty<Bytes>>| {
        let body = Full::new(Bytes::from(scene::list(&["me", "other"])));
        ready(Response::builder().header("Content-Type", JSON).body(body))
    });
    let start = Instant::now();
    let request = Request::get(SLICES).body(Empty::new()).unwrap();
    let waits = layer.clone().on_missing(OnMissing::Wait(Duration::from_secs(30)));
    let response = waits.layer(upstream).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!((start.elapsed().as_secs(), node.missing().len()), (4, 0));
    assert!(asked().contains(SERVICES) && asked().contains(NODES));
    fetching.abort();
}

/// Also where responses do not wait.
#[tokio::test(start_paused = true)]
async fn replies_show_what_the_client_reads_too_little_of() {
    let (server, (node, layer)) = (Server::new(1, Mode::Good), layer());
    server.change(SERVICES, scene::service("web", "openyurt.io/nodepool"));
    let layer = layer.on_missing(OnMissing::Reply);
    let fetching = server.fetch(&layer, &[FactKind::Service, FactKind::Node]);
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let upstream = service_fn(|_: Request<Empty<Bytes>>| {
            let body = Full::new(Bytes::from(scene::list(&["me", "other"])));
            ready(Response::builder().header("Content-Type", JSON).body(body))
        });
        let request = Request::get(SLICES).body(Empty::new()).unwrap();
        let response = layer.layer(upstream).oneshot(request).await.unwrap();
        statuses.push(response.status().as_u16());
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(statuses, [503, 503, 503, 503, 503, 200, 200, 200]);
    assert_eq!(node.missing(), []);
    fetching.abort();
}

#[tokio::test(start_paused = true)]
async fn events_name_failures_and_recoveries() {
    let (server, (_, layer)) = (Server::new(1, Mode::Down), layer());
    let (sender, mut events) = mpsc::unbounded_channel();
    let service = {
        let server = server.clone();
        service_fn(move |request| ready(server.respond(&request).unwrap()))
    };
    let facts = layer.fetch_facts(service).on_event(move |event| sender.send(event).unwrap());
    let fetching = tokio::spawn(facts.run());
    let FactEvent::Failed { message, .. } = events.recv().await.unwrap() else { panic!() };
    assert!(message.ends_with("status 500"), "{message}");
    server.change(SERVICES, scene::service("web", ""));
    server.set(Mode::Good);
    let mut answered = BTreeSet::new();
    while answered.len() < 3 {
        if let FactEvent::Answered(kind) = events.recv().await.unwrap() {
            answered.insert(kind);
        }
    }
    fetching.abort();
}

#[tokio::test(start_paused = true)]
async fn dropping_the_fetcher_ends_its_requests() {
    let (server, (node, layer)) = (Server::new(1, Mode::Good), layer());
    server.change(SERVICES, scene::service("web", ""));
    let fetching = server.fetch(&layer, &[]);
    sleep(Duration::from_secs(10)).await;
    assert_eq!((node.missing().len(), server.open_watches()), (0, 3));
    fetching.abort();
    assert!(fetching.await.unwrap_err().is_cancelled());
    assert_eq!(server.open_watches(), 0);
}

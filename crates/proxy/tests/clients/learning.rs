//! Servers learned from the EndpointSlice of `default/kubernetes`.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use poolscope_proxy::Body;
use poolscope_proxy::credentials::OwnCredentials;
use poolscope_proxy::learned_servers::LearnedServers;
use poolscope_proxy::own_requests::OwnRequests;
use poolscope_proxy::upstream::{Server, Settings, Upstream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::scene::until;

fn slice(version: u32, addresses: &[&str]) -> Value {
    json!({
        "metadata": {"name": "kubernetes", "resourceVersion": version.to_string()},
        "ports": [{"name": "https", "port": 6443}],
        "endpoints": [{"addresses": addresses, "conditions": {"ready": true}}],
    })
}

fn event(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

/// An API server that lists one slice. Each watch sends the events of the next channel.
struct Api {
    list: Mutex<Value>,
    watches: Mutex<Vec<mpsc::Receiver<String>>>,
    targets: Mutex<Vec<String>>,
    status: Mutex<u16>,
}

struct Events(mpsc::Receiver<String>);

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = poolscope_proxy::BoxError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let polled = self.0.poll_recv(context);
        polled.map(|text| text.map(|text| Ok(http_body::Frame::data(Bytes::from(text)))))
    }
}

impl Api {
    fn respond(&self, request: &Request<Incoming>) -> Response<Body> {
        let target = request.uri().path_and_query().unwrap().to_string();
        self.targets.lock().unwrap().push(target.clone());
        let status = *self.status.lock().unwrap();
        let body = if target.contains("watch=true") {
            let mut watches = self.watches.lock().unwrap();
            let events = if watches.is_empty() { mpsc::channel(1).1 } else { watches.remove(0) };
            Body::new(Events(events))
        } else {
            let list = self.list.lock().unwrap().to_string();
            Body::new(Full::new(Bytes::from(list)).map_err(|never| match never {}))
        };
        Response::builder().status(status).body(body).unwrap()
    }
}

struct Scene {
    api: Arc<Api>,
    upstream: Upstream,
    given: Server,
    _folder: tempfile::TempDir,
}

async fn scene(list: Value, watches: Vec<mpsc::Receiver<String>>, status: u16) -> Scene {
    let api = Arc::new(Api {
        list: Mutex::new(list),
        watches: Mutex::new(watches),
        targets: Mutex::default(),
        status: Mutex::new(status),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let given = Server::new("127.0.0.1", listener.local_addr().unwrap().port());
    let shared = api.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let api = shared.clone();
            let service = service_fn(move |request| {
                let response = api.respond(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "t").unwrap();
    let credentials =
        Arc::new(OwnCredentials::new(folder.path().join("token"), folder.path().join("ca.crt")));
    let upstream = Upstream::new(Settings {
        http2_prior_knowledge: true,
        ..Settings::new(vec![given.clone()], None)
    });
    let own = OwnRequests::new(upstream.clone(), credentials);
    let learned = LearnedServers::new(
        own,
        vec![upstream.clone()],
        Arc::new(ArcSwap::from_pointee(vec![given.clone()])),
    );
    tokio::spawn(learned.run());
    Scene { api, upstream, given, _folder: folder }
}

impl Scene {
    /// Waits until the listed servers are the given one and these.
    async fn until_learned(&self, addresses: &[&str]) {
        let learned = addresses.iter().map(|address| Server::new(*address, 6443));
        let expected: Vec<Server> = std::iter::once(self.given.clone()).chain(learned).collect();
        until(|| {
            let snapshot = self.upstream.snapshot();
            let listed = snapshot.iter().filter(|server| server.is_listed);
            listed.map(|server| &server.server).eq(&expected)
        })
        .await;
    }
}

fn list(version: u32, addresses: &[&str]) -> Value {
    json!({"metadata": {"resourceVersion": version.to_string()}, "items": [slice(5, addresses)]})
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_follow_the_slice_and_the_given_one_stays_first() {
    let (first, events) = mpsc::channel(9);
    let (second, more) = mpsc::channel(9);
    let scene = scene(list(7, &["192.0.2.1"]), vec![events, more], 200).await;
    scene.until_learned(&["192.0.2.1"]).await;
    first.send(event("MODIFIED", &slice(8, &["192.0.2.1", "192.0.2.2"]))).await.unwrap();
    scene.until_learned(&["192.0.2.1", "192.0.2.2"]).await;
    // Neither an empty slice nor its end removes a server.
    first.send(event("MODIFIED", &slice(9, &[]))).await.unwrap();
    first.send(event("DELETED", &slice(10, &[]))).await.unwrap();
    let modified = event("MODIFIED", &slice(11, &["192.0.2.3"]));
    let (start, end) = modified.split_at(20);
    first.send(start.to_owned()).await.unwrap();
    first.send(end.to_owned()).await.unwrap();
    scene.until_learned(&["192.0.2.3"]).await;
    // The watch ends, and goes on at its version.
    drop(first);
    second.send(event("BOOKMARK", &slice(20, &[]))).await.unwrap();
    second.send(event("ADDED", &slice(21, &["192.0.2.4"]))).await.unwrap();
    scene.until_learned(&["192.0.2.4"]).await;

    let targets = scene.api.targets.lock().unwrap().clone();
    assert_eq!(targets.len(), 3, "{targets:?}");
    for target in &targets {
        let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?";
        assert!(target.starts_with(path), "{target}");
        assert!(target.contains("fieldSelector=metadata.name%3Dkubernetes"), "{target}");
    }
    assert!(targets[1].contains("resourceVersion=7&") || targets[1].ends_with("resourceVersion=7"));
    assert!(targets[2].ends_with("resourceVersion=11"), "{}", targets[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_version_is_listed_anew() {
    let (first, events) = mpsc::channel(9);
    let scene = scene(list(7, &["192.0.2.1"]), vec![events], 200).await;
    scene.until_learned(&["192.0.2.1"]).await;
    *scene.api.list.lock().unwrap() = list(30, &["192.0.2.9"]);
    let gone = json!({"kind": "Status", "code": 410});
    first.send(event("ERROR", &gone)).await.unwrap();
    scene.until_learned(&["192.0.2.9"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_may_not_list_keeps_the_given_servers() {
    let scene = scene(list(7, &["192.0.2.1"]), Vec::new(), 403).await;
    until(|| scene.api.targets.lock().unwrap().len() >= 2).await;
    assert_eq!(scene.upstream.snapshot().len(), 1);
    *scene.api.status.lock().unwrap() = 200;
    scene.until_learned(&["192.0.2.1"]).await;
}

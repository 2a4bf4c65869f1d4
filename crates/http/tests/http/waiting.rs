//! Responses that wait for missing facts.

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use poolscope::{Cluster, Config, FactKind};
use poolscope_http::{BoxError, OnMissing, ResponseBody, RewriteLayer};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use super::scene::{self, JSON, NODES, POOLS, SERVICES, SLICES};

type Waited = JoinHandle<Result<Response<ResponseBody<Full<Bytes>>>, BoxError>>;

/// A request whose response waits.
fn send(layer: &RewriteLayer<Empty<Bytes>>) -> Waited {
    let server = service_fn(|_: Request<Empty<Bytes>>| {
        let body = Full::new(Bytes::from(scene::list(&["me", "other"])));
        ready(Response::builder().header("Content-Type", JSON).body(body))
    });
    let request = Request::get(format!("http://api{SLICES}?limit=500")).body(Empty::new());
    tokio::spawn(layer.layer(server).oneshot(request.unwrap()))
}

fn layer(cluster: &Cluster) -> RewriteLayer<Empty<Bytes>> {
    RewriteLayer::new(cluster.node("me"), Empty::new)
        .on_missing(OnMissing::Wait(Duration::from_secs(9)))
}

fn missing(layer: &RewriteLayer<Empty<Bytes>>) -> Vec<FactKind> {
    let waiting = layer.waiting();
    assert!(waiting.iter().all(|waiting| waiting.target == format!("{SLICES}?limit=500")));
    waiting.iter().flat_map(|waiting| waiting.missing.iter().map(|fact| fact.kind)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_response_waits_until_the_last_fact_was_read() {
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    let layer = layer(&cluster);
    let start = Instant::now();
    let response = send(&layer);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(missing(&layer), [FactKind::Service, FactKind::Node, FactKind::NodePool]);
    scene::read(&cluster, SERVICES, 5, &scene::services("openyurt.io/nodepool"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(missing(&layer), [FactKind::Node, FactKind::NodePool]);
    scene::read(&cluster, NODES, 5, &scene::nodes());
    scene::read(&cluster, POOLS, 5, &scene::pools(&["me"]));
    let response = response.await.unwrap().unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(response.status(), 200);
    assert_eq!(response.collect().await.unwrap().to_bytes(), scene::list(&["me"]));
    assert!(layer.waiting().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_the_first_wait() {
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    let layer = layer(&cluster);
    let start = Instant::now();
    let response = send(&layer);
    tokio::time::sleep(Duration::from_secs(4)).await;
    scene::read(&cluster, SERVICES, 5, &scene::services(""));
    let response = response.await.unwrap().unwrap();
    // The timer has a resolution of a millisecond.
    let waited = start.elapsed();
    assert_eq!(waited.as_secs(), 9, "{waited:?}");
    assert_eq!(response.status(), 503);
    let body = response.collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&body).unwrap();
    assert!(text.contains(POOLS) && !text.contains(SERVICES), "{text}");
    assert!(layer.waiting().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_oldest_is_first_and_one_that_is_dropped_is_gone() {
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    let layer = layer(&cluster);
    let first = send(&layer);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = send(&layer);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let since: Vec<_> = layer.waiting().iter().map(|waiting| waiting.since).collect();
    assert_eq!(since.len(), 2);
    assert!(since[0] < since[1]);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(layer.waiting()[0].since, since[1]);
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    assert!(layer.waiting().is_empty());
}

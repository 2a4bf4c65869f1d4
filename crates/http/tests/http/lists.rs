//! Lists that a watch needs, requested through the layer.

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use poolscope::{Cluster, Config, Retention};
use poolscope_http::{BoxError, ResponseBody, RewriteLayer};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use super::scene::{self, JSON, SERVICES, SLICES, WATCH};
use super::upstream::{Feed, Upstream, upstream};

const PREFIX: &str = "http://api/k8s/clusters/c-1";
const NEEDED: &str = "/k8s/clusters/c-1/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?\
                      labelSelector=kubernetes.io%2Fservice-name%3Dweb";

/// A server whose first response is an open watch and whose further responses a test chooses.
struct Server {
    cluster: Cluster,
    feed: Feed,
    body: ResponseBody<Upstream>,
    requests: Arc<Mutex<Vec<(String, Duration)>>>,
}

/// The watch of a client that listed slice `web-1`. `lists` are the responses to requests for
/// needed lists: a status, a Content-Encoding and a body.
async fn server(lists: Vec<(u16, &'static str, Vec<u8>)>) -> Server {
    let mut config = Config::openyurt();
    config.set_retention(Retention::Topology);
    let cluster = scene::cluster(config);
    scene::read(&cluster, SERVICES, 6, &scene::services(""));
    let node = cluster.node("me");
    let (upstream, feed) = upstream();
    let watch = Arc::new(Mutex::new(Some(upstream)));
    let lists = Arc::new(Mutex::new(lists.into_iter()));
    let requests = Arc::<Mutex<Vec<_>>>::default();
    let (kept, start) = (requests.clone(), Instant::now());
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let response =
            |upstream: Upstream| Response::builder().header("content-type", JSON).body(upstream);
        let target = request.uri().path_and_query().unwrap().to_string();
        let length = request.body().size_hint().exact().unwrap();
        let agent = request.headers()["user-agent"].to_str().unwrap().to_owned();
        // A length of another body would break the request.
        let length = request.headers().get("content-length").map_or(length, |_| 1000);
        kept.lock().unwrap().push((format!("{agent} {target} {length}"), start.elapsed()));
        let response = if target.contains("watch=true") {
            response(watch.lock().unwrap().take().unwrap())
        } else if target.contains("labelSelector") {
            let (status, encoding, body) = lists.lock().unwrap().next().unwrap();
            let response = response(super::upstream::chunked(&body, std::iter::repeat(100)));
            response.map(|mut response| {
                *response.status_mut() = status.try_into().unwrap();
                if !encoding.is_empty() {
                    response.headers_mut().insert("content-encoding", encoding.parse().unwrap());
                }
                response
            })
        } else {
            let body = scene::list(&["me", "other"]);
            response(super::upstream::chunked(body.as_bytes(), std::iter::repeat(100)))
        };
        ready(response)
    });
    let service = RewriteLayer::new(node, Full::default).layer(service);
    let get = |target: &str| {
        let request = Request::get(format!("{PREFIX}{target}")).header("user-agent", "cilium");
        let request = request.header("content-length", 4);
        service.clone().oneshot(request.body(Full::from("body")).unwrap())
    };
    let list = get(SLICES).await.unwrap().collect().await.unwrap().to_bytes();
    assert_eq!(list, scene::list(&["me", "other"]), "the Service asks for nothing");
    let body = get(WATCH).await.unwrap().into_body();
    requests.lock().unwrap().clear();
    Server { cluster, feed, body, requests }
}

impl Server {
    /// The next frame as events.
    async fn next(&mut self) -> Result<Vec<String>, BoxError> {
        let frame = self.body.frame().await.ok_or("the watch ended")??;
        Ok(scene::events_of(std::str::from_utf8(&frame.into_data().unwrap())?))
    }

    fn annotate(&self) {
        scene::read(&self.cluster, SERVICES, 7, &scene::services("openyurt.io/nodepool"));
    }

    fn requests(&self) -> Vec<(String, u64)> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|(request, at)| (request.clone(), at.as_secs())).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_needed_list_is_requested_with_the_headers_of_the_watch() {
    let list = scene::list(&["me", "other"]).into_bytes();
    let mut server = server(vec![(200, "", list)]).await;
    server.annotate();
    assert_eq!(server.next().await.unwrap(), ["MODIFIED web-1 me", "BOOKMARK"]);
    assert_eq!(server.requests(), [(format!("cilium {NEEDED} 0"), 0)]);
    // The watch goes on, and needs nothing more.
    server.feed.data(scene::event(95, &["other"]));
    assert_eq!(server.next().await.unwrap(), ["MODIFIED web-1"]);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_or_is_too_old_is_requested_again_after_longer_delays() {
    let list = scene::list(&["me", "other"]);
    let old = list.replace(r#""resourceVersion":"70""#, r#""resourceVersion":"69""#);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    std::io::Write::write_all(&mut packed, list.as_bytes()).unwrap();
    let mut server = server(vec![
        (500, "", b"{}".to_vec()),
        (200, "", b"not a list".to_vec()),
        (200, "", old.into_bytes()),
        (200, "gzip", b"not gzip".to_vec()),
        (200, "gzip", packed.finish().unwrap()),
    ])
    .await;
    server.annotate();
    assert_eq!(server.next().await.unwrap(), ["MODIFIED web-1 me", "BOOKMARK"]);
    let times: Vec<u64> = server.requests().iter().map(|(_, at)| *at).collect();
    assert_eq!(times, [0, 1, 3, 7, 15]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_does_not_keep_the_others_waiting() {
    let list = scene::list(&["me", "other"]);
    let failure = || (500, "", Vec::new());
    // Whichever of the two is requested first fails until both were requested.
    let mut server = server(vec![failure(), failure(), (200, "", list.into_bytes())]).await;
    server.feed.data(scene::event(91, &["me", "other"]).replace("web", "db"));
    assert_eq!(server.next().await.unwrap(), ["MODIFIED db-1 me other"]);
    let keys = "openyurt.io/nodepool";
    let both = [scene::service("web", keys), scene::service("db", keys)];
    scene::read(&server.cluster, SERVICES, 7, &both);
    let more = tokio::time::timeout(Duration::from_millis(1500), server.next()).await;
    assert!(more.is_err(), "{more:?}");
    let mut requests = server.requests();
    requests.sort();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].0.ends_with("%3Ddb 0") && requests[1].0.ends_with("%3Dweb 0"));
}

#[tokio::test(start_paused = true)]
async fn upstream_events_pass_while_a_list_is_awaited() {
    let mut server = server(vec![(500, "", Vec::new())]).await;
    server.annotate();
    server.feed.data(scene::event(95, &["me", "x"]));
    // The event brings the object that the list would have brought.
    assert_eq!(server.next().await.unwrap(), ["MODIFIED web-1 me"]);
    let more = tokio::time::timeout(Duration::from_secs(30), server.next()).await;
    assert!(more.is_err(), "{more:?}");
    assert!(server.requests().len() <= 1, "no list is needed any more");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_body_ends_its_requests() {
    let server = server(vec![(500, "", Vec::new())]).await;
    server.annotate();
    let mut body = server.body;
    let read = tokio::time::timeout(Duration::from_millis(500), body.frame()).await;
    assert!(read.is_err());
    drop(body);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(server.requests.lock().unwrap().len(), 1);
    assert!(server.feed.is_dropped());
}

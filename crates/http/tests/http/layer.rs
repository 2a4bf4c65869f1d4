//! Requests and responses on their way through the layer.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Empty, Full};
use poolscope::{Config, ErrorKind};
use poolscope_http::{OnMissing, ResponseBody, RewriteLayer};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tower::util::BoxService;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::scene::{self, JSON, SERVICES, SLICES, WATCH};

type Server = BoxService<Request<Empty<Bytes>>, Response<Full<Bytes>>, Infallible>;
type Requests = Arc<Mutex<Vec<request::Parts>>>;

/// An API server that sends one response to every request, and keeps the requests' heads.
fn server(
    response: impl Fn() -> Response<Full<Bytes>> + Clone + Send + 'static,
) -> (Server, Requests) {
    let requests = Requests::default();
    let kept = requests.clone();
    let service = service_fn(move |request: Request<Empty<Bytes>>| {
        kept.lock().unwrap().push(request.into_parts().0);
        ready(Ok(response()))
    });
    (Server::new(service), requests)
}

fn layer(cluster: &poolscope::Cluster) -> RewriteLayer<Empty<Bytes>> {
    RewriteLayer::new(cluster.node("me"), Empty::new).on_missing(OnMissing::Reply)
}

fn get(target: &str) -> Request<Empty<Bytes>> {
    Request::get(target).body(Empty::new()).unwrap()
}

fn json(body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let body = body.into();
    Response::builder()
        .header("Content-Type", JSON)
        .header("Content-Length", body.len())
        .header("ETag", "\"1\"")
        .header("Audit-Id", "7")
        .body(Full::new(body))
        .unwrap()
}

async fn text(body: ResponseBody<Full<Bytes>>) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_request_for_endpoints_is_prepared_and_others_are_not() {
    let cluster = scene::cluster(Config::openyurt());
    let (service, requests) = server(|| json("{}"));
    let mut service = layer(&cluster).layer(service);
    for target in ["http://api:1/api/v1/endpoints", "http://api:1/api/v1/pods"] {
        let mut request = get(target);
        let headers = request.headers_mut();
        headers.insert("accept", HeaderValue::from_static("application/cbor, application/json"));
        headers.insert("accept-encoding", HeaderValue::from_static("gzip"));
        headers.insert("x-binary", HeaderValue::from_bytes(b"\xff").unwrap());
        headers.append("x-two", HeaderValue::from_static("1"));
        headers.append("x-two", HeaderValue::from_static("2"));
        drop(service.ready().await.unwrap().call(request).await);
    }
    let requests = requests.lock().unwrap();
    let values = |at: usize, name: &str| -> Vec<&[u8]> {
        let values = requests[at].headers.get_all(name);
        values.iter().map(|value| value.as_bytes()).collect()
    };
    assert_eq!(values(0, "accept"), [b"application/json"]);
    assert_eq!(values(0, "accept-encoding"), <[&[u8]; 0]>::default());
    assert_eq!(values(1, "accept"), [b"application/cbor, application/json"]);
    assert_eq!(values(1, "accept-encoding"), [b"gzip"]);
    for at in [0, 1] {
        assert_eq!(values(at, "x-binary"), [b"\xff"]);
        assert_eq!(values(at, "x-two"), [b"1", b"2"]);
        assert_eq!(requests[at].uri.authority().unwrap(), "api:1");
    }
}

#[tokio::test]
async fn a_request_without_compression_stays_without() {
    let cluster = scene::cluster(Config::openyurt());
    let (service, requests) = server(|| json("{}"));
    let mut request = get(SLICES);
    request.headers_mut().insert("accept-encoding", HeaderValue::from_static("identity"));
    drop(layer(&cluster).layer(service).oneshot(request).await);
    assert_eq!(requests.lock().unwrap()[0].headers["accept-encoding"], "identity");
}

#[tokio::test]
async fn a_response_with_endpoints_loses_what_describes_its_old_bytes() {
    let cluster = scene::cluster(Config::openyurt());
    let (service, _) = server(|| json(scene::list(&["me", "other"])));
    let response = layer(&cluster).layer(service).oneshot(get(SLICES)).await.unwrap();
    let mut names: Vec<_> = response.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["audit-id", "content-type"]);
    assert!(!response.body().is_forwarded() && !response.body().is_reply());
    assert_eq!(text(response.into_body()).await, scene::list(&["me"]));
}

#[tokio::test]
async fn any_other_response_is_forwarded_with_its_headers_and_its_length() {
    let cluster = scene::cluster(Config::openyurt());
    let (service, _) = server(|| {
        let mut response = json(Bytes::from_static(b"\x1f\x8b pods"));
        response.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
        response
    });
    let response = layer(&cluster).layer(service).oneshot(get("/api/v1/pods")).await.unwrap();
    assert_eq!(response.headers().len(), 5);
    assert!(response.body().is_forwarded());
    assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(7));
    assert_eq!(response.collect().await.unwrap().to_bytes(), &b"\x1f\x8b pods"[..]);
}

#[tokio::test]
async fn a_compressed_response_is_decompressed() {
    for encoding in ["gzip", " GZIP ", "x-gzip"] {
        let cluster = scene::cluster(Config::openyurt());
        let (service, _) = server(move || {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            std::io::Write::write_all(&mut packed, scene::list(&["me", "other"]).as_bytes())
                .unwrap();
            let mut response = json(packed.finish().unwrap());
            let encoding = HeaderValue::from_static(encoding);
            response.headers_mut().insert("content-encoding", encoding);
            response
        });
        let response = layer(&cluster).layer(service).oneshot(get(SLICES)).await.unwrap();
        assert!(!response.headers().contains_key("content-encoding"));
        assert_eq!(text(response.into_body()).await, scene::list(&["me"]));
    }
}

#[tokio::test]
async fn a_response_that_cannot_be_read_is_an_error() {
    let cluster = scene::cluster(Config::openyurt());
    for encodings in [&["br"][..], &["gzip", "br"], &["gzip, br"]] {
        let (service, _) = server(move || {
            let mut response = json("{}");
            for &encoding in encodings {
                let encoding = HeaderValue::from_static(encoding);
                response.headers_mut().append("content-encoding", encoding);
            }
            response
        });
        let error = layer(&cluster).layer(service).oneshot(get(SLICES)).await.unwrap_err();
        let error = error.downcast::<poolscope::Error>().unwrap();
        assert_eq!(error.kind(), ErrorKind::ContentEncoding);
    }
}

#[tokio::test]
async fn an_error_of_the_service_passes_as_it_is() {
    let cluster = scene::cluster(Config::openyurt());
    let service = service_fn(|_: Request<Empty<Bytes>>| {
        let error = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        ready(Err::<Response<Full<Bytes>>, _>(error))
    });
    let error = layer(&cluster).layer(service).oneshot(get(SLICES)).await.unwrap_err();
    assert_eq!(error.downcast::<std::io::Error>().unwrap().kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_reply_takes_the_place_of_the_response() {
    let cluster = poolscope::Cluster::new(Config::openyurt()).unwrap();
    let (service, _) = server(|| json(scene::list(&["me", "other"])));
    let mut service = layer(&cluster).layer(service);
    let response = service.ready().await.unwrap().call(get(SLICES)).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    assert!(!response.headers().contains_key("audit-id"));
    assert!(response.body().is_reply());
    let exact = http_body::Body::size_hint(response.body()).exact().unwrap();
    let body = text(response.into_body()).await;
    assert_eq!(body.len() as u64, exact);
    assert!(body.contains("/api/v1/services"), "{body}");

    // A watch at a version that is not known is not a matter of waiting.
    let cluster = scene::cluster(Config::openyurt());
    let (service, _) = server(|| json(""));
    let layer = RewriteLayer::new(cluster.node("me"), Empty::new);
    let response = layer.layer(service).oneshot(get(WATCH)).await.unwrap();
    assert_eq!(response.status(), StatusCode::GONE);
}

#[tokio::test]
async fn facts_are_read_when_they_pass() {
    let cluster = poolscope::Cluster::new(Config::openyurt()).unwrap();
    let list = serde_json::json!({ "metadata": {}, "items": scene::services("x") }).to_string();
    let body = list.clone();
    let (service, _) = server(move || json(body.clone()));
    let missing = cluster.missing("me").len();
    let response = layer(&cluster).layer(service).oneshot(get(SERVICES)).await.unwrap();
    assert_eq!(text(response.into_body()).await, list);
    assert_eq!(cluster.missing("me").len(), missing - 1);
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A service for one request at a time that keeps only the last waker, as many do, and panics when
/// it is called without being ready.
struct OneAtATime {
    free: Arc<Semaphore>,
    wait: Option<Boxed<Result<OwnedSemaphorePermit, AcquireError>>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Service<Request<Empty<Bytes>>> for OneAtATime {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Boxed<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.permit.is_none() {
            let free = self.free.clone();
            let wait = self.wait.get_or_insert_with(|| Box::pin(free.acquire_owned()));
            let permit = std::task::ready!(wait.as_mut().poll(context));
            (self.permit, self.wait) = (permit.ok(), None);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
        let permit = self.permit.take().expect("called without being ready");
        Box::pin(async move {
            tokio::task::yield_now().await;
            drop(permit);
            Ok(json(scene::list(&["me", "other"])))
        })
    }
}

#[tokio::test]
async fn a_service_that_is_not_ready_and_not_clone_serves_every_request() {
    let cluster = scene::cluster(Config::openyurt());
    let free = Arc::new(Semaphore::new(1));
    let service = layer(&cluster).layer(OneAtATime { free, wait: None, permit: None });
    let requests: Vec<_> =
        (0..20).map(|_| tokio::spawn(service.clone().oneshot(get(SLICES)))).collect();
    for request in requests {
        let response = tokio::time::timeout(Duration::from_secs(10), request).await;
        let response = response.expect("a request was never woken").unwrap().unwrap();
        assert_eq!(text(response.into_body()).await, scene::list(&["me"]));
    }
}

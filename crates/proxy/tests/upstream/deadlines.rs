//! Servers that send no response.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::Frame;
use poolscope_proxy::upstream::{Error, Settings, Upstream};
use poolscope_proxy::{Body, BoxError};
use tower_service::Service;

use super::server::TestServer;
use super::{boxed, get, only, read, send, settings, until};

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3600);

fn upstream(server: &TestServer, head: Duration, long_head: Duration) -> Upstream {
    Upstream::new(Settings {
        head_timeout: head,
        long_head_timeout: long_head,
        ..settings(&[server])
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_writes_fail_in_time_and_are_sent_once() {
    for http2_prior_knowledge in [true, false] {
        let server = TestServer::start().await;
        let upstream = Upstream::new(Settings {
            head_timeout: SHORT,
            long_head_timeout: SHORT,
            http2_prior_knowledge,
            ..settings(&[&server])
        });
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let error = send(&upstream, method, "/silent").await.err().unwrap();
            assert!(matches!(error, Error::Silent { after } if after == SHORT), "{error}");
            assert_eq!(error.status(), StatusCode::GATEWAY_TIMEOUT);
            assert!(!error.is_retryable());
        }
        let lines: Vec<String> = server.seen().into_iter().map(|seen| seen.line).collect();
        assert_eq!(lines, ["GET /silent", "POST /silent", "DELETE /silent"]);
        // The streams are closed, and the connection is of use.
        until(|| only(&upstream).open_streams == 0).await;
        assert_eq!(read(get(&upstream, "/").await.unwrap()).await, "ok");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_writes_have_their_own_time() {
    let server = TestServer::start().await;
    let upstream = upstream(&server, LONG, SHORT);
    for (method, target) in [(Method::GET, "/api/v1/silent"), (Method::PUT, "/silent")] {
        let error = send(&upstream, method, target).await.err().unwrap();
        assert!(matches!(error, Error::Silent { .. }), "{error}");
    }
    let upstream = self::upstream(&server, SHORT, LONG);
    for target in ["/silent", "/api/v1/silent?watch=true"] {
        let error = get(&upstream, target).await.err().unwrap();
        assert!(matches!(error, Error::Silent { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_may_take_longer_than_its_head() {
    let server = TestServer::start().await;
    let upstream = upstream(&server, SHORT, SHORT);
    let held = get(&upstream, "/hold?watch=true").await.unwrap();
    tokio::time::sleep(SHORT * 2).await;
    server.release();
    assert_eq!(read(held).await, "held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_being_sent_moves_the_deadline() {
    let server = TestServer::start().await;
    let limit = Duration::from_millis(500);
    let upstream = upstream(&server, limit, limit);
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let request = Request::post("/upload").body(Body::new(Upload(receiver))).unwrap();
    let started = tokio::time::Instant::now();
    let sending = tokio::spawn(async move {
        for _ in 0..8 {
            tokio::time::sleep(limit / 4).await;
            sender.send(Bytes::from_static(b"x")).await.unwrap();
        }
    });
    let response = upstream.clone().call(request).await.unwrap();
    assert!(started.elapsed() > limit, "the upload was too short to test anything");
    assert_eq!(read(response).await, "8");
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_without_a_response_fails_in_time() {
    let server = TestServer::start().await;
    let upstream = upstream(&server, SHORT, LONG);
    let request = Request::post("/silent").body(boxed("")).unwrap();
    let error = upstream.tunnel(request).await.err().unwrap();
    assert!(matches!(error, Error::Silent { .. }), "{error}");
}

/// A body whose frames come from a channel.
struct Upload(tokio::sync::mpsc::Receiver<Bytes>);

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

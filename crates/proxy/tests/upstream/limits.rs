//! Limits of streams and connections.

use std::collections::HashMap;

use http::StatusCode;
use poolscope_proxy::upstream::{Error, Settings, Upstream};
use tokio::task::JoinSet;

use super::server::TestServer;
use super::{get, only, read, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_connection_is_joined_by_another() {
    let server = TestServer::start().await;
    let upstream = Upstream::new(Settings { max_streams: 2, ..settings(&[&server]) });
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(get(&upstream, "/hold").await.unwrap());
    }
    assert_eq!(server.accepted(), 2);
    let state = only(&upstream);
    assert_eq!((state.connections, state.open_streams), (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_the_server_is_kept_by_concurrent_requests() {
    let server = TestServer::bind("127.0.0.1:0".parse().unwrap(), 2, None).await;
    let upstream = Upstream::new(settings(&[&server]));
    let mut requests = JoinSet::new();
    for _ in 0..9 {
        let upstream = upstream.clone();
        requests.spawn(async move { get(&upstream, "/hold?watch=true").await.unwrap() });
    }
    let held = requests.join_all().await;
    assert_eq!(held.len(), 9);
    let mut streams: HashMap<usize, usize> = HashMap::new();
    for seen in server.seen() {
        *streams.entry(seen.connection).or_default() += 1;
    }
    assert_eq!(streams.len(), 5);
    assert!(streams.values().all(|streams| *streams <= 2), "{streams:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_above_the_limits_get_busy() {
    let server = TestServer::start().await;
    let limits = Settings { max_streams: 1, max_connections: 2, ..settings(&[&server]) };
    let upstream = Upstream::new(limits);
    let _watch = get(&upstream, "/hold?watch=true").await.unwrap();
    let _list = get(&upstream, "/hold").await.unwrap();
    let error = get(&upstream, "/hold").await.err().unwrap();
    assert!(matches!(error, Error::Busy { connections: 2, streams: 1 }));
    assert_eq!(error.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(error.is_retryable());
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_free_when_its_body_is_dropped_or_ends() {
    let server = TestServer::start().await;
    let limits = Settings { max_streams: 1, max_connections: 1, ..settings(&[&server]) };
    let upstream = Upstream::new(limits);
    for target in ["/hold", "/hold?watch=true"] {
        let held = get(&upstream, target).await.unwrap();
        assert!(matches!(get(&upstream, "/").await, Err(Error::Busy { .. })));
        drop(held);
        assert_eq!(read(get(&upstream, "/").await.unwrap()).await, "ok");
    }
    assert_eq!(server.accepted(), 1);
    assert_eq!(only(&upstream).open_streams, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_have_connections_of_their_own_within_the_limit() {
    for (max_connections, expected) in [(16, 2), (1, 1)] {
        let server = TestServer::start().await;
        let upstream = Upstream::new(Settings { max_connections, ..settings(&[&server]) });
        let _watches = [
            get(&upstream, "/hold?watch=true").await.unwrap(),
            get(&upstream, "/hold?watch=true").await.unwrap(),
        ];
        read(get(&upstream, "/").await.unwrap()).await;
        assert_eq!(server.accepted(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_do_not_stall_others() {
    let server = TestServer::start().await;
    let upstream = Upstream::new(settings(&[&server]));
    let mut unread = Vec::new();
    for _ in 0..20 {
        unread.push(get(&upstream, "/big").await.unwrap());
    }
    assert_eq!(read(get(&upstream, "/big").await.unwrap()).await.len(), 4 << 20);
    assert_eq!(server.accepted(), 1);
}

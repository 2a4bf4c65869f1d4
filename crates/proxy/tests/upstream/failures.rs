//! Servers and connections that fail, go away or are removed.

use std::collections::HashMap;
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use poolscope_proxy::upstream::{Error, Server, Settings, Upstream};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::server::TestServer;
use super::{get, only, read, send, settings, until};

#[tokio::test(flavor = "multi_thread")]
async fn goaway_moves_new_requests_and_lets_streams_end() {
    let server = TestServer::start().await;
    let upstream = Upstream::new(settings(&[&server]));
    let held = get(&upstream, "/hold").await.unwrap();
    server.goaway();
    until(|| only(&upstream).draining == 1).await;
    for _ in 0..3 {
        assert_eq!(read(send(&upstream, Method::POST, "/new").await.unwrap()).await, "ok");
    }
    assert_eq!(server.accepted(), 2);
    server.release();
    assert_eq!(read(held).await, "held");
    let state = only(&upstream);
    assert_eq!((state.connections, state.draining, state.failures), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_is_repeated_and_no_read_fails_while_connections_go_away() {
    let server = TestServer::start().await;
    let upstream = Upstream::new(settings(&[&server]));
    for round in 0..200 {
        server.goaway();
        let write = format!("/write/{round}");
        let (write, read) =
            tokio::join!(send(&upstream, Method::POST, &write), get(&upstream, "/read"));
        read.unwrap();
        // A write whose stream crossed GOAWAY on the way fails.
        assert!(matches!(write, Ok(_) | Err(Error::Sent { .. })));
    }
    let mut writes: HashMap<String, usize> = HashMap::new();
    for seen in server.seen().into_iter().filter(|seen| seen.line.starts_with("POST")) {
        *writes.entry(seen.line).or_default() += 1;
    }
    assert!(!writes.is_empty() && writes.values().all(|count| *count == 1), "{writes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_reads_are_repeated_and_only_once() {
    let server = TestServer::start().await;
    for http2_prior_knowledge in [true, false] {
        let count = |line| server.seen().iter().filter(|seen| seen.line == line).count();
        server.shared.seen.lock().unwrap().clear();
        let settings = Settings { http2_prior_knowledge, ..settings(&[&server]) };
        let upstream = Upstream::new(settings);
        assert_eq!(read(get(&upstream, "/die-once").await.unwrap()).await, "ok");
        assert_eq!(count("GET /die-once"), 2);

        assert!(matches!(get(&upstream, "/die").await, Err(Error::Sent { .. })));
        assert_eq!(count("GET /die"), 2);

        let error = send(&upstream, Method::POST, "/die").await.err().unwrap();
        assert!(error.to_string().contains(&server.address.to_string()), "{error}");
        assert_eq!((error.status(), error.is_retryable()), (StatusCode::BAD_GATEWAY, false));
        assert_eq!(count("POST /die"), 1);

        send(&upstream, Method::DELETE, "/die").await.err().unwrap();
        assert_eq!(count("DELETE /die"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_reset_by_the_server_is_not_repeated() {
    let server = TestServer::start().await;
    let upstream = Upstream::new(settings(&[&server]));
    assert!(matches!(get(&upstream, "/reset").await, Err(Error::Sent { .. })));
    assert_eq!(read(get(&upstream, "/").await.unwrap()).await, "ok");
    assert_eq!((server.seen().len(), server.accepted()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_breaks_the_body() {
    let server = TestServer::start().await;
    let upstream = Upstream::new(settings(&[&server]));
    let held = get(&upstream, "/hold").await.unwrap();
    send(&upstream, Method::POST, "/die").await.err().unwrap();
    let error = held.into_body().collect().await.unwrap_err();
    assert!(matches!(error, Error::Body { .. }), "{error}");
    until(|| only(&upstream).failures == 1).await;
    assert!(only(&upstream).last_error.unwrap().starts_with("connection lost: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_tried_in_turn_and_never_given_up() {
    let (first, second) = (TestServer::start().await, TestServer::start().await);
    let address = first.address;
    let upstream = Upstream::new(settings(&[&first, &second]));
    stop(first).await;
    assert_eq!(read(get(&upstream, "/").await.unwrap()).await, "ok");
    assert_eq!(second.accepted(), 1);

    let second_address = second.address;
    second.goaway();
    stop(second).await;
    until(|| upstream.snapshot().iter().all(|server| server.connections == 0)).await;
    let error = get(&upstream, "/").await.err().unwrap();
    let text = error.to_string();
    for server in [address, second_address] {
        assert!(text.contains(&server.to_string()), "{text}");
    }
    assert_eq!((error.status(), error.is_retryable()), (StatusCode::SERVICE_UNAVAILABLE, true));

    let first = TestServer::bind(address, 200, None).await;
    assert_eq!(read(get(&upstream, "/").await.unwrap()).await, "ok");
    assert_eq!(first.accepted(), 1);
}

async fn stop(server: TestServer) {
    let address = server.address;
    drop(server);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_a_removed_server_drain() {
    let (old, new) = (TestServer::start().await, TestServer::start().await);
    let upstream = Upstream::new(settings(&[&old]));
    let held = get(&upstream, "/hold").await.unwrap();
    upstream.set_servers(vec![new.server()]);
    assert_eq!(read(get(&upstream, "/").await.unwrap()).await, "ok");
    assert_eq!((old.seen().len(), new.seen().len()), (1, 1));
    let [listed, removed] = &upstream.snapshot()[..] else { panic!() };
    assert_eq!((&listed.server, listed.connections), (&new.server(), 1));
    let state = (removed.is_listed, removed.connections, removed.draining, removed.open_streams);
    assert_eq!((&removed.server, state), (&old.server(), (false, 0, 1, 1)));
    old.release();
    assert_eq!(read(held).await, "held");
    assert_eq!(only(&upstream).server, new.server());
    // An empty list is ignored.
    upstream.set_servers(Vec::new());
    read(get(&upstream, "/").await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_servers_the_error_tells_the_remedy() {
    let upstream = Upstream::new(Settings::new(Vec::new(), None));
    let error = get(&upstream, "/").await.err().unwrap().to_string();
    assert!(error.contains("name at least one"), "{error}");
    let unknown = Server::new("no such host", 1);
    let upstream = Upstream::new(Settings::new(vec![unknown], None));
    let error = get(&upstream, "/").await.err().unwrap().to_string();
    assert!(error.contains("invalid host name"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_accepts_and_stays_silent_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let servers = vec![Server::new("127.0.0.1", address.port())];
    let upstream = Upstream::new(Settings {
        http2_prior_knowledge: true,
        connect_timeout: Duration::from_millis(20),
        ..Settings::new(servers, None)
    });
    let error = get(&upstream, "/").await.err().unwrap().to_string();
    assert!(error.contains("no connection after 20ms"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_find_a_server_that_vanished() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let servers = vec![Server::new("127.0.0.1", listener.local_addr().unwrap().port())];
    let accepting = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // An empty SETTINGS frame; after it, nothing.
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            open.push(stream);
        }
    });
    let upstream = Upstream::new(Settings {
        http2_prior_knowledge: true,
        ping_interval: Duration::from_millis(250),
        ping_timeout: Duration::from_millis(250),
        ..Settings::new(servers, None)
    });
    let error = send(&upstream, Method::POST, "/").await.err().unwrap();
    assert!(matches!(error, Error::Sent { .. }), "{error}");
    until(|| only(&upstream).failures == 1).await;
    assert_eq!(only(&upstream).connections, 0);
    accepting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canceled_request_leaves_its_connection_to_others() {
    let server = TestServer::start().await;
    let upstream = Upstream::new(settings(&[&server]));
    tokio::select! {
        biased;
        _ = get(&upstream, "/first") => panic!("a connection takes more than one poll"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(read(get(&upstream, "/second").await.unwrap()).await, "ok");
    assert_eq!((server.accepted(), server.seen().len()), (1, 1));
}

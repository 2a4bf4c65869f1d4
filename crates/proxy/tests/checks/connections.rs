//! The connections to one API server.

use std::collections::HashMap;
use std::time::Duration;

use http::{Method, Version};
use poolscope_proxy::upstream::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::chain::{AGENT, Chain, PODS, Plan, next, read_until, soon, until_end};
use super::server::EVENT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_03_a_half_open_upstream_is_found_by_pings() {
    let defaults = Settings::new(Vec::new(), None);
    assert!(defaults.ping_interval + defaults.ping_timeout <= Duration::from_secs(25));
    assert!(defaults.tcp_user_timeout <= Duration::from_secs(45));

    let chain = Chain::start(Plan {
        upstream: |settings| {
            let short = Duration::from_millis(500);
            Settings { ping_interval: short, ping_timeout: short, ..settings }
        },
        ..Plan::default()
    })
    .await;
    let relay = &chain.relays[0];
    let freezes: [&dyn Fn(); 2] = [&|| relay.freeze(), &|| relay.freeze_to_proxy()];
    for freeze in freezes {
        let mut client = chain.http2().await;
        let watch = client.watch(PODS).await;
        freeze();
        chain.server().event(EVENT);
        assert_eq!(until_end(watch).await, "", "the watch ends like any other");
        relay.thaw();
        let watch = client.watch(PODS).await;
        drop(watch);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_04_no_watch_waits_behind_the_stream_limit() {
    let chain = Chain::start(Plan::default()).await;
    let mut client = chain.http2().await;
    let mut watches = Vec::new();
    // As many as the proxy permits on a client's connection.
    for _ in 0..240 {
        watches.push(client.watch(PODS).await);
    }
    assert_eq!(client.get("/version").await.0, 200);
    let mut streams: HashMap<usize, usize> = HashMap::new();
    for watch in chain.server().received(PODS) {
        *streams.entry(watch.connection).or_default() += 1;
    }
    assert_eq!(streams.values().sum::<usize>(), 240);
    assert!(streams.len() >= 3 && streams.values().all(|open| *open <= 100), "{streams:?}");
    chain.server().event(EVENT);
    for watch in &mut watches {
        assert_eq!(next(watch).await, EVENT);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_05_clients_that_read_nothing_do_not_stall_their_neighbours() {
    let chain = Chain::start(Plan::default()).await;
    let mut client = chain.http2().await;
    let mut neighbour = client.watch(PODS).await;
    let mut unread = Vec::new();
    let flood = "/api/v1/configmaps?watch=true";
    for _ in 0..20 {
        let mut stream = chain.http1().await;
        let request = format!("GET {flood} HTTP/1.1\r\nhost: x\r\n{AGENT}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        unread.push(stream);
    }
    // Until the windows of all are full.
    let sent = || chain.server().sent.load(std::sync::atomic::Ordering::Relaxed);
    let mut before = u64::MAX;
    while before != sent() {
        before = sent();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let floods = chain.server().received(flood);
    assert_eq!(floods.len(), 20);
    let connection = chain.server().received(PODS)[0].connection;
    assert!(floods.iter().all(|one| one.connection == connection), "they share a connection");
    for _ in 0..3 {
        chain.server().event(EVENT);
        assert_eq!(next(&mut neighbour).await, EVENT);
    }
    drop(client.watch(PODS).await);
    assert_eq!(chain.server().received(PODS)[1].connection, connection);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_06_goaway_lets_streams_end_and_moves_new_ones() {
    let chain = Chain::start(Plan::default()).await;
    let server = chain.server();
    let mut client = chain.http2().await;
    let mut old = client.watch(PODS).await;
    assert_eq!(client.get("/version").await.0, 200);
    let connections = |target| -> Vec<usize> {
        server.received(target).into_iter().map(|one| one.connection).collect()
    };
    let before = connections(PODS)[0];
    server.goaway();
    // Writes are sent once, and reads succeed, however they cross the GOAWAY.
    for round in 0..50 {
        server.goaway();
        let target = format!("/odd?round={round}");
        let (mut reads, mut writes) = (client.clone(), client.clone());
        let (read, write) = tokio::join!(reads.get(&target), writes.send(Method::POST, &target));
        assert_eq!(read.0, 200);
        assert!(matches!(write.unwrap().status().as_u16(), 200 | 502));
        let sent = server.received(&target);
        let writes = sent.iter().filter(|one| one.method == Method::POST).count();
        assert!(writes <= 1, "a write was repeated");
    }
    let mut new = client.watch(PODS).await;
    let last = *connections(PODS).last().unwrap();
    assert_ne!(last, before);
    server.event(EVENT);
    for watch in [&mut old, &mut new] {
        assert_eq!(next(watch).await, EVENT);
    }
    // A read whose connection broke before the response is repeated.
    assert_eq!(client.get("/die-once").await, (200, "alive".into()));
    assert_eq!(server.received("/die-once").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_07_no_write_that_may_have_been_sent_is_repeated() {
    let mut chain = Chain::start(Plan {
        upstream: |settings| {
            let short = Duration::from_millis(500);
            Settings { long_head_timeout: short, ..settings }
        },
        ..Plan::default()
    })
    .await;
    let methods = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let mut client = chain.http2().await;
    for (target, status) in [("/die", 502), ("/silent", 504)] {
        for method in &methods {
            let response = client.send(method.clone(), target).await.unwrap();
            assert_eq!(response.status(), status, "{method} {target}");
            // client-go repeats any request whose response has it.
            assert!(!response.headers().contains_key("retry-after"));
        }
        let sent = chain.server().received(target);
        let sent: Vec<&Method> = sent.iter().map(|one| &one.method).collect();
        assert_eq!(sent, methods.iter().collect::<Vec<_>>());
    }
    chain.relays[0].refuse().await;
    let response = client.send(Method::POST, "/version").await.unwrap();
    // 502 if a connection broke only once the request was on it.
    assert!(matches!(response.status().as_u16(), 502 | 503), "{}", response.status());
    assert!(chain.server().received("/version").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_11_an_upgrade_has_a_connection_of_its_own() {
    let chain = Chain::start(Plan::default()).await;
    let mut client = chain.http2().await;
    let _watch = client.watch(PODS).await;
    for protocol in ["SPDY/3.1", "websocket"] {
        let mut stream = chain.http1().await;
        let request = format!(
            "POST /echo HTTP/1.1\r\nhost: x\r\n{AGENT}connection: Upgrade\r\n\
             upgrade: {protocol}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert!(head.contains(&format!("upgrade: {protocol}")), "{head}");
        // A byte comes back before the next one is sent: nothing is buffered.
        for byte in 0..50 {
            stream.write_u8(byte).await.unwrap();
            assert_eq!(soon(stream.read_u8()).await.unwrap(), byte);
        }
        let (mut read, mut write) = tokio::io::split(stream);
        let sent: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
        let copy = sent.clone();
        tokio::spawn(async move {
            write.write_all(&copy).await.unwrap();
            write.shutdown().await.unwrap();
        });
        let mut received = vec![0; sent.len()];
        soon(read.read_exact(&mut received)).await.unwrap();
        assert!(received == sent);
    }
    let upgrades = chain.server().received("/echo");
    assert_eq!(upgrades.len(), 2);
    for upgrade in upgrades {
        assert_eq!(upgrade.version, Version::HTTP_11);
        let others = chain.server().received("");
        let on_it = others.iter().filter(|one| one.connection == upgrade.connection);
        assert_eq!(on_it.count(), 1, "nothing else uses the connection");
    }
}

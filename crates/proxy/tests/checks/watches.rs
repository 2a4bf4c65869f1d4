//! How watches end, and how long they live.

use std::time::{Duration, Instant};

use http::Method;
use http_body_util::BodyExt;
use poolscope_proxy::listener::Limits;
use tokio::io::AsyncWriteExt;

use super::chain::{AGENT, Chain, PODS, Plan, next, read_until, soon, until, until_end};
use super::scene::SLICES;
use super::server::EVENT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_01_a_watch_ends_at_once_with_its_upstream() {
    let chain = Chain::start(Plan::default()).await;
    let mut client = chain.http2().await;
    let passed = client.watch(PODS).await;
    let rewritten = client.watch(&format!("{SLICES}?watch=true")).await;
    let mut http1 = chain.http1().await;
    let request = format!("GET {PODS} HTTP/1.1\r\nhost: x\r\n{AGENT}\r\n");
    http1.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut http1, &format!("{EVENT}\r\n")).await;
    let mut list = client.send(Method::GET, "/api/v1/secrets").await.unwrap().into_body();
    next(&mut list).await;

    // Half an event is on the way.
    chain.server().event("{\"type\":");
    let started = Instant::now();
    chain.relays[0].reset();
    let rest = until_end(passed).await;
    assert!(rest.is_empty() || rest == "{\"type\":", "{rest:?}");
    assert_eq!(until_end(rewritten).await, "");
    read_until(&mut http1, "0\r\n\r\n").await;
    // A list that ended like a watch would look whole.
    let broken = soon(list.collect()).await;
    assert!(broken.is_err(), "half a list ended regularly");
    // Long before a ping would find it.
    assert!(started.elapsed() < Duration::from_secs(10));

    // The client connections serve further requests.
    drop(client.watch(PODS).await);
    let request = format!("GET /version HTTP/1.1\r\nhost: x\r\n{AGENT}\r\n");
    http1.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut http1, "v1.0.0-check\"}").await;
}

#[tokio::test]
async fn check_02_a_watch_that_ended_leaves_nothing_behind() {
    let chain = Chain::start(Plan::default()).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let mut baseline = None;
    for round in 0..6 {
        let mut client = chain.http2().await;
        let mut watches = Vec::new();
        for watch in 0..40 {
            let target = if watch % 2 == 0 { PODS } else { "/apis/apps/v1/deployments?watch=1" };
            watches.push(client.watch(target).await);
        }
        assert_eq!(chain.metric("watches").await, 40.0);
        if round % 2 == 0 {
            chain.relays[0].reset();
            for watch in watches {
                until_end(watch).await;
            }
        } else {
            drop(watches);
        }
        drop(client);
        chain.until_metric("watches", 0.0).await;
        // The proxy's own watch of facts.
        chain.scene.ready().await;
        until(|| chain.server().open() == 0).await;
        chain.relays[0].reset();
        // Without clients no task is left but those that every idle proxy has.
        match baseline {
            None => {
                soon(settled(&metrics)).await;
                baseline = Some(metrics.num_alive_tasks() + 4);
            }
            Some(most) => until(|| metrics.num_alive_tasks() <= most).await,
        }
    }
}

/// Waits until the number of tasks has not changed for a second.
async fn settled(metrics: &tokio::runtime::RuntimeMetrics) {
    let (mut tasks, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_secs(1) {
        if metrics.num_alive_tasks() != tasks {
            (tasks, since) = (metrics.num_alive_tasks(), Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_10_silence_ends_no_watch_before_its_time() {
    let short = Duration::from_millis(400);
    let chain = Chain::start(Plan {
        clients: Limits { stall: short, ..Limits::default() },
        upstream: |settings| {
            let short = Duration::from_millis(400);
            poolscope_proxy::upstream::Settings {
                connect_timeout: short * 5,
                ping_interval: short,
                ping_timeout: short * 10,
                head_timeout: short,
                long_head_timeout: short * 5,
                ..settings
            }
        },
        ..Plan::default()
    })
    .await;
    let mut client = chain.http2().await;
    let started = Instant::now();
    let mut endless = client.watch(PODS).await;
    let timed = client.watch(&format!("{PODS}&timeoutSeconds=1")).await;
    // The API server sends no end: it comes after the time and the margin.
    until_end(timed).await;
    assert!(started.elapsed() >= Duration::from_secs(16), "{:?}", started.elapsed());
    assert!(started.elapsed() > short * 30, "every other limit has passed");
    chain.server().event(EVENT);
    assert_eq!(next(&mut endless).await, EVENT);
}

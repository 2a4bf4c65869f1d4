//! Several API servers.

use std::time::Duration;

use poolscope_proxy::upstream::Settings;

use super::chain::{Chain, PODS, Plan, next, until, until_end};
use super::server::EVENT;

fn two() -> Plan {
    Plan {
        servers: 2,
        upstream: |settings| Settings {
            probe_interval: Duration::from_millis(50),
            removal_drain: Duration::from_millis(200),
            ..settings
        },
        ..Plan::default()
    }
}

/// Writes a kubeconfig whose server is that of a relay.
fn write_kubeconfig(folder: &std::path::Path, server: std::net::SocketAddr) {
    let text = format!(
        "current-context: x\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: 'https://{server}', certificate-authority: \
         ca.crt}}}}]\nusers: [{{name: u, user: {{token: own}}}}]\n"
    );
    std::fs::write(folder.join("new"), text).unwrap();
    std::fs::rename(folder.join("new"), folder.join("kubeconfig")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_08_the_streams_of_a_failed_or_removed_server_end() {
    let chain = Chain::start(two()).await;
    let mut client = chain.http2().await;
    let watch = client.watch(PODS).await;
    assert_eq!(chain.servers[0].received(PODS).len(), 1, "the first is preferred");
    chain.servers[0].set_readiness(500);
    until_end(watch).await;
    let mut watch = client.watch(PODS).await;
    assert_eq!(chain.servers[1].received(PODS).len(), 1);
    chain.servers[1].event(EVENT);
    assert_eq!(next(&mut watch).await, EVENT);

    // Removed: a kubeconfig names another server.
    let chain = Chain::start(Plan { kubeconfig: Some(write_kubeconfig), ..two() }).await;
    let mut client = chain.http2().await;
    let watch = client.watch(PODS).await;
    assert_eq!(chain.servers[0].received(PODS).len(), 1);
    write_kubeconfig(chain.scene.folder.path(), chain.relays[1].address);
    chain.scene.proxy.reload().await;
    drop(client.watch(PODS).await);
    assert_eq!(chain.servers[1].received(PODS).len(), 1);
    until_end(watch).await;
    until(|| chain.servers[0].open() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_09_servers_that_all_look_bad_are_all_tried() {
    let mut chain = Chain::start(two()).await;
    let mut client = chain.http2().await;
    chain.servers.iter().for_each(|server| server.set_readiness(500));
    // More probes than those after which a server is down.
    for server in &chain.servers {
        let before = server.received("/readyz").len();
        until(|| server.received("/readyz").len() >= before + 5).await;
    }
    assert_eq!(client.get("/version").await.0, 200);
    drop(client.watch(PODS).await);
    // The one that serves may be either.
    for lost in 0..2 {
        chain.relays[lost].refuse().await;
        let (status, _) = client.get("/version").await;
        assert_eq!(status, 200, "the other one is tried");
        chain.relays[lost].accept_again();
    }
    for relay in &mut chain.relays {
        relay.refuse().await;
    }
    assert_eq!(client.get("/version").await.0, 503);
    // At once, though both are down and back off.
    chain.relays[1].accept_again();
    assert_eq!(client.get("/version").await.0, 200);
}

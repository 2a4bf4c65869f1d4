//! Tokens, CAs and the users that requests name.

use std::collections::HashSet;
use std::time::SystemTime;

use poolscope_proxy::authority::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::chain::{AGENT, Chain, PODS, Plan, next, soon};
use super::server::EVENT;

const RELOADED: &str = "reload_total{what=\"identity\",result=\"success\"}";

/// Makes the server serve with a new authority, and returns the CA's PEM.
fn swap_authority(chain: &Chain) -> String {
    let folder = chain.scene.path("second-api");
    let authority = Authority::open(&folder, "api", &[], SystemTime::now()).unwrap();
    chain.server().swap_authority(&folder);
    authority.ca_pem().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_12_files_are_compared_by_content() {
    let chain = Chain::start(Plan::default()).await;
    let scene = &chain.scene;
    // Other inodes with the old content are no change.
    let ca = std::fs::read_to_string(scene.path("ca.crt")).unwrap();
    scene.rename_over("token", "own");
    scene.rename_over("ca.crt", &ca);
    scene.proxy.reload().await;
    assert_eq!(chain.metric(RELOADED).await, 0.0);

    scene.rename_over("token", "own-2");
    scene.proxy.reload().await;
    assert_eq!(chain.metric(RELOADED).await, 1.0);
    // A new configuration fetches its facts with it.
    scene.rename_over("config.json", r#"{"membership": "off", "suppressUnchanged": false}"#);
    scene.proxy.reload().await;
    let facts = chain.server().received("/api/v1/services");
    assert_eq!(facts.first().unwrap().token(), Some("own"));
    assert_eq!(facts.last().unwrap().token(), Some("own-2"));

    // The file of a CA is replaced when the servers have its certificates.
    let new = swap_authority(&chain);
    chain.relays[0].reset();
    let response = chain.get("/version").await;
    assert!(response.starts_with("HTTP/1.1 503") && response.contains("TLS"), "{response}");
    scene.rename_over("ca.crt", &new);
    scene.proxy.reload().await;
    let response = chain.get("/version").await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    // A file that is no CA changes nothing.
    scene.rename_over("ca.crt", "-----BEGIN CERTIFICATE-----\nhalf");
    scene.proxy.reload().await;
    chain.relays[0].reset();
    assert!(chain.get("/version").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_13_a_changed_ca_replaces_connections_gracefully() {
    let chain = Chain::start(Plan::default()).await;
    let mut client = chain.http2().await;
    let mut watch = client.watch(PODS).await;
    assert_eq!(client.get("/version").await.0, 200);
    let old: HashSet<usize> = connections(&chain, "");

    let ca = std::fs::read_to_string(chain.scene.path("ca.crt")).unwrap();
    chain.scene.rename_over("ca.crt", &(ca + &swap_authority(&chain)));
    chain.scene.proxy.reload().await;
    drop(client.watch(PODS).await);
    assert_eq!(client.get("/odd").await.0, 200);
    assert!(connections(&chain, "/odd").is_disjoint(&old));
    let watches = chain.server().received(PODS);
    assert!(old.contains(&watches[0].connection) && !old.contains(&watches[1].connection));
    // The old stream goes on.
    chain.server().event(EVENT);
    assert_eq!(next(&mut watch).await, EVENT);
    drop(watch);
    chain.until_metric("watches", 0.0).await;
}

fn connections(chain: &Chain, target: &str) -> HashSet<usize> {
    chain.server().received(target).into_iter().map(|one| one.connection).collect()
}

/// Sends a GET over plain HTTP to the listener that lends the proxy's identity.
async fn lending(chain: &Chain, target: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(chain.scene.proxy.lending.unwrap()).await.unwrap();
    let request =
        format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.unwrap();
    response
}

fn lends() -> Plan {
    Plan { options: "--lend-identity 127.0.0.1:0", ..Plan::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_15_credentials_are_never_mixed() {
    let chain = Chain::start(lends()).await;
    chain.get("/version?of=agent").await;
    chain.get("/version?of=agent").await;
    lending(&chain, "/version?of=own", "").await;
    lending(&chain, "/version?of=agent", AGENT).await;
    for of in ["agent", "own"] {
        let received = chain.server().received(&format!("/version?of={of}"));
        assert_eq!(received.len(), if of == "own" { 1 } else { 3 });
        assert!(received.iter().all(|one| one.token() == Some(of)), "{received:?}");
    }
    let response = chain.request("GET", "/version?of=nobody", "").await;
    assert!(response.starts_with("HTTP/1.1 401"), "{response}");
    assert!(chain.server().received("/version?of=nobody").is_empty());
    // Facts are fetched with the proxy's token, over connections without a client's request.
    let facts = chain.server().received("/api/v1/services");
    assert!(!facts.is_empty() && facts.iter().all(|one| one.token() == Some("own")));
    let own = connections(&chain, "/api/v1/services");
    assert!(own.is_disjoint(&connections(&chain, "/version")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_16_a_client_cannot_become_another_user() {
    let chain = Chain::start(lends()).await;
    let remote = "x-remote-user: admin\r\nX-Remote-Group: system:masters\r\n\
                  x-remote-extra-scopes: all\r\n";
    let impersonate = "impersonate-user: jane\r\nimpersonate-group: a\r\n";
    chain.request("GET", "/version?https", &format!("{AGENT}{remote}{impersonate}")).await;
    lending(&chain, "/version?lent", remote).await;
    for target in ["/version?https", "/version?lent"] {
        let received = chain.server().received(target);
        let names = received[0].headers.keys();
        assert_eq!(names.filter(|name| name.as_str().starts_with("x-remote-")).count(), 0);
    }
    // The client's own, judged by the API server by the client's token.
    let received = chain.server().received("/version?https");
    assert_eq!(received[0].headers["impersonate-user"], "jane");
    assert_eq!(received[0].token(), Some("agent"));
    for headers in [impersonate.to_owned(), format!("{AGENT}{impersonate}")] {
        let response = lending(&chain, "/version?jane", &headers).await;
        assert!(response.starts_with("HTTP/1.1 403"), "{response}");
    }
    assert!(chain.server().received("/version?jane").is_empty());
}

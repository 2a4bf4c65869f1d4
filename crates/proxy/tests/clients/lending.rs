//! The listener that lends the proxy's identity.

use std::sync::Arc;

use poolscope_proxy::credentials::OwnCredentials;

use super::scene::{Plan, Scene, TOKEN};

async fn scene(folder: &tempfile::TempDir, token: Option<&str>) -> Scene {
    let (file, ca) = (folder.path().join("token"), folder.path().join("ca.crt"));
    if let Some(token) = token {
        std::fs::write(&file, token).unwrap();
    }
    let credentials = Arc::new(OwnCredentials::new(file, ca));
    Scene::lending(Plan::default(), |gateway| gateway.lending(credentials.clone())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_token_get_the_proxys() {
    let folder = tempfile::tempdir().unwrap();
    let scene = scene(&folder, Some("of-the-proxy")).await;
    let headers = "x-remote-user: admin\r\nx-remote-group: system:masters\r\n";
    assert!(scene.get("/version", headers).await.starts_with("HTTP/1.1 200"));
    assert!(scene.get("/version", TOKEN).await.starts_with("HTTP/1.1 200"));
    let heads = scene.received.heads.lock().unwrap().clone();
    assert_eq!(heads[0].1["authorization"], "Bearer of-the-proxy");
    assert!(!heads[0].1.keys().any(|name| name.as_str().starts_with("x-remote-")));
    assert_eq!(heads[1].1["authorization"], "Bearer t", "a client's own token is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_get_the_token_too() {
    let folder = tempfile::tempdir().unwrap();
    let scene = scene(&folder, Some("of-the-proxy")).await;
    let headers = "connection: Upgrade\r\nupgrade: echo\r\n";
    let mut stream = scene.send("POST", "/echo", headers).await;
    super::scene::read_until(&mut stream, "\r\n\r\n").await;
    let heads = scene.received.heads.lock().unwrap().clone();
    assert_eq!(heads[0].1["authorization"], "Bearer of-the-proxy");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_impersonates_with_the_proxys_identity() {
    let folder = tempfile::tempdir().unwrap();
    let scene = scene(&folder, Some("of-the-proxy")).await;
    for headers in [
        "impersonate-user: jane\r\n".to_owned(),
        format!("{TOKEN}impersonate-extra-scopes: all\r\n"),
    ] {
        let response = scene.get("/version", &headers).await;
        assert!(response.starts_with("HTTP/1.1 403"), "{response}");
    }
    assert!(scene.received.heads.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let scene = scene(&folder, None).await;
    let response = scene.get("/version", "").await;
    assert!(response.starts_with("HTTP/1.1 502"), "{response}");
    let watch = scene.get("/api/v1/pods?watch=1", "").await;
    assert!(watch.starts_with("HTTP/1.1 429"), "{watch}");
    assert!(scene.received.heads.lock().unwrap().is_empty());
}

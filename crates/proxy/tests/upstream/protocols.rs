//! HTTP/2, HTTP/1.1, TLS and upgrades.

use std::sync::Arc;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use poolscope_proxy::upstream::{Settings, Upstream};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::server::TestServer;
use super::{boxed, get, only, read, send, settings};

#[tokio::test(flavor = "multi_thread")]
async fn the_request_is_addressed_to_the_server_with_the_clients_token() {
    let server = TestServer::start().await;
    for http2_prior_knowledge in [true, false] {
        let settings = Settings { http2_prior_knowledge, ..settings(&[&server]) };
        get(&Upstream::new(settings), "https://127.0.0.1:10271/api?x=1").await.unwrap();
    }
    for seen in server.seen() {
        assert_eq!(seen.host, server.address.to_string());
        assert_eq!(seen.authorization.as_deref(), Some("Bearer of-the-client"));
        assert_eq!(seen.line, "GET /api");
    }
}

fn tls(protocols: &[&str]) -> (ServerConfig, Arc<ClientConfig>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    server.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (server, Arc::new(client))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_is_negotiated() {
    for (protocols, connections) in [(&["h2", "http/1.1"][..], 1), (&["http/1.1"], 5)] {
        let (config, client) = tls(protocols);
        let acceptor = Some(Arc::new(config).into());
        let server = TestServer::bind("127.0.0.1:0".parse().unwrap(), 200, acceptor).await;
        let upstream = Upstream::new(Settings::new(vec![server.server()], Some(client)));
        let mut requests = JoinSet::new();
        for _ in 0..5 {
            let upstream = upstream.clone();
            requests.spawn(async move { get(&upstream, "/hold").await.unwrap() });
        }
        let held = requests.join_all().await;
        assert_eq!(server.accepted(), connections);
        server.release();
        for held in held {
            assert_eq!(read(held).await, "held");
        }
        // An idle connection is used again.
        for _ in 0..5 {
            assert_eq!(read(send(&upstream, Method::POST, "/").await.unwrap()).await, "ok");
        }
        assert_eq!(server.accepted(), connections);

        let (_, stranger) = tls(protocols);
        upstream.set_tls(&stranger);
        let error = get(&upstream, "/").await.err().unwrap().to_string();
        assert!(error.contains("check the CA file"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_carries_an_upgraded_protocol() {
    let (config, client) = tls(&["h2", "http/1.1"]);
    let acceptor = Some(Arc::new(config).into());
    let server = TestServer::bind("127.0.0.1:0".parse().unwrap(), 200, acceptor).await;
    let upstream = Upstream::new(Settings::new(vec![server.server()], Some(client)));
    let request = Request::get("/echo")
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1")
        .body(boxed(""))
        .unwrap();
    let response = upstream.tunnel(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"hello");

    let refused = Request::get("/pods").body(boxed("")).unwrap();
    let response = upstream.tunnel(refused).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
    assert_eq!(only(&upstream).connections, 0);
}

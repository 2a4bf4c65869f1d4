//! Runs the examples against an API server in this process.

mod api_server;
#[path = "../../examples/proxy.rs"]
#[allow(dead_code)]
mod proxy;
#[path = "../../examples/reflector.rs"]
#[allow(dead_code)]
mod reflector;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use poolscope::{Cluster, Config};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use api_server::ApiServer;

const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const POOLS: &str = "/apis/apps.openyurt.io/v1beta2/nodepools";

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("nothing came in time")
}

#[tokio::test]
async fn the_proxy_filters_lists_and_watches() {
    let server = ApiServer::start().await;
    let node = Cluster::new(Config::openyurt()).unwrap().node("hz-1");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let proxying = tokio::spawn(proxy::serve(listener, server.address(), node));
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let get = |target: &str| {
        let uri = format!("{proxy}{target}");
        client.request(Request::get(uri).body(Empty::new()).unwrap())
    };

    // The response waits until the proxy has read the facts.
    let list = soon(get(SLICES)).await.unwrap();
    assert_eq!(list.status(), StatusCode::OK);
    let list = soon(list.collect()).await.unwrap().to_bytes();
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(api_server::nodes_of(&list["items"][0]), ["hz-1"]);
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();

    let watch = format!("{SLICES}?watch=true&resourceVersion={version}");
    let mut watch = soon(get(&watch)).await.unwrap().into_body();
    server.change(POOLS, api_server::pool(&["hz-1", "hz-2"]));
    let frame = soon(watch.frame()).await.unwrap().unwrap().into_data().unwrap();
    let event: serde_json::Value = serde_json::from_slice(&frame).unwrap();
    assert_eq!(event["type"], "MODIFIED");
    assert_eq!(api_server::nodes_of(&event["object"]), ["hz-1", "hz-2"]);

    // Everything else passes, errors too.
    let response = soon(get("/api/v1/pods")).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(soon(response.collect()).await.unwrap().to_bytes(), "no such path");
    proxying.abort();
}

#[tokio::test]
async fn the_reflector_prints_what_the_node_may_use() {
    let server = ApiServer::start().await;
    let node = Cluster::new(Config::openyurt()).unwrap().node("hz-1");
    let config = kube::Config::new(server.address().parse().unwrap());
    let (lines, mut printed) = mpsc::unbounded_channel();
    let reflecting = tokio::spawn(reflector::reflect(config, node, move |line| {
        lines.send(line).unwrap();
    }));
    assert_eq!(soon(printed.recv()).await.unwrap(), "cart-1: 10.0.0.1 (hz-1)");
    server.change(POOLS, api_server::pool(&["hz-1", "hz-2"]));
    assert_eq!(soon(printed.recv()).await.unwrap(), "cart-1: 10.0.0.1 (hz-1), 10.0.0.2 (hz-2)");
    server.change(SLICES, api_server::slice(&["hz-2", "sh-1"]));
    assert_eq!(soon(printed.recv()).await.unwrap(), "cart-1: 10.0.0.1 (hz-2)");
    reflecting.abort();
}

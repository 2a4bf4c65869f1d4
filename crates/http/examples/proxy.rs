//! A reverse proxy on loopback in front of an API server: its clients see the endpoints that their
//! node may use.
//!
//! ```text
//! kubectl proxy --port 8001 &
//! cargo run --example proxy hz-edge-1 http://127.0.0.1:8001
//! curl http://127.0.0.1:8002/apis/discovery.k8s.io/v1/endpointslices
//! ```

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use poolscope::{Cluster, Config, NodeView};
use poolscope_http::{BoxError, RewriteLayer};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};

type RequestBody = BoxBody<Bytes, hyper::Error>;

/// Serves the clients of a node. `server` is the address of the API server: `http://host:port`.
pub async fn serve(listener: TcpListener, server: String, node: NodeView) -> Result<(), BoxError> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let layer = RewriteLayer::new(node, RequestBody::default);
    tokio::spawn(layer.fetch_facts(client.clone()).server(server.parse()?).run());
    let service = layer.layer(client);
    loop {
        let (connection, _) = listener.accept().await?;
        let (service, server) = (service.clone(), server.clone());
        let proxy = service_fn(move |mut request: Request<Incoming>| {
            let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
            let uri = format!("{server}{target}").parse::<Uri>();
            let service = service.clone();
            async move {
                *request.uri_mut() = uri?;
                request.headers_mut().remove("host");
                service.oneshot(request.map(BodyExt::boxed)).await
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), proxy));
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(node), Some(server)) = (arguments.next(), arguments.next()) else {
        return Err("usage: proxy NODE http://HOST:PORT".into());
    };
    let node = Cluster::new(Config::openyurt())?.node(node);
    serve(TcpListener::bind("127.0.0.1:8002").await?, server, node).await
}

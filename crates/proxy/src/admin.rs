//! Liveness, readiness and counters, over plain HTTP.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use poolscope::NodeView;
use tokio::net::TcpListener;

/// Serves `/livez`, `/readyz` and `/counters` until the task is aborted.
pub async fn serve(listener: TcpListener, node: NodeView) {
    let node = Arc::new(node);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let node = node.clone();
        tokio::spawn(async move {
            let respond = service_fn(move |request: Request<Incoming>| {
                let response = respond(request.uri().path(), &node);
                async { Ok::<_, Infallible>(response) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), respond).await;
        });
    }
}

/// The process lives whatever the network does. It is ready when no fact is missing.
fn respond(path: &str, node: &NodeView) -> Response<Full<Bytes>> {
    let (status, text) = match path {
        "/livez" => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => {
            let missing: Vec<String> =
                node.missing().iter().map(|fact| format!("{fact}\n")).collect();
            if missing.is_empty() {
                (StatusCode::OK, "ok\n".to_owned())
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, missing.concat())
            }
        }
        "/counters" => match serde_json::to_string_pretty(&node.cluster().counters()) {
            Ok(counters) => (StatusCode::OK, counters + "\n"),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        _ => (StatusCode::NOT_FOUND, "/livez, /readyz, /counters\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use poolscope::{Cluster, Config};

    use super::*;

    #[test]
    fn readiness_names_what_is_missing() {
        let node = Cluster::new(Config::openyurt()).unwrap().node("hz-1");
        assert_eq!(respond("/livez", &node).status(), 200);
        assert_eq!(respond("/readyz", &node).status(), 503);
        assert_eq!(respond("/counters", &node).status(), 200);
        assert_eq!(respond("/metrics", &node).status(), 404);
    }
}

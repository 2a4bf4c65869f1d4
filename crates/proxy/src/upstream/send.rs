//! Sends one request, and repeats it where that is safe.

use std::sync::Arc;

use http::header::HOST;
use http::{Request, Response};
use hyper::body::Incoming;

use super::body::{RequestBody, UpstreamBody};
use super::connection::Unanswered;
use super::deadline::Progress;
use super::error::Error;
use super::pool::Pool;
use super::request::{Purpose, is_repeatable, make_origin_form};

/// How often a request that was not sent is given to another connection.
const MAX_UNSENT: usize = 8;

/// Sends a request over a connection of the pool, and fails if no response comes in time.
pub(super) async fn send(
    pool: Arc<Pool>,
    request: Request<RequestBody>,
) -> Result<Response<UpstreamBody>, Error> {
    let mut request = prepare(request)?;
    let Some(limit) = pool.timeouts.of(&request) else { return attempt(pool, request).await };
    let progress = Progress::start();
    request.body_mut().record(progress.clone());
    progress.in_time(limit, attempt(pool, request)).await
}

/// Removes the parts of a request that belong to the connection of the client.
fn prepare(mut request: Request<RequestBody>) -> Result<Request<RequestBody>, Error> {
    request.extensions_mut().clear();
    if make_origin_form(&mut request) { Ok(request) } else { Err(Error::Uri) }
}

/// Sends a request once, or more often where that is safe.
///
/// A request that was certainly not sent is given to another connection. A GET or HEAD without
/// body is repeated once if its connection was lost before the response. Other requests are never
/// repeated.
async fn attempt(
    pool: Arc<Pool>,
    mut request: Request<RequestBody>,
) -> Result<Response<UpstreamBody>, Error> {
    let purpose = Purpose::of(&request);
    let mut copy = is_repeatable(&request).then(|| copy(&request));
    let mut unsent = 0;
    loop {
        let permit = pool.acquire(purpose).await?;
        match permit.send(request).await {
            Ok(response) => return Ok(response.map(|body| UpstreamBody::new(body, permit))),
            Err(Unanswered::Unsent(returned)) => {
                permit.connection().retire();
                unsent += 1;
                if unsent == MAX_UNSENT {
                    return Err(pool.busy());
                }
                request = *returned;
                request.body_mut().release();
            }
            Err(Unanswered::Sent(error)) => {
                let is_lost = permit.is_connection_lost().await;
                match copy.take() {
                    Some(copy) if is_lost => {
                        permit.connection().retire();
                        request = copy;
                    }
                    _ => {
                        let server = permit.server().clone();
                        return Err(Error::Sent { server, source: Arc::new(error) });
                    }
                }
            }
        }
    }
}

fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// Sends a request over an HTTP/1.1 connection of its own, which the response may upgrade.
pub(super) async fn tunnel(
    pool: Arc<Pool>,
    request: Request<RequestBody>,
) -> Result<Response<Incoming>, Error> {
    let mut request = prepare(request)?;
    let progress = Progress::start();
    request.body_mut().record(progress.clone());
    let connect = |server| pool.connector.connect_http1(server);
    let (server, ((mut sender, connection), host)) = pool.try_servers(connect).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection for an upgrade broke");
        }
    });
    request.headers_mut().insert(HOST, host);
    *request.version_mut() = http::Version::HTTP_11;
    let response = sender.send_request(request);
    // A request is given up with its connection only after its sender is dropped.
    drop(sender);
    let response =
        async { response.await.map_err(|error| Error::Sent { server, source: Arc::new(error) }) };
    progress.in_time(pool.timeouts.head(), response).await
}

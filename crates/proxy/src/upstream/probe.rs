//! Probes of the servers: `GET /readyz`, each over a connection of its own.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::BodyExt;
use hyper::client::conn::http1::SendRequest;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::body::RequestBody;
use super::error::chain;
use super::pool::Pool;
use super::settings::Server;
use crate::AGENT;

/// An idle connection to a server, with its `Host`.
type Idle = (SendRequest<RequestBody>, HeaderValue);

/// Probes all servers for ever.
pub(super) async fn run(pool: &Arc<Pool>, credentials: impl Fn() -> Option<HeaderValue> + Send) {
    let mut interval = tokio::time::interval(pool.probe_interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut idle: HashMap<Server, Idle> = HashMap::new();
    loop {
        interval.tick().await;
        let servers: Vec<Server> = {
            let state = pool.lock();
            state.servers.iter().map(|known| known.server.clone()).collect()
        };
        let mut probes = JoinSet::new();
        for server in servers {
            let (pool, authorization) = (pool.clone(), credentials());
            let connection = idle.remove(&server);
            probes.spawn(async move {
                let limit = pool.probe_timeout;
                let probe = probe(&pool, &server, connection, authorization);
                let result = tokio::time::timeout(limit, probe).await;
                let result =
                    result.unwrap_or_else(|_| Err(format!("no response to a probe in {limit:?}")));
                (server, result)
            });
        }
        // Connections to servers that are listed no more.
        idle.clear();
        while let Some(probed) = probes.join_next().await {
            let Ok((server, result)) = probed else { continue };
            match result {
                Ok(connection) => {
                    pool.record_probe(&server, Ok(()));
                    idle.insert(server, connection);
                }
                Err(error) => pool.record_probe(&server, Err(error)),
            }
        }
    }
}

/// Sends a probe. Returns the connection if the server responds, and is not failing: a server that
/// asks for other credentials or for less load serves.
async fn probe(
    pool: &Pool,
    server: &Server,
    connection: Option<Idle>,
    authorization: Option<HeaderValue>,
) -> Result<Idle, String> {
    let mut usable = None;
    if let Some((mut sender, host)) = connection
        && sender.ready().await.is_ok()
    {
        usable = Some((sender, host));
    }
    let (mut sender, host) = match usable {
        Some(idle) => idle,
        None => {
            let connected = pool.connector.connect_http1(server.clone()).await;
            let ((sender, connection), host) = connected.map_err(|error| error.to_string())?;
            // It ends when the sender is dropped.
            tokio::spawn(connection);
            (sender, host)
        }
    };
    let mut request = Request::get("/readyz").header(USER_AGENT, AGENT);
    if let Some(headers) = request.headers_mut() {
        headers.insert(HOST, host.clone());
        headers.extend(authorization.map(|value| (AUTHORIZATION, value)));
    }
    let request = request.body(RequestBody::empty()).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| chain(&error))?;
    let status = response.status();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| chain(&error))?;
    }
    if !status.is_server_error() {
        Ok((sender, host))
    } else {
        Err(format!("/readyz responded {status}"))
    }
}

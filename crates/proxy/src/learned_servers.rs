//! The API servers that the cluster names: the endpoints of the Service `default/kubernetes`.
//!
//! The proxy follows one EndpointSlice by name, so that its role may permit that object alone. The
//! servers of the command line come first in the list and are never removed. The learned ones
//! follow, and change with the slice.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Buf, BytesMut};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tower_service::Service;

use crate::own_requests::OwnRequests;
use crate::upstream::{Server, Upstream};
use crate::{BoxError, empty};

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices\
                      ?fieldSelector=metadata.name%3Dkubernetes";
/// The longest time of a watch.
const WATCH_SECONDS: u32 = 300;
/// The slice has an address for each API server; more than this is another object.
const MAX_BYTES: usize = 1 << 20;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Follows the slice and updates the servers of each [`Upstream`].
pub struct LearnedServers {
    requests: OwnRequests,
    upstreams: Vec<Upstream>,
    given: Arc<ArcSwap<Vec<Server>>>,
    /// The whole list that was last set.
    present: Vec<Server>,
    first_pause: Duration,
}

/// The reason to start again.
enum End {
    /// The watch ended.
    Ended,
    /// The resourceVersion is too old.
    Expired,
}

impl LearnedServers {
    /// Adds learned servers to those `given`, in each of `upstreams`.
    pub fn new(
        requests: OwnRequests,
        upstreams: Vec<Upstream>,
        given: Arc<ArcSwap<Vec<Server>>>,
    ) -> LearnedServers {
        let present = given.load().to_vec();
        LearnedServers { requests, upstreams, given, present, first_pause: FIRST_PAUSE }
    }

    /// Follows the slice for ever. Failures are repeated with growing pauses, and change no
    /// server.
    pub async fn run(mut self) {
        let mut pause = self.first_pause;
        loop {
            match self.follow().await {
                Ok(()) => pause = self.first_pause,
                Err(error) => {
                    tracing::warn!(%error, again_in = ?pause,
                        "the API servers of default/kubernetes are not known: permit the proxy to \
                         list and watch that EndpointSlice, or set --learn-servers=false");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Lists the slice, and watches it until its version expires.
    async fn follow(&mut self) -> Result<(), BoxError> {
        let list = self.list().await?;
        let mut version = version(&list)?;
        for slice in list["items"].as_array().into_iter().flatten() {
            self.learn(slice);
        }
        loop {
            let started = tokio::time::Instant::now();
            match self.watch(&mut version).await? {
                End::Expired => return Ok(()),
                // A server that ends watches at once is asked once a second.
                End::Ended => tokio::time::sleep_until(started + self.first_pause).await,
            }
        }
    }

    async fn list(&mut self) -> Result<Value, BoxError> {
        let request = Request::get(SLICES).header("accept", "application/json").body(empty())?;
        let response = self.requests.call(request).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("listing endpointslices: {}", response.status()).into());
        }
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await?;
        Ok(serde_json::from_slice(&body.to_bytes())?)
    }

    async fn watch(&mut self, version: &mut String) -> Result<End, BoxError> {
        let target = format!(
            "{SLICES}&watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}\
             &resourceVersion={version}"
        );
        let request = Request::get(target).header("accept", "application/json").body(empty())?;
        let response = self.requests.call(request).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::GONE => return Ok(End::Expired),
            status => return Err(format!("watching endpointslices: {status}").into()),
        }
        let mut body = response.into_body();
        let mut buffer = BytesMut::new();
        let over = tokio::time::sleep(Duration::from_secs(u64::from(WATCH_SECONDS) + 15));
        let mut over = std::pin::pin!(over);
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = &mut over => return Ok(End::Ended),
            };
            // A watch that broke goes on at the last version, like one that ended.
            let Some(Ok(frame)) = frame else { return Ok(End::Ended) };
            let Ok(data) = frame.into_data() else { continue };
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end);
                buffer.advance(1);
                if !self.read_event(&line, version)? {
                    return Ok(End::Expired);
                }
            }
            if buffer.len() > MAX_BYTES {
                return Err("an event of the EndpointSlice is too large".into());
            }
        }
    }

    /// Reads an event of the watch. Returns `false` after an error event.
    fn read_event(&mut self, line: &[u8], last: &mut String) -> Result<bool, BoxError> {
        let event: Value = serde_json::from_slice(line)?;
        let object = &event["object"];
        match event["type"].as_str() {
            Some("ADDED" | "MODIFIED") => self.learn(object),
            // A slice that is gone names no other servers: the last ones stay.
            Some("DELETED" | "BOOKMARK") => {}
            _ => return Ok(false),
        }
        *last = version(object)?;
        Ok(true)
    }

    /// Sets the servers of a slice. A slice without addresses changes nothing.
    fn learn(&mut self, slice: &Value) {
        let learned = servers(slice);
        if learned.is_empty() {
            return;
        }
        let mut servers = self.given.load().to_vec();
        servers.extend(learned);
        let mut unique: Vec<Server> = Vec::new();
        for server in servers {
            if !unique.contains(&server) {
                unique.push(server);
            }
        }
        if unique != self.present {
            let list: Vec<String> = unique.iter().map(ToString::to_string).collect();
            tracing::info!(servers = list.join(" "), "API servers of default/kubernetes");
            for upstream in &self.upstreams {
                upstream.set_servers(unique.clone());
            }
            self.present = unique;
        }
    }
}

fn version(object: &Value) -> Result<String, BoxError> {
    let version = object["metadata"]["resourceVersion"].as_str();
    let version = version.ok_or("the EndpointSlice has no resourceVersion")?;
    Ok(version.to_owned())
}

/// Returns the ready addresses of a slice with its https port.
fn servers(slice: &Value) -> Vec<Server> {
    let ports = slice["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let https = ports.iter().find(|port| port["name"] == "https").or(ports.first());
    let port = https.and_then(|port| port["port"].as_u64()).and_then(|port| port.try_into().ok());
    let Some(port) = port else { return Vec::new() };
    slice["endpoints"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|endpoint| endpoint["conditions"]["ready"].as_bool().unwrap_or(true))
        .flat_map(|endpoint| endpoint["addresses"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        // Names could lead clients' tokens anywhere, and no API server is on loopback for all.
        .filter(|address| {
            address
                .parse::<IpAddr>()
                .is_ok_and(|address| !address.is_loopback() && !address.is_unspecified())
        })
        .map(|address| Server::new(address, port))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ready_addresses_are_servers() {
        let mut slice = json!({
            "ports": [{"name": "other", "port": 1}, {"name": "https", "port": 6443}],
            "endpoints": [
                {"addresses": ["192.0.2.1"], "conditions": {"ready": true}},
                {"addresses": ["192.0.2.2"], "conditions": {"ready": false}},
                {"addresses": ["2001:db8::3"], "conditions": {}},
            ],
        });
        let expected = [Server::new("192.0.2.1", 6443), Server::new("2001:db8::3", 6443)];
        assert_eq!(servers(&slice), expected);
        slice["ports"] = json!([{"name": "x", "port": 443}]);
        assert_eq!(servers(&slice)[0].port, 443);
        for ports in [json!([]), json!(null), json!([{"port": 70000}]), json!([{"name": "a"}])] {
            slice["ports"] = ports;
            assert!(servers(&slice).is_empty());
        }
    }
}

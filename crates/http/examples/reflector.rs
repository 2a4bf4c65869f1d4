//! Prints the EndpointSlices that a node's proxy may use, as a kube reflector receives them.
//!
//! ```text
//! cargo run --example reflector hz-edge-1
//! ```

use std::pin::pin;

use futures_util::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::Api;
use kube::client::{Body, Client, ClientBuilder};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use poolscope::{Cluster, Config, NodeView};
use poolscope_http::{BoxError, RewriteLayer};
use tower::service_fn;

/// Passes each slice to `print` as it changes.
pub async fn reflect(
    config: kube::Config,
    node: NodeView,
    mut print: impl FnMut(String),
) -> Result<(), BoxError> {
    let plain = Client::try_from(config.clone())?;
    // Two lines more than a plain client.
    let layer = RewriteLayer::new(node, Body::empty);
    let client: Client = ClientBuilder::try_from(config)?.with_layer(&layer).build();

    // The facts come through the plain client.
    let facts = layer.fetch_facts(service_fn(move |request| {
        let plain = plain.clone();
        async move { plain.send(request).await }
    }));
    tokio::spawn(facts.run());

    let (_store, writer) = reflector::store();
    let slices = Api::<EndpointSlice>::all(client);
    let events = watcher(slices, watcher::Config::default()).default_backoff();
    let mut applied = pin!(events.reflect(writer).applied_objects());
    while let Some(slice) = applied.next().await {
        match slice {
            Ok(slice) => print(describe(&slice)),
            Err(error) => print(format!("watch failed: {error}")),
        }
    }
    Ok(())
}

fn describe(slice: &EndpointSlice) -> String {
    let endpoints: Vec<String> = slice
        .endpoints
        .iter()
        .map(|endpoint| {
            let node = endpoint.node_name.as_deref().unwrap_or("no node");
            format!("{} ({node})", endpoint.addresses.join(" "))
        })
        .collect();
    format!("{}: {}", slice.metadata.name.as_deref().unwrap_or_default(), endpoints.join(", "))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let Some(node) = std::env::args().nth(1) else { return Err("usage: reflector NODE".into()) };
    let node = Cluster::new(Config::openyurt())?.node(node);
    reflect(kube::Config::infer().await?, node, |line| println!("{line}")).await
}

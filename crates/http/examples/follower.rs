//! Follows EndpointSlices and prints, for each line on standard input, what it holds.
//!
//! ```text
//! TOKEN=... cargo run --example follower hz-edge-1 https://127.0.0.1:6443 streaming
//! ```
//!
//! `streaming` begins with a WatchList, `paging` with a list. The API server's certificate is not
//! checked: this program is for tests.

use std::future::ready;
use std::io::Write;

use futures_util::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::Api;
use kube::client::{Body, Client, ClientBuilder};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use poolscope::{Cluster, Config};
use poolscope_http::{BoxError, RewriteLayer};
use tokio::io::AsyncBufReadExt;
use tower::service_fn;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [node, server, mode] = &arguments[..] else {
        return Err("usage: follower NODE SERVER streaming|paging".into());
    };
    let mut config = kube::Config::new(server.parse()?);
    config.accept_invalid_certs = true;
    config.auth_info.token = std::env::var("TOKEN").ok().map(Into::into);

    let layer =
        RewriteLayer::new(Cluster::new(Config::openyurt())?.node(node.as_str()), Body::empty);
    let plain = Client::try_from(config.clone())?;
    let facts = layer.fetch_facts(service_fn(move |request| {
        let plain = plain.clone();
        async move { plain.send(request).await }
    }));
    tokio::spawn(facts.on_event(|event| eprintln!("{event:?}")).run());
    let client: Client = ClientBuilder::try_from(config)?.with_layer(&layer).build();

    let (store, writer) = reflector::store();
    let config = match &**mode {
        "streaming" => watcher::Config::default().streaming_lists(),
        _ => watcher::Config::default(),
    };
    let events = watcher(Api::<EndpointSlice>::all(client), config).default_backoff();
    tokio::spawn(events.reflect(writer).for_each(|event| {
        if let Err(error) = event {
            eprintln!("{error}");
        }
        ready(())
    }));

    let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        let slices: Vec<_> = store.state().iter().map(|slice| (**slice).clone()).collect();
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &slices)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

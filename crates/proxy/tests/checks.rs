//! The checks of a node proxy, numbered as in `docs/proxy.md`: each through a whole proxy, with a
//! relay that breaks connections between it and the API server.

#[path = "checks/bodies.rs"]
mod bodies;
#[path = "checks/chain.rs"]
mod chain;
#[path = "checks/clients.rs"]
mod clients;
#[path = "checks/connections.rs"]
mod connections;
#[path = "checks/identity.rs"]
mod identity;
#[path = "checks/process.rs"]
mod process;
#[path = "checks/raw_http2.rs"]
mod raw_http2;
#[path = "checks/relay.rs"]
mod relay;
#[path = "operations/scene.rs"]
#[allow(dead_code)]
mod scene;
#[path = "checks/server.rs"]
mod server;
#[path = "checks/servers.rs"]
mod servers;
#[path = "checks/watches.rs"]
mod watches;

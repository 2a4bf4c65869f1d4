//! The listener and the gateway against clients that stall, crowd and panic, and servers that are
//! silent.

#[path = "clients/crowds.rs"]
mod crowds;
#[path = "clients/learning.rs"]
mod learning;
#[path = "clients/lending.rs"]
mod lending;
#[path = "clients/scene.rs"]
mod scene;
#[path = "clients/stalls.rs"]
mod stalls;
#[path = "clients/tunnels.rs"]
mod tunnels;
#[path = "clients/watches.rs"]
mod watches;

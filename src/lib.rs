//! Keeps Service traffic inside a node pool (draft).
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

mod cluster;
mod config;
mod error;
mod node;
mod object;
mod rewrite;
mod stream;
mod topology;
mod wire;

pub use cluster::counters::Counters;
pub use cluster::log::Change;
pub use cluster::{Cluster, Missing};
pub use config::{Config, Doubt, InDoubt, Limits, Membership, ProtobufLists};
pub use error::{Error, Result};
pub use node::NodeView;
pub use object::FactKind;
pub use stream::request::{Head, Request};
pub use stream::{Feed, Opened, Stream};
pub use topology::verdict::Reason;

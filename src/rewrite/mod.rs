//! The rules that change objects, in the order they are applied. So far there is one:
//!
//! 1. [`service_topology`]: endpoints outside what their Service's topology keys allow are cut out.

mod cut;
pub(crate) mod service_topology;

//! Shared by the tests, benches, examples and fuzz targets of the workspace: recordings of a real
//! API server, a filter by decoded types that shares no code with the library, random bodies, and
//! the simulation of whole lives of streams.
#![allow(missing_docs)]

mod failed;
pub mod small;

pub use failed::Failed;

#[cfg(feature = "oracle")]
pub mod build;
#[cfg(feature = "oracle")]
pub mod corpus;
#[cfg(feature = "oracle")]
pub mod counting;
#[cfg(feature = "oracle")]
pub mod fuzzing;
#[cfg(feature = "oracle")]
pub mod oracle;
#[cfg(feature = "oracle")]
mod recording;
#[cfg(feature = "oracle")]
pub mod schema;
#[cfg(feature = "oracle")]
pub mod simulation;

#[cfg(feature = "oracle")]
pub use recording::*;

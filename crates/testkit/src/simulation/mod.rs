//! Whole lives of streams, simulated: a model API server, model clients that follow client-go's
//! contract, and the library between them, with every delay, cut and disorder that one small random
//! number generator can think of. There are no threads and no clock; a seed says what happens.
//!
//! `POOLSCOPE_SEEDS=n` runs so many seeds, `POOLSCOPE_SEED=n` exactly that one (with
//! `POOLSCOPE_TRACE=1` and `--nocapture` it tells everything that happens), `POOLSCOPE_EVENTS=n` as
//! many as it takes to push so many watch events through clients' streams, and prints a table.

mod client;
mod decode;
mod feeder;
mod judge;
mod line;
mod mirror;
pub mod object;
mod rng;
pub mod run;
pub mod scene;
mod server;
mod syncer;
mod wire;
mod world;

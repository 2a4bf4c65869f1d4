//! The rules of followed streams, one test for each: `docs/streams.md` has them with their reasons.
//!
//! The client's events are compared with short lines such as `MODIFIED web-1@90 me`: the type of
//! the event, the name, the resourceVersion and the nodes of the endpoints. Every test runs in JSON
//! and in protobuf, unless it is about lines.

mod bodies;
mod changes;
mod client;
mod counted;
mod equals;
mod facts;
mod fallbacks;
mod object;
mod opened;
mod refresh;
mod relist;
mod resume;
mod retention;
mod saved;
mod suppressed;
mod told;

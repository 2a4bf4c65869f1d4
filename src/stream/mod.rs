//! One response body, from bytes to bytes.

mod affected;
mod body_rewriter;
mod client_session;
mod disposition;
mod evaluator;
mod event;
mod fact_reader;
mod fact_recorder;
mod framer;
mod item;
mod json_list;
mod json_values;
mod lifecycle;
mod needed_list;
mod open;
mod path;
mod plan;
mod processor;
mod protobuf_frames;
mod protobuf_list;
mod protobuf_object;
mod reassembly;
mod refresh;
mod reply;
pub(crate) mod request;
pub(crate) mod status;

pub use self::body_rewriter::BodyRewriter;
pub use self::fact_reader::FactReader;
pub use self::needed_list::NeededList;
pub use self::open::Action;
pub(crate) use self::open::open;
pub use self::reply::{Reply, ReplyCause};

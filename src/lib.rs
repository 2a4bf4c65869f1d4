//! Keeps Service traffic inside a node pool where the node's proxy is not kube-proxy.
//!
//! At the edge a Service must often be answered by pods of the same node pool only: the line to the
//! next site is slow, metered or down. A proxy that reads its endpoints from the API server, such
//! as cilium-agent, sees all of them. poolscope stands on the byte stream between the two and cuts
//! out the endpoints that the proxy's node may not use: from lists, watches and single objects, in
//! JSON and in Kubernetes protobuf. What is not cut passes byte for byte.
//!
//! It does no I/O, starts no thread and reads no clock: bytes in, bytes out.
//!
//! # From response to response
//!
//! 1. Make one [`Cluster`] and teach it: push the bodies of Service, Node and pool lists and
//!    watches into [feeds](Cluster::feed), or let those that a client asks for anyway pass through
//!    [streams](NodeView::open).
//! 2. For each request of the node's client, send [`NodeView::prepare`]'s version of it to the API
//!    server.
//! 3. Give request and response head to [`NodeView::open`]; it says what to do with the body, or
//!    what to answer in its place.
//! 4. Push the body through the [`Stream`] chunk by chunk, and finish it.
//! 5. When [`Cluster::generation`] moves, [refresh](Stream::refresh) the watches that are open: a
//!    change of facts owes their clients events that the API server will not send.
//!
//! ```
//! use poolscope::{BytesMut, Cluster, Config, Head, Opened, Request};
//!
//! let cluster = Cluster::new(Config::openyurt())?;
//! let json = Head::ok("application/json");
//!
//! // What the cluster has to know: which Service asks for what, and which node is in which pool.
//! for (path, body) in [
//!     ("/api/v1/services", r#"{"items":[{"metadata":{"name":"cart","namespace":"shop",
//!         "annotations":{"openyurt.io/topologyKeys":"openyurt.io/nodepool"}}}]}"#),
//!     ("/api/v1/nodes", r#"{"items":[{"metadata":{"name":"hz-1","labels":{"apps.openyurt.io/nodepool":"hangzhou"}}}]}"#),
//!     ("/apis/apps.openyurt.io/v1beta2/nodepools", r#"{"items":[{"metadata":{"name":"hangzhou"},"status":{"nodes":["hz-1"]}}]}"#),
//! ] {
//!     let mut feed = cluster.feed(&Request::get(path), &json)?;
//!     feed.push(body.as_bytes())?;
//!     feed.finish()?;
//! }
//!
//! // What the node's proxy asked for, and what the API server answered.
//! let node = cluster.node("hz-1");
//! let request = node.prepare(Request::get("/apis/discovery.k8s.io/v1/endpointslices"));
//! let body = br#"{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{},"items":[
//!   {"metadata":{"name":"cart-1","namespace":"shop","labels":{"kubernetes.io/service-name":"cart"}},
//!    "endpoints":[{"addresses":["10.0.0.1"],"nodeName":"hz-1"},{"addresses":["10.9.0.1"],"nodeName":"sh-1"}]}]}"#;
//!
//! let mut out = BytesMut::new();
//! match node.open(&request, &json)? {
//!     Opened::PassThrough => out.extend_from_slice(body),
//!     Opened::Rewrite(mut stream) => {
//!         for chunk in body.chunks(64) {
//!             stream.push(chunk, &mut out)?;
//!         }
//!         stream.finish(&mut out)?;
//!     }
//!     Opened::NotReady(not_ready) => panic!("answer 503 and Retry-After: {:?}", not_ready.missing),
//!     Opened::Expired(_) => panic!("answer 410: a watch whose past is not known, the client lists again"),
//!     _ => panic!("what a later version may have to say: answer 503"),
//! }
//! let text = std::str::from_utf8(&out).unwrap();
//! assert!(text.contains(r#""endpoints":[{"addresses":["10.0.0.1"],"nodeName":"hz-1"}]"#));
//! # Ok::<(), poolscope::Error>(())
//! ```
//!
//! # What is filtered, what passes
//!
//! | answer | what happens |
//! |---|---|
//! | EndpointSlice v1 and v1beta1, core/v1 Endpoints: GET of a list, watch or single object, status 200 | filtered |
//! | the same, metadata-only (`as=PartialObjectMetadata`) | passes, counted: there are no endpoints in it |
//! | the same as a Table | passes, counted: it is for people, client-go's reflectors refuse it; [`NodeView::prepare`] asks for objects instead |
//! | the same in CBOR, YAML or compressed, in parts, or over a WebSocket | [`Error::ContentType`], [`Error::ContentEncoding`], [`Error::Status`]: never forward it |
//! | BOOKMARK and ERROR events, a Status in place of an object, redirects and error statuses | passes |
//! | Services | teaches; passes, and where a rewrite is on that is about them: those that are not for the node are hidden |
//! | Nodes, CiliumNodes, NodePools, NodeBuckets, ConfigMap `kube-system/yurt-hub-cfg` | passes and teaches |
//! | answers to writes | passes: who writes needs the object as it is, and written back cut it would lose endpoints |
//! | other kinds, subresources | passes |
//!
//! Endpoints are judged by the annotation `openyurt.io/topologyKeys` of their Service, with the
//! verdicts of OpenYurt's own filter; [`Reason`] has every rule, `docs/openyurt.md` the table.
//! Other annotations are a matter of [`Config::dialect`], other rewrites ([`Rewrite`],
//! [`ServiceReason`]) of the configuration. Where a fact is missing, [`Config::in_doubt`]
//! decides, and [`Cluster::counters`] counts: nothing passes in doubt without being counted.
//!
//! # Lives of streams
//!
//! What a client was told is remembered from its list to its watch and over reconnects, so that it
//! can be told of changes of facts, and not be told what is nothing new to it. A watch whose past
//! is not known is answered by [`Opened::Expired`]. `docs/streams.md` has the rules with their
//! reasons.
//!
//! # Errors
//!
//! One [`Error`] says what is wrong, where in the body, and what to do. A stream is closed by an
//! error; what it gave out until then ends before the unit that is at fault. The scanner looks for
//! endpoints, it does not validate: JSON that only a strict parser refuses (invalid UTF-8, which Go
//! replaces; a malformed number off the path) passes as it is, for the client to judge.
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

mod cluster;
mod config;
mod error;
pub mod explain;
mod ledger;
mod node;
mod object;
mod rewrite;
mod stream;
mod sync;
mod topology;
#[cfg(feature = "k8s-openapi")]
mod typed;
mod wire;

/// The examples of the page are tested.
#[cfg(doctest)]
#[doc = include_str!("../docs/streams.md")]
struct Streams;

pub use bytes::BytesMut;

pub use cluster::counters::Counters;
pub use cluster::log::Change;
pub use cluster::{Cluster, Missing};
pub use config::{
    Components, Config, Dialect, Doubt, Hub, InDoubt, Limits, Membership, ProtobufLists, Retention,
    Rewrite,
};
pub use error::{Error, Result};
pub use node::NodeView;
pub use object::FactKind;
pub use rewrite::ServiceReason;
pub use stream::request::{Head, Request};
pub use stream::{Answer, Feed, NotReady, Opened, Stream, Wanted};
pub use topology::verdict::Reason;

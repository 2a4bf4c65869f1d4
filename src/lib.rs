//! Keeps Service traffic inside a node pool where the node's proxy is not kube-proxy.
//!
//! At the edge a Service must often be answered by pods of the same node pool only, because the
//! network link to the next site is slow, metered or down. A proxy that reads its endpoints from
//! the API server, such as cilium-agent, sees all of them. poolscope rewrites the API server's
//! responses to that proxy: it cuts the endpoints that the proxy's node may not use out of lists,
//! watches and single objects, in JSON and in Kubernetes protobuf. Within an object only the
//! endpoints and the protobuf lengths around them change.
//!
//! It does no I/O, starts no thread and reads no clock: bytes in, bytes out.
//!
//! # From response to response
//!
//! 1. Create one [`Cluster`] and give it facts: read the bodies of Service, Node and pool lists and
//!    watches with [`Cluster::read_facts`], or let the responses to a client's own requests for
//!    them pass through [rewriters](NodeView::open).
//! 2. For each request of the node's client, send [`NodeView::prepare`]'s version of it to the API
//!    server.
//! 3. Pass request and response head to [`NodeView::open`]. It returns an [`Action`]: forward the
//!    body, rewrite it, or send a reply in its place.
//! 4. Push the body through the [`BodyRewriter`] chunk by chunk, and finish it.
//! 5. When [`Cluster::changes`] reports a change, [refresh](BodyRewriter::refresh) the open
//!    watches: after a fact change, clients may need events that the API server will not send.
//!
//! ```
//! use poolscope::{Action, BytesMut, Cluster, Config, RequestHead, ResponseHead};
//!
//! let cluster = Cluster::new(Config::openyurt())?;
//! let json = ResponseHead::ok("application/json");
//!
//! // The facts: the topology keys of each Service, and the pool of each node.
//! for (path, body) in [
//!     ("/api/v1/services", r#"{"items":[{"metadata":{"name":"cart","namespace":"shop",
//!         "annotations":{"openyurt.io/topologyKeys":"openyurt.io/nodepool"}}}]}"#),
//!     ("/api/v1/nodes", r#"{"items":[{"metadata":{"name":"hz-1",
//!         "labels":{"apps.openyurt.io/nodepool":"hangzhou"}}}]}"#),
//!     ("/apis/apps.openyurt.io/v1beta2/nodepools", r#"{"items":[{"metadata":{"name":"hangzhou"},
//!         "status":{"nodes":["hz-1"]}}]}"#),
//! ] {
//!     let mut reader = cluster.read_facts(&RequestHead::get(path), &json)?;
//!     reader.push(body.as_bytes())?;
//!     reader.finish()?;
//! }
//!
//! // A request of the node's proxy, and the API server's response.
//! let node = cluster.node("hz-1");
//! let request = node.prepare(RequestHead::get("/apis/discovery.k8s.io/v1/endpointslices"));
//! let body = br#"{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{},"items":[
//!   {"metadata":{"name":"cart-1","namespace":"shop","labels":{"kubernetes.io/service-name":"cart"}},
//!    "endpoints":[{"addresses":["10.0.0.1"],"nodeName":"hz-1"},
//!                 {"addresses":["10.9.0.1"],"nodeName":"sh-1"}]}]}"#;
//!
//! let mut out = BytesMut::new();
//! match node.open(&request, &json)? {
//!     Action::Forward => out.extend_from_slice(body),
//!     Action::Rewrite(mut rewriter) => {
//!         for chunk in body.chunks(64) {
//!             rewriter.push(chunk, &mut out)?;
//!         }
//!         rewriter.finish(&mut out)?;
//!     }
//!     Action::Reply(reply) => panic!("send status {}: {:?}", reply.status, reply.cause),
//! }
//! let text = std::str::from_utf8(&out).unwrap();
//! assert!(text.contains(r#""endpoints":[{"addresses":["10.0.0.1"],"nodeName":"hz-1"}]"#));
//! # Ok::<(), poolscope::Error>(())
//! ```
//!
//! # Which responses are rewritten
//!
//! | response | handling |
//! |---|---|
//! | EndpointSlice v1 and v1beta1, core/v1 Endpoints: GET of a list, watch or single object, status 200 | filtered |
//! | the same, metadata-only (`as=PartialObjectMetadata`) | passes, counted: there are no endpoints in it |
//! | the same as a Table | passes, counted: client-go's reflectors refuse it; [`NodeView::prepare`] asks for objects instead |
//! | the same in CBOR, YAML or compressed, in parts, or over a WebSocket | [`ErrorKind::ContentType`], [`ErrorKind::ContentEncoding`], [`ErrorKind::Status`]: never forward it |
//! | BOOKMARK and ERROR events, a Status in place of an object, redirects and error statuses | passes |
//! | Services | read as facts; passes, except that a rewrite of Services may filter some out |
//! | Nodes, CiliumNodes, NodePools, NodeBuckets, ConfigMap `kube-system/yurt-hub-cfg` | read as facts; passes |
//! | responses to writes | passes: a client that wrote back a filtered object would delete endpoints |
//! | any of these behind a path prefix (`/proxy/api/v1/services`) | the same; facts behind a prefix with an API root of its own (`/apis/x/v1/clusters/c/proxy/api/v1/nodes`) pass and are not read, because they are those of another cluster |
//! | an unknown version (`/apis/discovery.k8s.io/v2/endpointslices`), or no API root where one is expected | passes, counted |
//! | other kinds, subresources | passes |
//!
//! The annotation `openyurt.io/topologyKeys` of a Service selects its endpoints, with the verdicts
//! of OpenYurt's own filter; [`Reason`] has every rule, the page
//! [openyurt](documentation::openyurt) the table.
//! Other annotations are a matter of [`Config::dialect`], other rewrites ([`Rewrite`],
//! [`ServiceReason`]) of the configuration. When a fact is missing, [`Config::on_missing_fact`]
//! decides. Every object that is forwarded because a fact is missing increments one of
//! [`Cluster::counters`].
//!
//! # Client state
//!
//! poolscope keeps the state of each client from its list to its watch and over reconnects. It uses
//! the state to emit events after facts changed and to suppress unchanged events. A watch at an
//! unknown resourceVersion gets a [`Reply`] with status 410. The rules and their
//! reasons are on the page [streams](documentation::streams).
//!
//! # Errors
//!
//! An [`Error`] names what failed, where in the body, and what to do. It closes the rewriter, whose
//! output then ends before the item at fault. The scanner finds endpoints and does not validate.
//! JSON that only a strict parser refuses (invalid UTF-8, a malformed number in an unused field)
//! passes unchanged, and the client has to validate it.
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

#[macro_use]
mod trace;

mod client_state;
mod cluster;
mod config;
pub mod documentation;
mod error;
pub mod explain;
mod fact_sync;
mod hash;
#[cfg(feature = "http")]
mod http;
mod node;
mod object;
mod rewrite;
mod stream;
mod sync;
mod topology;
#[cfg(feature = "k8s-openapi")]
mod typed;
mod wire;

pub use bytes::{Bytes, BytesMut};

pub use client_state::store::saved::RestoreError;
pub use cluster::changes::ChangeListener;
pub use cluster::counters::Counters;
pub use cluster::log::Change;
pub use cluster::{Cluster, MissingFact};
pub use config::{
    Clients, Config, Dialect, Hub, Limits, Membership, MissingFactPolicy, OnMissingFact,
    ProtobufLists, Retention, Rewrite,
};
pub use error::{Error, ErrorKind, Result};
pub use fact_sync::{FactRequest, FactStep, FactSync, FetchId};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub use hash::seed_hashes;
pub use node::NodeView;
pub use object::FactKind;
pub use rewrite::ServiceReason;
pub use stream::request::{RequestHead, ResponseHead};
pub use stream::{Action, BodyRewriter, FactReader, NeededList, Reply, ReplyCause};
pub use topology::keys::Topology;
pub use topology::verdict::Reason;

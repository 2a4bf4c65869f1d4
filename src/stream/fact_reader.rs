//! Bodies that the embedder fetches itself, as sources of facts.

use super::body_rewriter::BodyRewriter;
use super::path::Resource;
use super::plan::encoding;
use super::request::{RequestHead, ResponseHead, Target};
use super::status::ReadStatus;
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::object::version::Version;
use crate::wire::splice::Output;

/// Reads the facts in one response body.
///
/// Push its chunks, and finish it at the end of the body.
///
/// ```
/// use poolscope::{Cluster, Config, RequestHead, ResponseHead};
///
/// let cluster = Cluster::new(Config::openyurt())?;
/// let request = RequestHead::get("/api/v1/nodes/hz-1");
/// let mut reader = cluster.read_facts(&request, &ResponseHead::ok("application/json"))?;
/// reader.push(br#"{"kind":"Node","metadata":{"name":"hz-1"}}"#)?;
/// reader.finish()?;
/// assert!(cluster.node("hz-1").is_known());
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug)]
pub struct FactReader {
    body: BodyRewriter,
}

impl Cluster {
    /// Opens the response to a request for Services, Nodes, CiliumNodes, NodePools, NodeBuckets or
    /// the ConfigMap `kube-system/yurt-hub-cfg`: a list, a watch or a single object.
    ///
    /// The response may be metadata-only (`as=PartialObjectMetadata`), except for NodePools,
    /// NodeBuckets and the ConfigMap, whose facts are not in their metadata.
    ///
    /// The facts of a kind are complete after a list that was read to its end with all its pages,
    /// or after the bookmark that ends the initial events of a watch. Request bookmarks
    /// (`allowWatchBookmarks=true`): without them a watch on a cluster without changes never
    /// reports that its facts are complete.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotAFact`] for any other request and for a status other than 200;
    /// [`ErrorKind::ContentEncoding`] and [`ErrorKind::ContentType`].
    ///
    /// [`ErrorKind::NotAFact`]: crate::ErrorKind::NotAFact
    /// [`ErrorKind::ContentEncoding`]: crate::ErrorKind::ContentEncoding
    /// [`ErrorKind::ContentType`]: crate::ErrorKind::ContentType
    pub fn read_facts(&self, request: &RequestHead, head: &ResponseHead) -> Result<FactReader> {
        let refuse = |why| Err(Error::not_a_fact(&request.target, why));
        let Some(target) = Target::of(request) else {
            return refuse(
                "GET Services, Nodes, CiliumNodes, NodePools, NodeBuckets or the ConfigMap \
                 kube-system/yurt-hub-cfg",
            );
        };
        let Resource::Fact(kind) = target.resource else {
            return refuse("endpoints are filtered: open the response with `NodeView::open`");
        };
        if head.status != 200 {
            return refuse("the status is not 200");
        }
        let encoding = encoding(request, head)?;
        Ok(FactReader { body: BodyRewriter::of_facts(self, kind, &target, encoding) })
    }
}

impl FactReader {
    /// Takes the next chunk of the body.
    ///
    /// # Errors
    ///
    /// An error closes the reader. The facts that were read before the fault stay.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        self.body.take(chunk, &mut Output::nowhere())
    }

    /// Ends the body.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Truncated`](crate::ErrorKind) if the body ended inside a value.
    pub fn finish(&mut self) -> Result<()> {
        self.body.end(&mut Output::nowhere())
    }

    /// A watch from this version misses nothing after what was read; `None` before a list or the
    /// initial events of a watch are over.
    pub(crate) fn resume_at(&self) -> Option<Version> {
        self.body.recorder()?.resume_at()
    }

    /// Returns the Status of the ERROR event that ended the watch.
    pub(crate) fn error(&self) -> Option<&ReadStatus> {
        self.body.recorder()?.error()
    }
}

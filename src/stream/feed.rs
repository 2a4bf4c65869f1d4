//! Bodies that the embedder fetches itself, to teach the cluster.

use super::learner::Learner;
use super::path::Resource;
use super::request::{Head, Request, Target};
use super::role::Role;
use super::{Stream, encoding};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::wire::splice::Output;

/// One response body that teaches a [`Cluster`]. Push its chunks and finish it where the body ends.
#[derive(Debug)]
pub struct Feed {
    stream: Stream,
}

impl Cluster {
    /// Opens the response to a request for Services, Nodes, CiliumNodes, NodePools, NodeBuckets or
    /// the ConfigMap `kube-system/yurt-hub-cfg`: a list, a watch or a single object, whole or
    /// metadata-only (`as=PartialObjectMetadata`; not for NodePools, NodeBuckets and the
    /// ConfigMap, of which other things are wanted than metadata).
    ///
    /// A list that is read to its end, all its pages, makes the kind known; so does a watch with
    /// initial events, at the bookmark that ends them. Ask for bookmarks
    /// (`allowWatchBookmarks=true`), or a watch on a quiet cluster never tells.
    ///
    /// Errors: [`Error::NotAFact`] for any other request or a status other than 200;
    /// [`Error::ContentEncoding`], [`Error::ContentType`].
    pub fn feed(&self, request: &Request, head: &Head) -> Result<Feed> {
        let refuse = |why| Err(Error::NotAFact { target: request.target.as_str().into(), why });
        let Some(target) = Target::of(request) else {
            return refuse(
                "ask for Services, Nodes, CiliumNodes, NodePools, NodeBuckets or ConfigMap kube-system/yurt-hub-cfg by GET",
            );
        };
        let Resource::Fact(kind) = target.resource else {
            return refuse(
                "endpoints are filtered, they teach nothing; open them with `NodeView::open`",
            );
        };
        if head.status != 200 {
            return refuse("the status is not 200");
        }
        let encoding = encoding(request, head)?;
        let role = Role::Learn(Box::new(Learner::new(self.clone(), kind, &target)));
        Ok(Feed { stream: Stream::new(target.verb, encoding, role, self.config()) })
    }
}

impl Feed {
    /// Takes the next chunk of the body. Errors close the feed; what was learned before stays.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        self.stream.take(chunk, &mut Output::nowhere())
    }

    /// The body is over.
    pub fn finish(&mut self) -> Result<()> {
        self.stream.end(&mut Output::nowhere())
    }
}

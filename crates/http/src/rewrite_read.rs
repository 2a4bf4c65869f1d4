//! A blocking reader that rewrites a body.

use std::fmt;
use std::io::{self, ErrorKind, Read};

use bytes::{Buf, Bytes, BytesMut};
use poolscope::BodyRewriter;

use crate::rewriting::Rewriting;

/// The bytes that are read from upstream at once.
const CHUNK: usize = 16 << 10;

/// A response body as the node's client receives it, for blocking programs.
///
/// A watch emits the events that are due after facts changed when [`Read::read`] is called. A read
/// that blocks on upstream does not notice a change. Set a read timeout on the connection: the
/// errors `WouldBlock` and `TimedOut` are returned, and the next call continues.
///
/// The body ends as [`RewriteBody`](crate::RewriteBody) does.
///
/// ```
/// use std::io::Read;
///
/// use poolscope::{Action, Cluster, Config, RequestHead, ResponseHead};
/// use poolscope_http::RewriteRead;
///
/// let node = Cluster::new(Config::openyurt())?.node("hz-1");
/// let request = RequestHead::get("/api/v1/services");
/// let action = node.open(&request, &ResponseHead::ok("application/json"))?;
/// let Action::Rewrite(rewriter) = action else { panic!("{action:?}") };
///
/// let upstream = &br#"{"kind":"ServiceList","items":[]}"#[..];
/// let mut body = String::new();
/// RewriteRead::new(rewriter, upstream).read_to_string(&mut body)?;
/// assert_eq!(body, r#"{"kind":"ServiceList","items":[]}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RewriteRead<R> {
    upstream: R,
    rewriting: Rewriting,
    chunk: BytesMut,
    /// The rest of a run that did not fit into the last read.
    rest: Bytes,
}

impl<R> RewriteRead<R> {
    /// Rewrites `upstream`, the body of a response, with the rewriter that
    /// [`NodeView::open`](poolscope::NodeView::open) returned for the response.
    pub fn new(rewriter: BodyRewriter, upstream: R) -> RewriteRead<R> {
        RewriteRead {
            upstream,
            rewriting: Rewriting::new(rewriter),
            chunk: BytesMut::new(),
            rest: Bytes::new(),
        }
    }

    /// Returns this reader for an upstream body that is compressed with gzip.
    #[must_use]
    pub fn gzip(mut self) -> RewriteRead<R> {
        self.rewriting.decompress();
        self
    }
}

impl<R: Read> Read for RewriteRead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.rest.is_empty() {
                self.rest = self.rewriting.next_run().unwrap_or_default();
            }
            if !self.rest.is_empty() {
                let count = self.rest.len().min(buffer.len());
                self.rest.copy_to_slice(&mut buffer[..count]);
                return Ok(count);
            }
            if self.rewriting.push_piece() {
                continue;
            }
            if self.rewriting.is_closed() {
                return self
                    .rewriting
                    .take_error()
                    .map_or(Ok(0), |error| Err(io::Error::other(error)));
            }
            self.rewriting.refresh();
            if self.rewriting.is_drained() && !self.rewriting.is_closed() {
                self.read_upstream()?;
            }
        }
    }
}

impl<R: Read> RewriteRead<R> {
    fn read_upstream(&mut self) -> io::Result<()> {
        self.chunk.resize(CHUNK, 0);
        match self.upstream.read(&mut self.chunk) {
            Ok(0) => self.rewriting.finish(),
            Ok(count) => self.rewriting.push(self.chunk.split_to(count).freeze()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(error);
            }
            Err(error) => self.rewriting.fail(error.into()),
        }
        Ok(())
    }
}

impl<R> fmt::Debug for RewriteRead<R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RewriteRead")
            .field("rewriter", &self.rewriting.rewriter())
            .finish_non_exhaustive()
    }
}

//! The rewrite of one body without I/O: what is pushed, what is queued, how it ends.

use bytes::{Bytes, BytesMut};
use poolscope::BodyRewriter;

use crate::error::{BoxError, Error};
use crate::inflater::Inflater;

/// One body between its upstream and its client.
///
/// The caller takes all queued runs out before it pushes the next chunk.
pub(crate) struct Rewriting {
    /// `None` after the end, so that a reconnecting client can resume its state at once.
    rewriter: Option<BodyRewriter>,
    /// A watch that is cut ends normally, because its client resumes. A list that is cut must not
    /// look whole.
    is_watch: bool,
    inflater: Option<Inflater>,
    /// Runs from `next` on are queued.
    runs: Vec<Bytes>,
    next: usize,
    /// The error after all runs.
    error: Option<Error>,
}

impl Rewriting {
    pub(crate) fn new(rewriter: BodyRewriter) -> Rewriting {
        Rewriting {
            is_watch: rewriter.is_watch(),
            rewriter: Some(rewriter),
            inflater: None,
            runs: Vec::new(),
            next: 0,
            error: None,
        }
    }

    pub(crate) fn decompress(&mut self) {
        self.inflater = Some(Inflater::new());
    }

    /// Takes the next queued run out.
    pub(crate) fn next_run(&mut self) -> Option<Bytes> {
        let Some(run) = self.runs.get_mut(self.next) else {
            // Keeps the capacity.
            self.runs.clear();
            self.next = 0;
            return None;
        };
        self.next += 1;
        Some(std::mem::take(run))
    }

    /// The rewriter took its last byte. Runs and an error may still be queued.
    pub(crate) fn is_closed(&self) -> bool {
        self.rewriter.is_none()
    }

    /// Nothing is queued, neither a run nor an error.
    pub(crate) fn is_drained(&self) -> bool {
        self.next == self.runs.len() && self.error.is_none()
    }

    pub(crate) fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }

    /// Takes a chunk of the upstream body.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        match &mut self.inflater {
            Some(inflater) => inflater.feed(chunk),
            None => self.rewrite(&chunk),
        }
    }

    /// Rewrites the next piece of a compressed chunk. Returns `false` if there is none.
    pub(crate) fn push_piece(&mut self) -> bool {
        let piece = match &mut self.inflater {
            Some(inflater) if self.rewriter.is_some() => inflater.next_piece(),
            _ => return false,
        };
        match piece {
            Ok(Some(piece)) => self.rewrite(&piece),
            Ok(None) => return false,
            Err(error) => self.close(Some(Error::Gzip(error))),
        }
        true
    }

    fn rewrite(&mut self, chunk: &Bytes) {
        if let Some(rewriter) = &mut self.rewriter {
            let result = rewriter.push_bytes(chunk, &mut self.runs);
            self.settle(result);
        }
    }

    /// Queues the events that are due after facts changed.
    pub(crate) fn refresh(&mut self) {
        if self.rewriter.as_ref().is_some_and(BodyRewriter::needs_refresh) {
            self.call(|rewriter, out| rewriter.refresh(out));
        }
    }

    /// Queues what `call` appends.
    pub(crate) fn call(
        &mut self,
        call: impl FnOnce(&mut BodyRewriter, &mut BytesMut) -> poolscope::Result<()>,
    ) {
        if let Some(rewriter) = &mut self.rewriter {
            let mut out = BytesMut::new();
            let result = call(rewriter, &mut out);
            self.queue(out);
            self.settle(result);
        }
    }

    /// The rewriter, until the end.
    pub(crate) fn rewriter(&self) -> Option<&BodyRewriter> {
        self.rewriter.as_ref()
    }

    fn queue(&mut self, out: BytesMut) {
        if !out.is_empty() {
            self.runs.push(out.freeze());
        }
    }

    /// Closes after an error or an ERROR event.
    fn settle(&mut self, result: poolscope::Result<()>) {
        if let Err(error) = result {
            self.close(Some(error.into()));
        } else if self.rewriter.as_ref().is_some_and(BodyRewriter::is_ended) {
            self.close(None);
        }
    }

    /// Ends the body after the last chunk.
    pub(crate) fn finish(&mut self) {
        if let Some(Err(error)) = self.inflater.as_mut().map(Inflater::finish) {
            return self.cut(Error::Gzip(error));
        }
        let Some(rewriter) = &mut self.rewriter else { return };
        let mut out = BytesMut::new();
        let result = rewriter.finish(&mut out);
        self.queue(out);
        match result {
            Ok(()) => self.close(None),
            Err(error) => self.cut(error.into()),
        }
    }

    /// Ends the body after upstream failed.
    pub(crate) fn fail(&mut self, error: BoxError) {
        self.cut(Error::Upstream(error));
    }

    /// Ends a body that upstream did not complete.
    fn cut(&mut self, error: Error) {
        self.close((!self.is_watch).then_some(error));
    }

    fn close(&mut self, error: Option<Error>) {
        if self.rewriter.take().is_some() {
            self.error = error;
        }
    }
}

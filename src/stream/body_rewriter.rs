//! Rewrites one response body.

use bytes::{Bytes, BytesMut};

use super::fact_recorder::FactRecorder;
use super::framer::{BodyForm, Context, Cursor, Framer};
use super::json_list::JsonList;
use super::json_values::JsonValues;
use super::needed_list::NeededList;
use super::plan::encoding;
use super::processor::{Processor, Rewriter};
use super::protobuf_frames::ProtobufFrames;
use super::protobuf_list::ProtobufList;
use super::protobuf_object::ProtobufObject;
use super::reassembly::{Progress, Reassembly};
use super::request::{RequestHead, ResponseHead, Target, Verb};
use crate::cluster::Cluster;
use crate::config::{Config, Limits};
use crate::error::{Error, Result};
use crate::object::FactKind;
use crate::wire::encoding::Encoding;
use crate::wire::splice::Output;

/// Rewrites one response body: a list, a watch or a single object.
///
/// Push every chunk of the body as it arrives, write out what was appended, and call
/// [`BodyRewriter::finish`] at the end of the body. The split of the body into chunks changes only
/// when bytes are appended, never which bytes.
///
/// ```
/// use poolscope::{Action, BytesMut, Cluster, Config, RequestHead, ResponseHead};
///
/// // A Service is a fact: the rewriter reads it and forwards every byte.
/// let node = Cluster::new(Config::openyurt())?.node("hz-1");
/// let request = RequestHead::get("/api/v1/services");
/// let action = node.open(&request, &ResponseHead::ok("application/json"))?;
/// let Action::Rewrite(mut rewriter) = action else { panic!("{action:?}") };
/// let mut out = BytesMut::new();
/// rewriter.push(br#"{"kind":"ServiceList","items":"#, &mut out)?;
/// rewriter.push(br#"[]}"#, &mut out)?;
/// rewriter.finish(&mut out)?;
/// assert_eq!((rewriter.bytes_in(), rewriter.bytes_out()), (33, 33));
/// # Ok::<(), poolscope::Error>(())
/// ```
pub struct BodyRewriter {
    framer: Box<dyn Framer>,
    processor: Processor,
    reassembly: Reassembly,
    limits: Limits,
    form: BodyForm,
    encoding: Encoding,
    /// Bytes that the framer has processed.
    bytes_in: u64,
    bytes_out: u64,
    /// The last byte written is not the newline that ends a JSON event.
    mid_line: bool,
    closed: bool,
}

impl BodyRewriter {
    /// Takes the next chunk of the body and appends the rewritten bytes to `out`.
    ///
    /// # Errors
    ///
    /// An error closes the rewriter. `out` then ends where the last whole object before the fault
    /// ends: end the response towards the client there.
    pub fn push(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<()> {
        self.take_and_emit(chunk, &mut Output::to(out))
    }

    /// Takes the next chunk of the body and appends the rewritten bytes to `out` as runs, without
    /// copying long runs of forwarded bytes.
    ///
    /// The runs together are the bytes that [`BodyRewriter::push`] would append. Each run shares
    /// the memory of `chunk` or owns a buffer of edited bytes.
    ///
    /// # Errors
    ///
    /// As for [`BodyRewriter::push`].
    pub fn push_bytes(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<()> {
        let mut out = Output::runs(chunk, out);
        let result = self.take_and_emit(chunk, &mut out);
        out.finish();
        result
    }

    /// Ends the body and appends the bytes that were held back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Truncated`](crate::ErrorKind) if the body ended inside a value.
    pub fn finish(&mut self, out: &mut BytesMut) -> Result<()> {
        let mut out = Output::to(out);
        let result = self.end(&mut out);
        self.record_output(&out);
        result
    }

    /// Appends the watch events this client needs after facts changed: MODIFIED for each object
    /// whose filtered form differs from the last sent, ADDED or DELETED for each Service that
    /// became visible or was filtered out, then a BOOKMARK if the client allows them. Call it
    /// whenever [`Cluster::generation`] moved. Inside an event, and before the initial events are
    /// over, it appends nothing; the `push` that reaches the next boundary appends the events.
    ///
    /// Does nothing for lists and single objects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`](crate::ErrorKind) after an error or after `finish`.
    pub fn refresh(&mut self, out: &mut BytesMut) -> Result<()> {
        self.check_open()?;
        if let Some(session) = self.processor.session_mut() {
            session.request_refresh();
        }
        self.emit_due(&mut Output::to(out));
        Ok(())
    }

    /// Returns `true` if [`BodyRewriter::refresh`] may emit events. Also `true` right after a watch
    /// resumes, because its client may have missed events. Cheap.
    pub fn needs_refresh(&self) -> bool {
        match &self.processor {
            Processor::Rewrite(rewriter) => rewriter
                .session
                .as_ref()
                .is_some_and(|session| session.needs_refresh(rewriter.evaluator.cluster())),
            Processor::ReadFacts(_) | Processor::Collect(_) => false,
        }
    }

    /// Returns the lists that are needed to emit events for Services that gained topology keys.
    /// Empty unless [`Retention::Topology`](crate::Retention) is configured.
    pub fn needed_lists(&self) -> Vec<NeededList> {
        let session = self.processor.session().zip(self.processor.subject());
        session.map(|(session, kind)| session.needed_lists(kind)).unwrap_or_default()
    }

    /// Takes the whole response to a request for [`NeededList::target`], in the encoding of this
    /// stream, and appends the events that it makes possible. An object counts only at the
    /// resourceVersion that this stream has seen. A newer object arrives in the watch; an older one
    /// has to be requested again.
    ///
    /// # Errors
    ///
    /// Fails if the response cannot be read. The stream continues as if there had been none.
    pub fn provide_list(
        &mut self,
        head: &ResponseHead,
        body: &[u8],
        out: &mut BytesMut,
    ) -> Result<()> {
        self.check_open()?;
        let Some(Rewriter { evaluator, session: Some(session), .. }) = self.processor.rewriter()
        else {
            return Ok(());
        };
        let request = RequestHead::get("`NeededList::target`");
        if head.status != 200 {
            return Err(Error::status(&request.target, head.status));
        }
        if encoding(&request, head)? != self.encoding {
            let content_type = head.values("content-type").next().unwrap_or_default();
            return Err(Error::content_type(content_type, &request.target));
        }
        let mut list = BodyRewriter::new(
            Verb::List,
            self.encoding,
            Processor::Collect(Vec::new()),
            evaluator.cluster().config(),
        );
        list.take(body, &mut Output::nowhere())?;
        list.end(&mut Output::nowhere())?;
        if let Processor::Collect(objects) = list.processor {
            objects.iter().for_each(|object| session.provide_object(object, evaluator));
        }
        self.emit_due(&mut Output::to(out));
        Ok(())
    }

    /// Returns `true` if the stream ended itself with an ERROR event. End the response; later
    /// chunks are ignored.
    pub fn is_ended(&self) -> bool {
        self.processor.is_expired()
    }

    /// Returns `true` for a watch. A watch whose upstream breaks may end like any other, because its
    /// client resumes (B7.2); a list or an object must not look whole then.
    pub fn is_watch(&self) -> bool {
        self.form == BodyForm::Watch
    }

    /// Returns the bytes of the body that were processed, without those held back.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Returns the bytes that were appended.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    fn take_and_emit(&mut self, chunk: &[u8], out: &mut Output<'_>) -> Result<()> {
        let result = self.take(chunk, out);
        self.record_output(out);
        if result.is_ok() {
            self.emit_due(out);
        }
        result
    }

    /// Adds the bytes that were written to `out` since the last call.
    fn record_output(&mut self, out: &Output<'_>) {
        let (count, last) = out.written();
        self.bytes_out += count;
        if let Some(last) = last {
            self.mid_line = self.encoding == Encoding::Json && last != b'\n';
        }
    }

    /// Emits pending events where an event may stand (R6): a client that reads lines
    /// must not find two events on one line.
    fn emit_due(&mut self, out: &mut Output<'_>) {
        if !self.mid_line && self.processor.is_due(None) {
            out.restart_count();
            self.processor.emit_due(out);
            self.record_output(out);
        }
    }

    pub(super) fn take(&mut self, chunk: &[u8], out: &mut Output<'_>) -> Result<()> {
        self.check_open()?;
        let BodyRewriter { framer, processor, limits, form, bytes_in, .. } = self;
        let result = self.reassembly.with(chunk, |data| {
            // Bytes after an ERROR event are ignored.
            if processor.is_expired() {
                *bytes_in += data.len() as u64;
                return Ok(Progress { used: data.len(), wants: 0 });
            }
            let mut cursor = Cursor::default();
            let mut context = Context { processor, limits: *limits, base: *bytes_in, form: *form };
            let result = framer.advance(data, &mut cursor, &mut context, out);
            out.put(&data[cursor.written..cursor.pos]);
            *bytes_in += cursor.pos as u64;
            result.map(|()| Progress { used: cursor.pos, wants: framer.wants(&data[cursor.pos..]) })
        });
        if result.is_err() {
            self.close();
        }
        result
    }

    pub(super) fn end(&mut self, out: &mut Output<'_>) -> Result<()> {
        self.check_open()?;
        let result = if self.processor.is_expired() {
            Ok(())
        } else {
            let mut context = Context {
                processor: &mut self.processor,
                limits: self.limits,
                base: self.bytes_in,
                form: self.form,
            };
            self.framer.finish(self.reassembly.bytes(), &mut context, out)
        };
        self.close();
        result?;
        self.bytes_in += self.reassembly.len() as u64;
        Ok(())
    }

    /// Takes and emits nothing from now on.
    fn close(&mut self) {
        self.closed = true;
        if let Some(Rewriter { evaluator, session: Some(session), .. }) = self.processor.rewriter()
        {
            session.release_state(evaluator.cluster());
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.closed { Err(Error::closed(self.bytes_in, self.bytes_out)) } else { Ok(()) }
    }

    /// Returns what reads the facts, if nothing is rewritten.
    pub(super) fn recorder(&self) -> Option<&FactRecorder> {
        match &self.processor {
            Processor::ReadFacts(recorder) => Some(recorder),
            Processor::Rewrite(_) | Processor::Collect(_) => None,
        }
    }

    /// Reads facts from the response to a request for `target`, and forwards every byte.
    pub(super) fn of_facts(
        cluster: &Cluster,
        kind: FactKind,
        target: &Target,
        encoding: Encoding,
    ) -> BodyRewriter {
        let recorder = Box::new(FactRecorder::new(cluster.clone(), kind, target));
        let processor = Processor::ReadFacts(recorder);
        BodyRewriter::new(target.verb, encoding, processor, cluster.config())
    }

    pub(super) fn new(
        verb: Verb,
        encoding: Encoding,
        processor: Processor,
        config: &Config,
    ) -> BodyRewriter {
        let limits = config.limits;
        let framer: Box<dyn Framer> = match (verb, encoding) {
            (Verb::Watch { .. }, Encoding::Json) => Box::new(JsonValues::watch(&processor, limits)),
            (Verb::Get, Encoding::Json) => Box::new(JsonValues::single(&processor, limits)),
            (Verb::List, Encoding::Json) => Box::new(JsonList::new(&processor, limits)),
            (Verb::Watch { .. }, Encoding::Protobuf) => Box::new(ProtobufFrames),
            (Verb::Get, Encoding::Protobuf) => Box::new(ProtobufObject),
            (Verb::List, Encoding::Protobuf) => Box::new(ProtobufList::new(&processor, config)),
        };
        let form = match verb {
            Verb::Watch { .. } => BodyForm::Watch,
            Verb::List => BodyForm::List,
            Verb::Get => BodyForm::Object,
        };
        BodyRewriter {
            framer,
            processor,
            reassembly: Reassembly::default(),
            limits,
            form,
            encoding,
            bytes_in: 0,
            bytes_out: 0,
            mid_line: false,
            closed: false,
        }
    }
}

impl std::fmt::Debug for BodyRewriter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("BodyRewriter")
            .field("kind", &self.processor.kind())
            .field("form", &self.form)
            .field("bytes_in", &self.bytes_in)
            .field("bytes_out", &self.bytes_out)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

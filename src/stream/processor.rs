//! Processes the items of a body: rewrites them, reads facts, or collects them.

use super::client_session::ClientSession;
use super::disposition::{Content, Disposition, Observation};
use super::evaluator::Evaluator;
use super::fact_recorder::FactRecorder;
use super::item::{Event, Item, ListEnd};
use super::reply::not_found;
use crate::client_state::CopyState;
use crate::cluster::counters::count;
use crate::error::Fault;
use crate::object::SubjectKind;
use crate::object::metadata::PARTIAL_OBJECT_METADATA;
use crate::object::outline::{EVENT_SHAPE, name_in};
use crate::object::version::Version;
use crate::rewrite::Rules;
use crate::wire::encoding::Encoding;
use crate::wire::json::Shape;
use crate::wire::splice::{Edit, NO_EDIT, Output};

/// Processes the items of a body.
pub(super) enum Processor {
    /// Filters endpoints and Services.
    Rewrite(Box<Rewriter>),
    /// Reads facts; every byte is forwarded.
    ReadFacts(Box<FactRecorder>),
    /// Keeps the objects; the output is not used.
    Collect(Vec<Vec<u8>>),
}

impl Processor {
    /// Returns the fields to find in a JSON item or object.
    pub(super) fn item_shape(&self) -> Shape {
        match self {
            Processor::Rewrite(rewriter) => rewriter.evaluator.item_shape(),
            Processor::ReadFacts(_) | Processor::Collect(_) => Shape::SKIP,
        }
    }

    /// Returns the fields to find in a JSON watch event.
    pub(super) fn event_shape(&self) -> Shape {
        match self {
            Processor::Rewrite(rewriter) => rewriter.evaluator.event_shape(),
            Processor::ReadFacts(_) | Processor::Collect(_) => EVENT_SHAPE,
        }
    }

    /// Returns the kind that the objects should have.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Processor::Rewrite(rewriter) => rewriter.evaluator.kind().kind(),
            Processor::ReadFacts(recorder) => recorder.kind().kind(),
            Processor::Collect(_) => "",
        }
    }

    /// Processes a list item.
    pub(super) fn take_list_item(&mut self, item: &Item<'_>) -> Result<Content, Fault> {
        match self {
            Processor::Rewrite(rewriter) => Ok(rewriter.observe(item)?.content),
            Processor::ReadFacts(recorder) => {
                recorder.take(item);
                Ok(Content::Keep)
            }
            Processor::Collect(objects) => {
                objects.push(item.object_bytes().to_vec());
                Ok(Content::Keep)
            }
        }
    }

    /// Processes a watch event or a single object.
    pub(super) fn take(&mut self, item: &Item<'_>) -> Result<Disposition, Fault> {
        match self {
            Processor::Rewrite(rewriter) => rewriter.take(item),
            Processor::ReadFacts(_) | Processor::Collect(_) => {
                self.take_list_item(item).map(Disposition::Object)
            }
        }
    }

    /// Returns the kind that is rewritten, if the body is.
    pub(super) fn subject(&self) -> Option<SubjectKind> {
        match self {
            Processor::Rewrite(rewriter) => Some(rewriter.evaluator.kind()),
            Processor::ReadFacts(_) | Processor::Collect(_) => None,
        }
    }

    /// Returns the edit of the item that was taken last.
    pub(super) fn edit(&self) -> &Edit {
        match self {
            Processor::Rewrite(rewriter) => rewriter.evaluator.edit(),
            Processor::ReadFacts(_) | Processor::Collect(_) => &NO_EDIT,
        }
    }

    /// Returns `true` if the response may be a list of this kind.
    pub(super) fn expects_list(&self, kind: &[u8]) -> bool {
        match self {
            Processor::Rewrite(rewriter) => rewriter.expects_list(kind),
            // A list that states no facts is forwarded too.
            Processor::ReadFacts(_) | Processor::Collect(_) => true,
        }
    }

    /// Ends a list after its last item. The error names the fault of the list.
    pub(super) fn list_ended(&mut self, end: &ListEnd<'_>) -> Result<(), &'static str> {
        match self {
            Processor::Rewrite(rewriter) => {
                match end.kind {
                    Some(b"Table") => {
                        count(&rewriter.evaluator.cluster().live_counters().passed_table, 1)
                    }
                    Some(kind) if !rewriter.expects_list(kind) => {
                        return Err("a list of another kind than the request asked for");
                    }
                    None if !end.has_items => {
                        return Err("expected a list: an object with `kind` or `items`");
                    }
                    _ => {}
                }
                if let Some(recorder) = &mut rewriter.facts {
                    recorder.list_ended(end);
                }
                if let Some(session) = &mut rewriter.session {
                    session.list_ended(
                        Version::parse(end.resource_version),
                        end.continues,
                        rewriter.evaluator.rules(),
                    );
                }
            }
            Processor::ReadFacts(recorder) => recorder.list_ended(end),
            Processor::Collect(_) => {}
        }
        Ok(())
    }

    /// Returns the rewriter, if the stream is rewritten.
    pub(super) fn rewriter(&mut self) -> Option<&mut Rewriter> {
        match self {
            Processor::Rewrite(rewriter) => Some(rewriter),
            Processor::ReadFacts(_) | Processor::Collect(_) => None,
        }
    }

    pub(super) fn session(&self) -> Option<&ClientSession> {
        match self {
            Processor::Rewrite(rewriter) => rewriter.session.as_deref(),
            Processor::ReadFacts(_) | Processor::Collect(_) => None,
        }
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut ClientSession> {
        self.rewriter()?.session.as_deref_mut()
    }

    /// Returns `true` if events have to be emitted before `next`, or now if there is no next item.
    pub(super) fn is_due(&self, next: Option<&Item<'_>>) -> bool {
        self.session().is_some_and(|session| session.is_due(next))
    }

    /// Emits the events that are due.
    pub(super) fn emit_due(&mut self, out: &mut Output<'_>) {
        if let Some(Rewriter { evaluator, session: Some(session), .. }) = self.rewriter() {
            session.emit_due(evaluator, out);
        }
    }

    /// Returns `true` if the stream ended itself.
    pub(super) fn is_expired(&self) -> bool {
        self.session().is_some_and(|session| session.expired)
    }

    /// Returns `true` if items may be held back to the end of a list.
    pub(super) fn holds_back(&self) -> bool {
        self.session().is_some_and(ClientSession::holds_back)
    }

    /// Returns `true` if items may be left out of a list.
    pub(super) fn may_leave_out(&self) -> bool {
        matches!(self, Processor::Rewrite(rewriter)
            if rewriter.evaluator.kind() == SubjectKind::Service)
    }

    /// Whether one item of a list may become larger: the one that has a namespace and name of its
    /// own.
    pub(super) fn may_grow(&self) -> bool {
        matches!(self, Processor::Rewrite(rewriter) if rewriter.evaluator.rules().may_grow())
    }

    /// Emits the items that were held back.
    pub(super) fn release(&mut self, emit: impl FnMut(&[u8], &Edit)) -> Result<(), Fault> {
        match self.rewriter() {
            Some(Rewriter { evaluator, session: Some(session), .. }) => {
                session.release(evaluator, emit)
            }
            _ => Ok(()),
        }
    }

    /// The name of an object that could not be taken, as far as it was read, for messages.
    pub(super) fn name_of(&self, item: &Item<'_>) -> Option<Box<str>> {
        match self {
            Processor::Rewrite(_) if item.encoding == Encoding::Json => {
                name_in(item.buf, item.marks)
            }
            Processor::Rewrite(rewriter) => rewriter.evaluator.object_name(item.buf),
            Processor::ReadFacts(_) | Processor::Collect(_) => None,
        }
    }
}

/// Filters objects of one kind for one node.
pub(super) struct Rewriter {
    pub(super) evaluator: Evaluator,
    /// The objects are facts, too.
    facts: Option<Box<FactRecorder>>,
    /// The body is one object.
    single: bool,
    /// The session of the client, unless the stream is stateless.
    pub(super) session: Option<Box<ClientSession>>,
}

impl Rewriter {
    pub(super) fn new(
        rules: Rules,
        single: bool,
        facts: Option<FactRecorder>,
        session: Option<ClientSession>,
    ) -> Rewriter {
        let evaluator = Evaluator::new(rules);
        Rewriter { evaluator, facts: facts.map(Box::new), single, session: session.map(Box::new) }
    }

    /// Returns `true` if the response may be a list of this kind.
    fn expects_list(&self, kind: &[u8]) -> bool {
        let item = kind.strip_suffix(b"List").unwrap_or_default();
        let bare =
            matches!(kind, b"Table" | b"Status") || item == PARTIAL_OBJECT_METADATA.as_bytes();
        bare || item == self.evaluator.kind().kind().as_bytes()
    }

    /// Evaluates an item, and records it in the session.
    fn observe(&mut self, item: &Item<'_>) -> Result<Observation, Fault> {
        let Rewriter { evaluator, facts, session, .. } = self;
        if let Some(recorder) = facts {
            recorder.take(item);
        }
        if matches!(item.event, Event::Bookmark | Event::Error) {
            if let Some(session) = session {
                session.mark(item, evaluator.cluster());
            }
            return Ok(Observation::of(Content::Keep));
        }
        let is_whole = evaluator.read_item(item)?;
        match session {
            Some(session) if is_whole => session.object(evaluator, item),
            Some(session) => {
                session.passed(item.event, evaluator.version(item.buf), evaluator.cluster());
                Ok(Observation::of(Content::Keep))
            }
            None if is_whole => {
                let evaluation = evaluator.evaluate_alone(item)?;
                evaluator.count(&evaluation);
                // The client's copies are unknown, except that it has none of a new object.
                let copy = match item.event {
                    Event::Modified | Event::Deleted => CopyState::Unknown,
                    _ => CopyState::Absent,
                };
                Ok(Observation { content: evaluation.content(), copy: Some(copy), live: true })
            }
            None => Ok(Observation::of(Content::Keep)),
        }
    }

    /// Processes a watch event or a single object.
    fn take(&mut self, item: &Item<'_>) -> Result<Disposition, Fault> {
        let observation = self.observe(item)?;
        if self.single && observation.content == Content::Drop {
            let name = self.evaluator.name(item.buf);
            let body = not_found(self.evaluator.kind(), &name, item.encoding);
            return Ok(Disposition::Substitute(body));
        }
        Ok(Disposition::of(item.event, observation))
    }
}

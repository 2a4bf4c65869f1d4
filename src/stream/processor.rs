//! Processes the items of a body: rewrites them, reads facts, or collects them.

use super::client_session::{ClientSession, Decision, version_of};
use super::event::EventType;
use super::fact_recorder::FactRecorder;
use super::item::{Event, Item, ListEnd};
use super::reply::not_found;
use bytes::Bytes;

use crate::cluster::counters::count;
use crate::error::Fault;
use crate::object::metadata::PARTIAL_OBJECT_METADATA;
use crate::object::outline::{EVENT_SHAPE, Outline, name_in};
use crate::object::version::Version;
use crate::object::{SubjectKind, outline_json, outline_protobuf};
use crate::rewrite::Rules;
use crate::topology::fallback::UsableSteps;
use crate::wire::encoding::Encoding;
use crate::wire::json::Shape;
use crate::wire::splice::{Edit, Output};

/// Processes the items of a body.
pub(super) enum Processor {
    /// Filters endpoints and Services.
    Rewrite(Box<Rewriter>),
    /// Reads facts; every byte is forwarded.
    ReadFacts(Box<FactRecorder>),
    /// Keeps the objects; the output is not used.
    Collect(Vec<Vec<u8>>),
}

/// The output in place of an item.
pub(super) enum Disposition<'a> {
    /// The item as it is.
    Keep,
    /// The item with an edited object.
    Edit(&'a Edit),
    /// An event of another type, with the edited object.
    Emit(EventType, SubjectKind, &'a Edit),
    /// Another body.
    Substitute(Bytes),
    /// Nothing, or nothing yet.
    Drop,
}

impl Processor {
    /// Returns the fields to find in a JSON item or object.
    pub(super) fn item_shape(&self) -> Shape {
        match self {
            Processor::Rewrite(rewriter) => {
                rewriter.kind.shape(rewriter.outline.wants_conditions())
            }
            Processor::ReadFacts(_) | Processor::Collect(_) => Shape::SKIP,
        }
    }

    /// Returns the fields to find in a JSON watch event.
    pub(super) fn event_shape(&self) -> Shape {
        match self {
            Processor::Rewrite(rewriter) => {
                rewriter.kind.event_shape(rewriter.outline.wants_conditions())
            }
            Processor::ReadFacts(_) | Processor::Collect(_) => EVENT_SHAPE,
        }
    }

    /// Returns the kind that the objects should have.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Processor::Rewrite(rewriter) => rewriter.kind.kind(),
            Processor::ReadFacts(recorder) => recorder.kind().kind(),
            Processor::Collect(_) => "",
        }
    }

    /// Processes an item.
    pub(super) fn take(&mut self, item: &Item<'_>) -> Result<Disposition<'_>, Fault> {
        match self {
            Processor::Rewrite(rewriter) => {
                if let Some(recorder) = &mut rewriter.facts {
                    recorder.take(item);
                }
                rewriter.take(item)
            }
            Processor::ReadFacts(recorder) => {
                recorder.take(item);
                Ok(Disposition::Keep)
            }
            Processor::Collect(objects) => {
                objects.push(item.object_bytes().to_vec());
                Ok(Disposition::Keep)
            }
        }
    }

    /// Returns `true` if the response may be a list of this kind.
    pub(super) fn expects_list(&self, kind: &[u8]) -> bool {
        match self {
            Processor::Rewrite(rewriter) => {
                let item = kind.strip_suffix(b"List").unwrap_or_default();
                let bare = matches!(kind, b"Table" | b"Status")
                    || item == PARTIAL_OBJECT_METADATA.as_bytes();
                bare || item == rewriter.kind.kind().as_bytes()
            }
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
                        count(&rewriter.rule.cluster().live_counters().passed_table, 1)
                    }
                    Some(kind) if !self.expects_list(kind) => {
                        return Err("a list of another kind than the request asked for");
                    }
                    None if !end.has_items => {
                        return Err("expected a list: an object with `kind` or `items`");
                    }
                    _ => {}
                }
                let Processor::Rewrite(rewriter) = self else { return Ok(()) };
                if let Some(recorder) = &mut rewriter.facts {
                    recorder.list_ended(end);
                }
                if let Some(session) = &mut rewriter.session {
                    session.list_ended(
                        Version::parse(end.resource_version),
                        end.continues,
                        &rewriter.rule,
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
        if let Some(Rewriter { rule, outline, edit, session: Some(session), .. }) = self.rewriter()
        {
            session.emit_due(rule, outline, edit, out);
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
        matches!(self, Processor::Rewrite(rewriter) if rewriter.kind == SubjectKind::Service)
    }

    /// Whether one item of a list may become larger: the one that has a namespace and name of its
    /// own.
    pub(super) fn may_grow(&self) -> bool {
        matches!(self, Processor::Rewrite(rewriter) if rewriter.rule.may_grow())
    }

    /// Emits the items that were held back.
    pub(super) fn release(&mut self, give: impl FnMut(&[u8], &Edit)) -> Result<(), Fault> {
        match self.rewriter() {
            Some(Rewriter { rule, outline, edit, session: Some(session), .. }) => {
                session.release(rule, outline, edit, give)
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
            Processor::Rewrite(rewriter) => rewriter.outline.object_name(item.buf),
            Processor::ReadFacts(_) | Processor::Collect(_) => None,
        }
    }
}

/// Filters objects of one kind for one node.
pub(super) struct Rewriter {
    pub(super) kind: SubjectKind,
    pub(super) rule: Rules,
    /// The objects are facts, too.
    facts: Option<Box<FactRecorder>>,
    /// The body is one object.
    single: bool,
    pub(super) outline: Outline,
    edit: Edit,
    /// The session of the client, unless the stream is stateless.
    pub(super) session: Option<Box<ClientSession>>,
}

impl Rewriter {
    pub(super) fn new(
        rule: Rules,
        single: bool,
        facts: Option<FactRecorder>,
        session: Option<ClientSession>,
    ) -> Rewriter {
        let config = rule.cluster().config();
        let outline = Outline::new(config.limits.endpoints, config.topology_fallback);
        let (kind, facts, session) = (rule.kind(), facts.map(Box::new), session.map(Box::new));
        Rewriter { kind, rule, facts, single, outline, edit: Edit::default(), session }
    }

    fn take(&mut self, item: &Item<'_>) -> Result<Disposition<'_>, Fault> {
        match (item.event, &mut self.session) {
            (Event::Bookmark, Some(session)) => {
                session.bookmark(item, self.rule.cluster());
                return Ok(Disposition::Keep);
            }
            (Event::Error, Some(session)) => {
                session.error();
                return Ok(Disposition::Keep);
            }
            (Event::Bookmark | Event::Error, None) => return Ok(Disposition::Keep),
            _ => {}
        }
        let is_whole = self.read(item)?;
        let Rewriter { kind, rule, outline, edit, session, single, .. } = self;
        let decision = match session {
            Some(session) if is_whole => session.object(rule, outline, edit, item)?,
            Some(session) => {
                session.passed(item.event, version_of(outline, item.buf), rule.cluster());
                Decision::Keep
            }
            None if is_whole => {
                let judged = rule.judge(item.buf, item.object, outline, edit, |_, _, _| {
                    UsableSteps::default()
                })?;
                rule.count(&judged);
                match item.event {
                    // The client's copies are unknown here, except that it had nothing of an object
                    // that is new.
                    Event::Modified if judged.filtered_out => Decision::Emit(EventType::Deleted),
                    Event::Deleted if judged.filtered_out => Decision::Keep,
                    Event::None if judged.filtered_out && *single => {
                        let name = outline.optional_text(item.buf, outline.name);
                        let answer =
                            not_found(*kind, &String::from_utf8_lossy(&name), item.encoding);
                        return Ok(Disposition::Substitute(answer));
                    }
                    _ if judged.filtered_out => Decision::Drop,
                    _ if judged.changes => Decision::Edit,
                    _ => Decision::Keep,
                }
            }
            None => Decision::Keep,
        };
        Ok(match decision {
            Decision::Keep => Disposition::Keep,
            Decision::Edit => Disposition::Edit(edit),
            Decision::Emit(event_type) => Disposition::Emit(event_type, *kind, edit),
            Decision::Drop => Disposition::Drop,
        })
    }

    /// Reads an object into the outline. False: it is of a kind without what the rules are about,
    /// and may pass.
    fn read(&mut self, item: &Item<'_>) -> Result<bool, Fault> {
        let (buf, outline) = (item.buf, &mut self.outline);
        outline.clear(item.encoding == Encoding::Json);
        let (kind, api_version) = match item.encoding {
            Encoding::Json => {
                outline_json(self.kind, buf, item.marks, outline)?;
                (
                    outline.optional_text(buf, outline.kind),
                    outline.optional_text(buf, outline.api_version),
                )
            }
            Encoding::Protobuf => (item.kind.into(), item.api_version.into()),
        };
        if item.encoding == Encoding::Protobuf && *kind == *PARTIAL_OBJECT_METADATA.as_bytes() {
            outline_protobuf(self.kind, buf, item.object, outline)?;
        }
        let bare = outline.endpoints.is_empty()
            && outline.subsets.is_empty()
            && outline.service_type.is_none();
        match &*kind {
            kind if kind == self.kind.kind().as_bytes() || kind.is_empty() => {}
            // An object that has endpoints although its kind has none is refused below.
            kind if bare && kind == PARTIAL_OBJECT_METADATA.as_bytes() => {
                count(&self.rule.cluster().live_counters().passed_metadata_only, 1);
                return Ok(false);
            }
            b"Table" if bare => {
                count(&self.rule.cluster().live_counters().passed_table, 1);
                return Ok(false);
            }
            // An answer about the request instead of the object asked for.
            b"Status" if bare => return Ok(false),
            _ => return Err(self.other_kind(item)),
        }
        if !api_version.is_empty() && *api_version != *self.kind.api_version().as_bytes() {
            return Err(self.other_kind(item));
        }
        if item.encoding == Encoding::Protobuf {
            outline_protobuf(self.kind, buf, item.object, outline)?;
        }
        Ok(true)
    }

    fn other_kind(&self, item: &Item<'_>) -> Fault {
        let what = "an object of another kind or apiVersion than the request asked for";
        match item.encoding {
            Encoding::Json => Fault::json(item.object.start, what),
            Encoding::Protobuf => Fault::protobuf(item.object.start, what),
        }
    }
}

//! How units of a stream are processed: filtered, read as facts, or collected.

use super::event::Tells;
use super::follow::{Follow, Told, version_of};
use super::learner::Learner;
use super::status::not_found;
use super::unit::{Event, ListEnd, Unit};
use crate::cluster::counters::count;
use crate::error::Fault;
use crate::object::metadata::PARTIAL_OBJECT_METADATA;
use crate::object::outline::{EVENT_SHAPE, Outline, name_in};
use crate::object::version::Version;
use crate::object::{SubjectKind, outline_json, outline_protobuf};
use crate::rewrite::Rules;
use crate::topology::ladder::Usable;
use crate::wire::encoding::Encoding;
use crate::wire::json::Shape;
use crate::wire::splice::{Edit, Output};

/// How units of a stream are processed.
pub(super) enum Role {
    /// Their endpoints are filtered.
    Filter(Box<Filter>),
    /// They teach; their bytes pass as they are.
    Learn(Box<Learner>),
    /// Their objects are wanted, nothing passes.
    Collect(Vec<Vec<u8>>),
}

/// The decision on a unit.
pub(super) enum Taken<'a> {
    Passes,
    /// The object's bytes change so.
    Changes(&'a Edit),
    /// It becomes another event, and its object's bytes change so.
    Says(Tells, SubjectKind, &'a Edit),
    /// Something else stands in its place.
    Answers(Vec<u8>),
    /// It is not given, or not here.
    Drops,
}

impl Role {
    /// Returns the fields to find in a JSON item or object.
    pub(super) fn item_shape(&self) -> Shape {
        match self {
            Role::Filter(filter) => filter.kind.shape(filter.outline.wants_conditions()),
            Role::Learn(_) | Role::Collect(_) => Shape::SKIP,
        }
    }

    /// Returns the fields to find in a JSON watch event.
    pub(super) fn event_shape(&self) -> Shape {
        match self {
            Role::Filter(filter) => filter.kind.event_shape(filter.outline.wants_conditions()),
            Role::Learn(_) | Role::Collect(_) => EVENT_SHAPE,
        }
    }

    /// The kind that the objects should say they are.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Role::Filter(filter) => filter.kind.kind(),
            Role::Learn(learner) => learner.kind().kind(),
            Role::Collect(_) => "",
        }
    }

    /// Takes a unit.
    pub(super) fn take(&mut self, unit: &Unit<'_>) -> Result<Taken<'_>, Fault> {
        match self {
            Role::Filter(filter) => {
                if let Some(learner) = &mut filter.teaches {
                    learner.take(unit);
                }
                filter.take(unit)
            }
            Role::Learn(learner) => {
                learner.take(unit);
                Ok(Taken::Passes)
            }
            Role::Collect(objects) => {
                objects.push(unit.object_bytes().to_vec());
                Ok(Taken::Passes)
            }
        }
    }

    /// Whether a list of this kind may come as the answer.
    pub(super) fn expects_list(&self, kind: &[u8]) -> bool {
        match self {
            Role::Filter(filter) => {
                let item = kind.strip_suffix(b"List").unwrap_or_default();
                let bare = matches!(kind, b"Table" | b"Status")
                    || item == PARTIAL_OBJECT_METADATA.as_bytes();
                bare || item == filter.kind.kind().as_bytes()
            }
            // A list that states no facts is forwarded too.
            Role::Learn(_) | Role::Collect(_) => true,
        }
    }

    /// The last item of a list was taken. Errors: what was wrong with the list.
    pub(super) fn list_ended(&mut self, end: &ListEnd<'_>) -> Result<(), &'static str> {
        match self {
            Role::Filter(filter) => {
                match end.kind {
                    Some(b"Table") => count(&filter.rule.cluster().tally().passed_table, 1),
                    Some(kind) if !self.expects_list(kind) => {
                        return Err("a list of another kind than the request asked for");
                    }
                    None if !end.has_items => {
                        return Err("expected a list: an object with `kind` or `items`");
                    }
                    _ => {}
                }
                let Role::Filter(filter) = self else { return Ok(()) };
                if let Some(learner) = &mut filter.teaches {
                    learner.list_ended(end);
                }
                if let Some(follow) = &mut filter.follow {
                    follow.list_ended(
                        Version::parse(end.resource_version),
                        end.continues,
                        &filter.rule,
                    );
                }
            }
            Role::Learn(learner) => learner.list_ended(end),
            Role::Collect(_) => {}
        }
        Ok(())
    }

    /// The client that is followed, with what is needed to tell it something.
    pub(super) fn filter(&mut self) -> Option<&mut Filter> {
        match self {
            Role::Filter(filter) => Some(filter),
            Role::Learn(_) | Role::Collect(_) => None,
        }
    }

    pub(super) fn follow(&self) -> Option<&Follow> {
        match self {
            Role::Filter(filter) => filter.follow.as_deref(),
            Role::Learn(_) | Role::Collect(_) => None,
        }
    }

    pub(super) fn follow_mut(&mut self) -> Option<&mut Follow> {
        self.filter()?.follow.as_deref_mut()
    }

    /// Whether something is to be said before `next` passes, or now if nothing comes.
    pub(super) fn due(&self, next: Option<&Unit<'_>>) -> bool {
        self.follow().is_some_and(|follow| follow.due(next))
    }

    /// Says what is due.
    pub(super) fn speak(&mut self, out: &mut Output<'_>) {
        if let Some(Filter { rule, outline, edit, follow: Some(follow), .. }) = self.filter() {
            follow.speak(rule, outline, edit, out);
        }
    }

    /// Whether the stream has ended itself.
    pub(super) fn is_expired(&self) -> bool {
        self.follow().is_some_and(|follow| follow.expired)
    }

    /// Whether items may be held back to the end of a list.
    pub(super) fn holds_back(&self) -> bool {
        self.follow().is_some_and(Follow::holds_back)
    }

    /// Whether items may be left out of a list.
    pub(super) fn may_leave_out(&self) -> bool {
        matches!(self, Role::Filter(filter) if filter.kind == SubjectKind::Service)
    }

    /// Whether one item of a list may become larger: the one that has a namespace and name of its
    /// own.
    pub(super) fn may_grow(&self) -> bool {
        matches!(self, Role::Filter(filter) if filter.rule.may_grow())
    }

    /// Gives the items that were held back.
    pub(super) fn release(&mut self, give: impl FnMut(&[u8], &Edit)) -> Result<(), Fault> {
        match self.filter() {
            Some(Filter { rule, outline, edit, follow: Some(follow), .. }) => {
                follow.release(rule, outline, edit, give)
            }
            _ => Ok(()),
        }
    }

    /// The name of an object that could not be taken, as far as it was read, for messages.
    pub(super) fn name_of(&self, unit: &Unit<'_>) -> Option<Box<str>> {
        match self {
            Role::Filter(_) if unit.encoding == Encoding::Json => name_in(unit.buf, unit.marks),
            Role::Filter(filter) => filter.outline.object_name(unit.buf),
            Role::Learn(_) | Role::Collect(_) => None,
        }
    }
}

/// Filters objects of one kind for one node.
pub(super) struct Filter {
    pub(super) kind: SubjectKind,
    pub(super) rule: Rules,
    /// The objects teach, too.
    teaches: Option<Box<Learner>>,
    /// The body is one object.
    single: bool,
    pub(super) outline: Outline,
    edit: Edit,
    /// The client whose stream it is, if what it is told is remembered.
    pub(super) follow: Option<Box<Follow>>,
}

impl Filter {
    pub(super) fn new(
        rule: Rules,
        single: bool,
        teaches: Option<Learner>,
        follow: Option<Follow>,
    ) -> Filter {
        let config = rule.cluster().config();
        let outline = Outline::new(config.limits.endpoints, config.ladders);
        let (kind, teaches, follow) = (rule.kind(), teaches.map(Box::new), follow.map(Box::new));
        Filter { kind, rule, teaches, single, outline, edit: Edit::default(), follow }
    }

    fn take(&mut self, unit: &Unit<'_>) -> Result<Taken<'_>, Fault> {
        match (unit.event, &mut self.follow) {
            (Event::Bookmark, Some(follow)) => {
                follow.bookmark(unit, self.rule.cluster());
                return Ok(Taken::Passes);
            }
            (Event::Error, Some(follow)) => {
                follow.error();
                return Ok(Taken::Passes);
            }
            (Event::Bookmark | Event::Error, None) => return Ok(Taken::Passes),
            _ => {}
        }
        let is_whole = self.read(unit)?;
        let Filter { kind, rule, outline, edit, follow, single, .. } = self;
        let told = match follow {
            Some(follow) if is_whole => follow.object(rule, outline, edit, unit)?,
            Some(follow) => {
                follow.passed(unit.event, version_of(outline, unit.buf), rule.cluster());
                Told::AsItIs
            }
            None if is_whole => {
                let judged =
                    rule.judge(unit.buf, unit.object, outline, edit, |_, _, _| Usable::default())?;
                rule.tell(&judged);
                match unit.event {
                    // The client's copies are unknown here, except that it had nothing of an object
                    // that is new.
                    Event::Modified if judged.hidden => Told::Says(Tells::Deleted),
                    Event::Deleted if judged.hidden => Told::AsItIs,
                    Event::None if judged.hidden && *single => {
                        let name = outline.optional_text(unit.buf, outline.name);
                        let answer =
                            not_found(*kind, &String::from_utf8_lossy(&name), unit.encoding);
                        return Ok(Taken::Answers(answer));
                    }
                    _ if judged.hidden => Told::Not,
                    _ if judged.changes => Told::Edited,
                    _ => Told::AsItIs,
                }
            }
            None => Told::AsItIs,
        };
        Ok(match told {
            Told::AsItIs => Taken::Passes,
            Told::Edited => Taken::Changes(edit),
            Told::Says(tells) => Taken::Says(tells, *kind, edit),
            Told::Not => Taken::Drops,
        })
    }

    /// Reads an object into the outline. False: it is of a kind without what the rules are about,
    /// and may pass.
    fn read(&mut self, unit: &Unit<'_>) -> Result<bool, Fault> {
        let (buf, outline) = (unit.buf, &mut self.outline);
        outline.clear(unit.encoding == Encoding::Json);
        let (kind, api_version) = match unit.encoding {
            Encoding::Json => {
                outline_json(self.kind, buf, unit.marks, outline)?;
                (
                    outline.optional_text(buf, outline.kind),
                    outline.optional_text(buf, outline.api_version),
                )
            }
            Encoding::Protobuf => (unit.kind.into(), unit.api_version.into()),
        };
        if unit.encoding == Encoding::Protobuf && *kind == *PARTIAL_OBJECT_METADATA.as_bytes() {
            outline_protobuf(self.kind, buf, unit.object, outline)?;
        }
        let bare = outline.endpoints.is_empty()
            && outline.subsets.is_empty()
            && outline.service_type.is_none();
        match &*kind {
            kind if kind == self.kind.kind().as_bytes() || kind.is_empty() => {}
            // An object that has endpoints although its kind has none is refused below.
            kind if bare && kind == PARTIAL_OBJECT_METADATA.as_bytes() => {
                count(&self.rule.cluster().tally().passed_metadata_only, 1);
                return Ok(false);
            }
            b"Table" if bare => {
                count(&self.rule.cluster().tally().passed_table, 1);
                return Ok(false);
            }
            // An answer about the request instead of the object asked for.
            b"Status" if bare => return Ok(false),
            _ => return Err(self.other_kind(unit)),
        }
        if !api_version.is_empty() && *api_version != *self.kind.api_version().as_bytes() {
            return Err(self.other_kind(unit));
        }
        if unit.encoding == Encoding::Protobuf {
            outline_protobuf(self.kind, buf, unit.object, outline)?;
        }
        Ok(true)
    }

    fn other_kind(&self, unit: &Unit<'_>) -> Fault {
        let what = "an object of another kind or apiVersion than the request asked for";
        match unit.encoding {
            Encoding::Json => Fault::json(unit.object.start, what),
            Encoding::Protobuf => Fault::protobuf(unit.object.start, what),
        }
    }
}

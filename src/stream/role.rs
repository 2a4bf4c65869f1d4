//! What is done with the units of a stream: they are filtered, or they teach.

use super::learner::Learner;
use super::unit::{Event, ListEnd, Unit};
use crate::cluster::counters::count;
use crate::error::Fault;
use crate::object::metadata::PARTIAL_OBJECT_METADATA;
use crate::object::outline::{EVENT_SHAPE, Outline, name_in};
use crate::object::{SubjectKind, endpoint_slice, endpoints};
use crate::rewrite::service_topology::ServiceTopology;
use crate::wire::encoding::Encoding;
use crate::wire::json::Shape;
use crate::wire::splice::Edit;

/// What is done with the units of a stream.
pub(super) enum Role {
    /// Their endpoints are filtered.
    Filter(Box<Filter>),
    /// They teach; their bytes pass as they are.
    Learn(Box<Learner>),
}

impl Role {
    /// What to find in a JSON item or object.
    pub(super) fn item_shape(&self) -> Shape {
        match self {
            Role::Filter(filter) => filter.kind.shape(),
            Role::Learn(_) => Shape::SKIP,
        }
    }

    /// What to find in a JSON watch event.
    pub(super) fn event_shape(&self) -> Shape {
        match self {
            Role::Filter(filter) => filter.kind.event_shape(),
            Role::Learn(_) => EVENT_SHAPE,
        }
    }

    /// The kind that the objects should say they are.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Role::Filter(filter) => filter.kind.kind(),
            Role::Learn(learner) => learner.kind().kind(),
        }
    }

    /// Takes a unit. Some: the object's bytes change so.
    pub(super) fn take(&mut self, unit: &Unit<'_>) -> Result<Option<&Edit>, Fault> {
        match self {
            Role::Filter(filter) => filter.take(unit),
            Role::Learn(learner) => {
                learner.take(unit);
                Ok(None)
            }
        }
    }

    /// Whether a list of this kind may come as the answer.
    pub(super) fn expects_list(&self, kind: &[u8]) -> bool {
        match self {
            Role::Filter(filter) => {
                let item = kind.strip_suffix(b"List").unwrap_or_default();
                let bare = matches!(kind, b"Table" | b"Status") || item == PARTIAL_OBJECT_METADATA.as_bytes();
                bare || item == filter.kind.kind().as_bytes()
            }
            // What teaches nothing is passed on all the same.
            Role::Learn(_) => true,
        }
    }

    /// The last item of a list was taken. Errors: what was wrong with the list.
    pub(super) fn list_ended(&mut self, end: &ListEnd<'_>) -> Result<(), &'static str> {
        match self {
            Role::Filter(filter) => match end.kind {
                Some(b"Table") => count(&filter.rule.cluster().tally().passed_table, 1),
                Some(kind) if !self.expects_list(kind) => return Err("a list of another kind than the request asked for"),
                None if !end.has_items => return Err("expected a list: an object with `kind` or `items`"),
                _ => {}
            },
            Role::Learn(learner) => learner.list_ended(end),
        }
        Ok(())
    }

    /// The name of an object that could not be taken, as far as it was read, for messages.
    pub(super) fn name_of(&self, unit: &Unit<'_>) -> Option<Box<str>> {
        match self {
            Role::Filter(_) if unit.encoding == Encoding::Json => name_in(unit.buf, unit.marks),
            Role::Filter(filter) => filter.outline.object_name(unit.buf),
            Role::Learn(_) => None,
        }
    }
}

/// Filters the endpoints of one kind for one node.
pub(super) struct Filter {
    kind: SubjectKind,
    rule: ServiceTopology,
    outline: Outline,
    edit: Edit,
}

impl Filter {
    pub(super) fn new(kind: SubjectKind, rule: ServiceTopology) -> Filter {
        let max_endpoints = rule.cluster().config().limits.endpoints;
        Filter { kind, rule, outline: Outline::new(max_endpoints), edit: Edit::default() }
    }

    fn take(&mut self, unit: &Unit<'_>) -> Result<Option<&Edit>, Fault> {
        if matches!(unit.event, Event::Bookmark | Event::Error) {
            return Ok(None);
        }
        let (buf, outline) = (unit.buf, &mut self.outline);
        outline.clear(unit.encoding == Encoding::Json);
        let (kind, api_version) = match unit.encoding {
            Encoding::Json => {
                match self.kind {
                    SubjectKind::EndpointSlice | SubjectKind::EndpointSliceBeta => endpoint_slice::outline_json(buf, unit.marks, outline)?,
                    SubjectKind::Endpoints => endpoints::outline_json(buf, unit.marks, outline)?,
                }
                (outline.optional_text(buf, outline.kind), outline.optional_text(buf, outline.api_version))
            }
            Encoding::Protobuf => (unit.kind.into(), unit.api_version.into()),
        };
        if unit.encoding == Encoding::Protobuf && *kind == *PARTIAL_OBJECT_METADATA.as_bytes() {
            outline_protobuf(self.kind, unit, outline)?;
        }
        let bare = outline.endpoints.is_empty() && outline.subsets.is_empty();
        match &*kind {
            kind if kind == self.kind.kind().as_bytes() || kind.is_empty() => {}
            // What calls itself something without endpoints, and has some, is refused below.
            kind if bare && kind == PARTIAL_OBJECT_METADATA.as_bytes() => {
                count(&self.rule.cluster().tally().passed_metadata_only, 1);
                return Ok(None);
            }
            b"Table" if bare => {
                count(&self.rule.cluster().tally().passed_table, 1);
                return Ok(None);
            }
            // An answer about the request instead of the object asked for.
            b"Status" if bare => return Ok(None),
            _ => return Err(self.other_kind(unit)),
        }
        if !api_version.is_empty() && *api_version != *self.kind.api_version().as_bytes() {
            return Err(self.other_kind(unit));
        }
        if unit.encoding == Encoding::Protobuf {
            outline_protobuf(self.kind, unit, outline)?;
        }
        Ok(self.rule.rewrite(buf, &self.outline, &mut self.edit).then_some(&self.edit))
    }

    fn other_kind(&self, unit: &Unit<'_>) -> Fault {
        let what = "an object of another kind or apiVersion than the request asked for";
        match unit.encoding {
            Encoding::Json => Fault::json(unit.object.start, what),
            Encoding::Protobuf => Fault::protobuf(unit.object.start, what),
        }
    }
}

fn outline_protobuf(kind: SubjectKind, unit: &Unit<'_>, outline: &mut Outline) -> Result<(), Fault> {
    match kind {
        SubjectKind::EndpointSlice | SubjectKind::EndpointSliceBeta => {
            endpoint_slice::outline_protobuf(unit.buf, unit.object, kind, outline)
        }
        SubjectKind::Endpoints => endpoints::outline_protobuf(unit.buf, unit.object, outline),
    }
}

//! Evaluates objects: fields, rules, filtered form and digest, for passing events, held slices and
//! pending events alike.

use std::borrow::Cow;

use super::disposition::Content;
use super::item::Item;
use crate::client_state::{ClientState, Observed, SentForm};
use crate::cluster::Cluster;
use crate::cluster::counters::count;
use crate::error::Fault;
use crate::object::key::ObjectKey;
use crate::object::metadata::PARTIAL_OBJECT_METADATA;
use crate::object::outline::{Outline, VersionPlace};
use crate::object::version::Version;
use crate::object::{SubjectKind, outline_json, outline_object, outline_protobuf};
use crate::rewrite::{Judged, Rules};
use crate::topology::Members;
use crate::topology::fallback::UsableSteps;
use crate::wire::Span;
use crate::wire::encoding::Encoding;
use crate::wire::json::{Scanner, Shape};
use crate::wire::splice::Edit;

/// Evaluates the objects of one kind for one client. One object at a time: `read_item` or
/// `read_object` finds its fields, `evaluate` applies the rules, and the other methods are about
/// that object until the next one is read. Buffers are kept from object to object.
pub(super) struct Evaluator {
    rules: Rules,
    outline: Outline,
    edit: Edit,
    /// Reads whole objects.
    scanner: Scanner,
    key: ObjectKey,
    form: Vec<u8>,
}

/// The result of the rules for one object.
pub(super) struct Evaluation {
    pub(super) judged: Judged,
    /// The address family that a topology fallback is decided for. Endpoints have but one.
    family: u8,
}

impl Evaluation {
    /// Returns the object's content for the client.
    pub(super) fn content(&self) -> Content {
        if self.judged.filtered_out {
            Content::Drop
        } else if self.judged.changes {
            Content::Edit
        } else {
            Content::Keep
        }
    }
}

impl Evaluator {
    pub(super) fn new(rules: Rules) -> Evaluator {
        let (config, kind) = (rules.cluster().config(), rules.kind());
        let (limits, shape) = (config.limits, kind.shape(rules.topology_fallback()));
        Evaluator {
            outline: Outline::new(limits.endpoints, config.topology_fallback),
            edit: Edit::default(),
            scanner: Scanner::new(shape, limits.depth, limits.endpoints),
            key: ObjectKey::default(),
            form: Vec::new(),
            rules,
        }
    }

    pub(super) fn kind(&self) -> SubjectKind {
        self.rules.kind()
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(super) fn rules_mut(&mut self) -> &mut Rules {
        &mut self.rules
    }

    pub(super) fn cluster(&self) -> &Cluster {
        self.rules.cluster()
    }

    /// The edit of the object.
    pub(super) fn edit(&self) -> &Edit {
        &self.edit
    }

    /// Returns the fields to find in a JSON item or object.
    pub(super) fn item_shape(&self) -> Shape {
        self.kind().shape(self.outline.wants_conditions())
    }

    /// Returns the fields to find in a JSON watch event.
    pub(super) fn event_shape(&self) -> Shape {
        self.kind().event_shape(self.outline.wants_conditions())
    }

    /// Reads the fields of an item. `false`: it is of a kind that the rules are not about, and is
    /// forwarded.
    pub(super) fn read_item(&mut self, item: &Item<'_>) -> Result<bool, Fault> {
        let (buf, subject, outline) = (item.buf, self.rules.kind(), &mut self.outline);
        outline.clear(item.encoding == Encoding::Json);
        let (kind, api_version) = match item.encoding {
            Encoding::Json => {
                outline_json(subject, buf, item.marks, outline)?;
                (
                    outline.optional_text(buf, outline.kind),
                    outline.optional_text(buf, outline.api_version),
                )
            }
            Encoding::Protobuf => (item.kind.into(), item.api_version.into()),
        };
        if item.encoding == Encoding::Protobuf && *kind == *PARTIAL_OBJECT_METADATA.as_bytes() {
            outline_protobuf(subject, buf, item.object, outline)?;
        }
        let bare = outline.endpoints.is_empty()
            && outline.subsets.is_empty()
            && outline.service_type.is_none();
        match &*kind {
            kind if kind == subject.kind().as_bytes() || kind.is_empty() => {}
            // An object that has endpoints although its kind has none is refused below.
            kind if bare && kind == PARTIAL_OBJECT_METADATA.as_bytes() => {
                count(&self.rules.cluster().live_counters().passed_metadata_only, 1);
                return Ok(false);
            }
            b"Table" if bare => {
                count(&self.rules.cluster().live_counters().passed_table, 1);
                return Ok(false);
            }
            // A response about the request instead of the object asked for.
            b"Status" if bare => return Ok(false),
            _ => return Err(other_kind(item)),
        }
        if !api_version.is_empty() && *api_version != *subject.api_version().as_bytes() {
            return Err(other_kind(item));
        }
        if item.encoding == Encoding::Protobuf {
            outline_protobuf(subject, buf, item.object, outline)?;
        }
        Ok(true)
    }

    /// Reads the fields of a whole object.
    pub(super) fn read_object(&mut self, object: &[u8], encoding: Encoding) -> Result<(), Fault> {
        outline_object(self.rules.kind(), &mut self.scanner, object, encoding, &mut self.outline)
    }

    /// Reads the key of the object in `buf`, and returns `false` if it has no name.
    pub(super) fn key(&mut self, buf: &[u8]) -> bool {
        let name = self.outline.optional_text(buf, self.outline.name);
        self.key.set(&self.outline.optional_text(buf, self.outline.namespace), &name);
        !name.is_empty()
    }

    /// Returns the key that was read last.
    pub(super) fn last_key(&self) -> &ObjectKey {
        &self.key
    }

    pub(super) fn name(&self, buf: &[u8]) -> String {
        let name = self.outline.optional_text(buf, self.outline.name);
        String::from_utf8_lossy(&name).into_owned()
    }

    /// The name of an object that could not be read, as far as it was, for messages.
    pub(super) fn object_name(&self, buf: &[u8]) -> Option<Box<str>> {
        self.outline.object_name(buf)
    }

    pub(super) fn version(&self, buf: &[u8]) -> Version {
        let place = self.outline.version;
        let text = place.and_then(|place| std::str::from_utf8(place.text.of(buf)).ok());
        text.map_or(Version::default(), Version::parse)
    }

    /// Applies the rules to an object without looking at its siblings.
    pub(super) fn evaluate_alone(&mut self, item: &Item<'_>) -> Result<Evaluation, Fault> {
        self.apply(item, self.family(item.buf), |_, _, _| UsableSteps::default())
    }

    /// Applies the rules to an object; with a topology fallback beside its siblings in the client
    /// state, in which the object itself is `known`.
    pub(super) fn evaluate(
        &mut self,
        item: &Item<'_>,
        client_state: &mut ClientState,
        known: Option<u32>,
    ) -> Result<Evaluation, Fault> {
        let family = self.family(item.buf);
        self.apply(item, family, |service, own, members| {
            client_state.usable_steps_of(service, family, known, own, members)
        })
    }

    fn apply(
        &mut self,
        item: &Item<'_>,
        family: u8,
        siblings: impl FnOnce(&[u8], &[u8], Option<&Members>) -> UsableSteps,
    ) -> Result<Evaluation, Fault> {
        let Evaluator { rules, outline, edit, .. } = self;
        let judged = rules.judge(item.buf, item.object, outline, edit, siblings)?;
        Ok(Evaluation { judged, family })
    }

    fn family(&self, buf: &[u8]) -> u8 {
        match &*self.outline.optional_text(buf, self.outline.address_type) {
            b"IPv4" => 4,
            b"IPv6" => 6,
            _ => 0,
        }
    }

    /// Counts an object that was evaluated and is emitted, or would be if it were visible.
    pub(super) fn count(&self, evaluation: &Evaluation) {
        self.rules.count(&evaluation.judged);
    }

    /// Records the object, which is at `version`, in the client state, and returns its number.
    pub(super) fn observe(
        &self,
        buf: &[u8],
        version: Version,
        evaluation: &Evaluation,
        client_state: &mut ClientState,
    ) -> u32 {
        // Where nodes cannot matter they are not recorded.
        let places = self.rules.topology_fallback() || evaluation.judged.keys.asks_for_pool();
        let endpoints = if places { &*self.outline.endpoints } else { &[] };
        let endpoints = endpoints
            .iter()
            .map(|endpoint| (endpoint.node().map(|node| node.of(buf)), endpoint.condition));
        client_state.observe(Observed {
            name: &self.key,
            service: self.rules.service_key(),
            family: evaluation.family,
            version,
            endpoints,
            resolve: |node| self.outline.resolve(node),
        })
    }

    /// Returns the filtered form: a digest of the object after the cuts, without the fields that
    /// mean nothing to a proxy ([`Outline::silent`]).
    pub(super) fn form(
        &mut self,
        item: &Item<'_>,
        object: &WatchForm<'_>,
        evaluation: &Evaluation,
        client_state: &ClientState,
    ) -> SentForm {
        if evaluation.judged.filtered_out {
            return SentForm::Absent;
        }
        self.form.clear();
        self.form.extend_from_slice(&object.head);
        let tail = Span::new(item.object.end - object.tail.len(), item.object.end);
        self.edit.gather(item.buf, tail, &self.outline.silent, &mut self.form);
        SentForm::Present(client_state.digest(&self.form))
    }

    /// Returns the object as it stands in a watch event.
    pub(super) fn watch_form<'a>(&self, item: &Item<'a>) -> WatchForm<'a> {
        WatchForm::of(self.kind(), item, &self.outline)
    }

    /// Writes another version into the object.
    pub(super) fn stamp(&mut self, stamp: Version) {
        if let Some(place) = self.outline.version {
            write_stamp(&mut self.edit, place, stamp);
        }
    }
}

fn other_kind(item: &Item<'_>) -> Fault {
    let what = "an object of another kind or apiVersion than the request asked for";
    match item.encoding {
        Encoding::Json => Fault::json(item.object.start, what),
        Encoding::Protobuf => Fault::protobuf(item.object.start, what),
    }
}

/// An object as it stands in a watch event: items of lists leave out kind and apiVersion (B3), so
/// that they are put before.
pub(super) struct WatchForm<'a> {
    pub(super) head: Cow<'static, [u8]>,
    pub(super) tail: &'a [u8],
}

impl<'a> WatchForm<'a> {
    fn of(kind: SubjectKind, item: &Item<'a>, outline: &Outline) -> WatchForm<'a> {
        let object = item.object_bytes();
        let mut head = String::new();
        if item.encoding == Encoding::Json {
            if outline.kind.is_none() {
                head += &format!(r#""kind":"{}","#, kind.kind());
            }
            if outline.api_version.is_none() {
                head += &format!(r#""apiVersion":"{}","#, kind.api_version());
            }
        }
        if head.is_empty() {
            return WatchForm { head: Cow::Borrowed(b""), tail: object };
        }
        WatchForm { head: format!("{{{head}").into_bytes().into(), tail: &object[1..] }
    }

    pub(super) fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// The whole object.
    pub(super) fn concat(&self) -> Vec<u8> {
        [&self.head, self.tail].concat()
    }
}

/// Writes another version into an object.
fn write_stamp(edit: &mut Edit, place: VersionPlace, stamp: Version) {
    let stamp = stamp.to_string();
    let Some((length, metadata_length, metadata)) = place.lengths else {
        return edit.replace(place.text, stamp.as_bytes());
    };
    let mut text = vec![stamp.len() as u8];
    text.extend_from_slice(stamp.as_bytes());
    let before = Span::new(length.start, place.text.end);
    edit.replace_length(metadata_length, metadata.len() - before.len() + text.len());
    edit.replace(before, &text);
}

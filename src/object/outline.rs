//! The outline of one object: where its names are, its endpoints, and what else the rules look at.

use std::borrow::Cow;

use crate::error::Fault;
use crate::topology::fallback::Condition;
use crate::wire::json::{Mark, Shape};
use crate::wire::text::{has_backslash, unescape};
use crate::wire::{PackedSpan, Span};

/// Numbers under which the shapes of this room report values. [`Outline::header_mark`] reads those
/// of the header.
pub(super) mod id {
    pub(crate) const EVENT_TYPE: u8 = 1;
    pub(crate) const OBJECT: u8 = 2;
    pub(crate) const KIND: u8 = 3;
    pub(crate) const API_VERSION: u8 = 4;
    pub(crate) const NAME: u8 = 5;
    pub(crate) const NAMESPACE: u8 = 6;
    pub(crate) const LABELS: u8 = 7;
    pub(crate) const SERVICE_NAME: u8 = 8;
    pub(crate) const NODE: u8 = 9;
    pub(crate) const TOPOLOGY: u8 = 10;
    pub(crate) const ENDPOINT: u8 = 11;
    pub(crate) const ENDPOINTS: u8 = 12;
    pub(crate) const SUBSET: u8 = 13;
    pub(crate) const SUBSETS: u8 = 14;
    pub(crate) const RESOURCE_VERSION: u8 = 15;
    pub(crate) const SILENT: u8 = 16;
    pub(crate) const ADDRESS_TYPE: u8 = 17;
    pub(crate) const CONDITIONS: u8 = 18;
    pub(crate) const READY: u8 = 19;
    pub(crate) const SERVING: u8 = 20;
    pub(crate) const TERMINATING: u8 = 21;
    pub(crate) const NOT_READY: u8 = 22;
    pub(crate) const ANNOTATIONS: u8 = 23;
    pub(crate) const LISTEN: u8 = 24;
    pub(crate) const DISCARD: u8 = 25;
    pub(crate) const SPEC: u8 = 26;
    pub(crate) const SERVICE_TYPE: u8 = 27;
}

/// Returns `namespace/name` of a broken object as far as its marks have it, for messages.
pub(crate) fn name_in(buf: &[u8], marks: &[Mark]) -> Option<Box<str>> {
    let mut outline = Outline::new(0, false);
    outline.clear(true);
    for &mark in marks.iter().filter(|mark| matches!(mark.id, id::NAME | id::NAMESPACE)) {
        outline.header_mark(buf, mark).ok()?;
    }
    outline.object_name(buf)
}

/// The members of a JSON watch event whose object has the given shape.
macro_rules! event {
    ($object:expr) => {{
        const MEMBERS: &[(&str, $crate::wire::json::Shape)] =
            &[("type", $crate::object::outline::EVENT_TYPE), ("object", $object)];
        MEMBERS
    }};
}
pub(crate) use event;

/// The shape of an object of which the header and these members matter.
macro_rules! object {
    ($($member:literal: $shape:expr),+) => {{
        const MEMBERS: &[(&str, $crate::wire::json::Shape)] = &[
            $crate::object::outline::KIND,
            $crate::object::outline::API_VERSION,
            $crate::object::outline::METADATA,
            $(($member, $shape)),+
        ];
        $crate::wire::json::Shape::object($crate::object::outline::id::OBJECT, MEMBERS)
    }};
}
pub(super) use object;

pub(crate) const EVENT_TYPE: Shape = Shape::leaf(id::EVENT_TYPE);

/// A watch event of which only type and object are wanted, as for facts.
pub(crate) const EVENT_SHAPE: Shape = Shape::object(0, event![OBJECT]);
const OBJECT: Shape = Shape::leaf(id::OBJECT);

/// Returns type and object of the watch event in `buf`, read by [`EVENT_SHAPE`] or a subject's
/// event shape. The last of two types counts, but a null leaves the earlier one. Two objects are
/// refused, as in protobuf: some decoders take the last, others merge both.
pub(crate) fn event_parts(buf: &[u8], marks: &[Mark]) -> Result<(Span, Span), Fault> {
    let (mut event, mut object, mut is_second) = (None, None, false);
    for mark in marks {
        match mark.id {
            id::EVENT_TYPE
                if !is_null(buf, mark.span) || event.is_none_or(|event| is_null(buf, event)) =>
            {
                event = Some(mark.span);
            }
            id::OBJECT => (object, is_second) = (Some(mark.span), object.is_some()),
            _ => {}
        }
    }
    match (event, object) {
        (Some(event), Some(object)) if !is_second => Ok((event, object)),
        (Some(_), Some(object)) => {
            Err(Fault::json(object.start, "the object is given twice in one event"))
        }
        _ => Err(Fault::json(0, "expected a watch event: an object with `type` and `object`")),
    }
}

/// One endpoint of a slice, or one address of core/v1 Endpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    span: PackedSpan,
    node: PackedSpan,
    /// Whether it can be used; [`Condition::Ready`] where [`Outline`] does not ask.
    pub(crate) condition: Condition,
}

impl Endpoint {
    /// Returns the span of the JSON element, or of the protobuf record with its tag.
    #[inline(always)]
    pub(crate) fn span(&self) -> Span {
        self.span.span()
    }

    /// Returns the span of the name of its node, if it has one.
    #[inline(always)]
    pub(crate) fn node(&self) -> Option<Span> {
        self.node.get()
    }
}

/// Where the version of an object is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VersionPlace {
    /// The text, without quotes or length.
    pub(crate) text: Span,
    /// Protobuf: the length of the text, and length and content of the metadata that it is in.
    pub(crate) lengths: Option<(Span, Span, Span)>,
}

/// One subset of core/v1 Endpoints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subset {
    /// The JSON element, or the protobuf record with its tag.
    pub(crate) span: Span,
    /// The length varint and the content; only in protobuf.
    pub(crate) length: Option<(Span, Span)>,
    /// Its arrays, as a range of [`Outline::arrays`].
    pub(crate) arrays: (usize, usize),
}

/// Where things are in one object. Reused from object to object, so that reading one allocates
/// nothing.
#[derive(Debug)]
pub(crate) struct Outline {
    json: bool,
    max_endpoints: usize,
    /// Conditions of endpoints are wanted; only topology fallbacks ask for them.
    conditions: bool,
    pub(crate) kind: Option<Span>,
    pub(crate) api_version: Option<Span>,
    pub(crate) name: Option<Span>,
    pub(crate) namespace: Option<Span>,
    /// The label `kubernetes.io/service-name`.
    pub(crate) service_name: Option<Span>,
    pub(crate) address_type: Option<Span>,
    pub(crate) version: Option<VersionPlace>,
    /// `spec.type` of a Service.
    pub(crate) service_type: Option<Span>,
    /// Its annotation `nodeport.openyurt.io/listen`.
    pub(crate) listen: Option<Span>,
    /// Its annotation `svc.openyurt.io/discard`.
    pub(crate) discard: Option<Span>,
    /// Parts that no proxy reads, in their order: resourceVersion, generation,
    /// managedFields, the time of the last change that led to it. In protobuf also the length
    /// of the metadata they are in.
    pub(crate) silent: Vec<Span>,
    /// All endpoints, in the order they stand.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Runs of `endpoints` that share one array.
    pub(crate) arrays: Vec<(usize, usize)>,
    /// Only core/v1 Endpoints have subsets; in every other kind the arrays belong to the object.
    pub(crate) subsets: Vec<Subset>,
    /// Runs of `subsets` that share one array.
    pub(crate) subset_arrays: Vec<(usize, usize)>,
}

impl Outline {
    /// An outline for objects of at most so many endpoints and subsets, with their conditions or
    /// without.
    pub(crate) fn new(max_endpoints: usize, conditions: bool) -> Outline {
        Outline {
            json: false,
            max_endpoints,
            conditions,
            kind: None,
            api_version: None,
            name: None,
            namespace: None,
            service_name: None,
            address_type: None,
            version: None,
            service_type: None,
            listen: None,
            discard: None,
            silent: Vec::new(),
            endpoints: Vec::new(),
            arrays: Vec::new(),
            subsets: Vec::new(),
            subset_arrays: Vec::new(),
        }
    }

    /// One more endpoint.
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        span: Span,
        node: Option<Span>,
        condition: Condition,
    ) -> Result<(), Fault> {
        self.check_count(span)?;
        let node = node.map_or(Some(PackedSpan::NONE), PackedSpan::of);
        let (Some(span), Some(node)) = (PackedSpan::of(span), node) else {
            let what = "an endpoint starts more than 16 GiB into a chunk";
            return Err(match self.json {
                true => Fault::json(span.start, what),
                false => Fault::protobuf(span.start, what),
            });
        };
        self.endpoints.push(Endpoint { span, node, condition });
        Ok(())
    }

    /// One more subset.
    pub(super) fn push_subset(&mut self, subset: Subset) -> Result<(), Fault> {
        self.check_count(subset.span)?;
        self.subsets.push(subset);
        Ok(())
    }

    #[inline(always)]
    fn check_count(&self, next: Span) -> Result<(), Fault> {
        let count = self.endpoints.len() + self.subsets.len();
        if count < self.max_endpoints {
            Ok(())
        } else {
            Err(Fault::too_many(next.start, self.max_endpoints))
        }
    }

    /// Forgets the object before.
    pub(crate) fn clear(&mut self, json: bool) {
        self.json = json;
        self.kind = None;
        self.api_version = None;
        self.name = None;
        self.namespace = None;
        self.service_name = None;
        self.address_type = None;
        self.version = None;
        (self.service_type, self.listen, self.discard) = (None, None, None);
        self.silent.clear();
        self.endpoints.clear();
        self.arrays.clear();
        self.subsets.clear();
        self.subset_arrays.clear();
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether conditions of endpoints are wanted.
    pub(crate) fn wants_conditions(&self) -> bool {
        self.conditions
    }

    /// The text at `span`. JSON escapes are resolved; of a text that cannot be resolved Go makes
    /// one with U+FFFD in it, which names nothing either.
    #[inline(always)]
    pub(crate) fn text<'a>(&self, buf: &'a [u8], span: Span) -> Cow<'a, [u8]> {
        self.resolve(span.of(buf))
    }

    /// The text that these bytes of the object stand for.
    #[inline(always)]
    pub(crate) fn resolve<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        if self.json && has_backslash(text) {
            Cow::Owned(unescape(text).unwrap_or_else(|| "\u{fffd}".to_owned()).into_bytes())
        } else {
            Cow::Borrowed(text)
        }
    }

    /// The text at `span`, or nothing.
    pub(crate) fn optional_text<'a>(&self, buf: &'a [u8], span: Option<Span>) -> Cow<'a, [u8]> {
        span.map_or(Cow::Borrowed(&[]), |span| self.text(buf, span))
    }

    /// `namespace/name`, for messages.
    pub(crate) fn object_name(&self, buf: &[u8]) -> Option<Box<str>> {
        let name = self.text(buf, self.name?);
        let namespace = self.optional_text(buf, self.namespace);
        Some(
            format!("{}/{}", String::from_utf8_lossy(&namespace), String::from_utf8_lossy(&name))
                .into(),
        )
    }

    /// Whether a subset has neither ready nor other addresses.
    pub(crate) fn has_empty_subset(&self) -> bool {
        let empty = |subset: &Subset| {
            self.arrays[subset.arrays.0..subset.arrays.1].iter().all(|(first, end)| first == end)
        };
        self.subsets.iter().any(empty)
    }

    /// Reads a mark of the object's header; ignores other marks.
    ///
    /// Duplicates are read as Go reads them: members of a later `metadata` win one by one; a later
    /// `null` leaves a string as it was and empties a map.
    pub(super) fn header_mark(&mut self, buf: &[u8], mark: Mark) -> Result<(), Fault> {
        let place = match mark.id {
            id::KIND => &mut self.kind,
            id::API_VERSION => &mut self.api_version,
            id::NAME => &mut self.name,
            id::NAMESPACE => &mut self.namespace,
            id::SERVICE_NAME => {
                // A null in a map of strings is an empty string.
                self.service_name = string(buf, mark.span)?;
                return Ok(());
            }
            id::ADDRESS_TYPE => &mut self.address_type,
            id::SILENT => {
                self.silent.push(mark.span);
                return Ok(());
            }
            id::RESOURCE_VERSION => {
                self.silent.push(mark.span);
                if let Some(text) = string(buf, mark.span)? {
                    self.version = Some(VersionPlace { text, lengths: None });
                }
                return Ok(());
            }
            id::LABELS if is_null(buf, mark.span) => {
                self.service_name = None;
                return Ok(());
            }
            _ => return Ok(()),
        };
        if let Some(span) = string(buf, mark.span)? {
            *place = Some(span);
        }
        Ok(())
    }
}

pub(super) const KIND: (&str, Shape) = ("kind", Shape::leaf(id::KIND));
pub(super) const API_VERSION: (&str, Shape) = ("apiVersion", Shape::leaf(id::API_VERSION));
pub(super) const METADATA: (&str, Shape) = (
    "metadata",
    Shape::object(
        0,
        &[
            ("name", Shape::leaf(id::NAME)),
            ("namespace", Shape::leaf(id::NAMESPACE)),
            (
                "labels",
                Shape::object(id::LABELS, &[(SERVICE_NAME_LABEL, Shape::leaf(id::SERVICE_NAME))]),
            ),
            ("resourceVersion", Shape::leaf(id::RESOURCE_VERSION)),
            ("generation", Shape::leaf(id::SILENT)),
            ("managedFields", Shape::leaf(id::SILENT)),
            ("annotations", Shape::object(0, &[(LAST_CHANGE_ANNOTATION, Shape::leaf(id::SILENT))])),
        ],
    ),
);

/// The label that ties a slice to its Service.
pub(crate) const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The annotation that says when the change happened that led to this form of the object.
pub(crate) const LAST_CHANGE_ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

pub(super) fn is_null(buf: &[u8], value: Span) -> bool {
    value.of(buf) == b"null"
}

/// The text between the quotes of a string, `None` for `null`; anything else is what Go refuses.
pub(super) fn string(buf: &[u8], value: Span) -> Result<Option<Span>, Fault> {
    match buf[value.start] {
        b'"' => Ok(Some(Span::new(value.start + 1, value.end - 1))),
        _ if is_null(buf, value) => Ok(None),
        _ => Err(Fault::json(value.start, "expected a string or null")),
    }
}

/// A condition of an endpoint; what is neither true nor false is not given.
pub(super) fn truth(buf: &[u8], value: Span) -> Option<bool> {
    match value.of(buf) {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// Checks by its first byte that a value is of the wanted type or `null`.
pub(super) fn expect(buf: &[u8], value: Span, first: u8, what: &'static str) -> Result<(), Fault> {
    if buf[value.start] == first || is_null(buf, value) {
        Ok(())
    } else {
        Err(Fault::json(value.start, what))
    }
}

//! The envelope of a protobuf object: `k8s\0` and runtime.Unknown, and in a watch the event around
//! them (B1.2, B2).

use crate::error::Fault;
use crate::wire::Span;
use crate::wire::protobuf::{Field, Fields};
use crate::wire::splice::Enclosure;

/// The first bytes of every protobuf object of Kubernetes.
pub(crate) const MAGIC: &[u8; 4] = b"k8s\0";

/// apiVersion and kind of an object, as places in the buffer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TypeMeta {
    pub(crate) api_version: Span,
    pub(crate) kind: Span,
}

impl TypeMeta {
    /// Reads runtime.TypeMeta: 1 apiVersion, 2 kind. One that is given again is merged into the
    /// first.
    pub(crate) fn read(mut self, buf: &[u8], content: Span) -> Result<TypeMeta, Fault> {
        let mut fields = Fields::new(buf, content);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => self.api_version = field.len_delimited()?,
                2 => self.kind = field.len_delimited()?,
                _ => {}
            }
        }
        Ok(self)
    }
}

/// A whole object in its envelope, in a watch event or alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Enveloped {
    /// ADDED, MODIFIED, ...; empty outside a watch.
    pub(crate) event: Span,
    pub(crate) type_meta: TypeMeta,
    /// The object itself, empty if there is none.
    pub(crate) object: Span,
    around: [Enclosure; 4],
    depth: usize,
}

impl Enveloped {
    /// The lengths that an edit of the object changes, outermost first.
    pub(crate) fn around(&self) -> &[Enclosure] {
        &self.around[..self.depth]
    }

    /// Reads a single object: the whole of `buf`.
    pub(crate) fn read_object(buf: &[u8]) -> Result<Enveloped, Fault> {
        let mut enveloped = Enveloped::empty();
        enveloped.read_unknown(buf, Span::new(0, buf.len()))?;
        Ok(enveloped)
    }

    /// Reads a watch frame: the whole of `buf`, its four length bytes first.
    pub(crate) fn read_frame(buf: &[u8]) -> Result<Enveloped, Fault> {
        let mut enveloped = Enveloped::empty();
        let frame = Span::new(4, buf.len());
        enveloped.enclose(Span::new(0, 4), frame, true);
        let mut object = None;
        let mut fields = Fields::new(buf, frame);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => enveloped.event = field.len_delimited()?,
                2 => once(&mut object, field)?,
                _ => {}
            }
        }
        let Some(object) = object else { return Ok(enveloped) };
        enveloped.enclose(object.length(), object.value, false);
        let mut raw = None;
        let mut fields = Fields::new(buf, object.value);
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                once(&mut raw, field)?;
            }
        }
        let Some(raw) = raw else { return Ok(enveloped) };
        enveloped.enclose(raw.length(), raw.value, false);
        enveloped.read_unknown(buf, raw.value)?;
        Ok(enveloped)
    }

    fn empty() -> Enveloped {
        let nowhere = Enclosure { length: Span::default(), body: Span::default(), fixed: false };
        Enveloped {
            event: Span::default(),
            type_meta: TypeMeta::default(),
            object: Span::default(),
            around: [nowhere; 4],
            depth: 0,
        }
    }

    fn enclose(&mut self, length: Span, body: Span, fixed: bool) {
        self.around[self.depth] = Enclosure { length, body, fixed };
        self.depth += 1;
    }

    /// Reads magic and runtime.Unknown: 1 typeMeta, 2 raw, 3 contentEncoding, 4 contentType.
    fn read_unknown(&mut self, buf: &[u8], envelope: Span) -> Result<(), Fault> {
        if !envelope.of(buf).starts_with(MAGIC) {
            return Err(Fault::protobuf(envelope.start, "expected `k8s\\0` before an object"));
        }
        let mut raw = None;
        let mut fields = Fields::new(buf, Span::new(envelope.start + MAGIC.len(), envelope.end));
        while let Some(field) = fields.next()? {
            match field.number {
                1 => self.type_meta = self.type_meta.read(buf, field.len_delimited()?)?,
                2 => once(&mut raw, field)?,
                3 => plain(&field)?,
                _ => {}
            }
        }
        if let Some(raw) = raw {
            self.enclose(raw.length(), raw.value, false);
            self.object = raw.value;
        }
        Ok(())
    }
}

/// Remembers a field that carries the object. A second one would win in some decoders and be merged
/// in others.
fn once(place: &mut Option<Field>, field: Field) -> Result<(), Fault> {
    field.len_delimited()?;
    if place.replace(field).is_some() {
        return Err(Fault::protobuf(field.start, "the object is given twice in one envelope"));
    }
    Ok(())
}

/// Checks that the envelope's contentEncoding is empty.
pub(crate) fn plain(field: &Field) -> Result<(), Fault> {
    if field.len_delimited()?.len() == 0 {
        Ok(())
    } else {
        Err(Fault::protobuf(field.start, "the object is encoded once more inside its envelope"))
    }
}

//! A protobuf list, item by item.
//!
//! `k8s\0`, then runtime.Unknown: 1 typeMeta, 2 the list {1 ListMeta, 2 item ...}. The length of the list is written
//! before its items, so an item that loses bytes either keeps its size by an unknown field at its end
//! ([`ProtobufLists::Stream`]), or the whole list is held back until its new length is known
//! ([`ProtobufLists::Compact`]).

use bytes::BytesMut;

use super::body::{Context, LIST_ITEM, Walk};
use super::unit::Unit;
use crate::config::ProtobufLists;
use crate::error::{Error, Fault, Result};
use crate::object::envelope::{MAGIC, TypeMeta, plain};
use crate::object::metadata::PARTIAL_OBJECT_METADATA;
use crate::wire::Span;
use crate::wire::protobuf::{Field, Fields, LEN, MAX_VARINT, MIN_FILLER, encode_varint, encode_varint_wide, filler, read_head};
use crate::wire::splice::{Edit, Enclosure, Output, write_enclosed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Magic,
    /// A field of the envelope.
    Envelope,
    /// A field of the list, which has this many bytes to come.
    List {
        left: u64,
    },
}

/// The walk over a protobuf list.
pub(super) struct ProtobufList {
    expect: Expect,
    /// The list was there; the envelope may still say more.
    listed: bool,
    kind: Vec<u8>,
    /// `kind` without `List`.
    item_kind: Vec<u8>,
    api_version: Vec<u8>,
    resource_version: String,
    continues: String,
    /// What is held back of the list, when it is to be compact: its tag and length as they stood, and its content.
    compact: Option<Held>,
}

#[derive(Default)]
struct Held {
    head: Vec<u8>,
    was: u64,
    content: BytesMut,
}

impl ProtobufList {
    pub(super) fn new(plan: ProtobufLists) -> ProtobufList {
        ProtobufList {
            expect: Expect::Magic,
            listed: false,
            kind: Vec::new(),
            item_kind: Vec::new(),
            api_version: Vec::new(),
            resource_version: String::new(),
            continues: String::new(),
            compact: (plan == ProtobufLists::Compact).then(Held::default),
        }
    }

    /// A field of the envelope other than the list is whole.
    fn envelope_field(&mut self, data: &[u8], field: &Field) -> std::result::Result<(), Fault> {
        match field.number {
            1 if self.listed => return Err(Fault::protobuf(field.start, "the list's kind comes after its items")),
            1 => {
                let meta = TypeMeta::read(data, field.len_delimited()?)?;
                self.kind = meta.kind.of(data).to_vec();
                self.item_kind = self.kind.strip_suffix(b"List").unwrap_or(&self.kind).to_vec();
                // The parts of a list are of its own version; metadata-only items are of another group than their kind.
                let whole = self.item_kind != PARTIAL_OBJECT_METADATA.as_bytes();
                self.api_version = if whole { meta.api_version.of(data).to_vec() } else { Vec::new() };
            }
            3 => plain(field)?,
            _ => {}
        }
        Ok(())
    }

    /// ListMeta: 2 resourceVersion, 3 continue.
    fn list_meta(&mut self, data: &[u8], content: Span) -> std::result::Result<(), Fault> {
        let mut fields = Fields::new(data, content);
        while let Some(field) = fields.next()? {
            let text = |span: Span| String::from_utf8_lossy(span.of(data)).into_owned();
            match field.number {
                2 => self.resource_version = text(field.len_delimited()?),
                3 => self.continues = text(field.len_delimited()?),
                _ => {}
            }
        }
        Ok(())
    }

    /// The last byte of the list was taken.
    fn list_over(&mut self, context: &mut Context<'_>, out: &mut Output<'_>) {
        self.expect = Expect::Envelope;
        if let Some(held) = &self.compact {
            if held.content.len() as u64 == held.was {
                out.put(&held.head);
            } else {
                let mut head = [0; MAX_VARINT];
                let width = encode_varint(held.content.len() as u64, &mut head);
                out.put(&[2 << 3 | LEN]);
                out.put(&head[..width]);
            }
            out.put(&held.content);
            self.compact = Some(Held::default());
        }
        let kind = (!self.kind.is_empty()).then_some(&*self.kind);
        context.role.list_ended(kind, &self.resource_version, &self.continues);
    }

    /// Takes the item that `field` is and writes it as it becomes; false if it stays as it is.
    fn item(
        &mut self,
        data: &[u8],
        field: &Field,
        given: usize,
        context: &mut Context<'_>,
        out: &mut Output<'_>,
    ) -> std::result::Result<bool, Fault> {
        let object = field.len_delimited()?;
        let unit = Unit::protobuf(data, object, b"", &self.item_kind, &self.api_version);
        let Some(edit) = context.role.take(&unit)? else { return Ok(false) };
        match &mut self.compact {
            Some(held) => {
                held.content.extend_from_slice(&data[given..field.start]);
                let around = [Enclosure { length: field.length(), body: object, fixed: false }];
                write_enclosed(data, field.record(), &around, object, edit, &mut Output::to(&mut held.content));
            }
            None => {
                out.put(&data[given..field.start]);
                write_in_place(data, field, edit, out)?;
            }
        }
        Ok(true)
    }
}

/// Writes an edited item in as many bytes as it had: an unknown field at the end of the object takes up what was cut.
fn write_in_place(data: &[u8], field: &Field, edit: &Edit, out: &mut Output<'_>) -> std::result::Result<(), Fault> {
    let object = field.value;
    let spare = object.len() - edit.resized(object.len());
    if spare >= MIN_FILLER {
        let (head, width, content) = filler(spare);
        out.put(&data[field.start..object.start]);
        edit.write(data, object, out);
        out.put(&head[..width]);
        out.put_zeros(content);
        return Ok(());
    }
    // Only an endpoint without an address is so short. The item's own length is written that much wider instead.
    let width = field.length().len() + spare;
    if width > MAX_VARINT {
        return Err(Fault::protobuf(field.start, "an item's length is written too wide to keep the item's size"));
    }
    let mut length = [0; MAX_VARINT];
    encode_varint_wide((object.len() - spare) as u64, width, &mut length);
    out.put(&data[field.start..field.tag_end]);
    out.put(&length[..width]);
    edit.write(data, object, out);
    Ok(())
}

impl Walk for ProtobufList {
    fn walk(&mut self, data: &[u8], context: &mut Context<'_>, out: &mut Output<'_>) -> Result<usize> {
        let (mut pos, mut given) = (0, 0);
        // Everything up to `given` was written. In the list of a compact body it goes to what is held back instead.
        loop {
            match self.expect {
                Expect::Magic => {
                    let Some(magic) = data.first_chunk::<4>() else { break };
                    if magic != MAGIC {
                        return Err(context.fault(Fault::protobuf(0, "expected `k8s\\0` before a list"), None));
                    }
                    pos = MAGIC.len();
                    self.expect = Expect::Envelope;
                }
                Expect::Envelope => {
                    let Some((head, len)) = read_head(data, pos).map_err(|fault| context.fault(fault, None))? else { break };
                    if head.number == 2 {
                        head.len_delimited().map_err(|fault| context.fault(fault, None))?;
                        if std::mem::replace(&mut self.listed, true) {
                            return Err(context.fault(Fault::protobuf(pos, "the list is given twice in one envelope"), None));
                        }
                        if let Some(held) = &mut self.compact {
                            out.put(&data[given..pos]);
                            held.head = data[pos..head.value.start].to_vec();
                            held.was = len;
                            given = head.value.start;
                        }
                        pos = head.value.start;
                        self.expect = Expect::List { left: len };
                        continue;
                    }
                    context.check_size(pos, len)?;
                    let field = whole(head, len);
                    if field.value.end > data.len() {
                        break;
                    }
                    self.envelope_field(data, &field).map_err(|fault| context.fault(fault, None))?;
                    pos = field.value.end;
                }
                Expect::List { left: 0 } => {
                    if let Some(held) = &mut self.compact {
                        held.content.extend_from_slice(&data[given..pos]);
                        given = pos;
                    }
                    self.list_over(context, out);
                }
                Expect::List { left } => {
                    let too_long = |pos| Fault::protobuf(pos, "a field is longer than the list it is in");
                    let seen = &data[..data.len().min(pos.saturating_add(usize::try_from(left).unwrap_or(usize::MAX)))];
                    let head = read_head(seen, pos).map_err(|fault| context.fault(fault, None))?;
                    let Some((head, len)) = head else {
                        if (seen.len() - pos) as u64 == left {
                            return Err(context.fault(too_long(pos), None));
                        }
                        break;
                    };
                    if len.checked_add((head.value.start - pos) as u64).is_none_or(|size| size > left) {
                        return Err(context.fault(too_long(pos), None));
                    }
                    context.check_size(pos, len)?;
                    let field = whole(head, len);
                    if field.value.end > data.len() {
                        break;
                    }
                    let written = match field.number {
                        1 => field.len_delimited().and_then(|content| self.list_meta(data, content)).map(|()| false),
                        2 => self.item(data, &field, given, context, out),
                        _ => Ok(false),
                    };
                    if written.map_err(|fault| context.fault(fault, context.role.object_name(data)))? {
                        given = field.value.end;
                    }
                    self.expect = Expect::List { left: left - (field.value.end - pos) as u64 };
                    pos = field.value.end;
                }
            }
        }
        match (&mut self.compact, self.expect) {
            (Some(held), Expect::List { .. }) => held.content.extend_from_slice(&data[given..pos]),
            _ => out.put(&data[given..pos]),
        }
        Ok(pos)
    }

    fn finish(&mut self, held: &[u8], context: &mut Context<'_>, _out: &mut Output<'_>) -> Result<()> {
        let offset = context.base + held.len() as u64;
        match self.expect {
            Expect::Envelope if held.is_empty() => Ok(()),
            Expect::List { .. } if !held.is_empty() => Err(Error::Truncated { offset, inside: LIST_ITEM }),
            _ => Err(Error::Truncated { offset, inside: "a list" }),
        }
    }
}

/// The field that `head` begins, `len` bytes long. The caller has checked that the length is within the limits.
fn whole(head: Field, len: u64) -> Field {
    Field { value: Span::new(head.value.start, head.value.start + len as usize), ..head }
}

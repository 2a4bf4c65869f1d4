//! A protobuf list, item by item.
//!
//! `k8s\0`, then runtime.Unknown: 1 typeMeta, 2 the list {1 ListMeta, 2 item ...}. The length of
//! the list is written before its items, so an item that loses bytes either keeps its size by an
//! unknown field at its end, and one that is left out gives way to an unknown field of the list
//! ([`ProtobufLists::Padded`]), or the whole list is held back until its new length is known
//! ([`ProtobufLists::Compact`]).

use bytes::BytesMut;

use super::disposition::Content;
use super::framer::{Context, Cursor, Framer};
use super::item::{Item, ListEnd};
use super::processor::Processor;
use crate::config::{Config, ProtobufLists};
use crate::error::{Error, Fault, Result};
use crate::object::envelope::{MAGIC, TypeMeta, plain};
use crate::object::metadata::PARTIAL_OBJECT_METADATA;
use crate::wire::Span;
use crate::wire::protobuf::{
    Field, Fields, LEN, MAX_VARINT, MIN_FILLER, encode_varint_wide, filler, read_head,
};
use crate::wire::splice::{Edit, Enclosure, Output, write_enclosed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExpectedField {
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
    expect: ExpectedField,
    /// The list was there; the envelope may still say more.
    listed: bool,
    kind: Vec<u8>,
    /// `kind` without `List`.
    item_kind: Vec<u8>,
    api_version: Vec<u8>,
    resource_version: String,
    continues: String,
    /// ListMeta or an item was there: the server writes ListMeta even into an empty list.
    has_items: bool,
    /// The part of a compact list that is held back: tag and length as they were, and the content.
    compact: Option<HeldItem>,
    /// It is held back only until the item has come that may become larger.
    waits: bool,
}

/// The tag of an item.
const ITEM: u8 = 2 << 3 | LEN;

#[derive(Default)]
struct HeldItem {
    tag: Vec<u8>,
    length: Vec<u8>,
    was: u64,
    content: BytesMut,
}

impl HeldItem {
    /// Gives what was held back; so many bytes of the list are still to come.
    fn write(&self, left: u64, out: &mut Output<'_>) {
        let len = self.content.len() as u64 + left;
        out.put(&self.tag);
        if len == self.was {
            out.put(&self.length);
        } else {
            out.put_varint(len);
        }
        out.put(&self.content);
    }
}

impl ProtobufList {
    pub(super) fn new(processor: &Processor, config: &Config) -> ProtobufList {
        // A stream that only reads facts is never cut, so that nothing is held back.
        // Items that are held back to the end leave no room for themselves where they stood.
        let compact = config.protobuf_lists == ProtobufLists::Compact
            && matches!(processor, Processor::Rewrite(_))
            || processor.holds_back();
        // Room for what becomes larger can be made only before the length is given. It is one item
        // of the cluster; every other keeps its size.
        let waits = !compact && processor.may_grow();
        ProtobufList {
            expect: ExpectedField::Magic,
            listed: false,
            kind: Vec::new(),
            item_kind: Vec::new(),
            api_version: Vec::new(),
            resource_version: String::new(),
            continues: String::new(),
            compact: (compact || waits).then(HeldItem::default),
            waits,
            has_items: false,
        }
    }

    /// A field of the envelope other than the list is whole.
    fn envelope_field(
        &mut self,
        data: &[u8],
        field: &Field,
        processor: &Processor,
    ) -> std::result::Result<(), Fault> {
        match field.number {
            1 if self.listed => {
                return Err(Fault::protobuf(field.start, "the list's kind comes after its items"));
            }
            1 => {
                let meta = TypeMeta::default().read(data, field.len_delimited()?)?;
                if meta.kind.len() > 0 && !processor.expects_list(meta.kind.of(data)) {
                    return Err(Fault::protobuf(
                        field.start,
                        "a list of another kind than the request asked for",
                    ));
                }
                self.kind = meta.kind.of(data).to_vec();
                self.item_kind = self.kind.strip_suffix(b"List").unwrap_or(&self.kind).to_vec();
                // The parts of a list are of its own version; metadata-only items are of another
                // group than their kind.
                let whole = self.item_kind != PARTIAL_OBJECT_METADATA.as_bytes();
                self.api_version =
                    if whole { meta.api_version.of(data).to_vec() } else { Vec::new() };
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
    fn list_over(
        &mut self,
        at: usize,
        context: &mut Context<'_>,
        out: &mut Output<'_>,
    ) -> Result<()> {
        self.expect = ExpectedField::Envelope;
        if let Some(mut held) = self.compact.replace(HeldItem::default()) {
            let released = context.processor.release(|object, edit| {
                let mut out = Output::to(&mut held.content);
                out.put(&[ITEM]);
                out.put_varint(edit.resized(object.len()) as u64);
                edit.write(object, Span::new(0, object.len()), &mut out);
            });
            released.map_err(|fault| context.fault(Fault { offset: at, ..fault }, None))?;
            held.write(0, out);
        }
        let kind = (!self.kind.is_empty()).then_some(&*self.kind);
        let (resource_version, continues) = (&*self.resource_version, &*self.continues);
        let end = ListEnd { kind, resource_version, continues, has_items: self.has_items };
        context
            .processor
            .list_ended(&end)
            .map_err(|what| context.fault(Fault::protobuf(at, what), None))
    }

    /// Takes a field of the list. The cursor is behind it then.
    fn list_field(
        &mut self,
        data: &[u8],
        field: &Field,
        cursor: &mut Cursor,
        context: &mut Context<'_>,
        out: &mut Output<'_>,
    ) -> Result<()> {
        self.has_items |= matches!(field.number, 1 | 2);
        match field.number {
            1 => {
                let read = field.len_delimited().and_then(|content| self.list_meta(data, content));
                read.map_err(|fault| context.fault(fault, None))?;
            }
            2 => self.item(data, field, cursor, context, out)?,
            _ => {}
        }
        cursor.pos = field.value.end;
        if let Some(held) = &mut self.compact {
            held.content.extend_from_slice(&data[cursor.written..cursor.pos]);
            cursor.written = cursor.pos;
        }
        Ok(())
    }

    /// Takes an item, and writes it if it changes.
    fn item(
        &mut self,
        data: &[u8],
        field: &Field,
        cursor: &mut Cursor,
        context: &mut Context<'_>,
        out: &mut Output<'_>,
    ) -> Result<()> {
        let object = field.len_delimited().map_err(|fault| context.fault(fault, None))?;
        let item = Item::list_item(data, object, &self.item_kind, &self.api_version);
        let content = context.processor.take_list_item(&item);
        match content.map_err(|fault| context.fault(fault, context.processor.name_of(&item)))? {
            Content::Keep => return Ok(()),
            Content::Edit => {}
            Content::Drop => {
                if self.compact.is_none() {
                    cursor.flush(data, out);
                    let written = write_nothing(field, out);
                    written
                        .map_err(|fault| context.fault(fault, context.processor.name_of(&item)))?;
                }
                cursor.written = field.value.end;
                return Ok(());
            }
        }
        let edit = context.processor.edit();
        if let Some(held) = &mut self.compact {
            let around = [Enclosure { length: field.length(), body: object, fixed: false }];
            write_enclosed(
                data,
                field.record(),
                &around,
                object,
                edit,
                &mut Output::to(&mut held.content),
            );
        } else {
            cursor.flush(data, out);
            let written = write_in_place(data, field, edit, out);
            written.map_err(|fault| context.fault(fault, context.processor.name_of(&item)))?;
        }
        cursor.written = field.value.end;
        Ok(())
    }
}

/// Writes an unknown field of the list in place of an item that is left out, of the same size: the
/// list's length was given.
fn write_nothing(field: &Field, out: &mut Output<'_>) -> std::result::Result<(), Fault> {
    let size = field.record().len();
    if size < MIN_FILLER {
        return Err(Fault::protobuf(
            field.start,
            "an item is too small for anything to stand in its place",
        ));
    }
    let (head, width, content) = filler(size);
    out.put(&head[..width]);
    out.put_zeros(content);
    Ok(())
}

/// Writes an edited item in as many bytes as it had: an unknown field at the end of the object
/// takes up what was cut.
fn write_in_place(
    data: &[u8],
    field: &Field,
    edit: &Edit,
    out: &mut Output<'_>,
) -> std::result::Result<(), Fault> {
    let object = field.value;
    // Only where the client came to get more rewrites while its list was under way.
    let grew = || {
        Fault::protobuf(
            field.start,
            "an item became larger after the list's length was given: ask again",
        )
    };
    let spare = object.len().checked_sub(edit.resized(object.len())).ok_or_else(grew)?;
    if spare >= MIN_FILLER {
        let (head, width, content) = filler(spare);
        out.put(&data[field.start..object.start]);
        edit.write(data, object, out);
        out.put(&head[..width]);
        out.put_zeros(content);
        return Ok(());
    }
    // Only an endpoint without an address is so short. The item's own length is written that much
    // wider instead.
    let width = field.length().len() + spare;
    if width > MAX_VARINT {
        return Err(Fault::protobuf(
            field.start,
            "an item's length is written too wide to keep the item's size",
        ));
    }
    let mut length = [0; MAX_VARINT];
    encode_varint_wide((object.len() - spare) as u64, width, &mut length);
    out.put(&data[field.start..field.tag_end]);
    out.put(&length[..width]);
    edit.write(data, object, out);
    Ok(())
}

impl Framer for ProtobufList {
    fn advance(
        &mut self,
        data: &[u8],
        cursor: &mut Cursor,
        context: &mut Context<'_>,
        out: &mut Output<'_>,
    ) -> Result<()> {
        loop {
            let pos = cursor.pos;
            match self.expect {
                ExpectedField::Magic => {
                    let Some(magic) = data.first_chunk::<4>() else { return Ok(()) };
                    if magic != MAGIC {
                        return Err(context
                            .fault(Fault::protobuf(0, "expected `k8s\\0` before a list"), None));
                    }
                    cursor.pos = MAGIC.len();
                    self.expect = ExpectedField::Envelope;
                }
                ExpectedField::Envelope => {
                    let Some((head, len)) =
                        read_head(data, pos).map_err(|fault| context.fault(fault, None))?
                    else {
                        return Ok(());
                    };
                    if head.number == 2 {
                        head.len_delimited().map_err(|fault| context.fault(fault, None))?;
                        if std::mem::replace(&mut self.listed, true) {
                            return Err(context.fault(
                                Fault::protobuf(pos, "the list is given twice in one envelope"),
                                None,
                            ));
                        }
                        if let Some(held) = &mut self.compact {
                            context.check_held(pos, len)?;
                            out.put(&data[cursor.written..pos]);
                            cursor.written = head.value.start;
                            held.tag = data[pos..head.tag_end].to_vec();
                            held.length = data[head.tag_end..head.value.start].to_vec();
                            held.was = len;
                        }
                        cursor.pos = head.value.start;
                        self.expect = ExpectedField::List { left: len };
                        continue;
                    }
                    let Some(field) = whole(head, len, data, context)? else { return Ok(()) };
                    self.envelope_field(data, &field, context.processor)
                        .map_err(|fault| context.fault(fault, None))?;
                    cursor.pos = field.value.end;
                }
                ExpectedField::List { left: 0 } => self.list_over(pos, context, out)?,
                ExpectedField::List { left } => {
                    let too_long = || {
                        context.fault(
                            Fault::protobuf(pos, "a field is longer than the list it is in"),
                            None,
                        )
                    };
                    let list = &data[..data
                        .len()
                        .min(pos.saturating_add(usize::try_from(left).unwrap_or(usize::MAX)))];
                    let Some((head, len)) =
                        read_head(list, pos).map_err(|fault| context.fault(fault, None))?
                    else {
                        return if (list.len() - pos) as u64 == left {
                            Err(too_long())
                        } else {
                            Ok(())
                        };
                    };
                    if len
                        .checked_add((head.value.start - pos) as u64)
                        .is_none_or(|size| size > left)
                    {
                        return Err(too_long());
                    }
                    let Some(field) = whole(head, len, data, context)? else { return Ok(()) };
                    self.list_field(data, &field, cursor, context, out)?;
                    let left = left - field.record().len() as u64;
                    self.expect = ExpectedField::List { left };
                    if self.waits && !context.processor.may_grow() {
                        self.waits = false;
                        self.compact.take().inspect(|held| held.write(left, out));
                    }
                }
            }
        }
    }

    fn wants(&self, rest: &[u8]) -> usize {
        match read_head(rest, 0) {
            Ok(Some((head, len))) if self.expect != ExpectedField::Magic => usize::try_from(len)
                .map_or(usize::MAX, |len| {
                    (head.value.start.saturating_add(len)).saturating_sub(rest.len())
                }),
            // The head itself is not whole: it is some bytes.
            _ => 1,
        }
    }

    fn finish(
        &mut self,
        held: &[u8],
        context: &mut Context<'_>,
        _out: &mut Output<'_>,
    ) -> Result<()> {
        let offset = context.base + held.len() as u64;
        match self.expect {
            ExpectedField::Envelope if held.is_empty() && self.listed => Ok(()),
            ExpectedField::List { .. } if !held.is_empty() => {
                Err(Error::truncated(offset, context.form.item()))
            }
            _ => Err(Error::truncated(offset, "a list")),
        }
    }
}

/// The field that `head` begins, `len` bytes long; `None` if `data` ends before it does.
fn whole(head: Field, len: u64, data: &[u8], context: &Context<'_>) -> Result<Option<Field>> {
    context.check_size(head.start, len)?;
    // Within the limits, so a small number.
    let field =
        Field { value: Span::new(head.value.start, head.value.start + len as usize), ..head };
    Ok((field.value.end <= data.len()).then_some(field))
}

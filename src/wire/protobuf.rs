//! Walking protobuf messages without decoding them.
//!
//! Groups (wire types 3 and 4) are refused: no Kubernetes schema has them, and a reader that skips
//! them would have to be trusted to skip them exactly as every client does.

use super::Span;
use crate::error::Fault;

/// The longest varint: ten groups of seven bits hold 64.
pub(crate) const MAX_VARINT: usize = 10;

/// The largest field number that a tag can carry.
const MAX_FIELD: u64 = (1 << 29) - 1;

/// Wire types, as the low three bits of a tag say.
pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const LEN: u8 = 2;
pub(crate) const FIXED32: u8 = 5;

/// One field of a message, where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) wire: u8,
    /// Where the tag starts.
    pub(crate) start: usize,
    /// Where the tag ends: for [`LEN`], the length varint stands between here and `value.start`.
    pub(crate) tag_end: usize,
    /// The content, without tag and length.
    pub(crate) value: Span,
}

impl Field {
    /// Tag, length and content.
    pub(crate) fn record(&self) -> Span {
        Span::new(self.start, self.value.end)
    }

    /// The length varint of a [`LEN`] field.
    pub(crate) fn length(&self) -> Span {
        Span::new(self.tag_end, self.value.start)
    }

    /// The content of a field that the schema says is a message, a string or bytes. Any other wire
    /// type is what every Kubernetes decoder refuses.
    pub(crate) fn len_delimited(&self) -> Result<Span, Fault> {
        if self.wire == LEN {
            Ok(self.value)
        } else {
            Err(Fault::protobuf(self.start, "a field has the wrong wire type"))
        }
    }

    /// The number of a field that the schema says is one.
    pub(crate) fn varint(&self, buf: &[u8]) -> Result<u64, Fault> {
        let wrong = Fault::protobuf(self.start, "a field has the wrong wire type");
        if self.wire != VARINT {
            return Err(wrong);
        }
        Ok(read_varint(buf, self.value.start)?.ok_or(wrong)?.0)
    }
}

/// The fields of the message that lies at `message` in `buf`, in the order they stand. Offsets are
/// those of `buf`.
pub(crate) struct Fields<'a> {
    buf: &'a [u8],
    pos: usize,
    end: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(buf: &'a [u8], message: Span) -> Fields<'a> {
        debug_assert!(message.start <= message.end && message.end <= buf.len());
        Fields { buf, pos: message.start, end: message.end }
    }

    /// The next field, or `None` at the end of the message.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<Field>, Fault> {
        let start = self.pos;
        if start >= self.end {
            return Ok(None);
        }
        // Nearly every field here has a tag of one byte, and a length of one or two if any.
        if let Some(&[tag, low, high]) = self.buf[..self.end].get(start..start + 3)
            && tag & 0x87 == LEN
            && tag > 7
            && (low < 0x80 || high < 0x80)
        {
            let (width, len) = if low < 0x80 {
                (1, usize::from(low))
            } else {
                (2, usize::from(low & 0x7f) | usize::from(high) << 7)
            };
            let value = Span::new(start + 1 + width, start + 1 + width + len);
            if value.end <= self.end {
                self.pos = value.end;
                return Ok(Some(Field {
                    number: u32::from(tag >> 3),
                    wire: LEN,
                    start,
                    tag_end: start + 1,
                    value,
                }));
            }
        }
        self.next_of_any_form()
    }

    /// The record and the content of the next field, if it is `number` with a tag of one byte and a
    /// length of one or two; `None` leaves it to [`Fields::next`].
    ///
    /// For runs of a repeated message: what is found stays in registers, where a [`Field`] goes
    /// through memory.
    #[inline(always)]
    pub(crate) fn next_repeated(&mut self, number: u8) -> Option<(Span, Span)> {
        let start = self.pos;
        let &[tag, low, high] = self.buf[..self.end].get(start..start + 3)? else { return None };
        if tag != number << 3 | LEN || low >= 0x80 && high >= 0x80 {
            return None;
        }
        let (content, len) = if low < 0x80 {
            (start + 2, usize::from(low))
        } else {
            (start + 3, usize::from(low & 0x7f) | usize::from(high) << 7)
        };
        let end = content + len;
        if end > self.end {
            return None;
        }
        self.pos = end;
        Some((Span::new(start, end), Span::new(content, end)))
    }

    #[inline(never)]
    fn next_of_any_form(&mut self) -> Result<Option<Field>, Fault> {
        match read_field(&self.buf[..self.end], self.pos)? {
            Some(field) => {
                self.pos = field.value.end;
                Ok(Some(field))
            }
            None => Err(Fault::protobuf(self.pos, "a field is longer than the message it is in")),
        }
    }
}

/// The content of the last field `number`, a string, of the message at `message` in `buf`: the last
/// one counts.
///
/// Finds what [`Fields`] would find, in a loop of its own: it runs once for each endpoint.
#[inline(always)]
pub(crate) fn last_string(buf: &[u8], message: Span, number: u8) -> Result<Option<Span>, Fault> {
    // For a head of two bytes, which is the common case: the wire type, and that neither tag nor
    // length continues.
    const FORM: u16 = 0x8087;
    let (bytes, wanted) = (&buf[..message.end], number << 3 | LEN);
    let (mut at, mut found) = (message.start, None);
    while let Some(head) = bytes.get(at..at + 2) {
        let head = u16::from_le_bytes([head[0], head[1]]);
        let tag = head as u8;
        if head & FORM != u16::from(LEN) || tag == LEN {
            break;
        }
        if tag == wanted {
            found = Some(at + 2);
        }
        at += 2 + usize::from(head >> 8);
    }
    if at == message.end {
        return Ok(found.map(|start| Span::new(start, start + usize::from(buf[start - 1]))));
    }
    // Some field is of another form, or too long.
    let (mut fields, mut found) = (Fields::new(buf, message), None);
    while let Some(field) = fields.next()? {
        if field.number == u32::from(number) {
            found = Some(field.len_delimited()?);
        }
    }
    Ok(found)
}

/// The field that starts at `at`, or `None` if `buf` ends inside it.
#[inline]
pub(crate) fn read_field(buf: &[u8], at: usize) -> Result<Option<Field>, Fault> {
    let Some((head, value)) = read_head(buf, at)? else { return Ok(None) };
    match usize::try_from(value).ok().and_then(|len| head.value.start.checked_add(len)) {
        Some(end) if end <= buf.len() => {
            Ok(Some(Field { value: Span::new(head.value.start, end), ..head }))
        }
        _ => Ok(None),
    }
}

/// The tag at `at` and, with it, the place where the content starts and the number of its bytes.
/// `None` if `buf` ends before that is known. The content may reach past the end of `buf`.
#[inline]
pub(crate) fn read_head(buf: &[u8], at: usize) -> Result<Option<(Field, u64)>, Fault> {
    let Some((tag, tag_end)) = read_varint(buf, at)? else { return Ok(None) };
    let (number, wire) = (tag >> 3, (tag & 7) as u8);
    if number == 0 || number > MAX_FIELD {
        return Err(Fault::protobuf(at, "a field number is out of range"));
    }
    let (start, len) = match wire {
        LEN => match read_varint(buf, tag_end)? {
            Some((len, start)) => (start, len),
            None => return Ok(None),
        },
        VARINT => match read_varint(buf, tag_end)? {
            Some((_, end)) => (tag_end, (end - tag_end) as u64),
            None => return Ok(None),
        },
        FIXED64 => (tag_end, 8),
        FIXED32 => (tag_end, 4),
        _ => {
            return Err(Fault::protobuf(
                at,
                "a group or an unknown wire type, which no Kubernetes schema has",
            ));
        }
    };
    let field =
        Field { number: number as u32, wire, start: at, tag_end, value: Span::new(start, start) };
    Ok(Some((field, len)))
}

/// The varint at `at` and the offset after it, or `None` if `buf` ends inside it.
#[inline]
pub(crate) fn read_varint(buf: &[u8], at: usize) -> Result<Option<(u64, usize)>, Fault> {
    match buf.get(at) {
        Some(&byte) if byte < 0x80 => return Ok(Some((u64::from(byte), at + 1))),
        Some(_) => {}
        None => return Ok(None),
    }
    let mut value = 0u64;
    for (index, &byte) in buf[at..].iter().take(MAX_VARINT).enumerate() {
        if index == MAX_VARINT - 1 && byte > 1 {
            return Err(Fault::protobuf(at, "a varint holds more than 64 bits"));
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok(Some((value, at + index + 1)));
        }
    }
    if buf.len() - at >= MAX_VARINT {
        Err(Fault::protobuf(at, "a varint is longer than ten bytes"))
    } else {
        Ok(None)
    }
}

/// How many bytes the shortest varint for `value` takes.
pub(crate) fn varint_width(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Writes the shortest varint for `value` and returns its width.
pub(crate) fn encode_varint(value: u64, out: &mut [u8; MAX_VARINT]) -> usize {
    let width = varint_width(value);
    encode_varint_wide(value, width, out);
    width
}

/// Appends the shortest varint for `value`.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: u64) {
    let mut varint = [0; MAX_VARINT];
    let width = encode_varint(value, &mut varint);
    out.extend_from_slice(&varint[..width]);
}

/// Appends tag and value of a field that is a varint.
pub(crate) fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number << 3 | u32::from(VARINT)));
    put_varint(out, value);
}

/// Appends tag and length of a field of `len` bytes, which are to follow.
pub(crate) fn put_head(out: &mut Vec<u8>, number: u32, len: usize) {
    put_varint(out, u64::from(number << 3 | u32::from(LEN)));
    put_varint(out, len as u64);
}

/// Appends a field of bytes.
pub(crate) fn put_record(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    put_head(out, number, content.len());
    out.extend_from_slice(content);
}

/// Writes `value` as a varint of exactly `width` bytes, at least the shortest. Decoders do not ask
/// for the shortest.
pub(crate) fn encode_varint_wide(value: u64, width: usize, out: &mut [u8; MAX_VARINT]) {
    let mut rest = value;
    for byte in &mut out[..width] {
        *byte = (rest & 0x7f) as u8 | 0x80;
        rest >>= 7;
    }
    out[width - 1] &= 0x7f;
}

/// The smallest number of bytes that [`filler`] can fill.
pub(crate) const MIN_FILLER: usize = 4;

/// Tag and length of an unknown field that takes `size` bytes in all, content included, and the
/// size of its content.
///
/// Field numbers 19000 to 19999 are reserved by protobuf itself, so no schema can ever give this
/// one a meaning, and every decoder skips it by its length.
pub(crate) fn filler(size: usize) -> ([u8; MAX_VARINT], usize, usize) {
    debug_assert!(size >= MIN_FILLER);
    const TAG: u64 = 19000 << 3 | LEN as u64;
    const TAG_WIDTH: usize = 3;
    let mut head = [0; MAX_VARINT];
    encode_varint_wide(TAG, TAG_WIDTH, &mut head);
    // Where one more byte of content would need one more byte of length, the length is written a
    // byte wider instead.
    let mut width = 1;
    while varint_width((size - TAG_WIDTH - width) as u64) > width {
        width += 1;
    }
    let content = size - TAG_WIDTH - width;
    let mut length = [0; MAX_VARINT];
    encode_varint_wide(content as u64, width, &mut length);
    head[TAG_WIDTH..TAG_WIDTH + width].copy_from_slice(&length[..width]);
    (head, TAG_WIDTH + width, content)
}

#[cfg(test)]
mod tests {
    use super::super::random::random;
    use super::*;

    #[test]
    fn varints_round_trip_at_every_width() {
        for value in [0, 1, 127, 128, 16383, 16384, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
            let mut out = [0; MAX_VARINT];
            let width = encode_varint(value, &mut out);
            assert_eq!(read_varint(&out[..width], 0), Ok(Some((value, width))));
            assert_eq!(read_varint(&out[..width - 1], 0), Ok(None));
            for wider in width..=MAX_VARINT {
                encode_varint_wide(value, wider, &mut out);
                assert_eq!(
                    read_varint(&out[..wider], 0),
                    Ok(Some((value, wider))),
                    "{value} in {wider} bytes"
                );
            }
        }
    }

    #[test]
    fn varints_that_cannot_be_are_faults_with_their_place() {
        assert_eq!(
            read_varint(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], 1)
                .unwrap_err()
                .offset,
            1
        );
        assert!(read_varint(&[0x80; 10], 0).is_err());
        assert!(read_varint(&[0x80; 11], 0).is_err());
        assert_eq!(read_varint(&[0x80; 9], 0), Ok(None));
    }

    #[test]
    fn fields_that_cannot_be_are_faults() {
        let fields = |bytes: &[u8]| {
            let mut fields = Fields::new(bytes, Span::new(0, bytes.len()));
            let mut count = 0;
            while fields.next()?.is_some() {
                count += 1;
            }
            Ok::<_, Fault>(count)
        };
        assert_eq!(
            fields(&[0x0a, 1, 65, 0x10, 0x96, 1, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8]),
            Ok(4)
        );
        assert!(fields(&[0x02, 0]).is_err(), "field number 0");
        assert!(fields(&[0x0a, 2, 65]).is_err(), "length past the end");
        assert!(fields(&[0x0b, 0x0c]).is_err(), "group");
        assert!(fields(&[0x0f]).is_err(), "wire type 7");
        assert!(fields(&[0x80]).is_err(), "tag cut short");
        assert!(
            fields(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).is_err(),
            "length of 2^64 - 1"
        );
    }

    #[test]
    fn a_filler_has_exactly_the_size_asked_for() {
        for size in (MIN_FILLER..20_000)
            .chain([2_097_151, 2_097_155, 2_097_156, 2_097_157, 2_097_158, 2_097_159])
        {
            let (head, width, content) = filler(size);
            assert_eq!(width + content, size);
            let mut bytes = head[..width].to_vec();
            bytes.resize(size, 0);
            let field = read_field(&bytes, 0).unwrap().expect("whole");
            assert_eq!((field.number, field.wire, field.value.end), (19000, LEN, size));
        }
    }

    #[test]
    fn the_last_string_is_the_one_that_the_fields_end_with() {
        let plain = |buf: &[u8], message: Span, number: u32| {
            let mut fields = Fields::new(buf, message);
            let mut found = None;
            while let Some(field) = fields.next()? {
                if field.number == number {
                    found = Some(field.len_delimited()?);
                }
            }
            Ok::<_, Fault>(found)
        };
        let mut numbers = random();
        let mut random = move |below: u64| numbers(below as usize) as u64;
        let (mut found, mut faults) = (0, 0);
        for _ in 0..20_000 {
            let mut buf = Vec::new();
            for _ in 0..random(6) {
                let (number, len) = (5 + random(3) + 12 * (random(8) / 7), random(6));
                let mut varint = [0; MAX_VARINT];
                let wire = if random(12) == 0 { random(8) } else { 2 };
                let width = encode_varint(number << 3 | wire, &mut varint);
                buf.extend_from_slice(&varint[..width]);
                let width = 1 + 2 * (random(6) / 5) as usize;
                encode_varint_wide(len, width, &mut varint);
                buf.extend_from_slice(&varint[..width]);
                buf.extend((0..len).map(|_| random(256) as u8));
            }
            let message = Span::new(0, buf.len() - (random(8) / 7).min(buf.len() as u64) as usize);
            let last = last_string(&buf, message, 6);
            assert_eq!(last, plain(&buf, message, 6), "{buf:?}");
            found += usize::from(matches!(last, Ok(Some(_))));
            faults += usize::from(last.is_err());
        }
        assert!(found > 500 && faults > 500, "{found} {faults}");
    }
}

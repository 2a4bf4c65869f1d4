//! Cutting bytes out and keeping the rest.
//!
//! A rewrite is a sorted list of [`Patch`]es: a patch with no bytes is a cut, a patch with bytes
//! replaces a length or a version. Everything between two patches is copied as it stands.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::Span;
use super::protobuf::{MAX_VARINT, encode_varint, varint_width};

/// Replaces the bytes of one span by others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patch {
    span: Span,
    /// A cut, not a replacement.
    cuts: bool,
    /// Where the others are in the edit's own text.
    with: Span,
}

/// The patches of one object, in the order of their places, and by how much they change its size.
#[derive(Debug, Default)]
pub(crate) struct Edit {
    patches: Vec<Patch>,
    /// The bytes that are put in.
    text: Vec<u8>,
    shrinks: usize,
    grows: usize,
}

/// A patch whose bytes are not known yet: the length of a message whose cuts are still to come.
pub(crate) struct Reserved(usize);

/// The edit that changes nothing.
pub(crate) static NO_EDIT: Edit =
    Edit { patches: Vec::new(), text: Vec::new(), shrinks: 0, grows: 0 };

impl Edit {
    pub(crate) fn clear(&mut self) {
        self.patches.clear();
        self.text.clear();
        self.shrinks = 0;
        self.grows = 0;
    }

    /// Takes `span` out. Spans are given in ascending order and do not overlap.
    pub(crate) fn cut(&mut self, span: Span) {
        self.shrinks += span.len();
        match self.patches.last_mut() {
            // Neighbours often go together: one cut, one copy less.
            Some(last) if last.cuts && last.span.end == span.start => last.span.end = span.end,
            _ => {
                debug_assert!(self.patches.last().is_none_or(|last| last.span.end <= span.start));
                self.patches.push(Patch { span, cuts: true, with: Span::default() });
            }
        }
    }

    /// Keeps the place of a length varint at `span`, for [`Edit::set_length`].
    pub(crate) fn reserve_length(&mut self, span: Span) -> Reserved {
        let start = self.text.len();
        self.text.extend_from_slice(&[0; MAX_VARINT]);
        self.patches.push(Patch { span, cuts: false, with: Span::new(start, start) });
        Reserved(self.patches.len() - 1)
    }

    /// Writes a length into its reserved place.
    pub(crate) fn set_length(&mut self, reserved: Reserved, value: usize) {
        let patch = &mut self.patches[reserved.0];
        let mut varint = [0; MAX_VARINT];
        let (start, width) = (patch.with.start, encode_varint(value as u64, &mut varint));
        patch.with.end = start + width;
        self.text[start..start + width].copy_from_slice(&varint[..width]);
        self.shrinks += patch.span.len();
        self.grows += width;
    }

    /// Replaces `span`, which no patch touches and which may be empty, by `with`; the other patches
    /// may stand anywhere.
    pub(crate) fn replace(&mut self, span: Span, with: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(with);
        let patch = Patch { span, cuts: false, with: Span::new(start, start + with.len()) };
        // An insertion at the start of another patch precedes that patch, and follows earlier
        // insertions there.
        let at = self
            .patches
            .partition_point(|other| other.span.start < span.start || other.span.end <= span.start);
        self.patches.insert(at, patch);
        self.shrinks += span.len();
        self.grows += with.len();
    }

    /// Replaces a length varint likewise.
    pub(crate) fn replace_length(&mut self, span: Span, value: usize) {
        let mut varint = [0; MAX_VARINT];
        let width = encode_varint(value as u64, &mut varint);
        self.replace(span, &varint[..width]);
    }

    /// Whether anything is changed.
    pub(crate) fn changes(&self) -> bool {
        !self.patches.is_empty()
    }

    /// How many bytes the object has after the patches, if it has `len` before.
    pub(crate) fn resized(&self, len: usize) -> usize {
        len + self.grows - self.shrinks
    }

    /// Bytes put in so far, less those taken out.
    pub(crate) fn grown(&self) -> isize {
        self.grows as isize - self.shrinks as isize
    }

    /// Appends `range` of `buf` to `out`, patched. Every patch lies inside `range`.
    pub(crate) fn write(&self, buf: &[u8], range: Span, out: &mut Output<'_>) {
        let mut from = range.start;
        for patch in &self.patches {
            out.put(&buf[from..patch.span.start]);
            if !patch.cuts {
                out.put(patch.with.of(&self.text));
            }
            from = patch.span.end;
        }
        out.put(&buf[from..range.end]);
    }

    /// Appends `range` of `buf` to `out`, patched and without the spans of `less`, which are in
    /// order and which no patch touches. All of them lie inside `range`.
    pub(crate) fn gather(&self, buf: &[u8], range: Span, less: &[Span], out: &mut Vec<u8>) {
        let (mut patches, mut less) =
            (self.patches.iter().peekable(), less.iter().copied().peekable());
        let mut from = range.start;
        loop {
            let first = match (patches.peek(), less.peek()) {
                (Some(patch), Some(span)) => patch.span.start < span.start,
                (patch, _) => patch.is_some(),
            };
            let (span, with) = match if first { patches.next() } else { None } {
                Some(patch) => (patch.span, patch.with.of(&self.text)),
                None => match less.next() {
                    Some(span) => (span, &[][..]),
                    None => break,
                },
            };
            out.extend_from_slice(&buf[from..span.start]);
            out.extend_from_slice(with);
            from = span.end;
        }
        out.extend_from_slice(&buf[from..range.end]);
    }
}

/// The destination of rewritten bytes.
pub(crate) enum Output<'a> {
    /// The end of a buffer; the number is its length when counting began.
    Buffer(&'a mut BytesMut, usize),
    /// Runs that share the memory of the chunk.
    Runs(Runs<'a>),
    /// Nowhere: only the facts in the body are needed.
    Nowhere,
}

impl<'a> Output<'a> {
    pub(crate) fn to(buffer: &'a mut BytesMut) -> Output<'a> {
        let start = buffer.len();
        Output::Buffer(buffer, start)
    }

    pub(crate) fn runs(chunk: &'a Bytes, out: &'a mut Vec<Bytes>) -> Output<'a> {
        Output::Runs(Runs::of(chunk, out))
    }

    /// Appends what is left of the runs.
    pub(crate) fn finish(self) {
        if let Output::Runs(runs) = self {
            runs.finish();
        }
    }

    pub(crate) fn nowhere() -> Output<'a> {
        Output::Nowhere
    }

    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        match self {
            Output::Buffer(buffer, _) => buffer.extend_from_slice(bytes),
            Output::Runs(runs) => runs.put(bytes),
            Output::Nowhere => {}
        }
    }

    /// Writes the shortest varint for `value`.
    pub(crate) fn put_varint(&mut self, value: u64) {
        let mut varint = [0; MAX_VARINT];
        let width = encode_varint(value, &mut varint);
        self.put(&varint[..width]);
    }

    pub(crate) fn put_zeros(&mut self, count: usize) {
        match self {
            Output::Buffer(buffer, _) => buffer.resize(buffer.len() + count, 0),
            Output::Runs(runs) => runs.put_zeros(count),
            Output::Nowhere => {}
        }
    }

    /// Returns how many bytes were written since counting began, and the last of them.
    pub(crate) fn written(&self) -> (u64, Option<u8>) {
        match self {
            Output::Buffer(buffer, start) => {
                let written = &buffer[*start..];
                (written.len() as u64, written.last().copied())
            }
            Output::Runs(runs) => (runs.count, runs.last.filter(|_| runs.count > 0)),
            Output::Nowhere => (0, None),
        }
    }

    /// Counts from here on.
    pub(crate) fn restart_count(&mut self) {
        match self {
            Output::Buffer(buffer, start) => *start = buffer.len(),
            Output::Runs(runs) => runs.count = 0,
            Output::Nowhere => {}
        }
    }
}

/// Collects output as runs: long pieces of a chunk are shared, everything else is copied.
pub(crate) struct Runs<'a> {
    chunk: &'a Bytes,
    out: &'a mut Vec<Bytes>,
    /// The piece of `chunk` at the end of the output.
    piece: Range<usize>,
    /// The copied bytes before that piece.
    copied: BytesMut,
    count: u64,
    last: Option<u8>,
}

/// Pieces below this length are copied: sharing costs an atomic increment and 32 bytes.
const MIN_SHARED: usize = 512;

impl<'a> Runs<'a> {
    fn of(chunk: &'a Bytes, out: &'a mut Vec<Bytes>) -> Runs<'a> {
        Runs { chunk, out, piece: 0..0, copied: BytesMut::new(), count: 0, last: None }
    }

    fn put(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        self.last = Some(last);
        self.count += bytes.len() as u64;
        let (chunk, start) = (self.chunk.as_ptr().addr(), bytes.as_ptr().addr());
        match start.checked_sub(chunk) {
            Some(offset) if offset + bytes.len() <= self.chunk.len() => {
                if self.piece.end != offset || self.piece.is_empty() {
                    self.end_piece();
                    self.piece = offset..offset;
                }
                self.piece.end += bytes.len();
            }
            _ => {
                self.end_piece();
                self.copied.extend_from_slice(bytes);
            }
        }
    }

    fn put_zeros(&mut self, count: usize) {
        if count > 0 {
            self.end_piece();
            self.copied.resize(self.copied.len() + count, 0);
            self.count += count as u64;
            self.last = Some(0);
        }
    }

    fn end_piece(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        if piece.len() < MIN_SHARED {
            self.copied.extend_from_slice(&self.chunk[piece]);
        } else {
            self.end_copied();
            self.out.push(self.chunk.slice(piece));
        }
    }

    fn end_copied(&mut self) {
        if !self.copied.is_empty() {
            self.out.push(self.copied.split().freeze());
        }
    }

    fn finish(mut self) {
        self.end_piece();
        self.end_copied();
    }
}

/// Returns the span to cut with an element of a JSON array. It includes one comma, so that the rest
/// is an array and every byte between two kept elements was there before.
pub(crate) fn json_element(
    element: Span,
    kept_before: bool,
    previous: Option<Span>,
    next: Option<Span>,
) -> Span {
    match (previous, next) {
        (Some(previous), _) if kept_before => Span::new(previous.end, element.end),
        (_, Some(next)) => Span::new(element.start, next.start),
        _ => element,
    }
}

/// The length of one protobuf message around the object at hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Enclosure {
    /// Where its length is written.
    pub(crate) length: Span,
    /// Its content.
    pub(crate) body: Span,
    /// The length is a big-endian u32, not a varint.
    pub(crate) fixed: bool,
}

/// Appends `item` of `buf` to `out` with `object`, which lies inside every one of `around`
/// (outermost first), patched by `edit` and all the lengths around it made right.
pub(crate) fn write_enclosed(
    buf: &[u8],
    item: Span,
    around: &[Enclosure],
    object: Span,
    edit: &Edit,
    out: &mut Output<'_>,
) {
    // A length that becomes shorter takes bytes from those around it, so the inner ones come first.
    let mut lengths = [0usize; 8];
    let mut grown = edit.grown();
    for (index, enclosure) in around.iter().enumerate().rev() {
        let length = enclosure.body.len().saturating_add_signed(grown);
        lengths[index] = length;
        if !enclosure.fixed {
            grown += varint_width(length as u64) as isize - enclosure.length.len() as isize;
        }
    }
    let mut from = item.start;
    for (enclosure, &length) in around.iter().zip(&lengths) {
        out.put(&buf[from..enclosure.length.start]);
        if enclosure.fixed {
            out.put(&(length as u32).to_be_bytes());
        } else {
            out.put_varint(length as u64);
        }
        from = enclosure.length.end;
    }
    out.put(&buf[from..object.start]);
    edit.write(buf, object, out);
    out.put(&buf[object.end..item.end]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, keep: &[bool]) -> String {
        // Elements are single letters.
        let letters = text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_alphabetic());
        let spans: Vec<_> = letters.map(|(at, _)| Span::new(at, at + 1)).collect();
        let mut edit = Edit::default();
        for (at, &span) in spans.iter().enumerate().filter(|&(at, _)| !keep[at]) {
            let previous = at.checked_sub(1).map(|at| spans[at]);
            edit.cut(json_element(
                span,
                keep[..at].contains(&true),
                previous,
                spans.get(at + 1).copied(),
            ));
        }
        let mut out = BytesMut::new();
        edit.write(text.as_bytes(), Span::new(0, text.len()), &mut Output::to(&mut out));
        assert_eq!(out.len(), edit.resized(text.len()));
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn commas_go_with_the_element_they_belong_to() {
        assert_eq!(cut("[a,b,c]", &[true, true, true]), "[a,b,c]");
        assert_eq!(cut("[a,b,c]", &[false, true, true]), "[b,c]");
        assert_eq!(cut("[a,b,c]", &[true, false, true]), "[a,c]");
        assert_eq!(cut("[a,b,c]", &[true, true, false]), "[a,b]");
        assert_eq!(cut("[a,b,c]", &[false, false, true]), "[c]");
        assert_eq!(cut("[a,b,c]", &[true, false, false]), "[a]");
        assert_eq!(cut("[a,b,c]", &[false, true, false]), "[b]");
        assert_eq!(cut("[a,b,c]", &[false, false, false]), "[]");
        assert_eq!(cut("[a]", &[false]), "[]");
        assert_eq!(cut("[\n a ,\n b ,\n c\n]", &[true, false, true]), "[\n a ,\n c\n]");
        assert_eq!(cut("[\n a ,\n b\n]", &[false, false]), "[\n \n]");
    }

    #[test]
    fn a_form_is_what_is_written_without_what_says_nothing() {
        let buf = b"..name=a,rv=17,len=9,xxx,tail..";
        let at = |text: &str| {
            let start =
                buf.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
            Span::new(start, start + text.len())
        };
        let mut edit = Edit::default();
        edit.cut(at("xxx,"));
        edit.replace(at("9"), b"5");
        let mut form = Vec::new();
        edit.gather(buf, Span::new(2, buf.len() - 2), &[at("17"), at("tail")], &mut form);
        assert_eq!(form, b"name=a,rv=,len=5,");
    }

    #[test]
    fn what_is_longer_than_it_was_makes_every_length_around_it_longer() {
        // outer { 126 bytes: 1 tag, 1 length, 124 content }, content grows by 9: both varints gain
        // a byte.
        let mut buf = vec![0x0a, 126, 0x12, 124];
        buf.extend_from_slice(&[7; 124]);
        let object = Span::new(4, buf.len());
        let around = [
            Enclosure { length: Span::new(1, 2), body: Span::new(2, buf.len()), fixed: false },
            Enclosure { length: Span::new(3, 4), body: object, fixed: false },
        ];
        let mut edit = Edit::default();
        edit.replace(Span::new(50, 51), b"more than it");
        edit.replace(Span::new(20, 22), b"");
        // Put in where something ends, and where something begins, whichever comes first.
        edit.replace(Span::new(22, 22), b"ab");
        edit.replace(Span::new(22, 24), b"c");
        edit.replace(Span::new(50, 50), b"");
        let mut out = BytesMut::new();
        write_enclosed(
            &buf,
            Span::new(0, buf.len()),
            &around,
            object,
            &edit,
            &mut Output::to(&mut out),
        );
        assert_eq!(&out[..6], &[0x0a, 0x89, 0x01, 0x12, 0x86, 0x01]);
        assert_eq!((out.len(), edit.resized(124), &out[22..25]), (3 + 137, 134, &b"abc"[..]));
    }

    #[test]
    fn lengths_around_a_cut_become_right_when_they_become_shorter() {
        // outer { 130 bytes: 1 tag, 2 length, 127 content }, content shrinks to 27: the outer
        // varint loses a byte.
        let mut buf = vec![0x0a, 0x82, 0x01, 0x12, 0x80, 0x01];
        let body_at = buf.len();
        buf.extend((0..127).map(|at| at as u8));
        buf.push(0xff);
        let object = Span::new(body_at, buf.len());
        let around = [
            Enclosure { length: Span::new(1, 3), body: Span::new(3, buf.len()), fixed: false },
            Enclosure { length: Span::new(4, 6), body: object, fixed: false },
        ];
        let mut edit = Edit::default();
        edit.cut(Span::new(body_at + 10, body_at + 110));
        let mut out = BytesMut::new();
        write_enclosed(
            &buf,
            Span::new(0, buf.len()),
            &around,
            object,
            &edit,
            &mut Output::to(&mut out),
        );
        assert_eq!(&out[..4], &[0x0a, 30, 0x12, 28]);
        assert_eq!(out.len(), 32);
    }
}

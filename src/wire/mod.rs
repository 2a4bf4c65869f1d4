//! Where things are in the bytes. Knows nothing of Kubernetes kinds.

mod block;
mod blocks;
pub(crate) mod encoding;
mod expected;
pub(crate) mod json;
mod members;
mod pattern;
pub(crate) mod protobuf;
#[cfg(test)]
pub(crate) mod random;
pub(crate) mod splice;
pub(crate) mod text;
mod window;
mod words;

/// How far ahead of the bytes that are read the memory is asked for bytes.
const AHEAD: usize = 2048;

/// Asks the memory for the bytes that come [`AHEAD`] bytes after `at`. Objects are read once, and
/// mostly from memory that no cache has yet.
#[inline(always)]
fn prefetch(buf: &[u8], at: usize) {
    #[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), target_feature = "sse"))]
    if let Some(byte) = buf.get(at + AHEAD) {
        safe_arch::prefetch_t0(byte);
    }
    #[cfg(not(all(any(target_arch = "x86", target_arch = "x86_64"), target_feature = "sse")))]
    let _ = (buf, at, AHEAD);
}

/// A run of bytes in the slice at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) const fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }

    pub(crate) const fn len(self) -> usize {
        self.end - self.start
    }

    /// Returns this span in a buffer with `offset` more bytes before it.
    pub(crate) const fn after(self, offset: usize) -> Span {
        Span::new(self.start + offset, self.end + offset)
    }

    /// The place right behind the bracket that a JSON container begins with.
    pub(crate) const fn inside(self) -> Span {
        Span::new(self.start + 1, self.start + 1)
    }

    /// The bytes of `buf` that the span covers.
    pub(crate) fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start..self.end]
    }
}

/// A [`Span`] in one word: there are two for each endpoint of an object, and they are written to
/// memory and read again soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedSpan(u64);

/// Bits for the length of a packed span. No limit allows objects of 2^30 bytes and more.
const LENGTH_BITS: u32 = 30;

impl PackedSpan {
    /// No span.
    pub(crate) const NONE: PackedSpan = PackedSpan(u64::MAX);

    /// Packs a span; `None` if it starts 16 GiB or more into the slice, or has 1 GiB or more.
    #[inline(always)]
    pub(crate) fn of(span: Span) -> Option<PackedSpan> {
        let (start, len) = (span.start as u64, span.len() as u64);
        let packed = PackedSpan(start << LENGTH_BITS | len);
        let fits = start < (1 << (64 - LENGTH_BITS)) - 1 && len < 1 << LENGTH_BITS;
        fits.then_some(packed)
    }

    /// Returns the span, unless it is [`PackedSpan::NONE`].
    #[inline(always)]
    pub(crate) fn get(self) -> Option<Span> {
        (self != PackedSpan::NONE).then(|| self.span())
    }

    #[inline(always)]
    pub(crate) fn span(self) -> Span {
        let start = (self.0 >> LENGTH_BITS) as usize;
        Span::new(start, start + (self.0 as usize & ((1 << LENGTH_BITS) - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_span_is_the_span_or_none() {
        for span in [Span::new(0, 0), Span::new(7, 7), Span::new(12, 40), Span::new(3, 1 << 30)] {
            assert_eq!(PackedSpan::of(span).and_then(PackedSpan::get), Some(span));
        }
        assert_eq!(PackedSpan::of(Span::new(0, 1 << 30)), None);
        assert_eq!(PackedSpan::NONE.get(), None);
        #[cfg(target_pointer_width = "64")]
        for start in [(1 << 34) - 1, 1 << 34, 1 << 40] {
            assert_eq!(PackedSpan::of(Span::new(start, start)), None, "{start}");
        }
    }
}

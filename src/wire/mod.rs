//! Where things are in the bytes. Knows nothing of Kubernetes kinds.

mod block;
mod blocks;
pub(crate) mod encoding;
pub(crate) mod json;
mod members;
pub(crate) mod protobuf;
#[cfg(test)]
pub(crate) mod random;
pub(crate) mod splice;
pub(crate) mod text;
mod window;
mod words;

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

//! Blocks of sixty-four bytes of JSON with where their strings and brackets are, so that the tokens
//! in one block are found by counting bits instead of being read.

use super::block::{BLOCK, Best, Block};
use super::blocks::{escaped, parity};
use super::prefetch;

/// The block at hand.
pub(super) struct Window<'a> {
    buf: &'a [u8],
    base: usize,
    /// Quotes that begin or end a string.
    quotes: u64,
    /// Brackets outside of strings, opening and closing.
    brackets: u64,
    /// The state for the next block: all ones inside a string, 1 after an odd backslash.
    in_text: u64,
    escapes: u64,
    /// There was a backslash in a block so far.
    pub(super) has_backslash: bool,
}

impl<'a> Window<'a> {
    /// The block at `pos`, which is outside of any string; `None` if it is not whole or holds what
    /// cannot be read so.
    #[inline(always)]
    pub(super) fn at(buf: &'a [u8], pos: usize) -> Option<Window<'a>> {
        let mut window = Window {
            buf,
            base: pos,
            quotes: 0,
            brackets: 0,
            in_text: 0,
            escapes: 0,
            has_backslash: false,
        };
        window.read().then_some(window)
    }

    /// Reads the block at `base`. False if it is not whole, or if a backslash stands outside of
    /// strings.
    #[inline(always)]
    fn read(&mut self) -> bool {
        let Some(block) = self.buf.get(self.base..).and_then(|rest| rest.first_chunk::<BLOCK>())
        else {
            return false;
        };
        prefetch(self.buf, self.base);
        let block = Best::new(block);
        self.quotes = block.find(b'"');
        let brackets = block.brackets();
        let mut backslashes = 0;
        // Backslashes are rare: one look tells whether there is any.
        if block.contains(b'\\') || self.escapes != 0 {
            backslashes = block.find(b'\\');
            let (escaped, escapes) = escaped(backslashes, self.escapes);
            self.quotes &= !escaped;
            self.escapes = escapes;
            self.has_backslash = true;
        }
        let text = parity(self.quotes) ^ self.in_text;
        self.brackets = brackets & !text;
        // All ones if the block ends inside a string.
        self.in_text = ((text as i64) >> 63) as u64;
        backslashes & !text == 0
    }

    #[inline(always)]
    fn next(&mut self) -> bool {
        self.base += BLOCK;
        self.read()
    }

    /// The place of the next quote from `pos` on, which is not before the block; `None` where whole
    /// blocks end before it.
    #[inline(always)]
    pub(super) fn quote(&mut self, mut pos: usize) -> Option<usize> {
        loop {
            let offset = pos - self.base;
            if offset < BLOCK {
                let rest = self.quotes >> offset;
                if rest != 0 {
                    return Some(pos + rest.trailing_zeros() as usize);
                }
                pos = self.base + BLOCK;
            }
            if !self.next() {
                return None;
            }
        }
    }

    /// The place after the bracket that closes the container in which `pos` is, outside of any
    /// string; `None` where whole blocks end before it, or where brackets are more than `room`
    /// deep.
    #[inline(always)]
    pub(super) fn close(&mut self, mut pos: usize, room: usize) -> Option<usize> {
        let mut depth = 1;
        loop {
            let offset = pos - self.base;
            if offset < BLOCK {
                let mut rest = self.brackets >> offset;
                while rest != 0 {
                    let at = pos + rest.trailing_zeros() as usize;
                    // Bit 1 tells `[` and `{` from `]` and `}`.
                    if self.buf[at] & 2 == 0 {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    } else {
                        depth += 1;
                        if depth > room {
                            return None;
                        }
                    }
                    rest &= rest - 1;
                }
                pos = self.base + BLOCK;
            }
            if !self.next() {
                return None;
            }
        }
    }
}

//! Skipping JSON containers sixty-four bytes at a time.
//!
//! Each block becomes four masks of one bit a byte: quotes, backslashes, opening and closing
//! brackets. Brackets inside strings are masked out by the running parity of the quotes that are
//! not escaped, and a block that cannot hold the closing bracket of the container costs two
//! population counts. The scanner's byte-wise skip has the same rules and is the oracle of the
//! tests.

pub(super) use super::block::BLOCK;
use super::block::{Best, Block};

/// How far a skip came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Skipped {
    /// Next byte to read.
    pub(super) pos: usize,
    /// Brackets still open; 0: `pos` is after the container.
    pub(super) depth: usize,
    /// `pos` is inside a string, never after an odd backslash.
    pub(super) in_text: bool,
}

/// Reads on at `pos`, outside any string and `depth` brackets deep, for as long as whole blocks
/// last and the depth stays within `max_depth`.
pub(super) fn skip(buf: &[u8], pos: usize, depth: usize, max_depth: usize) -> Skipped {
    skip_by::<Best>(buf, pos, depth, max_depth)
}

#[inline(always)]
fn skip_by<B: Block>(buf: &[u8], pos: usize, depth: usize, max_depth: usize) -> Skipped {
    let (mut at, mut depth) = (pos, depth);
    let (mut in_text, mut escapes) = (0u64, 0u64);
    while let Some(block) = buf.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
        let block = B::new(block);
        let backslashes = block.find(b'\\');
        let (escaped, escapes_next) = escaped(backslashes, escapes);
        let text = parity(block.find(b'"') & !escaped) ^ in_text;
        let (opens, closes) = block.opens_and_closes();
        let (opens, closes) = (opens & !text, closes & !text);
        if depth + opens.count_ones() as usize > max_depth || backslashes & !text != 0 {
            // Too deep, or a backslash outside of strings: the byte has to be found.
            break;
        }
        if closes.count_ones() as usize >= depth {
            let mut brackets = opens | closes;
            while brackets != 0 {
                let lowest = brackets & brackets.wrapping_neg();
                if opens & lowest != 0 {
                    depth += 1;
                } else {
                    depth -= 1;
                    if depth == 0 {
                        return Skipped {
                            pos: at + lowest.trailing_zeros() as usize + 1,
                            depth,
                            in_text: false,
                        };
                    }
                }
                brackets ^= lowest;
            }
        } else {
            depth = depth + opens.count_ones() as usize - closes.count_ones() as usize;
        }
        // All ones if the block ends inside a string.
        in_text = ((text as i64) >> 63) as u64;
        escapes = escapes_next;
        at += BLOCK;
    }
    // A backslash at the end of the last block is read again with what it escapes.
    Skipped { pos: at - escapes as usize, depth, in_text: in_text != 0 }
}

/// The place of the quote that ends the string in which `pos` is, outside of any escape. Where
/// whole blocks end before it: the place where they do, or of the backslash there whose other half
/// is still to come.
pub(super) fn quote(buf: &[u8], pos: usize) -> usize {
    quote_by::<Best>(buf, pos)
}

#[inline(always)]
fn quote_by<B: Block>(buf: &[u8], pos: usize) -> usize {
    let (mut at, mut escapes) = (pos, 0u64);
    while let Some(block) = buf.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
        let block = B::new(block);
        let (escaped, escapes_next) = escaped(block.find(b'\\'), escapes);
        let quotes = block.find(b'"') & !escaped;
        if quotes != 0 {
            return at + quotes.trailing_zeros() as usize;
        }
        escapes = escapes_next;
        at += BLOCK;
    }
    at - escapes as usize
}

/// Bytes that a backslash before them escapes, given by bit 0 of `carry` whether the first one is;
/// and the carry for the next block. Every second backslash of a run is itself escaped.
#[inline(always)]
pub(super) fn escaped(backslashes: u64, carry: u64) -> (u64, u64) {
    if backslashes == 0 {
        return (carry, 0);
    }
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let backslashes = backslashes & !carry;
    let follows = backslashes << 1 | carry;
    let odd_starts = backslashes & !EVEN & !follows;
    let (sequences, overflow) = odd_starts.overflowing_add(backslashes);
    let escaped = (EVEN ^ (sequences << 1)) & follows;
    (escaped, u64::from(overflow))
}

/// Each bit becomes the parity of itself and the bits below it.
#[inline(always)]
pub(super) fn parity(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::super::block::vectors::Vectors;
    use super::super::block::words::Words;
    use super::super::random::random;
    use super::*;

    #[test]
    fn a_string_ends_where_it_does_byte_by_byte() {
        strings_end_where_they_do::<Vectors>();
        strings_end_where_they_do::<Words>();
    }

    fn strings_end_where_they_do<B: Block>() {
        let mut random = random();
        let (mut ended, mut cut) = (0, 0);
        for _ in 0..20_000 {
            let alphabet: &[u8] = [
                &b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\\""[..],
                b"\\\\\\\"a",
                b"\\",
            ][random(3)];
            let first = [&b""[..], b"a"][random(2)];
            let text: Vec<u8> = first
                .iter()
                .copied()
                .chain((0..random(300)).map(|_| alphabet[random(alphabet.len())]))
                .collect();
            let blocks = &text[..text.len() / BLOCK * BLOCK];
            let mut at = 0;
            while at < blocks.len() && blocks[at] != b'"' {
                at += if blocks[at] == b'\\' { 2 } else { 1 };
            }
            // An escape may reach past the last block.
            let expected = if at > blocks.len() { blocks.len() - 1 } else { at };
            assert_eq!(quote_by::<B>(&text, 0), expected, "{}", String::from_utf8_lossy(&text));
            ended += usize::from(blocks.get(expected) == Some(&b'"'));
            cut += usize::from(at > blocks.len());
        }
        assert!(ended > 5000 && cut > 1000, "{ended} {cut}");
    }

    /// Byte by byte, the same; stops where whole blocks end.
    fn plain(buf: &[u8], depth: usize, max_depth: usize) -> Skipped {
        let (mut depth, mut in_text, mut escape) = (depth, false, false);
        for (start, block) in buf.as_chunks::<BLOCK>().0.iter().enumerate() {
            let opens_at = depth;
            let before =
                Skipped { pos: start * BLOCK - usize::from(escape), depth: opens_at, in_text };
            let mut opened = 0;
            let mut end = None;
            for (at, &byte) in block.iter().enumerate() {
                match byte {
                    _ if escape => escape = false,
                    b'\\' if !in_text => return before,
                    b'\\' => escape = true,
                    b'"' => in_text = !in_text,
                    b'{' | b'[' if !in_text => {
                        opened += 1;
                        depth += 1;
                    }
                    b'}' | b']' if !in_text && end.is_none() => {
                        depth -= 1;
                        if depth == 0 {
                            end = Some(Skipped { pos: start * BLOCK + at + 1, depth, in_text });
                            depth = 1000;
                        }
                    }
                    _ => {}
                }
            }
            if opens_at + opened > max_depth {
                return before;
            }
            if let Some(end) = end {
                return end;
            }
        }
        let blocks = buf.len() / BLOCK * BLOCK;
        Skipped { pos: blocks - usize::from(escape), depth, in_text }
    }

    #[test]
    fn blocks_agree_with_bytes() {
        containers_end_where_they_do::<Vectors>();
        containers_end_where_they_do::<Words>();
    }

    fn containers_end_where_they_do<B: Block>() {
        let mut random = random();
        let mut ended = 0;
        for _ in 0..20_000 {
            let alphabet: &[u8] =
                [&b"{}[]\"\\ax,:"[..], b"\\\\\\\"a", b"aaaaaaaaaaaaaaaaaa{}\"", b"{[}]"][random(4)];
            let text: Vec<u8> =
                (0..random(300)).map(|_| alphabet[random(alphabet.len())]).collect();
            let (depth, max_depth) = (1 + random(5), 5 + random(200));
            let skipped = skip_by::<B>(&text, 0, depth, max_depth);
            assert_eq!(
                skipped,
                plain(&text, depth, max_depth),
                "{}",
                String::from_utf8_lossy(&text)
            );
            ended += usize::from(skipped.depth == 0);
        }
        assert!(ended > 1000, "{ended}");
    }
}

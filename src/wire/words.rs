//! Searching eight bytes at a time, in plain integers.
//!
//! Strings in these objects are short (median 9 bytes), which is where words of eight beat wider
//! vectors.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks, by their high bits, bytes of `word` that are zero. Bytes above the first zero byte may be
/// marked wrongly, the lowest mark never is.
#[inline(always)]
pub(super) const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

#[inline(always)]
pub(super) const fn equal(word: u64, byte: u8) -> u64 {
    zeros(word ^ (ONES * byte as u64))
}

/// The first offset from `from` on whose byte `wanted` says yes to, eight at a time by `marks`, or
/// the end of `buf`.
#[inline(always)]
fn find(buf: &[u8], from: usize, marks: impl Fn(u64) -> u64, wanted: impl Fn(u8) -> bool) -> usize {
    let mut at = from;
    while let Some(bytes) = buf.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = marks(u64::from_le_bytes(*bytes));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while at < buf.len() && !wanted(buf[at]) {
        at += 1;
    }
    at
}

#[inline(always)]
pub(super) fn find_quote_or_backslash(buf: &[u8], from: usize) -> usize {
    find(
        buf,
        from,
        |word| equal(word, b'"') | equal(word, b'\\'),
        |byte| matches!(byte, b'"' | b'\\'),
    )
}

#[inline(always)]
pub(super) fn find_structural(buf: &[u8], from: usize) -> usize {
    // Setting bit 5 turns `[` into `{` and `]` into `}` and no other byte into either.
    const BIT_5: u64 = ONES * 0x20;
    find(
        buf,
        from,
        |word| {
            equal(word | BIT_5, b'{')
                | equal(word | BIT_5, b'}')
                | equal(word, b'"')
                | equal(word, b'\\')
        },
        |byte| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b'[' | b']'),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_search_agrees_with_byte_search() {
        for byte in 0..=255u8 {
            for at in 0..20 {
                let mut buf = [b'x'; 24];
                buf[at] = byte;
                let plain = buf.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(24);
                assert_eq!(find_quote_or_backslash(&buf, 0), plain);
                let plain = buf
                    .iter()
                    .position(|byte| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b'[' | b']'))
                    .unwrap_or(24);
                assert_eq!(find_structural(&buf, 0), plain);
            }
        }
    }
}

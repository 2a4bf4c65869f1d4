//! Comparing thirty-two bytes with the bytes of a form.
//!
//! As in [`super::block`], `Vectors` compares with the vectors of the `wide` crate, and `Words`
//! compares eight bytes at a time where the target has none. Both are tested on every machine.

use super::block;

/// Bytes that are compared at once.
pub(super) const EXPECTED: usize = 32;

/// The comparisons of this target: those of the same kind as the blocks'.
pub(super) type Best = <block::Best as Kind>::Compare;

/// Vectors or words, whose blocks and comparisons go together.
pub(super) trait Kind {
    type Compare: Compare;
}

impl Kind for block::vectors::Vectors {
    type Compare = vectors::Vectors;
}

impl Kind for block::words::Words {
    type Compare = words::Words;
}

/// For each of thirty-two bytes: a fixed byte; any byte except a quote and a backslash; or any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// The bytes; a quote where any but a quote may stand.
    bytes: [u8; EXPECTED],
    /// All ones where the byte has to stand.
    fixed: [u8; EXPECTED],
    /// All ones where the byte matters.
    matters: [u8; EXPECTED],
}

impl Expected {
    /// Nothing is expected.
    pub(super) const NOTHING: Expected =
        Expected { bytes: [0; EXPECTED], fixed: [0; EXPECTED], matters: [0; EXPECTED] };

    /// Expects `byte`, which is no backslash, at `at`; any byte of a text if it is `None`.
    pub(super) fn set(&mut self, at: usize, byte: Option<u8>) {
        self.matters[at] = u8::MAX;
        (self.bytes[at], self.fixed[at]) = match byte {
            Some(byte) => (byte, u8::MAX),
            None => (b'"', 0),
        };
    }
}

/// The differences of bytes from those expected.
pub(super) trait Compare: Copy {
    /// No differences.
    fn none() -> Self;

    /// Adds the differences of `text`, all of whose bytes matter.
    fn add(&mut self, expected: &Expected, text: &[u8; EXPECTED]);

    /// Returns `true` if there are differences.
    fn any(self) -> bool;

    /// Returns `true` if a byte that matters differs.
    fn differs(expected: &Expected, text: &[u8; EXPECTED]) -> bool;

    /// The place of the first quote or backslash.
    fn quote_or_backslash(text: &[u8; EXPECTED]) -> Option<usize>;
}

#[cfg_attr(not(test), allow(dead_code, reason = "not every target has vectors"))]
pub(super) mod vectors {
    use wide::u8x32;

    use super::{Compare, EXPECTED, Expected};

    #[derive(Clone, Copy)]
    pub(in super::super) struct Vectors(u8x32);

    /// One comparison finds both a fixed byte that is not there, and a quote that is.
    #[inline(always)]
    fn differences(expected: &Expected, text: &[u8; EXPECTED]) -> u8x32 {
        let text = u8x32::new(*text);
        let same = text.simd_eq(u8x32::new(expected.bytes));
        (same ^ u8x32::new(expected.fixed)) | text.simd_eq(u8x32::splat(b'\\'))
    }

    impl Compare for Vectors {
        #[inline(always)]
        fn none() -> Vectors {
            Vectors(u8x32::splat(0))
        }

        #[inline(always)]
        fn add(&mut self, expected: &Expected, text: &[u8; EXPECTED]) {
            self.0 |= differences(expected, text);
        }

        #[inline(always)]
        fn any(self) -> bool {
            self.0.to_bitmask() != 0
        }

        #[inline(always)]
        fn differs(expected: &Expected, text: &[u8; EXPECTED]) -> bool {
            Vectors(differences(expected, text) & u8x32::new(expected.matters)).any()
        }

        #[inline(always)]
        fn quote_or_backslash(text: &[u8; EXPECTED]) -> Option<usize> {
            let text = u8x32::new(*text);
            let found = text.simd_eq(u8x32::splat(b'"')) | text.simd_eq(u8x32::splat(b'\\'));
            let found = found.to_bitmask();
            (found != 0).then(|| found.trailing_zeros() as usize)
        }
    }
}

#[cfg_attr(not(test), allow(dead_code, reason = "most targets have vectors"))]
pub(super) mod words {
    use super::super::words::{equal, find_quote_or_backslash, zeros};
    use super::{Compare, EXPECTED, Expected};

    #[derive(Clone, Copy)]
    pub(in super::super) struct Words(u64);

    /// The words of a block, its first byte the lowest.
    #[inline(always)]
    fn words(block: &[u8; EXPECTED]) -> impl Iterator<Item = u64> + '_ {
        block.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word))
    }

    /// Not 0 if a byte of `text` is not the fixed one of `bytes`, or is the quote of `bytes`, or a
    /// backslash.
    #[inline(always)]
    fn differences(text: u64, bytes: u64, fixed: u64) -> u64 {
        let others = text ^ bytes;
        others & fixed | zeros(others | fixed) | equal(text, b'\\')
    }

    impl Compare for Words {
        #[inline(always)]
        fn none() -> Words {
            Words(0)
        }

        #[inline(always)]
        fn add(&mut self, expected: &Expected, text: &[u8; EXPECTED]) {
            let own = words(&expected.bytes).zip(words(&expected.fixed));
            for (text, (bytes, fixed)) in words(text).zip(own) {
                self.0 |= differences(text, bytes, fixed);
            }
        }

        #[inline(always)]
        fn any(self) -> bool {
            self.0 != 0
        }

        #[inline(always)]
        fn differs(expected: &Expected, text: &[u8; EXPECTED]) -> bool {
            let own = words(&expected.bytes).zip(words(&expected.fixed));
            let all = words(text).zip(words(&expected.matters)).zip(own);
            // Bytes that do not matter are masked to 0 on both sides, as fixed bytes.
            all.fold(0, |found, ((text, matters), (bytes, fixed))| {
                found | differences(text & matters, bytes, fixed | !matters)
            }) != 0
        }

        #[inline(always)]
        fn quote_or_backslash(text: &[u8; EXPECTED]) -> Option<usize> {
            let at = find_quote_or_backslash(text, 0);
            (at < EXPECTED).then_some(at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::random;
    use super::vectors::Vectors;
    use super::words::Words;
    use super::*;

    fn agrees_with_bytes<C: Compare>() {
        let mut random = random();
        // Bytes that differ in little from a quote or a backslash, and from each other.
        let alphabet = b"\"\\\x22\x23\xa2\x5c\x5d\xdc\x1c\x00\x01\x7f\x80\xff";
        let mut count = [0; 4];
        for round in 0..40_000 {
            let mut text: [u8; EXPECTED] =
                std::array::from_fn(|_| alphabet[random(alphabet.len())]);
            let mut expected = Expected::NOTHING;
            let mut wanted = [None; EXPECTED];
            for at in 0..EXPECTED {
                let kind = random(4);
                if kind == 0 && round % 2 == 0 {
                    continue;
                }
                let own = (kind > 1).then(|| text[at]).filter(|&own| own != b'\\');
                expected.set(at, own);
                wanted[at] = Some(own);
                if own.is_none() {
                    while matches!(text[at], b'"' | b'\\') {
                        text[at] = alphabet[random(alphabet.len())];
                    }
                }
            }
            for _ in 0..random(3) {
                text[random(EXPECTED)] = alphabet[random(alphabet.len())];
            }
            let differs = text.iter().zip(wanted).any(|(&byte, wanted)| match wanted {
                Some(Some(own)) => byte != own,
                Some(None) => matches!(byte, b'"' | b'\\'),
                None => false,
            });
            assert_eq!(C::differs(&expected, &text), differs, "{round}: {expected:x?} {text:x?}");
            let all = wanted.iter().all(Option::is_some);
            if all {
                let mut found = C::none();
                found.add(&expected, &text);
                assert_eq!(found.any(), differs, "{round}: {expected:x?} {text:x?}");
                found.add(&expected, &[b'\\'; EXPECTED]);
                assert!(found.any());
            }
            count[usize::from(differs) + 2 * usize::from(all)] += 1;
            let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            assert_eq!(C::quote_or_backslash(&text), end, "{text:x?}");
        }
        assert!(count.iter().all(|&count| count > 2_000), "{count:?}");
        assert_eq!(C::quote_or_backslash(&[b'x'; EXPECTED]), None);
    }

    #[test]
    fn vectors_agree_with_bytes() {
        agrees_with_bytes::<Vectors>();
    }

    #[test]
    fn words_agree_with_bytes() {
        agrees_with_bytes::<Words>();
    }
}

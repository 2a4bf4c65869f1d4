//! Comparisons of the sixty-four bytes of a block, each with one bit of the result per byte.
//!
//! `Vectors` compares with the vectors of the `wide` crate, so there is no unsafe code here. Where
//! the target has no vectors that `wide` knows, it compares byte by byte; `Words` compares eight
//! bytes at a time in plain integers there. Both are tested on every machine.

/// Bytes of a block.
pub(super) const BLOCK: usize = 64;

/// The comparisons of this target.
#[cfg(any(
    target_feature = "sse2",
    target_feature = "simd128",
    all(target_arch = "aarch64", target_feature = "neon")
))]
pub(super) type Best = vectors::Vectors;
#[cfg(not(any(
    target_feature = "sse2",
    target_feature = "simd128",
    all(target_arch = "aarch64", target_feature = "neon")
)))]
pub(super) type Best = words::Words;

/// A block. Bit `n` of each result is for byte `n`.
pub(super) trait Block {
    fn new(block: &[u8; BLOCK]) -> Self;

    /// The bytes that are `byte`.
    fn find(&self, byte: u8) -> u64;

    /// Returns `true` if a byte is `byte`.
    fn contains(&self, byte: u8) -> bool;

    /// The opening and the closing brackets.
    fn opens_and_closes(&self) -> (u64, u64);

    /// The brackets of either kind.
    fn brackets(&self) -> u64;
}

/// Setting it turns `[` into `{` and `]` into `}` and no other byte into either.
const BIT_5: u8 = 0x20;

#[cfg_attr(not(test), allow(dead_code, reason = "not every target has vectors"))]
pub(super) mod vectors {
    use wide::u8x32;

    use super::{BIT_5, BLOCK, Block};

    /// A block as two vectors.
    pub(in super::super) struct Vectors(u8x32, u8x32);

    impl Vectors {
        /// One bit for each byte of both halves.
        #[inline(always)]
        fn bits(&self, test: impl Fn(u8x32) -> u8x32) -> u64 {
            let bits = |half| u64::from(test(half).to_bitmask());
            bits(self.0) | bits(self.1) << 32
        }
    }

    impl Block for Vectors {
        #[inline(always)]
        fn new(block: &[u8; BLOCK]) -> Vectors {
            let (low, high) = block.split_at(BLOCK / 2);
            let half = |half: &[u8]| u8x32::new(half.try_into().expect("half a block"));
            Vectors(half(low), half(high))
        }

        #[inline(always)]
        fn find(&self, byte: u8) -> u64 {
            let byte = u8x32::splat(byte);
            self.bits(|half| half.simd_eq(byte))
        }

        #[inline(always)]
        fn contains(&self, byte: u8) -> bool {
            let byte = u8x32::splat(byte);
            (self.0.simd_eq(byte) | self.1.simd_eq(byte)).to_bitmask() != 0
        }

        #[inline(always)]
        fn opens_and_closes(&self) -> (u64, u64) {
            let bit_5 = u8x32::splat(BIT_5);
            let lowered = Vectors(self.0 | bit_5, self.1 | bit_5);
            (lowered.find(b'{'), lowered.find(b'}'))
        }

        #[inline(always)]
        fn brackets(&self) -> u64 {
            // `]` is `[` and 2, `{` and `}` are the two and 0x20.
            let [first, bits, none] = [b'[', !0x22, 0].map(u8x32::splat);
            self.bits(|half| ((half - first) & bits).simd_eq(none))
        }
    }
}

#[cfg_attr(not(test), allow(dead_code, reason = "most targets have vectors"))]
pub(super) mod words {
    use super::{BIT_5, BLOCK, Block};

    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;

    /// A block as eight words. The first byte of each is its lowest, whatever the machine's order.
    pub(in super::super) struct Words([u64; 8]);

    /// Clears the high bit of each byte of `word` that is `byte`, and sets that of all others. The
    /// sum carries from no byte into the next.
    #[inline(always)]
    const fn differ(word: u64, byte: u8) -> u64 {
        let word = word ^ (ONES * byte as u64);
        ((word & !HIGHS) + !HIGHS) | word
    }

    impl Words {
        /// One bit for each byte whose high bit `test` leaves clear.
        #[inline(always)]
        fn bits(&self, test: impl Fn(u64) -> u64) -> u64 {
            // Multiplied by this, the lowest bits of the bytes meet in the highest byte.
            const GATHER: u64 = 0x0102_0408_1020_4080;
            let mut bits = 0;
            for (at, &word) in self.0.iter().enumerate() {
                let found = (!test(word) & HIGHS) >> 7;
                bits |= (found.wrapping_mul(GATHER) >> 56) << (8 * at);
            }
            bits
        }
    }

    impl Block for Words {
        #[inline(always)]
        fn new(block: &[u8; BLOCK]) -> Words {
            let mut words = [0; 8];
            for (word, bytes) in words.iter_mut().zip(block.as_chunks::<8>().0) {
                *word = u64::from_le_bytes(*bytes);
            }
            Words(words)
        }

        #[inline(always)]
        fn find(&self, byte: u8) -> u64 {
            self.bits(|word| differ(word, byte))
        }

        #[inline(always)]
        fn contains(&self, byte: u8) -> bool {
            !self.0.iter().fold(HIGHS, |all, &word| all & differ(word, byte)) & HIGHS != 0
        }

        #[inline(always)]
        fn opens_and_closes(&self) -> (u64, u64) {
            let lowered = Words(self.0.map(|word| word | (ONES * BIT_5 as u64)));
            (lowered.find(b'{'), lowered.find(b'}'))
        }

        #[inline(always)]
        fn brackets(&self) -> u64 {
            self.bits(|word| {
                let word = word | (ONES * BIT_5 as u64);
                differ(word, b'{') & differ(word, b'}')
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::random;
    use super::vectors::Vectors;
    use super::words::Words;
    use super::*;

    fn agrees_with_bytes<B: Block>() {
        let mut random = random();
        for round in 0..20_000 {
            let alphabet: &[u8] = [
                // Bytes that differ in one bit from a bracket, a quote or a backslash.
                &b"[]{}\x5a\x5f\x4b\x7a\x7f\x3b\xdb\xdd\xfb\xfd"[..],
                b"\"\\\x22\x23\xa2\x5c\x5d\xdc\x1c",
                b"\x00\x01\x7f\x80\x81\xff",
            ][random(3)];
            let mut block = [0; BLOCK];
            for byte in &mut block {
                *byte = match random(3) {
                    0 => random(256) as u8,
                    _ => alphabet[random(alphabet.len())],
                };
            }
            let bits = |test: &dyn Fn(u8) -> bool| {
                (0..BLOCK).fold(0, |bits, at| bits | u64::from(test(block[at])) << at)
            };
            let found = B::new(&block);
            let any = random(256) as u8;
            for byte in [any, b'"', b'\\', 0, 0x80] {
                let expected = bits(&|each| each == byte);
                assert_eq!(found.find(byte), expected, "{round}: {byte:#x} in {block:x?}");
                assert_eq!(found.contains(byte), expected != 0, "{round}: {byte:#x} in {block:x?}");
            }
            let (opens, closes) =
                (bits(&|byte| b"{[".contains(&byte)), bits(&|byte| b"}]".contains(&byte)));
            assert_eq!(found.opens_and_closes(), (opens, closes), "{round}: {block:x?}");
            assert_eq!(found.brackets(), opens | closes, "{round}: {block:x?}");
        }
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

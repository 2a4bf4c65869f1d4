//! Random choices that depend on nothing but a seed (splitmix64), or on the fuzzer's bytes as long
//! as they last.

pub struct Rng {
    seed: u64,
    /// Choices to make first, the last one first.
    given: Vec<u8>,
}

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng {
            seed: seed.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x5851_f42d_4c95_7f2d,
            given: Vec::new(),
        }
    }

    /// Two bytes a choice; after that choices are as `seed` has them.
    pub fn given(bytes: &[u8], seed: u64) -> Rng {
        Rng { given: bytes.iter().rev().copied().collect(), ..Rng::new(seed) }
    }

    /// Whether there are bytes left.
    pub fn is_given(&self) -> bool {
        !self.given.is_empty()
    }

    pub fn next(&mut self) -> u64 {
        if let Some(high) = self.given.pop() {
            return u64::from(u16::from_be_bytes([high, self.given.pop().unwrap_or(0)])) << 48;
        }
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.seed;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        (((self.next() >> 32) * count as u64) >> 32) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True once in `count` times.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// How many of `count` bytes or events to move: often few, sometimes all.
    pub fn some_of(&mut self, count: usize) -> usize {
        match self.below(8) {
            0 => self.between(1, 3),
            1 => self.between(1, 30),
            2 => self.between(1, 1000),
            3 => self.between(1, count.max(1)),
            _ => count,
        }
        .min(count)
    }
}

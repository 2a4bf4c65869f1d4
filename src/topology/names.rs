//! Names of the cluster: maps keyed by them, and their hashes.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::OnceLock;

use crate::hash::{FastState, RandomState};

/// Names to values, with a hasher that is seeded anew in every process: the names come from the
/// cluster.
pub(crate) type Names<V> = HashMap<Box<[u8]>, V, FastState>;

/// The secret of the hashes, one for each process: names come from the cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seeds([u64; 4]);

impl Seeds {
    pub(crate) fn of_process() -> Seeds {
        static SEEDS: OnceLock<Seeds> = OnceLock::new();
        *SEEDS.get_or_init(|| {
            let random = RandomState::default();
            Seeds(std::array::from_fn(|at| random.hash_one(at)))
        })
    }

    /// Hashes a name. Names of 16 to 32 bytes, which most are, take two products side by side.
    #[inline(always)]
    pub(crate) fn hash(&self, name: &[u8]) -> u64 {
        let word = |at: usize| match name.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(word) => u64::from_le_bytes(*word),
            None => 0,
        };
        let len = name.len();
        let [first, second, third, fourth] = self.0;
        if len < 16 {
            let (low, high) = match len {
                8.. => (word(0), word(len - 8)),
                _ => (name.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0),
            };
            return fold(low ^ first, high ^ second ^ len as u64);
        }
        let mut start = fold(word(0) ^ first, word(8) ^ second ^ len as u64);
        let end = fold(word(len - 16) ^ third, word(len - 8) ^ fourth);
        let mut at = 16;
        while at + 16 < len {
            start = fold(start ^ word(at), word(at + 8) ^ second);
            at += 16;
        }
        start.rotate_left(32) ^ end
    }
}

/// The two halves of a wide product, laid together: low bits of a product know nothing of the high
/// ones of its factors.
#[inline(always)]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

/// Compares two names. They are short, and most often the same where their hashes are: names of 8
/// to 32 bytes take two compares, which may overlap.
#[inline(always)]
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    match (one.len(), other.len()) {
        (8..=16, len) if len == one.len() => ends_are_same::<8>(one, other),
        (17..=32, len) if len == one.len() => ends_are_same::<16>(one, other),
        _ => one == other,
    }
}

/// Compares the first and the last `N` bytes.
#[inline(always)]
fn ends_are_same<const N: usize>(one: &[u8], other: &[u8]) -> bool {
    one.first_chunk::<N>() == other.first_chunk() && one.last_chunk::<N>() == other.last_chunk()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_if_all_their_bytes_are() {
        for len in 0..70 {
            let name: Vec<u8> = (0..len).collect();
            assert!(is_same(&name, &name.clone()));
            for at in 0..name.len() {
                let mut other = name.clone();
                other[at] ^= 0x80;
                assert!(!is_same(&name, &other), "{len} bytes, another at {at}");
                assert!(!is_same(&name, &name[..at]), "{len} bytes and {at}");
            }
        }
    }

    #[test]
    fn hashes_of_names_seldom_meet() {
        let seeds = Seeds::of_process();
        let hashes: Vec<u64> = (0..100_000)
            .map(|number| seeds.hash(format!("edge-{number}.site.example").as_bytes()))
            .collect();
        // Also in the bits that choose a slot.
        for bits in [32, 64] {
            let mut low: Vec<u64> = hashes.iter().map(|hash| hash << (64 - bits)).collect();
            low.sort_unstable();
            low.dedup();
            assert!(low.len() > 99_900, "{} of 100,000 by {bits} bits", low.len());
        }
    }
}

//! The nodes of one pool.

use super::names::Names;

/// The nodes of one pool, each with the number of objects that name it.
///
/// Nearly all endpoints of a cluster are on nodes of other pools, and every one is asked for: a
/// [`Sieve`] answers for most of them without the look-up.
#[derive(Debug, Default)]
pub(crate) struct Members {
    named_by: Names<u32>,
    sieve: Sieve,
    /// Nodes that went and that the sieve still lets through.
    gone: usize,
    /// Another number whenever other nodes are in the pool, and another than that of any other
    /// pool.
    revision: u64,
}

impl Members {
    #[inline(always)]
    pub(crate) fn contains(&self, node: &[u8]) -> bool {
        self.sieve.passes(node) && self.named_by.contains_key(node)
    }

    /// A number that tells these members from those of another pool or another time.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The members have changed, and are told from now on by this number.
    pub(crate) fn set_revision(&mut self, revision: u64) {
        self.revision = revision;
    }

    /// One more object names the node; true if it is new to the pool.
    pub(crate) fn add(&mut self, node: &[u8]) -> bool {
        if let Some(count) = self.named_by.get_mut(node) {
            *count += 1;
            return false;
        }
        self.named_by.insert(node.into(), 1);
        if self.sieve.is_full(self.named_by.len() + self.gone) {
            self.sift()
        } else {
            self.sieve.admit(node)
        }
        true
    }

    /// One object no longer names the node; true if it was the last.
    pub(crate) fn remove(&mut self, node: &[u8]) -> bool {
        let Some(count) = self.named_by.get_mut(node) else { return false };
        *count -= 1;
        let left = *count == 0;
        if left {
            self.named_by.remove(node);
            self.gone += 1;
            if self.gone > self.named_by.len() {
                self.sift();
            }
        }
        left
    }

    /// Makes the sieve anew.
    fn sift(&mut self) {
        self.gone = 0;
        self.sieve = Sieve::of(self.named_by.keys());
    }
}

/// One bit for each hash that a member has; without any, nothing passes.
#[derive(Debug, Default)]
struct Sieve {
    bits: Box<[u64]>,
}

/// Bits for each member, at least: of names that are no members one in sixteen passes at most, as
/// far as chance goes.
const SPARSE: usize = 16;

impl Sieve {
    fn of<'a>(names: impl ExactSizeIterator<Item = &'a Box<[u8]>>) -> Sieve {
        // Room to grow to twice as many.
        let words = (names.len() * 2 * SPARSE).div_ceil(64).next_power_of_two();
        let mut sieve = Sieve { bits: vec![0; words].into() };
        names.for_each(|name| sieve.admit(name));
        sieve
    }

    fn is_full(&self, names: usize) -> bool {
        names * SPARSE > self.bits.len() * 64
    }

    fn admit(&mut self, name: &[u8]) {
        let hash = hash(name);
        let at = self.word(hash);
        self.bits[at] |= 1 << (hash >> 58);
    }

    #[inline(always)]
    fn passes(&self, name: &[u8]) -> bool {
        let hash = hash(name);
        self.bits.get(self.word(hash)).is_some_and(|word| word >> (hash >> 58) & 1 != 0)
    }

    /// Which word has the bit of a hash; the six highest bits say which bit of it.
    #[inline(always)]
    fn word(&self, hash: u64) -> usize {
        (hash >> 26) as usize & self.bits.len().wrapping_sub(1)
    }
}

/// Cheap, and known to everybody: names that are made to pass cost a look-up in a table that has a
/// seed.
#[inline(always)]
fn hash(name: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(ODD);
    let (words, rest) = name.as_chunks::<8>();
    let hash =
        words.iter().fold(name.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let last = match name.last_chunk::<8>() {
        // Some of it was mixed in already.
        Some(last) => u64::from_le_bytes(*last),
        None => rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    // A product's low bits know nothing of the high ones, where the end of a name is: the ends of
    // the wide one are laid together.
    let product = u128::from(hash.rotate_left(23) ^ last) * u128::from(ODD);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Vec<u8> {
        format!("edge-{number}.site.example").into_bytes()
    }

    #[test]
    fn who_was_added_and_not_removed_is_a_member() {
        let mut members = Members::default();
        assert!(!members.contains(b"") && !members.contains(&name(0)));
        for number in 0..3000 {
            assert!(members.add(&name(number)));
            assert!(!members.add(&name(number)), "a second object names it");
        }
        for number in (0..3000).filter(|number| number % 3 != 0) {
            assert!(!members.remove(&name(number)) && members.contains(&name(number)));
            assert!(members.remove(&name(number)) && !members.contains(&name(number)));
        }
        assert!(!members.remove(b"never there"));
        for number in 0..6000 {
            assert_eq!(
                members.contains(&name(number)),
                number < 3000 && number % 3 == 0,
                "{number}"
            );
        }
    }

    #[test]
    fn names_of_every_length_are_told_apart() {
        let names: Vec<&[u8]> = (0..40)
            .map(|len| &b"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"[..len])
            .collect();
        let mut members = Members::default();
        names.iter().step_by(2).for_each(|name| assert!(members.add(name)));
        for (len, name) in names.iter().enumerate() {
            assert_eq!(members.contains(name), len % 2 == 0, "{len}");
        }
    }

    #[test]
    fn the_sieve_holds_most_others_back_wherever_names_differ() {
        let form: [fn(usize) -> String; 6] = [
            |number| format!("edge-node-{number:04}"),
            |number| format!("worker-{number:04}"),
            |number| format!("n{number}"),
            |number| format!("{number:05}.hangzhou.example"),
            |number| {
                format!("ip-10-0-{}-{}.eu-west-1.compute.internal", number / 250, number % 250)
            },
            |number| format!("{number:012x}"),
        ];
        for (at, form) in form.iter().enumerate() {
            for count in [3, 50, 400] {
                let mut members = Members::default();
                (0..count).for_each(|number| assert!(members.add(form(number * 7).as_bytes())));
                let others = (0..10_000).filter(|number| number % 7 != 0);
                let passed =
                    others.filter(|&number| members.sieve.passes(form(number).as_bytes())).count();
                assert!(passed < 1000, "{passed} of 8,571 past {count} members in form {at}");
            }
        }
    }

    #[test]
    fn the_sieve_holds_most_others_back_however_many_came_and_went() {
        let mut members = Members::default();
        for round in 0..10 {
            for number in 0..500 {
                assert!(members.add(&name(round * 500 + number)));
            }
            let passed =
                (100_000..110_000).filter(|&number| members.sieve.passes(&name(number))).count();
            assert!(passed < 1500, "{passed} of 10,000 in round {round}");
            for number in 0..500 {
                assert!(members.remove(&name(round * 500 + number)));
            }
        }
        assert!((0..5000).all(|number| !members.contains(&name(number))));
    }
}

//! The nodes of one pool.

use super::names::{Names, Seeds, is_same};

/// The nodes of one pool, each with the number of objects that name it.
///
/// Nearly all endpoints of a cluster are on nodes of other pools, and every one is asked for: a
/// [`Sieve`] answers for most of them without the look-up.
#[derive(Debug, Default)]
pub(crate) struct Members {
    named_by: Names<u32>,
    sieve: Sieve,
    table: Table,
    /// Nodes that went and that the sieve still lets through.
    gone: usize,
    /// Another number whenever other nodes are in the pool, and another than that of any other
    /// pool.
    revision: u64,
}

impl Members {
    #[inline(always)]
    pub(crate) fn contains(&self, node: &[u8]) -> bool {
        let hash = self.table.seeds.hash(node);
        self.sieve.passes(hash) && self.table.has(node, hash)
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
            self.sift();
        } else {
            let hash = self.table.seeds.hash(node);
            self.sieve.admit(hash);
            self.table.insert(node, hash);
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
            self.table.remove(node);
            self.gone += 1;
            if self.gone > self.named_by.len() {
                self.sift();
            }
        }
        left
    }

    /// Makes sieve and table anew.
    fn sift(&mut self) {
        self.gone = 0;
        self.sieve = Sieve::for_names(self.named_by.len());
        self.table = Table::for_names(self.named_by.len());
        for name in self.named_by.keys() {
            let hash = self.table.seeds.hash(name);
            self.sieve.admit(hash);
            self.table.insert(name, hash);
        }
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
    /// An empty sieve with room to grow to twice as many names.
    fn for_names(names: usize) -> Sieve {
        let words = (names * 2 * SPARSE).div_ceil(64).next_power_of_two();
        Sieve { bits: vec![0; words].into() }
    }

    fn is_full(&self, names: usize) -> bool {
        names * SPARSE > self.bits.len() * 64
    }

    fn admit(&mut self, hash: u64) {
        let at = self.word(hash);
        self.bits[at] |= 1 << (hash >> 58);
    }

    #[inline(always)]
    fn passes(&self, hash: u64) -> bool {
        self.bits.get(self.word(hash)).is_some_and(|word| word >> (hash >> 58) & 1 != 0)
    }

    /// Which word has the bit of a hash; the six highest bits say which bit of it.
    #[inline(always)]
    fn word(&self, hash: u64) -> usize {
        (hash >> 26) as usize & self.bits.len().wrapping_sub(1)
    }
}

/// The members by their hashes. It has at most half as many names as slots, those that went
/// included, because it is made anew whenever the sieve is.
#[derive(Debug)]
struct Table {
    seeds: Seeds,
    /// A power of two of slots. A name is in the first vacant slot from that of its hash on. A
    /// table without names has no slots.
    slots: Box<[Slot]>,
    names: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u64,
    /// Where the name is, [`VACANT`] or [`GONE`].
    start: u32,
    len: u32,
}

/// A slot that had no name yet.
const VACANT: u32 = u32::MAX;
/// A slot whose name is no member any more.
const GONE: u32 = u32::MAX - 1;

impl Default for Table {
    fn default() -> Table {
        Table { seeds: Seeds::of_process(), slots: Box::default(), names: Vec::new() }
    }
}

impl Table {
    /// An empty table with room to grow to as many names as [`Sieve::for_names`].
    fn for_names(names: usize) -> Table {
        let bits = (names * 2 * SPARSE).div_ceil(64).next_power_of_two() * 64;
        let vacant = Slot { hash: 0, start: VACANT, len: 0 };
        Table { slots: vec![vacant; bits / SPARSE * 2].into(), ..Table::default() }
    }

    fn insert(&mut self, name: &[u8], hash: u64) {
        let mut at = self.first(hash);
        while self.slots[at].start != VACANT {
            at = self.next(at);
        }
        // Names of 4 GiB together exceed every limit on the objects that name them.
        let place = u32::try_from(self.names.len()).ok().zip(u32::try_from(name.len()).ok());
        if let Some((start, len)) = place.filter(|(start, _)| *start < GONE) {
            self.slots[at] = Slot { hash, start, len };
            self.names.extend_from_slice(name);
        }
    }

    fn remove(&mut self, name: &[u8]) {
        if let Some(at) = self.find(name, self.seeds.hash(name)) {
            self.slots[at].start = GONE;
        }
    }

    #[inline(always)]
    fn has(&self, name: &[u8], hash: u64) -> bool {
        self.find(name, hash).is_some()
    }

    #[inline(always)]
    fn find(&self, name: &[u8], hash: u64) -> Option<usize> {
        let mut at = self.first(hash);
        loop {
            let slot = self.slots.get(at)?;
            if slot.hash == hash && slot.start < GONE {
                let start = slot.start as usize;
                if is_same(&self.names[start..start + slot.len as usize], name) {
                    return Some(at);
                }
            }
            if slot.start == VACANT {
                return None;
            }
            at = self.next(at);
        }
    }

    #[inline(always)]
    fn first(&self, hash: u64) -> usize {
        hash as usize & self.slots.len().wrapping_sub(1)
    }

    #[inline(always)]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Members {
        fn passes(&self, name: &[u8]) -> bool {
            self.sieve.passes(self.table.seeds.hash(name))
        }
    }

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
    fn names_that_differ_in_any_byte_are_told_apart() {
        for len in 1..80 {
            let mut members = Members::default();
            assert!(members.add(&vec![b'a'; len]));
            for at in 0..len {
                let mut other = vec![b'a'; len];
                other[at] = b'b';
                assert!(!members.contains(&other), "{at} of {len}");
                assert!(members.add(&other) && members.contains(&other), "{at} of {len}");
            }
            assert!(members.remove(&vec![b'a'; len]) && !members.contains(&vec![b'a'; len]));
            assert!(members.add(&vec![b'a'; len]) && members.contains(&vec![b'a'; len]));
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
                    others.filter(|&number| members.passes(form(number).as_bytes())).count();
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
            let passed = (100_000..110_000).filter(|&number| members.passes(&name(number))).count();
            assert!(passed < 1500, "{passed} of 10,000 in round {round}");
            for number in 0..500 {
                assert!(members.remove(&name(round * 500 + number)));
            }
        }
        assert!((0..5000).all(|number| !members.contains(&name(number))));
    }
}

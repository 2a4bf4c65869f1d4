//! Hash maps whose hasher has a random seed, because names come from the cluster and whoever may
//! create objects chooses them.
//!
//! Without an operating system there is no source of randomness, and the standard library's seed is
//! the same in every process. There the maps take their seeds from one that the embedder provides.

use std::collections;

pub(crate) type HashMap<K, V> = collections::HashMap<K, V, RandomState>;
pub(crate) type HashSet<T> = collections::HashSet<T, RandomState>;

/// The hasher of maps that are looked up for each object.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(crate) use foldhash::fast::RandomState as FastState;
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(crate) use std::hash::RandomState;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub use self::seeded::seed_hashes;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) use self::seeded::{SeededState as FastState, SeededState as RandomState};

#[cfg(any(test, all(target_family = "wasm", target_os = "unknown")))]
mod seeded {
    use std::hash::BuildHasher;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use foldhash::SharedSeed;
    use foldhash::quality::{FoldHasher, SeedableRandomState};

    static SEED: OnceLock<SharedSeed> = OnceLock::new();

    /// Sets the seed of all hash maps of the process. Returns `false` if it is set already, also by
    /// the first map that was created without one.
    #[cfg_attr(test, allow(unreachable_pub, reason = "tests run where there is randomness"))]
    pub fn seed_hashes(seed: u64) -> bool {
        SEED.set(SharedSeed::from_u64(seed)).is_ok()
    }

    /// Builds hashers from the process's seed. Each value has a seed of its own beside it, so that
    /// copying one map into another does not meet one long chain of collisions.
    #[derive(Debug, Clone)]
    pub(crate) struct SeededState(SeedableRandomState);

    impl SeededState {
        pub(super) fn new(own: u64, seed: &'static SharedSeed) -> SeededState {
            SeededState(SeedableRandomState::with_seed(own, seed))
        }
    }

    impl Default for SeededState {
        fn default() -> SeededState {
            static MADE: AtomicU32 = AtomicU32::new(0);
            let own = u64::from(MADE.fetch_add(1, Ordering::Relaxed));
            SeededState::new(own, SEED.get_or_init(|| SharedSeed::from_u64(0)))
        }
    }

    impl BuildHasher for SeededState {
        type Hasher = FoldHasher<'static>;

        #[inline]
        fn build_hasher(&self) -> Self::Hasher {
            self.0.build_hasher()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::hash::BuildHasher;
    use std::sync::LazyLock;

    use foldhash::SharedSeed;

    use super::seeded::{SeededState, seed_hashes};

    static ONE: LazyLock<SharedSeed> = LazyLock::new(|| SharedSeed::from_u64(1));
    static OTHER: LazyLock<SharedSeed> = LazyLock::new(|| SharedSeed::from_u64(2));

    #[test]
    fn hashes_depend_on_both_seeds() {
        let hash =
            |own, seed: &'static SharedSeed| SeededState::new(own, seed).hash_one("shop/cart");
        assert_eq!(hash(7, &ONE), hash(7, &ONE));
        assert_ne!(hash(7, &ONE), hash(7, &OTHER));
        assert_ne!(hash(7, &ONE), hash(8, &ONE));
    }

    #[test]
    fn a_seed_is_set_once_and_a_map_finds_what_it_holds() {
        let set = seed_hashes(1);
        assert!(!seed_hashes(2), "after {set}");
        let mut map: HashMap<String, usize, SeededState> = HashMap::default();
        for number in 0..1000 {
            map.insert(format!("shop/cart-{number}"), number);
        }
        let copy = map.clone();
        assert!((0..1000).all(|number| copy.get(&format!("shop/cart-{number}")) == Some(&number)));
        let (one, two) = (SeededState::default(), SeededState::default());
        assert_ne!(one.hash_one("shop/cart"), two.hash_one("shop/cart"));
    }
}

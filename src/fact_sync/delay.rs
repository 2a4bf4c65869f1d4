//! How long to wait before a request is repeated.

use std::time::Duration;

/// The longest delay after the first failure.
const FIRST: Duration = Duration::from_millis(200);
/// The longest delay after any number of failures.
const LONGEST: Duration = Duration::from_secs(30);

/// Delays that double from failure to failure, each shortened by chance down to its half: the nodes
/// of a cluster that lost their API server together do not come back together.
#[derive(Debug, Default)]
pub(super) struct Delay {
    failures: u32,
}

impl Delay {
    /// Returns the delay after one more failure.
    pub(super) fn after_failure(&mut self, random: &mut Random) -> Duration {
        let longest = LONGEST.min(FIRST.saturating_mul(1 << self.failures.min(16)));
        self.failures += 1;
        longest - random.below(longest / 2)
    }

    /// The next failure is the first one again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A small generator of random numbers (xorshift). Two with one seed are alike.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        // All bits of the seed count, and the state is never 0.
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d | 1)
    }

    /// Returns a time from zero up to `limit`, without it.
    pub(super) fn below(&mut self, limit: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis((self.0 >> 16) % limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_start_over() {
        let (mut delay, mut random) = (Delay::default(), Random::new(7));
        let mut longest = FIRST;
        for _ in 0..40 {
            let next = delay.after_failure(&mut random);
            assert!(next <= longest && next >= longest / 2, "{next:?} of {longest:?}");
            longest = LONGEST.min(longest * 2);
        }
        assert_eq!(longest, LONGEST);
        delay.reset();
        assert!(delay.after_failure(&mut random) <= FIRST);
    }

    #[test]
    fn every_part_of_a_delay_is_equally_likely() {
        for seed in [0, 1, u64::MAX] {
            let (mut random, mut tenths) = (Random::new(seed), [0; 10]);
            for _ in 0..2000 {
                tenths[(random.below(Duration::from_secs(1)).as_millis() / 100) as usize] += 1;
            }
            assert!(tenths.iter().all(|count| (120..280).contains(count)), "{tenths:?}");
        }
    }

    #[test]
    fn two_seeds_wait_differently() {
        let waits = |seed| {
            let (mut delay, mut random) = (Delay::default(), Random::new(seed));
            [(); 8].map(|()| delay.after_failure(&mut random))
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
        assert_ne!(waits(0), waits(1 << 63));
    }
}

//! Chance that comes from the seed.
//!
//! Each purpose has dice of its own, so that one draw more for the network does not shift the disk's.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A stream of random numbers (SplitMix64: every seed is as good as any other).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of a seed for one purpose.
    pub(super) fn new(seed: u64, purpose: &str) -> Dice {
        let mut state = mix(seed);
        for byte in purpose.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        Dice(state)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        finish(self.0)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Whether something of this probability happens. What never happens costs no draw.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        // 53 bits, as many as a double holds exactly.
        probability > 0.0 && ((self.next() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    /// A number within the range.
    pub(super) fn within(&mut self, range: &RangeInclusive<u64>) -> u64 {
        let span = range.end().saturating_sub(*range.start());
        range.start() + self.below(span.saturating_add(1))
    }

    /// A duration within the range.
    pub(super) fn duration(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        Duration::from_nanos(self.within(&(nanos(*range.start())..=nanos(*range.end()))))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// One step of a hash: spreads every bit of `value` over the result.
pub(super) fn mix(value: u64) -> u64 {
    finish(value.wrapping_add(0x9e37_79b9_7f4a_7c15))
}

fn finish(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_and_purpose_only() {
        let draw = |seed, purpose| Dice::new(seed, purpose).next();
        assert_eq!(draw(1, "network"), draw(1, "network"));
        assert_ne!(draw(1, "network"), draw(2, "network"));
        assert_ne!(draw(1, "network"), draw(1, "disk"));
    }

    #[test]
    fn draws_stay_in_range_and_hit_its_ends() {
        let mut dice = Dice::new(7, "test");
        let mut seen = [false; 4];
        for _ in 0..1000 {
            let drawn = dice.within(&(3..=6));
            seen[usize::try_from(drawn - 3).unwrap()] = true;
        }
        assert_eq!(seen, [true; 4]);
        assert_eq!(dice.below(0), 0);
        assert_eq!(dice.within(&(0..=u64::MAX)).min(1), 1);
    }

    #[test]
    fn probability_is_met() {
        let mut dice = Dice::new(7, "test");
        let mut count = |probability| (0..10_000).filter(|_| dice.happens(probability)).count();
        assert_eq!(count(0.0), 0);
        assert_eq!(count(1.0), 10_000);
        assert!((2300..2700).contains(&count(0.25)));
    }
}

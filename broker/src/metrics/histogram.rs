//! How often something took how long.

use std::time::Duration;

use super::Counter;

/// The bounds of the buckets in seconds: from half a millisecond, as a sync of a good disk takes, to a rebalance.
const BOUNDS_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Durations, counted by bucket.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// One more than bounds: what is above the last.
    buckets: [Counter; BOUNDS_SECONDS.len() + 1],
    sum_ns: Counter,
}

/// What a histogram has counted.
#[derive(Debug, PartialEq)]
pub(crate) struct Counted {
    /// The bound in seconds, and how many took no longer.
    pub(crate) up_to: Vec<(f64, u64)>,
    /// All.
    pub(crate) count: u64,
    /// All they took together, in seconds.
    pub(crate) sum: f64,
}

impl Histogram {
    /// Something took so long.
    pub(crate) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.buckets[BOUNDS_SECONDS.partition_point(|bound| *bound < seconds)].increment();
        self.sum_ns.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What has been counted so far.
    pub(crate) fn counted(&self) -> Counted {
        let mut count = 0;
        let up_to = BOUNDS_SECONDS.iter().zip(&self.buckets).map(|(bound, bucket)| {
            count += bucket.value();
            (*bound, count)
        });
        let up_to: Vec<_> = up_to.collect();
        count += self.buckets[BOUNDS_SECONDS.len()].value();
        Counted { up_to, count, sum: self.sum_ns.value() as f64 / 1e9 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_every_bucket_that_is_not_below_it() {
        let histogram = Histogram::default();
        for ms in [0, 1, 1, 2, 9_999, 60_000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let counted = histogram.counted();
        let up_to = |bound| counted.up_to.iter().find(|(known, _)| *known == bound).map(|(_, count)| *count);
        assert_eq!(up_to(0.0005), Some(1));
        assert_eq!(up_to(0.001), Some(3), "a bound belongs to its bucket");
        assert_eq!(up_to(0.0025), Some(4));
        assert_eq!(up_to(5.0), Some(4));
        assert_eq!(up_to(10.0), Some(5));
        assert_eq!(counted.count, 6);
        assert!((counted.sum - 70.003).abs() < 1e-9);
    }
}

//! How old records are when a node has them: plain numbers that a task keeps, until its driver takes them for the metrics.

/// Of the records since these numbers were last taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latencies {
    pub(crate) count: u64,
    pub(crate) sum_ms: u64,
    pub(crate) min_ms: u64,
    pub(crate) max_ms: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies { count: 0, sum_ms: 0, min_ms: u64::MAX, max_ms: 0 }
    }
}

impl Latencies {
    /// A record of this time is here now. One that has no time does not count; one of the future is not old.
    #[inline]
    pub(crate) fn note(&mut self, wall_clock_ms: i64, timestamp: i64) {
        if timestamp >= 0 {
            let age_ms = u64::try_from(wall_clock_ms.saturating_sub(timestamp)).unwrap_or(0);
            self.count += 1;
            self.sum_ms = self.sum_ms.saturating_add(age_ms);
            self.min_ms = self.min_ms.min(age_ms);
            self.max_ms = self.max_ms.max(age_ms);
        }
    }

    /// With the records of another time.
    pub(crate) fn merge(&mut self, other: &Latencies) {
        self.count += other.count;
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
        self.min_ms = self.min_ms.min(other.min_ms);
        self.max_ms = self.max_ms.max(other.max_ms);
    }
}

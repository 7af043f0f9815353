//! Durations as a topology writes them: `minutes(5)`.

pub use std::time::Duration;

/// `n` milliseconds.
#[must_use]
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `n` seconds.
#[must_use]
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `n` minutes.
#[must_use]
pub const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(60))
}

/// `n` hours.
#[must_use]
pub const fn hours(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(3_600))
}

/// `n` days.
#[must_use]
pub const fn days(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(86_400))
}

/// A duration in the unit of record timestamps; what is longer than they reach is cut to `i64::MAX`.
#[must_use]
pub(crate) const fn as_ms(duration: Duration) -> i64 {
    let ms = duration.as_millis();
    if ms > i64::MAX as u128 { i64::MAX } else { ms as i64 }
}

//! What a simulated world is like.

use std::ops::Range;
use std::time::Duration;

/// How the world behaves and when a run has taken too long. The default is calm: tasks interleave by chance, but nothing
/// fails.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Virtual time that one poll of a task takes.
    pub poll_time: Duration,
    /// The wall clock at the beginning, in milliseconds since 1970.
    pub wall_clock_start_ms: i64,
    /// Polls and events after which a run counts as stuck.
    pub max_steps: u64,
    /// Virtual time after which a run counts as stuck.
    pub max_time: Duration,
    /// Events of the trace to keep by number, for `assert_same_trace`.
    pub(super) record: Range<u64>,
}

impl Default for SimOptions {
    fn default() -> Self {
        SimOptions {
            poll_time: Duration::from_micros(1),
            // Some day of 2025.
            wall_clock_start_ms: 1_750_000_000_000,
            max_steps: 100_000_000,
            max_time: Duration::from_secs(24 * 3600),
            record: 0..0,
        }
    }
}

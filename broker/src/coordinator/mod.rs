//! Coordinators: state machines whose log is a partition of an internal topic.
//!
//! The rule they all keep (Kafka's coordinator shape): a request and the time give *records* and *answers*; the records
//! are what the state is folded from. Whoever drives a coordinator appends the records, in the order in which they came
//! out, and lets an answer leave only when every record that came out before it is durable. A coordinator that starts
//! replays its partition and then stands where the one before it stood: `live == replay`, which one generic test checks.
//! So a failed append needs no undoing: the state is thrown away and folded again from the log.
//!
//! Nothing in here is async, reads a clock, draws a random number or does I/O: time and chance come in as arguments,
//! timeouts go out as deadlines. A request that must wait is *parked*: it comes with a [`ReplyTo`], a number its caller
//! chose, and the answer to that number comes out of a later call.
//!
//! Reading order: [`group`], the group coordinator, and [`transaction`], the coordinator of transactions.

pub(crate) mod group;
pub(crate) mod transaction;

use anabranch_host::Instant;

/// The time of a call, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Now {
    /// For timeouts: it never goes back.
    pub(crate) monotonic: Instant,
    /// For what is written down: milliseconds since 1970, which may jump.
    pub(crate) wall_clock_ms: i64,
}

/// Names a request that waits for its answer. Chosen by the caller, never reused within one coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReplyTo(pub(crate) u64);

/// The partition of an internal topic that holds `key`: `abs(hashCode(key)) % partition_count`, with Java's hash of a
/// string, so that a log written by Apache Kafka is read where it lies.
pub(crate) fn partition_for(key: &str, partition_count: i32) -> i32 {
    let hash =
        key.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Java's abs(MIN_VALUE) is negative; Kafka takes 0 there.
    hash.checked_abs().unwrap_or(0) % partition_count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_where_kafka_puts_them() {
        // Expected values: `Math.abs("..".hashCode()) % 50` in Java.
        for (key, expected) in [
            ("", 0),
            ("g", 3),
            ("test-group", 12),
            ("console-consumer-1", 24),
            ("größe", 7),
            ("\u{1f980}", 2),
            // hashCode() is Integer.MIN_VALUE.
            ("polygenelubricants", 0),
        ] {
            assert_eq!(partition_for(key, 50), expected, "{key:?}");
        }
    }
}

//! Where the time of a record comes from: one of Kafka's four ways, or the user's own.

use std::sync::Arc;

use crate::record::Record;

/// Kafka's ways to take the time of a record: see [`Consumed::timestamp_extractor`](super::Consumed::timestamp_extractor).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampExtractor {
    /// The record's own time; a negative one is an error of the record, which the error policy answers. The default.
    #[default]
    FailOnInvalidTimestamp,
    /// The record's own time; a record of a negative one is dropped and counted.
    LogAndSkipOnInvalidTimestamp,
    /// The record's own time; for a negative one the highest time seen in its partition. Without one yet it is an error
    /// of the record.
    UsePartitionTimeOnInvalidTimestamp,
    /// What the wall clock shows when the record is about to be processed.
    WallclockTimestamp,
}

/// Reads the time of a record; told the highest time seen in its partition.
pub(crate) type Extract<K, V> = Arc<dyn Fn(&Record<K, V>, i64) -> i64 + Send + Sync>;

/// Where times come from.
pub(crate) enum Timestamps<K, V> {
    Kafkas(TimestampExtractor),
    /// The user's closure, which is shown the record.
    Own(Extract<K, V>),
}

impl<K, V> Default for Timestamps<K, V> {
    fn default() -> Self {
        Timestamps::Kafkas(TimestampExtractor::default())
    }
}

impl<K, V> Clone for Timestamps<K, V> {
    fn clone(&self) -> Self {
        match self {
            Timestamps::Kafkas(extractor) => Timestamps::Kafkas(*extractor),
            Timestamps::Own(extract) => Timestamps::Own(Arc::clone(extract)),
        }
    }
}

/// What the clocks show when a record has become the head of its queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// The highest time seen in the partition; -1 at first.
    pub(crate) partition_time: i64,
    pub(crate) wall_clock_ms: i64,
}

impl TimestampExtractor {
    /// The time of a record that says `timestamp`; negative: it is dropped. None: it is an error.
    #[inline]
    pub(crate) fn time(self, timestamp: i64, clocks: Clocks) -> Option<i64> {
        match self {
            TimestampExtractor::WallclockTimestamp => Some(clocks.wall_clock_ms),
            _ if timestamp >= 0 => Some(timestamp),
            TimestampExtractor::FailOnInvalidTimestamp => None,
            TimestampExtractor::LogAndSkipOnInvalidTimestamp => {
                tracing::warn!(timestamp, "a record of a negative time is dropped");
                Some(timestamp)
            }
            TimestampExtractor::UsePartitionTimeOnInvalidTimestamp => {
                Some(clocks.partition_time).filter(|time| *time >= 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    /// The times that come out, of records of these times, at 50 by the wall clock.
    fn check(extractor: TimestampExtractor, input: &[i64], expected: &[i64], letters: usize, dropped: u64) {
        let topic = || Topic::<Option<String>, String>::new("in");
        for table in [false, true] {
            let builder = StreamsBuilder::new();
            let consumed = topic().consumed().timestamp_extractor(extractor);
            match table {
                false => drop(builder.stream(consumed).to("out")),
                true => drop(builder.table(consumed).updates().to("out")),
            }
            let driver =
                TestDriver::with(&builder.build().unwrap(), TestConfig::new().wall_clock_ms(50)).unwrap();
            for time in input {
                driver.input(topic()).pipe_at(*time, "k", "v");
            }
            let times: Vec<i64> = driver.output("out").read_all().iter().map(|out| out.timestamp).collect();
            assert_eq!(times, expected, "{extractor:?}, table: {table}");
            assert_eq!(driver.output("app-dead-letter").read_all().len(), letters, "{extractor:?}");
            assert_eq!(driver.dropped_records(), dropped, "{extractor:?}");
        }
    }

    #[test]
    fn kafkas_four_ways() {
        let input = [-1, 7, -1, 9];
        check(TimestampExtractor::FailOnInvalidTimestamp, &input, &[7, 9], 2, 2);
        check(TimestampExtractor::LogAndSkipOnInvalidTimestamp, &input, &[7, 9], 0, 2);
        check(TimestampExtractor::UsePartitionTimeOnInvalidTimestamp, &input, &[7, 7, 9], 1, 1);
        check(TimestampExtractor::WallclockTimestamp, &input, &[50, 50, 50, 50], 0, 0);
    }

    #[test]
    fn the_users_own_way() {
        // The record's value, or the highest time seen before; a negative time drops the record.
        let topic = || Topic::<Option<String>, i64>::new("in");
        let own = |record: &Record<Option<String>, i64>, partition_time: i64| match record.value {
            0 => partition_time,
            time => time,
        };
        let builder = StreamsBuilder::new();
        builder.stream(topic().consumed().timestamps(own)).to("out");
        let driver = TestDriver::new(&builder.build().unwrap()).unwrap();
        for value in [0, 5, 3, 0, -7, 9] {
            driver.input(topic()).pipe_at(1, None, value);
        }
        let out = driver.output(Topic::<Option<String>, i64>::new("out")).read_all();
        let times: Vec<(i64, i64)> = out.iter().map(|record| (record.value, record.timestamp)).collect();
        assert_eq!(times, [(5, 5), (3, 3), (0, 5), (9, 9)]);
        assert_eq!(driver.dropped_records(), 2);
    }
}

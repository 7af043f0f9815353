//! How a topic is read.

use std::sync::Arc;

use anabranch_client::AutoOffsetReset;

use super::{TimestampExtractor, Timestamps, Topic};
use crate::data::Item;
use crate::policy::OnError;
use crate::record::Record;

/// A topic and how it is read.
pub struct Consumed<K, V> {
    pub(crate) topic: Topic<K, V>,
    pub(crate) name: Option<String>,
    pub(crate) timestamps: Timestamps<K, V>,
    pub(crate) offset_reset: Option<AutoOffsetReset>,
    pub(crate) on_error: Option<OnError>,
}

impl<K, V> Consumed<K, V> {
    pub(super) fn of(topic: Topic<K, V>) -> Self {
        Consumed { topic, name: None, timestamps: Timestamps::default(), offset_reset: None, on_error: None }
    }

    /// Names the source node.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Takes the time of a record from what `extractor` says; a negative time drops the record. The second argument is
    /// the highest time seen in the record's partition, -1 at first.
    #[must_use]
    pub fn timestamps(
        mut self,
        extractor: impl Fn(&Record<K, V>, i64) -> i64 + Send + Sync + 'static,
    ) -> Self {
        self.timestamps = Timestamps::Own(Arc::new(extractor));
        self
    }

    /// Takes the time of a record in one of Kafka's ways. Without it a negative time is an error of the record.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// const OLD: Topic<Option<String>, String> = Topic::new("old");
    /// let builder = StreamsBuilder::new();
    /// let times = TimestampExtractor::UsePartitionTimeOnInvalidTimestamp;
    /// builder.stream(OLD.consumed().timestamp_extractor(times)).to("out");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// for time in [7, -1] {
    ///     driver.input(OLD).pipe_at(time, None, "x");
    /// }
    /// let times: Vec<_> = driver.output("out").read_all().iter().map(|record| record.timestamp).collect();
    /// assert_eq!(times, [7, 7]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    #[must_use]
    pub fn timestamp_extractor(mut self, extractor: TimestampExtractor) -> Self {
        self.timestamps = Timestamps::Kafkas(extractor);
        self
    }

    /// Where reading starts when the application has no committed offset (Kafka's `withOffsetResetPolicy`). A topic of a
    /// global store is always read from its start: another policy there is a fault of the topology.
    #[must_use]
    pub fn offset_reset(mut self, reset: AutoOffsetReset) -> Self {
        self.offset_reset = Some(reset);
        self
    }

    /// What happens to records that cannot be read.
    #[must_use]
    pub fn on_error(mut self, answer: OnError) -> Self {
        self.on_error = Some(answer);
        self
    }
}

/// What `builder.stream` and `driver.input` take: a name, a topic, or a topic and how it is read.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a topic",
    note = "pass a name (keys `Option<String>`, values `String`) or a `Topic<K, V>`"
)]
pub trait IntoTopic {
    /// The type of its keys.
    type Key: Item;
    /// The type of its values.
    type Value: Item;

    /// The topic and how it is read.
    #[doc(hidden)]
    fn into_consumed(self) -> Consumed<Self::Key, Self::Value>;
}

impl IntoTopic for &str {
    type Key = Option<String>;
    type Value = String;

    fn into_consumed(self) -> Consumed<Option<String>, String> {
        Topic::named(self).consumed()
    }
}

impl IntoTopic for String {
    type Key = Option<String>;
    type Value = String;

    fn into_consumed(self) -> Consumed<Option<String>, String> {
        Topic::named(self).consumed()
    }
}

impl<K: Item, V: Item> IntoTopic for Topic<K, V> {
    type Key = K;
    type Value = V;

    fn into_consumed(self) -> Consumed<K, V> {
        self.consumed()
    }
}

impl<K: Item, V: Item> IntoTopic for &Topic<K, V> {
    type Key = K;
    type Value = V;

    fn into_consumed(self) -> Consumed<K, V> {
        self.clone().consumed()
    }
}

impl<K: Item, V: Item> IntoTopic for Consumed<K, V> {
    type Key = K;
    type Value = V;

    fn into_consumed(self) -> Consumed<K, V> {
        self
    }
}

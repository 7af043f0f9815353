//! Writing to a topic in a test.

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;

use super::TestDriver;
use crate::data::Item;
use crate::error::{Error, Result};
use crate::headers::Headers;
use crate::record::{RawRecord, Record};
use crate::serdes::{self, Serde, SerdeContext};
use crate::time::as_ms;
use crate::topic::Topic;

/// A topic that a test writes to. Records get the input's time unless they say otherwise; it starts at 0.
pub struct TestInput<K, V> {
    driver: TestDriver,
    topic: Topic<K, V>,
    time_ms: Cell<i64>,
}

/// What may be written where a test means a `T`: a `T`, a `T` for an `Option<T>`, a `&str` for a `String`.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a `{T}`", label = "this topic takes `{T}`")]
pub trait IntoItem<T> {
    /// The `T`.
    fn into_item(self) -> T;
}

impl<T> IntoItem<T> for T {
    fn into_item(self) -> T {
        self
    }
}

impl<T> IntoItem<Option<T>> for T {
    fn into_item(self) -> Option<T> {
        Some(self)
    }
}

impl IntoItem<String> for &str {
    fn into_item(self) -> String {
        self.to_owned()
    }
}

impl IntoItem<Option<String>> for &str {
    fn into_item(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl<K: Item, V: Item> TestInput<K, V> {
    pub(super) fn of(driver: TestDriver, topic: Topic<K, V>) -> Self {
        TestInput { driver, topic, time_ms: Cell::new(0) }
    }

    /// Writes a record at the input's time, and processes it.
    ///
    /// # Panics
    /// If the topology does not read the topic, or the record fails and the error policy says to stop.
    pub fn pipe(&self, key: impl IntoItem<K>, value: impl IntoItem<V>) {
        self.pipe_at(self.time_ms.get(), key, value);
    }

    /// Writes a record at this time, and processes it.
    ///
    /// # Panics
    /// As [`pipe`](TestInput::pipe).
    pub fn pipe_at(&self, timestamp: i64, key: impl IntoItem<K>, value: impl IntoItem<V>) {
        self.pipe_record(Record::new(key.into_item(), value.into_item(), timestamp));
    }

    /// Writes a null value, which deletes the row of this key where the topic is read as a table.
    ///
    /// # Panics
    /// As [`pipe`](TestInput::pipe).
    pub fn pipe_tombstone(&self, key: impl IntoItem<K>) {
        let key = key.into_item();
        self.expect(
            self.bytes(&*self.topic.key_serde(), &SerdeContext::key(self.topic.name()), &key)
                .and_then(|key| self.pipe_raw(key, None, self.time_ms.get(), Headers::new())),
        );
    }

    /// Writes a record with its time and headers, and processes it.
    ///
    /// # Panics
    /// As [`pipe`](TestInput::pipe).
    pub fn pipe_record(&self, record: Record<K, V>) {
        self.expect(self.try_pipe_record(record));
    }

    /// Writes a record with its time and headers, and processes it.
    ///
    /// # Errors
    /// If the topology does not read the topic, or the record fails and the error policy says to stop.
    pub fn try_pipe_record(&self, record: Record<K, V>) -> Result<()> {
        let name = self.topic.name();
        let key = self.bytes(&*self.topic.key_serde(), &SerdeContext::key(name), &record.key)?;
        let value = self.bytes(&*self.topic.value_serde(), &SerdeContext::value(name), &record.value)?;
        self.pipe_raw(key, value, record.timestamp, record.headers)
    }

    /// Lets the input's time go on.
    pub fn advance(&self, duration: Duration) {
        self.time_ms.set(self.time_ms.get().saturating_add(as_ms(duration)));
    }

    fn bytes<T: 'static>(
        &self,
        serde: &dyn Serde<T>,
        at: &SerdeContext<'_>,
        value: &T,
    ) -> Result<Option<Bytes>> {
        let mut bytes = Vec::new();
        match serdes::write(serde, at, value, &mut bytes) {
            Ok(present) => Ok(present.then(|| bytes.into())),
            Err(error) => Err(Error::invalid(format_args!("cannot write to `{}`: {error}", at.topic))),
        }
    }

    fn pipe_raw(
        &self,
        key: Option<Bytes>,
        value: Option<Bytes>,
        timestamp: i64,
        headers: Headers,
    ) -> Result<()> {
        let record = RawRecord { key, value, timestamp: Some(timestamp), headers };
        self.driver.pipe_raw(self.topic.name(), record)
    }

    fn expect(&self, result: Result<()>) {
        if let Err(error) = result {
            panic!("piping a record into `{}`: {error}", self.topic.name());
        }
    }
}

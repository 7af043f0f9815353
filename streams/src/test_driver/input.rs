//! Writing to a topic in a test.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use super::TestDriver;
use crate::data::Item;
use crate::error::{Error, Result};
use crate::headers::Headers;
use crate::processor::RawInput;
use crate::record::Record;
use crate::serdes::{self, Serde, SerdeContext};
use crate::time::as_ms;
use crate::topic::Topic;

/// A topic that a test writes to. Records get the input's time unless they say otherwise; it starts at 0.
pub struct TestInput<K, V> {
    driver: TestDriver,
    topic: Topic<K, V>,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    time_ms: Cell<i64>,
    buffers: RefCell<Buffers>,
    /// The input of the task; `None`: the topology does not read the topic.
    input: Option<usize>,
}

/// What serdes write into.
#[derive(Default)]
struct Buffers {
    key: Vec<u8>,
    value: Vec<u8>,
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
        let (key, value) = (topic.key_serde(), topic.value_serde());
        let input = driver.state.borrow_mut().input(topic.name()).ok();
        let (time_ms, buffers) = (Cell::new(0), RefCell::default());
        TestInput { driver, topic, key, value, time_ms, buffers, input }
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
        self.expect(self.write(&key.into_item(), None, self.time_ms.get(), &Headers::new()));
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
        let Record { key, value, timestamp, headers } = &record;
        self.write(key, Some(value), *timestamp, headers)
    }

    /// Lets the input's time go on.
    pub fn advance(&self, duration: Duration) {
        self.time_ms.set(self.time_ms.get().saturating_add(as_ms(duration)));
    }

    fn write(&self, key: &K, value: Option<&V>, timestamp: i64, headers: &Headers) -> Result<()> {
        let name = self.topic.name();
        // Taken, so that a serde may pipe a record of its own.
        let Buffers { key: mut key_bytes, value: mut value_bytes } = self.buffers.take();
        key_bytes.clear();
        value_bytes.clear();
        let refused = |error| Error::invalid(format_args!("cannot write to `{name}`: {error}"));
        let has_key =
            serdes::write(&*self.key, &SerdeContext::key(name), key, &mut key_bytes).map_err(refused)?;
        let has_value = match value {
            Some(value) => serdes::write(&*self.value, &SerdeContext::value(name), value, &mut value_bytes)
                .map_err(refused)?,
            None => false,
        };
        let mut state = self.driver.state.borrow_mut();
        let input = self.input.map_or_else(|| state.input(name), Ok)?;
        let piped = state.pipe(
            input,
            RawInput {
                offset: 0,
                timestamp,
                key: has_key.then_some(&key_bytes),
                value: has_value.then_some(&value_bytes),
                headers: headers.encoded(),
            },
        );
        self.buffers.replace(Buffers { key: key_bytes, value: value_bytes });
        piped
    }

    fn expect(&self, result: Result<()>) {
        if let Err(error) = result {
            panic!("piping a record into `{}`: {error}", self.topic.name());
        }
    }
}

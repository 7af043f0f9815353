//! Reading a topic in a test.

use std::cell::Cell;
use std::sync::Arc;

use super::TestDriver;
use super::written::raw;
use crate::data::Item;
use crate::headers::Headers;
use crate::record::Record;
use crate::serdes::{self, Serde, SerdeContext};
use crate::topic::Topic;

/// A topic that a test reads. Several outputs of one topic share what was written: a record is read once.
pub struct TestOutput<K, V> {
    driver: TestDriver,
    topic: Topic<K, V>,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    /// Where the capture has the topic, once it was written to.
    place: Cell<Option<usize>>,
}

impl<K: Item, V: Item> TestOutput<K, V> {
    pub(super) fn of(driver: TestDriver, topic: Topic<K, V>) -> Self {
        let (key, value) = (topic.key_serde(), topic.value_serde());
        TestOutput { driver, topic, key, value, place: Cell::new(None) }
    }

    /// The oldest record that was not read yet.
    ///
    /// # Panics
    /// If its bytes are not of the topic's types.
    pub fn read(&self) -> Option<Record<K, V>> {
        let name = self.topic.name();
        let place = self.place()?;
        let mut state = self.driver.state.borrow_mut();
        let wall_clock_ms = state.wall_clock_ms;
        let written = state.capture.written(place);
        let record = written.head()?;
        let key = serdes::read(&*self.key, &SerdeContext::key(name), record.key);
        let value = serdes::read(&*self.value, &SerdeContext::value(name), record.value);
        match (key, value) {
            (Ok(key), Ok(value)) => {
                let timestamp = record.timestamp.unwrap_or(wall_clock_ms);
                let headers = match record.headers {
                    [] => Headers::new(),
                    _ => raw(record).headers,
                };
                written.advance();
                Some(Record { key, value, timestamp, headers })
            }
            (Err(error), _) => panic!("the key of {:?} in `{name}`: {error}", raw(record)),
            (_, Err(error)) => panic!("the value of {:?} in `{name}`: {error}", raw(record)),
        }
    }

    /// Key and value of the oldest record that was not read yet.
    ///
    /// # Panics
    /// As [`read`](TestOutput::read).
    pub fn read_key_value(&self) -> Option<(K, V)> {
        self.read().map(|record| (record.key, record.value))
    }

    /// All records that were not read yet.
    ///
    /// # Panics
    /// As [`read`](TestOutput::read).
    pub fn read_all(&self) -> Vec<Record<K, V>> {
        std::iter::from_fn(|| self.read()).collect()
    }

    /// Keys and values of all records that were not read yet.
    ///
    /// # Panics
    /// As [`read`](TestOutput::read).
    pub fn read_key_values(&self) -> Vec<(K, V)> {
        std::iter::from_fn(|| self.read_key_value()).collect()
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        let Some(place) = self.place() else { return true };
        self.driver.state.borrow_mut().capture.written(place).unread() == 0
    }

    fn place(&self) -> Option<usize> {
        if self.place.get().is_none() {
            self.place.set(self.driver.state.borrow().capture.place(self.topic.name()));
        }
        self.place.get()
    }
}

//! Reading a topic in a test.

use super::TestDriver;
use crate::data::Item;
use crate::record::Record;
use crate::serdes::{self, SerdeContext};
use crate::topic::Topic;

/// A topic that a test reads. Several outputs of one topic share what was written: a record is read once.
pub struct TestOutput<K, V> {
    driver: TestDriver,
    topic: Topic<K, V>,
}

impl<K: Item, V: Item> TestOutput<K, V> {
    pub(super) fn of(driver: TestDriver, topic: Topic<K, V>) -> Self {
        TestOutput { driver, topic }
    }

    /// The oldest record that was not read yet.
    ///
    /// # Panics
    /// If its bytes are not of the topic's types.
    pub fn read(&self) -> Option<Record<K, V>> {
        let name = self.topic.name();
        let raw = self.driver.read_raw(name)?;
        let key = serdes::read(&*self.topic.key_serde(), &SerdeContext::key(name), raw.key.as_deref());
        let value =
            serdes::read(&*self.topic.value_serde(), &SerdeContext::value(name), raw.value.as_deref());
        match (key, value) {
            (Ok(key), Ok(value)) => {
                let timestamp = raw.timestamp.unwrap_or_else(|| self.driver.wall_clock_ms());
                Some(Record { key, value, timestamp, headers: raw.headers })
            }
            (Err(error), _) => panic!("the key of {raw:?} in `{name}`: {error}"),
            (_, Err(error)) => panic!("the value of {raw:?} in `{name}`: {error}"),
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
        self.driver.state.borrow().capture.unread(self.topic.name()) == 0
    }
}

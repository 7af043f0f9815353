//! Records of a stream that wait for a table to catch up, in the order of their times (KIP-923).
//!
//! Key layout: a zero, the time, the key, a sequence number that tells records of one key and time apart. A row is the
//! record in Kafka Streams' buffer format. Both are on the changelog as they are here, when a record comes and when it
//! goes.

use std::ops::ControlFlow;
use std::sync::Arc;

use anabranch_state_store::{KeyRange, Order, Row};

use super::buffered::Buffered;
use super::rows::{Rows, leave_to_rows};
use super::{StoreInit, StoreSupplier, TaskStore, WriteContext};
use crate::error::{Error, ErrorKind, Result};
use crate::headers::Headers;
use crate::serdes::{Serde, SerdeContext};

/// A zero and the time stand before the key.
const PREFIX_BYTES: usize = 9;
/// The sequence number stands behind it.
const SUFFIX_BYTES: usize = 4;
/// Kafka Streams writes a buffer time behind the record, which means nothing here.
const UNUSED_TIME: [u8; 8] = [0; 8];

/// The buffer of a task's join.
pub(crate) struct GraceState<K, V> {
    rows: Rows,
    topic: Arc<str>,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    key_bytes: Vec<u8>,
    value_bytes: Vec<u8>,
}

/// A record that has waited long enough.
pub(crate) struct Due<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    /// Where it came from.
    pub(crate) record: Buffered,
    /// As it is stored.
    row: Vec<u8>,
}

impl<K: 'static, V: 'static> GraceState<K, V> {
    /// Makes such stores.
    pub(crate) fn supplier(key: Arc<dyn Serde<K>>, value: Arc<dyn Serde<V>>) -> StoreSupplier {
        StoreSupplier::of(move |init: &StoreInit| {
            Ok(GraceState {
                rows: Rows::new(init)?,
                topic: Arc::clone(&init.topic),
                key: Arc::clone(&key),
                value: Arc::clone(&value),
                key_bytes: Vec::new(),
                value_bytes: Vec::new(),
            })
        })
    }

    /// Lets the record that is being processed wait.
    pub(crate) fn add(
        &mut self,
        key: &K,
        value: &V,
        sequence: u32,
        write: &mut WriteContext<'_>,
    ) -> Result<()> {
        self.key_bytes.clear();
        self.key_bytes.push(0);
        self.key_bytes.extend_from_slice(&write.timestamp.to_be_bytes());
        self.key
            .serialize(&SerdeContext::key(&self.topic), key, &mut self.key_bytes)
            .map_err(|error| self.rows.unwritable(error))?;
        self.key_bytes.extend_from_slice(&sequence.to_be_bytes());
        self.value_bytes.clear();
        self.value
            .serialize(&SerdeContext::value(&self.topic), value, &mut self.value_bytes)
            .map_err(|error| self.rows.unwritable(error))?;
        let record = Buffered {
            timestamp: write.timestamp,
            offset: write.offset,
            topic: write.topic.cloned(),
            partition: write.partition,
            headers: Headers::from_encoded(bytes::Bytes::copy_from_slice(write.headers)),
            prior: None,
            old: None,
            new: Some(Arc::from(self.value_bytes.as_slice())),
        };
        self.value_bytes.clear();
        record.write(&mut self.value_bytes);
        self.value_bytes.extend_from_slice(&UNUSED_TIME);
        let row = Row::new(&self.value_bytes, write.timestamp);
        self.rows.put_silently(&self.key_bytes, Some(row), write)?;
        self.log(&self.key_bytes, Some(&self.value_bytes), write)
    }

    /// The records of `until` and earlier, by time, then by key.
    pub(crate) fn due(&mut self, until: i64) -> Result<Vec<Due<K, V>>> {
        let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        self.rows.scan(&KeyRange::all(), Order::Forward, |key, row| {
            if time_of(key) > until {
                return ControlFlow::Break(());
            }
            rows.push((key.to_vec(), row.value.to_vec()));
            ControlFlow::Continue(())
        })?;
        rows.into_iter()
            .map(|(row, bytes)| {
                self.read(row, &bytes).map_err(|error| error.reworded(ErrorKind::Fatal, "grace"))
            })
            .collect()
    }

    fn read(&self, row: Vec<u8>, bytes: &[u8]) -> Result<Due<K, V>> {
        let end = row.len().saturating_sub(SUFFIX_BYTES);
        let key_bytes =
            row.get(PREFIX_BYTES..end).ok_or_else(|| self.rows.unreadable("its key is cut short"))?;
        let key = self.key.deserialize(&SerdeContext::key(&self.topic), key_bytes);
        let key = key.map_err(|error| self.rows.unreadable(error))?;
        let (record, _) = Buffered::read(bytes).ok_or_else(|| self.rows.unreadable("it is cut short"))?;
        let value_bytes = record.new.as_deref().ok_or_else(|| self.rows.unreadable("it has no value"))?;
        let value = self.value.deserialize(&SerdeContext::value(&self.topic), value_bytes);
        let value = value.map_err(|error| self.rows.unreadable(error))?;
        Ok(Due { key, value, record, row })
    }

    /// Lets a record go.
    pub(crate) fn remove(&mut self, due: &Due<K, V>, write: &mut WriteContext<'_>) -> Result<()> {
        self.rows.put_silently(&due.row, None, write)?;
        self.log(&due.row, None, write)
    }

    /// The producer's clock gives the time, as in Kafka Streams.
    fn log(&self, key: &[u8], value: Option<&[u8]>, write: &mut WriteContext<'_>) -> Result<()> {
        match self.rows.changelog() {
            Some(changelog) => write.log(changelog, key, value, None, &[]),
            None => Ok(()),
        }
    }
}

fn time_of(row: &[u8]) -> i64 {
    row.get(1..PREFIX_BYTES).and_then(|time| time.first_chunk()).map_or(-1, |time| i64::from_be_bytes(*time))
}

impl<K: 'static, V: 'static> TaskStore for GraceState<K, V> {
    leave_to_rows!(rows);

    fn seal(&mut self, _: &mut WriteContext<'_>) -> Result<()> {
        self.rows.seal()
    }

    fn commit(&mut self) -> Result<()> {
        self.rows.commit()
    }

    fn abort(&mut self) {
        self.rows.abort();
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>, _: i64, _: &[u8]) -> Result<()> {
        if key.len() < PREFIX_BYTES + SUFFIX_BYTES {
            return Err(Error::fatal(format_args!(
                "a record of the changelog of `{}` is no buffered record",
                self.rows.name
            )));
        }
        self.rows.restore(key, value.map(|value| Row::new(value, time_of(key))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serdes::text;
    use crate::state::check::{Logged, Tested};

    type Buffer = Tested<GraceState<String, String>>;

    fn supplier() -> StoreSupplier {
        GraceState::<String, String>::supplier(Arc::new(text()), Arc::new(text()))
    }

    impl Buffer {
        fn add(&mut self, timestamp: i64, key: &str, value: &str, sequence: u32) {
            self.at(timestamp, |store, write| store.add(&key.into(), &value.into(), sequence, write));
        }

        fn due(&mut self, until: i64) -> Vec<(i64, String, String)> {
            let due = self.store.due(until).unwrap();
            due.into_iter().map(|due| (due.record.timestamp, due.key, due.value)).collect()
        }
    }

    fn record(timestamp: i64, key: &str, value: &str) -> (i64, String, String) {
        (timestamp, key.into(), value.into())
    }

    #[test]
    fn records_wait_by_time_and_come_back_from_the_changelog() {
        let mut buffer = Buffer::new(&supplier());
        for (at, (timestamp, key)) in
            [(8, "b"), (5, "c"), (5, "a"), (5, "a"), (20, "a")].into_iter().enumerate()
        {
            buffer.add(timestamp, key, &at.to_string(), at as u32 + 1);
        }
        let expected = [record(5, "a", "2"), record(5, "a", "3"), record(5, "c", "1"), record(8, "b", "0")];
        assert_eq!(buffer.due(10), expected);
        assert_eq!(buffer.due(4), []);
        buffer.commit();
        let first = buffer.store.due(10).unwrap().remove(0);
        assert_eq!(
            (&*first.record.topic.clone().unwrap(), first.record.partition, first.record.offset),
            ("in", 3, 9)
        );
        buffer.at(30, |store, write| store.remove(&first, write));
        assert_eq!(buffer.due(10), expected[1..]);
        let log: Vec<Logged> = buffer.log().to_vec();
        assert_eq!(log[1].key, b"\0\0\0\0\0\0\0\0\x05c\0\0\0\x02");
        assert_eq!((log[5].key.as_slice(), &log[5].value), (&log[2].key[..], &None));
        assert!(log.iter().all(|logged| logged.timestamp.is_none() && logged.headers.is_empty()));
        assert_eq!(Buffer::restored(&supplier(), &log).due(10), expected[1..]);
        buffer.store.abort();
        assert_eq!(buffer.due(10), expected);
    }
}

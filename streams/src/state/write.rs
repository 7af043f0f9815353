//! What a write to a store is told: the record it comes from, and where the changelog goes.

use std::sync::Arc;

use anabranch_state_store as table;

use crate::error::{Error, ErrorKind, Result};
use crate::outbox::{OutRecord, OutTopic, Outbox};

/// Where a write comes from.
pub(crate) struct WriteContext<'a> {
    pub(crate) outbox: &'a mut dyn Outbox,
    /// The partition of the task, and so of its changelogs.
    pub(crate) task_partition: i32,
    /// Time of the record that is being processed.
    pub(crate) timestamp: i64,
    /// Its headers, encoded.
    pub(crate) headers: &'a [u8],
    /// Where it was read from; `None` in a punctuation.
    pub(crate) topic: Option<&'a Arc<str>>,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

impl WriteContext<'_> {
    /// The same once more, for a while.
    pub(crate) fn again(&mut self) -> WriteContext<'_> {
        WriteContext { outbox: &mut *self.outbox, ..*self }
    }

    /// The same for a table.
    pub(crate) fn table(&self) -> table::Context<'_> {
        table::Context {
            timestamp: self.timestamp,
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            headers: self.headers,
        }
    }

    /// Appends to a store's changelog.
    pub(crate) fn log(
        &mut self,
        changelog: &OutTopic,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: Option<i64>,
        headers: &[u8],
    ) -> Result<()> {
        let record = OutRecord { key: Some(key), value, timestamp, headers };
        let logged = self.outbox.log(changelog, self.task_partition, record);
        // The store has the row already, so to go on without is no choice.
        logged.map_err(|error| match error.kind() {
            ErrorKind::Record => error.reworded(ErrorKind::Fatal, "a changelog cannot keep a row"),
            _ => error,
        })
    }

    /// Whether a changelog can keep a row of this size: to be asked before the store has it.
    ///
    /// # Errors
    /// A record error, if it cannot.
    pub(crate) fn check_size(&self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let bytes = key.len() + value.map_or(0, <[u8]>::len);
        match bytes > self.outbox.record_max_bytes() {
            true => Err(Error::record(format_args!(
                "a row of {bytes} bytes is larger than max.request.size lets its changelog have"
            ))),
            false => Ok(()),
        }
    }
}

/// A table's error as ours.
#[cold]
pub(crate) fn store_error(store: &str, error: table::Error) -> Error {
    let kind = match error.kind() {
        table::ErrorKind::Record => ErrorKind::Record,
        table::ErrorKind::CorruptStore | table::ErrorKind::CorruptEngine => ErrorKind::Corrupted,
        _ => ErrorKind::Fatal,
    };
    Error::new(kind, format_args!("store `{store}`")).with_source(error)
}

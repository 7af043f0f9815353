//! The rows of a store as bytes: a table, its changelog and its epochs; and what is committed of it (`committed`). The typed
//! stores add keys and values.

mod committed;

use std::ops::ControlFlow;
use std::sync::Arc;

use anabranch_state_store::{
    Checkpoint, Context, Emission, Epoch, KeyRange, KeyValueTable, Order, Row, RowBuffer, Suffix,
    TableOptions, TimedKeys, Update,
};

use super::expiry::Expiry;
use super::write::store_error;
use super::{GlobalRows, StoreInit, WriteContext};
use crate::error::{Error, Result};
use crate::outbox::OutTopic;

/// The part of `TaskStore` that stores leave to their rows but for questions from outside, where what is asked for is no row.
macro_rules! leave_to_rows {
    ($($rows:ident).+) => {
        fn name(&self) -> &str {
            &self.$($rows).+.name
        }

        fn has_pending(&self) -> bool {
            self.$($rows).+.has_pending()
        }

        fn flush(&mut self, write: &mut $crate::state::WriteContext<'_>) -> $crate::error::Result<()> {
            self.$($rows).+.flush(write)
        }

        fn changelog(&self) -> Option<&$crate::outbox::OutTopic> {
            self.$($rows).+.changelog()
        }

        fn reflected(&self) -> Option<anabranch_state_store::Checkpoint> {
            self.$($rows).+.reflected()
        }

        fn restored_to(
            &mut self,
            checkpoint: anabranch_state_store::Checkpoint,
        ) -> $crate::error::Result<()> {
            self.$($rows).+.restored_to(checkpoint)
        }

        fn acknowledged(&mut self, checkpoint: anabranch_state_store::Checkpoint) {
            self.$($rows).+.acknowledged(checkpoint);
        }

        fn unstored_rows(&self) -> usize {
            self.$($rows).+.unstored_rows()
        }

        fn write_behind(&mut self) -> $crate::error::Result<bool> {
            self.$($rows).+.write_behind()
        }

        fn resident_bytes(&self) -> usize {
            self.$($rows).+.resident_bytes()
        }

        fn pinned_bytes(&self) -> usize {
            self.$($rows).+.pinned_bytes()
        }

        fn num_keys(&self) -> Option<usize> {
            self.$($rows).+.num_keys()
        }

        fn evict(&mut self, bytes: usize) -> $crate::error::Result<()> {
            self.$($rows).+.evict(bytes)
        }

        fn uncommitted_bytes(&self) -> usize {
            self.$($rows).+.uncommitted_bytes()
        }

        fn pending_bytes(&self) -> usize {
            self.$($rows).+.pending_bytes()
        }
    };
}
pub(super) use leave_to_rows;

/// The part of `TaskStore` by which rows that come back from nothing are written all at once: of the stores that are kept on
/// disk. None of them looks at its rows until all are there.
macro_rules! restore_at_once {
    ($($rows:ident).+) => {
        fn begin_restore(&mut self) -> $crate::error::Result<()> {
            self.$($rows).+.begin_restore()
        }

        fn end_restore(&mut self) -> $crate::error::Result<bool> {
            self.$($rows).+.end_restore()
        }

        fn poll_load(&self, context: &mut std::task::Context<'_>) -> bool {
            self.$($rows).+.poll_load(context)
        }

        fn hides_rows(&self) -> bool {
            self.$($rows).+.hides_rows()
        }

        fn finish_load(&mut self) -> $crate::error::Result<()> {
            self.$($rows).+.finish_load()
        }
    };
}
pub(super) use restore_at_once;

/// The part of `TaskStore` by which epochs end and rows come back, of stores whose changelog has a record for each row.
macro_rules! commit_as_rows {
    ($($rows:ident).+) => {
        fn seal(&mut self, _: &mut $crate::state::WriteContext<'_>) -> $crate::error::Result<()> {
            self.$($rows).+.seal()
        }

        fn commit(&mut self) -> $crate::error::Result<()> {
            self.$($rows).+.commit()
        }

        fn restore(
            &mut self,
            key: &[u8],
            value: Option<&[u8]>,
            timestamp: i64,
            _: &[u8],
        ) -> $crate::error::Result<()> {
            let row = value.map(|value| anabranch_state_store::Row::new(value, timestamp));
            self.$($rows).+.restore(key, row)
        }
    };
}
pub(super) use commit_as_rows;

/// Written to the engine at a time: small enough not to hold up the records behind it.
const CHUNK_BYTES: usize = 256 * 1024;

/// A store's rows.
pub(super) struct Rows {
    pub(super) name: Arc<str>,
    changelog: Option<OutTopic>,
    pub(super) cached: bool,
    /// Empty if the rows are shared.
    table: KeyValueTable,
    has_engine: bool,
    shared: Option<Shared>,
    /// If rows have a time.
    expiry: Option<Expiry>,
    /// The epoch whose commit is in flight.
    sealed: Option<Epoch>,
    /// Of the epoch that is about to be committed.
    acknowledged: Option<Checkpoint>,
}

/// Rows that all tasks of the instance share, and a copy of the one that is being read.
struct Shared {
    rows: Arc<GlobalRows>,
    read: RowBuffer,
}

impl Rows {
    pub(super) fn new(init: &StoreInit) -> Result<Self> {
        Rows::open(init, None)
    }

    /// Rows that have a time, and `number_bytes` behind it. They expire by segment, as late as the retention says.
    pub(super) fn timed(init: &StoreInit, retention_ms: i64, number_bytes: usize) -> Result<Self> {
        let keys = Expiry::keys(retention_ms, number_bytes);
        let mut rows = Rows::open(init, Some(keys))?;
        let expiry = Expiry::new(&mut rows.table, keys, retention_ms, init.engine.is_some());
        rows.expiry = Some(expiry.map_err(|error| store_error(&init.name, error))?);
        Ok(rows)
    }

    fn open(init: &StoreInit, timed: Option<TimedKeys>) -> Result<Self> {
        let options = TableOptions { cached: init.cached, timed };
        let table = match &init.engine {
            None => KeyValueTable::in_memory(options),
            Some(slot) => KeyValueTable::open_in(Arc::clone(&slot.engine), &slot.name, options)
                .map_err(|error| store_error(&init.name, error))?,
        };
        let table = table.counting_kept(init.kept.clone());
        Ok(Rows {
            name: Arc::clone(&init.name),
            changelog: init.changelog.clone(),
            cached: init.cached,
            table,
            has_engine: init.engine.is_some(),
            shared: init.shared.clone().map(|rows| Shared { rows, read: RowBuffer::default() }),
            expiry: None,
            sealed: None,
            acknowledged: None,
        })
    }

    pub(super) fn get(&mut self, key: &[u8]) -> Result<Option<Row<'_>>> {
        if let Some(Shared { rows, read }) = &mut self.shared {
            return Ok(rows.get(key, read).then(|| read.row()));
        }
        self.table.get(key).map_err(|error| store_error(&self.name, error))
    }

    /// Whether there is a changelog.
    pub(super) fn is_logged(&self) -> bool {
        self.changelog.is_some()
    }

    /// Whether the changelog, if there is one, can keep such a row.
    #[inline]
    fn check_size(&self, key: &[u8], value: Option<&[u8]>, write: &WriteContext<'_>) -> Result<()> {
        if self.is_logged() { write.check_size(key, value) } else { Ok(()) }
    }

    fn write(&mut self, key: &[u8], row: Option<Row<'_>>, context: &Context<'_>) -> Result<()> {
        if let Some(shared) = &self.shared {
            shared.rows.put(key, row);
            return Ok(());
        }
        self.table.put(key, row, context).map_err(|error| store_error(&self.name, error))
    }

    /// Writes a row, and logs it unless a flush will.
    pub(super) fn put(
        &mut self,
        key: &[u8],
        row: Option<Row<'_>>,
        write: &mut WriteContext<'_>,
    ) -> Result<()> {
        self.check_size(key, row.map(|row| row.value), write)?;
        self.write(key, row, &write.table())?;
        self.log(key, row.map(|row| (row.value, row.timestamp)), write)
    }

    /// Writes a row, and logs it with the headers of the record that is being processed.
    pub(super) fn put_with_headers(
        &mut self,
        key: &[u8],
        row: Row<'_>,
        write: &mut WriteContext<'_>,
    ) -> Result<()> {
        self.check_size(key, Some(row.value), write)?;
        self.write(key, Some(row), &write.table())?;
        match &self.changelog {
            Some(changelog) => write.log(changelog, key, Some(row.value), Some(row.timestamp), write.headers),
            None => Ok(()),
        }
    }

    /// Logs a null where no row is, with the headers of the record that is being processed.
    pub(super) fn log_null(&mut self, key: &[u8], write: &mut WriteContext<'_>) -> Result<()> {
        match &self.changelog {
            Some(changelog) => write.log(changelog, key, None, Some(write.timestamp), write.headers),
            None => Ok(()),
        }
    }

    /// Reads, modifies and writes by one probe. Whoever calls logs.
    #[inline]
    pub(super) fn update<'n>(
        &mut self,
        key: &[u8],
        write: &WriteContext<'_>,
        change: impl FnOnce(Option<Row<'_>>) -> Update<'n>,
    ) -> Result<()> {
        if let Some(Shared { rows, read }) = &mut self.shared {
            let old = rows.get(key, read).then(|| read.row());
            match change(old) {
                Update::Keep => {}
                Update::Put(new) => rows.put(key, Some(new)),
                Update::Delete => rows.put(key, None),
            }
            return Ok(());
        }
        self.table.update(key, &write.table(), change).map_err(|error| store_error(&self.name, error))
    }

    /// Logs what has just been written, unless a flush will. A deletion has the time of the record being processed.
    #[inline]
    pub(super) fn log(
        &mut self,
        key: &[u8],
        value: Option<(&[u8], i64)>,
        write: &mut WriteContext<'_>,
    ) -> Result<()> {
        match &self.changelog {
            Some(changelog) if !self.cached => {
                let timestamp = value.map_or(write.timestamp, |(_, timestamp)| timestamp);
                write.log(changelog, key, value.map(|(value, _)| value), Some(timestamp), &[])
            }
            _ => Ok(()),
        }
    }

    /// Writes what a store notes for itself: nobody is told of it.
    pub(super) fn note(&mut self, key: &[u8], note: &[u8]) -> Result<()> {
        let written = self.table.put_unseen(key, Some(Row::new(note, -1)));
        written.map_err(|error| store_error(&self.name, error))
    }

    /// Writes a row that is logged in another form.
    pub(super) fn put_silently(
        &mut self,
        key: &[u8],
        row: Option<Row<'_>>,
        write: &WriteContext<'_>,
    ) -> Result<()> {
        self.table.put(key, row, &write.table()).map_err(|error| store_error(&self.name, error))
    }

    /// Removes a row that has expired: the changelog forgets it by its own retention.
    pub(super) fn remove_silently(&mut self, key: &[u8]) -> Result<()> {
        self.write(key, None, &Context::none(-1))
    }

    /// Shows rows in the order of their keys until `each` breaks.
    pub(super) fn scan(
        &mut self,
        range: &KeyRange<'_>,
        order: Order,
        mut each: impl FnMut(&[u8], Row<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        if let Some(shared) = &self.shared {
            let mut all = shared.rows.freeze(range, order);
            while let Some((key, row)) = all.next()
                && each(key, row).is_continue()
            {}
            return Ok(());
        }
        self.table.scan(range, order, each).map_err(|error| store_error(&self.name, error))
    }

    /// Shows the rows of a group, see [`KeyValueTable::scan_group`]. Rows that tasks share have no groups.
    pub(super) fn scan_group(
        &mut self,
        group: &[u8],
        (from, to): (Suffix, Suffix),
        order: Order,
        each: impl FnMut(&[u8], Row<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let scanned = self.table.scan_group(group, from, to, order, each);
        scanned.map_err(|error| store_error(&self.name, error))
    }

    /// Shows all rows of segments that have times from one to another (negative ones have no rows), in any order.
    pub(super) fn scan_segments(
        &mut self,
        from: i64,
        to: i64,
        each: impl FnMut(&[u8], Row<'_>),
    ) -> Result<()> {
        if to < from.max(0) {
            return Ok(());
        }
        let scanned = self.table.scan_segments(from.max(0).unsigned_abs(), to.unsigned_abs(), each);
        scanned.map_err(|error| store_error(&self.name, error))
    }

    /// How keys are laid out that have a time.
    pub(super) fn timed_keys(&self) -> Option<TimedKeys> {
        self.expiry.as_ref().map(Expiry::timed_keys)
    }

    /// The times of rows that have one.
    pub(super) fn expiry(&mut self) -> Result<&mut Expiry> {
        let Rows { expiry, name, .. } = self;
        expiry.as_mut().ok_or_else(|| Error::fatal(format_args!("rows of store `{name}` have no time")))
    }

    /// Where a flush that starts now ends.
    pub(super) fn pending_writes(&self) -> usize {
        self.table.pending_writes()
    }

    /// Takes the next row to be emitted among those written before `writes`, to be looked at by `taken`.
    pub(super) fn take_pending(&mut self, writes: usize) -> bool {
        self.table.take_pending(writes)
    }

    /// The row that was just taken.
    pub(super) fn taken(&self) -> Option<Emission<'_>> {
        self.table.taken()
    }

    /// Logs a row that is being emitted.
    pub(super) fn log_emission(&self, emission: &Emission<'_>, write: &mut WriteContext<'_>) -> Result<()> {
        let Some(changelog) = &self.changelog else { return Ok(()) };
        let timestamp = emission.new.map_or(emission.context.timestamp, |row| row.timestamp);
        write.log(changelog, emission.key, emission.new.map(|row| row.value), Some(timestamp), &[])
    }

    pub(super) fn has_pending(&self) -> bool {
        self.table.pending_rows() > 0
    }

    /// Logs all that waits, where no node forwards it.
    pub(super) fn flush(&mut self, write: &mut WriteContext<'_>) -> Result<()> {
        let writes = self.pending_writes();
        while self.take_pending(writes) {
            self.taken().map_or(Ok(()), |emission| self.log_emission(&emission, write))?;
        }
        Ok(())
    }

    pub(super) fn seal(&mut self) -> Result<()> {
        let noted = self.expiry.as_mut().map_or(Ok(()), |expiry| expiry.seal(&mut self.table));
        let sealed = noted.and_then(|()| self.table.seal_epoch());
        let epoch = sealed.map_err(|error| store_error(&self.name, error))?;
        self.sealed = Some(epoch);
        Ok(())
    }

    pub(super) fn commit(&mut self) -> Result<()> {
        match self.sealed.take() {
            Some(epoch) => {
                let committed = self.table.commit_epoch(epoch, self.acknowledged.take());
                let expired = committed.and_then(|()| match &mut self.expiry {
                    Some(expiry) => expiry.commit(&mut self.table),
                    None => Ok(()),
                });
                expired.map_err(|error| store_error(&self.name, error))
            }
            None => Err(Error::fatal(format_args!("store `{}` has no epoch to commit", self.name))),
        }
    }

    pub(super) fn abort(&mut self) {
        self.sealed = None;
        self.table.abort();
        if let Some(expiry) = &mut self.expiry {
            expiry.abort();
        }
    }

    pub(super) fn restore(&mut self, key: &[u8], row: Option<Row<'_>>) -> Result<()> {
        if let Some(expiry) = &mut self.expiry {
            let Some((_, suffix)) = expiry.timed_keys().split(key) else {
                let name = &self.name;
                return Err(Error::fatal(format_args!("a record of the changelog of `{name}` has no time")));
            };
            expiry.restored(suffix);
        }
        self.table.restore(key, row).map_err(|error| store_error(&self.name, error))
    }

    pub(super) fn reflected(&self) -> Option<Checkpoint> {
        self.table.stored_checkpoint()
    }

    pub(super) fn restored_to(&mut self, checkpoint: Checkpoint) -> Result<()> {
        let noted = self.expiry.as_mut().map_or(Ok(()), |expiry| expiry.restored_all(&mut self.table));
        noted.map_err(|error| store_error(&self.name, error))?;
        self.table.restored_to(checkpoint);
        Ok(())
    }

    pub(super) fn acknowledged(&mut self, checkpoint: Checkpoint) {
        self.acknowledged = Some(checkpoint);
    }

    pub(super) fn unstored_rows(&self) -> usize {
        self.table.unstored_rows()
    }

    /// Writes a chunk of committed rows to the engine; false if nothing is left.
    pub(super) fn write_behind(&mut self) -> Result<bool> {
        self.table.write_behind(CHUNK_BYTES).map_err(|error| store_error(&self.name, error))
    }

    pub(super) fn resident_bytes(&self) -> usize {
        if self.has_engine { self.table.resident_bytes() } else { 0 }
    }

    pub(super) fn pinned_bytes(&self) -> usize {
        if self.has_engine { 0 } else { self.table.resident_bytes() }
    }

    pub(super) fn num_keys(&self) -> Option<usize> {
        (!self.has_engine).then(|| self.table.resident_rows())
    }

    pub(super) fn evict(&mut self, bytes: usize) -> Result<()> {
        self.table.evict(bytes).map_err(|error| store_error(&self.name, error))
    }

    pub(super) fn begin_restore(&mut self) -> Result<()> {
        self.table.begin_restore().map_err(|error| store_error(&self.name, error))
    }

    pub(super) fn end_restore(&mut self) -> Result<bool> {
        self.table.end_restore().map_err(|error| store_error(&self.name, error))
    }

    pub(super) fn poll_load(&self, context: &mut std::task::Context<'_>) -> bool {
        self.table.poll_load(context)
    }

    pub(super) fn hides_rows(&self) -> bool {
        self.table.hides_rows()
    }

    pub(super) fn finish_load(&mut self) -> Result<()> {
        self.table.finish_load().map_err(|error| store_error(&self.name, error))
    }

    /// The topic that brings the store back.
    pub(super) fn changelog(&self) -> Option<&OutTopic> {
        self.changelog.as_ref()
    }

    pub(super) fn uncommitted_bytes(&self) -> usize {
        self.table.uncommitted_bytes()
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.table.pending_bytes()
    }

    /// A row whose bytes a serde refuses.
    #[cold]
    pub(super) fn unreadable(&self, error: impl std::fmt::Display) -> Error {
        Error::record(format_args!("store `{}`: a row is not readable: {error}", self.name))
    }

    /// A key or value that a serde refuses.
    #[cold]
    pub(super) fn unwritable(&self, error: impl std::fmt::Display) -> Error {
        Error::record(format_args!("store `{}`: a row is not writable: {error}", self.name))
    }
}

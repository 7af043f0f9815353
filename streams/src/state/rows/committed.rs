//! Rows as of the last commit, for those who ask from outside of the task: what an abort could still undo is not shown.

use std::ops::ControlFlow;
use std::sync::Arc;

use anabranch_state_store::{Order, Row};

use super::Rows;
use crate::error::Result;
use crate::state::composite::key_range;
use crate::state::write::store_error;
use crate::state::{FrozenRows, KeyBounds};

impl Rows {
    /// The value of a key.
    pub(in crate::state) fn committed_row(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if self.shared.is_some() {
            return Ok(self.get(key)?.map(|row| row.value.to_vec()));
        }
        let row = self.table.get_committed(key).map_err(|error| store_error(&self.name, error))?;
        Ok(row.map(|row| row.value.to_vec()))
    }

    /// The keys and values of a range, by key.
    pub(in crate::state) fn committed_rows(&mut self, bounds: &KeyBounds) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let (range, mut rows) = (key_range(bounds), Vec::new());
        let each = |key: &[u8], row: Row<'_>| {
            rows.push((key.to_vec(), row.value.to_vec()));
            ControlFlow::Continue(())
        };
        if self.shared.is_some() {
            self.scan(&range, Order::Forward, each)?;
        } else {
            let scanned = self.table.scan_committed(&range, Order::Forward, each);
            scanned.map_err(|error| store_error(&self.name, error))?;
        }
        Ok(rows)
    }

    /// About how many there are, those that are not committed among them.
    pub(in crate::state) fn approximate(&self) -> Result<u64> {
        match &self.shared {
            Some(shared) => Ok(shared.rows.len()),
            None => self.table.approximate_rows().map_err(|error| store_error(&self.name, error)),
        }
    }

    /// The rows of a range, for a reader elsewhere.
    pub(in crate::state) fn freeze(&mut self, bounds: &KeyBounds, order: Order) -> Result<FrozenRows> {
        let frozen = self.table.freeze(&key_range(bounds), order);
        let frozen = frozen.map_err(|error| store_error(&self.name, error))?;
        Ok(FrozenRows::Task(frozen, Arc::clone(&self.name)))
    }

    /// Those whose times lie from one to another: by segment, then by key.
    pub(in crate::state) fn freeze_times(
        &mut self,
        bounds: &KeyBounds,
        (from, to): (i64, i64),
        order: Order,
    ) -> Result<FrozenRows> {
        // No row has a negative time.
        let times = if to < from.max(0) { (1, 0) } else { (from.max(0).unsigned_abs(), to.unsigned_abs()) };
        let frozen = self.table.freeze_times(&key_range(bounds), times, order);
        let frozen = frozen.map_err(|error| store_error(&self.name, error))?;
        Ok(FrozenRows::Task(frozen, Arc::clone(&self.name)))
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;
    use crate::operators::check::Closed;
    use crate::state::{StoreInit, WriteContext};

    #[test]
    fn committed_rows_are_those_of_the_last_commit() {
        let init = StoreInit {
            name: "rows".into(),
            topic: "rows-changelog".into(),
            changelog: None,
            cached: false,
            engine: None,
            shared: None,
            kept: Default::default(),
        };
        let mut rows = Rows::new(&init).unwrap();
        let mut write = WriteContext {
            outbox: &mut Closed,
            task_partition: 0,
            timestamp: 0,
            headers: &[],
            topic: None,
            partition: -1,
            offset: -1,
        };
        let mut put = |rows: &mut Rows, key: &[u8], value: Option<&[u8]>| {
            rows.put(key, value.map(|value| Row::new(value, 0)), &mut write).unwrap();
        };
        let all = (Bound::Unbounded, Bound::Unbounded);
        put(&mut rows, b"deleted", Some(b"1"));
        put(&mut rows, b"replaced", Some(b"1"));
        rows.seal().unwrap();
        rows.commit().unwrap();
        put(&mut rows, b"deleted", None);
        put(&mut rows, b"replaced", Some(b"2"));
        put(&mut rows, b"written", Some(b"2"));
        let old = [(b"deleted".to_vec(), b"1".to_vec()), (b"replaced".to_vec(), b"1".to_vec())];
        assert_eq!(rows.committed_rows(&all).unwrap(), old, "before the commit");
        rows.seal().unwrap();
        assert_eq!(rows.committed_rows(&all).unwrap(), old, "while the commit is in flight");
        rows.commit().unwrap();
        let new = [(b"replaced".to_vec(), b"2".to_vec()), (b"written".to_vec(), b"2".to_vec())];
        assert_eq!(rows.committed_rows(&all).unwrap(), new);
        let from = (Bound::Excluded(b"replaced".to_vec()), Bound::Unbounded);
        assert_eq!(rows.committed_rows(&from).unwrap(), new[1..]);
        assert_eq!(rows.approximate().unwrap(), 2);
        // More than are copied for a reader.
        (0..300_u32).for_each(|number| put(&mut rows, &number.to_be_bytes(), Some(b"3")));
        let frozen = rows.freeze(&all, Order::Forward).unwrap();
        put(&mut rows, b"written", None);
        assert!(init.kept.get() > 0, "what a reader keeps is counted");
        drop(frozen);
        assert_eq!(init.kept.get(), 0);
    }
}

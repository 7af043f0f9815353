//! The rows of a store at one moment, for readers outside of the task: committed ones, or those of a global store.

use std::sync::Arc;

use anabranch_state_store as table;

use super::frozen_global::FrozenGlobal;
use super::write::store_error;
use crate::error::Result;

/// Rows as bytes, one by one.
pub(crate) enum FrozenRows {
    /// Of a task; and the store's name.
    Task(table::Rows, Arc<str>),
    Global(FrozenGlobal),
}

impl FrozenRows {
    /// Brings some more of the rows into order, and says whether this is to be called again; `next` does all of it.
    pub(crate) fn prepare(&mut self) -> bool {
        match self {
            FrozenRows::Task(rows, _) => rows.prepare(),
            FrozenRows::Global(rows) => rows.prepare(),
        }
    }

    /// The next key and its value.
    pub(crate) fn next(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        let next = match self {
            FrozenRows::Task(rows, name) => rows.next().map_err(|error| store_error(name, error))?,
            FrozenRows::Global(rows) => rows.next(),
        };
        Ok(next.map(|(key, row)| (key, row.value)))
    }
}

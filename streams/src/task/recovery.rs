//! How a task's stores come back from their changelogs, and how they are read from outside.

use super::stream_task::Task;
use crate::error::{Error, Result};
use crate::outbox::OutTopic;

pub(crate) use crate::state::KeyBounds;

impl Task {
    /// The changelog of each store, by the store's index; none for a store without.
    pub(crate) fn changelogs(&self) -> Vec<Option<OutTopic>> {
        self.state.stores.iter().map(|store| store.changelog().cloned()).collect()
    }

    /// Takes a record of a store's changelog straight into its committed rows.
    ///
    /// # Errors
    /// If the store refuses it.
    pub(crate) fn restore(
        &mut self,
        store: usize,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: i64,
        headers: &[u8],
    ) -> Result<()> {
        self.state.stores.get(store).restore(key, value, timestamp, headers)
    }

    /// The value of a serialised key in a store, as of the last commit.
    ///
    /// # Errors
    /// If the task has no such store, or it cannot be read.
    pub(crate) fn committed_row(&mut self, store: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let store = self.find(store)?;
        self.state.stores.get(store).committed_row(key)
    }

    /// Keys and values of a range of serialised keys in a store, by key, as of the last commit.
    ///
    /// # Errors
    /// As [`Task::committed_row`].
    pub(crate) fn committed_rows(
        &mut self,
        store: &str,
        bounds: &KeyBounds,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let store = self.find(store)?;
        self.state.stores.get(store).committed_rows(bounds)
    }

    fn find(&self, store: &str) -> Result<usize> {
        let found = self.state.stores.find(store);
        found.ok_or_else(|| Error::invalid(format_args!("the task has no store named `{store}`")))
    }
}

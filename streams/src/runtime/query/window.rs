//! Questions to a window store.

use std::ops::RangeBounds;

use super::asked::{Asked, only};
use crate::data::Data;
use crate::error::Result;
use crate::state::{KeyBounds, SerialisedWindow, WindowState, first_and_last};
use crate::window::{TimeWindow, Window, Windowed};

/// Reads a window store of a running application: one value for a key and the start of a window.
///
/// What is older than its retention, measured from the latest start that was written and committed, is not seen; ranges of
/// time are ranges of starts.
pub struct ReadOnlyWindowStore<K, V>(pub(super) Asked<K, V>);

impl<K: Data, V: Data> ReadOnlyWindowStore<K, V> {
    /// The value of a key in the window that starts at `start_ms`, as of the last commit; `None` if there is none here.
    ///
    /// # Errors
    /// If the application has stopped, the task that would have the key is being restored or is not of this instance, or
    /// the store is of another kind or other types; so have all its methods.
    pub async fn fetch(&self, key: &K, start_ms: i64) -> Result<Option<V>> {
        Ok(self.fetch_range(key, start_ms..=start_ms).await?.pop().map(|(_, value)| value))
    }

    /// The values of a key in windows that start in a range of time, with their starts, the earliest first.
    pub async fn fetch_range(&self, key: &K, starts: impl RangeBounds<i64>) -> Result<Vec<(i64, V)>> {
        let (key, starts) = (self.0.key_bytes(key)?, first_and_last(&starts));
        let bounds = only(&key);
        let question = move |store: &mut WindowState<K, V>| {
            Ok(Some(store.committed_windows(&bounds, starts)?).filter(|found| !found.is_empty()))
        };
        let mut found = self.0.first(&key, question).await?.unwrap_or_default();
        found.sort_by_key(|(_, start, _)| *start);
        found.iter().map(|(_, start, value)| Ok((*start, self.0.read_value(value)?))).collect()
    }

    /// The values of a range of keys in windows that start in a range of time, by start, then by key.
    pub async fn fetch_keys(
        &self,
        keys: impl RangeBounds<K>,
        starts: impl RangeBounds<i64>,
    ) -> Result<Vec<(Windowed<K>, V)>> {
        self.windows(self.0.bounds(&keys)?, first_and_last(&starts)).await
    }

    /// The values of all keys in windows that start in a range of time, by start, then by key.
    pub async fn fetch_all(&self, starts: impl RangeBounds<i64>) -> Result<Vec<(Windowed<K>, V)>> {
        self.fetch_keys(.., starts).await
    }

    /// All values of this instance's tasks, by start, then by key.
    pub async fn all(&self) -> Result<Vec<(Windowed<K>, V)>> {
        self.fetch_all(..).await
    }

    async fn windows(&self, keys: KeyBounds, starts: (i64, i64)) -> Result<Vec<(Windowed<K>, V)>> {
        let question = move |store: &mut WindowState<K, V>| -> Result<(i64, Vec<SerialisedWindow>)> {
            Ok((store.size_ms(), store.committed_windows(&keys, starts)?))
        };
        let answers = self.0.every(question).await?.into_iter();
        let mut found: Vec<_> =
            answers.flat_map(|(size, found)| found.into_iter().map(move |window| (window, size))).collect();
        found.sort_by(|((a_key, a, _), _), ((b_key, b, _), _)| (a, a_key).cmp(&(b, b_key)));
        let read = |((key, start, value), size_ms): &(SerialisedWindow, i64)| {
            let window = TimeWindow::between(*start, start.saturating_add(*size_ms));
            Ok((Windowed { key: self.0.read_key(key)?, window }, self.0.read_value(value)?))
        };
        found.iter().map(read).collect()
    }
}

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
///
/// ```
/// use anabranch::prelude::*;
///
/// const CLICKS: Topic<String, String> = Topic::new("clicks");
/// const COUNTS: Store<Windows<String, i64>> = Store::named("clicks-per-day");
///
/// # fn main() -> Result<()> {
/// # let (_host, threads) = anabranch_host::Host::real(1).expect("threads");
/// # threads.block_on(async {
/// let builder = StreamsBuilder::new();
/// builder.stream(CLICKS).group_by_key().windowed_by(Tumbling::of(days(1))).count_with(COUNTS);
/// let app = Streams::new("app", builder.build()?).create_topics(1).start().await?;
///
/// app.producer(CLICKS)?.write("ann".to_string(), "/home".to_string()).await?;
/// app.drain().await?;
///
/// let counts = app.store(COUNTS)?;
/// let of_ann = counts.fetch_range(&"ann".to_string(), ..).await?; // (start of the day in ms, value)
/// assert_eq!(of_ann.len(), 1);
/// assert_eq!(counts.fetch(&"ann".to_string(), of_ann[0].0).await?, Some(1));
/// app.close().await
/// # })
/// # }
/// ```
pub struct ReadOnlyWindowStore<K, V>(pub(super) Asked<K, V>);

impl<K: Data, V: Data> ReadOnlyWindowStore<K, V> {
    /// The value of a key in the window that starts at `start_ms`, as of the last commit; `None` if there is none here.
    ///
    /// # Errors
    /// [`Migrated`](crate::error::ErrorKind::Migrated) if the task of the key is not on this instance, is being restored
    /// ([`with_stale`](Self::with_stale) reads it even so), or the application has stopped;
    /// [`Invalid`](crate::error::ErrorKind::Invalid) if the store is of another kind or of other types;
    /// [`NotUpToBound`](crate::error::ErrorKind::NotUpToBound) if it is behind [`at_least`](Self::at_least);
    /// [`Record`](crate::error::ErrorKind::Record) if a key or a row cannot be serialised or deserialised;
    /// [`Corrupted`](crate::error::ErrorKind::Corrupted) or [`Fatal`](crate::error::ErrorKind::Fatal) if the store cannot
    /// be read.
    pub async fn fetch(&self, key: &K, start_ms: i64) -> Result<Option<V>> {
        Ok(self.fetch_range(key, start_ms..=start_ms).await?.pop().map(|(_, value)| value))
    }

    /// The values of a key in windows that start in a range of time, with their starts, the earliest first.
    ///
    /// # Errors
    /// As for [`ReadOnlyWindowStore::fetch`].
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
    ///
    /// # Errors
    /// As for [`ReadOnlyWindowStore::fetch`], but never `Migrated`: tasks that are not here are left out.
    pub async fn fetch_keys(
        &self,
        keys: impl RangeBounds<K>,
        starts: impl RangeBounds<i64>,
    ) -> Result<Vec<(Windowed<K>, V)>> {
        self.windows(self.0.bounds(&keys)?, first_and_last(&starts)).await
    }

    /// The values of all keys in windows that start in a range of time, by start, then by key.
    ///
    /// # Errors
    /// As for [`ReadOnlyWindowStore::fetch`], but never `Migrated`: tasks that are not here are left out.
    pub async fn fetch_all(&self, starts: impl RangeBounds<i64>) -> Result<Vec<(Windowed<K>, V)>> {
        self.fetch_keys(.., starts).await
    }

    /// All values of this instance's tasks, by start, then by key.
    ///
    /// # Errors
    /// As for [`ReadOnlyWindowStore::fetch`], but never `Migrated`: tasks that are not here are left out.
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

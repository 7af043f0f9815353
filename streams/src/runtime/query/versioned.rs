//! Questions to a versioned store.

use std::ops::RangeBounds;

use super::asked::Asked;
use crate::data::Data;
use crate::error::Result;
use crate::state::{VersionedRecord, VersionedState, first_and_last};

/// Reads a versioned store of a running application: the values of a key over time, each valid until the next.
///
/// How far back it can be read says its history, measured from the latest time that was written and committed.
///
/// ```
/// use anabranch::prelude::*;
///
/// const PRICES: Topic<String, i64> = Topic::new("prices");
/// const HISTORY: Store<Versioned<String, i64>> = Store::named("price-history").history(days(7));
///
/// # fn main() -> Result<()> {
/// # let (_host, threads) = anabranch_host::Host::real(1).expect("threads");
/// # threads.block_on(async {
/// let builder = StreamsBuilder::new();
/// builder.table_with(PRICES, HISTORY);
/// let app = Streams::new("app", builder.build()?).create_topics(1).start().await?;
///
/// app.producer(PRICES)?.write("tea".to_string(), 120).await?;
/// app.drain().await?;
///
/// let prices = app.store(HISTORY)?;
/// let latest = prices.get(&"tea".to_string()).await?.expect("a price");
/// assert_eq!((latest.value, latest.valid_to_ms), (120, None));
/// assert_eq!(prices.get_as_of(&"tea".to_string(), latest.valid_from_ms - 1).await?, None);
/// app.close().await
/// # })
/// # }
/// ```
pub struct ReadOnlyVersionedStore<K, V>(pub(super) Asked<K, V>);

/// Where the history begins, then each version, the earliest first: from when it is valid, and its value.
type History = (i64, Vec<(i64, Option<Vec<u8>>)>);

impl<K: Data, V: Data> ReadOnlyVersionedStore<K, V> {
    /// The latest value of a key, as of the last commit; `None` if there is none here.
    ///
    /// # Errors
    /// [`Migrated`](crate::error::ErrorKind::Migrated) if the task of the key is not on this instance, is being restored
    /// ([`with_stale`](Self::with_stale) reads it even so), or the application has stopped;
    /// [`Invalid`](crate::error::ErrorKind::Invalid) if the store is of another kind or of other types;
    /// [`NotUpToBound`](crate::error::ErrorKind::NotUpToBound) if it is behind [`at_least`](Self::at_least);
    /// [`Record`](crate::error::ErrorKind::Record) if a key or a row cannot be serialised or deserialised;
    /// [`Corrupted`](crate::error::ErrorKind::Corrupted) or [`Fatal`](crate::error::ErrorKind::Fatal) if the store cannot
    /// be read.
    pub async fn get(&self, key: &K) -> Result<Option<VersionedRecord<V>>> {
        let latest = self.versions(key, ..).await?.pop();
        Ok(latest.filter(|version| version.valid_to_ms.is_none()))
    }

    /// The value of a key that was valid at a time. Before the history begins only a latest value is known.
    ///
    /// # Errors
    /// As for [`ReadOnlyVersionedStore::get`].
    pub async fn get_as_of(&self, key: &K, timestamp: i64) -> Result<Option<VersionedRecord<V>>> {
        Ok(self.versions(key, timestamp..=timestamp).await?.pop())
    }

    /// The values of a key that were valid at some time of a range, the earliest first (Kafka's `MultiVersionedKeyQuery`).
    ///
    /// # Errors
    /// As for [`ReadOnlyVersionedStore::get`].
    pub async fn versions(&self, key: &K, times: impl RangeBounds<i64>) -> Result<Vec<VersionedRecord<V>>> {
        let (key, (from, to)) = (self.0.stored.key_bytes(key)?, first_and_last(&times));
        let asked = key.clone();
        let question = move |store: &mut VersionedState<K, V>| -> Result<Option<History>> {
            let versions = store.committed_versions(&asked)?;
            Ok(Some((store.committed_history_start(), versions)).filter(|(_, versions)| !versions.is_empty()))
        };
        let Some((start, versions)) = self.0.first(&key, question).await? else { return Ok(Vec::new()) };
        let ends = versions.iter().skip(1).map(|(next, _)| Some(*next)).chain([None]);
        let mut found = Vec::new();
        for ((valid_from_ms, value), valid_to_ms) in versions.iter().zip(ends) {
            // A version that ended before the history starts may or may not be expired yet: hide it.
            let from = if valid_to_ms.is_some() { from.max(start) } else { from };
            if let Some(value) = value
                && *valid_from_ms <= to
                && valid_to_ms.is_none_or(|end| end > from)
            {
                let value = self.0.stored.read_value(value)?;
                found.push(VersionedRecord { value, valid_from_ms: *valid_from_ms, valid_to_ms });
            }
        }
        Ok(found)
    }
}

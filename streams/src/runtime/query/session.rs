//! Questions to a session store.

use std::ops::RangeBounds;

use super::asked::{Asked, only};
use crate::data::Data;
use crate::error::Result;
use crate::state::{SerialisedSession, SessionState, first_and_last};
use crate::window::{SessionWindow, Windowed};

/// Reads a session store of a running application: one value for a key and a session.
///
/// What ended before its retention, measured from the latest end that was written and committed, is not seen. Sessions come
/// by their end, then by their start, those of several keys by key at last.
pub struct ReadOnlySessionStore<K, V>(pub(super) Asked<K, V>);

impl<K: Data, V: Data> ReadOnlySessionStore<K, V> {
    /// All sessions of a key, as of the last commit.
    ///
    /// # Errors
    /// If the application has stopped, the task that would have the key is being restored or is not of this instance, or
    /// the store is of another kind or other types; so have all its methods.
    pub async fn fetch(&self, key: &K) -> Result<Vec<(Windowed<K, SessionWindow>, V)>> {
        self.find_sessions(key, ..).await
    }

    /// The sessions of a key that overlap a range of time, ends included: those that end at its start or later and start
    /// at its end or earlier.
    pub async fn find_sessions(
        &self,
        key: &K,
        times: impl RangeBounds<i64>,
    ) -> Result<Vec<(Windowed<K, SessionWindow>, V)>> {
        let (key, times) = (self.0.key_bytes(key)?, first_and_last(&times));
        let bounds = only(&key);
        let question = move |store: &mut SessionState<K, V>| {
            Ok(Some(store.committed_sessions(&bounds, times)?).filter(|found| !found.is_empty()))
        };
        let found = self.0.first(&key, question).await?;
        self.read(found.unwrap_or_default())
    }

    /// All sessions of a range of keys.
    pub async fn fetch_keys(
        &self,
        keys: impl RangeBounds<K>,
    ) -> Result<Vec<(Windowed<K, SessionWindow>, V)>> {
        let bounds = self.0.bounds(&keys)?;
        let question =
            move |store: &mut SessionState<K, V>| store.committed_sessions(&bounds, (i64::MIN, i64::MAX));
        let found = self.0.every(question).await?;
        self.read(found.into_iter().flatten().collect())
    }

    /// The value of the session of a key from `start_ms` to `end_ms`.
    pub async fn fetch_session(&self, key: &K, start_ms: i64, end_ms: i64) -> Result<Option<V>> {
        let sought = SessionWindow { start_ms, end_ms };
        let sessions = self.find_sessions(key, end_ms..).await?;
        Ok(sessions.into_iter().find(|(session, _)| session.window == sought).map(|(_, value)| value))
    }

    fn read(&self, mut found: Vec<SerialisedSession>) -> Result<Vec<(Windowed<K, SessionWindow>, V)>> {
        found.sort_by(|(a_key, a, _), (b_key, b, _)| {
            (a.end_ms, a.start_ms, a_key).cmp(&(b.end_ms, b.start_ms, b_key))
        });
        let read = |(key, window, value): SerialisedSession| {
            Ok((Windowed { key: self.0.read_key(&key)?, window }, self.0.read_value(&value)?))
        };
        found.into_iter().map(read).collect()
    }
}

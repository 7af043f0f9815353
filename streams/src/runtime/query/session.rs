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
///
/// ```
/// use anabranch::prelude::*;
///
/// const CLICKS: Topic<String, String> = Topic::new("clicks");
/// const COUNTS: Store<Sessions<String, i64>> = Store::named("clicks-per-session");
///
/// # fn main() -> Result<()> {
/// # let (_host, threads) = anabranch_host::Host::real(1).expect("threads");
/// # threads.block_on(async {
/// let builder = StreamsBuilder::new();
/// builder.stream(CLICKS).group_by_key().windowed_by(Session::gap(minutes(30))).count_with(COUNTS);
/// let app = Streams::new("app", builder.build()?).create_topics(1).start().await?;
///
/// app.producer(CLICKS)?.write("ann".to_string(), "/home".to_string()).await?;
/// app.drain().await?;
///
/// let sessions = app.store(COUNTS)?.fetch(&"ann".to_string()).await?;
/// let (session, clicks) = &sessions[0];
/// assert_eq!((session.window.start_ms, *clicks), (session.window.end_ms, 1));
/// app.close().await
/// # })
/// # }
/// ```
pub struct ReadOnlySessionStore<K, V>(pub(super) Asked<K, V>);

impl<K: Data, V: Data> ReadOnlySessionStore<K, V> {
    /// All sessions of a key, as of the last commit.
    ///
    /// # Errors
    /// [`Migrated`](crate::error::ErrorKind::Migrated) if the task of the key is not on this instance, is being restored
    /// ([`with_stale`](Self::with_stale) reads it even so), or the application has stopped;
    /// [`Invalid`](crate::error::ErrorKind::Invalid) if the store is of another kind or of other types;
    /// [`NotUpToBound`](crate::error::ErrorKind::NotUpToBound) if it is behind [`at_least`](Self::at_least);
    /// [`Record`](crate::error::ErrorKind::Record) if a key or a row cannot be serialised or deserialised;
    /// [`Corrupted`](crate::error::ErrorKind::Corrupted) or [`Fatal`](crate::error::ErrorKind::Fatal) if the store cannot
    /// be read.
    pub async fn fetch(&self, key: &K) -> Result<Vec<(Windowed<K, SessionWindow>, V)>> {
        self.find_sessions(key, ..).await
    }

    /// The sessions of a key that overlap a range of time, ends included: those that end at its start or later and start
    /// at its end or earlier.
    ///
    /// # Errors
    /// As for [`ReadOnlySessionStore::fetch`].
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
    ///
    /// # Errors
    /// As for [`ReadOnlySessionStore::fetch`], but never `Migrated`: tasks that are not here are left out.
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
    ///
    /// # Errors
    /// As for [`ReadOnlySessionStore::fetch`].
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

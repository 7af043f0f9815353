//! The buffer of a suppression: for each key its latest update, in the order of the time at which the key came to wait.
//!
//! It lives in memory. Its changelog gets, once per commit, each key that was touched since the last one: its record as
//! it waits, or a null if it waits no longer. Kafka Streams walks over a `HashSet` of keys for that; so does this.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anabranch_host::HashMap;
use anabranch_state_store::Checkpoint;

use super::buffered::Buffered;
use super::{StoreInit, StoreSupplier, TaskStore, WriteContext};
use crate::error::{Error, Result};
use crate::headers::{Headers, HeadersRef};
use crate::outbox::OutTopic;
use crate::serdes::{Serde, SerdeContext, SerdeError};

/// The header of changelog records that says how they are written, and its only value that is.
const VERSION_HEADER: &str = "v";
const VERSION: u8 = 3;

type Key = Arc<[u8]>;

/// A suppression buffer of a task.
pub(crate) struct SuppressState<K, V> {
    name: Arc<str>,
    topic: Arc<str>,
    changelog: Option<OutTopic>,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
    waiting: BTreeMap<(i64, Key), Arc<Buffered>>,
    /// By key: since when it waits.
    since: HashMap<Key, i64>,
    bytes: u64,
    touched: Touched,
    /// What the touched keys held before this epoch, in the order in which they were touched.
    undo: Undo,
    /// The same of sealed epochs, oldest first.
    sealed: VecDeque<Undo>,
    key_bytes: Vec<u8>,
    value_bytes: Vec<u8>,
}

/// A key and what it held.
type Undo = Vec<(Key, Option<(i64, Arc<Buffered>)>)>;

/// A record that has been taken out of the buffer.
pub(crate) struct Suppressed {
    key: Key,
    pub(crate) record: Arc<Buffered>,
}

impl Suppressed {
    /// Whether it deletes the row.
    pub(crate) fn is_deletion(&self) -> bool {
        self.record.new.is_none()
    }
}

impl<K: 'static, V: 'static> SuppressState<K, V> {
    /// Makes such stores.
    pub(crate) fn supplier(key: Arc<dyn Serde<K>>, value: Arc<dyn Serde<V>>) -> StoreSupplier {
        StoreSupplier::of(move |init: &StoreInit| {
            Ok(SuppressState {
                name: Arc::clone(&init.name),
                topic: Arc::clone(&init.topic),
                changelog: init.changelog.clone(),
                key: Arc::clone(&key),
                value: Arc::clone(&value),
                waiting: BTreeMap::new(),
                since: HashMap::default(),
                bytes: 0,
                touched: Touched::default(),
                undo: Vec::new(),
                sealed: VecDeque::new(),
                key_bytes: Vec::new(),
                value_bytes: Vec::new(),
            })
        })
    }

    /// Lets an update wait from `time` on. A key that waits already keeps its time and takes the newer update.
    pub(crate) fn put(
        &mut self,
        time: i64,
        key: &K,
        new: Option<&V>,
        old: Option<&V>,
        write: &WriteContext<'_>,
    ) -> Result<()> {
        self.write_key(key)?;
        let (new, old) = (self.value_bytes(new)?, self.value_bytes(old)?);
        let known = self.since.get_key_value(self.key_bytes.as_slice());
        let (key, time, prior) = match known {
            Some((key, &since)) => {
                let place = (since, Arc::clone(key));
                let prior = self.waiting.get(&place).and_then(|record| record.prior.clone());
                (place.1, since, prior)
            }
            None => (Key::from(self.key_bytes.as_slice()), time, old.clone()),
        };
        let headers = match write.headers {
            [] => Headers::new(),
            encoded => Headers::from_encoded(bytes::Bytes::copy_from_slice(encoded)),
        };
        let record = Buffered {
            timestamp: write.timestamp,
            offset: write.offset,
            topic: write.topic.cloned(),
            partition: write.partition,
            headers,
            prior,
            old,
            new,
        };
        self.replace(key, Some((time, Arc::new(record))));
        Ok(())
    }

    /// The earliest time at which a key came to wait.
    pub(crate) fn first_time(&self) -> Option<i64> {
        self.waiting.first_key_value().map(|((time, _), _)| *time)
    }

    /// How many keys wait.
    pub(crate) fn records(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// What they count for.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes out the record that has waited longest; of those of one time the one with the lowest key.
    pub(crate) fn take_first(&mut self) -> Option<Suppressed> {
        let ((_, key), record) = self.waiting.first_key_value()?;
        let (key, record) = (Arc::clone(key), Arc::clone(record));
        self.replace(Arc::clone(&key), None);
        Some(Suppressed { key, record })
    }

    /// The key of a record, its new value, and the one before the key came to wait, which is what the nodes below know.
    pub(crate) fn read(&self, taken: &Suppressed) -> Result<(K, Option<V>, Option<V>)> {
        let key = self.key.deserialize(&SerdeContext::key(&self.topic), &taken.key);
        let key = key.map_err(|error| self.unreadable(&error))?;
        Ok((
            key,
            self.read_value(taken.record.new.as_deref())?,
            self.read_value(taken.record.prior.as_deref())?,
        ))
    }

    /// What the nodes below know of a key that waits; `None` if it does not.
    pub(crate) fn prior(&mut self, key: &K) -> Result<Option<Option<V>>> {
        self.write_key(key)?;
        let Some((key, &since)) = self.since.get_key_value(self.key_bytes.as_slice()) else {
            return Ok(None);
        };
        let record = self.waiting.get(&(since, Arc::clone(key)));
        record.map(|record| self.read_value(record.prior.as_deref())).transpose()
    }

    /// Puts, replaces or removes what a key holds, and keeps what is needed to undo it.
    fn replace(&mut self, key: Key, record: Option<(i64, Arc<Buffered>)>) {
        let old = self.set(&key, record);
        if self.touched.insert(&key) {
            self.undo.push((key, old));
        }
    }

    fn set(&mut self, key: &Key, record: Option<(i64, Arc<Buffered>)>) -> Option<(i64, Arc<Buffered>)> {
        let counted = |record: &Buffered| (8 + key.len() + record.counted_bytes()) as u64;
        let old = self.since.get(key).copied().and_then(|since| {
            let record = self.waiting.remove(&(since, Arc::clone(key)))?;
            self.bytes -= counted(&record);
            Some((since, record))
        });
        match record {
            Some((time, record)) => {
                self.bytes += counted(&record);
                self.since.insert(Arc::clone(key), time);
                self.waiting.insert((time, Arc::clone(key)), record);
            }
            None => {
                self.since.remove(key);
            }
        }
        old
    }

    fn write_key(&mut self, key: &K) -> Result<()> {
        self.key_bytes.clear();
        let written = self.key.serialize(&SerdeContext::key(&self.topic), key, &mut self.key_bytes);
        written.map_err(|error| self.unwritable(&error))
    }

    fn value_bytes(&mut self, value: Option<&V>) -> Result<Option<Arc<[u8]>>> {
        let Some(value) = value else { return Ok(None) };
        self.value_bytes.clear();
        let written = self.value.serialize(&SerdeContext::value(&self.topic), value, &mut self.value_bytes);
        written.map_err(|error| self.unwritable(&error))?;
        Ok(Some(Arc::from(self.value_bytes.as_slice())))
    }

    fn read_value(&self, bytes: Option<&[u8]>) -> Result<Option<V>> {
        let read = |bytes| self.value.deserialize(&SerdeContext::value(&self.topic), bytes);
        bytes.map(read).transpose().map_err(|error| self.unreadable(&error))
    }

    #[cold]
    fn unreadable(&self, error: &SerdeError) -> Error {
        Error::record(format_args!("store `{}`: a row is not readable: {error}", self.name))
    }

    #[cold]
    fn unwritable(&self, error: &SerdeError) -> Error {
        Error::record(format_args!("store `{}`: a row is not writable: {error}", self.name))
    }

    #[cold]
    fn broken(&self, what: &str) -> Error {
        Error::fatal(format_args!("a record of the changelog of `{}` {what}", self.name))
    }
}

impl<K: 'static, V: 'static> TaskStore for SuppressState<K, V> {
    fn name(&self) -> &str {
        &self.name
    }

    fn has_pending(&self) -> bool {
        false
    }

    fn flush(&mut self, _: &mut WriteContext<'_>) -> Result<()> {
        Ok(())
    }

    fn seal(&mut self, write: &mut WriteContext<'_>) -> Result<()> {
        let touched = self.touched.take();
        if let Some(changelog) = &self.changelog {
            let headers: Headers = [(VERSION_HEADER, Some(&[VERSION][..]))].into_iter().collect();
            for key in &touched {
                let since = self.since.get(key).copied();
                let record =
                    since.and_then(|since| Some((since, self.waiting.get(&(since, Arc::clone(key)))?)));
                // The producer's clock gives the time, as in Kafka Streams.
                match record {
                    Some((since, record)) => {
                        self.value_bytes.clear();
                        record.write(&mut self.value_bytes);
                        self.value_bytes.extend_from_slice(&since.to_be_bytes());
                        write.log(changelog, key, Some(&self.value_bytes), None, headers.encoded())?;
                    }
                    None => write.log(changelog, key, None, None, &[])?,
                }
            }
        }
        self.sealed.push_back(std::mem::take(&mut self.undo));
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        match self.sealed.pop_front() {
            Some(_) => Ok(()),
            None => Err(Error::fatal(format_args!("store `{}` has no epoch to commit", self.name))),
        }
    }

    fn abort(&mut self) {
        self.touched.take();
        self.sealed.push_back(std::mem::take(&mut self.undo));
        while let Some(epoch) = self.sealed.pop_back() {
            for (key, record) in epoch {
                self.set(&key, record);
            }
        }
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>, _: i64, headers: &[u8]) -> Result<()> {
        let record = match value {
            None => None,
            Some(value) => {
                let version = HeadersRef(headers).iter().filter(|(name, _)| *name == VERSION_HEADER).last();
                if version.is_none_or(|(_, version)| version != Some(&[VERSION])) {
                    return Err(self.broken("was written by a Kafka Streams before 2.4"));
                }
                let read = Buffered::read(value);
                let Some((record, since)) = read else { return Err(self.broken("is cut short")) };
                let Some(since) = since.first_chunk() else { return Err(self.broken("says no time")) };
                Some((i64::from_be_bytes(*since), Arc::new(record)))
            }
        };
        self.set(&Key::from(key), record);
        Ok(())
    }

    fn reflected(&self) -> Option<Checkpoint> {
        None
    }

    fn restored_to(&mut self, _: Checkpoint) -> Result<()> {
        Ok(())
    }

    fn acknowledged(&mut self, _: Checkpoint) {}

    fn unstored_rows(&self) -> usize {
        0
    }

    fn write_behind(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn resident_bytes(&self) -> usize {
        0
    }

    fn pinned_bytes(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }

    fn evict(&mut self, _: usize) -> Result<()> {
        Ok(())
    }

    fn changelog(&self) -> Option<&OutTopic> {
        self.changelog.as_ref()
    }

    fn uncommitted_bytes(&self) -> usize {
        let entry = |(key, old): &(Key, Option<(i64, Arc<Buffered>)>)| {
            key.len() + old.as_ref().map_or(0, |(_, record)| record.counted_bytes())
        };
        self.sealed.iter().chain([&self.undo]).flatten().map(entry).sum()
    }

    fn pending_bytes(&self) -> usize {
        0
    }

    fn held_back(&self) -> Option<(u64, u64)> {
        Some((self.records(), self.bytes()))
    }
}

/// The keys that were touched since the last commit: a `HashSet` of Java.
#[derive(Default)]
struct Touched {
    /// In the order in which they were added.
    keys: Vec<Key>,
    known: HashMap<Key, ()>,
    /// How many buckets Java's table has; it never shrinks.
    buckets: usize,
}

impl Touched {
    /// False if it is there already.
    fn insert(&mut self, key: &Key) -> bool {
        if self.known.insert(Arc::clone(key), ()).is_some() {
            return false;
        }
        self.keys.push(Arc::clone(key));
        true
    }

    /// Empties it and gives the keys in the order in which Java walks over them: by bucket, in one as they were added.
    fn take(&mut self) -> Vec<Key> {
        self.known.clear();
        self.buckets = self.buckets.max(16);
        while self.keys.len() * 4 > self.buckets * 3 {
            self.buckets *= 2;
        }
        let mut keys = std::mem::take(&mut self.keys);
        keys.sort_by_key(|key| {
            let hash = hash_code(key);
            (hash ^ (hash >> 16)) as usize & (self.buckets - 1)
        });
        keys
    }
}

/// `Arrays.hashCode(byte[])`.
fn hash_code(bytes: &[u8]) -> u32 {
    bytes.iter().fold(1, |hash: u32, &byte| hash.wrapping_mul(31).wrapping_add(byte as i8 as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serdes::text;
    use crate::state::check::{Logged, Tested};

    type Buffer = Tested<SuppressState<String, String>>;

    fn supplier() -> StoreSupplier {
        SuppressState::<String, String>::supplier(Arc::new(text()), Arc::new(text()))
    }

    impl Buffer {
        fn put(&mut self, time: i64, key: &str, new: Option<&str>, old: Option<&str>) {
            let (new, old) = (new.map(str::to_owned), old.map(str::to_owned));
            self.at(time, |store, write| {
                store.put(time, &key.to_string(), new.as_ref(), old.as_ref(), write)
            });
        }

        fn take(&mut self) -> Option<(String, Option<String>, Option<String>)> {
            let taken = self.store.take_first()?;
            Some(self.store.read(&taken).unwrap())
        }

        /// What waits, and what it counts for.
        fn content(&self) -> (Vec<(i64, String, Buffered)>, u64) {
            let row = |((time, key), record): (&(i64, Key), &Arc<Buffered>)| {
                (*time, String::from_utf8(key.to_vec()).unwrap(), (**record).clone())
            };
            (self.store.waiting.iter().map(row).collect(), self.store.bytes)
        }
    }

    #[test]
    fn a_key_keeps_its_time_and_its_prior_value() {
        let mut buffer = Buffer::new(&supplier());
        buffer.put(5, "b", Some("2"), Some("1"));
        buffer.put(3, "a", None, None);
        buffer.put(3, "c", Some("x"), None);
        buffer.put(9, "b", Some("3"), Some("2"));
        let content = buffer.content().0;
        let context = content[2].2.clone();
        assert_eq!((context.timestamp, context.partition, context.offset), (9, 3, 9));
        assert_eq!(buffer.store.prior(&"b".to_string()).unwrap(), Some(Some("1".to_string())));
        assert_eq!(buffer.store.prior(&"a".to_string()).unwrap(), Some(None));
        assert_eq!(buffer.store.prior(&"d".to_string()).unwrap(), None);
        let text = |text: &str| Some(text.to_string());
        assert_eq!(buffer.take(), Some(("a".to_string(), None, None)));
        assert_eq!(buffer.take(), Some(("c".to_string(), text("x"), None)));
        assert_eq!(buffer.take(), Some(("b".to_string(), text("3"), text("1"))));
        assert_eq!((buffer.take(), buffer.store.bytes()), (None, 0));
    }

    #[test]
    fn the_changelog_brings_back_what_waits() {
        let mut buffer = Buffer::new(&supplier());
        buffer.put(5, "b", Some("2"), Some("1"));
        buffer.put(6, "a", None, Some("0"));
        buffer.put(7, "c", Some("z"), None);
        buffer.seal();
        buffer.put(9, "b", Some("3"), Some("2"));
        buffer.take();
        buffer.put(10, "b", Some("4"), Some("3"));
        buffer.take();
        buffer.put(11, "d", Some("n"), Some("m"));
        buffer.seal();
        // Each touched key once a commit.
        assert_eq!(buffer.log().len(), 6);
        let log: Vec<Logged> = buffer.log().to_vec();
        assert!(log.iter().all(|record| record.timestamp.is_none()));
        let restored = Buffer::restored(&supplier(), &log);
        assert_eq!(restored.content(), buffer.content());
        assert_eq!(restored.content().0.len(), 3);
    }

    #[test]
    fn an_abort_brings_back_what_the_last_commit_held() {
        let mut buffer = Buffer::new(&supplier());
        buffer.put(5, "b", Some("2"), Some("1"));
        buffer.put(6, "a", None, Some("0"));
        buffer.seal();
        buffer.store.commit().unwrap();
        let committed = buffer.content();
        buffer.put(7, "b", Some("3"), Some("2"));
        buffer.put(8, "c", Some("z"), None);
        buffer.seal();
        buffer.take();
        buffer.take();
        buffer.put(9, "a", Some("y"), None);
        assert!(buffer.store.uncommitted_bytes() > 0);
        buffer.store.abort();
        assert_eq!(buffer.content(), committed);
        assert_eq!(buffer.store.uncommitted_bytes(), 0);
        buffer.seal();
        buffer.store.commit().unwrap();
        buffer.store.abort();
        assert_eq!(buffer.content(), committed);
    }

    #[test]
    fn records_that_are_not_ours_are_refused() {
        let mut buffer = Buffer::new(&supplier());
        let headers: Headers = [("v", Some(&[3u8][..]))].into_iter().collect();
        for (value, headers, expected) in [
            (&[0u8; 70][..], &[][..], "before 2.4"),
            (&[0; 20], headers.encoded(), "cut short"),
            (&[0; 40], headers.encoded(), "no time"),
        ] {
            let error = buffer.store.restore(b"k", Some(value), 0, headers).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn touched_keys_come_in_the_order_of_javas_hash_set() {
        assert_eq!(hash_code(b""), 1);
        assert_eq!(hash_code(b"abc"), 126_145);
        assert_eq!(hash_code(&[0xff]), 30);
        let mut touched = Touched::default();
        for key in [&b"b"[..], b"a", b"q", b"b"] {
            touched.insert(&Key::from(key));
        }
        // 129, 128 and 144: buckets 1, 0 and 0 of 16.
        let order: Vec<Vec<u8>> = touched.take().iter().map(|key| key.to_vec()).collect();
        assert_eq!(order, [b"a", b"q", b"b"]);
    }
}

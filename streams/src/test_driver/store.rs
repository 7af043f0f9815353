//! Looking into stores in a test.

use std::marker::PhantomData;
use std::ops::RangeBounds;

use super::TestDriver;
use crate::data::Data;
use crate::error::Result;
use crate::state::{
    Custom, CustomStore, Entries, KeyValue, PutOutcome, ReadableStore, Sessions, ValueAndTimestamp,
    Versioned, VersionedRecord, Windows,
};
use crate::window::{SessionWindow, Windowed};

/// A store of the topology under test: what operators and processors have written, commit or not.
///
/// ```
/// use anabranch::prelude::*;
///
/// const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");
///
/// let builder = StreamsBuilder::new();
/// builder.stream("in").group_by_key().count_with(COUNTS);
/// let driver = TestDriver::new(&builder.build()?)?;
/// driver.input("in").pipe("a", "x");
/// driver.input("in").pipe("b", "y");
///
/// let counts = driver.store(COUNTS)?;
/// assert_eq!(counts.get(&"a".to_string())?, Some(1));
/// assert_eq!(counts.all()?.map(|(key, _)| key).collect::<Vec<_>>(), ["a", "b"]);
/// # Ok::<(), anabranch::Error>(())
/// ```
pub struct TestStore<S> {
    driver: TestDriver,
    name: String,
    kind: PhantomData<fn() -> S>,
}

impl<S: ReadableStore> TestStore<S> {
    pub(super) fn of(driver: TestDriver, name: &str) -> Result<Self> {
        let store = TestStore { driver, name: name.to_owned(), kind: PhantomData };
        // A store of another kind or of other types is refused here, not at the first read.
        store.ask(|_| Ok(()))?;
        Ok(store)
    }

    fn ask<R>(&self, question: impl FnOnce(S::Store<'_>) -> Result<R>) -> Result<R> {
        let mut state = self.driver.state.borrow_mut();
        let (task, capture) = state.task_and_capture(&self.name);
        question(S::face(task.store_access(&self.name, capture)?)?)
    }
}

impl<S: CustomStore> TestStore<Custom<S>> {
    /// Shows your view of the rows to `look`.
    ///
    /// # Errors
    /// `Record`, as for [`CustomRows::view`](crate::state::CustomRows::view).
    pub fn view<R>(&self, look: impl FnOnce(&S) -> R) -> Result<R> {
        self.ask(|store| store.view().map(look))
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `Record`, as for [`CustomRows::get`](crate::state::CustomRows::get).
    pub fn get(&self, key: &S::Key) -> Result<Option<S::Value>> {
        self.ask(|mut store| store.get(key))
    }

    /// All rows, by serialised key.
    ///
    /// # Errors
    /// `Record`, as for [`CustomRows::all`](crate::state::CustomRows::all).
    pub fn all(&self) -> Result<Entries<(S::Key, S::Value)>> {
        self.ask(|mut store| store.all())
    }
}

impl<K: Data, V: Data> TestStore<KeyValue<K, V>> {
    /// The value of a key.
    ///
    /// # Errors
    /// `Record`, as for [`KeyValueStore::get`](crate::state::KeyValueStore::get).
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        self.ask(|mut store| store.get(key))
    }

    /// The value of a key, and its time.
    ///
    /// # Errors
    /// `Record`, as for [`KeyValueStore::get_with_timestamp`](crate::state::KeyValueStore::get_with_timestamp).
    pub fn get_with_timestamp(&self, key: &K) -> Result<Option<ValueAndTimestamp<V>>> {
        self.ask(|mut store| store.get_with_timestamp(key))
    }

    /// All rows, by serialised key.
    ///
    /// # Errors
    /// `Record`, as for [`KeyValueStore::all`](crate::state::KeyValueStore::all).
    pub fn all(&self) -> Result<Entries<(K, V)>> {
        self.ask(|mut store| store.all())
    }

    /// All rows, the last key first.
    ///
    /// # Errors
    /// `Record`, as for [`KeyValueStore::reverse_all`](crate::state::KeyValueStore::reverse_all).
    pub fn reverse_all(&self) -> Result<Entries<(K, V)>> {
        self.ask(|mut store| store.reverse_all())
    }

    /// The rows of a range of keys, by key.
    ///
    /// # Errors
    /// `Record`, as for [`KeyValueStore::range`](crate::state::KeyValueStore::range).
    pub fn range(&self, keys: impl RangeBounds<K>) -> Result<Entries<(K, V)>> {
        self.ask(|mut store| store.range(keys))
    }

    /// The rows of a range of keys, the last key first.
    ///
    /// # Errors
    /// `Record`, as for [`KeyValueStore::reverse_range`](crate::state::KeyValueStore::reverse_range).
    pub fn reverse_range(&self, keys: impl RangeBounds<K>) -> Result<Entries<(K, V)>> {
        self.ask(|mut store| store.reverse_range(keys))
    }

    /// The rows whose serialised keys begin with the bytes of `prefix`.
    ///
    /// # Errors
    /// `Record`, as for [`KeyValueStore::prefix_scan`](crate::state::KeyValueStore::prefix_scan).
    pub fn prefix_scan<P: Data>(&self, prefix: &P) -> Result<Entries<(K, V)>> {
        self.ask(|mut store| store.prefix_scan(prefix))
    }

    /// About how many rows there are.
    ///
    /// # Errors
    /// None that a test meets, as for
    /// [`KeyValueStore::approximate_num_entries`](crate::state::KeyValueStore::approximate_num_entries).
    pub fn approximate_num_entries(&self) -> Result<u64> {
        self.ask(|mut store| store.approximate_num_entries())
    }

    /// Writes a value, to begin a test with; `None` deletes. Its time is 0. What a cached store forwards of it comes
    /// with the next record.
    ///
    /// # Errors
    /// `Record`, as for [`KeyValueStore::put`](crate::state::KeyValueStore::put).
    pub fn put<'v>(&self, key: &K, value: impl Into<Option<&'v V>>) -> Result<()> {
        self.ask(|mut store| store.put(key, value))
    }
}

impl<K: Data, V: Data> TestStore<Windows<K, V>> {
    /// The value of a key in the window that starts at `start_ms`.
    ///
    /// # Errors
    /// `Record`, as for [`WindowStore::fetch`](crate::state::WindowStore::fetch).
    pub fn fetch(&self, key: &K, start_ms: i64) -> Result<Option<V>> {
        self.ask(|mut store| store.fetch(key, start_ms))
    }

    /// The values of a key in windows that start in a range of time, with their starts, the earliest first.
    ///
    /// # Errors
    /// `Record`, as for [`WindowStore::fetch_range`](crate::state::WindowStore::fetch_range).
    pub fn fetch_range(&self, key: &K, starts: impl RangeBounds<i64>) -> Result<Entries<(i64, V)>> {
        self.ask(|mut store| store.fetch_range(key, starts))
    }

    /// The same, the latest first.
    ///
    /// # Errors
    /// `Record`, as for [`WindowStore::backward_fetch_range`](crate::state::WindowStore::backward_fetch_range).
    pub fn backward_fetch_range(&self, key: &K, starts: impl RangeBounds<i64>) -> Result<Entries<(i64, V)>> {
        self.ask(|mut store| store.backward_fetch_range(key, starts))
    }

    /// The values of a range of keys in windows that start in a range of time.
    ///
    /// # Errors
    /// `Record`, as for [`WindowStore::fetch_keys`](crate::state::WindowStore::fetch_keys).
    pub fn fetch_keys(
        &self,
        keys: impl RangeBounds<K>,
        starts: impl RangeBounds<i64>,
    ) -> Result<Entries<(Windowed<K>, V)>> {
        self.ask(|mut store| store.fetch_keys(keys, starts))
    }

    /// The values of all keys in windows that start in a range of time.
    ///
    /// # Errors
    /// `Record`, as for [`WindowStore::fetch_all`](crate::state::WindowStore::fetch_all).
    pub fn fetch_all(&self, starts: impl RangeBounds<i64>) -> Result<Entries<(Windowed<K>, V)>> {
        self.ask(|mut store| store.fetch_all(starts))
    }

    /// All values.
    ///
    /// # Errors
    /// `Record`, as for [`WindowStore::all`](crate::state::WindowStore::all).
    pub fn all(&self) -> Result<Entries<(Windowed<K>, V)>> {
        self.ask(|mut store| store.all())
    }

    /// Writes a value, to begin a test with; `None` deletes. Its time is 0.
    ///
    /// # Errors
    /// `Record`, as for [`WindowStore::put`](crate::state::WindowStore::put).
    pub fn put<'v>(&self, key: &K, value: impl Into<Option<&'v V>>, start_ms: i64) -> Result<()> {
        self.ask(|mut store| store.put(key, value, start_ms))
    }
}

impl<K: Data, V: Data> TestStore<Sessions<K, V>> {
    /// The sessions of a key that overlap a range of time, ends included, by end.
    ///
    /// # Errors
    /// `Record`, as for [`SessionStore::find_sessions`](crate::state::SessionStore::find_sessions).
    pub fn find_sessions(
        &self,
        key: &K,
        times: impl RangeBounds<i64>,
    ) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.ask(|mut store| store.find_sessions(key, times))
    }

    /// The same, in the opposite order.
    ///
    /// # Errors
    /// `Record`, as for [`SessionStore::backward_find_sessions`](crate::state::SessionStore::backward_find_sessions).
    pub fn backward_find_sessions(
        &self,
        key: &K,
        times: impl RangeBounds<i64>,
    ) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.ask(|mut store| store.backward_find_sessions(key, times))
    }

    /// All sessions of a key.
    ///
    /// # Errors
    /// `Record`, as for [`SessionStore::fetch`](crate::state::SessionStore::fetch).
    pub fn fetch(&self, key: &K) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.ask(|mut store| store.fetch(key))
    }

    /// All sessions of a range of keys.
    ///
    /// # Errors
    /// `Record`, as for [`SessionStore::fetch_keys`](crate::state::SessionStore::fetch_keys).
    pub fn fetch_keys(&self, keys: impl RangeBounds<K>) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.ask(|mut store| store.fetch_keys(keys))
    }

    /// The sessions of a range of keys that overlap a range of time.
    ///
    /// # Errors
    /// `Record`, as for [`SessionStore::find_sessions_of_keys`](crate::state::SessionStore::find_sessions_of_keys).
    pub fn find_sessions_of_keys(
        &self,
        keys: impl RangeBounds<K>,
        times: impl RangeBounds<i64>,
    ) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.ask(|mut store| store.find_sessions_of_keys(keys, times))
    }

    /// The same, in the opposite order.
    ///
    /// # Errors
    /// `Record`, as for
    /// [`SessionStore::backward_find_sessions_of_keys`](crate::state::SessionStore::backward_find_sessions_of_keys).
    pub fn backward_find_sessions_of_keys(
        &self,
        keys: impl RangeBounds<K>,
        times: impl RangeBounds<i64>,
    ) -> Result<Entries<(Windowed<K, SessionWindow>, V)>> {
        self.ask(|mut store| store.backward_find_sessions_of_keys(keys, times))
    }

    /// The value of the session of a key from `start_ms` to `end_ms`.
    ///
    /// # Errors
    /// `Record`, as for [`SessionStore::fetch_session`](crate::state::SessionStore::fetch_session).
    pub fn fetch_session(&self, key: &K, start_ms: i64, end_ms: i64) -> Result<Option<V>> {
        self.ask(|mut store| store.fetch_session(key, start_ms, end_ms))
    }

    /// Writes a value, to begin a test with; `None` deletes. Its time is 0.
    ///
    /// # Errors
    /// `Record`, as for [`SessionStore::put`](crate::state::SessionStore::put).
    pub fn put<'v>(
        &self,
        session: &Windowed<K, SessionWindow>,
        value: impl Into<Option<&'v V>>,
    ) -> Result<()> {
        self.ask(|mut store| store.put(session, value))
    }
}

impl<K: Data, V: Data> TestStore<Versioned<K, V>> {
    /// The latest value of a key.
    ///
    /// # Errors
    /// `Record`, as for [`VersionedStore::get`](crate::state::VersionedStore::get).
    pub fn get(&self, key: &K) -> Result<Option<VersionedRecord<V>>> {
        self.ask(|mut store| store.get(key))
    }

    /// The value of a key that was valid at a time.
    ///
    /// # Errors
    /// `Record`, as for [`VersionedStore::get_as_of`](crate::state::VersionedStore::get_as_of).
    pub fn get_as_of(&self, key: &K, timestamp: i64) -> Result<Option<VersionedRecord<V>>> {
        self.ask(|mut store| store.get_as_of(key, timestamp))
    }

    /// Writes the value of a key from a time on, to begin a test with; `None` deletes.
    ///
    /// # Errors
    /// `Record`, as for [`VersionedStore::put`](crate::state::VersionedStore::put).
    pub fn put<'v>(&self, key: &K, value: impl Into<Option<&'v V>>, timestamp: i64) -> Result<PutOutcome> {
        self.ask(|mut store| store.put(key, value, timestamp))
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    fn key(key: &str) -> String {
        key.to_owned()
    }

    fn driver(build: impl Fn(&StreamsBuilder)) -> TestDriver {
        let builder = StreamsBuilder::new();
        build(&builder);
        TestDriver::new(&builder.build().unwrap()).unwrap()
    }

    #[test]
    fn rows_of_a_key_value_store() {
        const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");
        let driver = driver(|b| drop(b.stream("in").group_by_key().count_with(COUNTS)));
        for (time, name) in ["b", "ba", "a", "b", "c"].into_iter().enumerate() {
            driver.input("in").pipe_at(time as i64, name, "x");
        }
        let counts = driver.store(COUNTS).unwrap();
        assert_eq!(counts.get(&key("b")).unwrap(), Some(2));
        assert_eq!(counts.get(&key("z")).unwrap(), None);
        assert_eq!(counts.get_with_timestamp(&key("b")).unwrap().unwrap().timestamp, 3);
        let names = |rows: Result<Entries<(String, i64)>>| {
            rows.unwrap().map(|(key, _)| key).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(counts.all()), "a b ba c");
        assert_eq!(names(counts.reverse_all()), "c ba b a");
        assert_eq!(names(counts.range(key("b")..key("c"))), "b ba");
        assert_eq!(names(counts.reverse_range(key("b")..=key("c"))), "c ba b");
        assert_eq!(names(counts.range(key("c")..=key("b"))), "");
        assert_eq!(names(counts.prefix_scan(&key("b"))), "b ba");
        assert_eq!(counts.approximate_num_entries().unwrap(), counts.all().unwrap().count() as u64);
        counts.put(&key("b"), &40).unwrap();
        driver.input("in").pipe("b", "x");
        assert_eq!(counts.get(&key("b")).unwrap(), Some(41));
    }

    #[test]
    fn a_store_that_is_not_there_or_is_another() {
        const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");
        let driver = driver(|b| drop(b.stream("in").group_by_key().count_with(COUNTS)));
        let missing = driver.store(Store::<KeyValue<String, i64>>::named("sums")).err().unwrap();
        assert_eq!(missing.to_string(), "the topology has no store named `sums`; it has `counts`");
        let other = driver.store(Store::<KeyValue<String, String>>::named("counts")).err().unwrap();
        assert_eq!(other.kind(), ErrorKind::Invalid);
        assert!(driver.store(Store::<Windows<String, i64>>::named("counts")).is_err());
    }

    #[test]
    fn windows_hide_what_the_retention_does_not_cover() {
        const COUNTS: Store<Windows<String, i64>> = Store::named("counts").retention(millis(30));
        let driver = driver(|b| {
            let windows = Tumbling::of(millis(10));
            drop(b.stream("in").group_by_key().windowed_by(windows).count_with(COUNTS));
        });
        for (time, name) in [(3, "a"), (11, "b"), (12, "a"), (25, "a"), (27, "a")] {
            driver.input("in").pipe_at(time, name, "x");
        }
        let counts = driver.store(COUNTS).unwrap();
        let a = key("a");
        assert_eq!(counts.fetch(&a, 20).unwrap(), Some(2));
        assert_eq!(counts.fetch_range(&a, ..).unwrap().collect::<Vec<_>>(), [(0, 1), (10, 1), (20, 2)]);
        assert_eq!(counts.backward_fetch_range(&a, 5..).unwrap().collect::<Vec<_>>(), [(20, 2), (10, 1)]);
        let shown = |rows: Result<Entries<(Windowed<String>, i64)>>| {
            let shown = |(key, n): (Windowed<String>, i64)| {
                format!("{}@{}/{}={n}", key.key, key.window.start_ms, key.window.end_ms)
            };
            rows.unwrap().map(shown).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(counts.all()), "a@0/10=1 a@10/20=1 a@20/30=2 b@10/20=1");
        assert_eq!(shown(counts.fetch_all(10..=10)), "a@10/20=1 b@10/20=1");
        assert_eq!(shown(counts.fetch_keys(key("b").., ..)), "b@10/20=1");
        driver.input("in").pipe_at(30, "c", "x");
        assert_eq!(counts.fetch(&a, 0).unwrap(), None);
        assert_eq!(shown(counts.all()), "a@10/20=1 a@20/30=2 b@10/20=1 c@30/40=1");
    }

    #[test]
    fn a_store_in_memory_is_ordered_by_time() {
        const COUNTS: Store<Windows<String, i64>> = Store::named("counts").in_memory();
        let driver = driver(|b| {
            let windows = Tumbling::of(millis(10)).grace(millis(100));
            drop(b.stream("in").group_by_key().windowed_by(windows).count_with(COUNTS));
        });
        for (time, name) in [(3, "b"), (11, "a"), (12, "b")] {
            driver.input("in").pipe_at(time, name, "x");
        }
        let all = driver.store(COUNTS).unwrap().all().unwrap();
        let all: Vec<_> = all.map(|(key, _)| (key.key, key.window.start_ms)).collect();
        assert_eq!(all, [(key("b"), 0), (key("a"), 10), (key("b"), 10)]);
    }

    #[test]
    fn sessions() {
        const COUNTS: Store<Sessions<String, i64>> = Store::named("counts");
        let driver = driver(|b| {
            let sessions = Session::gap(millis(10)).grace(millis(100));
            drop(b.stream("in").group_by_key().windowed_by(sessions).count_with(COUNTS));
        });
        for (time, name) in [(3, "a"), (11, "a"), (40, "a"), (42, "b")] {
            driver.input("in").pipe_at(time, name, "x");
        }
        let counts = driver.store(COUNTS).unwrap();
        let shown = |rows: Result<Entries<(Windowed<String, SessionWindow>, i64)>>| {
            let shown = |(key, n): (Windowed<String, SessionWindow>, i64)| {
                format!("{}@{}/{}={n}", key.key, key.window.start_ms, key.window.end_ms)
            };
            rows.unwrap().map(shown).collect::<Vec<_>>().join(" ")
        };
        let a = key("a");
        assert_eq!(shown(counts.fetch(&a)), "a@3/11=2 a@40/40=1");
        assert_eq!(shown(counts.find_sessions(&a, 12..)), "a@40/40=1");
        assert_eq!(shown(counts.find_sessions(&a, 11..40)), "a@3/11=2");
        assert_eq!(shown(counts.backward_find_sessions(&a, 11..=40)), "a@40/40=1 a@3/11=2");
        assert_eq!(shown(counts.fetch_keys(key("b")..)), "b@42/42=1");
        assert_eq!(shown(counts.find_sessions_of_keys(.., 12..=41)), "a@40/40=1");
        assert_eq!(shown(counts.find_sessions_of_keys(key("a").., ..=3)), "a@3/11=2");
        assert_eq!(shown(counts.backward_find_sessions_of_keys(.., 12..)), "b@42/42=1 a@40/40=1");
        assert_eq!(counts.fetch_session(&a, 3, 11).unwrap(), Some(2));
        assert_eq!(counts.fetch_session(&a, 3, 12).unwrap(), None);
    }

    #[test]
    fn a_table_over_time() {
        const PRICES: Store<Versioned<String, String>> = Store::named("prices").history(seconds(1));
        let driver = driver(|b| drop(b.table_with("prices", PRICES)));
        let input = driver.input("prices");
        input.pipe_at(10, "apple", "1.00");
        input.pipe_at(30, "apple", "1.20");
        input.pipe_at(20, "apple", "1.10");
        let (prices, apple) = (driver.store(PRICES).unwrap(), key("apple"));
        let latest = VersionedRecord { value: "1.20".to_string(), valid_from_ms: 30, valid_to_ms: None };
        assert_eq!(prices.get(&apple).unwrap(), Some(latest));
        let then = VersionedRecord { value: "1.10".to_string(), valid_from_ms: 20, valid_to_ms: Some(30) };
        assert_eq!(prices.get_as_of(&apple, 29).unwrap(), Some(then));
        assert_eq!(prices.get_as_of(&apple, 9).unwrap(), None);
        assert_eq!(prices.put(&apple, &"1.15".to_string(), 25).unwrap(), PutOutcome::ValidTo(30));
        assert_eq!(prices.get_as_of(&apple, 29).unwrap().unwrap().value, "1.15");
    }
}

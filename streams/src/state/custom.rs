//! Stores of the user's own type: an index over rows that the task keeps.
//!
//! The rows are those of a key-value store in memory: they are logged, restored and, after an abort, undone like any
//! other's. The user's type is told of each change, whichever of these has made it, and so never differs from the rows.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeBounds;
use std::sync::Arc;

use anabranch_state_store::{KeyRange, Order, Row};

use super::composite::key_range;
use super::rows::leave_to_rows;
use super::typed::Typed;
use super::{StoreInit, StoreSupplier, TaskStore, WriteContext};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::serdes::Serde;

/// A store of your own type: rows of keys and values, and whatever you make of them to answer your processors' questions
/// (a ranking, a trie, a map of places).
///
/// The application keeps the rows: writes them to a changelog in Kafka's bytes, brings them back, and undoes what an abort
/// takes back. It tells your type of each change, and your type keeps its own view of the rows in memory. So logging,
/// restoring and exactly-once hold for it without a line of yours.
///
/// ```
/// use std::collections::BTreeSet;
///
/// use anabranch::prelude::*;
///
/// /// Players by score.
/// #[derive(Default)]
/// struct Ranking(BTreeSet<(i64, String)>);
///
/// impl CustomStore for Ranking {
///     type Key = String;
///     type Value = i64;
///
///     fn changed(&mut self, player: &String, old: Option<&i64>, new: Option<&i64>) {
///         if let Some(old) = old {
///             self.0.remove(&(*old, player.clone()));
///         }
///         if let Some(new) = new {
///             self.0.insert((*new, player.clone()));
///         }
///     }
/// }
///
/// const SCORES: Topic<String, i64> = Topic::new("scores");
/// const LEADERS: Topic<String, String> = Topic::new("leaders");
/// const RANKING: Store<Custom<Ranking>> = Store::named("ranking");
///
/// /// Says who leads after each score.
/// struct Lead(StoreRef<Custom<Ranking>>);
///
/// impl Processor for Lead {
///     type KeyIn = String;
///     type ValueIn = i64;
///     type KeyOut = String;
///     type ValueOut = String;
///
///     fn process(&mut self, record: Record<String, i64>, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
///         let mut ranking = ctx.store(self.0);
///         ranking.update(&record.key, |score| Some(score.unwrap_or(0) + record.value))?;
///         let leader = ranking.view()?.0.last().map(|(score, player)| format!("{player} {score}"));
///         ctx.forward(Record::new("leader".to_string(), leader.unwrap_or_default(), record.timestamp));
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// builder.stream(SCORES).process(|ctx: &mut InitContext<'_, Lead>| Lead(ctx.store(RANKING))).to(LEADERS);
/// let topology = builder.build()?;
///
/// let driver = TestDriver::new(&topology)?;
/// for (player, score) in [("ada", 3), ("bob", 5), ("ada", 4)] {
///     driver.input(SCORES).pipe(player, score);
/// }
/// let leaders: Vec<_> = driver.output(LEADERS).read_key_values().into_iter().map(|(_, who)| who).collect();
/// assert_eq!(leaders, ["ada 3", "bob 5", "ada 7"]);
///
/// // Its changelog brings it back.
/// let restarted = TestDriver::new(&topology)?;
/// restarted.restore(RANKING, driver.changelog(RANKING)?)?;
/// restarted.input(SCORES).pipe("bob", 1);
/// assert_eq!(restarted.output(LEADERS).read_key_value().unwrap().1, "ada 7");
/// # Ok::<(), anabranch::Error>(())
/// ```
///
/// It lives in memory, rows and view; the changelog, compacted, is all that outlives the task. Without logging
/// (`.logging(false)`) a restart begins with an empty one.
pub trait CustomStore: Default + Send + 'static {
    /// Keys of the rows.
    type Key: Data;
    /// Values of the rows.
    type Value: Data;

    /// A row has changed from `old` to `new`; `None` is no row. It was written by a processor, or comes from the
    /// changelog, or an abort has taken a write back: the view must follow from the rows alone.
    fn changed(&mut self, key: &Self::Key, old: Option<&Self::Value>, new: Option<&Self::Value>);
}

/// A store of a type of the user's, in a task.
pub(crate) struct CustomState<S: CustomStore> {
    typed: Typed<S::Key, S::Value>,
    view: S,
    /// Serialised keys written in the epoch that is open, and before it in those that are sealed and not committed.
    written: BTreeSet<Vec<u8>>,
    sealed: VecDeque<BTreeSet<Vec<u8>>>,
    /// Why the view is not to be trusted any more.
    broken: Option<String>,
}

impl<S: CustomStore> CustomState<S> {
    /// Makes such stores.
    pub(crate) fn supplier(key: Arc<dyn Serde<S::Key>>, value: Arc<dyn Serde<S::Value>>) -> StoreSupplier {
        StoreSupplier::of(move |init: &StoreInit| {
            Ok(CustomState::<S> {
                typed: Typed::new(init, Arc::clone(&key), Arc::clone(&value))?,
                view: S::default(),
                written: BTreeSet::new(),
                sealed: VecDeque::new(),
                broken: None,
            })
        })
    }

    /// What the user's type has made of the rows.
    pub(crate) fn view(&self) -> Result<&S> {
        match &self.broken {
            None => Ok(&self.view),
            Some(broken) => {
                Err(Error::fatal(format_args!("the store `{}` cannot be undone: {broken}", self.name())))
            }
        }
    }

    /// The newest value of a key, with its time.
    pub(crate) fn get(&mut self, key: &S::Key) -> Result<Option<(S::Value, i64)>> {
        self.typed.write_key(key)?;
        self.typed.get()
    }

    /// Writes a value with its time, or deletes it.
    pub(crate) fn put(
        &mut self,
        key: &S::Key,
        value: Option<(&S::Value, i64)>,
        write: &mut WriteContext<'_>,
    ) -> Result<()> {
        self.typed.write_key(key)?;
        let old = self.typed.get()?;
        self.typed.put(value, write)?;
        if !self.written.contains(&self.typed.key_bytes) {
            self.written.insert(self.typed.key_bytes.clone());
        }
        self.view.changed(key, old.as_ref().map(|(value, _)| value), value.map(|(value, _)| value));
        Ok(())
    }

    /// The rows of a range of keys.
    pub(crate) fn range(
        &mut self,
        range: &impl RangeBounds<S::Key>,
        order: Order,
    ) -> Result<Vec<(S::Key, S::Value)>> {
        let bounds = self.typed.bounds(range)?;
        let range: KeyRange<'_> = key_range(&bounds);
        self.typed.entries(&range, order)
    }

    /// The value of the row under a serialised key.
    fn value(&mut self, key: &[u8]) -> Result<Option<S::Value>> {
        self.typed.key_bytes.clear();
        self.typed.key_bytes.extend_from_slice(key);
        Ok(self.typed.get()?.map(|(value, _)| value))
    }

    /// Tells the view of a row that has changed behind its back.
    fn follow(&mut self, key: &[u8], old: Option<&S::Value>) -> Result<()> {
        let new = self.value(key)?;
        let key = self.typed.read_key(key)?;
        self.view.changed(&key, old, new.as_ref());
        Ok(())
    }

    fn undo(&mut self) -> Result<()> {
        let mut written = std::mem::take(&mut self.written);
        written.extend(self.sealed.drain(..).flatten());
        let mut undone = Vec::with_capacity(written.len());
        for key in written {
            let value = self.value(&key)?;
            undone.push((key, value));
        }
        self.typed.rows.abort();
        undone.iter().try_for_each(|(key, value)| self.follow(key, value.as_ref()))
    }
}

impl<S: CustomStore> TaskStore for CustomState<S> {
    leave_to_rows!(typed.rows);

    fn seal(&mut self, _: &mut WriteContext<'_>) -> Result<()> {
        self.sealed.push_back(std::mem::take(&mut self.written));
        self.typed.rows.seal()
    }

    fn commit(&mut self) -> Result<()> {
        self.sealed.pop_front();
        self.typed.rows.commit()
    }

    fn abort(&mut self) {
        // What it has written itself is readable; if not, whoever asks it next is told.
        if let Err(error) = self.undo() {
            self.broken = Some(error.to_string());
        }
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>, timestamp: i64, _: &[u8]) -> Result<()> {
        let old = self.value(key)?;
        self.typed.rows.restore(key, value.map(|value| Row::new(value, timestamp)))?;
        self.follow(key, old.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::prelude::*;

    /// How many keys have each value.
    #[derive(Default)]
    struct Frequencies(BTreeMap<i64, i64>);

    impl CustomStore for Frequencies {
        type Key = String;
        type Value = i64;

        fn changed(&mut self, _: &String, old: Option<&i64>, new: Option<&i64>) {
            for (value, by) in [(old, -1), (new, 1)] {
                if let Some(value) = value {
                    let count = self.0.entry(*value).or_default();
                    *count += by;
                    if *count == 0 {
                        self.0.remove(value);
                    }
                }
            }
        }
    }

    const IN: Topic<String, Option<i64>> = Topic::new("in");
    const OUT: Topic<String, String> = Topic::new("out");
    const FREQUENCIES: Store<Custom<Frequencies>> = Store::named("frequencies");

    struct Count(StoreRef<Custom<Frequencies>>);

    impl Processor for Count {
        type KeyIn = String;
        type ValueIn = Option<i64>;
        type KeyOut = String;
        type ValueOut = String;

        fn process(
            &mut self,
            record: Record<String, Option<i64>>,
            ctx: &mut ProcessorContext<'_, Self>,
        ) -> Result<()> {
            let mut store = ctx.store(self.0);
            match record.value {
                Some(n) => store.put(&record.key, &n)?,
                None => drop(store.delete(&record.key)?),
            }
            let count = store.all()?.count();
            let text = format!("{:?} of {count}", store.view()?.0);
            ctx.forward(Record::new(record.key, text, record.timestamp));
            Ok(())
        }
    }

    fn topology() -> Topology {
        let builder = StreamsBuilder::new();
        builder.stream(IN).process(|ctx: &mut InitContext<'_, Count>| Count(ctx.store(FREQUENCIES))).to(OUT);
        builder.build().unwrap()
    }

    /// A model of the rows says what the view must be, after every record, whatever is undone in between.
    #[test]
    fn the_view_follows_the_rows() {
        let configs =
            [TestConfig::new(), TestConfig::new().commit_every(3), TestConfig::new().abort_every(2)];
        let config = |at: usize| match at {
            3 => TestConfig::new().commit_every(4).abort_every(3),
            _ => configs[at].clone(),
        };
        for at in 0..4 {
            let driver = TestDriver::with(&topology(), config(at)).unwrap();
            let mut state = 7u64;
            let mut rows: BTreeMap<String, i64> = BTreeMap::new();
            let mut expected = Vec::new();
            for _ in 0..200 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (key, n) = (format!("k{}", (state >> 33) % 8), ((state >> 40) % 5) as i64);
                let value = (n > 0).then_some(n);
                driver.input(IN).pipe(key.as_str(), value);
                match value {
                    Some(n) => drop(rows.insert(key, n)),
                    None => drop(rows.remove(&key)),
                }
                let mut frequencies: BTreeMap<i64, i64> = BTreeMap::new();
                rows.values().for_each(|n| *frequencies.entry(*n).or_default() += 1);
                expected.push(format!("{frequencies:?} of {}", rows.len()));
            }
            driver.commit().unwrap();
            let out: Vec<String> =
                driver.output(OUT).read_key_values().into_iter().map(|(_, text)| text).collect();
            assert_eq!(out, expected, "config {at}");
            let seen = driver.store(FREQUENCIES).unwrap().view(|view| view.0.clone()).unwrap();
            assert_eq!(seen.values().sum::<i64>(), rows.len() as i64);

            let again = TestDriver::new(&topology()).unwrap();
            again.restore(FREQUENCIES, driver.changelog(FREQUENCIES).unwrap()).unwrap();
            assert_eq!(again.store(FREQUENCIES).unwrap().view(|view| view.0.clone()).unwrap(), seen);
        }
    }

    #[test]
    fn without_logging_it_has_no_changelog() {
        let builder = StreamsBuilder::new();
        let store = || FREQUENCIES.logging(false);
        builder.stream(IN).process(move |ctx: &mut InitContext<'_, Count>| Count(ctx.store(store()))).to(OUT);
        let driver = TestDriver::new(&builder.build().unwrap()).unwrap();
        driver.input(IN).pipe("a", 1);
        assert_eq!(driver.produced_topics(), ["out"]);
    }

    #[test]
    fn another_kind_of_the_same_name_is_refused() {
        struct Other;
        impl Processor for Other {
            type KeyIn = String;
            type ValueIn = Option<i64>;
            type KeyOut = String;
            type ValueOut = String;

            fn process(
                &mut self,
                _: Record<String, Option<i64>>,
                _: &mut ProcessorContext<'_, Self>,
            ) -> Result<()> {
                Ok(())
            }
        }
        let builder = StreamsBuilder::new();
        let input = builder.stream(IN);
        input.process(|ctx: &mut InitContext<'_, Count>| Count(ctx.store(FREQUENCIES))).to(OUT);
        input.process(|ctx: &mut InitContext<'_, Other>| {
            ctx.store(Store::<KeyValue<String, i64>>::named("frequencies"));
            Other
        });
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains("the store `frequencies` is declared in two ways"), "{error}");
    }
}

//! Holds updates of a table back: until its windows close, or for a while.

use std::marker::PhantomData;

use super::TableGetter;
use crate::data::Data;
use crate::error::{Error, ErrorKind, Result};
use crate::processor::{Change, Context, Forward, InFlight, MemoId, NodeInit, Operator, Origin, Part};
use crate::state::{Stores, SuppressState};

/// When an update is let go.
pub(crate) struct SuppressSettings<K> {
    /// The time that an update waits from; `None`: that of the record.
    pub(crate) time_of_key: Option<fn(&K) -> i64>,
    /// How long it waits.
    pub(crate) wait_ms: i64,
    /// How many keys may wait.
    pub(crate) max_records: u64,
    /// What they may count for.
    pub(crate) max_bytes: u64,
    /// When more would wait, the oldest is let go early; else the task stops.
    pub(crate) emits_early: bool,
    /// Deletions are not worth telling: nothing was said of the row before.
    pub(crate) drops_deletions: bool,
}

impl<K> Clone for SuppressSettings<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for SuppressSettings<K> {}

/// Keeps the latest update of each key until its time has come.
pub(crate) struct Suppress<K, V> {
    store: usize,
    settings: SuppressSettings<K>,
    observed: MemoId,
    node: String,
    types: PhantomData<fn(V)>,
}

impl<K, V> Suppress<K, V> {
    pub(crate) fn new(init: &mut NodeInit<'_>, store: &str, settings: SuppressSettings<K>) -> Result<Self> {
        let (store, observed) = (init.store(store)?, init.observed_time());
        Ok(Suppress { store, settings, observed, node: init.name.to_owned(), types: PhantomData })
    }
}

impl<K: Data, V: Data> Suppress<K, V> {
    fn buffer<'a>(&self, stores: &'a mut Stores) -> Result<&'a mut SuppressState<K, V>> {
        stores.typed::<SuppressState<K, V>>(self.store)
    }

    /// Lets the oldest update go.
    fn emit_first(&self, out: &mut Forward<'_, '_, K, Change<V>>) -> Result<()> {
        let buffer = self.buffer(&mut out.context().state.stores)?;
        let Some(taken) = buffer.take_first() else { return Ok(()) };
        if self.settings.drops_deletions && taken.is_deletion() {
            return Ok(());
        }
        // What the buffer has written itself must be readable.
        let read = buffer.read(&taken);
        let (key, new, old) = read.map_err(|error| error.reworded(ErrorKind::Fatal, &self.node))?;
        let record = &*taken.record;
        let origin = Origin {
            topic: record.topic.as_ref(),
            partition: record.partition,
            offset: record.offset,
            headers: record.headers.encoded(),
            ..Origin::none()
        };
        let (key, change) = (&mut Some(key), &mut Some(Change::new(new, old)));
        out.under(origin, |out| {
            let (key, value) = (Part::Owned(key), Part::Owned(change));
            out.forward(InFlight { key, value, timestamp: record.timestamp, headers: &record.headers })
        })
    }
}

impl<K: Data, V: Data> Operator for Suppress<K, V> {
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K;
    type ValueOut = Change<V>;

    fn process(
        &mut self,
        record: InFlight<'_, K, Change<V>>,
        out: &mut Forward<'_, '_, K, Change<V>>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let SuppressSettings { time_of_key, wait_ms, max_records, max_bytes, emits_early, .. } =
            self.settings;
        let observed = out.context().state.memos.raise(self.observed, timestamp);
        let time = time_of_key.map_or(timestamp, |time_of_key| time_of_key(key.get()));
        let (stores, write) = out.context().stores(timestamp, headers.encoded());
        let Change { new, old, .. } = value.get();
        self.buffer(stores)?.put(time, key.get(), new.as_ref(), old.as_ref(), &write)?;
        let due = observed.saturating_sub(wait_ms);
        while self.buffer(&mut out.context().state.stores)?.first_time().is_some_and(|time| time <= due) {
            self.emit_first(out)?;
        }
        loop {
            let buffer = self.buffer(&mut out.context().state.stores)?;
            let (records, bytes) = (buffer.records(), buffer.bytes());
            if records <= max_records && bytes <= max_bytes {
                return Ok(());
            }
            if !emits_early {
                return Err(Error::fatal(format_args!(
                    "node `{}` holds back {records} records of {bytes} bytes, more than it may: give its buffer more room, or let it emit early",
                    self.node
                )));
            }
            self.emit_first(out)?;
        }
    }
}

/// Reads a suppressed table: what the nodes below it know.
pub(crate) struct SuppressGetter<K, V> {
    pub(crate) store: usize,
    pub(crate) inner: Box<dyn TableGetter<K, V>>,
}

/// The time of a row whose own time is not known.
const UNKNOWN_TIME: i64 = -1;

impl<K: Data, V: Data> TableGetter<K, V> for SuppressGetter<K, V> {
    fn get(&mut self, key: &K, as_of: Option<i64>, context: &mut Context<'_>) -> Result<Option<(V, i64)>> {
        match context.state.stores.typed::<SuppressState<K, V>>(self.store)?.prior(key)? {
            Some(prior) => Ok(prior.map(|value| (value, UNKNOWN_TIME))),
            None => self.inner.get(key, as_of, context),
        }
    }
}

//! Holding back updates of a table.
//!
//! ```text
//! counts of a window          1    2    3  |closed|  .
//! until_window_closes()       .    .    .     3      .
//! ```
//!
//! A suppression moves with the time of the records that reach it: when nothing comes, nothing is let go. What it holds
//! back lies in memory, and on a changelog.

use std::time::Duration;

use super::graph::{Output, PlanNode, TableOrigin, TablePlan, ViewSlot, is_versioned, suppress_store, view};
use super::ktable::KTable;
use crate::data::Data;
use crate::operators::{self, StoreGetter, SuppressGetter, SuppressSettings, TableView};
use crate::processor::NodeSupplier;
use crate::time::as_ms;
use crate::topology::NodeKind;
use crate::window::{Window, Windowed};
use crate::windows::Closes;

/// Final results only: one for each window, when no record can change it any more.
#[derive(Clone, Copy, Debug)]
pub struct UntilWindowCloses {
    limit: BufferLimit,
}

/// Holds back each window's result until the window has closed, with its grace: one result a window (Kafka's
/// `Suppressed.untilWindowCloses`). A result that was deleted before then is not sent.
#[must_use]
pub const fn until_window_closes() -> UntilWindowCloses {
    UntilWindowCloses { limit: BufferLimit::unbounded() }
}

impl UntilWindowCloses {
    /// Stops the task when more than `limit` is held back. A final result cannot be emitted early.
    #[must_use]
    pub const fn shut_down_over(mut self, limit: BufferLimit) -> Self {
        self.limit = limit;
        self
    }
}

/// At most one update a key in each span of time.
#[derive(Clone, Copy, Debug)]
pub struct UntilTimeLimit {
    wait: Duration,
    limit: BufferLimit,
    emits_early: bool,
}

/// Holds back an update of a key for `wait`, by the time of the records, and sends the newest one then (Kafka's
/// `Suppressed.untilTimeLimit`). What is held back is bounded: `max_records(n)` or `max_bytes(n)`, which emit the oldest early when full, or
/// `max_records(n).shut_down_when_full()`.
#[must_use]
pub fn until_time_limit(wait: Duration, limit: impl Into<WhenFull>) -> UntilTimeLimit {
    let WhenFull { limit, emits_early } = limit.into();
    UntilTimeLimit { wait, limit, emits_early }
}

/// How much may be held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferLimit {
    records: u64,
    bytes: u64,
}

/// At most `n` keys are held back (Kafka's `BufferConfig.maxRecords`).
#[must_use]
pub const fn max_records(n: u64) -> BufferLimit {
    BufferLimit::unbounded().max_records(n)
}

/// At most `n` bytes are held back, as Kafka Streams counts them (its `BufferConfig.maxBytes`).
#[must_use]
pub const fn max_bytes(n: u64) -> BufferLimit {
    BufferLimit::unbounded().max_bytes(n)
}

impl BufferLimit {
    /// Without a limit (Kafka's `unbounded`).
    #[must_use]
    pub const fn unbounded() -> Self {
        BufferLimit { records: u64::MAX, bytes: u64::MAX }
    }

    /// At most `n` keys, too.
    #[must_use]
    pub const fn max_records(mut self, n: u64) -> Self {
        self.records = n;
        self
    }

    /// At most `n` bytes, too.
    #[must_use]
    pub const fn max_bytes(mut self, n: u64) -> Self {
        self.bytes = n;
        self
    }

    /// Sends the oldest early when more would be held back (Kafka's `emitEarlyWhenFull`).
    #[must_use]
    pub const fn emit_early_when_full(self) -> WhenFull {
        WhenFull { limit: self, emits_early: true }
    }

    /// Stops the task when more would be held back (Kafka's `shutDownWhenFull`).
    #[must_use]
    pub const fn shut_down_when_full(self) -> WhenFull {
        WhenFull { limit: self, emits_early: false }
    }
}

/// How much may be held back, and what happens when more would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhenFull {
    limit: BufferLimit,
    emits_early: bool,
}

impl From<BufferLimit> for WhenFull {
    fn from(limit: BufferLimit) -> Self {
        limit.emit_early_when_full()
    }
}

/// When updates of a table keyed by `K` are let go.
#[diagnostic::on_unimplemented(
    message = "a table keyed by `{K}` cannot be suppressed with `{Self}`",
    label = "this table has no windows that end",
    note = "needs a windowed table whose windows end: call `windowed_by(..)` before the aggregation; for other tables use `until_time_limit(..)`"
)]
pub trait Suppress<K> {
    /// The rule in full.
    #[doc(hidden)]
    fn rule(self) -> SuppressRule<K>;
}

/// A rule in full.
#[doc(hidden)]
pub struct SuppressRule<K> {
    /// `wait_ms` is that of the windows' grace, if there is a time of the key.
    settings: SuppressSettings<K>,
}

impl<K: Data, W: Window + Closes> Suppress<Windowed<K, W>> for UntilWindowCloses {
    fn rule(self) -> SuppressRule<Windowed<K, W>> {
        let UntilWindowCloses { limit } = self;
        let settings = SuppressSettings {
            time_of_key: Some(|key: &Windowed<K, W>| key.window.end()),
            wait_ms: 0,
            max_records: limit.records,
            max_bytes: limit.bytes,
            emits_early: false,
            drops_deletions: true,
        };
        SuppressRule { settings }
    }
}

impl<K> Suppress<K> for UntilTimeLimit {
    fn rule(self) -> SuppressRule<K> {
        let UntilTimeLimit { wait, limit, emits_early } = self;
        let settings = SuppressSettings {
            time_of_key: None,
            wait_ms: as_ms(wait),
            max_records: limit.records,
            max_bytes: limit.bytes,
            emits_early,
            drops_deletions: false,
        };
        SuppressRule { settings }
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// Holds updates back, until their window has closed or for a given time, and sends the newest of each key then.
    ///
    /// ```text
    /// counts      ──1@0s────2@10s────3@59s────1@60s──▶
    /// suppressed  ───────────────────────────3@59s───▶      until_window_closes(), windows of a minute
    /// ```
    ///
    /// An update that is let go has its own time. Of a window that has closed a deletion is not told, as nothing was said of it
    /// before.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let counts = builder.stream("clicks").group_by_key().windowed_by(Tumbling::of(minutes(1))).count();
    /// counts.suppress(until_window_closes()).updates().map(|user, n| (user.key, n)).to("clicks-a-minute");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// let clicks = driver.input("clicks");
    /// for time in [0, 10_000, 59_000, 60_000] {
    ///     clicks.pipe_at(time, "ada", "/");
    /// }
    /// let out = driver.output(Topic::<String, i64>::new("clicks-a-minute"));
    /// assert_eq!(out.read_key_values(), [("ada".to_string(), 3)]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    ///
    /// `until_time_limit` limits how often a row changes:
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.table("prices").suppress(until_time_limit(seconds(1), max_records(1_000))).updates().to("calm-prices");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// for (time, price) in [(0, "10"), (400, "12"), (1_000, "11")] {
    ///     driver.input("prices").pipe_at(time, "tea", price);
    /// }
    /// let prices: Vec<_> = driver.output("calm-prices").read_key_values().into_iter().map(|(_, price)| price).collect();
    /// assert_eq!(prices, ["11"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn suppress(&self, rule: impl Suppress<K>) -> KTable<K, V> {
        let SuppressRule { settings } = rule.rule();
        let parent = self.handle.operation;
        KTable::of(self.handle.record("suppress", true, move |walk, call| {
            let (name, store) = match &call.name {
                Some(name) => (name.clone(), format!("{name}-store")),
                None => (walk.number("KTABLE-SUPPRESS-"), walk.number("KTABLE-SUPPRESS-STATE-STORE-")),
            };
            let parent = walk.table(parent);
            let above = walk.tables[parent].node;
            if is_versioned(&walk.tables, parent) {
                walk.faults.push(format!(
                    "`{name}` would hold back updates of a versioned table, of which each tells of another time: keep the table in a `KeyValue` store"
                ));
            }
            let mut settings = settings;
            if settings.time_of_key.is_some() {
                match walk.window_grace_ms(above) {
                    Some(grace_ms) => settings.wait_ms = grace_ms,
                    None => walk.faults.push(format!(
                        "`{name}` waits for windows to close, and nothing above it says when they do: suppress the aggregation that makes the windows"
                    )),
                }
            }
            // What the nodes below know of a key is the value before it came to wait.
            walk.send_old(parent, true);
            let TablePlan { key_serde, value_serde, topics, .. } = &walk.tables[parent];
            let (key_serde, value_serde, topics) = (key_serde.clone(), value_serde.clone(), topics.clone());
            let definition = suppress_store::<K, V>(&store, key_serde.or_default(), value_serde.or_default());
            let (node_name, on_error) = (name.clone(), call.on_error.clone());
            let node = PlanNode::new(name, {
                let store = store.clone();
                move |lowering, parents| {
                    let reads = store.clone();
                    let supplier = NodeSupplier::of(move |init| {
                        operators::Suppress::<K, V>::new(init, &reads, settings)
                    });
                    let (kind, topology) = (NodeKind::Processor, &mut lowering.topology);
                    let node = topology.add_node(&node_name, kind, supplier, parents, on_error.clone());
                    topology.add_store(definition.clone());
                    topology.connect(node, &store);
                    node
                }
            });
            let node = walk.add(node, &[above]);
            let derived = move |tables: &[TablePlan]| {
                let (inner, store) = (view::<K, V>(tables, parent), store.clone());
                let stores = [store.clone()].into_iter().chain(inner.stores.iter().cloned()).collect();
                TableView::new(stores, move |init| {
                    Ok(Box::new(SuppressGetter { store: init.store(&store)?, inner: inner.getter(init)? }))
                })
            };
            Output::Table(walk.add_table(TablePlan {
                node,
                origin: TableOrigin::Rows { parent },
                view: ViewSlot::derived::<K, V>(|store| TableView::of_store(store, StoreGetter), derived),
                store: None,
                sends_old: false,
                key_serde,
                value_serde,
                topics,
            }))
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    const OUT: Topic<String, Option<String>> = Topic::new("out");

    fn driver(build: impl Fn(&StreamsBuilder)) -> TestDriver {
        let builder = StreamsBuilder::new();
        build(&builder);
        TestDriver::with(&builder.build().unwrap(), TestConfig::new().on_error(fail())).unwrap()
    }

    #[test]
    fn a_full_buffer_that_may_not_emit_early_stops_the_task() {
        for limit in [max_records(1).shut_down_when_full(), max_bytes(40).shut_down_when_full()] {
            let driver = driver(|b| {
                b.table("in").suppress(until_time_limit(seconds(1), limit)).named("calm").to_stream().to(OUT);
            });
            let piped = driver.input(Topic::<String, String>::new("in"));
            piped.pipe_at(0, "a", "x");
            let record = Record::new("b".to_string(), "y".to_string(), 1);
            let error = piped.try_pipe_record(record).unwrap_err();
            assert!(error.to_string().contains("`calm` holds back 2 records"), "{error}");
        }
    }

    #[test]
    fn nodes_below_know_the_value_before_a_key_came_to_wait() {
        let driver = driver(|b| {
            let calm = b.table("in").suppress(until_time_limit(millis(10), BufferLimit::unbounded()));
            calm.group_by(|key, town| (town, key.clone()))
                .aggregate(String::new, |_, key, all| all + "+" + &key, |_, key, all| all + "-" + &key)
                .to_stream()
                .to(OUT);
        });
        let piped = driver.input(Topic::<String, String>::new("in"));
        for (time, key, town) in
            [(0, "1", "a"), (5, "1", "b"), (20, "2", "z"), (21, "1", "c"), (22, "1", "a"), (50, "2", "z")]
        {
            piped.pipe_at(time, key, town);
        }
        let out: Vec<_> = driver.output(OUT).read_key_values();
        let out: Vec<_> = out.iter().map(|(town, all)| (town.as_str(), all.as_deref().unwrap())).collect();
        // It never was in `a` for those below, nor in `c`.
        assert_eq!(out, [("b", "+1"), ("z", "+2"), ("b", "+1-1"), ("a", "+1")]);
    }

    #[test]
    fn a_join_sees_what_was_let_go() {
        let driver = driver(|b| {
            let calm = b.table("in").suppress(until_time_limit(millis(10), max_records(5)));
            b.stream("ask").left_join_table(&calm, |_, row| row.cloned()).to(OUT);
        });
        let (piped, ask) = (driver.input(Topic::<String, String>::new("in")), driver.input("ask"));
        piped.pipe_at(0, "1", "a");
        ask.pipe_at(1, "1", "?");
        piped.pipe_at(10, "2", "b");
        ask.pipe_at(11, "1", "?");
        let out: Vec<_> = driver.output(OUT).read_key_values().into_iter().map(|(_, row)| row).collect();
        assert_eq!(out, [None, Some("a".to_string())]);
    }

    #[test]
    fn what_several_streams_make_has_final_results_too() {
        let driver = driver(|b| {
            let (a, c) = (b.stream("a").group_by_key(), b.stream("c").group_by_key());
            a.cogroup(String::new, |_, v: String, all: String| all + &v)
                .cogroup(&c, |_, v, all| all + &v)
                .windowed_by(Tumbling::of(millis(10)).grace(millis(5)))
                .aggregate()
                .suppress(until_window_closes())
                .updates()
                .map(|key, all| (key.key, Some(all)))
                .to(OUT);
        });
        for (topic, time) in [("a", 1), ("c", 14), ("c", 9), ("a", 15), ("a", 30)] {
            driver.input(topic).pipe_at(time, "k", topic);
        }
        let out: Vec<_> =
            driver.output(OUT).read_key_values().into_iter().map(|(_, all)| all.unwrap()).collect();
        assert_eq!(out, ["ac", "ca"]);
    }

    #[test]
    fn windows_of_unknown_origin_have_no_final_results() {
        let keys = Topic::<Windowed<String>, String>::with_serdes("in", windowed(text(), seconds(1)), text());
        let builder = StreamsBuilder::new();
        builder.table(keys).suppress(until_window_closes()).updates().map(|_, v| ((), v)).to(Topic::<
            (),
            String,
        >::new(
            "out"
        ));
        let error = builder.build().unwrap_err();
        assert!(error.to_string().contains("suppress the aggregation that makes the windows"), "{error}");
    }
}

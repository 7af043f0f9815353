//! A table grouped by other keys, to be aggregated.
//!
//! ```text
//! users     1 -> fr      2 -> fr      1 -> nl           2 -> (deleted)
//! count     fr: 1        fr: 2        fr: 1, nl: 1      fr: 0
//! ```
//!
//! An update of a row takes the old row out of its group and puts the new one into its own, through a repartition topic
//! that carries both. Between the two the result says neither: it is right again when both have arrived.

use std::marker::PhantomData;
use std::sync::Arc;

use super::graph::{
    GroupedTablePlan, Output, PlanNode, SerdeSlot, TableOrigin, TablePlan, TypedRepartition, ViewSlot,
    result_store,
};
use super::handle::Handle;
use super::ktable::KTable;
use super::options::Grouped;
use crate::data::{Data, Nullable, Outcome};
use crate::error::Result;
use crate::operators::{ResultStore, StoreGetter, TableAggregate, TableGroupBy, TableView};
use crate::processor::{ChangeSerde, NodeSupplier};
use crate::serdes::Serde;
use crate::state::{KeyValue, Store, StoreFor};
use crate::topology::NodeKind;

/// A table whose rows are grouped by another key, to be aggregated.
pub struct KGroupedTable<K, V> {
    handle: Handle,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for KGroupedTable<K, V> {
    fn clone(&self) -> Self {
        KGroupedTable::of(self.handle.clone())
    }
}

impl<K, V> KGroupedTable<K, V> {
    fn of(handle: Handle) -> Self {
        KGroupedTable { handle, types: PhantomData }
    }

    /// Names the repartition topic, which all aggregations of this grouping then share.
    pub fn named(self, name: &str) -> Self {
        self.handle.graph.name(self.handle.operation, name);
        self
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// Groups the rows by the key that `mapper` gives them, with the value that it gives them. A key or value of `None` leaves the
    /// row out. The rows are repartitioned.
    ///
    /// ```text
    /// country-of-user  (ada, gb) ── (grace, gb) ── (grace, us) ───────▶
    /// users            (gb, 1) ──── (gb, 2) ────── (gb, 1) (us, 1) ───▶      count
    /// ```
    ///
    /// When a row changes it leaves its old group and enters its new one; when it is deleted it leaves. A group's result has the
    /// latest time of the updates in it.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.table("country-of-user").group_by(|user, country| (country, user.clone())).count().updates().to("users");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("country-of-user").pipe("ada", "gb");
    /// driver.input("country-of-user").pipe("grace", "gb");
    /// driver.input("country-of-user").pipe("grace", "us");
    /// let users = driver.output(Topic::<String, i64>::new("users")).read_key_values();
    /// let users: Vec<_> = users.iter().map(|(country, n)| (country.as_str(), *n)).collect();
    /// assert_eq!(users, [("gb", 1), ("gb", 2), ("gb", 1), ("us", 1)]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn group_by<K2: Nullable, V2: Nullable>(
        &self,
        mapper: impl Fn(&K, V) -> (K2, V2) + Send + Sync + 'static,
    ) -> KGroupedTable<K2::Present, V2::Present> {
        self.group_by_with(mapper, Grouped::new())
    }

    /// [`group_by`](KTable::group_by) with options, or just a name.
    pub fn group_by_with<K2: Nullable, V2: Nullable>(
        &self,
        mapper: impl Fn(&K, V) -> (K2, V2) + Send + Sync + 'static,
        options: impl Into<Grouped<K2::Present, V2::Present>>,
    ) -> KGroupedTable<K2::Present, V2::Present> {
        let (mapper, options) = (Arc::new(mapper), options.into());
        let parent = self.handle.operation;
        KGroupedTable::of(self.handle.record("group_by", true, move |walk, call| {
            let given = call.name.clone().or_else(|| options.name.clone());
            let name = walk.name(given.as_deref(), "KTABLE-SELECT-");
            let parent = walk.table(parent);
            // What leaves a group must be told from what enters it.
            walk.send_old(parent, true);
            let default = SerdeSlot::none();
            let key = options.key.clone().unwrap_or_else(|| default.or_default::<K2::Present>());
            let value = options.value.clone().unwrap_or_else(|| default.or_default::<V2::Present>());
            let supplier = {
                let (mapper, key) = (Arc::clone(&mapper), Arc::clone(&key));
                NodeSupplier::of(move |_| {
                    let (mapper, key) = (Arc::clone(&mapper), Arc::clone(&key));
                    Ok(TableGroupBy::<K, V, K2, V2, _>::new(mapper, key))
                })
            };
            let node = PlanNode::processor(name, supplier, call.on_error.clone());
            let node = walk.add(node, &[walk.tables[parent].node]);
            let changes: Arc<dyn Serde<_>> = Arc::new(ChangeSerde::new(Arc::clone(&value)));
            Output::GroupedTable(GroupedTablePlan {
                node,
                name: given,
                key_serde: SerdeSlot::of(Arc::clone(&key)),
                value_serde: SerdeSlot::of(value),
                types: Arc::new(TypedRepartition { key, value: changes, partitioner: None }),
                shared: None,
            })
        }))
    }
}

impl<K: Data, V: Data> KGroupedTable<K, V> {
    /// Counts the rows of each group. A group that has become empty counts 0. See [`group_by`](KTable::group_by) for a figure and
    /// an example.
    pub fn count(&self) -> KTable<K, i64> {
        self.counted(Store::unnamed())
    }

    /// Counts the rows of each group into a queryable store.
    pub fn count_with(&self, store: impl StoreFor<KeyValue<K, i64>>) -> KTable<K, i64> {
        self.counted(store.into_store())
    }

    fn counted(&self, store: Store<KeyValue<K, i64>>) -> KTable<K, i64> {
        let add = |_: &K, _: V, n: Option<i64>| Ok(Some(n.unwrap_or(0).saturating_add(1)));
        let subtract = |_: &K, _: V, n: i64| Ok(Some(n.saturating_sub(1)));
        self.aggregated("count", "KTABLE-AGGREGATE-", add, subtract, store, false)
    }

    /// Combines the values of each group: `add(so_far, enters)`, `subtract(so_far, leaves)`. The first value is taken as it is;
    /// `None` deletes the row, `Err` goes to the error policy.
    ///
    /// ```text
    /// inhabitants-of-town  (nl/delft, 104) ── (nl/gouda, 75) ── (nl/delft, 109) ──▶
    /// inhabitants          (nl, 104) ──────── (nl, 179) ─────── (nl, 184) ────────▶
    /// ```
    ///
    /// An update subtracts the old value and adds the new one; a deletion subtracts. The result has the latest time of the updates
    /// in it.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// const TOWNS: Topic<String, i64> = Topic::new("inhabitants-of-town");
    ///
    /// let builder = StreamsBuilder::new();
    /// let by_country = builder.table(TOWNS).group_by(|town, n| (town[..2].to_string(), n));
    /// by_country.reduce(|sum, n| sum + n, |sum, n| sum - n).updates().to("inhabitants");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// for (town, n) in [("nl/delft", 104), ("nl/gouda", 75), ("nl/delft", 109)] {
    ///     driver.input(TOWNS).pipe(town, n);
    /// }
    /// let inhabitants = driver.output(Topic::<String, i64>::new("inhabitants")).read_key_values();
    /// assert_eq!(inhabitants.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [104, 179, 184]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn reduce<Q: Outcome<V>, P: Outcome<V>>(
        &self,
        add: impl Fn(V, V) -> Q + Send + Sync + 'static,
        subtract: impl Fn(V, V) -> P + Send + Sync + 'static,
    ) -> KTable<K, V> {
        self.reduced(add, subtract, Store::unnamed())
    }

    /// [`reduce`](KGroupedTable::reduce) into a queryable store.
    pub fn reduce_with<Q: Outcome<V>, P: Outcome<V>>(
        &self,
        add: impl Fn(V, V) -> Q + Send + Sync + 'static,
        subtract: impl Fn(V, V) -> P + Send + Sync + 'static,
        store: impl StoreFor<KeyValue<K, V>>,
    ) -> KTable<K, V> {
        self.reduced(add, subtract, store.into_store())
    }

    fn reduced<Q: Outcome<V>, P: Outcome<V>>(
        &self,
        add: impl Fn(V, V) -> Q + Send + Sync + 'static,
        subtract: impl Fn(V, V) -> P + Send + Sync + 'static,
        store: Store<KeyValue<K, V>>,
    ) -> KTable<K, V> {
        let add = move |_: &K, enters: V, so_far: Option<V>| match so_far {
            Some(so_far) => add(so_far, enters).outcome(),
            None => Ok(Some(enters)),
        };
        let subtract = move |_: &K, leaves: V, so_far: V| subtract(so_far, leaves).outcome();
        self.aggregated("reduce", "KTABLE-REDUCE-", add, subtract, store, true)
    }

    /// Aggregates the rows of each group, from what `initial` gives. An update first subtracts the old row, then adds the new one;
    /// a deletion subtracts. `None` deletes the row, `Err` goes to the error policy.
    ///
    /// ```text
    /// town-of-user  (ada, london) ───── (ada, london) ──────────▶
    /// moves         (london, +ada) ──── (london, +ada-ada+ada) ─▶
    /// ```
    ///
    /// The result has the latest time of the updates in it.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder
    ///     .table("town-of-user")
    ///     .group_by(|user, town| (town, user.clone()))
    ///     .aggregate(String::new, |_, user, all| all + "+" + &user, |_, user, all| all + "-" + &user)
    ///     .updates()
    ///     .to("moves");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("town-of-user").pipe("ada", "london");
    /// driver.input("town-of-user").pipe("ada", "london");
    /// let moves: Vec<_> = driver.output("moves").read_key_values().into_iter().map(|(_, all)| all).collect();
    /// assert_eq!(moves, ["+ada", "+ada-ada+ada"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn aggregate<A: Data, Q: Outcome<A>, P: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        add: impl Fn(&K, V, A) -> Q + Send + Sync + 'static,
        subtract: impl Fn(&K, V, A) -> P + Send + Sync + 'static,
    ) -> KTable<K, A> {
        self.aggregate_with(initial, add, subtract, Store::unnamed())
    }

    /// [`aggregate`](KGroupedTable::aggregate) into a queryable store.
    pub fn aggregate_with<A: Data, Q: Outcome<A>, P: Outcome<A>>(
        &self,
        initial: impl Fn() -> A + Send + Sync + 'static,
        add: impl Fn(&K, V, A) -> Q + Send + Sync + 'static,
        subtract: impl Fn(&K, V, A) -> P + Send + Sync + 'static,
        store: impl StoreFor<KeyValue<K, A>>,
    ) -> KTable<K, A> {
        let add = move |key: &K, enters: V, so_far: Option<A>| {
            add(key, enters, so_far.unwrap_or_else(&initial)).outcome()
        };
        let subtract = move |key: &K, leaves: V, so_far: A| subtract(key, leaves, so_far).outcome();
        self.aggregated("aggregate", "KTABLE-AGGREGATE-", add, subtract, store.into_store(), false)
    }

    /// A reduction keeps its values with the serde of the grouping.
    fn aggregated<A, F, G>(
        &self,
        method: &'static str,
        prefix: &'static str,
        add: F,
        subtract: G,
        store: Store<KeyValue<K, A>>,
        reduces: bool,
    ) -> KTable<K, A>
    where
        A: Data,
        F: Fn(&K, V, Option<A>) -> Result<Option<A>> + Send + Sync + 'static,
        G: Fn(&K, V, A) -> Result<Option<A>> + Send + Sync + 'static,
    {
        let (add, subtract, settings) = (Arc::new(add), Arc::new(subtract), store.settings);
        let parent = self.handle.operation;
        KTable::of(self.handle.record(method, true, move |walk, call| {
            let GroupedTablePlan { key_serde, value_serde, .. } = walk.grouped_table(parent).clone();
            let value_serde = if reduces { value_serde } else { SerdeSlot::none() };
            let generated = walk.store_name(Some(&settings), "KTABLE-AGGREGATE-");
            let store = result_store::<K, A>(&settings, generated, &key_serde, &value_serde);
            let (above, topic) = walk.aggregated_table(parent, call.name.as_deref(), &store.name);
            let name = walk.name(call.name.as_deref(), prefix);
            let table = walk.next_table();
            let (add, subtract) = (Arc::clone(&add), Arc::clone(&subtract));
            let (node_name, store_name, on_error) = (name.clone(), store.name.clone(), call.on_error.clone());
            let node = PlanNode::new(name, move |lowering, parents| {
                let (add, subtract, store) = (Arc::clone(&add), Arc::clone(&subtract), store_name.clone());
                let sends_old = lowering.tables[table].sends_old;
                let supplier = NodeSupplier::of(move |init| {
                    let store = ResultStore::own(init, &store, sends_old)?;
                    let (add, subtract) = (Arc::clone(&add), Arc::clone(&subtract));
                    Ok(TableAggregate::<K, V, A, F, G>::new(store, add, subtract))
                });
                let kind = NodeKind::Processor;
                let node = lowering.topology.add_node(&node_name, kind, supplier, parents, on_error.clone());
                lowering.keep_table(table, node);
                node
            });
            let node = walk.add(node, &[above]);
            Output::Table(walk.add_table(TablePlan {
                node,
                origin: TableOrigin::Aggregate,
                key_serde,
                value_serde: settings.value_serde::<A>().map_or(value_serde, SerdeSlot::of),
                store: Some(store),
                view: ViewSlot::kept::<K, A>(|store| TableView::of_store(store, StoreGetter)),
                sends_old: false,
                topics: vec![topic],
            }))
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    type Rows = Vec<(String, Option<String>, i64)>;

    /// Pipes rows (key, value, time) into `in` and reads `out`.
    fn check(
        build: impl Fn(&StreamsBuilder),
        input: &[(&str, Option<&str>, i64)],
        expected: &[(&str, Option<&str>, i64)],
    ) {
        for caching in [true, false] {
            let builder = StreamsBuilder::new();
            build(&builder);
            let config = TestConfig::new().caching(caching).on_error(skip());
            let driver = TestDriver::with(&builder.build().unwrap(), config).unwrap();
            let piped = driver.input(Topic::<String, Option<String>>::new("in"));
            for (key, value, timestamp) in input {
                piped.pipe_record(Record::new((*key).to_string(), value.map(str::to_owned), *timestamp));
            }
            let out = driver.output(Topic::<String, Option<String>>::new("out"));
            let out: Rows = out
                .read_all()
                .into_iter()
                .map(|record| (record.key, record.value, record.timestamp))
                .collect();
            let expected: Rows = expected
                .iter()
                .map(|(key, value, at)| ((*key).to_string(), value.map(str::to_owned), *at))
                .collect();
            assert_eq!(out, expected, "caching: {caching}");
        }
    }

    #[test]
    fn a_group_whose_aggregate_is_none_has_no_row() {
        let build = |b: &StreamsBuilder| {
            let grouped = b.table("in").group_by(|key, town| (town, key.clone()));
            let add = |_: &String, key: String, all: String| all + &key;
            let subtract = |_: &String, key: String, all: String| {
                Some(all.replace(&key, "")).filter(|all| !all.is_empty())
            };
            grouped.aggregate(String::new, add, subtract).to_stream().to("out");
        };
        check(
            build,
            &[
                ("1", Some("a"), 10),
                ("2", Some("a"), 5),
                ("1", None, 7),
                ("2", Some("b"), 20),
                ("2", Some("a"), 30),
            ],
            &[
                ("a", Some("1"), 10),
                ("a", Some("12"), 10),
                ("a", Some("2"), 10),
                ("a", None, 20),
                ("b", Some("2"), 20),
                ("b", None, 30),
                ("a", Some("2"), 30),
            ],
        );
    }

    #[test]
    fn a_failing_adder_leaves_the_group_as_it_was() {
        let build = |b: &StreamsBuilder| {
            let grouped = b.table("in").group_by(|_, n| ("all".to_string(), n));
            let add = |sum: String, n: String| n.parse::<i64>().map(|n| format!("{sum}+{n}"));
            grouped.reduce(add, |sum, n| format!("{sum}-{n}")).to_stream().to("out");
        };
        check(
            build,
            &[("1", Some("1"), 1), ("2", Some("two"), 2), ("3", Some("3"), 3)],
            &[("all", Some("1"), 1), ("all", Some("1+3"), 3)],
        );
    }

    #[test]
    fn aggregations_of_a_named_grouping_share_its_topic() {
        let builder = StreamsBuilder::new();
        let grouped = builder.table("in").group_by(|key, town| (town, key.clone())).named("towns");
        grouped.count().named("count").to_stream().to("a");
        grouped.count().to_stream().to("b");
        let described = builder.build().unwrap().describe();
        assert_eq!(
            described.matches("Sink: count-sink (topic: towns-repartition)").count(),
            1,
            "{described}"
        );
        assert_eq!(described.matches("towns-repartition").count(), 2, "{described}");
        assert!(described.contains("Processor: towns (stores: [])"), "{described}");
    }
}

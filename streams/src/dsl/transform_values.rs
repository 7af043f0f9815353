//! A table's values transformed with stores at hand.

use super::graph::{Output, PlanNode, TableOrigin, TablePlan, ViewSlot, given_serdes, view};
use super::ktable::{KTable, optional_store};
use crate::data::Data;
use crate::operators::{StoreGetter, TableTransformValues, TableView, TransformGetter};
use crate::processor::NodeSupplier;
use crate::processor_api::{TransformInitContext, TransformerMaker, ValueTransformer};
use crate::state::{KeyValue, StoreFor, StoreSettings};
use crate::topology::NodeKind;

const PREFIX: &str = "KTABLE-TRANSFORMVALUES-";

impl<K: Data, V: Data> KTable<K, V> {
    /// Another value for each row, made by a transformer of yours, which has stores at hand: Kafka's `transformValues`.
    /// `None` deletes the row, or leaves it out; a deletion is shown to the transformer as `None`.
    ///
    /// ```text
    /// prices  ──(tea, 10)──────(tea, 12)──────(tea, null)──────>
    ///               │ rates[tea] = 2│               │
    /// out     ──(tea, 20)──────(tea, 24)──────(tea, null)──────>
    /// ```
    ///
    /// A row has the time of the row that it is made of. Null keys do not come this far: a table has none.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// const PRICES: Topic<String, i64> = Topic::new("prices");
    /// const OUT: Topic<String, Option<i64>> = Topic::new("out");
    /// /// How often the price of each article has changed.
    /// const CHANGES: Store<KeyValue<String, i64>> = Store::named("changes");
    ///
    /// struct Counted { changes: StoreRef<KeyValue<String, i64>> }
    ///
    /// impl ValueTransformer for Counted {
    ///     type Key = String;
    ///     type ValueIn = i64;
    ///     type ValueOut = i64;
    ///
    ///     fn transform(
    ///         &mut self,
    ///         article: &String,
    ///         price: Option<&i64>,
    ///         ctx: &mut TransformContext<'_>,
    ///     ) -> Result<Option<i64>> {
    ///         let changes = ctx.store(self.changes).update(article, |n| Some(n.unwrap_or(0) + 1))?;
    ///         Ok(price.and(changes))
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// builder
    ///     .table(PRICES)
    ///     .transform_values(|ctx: &mut TransformInitContext<'_>| Counted { changes: ctx.store(CHANGES) })
    ///     .to_stream()
    ///     .to(OUT);
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// let prices = driver.input(PRICES);
    /// prices.pipe("tea", 10);
    /// prices.pipe("tea", 12);
    /// prices.pipe_tombstone("tea");
    /// let changes: Vec<_> = driver.output(OUT).read_key_values().into_iter().map(|(_, n)| n).collect();
    /// assert_eq!(changes, [Some(1), Some(2), None]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    #[doc(alias = "process_values")]
    pub fn transform_values<T>(
        &self,
        maker: impl Fn(&mut TransformInitContext<'_>) -> T + Send + Sync + 'static,
    ) -> KTable<K, T::ValueOut>
    where
        T: ValueTransformer<Key = K, ValueIn = V>,
    {
        self.transformed("transform_values", maker, None)
    }

    /// [`transform_values`](KTable::transform_values) into a queryable store. The old value of a row is then read
    /// there, so the transformer is called once for each update.
    #[doc(alias = "process_values")]
    pub fn transform_values_with<T>(
        &self,
        maker: impl Fn(&mut TransformInitContext<'_>) -> T + Send + Sync + 'static,
        store: impl StoreFor<KeyValue<K, T::ValueOut>>,
    ) -> KTable<K, T::ValueOut>
    where
        T: ValueTransformer<Key = K, ValueIn = V>,
    {
        self.transformed("transform_values_with", maker, Some(store.into_store().settings))
    }

    fn transformed<T>(
        &self,
        method: &'static str,
        maker: impl Fn(&mut TransformInitContext<'_>) -> T + Send + Sync + 'static,
        settings: Option<StoreSettings>,
    ) -> KTable<K, T::ValueOut>
    where
        T: ValueTransformer<Key = K, ValueIn = V>,
    {
        let maker = TransformerMaker::new(maker);
        let parent = self.handle.operation;
        KTable::of(self.handle.record(method, true, move |walk, call| {
            let parent = walk.table(parent);
            let TablePlan { node: above, key_serde, topics, .. } = &walk.tables[parent];
            let (above, topics) = (*above, topics.clone());
            let (key_serde, value_serde) =
                given_serdes::<K, T::ValueOut>(settings.as_ref(), key_serde.clone(), None);
            let store =
                walk.named_result::<K, T::ValueOut>(settings.as_ref(), PREFIX, &key_serde, &value_serde);
            let name = walk.name(call.name.as_deref(), PREFIX);
            let table = walk.next_table();
            let (node_name, made, on_error) = (name.clone(), maker.clone(), call.on_error.clone());
            let node = PlanNode::new(name, move |lowering, parents| {
                let plan = &lowering.tables[table];
                let (store, sends_old) =
                    (plan.store.as_ref().map(|store| store.name.clone()), plan.sends_old);
                let maker = made.clone();
                let supplier = NodeSupplier::of(move |init| {
                    let transformer = maker.make(init)?;
                    let store = optional_store(init, store.as_deref(), sends_old)?;
                    Ok(TableTransformValues::new(transformer, store, sends_old))
                });
                let (kind, topology) = (NodeKind::Processor, &mut lowering.topology);
                let node = topology.add_node(&node_name, kind, supplier, parents, on_error.clone());
                topology.grant(node, made.needs());
                lowering.keep_table(table, node);
                node
            });
            let node = walk.add(node, &[above]);
            Output::Table(walk.add_table(TablePlan {
                node,
                origin: TableOrigin::Rows { parent },
                view: transformed_view(parent, maker.clone()),
                store,
                sends_old: false,
                key_serde,
                value_serde,
                topics,
            }))
        }))
    }
}

/// A transformed table that is kept nowhere is read through the other, by a transformer of the reader's own.
fn transformed_view<T: ValueTransformer>(parent: usize, maker: TransformerMaker<T>) -> ViewSlot {
    let derived = move |tables: &[TablePlan]| {
        let inner = view::<T::Key, T::ValueIn>(tables, parent);
        let mut stores = inner.stores.clone();
        for need in maker.needs().stores {
            let name = need.declaration.settings.name.into_owned();
            if !stores.contains(&name) {
                stores.push(name);
            }
        }
        let maker = maker.clone();
        TableView::new(stores, move |init| {
            Ok(Box::new(TransformGetter { inner: inner.getter(init)?, transformer: maker.make(init)? }))
        })
    };
    ViewSlot::derived::<T::Key, T::ValueOut>(|store| TableView::of_store(store, StoreGetter), derived)
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    const IN: Topic<String, i64> = Topic::new("in");
    const FACTORS: Store<KeyValue<String, i64>> = Store::named("factors");
    const KEPT: Store<KeyValue<String, i64>> = Store::named("kept");

    /// Multiplies by a factor that grows with each call; what comes out above 100 is left out.
    struct Growing {
        factors: StoreRef<KeyValue<String, i64>>,
    }

    impl Growing {
        fn new(ctx: &mut TransformInitContext<'_>) -> Self {
            Growing { factors: ctx.store(FACTORS) }
        }
    }

    impl ValueTransformer for Growing {
        type Key = String;
        type ValueIn = i64;
        type ValueOut = i64;

        fn transform(
            &mut self,
            key: &String,
            value: Option<&i64>,
            ctx: &mut TransformContext<'_>,
        ) -> Result<Option<i64>> {
            let factor = ctx.store(self.factors).update(key, |n| Some(n.unwrap_or(0) + 1))?.unwrap_or(0);
            assert_eq!(ctx.record_metadata().map(|place| place.topic.to_string()), Some("in".to_string()));
            Ok(value.map(|n| n * factor).filter(|n| *n <= 100))
        }
    }

    /// The result as the nodes below see it: what it is now, minus what it was.
    fn check(build: impl Fn(&KTable<String, i64>) -> KTable<String, i64>, expected: &[(&str, i64, i64)]) {
        let builder = StreamsBuilder::new();
        let made = build(&builder.table(IN));
        made.group_by(|_, n| ("sum".to_string(), n))
            .reduce(|sum, n| sum + n, |sum, n| sum - n)
            .updates()
            .to("out");
        let driver = TestDriver::new(&builder.build().unwrap()).unwrap();
        let input = driver.input(IN);
        input.pipe_at(1, "a", 10);
        input.pipe_at(2, "a", 20);
        input.pipe_at(3, "a", 99);
        input.pipe_tombstone("a");
        let out = driver.output(Topic::<String, i64>::new("out")).read_all();
        let out: Vec<_> =
            out.iter().map(|record| (record.key.as_str(), record.value, record.timestamp)).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn without_a_store_old_values_are_transformed_again() {
        // Called for the new and the old value of each update: 10 * 1, none; 20 * 3, 10 * 4; 99 * 5 and 20 * 6 are too much.
        check(|t| t.transform_values(Growing::new), &[("sum", 10, 1), ("sum", 30, 2)]);
    }

    #[test]
    fn with_a_store_old_values_are_read() {
        check(
            |t| t.transform_values_with(Growing::new, KEPT.caching(false)),
            &[("sum", 10, 1), ("sum", 40, 2), ("sum", 0, 3)],
        );
    }

    /// Reads a table from a record of a stream.
    struct Prefixed;

    impl ValueTransformer for Prefixed {
        type Key = String;
        type ValueIn = i64;
        type ValueOut = String;

        fn transform(
            &mut self,
            _: &String,
            value: Option<&i64>,
            ctx: &mut TransformContext<'_>,
        ) -> Result<Option<String>> {
            let place = if ctx.record_metadata().is_some() { "updated" } else { "read" };
            Ok(Some(format!("{place} {value:?} at {}", ctx.timestamp())))
        }
    }

    #[test]
    fn a_join_reads_it_through_the_other_table_or_in_its_store() {
        for (kept, expected) in [
            (false, ["x read Some(7) at 5", "x read None at -1"]),
            (true, ["x updated Some(7) at 5", "none"]),
        ] {
            let builder = StreamsBuilder::new();
            let table = builder.table(IN);
            let made = match kept {
                false => table.transform_values(|_: &mut TransformInitContext<'_>| Prefixed),
                true => table.transform_values_with(|_: &mut TransformInitContext<'_>| Prefixed, "prefixed"),
            };
            let stream = builder.stream(Topic::<String, String>::new("s"));
            let row = |row: Option<&String>| row.map_or("none".to_string(), |row| format!("x {row}"));
            stream.left_join_table(&made, move |_, found| row(found)).to("out");
            let driver = TestDriver::new(&builder.build().unwrap()).unwrap();
            driver.input(IN).pipe_at(5, "a", 7);
            for key in ["a", "b"] {
                driver.input(Topic::<String, String>::new("s")).pipe_at(9, key, "");
            }
            let out = driver.output(Topic::<String, String>::new("out")).read_key_values();
            assert_eq!(out.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), expected);
        }
    }

    /// A look-up uses stores too: the reading node is connected to them.
    #[test]
    fn a_reader_has_the_transformers_stores() {
        struct Remembers(StoreRef<KeyValue<String, i64>>);
        impl ValueTransformer for Remembers {
            type Key = String;
            type ValueIn = i64;
            type ValueOut = i64;

            fn transform(
                &mut self,
                key: &String,
                value: Option<&i64>,
                ctx: &mut TransformContext<'_>,
            ) -> Result<Option<i64>> {
                let before = ctx.store(self.0).get(key)?.unwrap_or(0);
                if ctx.record_metadata().is_some() {
                    ctx.store(self.0).put(key, &(before + 1))?;
                }
                Ok(value.map(|n| n * 100 + before))
            }
        }
        let builder = StreamsBuilder::new();
        let made = builder
            .table(IN)
            .transform_values(|ctx: &mut TransformInitContext<'_>| Remembers(ctx.store(FACTORS)))
            .named("remembers");
        builder.stream("s").join_table(&made, |_, n| *n).to("out");
        let topology = builder.build().unwrap();
        assert!(topology.describe().contains("Processor: remembers (stores: [factors])"));
        let driver = TestDriver::new(&topology).unwrap();
        driver.input(IN).pipe("a", 7);
        driver.input("s").pipe("a", "");
        let out = driver.output(Topic::<String, i64>::new("out"));
        assert_eq!(out.read_key_value(), Some(("a".to_string(), 701)));
    }

    /// Names, numbers and stores are those of Kafka Streams 4.3.1; a store without a name is none.
    #[test]
    fn it_is_described_as_in_kafka_streams() {
        let describe = |store: Option<Store<KeyValue<String, i64>>>| {
            let builder = StreamsBuilder::new();
            let (table, maker) = (builder.table(IN), |_: &mut TransformInitContext<'_>| Same);
            let made = match store {
                None => table.transform_values(maker),
                Some(store) => table.transform_values_with(maker, store),
            };
            made.to_stream().to("out");
            builder.build().unwrap().describe()
        };
        struct Same;
        impl ValueTransformer for Same {
            type Key = String;
            type ValueIn = i64;
            type ValueOut = i64;

            fn transform(
                &mut self,
                _: &String,
                n: Option<&i64>,
                _: &mut TransformContext<'_>,
            ) -> Result<Option<i64>> {
                Ok(n.copied())
            }
        }
        for (store, line) in [
            (None, "Processor: KTABLE-TRANSFORMVALUES-0000000003 (stores: [])"),
            (Some(KEPT), "Processor: KTABLE-TRANSFORMVALUES-0000000003 (stores: [kept])"),
            (Some(Store::unnamed()), "Processor: KTABLE-TRANSFORMVALUES-0000000004 (stores: [])"),
        ] {
            let text = describe(store);
            assert!(text.contains(line), "{text}");
        }
    }
}

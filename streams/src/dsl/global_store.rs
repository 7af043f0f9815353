//! Global stores that a processor of the user's feeds.

use super::builder::StreamsBuilder;
use super::graph::{Output, PlanNode};
use super::named::Named;
use crate::processor_api::{InitContext, Processor, ProcessorMaker};
use crate::topic::{Consumed, IntoTopic};
use crate::topology::global_source;

impl StreamsBuilder {
    /// Gives all partitions of a topic to a processor of yours on every instance, which keeps what it wants of them in the
    /// store that its maker asks for: a global store. Every processor of the topology may read it
    /// ([`InitContext::global_store`]); nobody else writes to it.
    ///
    /// ```text
    /// rates   ──(eur, 2)────────────────(eur, 3)──────────────>  all partitions, every instance
    ///               ↓                        ↓
    /// store       eur: 2                   eur: 3
    ///                        ↓ get                    ↓ get
    /// prices  ───────────(tea, 10)────────────────(tea, 10)───>  a partition a task
    /// out     ───────────(tea, 20)────────────────(tea, 30)───>
    /// ```
    ///
    /// As with a [`global_table`](StreamsBuilder::global_table) the topic is read to its end before the first record of
    /// any stream is processed, and on beside the streams. The processor gets records as the topic's types say: to see
    /// deletions, read the topic with `Option` values. What it forwards goes nowhere, and it cannot be punctuated. There
    /// is no changelog: the topic brings the store back, through the processor, so its rows must follow from the records.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// const RATES: Topic<String, String> = Topic::new("rates");
    /// const RATE: Store<KeyValue<String, i64>> = Store::named("rate");
    ///
    /// /// Keeps the rates that are numbers.
    /// struct Rates { rate: StoreRef<KeyValue<String, i64>> }
    ///
    /// impl Processor for Rates {
    ///     type KeyIn = String;
    ///     type ValueIn = String;
    ///     type KeyOut = ();
    ///     type ValueOut = ();
    ///
    ///     fn process(&mut self, record: Record<String, String>, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
    ///         let rate = record.value.parse::<i64>().map_err(Error::record)?;
    ///         ctx.store(self.rate).put(&record.key, &rate)
    ///     }
    /// }
    ///
    /// /// Turns prices in euros into prices at home.
    /// struct Convert { rate: GlobalStoreRef<String, i64> }
    ///
    /// impl FixedKeyProcessor for Convert {
    ///     type Key = String;
    ///     type ValueIn = i64;
    ///     type ValueOut = i64;
    ///
    ///     fn process(
    ///         &mut self,
    ///         record: FixedKeyRecord<String, i64>,
    ///         ctx: &mut FixedKeyContext<'_, Self>,
    ///     ) -> Result<()> {
    ///         if let Some(rate) = ctx.global_store(self.rate).get(&"eur".to_string())? {
    ///             let price = record.value * rate;
    ///             ctx.forward(record.with_value(price));
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// const PRICES: Topic<String, i64> = Topic::new("prices");
    /// const OUT: Topic<String, i64> = Topic::new("out");
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.global_store(RATES, |ctx: &mut InitContext<'_, Rates>| Rates { rate: ctx.store(RATE) });
    /// builder
    ///     .stream(PRICES)
    ///     .process_values(|ctx: &mut FixedKeyInitContext<'_, Convert>| Convert { rate: ctx.global_store(RATE) })
    ///     .to(OUT);
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input(RATES).pipe("eur", "2");
    /// driver.input(PRICES).pipe("tea", 10);
    /// driver.input(RATES).pipe("eur", "3");
    /// driver.input(PRICES).pipe("tea", 10);
    /// let prices: Vec<_> = driver.output(OUT).read_key_values().into_iter().map(|(_, price)| price).collect();
    /// assert_eq!(prices, [20, 30]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn global_store<T: IntoTopic, P>(
        &self,
        topic: T,
        maker: impl Fn(&mut InitContext<'_, P>) -> P + Send + Sync + 'static,
    ) -> Named
    where
        P: Processor<KeyIn = T::Key, ValueIn = T::Value>,
    {
        let consumed: Consumed<T::Key, T::Value> = topic.into_consumed();
        let (given, own) = (consumed.name.clone(), consumed.on_error.clone());
        let (source, supplier) = global_source(consumed);
        let maker = ProcessorMaker::of(maker);
        let handle = self.record("global_store", true, move |walk, call| {
            let given = call.name.as_ref().or(given.as_ref());
            let source_name =
                walk.name(given.map(|name| format!("{name}-source")).as_deref(), "KSTREAM-SOURCE-");
            let name = walk.name(given.map(String::as_str), "KTABLE-SOURCE-");
            let on_error = call.on_error.clone().or_else(|| own.clone());
            let (source, supplier, maker, node) =
                (source.clone(), supplier.clone(), maker.clone(), name.clone());
            let plan = PlanNode::new(name, move |lowering, _| {
                let reads = (source.clone(), supplier.clone());
                lowering.topology.add_global((&source_name, &node), reads, &maker, on_error.clone())
            });
            walk.add(plan, &[]);
            Output::End
        });
        Named { handle }
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    const TOTALS: Store<KeyValue<String, i64>> = Store::named("totals");
    const ADDED: Topic<String, Option<i64>> = Topic::new("added");
    const ASKED: Topic<String, String> = Topic::new("asked");
    const OUT: Topic<String, String> = Topic::new("out");

    /// Adds up; a null forgets.
    struct Totals(StoreRef<KeyValue<String, i64>>);

    impl Totals {
        fn new(ctx: &mut InitContext<'_, Self>) -> Self {
            Totals(ctx.store(TOTALS))
        }
    }

    impl Processor for Totals {
        type KeyIn = String;
        type ValueIn = Option<i64>;
        type KeyOut = ();
        type ValueOut = ();

        fn process(
            &mut self,
            record: Record<String, Option<i64>>,
            ctx: &mut ProcessorContext<'_, Self>,
        ) -> Result<()> {
            ctx.store(self.0).update(&record.key, |sum| Some(sum.unwrap_or(0) + record.value?))?;
            // Nothing follows.
            ctx.forward(Record::new((), (), record.timestamp));
            Ok(())
        }
    }

    struct Asks(GlobalStoreRef<String, i64>);

    impl Processor for Asks {
        type KeyIn = String;
        type ValueIn = String;
        type KeyOut = String;
        type ValueOut = String;

        fn process(
            &mut self,
            record: Record<String, String>,
            ctx: &mut ProcessorContext<'_, Self>,
        ) -> Result<()> {
            let total = ctx.global_store(self.0).get_with_timestamp(&record.value)?;
            let all: Vec<_> = ctx.global_store(self.0).all()?.map(|(key, _)| key).collect();
            let total = total.map(|total| (total.value, total.timestamp));
            ctx.forward(record.with_value(format!("{total:?} of {all:?}")));
            Ok(())
        }
    }

    fn asks(ctx: &mut InitContext<'_, Asks>) -> Asks {
        Asks(ctx.global_store(TOTALS))
    }

    fn check(topology: &Topology) {
        let driver = TestDriver::new(topology).unwrap();
        let ask = |key: &str| {
            driver.input(ASKED).pipe("k", key);
            driver.output(OUT).read_key_value().unwrap().1
        };
        assert_eq!(ask("a"), "None of []");
        for (at, key, n) in [(1, "b", Some(1)), (2, "a", Some(5)), (3, "a", Some(7)), (4, "b", None)] {
            driver.input(ADDED).pipe_at(at, key, n);
        }
        assert_eq!(ask("a"), "Some((12, 3)) of [\"a\"]");
        assert_eq!(ask("b"), "None of [\"a\"]");
        assert_eq!(driver.store(TOTALS).unwrap().get(&"a".to_string()).unwrap(), Some(12));
        assert_eq!(driver.produced_topics(), ["out"], "it has no changelog");
    }

    #[test]
    fn every_processor_reads_it_whichever_is_added_first() {
        for store_first in [true, false] {
            let builder = StreamsBuilder::new();
            let store = || drop(builder.global_store(ADDED, Totals::new));
            let reader = || drop(builder.stream(ASKED).process(asks).to(OUT));
            if store_first {
                store();
                reader();
            } else {
                reader();
                store();
            }
            check(&builder.build().unwrap());
        }
    }

    #[test]
    fn by_hand() {
        let mut topology = Topology::new();
        topology.add_global_store("added-source", ADDED, "totals-feeder", Totals::new);
        let source = topology.add_source("source", ASKED);
        let reader = topology.add_processor("reader", asks, source);
        topology.add_sink("sink", OUT, reader);
        check(&topology);
    }

    /// A store of a global table can be read as well.
    #[test]
    fn a_global_tables_store_is_one() {
        let builder = StreamsBuilder::new();
        builder.global_table_with(ADDED, TOTALS);
        builder.stream(ASKED).process(asks).to(OUT);
        let driver = TestDriver::new(&builder.build().unwrap()).unwrap();
        driver.input(ADDED).pipe_at(5, "a", 7);
        driver.input(ASKED).pipe("k", "a");
        assert_eq!(driver.output(OUT).read_key_value().unwrap().1, "Some((7, 5)) of [\"a\"]");
    }

    /// The text is that of Kafka Streams 4.3.1.
    #[test]
    fn it_is_described_as_in_kafka_streams() {
        let builder = StreamsBuilder::new();
        builder.global_store(ADDED, Totals::new);
        builder.stream(ASKED).process(asks).to(OUT);
        let expected = "Topologies:
   Sub-topology: 0 for global store (will not generate tasks)
    Source: KSTREAM-SOURCE-0000000000 (topics: [added])
      --> KTABLE-SOURCE-0000000001
    Processor: KTABLE-SOURCE-0000000001 (stores: [totals])
      --> none
      <-- KSTREAM-SOURCE-0000000000
  Sub-topology: 1
    Source: KSTREAM-SOURCE-0000000002 (topics: [asked])
      --> KSTREAM-PROCESSOR-0000000003
    Processor: KSTREAM-PROCESSOR-0000000003 (stores: [])
      --> KSTREAM-SINK-0000000004
      <-- KSTREAM-SOURCE-0000000002
    Sink: KSTREAM-SINK-0000000004 (topic: out)
      <-- KSTREAM-PROCESSOR-0000000003

";
        assert_eq!(builder.build().unwrap().describe(), expected);
        let builder = StreamsBuilder::new();
        builder.global_store(ADDED, Totals::new).named("sums");
        let text = builder.build().unwrap().describe();
        assert!(text.contains("Source: sums-source") && text.contains("Processor: sums (stores: [totals])"));
    }

    #[test]
    fn what_cannot_be_is_told() {
        struct Other;
        impl Processor for Other {
            type KeyIn = String;
            type ValueIn = Option<i64>;
            type KeyOut = ();
            type ValueOut = ();

            fn process(
                &mut self,
                _: Record<String, Option<i64>>,
                _: &mut ProcessorContext<'_, Self>,
            ) -> Result<()> {
                Ok(())
            }
        }
        fn check(build: impl Fn(&StreamsBuilder), expected: &[&str]) {
            let builder = StreamsBuilder::new();
            build(&builder);
            let error = builder.build().unwrap_err().to_string();
            for expected in expected {
                assert!(error.contains(expected), "{error}\nlacks\n{expected}");
            }
        }
        check(
            |b| {
                b.global_store(ADDED, |_: &mut InitContext<'_, Other>| Other).named("idle");
                b.stream(ASKED).process(asks).named("asks");
            },
            &[
                "node `idle` feeds a global store and asks for none",
                "node `asks` reads the global store `totals`, which nobody adds",
            ],
        );
        check(
            |b| {
                b.global_store(ADDED, |ctx: &mut InitContext<'_, Other>| {
                    ctx.store(
                        Store::<Windows<String, i64>>::named("w").window(millis(5)).retention(millis(5)),
                    );
                    ctx.schedule(seconds(1), WallClockTime, |_, _, _| Ok(()));
                    Other
                })
                .named("many");
            },
            &[
                "node `many` feeds a global store, and the store `w` is none: use a `Store<KeyValue<..>>`",
                "node `many` feeds a global store and cannot be punctuated",
            ],
        );
        check(
            |b| {
                b.global_store(ADDED, Totals::new);
                b.stream(ADDED_TOO).process(Totals::new).named("writes");
            },
            &[
                "the store `totals` is a global one: only the processor that feeds it may ask for it with `store`",
            ],
        );
        check(
            |b| {
                b.stream(ADDED).process(Totals::new);
                b.stream(ASKED).process(asks).named("asks");
            },
            &["node `asks` reads `totals` as a global store, which it is not: ask for it with `store`"],
        );
        check(
            |b| {
                b.global_table_with(Topic::<String, String>::new("t"), "totals");
                b.stream(ASKED).process(asks).named("asks");
            },
            &["node `asks` reads the global store `totals` as one of `alloc::string::String` to `i64`"],
        );
    }

    const ADDED_TOO: Topic<String, Option<i64>> = Topic::new("added-too");
}

//! Processors in a topology, and the stores that they declare.

use std::sync::Arc;

use super::{NodeKind, NodeRef, Parents, StoreDefinition, StoreShape, Topology};
use crate::policy::OnError;
use crate::processor_api::{InitContext, Needs, Processor, ProcessorMaker, StoreNeed};
use crate::state::DeclaredKind;

impl Topology {
    /// Adds a processor behind one node or an array of nodes. Its maker runs once now, to learn what the processor needs.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// struct Router { long: ChildRef, short: ChildRef }
    ///
    /// impl Router {
    ///     fn new(ctx: &mut InitContext<'_, Self>) -> Self {
    ///         Router { long: ctx.child("long"), short: ctx.child("short") }
    ///     }
    /// }
    ///
    /// impl Processor for Router {
    ///     type KeyIn = Option<String>;
    ///     type ValueIn = String;
    ///     type KeyOut = Option<String>;
    ///     type ValueOut = String;
    ///
    ///     fn process(
    ///         &mut self,
    ///         record: Record<Self::KeyIn, String>,
    ///         ctx: &mut ProcessorContext<'_, Self>,
    ///     ) -> Result<()> {
    ///         let child = if record.value.len() > 3 { self.long } else { self.short };
    ///         ctx.forward_to(child, record);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut topology = Topology::new();
    /// let source = topology.add_source("source", "in");
    /// let router = topology.add_processor("router", Router::new, source);
    /// topology.add_sink("long", "out-long", router);
    /// topology.add_sink("short", "out-short", router);
    ///
    /// let driver = TestDriver::new(&topology)?;
    /// driver.input("in").pipe("k", "four");
    /// assert_eq!(driver.output("out-long").read_key_value(), Some((Some("k".to_string()), "four".to_string())));
    /// assert!(driver.output("out-short").is_empty());
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn add_processor<P: Processor>(
        &mut self,
        name: &str,
        maker: impl Fn(&mut InitContext<'_, P>) -> P + Send + Sync + 'static,
        parents: impl Parents<P::KeyIn, P::ValueIn>,
    ) -> NodeRef<P::KeyOut, P::ValueOut> {
        NodeRef::at(self.add_made(name, &ProcessorMaker::of(maker), &parents.indexes(), None))
    }

    /// Adds a processor with its stores.
    pub(crate) fn add_made(
        &mut self,
        name: &str,
        maker: &ProcessorMaker,
        parents: &[usize],
        on_error: Option<OnError>,
    ) -> usize {
        let needs = maker.needs();
        let node = self.add_node(name, NodeKind::Processor, maker.supplier.clone(), parents, on_error);
        self.grant(node, needs);
        node
    }

    /// Gives a node what its maker has asked for.
    pub(crate) fn grant(&mut self, node: usize, needs: Needs) {
        let name = Arc::clone(&self.nodes[node].name);
        let global = self.feeds_global_store(node);
        if global {
            self.check_feeder(&name, &needs);
        }
        self.faults.extend(needs.faults.iter().map(|fault| format!("node `{name}` {fault}")));
        for need in needs.stores {
            let store = need.declaration.settings.name.clone().into_owned();
            self.declare_store(need, global);
            self.connect(node, &store);
        }
        let reads =
            needs.globals.into_iter().map(|need| (need.declaration.settings.name.into_owned(), need.types));
        self.nodes[node].globals.extend(reads);
        self.wanted_children.extend(needs.children.into_iter().map(|child| (node, child)));
    }

    /// Adds a store that a processor asks for, unless it is there already. If an operator keeps its result there, what the
    /// operator says of the store counts, whichever comes first.
    fn declare_store(&mut self, need: StoreNeed, global: bool) {
        let StoreNeed { declaration, types, .. } = need;
        let settings = declaration.settings;
        let store = StoreDefinition {
            name: settings.name.into_owned(),
            shape: match declaration.kind {
                DeclaredKind::KeyValue { timestamped } => StoreShape::KeyValue { timestamped },
                DeclaredKind::Windows { retention_ms } => StoreShape::Window { retention_ms },
                DeclaredKind::Sessions { retention_ms } => StoreShape::Session { retention_ms },
                DeclaredKind::Versioned { history_ms } => StoreShape::Versioned { history_ms },
                DeclaredKind::Custom => StoreShape::Custom,
            },
            types,
            supplier: declaration.supplier,
            in_memory: settings.in_memory,
            engine: settings.engine,
            // Kafka Streams gathers the updates of an operator's store unless told otherwise, and those of others if told.
            caching: !global
                && settings.caching.unwrap_or(false)
                && !matches!(declaration.kind, DeclaredKind::Versioned { .. } | DeclaredKind::Custom),
            logging: settings.logging && !global,
            source_topic: None,
            topic_configs: settings.topic_configs,
            global,
        };
        let declared = self.declared_stores.contains_key(&store.name);
        match self.store(&store.name) {
            None => {
                self.declared_stores.insert(store.name.clone(), declaration.fault);
                self.stores.push(store);
            }
            Some(other) if other.global != global => self.faults.push(format!(
                "the store `{}` is a global one: only the processor that feeds it may ask for it with `store`, others with `global_store`",
                store.name
            )),
            Some(other) if other.types == store.types && other.shape == store.shape => {}
            Some(other) if !declared && other.types == store.types && other.shape.is_like(&store.shape) => {}
            Some(_) => self.declared_in_two_ways(&store.name),
        }
    }

    /// Every child that a processor forwards to by name must follow it, and every store must be told all it needs.
    pub(super) fn check_processors(&self, faults: &mut Vec<String>) {
        for (node, child) in &self.wanted_children {
            let node = &self.nodes[*node];
            let children: Vec<&str> = node.children.iter().map(|&child| &*self.nodes[child].name).collect();
            if !children.contains(&child.as_str()) {
                let followers = if children.is_empty() { "none".to_owned() } else { children.join(", ") };
                faults.push(format!(
                    "node `{}` forwards to `{child}`, which does not follow it (these do: {followers})",
                    node.name
                ));
            }
        }
        faults.extend(self.declared_stores.values().flatten().cloned());
    }
}

/// A processor that cannot be made is reported as a fault of the topology.
#[cfg(test)]
mod tests {
    use crate::prelude::*;

    const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");

    struct Reads(StoreRef<KeyValue<String, i64>>);

    impl Reads {
        fn new(ctx: &mut InitContext<'_, Self>) -> Self {
            Reads(ctx.store(COUNTS))
        }
    }

    impl Processor for Reads {
        type KeyIn = Option<String>;
        type ValueIn = String;
        type KeyOut = String;
        type ValueOut = Option<i64>;

        fn process(
            &mut self,
            record: Record<Self::KeyIn, String>,
            ctx: &mut ProcessorContext<'_, Self>,
        ) -> Result<()> {
            let count = ctx.store(self.0).get(&record.value)?;
            ctx.forward(Record::new(record.value, count, record.timestamp));
            Ok(())
        }
    }

    /// Whether the processor's node is added before or after the operator's, the operator says how the store is kept.
    #[test]
    fn a_processor_reads_an_operators_store() {
        for processor_first in [true, false] {
            let builder = StreamsBuilder::new();
            let count = || drop(builder.stream("in").group_by_key().count_with(COUNTS));
            let read = || drop(builder.stream("questions").process(Reads::new).to("answers"));
            if processor_first {
                read();
                count();
            } else {
                count();
                read();
            }
            let topology = builder.build().unwrap();
            assert!(topology.store("counts").unwrap().caching);
            let driver = TestDriver::new(&topology).unwrap();
            driver.input("in").pipe("a", "x");
            driver.input("questions").pipe(None, "a");
            let answers = driver.output(Topic::<String, Option<i64>>::new("answers"));
            assert_eq!(answers.read_key_value(), Some(("a".to_string(), Some(1))));
        }
    }

    fn fault(build: impl Fn(&mut Topology, NodeRef<Option<String>, String>)) -> String {
        let mut topology = Topology::new();
        let source = topology.add_source("source", "in");
        build(&mut topology, source);
        topology.validate().unwrap_err().to_string()
    }

    struct Nothing;

    impl Processor for Nothing {
        type KeyIn = Option<String>;
        type ValueIn = String;
        type KeyOut = String;
        type ValueOut = String;

        fn process(
            &mut self,
            _: Record<Option<String>, String>,
            _: &mut ProcessorContext<'_, Self>,
        ) -> Result<()> {
            Ok(())
        }
    }

    fn asking(ask: impl Fn(&mut InitContext<'_, Nothing>) + Send + Sync + 'static) -> String {
        let ask = std::sync::Arc::new(ask);
        fault(move |topology, source| {
            let ask = std::sync::Arc::clone(&ask);
            topology.add_processor(
                "p",
                move |ctx: &mut InitContext<'_, Nothing>| {
                    ask(ctx);
                    Nothing
                },
                source,
            );
        })
    }

    #[test]
    fn what_cannot_be_is_told() {
        let check = |said: String, expected: &str| assert_eq!(said, expected);
        check(
            asking(|ctx| {
                ctx.child("sink");
            }),
            "node `p` forwards to `sink`, which does not follow it (these do: none)",
        );
        check(
            asking(|ctx| {
                ctx.store(Store::<Windows<String, i64>>::named("w").window(millis(5)));
            }),
            "the store `w`: say how long it keeps its rows: `.retention(..)`",
        );
        check(
            asking(|ctx| {
                ctx.store(Store::<Sessions<String, i64>>::named("s"));
            }),
            "the store `s`: say how long it keeps its rows: `.retention(..)`",
        );
        check(
            asking(|ctx| {
                ctx.store(Store::<KeyValue<String, i64>>::named("s"));
                ctx.store(Store::<KeyValue<String, String>>::named("s"));
            }),
            "the store `s` is declared in two ways: rename one, or use one constant",
        );
        check(
            asking(|ctx| {
                ctx.schedule(millis(0), StreamTime, |_, _, _| Ok(()));
            }),
            "node `p` asks for a punctuation more than once a millisecond",
        );
        assert!(
            asking(|ctx| {
                ctx.store(Store::<KeyValue<String, i64>>::unnamed());
            })
            .contains("node `p` asks for a store without a name: give it one")
        );
    }
}

//! Global stores in a topology: the processors that feed them, and those that read them.

use super::{NodeKind, SourceDefinition, StoreShape, Topology};
use crate::data::Item;
use crate::policy::OnError;
use crate::processor::{NodeSupplier, TopicSource};
use crate::processor_api::{InitContext, Needs, Processor, ProcessorMaker};
use crate::topic::{Consumed, IntoTopic};

/// What the source of a global store reads.
pub(crate) fn global_source<K: Item, V: Item>(consumed: Consumed<K, V>) -> (SourceDefinition, NodeSupplier) {
    let Consumed { topic, timestamps, offset_reset, .. } = consumed;
    let (key, value) = (topic.key_serde(), topic.value_serde());
    let source =
        SourceDefinition { topics: vec![topic.name.into_owned()], pattern: None, offset_reset, global: true };
    let supplier = NodeSupplier::of_source(move |init| {
        Ok(TopicSource::new(key.clone(), value.clone(), timestamps.clone(), init.queues))
    });
    (source, supplier)
}

impl Topology {
    /// Adds a node that reads all partitions of a topic on every instance, and behind it a processor that keeps a global
    /// store: see [`StreamsBuilder::global_store`](crate::dsl::StreamsBuilder::global_store).
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// const NAMES: Store<KeyValue<String, String>> = Store::named("names");
    ///
    /// struct Names(StoreRef<KeyValue<String, String>>);
    ///
    /// impl Processor for Names {
    ///     type KeyIn = String;
    ///     type ValueIn = String;
    ///     type KeyOut = ();
    ///     type ValueOut = ();
    ///
    ///     fn process(&mut self, record: Record<String, String>, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
    ///         ctx.store(self.0).put(&record.key, &record.value)
    ///     }
    /// }
    ///
    /// let topic: Topic<String, String> = Topic::new("names");
    /// let mut topology = Topology::new();
    /// topology.add_global_store("source", &topic, "names", |ctx: &mut InitContext<'_, Names>| Names(ctx.store(NAMES)));
    ///
    /// let driver = TestDriver::new(&topology)?;
    /// driver.input(&topic).pipe("no", "Norway");
    /// assert_eq!(driver.store(NAMES)?.get(&"no".to_string())?.as_deref(), Some("Norway"));
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn add_global_store<T: IntoTopic, P>(
        &mut self,
        source: &str,
        topic: T,
        processor: &str,
        maker: impl Fn(&mut InitContext<'_, P>) -> P + Send + Sync + 'static,
    ) where
        P: Processor<KeyIn = T::Key, ValueIn = T::Value>,
    {
        let consumed = topic.into_consumed();
        let on_error = consumed.on_error.clone();
        let reads = global_source(consumed);
        self.add_global((source, processor), reads, &ProcessorMaker::of(maker), on_error);
    }

    /// Adds a source and a processor of these names that keep a global store.
    pub(crate) fn add_global(
        &mut self,
        (source, processor): (&str, &str),
        (definition, supplier): (SourceDefinition, NodeSupplier),
        maker: &ProcessorMaker,
        on_error: Option<OnError>,
    ) -> usize {
        let source = self.add_node(source, NodeKind::Source(definition), supplier, &[], on_error.clone());
        self.add_made(processor, maker, &[source], on_error)
    }

    /// What a processor that feeds a global store must not ask for.
    pub(super) fn check_feeder(&mut self, name: &str, needs: &Needs) {
        let mut refuse =
            |fault: String| self.faults.push(format!("node `{name}` feeds a global store{fault}"));
        if needs.stores.is_empty() {
            refuse(" and asks for none: let its maker ask with `ctx.store(..)`".to_owned());
        }
        for need in needs.stores.iter().filter(|need| !need.is_key_value()) {
            let store = &need.declaration.settings.name;
            refuse(format!(", and the store `{store}` is none: use a `Store<KeyValue<..>>`"));
        }
        if !needs.schedules.is_empty() {
            refuse(" and cannot be punctuated".to_owned());
        }
    }

    /// Every global store that is read must be one, of these types.
    pub(super) fn check_global_readers(&self, faults: &mut Vec<String>) {
        for node in &self.nodes {
            for (name, types) in &node.globals {
                let node = &node.name;
                let fault = match self.store(name) {
                    None => format!(
                        "node `{node}` reads the global store `{name}`, which nobody adds: add it with `global_store(..)` or `global_table_with(..)`"
                    ),
                    Some(store) if !store.global => format!(
                        "node `{node}` reads `{name}` as a global store, which it is not: ask for it with `store`"
                    ),
                    Some(store)
                        if store.types != *types || !matches!(store.shape, StoreShape::KeyValue { .. }) =>
                    {
                        format!(
                            "node `{node}` reads the global store `{name}` as one of {types}, but it holds {}",
                            store.types
                        )
                    }
                    Some(_) => continue,
                };
                faults.push(fault);
            }
        }
    }
}

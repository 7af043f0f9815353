//! Processors in a stream.

use super::KStream;
use crate::data::Item;
use crate::dsl::graph::{Output, PlanNode};
use crate::dsl::handle::{Effect, Handle};
use crate::processor_api::{FixedKeyInitContext, FixedKeyProcessor, InitContext, Processor, ProcessorMaker};

impl<K: Item, V: Item> KStream<K, V> {
    /// Gives the records to a processor of yours, of which `maker` makes one for each task. What it forwards goes on; as it may
    /// have other keys, what follows and needs records of one key together repartitions them.
    ///
    /// ```text
    /// in   (a, x) ── (b, y) ── (a, z) ──▶
    ///        ↓         ↓         ↓          stores, punctuation
    /// out  (any records at any time) ───▶
    /// ```
    ///
    /// Nulls come to it as the types say. It gives the time of each record that it forwards; a negative time is an error.
    ///
    /// See [`processor_api`](crate::processor_api) for an example.
    pub fn process<P>(
        &self,
        maker: impl Fn(&mut InitContext<'_, P>) -> P + Send + Sync + 'static,
    ) -> KStream<P::KeyOut, P::ValueOut>
    where
        P: Processor<KeyIn = K, ValueIn = V>,
    {
        let maker = ProcessorMaker::of(maker);
        KStream::of(self.through("process", "KSTREAM-PROCESSOR-", Effect::CHANGES_BOTH, maker))
    }

    /// Gives the records to a processor of yours that cannot change keys, so that what follows need not be repartitioned.
    ///
    /// ```text
    /// in   (a, x) ── (b, y) ──▶
    ///        ↓         ↓          stores, punctuation
    /// out  (a, ?) ── (b, ?) ──▶
    /// ```
    ///
    /// Nulls and timestamps are treated as in [`process`](KStream::process). See [`FixedKeyProcessor`] for an example.
    pub fn process_values<P>(
        &self,
        maker: impl Fn(&mut FixedKeyInitContext<'_, P>) -> P + Send + Sync + 'static,
    ) -> KStream<K, P::ValueOut>
    where
        P: FixedKeyProcessor<Key = K, ValueIn = V>,
    {
        let maker = ProcessorMaker::of_fixed_key(maker);
        KStream::of(self.through("process_values", "KSTREAM-PROCESSVALUES-", Effect::CHANGES_VALUE, maker))
    }

    fn through(
        &self,
        method: &'static str,
        prefix: &'static str,
        effect: Effect,
        maker: ProcessorMaker,
    ) -> Handle {
        let parent = self.handle.operation;
        self.handle.record(method, true, move |walk, call| {
            let (maker, on_error) = (maker.clone(), call.on_error.clone());
            let stream = walk.below(parent, call, prefix, |name| {
                let node = PlanNode::new(name.clone(), move |lowering, parents| {
                    lowering.topology.add_made(&name, &maker, parents, on_error.clone())
                });
                effect.mark(node)
            });
            Output::Stream(effect.on(stream))
        })
    }
}

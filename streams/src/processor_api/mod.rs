//! Processors: nodes that users write by hand, with stores, punctuation, and any number of records out for one in.
//!
//! A processor is a type with fields. Its maker, a function of an [`InitContext`], says what it needs; one is made for
//! each task. Its truth belongs in stores, which an abort rolls back and a move takes along; its fields are a cache.
//!
//! ```
//! use anabranch::prelude::*;
//!
//! const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");
//!
//! struct CountPerKey { counts: StoreRef<KeyValue<String, i64>> }
//!
//! impl CountPerKey {
//!     fn new(ctx: &mut InitContext<'_, Self>) -> Self {
//!         // Every 20 seconds of stream time all counts go out.
//!         ctx.schedule(seconds(20), StreamTime, |this, time, ctx| {
//!             for (key, n) in ctx.store(this.counts).all()? {
//!                 ctx.forward(Record::new(key, n, time));
//!             }
//!             Ok(())
//!         });
//!         CountPerKey { counts: ctx.store(COUNTS) }
//!     }
//! }
//!
//! impl Processor for CountPerKey {
//!     type KeyIn = String;
//!     type ValueIn = String;
//!     type KeyOut = String;
//!     type ValueOut = i64;
//!
//!     fn process(&mut self, record: Record<String, String>, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
//!         ctx.store(self.counts).update(&record.key, |n| Some(n.unwrap_or(0) + 1))?;
//!         Ok(())
//!     }
//! }
//!
//! let builder = StreamsBuilder::new();
//! builder.stream(Topic::<String, String>::new("in")).process(CountPerKey::new).to("out");
//!
//! let driver = TestDriver::new(&builder.build()?)?;
//! let input = driver.input(Topic::<String, String>::new("in"));
//! let output = driver.output(Topic::<String, i64>::new("out"));
//! input.pipe_at(1_000, "a", "x");
//! input.pipe_at(2_000, "a", "y");
//! input.pipe_at(20_000, "b", "z");
//! assert_eq!(output.read_key_values(), [("a".to_string(), 1), ("a".to_string(), 2), ("b".to_string(), 1)]);
//! # Ok::<(), anabranch::Error>(())
//! ```
//!
//! Reading order: `processor` and `fixed_key_processor` (what users implement), `needs` (what a processor asks for),
//! `init_context`, `node_context` and `processor_context` (what it is given), `node` (how it becomes a node); then
//! `value_transformer`, `transform_context` and `transformer_maker` (what makes a table of a table).

mod fixed_key_processor;
mod init_context;
mod needs;
mod node;
mod node_context;
mod processor;
mod processor_context;
#[cfg(test)]
mod tests;
mod transform_context;
mod transformer_maker;
mod value_transformer;

pub use fixed_key_processor::FixedKeyProcessor;
pub use init_context::{FixedKeyInitContext, InitContext};
pub use needs::{Cancellable, ChildRef, GlobalStoreRef, StoreRef};
pub use processor::Processor;
pub use processor_context::{FixedKeyContext, ProcessorContext};
pub use transform_context::{TransformContext, TransformInitContext};
pub use value_transformer::ValueTransformer;

pub(crate) use needs::{Needs, StoreNeed};
pub(crate) use node::ProcessorMaker;
pub(crate) use transformer_maker::{MadeTransformer, TransformerMaker};

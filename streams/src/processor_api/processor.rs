//! A processor that may forward records of any key.

use super::ProcessorContext;
use crate::data::Item;
use crate::error::Result;
use crate::record::Record;

/// A node written by hand. See [the module](crate::processor_api).
///
/// Its maker runs when the topology is built, to learn what the processor needs, and each time a task is built or, after
/// an abort, rebuilt. It must do nothing else: what costs something or can fail belongs into [`start`](Processor::start).
pub trait Processor: Sized + Send + 'static {
    /// Keys it takes.
    type KeyIn: Item;
    /// Values it takes.
    type ValueIn: Item;
    /// Keys it forwards.
    type KeyOut: Item;
    /// Values it forwards.
    type ValueOut: Item;

    /// The task begins to run: its stores are there. Connections are opened here.
    ///
    /// # Errors
    /// If the task cannot run; the application stops.
    fn start(&mut self, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
        let _ = ctx;
        Ok(())
    }

    /// Takes a record.
    ///
    /// # Errors
    /// [`Error::record`](crate::Error::record) gives the record to the error policy; what stores return is passed on
    /// by `?`.
    fn process(
        &mut self,
        record: Record<Self::KeyIn, Self::ValueIn>,
        ctx: &mut ProcessorContext<'_, Self>,
    ) -> Result<()>;

    /// The task ends here, or is about to be rebuilt. Called once for each [`start`](Processor::start).
    fn close(&mut self) {}
}

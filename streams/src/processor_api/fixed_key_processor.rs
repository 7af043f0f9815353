//! A processor that forwards records under the keys they came with.

use super::FixedKeyContext;
use crate::data::Item;
use crate::error::Result;
use crate::record::FixedKeyRecord;

/// A node written by hand that cannot change keys, so that nothing below it has to be repartitioned.
///
/// ```
/// use anabranch::prelude::*;
///
/// struct Numbered { seen: i64 }
///
/// impl FixedKeyProcessor for Numbered {
///     type Key = Option<String>;
///     type ValueIn = String;
///     type ValueOut = String;
///
///     fn process(
///         &mut self,
///         record: FixedKeyRecord<Self::Key, String>,
///         ctx: &mut FixedKeyContext<'_, Self>,
///     ) -> Result<()> {
///         self.seen += 1;
///         let value = format!("{} {}", self.seen, record.value);
///         ctx.forward(record.with_value(value));
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// builder.stream("in").process_values(|_: &mut FixedKeyInitContext<'_, _>| Numbered { seen: 0 }).to("out");
///
/// let driver = TestDriver::new(&builder.build()?)?;
/// driver.input("in").pipe("k", "hello");
/// assert_eq!(driver.output("out").read_key_value(), Some((Some("k".to_string()), "1 hello".to_string())));
/// # Ok::<(), anabranch::Error>(())
/// ```
///
/// It is made as a [`Processor`](super::Processor) is, once for each task.
pub trait FixedKeyProcessor: Sized + Send + 'static {
    /// Keys it takes and forwards.
    type Key: Item;
    /// Values it takes.
    type ValueIn: Item;
    /// Values it forwards.
    type ValueOut: Item;

    /// The task begins to run: its stores are there. Connections are opened here.
    ///
    /// # Errors
    /// If the task cannot run; the application stops.
    fn start(&mut self, ctx: &mut FixedKeyContext<'_, Self>) -> Result<()> {
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
        record: FixedKeyRecord<Self::Key, Self::ValueIn>,
        ctx: &mut FixedKeyContext<'_, Self>,
    ) -> Result<()>;

    /// The task ends here, or is about to be rebuilt. Called once for each [`start`](FixedKeyProcessor::start).
    fn close(&mut self) {}
}

//! A transformer: makes the values of a table out of those of another, with stores at hand.

use super::TransformContext;
use crate::data::Data;
use crate::error::Result;

/// Makes each row of a table out of a row of another: Kafka's `ValueTransformerWithKey`. See
/// [`KTable::transform_values`](crate::dsl::KTable::transform_values).
///
/// It returns values and forwards nothing, because it is not only called for updates: if somebody below needs the value
/// that an update replaces, it is called for the old value as well, and a join that looks up a row of a table that is kept
/// nowhere makes a transformer of its own and calls that. So its answer must follow from the key, the value and its
/// stores.
///
/// Its maker runs when the topology is built, to learn which stores it needs, and whenever a task is built or, after an
/// abort, rebuilt. It must do nothing else.
pub trait ValueTransformer: Sized + Send + 'static {
    /// Keys of both tables.
    type Key: Data;
    /// Values of the table that it reads.
    type ValueIn: Data;
    /// Values of the table that it makes.
    type ValueOut: Data;

    /// The new value of a key; `None` deletes the row. A `value` of `None` is a deletion in the table that it reads.
    ///
    /// # Errors
    /// [`Error::record`](crate::Error::record) gives the record to the error policy; what stores return is passed on
    /// by `?`.
    fn transform(
        &mut self,
        key: &Self::Key,
        value: Option<&Self::ValueIn>,
        ctx: &mut TransformContext<'_>,
    ) -> Result<Option<Self::ValueOut>>;
}

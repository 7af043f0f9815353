//! Makes any number of records of each, under its key.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::data::Item;
use crate::error::Result;
use crate::processor::{Forward, InFlight, Operator, Part};

/// Forwards all values that `mapper` makes, under the record's key.
pub(crate) struct FlatMapValues<K, V, F> {
    mapper: Arc<F>,
    types: PhantomData<fn(K, V)>,
}

impl<K, V, F> FlatMapValues<K, V, F> {
    pub(crate) fn new(mapper: Arc<F>) -> Self {
        FlatMapValues { mapper, types: PhantomData }
    }
}

impl<K: Item, V: Item, V2: Item, I, F> Operator for FlatMapValues<K, V, F>
where
    I: IntoIterator<Item = V2>,
    F: Fn(&K, V) -> Result<I> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = V2;

    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, K, V2>) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let values = (self.mapper)(key.get(), value.take())?;
        // One slot serves all values; the key is lent, for the next value needs it too.
        let mut slot = None;
        for value in values {
            slot = Some(value);
            out.forward(InFlight { key: key.shared(), value: Part::Owned(&mut slot), timestamp, headers })?;
        }
        drop(slot);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::check::check;

    #[test]
    fn a_line_becomes_words() {
        let words = |_: &i32, line: String| Ok(line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let input = vec![(7, "to be".to_string(), 3)];
        check(FlatMapValues::new(Arc::new(words)), input, vec![(7, "to".into(), 3), (7, "be".into(), 3)]);
        let none = |_: &i32, _: String| Ok(None::<String>);
        check(FlatMapValues::new(Arc::new(none)), vec![(7, "x".into(), 3)], vec![]);
    }
}

//! Makes another key and value of each record.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::data::Item;
use crate::error::Result;
use crate::processor::{Forward, InFlight, Operator, Part};

/// Forwards what `mapper` makes of key and value.
pub(crate) struct Map<K, V, F> {
    mapper: Arc<F>,
    types: PhantomData<fn(K, V)>,
}

impl<K, V, F> Map<K, V, F> {
    pub(crate) fn new(mapper: Arc<F>) -> Self {
        Map { mapper, types: PhantomData }
    }
}

impl<K: Item, V: Item, K2: Item, V2: Item, F> Operator for Map<K, V, F>
where
    F: Fn(K, V) -> Result<(K2, V2)> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K2;
    type ValueOut = V2;

    #[inline]
    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, K2, V2>) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let (key, value) = (self.mapper)(key.take(), value.take())?;
        let (key, value) = (&mut Some(key), &mut Some(value));
        out.forward(InFlight { key: Part::Owned(key), value: Part::Owned(value), timestamp, headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::check::check;

    #[test]
    fn key_and_value_are_swapped() {
        let swap = |k: String, v: i32| Ok((v, k));
        check(Map::new(Arc::new(swap)), vec![("a".into(), 1, 5)], vec![(1, "a".to_string(), 5)]);
    }
}

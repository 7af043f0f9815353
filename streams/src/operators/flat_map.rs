//! Makes any number of records of each.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::data::Item;
use crate::error::Result;
use crate::processor::{Forward, InFlight, Operator, Part};

/// Forwards all that `mapper` makes of key and value.
pub(crate) struct FlatMap<K, V, F> {
    mapper: Arc<F>,
    types: PhantomData<fn(K, V)>,
}

impl<K, V, F> FlatMap<K, V, F> {
    pub(crate) fn new(mapper: Arc<F>) -> Self {
        FlatMap { mapper, types: PhantomData }
    }
}

impl<K: Item, V: Item, K2: Item, V2: Item, I, F> Operator for FlatMap<K, V, F>
where
    I: IntoIterator<Item = (K2, V2)>,
    F: Fn(K, V) -> Result<I> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K2;
    type ValueOut = V2;

    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, K2, V2>) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        for (key, value) in (self.mapper)(key.take(), value.take())? {
            let (key, value) = (&mut Some(key), &mut Some(value));
            out.forward(InFlight { key: Part::Owned(key), value: Part::Owned(value), timestamp, headers })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::check::check;

    #[test]
    fn none_one_or_many() {
        let repeat = |k: String, n: usize| Ok((0..n).map(move |i| (format!("{k}{i}"), i)));
        let input = vec![("a".to_string(), 0, 1), ("b".to_string(), 2, 2)];
        check(FlatMap::new(Arc::new(repeat)), input, vec![("b0".into(), 0, 2), ("b1".into(), 1, 2)]);
    }
}

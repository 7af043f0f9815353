//! Makes another value of each record.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::data::Item;
use crate::error::Result;
use crate::processor::{Forward, InFlight, Operator};

/// Forwards the record with what `mapper` makes of its value.
pub(crate) struct MapValues<K, V, F> {
    mapper: Arc<F>,
    types: PhantomData<fn(K, V)>,
}

impl<K, V, F> MapValues<K, V, F> {
    pub(crate) fn new(mapper: Arc<F>) -> Self {
        MapValues { mapper, types: PhantomData }
    }
}

impl<K: Item, V: Item, V2: Item, F> Operator for MapValues<K, V, F>
where
    F: Fn(&K, V) -> Result<V2> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = V2;

    #[inline]
    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, K, V2>) -> Result<()> {
        record.forward_mapped(out, |key, value| (self.mapper)(key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::operators::check::{check, check_drops};
    use crate::processor::DropReason;

    #[test]
    fn values_of_the_same_and_of_another_type() {
        let input = vec![("a", "x".to_string(), 5)];
        let upper = |_: &&str, v: String| Ok(v.to_uppercase());
        check(MapValues::new(Arc::new(upper)), input.clone(), vec![("a", "X".to_string(), 5)]);
        let length = |k: &&str, v: String| Ok(k.len() + v.len());
        check(MapValues::new(Arc::new(length)), input, vec![("a", 2, 5)]);
    }

    #[test]
    fn a_failing_mapper_asks_the_policy() {
        let parse = |_: &&str, v: String| v.parse::<i32>().map_err(Error::record);
        let input = vec![("a", "x".to_string(), 5), ("a", "7".to_string(), 6)];
        check_drops(MapValues::new(Arc::new(parse)), input, vec![("a", 7, 6)], &[(DropReason::Failed, 1)]);
    }
}

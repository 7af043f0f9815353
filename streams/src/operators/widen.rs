//! Gives keys or values room for null, for a merge with a stream that has nulls.

use std::marker::PhantomData;

use crate::data::Item;
use crate::error::Result;
use crate::processor::{Forward, InFlight, Operator, Part};

/// `K` becomes `Option<K>`.
pub(crate) struct WidenKeys<K, V>(PhantomData<fn(K, V)>);

/// `V` becomes `Option<V>`.
pub(crate) struct WidenValues<K, V>(PhantomData<fn(K, V)>);

impl<K, V> WidenKeys<K, V> {
    pub(crate) fn new() -> Self {
        WidenKeys(PhantomData)
    }
}

impl<K, V> WidenValues<K, V> {
    pub(crate) fn new() -> Self {
        WidenValues(PhantomData)
    }
}

impl<K: Item, V: Item> Operator for WidenKeys<K, V> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = Option<K>;
    type ValueOut = V;

    #[inline]
    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, Option<K>, V>) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let key = &mut Some(Some(key.take()));
        out.forward(InFlight { key: Part::Owned(key), value, timestamp, headers })
    }
}

impl<K: Item, V: Item> Operator for WidenValues<K, V> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = Option<V>;

    #[inline]
    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, K, Option<V>>) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let value = &mut Some(Some(value.take()));
        out.forward(InFlight { key, value: Part::Owned(value), timestamp, headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::check::check;

    #[test]
    fn there_is_room_for_null() {
        check(WidenKeys::new(), vec![("a", 1, 5)], vec![(Some("a"), 1, 5)]);
        check(WidenValues::new(), vec![("a", 1, 5)], vec![("a", Some(1), 5)]);
    }
}

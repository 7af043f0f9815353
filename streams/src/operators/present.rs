//! Drops nulls and with them the `Option` from the type. Nothing moves: the inside of a nullable slot is a slot.

use std::marker::PhantomData;

use crate::data::Item;
use crate::error::Result;
use crate::processor::{Forward, InFlight, Operator, Part};

/// Forwards records whose key is there.
pub(crate) struct PresentKeys<K, V>(PhantomData<fn(K, V)>);

/// Forwards records whose value is there.
pub(crate) struct PresentValues<K, V>(PhantomData<fn(K, V)>);

/// Forwards records whose key and value are there.
pub(crate) struct PresentPairs<K, V>(PhantomData<fn(K, V)>);

macro_rules! news {
    ($($name:ident),*) => { $(
        impl<K, V> $name<K, V> {
            pub(crate) fn new() -> Self {
                $name(PhantomData)
            }
        }
    )* };
}
news!(PresentKeys, PresentValues, PresentPairs);

#[inline]
fn inside<T>(part: Part<'_, Option<T>>) -> Option<Part<'_, T>> {
    match part {
        Part::Owned(slot) => slot.as_mut().filter(|inner| inner.is_some()).map(Part::Owned),
        Part::Shared(value) => value.as_ref().map(Part::Shared),
    }
}

impl<K: Item, V: Item> Operator for PresentKeys<K, V> {
    type KeyIn = Option<K>;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = V;

    #[inline]
    fn process(&mut self, record: InFlight<'_, Option<K>, V>, out: &mut Forward<'_, '_, K, V>) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        match inside(key) {
            Some(key) => out.forward(InFlight { key, value, timestamp, headers }),
            None => Ok(()),
        }
    }
}

impl<K: Item, V: Item> Operator for PresentValues<K, V> {
    type KeyIn = K;
    type ValueIn = Option<V>;
    type KeyOut = K;
    type ValueOut = V;

    #[inline]
    fn process(&mut self, record: InFlight<'_, K, Option<V>>, out: &mut Forward<'_, '_, K, V>) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        match inside(value) {
            Some(value) => out.forward(InFlight { key, value, timestamp, headers }),
            None => Ok(()),
        }
    }
}

impl<K: Item, V: Item> Operator for PresentPairs<K, V> {
    type KeyIn = Option<K>;
    type ValueIn = Option<V>;
    type KeyOut = K;
    type ValueOut = V;

    #[inline]
    fn process(
        &mut self,
        record: InFlight<'_, Option<K>, Option<V>>,
        out: &mut Forward<'_, '_, K, V>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        match (inside(key), inside(value)) {
            (Some(key), Some(value)) => out.forward(InFlight { key, value, timestamp, headers }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::check::check;

    #[test]
    fn nulls_are_left_out() {
        let text = |text: &str| text.to_string();
        let keys = vec![(Some(text("a")), 1, 5), (None, 2, 6)];
        check(PresentKeys::new(), keys, vec![(text("a"), 1, 5)]);
        let values = vec![(1, Some(text("a")), 5), (2, None, 6)];
        check(PresentValues::new(), values, vec![(1, text("a"), 5)]);
        let pairs = vec![(Some(1), Some(text("a")), 5), (None, Some(text("b")), 6), (Some(2), None, 7)];
        check(PresentPairs::new(), pairs, vec![(1, text("a"), 5)]);
    }
}

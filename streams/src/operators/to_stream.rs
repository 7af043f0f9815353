//! A table's updates as a stream.

use std::marker::PhantomData;

use crate::data::Item;
use crate::error::Result;
use crate::processor::{Change, Forward, InFlight, Operator, Part};

/// Every update; a deletion is `None`.
pub(crate) struct ToStream<K, V>(PhantomData<fn(K, V)>);

/// Every update that is no deletion.
pub(crate) struct Updates<K, V>(PhantomData<fn(K, V)>);

impl<K, V> ToStream<K, V> {
    pub(crate) fn new() -> Self {
        ToStream(PhantomData)
    }
}

impl<K, V> Updates<K, V> {
    pub(crate) fn new() -> Self {
        Updates(PhantomData)
    }
}

impl<K: Item, V: Item> Operator for ToStream<K, V> {
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K;
    type ValueOut = Option<V>;

    #[inline]
    fn process(
        &mut self,
        record: InFlight<'_, K, Change<V>>,
        out: &mut Forward<'_, '_, K, Option<V>>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let new = match value {
            Part::Owned(slot) => slot.as_mut().and_then(|change| change.new.take()),
            Part::Shared(change) => change.new.clone(),
        };
        out.forward(InFlight { key, value: Part::Owned(&mut Some(new)), timestamp, headers })
    }
}

impl<K: Item, V: Item> Operator for Updates<K, V> {
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K;
    type ValueOut = V;

    #[inline]
    fn process(&mut self, record: InFlight<'_, K, Change<V>>, out: &mut Forward<'_, '_, K, V>) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        // The new value inside a change lies in a slot already: nothing moves.
        let value = match value {
            Part::Owned(Some(Change { new, .. })) if new.is_some() => Part::Owned(new),
            Part::Shared(Change { new: Some(new), .. }) => Part::Shared(new),
            _ => return Ok(()),
        };
        out.forward(InFlight { key, value, timestamp, headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::check::check;

    #[test]
    fn deletions_are_none_or_left_out() {
        let input = vec![("a", Change::new(Some(1), None), 5), ("a", Change::new(None, Some(1)), 6)];
        check(ToStream::new(), input.clone(), vec![("a", Some(1), 5), ("a", None, 6)]);
        check(Updates::new(), input, vec![("a", 1, 5)]);
    }
}

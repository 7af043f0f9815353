//! Errors as data: parts a stream of `Result` into what went well and what did not.

use std::marker::PhantomData;

use crate::data::Item;
use crate::error::Result;
use crate::processor::{Forward, InFlight, Operator, Part};

/// Forwards what is `Ok`.
pub(crate) struct Successes<K, V, E>(PhantomData<fn(K, V, E)>);

/// Forwards what is `Err`.
pub(crate) struct Errors<K, V, E>(PhantomData<fn(K, V, E)>);

impl<K, V, E> Successes<K, V, E> {
    pub(crate) fn new() -> Self {
        Successes(PhantomData)
    }
}

impl<K, V, E> Errors<K, V, E> {
    pub(crate) fn new() -> Self {
        Errors(PhantomData)
    }
}

impl<K: Item, V: Item, E: Item> Operator for Successes<K, V, E> {
    type KeyIn = K;
    type ValueIn = Result<V, E>;
    type KeyOut = K;
    type ValueOut = V;

    fn process(
        &mut self,
        record: InFlight<'_, K, Result<V, E>>,
        out: &mut Forward<'_, '_, K, V>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        if value.get().is_err() {
            return Ok(());
        }
        let value = &mut value.take().ok();
        out.forward(InFlight { key, value: Part::Owned(value), timestamp, headers })
    }
}

impl<K: Item, V: Item, E: Item> Operator for Errors<K, V, E> {
    type KeyIn = K;
    type ValueIn = Result<V, E>;
    type KeyOut = K;
    type ValueOut = E;

    fn process(
        &mut self,
        record: InFlight<'_, K, Result<V, E>>,
        out: &mut Forward<'_, '_, K, E>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        if value.get().is_ok() {
            return Ok(());
        }
        let value = &mut value.take().err();
        out.forward(InFlight { key, value: Part::Owned(value), timestamp, headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::check::check;

    #[test]
    fn each_side_gets_its_own() {
        let input = vec![("a", Ok(1), 5), ("b", Err("bad".to_string()), 6)];
        check(Successes::new(), input.clone(), vec![("a", 1, 5)]);
        check(Errors::new(), input, vec![("b", "bad".to_string(), 6)]);
    }
}

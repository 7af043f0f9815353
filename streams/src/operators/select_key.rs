//! Gives each record another key.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::data::Item;
use crate::error::Result;
use crate::processor::{Forward, InFlight, Operator, Part};

/// Forwards the record under the key that `selector` picks.
pub(crate) struct SelectKey<K, V, F> {
    selector: Arc<F>,
    types: PhantomData<fn(K, V)>,
}

impl<K, V, F> SelectKey<K, V, F> {
    pub(crate) fn new(selector: Arc<F>) -> Self {
        SelectKey { selector, types: PhantomData }
    }
}

impl<K: Item, V: Item, K2: Item, F> Operator for SelectKey<K, V, F>
where
    F: Fn(&K, &V) -> K2 + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K2;
    type ValueOut = V;

    #[inline]
    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, K2, V>) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let key = &mut Some((self.selector)(key.get(), value.get()));
        out.forward(InFlight { key: Part::Owned(key), value, timestamp, headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::check::check;

    #[test]
    fn the_value_becomes_the_key() {
        let by_value = |_: &i32, v: &String| v.clone();
        check(
            SelectKey::new(Arc::new(by_value)),
            vec![(1, "a".into(), 2)],
            vec![("a".to_string(), "a".to_string(), 2)],
        );
    }
}

//! Looks at records: `peek` passes them on, `for_each` ends the stream.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::data::Item;
use crate::error::Result;
use crate::processor::{Forward, InFlight, Nothing, Operator};

/// Shows each record to `look`, then forwards it.
pub(crate) struct Peek<K, V, F> {
    look: Arc<F>,
    types: PhantomData<fn(K, V)>,
}

impl<K, V, F> Peek<K, V, F> {
    pub(crate) fn new(look: Arc<F>) -> Self {
        Peek { look, types: PhantomData }
    }
}

impl<K: Item, V: Item, F: Fn(&K, &V) + Send + Sync> Operator for Peek<K, V, F> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = V;

    #[inline]
    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, K, V>) -> Result<()> {
        (self.look)(record.key.get(), record.value.get());
        out.forward(record)
    }
}

/// Shows each record to `act` and forwards nothing.
pub(crate) struct ForEach<K, V, F> {
    act: Arc<F>,
    types: PhantomData<fn(K, V)>,
}

impl<K, V, F> ForEach<K, V, F> {
    pub(crate) fn new(act: Arc<F>) -> Self {
        ForEach { act, types: PhantomData }
    }
}

impl<K: Item, V: Item, F: Fn(&K, &V) -> Result<()> + Send + Sync> Operator for ForEach<K, V, F> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = Nothing;
    type ValueOut = Nothing;

    #[inline]
    fn process(
        &mut self,
        record: InFlight<'_, K, V>,
        _: &mut Forward<'_, '_, Nothing, Nothing>,
    ) -> Result<()> {
        (self.act)(record.key.get(), record.value.get())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::operators::check::check;

    #[test]
    fn peek_sees_and_passes_on() {
        let seen = Arc::new(AtomicI64::new(0));
        let sum = Arc::clone(&seen);
        let look = move |_: &&str, n: &i64| {
            sum.fetch_add(*n, Ordering::Relaxed);
        };
        check(Peek::new(Arc::new(look)), vec![("a", 3, 1), ("b", 4, 2)], vec![("a", 3, 1), ("b", 4, 2)]);
        // `check` sends each record twice.
        assert_eq!(seen.load(Ordering::Relaxed), 14);
    }
}

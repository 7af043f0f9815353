//! Lets records pass that a predicate accepts.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::data::Item;
use crate::error::Result;
use crate::processor::{Forward, InFlight, Operator};

/// Forwards the records for which `predicate` says `keep`.
pub(crate) struct Filter<K, V, F> {
    predicate: Arc<F>,
    keep: bool,
    types: PhantomData<fn(K, V)>,
}

impl<K, V, F: Fn(&K, &V) -> Result<bool>> Filter<K, V, F> {
    pub(crate) fn new(predicate: Arc<F>, keep: bool) -> Self {
        Filter { predicate, keep, types: PhantomData }
    }
}

impl<K: Item, V: Item, F: Fn(&K, &V) -> Result<bool> + Send + Sync> Operator for Filter<K, V, F> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = V;

    #[inline]
    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, K, V>) -> Result<()> {
        if (self.predicate)(record.key.get(), record.value.get())? == self.keep {
            out.forward(record)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::operators::check::{check, check_drops};
    use crate::processor::DropReason;

    #[test]
    fn a_filter_keeps_what_its_predicate_accepts() {
        let input = vec![("a", 1, 10), ("b", 2, 11)];
        let even = Arc::new(|_: &&str, n: &i32| Ok(n % 2 == 0));
        check(Filter::new(Arc::clone(&even), true), input.clone(), vec![("b", 2, 11)]);
        check(Filter::new(even, false), input, vec![("a", 1, 10)]);
    }

    #[test]
    fn a_failing_predicate_asks_the_policy() {
        let odd = |_: &&str, n: &i32| if n % 2 == 1 { Ok(true) } else { Err(Error::record("even")) };
        let input = vec![("a", 1, 10), ("b", 2, 11), ("c", 3, 12)];
        let output = vec![("a", 1, 10), ("c", 3, 12)];
        check_drops(Filter::new(Arc::new(odd), true), input, output, &[(DropReason::Failed, 1)]);
    }
}

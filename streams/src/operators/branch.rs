//! Sends each record to the first branch whose predicate accepts it.

use std::sync::Arc;

use crate::data::Item;
use crate::error::Result;
use crate::processor::{Forward, InFlight, Operator};

/// Whether a branch takes a record.
pub(crate) type Predicate<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// One predicate a child, in the children's order; a child without one takes what no other took.
pub(crate) struct Branch<K, V> {
    branches: Vec<Option<Predicate<K, V>>>,
}

impl<K, V> Branch<K, V> {
    pub(crate) fn new(branches: Vec<Option<Predicate<K, V>>>) -> Self {
        Branch { branches }
    }
}

impl<K: Item, V: Item> Operator for Branch<K, V> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = V;

    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, K, V>) -> Result<()> {
        let (key, value) = (record.key.get(), record.value.get());
        let accepts =
            |branch: &Option<Predicate<K, V>>| branch.as_ref().is_some_and(|accepts| accepts(key, value));
        let taken = self.branches.iter().position(accepts);
        match taken.or_else(|| self.branches.iter().position(Option::is_none)) {
            Some(child) => out.forward_to(child, record),
            None => Ok(()),
        }
    }
}

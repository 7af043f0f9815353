//! Passes records on: where streams merge, and where a split begins with nothing to decide.

use std::marker::PhantomData;

use crate::error::Result;
use crate::processor::{Forward, InFlight, Operator};

/// Forwards every record as it is.
pub(crate) struct Pass<K, V>(PhantomData<fn(K, V)>);

impl<K, V> Pass<K, V> {
    pub(crate) fn new() -> Self {
        Pass(PhantomData)
    }
}

impl<K: 'static, V: 'static> Operator for Pass<K, V> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = V;

    #[inline]
    fn process(&mut self, record: InFlight<'_, K, V>, out: &mut Forward<'_, '_, K, V>) -> Result<()> {
        out.forward(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::check::check;

    #[test]
    fn nothing_changes() {
        check(Pass::new(), vec![("a", 1, 2)], vec![("a", 1, 2)]);
    }
}

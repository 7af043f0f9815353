//! Joins the left row with the right one that an answer brings, unless the answer is stale.

use std::marker::PhantomData;
use std::sync::Arc;

use super::value_hash::value_hash;
use super::{Codec, Response};
use crate::data::Item;
use crate::error::Result;
use crate::operators::TableGetter;
use crate::processor::{DropReason, Forward, InFlight, Operator, Part};

/// Makes the joined row, or its deletion.
pub(crate) struct Resolve<K, V, VO, R, F> {
    left_rows: Box<dyn TableGetter<K, V>>,
    /// Left rows without a right one have a result too.
    left: bool,
    left_value: Codec<V>,
    right_value: Codec<VO>,
    joiner: Arc<F>,
    types: PhantomData<fn(R)>,
}

impl<K, V, VO, R, F> Resolve<K, V, VO, R, F> {
    pub(crate) fn new(
        left_rows: Box<dyn TableGetter<K, V>>,
        left: bool,
        (left_value, right_value): (Codec<V>, Codec<VO>),
        joiner: Arc<F>,
    ) -> Self {
        Resolve { left_rows, left, left_value, right_value, joiner, types: PhantomData }
    }
}

impl<K: Item, V: Item, VO: Item, R: Item, F> Operator for Resolve<K, V, VO, R, F>
where
    F: Fn(&K, &V, Option<&VO>) -> Option<R> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = Response;
    type KeyOut = K;
    type ValueOut = Option<R>;

    fn process(
        &mut self,
        record: InFlight<'_, K, Response>,
        out: &mut Forward<'_, '_, K, Option<R>>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let response = value.get();
        let current = self.left_rows.get(key.get(), None, out.context())?;
        let current = current.map(|(left, _)| left);
        let hash = match &current {
            Some(left) => Some(value_hash(&self.left_value.bytes(left)?)),
            None => None,
        };
        if hash != response.hash {
            // The row has changed since it asked: another answer is on its way.
            out.context().drop_record(DropReason::Stale);
            return Ok(());
        }
        let right = response.right.as_ref().map(|right| self.right_value.read(right)).transpose()?;
        let joined = match (&current, &right) {
            (Some(left), Some(_)) => (self.joiner)(key.get(), left, right.as_ref()),
            (Some(left), None) if self.left => (self.joiner)(key.get(), left, None),
            _ => None,
        };
        let value = &mut Some(joined);
        out.forward(InFlight { key, value: Part::Owned(value), timestamp, headers })
    }
}

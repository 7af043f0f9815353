//! Answers a subscription with the right row as it is now.

use std::marker::PhantomData;

use bytes::Bytes;

use super::subscription::{Instruction, Subscription};
use super::{Codec, Response};
use crate::data::Item;
use crate::error::Result;
use crate::operators::TableGetter;
use crate::processor::{Forward, InFlight, Operator, Part};

/// Looks up the right row of each subscription and sends what the subscription asks for.
pub(crate) struct Answer<K, KO, VO> {
    right: Box<dyn TableGetter<KO, VO>>,
    left_key: Codec<K>,
    right_value: Codec<VO>,
    types: PhantomData<fn(K)>,
}

impl<K, KO, VO> Answer<K, KO, VO> {
    pub(crate) fn new(
        right: Box<dyn TableGetter<KO, VO>>,
        left_key: Codec<K>,
        right_value: Codec<VO>,
    ) -> Self {
        Answer { right, left_key, right_value, types: PhantomData }
    }
}

impl<K: Item, KO: Item, VO: Item> Operator for Answer<K, KO, VO> {
    type KeyIn = Option<KO>;
    type ValueIn = Subscription;
    type KeyOut = K;
    type ValueOut = Response;

    fn process(
        &mut self,
        record: InFlight<'_, Option<KO>, Subscription>,
        out: &mut Forward<'_, '_, K, Response>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let subscription = value.get();
        let found = match key.get() {
            Some(foreign_key) => self.right.get(foreign_key, None, out.context())?,
            None => None,
        };
        let timestamp = found.as_ref().map_or(timestamp, |(_, at)| timestamp.max(*at));
        let found = match subscription.instruction {
            Instruction::Delete => return Ok(()),
            Instruction::KeepIfThere if found.is_none() => return Ok(()),
            Instruction::DeleteAndAnswer => None,
            Instruction::Keep | Instruction::KeepIfThere => found,
        };
        let right = found.map(|(right, _)| self.right_value.bytes(&right)).transpose()?.map(Bytes::from);
        let response = Response { hash: subscription.hash, right, partition: subscription.partition };
        let left_key = self.left_key.read(&subscription.left_key)?;
        let (key, value) = (&mut Some(left_key), &mut Some(response));
        out.forward(InFlight { key: Part::Owned(key), value: Part::Owned(value), timestamp, headers })
    }
}

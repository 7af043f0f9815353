//! Tells all left rows that have subscribed to a right row of its change.

use std::marker::PhantomData;

use bytes::Bytes;

use super::subscription::{Subscription, store_prefix};
use super::{Codec, Response};
use crate::data::Item;
use crate::error::{Error, ErrorKind, Result};
use crate::processor::{Change, DropReason, Forward, InFlight, NodeInit, Operator, Part};
use crate::state::KeyValueState;

/// Sends a right row's new value to each of its subscribers, in the order of their keys.
pub(crate) struct FanOut<K, KO, VO> {
    store: usize,
    left_key: Codec<K>,
    foreign: Codec<KO>,
    right_value: Codec<VO>,
    types: PhantomData<fn(K, VO)>,
}

impl<K, KO, VO> FanOut<K, KO, VO> {
    pub(crate) fn new(
        init: &NodeInit<'_>,
        store: &str,
        (left_key, foreign, right_value): (Codec<K>, Codec<KO>, Codec<VO>),
    ) -> Result<Self> {
        Ok(FanOut { store: init.store(store)?, left_key, foreign, right_value, types: PhantomData })
    }
}

impl<K: Item, KO: Item, VO: Item> Operator for FanOut<K, KO, VO> {
    type KeyIn = KO;
    type ValueIn = Change<VO>;
    type KeyOut = K;
    type ValueOut = Response;

    fn process(
        &mut self,
        record: InFlight<'_, KO, Change<VO>>,
        out: &mut Forward<'_, '_, K, Response>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let change = value.get();
        if !change.is_latest {
            out.context().drop_record(DropReason::Late);
            return Ok(());
        }
        let prefix = store_prefix(&self.foreign.bytes(key.get())?);
        let stores = &mut out.context().state.stores;
        let subscribers = stores.typed::<KeyValueState<Bytes, Bytes>>(self.store)?.prefixed(&prefix)?;
        if subscribers.is_empty() {
            return Ok(());
        }
        let right = change.new.as_ref().map(|new| self.right_value.bytes(new)).transpose()?;
        let right = right.map(Bytes::from);
        for (_, subscription) in subscribers {
            // The store holds what `receive` has written.
            let subscription = Subscription::read(&subscription).map_err(|error| {
                Error::new(ErrorKind::Fatal, "the store of subscriptions").with_source(error)
            })?;
            let left_key = self.left_key.read(&subscription.left_key)?;
            let partition = subscription.partition;
            let response = Response { hash: subscription.hash, right: right.clone(), partition };
            let (key, value) = (&mut Some(left_key), &mut Some(response));
            out.forward(InFlight { key: Part::Owned(key), value: Part::Owned(value), timestamp, headers })?;
        }
        Ok(())
    }
}

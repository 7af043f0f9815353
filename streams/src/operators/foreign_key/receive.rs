//! Keeps the subscriptions to foreign keys of this task.

use std::marker::PhantomData;

use bytes::Bytes;

use super::Codec;
use super::subscription::{Instruction, Subscription};
use crate::data::Item;
use crate::error::Result;
use crate::processor::{DropReason, Forward, InFlight, NodeInit, Operator};
use crate::state::KeyValueState;

/// Stores or forgets each subscription, then passes it on.
pub(crate) struct Receive<KO> {
    store: usize,
    foreign: Codec<KO>,
    types: PhantomData<fn(KO)>,
}

impl<KO> Receive<KO> {
    pub(crate) fn new(init: &NodeInit<'_>, store: &str, foreign: Codec<KO>) -> Result<Self> {
        Ok(Receive { store: init.store(store)?, foreign, types: PhantomData })
    }
}

impl<KO: Item> Operator for Receive<KO> {
    type KeyIn = Option<KO>;
    type ValueIn = Subscription;
    type KeyOut = Option<KO>;
    type ValueOut = Subscription;

    fn process(
        &mut self,
        record: InFlight<'_, Option<KO>, Subscription>,
        out: &mut Forward<'_, '_, Option<KO>, Subscription>,
    ) -> Result<()> {
        let subscription = record.value.get();
        match record.key.get() {
            Some(foreign_key) => {
                let key = subscription.store_key(&self.foreign.bytes(foreign_key)?);
                let row = match subscription.instruction {
                    Instruction::Delete | Instruction::DeleteAndAnswer => None,
                    Instruction::Keep | Instruction::KeepIfThere => Some(subscription.bytes()),
                };
                let (stores, mut write) = out.context().stores(record.timestamp, record.headers.encoded());
                let store = stores.typed::<KeyValueState<Bytes, Bytes>>(self.store)?;
                store.put(&key, row.as_ref().map(|row| (row, record.timestamp)), &mut write)?;
            }
            // A left row without a foreign key is answered and not kept.
            None if subscription.instruction == Instruction::Keep => {}
            None => {
                out.context().drop_record(DropReason::NullKey);
                return Ok(());
            }
        }
        out.forward(record)
    }
}

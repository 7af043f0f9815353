//! Subscribes a left row at its foreign key, and ends the subscription at the one that it had before.

use std::marker::PhantomData;
use std::sync::Arc;

use super::Codec;
use super::subscription::{Instruction, Subscription};
use super::value_hash::value_hash;
use crate::data::Item;
use crate::error::Result;
use crate::processor::{Change, DropReason, Forward, InFlight, Operator, Part};

/// Turns updates of the left table into subscriptions.
pub(crate) struct Subscribe<K, V, KO, F> {
    foreign_key: Arc<F>,
    /// Left rows without a right one have a result too.
    left: bool,
    left_key: Codec<K>,
    left_value: Codec<V>,
    foreign: Codec<KO>,
    types: PhantomData<fn(V)>,
}

impl<K, V, KO, F> Subscribe<K, V, KO, F> {
    pub(crate) fn new(
        foreign_key: Arc<F>,
        left: bool,
        (left_key, left_value, foreign): (Codec<K>, Codec<V>, Codec<KO>),
    ) -> Self {
        Subscribe { foreign_key, left, left_key, left_value, foreign, types: PhantomData }
    }
}

/// What is to be sent where.
type Messages<KO> = Vec<(Option<KO>, Instruction)>;

impl<K: Item, V: Item, KO: Item, F> Operator for Subscribe<K, V, KO, F>
where
    F: Fn(&K, &V) -> Result<Option<KO>> + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = Option<KO>;
    type ValueOut = Subscription;

    fn process(
        &mut self,
        record: InFlight<'_, K, Change<V>>,
        out: &mut Forward<'_, '_, Option<KO>, Subscription>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let (key, change) = (key.get(), value.get());
        if !change.is_latest {
            // The versioned table has a later one already.
            out.context().drop_record(DropReason::Late);
            return Ok(());
        }
        let old = change.old.as_ref().map(|old| (self.foreign_key)(key, old)).transpose()?.flatten();
        let new = change.new.as_ref().map(|new| (self.foreign_key)(key, new)).transpose()?.flatten();
        let messages = match self.left {
            true if change.new.is_none() && change.old.is_none() => return Ok(()),
            true => self.left_messages(old, new)?,
            false => {
                if change.new.is_some() && new.is_none() {
                    out.context().drop_record(DropReason::NullKey);
                }
                self.inner_messages(old, new)?
            }
        };
        if messages.is_empty() {
            return Ok(());
        }
        let hash = match &change.new {
            Some(new) => Some(value_hash(&self.left_value.bytes(new)?)),
            None => None,
        };
        let left_key = bytes::Bytes::from(self.left_key.bytes(key)?);
        let partition = Some(out.context().state.partition);
        for (foreign_key, instruction) in messages {
            let subscription = Subscription { instruction, hash, left_key: left_key.clone(), partition };
            let (key, value) = (&mut Some(foreign_key), &mut Some(subscription));
            out.forward(InFlight { key: Part::Owned(key), value: Part::Owned(value), timestamp, headers })?;
        }
        Ok(())
    }
}

impl<K: Item, V: Item, KO: Item, F> Subscribe<K, V, KO, F> {
    /// Every left row wants an answer, one without a foreign key too: it lies in some partition, under no key.
    fn left_messages(&self, old: Option<KO>, new: Option<KO>) -> Result<Messages<KO>> {
        let mut messages = Vec::with_capacity(2);
        if let Some(old) = old
            && self.differ(&old, new.as_ref())?
        {
            messages.push((Some(old), Instruction::Delete));
        }
        messages.push((new, Instruction::Keep));
        Ok(messages)
    }

    fn inner_messages(&self, old: Option<KO>, new: Option<KO>) -> Result<Messages<KO>> {
        Ok(match (old, new) {
            (None, None) => Vec::new(),
            (Some(old), None) => vec![(Some(old), Instruction::DeleteAndAnswer)],
            // If there is no right row there was no result.
            (None, Some(new)) => vec![(Some(new), Instruction::KeepIfThere)],
            // If there is no right row the result that there may have been is to go.
            (Some(old), Some(new)) if self.differ(&old, Some(&new))? => {
                vec![(Some(old), Instruction::Delete), (Some(new), Instruction::Keep)]
            }
            (Some(_), Some(new)) => vec![(Some(new), Instruction::KeepIfThere)],
        })
    }

    fn differ(&self, old: &KO, new: Option<&KO>) -> Result<bool> {
        let new = new.map(|new| self.foreign.bytes(new)).transpose()?;
        Ok(new.as_deref() != Some(self.foreign.bytes(old)?.as_slice()))
    }
}

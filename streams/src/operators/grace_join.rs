//! A join of a stream with a table that lets records wait until the table has caught up with them.

use crate::data::Nullable;
use crate::error::Result;
use crate::processor::{Forward, InFlight, MemoId, NodeInit, Operator, Origin, Part};
use crate::state::GraceState;

/// How long records wait, and where.
#[derive(Clone, Debug)]
pub(crate) struct Grace {
    pub(crate) store: String,
    pub(crate) grace_ms: i64,
}

/// Keeps records until the stream's time has passed theirs by the grace, then joins them as `join` does. A record that is
/// older than that when it comes is joined at once, and so is one that cannot wait because it lacks a key or a value.
pub(crate) struct GraceJoin<J> {
    join: J,
    store: usize,
    grace_ms: i64,
    /// The highest time of the records that have waited.
    observed: MemoId,
    sequence: MemoId,
}

impl<J> GraceJoin<J> {
    pub(crate) fn new(init: &mut NodeInit<'_>, join: J, grace: &Grace) -> Result<Self> {
        let (store, observed) = (init.store(&grace.store)?, init.observed_time());
        let sequence = format!("{}.sequence", init.name);
        let sequence = init.memos.register(&sequence);
        Ok(GraceJoin { join, store, grace_ms: grace.grace_ms, observed, sequence })
    }
}

impl<K: Nullable, V: Nullable, J: Operator<KeyIn = K, ValueIn = V>> Operator for GraceJoin<J> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = J::KeyOut;
    type ValueOut = J::ValueOut;

    fn process(
        &mut self,
        record: InFlight<'_, K, V>,
        out: &mut Forward<'_, '_, J::KeyOut, J::ValueOut>,
    ) -> Result<()> {
        let memos = &mut out.context().state.memos;
        let timestamp = record.timestamp;
        let is_old = timestamp < memos.get(self.observed).saturating_sub(self.grace_ms);
        let (Some(key), Some(value), false) =
            (record.key.get().as_present(), record.value.get().as_present(), is_old)
        else {
            return self.join.process(record, out);
        };
        let observed = memos.raise(self.observed, timestamp);
        let sequence = (memos.get(self.sequence).max(0) + 1) & 0x7fff_ffff;
        memos.set(self.sequence, sequence);
        let (stores, mut write) = out.context().stores(timestamp, record.headers.encoded());
        let buffer = stores.typed::<GraceState<K::Present, V::Present>>(self.store)?;
        buffer.add(key, value, sequence as u32, &mut write)?;
        for due in buffer.due(observed.saturating_sub(self.grace_ms))? {
            let waited = &due.record;
            let origin = Origin {
                topic: waited.topic.as_ref(),
                partition: waited.partition,
                offset: waited.offset,
                headers: waited.headers.encoded(),
                ..Origin::none()
            };
            let key = &mut Some(K::from_present(due.key.clone()));
            let value = &mut Some(V::from_present(due.value.clone()));
            let joined = out.under(origin, |out| {
                let (key, value) = (Part::Owned(key), Part::Owned(value));
                let (timestamp, headers) = (waited.timestamp, &waited.headers);
                self.join.process(InFlight { key, value, timestamp, headers }, out)
            });
            let (stores, mut write) = out.context().stores(waited.timestamp, &[]);
            let buffer = stores.typed::<GraceState<K::Present, V::Present>>(self.store)?;
            buffer.remove(&due, &mut write)?;
            joined?;
        }
        Ok(())
    }
}

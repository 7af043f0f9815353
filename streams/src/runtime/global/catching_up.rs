//! How far the reader still is to where the topics of global stores ended when it began; the restore listener is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_client::TopicPartition;

use super::Positions;
use super::opening::Bounds;
use crate::runtime::restore_listener::{RestoreEvent, RestoreListener, RestorePlace};
use crate::state::Globals;

/// Partitions that are not read to their end yet.
pub(super) struct CatchingUp {
    listener: Option<RestoreListener>,
    left: BTreeMap<TopicPartition, Left>,
}

struct Left {
    /// The stores that it feeds.
    stores: Vec<Arc<str>>,
    /// Where it ended.
    to: i64,
    /// Read so far.
    records: u64,
}

impl CatchingUp {
    /// All partitions, which are read from these positions to their ends in `bounds`.
    pub(super) fn begin(
        positions: &Positions,
        bounds: &Bounds,
        globals: &Globals,
        listener: Option<RestoreListener>,
    ) -> Self {
        let left = bounds.iter().map(|(partition, (_, to))| {
            let fed = globals.rows().filter(|(store, _)| globals.feeds(&partition.topic, store));
            let stores = fed.map(|(store, _)| Arc::clone(store)).collect();
            (partition.clone(), Left { stores, to: *to, records: 0 })
        });
        let mut catching_up = CatchingUp { listener, left: left.collect() };
        for (partition, from) in positions {
            if let Some(left) = catching_up.left.get(partition) {
                let to = left.to;
                catching_up.tell(partition, left, |place| RestoreEvent::Start { place, from: *from, to });
            }
            catching_up.end_at(partition, *from);
        }
        catching_up
    }

    /// Records of a partition have been applied, and it is read on from `next`.
    pub(super) fn applied(&mut self, partition: &TopicPartition, next: i64, records: u64) {
        if let Some(left) = self.left.get_mut(partition) {
            left.records += records;
        }
        if let Some(left) = self.left.get(partition) {
            self.tell(partition, left, |place| RestoreEvent::Batch { place, next, records });
        }
        self.end_at(partition, next);
    }

    /// Whether all is there.
    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// It ends before all is there.
    pub(super) fn suspend(&mut self) {
        for (partition, left) in std::mem::take(&mut self.left) {
            self.tell(&partition, &left, |place| RestoreEvent::Suspended { place, records: left.records });
        }
    }

    /// Nothing is left of a partition if it is read up to its end.
    fn end_at(&mut self, partition: &TopicPartition, next: i64) {
        if self.left.get(partition).is_some_and(|left| next >= left.to)
            && let Some(left) = self.left.remove(partition)
        {
            self.tell(partition, &left, |place| RestoreEvent::End { place, records: left.records });
        }
    }

    fn tell(&self, of: &TopicPartition, left: &Left, event: impl Fn(RestorePlace) -> RestoreEvent) {
        let Some(listener) = &self.listener else { return };
        for store in &left.stores {
            let (store, topic) = (Arc::clone(store), Arc::clone(&of.topic));
            listener(&event(RestorePlace { task: None, store, topic, partition: of.partition }));
        }
    }
}

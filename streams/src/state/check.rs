//! How stores are tested: one store, and what it writes to its changelog.

use std::any::Any;
use std::sync::Arc;

use anabranch_state_store::{Checkpoint, MemoryEngine};

use super::{EngineSlot, StoreInit, StoreSupplier, TaskStore, WriteContext};
use crate::error::Result;
use crate::outbox::{OutRecord, OutTopic, OutTopics, Outbox};

/// A record of the changelog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) timestamp: Option<i64>,
    pub(super) headers: Vec<u8>,
}

#[derive(Default)]
struct Log(Vec<Logged>);

impl Outbox for Log {
    fn partition_count(&mut self, _: &OutTopic) -> Result<i32> {
        Ok(1)
    }

    fn append(&mut self, _: &OutTopic, _: Option<i32>, record: OutRecord<'_>) -> Result<()> {
        self.0.push(Logged {
            key: record.key.unwrap().to_vec(),
            value: record.value.map(<[u8]>::to_vec),
            timestamp: record.timestamp,
            headers: record.headers.to_vec(),
        });
        Ok(())
    }
}

/// Numbers from a seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as i64 % bound
    }
}

/// A store, not cached, that is logged; in memory unless it says otherwise.
pub(super) struct Tested<S> {
    pub(super) store: S,
    log: Log,
}

impl<S: TaskStore> Tested<S> {
    pub(super) fn new(supplier: &StoreSupplier) -> Self {
        Tested::make(supplier, None)
    }

    /// A store whose rows are kept by an engine: those that it has, and the log that they come from.
    pub(super) fn kept(supplier: &StoreSupplier, engine: &MemoryEngine, log: &[Logged]) -> Self {
        let slot = EngineSlot { engine: Arc::new(engine.clone()), name: "0_0-store".to_owned() };
        let mut tested = Tested::<S>::make(supplier, Some(slot));
        tested.log.0 = log.to_vec();
        tested
    }

    fn make(supplier: &StoreSupplier, engine: Option<EngineSlot>) -> Self {
        let init = StoreInit {
            name: "store".into(),
            topic: "app-store-changelog".into(),
            changelog: Some(OutTopics::default().intern("app-store-changelog").clone()),
            cached: false,
            engine,
            shared: None,
            kept: Default::default(),
        };
        let made: Box<dyn Any> = supplier.make(&init).unwrap();
        Tested { store: *made.downcast().unwrap(), log: Log::default() }
    }

    /// A store that is brought back by a changelog.
    pub(super) fn restored(supplier: &StoreSupplier, log: &[Logged]) -> Self {
        let mut tested = Tested::<S>::new(supplier);
        for Logged { key, value, timestamp, headers } in log {
            tested.store.restore(key, value.as_deref(), timestamp.unwrap_or(-1), headers).unwrap();
        }
        tested.log.0 = log.to_vec();
        tested
    }

    /// Restores what its engine does not reflect of the log: if that is all of it, it may put its rows aside.
    pub(super) fn catch_up(&mut self, log: &[Logged], random: &mut Random) {
        let reflected = self.store.reflected().map_or(0, |checkpoint| checkpoint.offset + 1);
        assert!(reflected <= log.len() as i64, "ahead of the changelog");
        if reflected == 0 && random.below(4) > 0 {
            self.store.begin_restore().unwrap();
        }
        for Logged { key, value, timestamp, headers } in &log[reflected as usize..] {
            self.store.restore(key, value.as_deref(), timestamp.unwrap_or(-1), headers).unwrap();
            if random.below(40) == 0 {
                self.store.evict(random.below(10_000) as usize).unwrap();
            }
        }
        let end = Checkpoint { offset: log.len() as i64 - 1, wall_clock_ms: 0 };
        self.store.restored_to(end).unwrap();
        while !self.store.end_restore().unwrap() {}
    }

    /// Acts on the store as if a record of this time were processed: offset 9 of `in-3`, with a header.
    pub(super) fn at<R>(
        &mut self,
        timestamp: i64,
        act: impl FnOnce(&mut S, &mut WriteContext<'_>) -> Result<R>,
    ) -> R {
        let topic: Arc<str> = "in".into();
        let mut write = WriteContext {
            outbox: &mut self.log,
            task_partition: 0,
            timestamp,
            headers: &[2, 2, b'h', 2, b'1'],
            topic: Some(&topic),
            partition: 3,
            offset: 9,
        };
        act(&mut self.store, &mut write).unwrap()
    }

    pub(super) fn seal(&mut self) {
        self.at(-1, |store, write| store.seal(write));
    }

    pub(super) fn commit(&mut self) {
        self.seal();
        self.store.commit().unwrap();
    }

    /// Forgets what was logged behind `length` records: it was aborted.
    pub(super) fn forget(&mut self, length: usize) {
        self.log.0.truncate(length);
    }

    pub(super) fn log(&self) -> &[Logged] {
        &self.log.0
    }
}

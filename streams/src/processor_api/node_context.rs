//! What the contexts of processors share: the way down, the stores, the clocks.

use super::needs::Places;
use super::{Cancellable, ChildRef, GlobalStoreRef, StoreRef};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::headers::Headers;
use crate::processor::{Forward, InFlight, Part, TaskId};
use crate::record::RecordMetadata;
use crate::state::{GlobalStore, ReadableStore, StoreAccess};

/// Where the task keeps what the maker has asked for, by the place of the wish.
#[derive(Debug)]
pub(super) struct Wiring {
    /// Its name.
    pub(super) node: Box<str>,
    pub(super) task_id: TaskId,
    /// Its stores.
    pub(super) places: Places,
    /// Places among the node's children.
    pub(super) children: Vec<usize>,
    /// Ids of punctuations in the task.
    pub(super) punctuations: Vec<usize>,
}

/// A node while it processes a record, or a punctuation.
pub(super) struct NodeContext<'a, K, V> {
    pub(super) out: Forward<'a, 'a, K, V>,
    pub(super) wiring: &'a Wiring,
    /// Of the record that is processed, or of the punctuation.
    pub(super) timestamp: i64,
    pub(super) headers: &'a Headers,
    /// What a node below could not settle. It is told when the processor returns; until then nothing more is forwarded.
    pub(super) failed: Option<Error>,
}

/// Why a reference always fits.
const OWN: &str = "a reference is used by the processor whose maker has asked for it";

impl<K: 'static, V: 'static> NodeContext<'_, K, V> {
    pub(super) fn store<S: ReadableStore>(&mut self, store: StoreRef<S>) -> S::Store<'_> {
        let index = *self.wiring.places.stores.get(store.place as usize).expect(OWN);
        let (stores, write) = self.out.context().stores(self.timestamp, self.headers.encoded());
        // Its kind was checked when the node was made.
        S::face(StoreAccess { stores, index, write }).expect(OWN)
    }

    pub(super) fn global_store<GK: Data, GV: Data>(
        &mut self,
        store: GlobalStoreRef<GK, GV>,
    ) -> GlobalStore<'_, GK, GV> {
        let index = *self.wiring.places.globals.get(store.place as usize).expect(OWN);
        let (stores, write) = self.out.context().stores(self.timestamp, self.headers.encoded());
        // Its kind was checked when the node was made.
        GlobalStore::of(StoreAccess { stores, index, write }).expect(OWN)
    }

    pub(super) fn forward(
        &mut self,
        child: Option<ChildRef>,
        key: K,
        value: V,
        timestamp: i64,
        headers: &Headers,
    ) {
        if self.failed.is_some() {
            return;
        }
        let sent = self.try_forward(child, key, value, timestamp, headers);
        self.failed = sent.err();
    }

    fn try_forward(
        &mut self,
        child: Option<ChildRef>,
        key: K,
        value: V,
        timestamp: i64,
        headers: &Headers,
    ) -> Result<()> {
        if timestamp < 0 {
            return Err(Error::record(format_args!(
                "a record of the negative time {timestamp} is forwarded"
            )));
        }
        let (mut key, mut value) = (Some(key), Some(value));
        let (key, value) = (Part::Owned(&mut key), Part::Owned(&mut value));
        let record = InFlight { key, value, timestamp, headers };
        match child {
            None => self.out.forward(record),
            Some(child) => {
                let child = *self.wiring.children.get(child.0 as usize).expect(OWN);
                self.out.forward_to(child, record)
            }
        }
    }

    /// What the call has come to: what could not be forwarded counts more than what the processor says of it.
    pub(super) fn settle(self, result: Result<()>) -> Result<()> {
        match self.failed {
            Some(error) => Err(error),
            None => result,
        }
    }

    pub(super) fn stream_time(&mut self) -> i64 {
        self.out.context().state.stream_time
    }

    pub(super) fn wall_clock_time(&mut self) -> i64 {
        self.out.context().state.wall_clock_ms
    }

    pub(super) fn record_metadata(&mut self) -> Option<RecordMetadata> {
        let origin = &self.out.context().origin;
        origin.topic.map(|_| origin.metadata())
    }

    pub(super) fn request_commit(&mut self) {
        self.out.context().state.commit_requested = true;
    }

    pub(super) fn cancel(&mut self, punctuation: Cancellable) {
        let id = *self.wiring.punctuations.get(punctuation.0 as usize).expect(OWN);
        let state = &mut *self.out.context().state;
        state.punctuations.cancel(id, &mut state.memos);
    }
}

//! What a processor is given with each record and each punctuation.

use super::node_context::NodeContext;
use super::{Cancellable, ChildRef, FixedKeyProcessor, GlobalStoreRef, Processor, StoreRef};
use crate::data::Data;
use crate::processor::TaskId;
use crate::record::{FixedKeyRecord, Record, RecordMetadata};
use crate::state::{GlobalStore, ReadableStore};

macro_rules! context {
    ($(#[$doc:meta])* $name:ident, $processor:ident, $key:ident, $record:ident) => {
        $(#[$doc])*
        pub struct $name<'a, P: $processor> {
            pub(super) node: NodeContext<'a, P::$key, P::ValueOut>,
        }

        impl<P: $processor> $name<'_, P> {
            /// A store that the maker has asked for. What it gives are snapshots: they borrow neither store nor context.
            pub fn store<S: ReadableStore>(&mut self, store: StoreRef<S>) -> S::Store<'_> {
                self.node.store(store)
            }

            /// A global store that the maker has asked for, to be read. What it gives are snapshots.
            pub fn global_store<GK: Data, GV: Data>(
                &mut self,
                store: GlobalStoreRef<GK, GV>,
            ) -> GlobalStore<'_, GK, GV> {
                self.node.global_store(store)
            }

            /// Sends a record to all nodes that follow.
            ///
            /// If one of them fails and the error policy says to stop, nothing more is forwarded and the task stops as
            /// soon as the processor returns.
            pub fn forward(&mut self, record: $record<P::$key, P::ValueOut>) {
                let $record { key, value, timestamp, headers } = record;
                self.node.forward(None, key, value, timestamp, &headers);
            }

            /// Sends a record to one of the nodes that follow.
            pub fn forward_to(&mut self, child: ChildRef, record: $record<P::$key, P::ValueOut>) {
                let $record { key, value, timestamp, headers } = record;
                self.node.forward(Some(child), key, value, timestamp, &headers);
            }

            /// The highest time of the records that the task has processed; -1 before the first.
            pub fn stream_time(&mut self) -> i64 {
                self.node.stream_time()
            }

            /// What the wall clock shows, in milliseconds since 1970; it stands while a record is processed.
            pub fn wall_clock_time(&mut self) -> i64 {
                self.node.wall_clock_time()
            }

            /// Where the record that is processed was read from; `None` in a punctuation.
            pub fn record_metadata(&mut self) -> Option<RecordMetadata> {
                self.node.record_metadata()
            }

            /// Asks for a commit as soon as it can be.
            pub fn request_commit(&mut self) {
                self.node.request_commit();
            }

            /// Ends a punctuation: it is not called again, unless an abort takes this call back.
            pub fn cancel(&mut self, punctuation: Cancellable) {
                self.node.cancel(punctuation);
            }

            /// The task that the processor belongs to.
            pub fn task_id(&self) -> TaskId {
                self.node.wiring.task_id
            }
        }
    };
}

context! {
    /// What a [`Processor`] is given with each record, at its start, and in its punctuations.
    ProcessorContext, Processor, KeyOut, Record
}
context! {
    /// What a [`FixedKeyProcessor`] is given with each record, at its start, and in its punctuations.
    FixedKeyContext, FixedKeyProcessor, Key, FixedKeyRecord
}

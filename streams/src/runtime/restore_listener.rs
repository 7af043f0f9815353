//! Who is told how state comes back, and how copies of it are followed: for progress bars, logs and watches.

use std::sync::Arc;

use crate::processor::TaskId;

/// Which store, and from where it comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestorePlace {
    /// The task that has the store; none has a global one, which comes back from each partition of its topic.
    pub task: Option<TaskId>,
    /// The store.
    pub store: Arc<str>,
    /// The topic that brings it back.
    pub topic: Arc<str>,
    /// The topic's partition.
    pub partition: i32,
}

/// What happens while state comes back, store by store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreEvent {
    /// It begins at this offset; the topic ends here for now.
    Start {
        /// Where.
        place: RestorePlace,
        /// The first offset to be read.
        from: i64,
        /// The offset behind the last one to be read.
        to: i64,
    },
    /// Some of it is there.
    Batch {
        /// Where.
        place: RestorePlace,
        /// The next offset to be read.
        next: i64,
        /// Records just applied.
        records: u64,
    },
    /// All of it is there.
    End {
        /// Where.
        place: RestorePlace,
        /// Records applied in all.
        records: u64,
    },
    /// The task has gone to another instance before all was there, or the instance ends.
    Suspended {
        /// Where.
        place: RestorePlace,
        /// Records applied in all.
        records: u64,
    },
}

/// What happens while a standby follows the state of a task that runs elsewhere, store by store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandbyEvent {
    /// It begins to follow at this offset.
    Start {
        /// Where.
        place: RestorePlace,
        /// The first offset to be read.
        from: i64,
    },
    /// Some of it is there.
    Batch {
        /// Where.
        place: RestorePlace,
        /// The next offset to be read.
        next: i64,
        /// Records just applied.
        records: u64,
        /// Where the topic ended when that was fetched.
        end: i64,
    },
    /// It is followed no more.
    Suspended {
        /// Where.
        place: RestorePlace,
        /// The next offset to be read.
        next: i64,
        /// Where the topic ended when it was last seen.
        end: i64,
        /// Why.
        reason: SuspendReason,
    },
}

/// Why a standby follows no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuspendReason {
    /// The copy has gone to another instance, or its instance ends.
    Migrated,
    /// The task runs here from now on.
    Promoted,
}

/// Told of all of it, on the thread of the worker or of the reader of global stores: it must be quick.
pub(crate) type RestoreListener = Arc<dyn Fn(&RestoreEvent) + Send + Sync>;
/// As [`RestoreListener`].
pub(crate) type StandbyListener = Arc<dyn Fn(&StandbyEvent) + Send + Sync>;

/// Who is told of what.
#[derive(Clone, Default)]
pub(crate) struct Listeners {
    pub(crate) restore: Option<RestoreListener>,
    pub(crate) standby: Option<StandbyListener>,
}

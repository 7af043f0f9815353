//! Who is told how state comes back: for progress bars and logs.

use std::sync::Arc;

use crate::processor::TaskId;

/// Which store of which task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestorePlace {
    /// The task.
    pub task: TaskId,
    /// The store.
    pub store: Arc<str>,
    /// The topic that brings it back; its partition is the task's.
    pub topic: Arc<str>,
}

/// What happens while the state of a task comes back, store by store.
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
    /// The task has gone to another instance before all was there.
    Suspended {
        /// Where.
        place: RestorePlace,
        /// Records applied in all.
        records: u64,
    },
}

/// Told of all of it, on the worker's thread: it must be quick.
pub(crate) type RestoreListener = Arc<dyn Fn(&RestoreEvent) + Send + Sync>;

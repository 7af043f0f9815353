//! What a worker and its instance say to each other.

use std::collections::BTreeSet;
use std::sync::Arc;

use anabranch_client::{ClientError, FetchedBatches, GroupMetadata, TopicPartition};
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Result};
use crate::processor::TaskId;
use crate::runtime::offsets::Offsets;
use crate::runtime::running_task::{Rewind, RunningTask};
use crate::topology::Topology;

/// What can reach a worker. If it cannot do what it is asked for it fails, and there is no answer: what tasks have done that
/// leave is in the same transaction as the work of those that stay.
pub(crate) enum ToWorker {
    /// A task to run; its state is restored first.
    Open(Box<RunningTask>),
    /// A standby is to run; with it comes what is committed for its inputs, and where those begin of which nothing is.
    Promote { task: TaskId, committed: Offsets, beginnings: Offsets },
    /// A task reads these inputs of this topology from now on; with them comes what is committed for those that are new to
    /// it, and where those begin of which nothing is.
    ReadTopics {
        task: TaskId,
        topology: Arc<Topology>,
        inputs: Vec<TopicPartition>,
        committed: Offsets,
        beginnings: Offsets,
    },
    /// These tasks go on as standbys, after a commit.
    Demote { tasks: BTreeSet<TaskId>, reply: oneshot::Sender<()> },
    /// Raw batches of a partition, as they were fetched, and whether it rests behind them: the worker says when it goes on.
    Records { fetched: FetchedBatches, rests: bool },
    /// What comes of the partition from now on is read from where the abort of this number went back to.
    Rewound { partition: TopicPartition, number: u64 },
    /// Another topic has taken the name of the one that this partition was read from.
    BeginAnew { partition: TopicPartition, reply: oneshot::Sender<()> },
    /// These partitions are read from there on, and that is to be committed.
    BeginAt(Offsets),
    /// So many offsets of these partitions are still to be fetched.
    Lags(Vec<(TopicPartition, i64)>),
    /// Stop processing for a while, or go on.
    Sleep(bool),
    /// These tasks go to another worker, after a commit.
    Give { tasks: BTreeSet<TaskId>, reply: oneshot::Sender<Vec<RunningTask>> },
    /// The end of these tasks here, after a commit.
    Close { tasks: BTreeSet<TaskId>, reply: oneshot::Sender<()> },
    /// These tasks belong to another instance already: forget what is not committed.
    Lose { tasks: BTreeSet<TaskId>, reply: oneshot::Sender<()> },
    /// Commit as soon as all input at hand is processed.
    Commit,
    /// Answer once no commit is in flight: what the group has committed by now is committed in the stores too.
    Settle { reply: oneshot::Sender<()> },
    /// A question about a task's stores.
    Ask { task: TaskId, stale: bool, question: Question },
    /// The end, after a commit of everything.
    Stop { reply: oneshot::Sender<Result<()>> },
}

/// Looks at a task's stores between two records; `None` if the task is not here or not yet restored.
pub(crate) type Question = Box<dyn FnOnce(Option<&mut RunningTask>) + Send>;

/// What a worker tells the instance.
pub(crate) enum FromWorker {
    /// A partition holds more than it should; fetch it no more for now.
    Pause(TopicPartition),
    /// It has been worked off.
    Resume(TopicPartition),
    /// A task's state is there: its partitions may be fetched.
    Restored(TaskId),
    /// A task is no longer here: its state does not fit its changelogs any more and must come back from the start.
    Truncated(TaskId),
    /// Offsets to be committed by the group's member.
    Commit { offsets: Offsets, reply: oneshot::Sender<Result<(), ClientError>> },
    /// A transaction is to commit offsets on behalf of the group's member.
    Group { reply: oneshot::Sender<Result<GroupMetadata, ClientError>> },
    /// A transaction has committed offsets.
    Committed,
    /// Read these partitions again, from these offsets.
    Rewind(Vec<Rewind>),
    /// The worker has failed and ends.
    Failed(Error),
}

/// Who tells the instance something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Teller {
    /// A worker, by its number, and by which of the threads it is that have had that number.
    Worker { number: usize, thread: u64 },
    /// The reader of global stores.
    GlobalReader,
}

/// The way from a worker to its instance.
#[derive(Clone)]
pub(crate) struct ToInstance {
    teller: Teller,
    sender: mpsc::UnboundedSender<(Teller, FromWorker)>,
}

impl ToInstance {
    pub(crate) fn new(teller: Teller, sender: mpsc::UnboundedSender<(Teller, FromWorker)>) -> Self {
        ToInstance { teller, sender }
    }

    /// Tells it; false if it is gone, which happens only while a process is torn down.
    pub(crate) fn send(&self, word: FromWorker) -> bool {
        self.sender.send((self.teller, word)).is_ok()
    }
}

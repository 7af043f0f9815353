//! A task of a running application, as its user sees it.

use crate::processor::TaskId;

/// A task of this instance: what Kafka Streams tells as `TaskMetadata` and `LagInfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Which one.
    pub task: TaskId,
    /// It follows the changelogs of a task that another instance runs.
    pub is_standby: bool,
    /// It processes; otherwise its state is being restored, or followed.
    pub is_running: bool,
    /// How many records of its changelogs its stores do not have yet; `None` while nobody knows.
    pub records_behind: Option<u64>,
}

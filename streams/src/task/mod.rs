//! A task: the nodes of a sub-topology for one partition, driven from outside. No async, no clock, no I/O.
//!
//! Who drives it, the runtime's worker or the test driver, does rounds, always in this order:
//!
//! 1. [`Task::enqueue`] what was fetched,
//! 2. [`Task::process`] one record, again and again; what the task writes goes to the outbox as it happens,
//! 3. when a commit is due, [`Task::seal`]: it ends the epoch and says which offsets to commit with which metadata. The
//!    next epoch may begin at once, but its outputs must wait until the fate of this one is known,
//! 4. [`Task::commit`] when offsets and outputs of the sealed epoch are safe, or [`Task::abort`] when anything failed:
//!    it undoes all epochs that are not committed, rebuilds the nodes and empties the queues, so that the task can read
//!    again from the last committed offsets.
//!
//! What is due by stream time is called after each record; [`Task::punctuate_by_wall_clock`] calls what is due by the wall
//! clock.
//!
//! Reading order: `record_queue` (records of one partition), `input` (a partition and its head), `offset_metadata`
//! (what is committed beside an offset), `parts` (what a task is made of), `stream_task`, `readiness` (what is waited
//! for), `growth` (what it reads more later on), `punctuate` (what is due by time), `recovery` (how its stores come
//! back, and are read from outside).

mod growth;
mod input;
mod offset_metadata;
mod parts;
mod punctuate;
mod readiness;
mod record_queue;
mod recovery;
mod stream_task;

pub(crate) use input::Input;
pub(crate) use offset_metadata::{OffsetMetadata, noted_id, topic_memo};
pub(crate) use parts::TaskConfig;
pub(crate) use recovery::StoreChangelog;
pub(crate) use stream_task::{Epoch, Task};

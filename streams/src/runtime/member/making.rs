//! What tasks are made of, and how: with the state of earlier runs as long as that fits, and without it if not.

use std::sync::Arc;

use anabranch_client::Client;
use anabranch_state_store::Engine;

use crate::error::{Error, ErrorKind, Result};
use crate::processor::TaskId;
use crate::runtime::assignment::holdings::Role;
use crate::runtime::batch_outbox::{BatchLimits, BatchOutbox};
use crate::runtime::local_state::drop_stores;
use crate::runtime::metrics::Metrics;
use crate::runtime::offsets::Offsets;
use crate::runtime::plan::Plan;
use crate::runtime::restore::Changelogs;
use crate::runtime::restore_listener::Listeners;
use crate::runtime::running_task::{Opening, RunningTask};
use crate::runtime::staleness::Staleness;
use crate::runtime::worker::client_error;
use crate::task::{Task, TaskConfig};

/// Makes the tasks of an instance.
pub(crate) struct TaskMaker {
    pub(crate) client: Client,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) task_config: TaskConfig,
    /// Reads the changelogs.
    pub(crate) changelogs: Changelogs,
    pub(crate) batches: BatchLimits,
    pub(crate) staleness: Staleness,
    pub(crate) listeners: Listeners,
}

impl TaskMaker {
    /// Where state lies on the disk, if it does.
    pub(super) fn engine(&self) -> Option<&Arc<dyn Engine>> {
        self.task_config.engine.as_ref()
    }

    pub(super) fn set_engine(&mut self, engine: Option<Arc<dyn Engine>>) {
        self.task_config.engine = engine;
    }

    /// No more tasks are made.
    pub(super) fn into_engine(self) -> Option<Arc<dyn Engine>> {
        self.task_config.engine
    }

    /// So much memory have the stores that all tasks share.
    pub(super) fn shared_bytes(&self) -> usize {
        self.task_config.globals.rows().map(|(_, rows)| rows.resident_bytes()).sum()
    }

    /// Whether a task with several inputs waits for what the broker still has of them.
    pub(super) fn waits_for_inputs(&self) -> bool {
        self.task_config.max_idle_ms >= 0
    }

    /// Removes what is on the disk of a task.
    ///
    /// # Errors
    /// If the engine fails.
    pub(super) fn drop_stores(&self, id: TaskId) -> Result<()> {
        self.engine().map_or(Ok(()), |engine| drop_stores(&**engine, id))
    }

    /// Makes a task of this plan, which reads nothing yet.
    ///
    /// # Errors
    /// If the plan has none of this name, a supplier fails, the engine does, or no broker says how old state may be.
    pub(super) async fn make(&self, plan: &Plan, id: TaskId) -> Result<Task> {
        let topology = &plan.topology;
        let subtopology = plan.subtopology(id.subtopology);
        let nodes = subtopology.map(|subtopology| subtopology.nodes.clone());
        let nodes = nodes.ok_or_else(|| {
            Error::new(ErrorKind::Migrated, format_args!("task {id} is of another topology"))
        })?;
        let make = || Task::new(Arc::clone(topology), nodes.clone(), id, self.task_config.clone());
        let Some(engine) = self.engine() else { return make() };
        let mut task = match make() {
            Err(error) if error.kind() == ErrorKind::Corrupted => {
                tracing::warn!(task = %id, %error, "its state is restored from the start");
                drop_stores(&**engine, id)?;
                make()?
            }
            made => made?,
        };
        let (stores, now) = (task.restored_from(), self.client.host().wall_clock_ms());
        let is_stale = self.staleness.is_stale(stores, id.partition, now).await;
        if is_stale.map_err(|error| client_error("asking how old a task's state may be", error))? {
            tracing::info!(task = %id, "its state is too old to be caught up with: it is restored from the start");
            drop(task);
            drop_stores(&**engine, id)?;
            task = make()?;
        }
        Ok(task)
    }

    /// A task that a worker can run: with what is committed for its inputs, and where those begin of which nothing is.
    pub(super) fn run(
        &self,
        id: TaskId,
        task: Task,
        role: Role,
        (committed, beginnings): (Offsets, Offsets),
    ) -> RunningTask {
        RunningTask::new(Opening {
            task,
            outbox: BatchOutbox::new(self.client.clone(), self.batches),
            role,
            changelogs: self.changelogs.clone(),
            listeners: self.listeners.clone(),
            metrics: self.metrics.of_task(&id.to_string()),
            committed,
            beginnings,
        })
    }
}

//! The way to a running instance: what its user, its queries and its workers' askers ask of it.
//!
//! One task of the runtime is the group's member (`member`), one pinned loop each worker (`worker`).

use std::sync::Arc;
use std::time::Duration;

use anabranch_client::Client;
use tokio::sync::oneshot;

use super::assignment::user_data::Hosts;
use super::drain;
use super::plan::Plan;
use super::shared::{Command, Shared, TOO_LATE};
use super::state::State;
use super::task_status::TaskStatus;
use super::worker::{Question, ToWorker};
use crate::error::{Error, Result};
use crate::processor::TaskId;
use crate::state::GlobalRows;

/// So long giving up may take: user code that runs where the member does is in its way.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked whether a worker whose answer is awaited is still there.
const LOOK_FOR_WORKER: Duration = Duration::from_millis(100);

/// The way to a running instance. Cheap to clone.
#[derive(Clone)]
pub(crate) struct InstanceHandle {
    pub(super) shared: Arc<Shared>,
}

impl InstanceHandle {
    pub(crate) fn state(&self) -> State {
        *self.shared.state.borrow()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.shared.client
    }

    /// The sub-topology that has a store of this name, and how many tasks it has.
    pub(crate) fn subtopology_of(&self, store: &str) -> Option<(u32, i32)> {
        let plan = self.shared.plan();
        let has = |nodes: &[usize]| plan.topology.stores_of(nodes).into_iter().any(|name| name == store);
        plan.subtopologies.iter().find(|s| has(&s.nodes)).map(|s| (s.id, s.tasks))
    }

    /// The rows of the global store of this name.
    pub(crate) fn global_rows(&self, store: &str) -> Option<Arc<GlobalRows>> {
        let globals = self.shared.globals.lock();
        let mut all = globals.rows();
        all.find(|(name, _)| ***name == *store).map(|(_, rows)| Arc::clone(rows))
    }

    /// The topic that a store is logged to, and its partitions.
    pub(crate) fn changelog_of(&self, store: &str) -> Result<(String, i32)> {
        let (plan, application_id) = (self.shared.plan(), &self.shared.application_id);
        let missing = || Error::invalid(format_args!("the topology has no store named `{store}`"));
        let (_, partitions) = self.subtopology_of(store).ok_or_else(missing)?;
        let changelog = plan.topology.store(store).and_then(|store| store.changelog(application_id));
        let unlogged = || Error::invalid(format_args!("the store `{store}` has no changelog"));
        Ok((changelog.ok_or_else(unlogged)?, partitions))
    }

    /// Where whose state can be asked for, as of the last assignment.
    pub(crate) fn hosts(&self) -> Hosts {
        self.shared.holdings.hosts()
    }

    /// What it counts, as Prometheus reads it.
    pub(crate) fn metrics(&self) -> String {
        self.shared.metrics.expose(self.state(), self.workers().len(), &self.tasks())
    }

    /// What is here, by task.
    pub(crate) fn tasks(&self) -> Vec<TaskStatus> {
        self.shared.holdings.tasks()
    }

    /// Lets the worker that has a task commit as soon as it has processed what is at hand.
    pub(crate) fn hurry(&self, task: TaskId) {
        let worker = self.shared.placed.lock().get(&task).copied();
        if let Some(worker) = worker {
            self.shared.tell(worker, ToWorker::Commit);
        }
    }

    /// What the group runs, as of the last assignment.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.shared.plan()
    }

    pub(crate) fn application_id(&self) -> &str {
        &self.shared.application_id
    }

    /// Asks the worker that has a task, and tells which one it is; a question nobody can answer is dropped, which its
    /// asker sees. Unless it may be `stale`, the answer comes from a task that processes.
    pub(crate) fn ask(&self, task: TaskId, stale: bool, question: Question) -> Option<usize> {
        let worker = self.shared.placed.lock().get(&task).copied();
        match worker {
            Some(worker) => self.shared.tell(worker, ToWorker::Ask { task, stale, question }),
            None => question(None),
        }
        worker
    }

    /// What a worker answers; none if it has ended, or is given up since it does not come back from user code.
    pub(crate) async fn answer_of<T>(&self, worker: usize, mut answer: oneshot::Receiver<T>) -> Option<T> {
        loop {
            let asked = self.shared.client.host().timeout(LOOK_FOR_WORKER, &mut answer).await;
            match asked {
                Ok(answer) => return answer.ok(),
                Err(_) if self.shared.workers.lock().contains_key(&worker) => {}
                Err(_) => return None,
            }
        }
    }

    pub(crate) async fn drain(&self) -> Result<()> {
        let Shared { client, application_id, workers, committed, global_topics, globals_read, .. } =
            &*self.shared;
        let plan = || self.shared.plan();
        let hurry = || workers.lock().values().for_each(|worker| drop(worker.send(ToWorker::Commit)));
        let drained = drain::drain(client, application_id, plan, hurry, committed.subscribe());
        let drained = async {
            drained.await?;
            // The group knows of a commit before the worker does whose stores are asked next.
            let numbers: Vec<usize> = workers.lock().keys().copied().collect();
            for worker in numbers {
                let (reply, settled) = oneshot::channel();
                // A worker that has ended has nothing left to settle.
                self.shared.tell(worker, ToWorker::Settle { reply });
                let _ = self.answer_of(worker, settled).await;
            }
            if let Some(positions) = globals_read {
                drain::drain_globals(client, global_topics, positions.clone()).await?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            error = self.failed() => Err(error),
            drained = drained => drained,
        }
    }

    /// Waits until it has failed, and says why.
    pub(crate) async fn failed(&self) -> Error {
        let mut state = self.shared.state.subscribe();
        // The sender lives in `shared`, which this handle holds.
        let _ = state.wait_for(|state| *state == State::Error).await;
        self.shared.failure()
    }

    /// Ends it at once, as a crash would; nothing happens if it has ended.
    pub(crate) fn abandon(&self) {
        let _ = self.shared.commands.send(Command::Abandon);
    }

    /// Stops it cleanly; what is not done within this time is given up.
    pub(crate) async fn stop(&self, within: Option<Duration>) -> Result<()> {
        let stopped = self.command(Command::Stop);
        let Some(within) = within else { return stopped.await };
        let host = self.shared.client.host();
        self.shared.end_by.send_replace(Some(host.now() + within));
        let stopped = host.timeout(within + GIVE_UP_WITHIN, stopped).await;
        stopped.unwrap_or_else(|_| Err(Error::fatal(TOO_LATE)))
    }

    /// Asks for something and waits for the answer.
    pub(crate) async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
    ) -> Result<T> {
        let (reply, mut answer) = oneshot::channel();
        if self.shared.commands.send(command(reply)).is_err() {
            // It has ended already.
            return Err(self.shared.failure());
        }
        // One that came while the channel was taken down may lie there for ever, with the reply in it.
        let mut over = self.shared.over.subscribe();
        let answered = tokio::select! {
            biased;
            answer = &mut answer => answer.ok(),
            _ = over.wait_for(|over| *over) => answer.try_recv().ok(),
        };
        answered.unwrap_or_else(|| Err(self.shared.failure()))
    }

    /// Processes nothing until it is told to go on.
    pub(crate) fn sleep(&self, asleep: bool) {
        // One that has ended sleeps.
        let _ = self.shared.commands.send(Command::Sleep(asleep));
    }

    /// The numbers of its workers.
    pub(crate) fn workers(&self) -> Vec<usize> {
        self.shared.workers.lock().keys().copied().collect()
    }
}

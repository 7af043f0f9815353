//! Tasks that are assigned here and that no worker runs for now: they cannot be opened, or read on, or their worker has failed,
//! or does not come back from user code.
//!
//! What may pass, such as a coordinator that does not answer, is tried again until `task.timeout.ms` is over. Then, and at once if
//! it is anything else (a supplier that panics), the uncaught error handler says what follows, as of a worker that fails.

use std::collections::BTreeSet;
use std::time::Duration;

use anabranch_host::Instant;

use super::Member;
use crate::error::{Error, Result};
use crate::processor::TaskId;
use crate::runtime::task_timeout::{TaskTimeout, may_pass};
use crate::runtime::uncaught::UncaughtErrorAnswer;
use crate::runtime::worker::ToWorker;

/// After which it is tried again, if the call has not taken long itself.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Which tasks wait, and until when.
#[derive(Debug)]
pub(super) struct Waiting {
    tasks: BTreeSet<TaskId>,
    /// None of them is opened before. If there is no time, they are once the group leaves them here.
    open_at: Option<Instant>,
    /// With what keeps tasks from being opened and may pass.
    timeout: TaskTimeout,
}

impl Waiting {
    /// Nothing waits; `limit` is `task.timeout.ms`.
    pub(super) fn new(limit: Duration) -> Self {
        Waiting { tasks: BTreeSet::new(), open_at: None, timeout: TaskTimeout::new(limit) }
    }

    /// Others may take these tasks; if nobody does, they are opened here.
    pub(super) fn give_up(&mut self, tasks: &BTreeSet<TaskId>) {
        self.tasks.extend(tasks);
    }

    /// These tasks wait until then. Who waits already is not passed by.
    pub(super) fn open_later(&mut self, tasks: &BTreeSet<TaskId>, at: Instant) {
        self.tasks.extend(tasks);
        self.open_at = Some(self.open_at.map_or(at, |other| other.max(at)));
    }

    /// The group has taken these away.
    pub(super) fn forget(&mut self, gone: &BTreeSet<TaskId>) {
        self.tasks.retain(|task| !gone.contains(task));
    }

    /// The group has left none here but these.
    fn keep(&mut self, owned: &BTreeSet<TaskId>) {
        self.tasks.retain(|task| owned.contains(task));
    }

    pub(super) fn contains(&self, task: TaskId) -> bool {
        self.tasks.contains(&task)
    }

    /// Whether their time is still to come.
    pub(super) fn is_pausing(&self) -> bool {
        self.open_at.is_some()
    }

    /// Whether their time has come; that is told once.
    fn are_due(&mut self, now: Instant) -> bool {
        self.open_at.take_if(|at| now >= *at).is_some()
    }

    /// Those that are to be opened now; none if their time is still to come.
    fn take(&mut self) -> Option<BTreeSet<TaskId>> {
        self.open_at.is_none().then(|| std::mem::take(&mut self.tasks))
    }

    /// Tasks were opened, and none was not.
    pub(super) fn opened(&mut self) {
        if self.tasks.is_empty() {
            self.timeout.progressed();
        }
    }

    /// Some could not be opened: whether it is tried again without asking anybody.
    fn may_try_again(&mut self, error: &Error, now: Instant) -> bool {
        may_pass(error) && !self.timeout.is_over(now)
    }

    /// It is not. Says why, and counts anew.
    fn no_more_tries(&mut self, error: Error) -> Error {
        let why = if may_pass(&error) { self.timeout.over(&error) } else { error };
        self.timeout.progressed();
        why
    }
}

impl Member {
    /// Tasks that are to run here are opened then, and read from their last commit.
    pub(super) fn open_later(&mut self, tasks: &BTreeSet<TaskId>, at: Instant) {
        for id in tasks {
            let inputs = self.inputs(*id);
            self.pause(&inputs);
        }
        self.waiting.open_later(tasks, at);
    }

    /// Opens tasks that waited after their worker had failed, if it is time: they are read from their last commit.
    pub(super) async fn open_what_waits(&mut self) -> Result<()> {
        if !self.waiting.are_due(self.shared.client.host().now()) {
            return Ok(());
        }
        // The group may have taken some away.
        let owned = self.shared.plan().readers_of(&self.consumer.assignment());
        self.waiting.keep(&owned);
        self.workers.start_missing()?;
        self.open_what_is_left().await?;
        self.follow_standbys().await?;
        self.settle();
        Ok(())
    }

    /// Opens tasks that were given up and that the group has left here, since nobody else takes them. Those of a worker
    /// that has failed wait for their time.
    pub(super) async fn open_what_is_left(&mut self) -> Result<()> {
        let Some(left) = self.waiting.take() else { return Ok(()) };
        for id in &left {
            if let Err(error) = self.read_again(*id).await {
                return self.not_opened(left, error).await;
            }
            let inputs = self.inputs(*id);
            self.resume(&inputs);
        }
        self.open(&left).await
    }

    /// Reads a task's inputs from where the group has committed them, or from their start.
    async fn read_again(&mut self, id: TaskId) -> Result<()> {
        let inputs = self.inputs(id);
        self.seek_to_committed(&inputs).await
    }

    /// Tasks could not be opened: they wait until they are tried again, or everything ends.
    ///
    /// # Errors
    /// This one, if this instance is to end by it.
    pub(super) async fn not_opened(&mut self, tasks: BTreeSet<TaskId>, error: Error) -> Result<()> {
        if self.phase.is_starting() && !may_pass(&error) {
            // It could not even begin.
            return Err(error);
        }
        let now = self.shared.client.host().now();
        if self.waiting.may_try_again(&error, now) {
            tracing::warn!(?tasks, %error, "not opened; it is tried again");
            self.open_later(&tasks, now + TRY_AGAIN);
            return Ok(());
        }
        let error = self.waiting.no_more_tries(error);
        let answer = self.what_follows(&error);
        tracing::error!(?tasks, %error, ?answer, "tasks cannot be opened");
        match answer {
            UncaughtErrorAnswer::ShutdownClient => return Err(error),
            UncaughtErrorAnswer::ReplaceThread => {}
            UncaughtErrorAnswer::ShutdownApplication => self.end_everywhere(error),
        }
        let at = self.try_again_at();
        self.open_later(&tasks, at);
        Ok(())
    }

    /// It is not known where a task is to read on: it is opened again from its last commit.
    pub(super) async fn not_read(&mut self, task: TaskId, error: Error) -> Result<()> {
        let tasks = BTreeSet::from([task]);
        self.close(&tasks, |tasks, reply| ToWorker::Lose { tasks, reply }).await?;
        self.not_opened(tasks, error).await
    }
}

#[cfg(test)]
mod tests {
    use anabranch_client::ClientError;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    fn tasks(partitions: &[i32]) -> BTreeSet<TaskId> {
        partitions.iter().map(|partition| TaskId { subtopology: 0, partition: *partition }).collect()
    }

    #[test]
    fn who_waits_is_opened_in_its_time() {
        let mut waiting = Waiting::new(Duration::ZERO);
        assert_eq!(waiting.take(), Some(tasks(&[])), "nothing waits");
        waiting.give_up(&tasks(&[1]));
        assert!(waiting.contains(TaskId { subtopology: 0, partition: 1 }));
        assert!(!waiting.are_due(at(100)), "it waits for the group");
        waiting.open_later(&tasks(&[2, 3, 4]), at(10));
        waiting.open_later(&tasks(&[5]), at(7));
        assert_eq!(waiting.take(), None);
        assert!(!waiting.are_due(at(9)), "nobody is passed by");
        assert!(waiting.is_pausing());
        assert!(waiting.are_due(at(10)));
        assert!(!waiting.are_due(at(11)), "it is known");
        waiting.forget(&tasks(&[2, 9]));
        waiting.keep(&tasks(&[1, 2, 3, 5]));
        assert_eq!(waiting.take(), Some(tasks(&[1, 3, 5])));
        assert_eq!(waiting.take(), Some(tasks(&[])));
    }

    #[test]
    fn what_may_pass_is_tried_again_until_time_is_over() {
        let passing = || Error::fatal("asking").with_source(ClientError::retriable("no answer"));
        let lasting = || Error::fatal("a supplier panics");
        let mut waiting = Waiting::new(Duration::from_secs(10));
        assert!(!waiting.may_try_again(&lasting(), at(0)));
        assert_eq!(waiting.no_more_tries(lasting()).to_string(), lasting().to_string());
        // When it fails, and whether it is tried again.
        for (seconds, again) in [(5, true), (15, true), (16, false)] {
            assert_eq!(waiting.may_try_again(&passing(), at(seconds)), again, "at {seconds}");
        }
        assert!(waiting.no_more_tries(passing()).to_string().contains("task.timeout.ms"));
        // The handler has let it go on.
        assert!(waiting.may_try_again(&passing(), at(20)));
        waiting.give_up(&tasks(&[1]));
        waiting.opened();
        assert!(!waiting.may_try_again(&passing(), at(31)), "one still waits");
        assert_eq!(waiting.take(), Some(tasks(&[1])));
        waiting.opened();
        assert!(waiting.may_try_again(&passing(), at(40)));
    }
}

//! What this instance has, as it tells the leader whenever the group is rebalanced.
//!
//! The member notes what it opens and closes, workers note how far each task's state has come, and the assignor reads all
//! of it when the group asks, on another thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use anabranch_host::Instant;
use parking_lot::Mutex;

use super::user_data::{Hosts, Processes, RUNNING, Subscription};
use crate::processor::TaskId;
use crate::runtime::task_status::TaskStatus;

/// How far the state of an open task has come. Its worker writes it, others read it at any time.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Changelog records that are applied, over all stores.
    applied: AtomicI64,
    /// Changelog records that are not; negative if that is not known yet.
    behind: AtomicI64,
    running: AtomicBool,
}

impl Default for Progress {
    fn default() -> Self {
        Progress { applied: AtomicI64::new(0), behind: AtomicI64::new(-1), running: AtomicBool::new(false) }
    }
}

impl Progress {
    pub(crate) fn note(&self, applied: i64, behind: Option<i64>) {
        self.applied.store(applied, Ordering::Relaxed);
        self.behind.store(behind.unwrap_or(-1), Ordering::Relaxed);
    }

    /// The task processes, or does so no more.
    pub(crate) fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::Relaxed);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    pub(crate) fn applied(&self) -> i64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// How far it is behind, if that is known.
    pub(crate) fn behind(&self) -> Option<u64> {
        u64::try_from(self.behind.load(Ordering::Relaxed)).ok()
    }
}

/// What a task is open for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It processes, or will once its state is there.
    Active,
    /// It follows the changelogs.
    Standby,
}

/// State on disk that nobody uses for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stored {
    records: i64,
    since: Instant,
}

/// What this instance has. Shared between its member and its assignor.
#[derive(Debug)]
pub(crate) struct Holdings {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    process_id: [u8; 16],
    fingerprint: u64,
    tags: BTreeMap<String, String>,
    workers: BTreeSet<usize>,
    shut_down: bool,
    open: BTreeMap<TaskId, (Role, Arc<Progress>)>,
    stored: BTreeMap<TaskId, Stored>,
    refused: BTreeSet<TaskId>,
    peers: Processes,
    /// `application.server`.
    server: String,
    hosts: Hosts,
}

impl Holdings {
    /// An instance that has nothing yet.
    pub(crate) fn new(
        process_id: [u8; 16],
        fingerprint: u64,
        tags: BTreeMap<String, String>,
        server: String,
    ) -> Self {
        Holdings {
            state: Mutex::new(State {
                process_id,
                fingerprint,
                tags,
                workers: BTreeSet::new(),
                shut_down: false,
                open: BTreeMap::new(),
                stored: BTreeMap::new(),
                refused: BTreeSet::new(),
                peers: Processes::new(),
                server,
                hosts: Hosts::new(),
            }),
        }
    }

    pub(crate) fn process_id(&self) -> [u8; 16] {
        self.state.lock().process_id
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.state.lock().fingerprint
    }

    /// The numbers of its workers.
    pub(crate) fn set_workers(&self, workers: impl IntoIterator<Item = usize>) {
        self.state.lock().workers = workers.into_iter().collect();
    }

    /// Asks the leader to end the application everywhere.
    pub(crate) fn ask_to_shut_down(&self) {
        self.state.lock().shut_down = true;
    }

    /// A task has been opened, or has got another role.
    pub(crate) fn opened(&self, task: TaskId, role: Role, progress: Arc<Progress>) {
        let mut state = self.state.lock();
        state.stored.remove(&task);
        state.open.insert(task, (role, progress));
    }

    /// A task has been closed; if state of it stays on disk, it is `stored`.
    pub(crate) fn closed(&self, task: TaskId, stored: bool, now: Instant) {
        let mut state = self.state.lock();
        if let Some((_, progress)) = state.open.remove(&task)
            && stored
        {
            state.stored.insert(task, Stored { records: progress.applied(), since: now });
        }
    }

    /// State of these tasks was found on disk.
    pub(crate) fn found(&self, tasks: BTreeMap<TaskId, i64>, now: Instant) {
        let stored = tasks.into_iter().map(|(task, records)| (task, Stored { records, since: now }));
        self.state.lock().stored.extend(stored);
    }

    /// Tasks whose state on disk nobody has used since `before`; they count as gone from now on.
    pub(crate) fn take_unused(&self, before: Instant) -> Vec<TaskId> {
        let mut state = self.state.lock();
        let unused: Vec<TaskId> =
            state.stored.iter().filter(|(_, stored)| stored.since <= before).map(|(task, _)| *task).collect();
        state.stored.retain(|_, stored| stored.since > before);
        unused
    }

    /// Tasks that it will not run for now.
    pub(crate) fn refuse(&self, tasks: impl IntoIterator<Item = TaskId>) {
        self.state.lock().refused.extend(tasks);
    }

    /// It will run all tasks again.
    pub(crate) fn refuse_nothing(&self) {
        self.state.lock().refused.clear();
    }

    /// The processes of the assignment that has just come.
    pub(crate) fn set_peers(&self, peers: Processes) {
        self.state.lock().peers = peers;
    }

    /// Where whose state can be asked for, by the assignment that has just come.
    pub(crate) fn set_hosts(&self, hosts: Hosts) {
        self.state.lock().hosts = hosts;
    }

    /// Where whose state can be asked for.
    pub(crate) fn hosts(&self) -> Hosts {
        self.state.lock().hosts.clone()
    }

    /// The open tasks of this role.
    pub(crate) fn open(&self, role: Role) -> BTreeSet<TaskId> {
        self.state.lock().open.iter().filter(|(_, (of, _))| *of == role).map(|(task, _)| *task).collect()
    }

    /// What is open, as its user sees it.
    pub(crate) fn tasks(&self) -> Vec<TaskStatus> {
        let status = |(task, (role, progress)): (&TaskId, &(Role, Arc<Progress>))| TaskStatus {
            task: *task,
            is_standby: *role == Role::Standby,
            is_running: progress.is_running(),
            records_behind: if progress.is_running() { Some(0) } else { progress.behind() },
        };
        self.state.lock().open.iter().map(status).collect()
    }

    /// How far an open task has come.
    pub(crate) fn progress(&self, task: TaskId) -> Option<Arc<Progress>> {
        self.state.lock().open.get(&task).map(|(_, progress)| Arc::clone(progress))
    }

    /// The word to the leader.
    pub(crate) fn subscription(&self) -> Subscription {
        let state = self.state.lock();
        let mut positions: BTreeMap<TaskId, i64> =
            state.stored.iter().map(|(task, stored)| (*task, stored.records)).collect();
        for (task, (_, progress)) in &state.open {
            positions.insert(*task, if progress.is_running() { RUNNING } else { progress.applied() });
        }
        let standing =
            |(task, (role, _)): (&TaskId, &(Role, Arc<Progress>))| (*role == Role::Standby).then_some(*task);
        let number = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        Subscription {
            process_id: state.process_id,
            workers: number(state.workers.len()),
            highest_worker: number(state.workers.last().copied().unwrap_or(0)),
            shut_down: state.shut_down,
            fingerprint: state.fingerprint,
            positions,
            standing: state.open.iter().filter_map(standing).collect(),
            refused: state.refused.clone(),
            tags: state.tags.clone(),
            peers: state.peers.clone(),
            server: state.server.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_closed_stays_on_disk_for_a_while() {
        let at = |seconds| Instant::from_start(Duration::from_secs(seconds));
        let task = |partition| TaskId { subtopology: 0, partition };
        let holdings = Holdings::new([1; 16], 7, BTreeMap::new(), String::new());
        let positions = || holdings.subscription().positions.into_iter().collect::<Vec<_>>();
        holdings.found(BTreeMap::from([(task(0), 5), (task(1), 9)]), at(0));
        let progress = Arc::new(Progress::default());
        holdings.opened(task(0), Role::Active, Arc::clone(&progress));
        progress.note(6, Some(10));
        assert_eq!(positions(), [(task(0), 6), (task(1), 9)]);
        progress.set_running(true);
        assert_eq!(positions(), [(task(0), RUNNING), (task(1), 9)]);
        holdings.closed(task(0), true, at(5));
        assert_eq!(positions(), [(task(0), 6), (task(1), 9)]);
        assert_eq!(holdings.take_unused(at(3)), [task(1)]);
        assert_eq!(positions(), [(task(0), 6)]);
        assert_eq!(holdings.take_unused(at(9)), [task(0)]);
        // Without a disk nothing stays.
        holdings.opened(task(2), Role::Standby, progress);
        assert_eq!(holdings.subscription().standing, BTreeSet::from([task(2)]));
        holdings.closed(task(2), false, at(9));
        assert_eq!(positions(), []);
    }
}

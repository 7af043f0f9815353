//! Which process runs which task, which keeps standbys, and what must warm up before it moves. Pure: the result depends on
//! the arguments alone.
//!
//! ```text
//! target    every task at the process that runs it, or that is nearest to its state; then levelled
//! standbys  copies at other processes, first of all on other racks; then levelled
//! movement  a task stays where its state is until its target has caught up: a warm-up there, some at a time
//! ```
//! Complete: every task runs at exactly one process, and no process has two copies of one. Balanced: when nothing is left
//! to warm up, tasks with state are level, and so are all tasks as far as those without state can level them. Sticky: a
//! round without a change moves nothing; a process that joins takes only, first what it has state of; when one leaves,
//! no more moves than what it had. This is Kafka Streams' `HighAvailabilityTaskAssignor` in its rules, not in its way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::balance::Loads;
use crate::processor::TaskId;

/// What there is to place: each task with the number of changelog records that would bring its state back; none for a
/// task without state.
pub(crate) type Tasks = BTreeMap<TaskId, Option<u64>>;

/// What a process brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Process {
    /// Worker threads; a process with none is treated as having one.
    pub(crate) workers: usize,
    /// Tasks it runs now.
    pub(crate) running: BTreeSet<TaskId>,
    /// Tasks whose state it follows: standbys and warm-ups.
    pub(crate) standing: BTreeSet<TaskId>,
    /// How far its copies of tasks' state are behind, in changelog records; none where it has no copy.
    pub(crate) lags: BTreeMap<TaskId, u64>,
    /// Tasks it will not run, if anybody else will.
    pub(crate) refused: BTreeSet<TaskId>,
    /// `client.tag.*`.
    pub(crate) tags: BTreeMap<String, String>,
}

/// How tasks are to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// `num.standby.replicas`.
    pub(crate) standby_replicas: usize,
    /// `acceptable.recovery.lag`: a copy not farther behind is as good as the original.
    pub(crate) acceptable_recovery_lag: u64,
    /// `max.warmup.replicas`: so many copies may warm up at a time, over all processes.
    pub(crate) max_warmup_replicas: usize,
    /// `rack.aware.assignment.tags`: copies of a task differ in these, as far as they can.
    pub(crate) rack_aware_tags: Vec<String>,
}

/// What a process gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Tasks to run.
    pub(crate) active: BTreeSet<TaskId>,
    /// Tasks to keep a copy of.
    pub(crate) standby: BTreeSet<TaskId>,
    /// Tasks to get a copy of, in order to run them later.
    pub(crate) warmup: BTreeSet<TaskId>,
}

/// Who gets what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) shares: BTreeMap<String, Share>,
    /// Some task is not yet where it is to run: place anew when a warm-up has caught up.
    pub(crate) is_unsettled: bool,
}

/// How good a process is for a task; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Runs,
    /// Follows it closely.
    Stands,
    /// Has its state.
    CaughtUp,
    /// Has an old copy, so far behind.
    Behind(u64),
    Nothing,
}

/// Places all tasks.
pub(crate) fn place(tasks: &Tasks, processes: &BTreeMap<String, Process>, policy: &Policy) -> Placement {
    if processes.is_empty() {
        return Placement::default();
    }
    let workers: Vec<usize> = processes.values().map(|process| process.workers.max(1)).collect();
    let placer = Placer { tasks, processes: processes.values().collect(), workers: &workers, policy };
    let target = placer.target();
    let mut standbys = placer.standbys(&target);
    let mut shares = vec![Share::default(); workers.len()];
    let is_unsettled = placer.movement(&target, &mut standbys, &mut shares);
    for (task, process) in placer.stateless(&target) {
        shares[process].active.insert(task);
    }
    for (task, copies) in standbys {
        for process in copies {
            shares[process].standby.insert(task);
        }
    }
    Placement { shares: processes.keys().cloned().zip(shares).collect(), is_unsettled }
}

struct Placer<'a> {
    tasks: &'a Tasks,
    processes: Vec<&'a Process>,
    workers: &'a [usize],
    policy: &'a Policy,
}

/// By task, the index of a process.
type Owners = BTreeMap<TaskId, usize>;
/// By task, the processes with a copy.
type Copies = BTreeMap<TaskId, BTreeSet<usize>>;

impl Placer<'_> {
    fn all(&self) -> std::ops::Range<usize> {
        0..self.processes.len()
    }

    /// How far a process is behind with a task's state.
    fn lag(&self, process: usize, task: TaskId) -> u64 {
        let total = self.tasks.get(&task).copied().flatten().unwrap_or(0);
        self.processes[process].lags.get(&task).copied().unwrap_or(total)
    }

    fn is_caught_up(&self, process: usize, task: TaskId) -> bool {
        self.lag(process, task) <= self.policy.acceptable_recovery_lag
    }

    fn claim(&self, process: usize, task: TaskId) -> Claim {
        let has = self.processes[process];
        match has.lags.get(&task) {
            _ if has.running.contains(&task) => Claim::Runs,
            Some(lag) if *lag > self.policy.acceptable_recovery_lag => Claim::Behind(*lag),
            Some(_) if has.standing.contains(&task) => Claim::Stands,
            Some(_) => Claim::CaughtUp,
            None => Claim::Nothing,
        }
    }

    /// Whether a process may run a task: it has not refused it, or all have.
    fn may_run(&self, process: usize, task: TaskId) -> bool {
        !self.processes[process].refused.contains(&task)
            || self.processes.iter().all(|process| process.refused.contains(&task))
    }

    /// Gives tasks to processes, those that have a claim first, then levels all loads by moving these.
    fn spread(&self, tasks: impl Iterator<Item = TaskId>, mut loads: Loads<'_>) -> Owners {
        let mut owners = Owners::new();
        let (claimed, free): (Vec<_>, Vec<_>) =
            tasks.partition(|task| self.all().any(|process| self.claim(process, *task) != Claim::Nothing));
        for task in claimed.into_iter().chain(free) {
            let may = self.all().filter(|process| self.may_run(*process, task));
            let nearest = may.min_by(|a, b| {
                self.claim(*a, task).cmp(&self.claim(*b, task)).then_with(|| loads.lighter(*a, *b))
            });
            let Some(nearest) = nearest else { continue };
            loads.add(nearest);
            owners.insert(task, nearest);
        }
        loads.level(|loads, to| {
            let movable = owners
                .iter()
                .filter(|(task, from)| loads.is_uneven(**from, to) && self.may_run(to, **task))
                .min_by(|(a, from_a), (b, from_b)| {
                    // From where most is, or it would have to be filled up again; what the new owner is nearest to, so
                    // that least is restored; what runs stays, if something else can move as well.
                    let key = |task: &TaskId, from: usize| {
                        (self.claim(to, *task), self.claim(from, *task) == Claim::Runs, Reverse(*task))
                    };
                    loads.compare(**from_b, **from_a).then_with(|| key(a, **from_a).cmp(&key(b, **from_b)))
                });
            let (task, from) = movable.map(|(task, from)| (*task, *from))?;
            owners.insert(task, to);
            Some(from)
        });
        owners
    }

    /// Where tasks with state are to run in the end.
    fn target(&self) -> Owners {
        let stateful = self.tasks.iter().filter(|(_, state)| state.is_some()).map(|(task, _)| *task);
        self.spread(stateful, Loads::none(self.workers))
    }

    /// Where tasks without state run: they level what the others leave uneven.
    fn stateless(&self, target: &Owners) -> Owners {
        let mut loads = Loads::none(self.workers);
        target.values().for_each(|process| loads.add(*process));
        self.spread(self.tasks.iter().filter(|(_, state)| state.is_none()).map(|(task, _)| *task), loads)
    }

    /// In how many of the tags a process is like one of the others.
    fn likeness(&self, process: usize, others: impl Iterator<Item = usize> + Clone) -> usize {
        let tags = &self.processes[process].tags;
        let is_like = |tag: &&String| {
            let of = tags.get(*tag);
            of.is_some() && others.clone().any(|other| self.processes[other].tags.get(*tag) == of)
        };
        self.policy.rack_aware_tags.iter().filter(is_like).count()
    }

    /// [`Placer::likeness`] of all copies of a task to each other.
    fn likeness_of_all(&self, owner: usize, copies: &BTreeSet<usize>) -> usize {
        let of = |copy: &usize| {
            let others = copies.iter().copied().filter(|other| other != copy).chain([owner]);
            self.likeness(*copy, others)
        };
        copies.iter().map(of).sum()
    }

    /// Copies of tasks with state, beside their owners.
    fn standbys(&self, target: &Owners) -> Copies {
        let wanted = self.policy.standby_replicas.min(self.processes.len() - 1);
        let mut copies = Copies::new();
        if wanted == 0 {
            return copies;
        }
        let mut loads = Loads::none(self.workers);
        target.values().for_each(|process| loads.add(*process));
        for (task, owner) in target {
            let mut chosen = BTreeSet::new();
            while chosen.len() < wanted {
                let others = chosen.iter().copied().chain([*owner]);
                let key =
                    |process: usize| (self.likeness(process, others.clone()), self.claim(process, *task));
                let free = self.all().filter(|process| process != owner && !chosen.contains(process));
                let best = free.min_by(|a, b| key(*a).cmp(&key(*b)).then_with(|| loads.lighter(*a, *b)));
                let Some(best) = best else { break };
                chosen.insert(best);
            }
            // Copies that are kept up to date already stay, if they lie no closer together than those.
            let standing: BTreeSet<usize> = self
                .all()
                .filter(|process| process != owner && self.processes[*process].standing.contains(task))
                .collect();
            if standing.len() == wanted
                && self.likeness_of_all(*owner, &standing) <= self.likeness_of_all(*owner, &chosen)
            {
                chosen = standing;
            }
            chosen.iter().for_each(|process| loads.add(*process));
            copies.insert(*task, chosen);
        }
        loads.level(|loads, to| {
            let (task, from) = self.best_standby_move(target, &copies, loads, to)?;
            let chosen = copies.get_mut(&task)?;
            chosen.remove(&from);
            chosen.insert(to);
            Some(from)
        });
        copies
    }

    /// The copy that had best move to a process.
    fn best_standby_move(
        &self,
        target: &Owners,
        copies: &Copies,
        loads: &Loads<'_>,
        to: usize,
    ) -> Option<(TaskId, usize)> {
        let mut best: Option<((bool, Claim), TaskId, usize)> = None;
        for (task, chosen) in copies {
            let owner = *target.get(task)?;
            if owner == to || chosen.contains(&to) {
                continue;
            }
            for from in chosen.iter().filter(|from| loads.is_uneven(**from, to)) {
                let mut moved = chosen.clone();
                moved.remove(from);
                moved.insert(to);
                if self.likeness_of_all(owner, &moved) > self.likeness_of_all(owner, chosen) {
                    continue;
                }
                let key = (self.claim(*from, *task) <= Claim::Stands, self.claim(to, *task));
                if best.is_none_or(|(least, _, _)| key < least) {
                    best = Some((key, *task, *from));
                }
            }
        }
        best.map(|(_, task, from)| (task, from))
    }

    /// Lets tasks with state run where their state is; where they are to run in the end it warms up first. Whether any is
    /// not where it is to be.
    fn movement(&self, target: &Owners, standbys: &mut Copies, shares: &mut [Share]) -> bool {
        let mut waiting = Vec::new();
        for (task, to) in target {
            let caught_up =
                |process: &usize| self.is_caught_up(*process, *task) && self.may_run(*process, *task);
            let there = self.all().filter(caught_up).min_by_key(|process| {
                (
                    process != to,
                    self.claim(*process, *task),
                    shares[*process].active.len() / self.workers[*process],
                )
            });
            // Where nobody has caught up, nothing is gained by running elsewhere.
            let runs_at = there.unwrap_or(*to);
            shares[runs_at].active.insert(*task);
            if runs_at != *to {
                waiting.push((*task, *to, runs_at));
            }
        }
        let is_unsettled = !waiting.is_empty();
        // Those first that have begun.
        waiting.sort_by_key(|(task, to, _)| !self.processes[*to].standing.contains(task));
        let mut budget = self.policy.max_warmup_replicas;
        for (task, to, runs_at) in waiting {
            // The place of a standby that runs the task for now is taken by the process that is to run it.
            if let Some(chosen) = standbys.get_mut(&task)
                && chosen.remove(&runs_at)
            {
                chosen.insert(to);
            } else if budget > 0 {
                budget -= 1;
                shares[to].warmup.insert(task);
            }
        }
        is_unsettled
    }
}

#[cfg(test)]
mod tests;

//! The group's assignor: tasks, not partitions, are handed out; a task's partitions go with it.
//!
//! Cooperative (KIP-429): everybody goes on with what it keeps. A task that another member still runs is held back for
//! this round; that member gives it up, the group is rebalanced once more, and then it is handed over. Meanwhile whoever
//! is to get it follows its state.
//!
//! The leader plans anew at each rebalance: topics have come, gone or grown. What it planned with goes to every member, and
//! so does the reason why there can be no plan.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anabranch_client::consumer::assignor::{
    Assignor, GroupView, MemberAssignment, MemberSubscription, RebalanceProtocol,
};
use anabranch_client::{Client, ClientError, ErrorCode, IsolationLevel, OffsetSpec, TopicPartition};
use bytes::Bytes;
use parking_lot::Mutex;

use super::holdings::Holdings;
use super::placement::{self, Placement, Policy, Process, Share, Tasks};
use super::user_data::{Assignment, Hosts, Processes, RUNNING, Subscription, Word};
use crate::error::{Error, Result};
use crate::processor::TaskId;
use crate::runtime::plan::{Plan, Planner};
use crate::runtime::topics::{self, InternalTopicSettings};

/// Its name in the group: instances of Java's Kafka Streams use another and are refused beside ours.
const NAME: &str = "anabranch";

/// The assignor of one application.
pub(crate) struct TaskAssignor {
    client: Client,
    planner: Arc<Planner>,
    settings: InternalTopicSettings,
    policy: Policy,
    holdings: Arc<Holdings>,
    /// As of the rebalance under way; members take it over from what they are assigned.
    plan: Mutex<Arc<Plan>>,
    /// Why there is none, as of the rebalance under way.
    refusal: Mutex<Option<String>>,
    /// How far copies of state can come, as of the rebalance under way.
    ends: Mutex<BTreeMap<TopicPartition, i64>>,
}

/// The members of a group as their leader reads them.
struct Group<'a> {
    members: BTreeMap<&'a String, (&'a MemberSubscription, Subscription)>,
    /// Who runs a task, by all that say so.
    runners: BTreeMap<TaskId, BTreeSet<&'a String>>,
}

impl TaskAssignor {
    pub(crate) fn new(
        client: Client,
        planner: Arc<Planner>,
        settings: InternalTopicSettings,
        plan: Arc<Plan>,
        policy: Policy,
        holdings: Arc<Holdings>,
    ) -> Self {
        TaskAssignor {
            client,
            planner,
            settings,
            policy,
            holdings,
            plan: Mutex::new(plan),
            refusal: Mutex::default(),
            ends: Mutex::default(),
        }
    }

    /// The plan for the topics that the members have seen, with their partitions of right now. Whatever it needs is made.
    async fn plan_anew(&self, group: GroupView<'_>) -> Result<Arc<Plan>> {
        let plan = Arc::clone(&self.plan.lock());
        let mut sources = BTreeMap::new();
        for topic in group.members.values().flat_map(|member| &member.topics) {
            if !self.planner.is_source(topic) {
                continue;
            }
            // One that cannot be described right now is as it was.
            let is_gone = group.metadata.refusal(topic) == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            let known = || plan.sources.get(&**topic).copied().filter(|_| !is_gone);
            if let Some(count) = group.metadata.partition_count(topic).or_else(known) {
                sources.insert(topic.to_string(), count);
            }
        }
        if sources == plan.sources {
            return Ok(plan);
        }
        let plan = self.planner.plan(&sources)?;
        topics::make(&self.client, &plan, &self.settings).await?;
        Ok(Arc::new(plan))
    }

    fn read<'a>(&self, plan: &Plan, group: GroupView<'a>) -> Result<Group<'a>, ClientError> {
        let mut members = BTreeMap::new();
        let mut runners: BTreeMap<TaskId, BTreeSet<&String>> = BTreeMap::new();
        for (id, member) in group.members {
            let subscription = Subscription::decode(member.user_data.as_deref().unwrap_or_default())
                .map_err(|error| ClientError::invalid(error.to_string()))?;
            for task in plan.readers_of(&member.owned_partitions) {
                runners.entry(task).or_default().insert(id);
            }
            members.insert(id, (member, subscription));
        }
        Ok(Group { members, runners })
    }

    /// The topology that the group runs: that of the members that have tasks, else this one's.
    fn fingerprint(&self, group: &Group<'_>) -> u64 {
        let mut votes: BTreeMap<u64, usize> = BTreeMap::new();
        for id in group.runners.values().flatten() {
            if let Some((_, subscription)) = group.members.get(*id) {
                *votes.entry(subscription.fingerprint).or_default() += 1;
            }
        }
        let mine = self.holdings.fingerprint();
        votes.into_iter().max_by_key(|(of, count)| (*count, *of == mine)).map_or(mine, |(of, _)| of)
    }

    /// How far copies of state can come: to the ends of the changelogs, or, of source topics that serve as such, as far as the
    /// group has committed them; what is behind that is still to be processed.
    async fn ends_of_changelogs(&self, plan: &Plan) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        let admin = self.client.admin();
        let changelogs = plan.tasks().into_iter().flat_map(|task| plan.changelogs(task));
        let (sources, own): (Vec<_>, Vec<_>) =
            changelogs.partition(|changelog| plan.reader_of(changelog).is_some());
        let wanted = own.into_iter().map(|name| (name, OffsetSpec::Latest)).collect();
        let mut ends = BTreeMap::new();
        for (name, end) in admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await {
            ends.insert(name, end?.offset);
        }
        if !sources.is_empty() {
            let committed = admin.committed_offsets(self.planner.application_id(), Some(&sources)).await?;
            ends.extend(committed.into_iter().map(|(name, at)| (name, at.offset)));
        }
        Ok(ends)
    }

    /// All tasks, with what it takes to restore them.
    fn tasks(&self, plan: &Plan) -> Tasks {
        let ends = self.ends.lock();
        let total = |task: TaskId| {
            let changelogs = plan.changelogs(task);
            let end = |name: &TopicPartition| ends.get(name).copied().unwrap_or(0).unsigned_abs();
            (!changelogs.is_empty()).then(|| changelogs.iter().map(end).sum())
        };
        plan.tasks().into_iter().map(|task| (task, total(task))).collect()
    }

    /// A member as the placement sees it.
    fn process(&self, id: &String, group: &Group<'_>, subscription: &Subscription, tasks: &Tasks) -> Process {
        let lag = |(task, position): (&TaskId, &i64)| {
            let total = tasks.get(task).copied().flatten()?;
            let lag = match *position {
                RUNNING => 0,
                position => total.saturating_sub(position.unsigned_abs()),
            };
            Some((*task, lag))
        };
        let runs = |(task, runners): (&TaskId, &BTreeSet<&String>)| runners.contains(id).then_some(*task);
        Process {
            workers: usize::from(subscription.workers),
            running: group.runners.iter().filter_map(runs).collect(),
            standing: subscription.standing.clone(),
            lags: subscription.positions.iter().filter_map(lag).collect(),
            refused: subscription.refused.clone(),
            tags: subscription.tags.clone(),
        }
    }

    /// What a member is given, and what is held back.
    fn share(
        plan: &Plan,
        id: &String,
        share: &Share,
        group: &Group<'_>,
        tasks: &Tasks,
    ) -> (Vec<TopicPartition>, Assignment) {
        let is_free = |task: &&TaskId| {
            group.runners.get(*task).is_none_or(|runners| runners.iter().all(|runner| *runner == id))
        };
        let (free, held): (Vec<&TaskId>, Vec<&TaskId>) = share.active.iter().partition(is_free);
        let mut warmup = share.warmup.clone();
        warmup.extend(held.into_iter().filter(|task| tasks.get(*task).copied().flatten().is_some()));
        let partitions = free.into_iter().flat_map(|task| plan.inputs(*task)).collect();
        (partitions, Assignment { standby: share.standby.clone(), warmup, ..Assignment::default() })
    }
}

/// Every member goes on with what it has, and learns that it cannot go on.
fn refuse_all(group: GroupView<'_>, refusal: &str) -> BTreeMap<String, MemberAssignment> {
    let assignment = Assignment { refusal: refusal.to_owned(), ..Assignment::default() };
    let told = |(id, member): (&String, &MemberSubscription)| {
        let user_data = Some(assignment.encode().into());
        (id.clone(), MemberAssignment { partitions: member.owned_partitions.clone(), user_data })
    };
    group.members.iter().map(told).collect()
}

/// Whether what a broker has refused may succeed later.
fn is_retriable(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<ClientError>());
    cause.is_some_and(ClientError::is_retriable)
}

/// The processes that are there, and those that somebody remembers and are not.
fn peers(group: &Group<'_>) -> (Processes, Processes) {
    let subscriptions = || group.members.values().map(|(_, subscription)| subscription);
    let here: Processes = subscriptions().map(|s| (s.process_id, s.highest_worker)).collect();
    let known = subscriptions().flat_map(|s| s.peers.iter().map(|(id, workers)| (*id, *workers)));
    let gone = known.filter(|(id, _)| !here.contains_key(id)).collect();
    (here, gone)
}

impl Assignor for TaskAssignor {
    fn name(&self) -> &str {
        NAME
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn subscription_user_data(&self, _topics: &[Arc<str>]) -> Option<Bytes> {
        Some(self.holdings.subscription().encode().into())
    }

    /// Plans, and asks how far copies of state can come: how far they are behind is seen against that.
    fn prepare<'a>(
        &'a self,
        group: GroupView<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<(), ClientError>> + Send + 'a>> {
        Box::pin(async move {
            *self.refusal.lock() = None;
            let plan = match self.plan_anew(group).await {
                Ok(plan) => plan,
                Err(error) if is_retriable(&error) => return Err(ClientError::retriable(error.to_string())),
                Err(error) => {
                    *self.refusal.lock() = Some(error.to_string());
                    return Ok(());
                }
            };
            *self.plan.lock() = Arc::clone(&plan);
            // One alone gets everything, however far it is.
            let ends = match group.members.len() {
                0 | 1 => BTreeMap::new(),
                _ => self.ends_of_changelogs(&plan).await?,
            };
            *self.ends.lock() = ends;
            Ok(())
        })
    }

    fn assign(&self, group: GroupView<'_>) -> Result<BTreeMap<String, MemberAssignment>, ClientError> {
        if let Some(refusal) = &*self.refusal.lock() {
            return Ok(refuse_all(group, refusal));
        }
        let plan = Arc::clone(&self.plan.lock());
        let group = self.read(&plan, group)?;
        let fingerprint = self.fingerprint(&group);
        if fingerprint != self.holdings.fingerprint() {
            return Err(ClientError::invalid(ANOTHER_TOPOLOGY));
        }
        let shut_down = group.members.values().any(|(_, subscription)| subscription.shut_down);
        let tasks = self.tasks(&plan);
        let mut processes = BTreeMap::new();
        for (id, (_, subscription)) in &group.members {
            if subscription.fingerprint == fingerprint {
                processes.insert((*id).clone(), self.process(id, &group, subscription, &tasks));
            }
        }
        let Placement { shares, is_unsettled } = placement::place(&tasks, &processes, &self.policy);
        let (here, gone) = peers(&group);
        let mut told = BTreeMap::new();
        let mut hosts = Hosts::new();
        for (id, (member, subscription)) in &group.members {
            let (partitions, assignment) = match shares.get(*id) {
                // Nothing is to move any more.
                Some(_) if shut_down => (
                    member.owned_partitions.clone(),
                    Assignment { word: Word::ShutDown, ..Assignment::default() },
                ),
                Some(share) => Self::share(&plan, id, share, &group, &tasks),
                None => (Vec::new(), Assignment { word: Word::AnotherTopology, ..Assignment::default() }),
            };
            if !subscription.server.is_empty() {
                let (active, standby) = hosts.entry(subscription.server.clone()).or_default();
                active.extend(plan.readers_of(&partitions));
                standby.extend(assignment.standby.iter().chain(&assignment.warmup));
            }
            let is_mine = subscription.process_id == self.holdings.process_id();
            let assignment = Assignment { probe: is_unsettled && is_mine, ..assignment };
            told.insert((*id).clone(), (partitions, assignment));
        }
        let assign = |(id, (partitions, assignment)): (String, (Vec<TopicPartition>, Assignment))| {
            let (peers, gone, hosts) = (here.clone(), gone.clone(), hosts.clone());
            let assignment = Assignment { peers, gone, sources: plan.sources.clone(), hosts, ..assignment };
            (id, MemberAssignment { partitions, user_data: Some(assignment.encode().into()) })
        };
        Ok(told.into_iter().map(assign).collect())
    }
}

/// Why an instance is refused that would run something else than the others.
pub(crate) const ANOTHER_TOPOLOGY: &str = "other instances run another topology under the same application id: stop them \
    before this one starts, or give it an application id of its own";

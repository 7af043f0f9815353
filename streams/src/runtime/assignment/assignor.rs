//! The group's assignor: tasks, not partitions, are handed out; a task's partitions go with it.
//!
//! Cooperative (KIP-429): everybody goes on with what it keeps. A task that another member still runs is held back for
//! this round; that member gives it up, the group is rebalanced once more, and then it is handed over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anabranch_client::consumer::assignor::{
    Assignor, GroupView, MemberAssignment, MemberSubscription, RebalanceProtocol,
};
use anabranch_client::{ClientError, TopicPartition};
use bytes::Bytes;
use parking_lot::Mutex;

use super::sticky::{self, Member};
use super::user_data::Subscription;
use crate::processor::TaskId;
use crate::runtime::topics::Plan;

/// Its name in the group: instances of Java's Kafka Streams use another and are refused beside ours.
const NAME: &str = "anabranch";

/// What this instance has, as it is told to the leader.
pub(crate) type Holdings = Arc<Mutex<Subscription>>;

/// The assignor of one application.
pub(crate) struct TaskAssignor {
    plan: Arc<Plan>,
    holdings: Holdings,
}

impl TaskAssignor {
    pub(crate) fn new(plan: Arc<Plan>, holdings: Holdings) -> Self {
        TaskAssignor { plan, holdings }
    }

    fn partitions(&self, task: TaskId) -> impl Iterator<Item = TopicPartition> {
        self.plan.inputs(task).into_iter().map(|(topic, partition)| TopicPartition::new(topic, partition))
    }

    /// Tasks whose partitions a member owns.
    fn owned(&self, member: &MemberSubscription) -> BTreeSet<TaskId> {
        let owned: BTreeSet<&TopicPartition> = member.owned_partitions.iter().collect();
        let holds = |task: &TaskId| self.partitions(*task).any(|partition| owned.contains(&partition));
        self.plan.tasks().into_iter().filter(holds).collect()
    }
}

impl Assignor for TaskAssignor {
    fn name(&self) -> &str {
        NAME
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn subscription_user_data(&self, _topics: &[Arc<str>]) -> Option<Bytes> {
        Some(self.holdings.lock().encode().into())
    }

    fn assign(&self, group: GroupView<'_>) -> Result<BTreeMap<String, MemberAssignment>, ClientError> {
        let mut members = BTreeMap::new();
        let mut runner: BTreeMap<TaskId, &String> = BTreeMap::new();
        for (id, member) in group.members {
            let subscription = Subscription::decode(member.user_data.as_deref().unwrap_or_default())
                .map_err(|error| ClientError::invalid(error.to_string()))?;
            let running = self.owned(member);
            runner.extend(running.iter().map(|task| (*task, id)));
            let workers = usize::from(subscription.workers);
            members.insert(id.clone(), Member { workers, running, stored: subscription.stored });
        }
        let given = sticky::assign(&self.plan.tasks(), &members);
        let assignment = |(id, tasks): (String, BTreeSet<TaskId>)| {
            let ready = |task: &TaskId| runner.get(task).is_none_or(|holder| **holder == id);
            let tasks: BTreeSet<TaskId> = tasks.into_iter().filter(ready).collect();
            let partitions = tasks.iter().flat_map(|task| self.partitions(*task)).collect();
            (id, MemberAssignment { partitions, user_data: None })
        };
        Ok(given.into_iter().map(assignment).collect())
    }
}

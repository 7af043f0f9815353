//! What a member is told, what it does next, and what it hears: the words between the membership and its surroundings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::Instant;
use anabranch_protocol::ErrorCode;
use bytes::Bytes;

use crate::consumer::assignor::{Assignor, MemberSubscription};
use crate::group_offsets::Committer;
use crate::topic_partition::TopicPartition;

/// A change of what a member owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RebalanceEvent {
    /// These are new. Sent after every rebalance, even if nothing is new.
    Assigned {
        /// The new ones; under an eager protocol, all.
        partitions: Vec<TopicPartition>,
        /// What the leader's assignor says to this member's.
        user_data: Option<Bytes>,
        /// The generation that begins.
        generation_id: i32,
    },
    /// These go to somebody else once the consumer polls again: commit before.
    Revoked(Vec<TopicPartition>),
    /// These may belong to somebody else already: nothing can be committed for them.
    Lost(Vec<TopicPartition>),
}

/// What a member is configured to be.
#[derive(Clone, Debug)]
pub(in crate::consumer) struct MemberOptions {
    pub(in crate::consumer) group: Arc<str>,
    pub(in crate::consumer) instance_id: Option<Arc<str>>,
    /// Nobody else can be under that name: who fences it is a request that was long on its way.
    pub(in crate::consumer) sole_instance: bool,
    pub(in crate::consumer) rack: Option<String>,
    pub(in crate::consumer) session_timeout: Duration,
    pub(in crate::consumer) heartbeat_interval: Duration,
    pub(in crate::consumer) max_poll_interval: Duration,
}

/// What to do next.
#[derive(Debug)]
pub(in crate::consumer) enum Step {
    /// Find the coordinator.
    FindCoordinator,
    /// Join the group.
    Join { member_id: Arc<str>, protocols: Vec<(String, Bytes)>, reason: String },
    /// As the leader, assign.
    Assign { assignor: Arc<dyn Assignor>, members: BTreeMap<String, MemberSubscription> },
    /// Ask for the assignment, as the leader with those of all.
    Sync { committer: Committer, protocol: String, assignments: BTreeMap<String, Bytes> },
    /// Show that the member lives.
    Heartbeat(Committer),
    /// Leave the group.
    Leave(Committer),
    /// Nothing before this time, unless something happens.
    WaitUntil(Instant),
    /// Nothing any more.
    Done,
}

/// The answer to a join.
#[derive(Clone, Debug, Default)]
pub(in crate::consumer) struct Joined {
    pub(in crate::consumer) code: ErrorCode,
    pub(in crate::consumer) member_id: String,
    pub(in crate::consumer) generation_id: i32,
    pub(in crate::consumer) protocol: String,
    pub(in crate::consumer) leader: String,
    pub(in crate::consumer) skip_assignment: bool,
    /// Member id, instance id, subscription.
    pub(in crate::consumer) members: Vec<(String, Option<String>, Bytes)>,
}

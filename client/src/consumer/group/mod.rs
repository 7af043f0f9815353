//! Carries out what [`Membership`] decides: one task per consumer talks to the coordinator, so that heartbeats go on
//! while the user works. What takes long, metadata that is waited for and a leader's choice, is another's task.

mod assigning;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::{Instant, JoinError, JoinHandle};
use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use anabranch_protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use anabranch_protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use anabranch_protocol::messages::sync_group::{
    SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::assigning::{Assigned, assign};
use super::assignor::MemberAssignment;
use super::membership::{Joined, Membership, Step};
use crate::cluster::{Client, CoordinatorKind};
use crate::connection::{CallOptions, Connection};
use crate::connections::Lane;
use crate::error::{ClientError, Result};
use crate::group_offsets::Committer;
use crate::metadata::Metadata;

/// What kind of members these are.
const PROTOCOL_TYPE: &str = "consumer";
/// How often a leader looks for a subscribed topic that does not exist yet.
const MISSING_TOPIC_INTERVAL: Duration = Duration::from_secs(1);
/// How long leaving may take: nobody waits for it.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Topics that are not all named.
#[derive(Clone)]
pub(super) struct Wanted {
    /// Wanted, there or not.
    pub(super) named: BTreeSet<Arc<str>>,
    /// Says of a topic that is there whether it is wanted, by its name.
    pub(super) matches: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

/// What the consumer and the group's task share.
pub(super) struct Group {
    pub(super) membership: Mutex<Membership>,
    /// The choice of topics, if it is not made by name, and whether it is a new one.
    wanted: Mutex<(Option<Wanted>, bool)>,
    /// Wakes the task.
    pub(super) wake: Notify,
    /// Ends a join that waits for others.
    pub(super) closing: Notify,
    /// Tells that the task has ended.
    pub(super) ended: tokio::sync::watch::Sender<bool>,
}

impl Group {
    pub(super) fn new(membership: Membership) -> Arc<Self> {
        Arc::new(Group {
            membership: Mutex::new(membership),
            wanted: Mutex::new((None, false)),
            wake: Notify::new(),
            closing: Notify::new(),
            ended: tokio::sync::watch::Sender::new(false),
        })
    }

    /// Chooses topics in this way from now on, or by name.
    pub(super) fn want(&self, wanted: Option<Wanted>) {
        *self.wanted.lock() = (wanted, true);
    }

    /// What the user wants, for another group's task in place of this one.
    pub(super) fn hand_on(&self, to: &Group) {
        match &self.wanted.lock().0 {
            Some(wanted) => to.want(Some(wanted.clone())),
            None => to.membership.lock().subscribe(self.membership.lock().topics().to_vec()),
        }
    }

    /// Whether the user wants topics, there or not.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.lock().0.is_some() || !self.membership.lock().topics().is_empty()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({:?})", self.membership)
    }
}

struct Driver {
    client: Client,
    group: Arc<Group>,
    /// Wakes the consumer's poll.
    changed: Arc<Notify>,
    lane: Lane,
    create_topics: bool,
    /// Partitions per topic when this leader last assigned.
    assigned_with: BTreeMap<Arc<str>, Option<i32>>,
    look_at_topics_at: Instant,
    /// When to choose topics anew, if they are not chosen by name.
    choose_at: Instant,
    /// Metadata that is on its way, asked for by a task of its own: heartbeats do not wait for it.
    asking: Option<Asking>,
    /// The leader's choice, while it is made.
    assigning: Option<JoinHandle<Result<Assigned>>>,
}

type Asking = JoinHandle<(Question, Result<()>)>;

/// What metadata is asked for.
enum Question {
    /// Which topics there are, to choose among them.
    Choice,
    /// Whether the topics that this leader has assigned have changed.
    Change,
}

/// Runs until the membership is done.
pub(super) async fn run(client: Client, group: Arc<Group>, changed: Arc<Notify>, create_topics: bool) {
    let mut driver = Driver {
        lane: client.new_lane(),
        client,
        group: Arc::clone(&group),
        changed,
        create_topics,
        assigned_with: BTreeMap::new(),
        look_at_topics_at: Instant::default(),
        choose_at: Instant::default(),
        asking: None,
        assigning: None,
    };
    driver.run().await;
    if let Some(asking) = driver.asking {
        asking.abort();
    }
    if let Some(assigning) = driver.assigning {
        assigning.abort();
    }
    group.ended.send_replace(true);
}

impl Driver {
    async fn run(&mut self) {
        let host = self.client.host().clone();
        loop {
            self.choose_topics().await;
            let (step, is_assigning) = {
                let mut membership = self.group.membership.lock();
                (membership.next(host.now()), membership.is_assigning())
            };
            // Nobody waits for a choice of a generation that is over.
            if let Some(assigning) = self.assigning.take_if(|_| !is_assigning) {
                assigning.abort();
            }
            // What the step before has led to, and this one may have, is for the user to hear.
            self.changed.notify_waiters();
            match step {
                Step::Done => return,
                Step::WaitUntil(time) => self.wait_until(time).await,
                Step::FindCoordinator => {
                    let name = Arc::clone(&self.group.membership.lock().options().group);
                    let timeout = self.timeout();
                    let finding = self.client.find_coordinator(CoordinatorKind::Group, &name);
                    let found = host.timeout(timeout, finding).await;
                    let found = found
                        .unwrap_or_else(|_| Err(ClientError::timed_out("finding the coordinator", timeout)));
                    let retry_at = self.retry_at();
                    self.group.membership.lock().found(found, retry_at);
                }
                Step::Join { member_id, protocols, reason } => {
                    self.join(&member_id, &protocols, &reason).await;
                }
                Step::Assign { assignor, members } => {
                    let (client, create) = (self.client.clone(), self.create_topics);
                    let task = host.spawn(async move { assign(&client, create, &*assignor, &members).await });
                    self.assigning = Some(task);
                }
                Step::Sync { committer, protocol, assignments } => {
                    self.sync(&committer, &protocol, &assignments).await;
                }
                Step::Heartbeat(committer) => {
                    let answered = self.heartbeat(&committer).await;
                    let (now, retry_at) = (host.now(), self.retry_at());
                    let mut membership = self.group.membership.lock();
                    match answered {
                        Ok(code) => membership.heartbeat_answered(code, now, retry_at),
                        Err(error) => membership.went_wrong(error, retry_at),
                    }
                }
                Step::Leave(committer) => {
                    // A member that cannot say so is missed soon enough.
                    let left = host.timeout(LEAVE_TIMEOUT, self.leave(&committer)).await;
                    tracing::debug!(group = %committer.group, member = %committer.member_id, ?left, "left");
                }
            }
        }
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.client.config().request_timeout_ms)
    }

    fn retry_at(&self) -> Instant {
        let host = self.client.host();
        let failures = self.group.membership.lock().failures() + 1;
        host.now() + self.client.backoff().delay(failures, host.random_u64())
    }

    /// Waits, and as the leader watches the topics meanwhile.
    async fn wait_until(&mut self, time: Instant) {
        let host = self.client.host().clone();
        let watches = self.group.membership.lock().watches_topics();
        let mut until = time;
        if self.asking.is_none() {
            if watches {
                until = until.min(self.look_at_topics_at);
            }
            if self.group.wanted.lock().0.is_some() {
                until = until.min(self.choose_at);
            }
        }
        tokio::select! {
            biased;
            () = self.group.wake.notified() => {}
            answered = result_of(&mut self.asking) => self.hear(answered),
            assigned = result_of(&mut self.assigning) => self.take_assignment(assigned),
            () = host.sleep_until(until) => {}
        }
        if watches && self.asking.is_none() && host.now() >= self.look_at_topics_at {
            self.ask(Question::Change);
        }
    }

    /// Where topics are not chosen by name: looks which there are, when it is time. Who is no member yet waits for the answer.
    async fn choose_topics(&mut self) {
        let host = self.client.host().clone();
        {
            let mut wanted = self.group.wanted.lock();
            if std::mem::take(&mut wanted.1) {
                self.choose_at = host.now();
                // Its answer may be older than the wish.
                if let Some(asking) = self.asking.take() {
                    asking.abort();
                }
            }
            if wanted.0.is_none() || host.now() < self.choose_at {
                return;
            }
        }
        let is_member = self.group.membership.lock().is_member();
        if self.asking.is_none() {
            self.ask(Question::Choice);
        }
        if let Some(asking) = self.asking.take_if(|_| !is_member) {
            self.hear(asking.await);
        }
    }

    fn ask(&mut self, question: Question) {
        let (client, timeout, create) = (self.client.clone(), self.timeout(), self.create_topics);
        let topics: Vec<_> = self.assigned_with.keys().cloned().collect();
        self.asking = Some(self.client.host().spawn(async move {
            let host = client.host();
            let asked = async {
                match question {
                    Question::Choice => client.refresh_all().await,
                    Question::Change => client.refresh_topics(&topics, host.now(), create).await,
                }
            };
            let answered = host.timeout(timeout, asked).await;
            let answered =
                answered.unwrap_or_else(|_| Err(ClientError::timed_out("asking for metadata", timeout)));
            (question, answered.map(drop))
        }));
    }

    /// The client knows what was answered, and may know what is newer.
    fn hear(&mut self, answered: Result<(Question, Result<()>), JoinError>) {
        // Else it has panicked, or everything ends; it is asked again when it is time.
        let Ok(answered) = answered else { return };
        match answered {
            (Question::Choice, Ok(())) => self.choose(&self.client.metadata()),
            (Question::Choice, Err(error)) => {
                tracing::debug!(%error, "topics cannot be chosen yet");
                self.choose_at = self.retry_at();
            }
            (Question::Change, answered) => {
                if answered.is_ok() {
                    self.look_at_topics(&self.client.metadata());
                }
                self.schedule_look();
            }
        }
    }

    fn take_assignment(&mut self, assigned: Result<Result<Assigned>, JoinError>) {
        let assigned =
            assigned.unwrap_or_else(|error| Err(ClientError::invalid(format!("assigning: {error}"))));
        let assignments = assigned.map(|Assigned { topics, assignments }| {
            self.assigned_with = topics;
            self.schedule_look();
            assignments
        });
        let retry_at = self.retry_at();
        self.group.membership.lock().assigned(assignments, retry_at);
    }

    fn choose(&mut self, metadata: &Metadata) {
        let Some(Wanted { named, matches }) = self.group.wanted.lock().0.clone() else { return };
        let matched = metadata.topics().filter(|topic| !topic.is_internal && matches(&topic.name));
        let mut chosen = named;
        chosen.extend(matched.map(|topic| Arc::clone(&topic.name)));
        self.group.membership.lock().subscribe_for_now(chosen.into_iter().collect());
        let age = Duration::from_millis(self.client.config().metadata_max_age_ms);
        self.choose_at = self.client.host().now() + age;
    }

    /// Rebalances if a topic has come, gone, or grown.
    fn look_at_topics(&self, metadata: &Metadata) {
        let changed = self.assigned_with.iter().any(|(topic, before)| {
            // A topic that cannot be described right now has not changed for that.
            let gone = metadata.refusal(topic) == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            let now = metadata.partition_count(topic);
            now != *before && (now.is_some() || gone)
        });
        if changed {
            self.group.membership.lock().request_rejoin("topics have changed");
        }
    }

    fn schedule_look(&mut self) {
        let missing = self.assigned_with.values().any(Option::is_none);
        let age = Duration::from_millis(self.client.config().metadata_max_age_ms);
        let interval = if missing { MISSING_TOPIC_INTERVAL.min(age) } else { age };
        self.look_at_topics_at = self.client.host().now() + interval;
    }

    async fn connection(&self) -> Result<Connection> {
        let address = self.group.membership.lock().coordinator().map(str::to_string);
        match address {
            Some(address) => self.lane.connection(&address).await,
            None => Err(ClientError::retriable("the coordinator is not known")),
        }
    }

    async fn join(&self, member_id: &str, protocols: &[(String, Bytes)], reason: &str) {
        let (options, timeout) = {
            let membership = self.group.membership.lock();
            (membership.options().clone(), membership.join_timeout())
        };
        let milliseconds = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        let protocol =
            |(name, metadata): &(String, Bytes)| -> (String, Bytes) { (name.clone(), metadata.clone()) };
        let protocols: Vec<(String, Bytes)> = protocols.iter().map(protocol).collect();
        let call = async {
            let connection = self.connection().await?;
            let request = JoinGroupRequest {
                group_id: &options.group,
                session_timeout_ms: milliseconds(options.session_timeout),
                rebalance_timeout_ms: milliseconds(options.max_poll_interval),
                member_id,
                group_instance_id: options.instance_id.as_deref(),
                protocol_type: PROTOCOL_TYPE,
                protocols: protocols
                    .iter()
                    .map(|(name, metadata)| JoinGroupRequestProtocol { name, metadata: metadata.clone() })
                    .collect(),
                reason: (!reason.is_empty()).then_some(reason),
            };
            let timeout = timeout.max(self.timeout());
            let call = CallOptions { timeout: Some(timeout), ..Default::default() };
            let answer = connection.call_with(&request, call).await?;
            let response: JoinGroupResponse<'_> = answer.decode()?;
            let members = response.members.iter().map(|member| {
                (
                    member.member_id.to_string(),
                    member.group_instance_id.map(str::to_string),
                    member.metadata.clone(),
                )
            });
            Ok::<_, ClientError>(Joined {
                code: response.error_code,
                member_id: response.member_id.to_string(),
                generation_id: response.generation_id,
                protocol: response.protocol_name.unwrap_or_default().to_string(),
                leader: response.leader.to_string(),
                skip_assignment: response.skip_assignment,
                members: members.collect(),
            })
        };
        let joined = tokio::select! {
            biased;
            () = self.group.closing.notified() => {
                // The connection waits for the join: whatever is to be said now goes over another.
                if let Ok(connection) = self.connection().await {
                    connection.close();
                }
                return;
            }
            joined = call => joined,
        };
        let (now, retry_at) = (self.client.host().now(), self.retry_at());
        let mut membership = self.group.membership.lock();
        match joined {
            Ok(joined) => membership.joined(joined, now, retry_at),
            Err(error) => membership.went_wrong(error, retry_at),
        }
    }

    async fn sync(&self, committer: &Committer, protocol: &str, assignments: &BTreeMap<String, Bytes>) {
        let call = async {
            let connection = self.connection().await?;
            let request = SyncGroupRequest {
                group_id: &committer.group,
                generation_id: committer.generation,
                member_id: &committer.member_id,
                group_instance_id: committer.instance_id.as_deref(),
                protocol_type: Some(PROTOCOL_TYPE),
                protocol_name: Some(protocol),
                assignments: assignments
                    .iter()
                    .map(|(member_id, assignment)| SyncGroupRequestAssignment {
                        member_id,
                        assignment: assignment.clone(),
                    })
                    .collect(),
            };
            // Answered when the leader has assigned, which may take it as long as a join.
            let timeout = self.group.membership.lock().join_timeout().max(self.timeout());
            let call = CallOptions { timeout: Some(timeout), ..Default::default() };
            let answer = connection.call_with(&request, call).await?;
            let response: SyncGroupResponse<'_> = answer.decode()?;
            Ok::<_, ClientError>((response.error_code, response.assignment))
        };
        let synced = tokio::select! {
            biased;
            () = self.group.closing.notified() => {
                if let Ok(connection) = self.connection().await {
                    connection.close();
                }
                return;
            }
            synced = call => synced,
        };
        if let Ok((ErrorCode::NONE, assignment)) = &synced
            && let Ok(assignment) = MemberAssignment::decode(assignment)
        {
            // Before the membership has it: the user must not be told before its assignor is.
            let assignor = self.group.membership.lock().assignor();
            assignor.inspect(|assignor| assignor.on_assignment(&assignment, committer.generation));
        }
        let (now, retry_at) = (self.client.host().now(), self.retry_at());
        let mut membership = self.group.membership.lock();
        match synced {
            Ok((code, assignment)) => membership.synced(code, &assignment, now, retry_at),
            Err(error) => membership.went_wrong(error, retry_at),
        }
    }

    async fn heartbeat(&self, committer: &Committer) -> Result<ErrorCode> {
        let connection = self.connection().await?;
        let request = HeartbeatRequest {
            group_id: &committer.group,
            generation_id: committer.generation,
            member_id: &committer.member_id,
            group_instance_id: committer.instance_id.as_deref(),
        };
        let answer = connection.call(&request).await?;
        let response: HeartbeatResponse = answer.decode()?;
        Ok(response.error_code)
    }

    async fn leave(&self, committer: &Committer) -> Result<ErrorCode> {
        let connection = self.connection().await?;
        let member = MemberIdentity {
            member_id: &committer.member_id,
            group_instance_id: None,
            reason: Some("the consumer is closed, or polls too rarely"),
        };
        let request = LeaveGroupRequest {
            group_id: &committer.group,
            member_id: &committer.member_id,
            members: vec![member],
        };
        let answer = connection.call(&request).await?;
        let response: LeaveGroupResponse<'_> = answer.decode()?;
        Ok(response.error_code)
    }
}

/// What a task has led to, once there is one and it has ended.
async fn result_of<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    let Some(handle) = task else { return std::future::pending().await };
    let result = handle.await;
    *task = None;
    result
}

#[cfg(test)]
mod tests;

//! One member of a classic group: what it says to the coordinator next, and what its user must be told. Pure: it is told
//! the time and every answer, and names the next [`Step`]; `group` carries the steps out.
//!
//! ```text
//!   Outside --Join--> Joining --(leader: Assign, heartbeats)--> Syncing --> Member --heartbeats-->
//!      ^                 ^                                         |  rebalance
//!      |                 +---- the user has let go <-- Revoking <--+
//!      +-- unknown member, fenced, too long without a poll: what was owned is lost
//! ```
//! The user hears of changes by [`RebalanceEvent`]s that a poll returns, and has dealt with them when it polls again: only
//! then does the member go on. Under an eager protocol it lets go of everything before it joins; under a cooperative one
//! (KIP-429) it keeps what it has, lets go of what the new assignment takes away, and joins once more.

mod committing;
mod fences;
mod step;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::Instant;
use anabranch_protocol::ErrorCode;
use bytes::Bytes;

pub use step::RebalanceEvent;
pub(super) use step::{Joined, MemberOptions, Step};

use self::fences::Fences;
use super::assignor::{Assignor, MemberAssignment, MemberSubscription, RebalanceProtocol};
use crate::error::{ClientError, Result};
use crate::topic_partition::TopicPartition;

#[derive(Debug)]
enum State {
    /// Not in the group.
    Outside,
    Joining,
    /// As the leader, about to assign, or at it.
    Assigning {
        members: BTreeMap<String, MemberSubscription>,
        under_way: bool,
    },
    /// About to ask for the assignment.
    Syncing(BTreeMap<String, Bytes>),
    Member,
    /// A member whose user is to let go before it joins again.
    Revoking,
}

/// What a member can do about INCONSISTENT_GROUP_PROTOCOL.
const OTHER_PROTOCOLS: &str = "its members have no assignor in common with this one; one that was stopped without leaving \
                               the group, as Kafka Streams does, counts until its session.timeout.ms is over";

/// A member. See the module.
#[derive(Debug)]
pub(super) struct Membership {
    options: MemberOptions,
    assignors: Vec<Arc<dyn Assignor>>,
    topics: Vec<Arc<str>>,
    /// It is a member of the group also while there is no topic that it wants: some may come.
    awaits_topics: bool,
    state: State,
    /// Its address, if known.
    coordinator: Option<String>,
    member_id: Arc<str>,
    generation_id: i32,
    assignor: Option<Arc<dyn Assignor>>,
    is_leader: bool,
    owned: BTreeSet<TopicPartition>,
    /// Part of `owned` until the user has let go.
    to_release: Vec<TopicPartition>,
    events: VecDeque<RebalanceEvent>,
    /// The user has been told and has not polled since.
    told: bool,
    /// Why to join again.
    rejoin: Option<String>,
    not_before: Instant,
    failures: u32,
    heartbeat_at: Instant,
    polled_at: Instant,
    /// The user polls too rarely; the member waits for it outside the group.
    idle: bool,
    closing: bool,
    failed: Option<ClientError>,
    fences: Fences,
}

impl Membership {
    pub(super) fn new(options: MemberOptions, assignors: Vec<Arc<dyn Assignor>>, now: Instant) -> Self {
        Membership {
            options,
            assignors,
            topics: Vec::new(),
            awaits_topics: false,
            state: State::Outside,
            coordinator: None,
            member_id: "".into(),
            generation_id: -1,
            assignor: None,
            is_leader: false,
            owned: BTreeSet::new(),
            to_release: Vec::new(),
            events: VecDeque::new(),
            told: false,
            rejoin: None,
            not_before: Instant::default(),
            failures: 0,
            heartbeat_at: Instant::default(),
            polled_at: now,
            idle: false,
            closing: false,
            failed: None,
            fences: Fences::default(),
        }
    }

    /// Wants these topics from now on.
    pub(super) fn subscribe(&mut self, topics: Vec<Arc<str>>) {
        self.awaits_topics = false;
        self.set_topics(topics);
    }

    /// Wants these topics from now on, of which there may be none by now.
    pub(super) fn subscribe_for_now(&mut self, topics: Vec<Arc<str>>) {
        self.awaits_topics = true;
        self.set_topics(topics);
    }

    fn set_topics(&mut self, topics: Vec<Arc<str>>) {
        if self.topics != topics {
            self.topics = topics;
            self.rejoin.get_or_insert_with(|| "the subscription has changed".to_string());
        }
    }

    /// Wants nothing any more, and tells the user nothing of what it had.
    pub(super) fn unsubscribe(&mut self) {
        self.topics.clear();
        self.awaits_topics = false;
        self.owned.clear();
        self.to_release.clear();
        self.events.clear();
        self.told = false;
    }

    /// The topics it wants.
    pub(super) fn topics(&self) -> &[Arc<str>] {
        &self.topics
    }

    /// Joins again at the next occasion.
    pub(super) fn request_rejoin(&mut self, reason: &str) {
        self.rejoin.get_or_insert_with(|| reason.to_string());
    }

    /// The user polls: it has dealt with all that it was told. Says whether the member can go on for that.
    pub(super) fn polled(&mut self, now: Instant) -> bool {
        self.polled_at = now;
        let was_idle = std::mem::take(&mut self.idle);
        let was_told = std::mem::take(&mut self.told);
        if was_told {
            for name in std::mem::take(&mut self.to_release) {
                self.owned.remove(&name);
            }
        }
        was_idle || was_told
    }

    /// The partitions that the user is about to be told to let go of.
    pub(super) fn revoked(&self) -> Vec<TopicPartition> {
        let revoked = self.events.iter().filter_map(|event| match event {
            RebalanceEvent::Revoked(partitions) => Some(partitions),
            _ => None,
        });
        revoked.flatten().cloned().collect()
    }

    /// What the user must be told now.
    pub(super) fn take_events(&mut self) -> Vec<RebalanceEvent> {
        self.told |= !self.events.is_empty();
        self.events.drain(..).collect()
    }

    /// Why the member can never go on.
    pub(super) fn failure(&self) -> Option<&ClientError> {
        self.failed.as_ref()
    }

    /// The assignor that the group has chosen.
    pub(super) fn assignor(&self) -> Option<Arc<dyn Assignor>> {
        self.assignor.clone()
    }

    /// Whether a commit that is refused for a rebalance under way may be tried again without the user's doing.
    pub(super) fn goes_on_by_itself(&self) -> bool {
        !self.user_is_awaited()
            && matches!(
                self.state,
                State::Joining | State::Assigning { .. } | State::Syncing(_) | State::Member
            )
    }

    /// Whether this member leads the group and waits for nothing: then it watches the topics.
    pub(super) fn watches_topics(&self) -> bool {
        self.is_leader && matches!(self.state, State::Member) && self.rejoin.is_none()
    }

    /// Whether the coordinator waits for heartbeats.
    pub(super) fn is_member(&self) -> bool {
        matches!(self.state, State::Assigning { .. } | State::Member | State::Revoking)
    }

    /// Whether it waits for the leader's choice that it has asked for.
    pub(super) fn is_assigning(&self) -> bool {
        matches!(self.state, State::Assigning { under_way: true, .. })
    }

    /// The coordinator's address, if known.
    pub(super) fn coordinator(&self) -> Option<&str> {
        self.coordinator.as_deref()
    }

    fn user_is_awaited(&self) -> bool {
        self.told || !self.events.is_empty()
    }

    fn protocol(&self) -> RebalanceProtocol {
        let cooperative =
            |assignor: &Arc<dyn Assignor>| assignor.protocol() == RebalanceProtocol::Cooperative;
        if self.assignors.iter().all(cooperative) {
            RebalanceProtocol::Cooperative
        } else {
            RebalanceProtocol::Eager
        }
    }

    /// The next step.
    pub(super) fn next(&mut self, now: Instant) -> Step {
        if self.closing || self.failed.is_some() {
            return self.leave().unwrap_or(Step::Done);
        }
        let poll_due = self.polled_at + self.options.max_poll_interval;
        if now >= poll_due && !self.idle && !self.is_outside() {
            self.idle = true;
            let leave = self.leave();
            self.lose();
            if let Some(leave) = leave {
                return leave;
            }
        }
        if self.topics.is_empty() && !self.awaits_topics {
            let leave = self.leave();
            if !self.is_outside() {
                self.lose();
            }
            return leave.unwrap_or(Step::WaitUntil(far(now)));
        }
        if self.idle {
            return Step::WaitUntil(far(now));
        }
        if now < self.not_before {
            return Step::WaitUntil(self.not_before);
        }
        if self.coordinator.is_none() {
            return Step::FindCoordinator;
        }
        match &mut self.state {
            State::Outside => {
                if self.user_is_awaited() {
                    return Step::WaitUntil(far(now));
                }
                self.join()
            }
            State::Joining => self.join(),
            // However long that takes: the group waits for this member alone, which must not be missed meanwhile.
            State::Assigning { .. } if now >= self.heartbeat_at => Step::Heartbeat(self.committer()),
            State::Assigning { under_way: true, .. } => Step::WaitUntil(self.heartbeat_at.min(poll_due)),
            State::Assigning { members, under_way } => {
                *under_way = true;
                let members = members.clone();
                match &self.assignor {
                    Some(assignor) => Step::Assign { assignor: Arc::clone(assignor), members },
                    None => self.join(),
                }
            }
            State::Syncing(assignments) => {
                let assignments = assignments.clone();
                let protocol = self.assignor.as_ref().map(|assignor| assignor.name().to_string());
                Step::Sync {
                    committer: self.committer(),
                    protocol: protocol.unwrap_or_default(),
                    assignments,
                }
            }
            State::Member | State::Revoking => self.next_as_member(now, poll_due),
        }
    }

    fn next_as_member(&mut self, now: Instant, poll_due: Instant) -> Step {
        if self.rejoin.is_some() && !self.user_is_awaited() {
            let to_release =
                if matches!(self.state, State::Revoking) { Vec::new() } else { self.before_join() };
            if to_release.is_empty() {
                return self.join();
            }
            self.state = State::Revoking;
            self.release(to_release);
        }
        if now >= self.heartbeat_at {
            return Step::Heartbeat(self.committer());
        }
        Step::WaitUntil(self.heartbeat_at.min(poll_due))
    }

    /// What must be let go of before joining.
    fn before_join(&self) -> Vec<TopicPartition> {
        match self.protocol() {
            RebalanceProtocol::Eager => self.owned.iter().cloned().collect(),
            RebalanceProtocol::Cooperative => {
                let unwanted = self.owned.iter().filter(|name| !self.topics.contains(&name.topic));
                unwanted.cloned().collect()
            }
        }
    }

    fn release(&mut self, partitions: Vec<TopicPartition>) {
        self.to_release.extend(partitions.iter().cloned());
        self.events.push_back(RebalanceEvent::Revoked(partitions));
    }

    fn is_outside(&self) -> bool {
        matches!(self.state, State::Outside)
    }

    fn join(&mut self) -> Step {
        self.state = State::Joining;
        let reason = self.rejoin.take().unwrap_or_default();
        let subscription = |assignor: &Arc<dyn Assignor>| {
            let subscription = MemberSubscription {
                topics: self.topics.clone(),
                user_data: assignor.subscription_user_data(&self.topics),
                owned_partitions: self.owned.iter().cloned().collect(),
                generation_id: self.generation_id,
                group_instance_id: None,
                rack: self.options.rack.clone(),
            };
            (assignor.name().to_string(), subscription.encode())
        };
        let protocols = self.assignors.iter().map(subscription).collect();
        Step::Join { member_id: Arc::clone(&self.member_id), protocols, reason }
    }

    /// A dynamic member that the coordinator knows says so when it goes; a static one comes back under its name.
    fn leave(&mut self) -> Option<Step> {
        let known = !self.member_id.is_empty() && self.coordinator.is_some();
        let leave = (known && self.options.instance_id.is_none()).then(|| Step::Leave(self.committer()));
        self.member_id = "".into();
        self.generation_id = -1;
        leave
    }

    /// What was owned is no longer, and the user must know.
    fn lose(&mut self) {
        let mut lost: BTreeSet<_> = std::mem::take(&mut self.owned);
        // Of what the user has not been told it need not be told the end.
        for event in self.events.drain(..) {
            match event {
                RebalanceEvent::Assigned { partitions, .. } => {
                    lost.retain(|name| !partitions.contains(name));
                }
                RebalanceEvent::Lost(partitions) => lost.extend(partitions),
                RebalanceEvent::Revoked(_) => {}
            }
        }
        self.to_release.clear();
        self.state = State::Outside;
        self.is_leader = false;
        self.generation_id = -1;
        if !lost.is_empty() {
            self.events.push_back(RebalanceEvent::Lost(lost.into_iter().collect()));
        }
    }

    /// The coordinator was found, or not.
    pub(super) fn found(&mut self, coordinator: Result<String>, retry_at: Instant) {
        match coordinator {
            Ok(address) => {
                self.failures = 0;
                self.coordinator = Some(address);
            }
            Err(error) => self.went_wrong(error, retry_at),
        }
    }

    /// How many steps in a row went wrong.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// A step went wrong on its way: the coordinator is looked for anew, and the step done again.
    pub(super) fn went_wrong(&mut self, error: ClientError, retry_at: Instant) {
        if error.is_retriable() {
            self.failures += 1;
            self.not_before = retry_at;
            self.coordinator = None;
        } else {
            self.fail(error);
        }
    }

    /// The member can never go on.
    pub(super) fn fail(&mut self, error: ClientError) {
        self.lose();
        self.failed.get_or_insert(error);
    }

    /// What a code means wherever it comes. True if the step may go on.
    fn accept(&mut self, what: &str, code: ErrorCode, retry_at: Instant) -> bool {
        match code {
            ErrorCode::NONE => {
                self.failures = 0;
                return true;
            }
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => {
                if code == ErrorCode::UNKNOWN_MEMBER_ID {
                    self.member_id = "".into();
                }
                self.not_before = retry_at;
                self.lose();
            }
            // A join of its own that was long on its way, or one of the process before: it takes its name back.
            ErrorCode::FENCED_INSTANCE_ID
                if self.options.sole_instance
                    && self.fences.may_come_back(retry_at, self.options.session_timeout) =>
            {
                self.member_id = "".into();
                self.not_before = retry_at;
                self.lose();
            }
            ErrorCode::REBALANCE_IN_PROGRESS => {
                if matches!(self.state, State::Joining) {
                    self.not_before = retry_at;
                }
                self.request_rejoin("the group rebalances");
            }
            code => {
                let what = format!("{what} of group {}", self.options.group);
                let hint = (code == ErrorCode::INCONSISTENT_GROUP_PROTOCOL).then_some(OTHER_PROTOCOLS);
                self.went_wrong(ClientError::from_code_and_text(&what, code, hint), retry_at);
            }
        }
        false
    }

    /// The answer to a join.
    pub(super) fn joined(&mut self, answer: Joined, now: Instant, retry_at: Instant) {
        if answer.code == ErrorCode::MEMBER_ID_REQUIRED {
            self.member_id = answer.member_id.into();
            return;
        }
        if !self.accept("joining as a member", answer.code, retry_at) {
            return;
        }
        self.member_id = answer.member_id.into();
        self.generation_id = answer.generation_id;
        self.heartbeat_at = now + self.options.heartbeat_interval;
        self.is_leader = *answer.leader == *self.member_id;
        let assignor = self.assignors.iter().find(|assignor| assignor.name() == answer.protocol);
        let Some(assignor) = assignor else {
            let text = format!("group {} chose the unknown assignor {}", self.options.group, answer.protocol);
            return self.fail(ClientError::invalid(text));
        };
        self.assignor = Some(Arc::clone(assignor));
        if !self.is_leader || answer.skip_assignment {
            self.state = State::Syncing(BTreeMap::new());
            return;
        }
        let mut members = BTreeMap::new();
        for (id, instance, subscription) in answer.members {
            match MemberSubscription::decode(&subscription, instance.as_deref()) {
                Ok(subscription) => drop(members.insert(id, subscription)),
                Err(error) => return self.fail(error.context(&format!("member {id}"))),
            }
        }
        self.state = State::Assigning { members, under_way: false };
    }

    /// The leader has assigned, or cannot.
    pub(super) fn assigned(
        &mut self,
        assignments: Result<BTreeMap<String, MemberAssignment>>,
        retry_at: Instant,
    ) {
        let State::Assigning { under_way, .. } = &mut self.state else { return };
        *under_way = false;
        match assignments {
            Ok(assignments) => {
                let encoded = assignments.into_iter().map(|(id, assignment)| (id, assignment.encode()));
                self.state = State::Syncing(encoded.collect());
            }
            Err(error) if error.is_retriable() => {
                self.failures += 1;
                self.not_before = retry_at;
            }
            Err(error) => self.fail(error),
        }
    }

    /// The answer to a sync.
    pub(super) fn synced(&mut self, code: ErrorCode, assignment: &Bytes, now: Instant, retry_at: Instant) {
        if !self.accept("taking the assignment", code, retry_at) {
            if matches!(self.state, State::Syncing(_)) && self.rejoin.is_some() {
                self.state = State::Joining;
            }
            return;
        }
        let assignment = match MemberAssignment::decode(assignment) {
            Ok(assignment) => assignment,
            Err(error) => return self.fail(error),
        };
        let mut new: BTreeSet<_> = assignment.partitions.iter().cloned().collect();
        if self.awaits_topics {
            // The leader has seen topics that this member has not looked for yet: they are wanted all the same.
            for name in &new {
                if let Err(place) = self.topics.binary_search(&name.topic) {
                    self.topics.insert(place, Arc::clone(&name.topic));
                }
            }
        }
        let added: Vec<_> = new.difference(&self.owned).cloned().collect();
        let taken: Vec<_> = self.owned.difference(&new).cloned().collect();
        let partitions = match self.protocol() {
            RebalanceProtocol::Eager => new.iter().cloned().collect(),
            RebalanceProtocol::Cooperative => added,
        };
        if !taken.is_empty() {
            // The group waits for them: whoever is to have them gets them when this member joins once more.
            new.extend(taken.iter().cloned());
            self.release(taken);
            self.request_rejoin("partitions were let go");
        }
        self.owned = new;
        self.events.push_back(RebalanceEvent::Assigned {
            partitions,
            user_data: assignment.user_data,
            generation_id: self.generation_id,
        });
        self.state = State::Member;
        self.heartbeat_at = now + self.options.heartbeat_interval;
    }

    /// The answer to a heartbeat.
    pub(super) fn heartbeat_answered(&mut self, code: ErrorCode, now: Instant, retry_at: Instant) {
        self.heartbeat_at = now + self.options.heartbeat_interval;
        self.accept("a heartbeat", code, retry_at);
    }

    /// The coordinator is elsewhere.
    pub(super) fn coordinator_moved(&mut self) {
        self.coordinator = None;
    }

    /// Leaves and ends.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// How long a join may take: as long as the slowest member, and some time for the way.
    pub(super) fn join_timeout(&self) -> Duration {
        self.options.max_poll_interval + Duration::from_secs(5)
    }

    pub(super) fn options(&self) -> &MemberOptions {
        &self.options
    }
}

fn far(now: Instant) -> Instant {
    now + Duration::from_secs(3600)
}

#[cfg(test)]
mod tests;

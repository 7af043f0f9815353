//! A classic group: its members, its generation, its state.
//!
//! ```text
//!            first join                all joined, or time is up          the leader's assignment
//!   Empty ---------------> Preparing ---------------------------> Completing ---------------> Stable
//!     ^                    Rebalance <---------------------------- Rebalance                     |
//!     |                     |    ^       a member joins, leaves or fails, or sends no Sync       |
//!     +---------------------+    +---------------------------------------------------------------+
//!       nobody is left                  a member joins, leaves, fails or changes
//! ```
//!
//! This file holds the state and keeps it consistent (Kafka's `ClassicGroup`); what happens when, is in
//! [`rebalance`](super::rebalance) and in the files of the requests. *Dead* is what a group is called that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use bytes::Bytes;

use super::member::{Member, Protocol};
use super::records::{self, GroupMetadata, MemberMetadata};
use crate::coordinator::{Now, ReplyTo};

/// The protocol type of groups that consume topics; Kafka Connect and others use names of their own.
pub(crate) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// What a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupState {
    /// Has no members; may have offsets.
    Empty,
    /// Waits for all members to join.
    PreparingRebalance,
    /// Waits for the leader's assignment.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
    /// Does not exist.
    Dead,
}

impl GroupState {
    /// Kafka's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The first rebalance of an empty group waits for more members (`group.initial.rebalance.delay.ms`), and longer each
/// time some came, up to the rebalance timeout.
#[derive(Clone, Copy, Debug)]
pub(super) struct InitialDelay {
    pub(super) delay_ms: u64,
    pub(super) remaining_ms: u64,
    pub(super) new_member_added: bool,
}

/// A classic group.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    pub(crate) id: Arc<str>,
    pub(crate) state: GroupState,
    /// Set in `PreparingRebalance` that comes from `Empty`.
    pub(super) initial_delay: Option<InitialDelay>,
    pub(crate) generation_id: i32,
    /// `None`: a *simple* group, which only has offsets.
    pub(crate) protocol_type: Option<Arc<str>>,
    /// The assignor all members agreed on.
    pub(crate) protocol_name: Option<Arc<str>>,
    pub(crate) leader: Option<Arc<str>>,
    /// When it came into its state; older records do not say.
    pub(crate) state_since_ms: Option<i64>,
    // Ordered, so that answers and records come in one order.
    members: BTreeMap<Arc<str>, Member>,
    static_members: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids given out with MEMBER_ID_REQUIRED whose owners have not come back (KIP-394).
    pending_members: BTreeSet<Arc<str>>,
    /// Members that joined this generation and have not sent SyncGroup.
    pending_sync: BTreeSet<Arc<str>>,
    /// How many members know each protocol.
    supported_protocols: BTreeMap<Arc<str>, usize>,
    awaiting_join: usize,
    subscribed_topics: Option<BTreeSet<String>>,
}

impl ClassicGroup {
    /// A group without members.
    pub(crate) fn new(id: Arc<str>, now: Now) -> ClassicGroup {
        ClassicGroup {
            id,
            state: GroupState::Empty,
            initial_delay: None,
            generation_id: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            state_since_ms: Some(now.wall_clock_ms),
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            supported_protocols: BTreeMap::new(),
            awaiting_join: 0,
            subscribed_topics: None,
        }
    }

    /// The group as its last record says.
    pub(crate) fn from_metadata(id: Arc<str>, metadata: &GroupMetadata) -> ClassicGroup {
        let mut group = ClassicGroup::new(id, Now::default());
        group.state = if metadata.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        group.generation_id = metadata.generation_id;
        group.protocol_type.clone_from(&metadata.protocol_type);
        group.protocol_name.clone_from(&metadata.protocol_name);
        group.state_since_ms = metadata.state_since_ms;
        for member in &metadata.members {
            let protocols = metadata
                .protocol_name
                .iter()
                .map(|name| Protocol { name: name.clone(), metadata: member.subscription.clone() });
            group.add_member(Member {
                id: member.member_id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: member.session_timeout_ms,
                protocols: protocols.collect(),
                assignment: member.assignment.clone(),
                is_new: false,
                awaiting_join: None,
                awaiting_sync: None,
            });
        }
        group.leader.clone_from(&metadata.leader);
        group.find_subscribed_topics();
        group
    }

    /// What a record must hold for this group to be made again.
    pub(crate) fn metadata(&self) -> GroupMetadata {
        let members = self.members.values().map(|member| MemberMetadata {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(self.protocol_name.as_deref()),
            assignment: member.assignment.clone(),
        });
        GroupMetadata {
            protocol_type: self.protocol_type.clone(),
            generation_id: self.generation_id,
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone(),
            state_since_ms: self.state_since_ms,
            members: members.collect(),
        }
    }

    // ---- members

    pub(crate) fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    pub(crate) fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// The member id of the static member `instance_id`.
    pub(crate) fn static_member_id(&self, instance_id: &str) -> Option<&Arc<str>> {
        self.static_members.get(instance_id)
    }

    /// Whether a request that names this member may speak for it.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID if another process took over the static member.
    pub(crate) fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(current) if &**current != member_id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    /// Adds a member. The first one becomes the leader and gives the group its protocol type.
    pub(super) fn add_member(&mut self, member: Member) {
        if self.members.is_empty() {
            self.leader = None;
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member.id.clone());
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.pending_members.remove(&member.id);
        self.count_protocols(&member.protocols, true);
        self.awaiting_join += usize::from(member.awaiting_join.is_some());
        self.members.insert(member.id.clone(), member);
    }

    /// Removes a member, or a pending one. Its parked requests are the caller's to answer.
    pub(super) fn remove_member(&mut self, member_id: &str) -> Option<Member> {
        self.pending_members.remove(member_id);
        self.pending_sync.remove(member_id);
        let removed = self.members.remove(member_id)?;
        self.count_protocols(&removed.protocols, false);
        self.awaiting_join -= usize::from(removed.awaiting_join.is_some());
        if let Some(instance_id) = &removed.instance_id {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(removed)
    }

    /// Gives the static member `old_id` the id `new_id`, and gives back the old one with whatever it had parked.
    pub(super) fn replace_static_member(&mut self, old_id: &str, new_id: Arc<str>) -> Option<Member> {
        let was_leader = self.is_leader(old_id);
        let old = self.remove_member(old_id)?;
        let is_leader = was_leader.then(|| new_id.clone());
        self.add_member(Member {
            id: new_id,
            is_new: false,
            awaiting_join: None,
            awaiting_sync: None,
            ..old.clone()
        });
        if is_leader.is_some() {
            self.leader = is_leader;
        }
        Some(old)
    }

    /// Takes over what a JoinGroup says about a member.
    pub(super) fn update_member(
        &mut self,
        member_id: &str,
        protocols: Vec<Protocol>,
        rebalance_timeout_ms: i32,
        session_timeout_ms: i32,
    ) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        member.rebalance_timeout_ms = rebalance_timeout_ms;
        member.session_timeout_ms = session_timeout_ms;
        let old_protocols = std::mem::replace(&mut member.protocols, protocols.clone());
        self.count_protocols(&old_protocols, false);
        self.count_protocols(&protocols, true);
    }

    /// Gives every member what `assignment` holds for it, or nothing.
    pub(super) fn assign(&mut self, assignment: impl Fn(&str) -> Option<Bytes>) {
        for member in self.members.values_mut() {
            member.assignment = assignment(&member.id).unwrap_or_default();
        }
    }

    // ---- parked requests

    /// Parks a JoinGroup of `member_id`; gives back the one it takes the place of.
    pub(super) fn park_join(&mut self, member_id: &str, reply_to: ReplyTo) -> Option<ReplyTo> {
        let before = self.members.get_mut(member_id)?.awaiting_join.replace(reply_to);
        self.awaiting_join += usize::from(before.is_none());
        before
    }

    /// Takes the parked JoinGroup of `member_id`, to answer it. The member knows its id from then on.
    pub(super) fn take_parked_join(&mut self, member_id: &str) -> Option<ReplyTo> {
        let member = self.members.get_mut(member_id)?;
        member.is_new = false;
        let taken = member.awaiting_join.take();
        self.awaiting_join -= usize::from(taken.is_some());
        taken
    }

    /// Parks a SyncGroup of `member_id`; gives back the one it takes the place of.
    pub(super) fn park_sync(&mut self, member_id: &str, reply_to: ReplyTo) -> Option<ReplyTo> {
        self.members.get_mut(member_id)?.awaiting_sync.replace(reply_to)
    }

    /// Takes the parked SyncGroup of `member_id`, to answer it.
    pub(super) fn take_parked_sync(&mut self, member_id: &str) -> Option<ReplyTo> {
        self.members.get_mut(member_id)?.awaiting_sync.take()
    }

    pub(crate) fn awaiting_join_count(&self) -> usize {
        self.awaiting_join
    }

    /// Whether nobody is left to wait for in the join phase.
    pub(crate) fn all_members_joined(&self) -> bool {
        self.awaiting_join == self.members.len() && self.pending_members.is_empty()
    }

    pub(super) fn add_pending_member(&mut self, member_id: Arc<str>) {
        self.pending_members.insert(member_id);
    }

    pub(crate) fn is_pending_member(&self, member_id: &str) -> bool {
        self.pending_members.contains(member_id)
    }

    pub(crate) fn has_pending_members(&self) -> bool {
        !self.pending_members.is_empty()
    }

    /// From now on SyncGroup is awaited of every member.
    pub(super) fn expect_sync_of_all(&mut self) {
        self.pending_sync = self.members.keys().cloned().collect();
    }

    pub(super) fn expect_no_sync(&mut self) {
        self.pending_sync.clear();
    }

    /// SyncGroup came from `member_id`. Whether it came from all, now.
    pub(super) fn sync_received(&mut self, member_id: &str) -> bool {
        self.pending_sync.remove(member_id);
        self.pending_sync.is_empty()
    }

    pub(crate) fn members_without_sync(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pending_sync.iter()
    }

    // ---- protocols

    /// Whether a member with these protocols may join.
    pub(crate) fn supports_protocols(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == GroupState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| self.is_candidate(&protocol.name))
    }

    /// The protocol most members like best among those all know; among equals, the leader's preference.
    pub(crate) fn select_protocol(&self) -> Option<Arc<str>> {
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            let names = member.protocols.iter().map(|protocol| &protocol.name);
            if let Some(name) = names.into_iter().find(|name| self.is_candidate(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        let preferred =
            leader.into_iter().flat_map(|leader| &leader.protocols).map(|protocol| &protocol.name);
        let winner = preferred.into_iter().find(|name| votes.get(name) == Some(&most));
        winner.or_else(|| votes.iter().find(|(_, count)| **count == most).map(|(name, _)| *name)).cloned()
    }

    fn is_candidate(&self, name: &str) -> bool {
        self.supported_protocols.get(name).copied().unwrap_or(0) == self.members.len()
    }

    fn count_protocols(&mut self, protocols: &[Protocol], added: bool) {
        for protocol in protocols {
            let count = self.supported_protocols.entry(protocol.name.clone()).or_default();
            *count = if added { *count + 1 } else { *count - 1 };
            if *count == 0 {
                self.supported_protocols.remove(&protocol.name);
            }
        }
    }

    // ---- generations

    pub(super) fn transition_to(&mut self, state: GroupState, now: Now) {
        self.state = state;
        self.state_since_ms = Some(now.wall_clock_ms);
    }

    /// Begins a generation with the members there are: `CompletingRebalance`, or `Empty` if there are none.
    pub(super) fn begin_generation(&mut self, now: Now) {
        // Never negative: that would read as "no generation". Two thousand million rebalances are out of reach anyway.
        self.generation_id = self.generation_id.checked_add(1).unwrap_or(1);
        self.initial_delay = None;
        self.protocol_name = self.select_protocol();
        self.find_subscribed_topics();
        self.pending_sync.clear();
        let state = if self.members.is_empty() { GroupState::Empty } else { GroupState::CompletingRebalance };
        self.transition_to(state, now);
    }

    /// Makes sure that the leader is one who joined. `false`: there is none.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.members.get(leader).is_some_and(Member::is_awaiting_join) {
            return true;
        }
        match self.members.values().find(|member| member.is_awaiting_join()) {
            Some(joined) => {
                self.leader = Some(joined.id.clone());
                true
            }
            None => false,
        }
    }

    /// The longest rebalance timeout of a member.
    pub(crate) fn rebalance_timeout_ms(&self) -> u64 {
        let longest = self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0);
        u64::try_from(longest).unwrap_or(0)
    }

    // ---- topics

    pub(crate) fn is_consumer_group(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Whether the members' subscriptions could be read.
    pub(crate) fn knows_subscribed_topics(&self) -> bool {
        self.subscribed_topics.is_some()
    }

    /// Whether a member subscribes to `topic`; if that cannot be known, yes.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.is_consumer_group(),
        }
    }

    fn find_subscribed_topics(&mut self) {
        self.subscribed_topics = None;
        if !self.is_consumer_group() {
            return;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            match records::subscribed_topics(&member.metadata(self.protocol_name.as_deref())) {
                Some(subscribed) => topics.extend(subscribed),
                None => return,
            }
        }
        self.subscribed_topics = Some(topics);
    }
}

#[cfg(test)]
impl ClassicGroup {
    /// What must hold between any two calls.
    pub(super) fn assert_invariants(&self) {
        use GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};
        let members = || self.members.values();
        assert_eq!(self.awaiting_join, members().filter(|member| member.is_awaiting_join()).count());
        let mut counted: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for protocol in members().flat_map(|member| &member.protocols) {
            *counted.entry(protocol.name.clone()).or_default() += 1;
        }
        assert_eq!(self.supported_protocols, counted);
        let instances = members().filter_map(|member| Some((member.instance_id.clone()?, member.id.clone())));
        assert_eq!(self.static_members, instances.collect());
        assert!(self.pending_members.iter().all(|id| !self.members.contains_key(id)));
        assert!(self.pending_sync.iter().all(|id| self.members.contains_key(id)));
        match self.state {
            Empty => assert!(self.members.is_empty()),
            PreparingRebalance => assert!(members().all(|member| member.awaiting_sync.is_none())),
            CompletingRebalance => {
                assert!(members().all(|member| !member.is_awaiting_join()));
                assert!(
                    members()
                        .all(|member| member.awaiting_sync.is_none()
                            || !self.pending_sync.contains(&member.id))
                );
            }
            Stable => {
                assert!(members().all(|member| !member.is_awaiting_join() && member.awaiting_sync.is_none()));
                assert!(self.protocol_name.is_some());
            }
            Dead => panic!("a group that exists is not dead"),
        }
        assert!(self.initial_delay.is_none() || self.state == PreparingRebalance);
        if self.state != PreparingRebalance {
            assert_eq!(self.leader.is_some(), !self.members.is_empty());
        }
        assert!(self.leader.iter().all(|leader| self.members.contains_key(leader)));
    }
}

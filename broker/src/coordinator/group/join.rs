//! JoinGroup: a member asks for a place in the next generation.
//!
//! The request is parked until the join phase ends, except where the answer is known at once: an error, an id to come
//! back with, or a member that already has its place in the current generation.

use std::sync::Arc;

use anabranch_host::HashSet;
use anabranch_protocol::ErrorCode;
use bytes::Bytes;
use tracing::info;

use super::classic::{ClassicGroup, GroupState};
use super::effects::Reply;
use super::member::{Member, Protocol, new_member_id};
use super::rebalance::GroupTurn;
use crate::coordinator::ReplyTo;

/// How long a member that does not know its id yet may stay without a word, as it can send no heartbeats. Should its
/// client have given up on the request and asked anew, this member must go some day.
const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 5 * 60 * 1000;

/// A JoinGroup request, in the form all its versions come down to.
#[derive(Clone, Debug)]
pub(crate) struct JoinGroup<'a> {
    pub(crate) group_id: &'a str,
    /// Empty: a member that has no id yet.
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    pub(crate) client_id: &'a str,
    pub(crate) client_host: &'a str,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) protocol_type: &'a str,
    /// In order of preference.
    pub(crate) protocols: Vec<Protocol>,
    /// Why the client joins, in its words.
    pub(crate) reason: Option<&'a str>,
    /// A random uuid, for the id of a new member.
    pub(crate) uuid: [u8; 16],
    /// The client can come back with the id it is given (version 4, KIP-394).
    pub(crate) requires_known_member_id: bool,
    /// The client knows what it means to lead without assigning (version 9, KIP-814).
    pub(crate) supports_skipping_assignment: bool,
}

/// The answer to a JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinGroupReply {
    pub(crate) error: ErrorCode,
    /// -1 with an error.
    pub(crate) generation_id: i32,
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol_name: Option<Arc<str>>,
    /// Empty with an error.
    pub(crate) leader: Arc<str>,
    pub(crate) skip_assignment: bool,
    pub(crate) member_id: Arc<str>,
    /// All members, for the leader; nobody, for the others.
    pub(crate) members: Vec<JoinedMember>,
}

/// A member as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub(crate) member_id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) metadata: Bytes,
}

impl JoinGroupReply {
    pub(super) fn refused(member_id: Arc<str>, error: ErrorCode) -> JoinGroupReply {
        JoinGroupReply {
            error,
            generation_id: -1,
            protocol_type: None,
            protocol_name: None,
            leader: "".into(),
            skip_assignment: false,
            member_id,
            members: Vec::new(),
        }
    }

    /// The place of `member_id` in the current generation.
    pub(super) fn current(group: &ClassicGroup, member_id: &Arc<str>, with_members: bool) -> JoinGroupReply {
        let joined = |member: &Member| JoinedMember {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(group.protocol_name.as_deref()),
        };
        JoinGroupReply {
            error: ErrorCode::NONE,
            generation_id: group.generation_id,
            protocol_type: group.protocol_type.clone(),
            protocol_name: group.protocol_name.clone(),
            leader: group.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: member_id.clone(),
            members: if with_members { group.members().map(joined).collect() } else { Vec::new() },
        }
    }
}

impl GroupTurn<'_> {
    /// A JoinGroup for this group.
    pub(super) fn join(&mut self, mut request: JoinGroup<'_>, reply_to: ReplyTo) {
        // A name said twice would count as two members' support.
        let mut names = HashSet::default();
        request.protocols.retain(|protocol| names.insert(protocol.name.clone()));
        if !self.has_room_for(request.member_id) {
            self.remove_member(request.member_id);
            self.refuse_join(reply_to, "", ErrorCode::GROUP_MAX_SIZE_REACHED);
            self.complete_join_if_all_joined();
        } else if !self.group.supports_protocols(request.protocol_type, &request.protocols) {
            self.refuse_join(reply_to, request.member_id, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        } else if !request.member_id.is_empty() {
            self.join_known_member(request, reply_to);
        } else if let Some(instance_id) = request.instance_id {
            let new_id = new_member_id(instance_id, request.uuid);
            match self.group.static_member_id(instance_id).cloned() {
                Some(old_id) => self.rejoin_static_member(request, &old_id, new_id, reply_to),
                None => self.add_member(request, new_id, reply_to),
            }
        } else {
            let new_id = new_member_id(request.client_id, request.uuid);
            if request.requires_known_member_id {
                self.group.add_pending_member(new_id.clone());
                let session_timeout_ms = u64::try_from(request.session_timeout_ms).unwrap_or(0);
                self.start_session(new_id.clone(), session_timeout_ms);
                let reply = JoinGroupReply::refused(new_id, ErrorCode::MEMBER_ID_REQUIRED);
                self.effects.reply(reply_to, Reply::Join(reply));
            } else {
                self.add_member(request, new_id, reply_to);
            }
        }
    }

    fn refuse_join(&mut self, reply_to: ReplyTo, member_id: &str, error: ErrorCode) {
        self.effects.reply(reply_to, Reply::Join(JoinGroupReply::refused(member_id.into(), error)));
    }

    /// Whether the group may grow (`group.max.size`), or has this member already. While members join, those who have
    /// joined are counted: if the limit was lowered, the last to come are the ones to go.
    fn has_room_for(&self, member_id: &str) -> bool {
        let member = self.group.member(member_id);
        match self.group.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                member.is_some_and(Member::is_awaiting_join)
                    || self.group.awaiting_join_count() < self.config.max_size
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                member.is_some() || self.group.member_count() < self.config.max_size
            }
        }
    }

    /// A member that names its id.
    fn join_known_member(&mut self, request: JoinGroup<'_>, reply_to: ReplyTo) {
        if self.group.is_pending_member(request.member_id) && request.instance_id.is_none() {
            let member_id = request.member_id.into();
            return self.add_member(request, member_id, reply_to);
        }
        if let Err(error) = self.group.validate_member(request.member_id, request.instance_id) {
            return self.refuse_join(reply_to, request.member_id, error);
        }
        let Some(member) = self.group.member(request.member_id) else {
            return self.refuse_join(reply_to, request.member_id, ErrorCode::UNKNOWN_MEMBER_ID);
        };
        let is_unchanged = member.protocols == request.protocols;
        let is_leader = self.group.is_leader(request.member_id);
        let member_id = member.id.clone();
        match self.group.state {
            // It did not get the answer to its first request: here it is again.
            GroupState::CompletingRebalance if is_unchanged => {
                let reply = JoinGroupReply::current(self.group, &member_id, is_leader);
                self.effects.reply(reply_to, Reply::Join(reply));
            }
            // Nothing changed for the others. A leader that joins asks for a rebalance by it: it has seen something
            // that changes the assignment though no member's metadata, such as new partitions.
            GroupState::Stable if is_unchanged && !is_leader => {
                let reply = JoinGroupReply::current(self.group, &member_id, false);
                self.effects.reply(reply_to, Reply::Join(reply));
            }
            _ => {
                let reason = request.reason.unwrap_or("a member joins again or has changed");
                self.park_join(&member_id, reply_to);
                self.group.update_member(
                    &member_id,
                    request.protocols,
                    request.rebalance_timeout_ms,
                    request.session_timeout_ms,
                );
                self.rebalance(reason);
            }
        }
    }

    /// Adds a member and rebalances.
    fn add_member(&mut self, request: JoinGroup<'_>, member_id: Arc<str>, reply_to: ReplyTo) {
        if self.group.member_count() == 0 {
            self.group.protocol_type = Some(request.protocol_type.into());
        }
        if let Some(initial) = &mut self.group.initial_delay {
            initial.new_member_added = true;
        }
        info!(
            group = &*self.group.id,
            member = &*member_id,
            instance = request.instance_id,
            "a member joins"
        );
        self.group.add_member(Member {
            id: member_id.clone(),
            instance_id: request.instance_id.map(Arc::from),
            client_id: request.client_id.into(),
            client_host: request.client_host.into(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols,
            assignment: Bytes::new(),
            is_new: true,
            awaiting_join: Some(reply_to),
            awaiting_sync: None,
        });
        self.start_session(member_id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance(request.reason.unwrap_or("a member joins"));
    }

    /// A static member has started again: it gets a new id in its old place, and the process that had the old id is
    /// fenced (KIP-345).
    fn rejoin_static_member(
        &mut self,
        request: JoinGroup<'_>,
        old_id: &Arc<str>,
        new_id: Arc<str>,
        reply_to: ReplyTo,
    ) {
        info!(
            group = &*self.group.id,
            old_member = &**old_id,
            member = &*new_id,
            "a static member comes back"
        );
        let old_leader = self.group.leader.clone().unwrap_or_default();
        let Some(old) = self.group.replace_static_member(old_id, new_id.clone()) else {
            return self.refuse_join(reply_to, "", ErrorCode::UNKNOWN_MEMBER_ID);
        };
        self.cancel_session(old_id);
        self.refuse_parked(&old, old_id, ErrorCode::FENCED_INSTANCE_ID);
        self.group.update_member(
            &new_id,
            request.protocols,
            request.rebalance_timeout_ms,
            request.session_timeout_ms,
        );
        self.restart_session(&new_id);
        let reason = request.reason.unwrap_or("a static member came back");
        match self.group.state {
            // The assignment stands, and all that changes is a name: written down, but no rebalance.
            GroupState::Stable if self.group.protocol_name == self.group.select_protocol() => {
                if !self.try_write_metadata() {
                    return self.undo_rejoin(old, &new_id, old_leader, reply_to);
                }
                let is_leader = self.group.is_leader(&new_id);
                let mut reply = JoinGroupReply::current(self.group, &new_id, false);
                if !request.supports_skipping_assignment {
                    // It must not think that it has to assign, so it is not told that it leads.
                    reply.leader = old_leader;
                } else if is_leader {
                    reply = JoinGroupReply::current(self.group, &new_id, true);
                    reply.skip_assignment = true;
                }
                self.effects.reply(reply_to, Reply::Join(reply));
            }
            // The leader may be assigning to the old id just now: all over again.
            _ => {
                self.park_join(&new_id, reply_to);
                self.rebalance(reason);
            }
        }
    }

    /// A static member has started again and says more of itself than can be written down: its old self keeps its place.
    /// The group is stable, so nothing was parked. The answer is Kafka's, which tells the generation all the same.
    fn undo_rejoin(&mut self, old: Member, new_id: &Arc<str>, old_leader: Arc<str>, reply_to: ReplyTo) {
        let old_id = old.id.clone();
        self.cancel_session(new_id);
        self.group.remove_member(new_id);
        self.group.add_member(old);
        self.group.leader = Some(old_leader.clone());
        self.restart_session(&old_id);
        let reply = JoinGroupReply {
            error: ErrorCode::UNKNOWN_SERVER_ERROR,
            leader: old_leader,
            member_id: "".into(),
            members: Vec::new(),
            ..JoinGroupReply::current(self.group, &old_id, false)
        };
        self.effects.reply(reply_to, Reply::Join(reply));
    }

    /// Parks a JoinGroup. One that the member parked before, and no longer waits for, is answered: nothing may hang.
    fn park_join(&mut self, member_id: &Arc<str>, reply_to: ReplyTo) {
        if let Some(superseded) = self.group.park_join(member_id, reply_to) {
            self.refuse_join(superseded, member_id, ErrorCode::REBALANCE_IN_PROGRESS);
        }
    }
}

//! SyncGroup: the leader hands in the assignment, everybody gets their part of it.

use std::sync::Arc;

use anabranch_host::HashMap;
use anabranch_protocol::ErrorCode;
use bytes::Bytes;
use tracing::info;

use super::classic::{ClassicGroup, GroupState};
use super::effects::Reply;
use super::rebalance::GroupTurn;
use super::timers::Timer;
use crate::coordinator::ReplyTo;

/// A SyncGroup request.
#[derive(Clone, Debug, Default)]
pub(crate) struct SyncGroup<'a> {
    pub(crate) group_id: &'a str,
    pub(crate) generation_id: i32,
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    /// What the member thinks the group's protocol type is (version 5, KIP-559).
    pub(crate) protocol_type: Option<&'a str>,
    /// What the member thinks the chosen protocol is (version 5).
    pub(crate) protocol_name: Option<&'a str>,
    /// Member id and assignment; empty but for the leader.
    pub(crate) assignments: Vec<(&'a str, Bytes)>,
}

/// The answer to a SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyncGroupReply {
    pub(crate) error: ErrorCode,
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol_name: Option<Arc<str>>,
    pub(crate) assignment: Bytes,
}

impl SyncGroupReply {
    pub(super) fn refused(error: ErrorCode) -> SyncGroupReply {
        SyncGroupReply { error, protocol_type: None, protocol_name: None, assignment: Bytes::new() }
    }

    pub(super) fn current(group: &ClassicGroup, member_id: &str) -> SyncGroupReply {
        SyncGroupReply {
            error: ErrorCode::NONE,
            protocol_type: group.protocol_type.clone(),
            protocol_name: group.protocol_name.clone(),
            assignment: group.member(member_id).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }
}

impl GroupTurn<'_> {
    /// A SyncGroup for this group.
    pub(super) fn sync(&mut self, request: SyncGroup<'_>, reply_to: ReplyTo) {
        if let Err(error) = self.validate_sync(&request) {
            return self.effects.reply(reply_to, Reply::Sync(SyncGroupReply::refused(error)));
        }
        match self.group.state {
            GroupState::CompletingRebalance => {
                if let Some(superseded) = self.group.park_sync(request.member_id, reply_to) {
                    let reply = SyncGroupReply::refused(ErrorCode::REBALANCE_IN_PROGRESS);
                    self.effects.reply(superseded, Reply::Sync(reply));
                }
                self.sync_received(request.member_id);
                if self.group.is_leader(request.member_id) {
                    self.take_assignment(request.assignments);
                }
            }
            GroupState::Stable => {
                self.sync_received(request.member_id);
                let reply = SyncGroupReply::current(self.group, request.member_id);
                self.effects.reply(reply_to, Reply::Sync(reply));
            }
            GroupState::PreparingRebalance | GroupState::Empty | GroupState::Dead => {
                let reply = SyncGroupReply::refused(ErrorCode::REBALANCE_IN_PROGRESS);
                self.effects.reply(reply_to, Reply::Sync(reply));
            }
        }
    }

    fn validate_sync(&self, request: &SyncGroup<'_>) -> Result<(), ErrorCode> {
        self.group.validate_member(request.member_id, request.instance_id)?;
        if request.generation_id != self.group.generation_id {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let differs =
            |said: Option<&str>, is: Option<&str>| said.is_some_and(|said| is.is_some_and(|is| is != said));
        if differs(request.protocol_type, self.group.protocol_type.as_deref())
            || differs(request.protocol_name, self.group.protocol_name.as_deref())
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        Ok(())
    }

    fn sync_received(&mut self, member_id: &str) {
        if self.group.sync_received(member_id) {
            self.timers.cancel(&Timer::Sync { group_id: self.group.id.clone() });
        }
    }

    /// The leader's assignment: written down, and the group is stable. What cannot be written is not assigned, and all
    /// over again.
    fn take_assignment(&mut self, assignments: Vec<(&str, Bytes)>) {
        let assignments: HashMap<&str, Bytes> = assignments.into_iter().collect();
        self.group.assign(|member_id| assignments.get(member_id).cloned());
        let state_since_ms = self.group.state_since_ms;
        self.group.transition_to(GroupState::Stable, self.now);
        if !self.try_write_metadata() {
            (self.group.state, self.group.state_since_ms) = (GroupState::CompletingRebalance, state_since_ms);
            self.group.assign(|_| None);
            self.answer_parked_syncs(ErrorCode::UNKNOWN_SERVER_ERROR);
            self.prepare_rebalance("the assignment cannot be written down");
            return;
        }
        info!(
            group = &*self.group.id,
            generation = self.group.generation_id,
            members = self.group.member_count(),
            "the group is stable"
        );
        self.answer_parked_syncs(ErrorCode::NONE);
    }
}

//! The steps of a rebalance, which several requests and timeouts share.
//!
//! A [`GroupTurn`] is one call's hold on one group: what it may change, and where records and answers go. The requests
//! add their own steps to it ([`join`](super::join), [`sync`](super::sync), [`heartbeat`](super::heartbeat),
//! [`leave`](super::leave)).

use std::sync::Arc;
use std::time::Duration;

use anabranch_protocol::ErrorCode;
use tracing::{debug, info, warn};

use super::classic::{ClassicGroup, GroupState, InitialDelay};
use super::effects::{Effects, Reply};
use super::join::JoinGroupReply;
use super::member::Member;
use super::records::GroupRecord;
use super::sync::SyncGroupReply;
use super::timers::{Timer, Timers};
use crate::config::GroupConfig;
use crate::coordinator::Now;

/// One call's hold on one group.
pub(super) struct GroupTurn<'a> {
    pub(super) now: Now,
    pub(super) config: &'a GroupConfig,
    pub(super) group: &'a mut ClassicGroup,
    pub(super) timers: &'a mut Timers,
    pub(super) effects: &'a mut Effects,
}

impl GroupTurn<'_> {
    /// Begins a rebalance if the group is not in one; else sees whether it can go on.
    pub(super) fn rebalance(&mut self, reason: &str) {
        if self.group.state == GroupState::PreparingRebalance {
            self.complete_join_if_all_joined();
        } else {
            self.prepare_rebalance(reason);
        }
    }

    /// Begins a rebalance: all members are to join again.
    pub(super) fn prepare_rebalance(&mut self, reason: &str) {
        if self.group.state == GroupState::CompletingRebalance {
            self.group.assign(|_| None);
            self.answer_parked_syncs(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.group.expect_no_sync();
        self.timers.cancel(&Timer::Sync { group_id: self.group.id.clone() });
        info!(
            group = &*self.group.id, state = %self.group.state, generation = self.group.generation_id, reason,
            "preparing to rebalance"
        );
        let was_empty = self.group.state == GroupState::Empty;
        self.group.transition_to(GroupState::PreparingRebalance, self.now);
        if was_empty {
            let delay_ms = self.initial_rebalance_delay_ms();
            let remaining_ms = self.group.rebalance_timeout_ms().saturating_sub(delay_ms);
            self.group.initial_delay = Some(InitialDelay { delay_ms, remaining_ms, new_member_added: false });
            if delay_ms == 0 {
                self.complete_join();
            } else {
                self.set_join_timer(delay_ms);
            }
        } else if self.group.all_members_joined() {
            self.complete_join();
        } else {
            self.set_join_timer(self.group.rebalance_timeout_ms());
        }
    }

    /// Ends the join phase if nobody is left to wait for. The first rebalance of a group always waits its delay.
    pub(super) fn complete_join_if_all_joined(&mut self) {
        if self.group.state == GroupState::PreparingRebalance
            && self.group.initial_delay.is_none()
            && self.group.all_members_joined()
        {
            self.complete_join();
        }
    }

    /// The time for the join phase is up.
    pub(super) fn join_timed_out(&mut self) {
        if self.group.state != GroupState::PreparingRebalance {
            return;
        }
        let initial_rebalance_delay_ms = self.initial_rebalance_delay_ms();
        if let Some(initial) = &mut self.group.initial_delay
            && initial.new_member_added
            && initial.remaining_ms > 0
        {
            // Somebody came: wait once more for others, within the rebalance timeout.
            let delay_ms = initial_rebalance_delay_ms.min(initial.remaining_ms);
            let remaining_ms = initial.remaining_ms.saturating_sub(initial.delay_ms);
            *initial = InitialDelay { delay_ms, remaining_ms, new_member_added: false };
            self.set_join_timer(delay_ms);
        } else {
            self.complete_join();
        }
    }

    /// Ends the join phase. Dynamic members that did not join are out; those that did get the new generation. A static
    /// member keeps its place until its session ends.
    fn complete_join(&mut self) {
        self.timers.cancel(&Timer::Join { group_id: self.group.id.clone() });
        let is_late = |member: &&Member| !member.is_awaiting_join() && member.instance_id.is_none();
        let late: Vec<Arc<str>> =
            self.group.members().filter(is_late).map(|member| member.id.clone()).collect();
        for member_id in &late {
            info!(
                group = &*self.group.id,
                member = &**member_id,
                "removing a member that did not rejoin in time"
            );
            self.remove_member(member_id);
        }
        if !self.group.elect_joined_leader() && self.group.member_count() > 0 {
            // Only static members are left and none of them joined: wait for them, or for the end of their sessions.
            self.group.initial_delay = None;
            // Never at once again: a rebalance timeout of zero would wait in a circle.
            self.set_join_timer(self.group.rebalance_timeout_ms().max(1));
            return;
        }
        self.group.begin_generation(self.now);
        info!(
            group = &*self.group.id, state = %self.group.state, generation = self.group.generation_id,
            members = self.group.member_count(), "the join phase is over"
        );
        if self.group.state == GroupState::Empty {
            self.write_metadata();
            return;
        }
        let members: Vec<Arc<str>> = self.group.members().map(|member| member.id.clone()).collect();
        for member_id in &members {
            let reply = JoinGroupReply::current(self.group, member_id, self.group.is_leader(member_id));
            if let Some(reply_to) = self.group.take_parked_join(member_id) {
                self.effects.reply(reply_to, Reply::Join(reply));
            }
            self.restart_session(member_id);
        }
        self.group.expect_sync_of_all();
        self.set_timer(Timer::Sync { group_id: self.group.id.clone() }, self.group.rebalance_timeout_ms());
    }

    /// The time to send SyncGroup is up: those who did not are out, and the others rebalance.
    pub(super) fn sync_timed_out(&mut self) {
        if !matches!(self.group.state, GroupState::CompletingRebalance | GroupState::Stable) {
            return;
        }
        let silent: Vec<Arc<str>> = self.group.members_without_sync().cloned().collect();
        if silent.is_empty() {
            return;
        }
        for member_id in &silent {
            info!(
                group = &*self.group.id,
                member = &**member_id,
                "removing a member that sent no SyncGroup in time"
            );
            self.remove_member(member_id);
        }
        self.prepare_rebalance("members sent no SyncGroup in time");
    }

    /// Nothing was heard of a member, or of a pending one, for its session timeout.
    pub(super) fn session_timed_out(&mut self, member_id: &str) {
        let Some(member) = self.group.member(member_id) else {
            debug!(group = &*self.group.id, member = member_id, "a pending member did not come back in time");
            self.group.remove_member(member_id);
            self.complete_join_after_removal();
            return;
        };
        if member.is_excused_from_heartbeats() {
            // Answering its parked request starts the session anew.
            return;
        }
        info!(group = &*self.group.id, member = member_id, "removing a member whose session timed out");
        self.remove_member(member_id);
        if self.group.state == GroupState::PreparingRebalance {
            self.complete_join_after_removal();
        } else {
            self.prepare_rebalance("a member's session timed out");
        }
    }

    /// As [`GroupTurn::complete_join_if_all_joined`], and also ends the first join phase of a group: it has lost a
    /// member, and if it lost them all there is nobody to wait with.
    fn complete_join_after_removal(&mut self) {
        if self.group.state == GroupState::PreparingRebalance && self.group.all_members_joined() {
            self.complete_join();
        }
    }

    /// Takes a member out of the group. Whatever it has parked is answered: should it still live, it joins anew.
    pub(super) fn remove_member(&mut self, member_id: &str) {
        let Some(removed) = self.group.remove_member(member_id) else { return };
        self.cancel_session(&removed.id);
        self.refuse_parked(&removed, &"".into(), ErrorCode::UNKNOWN_MEMBER_ID);
    }

    /// Answers with `error` what `member`, which is no longer in the group, has parked.
    pub(super) fn refuse_parked(&mut self, member: &Member, member_id: &Arc<str>, error: ErrorCode) {
        if let Some(reply_to) = member.awaiting_join {
            self.effects.reply(reply_to, Reply::Join(JoinGroupReply::refused(member_id.clone(), error)));
        }
        if let Some(reply_to) = member.awaiting_sync {
            self.effects.reply(reply_to, Reply::Sync(SyncGroupReply::refused(error)));
        }
    }

    /// Answers all parked SyncGroups: with the member's assignment if there is no error.
    pub(super) fn answer_parked_syncs(&mut self, error: ErrorCode) {
        let members: Vec<Arc<str>> = self.group.members().map(|member| member.id.clone()).collect();
        for member_id in &members {
            let Some(reply_to) = self.group.take_parked_sync(member_id) else { continue };
            let reply = if error == ErrorCode::NONE {
                SyncGroupReply::current(self.group, member_id)
            } else {
                SyncGroupReply::refused(error)
            };
            self.effects.reply(reply_to, Reply::Sync(reply));
            self.restart_session(member_id);
        }
    }

    /// Writes the group down as it is.
    pub(super) fn write_metadata(&mut self) {
        let record = self.metadata_record();
        self.effects.records.push(record);
    }

    /// As [`GroupTurn::write_metadata`], of a group with members, which may say more than the log takes. Whether it does
    /// not.
    pub(super) fn try_write_metadata(&mut self) -> bool {
        let record = self.metadata_record();
        let fits = self.effects.fits(&record);
        if fits {
            self.effects.records.push(record);
        } else {
            warn!(group = &*self.group.id, "what the group is to keep is larger than its topic allows");
        }
        fits
    }

    fn metadata_record(&self) -> GroupRecord {
        GroupRecord::GroupMetadata { group_id: self.group.id.clone(), value: Some(self.group.metadata()) }
    }

    fn initial_rebalance_delay_ms(&self) -> u64 {
        u64::try_from(self.config.initial_rebalance_delay_ms).unwrap_or(0)
    }

    // ---- timers

    /// The member was heard of.
    pub(super) fn restart_session(&mut self, member_id: &Arc<str>) {
        let Some(member) = self.group.member(member_id) else { return };
        let session_timeout_ms = u64::try_from(member.session_timeout_ms).unwrap_or(0);
        self.start_session(member_id.clone(), session_timeout_ms);
    }

    pub(super) fn start_session(&mut self, member_id: Arc<str>, timeout_ms: u64) {
        self.set_timer(Timer::Session { group_id: self.group.id.clone(), member_id }, timeout_ms);
    }

    pub(super) fn cancel_session(&mut self, member_id: &Arc<str>) {
        self.timers.cancel(&Timer::Session { group_id: self.group.id.clone(), member_id: member_id.clone() });
    }

    fn set_join_timer(&mut self, after_ms: u64) {
        self.set_timer(Timer::Join { group_id: self.group.id.clone() }, after_ms);
    }

    fn set_timer(&mut self, timer: Timer, after_ms: u64) {
        self.timers.set(timer, self.now.monotonic + Duration::from_millis(after_ms));
    }
}

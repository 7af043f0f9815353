//! The group coordinator: classic consumer groups and the offsets they commit.
//!
//! One [`GroupCoordinator`] serves the groups of one partition of `__consumer_offsets` and is folded from it. Its rule is
//! that of all [coordinators](super). What the log holds of a group is its last stable generation (or that it became
//! empty) and its offsets; a rebalance under way lives in memory only, and members that find it lost join again.
//!
//! Reading order: [`classic`] and [`member`], the state; [`rebalance`], what moves it; the requests [`join`], [`sync`],
//! [`heartbeat`], [`leave`]; [`offsets`] with [`offset_commit`], `txn_offset_commit` and [`offset_fetch`]; [`admin`], [`expiration`]; then
//! [`records`], [`timers`] and [`effects`].

pub(crate) mod admin;
pub(crate) mod classic;
pub(crate) mod effects;
mod expiration;
pub(crate) mod heartbeat;
pub(crate) mod join;
pub(crate) mod leave;
pub(crate) mod member;
pub(crate) mod offset_commit;
pub(crate) mod offset_fetch;
mod offsets;
mod rebalance;
pub(crate) mod records;
pub(crate) mod sync;
mod timers;
mod txn_offset_commit;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::Instant;
use anabranch_protocol::ErrorCode;

use self::classic::ClassicGroup;
use self::effects::{Effects, Reply};
use self::heartbeat::Heartbeat;
use self::join::{JoinGroup, JoinGroupReply};
use self::leave::LeavingMember;
use self::offsets::Offsets;
use self::rebalance::GroupTurn;
use self::records::GroupRecord;
use self::sync::{SyncGroup, SyncGroupReply};
use self::timers::{Timer, Timers};
use super::{Now, ReplyTo};
use crate::config::GroupConfig;

/// The coordinator of the groups of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub(crate) struct GroupCoordinator {
    config: GroupConfig,
    groups: BTreeMap<Arc<str>, Group>,
    timers: Timers,
    /// Which groups have offsets in the open transaction of a producer.
    in_transaction: BTreeMap<i64, BTreeSet<Arc<str>>>,
    /// Counts the offset commits folded, for their order.
    next_sequence: u64,
}

/// A group: who is in it, and what it has committed.
#[derive(Debug)]
struct Group {
    classic: ClassicGroup,
    offsets: Offsets,
}

impl GroupCoordinator {
    /// A coordinator of no groups. To load one, [replay](GroupCoordinator::replay) its records, then say that they are
    /// [all](GroupCoordinator::loaded).
    pub(crate) fn new(config: GroupConfig) -> GroupCoordinator {
        GroupCoordinator {
            config,
            groups: BTreeMap::new(),
            timers: Timers::default(),
            in_transaction: BTreeMap::new(),
            next_sequence: 0,
        }
    }

    // ---- the fold

    /// Folds a record into the state; `producer_id` if it is part of a transaction. Never looks at a clock: `now` is
    /// the time of a group that comes into being by this record.
    pub(crate) fn replay(&mut self, now: Now, record: &GroupRecord, producer_id: Option<i64>) {
        match record {
            GroupRecord::OffsetCommit { group_id, topic, partition, value } => {
                if value.is_none() && !self.groups.contains_key(group_id) {
                    return;
                }
                let sequence = self.next_sequence;
                self.next_sequence += 1;
                let group = self.group_or_new(now, group_id);
                group.offsets.replay(topic, *partition, value.as_ref(), producer_id, sequence);
                if let Some(producer_id) = producer_id {
                    self.in_transaction.entry(producer_id).or_default().insert(group_id.clone());
                }
            }
            GroupRecord::GroupMetadata { group_id, value: Some(metadata) } => {
                self.group_or_new(now, group_id).classic =
                    ClassicGroup::from_metadata(group_id.clone(), metadata);
            }
            GroupRecord::GroupMetadata { group_id, value: None } => {
                let Some(group) = self.groups.get_mut(group_id) else { return };
                if group.offsets.is_empty() {
                    self.groups.remove(group_id);
                } else {
                    group.classic = ClassicGroup::new(group_id.clone(), now);
                }
            }
        }
    }

    /// The transaction of `producer_id` has ended: its offsets count from now on, or never did.
    pub(crate) fn replay_end_of_transaction(&mut self, producer_id: i64, is_commit: bool) {
        for group_id in self.in_transaction.remove(&producer_id).unwrap_or_default() {
            if let Some(group) = self.groups.get_mut(&group_id) {
                group.offsets.end_transaction(producer_id, is_commit);
            }
        }
    }

    /// The log has been replayed to its end: sessions start now.
    pub(crate) fn loaded(&mut self, now: Now, effects: &mut Effects) {
        self.set_expiration_timer(now);
        let group_ids: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for group_id in &group_ids {
            let Some(mut turn) = self.turn(now, group_id, effects) else { continue };
            let member_ids: Vec<Arc<str>> = turn.group.members().map(|member| member.id.clone()).collect();
            for member_id in &member_ids {
                turn.restart_session(member_id);
            }
            if member_ids.len() > turn.config.max_size {
                turn.prepare_rebalance("the group is larger than group.max.size allows");
            }
        }
    }

    /// The coordinator stops, or moves: everything parked is answered, with `error`.
    pub(crate) fn unload(mut self, error: ErrorCode) -> Vec<(ReplyTo, Reply)> {
        let mut effects = Effects::default();
        let group_ids: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for group_id in &group_ids {
            let Some(mut turn) = self.turn(Now::default(), group_id, &mut effects) else { continue };
            let members: Vec<member::Member> = turn.group.members().cloned().collect();
            for member in &members {
                turn.refuse_parked(member, &member.id, error);
            }
        }
        effects.replies
    }

    // ---- requests (the others are in files of their own)

    /// JoinGroup. Its answer is among the effects of this call or of a later one.
    pub(crate) fn join_group(
        &mut self,
        now: Now,
        request: JoinGroup<'_>,
        reply_to: ReplyTo,
        effects: &mut Effects,
    ) {
        let error = if request.group_id.is_empty() {
            ErrorCode::INVALID_GROUP_ID
        } else if request.session_timeout_ms < self.config.min_session_timeout_ms
            || request.session_timeout_ms > self.config.max_session_timeout_ms
        {
            ErrorCode::INVALID_SESSION_TIMEOUT
        } else if !self.groups.contains_key(request.group_id) && !request.member_id.is_empty() {
            // The group has gone with everything it knew: the member is to start anew.
            ErrorCode::UNKNOWN_MEMBER_ID
        } else {
            ErrorCode::NONE
        };
        if error != ErrorCode::NONE {
            let reply = JoinGroupReply::refused(request.member_id.into(), error);
            return effects.reply(reply_to, Reply::Join(reply));
        }
        let is_new_group = !self.groups.contains_key(request.group_id);
        let group_id = self.group_id(request.group_id);
        self.group_or_new(now, &group_id);
        if let Some(mut turn) = self.turn(now, &group_id, effects) {
            if is_new_group {
                // The log must know every group there is, also while its first members are still joining.
                turn.write_metadata();
            }
            turn.join(request, reply_to);
        }
    }

    /// SyncGroup. Its answer is among the effects of this call or of a later one.
    pub(crate) fn sync_group(
        &mut self,
        now: Now,
        request: SyncGroup<'_>,
        reply_to: ReplyTo,
        effects: &mut Effects,
    ) {
        let group_id = request.group_id;
        match self.turn(now, group_id, effects) {
            Some(mut turn) if !group_id.is_empty() => turn.sync(request, reply_to),
            _ => {
                let reply = SyncGroupReply::refused(unknown_group(group_id));
                effects.reply(reply_to, Reply::Sync(reply));
            }
        }
    }

    /// Heartbeat.
    pub(crate) fn heartbeat(&mut self, now: Now, request: Heartbeat<'_>, effects: &mut Effects) -> ErrorCode {
        match self.turn(now, request.group_id, effects) {
            Some(mut turn) if !request.group_id.is_empty() => turn.heartbeat(request),
            _ => unknown_group(request.group_id),
        }
    }

    /// LeaveGroup: one error for each member, in their order.
    ///
    /// # Errors
    /// What is wrong with the request as a whole.
    pub(crate) fn leave_group(
        &mut self,
        now: Now,
        group_id: &str,
        members: &[LeavingMember<'_>],
        effects: &mut Effects,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        let errors = match self.turn(now, group_id, effects) {
            Some(mut turn) => turn.leave(members),
            None => vec![ErrorCode::UNKNOWN_MEMBER_ID; members.len()],
        };
        Ok(errors)
    }

    // ---- time

    /// Does what is due. Call it at [`GroupCoordinator::next_deadline`]; calling it early or late is harmless.
    pub(crate) fn expire(&mut self, now: Now, effects: &mut Effects) {
        while let Some(timer) = self.timers.take_due(now.monotonic) {
            match &timer {
                Timer::Session { group_id, member_id } => {
                    self.turn(now, group_id, effects)
                        .into_iter()
                        .for_each(|mut turn| turn.session_timed_out(member_id));
                }
                Timer::Join { group_id } => {
                    self.turn(now, group_id, effects).into_iter().for_each(|mut turn| turn.join_timed_out());
                }
                Timer::Sync { group_id } => {
                    self.turn(now, group_id, effects).into_iter().for_each(|mut turn| turn.sync_timed_out());
                }
                Timer::Expiration => {
                    let expired = self.expired(now);
                    self.apply(now, &expired);
                    effects.records.extend(expired);
                    self.set_expiration_timer(now);
                    continue;
                }
            }
        }
    }

    /// When [`GroupCoordinator::expire`] should be called next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    fn set_expiration_timer(&mut self, now: Now) {
        let interval = Duration::from_millis(
            u64::try_from(self.config.offsets_retention_check_interval_ms).unwrap_or(0).max(1),
        );
        self.timers.set(Timer::Expiration, now.monotonic + interval);
    }

    // ---- parts

    fn turn<'a>(&'a mut self, now: Now, group_id: &str, effects: &'a mut Effects) -> Option<GroupTurn<'a>> {
        let group = &mut self.groups.get_mut(group_id)?.classic;
        Some(GroupTurn { now, config: &self.config, group, timers: &mut self.timers, effects })
    }

    /// The id under which a group is known, or will be.
    fn group_id(&self, group_id: &str) -> Arc<str> {
        self.groups.get_key_value(group_id).map_or_else(|| group_id.into(), |(known, _)| known.clone())
    }

    fn group_or_new(&mut self, now: Now, group_id: &Arc<str>) -> &mut Group {
        self.groups.entry(group_id.clone()).or_insert_with(|| Group {
            classic: ClassicGroup::new(group_id.clone(), now),
            offsets: Offsets::default(),
        })
    }

    /// Folds records of this call into the state.
    fn apply(&mut self, now: Now, records: &[GroupRecord]) {
        for record in records {
            self.replay(now, record, None);
        }
    }
}

fn unknown_group(group_id: &str) -> ErrorCode {
    if group_id.is_empty() { ErrorCode::INVALID_GROUP_ID } else { ErrorCode::UNKNOWN_MEMBER_ID }
}

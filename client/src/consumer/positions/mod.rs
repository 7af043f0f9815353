//! Where a consumer stands in each of its partitions, and what it must learn before it can read on. Pure.
//!
//! ```text
//!   assigned --> Unknown --committed offset--> Reading <--seek-- anywhere
//!                   |  none                      |  offset out of range
//!                   +-------> Resetting <--------+
//!                                 +--offset by the topic's policy, else auto.offset.reset--> Reading
//! ```
//! Answers come late: each carries the `turn` of its question, and a seek or a new assignment begins a new turn, so that
//! what was asked before means nothing any more. Two offsets move: the *position*, up to which the caller has records,
//! and the *fetch offset*, up to which they are here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::Instant;
use anabranch_protocol::{ErrorCode, Uuid};

use crate::config::AutoOffsetReset;
use crate::error::ClientError;
use crate::group_offsets::OffsetAndMetadata;
use crate::list_offsets::OffsetSpec;
use crate::topic_partition::TopicPartition;

/// Chunks of one partition that may lie here: one that the caller takes next and one that comes meanwhile.
const MAX_BUFFERED: u32 = 2;

/// What a partition waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its committed offset is not known.
    Unknown,
    /// An offset must be looked up.
    Resetting(Target),
    /// Nothing.
    Reading,
}

/// Which offset to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Spec(OffsetSpec),
    /// That of so long ago, counted when it is asked for.
    Ago(Duration),
}

/// What is known of a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// The offset behind the last record that all replicas have.
    pub high_watermark: i64,
    /// The offset before which all transactions are decided.
    pub last_stable_offset: i64,
    /// The first offset.
    pub log_start_offset: i64,
}

#[derive(Debug)]
struct Partition {
    turn: u64,
    phase: Phase,
    paused: bool,
    /// The user lets go of it: it keeps its position for a commit, and rests.
    revoked: bool,
    /// A question is on its way.
    asked: bool,
    position: i64,
    /// The leader epoch of the last record, -1 if unknown.
    epoch: i32,
    fetch_offset: i64,
    buffered: u32,
    bounds: Option<LogBounds>,
    not_before: Instant,
    /// A replica nearby that the leader pointed to, and until when that holds.
    read_replica: Option<(i32, Instant)>,
    /// The topic that it was of when it was last fetched; zero if that is not known.
    topic_id: Uuid,
}

/// A partition to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fetchable {
    pub(super) name: TopicPartition,
    pub(super) turn: u64,
    pub(super) offset: i64,
    pub(super) read_replica: Option<i32>,
}

/// All partitions of a consumer.
#[derive(Debug)]
pub(super) struct Positions {
    reset: AutoOffsetReset,
    /// Those of single topics.
    resets: BTreeMap<Arc<str>, AutoOffsetReset>,
    partitions: BTreeMap<TopicPartition, Partition>,
    next_turn: u64,
}

impl Positions {
    pub(super) fn new(reset: AutoOffsetReset) -> Self {
        Positions { reset, resets: BTreeMap::new(), partitions: BTreeMap::new(), next_turn: 0 }
    }

    /// Where to begin in one topic.
    pub(super) fn set_reset(&mut self, topic: &str, reset: AutoOffsetReset) {
        self.resets.insert(Arc::from(topic), reset);
    }

    fn new_turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn
    }

    /// Replaces the assignment; partitions that stay keep their position.
    pub(super) fn assign(&mut self, partitions: &[TopicPartition]) {
        self.partitions.retain(|name, _| partitions.contains(name));
        self.add(partitions);
    }

    /// Adds partitions.
    pub(super) fn add(&mut self, partitions: &[TopicPartition]) {
        for name in partitions {
            if !self.partitions.contains_key(name) {
                let partition = Partition {
                    turn: self.new_turn(),
                    phase: Phase::Unknown,
                    paused: false,
                    revoked: false,
                    asked: false,
                    position: -1,
                    epoch: -1,
                    fetch_offset: -1,
                    buffered: 0,
                    bounds: None,
                    not_before: Instant::default(),
                    read_replica: None,
                    topic_id: Uuid::ZERO,
                };
                self.partitions.insert(name.clone(), partition);
            }
        }
    }

    /// Lets partitions rest until [`Positions::drop_revoked`].
    pub(super) fn revoke(&mut self, partitions: &[TopicPartition]) {
        for name in partitions {
            if let Some(partition) = self.partitions.get_mut(name) {
                partition.revoked = true;
            }
        }
    }

    /// Takes the revoked partitions away.
    pub(super) fn drop_revoked(&mut self) {
        self.partitions.retain(|_, partition| !partition.revoked);
    }

    /// Takes partitions away.
    pub(super) fn remove(&mut self, partitions: &[TopicPartition]) {
        self.partitions.retain(|name, _| !partitions.contains(name));
    }

    /// The partitions there are.
    pub(super) fn assigned(&self) -> Vec<TopicPartition> {
        self.partitions.keys().cloned().collect()
    }

    /// The topics there are partitions of.
    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        let mut topics: Vec<_> = self.partitions.keys().map(|name| Arc::clone(&name.topic)).collect();
        topics.dedup();
        topics
    }

    /// The offset of the next record that the caller gets.
    pub(super) fn position(&self, name: &TopicPartition) -> Option<i64> {
        self.partitions.get(name).filter(|one| one.phase == Phase::Reading).map(|one| one.position)
    }

    /// Offsets to commit: of all partitions that have a position.
    pub(super) fn to_commit(&self) -> BTreeMap<TopicPartition, OffsetAndMetadata> {
        let reading = self.partitions.iter().filter(|(_, one)| one.phase == Phase::Reading);
        reading
            .map(|(name, one)| {
                let offset =
                    OffsetAndMetadata { leader_epoch: one.epoch, ..OffsetAndMetadata::new(one.position) };
                (name.clone(), offset)
            })
            .collect()
    }

    /// What is known of the partition's log.
    pub(super) fn bounds(&self, name: &TopicPartition) -> Option<LogBounds> {
        self.partitions.get(name)?.bounds
    }

    fn begin(&mut self, name: &TopicPartition, phase: Phase, offset: i64, epoch: i32) -> bool {
        let turn = self.new_turn();
        let Some(partition) = self.partitions.get_mut(name) else { return false };
        partition.turn = turn;
        partition.phase = phase;
        partition.asked = false;
        partition.position = offset;
        partition.fetch_offset = offset;
        partition.epoch = epoch;
        partition.buffered = 0;
        partition.not_before = Instant::default();
        true
    }

    /// Goes to an offset. False if the partition is not assigned.
    pub(super) fn seek(&mut self, name: &TopicPartition, offset: i64, epoch: i32) -> bool {
        self.begin(name, Phase::Reading, offset, epoch)
    }

    /// Goes to an offset that must be looked up. False if the partition is not assigned.
    pub(super) fn seek_to(&mut self, name: &TopicPartition, spec: OffsetSpec) -> bool {
        self.look_for(name, Target::Spec(spec))
    }

    fn look_for(&mut self, name: &TopicPartition, target: Target) -> bool {
        self.begin(name, Phase::Resetting(target), -1, -1)
    }

    /// Stops or continues to fetch and to hand out. False if the partition is not assigned.
    pub(super) fn set_paused(&mut self, name: &TopicPartition, paused: bool) -> bool {
        self.partitions.get_mut(name).map(|partition| partition.paused = paused).is_some()
    }

    pub(super) fn paused(&self) -> Vec<TopicPartition> {
        let paused = self.partitions.iter().filter(|(_, partition)| partition.paused);
        paused.map(|(name, _)| name.clone()).collect()
    }

    /// Partitions whose committed offsets must be asked for now; they count as asked.
    pub(super) fn take_unknown(&mut self, now: Instant) -> BTreeMap<TopicPartition, u64> {
        self.take_asking(now, |phase| (phase == Phase::Unknown).then_some(()))
            .into_iter()
            .map(|(name, turn, ())| (name, turn))
            .collect()
    }

    /// Partitions whose offsets must be looked up now; they count as asked.
    pub(super) fn take_resetting(
        &mut self,
        now: Instant,
        wall_clock_ms: i64,
    ) -> Vec<(TopicPartition, u64, OffsetSpec)> {
        self.take_asking(now, |phase| match phase {
            Phase::Resetting(Target::Spec(spec)) => Some(spec),
            Phase::Resetting(Target::Ago(duration)) => {
                let ago_ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
                Some(OffsetSpec::Timestamp(wall_clock_ms.saturating_sub(ago_ms).max(0)))
            }
            _ => None,
        })
    }

    fn take_asking<T>(
        &mut self,
        now: Instant,
        wanted: impl Fn(Phase) -> Option<T>,
    ) -> Vec<(TopicPartition, u64, T)> {
        let mut taken = Vec::new();
        for (name, partition) in &mut self.partitions {
            if !partition.asked
                && !partition.revoked
                && partition.not_before <= now
                && let Some(what) = wanted(partition.phase)
            {
                partition.asked = true;
                taken.push((name.clone(), partition.turn, what));
            }
        }
        taken
    }

    fn current(&mut self, name: &TopicPartition, turn: u64) -> Option<&mut Partition> {
        self.partitions.get_mut(name).filter(|partition| partition.turn == turn)
    }

    /// A committed offset was found, or none is there.
    ///
    /// # Errors
    /// Invalid, if none is there and `auto.offset.reset` is none.
    pub(super) fn committed(
        &mut self,
        name: &TopicPartition,
        turn: u64,
        committed: Option<&OffsetAndMetadata>,
    ) -> Result<(), ClientError> {
        if self.current(name, turn).is_none_or(|partition| partition.phase != Phase::Unknown) {
            return Ok(());
        }
        match committed {
            Some(committed) => {
                self.seek(name, committed.offset, committed.leader_epoch);
                Ok(())
            }
            None => self.reset_to_policy(name, "there is no committed offset"),
        }
    }

    fn reset_to_policy(&mut self, name: &TopicPartition, reason: &str) -> Result<(), ClientError> {
        let reset = self.resets.get(&name.topic).unwrap_or(&self.reset);
        match *reset {
            AutoOffsetReset::Earliest => self.seek_to(name, OffsetSpec::Earliest),
            AutoOffsetReset::Latest => self.seek_to(name, OffsetSpec::Latest),
            AutoOffsetReset::ByDuration(duration) => self.look_for(name, Target::Ago(duration)),
            AutoOffsetReset::None => {
                return Err(ClientError::invalid(format!("{name}: {reason}, and auto.offset.reset is none")));
            }
        };
        Ok(())
    }

    /// A looked-up offset was found, or -1: there is no record that young, and the end is next.
    pub(super) fn looked_up(&mut self, name: &TopicPartition, turn: u64, offset: i64, epoch: i32) {
        if self.current(name, turn).is_some_and(|partition| matches!(partition.phase, Phase::Resetting(_))) {
            if offset < 0 {
                self.seek_to(name, OffsetSpec::Latest);
            } else {
                self.seek(name, offset, epoch);
            }
        }
    }

    /// A question failed; it is asked again, not before `retry_at`.
    pub(super) fn failed(&mut self, name: &TopicPartition, turn: u64, retry_at: Instant) {
        if let Some(partition) = self.current(name, turn) {
            partition.asked = false;
            partition.not_before = retry_at;
            partition.read_replica = None;
        }
    }

    /// Partitions of which as much lies here as may, and which the caller may take.
    pub(super) fn full(&self) -> Vec<TopicPartition> {
        let full = self.partitions.iter();
        let full = full.filter(|(_, partition)| {
            partition.buffered >= MAX_BUFFERED && !partition.paused && !partition.revoked
        });
        full.map(|(name, _)| name.clone()).collect()
    }

    /// Partitions that can be fetched now.
    pub(super) fn fetchable(&self, now: Instant) -> Vec<Fetchable> {
        let ready = self.partitions.iter().filter(|(_, partition)| {
            partition.phase == Phase::Reading
                && !partition.paused
                && !partition.revoked
                && !partition.asked
                && partition.buffered < MAX_BUFFERED
                && partition.not_before <= now
        });
        ready
            .map(|(name, partition)| Fetchable {
                name: name.clone(),
                turn: partition.turn,
                offset: partition.fetch_offset,
                read_replica: partition.read_replica.filter(|(_, until)| *until > now).map(|(node, _)| node),
            })
            .collect()
    }

    /// Whether a partition that is about to be fetched is of the topic that it was of before. If another topic has taken
    /// that one's name, its offsets mean nothing there: it is read from its start, since all of it is new.
    pub(super) fn is_read_on(&mut self, name: &TopicPartition, topic_id: Uuid) -> bool {
        let Some(partition) = self.partitions.get_mut(name) else { return false };
        if topic_id.is_zero() {
            return true;
        }
        let before = std::mem::replace(&mut partition.topic_id, topic_id);
        let is_same = before.is_zero() || before == topic_id;
        if !is_same {
            self.seek_to(name, OffsetSpec::Earliest);
        }
        is_same
    }

    /// A fetch was sent.
    pub(super) fn fetching(&mut self, name: &TopicPartition, turn: u64) {
        if let Some(partition) = self.current(name, turn) {
            partition.asked = true;
        }
    }

    /// A fetch has ended, with or without data.
    pub(super) fn fetch_ended(&mut self, name: &TopicPartition, turn: u64) {
        if let Some(partition) = self.current(name, turn) {
            partition.asked = false;
        }
    }

    /// A chunk has come that leads from the fetch offset to `next_offset`. False if nobody wants it any more.
    pub(super) fn fetched(&mut self, name: &TopicPartition, turn: u64, from: i64, next_offset: i64) -> bool {
        match self.current(name, turn) {
            Some(partition) if partition.phase == Phase::Reading && partition.fetch_offset == from => {
                partition.fetch_offset = next_offset;
                partition.buffered += 1;
                true
            }
            _ => false,
        }
    }

    /// What an answer said about the partition's log.
    pub(super) fn learn_bounds(&mut self, name: &TopicPartition, turn: u64, bounds: LogBounds) {
        if let Some(partition) = self.current(name, turn) {
            partition.bounds = Some(bounds);
        }
    }

    /// The leader points to a replica nearby.
    pub(super) fn prefer_replica(&mut self, name: &TopicPartition, turn: u64, node: i32, until: Instant) {
        if let Some(partition) = self.current(name, turn) {
            partition.read_replica = Some((node, until));
        }
    }

    /// The offset fetched does not exist.
    ///
    /// # Errors
    /// Invalid, if `auto.offset.reset` is none.
    pub(super) fn out_of_range(
        &mut self,
        name: &TopicPartition,
        turn: u64,
        offset: i64,
    ) -> Result<(), ClientError> {
        let Some(partition) = self.current(name, turn) else { return Ok(()) };
        if partition.phase != Phase::Reading || partition.fetch_offset != offset {
            return Ok(());
        }
        if partition.read_replica.take().is_some() {
            // The replica is behind; the leader knows better.
            return Ok(());
        }
        if partition.buffered > 0 {
            // What is here is still handed out; then it is asked again.
            return Ok(());
        }
        let reset = self.reset_to_policy(name, &format!("offset {offset} is not in the log"));
        reset.map_err(|error| error.with_code(ErrorCode::OFFSET_OUT_OF_RANGE))
    }

    /// Whether a chunk is wanted and the caller may have it.
    pub(super) fn may_take(&self, name: &TopicPartition, turn: u64) -> Take {
        match self.partitions.get(name) {
            Some(partition) if partition.turn == turn && !partition.revoked => {
                if partition.paused {
                    Take::Later
                } else {
                    Take::Now
                }
            }
            _ => Take::Never,
        }
    }

    /// The caller has got everything before `offset`.
    pub(super) fn advance(&mut self, name: &TopicPartition, turn: u64, offset: i64, epoch: i32) {
        if let Some(partition) = self.current(name, turn) {
            partition.position = offset;
            partition.epoch = epoch;
        }
    }

    /// A chunk was handed out as a whole.
    pub(super) fn chunk_taken(&mut self, name: &TopicPartition, turn: u64) {
        if let Some(partition) = self.current(name, turn) {
            partition.buffered = partition.buffered.saturating_sub(1);
        }
    }

    /// The earliest time at which a pause after a failure ends.
    pub(super) fn next_retry(&self, now: Instant) -> Option<Instant> {
        self.partitions.values().map(|partition| partition.not_before).filter(|at| *at > now).min()
    }

    /// How long a pointer to a replica holds.
    pub(super) fn replica_until(now: Instant, metadata_max_age_ms: u64) -> Instant {
        now + Duration::from_millis(metadata_max_age_ms)
    }
}

/// What to do with a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// Hand it out.
    Now,
    /// Keep it: the partition is paused.
    Later,
    /// Drop it: the consumer is elsewhere.
    Never,
}

#[cfg(test)]
mod tests;

//! Many clients, chance and time against one coordinator, and what must hold whatever happens (by seed).
//!
//! The clients follow the consumer's side of the protocol, with their own bugs of life: they die, come back under the
//! same instance id, hang up and ask again, lose answers, leave; the coordinator dies and another one takes over its
//! log. Checked all along: the invariants and the fold ([`super::assert_invariants`], [`super::assert_replay_equals_live`]),
//! and from outside:
//! - every request is answered at most once, and by the end every one;
//! - within a generation a partition has one owner;
//! - a committed offset never goes back: whoever lost a partition cannot commit for it any more;
//! - left alone, the group comes to rest: all in one generation, each partition with one owner, no rebalance any more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use anabranch_protocol::{ErrorCode, Uuid};
use bytes::Bytes;

use super::{assert_invariants, assert_replay_equals_live, defaults, now_at};
use crate::config::GroupConfig;
use crate::coordinator::group::GroupCoordinator;
use crate::coordinator::group::classic::GroupState;
use crate::coordinator::group::effects::{Effects, Reply};
use crate::coordinator::group::heartbeat::Heartbeat;
use crate::coordinator::group::join::{JoinGroup, JoinGroupReply};
use crate::coordinator::group::leave::LeavingMember;
use crate::coordinator::group::member::Protocol;
use crate::coordinator::group::offset_commit::{CommitOffsets, PartitionCommit};
use crate::coordinator::group::records::GroupRecord;
use crate::coordinator::group::sync::{SyncGroup, SyncGroupReply};
use crate::coordinator::{Now, ReplyTo};

const PARTITIONS: i32 = 6;
const SESSION_TIMEOUT_MS: i32 = 10_000;
const REBALANCE_TIMEOUT_MS: i32 = 20_000;

#[derive(Debug, Default, PartialEq)]
enum Phase {
    /// Has to join.
    #[default]
    Out,
    Joining,
    /// Has to ask for its assignment; with those it assigns to, if it leads.
    Joined(Vec<Arc<str>>),
    Syncing,
    Member,
    /// Does nothing, for a while or for ever.
    Dead,
}

#[derive(Debug, Default)]
struct Client {
    name: String,
    instance_id: Option<String>,
    /// Empty: none yet.
    member_id: String,
    generation_id: i32,
    phase: Phase,
    /// The request it waits for. Answers to others are of no interest any more.
    waits_for: Option<ReplyTo>,
    metadata: u64,
    /// Its partitions, with the offset it has got to.
    positions: BTreeMap<i32, i64>,
    last_beat_ms: u64,
}

#[derive(Clone, Debug)]
struct Commit {
    member_id: String,
    instance_id: Option<String>,
    generation_id: i32,
    partition: i32,
    offset: i64,
}

struct World {
    chance: fastrand::Rng,
    core: GroupCoordinator,
    replica: GroupCoordinator,
    log: Vec<GroupRecord>,
    now_ms: u64,
    clients: Vec<Client>,
    next_reply: u64,
    unanswered: BTreeSet<ReplyTo>,
    /// Answers under way.
    inbox: VecDeque<(ReplyTo, Reply)>,
    /// Who owned what, generation by generation, by the name of the client.
    owners: BTreeMap<(i32, i32), String>,
    committed: BTreeMap<i32, i64>,
    /// Commits of the past, to be sent again by those who are no longer what they were.
    old_commits: Vec<Commit>,
}

fn config() -> GroupConfig {
    GroupConfig { initial_rebalance_delay_ms: 500, max_size: 5, ..defaults() }
}

impl World {
    fn new(seed: u64) -> World {
        let mut core = GroupCoordinator::new(config());
        core.loaded(now_at(0), &mut Effects::default());
        let clients = (0..6).map(|index| Client {
            name: format!("c{index}"),
            instance_id: (index % 3 == 0).then(|| format!("i{index}")),
            ..Client::default()
        });
        World {
            chance: fastrand::Rng::with_seed(seed),
            core,
            replica: GroupCoordinator::new(config()),
            log: Vec::new(),
            now_ms: 0,
            clients: clients.collect(),
            next_reply: 0,
            unanswered: BTreeSet::new(),
            inbox: VecDeque::new(),
            owners: BTreeMap::new(),
            committed: BTreeMap::new(),
            old_commits: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        now_at(self.now_ms)
    }

    fn done(&mut self, effects: Effects) {
        for record in effects.records {
            if let GroupRecord::OffsetCommit { partition, value: Some(commit), .. } = &record {
                let before = self.committed.insert(*partition, commit.offset).unwrap_or(-1);
                assert!(
                    before <= commit.offset,
                    "partition {partition} went back from {before} to {}",
                    commit.offset
                );
            }
            self.replica.replay(self.now(), &record, None);
            self.log.push(record);
        }
        for (reply_to, reply) in effects.replies {
            assert!(self.unanswered.remove(&reply_to), "{reply_to:?} was answered before, or never asked");
            self.inbox.push_back((reply_to, reply));
        }
        assert_invariants(&self.core);
        assert_replay_equals_live(&self.core, &self.replica);
    }

    fn pass_time(&mut self, ms: u64) {
        self.now_ms += ms;
        let mut effects = Effects::default();
        self.core.expire(self.now(), &mut effects);
        self.done(effects);
    }

    fn ask(&mut self, index: usize) -> ReplyTo {
        self.next_reply += 1;
        let reply_to = ReplyTo(self.next_reply);
        self.unanswered.insert(reply_to);
        self.clients[index].waits_for = Some(reply_to);
        reply_to
    }

    /// Brings one answer to its client.
    fn deliver(&mut self, (reply_to, reply): (ReplyTo, Reply)) {
        let Some(index) = self.clients.iter().position(|client| client.waits_for == Some(reply_to)) else {
            return;
        };
        let client = &mut self.clients[index];
        client.waits_for = None;
        match reply {
            Reply::Join(reply) => client.join_answered(reply),
            Reply::Sync(reply) => self.sync_answered(index, reply),
        }
    }

    fn sync_answered(&mut self, index: usize, reply: SyncGroupReply) {
        let client = &mut self.clients[index];
        if reply.error != ErrorCode::NONE {
            return client.refused(reply.error);
        }
        client.phase = Phase::Member;
        client.last_beat_ms = self.now_ms;
        client.positions.clear();
        for &partition in &reply.assignment {
            let partition = i32::from(partition);
            let fetched = self.core.fetch_offset("g", ("t", Uuid::ZERO), partition, false);
            client.positions.insert(partition, fetched.offset.max(0));
            let owner =
                self.owners.entry((client.generation_id, partition)).or_insert_with(|| client.name.clone());
            assert_eq!(
                *owner, client.name,
                "two owners of {partition} in generation {}",
                client.generation_id
            );
        }
    }

    /// What the client would do next by the protocol.
    fn act(&mut self, index: usize) {
        match &self.clients[index].phase {
            Phase::Out => self.join(index),
            Phase::Joined(_) => self.sync(index),
            Phase::Member => self.beat(index),
            Phase::Joining | Phase::Syncing | Phase::Dead => {}
        }
    }

    fn join(&mut self, index: usize) {
        let reply_to = self.ask(index);
        let mut uuid = [0; 16];
        uuid[8..].copy_from_slice(&reply_to.0.to_be_bytes());
        let mut effects = Effects::default();
        let now = self.now();
        let client = &mut self.clients[index];
        client.phase = Phase::Joining;
        client.positions.clear();
        let metadata = Bytes::from(client.metadata.to_string());
        let request = JoinGroup {
            group_id: "g",
            member_id: &client.member_id,
            instance_id: client.instance_id.as_deref(),
            client_id: &client.name,
            client_host: "/",
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            protocol_type: "consumer",
            protocols: vec![Protocol { name: "range".into(), metadata }],
            reason: None,
            uuid,
            requires_known_member_id: index != 1,
            supports_skipping_assignment: index != 3,
        };
        self.core.join_group(now, request, reply_to, &mut effects);
        self.done(effects);
    }

    fn sync(&mut self, index: usize) {
        let reply_to = self.ask(index);
        let mut effects = Effects::default();
        let now = self.now();
        let client = &mut self.clients[index];
        let Phase::Joined(members) = std::mem::replace(&mut client.phase, Phase::Syncing) else { return };
        let assignment = |place: usize| {
            let mine =
                (0..PARTITIONS as u8).filter(|partition| usize::from(*partition) % members.len() == place);
            mine.collect::<Vec<u8>>().into()
        };
        let request = SyncGroup {
            group_id: "g",
            generation_id: client.generation_id,
            member_id: &client.member_id,
            instance_id: client.instance_id.as_deref(),
            assignments: members.iter().enumerate().map(|(place, id)| (&**id, assignment(place))).collect(),
            ..SyncGroup::default()
        };
        self.core.sync_group(now, request, reply_to, &mut effects);
        self.done(effects);
    }

    fn beat(&mut self, index: usize) {
        let mut effects = Effects::default();
        let now = self.now();
        let client = &mut self.clients[index];
        client.last_beat_ms = self.now_ms;
        let request = Heartbeat {
            group_id: "g",
            generation_id: client.generation_id,
            member_id: &client.member_id,
            instance_id: client.instance_id.as_deref(),
        };
        let error = self.core.heartbeat(now, request, &mut effects);
        if error != ErrorCode::NONE {
            client.refused(error);
        }
        self.done(effects);
    }

    fn commit(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let commits: Vec<(i32, i64)> = client
            .positions
            .iter_mut()
            .map(|(partition, position)| {
                *position += 1;
                (*partition, *position)
            })
            .collect();
        let (member_id, instance_id, generation_id) =
            (client.member_id.clone(), client.instance_id.clone(), client.generation_id);
        for (partition, offset) in commits {
            let (member_id, instance_id) = (member_id.clone(), instance_id.clone());
            let commit = Commit { member_id, instance_id, generation_id, partition, offset };
            let _ = self.commit_as(&commit);
            self.old_commits.push(commit);
        }
    }

    fn commit_as(&mut self, commit: &Commit) -> Result<Vec<ErrorCode>, ErrorCode> {
        let (partition, offset) = (commit.partition, commit.offset);
        let request = CommitOffsets {
            group_id: "g",
            generation_id: commit.generation_id,
            member_id: &commit.member_id,
            instance_id: commit.instance_id.as_deref(),
            partitions: vec![PartitionCommit {
                topic: "t",
                topic_id: Uuid::ZERO,
                partition,
                offset,
                leader_epoch: -1,
                metadata: None,
            }],
            ..CommitOffsets::default()
        };
        let mut effects = Effects::default();
        let result = self.core.commit_offsets(self.now(), &request, &mut effects);
        self.done(effects);
        result
    }

    /// Whether the group has gone on since, or another process has taken the member's place.
    fn is_of_the_past(&self, commit: &Commit) -> bool {
        let Some(group) = self.core.groups.get("g").map(|group| &group.classic) else { return true };
        let successor =
            commit.instance_id.as_deref().and_then(|instance_id| group.static_member_id(instance_id));
        group.generation_id > commit.generation_id || successor.is_some_and(|id| **id != *commit.member_id)
    }

    fn leave(&mut self, index: usize) {
        let now = self.now();
        let mut effects = Effects::default();
        let client = &mut self.clients[index];
        let (member_id, instance_id) = (std::mem::take(&mut client.member_id), client.instance_id.clone());
        client.refused(ErrorCode::UNKNOWN_MEMBER_ID);
        client.phase = Phase::Dead;
        let leaving =
            LeavingMember { member_id: &member_id, instance_id: instance_id.as_deref(), reason: None };
        let _ = self.core.leave_group(now, "g", &[leaving], &mut effects);
        self.done(effects);
    }

    /// The coordinator dies, with all it had in memory.
    fn fail_over(&mut self) {
        let mut effects = Effects::default();
        let old = std::mem::replace(&mut self.core, GroupCoordinator::new(config()));
        effects.replies = old.unload(ErrorCode::NOT_COORDINATOR);
        for record in &self.log {
            self.core.replay(now_at(self.now_ms), record, None);
        }
        self.core.loaded(now_at(self.now_ms), &mut effects);
        self.done(effects);
    }

    /// Something happens.
    fn happen(&mut self) {
        let index = self.chance.usize(..self.clients.len());
        match self.chance.u32(..100) {
            0..30 => self.act(index),
            30..60 => {
                if let Some(answer) = self.inbox.pop_front() {
                    // Some answers get lost; their clients hang up some day.
                    if self.chance.u32(..20) > 0 {
                        self.deliver(answer);
                    }
                }
            }
            60..70 => {
                let ms = self.chance.u64(..1_000);
                self.pass_time(ms);
            }
            70..80 => {
                if self.clients[index].phase == Phase::Member {
                    self.commit(index);
                }
            }
            // Hangs up, and does the same again.
            80..83 => {
                let client = &mut self.clients[index];
                if client.phase == Phase::Joining || client.phase == Phase::Syncing {
                    client.waits_for = None;
                    client.phase = Phase::Out;
                }
            }
            // Wants a rebalance, perhaps because its subscription has changed.
            83..85 => {
                let client = &mut self.clients[index];
                if client.phase == Phase::Member {
                    client.metadata += self.chance.u64(..2);
                    client.phase = Phase::Out;
                }
            }
            85..87 => self.leave(index),
            // Dies; a process that starts again knows nothing but its instance id.
            87..89 => {
                let client = &mut self.clients[index];
                client.refused(ErrorCode::UNKNOWN_MEMBER_ID);
                client.phase = Phase::Dead;
            }
            89..93 => {
                if self.clients[index].phase == Phase::Dead {
                    self.clients[index].phase = Phase::Out;
                }
            }
            // Somebody who was somebody once commits.
            93..98 => {
                if let Some(old) = self.chance.choice(self.old_commits.iter().rev().take(12)).cloned()
                    && self.is_of_the_past(&old)
                {
                    assert!(self.commit_as(&old).is_err(), "{old:?} was accepted");
                }
            }
            98 => {
                if self.chance.u32(..5) == 0 {
                    self.fail_over();
                }
            }
            _ => self.pass_time(SESSION_TIMEOUT_MS as u64),
        }
    }

    /// Everybody does what the protocol asks, and nothing else happens.
    fn come_to_rest(&mut self, for_ms: u64) {
        let end_ms = self.now_ms + for_ms;
        while self.now_ms < end_ms {
            self.pass_time(200);
            while let Some(answer) = self.inbox.pop_front() {
                self.deliver(answer);
            }
            for index in 0..self.clients.len() {
                let client = &self.clients[index];
                if client.phase != Phase::Member || self.now_ms >= client.last_beat_ms + 3_000 {
                    self.act(index);
                }
            }
        }
    }

    fn assert_at_rest(&mut self) {
        // One more than the group may hold: one client stays out.
        self.clients.pop();
        for client in &mut self.clients {
            if client.waits_for.is_none_or(|waits_for| !self.unanswered.contains(&waits_for)) {
                // Its answer was lost: it hangs up.
                client.waits_for = None;
            }
            if client.phase != Phase::Member && client.waits_for.is_none() {
                client.phase = Phase::Out;
            }
        }
        self.come_to_rest(400_000);
        assert_eq!(self.unanswered, BTreeSet::new());
        let group = &self.core.groups["g"].classic;
        let generation_id = group.generation_id;
        assert_eq!((group.state, group.member_count()), (GroupState::Stable, self.clients.len()));
        let owned = self.clients.iter().flat_map(|client| client.positions.keys().copied());
        let mut owned: Vec<i32> = owned.collect();
        owned.sort_unstable();
        assert_eq!(owned, (0..PARTITIONS).collect::<Vec<_>>());
        self.come_to_rest(60_000);
        assert_eq!(self.core.groups["g"].classic.generation_id, generation_id, "a rebalance without a cause");
    }
}

impl Client {
    fn join_answered(&mut self, reply: JoinGroupReply) {
        match reply.error {
            ErrorCode::NONE => {
                self.member_id = reply.member_id.to_string();
                self.generation_id = reply.generation_id;
                let leads = *reply.leader == *reply.member_id && !reply.skip_assignment;
                assert!(
                    leads || reply.skip_assignment || reply.members.is_empty(),
                    "only the leader hears of the others"
                );
                let members = reply.members.iter().map(|member| member.member_id.clone());
                self.phase = Phase::Joined(if leads { members.collect() } else { Vec::new() });
            }
            ErrorCode::MEMBER_ID_REQUIRED => {
                self.member_id = reply.member_id.to_string();
                self.phase = Phase::Out;
            }
            error => self.refused(error),
        }
    }

    fn refused(&mut self, error: ErrorCode) {
        self.waits_for = None;
        self.positions.clear();
        self.phase = Phase::Out;
        match error {
            ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::NOT_COORDINATOR => {}
            ErrorCode::UNKNOWN_MEMBER_ID
            | ErrorCode::ILLEGAL_GENERATION
            | ErrorCode::FENCED_INSTANCE_ID
            | ErrorCode::GROUP_MAX_SIZE_REACHED => self.member_id.clear(),
            other => panic!("{} is no answer to expect", other.name()),
        }
    }
}

#[test]
fn whatever_happens_groups_keep_their_promises() {
    // To replay one seed: ANABRANCH_SEED=n cargo test -p anabranch-broker whatever_happens
    let seeds = match std::env::var("ANABRANCH_SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..seed + 1).expect("ANABRANCH_SEED is a number"),
        Err(_) => 0..40,
    };
    for seed in seeds {
        let told = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..600 {
                world.happen();
            }
            world.assert_at_rest();
        });
        assert!(told.is_ok(), "replay with ANABRANCH_SEED={seed}");
    }
}

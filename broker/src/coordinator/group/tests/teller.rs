//! Who tells the stories: carries out each line, and says what comes of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anabranch_protocol::{ErrorCode, Uuid};
use bytes::Bytes;

use crate::config::GroupConfig;
use crate::coordinator::group::GroupCoordinator;
use crate::coordinator::group::effects::{Effects, Reply};
use crate::coordinator::group::heartbeat::Heartbeat;
use crate::coordinator::group::join::JoinGroup;
use crate::coordinator::group::leave::LeavingMember;
use crate::coordinator::group::member::{Protocol, new_member_id};
use crate::coordinator::group::offset_commit::{CommitOffsets, PartitionCommit};
use crate::coordinator::group::offset_fetch::FetchedOffset;
use crate::coordinator::group::records::{GroupRecord, OffsetCommit};
use crate::coordinator::group::sync::SyncGroup;
use crate::coordinator::{Now, ReplyTo};

use super::{assert_invariants, assert_replay_equals_live, now_at, subscription, text};

/// A coordinator, its log, and its clients as far as a story needs them.
pub(super) struct Teller {
    pub(super) core: GroupCoordinator,
    replica: GroupCoordinator,
    pub(super) config: GroupConfig,
    log: Vec<GroupRecord>,
    /// How large a batch the log takes.
    max_batch_bytes: Option<usize>,
    now_ms: u64,
    next_reply: u64,
    /// Who waits for an answer, and in which group.
    parked: BTreeMap<ReplyTo, String>,
    /// What each label knows: its member id and generation.
    members: BTreeMap<String, (Arc<str>, i32)>,
}

impl Teller {
    pub(super) fn new(config: GroupConfig) -> Teller {
        let mut core = GroupCoordinator::new(config.clone());
        core.loaded(now_at(0), &mut Effects::default());
        Teller {
            core,
            replica: GroupCoordinator::new(config.clone()),
            config,
            log: Vec::new(),
            max_batch_bytes: None,
            now_ms: 0,
            next_reply: 0,
            parked: BTreeMap::new(),
            members: BTreeMap::new(),
        }
    }

    /// One line of a story, and what comes of it.
    pub(super) fn step(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut effects = Effects { max_batch_bytes: self.max_batch_bytes, ..Effects::default() };
        let step = Step { words: &words };
        let answer = match words[0] {
            "join" => self.join(&step, &mut effects),
            "sync" => self.sync(&step, &mut effects),
            "beat" => self.beat(&step, &mut effects),
            "leave" => self.leave(&step, &mut effects),
            "commit" => self.commit(&step, &mut effects),
            "pending" => self.commit_in_transaction(&step),
            "end" => self.end_transaction(&step),
            "fetch" => self.fetch(&step),
            "forget" => self.forget(&step, &mut effects),
            "delete" => {
                let error = self.core.delete_group(self.now(), step.group(), &mut effects);
                error.name().to_string()
            }
            "topic-deleted" => {
                self.core.topic_deleted(self.now(), words[1], &mut effects.records);
                String::new()
            }
            "wait" => return self.wait(words[1].parse().unwrap()),
            "state" => self.state(step.group()),
            "list" => self.list(),
            "describe" => self.describe(step.group()),
            "restart" => self.restart(),
            "most" => {
                self.max_batch_bytes = Some(words[1].parse().unwrap());
                String::new()
            }
            other => panic!("a story does not know {other:?}"),
        };
        self.outcome(&answer, effects)
    }

    fn now(&self) -> Now {
        now_at(self.now_ms)
    }

    /// Lets time pass, from deadline to deadline.
    pub(super) fn wait(&mut self, ms: u64) -> String {
        let end_ms = self.now_ms + ms;
        let mut told = Vec::new();
        loop {
            let mut effects = Effects::default();
            self.core.expire(self.now(), &mut effects);
            told.push(self.outcome("", effects));
            let next_ms = self
                .core
                .next_deadline()
                .map_or(u64::MAX, |deadline| deadline.since_start().as_millis() as u64);
            if next_ms > end_ms {
                break;
            }
            self.now_ms = next_ms;
        }
        self.now_ms = end_ms;
        told.retain(|outcome| !outcome.is_empty());
        told.join(" | ")
    }

    // ---- requests

    fn join(&mut self, step: &Step<'_>, effects: &mut Effects) -> String {
        let label = step.words[1];
        let version: i16 = step.number("v", 9);
        let member_id = match step.option("id") {
            Some(id) => id.into(),
            None => self.members.get(label).map_or_else(|| "".into(), |(id, _)| id.clone()),
        };
        let protocols = step.option("protocols").unwrap_or("range:M").split(',');
        let protocols = protocols.filter(|protocol| !protocol.is_empty()).map(|protocol| {
            let (name, metadata) = protocol.split_once(':').unwrap_or((protocol, ""));
            // `topics/a/b`: a subscription as consumers write it.
            let metadata = match metadata.strip_prefix("topics/") {
                Some(topics) => subscription(&topics.split('/').collect::<Vec<_>>()),
                None => Bytes::copy_from_slice(metadata.as_bytes()),
            };
            Protocol { name: name.into(), metadata }
        });
        let reply_to = self.park(label);
        let mut uuid = [0; 16];
        uuid[8..].copy_from_slice(&reply_to.0.to_be_bytes());
        let request = JoinGroup {
            group_id: step.group(),
            member_id: &member_id,
            instance_id: step.option("instance"),
            client_id: label,
            client_host: "/127.0.0.1",
            session_timeout_ms: step.number("session", 10_000),
            rebalance_timeout_ms: step.number("rebalance", 60_000),
            protocol_type: step.option("type").unwrap_or("consumer"),
            protocols: protocols.collect(),
            reason: None,
            uuid,
            requires_known_member_id: version >= 4,
            supports_skipping_assignment: version >= 9,
        };
        let new_id = new_member_id(request.instance_id.unwrap_or(label), uuid);
        self.core.join_group(self.now(), request, reply_to, effects);
        if self.core.groups.get(step.group()).is_some_and(|group| group.classic.member(&new_id).is_some()) {
            // It will learn its id with the answer; the story may name it from now on.
            self.members.insert(label.to_string(), (new_id, -1));
        }
        String::new()
    }

    fn sync(&mut self, step: &Step<'_>, effects: &mut Effects) -> String {
        let label = step.words[1];
        let (member_id, generation_id) = self.member(label);
        let assignments: Vec<(Arc<str>, Bytes)> = step
            .option("assign")
            .into_iter()
            .flat_map(|assign| assign.split(','))
            .filter_map(|pair| pair.split_once(':'))
            .map(|(label, assignment)| (self.member(label).0, Bytes::copy_from_slice(assignment.as_bytes())))
            .collect();
        let reply_to = self.park(label);
        let request = SyncGroup {
            group_id: step.group(),
            generation_id: step.number("gen", generation_id),
            member_id: &member_id,
            instance_id: step.option("instance"),
            protocol_type: step.option("type"),
            protocol_name: step.option("protocol"),
            assignments: assignments.iter().map(|(id, assignment)| (&**id, assignment.clone())).collect(),
        };
        self.core.sync_group(self.now(), request, reply_to, effects);
        String::new()
    }

    fn beat(&mut self, step: &Step<'_>, effects: &mut Effects) -> String {
        let (member_id, generation_id) = self.member(step.words[1]);
        let request = Heartbeat {
            group_id: step.group(),
            generation_id: step.number("gen", generation_id),
            member_id: &member_id,
            instance_id: step.option("instance"),
        };
        self.core.heartbeat(self.now(), request, effects).name().to_string()
    }

    /// `leave a,b`, by member id; `i/b` with an instance id too, `i/` with nothing else.
    fn leave(&mut self, step: &Step<'_>, effects: &mut Effects) -> String {
        let labels = step.words[1].split(',').map(|label| match label.split_once('/') {
            Some((instance_id, "")) => ("".into(), Some(instance_id)),
            Some((instance_id, label)) => (self.member(label).0, Some(instance_id)),
            None => (self.member(label).0, None),
        });
        let members: Vec<(Arc<str>, Option<&str>)> = labels.collect();
        let leaving: Vec<LeavingMember<'_>> = members
            .iter()
            .map(|(member_id, instance_id)| LeavingMember {
                member_id,
                instance_id: *instance_id,
                reason: None,
            })
            .collect();
        match self.core.leave_group(self.now(), step.group(), &leaving, effects) {
            Ok(errors) => errors.iter().map(|error| error.name()).collect::<Vec<_>>().join(","),
            Err(error) => error.name().to_string(),
        }
    }

    /// `commit a t-0=5:metadata u-1=6`; `commit - t-0=5` as somebody who is not a member.
    fn commit(&mut self, step: &Step<'_>, effects: &mut Effects) -> String {
        let (member_id, generation_id) = match step.words[1] {
            "-" => ("".into(), -1),
            label => self.member(label),
        };
        let partitions: Vec<PartitionCommit<'_>> = step
            .partitions()
            .map(|(topic, partition, value)| {
                let (offset, metadata) =
                    value.split_once(':').map_or((value, None), |(offset, rest)| (offset, Some(rest)));
                PartitionCommit {
                    topic,
                    topic_id: step.topic_id(),
                    partition,
                    offset: offset.parse().unwrap(),
                    leader_epoch: -1,
                    metadata,
                }
            })
            .collect();
        let request = CommitOffsets {
            group_id: step.group(),
            generation_id: step.number("gen", generation_id),
            member_id: &member_id,
            instance_id: step.option("instance"),
            retention_time_ms: step.option("retention").map(|ms| ms.parse().unwrap()),
            knows_group_id_not_found: step.number("v", 9) >= 9,
            partitions,
        };
        match self.core.commit_offsets(self.now(), &request, effects) {
            Ok(errors) => errors.iter().map(|error| error.name()).collect::<Vec<_>>().join(","),
            Err(error) => format!("all {}", error.name()),
        }
    }

    /// `pending 7 t-0=5`: the record of an offset that producer 7 commits in a transaction.
    fn commit_in_transaction(&mut self, step: &Step<'_>) -> String {
        for (topic, partition, offset) in step.partitions() {
            let value = OffsetCommit {
                offset: offset.parse().unwrap(),
                commit_timestamp_ms: self.now().wall_clock_ms,
                ..OffsetCommit::default()
            };
            let (group_id, topic) = (step.group().into(), topic.into());
            let record = GroupRecord::OffsetCommit { group_id, topic, partition, value: Some(value) };
            for core in [&mut self.core, &mut self.replica] {
                core.replay(now_at(self.now_ms), &record, Some(step.words[1].parse().unwrap()));
            }
        }
        String::new()
    }

    /// `end 7 commit` or `end 7 abort`.
    fn end_transaction(&mut self, step: &Step<'_>) -> String {
        for core in [&mut self.core, &mut self.replica] {
            core.replay_end_of_transaction(step.words[1].parse().unwrap(), step.words[2] == "commit");
        }
        String::new()
    }

    /// `fetch t-0 t-1`, `fetch all`, with `stable` for RequireStable.
    fn fetch(&mut self, step: &Step<'_>) -> String {
        let require_stable = step.words.contains(&"stable");
        let told = |topic: &str, fetched: &FetchedOffset| match fetched.error {
            ErrorCode::NONE if fetched.metadata.is_empty() => {
                format!("{topic}-{}={}", fetched.partition, fetched.offset)
            }
            ErrorCode::NONE => {
                format!("{topic}-{}={}:{}", fetched.partition, fetched.offset, fetched.metadata)
            }
            error => format!("{topic}-{}={}", fetched.partition, error.name()),
        };
        let mut answers = Vec::new();
        if step.words.contains(&"all") {
            for (topic, partitions) in self.core.fetch_all_offsets(step.group(), require_stable) {
                answers.extend(partitions.iter().map(|fetched| told(&topic, fetched)));
            }
        }
        for word in &step.words[1..] {
            if let Some((topic, partition)) = word.rsplit_once('-') {
                let partition = partition.parse().unwrap();
                answers.push(told(
                    topic,
                    &self.core.fetch_offset(
                        step.group(),
                        (topic, step.topic_id()),
                        partition,
                        require_stable,
                    ),
                ));
            }
        }
        answers.join(" ")
    }

    /// `forget t-0 u-1`: OffsetDelete.
    fn forget(&mut self, step: &Step<'_>, effects: &mut Effects) -> String {
        let words = step.words[1..].iter().filter_map(|word| word.rsplit_once('-'));
        let partitions: Vec<(&str, i32)> =
            words.map(|(topic, partition)| (topic, partition.parse().unwrap())).collect();
        match self.core.delete_offsets(self.now(), step.group(), &partitions, effects) {
            Ok(errors) => errors.iter().map(|error| error.name()).collect::<Vec<_>>().join(","),
            Err(error) => format!("all {}", error.name()),
        }
    }

    fn park(&mut self, label: &str) -> ReplyTo {
        self.next_reply += 1;
        let reply_to = ReplyTo(self.next_reply);
        self.parked.insert(reply_to, label.to_string());
        reply_to
    }

    // ---- what can be seen

    fn state(&self, group_id: &str) -> String {
        let Some(group) = self.core.groups.get(group_id).map(|group| &group.classic) else {
            return "none".to_string();
        };
        let mut told = format!("{} {}", group.state, group.generation_id);
        if let Some(leader) = &group.leader {
            let members: Vec<String> = group.members().map(|member| self.label(&member.id)).collect();
            let _ = write!(told, ", {} leads {}", self.label(leader), members.join(","));
        }
        told
    }

    fn list(&self) -> String {
        let listed = self.core.list_groups();
        let told =
            listed.iter().map(|group| format!("{}:{}:{}", group.group_id, group.protocol_type, group.state));
        told.collect::<Vec<_>>().join(" ")
    }

    fn describe(&self, group_id: &str) -> String {
        let Some(group) = self.core.describe_group(group_id) else { return "none".to_string() };
        let mut told =
            format!("{} type={} protocol={}", group.state, group.protocol_type, group.protocol_name);
        for member in &group.members {
            let label = self.label(&member.member_id);
            let (metadata, assignment) = (text(&member.metadata), text(&member.assignment));
            let instance = member.instance_id.as_deref().unwrap_or("-");
            let (client, host) = (&member.client_id, &member.client_host);
            let _ = write!(told, " {label}[{instance} {client}@{host} {metadata} {assignment}]");
        }
        told
    }

    /// The coordinator dies and another one takes over its log.
    fn restart(&mut self) -> String {
        let config = self.config.clone();
        let core = std::mem::replace(&mut self.core, GroupCoordinator::new(config));
        // Whoever waits is answered; a process that died would not do even that.
        let mut effects = Effects { replies: core.unload(ErrorCode::NOT_COORDINATOR), ..Effects::default() };
        for record in &self.log {
            self.core.replay(now_at(self.now_ms), record, None);
        }
        self.core.loaded(now_at(self.now_ms), &mut effects);
        self.outcome("", effects)
    }

    fn member(&self, label: &str) -> (Arc<str>, i32) {
        self.members.get(label).cloned().unwrap_or_else(|| (label.into(), -1))
    }

    fn label(&self, member_id: &str) -> String {
        let known = self.members.iter().find(|(_, (id, _))| &**id == member_id);
        known.map_or_else(|| member_id.to_string(), |(label, _)| label.clone())
    }

    /// Learns from the answers, folds the records, checks what must always hold, and tells it all.
    fn outcome(&mut self, answer: &str, effects: Effects) -> String {
        let mut told: Vec<String> = Vec::new();
        for (reply_to, reply) in &effects.replies {
            let label = self.parked.get(reply_to).unwrap_or_else(|| panic!("{reply_to:?} is answered twice"));
            if let Reply::Join(reply) = reply
                && !reply.member_id.is_empty()
                && matches!(reply.error, ErrorCode::NONE | ErrorCode::MEMBER_ID_REQUIRED)
            {
                self.members.insert(label.clone(), (reply.member_id.clone(), reply.generation_id));
            }
        }
        for record in effects.records {
            told.push(self.told_record(&record));
            let (key, value) = record.encode();
            let read = GroupRecord::decode(&key, value.as_ref())
                .expect("own records are readable")
                .expect("and known");
            assert_eq!(read, record);
            self.replica.replay(now_at(self.now_ms), &read, None);
            self.log.push(record);
        }
        if !answer.is_empty() {
            told.push(answer.to_string());
        }
        for (reply_to, reply) in effects.replies {
            let label = self.parked.remove(&reply_to).unwrap_or_default();
            told.push(format!("{label}: {}", self.told_reply(&reply)));
        }
        self.assert_consistent();
        told.join(" | ")
    }

    fn told_record(&self, record: &GroupRecord) -> String {
        match record {
            GroupRecord::OffsetCommit { topic, partition, value: Some(commit), .. } => {
                format!("wrote {topic}-{partition}={}", commit.offset)
            }
            GroupRecord::OffsetCommit { topic, partition, value: None, .. } => {
                format!("deleted {topic}-{partition}")
            }
            GroupRecord::GroupMetadata { group_id, value: None } => format!("deleted {group_id}"),
            GroupRecord::GroupMetadata { value: Some(metadata), .. } if metadata.members.is_empty() => {
                format!("wrote Empty {}", metadata.generation_id)
            }
            GroupRecord::GroupMetadata { value: Some(metadata), .. } => {
                let members: Vec<String> =
                    metadata.members.iter().map(|member| self.label(&member.member_id)).collect();
                format!("wrote Stable {} {}", metadata.generation_id, members.join(","))
            }
        }
    }

    fn told_reply(&self, reply: &Reply) -> String {
        match reply {
            Reply::Join(reply) if reply.error == ErrorCode::NONE => {
                let mut told = format!("joined {}, {} leads", reply.generation_id, self.label(&reply.leader));
                let members = reply
                    .members
                    .iter()
                    .map(|member| format!("{}={}", self.label(&member.member_id), text(&member.metadata)));
                let members: Vec<String> = members.collect();
                if !members.is_empty() {
                    let _ = write!(told, " {}", members.join(","));
                }
                if reply.skip_assignment {
                    told.push_str(" as before");
                }
                told
            }
            Reply::Join(reply) => reply.error.name().to_string(),
            Reply::Sync(reply) if reply.error == ErrorCode::NONE => {
                format!("synced {}", text(&reply.assignment))
            }
            Reply::Sync(reply) => reply.error.name().to_string(),
        }
    }

    fn assert_consistent(&self) {
        assert_invariants(&self.core);
        assert_replay_equals_live(&self.core, &self.replica);
    }
}

/// A line of a story, in words.
struct Step<'a> {
    words: &'a [&'a str],
}

impl<'a> Step<'a> {
    fn option(&self, name: &str) -> Option<&'a str> {
        self.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(&self, name: &str, default: T) -> T {
        self.option(name).map_or(default, |value| value.parse().unwrap())
    }

    fn group(&self) -> &'a str {
        self.option("group").unwrap_or("g")
    }

    /// `topic=9`: by an id; as many bytes of that.
    fn topic_id(&self) -> Uuid {
        Uuid([self.number("topic", 0); 16])
    }

    /// The words `topic-partition=value`.
    fn partitions(&self) -> impl Iterator<Item = (&'a str, i32, &'a str)> {
        self.words.iter().filter_map(|word| {
            let (name, value) = word.split_once('=')?;
            let (topic, partition) = name.rsplit_once('-')?;
            Some((topic, partition.parse().ok()?, value))
        })
    }
}

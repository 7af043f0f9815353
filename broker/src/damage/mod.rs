//! A broker whose files are damaged: whatever bit flips in whatever file while the broker is down, and whichever file or
//! directory is cut off or gone, what clients get afterwards is what they would have got, or an error. Never another record,
//! never a gap that nobody sees, no aborted record as a committed one, no offset or transaction that is not there; and every
//! other partition goes on.
//!
//! A data directory is made once ([`original`]), on a simulated disk; each case gets a copy of it with one piece of damage.
//! Small files are flipped in every byte if `ANABRANCH_FULL` is set, others at places that a seed draws.

mod original;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anabranch_host::{Host, OpenOptions};
use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
use anabranch_protocol::messages::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicRequest,
};
use anabranch_protocol::messages::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse,
};
use anabranch_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use anabranch_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchResponse,
};
use anabranch_protocol::records::{BatchHeader, batches};
use bytes::Bytes;

use crate::broker::Broker;
use crate::handlers::tests::ask;
use crate::log::{AppendOrigin, ReadLimit};
use crate::partition::{Isolation, Partition, ReadBatches};
use crate::partition_name::PartitionName;
use original::{
    BATCHES, DATA, FIRST_TIMESTAMP, NAMES, Original, TRANSACTIONS, batch, committed_offset, config,
};

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// A bit of a byte is another.
    Flip { byte: u64, bit: u8 },
    /// It ends here.
    Cut { length: u64 },
    /// It is gone.
    Removed,
}

/// What the damage led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Noticed {
    /// All is as it was.
    Nothing,
    /// Some reads fail, or a coordinator is not there.
    Error,
    /// A partition is offline.
    Offline,
    /// The broker does not start, and says why.
    NoStart,
}

impl Original {
    /// A copy of the directory with a damaged file.
    fn with(&self, path: &Path, damage: Damage) -> Host {
        self.sim.copy_disk("original", "copy");
        let host = self.sim.node("copy");
        let open = || host.disk().open(path, OpenOptions::write()).unwrap();
        match damage {
            Damage::Flip { byte, bit } => {
                let mut flipped = [0];
                open().read_exact_at(&mut flipped, byte).unwrap();
                flipped[0] ^= 1 << bit;
                open().write_all_at(&flipped, byte).unwrap();
            }
            Damage::Cut { length } => open().set_len(length).unwrap(),
            Damage::Removed if self.directories.iter().any(|directory| directory == path) => {
                host.disk().remove_dir_all(path).unwrap();
            }
            Damage::Removed => host.disk().remove_file(path).unwrap(),
        }
        host
    }

    /// Whether the start may fail because of damage in this file; it says so then.
    fn is_needed_by_all(&self, path: &Path) -> bool {
        let text = path.to_str().unwrap();
        text.ends_with("meta.properties")
            || text.contains("__cluster_metadata")
            || (!self.is_clean && text.contains("anabranch-journal"))
    }

    /// Whether clients may learn of damage in this file when they come to the partition. What can be made anew from the
    /// records is never missed.
    fn may_fail(&self, name: &PartitionName, path: &Path) -> bool {
        let directory = Path::new(DATA).join(name.to_string());
        let is_needed = path.extension().is_some_and(|kind| kind == "log");
        path.parent() == Some(&directory) && is_needed || path == directory || self.is_needed_by_all(path)
    }

    /// Opens the copy and holds it against what is true; what was noticed.
    async fn check(&self, host: &Host, path: &Path, damage: Damage) -> Noticed {
        let broker = match Broker::open(host.clone(), config()).await {
            Ok(broker) => broker,
            Err(error) => {
                assert!(self.is_needed_by_all(path), "it does not start: {error}");
                assert!(!error.to_string().is_empty());
                return Noticed::NoStart;
            }
        };
        let mut noticed = Noticed::Nothing;
        for (name, expected) in &self.batches {
            let seen = self.check_partition(host, &broker, name, expected, path, damage);
            noticed = noticed.max(seen);
        }
        let name = PartitionName::new("t", 0);
        let may_fail = self.may_fail(&name, path);
        noticed = noticed.max(self.check_committed(&partition_of(&broker, &name), may_fail));
        noticed = noticed.max(self.check_groups(host, &broker, path).await);
        noticed = noticed.max(self.check_transactions(host, &broker, path).await);
        broker.shutdown().await;
        noticed
    }

    fn check_partition(
        &self,
        host: &Host,
        broker: &Broker,
        name: &PartitionName,
        expected: &[(i64, Bytes)],
        path: &Path,
        damage: Damage,
    ) -> Noticed {
        let may_fail = self.may_fail(name, path);
        let partition = partition_of(broker, name);
        if partition.check().is_err() {
            assert!(may_fail, "{name} is offline");
            return Noticed::Offline;
        }
        let failed = check_reads(&partition, expected, may_fail);
        let end_offset =
            expected.last().map_or(0, |(_, last)| BatchHeader::parse(last).unwrap().next_offset());
        assert_eq!(partition.log_end_offset(), end_offset, "{name} ends elsewhere");
        assert_eq!(partition.log_start_offset(), 0, "{name} begins elsewhere");
        // Where records are lost a search may find later ones, but whoever reads through to there learns it.
        if !failed || matches!(damage, Damage::Flip { .. }) {
            check_searches(&partition, may_fail);
        }
        if !failed {
            check_producers(host, &partition, name, expected);
        }
        if failed { Noticed::Error } else { Noticed::Nothing }
    }

    /// Readers of committed records get what they got, and are told of the same aborted transactions.
    fn check_committed(&self, partition: &Partition, may_fail: bool) -> Noticed {
        let mut noticed = Noticed::Nothing;
        for (offset, (records, aborted)) in &self.committed {
            match partition.read(*offset, ReadLimit::OrOneBatch(1 << 20), Isolation::ReadCommitted).1 {
                Ok(found) => {
                    // Where there is damage further on, the batches before it are still given.
                    let is_whole =
                        if may_fail { records.starts_with(&found.records) } else { found.records == records };
                    assert!(is_whole && !found.records.is_empty(), "from {offset}");
                    let end_offset = batches(&found.records).last().unwrap().unwrap().header.next_offset();
                    let aborted = aborted.iter().filter(|it| it.first_offset < end_offset);
                    let aborted: Vec<_> = aborted.copied().collect();
                    assert_eq!(found.aborted, aborted, "what is aborted, from {offset}");
                }
                Err(error) => {
                    assert!(may_fail, "{} at {offset}: {error}", partition.name());
                    noticed = Noticed::Error;
                }
            }
        }
        if may_fail && partition.check().is_err() { Noticed::Offline } else { noticed }
    }

    /// Every group has the offset it committed; or its coordinator, whose log is damaged, is not there.
    async fn check_groups(&self, host: &Host, broker: &Broker, path: &Path) -> Noticed {
        let mut noticed = Noticed::Nothing;
        for (group, group_id) in NAMES.iter().enumerate() {
            let partition = broker.node().groups.partition_for(group_id);
            let may_fail = self.may_fail(&PartitionName::new("__consumer_offsets", partition), path);
            let topics = vec![OffsetFetchRequestTopic { name: "t", partition_indexes: vec![0] }];
            let request = OffsetFetchRequest { group_id, topics: Some(topics), ..Default::default() };
            let look = |response: OffsetFetchResponse<'_>| {
                let found = response.topics.first().map(|topic| topic.partitions[0].committed_offset);
                (response.error_code, found)
            };
            match loaded(host, async || ask(broker, 5, &request, look).await).await {
                (ErrorCode::NONE, offset) => assert_eq!(offset, Some(committed_offset(group)), "{group_id}"),
                (error_code, _) => {
                    assert!(may_fail, "{group_id}: {error_code}");
                    noticed = Noticed::Error;
                }
            }
        }
        noticed
    }

    /// Every transaction is complete; or its coordinator, whose log is damaged, is not there.
    async fn check_transactions(&self, host: &Host, broker: &Broker, path: &Path) -> Noticed {
        let mut noticed = Noticed::Nothing;
        for (number, name) in NAMES.iter().enumerate() {
            let partition = broker.node().transactions.partition_for(name);
            let may_fail = self.may_fail(&PartitionName::new("__transaction_state", partition), path);
            let request = DescribeTransactionsRequest { transactional_ids: vec![name] };
            let look = |response: DescribeTransactionsResponse<'_>| {
                let state = &response.transaction_states[0];
                (state.error_code, (state.transaction_state.to_string(), state.producer_epoch))
            };
            match loaded(host, async || ask(broker, 0, &request, look).await).await {
                (ErrorCode::NONE, (state, _)) => {
                    // The last transaction of each is one of the last four.
                    let is_committed = !(TRANSACTIONS - NAMES.len() + number).is_multiple_of(3);
                    assert_eq!(
                        state,
                        if is_committed { "CompleteCommit" } else { "CompleteAbort" },
                        "{name}"
                    );
                }
                (error_code, _) => {
                    assert!(may_fail, "{name}: {error_code}");
                    noticed = Noticed::Error;
                }
            }
        }
        noticed
    }
}

fn partition_of(broker: &Broker, name: &PartitionName) -> std::sync::Arc<Partition> {
    let topic = broker.node().topics.by_name(&name.topic);
    topic.and_then(|topic| topic.partition(name.partition)).unwrap_or_else(|| panic!("{name} is gone"))
}

/// The answer, once the coordinator has read its log.
async fn loaded<T>(host: &Host, mut asked: impl AsyncFnMut() -> (ErrorCode, T)) -> (ErrorCode, T) {
    loop {
        match asked().await {
            (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, _) => host.sleep(Duration::from_millis(10)).await,
            answer => return answer,
        }
    }
}

/// Reads from every offset; whether any read failed.
fn check_reads(partition: &Partition, expected: &[(i64, Bytes)], may_fail: bool) -> bool {
    let mut failed = false;
    for (base_offset, bytes) in expected {
        for offset in [*base_offset, base_offset + 1] {
            match partition.read(offset, ReadLimit::OrOneBatch(1000), Isolation::ReadUncommitted).1 {
                Ok(ReadBatches { records, .. }) => {
                    let given = records.get(..bytes.len());
                    assert_eq!(given, Some(&bytes[..]), "{} at {offset}", partition.name());
                    let rest = expected.iter().skip_while(|(base, _)| base < base_offset);
                    let all: Vec<u8> = rest.flat_map(|(_, bytes)| bytes.to_vec()).collect();
                    assert!(all.starts_with(&records), "{} from {offset}", partition.name());
                }
                Err(error) => {
                    assert!(may_fail, "{} at {offset}: {error}", partition.name());
                    failed = true;
                }
            }
        }
    }
    failed
}

/// Finds every record by its time.
fn check_searches(partition: &Partition, may_fail: bool) {
    for number in 0..BATCHES {
        let timestamp = FIRST_TIMESTAMP + number * 1000 + 1;
        match partition.find_timestamp(timestamp, i64::MAX) {
            Ok(found) => {
                let found = found.map(|found| (found.offset, found.timestamp));
                assert_eq!(found, Some((number * 3 + 1, timestamp)), "{}", partition.name());
            }
            Err(error) => assert!(may_fail, "{}: {error}", partition.name()),
        }
    }
}

/// A batch that was appended before is known to have been, and the next one follows it.
fn check_producers(host: &Host, partition: &Partition, name: &PartitionName, expected: &[(i64, Bytes)]) {
    let last = expected.len() as i64 - 1;
    for (number, is_duplicate) in [(last, true), (last + 1, false)] {
        let records = batch(name.partition, number).freeze();
        let (appended, _) = partition.append(&records, AppendOrigin::Client, host.wall_clock_ms()).unwrap();
        assert_eq!((appended.is_duplicate, appended.base_offset), (is_duplicate, number * 3), "{name}");
    }
}

/// What is done to a file of so many bytes.
fn damages(length: u64, flips: usize, dice: &mut fastrand::Rng) -> Vec<Damage> {
    let mut damages = vec![Damage::Removed];
    if length > 0 {
        damages.push(Damage::Cut { length: dice.u64(..length) });
        let flip = |_| Damage::Flip { byte: dice.u64(..length), bit: dice.u8(..8) };
        damages.extend((0..flips.min(length as usize)).map(flip));
    }
    damages
}

/// Some of them: all the test has time for.
fn some(mut damages: Vec<Damage>, path: &Path, dice: &mut fastrand::Rng) -> Vec<Damage> {
    let count = if path.extension().is_some_and(|kind| kind == "log") { 3 } else { 1 };
    dice.shuffle(&mut damages);
    damages.truncate(count);
    damages
}

fn every_file_damaged(is_clean: bool) {
    let original = Original::make(is_clean);
    let seed = std::env::var("ANABRANCH_SEED")
        .ok()
        .map(|seed| seed.parse().expect("ANABRANCH_SEED is a number"))
        .unwrap_or(1);
    let mut dice = fastrand::Rng::with_seed(seed);
    let is_full = std::env::var_os("ANABRANCH_FULL").is_some();
    let flips = if is_full { 200 } else { 2 };
    let mut kinds: BTreeMap<String, BTreeMap<Noticed, usize>> = BTreeMap::new();
    for path in &original.files {
        let length = original.sim.node("original").disk().read(path).unwrap().len();
        // Of the journal's files only the beginning was ever written.
        let is_journal = path.to_str().unwrap().contains("anabranch-journal");
        let length = if is_journal { length.min(16 << 10) } else { length };
        let all = damages(length as u64, flips, &mut dice);
        for damage in if is_full { all } else { some(all, path, &mut dice) } {
            println!("{} {damage:?} (seed {seed})", path.display());
            let host = original.with(path, damage);
            let noticed = original.sim.block_on(original.check(&host, path, damage));
            let name = path.file_name().unwrap().to_str().unwrap();
            let kind = name.rsplit_once('.').map_or(name, |(_, kind)| kind);
            let parent = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
            let kind = if parent.starts_with("__") { format!("{parent}/{kind}") } else { kind.to_string() };
            *kinds.entry(kind).or_default().entry(noticed).or_default() += 1;
        }
    }
    assert_eq!(original.sim.panics(), []);
    println!("{kinds:#?}");
    // The test has met every kind of file there is.
    let expected: &[&str] = &[
        "log",
        "index",
        "timeindex",
        "txnindex",
        "txnchecksum",
        "snapshot",
        "leader-epoch-checkpoint",
        "metadata",
        "properties",
        "anabranch-checkpoint",
        "cleaner-offset-checkpoint",
        "__cluster_metadata-0/log",
        "__cluster_metadata-0/checkpoint",
        "__consumer_offsets-0/log",
        "__consumer_offsets-1/log",
        "__transaction_state-0/log",
        "__transaction_state-1/log",
    ];
    for kind in expected {
        assert!(kinds.contains_key(*kind), "no {kind} among {:?}", kinds.keys());
    }
    // After a clean stop the journal is empty.
    assert!(is_clean || kinds.contains_key("anabranch-journal-0"));
    for kind in expected.iter().filter(|kind| kind.ends_with("log")) {
        // After a crash the journal has what is not in synced segments, and puts it back.
        assert!(
            !is_clean || !kinds[*kind].contains_key(&Noticed::Nothing),
            "nobody noticed damage in {kind}"
        );
    }
    let in_logs = &kinds["log"];
    assert!(in_logs.contains_key(&Noticed::Error) || in_logs.contains_key(&Noticed::Offline));
}

#[test]
fn every_file_damaged_after_a_clean_stop() {
    every_file_damaged(true);
}

#[test]
fn every_file_damaged_after_a_crash() {
    every_file_damaged(false);
}

/// Of what the journal says nobody else knows, so it must not be gone, or end early, without anybody noticing.
#[test]
fn a_journal_that_is_gone_or_cut_off_is_missed() {
    for (is_clean, expected) in [(false, Noticed::NoStart), (true, Noticed::Nothing)] {
        let original = Original::make(is_clean);
        for name in ["anabranch-journal-0", "anabranch-journal-1"] {
            let path = Path::new(DATA).join(name);
            for damage in [Damage::Removed, Damage::Cut { length: 0 }, Damage::Cut { length: 1 << 20 }] {
                println!("{name} {damage:?}");
                let host = original.with(&path, damage);
                let noticed = original.sim.block_on(original.check(&host, &path, damage));
                assert_eq!(noticed, expected, "{name} {damage:?}");
            }
        }
    }
}

/// A partition whose directory is gone had records, so it is not made anew: it is offline from start to start, whatever
/// else goes on, until its topic is deleted.
#[test]
fn a_directory_that_is_gone_is_missed() {
    for is_clean in [true, false] {
        let original = Original::make(is_clean);
        for path in &original.directories {
            println!("{} (clean: {is_clean})", path.display());
            let host = original.with(path, Damage::Removed);
            let noticed = original.sim.block_on(original.check(&host, path, Damage::Removed));
            let name = path.file_name().unwrap().to_str().unwrap();
            let expected = match name.rsplit_once('-').unwrap().0 {
                "__cluster_metadata" => Noticed::NoStart,
                "__consumer_offsets" | "__transaction_state" => Noticed::Error,
                _ => Noticed::Offline,
            };
            assert_eq!(noticed, expected, "{name}");
        }
        let path = Path::new(DATA).join("a-0");
        original.with(&path, Damage::Removed);
        let (gone, other) = (PartitionName::new("a", 0), PartitionName::new("a", 1));
        for stop_cleanly in [true, false] {
            let host = original.sim.node("copy");
            original.sim.block_on(async {
                let broker = Broker::open(host.clone(), config()).await.unwrap();
                assert!(partition_of(&broker, &gone).check().is_err());
                assert!(partition_of(&broker, &other).check().is_ok());
                shown_without_leader(&broker).await;
                assert!(!host.disk().exists(&path).unwrap(), "nothing is made in its place");
                if stop_cleanly {
                    broker.shutdown().await;
                }
            });
            original.sim.kill("copy");
        }
        let host = original.sim.node("copy");
        original.sim.block_on(async {
            let broker = Broker::open(host.clone(), config()).await.unwrap();
            let request =
                DeleteTopicsRequest { topic_names: vec!["a"], timeout_ms: 1000, ..Default::default() };
            let look = |response: DeleteTopicsResponse<'_>| response.responses[0].error_code;
            assert_eq!(ask(&broker, 5, &request, look).await, ErrorCode::NONE);
            broker.node().create_missing_topic("a").unwrap();
            assert!(partition_of(&broker, &gone).check().is_ok());
            broker.shutdown().await;
        });
        original.sim.kill("copy");
        original.sim.block_on(async {
            let broker = Broker::open(original.sim.node("copy"), config()).await.unwrap();
            assert!(partition_of(&broker, &gone).check().is_ok());
            broker.shutdown().await;
        });
        assert_eq!(original.sim.panics(), []);
    }
}

/// The partition 0 of the topic `a` is offline, and clients are told so: they do not go on asking who cannot answer.
async fn shown_without_leader(broker: &Broker) {
    let topics = vec![MetadataRequestTopic { name: Some("a"), ..Default::default() }];
    let request = MetadataRequest { topics: Some(topics), ..Default::default() };
    let look = |response: MetadataResponse<'_>| {
        let partitions = response.topics[0].partitions.iter();
        let partitions = partitions.map(|it| (it.error_code, it.leader_id, it.offline_replicas.clone()));
        partitions.collect::<Vec<_>>()
    };
    let missing = (ErrorCode::LEADER_NOT_AVAILABLE, -1, vec![1]);
    assert_eq!(ask(broker, 13, &request, look).await, [missing, (ErrorCode::NONE, 1, vec![])]);
    let topics = vec![TopicRequest { name: "a" }];
    let request =
        DescribeTopicPartitionsRequest { topics, response_partition_limit: 10, ..Default::default() };
    let look = |response: DescribeTopicPartitionsResponse<'_>| {
        let partitions = response.topics[0].partitions.iter();
        let partitions = partitions.map(|it| (it.error_code, it.leader_id, it.offline_replicas.clone()));
        partitions.collect::<Vec<_>>()
    };
    let missing = (ErrorCode::NONE, -1, vec![1]);
    assert_eq!(ask(broker, 0, &request, look).await, [missing, (ErrorCode::NONE, 1, vec![])]);
}

/// Without the checkpoint the broker misses nothing: that is how an operator goes on with what is left.
#[test]
fn who_removes_the_checkpoint_too_goes_on_with_what_is_left() {
    let original = Original::make(false);
    let host = original.with(&Path::new(DATA).join("a-0"), Damage::Removed);
    for name in ["anabranch-journal-0", "anabranch-journal-1", "anabranch-checkpoint"] {
        host.disk().remove_file(&Path::new(DATA).join(name)).unwrap();
    }
    original.sim.block_on(async {
        let broker = Broker::open(host, config()).await.unwrap();
        for (name, expected) in &original.batches {
            let partition = partition_of(&broker, name);
            // The process was killed, not the power: what the journal held lies in the segments as well.
            let end_offset = if name.to_string() == "a-0" { 0 } else { 3 * expected.len() as i64 };
            assert_eq!(partition.log_end_offset(), end_offset, "{name}");
        }
        broker.shutdown().await;
    });
}

/// The producer id of a batch says whose transaction it belongs to: damaged, it must not leave one open for ever.
#[test]
fn a_transaction_that_nobody_began_does_not_hold_readers_up() {
    let original = Original::make(false);
    let is_of_t =
        |path: &&PathBuf| path.starts_with("/data/t-0") && path.extension().is_some_and(|kind| kind == "log");
    for path in original.files.iter().filter(is_of_t) {
        // Of the segment's first batch.
        let damage = Damage::Flip { byte: 44, bit: 1 };
        let host = original.with(path, damage);
        println!("{} {damage:?}", path.display());
        original.sim.block_on(original.check(&host, path, damage));
    }
}

//! Transactions against a cluster that fails in every way, under many seeds and both protocols: what is told to be
//! committed is there as a whole, in order and once; what is told to be aborted is not; what nobody knows is one of both.

use std::collections::{BTreeMap, BTreeSet};

use anabranch_host::Host;
use anabranch_host::sim::{Sim, SimOptions};
use anabranch_protocol::ApiKey;
use anabranch_protocol::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use anabranch_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopicResult,
};
use anabranch_protocol::messages::end_txn::{EndTxnRequest, EndTxnResponse};
use anabranch_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use anabranch_protocol::messages::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use anabranch_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};
use anabranch_protocol::records::batches;

use super::*;
use crate::config::ClientConfig;
use crate::fake_broker::{Call, Reply, start, topic_id};
use crate::producer::ProducerRecord;
use crate::producer::tests::Log;

/// A cluster of one broker: partitions, a coordinator of one transactional id, and one of a group.
struct Cluster {
    implicit: bool,
    logs: BTreeMap<i32, Log>,
    epoch: i16,
    /// The epoch that was renewed last: who asks for it again gets the same answer (KIP-360).
    renewed: Option<i16>,
    /// Partitions of the transaction under way, with where it begins there.
    partitions: BTreeMap<i32, Vec<std::ops::Range<usize>>>,
    has_group: bool,
    pending_offset: Option<i64>,
    /// How the last one ended.
    ended: Option<bool>,
    committed: Vec<(i32, Vec<u8>)>,
    committed_offset: i64,
}

impl Cluster {
    fn new(implicit: bool) -> Self {
        Cluster {
            implicit,
            logs: BTreeMap::new(),
            epoch: -1,
            renewed: None,
            partitions: BTreeMap::new(),
            has_group: false,
            pending_offset: None,
            ended: None,
            committed: Vec::new(),
            committed_offset: -1,
        }
    }

    fn is_open(&self) -> bool {
        !self.partitions.is_empty() || self.has_group
    }

    fn finish(&mut self, commit: bool) {
        let partitions = std::mem::take(&mut self.partitions);
        let offset = self.pending_offset.take();
        self.has_group = false;
        self.ended = Some(commit);
        if commit {
            for (partition, ranges) in partitions {
                let values = &self.logs[&partition].values;
                let written = ranges.into_iter().flat_map(|range| values[range].iter().cloned());
                self.committed.extend(written.map(|value| (partition, value)));
            }
            self.committed_offset = offset.unwrap_or(self.committed_offset);
        }
    }

    fn check(&self, epoch: i16) -> Result<(), ErrorCode> {
        if epoch == self.epoch { Ok(()) } else { Err(ErrorCode::PRODUCER_FENCED) }
    }

    fn identify(&mut self, request: &InitProducerIdRequest<'_>) -> Result<i16, ErrorCode> {
        let had = (request.producer_id >= 0).then_some(request.producer_epoch);
        if let Some(epoch) = had {
            if self.renewed == had {
                return Ok(self.epoch);
            }
            self.check(epoch)?;
        }
        if self.is_open() {
            self.finish(false);
        }
        self.ended = None;
        self.renewed = had;
        self.epoch += 1;
        Ok(self.epoch)
    }

    fn end(&mut self, request: &EndTxnRequest<'_>, version: i16) -> Result<i16, ErrorCode> {
        assert_eq!(version >= 5, self.implicit);
        let again = self.ended == Some(request.committed) && !self.is_open();
        if self.implicit && again && request.producer_epoch + 1 == self.epoch {
            return Ok(self.epoch);
        }
        self.check(request.producer_epoch)?;
        if !self.is_open() {
            // The implicit protocol lets nothing be aborted.
            let fine = if self.implicit { !request.committed } else { again };
            if !fine {
                return Err(ErrorCode::INVALID_TXN_STATE);
            }
        }
        if self.is_open() {
            self.finish(request.committed);
        }
        self.ended = Some(request.committed);
        self.epoch += i16::from(self.implicit);
        Ok(self.epoch)
    }

    fn write(&mut self, partition: i32, records: &bytes::Bytes) -> Result<i64, ErrorCode> {
        let header = batches(records).next().unwrap().unwrap().header;
        assert!(header.is_transactional());
        if header.producer_epoch != self.epoch {
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if !self.implicit && !self.partitions.contains_key(&partition) {
            return Err(ErrorCode::INVALID_TXN_STATE);
        }
        let log = self.logs.entry(partition).or_default();
        let before = log.values.len();
        let offset = log.append(records)?;
        let written = before..log.values.len();
        self.partitions.entry(partition).or_default().push(written);
        Ok(offset)
    }

    fn answer(&mut self, call: &Call) -> Reply {
        let code = |outcome: Result<(), ErrorCode>| outcome.err().unwrap_or(ErrorCode::NONE);
        match call.key {
            ApiKey::InitProducerId => {
                let outcome = self.identify(&call.decode());
                call.answer(&InitProducerIdResponse {
                    error_code: code(outcome.map(drop)),
                    producer_id: 7,
                    producer_epoch: outcome.unwrap_or(-1),
                    ..Default::default()
                })
            }
            ApiKey::AddPartitionsToTxn => {
                assert!(!self.implicit && call.version <= 3);
                let request: AddPartitionsToTxnRequest<'_> = call.decode();
                let good = self.check(request.v3_and_below_producer_epoch);
                let mut topics = Vec::new();
                for topic in &request.v3_and_below_topics {
                    let mut results_by_partition = Vec::new();
                    for partition in &topic.partitions {
                        if good.is_ok() {
                            self.partitions.entry(*partition).or_default();
                        }
                        results_by_partition.push(AddPartitionsToTxnPartitionResult {
                            partition_index: *partition,
                            partition_error_code: code(good),
                        });
                    }
                    topics.push(AddPartitionsToTxnTopicResult { name: topic.name, results_by_partition });
                }
                call.answer(&AddPartitionsToTxnResponse {
                    results_by_topic_v3_and_below: topics,
                    ..Default::default()
                })
            }
            ApiKey::AddOffsetsToTxn => {
                assert!(!self.implicit);
                let request: AddOffsetsToTxnRequest<'_> = call.decode();
                let good = self.check(request.producer_epoch);
                self.has_group |= good.is_ok();
                call.answer(&AddOffsetsToTxnResponse { error_code: code(good), ..Default::default() })
            }
            ApiKey::TxnOffsetCommit => {
                assert_eq!(call.version >= 5, self.implicit);
                let request: TxnOffsetCommitRequest<'_> = call.decode();
                let mut good = self.check(request.producer_epoch);
                if !self.implicit && !self.has_group {
                    good = Err(ErrorCode::INVALID_TXN_STATE);
                }
                let topic = &request.topics[0];
                if good.is_ok() {
                    self.has_group = true;
                    self.pending_offset = Some(topic.partitions[0].committed_offset);
                }
                let partition =
                    TxnOffsetCommitResponsePartition { partition_index: 0, error_code: code(good) };
                let topics =
                    vec![TxnOffsetCommitResponseTopic { name: topic.name, partitions: vec![partition] }];
                call.answer(&TxnOffsetCommitResponse { topics, ..Default::default() })
            }
            ApiKey::EndTxn => {
                let outcome = self.end(&call.decode(), call.version);
                let next = outcome.ok().filter(|_| self.implicit);
                call.answer(&EndTxnResponse {
                    error_code: code(outcome.map(drop)),
                    producer_id: if next.is_some() { 7 } else { -1 },
                    producer_epoch: next.unwrap_or(-1),
                    ..Default::default()
                })
            }
            ApiKey::Produce => {
                assert_eq!(call.version >= 12, self.implicit);
                let request: ProduceRequest<'_> = call.decode();
                assert_eq!(request.transactional_id, Some("id"));
                let mut responses = Vec::new();
                for topic in &request.topic_data {
                    let mut partition_responses = Vec::new();
                    for data in &topic.partition_data {
                        let outcome = self.write(data.index, data.records.as_ref().unwrap());
                        partition_responses.push(PartitionProduceResponse {
                            index: data.index,
                            error_code: code(outcome.map(drop)),
                            base_offset: outcome.unwrap_or(-1),
                            log_append_time_ms: -1,
                            ..Default::default()
                        });
                    }
                    responses.push(TopicProduceResponse {
                        name: topic.name,
                        topic_id: topic_id("t"),
                        partition_responses,
                    });
                }
                call.answer(&ProduceResponse { responses, ..Default::default() })
            }
            other => panic!("{other} is not asked for"),
        }
    }
}

/// One in `one_in` requests meets a fault.
fn script(host: Host, cluster: Arc<Mutex<Cluster>>, one_in: u64) -> impl FnMut(&Call) -> Reply + Send {
    move |call| match call.key {
        ApiKey::ApiVersions if cluster.lock().implicit => call.versions_and_feature("transaction.version", 2),
        ApiKey::ApiVersions => call.versions(),
        ApiKey::Metadata => call.metadata(&[("t", 2)]),
        ApiKey::FindCoordinator => call.coordinator(),
        _ => match host.random_below(one_in * 3) {
            0 => Reply::Close,
            1 => {
                cluster.lock().answer(call);
                Reply::Close
            }
            2 => {
                cluster.lock().answer(call);
                Reply::Silence
            }
            _ => cluster.lock().answer(call),
        },
    }
}

/// What the producer was told of its transactions.
#[derive(Default)]
struct Told {
    /// Records taken, by transaction.
    sent: BTreeMap<u32, usize>,
    committed: BTreeSet<u32>,
    /// Nobody knows.
    unknown: BTreeSet<u32>,
}

/// Until it is settled, however often it must be asked for.
async fn settle(producer: &Producer, host: &Host, number: u32, commit: bool, told: &mut Told) {
    let mut commit = commit;
    loop {
        let ended =
            if commit { producer.commit_transaction().await } else { producer.abort_transaction().await };
        let Err(error) = ended else {
            if commit {
                told.committed.insert(number);
            }
            return;
        };
        match error.kind() {
            ErrorKind::Abort => commit = false,
            ErrorKind::OutcomeUnknown if host.random_below(2) == 0 => {}
            ErrorKind::OutcomeUnknown => {
                told.unknown.insert(number);
                while let Err(error) = producer.init_transactions().await {
                    assert_eq!(error.kind(), ErrorKind::Retriable, "{error}");
                }
                return;
            }
            ErrorKind::Retriable if !commit => {}
            kind => panic!("{kind:?}: {error}"),
        }
    }
}

fn check(seed: u64, implicit: bool, one_in: u64) {
    let sim = Sim::new(seed, SimOptions::default());
    let host = sim.node("client");
    let cluster = Arc::new(Mutex::new(Cluster::new(implicit)));
    let dialer = start(&host, script(host.clone(), Arc::clone(&cluster), one_in));
    let told = sim.block_on(async {
        let keys = [("request.timeout.ms", "300"), ("retry.backoff.ms", "20")];
        let client = Client::connect(&host, dialer, ClientConfig::from_pairs(keys).unwrap()).await.unwrap();
        let keys = [
            ("transactional.id", "id"),
            ("max.block.ms", "800"),
            ("delivery.timeout.ms", "2000"),
            ("batch.size", "100"),
            ("linger.ms", "1"),
        ];
        let producer = Producer::new(&client, ProducerConfig::from_pairs(keys).unwrap()).unwrap();
        while let Err(error) = producer.init_transactions().await {
            assert_eq!(error.kind(), ErrorKind::Retriable, "seed {seed}: {error}");
        }
        let group = GroupMetadata {
            group_id: "g".into(),
            generation_id: 1,
            member_id: "m".into(),
            group_instance_id: None,
        };
        let mut told = Told::default();
        for number in 1..=30_u32 {
            producer.begin_transaction().unwrap();
            for record in 0..host.random_below(12) {
                let value = [number.to_be_bytes(), (record as u32).to_be_bytes()].concat();
                let partition = (record % 2) as i32;
                let record = ProducerRecord::new("t").value(&value).partition(partition);
                match producer.send(record).await {
                    Ok(_) => *told.sent.entry(number).or_default() += 1,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Abort, "seed {seed}: {error}"),
                }
            }
            if host.random_below(2) == 0 {
                let name = TopicPartition::new("from", 0);
                let offsets = BTreeMap::from([(name, OffsetAndMetadata::new(i64::from(number)))]);
                if let Err(error) = producer.send_offsets_to_transaction(&offsets, &group).await {
                    assert_eq!(error.kind(), ErrorKind::Abort, "seed {seed}: {error}");
                }
            }
            settle(&producer, &host, number, host.random_below(3) > 0, &mut told).await;
        }
        told
    });
    let cluster = cluster.lock();
    let mut seen: BTreeMap<u32, BTreeMap<i32, Vec<u32>>> = BTreeMap::new();
    let mut last = 0;
    for (partition, value) in &cluster.committed {
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        let (transaction, record) = (number(&value[..4]), number(&value[4..]));
        assert!(transaction >= last, "seed {seed}: {transaction} behind {last}");
        last = transaction;
        seen.entry(transaction).or_default().entry(*partition).or_default().push(record);
    }
    for (number, partitions) in &seen {
        assert!(
            told.committed.contains(number) || told.unknown.contains(number),
            "seed {seed}: {number} was aborted, and is there"
        );
        for (partition, records) in partitions {
            let expected: Vec<_> =
                (0..).map(|index| index * 2 + *partition as u32).take(records.len()).collect();
            assert_eq!(records, &expected, "seed {seed}: transaction {number}, partition {partition}");
        }
    }
    for (number, sent) in &told.sent {
        let count = seen.get(number).map_or(0, |partitions| partitions.values().map(Vec::len).sum());
        let whole = count == *sent || count == 0 && !told.committed.contains(number);
        assert!(whole, "seed {seed}: {count} of {sent} records of transaction {number} are there");
    }
    let newest =
        i64::from(told.committed.last().copied().unwrap_or(0).max(told.unknown.last().copied().unwrap_or(0)));
    assert!(cluster.committed_offset <= newest, "seed {seed}: an aborted offset is committed");
    assert!(!told.committed.is_empty(), "seed {seed}");
}

#[test]
fn announced_transactions_are_whole_under_faults() {
    for seed in 0..40 {
        check(seed, false, 12);
    }
}

#[test]
fn implicit_transactions_are_whole_under_faults() {
    for seed in 0..40 {
        check(seed, true, 12);
    }
}

#[test]
fn without_faults_every_commit_is_one() {
    for implicit in [false, true] {
        let sim = Sim::new(1, SimOptions::default());
        let host = sim.node("client");
        let cluster = Arc::new(Mutex::new(Cluster::new(implicit)));
        let dialer = start(&host, script(host.clone(), Arc::clone(&cluster), u64::MAX / 3));
        sim.block_on(async {
            let client = Client::connect(&host, dialer, ClientConfig::default()).await.unwrap();
            let keys = [("transactional.id", "id"), ("linger.ms", "0")];
            let producer = Producer::new(&client, ProducerConfig::from_pairs(keys).unwrap()).unwrap();
            producer.init_transactions().await.unwrap();
            for number in 0..20_u32 {
                producer.begin_transaction().unwrap();
                for partition in 0..2 {
                    let value = number.to_be_bytes();
                    let record = ProducerRecord::new("t").value(&value).partition(partition);
                    producer.send(record).await.unwrap().await.unwrap();
                }
                producer.commit_transaction().await.unwrap();
            }
        });
        let cluster = cluster.lock();
        assert_eq!(cluster.committed.len(), 40);
        assert_eq!(cluster.epoch, if implicit { 20 } else { 0 }, "nothing is renewed without need");
    }
}

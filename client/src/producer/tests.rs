//! The producer against a leader that fails in every way, under many seeds: no record twice, none lost that was
//! acknowledged, none out of order.

use std::collections::BTreeMap;

use anabranch_host::sim::{Sim, SimOptions};
use anabranch_host::{HashMap, Host};
use anabranch_protocol::messages::init_producer_id::InitProducerIdResponse;
use anabranch_protocol::messages::produce::{
    LeaderIdAndEpoch, PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceResponse,
};
use anabranch_protocol::records::{BatchBuilder, Compression, batches};
use anabranch_protocol::{ApiKey, ErrorCode};
use bytes::Bytes;

use super::*;
use crate::config::ClientConfig;
use crate::error::ErrorKind;
use crate::fake_broker::{Call, Reply, start, topic_id};

/// A leader's memory of a producer in one partition.
#[derive(Default)]
struct ProducerState {
    epoch: i16,
    /// First sequence, last sequence, offset of the last five batches.
    recent: Vec<(i32, i32, i64)>,
}

/// One partition as its leader keeps it.
#[derive(Default)]
pub(super) struct Log {
    pub(super) values: Vec<Vec<u8>>,
    producers: BTreeMap<i64, ProducerState>,
}

impl Log {
    pub(super) fn append(&mut self, records: &Bytes) -> Result<i64, ErrorCode> {
        let mut walk = batches(records);
        let batch = walk.next().unwrap().unwrap();
        assert!(walk.next().is_none(), "one batch");
        batch.check_crc().unwrap();
        let header = batch.header;
        // As in Kafka, a producer that is not known may begin at any sequence.
        let begins = !self.producers.contains_key(&header.producer_id);
        let known = self.producers.entry(header.producer_id).or_default();
        if header.producer_epoch < known.epoch {
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if header.producer_epoch > known.epoch {
            if header.base_sequence != 0 {
                return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
            }
            *known = ProducerState { epoch: header.producer_epoch, recent: Vec::new() };
        }
        let (first, last) = (header.base_sequence, header.last_sequence());
        if let Some(duplicate) = known.recent.iter().find(|batch| (batch.0, batch.1) == (first, last)) {
            return Ok(duplicate.2);
        }
        let expected = known.recent.last().map_or(0, |batch| batch.1 + 1);
        if first != expected && !begins {
            return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        }
        let offset = self.values.len() as i64;
        known.recent.push((first, last, offset));
        if known.recent.len() > 5 {
            known.recent.remove(0);
        }
        let mut scratch = Vec::new();
        for record in batch.records(&mut scratch).unwrap() {
            self.values.push(record.unwrap().value.unwrap().to_vec());
        }
        Ok(offset)
    }
}

/// How a leader treats a request, by chance out of a hundred.
#[derive(Clone, Copy, Default)]
struct Faults {
    close_before: u64,
    close_after: u64,
    silence: u64,
    not_leader: u64,
    timed_out: u64,
    refuse: u64,
    /// Batches of more records are too large; 0 for no bound.
    max_records: i32,
}

fn records_in(data: &PartitionProduceData) -> i32 {
    batches(data.records.as_ref().unwrap()).next().unwrap().unwrap().header.record_count
}

fn first_value(records: &Bytes) -> u64 {
    let batch = batches(records).next().unwrap().unwrap();
    let mut scratch = Vec::new();
    let first = batch.records(&mut scratch).unwrap().next().unwrap().unwrap();
    first.value.unwrap().iter().fold(0, |number, byte| number * 256 + u64::from(*byte))
}

type Logs = Arc<Mutex<HashMap<i32, Log>>>;

fn leader(host: Host, faults: Faults, partitions: i32, logs: Logs) -> impl FnMut(&Call) -> Reply {
    move |call| match call.key {
        ApiKey::ApiVersions => call.versions(),
        ApiKey::Metadata => call.metadata(&[("t", partitions)]),
        ApiKey::InitProducerId => {
            call.answer(&InitProducerIdResponse { producer_id: 7, ..Default::default() })
        }
        ApiKey::Produce => {
            let (dice, mut below) = (host.random_below(100), 0);
            let mut falls = |chance: u64| {
                below += chance;
                (below - chance..below).contains(&dice)
            };
            if falls(faults.close_before) {
                return Reply::Close;
            }
            let (close, silence) = (falls(faults.close_after), falls(faults.silence));
            let not_leader = falls(faults.not_leader);
            let timed_out = falls(faults.timed_out);
            let request: ProduceRequest<'_> = call.decode();
            let mut responses = Vec::new();
            for topic in &request.topic_data {
                assert_eq!(topic.topic_id, topic_id("t"));
                let answer = |data: &PartitionProduceData| {
                    let outcome = if not_leader {
                        Err(ErrorCode::NOT_LEADER_OR_FOLLOWER)
                    } else if faults.max_records > 0 && records_in(data) > faults.max_records {
                        Err(ErrorCode::MESSAGE_TOO_LARGE)
                    } else if first_value(data.records.as_ref().unwrap()) * 7919 % 100 < faults.refuse {
                        // The same batch is refused at every attempt, as one with a record that cannot be.
                        Err(ErrorCode::INVALID_RECORD)
                    } else {
                        let mut logs = logs.lock();
                        let log = logs.entry(data.index).or_default();
                        let outcome = log.append(data.records.as_ref().unwrap());
                        if timed_out { outcome.and(Err(ErrorCode::REQUEST_TIMED_OUT)) } else { outcome }
                    };
                    PartitionProduceResponse {
                        index: data.index,
                        error_code: outcome.err().unwrap_or(ErrorCode::NONE),
                        base_offset: outcome.unwrap_or(-1),
                        current_leader: LeaderIdAndEpoch::default(),
                        ..Default::default()
                    }
                };
                responses.push(TopicProduceResponse {
                    topic_id: topic.topic_id,
                    partition_responses: topic.partition_data.iter().map(answer).collect(),
                    ..Default::default()
                });
            }
            let response = ProduceResponse { responses, ..Default::default() };
            let delay = Duration::from_micros(host.random_below(3000));
            match (close, silence) {
                (true, _) => Reply::Close,
                (_, true) => Reply::Silence,
                _ => Reply::Later(delay, Box::new(call.answer(&response))),
            }
        }
        other => panic!("{other}"),
    }
}

fn client_config() -> ClientConfig {
    ClientConfig { request_timeout_ms: 2000, ..Default::default() }
}

/// Sends 300 records by three tasks, and compares what they were told with what the leader has.
fn check(seed: u64, faults: Faults, config: &ProducerConfig) {
    let sim = Sim::new(seed, SimOptions::default());
    let host = sim.node("client");
    let logs = Logs::default();
    let partitions = 2;
    let dialer = start(&host, leader(host.clone(), faults, partitions, Arc::clone(&logs)));
    let told: Vec<(u32, Result<RecordMetadata>)> = sim.block_on(async {
        let client = Client::connect(&host, dialer, client_config()).await.unwrap();
        let producer = Producer::new(&client, config.clone()).unwrap();
        let senders: Vec<_> = (0..3_u32)
            .map(|sender| {
                let (producer, world) = (producer.clone(), host.clone());
                host.spawn(async move {
                    let mut deliveries = Vec::new();
                    for number in 0..100 {
                        let value = sender * 1000 + number;
                        let bytes = value.to_be_bytes();
                        let record = ProducerRecord::new("t").value(&bytes).partition((number % 2) as i32);
                        deliveries.push((value, producer.send(record).await.unwrap()));
                        if world.random_below(4) == 0 {
                            world.sleep(Duration::from_micros(world.random_below(10_000))).await;
                        }
                    }
                    let mut told = Vec::new();
                    for (value, delivery) in deliveries {
                        told.push((value, delivery.await));
                    }
                    told
                })
            })
            .collect();
        let mut told = Vec::new();
        for sender in senders {
            told.extend(sender.await.unwrap());
        }
        // Errors were told to those who sent.
        let _ = producer.close().await;
        told
    });
    let logs = logs.lock();
    let mut seen = BTreeMap::new();
    for (partition, log) in logs.iter() {
        for (offset, value) in log.values.iter().enumerate() {
            let value = u32::from_be_bytes(value.as_slice().try_into().unwrap());
            let before = seen.insert(value, (*partition, offset as i64));
            assert_eq!(before, None, "seed {seed}: {value} twice");
        }
    }
    for (value, result) in &told {
        match result {
            Ok(metadata) => {
                let place = seen.get(value).copied();
                assert_eq!(place, Some((metadata.partition, metadata.offset)), "seed {seed}: {value}");
            }
            Err(error) => {
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::Invalid | ErrorKind::Retriable), "seed {seed}: {error}");
                if kind == ErrorKind::Invalid {
                    assert!(!seen.contains_key(value), "seed {seed}: {value} was refused");
                }
            }
        }
    }
    for sender in 0..3 {
        for partition in 0..2 {
            let mut offsets = seen
                .iter()
                .filter(|(value, place)| **value / 1000 == sender && place.0 == partition)
                .map(|(_, place)| place.1);
            assert!(offsets.by_ref().is_sorted(), "seed {seed}: sender {sender} in partition {partition}");
        }
    }
}

fn config(pairs: &[(&str, &str)]) -> ProducerConfig {
    ProducerConfig::from_pairs(pairs.iter().copied()).unwrap()
}

#[test]
fn faults_of_every_kind_lose_and_double_nothing() {
    let faults = Faults {
        close_before: 5,
        close_after: 10,
        silence: 2,
        not_leader: 10,
        timed_out: 10,
        refuse: 0,
        max_records: 0,
    };
    let small = config(&[("batch.size", "120"), ("linger.ms", "1")]);
    let large = config(&[("linger.ms", "10"), ("compression.type", "lz4")]);
    for seed in 0..40 {
        check(seed, faults, &small);
        check(seed, faults, &large);
    }
}

#[test]
fn refused_batches_open_gaps_that_close() {
    let faults = Faults { close_after: 10, not_leader: 5, refuse: 10, ..Default::default() };
    let small = config(&[("batch.size", "120"), ("linger.ms", "1")]);
    for seed in 0..40 {
        check(seed, faults, &small);
    }
}

#[test]
fn batches_that_are_too_large_are_cut_until_they_fit() {
    let faults = Faults { close_after: 10, not_leader: 5, max_records: 3, ..Default::default() };
    let config = config(&[("linger.ms", "10"), ("compression.type", "zstd")]);
    for seed in 0..40 {
        check(seed, faults, &config);
    }
}

#[test]
fn batches_given_up_open_gaps_that_close() {
    let faults = Faults { close_before: 20, close_after: 20, silence: 10, ..Default::default() };
    let hasty = config(&[("batch.size", "120"), ("linger.ms", "1"), ("delivery.timeout.ms", "700")]);
    for seed in 0..40 {
        check(seed, faults, &hasty);
    }
}

#[test]
fn a_leader_that_never_answers_is_given_up_in_time() {
    let sim = Sim::new(1, SimOptions::default());
    let host = sim.node("client");
    let faults = Faults { silence: 100, ..Default::default() };
    let dialer = start(&host, leader(host.clone(), faults, 1, Logs::default()));
    sim.block_on(async {
        let client = Client::connect(&host, dialer, client_config()).await.unwrap();
        let producer = Producer::new(&client, config(&[("delivery.timeout.ms", "5000")])).unwrap();
        let started = host.now();
        let delivery = producer.send(ProducerRecord::new("t").value("v")).await.unwrap();
        let error = delivery.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retriable);
        assert!(
            error.to_string().starts_with("records for t-0 were not acknowledged within 5000 ms; last: ")
        );
        assert!(host.now() - started < Duration::from_millis(5100));
    });
}

#[test]
fn memory_holds_senders_back_and_lets_them_go() {
    let sim = Sim::new(1, SimOptions::default());
    let host = sim.node("client");
    let logs = Logs::default();
    let dialer = start(&host, leader(host.clone(), Faults::default(), 1, Arc::clone(&logs)));
    sim.block_on(async {
        let client = Client::connect(&host, dialer, client_config()).await.unwrap();
        // A batch alone would linger for an hour.
        let keys = [("buffer.memory", "2000"), ("batch.size", "2000"), ("linger.ms", "100000")];
        let producer = Producer::new(&client, config(&keys)).unwrap();
        let value = [0; 100];
        for _ in 0..100 {
            drop(producer.send(ProducerRecord::new("t").value(&value)).await.unwrap());
        }
        producer.flush().await.unwrap();
        assert_eq!(logs.lock()[&0].values.len(), 100);
        assert!(host.now().since_start() < Duration::from_secs(10));
    });
}

#[test]
fn a_missing_topic_is_waited_for_and_then_given_up() {
    let check = |appears_at_ms: u64, expected: bool| {
        let sim = Sim::new(1, SimOptions::default());
        let host = sim.node("client");
        let world = host.clone();
        let mut usual = leader(host.clone(), Faults::default(), 1, Logs::default());
        let dialer = start(&host, move |call| {
            let there = world.now().since_start() >= Duration::from_millis(appears_at_ms);
            if call.key == ApiKey::Metadata && !there { call.metadata(&[]) } else { usual(call) }
        });
        sim.block_on(async {
            let client = Client::connect(&host, dialer, client_config()).await.unwrap();
            let producer = Producer::new(&client, config(&[("max.block.ms", "3000")])).unwrap();
            let sent = producer.send(ProducerRecord::new("t").value("v")).await;
            assert_eq!(sent.is_ok(), expected, "{sent:?}");
            assert!(host.now().since_start() < Duration::from_millis(3100));
        });
    };
    check(2000, true);
    check(4000, false);
}

#[test]
fn batches_from_outside_keep_their_order_and_their_callbacks() {
    let sim = Sim::new(3, SimOptions::default());
    let host = sim.node("client");
    let logs = Logs::default();
    let faults = Faults { close_after: 20, not_leader: 20, ..Default::default() };
    let dialer = start(&host, leader(host.clone(), faults, 1, Arc::clone(&logs)));
    sim.block_on(async {
        let client = Client::connect(&host, dialer, client_config()).await.unwrap();
        let producer = Producer::new(&client, config(&[])).unwrap();
        let acks = Arc::new(Mutex::new(Vec::new()));
        let mut builder = BatchBuilder::new(Compression::Zstd);
        for number in 0..100_u32 {
            builder.append(0, None, Some(&number.to_be_bytes()), []).unwrap();
            let acks = Arc::clone(&acks);
            let on_ack = move |result: Result<BatchMetadata, BatchError>| {
                acks.lock().push(result.unwrap().base_offset)
            };
            producer.send_batch("t".into(), 0, builder.finish(), on_ack).await.unwrap();
        }
        producer.flush().await.unwrap();
        assert_eq!(*acks.lock(), (0..100).collect::<Vec<i64>>());
        let expected: Vec<_> = (0..100_u32).map(|number| number.to_be_bytes().to_vec()).collect();
        assert_eq!(logs.lock()[&0].values, expected);
    });
}

/// What a callback is told of a batch that is written in parts: where it begins, or the values that are refused.
#[test]
fn batches_from_outside_are_cut_if_they_are_too_large() {
    let check = |faults: Faults, values: &[u32], expected: Result<i64, Vec<u32>>, written: &[u32]| {
        let sim = Sim::new(4, SimOptions::default());
        let host = sim.node("client");
        let logs = Logs::default();
        let dialer = start(&host, leader(host.clone(), faults, 1, Arc::clone(&logs)));
        sim.block_on(async {
            let client = Client::connect(&host, dialer, client_config()).await.unwrap();
            let producer = Producer::new(&client, config(&[])).unwrap();
            let mut builder = BatchBuilder::new(Compression::Lz4);
            for value in values {
                builder.append(0, None, Some(&value.to_be_bytes()), []).unwrap();
            }
            let told = Arc::new(Mutex::new(Vec::new()));
            let tell = Arc::clone(&told);
            let number = |record: RefusedRecord| {
                u32::from_be_bytes(record.value.unwrap().try_into().expect("four bytes"))
            };
            let on_ack = move |fate: Result<BatchMetadata, BatchError>| {
                let fate = fate.map(|batch| batch.base_offset);
                tell.lock().push(fate.map_err(|error| error.refused.into_iter().map(number).collect()));
            };
            producer.send_batch("t".into(), 0, builder.finish(), on_ack).await.unwrap();
            let flushed = producer.flush().await;
            assert_eq!(flushed.is_ok(), expected.is_ok());
            assert_eq!(*told.lock(), [expected]);
            let written: Vec<_> = written.iter().map(|value| value.to_be_bytes().to_vec()).collect();
            assert_eq!(logs.lock().remove(&0).unwrap_or_default().values, written);
        });
    };
    let largest = |max_records| Faults { max_records, ..Default::default() };
    check(largest(3), &[1, 2, 3, 4, 5, 6, 7], Ok(0), &[1, 2, 3, 4, 5, 6, 7]);
    check(largest(1), &[1, 2, 3], Ok(0), &[1, 2, 3]);
    // A leader that refuses every batch whose first value is 1 or 2.
    let refusing = |max_records| Faults { max_records, refuse: 50, ..Default::default() };
    check(refusing(1), &[1, 2, 3], Err(vec![1, 2]), &[3]);
    check(refusing(0), &[1, 2, 3], Err(vec![1, 2, 3]), &[]);
}

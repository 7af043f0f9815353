//! The consumer against a leader that fails in every way, under many seeds: every record once and in order, as long as
//! nobody seeks; and what a poll says when there is nothing to say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::Host;
use anabranch_host::sim::{Sim, SimOptions};
use anabranch_protocol::messages::fetch::{
    FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use anabranch_protocol::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use anabranch_protocol::records::{BatchBuilder, Compression, set_base_offset};
use anabranch_protocol::{ApiKey, ErrorCode};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::*;
use crate::config::ClientConfig;
use crate::error::ErrorKind;
use crate::fake_broker::{Call, Reply, start, topic_id};

/// How a leader treats a fetch, by chance out of a hundred.
#[derive(Clone, Copy, Default)]
struct Faults {
    close: u64,
    silence: u64,
    session_lost: u64,
    not_leader: u64,
    empty: u64,
}

/// One partition: batches by the offset of their first record.
#[derive(Default)]
struct Log {
    batches: BTreeMap<i64, Bytes>,
    end: i64,
}

impl Log {
    fn append(&mut self, records: i64) {
        let mut builder =
            BatchBuilder::new(if self.end % 2 == 0 { Compression::None } else { Compression::Lz4 });
        for offset in self.end..self.end + records {
            builder.append(0, None, Some(&offset.to_be_bytes()), []).unwrap();
        }
        let mut batch = builder.finish();
        set_base_offset(&mut batch, self.end);
        self.batches.insert(self.end, batch.freeze());
        self.end += records;
    }

    /// Up to three batches from the one that holds `offset` on.
    fn read(&self, offset: i64) -> Bytes {
        let first = self.batches.range(..=offset).next_back().map_or(0, |(first, _)| *first);
        let mut bytes = BytesMut::new();
        if offset < self.end {
            self.batches.range(first..).take(3).for_each(|(_, batch)| bytes.extend_from_slice(batch));
        }
        bytes.freeze()
    }
}

struct Leader {
    host: Host,
    faults: Faults,
    logs: BTreeMap<i32, Log>,
    /// The session, its epoch, and the offsets that it fetches.
    session: Option<(i32, i32, BTreeMap<i32, i64>)>,
    next_session: i32,
}

impl Leader {
    fn answer(&mut self, call: &Call) -> Reply {
        match call.key {
            ApiKey::ApiVersions => call.versions(),
            ApiKey::Metadata => call.metadata(&[("t", 2)]),
            ApiKey::ListOffsets => {
                let request: ListOffsetsRequest<'_> = call.decode();
                let partitions =
                    request.topics[0].partitions.iter().map(|asked| ListOffsetsPartitionResponse {
                        partition_index: asked.partition_index,
                        offset: if asked.timestamp == -2 { 0 } else { self.logs[&asked.partition_index].end },
                        ..Default::default()
                    });
                let topic = ListOffsetsTopicResponse { name: "t", partitions: partitions.collect() };
                call.answer(&ListOffsetsResponse { topics: vec![topic], ..Default::default() })
            }
            ApiKey::Fetch => self.fetch(call),
            other => panic!("{other}"),
        }
    }

    fn fetch(&mut self, call: &Call) -> Reply {
        let request: FetchRequest<'_> = call.decode();
        let (dice, mut below) = (self.host.random_below(100), 0);
        let mut falls = |chance: u64| {
            below += chance;
            (below - chance..below).contains(&dice)
        };
        let faults = self.faults;
        if falls(faults.close) {
            return Reply::Close;
        }
        if falls(faults.silence) {
            return Reply::Silence;
        }
        if falls(faults.session_lost) {
            self.session = None;
        }
        let (not_leader, empty) = (falls(faults.not_leader), falls(faults.empty));
        let refuse = |error_code| call.answer(&FetchResponse { error_code, ..Default::default() });
        if request.session_epoch == 0 {
            self.next_session += 1;
            self.session = Some((self.next_session, 0, BTreeMap::new()));
        }
        let Some((id, epoch, offsets)) = &mut self.session else {
            return refuse(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        };
        if request.session_epoch != 0 && (request.session_id != *id || request.session_epoch != *epoch) {
            return refuse(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        *epoch += 1;
        for topic in &request.topics {
            assert_eq!(topic.topic_id, topic_id("t"));
            offsets.extend(topic.partitions.iter().map(|one| (one.partition, one.fetch_offset)));
        }
        for topic in &request.forgotten_topics_data {
            offsets.retain(|partition, _| !topic.partitions.contains(partition));
        }
        let mut partitions = Vec::new();
        for (partition, offset) in offsets.iter() {
            let log = &self.logs[partition];
            let data = PartitionData {
                partition_index: *partition,
                high_watermark: log.end,
                last_stable_offset: log.end,
                log_start_offset: 0,
                ..Default::default()
            };
            let data = if not_leader {
                PartitionData { error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER, ..data }
            } else if *offset > log.end {
                PartitionData { error_code: ErrorCode::OFFSET_OUT_OF_RANGE, ..data }
            } else if empty || *offset == log.end {
                continue;
            } else {
                PartitionData { records: Some(log.read(*offset)), ..data }
            };
            partitions.push(data);
        }
        let wait = if partitions.is_empty() { request.max_wait_ms as u64 } else { self.host.random_below(5) };
        let topic = FetchableTopicResponse { topic_id: topic_id("t"), partitions, ..Default::default() };
        let responses = if topic.partitions.is_empty() { Vec::new() } else { vec![topic] };
        let response = FetchResponse { session_id: *id, responses, ..Default::default() };
        Reply::Later(Duration::from_millis(wait), Box::new(call.answer(&response)))
    }
}

/// A world with a leader of two partitions, and a consumer that has both.
fn with_consumer(
    seed: u64,
    faults: Faults,
    keys: &[(&str, &str)],
    test: impl AsyncFnOnce(Host, Arc<Mutex<Leader>>, Consumer),
) {
    let sim = Sim::new(seed, SimOptions::default());
    let host = sim.node("client");
    let logs = [(0, Log::default()), (1, Log::default())].into();
    let leader = Leader { host: host.clone(), faults, logs, session: None, next_session: 0 };
    let leader = Arc::new(Mutex::new(leader));
    let scripted = Arc::clone(&leader);
    let dialer = start(&host, move |call| scripted.lock().answer(call));
    let config = ConsumerConfig::from_pairs(keys.iter().copied()).unwrap();
    sim.block_on(async {
        let settings = ClientConfig { request_timeout_ms: 2000, ..Default::default() };
        let client = Client::connect(&host, dialer, settings).await.unwrap();
        let mut consumer = Consumer::new(&client, config).unwrap();
        consumer.assign(&[TopicPartition::new("t", 0), TopicPartition::new("t", 1)]).unwrap();
        test(host.clone(), leader, consumer).await;
    });
}

const EARLIEST: &[(&str, &str)] = &[("auto.offset.reset", "earliest"), ("max.poll.records", "7")];
const ALL_FAULTS: Faults = Faults { close: 10, silence: 3, session_lost: 10, not_leader: 10, empty: 10 };

/// Lets both logs grow now and then to 100 records each.
fn grow(host: &Host, leader: &Arc<Mutex<Leader>>) {
    let (world, leader) = (host.clone(), Arc::clone(leader));
    host.spawn(async move {
        for _ in 0..20 {
            for partition in 0..2 {
                leader.lock().logs.get_mut(&partition).unwrap().append(5);
            }
            world.sleep(Duration::from_millis(world.random_below(200))).await;
        }
    });
}

#[test]
fn records_come_once_and_in_order_whatever_fails() {
    for seed in 0..40 {
        with_consumer(seed, ALL_FAULTS, EARLIEST, async |host, leader, mut consumer| {
            grow(&host, &leader);
            let mut next = [0, 0];
            while next != [100, 100] {
                assert!(host.now().since_start() < Duration::from_secs(600), "seed {seed}: {next:?}");
                for record in consumer.poll(Duration::from_millis(100)).await.unwrap().records {
                    let next = &mut next[record.partition as usize];
                    assert_eq!(record.offset, *next, "seed {seed}");
                    assert_eq!(record.value.unwrap()[..], record.offset.to_be_bytes());
                    *next += 1;
                }
            }
        });
    }
}

#[test]
fn batches_follow_each_other_whatever_fails() {
    for seed in 0..40 {
        with_consumer(seed, ALL_FAULTS, EARLIEST, async |host, leader, mut consumer| {
            grow(&host, &leader);
            let mut next = [0, 0];
            while next != [100, 100] {
                assert!(host.now().since_start() < Duration::from_secs(600), "seed {seed}: {next:?}");
                for fetched in consumer.poll_batches(Duration::from_millis(100)).await.unwrap().records {
                    let next = &mut next[fetched.partition as usize];
                    assert_eq!(fetched.fetch_offset, *next, "seed {seed}");
                    *next = fetched.next_offset;
                }
                // Now and then somebody goes to where it is, or pauses what it has.
                let name = TopicPartition::new("t", host.random_below(2) as i32);
                match host.random_below(10) {
                    0 => {
                        if let Some(position) = consumer.position(&name) {
                            consumer.seek(&name, position).unwrap();
                        }
                    }
                    1 => consumer.pause(&[name]).unwrap(),
                    2..5 => consumer.resume(&[name]).unwrap(),
                    _ => {}
                }
            }
        });
    }
}

#[test]
fn a_poll_returns_in_time_whatever_the_broker_does() {
    let check = |faults: Faults| {
        with_consumer(1, faults, EARLIEST, async |host, leader, mut consumer| {
            leader.lock().logs.get_mut(&0).unwrap().append(1);
            for _ in 0..20 {
                let started = host.now();
                assert!(consumer.poll(Duration::from_millis(70)).await.unwrap().records.is_empty());
                assert!(host.now() - started < Duration::from_millis(75));
            }
        });
    };
    check(Faults { silence: 100, ..Default::default() });
    check(Faults { close: 100, ..Default::default() });
    check(Faults { not_leader: 100, ..Default::default() });
}

#[test]
fn what_comes_is_returned_at_once() {
    with_consumer(1, Faults::default(), EARLIEST, async |host, leader, mut consumer| {
        leader.lock().logs.get_mut(&0).unwrap().append(3);
        let started = host.now();
        let records = consumer.poll(Duration::from_secs(60)).await.unwrap().records;
        assert_eq!(records.len(), 3);
        assert!(host.now() - started < Duration::from_millis(100));
    });
}

#[test]
fn an_offset_that_is_gone_is_reset_or_told() {
    let check = |keys: &[(&str, &str)], expected: Result<i64, ErrorKind>| {
        with_consumer(1, Faults::default(), keys, async |_, leader, mut consumer| {
            leader.lock().logs.get_mut(&0).unwrap().append(10);
            let name = TopicPartition::new("t", 0);
            consumer.pause(&[TopicPartition::new("t", 1)]).unwrap();
            consumer.seek(&name, 500).unwrap();
            let mut outcome = Ok(500);
            while outcome == Ok(500) {
                let polled = consumer.poll(Duration::from_millis(50)).await;
                outcome = match polled {
                    Ok(polled) if !polled.records.is_empty() => Ok(polled.records[0].offset),
                    Ok(_) => Ok(consumer.position(&name).unwrap_or(500)),
                    Err(error) => Err(error.kind()),
                };
            }
            assert_eq!(outcome, expected);
        });
    };
    check(EARLIEST, Ok(0));
    check(&[("auto.offset.reset", "latest")], Ok(10));
    check(&[("auto.offset.reset", "none")], Err(ErrorKind::Invalid));
}

#[test]
fn damaged_records_are_told_and_not_passed_over() {
    with_consumer(1, Faults::default(), EARLIEST, async |_, leader, mut consumer| {
        {
            let mut leader = leader.lock();
            let log = leader.logs.get_mut(&0).unwrap();
            log.append(2);
            log.append(2);
            let mut damaged = log.batches[&2].to_vec();
            *damaged.last_mut().unwrap() ^= 1;
            log.batches.insert(2, damaged.into());
        }
        let (mut offsets, mut errors) = (Vec::new(), 0);
        while errors < 3 {
            match consumer.poll(Duration::from_millis(50)).await {
                Ok(polled) => offsets.extend(polled.records.iter().map(|record| record.offset)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                    errors += 1;
                }
            }
        }
        assert_eq!(offsets, [0, 1], "what is good comes first");
        assert_eq!(consumer.position(&TopicPartition::new("t", 0)), Some(2));
    });
}

#[test]
fn calls_that_cannot_be_are_refused() {
    with_consumer(1, Faults::default(), &[], async |_, _, mut consumer| {
        let other = TopicPartition::new("u", 0);
        let invalid = |result: Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::Invalid);
        invalid(consumer.subscribe(["t"]));
        invalid(consumer.seek(&other, 0));
        invalid(consumer.seek(&TopicPartition::new("t", 0), -1));
        invalid(consumer.seek_to_end(&other));
        invalid(consumer.pause(&[other]));
        invalid(consumer.commit().await);
        assert!(consumer.group_metadata().is_none());
        assert_eq!(consumer.position(&TopicPartition::new("u", 0)), None);
    });
}

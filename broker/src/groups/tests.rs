//! Coordinators with a log and a clock, in virtual time.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use anabranch_host::{Sim, SimOptions};
use anabranch_protocol::records::{end_transaction_marker, seal, set_producer, set_transactional};
use anabranch_protocol::{ErrorCode, Uuid};
use bytes::{Bytes, BytesMut};

use super::*;
use crate::config::BrokerConfig;
use crate::coordinator::group::classic::GroupState;
use crate::coordinator::group::effects::Reply;
use crate::coordinator::group::join::JoinGroup;
use crate::coordinator::group::member::Protocol;
use crate::coordinator::group::offset_commit::{CommitOffsets, PartitionCommit};
use crate::coordinator::group::records::{GroupRecord, OffsetCommit};
use crate::coordinator::group::sync::SyncGroup;
use crate::internal_log::{Appended, InternalLogError, MemoryLog};

/// Runs `story` on the coordinators of a broker in a simulated world.
fn in_world<F: Future>(story: impl FnOnce(Host, Arc<Groups>) -> F) {
    let sim = Sim::new(7, SimOptions::default());
    let host = sim.node("broker");
    sim.block_on(async {
        let groups = Groups::new(host.clone(), BrokerConfig::default().group);
        groups.offsets_topic_found(50);
        story(host, groups).await;
    });
    assert_eq!(sim.panics(), Vec::new());
}

fn join(groups: &Arc<Groups>, member_id: &str) -> Result<Parked, ErrorCode> {
    groups.park("g", |coordinator, now, reply_to, effects| {
        let request = JoinGroup {
            group_id: "g",
            member_id,
            instance_id: None,
            client_id: "c",
            client_host: "/",
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer",
            protocols: vec![Protocol { name: "range".into(), metadata: Bytes::new() }],
            reason: None,
            uuid: [1; 16],
            requires_known_member_id: false,
            supports_skipping_assignment: true,
        };
        coordinator.join_group(now, request, reply_to, effects);
    })
}

fn commit(groups: &Arc<Groups>, partitions: i32) -> Result<(Vec<ErrorCode>, Durable), ErrorCode> {
    let partitions = (0..partitions).map(|partition| PartitionCommit {
        topic: "a-topic-with-a-rather-long-name",
        topic_id: Uuid::ZERO,
        partition,
        offset: 5,
        leader_epoch: -1,
        metadata: Some("some metadata to make it longer"),
    });
    let request = CommitOffsets {
        group_id: "g",
        generation_id: -1,
        partitions: partitions.collect(),
        ..CommitOffsets::default()
    };
    let (errors, durable) =
        groups.call("g", |coordinator, now, effects| coordinator.commit_offsets(now, &request, effects))?;
    Ok((errors?, durable))
}

/// How many offsets the group has.
fn offsets(groups: &Arc<Groups>) -> Result<(usize, Durable), ErrorCode> {
    groups.call("g", |coordinator, _, _| {
        coordinator.fetch_all_offsets("g", true).iter().map(|(_, partitions)| partitions.len()).sum()
    })
}

fn is_ready<F: Future>(future: &mut std::pin::Pin<&mut F>) -> bool {
    matches!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
}

#[test]
fn groups_are_served_where_their_partition_is() {
    in_world(|host, groups| async move {
        assert_eq!(offsets(&groups).unwrap_err(), ErrorCode::NOT_COORDINATOR);
        let log = MemoryLog::new();
        let partition = groups.partition_for("g");
        groups.elected(partition, log.clone());
        assert_eq!(offsets(&groups).unwrap().0, 0, "an empty log needs no reading");
        assert_eq!(commit(&groups, 2).unwrap().0, [ErrorCode::NONE; 2]);

        groups.shut_down();
        assert_eq!(offsets(&groups).unwrap_err(), ErrorCode::NOT_COORDINATOR);
        groups.elected(partition, log.clone());
        assert_eq!(offsets(&groups).unwrap_err(), ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        assert_eq!(groups.look(|_| ()).unwrap_err(), ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        host.sleep(Duration::from_millis(1)).await;
        assert_eq!(offsets(&groups).unwrap().0, 2);
        assert_eq!(groups.look(|coordinator| coordinator.list_groups().len()).unwrap().0, [1]);
        groups.elected(50, MemoryLog::new());
    });
}

#[test]
fn a_load_that_is_overtaken_is_of_no_use() {
    in_world(|host, groups| async move {
        let log = MemoryLog::new();
        let partition = groups.partition_for("g");
        groups.elected(partition, log.clone());
        commit(&groups, 2).unwrap().1.await.unwrap();
        groups.elected(partition, log);
        groups.elected(partition, MemoryLog::new());
        host.sleep(Duration::from_millis(1)).await;
        assert_eq!(offsets(&groups).unwrap().0, 0);
        groups.shut_down();
        assert_eq!(offsets(&groups).unwrap_err(), ErrorCode::NOT_COORDINATOR);
    });
}

#[test]
fn deadlines_are_met_without_anybody_asking() {
    in_world(|host, groups| async move {
        groups.elected(groups.partition_for("g"), MemoryLog::new());
        let start = host.now();
        let Ok(Reply::Join(joined)) = join(&groups, "").unwrap().answer().await else { panic!("no answer") };
        assert_eq!((joined.error, joined.generation_id), (ErrorCode::NONE, 1));
        assert_eq!((host.now() - start).as_millis(), 3_000, "the initial rebalance delay");
        let synced = groups.park("g", |coordinator, now, reply_to, effects| {
            let member_id = &*joined.member_id;
            let request = SyncGroup { group_id: "g", generation_id: 1, member_id, ..SyncGroup::default() };
            coordinator.sync_group(now, request, reply_to, effects);
        });
        assert!(
            matches!(synced.unwrap().answer().await, Ok(Reply::Sync(synced)) if synced.error == ErrorCode::NONE)
        );
        let state = |groups: &Arc<Groups>| {
            groups.call("g", |coordinator, _, _| coordinator.describe_group("g").unwrap().state).unwrap().0
        };
        host.sleep(Duration::from_millis(9_999)).await;
        assert_eq!(state(&groups), GroupState::Stable);
        host.sleep(Duration::from_millis(2)).await;
        assert_eq!(state(&groups), GroupState::Empty, "the session ended");
    });
}

#[test]
fn nothing_is_told_before_it_is_durable() {
    in_world(|_, groups| async move {
        let log = MemoryLog::unsynced();
        groups.elected(groups.partition_for("g"), log.clone());
        let (_, committed) = commit(&groups, 1).unwrap();
        let (seen, fetched) = offsets(&groups).unwrap();
        assert_eq!(seen, 1);
        let mut refused = pin!(join(&groups, "nobody").unwrap().answer());
        assert_eq!((committed.outcome(), fetched.outcome()), (None, None), "nor shown to somebody else");
        assert!(!is_ready(&mut refused));
        log.sync();
        assert_eq!((committed.outcome(), fetched.outcome()), (Some(Ok(())), Some(Ok(()))));
        assert!(is_ready(&mut refused));
    });
}

#[test]
fn nobody_waits_for_ever_for_a_disk() {
    in_world(|host, groups| async move {
        let log = MemoryLog::unsynced();
        groups.elected(groups.partition_for("g"), log.clone());
        let _committed = commit(&groups, 1).unwrap();
        let start = host.now();
        assert_eq!(join(&groups, "nobody").unwrap().answer().await, Err(ErrorCode::NOT_COORDINATOR));
        assert_eq!((host.now() - start).as_secs(), 5);
    });
}

#[test]
fn a_failed_log_sends_everybody_away() {
    in_world(|host, groups| async move {
        let log = MemoryLog::unsynced();
        groups.elected(groups.partition_for("g"), log.clone());
        let (_, committed) = commit(&groups, 1).unwrap();
        let waits = join(&groups, "").unwrap();
        log.fail();
        assert!(committed.await.is_err());
        assert_eq!(
            offsets(&groups).unwrap().0,
            1,
            "looking appends nothing, and waits for what will not come"
        );
        groups.topic_deleted("a-topic-with-a-rather-long-name");
        assert!(
            matches!(waits.answer().await, Ok(Reply::Join(reply)) if reply.error == ErrorCode::NOT_COORDINATOR)
        );
        host.sleep(Duration::from_secs(1)).await;
        assert_eq!(
            offsets(&groups).unwrap_err(),
            ErrorCode::NOT_COORDINATOR,
            "what is gone is not read again"
        );
    });
}

/// Takes no batch larger than the first size, and says that it takes the second.
#[derive(Debug)]
struct NarrowLog(Arc<MemoryLog>, usize, usize);

impl InternalLog for NarrowLog {
    fn append(&self, batch: BytesMut) -> Result<Appended, InternalLogError> {
        if batch.len() > self.1 {
            return Err(InternalLogError::TooLarge { batch_bytes: batch.len(), limit_bytes: self.1 });
        }
        self.0.append(batch)
    }
    fn append_marker(&self, marker: BytesMut, bumps_epoch: bool) -> Result<Appended, InternalLogError> {
        self.0.append_marker(marker, bumps_epoch)
    }

    fn check_producer(&self, producer_id: i64, producer_epoch: i16) -> Result<(), ErrorCode> {
        self.0.check_producer(producer_id, producer_epoch)
    }

    fn read(&self, offset: i64, max_bytes: usize) -> Result<Bytes, InternalLogError> {
        self.0.read(offset, max_bytes)
    }
    fn max_batch_bytes(&self) -> usize {
        self.2
    }
    fn start_offset(&self) -> i64 {
        self.0.start_offset()
    }
    fn end_offset(&self) -> i64 {
        self.0.end_offset()
    }
    fn settled(&self) -> Durable {
        self.0.settled()
    }
}

#[test]
fn what_the_log_refuses_leaves_no_trace() {
    in_world(|host, groups| async move {
        groups.elected(groups.partition_for("g"), Arc::new(NarrowLog(MemoryLog::new(), 2_000, usize::MAX)));
        commit(&groups, 3).unwrap().1.await.unwrap();
        assert_eq!(commit(&groups, 300).unwrap_err(), ErrorCode::NOT_COORDINATOR);
        host.sleep(Duration::from_millis(1)).await;
        assert_eq!(offsets(&groups).unwrap().0, 3);
        commit(&groups, 4).unwrap().1.await.unwrap();
        assert_eq!(offsets(&groups).unwrap().0, 4);
    });
}

#[test]
fn a_record_that_is_too_large_fails_its_request_and_nobody_else_hears_of_it() {
    in_world(|host, groups| async move {
        groups.elected(groups.partition_for("g"), Arc::new(NarrowLog(MemoryLog::new(), 150, 150)));
        assert_eq!(commit(&groups, 1).unwrap_err(), ErrorCode::UNKNOWN_SERVER_ERROR);
        assert_eq!(offsets(&groups).unwrap().0, 0, "nothing is loaded anew");
        let joins = join(&groups, "").unwrap();
        host.sleep(Duration::from_millis(1)).await;
        assert!(matches!(joins.answer().await, Ok(Reply::Join(joined)) if joined.error == ErrorCode::NONE));
    });
}

#[test]
fn records_go_into_one_batch_or_if_that_is_too_large_into_several() {
    in_world(|host, groups| async move {
        for (most_bytes, is_one) in [(4_000_000, true), (5_000, false)] {
            let log = Arc::new(NarrowLog(MemoryLog::new(), most_bytes, most_bytes));
            groups.elected(groups.partition_for("g"), log.clone());
            commit(&groups, 20_000).unwrap().1.await.unwrap();
            let written = log.read(0, usize::MAX).unwrap();
            assert_eq!(anabranch_protocol::records::batches(&written).count() == 1, is_one, "{most_bytes}");
            groups.elected(groups.partition_for("g"), log);
            host.sleep(Duration::from_millis(1)).await;
            assert_eq!(offsets(&groups).unwrap().0, 20_000);
        }
    });
}

#[test]
fn offsets_of_transactions_count_when_their_marker_comes() {
    in_world(|host, groups| async move {
        let log = MemoryLog::new();
        for (producer_id, ending) in [(1, Some(true)), (2, Some(false)), (3, None)] {
            let record = GroupRecord::OffsetCommit {
                group_id: "g".into(),
                topic: "t".into(),
                partition: producer_id,
                value: Some(OffsetCommit { offset: 5, ..OffsetCommit::default() }),
            };
            let (key, value) = record.encode();
            let mut builder = anabranch_protocol::records::BatchBuilder::new(
                anabranch_protocol::records::Compression::None,
            );
            builder.append(0, Some(&key), value.as_deref(), []).unwrap();
            let mut batch = builder.finish();
            set_producer(&mut batch, producer_id.into(), 0, 0);
            set_transactional(&mut batch);
            seal(&mut batch);
            log.append(batch).unwrap();
            if let Some(is_commit) = ending {
                log.append(end_transaction_marker(0, producer_id.into(), 0, is_commit, 0)).unwrap();
            }
        }
        groups.elected(groups.partition_for("g"), log);
        host.sleep(Duration::from_millis(1)).await;
        let fetch = |partition| {
            let fetched = groups.call("g", |coordinator, _, _| {
                coordinator.fetch_offset("g", ("t", Uuid::ZERO), partition, true)
            });
            let fetched = fetched.unwrap().0;
            (fetched.offset, fetched.error)
        };
        assert_eq!(fetch(1), (5, ErrorCode::NONE));
        assert_eq!(fetch(2), (-1, ErrorCode::NONE));
        assert_eq!(fetch(3), (-1, ErrorCode::UNSTABLE_OFFSET_COMMIT));
    });
}

#[test]
fn a_log_that_cannot_be_read_is_no_coordinator_but_the_others_serve() {
    in_world(|host, groups| async move {
        let log = MemoryLog::new();
        let mut builder =
            anabranch_protocol::records::BatchBuilder::new(anabranch_protocol::records::Compression::None);
        builder.append(0, Some(b"\0\x02\0\x01g"), Some(b"\0\x03not a group"), []).unwrap();
        log.append(builder.finish()).unwrap();
        let partition = groups.partition_for("g");
        groups.elected(partition, log);
        groups.elected((partition + 1) % 50, MemoryLog::new());
        host.sleep(Duration::from_millis(1)).await;
        assert_eq!(offsets(&groups).unwrap_err(), ErrorCode::COORDINATOR_NOT_AVAILABLE);
        assert_eq!(groups.look(|_| ()).unwrap().0.len(), 1);
    });
}

#[test]
fn a_broker_that_stops_answers_those_who_wait() {
    in_world(|_, groups| async move {
        groups.elected(groups.partition_for("g"), MemoryLog::new());
        let waits = join(&groups, "").unwrap();
        groups.shut_down();
        assert!(
            matches!(waits.answer().await, Ok(Reply::Join(reply)) if reply.error == ErrorCode::NOT_COORDINATOR)
        );
    });
}

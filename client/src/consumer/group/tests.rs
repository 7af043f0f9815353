//! A consumer in a group whose coordinator is scripted: what it says, when, and what it does when the coordinator moves,
//! waits or refuses.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::Host;
use anabranch_host::sim::{Sim, SimOptions};
use anabranch_protocol::messages::fetch::FetchResponse;
use anabranch_protocol::messages::find_coordinator::{Coordinator, FindCoordinatorResponse};
use anabranch_protocol::messages::heartbeat::HeartbeatResponse;
use anabranch_protocol::messages::join_group::JoinGroupResponseMember;
use anabranch_protocol::messages::leave_group::LeaveGroupResponse;
use anabranch_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use anabranch_protocol::messages::offset_fetch::{OffsetFetchResponse, OffsetFetchResponseGroup};
use anabranch_protocol::{ApiKey, ErrorCode};
use parking_lot::Mutex;

use super::*;
use crate::config::{ClientConfig, ConsumerConfig};
use crate::consumer::assignor::{Assignor, GroupView, RangeAssignor};
use crate::consumer::{Consumer, RebalanceEvent};
use crate::error::ErrorKind;
use crate::fake_broker::{Call, Reply, start};
use crate::group_offsets::OffsetAndMetadata;
use crate::topic_partition::TopicPartition;

/// A coordinator of a group with one member, which is its leader.
struct Coordination {
    generation: i32,
    assignment: Bytes,
    /// Codes for the next requests of an API, before it answers as usual.
    refusals: BTreeMap<ApiKey, Vec<ErrorCode>>,
    /// Whether joins wait for others who never come.
    joins_wait: bool,
    /// Whether nobody answers for metadata.
    metadata_waits: bool,
    /// What was asked, in order, fetches and metadata left out.
    seen: Vec<ApiKey>,
}

type Shared = Arc<Mutex<Coordination>>;

fn answer(coordination: &Shared, call: &Call) -> Reply {
    let mut group = coordination.lock();
    if !matches!(call.key, ApiKey::ApiVersions | ApiKey::Metadata | ApiKey::Fetch | ApiKey::ListOffsets) {
        group.seen.push(call.key);
    }
    let code = group.refusals.get_mut(&call.key).and_then(Vec::pop).unwrap_or(ErrorCode::NONE);
    match call.key {
        ApiKey::ApiVersions => call.versions(),
        ApiKey::Metadata if group.metadata_waits => Reply::Silence,
        ApiKey::Metadata => call.metadata(&[("t", 2)]),
        ApiKey::FindCoordinator => {
            let found =
                Coordinator { key: "g", host: "fake", port: 9092, error_code: code, ..Default::default() };
            call.answer(&FindCoordinatorResponse { coordinators: vec![found], ..Default::default() })
        }
        ApiKey::JoinGroup => {
            let request: JoinGroupRequest<'_> = call.decode();
            if request.member_id.is_empty() && code == ErrorCode::NONE {
                let error_code = ErrorCode::MEMBER_ID_REQUIRED;
                return call.answer(&JoinGroupResponse { error_code, member_id: "m", ..Default::default() });
            }
            if group.joins_wait {
                return Reply::Silence;
            }
            group.generation += 1;
            let member = JoinGroupResponseMember {
                member_id: "m",
                metadata: request.protocols[0].metadata.clone(),
                ..Default::default()
            };
            call.answer(&JoinGroupResponse {
                error_code: code,
                generation_id: group.generation,
                protocol_name: Some("range"),
                leader: "m",
                member_id: "m",
                members: vec![member],
                ..Default::default()
            })
        }
        ApiKey::SyncGroup => {
            let request: SyncGroupRequest<'_> = call.decode();
            if let Some(mine) = request.assignments.first() {
                group.assignment = mine.assignment.clone();
            }
            let assignment = group.assignment.clone();
            call.answer(&SyncGroupResponse { error_code: code, assignment, ..Default::default() })
        }
        ApiKey::Heartbeat => call.answer(&HeartbeatResponse { error_code: code, ..Default::default() }),
        ApiKey::LeaveGroup => call.answer(&LeaveGroupResponse::default()),
        ApiKey::OffsetFetch => {
            let found = OffsetFetchResponseGroup { group_id: "g", error_code: code, ..Default::default() };
            call.answer(&OffsetFetchResponse { groups: vec![found], ..Default::default() })
        }
        ApiKey::OffsetCommit => {
            let request: OffsetCommitRequest<'_> = call.decode();
            let topics = request.topics.iter().map(|topic| OffsetCommitResponseTopic {
                name: topic.name,
                partitions: topic
                    .partitions
                    .iter()
                    .map(|one| OffsetCommitResponsePartition {
                        partition_index: one.partition_index,
                        error_code: code,
                    })
                    .collect(),
                ..Default::default()
            });
            call.answer(&OffsetCommitResponse { topics: topics.collect(), ..Default::default() })
        }
        ApiKey::Fetch => {
            let wait =
                Reply::Later(Duration::from_millis(500), Box::new(call.answer(&FetchResponse::default())));
            drop(group);
            wait
        }
        ApiKey::ListOffsets => Reply::Silence,
        other => panic!("{other}"),
    }
}

const KEYS: &[(&str, &str)] = &[
    ("group.id", "g"),
    ("heartbeat.interval.ms", "1000"),
    ("max.poll.interval.ms", "60000"),
    ("enable.auto.commit", "false"),
];

/// Takes half a minute.
#[derive(Debug)]
struct Slow(Host);

impl Assignor for Slow {
    fn name(&self) -> &str {
        "range"
    }

    fn prepare<'a>(&'a self, _group: GroupView<'a>) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        Box::pin(async {
            self.0.sleep(Duration::from_secs(30)).await;
            Ok(())
        })
    }

    fn assign(&self, group: GroupView<'_>) -> Result<BTreeMap<String, MemberAssignment>> {
        RangeAssignor.assign(group)
    }
}

fn with_member(keys: &[(&str, &str)], test: impl AsyncFnOnce(Host, Shared, Consumer)) {
    with_client(keys, async |host, client, config, group| {
        let mut consumer = Consumer::new(&client, config).unwrap();
        consumer.subscribe(["t"]).unwrap();
        test(host, group, consumer).await;
    });
}

fn with_client(keys: &[(&str, &str)], test: impl AsyncFnOnce(Host, Client, ConsumerConfig, Shared)) {
    let sim = Sim::new(1, SimOptions::default());
    let host = sim.node("client");
    let coordination = Arc::new(Mutex::new(Coordination {
        generation: 0,
        assignment: Bytes::new(),
        refusals: BTreeMap::new(),
        joins_wait: false,
        metadata_waits: false,
        seen: Vec::new(),
    }));
    let scripted = Arc::clone(&coordination);
    let dialer = start(&host, move |call| answer(&scripted, call));
    let config = ConsumerConfig::from_pairs([KEYS, keys].concat()).unwrap();
    sim.block_on(async {
        let settings =
            ClientConfig { request_timeout_ms: 5000, metadata_max_age_ms: 10_000, ..Default::default() };
        let client = Client::connect(&host, dialer, settings).await.unwrap();
        test(host.clone(), client, config, coordination).await;
    });
}

/// Polls until an event comes.
async fn event(consumer: &mut Consumer) -> RebalanceEvent {
    let mut polled = consumer.poll(Duration::from_secs(100)).await.unwrap();
    assert_eq!(polled.events.len(), 1, "{:?}", polled.events);
    polled.events.remove(0)
}

async fn assigned(consumer: &mut Consumer) {
    assert!(
        matches!(event(consumer).await, RebalanceEvent::Assigned { partitions, .. } if partitions.len() == 2)
    );
}

fn one_offset() -> BTreeMap<TopicPartition, OffsetAndMetadata> {
    BTreeMap::from([(TopicPartition::new("t", 0), OffsetAndMetadata::new(7))])
}

#[test]
fn heartbeats_go_on_while_the_user_works() {
    with_member(&[], async |host, group, mut consumer| {
        assigned(&mut consumer).await;
        host.sleep(Duration::from_millis(10_500)).await;
        let beats = group.lock().seen.iter().filter(|key| **key == ApiKey::Heartbeat).count();
        assert!((9..=11).contains(&beats), "{beats}");
        consumer.close().await.unwrap();
        assert_eq!(group.lock().seen.last(), Some(&ApiKey::LeaveGroup));
        let seen = group.lock().seen.len();
        host.sleep(Duration::from_secs(10)).await;
        assert_eq!(group.lock().seen.len(), seen, "nothing after the end");
    });
}

/// A leader looks at its topics every ten seconds, and whoever chooses topics by a rule does.
#[test]
fn heartbeats_go_on_while_metadata_is_awaited() {
    for by_name in [true, false] {
        with_member(&[], async |host, group, mut consumer| {
            if !by_name {
                consumer.subscribe_matching(|topic| topic == "t").unwrap();
            }
            assigned(&mut consumer).await;
            group.lock().metadata_waits = true;
            let before = group.lock().seen.len();
            host.sleep(Duration::from_secs(50)).await;
            let beats = group.lock().seen[before..].iter().filter(|key| **key == ApiKey::Heartbeat).count();
            assert!((48..=51).contains(&beats), "{beats}");
        });
    }
}

#[test]
fn heartbeats_go_on_while_the_leader_assigns() {
    with_client(&[], async |host, client, config, group| {
        let mut consumer =
            Consumer::with_assignors(&client, config, vec![Arc::new(Slow(host.clone()))]).unwrap();
        consumer.subscribe(["t"]).unwrap();
        assigned(&mut consumer).await;
        let between = group.lock().seen.clone();
        let mut between = between.rsplit(|key| *key == ApiKey::JoinGroup).next().unwrap().iter();
        let beats = between.by_ref().take_while(|key| **key == ApiKey::Heartbeat).count();
        assert!((28..=31).contains(&beats), "{beats}");
        // Who ends waits for no choice.
        group.lock().refusals.insert(ApiKey::Heartbeat, vec![ErrorCode::UNKNOWN_MEMBER_ID]);
        host.sleep(Duration::from_secs(2)).await;
        assert!(matches!(event(&mut consumer).await, RebalanceEvent::Lost(_)));
        assert!(consumer.poll(Duration::from_secs(5)).await.unwrap().events.is_empty());
        let started = host.now();
        consumer.close().await.unwrap();
        assert!(host.now() - started < Duration::from_secs(1));
        assert_eq!(group.lock().seen.last(), Some(&ApiKey::LeaveGroup));
    });
}

#[test]
fn a_dropped_consumer_leaves_as_well() {
    with_member(&[], async |host, group, mut consumer| {
        assigned(&mut consumer).await;
        drop(consumer);
        host.sleep(Duration::from_secs(1)).await;
        assert_eq!(group.lock().seen.last(), Some(&ApiKey::LeaveGroup));
    });
}

#[test]
fn closing_does_not_wait_for_a_join_that_waits_for_others() {
    with_member(&[], async |host, group, mut consumer| {
        group.lock().joins_wait = true;
        assert!(consumer.poll(Duration::from_secs(3)).await.unwrap().events.is_empty());
        let started = host.now();
        consumer.close().await.unwrap();
        assert!(host.now() - started < Duration::from_secs(1));
        assert_eq!(group.lock().seen.last(), Some(&ApiKey::LeaveGroup), "over another connection");
    });
}

#[test]
fn who_does_not_poll_leaves_and_comes_back_with_the_next_poll() {
    with_member(&[], async |host, group, mut consumer| {
        assigned(&mut consumer).await;
        host.sleep(Duration::from_secs(62)).await;
        assert_eq!(group.lock().seen.last(), Some(&ApiKey::LeaveGroup));
        assert!(
            matches!(event(&mut consumer).await, RebalanceEvent::Lost(partitions) if partitions.len() == 2)
        );
        assert!(consumer.assignment().is_empty());
        assigned(&mut consumer).await;
    });
}

#[test]
fn a_coordinator_that_moves_is_followed() {
    with_member(&[], async |host, group, mut consumer| {
        group.lock().refusals.insert(ApiKey::FindCoordinator, vec![ErrorCode::COORDINATOR_NOT_AVAILABLE; 3]);
        group.lock().refusals.insert(ApiKey::JoinGroup, vec![ErrorCode::COORDINATOR_LOAD_IN_PROGRESS; 2]);
        group.lock().refusals.insert(ApiKey::SyncGroup, vec![ErrorCode::NOT_COORDINATOR]);
        assigned(&mut consumer).await;
        group.lock().refusals.insert(ApiKey::Heartbeat, vec![ErrorCode::NOT_COORDINATOR]);
        group.lock().refusals.insert(ApiKey::OffsetCommit, vec![ErrorCode::NOT_COORDINATOR; 2]);
        host.sleep(Duration::from_secs(3)).await;
        consumer.commit_offsets(&one_offset()).await.unwrap();
        assert!(consumer.poll(Duration::from_millis(10)).await.unwrap().events.is_empty(), "nothing is lost");
    });
}

#[test]
fn commits_are_tried_again_or_refused_for_good() {
    let check = |code: ErrorCode, times: usize, expected: Result<(), ErrorKind>| {
        with_member(&[], async |host, group, mut consumer| {
            assigned(&mut consumer).await;
            group.lock().refusals.insert(ApiKey::OffsetCommit, vec![code; times]);
            let started = host.now();
            let outcome = consumer.commit_offsets(&one_offset()).await.map_err(|error| error.kind());
            assert_eq!(outcome, expected, "{code}");
            assert!(host.now() - started < Duration::from_secs(61));
        });
    };
    check(ErrorCode::NONE, 0, Ok(()));
    check(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, 5, Ok(()));
    // An eager member goes on only when the user has polled.
    check(ErrorCode::REBALANCE_IN_PROGRESS, 1, Err(ErrorKind::Retriable));
    check(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, 1000, Err(ErrorKind::Retriable));
    check(ErrorCode::ILLEGAL_GENERATION, 1, Err(ErrorKind::Fenced));
    check(ErrorCode::OFFSET_METADATA_TOO_LARGE, 1, Err(ErrorKind::Invalid));
}

#[test]
fn a_member_that_can_never_be_is_told() {
    with_member(&[], async |_, group, mut consumer| {
        group.lock().refusals.insert(ApiKey::JoinGroup, vec![ErrorCode::GROUP_AUTHORIZATION_FAILED]);
        let error = consumer.poll(Duration::from_secs(10)).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::GROUP_AUTHORIZATION_FAILED));
        assert_eq!(consumer.poll(Duration::from_secs(10)).await.unwrap_err().kind(), ErrorKind::Invalid);
    });
}

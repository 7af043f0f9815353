//! Groups: every version of their APIs, members that wait for each other, offsets that outlive broker and power.

use std::future::Future;
use std::time::Duration;

use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_host::{Host, Sim, SimOptions};
use anabranch_protocol::messages::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use anabranch_protocol::messages::delete_topics::{
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use anabranch_protocol::messages::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
use anabranch_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use anabranch_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use anabranch_protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use anabranch_protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use anabranch_protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse};
use anabranch_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use anabranch_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use anabranch_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use anabranch_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};
use anabranch_protocol::messages::sync_group::{
    SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};
use anabranch_protocol::{ApiKey, ErrorCode, Uuid};
use bytes::Bytes;

use super::Raw;
use super::topics::create;

/// Runs `story` against a broker that does not wait for more members.
fn with_broker<F: Future<Output = ()>>(story: impl FnOnce(Host, EmbeddedBroker) -> F) {
    let sim = Sim::new(3, SimOptions::default());
    let host = sim.node("broker");
    sim.block_on(async {
        let broker = EmbeddedBroker::start(host.clone(), BrokerConfig::default()).await.unwrap();
        story(host, broker).await;
    });
    assert_eq!(sim.panics(), Vec::new());
}

pub(super) async fn find_coordinator(client: &mut Raw, version: i16, group: &str) -> (ErrorCode, i32) {
    let request = FindCoordinatorRequest { key: group, coordinator_keys: vec![group], ..Default::default() };
    let found = client.call(version, &request).await;
    let found: FindCoordinatorResponse<'_> = found.decode();
    match found.coordinators.first() {
        Some(coordinator) => (coordinator.error_code, coordinator.node_id),
        None => (found.error_code, found.node_id),
    }
}

pub(super) fn join_request<'a>(group_id: &'a str, member_id: &'a str) -> JoinGroupRequest<'a> {
    JoinGroupRequest {
        group_id,
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        member_id,
        protocol_type: "consumer",
        protocols: vec![JoinGroupRequestProtocol { name: "range", metadata: Bytes::from_static(b"M") }],
        ..Default::default()
    }
}

/// Joins as the one member of a group; its id and generation.
pub(super) async fn join(client: &mut Raw, version: i16, group: &str) -> (String, i32) {
    let mut member_id = String::new();
    loop {
        let joined = client.call(version, &join_request(group, &member_id)).await;
        let joined: JoinGroupResponse<'_> = joined.decode();
        if joined.error_code == ErrorCode::MEMBER_ID_REQUIRED {
            assert!(version >= 4 && joined.member_id.starts_with("raw-"));
            member_id = joined.member_id.to_string();
            continue;
        }
        assert_eq!(joined.error_code, ErrorCode::NONE);
        assert_eq!((joined.leader, joined.members.len()), (joined.member_id, 1));
        assert_eq!(joined.protocol_name, Some("range"));
        assert_eq!(joined.members[0].metadata, "M");
        return (joined.member_id.to_string(), joined.generation_id);
    }
}

pub(super) async fn sync(client: &mut Raw, version: i16, group: &str, member_id: &str, generation_id: i32) {
    let assignment = Bytes::from_static(b"A");
    let request = SyncGroupRequest {
        group_id: group,
        generation_id,
        member_id,
        protocol_type: Some("consumer"),
        protocol_name: Some("range"),
        assignments: vec![SyncGroupRequestAssignment { member_id, assignment }],
        ..Default::default()
    };
    let synced = client.call(version, &request).await;
    let synced: SyncGroupResponse<'_> = synced.decode();
    assert_eq!((synced.error_code, &*synced.assignment), (ErrorCode::NONE, &b"A"[..]));
    if version >= 5 {
        assert_eq!((synced.protocol_type, synced.protocol_name), (Some("consumer"), Some("range")));
    }
}

pub(super) async fn heartbeat(
    client: &mut Raw,
    version: i16,
    group: &str,
    member_id: &str,
    generation_id: i32,
) -> ErrorCode {
    let request = HeartbeatRequest { group_id: group, generation_id, member_id, ..Default::default() };
    let answer = client.call(version, &request).await;
    answer.decode::<HeartbeatResponse>().error_code
}

async fn leave(client: &mut Raw, version: i16, group: &str, member_id: &str) -> ErrorCode {
    let members = vec![MemberIdentity { member_id, ..Default::default() }];
    let answer = client.call(version, &LeaveGroupRequest { group_id: group, member_id, members }).await;
    let left: LeaveGroupResponse<'_> = answer.decode();
    assert_eq!(left.members.len(), usize::from(version >= 3));
    left.members.first().map_or(left.error_code, |member| member.error_code)
}

/// Commits for partitions 0 and 9 of the topic; the errors of both.
async fn commit(
    client: &mut Raw,
    version: i16,
    (group, member_id, generation): (&str, &str, i32),
    (name, topic_id): (&str, Uuid),
    offset: i64,
) -> [ErrorCode; 2] {
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset,
        committed_leader_epoch: 0,
        committed_metadata: Some("note"),
    };
    let request = OffsetCommitRequest {
        group_id: group,
        generation_id_or_member_epoch: generation,
        member_id,
        retention_time_ms: -1,
        topics: vec![OffsetCommitRequestTopic {
            name,
            topic_id,
            partitions: vec![partition(0), partition(9)],
        }],
        ..Default::default()
    };
    let answer = client.call(version, &request).await;
    let answer: OffsetCommitResponse<'_> = answer.decode();
    let partitions = &answer.topics[0].partitions;
    assert_eq!((partitions[0].partition_index, partitions[1].partition_index), (0, 9));
    [partitions[0].error_code, partitions[1].error_code]
}

/// What is committed for partition 0 of the topic (or for all there is, if it has no name), as `(offset, metadata, error)`.
async fn fetch(
    client: &mut Raw,
    version: i16,
    group: &str,
    topic: Option<(&str, Uuid)>,
) -> Vec<(i64, String, ErrorCode)> {
    let asked = topic.map(|(name, topic_id)| {
        vec![OffsetFetchRequestTopics { name, topic_id, partition_indexes: vec![0] }]
    });
    let request = OffsetFetchRequest {
        group_id: group,
        topics: topic.map(|(name, _)| vec![OffsetFetchRequestTopic { name, partition_indexes: vec![0] }]),
        groups: vec![OffsetFetchRequestGroup { group_id: group, topics: asked, ..Default::default() }],
        require_stable: version >= 7,
    };
    let answer = client.call(version, &request).await;
    let answer: OffsetFetchResponse<'_> = answer.decode();
    let told =
        |offset, metadata: Option<&str>, error| (offset, metadata.unwrap_or("null").to_string(), error);
    if version < 8 {
        assert_eq!(answer.error_code, ErrorCode::NONE);
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        return partitions
            .map(|found| told(found.committed_offset, found.metadata, found.error_code))
            .collect();
    }
    assert_eq!((answer.groups[0].group_id, answer.groups[0].error_code), (group, ErrorCode::NONE));
    let partitions = answer.groups[0].topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|found| told(found.committed_offset, found.metadata, found.error_code)).collect()
}

/// State and number of members, and the error.
async fn describe(client: &mut Raw, version: i16, group: &str) -> (String, usize, ErrorCode) {
    let request = DescribeGroupsRequest { groups: vec![group], include_authorized_operations: version >= 3 };
    let answer = client.call(version, &request).await;
    let answer: DescribeGroupsResponse<'_> = answer.decode();
    let found = &answer.groups[0];
    if let Some(member) = found.members.first() {
        assert_eq!((member.client_id, member.client_host), ("raw", "/in-process"));
        assert_eq!((&*member.member_metadata, &*member.member_assignment), (&b"M"[..], &b"A"[..]));
        assert_eq!((found.protocol_type, found.protocol_data), ("consumer", "range"));
        assert_eq!(found.authorized_operations >= 0, version >= 3);
    }
    (found.group_state.to_string(), found.members.len(), found.error_code)
}

fn last_of(api_key: ApiKey) -> i16 {
    *api_key.versions().end()
}

#[test]
fn a_member_lives_its_life_in_every_version() {
    with_broker(|host, broker| async move {
        let mut client = Raw::connect(&host, &broker).await;
        let id = create(&mut client, "t", 2, &[]).await;
        let topic = ("t", id);
        // Each round takes the version of that number of every API, or its nearest.
        for round in 0..=10 {
            let group = &format!("group-{round}");
            let version = |api_key: ApiKey| round.clamp(*api_key.versions().start(), last_of(api_key));
            assert_eq!(
                find_coordinator(&mut client, version(ApiKey::FindCoordinator), group).await,
                (ErrorCode::NONE, 1)
            );
            let gone = if round >= 6 { ErrorCode::GROUP_ID_NOT_FOUND } else { ErrorCode::NONE };
            assert_eq!(
                describe(&mut client, version(ApiKey::DescribeGroups), group).await,
                ("Dead".to_string(), 0, gone)
            );
            let offset_fetch = version(ApiKey::OffsetFetch);
            let none = (-1, String::new(), ErrorCode::NONE);
            assert_eq!(fetch(&mut client, offset_fetch, group, Some(topic)).await, [none]);

            let (member, generation) = join(&mut client, version(ApiKey::JoinGroup), group).await;
            assert_eq!(generation, 1);
            let beat = version(ApiKey::Heartbeat);
            assert_eq!(heartbeat(&mut client, beat, group, &member, 1).await, ErrorCode::NONE);
            sync(&mut client, version(ApiKey::SyncGroup), group, &member, 1).await;
            assert_eq!(
                describe(&mut client, version(ApiKey::DescribeGroups), group).await,
                ("Stable".to_string(), 1, ErrorCode::NONE)
            );
            assert_eq!(heartbeat(&mut client, beat, group, &member, 2).await, ErrorCode::ILLEGAL_GENERATION);

            let offset_commit = version(ApiKey::OffsetCommit);
            let committed = commit(&mut client, offset_commit, (group, &member, 1), topic, 5).await;
            assert_eq!(committed, [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
            let committed = commit(&mut client, offset_commit, (group, &member, 2), topic, 6).await;
            assert_eq!(committed, [ErrorCode::ILLEGAL_GENERATION, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
            let stranger = ("nowhere", Uuid([9; 16]));
            let committed = commit(&mut client, offset_commit, (group, &member, 1), stranger, 5).await;
            let unknown = if offset_commit >= 10 {
                ErrorCode::UNKNOWN_TOPIC_ID
            } else {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            };
            assert_eq!(committed, [unknown, unknown]);
            let five = (5, "note".to_string(), ErrorCode::NONE);
            assert_eq!(
                fetch(&mut client, offset_fetch, group, Some(topic)).await,
                std::slice::from_ref(&five)
            );
            if offset_fetch >= 2 {
                assert_eq!(fetch(&mut client, offset_fetch, group, None).await, [five]);
            }

            let delete = version(ApiKey::DeleteGroups);
            let groups_names = vec![&**group, "no-such-group"];
            let deleted =
                client.call(delete, &DeleteGroupsRequest { groups_names: groups_names.clone() }).await;
            let deleted: DeleteGroupsResponse<'_> = deleted.decode();
            let errors: Vec<ErrorCode> = deleted.results.iter().map(|result| result.error_code).collect();
            assert_eq!(errors, [ErrorCode::NON_EMPTY_GROUP, ErrorCode::GROUP_ID_NOT_FOUND]);

            let leaving = version(ApiKey::LeaveGroup);
            assert_eq!(leave(&mut client, leaving, group, &member).await, ErrorCode::NONE);
            assert_eq!(leave(&mut client, leaving, group, &member).await, ErrorCode::UNKNOWN_MEMBER_ID);
            let list = version(ApiKey::ListGroups);
            let listed = client.call(list, &ListGroupsRequest::default()).await;
            let listed: ListGroupsResponse<'_> = listed.decode();
            assert_eq!((listed.error_code, listed.groups.len()), (ErrorCode::NONE, 1));
            let found = &listed.groups[0];
            assert_eq!((found.group_id, found.protocol_type), (&**group, "consumer"));
            assert_eq!(
                (found.group_state, found.group_type),
                match list {
                    0..4 => ("", ""),
                    4 => ("Empty", ""),
                    _ => ("Empty", "classic"),
                }
            );

            let deleted = client.call(delete, &DeleteGroupsRequest { groups_names }).await;
            let deleted: DeleteGroupsResponse<'_> = deleted.decode();
            assert_eq!(deleted.results[0].error_code, ErrorCode::NONE);
        }
        broker.shutdown().await;
    });
}

#[test]
fn share_groups_have_no_coordinators_here() {
    with_broker(|host, broker| async move {
        let mut client = Raw::connect(&host, &broker).await;
        for (version, key_type) in [(1, 2), (4, 2), (6, 2), (6, 3)] {
            let request = FindCoordinatorRequest { key: "k", key_type, coordinator_keys: vec!["k"] };
            let found = client.call(version, &request).await;
            let found: FindCoordinatorResponse<'_> = found.decode();
            let error =
                found.coordinators.first().map_or(found.error_code, |coordinator| coordinator.error_code);
            assert_eq!(error, ErrorCode::INVALID_REQUEST);
        }
        // Many keys at once, each with its answer.
        let request = FindCoordinatorRequest { coordinator_keys: vec!["a", "b"], ..Default::default() };
        let found = client.call(6, &request).await;
        let found: FindCoordinatorResponse<'_> = found.decode();
        let keys: Vec<(&str, ErrorCode)> =
            found.coordinators.iter().map(|found| (found.key, found.error_code)).collect();
        assert_eq!(keys, [("a", ErrorCode::NONE), ("b", ErrorCode::NONE)]);
    });
}

#[test]
fn before_anybody_asked_for_a_coordinator_there_is_none() {
    with_broker(|host, broker| async move {
        let mut client = Raw::connect(&host, &broker).await;
        let refused = client.call(9, &join_request("g", "")).await;
        assert_eq!(refused.decode::<JoinGroupResponse<'_>>().error_code, ErrorCode::NOT_COORDINATOR);
        assert_eq!(heartbeat(&mut client, 4, "g", "m", 1).await, ErrorCode::NOT_COORDINATOR);
        let listed = client.call(5, &ListGroupsRequest::default()).await;
        let listed: ListGroupsResponse<'_> = listed.decode();
        assert_eq!((listed.error_code, listed.groups.len()), (ErrorCode::NONE, 0));
        find_coordinator(&mut client, 6, "g").await;
        // Its topic is internal, of fifty partitions, and can be asked for like any other.
        let topics =
            Some(vec![MetadataRequestTopic { name: Some("__consumer_offsets"), ..Default::default() }]);
        let metadata = client.call(9, &MetadataRequest { topics, ..Default::default() }).await;
        let metadata: MetadataResponse<'_> = metadata.decode();
        assert!(metadata.topics[0].is_internal);
        assert_eq!(metadata.topics[0].partitions.len(), 50);
    });
}

#[test]
fn members_wait_for_each_other_on_connections_of_their_own() {
    with_broker(|host, broker| async move {
        let (mut first, mut second) =
            (Raw::connect(&host, &broker).await, Raw::connect(&host, &broker).await);
        find_coordinator(&mut first, 6, "g").await;
        let (leader, generation) = join(&mut first, 9, "g").await;
        sync(&mut first, 5, "g", &leader, generation).await;

        let second_join = second.send(3, &join_request("g", "")).await;
        host.sleep(Duration::from_secs(1)).await;
        assert_eq!(
            heartbeat(&mut first, 4, "g", &leader, generation).await,
            ErrorCode::REBALANCE_IN_PROGRESS
        );
        let first_join = first.send(9, &join_request("g", &leader)).await;
        let joined = first.receive(ApiKey::JoinGroup, 9, first_join).await;
        let joined: JoinGroupResponse<'_> = joined.decode();
        assert_eq!((joined.generation_id, joined.members.len()), (2, 2));
        let follower = second.receive(ApiKey::JoinGroup, 3, second_join).await;
        let follower: JoinGroupResponse<'_> = follower.decode();
        assert_eq!((follower.generation_id, follower.leader, follower.members.len()), (2, &*leader, 0));

        // The leader hangs up instead of assigning: it is out at the end of its session, and the follower is told.
        let request = SyncGroupRequest {
            group_id: "g",
            generation_id: 2,
            member_id: follower.member_id,
            ..Default::default()
        };
        let second_sync = second.send(3, &request).await;
        drop(first);
        let started = host.now();
        let synced = second.receive(ApiKey::SyncGroup, 3, second_sync).await;
        let synced: SyncGroupResponse<'_> = synced.decode();
        assert_eq!(synced.error_code, ErrorCode::REBALANCE_IN_PROGRESS);
        assert_eq!((host.now() - started).as_secs_f64().round(), 10.0);
        broker.shutdown().await;
    });
}

#[test]
fn offsets_go_when_they_are_deleted_or_their_topic_is() {
    with_broker(|host, broker| async move {
        let mut client = Raw::connect(&host, &broker).await;
        let (t, u) = (create(&mut client, "t", 2, &[]).await, create(&mut client, "u", 2, &[]).await);
        find_coordinator(&mut client, 6, "g").await;
        for topic in [("t", t), ("u", u)] {
            let committed = commit(&mut client, 10, ("g", "", -1), topic, 5).await;
            assert_eq!(committed[0], ErrorCode::NONE);
        }
        let partition = |partition_index| OffsetDeleteRequestPartition { partition_index };
        let topics =
            vec![OffsetDeleteRequestTopic { name: "t", partitions: vec![partition(0), partition(9)] }];
        let deleted = client.call(0, &OffsetDeleteRequest { group_id: "g", topics }).await;
        let deleted: OffsetDeleteResponse<'_> = deleted.decode();
        let errors: Vec<ErrorCode> =
            deleted.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
        assert_eq!(
            (deleted.error_code, errors),
            (ErrorCode::NONE, vec![ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION])
        );
        assert_eq!(fetch(&mut client, 9, "g", Some(("t", t))).await[0].0, -1);
        assert_eq!(fetch(&mut client, 10, "g", Some(("u", u))).await[0].0, 5);

        let topics = vec![DeleteTopicState { name: Some("u"), ..Default::default() }];
        let deleted =
            client.call(6, &DeleteTopicsRequest { topics, timeout_ms: 1000, ..Default::default() }).await;
        assert_eq!(deleted.decode::<DeleteTopicsResponse<'_>>().responses[0].error_code, ErrorCode::NONE);
        assert_eq!(fetch(&mut client, 9, "g", None).await, []);
        assert_eq!(fetch(&mut client, 10, "g", Some(("u", u))).await[0].2, ErrorCode::UNKNOWN_TOPIC_ID);
    });
}

#[test]
fn a_group_outlives_its_broker() {
    for is_killed in [false, true] {
        let sim = Sim::new(5, SimOptions::default());
        let config = || BrokerConfig::from_pairs([("log.dirs", "/data")]).unwrap();
        let start = async |host: &Host| EmbeddedBroker::start(host.clone(), config()).await.unwrap();
        let host = sim.node("broker");
        let (member, topic_id) = sim.block_on(async {
            let broker = start(&host).await;
            let mut client = Raw::connect(&host, &broker).await;
            let topic_id = create(&mut client, "t", 2, &[]).await;
            find_coordinator(&mut client, 6, "g").await;
            let (member, generation) = join(&mut client, 9, "g").await;
            sync(&mut client, 5, "g", &member, generation).await;
            for offset in 1..=20 {
                let committed = commit(&mut client, 9, ("g", &member, 1), ("t", topic_id), offset).await;
                assert_eq!(committed[0], ErrorCode::NONE);
            }
            if !is_killed {
                broker.shutdown().await;
            }
            (member, topic_id)
        });
        if is_killed {
            sim.crash("broker");
        }
        let host = sim.node("broker");
        sim.block_on(async {
            let broker = start(&host).await;
            let mut client = Raw::connect(&host, &broker).await;
            assert_eq!(find_coordinator(&mut client, 6, "g").await, (ErrorCode::NONE, 1));
            // While the coordinator loads, a heartbeat is answered kindly.
            assert_eq!(heartbeat(&mut client, 4, "g", &member, 1).await, ErrorCode::NONE);
            host.sleep(Duration::from_secs(1)).await;
            assert_eq!(heartbeat(&mut client, 4, "g", &member, 1).await, ErrorCode::NONE);
            assert_eq!(heartbeat(&mut client, 4, "g", &member, 0).await, ErrorCode::ILLEGAL_GENERATION);
            assert_eq!(fetch(&mut client, 9, "g", Some(("t", topic_id))).await[0].0, 20);
            assert_eq!(describe(&mut client, 6, "g").await, ("Stable".to_string(), 1, ErrorCode::NONE));
            // Its new session ends like any other.
            host.sleep(Duration::from_secs(11)).await;
            assert_eq!(describe(&mut client, 6, "g").await, ("Empty".to_string(), 0, ErrorCode::NONE));
            broker.shutdown().await;
        });
        assert_eq!(sim.panics(), Vec::new());
    }
}

//! What other brokers that speak Kafka's protocol fell into: each such pitfall, as far as it concerns one node, has a test
//! that is named after what must be. Most lie where their subject does; [`PITFALLS`] leads to all of them, and what needs a
//! whole broker and no place of its own is here.

use std::time::Duration;

use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_host::{Host, Sim, SimOptions};
use anabranch_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use anabranch_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use anabranch_protocol::messages::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicRequest,
};
use anabranch_protocol::messages::fetch::{FetchRequest, FetchResponse};
use anabranch_protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use anabranch_protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse};
use anabranch_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use anabranch_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use anabranch_protocol::messages::produce::ProduceResponse;
use anabranch_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use anabranch_protocol::records::{Compression, batches};
use anabranch_protocol::{ApiKey, ErrorCode};
use bytes::Bytes;

use super::groups::{find_coordinator, heartbeat, join, join_request, sync};
use super::topics::create;
use super::transactional::{
    self, add, commit_offset, end, in_transaction, init, init_again, latest, send, try_init,
};
use super::{Raw, batch, fetch_request, produce, produce_request};

/// Each pitfall, and the tests that show that we are not in it, as `file: test`.
const PITFALLS: &[(&str, &[&str])] = &[
    (
        "ApiVersions: the answer to an unknown version, its header, Produce and JoinGroup listed from 0",
        &[
            "tests/integration/broker/protocol.rs: an_unknown_version_of_api_versions_is_answered_in_version_0",
            "tests/integration/broker/protocol.rs: every_version_of_api_versions_lists_produce_from_0_and_nothing_unserved",
            "tests/integration/broker/pitfalls.rs: what_old_clients_look_for_is_listed_and_telemetry_is_not",
        ],
    ),
    (
        "a version in the middle that is missing, or has its fields in another order",
        &[
            "broker/src/handlers/tests.rs: requests_made_by_chance_are_answered_in_their_version_or_refused",
            "tests/conformance/golden.rs: kafka_writes_the_same_bytes",
            "tests/integration/broker/fetch.rs: every_version_reads_and_tells_the_offsets",
            "tests/integration/broker/produce.rs: every_version_appends_and_tells_the_offset",
            "tests/integration/broker/groups.rs: a_member_lives_its_life_in_every_version",
        ],
    ),
    (
        "a fetch inside a batch loses records; offsets by time are wrong when times are mixed",
        &[
            "tests/integration/broker/fetch.rs: a_fetch_inside_a_batch_returns_the_whole_batch",
            "tests/integration/broker/offsets.rs: offsets_by_time_are_those_of_records_inside_batches_in_any_order_of_time",
        ],
    ),
    (
        "aborted transactions unsorted, or told to readers of all records; ends wrong by a marker",
        &[
            "tests/integration/broker/pitfalls.rs: what_is_aborted_is_told_in_order_and_only_to_readers_of_committed_records",
            "tests/integration/broker/transactions.rs: in_the_newer_protocol_the_epoch_rises_with_every_transaction",
        ],
    ),
    (
        "UNKNOWN_SERVER_ERROR for what has an error of its own",
        &["broker/src/handlers/tests.rs: requests_made_by_chance_are_answered_in_their_version_or_refused"],
    ),
    (
        "producers' state lost; an expired transactional id; a transaction that ends while its group rebalances",
        &[
            "tests/integration/broker/produce.rs: a_repeated_batch_is_answered_as_the_first_time_and_a_gap_is_refused",
            "tests/integration/broker/restart.rs: topics_records_and_producers_survive_a_restart",
            "tests/integration/broker/pitfalls.rs: who_uses_a_transactional_id_that_expired_is_told_so",
            "tests/integration/broker/pitfalls.rs: a_transaction_ends_while_its_group_rebalances",
        ],
    ),
    (
        "answers that lack what was asked for",
        &[
            "tests/integration/broker/topics.rs: every_topic_of_a_request_is_answered_the_good_and_the_bad",
            "tests/integration/broker/topics.rs: deleting_answers_for_every_topic",
            "tests/integration/broker/topics.rs: partitions_are_added_and_every_topic_is_answered",
            "tests/integration/broker/topics.rs: every_key_of_a_topic_and_of_the_broker_is_described",
            "tests/integration/broker/groups.rs: a_member_lives_its_life_in_every_version",
        ],
    ),
    (
        "commit metadata lost; batches too large, null keys where compacted, timeouts too long not refused",
        &[
            "broker/src/coordinator/group/tests/offsets.rs: offsets_are_kept_with_their_metadata",
            "tests/integration/broker/produce.rs: what_is_wrong_has_its_own_error",
            "tests/integration/broker/pitfalls.rs: a_transaction_may_not_be_open_longer_than_allowed",
        ],
    ),
    (
        "topic ids half done; leader epochs that say nothing; topics made again",
        &[
            "tests/integration/broker/produce.rs: an_unknown_id_and_that_of_a_deleted_topic_are_unknown_topic_ids",
            "tests/integration/broker/topics.rs: a_topic_created_again_has_another_id_and_the_old_one_is_unknown",
            "tests/integration/broker/fetch.rs: unknown_and_fenced_partitions_have_their_errors",
            "tests/integration/broker/fetch.rs: batches_carry_the_leader_epoch_and_their_offsets",
        ],
    ),
    (
        "a coordinator that is not ready lets clients hang",
        &[
            "tests/integration/broker/groups.rs: before_anybody_asked_for_a_coordinator_there_is_none",
            "tests/integration/broker/groups.rs: share_groups_have_no_coordinators_here",
            "broker/src/groups/tests.rs: nobody_waits_for_ever_for_a_disk",
            "broker/src/groups/tests.rs: a_log_that_cannot_be_read_is_no_coordinator_but_the_others_serve",
        ],
    ),
    (
        "addresses that clients cannot reach; metadata without brokers",
        &[
            "tests/integration/broker/protocol.rs: the_cluster_has_an_id_and_one_broker_where_the_client_came_in",
            "tests/integration/broker/protocol.rs: a_client_of_a_listener_on_all_addresses_is_told_the_one_it_came_to",
        ],
    ),
    (
        "a shutdown that cuts connections before their answers",
        &[
            "tests/integration/broker/pitfalls.rs: an_answer_leaves_before_a_shutdown_closes_its_connection",
            "broker/src/groups/tests.rs: a_broker_that_stops_answers_those_who_wait",
        ],
    ),
    (
        "the newer transactions half done",
        &[
            "tests/integration/broker/transactions.rs: in_the_newer_protocol_the_epoch_rises_with_every_transaction",
            "tests/integration/broker/transactions.rs: all_partitions_are_added_or_none_and_brokers_may_only_ask",
        ],
    ),
    (
        "telemetry listed and not there",
        &["tests/integration/broker/pitfalls.rs: what_old_clients_look_for_is_listed_and_telemetry_is_not"],
    ),
    (
        "Kafka Connect and schema registries: groups of their own kinds, internal topics, configurations",
        &["tests/integration/broker/pitfalls.rs: groups_of_connect_workers_are_served"],
    ),
    (
        "long polls kept when their client is gone",
        &[
            "broker/src/server/tests.rs: a_parked_fetch_is_let_go_when_its_client_hangs_up",
            "tests/integration/broker/fetch.rs: a_parked_fetch_delays_no_other_connection_and_ends_with_its_own",
        ],
    ),
    (
        "members thrown out while their Join waits",
        &[
            "broker/src/coordinator/group/tests/sessions.rs: a_member_whose_request_is_parked_does_not_die",
            "tests/integration/broker/pitfalls.rs: a_member_whose_join_waits_is_not_thrown_out",
        ],
    ),
    (
        "a topic that is not known right after its creation",
        &["tests/integration/broker/pitfalls.rs: a_topic_is_known_as_soon_as_its_creation_is_answered"],
    ),
    (
        "the first rebalance: three seconds, and none where so configured",
        &[
            "tests/integration/broker/pitfalls.rs: the_first_rebalance_waits_for_as_long_as_configured",
            "broker/src/coordinator/group/tests/joining.rs: the_first_rebalance_waits_for_more_members_within_the_rebalance_timeout",
        ],
    ),
    (
        "no cluster id; internal topics that do not say so",
        &[
            "tests/integration/broker/protocol.rs: the_cluster_has_an_id_and_one_broker_where_the_client_came_in",
            "tests/integration/broker/topics.rs: a_coordinators_topic_is_internal_cannot_be_deleted_and_takes_nothing_from_producers",
        ],
    ),
];

#[test]
#[allow(clippy::disallowed_methods, reason = "reads the repository, not a world")]
fn every_pitfall_has_its_tests() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert_eq!(PITFALLS.len(), 20);
    for (pitfall, tests) in PITFALLS {
        for test in *tests {
            let (file, name) = test.split_once(": ").unwrap();
            let text =
                std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(text.contains(&format!("#[test]\nfn {name}()")), "{pitfall}: {file} has no test {name}");
        }
    }
}

/// Runs a scenario in simulated time.
fn simulated(properties: &str, scenario: impl AsyncFnOnce(&Host, EmbeddedBroker)) {
    let sim = Sim::new(7, SimOptions::default());
    let host = sim.node("broker");
    let config = BrokerConfig::from_properties(properties).unwrap();
    sim.block_on(async {
        let broker = EmbeddedBroker::start(host.clone(), config).await.unwrap();
        scenario(&host, broker).await;
    });
    assert_eq!(sim.panics(), Vec::new());
}

#[test]
fn what_old_clients_look_for_is_listed_and_telemetry_is_not() {
    simulated("", async |host, broker| {
        let mut raw = Raw::connect(host, &broker).await;
        let answer = raw.call(0, &ApiVersionsRequest::default()).await;
        let response: ApiVersionsResponse<'_> = answer.decode();
        let listed = |key: ApiKey| {
            let found = response.api_keys.iter().find(|listed| listed.api_key == i16::from(key));
            found.map(|listed| (listed.min_version, listed.max_version))
        };
        // What librdkafka of before 2.11 tells its features by, whatever version it would speak.
        for (key, first, last) in [
            (ApiKey::Produce, 0, 7),         // gzip, snappy, lz4; zstd
            (ApiKey::Fetch, 4, 10),          // records with headers; zstd
            (ApiKey::ListOffsets, 1, 1),     // offsets by time
            (ApiKey::FindCoordinator, 0, 0), // lz4
            (ApiKey::JoinGroup, 0, 0),       // SASL with GSSAPI
            (ApiKey::InitProducerId, 0, 0),  // idempotent producers
            (ApiKey::OffsetFetch, 1, 1),     // kafka-go
        ] {
            let (lowest, highest) = listed(key).unwrap();
            assert!(lowest == first && highest >= last, "{key}: {lowest} to {highest}");
        }
        assert_eq!(listed(ApiKey::GetTelemetrySubscriptions).or(listed(ApiKey::PushTelemetry)), None);
    });
}

#[test]
fn what_is_aborted_is_told_in_order_and_only_to_readers_of_committed_records() {
    simulated("", async |host, broker| {
        let mut raw = Raw::connect(host, &broker).await;
        create(&mut raw, "t", 1, &[]).await;
        // The transaction that begins first ends last, and one that is committed lies between: offsets 0, 1, 2, then the
        // markers of second, third and first at 3, 4 and 5, and a record that nobody has open at 6.
        let (first, second, third) =
            (init(&mut raw, "first").await, init(&mut raw, "second").await, init(&mut raw, "third").await);
        for (id, identity) in [("first", first), ("second", second), ("third", third)] {
            let sent = send(&mut raw, 12, Some(id), "t", in_transaction(identity, 0, &[id])).await;
            assert_eq!(sent, ErrorCode::NONE);
        }
        assert_eq!((latest(&mut raw, "t", 0).await, latest(&mut raw, "t", 1).await), (3, 0));
        end(&mut raw, 5, "second", second, false).await.unwrap();
        init_again(&mut raw, host, "second").await;
        end(&mut raw, 5, "third", third, true).await.unwrap();
        init_again(&mut raw, host, "third").await;
        assert_eq!((latest(&mut raw, "t", 0).await, latest(&mut raw, "t", 1).await), (5, 0));
        end(&mut raw, 5, "first", first, false).await.unwrap();
        init_again(&mut raw, host, "first").await;
        assert_eq!((latest(&mut raw, "t", 0).await, latest(&mut raw, "t", 1).await), (6, 6));
        assert_eq!(produce(&mut raw, "t", batch(Compression::None, &["plain"])).await.base_offset, 6);

        let both = [(first.0, 0), (second.0, 1)];
        for version in 4..=12 {
            for (isolation_level, offset, expected) in
                [(1, 0, Some(&both[..])), (1, 1, Some(&both[..])), (1, 6, Some(&[])), (0, 0, None)]
            {
                let request = FetchRequest { isolation_level, ..fetch_request("t", offset) };
                let answer = raw.call(version, &request).await;
                let response: FetchResponse<'_> = answer.decode();
                let partition = &response.responses[0].partitions[0];
                assert_eq!((partition.high_watermark, partition.last_stable_offset), (7, 7));
                assert_eq!(partition.preferred_read_replica, -1, "nobody else has it");
                let told = partition.aborted_transactions.as_ref();
                let told = told
                    .map(|told| told.iter().map(|it| (it.producer_id, it.first_offset)).collect::<Vec<_>>());
                assert_eq!(told.as_deref(), expected, "version {version}, offset {offset}");
                // Data of aborted transactions is sent all the same; clients leave it out.
                let sent = batches(partition.records.as_ref().unwrap()).next().unwrap().unwrap();
                assert_eq!(sent.header.base_offset, offset);
            }
        }
    });
}

#[test]
fn who_uses_a_transactional_id_that_expired_is_told_so() {
    let quick = "transactional.id.expiration.ms=60000\n\
                 transaction.remove.expired.transaction.cleanup.interval.ms=1000";
    simulated(quick, async |host, broker| {
        let mut raw = Raw::connect(host, &broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let me = init(&mut raw, "x").await;
        assert_eq!(send(&mut raw, 12, Some("x"), "t", in_transaction(me, 0, &["a"])).await, ErrorCode::NONE);
        let me = end(&mut raw, 5, "x", me, true).await.unwrap();
        host.sleep(Duration::from_secs(90)).await;
        let gone = ErrorCode::INVALID_PRODUCER_ID_MAPPING;
        assert_eq!(add(&mut raw, 3, "x", me, "t").await, [gone]);
        assert_eq!(end(&mut raw, 4, "x", me, false).await, Err(gone));
        assert_eq!(end(&mut raw, 5, "x", me, true).await, Err(gone));
        assert_eq!(send(&mut raw, 12, Some("x"), "t", in_transaction(me, 0, &["b"])).await, gone);
        // Who recovers begins anew, as if nobody had had the name, and so does a stranger.
        for identity in [me, (-1, -1)] {
            let next = try_init(&mut raw, 5, "y", 60_000, identity).await.unwrap();
            assert!(next.0 != me.0 && next.1 <= 1, "{next:?}");
        }
        let next = try_init(&mut raw, 5, "x", 60_000, me).await.unwrap();
        assert!(next.0 != me.0 && next.1 == 0, "{next:?}");
        assert_eq!(
            send(&mut raw, 12, Some("x"), "t", in_transaction(next, 0, &["b"])).await,
            ErrorCode::NONE
        );
        end(&mut raw, 5, "x", next, true).await.unwrap();
        init_again(&mut raw, host, "x").await;
        assert_eq!(
            transactional::committed(&mut raw, "t").await,
            (vec!["a".to_string(), "b".to_string()], 4, 4)
        );
    });
}

#[test]
fn a_transaction_ends_while_its_group_rebalances() {
    simulated("", async |host, broker| {
        let mut raw = Raw::connect(host, &broker).await;
        let mut other = Raw::connect(host, &broker).await;
        create(&mut raw, "t", 1, &[]).await;
        find_coordinator(&mut raw, 4, "g").await;
        let mut me = init(&mut raw, "x").await;
        for is_commit in [false, true] {
            let (member, generation) = join(&mut raw, 5, "g").await;
            sync(&mut raw, 3, "g", &member, generation).await;
            assert_eq!(commit_offset(&mut raw, 5, me, -1, 7).await, ErrorCode::NONE);
            // A second member comes, and the first does not join again: the group waits for it.
            let waiting = other.send(3, &join_request("g", "")).await;
            host.sleep(Duration::from_millis(10)).await;
            assert_eq!(
                heartbeat(&mut raw, 4, "g", &member, generation).await,
                ErrorCode::REBALANCE_IN_PROGRESS
            );
            me = end(&mut raw, 5, "x", me, is_commit).await.unwrap();
            assert_eq!(transactional::offset(&mut raw, true).await, Ok(if is_commit { 7 } else { -1 }));
            // Both leave.
            host.sleep(Duration::from_secs(60)).await;
            let joined = other.receive(ApiKey::JoinGroup, 3, waiting).await;
            assert_eq!(joined.decode::<JoinGroupResponse<'_>>().error_code, ErrorCode::NONE);
            host.sleep(Duration::from_secs(60)).await;
        }
    });
}

#[test]
fn a_transaction_may_not_be_open_longer_than_allowed() {
    simulated("transaction.max.timeout.ms=60000", async |host, broker| {
        let mut raw = Raw::connect(host, &broker).await;
        transactional::find_coordinator(&mut raw, "x").await;
        for (timeout_ms, error) in [(0, true), (-1, true), (60_001, true), (i32::MAX, true), (60_000, false)]
        {
            let given = try_init(&mut raw, 5, "x", timeout_ms, (-1, -1)).await;
            let refused = given == Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT);
            assert!(refused == error && (error || given.is_ok()), "{timeout_ms} ms: {given:?}");
        }
    });
}

#[test]
fn an_answer_leaves_before_a_shutdown_closes_its_connection() {
    simulated("log.dirs=/data", async |host, broker| {
        let mut raw = Raw::connect(host, &broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let records = batch(Compression::None, &["last"]).freeze();
        let sent = raw.send(9, &produce_request("t", -1, records)).await;
        // It has been read, and waits for the disk.
        host.sleep(Duration::from_micros(10)).await;
        let stopping = host.spawn(broker.shutdown());
        let answer = raw.receive(ApiKey::Produce, 9, sent).await;
        let response: ProduceResponse<'_> = answer.decode();
        assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
        assert!(raw.is_closed().await);
        stopping.await.unwrap();
    });
}

#[test]
fn groups_of_connect_workers_are_served() {
    simulated("", async |host, broker| {
        let mut raw = Raw::connect(host, &broker).await;
        find_coordinator(&mut raw, 4, "connect-cluster").await;
        // Workers tell their address and what they have read of the configuration; nobody here may look into it.
        let metadata = Bytes::from_static(b"\x00\x02 whatever Connect wrote \xff");
        let protocols = ["sessioned", "compatible", "default"]
            .map(|name| JoinGroupRequestProtocol { name, metadata: metadata.clone() });
        let request = JoinGroupRequest {
            protocol_type: "connect",
            protocols: protocols.to_vec(),
            ..join_request("connect-cluster", "")
        };
        let joined = raw.call(3, &request).await;
        let joined: JoinGroupResponse<'_> = joined.decode();
        assert_eq!((joined.error_code, joined.protocol_name), (ErrorCode::NONE, Some("sessioned")));
        assert_eq!(joined.members[0].metadata, metadata);
        let member_id = joined.member_id.to_string();
        let assigned = sync_as(&mut raw, "connect-cluster", &member_id).await;
        assert_eq!(assigned, (ErrorCode::NONE, Bytes::from_static(b"\x00\x02 tasks")));
        let answer = raw.call(4, &ListGroupsRequest::default()).await;
        let listed: ListGroupsResponse<'_> = answer.decode();
        let listed: Vec<_> =
            listed.groups.iter().map(|group| (group.group_id, group.protocol_type)).collect();
        assert_eq!(listed, [("connect-cluster", "connect")]);
        // A consumer has no business there.
        let consumer = raw.call(3, &join_request("connect-cluster", "")).await;
        let consumer: JoinGroupResponse<'_> = consumer.decode();
        assert_eq!(consumer.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);

        // A worker refuses to start unless its topics are compacted, and only compacted.
        create(&mut raw, "connect-configs", 1, &[("cleanup.policy", "compact")]).await;
        let resource = DescribeConfigsResource {
            resource_type: 2,
            resource_name: "connect-configs",
            configuration_keys: Some(vec!["cleanup.policy"]),
        };
        let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
        let answer = raw.call(4, &request).await;
        let described: DescribeConfigsResponse<'_> = answer.decode();
        let configs: Vec<_> = described.results[0].configs.iter().map(|it| (it.name, it.value)).collect();
        assert_eq!(configs, [("cleanup.policy", Some("compact"))]);
        // It reads them to their ends, as its Admin tells those.
        let partitions =
            vec![ListOffsetsPartition { partition_index: 0, current_leader_epoch: -1, timestamp: -1 }];
        let topics = vec![ListOffsetsTopic { name: "connect-configs", partitions }];
        let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
        let answer = raw.call(7, &request).await;
        let ends: ListOffsetsResponse<'_> = answer.decode();
        assert_eq!(ends.topics[0].partitions[0].offset, 0);
    });
}

async fn sync_as(raw: &mut Raw, group_id: &str, member_id: &str) -> (ErrorCode, Bytes) {
    let assignment = anabranch_protocol::messages::sync_group::SyncGroupRequestAssignment {
        member_id,
        assignment: Bytes::from_static(b"\x00\x02 tasks"),
    };
    let request = SyncGroupRequest {
        group_id,
        generation_id: 1,
        member_id,
        protocol_type: Some("connect"),
        protocol_name: Some("sessioned"),
        assignments: vec![assignment],
        ..Default::default()
    };
    let answer = raw.call(5, &request).await;
    let synced: SyncGroupResponse<'_> = answer.decode();
    (synced.error_code, synced.assignment.clone())
}

#[test]
fn a_member_whose_join_waits_is_not_thrown_out() {
    simulated("", async |host, broker| {
        let (mut first, mut second) = (Raw::connect(host, &broker).await, Raw::connect(host, &broker).await);
        find_coordinator(&mut first, 4, "g").await;
        let (leader, generation) = join(&mut first, 5, "g").await;
        sync(&mut first, 3, "g", &leader, generation).await;
        // Its session is 10 s, and it sends nothing while its Join waits; the first one, which shows signs of life, joins
        // again after 15 s.
        let started = host.now();
        let waiting = second.send(3, &join_request("g", "")).await;
        for _ in 0..3 {
            host.sleep(Duration::from_secs(5)).await;
            let told = heartbeat(&mut first, 4, "g", &leader, generation).await;
            assert_eq!(told, ErrorCode::REBALANCE_IN_PROGRESS);
        }
        let again = first.send(5, &join_request("g", &leader)).await;
        let joined = first.receive(ApiKey::JoinGroup, 5, again).await;
        let joined: JoinGroupResponse<'_> = joined.decode();
        assert_eq!((joined.error_code, joined.members.len()), (ErrorCode::NONE, 2));
        let waited = second.receive(ApiKey::JoinGroup, 3, waiting).await;
        let waited: JoinGroupResponse<'_> = waited.decode();
        assert_eq!((waited.error_code, waited.generation_id), (ErrorCode::NONE, generation + 1));
        assert_eq!((host.now() - started).as_secs(), 15);
        // It has a whole session from now on.
        host.sleep(Duration::from_secs(9)).await;
        let told = heartbeat(&mut second, 4, "g", waited.member_id, waited.generation_id).await;
        assert_eq!(told, ErrorCode::NONE, "the leader has not assigned yet");
    });
}

#[test]
fn a_topic_is_known_as_soon_as_its_creation_is_answered() {
    simulated("log.dirs=/data", async |host, broker| {
        let (mut one, mut two) = (Raw::connect(host, &broker).await, Raw::connect(host, &broker).await);
        for number in 0..20 {
            let name = &*format!("app-store-{number}-changelog");
            let id = create(&mut one, name, 3, &[("cleanup.policy", "compact")]).await;
            let request = DescribeTopicPartitionsRequest {
                topics: vec![TopicRequest { name }],
                response_partition_limit: 2000,
                cursor: None,
            };
            let answer = two.call(0, &request).await;
            let described: DescribeTopicPartitionsResponse<'_> = answer.decode();
            let topic = &described.topics[0];
            assert_eq!((topic.error_code, topic.topic_id, topic.partitions.len()), (ErrorCode::NONE, id, 3));
            let topics = Some(vec![MetadataRequestTopic { name: Some(name), ..Default::default() }]);
            let answer = two.call(12, &MetadataRequest { topics, ..Default::default() }).await;
            let metadata: MetadataResponse<'_> = answer.decode();
            let topic = &metadata.topics[0];
            assert_eq!((topic.error_code, topic.topic_id, topic.partitions.len()), (ErrorCode::NONE, id, 3));
            assert!(topic.partitions.iter().all(|partition| partition.leader_id == 1));
            let produced = produce(&mut two, name, batch(Compression::None, &["at once"])).await;
            assert_eq!(produced.error_code, ErrorCode::INVALID_RECORD, "compacted, and no key: it is served");
        }
    });
}

#[test]
fn the_first_rebalance_waits_for_as_long_as_configured() {
    assert_eq!(BrokerConfig::default().group.initial_rebalance_delay_ms, 3000);
    for (properties, seconds) in [("", 0), ("group.initial.rebalance.delay.ms=3000", 3)] {
        simulated(properties, async |host, broker| {
            let mut raw = Raw::connect(host, &broker).await;
            find_coordinator(&mut raw, 4, "g").await;
            let started = host.now();
            join(&mut raw, 3, "g").await;
            assert_eq!((host.now() - started).as_secs(), seconds);
        });
    }
}

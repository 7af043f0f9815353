//! Bytes that Apache Kafka's own classes have written: we write the same, and read them as what was written.
//!
//! `Golden.java` makes `golden.txt`; the values here are those there, in the same order.

use std::collections::VecDeque;
use std::fmt::Debug;

use anabranch_protocol::messages::api_versions::*;
use anabranch_protocol::messages::cluster_metadata::*;
use anabranch_protocol::messages::consumer_offsets::*;
use anabranch_protocol::messages::consumer_protocol::*;
use anabranch_protocol::messages::describe_topic_partitions::*;
use anabranch_protocol::messages::fetch::*;
use anabranch_protocol::messages::metadata::*;
use anabranch_protocol::messages::transaction_state::*;
use anabranch_protocol::messages::{fetch, produce};
use anabranch_protocol::{ApiKey, Decoder, Encoder, ErrorCode, Message, Request, RequestHeader, Uuid};
use anabranch_protocol::{decode_versioned, encode_request, encode_versioned};
use bytes::Bytes;

const ID: Uuid = Uuid([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

/// The lines of `golden.txt` that are still to be checked.
struct Golden(VecDeque<(&'static str, i16, &'static Bytes)>);

impl Golden {
    fn open() -> Self {
        let line = |line: &'static str| {
            let [name, version, digits] =
                line.split(' ').collect::<Vec<_>>().try_into().expect("three columns");
            let digit =
                |index: usize| u8::from_str_radix(&digits[index..index + 2], 16).expect("hexadecimal");
            let bytes = (0..digits.len()).step_by(2).map(digit).collect::<Bytes>();
            (name, version.parse().expect("a number"), &*Box::leak(Box::new(bytes)))
        };
        Golden(include_str!("golden.txt").lines().map(line).collect())
    }

    fn next(&mut self, name: &str) -> (i16, &'static Bytes) {
        let (next, version, bytes) = self.0.pop_front().expect("a line is left");
        assert_eq!(next, name);
        (version, bytes)
    }

    /// A request or response without header.
    fn message<M: Message<'static> + Debug + PartialEq>(&mut self, name: &str, value: &M) {
        let (version, bytes) = self.next(name);
        let mut out = Encoder::new();
        value.encode(&mut out, version);
        assert_eq!(out.finish().into_bytes(), bytes, "{name} version {version}");
        let mut from = Decoder::new(bytes);
        assert_eq!(M::decode(&mut from, version).as_ref(), Ok(value), "{name} version {version}");
        from.finish().expect("nothing is left");
    }

    /// A request with its header.
    fn request<R: Request<'static> + Debug + PartialEq>(&mut self, value: &R) {
        let (version, bytes) = self.next("request");
        let header = RequestHeader::new(R::KEY, version, 77, Some("client"));
        assert_eq!(encode_request(&header, value).into_bytes()[4..], bytes[..]);
        let mut from = Decoder::new(bytes);
        assert_eq!(RequestHeader::decode(&mut from), Ok(header));
        assert_eq!(R::decode(&mut from, version).as_ref(), Ok(value));
        from.finish().expect("nothing is left");
    }

    /// A record's value with its version in front, at the next few versions; `at` forgets what a version does not have.
    fn versions<M: Message<'static> + Debug + PartialEq>(
        &mut self,
        name: &str,
        versions: impl IntoIterator<Item = i16>,
        at: impl Fn(i16) -> M,
    ) {
        for expected in versions {
            let (version, bytes) = self.next(name);
            assert_eq!(version, expected);
            let value = at(version);
            assert_eq!(encode_versioned(&value, version), bytes, "{name} version {version}");
            assert_eq!(decode_versioned(bytes), Ok((value, version)), "{name} version {version}");
        }
    }

    fn metadata(&mut self, name: &str, value: MetadataRecord<'_>) {
        let (version, bytes) = self.next(name);
        assert_eq!(value.encode(version), bytes, "{name} version {version}");
        assert_eq!(MetadataRecord::decode(bytes), Ok(value), "{name} version {version}");
    }
}

#[test]
fn kafka_writes_the_same_bytes() {
    let mut golden = Golden::open();
    requests_and_responses(&mut golden);
    offsets_and_groups(&mut golden);
    transactions(&mut golden);
    consumers(&mut golden);
    cluster_metadata(&mut golden);
    assert!(golden.0.is_empty(), "{:?}", golden.0);
}

fn requests_and_responses(golden: &mut Golden) {
    let partition = produce::PartitionProduceResponse {
        index: 3,
        error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER,
        base_offset: -1,
        error_message: Some("moved"),
        record_errors: vec![produce::BatchIndexAndErrorMessage { batch_index: 2, ..Default::default() }],
        current_leader: produce::LeaderIdAndEpoch { leader_id: 4, leader_epoch: 5 },
        ..Default::default()
    };
    let topic = produce::TopicProduceResponse {
        topic_id: ID,
        partition_responses: vec![partition],
        ..Default::default()
    };
    let response = produce::ProduceResponse {
        responses: vec![topic],
        node_endpoints: vec![produce::NodeEndpoint { node_id: 4, host: "h", port: 9092, rack: None }],
        ..Default::default()
    };
    golden.message("ProduceResponse", &response);

    let partition =
        FetchPartition { partition: 1, fetch_offset: 7, partition_max_bytes: 1024, ..Default::default() };
    let topic = FetchTopic { topic_id: ID, partitions: vec![partition], ..Default::default() };
    let mut request =
        FetchRequest { max_wait_ms: 500, min_bytes: 1, topics: vec![topic], ..Default::default() };
    golden.message("FetchRequest", &request);
    golden.message("FetchRequest", &request);
    request.topics[0].partitions[0] = FetchPartition {
        partition: 1,
        fetch_offset: 7,
        replica_directory_id: ID,
        high_watermark: 6,
        ..Default::default()
    };
    request.cluster_id = Some("c");
    request.replica_state = ReplicaState { replica_id: 2, replica_epoch: 9 };
    golden.message("FetchRequest", &request);

    let partition = PartitionData {
        partition_index: 1,
        high_watermark: 8,
        diverging_epoch: fetch::EpochEndOffset { epoch: 2, end_offset: 3 },
        ..Default::default()
    };
    let topic = FetchableTopicResponse { topic: "t", partitions: vec![partition], ..Default::default() };
    golden.message("FetchResponse", &FetchResponse { responses: vec![topic], ..Default::default() });

    let api_keys = vec![ApiVersion { api_key: ApiKey::ApiVersions.into(), min_version: 0, max_version: 4 }];
    let plain = ApiVersionsResponse { api_keys, ..Default::default() };
    golden.message("ApiVersionsResponse", &plain);
    golden.message("ApiVersionsResponse", &plain);
    let name = "transaction.version";
    let supported_features = vec![SupportedFeatureKey { name, min_version: 0, max_version: 2 }];
    let finalized_features = vec![FinalizedFeatureKey { name, max_version_level: 2, min_version_level: 1 }];
    let featured =
        ApiVersionsResponse { supported_features, finalized_features_epoch: 11, finalized_features, ..plain };
    golden.message("ApiVersionsResponse", &featured);

    let request = DescribeTopicPartitionsRequest {
        topics: vec![TopicRequest { name: "t" }],
        response_partition_limit: 2000,
        cursor: None,
    };
    golden.message("DescribeTopicPartitionsRequest", &request);
    let cursor = Some(Cursor { topic_name: "t", partition_index: 5 });
    golden.message(
        "DescribeTopicPartitionsRequest",
        &DescribeTopicPartitionsRequest { cursor, ..Default::default() },
    );

    let topic = MetadataRequestTopic { topic_id: ID, name: None };
    golden.request(&MetadataRequest { topics: Some(vec![topic]), ..Default::default() });
    golden.request(&MetadataRequest { topics: None, ..Default::default() });
}

fn offsets_and_groups(golden: &mut Golden) {
    let key = OffsetCommitKey { group: "g", topic: "t", partition: 3 };
    golden.versions("OffsetCommitKey", [1], |_| key.clone());
    golden.versions("GroupMetadataKey", [2], |_| GroupMetadataKey { group: "g" });
    golden.versions("OffsetCommitValue", 0..=4, |version| OffsetCommitValue {
        offset: 7,
        leader_epoch: if version >= 3 { 2 } else { -1 },
        metadata: "m",
        commit_timestamp: 1000,
        expire_timestamp: if version == 1 { 2000 } else { -1 },
        topic_id: if version >= 4 { ID } else { Uuid::ZERO },
    });
    golden.versions("GroupMetadataValue", 0..=4, |version| GroupMetadataValue {
        protocol_type: "consumer",
        generation: 4,
        protocol: Some("range"),
        leader: Some("m"),
        current_state_timestamp: if version >= 2 { 1000 } else { -1 },
        members: vec![MemberMetadata {
            member_id: "m",
            group_instance_id: (version >= 3).then_some("i"),
            client_id: "c",
            client_host: "/h",
            rebalance_timeout: if version >= 1 { 300 } else { -1 },
            session_timeout: 45,
            subscription: Bytes::from_static(&[1, 2]),
            assignment: Bytes::from_static(&[3]),
        }],
    });
}

fn transactions(golden: &mut Golden) {
    golden.versions("TransactionLogKey", [0], |_| TransactionLogKey { transactional_id: "x" });
    let plain = TransactionLogValue {
        producer_id: 5,
        producer_epoch: 6,
        transaction_timeout_ms: 7,
        transaction_status: 1,
        transaction_last_update_timestamp_ms: 8,
        transaction_start_timestamp_ms: 9,
        ..Default::default()
    };
    golden.versions("TransactionLogValue", [0], |_| plain.clone());
    golden.versions("TransactionLogValue", [1], |_| TransactionLogValue {
        transaction_partitions: Some(vec![PartitionsSchema { topic: "t", partition_ids: vec![1, 2] }]),
        previous_producer_id: 4,
        next_producer_id: 10,
        next_producer_epoch: 11,
        client_transaction_version: 2,
        ..plain.clone()
    });
}

fn consumers(golden: &mut Golden) {
    let partitions = vec![TopicPartitions { topic: "a", partitions: vec![0, 2] }];
    golden.versions("ConsumerProtocolSubscription", 0..=3, |version| ConsumerProtocolSubscription {
        topics: vec!["a", "b"],
        user_data: Some(Bytes::from_static(&[1])),
        owned_partitions: if version >= 1 { partitions.clone() } else { Vec::new() },
        generation_id: if version >= 2 { 3 } else { -1 },
        rack_id: (version >= 3).then_some("r"),
    });
    golden.versions("ConsumerProtocolAssignment", [0, 3], |_| ConsumerProtocolAssignment {
        assigned_partitions: partitions.clone(),
        user_data: None,
    });
}

fn cluster_metadata(golden: &mut Golden) {
    golden.metadata("TopicRecord", MetadataRecord::Topic(TopicRecord { name: "t", topic_id: ID }));
    let partition = PartitionRecord {
        partition_id: 1,
        topic_id: ID,
        replicas: vec![1, 2],
        isr: vec![1],
        leader: 1,
        leader_epoch: 3,
        partition_epoch: 4,
        leader_recovery_state: 1,
        ..Default::default()
    };
    golden.metadata("PartitionRecord", MetadataRecord::Partition(partition.clone()));
    let partition = PartitionRecord {
        leader_recovery_state: 0,
        directories: vec![ID],
        eligible_leader_replicas: Some(vec![2]),
        last_known_elr: Some(Vec::new()),
        ..partition
    };
    golden.metadata("PartitionRecord", MetadataRecord::Partition(partition));
    let change = PartitionChangeRecord { partition_id: 1, topic_id: ID, ..Default::default() };
    let elected = PartitionChangeRecord { isr: Some(vec![1, 2]), leader: 2, ..change.clone() };
    golden.metadata("PartitionChangeRecord", MetadataRecord::PartitionChange(elected));
    let moved = PartitionChangeRecord {
        replicas: Some(vec![1]),
        removing_replicas: Some(Vec::new()),
        adding_replicas: Some(vec![2]),
        leader_recovery_state: 0,
        directories: Some(vec![ID]),
        eligible_leader_replicas: Some(vec![1]),
        last_known_elr: Some(vec![2]),
        ..change
    };
    golden.metadata("PartitionChangeRecord", MetadataRecord::PartitionChange(moved));
    let config = ConfigRecord { resource_type: 2, resource_name: "t", name: "k", value: Some("v") };
    golden.metadata("ConfigRecord", MetadataRecord::Config(config));
    golden.metadata("RemoveTopicRecord", MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: ID }));
    let feature = FeatureLevelRecord { name: "metadata.version", feature_level: 30 };
    golden.metadata("FeatureLevelRecord", MetadataRecord::FeatureLevel(feature));
    let block = ProducerIdsRecord { broker_id: 1, broker_epoch: 2, next_producer_id: 1000 };
    golden.metadata("ProducerIdsRecord", MetadataRecord::ProducerIds(block));
}

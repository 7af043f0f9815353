//! Every message at every version, there and back through the code of others.
//!
//! What we encode they must decode to the last byte, find the same values under the same names, and encode to the same
//! bytes, which we decode to the message we began with.

use std::fmt::Debug;
use std::ops::RangeInclusive;

use anabranch_protocol::messages::*;
use anabranch_protocol::sample::{self, Declared};
use anabranch_protocol::{Decoder, Encoder, Message};
use bytes::{Bytes, BytesMut};
use kacrab_protocol::generated as kacrab;
use kafka_protocol::messages as kafka;
use kafka_protocol::protocol::{Decodable, Encodable};

use crate::names::assert_same_fields;

const SEEDS: std::ops::Range<u64> = 0..25;

/// A message type of another crate.
trait Peer: Sized + Debug {
    fn read(bytes: &mut Bytes, version: i16) -> Result<Self, String>;
    fn write(&self, version: i16) -> Result<Bytes, String>;
}

fn check<M: Declared, P: Peer>(name: &str, versions: RangeInclusive<i16>) {
    assert!(!versions.is_empty(), "{name}");
    for version in versions {
        for seed in SEEDS {
            let what = format!("{name} version {version} seed {seed}");
            let ours: M = sample::sample(seed, version);
            let mut out = Encoder::new();
            ours.encode(&mut out, version);
            let bytes = out.finish().into_bytes();

            let mut rest = bytes.clone();
            let theirs =
                P::read(&mut rest, version).unwrap_or_else(|error| panic!("{what}: {error}\n{ours:?}"));
            assert!(rest.is_empty(), "{what}: they leave {} bytes\n{ours:?}\n{theirs:?}", rest.len());
            assert_same_fields(&format!("{ours:?}"), &format!("{theirs:?}"), &what);

            let again = theirs.write(version).unwrap_or_else(|error| panic!("{what}: {error}\n{theirs:?}"));
            assert_eq!(again, bytes, "{what}\n{ours:?}\n{theirs:?}");
            let again: &'static Bytes = Box::leak(Box::new(again));
            let mut from = Decoder::new(again);
            assert_eq!(M::decode(&mut from, version).as_ref(), Ok(&ours), "{what}");
            from.finish().unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
}

macro_rules! peers {
    ($( $module:ident::$name:ident, $kacrab_module:ident::$kacrab_name:ident; )*) => {
        $(
            impl Peer for kafka::$name {
                fn read(bytes: &mut Bytes, version: i16) -> Result<Self, String> {
                    Self::decode(bytes, version).map_err(|error| error.to_string())
                }

                fn write(&self, version: i16) -> Result<Bytes, String> {
                    let mut out = BytesMut::new();
                    self.encode(&mut out, version).map_err(|error| error.to_string())?;
                    Ok(out.freeze())
                }
            }

            impl Peer for kacrab::$kacrab_module::$kacrab_name {
                fn read(bytes: &mut Bytes, version: i16) -> Result<Self, String> {
                    Self::read(bytes, version).map_err(|error| error.to_string())
                }

                fn write(&self, version: i16) -> Result<Bytes, String> {
                    let mut out = BytesMut::new();
                    self.write(&mut out, version).map_err(|error| error.to_string())?;
                    Ok(out.freeze())
                }
            }
        )*

        #[test]
        fn kafka_protocol_reads_and_writes_the_same() {
            let mut beyond = Vec::new();
            $(
                let ours = <$module::$name as Message>::VERSIONS;
                let theirs = <kafka::$name as kafka_protocol::protocol::Message>::VERSIONS;
                assert!(theirs.min <= *ours.start(), stringify!($name));
                let last = theirs.max.min(*ours.end());
                beyond.extend((last + 1..=*ours.end()).map(|version| (stringify!($name), version)));
                check::<$module::$name, kafka::$name>(stringify!($name), *ours.start()..=last);
            )*
            // It knows Kafka 4.1, and of that not all.
            let unknown = [
                ("DescribeLogDirsRequest", 5),
                ("DescribeLogDirsResponse", 5),
                ("ListOffsetsRequest", 11),
                ("ListOffsetsResponse", 11),
                ("OffsetCommitRequest", 10),
                ("OffsetFetchRequest", 10),
                ("WriteTxnMarkersRequest", 2),
                ("WriteTxnMarkersResponse", 2),
            ];
            assert_eq!(beyond, unknown);
        }

        #[test]
        fn kacrab_reads_and_writes_the_same() {
            $(
                check::<$module::$name, kacrab::$kacrab_module::$kacrab_name>(
                    stringify!($name),
                    <$module::$name as Message>::VERSIONS,
                );
            )*
        }
    };
}

peers! {
    add_offsets_to_txn::AddOffsetsToTxnRequest, add_offsets_to_txn_request::AddOffsetsToTxnRequestData;
    add_offsets_to_txn::AddOffsetsToTxnResponse, add_offsets_to_txn_response::AddOffsetsToTxnResponseData;
    add_partitions_to_txn::AddPartitionsToTxnRequest, add_partitions_to_txn_request::AddPartitionsToTxnRequestData;
    add_partitions_to_txn::AddPartitionsToTxnResponse, add_partitions_to_txn_response::AddPartitionsToTxnResponseData;
    alter_client_quotas::AlterClientQuotasRequest, alter_client_quotas_request::AlterClientQuotasRequestData;
    alter_client_quotas::AlterClientQuotasResponse, alter_client_quotas_response::AlterClientQuotasResponseData;
    alter_configs::AlterConfigsRequest, alter_configs_request::AlterConfigsRequestData;
    alter_configs::AlterConfigsResponse, alter_configs_response::AlterConfigsResponseData;
    alter_partition_reassignments::AlterPartitionReassignmentsRequest, alter_partition_reassignments_request::AlterPartitionReassignmentsRequestData;
    alter_partition_reassignments::AlterPartitionReassignmentsResponse, alter_partition_reassignments_response::AlterPartitionReassignmentsResponseData;
    alter_replica_log_dirs::AlterReplicaLogDirsRequest, alter_replica_log_dirs_request::AlterReplicaLogDirsRequestData;
    alter_replica_log_dirs::AlterReplicaLogDirsResponse, alter_replica_log_dirs_response::AlterReplicaLogDirsResponseData;
    alter_user_scram_credentials::AlterUserScramCredentialsRequest, alter_user_scram_credentials_request::AlterUserScramCredentialsRequestData;
    alter_user_scram_credentials::AlterUserScramCredentialsResponse, alter_user_scram_credentials_response::AlterUserScramCredentialsResponseData;
    api_versions::ApiVersionsRequest, api_versions_request::ApiVersionsRequestData;
    api_versions::ApiVersionsResponse, api_versions_response::ApiVersionsResponseData;
    consumer_protocol::ConsumerProtocolSubscription, consumer_protocol_subscription::ConsumerProtocolSubscriptionData;
    consumer_protocol::ConsumerProtocolAssignment, consumer_protocol_assignment::ConsumerProtocolAssignmentData;
    create_acls::CreateAclsRequest, create_acls_request::CreateAclsRequestData;
    create_acls::CreateAclsResponse, create_acls_response::CreateAclsResponseData;
    create_partitions::CreatePartitionsRequest, create_partitions_request::CreatePartitionsRequestData;
    create_partitions::CreatePartitionsResponse, create_partitions_response::CreatePartitionsResponseData;
    create_topics::CreateTopicsRequest, create_topics_request::CreateTopicsRequestData;
    create_topics::CreateTopicsResponse, create_topics_response::CreateTopicsResponseData;
    delete_acls::DeleteAclsRequest, delete_acls_request::DeleteAclsRequestData;
    delete_acls::DeleteAclsResponse, delete_acls_response::DeleteAclsResponseData;
    delete_groups::DeleteGroupsRequest, delete_groups_request::DeleteGroupsRequestData;
    delete_groups::DeleteGroupsResponse, delete_groups_response::DeleteGroupsResponseData;
    delete_records::DeleteRecordsRequest, delete_records_request::DeleteRecordsRequestData;
    delete_records::DeleteRecordsResponse, delete_records_response::DeleteRecordsResponseData;
    delete_topics::DeleteTopicsRequest, delete_topics_request::DeleteTopicsRequestData;
    delete_topics::DeleteTopicsResponse, delete_topics_response::DeleteTopicsResponseData;
    describe_acls::DescribeAclsRequest, describe_acls_request::DescribeAclsRequestData;
    describe_acls::DescribeAclsResponse, describe_acls_response::DescribeAclsResponseData;
    describe_client_quotas::DescribeClientQuotasRequest, describe_client_quotas_request::DescribeClientQuotasRequestData;
    describe_client_quotas::DescribeClientQuotasResponse, describe_client_quotas_response::DescribeClientQuotasResponseData;
    describe_cluster::DescribeClusterRequest, describe_cluster_request::DescribeClusterRequestData;
    describe_cluster::DescribeClusterResponse, describe_cluster_response::DescribeClusterResponseData;
    describe_configs::DescribeConfigsRequest, describe_configs_request::DescribeConfigsRequestData;
    describe_configs::DescribeConfigsResponse, describe_configs_response::DescribeConfigsResponseData;
    describe_groups::DescribeGroupsRequest, describe_groups_request::DescribeGroupsRequestData;
    describe_groups::DescribeGroupsResponse, describe_groups_response::DescribeGroupsResponseData;
    describe_log_dirs::DescribeLogDirsRequest, describe_log_dirs_request::DescribeLogDirsRequestData;
    describe_log_dirs::DescribeLogDirsResponse, describe_log_dirs_response::DescribeLogDirsResponseData;
    describe_producers::DescribeProducersRequest, describe_producers_request::DescribeProducersRequestData;
    describe_producers::DescribeProducersResponse, describe_producers_response::DescribeProducersResponseData;
    describe_quorum::DescribeQuorumRequest, describe_quorum_request::DescribeQuorumRequestData;
    describe_quorum::DescribeQuorumResponse, describe_quorum_response::DescribeQuorumResponseData;
    describe_topic_partitions::DescribeTopicPartitionsRequest, describe_topic_partitions_request::DescribeTopicPartitionsRequestData;
    describe_topic_partitions::DescribeTopicPartitionsResponse, describe_topic_partitions_response::DescribeTopicPartitionsResponseData;
    describe_transactions::DescribeTransactionsRequest, describe_transactions_request::DescribeTransactionsRequestData;
    describe_transactions::DescribeTransactionsResponse, describe_transactions_response::DescribeTransactionsResponseData;
    describe_user_scram_credentials::DescribeUserScramCredentialsRequest, describe_user_scram_credentials_request::DescribeUserScramCredentialsRequestData;
    describe_user_scram_credentials::DescribeUserScramCredentialsResponse, describe_user_scram_credentials_response::DescribeUserScramCredentialsResponseData;
    elect_leaders::ElectLeadersRequest, elect_leaders_request::ElectLeadersRequestData;
    elect_leaders::ElectLeadersResponse, elect_leaders_response::ElectLeadersResponseData;
    end_txn::EndTxnRequest, end_txn_request::EndTxnRequestData;
    end_txn::EndTxnResponse, end_txn_response::EndTxnResponseData;
    fetch::FetchRequest, fetch_request::FetchRequestData;
    fetch::FetchResponse, fetch_response::FetchResponseData;
    find_coordinator::FindCoordinatorRequest, find_coordinator_request::FindCoordinatorRequestData;
    find_coordinator::FindCoordinatorResponse, find_coordinator_response::FindCoordinatorResponseData;
    heartbeat::HeartbeatRequest, heartbeat_request::HeartbeatRequestData;
    heartbeat::HeartbeatResponse, heartbeat_response::HeartbeatResponseData;
    incremental_alter_configs::IncrementalAlterConfigsRequest, incremental_alter_configs_request::IncrementalAlterConfigsRequestData;
    incremental_alter_configs::IncrementalAlterConfigsResponse, incremental_alter_configs_response::IncrementalAlterConfigsResponseData;
    init_producer_id::InitProducerIdRequest, init_producer_id_request::InitProducerIdRequestData;
    init_producer_id::InitProducerIdResponse, init_producer_id_response::InitProducerIdResponseData;
    join_group::JoinGroupRequest, join_group_request::JoinGroupRequestData;
    join_group::JoinGroupResponse, join_group_response::JoinGroupResponseData;
    leave_group::LeaveGroupRequest, leave_group_request::LeaveGroupRequestData;
    leave_group::LeaveGroupResponse, leave_group_response::LeaveGroupResponseData;
    list_config_resources::ListConfigResourcesRequest, list_config_resources_request::ListConfigResourcesRequestData;
    list_config_resources::ListConfigResourcesResponse, list_config_resources_response::ListConfigResourcesResponseData;
    list_groups::ListGroupsRequest, list_groups_request::ListGroupsRequestData;
    list_groups::ListGroupsResponse, list_groups_response::ListGroupsResponseData;
    list_offsets::ListOffsetsRequest, list_offsets_request::ListOffsetsRequestData;
    list_offsets::ListOffsetsResponse, list_offsets_response::ListOffsetsResponseData;
    list_partition_reassignments::ListPartitionReassignmentsRequest, list_partition_reassignments_request::ListPartitionReassignmentsRequestData;
    list_partition_reassignments::ListPartitionReassignmentsResponse, list_partition_reassignments_response::ListPartitionReassignmentsResponseData;
    list_transactions::ListTransactionsRequest, list_transactions_request::ListTransactionsRequestData;
    list_transactions::ListTransactionsResponse, list_transactions_response::ListTransactionsResponseData;
    metadata::MetadataRequest, metadata_request::MetadataRequestData;
    metadata::MetadataResponse, metadata_response::MetadataResponseData;
    offset_commit::OffsetCommitRequest, offset_commit_request::OffsetCommitRequestData;
    offset_commit::OffsetCommitResponse, offset_commit_response::OffsetCommitResponseData;
    offset_delete::OffsetDeleteRequest, offset_delete_request::OffsetDeleteRequestData;
    offset_delete::OffsetDeleteResponse, offset_delete_response::OffsetDeleteResponseData;
    offset_fetch::OffsetFetchRequest, offset_fetch_request::OffsetFetchRequestData;
    offset_fetch::OffsetFetchResponse, offset_fetch_response::OffsetFetchResponseData;
    offset_for_leader_epoch::OffsetForLeaderEpochRequest, offset_for_leader_epoch_request::OffsetForLeaderEpochRequestData;
    offset_for_leader_epoch::OffsetForLeaderEpochResponse, offset_for_leader_epoch_response::OffsetForLeaderEpochResponseData;
    produce::ProduceRequest, produce_request::ProduceRequestData;
    produce::ProduceResponse, produce_response::ProduceResponseData;
    sync_group::SyncGroupRequest, sync_group_request::SyncGroupRequestData;
    sync_group::SyncGroupResponse, sync_group_response::SyncGroupResponseData;
    txn_offset_commit::TxnOffsetCommitRequest, txn_offset_commit_request::TxnOffsetCommitRequestData;
    txn_offset_commit::TxnOffsetCommitResponse, txn_offset_commit_response::TxnOffsetCommitResponseData;
    write_txn_markers::WriteTxnMarkersRequest, write_txn_markers_request::WriteTxnMarkersRequestData;
    write_txn_markers::WriteTxnMarkersResponse, write_txn_markers_response::WriteTxnMarkersResponseData;
}

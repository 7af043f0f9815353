//! Messages by chance, for tests: of every message at every version, with values that tell fields apart.
//!
//! The same seed makes the same message.

use std::fmt::Debug;

use bytes::Bytes;

use crate::error_code::ErrorCode;
use crate::message::{Message, Request, version_of};
use crate::messages::*;
use crate::wire::{Uuid, Version, Wire};

/// A seeded source of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// A source that begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound as u64) as usize
    }
}

/// A value that chance can make.
pub trait Sample<'a>: Sized {
    /// A value that fits `version`.
    fn sample(chance: &mut Chance, version: Version) -> Self;
}

/// A message that fits `version`.
pub fn sample<'a, M: Message<'a> + Sample<'a>>(seed: u64, version: i16) -> M {
    M::sample(&mut Chance::new(seed), version_of::<M>(version))
}

macro_rules! integers {
    ($($ty:ty)*) => { $(
        impl<'a> Sample<'a> for $ty {
            fn sample(chance: &mut Chance, _: Version) -> Self {
                match chance.below(8) {
                    0 => <$ty>::MIN,
                    1 => <$ty>::MAX,
                    2 => 0,
                    3 => (chance.next_u64() % 100) as $ty,
                    _ => chance.next_u64() as $ty,
                }
            }
        }
    )* };
}

integers! { i8 i16 i32 i64 u16 u32 }

impl<'a> Sample<'a> for bool {
    fn sample(chance: &mut Chance, _: Version) -> Self {
        chance.below(2) == 1
    }
}

impl<'a> Sample<'a> for f64 {
    fn sample(chance: &mut Chance, _: Version) -> Self {
        chance.next_u64() as i32 as f64 / 1024.0
    }
}

impl<'a> Sample<'a> for ErrorCode {
    fn sample(chance: &mut Chance, version: Version) -> Self {
        match chance.below(8) {
            0 => ErrorCode(i16::sample(chance, version)),
            _ => ErrorCode::ALL[chance.below(ErrorCode::ALL.len())],
        }
    }
}

impl<'a> Sample<'a> for Uuid {
    fn sample(chance: &mut Chance, _: Version) -> Self {
        match chance.below(8) {
            0 => Uuid::ZERO,
            _ => Uuid((u128::from(chance.next_u64()) << 64 | u128::from(chance.next_u64())).to_be_bytes()),
        }
    }
}

/// Longer than 127 bytes, so that lengths of two bytes occur, and not only ASCII.
const TEXT: &str = "Von der Quelle bis zur Mündung: ein Nebenarm (anabranch) verlässt den Fluss und kehrt zu ihm zurück, \
                    weiter unten; dazwischen liegt eine Insel, auf der Reiher, Ottern und Eisvögel wohnen.";

impl<'a> Sample<'a> for &'a str {
    fn sample(chance: &mut Chance, _: Version) -> Self {
        let length = match chance.below(8) {
            0 => 0,
            1 => TEXT.len(),
            _ => chance.below(40),
        };
        let start = TEXT.floor_char_boundary(chance.below(TEXT.len() - length + 1));
        &TEXT[start..TEXT.floor_char_boundary(start + length)]
    }
}

impl<'a> Sample<'a> for Bytes {
    fn sample(chance: &mut Chance, _: Version) -> Self {
        let length = match chance.below(16) {
            0 => 0,
            // Long enough to be encoded by reference.
            1 => 4096 + chance.below(1000),
            2 => 4095,
            _ => chance.below(200),
        };
        (0..length).map(|_| chance.next_u64() as u8).collect()
    }
}

impl<'a, T: Sample<'a>> Sample<'a> for Vec<T> {
    fn sample(chance: &mut Chance, version: Version) -> Self {
        let count = chance.below(4);
        (0..count).map(|_| T::sample(chance, version)).collect()
    }
}

impl<'a, T: Sample<'a>> Sample<'a> for Option<T> {
    fn sample(chance: &mut Chance, version: Version) -> Self {
        match chance.below(3) {
            0 => None,
            _ => Some(T::sample(chance, version)),
        }
    }
}

/// All that `message!` makes of a message.
pub trait Declared: Message<'static> + Wire<'static> + Sample<'static> + Debug + Default + PartialEq {}

impl<M: Message<'static> + Wire<'static> + Sample<'static> + Debug + Default + PartialEq> Declared for M {}

/// What [`every_message`] does to each message.
pub trait EveryMessage {
    /// Called once for each message; `name` is Kafka's.
    fn message<M: Declared>(&mut self, name: &str);
}

/// What [`every_request`] does to each request.
pub trait EveryRequest {
    /// Called once for each request.
    fn request<R: Request<'static> + Declared>(&mut self);
}

macro_rules! list {
    (
        requests { $( $api:ident::$request:ident $response:ident; )* }
        records { $( $format:ident::{$($record:ident),*}; )* }
    ) => {
        /// Calls `each` for every message there is.
        pub fn every_message(each: &mut impl EveryMessage) {
            $(
                each.message::<$api::$request>(stringify!($request));
                each.message::<$api::$response>(stringify!($response));
            )*
            $( $( each.message::<$format::$record>(stringify!($record)); )* )*
        }

        /// Calls `each` for every request there is.
        pub fn every_request(each: &mut impl EveryRequest) {
            $( each.request::<$api::$request>(); )*
        }
    };
}

list! {
    requests {
        add_offsets_to_txn::AddOffsetsToTxnRequest AddOffsetsToTxnResponse;
        add_partitions_to_txn::AddPartitionsToTxnRequest AddPartitionsToTxnResponse;
        alter_client_quotas::AlterClientQuotasRequest AlterClientQuotasResponse;
        alter_configs::AlterConfigsRequest AlterConfigsResponse;
        alter_partition_reassignments::AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse;
        alter_replica_log_dirs::AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse;
        alter_user_scram_credentials::AlterUserScramCredentialsRequest AlterUserScramCredentialsResponse;
        api_versions::ApiVersionsRequest ApiVersionsResponse;
        create_acls::CreateAclsRequest CreateAclsResponse;
        create_partitions::CreatePartitionsRequest CreatePartitionsResponse;
        create_topics::CreateTopicsRequest CreateTopicsResponse;
        delete_acls::DeleteAclsRequest DeleteAclsResponse;
        delete_groups::DeleteGroupsRequest DeleteGroupsResponse;
        delete_records::DeleteRecordsRequest DeleteRecordsResponse;
        delete_topics::DeleteTopicsRequest DeleteTopicsResponse;
        describe_acls::DescribeAclsRequest DescribeAclsResponse;
        describe_client_quotas::DescribeClientQuotasRequest DescribeClientQuotasResponse;
        describe_cluster::DescribeClusterRequest DescribeClusterResponse;
        describe_configs::DescribeConfigsRequest DescribeConfigsResponse;
        describe_groups::DescribeGroupsRequest DescribeGroupsResponse;
        describe_log_dirs::DescribeLogDirsRequest DescribeLogDirsResponse;
        describe_producers::DescribeProducersRequest DescribeProducersResponse;
        describe_quorum::DescribeQuorumRequest DescribeQuorumResponse;
        describe_topic_partitions::DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse;
        describe_transactions::DescribeTransactionsRequest DescribeTransactionsResponse;
        describe_user_scram_credentials::DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse;
        elect_leaders::ElectLeadersRequest ElectLeadersResponse;
        end_txn::EndTxnRequest EndTxnResponse;
        fetch::FetchRequest FetchResponse;
        find_coordinator::FindCoordinatorRequest FindCoordinatorResponse;
        heartbeat::HeartbeatRequest HeartbeatResponse;
        incremental_alter_configs::IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse;
        init_producer_id::InitProducerIdRequest InitProducerIdResponse;
        join_group::JoinGroupRequest JoinGroupResponse;
        leave_group::LeaveGroupRequest LeaveGroupResponse;
        list_config_resources::ListConfigResourcesRequest ListConfigResourcesResponse;
        list_groups::ListGroupsRequest ListGroupsResponse;
        list_offsets::ListOffsetsRequest ListOffsetsResponse;
        list_partition_reassignments::ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse;
        list_transactions::ListTransactionsRequest ListTransactionsResponse;
        metadata::MetadataRequest MetadataResponse;
        offset_commit::OffsetCommitRequest OffsetCommitResponse;
        offset_delete::OffsetDeleteRequest OffsetDeleteResponse;
        offset_fetch::OffsetFetchRequest OffsetFetchResponse;
        offset_for_leader_epoch::OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse;
        produce::ProduceRequest ProduceResponse;
        sync_group::SyncGroupRequest SyncGroupResponse;
        txn_offset_commit::TxnOffsetCommitRequest TxnOffsetCommitResponse;
        write_txn_markers::WriteTxnMarkersRequest WriteTxnMarkersResponse;
    }
    records {
        cluster_metadata::{TopicRecord, PartitionRecord, ConfigRecord, PartitionChangeRecord, RemoveTopicRecord, FeatureLevelRecord, ProducerIdsRecord};
        consumer_offsets::{OffsetCommitKey, OffsetCommitValue, GroupMetadataKey, GroupMetadataValue};
        consumer_protocol::{ConsumerProtocolSubscription, ConsumerProtocolAssignment};
        transaction_state::{TransactionLogKey, TransactionLogValue};
    }
}

//! The table of what this broker serves: ApiKey -> handler. One file per API.
//!
//! An API stands in the table when it does what it says, and only then: clients decide by the list what to try, and
//! fall back from what is not listed. [`handle`] checks key and version, decodes and calls; whatever is not in the
//! table, or does not parse, ends the connection, as it does with Kafka.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod alter_user_scram_credentials;
mod api_versions;
mod broker_loggers;
mod create_acls;
mod create_partitions;
mod create_topics;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod end_txn;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod repeated;
mod sync_group;
mod txn_offset_commit;
mod write_txn_markers;

use std::sync::Arc;

use anabranch_host::Instant;
use anabranch_protocol::{ApiKey, DecodeError, Decoder, Message, RequestHeader};
use bytes::Bytes;

use crate::config::Endpoint;
use crate::node::Node;
use crate::reply::{Answering, Reply, RequestContext};

macro_rules! table {
    ($($api:ident => $module:ident,)*) => {
        /// The APIs served, in the order of their keys.
        pub(crate) const SERVED: &[ApiKey] = &[$(ApiKey::$api,)*];

        fn dispatch(
            node: &Arc<Node>,
            request: &RequestContext<'_>,
            body: &mut Decoder<'_>,
        ) -> Result<Reply, DecodeError> {
            let version = request.api_version();
            match request.answering.api_key {
                $(ApiKey::$api => Ok($module::handle(node, request, Message::decode(body, version)?)),)*
                _ => Err(DecodeError::UnsupportedVersion(version)),
            }
        }
    };
}

table! {
    Produce => produce,
    Fetch => fetch,
    ListOffsets => list_offsets,
    Metadata => metadata,
    OffsetCommit => offset_commit,
    OffsetFetch => offset_fetch,
    FindCoordinator => find_coordinator,
    JoinGroup => join_group,
    Heartbeat => heartbeat,
    LeaveGroup => leave_group,
    SyncGroup => sync_group,
    DescribeGroups => describe_groups,
    ListGroups => list_groups,
    ApiVersions => api_versions,
    CreateTopics => create_topics,
    DeleteTopics => delete_topics,
    DeleteRecords => delete_records,
    InitProducerId => init_producer_id,
    OffsetForLeaderEpoch => offset_for_leader_epoch,
    AddPartitionsToTxn => add_partitions_to_txn,
    AddOffsetsToTxn => add_offsets_to_txn,
    EndTxn => end_txn,
    WriteTxnMarkers => write_txn_markers,
    TxnOffsetCommit => txn_offset_commit,
    DescribeAcls => describe_acls,
    CreateAcls => create_acls,
    DeleteAcls => delete_acls,
    DescribeConfigs => describe_configs,
    AlterConfigs => alter_configs,
    AlterReplicaLogDirs => alter_replica_log_dirs,
    DescribeLogDirs => describe_log_dirs,
    CreatePartitions => create_partitions,
    DeleteGroups => delete_groups,
    ElectLeaders => elect_leaders,
    IncrementalAlterConfigs => incremental_alter_configs,
    AlterPartitionReassignments => alter_partition_reassignments,
    ListPartitionReassignments => list_partition_reassignments,
    OffsetDelete => offset_delete,
    DescribeClientQuotas => describe_client_quotas,
    AlterClientQuotas => alter_client_quotas,
    DescribeUserScramCredentials => describe_user_scram_credentials,
    AlterUserScramCredentials => alter_user_scram_credentials,
    DescribeQuorum => describe_quorum,
    DescribeCluster => describe_cluster,
    DescribeProducers => describe_producers,
    DescribeTransactions => describe_transactions,
    ListTransactions => list_transactions,
    ListConfigResources => list_config_resources,
    DescribeTopicPartitions => describe_topic_partitions,
}

/// Whether requests of this API look how far logs can be read, which a Produce moves when its records are durable and not
/// before. Kafka handles one request of a connection at a time, so there they find what requests before them have done.
pub(crate) fn reads_logs(api_key: ApiKey) -> bool {
    matches!(api_key, ApiKey::Fetch | ApiKey::ListOffsets | ApiKey::DeleteRecords)
}

/// Handles the request in `frame`.
///
/// # Errors
/// If it is none that can be answered; the connection is to be closed, and this is why.
pub(crate) fn handle(
    node: &Arc<Node>,
    frame: &Bytes,
    peer: &str,
    endpoint: &Endpoint,
    received: Instant,
) -> Result<Reply, String> {
    let mut decoder = Decoder::new(frame);
    let header =
        RequestHeader::decode(&mut decoder).map_err(|error| format!("a bad request header: {error}"))?;
    let Some(api_key) = ApiKey::from_i16(header.api_key).filter(|api_key| SERVED.contains(api_key)) else {
        return Err(format!("a request of API key {}, which is not served", header.api_key));
    };
    let version = header.api_version;
    let answering = Answering { api_key, api_version: version, correlation_id: header.correlation_id };
    if !api_key.versions().contains(&version) {
        // The one question that is answered in any version: a client asks it to learn the versions.
        if api_key == ApiKey::ApiVersions {
            return Ok(api_versions::unsupported_version(answering));
        }
        return Err(format!("a request {api_key} in version {version}, which is not served"));
    }
    let request = RequestContext { answering, client_id: header.client_id, peer, endpoint, received };
    dispatch(node, &request, &mut decoder).map_err(|error| format!("a bad {api_key} v{version}: {error}"))
}

#[cfg(test)]
pub(crate) mod tests;

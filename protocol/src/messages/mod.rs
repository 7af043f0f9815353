//! One file per API, named as Kafka names it, and one per format of records.

pub mod api_versions;
pub mod describe_cluster;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod metadata;

pub mod delete_records;
pub mod fetch;
pub mod list_offsets;
pub mod offset_for_leader_epoch;
pub mod produce;

pub mod alter_configs;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_topics;
pub mod describe_configs;
pub mod incremental_alter_configs;
pub mod list_config_resources;

pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod describe_log_dirs;
pub mod elect_leaders;
pub mod list_partition_reassignments;

pub mod create_acls;
pub mod delete_acls;
pub mod describe_acls;

pub mod alter_client_quotas;
pub mod alter_user_scram_credentials;
pub mod describe_client_quotas;
pub mod describe_user_scram_credentials;

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod end_txn;
pub mod init_producer_id;
pub mod txn_offset_commit;
pub mod write_txn_markers;

pub mod describe_producers;
pub mod describe_transactions;
pub mod list_transactions;

pub mod find_coordinator;
pub mod heartbeat;
pub mod join_group;
pub mod leave_group;
pub mod offset_commit;
pub mod offset_fetch;
pub mod sync_group;

pub mod delete_groups;
pub mod describe_groups;
pub mod list_groups;
pub mod offset_delete;

pub mod cluster_metadata;
pub mod consumer_offsets;
pub mod consumer_protocol;
pub mod transaction_state;

#[cfg(test)]
mod tests;

//! One file per API, in the order in which a client comes to need them, and one per format of records.

pub mod api_versions;
pub mod metadata;

pub mod produce;

pub mod fetch;
pub mod list_offsets;

pub mod create_topics;
pub mod delete_topics;

pub mod init_producer_id;

pub mod find_coordinator;
pub mod heartbeat;
pub mod join_group;
pub mod leave_group;
pub mod offset_commit;
pub mod offset_fetch;
pub mod sync_group;

//! AlterClientQuotas (API key 49): changes how much clients may ask of a broker.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Quotas to change.
    pub struct AlterClientQuotasRequest<'a> [0..=1, flexible 1..] {
        /// Entity by entity.
        entries: Vec<EntryData<'a>> [0..],
        /// Whether to check only and change nothing.
        validate_only: bool [0..],
    }

    /// The changes of one entity.
    pub struct EntryData<'a> {
        /// The parts of the entity.
        entity: Vec<EntityData<'a>> [0..],
        /// The changes.
        ops: Vec<OpData<'a>> [0..],
    }

    /// A part of an entity.
    pub struct EntityData<'a> {
        /// The kind of entity: user, client-id or ip.
        entity_type: &'a str [0..],
        /// The name, or null for the default.
        entity_name: Option<&'a str> [0.., null 0..],
    }

    /// A change.
    pub struct OpData<'a> {
        /// Which quota.
        key: &'a str [0..],
        /// The quota.
        value: f64 [0..],
        /// Whether to take it away.
        remove: bool [0..],
    }

    /// What became of the changes.
    pub struct AlterClientQuotasResponse<'a> [0..=1, flexible 1..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// Entity by entity.
        entries: Vec<EntryResponse<'a>> [0..],
    }

    /// What became of one entity.
    pub struct EntryResponse<'a> {
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
        /// The parts of the entity.
        entity: Vec<EntityResponse<'a>> [0..],
    }

    /// A part of an entity.
    pub struct EntityResponse<'a> {
        /// The kind of entity: user, client-id or ip.
        entity_type: &'a str [0..],
        /// The name, or null for the default.
        entity_name: Option<&'a str> [0.., null 0..],
    }
}

impl<'a> Request<'a> for AlterClientQuotasRequest<'a> {
    const KEY: ApiKey = ApiKey::AlterClientQuotas;
    type Response<'r> = AlterClientQuotasResponse<'r>;
}

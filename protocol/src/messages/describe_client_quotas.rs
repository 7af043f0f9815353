//! DescribeClientQuotas (API key 48): how much clients may ask of a broker.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};

message! {
    /// Which quotas to describe.
    pub struct DescribeClientQuotasRequest<'a> [0..=1, flexible 1..] {
        /// What is asked for.
        components: Vec<ComponentData<'a>> [0..],
        /// Whether an entity with other parts does not match.
        strict: bool [0..],
    }

    /// A part of the entities asked for.
    pub struct ComponentData<'a> {
        /// The kind of entity: user, client-id or ip.
        entity_type: &'a str [0..],
        /// 0 the entity of this name, 1 the default, 2 any that is named.
        match_type: i8 [0..],
        /// The name, or null.
        r#match: Option<&'a str> [0.., null 0..],
    }

    /// The quotas.
    pub struct DescribeClientQuotasResponse<'a> [0..=1, flexible 1..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [0..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [0.., null 0..],
        /// Entity by entity.
        entries: Option<Vec<EntryData<'a>>> [0.., null 0..],
    }

    /// The quotas of one entity.
    pub struct EntryData<'a> {
        /// The parts of the entity.
        entity: Vec<EntityData<'a>> [0..],
        /// The quotas.
        values: Vec<ValueData<'a>> [0..],
    }

    /// A part of an entity.
    pub struct EntityData<'a> {
        /// The kind of entity: user, client-id or ip.
        entity_type: &'a str [0..],
        /// The name, or null for the default.
        entity_name: Option<&'a str> [0.., null 0..],
    }

    /// A quota.
    pub struct ValueData<'a> {
        /// Which quota.
        key: &'a str [0..],
        /// The quota.
        value: f64 [0..],
    }
}

impl<'a> Request<'a> for DescribeClientQuotasRequest<'a> {
    const KEY: ApiKey = ApiKey::DescribeClientQuotas;
    type Response<'r> = DescribeClientQuotasResponse<'r>;
}

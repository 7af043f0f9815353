//! DeleteTopics (API key 20): deletes topics, by name or by id.

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::message::{Request, message};
use crate::wire::Uuid;

message! {
    /// Topics to delete.
    pub struct DeleteTopicsRequest<'a> [1..=6, flexible 4..] {
        /// Topic by topic.
        topics: Vec<DeleteTopicState<'a>> [6..],
        /// The topics by name, in versions without ids.
        topic_names: Vec<&'a str> [0..=5],
        /// How long the broker may take, in milliseconds.
        timeout_ms: i32 [0..],
    }

    /// A topic to delete, by name or by id.
    pub struct DeleteTopicState<'a> {
        /// The name, or null if given by id.
        name: Option<&'a str> [6.., null 6..],
        /// The id, or zero if given by name.
        topic_id: Uuid [6..],
    }

    /// What became of the topics.
    pub struct DeleteTopicsResponse<'a> [1..=6, flexible 4..] {
        /// How long the client was or is to be held back by a quota, in milliseconds.
        throttle_time_ms: i32 [1..],
        /// Topic by topic.
        responses: Vec<DeletableTopicResult<'a>> [0..],
    }

    /// What became of one topic.
    pub struct DeletableTopicResult<'a> {
        /// The name, or null for an id that is not known.
        name: Option<&'a str> [0.., null 6..],
        /// The id of the topic.
        topic_id: Uuid [6..],
        /// What went wrong, or NONE.
        error_code: ErrorCode [0..],
        /// What went wrong in words, or null.
        error_message: Option<&'a str> [5.., null 5..],
    }
}

impl<'a> Request<'a> for DeleteTopicsRequest<'a> {
    const KEY: ApiKey = ApiKey::DeleteTopics;
    type Response<'r> = DeleteTopicsResponse<'r>;
}

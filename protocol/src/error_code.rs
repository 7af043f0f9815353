//! What a broker answers: Kafka's error codes.
//!
//! On the wire an error code is an ordinary value, one per request, topic or partition; it is not a Rust error.

use std::fmt;

/// An error code as it stands on the wire, known or not.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub i16);

/// `NAME = code, retriable;`
macro_rules! error_codes {
    ($( $(#[$meta:meta])* $name:ident = $code:literal $(, $retriable:ident)?; )*) => {
        impl ErrorCode {
            $( $(#[$meta])* pub const $name: ErrorCode = ErrorCode($code); )*

            /// Every code there is.
            pub const ALL: &'static [ErrorCode] = &[$( ErrorCode::$name ),*];

            /// Kafka's name of the code, or `UNKNOWN` for one that is not known.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $( $code => stringify!($name), )*
                    _ => "UNKNOWN",
                }
            }

            /// Whether the same request may succeed when it is sent again: Kafka's `RetriableException`.
            pub const fn is_retriable(self) -> bool {
                match self.0 {
                    $( $code => error_codes!(@retriable $($retriable)?), )*
                    _ => false,
                }
            }
        }
    };
    (@retriable retriable) => { true };
    (@retriable) => { false };
}

error_codes! {
    /// Something the broker did not expect.
    UNKNOWN_SERVER_ERROR = -1;
    /// No error.
    NONE = 0;
    /// The offset is not in the log.
    OFFSET_OUT_OF_RANGE = 1;
    /// The batch is corrupt.
    CORRUPT_MESSAGE = 2, retriable;
    /// The topic or partition is not known here.
    UNKNOWN_TOPIC_OR_PARTITION = 3, retriable;
    /// The fetch size is invalid.
    INVALID_FETCH_SIZE = 4;
    /// The partition has no leader at the moment.
    LEADER_NOT_AVAILABLE = 5, retriable;
    /// The broker neither leads nor holds the partition.
    NOT_LEADER_OR_FOLLOWER = 6, retriable;
    /// The request took too long.
    REQUEST_TIMED_OUT = 7, retriable;
    /// The broker is not there.
    BROKER_NOT_AVAILABLE = 8;
    /// The replica is not there.
    REPLICA_NOT_AVAILABLE = 9, retriable;
    /// The batch is larger than allowed.
    MESSAGE_TOO_LARGE = 10;
    /// The controller is an older one.
    STALE_CONTROLLER_EPOCH = 11;
    /// The metadata of the commit is larger than allowed.
    OFFSET_METADATA_TOO_LARGE = 12;
    /// The connection broke before the answer.
    NETWORK_EXCEPTION = 13, retriable;
    /// The coordinator is still loading.
    COORDINATOR_LOAD_IN_PROGRESS = 14, retriable;
    /// There is no coordinator at the moment.
    COORDINATOR_NOT_AVAILABLE = 15, retriable;
    /// The broker is not the coordinator.
    NOT_COORDINATOR = 16, retriable;
    /// The name cannot be a topic's, or the topic is off limits.
    INVALID_TOPIC_EXCEPTION = 17;
    /// The batch is larger than a segment.
    RECORD_LIST_TOO_LARGE = 18;
    /// Too few replicas are in sync; nothing was appended.
    NOT_ENOUGH_REPLICAS = 19, retriable;
    /// Too few replicas are in sync; the batch was appended nevertheless.
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20, retriable;
    /// `acks` is none of -1, 0 and 1.
    INVALID_REQUIRED_ACKS = 21;
    /// The generation is not the group's.
    ILLEGAL_GENERATION = 22;
    /// The protocols are not the group's.
    INCONSISTENT_GROUP_PROTOCOL = 23;
    /// The id cannot be a group's.
    INVALID_GROUP_ID = 24;
    /// The member is not known to the coordinator.
    UNKNOWN_MEMBER_ID = 25;
    /// The session timeout is outside the broker's bounds.
    INVALID_SESSION_TIMEOUT = 26;
    /// The group rebalances: join again.
    REBALANCE_IN_PROGRESS = 27;
    /// The commit is larger than allowed.
    INVALID_COMMIT_OFFSET_SIZE = 28;
    /// The caller may not use the topic.
    TOPIC_AUTHORIZATION_FAILED = 29;
    /// The caller may not use the group.
    GROUP_AUTHORIZATION_FAILED = 30;
    /// The caller may not do this to the cluster.
    CLUSTER_AUTHORIZATION_FAILED = 31;
    /// The timestamp is out of bounds.
    INVALID_TIMESTAMP = 32;
    /// The SASL mechanism is not enabled.
    UNSUPPORTED_SASL_MECHANISM = 33;
    /// The request does not fit the state of SASL.
    ILLEGAL_SASL_STATE = 34;
    /// The version of the API is not supported.
    UNSUPPORTED_VERSION = 35;
    /// The topic exists.
    TOPIC_ALREADY_EXISTS = 36;
    /// The number of partitions is invalid.
    INVALID_PARTITIONS = 37;
    /// The replication factor is invalid.
    INVALID_REPLICATION_FACTOR = 38;
    /// The assignment of replicas is invalid.
    INVALID_REPLICA_ASSIGNMENT = 39;
    /// The configuration is invalid.
    INVALID_CONFIG = 40;
    /// The broker is not the controller.
    NOT_CONTROLLER = 41, retriable;
    /// The request is invalid.
    INVALID_REQUEST = 42;
    /// The message format does not support the request.
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43;
    /// A policy forbids it.
    POLICY_VIOLATION = 44;
    /// A sequence number is missing before this one.
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45;
    /// The sequence number was seen before.
    DUPLICATE_SEQUENCE_NUMBER = 46;
    /// The producer has a newer epoch elsewhere.
    INVALID_PRODUCER_EPOCH = 47;
    /// The transaction's state does not allow it.
    INVALID_TXN_STATE = 48;
    /// The producer id is not that of the transactional id.
    INVALID_PRODUCER_ID_MAPPING = 49;
    /// The transaction timeout is larger than allowed.
    INVALID_TRANSACTION_TIMEOUT = 50;
    /// Another operation on the transaction is under way.
    CONCURRENT_TRANSACTIONS = 51, retriable;
    /// The transaction coordinator is an older one.
    TRANSACTION_COORDINATOR_FENCED = 52;
    /// The caller may not use the transactional id.
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53;
    /// Security is switched off.
    SECURITY_DISABLED = 54;
    /// The operation was not attempted.
    OPERATION_NOT_ATTEMPTED = 55;
    /// The disk failed.
    KAFKA_STORAGE_ERROR = 56, retriable;
    /// The log directory is not there.
    LOG_DIR_NOT_FOUND = 57;
    /// Authentication failed.
    SASL_AUTHENTICATION_FAILED = 58;
    /// The producer id is not known to the partition.
    UNKNOWN_PRODUCER_ID = 59;
    /// A reassignment is under way.
    REASSIGNMENT_IN_PROGRESS = 60;
    /// Delegation tokens are switched off.
    DELEGATION_TOKEN_AUTH_DISABLED = 61;
    /// The delegation token is not known.
    DELEGATION_TOKEN_NOT_FOUND = 62;
    /// The delegation token is another's.
    DELEGATION_TOKEN_OWNER_MISMATCH = 63;
    /// Delegation tokens are not to be had on this connection.
    DELEGATION_TOKEN_REQUEST_NOT_ALLOWED = 64;
    /// The caller may not use the delegation token.
    DELEGATION_TOKEN_AUTHORIZATION_FAILED = 65;
    /// The delegation token has expired.
    DELEGATION_TOKEN_EXPIRED = 66;
    /// The type of principal is not supported.
    INVALID_PRINCIPAL_TYPE = 67;
    /// The group has members.
    NON_EMPTY_GROUP = 68;
    /// The group does not exist.
    GROUP_ID_NOT_FOUND = 69;
    /// The fetch session does not exist.
    FETCH_SESSION_ID_NOT_FOUND = 70, retriable;
    /// The epoch of the fetch session is wrong.
    INVALID_FETCH_SESSION_EPOCH = 71, retriable;
    /// The leader has no such listener.
    LISTENER_NOT_FOUND = 72, retriable;
    /// Topics cannot be deleted here.
    TOPIC_DELETION_DISABLED = 73;
    /// The leader epoch is older than the broker's.
    FENCED_LEADER_EPOCH = 74, retriable;
    /// The leader epoch is newer than the broker's.
    UNKNOWN_LEADER_EPOCH = 75, retriable;
    /// The compression is not supported at this version.
    UNSUPPORTED_COMPRESSION_TYPE = 76;
    /// The broker epoch is an older one.
    STALE_BROKER_EPOCH = 77;
    /// The leader cannot tell its offsets yet.
    OFFSET_NOT_AVAILABLE = 78, retriable;
    /// The member must join again with the id it was given.
    MEMBER_ID_REQUIRED = 79;
    /// The preferred leader is not there.
    PREFERRED_LEADER_NOT_AVAILABLE = 80, retriable;
    /// The group is full.
    GROUP_MAX_SIZE_REACHED = 81;
    /// Another member has taken the group instance id.
    FENCED_INSTANCE_ID = 82;
    /// No eligible leader is there.
    ELIGIBLE_LEADERS_NOT_AVAILABLE = 83, retriable;
    /// There is nothing to elect.
    ELECTION_NOT_NEEDED = 84, retriable;
    /// No reassignment is under way.
    NO_REASSIGNMENT_IN_PROGRESS = 85;
    /// The group is subscribed to the topic.
    GROUP_SUBSCRIBED_TO_TOPIC = 86;
    /// A record is invalid.
    INVALID_RECORD = 87;
    /// An open transaction may still change the offset.
    UNSTABLE_OFFSET_COMMIT = 88, retriable;
    /// A quota is used up.
    THROTTLING_QUOTA_EXCEEDED = 89, retriable;
    /// A newer producer has the transactional id.
    PRODUCER_FENCED = 90;
    /// The resource does not exist.
    RESOURCE_NOT_FOUND = 91;
    /// The resource exists, or was named twice.
    DUPLICATE_RESOURCE = 92;
    /// The credential is not acceptable.
    UNACCEPTABLE_CREDENTIAL = 93;
    /// The sets of voters differ.
    INCONSISTENT_VOTER_SET = 94;
    /// The update has a wrong version.
    INVALID_UPDATE_VERSION = 95;
    /// The features could not be changed.
    FEATURE_UPDATE_FAILED = 96;
    /// The principal of a forwarded request cannot be read.
    PRINCIPAL_DESERIALIZATION_FAILURE = 97;
    /// The snapshot does not exist.
    SNAPSHOT_NOT_FOUND = 98;
    /// The position is outside the snapshot.
    POSITION_OUT_OF_RANGE = 99;
    /// The topic id is not known here.
    UNKNOWN_TOPIC_ID = 100, retriable;
    /// The broker id is taken.
    DUPLICATE_BROKER_REGISTRATION = 101;
    /// The broker id is not registered.
    BROKER_ID_NOT_REGISTERED = 102;
    /// The log has another topic id.
    INCONSISTENT_TOPIC_ID = 103, retriable;
    /// The cluster id is another.
    INCONSISTENT_CLUSTER_ID = 104;
    /// The transactional id is not known.
    TRANSACTIONAL_ID_NOT_FOUND = 105;
    /// The topic ids of the fetch session have changed.
    FETCH_SESSION_TOPIC_ID_ERROR = 106, retriable;
    /// The replica cannot be in sync.
    INELIGIBLE_REPLICA = 107;
    /// A new leader was elected.
    NEW_LEADER_ELECTED = 108;
    /// The offset is in tiered storage.
    OFFSET_MOVED_TO_TIERED_STORAGE = 109;
    /// The member epoch is an older one: join again.
    FENCED_MEMBER_EPOCH = 110;
    /// The instance id is still taken.
    UNRELEASED_INSTANCE_ID = 111;
    /// The assignor is not supported.
    UNSUPPORTED_ASSIGNOR = 112;
    /// The member epoch is stale: ask again.
    STALE_MEMBER_EPOCH = 113;
    /// The request went to the wrong kind of endpoint.
    MISMATCHED_ENDPOINT_TYPE = 114;
    /// The kind of endpoint is not supported.
    UNSUPPORTED_ENDPOINT_TYPE = 115;
    /// The controller id is not known.
    UNKNOWN_CONTROLLER_ID = 116;
    /// The telemetry subscription is not known.
    UNKNOWN_SUBSCRIPTION_ID = 117;
    /// The telemetry is larger than allowed.
    TELEMETRY_TOO_LARGE = 118;
    /// The registration is invalid.
    INVALID_REGISTRATION = 119;
    /// The transaction must be aborted, then all is well.
    TRANSACTION_ABORTABLE = 120;
    /// The record's state does not allow it.
    INVALID_RECORD_STATE = 121;
    /// The share session does not exist.
    SHARE_SESSION_NOT_FOUND = 122, retriable;
    /// The epoch of the share session is wrong.
    INVALID_SHARE_SESSION_EPOCH = 123, retriable;
    /// The state epoch is an older one.
    FENCED_STATE_EPOCH = 124;
    /// The voter's key is wrong.
    INVALID_VOTER_KEY = 125;
    /// The voter is one already.
    DUPLICATE_VOTER = 126;
    /// The voter is not known.
    VOTER_NOT_FOUND = 127;
    /// The regular expression is invalid.
    INVALID_REGULAR_EXPRESSION = 128;
    /// The client must start again from its bootstrap servers.
    REBOOTSTRAP_REQUIRED = 129;
    /// The topology is invalid.
    STREAMS_INVALID_TOPOLOGY = 130;
    /// The topology epoch is invalid.
    STREAMS_INVALID_TOPOLOGY_EPOCH = 131;
    /// The topology epoch is an older one.
    STREAMS_TOPOLOGY_FENCED = 132;
    /// There are too many share sessions.
    SHARE_SESSION_LIMIT_REACHED = 133, retriable;
}

impl ErrorCode {
    /// Whether this is [`ErrorCode::NONE`].
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether this is an error.
    pub const fn is_error(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_there_once_and_in_order() {
        let codes: Vec<i16> = ErrorCode::ALL.iter().map(|code| code.0).collect();
        assert_eq!(codes, (-1..=133).collect::<Vec<_>>());
    }

    #[test]
    fn codes_have_names() {
        let cases = [
            (ErrorCode::NONE, "NONE (0)", false),
            (ErrorCode::UNKNOWN_SERVER_ERROR, "UNKNOWN_SERVER_ERROR (-1)", false),
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "UNKNOWN_TOPIC_OR_PARTITION (3)", true),
            (ErrorCode::NOT_LEADER_OR_FOLLOWER, "NOT_LEADER_OR_FOLLOWER (6)", true),
            (ErrorCode::REBALANCE_IN_PROGRESS, "REBALANCE_IN_PROGRESS (27)", false),
            (ErrorCode::CONCURRENT_TRANSACTIONS, "CONCURRENT_TRANSACTIONS (51)", true),
            (ErrorCode::SHARE_SESSION_LIMIT_REACHED, "SHARE_SESSION_LIMIT_REACHED (133)", true),
            (ErrorCode(9999), "UNKNOWN (9999)", false),
        ];
        for (code, text, retriable) in cases {
            assert_eq!(code.to_string(), text);
            assert_eq!(code.is_retriable(), retriable, "{code}");
            assert_eq!(code.is_error(), code.0 != 0);
        }
    }
}

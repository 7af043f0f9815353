//! The APIs of Kafka 4.3: their keys, their versions, and from which version on they are flexible.
//!
//! All of Kafka's keys are named, so that logs and tools can name what a foreign client asks for. Those with a message
//! in [`crate::messages`] can be decoded; what a broker lists is the broker's decision.

use std::fmt;
use std::ops::RangeInclusive;

/// `Name = key, versions, flexible from..;`, with nothing after `flexible` where no version is.
macro_rules! apis {
    ($( $name:ident = $key:literal, $versions:expr, flexible $($flexible:expr)?; )*) => {
        /// Which API a request calls.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        #[non_exhaustive]
        pub enum ApiKey {
            $( #[doc = concat!("API key ", $key, ".")] $name = $key, )*
        }

        impl ApiKey {
            /// Every API, in the order of the keys.
            pub const ALL: &'static [ApiKey] = &[$( ApiKey::$name ),*];

            /// The API with a key.
            pub const fn from_i16(key: i16) -> Option<ApiKey> {
                match key {
                    $( $key => Some(ApiKey::$name), )*
                    _ => None,
                }
            }

            /// Kafka's name of the API.
            pub const fn name(self) -> &'static str {
                match self {
                    $( ApiKey::$name => stringify!($name), )*
                }
            }

            /// The versions that a broker of Kafka 4.3 lists. Produce is listed from 0 for the sake of old librdkafka
            /// (KAFKA-18659), but works from 3 on.
            pub const fn versions(self) -> RangeInclusive<i16> {
                match self {
                    $( ApiKey::$name => $versions, )*
                }
            }

            /// The first version with compact lengths and tagged fields; `i16::MAX` if there is none.
            pub const fn first_flexible_version(self) -> i16 {
                match self {
                    $( ApiKey::$name => apis!(@first $($flexible)?), )*
                }
            }
        }
    };
    (@first) => { i16::MAX };
    (@first $flexible:expr) => { ($flexible).start };
}

apis! {
    Produce = 0, 0..=13, flexible 9..;
    Fetch = 1, 4..=18, flexible 12..;
    ListOffsets = 2, 1..=11, flexible 6..;
    Metadata = 3, 0..=13, flexible 9..;
    OffsetCommit = 8, 2..=10, flexible 8..;
    OffsetFetch = 9, 1..=10, flexible 6..;
    FindCoordinator = 10, 0..=6, flexible 3..;
    JoinGroup = 11, 0..=9, flexible 6..;
    Heartbeat = 12, 0..=4, flexible 4..;
    LeaveGroup = 13, 0..=5, flexible 4..;
    SyncGroup = 14, 0..=5, flexible 4..;
    DescribeGroups = 15, 0..=6, flexible 5..;
    ListGroups = 16, 0..=5, flexible 3..;
    SaslHandshake = 17, 0..=1, flexible;
    ApiVersions = 18, 0..=4, flexible 3..;
    CreateTopics = 19, 2..=7, flexible 5..;
    DeleteTopics = 20, 1..=6, flexible 4..;
    DeleteRecords = 21, 0..=2, flexible 2..;
    InitProducerId = 22, 0..=5, flexible 2..;
    OffsetForLeaderEpoch = 23, 2..=4, flexible 4..;
    AddPartitionsToTxn = 24, 0..=5, flexible 3..;
    AddOffsetsToTxn = 25, 0..=4, flexible 3..;
    EndTxn = 26, 0..=5, flexible 3..;
    WriteTxnMarkers = 27, 1..=2, flexible 1..;
    TxnOffsetCommit = 28, 0..=5, flexible 3..;
    DescribeAcls = 29, 1..=3, flexible 2..;
    CreateAcls = 30, 1..=3, flexible 2..;
    DeleteAcls = 31, 1..=3, flexible 2..;
    DescribeConfigs = 32, 1..=4, flexible 4..;
    AlterConfigs = 33, 0..=2, flexible 2..;
    AlterReplicaLogDirs = 34, 1..=2, flexible 2..;
    DescribeLogDirs = 35, 1..=5, flexible 2..;
    SaslAuthenticate = 36, 0..=2, flexible 2..;
    CreatePartitions = 37, 0..=3, flexible 2..;
    CreateDelegationToken = 38, 1..=3, flexible 2..;
    RenewDelegationToken = 39, 1..=2, flexible 2..;
    ExpireDelegationToken = 40, 1..=2, flexible 2..;
    DescribeDelegationToken = 41, 1..=3, flexible 2..;
    DeleteGroups = 42, 0..=2, flexible 2..;
    ElectLeaders = 43, 0..=2, flexible 2..;
    IncrementalAlterConfigs = 44, 0..=1, flexible 1..;
    AlterPartitionReassignments = 45, 0..=1, flexible 0..;
    ListPartitionReassignments = 46, 0..=0, flexible 0..;
    OffsetDelete = 47, 0..=0, flexible;
    DescribeClientQuotas = 48, 0..=1, flexible 1..;
    AlterClientQuotas = 49, 0..=1, flexible 1..;
    DescribeUserScramCredentials = 50, 0..=0, flexible 0..;
    AlterUserScramCredentials = 51, 0..=0, flexible 0..;
    Vote = 52, 0..=2, flexible 0..;
    BeginQuorumEpoch = 53, 0..=1, flexible 1..;
    EndQuorumEpoch = 54, 0..=1, flexible 1..;
    DescribeQuorum = 55, 0..=2, flexible 0..;
    AlterPartition = 56, 2..=3, flexible 0..;
    UpdateFeatures = 57, 0..=2, flexible 0..;
    Envelope = 58, 0..=0, flexible 0..;
    FetchSnapshot = 59, 0..=1, flexible 0..;
    DescribeCluster = 60, 0..=2, flexible 0..;
    DescribeProducers = 61, 0..=0, flexible 0..;
    BrokerRegistration = 62, 0..=4, flexible 0..;
    BrokerHeartbeat = 63, 0..=2, flexible 0..;
    UnregisterBroker = 64, 0..=0, flexible 0..;
    DescribeTransactions = 65, 0..=0, flexible 0..;
    ListTransactions = 66, 0..=2, flexible 0..;
    AllocateProducerIds = 67, 0..=0, flexible 0..;
    ConsumerGroupHeartbeat = 68, 0..=1, flexible 0..;
    ConsumerGroupDescribe = 69, 0..=1, flexible 0..;
    ControllerRegistration = 70, 0..=0, flexible 0..;
    GetTelemetrySubscriptions = 71, 0..=0, flexible 0..;
    PushTelemetry = 72, 0..=0, flexible 0..;
    AssignReplicasToDirs = 73, 0..=0, flexible 0..;
    ListConfigResources = 74, 0..=1, flexible 0..;
    DescribeTopicPartitions = 75, 0..=0, flexible 0..;
    ShareGroupHeartbeat = 76, 1..=1, flexible 0..;
    ShareGroupDescribe = 77, 1..=1, flexible 0..;
    ShareFetch = 78, 1..=2, flexible 0..;
    ShareAcknowledge = 79, 1..=2, flexible 0..;
    AddRaftVoter = 80, 0..=1, flexible 0..;
    RemoveRaftVoter = 81, 0..=0, flexible 0..;
    UpdateRaftVoter = 82, 0..=0, flexible 0..;
    InitializeShareGroupState = 83, 0..=0, flexible 0..;
    ReadShareGroupState = 84, 0..=0, flexible 0..;
    WriteShareGroupState = 85, 0..=1, flexible 0..;
    DeleteShareGroupState = 86, 0..=0, flexible 0..;
    ReadShareGroupStateSummary = 87, 0..=1, flexible 0..;
    StreamsGroupHeartbeat = 88, 0..=0, flexible 0..;
    StreamsGroupDescribe = 89, 0..=0, flexible 0..;
    DescribeShareGroupOffsets = 90, 0..=1, flexible 0..;
    AlterShareGroupOffsets = 91, 0..=0, flexible 0..;
    DeleteShareGroupOffsets = 92, 0..=0, flexible 0..;
}

impl ApiKey {
    /// The version of the header before a request: 2 if the version is flexible, else 1.
    pub const fn request_header_version(self, version: i16) -> i16 {
        if version >= self.first_flexible_version() { 2 } else { 1 }
    }

    /// The version of the header before a response: 1 if the version is flexible, else 0. A client reads the answer
    /// to ApiVersions before it knows the broker, so that one stays at 0.
    pub const fn response_header_version(self, version: i16) -> i16 {
        if version >= self.first_flexible_version() && !matches!(self, ApiKey::ApiVersions) { 1 } else { 0 }
    }
}

impl From<ApiKey> for i16 {
    fn from(key: ApiKey) -> i16 {
        key as i16
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_from_numbers() {
        for key in ApiKey::ALL {
            assert_eq!(ApiKey::from_i16(i16::from(*key)), Some(*key));
            assert!(!key.versions().is_empty(), "{key}");
        }
        // Those of ZooKeeper's time, those of Kafka 4.4, and nonsense.
        for key in [-1, 4, 5, 6, 7, 93, 94, 1000, i16::MAX] {
            assert_eq!(ApiKey::from_i16(key), None);
        }
    }

    #[test]
    fn headers_follow_the_flexible_versions() {
        let cases = [
            (ApiKey::Produce, 8, 1, 0),
            (ApiKey::Produce, 9, 2, 1),
            (ApiKey::ApiVersions, 2, 1, 0),
            (ApiKey::ApiVersions, 4, 2, 0),
            (ApiKey::SaslHandshake, 1, 1, 0),
            (ApiKey::DescribeCluster, 0, 2, 1),
        ];
        for (key, version, request, response) in cases {
            assert_eq!(key.request_header_version(version), request, "{key} {version}");
            assert_eq!(key.response_header_version(version), response, "{key} {version}");
        }
    }
}

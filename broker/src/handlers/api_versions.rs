//! ApiVersions (18): which APIs in which versions, and which features.
//!
//! The first question of every client, and the most peculiar answer: its header is always of version 0, a version the
//! broker does not know is answered *in version 0* with error 35 and the versions of this one API (KIP-511), and Produce
//! is listed from version 0 although it works from 3 on, because old librdkafka concludes from it what may be
//! compressed (KAFKA-18659). Features with a minimum of 0 are left out below version 4, whose clients refuse them
//! (KAFKA-17011).

use std::sync::Arc;

use anabranch_protocol::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use anabranch_protocol::{ApiKey, ErrorCode};

use super::SERVED;
use crate::metadata::{METADATA_VERSION, TRANSACTION_VERSION};
use crate::node::Node;
use crate::reply::{Answering, Reply, RequestContext};

/// A feature: its name, the levels there are, and the level that is in force.
struct Feature {
    name: &'static str,
    levels: (i16, i16),
    finalized: i16,
}

/// Clients read `transaction.version` (from 2 on they end transactions in the new way, KIP-890); the others are shown
/// by tools. A level is in force only when what it promises is there. `metadata.version` says which records the
/// metadata log may hold: 4.3's.
const FEATURES: &[Feature] = &[
    Feature { name: "group.version", levels: (0, 0), finalized: 0 },
    Feature { name: "kraft.version", levels: (0, 0), finalized: 0 },
    Feature { name: "metadata.version", levels: (7, METADATA_VERSION), finalized: METADATA_VERSION },
    Feature { name: "transaction.version", levels: (0, TRANSACTION_VERSION), finalized: TRANSACTION_VERSION },
];

pub(super) fn handle(_: &Arc<Node>, request: &RequestContext<'_>, message: ApiVersionsRequest<'_>) -> Reply {
    let version = request.api_version();
    if version >= 3
        && !(is_software_name(message.client_software_name)
            && is_software_name(message.client_software_version))
    {
        return request
            .answer(&ApiVersionsResponse { error_code: ErrorCode::INVALID_REQUEST, ..Default::default() });
    }
    let supported = FEATURES.iter().filter(|feature| version >= 4 || feature.levels.0 > 0);
    request.answer(&ApiVersionsResponse {
        api_keys: SERVED.iter().map(|api_key| versions_of(*api_key)).collect(),
        supported_features: supported
            .map(|feature| SupportedFeatureKey {
                name: feature.name,
                min_version: feature.levels.0,
                max_version: feature.levels.1,
            })
            .collect(),
        finalized_features_epoch: 0,
        finalized_features: FEATURES
            .iter()
            .filter(|feature| feature.finalized > 0)
            .map(|feature| FinalizedFeatureKey {
                name: feature.name,
                max_version_level: feature.finalized,
                min_version_level: feature.finalized,
            })
            .collect(),
        ..Default::default()
    })
}

/// The answer to a version that is not known.
pub(super) fn unsupported_version(answering: Answering) -> Reply {
    let answering = Answering { api_version: 0, ..answering };
    Reply::Now(answering.encode(&ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: vec![versions_of(ApiKey::ApiVersions)],
        ..Default::default()
    }))
}

fn versions_of(api_key: ApiKey) -> ApiVersion {
    let versions = api_key.versions();
    ApiVersion { api_key: api_key.into(), min_version: *versions.start(), max_version: *versions.end() }
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`, as KIP-511 has it.
fn is_software_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    name.bytes().all(inner) && ends(name.as_bytes().first()) && ends(name.as_bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_those_of_kip_511() {
        for (name, fits) in [
            ("librdkafka", true),
            ("a", true),
            ("2.16.1-x", true),
            ("", false),
            ("-a", false),
            ("a.", false),
            ("a b", false),
            ("a\n", false),
        ] {
            assert_eq!(is_software_name(name), fits, "{name:?}");
        }
    }
}

//! The tables: API keys with their versions, error codes with their names.

use anabranch_protocol::{ApiKey, ErrorCode};
use kacrab_protocol::generated as kacrab;
use kacrab_protocol::version::{request_header_version, response_header_version};
use kafka_protocol::ResponseError;

#[test]
fn kacrab_has_the_same_apis() {
    for number in -1..200 {
        let (ours, theirs) = (ApiKey::from_i16(number), kacrab::ApiKey::from_i16(number));
        assert_eq!(ours.is_some(), theirs.is_some(), "{number}: {ours:?} {theirs:?}");
        let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        let info = kacrab::client_api_info(theirs);
        let versions = match ours {
            // Brokers list it from 0.
            ApiKey::Produce => 0..=info.max_version,
            // Version 6 is not stable yet, brokers do not list it.
            ApiKey::InitProducerId => info.min_version..=5,
            _ => info.min_version..=info.max_version,
        };
        assert_eq!(ours.versions(), versions, "{ours}");
        for version in versions {
            assert_eq!(
                ours.request_header_version(version),
                request_header_version(number, version),
                "{ours} {version}"
            );
            assert_eq!(
                ours.response_header_version(version),
                response_header_version(number, version),
                "{ours} {version}"
            );
        }
    }
}

#[test]
fn kafka_protocol_has_the_same_error_codes() {
    for code in ErrorCode::ALL {
        let Some(theirs) = ResponseError::try_from_code(code.0) else {
            assert_eq!(*code, ErrorCode::NONE);
            continue;
        };
        let letters = code.name().replace('_', "").to_ascii_lowercase();
        assert_eq!(format!("{theirs:?}").to_ascii_lowercase(), letters, "{code}");
        // Kafka's ConcurrentTransactionsException has become retriable since.
        let retriable = theirs.is_retriable() || *code == ErrorCode::CONCURRENT_TRANSACTIONS;
        assert_eq!(code.is_retriable(), retriable, "{code}");
    }
}

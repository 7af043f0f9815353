//! Frames, headers, versions: what comes before any meaning.

use anabranch_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use anabranch_protocol::messages::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use anabranch_protocol::messages::metadata::{MetadataRequest, MetadataResponse};
use anabranch_protocol::{ApiKey, ErrorCode};

use super::{Raw, with_broker};

fn api_versions() -> ApiVersionsRequest<'static> {
    ApiVersionsRequest { client_software_name: "raw", client_software_version: "1.0" }
}

#[test]
fn every_version_of_api_versions_lists_produce_from_0_and_nothing_unserved() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        for version in 0..=4 {
            let answer = raw.call(version, &api_versions()).await;
            let response: ApiVersionsResponse<'_> = answer.decode();
            assert_eq!(response.error_code, ErrorCode::NONE);
            let versions = |api_key: ApiKey| {
                let listed = response.api_keys.iter().find(|listed| listed.api_key == i16::from(api_key));
                listed.map(|listed| (listed.min_version, listed.max_version))
            };
            assert_eq!(versions(ApiKey::ApiVersions), Some((0, 4)));
            assert_eq!(versions(ApiKey::Metadata), Some((0, 13)));
            for never in [
                ApiKey::GetTelemetrySubscriptions,
                ApiKey::PushTelemetry,
                ApiKey::Vote,
                ApiKey::AllocateProducerIds,
            ] {
                assert_eq!(versions(never), None, "clients call what is listed: {never}");
            }
            if version >= 3 {
                let finalized =
                    |name| response.finalized_features.iter().find(|feature| feature.name == name);
                let transactions = finalized("transaction.version").map(|level| level.max_version_level);
                assert_eq!(transactions, Some(2), "clients end transactions in the new way (KIP-890)");
                assert!(finalized("group.version").is_none());
                assert!(finalized("metadata.version").is_some());
                assert!(response.finalized_features_epoch >= 0);
                let zero =
                    response.supported_features.iter().filter(|feature| feature.min_version == 0).count();
                assert_eq!(zero > 0, version >= 4, "KAFKA-17011: version 3 cannot take a minimum of 0");
            }
        }
    });
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        // What a client of the future sends: version 99, a flexible header, a body nobody knows.
        let mut request = vec![0, 18, 0, 99, 0, 0, 0, 42, 0, 3, b'r', b'a', b'w', 0, 1, 2, 3];
        let length = (request.len() as i32).to_be_bytes();
        request.splice(0..0, length);
        raw.send_bytes(&request).await;
        let frame = raw.receive_frame().await.unwrap();
        assert_eq!(
            frame[..],
            [0, 0, 0, 42, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4],
            "header 0, error 35, one entry: {{18, 0, 4}}"
        );
        // The connection goes on.
        assert_eq!(
            raw.call(3, &api_versions()).await.decode::<ApiVersionsResponse<'_>>().error_code,
            ErrorCode::NONE
        );
    });
}

#[test]
fn a_software_name_that_is_none_is_an_invalid_request() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let request = ApiVersionsRequest { client_software_name: "raw!", ..api_versions() };
        let answer = raw.call(3, &request).await;
        assert_eq!(answer.decode::<ApiVersionsResponse<'_>>().error_code, ErrorCode::INVALID_REQUEST);
    });
}

#[test]
fn requests_sent_in_one_go_are_answered_in_their_order() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let mut sent = Vec::new();
        for round in 0..50 {
            sent.push(match round % 3 {
                0 => (ApiKey::ApiVersions, 3, raw.send(3, &api_versions()).await),
                1 => (ApiKey::DescribeCluster, 1, raw.send(1, &DescribeClusterRequest::default()).await),
                _ => (ApiKey::Metadata, 9, raw.send(9, &MetadataRequest::default()).await),
            });
        }
        for (api_key, version, correlation_id) in sent {
            raw.receive(api_key, version, correlation_id).await;
        }
    });
}

#[test]
fn bytes_that_are_not_the_protocol_close_that_connection_and_no_other() {
    let huge = (100 * 1024 * 1024 + 1i32).to_be_bytes();
    let cases: &[(&str, &[u8])] = &[
        ("a negative length", &[0xff, 0xff, 0xff, 0xff]),
        ("a length over socket.request.max.bytes", &huge),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n"),
        ("TLS", &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0, 0, 0, 0, 0]),
        ("an empty frame", &[0, 0, 0, 0]),
        ("an unknown API key", &[0, 0, 0, 10, 0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff]),
        ("an API of ZooKeeper's time", &[0, 0, 0, 10, 0, 4, 0, 0, 0, 0, 0, 1, 0xff, 0xff]),
        ("an unsupported version of Metadata", &[0, 0, 0, 10, 0, 3, 0, 14, 0, 0, 0, 1, 0xff, 0xff]),
        ("a negative version", &[0, 0, 0, 10, 0, 3, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff]),
        (
            "an array that the frame cannot hold",
            &[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff],
        ),
    ];
    with_broker("", async |host, broker| {
        let mut other = Raw::connect(host, broker).await;
        other.call(3, &api_versions()).await;
        for (name, bytes) in cases {
            let mut raw = Raw::connect(host, broker).await;
            raw.send_bytes(bytes).await;
            assert!(raw.is_closed().await, "{name}");
            let answer = other.call(3, &api_versions()).await;
            assert_eq!(
                answer.decode::<ApiVersionsResponse<'_>>().error_code,
                ErrorCode::NONE,
                "after {name}"
            );
        }
    });
}

#[test]
fn answers_before_a_bad_request_still_leave() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let correlation_id = raw.send(3, &api_versions()).await;
        raw.send_bytes(&[0xff, 0xff, 0xff, 0xff]).await;
        raw.receive(ApiKey::ApiVersions, 3, correlation_id).await;
        assert!(raw.is_closed().await);
    });
}

#[test]
fn a_request_may_come_byte_by_byte() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let request = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0, 0, 0, 0];
        for byte in request {
            raw.send_bytes(&[byte]).await;
        }
        let answer = raw.receive(ApiKey::Metadata, 1, 9).await;
        assert!(answer.decode::<MetadataResponse<'_>>().topics.is_empty());
    });
}

#[test]
fn an_idle_connection_is_closed() {
    with_broker("connections.max.idle.ms=50", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        raw.call(3, &api_versions()).await;
        assert!(raw.is_closed().await);
    });
}

#[test]
fn the_cluster_has_an_id_and_one_broker_where_the_client_came_in() {
    with_broker(
        "node.id=5\nadvertised.listeners=PLAINTEXT://broker.example:1234\nbroker.rack=r",
        async |host, broker| {
            let mut raw = Raw::connect(host, broker).await;
            for version in 0..=13 {
                let answer = raw
                    .call(version, &MetadataRequest { topics: Some(Vec::new()), ..Default::default() })
                    .await;
                let response: MetadataResponse<'_> = answer.decode();
                let broker = &response.brokers[0];
                assert_eq!((broker.node_id, broker.host, broker.port), (5, "broker.example", 1234));
                if version >= 1 {
                    assert_eq!((broker.rack, response.controller_id), (Some("r"), 5));
                }
                if version >= 2 {
                    assert_eq!(response.cluster_id.map(str::len), Some(22));
                }
            }
            let answer =
                raw.call(2, &DescribeClusterRequest { endpoint_type: 1, ..Default::default() }).await;
            let response: DescribeClusterResponse<'_> = answer.decode();
            assert_eq!((response.brokers.len(), response.controller_id), (1, 5));
            let answer =
                raw.call(1, &DescribeClusterRequest { endpoint_type: 2, ..Default::default() }).await;
            let response: DescribeClusterResponse<'_> = answer.decode();
            assert_eq!(response.error_code, ErrorCode::MISMATCHED_ENDPOINT_TYPE);
        },
    );
}

#[test]
fn a_client_of_a_listener_on_all_addresses_is_told_the_one_it_came_to() {
    with_broker("listeners=PLAINTEXT://0.0.0.0:0", async |host, broker| {
        let port = broker.broker().listen().await.unwrap()[0].port;
        let mut raw = Raw::over(host, host.connect(&format!("127.0.0.1:{port}")).await.unwrap());
        let answer = raw.call(13, &MetadataRequest { topics: Some(Vec::new()), ..Default::default() }).await;
        let response: MetadataResponse<'_> = answer.decode();
        assert_eq!((response.brokers[0].host, response.brokers[0].port), ("127.0.0.1", i32::from(port)));
    });
}

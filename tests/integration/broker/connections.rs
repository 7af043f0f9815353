//! Connections over TCP that mean no good: too many, too slow, too large. Each is closed, and nobody else notices.

use std::time::Duration;

use anabranch_broker::EmbeddedBroker;
use anabranch_host::Host;
use anabranch_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use anabranch_protocol::records::Compression;
use anabranch_protocol::{ErrorCode, Request, RequestHeader, encode_request};

use super::topics::create;
use super::{Raw, batch, produce, produce_request, with_broker};

/// Serves TCP as well, and gives the address.
async fn listen(host: &Host, broker: &EmbeddedBroker) -> String {
    let listener = host.listen("127.0.0.1:0").await.unwrap();
    let address = format!("127.0.0.1:{}", listener.port().unwrap());
    broker.broker().serve(listener);
    address
}

async fn connect(host: &Host, address: &str) -> Raw {
    Raw::over(host, host.connect(address).await.unwrap())
}

async fn is_served(raw: &mut Raw) -> bool {
    let request = ApiVersionsRequest { client_software_name: "raw", client_software_version: "1" };
    raw.call(3, &request).await.decode::<ApiVersionsResponse<'_>>().error_code == ErrorCode::NONE
}

#[test]
fn an_address_has_so_many_connections_and_gets_another_when_one_is_closed() {
    let keys = "max.connections.per.ip=0\nmax.connections.per.ip.overrides=127.0.0.1:2";
    with_broker(keys, async |host, broker| {
        let address = listen(host, broker).await;
        let (mut first, mut second) = (connect(host, &address).await, connect(host, &address).await);
        assert!(is_served(&mut first).await && is_served(&mut second).await);
        assert!(connect(host, &address).await.is_closed().await, "a third is closed at once");
        // Those within the process have no address.
        assert!(is_served(&mut Raw::connect(host, broker).await).await);
        drop(first);
        let deadline = host.now() + Duration::from_secs(20);
        loop {
            let mut again = connect(host, &address).await;
            let request = ApiVersionsRequest { client_software_name: "raw", client_software_version: "1" };
            let header = RequestHeader::new(ApiVersionsRequest::KEY, 3, 1, None);
            let sent = again.try_send_bytes(&encode_request(&header, &request).into_bytes()).await;
            if sent && !again.is_closed().await {
                break;
            }
            assert!(host.now() < deadline, "the place of the closed connection is never free");
            host.sleep(Duration::from_millis(5)).await;
        }
        assert!(is_served(&mut second).await);
    });
}

#[test]
fn half_requests_are_cut_off_and_the_whole_ones_of_others_go_on() {
    // Both ends of each are in this process.
    let stalled_connections = if std::env::var_os("ANABRANCH_FULL").is_some() { 8000 } else { 100 };
    with_broker("socket.request.timeout.ms=500", async |host, broker| {
        let address = listen(host, broker).await;
        let mut honest = connect(host, &address).await;
        create(&mut honest, "t", 1, &[]).await;
        let whole = encode_request(
            &RequestHeader::new(anabranch_protocol::ApiKey::Produce, 9, 1, None),
            &produce_request("t", -1, batch(Compression::None, &["a"; 1000]).freeze()),
        )
        .into_bytes();
        let mut stalled = Vec::new();
        for index in 0..stalled_connections {
            let mut raw = connect(host, &address).await;
            raw.send_bytes(&whole[..1 + index % (whole.len() - 1)]).await;
            stalled.push(raw);
        }
        for index in 0..100 {
            let produced = produce(&mut honest, "t", batch(Compression::None, &["a"])).await;
            assert_eq!((produced.error_code, produced.base_offset), (ErrorCode::NONE, index));
        }
        for mut raw in stalled {
            assert!(raw.is_closed().await);
        }
        assert!(is_served(&mut honest).await, "silence between requests is no slowness");
    });
}

#[test]
fn many_large_requests_at_once_are_all_answered_within_little_memory() {
    let (clients, mib) = if std::env::var_os("ANABRANCH_FULL").is_some() { (100, 99) } else { (20, 3) };
    let keys = "queued.max.request.bytes=4194304\nmessage.max.bytes=104857600";
    with_broker(keys, async |host, broker| {
        let address = listen(host, broker).await;
        let mut other = connect(host, &address).await;
        create(&mut other, "t", 1, &[]).await;
        produce(&mut other, "t", batch(Compression::None, &["first"])).await;
        let value = "v".repeat(mib << 20);
        let request = batch(Compression::None, &[&value]).freeze();
        drop(value);
        let sending: Vec<_> = (0..clients)
            .map(|_| {
                let (host, address, request) = (host.clone(), address.clone(), request.clone());
                let client = host.clone();
                host.spawn(async move {
                    let mut raw = connect(&client, &address).await;
                    let answer = raw.call(9, &produce_request("t", -1, request)).await;
                    let response: anabranch_protocol::messages::produce::ProduceResponse<'_> =
                        answer.decode();
                    response.responses[0].partition_responses[0].error_code
                })
            })
            .collect();
        for client in sending {
            assert_eq!(client.await.unwrap(), ErrorCode::NONE);
            assert!(is_served(&mut other).await);
        }
        let produced = produce(&mut other, "t", batch(Compression::None, &["last"])).await;
        assert_eq!(produced.base_offset, 1 + clients);
    });
}

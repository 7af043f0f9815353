//! The built server in a crowd: thousands of connections at once, and many requests as large as may be. It answers all of
//! them, others meanwhile, and its memory stays within bounds.
//!
//! A small form; `ANABRANCH_FULL=1` makes 10,000 connections and a hundred requests of almost 100 MiB.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../kill_9/process.rs"]
#[allow(dead_code, reason = "the server here is neither killed nor started again")]
mod process;

use std::time::Duration;

use anabranch_host::{ByteStream, Host};
use anabranch_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use anabranch_protocol::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use anabranch_protocol::records::{BatchBuilder, Compression};
use anabranch_protocol::{
    Decoder, ErrorCode, Message, Request, RequestHeader, ResponseHeader, Uuid, encode_request, frame,
};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use process::Server;

/// How long anything may take, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(300);

fn is_full() -> bool {
    std::env::var_os("ANABRANCH_FULL").is_some()
}

fn frame_of<'a, R: Request<'a>>(version: i16, request: &R) -> Bytes {
    encode_request(&RequestHeader::new(R::KEY, version, 1, Some("crowd")), request).into_bytes()
}

/// Sends a request that is ready, and waits for the answer to it.
async fn call(stream: &mut ByteStream, request: &[u8]) -> Bytes {
    stream.write_all(request).await.unwrap();
    let mut arrived = BytesMut::new();
    loop {
        if let Some(frame) = frame::take_frame(&mut arrived, usize::MAX).unwrap() {
            return frame;
        }
        assert!(stream.read_buf(&mut arrived).await.unwrap() > 0, "the server closed the connection");
    }
}

fn decode<'a, R: Request<'a>, T>(answer: &Bytes, version: i16, look: impl FnOnce(R::Response<'_>) -> T) -> T {
    let mut decoder = Decoder::new(answer);
    ResponseHeader::decode(&mut decoder, R::KEY, version).unwrap();
    look(R::Response::decode(&mut decoder, version).unwrap())
}

async fn is_served(stream: &mut ByteStream) -> bool {
    let request =
        frame_of(3, &ApiVersionsRequest { client_software_name: "crowd", client_software_version: "1" });
    let answer = call(stream, &request).await;
    decode::<ApiVersionsRequest<'_>, _>(&answer, 3, |response: ApiVersionsResponse<'_>| {
        response.error_code.is_none()
    })
}

/// A request to append one record of so many bytes to a topic that takes it.
fn produce(topic: &str, value_bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(1000, None, Some(&vec![b'v'; value_bytes]), []).unwrap();
    let partition_data = vec![PartitionProduceData { index: 0, records: Some(builder.finish().freeze()) }];
    let topic_data = vec![TopicProduceData { name: topic, topic_id: Uuid::ZERO, partition_data }];
    frame_of(9, &ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 300_000, topic_data })
}

fn produced(answer: &Bytes) -> ErrorCode {
    decode::<ProduceRequest<'_>, _>(answer, 9, |response: ProduceResponse<'_>| {
        response.responses[0].partition_responses[0].error_code
    })
}

/// The most memory the process has had, in MiB.
#[allow(clippy::disallowed_methods, reason = "looks at another process, of this machine")]
fn peak_mib(process_id: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() / 1024
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "what a process takes is read from /proc")]
fn connections_by_the_thousand_and_requests_of_all_sizes_take_bounded_memory() {
    let (connections, senders, mib, bound_mib) =
        if is_full() { (9_900, 100, 98, 800) } else { (500, 10, 10, 200) };
    let (host, runtime) = Host::real(2).unwrap();
    let directory = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let server = Server::start(&host, directory.path(), &["message.max.bytes=104857600".to_string()], None).await;
        let address = server.address();
        let connect = async || host.connect(&address).await.unwrap();
        let mut honest = connect().await;
        // Made on first use; the default is one partition.
        let small = produce("t", 10);
        make_topic(&mut honest, "t").await;
        assert_eq!(produced(&call(&mut honest, &small).await), ErrorCode::NONE);

        let mut crowd = Vec::with_capacity(connections);
        for _ in 0..connections {
            let mut stream = connect().await;
            assert!(is_served(&mut stream).await);
            crowd.push(stream);
        }
        let with_crowd = peak_mib(server.process_id());

        let large = produce("t", mib << 20);
        let sending: Vec<_> = (0..senders)
            .map(|_| {
                let (client, address, large) = (host.clone(), address.clone(), large.clone());
                host.spawn(async move {
                    let mut stream = client.connect(&address).await.unwrap();
                    produced(&call(&mut stream, &large).await)
                })
            })
            .collect();
        // Who asks for little is served all the while.
        for sender in sending {
            assert_eq!(produced(&call(&mut honest, &small).await), ErrorCode::NONE);
            assert_eq!(host.timeout(PATIENCE, sender).await.unwrap().unwrap(), ErrorCode::NONE);
        }
        for stream in &mut crowd {
            assert!(is_served(stream).await, "nobody was cut off");
        }
        let peak = peak_mib(server.process_id());
        println!(
            "{connections} connections: {with_crowd} MiB at most; with {senders} requests of {mib} MiB: {peak} MiB"
        );
        assert!(peak < bound_mib, "the server took {peak} MiB");
        drop((crowd, honest));
        server.stop(&host).await;
    });
}

async fn make_topic(stream: &mut ByteStream, name: &str) {
    use anabranch_protocol::messages::create_topics::{
        CreatableTopic, CreateTopicsRequest, CreateTopicsResponse,
    };
    let topic = CreatableTopic { name, num_partitions: 1, replication_factor: 1, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let answer = call(stream, &frame_of(5, &request)).await;
    let error_code =
        decode::<CreateTopicsRequest<'_>, _>(&answer, 5, |response: CreateTopicsResponse<'_>| {
            response.topics[0].error_code
        });
    assert_eq!(error_code, ErrorCode::NONE);
}

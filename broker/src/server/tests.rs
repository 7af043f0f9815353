//! What a connection holds, and what it lets go.

use std::time::Duration;

use anabranch_host::{ByteStream, Dialer, Host, Sim, SimOptions, in_process};
use anabranch_protocol::messages::api_versions::ApiVersionsRequest;
use anabranch_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use anabranch_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use anabranch_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use anabranch_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use anabranch_protocol::records::{BatchBuilder, Compression, batches};
use anabranch_protocol::{Decoder, Message, Request, RequestHeader, ResponseHeader, encode_request};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{Broker, BrokerConfig};

fn with_broker(properties: &str, scenario: impl AsyncFnOnce(&Host, &Arc<Node>, &Dialer)) {
    let (host, runtime) = Host::real(2).unwrap();
    let config = BrokerConfig::from_properties(&format!("flush=os\n{properties}")).unwrap();
    runtime.block_on(async {
        let broker = Broker::open(host.clone(), config).await.unwrap();
        broker.node().create_missing_topic("t").unwrap();
        let (listener, dialer) = in_process();
        broker.serve(listener);
        scenario(&host, broker.node(), &dialer).await;
        broker.shutdown().await;
    });
}

/// Waits until something is so that another task makes so.
async fn until(host: &Host, what: &str, holds: impl Fn() -> bool) {
    let deadline = host.now() + Duration::from_secs(20);
    while !holds() {
        assert!(host.now() < deadline, "never was it so that {what}");
        host.sleep(Duration::from_millis(1)).await;
    }
}

async fn send<'a, R: Request<'a>>(stream: &mut ByteStream, version: i16, request: &R) {
    let header = RequestHeader::new(R::KEY, version, 1, None);
    stream.write_all(&encode_request(&header, request).into_bytes()).await.unwrap();
}

fn fetch(fetch_offset: i64, max_wait_ms: i32) -> FetchRequest<'static> {
    let partition = FetchPartition { fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic: "t", partitions: vec![partition], ..Default::default() };
    FetchRequest { max_wait_ms, min_bytes: 1, topics: vec![topic], ..Default::default() }
}

fn produce(value: &[u8]) -> ProduceRequest<'static> {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(1000, None, Some(value), []).unwrap();
    let data = PartitionProduceData { index: 0, records: Some(builder.finish().freeze()) };
    let topic = TopicProduceData { name: "t", partition_data: vec![data], ..Default::default() };
    ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() }
}

async fn read_frame(stream: &mut ByteStream) -> usize {
    let length = stream.read_i32().await.unwrap() as usize;
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await.unwrap();
    length
}

#[test]
fn a_parked_fetch_is_let_go_when_its_client_hangs_up() {
    with_broker("", async |host, node, dialer| {
        let watermark = node.topics.by_name("t").unwrap().partition(0).unwrap().watermark().clone();
        let mut streams = Vec::new();
        for _ in 0..10 {
            let mut stream = dialer.connect("").await.unwrap();
            send(&mut stream, 11, &fetch(0, i32::MAX)).await;
            streams.push(stream);
        }
        until(host, "ten fetches are parked", || watermark.waiting() == 10).await;
        streams.truncate(3);
        until(host, "three are left", || watermark.waiting() == 3).await;
        drop(streams);
        until(host, "none is left", || watermark.waiting() == 0).await;
    });
}

#[test]
fn a_client_that_does_not_read_is_not_read_from_and_gets_its_answers_later() {
    const FETCHES: usize = 100;
    with_broker("", async |host, node, dialer| {
        let mut stream = dialer.connect("").await.unwrap();
        send(&mut stream, 9, &produce(&[7; 500_000])).await;
        read_frame(&mut stream).await;
        let partition = node.topics.by_name("t").unwrap().partition(0).unwrap();
        for _ in 0..FETCHES {
            send(&mut stream, 11, &fetch(0, 0)).await;
        }
        until(host, "answers wait", || node.memory.fetch_bytes(32 << 20) < 32 << 20).await;
        host.sleep(Duration::from_millis(20)).await;
        let held = (32 << 20) - node.memory.fetch_bytes(32 << 20);
        assert!(held < 3 << 20, "{held} bytes are held for a client that reads nothing");
        assert_eq!(partition.high_watermark(), 1);
        for _ in 0..FETCHES {
            assert!(read_frame(&mut stream).await > 500_000);
        }
        until(host, "nothing is held", || node.memory.fetch_bytes(32 << 20) == 32 << 20).await;
    });
}

#[test]
fn connections_over_the_limit_are_closed() {
    with_broker("max.connections=2", async |_, _, dialer| {
        let mut streams = Vec::new();
        for _ in 0..2 {
            let mut stream = dialer.connect("").await.unwrap();
            send(&mut stream, 11, &fetch(0, 0)).await;
            read_frame(&mut stream).await;
            streams.push(stream);
        }
        let mut third = dialer.connect("").await.unwrap();
        assert_eq!(third.read(&mut [0]).await.unwrap_or(0), 0);
    });
}

const ADDRESS: &str = "broker:9092";

/// The same on a simulated host, where hours take no time. The scenario runs on the clients' host.
fn simulated(properties: &str, scenario: impl AsyncFnOnce(&Host, &Arc<Node>)) {
    let sim = Sim::new(7, SimOptions::default());
    let properties = format!("flush=os\nlog.dirs=/data\nlisteners=PLAINTEXT://{ADDRESS}\n{properties}");
    let config = BrokerConfig::from_properties(&properties).unwrap();
    sim.block_on(async {
        let broker = Broker::open(sim.node("broker"), config).await.unwrap();
        broker.node().create_missing_topic("t").unwrap();
        broker.listen().await.unwrap();
        scenario(&sim.node("client"), broker.node()).await;
        broker.shutdown().await;
    });
    assert_eq!(sim.panics(), []);
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// How long it takes until the broker has closed the stream.
async fn closed_after(host: &Host, stream: &mut ByteStream) -> Duration {
    let began = host.now();
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await.unwrap_or(0) > 0 {}
    host.now() - began
}

/// Asks something small, and gets its answer.
async fn is_served(stream: &mut ByteStream) -> bool {
    let request = ApiVersionsRequest { client_software_name: "t", client_software_version: "1" };
    let frame = encode_request(&RequestHeader::new(ApiVersionsRequest::KEY, 3, 1, None), &request);
    stream.write_all(&frame.into_bytes()).await.is_ok()
        && stream.read_i32().await.is_ok_and(|length| length > 0)
        && {
            // The rest of the answer.
            let mut rest = [0; 64 * 1024];
            stream.read(&mut rest).await.is_ok_and(|read| read > 0)
        }
}

#[test]
fn silence_ends_a_connection_after_connections_max_idle_ms_and_a_request_starts_it_anew() {
    simulated("connections.max.idle.ms=600000", async |host, _| {
        let mut stream = host.connect(ADDRESS).await.unwrap();
        host.sleep(seconds(590)).await;
        assert!(is_served(&mut stream).await);
        let closed = closed_after(host, &mut stream).await;
        assert!((seconds(600)..seconds(601)).contains(&closed), "{closed:?}");
    });
    simulated("connections.max.idle.ms=-1", async |host, _| {
        let mut stream = host.connect(ADDRESS).await.unwrap();
        host.sleep(seconds(12 * 3600)).await;
        assert!(is_served(&mut stream).await);
    });
}

#[test]
fn a_request_that_waits_is_no_silence() {
    simulated("connections.max.idle.ms=1000", async |host, _| {
        let mut stream = host.connect(ADDRESS).await.unwrap();
        send(&mut stream, 11, &fetch(0, 60_000)).await;
        let began = host.now();
        read_frame(&mut stream).await;
        assert!(host.now() - began >= seconds(60));
    });
}

#[test]
fn a_request_that_does_not_come_in_time_ends_its_connection_and_no_other() {
    // (bytes of the request, bytes sent every second, after how many seconds the connection is closed)
    for (frame_bytes, each_second, expected) in [
        (1000, 0, 30),
        (1000, 1, 30),
        (15 << 20, 1 << 10, 30 + 15),
        // This one would need 80 seconds.
        (40 << 20, 512 << 10, 30 + 40),
    ] {
        simulated("", async |host, node| {
            let mut other = host.connect(ADDRESS).await.unwrap();
            let (mut reader, mut writer) = host.connect(ADDRESS).await.unwrap().split();
            writer.write_all(&i32::to_be_bytes(frame_bytes)).await.unwrap();
            let began = host.now();
            let sender = host.clone();
            let sending = host.spawn(async move {
                loop {
                    sender.sleep(seconds(1)).await;
                    if writer.write_all(&vec![0; each_second]).await.is_err() {
                        return;
                    }
                }
            });
            assert!(reader.read(&mut [0]).await.unwrap_or(0) == 0);
            let closed = (host.now() - began).as_secs_f64();
            assert!((closed - f64::from(expected)).abs() < 1.0, "{frame_bytes}: after {closed} s");
            assert!(is_served(&mut other).await);
            assert_eq!(node.memory.request_bytes(), 0, "what was reserved is free again");
            drop((reader, sending));
        });
    }
}

#[test]
fn a_large_request_may_take_longer_than_a_small_one() {
    simulated("", async |host, _| {
        let mut stream = host.connect(ADDRESS).await.unwrap();
        let request = produce(&vec![7; 16 << 20]);
        let frame =
            encode_request(&RequestHeader::new(ProduceRequest::KEY, 9, 1, None), &request).into_bytes();
        for piece in frame.chunks(frame.len() / 40) {
            stream.write_all(piece).await.unwrap();
            host.sleep(seconds(1)).await;
        }
        read_frame(&mut stream).await;
    });
}

#[test]
fn a_client_that_leaves_its_answers_unread_is_cut_after_the_same_silence() {
    simulated("connections.max.idle.ms=60000", async |host, node| {
        let mut stream = host.connect(ADDRESS).await.unwrap();
        send(&mut stream, 9, &produce(&[7; 500_000])).await;
        read_frame(&mut stream).await;
        for _ in 0..20 {
            send(&mut stream, 11, &fetch(0, 0)).await;
        }
        // Requests wait behind the answers; they are no excuse.
        host.sleep(seconds(30)).await;
        assert!(node.memory.fetch_bytes(32 << 20) < 32 << 20, "answers are held");
        host.sleep(seconds(91)).await;
        assert_eq!(node.memory.fetch_bytes(32 << 20), 32 << 20, "nothing is held");
        drop(stream);
    });
}

/// Reads the next answer, and what is of interest in it.
async fn answered<'a, R: Request<'a>>(
    stream: &mut ByteStream,
    version: i16,
    look: impl FnOnce(R::Response<'_>) -> i64,
) -> i64 {
    let mut frame = vec![0; stream.read_i32().await.unwrap() as usize];
    stream.read_exact(&mut frame).await.unwrap();
    let frame = Bytes::from(frame);
    let mut decoder = Decoder::new(&frame);
    ResponseHeader::decode(&mut decoder, R::KEY, version).unwrap();
    look(R::Response::decode(&mut decoder, version).unwrap())
}

#[test]
fn what_reads_a_log_finds_what_was_produced_before_it_and_a_produce_does_not_wait_for_another() {
    for acks in [-1, 1, 0] {
        simulated("flush=commit", async |host, node| {
            let partition = node.topics.by_name("t").unwrap().partition(0).unwrap();
            let mut stream = host.connect(ADDRESS).await.unwrap();
            let to_produce = ProduceRequest { acks, ..produce(b"v") };
            let end = ListOffsetsPartition { timestamp: -1, current_leader_epoch: -1, ..Default::default() };
            let end = ListOffsetsTopic { name: "t", partitions: vec![end] };
            let to_list = ListOffsetsRequest { replica_id: -1, topics: vec![end], ..Default::default() };
            let all = DeleteRecordsPartition { offset: -1, ..Default::default() };
            let all = DeleteRecordsTopic { name: "t", partitions: vec![all] };
            let to_delete = DeleteRecordsRequest { topics: vec![all], timeout_ms: 1000 };
            // So large that it must have room.
            let mut to_fetch = fetch(0, 0);
            let more = (1..2000).map(|partition| FetchPartition { partition, ..Default::default() });
            to_fetch.topics[0].partitions.extend(more);

            send(&mut stream, 9, &to_produce).await;
            send(&mut stream, 9, &to_produce).await;
            send(&mut stream, 11, &to_fetch).await;
            send(&mut stream, 9, &to_produce).await;
            send(&mut stream, 5, &to_list).await;
            send(&mut stream, 9, &to_produce).await;
            send(&mut stream, 2, &to_delete).await;
            let mut appended = 0;
            while partition.high_watermark() == 0 {
                appended = partition.log_end_offset();
                host.sleep(Duration::from_micros(10)).await;
            }
            assert_eq!(appended, 2, "are appended before the first of them is durable");

            let produced = async |stream: &mut ByteStream| {
                if acks != 0 {
                    read_frame(stream).await;
                }
            };
            produced(&mut stream).await;
            produced(&mut stream).await;
            let read = answered::<FetchRequest<'_>>(&mut stream, 11, |response| {
                let partition = &response.responses[0].partitions[0];
                let records = batches(partition.records.as_ref().unwrap());
                assert_eq!(records.last().unwrap().unwrap().header.next_offset(), partition.high_watermark);
                partition.high_watermark
            });
            assert_eq!(read.await, 2);
            produced(&mut stream).await;
            let look = |response: ListOffsetsResponse<'_>| response.topics[0].partitions[0].offset;
            assert_eq!(answered::<ListOffsetsRequest<'_>>(&mut stream, 5, look).await, 3);
            produced(&mut stream).await;
            let look = |response: DeleteRecordsResponse<'_>| response.topics[0].partitions[0].low_watermark;
            assert_eq!(answered::<DeleteRecordsRequest<'_>>(&mut stream, 2, look).await, 4);
        });
    }
}

#[test]
fn large_requests_of_many_hold_bounded_memory_and_all_are_answered() {
    const CLIENTS: usize = 30;
    const VALUE_BYTES: usize = 300 << 10;
    const LIMIT: usize = 1 << 20;
    let keys = format!("queued.max.request.bytes={LIMIT}\nflush=commit");
    simulated(&keys, async |host, node| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let client = host.clone();
                host.spawn(async move {
                    let mut stream = client.connect(ADDRESS).await.unwrap();
                    for _ in 0..3 {
                        send(&mut stream, 9, &produce(&[7; VALUE_BYTES])).await;
                    }
                    for _ in 0..3 {
                        read_frame(&mut stream).await;
                    }
                })
            })
            .collect();
        let mut other = host.connect(ADDRESS).await.unwrap();
        let partition = node.topics.by_name("t").unwrap().partition(0).unwrap();
        let mut most = 0;
        while partition.high_watermark() < 3 * CLIENTS as i64 {
            host.sleep(Duration::from_micros(100)).await;
            most = most.max(node.memory.request_bytes());
            assert!(is_served(&mut other).await, "a small request is served meanwhile");
        }
        // The one that reaches the limit, those that have passed it but for little, and the one that passes now.
        let bound = LIMIT + LIMIT / 8 + 2 * (VALUE_BYTES + 1000);
        assert!((LIMIT..bound).contains(&most), "{most} bytes at the most");
        for client in clients {
            client.await.unwrap();
        }
        assert_eq!(node.memory.request_bytes(), 0);
    });
}

#[test]
fn a_length_alone_takes_no_room_from_others() {
    const LIMIT: usize = 1 << 20;
    // What each of the stalled clients sends of 100 MiB: nothing but the length, a little at once, a little a second.
    for (at_once, each_second) in [(0, 0), (20_000, 0), (0, 100), (20_000, 100)] {
        simulated(&format!("queued.max.request.bytes={LIMIT}"), async |host, node| {
            let mut stalled = Vec::new();
            for _ in 0..10 {
                let (_reader, mut writer) = host.connect(ADDRESS).await.unwrap().split();
                writer.write_all(&i32::to_be_bytes(100 << 20)).await.unwrap();
                writer.write_all(&vec![0; at_once]).await.unwrap();
                let sender = host.clone();
                stalled.push(host.spawn(async move {
                    while writer.write_all(&vec![0; each_second]).await.is_ok() {
                        sender.sleep(seconds(1)).await;
                    }
                    drop(_reader);
                }));
            }
            host.sleep(seconds(2)).await;
            let held = node.memory.request_bytes();
            assert!(held <= 10 * 4 * (at_once + 10_000), "{held} bytes are held for {at_once} sent by each");
            let began = host.now();
            let mut stream = host.connect(ADDRESS).await.unwrap();
            for _ in 0..3 {
                send(&mut stream, 9, &produce(&[7; 900 << 10])).await;
                read_frame(&mut stream).await;
            }
            assert!(host.now() - began < seconds(5), "{:?}", host.now() - began);
        });
    }
}

#[test]
fn large_requests_that_come_in_pieces_all_at_once_do_not_wait_for_each_other_for_ever() {
    const CLIENTS: usize = 20;
    const VALUE_BYTES: usize = 900 << 10;
    const LIMIT: usize = 1 << 20;
    simulated(&format!("queued.max.request.bytes={LIMIT}"), async |host, node| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|index| {
                let client = host.clone();
                host.spawn(async move {
                    let mut stream = client.connect(ADDRESS).await.unwrap();
                    let header = RequestHeader::new(ProduceRequest::KEY, 9, 1, None);
                    let frame = encode_request(&header, &produce(&vec![7; VALUE_BYTES])).into_bytes();
                    for piece in frame.chunks(20_000 + 100 * index) {
                        stream.write_all(piece).await.unwrap();
                        client.sleep(Duration::from_millis(100)).await;
                    }
                    // Others hang up in the middle of one more.
                    stream.write_all(&frame[..200_000]).await.unwrap();
                    read_frame(&mut stream).await;
                })
            })
            .collect();
        let partition = node.topics.by_name("t").unwrap().partition(0).unwrap();
        let mut most = 0;
        while partition.high_watermark() < CLIENTS as i64 {
            host.sleep(Duration::from_millis(10)).await;
            most = most.max(node.memory.request_bytes());
        }
        let bound = LIMIT + LIMIT / 8 + 2 * (VALUE_BYTES + 1000);
        assert!((LIMIT..bound).contains(&most), "{most} bytes at the most");
        for client in clients {
            client.await.unwrap();
        }
        host.sleep(seconds(1)).await;
        assert_eq!(node.memory.request_bytes(), 0);
    });
}

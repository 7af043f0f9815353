//! What a connection holds, and what it lets go.

use std::time::Duration;

use anabranch_host::{ByteStream, Dialer, Host, in_process};
use anabranch_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use anabranch_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use anabranch_protocol::records::{BatchBuilder, Compression};
use anabranch_protocol::{Request, RequestHeader, encode_request};
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

//! Encoding and decoding, beside the crate kafka-protocol in the same run: `cargo bench -p anabranch-tests --bench codec`.
//!
//! The best of several short runs, as the machine may be busy; trust the ratio, not the digits.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures the real clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use anabranch_protocol::messages::{fetch, metadata, offset_commit, produce};
use anabranch_protocol::{ApiKey, Decoder, Encoder, Message, Uuid, encode_response};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as kafka;
use kafka_protocol::protocol::{Decodable, Encodable};

const RUNS: usize = 7;
const RUN: Duration = Duration::from_millis(60);

/// Nanoseconds a call, in the best run.
fn measure<T>(mut call: impl FnMut() -> T) -> f64 {
    let run = |_| {
        let start = Instant::now();
        let mut calls = 0u32;
        while start.elapsed() < RUN {
            for _ in 0..50 {
                black_box(call());
            }
            calls += 50;
        }
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    (0..RUNS).map(run).fold(f64::MAX, f64::min)
}

fn report(what: &str, ours: f64, theirs: f64) {
    println!("{what:<48} {ours:>10.0} ns   kafka-protocol {theirs:>10.0} ns");
}

/// The message as a frame cut out of a connection's buffer.
fn frame<'a>(message: &impl Message<'a>, version: i16) -> Bytes {
    let mut out = Encoder::new();
    message.encode(&mut out, version);
    let mut buffer = BytesMut::from(&out.finish().into_bytes()[..]);
    buffer.split_to(buffer.len()).freeze()
}

fn decode<'a, M: Message<'a>>(frame: &'a Bytes, version: i16) -> M {
    M::decode(&mut Decoder::new(frame), version).expect("the frame is whole")
}

fn their_decode<M: Decodable>(frame: &Bytes, version: i16) -> M {
    M::decode(&mut frame.clone(), version).expect("the frame is whole")
}

fn their_encode(message: &impl Encodable, version: i16) -> BytesMut {
    let mut out = BytesMut::new();
    message.encode(&mut out, version).expect("the message fits the version");
    out
}

fn main() {
    for (partitions, bytes) in [(1, 16 << 10), (100, 900)] {
        produce_request(partitions, bytes);
    }
    for (partitions, bytes) in [(1, 64 << 10), (100, 16 << 10)] {
        fetch_request(partitions);
        fetch_response(partitions, bytes);
    }
    metadata_response();
    offset_commit_request();
}

fn produce_request(partitions: i32, bytes: usize) {
    let data = |index| produce::PartitionProduceData { index, records: Some(vec![1; bytes].into()) };
    let topic = produce::TopicProduceData {
        name: "benchmark",
        partition_data: (0..partitions).map(data).collect(),
        ..Default::default()
    };
    let frame = frame(&produce::ProduceRequest { topic_data: vec![topic], ..Default::default() }, 9);
    report(
        &format!("produce request v9, {partitions} x {bytes} B: decode"),
        measure(|| decode::<produce::ProduceRequest<'_>>(&frame, 9)),
        measure(|| their_decode::<kafka::ProduceRequest>(&frame, 9)),
    );
}

fn fetch_request(partitions: i32) {
    let partition = |partition| fetch::FetchPartition { partition, ..Default::default() };
    let topic = fetch::FetchTopic {
        topic_id: Uuid([7; 16]),
        partitions: (0..partitions).map(partition).collect(),
        ..Default::default()
    };
    let frame = frame(&fetch::FetchRequest { topics: vec![topic], ..Default::default() }, 15);
    report(
        &format!("fetch request v15, {partitions} partitions: decode"),
        measure(|| decode::<fetch::FetchRequest<'_>>(&frame, 15)),
        measure(|| their_decode::<kafka::FetchRequest>(&frame, 15)),
    );
}

fn fetch_response(partitions: i32, bytes: usize) {
    let data = |partition_index| fetch::PartitionData {
        partition_index,
        records: Some(vec![1; bytes].into()),
        ..Default::default()
    };
    let topic = fetch::FetchableTopicResponse {
        topic_id: Uuid([7; 16]),
        partitions: (0..partitions).map(data).collect(),
        ..Default::default()
    };
    let ours = fetch::FetchResponse { responses: vec![topic], ..Default::default() };
    let frame = frame(&ours, 15);
    let theirs: kafka::FetchResponse = their_decode(&frame, 15);
    let what = format!("fetch response v15, {partitions} x {bytes} B");
    report(
        &format!("{what}: encode"),
        measure(|| encode_response(ApiKey::Fetch, 15, 1, &ours)),
        measure(|| their_encode(&theirs, 15)),
    );
    report(
        &format!("{what}: decode"),
        measure(|| decode::<fetch::FetchResponse<'_>>(&frame, 15)),
        measure(|| their_decode::<kafka::FetchResponse>(&frame, 15)),
    );
}

fn metadata_response() {
    let names: Vec<String> = (0..100).map(|number| format!("topic-{number}")).collect();
    let partition = |partition_index| metadata::MetadataResponsePartition {
        partition_index,
        replica_nodes: vec![1, 2, 3],
        isr_nodes: vec![1, 2, 3],
        ..Default::default()
    };
    let topic = |name| metadata::MetadataResponseTopic {
        name: Some(name),
        partitions: (0..10).map(partition).collect(),
        ..Default::default()
    };
    let topics = names.iter().map(|name| topic(name.as_str())).collect();
    let ours = metadata::MetadataResponse { topics, ..Default::default() };
    let frame = frame(&ours, 12);
    let theirs: kafka::MetadataResponse = their_decode(&frame, 12);
    report(
        "metadata response v12, 100 topics x 10: encode",
        measure(|| encode_response(ApiKey::Metadata, 12, 1, &ours)),
        measure(|| their_encode(&theirs, 12)),
    );
    report(
        "metadata response v12, 100 topics x 10: decode",
        measure(|| decode::<metadata::MetadataResponse<'_>>(&frame, 12)),
        measure(|| their_decode::<kafka::MetadataResponse>(&frame, 12)),
    );
}

fn offset_commit_request() {
    let partition = |partition_index| offset_commit::OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 7,
        committed_metadata: Some(""),
        ..Default::default()
    };
    let topic = offset_commit::OffsetCommitRequestTopic {
        name: "topic",
        partitions: (0..100).map(partition).collect(),
        ..Default::default()
    };
    let ours =
        offset_commit::OffsetCommitRequest { group_id: "group", topics: vec![topic], ..Default::default() };
    let frame = frame(&ours, 9);
    report(
        "offset commit request v9, 100 partitions: decode",
        measure(|| decode::<offset_commit::OffsetCommitRequest<'_>>(&frame, 9)),
        measure(|| their_decode::<kafka::OffsetCommitRequest>(&frame, 9)),
    );
}

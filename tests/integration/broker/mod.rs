//! The broker over raw frames: what goes over the wire, byte for byte where clients are sensitive to it.
//!
//! Each pitfall that other brokers fell into is a test, named after the behaviour; [`pitfalls`] lists them. [`Raw`] is a connection that
//! knows only frames; a test says which version it speaks.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod administration;
mod configs;
mod connections;
mod fetch;
mod fetch_sessions;
mod groups;
mod metrics;
mod offsets;
mod pitfalls;
mod produce;
mod protocol;
mod restart;
mod topics;
mod transactional;
mod transactions;

use std::time::Duration;

use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_host::{ByteStream, Host};
use anabranch_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use anabranch_protocol::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use anabranch_protocol::records::{BatchBuilder, Compression, batches, seal, set_producer};
use anabranch_protocol::{
    ApiKey, Decoder, ErrorCode, Message, Request, RequestHeader, ResponseHeader, Uuid, encode_request, frame,
};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a test may wait for an answer before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a scenario against a broker of its own, configured by the text.
pub(crate) fn with_broker(properties: &str, scenario: impl AsyncFnOnce(&Host, &EmbeddedBroker)) {
    let (host, runtime) = Host::real(2).unwrap();
    let config = BrokerConfig::from_properties(properties).unwrap();
    runtime.block_on(async {
        let broker = EmbeddedBroker::start(host.clone(), config).await.unwrap();
        scenario(&host, &broker).await;
        broker.shutdown().await;
    });
}

/// A sealed batch of records that have these values, no keys, and timestamps from 1000 on.
pub(crate) fn batch(compression: Compression, values: &[&str]) -> BytesMut {
    let mut builder = BatchBuilder::new(compression);
    for (value, timestamp_ms) in values.iter().zip(1000..) {
        builder.append(timestamp_ms, None, Some(value.as_bytes()), []).unwrap();
    }
    builder.finish()
}

/// A sealed batch of an idempotent producer.
pub(crate) fn idempotent(producer_id: i64, epoch: i16, sequence: i32, values: &[&str]) -> BytesMut {
    let mut bytes = batch(Compression::None, values);
    set_producer(&mut bytes, producer_id, epoch, sequence);
    seal(&mut bytes);
    bytes
}

/// What a produce request was answered with, for its one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Produced {
    pub(crate) error_code: ErrorCode,
    pub(crate) base_offset: i64,
}

/// Produces to partition 0 of a topic with acks=-1, by name.
pub(crate) async fn produce(raw: &mut Raw, topic: &str, records: BytesMut) -> Produced {
    let answer = raw.call(9, &produce_request(topic, -1, records.freeze())).await;
    let response: ProduceResponse<'_> = answer.decode();
    let partition = &response.responses[0].partition_responses[0];
    Produced { error_code: partition.error_code, base_offset: partition.base_offset }
}

/// A request to append to partition 0.
pub(crate) fn produce_request(topic: &str, acks: i16, records: Bytes) -> ProduceRequest<'_> {
    let partition_data = vec![PartitionProduceData { index: 0, records: Some(records) }];
    let topic_data = vec![TopicProduceData { name: topic, topic_id: Uuid::ZERO, partition_data }];
    ProduceRequest { transactional_id: None, acks, timeout_ms: 10_000, topic_data }
}

/// A request to read partition 0 from an offset.
pub(crate) fn fetch_request(topic: &str, fetch_offset: i64) -> FetchRequest<'_> {
    let partition = FetchPartition { fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topics = vec![FetchTopic { topic, topic_id: Uuid::ZERO, partitions: vec![partition] }];
    FetchRequest { max_wait_ms: 0, min_bytes: 1, topics, ..Default::default() }
}

/// The values of the records in what a fetch gave.
pub(crate) fn values(records: Option<&Bytes>) -> Vec<String> {
    let mut values = Vec::new();
    for batch in batches(records.expect("records are never null")) {
        let batch = batch.unwrap();
        batch.check_crc().unwrap();
        for record in batch.records(&mut Vec::new()).unwrap() {
            values.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
        }
    }
    values
}

/// A connection that knows only frames.
pub(crate) struct Raw {
    host: Host,
    stream: ByteStream,
    arrived: BytesMut,
    next_correlation_id: i32,
}

impl Raw {
    pub(crate) async fn connect(host: &Host, broker: &EmbeddedBroker) -> Raw {
        Raw::over(host, broker.dialer().connect("broker:9092").await.unwrap())
    }

    /// A connection over this stream.
    pub(crate) fn over(host: &Host, stream: ByteStream) -> Raw {
        Raw { host: host.clone(), stream, arrived: BytesMut::new(), next_correlation_id: 7 }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends bytes to a broker that may have closed the connection; whether it took them.
    pub(crate) async fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Sends a request and does not wait; its correlation id.
    pub(crate) async fn send<'a, R: Request<'a>>(&mut self, version: i16, request: &R) -> i32 {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let header = RequestHeader::new(R::KEY, version, correlation_id, Some("raw"));
        let frame = encode_request(&header, request).into_bytes();
        self.send_bytes(&frame).await;
        correlation_id
    }

    /// The next frame; `None` if the broker closed the connection.
    pub(crate) async fn receive_frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = frame::take_frame(&mut self.arrived, usize::MAX).unwrap() {
                return Some(frame);
            }
            let read = self.host.timeout(PATIENCE, self.stream.read_buf(&mut self.arrived)).await;
            if read.expect("an answer in time").unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The answer to the request with this id, which must be the next one.
    pub(crate) async fn receive(&mut self, api_key: ApiKey, version: i16, correlation_id: i32) -> Answer {
        let frame = self.receive_frame().await.expect("an answer, not the end");
        let mut decoder = Decoder::new(&frame);
        let header = ResponseHeader::decode(&mut decoder, api_key, version).unwrap();
        assert_eq!(header.correlation_id, correlation_id, "answers come in the order of the requests");
        let body = frame.slice(frame.len() - decoder.remaining()..);
        Answer { body, version }
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call<'a, R: Request<'a>>(&mut self, version: i16, request: &R) -> Answer {
        let correlation_id = self.send(version, request).await;
        self.receive(R::KEY, version, correlation_id).await
    }

    /// Whether the broker has closed the connection, with nothing more to read.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.receive_frame().await.is_none()
    }
}

/// The body of an answer.
pub(crate) struct Answer {
    pub(crate) body: Bytes,
    version: i16,
}

impl Answer {
    /// Reads it; all of it must be understood.
    pub(crate) fn decode<'a, M: Message<'a>>(&'a self) -> M {
        let mut decoder = Decoder::new(&self.body);
        let message = M::decode(&mut decoder, self.version).unwrap();
        decoder.finish().unwrap();
        message
    }
}

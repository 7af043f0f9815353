//! Whole requests, asked of a broker that has topics, a group and a transaction.
//!
//! The bytes are those of a connection. Each frame in them is a request, of whatever API and version, and may have its
//! effect on those behind it. None may stop the broker, and an answer may be large only in proportion to what was asked, or
//! to what the broker holds: this much of it lies here.

use std::sync::OnceLock;
use std::time::Duration;

use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_host::{ByteStream, Host, Sim, SimOptions};
use anabranch_protocol::frame::take_frame;
use anabranch_protocol::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use anabranch_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use anabranch_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use anabranch_protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use anabranch_protocol::messages::describe_groups::DescribeGroupsRequest;
use anabranch_protocol::messages::describe_producers::{self, DescribeProducersRequest};
use anabranch_protocol::messages::end_txn::EndTxnRequest;
use anabranch_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use anabranch_protocol::messages::find_coordinator::FindCoordinatorRequest;
use anabranch_protocol::messages::init_producer_id::InitProducerIdRequest;
use anabranch_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use anabranch_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use anabranch_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use anabranch_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use anabranch_protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use anabranch_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use anabranch_protocol::records::Compression;
use anabranch_protocol::sample::{Declared, EveryRequest, every_request, sample};
use anabranch_protocol::{Request, RequestHeader, encode_request};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{DATA, Files, batch, files, world};

/// Requests of one connection that are asked.
const MAX_REQUESTS: usize = 8;
/// What an answer may have at most of what the broker holds.
const HELD_BYTES: usize = 1 << 20;
/// Bytes of an answer for each byte of its request, besides.
const ANSWER_FACTOR: usize = 64;
/// How long an answer is waited for. (A request may ask to wait for ever.)
const PATIENCE: Duration = Duration::from_millis(200);

fn config() -> BrokerConfig {
    let keys = [
        ("log.dirs", DATA),
        // The journal has entries of its own, and files of megabytes.
        ("flush", "os"),
        ("offsets.topic.num.partitions", "1"),
        ("transaction.state.log.num.partitions", "1"),
        ("num.partitions", "2"),
    ];
    BrokerConfig::from_pairs(keys).expect("good keys")
}

/// Asks whatever `data` holds, one after the other.
pub(crate) fn requests(data: &[u8]) {
    static FILES: OnceLock<Files> = OnceLock::new();
    let (sim, host) = world(FILES.get_or_init(prepared), "", &[]);
    sim.block_on(ask_all(&host, data));
    assert_eq!(sim.panics(), []);
}

/// The files of a broker that has been used and stopped.
fn prepared() -> Files {
    let sim = Sim::new(1, SimOptions::default());
    for requests in [life(), consumer(), transaction()] {
        let (asked, answers) = sim.block_on(ask_all(&sim.node("n"), &requests));
        assert_eq!(answers, asked, "each is answered");
    }
    assert_eq!(sim.panics(), []);
    files(&sim)
}

/// How many requests were asked, and how many answered.
async fn ask_all(host: &Host, data: &[u8]) -> (usize, usize) {
    let broker = EmbeddedBroker::start(host.clone(), config()).await.expect("a good directory");
    let mut stream = broker.dialer().connect("broker:9092").await.expect("it listens");
    let mut left = BytesMut::from(data);
    let (mut asked, mut answers, mut may_have) = (0, 0, 0);
    let mut answered = BytesMut::new();
    while let Ok(Some(request)) = take_frame(&mut left, data.len()) {
        if asked == MAX_REQUESTS || send(&mut stream, &request).await.is_err() {
            break;
        }
        asked += 1;
        // A request may be answered while a later one waits for its answer.
        may_have += HELD_BYTES + ANSWER_FACTOR * request.len();
        // Until nothing comes any more.
        while let Ok(Ok(1..)) = host.timeout(PATIENCE, stream.read_buf(&mut answered)).await {
            let bytes = answered.len();
            assert!(bytes <= may_have, "{bytes} bytes of an answer, or of {asked}");
            while let Some(answer) = take_frame(&mut answered, may_have).expect("a frame") {
                answers += 1;
                may_have -= answer.len();
            }
        }
    }
    drop(stream);
    broker.shutdown().await;
    (asked, answers)
}

async fn send(stream: &mut ByteStream, request: &Bytes) -> std::io::Result<()> {
    stream.write_all(&(request.len() as i32).to_be_bytes()).await?;
    stream.write_all(request).await
}

// ---- seeds

fn encode<'a, R: Request<'a>>(version: i16, request: &R) -> Vec<u8> {
    let header = RequestHeader::new(R::KEY, version, 7, Some("fuzz"));
    encode_request(&header, request).into_bytes().to_vec()
}

/// Every request in its oldest and newest version, a few on each connection; and what clients do.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    struct Samples(Vec<Vec<u8>>);
    impl EveryRequest for Samples {
        fn request<R: Request<'static> + Declared>(&mut self) {
            for version in [*R::VERSIONS.start(), *R::VERSIONS.end()] {
                self.0.push(encode(version, &sample::<R>(self.0.len() as u64, version)));
            }
        }
    }
    let mut samples = Samples(Vec::new());
    every_request(&mut samples);
    let mut seeds: Vec<_> = samples.0.chunks(4).map(<[_]>::concat).collect();
    seeds.extend([life(), consumer(), transaction(), administration()]);
    seeds
}

fn fetch() -> FetchRequest<'static> {
    let partition = FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic: "t", partitions: vec![partition], ..Default::default() };
    FetchRequest { max_wait_ms: 10, max_bytes: 1 << 20, topics: vec![topic], ..Default::default() }
}

fn produce(transactional_id: Option<&'static str>, records: Bytes) -> ProduceRequest<'static> {
    let partition_data = vec![PartitionProduceData { index: 0, records: Some(records) }];
    let topic_data = vec![TopicProduceData { name: "t", partition_data, ..Default::default() }];
    ProduceRequest { transactional_id, acks: -1, timeout_ms: 1000, topic_data }
}

/// A topic, records in it, and what is there.
fn life() -> Vec<u8> {
    let topic = CreatableTopic { name: "t", num_partitions: 2, replication_factor: 1, ..Default::default() };
    let offsets = [-1, -2, -3, 1_750_000_000_000].map(|timestamp| ListOffsetsPartition {
        timestamp,
        current_leader_epoch: -1,
        ..Default::default()
    });
    let offsets = ListOffsetsTopic { name: "t", partitions: offsets.to_vec() };
    let named = MetadataRequestTopic { name: Some("t"), ..Default::default() };
    [
        encode(7, &CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..Default::default() }),
        encode(9, &produce(None, batch(Compression::None, 0, 3).freeze())),
        encode(9, &produce(None, batch(Compression::Lz4, 3, 9).freeze())),
        encode(12, &fetch()),
        encode(7, &ListOffsetsRequest { replica_id: -1, topics: vec![offsets], ..Default::default() }),
        encode(12, &MetadataRequest { topics: Some(vec![named]), ..Default::default() }),
    ]
    .concat()
}

/// A member of a group, and offsets.
fn consumer() -> Vec<u8> {
    let protocol = JoinGroupRequestProtocol { name: "range", metadata: Bytes::from_static(b"topics") };
    let join = JoinGroupRequest {
        group_id: "g",
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer",
        protocols: vec![protocol],
        ..Default::default()
    };
    let partition = OffsetCommitRequestPartition {
        committed_offset: 3,
        committed_metadata: Some("what the committer wants to remember"),
        ..Default::default()
    };
    let topic = OffsetCommitRequestTopic { name: "t", partitions: vec![partition], ..Default::default() };
    let commit = |group_id| OffsetCommitRequest {
        group_id,
        generation_id_or_member_epoch: -1,
        topics: vec![topic.clone()],
        ..Default::default()
    };
    let group = OffsetFetchRequestGroup { group_id: "h", topics: None, ..Default::default() };
    [
        encode(4, &FindCoordinatorRequest { coordinator_keys: vec!["g", "h"], ..Default::default() }),
        encode(9, &commit("h")),
        encode(9, &OffsetFetchRequest { groups: vec![group], ..Default::default() }),
        encode(3, &join),
        encode(5, &DescribeGroupsRequest { groups: vec!["g", "h"], ..Default::default() }),
    ]
    .concat()
}

/// A producer and its transaction.
fn transaction() -> Vec<u8> {
    let find = FindCoordinatorRequest { key_type: 1, coordinator_keys: vec!["x"], ..Default::default() };
    let init = InitProducerIdRequest {
        transactional_id: Some("x"),
        transaction_timeout_ms: 10_000,
        producer_id: -1,
        producer_epoch: -1,
    };
    let (transactional_id, producer_id, producer_epoch) = ("x", 0, 0);
    let add = AddOffsetsToTxnRequest { transactional_id, producer_id, producer_epoch, group_id: "h" };
    let end = EndTxnRequest { transactional_id, producer_id, producer_epoch, committed: true };
    let topic = describe_producers::TopicRequest { name: "t", partition_indexes: vec![0, 1] };
    [
        encode(4, &find),
        encode(4, &init),
        encode(3, &add),
        encode(3, &end),
        encode(0, &DescribeProducersRequest { topics: vec![topic] }),
    ]
    .concat()
}

/// What tools ask.
fn administration() -> Vec<u8> {
    let resources = [(2, "t"), (4, "1"), (4, ""), (8, "1")].map(|(resource_type, resource_name)| {
        DescribeConfigsResource { resource_type, resource_name, configuration_keys: None }
    });
    let describe = DescribeConfigsRequest {
        resources: resources.to_vec(),
        include_synonyms: true,
        include_documentation: true,
    };
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: 2 }];
    let topics = vec![DeleteRecordsTopic { name: "t", partitions }];
    [
        encode(4, &describe),
        encode(2, &DeleteRecordsRequest { topics, timeout_ms: 1000 }),
        encode(12, &MetadataRequest { topics: None, ..Default::default() }),
    ]
    .concat()
}

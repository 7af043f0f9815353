//! How many records of 100 bytes a second go through `Producer::send`, `Consumer::poll` and `Consumer::poll_batches`, with
//! the CPU time of the whole process.
//!
//! `cargo bench -p anabranch-client --bench throughput`: against a leader in this process that acknowledges everything and
//! serves the same batch again and again (its own work is part of the figure), or, with `ANABRANCH_KAFKA=host:port`,
//! against a broker over TCP (topic `bench-throughput` is made and kept).

use std::sync::OnceLock;
use std::time::Duration;

use anabranch_client::{
    Client, ClientConfig, Consumer, ConsumerConfig, NewTopic, Producer, ProducerConfig, ProducerRecord,
    TopicPartition,
};
use anabranch_host::{Dialer, Host, Instant, in_process};
use anabranch_protocol::frame::take_frame;
use anabranch_protocol::messages::api_versions::{ApiVersion, ApiVersionsResponse};
use anabranch_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse, PartitionData,
};
use anabranch_protocol::messages::init_producer_id::InitProducerIdResponse;
use anabranch_protocol::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use anabranch_protocol::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use anabranch_protocol::messages::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use anabranch_protocol::records::{BatchBuilder, Compression, batches, set_base_offset};
use anabranch_protocol::{ApiKey, Decoder, Message, RequestHeader, Segments, Uuid, encode_response};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TOPIC: &str = "bench-throughput";
const PARTITIONS: i32 = 6;
const RECORDS: u64 = 5_000_000;

fn main() {
    let (host, runtime) = Host::real(2).expect("a runtime");
    runtime.block_on(async {
        let (dialer, server) = match std::env::var("ANABRANCH_KAFKA") {
            Ok(server) => (host.dialer(), server),
            Err(_) => (acknowledge_everything(&host), String::new()),
        };
        let config = ClientConfig::from_pairs([("bootstrap.servers", server.as_str())]).expect("good keys");
        let client = Client::connect(&host, dialer, config).await.expect("a broker");
        if !server.is_empty() {
            let made = client.admin().create_topics(&[NewTopic::new(TOPIC, PARTITIONS)]).await;
            println!("topic: {:?}", made.expect("an answer").values());
        }
        for (keyed, keys) in [
            (false, &[("linger.ms", "5")][..]),
            (true, &[("linger.ms", "5")][..]),
            (true, &[("linger.ms", "5"), ("batch.size", "131072"), ("compression.type", "lz4")][..]),
        ] {
            let config = ProducerConfig::from_pairs(keys.iter().copied()).expect("good keys");
            let producer = Producer::new(&client, config).expect("good settings");
            run(
                &host,
                &producer,
                keyed,
                &format!("send, {} {keys:?}", if keyed { "keys" } else { "no keys" }),
            )
            .await;
            producer.close().await.expect("all are written");
        }
        read(&host, &client, false).await;
        read(&host, &client, true).await;
    });
}

/// Reads from the beginning.
async fn read(host: &Host, client: &Client, raw: bool) {
    let config =
        ConsumerConfig::from_pairs([("auto.offset.reset", "earliest"), ("max.poll.records", "5000")]);
    let mut consumer = Consumer::new(client, config.expect("good keys")).expect("good settings");
    let names: Vec<_> = (0..PARTITIONS).map(|number| TopicPartition::new(TOPIC, number)).collect();
    consumer.assign(&names).expect("it does not subscribe");
    let (started, cpu) = (host.now(), cpu_time());
    let timeout = Duration::from_secs(1);
    let (mut count, mut scratch, mut bytes) = (0, Vec::new(), 0);
    while count < RECORDS {
        if raw {
            for fetched in consumer.poll_batches(timeout).await.expect("it reads").records {
                for batch in batches(&fetched.records) {
                    let batch = batch.expect("a good batch");
                    for record in batch.records(&mut scratch).expect("good records") {
                        bytes += record.expect("a good record").value.map_or(0, <[u8]>::len);
                        count += 1;
                    }
                }
            }
        } else {
            for record in consumer.poll(timeout).await.expect("it reads").records {
                bytes += record.value.map_or(0, |value| value.len());
                count += 1;
            }
        }
    }
    let what = if raw { "poll_batches" } else { "poll" };
    report(host, started, cpu, count, &format!("{what} ({} MB of values)", bytes / 1_000_000));
}

async fn run(host: &Host, producer: &Producer, keyed: bool, what: &str) {
    let value = [b'x'; 92];
    let (started, cpu) = (host.now(), cpu_time());
    for number in 0..RECORDS {
        let key = number.to_be_bytes();
        let record = ProducerRecord::new(TOPIC).value(&value);
        let record = if keyed { record.key(&key) } else { record };
        drop(producer.send(record).await.expect("it is taken"));
    }
    producer.flush().await.expect("all are written");
    report(host, started, cpu, RECORDS, what);
}

fn report(host: &Host, started: Instant, cpu: Duration, records: u64, what: &str) {
    let (took, cpu) = ((host.now() - started).as_secs_f64(), (cpu_time() - cpu).as_secs_f64());
    let million = records as f64 / 1e6;
    println!("{what}: {:.2} M records/s, {:.3} us of CPU a record", million / took, cpu / million);
}

/// User and system time of this process.
fn cpu_time() -> Duration {
    #[allow(clippy::disallowed_methods, reason = "a bench may look at the system")]
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// A broker that leads everything and keeps nothing.
fn acknowledge_everything(host: &Host) -> Dialer {
    let (listener, dialer) = in_process();
    let world = host.clone();
    host.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            world.spawn(async move {
                let mut arrived = BytesMut::with_capacity(1 << 20);
                while matches!(stream.read_buf(&mut arrived).await, Ok(1..)) {
                    while let Ok(Some(frame)) = take_frame(&mut arrived, usize::MAX) {
                        if stream.write_all(&answer(&frame).into_bytes()).await.is_err() {
                            return;
                        }
                    }
                    arrived.reserve(1 << 16);
                }
            });
        }
    });
    dialer
}

fn answer(frame: &Bytes) -> Segments {
    let mut decoder = Decoder::new(frame);
    let header = RequestHeader::decode(&mut decoder).expect("a good client");
    let key = ApiKey::from_i16(header.api_key).expect("a good client");
    let (version, id) = (header.api_version, header.correlation_id);
    match key {
        ApiKey::ApiVersions => {
            let range = |key: &ApiKey| ApiVersion {
                api_key: (*key).into(),
                min_version: *key.versions().start(),
                max_version: *key.versions().end(),
            };
            let api_keys = ApiKey::ALL.iter().map(range).collect();
            encode_response(key, version, id, &ApiVersionsResponse { api_keys, ..Default::default() })
        }
        ApiKey::Metadata => {
            let partition = |partition_index| MetadataResponsePartition {
                partition_index,
                leader_id: 1,
                leader_epoch: 0,
                ..Default::default()
            };
            let topic = MetadataResponseTopic {
                name: Some(TOPIC),
                topic_id: Uuid([1; 16]),
                partitions: (0..PARTITIONS).map(partition).collect(),
                ..Default::default()
            };
            let broker = MetadataResponseBroker { node_id: 1, host: "here", port: 1, ..Default::default() };
            let response =
                MetadataResponse { brokers: vec![broker], topics: vec![topic], ..Default::default() };
            encode_response(key, version, id, &response)
        }
        ApiKey::InitProducerId => encode_response(
            key,
            version,
            id,
            &InitProducerIdResponse { producer_id: 1, ..Default::default() },
        ),
        ApiKey::Produce => {
            let request = ProduceRequest::decode(&mut decoder, version).expect("a good client");
            let topic =
                |topic: &anabranch_protocol::messages::produce::TopicProduceData<'_>| TopicProduceResponse {
                    topic_id: topic.topic_id,
                    partition_responses: topic
                        .partition_data
                        .iter()
                        .map(|data| PartitionProduceResponse { index: data.index, ..Default::default() })
                        .collect(),
                    ..Default::default()
                };
            let responses = request.topic_data.iter().map(topic).collect();
            encode_response(key, version, id, &ProduceResponse { responses, ..Default::default() })
        }
        ApiKey::ListOffsets => {
            let request = ListOffsetsRequest::decode(&mut decoder, version).expect("a good client");
            let partitions = request.topics[0].partitions.iter().map(|asked| ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                offset: 0,
                ..Default::default()
            });
            let topic = ListOffsetsTopicResponse { name: TOPIC, partitions: partitions.collect() };
            encode_response(
                key,
                version,
                id,
                &ListOffsetsResponse { topics: vec![topic], ..Default::default() },
            )
        }
        ApiKey::Fetch => {
            let request = FetchRequest::decode(&mut decoder, version).expect("a good client");
            let partition = |asked: &FetchPartition| PartitionData {
                partition_index: asked.partition,
                high_watermark: i64::MAX,
                records: Some(records_at(asked.fetch_offset)),
                ..Default::default()
            };
            let topic = |topic: &FetchTopic<'_>| FetchableTopicResponse {
                topic_id: topic.topic_id,
                partitions: topic.partitions.iter().map(partition).collect(),
                ..Default::default()
            };
            let responses = request.topics.iter().map(topic).collect();
            encode_response(key, version, id, &FetchResponse { responses, ..Default::default() })
        }
        other => panic!("{other} is not part of this"),
    }
}

/// Fifty batches of 150 records from `offset` on.
fn records_at(offset: i64) -> Bytes {
    static BATCH: OnceLock<Bytes> = OnceLock::new();
    let batch = BATCH.get_or_init(|| {
        let mut builder = BatchBuilder::new(Compression::None);
        for number in 0..150_u64 {
            builder.append(0, Some(&number.to_be_bytes()), Some(&[b'x'; 92]), []).expect("small");
        }
        builder.finish().freeze()
    });
    let mut bytes = BytesMut::with_capacity(batch.len() * 50);
    for number in 0..50 {
        let at = bytes.len();
        bytes.extend_from_slice(batch);
        set_base_offset(&mut bytes[at..], offset + number * 150);
    }
    bytes.freeze()
}

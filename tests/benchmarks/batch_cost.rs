//! What a produced batch costs the broker, from one partition to ten thousand and from one connection to a thousand.
//!
//! ```text
//! cargo build --release -p anabranch-cli && cargo bench -p anabranch-tests --bench batch_cost
//! cargo bench -p anabranch-tests --bench batch_cost -- --bootstrap-server HOST:PORT --server-pid PID
//! tests/benchmarks/beside_kafka            # beside Apache Kafka, and more
//! ```
//!
//! A request carries one batch of a hundred records of a hundred bytes, with acks=all. Ten requests are under way at any time,
//! however many partitions they go to and over however many connections they come, so that nothing but that number changes.
//! `--partitions` and `--connections` (`1,100,10000`) say which numbers, `--batches` how many batches each. Nothing here decides
//! whether a test passes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a program that measures the world it runs in"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anabranch_client::{Client, ClientConfig, NewTopic};
use anabranch_host::Host;
use anabranch_protocol::frame::take_frame;
use anabranch_protocol::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use anabranch_protocol::records::{BatchBuilder, Compression};
use anabranch_protocol::{ApiKey, Decoder, ErrorCode, Message, RequestHeader, encode_request};
use anabranch_tests::arguments::Arguments;
use anabranch_tests::server::Server;
use bytes::{Bytes, BytesMut};

const UNDER_WAY: usize = 10;
const BATCHES_THAT_MAKE_FILES: usize = 4;
const PRODUCE_VERSION: i16 = 11;
const RECORDS_PER_BATCH: usize = 100;

fn main() {
    let arguments = Arguments::of_this_program();
    let numbers = |name: &str, otherwise: &str| -> Vec<usize> {
        let list = arguments.value(name).unwrap_or(otherwise.into());
        list.split(',').filter(|one| !one.is_empty()).map(|one| one.parse().unwrap()).collect()
    };
    let batches = arguments.number("--batches", 50_000) as usize;
    let server = arguments
        .value("--bootstrap-server")
        .map_or_else(Server::start, |address| Server::running(address, arguments.value("--server-pid")));
    println!("memory, idle                  {} MiB", server.memory_mib().0);
    topic(&server, "warm-up", 1);
    load(&mut connect(&server, UNDER_WAY), "warm-up", 1, batches);

    for partitions in numbers("--partitions", "1,10,100,1000,10000") {
        let name = format!("over-{partitions}");
        topic(&server, &name, partitions);
        // The first batches of a partition make its files, those of the indexes too.
        load(&mut connect(&server, UNDER_WAY), &name, partitions, BATCHES_THAT_MAKE_FILES * partitions);
        let mut connections = connect(&server, UNDER_WAY);
        report(&server, &format!("{partitions} partitions"), batches, || {
            load(&mut connections, &name, partitions, batches);
        });
    }
    topic(&server, "one", 1);
    for connections in numbers("--connections", "1,10,100,1000") {
        let name = format!("{connections} connections");
        let mut connections = connect(&server, connections);
        let first = connections.len();
        load(&mut connections, "one", 1, first);
        report(&server, &name, batches, || load(&mut connections, "one", 1, batches));
    }
    println!("server                        {}", server.figures());
}

fn report(server: &Server, what: &str, batches: usize, work: impl FnOnce()) {
    let (started, cpu) = (Instant::now(), server.cpu_seconds());
    work();
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), server.cpu_seconds() - cpu);
    let (micros, rate) = (cpu * 1e6 / batches as f64, batches as f64 / seconds);
    println!("{what:<20}  {micros:>6.1} us of the broker's CPU a batch, {rate:>7.0} batches/s");
}

fn topic(server: &Server, name: &str, partitions: usize) {
    let (host, runtime) = Host::real(1).unwrap();
    runtime.block_on(async {
        let pairs = [("bootstrap.servers", server.address.as_str()), ("default.api.timeout.ms", "600000")];
        let config = ClientConfig::from_pairs(pairs).unwrap();
        let client = Client::connect(&host, host.dialer(), config).await.unwrap();
        let topic = NewTopic::new(name, partitions as i32);
        for (_, created) in client.admin().create_topics(&[topic]).await.unwrap() {
            created.unwrap();
        }
    });
}

fn connect(server: &Server, connections: usize) -> Vec<Connection> {
    (0..connections).map(|_| Connection::open(&server.address)).collect()
}

/// Writes so many batches to so many partitions in turn, over all connections in turn.
fn load(connections: &mut [Connection], topic: &str, partitions: usize, batches: usize) {
    let batch = batch();
    let next = AtomicUsize::new(0);
    let workers = connections.len().min(UNDER_WAY);
    let each = UNDER_WAY / workers;
    std::thread::scope(|scope| {
        for own in connections.chunks_mut(connections.len().div_ceil(workers)) {
            let (batch, next) = (&batch, &next);
            scope.spawn(move || {
                let mut turn = 0;
                loop {
                    let first = next.fetch_add(each, Ordering::Relaxed);
                    let numbers = first..(first + each).min(batches);
                    if numbers.is_empty() {
                        break;
                    }
                    turn = (turn + 1) % own.len();
                    own[turn].produce(topic, numbers.map(|number| number % partitions), batch);
                }
            });
        }
    });
}

fn batch() -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for number in 0..RECORDS_PER_BATCH {
        builder.append(1_700_000_000_000 + number as i64, None, Some(&[b'x'; 92]), []).unwrap();
    }
    builder.finish().freeze()
}

struct Connection {
    stream: TcpStream,
    arrived: BytesMut,
}

impl Connection {
    fn open(address: &str) -> Connection {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream, arrived: BytesMut::new() }
    }

    /// Sends a request for each partition, then takes their answers.
    fn produce(&mut self, topic: &str, partitions: impl Iterator<Item = usize>, batch: &Bytes) {
        let mut asked = 0;
        for partition in partitions {
            let data = PartitionProduceData { index: partition as i32, records: Some(batch.clone()) };
            let topic = TopicProduceData { name: topic, partition_data: vec![data], ..Default::default() };
            let request = ProduceRequest {
                acks: -1,
                timeout_ms: 30_000,
                topic_data: vec![topic],
                ..Default::default()
            };
            let header = RequestHeader {
                api_key: ApiKey::Produce as i16,
                api_version: PRODUCE_VERSION,
                correlation_id: asked,
                client_id: Some("batch-cost"),
            };
            self.stream.write_all(&encode_request(&header, &request).into_bytes()).unwrap();
            asked += 1;
        }
        for expected in 0..asked {
            let mut frame = self.frame();
            let correlation_id = i32::from_be_bytes(frame[..4].try_into().unwrap());
            assert_eq!(correlation_id, expected, "answers come in order");
            let body = frame.split_off(5); // the correlation id, and no tagged field
            let response = ProduceResponse::decode(&mut Decoder::new(&body), PRODUCE_VERSION).unwrap();
            assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
        }
    }

    fn frame(&mut self) -> Bytes {
        loop {
            if let Some(frame) = take_frame(&mut self.arrived, usize::MAX).unwrap() {
                return frame;
            }
            let mut some = [0; 4096];
            let count = self.stream.read(&mut some).unwrap();
            assert!(count > 0, "the broker closed the connection");
            self.arrived.extend_from_slice(&some[..count]);
        }
    }
}

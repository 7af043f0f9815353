//! The built server, killed again and again in the middle of its work: no acknowledged record is lost, none is there
//! twice, the order of each producer is kept, and nobody has read what is not there in the end.
//!
//! Several idempotent producers (acks=all) write to several partitions and a reader follows them, while the server gets
//! SIGKILL at random moments and is started again on its data. 20 rounds; `ANABRANCH_FULL=1` makes 200. The moments come
//! from a seed (`ANABRANCH_SEED` replays them as well as a real machine can).
//!
//! Reading order: [`judge`] (what must be true in the end), [`process`] (the server), then the run here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod judge;
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anabranch_client::{
    Client, ClientConfig, Consumer, ConsumerConfig, NewTopic, Producer, ProducerConfig, ProducerRecord,
    TopicPartition,
};
use anabranch_host::Host;

use judge::{Outcome, Read, Sent, Value, judge};
use process::Server;

const TOPIC: &str = "numbers";
const PARTITIONS: i32 = 3;
const PRODUCERS: u32 = 4;
/// Records of one producer that may wait for their acknowledgement.
const IN_FLIGHT: usize = 500;

async fn connect(host: &Host, server: &Server) -> Client {
    let address = server.address();
    let config = ClientConfig::from_pairs([("bootstrap.servers", address.as_str())]).unwrap();
    Client::connect(host, host.dialer(), config).await.unwrap()
}

/// Sends rising numbers until told to stop, to each partition in turn; what became of each.
async fn produce(client: Client, number: u32, is_over: Arc<AtomicBool>) -> Vec<Sent> {
    let keys = [("delivery.timeout.ms", "300000"), ("linger.ms", "2"), ("batch.size", "1000")];
    let producer = Producer::new(&client, ProducerConfig::from_pairs(keys).unwrap()).unwrap();
    let mut waiting = std::collections::VecDeque::new();
    let mut sent = Vec::new();
    let mut settle = async |(partition, value, delivery): (i32, Value, anabranch_client::Delivery)| {
        let outcome = match delivery.await {
            Ok(written) => Outcome::Acknowledged { offset: written.offset },
            Err(error) => {
                eprintln!("{value:?}: {error}");
                Outcome::Unknown
            }
        };
        sent.push(Sent { partition, value, outcome });
    };
    let mut sequence = 0;
    while !is_over.load(Ordering::Acquire) {
        let value = Value { producer: number, sequence };
        let partition = (sequence % PARTITIONS as u32) as i32;
        let record = ProducerRecord::new(TOPIC).partition(partition);
        let delivery = producer.send(record.value(&value.to_bytes())).await.unwrap();
        waiting.push_back((partition, value, delivery));
        if waiting.len() >= IN_FLIGHT {
            settle(waiting.pop_front().unwrap()).await;
        }
        sequence += 1;
    }
    for delivery in waiting {
        settle(delivery).await;
    }
    producer.close().await.unwrap();
    sent
}

/// Reads all partitions from the beginning until `is_done` says so of what it has.
async fn read(client: &Client, is_done: impl Fn(&Consumer, usize) -> bool) -> Vec<Read> {
    // For transactions: read_committed, and nothing of an aborted one may come.
    let keys = [("auto.offset.reset", "earliest"), ("isolation.level", "read_committed")];
    let mut consumer = Consumer::new(client, ConsumerConfig::from_pairs(keys).unwrap()).unwrap();
    let all: Vec<_> = (0..PARTITIONS).map(|partition| TopicPartition::new(TOPIC, partition)).collect();
    consumer.assign(&all).unwrap();
    let mut reads = Vec::new();
    while !is_done(&consumer, reads.len()) {
        let polled = consumer.poll(Duration::from_millis(100)).await.unwrap();
        reads.extend(polled.records.iter().map(|record| Read {
            partition: record.partition,
            offset: record.offset,
            value: Value::from_bytes(record.value.as_ref().expect("every record has a value")),
        }));
    }
    reads
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills_at_random_moments() {
    let rounds = if std::env::var_os("ANABRANCH_FULL").is_some() { 200 } else { 20 };
    let (host, runtime) = Host::real(2).unwrap();
    let seed =
        std::env::var("ANABRANCH_SEED").ok().map(|seed| seed.parse().expect("ANABRANCH_SEED is a number"));
    let seed = seed.unwrap_or_else(|| host.random_u64());
    println!("replay: ANABRANCH_SEED={seed} cargo test -p anabranch-cli --test kill_9");
    let mut dice = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let mut server = Server::start(&host, directory.path(), &[], None).await;
        let client = connect(&host, &server).await;
        let created = client.admin().create_topics(&[NewTopic::new(TOPIC, PARTITIONS)]).await.unwrap();
        created[TOPIC].as_ref().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let producing: Vec<_> = (0..PRODUCERS)
            .map(|number| host.spawn(produce(client.clone(), number, is_over.clone())))
            .collect();
        let (follower, over) = (client.clone(), is_over.clone());
        let following = host.spawn(async move { read(&follower, |_, _| over.load(Ordering::Acquire)).await });
        for _ in 0..rounds {
            host.sleep(Duration::from_millis(dice.u64(1..400))).await;
            server.kill();
            server.start_again(&host).await;
        }
        host.sleep(Duration::from_millis(200)).await;
        is_over.store(true, Ordering::Release);
        let mut sent = Vec::new();
        for producer in producing {
            sent.extend(producer.await.unwrap());
        }
        let followed = following.await.unwrap();
        server.kill();
        server.start_again(&host).await;

        let ends = |consumer: &Consumer| {
            (0..PARTITIONS).all(|partition| {
                let partition = TopicPartition::new(TOPIC, partition);
                consumer.log_bounds(&partition).is_some_and(|bounds| {
                    consumer.position(&partition).is_some_and(|position| position >= bounds.high_watermark)
                })
            })
        };
        // The numbers are there to say how far it got should it never end.
        let finally = read(&connect(&host, &server).await, |consumer, _| ends(consumer)).await;
        let acknowledged =
            sent.iter().filter(|sent| matches!(sent.outcome, Outcome::Acknowledged { .. })).count();
        println!(
            "{rounds} kills: {} sent, {acknowledged} acknowledged, {} read on the way",
            sent.len(),
            followed.len()
        );
        let violations = judge(&sent, &followed, &finally);
        assert!(violations.is_empty(), "{} violations, such as {:#?}", violations.len(), &violations[..1]);
        assert!(acknowledged > 20 * rounds, "too little was acknowledged to have tested anything");
        assert!(!followed.is_empty());
        server.stop(&host).await;
    });
}

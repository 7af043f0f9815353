//! A broker that goes and comes back: its clients go on, and nothing is lost or doubled.

use std::collections::BTreeSet;
use std::time::Duration;

use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_client::{
    Client, ClientConfig, Consumer, ConsumerConfig, NewTopic, Producer, ProducerConfig, ProducerRecord,
};
use anabranch_host::Host;

async fn start(host: &Host, directory: &str, port: u16) -> (EmbeddedBroker, u16) {
    let text = format!("listeners=PLAINTEXT://127.0.0.1:{port}\nlog.dirs={directory}");
    let config = BrokerConfig::from_properties(&text).unwrap();
    let broker = EmbeddedBroker::start(host.clone(), config).await.unwrap();
    let endpoints = broker.broker().listen().await.unwrap();
    (broker, endpoints[0].port)
}

#[test]
fn clients_outlive_their_broker() {
    let (host, runtime) = Host::real(2).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().to_str().unwrap();
    runtime.block_on(async {
        let (mut broker, port) = start(&host, directory, 0).await;
        let server = format!("127.0.0.1:{port}");
        let config = ClientConfig::from_pairs([("bootstrap.servers", server.as_str())]).unwrap();
        let client = Client::connect(&host, host.dialer(), config).await.unwrap();
        client.admin().create_topics(&[NewTopic::new("t", 2)]).await.unwrap()["t"].as_ref().unwrap();
        let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
        let keys = [("group.id", "g"), ("auto.offset.reset", "earliest"), ("heartbeat.interval.ms", "200")];
        let mut consumer = Consumer::new(&client, ConsumerConfig::from_pairs(keys).unwrap()).unwrap();
        consumer.subscribe(["t"]).unwrap();

        let mut seen = BTreeSet::new();
        let mut deliveries = Vec::new();
        for round in 0..3_u32 {
            for number in 0..200 {
                let value = (round * 1000 + number).to_be_bytes();
                deliveries
                    .push(producer.send(ProducerRecord::new("t").key(&value).value(&value)).await.unwrap());
            }
            if round < 2 {
                // Some of them are on their way.
                broker.shutdown().await;
                (broker, _) = start(&host, directory, port).await;
            }
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
        let deadline = host.now() + Duration::from_secs(30);
        while seen.len() < 600 {
            assert!(host.now() < deadline, "{} records came", seen.len());
            for record in consumer.poll(Duration::from_millis(100)).await.unwrap().records {
                let value = u32::from_be_bytes(record.value.unwrap()[..].try_into().unwrap());
                assert!(seen.insert(value), "{value} twice");
            }
        }
        assert!(consumer.poll(Duration::from_millis(100)).await.unwrap().records.is_empty());
        consumer.close().await.unwrap();
        producer.close().await.unwrap();
        broker.shutdown().await;
    });
}

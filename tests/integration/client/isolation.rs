//! What a consumer sees of transactions.

use std::time::Duration;

use anabranch_client::connection::{Connection, ConnectionOptions};
use anabranch_client::{
    Client, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord, TopicPartition,
};
use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use anabranch_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use anabranch_protocol::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use anabranch_protocol::records::{BatchBuilder, Compression, seal, set_producer, set_transactional};

use super::{Cluster, on_each_cluster};

async fn init_transactions(cluster: &Cluster, connection: &Connection, id: &str) -> (i64, i16) {
    let deadline = cluster.host.now() + Duration::from_secs(30);
    loop {
        let request = InitProducerIdRequest {
            transactional_id: Some(id),
            transaction_timeout_ms: 60_000,
            ..Default::default()
        };
        let answer = connection.call(&request).await.unwrap();
        let response: InitProducerIdResponse = answer.decode().unwrap();
        match response.error_code {
            ErrorCode::NONE => return (response.producer_id, response.producer_epoch),
            code => assert!(cluster.host.now() < deadline, "{code}"),
        }
        cluster.host.sleep(Duration::from_millis(50)).await;
    }
}

async fn read(client: &Client, cluster: &Cluster, topic: &str, isolation: &str, end: i64) -> Vec<String> {
    let keys = [("isolation.level", isolation), ("auto.offset.reset", "earliest")];
    let mut consumer = Consumer::new(client, ConsumerConfig::from_pairs(keys).unwrap()).unwrap();
    let name = TopicPartition::new(topic, 0);
    consumer.assign(std::slice::from_ref(&name)).unwrap();
    let deadline = cluster.host.now() + Duration::from_secs(20);
    let mut values = Vec::new();
    while consumer.position(&name) != Some(end) {
        assert!(cluster.host.now() < deadline, "{values:?} at {:?}", consumer.position(&name));
        for record in consumer.poll(Duration::from_millis(100)).await.unwrap().records {
            values.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
        }
    }
    values
}

#[test]
fn aborted_records_are_not_seen_by_who_reads_committed_ones() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic = cluster.topic(&client, "transactions", 1).await;
        let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
        let plain = async |value: &str| {
            producer.send(ProducerRecord::new(&topic).value(value)).await.unwrap().await.unwrap();
        };
        plain("first").await;

        // A transaction by hand: two records, and no end to it but that its producer begins anew.
        let options = ConnectionOptions {
            peer: "kafka".to_string(),
            client_id: "by hand".to_string(),
            request_timeout: Duration::from_secs(30),
            max_in_flight: 5,
        };
        let stream = cluster.connect().await;
        let connection = Connection::open(&cluster.host, stream, options).await.unwrap();
        let id = cluster.name("transactional");
        let finding = FindCoordinatorRequest { key: &id, key_type: 1, coordinator_keys: vec![&id] };
        let found = connection.call(&finding).await.unwrap();
        found.decode::<FindCoordinatorResponse<'_>>().unwrap();
        let (producer_id, epoch) = init_transactions(cluster, &connection, &id).await;
        let mut builder = BatchBuilder::new(Compression::None);
        for _ in 0..2 {
            builder.append(cluster.host.wall_clock_ms(), None, Some(b"aborted"), []).unwrap();
        }
        let mut batch = builder.finish();
        set_producer(&mut batch, producer_id, epoch, 0);
        set_transactional(&mut batch);
        seal(&mut batch);
        let data = PartitionProduceData { index: 0, records: Some(batch.freeze()) };
        let topic_id = client.metadata().topic(&topic).unwrap().id;
        let request = ProduceRequest {
            transactional_id: Some(&id),
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData { name: &topic, topic_id, partition_data: vec![data] }],
        };
        let answer = connection.call(&request).await.unwrap();
        let response: ProduceResponse<'_> = answer.decode().unwrap();
        let code = response.responses[0].partition_responses[0].error_code;
        assert_eq!(code, ErrorCode::NONE);
        plain("second").await;
        assert_eq!(read(&client, cluster, &topic, "read_committed", 1).await, ["first"], "it is undecided");

        init_transactions(cluster, &connection, &id).await;
        plain("third").await;
        // One offset is the marker's.
        let committed = read(&client, cluster, &topic, "read_committed", 6).await;
        assert_eq!(committed, ["first", "second", "third"]);
        let all = read(&client, cluster, &topic, "read_uncommitted", 6).await;
        assert_eq!(all, ["first", "aborted", "aborted", "second", "third"]);
    });
}

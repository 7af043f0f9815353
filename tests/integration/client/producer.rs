//! Records in, acknowledgements out.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_client::{
    ConfigResource, ErrorKind, IsolationLevel, OffsetSpec, Producer, ProducerConfig, ProducerRecord,
    TopicPartition,
};
use anabranch_protocol::records::{BatchBuilder, Compression};

use super::on_each_cluster;

#[test]
fn records_are_acknowledged_with_their_offsets() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic = cluster.topic(&client, "produced", 3).await;
        for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
            let config = [("compression.type", compression), ("linger.ms", "5")];
            let producer = Producer::new(&client, ProducerConfig::from_pairs(config).unwrap()).unwrap();
            let mut deliveries = Vec::new();
            for number in 0..1000_u32 {
                let (key, value) = (number.to_be_bytes(), vec![number as u8; 100]);
                let headers: [(&str, Option<&[u8]>); 2] = [("a", Some(b"1")), ("b", None)];
                let record =
                    ProducerRecord::new(&topic).key(&key).value(&value).headers(&headers).timestamp(7);
                deliveries.push(producer.send(record).await.unwrap());
            }
            let mut last = BTreeMap::new();
            for delivery in deliveries {
                let metadata = delivery.await.unwrap();
                assert_eq!((&*metadata.topic, metadata.timestamp), (topic.as_str(), 7));
                let before = last.insert(metadata.partition, metadata.offset);
                assert!(before.is_none_or(|before| before + 1 == metadata.offset), "in order, without gaps");
            }
            assert_eq!(last.len(), 3, "keys reach every partition");
            producer.close().await.unwrap();
            let error = producer.send(ProducerRecord::new(&topic)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed);
        }
        let wanted =
            (0..3).map(|number| (TopicPartition::new(topic.as_str(), number), OffsetSpec::Latest)).collect();
        let ends = client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
        let total: i64 = ends.values().map(|end| end.as_ref().unwrap().offset).sum();
        assert_eq!(total, 5000, "each record once");
    });
}

#[test]
fn finished_batches_are_written_in_order() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic: Arc<str> = cluster.topic(&client, "batches", 1).await.into();
        let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let mut builder = BatchBuilder::new(Compression::Lz4);
        for _ in 0..50 {
            for _ in 0..10 {
                builder.append(1, Some(b"k"), Some(b"v"), []).unwrap();
            }
            let sender = sender.clone();
            let on_ack = move |result: Result<_, _>| sender.send(result).unwrap();
            producer.send_batch(Arc::clone(&topic), 0, builder.finish(), on_ack).await.unwrap();
        }
        producer.flush().await.unwrap();
        for number in 0..50 {
            assert_eq!(receiver.try_recv().unwrap().unwrap().base_offset, number * 10);
        }
        let refused = producer.send_batch(topic, 1, builder.finish(), |_| ()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "an empty batch is none");
    });
}

#[test]
fn records_that_cannot_be_are_refused() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic = cluster.topic(&client, "refused", 1).await;
        let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
        let too_large = vec![0; 2_000_000];
        let error = producer.send(ProducerRecord::new(&topic).value(&too_large)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        let error = producer.send(ProducerRecord::new(&topic).partition(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        // An hour ahead is what Kafka takes at most by default.
        let ahead = cluster.host.wall_clock_ms() + 7_200_000;
        let error =
            producer.send(ProducerRecord::new(&topic).timestamp(ahead)).await.unwrap().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        let delivery = producer.send(ProducerRecord::new(&topic).value("good")).await.unwrap();
        assert_eq!(delivery.await.unwrap().offset, 0, "a refused batch leaves no gap");
    });
}

#[test]
fn batches_too_large_for_a_topic_are_cut() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic = cluster.topic(&client, "small", 1).await;
        let resource = ConfigResource::Topic(topic.clone());
        client.admin().alter_configs(&resource, &[("max.message.bytes", Some("1000"))]).await.unwrap();
        cluster
            .until("the setting holds", async || {
                let entries = client.admin().describe_configs(&resource).await.unwrap();
                entries.iter().any(|one| one.name == "max.message.bytes" && !one.is_default)
            })
            .await;
        let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
        let value = [0; 100];
        let mut deliveries = Vec::new();
        for _ in 0..100 {
            deliveries.push(producer.send(ProducerRecord::new(&topic).value(&value)).await.unwrap());
        }
        producer.flush().await.unwrap();
        for (delivery, offset) in deliveries.into_iter().zip(0..) {
            assert_eq!(delivery.await.unwrap().offset, offset);
        }
        let large = [0; 2000];
        let error =
            producer.send(ProducerRecord::new(&topic).value(&large)).await.unwrap().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    });
}

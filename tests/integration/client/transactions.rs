//! Transactions: records and offsets that count together or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::{
    Client, ConfigResource, Consumer, ConsumerConfig, ErrorKind, OffsetAndMetadata, Producer, ProducerConfig,
    ProducerRecord, TopicPartition,
};
use anabranch_protocol::ErrorCode;
use anabranch_protocol::records::{BatchBuilder, Compression};

use super::{Cluster, on_each_cluster};

fn producer(client: &Client, id: &str) -> Producer {
    let keys = [("transactional.id", id), ("transaction.timeout.ms", "30000"), ("linger.ms", "1")];
    Producer::new(client, ProducerConfig::from_pairs(keys).unwrap()).unwrap()
}

async fn send(producer: &Producer, topic: &str, partition: i32, value: &str) {
    let record = ProducerRecord::new(topic).value(value).partition(partition);
    drop(producer.send(record).await.unwrap());
}

/// All that is there, by partition; the end of each is looked up first.
async fn read(client: &Client, cluster: &Cluster, topic: &str, isolation: &str) -> Vec<String> {
    let keys = [("isolation.level", isolation), ("auto.offset.reset", "earliest")];
    let mut consumer = Consumer::new(client, ConsumerConfig::from_pairs(keys).unwrap()).unwrap();
    let count = client.metadata().partition_count(topic).unwrap();
    let names: Vec<_> = (0..count).map(|number| TopicPartition::new(topic, number)).collect();
    let specs = names.iter().map(|name| (name.clone(), anabranch_client::OffsetSpec::Latest)).collect();
    let level = match isolation {
        "read_committed" => anabranch_client::IsolationLevel::ReadCommitted,
        _ => anabranch_client::IsolationLevel::ReadUncommitted,
    };
    let ends = client.admin().list_offsets(&specs, level).await;
    consumer.assign(&names).unwrap();
    let deadline = cluster.host.now() + Duration::from_secs(20);
    let mut values = Vec::new();
    let at_end = |consumer: &Consumer| {
        names.iter().all(|name| {
            let end = ends[name].as_ref().unwrap().offset;
            consumer.position(name).is_some_and(|position| position >= end)
        })
    };
    while !at_end(&consumer) {
        assert!(cluster.host.now() < deadline, "on {}: {values:?}", cluster.name);
        for record in consumer.poll(Duration::from_millis(100)).await.unwrap().records {
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            values.push((record.partition, value));
        }
    }
    values.sort_by_key(|(partition, _)| *partition);
    values.into_iter().map(|(_, value)| value).collect()
}

/// Ends become visible a moment after they are promised.
async fn read_becomes(client: &Client, cluster: &Cluster, topic: &str, expected: &[&str]) {
    cluster
        .until("the committed records are seen", async || {
            read(client, cluster, topic, "read_committed").await == expected
        })
        .await;
}

#[test]
fn a_transaction_counts_as_a_whole_or_not_at_all() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic = cluster.topic(&client, "whole", 3).await;
        let producer = producer(&client, &cluster.name("whole"));
        let error = producer.send(ProducerRecord::new(&topic)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "before init_transactions: {error}");
        producer.init_transactions().await.unwrap();
        assert_eq!(producer.send(ProducerRecord::new(&topic)).await.unwrap_err().kind(), ErrorKind::Invalid);

        producer.begin_transaction().unwrap();
        assert!(producer.begin_transaction().is_err());
        for partition in 0..3 {
            send(&producer, &topic, partition, "a").await;
        }
        producer.commit_transaction().await.unwrap();
        read_becomes(&client, cluster, &topic, &["a", "a", "a"]).await;

        producer.begin_transaction().unwrap();
        send(&producer, &topic, 0, "b").await;
        producer.flush().await.unwrap();
        send(&producer, &topic, 1, "b").await;
        producer.abort_transaction().await.unwrap();
        read_becomes(&client, cluster, &topic, &["a", "a", "a"]).await;

        // Nothing in it: nobody hears of it.
        producer.begin_transaction().unwrap();
        producer.commit_transaction().await.unwrap();
        producer.begin_transaction().unwrap();
        producer.abort_transaction().await.unwrap();
        assert_eq!(producer.commit_transaction().await.unwrap_err().kind(), ErrorKind::Invalid);

        for number in 0..20 {
            producer.begin_transaction().unwrap();
            send(&producer, &topic, number % 3, "c").await;
            if number % 4 == 3 {
                producer.abort_transaction().await.unwrap();
            } else {
                producer.commit_transaction().await.unwrap();
            }
        }
        let expected: Vec<_> = (0..3)
            .flat_map(|partition| {
                let own = (0..20).filter(move |number| number % 3 == partition && number % 4 != 3);
                std::iter::once("a").chain(own.map(|_| "c"))
            })
            .collect();
        read_becomes(&client, cluster, &topic, &expected).await;

        producer.begin_transaction().unwrap();
        send(&producer, &topic, 0, "d").await;
        producer.flush().await.unwrap();
        producer.close().await.unwrap();
        read_becomes(&client, cluster, &topic, &expected).await;
        let all = read(&client, cluster, &topic, "read_uncommitted").await;
        assert!(all.contains(&"d".to_string()), "it was written, and aborted at the close");
    });
}

#[test]
fn finished_batches_belong_to_the_transaction() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic: Arc<str> = cluster.topic(&client, "batched", 1).await.into();
        let producer = producer(&client, &cluster.name("batched"));
        producer.init_transactions().await.unwrap();
        let mut builder = BatchBuilder::new(Compression::Lz4);
        for commit in [true, false, true] {
            producer.begin_transaction().unwrap();
            for _ in 0..30 {
                builder.append(1, None, Some(if commit { b"yes" } else { b"no" }), []).unwrap();
                producer.send_batch(Arc::clone(&topic), 0, builder.finish(), |_| ()).await.unwrap();
            }
            if commit {
                producer.commit_transaction().await.unwrap();
            } else {
                producer.abort_transaction().await.unwrap();
            }
        }
        read_becomes(&client, cluster, &topic, &["yes"; 60]).await;
    });
}

#[test]
fn whoever_takes_the_id_fences_the_one_before() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic = cluster.topic(&client, "fenced", 1).await;
        let id = cluster.name("fenced");
        let (first, second) = (producer(&client, &id), producer(&client, &id));
        first.init_transactions().await.unwrap();
        first.begin_transaction().unwrap();
        send(&first, &topic, 0, "first").await;
        first.flush().await.unwrap();

        second.init_transactions().await.unwrap();
        second.begin_transaction().unwrap();
        send(&second, &topic, 0, "second").await;
        second.commit_transaction().await.unwrap();

        let error = first.commit_transaction().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        for error in [
            first.begin_transaction().unwrap_err(),
            first.abort_transaction().await.unwrap_err(),
            first.init_transactions().await.unwrap_err(),
            first.send(ProducerRecord::new(&topic)).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        }
        read_becomes(&client, cluster, &topic, &["second"]).await;

        // Who writes on finds out by that.
        let third = producer(&client, &id);
        third.init_transactions().await.unwrap();
        third.begin_transaction().unwrap();
        send(&third, &topic, 0, "third").await;
        third.commit_transaction().await.unwrap();
        second.begin_transaction().unwrap();
        let delivery = second.send(ProducerRecord::new(&topic).value("late")).await.unwrap();
        let error = delivery.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        assert_eq!(second.commit_transaction().await.unwrap_err().kind(), ErrorKind::Fenced);
        read_becomes(&client, cluster, &topic, &["second", "third"]).await;
    });
}

#[test]
fn a_transaction_that_lacks_a_record_is_aborted_and_the_next_is_good() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (topic, small) =
            (cluster.topic(&client, "good", 1).await, cluster.topic(&client, "small-records", 1).await);
        let resource = ConfigResource::Topic(small.clone());
        client.admin().alter_configs(&resource, &[("max.message.bytes", Some("1000"))]).await.unwrap();
        cluster
            .until("the setting holds", async || {
                let entries = client.admin().describe_configs(&resource).await.unwrap();
                entries.iter().any(|one| one.name == "max.message.bytes" && !one.is_default)
            })
            .await;
        let producer = producer(&client, &cluster.name("lacking"));
        producer.init_transactions().await.unwrap();
        let (large, little) = ([b'x'; 2000], [b'y'; 300]);
        for _ in 0..3 {
            producer.begin_transaction().unwrap();
            send(&producer, &topic, 0, "lost").await;
            let record = ProducerRecord::new(&small).value(&large).partition(0);
            let error = producer.send(record).await.unwrap().await.unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::MESSAGE_TOO_LARGE));
            let error = producer.send(ProducerRecord::new(&topic).value("more")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Abort, "{error}");
            assert_eq!(producer.commit_transaction().await.unwrap_err().kind(), ErrorKind::Abort);
            producer.abort_transaction().await.unwrap();

            producer.begin_transaction().unwrap();
            send(&producer, &topic, 0, "kept").await;
            // Too large together, not one by one.
            for _ in 0..10 {
                drop(producer.send(ProducerRecord::new(&small).value(&little).partition(0)).await.unwrap());
            }
            producer.commit_transaction().await.unwrap();
        }
        read_becomes(&client, cluster, &topic, &["kept", "kept", "kept"]).await;
        cluster
            .until("all small records are seen", async || {
                read(&client, cluster, &small, "read_committed").await.len() == 30
            })
            .await;
    });
}

#[test]
fn offsets_are_committed_with_the_transaction() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (from, to) = (cluster.topic(&client, "from", 2).await, cluster.topic(&client, "to", 1).await);
        let group = cluster.name("exactly-once");
        let plain = Producer::new(&client, ProducerConfig::default()).unwrap();
        for number in 0..40 {
            send(&plain, &from, number % 2, &number.to_string()).await;
        }
        plain.close().await.unwrap();
        let keys = [
            ("group.id", group.as_str()),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("isolation.level", "read_committed"),
            ("max.poll.records", "7"),
        ];
        let make = || Consumer::new(&client, ConsumerConfig::from_pairs(keys).unwrap()).unwrap();
        let producer = producer(&client, &cluster.name("exactly-once"));
        producer.init_transactions().await.unwrap();
        let mut expected = Vec::new();
        // Every second transaction is aborted, and its records are read again by a consumer that begins anew.
        for round in 0.. {
            assert!(round < 100, "{} records are through", expected.len());
            let mut consumer = make();
            consumer.subscribe([&from]).unwrap();
            let mut records = Vec::new();
            for _ in 0..50 {
                records = consumer.poll(Duration::from_millis(100)).await.unwrap().records;
                if !records.is_empty() {
                    break;
                }
            }
            producer.begin_transaction().unwrap();
            for record in &records {
                let value = record.value.clone().unwrap();
                drop(producer.send(ProducerRecord::new(&to).value(&value)).await.unwrap());
            }
            let offsets: BTreeMap<_, _> = consumer
                .assignment()
                .into_iter()
                .filter_map(|name| {
                    consumer.position(&name).map(|position| (name, OffsetAndMetadata::new(position)))
                })
                .collect();
            let metadata = consumer.group_metadata().unwrap();
            producer.send_offsets_to_transaction(&offsets, &metadata).await.unwrap();
            if round % 2 == 0 {
                producer.abort_transaction().await.unwrap();
            } else {
                producer.commit_transaction().await.unwrap();
                for record in &records {
                    expected.push(String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap());
                }
            }
            consumer.close().await.unwrap();
            if expected.len() == 40 {
                // One that is no longer a member.
                producer.begin_transaction().unwrap();
                send(&producer, &to, 0, "stale").await;
                let refused = producer.send_offsets_to_transaction(&offsets, &metadata).await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Abort, "{refused}");
                let codes = [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::ILLEGAL_GENERATION];
                assert!(codes.map(Some).contains(&refused.code()), "{refused}");
                assert_eq!(producer.commit_transaction().await.unwrap_err().kind(), ErrorKind::Abort);
                producer.abort_transaction().await.unwrap();
                break;
            }
        }
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        read_becomes(&client, cluster, &to, &expected).await;
        let committed = client.admin().committed_offsets(&group, None).await.unwrap();
        assert_eq!(committed.values().map(|offset| offset.offset).collect::<Vec<_>>(), [20, 20]);
    });
}

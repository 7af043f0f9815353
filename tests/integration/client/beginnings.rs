//! Where a consumer begins, and what it can ask about offsets.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_client::{
    AutoOffsetReset, Client, Consumer, ConsumerConfig, ErrorKind, Producer, ProducerConfig, ProducerRecord,
    TopicPartition,
};

use super::{Cluster, on_each_cluster};

/// Writes one record of each age, in milliseconds.
async fn write(cluster: &Cluster, client: &Client, topic: &str, ages: &[i64]) -> i64 {
    let producer = Producer::new(client, ProducerConfig::default()).unwrap();
    let now = cluster.host.wall_clock_ms();
    for age in ages {
        let value = age.to_string();
        let record = ProducerRecord::new(topic).value(&value).timestamp(now - age).partition(0);
        drop(producer.send(record).await.unwrap());
    }
    producer.close().await.unwrap();
    now
}

fn consumer(client: &Client, reset: &str) -> Consumer {
    let keys = [("auto.offset.reset", reset)];
    Consumer::new(client, ConsumerConfig::from_pairs(keys).unwrap()).unwrap()
}

#[test]
fn offsets_are_found_by_time_and_at_both_ends() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic = cluster.topic(&client, "times", 2).await;
        let now = write(cluster, &client, &topic, &[3000, 2000, 1000]).await;
        let consumer = consumer(&client, "earliest");
        let (name, empty) = (TopicPartition::new(topic.as_str(), 0), TopicPartition::new(topic.as_str(), 1));
        let found = async |time| {
            let times = BTreeMap::from([(name.clone(), time), (empty.clone(), time)]);
            let found = consumer.offsets_for_times(&times).await.unwrap();
            assert!(!found.contains_key(&empty));
            found.get(&name).map(|listed| (listed.offset, listed.timestamp))
        };
        assert_eq!(found(0).await, Some((0, now - 3000)));
        assert_eq!(found(now - 2000).await, Some((1, now - 2000)));
        assert_eq!(found(now - 1999).await, Some((2, now - 1000)));
        assert_eq!(found(now).await, None);
        let negative = consumer.offsets_for_times(&BTreeMap::from([(name.clone(), -1)])).await.unwrap_err();
        assert_eq!(negative.kind(), ErrorKind::Invalid);
        let both = [name.clone(), empty.clone()];
        let first = consumer.beginning_offsets(&both).await.unwrap();
        assert_eq!(first, BTreeMap::from([(name.clone(), 0), (empty.clone(), 0)]));
        let last = consumer.end_offsets(&both).await.unwrap();
        assert_eq!(last, BTreeMap::from([(name.clone(), 3), (empty, 0)]));
        let missing = consumer.end_offsets(&[TopicPartition::new(topic.as_str(), 2)]).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Invalid, "{missing}");
    });
}

#[test]
fn a_consumer_begins_at_an_age_and_each_topic_where_its_policy_says() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (old, young) = (cluster.topic(&client, "old", 1).await, cluster.topic(&client, "young", 1).await);
        write(cluster, &client, &old, &[7_200_000, 3_600_000]).await;
        write(cluster, &client, &young, &[7_200_000, 3_000_000, 1_000_000]).await;
        let check = async |reset: &str, own: Option<AutoOffsetReset>, expected: [i64; 2]| {
            let mut consumer = consumer(&client, reset);
            if let Some(own) = own {
                consumer.set_offset_reset(&young, own);
            }
            let names = [&old, &young].map(|topic| TopicPartition::new(topic.as_str(), 0));
            consumer.assign(&names).unwrap();
            // No record is taken, so that the positions stay where they begin.
            consumer.pause(&names).unwrap();
            let deadline = cluster.host.now() + Duration::from_secs(20);
            while names.iter().any(|name| consumer.position(name).is_none()) {
                assert!(cluster.host.now() < deadline);
                consumer.poll(Duration::from_millis(20)).await.unwrap();
            }
            let positions = names.each_ref().map(|name| consumer.position(name).unwrap());
            assert_eq!(positions, expected, "{reset} {own:?}");
        };
        let minutes = |minutes: u64| AutoOffsetReset::ByDuration(Duration::from_secs(minutes * 60));
        check("by_duration:PT55M", None, [2, 1]).await;
        check("by_duration:P1D", None, [0, 0]).await;
        check("earliest", Some(minutes(20)), [0, 2]).await;
        check("earliest", Some(AutoOffsetReset::Latest), [0, 3]).await;
        check("latest", Some(AutoOffsetReset::Earliest), [2, 0]).await;
    });
}

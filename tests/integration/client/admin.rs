//! Administration: topics, offsets.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_client::{
    Client, ClientConfig, ConfigResource, Consumer, ConsumerConfig, ErrorKind, IsolationLevel, NewTopic,
    OffsetAndMetadata, OffsetSpec, Producer, ProducerConfig, ProducerRecord, TopicPartition,
};
use anabranch_host::Host;
use anabranch_protocol::ErrorCode;

use super::on_each_cluster;

#[test]
fn topics_are_created_described_and_deleted() {
    on_each_cluster(async |cluster| {
        let admin = cluster.client().await.admin();
        let (good, bad) = (cluster.name("created"), "no/such/name");
        let topics = [NewTopic::new(&good, 3).config("cleanup.policy", "compact"), NewTopic::new(bad, 1)];
        let results = admin.create_topics(&topics).await.unwrap();
        assert_eq!(results[&good].as_ref().unwrap().partitions, 3);
        assert!(!results[&good].as_ref().unwrap().id.is_zero());
        let refusal = results[bad].as_ref().unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::Invalid);
        assert_eq!(refusal.code(), Some(ErrorCode::INVALID_TOPIC_EXCEPTION));

        let again = admin.create_topics(&topics[..1]).await.unwrap();
        let refusal = again[&good].as_ref().unwrap_err();
        assert_eq!(refusal.code(), Some(ErrorCode::TOPIC_ALREADY_EXISTS));

        cluster
            .until("the topic is shown", async || {
                admin.describe_topics(&[&good]).await.unwrap()[&good].as_ref().is_ok()
            })
            .await;
        let described = admin.describe_topics(&[&good, "missing"]).await.unwrap();
        let topic = described[&good].as_ref().unwrap();
        assert_eq!(topic.partitions.len(), 3);
        assert!(topic.partitions.iter().all(|partition| partition.leader.is_some()));
        let refusal = described["missing"].as_ref().unwrap_err();
        assert_eq!(refusal.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        assert!(admin.list_topics().await.unwrap().iter().any(|topic| *topic.name == *good));

        let results = admin.delete_topics(&[&good, "missing"]).await.unwrap();
        assert!(results[&good].is_ok());
        let refusal = results["missing"].as_ref().unwrap_err();
        assert_eq!(refusal.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        cluster
            .until("the topic is gone", async || {
                admin.describe_topics(&[&good]).await.unwrap()[&good].is_err()
            })
            .await;
    });
}

#[test]
fn an_empty_partition_begins_and_ends_at_nothing() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (admin, topic) = (client.admin(), cluster.topic(&client, "empty", 2).await);
        let specs = [(0, OffsetSpec::Earliest), (1, OffsetSpec::Latest), (2, OffsetSpec::Latest)];
        let wanted = specs
            .into_iter()
            .map(|(number, spec)| (TopicPartition::new(topic.as_str(), number), spec))
            .collect();
        let found = admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
        for number in 0..2 {
            assert_eq!(found[&TopicPartition::new(topic.as_str(), number)].as_ref().unwrap().offset, 0);
        }
        // Nothing is in tiered storage, and nothing waits to be.
        for (spec, expected) in [
            (OffsetSpec::EarliestLocal, 0),
            (OffsetSpec::LatestTiered, -1),
            (OffsetSpec::EarliestPendingUpload, -1),
        ] {
            let wanted = [(TopicPartition::new(topic.as_str(), 0), spec)].into();
            let found = admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
            let offset = found.values().next().unwrap().as_ref().unwrap().offset;
            assert_eq!(offset, expected, "{spec:?}");
        }
        let refusal = found[&TopicPartition::new(topic.as_str(), 2)].as_ref().unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::Invalid, "{refusal}");
        admin.delete_topics(&[&topic]).await.unwrap()[&topic].as_ref().unwrap();
    });
}

#[test]
fn offsets_of_a_group_without_members_are_committed_and_read() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let admin = client.admin();
        let (topic, group) = (cluster.topic(&client, "committed", 2).await, cluster.name("group"));
        assert_eq!(admin.committed_offsets(&group, None).await.unwrap(), BTreeMap::new());
        let partition = TopicPartition::new(topic.as_str(), 1);
        let offset = OffsetAndMetadata::new(42).with_metadata("remember");
        let offsets = BTreeMap::from([(partition.clone(), offset)]);
        admin.commit_offsets(&group, &offsets).await.unwrap()[&partition].as_ref().unwrap();
        assert_eq!(admin.committed_offsets(&group, None).await.unwrap(), offsets);
        let asked = [TopicPartition::new(topic.as_str(), 0), partition];
        assert_eq!(admin.committed_offsets(&group, Some(&asked)).await.unwrap(), offsets);
        admin.delete_topics(&[&topic]).await.unwrap()[&topic].as_ref().unwrap();
    });
}

#[test]
fn a_server_that_is_not_there_is_one_clear_line_in_bounded_time() {
    let (host, runtime) = Host::real(1).unwrap();
    let started = host.now();
    let port = runtime.block_on(async {
        // A port that was free a moment ago.
        let listener = host.listen("127.0.0.1:0").await.unwrap();
        listener.port().unwrap()
    });
    let server = format!("127.0.0.1:{port}");
    let keys = [("bootstrap.servers", server.as_str()), ("socket.connection.setup.timeout.ms", "300")];
    let config = ClientConfig::from_pairs(keys).unwrap();
    let error = runtime.block_on(Client::connect(&host, host.dialer(), config)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retriable);
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("no Kafka broker reached at {server} within 300 ms: cannot connect")),
        "{text}"
    );
    assert!(!text.contains('\n'));
    assert!((host.now() - started).as_secs() < 5);
}

#[test]
fn topics_grow_and_their_settings_change() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (admin, topic) = (client.admin(), cluster.topic(&client, "settings", 1).await);
        admin.create_partitions(&topic, 3).await.unwrap();
        assert_eq!(admin.create_partitions(&topic, 2).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert!(admin.create_partitions("missing", 2).await.is_err());
        cluster
            .until("it has three partitions", async || {
                let described = admin.describe_topics(&[&topic]).await.unwrap();
                described[&topic].as_ref().is_ok_and(|topic| topic.partitions.len() == 3)
            })
            .await;
        let broker = client.metadata().brokers().next().unwrap().id;
        admin.create_partitions_on(&topic, 5, &[vec![broker], vec![broker]]).await.unwrap();
        cluster
            .until("it has five partitions", async || {
                let described = admin.describe_topics(&[&topic]).await.unwrap();
                described[&topic].as_ref().is_ok_and(|topic| topic.partitions.len() == 5)
            })
            .await;
        for (brokers, why) in [(vec![vec![broker]], "one for two"), (vec![vec![4711]; 2], "nobody")] {
            let refused = admin.create_partitions_on(&topic, 7, &brokers).await.unwrap_err();
            assert_eq!(refused.code(), Some(ErrorCode::INVALID_REPLICA_ASSIGNMENT), "{why}: {refused}");
        }
        let resource = ConfigResource::Topic(topic.clone());
        let retention = async || {
            let entries = admin.describe_configs(&resource).await.unwrap();
            let entry = entries.into_iter().find(|entry| entry.name == "retention.ms").unwrap();
            (entry.value, entry.is_default)
        };
        assert_eq!(retention().await, (Some("604800000".to_string()), true));
        admin.alter_configs(&resource, &[("retention.ms", Some("1000"))]).await.unwrap();
        cluster
            .until("the setting is changed", async || retention().await == (Some("1000".to_string()), false))
            .await;
        admin.alter_configs(&resource, &[("retention.ms", None)]).await.unwrap();
        cluster.until("the default is back", async || retention().await.1).await;
        let error = admin.alter_configs(&resource, &[("retention", Some("1"))]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    });
}

#[test]
fn groups_are_listed_described_and_deleted() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let admin = client.admin();
        let (topic, group) = (cluster.topic(&client, "described", 2).await, cluster.name("described"));
        let keys = [("group.id", group.as_str())];
        let mut consumer = Consumer::new(&client, ConsumerConfig::from_pairs(keys).unwrap()).unwrap();
        consumer.subscribe([&topic]).unwrap();
        while consumer.assignment().is_empty() {
            consumer.poll(Duration::from_millis(20)).await.unwrap();
        }
        let description = admin.describe_group(&group).await.unwrap();
        assert_eq!((description.state.as_str(), description.protocol.as_str()), ("Stable", "range"));
        assert_eq!(description.members[0].partitions, consumer.assignment());
        assert_eq!(description.members[0].client_id, "integration");
        let listed = admin.list_groups().await.unwrap();
        assert_eq!(listed.iter().find(|one| one.group_id == group).unwrap().state, "Stable");
        let error = admin.delete_group(&group).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::NON_EMPTY_GROUP));

        let name = TopicPartition::new(topic.as_str(), 0);
        let offsets = BTreeMap::from([(name.clone(), OffsetAndMetadata::new(0))]);
        consumer.commit_offsets(&offsets).await.unwrap();
        let results = admin.delete_offsets(&group, std::slice::from_ref(&name)).await.unwrap();
        let refusal = results[&name].as_ref().unwrap_err();
        assert_eq!(refusal.code(), Some(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC));
        consumer.close().await.unwrap();
        assert!(admin.delete_offsets(&group, std::slice::from_ref(&name)).await.unwrap()[&name].is_ok());
        admin.delete_group(&group).await.unwrap();
        let error = admin.describe_group(&group).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::GROUP_ID_NOT_FOUND));
    });
}

#[test]
fn the_oldest_records_are_deleted() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (admin, topic) = (client.admin(), cluster.topic(&client, "deleted", 1).await);
        let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
        for _ in 0..10 {
            producer.send(ProducerRecord::new(&topic).value("v")).await.unwrap().await.unwrap();
        }
        let name = TopicPartition::new(topic.as_str(), 0);
        let delete = async |offset| {
            let results = admin.delete_records(&BTreeMap::from([(name.clone(), offset)])).await.unwrap();
            results[&name].as_ref().map(|offset| *offset).map_err(|error| error.kind())
        };
        // Of a partition that is not there that is said at once, and the others are served.
        let absent = TopicPartition::new(topic.as_str(), 1);
        let both = BTreeMap::from([(name.clone(), 1), (absent.clone(), 1)]);
        let results = admin.delete_records(&both).await.unwrap();
        assert_eq!(results[&name].as_ref().ok(), Some(&1));
        assert_eq!(results[&absent].as_ref().unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(delete(4).await, Ok(4));
        assert_eq!(delete(11).await, Err(ErrorKind::Invalid));
        let wanted = BTreeMap::from([(name.clone(), OffsetSpec::Earliest)]);
        let found = admin.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
        assert_eq!(found[&name].as_ref().unwrap().offset, 4);
        assert_eq!(delete(-1).await, Ok(10));
    });
}

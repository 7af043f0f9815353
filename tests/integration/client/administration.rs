//! Administration of what is less often touched: the cluster, directories, members, settings in parts, transactions.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_client::{
    ConfigChange, ConfigResource, ConfigSource, Consumer, ConsumerConfig, ErrorKind, Producer,
    ProducerConfig, ProducerRecord, ResetTo, TopicPartition, TransactionFilter,
};
use anabranch_protocol::ErrorCode;

use super::{on_each_cluster, on_kafka};

#[test]
fn the_cluster_and_its_brokers_are_described() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let described = client.admin().describe_cluster().await.unwrap();
        assert_eq!(Some(described.cluster_id.as_str()), client.metadata().cluster_id());
        let brokers: Vec<_> = client.metadata().brokers().cloned().collect();
        assert_eq!(described.brokers, brokers.into_iter().map(|broker| (broker, false)).collect::<Vec<_>>());
        assert!(described.controller.is_some());
    });
}

#[test]
fn settings_change_in_parts() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (admin, topic) = (client.admin(), cluster.topic(&client, "parts", 1).await);
        let resource = ConfigResource::Topic(topic.clone());
        let missing = ConfigResource::Topic(cluster.name("no-such-topic"));
        let alter = async |changes: Vec<ConfigChange>, check_only| {
            let changes = BTreeMap::from([(resource.clone(), changes)]);
            let results = admin.incremental_alter_configs(&changes, check_only).await.unwrap();
            results[&resource].as_ref().copied().map_err(anabranch_client::ClientError::kind)
        };
        let policy = async || {
            let entries = admin.describe_configs(&resource).await.unwrap();
            entries.into_iter().find(|entry| entry.name == "cleanup.policy").unwrap()
        };
        let set = |value: &str| ConfigChange::Set("cleanup.policy".to_string(), value.to_string());
        let append = ConfigChange::Append("cleanup.policy".to_string(), "compact".to_string());
        let subtract = ConfigChange::Subtract("cleanup.policy".to_string(), "delete".to_string());
        assert_eq!(alter(vec![set("compact")], true).await, Ok(()));
        assert_eq!(
            (policy().await.value.as_deref(), policy().await.source),
            (Some("delete"), ConfigSource::Default)
        );
        assert_eq!(alter(vec![append], false).await, Ok(()));
        let becomes = async |expected: &str| {
            cluster
                .until("the setting holds", async || policy().await.value.as_deref() == Some(expected))
                .await;
        };
        becomes("delete,compact").await;
        let entry = policy().await;
        assert_eq!((entry.source, entry.is_default), (ConfigSource::Topic, false));
        assert_eq!(entry.synonyms[0].source, ConfigSource::Topic);
        assert_eq!(entry.synonyms.last().unwrap().source, ConfigSource::Default);
        assert_eq!(alter(vec![subtract], false).await, Ok(()));
        becomes("compact").await;
        assert_eq!(alter(vec![ConfigChange::Unset("cleanup.policy".to_string())], false).await, Ok(()));
        becomes("delete").await;
        assert_eq!(alter(vec![set("nonsense")], false).await, Err(ErrorKind::Invalid));
        let changes = BTreeMap::from([(missing.clone(), vec![set("compact")])]);
        let refused = admin.incremental_alter_configs(&changes, false).await;
        assert!(refused.is_err() || refused.is_ok_and(|results| results[&missing].is_err()));
    });
}

#[test]
fn members_are_removed_by_name_and_all_at_once() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (admin, topic) = (client.admin(), cluster.topic(&client, "removed", 2).await);
        let group = cluster.name("removed");
        let join = async |instance: Option<&str>| {
            let mut keys = vec![("group.id", group.as_str()), ("heartbeat.interval.ms", "100")];
            keys.extend(instance.map(|name| ("group.instance.id", name)));
            let mut consumer = Consumer::new(&client, ConsumerConfig::from_pairs(keys).unwrap()).unwrap();
            consumer.subscribe([&topic]).unwrap();
            while consumer.assignment().is_empty() {
                consumer.poll(Duration::from_millis(20)).await.unwrap();
            }
            consumer
        };
        let one = join(Some("one")).await;
        // It is gone, and its place is kept for it.
        one.close().await.unwrap();
        assert_eq!(admin.describe_group(&group).await.unwrap().members.len(), 1);
        let results = admin.remove_members(&group, &["one", "two"], "it is replaced").await.unwrap();
        assert!(results["one"].is_ok());
        let refused = results["two"].as_ref().unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::UNKNOWN_MEMBER_ID));
        assert_eq!(admin.describe_group(&group).await.unwrap().members, []);
        let _two = join(None).await;
        let results = admin.remove_all_members(&group, "").await.unwrap();
        assert_eq!(results.len(), 1);
        assert!(results.values().all(Result::is_ok), "{results:?}");
    });
}

#[test]
fn a_group_reads_on_where_it_is_told() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (admin, topic) = (client.admin(), cluster.topic(&client, "reset", 1).await);
        let (group, name) = (cluster.name("reset"), TopicPartition::new(topic.as_str(), 0));
        let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
        for time in 0..10 {
            let record = ProducerRecord::new(&topic).value("v").timestamp(1000 + time);
            producer.send(record).await.unwrap().await.unwrap();
        }
        admin.delete_records(&BTreeMap::from([(name.clone(), 2)])).await.unwrap();
        let names = std::slice::from_ref(&name);
        let nowhere = admin.plan_reset(&group, names, ResetTo::ShiftBy(1)).await.unwrap();
        assert_eq!(nowhere[&name].as_ref().unwrap_err().kind(), ErrorKind::Invalid);
        let reset = async |to, expected: i64| {
            let planned = admin.plan_reset(&group, names, to).await.unwrap();
            assert_eq!(planned[&name].as_ref().map(|planned| planned.offset).ok(), Some(expected), "{to:?}");
            let results = admin.reset_offsets(&group, names, to).await.unwrap();
            assert_eq!(results[&name].as_ref().ok(), Some(&expected), "{to:?}");
            let committed = admin.committed_offsets(&group, None).await.unwrap();
            assert_eq!(committed[&name].offset, expected, "{to:?}");
        };
        reset(ResetTo::Earliest, 2).await;
        reset(ResetTo::ShiftBy(3), 5).await;
        reset(ResetTo::Current, 5).await;
        reset(ResetTo::Timestamp(1007), 7).await;
        reset(ResetTo::Timestamp(2000), 10).await;
        reset(ResetTo::Offset(0), 2).await;
        reset(ResetTo::Latest, 10).await;
        let keys = [("group.id", group.as_str())];
        let mut consumer = Consumer::new(&client, ConsumerConfig::from_pairs(keys).unwrap()).unwrap();
        consumer.subscribe([&topic]).unwrap();
        while consumer.assignment().is_empty() {
            consumer.poll(Duration::from_millis(20)).await.unwrap();
        }
        let results = admin.reset_offsets(&group, names, ResetTo::Earliest).await.unwrap();
        assert_eq!(results[&name].as_ref().unwrap_err().kind(), ErrorKind::Fenced);
        consumer.close().await.unwrap();
    });
}

#[test]
fn directories_hold_partitions() {
    on_kafka(async |cluster| {
        let client = cluster.client().await;
        let (admin, topic) = (client.admin(), cluster.topic(&client, "directories", 2).await);
        let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
        let record = ProducerRecord::new(&topic).value("v").partition(1);
        producer.send(record).await.unwrap().await.unwrap();
        let names = [0, 1].map(|number| TopicPartition::new(topic.as_str(), number));
        let described = admin.describe_log_dirs(&[], Some(&names)).await.unwrap();
        let sizes: Vec<_> = described
            .values()
            .flatten()
            .flat_map(|directory| directory.replicas.as_ref().unwrap())
            .map(|(name, replica)| (name.clone(), replica.size_bytes > 0, replica.is_future))
            .collect();
        assert_eq!(sizes, [(names[0].clone(), false, false), (names[1].clone(), true, false)]);
        let all = admin.describe_log_dirs(&[], None).await.unwrap();
        assert!(all.values().flatten().all(|directory| directory.total_bytes.is_some_and(|bytes| bytes > 0)));
    });
}

#[test]
fn leaders_replicas_and_the_quorum_are_looked_at() {
    on_kafka(async |cluster| {
        let client = cluster.client().await;
        let (admin, topic) = (client.admin(), cluster.topic(&client, "replicas", 1).await);
        let name = TopicPartition::new(topic.as_str(), 0);
        let names = std::slice::from_ref(&name);
        let elected =
            admin.elect_leaders(anabranch_client::ElectionType::Preferred, Some(names)).await.unwrap();
        let refused = elected[&name].as_ref().unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::ELECTION_NOT_NEEDED));
        assert!(admin.list_reassignments(Some(names)).await.unwrap().is_empty());
        assert!(admin.list_reassignments(None).await.unwrap().is_empty());
        let leader = client.metadata().leader(&name).unwrap().0;
        let targets = BTreeMap::from([(name.clone(), Some(vec![leader]))]);
        admin.alter_reassignments(&targets).await.unwrap()[&name].as_ref().unwrap();
        let targets = BTreeMap::from([(name.clone(), Some(vec![4711]))]);
        assert!(admin.alter_reassignments(&targets).await.unwrap()[&name].is_err());
        let quorum = admin.describe_quorum().await.unwrap();
        assert!(quorum.leader.is_some() && quorum.high_watermark > 0 && quorum.voters.len() == 1);
        let resources = admin.list_config_resources().await.unwrap();
        assert!(resources.contains(&ConfigResource::Topic(topic)));
    });
}

#[test]
fn transactions_are_listed_described_and_ended() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (admin, topic) = (client.admin(), cluster.topic(&client, "looked-at", 1).await);
        let (id, name) = (cluster.name("looked-at"), TopicPartition::new(topic.as_str(), 0));
        let missing = admin.describe_transaction(&id).await.unwrap_err();
        assert_eq!(missing.code(), Some(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND));
        let keys = [("transactional.id", id.as_str()), ("transaction.timeout.ms", "20000")];
        let producer = Producer::new(&client, ProducerConfig::from_pairs(keys).unwrap()).unwrap();
        producer.init_transactions().await.unwrap();
        producer.begin_transaction().unwrap();
        producer.send(ProducerRecord::new(&topic).value("v")).await.unwrap().await.unwrap();

        let described = admin.describe_transaction(&id).await.unwrap();
        assert_eq!((described.state.as_str(), described.timeout_ms), ("Ongoing", 20_000));
        assert_eq!(described.partitions, std::slice::from_ref(&name));
        assert!(described.start_time_ms.is_some());
        let filter = TransactionFilter { states: vec!["Ongoing".to_string()], ..Default::default() };
        let listed = admin.list_transactions(&filter).await.unwrap();
        let own = listed.iter().find(|one| one.transactional_id == id).unwrap();
        assert_eq!(own.producer_id, described.producer_id);
        let none = TransactionFilter { producer_ids: vec![i64::MAX], ..Default::default() };
        assert_eq!(admin.list_transactions(&none).await.unwrap(), []);
        let nonsense = TransactionFilter { states: vec!["Nonsense".to_string()], ..Default::default() };
        assert_eq!(admin.list_transactions(&nonsense).await.unwrap_err().kind(), ErrorKind::Invalid);
        let absent = TopicPartition::new(topic.as_str(), 7);
        let producers = admin.describe_producers(&[name.clone(), absent.clone()]).await.unwrap();
        assert!(producers[&absent].is_err());
        let producers = producers[&name].as_ref().unwrap();
        assert_eq!(producers.len(), 1);
        assert_eq!(producers[0].producer_id, described.producer_id);
        assert_eq!(producers[0].transaction_start_offset, Some(0));
        // A broker says the same when it is asked by its id.
        assert_eq!(own.coordinator_id, described.coordinator_id);
        let (broker, names) = (described.coordinator_id, [name.clone(), absent.clone()]);
        let there = admin.describe_producers_on(broker, &names).await.unwrap();
        assert_eq!((there[&name].as_ref().unwrap(), there[&absent].is_err()), (producers, true));
        let nowhere = admin.describe_producers_on(broker + 100, &names).await.unwrap_err();
        assert_eq!(nowhere.kind(), ErrorKind::Invalid, "{nowhere}");

        // Ended by hand in the partition, as if its coordinator had lost it.
        admin.abort_transaction(&name, &producers[0]).await.unwrap();
        let producers = admin.describe_producers(std::slice::from_ref(&name)).await.unwrap();
        assert_eq!(producers[&name].as_ref().unwrap()[0].transaction_start_offset, None);
        let (producer_id, epoch) = admin.fence_producers(&id).await.unwrap();
        assert!(producer_id != described.producer_id || epoch > described.producer_epoch);
        let error = producer.commit_transaction().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    });
}

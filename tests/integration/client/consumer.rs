//! Records read: by assignment and as members of groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anabranch_client::consumer::assignor::{
    GroupView, MemberAssignment, MemberSubscription, RebalanceProtocol,
};
use anabranch_client::{
    Assignor, Client, Consumer, ConsumerConfig, ConsumerRecord, ErrorKind, OffsetAndMetadata, Producer,
    ProducerConfig, ProducerRecord, RebalanceEvent, TopicPartition,
};
use anabranch_protocol::records::batches;
use bytes::Bytes;

use super::{Cluster, on_each_cluster};

const POLL: Duration = Duration::from_millis(200);

pub(super) fn consumer(client: &Client, keys: &[(&str, &str)]) -> Consumer {
    Consumer::new(client, ConsumerConfig::from_pairs(keys.iter().copied()).unwrap()).unwrap()
}

/// Writes numbers, each to the partition of its remainder.
async fn write(
    client: &Client,
    topic: &str,
    numbers: std::ops::Range<u32>,
    partitions: u32,
    compression: &str,
) {
    let keys = [("compression.type", compression)];
    let producer = Producer::new(client, ProducerConfig::from_pairs(keys).unwrap()).unwrap();
    for number in numbers {
        let bytes = number.to_be_bytes();
        let headers: [(&str, Option<&[u8]>); 1] = [("number", Some(&bytes))];
        let partition = i32::try_from(number % partitions).unwrap();
        let record = ProducerRecord::new(topic).value(&bytes).headers(&headers).partition(partition);
        drop(producer.send(record).await.unwrap());
    }
    producer.close().await.unwrap();
}

fn number(record: &ConsumerRecord) -> u32 {
    let header = record.headers().last("number").unwrap();
    assert_eq!(header.value, record.value.as_deref());
    u32::from_be_bytes(record.value.as_deref().unwrap().try_into().unwrap())
}

/// Polls until so many records have come.
async fn read(cluster: &Cluster, consumer: &mut Consumer, count: usize) -> Vec<ConsumerRecord> {
    let deadline = cluster.host.now() + Duration::from_secs(20);
    let mut records = Vec::new();
    while records.len() < count {
        assert!(cluster.host.now() < deadline, "{} of {count} records came", records.len());
        records.extend(consumer.poll(POLL).await.unwrap().records);
    }
    records
}

pub(super) fn partitions(topic: &str, count: i32) -> Vec<TopicPartition> {
    (0..count).map(|number| TopicPartition::new(topic, number)).collect()
}

#[test]
fn how_much_is_left_is_known_of_what_comes_back() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic = cluster.topic(&client, "lag", 2).await;
        let mut consumer = consumer(&client, &[("fetch.max.wait.ms", "20")]);
        // In the fetch session the broker has told all there is to tell the first time.
        for _ in 0..3 {
            consumer.assign(&partitions(&topic, 2)).unwrap();
            for name in partitions(&topic, 2) {
                consumer.seek(&name, 0).unwrap();
            }
            let deadline = cluster.host.now() + Duration::from_secs(20);
            while partitions(&topic, 2).iter().any(|name| consumer.current_lag(name).is_none()) {
                assert!(cluster.host.now() < deadline, "nobody knows how much is left");
                consumer.poll(Duration::from_millis(20)).await.unwrap();
            }
            consumer.assign(&[]).unwrap();
        }
        consumer.close().await.unwrap();
    });
}

#[test]
fn assigned_partitions_are_read_from_where_one_goes() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic = cluster.topic(&client, "read", 2).await;
        for (compression, numbers) in [
            ("none", 0..100),
            ("gzip", 100..200),
            ("snappy", 200..300),
            ("lz4", 300..400),
            ("zstd", 400..500),
        ] {
            write(&client, &topic, numbers, 2, compression).await;
        }
        let mut consumer =
            consumer(&client, &[("auto.offset.reset", "earliest"), ("max.poll.records", "70")]);
        let names = partitions(&topic, 2);
        consumer.assign(&names).unwrap();
        let mut records = Vec::new();
        while records.len() < 500 {
            let polled = consumer.poll(POLL).await.unwrap().records;
            assert!(polled.len() <= 70);
            records.extend(polled);
            for name in &names {
                let last = records.iter().rfind(|record| record.partition == name.partition);
                let expected = last.map_or(0, |record| record.offset + 1);
                assert_eq!(consumer.position(name).unwrap_or(0), expected);
            }
        }
        for (name, first) in names.iter().zip(0..) {
            let own: Vec<_> = records.iter().filter(|record| record.partition == name.partition).collect();
            assert_eq!(
                own.iter().map(|one| number(one)).collect::<Vec<_>>(),
                (first..500).step_by(2).collect::<Vec<_>>()
            );
            assert_eq!(own.iter().map(|one| one.offset).collect::<Vec<_>>(), (0..250).collect::<Vec<_>>());
        }
        assert_eq!(consumer.log_bounds(&names[0]).unwrap().high_watermark, 250);
        assert!(consumer.poll(Duration::from_millis(20)).await.unwrap().records.is_empty());

        consumer.seek(&names[0], 240).unwrap();
        let records = read(cluster, &mut consumer, 10).await;
        assert_eq!(records.iter().map(|one| one.offset).collect::<Vec<_>>(), (240..250).collect::<Vec<_>>());
        consumer.seek_to_beginning(&names[1]).unwrap();
        assert_eq!(read(cluster, &mut consumer, 70).await[0].offset, 0);
        consumer.seek_to_end(&names[1]).unwrap();
        while consumer.position(&names[1]).is_none() {
            consumer.poll(Duration::from_millis(20)).await.unwrap();
        }
        write(&client, &topic, 500..502, 2, "none").await;
        let last: BTreeSet<_> = read(cluster, &mut consumer, 2).await.iter().map(number).collect();
        assert_eq!(last, BTreeSet::from([500, 501]));
    });
}

#[test]
fn raw_batches_hold_what_was_written() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic = cluster.topic(&client, "raw", 1).await;
        write(&client, &topic, 0..10_000, 1, "lz4").await;
        let mut consumer = consumer(&client, &[("auto.offset.reset", "earliest")]);
        let name = &partitions(&topic, 1)[0];
        consumer.assign(std::slice::from_ref(name)).unwrap();
        consumer.seek(name, 5).unwrap();
        let (mut next, mut scratch) = (5, Vec::new());
        while next < 10_000 {
            for fetched in consumer.poll_batches(POLL).await.unwrap().records {
                assert_eq!(fetched.fetch_offset, next);
                for batch in batches(&fetched.records) {
                    let batch = batch.unwrap();
                    batch.check_crc().unwrap();
                    for record in batch.records(&mut scratch).unwrap() {
                        let record = record.unwrap();
                        if record.offset >= fetched.fetch_offset {
                            assert_eq!(record.offset, next);
                            next += 1;
                        }
                    }
                }
                assert_eq!(fetched.next_offset, next);
            }
        }
        assert_eq!(consumer.position(name), Some(10_000));
    });
}

#[test]
fn paused_partitions_wait() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic = cluster.topic(&client, "paused", 2).await;
        write(&client, &topic, 0..100, 2, "none").await;
        let mut consumer =
            consumer(&client, &[("auto.offset.reset", "earliest"), ("max.poll.records", "10")]);
        let names = partitions(&topic, 2);
        consumer.assign(&names).unwrap();
        read(cluster, &mut consumer, 5).await;
        consumer.pause(&names[..1]).unwrap();
        let before = consumer.position(&names[0]);
        while consumer.position(&names[1]) != Some(50) {
            let records = consumer.poll(POLL).await.unwrap().records;
            assert!(records.iter().all(|record| record.partition == 1));
        }
        assert_eq!(consumer.position(&names[0]), before);
        consumer.resume(&names[..1]).unwrap();
        while consumer.position(&names[0]) != Some(50) {
            consumer.poll(POLL).await.unwrap();
        }
    });
}

#[test]
fn where_nothing_is_committed_the_policy_decides() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let topic = cluster.topic(&client, "policy", 1).await;
        write(&client, &topic, 0..10, 1, "none").await;
        let names = partitions(&topic, 1);
        let mut none = consumer(&client, &[("auto.offset.reset", "none")]);
        none.assign(&names).unwrap();
        let error = none.poll(Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        none.seek(&names[0], 3).unwrap();
        assert_eq!(read(cluster, &mut none, 7).await[0].offset, 3);
        none.seek(&names[0], 1000).unwrap();
        let error = none.poll(Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{topic}-0: offset 1000 is not in the log, and auto.offset.reset is none")
        );
        let mut latest = consumer(&client, &[]);
        latest.assign(&names).unwrap();
        while latest.position(&names[0]).is_none() {
            assert!(latest.poll(Duration::from_millis(20)).await.unwrap().records.is_empty());
        }
        write(&client, &topic, 10..11, 1, "none").await;
        assert_eq!(number(&read(cluster, &mut latest, 1).await[0]), 10);
        let mut earliest = consumer(&client, &[("auto.offset.reset", "earliest")]);
        earliest.assign(&names).unwrap();
        earliest.seek(&names[0], 1000).unwrap();
        assert_eq!(read(cluster, &mut earliest, 11).await[0].offset, 0);
    });
}

#[test]
fn a_group_goes_on_where_it_has_committed() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (topic, group) = (cluster.topic(&client, "resumed", 2).await, cluster.name("resumed"));
        write(&client, &topic, 0..100, 2, "none").await;
        let keys = [
            ("group.id", group.as_str()),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("max.poll.records", "30"),
        ];
        let mut first = consumer(&client, &keys);
        first.subscribe([&topic]).unwrap();
        let seen: BTreeSet<_> = read(cluster, &mut first, 30).await.iter().map(number).collect();
        first.commit().await.unwrap();
        let lost = first.poll(POLL).await.unwrap().records;
        assert!(!lost.is_empty(), "read, but not committed");
        let metadata = first.group_metadata().unwrap();
        assert!(metadata.generation_id > 0 && !metadata.member_id.is_empty());
        first.close().await.unwrap();

        let mut second = consumer(&client, &keys);
        second.subscribe([&topic]).unwrap();
        let rest: BTreeSet<_> = read(cluster, &mut second, 70).await.iter().map(number).collect();
        assert!(seen.is_disjoint(&rest) && seen.len() + rest.len() == 100);
        let name = TopicPartition::new(topic.as_str(), 0);
        let offset = OffsetAndMetadata { leader_epoch: 0, ..OffsetAndMetadata::new(7).with_metadata("here") };
        let offsets = BTreeMap::from([(name.clone(), offset)]);
        second.commit_offsets(&offsets).await.unwrap();
        assert_eq!(second.committed(&[name]).await.unwrap(), offsets);
        second.close().await.unwrap();
    });
}

#[test]
fn commits_are_automatic_if_so_configured() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (topic, group) = (cluster.topic(&client, "automatic", 1).await, cluster.name("automatic"));
        write(&client, &topic, 0..10, 1, "none").await;
        let keys = [("group.id", group.as_str()), ("auto.offset.reset", "earliest")];
        let name = TopicPartition::new(topic.as_str(), 0);
        let committed = async || {
            let offsets = client.admin().committed_offsets(&group, None).await.unwrap();
            offsets.get(&name).map(|offset| offset.offset)
        };
        let mut at_close = consumer(&client, &keys);
        at_close.subscribe([&topic]).unwrap();
        read(cluster, &mut at_close, 10).await;
        at_close.close().await.unwrap();
        assert_eq!(committed().await, Some(10));

        let mut on_time = consumer(&client, &[&keys[..], &[("auto.commit.interval.ms", "10")]].concat());
        on_time.subscribe([&topic]).unwrap();
        write(&client, &topic, 10..20, 1, "none").await;
        read(cluster, &mut on_time, 10).await;
        let on_time = tokio::sync::Mutex::new(on_time);
        cluster
            .until("the offset is committed", async || {
                on_time.lock().await.poll(Duration::from_millis(20)).await.unwrap();
                committed().await == Some(20)
            })
            .await;
    });
}

/// Polls both until `holds` of what they own.
pub(super) async fn poll_both(
    cluster: &Cluster,
    consumers: &mut [&mut Consumer],
    what: &str,
    holds: impl Fn(&[Vec<TopicPartition>]) -> bool,
) -> Vec<Vec<RebalanceEvent>> {
    let deadline = cluster.host.now() + Duration::from_secs(30);
    let mut events = vec![Vec::new(); consumers.len()];
    loop {
        let owned: Vec<_> = consumers.iter().map(|consumer| consumer.assignment()).collect();
        if holds(&owned) {
            return events;
        }
        assert!(cluster.host.now() < deadline, "on {}: never was it so that {what}: {owned:?}", cluster.name);
        for (consumer, events) in consumers.iter_mut().zip(&mut events) {
            events.extend(consumer.poll(Duration::from_millis(20)).await.unwrap().events);
        }
    }
}

#[test]
fn members_share_partitions_and_hand_them_over() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (topic, group) = (cluster.topic(&client, "shared", 4).await, cluster.name("shared"));
        let keys = [
            ("group.id", group.as_str()),
            ("auto.offset.reset", "earliest"),
            ("heartbeat.interval.ms", "100"),
            ("session.timeout.ms", "6000"),
        ];
        let (mut first, mut second) = (consumer(&client, &keys), consumer(&client, &keys));
        first.subscribe([&topic]).unwrap();
        let all = partitions(&topic, 4);
        let events = poll_both(cluster, &mut [&mut first], "one has all", |owned| owned[0] == all).await;
        assert!(
            matches!(&events[0][..], [RebalanceEvent::Assigned { partitions, .. }] if *partitions == all)
        );
        second.subscribe([&topic]).unwrap();
        let events = poll_both(cluster, &mut [&mut first, &mut second], "each has a half", |owned| {
            owned[0].len() == 2 && owned[1].len() == 2
        })
        .await;
        assert!(matches!(&events[0][0], RebalanceEvent::Revoked(partitions) if *partitions == all));
        assert!(
            matches!(&events[0][1], RebalanceEvent::Assigned { partitions, .. } if partitions.len() == 2)
        );

        write(&client, &topic, 0..40, 4, "none").await;
        let mut seen = BTreeSet::new();
        let deadline = cluster.host.now() + Duration::from_secs(20);
        while seen.len() < 40 {
            assert!(cluster.host.now() < deadline);
            for consumer in [&mut first, &mut second] {
                for record in consumer.poll(Duration::from_millis(20)).await.unwrap().records {
                    assert!(seen.insert(number(&record)), "each record once");
                }
            }
        }
        first.close().await.unwrap();
        poll_both(cluster, &mut [&mut second], "the other has all", |owned| owned[0] == all).await;
        assert!(second.poll(POLL).await.unwrap().records.is_empty(), "all was committed at the handing over");
        second.close().await.unwrap();
    });
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (topic, group) = (cluster.topic(&client, "static", 2).await, cluster.name("static"));
        let keys =
            [("group.id", group.as_str()), ("group.instance.id", "one"), ("auto.offset.reset", "earliest")];
        let all = partitions(&topic, 2);
        let mut generations = Vec::new();
        for _ in 0..2 {
            let mut consumer = consumer(&client, &keys);
            consumer.subscribe([&topic]).unwrap();
            poll_both(cluster, &mut [&mut consumer], "it has all", |owned| owned[0] == all).await;
            generations.push(consumer.group_metadata().unwrap().generation_id);
            consumer.close().await.unwrap();
        }
        assert_eq!(generations[0], generations[1]);
        // Two at once cannot be: the newer one takes the older one's place.
        let (mut old, mut new) = (consumer(&client, &keys), consumer(&client, &keys));
        old.subscribe([&topic]).unwrap();
        poll_both(cluster, &mut [&mut old], "it has all", |owned| owned[0] == all).await;
        new.subscribe([&topic]).unwrap();
        poll_both(cluster, &mut [&mut new], "it has all", |owned| owned[0] == all).await;
        let error = old
            .commit_offsets(&BTreeMap::from([(all[0].clone(), OffsetAndMetadata::new(0))]))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    });
}

#[test]
fn a_topic_that_comes_later_is_found() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let group = cluster.name("later");
        let keys = [
            ("group.id", group.as_str()),
            ("auto.offset.reset", "earliest"),
            ("allow.auto.create.topics", "false"),
            ("heartbeat.interval.ms", "100"),
        ];
        let mut consumer = consumer(&client, &keys);
        consumer.subscribe([cluster.name("later")]).unwrap();
        assert!(consumer.poll(Duration::from_millis(500)).await.unwrap().records.is_empty());
        let topic = cluster.topic(&client, "later", 1).await;
        let all = partitions(&topic, 1);
        poll_both(cluster, &mut [&mut consumer], "it is assigned", |owned| owned[0] == all).await;
        consumer.close().await.unwrap();
    });
}

/// Keeps what each member has as far as the shares are even, and gives to nobody what another still has.
struct Keeping {
    name: &'static str,
    told: Arc<Mutex<Vec<(usize, i32)>>>,
}

impl Assignor for Keeping {
    fn name(&self) -> &str {
        "keeping"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn subscription_user_data(&self, _topics: &[Arc<str>]) -> Option<Bytes> {
        Some(self.name.into())
    }

    fn assign(&self, group: GroupView<'_>) -> anabranch_client::Result<BTreeMap<String, MemberAssignment>> {
        let topic = Arc::clone(&group.members.values().next().unwrap().topics[0]);
        let count = group.metadata.partition_count(&topic).unwrap();
        let share = count as usize / group.members.len();
        let owned: BTreeSet<_> = group.members.values().flat_map(|member| &member.owned_partitions).collect();
        let mut free = (0..count).map(|number| TopicPartition::new(Arc::clone(&topic), number));
        let mut free = free.by_ref().filter(|name| !owned.contains(name)).collect::<Vec<_>>();
        let names: Vec<_> = group.members.values().map(|member| member.user_data.clone().unwrap()).collect();
        let assign = |(id, member): (&String, &MemberSubscription)| {
            let mut partitions: Vec<_> = member.owned_partitions.iter().take(share).cloned().collect();
            while partitions.len() < share && !free.is_empty() {
                partitions.push(free.remove(0));
            }
            (id.clone(), MemberAssignment { partitions, user_data: Some(names.concat().into()) })
        };
        Ok(group.members.iter().map(assign).collect())
    }

    fn on_assignment(&self, assignment: &MemberAssignment, generation_id: i32) {
        self.told.lock().unwrap().push((assignment.partitions.len(), generation_id));
    }
}

#[test]
fn an_assignor_of_ones_own_moves_only_what_must_move() {
    on_each_cluster(async |cluster| {
        let client = cluster.client().await;
        let (topic, group) = (cluster.topic(&client, "keeping", 4).await, cluster.name("keeping"));
        let told = Arc::new(Mutex::new(Vec::new()));
        let make = |name| {
            let keys = [("group.id", group.as_str()), ("heartbeat.interval.ms", "100")];
            let config = ConsumerConfig::from_pairs(keys).unwrap();
            let assignor = Keeping { name, told: Arc::clone(&told) };
            Consumer::with_assignors(&client, config, vec![Arc::new(assignor)]).unwrap()
        };
        let (mut first, mut second) = (make("a"), make("b"));
        first.subscribe([&topic]).unwrap();
        let all = partitions(&topic, 4);
        poll_both(cluster, &mut [&mut first], "one has all", |owned| owned[0] == all).await;
        second.subscribe([&topic]).unwrap();
        let events = poll_both(cluster, &mut [&mut first, &mut second], "each has a half", |owned| {
            owned[0].len() == 2 && owned[1].len() == 2
        })
        .await;
        let revoked: Vec<_> = events[0]
            .iter()
            .filter_map(|event| match event {
                RebalanceEvent::Revoked(partitions) => Some(partitions.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(revoked, [all[2..].to_vec()], "the first gives up two, and keeps two all the time");
        let data = events[1].iter().rev().find_map(|event| match event {
            RebalanceEvent::Assigned { user_data, .. } => user_data.clone(),
            _ => None,
        });
        let data = data.unwrap();
        assert!(data == "ab" || data == "ba", "both told the leader, and it told both: {data:?}");
        assert!(told.lock().unwrap().iter().any(|(count, generation)| *count == 2 && *generation > 1));
        first.close().await.unwrap();
        second.close().await.unwrap();
    });
}

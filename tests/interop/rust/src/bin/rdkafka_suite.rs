//! rdkafka: librdkafka as Rust programs use it. `rdkafka_suite HOST:PORT`.

use std::time::{Duration, Instant};

use anabranch_interop::{bootstrap, eventually, fresh, records, run, tests};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(30);
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const HEADERS: [(&str, &[u8]); 2] = [("trace", &[0, 1]), ("empty", &[])];

fn client<T: FromClientConfig>(settings: &[(&str, &str)]) -> T {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap());
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config.create().unwrap()
}

fn reader(group: &str, settings: &[(&str, &str)]) -> BaseConsumer {
    let own = [
        ("group.id", group),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
    ];
    client(&[&own[..], settings].concat())
}

fn admin() -> AdminClient<DefaultClientContext> {
    client(&[])
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}

async fn create(name: &str, partitions: i32) -> String {
    let topic = fresh(name);
    let wanted = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
    let outcome = admin().create_topics(&[wanted], &options()).await.unwrap();
    assert_eq!(outcome, [Ok(topic.clone())]);
    topic
}

fn at(topic: &str, partition: i32, offset: i64) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
    list
}

/// The next record; none at the end of a partition.
fn next(reader: &BaseConsumer) -> Option<OwnedMessage> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        // Nothing also comes back when the group moved, or something else was seen to.
        match reader.poll(Duration::from_secs(1)) {
            None => {}
            Some(Ok(message)) => return Some(message.detach()),
            Some(Err(KafkaError::PartitionEOF(_))) => return None,
            Some(Err(error)) => panic!("{error}"),
        }
    }
    panic!("nothing came, and no end either");
}

/// So many records of a subscription.
fn read(reader: &BaseConsumer, count: usize) -> Vec<OwnedMessage> {
    let mut got = Vec::new();
    while got.len() < count {
        got.extend(next(reader));
    }
    got
}

/// All values of partition 0, as a reader of this isolation sees it.
fn values(topic: &str, isolation: &str) -> Vec<String> {
    let reader = reader(&fresh("values"), &[("isolation.level", isolation)]);
    reader.assign(&at(topic, 0, 0)).unwrap();
    let mut got = Vec::new();
    while let Some(message) = next(&reader) {
        got.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
    }
    got
}

fn send(producer: &BaseProducer, topic: &str, texts: &[&str]) {
    for text in texts {
        let record: BaseRecord<'_, (), str> = BaseRecord::to(topic).partition(0).payload(*text);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

fn transactional(id: &str) -> BaseProducer {
    let producer: BaseProducer = client(&[("transactional.id", id)]);
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

async fn topics_are_made_described_changed_and_deleted() {
    let (admin, topic) = (admin(), fresh("rdkafka"));
    let wanted = NewTopic::new(&topic, 2, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
    assert_eq!(admin.create_topics([&wanted], &options()).await.unwrap(), [Ok(topic.clone())]);
    let again = admin.create_topics([&wanted], &options()).await.unwrap();
    assert_eq!(again, [Err((topic.clone(), RDKafkaErrorCode::TopicAlreadyExists))]);
    let more = admin.create_partitions([&NewPartitions::new(&topic, 5)], &options()).await.unwrap();
    assert_eq!(more, [Ok(topic.clone())]);
    // Apache Kafka's brokers hear a little later of what its controller has decided.
    eventually(|| {
        let metadata = admin.inner().fetch_metadata(Some(&topic), PATIENCE).unwrap();
        (metadata.topics()[0].partitions().len() == 5).then_some(())
    })
    .await;
    assert!(admin.inner().fetch_cluster_id(PATIENCE).is_some_and(|id| !id.is_empty()), "it has an id");

    let changed = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("retention.ms", "1234567");
    admin.alter_configs([&changed], &options()).await.unwrap().remove(0).unwrap();
    loop {
        let described =
            admin.describe_configs([&ResourceSpecifier::Topic(&topic)], &options()).await.unwrap();
        let described = described[0].as_ref().unwrap();
        let value = |name: &str| described.get(name).and_then(|entry| entry.value.as_deref());
        if value("retention.ms") == Some("1234567") {
            // This way of changing replaces all there was.
            assert_eq!(value("cleanup.policy"), Some("delete"));
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    assert_eq!(admin.delete_topics(&[&topic], &options()).await.unwrap(), [Ok(topic.clone())]);
    let again = admin.delete_topics(&[&topic], &options()).await.unwrap();
    assert_eq!(again, [Err((topic, RDKafkaErrorCode::UnknownTopicOrPartition))]);
}

async fn each_codec_there_and_back() {
    let topic = create("rdkafka", 1).await;
    let mut sent = Vec::new();
    for codec in CODECS {
        let producer: FutureProducer = client(&[("compression.type", codec), ("linger.ms", "20")]);
        for (key, value) in records(codec) {
            let mut headers = OwnedHeaders::new();
            for (key, value) in HEADERS {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let mut record = FutureRecord::to(&topic).partition(0).headers(headers);
            (record.key, record.payload) = (key.as_ref(), value.as_ref());
            let delivery = producer.send(record, PATIENCE).await.map_err(|(error, _)| error).unwrap();
            assert_eq!((delivery.partition, delivery.offset), (0, sent.len() as i64), "{codec}");
            sent.push((key, value));
        }
    }
    let reader: StreamConsumer = client(&[("group.id", &fresh("group")), ("auto.offset.reset", "earliest")]);
    reader.subscribe(&[&topic]).unwrap();
    for (key, value) in sent {
        let message = reader.recv().await.unwrap();
        assert_eq!((message.key(), message.payload()), (key.as_deref(), value.as_deref()));
        let headers: Vec<_> =
            message.headers().unwrap().iter().map(|it| (it.key, it.value.unwrap())).collect();
        assert_eq!(headers, HEADERS);
    }
}

async fn a_group_goes_on_where_it_ended_and_is_listed() {
    let (topic, group) = (create("rdkafka", 1).await, fresh("group"));
    send(&client(&[]), &topic, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    for (count, expected) in [(7, 0..7), (3, 7..10)] {
        let reader = reader(&group, &[]);
        reader.subscribe(&[&topic]).unwrap();
        let got: Vec<i64> = read(&reader, count).iter().map(OwnedMessage::offset).collect();
        assert_eq!(got, expected.clone().collect::<Vec<_>>());
        let listed = reader.fetch_group_list(Some(&group), PATIENCE).unwrap();
        let listed = &listed.groups()[0];
        assert_eq!(
            (listed.name(), listed.state(), listed.protocol_type()),
            (group.as_str(), "Stable", "consumer")
        );
        assert_eq!(listed.members().len(), 1);
        let mut offset = at(&topic, 0, expected.end);
        offset.elements()[0].set_metadata("where it stands");
        reader.commit(&offset, CommitMode::Sync).unwrap();
        let committed = reader.committed_offsets(at(&topic, 0, 0), PATIENCE).unwrap();
        let committed = &committed.elements()[0];
        assert_eq!(
            (committed.offset(), committed.metadata()),
            (Offset::Offset(expected.end), "where it stands")
        );
        offset.set_all_offsets(Offset::Invalid).unwrap();
    }
    assert_eq!(admin().delete_groups(&[&group], &options()).await.unwrap(), [Ok(group)]);
}

async fn cooperative_members_share_the_partitions() {
    let (topic, group) = (create("rdkafka", 4).await, fresh("group"));
    let settings =
        [("partition.assignment.strategy", "cooperative-sticky"), ("heartbeat.interval.ms", "300")];
    let members = [reader(&group, &settings), reader(&group, &settings)];
    let sizes = |members: &[BaseConsumer]| -> Vec<usize> {
        members.iter().map(|member| member.assignment().unwrap().count()).collect()
    };
    let deadline = Instant::now() + PATIENCE;
    // The second comes when the first has all, so that some must be given up.
    for (count, expected) in [(1, vec![4]), (2, vec![2, 2])] {
        members[count - 1].subscribe(&[&topic]).unwrap();
        while sizes(&members[..count]) != expected {
            assert!(Instant::now() < deadline, "they stay at {:?}", sizes(&members[..count]));
            for member in &members[..count] {
                let _ = member.poll(Duration::from_millis(50));
            }
        }
    }
}

async fn offsets_at_both_ends_and_by_time() {
    let topic = create("rdkafka", 1).await;
    let producer: FutureProducer = client(&[]);
    for time in [1_000, 3_000, 2_000] {
        let record: FutureRecord<'_, (), str> =
            FutureRecord::to(&topic).partition(0).timestamp(time).payload("x");
        producer.send(record, PATIENCE).await.map_err(|(error, _)| error).unwrap();
    }
    let reader = reader(&fresh("group"), &[]);
    assert_eq!(reader.fetch_watermarks(&topic, 0, PATIENCE).unwrap(), (0, 3));
    for (time, expected) in [(0, 0), (1_000, 0), (1_001, 1), (3_000, 1)] {
        let found = reader.offsets_for_times(at(&topic, 0, time), PATIENCE).unwrap();
        assert_eq!(found.elements()[0].offset(), Offset::Offset(expected), "at {time}");
    }
    let found = reader.offsets_for_times(at(&topic, 0, 3_001), PATIENCE).unwrap();
    assert_eq!(found.elements()[0].offset(), Offset::End);
}

async fn deleted_records_are_gone() {
    let topic = create("rdkafka", 1).await;
    send(&client(&[]), &topic, &["0", "1", "2", "3"]);
    let deleted = admin().delete_records(&at(&topic, 0, 3), &options()).await.unwrap();
    assert_eq!(deleted.elements()[0].offset(), Offset::Offset(3));
    assert_eq!(reader(&fresh("group"), &[]).fetch_watermarks(&topic, 0, PATIENCE).unwrap(), (3, 4));
    assert_eq!(values(&topic, "read_uncommitted"), ["3"]);
}

async fn an_idempotent_producers_records_arrive_once_in_order() {
    let topic = create("rdkafka", 1).await;
    let producer: BaseProducer = client(&[("enable.idempotence", "true"), ("compression.type", "lz4")]);
    for number in 0..20_000 {
        let text = number.to_string();
        let record: BaseRecord<'_, (), str> = BaseRecord::to(&topic).partition(0).payload(&text);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let expected: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    assert_eq!(values(&topic, "read_committed"), expected);
}

async fn transactions_commit_and_abort() {
    let (topic, producer) = (create("rdkafka", 1).await, transactional(&fresh("id")));
    for (text, is_commit) in [("a", true), ("no", false), ("b", true)] {
        producer.begin_transaction().unwrap();
        send(&producer, &topic, &[text]);
        if is_commit {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
    }
    assert_eq!(values(&topic, "read_committed"), ["a", "b"]);
    assert_eq!(values(&topic, "read_uncommitted"), ["a", "no", "b"]);
}

async fn offsets_count_when_their_transaction_is_committed() {
    let (topic, copy, group) = (create("rdkafka", 1).await, create("copy", 1).await, fresh("group"));
    send(&client(&[]), &topic, &["a", "b", "c"]);
    let producer = transactional(&fresh("id"));
    for (is_commit, expected) in [(false, Offset::Invalid), (true, Offset::Offset(3))] {
        let reader = reader(&group, &[("isolation.level", "read_committed")]);
        reader.subscribe(&[&topic]).unwrap();
        let got = read(&reader, 3);
        producer.begin_transaction().unwrap();
        for message in &got {
            send(&producer, &copy, &[std::str::from_utf8(message.payload().unwrap()).unwrap()]);
        }
        let membership = reader.group_metadata().unwrap();
        producer.send_offsets_to_transaction(&at(&topic, 0, 3), &membership, PATIENCE).unwrap();
        if is_commit {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
        let committed = reader.committed_offsets(at(&topic, 0, 0), PATIENCE).unwrap();
        assert_eq!(committed.elements()[0].offset(), expected);
    }
    assert_eq!(values(&copy, "read_committed"), ["a", "b", "c"]);
}

async fn a_second_instance_fences_the_first() {
    let (topic, id) = (create("rdkafka", 1).await, fresh("id"));
    let first = transactional(&id);
    first.begin_transaction().unwrap();
    send(&first, &topic, &["zombie"]);
    let second = transactional(&id);
    second.begin_transaction().unwrap();
    send(&second, &topic, &["second"]);
    second.commit_transaction(PATIENCE).unwrap();
    match first.commit_transaction(PATIENCE).unwrap_err() {
        KafkaError::Transaction(error) => {
            assert!(error.is_fatal(), "{error}");
            assert_eq!(error.code(), RDKafkaErrorCode::Fenced);
        }
        other => panic!("{other}"),
    }
    assert_eq!(values(&topic, "read_committed"), ["second"]);
}

fn main() {
    run(&tests![
        topics_are_made_described_changed_and_deleted,
        each_codec_there_and_back,
        a_group_goes_on_where_it_ended_and_is_listed,
        cooperative_members_share_the_partitions,
        offsets_at_both_ends_and_by_time,
        deleted_records_are_gone,
        an_idempotent_producers_records_arrive_once_in_order,
        transactions_commit_and_abort,
        offsets_count_when_their_transaction_is_committed,
        a_second_instance_fences_the_first,
    ])
}

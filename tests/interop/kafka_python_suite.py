"""kafka-python."""
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError
from suite import BOOTSTRAP, CODECS, HEADERS, equal, fresh, records, run

TOPIC = fresh("kafka-python")


def create_a_topic():
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    try:
        admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
        raise AssertionError("the second creation was no error")
    except TopicAlreadyExistsError:
        pass
    assert TOPIC in admin.list_topics()
    admin.close()


def produce_each_codec_and_read_it_back():
    expected = []
    for codec in CODECS:
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, compression_type=codec, acks="all", linger_ms=20)
        for key, value in records(codec):
            producer.send(TOPIC, key=key, value=value, headers=HEADERS)
            expected.append((key, value))
        producer.flush()
        producer.close()
    consumer = KafkaConsumer(TOPIC, bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", consumer_timeout_ms=4000)
    got = []
    for record in consumer:
        got.append((record.key, record.value))
        equal([(key, bytes(value)) for key, value in record.headers], HEADERS)
        if len(got) == len(expected):
            break
    consumer.close()
    equal(got, expected)


def acks_0_and_1():
    for acks in (0, 1):
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, acks=acks, enable_idempotence=False)
        producer.send(TOPIC, b"acks").get(10)
        producer.close()


def offsets_by_time_and_at_both_ends():
    consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP)
    partition = TopicPartition(TOPIC, 0)
    equal(consumer.beginning_offsets([partition])[partition], 0)
    end = consumer.end_offsets([partition])[partition]
    assert end >= 25, end
    equal(consumer.offsets_for_times({partition: 0})[partition].offset, 0)
    equal(consumer.offsets_for_times({partition: 2**45})[partition], None)
    consumer.close()


def a_group_goes_on_where_it_ended():
    group = fresh("group")

    def read(count):
        consumer = KafkaConsumer(TOPIC, bootstrap_servers=BOOTSTRAP, group_id=group, auto_offset_reset="earliest",
                                 enable_auto_commit=False, consumer_timeout_ms=10000, max_poll_records=5)
        offsets = []
        for record in consumer:
            offsets.append(record.offset)
            if len(offsets) == count:
                break
        consumer.commit({TopicPartition(TOPIC, 0): _offset(offsets[-1] + 1)})
        consumer.close()
        return offsets

    equal(read(7), list(range(7)))
    equal(read(3), [7, 8, 9])


def _offset(offset):
    from kafka.structs import OffsetAndMetadata
    return OffsetAndMetadata(offset, "a note", -1)


def two_members_share_the_partitions():
    topic, group = fresh("shared"), fresh("group")
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    admin.create_topics([NewTopic(topic, num_partitions=4, replication_factor=1)])
    members = [KafkaConsumer(topic, bootstrap_servers=BOOTSTRAP, group_id=group, heartbeat_interval_ms=300) for _ in range(2)]
    for _ in range(60):
        for member in members:
            member.poll(timeout_ms=200)
        sizes = sorted(len(member.assignment()) for member in members)
        if sizes == [2, 2]:
            break
    equal(sizes, [2, 2])
    for member in members:
        member.close()
    admin.close()


def an_unknown_topic_is_made_on_first_use():
    topic = fresh("auto")
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
    metadata = producer.send(topic, b"first").get(15)
    equal((metadata.topic, metadata.offset), (topic, 0))
    producer.close()


def delete_a_topic():
    topic = fresh("gone")
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
    admin.delete_topics([topic])
    for _ in range(50):
        if topic not in admin.list_topics():
            break
    assert topic not in admin.list_topics()
    admin.close()


run([create_a_topic, produce_each_codec_and_read_it_back, acks_0_and_1, offsets_by_time_and_at_both_ends,
     a_group_goes_on_where_it_ended, two_members_share_the_partitions, an_unknown_topic_is_made_on_first_use, delete_a_topic])

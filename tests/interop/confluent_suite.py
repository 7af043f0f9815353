"""confluent-kafka: librdkafka."""
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from suite import BOOTSTRAP, CODECS, HEADERS, equal, fresh, records, run

TOPIC = fresh("confluent")
ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP})


def create(topic, partitions=1):
    for future in ADMIN.create_topics([NewTopic(topic, partitions, 1)]).values():
        future.result(20)


def consumer(group, **settings):
    return Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest",
                     "enable.auto.commit": False, **settings})


def read(reader, count, seconds=20):
    got, until = [], time.time() + seconds
    while len(got) < count and time.time() < until:
        message = reader.poll(0.5)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        got.append(message)
    return got


def create_a_topic():
    create(TOPIC)
    try:
        create(TOPIC)
        raise AssertionError("the second creation was no error")
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.TOPIC_ALREADY_EXISTS)
    metadata = ADMIN.list_topics(timeout=10)
    assert metadata.cluster_id, "no cluster id"
    equal(list(metadata.topics[TOPIC].partitions), [0])


def produce_each_codec_and_read_it_back():
    expected = []
    for codec in CODECS:
        producer = Producer({"bootstrap.servers": BOOTSTRAP, "compression.type": codec or "none", "linger.ms": 20,
                             "enable.idempotence": True})
        errors = []
        for key, value in records(codec):
            producer.produce(TOPIC, key=key, value=value, headers=HEADERS, on_delivery=lambda error, _: errors.append(error))
            expected.append((key, value))
        equal(producer.flush(20), 0)
        equal([error for error in errors if error], [])
    reader = consumer(fresh("group"))
    reader.subscribe([TOPIC])
    got = read(reader, len(expected))
    reader.close()
    equal([(m.key(), m.value()) for m in got], expected)
    equal(got[0].headers(), HEADERS)


def a_group_goes_on_where_it_ended():
    group = fresh("group")
    for count, expected in ((7, list(range(7))), (3, [7, 8, 9])):
        reader = consumer(group)
        reader.subscribe([TOPIC])
        got = [m.offset() for m in read(reader, count)]
        equal(got, expected)
        reader.commit(offsets=[TopicPartition(TOPIC, 0, got[-1] + 1)], asynchronous=False)
        reader.close()


def cooperative_members_share_the_partitions():
    topic, group = fresh("shared"), fresh("group")
    create(topic, 4)
    members = [consumer(group, **{"partition.assignment.strategy": "cooperative-sticky", "heartbeat.interval.ms": 300}) for _ in range(2)]
    for member in members:
        member.subscribe([topic])
    sizes = []
    for _ in range(100):
        for member in members:
            member.poll(0.1)
        sizes = sorted(len(member.assignment()) for member in members)
        if sizes == [2, 2]:
            break
    for member in members:
        member.close()
    equal(sizes, [2, 2])


def a_static_member_comes_back():
    group = fresh("group")
    for _ in range(2):
        reader = consumer(group, **{"group.instance.id": "one", "session.timeout.ms": 10000})
        reader.subscribe([TOPIC])
        assert read(reader, 1), "nothing read"
        reader.close()


def watermarks_and_offsets_by_time():
    reader = consumer(fresh("group"))
    low, high = reader.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=10)
    equal(low, 0)
    assert high >= 25, high
    equal(reader.offsets_for_times([TopicPartition(TOPIC, 0, 0)], timeout=10)[0].offset, 0)
    reader.close()


def many_records_arrive_in_order():
    topic = fresh("many")
    create(topic)
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "compression.type": "lz4",
                         "queue.buffering.max.messages": 200000})
    for n in range(50_000):
        producer.produce(topic, value=b"%d" % n)
    equal(producer.flush(30), 0)
    reader = consumer(fresh("group"))
    reader.subscribe([topic])
    got = [int(m.value()) for m in read(reader, 50_000, 40)]
    reader.close()
    equal(got, list(range(50_000)))


run([create_a_topic, produce_each_codec_and_read_it_back, a_group_goes_on_where_it_ended, cooperative_members_share_the_partitions,
     a_static_member_comes_back, watermarks_and_offsets_by_time, many_records_arrive_in_order])

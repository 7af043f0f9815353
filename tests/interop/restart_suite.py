"""What is there after the server was killed, or stopped, and started again.

`before` writes and commits; `after` finds all of it, twice if need be, and adds nothing that a later round would miss."""
import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from suite import BOOTSTRAP, equal, run

TOPIC, GROUP, COUNT, COMMITTED = "restarted", "restarted-group", 5000, 1234


def acknowledged_records_are_written():
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "acks": "all", "enable.idempotence": True})
    errors = []
    for n in range(COUNT):
        producer.produce(TOPIC, key=b"%d" % (n % 7), value=b"%d" % n, partition=0, on_delivery=lambda error, _: errors.append(error))
    equal(producer.flush(20), 0)
    equal([error for error in errors if error], [])


def consumer():
    return Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": GROUP, "auto.offset.reset": "earliest", "enable.auto.commit": False})


def an_offset_is_committed():
    reader = consumer()
    reader.commit(offsets=[TopicPartition(TOPIC, 0, COMMITTED, "a note")], asynchronous=False)
    reader.close()


def no_acknowledged_record_is_lost_or_doubled():
    reader = consumer()
    reader.assign([TopicPartition(TOPIC, 0, 0)])
    got = []
    while len(got) < COUNT:
        message = reader.poll(10)
        assert message is not None, f"only {len(got)} records"
        assert not message.error(), message.error()
        got.append(int(message.value()))
    equal(got, list(range(COUNT)))
    equal(reader.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=10), (0, COUNT))
    reader.close()


def the_committed_offset_is_kept():
    reader = consumer()
    committed = reader.committed([TopicPartition(TOPIC, 0)], timeout=20)[0]
    equal((committed.offset, committed.metadata), (COMMITTED, "a note"))
    reader.close()


if sys.argv[2] == "before":
    run([acknowledged_records_are_written, an_offset_is_committed])
run([no_acknowledged_record_is_lost_or_doubled, the_committed_offset_is_kept])

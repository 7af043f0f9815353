"""Transactions of clients that nobody here wrote: librdkafka, kafka-python and aiokafka.

`copy` and `check` belong together: one copies records exactly once while the server is killed, the other looks at the copies.
"""
import asyncio
import sys
import time

import aiokafka
import kafka
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from suite import BOOTSTRAP, equal, fresh, run

ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP})


def create(topic, partitions=1):
    for future in ADMIN.create_topics([NewTopic(topic, partitions, 1)]).values():
        future.result(20)
    return topic


def producer(transactional_id, **settings):
    made = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": transactional_id, **settings})
    made.init_transactions(30)
    return made


def consumer(group, isolation="read_committed", **settings):
    return Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest",
                     "enable.auto.commit": False, "isolation.level": isolation, "enable.partition.eof": True, **settings})


def values(topic, isolation="read_committed"):
    """All values of partition 0 up to its end, as a reader of this kind sees it."""
    reader, got = consumer(fresh("values"), isolation), []
    reader.assign([TopicPartition(topic, 0, 0)])
    while True:
        message = reader.poll(20)
        assert message is not None, f"no end of {topic} after {got}"
        if message.error():
            equal(message.error().code(), KafkaError._PARTITION_EOF)
            break
        got.append(message.value().decode())
    reader.close()
    return got


def send(source, topic, *texts):
    for text in texts:
        source.produce(topic, value=text.encode(), partition=0)


def end(topic, level):
    wanted = {TopicPartition(topic, 0): OffsetSpec.latest()}
    return ADMIN.list_offsets(wanted, isolation_level=level)[TopicPartition(topic, 0)].result(20).offset


def librdkafka_commits_and_aborts():
    topic, source = create(fresh("txn")), producer(fresh("id"))
    for texts, is_commit in [(["a", "b"], True), (["no"], False), (["c"], True)]:
        source.begin_transaction()
        send(source, topic, *texts)
        equal(source.flush(20), 0)
        if is_commit:
            source.commit_transaction(30)
        else:
            source.abort_transaction(30)
    equal(values(topic), ["a", "b", "c"])
    equal(values(topic, "read_uncommitted"), ["a", "b", "no", "c"])
    equal(end(topic, IsolationLevel.READ_UNCOMMITTED), 7)


def librdkafka_readers_wait_for_what_is_open():
    topic, source = create(fresh("txn")), producer(fresh("id"))
    plain = Producer({"bootstrap.servers": BOOTSTRAP})
    send(plain, topic, "before")
    equal(plain.flush(20), 0)
    source.begin_transaction()
    send(source, topic, "open")
    equal(source.flush(20), 0)
    send(plain, topic, "after")
    equal(plain.flush(20), 0)
    equal((end(topic, IsolationLevel.READ_UNCOMMITTED), end(topic, IsolationLevel.READ_COMMITTED)), (3, 1))
    equal(values(topic, "read_uncommitted"), ["before", "open", "after"])
    source.commit_transaction(30)
    equal(values(topic), ["before", "open", "after"])


def librdkafka_sends_offsets_with_a_transaction():
    topic, copy, group = create(fresh("txn")), create(fresh("copy")), fresh("group")
    plain = Producer({"bootstrap.servers": BOOTSTRAP})
    send(plain, topic, *"abcd")
    equal(plain.flush(20), 0)
    source = producer(fresh("id"))
    for is_commit, expected in [(False, 0), (True, 4)]:
        reader = consumer(group)
        reader.subscribe([topic])
        got = []
        while len(got) < 4:
            message = reader.poll(20)
            assert message is not None, f"only {got}"
            if not message.error():
                got.append(message.value())
        source.begin_transaction()
        send(source, copy, *(value.decode() for value in got))
        source.send_offsets_to_transaction([TopicPartition(topic, 0, 4)], reader.consumer_group_metadata(), 30)
        if is_commit:
            source.commit_transaction(30)
        else:
            source.abort_transaction(30)
        committed = reader.committed([TopicPartition(topic, 0)], timeout=20)[0].offset
        equal(max(committed, 0), expected)
        reader.close()
    equal(values(copy), list("abcd"))


def librdkafka_a_second_instance_fences_the_first():
    topic, name = create(fresh("txn")), fresh("id")
    first = producer(name)
    first.begin_transaction()
    send(first, topic, "zombie")
    equal(first.flush(20), 0)
    second = producer(name)
    second.begin_transaction()
    send(second, topic, "second")
    second.commit_transaction(30)
    try:
        first.commit_transaction(30)
        raise AssertionError("the first instance was not fenced")
    except KafkaException as error:
        assert error.args[0].fatal(), error
        equal(error.args[0].code(), KafkaError._FENCED)
    equal(values(topic), ["second"])


def librdkafka_a_transaction_whose_time_is_up_is_aborted():
    topic = create(fresh("txn"))
    source = producer(fresh("id"), **{"transaction.timeout.ms": 1000})
    source.begin_transaction()
    send(source, topic, "slow")
    equal(source.flush(20), 0)
    until = time.time() + 30
    while end(topic, IsolationLevel.READ_COMMITTED) == 0:
        assert time.time() < until, "it is still open"
        time.sleep(0.5)
    equal(values(topic), [])


def kafka_python_commits_aborts_and_sends_offsets():
    topic, name, group = create(fresh("txn")), fresh("id"), fresh("group")
    source = kafka.KafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id=name)
    source.init_transactions()
    for text, is_commit in [(b"a", True), (b"no", False), (b"b", True)]:
        source.begin_transaction()
        source.send(topic, value=text, partition=0).get(20)
        offsets = {kafka.TopicPartition(topic, 0): kafka.structs.OffsetAndMetadata(ord(text[:1]), "", -1)}
        source.send_offsets_to_transaction(offsets, group)
        if is_commit:
            source.commit_transaction()
        else:
            source.abort_transaction()
    second = kafka.KafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id=name)
    second.init_transactions()
    source.begin_transaction()
    try:
        source.send(topic, value=b"zombie", partition=0).get(20)
        source.commit_transaction()
        raise AssertionError("the first instance was not fenced")
    except kafka.errors.KafkaError as error:
        assert isinstance(error, (kafka.errors.ProducerFencedError, kafka.errors.InvalidProducerEpochError)), error
    second.close()
    equal(values(topic), ["a", "b"])
    reader = consumer(group)
    equal(reader.committed([TopicPartition(topic, 0)], timeout=20)[0].offset, ord("b"))
    reader.close()


def aiokafka_commits_aborts_and_sends_offsets():
    topic, group = create(fresh("txn")), fresh("group")

    async def story():
        source = aiokafka.AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id=fresh("id"))
        await source.start()
        async with source.transaction():
            await source.send_and_wait(topic, b"a", partition=0)
            await source.send_offsets_to_transaction({aiokafka.TopicPartition(topic, 0): 1}, group)
        try:
            async with source.transaction():
                await source.send_and_wait(topic, b"no", partition=0)
                raise ValueError("changed my mind")
        except ValueError:
            pass
        async with source.transaction():
            await source.send_and_wait(topic, b"b", partition=0)
        await source.stop()
        reader = aiokafka.AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=group, isolation_level="read_committed",
                                           enable_auto_commit=False)
        await reader.start()
        reader.assign([aiokafka.TopicPartition(topic, 0)])
        got = [await asyncio.wait_for(reader.getone(), 20)]
        await reader.stop()
        return [record.value for record in got]

    equal(asyncio.run(story()), [b"b"])
    equal(values(topic), ["a", "b"])


# --- while the server is killed --------------------------------------------------------------------------------------
COUNT, SOURCE, COPY = 100_000, "txn-source", "txn-copy"


def copy():
    """Copies each record exactly once, with a transaction for some hundreds of them."""
    plain = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "queue.buffering.max.messages": 2 * COUNT})
    for topic in (SOURCE, COPY):
        create(topic)
    send(plain, SOURCE, *(str(n) for n in range(COUNT)))
    equal(plain.flush(60), 0)
    reader, worker, done, round_number = consumer("txn-copier"), None, 0, 0
    reader.subscribe([SOURCE])
    while done < COUNT:
        batch = [message for message in reader.consume(400, 5) if not message.error()]
        if not batch:
            continue
        round_number += 1
        try:
            worker = worker or producer("txn-copier")
            worker.begin_transaction()
            send(worker, COPY, *(message.value().decode() for message in batch))
            position = batch[-1].offset() + 1
            # When a broker has come back librdkafka may wait in here for a connection that it has, also with Apache Kafka.
            worker.send_offsets_to_transaction([TopicPartition(SOURCE, 0, position)], reader.consumer_group_metadata(), 5)
            if round_number % 7 == 0:
                worker.abort_transaction(30)
                raise KafkaException(KafkaError(KafkaError._STATE, "changed my mind"))
            worker.commit_transaction(30)
            done = position
        except KafkaException as error:
            print(f"round {round_number}: {error}", file=sys.stderr)
            # The next producer of that name ends whatever this one has left, one way or the other.
            worker = worker if "changed my mind" in str(error) else None
            worker = worker or producer("txn-copier")
            committed = reader.committed([TopicPartition(SOURCE, 0)], timeout=60)[0].offset
            done = max(committed, 0)
            reader.seek(TopicPartition(SOURCE, 0, done))
    reader.close()


def every_record_was_copied_exactly_once_while_the_server_was_killed():
    equal(values(COPY), [str(n) for n in range(COUNT)])


mode = sys.argv[2] if len(sys.argv) > 2 else "all"
if mode == "copy":
    run([copy])
elif mode == "check":
    run([every_record_was_copied_exactly_once_while_the_server_was_killed])
else:
    run([librdkafka_commits_and_aborts, librdkafka_readers_wait_for_what_is_open, librdkafka_sends_offsets_with_a_transaction,
         librdkafka_a_second_instance_fences_the_first, librdkafka_a_transaction_whose_time_is_up_is_aborted,
         kafka_python_commits_aborts_and_sends_offsets, aiokafka_commits_aborts_and_sends_offsets])

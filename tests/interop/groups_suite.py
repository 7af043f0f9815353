"""Groups under stress: members of librdkafka in processes of their own come, leave, are killed, and restart.

Whatever happens, every record is consumed by somebody, a committed offset never goes back, and once it is quiet each
partition has one owner and everything is committed."""
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

if len(sys.argv) > 2 and sys.argv[2] == "member":
    # One member: tells what it reads, then commits, until it is asked to stop.
    bootstrap, settings, topic = sys.argv[1], json.loads(sys.argv[3]), sys.argv[4]
    member = Consumer({"bootstrap.servers": bootstrap, "auto.offset.reset": "earliest", "enable.auto.commit": False, **settings})
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    member.subscribe([topic])
    uncommitted = False
    while not stopping:
        messages = [message for message in member.consume(200, 0.2) if not message.error()]
        print("\n".join(f"{m.partition()} {m.offset()}" for m in messages), flush=True)
        uncommitted = uncommitted or bool(messages)
        if uncommitted:
            try:
                member.commit(asynchronous=False)
                uncommitted = False
            except KafkaException as error:
                # Amid a rebalance nothing is committed: once more, unless what was read is another's now.
                uncommitted = error.args[0].code() != KafkaError._NO_OFFSET
                print(f"commit: {error}", file=sys.stderr, flush=True)
    member.close()
    sys.exit()

from suite import BOOTSTRAP, equal, fresh, run  # noqa: E402 - the member above needs none of it

PARTITIONS, RECORDS = 6, 6000
ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP})


class Member:
    def __init__(self, group, topic, directory, number, settings):
        self.command = [sys.executable, __file__, BOOTSTRAP, "member", json.dumps({"group.id": group, **settings}), topic]
        self.paths = []
        self.directory, self.number = directory, number
        self.start()

    def start(self):
        self.paths.append(os.path.join(self.directory, f"{self.number}-{len(self.paths)}"))
        self.process = subprocess.Popen(self.command, stdout=open(self.paths[-1], "w"), stderr=open(self.paths[-1] + ".err", "w"))

    def end(self, how):
        self.process.send_signal(how)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"member {self.number} does not stop") from None

    def said(self):
        return [line.strip() for path in self.paths for line in open(path + ".err")]

    def read(self):
        for path in self.paths:
            for line in open(path):
                # The last line of one that was killed may be cut off.
                if line.endswith("\n") and len(line.split()) == 2:
                    partition, offset = line.split()
                    yield int(partition), int(offset)


def committed(group, topic):
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition) for partition in range(PARTITIONS)])
    found = list(ADMIN.list_consumer_group_offsets([asked]).values())[0].result(20)
    return {partition.partition: partition.offset for partition in found.topic_partitions}


def owners(group):
    described = list(ADMIN.describe_consumer_groups([group]).values())[0].result(20)
    return described.state.name, {member.member_id: [p.partition for p in member.assignment.topic_partitions] for member in described.members}


def stress(settings):
    topic, group = fresh("stress"), fresh("stress-group")
    for future in ADMIN.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        future.result(20)
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 5})
    chance = random.Random(7)
    before = dict.fromkeys(range(PARTITIONS), -1001)
    with tempfile.TemporaryDirectory() as directory:
        members = [Member(group, topic, directory, number, {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500,
                                                           **({"group.instance.id": f"static-{number}"} if number == 0 else {}),
                                                           **settings}) for number in range(4)]
        try:
            written = 0
            for step in range(20):
                for _ in range(RECORDS // 20):
                    producer.produce(topic, value=b"%d" % written, partition=written % PARTITIONS)
                    written += 1
                producer.flush(20)
                time.sleep(0.4)
                if step % 4 == 2:
                    member = chance.choice(members)
                    member.end(chance.choice([signal.SIGKILL, signal.SIGTERM]))
                    member.start()
                now = committed(group, topic)
                went_back = {p: (before[p], now[p]) for p in now if now[p] < before[p]}
                equal(went_back, {})
                before = now
            ends = {partition: RECORDS // PARTITIONS for partition in range(PARTITIONS)}
            until = time.time() + 40
            while committed(group, topic) != ends and time.time() < until:
                time.sleep(0.2)
            found = committed(group, topic)
            assert found == ends, f"committed {found}, not {ends}; {owners(group)}; {[member.said() for member in members]}"
            until, described = time.time() + 20, None
            while time.time() < until:
                described = list(ADMIN.describe_consumer_groups([group]).values())[0].result(20)
                if described.state.name == "STABLE" and len(described.members) == len(members):
                    break
                time.sleep(0.2)
            equal((described.state.name, len(described.members)), ("STABLE", len(members)))
            owned = [p.partition for member in described.members for p in member.assignment.topic_partitions]
            equal(sorted(owned), list(range(PARTITIONS)))
        finally:
            for member in members:
                member.end(signal.SIGTERM)
        consumed = {pair for member in members for pair in member.read()}
    missing = {(partition, offset) for partition in ends for offset in range(ends[partition])} - consumed
    equal(sorted(missing)[:10], [])


def eager_members_come_and_go():
    stress({"partition.assignment.strategy": "range,roundrobin"})


def cooperative_members_come_and_go():
    stress({"partition.assignment.strategy": "cooperative-sticky"})


run([eager_members_come_and_go, cooperative_members_come_and_go])

"""A world of random_calls.py: topics are made, written, read at any place, cut, changed, deleted and made anew."""
import uuid

from cases import batch
from drawn import Learned, Named, call, chosen, learned
from records import without_what_was_drawn

NAME = "log"
TOPICS = ("t", "u")
# The past, in which the timestamps of most records lie.
PAST = 1_700_000_000_000
NOBODY = uuid.UUID(int=0)
NEVER = {"Name": "retention.ms", "Value": "-1"}


def where(random):
    return chosen(random, (30, random.choice(TOPICS)), (1, "no")), chosen(random, (20, 0), (8, 1), (1, 7))


def creates(random):
    more = chosen(random, (6, None), (1, ("cleanup.policy", "compact")), (1, ("message.timestamp.type", "LogAppendTime")), (1, ("max.message.bytes", "300")),
                  (1, ("cleanup.policy", "compact,delete")), (1, ("segment.bytes", "1048576")), (1, ("nothing", "1")))
    settings = [NEVER] + ([{"Name": more[0], "Value": more[1]}] if more else [])
    body = {"Topics": [{"Name": Named(random.choice(TOPICS)), "NumPartitions": chosen(random, (3, 1), (3, 2), (1, -1), (1, 0)), "ReplicationFactor": 1,
                        "Configs": settings}], "TimeoutMs": 10000, "validateOnly": random.random() < 0.05}
    return call(random, "CreateTopics", body, low=4)


def deletes(random):
    name = chosen(random, (9, random.choice(TOPICS)), (1, "no"))
    by_id = random.random() < 0.3
    body = {"TopicNames": [Named(name)], "TimeoutMs": 5000,
            "Topics": [{"Name": None if by_id else Named(name), "TopicId": Learned("topic id", name, age=random.randint(0, 1), otherwise=NOBODY) if by_id else NOBODY}]}
    return call(random, "DeleteTopics", body, low=6 if by_id else 1)


def grows(random):
    body = {"Topics": [{"Name": Named(random.choice(TOPICS)), "Count": random.randint(1, 3), "Assignments": None}], "TimeoutMs": 5000, "ValidateOnly": random.random() < 0.1}
    return call(random, "CreatePartitions", body)


def changes(random):
    key, value = chosen(random, (2, ("cleanup.policy", "compact")), (2, ("cleanup.policy", "delete")), (1, ("cleanup.policy", "delete,compact")), (1, ("cleanup.policy", "no")),
                        (2, ("message.timestamp.type", "LogAppendTime")), (2, ("message.timestamp.type", "CreateTime")), (2, ("max.message.bytes", "200")),
                        (2, ("max.message.bytes", "1048588")), (1, ("max.message.bytes", "0")), (1, ("max.message.bytes", "-1")), (2, ("compression.type", "gzip")),
                        (1, ("compression.type", "lz4")), (1, ("compression.type", "uncompressed")), (2, ("compression.type", "producer")),
                        (1, ("message.timestamp.before.max.ms", "1000")), (1, ("message.timestamp.before.max.ms", "9223372036854775807")))
    operation = chosen(random, (12, 0), (3, 1), (1, 2), (1, 3))
    change = {"Name": key, "ConfigOperation": operation, "Value": None if operation == 1 else value}
    body = {"Resources": [{"ResourceType": 2, "ResourceName": Named(random.choice(TOPICS)), "Configs": [change]}], "ValidateOnly": random.random() < 0.1}
    return call(random, "IncrementalAlterConfigs", body)


def produces(random):
    name, index = where(random)
    parts = {"values": [bytes(random.choices(b"abc", k=random.choice([0, 1, 10, 10, 100]))) for _ in range(random.randint(1, 4))],
             "timestamp": chosen(random, (30, PAST + random.randint(0, 9) * 100), (1, -1), (1, 0), (1, 4_000_000_000_000)), "key": chosen(random, (9, b"k"), (2, None), (1, b""))}
    wrong = chosen(random, (40, {}), (1, {"count": 9}), (1, {"delta": 7}), (1, {"magic": 1}), (1, {"crc": 1}), (1, {"base": 5}), (1, {"attributes": 8}), (1, {"attributes": 16}),
                   (1, {"attributes": 32}), (1, {"attributes": 3}), (1, {"producer_id": 7, "epoch": 0, "sequence": 0}), (1, {"attributes": 64}))
    records = batch(**parts, **wrong)
    whole = len(records)
    records = chosen(random, (40, records), (1, records + records), (1, records[:-2]), (1, b"\0" * 61))
    body = {"Acks": chosen(random, (9, -1), (3, 1), (0 if wrong or len(records) != whole else 1, 7)), "TimeoutMs": 5000, "TransactionalId": None,
            "TopicData": [{"Name": Named(name), "TopicId": topic_id(random, name), "PartitionData": [{"Index": index, "Records": records}]}]}
    return call(random, "Produce", body, low=3)


def topic_id(random, name):
    return Learned("topic id", name, otherwise=NOBODY, age=chosen(random, (9, 0), (1, 1)))


def offset(random):
    return chosen(random, (12, random.randint(0, 12)), (1, -1), (1, -2), (1, 999))


def cuts(random):
    name, index = where(random)
    body = {"Topics": [{"Name": Named(name), "Partitions": [{"PartitionIndex": index, "Offset": chosen(random, (8, random.randint(0, 6)), (2, -1), (1, -2), (1, 999))}]}],
            "TimeoutMs": 5000}
    return call(random, "DeleteRecords", body)


def asks(random):
    name, index = where(random)
    timestamp = chosen(random, (10, PAST + random.randint(-1, 10) * 100 + random.randint(-1, 1)), (8, random.choice([-1, -2, -3, -4, -5])), (1, -6), (1, -7), (1, 0), (1, 10**15))
    body = {"ReplicaId": -1, "IsolationLevel": random.randint(0, 1), "TimeoutMs": 1000, "Topics": [{"Name": Named(name), "Partitions": [
        {"PartitionIndex": index, "Timestamp": timestamp, "CurrentLeaderEpoch": leader_epoch(random)}]}]}
    return call(random, "ListOffsets", body)


def leader_epoch(random):
    return chosen(random, (12, -1), (2, 0), (1, 1))


def epochs(random):
    name, index = where(random)
    body = {"ReplicaId": -1, "Topics": [{"Topic": Named(name), "Partitions": [
        {"Partition": index, "CurrentLeaderEpoch": leader_epoch(random), "LeaderEpoch": chosen(random, (3, 0), (1, 1), (1, -1))}]}]}
    return call(random, "OffsetForLeaderEpoch", body)


def reads(random):
    topics = {}
    for name, index in sorted({where(random) for _ in range(random.randint(1, 3))}):
        topic = topics.setdefault(name, {"Topic": Named(name), "TopicId": topic_id(random, name), "Partitions": []})
        topic["Partitions"].append({
            "Partition": index, "CurrentLeaderEpoch": leader_epoch(random), "FetchOffset": offset(random), "LogStartOffset": -1,
            "LastFetchedEpoch": chosen(random, (9, -1), (2, 0), (1, 1)), "PartitionMaxBytes": chosen(random, (4, 1 << 20), (1, 0), (1, 1), (2, 150))})
    body = {"ReplicaId": -1, "MaxWaitMs": random.choice([0, 20]), "MinBytes": random.randint(0, 1), "MaxBytes": chosen(random, (4, 1 << 20), (1, 0), (1, 1), (2, 150)),
            "IsolationLevel": random.randint(0, 1), "SessionId": 0, "SessionEpoch": -1, "Topics": list(topics.values())}
    return call(random, "Fetch", body, only=without_what_was_drawn)


def describes(random):
    body = {"Topics": [{"Name": Named(name), "TopicId": NOBODY} for name in random.sample([*TOPICS, "no"], 2)], "AllowAutoTopicCreation": False}
    return call(random, "Metadata", body, low=4, only=without_brokers)


def without_brokers(answer, kept):
    return {"Topics": answer["Topics"]}


def draw(random):
    for _ in range(2):
        yield creates(random)
    for _ in range(random.randint(20, 100)):
        kind = chosen(random, (5, creates), (2, deletes), (2, grows), (5, changes), (30, produces), (8, cuts), (20, asks), (4, epochs), (20, reads), (3, describes))
        yield kind(random)


def checks(call):
    """After what changes something: where the logs begin and end, and of which ids the topics are."""
    if call["api"] in ("CreateTopics", "DeleteTopics"):
        yield {"api": "Metadata", "version": 12, "body": {"Topics": [{"Name": Named(name), "TopicId": NOBODY} for name in TOPICS], "AllowAutoTopicCreation": False},
               "only": without_brokers, "learns": True}
    if call["api"] in ("Produce", "DeleteRecords"):
        for timestamp in (-1, -2):
            topics = [{"Name": Named(name), "Partitions": [{"PartitionIndex": index, "Timestamp": timestamp, "CurrentLeaderEpoch": -1} for index in (0, 1)]} for name in TOPICS]
            yield {"api": "ListOffsets", "version": 7, "body": {"ReplicaId": -1, "IsolationLevel": 0, "Topics": topics}}


def learn(side, call, answer):
    if call.get("learns"):
        for topic in answer["Topics"]:
            if topic["ErrorCode"] == 0:
                name = topic["Name"].removeprefix(side.kept["run"])
                learned(side, topic["TopicId"], "topic id", name, name=f"id of {name}")


def judged(call, answers, sides, found):
    """Which of the differences count: what cannot be taken apart is corrupt wherever it goes, says Kafka; here it is first seen
    where it goes."""
    if call["api"] == "Produce" and all(one[0].endswith("ErrorCode") and one[1] in (3, 100) and one[2] == 2 for one in found):
        return []
    return found

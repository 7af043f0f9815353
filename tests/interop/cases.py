"""What beside_kafka.py asks both brokers: cases of a name and steps, each an API and a body.

A step may say `versions` (only these), `newest` (only the last), `keep` (what later steps take from the answer), `until` (asked
again until the answer says so), `only` (the part of the answer that is compared), `in_order` (the order of lists counts)."""
import itertools
import struct
import time
import uuid

RUN = uuid.uuid4().hex[:6]


def step(api, body=None, **how):
    return {"api": api, "body": body or {}, **how}


def topic(name):
    return f"{name}-{RUN}"


# --- records, by hand: a batch of one producer, sealed
def _crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _zigzag(number):
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def batch(values, producer_id=-1, epoch=-1, sequence=-1, attributes=0, timestamp=None, key=b"k", magic=2, crc=None, count=None, delta=None, base=0):
    timestamp = int(time.time() * 1000) if timestamp is None else timestamp
    records = b""
    for at, value in enumerate(values):
        keyed = b"\x01" if key is None else _zigzag(len(key)) + key
        body = b"\0" + _zigzag(0) + _zigzag(at) + keyed + _zigzag(len(value)) + value + _zigzag(0)
        records += _zigzag(len(body)) + body
    count = len(values) if count is None else count
    delta = len(values) - 1 if delta is None else delta
    tail = struct.pack(">hiqqqhii", attributes, delta, timestamp, timestamp, producer_id, epoch, sequence, count) + records
    seal = _crc32c(tail) if crc is None else crc
    body = struct.pack(">ibI", -1, magic, seal) + tail
    return struct.pack(">qi", base, len(body)) + body


def produce(name, records, acks=-1, transactional_id=None, index=0, **how):
    """By name, that is at versions before 13."""
    body = {"Acks": acks, "TimeoutMs": 5000, "TransactionalId": transactional_id,
            "TopicData": [{"Name": name, "PartitionData": [{"Index": index, "Records": records}]}]}
    return step("Produce", body, **{"versions": "3-12", **how})


def create(name, partitions=1, **how):
    body = {"Topics": [{"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1, **how.pop("topic", {})}], "TimeoutMs": 10000}
    return step("CreateTopics", body, newest=True, **how)


def offsets(name, timestamp, **how):
    partition = {"PartitionIndex": how.pop("index", 0), "Timestamp": timestamp, "CurrentLeaderEpoch": how.pop("epoch", -1)}
    body = {"ReplicaId": -1, "IsolationLevel": how.pop("isolation", 0), "Topics": [{"Name": name, "Partitions": [partition]}]}
    return step("ListOffsets", body, **how)


def fetch(name, offset, index=0, epoch=-1, max_bytes=1 << 20, isolation=0, **how):
    body = {"ReplicaId": -1, "MaxWaitMs": 100, "MinBytes": 1, "MaxBytes": 1 << 20, "IsolationLevel": isolation, "SessionId": 0, "SessionEpoch": -1,
            "Topics": [{"Topic": name, "Partitions": [{"Partition": index, "CurrentLeaderEpoch": epoch, "FetchOffset": offset,
                                                       "LogStartOffset": -1, "PartitionMaxBytes": max_bytes}]}]}
    return step("Fetch", body, **{"versions": "4-12", **how})


TOPIC, TYPES = topic("admin"), {"topic": 2, "broker": 4, "logger": 8, "client-metrics": 16, "group": 32}
FRESH = topic("fresh-v{v}")


def configs(kind, name, keys=None, **how):
    resource = {"ResourceType": TYPES.get(kind, kind), "ResourceName": name, "ConfigurationKeys": keys}
    return step("DescribeConfigs", {"Resources": [resource], "IncludeSynonyms": True, "IncludeDocumentation": False}, **how)


def alter(kind, name, settings, **how):
    """settings: (key, operation 0 set 1 delete 2 append 3 subtract, value)"""
    changes = [{"Name": key, "ConfigOperation": operation, "Value": value} for key, operation, value in settings]
    body = {"Resources": [{"ResourceType": TYPES.get(kind, kind), "ResourceName": name, "Configs": changes}], "ValidateOnly": how.pop("validate", False)}
    return step("IncrementalAlterConfigs", body, **how)


def creation(**changes):
    return {"Topics": [{"Name": FRESH, "NumPartitions": 1, "ReplicationFactor": 1, **changes}], "TimeoutMs": 10000}


def settled(field="Topics"):
    return lambda answer: not any(item.get("ErrorCode") in (3, 5) for item in answer.get(field, []))


GROUP = f"group-{RUN}"


def join(group, member="", protocols=(("range", b"one"),), session=10000, instance=None, kind="consumer", **how):
    body = {"GroupId": group, "SessionTimeoutMs": session, "RebalanceTimeoutMs": 10000, "MemberId": member, "GroupInstanceId": instance,
            "ProtocolType": kind, "Protocols": [{"Name": name, "Metadata": data} for name, data in protocols], "Reason": ""}
    return step("JoinGroup", body, **how)


def commit(group, name, offset, generation=-1, member="", index=0, metadata="", **how):
    body = {"GroupId": group, "GenerationIdOrMemberEpoch": generation, "MemberId": member, "RetentionTimeMs": -1,
            "Topics": [{"Name": name, "Partitions": [{"PartitionIndex": index, "CommittedOffset": offset, "CommittedLeaderEpoch": -1,
                                                      "CommittedMetadata": metadata}]}]}
    return step("OffsetCommit", body, **{"versions": "2-9", **how})


def coordinator(key, kind, **how):
    body = {"Key": key, "KeyType": kind, "CoordinatorKeys": [key]}
    ready = lambda answer: answer.get("ErrorCode", 0) != 15 and all(found["ErrorCode"] != 15 for found in answer.get("Coordinators", []))  # noqa: E731
    return step("FindCoordinator", body, **{"until": ready, **how})


def kept(name):
    return lambda values: values[name]


def keep_producer(values, answer):
    values["pid"], values["epoch"] = answer["ProducerId"], answer["ProducerEpoch"]


NOBODY = 99
# What may be wrong with a batch, besides what no broker can unpack.
FAULTS = {"base": {"base": 5}, "seal": {"crc": 1}, "count": {"count": 9}, "nothing": {"count": 0}, "delta": {"delta": 7}, "control": {"attributes": 32}, "append time": {"attributes": 8},
          "no sequence": {"producer_id": 7, "epoch": 0, "sequence": -1}, "future": {"timestamp": 4_000_000_000_000}, "no key": {"key": None}, "magic": {"magic": 1}, "large": {"values": [b"a" * 400]}}


def wrong(*faults):
    parts = {"values": [b"a"]}
    for fault in faults:
        parts.update(FAULTS[fault])
    return batch(**parts)


AGAIN = topic("again")
OFFSETS_AGAIN = [{"Name": name, "PartitionIndexes": indexes} for name, indexes in [(AGAIN, [0, 0, 77, 0]), (topic("no"), [0, 0]), (AGAIN, [1, 0])]]
CASES = [
    ("features", [step("ApiVersions", {"ClientSoftwareName": "x", "ClientSoftwareVersion": "1"}, versions="3+",
                       only=lambda answer: {"features": answer.get("SupportedFeatures"), "error": answer["ErrorCode"]}),
                  step("ApiVersions", {"ClientSoftwareName": "not a name!", "ClientSoftwareVersion": "1"}, versions="3+",
                       only=lambda answer: {"error": answer["ErrorCode"], "apis": len(answer["ApiKeys"])})]),
    ("create_topics", [
        step("CreateTopics", creation()), step("CreateTopics", creation()),
        step("CreateTopics", creation(Name=topic("zero"), NumPartitions=0)),
        step("CreateTopics", creation(Name=topic("minus"), NumPartitions=-2)),
        step("CreateTopics", creation(Name=topic("rf0"), ReplicationFactor=0)),
        step("CreateTopics", creation(Name=topic("rf2"), ReplicationFactor=2)),
        step("CreateTopics", creation(Name="")), step("CreateTopics", creation(Name=".")), step("CreateTopics", creation(Name="..")),
        step("CreateTopics", creation(Name="with space")), step("CreateTopics", creation(Name="x" * 250)),
        step("CreateTopics", creation(Name=topic("config"), Configs=[{"Name": "no.such.key", "Value": "1"}])),
        step("CreateTopics", creation(Name=topic("config"), Configs=[{"Name": "retention.ms", "Value": "soon"}])),
        step("CreateTopics", creation(Name=topic("config"), Configs=[{"Name": "retention.ms", "Value": "-2"}])),
        step("CreateTopics", creation(Name=topic("config"), Configs=[{"Name": "cleanup.policy", "Value": "keep"}])),
        step("CreateTopics", creation(Name=topic("config"), Configs=[{"Name": "retention.ms", "Value": None}])),
        step("CreateTopics", creation(Name=topic("config"), Configs=[{"Name": "min.insync.replicas", "Value": "0"}])),
        step("CreateTopics", creation(Name=topic("config"), Configs=[{"Name": "segment.bytes", "Value": "13"}])),
        step("CreateTopics", creation(Name=topic("config"), Configs=[{"Name": "compression.type", "Value": "brotli"}])),
        step("CreateTopics", {**creation(Name=topic("valid-v{v}")), "validateOnly": True}),
        step("CreateTopics", creation(Name=topic("assigned-v{v}"), NumPartitions=-1, ReplicationFactor=-1,
                                      Assignments=[{"PartitionIndex": 0, "BrokerIds": [1]}, {"PartitionIndex": 1, "BrokerIds": [1]}])),
        step("CreateTopics", creation(Name=topic("assigned"), Assignments=[{"PartitionIndex": 0, "BrokerIds": [1]}])),
        step("CreateTopics", creation(Name=topic("a-gap"), NumPartitions=-1, ReplicationFactor=-1, Assignments=[{"PartitionIndex": 1, "BrokerIds": [1]}])),
        step("CreateTopics", creation(Name=topic("nobody"), NumPartitions=-1, ReplicationFactor=-1, Assignments=[{"PartitionIndex": 0, "BrokerIds": [NOBODY]}])),
        step("CreateTopics", creation(Name=topic("twice"), NumPartitions=-1, ReplicationFactor=-1, Assignments=[{"PartitionIndex": 0, "BrokerIds": [1, 1]}])),
        step("CreateTopics", creation(Name=topic("none"), NumPartitions=-1, ReplicationFactor=-1, Assignments=[{"PartitionIndex": 0, "BrokerIds": []}])),
        step("CreateTopics", {"Topics": [{"Name": topic("double"), "NumPartitions": 1, "ReplicationFactor": 1}] * 2, "TimeoutMs": 10000}),
        step("CreateTopics", {"Topics": [], "TimeoutMs": 10000}),
        step("CreateTopics", creation(Name=topic("defaults-v{v}"), NumPartitions=-1, ReplicationFactor=-1), versions="4+"),
        step("CreateTopics", creation(Name=topic("a.b"))), step("CreateTopics", creation(Name=topic("a_b"))),
        step("CreateTopics", creation(Name="__consumer_offsets")),
    ]),
    ("create_partitions", [create(TOPIC, 2)] + [
        step("CreatePartitions", {"Topics": [{"Name": name, "Count": count, "Assignments": assigned}], "TimeoutMs": 5000, "ValidateOnly": validate})
        for name, count, assigned, validate in [
            (TOPIC, 1, None, False), (TOPIC, 2, None, False), (TOPIC, 3, None, True), (TOPIC, 3, [{"BrokerIds": [1]}], True), (TOPIC, 0, None, False),
            (TOPIC, -1, None, False), (TOPIC, 3, [{"BrokerIds": [NOBODY]}], False), (TOPIC, 3, [], False), (TOPIC, 4, [{"BrokerIds": [1]}], False),
            (TOPIC, 3, [{"BrokerIds": [1, 1]}], False), (TOPIC, 3, [{"BrokerIds": []}], False), (topic("no"), 3, None, False), ("", 3, None, False)]
    ] + [step("CreatePartitions", {"Topics": [{"Name": TOPIC, "Count": 5, "Assignments": None}] * 2, "TimeoutMs": 5000, "ValidateOnly": True}),
         step("CreatePartitions", {"Topics": [{"Name": TOPIC, "Count": 3, "Assignments": None}], "TimeoutMs": 5000}, newest=True)]),
    ("metadata", [
        step("Metadata", {"Topics": [{"Name": TOPIC}], "AllowAutoTopicCreation": False},
             until=lambda answer: settled()(answer) and len(answer["Topics"][0]["Partitions"]) == 3),
        step("Metadata", {"Topics": [{"Name": topic("no")}], "AllowAutoTopicCreation": False}, versions="4+"),
        step("Metadata", {"Topics": [{"Name": "no good"}], "AllowAutoTopicCreation": False}, versions="4+"),
        step("Metadata", {"Topics": [{"Name": ""}], "AllowAutoTopicCreation": False}, versions="4-9"),
        step("Metadata", {"Topics": [], "AllowAutoTopicCreation": False}, versions="1+"),
        step("Metadata", {"Topics": [{"Name": TOPIC}], "AllowAutoTopicCreation": False, "IncludeTopicAuthorizedOperations": True,
                          "IncludeClusterAuthorizedOperations": True}, versions="8+"),
        step("Metadata", {"Topics": [{"TopicId": uuid.UUID(int=7), "Name": None}], "AllowAutoTopicCreation": False}, versions="12+"),
        step("Metadata", {"Topics": [{"Name": TOPIC}, {"Name": TOPIC}], "AllowAutoTopicCreation": False}, versions="4+"),
        step("Metadata", {"Topics": [{"Name": topic("auto-v{v}")}], "AllowAutoTopicCreation": True}, versions="4+"),
        step("Metadata", {"Topics": [{"Name": topic("auto-v{v}")}], "AllowAutoTopicCreation": True}, versions="4+", until=settled()),
    ]),
    ("describe_cluster", [step("DescribeCluster", {"EndpointType": 1}), step("DescribeCluster", {"EndpointType": 2}, versions="1+"),
                          step("DescribeCluster", {"EndpointType": 7}, versions="1+"),
                          step("DescribeCluster", {"IncludeClusterAuthorizedOperations": True, "EndpointType": 1})]),
    ("describe_topic_partitions", [
        step("DescribeTopicPartitions", {"Topics": [{"Name": name}], "ResponsePartitionLimit": limit, "Cursor": cursor})
        for name, limit, cursor in [(TOPIC, 100, None), (TOPIC, 1, None), (TOPIC, 1, {"TopicName": TOPIC, "PartitionIndex": 1}), (topic("no"), 10, None),
                                    (TOPIC, 0, None), ("no good", 10, None), (TOPIC, 1, {"TopicName": TOPIC, "PartitionIndex": -1}),
                                    (TOPIC, 1, {"TopicName": TOPIC, "PartitionIndex": 9})]]),
    ("topic_configs", [
        configs("topic", TOPIC), configs("topic", TOPIC, ["retention.ms", "no.such.key"]), configs("topic", topic("no")), configs("topic", ""),
        configs("topic", "no good"), configs("topic", TOPIC, []), configs(3, "x"),
    ]),
    ("broker_configs", [
        configs("broker", "1", ["num.network.threads", "log.retention.ms", "compression.type", "log.segment.bytes", "message.max.bytes", "min.insync.replicas",
                                "log.cleanup.policy", "node.id", "listeners", "log.dirs", "no.such.key", "ssl.key.password", "background.threads"]),
        configs("broker", ""), configs("broker", str(NOBODY)), configs("broker", "one"), configs("logger", "nobody"),
        configs("client-metrics", "mine"), configs("client-metrics", ""), configs("group", GROUP), configs("group", ""),
    ]),
    ("broker_loggers", [
        alter("logger", "1", [("root", 0, "ERROR")], validate=True), alter("logger", "1", [("root", 0, "ERROR")]), configs("logger", "1", ["root"]),
        alter("logger", "1", [("root", 0, "FATAL")], validate=True), alter("logger", "1", [("root", 0, "OFF")]), alter("logger", "1", [("root", 0, "warn")]),
        alter("logger", "1", [("root", 0, None)]), alter("logger", "1", [("root", 1, None)]), alter("logger", "1", [("root", 2, "INFO")]),
        alter("logger", "1", [("root", 3, "INFO")]), alter("logger", "1", [("no.such.logger", 0, "INFO")]), alter("logger", "1", [("no.such.logger", 1, None)]),
        alter("logger", "1", [("", 0, "INFO")]), alter("logger", "1", [("root", 0, "TRACE"), ("no.such.logger", 0, "INFO")]), configs("logger", "1", ["root"]),
        alter("logger", "1", [("root", 0, "INFO"), ("root", 0, "WARN")]), alter("logger", "1", []),
        alter("logger", "", [("root", 0, "WARN")]), alter("logger", "one", [("root", 0, "WARN")]), alter("logger", str(NOBODY), [("root", 0, "WARN")]),
        alter("logger", "1", [("root", 0, "WARN")]), configs("logger", "1", ["root"]), configs("logger", "1", ["no.such.logger"]),
        configs("logger", ""), configs("logger", "one"), configs("logger", str(NOBODY)),
        step("AlterConfigs", {"Resources": [{"ResourceType": 8, "ResourceName": "1", "Configs": [{"Name": "root", "Value": "INFO"}]}]}),
        step("AlterConfigs", {"Resources": [{"ResourceType": 8, "ResourceName": "", "Configs": []}]}),
    ]),
    ("all_broker_configs", [configs("broker", "1")]),
    ("alter_configs", [
        alter("topic", TOPIC, [("retention.ms", 0, "1000")]), configs("topic", TOPIC, ["retention.ms"]),
        alter("topic", TOPIC, [("retention.ms", 0, "x")]), alter("topic", TOPIC, [("retention.ms", 0, None)]), alter("topic", TOPIC, [("nothing", 0, "1")]),
        alter("topic", TOPIC, [("retention.ms", 2, "1")]), alter("topic", TOPIC, [("cleanup.policy", 2, "compact")]), configs("topic", TOPIC, ["cleanup.policy"]),
        alter("topic", TOPIC, [("cleanup.policy", 2, "compact")]), alter("topic", TOPIC, [("cleanup.policy", 3, "delete")]),
        configs("topic", TOPIC, ["cleanup.policy"]), alter("topic", TOPIC, [("cleanup.policy", 3, "none")]),
        alter("topic", TOPIC, [("retention.ms", 0, "1"), ("retention.ms", 1, None)]),
        alter("topic", TOPIC, [("retention.ms", 0, "7")], validate=True), configs("topic", TOPIC, ["retention.ms"]),
        alter("topic", TOPIC, [("retention.ms", 1, None), ("cleanup.policy", 1, None)]), configs("topic", TOPIC, ["retention.ms", "cleanup.policy"]),
        alter("topic", topic("no"), [("retention.ms", 0, "1")]), alter("topic", "", [("retention.ms", 0, "1")]), alter("topic", TOPIC, []),
        alter(3, "x", [("a", 0, "1")]), alter("topic", TOPIC, [("min.insync.replicas", 0, "0")]), alter("topic", TOPIC, [("", 0, "1")]),
        step("AlterConfigs", {"Resources": [{"ResourceType": 2, "ResourceName": TOPIC, "Configs": [{"Name": "segment.ms", "Value": "99999"}]}]}),
        configs("topic", TOPIC, ["segment.ms"]),
        step("AlterConfigs", {"Resources": [{"ResourceType": 2, "ResourceName": TOPIC, "Configs": []}]}), configs("topic", TOPIC, ["segment.ms"]),
        step("AlterConfigs", {"Resources": [{"ResourceType": 2, "ResourceName": topic("no"), "Configs": []}]}),
        step("AlterConfigs", {"Resources": [{"ResourceType": 2, "ResourceName": TOPIC, "Configs": [{"Name": "segment.ms", "Value": None}]}]}),
    ]),
    ("alter_broker_configs", [
        alter("broker", "", [("log.retention.ms", 0, "100000")]), configs("broker", "1", ["log.retention.ms"]), configs("broker", ""),
        configs("topic", TOPIC, ["retention.ms"]), alter("broker", "1", [("log.retention.ms", 0, "200000")]), configs("broker", "1", ["log.retention.ms"]),
        configs("topic", TOPIC, ["retention.ms"]), alter("broker", "1", [("log.retention.ms", 1, None)]), alter("broker", "", [("log.retention.ms", 1, None)]),
        configs("broker", "1", ["log.retention.ms"]),
        alter("broker", "1", [("node.id", 0, "2")]), alter("broker", "1", [("nothing", 0, "2")]), alter("broker", str(NOBODY), [("log.retention.ms", 0, "1")]),
        alter("broker", "x", [("log.retention.ms", 0, "1")]), alter("broker", "1", [("log.retention.ms", 0, "x")]),
        alter("broker", "", [("listeners", 0, "PLAINTEXT://:1")]),
        alter("client-metrics", "mine", [("interval.ms", 0, "1000")]), configs("client-metrics", "mine"), step("ListConfigResources", {"ResourceTypes": [16]}),
        alter("client-metrics", "mine", [("interval.ms", 1, None)]), alter("client-metrics", "mine", [("nothing", 0, "1")]),
        alter("group", GROUP, [("consumer.session.timeout.ms", 0, "50000")]), configs("group", GROUP, ["consumer.session.timeout.ms"]),
        alter("group", GROUP, [("consumer.session.timeout.ms", 1, None)]), alter("group", GROUP, [("nothing", 0, "1")]), alter("group", "", [("nothing", 0, "1")]),
    ] + [step for key, value in [
        ("background.threads", "12"), ("compression.type", "lz4"), ("log.cleaner.backoff.ms", "1000"), ("log.cleaner.dedupe.buffer.size", "200000000"),
        ("log.cleaner.delete.retention.ms", "1000"), ("log.cleaner.io.max.bytes.per.second", "1000000"), ("log.cleaner.max.compaction.lag.ms", "100000"),
        ("log.cleaner.min.cleanable.ratio", "0.4"), ("log.cleaner.min.compaction.lag.ms", "1"), ("log.cleaner.threads", "2"), ("log.cleanup.policy", "compact"),
        ("log.flush.interval.messages", "100"), ("log.flush.interval.ms", "100"), ("log.index.interval.bytes", "1000"), ("log.index.size.max.bytes", "100000"),
        ("log.message.timestamp.after.max.ms", "1000000"), ("log.message.timestamp.before.max.ms", "1000000000"), ("log.message.timestamp.type", "LogAppendTime"),
        ("log.preallocate", "false"), ("log.retention.bytes", "1000000000"), ("log.roll.jitter.ms", "1"), ("log.roll.ms", "1000000"), ("log.segment.bytes", "10000000"),
        ("log.segment.delete.delay.ms", "1000"), ("max.connection.creation.rate", "100"), ("max.connections", "1000"), ("max.connections.per.ip", "1000"),
        ("max.connections.per.ip.overrides", ""), ("message.max.bytes", "2000000"), ("min.insync.replicas", "1"), ("num.io.threads", "9"),
        ("num.network.threads", "4"), ("num.recovery.threads.per.data.dir", "3"), ("num.replica.fetchers", "2"), ("producer.id.expiration.ms", "1000000"),
        ("transaction.partition.verification.enable", "true"), ("unclean.leader.election.enable", "false"), ("leader.replication.throttled.rate", "1000000"),
        ("follower.replication.throttled.rate", "1000000"), ("log.local.retention.ms", "-2"), ("remote.log.index.file.cache.total.size.bytes", "1000000000"),
        ("num.partitions", "3"), ("auto.create.topics.enable", "false"), ("group.initial.rebalance.delay.ms", "1"), ("log.retention.hours", "3"), ("log.roll.hours", "3"),
        ("default.replication.factor", "1"), ("offsets.retention.minutes", "100"), ("metadata.log.segment.bytes", "10000000"), ("connections.max.idle.ms", "1000000"),
        ("principal.builder.class", "x"), ("group.max.session.timeout.ms", "2000000"), ("transaction.max.timeout.ms", "1000000"), ("queued.max.requests", "100"),
        ("controller.quorum.voters", "1@x:1"), ("fetch.max.bytes", "100000"), ("log.retention.check.interval.ms", "1000"), ("socket.request.max.bytes", "1000000"),
    ] for step in (alter("broker", "", [(key, 0, value)]), alter("broker", "1", [(key, 0, value)], validate=True), alter("broker", "", [(key, 1, None)]))]),
    ("list_config_resources", [step("ListConfigResources", {"ResourceTypes": kinds}, only=lambda answer: {
        "error": answer["ErrorCode"], "types": sorted({found.get("ResourceType", 16) for found in answer["ConfigResources"]})}, versions="1+")
        for kinds in ([], [2], [4], [16], [32], [99])]),
    ("log_dirs", [step("DescribeLogDirs", {"Topics": topics}) for topics in (
        [{"Topic": TOPIC, "Partitions": [0]}], [{"Topic": topic("no"), "Partitions": [0]}], [{"Topic": TOPIC, "Partitions": [77]}], [])]),
    ("alter_replica_log_dirs", [step("AlterReplicaLogDirs", {"Dirs": [{"Path": path, "Topics": [{"Name": name, "Partitions": [0, 77]}]}]})
                                for path, name in [("/nowhere", TOPIC), ("relative", TOPIC), ("/nowhere", topic("no"))]]),
    ("elect_leaders", [step("ElectLeaders", {"ElectionType": kind, "TopicPartitions": wanted, "TimeoutMs": 5000}) for kind, wanted in [
        (0, [{"Topic": TOPIC, "Partitions": [0]}]), (1, [{"Topic": TOPIC, "Partitions": [0]}]), (0, [{"Topic": TOPIC, "Partitions": [77]}]),
        (0, [{"Topic": topic("no"), "Partitions": [0]}]), (0, [])]]),
    ("reassignments", [step("AlterPartitionReassignments", {"TimeoutMs": 5000, "Topics": [{"Name": name, "Partitions": [
        {"PartitionIndex": index, "Replicas": replicas}]}]}) for name, index, replicas in [
            (TOPIC, 0, [1]), (TOPIC, 0, None), (TOPIC, 0, [NOBODY]), (TOPIC, 77, [1]), (topic("no"), 0, [1]), (TOPIC, 0, [1, 1]), (TOPIC, 0, []), (TOPIC, 0, [-1])]
    ] + [step("ListPartitionReassignments", {"TimeoutMs": 5000, "Topics": topics}) for topics in (None, [{"Name": TOPIC, "PartitionIndexes": [0]}],
                                                                                               [{"Name": topic("no"), "PartitionIndexes": [0]}])]),
    ("acls", [step("DescribeAcls", {"ResourceTypeFilter": 1, "ResourceNameFilter": None, "PatternTypeFilter": 3, "PrincipalFilter": None, "HostFilter": None,
                                    "Operation": 1, "PermissionType": 1}),
              step("CreateAcls", {"Creations": [{"ResourceType": 2, "ResourceName": "t", "ResourcePatternType": 3, "Principal": "User:a", "Host": "*",
                                                "Operation": 3, "PermissionType": 3}]}),
              step("DeleteAcls", {"Filters": [{"ResourceTypeFilter": 2, "ResourceNameFilter": "t", "PatternTypeFilter": 3, "PrincipalFilter": None,
                                              "HostFilter": None, "Operation": 1, "PermissionType": 1}]})]),
    ("quotas_and_users", [
        step("DescribeClientQuotas", {"Components": [], "Strict": False}),
        step("DescribeClientQuotas", {"Components": [{"EntityType": "user", "MatchType": 0, "Match": "a"}], "Strict": True}),
        step("DescribeClientQuotas", {"Components": [{"EntityType": "planet", "MatchType": 0, "Match": "a"}], "Strict": False}),
        step("DescribeUserScramCredentials", {"Users": None}), step("DescribeUserScramCredentials", {"Users": [{"Name": "a"}]}),
        step("DescribeUserScramCredentials", {"Users": [{"Name": "a"}, {"Name": "a"}]}),
        step("AlterUserScramCredentials", {"Deletions": [{"Name": "a", "Mechanism": 1}], "Upsertions": []}),
    ]),
    ("quorum", [step("DescribeQuorum", {"Topics": [{"TopicName": name, "Partitions": [{"PartitionIndex": 0}]}]}, only=lambda answer: {
        "error": answer["ErrorCode"], "topics": [(found["TopicName"], found["Partitions"][0]["ErrorCode"], found["Partitions"][0]["LeaderId"]) for found in answer["Topics"]]})
        for name in ("__cluster_metadata", TOPIC)]),
    ("produce", [create(topic("log")), produce(topic("log"), batch([b"a", b"b"]))] + [
        produce(topic("log"), data, **how) for data, how in [
            (batch([b"a"]), {"acks": 1}), (batch([b"a"]), {"acks": 2}), (batch([b"a"], crc=7), {}), (batch([b"a"], magic=1), {}), (batch([b"a"], magic=3), {}), (b"", {}),
            (None, {}), (batch([b"a"], count=2), {}), (batch([b"a"], delta=5), {}), (batch([]), {}), (batch([b"a"], attributes=32), {}), (batch([b"a"], attributes=16), {}),
            (batch([b"a"], attributes=8), {}), (batch([b"a"], attributes=7), {}), (batch([b"a"], attributes=4), {}), (batch([b"a"]) + batch([b"b"]), {}), (batch([b"a"])[:-1], {}),
            (batch([b"a"], timestamp=int(time.time() * 1000) + 7200_000), {}), (batch([b"a"], timestamp=-1), {}), (batch([b"a"], timestamp=0), {}),
            (batch([b"a"], producer_id=5, epoch=0, sequence=-1), {}), (batch([b"a"], key=None), {}), (batch([b"x" * 1_100_000], crc=0), {"newest": True}), (batch([b"a"]), {"index": 9}),
            (batch([b"a"]), {"transactional_id": "me"}), (batch([b"a"], base=5), {}), (batch([b"a"], base=-1), {}),
        ]] + [produce(topic("no"), batch([b"a"]))]),
    ("produce_compacted", [create(topic("compacted"), topic={"Configs": [{"Name": "cleanup.policy", "Value": "compact"}]}),
                           produce(topic("compacted"), batch([b"a"])),
                           produce(topic("compacted"), batch([b"a", b"b"], key=None)),
                           step("DeleteRecords", {"Topics": [{"Name": topic("compacted"), "Partitions": [{"PartitionIndex": 0, "Offset": 1}]}], "TimeoutMs": 5000})]),
    ("idempotence", [create(topic("idempotent")), step("InitProducerId", {"TransactionalId": None, "TransactionTimeoutMs": 60000}, newest=True, keep=keep_producer)] + [
        produce(topic("idempotent"), lambda values, sequence=sequence, epoch=epoch, count=count: batch([b"a"] * count, values["pid"], epoch, sequence),
                newest=True)
        for sequence, epoch, count in [(0, 0, 1), (0, 0, 1), (1, 0, 2), (1, 0, 1), (1, 0, 2), (5, 0, 1), (3, 0, 1), (4, 0, 1), (5, 0, 1), (6, 0, 1), (7, 0, 1), (0, 0, 1),
                                       (0, 1, 1), (3, 1, 1), (8, 0, 1), (5, 2, 1)]
    ] + [step("DescribeProducers", {"Topics": [{"Name": name, "PartitionIndexes": [index]}]}) for name, index in [
        (topic("idempotent"), 0), (topic("idempotent"), 9), (topic("no"), 0), ("no good", 0)]]),
    ("list_offsets", [create(topic("empty"))] + [
        offsets(topic("empty"), timestamp) for timestamp in (-1, -2, -3, -4, -5, -6, 0)] + [
        produce(topic("empty"), batch([b"a", b"b", b"c"], timestamp=1_700_000_000_000 + more), newest=True) for more in (0, 500, 100)] + [
        offsets(topic("empty"), timestamp) for timestamp in (-1, -2, -3, -4, -5, -6, -7, 0, 1_700_000_000_000, 1_700_000_000_400, 1_700_000_000_501)] + [
        offsets(topic("empty"), -1, index=9), offsets(topic("no"), -1), offsets(topic("empty"), -1, epoch=0), offsets(topic("empty"), -1, epoch=7),
        offsets(topic("empty"), -1, isolation=1),
        step("DeleteRecords", {"Topics": [{"Name": topic("empty"), "Partitions": [{"PartitionIndex": 0, "Offset": 2}]}], "TimeoutMs": 5000}),
        offsets(topic("empty"), -2), offsets(topic("empty"), 0),
    ]),
    ("delete_records", [step("DeleteRecords", {"Topics": [{"Name": name, "Partitions": [{"PartitionIndex": index, "Offset": offset}]}], "TimeoutMs": 5000})
                        for name, index, offset in [(topic("empty"), 0, 1), (topic("empty"), 0, 99), (topic("empty"), 0, -2), (topic("empty"), 9, 1), (topic("no"), 0, 1),
                                                    ("__consumer_offsets", 0, 0), (topic("empty"), 0, -1)]]),
    ("leader_epochs", [step("OffsetForLeaderEpoch", {"ReplicaId": -1, "Topics": [{"Topic": name, "Partitions": [
        {"Partition": index, "CurrentLeaderEpoch": current, "LeaderEpoch": epoch}]}]}) for name, index, current, epoch in [
            (topic("empty"), 0, -1, 0), (topic("empty"), 0, 0, 0), (topic("empty"), 0, -1, 3), (topic("empty"), 0, -1, -1), (topic("empty"), 0, 9, 0),
            (topic("empty"), 9, -1, 0), (topic("no"), 0, -1, 0)]]),
    ("fetch", [create(topic("fetched")), produce(topic("fetched"), batch([b"a", b"b"], timestamp=1_700_000_000_000), newest=True)] + [
        fetch(topic("fetched"), offset, **how) for offset, how in [(0, {}), (1, {}), (2, {}), (3, {}), (-1, {}), (0, {"max_bytes": 1}), (0, {"index": 9}), (0, {"epoch": 0}),
                                                                   (0, {"epoch": 9}), (0, {"isolation": 1}), (0, {"isolation": 0})]] + [
        fetch(topic("no"), 0),
        # Named twice: the last counts, at the place of the first.
        step("Fetch", {"MaxWaitMs": 1, "MinBytes": 1, "MaxBytes": 1 << 20, "SessionEpoch": -1, "Topics": [{"Topic": topic(name), "Partitions": [
            {"Partition": index, "FetchOffset": offset, "CurrentLeaderEpoch": -1, "PartitionMaxBytes": 1 << 20} for index, offset in partitions]}
            for name, partitions in [("fetched", [(0, 0), (9, 0), (0, 1), (9, 1)]), ("no", [(0, 0)]), ("fetched", [(0, 2)])]]}, versions="4-12"),
        step("Fetch", {"MaxWaitMs": 1, "MinBytes": 1, "MaxBytes": 1000, "SessionId": 5, "SessionEpoch": 5, "Topics": []}, versions="7-12"),
        step("Fetch", {"MaxWaitMs": 1, "MinBytes": 1, "MaxBytes": 1000, "SessionEpoch": -1, "Topics": [{"TopicId": uuid.UUID(int=7), "Partitions": [
            {"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1000}]}]}, versions="13+")]),
    ("find_coordinator", [coordinator(f"warm-{RUN}", 0), coordinator(GROUP, 0), coordinator("", 0), coordinator(f"txn-{RUN}", 1), coordinator("", 1), coordinator("x", 5, versions="1+")]),
    ("simple_group", [
        commit(GROUP, TOPIC, 5, metadata="note"), commit(GROUP, TOPIC, 5, index=77), commit(GROUP, topic("no"), 5), commit(GROUP, TOPIC, -1), commit(GROUP, TOPIC, 5, metadata="x" * 5000),
        commit(GROUP, TOPIC, 5, generation=3), commit(GROUP, TOPIC, 5, generation=3, member="x"), commit("", TOPIC, 5),
        step("OffsetFetch", {"GroupId": GROUP, "Topics": [{"Name": TOPIC, "PartitionIndexes": [0, 1, 77]}]}, versions="1-7"),
        step("OffsetFetch", {"GroupId": GROUP, "Topics": None}, versions="2-7"), step("OffsetFetch", {"GroupId": f"no-{RUN}", "Topics": None}, versions="2-7"),
        step("OffsetFetch", {"GroupId": "", "Topics": None}, versions="2-7"),
        step("OffsetFetch", {"Groups": [{"GroupId": GROUP, "Topics": [{"Name": TOPIC, "PartitionIndexes": [0, 1]}]}, {"GroupId": GROUP, "Topics": None},
                                        {"GroupId": f"no-{RUN}", "Topics": None}], "RequireStable": True}, versions="8-9"),
        step("DescribeGroups", {"Groups": [GROUP], "IncludeAuthorizedOperations": True}), step("DescribeGroups", {"Groups": [f"no-{RUN}"]}),
        step("DescribeGroups", {"Groups": [""]}), step("DescribeGroups", {"Groups": []}),
        step("ListGroups", {"StatesFilter": [], "TypesFilter": []}, only=lambda answer: [group for group in answer["Groups"] if RUN in group["GroupId"]]),
        step("ListGroups", {"StatesFilter": ["Empty"], "TypesFilter": ["classic"]}, versions="4+", only=lambda answer: [group for group in answer["Groups"] if RUN in group["GroupId"]]),
        step("ListGroups", {"StatesFilter": ["nothing"]}, versions="4+"), step("ListGroups", {"TypesFilter": ["nothing"]}, versions="5+"),
        step("OffsetDelete", {"GroupId": GROUP, "Topics": [{"Name": TOPIC, "Partitions": [{"PartitionIndex": 1}, {"PartitionIndex": 77}]}]}),
        step("OffsetDelete", {"GroupId": GROUP, "Topics": [{"Name": topic("no"), "Partitions": [{"PartitionIndex": 1}]}]}),
        step("OffsetDelete", {"GroupId": f"no-{RUN}", "Topics": [{"Name": TOPIC, "Partitions": [{"PartitionIndex": 1}]}]}),
        step("OffsetDelete", {"GroupId": "", "Topics": [{"Name": TOPIC, "Partitions": [{"PartitionIndex": 1}]}]}),
        step("DeleteGroups", {"GroupsNames": [GROUP]}, newest=True), step("DeleteGroups", {"GroupsNames": [GROUP, f"no-{RUN}", ""]}),
    ]),
    ("join_refused", [join(f"j-{RUN}", session=1), join(f"j-{RUN}", session=10**9), join(""), join(f"j-{RUN}", protocols=()), join(f"j-{RUN}", kind=""),
                      join(f"j-{RUN}", member="who"), join(f"j-{RUN}", versions="4+"), join(f"ji-{RUN}-{{v}}", instance="an instance!", versions="5+"),
                      step("SyncGroup", {"GroupId": f"j-{RUN}", "GenerationId": 1, "MemberId": "who"}), step("SyncGroup", {"GroupId": "", "GenerationId": 1, "MemberId": "who"}),
                      step("Heartbeat", {"GroupId": f"j-{RUN}", "GenerationId": 1, "MemberId": "who"}), step("Heartbeat", {"GroupId": f"no-{RUN}", "GenerationId": 1, "MemberId": "who"}),
                      step("LeaveGroup", {"GroupId": f"j-{RUN}", "MemberId": "who", "Members": [{"MemberId": "who"}]}),
                      step("LeaveGroup", {"GroupId": f"no-{RUN}", "MemberId": "who", "Members": [{"MemberId": "", "GroupInstanceId": "static"}]}),
                      step("LeaveGroup", {"GroupId": "", "MemberId": "who", "Members": [{"MemberId": "who"}]})]),
    ("a_member", [
        join(f"m-{RUN}", newest=True, keep=lambda values, answer: values.update(member=answer["MemberId"])),
        join(f"m-{RUN}", kept("member"), newest=True, keep=lambda values, answer: values.update(generation=answer["GenerationId"])),
        step("Heartbeat", {"GroupId": f"m-{RUN}", "GenerationId": 1, "MemberId": kept("member")}),
        step("DescribeGroups", {"Groups": [f"m-{RUN}"]}), commit(f"m-{RUN}", TOPIC, 1, 1, kept("member")),
        step("SyncGroup", {"GroupId": f"m-{RUN}", "GenerationId": 1, "MemberId": kept("member"), "ProtocolType": "consumer", "ProtocolName": "other"}, versions="5+"),
        step("SyncGroup", {"GroupId": f"m-{RUN}", "GenerationId": 9, "MemberId": kept("member"), "ProtocolType": "consumer", "ProtocolName": "range"}),
        step("SyncGroup", {"GroupId": f"m-{RUN}", "GenerationId": 1, "MemberId": kept("member"), "ProtocolType": "consumer", "ProtocolName": "range",
                           "Assignments": [{"MemberId": kept("member"), "Assignment": b"yours"}]}),
        step("DescribeGroups", {"Groups": [f"m-{RUN}"]}), step("Heartbeat", {"GroupId": f"m-{RUN}", "GenerationId": 1, "MemberId": kept("member")}),
        step("Heartbeat", {"GroupId": f"m-{RUN}", "GenerationId": 2, "MemberId": kept("member")}), step("Heartbeat", {"GroupId": f"m-{RUN}", "GenerationId": 1, "MemberId": "who"}),
        commit(f"m-{RUN}", TOPIC, 1, 1, kept("member")), commit(f"m-{RUN}", TOPIC, 1, 7, kept("member")), commit(f"m-{RUN}", TOPIC, 1, 1, "who"), commit(f"m-{RUN}", TOPIC, 1),
        step("DeleteGroups", {"GroupsNames": [f"m-{RUN}"]}),
        step("OffsetDelete", {"GroupId": f"m-{RUN}", "Topics": [{"Name": TOPIC, "Partitions": [{"PartitionIndex": 0}]}]}),
        join(f"m-{RUN}", kept("member"), protocols=(("roundrobin", b""),), newest=True), join(f"m-{RUN}", "who", newest=True),
        join(f"m-{RUN}", kept("member"), kind="connect", newest=True),
        step("LeaveGroup", {"GroupId": f"m-{RUN}", "MemberId": kept("member"), "Members": [{"MemberId": kept("member")}]}),
        step("DescribeGroups", {"Groups": [f"m-{RUN}"]}),
        join(f"s-{RUN}", instance="static", newest=True, keep=lambda values, answer: values.update(old=answer["MemberId"])),
        step("SyncGroup", {"GroupId": f"s-{RUN}", "GenerationId": 1, "MemberId": kept("old"), "GroupInstanceId": "static", "ProtocolType": "consumer", "ProtocolName": "range",
                           "Assignments": [{"MemberId": kept("old"), "Assignment": b"yours"}]}, newest=True),
        join(f"s-{RUN}", instance="static", newest=True, keep=lambda values, answer: values.update(new=answer["MemberId"])),
        step("Heartbeat", {"GroupId": f"s-{RUN}", "GenerationId": 1, "MemberId": kept("old"), "GroupInstanceId": "static"}, newest=True),
        step("Heartbeat", {"GroupId": f"s-{RUN}", "GenerationId": 1, "MemberId": kept("new"), "GroupInstanceId": "static"}, newest=True),
        step("Heartbeat", {"GroupId": f"s-{RUN}", "GenerationId": 1, "MemberId": kept("new"), "GroupInstanceId": "other"}, newest=True),
        step("DescribeGroups", {"Groups": [f"s-{RUN}"]}),
        step("LeaveGroup", {"GroupId": f"s-{RUN}", "Members": [{"MemberId": "", "GroupInstanceId": "other"}, {"MemberId": kept("old"), "GroupInstanceId": "static"},
                                                              {"MemberId": "", "GroupInstanceId": "static"}]}, newest=True),
    ]),
    ("init_producer_id", [step("InitProducerId", {"TransactionalId": name, "TransactionTimeoutMs": timeout, "ProducerId": pid, "ProducerEpoch": epoch})
                          for name, timeout, pid, epoch in [(None, 60000, -1, -1), ("", 60000, -1, -1), (f"txn-{RUN}", 0, -1, -1), (f"txn-{RUN}", -1, -1, -1),
                                                            (f"txn-{RUN}", 10**9, -1, -1), (None, 60000, 5, 0), (f"txn-{RUN}", 60000, 123456, 0), (f"txn-{RUN}", 60000, 1, -1)]]),
    ("a_transaction", [create(topic("txn")), step("InitProducerId", {"TransactionalId": f"txn-{RUN}", "TransactionTimeoutMs": 60000}, newest=True, keep=keep_producer,
                                                  until=lambda answer: answer["ErrorCode"] not in (14, 15, 16, 51))] + [
        step("AddPartitionsToTxn", {"V3AndBelowTransactionalId": f"txn-{RUN}", "V3AndBelowProducerId": pid, "V3AndBelowProducerEpoch": epoch,
                                    "V3AndBelowTopics": [{"Name": name, "Partitions": [0]}]}, versions="0-3")
        for pid, epoch, name in [(kept("pid"), 9, topic("txn")), (99999, 0, topic("txn")), (kept("pid"), kept("epoch"), topic("no")), (kept("pid"), kept("epoch"), topic("txn"))]] + [
        step("AddPartitionsToTxn", {"V3AndBelowTransactionalId": "", "V3AndBelowProducerId": 1, "V3AndBelowProducerEpoch": 0, "V3AndBelowTopics": []}, versions="0-3"),
        step("DescribeTransactions", {"TransactionalIds": [f"txn-{RUN}", f"no-{RUN}", ""]}),
        step("ListTransactions", {"StateFilters": ["Ongoing"], "ProducerIdFilters": [], "DurationFilter": -1},
             only=lambda answer: {**answer, "TransactionStates": [found for found in answer["TransactionStates"] if RUN in found["TransactionalId"]]}),
        step("ListTransactions", {"StateFilters": ["Nothing"], "DurationFilter": -1},
             only=lambda answer: {**answer, "TransactionStates": [found for found in answer["TransactionStates"] if RUN in found["TransactionalId"]]}),
        produce(topic("txn"), lambda values: batch([b"a"], values["pid"], values["epoch"], 0, attributes=16), transactional_id=f"txn-{RUN}", newest=True),
        produce(topic("txn"), lambda values: batch([b"a"], values["pid"], values["epoch"], 1, attributes=0), transactional_id=f"txn-{RUN}", newest=True),
        fetch(topic("txn"), 0, isolation=1), offsets(topic("txn"), -1, isolation=1), offsets(topic("txn"), -1),
        step("AddOffsetsToTxn", {"TransactionalId": f"txn-{RUN}", "ProducerId": kept("pid"), "ProducerEpoch": kept("epoch"), "GroupId": f"tg-{RUN}"}),
        step("AddOffsetsToTxn", {"TransactionalId": f"txn-{RUN}", "ProducerId": kept("pid"), "ProducerEpoch": 7, "GroupId": f"tg-{RUN}"}),
        step("TxnOffsetCommit", {"TransactionalId": f"txn-{RUN}", "GroupId": f"tg-{RUN}", "ProducerId": kept("pid"), "ProducerEpoch": kept("epoch"), "GenerationId": -1, "MemberId": "",
                                 "Topics": [{"Name": TOPIC, "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 3, "CommittedLeaderEpoch": -1, "CommittedMetadata": ""}]}]}),
        step("TxnOffsetCommit", {"TransactionalId": f"txn-{RUN}", "GroupId": f"tg-{RUN}", "ProducerId": kept("pid"), "ProducerEpoch": kept("epoch"), "GenerationId": 5, "MemberId": "who",
                                 "Topics": [{"Name": TOPIC, "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 3, "CommittedLeaderEpoch": -1, "CommittedMetadata": ""}]}]}),
        step("OffsetFetch", {"Groups": [{"GroupId": f"tg-{RUN}", "Topics": [{"Name": TOPIC, "PartitionIndexes": [0]}]}], "RequireStable": True}, versions="8-9"),
        step("OffsetFetch", {"Groups": [{"GroupId": f"tg-{RUN}", "Topics": [{"Name": TOPIC, "PartitionIndexes": [0]}]}], "RequireStable": False}, versions="8-9"),
        step("EndTxn", {"TransactionalId": f"txn-{RUN}", "ProducerId": kept("pid"), "ProducerEpoch": 7, "Committed": True}),
        step("EndTxn", {"TransactionalId": f"txn-{RUN}", "ProducerId": 99999, "ProducerEpoch": 0, "Committed": True}),
        step("EndTxn", {"TransactionalId": f"txn-{RUN}", "ProducerId": kept("pid"), "ProducerEpoch": kept("epoch"), "Committed": True}, versions="4"),
        step("EndTxn", {"TransactionalId": f"txn-{RUN}", "ProducerId": kept("pid"), "ProducerEpoch": kept("epoch"), "Committed": True}, versions="0-4",
             until=lambda answer: answer["ErrorCode"] != 51),
        step("EndTxn", {"TransactionalId": f"txn-{RUN}", "ProducerId": kept("pid"), "ProducerEpoch": kept("epoch"), "Committed": False}, versions="0-4"),
        fetch(topic("txn"), 0, isolation=1, newest=True, until=lambda answer: answer["Responses"][0]["Partitions"][0]["LastStableOffset"] == 2), offsets(topic("txn"), -1, isolation=1),
        step("OffsetFetch", {"Groups": [{"GroupId": f"tg-{RUN}", "Topics": [{"Name": TOPIC, "PartitionIndexes": [0]}]}], "RequireStable": True}, versions="8-9",
             until=lambda answer: answer["Groups"][0]["Topics"][0]["Partitions"][0]["ErrorCode"] == 0),
        step("DescribeProducers", {"Topics": [{"Name": topic("txn"), "PartitionIndexes": [0]}]}), step("DescribeTransactions", {"TransactionalIds": [f"txn-{RUN}"]}),
        step("InitProducerId", {"TransactionalId": f"txn-{RUN}", "TransactionTimeoutMs": 60000}, newest=True, keep=keep_producer, until=lambda answer: answer["ErrorCode"] != 51),
        # The second version of transactions: nothing is added by hand, and the end gives a new epoch.
        produce(topic("txn"), lambda values: batch([b"b"], values["pid"], values["epoch"], 0, attributes=16), transactional_id=f"txn-{RUN}", newest=True, versions="12"),
        step("EndTxn", {"TransactionalId": f"txn-{RUN}", "ProducerId": kept("pid"), "ProducerEpoch": kept("epoch"), "Committed": False}, versions="5", keep=keep_producer),
        step("EndTxn", {"TransactionalId": f"txn-{RUN}", "ProducerId": kept("pid"), "ProducerEpoch": kept("epoch"), "Committed": False}, versions="5", keep=keep_producer,
             until=lambda answer: answer["ErrorCode"] != 51),
        step("EndTxn", {"TransactionalId": f"txn-{RUN}", "ProducerId": kept("pid"), "ProducerEpoch": kept("epoch"), "Committed": True}, versions="5"),
        produce(topic("txn"), lambda values: batch([b"b"], values["pid"], 0, 0, attributes=16), transactional_id=f"txn-{RUN}", newest=True, versions="12"),
        fetch(topic("txn"), 0, isolation=1, newest=True, until=lambda answer: answer["Responses"][0]["Partitions"][0]["LastStableOffset"] == 4),
        step("WriteTxnMarkers", {"Markers": [{"ProducerId": 424242, "ProducerEpoch": 0, "TransactionResult": False, "CoordinatorEpoch": 0,
                                             "Topics": [{"Name": topic("no"), "PartitionIndexes": [0]}, {"Name": topic("txn"), "PartitionIndexes": [0, 9]}]}]}),
    ]),
    ("transaction_refused", [
        step("AddPartitionsToTxn", {"V3AndBelowTransactionalId": f"no-{RUN}", "V3AndBelowProducerId": 1, "V3AndBelowProducerEpoch": 0,
                                    "V3AndBelowTopics": [{"Name": topic("txn"), "Partitions": [0, 77]}, {"Name": topic("no"), "Partitions": [0]}]}, versions="0-3"),
        step("AddPartitionsToTxn", {"Transactions": [{"TransactionalId": name, "ProducerId": 1, "ProducerEpoch": 0, "VerifyOnly": verify,
                                                      "Topics": [{"Name": topic("txn"), "Partitions": [0]}]} for name, verify in [(f"no-{RUN}", True), ("", False)]]}, versions="4-5"),
        step("AddPartitionsToTxn", {"Transactions": []}, versions="4-5"),
        step("AddOffsetsToTxn", {"TransactionalId": f"no-{RUN}", "ProducerId": 1, "ProducerEpoch": 0, "GroupId": f"tg-{RUN}"}),
        step("AddOffsetsToTxn", {"TransactionalId": "", "ProducerId": 1, "ProducerEpoch": 0, "GroupId": f"tg-{RUN}"}),
        step("EndTxn", {"TransactionalId": f"no-{RUN}", "ProducerId": 1, "ProducerEpoch": 0, "Committed": False}),
        step("EndTxn", {"TransactionalId": "", "ProducerId": 1, "ProducerEpoch": 0, "Committed": True})] + [
        step("TxnOffsetCommit", {"TransactionalId": f"no-{RUN}", "GroupId": group, "ProducerId": pid, "ProducerEpoch": 0, "GenerationId": generation, "MemberId": "",
                                 "Topics": [{"Name": name, "Partitions": [{"PartitionIndex": index, "CommittedOffset": 3, "CommittedLeaderEpoch": -1, "CommittedMetadata": metadata}]}]})
        for group, pid, generation, name, index, metadata in [
            (f"tr-{RUN}", 1, -1, topic("txn"), 0, ""), ("", 1, -1, topic("txn"), 0, ""), (f"tr-{RUN}", 1, 3, topic("txn"), 0, ""), (f"tr-{RUN}", 1, -1, topic("no"), 0, ""),
            (f"tr-{RUN}", 1, -1, topic("txn"), 77, ""), (f"tr-{RUN}", 1, -1, topic("txn"), 0, "x" * 5000), (f"tr-{RUN}", 1, -1, topic("txn"), 0, None)]] + [
        produce(topic("txn"), batch([b"a"], 424242, 0, 0, attributes=16), transactional_id=f"no-{RUN}"),
        produce(topic("txn"), batch([b"a"], 424242, 0, 0, attributes=16), transactional_id=""),
        step("DescribeProducers", {"Topics": []}), step("DescribeTransactions", {"TransactionalIds": []}),
        step("ListTransactions", {"StateFilters": [], "ProducerIdFilters": [99999999], "DurationFilter": -1}),
        step("ListTransactions", {"StateFilters": ["Ongoing", "Nothing", ""], "ProducerIdFilters": [99999999], "DurationFilter": 10**15}),
        step("WriteTxnMarkers", {"Markers": []})]),
    ("refused_elsewhere", [
        step("ListOffsets", {"ReplicaId": -1, "IsolationLevel": 0, "Topics": [{"Name": topic("txn"), "Partitions": [
            {"PartitionIndex": 0, "Timestamp": -1, "CurrentLeaderEpoch": -1}, {"PartitionIndex": 0, "Timestamp": -2, "CurrentLeaderEpoch": -1}]}]}),
        step("ListOffsets", {"ReplicaId": -1, "IsolationLevel": 0, "Topics": []}),
        step("ListOffsets", {"ReplicaId": -1, "IsolationLevel": 1, "Topics": [{"Name": topic("txn"), "Partitions": [{"PartitionIndex": 0, "Timestamp": 10**15, "CurrentLeaderEpoch": -1}]}]}),
        fetch("", 0), fetch(topic("txn"), 0, max_bytes=0), fetch(topic("txn"), 10**12, isolation=1), fetch(topic("txn"), 0, index=-1), fetch(topic("txn"), 0, epoch=9, isolation=1),
        step("DeleteRecords", {"Topics": [], "TimeoutMs": 5000}),
        step("DeleteRecords", {"Topics": [{"Name": "", "Partitions": [{"PartitionIndex": 0, "Offset": 0}]}], "TimeoutMs": 5000}),
        step("DeleteRecords", {"Topics": [{"Name": topic("txn"), "Partitions": [{"PartitionIndex": -1, "Offset": 0}, {"PartitionIndex": 0, "Offset": 10**12}]}], "TimeoutMs": 5000}),
        step("OffsetForLeaderEpoch", {"ReplicaId": -1, "Topics": []}),
        produce("", batch([b"a"])), produce(topic("txn"), batch([b"a"]), index=-1), produce(topic("txn"), b"\0" * 70),
        step("OffsetCommit", {"GroupId": f"oc-{RUN}", "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": []}),
        step("OffsetCommit", {"GroupId": f"oc-{RUN}", "GenerationIdOrMemberEpoch": -1, "MemberId": "who", "Topics": [
            {"Name": topic("txn"), "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 1, "CommittedLeaderEpoch": -1, "CommittedMetadata": None}]}]}, versions="2-9"),
        step("OffsetFetch", {"GroupId": f"oc-{RUN}", "Topics": []}, versions="1-7"),
        step("OffsetFetch", {"Groups": []}, versions="8-9"),
        step("JoinGroup", {"GroupId": f"jr-{RUN}", "SessionTimeoutMs": 10000, "RebalanceTimeoutMs": -1, "MemberId": "", "ProtocolType": "consumer", "Protocols": []}),
        step("SyncGroup", {"GroupId": f"jr-{RUN}", "GenerationId": -1, "MemberId": ""}),
        step("Heartbeat", {"GroupId": f"jr-{RUN}", "GenerationId": -1, "MemberId": ""}),
        step("Heartbeat", {"GroupId": "", "GenerationId": 1, "MemberId": ""}),
        step("LeaveGroup", {"GroupId": f"jr-{RUN}", "MemberId": "", "Members": []}),
    ]),
    # Which of two faults is told. (Of both that are attributes there is one.)
    ("wrong_in_two_ways", [create(topic("wrong"), topic={"Configs": [{"Name": "max.message.bytes", "Value": "200"}, {"Name": "cleanup.policy", "Value": "compact"}]})] + [
        produce(topic("wrong"), wrong(one, other), versions="9") for one, other in itertools.combinations_with_replacement(FAULTS, 2)]),
    # What a request names more than once. Not asked are those that Kafka never answers then: of AlterConfigs and
    # WriteTxnMarkers.
    ("named_again", [
        create(AGAIN, 2), produce(AGAIN, batch([b"a", b"b"]), newest=True, until=lambda answer: answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"] not in (3, 6)),
        step("Metadata", {"Topics": [{"Name": AGAIN}], "AllowAutoTopicCreation": False}, newest=True, until=settled(),
             keep=lambda values, answer: values.update(again=answer["Topics"][0]["TopicId"])),
        step("Metadata", {"Topics": [{"Name": topic("no")}, {"Name": AGAIN}, {"Name": topic("no")}, {"Name": AGAIN}], "AllowAutoTopicCreation": False}, versions="4+"),
        step("Metadata", {"Topics": [{"TopicId": kept("again"), "Name": None}] * 2, "AllowAutoTopicCreation": False}, versions="12+"),
        *[asked for last in (batch([b"e", b"f"]), batch([b"g"]) * 2, batch([b"h"], crc=1)) for asked in (
            *[step("Produce", {"Acks": -1, "TimeoutMs": 5000, "TransactionalId": None, "TopicData": [
                {"Name": name, "TopicId": kept("again"), "PartitionData": [{"Index": index, "Records": records} for index, records in batches]} for name, batches in named]},
                versions=versions) for versions, named in [
                    ("3-12", [(AGAIN, [(0, batch([b"c"])), (9, batch([b"x"])), (0, last)]), (topic("no"), [(0, batch([b"x"]))] * 2), (AGAIN, [(1, batch([b"d"])), (1, last)]), (topic("no"), [])]),
                    ("13", [(AGAIN, [(0, batch([b"c"])), (0, last), (9, last)]), (AGAIN, [(9, last), (0, last)])])]],
            offsets(AGAIN, -1, versions="7"), offsets(AGAIN, -1, index=1, versions="7"))],
        step("ListOffsets", {"ReplicaId": -1, "IsolationLevel": 0, "Topics": [
            {"Name": name, "Partitions": [{"PartitionIndex": index, "Timestamp": -1, "CurrentLeaderEpoch": -1} for index in indexes]}
            for name, indexes in [(AGAIN, [0, 9, 0]), (topic("no"), [0, 0]), (AGAIN, [1, 0, 9])]]}),
        step("OffsetForLeaderEpoch", {"ReplicaId": -1, "Topics": [
            {"Topic": name, "Partitions": [{"Partition": index, "CurrentLeaderEpoch": -1, "LeaderEpoch": epoch} for index, epoch in partitions]}
            for name, partitions in [(AGAIN, [(0, 0), (9, 0), (0, 3)]), (topic("no"), [(0, 0), (0, 0)]), (AGAIN, [(1, 0), (0, 0)])]]}),
        step("DeleteRecords", {"TimeoutMs": 5000, "Topics": [
            {"Name": name, "Partitions": [{"PartitionIndex": index, "Offset": offset} for index, offset in partitions]}
            for name, partitions in [(AGAIN, [(0, 0), (9, 0), (0, 1)]), (topic("no"), [(0, 0), (0, 0)]), (AGAIN, [(0, 2), (1, 0)])]]}),
        offsets(AGAIN, -2),
        step("OffsetCommit", {"GroupId": f"again-{RUN}", "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": [
            {"Name": name, "Partitions": [{"PartitionIndex": index, "CommittedOffset": offset, "CommittedLeaderEpoch": -1, "CommittedMetadata": "note"} for index, offset in partitions]}
            for name, partitions in [(AGAIN, [(0, 5), (9, 0), (0, 6)]), (topic("no"), [(0, 0), (0, 0)]), (AGAIN, [(1, 3), (0, 7)])]]}, versions="2-9"),
        step("OffsetFetch", {"GroupId": f"again-{RUN}", "Topics": OFFSETS_AGAIN}, versions="1-7", in_order=True),
        step("OffsetFetch", {"Groups": [{"GroupId": name, "Topics": topics} for name, topics in [
            (f"again-{RUN}", OFFSETS_AGAIN), (f"again-{RUN}", None), (f"no-{RUN}", None), (f"again-{RUN}", OFFSETS_AGAIN), (f"again-{RUN}", None), (f"no-{RUN}", OFFSETS_AGAIN),
            ("", OFFSETS_AGAIN), ("", None), ("", None)]]}, versions="8-9", in_order=True),
        step("OffsetFetch", {"Groups": [{"GroupId": f"again-{RUN}", "Topics": [
            {"TopicId": id, "PartitionIndexes": [0, 1, 0]} for id in (uuid.UUID(int=7), kept("again"), uuid.UUID(int=7), kept("again"))]}]}, versions="10", in_order=True),
        step("OffsetDelete", {"GroupId": f"again-{RUN}", "Topics": [{"Name": name, "Partitions": [{"PartitionIndex": index} for index in indexes]}
                                                                    for name, indexes in [(AGAIN, [1, 77, 1]), (topic("no"), [1, 1]), (AGAIN, [1, 0])]]}),
        step("DescribeGroups", {"Groups": [f"again-{RUN}", f"no-{RUN}", f"again-{RUN}", f"no-{RUN}"]}),
        step("DeleteGroups", {"GroupsNames": [f"again-{RUN}", f"no-{RUN}", f"again-{RUN}", f"no-{RUN}"]}),
        step("FindCoordinator", {"KeyType": 0, "CoordinatorKeys": [GROUP, "", GROUP, ""]}, versions="4+", in_order=True),
        step("LeaveGroup", {"GroupId": f"again-{RUN}", "Members": [{"MemberId": "who"}, {"MemberId": "who"}]}, versions="3+"),
        step("AddPartitionsToTxn", {"V3AndBelowTransactionalId": f"no-{RUN}", "V3AndBelowProducerId": 1, "V3AndBelowProducerEpoch": 0,
                                    "V3AndBelowTopics": [{"Name": AGAIN, "Partitions": [0, 0, 77]}, {"Name": AGAIN, "Partitions": [0, 1]}]}, versions="0-3"),
        step("AddPartitionsToTxn", {"Transactions": [{"TransactionalId": name, "ProducerId": 1, "ProducerEpoch": 0, "VerifyOnly": True, "Topics": [
            {"Name": AGAIN, "Partitions": [0, 0]}, {"Name": AGAIN, "Partitions": [1, 0]}]} for name in (f"no-{RUN}", f"no-{RUN}")]}, versions="4-5"),
        step("TxnOffsetCommit", {"TransactionalId": f"no-{RUN}", "GroupId": f"again-{RUN}", "ProducerId": 1, "ProducerEpoch": 0, "GenerationId": -1, "MemberId": "",
                                 "Topics": [{"Name": AGAIN, "Partitions": [{"PartitionIndex": index, "CommittedOffset": 3, "CommittedLeaderEpoch": -1, "CommittedMetadata": ""}
                                                                           for index in (0, 77, 0)]}] * 2}),
        step("DescribeProducers", {"Topics": [{"Name": name, "PartitionIndexes": indexes} for name, indexes in [
            (AGAIN, [0, 9, 0]), (topic("no"), [0, 0]), (AGAIN, [1, 0, 9])]]}),
        step("DescribeTransactions", {"TransactionalIds": [f"no-{RUN}", "", f"no-{RUN}", ""]}),
        step("DescribeTopicPartitions", {"Topics": [{"Name": AGAIN}, {"Name": topic("no")}, {"Name": AGAIN}, {"Name": topic("no")}], "ResponsePartitionLimit": 100, "Cursor": None}, in_order=True),
        step("DescribeConfigs", {"Resources": [{"ResourceType": 2, "ResourceName": name, "ConfigurationKeys": ["retention.ms", "retention.ms"]} for name in (AGAIN, topic("no")) * 2],
                                 "IncludeSynonyms": False, "IncludeDocumentation": False}),
        step("IncrementalAlterConfigs", {"Resources": [{"ResourceType": 2, "ResourceName": name, "Configs": [{"Name": "retention.ms", "ConfigOperation": 0, "Value": "9"}]}
                                                       for name in (AGAIN, topic("no")) * 2], "ValidateOnly": True}),
        step("AlterConfigs", {"Resources": [{"ResourceType": 2, "ResourceName": AGAIN, "Configs": [{"Name": "retention.ms", "Value": value} for value in "89"]}], "ValidateOnly": True}),
        step("CreateTopics", creation(Name=topic("config"), Configs=[{"Name": "retention.ms", "Value": "9"}] * 2)),
        step("CreateTopics", creation(Name=topic("gap"), NumPartitions=-1, ReplicationFactor=-1, Assignments=[{"PartitionIndex": 0, "BrokerIds": [1]}] * 2)),
        step("ListConfigResources", {"ResourceTypes": [2, 2]}, versions="1+", only=lambda answer: {
            "count": len([found for found in answer["ConfigResources"] if found["ResourceName"] == AGAIN])}),
        step("DescribeLogDirs", {"Topics": [{"Topic": AGAIN, "Partitions": [0, 0, 9]}, {"Topic": AGAIN, "Partitions": [1, 0]}]}),
        step("AlterReplicaLogDirs", {"Dirs": [{"Path": "/nowhere", "Topics": [{"Name": AGAIN, "Partitions": [0, 0, 77]}, {"Name": AGAIN, "Partitions": [0]}]}] * 2}),
        step("ElectLeaders", {"ElectionType": 0, "TopicPartitions": [{"Topic": AGAIN, "Partitions": [0, 0, 77]}, {"Topic": AGAIN, "Partitions": [1, 0]}], "TimeoutMs": 5000}),
        step("AlterPartitionReassignments", {"TimeoutMs": 5000, "Topics": [{"Name": AGAIN, "Partitions": [{"PartitionIndex": index, "Replicas": [1]} for index in (0, 0, 77)]}] * 2}),
        step("ListPartitionReassignments", {"TimeoutMs": 5000, "Topics": [{"Name": AGAIN, "PartitionIndexes": [0, 0]}] * 2}),
        step("DescribeQuorum", {"Topics": [{"TopicName": "__cluster_metadata", "Partitions": [{"PartitionIndex": 0}]}] * 2}),
        step("AlterUserScramCredentials", {"Deletions": [{"Name": "a", "Mechanism": 1}] * 2, "Upsertions": []}),
        step("AlterUserScramCredentials", {"Deletions": [{"Name": "a", "Mechanism": 1}], "Upsertions": [
            {"Name": "a", "Mechanism": 1, "Iterations": 4096, "Salt": b"s", "SaltedPassword": b"p"}] * 2}),
        step("DescribeClientQuotas", {"Components": [{"EntityType": "user", "MatchType": 0, "Match": "a"}] * 2, "Strict": True}),
        step("DeleteTopics", {"TopicNames": [topic("no"), AGAIN, topic("no"), AGAIN], "TimeoutMs": 5000}, versions="1-5"),
    ]),
    # The second is more than a batch of the offsets' topic may hold.
    ("a_large_commit", [asked for count in (200, 300) for asked in (
        step("OffsetCommit", {"GroupId": f"large-{RUN}-{count}", "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": [{"Name": TOPIC, "Partitions": [
            {"PartitionIndex": 0, "CommittedOffset": 5, "CommittedLeaderEpoch": -1, "CommittedMetadata": "x" * 4096}] * count}]}, versions="8"),
        step("OffsetFetch", {"GroupId": f"large-{RUN}-{count}", "Topics": None}, versions="7"))]),
    ("delete_topics", [step("DeleteTopics", {"TopicNames": [topic("no")], "TimeoutMs": 5000}, versions="1-5"),
                       step("DeleteTopics", {"Topics": [{"Name": topic("no")}, {"Name": None, "TopicId": uuid.UUID(int=9)}], "TimeoutMs": 5000}, versions="6+"),
                       step("DeleteTopics", {"Topics": [{"Name": TOPIC}, {"Name": TOPIC}], "TimeoutMs": 5000}, versions="6+"),
                       step("DeleteTopics", {"Topics": [{"Name": None}], "TimeoutMs": 5000}, versions="6+"),
                       step("DeleteTopics", {"TopicNames": ["no good"], "TimeoutMs": 5000}, versions="1-5"), step("DeleteTopics", {"TopicNames": [], "TimeoutMs": 5000}, versions="1-5"),
                       step("DeleteTopics", {"Topics": [{"Name": TOPIC}], "TimeoutMs": 5000}, versions="6+", newest=True),
                       step("Metadata", {"Topics": [{"Name": TOPIC}], "AllowAutoTopicCreation": False}, newest=True, until=lambda answer: answer["Topics"][0]["ErrorCode"] == 3)]),
]

"""The same requests to our server and to Apache Kafka, call by call: the decoded answers are equal.

    beside_kafka.py OURS KAFKA [CASE...]

Both freshly started, with the same properties (replication factors of 1, no delay of the first rebalance): `on_kafka` does so.
Every difference is told on the error output.

Every step is asked at every version that both list. What differs by nature (ids that were drawn, ports, times, sizes, paths)
is replaced by a mark; a topic's id keeps its identity within one broker. EXCUSED names what may differ, and why."""
import os
import re
import sys
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cases import CASES  # noqa: E402
from wire import KEYS, Connection, within, SCHEMAS  # noqa: E402

# (case, a regex over the step's number and the path): why the two may differ there.
EXCUSED = [
    ("", r"\.(ErrorMessage|BatchIndexErrorMessage)$", "texts are for people, and ours say more"),
    ("", r"\[min\.insync\.replicas\]", "Kafka keeps it per cluster while it elects from eligible replicas; there is one replica here"),
    ("features", r"", "features of several brokers, of new groups and of shares are not there"),
    ("broker_configs", r"\[(listeners|listener\.security\.protocol\.map)\]\.ReadOnly", "listeners cannot be added to a running server"),
    ("all_broker_configs", r"\[(listeners|listener\.security\.protocol\.map)\]\.ReadOnly", "as above"),
    ("", r"\[(log\.dirs|metadata\.log\.dir)\]", "each has its own"),
    ("all_broker_configs", r"\[(flush|metrics\.listener|socket\.request\.timeout\.ms)\]|Configs\.length", "three keys of our own"),
    ("all_broker_configs", r"\[broker\.id\]", "the old name of node.id is not filled in from it"),
    ("broker_configs", r"^1 .*Configs\.length", "as min.insync.replicas above"),
    ("alter_broker_configs", r"^2 .*Configs\.length|^11[45] .*ErrorCode$", "as min.insync.replicas above"),
    ("produce", r"^8 ", "without records at all Kafka hangs up; here it is an invalid record"),
    ("produce", r"^1[56] .*(ErrorCode|LogStartOffset)$", "what cannot be decompressed is corrupt, not an unknown error"),
    ("transaction_refused", r"^2 ", "asked about no transaction at all Kafka never answers; here it is an answer without results"),
    ("a_large_commit", r"^[23] ", "what is more than a batch may hold Kafka refuses with an unknown error; here it is committed"),
    ("metadata", r"\[auto-", "a topic made on first use is there at once; Kafka says it is unknown first"),
]


# What a coordinator answers that is not ready, or has a transaction to end first.
PASSING = (14, 15, 16, 51)


class Side:
    """One of the two brokers, and how its drawn names read."""

    def __init__(self, bootstrap):
        self.connection = Connection(bootstrap)
        self.port = int(bootstrap.rsplit(":", 1)[1])
        self.names = {}
        self.kept = {}
        cluster = self.connection.ask("DescribeCluster", 0)
        self.names[cluster["ClusterId"]] = "<cluster>"

    def name(self, drawn, kind):
        return self.names.setdefault(drawn, f"<{kind} {sum(name.startswith(f'<{kind} ') for name in self.names.values())}>")

    def plain(self, value, path="", in_order=False):
        """The answer without what differs by nature, as {path: value}."""
        field = path.rsplit(".", 1)[-1]
        if isinstance(value, dict):
            found = {}
            for key, inner in value.items():
                found.update(self.plain(inner, f"{path}.{key}", in_order))
            return found or {path: {}}
        if isinstance(value, list):
            found = {f"{path}.length": len(value)}
            for at, inner in enumerate(value if in_order else sorted(value, key=order)):
                found.update(self.plain(inner, f"{path}[{at if in_order else label(inner, at)}]", in_order))
            return found
        if isinstance(value, uuid.UUID) and value.int:
            value = "<topic id>"
        elif field in ("Port",) and value == self.port:
            value = "<port>"
        elif field == "ProducerId" and isinstance(value, int) and value >= 0:
            value = self.name(("producer", value), "producer")
        elif field in ("MemberId", "Leader") and isinstance(value, str) and value:
            value = re.sub(r"-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "-<uuid>", value)
        elif field == "Records":
            value = len(value or b"")
        elif field in ("LogDir", "TotalBytes", "UsableBytes", "PartitionSize", "SessionId") and value not in (-1, 0, "", None):
            value = f"<{field}>"
        elif isinstance(value, int) and value > 1_600_000_000_000:
            value = "<time>" if value < 4_000_000_000_000 else value
        elif isinstance(value, str):
            value = value.replace(str(self.port), "<port>")
            for drawn, name in self.names.items():
                if isinstance(drawn, str):
                    value = value.replace(drawn, name)
        return {path: value}


def label(item, at):
    """What an element of a list is called."""
    if isinstance(item, dict):
        for field in ("Name", "TopicName", "Topic", "GroupId", "PartitionIndex", "PartitionId", "Partition", "ResourceName", "ApiKey", "Key"):
            if item.get(field) not in (None, ""):
                return item[field]
    return at


def order(item):
    if isinstance(item, dict):
        return str(label(item, "")), str({key: value for key, value in item.items() if not isinstance(value, uuid.UUID)})
    return "", str(item).rjust(12) if isinstance(item, int) else str(item)


def fill(value, side, version):
    """A step's body with what an earlier answer gave, and the version, put in."""
    if callable(value):
        return value(side.kept)
    if isinstance(value, str):
        return value.replace("{v}", str(version))
    if isinstance(value, dict):
        return {key: fill(inner, side, version) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, side, version) for inner in value]
    return value


def fits(schema_fields, body, version):
    """The body without the fields that the version does not have."""
    kept = {}
    for field in schema_fields:
        if field["name"] in body and within(field["versions"], version):
            value = body[field["name"]]
            inner = field.get("fields")
            if inner and isinstance(value, list):
                value = [fits(inner, item, version) for item in value]
            elif inner and isinstance(value, dict):  # one struct
                value = fits(inner, value, version)
            kept[field["name"]] = value
    return kept


def differences(case, number, step, sides):
    api = step["api"]
    lists = [side.connection.versions.get(KEYS[api], (0, -1)) for side in sides]
    newest = int(SCHEMAS[api + "Request"]["validVersions"].split("-")[-1])
    first, last = max(low for low, _ in lists), min([high for _, high in lists] + [newest])
    versions = [version for version in range(first, last + 1) if within(step.get("versions", "0+"), version)]
    if not versions:
        yield f"{number} {api}: listed as {lists[0]} and by Kafka as {lists[1]}"
    if step.get("newest"):
        versions = versions[-1:]
    for version in versions:
        found = compared(case, number, step, version, sides)
        # What was just changed may take a moment until it is told: only what stays different counts.
        until = time.time() + 5
        while found and api.startswith(("Describe", "List")) and time.time() < until:
            time.sleep(0.1)
            found = compared(case, number, step, version, sides)
        yield from found


def compared(case, number, step, version, sides):
    """Asks both, and lists what differs."""
    api, told = step["api"], []
    for side in sides:
        asked = fits(SCHEMAS[api + "Request"]["fields"], fill(step["body"], side, version), version)
        until = step.get("until")
        for attempt in range(200):
            answer = side.connection.ask(api, version, **asked)
            if isinstance(answer, dict) and answer.get("ErrorCode") in PASSING and attempt < 20:
                time.sleep(0.05)  # how long that lasts is chance
            elif until is None or until(answer):
                break
            else:
                time.sleep(0.02)
        if api in ("CreateTopics", "CreatePartitions"):
            await_partitions(side.connection, asked, answer)
        if "keep" in step and isinstance(answer, dict):
            step["keep"](side.kept, answer)
        only = step.get("only")
        shown = only(answer) if only and isinstance(answer, dict) else answer
        told.append(side.plain(shown, in_order=step.get("in_order", False)))
    found = unlike(case, number, *told)
    return [f"{number} {api} v{version}{path}: {left!r}, Kafka {right!r}" for path, left, right in found]


def unlike(case, number, ours, kafkas):
    """Where two plain answers differ though nothing excuses it: the path, ours, Kafka's."""
    for path in sorted(set(ours) | set(kafkas)):  # told by the step's number in its case
        left, right = ours.get(path, "<absent>"), kafkas.get(path, "<absent>")
        if left != right and not any(case.startswith(c) and re.search(pattern, f"{number} {path}") for c, pattern, _ in EXCUSED):
            yield path, left, right


def await_partitions(connection, asked, answer):
    """Waits until the partitions just made are served: Kafka's controller answers when it has written them down, and its broker,
    which reads that later, may say for a moment that there are none or that it does not lead them."""
    if asked.get("validateOnly") or asked.get("ValidateOnly"):
        return
    made = {topic["Name"] for topic in [*answer.get("Topics", []), *answer.get("Results", [])] if topic["ErrorCode"] == 0}
    for topic in asked["Topics"]:
        until = time.time() + 30
        while topic["Name"] in made and not served(connection, topic["Name"], topic.get("Count", 1)):
            assert time.time() < until, f"{topic['Name']} is not served"
            time.sleep(0.02)


def served(connection, name, count):
    [topic] = connection.ask("Metadata", 4, Topics=[{"Name": name}], AllowAutoTopicCreation=False)["Topics"]
    indexes = [partition["PartitionIndex"] for partition in topic["Partitions"]]
    asked = [{"PartitionIndex": index, "Timestamp": -1} for index in indexes]
    answer = connection.ask("ListOffsets", 1, ReplicaId=-1, Topics=[{"Name": name, "Partitions": asked}])
    return len(indexes) >= count and all(found["ErrorCode"] == 0 for found in answer["Topics"][0]["Partitions"])


def settle(connection):
    """Waits until all coordinators are there: whoever comes first may be told to come again, and how often is chance."""
    for kind, question in (
        (0, lambda name: connection.ask("OffsetFetch", 7, GroupId=name, Topics=[])["ErrorCode"]),
        (1, lambda name: connection.ask("EndTxn", 3, TransactionalId=name, ProducerId=1, ProducerEpoch=0, Committed=True)["ErrorCode"]),
    ):
        for number in range(150):
            name = f"settle-{number}"
            until = time.time() + 30
            while connection.ask("FindCoordinator", 3, Key=name, KeyType=kind)["ErrorCode"] in PASSING or question(name) in PASSING:
                assert time.time() < until, f"no coordinator of kind {kind} for {name}"
                time.sleep(0.05)
    while connection.ask("InitProducerId", 4, TransactionalId=None, TransactionTimeoutMs=1000)["ErrorCode"] in PASSING:
        time.sleep(0.05)


def main():
    sides = [Side(bootstrap) for bootstrap in sys.argv[1:3]]
    for side in sides:
        settle(side.connection)
    wanted, failed = sys.argv[3:], 0
    for case, steps in CASES:
        if wanted and case not in wanted:
            continue
        found = []
        for number, step in enumerate(steps):
            try:
                found += list(differences(case, number, step, sides))
            except Exception as error:  # a broken step is a failed case, and the others go on
                found.append(f"{number} {step['api']}: {type(error).__name__}: {error}")
        if found:
            failed += 1
            print(f"not ok {case}: {found[0][:300]}" + (f" (and {len(found) - 1} more)" if len(found) > 1 else ""), flush=True)
            print("\n".join("   " + line[:400] for line in found), file=sys.stderr, flush=True)
        else:
            print(f"ok {case}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

"""Record batches as random_calls.py compares them: by what they say, without what was drawn."""
import struct

HEADER = ">qiibIhiqqqhii"
SIZE = struct.calcsize(HEADER)


def without_what_was_drawn(answer, kept):
    """A Fetch's answer with its batches taken apart. Kafka tells what it refuses before what it reads, and so a topic twice if it has
    partitions of both kinds: here it stands there once."""
    topics = {}
    for topic in answer["Responses"]:
        for partition in topic["Partitions"]:
            partition["Batches"] = batches(partition.pop("Records", None) or b"")
        topics.setdefault(topic.get("Topic") or topic.get("TopicId"), {**topic, "Partitions": []})["Partitions"] += topic["Partitions"]
    return {**answer, "Responses": list(topics.values())}


def batches(data):
    """Those that are whole: where the limit falls Kafka cuts the last one off in its midst, which is of use to nobody."""
    found = []
    while len(data) >= SIZE and len(data) >= 12 + struct.unpack_from(">i", data, 8)[0]:
        base, length, leader_epoch, magic, _, attributes, delta, first, last, pid, epoch, sequence, count = struct.unpack_from(HEADER, data)
        body = data[SIZE:12 + length]
        batch = {"Base": base, "LeaderEpoch": leader_epoch, "Magic": magic, "Attributes": attributes, "Delta": delta, "ProducerId": pid, "Epoch": epoch,
                 "Sequence": sequence, "Count": count, "First": first, "Last": last}
        if attributes & 7 == 0:
            batch["Body"] = body
        found.append(batch)
        data = data[12 + length:]
    return found

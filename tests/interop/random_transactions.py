"""A world of random_calls.py: idempotent and transactional producers write, commit, abort, fence each other, and are mistaken."""
from cases import batch, fetch
from drawn import Chance, Learned, Made, Named, call, chosen, learned
from records import without_what_was_drawn

NAME = "transactions"
# The last has no transactions. Two instances of an application share the id of the second.
PRODUCERS = {"one": "one", "two": "two", "twin": "two", "plain": None}
TOPICS = {"t": 2, "u": 1}
ANYWHERE = [(name, index) for name, count in TOPICS.items() for index in range(count)]


def transactional_id(random, who):
    name = PRODUCERS[who]
    return chosen(random, (95, name and Named(name)), (2, Named("one")), (1, Named("nobody")), (1, ""))


def producer_id(random, who):
    return chosen(random, (94, Learned("pid", who, otherwise=-1)), (3, Learned("pid", random.choice(list(PRODUCERS)), otherwise=-1)), (1, 987654),
                  (2, Learned("pid", who, otherwise=-1, age=1)))


def epoch(random, who):
    mine = ("epoch", who)
    return chosen(random, (88, Learned(*mine, otherwise=-1)), (4, Learned(*mine, otherwise=-1, age=1)), (4, Learned(*mine, otherwise=-1, plus=-1)),
                  (4, Learned(*mine, otherwise=-1, plus=1)))


def inits(random, who):
    known = random.random() < 0.5
    name = PRODUCERS[who]
    body = {"TransactionalId": chosen(random, (30, name and Named(name)), (1, "")), "TransactionTimeoutMs": chosen(random, (40, 600_000), (1, 0), (1, 10**9)),
            "ProducerId": producer_id(random, who) if known else -1, "ProducerEpoch": epoch(random, who) if known else -1}
    return call(random, "InitProducerId", body, who=who)


def places(random):
    where = random.sample(ANYWHERE, random.randint(1, 3)) + chosen(random, (12, []), (1, [("t", 9)]), (1, [("no", 0)]))
    return [{"Name": Named(name), "Partitions": [index for topic, index in where if topic == name]} for name in dict(where)]


def adds(random, who):
    name, pid, mine, topics = transactional_id(random, who) or Named("nobody"), producer_id(random, who), epoch(random, who), places(random)
    body = {"V3AndBelowTransactionalId": name, "V3AndBelowProducerId": pid, "V3AndBelowProducerEpoch": mine, "V3AndBelowTopics": topics,
            "Transactions": [{"TransactionalId": name, "ProducerId": pid, "ProducerEpoch": mine, "VerifyOnly": random.random() < 0.5, "Topics": topics}]}
    return call(random, "AddPartitionsToTxn", body, high=chosen(random, (4, 3), (1, 5)), who=who)


def adds_offsets(random, who):
    body = {"TransactionalId": transactional_id(random, who) or Named("nobody"), "ProducerId": producer_id(random, who), "ProducerEpoch": epoch(random, who),
            "GroupId": group(random)}
    return call(random, "AddOffsetsToTxn", body, who=who)


def group(random):
    return chosen(random, (40, Named("g")), (6, Named("h")), (1, ""))


def commits_offsets(random, who):
    name, index = chosen(random, (9, random.choice(ANYWHERE)), (1, ("no", 0)), (1, ("t", 9)))
    body = {"TransactionalId": transactional_id(random, who) or Named("nobody"), "GroupId": group(random), "ProducerId": producer_id(random, who),
            "ProducerEpoch": epoch(random, who), "GenerationId": chosen(random, (12, -1), (1, 3)), "MemberId": chosen(random, (12, ""), (1, "who")),
            "GroupInstanceId": chosen(random, (12, None), (1, "i")),
            "Topics": [{"Name": Named(name), "Partitions": [{"PartitionIndex": index, "CommittedOffset": random.randint(0, 9), "CommittedLeaderEpoch": -1,
                                                             "CommittedMetadata": chosen(random, (9, ""), (1, "note"), (1, None))}]}]}
    return call(random, "TxnOffsetCommit", body, who=who)


def sealed(count, pid, epoch, sequence, transactional):
    return batch([b"v"] * count, pid, epoch, sequence & 0x7FFFFFFF if sequence >= 0 else sequence, attributes=16 if transactional and pid >= 0 else 0, timestamp=1_700_000_000_000)


def produces(random, who):
    (name, index), count = chosen(random, (30, random.choice(ANYWHERE)), (1, ("t", 9))), random.randint(1, 3)
    by = chosen(random, (97, who), (3, random.choice(list(PRODUCERS))))
    sequence = chosen(random, (70, Learned("sequence", who, name, index, otherwise=0)), (10, Learned("sequence", who, name, index, otherwise=0, age=1)),
                      (4, Learned("sequence", who, name, index, otherwise=0, plus=1)), (4, Learned("sequence", who, name, index, otherwise=0, plus=-1)), (4, 0), (1, -1))
    transactional = (PRODUCERS[who] is not None) != (random.random() < 0.04)
    records = Made(sealed, count=count, pid=producer_id(random, by), epoch=epoch(random, by), sequence=sequence, transactional=transactional)
    body = {"Acks": chosen(random, (9, -1), (1, 1)), "TimeoutMs": 5000, "TransactionalId": transactional_id(random, who) if transactional else None,
            "TopicData": [{"Name": Named(name), "TopicId": Learned("topic id", name), "PartitionData": [{"Index": index, "Records": records}]}]}
    return call(random, "Produce", body, low=3, high=12, who=who, place=(name, index), sequence=sequence, count=count)


def ends(random, who):
    body = {"TransactionalId": transactional_id(random, who) or Named("nobody"), "ProducerId": producer_id(random, who), "ProducerEpoch": epoch(random, who),
            "Committed": random.random() < 0.6}
    return call(random, "EndTxn", body, low=chosen(random, (1, 0), (1, 5)), who=who)


def marks(random, who):
    where = random.sample(ANYWHERE, 1)
    body = {"Markers": [{"ProducerId": producer_id(random, who), "ProducerEpoch": epoch(random, who), "TransactionResult": random.random() < 0.5,
                         "CoordinatorEpoch": chosen(random, (2, 0), (1, -1)), "TransactionVersion": chosen(random, (2, 0), (1, 2)),
                         "Topics": [{"Name": Named(name), "PartitionIndexes": [index]} for name, index in where]}]}
    return call(random, "WriteTxnMarkers", body, who=who)


def reads(random, who):
    name, index = random.choice(ANYWHERE)
    return {**fetches_of(name, index, random.choice([0, 1, 3]), random.randint(0, 1)), "version": random.randint(4, 12), "who": who}


def fetches_of(name, index, offset, isolation):
    asked = fetch(Named(name), offset, index=index, isolation=isolation)
    # What is to be found is there already; who waits for more waits in vain.
    asked["body"]["MaxWaitMs"] = 0
    return {**asked, "version": 12, "only": without_what_was_drawn}


def lists(random, who):
    body = {"StateFilters": chosen(random, (2, []), (1, ["Ongoing"]), (1, ["Empty", "CompleteAbort"])),
            "ProducerIdFilters": chosen(random, (3, []), (1, [producer_id(random, who)])), "DurationFilter": -1}
    return call(random, "ListTransactions", body, who=who, only=of_this_run)


def of_this_run(answer, kept):
    return {**answer, "TransactionStates": [found for found in answer["TransactionStates"] if found["TransactionalId"].startswith(kept["run"])]}


def draw(random):
    for name, count in TOPICS.items():
        yield call(random, "CreateTopics", {"Topics": [{"Name": Named(name), "NumPartitions": count, "ReplicationFactor": 1,
                                                        "Configs": [{"Name": "retention.ms", "Value": "-1"}]}], "TimeoutMs": 10000})
    for who in PRODUCERS:
        if random.random() < 0.7:
            yield inits(random, who)
    for _ in range(random.randint(20, 120)):
        kind = chosen(random, (10, inits), (12, adds), (5, adds_offsets), (6, commits_offsets), (36, produces), (16, ends), (1, marks), (4, reads), (2, lists))
        yield kind(random, random.choice(list(PRODUCERS)))


def checks(call):
    """After each: what readers see, and what is known of the producers."""
    if "who" not in call or call["api"] in ("Fetch", "ListTransactions"):
        return
    names = sorted({name for name in PRODUCERS.values() if name})
    yield {"api": "DescribeTransactions", "version": 0, "body": {"TransactionalIds": [Named(name) for name in names]}}
    yield {"api": "DescribeProducers", "version": 0, "body": {"Topics": [{"Name": Named(name), "PartitionIndexes": list(range(count))} for name, count in TOPICS.items()]}}
    for isolation in (0, 1):
        yield {"version": 7, **offsets_of(isolation)}
    if call["api"] in ("EndTxn", "InitProducerId", "WriteTxnMarkers"):
        for name, index in ANYWHERE:
            yield fetches_of(name, index, 0, 1)
    for stable in (False, True):
        yield {"api": "OffsetFetch", "version": 8, "body": {"RequireStable": stable, "Groups": [{"GroupId": Named(name), "Topics": None} for name in "gh"]}}


def offsets_of(isolation):
    topics = [{"Name": Named(name), "Partitions": [{"PartitionIndex": index, "Timestamp": -1, "CurrentLeaderEpoch": -1} for index in range(count)]}
              for name, count in TOPICS.items()]
    return {"api": "ListOffsets", "body": {"ReplicaId": -1, "IsolationLevel": isolation, "Topics": topics}}


def learn(side, call, answer):
    who = call.get("who")
    if call["api"] in ("InitProducerId", "EndTxn") and answer["ErrorCode"] == 0 and answer.get("ProducerId", -1) >= 0:
        if side.kept.get(("epoch", who), [None])[0] != answer["ProducerEpoch"] or side.kept.get(("pid", who), [None])[0] != answer["ProducerId"]:
            for name, index in ANYWHERE:
                side.kept.pop(("sequence", who, name, index), None)
        learned(side, answer["ProducerId"], "pid", who, name=f"pid of {who}")
        learned(side, answer["ProducerEpoch"], "epoch", who)
    if call["api"] == "WriteTxnMarkers" and answer["Markers"][0]["Topics"][0]["Partitions"][0]["ErrorCode"] != 0:
        learned(side, True, "refused marker")
    if call["api"] == "Produce" and answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"] == 0:
        sequence = call["sequence"](side.kept) if callable(call["sequence"]) else call["sequence"]
        learned(side, sequence + call["count"], "sequence", who, *call["place"])


def judged(call, answers, sides, found):
    """Which of the differences count. After a marker that it has refused, Kafka keeps the next batch from who reads committed
    records until another one follows, though it tells that the last stable offset is behind it. And as its index is sparse, it
    names aborted transactions as well that lie behind what it gives."""
    if call["api"] == "Fetch" and ("refused marker",) in sides[1].kept:
        raise Chance
    if call["api"] == "Fetch":
        (ours, _), (kafkas, end) = (aborted_of(answer) for answer in answers)
        if ours == {first for first in kafkas if first < end} != kafkas:
            return [one for one in found if "AbortedTransactions" not in one[0]]
    return found


def aborted_of(answer):
    """Where the aborted transactions begin that are told, and where what may be read ends; of the one partition that is asked."""
    [partition] = answer["Responses"][0]["Partitions"]
    return {found["FirstOffset"] for found in partition["AbortedTransactions"] or []}, partition["LastStableOffset"]

"""A world of random_calls.py: members of classic groups, dynamic and static, come, go, commit, and are mistaken."""
import struct

from cases import commit, join
from drawn import Chance, Learned, Made, Named, call, chosen, learned

NAME = "groups"
# Who is in which group, and under which instance; the last two are each other's twins.
MEMBERS = {"a": ("g", None), "b": ("g", None), "c": ("g", "ic"), "d": ("g", "id"), "x": ("h", None), "y": ("h", "iy"), "z": ("h", "iy")}
GROUPS = {"g": [], "h": []}
for who, (group, _) in MEMBERS.items():
    GROUPS[group].append(who)
LONG = 600_000


def subscription(topic):
    """What a consumer tells of itself: version 1, one topic, no user data, no partitions owned."""
    name = topic.encode()
    return struct.pack(">hi", 1, 1) + struct.pack(">h", len(name)) + name + struct.pack(">ii", -1, 0)


def member_id(random, who):
    other = random.choice(list(MEMBERS))
    return chosen(random, (80, Learned("member", who)), (6, ""), (5, Learned("member", who, age=1)), (5, Learned("member", other)), (4, "who"))


def generation(random, who):
    mine = ("generation", who)
    return chosen(random, (84, Learned(*mine, otherwise=-1)), (4, Learned(*mine, otherwise=-1, plus=-1)), (4, Learned(*mine, otherwise=-1, plus=1)),
                  (4, -1), (4, Learned(*mine, otherwise=0, age=1)))


def instance(random, who):
    return chosen(random, (92, MEMBERS[who][1]), (3, None), (3, "ic"), (2, "new"))


def group_of(random, who):
    return Named(chosen(random, (97, MEMBERS[who][0]), (2, random.choice("gh")), (1, "nobodys")))


def metadata(random):
    return chosen(random, (4, Made(subscription, topic=Named("t"))), (2, b"one"), (1, b"two"), (1, b""))


def joins(random, who):
    names = chosen(random, (8, ["range"]), (8, ["range", "sticky"]), (4, ["sticky", "range"]), (2, ["sticky"]), (1, ["third", "range", "sticky"]), (1, []))
    body = join(group_of(random, who), member_id(random, who), instance=instance(random, who), kind=chosen(random, (60, "consumer"), (2, "connect"), (1, "")),
                session=chosen(random, (60, LONG), (1, 10), (1, 10**8)))["body"]
    body.update(RebalanceTimeoutMs=LONG, Protocols=[{"Name": name, "Metadata": metadata(random)} for name in names])
    return call(random, "JoinGroup", body, who=who)


def syncs(random, who):
    group = MEMBERS[who][0]
    shares = [{"MemberId": Learned("member", other), "Assignment": random.choice([b"much", b"little", b""])}
              for other in GROUPS[group] if random.random() < 0.8] if random.random() < 0.7 else []
    body = {"GroupId": group_of(random, who), "GenerationId": generation(random, who), "MemberId": member_id(random, who),
            "GroupInstanceId": instance(random, who), "ProtocolType": chosen(random, (12, "consumer"), (3, None), (1, "connect")),
            "ProtocolName": chosen(random, (12, Learned("protocol", group)), (3, None), (1, "other")), "Assignments": shares}
    return call(random, "SyncGroup", body, who=who)


def beats(random, who):
    return call(random, "Heartbeat", {"GroupId": group_of(random, who), "GenerationId": generation(random, who), "MemberId": member_id(random, who),
                                      "GroupInstanceId": instance(random, who)}, who=who)


def leaves(random, who):
    leaving = [{"MemberId": chosen(random, (3, member_id(random, other)), (1, "")), "GroupInstanceId": instance(random, other), "Reason": None}
               for other in random.sample(GROUPS[MEMBERS[who][0]], random.choice([1, 1, 1, 2, 0]))]
    return call(random, "LeaveGroup", {"GroupId": group_of(random, who), "MemberId": member_id(random, who), "Members": leaving}, who=who)


def commits(random, who):
    plain = random.random() < 0.3
    body = commit(group_of(random, who), Named(chosen(random, (9, "t"), (1, "u"), (1, "no"))), random.randint(0, 9), -1 if plain else generation(random, who),
                  "" if plain else member_id(random, who), index=random.choice([0, 0, 1, 7]),
                  metadata=chosen(random, (9, ""), (3, "note"), (2, None), (1, "x" * 5000)))["body"]
    body["GroupInstanceId"] = None if plain else instance(random, who)
    return call(random, "OffsetCommit", body, high=9, who=who)


def partitions(random, field):
    return [{"Name": Named(name), field: [{"PartitionIndex": index} for index in indexes] if field == "Partitions" else indexes}
            for name, indexes in chosen(random, (4, [("t", [0, 1])]), (2, [("t", [1]), ("u", [0])]), (1, [("no", [0])]), (1, [("t", [7])]))]


def fetches(random, who):
    group, topics = group_of(random, who), partitions(random, "PartitionIndexes")
    if random.random() < 0.3:
        topics = None
    body = {"GroupId": group, "Topics": topics, "RequireStable": random.random() < 0.5,
            "Groups": [{"GroupId": group, "Topics": topics, "MemberId": None, "MemberEpoch": -1}]}
    return call(random, "OffsetFetch", body, low=1 if topics else 2, high=9, who=who)


def forgets(random, who):
    return call(random, "OffsetDelete", {"GroupId": group_of(random, who), "Topics": partitions(random, "Partitions")}, who=who)


def deletes(random, who):
    return call(random, "DeleteGroups", {"GroupsNames": [group_of(random, who)]}, who=who)


def lists(random, who):
    body = {"StatesFilter": chosen(random, (3, []), (1, ["Stable"]), (1, ["Empty", "dead"]), (1, ["preparingrebalance"]), (1, ["?"])),
            "TypesFilter": chosen(random, (4, []), (1, ["classic"]), (1, ["Consumer"]))}
    return call(random, "ListGroups", body, who=who, only=of_this_run)


def of_this_run(answer, kept):
    return {**answer, "Groups": [group for group in answer["Groups"] if group["GroupId"].startswith(kept["run"])]}


def draw(random):
    for name in ("t", "u"):
        yield call(random, "CreateTopics", {"Topics": [{"Name": Named(name), "NumPartitions": 2, "ReplicationFactor": 1}], "TimeoutMs": 10000})
    for _ in range(random.randint(20, 120)):
        kind = chosen(random, (34, joins), (24, syncs), (10, beats), (8, leaves), (10, commits), (4, fetches), (3, forgets), (2, deletes), (2, lists))
        yield kind(random, random.choice(list(MEMBERS)))


def checks(call):
    """After each: how all groups look, which says as well that what was asked has been dealt with."""
    if "who" in call:
        yield {"api": "DescribeGroups", "version": 5, "body": {"Groups": [Named(group) for group in GROUPS]}}


def learn(side, call, answer):
    who = call.get("who")
    if call["api"] == "JoinGroup":
        if answer["MemberId"] and answer["ErrorCode"] in (0, 79):
            learned(side, answer["MemberId"], "member", who, name=who)
        if answer["ErrorCode"] == 0:
            group = MEMBERS[who][0]
            learned(side, answer["GenerationId"], "generation", who)
            learned(side, answer["ProtocolName"] or "", "protocol", group)
            side.kept["members", group] = [member["MemberId"] for member in answer["Members"]] or side.kept.get(("members", group), [])
            side.kept.setdefault(("leaders", group), []).append(answer["Leader"])


def judged(call, answers, sides, found):
    """Which of the differences count.

    Who follows a leader that has gone is chance. Between protocols that as many members like best the order of a hash table decides in
    Kafka, and here what the leader prefers. And a group of which nothing is written yet is told by Kafka once something else
    of its partition is: who describes and lists sees what is durable."""
    if call["api"] == "JoinGroup" and answers[0].get("ProtocolName") != answers[1].get("ProtocolName") and answers[0]["ErrorCode"] == answers[1]["ErrorCode"]:
        raise Chance
    if call["api"] == "JoinGroup" and any(path.endswith(("Leader", "Members.length")) for path, _, _ in found):
        group = MEMBERS[call["who"]][0]
        for side, answer in zip(sides, answers):
            before = [leader for leader in side.kept.get(("leaders", group), []) if leader != answer["Leader"]]
            if before and before[-1] not in side.kept.get(("members", group), []):
                raise Chance
    if call["api"] == "DescribeGroups":
        untold = {group["GroupId"] for group in answers[1]["Groups"] if group["GroupState"] == "Dead"}
        return [one for one in found if not any(f"[{group}]" in one[0] for group in untold)]
    if call["api"] == "ListGroups":
        return [one for one in found if one[2] != "<absent>" and not one[0].endswith("Groups.length")]
    return found

"""Random sequences of calls to our server and to Apache Kafka, in lockstep: the decoded answers are equal.

    random_calls.py OURS KAFKA [[WORLD:]SEED[..SEED][:CALL,CALL,...] ...]

Both started with the same properties, as for beside_kafka.py, whose way to compare this is. A world (one of WORLDS, a file
each) draws from the seed a list of calls, right ones and slightly wrong ones. It is data: what a call takes from earlier
answers (ids that were drawn, generations, sequence numbers) stands in it as a `Learned`, and each broker's own goes in when it is
asked. So any of the calls can be left out, and a difference is told with the fewest calls that show it; `WORLD:SEED:CALLS`
asks these again (with VERBOSE=1 every answer is shown). A difference counts if it is there a second time. Without arguments
the few seeds are asked that always are."""
import os
import random
import sys
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import random_groups  # noqa: E402
import random_log  # noqa: E402
import random_transactions  # noqa: E402
from beside_kafka import PASSING, Side, await_partitions, fill, fits, settle, unlike  # noqa: E402
from drawn import Chance, names_of  # noqa: E402
from wire import SCHEMAS, Connection  # noqa: E402

WORLDS = {"groups": random_groups, "transactions": random_transactions, "log": random_log}
# A minute on two cores that are busy.
ALWAYS = ["groups:1..8", "log:1..8", "transactions:1..6"]
# These may wait for another member's call.
WAITING = ("JoinGroup", "SyncGroup")
# These change nothing: what differs is asked again, since what was just changed may take a moment until it is told.
READING = ("Describe", "List", "Fetch", "OffsetFetch", "OffsetForLeaderEpoch", "Metadata")
PATIENCE = 5


class Lanes:
    """A broker's calls that may wait for others, each on a connection of its own."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.idle, self.waiting = [], {}

    def send(self, number, api, version, asked):
        lane = self.idle.pop() if self.idle else Connection(self.bootstrap)
        lane.send(api, version, **asked)
        # A member that asks again while it waits: Kafka forgets the first, ours answers that it came to nothing.
        mine = api, asked["GroupId"], asked["MemberId"]
        for older in [older for older, (whose, _) in self.waiting.items() if whose == mine and asked["MemberId"]]:
            self.waiting.pop(older)[1].close()
        self.waiting[number] = mine, lane

    def answered(self):
        return {number for number, (_, lane) in self.waiting.items() if lane.answered()}

    def receive(self, number):
        _, lane = self.waiting.pop(number)
        self.idle.append(lane)
        return lane.receive()

    def close(self):
        for lane in [*self.idle, *(lane for _, lane in self.waiting.values())]:
            lane.close()
        self.idle, self.waiting = [], {}


class Run:
    """One sequence, asked of both."""

    def __init__(self, world, sides, patience):
        self.world, self.sides, self.patience = world, sides, patience
        self.calls = []
        name = f"{uuid.uuid4().hex[:8]}-"
        for side in sides:
            side.kept = {"run": name}
            side.learned = {}

    def all(self, calls):
        """The differences of the first call that has any, and how many calls that took."""
        try:
            for number, call in enumerate(calls):
                found = self.one(number, call)
                if found:
                    return found, number + 1
        except Chance:
            pass
        finally:
            for side in self.sides:
                side.lanes.close()
            self.leave()
        return [], len(calls)

    def one(self, number, call):
        self.calls.append(call)
        if call["api"] in WAITING:
            for side in self.sides:
                side.lanes.send(number, call["api"], call["version"], asked(side, call))
        else:
            found = self.compared(number, call, learning=True)
            if found:
                return found
        for check in self.world.checks(call):
            found = self.compared(number, check, learning=check.get("learns", False))
            if found:
                return found
        return self.answers()

    def compared(self, number, call, learning=False):
        """Asks both the same, and lists what differs."""
        until = time.monotonic() + self.patience
        while True:
            answers = [answer(side, call) for side in self.sides]
            if learning:
                self.learn(call, answers)
            found = self.unlike(number, call, answers)
            if not found or not call["api"].startswith(READING) or time.monotonic() > until:
                return found
            time.sleep(0.05)

    def answers(self):
        """Compares what was answered of the calls that waited: the same ones on both sides."""
        until, same = time.monotonic() + self.patience, 0
        while same < 3 and time.monotonic() < until and any(side.lanes.waiting for side in self.sides):
            ours, kafkas = [side.lanes.answered() for side in self.sides]
            same = same + 1 if ours == kafkas else 0
            time.sleep(0.005)
        found = []
        ours, kafkas = [side.lanes.answered() for side in self.sides]
        for number in sorted(ours ^ kafkas):
            found.append(f"{number} {self.calls[number]['api']}: {'answered, and not by Kafka' if number in ours else 'not answered, as Kafka does'}")
        both = [(number, [side.lanes.receive(number) for side in self.sides]) for number in sorted(ours & kafkas)]
        for number, answers in both:
            self.learn(self.calls[number], answers)
        for number, answers in both:
            found += self.unlike(number, self.calls[number], answers)
        return found

    def learn(self, call, answers):
        for side, told in zip(self.sides, answers):
            if isinstance(told, dict):
                self.world.learn(side, call, told)

    def unlike(self, number, call, answers):
        told = []
        for side, answer in zip(self.sides, answers):
            if isinstance(answer, dict) and "only" in call:
                answer = call["only"](answer, side.kept)
            told.append(side.plain(names_of(answer, side.learned)))
        if os.environ.get("VERBOSE"):
            print(number, call["api"], *[{key[-30:]: value for key, value in one.items() if value not in (0, "", None, -1)} for one in told], sep="\n    ")
        found = list(unlike(self.world.NAME, call["api"], *told))
        if found and all(isinstance(answer, dict) for answer in answers):
            # Kafka trips over itself: any other error will do.
            if -1 in errors(answers[1]) and any(code not in (0, -1) for code in errors(answers[0])):
                raise Chance
            found = self.world.judged(call, answers, self.sides, found)
        return [f"{number} {call['api']} v{call['version']}{path}: {left!r}, Kafka {right!r}" for path, left, right in found]

    def leave(self):
        """Topics are not left behind."""
        for side in self.sides:
            for topic in side.kept.get("topics", set()):
                side.connection.ask("DeleteTopics", 5, TopicNames=[topic], TimeoutMs=5000)


def asked(side, call):
    return fits(SCHEMAS[call["api"] + "Request"]["fields"], fill(call["body"], side, call["version"]), call["version"])


def answer(side, call):
    """A broker's answer, once what is passing has passed."""
    body = asked(side, call)
    until = time.monotonic() + PATIENCE
    while True:
        told = side.connection.ask(call["api"], call["version"], **body)
        if not passing(told) or time.monotonic() > until:
            break
        time.sleep(0.01)
    if isinstance(told, dict):
        settled(side, call["api"], body, told)
    return told


def errors(told):
    """All error codes of an answer."""
    if isinstance(told, dict):
        return [code for code in [told.get("ErrorCode")] if code is not None] + errors(list(told.values()))
    return [code for inner in told for code in errors(inner)] if isinstance(told, list) else []


def passing(told):
    """Whether an answer says anywhere that a coordinator is not ready, or has a transaction to end first."""
    return any(code in PASSING for code in errors(told))


def settled(side, api, body, told):
    """Waits until what was asked is done everywhere."""
    topics = side.kept.setdefault("topics", set())
    if api in ("CreateTopics", "CreatePartitions"):
        await_partitions(side.connection, body, told)
        topics.update(topic["Name"] for topic in told.get("Topics", []) if topic["ErrorCode"] == 0)
    elif api == "DeleteTopics":
        for topic in told["Responses"]:
            if topic["ErrorCode"] == 0:
                topics.discard(topic["Name"])
                within(side, lambda: side.connection.ask("Metadata", 4, Topics=[{"Name": topic["Name"]}], AllowAutoTopicCreation=False)["Topics"][0]["ErrorCode"] == 3)
    elif api == "IncrementalAlterConfigs" and all(found["ErrorCode"] == 0 for found in told["Responses"]):
        # Told to the log a moment after it is told to those who ask.
        changes = body["Resources"][0]
        wanted = {change["Name"]: change["Value"] for change in changes["Configs"] if change["ConfigOperation"] == 0}
        within(side, lambda: wanted.items() <= configured(side, changes["ResourceName"]).items())
        time.sleep(0.05)
    elif api in ("EndTxn", "InitProducerId") and body.get("TransactionalId"):
        within(side, lambda: not side.connection.ask("DescribeTransactions", 0, TransactionalIds=[body["TransactionalId"]])[
            "TransactionStates"][0]["TransactionState"].startswith("Prepare"))


def configured(side, name):
    answer = side.connection.ask("DescribeConfigs", 4, Resources=[{"ResourceType": 2, "ResourceName": name, "ConfigurationKeys": None}])
    return {found["Name"]: found["Value"] for found in answer["Results"][0]["Configs"]}


def within(side, done):
    until = time.monotonic() + PATIENCE
    while not done() and time.monotonic() < until:
        time.sleep(0.005)


# --- seeds

def drawn_calls(world, seed):
    return list(world.draw(random.Random(f"{world.NAME} {seed}")))


def judged(world, sides, seed, chosen):
    """What differs under a seed, and the fewest of its calls that show it; each call keeps its number."""
    calls = drawn_calls(world, seed)
    numbers = list(range(len(calls))) if chosen is None else chosen

    def tried(numbers, patience=PATIENCE):
        found, count = Run(world, sides, patience).all([calls[number] for number in numbers])
        return found, numbers[:count]

    found, shown = tried(numbers)
    again = found and tried(shown)
    if not again or not again[0]:
        return [], [], calls
    found, shown = again
    until, size = time.monotonic() + 90, max(1, len(shown) // 2)
    while chosen is None and time.monotonic() < until:
        for at in range(0, len(shown), size):
            fewer = shown[:at] + shown[at + size:]
            less, seen = tried(fewer, 0.5) if fewer else ([], [])
            if less:
                found, shown = less, seen
                break
        else:
            if size == 1:
                break
            size //= 2
    return found, shown, calls


def tell(world, seed, found, shown, calls):
    print(f"not ok {world.NAME}:{seed}:{','.join(str(number) for number in shown)}", flush=True)
    for at, number in enumerate(shown):
        call = calls[number]
        print(f"   {at} ({number}) {call['api']} v{call['version']} {call['body']}")
    print("\n".join(f"   => {line[:400]}" for line in found), flush=True)


def wanted(arguments):
    """(world, seed, calls or all) for each seed of `[WORLD:]SEED[..SEED][:CALL,...]`."""
    for argument in arguments or ALWAYS:
        parts = argument.split(":")
        worlds = [WORLDS[parts.pop(0)]] if parts[0] in WORLDS else list(WORLDS.values())
        first, _, last = (parts or ["1..20"])[0].partition("..")
        chosen = [int(number) for number in parts[1].split(",")] if len(parts) > 1 else None
        for seed in range(int(first), int(last or first) + 1):
            for world in worlds:
                yield world, seed, chosen


def main():
    sides = []
    for bootstrap in sys.argv[1:3]:
        side = Side(bootstrap)
        side.lanes = Lanes(bootstrap)
        settle(side.connection)
        sides.append(side)
    failed = asked_in_all = 0
    for world, seed, chosen in wanted(sys.argv[3:]):
        found, shown, calls = judged(world, sides, seed, chosen)
        asked_in_all += len(calls)
        if found:
            failed += 1
            tell(world, seed, found, shown, calls)
        else:
            print(f"ok {world.NAME}:{seed}", flush=True)
    print(f"{asked_in_all} calls drawn, {failed} seeds differ")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

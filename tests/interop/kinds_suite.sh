#!/usr/bin/env bash
# One application with all kinds of state, twice: Kafka Streams runs one alone; ours and Kafka Streams take the other over from
# each other, again and again. Both must have written the same to all of their topics, results and changelogs.
#
#   kinds_suite.sh JARS BOOTSTRAP WORK PROGRAM [KEY=VALUE ...]      PROGRAM is kinds_of_state.rs, built; settings are for both
set -uo pipefail
jars=$1
bootstrap=$2
place=$3/kinds
ours=$4
shift 4
settings=("$@")
here=$(cd "$(dirname "$0")" && pwd)
. "$here/java_checks"
rm -rf "$place" && mkdir -p "$place"
# RocksDB syncs each of its many files as it is made, which is slow on a disk.
memory=$(mktemp -d /dev/shm/kinds.XXXXXX 2> /dev/null) || memory=$place/kafka-streams
trap 'rm -rf "$work" "$memory"' EXIT

# Five files whose times follow each other: 8 seconds each, many records late, but never behind the file before. They leave
# alone what depends on chance, or on a restart, in Kafka Streams: a pair of a join that comes when its window has closed, or a
# version of a price that comes after a newer one. The last closes all windows, and renews the customers: an inner join by
# foreign key may keep a row whose customer has gone, if an update overtakes the answer to the one before.
python3 - "$place" << 'PYTHON'
import os, random, sys, time
chance, used, start = random.Random(int(os.environ.get("SEED", 7))), set(), (int(time.time()) - 60) * 1000
def line(file, topic, key, value, at):
    while at in used: at += 1
    used.add(at)
    print(topic, key, value, at, sep="\t", file=file)
for part in range(4):
    with open(f"{sys.argv[1]}/{part}", "w") as file:
        for n in range(400):
            topic = chance.choice(["clicks", "clicks", "views", "views", "prices", "orders", "customers"])
            late = (chance.randrange(600) if chance.random() < 0.3 else 0) + (800 if chance.random() < 0.05 else 0)
            at = start + part * 8000 + max(n * 20 - (0 if topic == "prices" else late), 0)
            value = "%s%d-%d" % (chance.choice("abcd"), part, n)
            if topic in ("prices", "orders", "customers") and chance.random() < 0.15: value = ""
            line(file, topic, chance.choice("abcd") if topic == "customers" else "k%d" % chance.randrange(6), value, at)
with open(f"{sys.argv[1]}/4", "w") as file:
    for key in "abcd": line(file, "customers", key, key + "4", start + 45000)
    for topic in ["clicks", "views", "prices", "orders", "customers"]:
        for n in range(12): line(file, topic, f"z{n}", f"z4-{n}", start + 45000)
PYTHON
cd "$place" || exit 1

program=(java -Xmx512M -XX:TieredStopAtLevel=1 -cp "$jars/*:$work" "$here/java/KindsOfState.java" "$bootstrap")
java_runs() {
  timeout 120 "${program[@]}" run "$1" "$memory/$RANDOM" "${@:2}" "${settings[@]}" 2>> "$work/err" ||
    echo "not ok kafka_streams: ended with exit code $?"
}
ours_runs() {
  timeout 120 "$ours" "$bootstrap" "$1" "$place/ours" "${@:2}" "${settings[@]}" 2>> "$work/err" ||
    echo "not ok ours: ended with exit code $?"
}
java_runs by-java 0 1 2 3 4
java_runs by-both 0
ours_runs by-both 1
java_runs by-both 2
ours_runs by-both 3
# What waits for a window's end is looked for once a second: at the first record of a start, then.
ours_runs by-both 4
"${program[@]}" compare by-java by-both 2>> "$work/err"
grep -v WARN "$work/err" | sed -n 1,20p >&2 || true

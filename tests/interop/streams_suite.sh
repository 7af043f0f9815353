#!/usr/bin/env bash
# Kafka Streams' word count, exactly once, and examples/word_count.rs, which takes over from it and gives back:
#
#   streams_suite.sh JARS BOOTSTRAP WORK SESSION_MS PROGRAM copy         counts a text; it is killed meanwhile, as the server may be
#   ... check                                                            against a count by other means
#   ... take_over                                                        ours, Kafka Streams, ours, by the same names, from where the other ended
set -uo pipefail
jars=$1
bootstrap=$2
place=$3/streams
session_ms=$4
ours=$5
mode=$6
here=$(cd "$(dirname "$0")" && pwd)
. "$here/java_checks"
tools=org.apache.kafka.tools
at="--bootstrap-server $bootstrap"

# Lines of five words, of which some are frequent: `text SEED LINES`.
text() { python3 -c 'import random, sys
chance = random.Random(int(sys.argv[1]))
for _ in range(int(sys.argv[2])): print(*("w%d" % min(chance.randrange(200), chance.randrange(200)) for _ in range(5)))' "$@"; }
# The independent count: `word<TAB>count` of all words of files, sorted.
count() { cat "$@" | tr ' ' '\n' | sort | uniq -c | awk '{print $2 "\t" $1}' | LC_ALL=C sort; }
words() { cat "$@" | wc -w; }
# Sends lines, a hundred at a time with so many seconds between: `feed SECONDS < FILE`. It waits for a server that is gone.
feed() {
  awk -v pause="$1" '{print} NR % 100 == 0 {fflush(); if (pause > 0) system("sleep " pause)}' |
    tool $tools.ConsoleProducer $at --topic lines --message-send-max-retries 10000 > /dev/null
}
# Kafka Streams, until it has counted so many words.
kafka_streams() {
  exec java -Xmx256M -XX:TieredStopAtLevel=1 -cp "$jars/*:$work" "$here/../benchmarks/WordCount.java" "$bootstrap" exactly_once_v2 100 0 "$1" \
    lines=lines counts=counts store=word-counts application.id=word-count "state.dir=$place/kafka-streams" \
    "session.timeout.ms=$session_ms" heartbeat.interval.ms=300 >> "$place/kafka-streams.log" 2>&1
}
# examples/word_count.rs sends a text itself, waits for its counts and prints all.
word_count() {
  timeout 60 "$ours" $at --data-dir "$place/ours" --input "$1" --all --config processing.guarantee=exactly_once_v2 \
    --config "session.timeout.ms=$session_ms" --config heartbeat.interval.ms=300 2>> "$work/err" | LC_ALL=C sort
}
# Neither of them leaves the group at its end, so that it finds its tasks if it comes back soon: the other must wait.
until_group_is_empty() {
  for _ in $(seq 30); do
    if tool $tools.consumer.group.ConsumerGroupCommand $at --describe --group word-count --state 2> /dev/null | grep -q Empty; then return; fi
  done
}
# All counts that were written and committed, in order.
counts_written() {
  tool $tools.consumer.ConsoleConsumer $at --topic counts --from-beginning --isolation-level read_committed --timeout-ms 4000 \
    --formatter-property print.key=true --formatter-property value.deserializer=org.apache.kafka.common.serialization.LongDeserializer 2> /dev/null
}
last_of_each() { awk -F'\t' '{last[$1] = $2} END {for (word in last) print word "\t" last[word]}' | LC_ALL=C sort; }
same() { if cmp -s "$2" "$3"; then echo "ok $1"; else echo "not ok $1: $(diff "$2" "$3" | head -n 4 | tr '\n' ' ')"; fi; }

case $mode in
copy)
  rm -rf "$place" && mkdir -p "$place"
  text 1 3000 > "$place/first"
  for topic in lines:2 counts:1; do
    tool $tools.TopicCommand $at --create --if-not-exists --topic "${topic%:*}" --partitions "${topic#*:}" --replication-factor 1 > /dev/null
  done
  feed 0.5 < "$place/first" &
  feeder=$!
  total=$(words "$place/first")
  kafka_streams "$total" &
  app=$!
  written() { tool $tools.GetOffsetShell $at --topic counts 2> /dev/null | awk -F: '{print $3}'; }
  for _ in $(seq 60); do [ "$(written)" -lt 500 ] 2> /dev/null || break; done
  # Now the server may be killed, and a little later this is, and started anew.
  touch "$place/counting"
  sleep 4
  kill -9 "$app" && echo "killed when $(written) counts were written, of $total" > "$place/killed"
  kafka_streams "$total" &
  wait "$feeder" || exit 1
  wait $! || { tail -n 20 "$place/kafka-streams.log"; exit 1; }
  ;;
check)
  count "$place/first" > "$place/expected"
  counts_written > "$place/written"
  last_of_each < "$place/written" > "$place/got"
  same exactly_once_counts_are_right "$place/got" "$place/expected"
  awk -F'\t' '$2 != ++seen[$1] {print "after " seen[$1] - 1 " of " $1 " came " $2; exit}' "$place/written" > "$place/skipped"
  check exactly_once_each_count_is_written_once "$(cat "$place/skipped")" ""
  written=$(awk '{print $3}' "$place/killed")
  [ "$written" -lt "$(words "$place/first")" ] && echo "ok exactly_once_through_a_kill" || echo "not ok exactly_once_through_a_kill: $(cat "$place/killed")"
  ;;
take_over)
  text 2 2000 > "$place/second"
  text 3 2000 > "$place/third"
  count "$place/first" "$place/second" > "$place/expected"
  until_group_is_empty
  word_count "$place/second" > "$place/got"
  same ours_goes_on_where_kafka_streams_ended "$place/got" "$place/expected"
  count "$place/first" "$place/second" "$place/third" > "$place/expected"
  feed 0 < "$place/third"
  until_group_is_empty
  (kafka_streams "$(words "$place/first" "$place/second" "$place/third")")
  counts_written > "$place/written"
  last_of_each < "$place/written" > "$place/got"
  same kafka_streams_goes_on_where_ours_ended "$place/got" "$place/expected"
  awk -F'\t' '$2 <= last[$1] {print "after " last[$1] " of " $1 " came " $2; exit} {last[$1] = $2}' "$place/written" > "$place/back"
  check no_count_is_written_twice "$(cat "$place/back")" ""
  # What ours kept on the disk is behind by what Kafka Streams has counted since.
  text 4 10 > "$place/fourth"
  count "$place/first" "$place/second" "$place/third" "$place/fourth" > "$place/expected"
  until_group_is_empty
  word_count "$place/fourth" > "$place/got"
  same ours_catches_up_with_what_it_missed "$place/got" "$place/expected"
  # Kafka's tool makes the application anew, though it was ours that ran last; then it counts all from the start.
  until_group_is_empty
  tool $tools.StreamsResetter $at --application-id word-count --input-topics lines --force > "$place/reset" 2>&1
  matches reset_tool_goes_to_the_start "$(cat "$place/reset")" '^Topic: lines Partition: 1 Offset: 0'
  # Dead letters are for somebody to look at, and no internal topic.
  check reset_tool_deletes_what_is_internal "$(tool $tools.TopicCommand $at --list | grep '^word-count-')" word-count-dead-letter
  rm -rf "$place/kafka-streams"
  (kafka_streams "$(words "$place/first" "$place/second" "$place/third" "$place/fourth")")
  counts_written | tail -n +"$(($(wc -l < "$place/written") + 1))" | last_of_each > "$place/got"
  same kafka_streams_counts_all_anew "$place/got" "$place/expected"
  sed -n 1,20p "$work/err" >&2
  ;;
esac

#!/usr/bin/env bash
# Apache Kafka's own command line tools.
set -uo pipefail
bootstrap=$1
jars=$2
topic=java-$RANDOM$RANDOM
group=java-group-$RANDOM
. "$(dirname "$0")/java_checks"

check topics_create "$(tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$bootstrap" --create --topic "$topic" --partitions 1 --replication-factor 1)" "Created topic $topic."
contains topics_list "$(tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$bootstrap" --list)" "$topic"
contains topics_describe "$(tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$bootstrap" --describe --topic "$topic")" "PartitionCount: 1"

for codec in none gzip snappy lz4 zstd; do
  printf 'trace:1\tk-%s\tv-%s\n' "$codec" "$codec" | tool org.apache.kafka.tools.ConsoleProducer --bootstrap-server "$bootstrap" --topic "$topic" \
    --compression-codec "$codec" --reader-property parse.key=true --reader-property parse.headers=true 2>>"$work/err" >/dev/null
done
consume() { tool org.apache.kafka.tools.consumer.ConsoleConsumer \
  --bootstrap-server "$bootstrap" --topic "$topic" --group "$group" --from-beginning --max-messages "$1" --timeout-ms 20000 \
  --formatter-property print.key=true --formatter-property print.headers=true 2>>"$work/err"; }
line() { printf 'trace:1\tk-%s\tv-%s\n' "$1" "$1"; }
check console_consumer_reads_each_codec "$(consume 3)" "$(line none; line gzip; line snappy)"
check console_consumer_goes_on_in_its_group "$(consume 2)" "$(line lz4; line zstd)"

contains consumer_groups_list "$(tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server "$bootstrap" --list)" "$group"
described=$(tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server "$bootstrap" --describe --group "$group" 2>&1 | awk -v t="$topic" '$2 == t {print $4, $5, $6}')
check consumer_groups_describe "$described" "5 5 0"
check get_offsets "$(tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$bootstrap" --topic "$topic")" "$topic:0:5"
tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$bootstrap" --delete --topic "$topic" > /dev/null
check topics_delete "$(tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$bootstrap" --list | grep -c "^$topic$")" 0
sed -n 1,40p "$work/err" >&2

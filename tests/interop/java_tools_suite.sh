#!/usr/bin/env bash
# The rest of Apache Kafka's command line tools: those that verify, measure, administer, and look at transactions.
set -uo pipefail
bootstrap=$1
jars=$2
. "$(dirname "$0")/java_checks"
topic=tools-$RANDOM$RANDOM
id=tools-id-$RANDOM
tools=org.apache.kafka.tools
at="--bootstrap-server $bootstrap"

tool $tools.TopicCommand $at --create --topic "$topic" --partitions 2 --replication-factor 1 > /dev/null

# --- verify: what the producer says was acknowledged is what the consumer says it read
produced=$(tool $tools.VerifiableProducer $at --topic "$topic" --max-messages 2000 --repeating-keys 50 2> "$work/err")
contains verifiable_producer "$produced" '"name":"tool_data","sent":2000,"acked":2000'
consumed=$(tool $tools.VerifiableConsumer $at --topic "$topic" --group-id "$topic" --max-messages 2000 2>> "$work/err")
check verifiable_consumer "$(grep -o '"name":"records_consumed","count":[0-9]*' <<< "$consumed" | awk -F: '{sum += $3} END {print sum}')" 2000
contains verifiable_consumer_commits "$consumed" '"name":"offsets_committed"'

# --- measure
contains producer_perf_test "$(tool $tools.ProducerPerformance $at --topic "$topic" --num-records 20000 --record-size 100 --throughput -1)" "20000 records sent"
matches consumer_perf_test "$(tool $tools.ConsumerPerformance $at --topic "$topic" --num-records 20000 --hide-header)" '^[0-9-]+ [0-9:]+, .*, 2[0-9]{4}, '
matches end_to_end_latency "$(tool $tools.EndToEndLatency $at --topic "$topic" --num-records 100 --producer-acks all --record-size 100)" '^Percentiles: 50th = [0-9]+, 99th'

# --- administer
config() { tool kafka.admin.ConfigCommand $at --entity-type topics --entity-name "$topic" "$@"; }
config --alter --add-config retention.ms=5000000,cleanup.policy=[compact,delete] > /dev/null
contains configs_alter_and_describe "$(config --describe)" "retention.ms=5000000"
config --alter --delete-config retention.ms > /dev/null
check configs_delete "$(config --describe | grep -c retention.ms)" 0
echo "{\"partitions\":[{\"topic\":\"$topic\",\"partition\":0,\"offset\":10}],\"version\":1}" > "$work/offsets.json"
matches delete_records "$(tool $tools.DeleteRecordsCommand $at --offset-json-file "$work/offsets.json")" "partition: $topic-0[[:space:]]+low_watermark: 10"
matches log_dirs "$(tool $tools.LogDirsCommand $at --describe --topic-list "$topic" | tail -n 1)" "\"partition\":\"$topic-1\",\"size\":[1-9][0-9]*,\"offsetLag\":0"
matches metadata_quorum_status "$(tool $tools.MetadataQuorumCommand $at describe --status)" '^LeaderEpoch:'
matches metadata_quorum_replication "$(tool $tools.MetadataQuorumCommand $at describe --replication)" '[[:space:]]Leader'
contains broker_api_versions "$(tool $tools.BrokerApiVersionsCommand $at)" "Fetch(1): "

# --- transactions: one is left open by a client that vanishes
txn() { tool $tools.TransactionsCommand $at "$@" 2>> "$work/err"; }
tool "$(dirname "$0")/java/LeaveOpen.java" "$bootstrap" "$topic" "$id" > "$work/left"
matches transactions_list "$(txn list --transactional-id-pattern "tools-.*")" "^$id[[:space:]].*Ongoing"
matches transactions_describe "$(txn describe --transactional-id "$id")" "[[:space:]]$id[[:space:]].*$topic-0"
start=$(txn describe-producers --topic "$topic" --partition 0 | awk '$6 != "None" && NR > 1 {print $6}')
matches transactions_describe_producers "$start" '^[0-9]+$'
check transactions_find_hanging "$(txn find-hanging --topic "$topic" --max-transaction-timeout 0 | wc -l)" 1
txn abort --topic "$topic" --partition 0 --start-offset "$start"
matches transactions_abort "$(txn describe-producers --topic "$topic" --partition 0)" '^[0-9].*[[:space:]]None[[:space:]]*$'
txn forceTerminateTransaction --transactionalId "$id"
matches transactions_force_terminate "$(txn list --transactional-id-pattern "$id")" "^$id[[:space:]].*(Empty|CompleteAbort|PrepareAbort)"

tool $tools.TopicCommand $at --delete --topic "$topic" > /dev/null
sed -n 1,20p "$work/err" >&2

#!/usr/bin/env bash
# Kafka's DumpLogSegments over all files of a stopped server.
#
#   dump_log_suite.sh prepare JARS BOOTSTRAP      writes what the files must hold
#   dump_log_suite.sh check JARS DATA ANABRANCH   reads them, when the server has stopped; `anabranch dump-log` must say the same
set -uo pipefail
mode=$1
jars=$(cd "$2" && pwd)
place=$3
. "$(dirname "$0")/java_checks"
tools=org.apache.kafka.tools
anabranch=${4:-}
records=30000

if [ "$mode" = prepare ]; then
  at="--bootstrap-server $place"
  make() { tool $tools.TopicCommand $at --create --topic "$1" --partitions 1 --replication-factor 1 --config segment.bytes=1048576 "${@:2}" > "$work/out" || cat "$work/out" >&2; }
  make dumped-plain
  make dumped-compressed --config compression.type=lz4
  make dumped-compacted --config cleanup.policy=compact --config segment.ms=200 --config min.cleanable.dirty.ratio=0.01
  for topic in dumped-plain dumped-compressed; do
    tool $tools.ProducerPerformance $at --topic $topic --num-records $records --record-size 100 --throughput -1 > /dev/null
  done
  tool $tools.VerifiableProducer $at --topic dumped-compacted --max-messages 2000 --throughput 2000 --repeating-keys 7 > /dev/null
  # A group with a member and offsets, and transactions: one ended either way, one open.
  tool $tools.ConsumerPerformance $at --topic dumped-plain --num-records 10 --group dumped > /dev/null
  tool "$(dirname "$0")/java/LeaveOpen.java" "$place" dumped-plain dumped-aborted
  tool $tools.TransactionsCommand $at forceTerminateTransaction --transactionalId dumped-aborted
  tool "$(dirname "$0")/java/LeaveOpen.java" "$place" dumped-plain dumped-open
  exit
fi

cd "$place" || exit 1
# The names of files of partitions, with commas between: `files DIRECTORIES ENDING`. Empty ones hold nothing to read.
files() { find $1 -name "*$2" -size +0c | sort | paste -sd, -; }
dump() {
  tool $tools.DumpLogSegments "$@" > "$work/dump" 2> "$work/said" || echo "it ended with exit code $?" >> "$work/said"
  # That offsets are not consecutive it says of every file but a partition's first; what gaps there are is judged below.
  grep -vE '^Non-consecutive|is followed by' "$work/said" > "$work/complaints"
}
# What it dumped must be all there is, and nothing complained of.
judge() {
  local name=$1 list=$2; shift 2
  if [ -z "$list" ]; then echo "not ok $name: there is no such file"; return; fi
  dump --files "$list" "$@"
  grep -E 'isvalid: false|^Mismatches|Found |The following indexed|Error at|Failed to decode|Unknown record type|Exception|Ignoring unknown' "$work/dump" >> "$work/complaints"
  # What compaction took leaves gaps, and only that.
  case $name in *compacted*|*transaction*|*offsets*) ;; *) grep -E '^  [0-9]+ is followed by' "$work/said" >> "$work/complaints" ;; esac
  local dumped wanted
  dumped=$(grep -c '^Dumping ' "$work/dump")
  wanted=$(tr ',' '\n' <<< "$list" | wc -l)
  [ "$dumped" = "$wanted" ] || echo "$dumped files of $wanted" >> "$work/complaints"
  check "$name" "$(cat "$work/complaints")" ""
}
records_dumped() { grep -o '^baseOffset: .* count: [0-9]*' "$work/dump" | awk '{sum += $NF} END {print sum + 0}'; }

plain=$(find . -maxdepth 1 -type d -name '*-[0-9]*' ! -name '__*' ! -name '*compacted*' | sort)
judge logs "$(files "$plain" .log)" --deep-iteration
judge rolled_logs "$(files ./dumped-plain-0 .log)" --deep-iteration
# Three more: the aborted record, the marker of its abort, the open record.
check rolled_logs_hold_every_record "$(records_dumped)" $((records + 3))
matches rolled_logs_are_many "$(grep -c '^Dumping ' "$work/dump")" '^([3-9]|[1-9][0-9]+)$'
contains control_records "$(grep -m 1 endTxnMarker "$work/dump")" "endTxnMarker: ABORT"
judge compressed_logs "$(files ./dumped-compressed-0 .log)" --print-data-log
contains compressed_logs_by_codec "$(grep -m 1 compresscodec "$work/dump")" "compresscodec: lz4"
judge compacted_logs "$(files ./dumped-compacted-0 .log)" --deep-iteration
[ "$(records_dumped)" -lt 2000 ] && echo "ok compacted_logs_lack_what_is_old" || echo "not ok compacted_logs_lack_what_is_old: $(records_dumped) records"
for kind in index timeindex; do
  judge "${kind}es" "$(files "$plain" ".$kind")"
  judge "${kind}es_verified" "$(files "$plain" ".$kind")" --verify-index-only
  judge "${kind}es_sane" "$(files "$plain" ".$kind")" --index-sanity-check
  check "${kind}es_all_pass" "$(grep -c 'passed sanity check' "$work/dump")" "$(grep -c '^Dumping ' "$work/dump")"
done
judge transaction_indexes "$(files "$plain" .txnindex)"
contains transaction_indexes_name_what_was_aborted "$(cat "$work/dump")" "firstOffset: $records"
judge producer_snapshots "$(files ./dumped-plain-0 .snapshot)"
contains producer_snapshots_know_what_is_open "$(cat "$work/dump")" "currentTxnFirstOffset: OptionalLong[$((records + 2))]"
judge offsets_log "$(files "$(find . -maxdepth 1 -name '__consumer_offsets-*')" .log)" --offsets-decoder
contains offsets_log_is_decoded "$(cat "$work/dump")" '"group":"dumped","topic":"dumped-plain","partition":0'
judge transaction_log "$(files "$(find . -maxdepth 1 -name '__transaction_state-*')" .log)" --transaction-log-decoder
contains transaction_log_is_decoded "$(cat "$work/dump")" '"transactionalId":"dumped-open"'
judge metadata_log "$(files ./__cluster_metadata-0 .log)" --cluster-metadata-decoder
contains metadata_log_is_decoded "$(cat "$work/dump")" '"type":"TOPIC_RECORD","version":0,"data":{"name":"dumped-plain"'

# Ours, line by line.
alike() {
  local name=$1 list=$2; shift 2
  dump --files "$list" "$@"
  "$anabranch" dump-log --files "$list" "$@" > "$work/ours" 2>&1
  if cmp -s "$work/dump" "$work/ours"; then echo "ok $name"; else echo "not ok $name: $(diff "$work/dump" "$work/ours" | head -n 4 | tr '\n' ' ')"; fi
}
alike ours_says_the_same_of_batches "$(files "$plain" .log)"
alike ours_says_the_same_of_records "$(files "./dumped-plain-0 ./dumped-compressed-0 ./dumped-compacted-0" .log)" --print-data-log
for kind in index timeindex txnindex snapshot; do alike "ours_says_the_same_of_each_$kind" "$(files "$plain" ".$kind")"; done
alike ours_finds_indexes_sane "$(files "$plain" .index),$(files "$plain" .timeindex)" --index-sanity-check
alike ours_verifies_indexes "$(files "$plain" .index),$(files "$plain" .timeindex)" --verify-index-only
alike ours_decodes_the_offsets_log "$(files "$(find . -maxdepth 1 -name '__consumer_offsets-*')" .log)" --offsets-decoder
alike ours_decodes_the_transaction_log "$(files "$(find . -maxdepth 1 -name '__transaction_state-*')" .log)" --transaction-log-decoder
alike ours_decodes_the_metadata_log "$(files ./__cluster_metadata-0 .log)" --cluster-metadata-decoder

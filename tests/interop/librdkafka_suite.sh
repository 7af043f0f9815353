#!/usr/bin/env bash
# librdkafka's own tests, as they come with the crate rdkafka-sys: librdkafka_suite.sh BOOTSTRAP WORK ANABRANCH. Needs cargo, a C
# and a C++ compiler and make. The library is the one that the suite rdkafka has built, so only its tests are compiled here.
# The quick ones that no clock decides; with ANABRANCH_FULL=1 all, for which the broker must make topics of four partitions.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bootstrap=$1
work=$2/librdkafka
anabranch=$3

# A test, or `TEST:SUBTEST` for those of its parts whose names hold that. Most run in librdkafka's quick mode; where that would
# leave out all there is, a + behind the name runs it whole.
fast="0001 0002 0003 0005 0008 0012 0013 0017 0022 0029 0030 0031 0036 0039 0041 0044 0048 0052 0054 0056 0064 0070 0073 0085 0099
0130 0140 0113:k_add_partition+ 0081:do_test_CreateTopics 0081:do_test_DeleteTopics 0081:do_test_CreatePartitions
0081:do_test_IncrementalAlterConfigs 0081:do_test_DeleteRecords 0081:do_test_DeleteGroups 0081:do_test_ListOffsets
0081:do_test_DescribeCluster 0103:do_test_consumer_producer_txn 0103:do_test_fenced_txn 0103:do_test_wmark_isolation_level"
slow="0007 0011 0014 0015 0016 0018+ 0019+ 0020 0021 0026+ 0033 0034 0035 0038 0040 0042 0045+ 0049 0050+ 0051 0055+ 0057 0059 0060 0061+
0063 0065 0067 0068 0069 0075 0076 0081:do_test_AlterConsumerGroupOffsets 0081:do_test_DescribeConsumerGroups 0081:do_test_DescribeTopics
0081:do_test_ListConsumerGroups 0083 0084 0086 0088 0089+ 0090 0091 0093 0094 0102+ 0103:do_test_basic_producer_txn 0103:do_test_empty_txn 0112 0113
0113:b_subscribe_with_cb_test+ 0114 0118 0122+ 0123 0125 0127+ 0132+ 0137+"
# Not run, and why.
skipped() {
  cat <<'S'
0000 0004 0006 0009 0025 0037 0043 0046 0058 0062 0066 0072 0074 0078-0080 0095 0097 0100 0104-0106 0115-0117 0119-0121 0124 0126 0128 0131 0133-0136 0138 0139 0142-0152 test librdkafka by itself, or against its mock broker
0028 0047 known to fail in librdkafka
0053 0098 0110 need RapidJSON
0081 but the parts named above, and 0109 need an authorizer
0082 not in quick mode
0092 writes the old message format
0101 needs three brokers
0107 0111 need a broker that makes no topics by itself
0077 0129 ask for segments of 10,000 and 20,000 bytes, which Kafka 4 refuses as well
0153 is about the new groups (KIP-848)
S
}

build() {
  local library
  library=$(cargo build -q --message-format=json --manifest-path "$here/rust/Cargo.toml" --target-dir "$work/../rust" --features rdkafka --bin rdkafka_suite \
    | sed -n 's/.*rdkafka-sys.*"out_dir":"\([^"]*\)".*/\1/p')
  [ -n "$library" ] || return
  # Its transactions ask for three replicas, and need one. Tests are not worth optimising.
  sed -i 's/, 3, 5000);/, 1, 5000);/' "$library/tests/0103-transactions.c"
  make -C "$library/tests" -j2 CPPFLAGS="-O0 -fPIC -w -I../src -I../../src" test-runner && ln -sfn "$library" "$work/library"
}
mkdir -p "$work/kafka/bin"
if [ ! -x "$work/library/tests/test-runner" ] && ! build > "$work.build" 2>&1; then
  echo "SKIPPED librdkafka: the crate cannot be fetched or built here, see target/interop/librdkafka.build"; exit 0
fi

# What one test needs besides. All wait longer than they would, for a machine that is busy.
settings() {
  echo "bootstrap.servers=$bootstrap"
  echo "test.timeout.multiplier=4"
  case $1 in
    # It seeks again and again. Whenever its thread finds the queue of the last fetch full at that moment, librdkafka waits
    # for a second, whatever the broker does; ten such seconds are too long for the quick mode.
    0059) echo "fetch.queue.backoff.ms=10" ;;
  esac
}
# Some call Kafka's tool of topics; ours takes the same flags.
printf '#!/bin/sh\nexec "%s" topics "$@"\n' "$anabranch" > "$work/kafka/bin/kafka-topics.sh"
chmod +x "$work/kafka/bin/kafka-topics.sh"
cd "$work/library/tests" || exit 1
export KAFKA_PATH=$work/kafka BROKERS=$bootstrap
export LD_LIBRARY_PATH=../src:../src-cpp TEST_KAFKA_VERSION=4.3.1 RDKAFKA_TEST_CONF=$work/test.conf
# Only what needs a broker (-L). Passing is not enough: the runner also passes what it has left out.
run() {
  local entry=${1%+} quick=-Q part= name
  [ "$entry" = "$1" ] || quick=
  local test=${entry%%:*}
  local ran="Test ${test}_.* PASSED"
  case $entry in *:*) part=${entry#*:} ran=': PASS (' ;; esac
  name="$test${part:+ $part}"
  settings "$test" > "$work/test.conf"
  if TESTS=$test SUBTESTS=$part timeout 300 ./test-runner $quick -L -p1 > "$work/$entry.log" 2>&1 && grep -aq "$ran" "$work/$entry.log"; then echo "ok $name"
  else echo "not ok $name: see target/interop/librdkafka/$entry.log"; fi
}
for entry in $fast; do run "$entry"; done
if [ "${ANABRANCH_FULL:-}" = 1 ]; then for entry in $slow; do run "$entry"; done
else echo $slow "take longer or count on time, so with ANABRANCH_FULL=1 only" | sed 's/+//g; s/^/SKIPPED librdkafka: /'; fi
rm -f stats_*.json
skipped | sed 's/^/SKIPPED librdkafka: /'

#!/usr/bin/env bash
# librdkafka's own tests, as they come with the crate rdkafka-sys: librdkafka_suite.sh BOOTSTRAP WORK JARS. Needs cargo, a C and
# C++ compiler and make; some call Kafka's tools, from the jars. The broker must make topics of four partitions.
set -uo pipefail
bootstrap=$1
work=$2/librdkafka
jars=$3
version=4.10.0+2.12.1

# Not run, and why.
skipped() {
  cat <<'X'
0000 0004 0006 0009 0025 0037 0043 0046 0058 0062 0066 0072 0074 0078-0080 0095 0097 0100 0104-0106 0115-0117 0119-0121 0124 0126 0128 0131 0133-0136 0138 0139 0142-0152 test librdkafka by itself, or against its mock broker
0047 known to fail in librdkafka
0053 0098 0110 need RapidJSON
0081 0109 need an authorizer
0082 not in quick mode
0092 writes the old message format
0101 0103 need three brokers
0077 0129 ask for segments of 10,000 and 20,000 bytes, which Kafka 4 refuses as well
0153 is about the new groups (KIP-848)
X
}
tests="0001 0002 0003 0005 0007 0008 0011 0012 0013 0014 0015 0016 0017 0018 0019 0020 0021 0022 0026 0028 0029 0030 0031 0033 0034
0035 0036 0038 0039 0040 0041 0042 0044 0045 0048 0049 0050 0051 0052 0054 0055 0056 0057 0059 0060 0061 0063 0064 0065 0067 0068 0069
0070 0073 0075 0076 0083 0084 0085 0086 0088 0089 0090 0091 0093 0094 0099 0102 0107 0111 0112 0113 0114 0118 0122 0123 0125 0127 0130 0132
0137 0140"

if [ ! -x "$work/lib/tests/test-runner" ]; then
  mkdir -p "$work/src"
  printf '[package]\nname = "fetch"\nversion = "0.1.0"\nedition = "2024"\n[dependencies]\nrdkafka-sys = "=%s"\n[workspace]\n' "$version" > "$work/Cargo.toml"
  : > "$work/src/lib.rs"
  cargo fetch -q --manifest-path "$work/Cargo.toml" || { echo "not ok librdkafka: its crate cannot be fetched"; exit 1; }
  found=$(ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/rdkafka-sys-"$version"/librdkafka | head -n 1)
  cp -r "$found" "$work/lib" && chmod -R u+w "$work/lib"
  (cd "$work/lib" && ./configure --disable-gssapi --disable-sasl && make -j2 libs && make -C tests -j2 build) > "$work/build.log" 2>&1 \
    || { echo "not ok librdkafka: it cannot be built, see $work/build.log"; exit 1; }
fi
cd "$work/lib/tests" || exit 1
# What one test needs besides.
settings() {
  echo "bootstrap.servers=$bootstrap"
  case $1 in
    # It seeks again and again. Whenever its thread finds the queue of the last fetch full at that moment, librdkafka waits
    # for a second, whatever the broker does; ten such seconds are too long for the quick mode.
    0059) echo "fetch.queue.backoff.ms=10" ;;
  esac
}
# What they call of Kafka's own.
mkdir -p "$work/kafka/bin"
printf '#!/bin/sh\nexec java -cp "%s/*" org.apache.kafka.tools.TopicCommand "$@"\n' "$jars" > "$work/kafka/bin/kafka-topics.sh"
chmod +x "$work/kafka/bin/kafka-topics.sh"
export KAFKA_PATH=$work/kafka BROKERS=$bootstrap
export LD_LIBRARY_PATH=../src:../src-cpp TEST_KAFKA_VERSION=4.3.1 RDKAFKA_TEST_CONF=$work/test.conf
for test in $tests; do
  settings "$test" > "$work/test.conf"
  if TESTS=$test timeout 150 ./test-runner -Q -p1 > "$work/$test.log" 2>&1; then echo "ok $test"
  else echo "not ok $test: see target/interop/librdkafka/$test.log"; fi
done
skipped | sed 's/^/SKIPPED librdkafka: /'

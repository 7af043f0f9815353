#!/usr/bin/env bash
# franz-go's tests of groups and transactions, from its Go module: franz_suite.sh BOOTSTRAP WORK. Needs Go. Each copies records
# from topic to topic three times over, with consumers that come and go: 20,000 of them, and 500,000 with ANABRANCH_FULL=1.
set -uo pipefail
bootstrap=$1
work=$2/franz
version=v1.22.3
build() {
  mkdir -p "$work" && cd "$work" && rm -rf sources || return
  printf 'module fetch\n\ngo 1.24\n' > go.mod
  go mod download "github.com/twmb/franz-go@$version" || return
  cp -r "$(go env GOMODCACHE)/github.com/twmb/franz-go@$version" sources && chmod -R u+w sources || return
  (cd sources && go test -c -o "$work/kgo.test" ./pkg/kgo)
}
if [ ! -x "$work/kgo.test" ] && ! build > "$work.build" 2>&1; then
  echo "SKIPPED franz: its module cannot be fetched or built here, see target/interop/franz.build"; exit 0
fi
cd "$work" || exit 1
records=20000; [ "${ANABRANCH_FULL:-}" != 1 ] || records=500000
KGO_SEEDS=$bootstrap KGO_TEST_RF=1 KGO_TEST_RECORDS=${KGO_TEST_RECORDS:-$records} ./kgo.test -test.v -test.timeout 280s -test.run 'TestGroupETL|TestTxnEtl' \
  | sed -n 's/^ *--- PASS: \([^ ]*\) .*/ok \1/p; s/^ *--- FAIL: \([^ ]*\) .*/not ok \1: see the output/p; s/^ *--- SKIP: \([^ ]*\) .*/SKIPPED franz: \1 is about the new groups (KIP-848)/p'

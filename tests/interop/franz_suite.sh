#!/usr/bin/env bash
# franz-go's tests of groups and transactions, from its Go module: franz_suite.sh BOOTSTRAP WORK. Needs Go.
set -uo pipefail
bootstrap=$1
work=$2/franz
version=v1.22.3
if [ ! -x "$work/kgo.test" ]; then
  mkdir -p "$work" && cd "$work" || exit 1
  printf 'module fetch\n\ngo 1.24\n' > go.mod
  go mod download "github.com/twmb/franz-go@$version" || { echo "not ok franz: its module cannot be fetched"; exit 1; }
  cp -r "$(go env GOMODCACHE)/github.com/twmb/franz-go@$version" sources && chmod -R u+w sources
  (cd sources && go test -c -o "$work/kgo.test" ./pkg/kgo) || { echo "not ok franz: it cannot be built"; exit 1; }
fi
cd "$work" || exit 1
KGO_SEEDS=$bootstrap KGO_TEST_RF=1 KGO_TEST_RECORDS=${KGO_TEST_RECORDS:-500000} ./kgo.test -test.v -test.timeout 280s -test.run 'TestGroupETL|TestTxnEtl' \
  | sed -n 's/^ *--- PASS: \([^ ]*\) .*/ok \1/p; s/^ *--- FAIL: \([^ ]*\) .*/not ok \1: see the output/p; s/^ *--- SKIP: \([^ ]*\) .*/SKIPPED franz: \1 is about the new groups (KIP-848)/p'

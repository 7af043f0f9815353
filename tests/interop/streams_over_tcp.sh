#!/usr/bin/env bash
# The applications' integration tests, against a server that runs already: `streams_over_tcp.sh HOST:PORT`. Those tests run on
# a broker in their process otherwise. The server's own clock, disk and scheduling are then in play, and its TCP.
set -uo pipefail
cd "$(dirname "$0")/../.."
# Two cores are shared with the server: few tests at a time keep its timeouts out of them.
ANABRANCH_KAFKA=$1 cargo test -q -p anabranch-tests --test integration -- --test-threads 4 --format pretty streams:: 2>&1 |
  tee /dev/stderr | sed -n 's/^test \(.*\) \.\.\. ok$/ok \1/p; s/^test \(.*\) \.\.\. FAILED$/not ok \1: failed/p'
exit "${PIPESTATUS[0]}"

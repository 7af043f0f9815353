#!/usr/bin/env bash
# kafka-python's own integration tests, from its source distribution: kafka_python_tests.sh BOOTSTRAP WORK. The broker must make
# topics of four partitions, be node 0 and take short sessions (group.min.session.timeout.ms=1000).
set -uo pipefail
bootstrap=$1
work=$2
version=3.0.12
sources=$work/kafka_python-$version
python=$work/venv/bin/python
if [ ! -d "$sources" ]; then
  "$python" -m pip install -q --disable-pip-version-check pytest pytest-timeout py
  "$python" -m pip download -q --disable-pip-version-check --no-deps --no-binary :all: "kafka-python==$version" -d "$work" >/dev/null
  tar -xf "$work/kafka_python-$version.tar.gz" -C "$work"
  : > "$sources/test/__init__.py"
  # Its starter of brokers is not in the distribution; for a broker that runs, this much of it is used.
  printf 'class ExternalService:\n    def __init__(self, host, port):\n        self.host, self.port = host, port\n\n    def open(self):\n        pass\n\n    def stop(self):\n        pass\n\n\nclass SpawnedService:\n    pass\n' > "$sources/test/service.py"
fi
# A race of the client's own: who subscribes while the first answer about metadata is on its way hears of no topic until it
# asks again, five minutes later. It asks each second here.
printf 'from kafka import KafkaConsumer\n\nKafkaConsumer.DEFAULT_CONFIG["metadata_max_age_ms"] = 1000\n' > "$sources/ask_again.py"
cd "$sources" || exit 1
# Without an authorizer there are no ACLs; the address advertised is that of the flag, not of a file.
PYTHONPATH=. KAFKA_ROOT=/tmp KAFKA_VERSION=4.3.1 KAFKA_URI=kafka://$bootstrap "$python" -m pytest test/integration -v --timeout 90 -p no:logging -p ask_again \
  --ignore test/integration/test_sasl_integration.py --ignore test/integration/test_ssl_integration.py \
  --deselect test/integration/test_admin_integration.py::test_create_describe_delete_acls \
  --deselect test/integration/test_admin_integration.py::test_describe_configs_broker_resource_returns_configs \
  | tee "$work/kafka_python_own.log" | sed -n 's/^.*::\([^ ]*\) PASSED.*/ok \1/p; s/^.*::\([^ ]*\) \(FAILED\|ERROR\).*/not ok \1: see kafka_python_own.log/p'

//! Which of Kafka Streams' configuration keys are applied, and what becomes of the others.

/// Keys that this version applies.
pub(super) const KNOWN: &[&str] = &[
    "acceptable.recovery.lag",
    "buffered.records.per.partition",
    "client.id",
    "commit.interval.ms",
    "ensure.explicit.internal.resource.naming",
    "errors.dead.letter.queue.topic.name",
    "application.server",
    "input.buffer.max.bytes",
    "max.task.idle.ms",
    "max.warmup.replicas",
    "num.standby.replicas",
    "num.stream.threads",
    "poll.ms",
    "probing.rebalance.interval.ms",
    "processing.guarantee",
    "rack.aware.assignment.tags",
    "repartition.purge.interval.ms",
    "replication.factor",
    "state.cleanup.delay.ms",
    "state.dir",
    "statestore.cache.max.bytes",
    "statestore.memory.max.bytes",
    "statestore.uncommitted.max.bytes",
    "task.timeout.ms",
    "windowstore.changelog.additional.retention.ms",
];

const SERDE: &str = "a type names its serde: `impl Data for T { type Serde = .. }`";
const JAVA_CLASS: &str = "it is a Java class";
const METRICS: &str = "`RunningStreams::metrics` has counters, of which Prometheus makes rates over any time";
const CODECS: &str = "codecs work at their default level";
const SYSTEM: &str = "the operating system's default is used";
const RACKS: &str =
    "tasks are not placed by the racks of brokers; `rack.aware.assignment.tags` places standbys";

/// Keys of Kafka Streams that do not apply, and what to do instead.
pub(super) const ELSEWHERE: &[(&str, &str)] = &[
    ("application.id", "it is the first argument of `Streams::new`"),
    ("bootstrap.servers", "use `Streams::bootstrap_server`"),
    ("cache.max.bytes.buffering", "it is called `statestore.cache.max.bytes`"),
    ("default.key.serde", SERDE),
    ("default.value.serde", SERDE),
    ("default.list.key.serde.inner", SERDE),
    ("default.list.key.serde.type", SERDE),
    ("default.list.value.serde.inner", SERDE),
    ("default.list.value.serde.type", SERDE),
    ("windowed.inner.class.serde", SERDE),
    ("window.size.ms", SERDE),
    ("deserialization.exception.handler", "use `Streams::on_deserialization_error`"),
    ("default.deserialization.exception.handler", "use `Streams::on_deserialization_error`"),
    ("processing.exception.handler", "use `Streams::on_processing_error`"),
    ("production.exception.handler", "use `Streams::on_production_error`"),
    ("default.production.exception.handler", "use `Streams::on_production_error`"),
    ("default.timestamp.extractor", "use `Topic::consumed().timestamp_extractor(..)`"),
    ("topology.optimization", "use `StreamsBuilder::build_with(Optimization::ALL)`"),
    ("dsl.store.suppliers.class", "use `Store::in_memory` or `Store::persistent`"),
    ("default.dsl.store", "use `Store::in_memory` or `Store::persistent`"),
    ("rocksdb.config.setter", "the store engine is not RocksDB"),
    ("default.client.supplier", JAVA_CLASS),
    ("processor.wrapper.class", JAVA_CLASS),
    ("task.assignor.class", JAVA_CLASS),
    ("config.providers", "it is a list of Java classes"),
    ("interceptor.classes", "it is a list of Java classes"),
    ("metric.reporters", "it is a list of Java classes"),
    ("metrics.num.samples", METRICS),
    ("metrics.sample.window.ms", METRICS),
    ("log.summary.interval.ms", METRICS),
    ("rack.aware.assignment.traffic_cost", RACKS),
    ("rack.aware.assignment.non_overlap_cost", RACKS),
    ("receive.buffer.bytes", SYSTEM),
    ("send.buffer.bytes", SYSTEM),
    ("connections.max.idle.ms", "a connection is kept as long as the broker keeps it"),
    (
        "metadata.recovery.rebootstrap.trigger.ms",
        "a broker that does not answer is left for the next at once",
    ),
    ("upgrade.from", "instances of Kafka Streams and of this library are never in one group at a time"),
    ("key.serializer", SERDE),
    ("value.serializer", SERDE),
    ("key.deserializer", SERDE),
    ("value.deserializer", SERDE),
    ("partitioner.class", "use `Topic::produced().partitioner(..)`"),
    ("partition.assignment.strategy", "tasks are assigned by an assignor of this library"),
    ("group.remote.assignor", "tasks are assigned by an assignor of this library"),
    ("client.dns.lookup", SYSTEM),
    ("socket.connection.setup.timeout.max.ms", "`socket.connection.setup.timeout.ms` does not grow"),
    ("compression.gzip.level", CODECS),
    ("compression.lz4.level", CODECS),
    ("compression.zstd.level", CODECS),
    ("group.id", "it is the application id"),
    ("enable.auto.commit", "offsets are committed with the state that reflects them"),
    ("isolation.level", "it follows from `processing.guarantee`"),
    ("transactional.id", "each worker has one of its own"),
    (
        "__iq.consistency.offset.vector.enabled__",
        "positions are always known and need no headers in changelogs: see `Position`",
    ),
];

/// Keys of Kafka Streams with the one value that says what is done here anyway, and why there is no other.
pub(super) const SETTLED: &[(&str, &str, &str)] = &[
    ("allow.os.group.write.access", "false", "the process's umask decides"),
    ("built.in.metrics.version", "latest", "there is one version"),
    ("check.crcs", "true", "a damaged record is never processed"),
    ("exclude.internal.topics", "true", "patterns match topics of users"),
    ("partitioner.ignore.keys", "false", "records of a key stay together, or tables would be wrong"),
    ("restore.consumer.auto.offset.reset", "none", "a changelog that was cut off is restored from its start"),
    ("transaction.two.phase.commit.enable", "false", "transactions end with their commits"),
    ("dsl.store.format", "DEFAULT", "headers are kept with each row anyway"),
    ("enable.metrics.push", "false", METRICS),
    ("group.protocol", "classic", "the protocol `streams` is not there yet"),
    (
        "metadata.recovery.strategy",
        "rebootstrap",
        "brokers that are known are asked again, then the first ones",
    ),
    ("metrics.recording.level", "INFO", "all that is counted is counted always"),
    (
        "processing.exception.handler.global.enabled",
        "false",
        "global tables are read without processors of users",
    ),
    ("rack.aware.assignment.strategy", "none", RACKS),
    ("state.cleanup.dir.max.age.ms", "-1", "`state.cleanup.delay.ms` removes what is of no use"),
];

/// Keys that are taken, since programs have them, and change nothing: why. Whoever sets one is told in the log.
pub(super) const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("auto.commit.interval.ms", "`commit.interval.ms` says how often is committed"),
    ("linger.ms", "batches go out when no more input is at hand, when they are full, and at a commit"),
    (
        "max.poll.records",
        "whole batches are fetched; `buffered.records.per.partition` and `input.buffer.max.bytes` bound what waits",
    ),
    ("partitioner.adaptive.partitioning.enable", "records without a key go to one partition a batch"),
    ("partitioner.availability.timeout.ms", "records without a key go to one partition a batch"),
];

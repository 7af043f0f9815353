//! The keys of a broker: Kafka 4.3's names, kinds and defaults, and what those do that have an effect here.
//!
//! [`BROKER_KEYS`] is what `server.properties` may hold and what DescribeConfigs of a broker shows. A key is looked up
//! once at the start, so the table is a plain list in groups that belong together. `flush`,
//! `metrics.listener` and `socket.request.timeout.ms` are our own.

use super::key::ConfigKind::{Boolean, Class, Double, Int, List, Long, Password, Short, String};
use super::key::{ConfigKey, Valid};

/// What `compression.type` may be.
pub(super) const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

/// All keys of a broker.
pub const BROKER_KEYS: &[ConfigKey] = &[
    // What an acknowledgement means
    ConfigKey::new("flush", String, Some("commit"))
        .valid(Valid::OneOf(&["commit", "os"]))
        .doc("commit: an acknowledged record survives a power cut; os: as Kafka does, it may not."),
    // The node and its listeners
    ConfigKey::new("advertised.listeners", List, None)
        .doc("The addresses that clients are told to connect to, if not those of listeners."),
    ConfigKey::new("broker.heartbeat.interval.ms", Int, Some("2000")),
    ConfigKey::new("broker.id", Int, Some("-1")).doc("The old name of node.id."),
    ConfigKey::new("broker.rack", String, None).doc("The rack of this broker, as Metadata shows it."),
    ConfigKey::new("broker.session.timeout.ms", Int, Some("9000")),
    ConfigKey::new("controlled.shutdown.enable", Boolean, Some("true")),
    ConfigKey::new("controller.listener.names", List, None)
        .doc("Listeners for controllers; a single node needs none and does not open them."),
    ConfigKey::new("controller.quorum.append.linger.ms", Int, Some("25")).at_least(0),
    ConfigKey::new("controller.quorum.auto.join.enable", Boolean, Some("false")).valid(Valid::OnlyDefault),
    ConfigKey::new("controller.quorum.bootstrap.servers", List, Some("")),
    ConfigKey::new("controller.quorum.election.backoff.max.ms", Int, Some("1000")).at_least(0),
    ConfigKey::new("controller.quorum.election.timeout.ms", Int, Some("1000")).at_least(0),
    ConfigKey::new("controller.quorum.fetch.max.bytes", Int, Some("1048576")).at_least(1),
    ConfigKey::new("controller.quorum.fetch.snapshot.max.bytes", Int, Some("1048576")).at_least(1),
    ConfigKey::new("controller.quorum.fetch.timeout.ms", Int, Some("2000")).at_least(0),
    ConfigKey::new("controller.quorum.request.timeout.ms", Int, Some("2000")).at_least(0),
    ConfigKey::new("controller.quorum.retry.backoff.ms", Int, Some("20")).at_least(0),
    ConfigKey::new("controller.quorum.voters", List, Some(""))
        .doc("The controllers as id@host:port; only this node itself can be one."),
    ConfigKey::new("controller.quota.window.num", Int, Some("11")).at_least(1),
    ConfigKey::new("controller.quota.window.size.seconds", Int, Some("1")).at_least(1),
    ConfigKey::new("controller.socket.timeout.ms", Int, Some("30000")),
    ConfigKey::new("early.start.listeners", List, None),
    ConfigKey::new("initial.broker.registration.timeout.ms", Int, Some("60000")),
    ConfigKey::new("inter.broker.listener.name", String, None),
    ConfigKey::new(
        "listener.security.protocol.map",
        String,
        Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"),
    )
    .dynamic()
    .doc("The security protocol of each listener name; only PLAINTEXT is there."),
    ConfigKey::new("listeners", List, Some("PLAINTEXT://:9092"))
        .dynamic()
        .doc("Where the broker listens: PLAINTEXT://host:port."),
    ConfigKey::new("node.id", Int, None).at_least(0).doc("The number of this broker."),
    ConfigKey::new("process.roles", List, None)
        .valid(Valid::ListOf(&["broker", "controller"]))
        .doc("broker, controller or both; a single node is both in any case."),
    // Sockets, connections and requests
    ConfigKey::new("background.threads", Int, Some("10")).at_least(1).dynamic(),
    ConfigKey::new("connection.failed.authentication.delay.ms", Int, Some("100")).at_least(0),
    ConfigKey::new("connections.max.idle.ms", Long, Some("600000"))
        .at_least(-1)
        .doc("A connection on which nothing happens for so long is closed."),
    ConfigKey::new("connections.max.reauth.ms", Long, Some("0")),
    ConfigKey::new("fetch.max.bytes", Int, Some("57671680"))
        .at_least(1024)
        .doc("The most bytes of records a fetch is answered with, whatever it asks for."),
    ConfigKey::new("fetch.purgatory.purge.interval.requests", Int, Some("1000")),
    ConfigKey::new("max.connection.creation.rate", Int, Some("2147483647"))
        .at_least(1)
        .dynamic()
        .doc("The most connections in a second; those over it wait to be accepted."),
    ConfigKey::new("max.connections", Int, Some("2147483647"))
        .at_least(0)
        .dynamic()
        .doc("The most connections at one time; more are closed at once."),
    ConfigKey::new("max.connections.per.ip", Int, Some("2147483647"))
        .at_least(0)
        .dynamic()
        .doc("The most connections of one address at one time; more are closed at once."),
    ConfigKey::new("max.connections.per.ip.overrides", String, Some(""))
        .dynamic()
        .doc("Other limits for some addresses: address:limit,..."),
    ConfigKey::new("max.incremental.fetch.session.cache.slots", Int, Some("1000"))
        .at_least(0)
        .doc("The most incremental fetch sessions; more are answered without one."),
    ConfigKey::new("max.request.partition.size.limit", Int, Some("2000")).at_least(1),
    ConfigKey::new("num.io.threads", Int, Some("8"))
        .at_least(1)
        .dynamic()
        .doc("Worker threads of the broker from its start on; at most as many as there are processors."),
    ConfigKey::new("num.network.threads", Int, Some("3")).at_least(1).dynamic(),
    ConfigKey::new("num.recovery.threads.per.data.dir", Int, Some("2")).at_least(1).dynamic(),
    ConfigKey::new("num.replica.alter.log.dirs.threads", Int, None),
    ConfigKey::new("num.replica.fetchers", Int, Some("1")).at_least(1).dynamic(),
    ConfigKey::new("queued.max.request.bytes", Long, Some("-1"))
        .at_least(-1)
        .doc("Bytes of requests that arrive or wait for their answers, of all connections; -1: 32 MiB."),
    ConfigKey::new("queued.max.requests", Int, Some("500"))
        .at_least(1)
        .doc("Requests of one connection that wait for their answers; more are not read."),
    ConfigKey::new("request.timeout.ms", Int, Some("30000")),
    ConfigKey::new("socket.connection.setup.timeout.max.ms", Long, Some("30000")),
    ConfigKey::new("socket.connection.setup.timeout.ms", Long, Some("10000")),
    ConfigKey::new("socket.listen.backlog.size", Int, Some("50")).at_least(1),
    ConfigKey::new("socket.receive.buffer.bytes", Int, Some("102400")),
    ConfigKey::new("socket.request.max.bytes", Int, Some("104857600"))
        .at_least(1)
        .doc("The largest request; a larger one closes the connection."),
    ConfigKey::new("socket.request.timeout.ms", Int, Some("30000")).at_least(1).doc(
        "How long a request may take to arrive once its first byte is there, and a second more for each MiB; \
         a slower one closes the connection.",
    ),
    ConfigKey::new("socket.send.buffer.bytes", Int, Some("102400")),
    // Topics and logs
    ConfigKey::new("alter.config.policy.class.name", Class, None).valid(Valid::OnlyDefault),
    ConfigKey::new("alter.log.dirs.replication.quota.window.num", Int, Some("11")).at_least(1),
    ConfigKey::new("alter.log.dirs.replication.quota.window.size.seconds", Int, Some("1")).at_least(1),
    ConfigKey::new("auto.create.topics.enable", Boolean, Some("true"))
        .doc("Whether a topic that a client asks for is created when it is not there."),
    ConfigKey::new("auto.leader.rebalance.enable", Boolean, Some("true")),
    ConfigKey::new("compression.gzip.level", Int, Some("-1"))
        .valid(Valid::BetweenOr(1, 9, -1))
        .dynamic()
        .doc("The level of gzip where batches are stored in it and came otherwise."),
    ConfigKey::new("compression.lz4.level", Int, Some("9"))
        .valid(Valid::Between(1, 17))
        .dynamic()
        .doc("The level of lz4 where batches are stored in it and came otherwise."),
    ConfigKey::new("compression.type", String, Some("producer"))
        .valid(Valid::OneOf(COMPRESSION_TYPES))
        .dynamic()
        .doc("The codec batches are stored in; producer keeps what the producer chose."),
    ConfigKey::new("compression.zstd.level", Int, Some("3"))
        .valid(Valid::Between(-131_072, 22))
        .dynamic()
        .doc("The level of zstd where batches are stored in it and came otherwise."),
    ConfigKey::new("cordoned.log.dirs", List, Some("")).valid(Valid::OnlyDefault).dynamic(),
    ConfigKey::new("create.topic.policy.class.name", Class, None).valid(Valid::OnlyDefault),
    ConfigKey::new("default.replication.factor", Int, Some("1"))
        .at_least(1)
        .doc("Replicas of a topic created without a number; at most as many as there are brokers."),
    ConfigKey::new("delete.records.purgatory.purge.interval.requests", Int, Some("1")),
    ConfigKey::new("delete.topic.enable", Boolean, Some("true")).doc("Whether topics may be deleted."),
    ConfigKey::new("log.cleaner.backoff.ms", Long, Some("15000"))
        .at_least(0)
        .dynamic()
        .doc("How long the log cleaner waits when there is nothing to clean."),
    ConfigKey::new("log.cleaner.dedupe.buffer.size", Long, Some("134217728"))
        .at_least(1024 * 1024)
        .dynamic()
        .doc("The most memory that the log cleaner takes for the keys of a log."),
    ConfigKey::new("log.cleaner.delete.retention.ms", Long, Some("86400000"))
        .at_least(0)
        .dynamic()
        .doc("How long a tombstone of a compacted topic stays."),
    ConfigKey::new("log.cleaner.enable", Boolean, Some("true"))
        .doc("Whether compacted topics are compacted."),
    ConfigKey::new("log.cleaner.io.buffer.load.factor", Double, Some("0.9"))
        .valid(Valid::Fraction(0.1, 1.0))
        .dynamic()
        .doc("The share of log.cleaner.dedupe.buffer.size that is filled."),
    ConfigKey::new("log.cleaner.io.buffer.size", Int, Some("524288")).at_least(0).dynamic(),
    ConfigKey::new("log.cleaner.io.max.bytes.per.second", Double, Some("1.7976931348623157E308"))
        .dynamic()
        .doc("Bytes that the log cleaner reads and writes in a second, at most."),
    ConfigKey::new("log.cleaner.max.compaction.lag.ms", Long, Some("9223372036854775807"))
        .at_least(1)
        .dynamic()
        .doc("Age at which a record of a compacted topic must be compacted."),
    ConfigKey::new("log.cleaner.min.cleanable.ratio", Double, Some("0.5"))
        .valid(Valid::Fraction(0.0, 1.0))
        .dynamic()
        .doc("The share of a log that must be dirty for it to be compacted."),
    ConfigKey::new("log.cleaner.min.compaction.lag.ms", Long, Some("0"))
        .at_least(0)
        .dynamic()
        .doc("Age before which a record is not compacted."),
    ConfigKey::new("log.cleaner.threads", Int, Some("1")).at_least(0).dynamic(),
    ConfigKey::new("log.cleanup.policy", List, Some("delete"))
        .valid(Valid::ListOf(&["compact", "delete"]))
        .dynamic()
        .doc("What becomes of old records: delete, compact, or both."),
    ConfigKey::new("log.dir", List, Some("/tmp/kafka-logs"))
        .doc("The data directory, if log.dirs does not name it."),
    ConfigKey::new("log.dir.failure.timeout.ms", Long, Some("30000")).at_least(1),
    ConfigKey::new("log.dirs", List, None).doc("The data directory; one."),
    ConfigKey::new("log.flush.interval.messages", Long, Some("9223372036854775807")).at_least(1).dynamic(),
    ConfigKey::new("log.flush.interval.ms", Long, None).dynamic(),
    ConfigKey::new("log.flush.offset.checkpoint.interval.ms", Int, Some("60000")).at_least(0).doc(
        "How often it is written down how far each log is on the disk; a start after a crash reads from \
             there.",
    ),
    ConfigKey::new("log.flush.scheduler.interval.ms", Long, Some("9223372036854775807")),
    ConfigKey::new("log.flush.start.offset.checkpoint.interval.ms", Int, Some("60000")).at_least(0),
    ConfigKey::new("log.index.interval.bytes", Int, Some("4096"))
        .at_least(0)
        .dynamic()
        .doc("Bytes of records between two entries of the offset index."),
    ConfigKey::new("log.index.size.max.bytes", Int, Some("10485760"))
        .at_least(4)
        .dynamic()
        .doc("The size at which an index is full and its segment is closed."),
    ConfigKey::new("log.local.retention.bytes", Long, Some("-2")).at_least(-2).dynamic(),
    ConfigKey::new("log.local.retention.ms", Long, Some("-2")).at_least(-2).dynamic(),
    ConfigKey::new("log.message.timestamp.after.max.ms", Long, Some("3600000"))
        .at_least(0)
        .dynamic()
        .doc("How far a record's timestamp may lie in the future."),
    ConfigKey::new("log.message.timestamp.before.max.ms", Long, Some("9223372036854775807"))
        .at_least(0)
        .dynamic()
        .doc("How far a record's timestamp may lie in the past."),
    ConfigKey::new("log.message.timestamp.type", String, Some("CreateTime"))
        .valid(Valid::OneOf(&["CreateTime", "LogAppendTime"]))
        .dynamic()
        .doc("Whether records carry the time of the producer or of the append."),
    ConfigKey::new("log.preallocate", Boolean, Some("false")).dynamic(),
    ConfigKey::new("log.retention.bytes", Long, Some("-1"))
        .dynamic()
        .doc("Old segments are deleted when a partition is larger than this; -1: never."),
    ConfigKey::new("log.retention.check.interval.ms", Long, Some("300000"))
        .at_least(1)
        .doc("How often old segments are looked for."),
    ConfigKey::new("log.retention.hours", Int, Some("168"))
        .at_least(-1)
        .doc("Age at which segments are deleted, in hours."),
    ConfigKey::new("log.retention.minutes", Int, None)
        .at_least(-1)
        .doc("Age at which segments are deleted, in minutes."),
    ConfigKey::new("log.retention.ms", Long, None)
        .at_least(-1)
        .dynamic()
        .doc("Age at which segments are deleted; -1: never."),
    ConfigKey::new("log.roll.hours", Int, Some("168"))
        .at_least(1)
        .doc("Age at which a segment is closed, in hours."),
    ConfigKey::new("log.roll.jitter.hours", Int, Some("0"))
        .at_least(0)
        .doc("At most so much is taken off log.roll.hours, by chance."),
    ConfigKey::new("log.roll.jitter.ms", Long, None)
        .at_least(0)
        .dynamic()
        .doc("At most so much is taken off log.roll.ms, by chance."),
    ConfigKey::new("log.roll.ms", Long, None).at_least(1).dynamic().doc("Age at which a segment is closed."),
    ConfigKey::new("log.segment.bytes", Int, Some("1073741824"))
        .at_least(1024 * 1024)
        .dynamic()
        .doc("Size at which a segment is closed."),
    ConfigKey::new("log.segment.delete.delay.ms", Long, Some("60000"))
        .at_least(0)
        .dynamic()
        .doc("How long the file of a deleted segment stays."),
    ConfigKey::new("message.max.bytes", Int, Some("1048588"))
        .at_least(0)
        .dynamic()
        .doc("The largest batch of records taken."),
    ConfigKey::new("metadata.log.dir", String, None),
    ConfigKey::new("metadata.log.max.record.bytes.between.snapshots", Long, Some("20971520"))
        .at_least(1)
        .doc("Bytes of the metadata log after which a snapshot is taken (with flush=commit)."),
    ConfigKey::new("metadata.log.max.snapshot.interval.ms", Long, Some("3600000"))
        .at_least(0)
        .doc("How long after a snapshot of the metadata the next is taken, if anything has changed; 0: however long."),
    ConfigKey::new("metadata.log.segment.bytes", Int, Some("1073741824")).at_least(8_388_608),
    ConfigKey::new("metadata.log.segment.ms", Long, Some("604800000")),
    ConfigKey::new("metadata.max.idle.interval.ms", Int, Some("500")).at_least(0),
    ConfigKey::new("metadata.max.retention.bytes", Long, Some("104857600"))
        .doc("Bytes of metadata log and snapshots that are kept; the newest snapshot always is."),
    ConfigKey::new("metadata.max.retention.ms", Long, Some("604800000"))
        .doc("How long snapshots of the metadata are kept, and the log behind them; the newest always is."),
    ConfigKey::new("min.insync.replicas", Int, Some("1"))
        .at_least(1)
        .dynamic()
        .doc("In-sync replicas below which acks=all is refused."),
    ConfigKey::new("num.partitions", Int, Some("1"))
        .at_least(1)
        .doc("Partitions of a topic created without a number."),
    ConfigKey::new("unclean.leader.election.enable", Boolean, Some("false")).dynamic(),
    // Groups and their offsets
    ConfigKey::new("group.consumer.assignment.interval.ms", Int, Some("1000")).at_least(0).dynamic(),
    ConfigKey::new("group.consumer.assignors", List, Some("uniform,range")),
    ConfigKey::new("group.consumer.heartbeat.interval.ms", Int, Some("5000")).at_least(1),
    ConfigKey::new("group.consumer.max.assignment.interval.ms", Int, Some("15000")).at_least(0),
    ConfigKey::new("group.consumer.max.heartbeat.interval.ms", Int, Some("15000")).at_least(1),
    ConfigKey::new("group.consumer.max.session.timeout.ms", Int, Some("60000")).at_least(1),
    ConfigKey::new("group.consumer.max.size", Int, Some("2147483647")).at_least(1),
    ConfigKey::new("group.consumer.migration.policy", String, Some("bidirectional"))
        .valid(Valid::OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"])),
    ConfigKey::new("group.consumer.min.assignment.interval.ms", Int, Some("0")).at_least(0),
    ConfigKey::new("group.consumer.min.heartbeat.interval.ms", Int, Some("5000")).at_least(1),
    ConfigKey::new("group.consumer.min.session.timeout.ms", Int, Some("45000")).at_least(1),
    ConfigKey::new("group.consumer.session.timeout.ms", Int, Some("45000")).at_least(1),
    ConfigKey::new("group.coordinator.append.linger.ms", Int, Some("-1")).at_least(-1),
    ConfigKey::new("group.coordinator.background.threads", Int, Some("2")).at_least(1),
    ConfigKey::new("group.coordinator.cached.buffer.max.bytes", Int, Some("1048588"))
        .at_least(524_288)
        .dynamic(),
    ConfigKey::new("group.coordinator.rebalance.protocols", List, Some("classic,consumer,streams"))
        .valid(Valid::ListOf(&["consumer", "classic", "share", "streams"])),
    ConfigKey::new("group.coordinator.threads", Int, Some("4")).at_least(1),
    ConfigKey::new("group.initial.rebalance.delay.ms", Int, Some("3000"))
        .at_least(0)
        .doc("How long an empty group waits for more members after the first one joined."),
    ConfigKey::new("group.max.session.timeout.ms", Int, Some("1800000"))
        .at_least(1)
        .doc("The longest session timeout a group member may ask for."),
    ConfigKey::new("group.max.size", Int, Some("2147483647")).at_least(1).doc("The most members of a group."),
    ConfigKey::new("group.min.session.timeout.ms", Int, Some("6000"))
        .at_least(1)
        .doc("The shortest session timeout a group member may ask for."),
    ConfigKey::new("group.share.assignment.interval.ms", Int, Some("1000")).at_least(0).dynamic(),
    ConfigKey::new("group.share.assignors", List, Some("simple")),
    ConfigKey::new("group.share.delivery.count.limit", Int, Some("5")).valid(Valid::Between(2, 10)),
    ConfigKey::new("group.share.heartbeat.interval.ms", Int, Some("5000")).at_least(1),
    ConfigKey::new("group.share.max.assignment.interval.ms", Int, Some("15000")).at_least(0),
    ConfigKey::new("group.share.max.delivery.count.limit", Int, Some("10")).valid(Valid::Between(5, 25)),
    ConfigKey::new("group.share.max.heartbeat.interval.ms", Int, Some("15000")).at_least(1),
    ConfigKey::new("group.share.max.partition.max.record.locks", Int, Some("4000"))
        .valid(Valid::Between(2000, 10_000)),
    ConfigKey::new("group.share.max.record.lock.duration.ms", Int, Some("60000"))
        .valid(Valid::Between(30_000, 3_600_000)),
    ConfigKey::new("group.share.max.session.timeout.ms", Int, Some("60000")).at_least(1),
    ConfigKey::new("group.share.max.share.sessions", Int, Some("2000")).at_least(1),
    ConfigKey::new("group.share.max.size", Int, Some("200")).valid(Valid::Between(1, 1000)),
    ConfigKey::new("group.share.min.assignment.interval.ms", Int, Some("0")).at_least(0),
    ConfigKey::new("group.share.min.delivery.count.limit", Int, Some("2")).valid(Valid::Between(2, 5)),
    ConfigKey::new("group.share.min.heartbeat.interval.ms", Int, Some("5000")).at_least(1),
    ConfigKey::new("group.share.min.partition.max.record.locks", Int, Some("100"))
        .valid(Valid::Between(100, 2000)),
    ConfigKey::new("group.share.min.record.lock.duration.ms", Int, Some("15000"))
        .valid(Valid::Between(1000, 30_000)),
    ConfigKey::new("group.share.min.session.timeout.ms", Int, Some("45000")).at_least(1),
    ConfigKey::new("group.share.partition.max.record.locks", Int, Some("2000"))
        .valid(Valid::Between(100, 10_000)),
    ConfigKey::new("group.share.record.lock.duration.ms", Int, Some("30000"))
        .valid(Valid::Between(1000, 3_600_000)),
    ConfigKey::new("group.share.session.timeout.ms", Int, Some("45000")).at_least(1),
    ConfigKey::new("group.streams.assignment.interval.ms", Int, Some("1000")).at_least(0).dynamic(),
    ConfigKey::new("group.streams.heartbeat.interval.ms", Int, Some("5000")).at_least(1),
    ConfigKey::new("group.streams.initial.rebalance.delay.ms", Int, Some("3000")).at_least(0),
    ConfigKey::new("group.streams.max.assignment.interval.ms", Int, Some("15000")).at_least(0),
    ConfigKey::new("group.streams.max.heartbeat.interval.ms", Int, Some("15000")).at_least(1),
    ConfigKey::new("group.streams.max.session.timeout.ms", Int, Some("60000")).at_least(1),
    ConfigKey::new("group.streams.max.size", Int, Some("2147483647")).at_least(1),
    ConfigKey::new("group.streams.max.standby.replicas", Int, Some("2")).at_least(0),
    ConfigKey::new("group.streams.min.assignment.interval.ms", Int, Some("0")).at_least(0),
    ConfigKey::new("group.streams.min.heartbeat.interval.ms", Int, Some("5000")).at_least(1),
    ConfigKey::new("group.streams.min.session.timeout.ms", Int, Some("45000")).at_least(1),
    ConfigKey::new("group.streams.num.standby.replicas", Int, Some("0")).at_least(0),
    ConfigKey::new("group.streams.session.timeout.ms", Int, Some("45000")).at_least(1),
    ConfigKey::new("offset.metadata.max.bytes", Int, Some("4096"))
        .at_least(0)
        .doc("The longest text that may be committed with an offset."),
    ConfigKey::new("offsets.commit.timeout.ms", Int, Some("5000"))
        .at_least(1)
        .doc("How long the commit of an offset may take."),
    ConfigKey::new("offsets.load.buffer.size", Int, Some("5242880")).at_least(1),
    ConfigKey::new("offsets.retention.check.interval.ms", Long, Some("600000"))
        .at_least(1)
        .doc("How often expired offsets are looked for."),
    ConfigKey::new("offsets.retention.minutes", Int, Some("10080"))
        .at_least(1)
        .doc("How long the offsets of an empty group are kept."),
    ConfigKey::new("offsets.topic.compression.codec", Int, Some("0")).valid(Valid::OnlyDefault),
    ConfigKey::new("offsets.topic.num.partitions", Int, Some("50"))
        .at_least(1)
        .doc("Partitions of __consumer_offsets."),
    ConfigKey::new("offsets.topic.replication.factor", Short, Some("3"))
        .at_least(1)
        .doc("Replicas of __consumer_offsets; at most as many as there are brokers."),
    ConfigKey::new("offsets.topic.segment.bytes", Int, Some("104857600"))
        .at_least(1)
        .doc("Size at which a segment of __consumer_offsets is closed."),
    // Producers and transactions
    ConfigKey::new("add.partitions.to.txn.retry.backoff.max.ms", Int, Some("100")).at_least(0),
    ConfigKey::new("add.partitions.to.txn.retry.backoff.ms", Int, Some("20")).at_least(1),
    ConfigKey::new("producer.id.expiration.ms", Int, Some("86400000"))
        .at_least(1)
        .dynamic()
        .doc("How long the state of an idle idempotent producer is kept."),
    ConfigKey::new("producer.purgatory.purge.interval.requests", Int, Some("1000")),
    ConfigKey::new("transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, Some("10000"))
        .at_least(1)
        .doc("How often transactions whose time is up are looked for, to abort them."),
    ConfigKey::new("transaction.max.timeout.ms", Int, Some("900000"))
        .at_least(1)
        .doc("The longest transaction.timeout.ms a producer may ask for."),
    ConfigKey::new("transaction.partition.verification.enable", Boolean, Some("true")).dynamic(),
    ConfigKey::new("transaction.remove.expired.transaction.cleanup.interval.ms", Int, Some("3600000"))
        .at_least(1)
        .doc("How often transactional ids that nobody uses any more are looked for."),
    ConfigKey::new("transaction.state.log.load.buffer.size", Int, Some("5242880")).at_least(1),
    ConfigKey::new("transaction.state.log.min.isr", Int, Some("2"))
        .at_least(1)
        .doc("min.insync.replicas of __transaction_state; one replica is enough where there is no other."),
    ConfigKey::new("transaction.state.log.num.partitions", Int, Some("50"))
        .at_least(1)
        .doc("Partitions of __transaction_state."),
    ConfigKey::new("transaction.state.log.replication.factor", Short, Some("3")).at_least(1),
    ConfigKey::new("transaction.state.log.segment.bytes", Int, Some("104857600"))
        .at_least(1)
        .doc("Size at which a segment of __transaction_state is closed."),
    ConfigKey::new("transaction.two.phase.commit.enable", Boolean, Some("false")).valid(Valid::OnlyDefault),
    ConfigKey::new("transactional.id.expiration.ms", Int, Some("604800000"))
        .at_least(1)
        .doc("How long a transactional id is kept that nobody uses."),
    // Replication and share groups
    ConfigKey::new("follower.fetch.last.tiered.offset.enable", Boolean, Some("false")).dynamic(),
    ConfigKey::new("leader.imbalance.check.interval.seconds", Long, Some("300")).at_least(1),
    ConfigKey::new("replica.fetch.backoff.ms", Int, Some("1000")).at_least(0),
    ConfigKey::new("replica.fetch.max.bytes", Int, Some("1048576")).at_least(0),
    ConfigKey::new("replica.fetch.min.bytes", Int, Some("1")),
    ConfigKey::new("replica.fetch.response.max.bytes", Int, Some("10485760")).at_least(0),
    ConfigKey::new("replica.fetch.wait.max.ms", Int, Some("500")),
    ConfigKey::new("replica.high.watermark.checkpoint.interval.ms", Long, Some("5000")),
    ConfigKey::new("replica.lag.time.max.ms", Long, Some("30000")),
    ConfigKey::new("replica.selector.class", String, None).valid(Valid::OnlyDefault),
    ConfigKey::new("replica.socket.receive.buffer.bytes", Int, Some("65536")),
    ConfigKey::new("replica.socket.timeout.ms", Int, Some("30000")),
    ConfigKey::new("replication.quota.window.num", Int, Some("11")).at_least(1),
    ConfigKey::new("replication.quota.window.size.seconds", Int, Some("1")).at_least(1),
    ConfigKey::new("share.coordinator.append.linger.ms", Int, Some("-1")).at_least(-1),
    ConfigKey::new("share.coordinator.cached.buffer.max.bytes", Int, Some("1048588"))
        .at_least(524_288)
        .dynamic(),
    ConfigKey::new("share.coordinator.load.buffer.size", Int, Some("5242880")).at_least(1),
    ConfigKey::new("share.coordinator.snapshot.update.records.per.snapshot", Int, Some("500"))
        .valid(Valid::Between(0, 500)),
    ConfigKey::new("share.coordinator.state.topic.compression.codec", Int, Some("0")),
    ConfigKey::new("share.coordinator.state.topic.min.isr", Short, Some("2")).at_least(1),
    ConfigKey::new("share.coordinator.state.topic.num.partitions", Int, Some("50")).at_least(1),
    ConfigKey::new("share.coordinator.state.topic.replication.factor", Short, Some("3")).at_least(1),
    ConfigKey::new("share.coordinator.state.topic.segment.bytes", Int, Some("104857600")).at_least(1),
    ConfigKey::new("share.coordinator.threads", Int, Some("1")).at_least(1),
    ConfigKey::new("share.coordinator.write.timeout.ms", Int, Some("5000")).at_least(1),
    ConfigKey::new("share.fetch.purgatory.purge.interval.requests", Int, Some("1000")),
    // Tiered storage
    ConfigKey::new("remote.fetch.max.wait.ms", Int, Some("500")).at_least(1).dynamic(),
    ConfigKey::new("remote.list.offsets.request.timeout.ms", Long, Some("30000")).at_least(1).dynamic(),
    ConfigKey::new("remote.log.index.file.cache.total.size.bytes", Long, Some("1073741824"))
        .at_least(1)
        .dynamic(),
    ConfigKey::new("remote.log.manager.copier.thread.pool.size", Int, Some("10")).at_least(1).dynamic(),
    ConfigKey::new("remote.log.manager.copy.max.bytes.per.second", Long, Some("9223372036854775807"))
        .at_least(1)
        .dynamic(),
    ConfigKey::new("remote.log.manager.copy.quota.window.num", Int, Some("11")).at_least(1),
    ConfigKey::new("remote.log.manager.copy.quota.window.size.seconds", Int, Some("1")).at_least(1),
    ConfigKey::new("remote.log.manager.expiration.thread.pool.size", Int, Some("10")).at_least(1).dynamic(),
    ConfigKey::new("remote.log.manager.fetch.max.bytes.per.second", Long, Some("9223372036854775807"))
        .at_least(1)
        .dynamic(),
    ConfigKey::new("remote.log.manager.fetch.quota.window.num", Int, Some("11")).at_least(1),
    ConfigKey::new("remote.log.manager.fetch.quota.window.size.seconds", Int, Some("1")).at_least(1),
    ConfigKey::new("remote.log.manager.follower.thread.pool.size", Int, Some("2")).at_least(1).dynamic(),
    ConfigKey::new("remote.log.manager.task.interval.ms", Long, Some("30000")).at_least(1),
    ConfigKey::new("remote.log.manager.thread.pool.size", Int, Some("2")).at_least(1),
    ConfigKey::new("remote.log.metadata.custom.metadata.max.bytes", Int, Some("128")).at_least(0),
    ConfigKey::new(
        "remote.log.metadata.manager.class.name",
        String,
        Some("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"),
    ),
    ConfigKey::new("remote.log.metadata.manager.class.path", String, None),
    ConfigKey::new("remote.log.metadata.manager.impl.prefix", String, Some("rlmm.config.")),
    ConfigKey::new("remote.log.metadata.manager.listener.name", String, None),
    ConfigKey::new("remote.log.reader.max.pending.tasks", Int, Some("100")).at_least(1),
    ConfigKey::new("remote.log.reader.threads", Int, Some("10")).at_least(1).dynamic(),
    ConfigKey::new("remote.log.storage.manager.class.name", String, None),
    ConfigKey::new("remote.log.storage.manager.class.path", String, None),
    ConfigKey::new("remote.log.storage.manager.impl.prefix", String, Some("rsm.config.")),
    ConfigKey::new("remote.log.storage.system.enable", Boolean, Some("false")).valid(Valid::OnlyDefault),
    // Security
    ConfigKey::new("authorizer.class.name", String, Some("")).valid(Valid::OnlyDefault),
    ConfigKey::new("delegation.token.expiry.check.interval.ms", Long, Some("3600000")).at_least(1),
    ConfigKey::new("delegation.token.expiry.time.ms", Long, Some("86400000")).at_least(1),
    ConfigKey::new("delegation.token.max.lifetime.ms", Long, Some("604800000")).at_least(1),
    ConfigKey::new("delegation.token.secret.key", Password, None),
    ConfigKey::new(
        "principal.builder.class",
        Class,
        Some("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"),
    )
    .valid(Valid::OnlyDefault)
    .dynamic(),
    ConfigKey::new("sasl.client.callback.handler.class", Class, None),
    ConfigKey::new("sasl.enabled.mechanisms", List, Some("GSSAPI")).dynamic(),
    ConfigKey::new("sasl.jaas.config", Password, None).dynamic(),
    ConfigKey::new("sasl.kerberos.kinit.cmd", String, Some("/usr/bin/kinit")).dynamic(),
    ConfigKey::new("sasl.kerberos.min.time.before.relogin", Long, Some("60000")).dynamic(),
    ConfigKey::new("sasl.kerberos.principal.to.local.rules", List, Some("DEFAULT")).dynamic(),
    ConfigKey::new("sasl.kerberos.service.name", String, None).dynamic(),
    ConfigKey::new("sasl.kerberos.ticket.renew.jitter", Double, Some("0.05")).dynamic(),
    ConfigKey::new("sasl.kerberos.ticket.renew.window.factor", Double, Some("0.8")).dynamic(),
    ConfigKey::new("sasl.login.callback.handler.class", Class, None),
    ConfigKey::new("sasl.login.class", Class, None),
    ConfigKey::new("sasl.login.connect.timeout.ms", Int, None),
    ConfigKey::new("sasl.login.read.timeout.ms", Int, None),
    ConfigKey::new("sasl.login.refresh.buffer.seconds", Short, Some("300")).dynamic(),
    ConfigKey::new("sasl.login.refresh.min.period.seconds", Short, Some("60")).dynamic(),
    ConfigKey::new("sasl.login.refresh.window.factor", Double, Some("0.8")).dynamic(),
    ConfigKey::new("sasl.login.refresh.window.jitter", Double, Some("0.05")).dynamic(),
    ConfigKey::new("sasl.login.retry.backoff.max.ms", Long, Some("10000")),
    ConfigKey::new("sasl.login.retry.backoff.ms", Long, Some("100")),
    ConfigKey::new("sasl.mechanism.controller.protocol", String, Some("GSSAPI")),
    ConfigKey::new("sasl.mechanism.inter.broker.protocol", String, Some("GSSAPI")).dynamic(),
    ConfigKey::new("sasl.oauthbearer.assertion.algorithm", String, Some("RS256"))
        .valid(Valid::OneOfAnyCase(&["ES256", "RS256"])),
    ConfigKey::new("sasl.oauthbearer.assertion.claim.aud", String, None),
    ConfigKey::new("sasl.oauthbearer.assertion.claim.exp.seconds", Int, Some("300"))
        .valid(Valid::Between(0, 86_400)),
    ConfigKey::new("sasl.oauthbearer.assertion.claim.iss", String, None),
    ConfigKey::new("sasl.oauthbearer.assertion.claim.jti.include", Boolean, Some("false")),
    ConfigKey::new("sasl.oauthbearer.assertion.claim.nbf.seconds", Int, Some("60"))
        .valid(Valid::Between(0, 3600)),
    ConfigKey::new("sasl.oauthbearer.assertion.claim.sub", String, None),
    ConfigKey::new("sasl.oauthbearer.assertion.file", String, None),
    ConfigKey::new("sasl.oauthbearer.assertion.private.key.file", String, None),
    ConfigKey::new("sasl.oauthbearer.assertion.private.key.passphrase", Password, None),
    ConfigKey::new("sasl.oauthbearer.assertion.template.file", String, None),
    ConfigKey::new("sasl.oauthbearer.client.credentials.client.id", String, None),
    ConfigKey::new("sasl.oauthbearer.client.credentials.client.secret", Password, None),
    ConfigKey::new("sasl.oauthbearer.clock.skew.seconds", Int, Some("30")),
    ConfigKey::new("sasl.oauthbearer.expected.audience", List, Some("")),
    ConfigKey::new("sasl.oauthbearer.expected.issuer", String, None),
    ConfigKey::new("sasl.oauthbearer.jwks.endpoint.refresh.ms", Long, Some("3600000")),
    ConfigKey::new("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Long, Some("10000")),
    ConfigKey::new("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Long, Some("100")),
    ConfigKey::new("sasl.oauthbearer.jwks.endpoint.url", String, None),
    ConfigKey::new(
        "sasl.oauthbearer.jwt.retriever.class",
        Class,
        Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"),
    ),
    ConfigKey::new(
        "sasl.oauthbearer.jwt.validator.class",
        Class,
        Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"),
    ),
    ConfigKey::new("sasl.oauthbearer.scope", String, None),
    ConfigKey::new("sasl.oauthbearer.scope.claim.name", String, Some("scope")),
    ConfigKey::new("sasl.oauthbearer.sub.claim.name", String, Some("sub")),
    ConfigKey::new("sasl.oauthbearer.token.endpoint.url", String, None),
    ConfigKey::new("sasl.server.callback.handler.class", Class, None),
    ConfigKey::new("sasl.server.max.receive.size", Int, Some("524288")),
    ConfigKey::new("security.inter.broker.protocol", String, Some("PLAINTEXT")).valid(Valid::OnlyDefault),
    ConfigKey::new("security.providers", String, None).valid(Valid::OnlyDefault),
    ConfigKey::new("ssl.allow.dn.changes", Boolean, Some("false")),
    ConfigKey::new("ssl.allow.san.changes", Boolean, Some("false")),
    ConfigKey::new("ssl.cipher.suites", List, Some("")).dynamic(),
    ConfigKey::new("ssl.client.auth", String, Some("none"))
        .valid(Valid::OneOf(&["required", "requested", "none"]))
        .dynamic(),
    ConfigKey::new("ssl.enabled.protocols", List, Some("TLSv1.2,TLSv1.3")).dynamic(),
    ConfigKey::new("ssl.endpoint.identification.algorithm", String, Some("https")).dynamic(),
    ConfigKey::new("ssl.engine.factory.class", Class, None).valid(Valid::OnlyDefault).dynamic(),
    ConfigKey::new("ssl.key.password", Password, None).dynamic(),
    ConfigKey::new("ssl.keymanager.algorithm", String, Some("SunX509")).dynamic(),
    ConfigKey::new("ssl.keystore.certificate.chain", Password, None).dynamic(),
    ConfigKey::new("ssl.keystore.key", Password, None).dynamic(),
    ConfigKey::new("ssl.keystore.location", String, None).dynamic(),
    ConfigKey::new("ssl.keystore.password", Password, None).dynamic(),
    ConfigKey::new("ssl.keystore.type", String, Some("JKS")).dynamic(),
    ConfigKey::new("ssl.principal.mapping.rules", String, Some("DEFAULT")),
    ConfigKey::new("ssl.protocol", String, Some("TLSv1.3")).dynamic(),
    ConfigKey::new("ssl.provider", String, None).dynamic(),
    ConfigKey::new("ssl.secure.random.implementation", String, None).dynamic(),
    ConfigKey::new("ssl.trustmanager.algorithm", String, Some("PKIX")).dynamic(),
    ConfigKey::new("ssl.truststore.certificates", Password, None).dynamic(),
    ConfigKey::new("ssl.truststore.location", String, None).dynamic(),
    ConfigKey::new("ssl.truststore.password", Password, None).dynamic(),
    ConfigKey::new("ssl.truststore.type", String, Some("JKS")).dynamic(),
    // Metrics, quotas and the rest
    ConfigKey::new("client.quota.callback.class", Class, None).valid(Valid::OnlyDefault),
    ConfigKey::new("config.providers", List, Some("")).valid(Valid::OnlyDefault).dynamic(),
    ConfigKey::new("kafka.metrics.polling.interval.secs", Int, Some("10")).at_least(1),
    ConfigKey::new("kafka.metrics.reporters", List, Some("")),
    ConfigKey::new("metric.reporters", List, Some("org.apache.kafka.common.metrics.JmxReporter"))
        .valid(Valid::ListOf(&["org.apache.kafka.common.metrics.JmxReporter"]))
        .dynamic(),
    ConfigKey::new("metrics.listener", String, Some("")).doc(
        "host:port where GET /metrics (Prometheus) and /health are answered, without authentication; keep it \
         on loopback. Empty: nowhere.",
    ),
    ConfigKey::new("metrics.num.samples", Int, Some("2")).at_least(1),
    ConfigKey::new("metrics.recording.level", String, Some("INFO")),
    ConfigKey::new("metrics.sample.window.ms", Long, Some("30000")).at_least(1),
    ConfigKey::new("quota.window.num", Int, Some("11")).at_least(1),
    ConfigKey::new("quota.window.size.seconds", Int, Some("1")).at_least(1),
    ConfigKey::new("telemetry.max.bytes", Int, Some("1048576")).at_least(1),
];

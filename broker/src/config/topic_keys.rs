//! The keys of a topic: Kafka 4.3's names, kinds and defaults, what those do that have an effect here, and the keys of
//! the broker from which an unset one takes its value.

use super::broker_keys::COMPRESSION_TYPES;
use super::key::ConfigKind::{Boolean, Double, Int, List, Long, String};
use super::key::{ConfigKey, Valid};

/// All keys of a topic.
pub const TOPIC_KEYS: &[ConfigKey] = &[
    ConfigKey::new("cleanup.policy", List, Some("delete"))
        .valid(Valid::ListOf(&["compact", "delete"]))
        .dynamic()
        .synonyms(&[("log.cleanup.policy", 1)])
        .doc("What becomes of old records: delete, compact, or both."),
    ConfigKey::new("compression.gzip.level", Int, Some("-1"))
        .valid(Valid::BetweenOr(1, 9, -1))
        .dynamic()
        .synonyms(&[("compression.gzip.level", 1)])
        .doc("The level of gzip where batches are stored in it and came otherwise."),
    ConfigKey::new("compression.lz4.level", Int, Some("9"))
        .valid(Valid::Between(1, 17))
        .dynamic()
        .synonyms(&[("compression.lz4.level", 1)])
        .doc("The level of lz4 where batches are stored in it and came otherwise."),
    ConfigKey::new("compression.type", String, Some("producer"))
        .valid(Valid::OneOf(COMPRESSION_TYPES))
        .dynamic()
        .synonyms(&[("compression.type", 1)])
        .doc("The codec batches are stored in; producer keeps what the producer chose."),
    ConfigKey::new("compression.zstd.level", Int, Some("3"))
        .valid(Valid::Between(-131_072, 22))
        .dynamic()
        .synonyms(&[("compression.zstd.level", 1)])
        .doc("The level of zstd where batches are stored in it and came otherwise."),
    ConfigKey::new("delete.retention.ms", Long, Some("86400000"))
        .at_least(0)
        .dynamic()
        .synonyms(&[("log.cleaner.delete.retention.ms", 1)])
        .doc("How long a tombstone of a compacted topic stays."),
    ConfigKey::new("file.delete.delay.ms", Long, Some("60000"))
        .at_least(0)
        .dynamic()
        .synonyms(&[("log.segment.delete.delay.ms", 1)])
        .doc("How long the file of a deleted segment stays."),
    ConfigKey::new("flush.messages", Long, Some("9223372036854775807"))
        .at_least(1)
        .dynamic()
        .synonyms(&[("log.flush.interval.messages", 1)]),
    ConfigKey::new("flush.ms", Long, Some("9223372036854775807"))
        .at_least(0)
        .dynamic()
        .synonyms(&[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)]),
    ConfigKey::new("follower.replication.throttled.replicas", List, Some(""))
        .valid(Valid::Replicas)
        .dynamic(),
    ConfigKey::new("index.interval.bytes", Int, Some("4096"))
        .at_least(0)
        .dynamic()
        .synonyms(&[("log.index.interval.bytes", 1)])
        .doc("Bytes of records between two entries of the offset index."),
    ConfigKey::new("leader.replication.throttled.replicas", List, Some("")).valid(Valid::Replicas).dynamic(),
    ConfigKey::new("local.retention.bytes", Long, Some("-2"))
        .at_least(-2)
        .dynamic()
        .synonyms(&[("log.local.retention.bytes", 1)]),
    ConfigKey::new("local.retention.ms", Long, Some("-2"))
        .at_least(-2)
        .dynamic()
        .synonyms(&[("log.local.retention.ms", 1)]),
    ConfigKey::new("max.compaction.lag.ms", Long, Some("9223372036854775807"))
        .at_least(1)
        .dynamic()
        .synonyms(&[("log.cleaner.max.compaction.lag.ms", 1)])
        .doc("Age at which a record of a compacted topic must be compacted."),
    ConfigKey::new("max.message.bytes", Int, Some("1048588"))
        .at_least(0)
        .dynamic()
        .synonyms(&[("message.max.bytes", 1)])
        .doc("The largest batch of records taken."),
    ConfigKey::new("message.timestamp.after.max.ms", Long, Some("3600000"))
        .at_least(0)
        .dynamic()
        .synonyms(&[("log.message.timestamp.after.max.ms", 1)])
        .doc("How far a record's timestamp may lie in the future."),
    ConfigKey::new("message.timestamp.before.max.ms", Long, Some("9223372036854775807"))
        .at_least(0)
        .dynamic()
        .synonyms(&[("log.message.timestamp.before.max.ms", 1)])
        .doc("How far a record's timestamp may lie in the past."),
    ConfigKey::new("message.timestamp.type", String, Some("CreateTime"))
        .valid(Valid::OneOf(&["CreateTime", "LogAppendTime"]))
        .dynamic()
        .synonyms(&[("log.message.timestamp.type", 1)])
        .doc("Whether records carry the time of the producer or of the append."),
    ConfigKey::new("min.cleanable.dirty.ratio", Double, Some("0.5"))
        .valid(Valid::Fraction(0.0, 1.0))
        .dynamic()
        .synonyms(&[("log.cleaner.min.cleanable.ratio", 1)])
        .doc("The share of a log that must be dirty for it to be compacted."),
    ConfigKey::new("min.compaction.lag.ms", Long, Some("0"))
        .at_least(0)
        .dynamic()
        .synonyms(&[("log.cleaner.min.compaction.lag.ms", 1)])
        .doc("Age before which a record is not compacted."),
    ConfigKey::new("min.insync.replicas", Int, Some("1"))
        .at_least(1)
        .dynamic()
        .synonyms(&[("min.insync.replicas", 1)])
        .doc("In-sync replicas below which acks=all is refused."),
    ConfigKey::new("preallocate", Boolean, Some("false")).dynamic().synonyms(&[("log.preallocate", 1)]),
    ConfigKey::new("remote.log.copy.disable", Boolean, Some("false")).dynamic(),
    ConfigKey::new("remote.log.delete.on.disable", Boolean, Some("false")).dynamic(),
    ConfigKey::new("remote.storage.enable", Boolean, Some("false")).valid(Valid::OnlyDefault).dynamic(),
    ConfigKey::new("retention.bytes", Long, Some("-1"))
        .dynamic()
        .synonyms(&[("log.retention.bytes", 1)])
        .doc("Old segments are deleted when a partition is larger than this; -1: never."),
    ConfigKey::new("retention.ms", Long, Some("604800000"))
        .at_least(-1)
        .dynamic()
        .synonyms(&[
            ("log.retention.ms", 1),
            ("log.retention.minutes", 60000),
            ("log.retention.hours", 3600000),
        ])
        .doc("Age at which segments are deleted; -1: never."),
    ConfigKey::new("segment.bytes", Int, Some("1073741824"))
        .at_least(1024 * 1024)
        .dynamic()
        .synonyms(&[("log.segment.bytes", 1)])
        .doc("Size at which a segment is closed."),
    ConfigKey::new("segment.index.bytes", Int, Some("10485760"))
        .at_least(4)
        .dynamic()
        .synonyms(&[("log.index.size.max.bytes", 1)])
        .doc("The size at which an index is full and its segment is closed."),
    ConfigKey::new("segment.jitter.ms", Long, Some("0"))
        .at_least(0)
        .dynamic()
        .synonyms(&[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", 3600000)])
        .doc("At most so much is taken off log.roll.ms, by chance."),
    ConfigKey::new("segment.ms", Long, Some("604800000"))
        .at_least(1)
        .dynamic()
        .synonyms(&[("log.roll.ms", 1), ("log.roll.hours", 3600000)])
        .doc("Age at which a segment is closed."),
    ConfigKey::new("unclean.leader.election.enable", Boolean, Some("false"))
        .dynamic()
        .synonyms(&[("unclean.leader.election.enable", 1)]),
];

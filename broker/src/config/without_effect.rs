//! Keys that Kafka knows and that do nothing here, and why: said in the log when one is set, and to whoever asks for the
//! documentation of a key (DescribeConfigs).
//!
//! A key whose value would be a promise that is not kept is not among them; it is refused
//! ([`Valid::OnlyDefault`](super::key::Valid::OnlyDefault)).

/// Why the keys that begin so have no effect; the longest beginning counts.
const REASONS: &[(&str, &str)] = &[
    (
        "add.partitions.to.txn.",
        "Without effect: partitions and coordinators are in one process; nothing is asked again.",
    ),
    ("alter.log.dirs.", "Without effect: a broker keeps its data in one directory."),
    ("auto.leader.rebalance.", "Without effect: a single broker leads everything."),
    ("background.threads", THREADS),
    ("broker.", "Without effect: broker and controller are one process."),
    ("connection.failed.", SECURITY),
    ("connections.max.reauth.ms", SECURITY),
    ("consumer.", "Without effect: groups of the protocol of KIP-848 are not there."),
    ("controlled.shutdown.", "Without effect: there is no broker to hand leadership to."),
    ("controller.", "Without effect: broker and controller are one process."),
    ("delegation.", SECURITY),
    ("delete.records.purgatory.", PURGATORY),
    ("early.start.", SECURITY),
    ("fetch.purgatory.", PURGATORY),
    ("flush.", FLUSH),
    ("follower.", REPLICATION),
    ("group.consumer.", "Without effect: groups of the protocol of KIP-848 are not there."),
    (
        "group.coordinator.",
        "Without effect: coordinators run in the threads of the broker, and append without delay.",
    ),
    ("group.share.", SHARE),
    ("group.streams.", "Without effect: groups of the protocol of KIP-1071 are not there."),
    ("initial.broker.", "Without effect: broker and controller are one process."),
    ("inter.broker.", REPLICATION),
    ("interval.ms", TELEMETRY),
    ("kafka.metrics.", METRICS),
    ("leader.", REPLICATION),
    ("local.retention.", TIERED),
    ("log.cleaner.io.buffer.size", "Without effect: the log cleaner reads by batches."),
    ("log.cleaner.threads", "Without effect: one task cleans all logs."),
    (
        "log.dir.failure.",
        "Without effect: there is no other broker to take over from a directory that fails.",
    ),
    ("log.flush.", FLUSH),
    ("log.flush.start.offset.", "Without effect: a new start of a log is written down at once."),
    ("log.local.retention.", TIERED),
    ("log.preallocate", PREALLOCATE),
    ("match", TELEMETRY),
    ("max.request.partition.", "Without effect: the client's own limit counts."),
    (
        "metadata.",
        "Without effect: the metadata log lies in the data directory, and its segments end where snapshots are taken.",
    ),
    ("metric", METRICS),
    ("metrics", METRICS),
    ("num.network.threads", THREADS),
    ("num.recovery.threads.", "Without effect: recovery chooses its threads itself."),
    ("num.replica.", REPLICATION),
    (
        "offsets.load.buffer.size",
        "Without effect: a coordinator's log is read in pieces of a size of our own.",
    ),
    ("preallocate", PREALLOCATE),
    ("producer.purgatory.", PURGATORY),
    ("quota.", "Without effect: there are no quotas."),
    ("remote.", TIERED),
    ("replica.", REPLICATION),
    ("replication.", REPLICATION),
    ("request.timeout.ms", REPLICATION),
    ("sasl.", SECURITY),
    ("share.", SHARE),
    ("socket.", "Without effect: sockets are as the operating system makes them."),
    ("socket.connection.setup.", REPLICATION),
    ("ssl.", SECURITY),
    ("streams.", "Without effect: groups of the protocol of KIP-1071 are not there."),
    ("telemetry.", TELEMETRY),
    ("transaction.partition.verification.", "Without effect: partitions are always verified."),
    (
        "transaction.state.log.load.",
        "Without effect: a coordinator's log is read in pieces of a size of our own.",
    ),
    ("transaction.state.log.replication.", REPLICATION),
    ("unclean.leader.election.", REPLICATION),
];

const FLUSH: &str = "Without effect: with flush=commit every record is on the disk before it is acknowledged; with \
                     flush=os the operating system decides, as with Kafka's default.";
const METRICS: &str = "Without effect: metrics are served where metrics.listener says.";
const PREALLOCATE: &str = "Without effect: what a segment will take is left to the file system.";
const PURGATORY: &str = "Without effect: requests that wait are taken out of it when they end.";
const REPLICATION: &str = "Without effect: there is no other broker.";
const SECURITY: &str = "Without effect: listeners have no security protocol but PLAINTEXT.";
const SHARE: &str = "Without effect: share groups are not there.";
const TELEMETRY: &str = "Without effect: metrics of clients are not collected.";
const THREADS: &str = "Without effect: connections share the threads of num.io.threads.";
const TIERED: &str = "Without effect: there is no tiered storage.";

/// Why a key that is not described has no effect.
pub(crate) fn reason(name: &str) -> Option<&'static str> {
    let fitting = REASONS.iter().filter(|(beginning, _)| name.starts_with(beginning));
    fitting.max_by_key(|(beginning, _)| beginning.len()).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::super::key::Valid;
    use super::super::{BROKER_KEYS, CLIENT_METRICS_KEYS, GROUP_KEYS, THROTTLES, TOPIC_KEYS};
    use super::*;

    #[test]
    fn every_key_says_what_it_does_or_why_it_does_nothing() {
        let tables = [BROKER_KEYS, TOPIC_KEYS, GROUP_KEYS, CLIENT_METRICS_KEYS, THROTTLES];
        let keys = || tables.into_iter().flatten();
        for key in keys().filter(|key| key.doc.is_none() && key.valid != Valid::OnlyDefault) {
            assert!(reason(key.name).is_some(), "{} does nothing, and nobody knows why", key.name);
        }
        for (beginning, _) in REASONS {
            let is_of_one = |name: &str| name.starts_with(beginning);
            assert!(
                keys().any(|key| key.doc.is_none() && is_of_one(key.name)),
                "no key begins with {beginning}"
            );
        }
    }

    #[test]
    fn the_longest_beginning_counts() {
        assert_eq!(reason("log.flush.interval.ms"), Some(FLUSH));
        assert_ne!(reason("log.flush.start.offset.checkpoint.interval.ms"), Some(FLUSH));
        assert_eq!(reason("num.partitions"), None);
    }
}

//! A test: every flag that these tools of Apache Kafka 4.3 list is one that the command in their place knows. Commands whose
//! few flags the others have too (`transactions describe`, `storage info`, ...) are left out.

use clap::{Command, CommandFactory};

use super::Arguments;

/// Each command here, and the flags of Kafka's tool.
const FLAGS: [(&str, &str); 16] = [
    (
        "topics",
        "alter at-min-isr-partitions bootstrap-server command-config config create delete delete-config describe \
         exclude-internal if-exists if-not-exists list partition-size-limit-per-response partitions replica-assignment \
         replication-factor topic topic-id topics-with-overrides unavailable-partitions under-min-isr-partitions \
         under-replicated-partitions",
    ),
    (
        "configs",
        "add-config add-config-file all alter bootstrap-controller bootstrap-server broker broker-defaults broker-logger \
         client client-defaults client-metrics command-config delete-config describe entity-default entity-name \
         entity-type group ip ip-defaults topic user user-defaults",
    ),
    (
        "groups",
        "all-groups all-topics bootstrap-server by-duration command-config delete delete-offsets describe dry-run execute \
         export from-file group list members offsets reset-offsets shift-by state timeout to-current to-datetime \
         to-earliest to-latest to-offset topic type validate-regex verbose",
    ),
    (
        "console-producer",
        "batch-size bootstrap-server command-config command-property compression-codec line-reader max-block-ms \
         max-memory-bytes max-partition-memory-bytes message-send-max-retries metadata-expiry-ms producer-property \
         producer.config property reader-config reader-property request-required-acks request-timeout-ms \
         retry-backoff-ms socket-buffer-size sync timeout topic",
    ),
    (
        "console-consumer",
        "bootstrap-server command-config command-property consumer-property consumer.config enable-systest-events formatter \
         formatter-config formatter-property from-beginning group include isolation-level key-deserializer max-messages \
         offset partition property skip-message-on-error timeout-ms topic value-deserializer",
    ),
    (
        "get-offsets",
        "bootstrap-server command-config exclude-internal-topics partitions time topic topic-partitions",
    ),
    ("delete-records", "bootstrap-server command-config offset-json-file"),
    (
        "streams reset",
        "application-id bootstrap-server by-duration command-config config-file dry-run force from-file input-topics \
         intermediate-topics internal-topics shift-by to-datetime to-earliest to-latest to-offset",
    ),
    (
        "dump-log",
        "cluster-metadata-decoder deep-iteration files index-sanity-check key-decoder-class max-bytes max-message-size \
         offsets-decoder print-data-log remote-log-metadata-decoder share-group-state-decoder skip-record-metadata \
         transaction-log-decoder value-decoder-class verify-index-only",
    ),
    (
        "perf consume",
        "bootstrap-server command-config command-property consumer.config date-format fetch-size from-latest group \
         hide-header include messages num-records print-metrics reporting-interval show-detailed-stats \
         socket-buffer-size timeout topic",
    ),
    (
        "perf produce",
        "bootstrap-server command-config command-property num-records payload-delimiter payload-file payload-monotonic \
         print-metrics producer-props producer.config record-size reporting-interval throughput topic \
         transaction-duration-ms transactional-id warmup-records",
    ),
    (
        "perf latency",
        "bootstrap-server command-config num-headers num-records producer-acks record-header-key-size record-header-size \
         record-key-size record-size topic",
    ),
    (
        "storage format",
        "add-scram cluster-id config feature ignore-formatted initial-controllers no-initial-controllers release-version \
         standalone",
    ),
    ("transactions list", "duration-filter transactional-id-pattern"),
    ("transactions find-hanging", "broker-id max-transaction-timeout partition topic"),
    ("transactions abort", "coordinator-epoch partition producer-epoch producer-id start-offset topic"),
];

fn knows(command: &Command, flag: &str) -> bool {
    command.get_arguments().any(|argument| {
        argument.get_long() == Some(flag)
            || argument.get_all_aliases().is_some_and(|aliases| aliases.contains(&flag))
    })
}

#[test]
fn every_flag_of_kafkas_tools_is_known() {
    let mut all = Arguments::command();
    all.build();
    for (path, flags) in FLAGS {
        let command = path.split(' ').fold(&all, |command, name| {
            command.find_subcommand(name).unwrap_or_else(|| panic!("there is no {path}"))
        });
        let missing: Vec<&str> = flags.split_whitespace().filter(|flag| !knows(command, flag)).collect();
        assert!(missing.is_empty(), "{path} lacks {missing:?}");
    }
}

//! The flags of Kafka's tools, so that scripts go on working: each does what it does there, or says in one line why not.

use std::time::Duration;

use anabranch_client::{Client, ClientConfig, Consumer, ConsumerConfig};
use anabranch_host::Host;

use super::{Server, fails, run};

/// What a line must print on standard output.
enum Printed {
    Is(&'static str),
    Begins(&'static str),
    Has(&'static str),
}

use Printed::{Begins, Has, Is};

impl Printed {
    fn check(&self, line: &str, found: &str) {
        let holds = match self {
            Is(text) => found == *text,
            Begins(text) => found.starts_with(text),
            Has(text) => found.contains(text),
        };
        assert!(holds, "{line}:\n{found}");
    }
}

/// Runs lines in their order: each with its standard input, and what it prints.
fn check(server: &Server, lines: &[(&str, &str, Printed)]) {
    for (line, input, printed) in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = server.tool_with(input, &words);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        printed.check(line, &String::from_utf8(output.stdout).unwrap());
    }
}

/// Runs lines that fail, each with a part of the one line that says why.
fn refused(server: &Server, lines: &[(&str, &str)]) {
    for (line, problem) in lines {
        let said = server.refusal(&line.split_whitespace().collect::<Vec<_>>());
        assert!(said.contains(problem), "{line}: {said}");
    }
}

#[test]
fn producers_and_consumers_take_kafkas_flags() {
    let server = Server::start();
    let file = |name: &str, text: &str| {
        let path = server.data.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    };
    let reader = file("reader.properties", "parse.key=true\nkey.separator=:\n");
    let shown = file("formatter.properties", "print.key=true\nkey.separator=-\n");
    let consumer = file("consumer.properties", "auto.offset.reset=earliest\nclient.id=named\n");
    let producer = file("producer.properties", "linger.ms=0\ncompression.type=zstd\n");
    let console_producer = format!("console-producer --topic stamped --reader-config {reader}");
    let properties = format!("{console_producer} --producer.config {producer}");
    let settings = format!(
        "{console_producer} --batch-size 1000 --max-memory-bytes 1000000 --max-block-ms 5000 --timeout 5 \
         --message-send-max-retries 3 --metadata-expiry-ms 60000 --request-required-acks 1 --request-timeout-ms 5000 \
         --retry-backoff-ms 50 --socket-buffer-size 1000 --command-property client.id=p \
         --line-reader org.apache.kafka.tools.LineMessageReader"
    );
    let read = "console-consumer --topic stamped --from-beginning --max-messages";
    let configured = format!("{read} 2 --formatter-config {shown} --formatter-property key.separator==");
    let grouped =
        format!("console-consumer --topic stamped --max-messages 2 --group g --consumer.config {consumer}");
    let offsets = "console-consumer --topic __consumer_offsets --from-beginning --max-messages 3 --timeout-ms 2000 \
                   --formatter org.apache.kafka.tools.consumer.";
    let (of_offsets, of_groups) =
        (format!("{offsets}OffsetsMessageFormatter"), format!("{offsets}GroupMetadataMessageFormatter"));
    check(
        &server,
        &[
            (
                "topics --create --topic stamped --config message.timestamp.type=LogAppendTime",
                "",
                Begins("Created"),
            ),
            ("topics --create --topic plain", "", Begins("Created")),
            (&properties, "k:one\n", Is("")),
            (&settings, "k:two\n", Is("")),
            ("console-producer --topic plain", "12345678\n", Is("")),
            (&format!("{read} 1 --formatter-property print.timestamp=true"), "", Begins("LogAppendTime:")),
            (
                "console-consumer --topic plain --from-beginning --max-messages 1 --property print.timestamp=true",
                "",
                Begins("CreateTime:"),
            ),
            (
                &format!(
                    "{read} 1 --formatter-property print.epoch=true --formatter-property print.offset=true"
                ),
                "",
                Is("Offset:0\tEpoch:0\tone\n"),
            ),
            (&configured, "", Is("k=one\nk=two\n")),
            (&format!("{read} 1 --enable-systest-events"), "", Is("one\nshutdown_complete\n")),
            (
                &format!("{read} 1 --formatter org.apache.kafka.tools.consumer.NoOpMessageFormatter"),
                "",
                Is(""),
            ),
            (&format!("{read} 1 --formatter LoggingMessageFormatter"), "", Is("one\n")),
            (
                "console-consumer --topic plain --from-beginning --max-messages 1 --value-deserializer LongDeserializer",
                "",
                Is("3544952156018063160\n"),
            ),
            (&grouped, "", Is("one\ntwo\n")),
            (
                &of_offsets,
                "",
                Begins(
                    r#"{"key":{"type":1,"data":{"group":"g","topic":"stamped","partition":0}},"value":{"version":"#,
                ),
            ),
            (
                &of_groups,
                "",
                Begins(
                    r#"{"key":{"type":2,"data":{"group":"g"}},"value":{"version":3,"data":{"protocolType":"#,
                ),
            ),
        ],
    );
    refused(
        &server,
        &[
            (
                "console-producer --topic plain --line-reader org.example.Mine",
                "there is only LineMessageReader",
            ),
            (
                "console-producer --topic plain --line-reader org.example.MyLineMessageReader",
                "there is only LineMessageReader",
            ),
            (
                "console-consumer --topic plain --group one --consumer-property group.id=other",
                "the group is 'one' by --group, and 'other' by the settings",
            ),
            (
                "console-consumer --topic plain --from-beginning --consumer-property auto.offset.reset=latest",
                "cannot both hold",
            ),
            (
                "console-producer --topic plain --request-required-acks some",
                "'some' is none of all, -1, 0, 1",
            ),
            (
                "console-producer --topic plain --command-property linger=1",
                "linger is no setting that is known here",
            ),
            ("console-producer --topic plain --batch-size many", "configuration batch.size=many"),
            ("console-consumer --topic plain --formatter org.example.Mine", "org.example.Mine is not known"),
            ("console-consumer --topic plain --isolation-level none", "configuration isolation.level=none"),
        ],
    );
}

#[test]
fn groups_and_topics_take_kafkas_flags() {
    let server = Server::start();
    check(
        &server,
        &[
            ("groups --validate-regex a.*", "", Is("The regular expression `a.*` is valid.\n")),
            ("groups --validate-regex (a", "", Begins("The regular expression `(a` is invalid: ")),
            ("topics --create --topic t --partitions 2", "", Begins("Created")),
            ("topics --alter --topic t --partitions 4 --replica-assignment 1,1,1,1", "", Is("")),
            (
                "topics --describe --topic t --partition-size-limit-per-response 1",
                "",
                Has("PartitionCount: 4"),
            ),
            ("topics --alter --topic t --partitions 5 --delete-config retention.ms", "", Is("")),
            ("console-producer --topic t", "v\n", Is("")),
            ("console-consumer --topic t --from-beginning --max-messages 1 --group g", "", Is("v\n")),
            ("groups --describe --group g --timeout 20000", "", Has("LOG-END-OFFSET")),
            ("groups --list --state empty,stable --timeout 20000", "", Has("g ")),
        ],
    );
    refused(
        &server,
        &[
            ("groups --list --state nonsense", "Invalid state list 'nonsense'. Valid states are: "),
            ("groups --list --type nonsense", "Invalid type list 'nonsense'. Valid types are: "),
            ("topics --alter --topic t --replica-assignment 1,1", "--alter needs --partitions"),
            (
                "topics --alter --topic t --partitions 7 --replica-assignment 1,1,1,1,1,1",
                "INVALID_REPLICA_ASSIGNMENT",
            ),
            (
                "topics --alter --topic t --partitions 6 --replica-assignment 1,1,1,1,1,9",
                "INVALID_REPLICA_ASSIGNMENT",
            ),
        ],
    );
    // Those that can be deleted are, whatever becomes of the others.
    let delete = ["groups", "--delete", "--group", "absent", "--group", "g"];
    let output = server.tool_with("", &delete);
    assert!(!output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, "Deletion of these consumer groups ('g') was successful.\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("anabranch: Deletion of some consumer groups failed: Group 'absent' "),
        "{said}"
    );
    assert_eq!((said.lines().count(), server.tool(&["groups", "--list"]).as_str()), (1, ""));
}

#[test]
fn a_group_that_somebody_reads_in_is_not_reset_and_others_are() {
    let server = Server::start();
    server.tool(&["topics", "--create", "--topic", "t"]);
    let (host, runtime) = Host::real(1).unwrap();
    runtime.block_on(async {
        let keys = [("bootstrap.servers", server.address.as_str())];
        let config = ClientConfig::from_pairs(keys).unwrap();
        let client = Client::connect(&host, host.dialer(), config).await.unwrap();
        let config = ConsumerConfig::from_pairs([("group.id", "read-in")]).unwrap();
        let mut consumer = Consumer::new(&client, config).unwrap();
        consumer.subscribe(["t"]).unwrap();
        while consumer.assignment().is_empty() {
            consumer.poll(Duration::from_millis(20)).await.unwrap();
        }
        let reset = "groups --reset-offsets --topic t --to-latest --execute --group read-in --group free";
        let output = server.tool_with("", &reset.split_whitespace().collect::<Vec<_>>());
        assert!(!output.status.success());
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            "anabranch: Assignments can only be reset if the group 'read-in' is inactive, but the current state is \
             Stable.\n"
        );
        let table = String::from_utf8(output.stdout).unwrap();
        let expected = "\nGROUP           TOPIC           PARTITION  NEW-OFFSET\n\
                        free            t               0          0\n";
        assert_eq!(table, expected);
        consumer.close().await.unwrap();
    });
}

#[test]
fn users_clients_addresses_and_loggers_are_entities() {
    let server = Server::start();
    check(
        &server,
        &[
            ("configs --describe --entity-type users", "", Is("")),
            ("configs --describe --user alice", "", Is("")),
            ("configs --describe --user-defaults", "", Is("")),
            ("configs --describe --user alice --client c", "", Is("")),
            ("configs --describe --entity-type clients --entity-default", "", Is("")),
            ("configs --describe --ip 127.0.0.1 --json", "", Is("[]\n")),
            ("configs --describe --ip-defaults", "", Is("")),
            (
                "configs --describe --broker-logger 1",
                "",
                Begins("Dynamic configs for broker-logger 1 are:\n"),
            ),
            (
                "configs --alter --broker-defaults --add-config log.retention.ms=9000000",
                "",
                Begins("Completed updating"),
            ),
            ("configs --describe --broker 1", "", Is("Dynamic configs for broker 1 are:\n")),
            ("configs --describe --broker-defaults", "", Has("  log.retention.ms=9000000 sensitive=false")),
        ],
    );
    refused(
        &server,
        &[
            (
                "configs --alter --client c --add-config producer_byte_rate=1",
                "This broker enforces no quotas",
            ),
            (
                "configs --alter --ip-defaults --add-config connection_creation_rate=1",
                "This broker enforces no quotas",
            ),
            (
                "configs --alter --client c --add-config nonsense=1",
                "Only quota configs can be added for 'clients'",
            ),
            (
                "configs --alter --client c --add-config producer_byte_rate=x",
                "Cannot parse quota configuration value for producer_byte_rate: x",
            ),
            (
                "configs --alter --client c --delete-config producer_byte_rate",
                "Invalid config(s): producer_byte_rate",
            ),
            (
                "configs --alter --user a --add-config SCRAM-SHA-256=[iterations=8192,password=x]",
                "authenticates nobody",
            ),
            (
                "configs --alter --user a --add-config SCRAM-SHA-256=[password=x],producer_byte_rate=1",
                "Cannot alter both quota and SCRAM credential configs",
            ),
            ("configs --alter --user a --delete-config SCRAM-SHA-512", "RESOURCE_NOT_FOUND"),
            (
                "configs --alter --user-defaults --add-config SCRAM-SHA-256=[password=x]",
                "--user-defaults is not allowed",
            ),
            ("configs --describe --entity-type broker-loggers", "An entity name must be specified"),
            ("configs --describe --topic t --broker 1", "only a user and a client may be named together"),
        ],
    );
}

#[test]
fn measurements_take_kafkas_flags() {
    let server = Server::start();
    let payloads = server.data.path().join("payloads");
    std::fs::write(&payloads, "a,bb").unwrap();
    let payloads = payloads.to_str().unwrap();
    let produce = "producer-perf-test --topic p --throughput -1 --num-records";
    check(
        &server,
        &[
            ("topics --create --topic p", "", Begins("Created")),
            // The first record waits for nobody, however slow they are to come.
            (
                "producer-perf-test --topic slow --throughput 1e-20 --num-records 1 --record-size 5",
                "",
                Begins("1 rec"),
            ),
            (
                &format!("{produce} 20 --payload-monotonic --transaction-duration-ms 1 --print-metrics"),
                "",
                Begins("20 records sent, "),
            ),
            (
                &format!("{produce} 20 --record-size 5 --warmup-records 5 --reporting-interval 60000"),
                "",
                Begins(
                    "Warmup first 5 records. Steady state results will print after the complete test summary.\n20 records sent",
                ),
            ),
            (
                &format!("{produce} 20 --record-size 5 --warmup-records 5"),
                "",
                Has("\n15 steady state records sent, "),
            ),
            (
                &format!(
                    "{produce} 10 --payload-file {payloads} --payload-delimiter , --command-property acks=all linger.ms=0"
                ),
                "",
                Begins("10 records sent, "),
            ),
            (
                "console-consumer --topic p --from-beginning --isolation-level read_committed --max-messages 20",
                "",
                Is("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18\n19\n"),
            ),
            (
                "consumer-perf-test --include p.* --num-records 30 --fetch-size 100 --socket-buffer-size 1 --print-metrics \
          --date-format HH'h' --command-property client.id=c",
                "",
                Has("h, "),
            ),
            (
                "consumer-perf-test --topic p --messages 30 --show-detailed-stats --reporting-interval 1 --hide-header",
                "",
                Has(", 0, "),
            ),
            (
                "consumer-perf-test --topic p --messages 1 --from-latest --timeout 500",
                "",
                Has(", 0, 0.0000, "),
            ),
            (
                "end-to-end-latency --topic p2 --num-records 1 --producer-acks all --record-size 5",
                "",
                Has("Avg latency: "),
            ),
        ],
    );
    refused(
        &server,
        &[
            (
                "consumer-perf-test --topic p --num-records 1 --date-format EEE",
                "--date-format: 'EEE': EEE is not known here",
            ),
            (&format!("{produce} 1 --payload-file /nowhere"), "/nowhere"),
        ],
    );
}

#[test]
fn files_of_logs_are_read_with_kafkas_flags() {
    let server = Server::start();
    server.tool(&["topics", "--create", "--topic", "t"]);
    let produce = ["console-producer", "--topic", "t", "--sync", "--reader-property", "parse.key=true"];
    assert!(server.tool_with("12345678\tone\n87654321\ttwo\n", &produce).status.success());
    let segment = server.data.path().join("data/t-0/00000000000000000000.log");
    let dump = |flags: &str| {
        let line = format!("dump-log --files {} {flags}", segment.to_str().unwrap());
        run(&line.split_whitespace().collect::<Vec<_>>())
    };
    assert_eq!(dump("--max-bytes 10").lines().count(), 2);
    assert_eq!(dump("--max-bytes 100 --max-message-size 5").lines().count(), 3);
    assert!(dump("--key-decoder-class LongDecoder").contains(" key: 3544952156018063160 payload: one\n"));
    assert!(dump("--value-decoder-class").contains(" key: 12345678 payload: one\n"));
    let bare = dump("--print-data-log --skip-record-metadata");
    assert_eq!(
        bare.lines().filter(|line| line.starts_with('|')).collect::<Vec<_>>(),
        ["| key: 12345678 payload: one", "| key: 87654321 payload: two"]
    );
    let objects: Vec<serde_json::Value> =
        dump("--print-data-log --json").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects[1]["records"][0]["value"], "two");
    let path = segment.to_str().unwrap();
    for (flag, problem) in [
        ("--share-group-state-decoder", "there are no share groups here"),
        ("--remote-log-metadata-decoder", "there is no tiered storage here"),
    ] {
        assert!(fails(&["dump-log", "--files", path, flag]).contains(problem), "{flag}");
    }
    assert!(
        fails(&["dump-log", "--files", path, "--value-decoder-class", "Mine"])
            .contains("'Mine' is not known")
    );
    // What is damaged stays so, however many bytes are asked for.
    let damaged = server.data.path().join("00000000000000000000.log");
    std::fs::write(&damaged, [std::fs::read(&segment).unwrap(), vec![7; 95]].concat()).unwrap();
    let damaged = damaged.to_str().unwrap();
    for most in ["1000000", "100000000"] {
        let said = fails(&["dump-log", "--files", damaged, "--max-bytes", most]);
        assert!(said.contains("95 bytes are left"), "{said}");
    }
}

#[test]
fn directories_are_formatted_with_kafkas_flags() {
    let data = tempfile::tempdir().unwrap();
    let id = "MkU3OEVBNTcwNTJENDM2Qg";
    let directory = "JEXY6aqzQY-32P5TStzaFg";
    let format = |name: &str, flags: &str| {
        let line = format!("storage format -t {id} --data-dir {}/{name} {flags}", data.path().display());
        line.split_whitespace().map(str::to_string).collect::<Vec<String>>()
    };
    let voter = format!("-I 1@localhost:9093:{directory}");
    for (name, flags, kind) in [
        ("a", "-N", "metadata"),
        ("b", "--standalone", "dynamic metadata voter"),
        ("c", voter.as_str(), "dynamic metadata voter"),
        ("d", "-r 4.3-IV0 -f transaction.version=2 -f metadata.version=30", "metadata"),
    ] {
        let words = format(name, flags);
        let printed = run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let expected = format!(
            "Formatting {kind} directory {}/{name} with metadata.version 4.3-IV0.\n",
            data.path().display()
        );
        assert_eq!(printed, expected, "{flags}");
    }
    let info = run(&["storage", "info", "--data-dir", data.path().join("c").to_str().unwrap()]);
    assert!(info.contains(&format!("directory.id={directory}")), "{info}");
    for (flags, problem) in [
        ("-I 2@localhost:9093:JEXY6aqzQY-32P5TStzaFg", "the only controller is this broker"),
        ("-N --standalone", "cannot be used with"),
        ("-r 3.0", "Unknown metadata.version '3.0'. Supported metadata.version are: 4.3-IV0"),
        ("-f group.version=1", "here it is always at level 0"),
        ("-f nonsense=1", "Unsupported feature: nonsense"),
        ("-S SCRAM-SHA-256=[name=alice,password=x]", "nobody logs in here"),
    ] {
        let words = format("e", flags);
        let said = fails(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(said.contains(problem), "{flags}: {said}");
    }
    assert!(!data.path().join("e").exists());
    assert!(
        run(&["storage", "version-mapping"])
            .starts_with("metadata.version=30 (4.3-IV0)\ntransaction.version=2\n")
    );
    let dependencies = ["storage", "feature-dependencies", "-f", "transaction.version=2"];
    assert_eq!(run(&dependencies), "transaction.version=2 has no dependencies.\n");
}

#[test]
fn every_command_tells_its_version() {
    for command in
        ["topics", "configs", "groups", "console-producer", "console-consumer", "dump-log", "storage"]
    {
        assert!(run(&[command, "--version"]).contains(env!("CARGO_PKG_VERSION")), "{command}");
    }
}

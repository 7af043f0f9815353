//! The tools against a server, both as processes: what scripts read on standard output, and what people on standard error.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "these tests are about processes and their files")]

mod flags;
mod json;
mod streams;
mod transactions;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A server on a port of its own, ended with this.
struct Server {
    process: Child,
    address: String,
    data: tempfile::TempDir,
}

impl Server {
    fn start() -> Server {
        let data = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut process = Command::new(env!("CARGO_BIN_EXE_anabranch"))
            .args(["server", "--listen", &address, "--data-dir"])
            .arg(data.path().join("data"))
            .args([
                "--override",
                "offsets.topic.num.partitions=1",
                "--override",
                "group.initial.rebalance.delay.ms=0",
            ])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the server ended before it was ready");
        }
        // What it says from now on is read by nobody, but must not stop it.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Server { process, address, data }
    }

    /// Runs a tool, with `input` on its standard input.
    fn tool_with(&self, input: &str, words: &[&str]) -> Output {
        let mut process = Command::new(env!("CARGO_BIN_EXE_anabranch"))
            .args(words)
            .args(["--bootstrap-server", &self.address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        process.wait_with_output().unwrap()
    }

    /// Runs a tool that must succeed; its standard output.
    fn tool(&self, words: &[&str]) -> String {
        let output = self.tool_with("", words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a tool that must fail; the one line it says.
    fn refusal(&self, words: &[&str]) -> String {
        let output = self.tool_with("", words);
        assert!(!output.status.success(), "{words:?} succeeds");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.trim_end().lines().count(), 1, "{words:?}: {text}");
        text.trim_end().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_topic_from_its_making_to_its_end() {
    let server = Server::start();
    let created = server.tool(&[
        "topics",
        "--create",
        "--topic",
        "t",
        "--partitions",
        "2",
        "--config",
        "retention.ms=9000",
    ]);
    assert_eq!(created, "Created topic t.\n");
    assert_eq!(server.tool(&["topics", "--list"]), "t\n");
    assert_eq!(
        server.refusal(&["topics", "--create", "--topic", "t"]),
        "anabranch: creating topic t: TOPIC_ALREADY_EXISTS (36): Topic 't' already exists."
    );
    assert_eq!(server.tool(&["topics", "--create", "--topic", "t", "--if-not-exists"]), "");
    let described = server.tool(&["topics", "--describe", "--topic", "t"]);
    let lines: Vec<&str> = described.lines().collect();
    assert!(lines[0].starts_with("Topic: t\tTopicId: "), "{described}");
    assert!(
        lines[0].ends_with("\tPartitionCount: 2\tReplicationFactor: 1\tConfigs: retention.ms=9000"),
        "{described}"
    );
    assert_eq!(lines[2], "\tTopic: t\tPartition: 1\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: ");
    let id = lines[0].split('\t').nth(1).unwrap().trim_start_matches("TopicId: ");
    assert_eq!(server.tool(&["topics", "--describe", "--topic-id", id]), described);
    assert_eq!(server.tool(&["topics", "--describe", "--under-min-isr-partitions"]), "");
    assert_eq!(server.tool(&["topics", "--describe", "--at-min-isr-partitions"]).lines().count(), 2);
    server.tool(&["topics", "--alter", "--topic", "t", "--partitions", "3"]);
    let alter = ["configs", "--alter", "--entity-type", "topics", "--entity-name", "t", "--add-config"];
    let add = [&alter[..], &["cleanup.policy=[compact,delete],max.message.bytes=5000"]].concat();
    assert_eq!(server.tool(&add), "Completed updating config for topic t.\n");
    let shown = server.tool(&["configs", "--describe", "--entity-type", "topics", "--entity-name", "t"]);
    assert_eq!(
        shown.lines().collect::<Vec<_>>()[..2],
        [
            "Dynamic configs for topic t are:",
            "  cleanup.policy=compact,delete sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, \
             DEFAULT_CONFIG:log.cleanup.policy=delete}",
        ]
    );
    let bad = [&alter[..], &["retention.ms=soon"]].concat();
    assert!(
        server
            .refusal(&bad)
            .contains("Invalid value soon for configuration retention.ms: Not a number of type LONG")
    );
    let json: serde_json::Value =
        serde_json::from_str(&server.tool(&["topics", "--describe", "--topic", "t", "--json"])).unwrap();
    assert_eq!(json[0]["partitions"].as_array().unwrap().len(), 3);
    assert_eq!(server.tool(&["topics", "--delete", "--topic", "t"]), "");
    assert_eq!(
        server.refusal(&["topics", "--describe", "--topic", "t"]),
        "anabranch: Topic 't' does not exist as expected"
    );
}

#[test]
fn records_and_groups_and_where_they_stand() {
    let server = Server::start();
    server.tool(&["topics", "--create", "--topic", "t", "--partitions", "1"]);
    let produce = [
        "console-producer",
        "--topic",
        "t",
        "--reader-property",
        "parse.key=true",
        "--reader-property",
        "key.separator=:",
    ];
    let output = server.tool_with("a:1\nb:2\nc:3\n", &produce);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let refused = server.tool_with("no key\n", &produce);
    assert!(!refused.status.success());
    assert_eq!(server.tool(&["get-offsets", "--topic", "t"]), "t:0:3\n");
    assert_eq!(server.tool(&["get-offsets", "--topic", "t", "--time", "-2"]), "t:0:0\n");
    assert_eq!(server.tool(&["get-offsets", "--topic", "t", "--time", "-4"]), "t:0:0\n");
    for tiered in ["-5", "latest-tiered", "-6", "earliest-pending-upload"] {
        assert_eq!(server.tool(&["get-offsets", "--topic", "t", "--time", tiered]), "", "nothing is tiered");
    }

    let consume = [
        "console-consumer",
        "--topic",
        "t",
        "--from-beginning",
        "--timeout-ms",
        "5000",
        "--formatter-property",
        "print.key=true",
    ];
    let all = server.tool(&[&consume[..], &["--max-messages", "3"]].concat());
    assert_eq!(all, "a\t1\nb\t2\nc\t3\n");
    let one = server.tool(&[
        "console-consumer",
        "--topic",
        "t",
        "--partition",
        "0",
        "--offset",
        "1",
        "--max-messages",
        "1",
    ]);
    assert_eq!(one, "2\n");
    let in_group = server.tool(&[&consume[..], &["--max-messages", "2", "--group", "g"]].concat());
    assert_eq!(in_group, "a\t1\nb\t2\n");

    assert_eq!(server.tool(&["groups", "--list"]), "g\n");
    assert_eq!(server.tool(&["groups", "--list", "--state", "Stable"]).lines().count(), 1);
    assert!(
        server.tool(&["groups", "--list", "--type"]).lines().nth(1).unwrap().trim_end().ends_with("Classic")
    );
    let described: serde_json::Value =
        serde_json::from_str(&server.tool(&["groups", "--describe", "--group", "g", "--json"])).unwrap();
    let row = &described[0];
    assert_eq!((&row["topic"], &row["log_end_offset"]), (&"t".into(), &3.into()));
    assert_eq!(row["current_offset"].as_i64().unwrap() + row["lag"].as_i64().unwrap(), 3);
    let reset = ["groups", "--reset-offsets", "--group", "g", "--topic", "t", "--to-offset", "1"];
    let planned = server.tool(&[&reset[..], &["--dry-run"]].concat());
    assert_eq!(planned.lines().nth(2).unwrap().split_whitespace().collect::<Vec<_>>(), ["g", "t", "0", "1"]);
    server.tool(&[&reset[..], &["--execute"]].concat());
    let shifted =
        ["groups", "--reset-offsets", "--group", "g", "--all-topics", "--shift-by", "-5", "--export"];
    assert_eq!(server.tool(&shifted), "t,0,0\n");
    assert_eq!(
        server.tool(&["groups", "--delete", "--group", "g"]),
        "Deletion of requested consumer groups ('g') was successful.\n"
    );

    let file = server.data.path().join("offsets.json");
    std::fs::write(&file, r#"{"partitions":[{"topic":"t","partition":0,"offset":2}],"version":1}"#).unwrap();
    let deleted = server.tool(&["delete-records", "--offset-json-file", file.to_str().unwrap()]);
    assert!(deleted.ends_with("partition: t-0\tlow_watermark: 2\n"), "{deleted}");
    assert_eq!(server.tool(&["get-offsets", "--topic", "t", "--time", "earliest"]), "t:0:2\n");
    let beyond = r#"{"partitions":[{"topic":"t","partition":0,"offset":99}],"version":1}"#;
    std::fs::write(&file, beyond).unwrap();
    let refused = server.tool_with("", &["delete-records", "--offset-json-file", file.to_str().unwrap()]);
    assert!(!refused.status.success());
    let told = String::from_utf8(refused.stdout).unwrap();
    assert!(told.contains("partition: t-0\terror: ") && told.contains("OFFSET_OUT_OF_RANGE"), "{told}");
    assert_eq!(server.tool(&["get-offsets", "--topic-partitions", "t:0-1", "--time", "-1"]), "t:0:3\n");
    assert!(server.refusal(&["groups", "--describe", "--group", "absent"]).contains("absent"));
    let segment = server.data.path().join("data/t-0/00000000000000000000.log");
    let dumped = run(&["dump-log", "--print-data-log", "--files", segment.to_str().unwrap()]);
    assert!(dumped.contains("isvalid: true") && dumped.contains("key: b payload: 2"), "{dumped}");
}

#[test]
fn how_fast_it_goes_is_told_as_kafka_tells_it() {
    let server = Server::start();
    server.tool(&["topics", "--create", "--topic", "t", "--partitions", "1"]);
    let produced =
        server.tool(&["producer-perf-test", "--topic", "t", "--num-records", "500", "--record-size", "20"]);
    assert!(produced.starts_with("500 records sent, ") && produced.contains("ms 99th, "), "{produced}");
    let paced = ["perf", "produce", "--topic", "paced", "--num-records", "500", "--throughput", "50000"];
    assert!(server.tool(&paced).starts_with("500 records sent, "));
    let consumed = server.tool(&["consumer-perf-test", "--topic", "t", "--messages", "500"]);
    let lines: Vec<&str> = consumed.lines().collect();
    assert!(lines[0].starts_with("start.time, end.time, data.consumed.in.MB, MB.sec"), "{consumed}");
    assert_eq!(lines[1].split(", ").nth(4), Some("500"), "{consumed}");
    // The same by our names; the topic is made, and its records come back one by one.
    let latency =
        server.tool(&["perf", "latency", "--topic", "new", "--num-records", "20", "--num-headers", "1"]);
    let lines: Vec<&str> = latency.lines().collect();
    assert!(lines[0].starts_with("0\t") && lines[1].starts_with("Avg latency: "), "{latency}");
    assert!(lines[2].starts_with("Percentiles: 50th = "), "{latency}");
    assert_eq!(server.tool(&["get-offsets", "--topic", "new"]), "new:0:20\n");
    let once = ["end-to-end-latency", "--topic", "new", "--num-records", "1"];
    let json: serde_json::Value =
        serde_json::from_str(&server.tool(&[&once[..], &["--json"]].concat())).unwrap();
    assert_eq!(json["records"], 1);
    let early = [&once[..], &["--producer-acks", "1"]].concat();
    assert!(server.refusal(&early).contains("acks=1"));
    let produced = server.tool(&["perf", "produce", "--topic", "new", "--num-records", "5", "--json"]);
    assert!(produced.contains("\"records\":5"), "{produced}");
    // Kafka's scripts say among the producer's settings where the broker is.
    let servers = format!("bootstrap.servers={}", server.address);
    let words =
        ["perf", "produce", "--topic", "new", "--num-records", "5", "--producer-props", &servers, "acks=all"];
    assert!(run(&words).starts_with("5 records sent, "));
}

#[test]
fn shells_complete_commands_and_flags() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&["completions", shell]);
        assert!(script.contains("dump-log") && script.contains("bootstrap-server"), "{shell}");
    }
}

fn run(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_anabranch")).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fails(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_anabranch")).args(words).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_directory_is_formatted_once() {
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().join("data");
    let directory = directory.to_str().unwrap();
    let id = run(&["storage", "random-uuid"]);
    let format = ["storage", "format", "-t", id.trim(), "--data-dir", directory];
    assert!(run(&format).starts_with("Formatting metadata directory "));
    assert!(fails(&format).contains("is already formatted"));
    assert_eq!(run(&[&format[..], &["-g"]].concat()), "All of the log directories are already formatted.\n");
    assert!(
        run(&["storage", "info", "--data-dir", directory]).contains(&format!("cluster.id={}", id.trim()))
    );
    assert!(fails(&["storage", "format", "-t", "nonsense", "--data-dir", directory]).contains("is no id"));
    assert!(!Path::new("nonsense").exists());
}

#[test]
fn wrong_words_are_told_in_one_line() {
    for (words, expected) in [
        (&["topics", "--list", "--topik", "t"][..], "unexpected argument '--topik' found"),
        (&["console-producer"], "the following required arguments were not provided: --topic <NAME>"),
        (&["no-such-tool"], "unrecognized subcommand 'no-such-tool'"),
        (&["topics", "--list", "--partitions", "many"], "invalid value 'many' for '--partitions <N>'"),
    ] {
        let text = fails(words);
        assert!(
            text.starts_with(&format!("anabranch: {expected}")) && text.ends_with("; see --help\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn where_no_broker_is_that_is_said_in_one_line() {
    let text = fails(&["topics", "--list", "--bootstrap-server", "127.0.0.1:1"]);
    assert!(text.starts_with("anabranch: no broker answers at 127.0.0.1:1"), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
}

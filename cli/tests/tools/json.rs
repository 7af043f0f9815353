//! `--json`: every command that lists prints one array of objects, whose keys are words in small letters
//! (`docs/command-line.md`).

use serde_json::Value;

use super::Server;

fn check_keys(line: &str, value: &Value) {
    let is_word = |key: &str| key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                // Settings are named as Kafka names them.
                assert!(is_word(key) || key.contains('.'), "{line}: {key}");
                check_keys(line, field);
            }
        }
        Value::Array(all) => all.iter().for_each(|one| check_keys(line, one)),
        _ => {}
    }
}

#[test]
fn every_listing_is_an_array_of_objects() {
    let server = Server::start();
    server.tool(&["topics", "--create", "--topic", "t", "--config", "retention.ms=9000"]);
    assert!(server.tool_with("v\n", &["console-producer", "--topic", "t"]).status.success());
    server.tool(&[
        "console-consumer",
        "--topic",
        "t",
        "--from-beginning",
        "--max-messages",
        "1",
        "--group",
        "g",
    ]);
    let before = server.data.path().join("before.json");
    std::fs::write(&before, r#"{"partitions":[{"topic":"t","partition":0,"offset":1}]}"#).unwrap();
    let delete_records = format!("delete-records --offset-json-file {}", before.display());
    for (line, rows) in [
        ("topics --list --exclude-internal", 1),
        ("topics --describe --topic t", 1),
        ("configs --describe --topic t", 1),
        ("configs --describe --entity-type brokers", 2),
        ("configs --describe --entity-type users", 0),
        ("groups --list", 1),
        ("groups --describe --group g", 1),
        ("groups --describe --group g --members", 0),
        ("groups --describe --group g --state", 1),
        ("groups --reset-offsets --group g --all-topics --to-earliest --dry-run", 1),
        ("groups --delete-offsets --group g --topic t", 1),
        ("groups --delete --group g", 1),
        ("get-offsets --topic t", 1),
        (&delete_records, 1),
        ("transactions list", 0),
        ("transactions describe-producers --topic t --partition 0", 1),
        ("transactions find-hanging --topic t", 0),
        ("streams reset --application-id a --input-topics t --intermediate-topics t --dry-run", 2),
        ("storage version-mapping", 7),
    ] {
        let words: Vec<&str> = line.split_whitespace().chain(["--json"]).collect();
        let printed = match words[0] {
            "storage" => super::run(&words),
            _ => server.tool(&words),
        };
        assert_eq!(printed.lines().count(), 1, "{line}: {printed}");
        let value: Value = serde_json::from_str(&printed).unwrap();
        let all = value.as_array().unwrap_or_else(|| panic!("{line}: {printed}"));
        assert_eq!(all.len(), rows, "{line}: {printed}");
        assert!(all.iter().all(Value::is_object), "{line}: {printed}");
        check_keys(line, &value);
    }
}

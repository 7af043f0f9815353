//! The program `word_count` killed in the middle: no word that its broker has acknowledged is lost; and after a clean
//! stop the counts go on exactly.

#![allow(
    clippy::disallowed_methods,
    reason = "it runs a program as a user does: files and clock are the real ones"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anabranch::prelude::*;

use super::on_kafka;

type Words = BTreeMap<String, i64>;

/// The program, built as `cargo test` has built the rest.
fn program() -> PathBuf {
    let build = ["build", "--quiet", "--workspace", "--example", "word_count"];
    let built = Command::new(env!("CARGO")).args(build).status().expect("cargo runs");
    assert!(built.success(), "the example builds");
    let this = std::env::current_exe().expect("a path");
    this.ancestors().nth(2).expect("a target directory").join("examples/word_count")
}

fn word_count(program: &Path, data: &Path, input: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--all").arg("--data-dir").arg(data).arg("--input").arg(input);
    command.stdout(Stdio::piped());
    command
}

/// Runs it to its end, and gives the counts it prints.
fn run(mut command: Command) -> Words {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "it ends well");
    let rows = String::from_utf8(output.stdout).expect("text");
    let row = |row: &str| row.split_once('\t').map(|(word, count)| (word.to_owned(), count.parse().ok()));
    rows.lines().map(|line| row(line).expect("a row")).map(|(word, n)| (word, n.expect("a count"))).collect()
}

fn add(words: &mut Words, line: &str) {
    for word in line.split(' ') {
        *words.entry(word.to_owned()).or_default() += 1;
    }
}

/// Bytes of the records of a topic's first partition.
fn log_bytes(data: &Path, topic: &str) -> u64 {
    let files = std::fs::read_dir(data.join(format!("broker/{topic}-0"))).into_iter().flatten().flatten();
    let logs = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
    logs.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// The words that have reached the broker, once each.
async fn words_in_the_log(data: &Path) -> Result<Words> {
    let builder = StreamsBuilder::new();
    let lines = Topic::<Option<String>, String>::new("lines");
    let words = Arc::new(Mutex::new(Words::new()));
    let seen = Arc::clone(&words);
    builder.stream(lines).for_each(move |_, line| add(&mut seen.lock().expect("not poisoned"), line));
    let running = Streams::new("reader-of-lines", builder.build()?).data_dir(data).start().await?;
    running.drain().await?;
    running.close().await?;
    Ok(std::mem::take(&mut *words.lock().expect("not poisoned")))
}

#[tokio::test]
async fn a_killed_program_loses_no_word() -> Result<()> {
    if on_kafka() {
        return Ok(());
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (data, program) = (directory.path().join("data"), program());
    let (text, little) = (directory.path().join("text"), directory.path().join("little"));
    let line = |n: u32| format!("w{} w{} w{} w{}", n % 7, n % 101, n % 499, n % 997);
    std::fs::write(&text, (0..100_000).map(line).collect::<Vec<_>>().join("\n")).expect("written");
    std::fs::write(&little, "the end").expect("written");

    let mut killed = word_count(&program, &data, &text).spawn().expect("it runs");
    // In the middle of everything: lines have arrived, some are counted, some counts are committed.
    while log_bytes(&data, "counts") < 20_000 || log_bytes(&data, "lines") < 200_000 {
        assert!(killed.try_wait().expect("a state").is_none(), "it ended before it was killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    killed.kill().expect("killed");
    killed.wait().expect("it has ended");

    let counted = run(word_count(&program, &data, &little));
    let written = words_in_the_log(&data).await?;
    assert!(written.len() > 900, "{} words", written.len());
    for (word, count) in &written {
        assert!(counted.get(word) >= Some(count), "{word}: {count} written, {:?} counted", counted.get(word));
    }

    let again = run(word_count(&program, &data, &little));
    let mut expected = counted;
    add(&mut expected, "the end");
    assert_eq!(again, expected, "after a clean stop nothing is lost and nothing counts twice");
    Ok(())
}

//! A recording: what went in, and what Kafka Streams made of it.

use std::path::{Path, PathBuf};

use anabranch::prelude::*;
use serde_json::Value;

/// A file of `data/`.
pub(crate) struct Recording {
    /// Of which topology.
    pub(crate) topology: String,
    /// Whether Kafka Streams' cache had its usual size; else it had none.
    pub(crate) cached: bool,
    /// What the topology prints.
    pub(crate) describe: String,
    /// What it prints when optimised, if that differs.
    pub(crate) describe_optimized: Option<String>,
    /// In order.
    pub(crate) steps: Vec<Recorded>,
}

/// A step and what came out.
#[derive(Debug, PartialEq)]
pub(crate) struct Recorded {
    /// What was done.
    pub(crate) input: Step,
    /// What was written to the user's topics, by topic, in each in the order of writing.
    pub(crate) out: Vec<Written>,
    /// What was written to internal topics, likewise.
    pub(crate) internal: Vec<Written>,
}

/// What was done.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// The wall clock went on by so many milliseconds.
    Advance(u64),
    /// A record came.
    Record {
        /// Its topic.
        topic: String,
        /// What it was.
        record: RawRecord,
    },
}

/// A record that was written.
#[derive(Debug, PartialEq)]
pub(crate) struct Written {
    /// Its topic.
    pub(crate) topic: String,
    /// What it is.
    pub(crate) record: RawRecord,
}

impl Recording {
    /// Reads a recording: `cached/count_by_key-1`.
    pub(crate) fn of(name: &str) -> Recording {
        Recording::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("vectors/data/{name}.json")))
    }

    /// Reads a recording from a file.
    pub(crate) fn read(path: &Path) -> Recording {
        let text = read_file(path);
        let file: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Recording {
            topology: string(&file["topology"]),
            cached: file["cache"].as_bool().unwrap(),
            describe: string(&file["describe"]),
            describe_optimized: file.get("describe_optimized").map(string),
            steps: list(&file["steps"]).iter().map(step).collect(),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "recordings are part of the sources, not of a world that is simulated"
)]
fn read_file(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    String::from_utf8(bytes).unwrap()
}

/// The recordings below a directory, by path.
#[expect(
    clippy::disallowed_methods,
    reason = "recordings are part of the sources, not of a world that is simulated"
)]
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Whether there is such a file.
pub(crate) fn exists(file: &Path) -> bool {
    file.is_file()
}

fn step(step: &Value) -> Recorded {
    let input = match step.get("advance_wall_clock_ms") {
        Some(ms) => Step::Advance(ms.as_u64().unwrap()),
        None => Step::Record { topic: string(&step["topic"]), record: record(step) },
    };
    Recorded { input, out: written(&step["out"]), internal: written(&step["internal"]) }
}

fn written(records: &Value) -> Vec<Written> {
    list(records)
        .iter()
        .map(|entry| Written { topic: string(&entry["topic"]), record: record(entry) })
        .collect()
}

fn record(entry: &Value) -> RawRecord {
    let mut headers = Headers::new();
    for header in list(&entry["headers"]) {
        match bytes(&header["value"]) {
            Some(value) => headers.add(string(&header["key"]), value),
            None => headers.add_null(string(&header["key"])),
        }
    }
    RawRecord {
        key: bytes(&entry["key"]),
        value: bytes(&entry["value"]),
        timestamp: entry.get("timestamp").and_then(Value::as_i64),
        headers,
    }
}

/// Text is itself, `0x..` is hex, null is null.
fn bytes(value: &Value) -> Option<Bytes> {
    let text = value.as_str()?;
    let Some(hex) = text.strip_prefix("0x") else { return Some(text.to_owned().into()) };
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn string(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

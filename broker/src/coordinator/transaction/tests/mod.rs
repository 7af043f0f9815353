//! Stories of producers and their coordinator: each line a request and what comes of it, with the log replayed after each.

mod stories;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anabranch_protocol::ErrorCode;

use super::admin::Filter;
use super::effects::{Effects, Markers};
use super::init_producer_id::InitProducerId;
use super::metadata::TransactionState;
use super::records::TransactionRecord;
use super::*;
use crate::config::BrokerConfig;
use crate::internal_log::batch_bytes;

const START_MS: u64 = 1_750_000_000_000;

fn now_at(ms: u64) -> Now {
    Now { monotonic: Instant::from_start(Duration::from_millis(ms)), wall_clock_ms: (START_MS + ms) as i64 }
}

/// A coordinator and its log.
struct Teller {
    core: TransactionCoordinator,
    log: Vec<TransactionRecord>,
    /// Markers that are still to be written.
    markers: Vec<Markers>,
    now_ms: u64,
    /// How far the wall clock is off.
    skew_ms: i64,
    next_producer_id: i64,
    /// How large a batch the log takes.
    max_batch_bytes: Option<usize>,
}

fn config() -> TransactionConfig {
    BrokerConfig::default().transaction
}

impl Teller {
    fn new() -> Teller {
        let mut core = TransactionCoordinator::new(config());
        core.loaded(now_at(0), &mut Effects::default());
        Teller {
            core,
            log: Vec::new(),
            markers: Vec::new(),
            now_ms: 0,
            skew_ms: 0,
            next_producer_id: 100,
            max_batch_bytes: None,
        }
    }

    fn now(&self) -> Now {
        let now = now_at(self.now_ms);
        Now { wall_clock_ms: now.wall_clock_ms + self.skew_ms, ..now }
    }

    /// Carries out the effects, and checks that the log leads to where the coordinator stands.
    fn settle(&mut self, effects: Effects) {
        for (key, value) in effects.records.iter().map(TransactionRecord::encode) {
            let bytes = batch_bytes(&key, value.as_deref());
            assert!(self.max_batch_bytes.is_none_or(|most| bytes <= most), "{bytes} bytes are too many");
        }
        self.log.extend(effects.records);
        self.markers.extend(effects.markers);
        let replayed = replay(&self.log);
        let states = |core: &TransactionCoordinator| -> Vec<_> {
            core.transactions.iter().map(|(id, known)| (id.clone(), known.metadata.clone())).collect()
        };
        assert_eq!(states(&replayed), states(&self.core), "live == replay");
    }

    fn step(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let now = self.now();
        let mut effects = Effects { max_batch_bytes: self.max_batch_bytes, ..Effects::default() };
        let mut next_producer_id = self.next_producer_id;
        let mut new_producer_id = || {
            next_producer_id += 1;
            Ok(next_producer_id - 1)
        };
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        let producer = |at| ProducerIdAndEpoch { producer_id: number(at), epoch: number(at + 1) as i16 };
        let caller = || Caller { transactional_id: words[1], producer: producer(2) };
        let told = match words[0] {
            "init" => {
                let timeout_ms = words.iter().find_map(|word| word.strip_prefix("timeout="));
                let request = InitProducerId {
                    transactional_id: if words[1] == "-" { "" } else { words[1] },
                    timeout_ms: timeout_ms.map_or(60_000, |ms| ms.parse().unwrap()),
                    expected: (words.len() > 3).then(|| producer(2)),
                };
                identity(self.core.init_producer_id(now, request, new_producer_id, &mut effects))
            }
            "add" | "add2" => {
                let version = if words[0] == "add" { 0 } else { 2 };
                let added =
                    self.core.add_partitions(now, &caller(), &partitions(words[4]), version, &mut effects);
                added.map_or_else(|error| error.name().to_string(), |()| "ok".to_string())
            }
            "verify" => match self.core.verify_partitions(&caller(), &partitions(words[4])) {
                Ok(errors) => errors.iter().map(|error| error.name()).collect::<Vec<_>>().join(" "),
                Err(error) => error.name().to_string(),
            },
            "end" | "end2" => {
                let version = if words[0] == "end" { 0 } else { 2 };
                let is_commit = words[4] == "commit";
                identity(self.core.end_transaction(
                    now,
                    &caller(),
                    is_commit,
                    version,
                    &mut new_producer_id,
                    &mut effects,
                ))
            }
            "markers" => {
                let written = std::mem::take(&mut self.markers);
                written.iter().for_each(|markers| self.core.markers_written(now, markers, &mut effects));
                written.iter().map(show).collect::<Vec<_>>().join("; ")
            }
            // Written, but nobody learns it.
            "lose" => std::mem::take(&mut self.markers).iter().map(show).collect::<Vec<_>>().join("; "),
            "crash" => {
                self.core = replay(&self.log);
                self.markers.clear();
                self.core.loaded(now, &mut effects);
                effects.markers.iter().map(show).collect::<Vec<_>>().join("; ")
            }
            "clock" => {
                self.skew_ms = number(1);
                "ok".to_string()
            }
            "wait" => {
                let until = self.now_ms + number(1) as u64;
                while let Some(at) = self.core.next_deadline() {
                    let at_ms = at.since_start().as_millis() as u64;
                    if at_ms > until {
                        break;
                    }
                    self.now_ms = self.now_ms.max(at_ms);
                    let now = self.now();
                    self.core.expire(now, &mut effects);
                }
                self.now_ms = until;
                format!("{} records", effects.records.len())
            }
            "state" => match self.core.describe_transaction(words[1]) {
                Ok(metadata) => format!(
                    "{} {}/{} {}",
                    metadata.state.name(),
                    metadata.producer_id,
                    metadata.producer_epoch,
                    metadata.partitions.len()
                ),
                Err(error) => error.name().to_string(),
            },
            "most" => {
                self.max_batch_bytes = Some(words[1].parse().unwrap());
                String::new()
            }
            // Uses up the epochs of an id.
            "epoch" => {
                let id: Arc<str> = words[1].into();
                let mut metadata = self.core.describe_transaction(&id).unwrap();
                metadata.producer_epoch = number(2) as i16;
                self.core.write(&id, metadata, &mut effects);
                String::new()
            }
            other => panic!("what is {other}?"),
        };
        self.next_producer_id = next_producer_id;
        self.settle(effects);
        told
    }
}

fn replay(log: &[TransactionRecord]) -> TransactionCoordinator {
    let mut core = TransactionCoordinator::new(config());
    for record in log {
        let (key, value) = record.encode();
        core.replay(&TransactionRecord::decode(&key, value.as_ref()).unwrap());
    }
    core
}

fn identity(given: Result<ProducerIdAndEpoch, ErrorCode>) -> String {
    match given {
        Ok(given) => format!("{}/{}", given.producer_id, given.epoch),
        Err(error) => error.name().to_string(),
    }
}

fn partitions(text: &str) -> Vec<(Arc<str>, i32)> {
    let partition = |text: &str| {
        let (topic, index) = text.rsplit_once('-').unwrap();
        (Arc::from(topic), index.parse().unwrap())
    };
    text.split(',').map(partition).collect()
}

fn show(markers: &Markers) -> String {
    let partitions: BTreeSet<_> =
        markers.partitions.iter().map(|(topic, index)| format!("{topic}-{index}")).collect();
    let partitions: Vec<_> = partitions.into_iter().collect();
    format!(
        "{} {}/{} {} v{} {}",
        markers.transactional_id,
        markers.producer_id,
        markers.producer_epoch,
        if markers.is_commit { "commit" } else { "abort" },
        markers.client_version,
        partitions.join(",")
    )
}

/// Tells a story: lines of `request => outcome`.
fn check(story: &str) {
    let mut teller = Teller::new();
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (request, expected) = line.split_once("=>").unwrap_or((line, ""));
        assert_eq!(teller.step(request).trim(), expected.trim(), "{line}\nin {story}");
    }
}

#[test]
fn transactions_are_listed_as_wanted() {
    let mut teller = Teller::new();
    for line in ["init a", "init b", "add a 100 0 t-0", "wait 5000", "init c", "add2 c 102 0 t-0"] {
        teller.step(line);
    }
    let listed = |filter: Filter| {
        let listed = teller.core.list_transactions(teller.now(), &filter);
        listed.into_iter().map(|(id, ..)| id.to_string()).collect::<String>()
    };
    assert_eq!(listed(Filter::default()), "abc");
    assert_eq!(listed(Filter { states: vec![TransactionState::Ongoing], ..Filter::default() }), "ac");
    assert_eq!(listed(Filter { producer_ids: vec![101, 7], ..Filter::default() }), "b");
    // One that never was open counts as open for ever, as in Kafka.
    assert_eq!(listed(Filter { longer_than_ms: Some(4999), ..Filter::default() }), "ab");
    assert_eq!(listed(Filter { longer_than_ms: Some(5000), ..Filter::default() }), "b");
}

#[test]
fn what_is_under_way_is_told_from_what_came_before_it() {
    // Whether what this producer has open in t-0 and t-1, in this epoch, is of the transaction that is known.
    let check = |steps: &[&str], producer_id: i64, epoch: i16, expected: [bool; 2]| {
        let mut teller = Teller::new();
        steps.iter().for_each(|step| drop(teller.step(step)));
        let producer = ProducerIdAndEpoch { producer_id, epoch };
        let known = [0, 1].map(|partition| teller.core.is_under_way(producer, "t", partition));
        assert_eq!(known, expected, "{steps:?}: {producer:?}");
    };
    check(&["init a"], 100, 0, [false, false]);
    check(&["init a", "add a 100 0 t-0"], 100, 0, [true, false]);
    check(&["init a", "add a 100 0 t-0"], 101, 0, [false, false]);
    check(&["init a", "add a 100 0 t-0", "end a 100 0 commit"], 100, 0, [true, false]);
    check(&["init a", "add a 100 0 t-0", "end a 100 0 commit", "markers"], 100, 0, [false, false]);
    // In the newer protocol the next transaction has the next epoch.
    let ended = ["init a", "add2 a 100 0 t-0", "end2 a 100 0 commit"];
    check(&ended[..2], 100, 0, [true, false]);
    check(&ended, 100, 0, [true, false]);
    check(&ended, 100, 1, [false, false]);
    // Who takes the id over ends what was open in the epoch before.
    check(&["init a", "add a 100 0 t-0", "init a"], 100, 0, [true, false]);
}

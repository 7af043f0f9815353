//! Crashes at many moments of random runs: what recovery makes of what the disk kept.
//!
//! A run appends, waits, rolls, cuts, deletes and makes anew several logs. Between its steps, and in the midst of them,
//! the disk is copied and the copy's power is cut, which keeps a random part of what was not synced, torn at sectors.
//! Whatever is left: what was durable is there, what is there was appended, nothing of it is damaged, and recovering
//! again, or after a crash in the midst of recovering, gives the same. The same holds of what is known of transactions.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use anabranch_host::sim::DiskOptions;
use anabranch_protocol::records::{end_transaction_marker, set_transactional};

use super::*;

/// What a run did to one log.
#[derive(Clone, Debug, Default)]
struct Model {
    /// What was appended, by offset.
    values: Vec<String>,
    /// Below it all is durable.
    durable_end: i64,
    /// The start that is durable, and the one that may be.
    start: i64,
    wanted_start: i64,
    /// Whether a deletion was begun, and whether it is durable.
    is_deleting: bool,
    is_deleted: bool,
    /// Cut back once: what was appended before may be there instead, until a cut is durable.
    before_cut: Option<Vec<String>>,
    /// The last batch of the idempotent producer: base offset, records, base sequence.
    last_batch: Option<(i64, usize, i32)>,
}

type Models = Rc<RefCell<BTreeMap<(PartitionName, Uuid), Model>>>;

fn next(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// A batch of the log's idempotent producer.
fn producer_batch(values: &[String], base_sequence: i32) -> BytesMut {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let mut batch = batch_at(NOW_MS, &values);
    set_producer(&mut batch, 77, 0, base_sequence);
    seal(&mut batch);
    batch
}

/// The producer of transactions.
const TRANSACTIONAL: i64 = 88;

/// A step of the log's transactions: a batch, or the marker that ends what is open. Returns its values.
fn transaction_step(log: &mut Log, state: &mut u64) -> Vec<String> {
    if next(state, 3) == 0 {
        let marker = end_transaction_marker(NOW_MS, TRANSACTIONAL, 0, next(state, 3) == 0, 0).freeze();
        log.append(&marker, 3, AppendOrigin::Coordinator, NOW_MS).unwrap();
        return vec!["\0".repeat(6)];
    }
    let values: Vec<String> = (0..1 + next(state, 2)).map(|n| format!("in a transaction {n}")).collect();
    let mut batch = batch_at(NOW_MS, &values.iter().map(String::as_str).collect::<Vec<_>>());
    let known = log.producers().into_iter().find(|(id, _)| *id == TRANSACTIONAL);
    set_producer(&mut batch, TRANSACTIONAL, 0, known.map_or(0, |(_, state)| state.last_sequence() + 1));
    set_transactional(&mut batch);
    seal(&mut batch);
    log.append(&batch.freeze(), 3, AppendOrigin::Transaction(Membership::Verified), NOW_MS).unwrap();
    values
}

/// What the batches themselves say of transactions must be what the log knows: those that were aborted, by first and last
/// offset, and the one that is open.
fn check_transactions(log: &Log) {
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    let (mut aborted, mut open, mut first_marker) = (Vec::new(), None, None);
    let mut offset = start;
    loop {
        let records = log.read(offset, 300, end).unwrap();
        let Some(last) = batches(&records).map(Result::unwrap).last() else { break };
        for batch in batches(&records).map(Result::unwrap) {
            let header = batch.header;
            if header.is_control() {
                let is_commit = batch.bytes[batch.bytes.len() - 10..].contains(&1);
                let ended: Option<i64> = open.take();
                aborted.extend(ended.filter(|_| !is_commit).map(|first| (first, header.base_offset)));
                first_marker.get_or_insert(header.base_offset);
            } else if header.is_transactional() {
                open.get_or_insert(header.base_offset);
            }
        }
        offset = last.header.next_offset();
    }
    // Where the log was cut at its start, nobody can see where the first transaction began.
    let known_from = if start == 0 { -1 } else { first_marker.unwrap_or(end) };
    let is_known = |last_offset: i64| last_offset > known_from;
    let noted = log.aborted_transactions(start, end).unwrap();
    let noted = noted.iter().map(|transaction| (transaction.first_offset, transaction.last_offset));
    let noted: Vec<_> = noted.filter(|(_, last)| is_known(*last)).collect();
    aborted.retain(|(_, last)| is_known(*last));
    assert_eq!(noted, aborted, "{start} to {end}");
    if known_from < end {
        let noted: Vec<_> = log.open_transactions().iter().map(|open| open.first_offset).collect();
        assert_eq!(noted, Vec::from_iter(open));
        assert_eq!(log.last_stable_offset(end), open.unwrap_or(end));
    }
}

/// A directory at work, and the models of its logs.
struct Run {
    directory: LogDirectory,
    logs: Vec<Log>,
    models: Models,
    config: Arc<TopicConfig>,
    state: u64,
    made: u8,
}

impl Run {
    async fn start(host: &Host, seed: u64, models: Models) -> Run {
        let config = config(|config| {
            config.segment_bytes = 1500;
            config.index_interval_bytes = 100;
            config.file_delete_delay_ms = 20;
        });
        let (directory, found) = open(host, &config).await;
        assert!(found.is_empty());
        let mut run = Run { directory, logs: Vec::new(), models, config, state: seed, made: 0 };
        for partition in 0..3 {
            run.make(partition);
        }
        run
    }

    fn make(&mut self, partition: i32) {
        self.made += 1;
        let (name, topic_id) = (PartitionName::new("t", partition), Uuid([self.made; 16]));
        self.models.borrow_mut().insert((name.clone(), topic_id), Model::default());
        self.logs.push(self.directory.create(name, topic_id, self.config.clone()));
    }

    fn model<T>(models: &Models, log: &Log, change: impl FnOnce(&mut Model) -> T) -> T {
        let mut models = models.borrow_mut();
        change(models.get_mut(&(log.name().clone(), log.topic_id())).expect("every log has a model"))
    }

    /// One random step.
    async fn step(&mut self) {
        let at = next(&mut self.state, self.logs.len() as u64) as usize;
        let models = self.models.clone();
        match next(&mut self.state, 100) {
            0..20 => {
                let log = &mut self.logs[at];
                let values = transaction_step(log, &mut self.state);
                check_transactions(log);
                Self::model(&models, log, |model| model.values.extend(values));
            }
            20..60 => {
                let count = 1 + next(&mut self.state, 4) as usize;
                let size = [3, 30, 250][next(&mut self.state, 3) as usize];
                let tag = next(&mut self.state, 1_000_000);
                let log = &mut self.logs[at];
                let values: Vec<String> =
                    (0..count).map(|n| format!("{tag}-{n}-{}", "x".repeat(size))).collect();
                let sequence = Self::model(&models, log, |model| {
                    model.last_batch.map_or(0, |(_, count, sequence)| sequence + count as i32)
                });
                let info = append_batch(log, producer_batch(&values, sequence)).unwrap();
                Self::model(&models, log, |model| {
                    assert_eq!(info.base_offset, model.values.len() as i64);
                    model.values.extend(values);
                    model.last_batch = Some((info.base_offset, count, sequence));
                });
            }
            60..78 => {
                let log = &self.logs[at];
                let end = log.log_end_offset();
                log.settled().await.unwrap();
                Self::model(&models, log, |model| model.durable_end = model.durable_end.max(end));
            }
            78..84 => self.directory.checkpoint().await.unwrap(),
            84..90 => {
                let log = &mut self.logs[at];
                let high_watermark = log.durable_end_offset();
                let span = (high_watermark - log.log_start_offset()).max(0) as u64;
                let start = log.log_start_offset() + next(&mut self.state, span + 1) as i64;
                Self::model(&models, log, |model| model.wanted_start = model.wanted_start.max(start));
                log.advance_log_start(start, high_watermark).unwrap();
                // The segments of earlier times.
                let removed = log.delete_old_segments(NOW_MS, high_watermark).unwrap();
                self.directory.remove(removed, Duration::from_millis(5));
                self.directory.settled().await.unwrap();
                Self::model(&models, log, |model| {
                    model.start = model.start.max(start);
                    model.durable_end = model.durable_end.max(high_watermark);
                });
            }
            90..94 => {
                // Cut back, as a follower does.
                let log = &mut self.logs[at];
                let span = (log.log_end_offset() - log.log_start_offset()) as u64;
                if span == 0 {
                    return;
                }
                let to = log.log_end_offset() - 1 - next(&mut self.state, span.min(9)) as i64;
                Self::model(&models, log, |model| {
                    model.before_cut = Some(model.values.clone());
                    // Whole batches go, of at most four records; where they begin, it is cut.
                    model.durable_end = model.durable_end.min(to - 3).max(0);
                    model.start = model.start.min(to - 3).max(0);
                    model.values.truncate(to as usize);
                });
                let Some(durable) = log.begin_truncation(to).unwrap() else { return };
                durable.await.unwrap();
                log.finish_truncation(NOW_MS).unwrap();
                let (log_start, end) = (log.log_start_offset(), log.log_end_offset());
                let producers = log.producers();
                let last = producers.first().filter(|(id, _)| *id == 77);
                let last = last.and_then(|(_, state)| state.batches.back()).copied();
                check_transactions(log);
                Self::model(&models, log, |model| {
                    assert!(end <= to && to - end < 4);
                    model.before_cut = None;
                    model.values.truncate(end as usize);
                    model.durable_end = model.durable_end.min(end);
                    model.start = log_start;
                    model.wanted_start = model.wanted_start.min(end);
                    model.last_batch = last.map(|batch| {
                        (batch.base_offset(), batch.offset_delta as usize + 1, batch.base_sequence())
                    });
                });
            }
            94..97 => {
                let log = self.logs.swap_remove(at);
                let (partition, model) = (log.name().partition, (log.name().clone(), log.topic_id()));
                models.borrow_mut().get_mut(&model).unwrap().is_deleting = true;
                let durable = self.directory.delete(&log).unwrap();
                if next(&mut self.state, 2) == 0 {
                    durable.await.unwrap();
                    models.borrow_mut().get_mut(&model).unwrap().is_deleted = true;
                }
                self.make(partition);
            }
            _ => self.directory.settled().await.unwrap(),
        }
    }
}

/// Opens what a crash left and holds it against the models.
async fn check(
    host: &Host,
    models: &BTreeMap<(PartitionName, Uuid), Model>,
) -> BTreeMap<PartitionName, Vec<(i64, String)>> {
    let config = config(|config| config.segment_bytes = 1500);
    let (directory, found) = open(host, &config).await;
    let mut contents = BTreeMap::new();
    let mut left = models.clone();
    for found in found {
        let topic_id = found.topic_id.expect("its id was synced with its first batch");
        let mut log = found.log.unwrap();
        let records = all(&log);
        contents.insert(found.name.clone(), records.clone());
        let model = left.remove(&(found.name.clone(), topic_id)).expect("only what was made is found");
        assert!(!model.is_deleted, "a deleted log came back");
        if model.is_deleting {
            // Its parts may go one by one.
            continue;
        }
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        assert!(end >= model.durable_end, "{}: {end} of {} durable", found.name, model.durable_end);
        assert!(
            (model.start..=model.wanted_start).contains(&start),
            "{}: starts at {start}, {model:?}",
            found.name
        );
        let expected = |values: &[String]| -> Option<Vec<(i64, String)>> {
            let values = values.get(start as usize..end as usize)?;
            Some((start..).zip(values.iter().cloned()).collect())
        };
        // A read gives the whole first batch, which may begin before the log does.
        let records: Vec<_> = records.into_iter().filter(|(offset, _)| *offset >= start).collect();
        let is_before_cut =
            model.before_cut.as_ref().is_some_and(|values| expected(values).as_ref() == Some(&records));
        let is_expected = expected(&model.values).as_ref() == Some(&records);
        assert!(is_expected || is_before_cut, "{}: {records:?} are left of {model:?}", found.name);
        assert_eq!(log.durable_end_offset(), end, "all that is found is durable");
        check_transactions(&log);
        for (offset, _) in &records {
            assert_eq!(log.epoch_of(*offset), Some(3));
        }
        // A producer that sends its last batch again is told so.
        if let Some((base_offset, count, sequence)) = model.last_batch
            && is_expected
            && base_offset + count as i64 <= end
            && base_offset >= start
        {
            let values = &model.values[base_offset as usize..base_offset as usize + count];
            let info = append_batch(&mut log, producer_batch(values, sequence)).unwrap();
            assert_eq!((info.is_duplicate, info.base_offset), (true, base_offset));
        }
    }
    for ((name, id), model) in left {
        let is_gone = model.durable_end == 0 || model.is_deleting;
        assert!(is_gone, "{name} of {id} is not there, but {} records were durable", model.durable_end);
    }
    directory.settled().await.unwrap();
    contents
}

/// Crashes copies of node `a`'s disk as it is right now, and checks what is left.
async fn crash_copies(sim: &Sim, models: &Models, copies: usize, state: &mut u64) {
    let models = models.borrow().clone();
    for copy in 0..copies {
        let node = format!("copy-{copy}");
        sim.copy_disk("a", &node);
        if next(state, 4) == 0 {
            sim.kill(&node)
        } else {
            sim.crash(&node)
        }
        // Perhaps the power goes again while it recovers.
        let mut tries = next(state, 3);
        while tries > 0 {
            tries -= 1;
            let host = sim.node(&node);
            let config = config(|config| config.segment_bytes = 1500);
            let recovering = host.spawn({
                let host = host.clone();
                async move { open(&host, &config).await.1.len() }
            });
            sim.sleep(Duration::from_micros(next(state, 20_000))).await;
            if next(state, 3) == 0 {
                sim.kill(&node)
            } else {
                sim.crash(&node)
            }
            drop(recovering);
        }
        let first = check(&sim.node(&node), &models).await;
        sim.crash(&node);
        let second = check(&sim.node(&node), &models).await;
        assert_eq!(first, second, "recovery of what was recovered changes nothing");
    }
}

fn run(seed: u64, steps: usize, copies: usize) {
    simulate(seed, async |sim| {
        let models = Models::default();
        let host = sim.node("a");
        let mut run = Run::start(&host, seed, models.clone()).await;
        let mut state = seed ^ 0x9e37_79b9;
        for _ in 0..steps {
            // The copies are made when the step is done, or in the midst of it.
            let delay = Duration::from_micros(next(&mut state, 8000));
            {
                let step = run.step();
                tokio::pin!(step);
                tokio::select! {
                    biased;
                    () = &mut step => {}
                    () = sim.sleep(delay) => {
                        crash_copies(sim, &models, copies, &mut state).await;
                        step.await;
                    }
                }
            }
            if next(&mut state, 3) == 0 {
                crash_copies(sim, &models, copies, &mut state).await;
            }
        }
    });
}

/// More, and longer: `SEEDS=1000..2000 cargo test -p anabranch-broker --release whatever_a_crash`.
#[test]
fn whatever_a_crash_leaves_recovers_to_what_was_promised() {
    match std::env::var("SEEDS") {
        Err(_) => (0..24).for_each(|seed| run(seed, 60, 2)),
        Ok(seeds) => {
            let (first, last) = seeds.split_once("..").expect("SEEDS=first..last");
            (first.parse().unwrap()..last.parse().unwrap()).for_each(|seed| run(seed, 120, 3));
        }
    }
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_what_was_is_kept() {
    for seed in 0..60 {
        let options = SimOptions {
            disk: DiskOptions { sync_failure_probability: 0.05, ..DiskOptions::default() },
            ..SimOptions::default()
        };
        let sim = Sim::new(seed, options);
        sim.block_on(async {
            let config = config(|config| config.segment_bytes = 1500);
            let host = sim.node("a");
            host.disk().create_dir_all(Path::new("data")).unwrap();
            let directory = LogDirectory::open(&host, Path::new("data"), directory_config(&config)).await;
            let Ok((directory, _)) = directory else { return };
            let mut log = directory.create(name(), TOPIC_ID, config.clone());
            let mut durable_end = 0;
            let mut appended = Vec::new();
            let failed = loop {
                let value = format!("{} {}", appended.len(), "x".repeat(300));
                match append_batch(&mut log, batch_at(NOW_MS, &[&value])) {
                    Ok(info) => appended.push((info.base_offset, value)),
                    Err(error) => break error,
                }
                let end = log.log_end_offset();
                if appended.len() % 3 == 0 && log.settled().await.is_ok() {
                    durable_end = end;
                }
                if appended.len() % 10 == 0 {
                    let _ = directory.checkpoint().await;
                }
                if appended.len() == 200 {
                    return;
                }
            };
            assert_eq!(failed.error_code().name(), "KAFKA_STORAGE_ERROR");
            assert!(directory.is_offline());
            if log.durable_end_offset() < log.log_end_offset() {
                assert_eq!(log.settled().await, Err(Gone::Offline));
            }
            let promised = log.durable_end_offset();
            assert!(promised >= durable_end);
            sim.crash("a");
            sim.set_disk("a", DiskOptions::default());
            let (_directory, found) = open(&sim.node("a"), &config).await;
            let found = found.into_iter().next().map_or(Vec::new(), |found| all(&found.log.unwrap()));
            assert!(found.len() as i64 >= promised, "{} of {promised}", found.len());
            assert_eq!(found, appended[..found.len()]);
        });
    }
}

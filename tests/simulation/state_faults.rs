//! Makes state directories fail, under the seed: no room, syncs, writes and reads that fail, flipped bits, files that are
//! gone or old; and changelogs that no longer reach back to what is on disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anabranch_client::TopicPartition;
use anabranch_host::sim::DiskOptions;
use anabranch_host::{Host, Instant, Sim};

use crate::committed::all_bytes;
use crate::producers::connect;
use crate::seeds::Witness;

/// The `state.dir` of each instance.
pub(crate) const STATE: &str = "/var/lib/app";

/// The stores of an application.
const STORES: &str = "stores";
/// What they have written last.
const JOURNAL: &str = "stores/journal";
/// What may vanish of an application's directory: of its files, or all of it.
const FILES: [&str; 4] = [JOURNAL, STORES, "process-id", ""];

/// What can fail of an instance's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StateFault {
    FullDisk,
    BadSync,
    BadWrites,
    BadReads,
    Flip,
    FlipWhileDown,
    Remove,
    RemoveWhileDown,
    Kill,
    Crash,
    Truncate,
    Backup,
}

const STATE_FAULTS: [StateFault; 12] = [
    StateFault::FullDisk,
    StateFault::BadSync,
    StateFault::BadWrites,
    StateFault::BadReads,
    StateFault::Flip,
    StateFault::FlipWhileDown,
    StateFault::Remove,
    StateFault::RemoveWhileDown,
    StateFault::Kill,
    StateFault::Crash,
    StateFault::Truncate,
    StateFault::Backup,
];

impl StateFault {
    fn name(self) -> &'static str {
        match self {
            StateFault::FullDisk => "full disk",
            StateFault::BadSync => "sync that fails",
            StateFault::BadWrites => "writes that fail",
            StateFault::BadReads => "reads that fail",
            StateFault::Flip => "bit flipped while running",
            StateFault::FlipWhileDown => "bit flipped while down",
            StateFault::Remove => "files removed while running",
            StateFault::RemoveWhileDown => "files removed while down",
            StateFault::Kill => "kill",
            StateFault::Crash => "power lost",
            StateFault::Truncate => "changelog truncated",
            StateFault::Backup => "old copy put back",
        }
    }

    /// What a disk is like that fails so.
    fn disk(self, calm: &DiskOptions) -> Option<DiskOptions> {
        match self {
            StateFault::FullDisk => Some(DiskOptions { capacity_bytes: Some(0), ..calm.clone() }),
            StateFault::BadSync => Some(DiskOptions { sync_failure_probability: 0.7, ..calm.clone() }),
            StateFault::BadWrites => Some(DiskOptions { write_failure_probability: 0.3, ..calm.clone() }),
            StateFault::BadReads => Some(DiskOptions { read_failure_probability: 0.3, ..calm.clone() }),
            _ => None,
        }
    }
}

/// All kinds of failures, as a witness knows them.
pub(crate) fn names() -> [&'static str; STATE_FAULTS.len()] {
    STATE_FAULTS.map(StateFault::name)
}

/// Whose state fails.
pub(crate) struct StateFaults<'a> {
    pub(crate) sim: &'a Sim,
    pub(crate) application_id: &'static str,
    pub(crate) instances: usize,
    /// Changelogs in which a record is of no use once a later one has its key.
    pub(crate) changelogs: &'static [&'static str],
    pub(crate) partitions: i32,
    /// Between two failures lie at most so many milliseconds.
    pub(crate) pause_ms: u64,
    /// What a disk is like when nothing is wrong with it.
    pub(crate) calm: &'a DiskOptions,
}

impl StateFaults<'_> {
    /// Brings some kinds of failures about until then, and mends them.
    pub(crate) async fn run(&self, until: Duration, witness: &RefCell<Witness>) {
        let StateFaults { sim, calm, .. } = *self;
        let host = sim.node("nemesis of state");
        let faults: Vec<_> = STATE_FAULTS.into_iter().filter(|_| host.random_below(3) == 0).collect();
        println!("seed {}: {faults:?}", sim.seed());
        let pick = |count: usize| host.random_below(count as u64) as usize;
        let directory = Path::new(STATE).join(self.application_id);
        let mut backups = Vec::new();
        while !faults.is_empty() {
            host.sleep(Duration::from_millis(host.random_below(self.pause_ms))).await;
            if host.now().since_start() >= until {
                return;
            }
            let (fault, node) = (faults[pick(faults.len())], format!("app{}", pick(self.instances)));
            println!("{:?} {fault:?} {node}", sim.now().since_start());
            if matches!(fault, StateFault::FlipWhileDown | StateFault::RemoveWhileDown | StateFault::Kill) {
                sim.kill(&node);
            }
            let mut happened = true;
            match fault {
                StateFault::Flip | StateFault::FlipWhileDown => {
                    for _ in 0..=pick(30) {
                        happened = sim.corrupt_file(&node, &directory.join(JOURNAL)).is_ok();
                    }
                }
                StateFault::Remove | StateFault::RemoveWhileDown => {
                    happened = sim.remove(&node, &directory.join(FILES[pick(FILES.len())])).is_ok();
                }
                StateFault::Crash => sim.crash(&node),
                StateFault::Truncate => {
                    let old = format!("old {node}");
                    sim.copy_disk(&node, &old);
                    host.sleep(Duration::from_millis(host.random_below(3000))).await;
                    truncate(&host, self.changelogs[pick(self.changelogs.len())], self.partitions).await;
                    if host.random_below(2) == 0 {
                        sim.copy_disk(&old, &node);
                    }
                }
                StateFault::Backup => {
                    let backup = format!("backup of {node}");
                    happened = backups.contains(&node);
                    match happened {
                        true => sim.copy_disk(&backup, &node),
                        false => {
                            sim.copy_disk(&node, &backup);
                            backups.push(node.clone());
                        }
                    }
                }
                StateFault::FullDisk
                | StateFault::BadSync
                | StateFault::BadWrites
                | StateFault::BadReads
                | StateFault::Kill => {}
            }
            if let Some(spoilt) = fault.disk(calm) {
                sim.set_disk(&node, spoilt);
                host.sleep(Duration::from_millis(host.random_below(4000))).await;
                sim.set_disk(&node, calm.clone());
                if fault == StateFault::BadSync {
                    // What a sync has failed for fails until the machine starts anew.
                    sim.crash(&node);
                }
            }
            if happened {
                witness.borrow_mut().saw(fault.name());
            }
        }
        host.sleep_until(Instant::from_start(until)).await;
    }
}

/// Removes records of the changelog that later ones have replaced, so that nothing is lost but what is on disk may no longer
/// be read on from.
async fn truncate(host: &Host, changelog: &str, partitions: i32) {
    let mut newest: BTreeMap<_, i64> = BTreeMap::new();
    for record in all_bytes(host, changelog, partitions).await {
        newest.insert((record.partition, record.key), record.offset);
    }
    let mut before: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for ((partition, _), offset) in newest {
        let least = before.entry(TopicPartition::new(changelog, partition)).or_insert(offset);
        *least = offset.min(*least);
    }
    let deleted = connect(host).await.admin().delete_records(&before).await;
    println!("truncated before {before:?}: {deleted:?}");
}

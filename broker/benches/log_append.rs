//! What appending costs: CPU for a batch, and how long it takes to be durable at a given rate.
//!
//! `cargo bench -p anabranch-broker --bench log_append [-- DIRECTORY]`; without a directory, a temporary one.

#![allow(clippy::disallowed_methods, reason = "a bench measures with the machine's own clock")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_broker::config::topic::{ConfigLayers, TopicConfig};
use anabranch_broker::config::{BrokerConfig, Flush};
use anabranch_broker::log::{AppendOrigin, Log, LogDirectory, LogDirectoryConfig};
use anabranch_broker::partition_name::PartitionName;
use anabranch_host::Host;
use anabranch_protocol::Uuid;
use anabranch_protocol::records::{BatchBuilder, Compression};
use bytes::Bytes;

fn batch(compression: Compression, records: usize, value_bytes: usize, now_ms: i64) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    let mut state = 1u32;
    for _ in 0..records {
        let value: Vec<u8> = (0..value_bytes)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b"etaoin shrdlu"[(state >> 24) as usize % 13]
            })
            .collect();
        builder.append(now_ms, None, Some(&value), []).expect("it is small");
    }
    builder.finish().freeze()
}

async fn open(host: &Host, path: &Path, flush: Flush, partitions: i32) -> (LogDirectory, Vec<Log>) {
    let (broker, none) = (BrokerConfig::default(), BTreeMap::new());
    let layers = ConfigLayers { dynamic_broker: &none, dynamic_default_broker: &none, broker: &broker };
    let config = Arc::new(TopicConfig::settle(&layers, &BTreeMap::new()));
    host.disk().create_dir_all(path).expect("the directory can be made");
    let is_ephemeral = flush == Flush::Os;
    let directory_config =
        LogDirectoryConfig { is_ephemeral, ..LogDirectoryConfig::new(flush, config.clone()) };
    let (directory, _) = LogDirectory::open(host, path, directory_config).await.expect("it opens");
    let log = |n| directory.create(PartitionName::new("bench", n), Uuid([1; 16]), config.clone());
    let logs = (0..partitions).map(log).collect();
    (directory, logs)
}

/// Time of an append that nobody waits for.
async fn cpu(host: &Host, path: &Path, name: &str, batch: Bytes, records: usize) {
    let (directory, mut logs) = open(host, path, Flush::Os, 8).await;
    // A gigabyte at most, so that the page cache takes it.
    let rounds = (1 << 30) / batch.len().max(50_000);
    let start = Instant::now();
    for n in 0..rounds {
        logs[n % 8].append(&batch, 0, AppendOrigin::Client, host.wall_clock_ms()).expect("it is appended");
    }
    let each = start.elapsed() / rounds as u32;
    println!(
        "append   {name:28} {:8.2} us a batch  {:8.1} ns a record",
        each.as_nanos() as f64 / 1e3,
        each.as_nanos() as f64 / records as f64
    );
    drop(logs);
    directory.shutdown().await.expect("it stops");
    host.disk().remove_dir_all(path).expect("it can be removed");
}

/// From append to durable, with `per_second` batches spread over `partitions`.
async fn durable(host: &Host, path: &Path, name: &str, batch: Bytes, partitions: i32, per_second: u32) {
    let (directory, mut logs) = open(host, path, Flush::Commit, partitions).await;
    let gap = Duration::from_secs(1) / per_second;
    let (start, mut waiting) = (Instant::now(), Vec::new());
    for n in 0..4 * per_second {
        let due = gap * n;
        if let Some(early) = due.checked_sub(start.elapsed()) {
            host.sleep(early).await;
        }
        let log = &mut logs[(n % partitions as u32) as usize];
        let appended = Instant::now();
        log.append(&batch, 0, AppendOrigin::Client, host.wall_clock_ms()).expect("it is appended");
        let settled = log.settled();
        waiting.push(host.spawn(async move {
            settled.await.expect("the disk is well");
            appended.elapsed()
        }));
    }
    let mut times = Vec::new();
    for waiting in waiting {
        times.push(waiting.await.expect("it ends"));
    }
    times.drain(..times.len() / 4);
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_micros() as f64 / 1e3;
    println!("durable  {name:28} p50 {:7.2}  p99 {:7.2}  max {:7.2} ms", at(0.5), at(0.99), at(1.0));
    drop(logs);
    directory.shutdown().await.expect("it stops");
    host.disk().remove_dir_all(path).expect("it can be removed");
}

fn main() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let path =
        given.map_or(temporary.path().join("logs"), |given| Path::new(&given).join("log-append-bench"));
    let (host, runtime) = Host::real(2).expect("threads");
    runtime.block_on(async {
        let now_ms = host.wall_clock_ms();
        for (name, compression, records, bytes) in [
            ("1 x 100 B", Compression::None, 1, 100),
            ("160 x 100 B", Compression::None, 160, 100),
            ("160 x 100 B lz4", Compression::Lz4, 160, 100),
            ("160 x 100 B zstd", Compression::Zstd, 160, 100),
            ("16 x 1 KB", Compression::None, 16, 1000),
            ("1000 x 1 KB", Compression::None, 1000, 1000),
        ] {
            cpu(&host, &path, name, batch(compression, records, bytes, now_ms), records).await;
        }
        for (name, records, bytes, partitions, per_second) in [
            ("1 x 100 B, 1 p, 100/s", 1, 100, 1, 100),
            ("10 x 100 B, 100 p, 10000/s", 10, 100, 100, 10_000),
            ("16 x 1 KB, 8 p, 100 MB/s", 16, 1000, 8, 6250),
            ("200 x 1 KB, 8 p, 100 MB/s", 200, 1000, 8, 500),
            ("200 x 1 KB, 1 p, 100 MB/s", 200, 1000, 1, 500),
        ] {
            durable(
                &host,
                &path,
                name,
                batch(Compression::None, records, bytes, now_ms),
                partitions,
                per_second,
            )
            .await;
        }
    });
}

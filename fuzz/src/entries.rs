//! What is fuzzed: every place where bytes of strangers, or of a disk, become something.
//!
//! Each entry takes any bytes and must come back: no panic, no more memory than the bytes are worth, and what is read
//! back is what was understood. The same entries run under libFuzzer (`fuzz/run`) and, from the same seeds with seeded
//! mutations, in a plain `cargo test` (`tests/fuzzing`).

use std::path::Path;
use std::sync::{Arc, OnceLock};

use anabranch_broker::Broker;
use anabranch_broker::config::topic::{ConfigLayers, TopicConfig};
use anabranch_broker::config::{BrokerConfig, Flush};
use anabranch_broker::log::{
    AppendOrigin, CleanerProgress, Log, LogDirectory, LogDirectoryConfig, Membership,
};
use anabranch_broker::partition_name::PartitionName;
use anabranch_host::{Host, Sim, SimOptions};
use anabranch_protocol::frame::take_frame;
use anabranch_protocol::records::{Compression, batches, end_transaction_marker, seal, set_transactional};
use anabranch_protocol::sample::{self, Declared, EveryMessage, every_message};
use anabranch_protocol::{Decoder, Encoder, RequestHeader, Uuid, encode_request};
use bytes::{Bytes, BytesMut};

use crate::world::{DATA, Files, batch, files, world};

/// One thing that is fuzzed.
pub struct Entry {
    /// Its name, and that of its target.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Bytes that are understood, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many mutations of each seed a plain test has time for.
    pub mutations: usize,
}

macro_rules! file_entries {
    ($($name:ident: $template:ident, $file:literal;)*) => { $(
        fn $name(data: &[u8]) {
            open_logs($template(), $file, data);
        }
    )* };
}

file_entries! {
    file_log: clean, "t-0/00000000000000000000.log";
    file_log_after_crash: crashed, "t-0/00000000000000000000.log";
    file_offset_index: clean, "t-0/00000000000000000000.index";
    file_time_index: clean, "t-0/00000000000000000000.timeindex";
    file_producer_snapshot: clean, "t-0/00000000000000000036.snapshot";
    file_transaction_index: clean, "x-0/00000000000000000000.txnindex";
    file_leader_epochs: clean, "t-0/leader-epoch-checkpoint";
    file_partition_metadata: clean, "t-0/partition.metadata";
    file_checkpoint: clean, "anabranch-checkpoint";
    file_journal: crashed, "anabranch-journal-1";
}

macro_rules! entries {
    ($($name:ident: $seeds:expr, $mutations:literal;)*) => {
        /// All of them.
        pub const ENTRIES: &[Entry] =
            &[$(Entry { name: stringify!($name), run: $name, seeds: || $seeds, mutations: $mutations }),*];
    };
}

entries! {
    frame: frame_seeds(), 3000;
    message: message_seeds(), 30;
    requests: crate::requests::seeds(), 100;
    record_batch: Compression::ALL.iter().map(|codec| batch(*codec, 0, 20).to_vec()).collect(), 1000;
    codec_gzip: codec_seeds(Compression::Gzip), 500;
    codec_snappy: codec_seeds(Compression::Snappy), 500;
    codec_lz4: codec_seeds(Compression::Lz4), 500;
    codec_zstd: codec_seeds(Compression::Zstd), 500;
    file_log: file_seed(clean(), "t-0/00000000000000000000.log"), 40;
    file_log_after_crash: file_seed(crashed(), "t-0/00000000000000000000.log"), 40;
    file_offset_index: file_seed(clean(), "t-0/00000000000000000000.index"), 40;
    file_time_index: file_seed(clean(), "t-0/00000000000000000000.timeindex"), 40;
    file_producer_snapshot: file_seed(clean(), "t-0/00000000000000000036.snapshot"), 40;
    file_leader_epochs: file_seed(clean(), "t-0/leader-epoch-checkpoint"), 40;
    file_partition_metadata: file_seed(clean(), "t-0/partition.metadata"), 40;
    file_checkpoint: file_seed(clean(), "anabranch-checkpoint"), 40;
    file_journal: file_seed(crashed(), "anabranch-journal-1"), 40;
    file_meta_properties: file_seed(broker(), "meta.properties"), 10;
    file_metadata_log: file_seed(broker(), "__cluster_metadata-0/00000000000000000000.log"), 10;
    file_metadata_snapshot: file_seed(broker_with_snapshot(), &snapshot_file()), 10;
    file_transaction_index: file_seed(clean(), "x-0/00000000000000000000.txnindex"), 40;
    file_cleaner_progress: vec![cleaner_progress()], 300;
}

// ---- the wire

/// A connection's bytes, cut into frames as they come, and the header of each.
fn frame(data: &[u8]) {
    let mut arrived = BytesMut::new();
    for piece in data.chunks(7) {
        arrived.extend_from_slice(piece);
        loop {
            match take_frame(&mut arrived, 1 << 20) {
                Ok(Some(frame)) => {
                    let _ = RequestHeader::decode(&mut Decoder::new(&frame));
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(arrived.capacity() < 4 * data.len() + 64, "memory in proportion to what arrived");
    }
}

fn frame_seeds() -> Vec<Vec<u8>> {
    struct Requests(Vec<Vec<u8>>);
    impl sample::EveryRequest for Requests {
        fn request<R: anabranch_protocol::Request<'static> + Declared>(&mut self) {
            let version = *R::VERSIONS.end();
            let header = RequestHeader::new(R::KEY, version, 7, Some("fuzz"));
            self.0.push(encode_request(&header, &sample::sample::<R>(1, version)).into_bytes().to_vec());
        }
    }
    let mut requests = Requests(Vec::new());
    sample::every_request(&mut requests);
    // Several on one connection.
    requests.0.chunks(4).map(<[_]>::concat).collect()
}

/// One message, chosen by the first byte, in the version of the second, of the bytes behind them. What is understood is
/// written, read and written again: both times the same.
fn message(data: &[u8]) {
    let &[chosen, version, ref body @ ..] = data else { return };
    let mut decode = DecodeOne { left: usize::from(chosen), version: i16::from(version), body };
    every_message(&mut decode);
}

struct DecodeOne<'d> {
    left: usize,
    version: i16,
    body: &'d [u8],
}

impl EveryMessage for DecodeOne<'_> {
    fn message<M: Declared>(&mut self, _name: &str) {
        let chosen = self.left;
        self.left = self.left.wrapping_sub(1);
        if chosen != 0 || !M::VERSIONS.contains(&self.version) {
            return;
        }
        if let Some(written) = rewrite::<M>(Bytes::copy_from_slice(self.body), self.version) {
            let again = rewrite::<M>(written.clone(), self.version);
            assert_eq!(again, Some(written), "what we write we read");
        }
    }
}

/// Reads a message and writes it.
fn rewrite<M: Declared>(bytes: Bytes, version: i16) -> Option<Bytes> {
    // A declared message borrows for ever, so its bytes are kept for ever: a few a run, and `fuzz/run` knows.
    let borrowed: &'static Bytes = Box::leak(Box::new(bytes));
    M::decode(&mut Decoder::new(borrowed), version).ok().map(|message| {
        let mut out = Encoder::new();
        message.encode(&mut out, version);
        out.finish().into_bytes()
    })
}

fn message_seeds() -> Vec<Vec<u8>> {
    struct Samples(u8, Vec<Vec<u8>>);
    impl EveryMessage for Samples {
        fn message<M: Declared>(&mut self, _name: &str) {
            for version in [*M::VERSIONS.start(), *M::VERSIONS.end()] {
                let mut out = Encoder::new();
                sample::sample::<M>(u64::from(self.0), version).encode(&mut out, version);
                self.1.push([&[self.0, version as u8], &*out.finish().into_bytes()].concat());
            }
            self.0 += 1;
        }
    }
    let mut samples = Samples(0, Vec::new());
    every_message(&mut samples);
    samples.1
}

fn requests(data: &[u8]) {
    crate::requests::requests(data);
}

// ---- records

/// The most that records may be decompressed to here.
const MAX_RECORDS_BYTES: usize = 4 << 20;

/// What a fetch or a produce request brings.
fn record_batch(data: &[u8]) {
    let mut scratch = Vec::new();
    for batch in batches(&Bytes::copy_from_slice(data)) {
        let Ok(batch) = batch else { return };
        let _ = batch.check_crc();
        walk(&batch, &mut scratch);
    }
}

fn walk(batch: &anabranch_protocol::records::Batch, scratch: &mut Vec<u8>) {
    let Ok(records) = batch.records_within(scratch, MAX_RECORDS_BYTES) else { return };
    for record in records {
        let Ok(record) = record else { break };
        for header in record.headers {
            if header.is_err() {
                break;
            }
        }
    }
    assert!(scratch.len() <= MAX_RECORDS_BYTES, "no more is decompressed than is allowed");
}

/// A batch whose records are `data`, compressed, whoever wrote them.
fn codec(codec: Compression, data: &[u8]) {
    let mut bytes = batch(codec, 0, 1);
    bytes.truncate(anabranch_protocol::records::BATCH_HEADER_BYTES);
    bytes.extend_from_slice(data);
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    seal(&mut bytes);
    record_batch(&bytes);
}

fn codec_seeds(codec: Compression) -> Vec<Vec<u8>> {
    [1, 200]
        .map(|records| batch(codec, 0, records)[anabranch_protocol::records::BATCH_HEADER_BYTES..].to_vec())
        .to_vec()
}

fn codec_gzip(data: &[u8]) {
    codec(Compression::Gzip, data);
}

fn codec_snappy(data: &[u8]) {
    codec(Compression::Snappy, data);
}

fn codec_lz4(data: &[u8]) {
    codec(Compression::Lz4, data);
}

fn codec_zstd(data: &[u8]) {
    codec(Compression::Zstd, data);
}

// ---- files

const CLEANER_FILE: &str = "cleaner-offset-checkpoint";

/// A directory of logs after a clean stop.
fn clean() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| make_logs(true))
}

/// The same after the process was killed.
fn crashed() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| make_logs(false))
}

/// A broker's, after a clean stop.
fn broker() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let sim = Sim::new(1, SimOptions::default());
        let host = sim.node("n");
        sim.block_on(async {
            Broker::open(host, broker_config()).await.expect("an empty directory").shutdown().await;
        });
        files(&sim)
    })
}

/// A broker's whose metadata is in a snapshot, after a clean stop.
fn broker_with_snapshot() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let sim = Sim::new(1, SimOptions::default());
        let host = sim.node("n");
        // Whatever there is of it.
        let config = broker_config().with([("metadata.log.max.record.bytes.between.snapshots", "1")]);
        sim.block_on(async {
            let broker = Broker::open(host, config.expect("a good key")).await;
            broker.expect("an empty directory").shutdown().await;
        });
        files(&sim)
    })
}

/// The snapshot, below the directory.
fn snapshot_file() -> String {
    let paths = broker_with_snapshot().iter().map(|(path, _)| path);
    let mut below = paths.filter_map(|path| path.strip_prefix(DATA).ok()?.to_str());
    below.find(|path| path.ends_with(".checkpoint")).expect("the start has taken one").to_string()
}

fn broker_config() -> BrokerConfig {
    BrokerConfig::from_pairs([("log.dirs", DATA)]).expect("good keys")
}

fn config() -> LogDirectoryConfig {
    let (broker, none) = (BrokerConfig::default(), Default::default());
    let layers = ConfigLayers { dynamic_broker: &none, dynamic_default_broker: &none, broker: &broker };
    let mut topic = TopicConfig::settle(&layers, &Default::default());
    (topic.segment_ms, topic.index_interval_bytes) = (20_000, 0);
    LogDirectoryConfig {
        journal_file_bytes: 64 << 10,
        ..LogDirectoryConfig::new(Flush::Commit, Arc::new(topic))
    }
}

fn make_logs(is_clean: bool) -> Files {
    let sim = Sim::new(1, SimOptions::default());
    let host = sim.node("n");
    sim.block_on(async {
        host.disk().create_dir_all(Path::new(DATA)).expect("a simulated disk");
        let (directory, _) = LogDirectory::open(&host, Path::new(DATA), config()).await.expect("it is empty");
        let mut logs = Vec::new();
        for topic in ["t", "u"] {
            let config = config().default_config;
            let mut log =
                directory.create(PartitionName::new(topic, 0), Uuid([topic.as_bytes()[0]; 16]), config);
            for sequence in 0..12 {
                let records = batch(Compression::None, sequence * 3, 3).freeze();
                log.append(&records, 0, AppendOrigin::Client, host.wall_clock_ms()).expect("a good batch");
                if sequence == 6 && !is_clean {
                    directory.checkpoint().await.expect("a good disk");
                }
            }
            log.settled().await.expect("a good disk");
            logs.push(log);
        }
        logs.push(transactions(&host, &directory).await);
        if is_clean {
            logs.iter_mut().for_each(|log| log.close().expect("a good disk"));
            directory.shutdown().await.expect("a good disk");
        }
    });
    files(&sim)
}

/// A log of transactions, the first of which is aborted.
async fn transactions(host: &Host, directory: &LogDirectory) -> Log {
    let mut log = directory.create(PartitionName::new("x", 0), Uuid([9; 16]), config().default_config);
    let now_ms = host.wall_clock_ms();
    for (sequence, is_committed) in [(0, false), (3, true)] {
        let mut records = batch(Compression::None, sequence, 3);
        set_transactional(&mut records);
        seal(&mut records);
        let origin = AppendOrigin::Transaction(Membership::Verified);
        log.append(&records.freeze(), 0, origin, now_ms).expect("a good batch");
        let marker = end_transaction_marker(now_ms, 7, 0, is_committed, 0).freeze();
        log.append(&marker, 0, AppendOrigin::Coordinator, now_ms).expect("a good marker");
    }
    log.settled().await.expect("a good disk");
    log
}

fn file_seed(template: &Files, file: &str) -> Vec<Vec<u8>> {
    let path = Path::new(DATA).join(file);
    let found = template.iter().find(|(known, _)| *known == path);
    let (_, bytes) = found.unwrap_or_else(|| {
        panic!("no {file} among {:?}", template.iter().map(|(path, _)| path).collect::<Vec<_>>())
    });
    // The journal's files are mostly zeros that were never written.
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    vec![bytes[..end].to_vec()]
}

/// Opens a directory of logs in which one file holds `data`, and reads what it gives.
fn open_logs(template: &Files, file: &str, data: &[u8]) {
    let (sim, host) = world(template, file, data);
    sim.block_on(async {
        let Ok((directory, found)) = LogDirectory::open(&host, Path::new(DATA), config()).await else {
            return;
        };
        for found in found {
            if let Ok(mut log) = found.log {
                read(&log);
                let _ = log.close();
            }
        }
        let _ = directory.shutdown().await;
    });
    assert_eq!(sim.panics(), []);
}

/// Reads from every offset: what is given is whole.
fn read(log: &Log) {
    let end_offset = log.log_end_offset();
    for offset in log.log_start_offset()..end_offset.min(log.log_start_offset() + 100) {
        let Ok(records) = log.read(offset, 1000, end_offset) else { continue };
        let mut next_offset = 0;
        for batch in batches(&records) {
            let batch = batch.expect("whole batches only");
            batch.check_crc().expect("no damaged batch is ever served");
            assert!(batch.header.base_offset >= next_offset, "offsets rise");
            next_offset = batch.header.next_offset();
        }
    }
    let _ = log.aborted_transactions(log.log_start_offset(), end_offset);
    let _ = log.find_timestamp(1_750_000_010_000, end_offset);
    let _ = log.find_largest_timestamp(end_offset);
}

fn file_meta_properties(data: &[u8]) {
    open_broker("meta.properties", data);
}

fn file_metadata_log(data: &[u8]) {
    open_broker("__cluster_metadata-0/00000000000000000000.log", data);
}

fn file_metadata_snapshot(data: &[u8]) {
    open_broker_of(broker_with_snapshot(), &snapshot_file(), data);
}

/// How far logs are clean: what is understood is written as it was.
fn file_cleaner_progress(data: &[u8]) {
    let template = vec![(Path::new(DATA).join(CLEANER_FILE), Vec::new())];
    let (_sim, host) = world(&template, CLEANER_FILE, data);
    let progress = CleanerProgress::load(&host.disk(), Path::new(DATA)).expect("a good disk");
    let _ = progress.of(&PartitionName::new("t", 0), Uuid([1; 16]));
}

fn cleaner_progress() -> Vec<u8> {
    let sim = Sim::new(1, SimOptions::default());
    let host = sim.node("n");
    sim.block_on(async {
        host.disk().create_dir_all(Path::new(DATA)).expect("a simulated disk");
        let mut progress = CleanerProgress::load(&host.disk(), Path::new(DATA)).expect("it is empty");
        for partition in 0..3 {
            let name = PartitionName::new("t", partition);
            progress.cleaned(&name, Uuid([1; 16]), i64::from(partition) * 1000);
        }
        progress.save().await.expect("a good disk");
    });
    host.disk().read(&Path::new(DATA).join(CLEANER_FILE)).expect("it was written")
}

fn open_broker(file: &str, data: &[u8]) {
    open_broker_of(broker(), file, data);
}

fn open_broker_of(template: &Files, file: &str, data: &[u8]) {
    let (sim, host) = world(template, file, data);
    sim.block_on(async {
        if let Ok(broker) = Broker::open(host, broker_config()).await {
            broker.shutdown().await;
        }
    });
    assert_eq!(sim.panics(), []);
}

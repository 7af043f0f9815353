//! Reads and searches go by two fields of a batch before they look at the rest of it: its base offset, which lies outside
//! the checksum, and its largest timestamp. Whichever of their bits flips while the broker is down, no batch that was durable
//! is taken for a torn end, no other offset than its own is given to a record, and none is missed by its time.

use super::*;

/// The log is offline, or every offset is what it was or cannot be read.
fn check(found: RecoveredLog, expected: &[(i64, String)], what: &str) -> Option<Log> {
    let log = match found.log {
        Ok(log) => log,
        Err(LogError::Corrupt { .. }) => return None,
        Err(error) => panic!("{what}: {error}"),
    };
    assert_eq!(log.log_end_offset(), expected.len() as i64, "{what}: it ends elsewhere");
    for (offset, value) in expected {
        if let Ok(records) = log.read(*offset, 1, log.log_end_offset()) {
            assert_eq!(values(&records), [(*offset, value.clone())], "{what}: at {offset}");
        }
        let Ok(found) = log.find_timestamp(NOW_MS + offset, i64::MAX) else { continue };
        assert_eq!(found.map(|found| found.offset), Some(*offset), "{what}: the time of {offset}");
    }
    let last = expected.len() as i64 - 1;
    if let Ok(found) = log.find_largest_timestamp(i64::MAX) {
        assert_eq!(found.map(|found| found.offset), Some(last), "{what}: the largest timestamp");
    }
    Some(log)
}

/// Where the fields lie in a batch.
const BASE_OFFSET_AT: usize = 0;
const MAX_TIMESTAMP_AT: usize = 35;

#[test]
fn a_flipped_field_is_noticed() {
    for field_at in [BASE_OFFSET_AT, MAX_TIMESTAMP_AT] {
        for is_clean in [false, true] {
            flip(field_at, is_clean);
        }
    }
}

fn flip(field_at: usize, is_clean: bool) {
    // Batches of one record; in one segment, with entries in its index or without, and in several.
    let all: [(usize, i32, i32); 6] = [
        (3, 1 << 20, 4096),
        (4, 1 << 20, 4096),
        (5, 1 << 20, 4096),
        (5, 1 << 20, 0),
        (5, 170, 4096),
        (8, 250, 0),
    ];
    for (count, segment_bytes, index_interval_bytes) in all {
        simulate(1, async |sim| {
            let config = config(|config| {
                config.segment_bytes = segment_bytes;
                config.index_interval_bytes = index_interval_bytes;
            });
            let (directory, mut log) = open_log(&sim.node("a"), &config).await;
            for n in 0..count {
                append_batch(&mut log, batch_at(NOW_MS + n as i64, &[&format!("value {n}")])).unwrap();
                log.settled().await.unwrap();
            }
            // The journal has none of it any more.
            directory.checkpoint().await.unwrap();
            let (expected, path) = (super::all(&log), log.path().to_path_buf());
            if is_clean {
                log.close().unwrap();
                directory.shutdown().await.unwrap();
            }
            sim.kill("a");
            let disk = sim.node("a").disk();
            let files = disk.read_dir(&path).unwrap().into_iter().map(|entry| path.join(entry.name));
            for file in files.filter(|file| file.extension().is_some_and(|kind| kind == "log")) {
                let bytes = disk.read(&file).unwrap();
                let mut position = 0;
                for batch in batches(&Bytes::from(bytes)) {
                    let batch = batch.unwrap();
                    for bit in 0..64 {
                        sim.copy_disk("a", "copy");
                        let host = sim.node("copy");
                        let at = field_at + bit / 8;
                        let flipped = [batch.bytes[at] ^ (1 << (bit % 8))];
                        let open_file = host.disk().open(&file, OpenOptions::write()).unwrap();
                        open_file.write_all_at(&flipped, position + at as u64).unwrap();
                        let what = format!(
                            "bit {bit} at {field_at} of batch {} of {count} (segments of {segment_bytes}, index interval \
                             {index_interval_bytes}, clean: {is_clean})",
                            batch.header.base_offset
                        );
                        // What the first start has made of it does not hide it from the second.
                        for start in ["first", "second"] {
                            let (directory, mut found) = open(&host, &config).await;
                            let found = found.pop().unwrap();
                            let mut log = check(found, &expected, &format!("{start} start: {what}"));
                            // It may fail for the damage.
                            let _ = log.as_mut().map(Log::close);
                            directory.shutdown().await.unwrap();
                        }
                        sim.kill("copy");
                    }
                    position += batch.bytes.len() as u64;
                }
            }
        });
    }
}

//! A simulated world with a disk on which somebody has left files, and what is written to them.

use std::path::{Path, PathBuf};

use anabranch_host::{Disk, Host, OpenOptions, Sim, SimOptions};
use anabranch_protocol::records::{BatchBuilder, Compression, seal, set_producer};
use bytes::BytesMut;

/// The directory of all that is kept.
pub(crate) const DATA: &str = "/data";

/// The files of a data directory.
pub(crate) type Files = Vec<(PathBuf, Vec<u8>)>;

/// The files that the node's last life left.
pub(crate) fn files(sim: &Sim) -> Files {
    fn collect(disk: &Disk, directory: &Path, found: &mut Files) {
        for entry in disk.read_dir(directory).expect("it was listed") {
            let path = directory.join(&entry.name);
            match entry.is_dir {
                true => collect(disk, &path, found),
                false => found.push((path.clone(), disk.read(&path).expect("it was listed"))),
            }
        }
    }
    sim.kill("n");
    let mut found = Files::new();
    collect(&sim.node("n").disk(), Path::new(DATA), &mut found);
    found
}

/// A world whose disk holds the template, but for one file.
pub(crate) fn world(template: &Files, file: &str, data: &[u8]) -> (Sim, Host) {
    let sim = Sim::new(1, SimOptions::default());
    let host = sim.node("n");
    let (disk, damaged) = (host.disk(), Path::new(DATA).join(file));
    for (path, bytes) in template {
        disk.create_dir_all(path.parent().expect("below the directory")).expect("a simulated disk");
        let bytes = if *path == damaged { data } else { bytes };
        let file = disk.open(path, OpenOptions::create_empty()).expect("a simulated disk");
        file.write_all_at(bytes, 0).expect("a simulated disk");
    }
    (sim, host)
}

/// A sealed batch of an idempotent producer.
pub(crate) fn batch(codec: Compression, base_sequence: i32, records: i64) -> BytesMut {
    let mut builder = BatchBuilder::new(codec);
    for record in 0..records {
        let timestamp = 1_750_000_000_000 + i64::from(base_sequence) * 1000 + record;
        let value = format!("value {record} of {base_sequence}");
        let headers = [("header", Some(&b"value"[..])), ("null", None)];
        builder.append(timestamp, Some(b"key"), Some(value.as_bytes()), headers).expect("it is small");
    }
    let mut bytes = builder.finish();
    set_producer(&mut bytes, 7, 0, base_sequence);
    seal(&mut bytes);
    bytes
}
